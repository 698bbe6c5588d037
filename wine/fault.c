// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Guard pages: Wine's handler of SIGSEGV, with a handler around it.
 *
 * ntvm takes the guard from the page and remembers that this thread hit it; Wine's
 * handler does not know the page and makes an access violation of the signal. What
 * the program gets is decided here, after Wine has put it on the thread's stack: by
 * the calling convention of KiUserExceptionDispatcher the CONTEXT is at RSP, and the
 * EXCEPTION_RECORD behind it. If that is the record of this very fault, its code
 * becomes STATUS_GUARD_PAGE_VIOLATION. If it is not, nothing is touched.
 *
 * A thread's stack that lies in ntvm's memory (Wine's own do not, but a program can
 * name any memory) grows here instead, by Windows' rules, and no one is told.
 *
 * The handler may run before the thread has its TLS: Wine's handler sees to that.
 * So there is no errno here and nothing of the C library, system calls are made
 * by hand, and the file is compiled without a stack protector.
 */
#include "backend.h"

#include <sys/syscall.h>
#include <ucontext.h>

/* How KiUserExceptionDispatcher finds things on its stack, on x86-64. */
#define RECORD_OFFSET	0x4f0

struct exception_record {
	DWORD code, flags;
	uint64_t next, address;
	DWORD nr, pad;
	uint64_t info[15];
};

/* Parts of the TEB. */
#define TEB_STACK_BASE		"0x8"
#define TEB_STACK_LIMIT		"0x10"
#define TEB_SELF		"0x30"
#define TEB_DEALLOCATION	"0x1478"
#define TEB_GUARANTEED		"0x1748"

#define TEB_READ(offset) ({						\
	uint64_t value_;						\
	__asm__ volatile ("movq %%gs:" offset ", %0" : "=r" (value_));	\
	value_; })

typedef void handler_fn(int, siginfo_t *, void *);

static handler_fn *wine_handler;

static long raw_ioctl(int fd, unsigned long nr, void *arg)
{
	long ret;

	__asm__ volatile ("syscall"
			  : "=a" (ret)
			  : "0" ((long)SYS_ioctl), "D" ((long)fd), "S" (nr), "d" (arg)
			  : "rcx", "r11", "memory");
	return ret;
}

/* Was this fault the hit of a guard page of ntvm's? */
static bool was_guard_hit(const siginfo_t *si)
{
	struct ntvm_take_fault req = {
		.size = sizeof(req),
		.handle = NTVM_CURRENT_PROCESS,
	};

	if (si->si_code <= 0 || si->si_code == SI_KERNEL)
		return false;
	return !raw_ioctl(nt_own_fd(), NTVM_IOC_TAKE_FAULT, &req) &&
	       req.status == NTVM_STATUS_SUCCESS && req.out_kind == NTVM_FAULT_GUARD &&
	       req.out_address == PAGE_OF(si->si_addr);
}

static bool commit(uint64_t base, uint64_t len, uint32_t protect)
{
	struct ntvm_allocate req = {
		.size = sizeof(req),
		.handle = NTVM_CURRENT_PROCESS,
		.base = base,
		.len = len,
		.type = MEM_COMMIT,
		.protect = protect,
	};

	return !raw_ioctl(nt_own_fd(), NTVM_IOC_ALLOCATE, &req) &&
	       req.status == NTVM_STATUS_SUCCESS;
}

/*
 * What the hit of a guard page means: SUCCESS if it was that of the thread's stack
 * and the next page below has taken over. The lowest page is never used, and what
 * SetThreadStackGuarantee() asked for is left for whoever handles the overflow.
 */
static NTSTATUS meaning_of(uint64_t page)
{
	uint64_t base = TEB_READ(TEB_STACK_BASE), low = TEB_READ(TEB_DEALLOCATION);
	uint64_t left = ((TEB_READ(TEB_GUARANTEED) & 0xffffffff) + PAGE - 1) & ~(PAGE - 1);
	NTSTATUS status = STATUS_SUCCESS;

	if (page < low || page >= base)
		return STATUS_GUARD_PAGE_VIOLATION;
	if (page - PAGE > low + left && commit(page - PAGE, PAGE, PAGE_READWRITE | PAGE_GUARD)) {
		low = page;
	} else {
		status = STATUS_STACK_OVERFLOW;
		low += PAGE;
		if (page > low)
			commit(low, page - low, PAGE_READWRITE);
	}
	__asm__ volatile ("movq %0, %%gs:" TEB_STACK_LIMIT : : "r" (low) : "memory");
	return status;
}

static void on_segv(int sig, siginfo_t *si, void *arg)
{
	greg_t *regs = ((ucontext_t *)arg)->uc_mcontext.gregs;
	uint64_t ip = (uint64_t)regs[REG_RIP], sp = (uint64_t)regs[REG_RSP];
	uint64_t address = (uint64_t)si->si_addr, at;
	struct exception_record *record;
	NTSTATUS code = STATUS_ACCESS_VIOLATION;

	if (was_guard_hit(si)) {
		code = meaning_of(PAGE_OF(address));
		if (code == STATUS_SUCCESS) {
			count(COUNT_GUARD_STACK);
			return;
		}
	}
	wine_handler(sig, si, arg);
	if (code == STATUS_ACCESS_VIOLATION)
		return;
	at = (uint64_t)regs[REG_RSP] + RECORD_OFFSET;
	record = (struct exception_record *)at;
	/*
	 * A fault inside a system call ends in Wine's own code, as a status. Else the
	 * record lies on the stack that the thread was on, below where it was.
	 */
	if ((uint64_t)regs[REG_RIP] == ip || wine_text_has((uint64_t)regs[REG_RIP]) ||
	    (uint64_t)regs[REG_RSP] >= sp || at + sizeof(*record) > sp ||
	    sp - at > 65536 ||
	    record->code != (DWORD)STATUS_ACCESS_VIOLATION || record->nr != 2 ||
	    record->address != ip || record->info[1] != address) {
		count(COUNT_GUARD_MISSED);
		return;
	}
	record->code = (DWORD)code;
	count(COUNT_GUARD_HITS);
}

void fault_wrap(const struct sigaction *act, struct sigaction *ours)
{
	wine_handler = act->sa_sigaction;
	*ours = *act;
	ours->sa_sigaction = on_segv;
}
