// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Faults as exceptions: the handler of SIGSEGV and SIGBUS, vectored handlers and
 * try frames.
 *
 * The handler takes no lock and no memory. The list of vectored handlers is
 * changed by one thread at a time, by single stores, so that it can be walked at
 * any moment; what was taken out is freed once nobody walks it. The lock of the
 * changes is the pid of its owner: in a fork child it is free.
 */

/* A jump off the alternate stack is no mistake. */
#undef _FORTIFY_SOURCE
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __x86_64__
#define CONTEXT_IP	REG_RIP
#else
#define CONTEXT_IP	REG_EIP
#endif

/* Bits of a page fault's error code. */
#define FAULT_WRITE	0x2u
#define FAULT_FETCH	0x10u

#define PAGE_OF(address)	((uintptr_t)(address) & ~(uintptr_t)4095)

_Static_assert(sizeof(siginfo_t) <= sizeof(((LIBNT_TRY_FRAME *)0)->SignalInfo),
	       "a frame keeps the signal");

struct vectored {
	struct vectored *_Atomic next;
	PVECTORED_EXCEPTION_HANDLER fn;
	struct vectored *dead;
};

static struct vectored *_Atomic vectored_first;
static atomic_int vectored_walkers;
static struct vectored *vectored_dead;		/* under the lock */

static atomic_int lock_owner;			/* a pid, 0: free */

static const int signals[] = { SIGSEGV, SIGBUS };
#define SIGNALS	(sizeof(signals) / sizeof(signals[0]))
static struct sigaction before[SIGNALS];	/* who handled it before us */
static atomic_bool reset_before[SIGNALS];	/* and had SA_RESETHAND, and was called */
static atomic_bool installed;
static atomic_bool enabled;
static atomic_uint enabled_flags;

/* The innermost frame of the thread. */
static __thread LIBNT_TRY_FRAME *frames __attribute__((tls_model("initial-exec")));
/* The next signal is one that the frames have refused already. */
static __thread int refused __attribute__((tls_model("initial-exec")));

static void lock(void)
{
	int pid = getpid(), owner = 0;

	while (!atomic_compare_exchange_weak(&lock_owner, &owner, pid)) {
		if (owner && owner != pid &&
		    atomic_compare_exchange_strong(&lock_owner, &owner, pid))
			return;
		owner = 0;
		sched_yield();
	}
}

static void unlock(void)
{
	atomic_store(&lock_owner, 0);
}

/* --- what happened ------------------------------------------------------------------ */

/* Does a region of ours hold the address? Asked by a decommit that reaches too far. */
static int is_nt_memory(uintptr_t address)
{
	LIBNT_INFO info;
	PVOID base = (PVOID)PAGE_OF(address);
	SIZE_T bytes;

	if (LibntGetInfo(NtCurrentProcess(), &info) != STATUS_SUCCESS ||
	    address < info.MinimumAddress || address > info.MaximumAddress)
		return 0;
	/* No region reaches beyond MaximumAddress. */
	bytes = info.MaximumAddress + 2 - PAGE_OF(address);
	switch (NtFreeVirtualMemory(NtCurrentProcess(), &base, &bytes, MEM_DECOMMIT)) {
	case STATUS_UNABLE_TO_FREE_VM:
	case STATUS_CONFLICTING_ADDRESSES:
		return 1;
	default:
		return 0;
	}
}

/* Fills in the record; 0 if it is not for us. */
static int describe(int sig, const siginfo_t *si, const ucontext_t *uc, EXCEPTION_RECORD *record)
{
	unsigned int error = (unsigned int)uc->uc_mcontext.gregs[REG_ERR];
	int all = atomic_load(&enabled_flags) & LIBNT_EXCEPTIONS_ALL;
	uintptr_t address = (uintptr_t)si->si_addr;
	NTSTATUS code = STATUS_ACCESS_VIOLATION, hit;
	PVOID page = NULL;

	if (si->si_code <= 0)
		return 0;	/* somebody sent it */
	hit = LibntTakeFault(&page);
	if (sig == SIGSEGV && si->si_code != SI_KERNEL &&
	    (hit == STATUS_GUARD_PAGE_VIOLATION || hit == STATUS_STACK_OVERFLOW) &&
	    (uintptr_t)page == PAGE_OF(address))
		code = hit;
	else if (!all && (si->si_code == SI_KERNEL || !is_nt_memory(address)))
		return 0;

	memset(record, 0, sizeof(*record));
	if (sig == SIGBUS)
		code = si->si_code == BUS_ADRALN ? STATUS_DATATYPE_MISALIGNMENT :
						   STATUS_IN_PAGE_ERROR;
	record->ExceptionCode = (DWORD)code;
	record->ExceptionAddress = (PVOID)(uintptr_t)uc->uc_mcontext.gregs[CONTEXT_IP];
	if (code == STATUS_DATATYPE_MISALIGNMENT)
		return 1;
	record->NumberParameters = 2;
	record->ExceptionInformation[0] = error & FAULT_FETCH ? EXCEPTION_EXECUTE_FAULT :
					  error & FAULT_WRITE ? EXCEPTION_WRITE_FAULT :
								EXCEPTION_READ_FAULT;
	record->ExceptionInformation[1] = address;
	if (si->si_code == SI_KERNEL) {
		/* A general protection fault: it has neither, and NT says so like this. */
		record->ExceptionInformation[0] = EXCEPTION_READ_FAULT;
		record->ExceptionInformation[1] = ~(ULONG_PTR)0;
	}
	if (code == STATUS_IN_PAGE_ERROR) {
		record->NumberParameters = 3;
		record->ExceptionInformation[2] = (DWORD)STATUS_UNSUCCESSFUL;
	}
	return 1;
}

/* --- whoever handled the signal before ------------------------------------------------- */

static int index_of(int sig)
{
	return sig == signals[0] ? 0 : 1;
}

/*
 * The default action, on return from the handler: so that the core shows the
 * thread where it was, and the signal as it came. A guard page does not fault a
 * second time, so the signal is sent again rather than the access repeated.
 */
static void die(int sig, siginfo_t *si, ucontext_t *uc)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	sigaction(sig, &dfl, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, si);
	sigdelset(&uc->uc_sigmask, sig);
}

static void chain(int sig, siginfo_t *si, ucontext_t *uc)
{
	int i = index_of(sig);
	struct sigaction *old = &before[i];
	sigset_t mask;

	if (!(old->sa_flags & SA_SIGINFO) && old->sa_handler == SIG_IGN && si->si_code <= 0)
		return;	/* a fault cannot be ignored, a signal can */
	if ((!(old->sa_flags & SA_SIGINFO) &&
	     (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN)) ||
	    ((old->sa_flags & SA_RESETHAND) && atomic_exchange(&reset_before[i], true))) {
		die(sig, si, uc);
		return;
	}
	mask = old->sa_mask;
	if (!(old->sa_flags & SA_NODEFER))
		sigaddset(&mask, sig);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, si, uc);
	else
		old->sa_handler(sig);
}

/* --- dispatch ---------------------------------------------------------------------------- */

static int call_vectored(EXCEPTION_POINTERS *pointers)
{
	int verdict = EXCEPTION_CONTINUE_SEARCH;
	struct vectored *v;

	atomic_fetch_add(&vectored_walkers, 1);
	for (v = atomic_load(&vectored_first); v; v = atomic_load(&v->next)) {
		verdict = v->fn(pointers);
		if (verdict == EXCEPTION_CONTINUE_EXECUTION)
			break;
	}
	atomic_fetch_sub(&vectored_walkers, 1);
	return verdict;
}

/*
 * Asks the frames from @frame on. Does not return if one takes the exception:
 * the thread goes on there, with the signal mask @mask. Faults in a filter are
 * the business of the frames around its own.
 */
static int call_frames(LIBNT_TRY_FRAME *frame, EXCEPTION_POINTERS *pointers,
		       const siginfo_t *si, const sigset_t *mask)
{
	LIBNT_TRY_FRAME *innermost = frames;
	int verdict;

	for (; frame; frame = frame->Previous) {
		frames = frame->Previous;
		verdict = EXCEPTION_EXECUTE_HANDLER;
		if (frame->Filter)
			verdict = frame->Filter(pointers, frame->Argument);
		if (verdict < 0) {
			frames = innermost;
			return EXCEPTION_CONTINUE_EXECUTION;
		}
		if (verdict == EXCEPTION_CONTINUE_SEARCH)
			continue;
		frame->Record = *pointers->ExceptionRecord;
		frame->Pointers.ExceptionRecord = &frame->Record;
		frame->Pointers.ContextRecord = NULL;
		memcpy(frame->SignalInfo, si, sizeof(*si));
		if (mask)
			sigprocmask(SIG_SETMASK, mask, NULL);
		longjmp(frame->Jump, 1);
	}
	frames = innermost;
	return EXCEPTION_CONTINUE_SEARCH;
}

static void on_fault(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	EXCEPTION_RECORD record;
	EXCEPTION_POINTERS pointers = { &record, uc };
	int saved = errno;

	if (refused)
		refused = 0;
	else if (atomic_load(&enabled) && describe(sig, si, uc, &record) &&
		 (call_vectored(&pointers) == EXCEPTION_CONTINUE_EXECUTION ||
		  call_frames(frames, &pointers, si, &uc->uc_sigmask) ==
			EXCEPTION_CONTINUE_EXECUTION))
		goto out;
	chain(sig, si, uc);
out:
	errno = saved;
}

void NTAPI LibntTryPush(LIBNT_TRY_FRAME *Frame, LIBNT_FILTER Filter, PVOID Argument)
{
	Frame->Previous = frames;
	Frame->Filter = Filter;
	Frame->Argument = Argument;
	/* A fault from here on finds the frame whole. */
	atomic_signal_fence(memory_order_seq_cst);
	frames = Frame;
}

void NTAPI LibntTryPop(LIBNT_TRY_FRAME *Frame)
{
	frames = Frame->Previous;
}

/*
 * The frame has the exception, its function is back at the setjmp() and says
 * what to do. Returns only for the handler. Where the fault happened is gone by
 * now: nothing can be continued.
 */
int NTAPI LibntTryDecide(LIBNT_TRY_FRAME *Frame, int Verdict)
{
	siginfo_t si;
	int sig;

	if (Verdict > 0)
		return 1;
	memcpy(&si, Frame->SignalInfo, sizeof(si));
	sig = si.si_signo;
	if (Verdict == EXCEPTION_CONTINUE_SEARCH)
		call_frames(Frame->Previous, &Frame->Pointers, &si, NULL);

	/* Nobody: as the first signal would have ended, and no return from that. */
	refused = 1;
	syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, &si);
	signal(sig, SIG_DFL);
	raise(sig);
	abort();
}

/* --- on and off ---------------------------------------------------------------------------- */

NTSTATUS NTAPI LibntEnableExceptions(ULONG Flags)
{
	struct sigaction act = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	int saved = errno;
	LIBNT_INFO info;
	NTSTATUS status;
	unsigned int i;

	if (Flags & ~(ULONG)LIBNT_EXCEPTIONS_ALL)
		return STATUS_INVALID_PARAMETER;
	/* Opens the device: the handler may not be the first to need it. */
	status = LibntGetInfo(NtCurrentProcess(), &info);
	if (status != STATUS_SUCCESS)
		return status;
	status = nt_altstack_set();
	if (status != STATUS_SUCCESS)
		return status;
	sigemptyset(&act.sa_mask);
	lock();
	atomic_store(&enabled_flags, Flags);
	if (!atomic_load(&installed)) {
		for (i = 0; i < SIGNALS; i++) {
			sigaction(signals[i], NULL, &before[i]);
			atomic_store(&reset_before[i], false);
		}
		for (i = 0; i < SIGNALS; i++)
			sigaction(signals[i], &act, NULL);
		atomic_store(&installed, true);
	}
	atomic_store(&enabled, true);
	unlock();
	errno = saved;
	return STATUS_SUCCESS;
}

NTSTATUS NTAPI LibntDisableExceptions(void)
{
	struct sigaction now[SIGNALS];
	int saved = errno;
	int ours = 1;
	unsigned int i;

	lock();
	atomic_store(&enabled, false);
	if (atomic_load(&installed)) {
		for (i = 0; i < SIGNALS; i++) {
			sigaction(signals[i], NULL, &now[i]);
			if (!(now[i].sa_flags & SA_SIGINFO) || now[i].sa_sigaction != on_fault)
				ours = 0;
		}
		/* Who came after us may pass signals on to us: stay, and pass them on. */
		if (ours) {
			for (i = 0; i < SIGNALS; i++) {
				if (atomic_load(&reset_before[i]))
					before[i].sa_handler = SIG_DFL;
				sigaction(signals[i], &before[i], NULL);
			}
			atomic_store(&installed, false);
		}
	}
	unlock();
	errno = saved;
	return STATUS_SUCCESS;
}

/* --- vectored handlers ------------------------------------------------------------------------ */

/* The lock is held. */
static void free_dead(void)
{
	struct vectored *v;

	while (!atomic_load(&vectored_walkers) && (v = vectored_dead)) {
		vectored_dead = v->dead;
		free(v);
	}
}

PVOID NTAPI RtlAddVectoredExceptionHandler(ULONG First, PVECTORED_EXCEPTION_HANDLER Handler)
{
	struct vectored *_Atomic *at = &vectored_first;
	struct vectored *v, *next;
	int saved = errno;

	v = Handler ? malloc(sizeof(*v)) : NULL;
	errno = saved;
	if (!v)
		return NULL;
	v->fn = Handler;
	lock();
	if (!First)
		while ((next = atomic_load(at)))
			at = &next->next;
	atomic_init(&v->next, atomic_load(at));
	atomic_store(at, v);
	free_dead();
	unlock();
	return v;
}

ULONG NTAPI RtlRemoveVectoredExceptionHandler(PVOID Handle)
{
	struct vectored *_Atomic *at = &vectored_first;
	struct vectored *v;

	lock();
	while ((v = atomic_load(at)) && v != Handle)
		at = &v->next;
	if (v) {
		/* It keeps its own next: somebody may stand on it. */
		atomic_store(at, atomic_load(&v->next));
		v->dead = vectored_dead;
		vectored_dead = v;
		free_dead();
	}
	unlock();
	return v != NULL;
}
