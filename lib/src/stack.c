// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Stacks: RtlCreateUserStack and RtlFreeUserStack, the stack that the module
 * lets grow for a thread, and the alternate signal stacks that go with them.
 */
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define PAGE		((SIZE_T)4096)
#define GRANULARITY	((SIZE_T)65536)
#define DEFAULT_COMMIT	PAGE
#define DEFAULT_RESERVE	((SIZE_T)1 << 20)	/* and the least there is */

/* Bytes of an alternate stack beside what the kernel's frame needs. */
#define ALTSTACK_ROOM	((size_t)64 * 1024)

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ	51
#endif

/* --- alternate signal stacks ----------------------------------------------------- */

/* The thread's mapping: a page without access, and the stack above it. */
static __thread void *altstack __attribute__((tls_model("initial-exec")));
static __thread size_t altstack_bytes __attribute__((tls_model("initial-exec")));

static pthread_key_t altstack_key;
static int altstack_key_error;
static pthread_once_t altstack_once = PTHREAD_ONCE_INIT;

static void altstack_free(void *unused)
{
	stack_t now;
	stack_t off = { .ss_flags = SS_DISABLE };

	(void)unused;
	if (!altstack || sigaltstack(NULL, &now))
		return;
	if (now.ss_sp == (char *)altstack + PAGE) {
		/* Not from under a handler that runs on it. */
		if ((now.ss_flags & SS_ONSTACK) || sigaltstack(&off, NULL))
			return;
	}
	munmap(altstack, altstack_bytes);
	altstack = NULL;
	pthread_setspecific(altstack_key, NULL);
}

static void altstack_init(void)
{
	altstack_key_error = pthread_key_create(&altstack_key, altstack_free);
}

NTSTATUS nt_altstack_set(void)
{
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
	int saved = errno;
	size_t bytes;
	stack_t now;
	void *p;

	if (!sigaltstack(NULL, &now) && !(now.ss_flags & SS_DISABLE))
		return STATUS_SUCCESS;
	pthread_once(&altstack_once, altstack_init);
	if (altstack_key_error)
		goto out;
	/* Disabled by the program since: it was ours, make it anew. */
	altstack_free(NULL);
	bytes = (getauxval(AT_MINSIGSTKSZ) + ALTSTACK_ROOM + 2 * PAGE - 1) & ~(PAGE - 1);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		goto out;
	now = (stack_t){
		.ss_sp = (char *)p + PAGE,
		.ss_size = bytes - PAGE,
	};
	if (mprotect(p, PAGE, PROT_NONE) || pthread_setspecific(altstack_key, p) ||
	    sigaltstack(&now, NULL)) {
		pthread_setspecific(altstack_key, NULL);
		munmap(p, bytes);
		goto out;
	}
	altstack = p;
	altstack_bytes = bytes;
	status = STATUS_SUCCESS;
out:
	errno = saved;
	return status;
}

/* --- the thread's stack ------------------------------------------------------------ */

NTSTATUS NTAPI LibntSetThreadStack(PVOID StackBase, PVOID StackLimit,
				   PVOID DeallocationStack, ULONG GuaranteedBytes)
{
	struct ntvm_stack req = {
		REQUEST(req, NtCurrentProcess()),
		.op = NTVM_STACK_SET,
		.guarantee = GuaranteedBytes,
		.top = nt_address(StackBase),
		.bottom = nt_address(DeallocationStack),
		.limit = nt_address(StackLimit),
	};
	int saved = errno;
	NTSTATUS status;

	status = nt_request(NTVM_IOC_STACK, &req);
	if (status != STATUS_SUCCESS)
		return status;
	if (!StackBase) {
		altstack_free(NULL);
		errno = saved;
		return STATUS_SUCCESS;
	}
	status = nt_altstack_set();
	if (status != STATUS_SUCCESS)
		LibntSetThreadStack(NULL, NULL, NULL, 0);
	return status;
}

NTSTATUS NTAPI LibntGetThreadStack(PVOID *StackBase, PVOID *StackLimit,
				   PVOID *DeallocationStack, PULONG GuaranteedBytes)
{
	struct ntvm_stack req = {
		REQUEST(req, NtCurrentProcess()),
		.op = NTVM_STACK_GET,
	};
	NTSTATUS status;

	status = nt_request(NTVM_IOC_STACK, &req);
	if (status != STATUS_SUCCESS)
		return status;
	if (StackBase)
		*StackBase = (PVOID)(uintptr_t)req.top;
	if (StackLimit)
		*StackLimit = (PVOID)(uintptr_t)req.limit;
	if (DeallocationStack)
		*DeallocationStack = (PVOID)(uintptr_t)req.bottom;
	if (GuaranteedBytes)
		*GuaranteedBytes = req.guarantee;
	return STATUS_SUCCESS;
}

/* --- RtlCreateUserStack -------------------------------------------------------------- */

/* Rounds up to a multiple; false if that does not fit into the type. */
static int round_up(SIZE_T *value, SIZE_T alignment)
{
	SIZE_T rounded = (*value + alignment - 1) & ~(alignment - 1);

	if (rounded < *value)
		return 0;
	*value = rounded;
	return 1;
}

static int power_of_two(SIZE_T value)
{
	return value && !(value & (value - 1));
}

static NTSTATUS commit(char *at, SIZE_T bytes, ULONG protect)
{
	PVOID base = at;

	return NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &bytes, MEM_COMMIT, protect);
}

NTSTATUS NTAPI RtlCreateUserStack(SIZE_T CommittedStackSize, SIZE_T MaximumStackSize,
				  ULONG_PTR ZeroBits, SIZE_T CommitAlignment,
				  SIZE_T ReserveAlignment, PINITIAL_TEB InitialTeb)
{
	SIZE_T size = CommittedStackSize ? CommittedStackSize : DEFAULT_COMMIT;
	SIZE_T reserve = MaximumStackSize ? MaximumStackSize : DEFAULT_RESERVE;
	PVOID base = NULL;
	NTSTATUS status;
	char *top;

	if (!power_of_two(CommitAlignment) || !power_of_two(ReserveAlignment))
		return STATUS_INVALID_PARAMETER;
	if (!InitialTeb)
		return STATUS_ACCESS_VIOLATION;
	if (!round_up(&size, CommitAlignment) || !round_up(&size, PAGE) ||
	    !round_up(&reserve, ReserveAlignment))
		return STATUS_NO_MEMORY;
	if (reserve < size)
		reserve = size;
	if (reserve < DEFAULT_RESERVE)
		reserve = DEFAULT_RESERVE;
	if (!round_up(&reserve, ReserveAlignment) || !round_up(&reserve, GRANULARITY))
		return STATUS_NO_MEMORY;

	status = NtAllocateVirtualMemory(NtCurrentProcess(), &base, ZeroBits, &reserve,
					 MEM_RESERVE, PAGE_READWRITE);
	if (status != STATUS_SUCCESS)
		return status;
	top = (char *)base + reserve;
	status = commit(top - size, size, PAGE_READWRITE);
	if (status == STATUS_SUCCESS && size + PAGE <= reserve)
		status = commit(top - size - PAGE, PAGE, PAGE_READWRITE | PAGE_GUARD);
	if (status != STATUS_SUCCESS) {
		RtlFreeUserStack(base);
		return status;
	}
	InitialTeb->OldStackBase = NULL;
	InitialTeb->OldStackLimit = NULL;
	InitialTeb->StackBase = top;
	InitialTeb->StackLimit = top - size;
	InitialTeb->DeallocationStack = base;
	return STATUS_SUCCESS;
}

void NTAPI RtlFreeUserStack(PVOID DeallocationStack)
{
	PVOID base = DeallocationStack;
	SIZE_T bytes = 0;

	NtFreeVirtualMemory(NtCurrentProcess(), &base, &bytes, MEM_RELEASE);
}
