// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs of the other width: a 32-bit program that works on a 64-bit process
 * and the reverse. The other program is this very test as it was built for the
 * other width, at /tests/NAME or /tests32/NAME.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/socket.h>

#define SIZE	(16 * P)
#define PEER	"NTVM_TEST_PEER"	/* environment: this is the other program */

enum { ORDER_READ, ORDER_WRITE, ORDER_RESERVE, ORDER_STATE };

/* The other program: sends a handle to itself and does what it is told. */
static void peer(int sock)
{
	uint64_t order, address, answer;
	struct probe pr;

	if (!send_fd(sock, own_device()))
		_exit(1);
	while (child_hear(sock, &order) && child_hear(sock, &address)) {
		answer = 0;
		switch (order) {
		case ORDER_READ:
			pr = probe_read((void *)(uintptr_t)address);
			answer = pr.signo ? 0x100u + pr.signo : pr.value;
			break;
		case ORDER_WRITE:
			pr = probe_write((void *)(uintptr_t)address, 0x77);
			answer = pr.signo ? 0x100u + pr.signo : pr.value;
			break;
		case ORDER_RESERVE:	/* @address bytes, anywhere */
			answer = (uintptr_t)reserve(address);
			break;
		case ORDER_STATE:
			answer = page_state((void *)(uintptr_t)address);
			break;
		}
		if (!child_tell(sock, answer))
			break;
	}
	_exit(0);
}

static void __attribute__((constructor)) maybe_peer(void)
{
	const char *sock = getenv(PEER);

	if (sock)
		peer(atoi(sock));
}

static bool other_path(char *path, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", path, size - 1);
	const char *name;
	char full[256];

	if (len < 0)
		return false;
	path[len] = 0;
	name = strrchr(path, '/');
	snprintf(full, sizeof(full), "%s%s", sizeof(void *) == 8 ? "/tests32" : "/tests",
		 name ? name : "");
	snprintf(path, size, "%s", full);
	return !access(path, X_OK);
}

FIXTURE(other) {
	pid_t pid;
	int sock;
	HANDLE h;
};

FIXTURE_SETUP(other)
{
	char path[256], number[16];
	int pair[2];

	if (!other_path(path, sizeof(path)))
		SKIP(return, "this test built for the other width is not there");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (!self->pid) {
		close(pair[0]);
		snprintf(number, sizeof(number), "%d", pair[1]);
		setenv(PEER, number, 1);
		execl(path, path, NULL);
		_exit(127);
	}
	close(pair[1]);
	self->sock = pair[0];
	self->h = LibntFdToHandle(recv_fd(self->sock));
	ASSERT_NE(NULL, self->h);
}

FIXTURE_TEARDOWN(other)
{
	int status = -1;

	if (!self->pid)
		return;
	NtClose(self->h);
	close(self->sock);
	EXPECT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_EQ(0, status);
}

static uint64_t ask(int sock, uint64_t order, uint64_t value)
{
	uint64_t answer = ~0ull;

	if (!child_tell(sock, order) || !child_tell(sock, value) || !child_hear(sock, &answer))
		return ~0ull;
	return answer;
}

TEST_F(other, all_four_calls_work_on_it)
{
	struct res r = do_alloc(self->h, 0, 0, SIZE, MEM_RESERVE, PAGE_READWRITE);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_TRUE(r.fenced);
	EXPECT_EQ(SIZE, r.size);
	/* Wherever it is, both programs can name it. */
	EXPECT_GT(0x100000000ull, (uint64_t)r.base + r.size);
	EXPECT_EQ(MEM_RESERVE, ask(self->sock, ORDER_STATE, r.base));
	EXPECT_EQ(0x100 + SIGSEGV, ask(self->sock, ORDER_READ, r.base));
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(self->h, r.base + P, 0, 2 * P, MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_EQ(0x77, ask(self->sock, ORDER_WRITE, r.base + P));
	EXPECT_EQ(0, ask(self->sock, ORDER_READ, r.base + 2 * P));
	EXPECT_EQ(0x100 + SIGSEGV, ask(self->sock, ORDER_READ, r.base + 3 * P));
	EXPECT_QUERY_H(self->h, r.base + P, r.base, PAGE_READWRITE, 2 * P, MEM_COMMIT,
		       PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, do_protect(self->h, r.base + P, P, PAGE_READONLY).status);
	EXPECT_EQ(0x100 + SIGSEGV, ask(self->sock, ORDER_WRITE, r.base + P));
	EXPECT_EQ(0x77, ask(self->sock, ORDER_READ, r.base + P));
	EXPECT_STATUS(STATUS_SUCCESS, do_free(self->h, r.base + P, P, MEM_DECOMMIT).status);
	EXPECT_EQ(0x100 + SIGSEGV, ask(self->sock, ORDER_READ, r.base + P));
	EXPECT_RES(STATUS_SUCCESS, r.base, SIZE, do_free(self->h, r.base, 0, MEM_RELEASE));
	EXPECT_EQ(MEM_FREE, ask(self->sock, ORDER_STATE, r.base));
	EXPECT_EQ(0, info_of(ME).Regions);
}

TEST_F(other, a_commit_that_reserves_is_in_reach_of_both)
{
	/* Without an address MEM_COMMIT reserves too. */
	struct res r = do_alloc(self->h, 0, 0, SIZE, MEM_COMMIT, PAGE_READWRITE);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_TRUE(r.fenced);
	EXPECT_EQ(SIZE, r.size);
	EXPECT_GT(0x100000000ull, (uint64_t)r.base + r.size);
	EXPECT_EQ(MEM_COMMIT, ask(self->sock, ORDER_STATE, r.base));
	EXPECT_EQ(0x77, ask(self->sock, ORDER_WRITE, r.base));
	EXPECT_RES(STATUS_SUCCESS, r.base, SIZE, do_free(self->h, r.base, 0, MEM_RELEASE));
	EXPECT_EQ(MEM_FREE, ask(self->sock, ORDER_STATE, r.base));
}

TEST_F(other, its_own_bounds_hold_not_the_callers)
{
	LIBNT_INFO mine = info_of(ME), its = info_of(self->h);
	SIZE_T max = its.MaximumAddress;
	struct res r;

	EXPECT_EQ(mine.MinimumAddress, its.MinimumAddress);
	if (sizeof(void *) == 8) {
		EXPECT_EQ(0xfffdffff, max);
		/* Above 4 GiB there is nothing in a 32-bit process. */
		EXPECT_RES(STATUS_INVALID_PARAMETER_2, (uintptr_t)(1ull << 32), P,
			   do_alloc(self->h, (uintptr_t)(1ull << 32), 0, P, MEM_RESERVE,
				    PAGE_READWRITE));
		EXPECT_RES(STATUS_INVALID_PARAMETER_4, 0, max + 2,
			   do_alloc(self->h, 0, 0, max + 2, MEM_RESERVE, PAGE_READWRITE));
		EXPECT_STATUS(STATUS_INVALID_PARAMETER,
			      do_query(self->h, (uintptr_t)(1ull << 32)).status);
	} else {
		/* More than this program can count. */
		EXPECT_EQ(~(SIZE_T)0, max);
	}
	/* What is above the caller's or the process's own end is in neither's reach. */
	r = do_alloc(self->h, 0xfffe0000, 0, P, MEM_RESERVE, PAGE_READWRITE);
	EXPECT_STATUS(sizeof(void *) == 8 ? STATUS_INVALID_PARAMETER_2 : STATUS_SUCCESS, r.status);
	r = do_alloc(self->h, 0xfffd0000, 0, G, MEM_RESERVE, PAGE_READWRITE);
	EXPECT_TRUE(r.status == STATUS_SUCCESS || r.status == STATUS_CONFLICTING_ADDRESSES);
}

TEST_F(other, zero_bits_are_the_callers)
{
	struct res r = do_alloc(self->h, 0, (uintptr_t)0x1fffffff, P, MEM_RESERVE, PAGE_READWRITE);

	/* A mask is for a caller with 64-bit addresses, whatever the process has. */
	EXPECT_STATUS(sizeof(void *) == 8 ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_3, r.status);
	r = do_alloc(self->h, 0, 4, P, MEM_RESERVE, PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_GE(0x10000000, r.base + P);
}

TEST_F(other, what_a_4_byte_count_cannot_hold_is_cut)
{
	struct query q;
	uintptr_t at;

	if (sizeof(void *) == 8) {
		/* The reverse: a 64-bit caller sees all of a 32-bit process. */
		q = do_query(self->h, 0xffffd000);
		EXPECT_STATUS(STATUS_SUCCESS, q.status);
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, do_query(self->h, 0xffffe000).status);
		return;
	}
	/* Nothing of a 64-bit process lies just below 4 GiB: free beyond its end. */
	q = do_query(self->h, 0xf0000000);
	EXPECT_STATUS(STATUS_SUCCESS, q.status);
	EXPECT_TRUE(q.fenced);
	EXPECT_EQ(sizeof(q.mbi), q.written);
	EXPECT_EQ(MEM_FREE, q.mbi.State);
	EXPECT_EQ(0x10000000 - P, q.mbi.RegionSize);
	/* The process has reserved more than 4 GiB, above them: it is only counted. */
	EXPECT_LT(0xffffffffull, ask(self->sock, ORDER_RESERVE, 0x200000000ull));
	EXPECT_EQ(~(SIZE_T)0, info_of(self->h).ReservedBytes);
	/* A region across the 4 GiB line. */
	at = 0xf0000000;
	EXPECT_RES(STATUS_SUCCESS, at, 0x20000000,
		   do_alloc(self->h, at, 0, 0x20000000, MEM_RESERVE, PAGE_READWRITE));
	q = do_query(self->h, at);
	EXPECT_STATUS(STATUS_SUCCESS, q.status);
	EXPECT_EQ(0x10000000 - P, q.mbi.RegionSize);
	EXPECT_EQ(MEM_RESERVE, ask(self->sock, ORDER_STATE, 0x100000000ull));
	EXPECT_RES(STATUS_SUCCESS, at, 0x20000000, do_free(self->h, at, 0, MEM_RELEASE));
}

TEST_F(other, a_guard_hit_is_told_to_the_thread_that_hit_it)
{
	struct res r = do_alloc(self->h, 0, 0, P, MEM_RESERVE | MEM_COMMIT,
				PAGE_READWRITE | PAGE_GUARD);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_EQ(0x100 + SIGSEGV, ask(self->sock, ORDER_READ, r.base));
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(NULL));
	EXPECT_EQ(0, ask(self->sock, ORDER_READ, r.base));
}

TEST(a_guard_hit_names_its_page)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE | PAGE_GUARD);
	PVOID page = NULL;

	ASSERT_NE(NULL, p);
	EXPECT_NO_READ(p + 3 * P + 5);
	EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&page));
	EXPECT_EQ(p + 3 * P, page);
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&page));
}

TEST(regions_do_not_come_near_the_stack)
{
	int i = 0;
	uintptr_t here = (uintptr_t)&i, from = here - (8 * MIB - 2 * G);

	/* It may grow to its limit, wherever the regions are put. */
	for (i = 0; i < 64; i++) {
		struct res r = do_alloc(ME, 0, 0, G, MEM_RESERVE | (i & 1 ? MEM_TOP_DOWN : 0),
					PAGE_READWRITE);

		ASSERT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_FALSE(r.base + r.size > from && r.base < here);
	}
}

TEST_HARNESS_MAIN
