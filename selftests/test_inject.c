// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation and every user copy of every operation fails once.
 *
 * The kernel's fault injection (inject.h) has the n-th of them fail. Each operation
 * is made from the same state with n = 1, 2, 3 ... until it makes fewer than n.
 * What must hold each time: the result is a documented status; an operation that
 * failed has changed nothing, and works when it is repeated; one that succeeded
 * all the same has done all of its work; and when its memory is released nothing
 * is left in any account.
 *
 * Words of a request are not copied by the routines that can be made to fail. They
 * lie on pages that are absent when the operation begins, in a second walk: the
 * page faults of the module's accesses then need pages, and these can fail.
 *
 * Memory that has run out is not there a moment later either: in a third walk all
 * allocations that follow the n-th fail too, those of the clearing up among them.
 *
 * Work that runs in the module's workers is walked by arming all unbound workers of
 * the kernel. Only a kernel with fault injection runs this: tools/debug.config.
 */
#include "inject.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <kselftest_harness.h>

#define WIN		FIXED			/* where all fixed regions are */
#define WIN_END		(WIN + 160 * MIB)
#define R0		WIN
#define RS		(8 * MIB)
#define ERRNO(e)	(0xe0000000u | (e))	/* no NT status */
#define LONG		900			/* seconds, for a test case */
#define MOST		3000			/* failures of one operation */

/* How an operation is walked. */
enum walk { WARM, COLD, ALL, WALKS };
static const char *const walk_name[WALKS] = { "", ", cold", ", and all that follow" };

/*
 * What was injected into the operations of one test case, which is a process of its
 * own: for the table in docs/testing.md.
 */
static struct tally {
	unsigned int ops;
	unsigned int nr[KINDS];
	unsigned int walk[WALKS];
	unsigned int refused;
	unsigned int done;
	unsigned int torn;	/* and mended; counted in one of the two as well */
} tally, *total;	/* @total is shared, and of all test cases */

static void tally_add(struct tally *to, const struct tally *t)
{
	int i;

	to->ops += t->ops;
	for (i = 0; i < KINDS; i++)
		to->nr[i] += t->nr[i];
	for (i = 0; i < WALKS; i++)
		to->walk[i] += t->walk[i];
	to->refused += t->refused;
	to->done += t->done;
	to->torn += t->torn;
}

static void tally_row(const char *name, const struct tally *t)
{
	printf("# | %s | %u | %u | %u | %u | %u | %u | %u | %u |\n", name, t->ops, t->nr[SLAB],
	       t->nr[PAGE], t->nr[COPY], t->walk[ALL], t->refused, t->done, t->torn);
	fflush(stdout);
}

/* Before the harness: a kernel without fault injection is the program's business. */
static void __attribute__((constructor)) inject_check(void)
{
	const char *missing = inject_missing();

	if (!missing) {
		total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		return;
	}
	printf("TAP version 13\n1..0 # SKIP %s\n", missing);
	fflush(stdout);
	_exit(4);
}

/* Test cases end by _exit(), so this is the program's end. */
static void __attribute__((destructor)) inject_end(void)
{
	if (total && total != MAP_FAILED && total->ops)
		tally_row("all", total);
}

/* --- arming ---------------------------------------------------------------- */

/* More than the kernel ever had here; which of them gets the work cannot be known. */
#define WORKERS	768
static int worker_fd[WORKERS];
static int nr_workers;

static void workers_find(void)
{
	char path[300], comm[64];
	struct dirent *d;
	DIR *dir;

	while (nr_workers)
		close(worker_fd[--nr_workers]);
	dir = opendir("/proc");
	while (dir && (d = readdir(dir)) && nr_workers < WORKERS) {
		if (d->d_name[0] < '0' || d->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		if (read_file(path, comm, sizeof(comm)) <= 0 || strncmp(comm, "kworker/u", 9))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fail-nth", d->d_name);
		worker_fd[nr_workers] = open(path, O_RDWR | O_CLOEXEC);
		if (worker_fd[nr_workers] >= 0)
			nr_workers++;
	}
	if (dir)
		closedir(dir);
}

static void workers_arm(unsigned int n)
{
	char text[16];
	int i, len = snprintf(text, sizeof(text), "%u", n);

	for (i = 0; i < nr_workers; i++)
		pwrite(worker_fd[i], text, len, 0);
}

static enum outcome workers_outcome(unsigned int n)
{
	enum outcome out = NOBODY;
	long left;
	int i;

	for (i = 0; i < nr_workers; i++) {
		left = fd_number(worker_fd[i]);
		if (!left)
			out = HIT;
		else if (left > 0 && left < (long)n && out == NOBODY)
			out = FEWER;
	}
	return out;
}

/* --- requests by hand ------------------------------------------------------ */

static int dev = -1;		/* this process */
static int target = NTVM_CURRENT_PROCESS;
static pid_t target_pid;	/* 0: this process */
static int mem = -1;		/* /proc/PID/mem of the target */
static const char *trouble;	/* a step that cannot fail did */
static uint32_t trouble_status;

static void must(const char *what, uint32_t status)
{
	if (status && !trouble) {
		trouble = what;
		trouble_status = status;
	}
}

#define CALL(nr, req) ({						\
	(req)->size = sizeof(*(req));					\
	int __err = raw(dev, nr, req);					\
	__err ? ERRNO(-__err) : (req)->status;				\
})

static uint32_t do_allocate(uint64_t base, uint64_t len, uint32_t type, uint32_t prot)
{
	struct ntvm_allocate a = { .handle = target, .base = base, .len = len, .type = type,
				   .protect = prot };

	return CALL(NTVM_IOC_ALLOCATE, &a);
}

static uint32_t do_release(uint64_t base, uint64_t len, uint32_t type)
{
	struct ntvm_free f = { .handle = target, .base = base, .len = len, .type = type };

	return CALL(NTVM_IOC_FREE, &f);
}

static uint32_t set_protect(uint64_t base, uint64_t len, uint32_t prot)
{
	struct ntvm_protect p = { .handle = target, .base = base, .len = len, .protect = prot };

	return CALL(NTVM_IOC_PROTECT, &p);
}

static struct ntvm_basic_info look(uint64_t address)
{
	struct ntvm_basic_info info = {};
	struct ntvm_query q = { .handle = target, .address = address, .length = sizeof(info),
				.buffer = (uintptr_t)&info };

	must("query", CALL(NTVM_IOC_QUERY, &q));
	return info;
}

/* --- state ----------------------------------------------------------------- */

#define FILLED	16
static uint64_t filled[FILLED];
static int nr_filled;

static void fill(uint64_t address)
{
	uint64_t word = address ^ 0x5ca1ab1e5ca1ab1eull;

	if (pwrite(mem, &word, sizeof(word), address) != sizeof(word))
		must("fill", ERRNO(errno));
	filled[nr_filled++] = address;
}

static bool filled_right(void)
{
	uint64_t word;
	int i;

	for (i = 0; i < nr_filled; i++)
		if (pread(mem, &word, sizeof(word), filled[i]) != sizeof(word) ||
		    word != (filled[i] ^ 0x5ca1ab1e5ca1ab1eull))
			return false;
	return true;
}

/* Everything that a refused operation must leave alone. */
struct state {
	uint64_t reserved, committed, regions, contract, hash, limit;
	int64_t locked, disposable;
};

static struct state state_of(void)
{
	struct ntvm_info info = { .handle = target };
	struct ntvm_limits l = { .handle = target, .op = NTVM_LIMITS_GET };
	struct state s = { .hash = 0xcbf29ce484222325ull };
	uint64_t at, end;
	char text[2048];
	char *line;

	must("info", CALL(NTVM_IOC_GET_INFO, &info));
	must("limits", CALL(NTVM_IOC_LIMITS, &l));
	s.reserved = info.out_reserved;
	s.committed = info.out_committed;
	s.regions = info.out_regions;
	s.contract = info.out_contract;
	s.limit = l.limit;
	s.locked = proc_status(target_pid, "VmLck");
	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d",
		 target == NTVM_CURRENT_PROCESS ? dev : target);
	read_file(text, text, sizeof(text));
	line = strstr(text, "ntvm-disposable:");
	s.disposable = line ? strtoll(line + 16, NULL, 10) : -1;
	for (at = WIN; at < WIN_END; at = end) {
		struct ntvm_basic_info i = look(at);
		uint64_t words[] = { i.base, i.allocation_base, i.allocation_protect,
				     i.state == NTVM_STATE_FREE ? 0 : i.region_size, i.state,
				     i.protect };
		unsigned int w;

		for (w = 0; w < sizeof(words) / sizeof(words[0]); w++)
			s.hash = (s.hash ^ words[w]) * 0x100000001b3ull;
		end = i.base + i.region_size;
		if (end <= at)
			break;
	}
	return s;
}

/* Has everything been given back? The first thing that has not, or NULL. */
static const char *state_remains(void)
{
	struct ntvm_info info = { .handle = target };

	must("info", CALL(NTVM_IOC_GET_INFO, &info));
	return info.out_reserved ? "reserved bytes" : info.out_committed ? "committed bytes" :
	       info.out_regions ? "regions" :
	       proc_status(target_pid, "VmLck") ? "locked pages" : NULL;
}

static bool state_same(const struct state *a, const struct state *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* All pages of a range are like this. */
static bool all_are(uint64_t base, uint64_t len, uint32_t state, uint32_t prot)
{
	uint64_t at = base;

	while (at < base + len) {
		struct ntvm_basic_info i = look(at);

		if (i.state != state || (state == NTVM_STATE_COMMIT && i.protect != prot))
			return false;
		at = i.base + i.region_size;
	}
	return true;
}

/* Release all regions of the window. */
static void window_clear(void)
{
	uint64_t at, end;

	for (at = WIN; at < WIN_END; at = end) {
		struct ntvm_basic_info i = look(at);

		end = i.base + i.region_size;
		if (i.state != NTVM_STATE_FREE) {
			must("clear", do_release(i.allocation_base, 0, NTVM_FREE_RELEASE));
			end = at;
		}
		if (trouble || end < at)
			break;
	}
	nr_filled = 0;
}

/* --- requests on pages that may be absent ---------------------------------- */

enum { P_REQ, P_BASE, P_LEN, P_OLD, P_BUF, BUF = 18, ARENA = P_BUF + BUF };
static uint8_t *arena;
static int arena_fd;

#define at_page(n)	((void *)(arena + (n) * P))
#define REQ(type)	((struct type *)at_page(P_REQ))
#define VAR(n)		(*(uint64_t *)at_page(n))
#define VAR_PTR(n)	((uintptr_t)at_page(n))

static bool arena_make(void)
{
	arena_fd = syscall(SYS_memfd_create, "arena", 1);
	if (arena_fd < 0 || ftruncate(arena_fd, ARENA * P))
		return false;
	arena = mmap(NULL, ARENA * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, arena_fd, 0);
	return arena != MAP_FAILED;
}

/* Every page is there, or none is; the contents stay. */
static void arena_settle(bool cold)
{
	static uint8_t copy[ARENA * P];
	int i;

	if (!cold) {
		for (i = 0; i < ARENA; i++)
			*(volatile uint8_t *)at_page(i) = *(uint8_t *)at_page(i);
		return;
	}
	memcpy(copy, arena, sizeof(copy));
	if (pwrite(arena_fd, copy, sizeof(copy), 0) != sizeof(copy) ||
	    madvise(arena, ARENA * P, MADV_DONTNEED))
		must("arena", ERRNO(errno));
}

/* --- operations ------------------------------------------------------------ */

/**
 * struct op - an operation and what is to be said of it
 * @name: shown in the table
 * @prepare: makes the state that it begins with
 * @nr: the request, or 0
 * @run: makes the access if it is no request; a status
 * @request: fills in the request, if its arguments below are not all
 * @base: address, 0: the module chooses
 * @len: bytes
 * @type: NTVM_ALLOC_*, NTVM_FREE_*, or what @request makes of it
 * @prot: NTVM_PAGE_*
 * @done: it has done all of its work; if NULL, @base and @len are in @state
 * @state: NTVM_STATE_* that pages of the range have then
 * @undo: takes back what releasing the window does not
 * @same: of what is not in struct state: it is as before
 * @partly: it stops where its entries or the answer cannot be copied; is what it
 *	    did till then right?
 * @fail: statuses for a lack of memory
 * @ok: another status of success
 * @workers: the failure is in a worker
 * @tears: it maps over what there is, which the kernel does not undo if it fails: it
 *	   is put back when there is memory
 * @leaves: it cannot take back a mapping without memory
 * @returns: @run comes back without memory; other accesses are repeated until
 *	     there is some
 */
struct op {
	const char *name;
	void (*prepare)(void);
	unsigned long nr;
	uint32_t (*run)(void);
	void (*request)(const struct op *op);
	uint64_t base;
	uint64_t len;
	uint32_t type;
	uint32_t prot;
	bool (*done)(const struct op *op);
	uint32_t state;
	void (*undo)(void);
	bool (*same)(void);
	uint32_t fail[3];
	uint32_t ok;
	bool (*partly)(const struct op *op);
	bool workers;
	bool tears;
	bool leaves;
	bool returns;
};

#define NOMEM	NTVM_STATUS_NO_MEMORY
#define NORES	NTVM_STATUS_INSUFFICIENT_RESOURCES
#define COMMITTED	NTVM_STATE_COMMIT
#define RESERVED	NTVM_STATE_RESERVE
#define FREE		NTVM_STATE_FREE
#define RW		NTVM_PAGE_READWRITE
#define RO		NTVM_PAGE_READONLY
#define RX		NTVM_PAGE_EXECUTE_READ
#define RWX		NTVM_PAGE_EXECUTE_READWRITE

/* The request in the arena, with its variables there if it can have such. */
static void request_make(const struct op *op)
{
	struct ntvm_header *h = REQ(ntvm_header);

	memset(arena, 0, ARENA * P);
	if (!op->nr)
		return;
	h->handle = target;
	VAR(P_BASE) = op->base;
	VAR(P_LEN) = op->len;
	switch (op->nr) {
	case NTVM_IOC_ALLOCATE:
		*REQ(ntvm_allocate) = (struct ntvm_allocate){
			.size = sizeof(struct ntvm_allocate), .handle = target,
			.flags = NTVM_F_INDIRECT, .base = VAR_PTR(P_BASE), .len = VAR_PTR(P_LEN),
			.type = op->type, .protect = op->prot };
		break;
	case NTVM_IOC_FREE:
		*REQ(ntvm_free) = (struct ntvm_free){
			.size = sizeof(struct ntvm_free), .handle = target,
			.flags = NTVM_F_INDIRECT, .base = VAR_PTR(P_BASE), .len = VAR_PTR(P_LEN),
			.type = op->type };
		break;
	case NTVM_IOC_PROTECT:
		*REQ(ntvm_protect) = (struct ntvm_protect){
			.size = sizeof(struct ntvm_protect), .handle = target,
			.flags = NTVM_F_INDIRECT, .base = VAR_PTR(P_BASE), .len = VAR_PTR(P_LEN),
			.old_ptr = VAR_PTR(P_OLD), .protect = op->prot };
		break;
	case NTVM_IOC_ALLOCATE_EX:
		*REQ(ntvm_allocate_ex) = (struct ntvm_allocate_ex){
			.size = sizeof(struct ntvm_allocate_ex), .handle = target,
			.flags = NTVM_F_INDIRECT, .base = VAR_PTR(P_BASE), .len = VAR_PTR(P_LEN),
			.type = op->type, .protect = op->prot };
		break;
	case NTVM_IOC_LOCK:
		*REQ(ntvm_lock) = (struct ntvm_lock){
			.size = sizeof(struct ntvm_lock), .handle = target,
			.flags = NTVM_F_INDIRECT, .base = VAR_PTR(P_BASE), .len = VAR_PTR(P_LEN),
			.op = op->type, .map_type = NTVM_LOCK_PROCESS };
		break;
	case NTVM_IOC_OFFER:
		*REQ(ntvm_offer) = (struct ntvm_offer){
			.size = sizeof(struct ntvm_offer), .handle = target, .base = op->base,
			.len = op->len, .op = op->type, .priority = op->prot };
		break;
	}
	if (op->request)
		op->request(op);
}

static bool op_done(const struct op *op)
{
	uint64_t base = op->base ? op->base : VAR(P_BASE);

	if (op->done)
		return op->done(op);
	if (!op->state)
		return true;
	return base && all_are(base, op->len, op->state, op->prot);
}

static uint32_t op_run(const struct op *op)
{
	int err;

	if (op->run)
		return op->run();
	err = ioctl(dev, op->nr, arena) < 0 ? errno : 0;
	return err ? ERRNO(err) : 0;	/* the status is read when nothing can fail any more */
}

static void op_undo(const struct op *op)
{
	if (op->undo)
		op->undo();
	/* What the module chose. */
	if (op->nr && !op->base && op->state && VAR(P_BASE))
		do_release(VAR(P_BASE), 0, NTVM_FREE_RELEASE);
	if (dev >= 0)
		window_clear();
}

static bool is_one_of(uint32_t status, const uint32_t *list, int nr)
{
	while (nr--)
		if (list[nr] && list[nr] == status)
			return true;
	return false;
}

static bool op_status_allowed(const struct op *op, uint32_t status, int kind, enum walk walk)
{
	if ((kind != COPY || walk == ALL) && is_one_of(status, op->fail, 3))
		return true;
	/* The caller's memory could not be copied, or a page of it not be had. */
	return (kind == COPY || walk == COLD) && !op->workers &&
	       (status == NTVM_STATUS_ACCESS_VIOLATION || status == ERRNO(EFAULT) ||
		(op->nr == NTVM_IOC_COPY && status == NTVM_STATUS_PARTIAL_COPY));
}

/*
 * A mapping that could not be taken back: nothing is in it, and munmap() is for
 * everybody. True if there is none, or if that holds.
 */
static bool leftover_harmless(uint64_t base, uint64_t len)
{
	if (!vmas_in(base, base + len))
		return true;
	return probe_read(pointer_of(base)).signo == SIGSEGV &&
	       probe_write(pointer_of(base + len - P), 1).signo == SIGSEGV &&
	       !munmap(pointer_of(base), len);
}

/* Pages that cannot be read, although some may only have lost their mapping. */
static int unreadable(void)
{
	uint64_t word;
	int i, n = 0;

	for (i = 0; i < nr_filled; i++)
		n += pread(mem, &word, sizeof(word), filled[i]) != sizeof(word);
	return n;
}

/* One operation with the n-th failure. False: there was none, or all is over. */
static bool inject_one(struct __test_metadata *_metadata, const struct op *op, unsigned int n,
		       enum walk walk, struct tally *t)
{
	bool cold = walk == COLD;
	static struct state before;	/* the same each time */
	struct state after = {};
	const char *remains;
	enum outcome out;
	uint32_t status;
	uint64_t vars[3];
	int kind, tries, gone;
	bool success;

	for (tries = 0;; tries++) {
		op->prepare();
		request_make(op);
		memcpy(vars, (uint64_t[]){ VAR(P_BASE), VAR(P_LEN), VAR(P_OLD) }, sizeof(vars));
		if (n == 1 && walk == WARM) {
			memset(&before, 0, sizeof(before));
			if (dev >= 0)
				before = state_of();
			kind_of_failure();
		}
		arena_settle(cold);
		EXPECT_EQ(NULL, trouble) {
			TH_LOG("%s: %s before failure %u: %#x", op->name, trouble, n,
			       trouble_status);
			return false;
		}
		if (op->workers) {
			workers_arm(n);
			status = op_run(op);
			out = workers_outcome(n);
			workers_arm(0);
		} else {
			self_arm(n, walk == ALL);
			status = op_run(op);
			out = self_outcome(walk == ALL);
		}
		/* The work may have been given to a worker that did not exist before. */
		if (out != NOBODY || tries == 2)
			break;
		workers_find();
		op_undo(op);
	}
	kind = kind_of_failure();
	if (!status && op->nr)
		status = REQ(ntvm_header)->status;
	success = !status || status == op->ok;
	if (out == HIT) {
		EXPECT_GE(kind, 0)
			return false;
		if (walk != ALL)
			t->nr[kind]++;
		t->walk[walk]++;
		if (success)
			t->done++;
		else
			t->refused++;
		EXPECT_TRUE(success || op_status_allowed(op, status, kind, walk)) {
			TH_LOG("%s, failure %u (%s%s): %s", op->name, n, kind_name[kind],
			       walk_name[walk], status_name((NTSTATUS)status));
			return false;
		}
	} else {
		EXPECT_TRUE(success) {
			TH_LOG("%s without failure %u: %s", op->name, n,
			       status_name((NTSTATUS)status));
			return false;
		}
		kind = KINDS - 1;
	}
	/* What has lost its mapping has it again with the next call. */
	if (op->tears && walk == ALL && out == HIT) {
		gone = unreadable();
		look(WIN);
		t->torn += unreadable() < gone;
	}
	if (!success) {
		if (op->leaves && walk == ALL)
			EXPECT_TRUE(leftover_harmless(op->base, op->len))
				TH_LOG("%s, failure %u: a mapping is left", op->name, n);
		if (dev >= 0)
			after = state_of();
		EXPECT_TRUE(op->partly ? op->partly(op) :
			    (state_same(&before, &after) && filled_right() &&
			     (!op->same || op->same()))) {
			TH_LOG("%s, failure %u (%s%s): %s, and something has changed",
			       op->name, n, kind_name[kind], walk_name[walk],
			       status_name((NTSTATUS)status));
			TH_LOG("reserved %llx %llx committed %llx %llx regions %llu %llu",
			       (long long)before.reserved, (long long)after.reserved,
			       (long long)before.committed, (long long)after.committed,
			       (long long)before.regions, (long long)after.regions);
			TH_LOG("locked %lld %lld disposable %lld %lld pages %d contents %d",
			       (long long)before.locked, (long long)after.locked,
			       (long long)before.disposable, (long long)after.disposable,
			       before.hash == after.hash, filled_right());
		}
		if (op->nr == NTVM_IOC_ALLOCATE || op->nr == NTVM_IOC_FREE ||
		    op->nr == NTVM_IOC_PROTECT || op->nr == NTVM_IOC_ALLOCATE_EX) {
			EXPECT_TRUE(VAR(P_BASE) == vars[0] && VAR(P_LEN) == vars[1])
				TH_LOG("%s, failure %u: its variables changed", op->name, n);
		}
		request_make(op);
		status = op_run(op);
		if (!status && op->nr)
			status = REQ(ntvm_header)->status;
		EXPECT_TRUE(!status || status == op->ok)
			TH_LOG("%s, repeated after failure %u (%s%s): %s", op->name, n,
			       kind_name[kind], walk_name[walk], status_name((NTSTATUS)status));
	}
	EXPECT_TRUE(op_done(op) || (status && status != op->ok))
		TH_LOG("%s, failure %u (%s%s): %s, and it is not done", op->name, n,
		       out == HIT ? kind_name[kind] : "none", walk_name[walk],
		       success ? "success" : "repeated");
	op_undo(op);
	remains = dev >= 0 && !trouble ? state_remains() : NULL;
	EXPECT_EQ(NULL, remains)
		TH_LOG("%s, failure %u: %s remain", op->name, n, remains);
	EXPECT_EQ(NULL, trouble) {
		TH_LOG("%s: %s after failure %u: %#x", op->name, trouble, n, trouble_status);
		return false;
	}
	return out == HIT && !_metadata->exit_code;
}

static void inject_all(struct __test_metadata *_metadata, const struct op *op)
{
	struct tally t = { .ops = 1 };
	double begin = now();
	enum walk walk;
	unsigned int n;

	for (walk = WARM; walk < WALKS; walk++) {
		/* Only a request has an arena. A worker may need another, which needs memory. */
		if ((walk == COLD && !op->nr) || (walk == ALL && !op->nr && !op->returns) ||
		    (walk != WARM && op->workers))
			continue;
		for (n = 1; n < MOST; n++)
			if (!inject_one(_metadata, op, n, walk, &t))
				break;
		ASSERT_LT(n, MOST);
		if (trouble || _metadata->exit_code)
			break;
	}
	printf("# injected %-40s slab %3u page %3u copy %3u (cold %3u), all %3u: ", op->name,
	       t.nr[SLAB], t.nr[PAGE], t.nr[COPY], t.walk[COLD], t.walk[ALL]);
	printf("refused %3u done %3u torn %u, %.1f s\n", t.refused, t.done, t.torn, now() - begin);
	fflush(stdout);
	tally_add(&tally, &t);
}

/* --- states to begin with -------------------------------------------------- */

static int lowest_fd;

static int fd_lowest(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static bool fds_same(void)
{
	return fd_lowest() == lowest_fd;
}

static void p_nothing(void)
{
	lowest_fd = fd_lowest();
}

static void p_reserved(void)
{
	must("reserve", do_allocate(R0, RS, NTVM_ALLOC_RESERVE, RW));
}

static void p_committed(void)
{
	must("commit", do_allocate(R0, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT, RW));
	fill(R0);
	fill(R0 + 3 * MIB);
	fill(R0 + RS - P);
}

/* Every other one of 64 pages. */
static void p_fragmented(void)
{
	int i;

	p_reserved();
	for (i = 0; i < 64; i += 2)
		must("commit", do_allocate(R0 + i * P, P, NTVM_ALLOC_COMMIT, RW));
	fill(R0);
	fill(R0 + 62 * P);
}

#define EXEC	(R0 + 2 * MIB)		/* 1 MiB from here on is executable */

static void p_executable(void)
{
	p_committed();
	fill(EXEC + 64 * KIB);
	must("protect", set_protect(EXEC, MIB, RX));
}

static void p_untouched(void)
{
	must("commit", do_allocate(R0, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT, RW));
}

static void p_untouched_exec(void)
{
	must("commit", do_allocate(R0, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT, RX));
}

static void p_limited(void)
{
	struct ntvm_limits l = { .handle = target, .op = NTVM_LIMITS_SET, .limit = 64 * MIB };

	must("limit", CALL(NTVM_IOC_LIMITS, &l));
	p_reserved();
}

static void u_limit(void)
{
	struct ntvm_limits l = { .handle = target, .op = NTVM_LIMITS_SET };

	must("limit", CALL(NTVM_IOC_LIMITS, &l));
}

static uint32_t ex(uint64_t base, uint64_t len, uint32_t type, uint32_t prot)
{
	struct ntvm_allocate_ex a = { .handle = target, .base = base, .len = len, .type = type,
				      .protect = prot };

	return CALL(NTVM_IOC_ALLOCATE_EX, &a);
}

static void p_placeholder(void)
{
	must("placeholder", ex(R0, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_RESERVE_PLACEHOLDER,
			       NTVM_PAGE_NOACCESS));
}

static void p_split(void)
{
	p_placeholder();
	must("split", do_release(R0 + MIB, MIB, NTVM_FREE_RELEASE | NTVM_FREE_PRESERVE));
}

/* Two of different extents. */
static void p_two(void)
{
	p_placeholder();
	must("placeholder", ex(R0 + RS, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_RESERVE_PLACEHOLDER,
			       NTVM_PAGE_NOACCESS));
}

static void p_replaced(void)
{
	p_split();
	must("replace", ex(R0 + MIB, MIB, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT |
			   NTVM_ALLOC_REPLACE_PLACEHOLDER, RW));
	fill(R0 + MIB);
}

#define WRITTEN	3

static void p_watched(void)
{
	must("watched", do_allocate(R0, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT |
				    NTVM_ALLOC_WRITE_WATCH, RW));
	fill(R0 + 5 * P);
	fill(R0 + 3 * MIB);
	fill(R0 + 3 * MIB + P);
}

static void p_watched_untouched(void)
{
	must("watched", do_allocate(R0, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT |
				    NTVM_ALLOC_WRITE_WATCH, RW));
}

static uint64_t written(void)
{
	uint64_t addresses[64], count = 64;
	uint32_t granularity;
	struct ntvm_watch w = { .handle = target, .op = NTVM_WATCH_GET, .base = R0, .len = RS,
				.addresses = (uintptr_t)addresses, .count_ptr = (uintptr_t)&count,
				.granularity_ptr = (uintptr_t)&granularity };

	must("get watch", CALL(NTVM_IOC_WATCH, &w));
	return count;
}

#define OFFERED	(R0 + 3 * P)		/* 4 MiB from here on */

static uint32_t offer(uint32_t how, uint32_t priority)
{
	struct ntvm_offer o = { .handle = target, .base = OFFERED, .len = 4 * MIB, .op = how,
				.priority = priority };

	return CALL(NTVM_IOC_OFFER, &o);
}

static void p_offered(void)
{
	p_committed();
	must("offer", offer(NTVM_OFFER_OFFER, NTVM_OFFER_LOW));
}

static void p_reset(void)
{
	p_committed();
	must("reset", do_allocate(OFFERED, 4 * MIB, NTVM_ALLOC_RESET, RW));
}

#define LOCKED	(8 * P)

static void p_locked(void)
{
	struct ntvm_lock l = { .handle = target, .base = R0, .len = LOCKED,
			       .op = NTVM_LOCK_LOCK, .map_type = NTVM_LOCK_PROCESS };

	p_committed();
	must("lock", CALL(NTVM_IOC_LOCK, &l));
}

#define GUARD	(R0 + 16 * P)

static void p_guarded(void)
{
	p_committed();
	must("guard", set_protect(GUARD, P, RW | NTVM_PAGE_GUARD));
}

#define STACK	MIB
#define STACK_GUARD	(R0 + STACK - 2 * P)

static uint32_t stack_set(uint64_t bottom, uint64_t top, uint32_t guarantee)
{
	struct ntvm_stack s = { .handle = NTVM_CURRENT_PROCESS, .op = NTVM_STACK_SET, .top = top,
				.bottom = bottom, .limit = top ? top - P : 0,
				.guarantee = guarantee };

	return CALL(NTVM_IOC_STACK, &s);
}

static void p_stack(void)
{
	must("reserve", do_allocate(R0, STACK, NTVM_ALLOC_RESERVE, RW));
	must("commit", do_allocate(STACK_GUARD, 2 * P, NTVM_ALLOC_COMMIT, RW));
	must("guard", set_protect(STACK_GUARD, P, RW | NTVM_PAGE_GUARD));
	must("stack", stack_set(R0, R0 + STACK, 0));
}

/* The guard is the last page above the one that is never committed. */
static void p_stack_end(void)
{
	must("reserve", do_allocate(R0, STACK, NTVM_ALLOC_RESERVE, RW));
	must("commit", do_allocate(R0 + P, STACK - P, NTVM_ALLOC_COMMIT, RW));
	must("guard", set_protect(R0 + P, P, RW | NTVM_PAGE_GUARD));
	must("stack", stack_set(R0, R0 + STACK, 0));
}

static void u_stack(void)
{
	must("stack", stack_set(0, 0, 0));
}

/* --- requests -------------------------------------------------------------- */

static void r_requirements(const struct op *op)
{
	struct ntvm_parameter *param = at_page(P_BUF);
	struct ntvm_requirements *req = at_page(P_BUF + 1);

	(void)op;
	param->type = NTVM_PARAMETER_ADDRESS;
	param->value = VAR_PTR(P_BUF + 1);
	req->lowest = WIN;
	req->highest = WIN_END - 1;
	REQ(ntvm_allocate_ex)->old_ptr = VAR_PTR(P_OLD);
	REQ(ntvm_allocate_ex)->parameters = VAR_PTR(P_BUF);
	REQ(ntvm_allocate_ex)->count = 1;
}

static void r_query(const struct op *op)
{
	struct ntvm_query *q = REQ(ntvm_query);

	*q = (struct ntvm_query){ .size = sizeof(*q), .handle = target, .address = op->base,
				  .buffer = VAR_PTR(P_BUF), .length = op->len,
				  .return_ptr = VAR_PTR(P_LEN), .info_class = op->type,
				  .flags = op->prot };
	VAR(P_LEN) = 0;
	if (op->type == NTVM_QUERY_WORKING_SET_EX) {
		struct ntvm_working_set_entry *e = at_page(P_BUF);

		e[0].address = R0;
		e[1].address = R0 + P;
	}
}

static void r_plain(const struct op *op)
{
	union {
		struct ntvm_info info;
		struct ntvm_set_contract contract;
		struct ntvm_take_fault fault;
		struct ntvm_duplicate duplicate;
		struct ntvm_stack stack;
		struct ntvm_limits limits;
		struct ntvm_job job;
	} *r = at_page(P_REQ);

	switch (op->nr) {
	case NTVM_IOC_GET_INFO:
		r->info.size = sizeof(r->info);
		break;
	case NTVM_IOC_SET_CONTRACT:
		r->contract.size = sizeof(r->contract);
		r->contract.contract = NTVM_CONTRACT_WINDOWS;
		break;
	case NTVM_IOC_TAKE_FAULT:
		r->fault.size = sizeof(r->fault);
		break;
	case NTVM_IOC_DUPLICATE:
		r->duplicate.size = sizeof(r->duplicate);
		r->duplicate.access = NTVM_ACCESS_QUERY;
		r->duplicate.out_fd = -1;
		break;
	case NTVM_IOC_STACK:
		r->stack = (struct ntvm_stack){ .size = sizeof(r->stack), .handle = target,
						.op = op->type, .top = R0 + STACK, .bottom = R0,
						.limit = R0 + STACK - P };
		break;
	case NTVM_IOC_LIMITS:
		r->limits.size = sizeof(r->limits);
		r->limits.op = op->type;
		r->limits.limit = op->len;
		break;
	case NTVM_IOC_JOB:
		r->job.size = sizeof(r->job);
		r->job.op = op->type;
		r->job.job = op->type == NTVM_JOB_CREATE ? -1 : (int)op->base;
		break;
	}
}

/* Longer than it is today: the rest has to be empty, and is looked at by another routine. */
static void r_longer(const struct op *op)
{
	r_plain(op);
	REQ(ntvm_info)->size += 3 * sizeof(uint64_t);
}

static void r_narrow(const struct op *op)
{
	(void)op;
	REQ(ntvm_allocate)->flags |= NTVM_F_NARROW;
}

static int job = -1;

static void r_job(const struct op *op)
{
	struct ntvm_job *j = REQ(ntvm_job);

	*j = (struct ntvm_job){ .size = sizeof(*j), .handle = NTVM_CURRENT_PROCESS,
				.op = op->type, .job = job };
	if (op->type == NTVM_JOB_SET)
		j->process_limit = GIB;
}

/*
 * The first and the last byte of the addresses' array are touched before anything
 * is done. Here the second address is on a page between.
 */
#define MIDDLE	(P / sizeof(uint64_t) + 2)

static void r_watch(const struct op *op)
{
	struct ntvm_watch *w = REQ(ntvm_watch);

	*w = (struct ntvm_watch){ .size = sizeof(*w), .handle = target, .op = op->type,
				  .base = R0, .len = RS };
	if (op->type == NTVM_WATCH_RESET)
		return;
	w->watch_flags = op->prot;
	w->addresses = VAR_PTR(P_BUF + 1) - sizeof(uint64_t);
	w->count_ptr = VAR_PTR(P_LEN);
	w->granularity_ptr = VAR_PTR(P_OLD);
	VAR(P_LEN) = MIDDLE;
}

/* More than the module copies at a time. */
#define ENTRIES	160
#define MIXED	48

static void r_vector(const struct op *op)
{
	struct ntvm_vector_entry *e = at_page(P_BUF);
	struct ntvm_vector *v = REQ(ntvm_vector);
	int i;

	(void)op;
	*v = (struct ntvm_vector){ .size = sizeof(*v), .handle = target,
				   .entries = VAR_PTR(P_BUF), .count = ENTRIES };
	/* Single pages, ranges and executable ones, in several leaves; then pages in these. */
	for (i = 0; i < ENTRIES; i++)
		e[i] = (struct ntvm_vector_entry){
			.op = NTVM_VECTOR_COMMIT, .status = NTVM_STATUS_NOT_FOUND,
			.base = i < MIXED ? R0 + i * 128 * KIB :
				R0 + (i - MIXED) * 64 * KIB + 32 * KIB,
			.len = i < MIXED && !(i % 3) ? 3 * P : P,
			.protect = i < MIXED && i % 16 == 15 ? RX : RW };
}

static void r_copy(const struct op *op)
{
	struct ntvm_copy *c = REQ(ntvm_copy);

	*c = (struct ntvm_copy){ .size = sizeof(*c), .handle = target, .op = op->type,
				 .address = op->base, .len = op->len, .buffer = VAR_PTR(P_BUF),
				 .done_ptr = VAR_PTR(P_LEN) };
	memset(at_page(P_BUF), op->type == NTVM_COPY_WRITE ? 0x77 : 0, op->len);
}

static void *flush_map;

static void r_flush(const struct op *op)
{
	struct ntvm_flush *f = REQ(ntvm_flush);

	(void)op;
	VAR(P_BASE) = (uintptr_t)flush_map;
	VAR(P_LEN) = 4 * P;
	*f = (struct ntvm_flush){ .size = sizeof(*f), .handle = target, .flags = NTVM_F_INDIRECT,
				  .base = VAR_PTR(P_BASE), .len = VAR_PTR(P_LEN),
				  .io_ptr = VAR_PTR(P_OLD) };
}

static void r_prefetch(const struct op *op)
{
	struct ntvm_set_information *s = REQ(ntvm_set_information);
	struct ntvm_memory_range *range = at_page(P_BUF);

	(void)op;
	range[0] = (struct ntvm_memory_range){ R0, RS };
	range[1] = (struct ntvm_memory_range){ R0 + 3 * MIB, P };
	*s = (struct ntvm_set_information){ .size = sizeof(*s), .handle = target,
					    .ranges = VAR_PTR(P_BUF), .count = 2,
					    .info = VAR_PTR(P_OLD), .info_length = 4,
					    .info_class = NTVM_SET_PREFETCH };
}

/* --- what must have been done ---------------------------------------------- */

static bool d_chosen(const struct op *op)
{
	struct ntvm_basic_info i = look(VAR(P_BASE));

	return VAR(P_BASE) && i.allocation_base == VAR(P_BASE) && VAR(P_LEN) == op->len;
}

static bool d_contents(const struct op *op)
{
	return all_are(op->base, op->len, op->state, op->prot) && filled_right();
}

/* A piece has gone, the rest is as it was. */
static bool d_hole(const struct op *op)
{
	uint64_t end = op->base + op->len;

	return all_are(op->base, op->len, FREE, 0) &&
	       (op->base == R0 || look(op->base - P).state != FREE) &&
	       (end == R0 + RS || look(end).state != FREE);
}

static bool d_split(const struct op *op)
{
	return look(op->base).allocation_base == op->base &&
	       look(op->base).region_size == op->len &&
	       look(op->base + op->len).allocation_base == op->base + op->len;
}

static bool d_joined(const struct op *op)
{
	struct ntvm_basic_info i = look(op->base + op->len - P);

	return i.allocation_base == op->base && i.state == RESERVED;
}

static bool d_answered(const struct op *op)
{
	return VAR(P_LEN) && VAR(P_LEN) <= op->len;
}

static bool d_made_fd(const struct op *op)
{
	int fd = op->nr == NTVM_IOC_JOB ? REQ(ntvm_job)->job : REQ(ntvm_duplicate)->out_fd;

	return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static void u_duplicate(void)
{
	close(REQ(ntvm_duplicate)->out_fd);
}

static void u_job(void)
{
	close(REQ(ntvm_job)->job);
}

static bool d_stack(const struct op *op)
{
	struct ntvm_stack s = { .handle = NTVM_CURRENT_PROCESS, .op = NTVM_STACK_GET };

	(void)op;
	must("stack", CALL(NTVM_IOC_STACK, &s));
	return s.top == R0 + STACK && s.bottom == R0;
}

static bool s_no_stack(void)
{
	struct ntvm_stack s = { .handle = NTVM_CURRENT_PROCESS, .op = NTVM_STACK_GET };

	must("stack", CALL(NTVM_IOC_STACK, &s));
	return !s.top;
}

static bool d_got(const struct op *op)
{
	const uint64_t *addresses = at_page(P_BUF + 1) - sizeof(uint64_t);

	return VAR(P_LEN) == WRITTEN && addresses[0] == R0 + 5 * P &&
	       addresses[1] == R0 + 3 * MIB && addresses[2] == R0 + 3 * MIB + P &&
	       written() == (op->prot ? 0 : WRITTEN) && filled_right();
}

static bool d_none_written(const struct op *op)
{
	(void)op;
	return !written() && filled_right();
}

static bool s_written(void)
{
	return written() == WRITTEN;
}

static bool d_latched(const struct op *op)
{
	return d_contents(op) && written() == WRITTEN;
}

/*
 * The first @nr entries: done or, if there was no memory, refused; the others are as
 * they were, and not begun.
 */
static bool vector_is(unsigned int nr)
{
	const struct ntvm_vector_entry *e = at_page(P_BUF);
	unsigned int i;

	for (i = 0; i < ENTRIES; i++) {
		uint32_t status = i < nr ? e[i].status : NORES;

		if (i >= nr && e[i].status != NTVM_STATUS_PENDING &&
		    e[i].status != NTVM_STATUS_NOT_FOUND)
			return false;
		if (!status ? !all_are(e[i].base, e[i].len, COMMITTED, e[i].protect) :
		    !all_are(e[i].base, e[i].len, RESERVED, 0) ||
		    (status != NORES && status != NTVM_STATUS_COMMITMENT_LIMIT))
			return false;
	}
	return true;
}

static bool d_vector(const struct op *op)
{
	(void)op;
	return REQ(ntvm_vector)->out_done == ENTRIES && vector_is(ENTRIES);
}

/* If the answer could not be written, how much was done cannot be told either. */
static bool vector_partly(const struct op *op)
{
	(void)op;
	switch (REQ(ntvm_header)->status) {
	case NTVM_STATUS_ACCESS_VIOLATION:
		return vector_is(REQ(ntvm_vector)->out_done);
	case NORES:
		return vector_is(0);
	default:
		return true;
	}
}

static bool d_copied(const struct op *op)
{
	uint64_t word;
	unsigned int i;

	if (VAR(P_LEN) != op->len)
		return false;
	for (i = 0; i < op->len / P; i++)
		if (pread(mem, &word, 8, op->base + i * P) != 8 ||
		    word != *(uint64_t *)at_page(P_BUF + i))
			return false;
	return true;
}

static bool d_disposable(const struct op *op)
{
	(void)op;
	return state_of().disposable == 4;	/* one page has contents: kB */
}

static bool d_undone(const struct op *op)
{
	(void)op;
	return !state_of().disposable && filled_right();
}

static bool d_locked(const struct op *op)
{
	return state_of().locked == (op->type == NTVM_LOCK_LOCK ? (int64_t)LOCKED : 0) &&
	       filled_right();
}

static bool d_guard_used(const struct op *op)
{
	(void)op;
	return look(GUARD).protect == RW;
}

static bool d_limit(const struct op *op)
{
	return state_of().limit == op->len;
}

/* --- accesses -------------------------------------------------------------- */

static uint32_t a_write(void)
{
	return probe_write((void *)(R0 + 7 * P), 0x42).signo;
}

static uint32_t a_read(void)
{
	return probe_read((void *)(R0 + 7 * P)).signo;
}

/* The kernel's own access is not repeated. */
static uint32_t a_syscall(void)
{
	return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)(R0 + 7 * P)) ?
	       ERRNO(errno) : 0;
}

static uint32_t a_procfs(void)
{
	uint64_t word = 0x42;

	return pwrite(mem, &word, sizeof(word), R0 + 7 * P) == sizeof(word) ? 0 : ERRNO(errno);
}

static bool d_told_time(const struct op *op)
{
	(void)op;
	return *(volatile int64_t *)(R0 + 7 * P + 8) || *(volatile int64_t *)(R0 + 7 * P);
}

static bool d_touched(const struct op *op)
{
	(void)op;
	return probe_read((void *)(R0 + 7 * P)).value == 0x42;
}

static bool d_zero(const struct op *op)
{
	struct probe p = probe_read((void *)(R0 + 7 * P));

	(void)op;
	return !p.signo && !p.value;
}

static bool d_recorded(const struct op *op)
{
	return written() == 1 && d_touched(op);
}

static uint32_t a_grow(void)
{
	return probe_write((void *)(STACK_GUARD + 8), 0x42).signo;
}

static bool d_grown(const struct op *op)
{
	(void)op;
	return look(STACK_GUARD).protect == RW &&
	       look(STACK_GUARD - P).protect == (RW | NTVM_PAGE_GUARD) &&
	       look(STACK_GUARD - 2 * P).state == RESERVED &&
	       probe_read((void *)(STACK_GUARD + 8)).value == 0x42;
}

/* In a system call, so that nobody has to deliver a signal with failures about. */
static uintptr_t hit_at;

static uint32_t a_hit(void)
{
	return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)hit_at) &&
	       errno == EFAULT ? 0 : ERRNO(errno);
}

/* The kind of the hit on record, 0: none. */
static uint32_t take_fault(void)
{
	struct ntvm_take_fault f = { .handle = NTVM_CURRENT_PROCESS };
	uint32_t status = CALL(NTVM_IOC_TAKE_FAULT, &f);

	if (status && status != NTVM_STATUS_NOT_FOUND)
		must("take fault", status);
	return status ? 0 : f.out_kind;
}

/* Either hit and told, or neither; then the next access is a hit. Afterwards it is free. */
static bool d_hit(const struct op *op)
{
	bool guard = look(hit_at).protect & NTVM_PAGE_GUARD;
	uint32_t kind = take_fault();

	if (guard != !kind)
		return false;
	if (guard) {
		if (a_hit() || (look(hit_at).protect & NTVM_PAGE_GUARD))
			return false;
		kind = take_fault();
	}
	return kind == op->type && !take_fault() &&
	       !syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)hit_at);
}

static void p_hit(void)
{
	p_guarded();
	hit_at = GUARD;
}

static void p_hit_end(void)
{
	p_stack_end();
	hit_at = R0 + P;
}

/* The region tree is brought up to date by a worker. */
static uint32_t a_munmap_and_wait(void)
{
	uint32_t status = munmap((void *)EXEC, MIB) ? ERRNO(errno) : 0;

	sleep_ms(20 * slow());
	return status;
}

static bool d_unmapped(const struct op *op)
{
	(void)op;
	nr_filled = 3;		/* what p_committed() has */
	return all_are(EXEC, MIB, FREE, 0) && all_are(R0, 2 * MIB, COMMITTED, RW) &&
	       all_are(R0 + 3 * MIB, RS - 3 * MIB, COMMITTED, RW) && filled_right() &&
	       vmas_in(EXEC, EXEC + MIB) == 0;
}

/* --- the first steps of a process ------------------------------------------ */

static void u_close(void)
{
	if (dev >= 0) {
		do_release(R0, 0, NTVM_FREE_RELEASE);
		close(dev);
	}
	dev = -1;
}

/* The object goes with its last reference, which a worker may have; the job's file is another. */
/* Nothing of this process is left but what holds the module to the end of it (core.c). */
static void p_unopened(void)
{
	static bool holds;

	if (!holds && !do_allocate(R0, RS, NTVM_ALLOC_RESERVE, RW))
		holds = true;
	u_close();
	if (!wait_until(5, module_refcnt() == holds + (job >= 0)))
		must("close", ERRNO(EBUSY));
}

static void p_opened(void)
{
	p_unopened();
	dev = device_open(O_RDWR);
	if (dev < 0)
		must("open", ERRNO(errno));
}

static uint32_t a_open(void)
{
	dev = open("/dev/ntvm", O_RDWR | O_CLOEXEC);
	return dev < 0 ? ERRNO(errno) : 0;
}

static bool d_opened(const struct op *op)
{
	(void)op;
	return dev >= 0 && !do_allocate(R0, RS, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT, RW);
}

/* Of a process in a job: it is in it again. */
static uint64_t job_committed(void)
{
	struct ntvm_job j = { .handle = NTVM_CURRENT_PROCESS, .op = NTVM_JOB_GET, .job = job };

	must("job", CALL(NTVM_IOC_JOB, &j));
	return j.out_committed;
}

static bool d_opened_in_job(const struct op *op)
{
	return d_opened(op) && job_committed() == RS;
}

/* --- the other process ----------------------------------------------------- */

static struct child other;

static int other_main(int sock, void *arg)
{
	uint64_t word;
	int fd = own_device();

	(void)arg;
	if (fd < 0 || !send_fd(sock, fd))
		return 1;
	close(fd);
	child_hear(sock, &word);
	return 0;
}

static void other_start(void)
{
	struct ntvm_set_contract c = { .contract = NTVM_CONTRACT_WINDOWS };
	char path[64];

	if (!child_start(&other, other_main, NULL)) {
		must("child", ERRNO(errno));
		return;
	}
	target = recv_fd(other.sock);
	target_pid = other.pid;
	c.handle = target;
	must("contract", CALL(NTVM_IOC_SET_CONTRACT, &c));
	snprintf(path, sizeof(path), "/proc/%d/mem", other.pid);
	close(mem);
	mem = open(path, O_RDWR | O_CLOEXEC);
}

static void other_end(void)
{
	kill(other.pid, SIGKILL);
	child_wait(&other);
	close(target);
	target = NTVM_CURRENT_PROCESS;
	target_pid = 0;
}

static void r_assign(const struct op *op)
{
	struct ntvm_job *j = REQ(ntvm_job);

	(void)op;
	*j = (struct ntvm_job){ .size = sizeof(*j), .handle = target, .op = NTVM_JOB_ASSIGN,
				.job = job };
}

static uint32_t job_processes(void)
{
	struct ntvm_job j = { .handle = NTVM_CURRENT_PROCESS, .op = NTVM_JOB_GET, .job = job };

	must("job", CALL(NTVM_IOC_JOB, &j));
	return j.out_processes;
}

static bool d_assigned(const struct op *op)
{
	(void)op;
	return job_processes() == 1;
}

static bool s_unassigned(void)
{
	return job_processes() == 0;
}

/* --- the tables ------------------------------------------------------------ */

#define ALLOC(t, b, l, p)	.nr = NTVM_IOC_ALLOCATE, .base = b, .len = l, .type = t, .prot = p
#define EX(t, b, l, p)		.nr = NTVM_IOC_ALLOCATE_EX, .base = b, .len = l, .type = t, \
				.prot = p
#define FREES(t, b, l)		.nr = NTVM_IOC_FREE, .base = b, .len = l, .type = t
#define PROT(p, b, l)		.nr = NTVM_IOC_PROTECT, .base = b, .len = l, .prot = p, \
				.state = COMMITTED
#define R	NTVM_ALLOC_RESERVE
#define C	NTVM_ALLOC_COMMIT
#define PH	NTVM_ALLOC_RESERVE_PLACEHOLDER
#define REPL	NTVM_ALLOC_REPLACE_PLACEHOLDER
#define LIMIT	NTVM_STATUS_COMMITMENT_LIMIT

static const struct op allocates[] = {
	{ "reserve", p_nothing, ALLOC(R, R0, RS, RW), .state = RESERVED, .fail = { NOMEM } },
	{ "reserve anywhere", p_nothing, ALLOC(R, 0, RS, RW), .state = RESERVED,
	  .done = d_chosen, .fail = { NOMEM } },
	{ "reserve from the top", p_nothing, ALLOC(R | NTVM_ALLOC_TOP_DOWN, 0, RS, RW),
	  .state = RESERVED, .done = d_chosen, .fail = { NOMEM } },
	{ "reserve and commit", p_nothing, ALLOC(R | C, R0, RS, RW), .state = COMMITTED,
	  .fail = { NOMEM, LIMIT } },
	{ "reserve and commit, executable", p_nothing, ALLOC(R | C, R0, RS, RWX),
	  .state = COMMITTED, .fail = { NOMEM, LIMIT } },
	{ "reserve and commit, watched", p_nothing,
	  ALLOC(R | C | NTVM_ALLOC_WRITE_WATCH, R0, RS, RW), .state = COMMITTED,
	  .fail = { NOMEM, LIMIT } },
	{ "reserve and commit large pages", p_nothing,
	  ALLOC(R | C | NTVM_ALLOC_LARGE_PAGES, R0, 4 * MIB, RW), .state = COMMITTED,
	  .fail = { NOMEM, NORES, LIMIT }, .leaves = true },
	{ "reserve and commit large pages, executable", p_nothing,
	  ALLOC(R | C | NTVM_ALLOC_LARGE_PAGES, R0, 2 * MIB, RX), .state = COMMITTED,
	  .fail = { NOMEM, NORES, LIMIT }, .leaves = true },
	{ "reserve, 32-bit variables", p_nothing, ALLOC(R, R0, RS, RW), .request = r_narrow,
	  .state = RESERVED, .fail = { NOMEM } },
	{ "commit all", p_reserved, ALLOC(C, R0, RS, RW), .state = COMMITTED,
	  .fail = { NORES, LIMIT } },
	{ "commit a page", p_reserved, ALLOC(C, R0 + 5 * P, P, RW), .state = COMMITTED,
	  .fail = { NORES, LIMIT } },
	{ "commit across leaves", p_reserved, ALLOC(C, R0 + MIB, 4 * MIB, RW), .state = COMMITTED,
	  .fail = { NORES, LIMIT } },
	{ "commit between committed pages", p_fragmented, ALLOC(C, R0, 2 * MIB, RW),
	  .state = COMMITTED, .done = d_contents, .fail = { NORES, LIMIT } },
	{ "commit executable pages", p_reserved, ALLOC(C, R0 + MIB, 64 * KIB, RX),
	  .state = COMMITTED, .fail = { NORES, LIMIT }, .tears = true },
	{ "commit executable pages over others", p_committed, ALLOC(C, R0 + MIB, 4 * MIB, RX),
	  .state = COMMITTED, .done = d_contents, .fail = { NORES, LIMIT }, .tears = true },
	{ "commit over executable pages", p_executable, ALLOC(C, EXEC + 64 * KIB, 64 * KIB, RW),
	  .state = COMMITTED, .done = d_contents, .fail = { NORES, LIMIT }, .tears = true },
	{ "commit under a limit", p_limited, ALLOC(C, R0 + 5 * P, 9 * P, RW), .state = COMMITTED,
	  .undo = u_limit, .fail = { NORES, LIMIT } },
	{ "reset", p_committed, ALLOC(NTVM_ALLOC_RESET, OFFERED, 4 * MIB, RW),
	  .done = d_disposable, .fail = { NORES } },
	{ "undo a reset", p_reset, ALLOC(NTVM_ALLOC_RESET_UNDO, OFFERED, 4 * MIB, RW),
	  .done = d_undone, .fail = { NORES } },
};

static const struct op frees[] = {
	{ "decommit all", p_committed, FREES(NTVM_FREE_DECOMMIT, R0, RS), .state = RESERVED,
	  .fail = { NORES } },
	{ "decommit a page", p_committed, FREES(NTVM_FREE_DECOMMIT, R0 + 3 * MIB, P),
	  .state = RESERVED, .fail = { NORES } },
	{ "decommit across leaves", p_committed, FREES(NTVM_FREE_DECOMMIT, R0 + MIB, 4 * MIB),
	  .state = RESERVED, .fail = { NORES } },
	{ "decommit executable pages", p_executable, FREES(NTVM_FREE_DECOMMIT, EXEC, MIB),
	  .state = RESERVED, .fail = { NORES }, .tears = true },
	{ "release", p_committed, FREES(NTVM_FREE_RELEASE, R0, 0), .state = FREE,
	  .fail = { NORES } },
	{ "release executable pages", p_executable, FREES(NTVM_FREE_RELEASE, R0, 0),
	  .state = FREE, .fail = { NORES }, .tears = true },
	{ "release the head", p_committed, FREES(NTVM_FREE_RELEASE, R0, MIB), .done = d_hole,
	  .fail = { NORES } },
	{ "release the middle", p_committed, FREES(NTVM_FREE_RELEASE, R0 + MIB, 3 * MIB),
	  .done = d_hole, .fail = { NORES } },
	{ "release the tail", p_committed, FREES(NTVM_FREE_RELEASE, R0 + 5 * MIB, 3 * MIB),
	  .done = d_hole, .fail = { NORES } },
	{ "release the middle of executable pages", p_executable,
	  FREES(NTVM_FREE_RELEASE, EXEC - 64 * KIB, 128 * KIB), .done = d_hole,
	  .fail = { NORES }, .tears = true },
	{ "split a placeholder", p_placeholder,
	  FREES(NTVM_FREE_RELEASE | NTVM_FREE_PRESERVE, R0 + MIB, MIB), .done = d_split,
	  .fail = { NORES } },
	{ "join placeholders", p_split, FREES(NTVM_FREE_RELEASE | NTVM_FREE_COALESCE, R0, RS),
	  .done = d_joined, .fail = { NORES } },
	{ "join placeholders of two extents", p_two,
	  FREES(NTVM_FREE_RELEASE | NTVM_FREE_COALESCE, R0, 2 * RS), .done = d_joined,
	  .fail = { NORES }, .tears = true },
	{ "make a placeholder again", p_replaced,
	  FREES(NTVM_FREE_RELEASE | NTVM_FREE_PRESERVE, R0 + MIB, MIB), .state = RESERVED,
	  .fail = { NORES } },
};

static const struct op protects[] = {
	{ "protect a page", p_committed, PROT(RO, R0 + 3 * MIB, P), .done = d_contents,
	  .fail = { NORES } },
	{ "protect all", p_committed, PROT(RO, R0, RS), .done = d_contents, .fail = { NORES } },
	{ "protect: guard", p_committed, PROT(RW | NTVM_PAGE_GUARD, R0 + MIB, 64 * KIB),
	  .done = d_contents, .fail = { NORES } },
	{ "protect: executable", p_committed, PROT(RX, R0 + MIB, 3 * MIB), .done = d_contents,
	  .fail = { NORES }, .tears = true },
	{ "protect: executable and writable", p_executable, PROT(RWX, EXEC + 64 * KIB, 64 * KIB),
	  .done = d_contents, .fail = { NORES }, .tears = true },
	{ "protect: not executable any more", p_executable, PROT(RO, EXEC, MIB),
	  .done = d_contents, .fail = { NORES }, .tears = true },
	{ "protect watched pages", p_watched, PROT(RO, R0 + P, 4 * MIB), .done = d_latched,
	  .same = s_written, .fail = { NORES } },
};

static const struct op extended[] = {
	{ "reserve within bounds", p_nothing, EX(R, 0, RS, RW), .state = RESERVED,
	  .request = r_requirements, .done = d_chosen, .fail = { NOMEM } },
	{ "reserve a placeholder", p_nothing, EX(R | PH, R0, RS, NTVM_PAGE_NOACCESS),
	  .state = RESERVED, .fail = { NOMEM } },
	{ "replace a placeholder", p_split, EX(R | C | REPL, R0 + MIB, MIB, RW),
	  .state = COMMITTED, .fail = { NORES, LIMIT } },
	{ "replace a placeholder, executable", p_split, EX(R | C | REPL, R0 + MIB, MIB, RX),
	  .state = COMMITTED, .fail = { NORES, LIMIT }, .tears = true },
	{ "replace a placeholder, watched", p_split,
	  EX(R | C | REPL | NTVM_ALLOC_WRITE_WATCH, R0 + MIB, MIB, RW), .state = COMMITTED,
	  .fail = { NORES, LIMIT }, .tears = true },
};

#define QUERY(c, b, l)	.nr = NTVM_IOC_QUERY, .request = r_query, .type = c, .base = b, .len = l, \
			.done = d_answered
#define PLAIN(n)	.nr = n, .request = r_plain

static const struct op queries[] = {
	{ "query", p_committed, QUERY(NTVM_QUERY_BASIC, R0, sizeof(struct ntvm_basic_info)) },
	{ "query, 32-bit answer", p_committed,
	  QUERY(NTVM_QUERY_BASIC, R0, sizeof(struct ntvm_basic_info32)), .prot = NTVM_F_NARROW },
	{ "query the region", p_committed,
	  QUERY(NTVM_QUERY_REGION, R0, sizeof(struct ntvm_region_info)) },
	{ "query the working set", p_committed, QUERY(NTVM_QUERY_WORKING_SET_EX, 0, 32),
	  .fail = { NORES } },
	{ "query the image", p_nothing,
	  QUERY(NTVM_QUERY_IMAGE, 0, sizeof(struct ntvm_image_info)) },
	{ "query the file's name", p_nothing, QUERY(NTVM_QUERY_MAPPED_FILENAME, 0, 2 * P),
	  .fail = { NORES } },
	{ "information", p_nothing, PLAIN(NTVM_IOC_GET_INFO) },
	{ "information, by a longer request", p_nothing, .nr = NTVM_IOC_GET_INFO,
	  .request = r_longer },
};

/* Pages in more parts of the region than the module has room for at first. */
#define PARTS	60

static void p_watched_widely(void)
{
	uint64_t word = 1;
	int i;

	must("watched", do_allocate(R0, PARTS * 2 * MIB, NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT |
				    NTVM_ALLOC_WRITE_WATCH, RW));
	for (i = 0; i < PARTS; i++)
		if (pwrite(mem, &word, sizeof(word), R0 + i * 2 * MIB) != sizeof(word))
			must("write", ERRNO(errno));
}

static void r_watch_widely(const struct op *op)
{
	r_watch(op);
	REQ(ntvm_watch)->len = PARTS * 2 * MIB;
}

static bool d_got_widely(const struct op *op)
{
	const uint64_t *addresses = at_page(P_BUF + 1) - sizeof(uint64_t);
	int i;

	(void)op;
	for (i = 0; i < PARTS; i++)
		if (addresses[i] != R0 + i * 2 * MIB)
			return false;
	return VAR(P_LEN) == PARTS && !written();
}

static bool s_written_widely(void)
{
	return written() == 4;		/* of the region's first 8 MiB */
}

static const struct op watches[] = {
	{ "get write watch", p_watched, .nr = NTVM_IOC_WATCH, .request = r_watch,
	  .type = NTVM_WATCH_GET, .done = d_got, .same = s_written, .fail = { NORES } },
	{ "get and reset write watch", p_watched, .nr = NTVM_IOC_WATCH, .request = r_watch,
	  .type = NTVM_WATCH_GET, .prot = NTVM_WATCH_FLAG_RESET, .done = d_got,
	  .same = s_written, .fail = { NORES } },
	{ "get and reset write watch of a wide range", p_watched_widely, .nr = NTVM_IOC_WATCH,
	  .request = r_watch_widely, .type = NTVM_WATCH_GET, .prot = NTVM_WATCH_FLAG_RESET,
	  .done = d_got_widely, .same = s_written_widely, .fail = { NORES } },
	{ "reset write watch", p_watched, .nr = NTVM_IOC_WATCH, .request = r_watch,
	  .type = NTVM_WATCH_RESET, .done = d_none_written, .same = s_written, .fail = { NORES } },
};

#define OFFERS(o, p)	.nr = NTVM_IOC_OFFER, .base = OFFERED, .len = 4 * MIB, .type = o, .prot = p
#define LOCKS(o)	.nr = NTVM_IOC_LOCK, .base = R0, .len = LOCKED, .type = o

static const struct op contents[] = {
	{ "offer", p_committed, OFFERS(NTVM_OFFER_OFFER, NTVM_OFFER_LOW), .done = d_disposable,
	  .fail = { NORES } },
	{ "reclaim", p_offered, OFFERS(NTVM_OFFER_RECLAIM, 0), .done = d_undone,
	  .fail = { NORES } },
	{ "discard", p_committed, OFFERS(NTVM_OFFER_DISCARD, 0), .fail = { NORES } },
	{ "lock", p_committed, LOCKS(NTVM_LOCK_LOCK), .done = d_locked,
	  .fail = { NOMEM, NORES } },
	{ "lock a guard page", p_guarded, .nr = NTVM_IOC_LOCK, .base = GUARD - 2 * P,
	  .len = LOCKED, .type = NTVM_LOCK_LOCK, .done = d_guard_used,
	  .fail = { NOMEM, NORES }, .ok = NTVM_STATUS_GUARD_PAGE_VIOLATION },
	{ "unlock", p_locked, LOCKS(NTVM_LOCK_UNLOCK), .done = d_locked },
	/* More than is copied at a time. */
	{ "read memory", p_committed, .nr = NTVM_IOC_COPY, .request = r_copy,
	  .type = NTVM_COPY_READ, .base = R0, .len = BUF * P, .done = d_copied,
	  .fail = { NTVM_STATUS_PARTIAL_COPY } },
	{ "write memory", p_untouched, .nr = NTVM_IOC_COPY, .request = r_copy,
	  .type = NTVM_COPY_WRITE, .base = R0 + 3 * MIB, .len = 4 * P, .done = d_copied,
	  .fail = { NORES, NTVM_STATUS_PARTIAL_COPY } },
	{ "vector", p_reserved, .nr = NTVM_IOC_VECTOR, .request = r_vector, .done = d_vector,
	  .partly = vector_partly, .fail = { NORES }, .tears = true },
};

static const struct op own[] = {
	{ "flush", p_nothing, .nr = NTVM_IOC_FLUSH, .request = r_flush },
	{ "prefetch", p_committed, .nr = NTVM_IOC_SET_INFORMATION, .request = r_prefetch,
	  .fail = { NORES } },
	{ "choose the contract", p_nothing, PLAIN(NTVM_IOC_SET_CONTRACT) },
	{ "take a fault", p_nothing, PLAIN(NTVM_IOC_TAKE_FAULT), .ok = NTVM_STATUS_NOT_FOUND },
	{ "duplicate a handle", p_nothing, PLAIN(NTVM_IOC_DUPLICATE), .done = d_made_fd,
	  .undo = u_duplicate, .same = fds_same, .fail = { NORES } },
	{ "get limits", p_nothing, PLAIN(NTVM_IOC_LIMITS), .type = NTVM_LIMITS_GET },
	{ "set limits", p_nothing, PLAIN(NTVM_IOC_LIMITS), .type = NTVM_LIMITS_SET,
	  .len = 64 * MIB, .done = d_limit, .undo = u_limit },
	{ "create a job", p_nothing, PLAIN(NTVM_IOC_JOB), .type = NTVM_JOB_CREATE,
	  .done = d_made_fd, .undo = u_job, .same = fds_same, .fail = { NORES } },
	{ "register a stack", p_reserved, PLAIN(NTVM_IOC_STACK), .type = NTVM_STACK_SET,
	  .done = d_stack, .undo = u_stack, .same = s_no_stack, .fail = { NORES } },
};

static const struct op accesses[] = {
	{ "first write to a page", p_untouched, .run = a_write, .done = d_touched },
	{ "first write to a page by a system call", p_untouched, .run = a_syscall,
	  .done = d_told_time, .fail = { ERRNO(EFAULT) }, .returns = true },
	{ "first write to a page by /proc/PID/mem", p_untouched, .run = a_procfs,
	  .done = d_touched, .fail = { ERRNO(EIO), ERRNO(ENOMEM) }, .returns = true },
	{ "first read of a page", p_untouched, .run = a_read, .done = d_zero },
	{ "first read of an executable page", p_untouched_exec, .run = a_read, .done = d_zero },
	{ "first write to a watched page", p_watched_untouched, .run = a_write,
	  .done = d_recorded },
	{ "hit a guard page in a system call", p_hit, .run = a_hit, .done = d_hit,
	  .type = NTVM_FAULT_GUARD, .returns = true },
	{ "grow a stack", p_stack, .run = a_grow, .done = d_grown, .undo = u_stack },
	{ "use up a stack in a system call", p_hit_end, .run = a_hit, .done = d_hit,
	  .type = NTVM_FAULT_STACK, .undo = u_stack },
	{ "munmap of a VMA, what a worker does", p_executable, .run = a_munmap_and_wait,
	  .done = d_unmapped, .workers = true },
};

/* --- the tests ------------------------------------------------------------- */

FIXTURE(inject)
{
	int64_t charged;
};

FIXTURE_SETUP(inject)
{
	struct ntvm_set_contract c = { .handle = NTVM_CURRENT_PROCESS,
				       .contract = NTVM_CONTRACT_WINDOWS };
	int fd = open("/tmp/inject", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	probe_init();
	ASSERT_TRUE(knobs_setup());
	ASSERT_TRUE(arena_make());
	ASSERT_TRUE(fd >= 0 && !ftruncate(fd, 4 * P));
	flush_map = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, flush_map);
	close(fd);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ASSERT_GE(mem, 0);
	workers_find();
	self->charged = meminfo("Committed_AS");
	dev = device_open(O_RDWR);
	ASSERT_GE(dev, 0);
	ASSERT_EQ(0, CALL(NTVM_IOC_SET_CONTRACT, &c));
}

FIXTURE_TEARDOWN(inject)
{
	tally_row(_metadata->name, &tally);
	tally_add(total, &tally);
	close(dev);
	/* The workers return what an idle ledger has left. */
	EXPECT_TRUE(wait_until(5, meminfo("Committed_AS") <= self->charged + 512 * (int64_t)KIB))
		TH_LOG("committed: %lld before, %lld after", (long long)self->charged,
		       (long long)meminfo("Committed_AS"));
}

static void walk(struct __test_metadata *_metadata, const struct op *ops, size_t nr)
{
	size_t i;

	for (i = 0; i < nr && !trouble; i++)
		inject_all(_metadata, &ops[i]);
}
#define WALK(ops)	walk(_metadata, ops, sizeof(ops) / sizeof((ops)[0]))

TEST_F_TIMEOUT(inject, allocates, LONG)
{
	WALK(allocates);
}

TEST_F_TIMEOUT(inject, frees, LONG)
{
	WALK(frees);
}

TEST_F_TIMEOUT(inject, protects, LONG)
{
	WALK(protects);
}

TEST_F_TIMEOUT(inject, extended, LONG)
{
	WALK(extended);
}

/* Queries about what is no region are about this program. */
static void query_at(struct op *op)
{
	if (op->nr == NTVM_IOC_QUERY && !op->base && op->type != NTVM_QUERY_WORKING_SET_EX)
		op->base = (uintptr_t)&inject_all;
}

TEST_F_TIMEOUT(inject, queries, LONG)
{
	struct op op;
	size_t i;

	for (i = 0; i < sizeof(queries) / sizeof(queries[0]) && !trouble; i++) {
		op = queries[i];
		query_at(&op);
		inject_all(_metadata, &op);
	}
}

TEST_F_TIMEOUT(inject, watches, LONG)
{
	WALK(watches);
}

TEST_F_TIMEOUT(inject, contents, LONG)
{
	WALK(contents);
}

TEST_F_TIMEOUT(inject, own, LONG)
{
	WALK(own);
}

TEST_F_TIMEOUT(inject, accesses, LONG)
{
	WALK(accesses);
}

TEST_F_TIMEOUT(inject, first_steps, LONG)
{
	static const struct op ops[] = {
		{ "open", p_unopened, .run = a_open, .done = d_opened, .undo = u_close,
		  .fail = { ERRNO(ENOMEM), ERRNO(ENFILE) }, .returns = true },
		{ "reserve for the first time", p_opened, ALLOC(R, R0, RS, RW), .state = RESERVED,
		  .undo = u_close, .fail = { NOMEM } },
		{ "large pages for the first time", p_opened,
		  ALLOC(R | C | NTVM_ALLOC_LARGE_PAGES, R0, 2 * MIB, RW), .state = COMMITTED,
		  .undo = u_close, .fail = { NOMEM, NORES, LIMIT }, .leaves = true },
	};

	WALK(ops);
}

TEST_F_TIMEOUT(inject, open_in_a_job, LONG)
{
	static const struct op ops[] = {
		{ "query a job", p_nothing, .nr = NTVM_IOC_JOB, .request = r_job,
		  .type = NTVM_JOB_GET },
		{ "limit a job", p_nothing, .nr = NTVM_IOC_JOB, .request = r_job,
		  .type = NTVM_JOB_SET },
		{ "commit in a job", p_reserved, ALLOC(C, R0 + 5 * P, 9 * P, RW),
		  .state = COMMITTED, .fail = { NORES, LIMIT } },
		{ "open in a job", p_unopened, .run = a_open, .done = d_opened_in_job,
		  .undo = u_close, .fail = { ERRNO(ENOMEM), ERRNO(ENFILE) }, .returns = true },
	};
	struct ntvm_job j = { .handle = NTVM_CURRENT_PROCESS, .op = NTVM_JOB_CREATE, .job = -1 };

	ASSERT_EQ(0, CALL(NTVM_IOC_JOB, &j));
	job = j.job;
	j.op = NTVM_JOB_ASSIGN;
	ASSERT_EQ(0, CALL(NTVM_IOC_JOB, &j));
	WALK(ops);
	close(job);
}

TEST_F_TIMEOUT(inject, assign_to_a_job, LONG)
{
	static const struct op op = {
		"assign to a job", other_start, .nr = NTVM_IOC_JOB, .request = r_assign,
		.done = d_assigned, .same = s_unassigned, .undo = other_end, .fail = { NORES } };
	struct ntvm_job j = { .handle = NTVM_CURRENT_PROCESS, .op = NTVM_JOB_CREATE, .job = -1 };

	ASSERT_EQ(0, CALL(NTVM_IOC_JOB, &j));
	job = j.job;
	inject_all(_metadata, &op);
	close(job);
}

/* In another process: what the caller does, and what a worker does for it. */
static void walk_foreign(struct __test_metadata *_metadata, const struct op *ops, size_t nr,
			 bool workers)
{
	char name[80];
	struct op op;
	size_t i;

	other_start();
	for (i = 0; i < nr && !trouble; i++) {
		op = ops[i];
		query_at(&op);
		op.workers = workers;
		snprintf(name, sizeof(name), "%s: %s", workers ? "worker" : "foreign", op.name);
		op.name = name;
		inject_all(_metadata, &op);
	}
	other_end();
	/* Some of these need no worker or no memory. Were it all, nothing was armed. */
	EXPECT_LT(0u, tally.nr[SLAB] + tally.nr[PAGE]);
}
#define WALK_FOREIGN(ops, w)	walk_foreign(_metadata, ops, sizeof(ops) / sizeof((ops)[0]), w)

TEST_F_TIMEOUT(inject, worker_allocates, LONG)
{
	WALK_FOREIGN(allocates, true);
}

TEST_F_TIMEOUT(inject, worker_frees, LONG)
{
	WALK_FOREIGN(frees, true);
}

TEST_F_TIMEOUT(inject, worker_protects, LONG)
{
	WALK_FOREIGN(protects, true);
}

TEST_F_TIMEOUT(inject, worker_extended, LONG)
{
	WALK_FOREIGN(extended, true);
}

/* What the caller does of the work that a worker does. */
TEST_F_TIMEOUT(inject, foreign_calls, LONG)
{
	static const struct op ops[] = {
		{ "reserve and commit", p_nothing, ALLOC(R | C, R0, RS, RW), .state = COMMITTED,
		  .fail = { NOMEM, LIMIT } },
		{ "reserve and commit large pages", p_nothing,
		  ALLOC(R | C | NTVM_ALLOC_LARGE_PAGES, R0, 2 * MIB, RW), .state = COMMITTED,
		  .fail = { NOMEM, NORES, LIMIT } },
		{ "commit a page", p_reserved, ALLOC(C, R0 + 5 * P, P, RW), .state = COMMITTED,
		  .fail = { NORES, LIMIT } },
		{ "release the middle", p_committed,
		  FREES(NTVM_FREE_RELEASE, R0 + MIB, 3 * MIB), .done = d_hole, .fail = { NORES } },
		{ "protect a page", p_committed, PROT(RO, R0 + 3 * MIB, P), .done = d_contents,
		  .fail = { NORES } },
		{ "reserve within bounds", p_nothing, EX(R, 0, RS, RW), .state = RESERVED,
		  .request = r_requirements, .done = d_chosen, .fail = { NOMEM } },
		{ "prefetch", p_committed, .nr = NTVM_IOC_SET_INFORMATION, .request = r_prefetch,
		  .fail = { NORES } },
		{ "set limits", p_nothing, PLAIN(NTVM_IOC_LIMITS), .type = NTVM_LIMITS_SET,
		  .len = 64 * MIB, .done = d_limit, .undo = u_limit },
	};

	WALK_FOREIGN(ops, false);
}

TEST_F_TIMEOUT(inject, foreign_queries, LONG)
{
	WALK_FOREIGN(queries, false);
}

TEST_F_TIMEOUT(inject, foreign_watches, LONG)
{
	WALK_FOREIGN(watches, false);
}

TEST_F_TIMEOUT(inject, foreign_contents, LONG)
{
	WALK_FOREIGN(contents, false);
}

/* Offers and the like; what the caller does itself, no worker fails. */
TEST_F_TIMEOUT(inject, worker_contents, LONG)
{
	WALK_FOREIGN(contents, true);
}

TEST_HARNESS_MAIN
