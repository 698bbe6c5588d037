/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instructions of probe.h. Between the labels the third argument, which says
 * where the exception goes, is in r8 and the stack is as at the entry.
 */
	.text

	.globl	probe_first, probe_end, probe_refused
	.globl	probe_load, probe_store, probe_store4
probe_first:
probe_load:
	movb	(%rcx), %al
	movb	%al, (%rdx)
	xorl	%eax, %eax
	ret
probe_store:
	movb	%dl, (%rcx)
	xorl	%eax, %eax
	ret
probe_store4:
	movl	%edx, (%rcx)
	xorl	%eax, %eax
	ret
probe_end:
	/* The handler comes here, with the code in eax. */
probe_refused:
	ret

	/* A call that is refused faults at its target, with our return address on the stack. */
	.globl	probe_call_inner, probe_call_refused
	.seh_proc probe_call_inner
probe_call_inner:
	movq	%rdx, 16(%rsp)
	subq	$40, %rsp
	.seh_stackalloc 40
	.seh_endprologue
	call	*%rcx
	movq	56(%rsp), %rdx
	movl	%eax, (%rdx)
	xorl	%eax, %eax
probe_call_refused:
	addq	$40, %rsp
	ret
	.seh_endproc

	/*
	 * uint32_t seh_load(uint64_t address, uint8_t *byte): a load in a frame with a
	 * handler of the compiler's kind: __try { *byte = *address; } __except (seh_filter())
	 */
	.globl	seh_load
	.seh_proc seh_load
seh_load:
	subq	$40, %rsp
	.seh_stackalloc 40
	.seh_endprologue
.Lseh_first:
	movb	(%rcx), %al
	movb	%al, (%rdx)
	xorl	%eax, %eax
.Lseh_end:
	addq	$40, %rsp
	ret
	/* The frame has been unwound to here. */
.Lseh_caught:
	movl	seh_code(%rip), %eax
	addq	$40, %rsp
	ret
	.seh_handler __C_specific_handler, @except
	.seh_handlerdata
	.long	1
	.rva	.Lseh_first, .Lseh_end, seh_filter, .Lseh_caught
	.text
	.seh_endproc
