// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything meets everything: processes with handles on each other that make
 * every call there is, while others touch the pages, and fork, exec, exit, kill,
 * unmap, advise, trace, swap, migrate and merge around them. `make soak` runs it
 * for long; this file alone runs for NTVM_SOAK_SECONDS (30). The course depends
 * on NTVM_SOAK_SEED, which is told at the start and with a failure.
 *
 * A page of the regions PLAIN, WATCH and LOOSE has one owner: one thread, of the
 * process itself or of another one that has a handle. Only the owner commits and
 * decommits it. The page's life word is in memory that all processes share. The
 * owner makes it odd before it commits, and even after the decommit (or munmap)
 * has returned. A dead owner leaves it as it is, and who succeeds it decommits
 * first. Every word that an owner writes names the process and its incarnation,
 * the page, and the life. This is what must hold whenever anybody looks, and why
 * no race that is allowed can break it:
 *
 * - A read that succeeds although the life word was the same even number before
 *   and after it has read a page that was not committed: nobody but the owner
 *   could have committed it, and would have changed the word first.
 * - A word that is read is 0, or of this process, this page, and no life before
 *   the one that the life word told before the read: what an earlier life wrote
 *   was gone when the decommit returned, which was before the word changed. Nor is
 *   it of a later one than the word tells after the read.
 * - After a kill or an exec the old mm lives on for who is in the middle of using
 *   it, and a handle is to that, while the life words are the next incarnation's.
 *   So of both rules only the process and the page hold, unless the incarnation
 *   is the same after the read as it was before, or when the handle was opened.
 * - In the middle of each page others write too, by whatever way, and may do so
 *   late: such words name the process's number and the page only.
 * - The owner finds zero after a commit and then what it wrote, except after it
 *   gave the contents up itself (RESET, offer, discard, MADV_REMOVE): then zero
 *   or what it wrote. It finds rights as it set them, since nobody else does.
 * - LOOSE is unmapped and mapped over by its owner, which makes all words odd
 *   before something foreign (and zero) is put there. PLAIN and WATCH are never
 *   taken away; there, mprotect, mremap and userfaultfd for missing pages must
 *   be refused.
 * - In the region ANARCHY everybody does everything. What is read there is 0, or
 *   of this process's number and this page.
 * - A fork child reads nothing of PLAIN and WATCH, not even zero.
 * - Every status is one that the ABI header names for the request. Refusals for
 *   lack of memory or by a limit are always possible.
 *
 * In the end nothing is left in the accounts of the process and of the kernel.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	7200

#define USERS		3
#define OUTSIDER	USERS		/* numbers of processes that are no users */
#define SETTER		(USERS + 1)
#define MAIN		(USERS + 2)

/* Pages that are looked at lie in groups of 8, which are far apart. */
#define GROUP		8
#define GROUPS		4
#define APART		256		/* pages */
#define PAGES		(GROUP * GROUPS)
#define SIZE		(GROUPS * APART * P)
#define LAST_WORD	(P - 8)
#define MIDDLE		128		/* where others write */
#define CODE		256

enum region { PLAIN, WATCH, LOOSE, REGIONS };
static const uintptr_t base_of[REGIONS] = { 0x50000000, 0x51000000, 0x52000000 };
#define ALL		(REGIONS * PAGES)

#define ANARCHY		((uintptr_t)0x54000000)
#define ANARCHY_PAGES	2048u

enum thread { OWNER0, OWNER1, REMOTE, LOOSER, ANARCHIST, MISC, LOOKER, THREADS };
static const char *const thread_names[THREADS] = {
	"owner 0", "owner 1", "remote owner", "looser", "anarchist", "misc", "looker",
};

#define S_(x) STATUS_##x
#define SHORT_OF	S_(INSUFFICIENT_RESOURCES)

/* What is done, and what a request may answer besides SUCCESS. */
enum kind {
	K_RESERVE, K_COMMIT, K_DECOMMIT, K_RELEASE, K_PROTECT, K_QUERY, K_LOCK, K_UNLOCK,
	K_RESET, K_OFFER, K_WATCH, K_LARGE, K_PLACEHOLDER, K_COPY, K_BATCH, K_LIMIT, K_STACK,
	K_PREFETCH, K_HANDLE, K_CONTRACT,
	K_TOUCH, K_FORK, K_EXEC, K_EXIT, K_KILL, K_MUNMAP, K_MMAP, K_MREMAP, K_MPROTECT,
	K_MADVISE, K_PTRACE, K_VM, K_PROC, K_UFFD, K_KSM, K_MIGRATE, K_PRESSURE, K_SETTING,
	K_AFFINITY, KINDS
};

static const struct {
	const char *name;
	NTSTATUS may[8];
} kinds[KINDS] = {
	[K_RESERVE] = { "reserve", { SHORT_OF, S_(NO_MEMORY), S_(COMMITMENT_LIMIT),
				 S_(CONFLICTING_ADDRESSES) } },
	[K_COMMIT] = { "commit", { SHORT_OF, S_(NO_MEMORY), S_(COMMITMENT_LIMIT),
				   S_(CONFLICTING_ADDRESSES), S_(ALREADY_COMMITTED) } },
	[K_DECOMMIT] = { "decommit", { SHORT_OF, S_(MEMORY_NOT_ALLOCATED), S_(UNABLE_TO_FREE_VM),
				       S_(FREE_VM_NOT_AT_BASE) } },
	[K_RELEASE] = { "release", { SHORT_OF, S_(MEMORY_NOT_ALLOCATED), S_(UNABLE_TO_FREE_VM),
				     S_(FREE_VM_NOT_AT_BASE), S_(INVALID_PARAMETER_3),
				     S_(CONFLICTING_ADDRESSES) } },
	[K_PROTECT] = { "protect", { SHORT_OF, S_(CONFLICTING_ADDRESSES), S_(NOT_COMMITTED),
				     S_(INVALID_PARAMETER), S_(INVALID_PAGE_PROTECTION) } },
	[K_QUERY] = { "query", { SHORT_OF, S_(INVALID_ADDRESS) } },
	[K_LOCK] = { "lock", { SHORT_OF, S_(NO_MEMORY), S_(WORKING_SET_QUOTA), S_(WAS_LOCKED),
			       S_(ACCESS_VIOLATION), S_(GUARD_PAGE_VIOLATION), S_(IN_PAGE_ERROR),
			       S_(MEMORY_NOT_ALLOCATED) } },
	[K_UNLOCK] = { "unlock", { S_(NOT_LOCKED), S_(MEMORY_NOT_ALLOCATED) } },
	[K_RESET] = { "reset", { SHORT_OF, S_(UNSUCCESSFUL), S_(CONFLICTING_ADDRESSES),
				 S_(ALREADY_COMMITTED) } },
	[K_OFFER] = { "offer", { SHORT_OF, S_(DEVICE_BUSY), S_(CONFLICTING_ADDRESSES),
				 S_(NOT_COMMITTED), S_(INVALID_PAGE_PROTECTION) } },
	[K_WATCH] = { "watch", { SHORT_OF, S_(INVALID_PARAMETER) } },
	[K_LARGE] = { "large", { SHORT_OF, S_(NO_MEMORY), S_(COMMITMENT_LIMIT),
				 S_(CONFLICTING_ADDRESSES) } },
	[K_PLACEHOLDER] = { "placeholder", { SHORT_OF, S_(NO_MEMORY), S_(COMMITMENT_LIMIT),
					     S_(CONFLICTING_ADDRESSES), S_(INVALID_PARAMETER) } },
	[K_COPY] = { "copy", { SHORT_OF, S_(PARTIAL_COPY) } },
	[K_BATCH] = { "batch", { SHORT_OF } },
	[K_LIMIT] = { "limit", { SHORT_OF, S_(COMMITMENT_LIMIT), S_(ACCESS_DENIED) } },
	[K_STACK] = { "stack", { SHORT_OF, S_(NO_MEMORY), S_(COMMITMENT_LIMIT) } },
	[K_PREFETCH] = { "prefetch", { SHORT_OF } },
	[K_HANDLE] = { "handle", { SHORT_OF, S_(INVALID_CID), S_(ACCESS_DENIED), S_(NOT_FOUND) } },
	[K_CONTRACT] = { "contract", { SHORT_OF } },
	[K_TOUCH] = { "touch", { 0 } },
	[K_FORK] = { "fork", { 0 } }, [K_EXEC] = { "exec", { 0 } }, [K_EXIT] = { "exit", { 0 } },
	[K_KILL] = { "kill", { 0 } }, [K_MUNMAP] = { "munmap", { 0 } },
	[K_MMAP] = { "mmap", { 0 } }, [K_MREMAP] = { "mremap", { 0 } },
	[K_MPROTECT] = { "mprotect", { 0 } }, [K_MADVISE] = { "madvise", { 0 } },
	[K_PTRACE] = { "ptrace", { 0 } }, [K_VM] = { "process_vm", { 0 } },
	[K_PROC] = { "proc", { 0 } }, [K_UFFD] = { "userfaultfd", { 0 } },
	[K_KSM] = { "ksm", { 0 } }, [K_MIGRATE] = { "migrate", { 0 } },
	[K_PRESSURE] = { "pressure", { 0 } }, [K_SETTING] = { "setting", { 0 } },
	[K_AFFINITY] = { "affinity", { 0 } },
};

/* --- what all processes share ------------------------------------------------------ */

/* One thing that was done to pages of @user. */
struct op {
	uint32_t seq;			/* 0: nothing yet */
	uint32_t ms;
	uint8_t user;
	uint8_t by, thread;
	uint8_t kind;
	uint16_t first, nr;		/* pages, of ALL */
	uint32_t life;
	uint32_t detail;
	uint32_t status;
};

#define LOG		32768
#define STORY		24
#define PENDING		0x103u

struct user {
	int pid;
	uint32_t inc;			/* incarnation */
	uint32_t order;			/* 1: exit, 2: exec */
	bool ready, done;
	int tid[THREADS];
	uint32_t at[THREADS];		/* the kind each is at */
	uint32_t now[THREADS];		/* the page of this process that each is at */
	uint32_t life[ALL];
};

struct shared {
	uint32_t seed;
	uint32_t errors;
	bool stop, check;
	double start;
	struct user user[USERS];
	uint64_t count[KINDS];
	uint64_t hits;			/* reads that found data */
	uint64_t shorts;		/* calls refused for lack of something */
	uint32_t restarts, oom;
	char first[512];
	uint32_t bad_user, bad_page;
	struct op story[STORY];
	uint32_t log_next;
	struct op log[LOG];
};

static struct shared *S;
static int shared_fd = -1;
static uint32_t seed_asked;
static __thread uint8_t my_user = MAIN, my_thread;
static uint32_t my_inc;

static uint32_t load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void store32(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

static bool stopped(void)
{
	return __atomic_load_n(&S->stop, __ATOMIC_RELAXED);
}

static void count(enum kind kind)
{
	__atomic_fetch_add(&S->count[kind], 1, __ATOMIC_RELAXED);
	if (my_user < USERS)
		__atomic_store_n(&S->user[my_user].at[my_thread], kind, __ATOMIC_RELAXED);
}

/* Notes that something is being done to pages of a user; the result comes later. */
static struct op *note(enum kind kind, unsigned int user, unsigned int first, unsigned int nr,
		       uint32_t detail)
{
	uint32_t seq = __atomic_add_fetch(&S->log_next, 1, __ATOMIC_RELAXED);
	struct op *op = &S->log[seq % LOG];

	count(kind);
	*op = (struct op){
		.seq = seq, .ms = (now() - S->start) * 1000, .user = user, .by = my_user,
		.thread = my_thread, .kind = kind, .first = first, .nr = nr, .detail = detail,
		.life = first < ALL ? load32(&S->user[user].life[first]) : 0, .status = PENDING,
	};
	return op;
}

/* The first failure is kept, with the last that was done to the page. */
static void wrong(unsigned int user, unsigned int page, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void wrong(unsigned int user, unsigned int page, const char *fmt, ...)
{
	uint32_t seq, n = 0;
	va_list ap;
	int len;

	if (__atomic_fetch_add(&S->errors, 1, __ATOMIC_SEQ_CST))
		return;
	len = snprintf(S->first, sizeof(S->first), "%u/%u, %s: ", my_user, my_inc,
		       my_user < USERS ? thread_names[my_thread] : "from outside");
	va_start(ap, fmt);
	vsnprintf(S->first + len, sizeof(S->first) - len, fmt, ap);
	va_end(ap);
	S->bad_user = user;
	S->bad_page = page;
	for (seq = load32(&S->log_next); seq && n < STORY && load32(&S->log_next) - seq < LOG; seq--) {
		const struct op *op = &S->log[seq % LOG];

		if (op->seq == seq && op->user == user && op->first <= page &&
		    page < (uint32_t)op->first + op->nr)
			S->story[n++] = *op;
	}
	__atomic_store_n(&S->stop, true, __ATOMIC_SEQ_CST);
}

/* Is it a status that the request may answer? */
static NTSTATUS judge(enum kind kind, HANDLE h, unsigned int user, unsigned int page, NTSTATUS status)
{
	size_t i;

	if (status == STATUS_SUCCESS)
		return status;
	for (i = 0; i < ARRAY_SIZE(kinds[kind].may) && kinds[kind].may[i]; i++) {
		if (kinds[kind].may[i] != status)
			continue;
		if (status == S_(INSUFFICIENT_RESOURCES) || status == S_(NO_MEMORY) ||
		    status == S_(COMMITMENT_LIMIT))
			__atomic_fetch_add(&S->shorts, 1, __ATOMIC_RELAXED);
		return status;
	}
	if (h != ME && status == STATUS_PROCESS_IS_TERMINATING)
		return status;
	wrong(user, page, "%s answers %s", kinds[kind].name, status_name(status));
	return status;
}

static bool is_short(NTSTATUS status)
{
	return status == S_(INSUFFICIENT_RESOURCES) || status == S_(NO_MEMORY) ||
	       status == S_(COMMITMENT_LIMIT) || status == S_(WORKING_SET_QUOTA) ||
	       status == S_(IN_PAGE_ERROR);
}

/* --- pages and their words ------------------------------------------------------------ */

static uint8_t *address(unsigned int page)
{
	unsigned int i = page % PAGES;

	return (uint8_t *)(base_of[page / PAGES] + (i / GROUP * APART + i % GROUP) * P);
}

#define MAGIC		0x4eull
#define INC_BITS	(0xfffull << 40)
#define LIFE_BITS	0xffffffull

static uint64_t word_of(unsigned int user, uint32_t inc, unsigned int page, uint32_t life)
{
	return MAGIC << 56 | (uint64_t)user << 52 | ((uint64_t)inc << 40 & INC_BITS) |
	       (uint64_t)page << 24 | life;
}

/* The word that others than the owner write. */
static uint64_t middle_of(unsigned int user, unsigned int page)
{
	return word_of(user, 0, page, 0);
}

/* What somebody knew before looking at a page. */
struct look {
	unsigned int user, page, offset;
	uint32_t life, inc;
};

/* Mostly a page that somebody works on now: that is where the races are. */
static unsigned int some_page(unsigned int user, unsigned int *seed)
{
	static const enum thread at[] = { OWNER0, OWNER1, REMOTE, LOOSER };

	if (rand_r(seed) % 8)
		return load32(&S->user[user].now[at[rand_r(seed) % 4]]);
	return rand_r(seed) % ALL;
}

static struct look look_begin(unsigned int user, unsigned int page, unsigned int *seed)
{
	static const unsigned int offsets[] = { 0, LAST_WORD, MIDDLE };

	return (struct look){
		.user = user, .page = page, .offset = offsets[rand_r(seed) % 3],
		.inc = load32(&S->user[user].inc), .life = load32(&S->user[user].life[page]),
	};
}

/* It could be read, and this was there. */
static void look_end(const struct look *l, uint64_t word, const char *how)
{
	uint32_t life = load32(&S->user[l->user].life[l->page]);
	uint32_t inc = load32(&S->user[l->user].inc);
	uint64_t mask = ~LIFE_BITS;
	uint32_t of = word & LIFE_BITS;
	bool same = inc == l->inc;

	__atomic_fetch_add(&S->hits, 1, __ATOMIC_RELAXED);
	if (same && life == l->life && !(life & 1))
		wrong(l->user, l->page, "%s of a page that is not committed (life %u): it reads %#llx",
		      how, life, (unsigned long long)word);
	if (!word)
		return;
	if (!same || l->offset == MIDDLE)
		mask &= ~INC_BITS;
	if ((word ^ word_of(l->user, l->inc, l->page, 0)) & mask)
		wrong(l->user, l->page, "%s at %#x: it reads %#llx, want %#llx or 0", how, l->offset,
		      (unsigned long long)word,
		      (unsigned long long)word_of(l->user, l->inc, l->page, life));
	else if (same && l->offset != MIDDLE && (of < l->life || of > life))
		wrong(l->user, l->page, "%s at %#x: it reads life %u, want %u to %u", how, l->offset,
		      of, l->life, life);
}

/* --- what an owner does ------------------------------------------------------------------ */

/**
 * struct own - a run of pages that a thread owns
 * @user: whose memory
 * @h: a handle to it
 * @inc: its incarnation when the handle was opened
 * @page: the first, of ALL
 * @nr: how many, in one group
 * @lossy: the contents were given up: zero is fine
 * @gone: the process is
 */
struct own {
	unsigned int user;
	HANDLE h;
	uint32_t inc;
	unsigned int page;
	unsigned int nr;
	bool lossy;
	bool gone;
};

#define REFUSED		1	/* no access */
#define LACKING		2	/* try again */

static NTSTATUS own_judge(struct own *o, struct op *op, NTSTATUS status)
{
	op->status = status;
	if (judge(op->kind, o->h, o->user, o->page, status) == STATUS_PROCESS_IS_TERMINATING)
		o->gone = true;
	return status;
}

/* A request that only a lack of something may refuse. */
static bool own_call(struct own *o, struct op *op, NTSTATUS status)
{
	own_judge(o, op, status);
	if (status == STATUS_SUCCESS)
		return true;
	if (!o->gone && !is_short(status))
		wrong(o->user, o->page, "%s(%#x) of %u pages answers %s, want SUCCESS",
		      kinds[op->kind].name, op->detail, o->nr, status_name(status));
	return false;
}

#define NOTE(o, kind, detail)	note(kind, (o)->user, (o)->page, (o)->nr, detail)

/* Has the memory that the handle is to been replaced by another? */
static bool own_stale(struct own *o)
{
	if (o->h != ME && load32(&S->user[o->user].inc) != o->inc)
		o->gone = true;
	return o->gone;
}

static int own_load_once(struct own *o, unsigned int i, unsigned int offset, uint64_t *word)
{
	uint8_t *at = address(o->page + i) + offset;
	SIZE_T done = 0;
	NTSTATUS status;
	int signo;

	if (o->h == ME) {
		signo = probe_load(at, word);
		return signo == SIGSEGV ? REFUSED : signo ? LACKING : 0;
	}
	count(K_COPY);
	status = judge(K_COPY, o->h, o->user, o->page + i,
		       NtReadVirtualMemory(o->h, at, word, sizeof(*word), &done));
	if (status == STATUS_PROCESS_IS_TERMINATING)
		o->gone = true;
	if (own_stale(o) || status == S_(PARTIAL_COPY))
		return REFUSED;
	return status ? LACKING : 0;
}

static int own_store_once(struct own *o, unsigned int i, unsigned int offset, uint64_t word)
{
	uint8_t *at = address(o->page + i) + offset;
	SIZE_T done = 0;
	NTSTATUS status;
	int signo;

	if (o->h == ME) {
		signo = probe_store(at, word);
		return signo == SIGSEGV ? REFUSED : signo ? LACKING : 0;
	}
	count(K_COPY);
	status = judge(K_COPY, o->h, o->user, o->page + i,
		       NtWriteVirtualMemory(o->h, at, &word, sizeof(word), &done));
	if (status == STATUS_PROCESS_IS_TERMINATING)
		o->gone = true;
	if (own_stale(o) || status == S_(PARTIAL_COPY))
		return REFUSED;
	return status ? LACKING : 0;
}

/* Memory may be short for a while, not for good. */
#define PATIENTLY(o, expr) ({							\
	double __until = now() + 20 * slow();					\
	int __r;								\
	while ((__r = (expr)) == LACKING && now() < __until && !stopped())	\
		sleep_ms(5);							\
	if (__r == LACKING && !stopped())					\
		wrong((o)->user, (o)->page, "%s: no memory for 20 s", #expr);	\
	__r;									\
})

static int own_load(struct own *o, unsigned int i, unsigned int offset, uint64_t *word)
{
	return PATIENTLY(o, own_load_once(o, i, offset, word));
}

static int own_store(struct own *o, unsigned int i, unsigned int offset, uint64_t word)
{
	return PATIENTLY(o, own_store_once(o, i, offset, word));
}

/* False if there is no sense in going on. */
static bool own_goes_on(const struct own *o)
{
	return !o->gone && !S->errors;
}

static void own_write(struct own *o)
{
	unsigned int i, k;

	for (i = 0; i < o->nr && own_goes_on(o); i++) {
		uint32_t life = load32(&S->user[o->user].life[o->page + i]);

		for (k = 0; k < 2; k++) {
			int r = own_store(o, i, k ? LAST_WORD : 0,
					  word_of(o->user, o->inc, o->page + i, life));

			if (r == REFUSED && own_goes_on(o))
				wrong(o->user, o->page + i, "page %u: life %u cannot be written",
				      o->page + i, life);
		}
	}
	o->lossy = false;
}

/* What was written must be there; @fresh: zero must be there. */
static void own_check(struct own *o, bool fresh)
{
	unsigned int i, k;

	for (i = 0; i < o->nr && own_goes_on(o); i++) {
		uint32_t life = load32(&S->user[o->user].life[o->page + i]);
		uint64_t want = fresh ? 0 : word_of(o->user, o->inc, o->page + i, life);

		for (k = 0; k < 2; k++) {
			uint64_t word = 0;
			int r = own_load(o, i, k ? LAST_WORD : 0, &word);

			if (!own_goes_on(o) || r == LACKING)
				return;
			if (r)
				wrong(o->user, o->page + i, "page %u: life %u cannot be read",
				      o->page + i, life);
			else if (word != want && (word || !o->lossy))
				wrong(o->user, o->page + i, "page %u, life %u: it reads %#llx, want %#llx%s",
				      o->page + i, life, (unsigned long long)word,
				      (unsigned long long)want, o->lossy ? " or 0" : "");
		}
	}
}

static void own_refused(struct own *o, bool write, const char *why)
{
	unsigned int i;

	for (i = 0; i < o->nr && own_goes_on(o); i++) {
		uint64_t word = middle_of(o->user, o->page + i);
		int r = write ? own_store(o, i, MIDDLE, word) : own_load(o, i, LAST_WORD, &word);

		if (!r && own_goes_on(o))
			wrong(o->user, o->page + i, "page %u: %s although %s (%#llx)", o->page + i,
			      write ? "written" : "read", why, (unsigned long long)word);
	}
}

static bool own_protect(struct own *o, ULONG new_protect)
{
	struct op *op = NOTE(o, K_PROTECT, new_protect);
	uintptr_t at = (uintptr_t)address(o->page);

	return own_call(o, op, do_protect(o->h, at, o->nr * P, new_protect).status);
}

/* One entry of a batch, which answers as the single request. */
static NTSTATUS batch(HANDLE h, ULONG operation, void *at, size_t size, ULONG new_protect)
{
	LIBNT_REQUEST r = {
		.Operation = operation, .BaseAddress = (uintptr_t)at, .RegionSize = size,
		.Protect = new_protect,
	};
	NTSTATUS status;
	ULONG done;

	count(K_BATCH);
	status = LibntVirtualMemoryBatch(h, &r, 1, 0, &done);
	return status ? status : r.Status;
}

static bool own_commit(struct own *o, ULONG protection, unsigned int *seed)
{
	uint8_t *at = address(o->page);
	struct op *op;
	unsigned int i;
	NTSTATUS status;

	for (i = 0; i < o->nr; i++)
		store32(&S->user[o->user].life[o->page + i],
			load32(&S->user[o->user].life[o->page + i]) + 1);
	op = NOTE(o, K_COMMIT, protection);
	if (rand_r(seed) % 4)
		status = do_alloc(o->h, (uintptr_t)at, 0, o->nr * P, MEM_COMMIT, protection).status;
	else
		status = batch(o->h, LIBNT_REQUEST_COMMIT, at, o->nr * P, protection);
	if (own_call(o, op, status))
		return true;
	/* Nothing has changed; a process that is gone has no pages. */
	for (i = 0; i < o->nr && (!o->gone); i++)
		store32(&S->user[o->user].life[o->page + i],
			load32(&S->user[o->user].life[o->page + i]) + 1);
	return false;
}

/* Until it works: what is committed must be got rid of. */
static bool own_decommit(struct own *o, unsigned int *seed)
{
	uint8_t *at = address(o->page);
	double until = now() + 30 * slow();
	unsigned int i;
	struct op *op;
	NTSTATUS status;

	for (;;) {
		op = NOTE(o, K_DECOMMIT, 0);
		if (rand_r(seed) % 4)
			status = do_free(o->h, (uintptr_t)at, o->nr * P, MEM_DECOMMIT).status;
		else
			status = batch(o->h, LIBNT_REQUEST_DECOMMIT, at, o->nr * P, 0);
		if (own_call(o, op, status))
			break;
		if (!own_goes_on(o))
			return false;
		if (now() > until) {
			wrong(o->user, o->page, "a decommit has no memory for 30 s");
			return false;
		}
		sleep_ms(2);
	}
	for (i = 0; i < o->nr; i++)
		store32(&S->user[o->user].life[o->page + i],
			load32(&S->user[o->user].life[o->page + i]) + 1);
	return true;
}

static void own_query(struct own *o, ULONG state, ULONG protection)
{
	struct query q;
	uintptr_t base = base_of[o->page / PAGES];

	count(K_QUERY);
	q = do_query(o->h, (uintptr_t)address(o->page));
	judge(K_QUERY, o->h, o->user, o->page, q.status);
	if (own_stale(o) || q.status)
		return;
	if (q.mbi.State != state || q.mbi.Protect != protection || (uintptr_t)q.mbi.AllocationBase != base)
		wrong(o->user, o->page, "page %u: the query tells state %#x protect %#x base %p, want %#x %#x %#lx",
		      o->page, q.mbi.State, q.mbi.Protect, q.mbi.AllocationBase, state, protection,
		      (unsigned long)base);
}

/* What was written since the last reset, which is the owner's, is listed. */
static void own_watched(struct own *o, bool reset)
{
	PVOID found[GROUP] = { NULL };
	ULONG_PTR nr = GROUP;
	ULONG granularity;
	struct op *op = NOTE(o, K_WATCH, reset);
	NTSTATUS status;

	status = NtGetWriteWatch(o->h, reset ? WRITE_WATCH_FLAG_RESET : 0, address(o->page),
				 o->nr * P, found, &nr, &granularity);
	if (own_call(o, op, status) && !own_stale(o) && nr != o->nr)
		wrong(o->user, o->page, "%u pages were written, write watch lists %u", o->nr,
		      (unsigned int)nr);
}

static void own_lock(struct own *o)
{
	PVOID at = address(o->page);
	SIZE_T size = o->nr * P;
	struct op *op = NOTE(o, K_LOCK, 0);
	NTSTATUS status = own_judge(o, op, NtLockVirtualMemory(o->h, &at, &size, MAP_PROCESS));

	if (status && status != S_(WAS_LOCKED)) {
		if (!o->gone && !is_short(status))
			wrong(o->user, o->page, "lock answers %s", status_name(status));
		return;
	}
	own_check(o, false);
	madvise(address(o->page), P, MADV_PAGEOUT);
	if (!own_goes_on(o))
		return;
	op = NOTE(o, K_UNLOCK, 0);
	at = address(o->page);
	size = o->nr * P;
	own_call(o, op, NtUnlockVirtualMemory(o->h, &at, &size, MAP_PROCESS));
}

static void own_reset(struct own *o, unsigned int *seed)
{
	uintptr_t at = (uintptr_t)address(o->page);
	struct op *op = NOTE(o, K_RESET, MEM_RESET);
	NTSTATUS status;

	o->lossy = true;
	if (!own_call(o, op, do_alloc(o->h, at, 0, o->nr * P, MEM_RESET, PAGE_READWRITE).status))
		return;
	own_check(o, false);
	if (rand_r(seed) & 1) {
		op = NOTE(o, K_RESET, MEM_RESET_UNDO);
		status = own_judge(o, op, do_alloc(o->h, at, 0, o->nr * P, MEM_RESET_UNDO,
						   PAGE_READWRITE).status);
		if (status && status != S_(UNSUCCESSFUL) && !o->gone && !is_short(status))
			wrong(o->user, o->page, "an undo answers %s", status_name(status));
	}
	own_check(o, false);
}

static void own_offer(struct own *o, unsigned int *seed)
{
	uint8_t *at = address(o->page);
	struct op *op = NOTE(o, K_OFFER, 0);
	NTSTATUS status;

	o->lossy = true;
	if (!own_call(o, op, LibntOfferVirtualMemory(o->h, at, o->nr * P, 1 + rand_r(seed) % 4)))
		return;
	own_refused(o, false, "it is offered");
	if (rand_r(seed) % 4 == 0)
		return;		/* ends by the decommit */
	while (own_goes_on(o)) {
		op = NOTE(o, K_OFFER, 1);
		status = own_judge(o, op, LibntReclaimVirtualMemory(o->h, at, o->nr * P));
		if (!status || status == S_(DEVICE_BUSY))
			break;
		if (!o->gone && !is_short(status))
			wrong(o->user, o->page, "a reclaim answers %s", status_name(status));
		sleep_ms(2);
	}
	own_check(o, false);
	if (rand_r(seed) & 1)
		return;
	op = NOTE(o, K_OFFER, 2);
	own_call(o, op, LibntDiscardVirtualMemory(o->h, at, o->nr * P));
	own_check(o, false);
}

static void own_exec(struct own *o)
{
	uint8_t *at = address(o->page) + CODE;
	uint32_t value = o->page << 8 | 5;
	struct probe r;

	if (!own_protect(o, PAGE_EXECUTE_READWRITE) || o->h != ME)
		return;
	if (probe_store(at, 0))		/* brings it in */
		return;
	put_code(at, value);
	if (!own_protect(o, PAGE_EXECUTE_READ))
		return;
	r = probe_exec(at);
	if ((r.signo && r.signo != SIGBUS) || (!r.signo && r.value != value))
		wrong(o->user, o->page, "code gives signal %d value %#x, want %#x", r.signo, r.value,
		      value);
	own_refused(o, true, "EXECUTE_READ");
}

static void own_information(struct own *o)
{
	MEMORY_WORKING_SET_EX_INFORMATION ws = { .VirtualAddress = address(o->page) };
	MEMORY_RANGE_ENTRY range = { address(o->page), o->nr * P };
	MEMORY_REGION_INFORMATION region;
	ULONG zero = 0;

	count(K_QUERY);
	judge(K_QUERY, o->h, o->user, o->page,
	      NtQueryVirtualMemory(o->h, NULL, MemoryWorkingSetExInformation, &ws, sizeof(ws), NULL));
	count(K_QUERY);
	judge(K_QUERY, o->h, o->user, o->page,
	      NtQueryVirtualMemory(o->h, address(o->page), MemoryRegionInformation, &region,
				   sizeof(region), NULL));
	count(K_PREFETCH);
	judge(K_PREFETCH, o->h, o->user, o->page,
	      NtSetInformationVirtualMemory(o->h, VmPrefetchInformation, 1, &range, &zero,
					    sizeof(zero)));
}

static const int advices[] = {
	MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
	MADV_DONTDUMP, MADV_DODUMP, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE,
	MADV_UNMERGEABLE, 20 /* COLD */, 21 /* PAGEOUT */, 22, 23 /* POPULATE_READ, _WRITE */,
	24 /* DONTNEED_LOCKED */, 25 /* COLLAPSE */, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK,
	MADV_KEEPONFORK, 102, 103 /* GUARD_INSTALL, _REMOVE */,
};

/* One more life of some pages. */
static void own_live(struct own *o, unsigned int *seed)
{
	bool watched = o->page / PAGES == WATCH;
	ULONG protection = PAGE_READWRITE;
	unsigned int k;
	uint64_t word;
	int i;

	o->lossy = false;
	store32(&S->user[o->user].now[my_thread], o->page);
	if (!own_commit(o, PAGE_READWRITE, seed))
		return;
	if (rand_r(seed) % 4)
		own_check(o, true);
	own_write(o);
	own_check(o, false);
	if (watched && own_goes_on(o))
		own_watched(o, rand_r(seed) % 3 == 0);
	for (i = rand_r(seed) % 3; i >= 0 && own_goes_on(o); i--) {
		switch (rand_r(seed) % 14) {
		case 0:
			if (own_protect(o, PAGE_READONLY)) {
				own_refused(o, true, "READONLY");
				own_query(o, MEM_COMMIT, PAGE_READONLY);
			}
			own_check(o, false);
			break;
		case 1:
			/* In between others fault it in, and are late at times. */
			for (k = rand_r(seed) % 4; own_protect(o, PAGE_NOACCESS); k--) {
				own_refused(o, false, "NOACCESS");
				if (!k || !own_protect(o, PAGE_READWRITE))
					break;
				sched_yield();
			}
			break;
		case 2:
			if (!own_protect(o, PAGE_READWRITE | PAGE_GUARD))
				break;
			/* Whoever comes first; each page by itself. */
			for (k = 0; k < o->nr; k++)
				own_load(o, k, 0, &word);
			own_check(o, false);
			break;
		case 3:
			if (own_protect(o, PAGE_EXECUTE_READ))
				own_refused(o, true, "EXECUTE_READ");
			own_check(o, false);
			break;
		case 4:
			own_exec(o);
			own_check(o, false);
			break;
		case 5:
			own_lock(o);
			break;
		case 6:
			own_reset(o, seed);
			break;
		case 7:
			own_offer(o, seed);
			i = 0;
			break;
		case 8:
			own_information(o);
			break;
		case 9:
			own_query(o, MEM_COMMIT, protection);
			break;
		default:
			if (o->h == ME) {
				count(K_MADVISE);
				madvise(address(o->page), o->nr * P,
					advices[rand_r(seed) % ARRAY_SIZE(advices)]);
			}
			own_check(o, false);
			break;
		}
		if (!i || !own_goes_on(o))
			break;
		if (!own_protect(o, PAGE_READWRITE))
			break;
		own_write(o);
	}
	/* With the rights that it may have been left with. */
	if (!own_decommit(o, seed))
		return;
	own_refused(o, false, "it was decommitted");
	if (rand_r(seed) % 8 == 0)
		own_query(o, MEM_RESERVE, 0);
}

/* --- handles to others --------------------------------------------------------------- */

static HANDLE open_user(unsigned int user, uint32_t *inc)
{
	OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes) };
	uint32_t before = load32(&S->user[user].inc);
	CLIENT_ID id = { .UniqueProcess = (HANDLE)(uintptr_t)load32((uint32_t *)&S->user[user].pid) };
	HANDLE h = NULL;

	if (user == my_user) {
		*inc = my_inc;
		return ME;
	}
	if (!__atomic_load_n(&S->user[user].ready, __ATOMIC_SEQ_CST) || !id.UniqueProcess)
		return NULL;
	count(K_HANDLE);
	if (NtOpenProcess(&h, NTVM_ACCESS_ALL, &attributes, &id))
		return NULL;
	*inc = load32(&S->user[user].inc);
	/* Somebody else by now, or on the way out. */
	if (*inc != before || !__atomic_load_n(&S->user[user].ready, __ATOMIC_SEQ_CST) ||
	    !info_of(h).Regions) {
		NtClose(h);
		return NULL;
	}
	return h;
}

/* The thread that owns page i of a group, as the process's number and the thread. */
static bool owned_by(unsigned int page, unsigned int user, unsigned int by, unsigned int thread)
{
	unsigned int i = page % GROUP;

	if (page / PAGES == LOOSE)
		return by == user && thread == LOOSER;
	if (i < 3)
		return by == user && thread == OWNER0;
	if (i < 6)
		return by == user && thread == OWNER1;
	return thread == REMOTE && by == (user + i - 5) % USERS;
}

static void *owner(void *arg)
{
	unsigned int seed = (uintptr_t)arg, first = my_thread == OWNER0 ? 0 : 3;
	struct own o = { .user = my_user, .h = ME, .inc = my_inc };

	while (!stopped()) {
		unsigned int i = rand_r(&seed) % 3;

		o.page = rand_r(&seed) % (2 * GROUPS) * GROUP + first + i;
		o.nr = 1 + rand_r(&seed) % (3 - i);
		own_live(&o, &seed);
	}
	return NULL;
}

/* Owns pages in all other processes. */
static void *remote_owner(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	struct own o[USERS] = { { 0 } };
	unsigned int u, page;

	while (!stopped()) {
		u = (my_user + 1 + rand_r(&seed) % (USERS - 1)) % USERS;
		if (!o[u].h || o[u].gone) {
			if (o[u].h)
				NtClose(o[u].h);
			o[u] = (struct own){ .user = u, .nr = 1 };
			o[u].h = open_user(u, &o[u].inc);
			if (!o[u].h) {
				sleep_ms(5);
				continue;
			}
			/* What this one or a former one of us has left. */
			for (page = 0; page < 2 * PAGES && own_goes_on(&o[u]); page++) {
				if (!owned_by(page, u, my_user, REMOTE) ||
				    !(load32(&S->user[u].life[page]) & 1))
					continue;
				o[u].page = page;
				own_decommit(&o[u], &seed);
			}
			continue;
		}
		page = rand_r(&seed) % (2 * GROUPS) * GROUP + 6;
		o[u].page = page + !owned_by(page, u, my_user, REMOTE);
		own_live(&o[u], &seed);
	}
	for (u = 0; u < USERS; u++)
		if (o[u].h)
			NtClose(o[u].h);
	return NULL;
}

/* --- the region that comes and goes ---------------------------------------------------- */

static void all_odd(void)
{
	for (unsigned int page = LOOSE * PAGES; page < ALL; page++)
		store32(&S->user[my_user].life[page], load32(&S->user[my_user].life[page]) | 1);
}

/* After everything is gone; what is left of a page can be read by nobody. */
static void all_even(const char *how)
{
	for (unsigned int page = LOOSE * PAGES; page < ALL; page++) {
		uint32_t life = load32(&S->user[my_user].life[page]);
		uint64_t word;

		store32(&S->user[my_user].life[page], life + (life & 1));
		if (!probe_load(address(page), &word))
			wrong(my_user, page, "page %u reads %#llx after %s", page,
			      (unsigned long long)word, how);
	}
}

/* Whole regions. Only memory, of the group, may be short for it, and not for good. */
static void unmap(void *base, size_t size, unsigned int page, uint32_t detail)
{
	struct op *op = note(K_MUNMAP, my_user, page, size / P, detail);

	do {
		op->status = munmap(base, size);
	} while (op->status && errno == ENOMEM && !S->errors);
	if (op->status)
		wrong(my_user, page, "munmap of whole regions: %s", strerror(errno));
}

/* @zero: by page, its contents may have been cleared */
static void loose_round(struct own *o, bool *zero, unsigned int *seed)
{
	unsigned int page = LOOSE * PAGES + rand_r(seed) % PAGES;
	uint32_t life = load32(&S->user[my_user].life[page]);
	uint8_t *at = address(page);
	static const ULONG protections[] = {
		PAGE_READWRITE, PAGE_READWRITE, PAGE_EXECUTE_READWRITE,
	};
	unsigned int i = page - LOOSE * PAGES, k;
	uint64_t word;

	o->page = page;
	o->nr = 1;
	o->lossy = zero[i];
	store32(&S->user[my_user].now[LOOSER], page);
	switch (rand_r(seed) % 10) {
	case 0:
	case 1:
	case 2:
		if (life & 1) {
			own_check(o, false);
			break;
		}
		o->lossy = zero[i] = false;
		if (own_commit(o, protections[rand_r(seed) % 3], seed)) {
			own_check(o, true);
			own_write(o);
			own_check(o, false);
		}
		break;
	case 3:
		if (!(life & 1) || !own_decommit(o, seed))
			break;
		own_refused(o, false, "it was decommitted");
		break;
	case 4:
		note(K_MADVISE, my_user, page & ~(GROUP - 1), GROUP, MADV_REMOVE);
		for (k = 0; k < GROUP; k++)
			zero[(i & ~(GROUP - 1)) + k] = true;
		madvise(address(page & ~(GROUP - 1)), GROUP * P, MADV_REMOVE);
		break;
	case 5:
		count(K_MREMAP);
		if (mremap((void *)base_of[LOOSE], SIZE, 2 * SIZE, MREMAP_MAYMOVE) != MAP_FAILED)
			wrong(my_user, page, "mremap moved the region");
		break;
	case 6:
		count(K_MPROTECT);
		if (!mprotect(at, P, PROT_READ | PROT_WRITE | PROT_EXEC))
			wrong(my_user, page, "mprotect was not refused");
		break;
	default:
		count(K_MADVISE);
		if (rand_r(seed) & 1)
			madvise((void *)base_of[LOOSE], SIZE,
				advices[rand_r(seed) % ARRAY_SIZE(advices)]);
		else
			madvise(at, (rand_r(seed) % 4 + 1) * P,
				advices[rand_r(seed) % ARRAY_SIZE(advices)]);
		if (life & 1)
			own_check(o, false);
		else if (!probe_load(at, &word))
			wrong(my_user, page, "page %u reads %#llx after an advice", page,
			      (unsigned long long)word);
	}
}

static void *looser(void *arg)
{
	unsigned int seed = (uintptr_t)arg, all = LOOSE * PAGES;
	bool zero[PAGES];
	struct own o;
	void *base = (void *)base_of[LOOSE];
	struct op *op;
	int prot;
	void *m;

	while (!stopped()) {
		ULONG type = MEM_RESERVE | (rand_r(&seed) % 3 ? 0 : MEM_WRITE_WATCH);
		bool commits = rand_r(&seed) % 4 == 0;
		int rounds = rand_r(&seed) % 40;

		o = (struct own){ .user = my_user, .h = ME, .inc = my_inc, .page = all, .nr = 1 };
		memset(zero, 0, sizeof(zero));
		if (commits) {
			type |= MEM_COMMIT;
			all_odd();
		}
		op = note(K_RESERVE, my_user, all, PAGES, type);
		if (!own_call(&o, op, do_alloc(ME, (uintptr_t)base, 0, SIZE, type,
						 PAGE_READWRITE).status)) {
			all_even("a refused allocation");
			sleep_ms(1);
			continue;
		}
		for (o.page = all; commits && o.page < ALL; o.page++) {
			own_check(&o, true);
			own_write(&o);
		}
		while (rounds-- > 0 && !stopped())
			loose_round(&o, zero, &seed);
		switch (rand_r(&seed) % 4) {
		case 0:
			op = note(K_RELEASE, my_user, all, PAGES, 0);
			while (!own_call(&o, op, release(base)) && own_goes_on(&o))
				sleep_ms(1);
			all_even("release");
			break;
		case 1:
			unmap(base, SIZE, all, 0);
			all_even("munmap");
			break;
		default:
			all_odd();
			prot = rand_r(&seed) & 1 ? PROT_READ | PROT_WRITE : PROT_NONE;
			op = note(K_MMAP, my_user, all, PAGES, prot);
			do {
				m = mmap(base, SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
					 MAP_NORESERVE, -1, 0);
			} while (m == MAP_FAILED && errno == ENOMEM && !S->errors);
			op->status = m != base;
			if (m != base)
				wrong(my_user, all, "mmap over the region: %s", strerror(errno));
			for (unsigned int page = all; page < ALL; page++) {
				uint64_t word;

				if (!probe_load(address(page), &word) && word)
					wrong(my_user, page, "page %u reads %#llx in a fresh mapping",
					      page, (unsigned long long)word);
			}
			unmap(base, SIZE, all, 1);
			all_even("munmap of what was mapped over it");
		}
	}
	return NULL;
}

/* --- anarchy ------------------------------------------------------------------------------ */

static const ULONG protections[] = {
	PAGE_READWRITE, PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE,
	PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_READWRITE | PAGE_GUARD,
	PAGE_READONLY | PAGE_GUARD,
};

#define ANARCHY_ID	0x1000u		/* its pages' numbers in words */

static void anarchy_look(unsigned int user, unsigned int page, uint64_t word, const char *how)
{
	__atomic_fetch_add(&S->hits, 1, __ATOMIC_RELAXED);
	if (word && word != middle_of(user, ANARCHY_ID + page))
		wrong(user, ANARCHY_ID + page, "%s of anarchic page %u of process %u: it reads %#llx, want %#llx or 0",
		      how, page, user, (unsigned long long)word,
		      (unsigned long long)middle_of(user, ANARCHY_ID + page));
}

static void anarchy_touch(unsigned int *seed)
{
	unsigned int page = rand_r(seed) % ANARCHY_PAGES;
	uint8_t *at = (uint8_t *)ANARCHY + page * P + rand_r(seed) % 4 * 1016;
	uint64_t word;

	count(K_TOUCH);
	if (rand_r(seed) & 1)
		probe_store(at, middle_of(my_user, ANARCHY_ID + page));
	else if (!probe_load(at, &word))
		anarchy_look(my_user, page, word, "read");
}

/* One request about a random range of it. */
static void anarchy_call(unsigned int user, HANDLE h, unsigned int *seed, bool *gone)
{
	unsigned int page = rand_r(seed) % ANARCHY_PAGES;
	unsigned int nr = rand_r(seed) % (rand_r(seed) % 4 ? 8 : 256) + 1;
	ULONG prot = protections[rand_r(seed) % ARRAY_SIZE(protections)];
	ULONG type, watched[2] = { 0 };
	uintptr_t at;
	PVOID list[16], p;
	ULONG_PTR n = 16;
	SIZE_T size, done;
	uint64_t word;
	enum kind kind;
	NTSTATUS status;

	if (nr > ANARCHY_PAGES - page)
		nr = ANARCHY_PAGES - page;
	at = ANARCHY + page * P;
	size = nr * P;
	p = (PVOID)at;
	switch (rand_r(seed) % 24) {
	case 0 ... 2:
		kind = K_RESERVE;
		type = MEM_RESERVE | (rand_r(seed) & 1 ? MEM_COMMIT : 0) |
		       (rand_r(seed) % 3 ? 0 : MEM_WRITE_WATCH);
		status = do_alloc(h, at, 0, size, type, prot).status;
		break;
	case 3 ... 5:
		kind = K_COMMIT;
		status = do_alloc(h, at, 0, size, MEM_COMMIT, prot).status;
		break;
	case 6:
		kind = K_COMMIT;
		status = batch(h, LIBNT_REQUEST_COMMIT, p, size, prot);
		break;
	case 7:
		kind = K_DECOMMIT;
		status = do_free(h, at, rand_r(seed) % 4 ? size : 0, MEM_DECOMMIT).status;
		break;
	case 8:
		kind = K_PROTECT;
		status = batch(h, LIBNT_REQUEST_PROTECT, p, size, prot);
		break;
	case 9:
	case 10:
		kind = K_PROTECT;
		status = do_protect(h, at, size, prot).status;
		break;
	case 11: {
		struct query q = do_query(h, at);

		kind = K_RELEASE;
		if (q.status || q.mbi.State == MEM_FREE || !q.mbi.AllocationBase)
			return;
		status = do_free(h, (uintptr_t)q.mbi.AllocationBase, 0, MEM_RELEASE).status;
		break;
	}
	case 12:
		kind = K_RELEASE;
		status = do_free(h, at, size, MEM_RELEASE).status;
		break;
	case 13:
		kind = K_QUERY;
		status = do_query(h, at).status;
		break;
	case 14:
		kind = K_LOCK;
		status = NtLockVirtualMemory(h, &p, &size, MAP_PROCESS);
		break;
	case 15:
		kind = K_UNLOCK;
		status = NtUnlockVirtualMemory(h, &p, &size, MAP_PROCESS);
		break;
	case 16:
		kind = K_RESET;
		type = rand_r(seed) & 1 ? MEM_RESET : MEM_RESET_UNDO;
		status = do_alloc(h, at, 0, size, type, PAGE_READWRITE).status;
		break;
	case 17:
		kind = K_OFFER;
		switch (rand_r(seed) % 3) {
		case 0:
			status = LibntOfferVirtualMemory(h, p, size, 1 + rand_r(seed) % 4);
			break;
		case 1:
			status = LibntReclaimVirtualMemory(h, p, size);
			break;
		default:
			status = LibntDiscardVirtualMemory(h, p, size);
		}
		break;
	case 18:
		kind = K_WATCH;
		if (rand_r(seed) & 1)
			status = NtGetWriteWatch(h, rand_r(seed) & 1, p, size, list, &n, watched);
		else
			status = NtResetWriteWatch(h, p, size);
		break;
	case 19:
		kind = K_COPY;
		status = NtReadVirtualMemory(h, p, &word, sizeof(word), &done);
		if (!status)
			anarchy_look(user, page, word, "NtReadVirtualMemory");
		break;
	case 20:
		kind = K_COPY;
		word = middle_of(user, ANARCHY_ID + page);
		status = NtWriteVirtualMemory(h, p, &word, sizeof(word), &done);
		break;
	case 21:
		kind = K_PLACEHOLDER;
		switch (rand_r(seed) % 2) {
		case 0:
			status = do_alloc_ex(h, at, size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
					     PAGE_NOACCESS, NULL, 0).status;
			break;
		default:
			status = do_alloc_ex(h, at, size, MEM_RESERVE | MEM_REPLACE_PLACEHOLDER |
					     MEM_COMMIT, prot, NULL, 0).status;
		}
		break;
	case 22:
		kind = K_RELEASE;
		status = do_free(h, at, size, MEM_RELEASE | (rand_r(seed) & 1 ?
				 MEM_PRESERVE_PLACEHOLDER : MEM_COALESCE_PLACEHOLDERS)).status;
		break;
	default:
		kind = K_LARGE;
		at &= ~(uintptr_t)(2 * MIB - 1);
		status = do_alloc(h, at, 0, 2 * MIB, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES,
				  PAGE_READWRITE).status;
	}
	note(kind, user, ANARCHY_ID + page, nr, prot)->status = status;
	*gone = judge(kind, h, user, ANARCHY_ID + page, status) == STATUS_PROCESS_IS_TERMINATING;
}

/* What a process can do to its own memory besides. */
static void anarchy_outside(unsigned int *seed)
{
	unsigned int page = rand_r(seed) % ANARCHY_PAGES, nr = rand_r(seed) % 64 + 1;
	void *at = (uint8_t *)ANARCHY + page * P;
	struct query q;
	size_t size;

	if (nr > ANARCHY_PAGES - page)
		nr = ANARCHY_PAGES - page;
	size = nr * P;
	/* Whole VMAs are what can be taken away. */
	if (rand_r(seed) & 1) {
		count(K_QUERY);
		q = do_query(ME, (uintptr_t)at);
		if (!q.status && q.mbi.State != MEM_FREE && (uintptr_t)q.mbi.AllocationBase >= ANARCHY) {
			MEMORY_REGION_INFORMATION region;

			if (!NtQueryVirtualMemory(ME, at, MemoryRegionInformation, &region,
						  sizeof(region), NULL) &&
			    (uintptr_t)region.AllocationBase >= ANARCHY &&
			    (uintptr_t)region.AllocationBase + region.RegionSize <=
			    ANARCHY + ANARCHY_PAGES * P) {
				at = region.AllocationBase;
				size = region.RegionSize;
				page = ((uintptr_t)at - ANARCHY) / P;
				nr = size / P;
			}
		}
	}
	switch (rand_r(seed) % 8) {
	case 0:
		note(K_MUNMAP, my_user, ANARCHY_ID + page, nr, 0)->status = munmap(at, size);
		break;
	case 1:
		note(K_MMAP, my_user, ANARCHY_ID + page, nr, 0)->status =
			mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
			     MAP_NORESERVE, -1, 0) == MAP_FAILED;
		break;
	case 2:
		count(K_MPROTECT);
		mprotect(at, size, rand_r(seed) & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 3:
		count(K_MREMAP);
		mremap(at, size, size > P ? size - P : size, 0);
		break;
	case 4:
		count(K_MADVISE);
		madvise(at, size, MADV_REMOVE);
		break;
	default:
		count(K_MADVISE);
		madvise(at, size, advices[rand_r(seed) % ARRAY_SIZE(advices)]);
	}
}

static void *anarchist(void *arg)
{
	unsigned int seed = (uintptr_t)arg, u;
	HANDLE h[USERS] = { NULL };
	uint32_t inc;
	bool gone;

	while (!stopped()) {
		u = rand_r(&seed) & 1 ? my_user : rand_r(&seed) % USERS;
		if (!h[u])
			h[u] = open_user(u, &inc);
		if (!h[u])
			continue;
		gone = false;
		anarchy_call(u, h[u], &seed, &gone);
		if (gone) {
			NtClose(h[u]);
			h[u] = NULL;
		}
		if (rand_r(&seed) % 4 == 0)
			anarchy_outside(&seed);
		for (int i = 0; i < 4; i++)
			anarchy_touch(&seed);
	}
	for (u = 0; u < USERS; u++)
		if (h[u] && h[u] != ME)
			NtClose(h[u]);
	return NULL;
}

/* --- this and that --------------------------------------------------------------------- */

static int exchange = -1;		/* a socket for descriptors */
static int lent = -1;			/* one that is used while it is closed */

static struct sockaddr_un exchange_name(unsigned int user, socklen_t *len)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	*len = offsetof(struct sockaddr_un, sun_path) + 1 +
	       snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "ntvm-race-%u", user);
	return name;
}

static void misc_send(unsigned int *seed)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte = 'f';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct sockaddr_un to;
	int fd = device_open(O_RDWR);

	count(K_HANDLE);
	if (fd < 0)
		return;
	to = exchange_name(rand_r(seed) % USERS, &msg.msg_namelen);
	msg.msg_name = &to;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	sendmsg(exchange, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* Uses what others have sent, while another thread uses it too and it is closed. */
static void misc_receive(unsigned int *seed)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	HANDLE weak;
	int fd = -1;

	if (recvmsg(exchange, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
		return;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	count(K_HANDLE);
	if (!raw_duplicate(LibntFdToHandle(fd), NTVM_ACCESS_QUERY, &weak))
		NtClose(weak);
	__atomic_store_n(&lent, fd, __ATOMIC_RELEASE);
	judge(K_QUERY, NULL, my_user, 0,
	      do_query(LibntFdToHandle(fd), (uintptr_t)address(rand_r(seed) % ALL)).status);
	usleep(rand_r(seed) % 300);
	__atomic_store_n(&lent, -1, __ATOMIC_RELEASE);
	close(fd);
}

/* Whatever became of the number. */
static void use_lent(unsigned int *seed)
{
	int fd = __atomic_load_n(&lent, __ATOMIC_ACQUIRE);
	NTSTATUS status;

	if (fd < 0)
		return;
	count(K_HANDLE);
	status = do_query(LibntFdToHandle(fd), (uintptr_t)address(rand_r(seed) % ALL)).status;
	if (status && status != STATUS_INVALID_HANDLE && status != STATUS_OBJECT_TYPE_MISMATCH)
		judge(K_QUERY, NULL, my_user, 0, status);
}

#define ONLY_SHORT(kind, call) ({						\
	NTSTATUS __s = (call);							\
										\
	count(kind);								\
	if (judge(kind, ME, my_user, ALL, __s) && !is_short(__s))		\
		wrong(my_user, ALL, "%s: %s, want SUCCESS", #call, status_name(__s)); \
	!__s;									\
})

/* Memory of one's own, of which the kernel chose the place: nobody else is there. */
static void misc_churn(unsigned int *seed)
{
	size_t pages = rand_r(seed) % 3 ? rand_r(seed) % 64 + 1 : rand_r(seed) % 1024 + 512;
	ULONG watch = rand_r(seed) % 4 ? 0 : MEM_WRITE_WATCH;
	unsigned int i, step = pages / 16 + 1;
	struct res r = do_alloc(ME, 0, 0, pages * P, MEM_RESERVE | MEM_COMMIT | watch, PAGE_READWRITE);
	uint8_t *p = (uint8_t *)r.base;
	uint64_t word, want;

	if (!ONLY_SHORT(K_RESERVE, r.status))
		return;
	for (i = 0; i < pages; i += step) {
		want = word_of(my_user, my_inc, 0x2000, i);
		if (!probe_load(p + i * P, &word) && word)
			wrong(my_user, ALL, "new memory reads %#llx", (unsigned long long)word);
		probe_store(p + i * P, want);
		if (!probe_load(p + i * P, &word) && word != want && word)
			wrong(my_user, ALL, "it reads %#llx, want %#llx", (unsigned long long)word,
			      (unsigned long long)want);
	}
	if (rand_r(seed) & 1)
		ONLY_SHORT(K_OFFER, LibntOfferVirtualMemory(ME, p, pages * P, 1 + rand_r(seed) % 4));
	else if (rand_r(seed) & 1)
		ONLY_SHORT(K_RESET, do_alloc(ME, r.base, 0, pages * P, MEM_RESET, PAGE_READWRITE).status);
	if (rand_r(seed) & 1)
		usleep(rand_r(seed) % 2000);
	/* An offered page may have been dropped, and is zero or as it was. */
	if (rand_r(seed) & 1) {
		count(K_OFFER);
		judge(K_OFFER, ME, my_user, ALL, LibntReclaimVirtualMemory(ME, p, pages * P));
		for (i = 0; i < pages; i += step) {
			want = word_of(my_user, my_inc, 0x2000, i);
			if (!probe_load(p + i * P, &word) && word != want && word)
				wrong(my_user, ALL, "after a reclaim: %#llx, want %#llx or 0",
				      (unsigned long long)word, (unsigned long long)want);
		}
	}
	while (!ONLY_SHORT(K_RELEASE, release(p)) && !S->errors)
		sleep_ms(1);
}

static void misc_large(unsigned int *seed)
{
	struct res r = do_alloc(ME, 0, 0, 2 * MIB, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES,
				PAGE_READWRITE);
	uint8_t *p = (uint8_t *)r.base;
	unsigned int i;
	uint64_t word;

	if (!ONLY_SHORT(K_LARGE, r.status))
		return;
	for (i = 0; i < 512; i += 37) {
		if (probe_load(p + i * P, &word) || word)
			wrong(my_user, ALL, "a new large page reads %#llx", (unsigned long long)word);
		probe_store(p + i * P, word_of(my_user, my_inc, 0x2001, i));
	}
	count(K_MADVISE);
	madvise(p, 2 * MIB, advices[rand_r(seed) % ARRAY_SIZE(advices)]);
	if (ONLY_SHORT(K_PROTECT, protect(p, 2 * MIB, PAGE_READONLY)) &&
	    probe_store(p + MIB, 1) != SIGSEGV)
		wrong(my_user, ALL, "a large page is written although READONLY");
	for (i = 0; i < 512; i += 37)
		if (probe_load(p + i * P, &word) || word != word_of(my_user, my_inc, 0x2001, i))
			wrong(my_user, ALL, "a large page reads %#llx", (unsigned long long)word);
	while (!ONLY_SHORT(K_RELEASE, release(p)) && !S->errors)
		sleep_ms(1);
}

static void misc_placeholder(unsigned int *seed)
{
	struct res r = do_alloc_ex(ME, 0, 32 * P, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS,
				   NULL, 0);
	ULONG how = MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER |
		    (rand_r(seed) & 1 ? MEM_WRITE_WATCH : 0);
	uintptr_t at = r.base + 8 * P;
	uint64_t word;
	bool split;

	if (!ONLY_SHORT(K_PLACEHOLDER, r.status))
		return;
	split = ONLY_SHORT(K_PLACEHOLDER, do_free(ME, at, 8 * P, MEM_RELEASE |
						  MEM_PRESERVE_PLACEHOLDER).status);
	if (split && ONLY_SHORT(K_PLACEHOLDER, do_alloc_ex(ME, at, 8 * P, how, PAGE_READWRITE, NULL,
							   0).status)) {
		if (!probe_load((void *)at, &word) && word)
			wrong(my_user, ALL, "what replaced a placeholder reads %#llx",
			      (unsigned long long)word);
		probe_store((void *)at, word_of(my_user, my_inc, 0x2002, 1));
		while (!ONLY_SHORT(K_PLACEHOLDER, do_free(ME, at, 8 * P, MEM_RELEASE |
							  MEM_PRESERVE_PLACEHOLDER).status) &&
		       !S->errors)
			sleep_ms(1);
	}
	if (!probe_load((void *)at, &word))
		wrong(my_user, ALL, "a placeholder reads %#llx", (unsigned long long)word);
	if (split)
		while (!ONLY_SHORT(K_PLACEHOLDER, do_free(ME, r.base, 32 * P, MEM_RELEASE |
							  MEM_COALESCE_PLACEHOLDERS).status) &&
		       !S->errors)
			sleep_ms(1);
	while (!ONLY_SHORT(K_RELEASE, release((void *)r.base)) && !S->errors)
		sleep_ms(1);
}

static void misc_limit(unsigned int *seed)
{
	unsigned int u = rand_r(seed) % USERS;
	LIBNT_COMMIT c;
	uint32_t inc;
	HANDLE h = open_user(u, &inc);

	if (!h)
		return;
	count(K_LIMIT);
	if (!judge(K_LIMIT, h, u, ALL, LibntGetCommitLimit(h, &c))) {
		judge(K_LIMIT, h, u, ALL, LibntSetCommitLimit(h, c.CommittedBytes + 4 * P));
		usleep(rand_r(seed) % 2000);
		judge(K_LIMIT, h, u, ALL, LibntSetCommitLimit(h, 0));
	}
	if (h != ME)
		NtClose(h);
}

static void misc_job(unsigned int *seed)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION info = {
		.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_JOB_MEMORY,
		.JobMemoryLimit = 64 * MIB,
	};
	unsigned int u = rand_r(seed) % USERS;
	HANDLE job, h;
	uint32_t inc;

	if (!ONLY_SHORT(K_LIMIT, NtCreateJobObject(&job, 0x1f001f, NULL)))
		return;
	h = open_user(u, &inc);
	ONLY_SHORT(K_LIMIT, NtSetInformationJobObject(job, JobObjectExtendedLimitInformation, &info,
						     sizeof(info)));
	if (h && rand_r(seed) % 4 == 0)
		judge(K_LIMIT, h, u, ALL, NtAssignProcessToJobObject(job, h));
	ONLY_SHORT(K_LIMIT, NtQueryInformationJobObject(job, JobObjectExtendedLimitInformation, &info,
						       sizeof(info), NULL));
	NtClose(job);
	if (h && h != ME)
		NtClose(h);
}

static void misc_stack(void)
{
	INITIAL_TEB teb;
	uint8_t *top;
	int i;

	if (!ONLY_SHORT(K_STACK, RtlCreateUserStack(2 * P, 256 * KIB, 0, P, G, &teb)))
		return;
	top = teb.StackBase;
	if (ONLY_SHORT(K_STACK, LibntSetThreadStack(teb.StackBase, teb.StackLimit,
						   teb.DeallocationStack, 0))) {
		/* An overflow, for want of commit, may come at any of them. */
		for (i = 1; i < 16 && !probe_store(top - i * P, i); i++)
			;
		LibntSetThreadStack(NULL, NULL, NULL, 0);
	}
	RtlFreeUserStack(teb.DeallocationStack);
	/* It does not tell if it lacked something. */
	while (page_state(teb.DeallocationStack) == MEM_RESERVE && !S->errors)
		release(teb.DeallocationStack);
}

static void *misc(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	socklen_t len;
	struct sockaddr_un name = exchange_name(my_user, &len);

	exchange = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bind(exchange, (struct sockaddr *)&name, len);
	prctl(67 /* PR_SET_MEMORY_MERGE */, 1, 0, 0, 0);
	/* What a former one of us has been limited to. */
	LibntSetCommitLimit(ME, 0);
	while (!stopped()) {
		switch (rand_r(&seed) % 16) {
		case 0:
			misc_large(&seed);
			break;
		case 1:
		case 2:
			misc_placeholder(&seed);
			break;
		case 3:
			misc_limit(&seed);
			break;
		case 4:
			misc_job(&seed);
			break;
		case 5:
			misc_stack();
			break;
		case 6:
		case 7:
			misc_send(&seed);
			break;
		case 8 ... 10:
			misc_receive(&seed);
			break;
		case 11:
			count(K_CONTRACT);
			LibntSetContract(ME, rand_r(&seed) & 1);
			break;
		case 12:
			count(K_CONTRACT);
			LibntSetCommitLimit(ME, 0);
			break;
		default:
			misc_churn(&seed);
		}
	}
	LibntSetCommitLimit(ME, 0);
	close(exchange);
	return NULL;
}

/* --- those who look -------------------------------------------------------------------- */

/* Pages between the groups are never committed. */
static void look_between(unsigned int *seed)
{
	unsigned int group = rand_r(seed) % (2 * GROUPS);
	uint8_t *at = address(group * GROUP) + (GROUP + rand_r(seed) % (APART - GROUP)) * P;
	uint64_t word;

	if (!probe_load(at, &word))
		wrong(my_user, group * GROUP, "a page that never was committed (%p) reads %#llx", at,
		      (unsigned long long)word);
}

static void look_at_own(unsigned int *seed)
{
	unsigned int page = some_page(my_user, seed), n;
	uint8_t *at = address(page);
	uint64_t word;

	/* Several times: as it comes and goes. */
	for (n = 0; n < 8; n++) {
		struct look l = look_begin(my_user, page, seed);

		count(K_TOUCH);
		if (rand_r(seed) % 8 == 0)
			probe_store(at + MIDDLE, middle_of(my_user, page));
		else if (!probe_load(at + l.offset, &word))
			look_end(&l, word, "a read");
	}
}

static void look_at_other(unsigned int user, HANDLE *h, uint32_t *inc, unsigned int *seed)
{
	struct look l = look_begin(user, some_page(user, seed), seed);
	uint64_t word = middle_of(user, l.page);
	SIZE_T done;
	NTSTATUS status;

	if (!*h)
		*h = open_user(user, inc);
	if (!*h)
		return;
	l.inc = *inc;
	count(K_COPY);
	if (rand_r(seed) % 8 == 0)
		status = NtWriteVirtualMemory(*h, address(l.page) + MIDDLE, &word, 8, &done);
	else
		status = NtReadVirtualMemory(*h, address(l.page) + l.offset, &word, 8, &done);
	if (judge(K_COPY, *h, user, l.page, status) == STATUS_PROCESS_IS_TERMINATING) {
		NtClose(*h);
		*h = NULL;
	} else if (!status && word != middle_of(user, l.page)) {
		look_end(&l, word, "NtReadVirtualMemory");
	}
}

/* What must be refused for regions that stay, and is. */
static void look_refused(unsigned int *seed)
{
	unsigned int region = rand_r(seed) & 1 ? PLAIN : WATCH, page = region * PAGES;
	void *base = (void *)base_of[region];

	switch (rand_r(seed) % 3) {
	case 0:
		count(K_MREMAP);
		if (mremap(base, SIZE, 2 * SIZE, MREMAP_MAYMOVE) != MAP_FAILED)
			wrong(my_user, page, "mremap moved a region");
		break;
	case 1:
		count(K_MPROTECT);
		if (!mprotect(base, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC))
			wrong(my_user, page, "mprotect was not refused");
		break;
	default:
		count(K_MADVISE);
		if (rand_r(seed) & 1)
			madvise(base, SIZE, advices[rand_r(seed) % ARRAY_SIZE(advices)]);
		else
			madvise(address(page + rand_r(seed) % PAGES), P,
				advices[rand_r(seed) % ARRAY_SIZE(advices)]);
	}
}

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY	1
#endif

static void look_uffd(unsigned int *seed)
{
	/* Asynchronous write protection is for any mapping there is. */
	bool async = rand_r(seed) & 1;
	struct uffdio_api api = { .api = UFFD_API, .features = async ? 1 << 15 | 1 << 13 : 0 };
	struct uffdio_register reg = {
		.range = { base_of[rand_r(seed) & 1 ? PLAIN : WATCH], SIZE },
		.mode = async ? UFFDIO_REGISTER_MODE_WP : UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_writeprotect wp = {
		.range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return;
	count(K_UFFD);
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg)) {
		if (!async)
			wrong(my_user, 0, "userfaultfd registered for missing pages");
		ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
	}
	close(fd);
}

/* The child of a process that has threads: as little as possible. */
static void forked(unsigned int how)
{
	unsigned int page;
	uint64_t word;

	for (page = 0; page < ALL; page++) {
		if (probe_load(address(page), &word))
			continue;
		/* Linux's own mapping over LOOSE is inherited. */
		if (page / PAGES != LOOSE || word)
			wrong(my_user, page, "a fork child reads %#llx in page %u",
			      (unsigned long long)word, page);
		if (page / PAGES != LOOSE && !probe_store(address(page), word))
			wrong(my_user, page, "a fork child writes to page %u", page);
	}
	if (how & 1) {
		struct res r = do_alloc(ME, 0, 0, 16 * P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

		judge(K_RESERVE, ME, my_user, ALL, r.status);
		if (!r.status && !probe_load((void *)r.base, &word) && word)
			wrong(my_user, ALL, "a fork child's new memory reads %#llx",
			      (unsigned long long)word);
		probe_store((void *)r.base, 1);
	}
	if (how & 2)
		kill(getpid(), SIGKILL);
	if (how & 4) {
		static char *const argv[] = { (char *)"test_race", NULL };
		static char *const envp[] = { (char *)"NTVM_RACE_FORKED=1", NULL };

		execve("/proc/self/exe", argv, envp);
	}
	_exit(0);
}

static void look_fork(unsigned int *seed)
{
	unsigned int how = rand_r(seed) % 8;
	double until = now() + 60 * slow();
	int status = 0, n;
	pid_t pid;

	count(K_FORK);
	/* Its children, too, come and go in the middle of everything. */
	pid = fork();
	if (!pid)
		forked(how);
	if (pid < 0)
		return;
	if (rand_r(seed) % 4 == 0)
		kill(pid, SIGKILL);
	while (!(n = waitpid(pid, &status, WNOHANG)) && now() < until)
		sleep_ms(2);
	if (!n) {
		wrong(my_user, ALL, "a fork child (%#x) does not end", how);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	} else if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) && status) {
		wrong(my_user, ALL, "a fork child (%#x) ends with %#x", how, status);
	}
}

static void *looker(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	HANDLE h[USERS] = { NULL };
	uint32_t inc[USERS];

	for (unsigned int n = 1; !stopped(); n++) {
		unsigned int u = rand_r(&seed) % USERS;

		look_at_own(&seed);
		if (n % 2 == 0)
			look_between(&seed);
		if (n % 4 == 0 && u != my_user)
			look_at_other(u, &h[u], &inc[u], &seed);
		if (n % 8 == 0)
			look_refused(&seed);
		if (n % 8 == 4)
			use_lent(&seed);
		if (n % 32 == 0)
			look_uffd(&seed);
		if (n % 64 == 0)
			look_fork(&seed);
	}
	for (int u = 0; u < USERS; u++)
		if (h[u])
			NtClose(h[u]);
	return NULL;
}

/* --- a process that uses ntvm ------------------------------------------------------------- */

static void *(*const bodies[THREADS])(void *) = {
	owner, owner, remote_owner, looser, anarchist, misc, looker,
};

static void *start(void *arg)
{
	my_thread = (uintptr_t)arg;
	S->user[my_user].tid[my_thread] = syscall(__NR_gettid);
	return bodies[my_thread]((void *)(uintptr_t)(S->seed * 2654435761u +
						     my_user * 7919 + my_inc * 104729 + my_thread * 31));
}

/* Threads get the number of their process before anything else. */
static void *start_user(void *arg)
{
	uintptr_t word = (uintptr_t)arg;

	my_user = word >> 8;
	return start((void *)(word & 0xff));
}

static bool empty(void)
{
	LIBNT_INFO info = info_of(ME);

	return !info.Regions && !info.CommittedBytes && !info.ReservedBytes;
}

/* Everybody has stopped: nothing may be left but what is reserved. */
static void user_ends(void)
{
	unsigned int page;
	uint64_t word;

	for (page = 0; page < 2 * PAGES; page++)
		if (!(load32(&S->user[my_user].life[page]) & 1) && !probe_load(address(page), &word))
			wrong(my_user, page, "at the end page %u reads %#llx", page,
			      (unsigned long long)word);
	unmap((void *)base_of[LOOSE], SIZE, LOOSE * PAGES, 2);
	unmap((void *)ANARCHY, ANARCHY_PAGES * P, ANARCHY_ID, 2);
	if (release((void *)base_of[PLAIN]) || release((void *)base_of[WATCH]))
		wrong(my_user, ALL, "a region cannot be released at the end");
	if (!wait_until(10, empty()))
		wrong(my_user, ALL, "at the end there are %zu regions, %zu bytes reserved, %zu committed",
		      info_of(ME).Regions, info_of(ME).ReservedBytes, info_of(ME).CommittedBytes);
}

static int run_user(unsigned int user)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct user *u = &S->user[user];
	pthread_t threads[THREADS];
	uintptr_t t;
	unsigned int page;

	my_user = user;
	my_thread = 0;
	__atomic_store_n(&u->ready, false, __ATOMIC_SEQ_CST);
	my_inc = __atomic_add_fetch(&u->inc, 1, __ATOMIC_SEQ_CST);
	u->pid = getpid();
	store32(&u->order, 0);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	/* The memory is gone with the one before. Pages that others own are theirs to tell. */
	for (page = 0; page < ALL; page++)
		if (page / PAGES == LOOSE || page % GROUP < 6)
			store32(&u->life[page], load32(&u->life[page]) + (load32(&u->life[page]) & 1));
	for (;;) {
		NTSTATUS a = do_alloc(ME, base_of[PLAIN], 0, SIZE, MEM_RESERVE, PAGE_READWRITE).status;
		NTSTATUS b = do_alloc(ME, base_of[WATCH], 0, SIZE, MEM_RESERVE | MEM_WRITE_WATCH,
				      PAGE_READWRITE).status;

		if (!a && !b)
			break;
		judge(K_RESERVE, ME, user, 0, a);
		judge(K_RESERVE, ME, user, PAGES, b);
		if (!a)
			release((void *)base_of[PLAIN]);
		if (!b)
			release((void *)base_of[WATCH]);
		if (stopped())
			return 0;
		sleep_ms(10);
	}
	probe_init();
	__atomic_store_n(&u->ready, true, __ATOMIC_SEQ_CST);
	for (t = 0; t < THREADS; t++)
		while (pthread_create(&threads[t], NULL, start_user, (void *)((uintptr_t)user << 8 | t)))
			sleep_ms(10);
	while (!stopped()) {
		sleep_ms(10);
		if (load32(&u->order) == 1)
			_exit(0);
		if (load32(&u->order) == 2) {
			static char *const argv[] = { (char *)"test_race", NULL };
			char number[32], fd[32], slowness[32];
			char *const envp[] = { number, fd, slowness, NULL };

			snprintf(number, sizeof(number), "NTVM_RACE_USER=%u", user);
			snprintf(fd, sizeof(fd), "NTVM_RACE_FD=%d", shared_fd);
			snprintf(slowness, sizeof(slowness), "NTVM_SLOW=%u", slow());
			__atomic_store_n(&u->ready, false, __ATOMIC_SEQ_CST);
			execve("/proc/self/exe", argv, envp);
			/* No memory, perhaps. */
			store32(&u->order, 0);
			__atomic_store_n(&u->ready, true, __ATOMIC_SEQ_CST);
		}
	}
	for (t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	__atomic_store_n(&u->done, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&S->check, __ATOMIC_SEQ_CST))
		sleep_ms(10);
	if (!S->errors)
		user_ends();
	return 0;
}

static bool shared_map(int fd)
{
	S = mmap(NULL, sizeof(*S), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	shared_fd = fd;
	return S != MAP_FAILED;
}

/* The program after an exec. */
static void __attribute__((constructor)) after_exec(void)
{
	const char *user = getenv("NTVM_RACE_USER"), *fd = getenv("NTVM_RACE_FD");

	if (getenv("NTVM_RACE_FORKED")) {
		unsigned int page;
		uint64_t word;

		for (page = 0; page < ALL; page++)
			if (!probe_load(address(page), &word))
				_exit(11);
		_exit(page_state(address(0)) == MEM_FREE && !info_of(ME).Regions ? 0 : 12);
	}
	if (!user || !fd)
		return;
	_exit(shared_map(atoi(fd)) ? run_user(atoi(user)) : 13);
}

/* --- from outside -------------------------------------------------------------------------- */

static void outside_vm(unsigned int user, pid_t pid, unsigned int *seed)
{
	struct look l = look_begin(user, some_page(user, seed), seed);
	uint64_t word = middle_of(user, l.page);
	struct iovec local = { &word, 8 }, remote = { address(l.page) + l.offset, 8 };

	count(K_VM);
	if (rand_r(seed) % 4 == 0) {
		remote.iov_base = address(l.page) + MIDDLE;
		process_vm_writev(pid, &local, 1, &remote, 1, 0);
	} else if (process_vm_readv(pid, &local, 1, &remote, 1, 0) == 8) {
		look_end(&l, word, "process_vm_readv");
	}
}

static void outside_mem(unsigned int user, pid_t pid, unsigned int *seed)
{
	struct look l = look_begin(user, some_page(user, seed), seed);
	uint64_t word = middle_of(user, l.page);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	count(K_PROC);
	if (rand_r(seed) % 4 == 0) {
		if (pwrite(fd, &word, 8, (uintptr_t)address(l.page) + MIDDLE) != 8)
			errno = 0;
	} else if (pread(fd, &word, 8, (uintptr_t)address(l.page) + l.offset) == 8) {
		look_end(&l, word, "/proc/PID/mem");
	}
	close(fd);
}

static void outside_proc(pid_t pid, unsigned int *seed)
{
	static const char *const files[] = {
		"maps", "smaps", "smaps_rollup", "numa_maps", "status", "stat", "statm", "oom_score",
	};
	static const char *const what[] = { "1", "2", "3", "4" };
	static char buf[65536];
	char path[64];
	int fd;

	count(K_PROC);
	switch (rand_r(seed) % 4) {
	case 0:
		snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
		write_file(path, what[rand_r(seed) % ARRAY_SIZE(what)]);
		break;
	case 1:
		snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		if (pread(fd, buf, 8 * GROUPS * APART, base_of[rand_r(seed) % REGIONS] / P * 8) < 0)
			errno = 0;
		close(fd);
		break;
	default:
		snprintf(path, sizeof(path), "/proc/%d/%s", pid,
			 files[rand_r(seed) % ARRAY_SIZE(files)]);
		read_file(path, buf, sizeof(buf));
	}
}

/* Its own faults go on as if nobody had looked. */
static void outside_detach(pid_t tid, int status)
{
	uintptr_t signo = status >> 16 ? 0 : WSTOPSIG(status);

	ptrace(PTRACE_DETACH, tid, NULL, (void *)signo);
}

static void outside_ptrace(unsigned int user, unsigned int *seed)
{
	/* Not the first thread: its parent waits for that. */
	pid_t tid = S->user[user].tid[rand_r(seed) % THREADS];
	struct look l = look_begin(user, some_page(user, seed), seed);
	double until = now() + 2 * slow();
	int status = 0, n;
	uint64_t word;
	long peek;

	if (tid <= 0 || ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return;
	count(K_PTRACE);
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	while (!(n = waitpid(tid, &status, __WALL | WNOHANG)) && now() < until)
		sleep_ms(1);
	if (n != tid || !WIFSTOPPED(status))
		return;
	if (rand_r(seed) % 4 == 0) {
		word = middle_of(user, l.page);
		ptrace(PTRACE_POKEDATA, tid, address(l.page) + MIDDLE, (void *)(uintptr_t)word);
	} else {
		/* The life may have changed while it was waited for. */
		l = look_begin(user, l.page, seed);
		errno = 0;
		peek = ptrace(PTRACE_PEEKDATA, tid, address(l.page) + l.offset, NULL);
		if (!errno && sizeof(long) == 8)
			look_end(&l, peek, "PTRACE_PEEKDATA");
	}
	outside_detach(tid, status);
}

static void outside_move(pid_t pid, unsigned int *seed)
{
	void *pages[GROUP];
	int nodes[GROUP], status[GROUP], i;
	unsigned int first = rand_r(seed) % (ALL / GROUP) * GROUP, node = rand_r(seed) & 1;
	unsigned long from = 1 << !node, to = 1 << node;

	count(K_MIGRATE);
	for (i = 0; i < GROUP; i++) {
		pages[i] = address(first + i);
		nodes[i] = node;
	}
	if (rand_r(seed) % 8 == 0)
		syscall(__NR_migrate_pages, pid, 8, &from, &to);
	else
		syscall(__NR_move_pages, pid, GROUP, pages, nodes, status, 4 /* MPOL_MF_MOVE_ALL */);
}

static void outside_advise(pid_t pid, unsigned int *seed)
{
	static const int some[] = { 3, 20, 21, 25 };	/* WILLNEED, COLD, PAGEOUT, COLLAPSE */
	struct iovec range = { (void *)base_of[rand_r(seed) % REGIONS], SIZE };
	int fd = syscall(434 /* pidfd_open */, pid, 0);

	if (fd < 0)
		return;
	count(K_MADVISE);
	syscall(440 /* process_madvise */, fd, &range, 1, some[rand_r(seed) % 4], 0);
	close(fd);
}

static void outside_affinity(unsigned int user, unsigned int *seed)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pid_t tid = S->user[user].tid[rand_r(seed) % THREADS];
	cpu_set_t set;

	if (tid <= 0)
		return;
	count(K_AFFINITY);
	CPU_ZERO(&set);
	if (rand_r(seed) & 1)
		CPU_SET(rand_r(seed) % cpus, &set);
	else
		memset(&set, 0xff, sizeof(set));
	sched_setaffinity(tid, sizeof(set), &set);
}

static int run_outsider(void)
{
	unsigned int seed = S->seed ^ 0x5a5a5a;

	my_user = OUTSIDER;
	while (!stopped()) {
		unsigned int user = rand_r(&seed) % USERS;
		pid_t pid = S->user[user].pid, tid;
		int status;

		/* Threads that died as ours have to be buried by us. */
		while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0)
			if (WIFSTOPPED(status))
				outside_detach(tid, status);
		if (pid <= 0 || !S->user[user].ready)
			continue;
		switch (rand_r(&seed) % 16) {
		case 0 ... 4:
			outside_vm(user, pid, &seed);
			break;
		case 5 ... 8:
			outside_mem(user, pid, &seed);
			break;
		case 9:
			outside_proc(pid, &seed);
			break;
		case 10:
		case 11:
			outside_ptrace(user, &seed);
			break;
		case 12:
			outside_move(pid, &seed);
			break;
		case 13:
			outside_advise(pid, &seed);
			break;
		case 14:
			outside_affinity(user, &seed);
			break;
		default:
			break;
		}
		/* Those inside are to have most of the time. */
		usleep(rand_r(&seed) % 4000);
	}
	return 0;
}

/* --- settings -------------------------------------------------------------------------------- */

#define THP	"/sys/kernel/mm/transparent_hugepage/"

static const struct {
	const char *path;
	const char *values[6];
} settings[] = {
	{ THP "enabled", { "always", "madvise", "never" } },
	{ THP "shmem_enabled", { "force", "always", "advise", "within_size", "never", "deny" } },
	{ THP "defrag", { "always", "defer", "madvise" } },
	{ THP "khugepaged/scan_sleep_millisecs", { "50", "500" } },
	{ THP "hugepages-64kB/shmem_enabled", { "always", "inherit", "never" } },
	{ THP "hugepages-2048kB/shmem_enabled", { "always", "inherit", "never" } },
	{ "/sys/kernel/mm/ksm/run", { "1", "1", "2", "0" } },
	{ "/sys/kernel/mm/ksm/sleep_millisecs", { "20", "100" } },
	{ "/proc/sys/vm/swappiness", { "60", "200", "1" } },
};

/* What they were; kept where the parent of the test sees it. */
static struct kept {
	char was[ARRAY_SIZE(settings)][64];
	char group[96], root[64];
	bool mounted, swapping;
} *kept;

static void __attribute__((constructor)) kept_init(void)
{
	kept = mmap(NULL, sizeof(*kept), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void settings_keep(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		char buf[256] = "", *open, *close;

		if (read_file(settings[i].path, buf, sizeof(buf)) <= 0)
			continue;
		open = strchr(buf, '[');
		close = open ? strchr(open, ']') : NULL;
		if (close)
			*close = 0;
		snprintf(kept->was[i], sizeof(kept->was[i]), "%s", close ? open + 1 : buf);
	}
}

static void settings_restore(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++)
		if (kept->was[i][0])
			write_file(settings[i].path, kept->was[i]);
}

static int group_write(const char *file, const char *text)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", kept->group, file);
	return write_file(path, text);
}

static bool group_make(void)
{
	char path[128], buf[1024];

	strcpy(kept->root, "/sys/fs/cgroup");
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK)) {
		strcpy(kept->root, "/tmp/ntvm-cgroup");
		mkdir("/tmp", 01777);
		mkdir(kept->root, 0755);
		if (mount("none", kept->root, "cgroup2", 0, NULL))
			return false;
		kept->mounted = true;
	}
	snprintf(path, sizeof(path), "%s/cgroup.controllers", kept->root);
	if (read_file(path, buf, sizeof(buf)) <= 0 || !strstr(buf, "memory"))
		return false;
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", kept->root);
	write_file(path, "+memory");
	snprintf(kept->group, sizeof(kept->group), "%s/ntvm-race", kept->root);
	return !mkdir(kept->group, 0755) || errno == EEXIST;
}

static void group_remove(void)
{
	int i;

	for (i = 0; i < 200 && kept->group[0] && rmdir(kept->group) && errno == EBUSY; i++)
		sleep_ms(20);
	if (kept->mounted)
		umount(kept->root);
}

/* What takes long is not to keep the other settings waiting. */
static void *pressure(void *arg)
{
	unsigned int seed = S->seed ^ 0x333333;

	(void)arg;
	my_user = SETTER;
	while (!stopped()) {
		switch (rand_r(&seed) % 8) {
		case 0:
			count(K_MIGRATE);
			write_file("/proc/sys/vm/compact_memory", "1");
			break;
		case 1:
			count(K_PRESSURE);
			/* Without a line in the kernel's log for each. */
			write_file("/proc/sys/vm/drop_caches", rand_r(&seed) & 1 ? "6" : "7");
			break;
		case 2 ... 5:
			count(K_PRESSURE);
			group_write("memory.reclaim", rand_r(&seed) & 1 ? "256K" : "2M");
			break;
		default:
			count(K_PRESSURE);
			group_write("memory.max", rand_r(&seed) & 1 ? "24M" : "48M");
			usleep(rand_r(&seed) % 20000);
			group_write("memory.max", "max");
		}
		usleep(rand_r(&seed) % 200000);
	}
	group_write("memory.max", "max");
	return NULL;
}

static int run_setter(void)
{
	unsigned int seed = S->seed ^ 0x777777, i, n;
	pthread_t thread;

	my_user = SETTER;
	if (pthread_create(&thread, NULL, pressure, NULL))
		return 1;
	while (!stopped()) {
		i = rand_r(&seed) % ARRAY_SIZE(settings);
		for (n = 0; n < 6 && settings[i].values[n]; n++)
			;
		if (kept->was[i][0]) {
			count(strstr(settings[i].path, "ksm") ? K_KSM : K_SETTING);
			write_file(settings[i].path, settings[i].values[rand_r(&seed) % n]);
		}
		usleep(rand_r(&seed) % 50000);
	}
	pthread_join(thread, NULL);
	return 0;
}

/* --- the test ------------------------------------------------------------------------------- */

static pid_t spawn(int number)
{
	pid_t pid;
	char text[32];

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (number < USERS) {
		snprintf(text, sizeof(text), "%d", getpid());
		group_write("cgroup.procs", text);
		_exit(run_user(number));
	}
	_exit(number == OUTSIDER ? run_outsider() : run_setter());
}

static const char *user_name(unsigned int by, char buf[32])
{
	if (by < USERS)
		snprintf(buf, 32, "process %u", by);
	else
		snprintf(buf, 32, "%s", by == OUTSIDER ? "the outsider" :
			 by == SETTER ? "the setter" : "the test");
	return buf;
}

static void report(struct __test_metadata *_metadata)
{
	char buf[32];
	int i;

	TH_LOG("NTVM_SOAK_SEED=%u%s, after %.1f s, %u errors, the first, by %s", seed_asked,
	       S->seed == seed_asked ? "" : " (warming up)", now() - S->start, S->errors, S->first);
	TH_LOG("page %u of process %u; the last that was done to it, latest first:", S->bad_page,
	       S->bad_user);
	for (i = 0; i < STORY && S->story[i].seq; i++) {
		const struct op *op = &S->story[i];

		TH_LOG("  %6u.%03u s %s (%s): %s(%#x) of %u pages from %u, life %u: %s", op->ms / 1000,
		       op->ms % 1000, user_name(op->by, buf),
		       op->by < USERS ? thread_names[op->thread] : "-", kinds[op->kind].name,
		       op->detail, op->nr, op->first, op->life,
		       op->status == PENDING ? "under way" : status_name(op->status));
	}
	if (!i)
		TH_LOG("  nothing");
}

/* Says where those are who do not come to an end. */
static void report_hung(struct __test_metadata *_metadata)
{
	unsigned int u, t;
	char path[64], buf[2048];

	for (u = 0; u < USERS; u++) {
		for (t = 0; t < THREADS && !S->user[u].done; t++) {
			snprintf(path, sizeof(path), "/proc/%d/task/%d/stack", S->user[u].pid,
				 S->user[u].tid[t]);
			if (read_file(path, buf, sizeof(buf)) > 0)
				TH_LOG("process %u, %s, at %s:\n%s", u, thread_names[t],
				       kinds[S->user[u].at[t]].name, buf);
		}
	}
}

static bool all_done(const pid_t *pids)
{
	unsigned int u;

	for (u = 0; u < USERS; u++)
		if (pids[u] > 0 && !S->user[u].done)
			return false;
	return true;
}

/* Buries who has ended, and starts users anew. */
static void bury(pid_t *pids, bool restart)
{
	unsigned int u;
	char buf[32];
	int status;

	for (u = 0; u < SETTER + 1; u++) {
		if (pids[u] <= 0 || waitpid(pids[u], &status, WNOHANG) != pids[u])
			continue;
		pids[u] = 0;
		if (u >= USERS && (status || !stopped()))
			wrong(0, ALL, "%s ended with %#x", user_name(u, buf), status);
		else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			S->oom += !S->user[u].order;
		else if (status)
			wrong(u, ALL, "%s ended with %#x", user_name(u, buf), status);
		if (u < USERS && restart && !stopped()) {
			S->restarts++;
			pids[u] = spawn(u);
		}
	}
}

static void run(struct __test_metadata *_metadata, double seconds)
{
	pid_t pids[SETTER + 1];
	unsigned int u, seed = S->seed ^ 0x1234567;
	double next = 0, until;
	uint32_t order;

	S->start = now();
	for (u = 0; u < SETTER + 1; u++)
		pids[u] = spawn(u);
	while (now() < S->start + seconds && !S->errors) {
		sleep_ms(20);
		bury(pids, true);
		if (now() < next)
			continue;
		next = now() + (0.2 + rand_r(&seed) % 1000 / 500.0) * slow();
		u = rand_r(&seed) % USERS;
		if (pids[u] <= 0 || !S->user[u].ready)
			continue;
		order = 1 + rand_r(&seed) % 3;
		count(order == 1 ? K_EXIT : order == 2 ? K_EXEC : K_KILL);
		store32(&S->user[u].order, order);
		if (order == 3)
			kill(pids[u], SIGKILL);
	}
	__atomic_store_n(&S->stop, true, __ATOMIC_SEQ_CST);
	until = now() + 60 * slow();
	while ((!all_done(pids) || pids[OUTSIDER] > 0 || pids[SETTER] > 0) && now() < until) {
		sleep_ms(20);
		bury(pids, false);
	}
	if (!all_done(pids)) {
		wrong(0, ALL, "threads that do not end");
		report_hung(_metadata);
	}
	__atomic_store_n(&S->check, true, __ATOMIC_SEQ_CST);
	until = now() + 60 * slow();
	for (u = 0; u < SETTER + 1; u++) {
		while (pids[u] > 0 && now() < until) {
			sleep_ms(20);
			bury(pids, false);
		}
		if (pids[u] <= 0)
			continue;
		wrong(0, ALL, "process %u does not end", u);
		kill(pids[u], SIGKILL);
		waitpid(pids[u], NULL, 0);
	}
}

FIXTURE(race) {
};

FIXTURE_SETUP(race)
{
	int fd = memfd_create("ntvm-race", 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, sizeof(*S)));
	ASSERT_TRUE(shared_map(fd));
	settings_keep();
	ASSERT_TRUE(group_make());
	kept->swapping = swap_on(128 * MIB);
	if (!kept->swapping)
		TH_LOG("no swap in zram: %s", strerror(errno));
}

FIXTURE_TEARDOWN_PARENT(race)
{
	settings_restore();
	if (kept->swapping)
		swap_off();
	group_remove();
}

static void shared_reset(uint32_t seed)
{
	memset(S, 0, sizeof(*S));
	S->seed = seed;
}

TEST_F(race, everything_meets_everything)
{
	/* Reached in any course that is long enough to be one. */
	static const enum kind certain[] = {
		K_RESERVE, K_COMMIT, K_DECOMMIT, K_PROTECT, K_QUERY, K_COPY, K_BATCH, K_TOUCH,
		K_MADVISE, K_VM, K_PROC, K_SETTING,
	};
	const char *seconds_text = getenv("NTVM_SOAK_SECONDS");
	const char *seed_text = getenv("NTVM_SOAK_SEED");
	double seconds = seconds_text ? atof(seconds_text) : 30;
	uint32_t seed = seed_text ? strtoul(seed_text, NULL, 0) : (uint32_t)time(NULL);
	struct books before;
	char line[1024];
	size_t len = 0;
	unsigned int i;

	ASSERT_LT(0, seconds);
	TH_LOG("NTVM_SOAK_SEED=%u NTVM_SOAK_SECONDS=%.0f", seed, seconds);
	/* What stays for good comes with the first ones. */
	seed_asked = seed;
	shared_reset(~seed);
	run(_metadata, 2 * slow());
	EXPECT_EQ(0, S->errors) {
		report(_metadata);
	}
	if (S->errors)
		return;
	shared_reset(seed);
	settings_restore();
	sleep_ms(1500);
	before = books_now();
	run(_metadata, seconds);
	for (i = 0; i < KINDS; i++)
		len += snprintf(line + len, sizeof(line) - len, " %s=%llu", kinds[i].name,
				(unsigned long long)S->count[i]);
	TH_LOG("soak: seconds=%.0f restarts=%u killed=%u hits=%llu short=%llu%s", seconds, S->restarts,
	       S->oom, (unsigned long long)S->hits, (unsigned long long)S->shorts, line);
	EXPECT_EQ(0, S->errors) {
		report(_metadata);
	}
	if (S->errors)
		return;
	EXPECT_LT(0, S->hits);
	for (i = 0; i < ARRAY_SIZE(certain); i++)
		EXPECT_LT(0, S->count[certain[i]]) {
			TH_LOG("no %s", kinds[certain[i]].name);
		}
	settings_restore();
	EXPECT_BOOKS(10, before);
}

TEST_HARNESS_MAIN
