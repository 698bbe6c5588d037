// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork, vfork and exec: a child has no NT memory of its parent's and can have
 * its own at once, a new program starts empty, and the parent notices nothing.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/syscall.h>

#define SIZE	(16 * P)

static int looks_around(int sock, void *arg)
{
	uint8_t *p = arg;
	int i;

	(void)sock;
	/* Nothing is there, and there is no VMA that could be it. */
	for (i = 0; i < 16; i++)
		if (probe_read(p + i * P).signo != SIGSEGV ||
		    probe_write(p + i * P, 1).signo != SIGSEGV)
			return 1;
	if (vmas_in((uintptr_t)p, (uintptr_t)p + SIZE))
		return 2;
	if (page_state(p) != MEM_FREE)
		return 3;
	if (info_of(ME).Regions || info_of(ME).ReservedBytes || info_of(ME).CommittedBytes)
		return 4;
	if (release(p) != STATUS_MEMORY_NOT_ALLOCATED)
		return 5;
	return 0;
}

TEST(a_child_has_no_nt_memory)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct child c;

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, SIZE);
	ASSERT_TRUE(child_start(&c, looks_around, p));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(p, 0x5a);
	EXPECT_READ(p + SIZE - 1, 0x5a);
	EXPECT_WRITE(p, 1);
}

static int has_its_own(int sock, void *arg)
{
	uint8_t *p = arg, *q;
	int i;

	(void)sock;
	/* The very first call of the child, at the parent's own address. */
	if (do_alloc(ME, (uintptr_t)p, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
		     PAGE_READWRITE).status != STATUS_SUCCESS)
		return 1;
	for (i = 0; i < 16; i++)
		if (probe_read(p + i * P).value)
			return 2;
	memset(p, 0x77, SIZE);
	q = reserve_commit(SIZE, PAGE_READWRITE);
	if (!q || q == p)
		return 3;
	if (protect(p, P, PAGE_READONLY) != STATUS_SUCCESS || decommit(p + P, P) != STATUS_SUCCESS)
		return 4;
	if (probe_read(p).value != 0x77 || probe_write(p, 1).signo != SIGSEGV)
		return 5;
	if (release(p) != STATUS_SUCCESS || info_of(ME).Regions != 1)
		return 6;
	return 0;
}

TEST(a_child_can_have_its_own_at_once)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct child c[4];
	int i;

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, SIZE);
	for (i = 0; i < 4; i++)
		ASSERT_TRUE(child_start(&c[i], has_its_own, p));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, child_wait(&c[i]));
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(p, 0x5a);
	EXPECT_EQ(1, info_of(ME).Regions);
}

static int has_a_child(int sock, void *arg)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct child c;

	(void)sock;
	(void)arg;
	if (!p)
		return 1;
	memset(p, 0x33, SIZE);
	if (!child_start(&c, looks_around, p) || child_wait(&c))
		return 2;
	return probe_read(p).value == 0x33 ? 0 : 3;
}

TEST(a_grandchild_too)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct child c;

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, SIZE);
	ASSERT_TRUE(child_start(&c, has_a_child, NULL));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_READ(p, 0x5a);
}

static void *forks_thread(void *arg)
{
	int i, bad = 0;

	for (i = 0; i < 20; i++) {
		struct child c;

		if (!child_start(&c, has_its_own, arg) || child_wait(&c))
			bad++;
	}
	return (void *)(long)bad;
}

TEST(forking_while_another_thread_commits)
{
	uint8_t *p = reserve(SIZE);
	pthread_t thread;
	void *failed = NULL;
	int i, bad = 0;

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, pthread_create(&thread, NULL, forks_thread, p));
	for (i = 0; i < 3000 / (int)slow(); i++) {
		uint8_t *q = p + i % 16 * P;

		if (commit(q, P, PAGE_READWRITE) != STATUS_SUCCESS || *(volatile uint8_t *)q)
			bad++;
		*(volatile uint8_t *)q = 1;
		if (decommit(q, P) != STATUS_SUCCESS)
			bad++;
	}
	pthread_join(thread, &failed);
	EXPECT_EQ(NULL, failed);
	EXPECT_EQ(0, bad);
}

/* --- exec ------------------------------------------------------------------------ */

/* The program after the exec: its exit status is the verdict. */
static void __attribute__((constructor)) after_exec(void)
{
	const char *where = getenv("NTVM_TEST_ADDRESS");
	uint8_t *p;

	if (!where)
		return;
	p = (uint8_t *)strtoul(where, NULL, 16);
	if (info_of(ME).Regions || info_of(ME).CommittedBytes)
		_exit(11);
	if (probe_read(p).signo != SIGSEGV || page_state(p) != MEM_FREE)
		_exit(12);
	if (do_alloc(ME, (uintptr_t)p, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
		     PAGE_READWRITE).status != STATUS_SUCCESS)
		_exit(13);
	if (probe_read(p).value || probe_write(p, 1).signo)
		_exit(14);
	_exit(0);
}

static int execs(int sock, void *arg)
{
	uint8_t *p = (uint8_t *)do_alloc(ME, (uintptr_t)arg, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
					 PAGE_READWRITE).base;
	char text[32];

	(void)sock;
	if (p != arg)
		return 1;
	memset(p, 0x5a, SIZE);
	snprintf(text, sizeof(text), "%lx", (long)p);
	setenv("NTVM_TEST_ADDRESS", text, 1);
	execl("/proc/self/exe", "test_fork", NULL);
	return 2;
}

TEST(a_new_program_starts_empty)
{
	struct child c;

	ASSERT_TRUE(child_start(&c, execs, (void *)FIXED));
	EXPECT_EQ(0, child_wait(&c));
}

/* --- vfork: the same memory --------------------------------------------------------- */

TEST(a_vfork_child_shares_the_parents)
{
	static uint8_t *p;
	static volatile NTSTATUS committed, decommitted;
	static volatile int seen;
	int status;
	pid_t pid;

	p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	memset(p, 0x5a, SIZE);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + P, P));
	pid = vfork();
	if (!pid) {
		seen = *(volatile uint8_t *)p;
		committed = commit(p + P, P, PAGE_READWRITE);
		if (committed == STATUS_SUCCESS)
			*(volatile uint8_t *)(p + P) = 0x66;
		decommitted = decommit(p + 2 * P, P);
		_exit(0);
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0x5a, seen);
	EXPECT_STATUS(STATUS_SUCCESS, committed);
	EXPECT_STATUS(STATUS_SUCCESS, decommitted);
	EXPECT_READ(p + P, 0x66);
	EXPECT_NO_READ(p + 2 * P);
	EXPECT_EQ(1, info_of(ME).Regions);
	EXPECT_EQ(SIZE - P, info_of(ME).CommittedBytes);
}

TEST_HARNESS_MAIN
