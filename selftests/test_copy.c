// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtReadVirtualMemory and NtWriteVirtualMemory (N1 to N13): counts, protections
 * and guard pages on either side, long copies, memory that is not the module's,
 * and what a handle opens.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sched.h>
#include <sys/syscall.h>

#define SIZE	(64 * P)
#define PIECE	(64 * KIB)
#define NO_COUNT ((SIZE_T)0xa5a5a5a5a5a5a5a5)

/* A call's status and count. */
#define EXPECT_COPY(want, want_n, call, h, at, buf, len) do {			\
	SIZE_T __n = NO_COUNT, __wn = (want_n);					\
	NTSTATUS __w = (want), __s;						\
	__s = call(h, (PVOID)(at), (PVOID)(buf), len, &__n);			\
	EXPECT_TRUE(__w == __s && __wn == __n) {				\
		TH_LOG("%s %s %s: want %s %#zx, got %s %#zx", #call, #at, #len,	\
		       status_name(__w), __wn, status_name(__s), __n);		\
	}									\
} while (0)
#define EXPECT_RD(want, n, h, at, buf, len) \
	EXPECT_COPY(want, n, NtReadVirtualMemory, h, at, buf, len)
#define EXPECT_WR(want, n, h, at, buf, len) \
	EXPECT_COPY(want, n, NtWriteVirtualMemory, h, at, buf, len)

static uint8_t *linux_memory(size_t size)
{
	uint8_t *m = mmap(NULL, size + 2 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED || mprotect(m + P, size, PROT_READ | PROT_WRITE))
		return NULL;
	return m + P;
}

static void pattern(uint8_t *p, size_t size, unsigned int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 31 + i / 4096 + seed);
}

/* --- write watch --------------------------------------------------------------- */

struct writer {
	uint8_t *page;
	int go;			/* rounds that may begin, and that are done */
	int done;
	NTSTATUS status;
};

static void *writes_once_a_round(void *arg)
{
	struct writer *w = arg;
	SIZE_T n;
	int round;

	for (round = 1; round <= 300; round++) {
		while (__atomic_load_n(&w->go, __ATOMIC_ACQUIRE) < round)
			sched_yield();
		w->status = NtWriteVirtualMemory(ME, w->page, &round, sizeof(round), &n);
		__atomic_store_n(&w->done, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

static bool written(uint8_t *p, ULONG flags)
{
	PVOID list[1];
	ULONG_PTR nr = 1;
	ULONG granularity;

	return !NtGetWriteWatch(ME, flags, p, P, list, &nr, &granularity) && nr == 1;
}

/*
 * The pages are looked up before they are written, and a reset may come in
 * between: what a page holds that it did not hold after the last reset is written.
 */
TEST(what_is_written_after_a_reset_is_recorded)
{
	uint8_t *p = NULL;
	struct writer w = {};
	SIZE_T size = P;
	int round, seen, between = 0, lost = 0;
	pthread_t thread;
	double until;

	ASSERT_STATUS(STATUS_SUCCESS,
		      NtAllocateVirtualMemory(ME, (PVOID *)&p, 0, &size,
					      MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
					      PAGE_READWRITE));
	*p = 0;
	w.page = p;
	ASSERT_EQ(0, pthread_create(&thread, NULL, writes_once_a_round, &w));
	for (round = 1; round <= 300; round++) {
		__atomic_store_n(&w.go, round, __ATOMIC_RELEASE);
		for (until = now() + round * 37 % 500 * 1e-6; now() < until; )
			;
		EXPECT_STATUS(STATUS_SUCCESS, NtResetWriteWatch(ME, p, P));
		seen = *(volatile int *)p;
		between += seen != round;
		while (__atomic_load_n(&w.done, __ATOMIC_ACQUIRE) < round)
			sched_yield();
		EXPECT_EQ(0, w.status);
		EXPECT_EQ(round, *(volatile int *)p);
		if (seen != round && !written(p, 0))
			lost++;
	}
	EXPECT_EQ(0, lost);
	pthread_join(thread, NULL);
	TH_LOG("%d of 300 resets came before the write", between);
}

/* --- a second process: reserves, then tells what it reads ------------------------------- */

enum { TOLD_READ, TOLD_WRITE, TOLD_EXIT };

static uint8_t *other_linux;

static int second(int sock, void *arg)
{
	uint64_t what, address;
	struct probe pr;

	(void)arg;
	other_linux = linux_memory(4 * P);
	if (!other_linux || !send_fd(sock, own_device()) ||
	    !child_tell(sock, (uintptr_t)other_linux))
		return 1;
	while (child_hear(sock, &what) && what != TOLD_EXIT) {
		if (!child_hear(sock, &address))
			return 2;
		pr = what == TOLD_READ ? probe_read(pointer_of(address)) :
					 probe_write(pointer_of(address), 0x77);
		if (!child_tell(sock, pr.signo ? 0x100u + pr.signo : pr.value))
			return 3;
	}
	return 0;
}

FIXTURE(copy) {
	struct child c;
	HANDLE h;
	uint8_t *there;		/* SIZE committed bytes in the child */
	uint8_t *theirs;	/* 4 pages of Linux memory of the child, nothing around */
	uint8_t *buf;		/* SIZE bytes of the caller, nothing around */
	uint8_t *src;		/* the same, with a pattern */
};

FIXTURE_SETUP(copy)
{
	uint64_t word;

	ASSERT_TRUE(child_start(&self->c, second, NULL));
	self->h = LibntFdToHandle(recv_fd(self->c.sock));
	ASSERT_LE(0, LibntHandleToFd(self->h));
	ASSERT_TRUE(child_hear(self->c.sock, &word));
	self->theirs = (uint8_t *)(uintptr_t)word;
	self->there = (uint8_t *)do_alloc(self->h, 0, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
					  PAGE_READWRITE).base;
	ASSERT_NE(NULL, self->there);
	self->buf = linux_memory(SIZE);
	self->src = linux_memory(SIZE);
	ASSERT_NE(NULL, self->buf);
	ASSERT_NE(NULL, self->src);
	memset(self->buf, 0xa5, SIZE);
	pattern(self->src, SIZE, 1);
}

FIXTURE_TEARDOWN(copy)
{
	if (!self->c.pid)
		return;
	child_tell(self->c.sock, TOLD_EXIT);
	EXPECT_EQ(0, child_wait(&self->c));
}

static uint64_t told(FIXTURE_DATA(copy) *self, uint64_t what, const void *at)
{
	uint64_t answer = ~0ull;

	if (!child_tell(self->c.sock, what) || !child_tell(self->c.sock, (uintptr_t)at) ||
	    !child_hear(self->c.sock, &answer))
		return ~0ull;
	return answer;
}

TEST_F(copy, bytes_go_there_and_back_at_any_offset_and_length)
{
	static const size_t lens[] = { 1, 7, 8, 100, P - 1, P, P + 1, 3 * P + 5, PIECE - 1, PIECE,
				       PIECE + 1, 2 * PIECE + 17, SIZE - 16 };
	static const size_t offsets[] = { 0, 1, 15 };
	size_t i, o;

	EXPECT_EQ(0, told(self, TOLD_READ, self->there));
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		for (o = 0; o < ARRAY_SIZE(offsets); o++) {
			uint8_t *at = self->there + offsets[o];

			pattern(self->src, SIZE, i + 7 * o);
			memset(self->buf, 0xa5, SIZE);
			EXPECT_WR(STATUS_SUCCESS, lens[i], self->h, at, self->src, lens[i]);
			EXPECT_RD(STATUS_SUCCESS, lens[i], self->h, at, self->buf + 1, lens[i]);
			EXPECT_EQ(0, memcmp(self->src, self->buf + 1, lens[i]));
			EXPECT_EQ(0xa5, self->buf[0]);
			EXPECT_EQ(0xa5, self->buf[lens[i] + 1]);
			EXPECT_EQ(self->src[lens[i] - 1], told(self, TOLD_READ, at + lens[i] - 1));
		}
	}
	/* What the process writes is what is read. */
	EXPECT_EQ(0x77, told(self, TOLD_WRITE, self->there + 5));
	EXPECT_RD(STATUS_SUCCESS, 1, self->h, self->there + 5, self->buf, 1);
	EXPECT_EQ(0x77, self->buf[0]);
}

TEST_F(copy, N1_no_bytes_are_always_copied)
{
	EXPECT_RD(STATUS_SUCCESS, 0, self->h, self->there, self->buf, 0);
	EXPECT_RD(STATUS_SUCCESS, 0, NULL, 0x1234, 0x1234, 0);
	EXPECT_WR(STATUS_SUCCESS, 0, NULL, 0x1234, 0x1234, 0);
	EXPECT_WR(STATUS_SUCCESS, 0, LibntFdToHandle(0), 0, 0, 0);
}

TEST_F(copy, N2_handles_with_a_count_of_0)
{
	EXPECT_RD(STATUS_INVALID_HANDLE, 0, NULL, self->buf, self->buf, 12);
	EXPECT_WR(STATUS_INVALID_HANDLE, 0, NULL, self->buf, self->buf, 12);
	EXPECT_RD(STATUS_OBJECT_TYPE_MISMATCH, 0, LibntFdToHandle(0), self->buf, self->buf, 12);
	EXPECT_WR(STATUS_OBJECT_TYPE_MISMATCH, 0, LibntFdToHandle(0), self->buf, self->buf, 12);
}

TEST_F(copy, N3_the_count_may_be_null_and_may_not_be_bad)
{
	uint8_t *ro = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	PSIZE_T bad[] = { (PSIZE_T)8, (PSIZE_T)ro, (PSIZE_T)KERNEL_ADDRESS, (PSIZE_T)~7ul };
	size_t i;

	EXPECT_STATUS(STATUS_SUCCESS, NtWriteVirtualMemory(self->h, self->there, self->src, 12, NULL));
	EXPECT_STATUS(STATUS_SUCCESS, NtReadVirtualMemory(self->h, self->there, self->buf, 12, NULL));
	EXPECT_EQ(0, memcmp(self->src, self->buf, 12));
	EXPECT_STATUS(STATUS_PARTIAL_COPY,
		      NtReadVirtualMemory(self->h, (PVOID)0x1234, self->buf, 12, NULL));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
			      NtWriteVirtualMemory(self->h, self->there, self->src + 100, 12, bad[i]));
		EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
			      NtReadVirtualMemory(NULL, self->there, self->buf, 0, bad[i]));
	}
	/* Refused before anything was copied. */
	EXPECT_RD(STATUS_SUCCESS, 12, self->h, self->there, self->buf, 12);
	EXPECT_EQ(0, memcmp(self->src, self->buf, 12));
}

TEST_F(copy, N4_nothing_there)
{
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, 0x1234, self->buf, 12);
	EXPECT_WR(STATUS_PARTIAL_COPY, 0, self->h, 0x1234, self->src, 12);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, ME, 0x1234, self->buf, 12);
	EXPECT_WR(STATUS_PARTIAL_COPY, 0, ME, 0x1234, self->src, 12);
	/* Reserved, and free, pages. */
	EXPECT_RES(STATUS_SUCCESS, self->there + 4 * P, P,
		   do_free(self->h, (uintptr_t)self->there + 4 * P, P, MEM_DECOMMIT));
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, self->there + 4 * P, self->buf, 12);
	EXPECT_WR(STATUS_PARTIAL_COPY, 0, self->h, self->there + 4 * P, self->src, 12);
	EXPECT_RES(STATUS_SUCCESS, self->there, SIZE,
		   do_free(self->h, (uintptr_t)self->there, 0, MEM_RELEASE));
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, self->there, self->buf, 12);
	EXPECT_EQ(0xa5, self->buf[0]);
}

TEST_F(copy, N5_N6_a_buffer_that_cannot_be_written)
{
	EXPECT_WR(STATUS_SUCCESS, SIZE, self->h, self->there, self->src, SIZE);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, self->there, 0x1234, 12);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, self->there, (uint8_t *)"constant", 4);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0x2000, self->h, self->there, self->buf + SIZE - 2 * P, 4 * P);
	EXPECT_EQ(0, memcmp(self->src, self->buf + SIZE - 2 * P, 2 * P));
	/* In the middle of a later piece. */
	ASSERT_EQ(0, mprotect(self->buf + 20 * P, P, PROT_READ));
	EXPECT_RD(STATUS_PARTIAL_COPY, 20 * P - 3, self->h, self->there, self->buf + 3, SIZE - 3);
	EXPECT_EQ(0, memcmp(self->src, self->buf + 3, 20 * P - 3));
}

TEST_F(copy, N7_a_source_that_cannot_be_read)
{
	EXPECT_WR(STATUS_PARTIAL_COPY, 0, self->h, self->there, 0x1234, 12);
	EXPECT_WR(STATUS_PARTIAL_COPY, 0, self->h, self->there, self->src + SIZE - 2 * P, 4 * P);
	EXPECT_RD(STATUS_SUCCESS, 4 * P, self->h, self->there, self->buf, 4 * P);
	EXPECT_EQ(0, self->buf[0]);
	EXPECT_EQ(0, self->buf[2 * P - 1]);
	/* Whole pieces before it are copied. */
	ASSERT_EQ(0, mprotect(self->src + 40 * P, P, PROT_NONE));
	EXPECT_WR(STATUS_PARTIAL_COPY, 2 * PIECE, self->h, self->there, self->src, SIZE);
	EXPECT_RD(STATUS_SUCCESS, 3 * PIECE, self->h, self->there, self->buf, 3 * PIECE);
	EXPECT_EQ(0, memcmp(self->src, self->buf, 2 * PIECE));
	EXPECT_EQ(0, self->buf[2 * PIECE]);
}

TEST_F(copy, N8_pages_that_may_not_be_written)
{
	static const ULONG protections[] = {
		PAGE_READONLY, PAGE_EXECUTE_READ, PAGE_EXECUTE, PAGE_NOACCESS,
	};
	size_t i;

	EXPECT_WR(STATUS_SUCCESS, P, self->h, self->there, self->src, P);
	for (i = 0; i < ARRAY_SIZE(protections); i++) {
		bool readable = protections[i] != PAGE_NOACCESS;

		ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)self->there, P,
							 protections[i]).status);
		EXPECT_WR(STATUS_PARTIAL_COPY, 0, self->h, self->there, self->src + 50, 12);
		memset(self->buf, 0xa5, P);
		EXPECT_RD(readable ? STATUS_SUCCESS : STATUS_PARTIAL_COPY, readable ? P : 0,
			  self->h, self->there, self->buf, P);
		EXPECT_EQ(readable ? self->src[5] : 0xa5, self->buf[5]);
	}
	/* And where they may. */
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)self->there, P,
						 PAGE_EXECUTE_READWRITE).status);
	EXPECT_WR(STATUS_SUCCESS, P, self->h, self->there, self->src + P, P);
	EXPECT_RD(STATUS_SUCCESS, P, self->h, self->there, self->buf, P);
	EXPECT_EQ(0, memcmp(self->src + P, self->buf, P));
}

TEST_F(copy, N9_N11_the_rest_of_the_range_is_refused)
{
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)self->there + 2 * P, P,
						 PAGE_READONLY).status);
	EXPECT_WR(STATUS_PARTIAL_COPY, 0x2000, self->h, self->there, self->src, 4 * P);
	EXPECT_WR(STATUS_PARTIAL_COPY, 0x1fff, self->h, self->there + 1, self->src, 4 * P);
	EXPECT_RD(STATUS_SUCCESS, 4 * P, self->h, self->there, self->buf, 4 * P);
	EXPECT_EQ(0, memcmp(self->src, self->buf + 1, 2 * P - 1));
	EXPECT_EQ(0, self->buf[2 * P]);
	EXPECT_EQ(0, self->buf[3 * P]);
	/* A source is read as a whole first, so nothing of it arrives. */
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)self->there + 2 * P, P,
						 PAGE_NOACCESS).status);
	memset(self->buf, 0xa5, SIZE);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, self->there, self->buf, 4 * P);
	EXPECT_EQ(0xa5, self->buf[0]);
	/* Pieces before it do. */
	EXPECT_WR(STATUS_SUCCESS, 2 * PIECE, self->h, self->there + 3 * P, self->src, 2 * PIECE);
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)self->there + 30 * P, P,
						 PAGE_NOACCESS).status);
	EXPECT_RD(STATUS_PARTIAL_COPY, PIECE, self->h, self->there + 3 * P, self->buf, 3 * PIECE);
	EXPECT_EQ(0, memcmp(self->src, self->buf, PIECE));
	EXPECT_EQ(0xa5, self->buf[PIECE]);
}

TEST_F(copy, N12_ranges_that_leave_user_space)
{
	static const uintptr_t bad[] = { KERNEL_ADDRESS, ~0ul, ~0ul - 11,
#ifdef _LP64
		/* Of a 32-bit program's addresses the middle one is its own. */
		TOP_BIT,
#endif
	};
	uintptr_t end = info_of(ME).MaximumAddress;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_RD(STATUS_ACCESS_VIOLATION, NO_COUNT, self->h, bad[i], self->buf, 12);
		EXPECT_WR(STATUS_ACCESS_VIOLATION, NO_COUNT, self->h, bad[i], self->buf, 12);
		EXPECT_RD(STATUS_ACCESS_VIOLATION, NO_COUNT, self->h, self->there, bad[i], 12);
		EXPECT_WR(STATUS_ACCESS_VIOLATION, NO_COUNT, self->h, self->there, bad[i], 12);
		/* Before the handle. */
		EXPECT_RD(STATUS_ACCESS_VIOLATION, NO_COUNT, NULL, bad[i], self->buf, 12);
	}
	EXPECT_RD(STATUS_ACCESS_VIOLATION, NO_COUNT, self->h, self->there, self->buf, ~0ul);
	EXPECT_RD(STATUS_ACCESS_VIOLATION, NO_COUNT, self->h, self->there, self->buf, ~0ul - P);
	EXPECT_RD(STATUS_ACCESS_VIOLATION, NO_COUNT, self->h, end, self->buf, TOO_MUCH);
}

TEST_F(copy, N13_a_process_that_is_gone)
{
	HANDLE weak = NULL;

	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(self->h, NTVM_ACCESS_VM_READ, &weak));
	child_tell(self->c.sock, TOLD_EXIT);
	EXPECT_EQ(0, child_wait(&self->c));
	EXPECT_RD(STATUS_PROCESS_IS_TERMINATING, 0, self->h, self->there, self->buf, 12);
	EXPECT_WR(STATUS_PROCESS_IS_TERMINATING, 0, self->h, self->there, self->src, 12);
	EXPECT_RD(STATUS_PROCESS_IS_TERMINATING, 0, weak, self->there, self->buf, 12);
	EXPECT_WR(STATUS_ACCESS_DENIED, 0, weak, self->there, self->src, 12);
	self->c.pid = 0;
}

TEST_F(copy, G10_a_guard_page_is_used_up_and_ends_the_copy)
{
	uintptr_t guard = (uintptr_t)self->there + 3 * P;
	HANDLE h = self->h;

	ASSERT_STATUS(STATUS_SUCCESS, do_protect(h, guard, 2 * P, PAGE_READWRITE | PAGE_GUARD).status);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, h, guard + 8, self->buf, 12);
	EXPECT_EQ(PAGE_READWRITE, do_query(h, guard).mbi.Protect);
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, do_query(h, guard + P).mbi.Protect);
	EXPECT_RD(STATUS_SUCCESS, 12, h, guard + 8, self->buf, 12);
	/* A write arrives up to it; only the one that it met is gone. */
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(h, guard, 2 * P, PAGE_READWRITE | PAGE_GUARD).status);
	EXPECT_WR(STATUS_PARTIAL_COPY, 3 * P, h, self->there, self->src, 8 * P);
	EXPECT_EQ(PAGE_READWRITE, do_query(h, guard).mbi.Protect);
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, do_query(h, guard + P).mbi.Protect);
	EXPECT_WR(STATUS_PARTIAL_COPY, 4 * P, h, self->there, self->src, 8 * P);
	EXPECT_WR(STATUS_SUCCESS, 8 * P, h, self->there, self->src, 8 * P);
	/* It is nobody's guard hit. */
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&(PVOID){ NULL }));
	/* The same in the own process. */
	{
		uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

		ASSERT_NE(NULL, p);
		ASSERT_STATUS(STATUS_SUCCESS, protect(p + P, P, PAGE_READWRITE | PAGE_GUARD));
		EXPECT_WR(STATUS_PARTIAL_COPY, P, ME, p, self->src, 3 * P);
		EXPECT_EQ(PAGE_READWRITE, page_protect(p + P));
		EXPECT_WR(STATUS_SUCCESS, 3 * P, ME, p, self->src, 3 * P);
		EXPECT_EQ(0, memcmp(p, self->src, 3 * P));
	}
}

TEST_F(copy, pages_that_were_never_touched_and_pages_in_several_vmas)
{
	uint8_t *p = self->there;

	/* Executable pages split the mapping; the copy does not care. */
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)p + 5 * P, P,
						 PAGE_EXECUTE_READWRITE).status);
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)p + 9 * P, 2 * P,
						 PAGE_EXECUTE_READWRITE).status);
	memset(self->buf, 0xa5, SIZE);
	EXPECT_RD(STATUS_SUCCESS, SIZE, self->h, p, self->buf, SIZE);
	EXPECT_EQ(0, self->buf[0]);
	EXPECT_EQ(0, self->buf[SIZE - 1]);
	EXPECT_WR(STATUS_SUCCESS, SIZE, self->h, p, self->src, SIZE);
	EXPECT_RD(STATUS_SUCCESS, SIZE, self->h, p, self->buf, SIZE);
	EXPECT_EQ(0, memcmp(self->src, self->buf, SIZE));
	EXPECT_EQ(self->src[9 * P], told(self, TOLD_READ, p + 9 * P));
}

TEST_F(copy, across_two_regions)
{
	uintptr_t a = 0x30000000;

	EXPECT_RES(STATUS_SUCCESS, a, G, do_alloc(self->h, a, 0, G, MEM_RESERVE | MEM_COMMIT,
						  PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, a + G, G, do_alloc(self->h, a + G, 0, G, MEM_RESERVE | MEM_COMMIT,
						      PAGE_READWRITE));
	EXPECT_WR(STATUS_SUCCESS, 3 * P, self->h, a + G - P, self->src, 3 * P);
	EXPECT_RD(STATUS_SUCCESS, 3 * P, self->h, a + G - P, self->buf, 3 * P);
	EXPECT_EQ(0, memcmp(self->src, self->buf, 3 * P));
}

/* --- memory that is not the module's ---------------------------------------------------- */

TEST_F(copy, linux_memory_of_either_process)
{
	uint8_t *m = self->theirs;

	EXPECT_WR(STATUS_SUCCESS, 3 * P, self->h, m + 9, self->src, 3 * P);
	EXPECT_RD(STATUS_SUCCESS, 3 * P, self->h, m + 9, self->buf, 3 * P);
	EXPECT_EQ(0, memcmp(self->src, self->buf, 3 * P));
	EXPECT_EQ(self->src[0], told(self, TOLD_READ, m + 9));
	/* N9, N11, N5 and N7 hold there too. */
	EXPECT_WR(STATUS_PARTIAL_COPY, 2 * P, self->h, m + 2 * P, self->src, 4 * P);
	memset(self->buf, 0xa5, SIZE);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, m + 2 * P, self->buf, 4 * P);
	EXPECT_EQ(0xa5, self->buf[0]);
	EXPECT_RD(STATUS_PARTIAL_COPY, P, self->h, m, self->buf + SIZE - P, 2 * P);
	EXPECT_RD(STATUS_PARTIAL_COPY, 0, self->h, m, 0x1234, 2 * P);
	EXPECT_WR(STATUS_PARTIAL_COPY, 0, self->h, m, self->src + SIZE - P, 2 * P);
	/* The own process: a plain variable, and one that may not be written. */
	EXPECT_RD(STATUS_SUCCESS, SIZE, ME, self->src, self->buf, SIZE);
	EXPECT_EQ(0, memcmp(self->src, self->buf, SIZE));
	ASSERT_EQ(0, mprotect(self->src, P, PROT_READ));
	EXPECT_WR(STATUS_PARTIAL_COPY, 0, ME, self->src, self->buf, 12);
}

TEST_F(copy, from_linux_memory_into_the_modules_and_back)
{
	uintptr_t base = 0x30000000;
	uint8_t *m = (uint8_t *)base;
	size_t i;

	/* Linux, region, Linux, region, and nothing, side by side in the own process. */
	ASSERT_EQ(m, mmap(m, G, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_RES(STATUS_SUCCESS, base + G, G, do_alloc(ME, base + G, 0, G, MEM_RESERVE | MEM_COMMIT,
							 PAGE_READWRITE));
	ASSERT_EQ(m + 2 * G, mmap(m + 2 * G, G, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_RES(STATUS_SUCCESS, base + 3 * G, G,
		   do_alloc(ME, base + 3 * G, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	for (i = 0; i < 5; i++) {
		size_t at = i * 0x3333, len = SIZE - 0x8000 - at;

		pattern(self->src, SIZE, i);
		EXPECT_WR(STATUS_SUCCESS, len, ME, m + at, self->src, len);
		EXPECT_EQ(0, memcmp(self->src, m + at, len));
		memset(self->buf, 0xa5, SIZE);
		EXPECT_RD(STATUS_SUCCESS, len, ME, m + at, self->buf, len);
		EXPECT_EQ(0, memcmp(self->src, self->buf, len));
		EXPECT_EQ(0xa5, self->buf[len]);
	}
	/* To the end, and the nothing behind it. */
	EXPECT_WR(STATUS_PARTIAL_COPY, 2 * G, ME, m + 2 * G, self->src, SIZE - G);
	EXPECT_RD(STATUS_PARTIAL_COPY, 2 * G, ME, m + 2 * G, self->buf, SIZE - G);
	/* A guard in the second region ends it, and libnt does not go round it. */
	ASSERT_STATUS(STATUS_SUCCESS, protect(m + 3 * G, P, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_WR(STATUS_PARTIAL_COPY, 3 * G, ME, m, self->src, SIZE);
	EXPECT_EQ(PAGE_READWRITE, page_protect(m + 3 * G));
}

TEST_F(copy, a_handle_opens_the_modules_memory_and_no_other)
{
	struct ntvm_copy req;
	uint64_t done = 1;
	int fd = own_device();

	ASSERT_LE(0, fd);
	EXPECT_WR(STATUS_SUCCESS, 12, self->h, self->theirs, self->src, 12);
	req = (struct ntvm_copy){
		.size = sizeof(req), .handle = LibntHandleToFd(self->h), .op = NTVM_COPY_READ,
		.address = (uintptr_t)self->theirs, .buffer = (uintptr_t)self->buf, .len = 12,
		.done_ptr = (uintptr_t)&done,
	};
	EXPECT_EQ(0, raw(fd, NTVM_IOC_COPY, &req));
	EXPECT_STATUS(STATUS_PARTIAL_COPY, (NTSTATUS)req.status);
	EXPECT_EQ(0, done);
	EXPECT_EQ(NTVM_COPY_OUTSIDE, req.out_stop);
	EXPECT_TRUE(req.out_next == ~0ull || req.out_next > (uintptr_t)self->theirs);
	EXPECT_EQ(0xa5, self->buf[0]);
	/* Where its memory begins again is said; what it refuses is not outside. */
	req.address = (uintptr_t)self->there - P;
	if (do_query(self->h, (uintptr_t)self->there - P).mbi.State == MEM_FREE) {
		EXPECT_EQ(0, raw(fd, NTVM_IOC_COPY, &req));
		EXPECT_EQ(NTVM_COPY_OUTSIDE, req.out_stop);
		EXPECT_EQ((uintptr_t)self->there, req.out_next);
	}
	EXPECT_RES(STATUS_SUCCESS, self->there, P,
		   do_free(self->h, (uintptr_t)self->there, P, MEM_DECOMMIT));
	req.address = (uintptr_t)self->there;
	EXPECT_EQ(0, raw(fd, NTVM_IOC_COPY, &req));
	EXPECT_STATUS(STATUS_PARTIAL_COPY, (NTSTATUS)req.status);
	EXPECT_EQ(NTVM_COPY_REFUSED, req.out_stop);
	/* An unknown operation. */
	req.op = 2;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_COPY, &req));
	close(fd);
}

/* Has a handle, and may not trace the process that it is to. */
static int stranger(int sock, void *arg)
{
	FIXTURE_DATA(copy) *self = arg;
	SIZE_T n = 1;

	(void)sock;
	if (setgid(12345) || setuid(12345))
		return 1;
	if (NtReadVirtualMemory(self->h, self->there, self->buf, 12, &n) != STATUS_SUCCESS ||
	    n != 12 || memcmp(self->buf, self->src, 12))
		return 2;
	if (NtReadVirtualMemory(self->h, self->theirs, self->buf, 12, &n) != STATUS_PARTIAL_COPY ||
	    n)
		return 3;
	if (NtWriteVirtualMemory(self->h, self->theirs, self->src, 12, &n) != STATUS_PARTIAL_COPY ||
	    n)
		return 4;
	return 0;
}

TEST_F(copy, who_may_not_trace_a_process_reaches_only_what_the_handle_opens)
{
	struct child c;

	EXPECT_WR(STATUS_SUCCESS, 12, self->h, self->there, self->src, 12);
	ASSERT_TRUE(child_start(&c, stranger, self));
	EXPECT_EQ(0, child_wait(&c));
}

TEST_F(copy, rights)
{
	HANDLE rd = NULL, wr = NULL, none = NULL;

	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(self->h, NTVM_ACCESS_VM_READ, &rd));
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(self->h, NTVM_ACCESS_VM_WRITE, &wr));
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(self->h, NTVM_ACCESS_ALL &
						    ~NTVM_ACCESS_VM_READ & ~NTVM_ACCESS_VM_WRITE,
						    &none));
	EXPECT_WR(STATUS_SUCCESS, 12, wr, self->there, self->src, 12);
	EXPECT_RD(STATUS_ACCESS_DENIED, 0, wr, self->there, self->buf, 12);
	EXPECT_RD(STATUS_SUCCESS, 12, rd, self->there, self->buf, 12);
	EXPECT_WR(STATUS_ACCESS_DENIED, 0, rd, self->there, self->src, 12);
	EXPECT_RD(STATUS_ACCESS_DENIED, 0, none, self->there, self->buf, 12);
	EXPECT_WR(STATUS_ACCESS_DENIED, 0, none, self->there, self->src, 12);
	/* Denied for memory that would be reached by other means too. */
	EXPECT_RD(STATUS_ACCESS_DENIED, 0, none, self->theirs, self->buf, 12);
	EXPECT_RD(STATUS_ACCESS_DENIED, 0, wr, self->theirs, self->buf, 12);
	EXPECT_EQ(0, memcmp(self->src, self->buf, 12));
}

TEST_F(copy, written_pages_survive_and_are_counted)
{
	uint64_t committed = info_of(self->h).CommittedBytes;

	EXPECT_WR(STATUS_SUCCESS, SIZE, self->h, self->there, self->src, SIZE);
	EXPECT_EQ(committed, info_of(self->h).CommittedBytes);
	/* Taken out of the page tables and put back: the bytes are those written. */
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)self->there, SIZE,
						 PAGE_NOACCESS).status);
	ASSERT_STATUS(STATUS_SUCCESS, do_protect(self->h, (uintptr_t)self->there, SIZE,
						 PAGE_READONLY).status);
	EXPECT_RD(STATUS_SUCCESS, SIZE, self->h, self->there, self->buf, SIZE);
	EXPECT_EQ(0, memcmp(self->src, self->buf, SIZE));
	EXPECT_EQ(self->src[17 * P], told(self, TOLD_READ, self->there + 17 * P));
}

/* --- races -------------------------------------------------------------------------------- */

struct churn {
	uint8_t *p;
	bool stop;
};

static void *churner(void *arg)
{
	struct churn *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		protect(c->p, SIZE, PAGE_READONLY);
		decommit(c->p + 8 * P, 32 * P);
		commit(c->p, SIZE, PAGE_READWRITE);
		protect(c->p + 5 * P, P, PAGE_READWRITE | PAGE_GUARD);
	}
	return NULL;
}

TEST(copies_race_with_changes)
{
	struct churn c = { .p = reserve_commit(SIZE, PAGE_READWRITE) };
	uint8_t *buf = linux_memory(SIZE);
	unsigned long whole = 0, part = 0, other = 0;
	double until = now() + 3;
	pthread_t thread;
	NTSTATUS s;
	SIZE_T n;
	int i;

	ASSERT_NE(NULL, c.p);
	ASSERT_NE(NULL, buf);
	memset(buf, 0x5a, SIZE);
	ASSERT_EQ(0, pthread_create(&thread, NULL, churner, &c));
	for (i = 0; now() < until || !part; i++) {
		s = i & 1 ? NtReadVirtualMemory(ME, c.p, buf, SIZE, &n) :
			    NtWriteVirtualMemory(ME, c.p, buf, SIZE, &n);
		if (s == STATUS_SUCCESS && n == SIZE)
			whole++;
		else if (s == STATUS_PARTIAL_COPY && n < SIZE && !(n % P))
			part++;
		else
			other++;
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	TH_LOG("%lu whole, %lu partial", whole, part);
	EXPECT_EQ(0, other);
	EXPECT_LT(0, part);
	EXPECT_STATUS(STATUS_SUCCESS, commit(c.p, SIZE, PAGE_READWRITE));
	EXPECT_WR(STATUS_SUCCESS, SIZE, ME, c.p, buf, SIZE);
	EXPECT_EQ(0, memcmp(c.p, buf, SIZE));
}

static int long_copier(int sock, void *arg)
{
	size_t size = 256 * MIB;
	uint8_t *p = reserve_commit(size, PAGE_READWRITE);
	uint8_t *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	if (!p || m == MAP_FAILED)
		return 1;
	child_tell(sock, 1);
	for (;;)
		NtWriteVirtualMemory(ME, p, m, size, NULL);
}

TEST(a_long_copy_can_be_killed)
{
	struct child c;
	uint64_t word;
	double start;

	ASSERT_TRUE(child_start(&c, long_copier, NULL));
	ASSERT_TRUE(child_hear(c.sock, &word));
	sleep_ms(300);
	start = now();
	kill(c.pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, child_wait(&c));
	EXPECT_LT(now() - start, 2.0);
}

TEST_HARNESS_MAIN
