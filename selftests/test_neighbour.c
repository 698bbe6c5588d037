// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process that reserves, fragments and queries as much as it can does not slow
 * its neighbours: whatever it asks for lets others run on its processor, ends
 * when the process is killed, and keeps no lock that another process needs.
 *
 * Most kernels do not preempt what runs in them. A thread of real-time priority
 * that sleeps for a millisecond at a time on each processor finds out how long
 * nobody else could run there. The host may be late as well, but not each time:
 * an operation is at fault if it is late in every one of several attempts. Tables
 * are as large as it takes for a loop that never offers to reschedule to be far
 * beyond the bound.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sched.h>
#include <sys/prctl.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	150

#define RW		PAGE_READWRITE
#define LEAF		(512 * P)
#define NODES		"/sys/module/ntvm/parameters/max_nodes"
#define OVERCOMMIT	"/proc/sys/vm/overcommit_memory"
#define MAP_COUNT	"/proc/sys/vm/max_map_count"

/* Attempts to stay below the bound */
#define ATTEMPTS	6
#define CPUS		2

/* Leaves, runs and pages that the operations are about. */
#define LEAVES		(96ul * 1024 / slow())
#define RUNS		(768ul * 1024 / slow())
#define RESIDENT	(24ul * 1024 / slow())
#define SCATTERED	(40ul * 1024 / slow())
#define HOLDERS		(8ul * 1024 / slow())
#define ENTRIES		(128ul * 1024 / slow())
#define VMAS		(128ul * 1024 / slow())
#define CODE		(4ul * 1024 / slow())

/* Changes in a batch: as many as the module copies in at one go. */
#define LENGTH		128

#define WRONG		(~0ull)

/* --- the neighbours ------------------------------------------------------------- */

struct neighbour {
	pthread_t thread;
	int cpu;
	bool stop;
	uint64_t worst;			/* ns */
};

static uint64_t ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/*
 * Seconds that others may have to wait on a processor: some 50 ms where this is
 * emulated and nothing else runs, and more as the machine is slower just now. A
 * loop without a way out takes several times as long.
 */
static double bound(void)
{
	double from = now(), pace;
	uint64_t i;

	for (i = 0; i < 50000000; i++)
		__asm__ volatile("" : "+r"(i));
	pace = (now() - from) / 3;
	return (pace > 0.05 ? pace : 0.05) * slow();
}

static bool pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

static void *neighbour(void *arg)
{
	struct sched_param param = { .sched_priority = 10 };
	struct neighbour *n = arg;
	struct timespec t;
	uint64_t due, late;

	if (!pin(n->cpu) || sched_setscheduler(0, SCHED_FIFO, &param))
		return NULL;
	while (!__atomic_load_n(&n->stop, __ATOMIC_RELAXED)) {
		due = ns() + 1000000;
		t.tv_sec = due / 1000000000;
		t.tv_nsec = due % 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		late = ns() - due;
		if (late > __atomic_load_n(&n->worst, __ATOMIC_RELAXED))
			__atomic_store_n(&n->worst, late, __ATOMIC_RELAXED);
	}
	return n;
}

/* --- the memory that operations are about ----------------------------------------- */

struct hog {
	uint8_t *p;
	size_t size;
	bool flip;
	bool spoilt;		/* not what it was made as any more */
	struct child other;
	int fd;
	LIBNT_REQUEST *requests;
};

/* The same request for a piece in every @step bytes. */
static bool each(ULONG what, uint8_t *p, size_t step, size_t count, ULONG prot)
{
	static LIBNT_REQUEST e[4096];
	size_t i, n;
	ULONG done;

	while (count) {
		n = count < 4096 ? count : 4096;
		for (i = 0; i < n; i++, p += step)
			e[i] = (LIBNT_REQUEST){
				.Operation = what, .BaseAddress = (uintptr_t)p,
				.RegionSize = P, .Protect = prot,
			};
		if (LibntVirtualMemoryBatch(ME, e, n, LIBNT_BATCH_STOP, &done) || done != n ||
		    e[n - 1].Status)
			return false;
		count -= n;
	}
	return true;
}

/* One page committed in each leaf. */
static bool scattered(struct hog *h)
{
	if (h->p)
		release(h->p);
	h->spoilt = false;
	h->size = LEAVES * LEAF;
	h->p = reserve(h->size);
	return h->p && each(LIBNT_REQUEST_COMMIT, h->p, LEAF, LEAVES, RW);
}

static bool scattered_once(struct hog *h)
{
	return (h->p && !h->spoilt) || scattered(h);
}

/*
 * All pages alike, but each leaf still there: where writes are watched no leaf
 * goes when its pages become equal. The last page of it has contents.
 */
static bool uniform(struct hog *h)
{
	struct res r;

	if (h->p)
		release(h->p);
	h->size = LEAVES * LEAF;
	r = do_alloc(ME, 0, 0, h->size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
	h->p = (uint8_t *)r.base;
	return !r.status && each(LIBNT_REQUEST_PROTECT, h->p, LEAF, LEAVES, PAGE_READONLY) &&
	       !protect(h->p, h->size, RW);
}

static bool uniform_once(struct hog *h)
{
	return h->p || uniform(h);
}

/* No two neighbours alike, and a reserved page behind them. */
static bool checkered(struct hog *h)
{
	if (h->p)
		return true;
	h->size = RUNS * P;
	h->p = reserve(h->size + P);
	return h->p && !commit(h->p, h->size, RW) &&
	       each(LIBNT_REQUEST_PROTECT, h->p, 2 * P, RUNS / 2, PAGE_READONLY);
}

/* Pages with contents. */
static bool resident(struct hog *h)
{
	size_t i;

	if (!h->p) {
		h->size = RESIDENT * P;
		h->p = reserve_commit(h->size, RW);
	}
	for (i = 0; h->p && i < h->size; i += P)
		h->p[i] = 1;
	return h->p;
}

static bool resident_watched(struct hog *h)
{
	if (!h->p) {
		h->size = RESIDENT * P;
		h->p = (uint8_t *)do_alloc(ME, 0, 0, h->size,
					   MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW).base;
	}
	return resident(h);
}

/* --- the operations ----------------------------------------------------------------- */

static bool query_region(struct hog *h)
{
	MEMORY_REGION_INFORMATION info;

	return !NtQueryVirtualMemory(ME, h->p, MemoryRegionInformation, &info, sizeof(info), NULL) &&
	       info.CommitSize == LEAVES * P;
}

static bool query_run(struct hog *h)
{
	struct query q = do_query(ME, (uintptr_t)h->p);

	return !q.status && q.mbi.RegionSize == h->size;
}

static bool protect_all(struct hog *h)
{
	h->flip = !h->flip;
	return !protect(h->p, h->size, h->flip ? PAGE_READONLY : RW);
}

/* Refused for its last page, behind a look at all the others. */
static bool protect_refused(struct hog *h)
{
	return protect(h->p, h->size + P, RW) == STATUS_NOT_COMMITTED;
}

static bool offer_refused(struct hog *h)
{
	return LibntOfferVirtualMemory(ME, h->p, h->size + P, VmOfferPriorityLow) ==
	       STATUS_NOT_COMMITTED;
}

static bool commit_all(struct hog *h)
{
	h->spoilt = true;
	return !commit(h->p, h->size, RW);
}

static bool decommit_all(struct hog *h)
{
	h->spoilt = true;
	return !decommit(h->p, h->size);
}

static bool release_all(struct hog *h)
{
	bool done = !release(h->p);

	h->p = NULL;
	return done;
}

static bool unmap_all(struct hog *h)
{
	bool done = !munmap(h->p, h->size);

	/* A call that finds out. */
	done = done && page_state(h->p) == MEM_FREE;
	h->p = NULL;
	return done;
}

static bool fork_and_exit(struct hog *h)
{
	pid_t pid = fork();
	int status;

	(void)h;
	if (!pid)
		_exit(0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static int hold(int sock, void *arg)
{
	struct hog h = { 0 };
	uint64_t word;

	(void)arg;
	if (!scattered(&h) || !child_tell(sock, 1))
		return 1;
	child_hear(sock, &word);
	return 0;
}

/* Another process has it all, and ends. */
static bool other(struct hog *h)
{
	uint64_t word;

	return child_start(&h->other, hold, NULL) && child_hear(h->other.sock, &word);
}

static bool end_other(struct hog *h)
{
	kill(h->other.pid, SIGKILL);
	child_wait(&h->other);
	sleep_ms(500);		/* a worker clears up */
	return true;
}

static bool lock_all(struct hog *h)
{
	PVOID base = h->p;
	SIZE_T size = h->size;

	return !NtLockVirtualMemory(ME, &base, &size, 1);
}

static bool lock_unlock(struct hog *h)
{
	PVOID base = h->p;
	SIZE_T size = h->size;

	return lock_all(h) && !NtUnlockVirtualMemory(ME, &base, &size, 1);
}

static bool reset_undo(struct hog *h)
{
	NTSTATUS status;

	if (do_alloc(ME, (uintptr_t)h->p, 0, h->size, MEM_RESET, RW).status)
		return false;
	status = do_alloc(ME, (uintptr_t)h->p, 0, h->size, MEM_RESET_UNDO, RW).status;
	return !status || status == STATUS_UNSUCCESSFUL;
}

static bool offer_reclaim(struct hog *h)
{
	NTSTATUS status;

	if (LibntOfferVirtualMemory(ME, h->p, h->size, VmOfferPriorityNormal))
		return false;
	status = LibntReclaimVirtualMemory(ME, h->p, h->size);
	return !status || status == STATUS_DEVICE_BUSY;
}

static bool watch_all(struct hog *h)
{
	static PVOID pages[64 * 1024];
	ULONG_PTR count = 64 * 1024;
	ULONG granularity;

	return !NtGetWriteWatch(ME, WRITE_WATCH_FLAG_RESET, h->p, h->size, pages, &count,
				&granularity) && !NtResetWriteWatch(ME, h->p, h->size);
}

static bool copy_all(struct hog *h)
{
	SIZE_T done;

	return !NtReadVirtualMemory(ME, h->p, h->p + h->size / 2, h->size / 2, &done) &&
	       !NtWriteVirtualMemory(ME, h->p, h->p + h->size / 2, h->size / 2, &done);
}

static bool prefetch_all(struct hog *h)
{
	struct ntvm_memory_range range = { .address = (uintptr_t)h->p, .len = h->size };
	uint32_t flags = 0;
	struct ntvm_set_information s = {
		.size = sizeof(s), .handle = NTVM_CURRENT_PROCESS, .ranges = (uintptr_t)&range,
		.count = 1, .info = (uintptr_t)&flags, .info_class = NTVM_SET_PREFETCH,
		.info_length = sizeof(flags),
	};
	int fd = own_device(), err = raw(fd, NTVM_IOC_SET_INFORMATION, &s);

	close(fd);
	return !err && !s.status;
}

static bool working_set(struct hog *h)
{
	static struct ntvm_working_set_entry e[256 * 1024];
	struct ntvm_query q = {
		.size = sizeof(q), .handle = NTVM_CURRENT_PROCESS, .buffer = (uintptr_t)e,
		.length = ENTRIES * sizeof(e[0]), .info_class = NTVM_QUERY_WORKING_SET_EX,
	};
	int fd = own_device(), err;
	size_t i;

	for (i = 0; i < ENTRIES; i++)
		e[i].address = (uintptr_t)h->p + i % (h->size / P) * P;
	err = raw(fd, NTVM_IOC_QUERY, &q);
	close(fd);
	return !err && !q.status;
}

static bool vector(struct hog *h)
{
	size_t i;

	if (!h->requests)
		h->requests = calloc(65536, sizeof(*h->requests));
	for (i = 0; h->requests && i < 65536; i++)
		h->requests[i] = (LIBNT_REQUEST){
			.Operation = LIBNT_REQUEST_PROTECT, .RegionSize = P,
			.BaseAddress = (uintptr_t)h->p + i % RUNS * P,
			.Protect = i & 1 ? RW : PAGE_READONLY,
		};
	return h->requests && !LibntVirtualMemoryBatch(ME, h->requests, 65536, 0, NULL);
}

/* A view of a file in very many pieces; some distributions allow a million. */
static bool view(struct hog *h)
{
	size_t i;
	int fd;

	if (h->p)
		return true;
	h->size = VMAS * P;
	fd = memfd_create("view", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, h->size))
		return false;
	h->p = mmap(NULL, h->size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	for (i = 0; h->p != MAP_FAILED && i < h->size; i += 2 * P)
		if (mprotect(h->p + i, P, PROT_READ | PROT_WRITE))
			return false;
	return h->p != MAP_FAILED;
}

static bool flush_view(struct hog *h)
{
	IO_STATUS_BLOCK io;
	PVOID base = h->p;
	SIZE_T size = 0;

	return !NtFlushVirtualMemory(ME, &base, &size, &io) && size == h->size;
}

/* Very many executable pieces; each has a VMA of its own. */
static bool executable(struct hog *h)
{
	if (h->p)
		release(h->p);
	h->size = CODE * P;
	h->p = reserve_commit(h->size, PAGE_EXECUTE_READ);
	return h->p && each(LIBNT_REQUEST_PROTECT, h->p, 2 * P, CODE / 2, RW);
}

static bool executable_all(struct hog *h)
{
	return !protect(h->p, h->size, PAGE_EXECUTE_READ);
}

/* A reservation in pieces, and joined again. */
static bool holders(struct hog *h)
{
	struct res r;
	size_t i;

	if (h->p)
		release(h->p);
	h->size = HOLDERS * G;
	r = do_alloc_ex(ME, 0, h->size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS,
			NULL, 0);
	h->p = (uint8_t *)r.base;
	for (i = 0; !r.status && i < HOLDERS - 1; i++)
		r = do_free(ME, r.base + (i ? G : 0), G, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER);
	return !r.status;
}

static bool join_holders(struct hog *h)
{
	return !do_free(ME, (uintptr_t)h->p, h->size, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS)
		.status;
}

/* As much of it as makes the pages of every leaf differ. */
static bool protect_part(struct hog *h)
{
	return each(LIBNT_REQUEST_PROTECT, h->p, LEAF, LEAVES, PAGE_READONLY);
}

/* The stack of the thread: one access uses up all that was guaranteed. */
static bool stack(struct hog *h)
{
	uint8_t *top;

	if (!checkered(h))
		return false;
	probe_init();
	top = h->p + h->size;
	return !protect(top - P, P, RW | PAGE_GUARD) &&
	       !LibntSetThreadStack(top, top - P, h->p, h->size - P);
}

static bool overflow(struct hog *h)
{
	PVOID page;

	return probe_write(h->p + h->size - P, 1).signo == SIGSEGV &&
	       LibntTakeFault(&page) == STATUS_STACK_OVERFLOW;
}

/* Something to give up behind all that is not. */
static bool disposable(struct hog *h)
{
	uint8_t *last;

	if (!uniform_once(h))
		return false;
	last = h->p + h->size - P;
	if (protect(h->p, h->size, RW))
		return false;
	*last = 1;
	return !do_alloc(ME, (uintptr_t)last, 0, P, MEM_RESET, RW).status;
}

static bool shrink(struct hog *h)
{
	(void)h;
	return !write_file("/proc/sys/vm/drop_caches", "2");
}

/* Contents in more leaves than there may be nodes for. */
static bool too_many(struct hog *h)
{
	uint8_t byte;
	char text[32];
	size_t i;
	int fd;

	if (h->p)
		return true;
	h->size = SCATTERED * LEAF;
	h->p = reserve_commit(h->size, PAGE_NOACCESS);
	fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	/* Without page tables for each of them. */
	for (i = 0; h->p && fd >= 0 && i < h->size; i += LEAF)
		if (pread(fd, &byte, 1, (uintptr_t)h->p + i) != 1)
			return false;
	close(fd);
	snprintf(text, sizeof(text), "%lu", SCATTERED - 100);
	return h->p && !write_file(NODES, text);
}

static bool reset_too_many(struct hog *h)
{
	return do_alloc(ME, (uintptr_t)h->p, 0, h->size, MEM_RESET, RW).status ==
	       STATUS_INSUFFICIENT_RESOURCES;
}

/* --- the hog ---------------------------------------------------------------------------- */

struct operation {
	bool (*prepare)(struct hog *h);
	bool (*run)(struct hog *h);
	const char *name;
};

/* Operations on the same memory: it takes longer to make that than to run them. */
#define MOST		6

/* Prepares and runs the operation that it is told; tells its time in us. */
static int hog(int sock, void *arg)
{
	const struct operation *ops = arg, *op;
	struct hog h = { 0 };
	uint64_t word;
	double from;

	pin(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (child_hear(sock, &word)) {
		op = &ops[word];
		word = op->prepare(&h) ? 0 : WRONG;
		if (!child_tell(sock, word) || !child_hear(sock, &word))
			return 1;
		from = now();
		word = op->run(&h) ? (now() - from) * 1e6 : WRONG;
		if (!child_tell(sock, word))
			return 1;
	}
	return 0;
}

/* What the tests set for all, and what there was before. */
struct machine {
	int64_t overcommit, map_count, nodes, objects;
};

static bool put_number(const char *path, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	return !write_file(path, text);
}

static bool machine_set(struct machine *m)
{
	m->overcommit = read_number(OVERCOMMIT);
	m->map_count = read_number(MAP_COUNT);
	m->nodes = read_number(NODES);
	m->objects = slab_objects();
	return put_number(OVERCOMMIT, 1) && put_number(MAP_COUNT, VMAS + 1000);
}

static bool machine_reset(const struct machine *m)
{
	bool set = put_number(OVERCOMMIT, m->overcommit);

	set = put_number(MAP_COUNT, m->map_count) && set;
	return put_number(NODES, m->nodes) && set;
}

/* Nothing is left of the hog. For one that has nothing of the module's itself. */
static bool machine_clean(const struct machine *m)
{
	return wait_until(20, module_refcnt() == 0) &&
	       wait_until(20, slab_objects() <= m->objects + 200);
}

FIXTURE(hog)
{
	struct machine m;
	struct neighbour n[CPUS];
	struct child c;
};

FIXTURE_VARIANT(hog)
{
	struct operation op[MOST];
};

FIXTURE_SETUP(hog)
{
	int i;

	memset(self, 0, sizeof(*self));
	ASSERT_TRUE(machine_set(&self->m));
	ASSERT_TRUE(child_start(&self->c, hog, (void *)variant->op));
	for (i = 0; i < CPUS; i++) {
		self->n[i].cpu = i;
		ASSERT_EQ(0, pthread_create(&self->n[i].thread, NULL, neighbour, &self->n[i]));
	}
}

FIXTURE_TEARDOWN(hog)
{
	void *ran;
	int i;

	for (i = 0; i < CPUS; i++) {
		__atomic_store_n(&self->n[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(self->n[i].thread, &ran);
		EXPECT_NE(NULL, ran);
	}
	kill(self->c.pid, SIGKILL);
	child_wait(&self->c);
	EXPECT_TRUE(machine_reset(&self->m));
	EXPECT_TRUE(machine_clean(&self->m));
}

#define HOG(name, ...)	FIXTURE_VARIANT_ADD(hog, name) { .op = { __VA_ARGS__ } }
#define OP(before, what)	{ before, what, #what }

HOG(scattered, OP(scattered_once, query_region), OP(scattered_once, fork_and_exit),
	OP(scattered_once, decommit_all));
HOG(scattered_too, OP(scattered_once, commit_all));
HOG(unmapped, OP(scattered_once, unmap_all));
HOG(uniform, OP(uniform_once, query_run), OP(uniform_once, protect_all),
	OP(uniform_once, watch_all), OP(disposable, shrink), OP(uniform_once, release_all));
HOG(checkered, OP(checkered, protect_refused), OP(checkered, offer_refused),
	OP(checkered, working_set), OP(stack, overflow), OP(checkered, vector));
HOG(resident, OP(resident, lock_unlock), OP(resident, prefetch_all),
	OP(resident, copy_all), OP(resident, reset_undo), OP(resident, offer_reclaim));
HOG(written, OP(resident_watched, watch_all));
HOG(too_many, OP(too_many, reset_too_many));
HOG(view, OP(view, flush_view));
HOG(executable, OP(executable, executable_all));
HOG(placeholders, OP(holders, join_holders));
HOG(another, OP(other, end_other));

/* Runs the operation once; how long others had to wait, in seconds. -1: it failed. */
static double waited(struct child *c, struct neighbour *n, int op, double *took)
{
	uint64_t word, worst = 0;
	int i;

	if (!child_tell(c->sock, op) || !child_hear(c->sock, &word) || word == WRONG)
		return -1;
	for (i = 0; i < CPUS; i++)
		__atomic_store_n(&n[i].worst, 0, __ATOMIC_RELAXED);
	if (!child_tell(c->sock, 0) || !child_hear(c->sock, &word) || word == WRONG)
		return -1;
	*took = word / 1e6;
	sleep_ms(3);
	for (i = 0; i < CPUS; i++) {
		word = __atomic_load_n(&n[i].worst, __ATOMIC_RELAXED);
		if (word > worst)
			worst = word;
	}
	return worst / 1e9;
}

TEST_F(hog, lets_others_run)
{
	double late, limit, took = 0;
	int op, i;

	for (op = 0; op < MOST && variant->op[op].run; op++) {
		late = 1;
		limit = 0;
		for (i = 0; i < ATTEMPTS && late > limit; i++) {
			late = waited(&self->c, self->n, op, &took);
			ASSERT_LE(0, late)
				TH_LOG("%s failed", variant->op[op].name);
			limit = bound();
			TH_LOG("%s took %.0f ms, others waited for %.1f ms, may for %.0f ms",
			       variant->op[op].name, took * 1e3, late * 1e3, limit * 1e3);
		}
		EXPECT_TRUE(late <= limit);
	}
}

/* --- killed ---------------------------------------------------------------------------- */

/* Each entry changes all of a large table; by itself it must be carried out whole. */
static bool vector_of_changes_to(struct hog *h, HANDLE to)
{
	static LIBNT_REQUEST e[LENGTH];
	size_t i;

	for (i = 0; i < LENGTH; i++)
		e[i] = (LIBNT_REQUEST){
			.Operation = LIBNT_REQUEST_PROTECT, .BaseAddress = (uintptr_t)h->p,
			.RegionSize = h->size, .Protect = i & 1 ? RW : PAGE_READONLY,
		};
	return !LibntVirtualMemoryBatch(to, e, LENGTH, 0, NULL);
}

static bool vector_of_changes(struct hog *h)
{
	return vector_of_changes_to(h, ME);
}

static int hold_uniform(int sock, void *arg)
{
	struct hog h = { 0 };
	uint64_t word;

	(void)arg;
	if (!uniform(&h) || !child_tell(sock, (uintptr_t)h.p) || !send_fd(sock, own_device()))
		return 1;
	child_hear(sock, &word);
	return 0;
}

/* The table is another process's. */
static bool uniform_of_another(struct hog *h)
{
	uint64_t word;

	if (h->p)
		return true;
	if (!child_start(&h->other, hold_uniform, NULL) || !child_hear(h->other.sock, &word))
		return false;
	h->p = pointer_of(word);
	h->size = LEAVES * LEAF;
	h->fd = recv_fd(h->other.sock);
	return h->fd >= 0;
}

static bool protect_of_another(struct hog *h)
{
	h->flip = !h->flip;
	return !do_protect(LibntFdToHandle(h->fd), (uintptr_t)h->p, h->size,
			   h->flip ? PAGE_READONLY : RW).status;
}

static bool vector_of_another(struct hog *h)
{
	return vector_of_changes_to(h, LibntFdToHandle(h->fd));
}

FIXTURE(victim)
{
	struct machine m;
};

FIXTURE_VARIANT(victim)
{
	struct operation op;
	bool (*fatal)(struct hog *h);	/* NULL: the operation itself */
};

FIXTURE_SETUP(victim)
{
	ASSERT_TRUE(machine_set(&self->m));
}

FIXTURE_TEARDOWN(victim)
{
	EXPECT_TRUE(machine_reset(&self->m));
	EXPECT_TRUE(machine_clean(&self->m));
}

#define VICTIM(name, before, what, fatally)				\
	FIXTURE_VARIANT_ADD(victim, name) { .op = OP(before, what), .fatal = fatally }

VICTIM(protect_of_runs, checkered, protect_refused, NULL);
VICTIM(offer_of_runs, checkered, offer_refused, NULL);
VICTIM(copy, resident, copy_all, NULL);
VICTIM(working_set, checkered, working_set, NULL);
VICTIM(vector, uniform_once, protect_all, vector_of_changes);
VICTIM(vector_to_another, uniform_of_another, protect_of_another, vector_of_another);

struct doomed {
	struct operation op;
	bool (*fatal)(struct hog *h);
};

/* Tells how long the operation takes; then does what it is killed in. */
static int doomed(int sock, void *arg)
{
	struct doomed *d = arg;
	struct hog h = { 0 };
	double from;

	pin(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!d->op.prepare(&h))
		return 1;
	from = now();
	if (!d->op.run(&h) || !child_tell(sock, (now() - from) * 1e6))
		return 1;
	if (!d->op.prepare(&h) || !child_tell(sock, 0))
		return 1;
	(d->fatal ?: d->op.run)(&h);
	return child_tell(sock, 0) ? 2 : 1;
}

/*
 * One that is killed soon after it has begun ends early: an operation by itself in
 * less than the time that it would still have had, one of a hundred changes after a
 * few of them.
 */
TEST_F(victim, ends_early)
{
	double took = 0, from, ended = 1, limit = 0;
	struct doomed d = { variant->op, variant->fatal };
	struct child c;
	uint64_t word;
	int i;

	for (i = 0; i < ATTEMPTS && ended > limit; i++) {
		ASSERT_TRUE(child_start(&c, doomed, &d));
		ASSERT_TRUE(child_hear(c.sock, &word));
		took = word / 1e6;
		ASSERT_TRUE(child_hear(c.sock, &word));
		limit = variant->fatal ? 8 * took : took / 2;
		sleep_ms(took * (variant->fatal ? 1000 : 100));
		from = now();
		kill(c.pid, SIGKILL);
		ASSERT_EQ(128 + SIGKILL, child_wait(&c));
		ended = now() - from;
		TH_LOG("takes %.0f ms, killed in %.0f ms", took * 1e3, ended * 1e3);
	}
	EXPECT_TRUE(ended <= limit);
}

/* --- neighbours that use the same --------------------------------------------------------- */

#define ROUNDS		(300u / slow())
#define TIMES		10

static bool busy(struct hog *h)
{
	double end = now() + 0.01;

	(void)h;
	while (now() < end)
		;
	return true;
}

static bool nothing(struct hog *h)
{
	(void)h;
	return true;
}

/* All that is held of one region, one after the other. */
static bool all_of_it(struct hog *h)
{
	struct hog lot = { 0 };

	return scattered(h) && query_region(h) && protect_part(h) && commit_all(h) &&
	       protect_all(h) && decommit_all(h) && release_all(h) && resident(&lot) &&
	       lock_unlock(&lot) && reset_undo(&lot) && offer_reclaim(&lot) &&
	       release_all(&lot);
}

/* The operation for ever. */
static int endless(int sock, void *arg)
{
	const struct operation *op = arg;
	struct hog h = { 0 };

	pin(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	do {
		if (!op->prepare(&h) || !child_tell(sock, 0))
			return 1;
	} while (op->run(&h));
	return 1;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Median time of a life of a small region, in ns; 0: it failed. */
static uint64_t median(void)
{
	static uint64_t took[1000];
	unsigned int i;
	uint64_t from;
	uint8_t *p;

	for (i = 0; i < ROUNDS; i++) {
		from = ns();
		p = reserve(MIB);
		if (!p || commit(p, MIB, RW))
			return 0;
		p[5 * P] = 1;
		if (page_state(p) != MEM_COMMIT || release(p))
			return 0;
		took[i] = ns() - from;
	}
	qsort(took, ROUNDS, sizeof(took[0]), compare);
	return took[ROUNDS / 2];
}

FIXTURE(user)
{
	struct machine m;
	HANDLE job;
};

FIXTURE_VARIANT(user)
{
	bool (*prepare)(struct hog *h);
	bool (*run)(struct hog *h);
	bool job;
};

FIXTURE_SETUP(user)
{
	ASSERT_TRUE(machine_set(&self->m));
	/* What they share then is the job's books. The hog is in it by descent. */
	if (variant->job) {
		ASSERT_STATUS(STATUS_SUCCESS, NtCreateJobObject(&self->job, 0, NULL));
		ASSERT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	}
}

FIXTURE_TEARDOWN(user)
{
	if (variant->job)
		EXPECT_STATUS(STATUS_SUCCESS, NtClose(self->job));
	EXPECT_TRUE(machine_reset(&self->m));
}

#define USER(name, before, what, in_job)				\
	FIXTURE_VARIANT_ADD(user, name) { .prepare = before, .run = what, .job = in_job }

USER(of_queries, checkered, offer_refused, false);
USER(of_changes, nothing, all_of_it, false);
USER(of_exits, other, end_other, false);
USER(in_the_same_job, nothing, all_of_it, true);

TEST_F(user, is_not_slowed)
{
	struct operation idle = OP(nothing, busy);
	struct operation op = { variant->prepare, variant->run, "" };
	uint64_t word, alone = 0, beside = ~0ull;
	struct child c;
	int i;

	ASSERT_TRUE(pin(1));
	for (i = 0; i < ATTEMPTS && beside > TIMES * alone; i++) {
		ASSERT_TRUE(child_start(&c, endless, &idle));
		ASSERT_TRUE(child_hear(c.sock, &word));
		alone = median();
		kill(c.pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, child_wait(&c));
		ASSERT_LT(0, alone);
		ASSERT_TRUE(child_start(&c, endless, &op));
		ASSERT_TRUE(child_hear(c.sock, &word));
		beside = median();
		kill(c.pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, child_wait(&c));
		ASSERT_LT(0, beside);
		TH_LOG("%llu us beside a loop, %llu us beside it", alone / 1000ull, beside / 1000ull);
	}
	EXPECT_GE(TIMES * alone, beside);
}

TEST_HARNESS_MAIN
