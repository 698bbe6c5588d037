// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stacks that the module lets grow: one page at a time, for the thread whose
 * stack it is and for nobody else, until it is used up.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>

#define GUARDED	(PAGE_READWRITE | PAGE_GUARD)
#define PAGES	64
#define SIZE	(PAGES * P)

static NTSTATUS raw_stack(int op, uintptr_t top, uintptr_t bottom, uintptr_t limit, uint32_t guarantee)
{
	struct ntvm_stack req = {
		.size = sizeof(req),
		.handle = NTVM_CURRENT_PROCESS,
		.op = op,
		.guarantee = guarantee,
		.top = top,
		.bottom = bottom,
		.limit = limit,
	};
	int fd = own_device();
	int err = raw(fd, NTVM_IOC_STACK, &req);

	close(fd);

	return err ? (NTSTATUS)err : (NTSTATUS)req.status;
}

static NTSTATUS set_stack(void *bottom, size_t size, size_t used, uint32_t guarantee)
{
	uintptr_t low = (uintptr_t)bottom;

	return raw_stack(NTVM_STACK_SET, low + size, low, low + size - used, guarantee);
}

static uintptr_t limit_now(void)
{
	PVOID limit = NULL;

	LibntGetThreadStack(NULL, &limit, NULL, NULL);
	return (uintptr_t)limit;
}

#define EXPECT_NO_HIT() do {							\
	PVOID __page;								\
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&__page));		\
} while (0)
#define EXPECT_OVERFLOW(at) do {						\
	PVOID __page = NULL;							\
	EXPECT_STATUS(STATUS_STACK_OVERFLOW, LibntTakeFault(&__page));		\
	EXPECT_EQ((uintptr_t)(at) & ~(P - 1), (uintptr_t)__page);		\
} while (0)

FIXTURE(stack) {
	uint8_t *p;
};

/* One committed page at the top, the guard page below it, the rest reserved. */
FIXTURE_SETUP(stack)
{
	PVOID page;

	self->p = reserve(SIZE);
	ASSERT_NE(NULL, self->p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(self->p + SIZE - P, P, PAGE_READWRITE));
	ASSERT_STATUS(STATUS_SUCCESS, commit(self->p + SIZE - 2 * P, P, GUARDED));
	ASSERT_STATUS(STATUS_SUCCESS, set_stack(self->p, SIZE, P, 0));
	ASSERT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&page));
}

FIXTURE_TEARDOWN(stack)
{
	LibntSetThreadStack(NULL, NULL, NULL, 0);
	release(self->p);
}

TEST_F(stack, G8_a_hit_moves_the_guard_down_a_page_and_is_not_told)
{
	uint8_t *p = self->p;
	uint64_t committed = info_of(ME).CommittedBytes;
	int i;

	for (i = PAGES - 2; i >= 2; i--) {
		EXPECT_EQ(GUARDED, page_protect(p + i * P));
		EXPECT_WRITE(p + i * P + 8, i);
		EXPECT_EQ(PAGE_READWRITE, page_protect(p + i * P));
		EXPECT_EQ(GUARDED, page_protect(p + (i - 1) * P));
		EXPECT_EQ((uintptr_t)p + i * P, limit_now());
	}
	EXPECT_NO_HIT();
	EXPECT_EQ(committed + (PAGES - 3) * P, info_of(ME).CommittedBytes);
	EXPECT_EQ(MEM_RESERVE, page_state(p));
	for (i = PAGES - 2; i >= 2; i--)
		EXPECT_READ(p + i * P + 8, i);
}

TEST_F(stack, the_last_page_but_one_overflows_and_the_lowest_stays_reserved)
{
	uint8_t *p = self->p;
	int i;

	for (i = PAGES - 2; i >= 2; i--)
		EXPECT_WRITE(p + i * P, 1);
	EXPECT_NO_WRITE(p + P + 77);
	EXPECT_OVERFLOW(p + P);
	EXPECT_EQ(PAGE_READWRITE, page_protect(p + P));
	EXPECT_EQ((uintptr_t)p + P, limit_now());
	EXPECT_WRITE(p + P + 77, 1);
	EXPECT_NO_WRITE(p);
	EXPECT_NO_HIT();
	EXPECT_EQ(MEM_RESERVE, page_state(p));
}

TEST_F(stack, a_guarantee_is_left_usable_by_an_overflow)
{
	uint8_t *p = self->p;
	int i;

	/* Not a whole number of pages: three. */
	ASSERT_STATUS(STATUS_SUCCESS, set_stack(p, SIZE, P, 2 * P + 1));
	for (i = PAGES - 2; i >= 5; i--)
		EXPECT_WRITE(p + i * P, 1);
	EXPECT_NO_HIT();
	EXPECT_EQ(MEM_RESERVE, page_state(p + 3 * P));
	EXPECT_NO_WRITE(p + 4 * P);
	EXPECT_OVERFLOW(p + 4 * P);
	for (i = 4; i >= 1; i--) {
		EXPECT_EQ(PAGE_READWRITE, page_protect(p + i * P));
		EXPECT_WRITE(p + i * P, 1);
	}
	EXPECT_NO_HIT();
	EXPECT_EQ(MEM_RESERVE, page_state(p));
}

TEST_F(stack, after_an_overflow_the_program_arms_a_guard_again)
{
	uint8_t *p = self->p;
	int i, round;

	for (round = 0; round < 3; round++) {
		for (i = PAGES - 2; i >= 2; i--)
			EXPECT_WRITE(p + i * P, 1);
		EXPECT_NO_WRITE(p + P);
		EXPECT_OVERFLOW(p + P);
		/* As the C runtime does it: give back all below, guard the next page. */
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p, SIZE - 2 * P));
		EXPECT_STATUS(STATUS_SUCCESS, commit(p + SIZE - 2 * P, P, GUARDED));
	}
	/* Or without giving it back: committed pages are guarded one by one. */
	for (i = PAGES - 2; i >= 2; i--)
		EXPECT_WRITE(p + i * P, i);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 10 * P, P, GUARDED));
	EXPECT_READ(p + 10 * P, 10);
	EXPECT_EQ(GUARDED, page_protect(p + 9 * P));
	EXPECT_READ(p + 9 * P, 9);
	EXPECT_EQ(GUARDED, page_protect(p + 8 * P));
	EXPECT_EQ(PAGE_READWRITE, page_protect(p + 9 * P));
	EXPECT_NO_HIT();
}

TEST_F(stack, reading_grows_it_too)
{
	EXPECT_READ(self->p + SIZE - 2 * P, 0);
	EXPECT_EQ(GUARDED, page_protect(self->p + SIZE - 3 * P));
	EXPECT_NO_HIT();
}

TEST_F(stack, a_system_call_grows_it_and_succeeds)
{
	uint8_t *p = self->p;
	char name[4096];
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(3, write(fds[1], "abc", 3));
	EXPECT_EQ(3, read(fds[0], p + SIZE - 2 * P + 1, 3));
	EXPECT_READ(p + SIZE - 2 * P + 3, 'c');
	EXPECT_EQ(GUARDED, page_protect(p + SIZE - 3 * P));
	/* Downwards into the next: one call that needs two pages. */
	memset(name, 'x', sizeof(name));
	ASSERT_EQ((ssize_t)sizeof(name), write(fds[1], name, sizeof(name)));
	EXPECT_EQ((ssize_t)sizeof(name), read(fds[0], p + SIZE - 3 * P + 100, sizeof(name)));
	EXPECT_EQ(GUARDED, page_protect(p + SIZE - 4 * P));
	EXPECT_NO_HIT();
	EXPECT_EQ((uintptr_t)p + SIZE - 3 * P, limit_now());
}

TEST_F(stack, an_overflow_in_a_system_call_fails_it)
{
	uint8_t *p = self->p;
	int i, fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(3, write(fds[1], "abc", 3));
	for (i = PAGES - 2; i >= 2; i--)
		EXPECT_WRITE(p + i * P, 1);
	EXPECT_EQ(-1, read(fds[0], p + P + 1, 3));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_OVERFLOW(p + P);
	EXPECT_EQ(3, read(fds[0], p + P + 1, 3));
}

TEST_F(stack, below_the_guard_is_an_ordinary_violation)
{
	EXPECT_NO_WRITE(self->p + 3 * P);
	EXPECT_NO_HIT();
	EXPECT_EQ(GUARDED, page_protect(self->p + SIZE - 2 * P));
	EXPECT_EQ((uintptr_t)self->p + SIZE - P, limit_now());
}

TEST_F(stack, guards_elsewhere_are_told_as_ever)
{
	uint8_t *q = reserve_commit(4 * P, GUARDED);
	PVOID page = NULL;

	ASSERT_NE(NULL, q);
	EXPECT_NO_WRITE(q + P);
	EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&page));
	EXPECT_EQ(q + P, page);
	EXPECT_EQ(GUARDED, page_protect(q));
}

static void *touch_thread(void *arg)
{
	uint8_t *at = arg;
	PVOID page = NULL;
	struct probe pr = probe_write(at, 1);

	return (void *)(long)(pr.signo == SIGSEGV &&
			      LibntTakeFault(&page) == STATUS_GUARD_PAGE_VIOLATION && page == at);
}

TEST_F(stack, of_another_thread_is_not_grown)
{
	pthread_t thread;
	void *told;

	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_thread, self->p + SIZE - 2 * P));
	pthread_join(thread, &told);
	EXPECT_EQ(1, (long)told);
	EXPECT_EQ(MEM_RESERVE, page_state(self->p + SIZE - 3 * P));
}

TEST_F(stack, is_not_grown_from_outside)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint8_t byte = 1;

	ASSERT_LE(0, mem);
	EXPECT_EQ(1, pread(mem, &byte, 1, (off_t)(uintptr_t)self->p + SIZE - 2 * P));
	EXPECT_EQ(GUARDED, page_protect(self->p + SIZE - 2 * P));
	close(mem);
}

TEST_F(stack, takes_the_protection_of_the_page_above)
{
	ASSERT_STATUS(STATUS_SUCCESS, protect(self->p + SIZE - 2 * P, P, PAGE_READONLY | PAGE_GUARD));
	EXPECT_READ(self->p + SIZE - 2 * P, 0);
	EXPECT_EQ(PAGE_READONLY | PAGE_GUARD, page_protect(self->p + SIZE - 3 * P));
}

TEST_F(stack, does_not_grow_out_of_its_reservation)
{
	uint8_t *p = self->p;
	LIBNT_INFO info;

	/* The region becomes two: what is registered reaches below the upper one. */
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	ASSERT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)p, SIZE - 3 * P, MEM_RELEASE).status);
	info = info_of(ME);
	EXPECT_NO_WRITE(p + SIZE - 2 * P);
	EXPECT_OVERFLOW(p + SIZE - 2 * P);
	EXPECT_EQ(MEM_RESERVE, page_state(p + SIZE - 3 * P));
	EXPECT_EQ(MEM_FREE, page_state(p + SIZE - 4 * P));
	EXPECT_EQ(info.CommittedBytes, info_of(ME).CommittedBytes);
	release(p + SIZE - 3 * P);
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_DOCUMENTED));
}

TEST_F(stack, released_and_used_for_something_else)
{
	uint8_t *p = self->p, *q;

	ASSERT_STATUS(STATUS_SUCCESS, release(p));
	q = (uint8_t *)do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESERVE | MEM_COMMIT, GUARDED).base;
	ASSERT_EQ(p, q);
	/* Still registered, so a hit counts as one of the stack; nothing is committed. */
	EXPECT_NO_WRITE(q);
	EXPECT_OVERFLOW(q);
	EXPECT_EQ(PAGE_READWRITE, page_protect(q));
	EXPECT_EQ(MEM_FREE, page_state(q + P));
}

/* --- the request -------------------------------------------------------------------- */

TEST_F(stack, bad_values_are_refused_and_change_nothing)
{
	uintptr_t p = (uintptr_t)self->p;
	struct {
		uintptr_t top, bottom, limit;
		uint32_t guarantee;
	} bad[] = {
		{ p, p, p, 0 }, { p, p + SIZE, p, 0 },
		{ p + SIZE + 1, p, p, 0 }, { p + SIZE, p + 1, p + P, 0 },
		{ p + SIZE, p, p + 8, 0 }, { p + SIZE, p, p - P, 0 },
		{ p + SIZE, p, p + SIZE + P, 0 }, { p + SIZE, p, p, SIZE + 1 },
		{ p + SIZE + 16 * P, p, p + P, 0 }, { p + SIZE, p - P, p, 0 },
		{ KERNEL_ADDRESS + P, KERNEL_ADDRESS, KERNEL_ADDRESS, 0 },
		{ 0, p, 0, 0 }, { 0, 0, p, 0 }, { 0, 0, 0, 1 },
		{ (uintptr_t)~0ul & ~(P - 1), p, p, 0 },
	};
	PVOID top = NULL, limit = NULL, bottom = NULL;
	ULONG guarantee = 1;
	struct snap s = snap_of(ME, p, p + SIZE);
	struct snap now;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_STATUS(STATUS_INVALID_PARAMETER,
			      raw_stack(NTVM_STACK_SET, bad[i].top, bad[i].bottom, bad[i].limit,
					bad[i].guarantee));
	EXPECT_STATUS(STATUS_SUCCESS, LibntGetThreadStack(&top, &limit, &bottom, &guarantee));
	EXPECT_EQ(self->p + SIZE, top);
	EXPECT_EQ(self->p + SIZE - P, limit);
	EXPECT_EQ(self->p, bottom);
	EXPECT_EQ(0, guarantee);
	now = snap_of(ME, p, p + SIZE);
	EXPECT_TRUE(snap_same(&s, &now));
}

TEST_F(stack, other_handles_and_operations_are_not_understood)
{
	struct ntvm_stack req = { .size = sizeof(req), .handle = NTVM_CURRENT_PROCESS, .op = 2 };
	int fd = own_device();

	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_STACK, &req));
	req.op = NTVM_STACK_GET;
	req.flags = 1;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_STACK, &req));
	req.flags = 0;
	req.handle = fd;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_STACK, &req));
	req.handle = -2;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_STACK, &req));
	EXPECT_EQ((uintptr_t)self->p + SIZE - P, limit_now());
}

TEST_F(stack, removed_it_is_no_stack_any_more)
{
	PVOID page, top = self;

	EXPECT_STATUS(STATUS_SUCCESS, LibntSetThreadStack(NULL, NULL, NULL, 0));
	EXPECT_STATUS(STATUS_SUCCESS, LibntGetThreadStack(&top, NULL, NULL, NULL));
	EXPECT_EQ(NULL, top);
	EXPECT_NO_WRITE(self->p + SIZE - 2 * P);
	EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&page));
	EXPECT_EQ(MEM_RESERVE, page_state(self->p + SIZE - 3 * P));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetThreadStack(NULL, NULL, NULL, 0));
}

static void *brief_thread(void *arg)
{
	uint8_t *p = arg;

	return (void *)(long)set_stack(p, SIZE, P, 0);
}

TEST_F(stack, other_threads_stacks_come_and_go)
{
	void *status = NULL;
	pthread_t thread;
	int i;

	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, brief_thread, self->p));
		pthread_join(thread, &status);
		ASSERT_EQ(STATUS_SUCCESS, (NTSTATUS)(long)status);
	}
	EXPECT_WRITE(self->p + SIZE - 2 * P, 1);
	EXPECT_EQ((uintptr_t)self->p + SIZE - 2 * P, limit_now());
}

/* --- charge ------------------------------------------------------------------------- */

TEST_F(stack, pages_that_grow_are_charged_and_given_back)
{
	int64_t before;
	int i;

	/* What was charged ahead is given back after a moment. */
	sleep_ms(400);
	before = meminfo("Committed_AS");
	for (i = PAGES - 2; i >= 2; i--)
		EXPECT_WRITE(self->p + i * P, 1);
	EXPECT_TRUE(wait_until(5, near(meminfo("Committed_AS") - before, (PAGES - 3) * P, 16 * P))) {
		TH_LOG("charged %ld", (long)(meminfo("Committed_AS") - before));
	}
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE - 2 * P));
	EXPECT_TRUE(wait_until(5, near(meminfo("Committed_AS"), before, 16 * P)));
}

TEST_F(stack, what_has_grown_can_be_decommitted)
{
	uint64_t committed;
	int i, round;

	/* What has grown is decommitted, again and again; the count must come out even. */
	for (round = 0; round < 20; round++) {
		for (i = PAGES - 2; i >= 40; i--)
			EXPECT_WRITE(self->p + i * P, 1);
		EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE - 2 * P));
		EXPECT_STATUS(STATUS_SUCCESS, commit(self->p + SIZE - 2 * P, P, GUARDED));
	}
	committed = info_of(ME).CommittedBytes;
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_EQ(committed - 2 * P, info_of(ME).CommittedBytes);
}

struct churn {
	uint8_t *p;
	int stop;
	int bad;
};

static void *churn_thread(void *arg)
{
	struct churn *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		/* Commits in the middle of what the stack grows into. */
		if (commit(c->p + 4 * P, 20 * P, PAGE_READWRITE) != STATUS_SUCCESS ||
		    decommit(c->p + 4 * P, 20 * P) != STATUS_SUCCESS)
			c->bad++;
	}
	return NULL;
}

static void *lock_thread(void *arg)
{
	struct churn *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		PVOID base = c->p + SIZE - P;
		SIZE_T size = P;

		if (NtLockVirtualMemory(ME, &base, &size, MAP_PROCESS) != STATUS_SUCCESS ||
		    NtUnlockVirtualMemory(ME, &base, &size, MAP_PROCESS) != STATUS_SUCCESS)
			c->bad++;
	}
	return NULL;
}

/*
 * get_user_pages() repeats an access without letting go of the mmap lock, which
 * who locks memory waits for: the fault has to let go of it.
 */
TEST_F(stack, the_kernel_pins_what_grows_while_another_thread_locks)
{
	struct churn c = { .p = self->p };
	pthread_t thread;
	double end = now() + 3 * slow();
	int rounds = 0, i, fds[2];
	char text[8];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, pthread_create(&thread, NULL, lock_thread, &c));
	while (now() < end || !rounds) {
		for (i = PAGES - 2; i >= 2; i--) {
			struct iovec iov = { self->p + i * P, sizeof(text) };

			ASSERT_EQ((ssize_t)sizeof(text), vmsplice(fds[1], &iov, 1, 0));
			ASSERT_EQ((ssize_t)sizeof(text), read(fds[0], text, sizeof(text)));
		}
		ASSERT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE - 2 * P));
		ASSERT_STATUS(STATUS_SUCCESS, commit(self->p + SIZE - 2 * P, P, GUARDED));
		rounds++;
	}
	__atomic_store_n(&c.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, c.bad);
	EXPECT_LT(0, rounds);
	EXPECT_NO_HIT();
}

TEST_F(stack, growth_and_changes_by_others_keep_the_count_right)
{
	struct churn c = { .p = self->p };
	pthread_t thread;
	PVOID page;
	double end = now() + 3 * slow();
	int rounds = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, churn_thread, &c));
	while (now() < end || rounds <= 3) {
		int i;

		/* What the other one takes away may be hit: that is its doing. */
		for (i = PAGES - 2; i >= 2; i--)
			probe_write(self->p + i * P, 1);
		LibntTakeFault(&page);
		decommit(self->p, SIZE - 2 * P);
		commit(self->p + SIZE - 2 * P, P, GUARDED);
		rounds++;
	}
	__atomic_store_n(&c.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, c.bad);
	EXPECT_LT(3, rounds);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetThreadStack(NULL, NULL, NULL, 0));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

static int limit_child(int sock, void *arg)
{
	char text[64];
	/* The kernel's counter may be behind by 1/128 of all memory. */
	const int pages = 16384;
	uint8_t *p = reserve(pages * P);
	PVOID page = NULL;
	int i;

	(void)sock;
	(void)arg;
	if (!p || commit(p + (pages - 1) * P, P, PAGE_READWRITE) ||
	    commit(p + (pages - 2) * P, P, GUARDED) || set_stack(p, pages * P, P, 0))
		return 1;
	/* No more than now, and a bit: no overcommit. */
	snprintf(text, sizeof(text), "%lld\n", (long long)(meminfo("Committed_AS") / 1024 + 12288));
	if (write_file("/proc/sys/vm/overcommit_kbytes", text) ||
	    write_file("/proc/sys/vm/admin_reserve_kbytes", "0\n") ||
	    write_file("/proc/sys/vm/overcommit_memory", "2\n"))
		return 2;
	for (i = pages - 2; i >= 2; i--) {
		struct probe pr = probe_write(p + i * P, 1);

		if (pr.signo == SIGSEGV)
			break;
	}
	write_file("/proc/sys/vm/overcommit_memory", "0\n");
	if (i < 2)
		return 3;
	if (LibntTakeFault(&page) != STATUS_STACK_OVERFLOW || page != p + i * P)
		return 4;
	/* The page that was hit is usable, the one below was not committed. */
	if (page_protect(p + i * P) != PAGE_READWRITE || page_state(p + (i - 1) * P) != MEM_RESERVE)
		return 5;
	return probe_write(p + i * P, 1).signo ? 6 : 0;
}

TEST(at_the_commit_limit_it_overflows)
{
	struct child c;
	int64_t kbytes = read_number("/proc/sys/vm/overcommit_kbytes");
	int64_t admin = read_number("/proc/sys/vm/admin_reserve_kbytes");
	char text[32];

	ASSERT_TRUE(child_start(&c, limit_child, NULL));
	EXPECT_EQ(0, child_wait(&c));
	write_file("/proc/sys/vm/overcommit_memory", "0\n");
	snprintf(text, sizeof(text), "%lld\n", (long long)admin);
	write_file("/proc/sys/vm/admin_reserve_kbytes", text);
	if (kbytes > 0) {
		snprintf(text, sizeof(text), "%lld\n", (long long)kbytes);
		write_file("/proc/sys/vm/overcommit_kbytes", text);
	} else {
		write_file("/proc/sys/vm/overcommit_ratio", "50\n");
	}
}

/* --- RtlCreateUserStack, and running on it ------------------------------------------------ */

TEST(G9_the_layout_of_a_new_stack)
{
	static const struct {
		SIZE_T commit, reserve, commit_align, reserve_align, want_commit, want_reserve;
	} rows[] = {
		{ 0, 0, 1, 1, P, MIB },
		{ 2 * P, 0, 1, 1, 2 * P, MIB },
		{ 0x4000, 0x200000, 1, 1, 0x4000, 0x200000 },
		{ 0x20000, 0x20000, 1, 1, 0x20000, MIB },
		{ 0x20000, 0x110000, 1, 1, 0x20000, 0x110000 },
		{ 0x20001, 0x110001, 1, 1, 0x21000, 0x120000 },
		{ 0, 0x110000, 1, 0x40000, P, 0x140000 },
		{ 0x11000, 0x140000, 0x4000, 0x40000, 0x14000, 0x140000 },
		{ 0, 0, 0x4000, 0x400000, 0x4000, 0x400000 },
		{ MIB - P, MIB, 1, 1, MIB - P, MIB },
		{ MIB - 2 * P, MIB, 1, 1, MIB - 2 * P, MIB },
		{ MIB, MIB, 1, 1, MIB, MIB },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		SIZE_T c = rows[i].want_commit, r = rows[i].want_reserve;
		INITIAL_TEB teb;
		uint8_t *low;

		memset(&teb, 0xcc, sizeof(teb));
		ASSERT_STATUS(STATUS_SUCCESS,
			      RtlCreateUserStack(rows[i].commit, rows[i].reserve, 0,
						 rows[i].commit_align, rows[i].reserve_align, &teb));
		low = teb.DeallocationStack;
		EXPECT_EQ(NULL, teb.OldStackBase);
		EXPECT_EQ(NULL, teb.OldStackLimit);
		EXPECT_EQ(low + r, teb.StackBase);
		EXPECT_EQ(low + r - c, teb.StackLimit);
		EXPECT_QUERY((uint8_t *)teb.StackLimit, low, PAGE_READWRITE, c, MEM_COMMIT,
			     PAGE_READWRITE);
		if (c + P <= r) {
			EXPECT_QUERY((uint8_t *)teb.StackLimit - P, low, PAGE_READWRITE, P,
				     MEM_COMMIT, GUARDED);
		}
		if (c + 2 * P <= r) {
			EXPECT_QUERY(low, low, PAGE_READWRITE, r - c - P, MEM_RESERVE, 0);
		} else {
			EXPECT_EQ(c + P <= r ? GUARDED : PAGE_READWRITE, page_protect(low));
		}
		RtlFreeUserStack(low);
		EXPECT_EQ(MEM_FREE, page_state(low));
	}
}

TEST(a_new_stack_with_bad_arguments)
{
	LIBNT_INFO before = info_of(ME), after;
	INITIAL_TEB teb;
	NTSTATUS status;

	EXPECT_STATUS(STATUS_INVALID_PARAMETER, RtlCreateUserStack(0x11000, 0x110000, 0, 0, 1, &teb));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, RtlCreateUserStack(0x11000, 0x110000, 0, 1, 0, &teb));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, RtlCreateUserStack(0, 0, 0, 3, 1, &teb));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, RtlCreateUserStack(0, 0, 0, 1, 1, NULL));
	EXPECT_STATUS(STATUS_NO_MEMORY, RtlCreateUserStack(0, ~(SIZE_T)0, 0, 1, 1, &teb));
	EXPECT_STATUS(STATUS_NO_MEMORY, RtlCreateUserStack(~(SIZE_T)0, 0, 0, 1, 1, &teb));
	/* Z9: more than ZeroBits leave, and exactly that much. */
	status = RtlCreateUserStack(0x11000, 0x110000, 12, 1, 1, &teb);
	EXPECT_TRUE(status == STATUS_INVALID_PARAMETER || status == STATUS_INVALID_PARAMETER_3);
	status = RtlCreateUserStack(0x11000, 0x100000, 12, 1, 1, &teb);
	EXPECT_TRUE(status == STATUS_CONFLICTING_ADDRESSES || status == STATUS_NO_MEMORY);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_3, RtlCreateUserStack(0, 0, 22, 1, 1, &teb));
	after = info_of(ME);
	EXPECT_EQ(before.ReservedBytes, after.ReservedBytes);
	EXPECT_EQ(before.CommittedBytes, after.CommittedBytes);
	EXPECT_STATUS(STATUS_SUCCESS, RtlCreateUserStack(0, 0, 4, 1, 1, &teb));
	EXPECT_GE(1ul << 28, (uintptr_t)teb.StackBase);
	RtlFreeUserStack(teb.DeallocationStack);
}

static __attribute__((noinline)) unsigned long recurse(unsigned int depth)
{
	volatile uint8_t room[1024];

	room[0] = depth;
	room[sizeof(room) - 1] = depth;
	return depth ? recurse(depth - 1) + room[0] + room[sizeof(room) - 1] : 0;
}

static unsigned long recurse_sum(unsigned int depth)
{
	unsigned long sum = 0;

	for (; depth; depth--)
		sum += 2 * (uint8_t)depth;
	return sum;
}

static void *deep_thread(void *arg)
{
	INITIAL_TEB *teb = arg;

	if (LibntSetThreadStack(teb->StackBase, teb->StackLimit, teb->DeallocationStack, 0))
		return (void *)1;
	if (recurse(600) != recurse_sum(600))
		return (void *)2;
	if (limit_now() >= (uintptr_t)teb->StackLimit - 500 * KIB)
		return (void *)3;
	return NULL;
}

TEST(a_pthread_runs_on_one_and_recurses_deep)
{
	pthread_attr_t attr;
	INITIAL_TEB teb;
	pthread_t thread;
	void *ret;

	ASSERT_STATUS(STATUS_SUCCESS, RtlCreateUserStack(0x10000, MIB, 0, 1, 1, &teb));
	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setstack(&attr, teb.DeallocationStack,
					   (char *)teb.StackBase - (char *)teb.DeallocationStack));
	ASSERT_EQ(0, pthread_create(&thread, &attr, deep_thread, &teb));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(NULL, ret);
	EXPECT_EQ(MEM_RESERVE, page_state(teb.DeallocationStack));
	RtlFreeUserStack(teb.DeallocationStack);
	pthread_attr_destroy(&attr);
}

static ucontext_t home, away;
static unsigned long coroutine_sum;

static void coroutine(void)
{
	coroutine_sum = recurse(300);
}

TEST(a_coroutine_runs_on_one)
{
	INITIAL_TEB teb;

	ASSERT_STATUS(STATUS_SUCCESS, RtlCreateUserStack(0, MIB, 0, 1, 1, &teb));
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetThreadStack(teb.StackBase, teb.StackLimit,
							  teb.DeallocationStack, 0));
	ASSERT_EQ(0, getcontext(&away));
	away.uc_stack.ss_sp = teb.DeallocationStack;
	away.uc_stack.ss_size = (char *)teb.StackBase - (char *)teb.DeallocationStack;
	away.uc_link = &home;
	makecontext(&away, coroutine, 0);
	ASSERT_EQ(0, swapcontext(&home, &away));
	EXPECT_EQ(recurse_sum(300), coroutine_sum);
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetThreadStack(NULL, NULL, NULL, 0));
	RtlFreeUserStack(teb.DeallocationStack);
}

static void *altstack_thread(void *arg)
{
	INITIAL_TEB *teb = arg;
	stack_t st;

	if (LibntSetThreadStack(teb->StackBase, teb->StackLimit, teb->DeallocationStack, 0) ||
	    sigaltstack(NULL, &st) || (st.ss_flags & SS_DISABLE) || st.ss_size < 64 * KIB)
		return (void *)-1;
	return st.ss_sp;
}

TEST(the_alternate_stack_goes_with_the_thread)
{
	INITIAL_TEB teb;
	pthread_t thread;
	void *at;

	ASSERT_STATUS(STATUS_SUCCESS, RtlCreateUserStack(0, 0, 0, 1, 1, &teb));
	ASSERT_EQ(0, pthread_create(&thread, NULL, altstack_thread, &teb));
	ASSERT_EQ(0, pthread_join(thread, &at));
	ASSERT_NE((void *)-1, at);
	EXPECT_EQ(0, vmas_in((uintptr_t)at, (uintptr_t)at + P));
	RtlFreeUserStack(teb.DeallocationStack);
}

TEST(no_record_in_a_fork_child)
{
	uint8_t *p = reserve(SIZE);
	PVOID top = p;
	int status;
	pid_t pid;

	ASSERT_STATUS(STATUS_SUCCESS, set_stack(p, SIZE, 0, 0));
	pid = fork();
	if (!pid)
		_exit(LibntGetThreadStack(&top, NULL, NULL, NULL) == STATUS_SUCCESS && !top ? 0 : 1);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ((uintptr_t)p + SIZE, limit_now());
}

TEST_HARNESS_MAIN
