// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads and stores of the vectors. A fault becomes the exception code that a
 * program on NT would get: the module tells a guard hit from an access violation.
 */
#include "ntvec.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

static sigjmp_buf back;
static volatile sig_atomic_t probing;
static unsigned char stack[64 * 1024];

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	if (!probing) {
		/* The runner's own bug: let it kill the child. */
		signal(sig, SIG_DFL);
		return;
	}
	siglongjmp(back, sig);
}

void access_init(void)
{
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction act;

	memset(&act, 0, sizeof(act));
	act.sa_sigaction = on_fault;
	act.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigemptyset(&act.sa_mask);
	sigaltstack(&alt, NULL);
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
}

/* Not inlined: its variables shall not live across sigsetjmp(). */
static uint32_t __attribute__((noinline)) fault_status(int sig, uint64_t first, uint64_t last)
{
	PVOID page = NULL;
	NTSTATUS status;
	uint64_t at;

	if (sig == SIGBUS)
		return (uint32_t)0xC0000006;	/* IN_PAGE_ERROR */
	status = LibntTakeFault(&page);
	if (status != STATUS_GUARD_PAGE_VIOLATION && status != STATUS_STACK_OVERFLOW)
		return (uint32_t)STATUS_ACCESS_VIOLATION;
	/* A record of some earlier access is no explanation of this one. */
	at = (uintptr_t)page & ~(uint64_t)0xFFF;
	if (at != (first & ~(uint64_t)0xFFF) && at != (last & ~(uint64_t)0xFFF))
		return (uint32_t)STATUS_ACCESS_VIOLATION;
	return (uint32_t)status;
}

uint32_t access_read(uint64_t address, uint8_t *byte)
{
	int sig = sigsetjmp(back, 1);

	if (!sig) {
		probing = 1;
		*byte = *(volatile uint8_t *)(uintptr_t)address;
	}
	probing = 0;
	return sig ? fault_status(sig, address, address) : 0;
}

uint32_t access_write(uint64_t address, uint8_t byte)
{
	int sig = sigsetjmp(back, 1);

	if (!sig) {
		probing = 1;
		*(volatile uint8_t *)(uintptr_t)address = byte;
	}
	probing = 0;
	return sig ? fault_status(sig, address, address) : 0;
}

/* x86 does not mind an address that is no multiple of four; C does. */
typedef uint32_t __attribute__((aligned(1), may_alias)) unaligned_u32;

uint32_t access_write4(uint64_t address, uint32_t dword)
{
	int sig = sigsetjmp(back, 1);

	if (!sig) {
		probing = 1;
		*(volatile unaligned_u32 *)(uintptr_t)address = dword;
	}
	probing = 0;
	return sig ? fault_status(sig, address, address + 3) : 0;
}
