// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guard pages: one alarm per page and per arming, for exactly one of those who
 * touch it, told to the thread that did, and never set off from outside.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGES	8
#define SIZE	(PAGES * P)

FIXTURE(guard) {
	uint8_t *p;
};

FIXTURE_SETUP(guard)
{
	PVOID page;

	self->p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x5a, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READWRITE | PAGE_GUARD));
	ASSERT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&page));
}

FIXTURE_TEARDOWN(guard)
{
}

#define EXPECT_GUARD_HIT(at) do {						\
	PVOID __page = NULL;							\
	EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&__page));	\
	EXPECT_EQ((uintptr_t)(at) & ~(P - 1), (uintptr_t)__page);		\
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&__page));		\
} while (0)

#define EXPECT_NO_HIT() do {							\
	PVOID __page;								\
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&__page));		\
} while (0)

#define GUARDED	(PAGE_READWRITE | PAGE_GUARD)

TEST_F(guard, the_first_access_is_refused_and_the_second_is_not)
{
	uint8_t *p = self->p;

	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, GUARDED);
	EXPECT_NO_READ(p + 5);
	EXPECT_GUARD_HIT(p);
	EXPECT_QUERY(p, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(p + 5, 0x5a);
	EXPECT_WRITE(p, 1);
	EXPECT_NO_HIT();
}

TEST_F(guard, a_write_sets_it_off_and_does_not_happen)
{
	EXPECT_NO_WRITE(self->p + 9);
	EXPECT_GUARD_HIT(self->p);
	EXPECT_READ(self->p + 9, 0x5a);
	EXPECT_WRITE(self->p + 9, 1);
}

TEST_F(guard, execution_sets_it_off)
{
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_READWRITE));
	put_code(self->p, 99);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_EXECUTE_READ | PAGE_GUARD));
	EXPECT_NO_EXEC(self->p);
	EXPECT_GUARD_HIT(self->p);
	EXPECT_EXEC(self->p, 99);
	EXPECT_EQ(PAGE_EXECUTE_READ, page_protect(self->p));
}

TEST_F(guard, every_page_has_its_own)
{
	static const int order[PAGES] = { 3, 0, 7, 1, 6, 2, 5, 4 };
	bool hit[PAGES] = { false };
	int i, j;

	for (i = 0; i < PAGES; i++) {
		uint8_t *at = self->p + order[i] * P + 17 * i;

		EXPECT_NO_READ(at);
		EXPECT_GUARD_HIT(at);
		hit[order[i]] = true;
		for (j = 0; j < PAGES; j++)
			EXPECT_EQ(hit[j] ? PAGE_READWRITE : GUARDED, page_protect(self->p + j * P));
	}
}

TEST_F(guard, the_protection_under_it_holds_afterwards)
{
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_READONLY | PAGE_GUARD));
	EXPECT_NO_WRITE(self->p);
	EXPECT_GUARD_HIT(self->p);
	/* Now an ordinary violation. */
	EXPECT_NO_WRITE(self->p);
	EXPECT_NO_HIT();
	EXPECT_READ(self->p, 0x5a);
	EXPECT_EQ(PAGE_READONLY, page_protect(self->p));
}

TEST_F(guard, an_ordinary_violation_is_no_guard_hit)
{
	uint8_t *q = reserve(P);

	ASSERT_NE(NULL, q);
	EXPECT_NO_READ(q);
	EXPECT_NO_HIT();
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_NOACCESS));
	EXPECT_NO_READ(self->p);
	EXPECT_NO_HIT();
}

TEST_F(guard, G3_protecting_it_away_disarms_it)
{
	EXPECT_EQ(GUARDED, do_protect(ME, (uintptr_t)self->p, P, PAGE_READWRITE).old);
	EXPECT_READ(self->p, 0x5a);
	EXPECT_NO_HIT();
}

TEST_F(guard, G2_the_region_remembers_that_it_was_made_with_one)
{
	uint8_t *q = reserve_commit(2 * P, GUARDED);

	ASSERT_NE(NULL, q);
	EXPECT_QUERY(q, q, GUARDED, 2 * P, MEM_COMMIT, GUARDED);
	EXPECT_NO_READ(q);
	EXPECT_GUARD_HIT(q);
	EXPECT_QUERY(q, q, GUARDED, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(q, 0);
}

TEST_F(guard, rearmed_over_a_page_that_is_mapped)
{
	int i;

	for (i = 0; i < 100; i++) {
		EXPECT_NO_WRITE(self->p);
		EXPECT_GUARD_HIT(self->p);
		EXPECT_WRITE(self->p, i);
		EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, GUARDED));
	}
}

TEST_F(guard, decommit_takes_it_away)
{
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, P));
	EXPECT_NO_READ(self->p);
	EXPECT_NO_HIT();
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, P, PAGE_READWRITE));
	EXPECT_READ(self->p, 0);
}

struct crowd {
	uint8_t *p;
	pthread_barrier_t start;
	pthread_barrier_t end;
	int rounds;
	int refused;
	int told;
	int lied;
	int wrong;
};

static void *crowd_thread(void *arg)
{
	struct crowd *c = arg;
	PVOID page;
	int i;

	for (i = 0; i < c->rounds; i++) {
		struct probe pr;
		NTSTATUS status;

		pthread_barrier_wait(&c->start);
		pr = probe_read(c->p);
		status = LibntTakeFault(&page);
		if (pr.signo)
			__atomic_add_fetch(&c->refused, 1, __ATOMIC_RELAXED);
		else if (pr.value != 0x5a)
			__atomic_add_fetch(&c->wrong, 1, __ATOMIC_RELAXED);
		if (status == STATUS_GUARD_PAGE_VIOLATION)
			__atomic_add_fetch(&c->told, 1, __ATOMIC_RELAXED);
		if ((status == STATUS_GUARD_PAGE_VIOLATION) != (pr.signo == SIGSEGV))
			__atomic_add_fetch(&c->lied, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&c->end);
	}
	return NULL;
}

TEST_F(guard, of_many_threads_exactly_one_gets_it)
{
	struct crowd c = { .p = self->p, .rounds = 150 };
	pthread_t thread[4];
	int i, bad = 0;

	ASSERT_EQ(0, pthread_barrier_init(&c.start, NULL, ARRAY_SIZE(thread) + 1));
	ASSERT_EQ(0, pthread_barrier_init(&c.end, NULL, ARRAY_SIZE(thread) + 1));
	probe_init();
	for (i = 0; i < (int)ARRAY_SIZE(thread); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, crowd_thread, &c));
	for (i = 0; i < c.rounds; i++) {
		c.refused = 0;
		c.told = 0;
		pthread_barrier_wait(&c.start);
		pthread_barrier_wait(&c.end);
		if (c.refused != 1 || c.told != 1)
			bad++;
		if (protect(self->p, P, GUARDED) != STATUS_SUCCESS)
			bad++;
	}
	for (i = 0; i < (int)ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, bad);
	EXPECT_EQ(0, c.lied);
	EXPECT_EQ(0, c.wrong);
}

TEST_F(guard, G5_a_system_call_fails_and_uses_it_up)
{
	unsigned int *out = (unsigned int *)self->p;
	int *in = (int *)(self->p + P);
	PVOID page;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	/* Through calls that make a single access. */
	EXPECT_EQ(-1, syscall(SYS_getcpu, out, NULL, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(PAGE_READWRITE, page_protect(self->p));
	LibntTakeFault(&page);
	EXPECT_EQ(0, syscall(SYS_getcpu, out, NULL, NULL));
	EXPECT_GT(1024, *out);
	/* And out of it. */
	EXPECT_EQ(-1, ioctl(fds[0], FIONBIO, in));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(PAGE_READWRITE, page_protect(self->p + P));
	LibntTakeFault(&page);
	EXPECT_EQ(0, ioctl(fds[0], FIONBIO, in));
	EXPECT_EQ(GUARDED, page_protect(self->p + 2 * P));
}

TEST_F(guard, G5_a_read_or_write_uses_it_up)
{
	ssize_t n;
	char byte;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(2, write(fds[1], "xy", 2));
	/* Linux's own copying may try a second time after a fault. */
	errno = 0;
	n = read(fds[0], self->p, 1);
	EXPECT_TRUE(n == 1 || (n == -1 && errno == EFAULT));
	EXPECT_EQ(PAGE_READWRITE, page_protect(self->p));
	if (n < 0)
		EXPECT_EQ(1, read(fds[0], self->p, 1));
	EXPECT_READ(self->p, 'x');
	errno = 0;
	n = write(fds[1], self->p + P, 1);
	EXPECT_TRUE(n == 1 || (n == -1 && errno == EFAULT));
	EXPECT_EQ(PAGE_READWRITE, page_protect(self->p + P));
	ASSERT_EQ(1, read(fds[0], &byte, 1));
	EXPECT_EQ('y', byte);
	if (n < 0)
		EXPECT_EQ(1, write(fds[1], self->p + P, 1));
	ASSERT_EQ(1, read(fds[0], &byte, 1));
	EXPECT_EQ(0x5a, byte);
	EXPECT_EQ(GUARDED, page_protect(self->p + 2 * P));
}

static int peek_child(int sock, void *arg)
{
	uint8_t buf[4];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { arg, sizeof(buf) };

	(void)sock;
	/* Refused or not: it may not set the guard off. */
	process_vm_readv(getppid(), &local, 1, &remote, 1, 0);
	process_vm_writev(getppid(), &local, 1, &remote, 1, 0);
	return 0;
}

TEST_F(guard, is_not_used_up_from_outside)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	struct child c;
	uint8_t byte = 0;

	ASSERT_LE(0, mem);
	/* A debugger sees committed memory, whatever its protection. */
	EXPECT_EQ(1, pread(mem, &byte, 1, (off_t)(uintptr_t)self->p));
	EXPECT_EQ(0x5a, byte);
	EXPECT_EQ(GUARDED, page_protect(self->p));
	ASSERT_TRUE(child_start(&c, peek_child, self->p + P));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_EQ(GUARDED, page_protect(self->p + P));
	EXPECT_NO_HIT();
	EXPECT_NO_READ(self->p);
	EXPECT_GUARD_HIT(self->p);
	EXPECT_NO_READ(self->p + P);
	EXPECT_GUARD_HIT(self->p + P);
	close(mem);
}

static void *other_thread(void *arg)
{
	PVOID page;

	*(NTSTATUS *)arg = LibntTakeFault(&page);
	return NULL;
}

TEST_F(guard, the_record_belongs_to_the_thread)
{
	NTSTATUS theirs = STATUS_SUCCESS;
	pthread_t thread;

	EXPECT_NO_READ(self->p);
	ASSERT_EQ(0, pthread_create(&thread, NULL, other_thread, &theirs));
	pthread_join(thread, NULL);
	EXPECT_STATUS(STATUS_NOT_FOUND, theirs);
	EXPECT_GUARD_HIT(self->p);
}

static uint8_t *stack_low;
static int stack_grown;

static void grow_handler(int signo, siginfo_t *si, void *context)
{
	uint8_t *page = (uint8_t *)((uintptr_t)si->si_addr & ~(P - 1));
	PVOID hit;

	(void)signo;
	(void)context;
	if (LibntTakeFault(&hit) != STATUS_GUARD_PAGE_VIOLATION || hit != page || page == stack_low)
		_exit(3);
	if (commit(page - P, P, GUARDED) != STATUS_SUCCESS)
		_exit(4);
	stack_grown++;
}

static int grow_child(int sock, void *arg)
{
	struct sigaction sa = { .sa_sigaction = grow_handler, .sa_flags = SA_SIGINFO };
	uint8_t *p = reserve(16 * P);
	int i;

	(void)sock;
	(void)arg;
	stack_low = p;
	if (!p || commit(p + 15 * P, P, PAGE_READWRITE) != STATUS_SUCCESS ||
	    commit(p + 14 * P, P, GUARDED) != STATUS_SUCCESS)
		return 1;
	sigaction(SIGSEGV, &sa, NULL);
	for (i = 15; i >= 2; i--)
		*(volatile uint8_t *)(p + i * P) = i;
	for (i = 15; i >= 2; i--)
		if (*(volatile uint8_t *)(p + i * P) != i)
			return 2;
	return stack_grown == 13 ? 0 : 5;
}

TEST(a_handler_can_grow_a_stack_with_it)
{
	struct child c;

	ASSERT_TRUE(child_start(&c, grow_child, NULL));
	EXPECT_EQ(0, child_wait(&c));
}

TEST_HARNESS_MAIN
