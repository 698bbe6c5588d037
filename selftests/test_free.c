// SPDX-License-Identifier: GPL-2.0-only
/*
 * Freeing memory: the published contract clause by clause (S1 to S19), strict
 * where it is strict, and what Windows really does where a process asks for
 * that (F1 to F22).
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#define PAGES	16
#define SIZE	(PAGES * P)

/* Reserve one granule at a place. */
#define ASSERT_RESERVE(at) \
	ASSERT_STATUS(STATUS_SUCCESS, \
		      do_alloc(ME, at, 0, G, MEM_RESERVE, PAGE_READWRITE).status)

/* --- what both contracts have in common ------------------------------------ */

FIXTURE(both) {
	uint8_t *p;		/* a reserved and committed region, filled with 0x5a */
};

FIXTURE_VARIANT(both) {
	ULONG contract;
};

FIXTURE_VARIANT_ADD(both, documented) {
	.contract = LIBNT_CONTRACT_DOCUMENTED,
};

FIXTURE_VARIANT_ADD(both, windows) {
	.contract = LIBNT_CONTRACT_WINDOWS,
};

FIXTURE_SETUP(both)
{
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, variant->contract));
	self->p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x5a, SIZE);
}

FIXTURE_TEARDOWN(both)
{
}

TEST_F(both, S1_the_pseudo_handle_means_the_caller)
{
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)self->p, P, MEM_DECOMMIT).status);
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, P, MEM_RESERVE, 0);
	EXPECT_NO_ACCESS(self->p);
}

static int s1_child(int sock, void *arg)
{
	/* The same address as the parent's region, in a memory of its own. */
	struct res r = do_alloc(ME, (uintptr_t)arg, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
				PAGE_READWRITE);
	uint64_t word;

	if (r.status != STATUS_SUCCESS || r.base != (uintptr_t)arg)
		return 1;
	memset(arg, 0x77, SIZE);
	if (!send_fd(sock, own_device()) || !child_hear(sock, &word))
		return 2;
	if (page_state(arg) != MEM_RESERVE || probe_read(arg).signo != SIGSEGV)
		return 3;
	if (probe_read((uint8_t *)arg + P).value != 0x77)
		return 4;
	return 0;
}

TEST_F(both, S1_the_handle_says_whose_pages_are_freed)
{
	struct child c;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, s1_child, self->p));
	h = LibntFdToHandle(recv_fd(c.sock));
	EXPECT_RES(STATUS_SUCCESS, self->p, P, do_free(h, (uintptr_t)self->p, P, MEM_DECOMMIT));
	EXPECT_TRUE(child_tell(c.sock, 1));
	EXPECT_EQ(0, child_wait(&c));
	/* Nothing of the caller's own went. */
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(self->p, 0x5a);
}

TEST_F(both, S2_base_returns_the_start_of_the_freed_pages)
{
	uintptr_t p = (uintptr_t)self->p;

	EXPECT_RES(STATUS_SUCCESS, p + 2 * P, P, do_free(ME, p + 2 * P + 0x345, 1, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 2 * P,
		   do_free(ME, p + 5 * P - 1, P, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(ME, p, 0, MEM_RELEASE));
}

TEST_F(both, S4_size_returns_the_rounded_size_of_the_freed_pages)
{
	uintptr_t p = (uintptr_t)self->p;

	EXPECT_RES(STATUS_SUCCESS, p, P, do_free(ME, p, 1, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p, P, do_free(ME, p, P - 1, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p, P, do_free(ME, p, P, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p, 2 * P, do_free(ME, p, P + 1, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p, 5 * P, do_free(ME, p, 5 * P - 7, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(ME, p, 0, MEM_RELEASE));
}

TEST_F(both, S6_decommit_touches_every_page_with_a_byte)
{
	uint8_t *p = self->p;

	EXPECT_RES(STATUS_SUCCESS, p + P, 2 * P,
		   do_free(ME, (uintptr_t)p + 2 * P - 1, 2, MEM_DECOMMIT));
	EXPECT_QUERY(p, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + P, p, PAGE_READWRITE, 2 * P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + 3 * P, p, PAGE_READWRITE, SIZE - 3 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(p + P - 1, 0x5a);
	EXPECT_NO_ACCESS(p + P);
	EXPECT_NO_ACCESS(p + 3 * P - 1);
	EXPECT_READ(p + 3 * P, 0x5a);
}

TEST_F(both, S6_decommit_touches_no_page_without_a_byte)
{
	uint8_t *p = self->p;

	EXPECT_RES(STATUS_SUCCESS, p + 4 * P, P,
		   do_free(ME, (uintptr_t)p + 4 * P, P, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p + 8 * P, P,
		   do_free(ME, (uintptr_t)p + 9 * P - 1, 1, MEM_DECOMMIT));
	EXPECT_QUERY(p, p, PAGE_READWRITE, 4 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + 4 * P, p, PAGE_READWRITE, P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + 5 * P, p, PAGE_READWRITE, 3 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + 8 * P, p, PAGE_READWRITE, P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + 9 * P, p, PAGE_READWRITE, SIZE - 9 * P, MEM_COMMIT, PAGE_READWRITE);
}

TEST_F(both, S7_decommit_of_size_0_at_the_base_takes_the_whole_region)
{
	uint8_t *p = self->p;
	/* Windows leaves the size alone; the page wants it written back. */
	size_t size = variant->contract == LIBNT_CONTRACT_WINDOWS ? 0 : SIZE;

	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 3 * P, P));
	EXPECT_RES(STATUS_SUCCESS, p, size, do_free(ME, (uintptr_t)p, 0, MEM_DECOMMIT));
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
	EXPECT_NO_ACCESS(p);
	EXPECT_NO_ACCESS(p + SIZE - 1);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_EQ(SIZE, info_of(ME).ReservedBytes);
}

TEST_F(both, S7_decommit_of_size_0_off_the_first_page_fails)
{
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p, p + SIZE), after;

	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, p + P + 1, 0,
		   do_free(ME, p + P + 1, 0, MEM_DECOMMIT));
	after = snap_of(ME, p, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST_F(both, S8_free_type_is_one_of_the_two)
{
	static const ULONG bad[] = {
		0, MEM_DECOMMIT | MEM_RELEASE, MEM_FREE, MEM_COMMIT, MEM_RESERVE,
		MEM_COALESCE_PLACEHOLDERS, MEM_PRESERVE_PLACEHOLDER,
		MEM_DECOMMIT | MEM_COALESCE_PLACEHOLDERS,
		MEM_DECOMMIT | MEM_PRESERVE_PLACEHOLDER, MEM_RELEASE | MEM_FREE,
		MEM_DECOMMIT | 0x80000000, ~0u, 4, 0x10, 0x400000,
	};
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p - G, p + SIZE), after;
	ULONG bit;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_RES(STATUS_INVALID_PARAMETER_4, p, 0, do_free(ME, p, 0, bad[i]));
	for (bit = 1; bit; bit <<= 1)
		if (bit != MEM_DECOMMIT && bit != MEM_RELEASE)
			EXPECT_RES(STATUS_INVALID_PARAMETER_4, p, 0, do_free(ME, p, 0, bit));
	after = snap_of(ME, p - G, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, p, P, 0x4000).status);
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, p, 0, 0x8000).status);
}

TEST_F(both, S9_decommitted_pages_are_reserved)
{
	uint8_t *p = self->p;

	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 2 * P, 3 * P));
	EXPECT_QUERY(p + 2 * P, p, PAGE_READWRITE, 3 * P, MEM_RESERVE, 0);
	EXPECT_NO_ACCESS(p + 2 * P);
	EXPECT_NO_ACCESS(p + 4 * P);
	/* Still the region's own: nobody else gets them. */
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
		      do_alloc(ME, (uintptr_t)p + 2 * P, 0, P, MEM_RESERVE, PAGE_READWRITE).status);
	EXPECT_EQ(SIZE, info_of(ME).ReservedBytes);
	EXPECT_EQ(SIZE - 3 * P, info_of(ME).CommittedBytes);
}

TEST_F(both, S10_decommit_of_uncommitted_pages_is_no_failure)
{
	uint8_t *p = self->p;
	uint8_t *q = reserve(SIZE);

	ASSERT_NE(NULL, q);
	/* Never committed. */
	EXPECT_RES(STATUS_SUCCESS, q, SIZE, do_free(ME, (uintptr_t)q, SIZE, MEM_DECOMMIT));
	EXPECT_QUERY(q, q, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
	/* Some of both, twice. */
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 5 * P, P));
	EXPECT_RES(STATUS_SUCCESS, p + 3 * P, 5 * P,
		   do_free(ME, (uintptr_t)p + 3 * P, 5 * P, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, p + 3 * P, 5 * P,
		   do_free(ME, (uintptr_t)p + 3 * P, 5 * P, MEM_DECOMMIT));
	EXPECT_QUERY(p + 3 * P, p, PAGE_READWRITE, 5 * P, MEM_RESERVE, 0);
	EXPECT_READ(p + 8 * P, 0x5a);
	EXPECT_EQ(SIZE - 5 * P, info_of(ME).CommittedBytes);
}

TEST_F(both, S11_released_pages_are_free)
{
	uint8_t *p = self->p;
	int i;

	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	for (i = 0; i < PAGES; i++)
		EXPECT_FREE(p + i * P);
	EXPECT_NO_ACCESS(p);
	EXPECT_NO_ACCESS(p + SIZE - 1);
	EXPECT_EQ(0, info_of(ME).Regions);
	EXPECT_EQ(0, info_of(ME).ReservedBytes);
}

TEST_F(both, S13_release_decommits_what_is_committed)
{
	EXPECT_EQ(SIZE, info_of(ME).CommittedBytes);
	EXPECT_STATUS(STATUS_SUCCESS, release(self->p));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	/* The storage went with it: the same address starts from zero. */
	EXPECT_RES(STATUS_SUCCESS, self->p, SIZE,
		   do_alloc(ME, (uintptr_t)self->p, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
			    PAGE_READWRITE));
	EXPECT_READ(self->p, 0);
	EXPECT_READ(self->p + SIZE - 1, 0);
}

TEST_F(both, S13_release_gives_the_storage_back)
{
	int64_t shmem = meminfo("Shmem"), charge = meminfo("Committed_AS");
	uint8_t *big = reserve_commit(16 * MIB, PAGE_READWRITE);

	ASSERT_NE(NULL, big);
	memset(big, 1, 16 * MIB);
	EXPECT_LE(shmem + (int64_t)(15 * MIB), meminfo("Shmem"));
	EXPECT_STATUS(STATUS_SUCCESS, release(big));
	EXPECT_TRUE(wait_until(3, near(meminfo("Shmem"), shmem, 512 * KIB)));
	EXPECT_TRUE(wait_until(3, near(meminfo("Committed_AS"), charge, 512 * KIB)));
}

TEST_F(both, S14_release_of_mixed_states_is_no_failure)
{
	uint8_t *p = self->p;
	int i;

	for (i = 0; i < PAGES; i += 2)
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p + i * P, P));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + P, P, PAGE_NOACCESS));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 3 * P, P, PAGE_EXECUTE_READ));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 5 * P, P, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(ME, (uintptr_t)p, 0, MEM_RELEASE));
	for (i = 0; i < PAGES; i++)
		EXPECT_FREE(p + i * P);
}

TEST_F(both, S16_success_means_done_and_an_error_means_nothing_done)
{
	uintptr_t p = (uintptr_t)self->p;
	const struct {
		HANDLE h;
		uintptr_t base;
		size_t size;
		ULONG type;
	} bad[] = {
		{ ME, p, 0, 0 },
		{ ME, p, 0, MEM_DECOMMIT | MEM_RELEASE },
		{ ME, p, SIZE + 1, MEM_DECOMMIT },
		{ ME, p + P, SIZE, MEM_DECOMMIT },
		{ ME, p + P, 0, MEM_RELEASE },
		{ ME, p, SIZE + P, MEM_RELEASE },
		{ ME, p + SIZE, P, MEM_DECOMMIT },
		{ ME, 0, 0, MEM_RELEASE },
		{ ME, KERNEL_ADDRESS, 0, MEM_RELEASE },
		{ ME, p, ~0ul, MEM_DECOMMIT },
		{ NULL, p, 0, MEM_RELEASE },
		{ (HANDLE)0x7fff1234, p, P, MEM_DECOMMIT },
	};
	struct snap before = snap_of(ME, p - G, p + SIZE + G), after;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct res r = do_free(bad[i].h, bad[i].base, bad[i].size, bad[i].type);

		EXPECT_EQ(3, (uint32_t)r.status >> 30) {
			TH_LOG("case %zu: %s is no error", i, status_name(r.status));
		}
		EXPECT_EQ(bad[i].base, r.base);
		EXPECT_EQ(bad[i].size, r.size);
		EXPECT_TRUE(r.fenced);
	}
	after = snap_of(ME, p - G, p + SIZE + G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_EQ(0, decommit(self->p, P));
	after = snap_of(ME, p - G, p + SIZE + G);
	EXPECT_FALSE(snap_same(&before, &after));
}

TEST_F(both, S17_a_handle_without_the_right_is_denied)
{
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p, p + SIZE), after;
	HANDLE weak = NULL, strong = NULL;

	ASSERT_STATUS(STATUS_SUCCESS,
		      raw_duplicate(ME, NTVM_ACCESS_ALL & ~NTVM_ACCESS_VM_OPERATION, &weak));
	EXPECT_RES(STATUS_ACCESS_DENIED, p, P, do_free(weak, p, P, MEM_DECOMMIT));
	EXPECT_RES(STATUS_ACCESS_DENIED, p, 0, do_free(weak, p, 0, MEM_RELEASE));
	after = snap_of(ME, p, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	/* The right alone is enough. */
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_VM_OPERATION, &strong));
	EXPECT_RES(STATUS_SUCCESS, p, P, do_free(strong, p, P, MEM_DECOMMIT));
}

TEST_F(both, S18_a_handle_that_is_none_is_invalid)
{
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p, p + SIZE), after;
	int fd = dup(0);
	HANDLE bad[5];
	size_t i;

	ASSERT_LE(0, fd);
	close(fd);
	bad[0] = NULL;
	bad[1] = LibntFdToHandle(fd);
	bad[2] = (HANDLE)(uintptr_t)0xdeadbeef;
	bad[3] = (HANDLE)(uintptr_t)0x123456789abcdef0;
	bad[4] = LibntFdToHandle(1000000);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_RES(STATUS_INVALID_HANDLE, p, P, do_free(bad[i], p, P, MEM_DECOMMIT));
		EXPECT_RES(STATUS_INVALID_HANDLE, p, 0, do_free(bad[i], p, 0, MEM_RELEASE));
	}
	after = snap_of(ME, p, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST_F(both, S19_a_handle_of_another_type_is_a_mismatch)
{
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p, p + SIZE), after;
	int fds[4];
	size_t i;

	ASSERT_EQ(0, pipe(fds));
	fds[2] = open("/dev/null", O_RDWR);
	fds[3] = open("/proc/self/status", O_RDONLY);
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		HANDLE h = LibntFdToHandle(fds[i]);

		ASSERT_LE(0, fds[i]);
		EXPECT_RES(STATUS_OBJECT_TYPE_MISMATCH, p, P, do_free(h, p, P, MEM_DECOMMIT));
		EXPECT_RES(STATUS_OBJECT_TYPE_MISMATCH, p, 0, do_free(h, p, 0, MEM_RELEASE));
	}
	after = snap_of(ME, p, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST_F(both, an_address_that_holds_no_region_is_not_allocated)
{
	uintptr_t p = (uintptr_t)self->p;
	uintptr_t hole = FIXED + 0x100000;

	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, 0, 0, do_free(ME, 0, 0, MEM_RELEASE));
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, 0, 0, do_free(ME, 0, 0, MEM_DECOMMIT));
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, hole, 0, do_free(ME, hole, 0, MEM_RELEASE));
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, hole, P, do_free(ME, hole, P, MEM_DECOMMIT));
	/* A hole before a region: the first byte decides. */
	EXPECT_RES(STATUS_SUCCESS, hole + G, P,
		   do_alloc(ME, hole + G, 0, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, hole, 2 * G, do_free(ME, hole, 2 * G, MEM_DECOMMIT));
	/* The rest of a granule belongs to nobody. */
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, hole + G + P, P,
		   do_free(ME, hole + G + P, P, MEM_DECOMMIT));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)p));
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, p, 0, do_free(ME, p, 0, MEM_RELEASE));
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, p, P, do_free(ME, p, P, MEM_DECOMMIT));
}

TEST_F(both, a_mapping_that_is_not_nts_is_not_freed)
{
	uint8_t *anon = mmap(NULL, G, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t text = (uintptr_t)&do_free;
	struct res r;

	ASSERT_NE(MAP_FAILED, anon);
	memset(anon, 0x3c, G);
	r = do_free(ME, (uintptr_t)anon, 0, MEM_RELEASE);
	EXPECT_FALSE(NT_SUCCESS(r.status));
	r = do_free(ME, (uintptr_t)anon, P, MEM_DECOMMIT);
	EXPECT_FALSE(NT_SUCCESS(r.status));
	EXPECT_READ(anon, 0x3c);
	r = do_free(ME, text, P, MEM_DECOMMIT);
	EXPECT_FALSE(NT_SUCCESS(r.status));
	r = do_free(ME, text & ~(P - 1), 0, MEM_RELEASE);
	EXPECT_FALSE(NT_SUCCESS(r.status));
}

/* --- which error wins -------------------------------------------------------- */

TEST_F(both, each_earlier_error_wins_over_each_later_one)
{
	enum { TYPE, POINTER, SIZED_RELEASE, BASE, WRAP, HANDLE_, NOT_THERE, TOO_LONG, OFF_BASE, N };
	const NTSTATUS want[N] = {
		[TYPE] = STATUS_INVALID_PARAMETER_4,
		[POINTER] = STATUS_ACCESS_VIOLATION,
		[SIZED_RELEASE] = STATUS_INVALID_PARAMETER_3,
		[BASE] = STATUS_INVALID_PARAMETER_2,
		[WRAP] = STATUS_INVALID_PARAMETER_3,
		[HANDLE_] = STATUS_INVALID_HANDLE,
		[NOT_THERE] = STATUS_MEMORY_NOT_ALLOCATED,
		[TOO_LONG] = STATUS_UNABLE_TO_FREE_VM,
		[OFF_BASE] = STATUS_FREE_VM_NOT_AT_BASE,
	};
	uintptr_t p = (uintptr_t)self->p;
	uintptr_t hole = FIXED + 0x100000;
	struct snap before = snap_of(ME, p - G, p + SIZE + G), after;
	int pairs = 0;
	int i, j;

	for (i = 0; i < N; i++) {
		for (j = i; j < N; j++) {
			unsigned int has = 1u << i | 1u << j;
			PVOID base = (PVOID)p;
			SIZE_T size = P;
			ULONG type = MEM_DECOMMIT;
			HANDLE h = ME;
			NTSTATUS got;

#define HAS(x) (has & 1u << (x))
			/* Those that need the same argument cannot meet. */
			if (HAS(SIZED_RELEASE) && (HAS(TYPE) || HAS(OFF_BASE)))
				continue;
			if (HAS(SIZED_RELEASE) && variant->contract == LIBNT_CONTRACT_WINDOWS)
				continue;
			if (HAS(BASE) && (HAS(NOT_THERE) || HAS(OFF_BASE)))
				continue;
			if (HAS(NOT_THERE) && HAS(OFF_BASE))
				continue;
			if (HAS(WRAP) && (HAS(TOO_LONG) || HAS(OFF_BASE)))
				continue;
			if (HAS(TOO_LONG) && HAS(OFF_BASE))
				continue;
			if (HAS(TYPE))
				type = MEM_DECOMMIT | MEM_RELEASE;
			if (HAS(SIZED_RELEASE))
				type = MEM_RELEASE;
			if (HAS(BASE))
				base = (PVOID)KERNEL_ADDRESS;
			if (HAS(NOT_THERE))
				base = (PVOID)hole;
			if (HAS(OFF_BASE)) {
				base = (PVOID)(p + P);
				size = 0;
			}
			if (HAS(WRAP))
				size = ~0ul;
			if (HAS(TOO_LONG))
				size = SIZE + P;
			if (HAS(HANDLE_))
				h = NULL;
			got = NtFreeVirtualMemory(h, HAS(POINTER) && !HAS(BASE) ? NULL : &base,
						  HAS(POINTER) && HAS(BASE) ? NULL : &size, type);
#undef HAS
			EXPECT_EQ(want[i], got) {
				TH_LOG("errors %d and %d: want %s, got %s", i, j,
				       status_name(want[i]), status_name(got));
			}
			pairs++;
		}
	}
	EXPECT_LE(28, pairs);
	after = snap_of(ME, p - G, p + SIZE + G);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST(type_is_judged_before_everything_else)
{
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, NtFreeVirtualMemory(NULL, NULL, NULL, 0));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, NtFreeVirtualMemory(NULL, NULL, NULL, ~0u));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      NtFreeVirtualMemory(NULL, NULL, NULL, MEM_RELEASE));
}

/* --- the published contract where it is strict --------------------------------- */

FIXTURE(documented) {
	uint8_t *p;
};

FIXTURE_SETUP(documented)
{
	/* No call to choose it: this is what a process starts with. */
	self->p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x5a, SIZE);
}

FIXTURE_TEARDOWN(documented)
{
}

TEST_F(documented, is_the_default)
{
	EXPECT_EQ(LIBNT_CONTRACT_DOCUMENTED, info_of(ME).Contract);
}

TEST_F(documented, S3_release_takes_exactly_the_base_of_the_region)
{
	static const uintptr_t off[] = { 1, 0x10, P - 1, P, P + 1, SIZE - 1 };
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p - G, p + SIZE), after;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(off); i++)
		EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, p + off[i], 0,
			   do_free(ME, p + off[i], 0, MEM_RELEASE));
	after = snap_of(ME, p - G, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_READ(self->p, 0x5a);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(ME, p, 0, MEM_RELEASE));
	EXPECT_FREE(p);
}

TEST_F(documented, S3_the_base_is_what_allocate_returned_not_what_was_asked)
{
	struct res r = do_alloc(ME, FIXED + 0x8123, 0, P, MEM_RESERVE, PAGE_READWRITE);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	ASSERT_EQ(FIXED, r.base);
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, FIXED + 0x8123, 0,
		   do_free(ME, FIXED + 0x8123, 0, MEM_RELEASE));
	EXPECT_RES(STATUS_SUCCESS, FIXED, r.size, do_free(ME, FIXED, 0, MEM_RELEASE));
}

TEST_F(documented, S4_decommit_of_size_0_returns_the_size_of_the_region)
{
	uintptr_t p = (uintptr_t)self->p;

	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(ME, p, 0, MEM_DECOMMIT));
}

TEST_F(documented, S5_release_wants_size_0_and_frees_the_entire_region)
{
	static const size_t sizes[] = { 1, P, SIZE - 1, SIZE, SIZE + 1, SIZE + P };
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p - G, p + SIZE), after;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_RES(STATUS_INVALID_PARAMETER_3, p, sizes[i],
			   do_free(ME, p, sizes[i], MEM_RELEASE));
	after = snap_of(ME, p - G, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(ME, p, 0, MEM_RELEASE));
	EXPECT_FREE(p);
	EXPECT_FREE(p + SIZE - P);
}

TEST_F(documented, S12_release_fails_for_a_size_or_another_base_and_changes_nothing)
{
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p - G, p + SIZE), after;

	EXPECT_RES(STATUS_INVALID_PARAMETER_3, p, SIZE, do_free(ME, p, SIZE, MEM_RELEASE));
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, p + P, 0, do_free(ME, p + P, 0, MEM_RELEASE));
	/* Both wrong: the size is looked at first. */
	EXPECT_RES(STATUS_INVALID_PARAMETER_3, p + P, P, do_free(ME, p + P, P, MEM_RELEASE));
	after = snap_of(ME, p - G, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_READ(self->p + P, 0x5a);
}

TEST_F(documented, S15_a_region_is_released_all_at_once)
{
	uintptr_t p = (uintptr_t)self->p;
	int i;

	/* No way to take a head, a middle or a tail. */
	for (i = 0; i < PAGES; i++) {
		EXPECT_STATUS(STATUS_INVALID_PARAMETER_3,
			      do_free(ME, p + i * P, P, MEM_RELEASE).status);
		if (i)
			EXPECT_STATUS(STATUS_FREE_VM_NOT_AT_BASE,
				      do_free(ME, p + i * P, 0, MEM_RELEASE).status);
	}
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, p, 0, MEM_RELEASE).status);
	for (i = 0; i < PAGES; i++)
		EXPECT_FREE(p + i * P);
}

TEST_F(documented, S15_an_adjacent_region_stays)
{
	uintptr_t a = FIXED, b = FIXED + G;

	ASSERT_RESERVE(a);
	ASSERT_RESERVE(b);
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, a, 0, MEM_RELEASE).status);
	EXPECT_FREE(a);
	EXPECT_QUERY(b, b, PAGE_READWRITE, G, MEM_RESERVE, 0);
}

TEST(the_contract_is_checked_and_can_be_changed_back)
{
	uintptr_t p = (uintptr_t)reserve(SIZE);

	ASSERT_NE(0, p);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, LibntSetContract(ME, 2));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, LibntSetContract(ME, ~0u));
	EXPECT_EQ(LIBNT_CONTRACT_DOCUMENTED, info_of(ME).Contract);
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	EXPECT_EQ(LIBNT_CONTRACT_WINDOWS, info_of(ME).Contract);
	EXPECT_RES(STATUS_SUCCESS, p, P, do_free(ME, p, P, MEM_RELEASE));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_DOCUMENTED));
	EXPECT_RES(STATUS_INVALID_PARAMETER_3, p + P, P, do_free(ME, p + P, P, MEM_RELEASE));
	EXPECT_RES(STATUS_SUCCESS, p + P, SIZE - P, do_free(ME, p + P, 0, MEM_RELEASE));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, LibntSetContract(NULL, 0));
}

/* --- what Windows does ----------------------------------------------------------- */

FIXTURE(windows) {
	uintptr_t p;
};

FIXTURE_SETUP(windows)
{
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	self->p = (uintptr_t)reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(0, self->p);
	memset((void *)self->p, 0x5a, SIZE);
}

FIXTURE_TEARDOWN(windows)
{
}

TEST_F(windows, F1_decommit_of_two_bytes_over_a_page_edge)
{
	EXPECT_RES(STATUS_SUCCESS, self->p + P, 2 * P,
		   do_free(ME, self->p + 0x1fff, 2, MEM_DECOMMIT));
}

TEST_F(windows, F2_decommit_of_partly_committed_pages)
{
	EXPECT_RES(STATUS_SUCCESS, self->p, 2 * P, do_free(ME, self->p, 2 * P, MEM_DECOMMIT));
	EXPECT_RES(STATUS_SUCCESS, self->p, 4 * P, do_free(ME, self->p, 4 * P, MEM_DECOMMIT));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, 4 * P, MEM_RESERVE, 0);
}

TEST_F(windows, F3_F5_decommit_of_size_0_takes_any_byte_of_the_first_page)
{
	EXPECT_RES(STATUS_SUCCESS, self->p, 0, do_free(ME, self->p + 0xffe, 0, MEM_DECOMMIT));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
}

TEST_F(windows, F4_decommit_of_size_0_in_another_page)
{
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, self->p + 0x1001, 0,
		   do_free(ME, self->p + 0x1001, 0, MEM_DECOMMIT));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
}

TEST_F(windows, F6_decommit_rounds_both_ends)
{
	EXPECT_RES(STATUS_SUCCESS, self->p, P, do_free(ME, self->p + 1, P - 1, MEM_DECOMMIT));
	EXPECT_READ(self->p + P, 0x5a);
}

TEST_F(windows, F7_decommit_past_the_end)
{
	uintptr_t one = (uintptr_t)reserve(P);

	ASSERT_NE(0, one);
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, self->p, SIZE + 1,
		   do_free(ME, self->p, SIZE + 1, MEM_DECOMMIT));
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, one + 1, P, do_free(ME, one + 1, P, MEM_DECOMMIT));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
}

TEST_F(windows, F8_decommit_of_a_hole)
{
	EXPECT_RES(STATUS_SUCCESS, self->p + 4 * P, P, do_free(ME, self->p + 4 * P, P, MEM_RELEASE));
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, self->p + 4 * P, P,
		   do_free(ME, self->p + 4 * P, P, MEM_DECOMMIT));
	/* Over the hole: the piece before it ends too early. */
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, self->p, SIZE, do_free(ME, self->p, SIZE, MEM_DECOMMIT));
}

TEST_F(windows, F10_release_of_size_0_takes_any_byte_of_the_first_page)
{
	EXPECT_RES(STATUS_SUCCESS, self->p, SIZE, do_free(ME, self->p + 0xfff, 0, MEM_RELEASE));
	EXPECT_FREE(self->p);
	EXPECT_FREE(self->p + SIZE - 1);
}

TEST_F(windows, F11_release_of_size_0_in_another_page)
{
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, self->p + P, 0,
		   do_free(ME, self->p + P, 0, MEM_RELEASE));
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, self->p + 0x1001, 0,
		   do_free(ME, self->p + 0x1001, 0, MEM_RELEASE));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
}

TEST_F(windows, F12_release_of_the_exact_size)
{
	EXPECT_RES(STATUS_SUCCESS, self->p, SIZE, do_free(ME, self->p, SIZE, MEM_RELEASE));
	EXPECT_FREE(self->p);
	EXPECT_EQ(0, info_of(ME).Regions);
}

TEST_F(windows, F13_release_of_the_head)
{
	uintptr_t rest = self->p + 2 * P;

	EXPECT_RES(STATUS_SUCCESS, self->p, 2 * P, do_free(ME, self->p, 2 * P, MEM_RELEASE));
	EXPECT_FREE(self->p);
	EXPECT_NO_ACCESS(self->p);
	EXPECT_QUERY(rest, rest, PAGE_READWRITE, SIZE - 2 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(rest, 0x5a);
	EXPECT_EQ(1, info_of(ME).Regions);
	EXPECT_RES(STATUS_SUCCESS, rest, SIZE - 2 * P, do_free(ME, rest, 0, MEM_RELEASE));
}

TEST_F(windows, F14_release_of_the_tail)
{
	uintptr_t tail = self->p + 10 * P;

	EXPECT_RES(STATUS_SUCCESS, tail, 6 * P, do_free(ME, tail, 6 * P, MEM_RELEASE));
	EXPECT_FREE(tail);
	EXPECT_NO_ACCESS(tail);
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, 10 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(self->p + 9 * P, 0x5a);
	EXPECT_RES(STATUS_SUCCESS, self->p, 10 * P, do_free(ME, self->p, 0, MEM_RELEASE));
}

TEST_F(windows, F15_release_of_the_middle)
{
	uintptr_t rest = self->p + 4 * P;

	EXPECT_RES(STATUS_SUCCESS, self->p + 2 * P, 2 * P,
		   do_free(ME, self->p + 2 * P, 2 * P, MEM_RELEASE));
	EXPECT_EQ(2, info_of(ME).Regions);
	EXPECT_EQ(SIZE - 2 * P, info_of(ME).ReservedBytes);
	EXPECT_EQ(SIZE - 2 * P, info_of(ME).CommittedBytes);
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, 2 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_FREE(self->p + 2 * P);
	EXPECT_QUERY(rest, rest, PAGE_READWRITE, SIZE - 4 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(self->p + P, 0x5a);
	EXPECT_READ(rest, 0x5a);
	/* Two allocations of their own now. */
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, protect((void *)self->p, SIZE, PAGE_READONLY));
	EXPECT_RES(STATUS_SUCCESS, rest, SIZE - 4 * P, do_free(ME, rest, 0, MEM_RELEASE));
	EXPECT_READ(self->p + P, 0x5a);
	EXPECT_RES(STATUS_SUCCESS, self->p, 2 * P, do_free(ME, self->p, 0, MEM_RELEASE));
}

TEST_F(windows, F16_release_past_the_end_or_over_two_regions)
{
	uintptr_t a = FIXED, b = FIXED + G;

	ASSERT_RESERVE(a);
	ASSERT_RESERVE(b);
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, a, 2 * G, do_free(ME, a, 2 * G, MEM_RELEASE));
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, a, G + 1, do_free(ME, a, G + 1, MEM_RELEASE));
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, a + 8 * P, G, do_free(ME, a + 8 * P, G, MEM_DECOMMIT));
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, self->p, SIZE + P,
		   do_free(ME, self->p, SIZE + P, MEM_RELEASE));
	EXPECT_QUERY(a, a, PAGE_READWRITE, G, MEM_RESERVE, 0);
	EXPECT_QUERY(b, b, PAGE_READWRITE, G, MEM_RESERVE, 0);
	EXPECT_READ(self->p + SIZE - 1, 0x5a);
}

TEST_F(windows, F17_release_rounds_both_ends)
{
	uintptr_t p = self->p;

	EXPECT_RES(STATUS_SUCCESS, p, P, do_free(ME, p + 1, 0xfff, MEM_RELEASE));
	EXPECT_RES(STATUS_SUCCESS, p + P, P, do_free(ME, p + 0x1001, 0xfff, MEM_RELEASE));
	EXPECT_RES(STATUS_SUCCESS, p + 2 * P, 2 * P, do_free(ME, p + 0x2001, 0x1000, MEM_RELEASE));
	EXPECT_FREE(p);
	EXPECT_FREE(p + 3 * P);
	EXPECT_QUERY(p + 4 * P, p + 4 * P, PAGE_READWRITE, SIZE - 4 * P, MEM_COMMIT, PAGE_READWRITE);
}

TEST_F(windows, F18_release_of_any_mix)
{
	uint8_t *p = (uint8_t *)self->p;

	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + P, 2 * P));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 3 * P, P, PAGE_NOACCESS));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 4 * P, P, PAGE_EXECUTE_READ));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 6 * P, P, PAGE_READONLY | PAGE_GUARD));
	EXPECT_RES(STATUS_SUCCESS, p + P, 4 * P, do_free(ME, self->p + P, 4 * P, MEM_RELEASE));
	EXPECT_QUERY(p, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_FREE(p + P);
	EXPECT_FREE(p + 4 * P);
	EXPECT_QUERY(p + 6 * P, p + 5 * P, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READONLY | PAGE_GUARD);
	EXPECT_RES(STATUS_SUCCESS, p + 5 * P, SIZE - 5 * P,
		   do_free(ME, self->p + 5 * P, 0, MEM_RELEASE));
}

TEST_F(windows, F22_a_freed_first_page_can_be_reserved_again_alone)
{
	EXPECT_RES(STATUS_SUCCESS, self->p, P, do_free(ME, self->p, P, MEM_RELEASE));
	EXPECT_RES(STATUS_SUCCESS, self->p, P,
		   do_alloc(ME, self->p, 0, P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(self->p, 0);
	EXPECT_READ(self->p + P, 0x5a);
	EXPECT_EQ(2, info_of(ME).Regions);
	/* But not one page more. */
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, self->p, 0, MEM_RELEASE).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
		      do_alloc(ME, self->p, 0, 2 * P, MEM_RESERVE, PAGE_READWRITE).status);
}

TEST_F(windows, every_page_released_alone_in_any_order)
{
	static const int order[PAGES] = { 7, 0, 15, 3, 4, 8, 1, 14, 2, 11, 12, 5, 13, 6, 10, 9 };
	bool gone[PAGES] = { false };
	int i, j;

	for (i = 0; i < PAGES; i++) {
		uintptr_t p = self->p + order[i] * P;

		EXPECT_RES(STATUS_SUCCESS, p, P, do_free(ME, p, P, MEM_RELEASE));
		gone[order[i]] = true;
		for (j = 0; j < PAGES; j++) {
			if (gone[j]) {
				EXPECT_NO_READ(self->p + j * P);
			} else {
				EXPECT_READ(self->p + j * P, 0x5a);
			}
		}
		EXPECT_EQ((PAGES - 1 - i) * P, info_of(ME).ReservedBytes);
	}
	EXPECT_EQ(0, info_of(ME).Regions);
	EXPECT_EQ(0, vmas_in(self->p, self->p + SIZE));
}

TEST_HARNESS_MAIN
