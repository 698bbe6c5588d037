// SPDX-License-Identifier: GPL-2.0-only
/*
 * What NtQueryVirtualMemory says about every address: the runs of a region
 * (B6 to B12), free memory between neighbours, and the rest of a Linux process.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/syscall.h>

#define SIZE	(16 * P)

TEST(B1_every_user_address_has_an_answer)
{
	uintptr_t max = info_of(ME).MaximumAddress;

	EXPECT_FREE(0);
	EXPECT_FREE(1);
	EXPECT_FREE(0xffff);
	EXPECT_STATUS(STATUS_SUCCESS, do_query(ME, info_of(ME).MinimumAddress).status);
	EXPECT_STATUS(STATUS_SUCCESS, do_query(ME, max).status);
	EXPECT_STATUS(STATUS_SUCCESS, do_query(ME, max & ~(P - 1)).status);
}

TEST(B2_addresses_outside_user_space)
{
	static const uintptr_t bad[] = {
		KERNEL_ADDRESSES,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, do_query(ME, bad[i]).status);
}

TEST(B3_a_short_buffer_is_a_mismatch_and_nothing_is_written)
{
	uint8_t *p = reserve(SIZE);
	uint8_t buf[2 * sizeof(MEMORY_BASIC_INFORMATION)];
	SIZE_T written;
	size_t len, i;

	ASSERT_NE(NULL, p);
	for (len = 0; len < sizeof(MEMORY_BASIC_INFORMATION); len++) {
		memset(buf, 0xa5, sizeof(buf));
		written = 0x1234;
		EXPECT_STATUS(STATUS_INFO_LENGTH_MISMATCH,
			      NtQueryVirtualMemory(ME, p, MemoryBasicInformation, buf, len, &written));
		EXPECT_EQ(0x1234, written);
		for (i = 0; i < sizeof(buf); i++)
			ASSERT_EQ(0xa5, buf[i]);
	}
}

TEST(B4_the_length_returned_and_a_larger_buffer)
{
	uint8_t *p = reserve(SIZE);
	uint8_t buf[2 * sizeof(MEMORY_BASIC_INFORMATION)];
	SIZE_T written = 0;
	size_t i;

	ASSERT_NE(NULL, p);
	EXPECT_EQ(sizeof(void *) == 8 ? 0x30 : 0x1c, sizeof(MEMORY_BASIC_INFORMATION));
	memset(buf, 0xa5, sizeof(buf));
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtQueryVirtualMemory(ME, p, MemoryBasicInformation, buf, sizeof(buf), &written));
	EXPECT_EQ(sizeof(MEMORY_BASIC_INFORMATION), written);
	for (i = sizeof(MEMORY_BASIC_INFORMATION); i < sizeof(buf); i++)
		ASSERT_EQ(0xa5, buf[i]);
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtQueryVirtualMemory(ME, p, MemoryBasicInformation, buf,
					   sizeof(MEMORY_BASIC_INFORMATION), NULL));
}

TEST(B6_the_base_is_the_page_asked_for_not_the_start_of_the_run)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	int i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 16; i++)
		EXPECT_QUERY(p + i * P + 0x700 + i, p, PAGE_READWRITE, SIZE - i * P, MEM_COMMIT,
			     PAGE_READWRITE);
}

TEST(B7_a_run_ends_where_state_or_protection_changes)
{
	uint8_t *p = reserve(SIZE);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + P, 2 * P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 3 * P, P, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 4 * P, P, PAGE_READONLY | PAGE_GUARD));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 5 * P, P, PAGE_NOACCESS));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 6 * P, P, PAGE_EXECUTE));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 7 * P, P, PAGE_EXECUTE_READ));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 8 * P, 2 * P, PAGE_EXECUTE_READWRITE));
	EXPECT_QUERY(p, p, PAGE_READWRITE, P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + P, p, PAGE_READWRITE, 2 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + 2 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + 3 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READONLY);
	EXPECT_QUERY(p + 4 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READONLY | PAGE_GUARD);
	EXPECT_QUERY(p + 5 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_NOACCESS);
	EXPECT_QUERY(p + 6 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_EXECUTE);
	EXPECT_QUERY(p + 7 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_EXECUTE_READ);
	EXPECT_QUERY(p + 8 * P, p, PAGE_READWRITE, 2 * P, MEM_COMMIT, PAGE_EXECUTE_READWRITE);
	EXPECT_QUERY(p + 10 * P, p, PAGE_READWRITE, SIZE - 10 * P, MEM_RESERVE, 0);
	/* Touching changes none of it. */
	EXPECT_WRITE(p + P, 1);
	EXPECT_READ(p + 3 * P, 0);
	EXPECT_QUERY(p + P, p, PAGE_READWRITE, 2 * P, MEM_COMMIT, PAGE_READWRITE);
	/* Equal again: one run again. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_READONLY));
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READONLY);
}

TEST(B7_long_runs)
{
	/* Run lengths around the sizes at which a table has its seams. */
	static const size_t at[] = {
		1, 63, 64, 65, 511, 512, 513, 1023, 4095, 4096, 4097, 32767, 32768, 98303, 98304,
	};
	const size_t pages = 300000;
	uint8_t *p = reserve(pages * P);
	size_t i;

	ASSERT_NE(NULL, p);
	EXPECT_QUERY(p, p, PAGE_READWRITE, pages * P, MEM_RESERVE, 0);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		size_t n = at[i];

		EXPECT_STATUS(STATUS_SUCCESS, commit(p + n * P, P, PAGE_READONLY));
		EXPECT_QUERY(p, p, PAGE_READWRITE, n * P, MEM_RESERVE, 0);
		EXPECT_QUERY(p + n * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READONLY);
		EXPECT_QUERY(p + (n + 1) * P, p, PAGE_READWRITE, (pages - n - 1) * P, MEM_RESERVE, 0);
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p + n * P, P));
		EXPECT_STATUS(STATUS_SUCCESS, commit(p, n * P, PAGE_READWRITE));
		EXPECT_QUERY(p, p, PAGE_READWRITE, n * P, MEM_COMMIT, PAGE_READWRITE);
		EXPECT_QUERY(p + n * P, p, PAGE_READWRITE, (pages - n) * P, MEM_RESERVE, 0);
		EXPECT_EQ(n * P, info_of(ME).CommittedBytes);
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p, n * P));
		EXPECT_QUERY(p, p, PAGE_READWRITE, pages * P, MEM_RESERVE, 0);
		EXPECT_EQ(0, info_of(ME).CommittedBytes);
	}
}

TEST(B8_a_run_never_crosses_a_region)
{
	uintptr_t p = FIXED;
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_STATUS(STATUS_SUCCESS,
			      do_alloc(ME, p + i * G, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	for (i = 0; i < 4; i++) {
		EXPECT_QUERY(p + i * G, p + i * G, PAGE_READWRITE, G, MEM_RESERVE, 0);
		EXPECT_QUERY(p + i * G + 0xf000, p + i * G, PAGE_READWRITE, P, MEM_RESERVE, 0);
	}
}

TEST(B10_a_reserved_page_has_protection_0)
{
	static const ULONG words[] = {
		PAGE_NOACCESS, PAGE_READONLY, PAGE_EXECUTE_READWRITE, PAGE_READWRITE | PAGE_GUARD,
		PAGE_READWRITE | PAGE_NOCACHE,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		struct res r = do_alloc(ME, 0, 0, G, MEM_RESERVE, words[i]);

		EXPECT_QUERY(r.base, r.base, words[i], G, MEM_RESERVE, 0);
	}
}

TEST(B11_free_memory_reaches_to_the_next_region)
{
	uintptr_t p = FIXED;
	void *m;

	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, p, 0, 3 * P, MEM_RESERVE, PAGE_READWRITE).status);
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, p + 5 * G, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	EXPECT_FREE(p + 3 * P);
	EXPECT_EQ(5 * G - 3 * P, do_query(ME, p + 3 * P).mbi.RegionSize);
	EXPECT_EQ(2 * G, do_query(ME, p + 3 * G + 0x123).mbi.RegionSize);
	EXPECT_EQ(P, do_query(ME, p + 5 * G - 1).mbi.RegionSize);
	/* And to the next mapping of any other kind. */
	m = mmap((void *)(p + 2 * G), P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		 -1, 0);
	ASSERT_EQ((void *)(p + 2 * G), m);
	EXPECT_FREE(p + G);
	EXPECT_EQ(G, do_query(ME, p + G).mbi.RegionSize);
	EXPECT_FREE(p + 2 * G + P);
	EXPECT_EQ(3 * G - P, do_query(ME, p + 2 * G + P).mbi.RegionSize);
}

TEST(B12_a_committed_page_without_access)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_NOACCESS);

	ASSERT_NE(NULL, p);
	EXPECT_QUERY(p, p, PAGE_NOACCESS, SIZE, MEM_COMMIT, PAGE_NOACCESS);
}

TEST(B14_an_unknown_class)
{
	uint8_t buf[256];
	int class;

	for (class = 1; class < 16; class++) {
		if (class == 2 || class == 3 || class == 4 || class == 6)
			continue;	/* test_classes.c */
		EXPECT_STATUS(STATUS_INVALID_INFO_CLASS,
			      NtQueryVirtualMemory(ME, (PVOID)FIXED, (MEMORY_INFORMATION_CLASS)class,
						   buf, sizeof(buf), NULL));
	}
	EXPECT_STATUS(STATUS_INVALID_INFO_CLASS,
		      NtQueryVirtualMemory(ME, (PVOID)FIXED, (MEMORY_INFORMATION_CLASS)0x7fffffff,
					   buf, sizeof(buf), NULL));
}

TEST(B5_handles)
{
	int fd = open("/dev/null", O_RDWR);

	EXPECT_STATUS(STATUS_INVALID_HANDLE, do_query(NULL, FIXED).status);
	EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH, do_query(LibntFdToHandle(fd), FIXED).status);
}

TEST(each_earlier_error_wins_over_each_later_one)
{
	enum { CLASS, LENGTH, POINTER, ADDRESS, HANDLE_, N };
	const NTSTATUS want[N] = {
		[CLASS] = STATUS_INVALID_INFO_CLASS,
		[LENGTH] = STATUS_INFO_LENGTH_MISMATCH,
		[POINTER] = STATUS_ACCESS_VIOLATION,
		[ADDRESS] = STATUS_INVALID_PARAMETER,
		[HANDLE_] = STATUS_INVALID_HANDLE,
	};
	MEMORY_BASIC_INFORMATION mbi;
	SIZE_T written;
	int i, j, which;

	for (i = 0; i < N; i++) {
		for (j = i; j < N; j++) {
			unsigned int has = 1u << i | 1u << j;

#define HAS(x) (has & 1u << (x))
			for (which = 0; which < (HAS(POINTER) ? 3 : 1); which++) {
				PVOID bad = which == 2 ? (PVOID)KERNEL_ADDRESS : (PVOID)8;
				bool bad_buffer = HAS(POINTER) && which != 1;
				bool bad_return = HAS(POINTER) && which == 1;
				NTSTATUS got = NtQueryVirtualMemory(
					HAS(HANDLE_) ? NULL : ME,
					(PVOID)(HAS(ADDRESS) ? KERNEL_ADDRESS : FIXED),
					(MEMORY_INFORMATION_CLASS)(HAS(CLASS) ? 99 : 0),
					bad_buffer ? bad : &mbi, HAS(LENGTH) ? 8 : sizeof(mbi),
					bad_return ? bad : &written);

				EXPECT_EQ(want[i], got) {
					TH_LOG("errors %d and %d, pointer %d: want %s, got %s", i,
					       j, which, status_name(want[i]), status_name(got));
				}
			}
#undef HAS
		}
	}
}

/* --- the rest of the process ----------------------------------------------------- */

#define EXPECT_OTHER(at, type, protect) do {					\
	uintptr_t __at = (uintptr_t)(at);					\
	struct query __q = do_query(ME, __at);					\
	ULONG __ty = (type), __pr = (protect);					\
	uintptr_t __end = (uintptr_t)__q.mbi.BaseAddress + __q.mbi.RegionSize;	\
	EXPECT_TRUE(__q.status == STATUS_SUCCESS && __q.mbi.State == MEM_COMMIT && \
		    __q.mbi.Type == __ty && __q.mbi.Protect == __pr &&		\
		    (uintptr_t)__q.mbi.BaseAddress == (__at & ~(P - 1)) &&	\
		    __q.mbi.AllocationBase && __q.mbi.AllocationProtect &&	\
		    (uintptr_t)__q.mbi.AllocationBase <= __at && __end > __at) { \
		TH_LOG("%s: want type %#x protect %#x", #at, __ty, __pr);	\
		TH_LOG("got %s ab=%p ap=%#x st=%#x pr=%#x ty=%#x",		\
		       status_name(__q.status), __q.mbi.AllocationBase,		\
		       __q.mbi.AllocationProtect, __q.mbi.State,		\
		       __q.mbi.Protect, __q.mbi.Type);				\
	}									\
} while (0)

static const char constant[] = "read-only data of the program";
static char variable[64] = "data of the program";

TEST(heap_and_stack_are_private_and_committed)
{
	char *heap = malloc(64);
	int local = 0;

	ASSERT_NE(NULL, heap);
	EXPECT_OTHER(heap, MEM_PRIVATE, PAGE_READWRITE);
	EXPECT_OTHER(&local, MEM_PRIVATE, PAGE_READWRITE);
}

TEST(anonymous_mappings)
{
	static const struct {
		int prot;
		ULONG protect;
	} t[] = {
		{ PROT_NONE, PAGE_NOACCESS },
		{ PROT_READ, PAGE_READONLY },
		{ PROT_READ | PROT_WRITE, PAGE_READWRITE },
		{ PROT_READ | PROT_EXEC, PAGE_EXECUTE_READ },
		{ PROT_READ | PROT_WRITE | PROT_EXEC, PAGE_EXECUTE_READWRITE },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		/* At a place of its own: no neighbour to be merged with. */
		uint8_t *want = (uint8_t *)FIXED + i * MIB;
		uint8_t *m = mmap(want, 3 * P, t[i].prot,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		struct query q;

		ASSERT_EQ(want, m);
		EXPECT_OTHER(m, MEM_PRIVATE, t[i].protect);
		q = do_query(ME, (uintptr_t)m + P);
		EXPECT_EQ(m, (uint8_t *)q.mbi.AllocationBase);
		EXPECT_EQ(2 * P, q.mbi.RegionSize);
		EXPECT_EQ(P, do_query(ME, (uintptr_t)m - 1).mbi.RegionSize);
	}
}

TEST(shared_memory_is_mapped)
{
	int fd = syscall(SYS_memfd_create, "x", 0);
	uint8_t *m;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 4 * P));
	m = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, m);
	EXPECT_OTHER(m, MEM_MAPPED, PAGE_READWRITE);
	m = mmap(NULL, 4 * P, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, m);
	EXPECT_OTHER(m, MEM_MAPPED, PAGE_READONLY);
	m = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, m);
	EXPECT_OTHER(m, MEM_MAPPED, PAGE_READWRITE);
}

TEST(the_program_is_an_image)
{
	EXPECT_OTHER(&do_alloc, MEM_IMAGE, PAGE_EXECUTE_READ);
	EXPECT_OTHER(constant, MEM_IMAGE, PAGE_READONLY);
	variable[0]++;
	EXPECT_EQ(MEM_COMMIT, do_query(ME, (uintptr_t)variable).mbi.State);
}

TEST(other_mappings_in_a_handle_to_another_process_too)
{
	/* A second handle to this process goes the way of any other process. */
	int fd = device_open(O_RDWR);
	HANDLE h = LibntFdToHandle(fd);
	uint8_t *p = reserve_commit(G, PAGE_READWRITE);
	struct query a, b;

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, p);
	EXPECT_QUERY_H(h, p + P, p, PAGE_READWRITE, G - P, MEM_COMMIT, PAGE_READWRITE);
	a = do_query(ME, (uintptr_t)&do_alloc);
	b = do_query(h, (uintptr_t)&do_alloc);
	EXPECT_STATUS(STATUS_SUCCESS, b.status);
	EXPECT_EQ(a.mbi.Type, b.mbi.Type);
	EXPECT_EQ(a.mbi.RegionSize, b.mbi.RegionSize);
	EXPECT_EQ(a.mbi.Protect, b.mbi.Protect);
}

TEST(a_walk_agrees_with_proc_maps)
{
	uintptr_t end = info_of(ME).MaximumAddress, at = 0;
	uint8_t *p = reserve(SIZE);
	int n = 0;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + P, P, PAGE_READWRITE));
	while (at < end) {
		struct query q = do_query(ME, at);
		uintptr_t next = at + q.mbi.RegionSize;

		ASSERT_STATUS(STATUS_SUCCESS, q.status);
		/* The stack grows and has its own gap below it: judge the rest. */
		if (q.mbi.State == MEM_FREE && next < (uintptr_t)&at - 16 * MIB)
			EXPECT_EQ(0, vmas_in(at, next));
		if (q.mbi.State != MEM_FREE)
			EXPECT_LT(0, vmas_in(at, next));
		at = next;
		ASSERT_LT(n++, 10000);
	}
}

TEST_HARNESS_MAIN
