// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reserving and committing: how a request is rounded (R1 to R5), what each
 * combination does (A1 to A15), where the memory may lie (Z1 to Z9), and which
 * error wins when there are several.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

/* --- rounding ---------------------------------------------------------------- */

TEST(R1_reserve_rounds_the_base_to_the_granule_and_the_end_to_the_page)
{
	static const struct {
		uintptr_t base;
		size_t size;
		ULONG type;
		uintptr_t want_base;
		size_t want_size;
	} t[] = {
		{ 0x50000000, 0x1, MEM_RESERVE, 0x50000000, 0x1000 },
		{ 0x50008000, 0x1, MEM_RESERVE, 0x50000000, 0x9000 },
		{ 0x50000010, 0x1000, MEM_RESERVE, 0x50000000, 0x2000 },
		{ 0x50010000, 0x2000, MEM_RESERVE, 0x50010000, 0x2000 },
		{ 0x5000ffff, 0x3000, MEM_RESERVE, 0x50000000, 0x13000 },
		{ 0x50001010, 0x7000, MEM_RESERVE, 0x50000000, 0x9000 },
		{ 0x50001010, 0xc000, MEM_RESERVE, 0x50000000, 0xe000 },
		{ 0x50001010, 0x1000, MEM_RESERVE, 0x50000000, 0x3000 },
		{ 0x50004080, 0x1000, MEM_RESERVE | MEM_COMMIT, 0x50000000, 0x6000 },
		{ 0x60025000, 0xc8, MEM_RESERVE | MEM_COMMIT, 0x60020000, 0x6000 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		bool c = t[i].type & MEM_COMMIT;

		EXPECT_RES(STATUS_SUCCESS, t[i].want_base, t[i].want_size,
			   do_alloc(ME, t[i].base, 0, t[i].size, t[i].type, PAGE_READWRITE));
		EXPECT_QUERY(t[i].want_base, t[i].want_base, PAGE_READWRITE, t[i].want_size,
			     c ? MEM_COMMIT : MEM_RESERVE, c ? PAGE_READWRITE : 0);
		EXPECT_FREE(t[i].want_base + t[i].want_size);
		EXPECT_RES(STATUS_SUCCESS, t[i].want_base, t[i].want_size,
			   do_free(ME, t[i].want_base, 0, MEM_RELEASE));
	}
}

TEST(R2_commit_rounds_the_base_to_the_page)
{
	uintptr_t p = (uintptr_t)reserve(G);

	ASSERT_NE(0, p);
	EXPECT_RES(STATUS_SUCCESS, p + 3 * P, P,
		   do_alloc(ME, p + 3 * P + 0x7ff, 0, 1, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, p + 5 * P, 2 * P,
		   do_alloc(ME, p + 6 * P - 1, 0, 2, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_QUERY(p, p, PAGE_READWRITE, 3 * P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + 3 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + 5 * P, p, PAGE_READWRITE, 2 * P, MEM_COMMIT, PAGE_READWRITE);
}

TEST(R3_a_chosen_base_is_granule_aligned_and_the_size_page_rounded)
{
	static const size_t sizes[][2] = {
		{ 1, 0x1000 }, { 200, 0x1000 }, { 0x1000, 0x1000 }, { 0x1001, 0x2000 },
		{ 0xfffc, 0x10000 }, { 0x10000, 0x10000 }, { 0x10001, 0x11000 },
		{ 0x200000, 0x200000 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct res r = do_alloc(ME, 0, 0, sizes[i][0], MEM_RESERVE, PAGE_NOACCESS);

		EXPECT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_NE(0, r.base);
		EXPECT_EQ(0, r.base % G);
		EXPECT_EQ(sizes[i][1], r.size);
		EXPECT_TRUE(r.fenced);
		EXPECT_QUERY(r.base, r.base, PAGE_NOACCESS, sizes[i][1], MEM_RESERVE, 0);
	}
}

TEST(R4_the_rest_of_the_last_granule_belongs_to_nobody)
{
	uintptr_t p = FIXED;

	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, p, 0, 3 * P, MEM_RESERVE, PAGE_READWRITE).status);
	EXPECT_FREE(p + 3 * P);
	/* Rounding down leads into the live pages. */
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 8 * P, P,
		   do_alloc(ME, p + 8 * P, 0, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 3 * P, P,
		   do_alloc(ME, p + 3 * P, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_NO_READ(p + 3 * P);
	/* The next granule is open. */
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, p + G, 0, P, MEM_RESERVE, PAGE_READWRITE).status);
}

TEST(R5_in_a_granule_only_live_pages_conflict)
{
	uintptr_t p = FIXED;

	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, p, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	ASSERT_STATUS(STATUS_SUCCESS, do_free(ME, p, P, MEM_RELEASE).status);
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 8 * P, P,
		   do_alloc(ME, p + 8 * P, 0, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, p, P, do_alloc(ME, p, 0, P, MEM_RESERVE, PAGE_READONLY));
	EXPECT_QUERY(p, p, PAGE_READONLY, P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + P, p + P, PAGE_READWRITE, G - P, MEM_RESERVE, 0);
}

/* --- what is allocated ---------------------------------------------------------- */

TEST(A1_reserve)
{
	struct res r = do_alloc(ME, 0, 0, 4 * P, MEM_RESERVE, PAGE_READONLY);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_QUERY(r.base, r.base, PAGE_READONLY, 4 * P, MEM_RESERVE, 0);
	EXPECT_EQ(1, info_of(ME).Regions);
	EXPECT_EQ(4 * P, info_of(ME).ReservedBytes);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

TEST(A2_reserve_and_commit)
{
	struct res r = do_alloc(ME, 0, 0, 4 * P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_QUERY(r.base, r.base, PAGE_READWRITE, 4 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(r.base, 0);
	EXPECT_WRITE(r.base + 4 * P - 1, 9);
	EXPECT_EQ(4 * P, info_of(ME).CommittedBytes);
}

TEST(A3_commit_of_a_chosen_base_reserves_too)
{
	struct res r = do_alloc(ME, 0, 0, 200, MEM_COMMIT, PAGE_READWRITE);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_EQ(P, r.size);
	EXPECT_EQ(0, r.base % G);
	EXPECT_QUERY(r.base, r.base, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

TEST(A4_top_down_takes_the_highest_hole)
{
	const ULONG type = MEM_COMMIT | MEM_TOP_DOWN;
	uintptr_t linux_high, first;
	struct res a, b, c;
	void *m;

	/* Where Linux itself, which searches from the top, finds room. */
	m = mmap(NULL, 4 * G, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, m);
	linux_high = (uintptr_t)m;
	ASSERT_EQ(0, munmap(m, 4 * G));
	a = do_alloc(ME, 0, 0, G, type, PAGE_READWRITE);
	b = do_alloc(ME, 0, 0, G, type, PAGE_READWRITE);
	ASSERT_STATUS(STATUS_SUCCESS, a.status);
	ASSERT_STATUS(STATUS_SUCCESS, b.status);
	EXPECT_LE(linux_high, a.base);
	EXPECT_GT(a.base, b.base);
	EXPECT_QUERY(a.base, a.base, PAGE_READWRITE, G, MEM_COMMIT, PAGE_READWRITE);
	/* The highest hole is the one that was just made. */
	first = a.base;
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)a.base));
	c = do_alloc(ME, 0, 0, G, type, PAGE_READWRITE);
	EXPECT_EQ(first, c.base);
	/* With a base given it means nothing. */
	EXPECT_RES(STATUS_SUCCESS, FIXED, P,
		   do_alloc(ME, FIXED, 0, P, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE));
}

TEST(A5_reserve_at_a_free_address)
{
	EXPECT_RES(STATUS_SUCCESS, FIXED, 2 * G,
		   do_alloc(ME, FIXED, 0, 2 * G, MEM_RESERVE, PAGE_EXECUTE_READWRITE));
	EXPECT_QUERY(FIXED + G, FIXED, PAGE_EXECUTE_READWRITE, G, MEM_RESERVE, 0);
}

TEST(A6_reserve_over_anything_in_use_conflicts)
{
	uintptr_t p = FIXED;
	struct snap before, after;
	uint8_t *m;

	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, p + G, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	m = mmap((void *)(p + 4 * G), P, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ((uint8_t *)p + 4 * G, m);
	*m = 0x33;
	before = snap_of(ME, p, p + 8 * G);
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + G, P,
		   do_alloc(ME, p + G, 0, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p, G + 1,
		   do_alloc(ME, p, 0, G + 1, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p, 3 * G,
		   do_alloc(ME, p, 0, 3 * G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 2 * G - 1, 1,
		   do_alloc(ME, p + 2 * G - 1, 0, 1, MEM_RESERVE, PAGE_READWRITE));
	/* Linux's own mappings are in use as well. */
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 4 * G, P,
		   do_alloc(ME, p + 4 * G, 0, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 3 * G, 4 * G,
		   do_alloc(ME, p + 3 * G, 0, 4 * G, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, (uintptr_t)&do_alloc, P,
		   do_alloc(ME, (uintptr_t)&do_alloc, 0, P, MEM_RESERVE, PAGE_READWRITE));
	/* ZeroBits does not change that. */
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + G, P,
		   do_alloc(ME, p + G, 12, P, MEM_RESERVE, PAGE_READWRITE));
	after = snap_of(ME, p, p + 8 * G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_READ(m, 0x33);
	EXPECT_RES(STATUS_SUCCESS, p, G, do_alloc(ME, p, 0, G, MEM_RESERVE, PAGE_READWRITE));
}

TEST(A7_commit_inside_a_region)
{
	uint8_t *p = (uint8_t *)do_alloc(ME, 0, 0, G, MEM_RESERVE, PAGE_NOACCESS).base;

	ASSERT_NE(NULL, p);
	EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 2 * P,
		   do_alloc(ME, (uintptr_t)p + 4 * P, 0, 2 * P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_QUERY(p, p, PAGE_NOACCESS, 4 * P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + 4 * P, p, PAGE_NOACCESS, 2 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + 6 * P, p, PAGE_NOACCESS, G - 6 * P, MEM_RESERVE, 0);
	EXPECT_NO_READ(p + 3 * P);
	EXPECT_WRITE(p + 4 * P, 1);
	EXPECT_NO_READ(p + 6 * P);
}

TEST(A8_commit_again_with_the_same_protection_keeps_data)
{
	uint8_t *p = reserve_commit(4 * P, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, 4 * P);
	EXPECT_RES(STATUS_SUCCESS, p, 4 * P,
		   do_alloc(ME, (uintptr_t)p, 0, 4 * P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_READ(p, 0x5a);
	EXPECT_READ(p + 4 * P - 1, 0x5a);
	EXPECT_EQ(4 * P, info_of(ME).CommittedBytes);
}

TEST(A9_commit_again_with_another_protection_changes_it_and_keeps_data)
{
	uint8_t *p = reserve_commit(4 * P, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, 4 * P);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 2 * P, PAGE_READONLY));
	EXPECT_READ(p, 0x5a);
	EXPECT_NO_WRITE(p);
	EXPECT_NO_WRITE(p + P);
	EXPECT_WRITE(p + 2 * P, 1);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_NOACCESS));
	EXPECT_NO_READ(p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	EXPECT_READ(p, 0x5a);
	EXPECT_WRITE(p, 1);
	/* A guard set this way is a guard. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_NO_READ(p);
	EXPECT_READ(p, 1);
	EXPECT_EQ(4 * P, info_of(ME).CommittedBytes);
}

TEST(A10_commit_over_reserved_and_committed_pages)
{
	uint8_t *p = reserve(4 * P);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 2 * P, P, PAGE_NOACCESS));
	EXPECT_WRITE(p, 0x42);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 4 * P, PAGE_READONLY));
	EXPECT_QUERY(p, p, PAGE_READWRITE, 4 * P, MEM_COMMIT, PAGE_READONLY);
	EXPECT_READ(p, 0x42);
	EXPECT_READ(p + P, 0);
	EXPECT_READ(p + 2 * P, 0);
	EXPECT_NO_WRITE(p);
	EXPECT_NO_WRITE(p + 3 * P);
	EXPECT_EQ(4 * P, info_of(ME).CommittedBytes);
}

TEST(A11_to_A13_commit_must_lie_inside_one_region)
{
	uintptr_t p = FIXED;
	struct snap before, after;

	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, p + G, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, p + 2 * G, 0, 3 * P, MEM_RESERVE, PAGE_READWRITE).status);
	before = snap_of(ME, p, p + 4 * G);
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p, P,
		   do_alloc(ME, p, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p, G + P,
		   do_alloc(ME, p, 0, G + P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 2 * G + 2 * P, 2 * P,
		   do_alloc(ME, p + 2 * G + 2 * P, 0, 2 * P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 2 * G, 3 * P + 1,
		   do_alloc(ME, p + 2 * G, 0, 3 * P + 1, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + 2 * G - P, 2 * P,
		   do_alloc(ME, p + 2 * G - P, 0, 2 * P, MEM_COMMIT, PAGE_READWRITE));
	after = snap_of(ME, p, p + 4 * G);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST(A14_reserve_and_commit_inside_a_region_conflicts)
{
	uintptr_t p = (uintptr_t)reserve(2 * G);

	ASSERT_NE(0, p);
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p, P,
		   do_alloc(ME, p, 0, P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p + G, G,
		   do_alloc(ME, p + G, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

TEST(A15_reserve_and_commit_over_program_text_conflicts)
{
	uintptr_t text = (uintptr_t)&do_alloc;

	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, text, 200,
		   do_alloc(ME, text, 0, 200, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, FIXED, P, do_alloc(ME, FIXED, 0, P, MEM_RESERVE, PAGE_READWRITE));
}

TEST(A18_commit_over_a_file_or_shared_memory_is_already_committed)
{
	static const ULONG words[] = { PAGE_NOACCESS, PAGE_READWRITE, PAGE_EXECUTE_READ, PAGE_WRITECOPY };
	uint8_t *shared = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t *private = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t s = (uintptr_t)shared, text = (uintptr_t)&do_alloc & ~(uintptr_t)(P - 1);
	SIZE_T size = P;
	PVOID base = shared;
	size_t i;

	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, private);
	*shared = 0x3c;
	/* It wins over what is wrong with the protection. */
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		EXPECT_RES(STATUS_ALREADY_COMMITTED, s, P,
			   do_alloc(ME, s, 0, P, MEM_COMMIT, words[i]));
		EXPECT_RES(STATUS_ALREADY_COMMITTED, text, P,
			   do_alloc(ME, text, 0, P, MEM_COMMIT, words[i]));
	}
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, private, P,
		   do_alloc(ME, (uintptr_t)private, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_UNABLE_TO_DELETE_SECTION,
		      NtFreeVirtualMemory(ME, &base, &size, MEM_DECOMMIT));
	EXPECT_EQ(shared, base);
	EXPECT_EQ(P, size);
	EXPECT_READ(shared, 0x3c);
	munmap(shared, P);
	munmap(private, P);
}

TEST(A23_an_address_is_reusable_at_once)
{
	int i;

	for (i = 0; i < 200; i++) {
		ASSERT_STATUS(STATUS_SUCCESS,
			      do_alloc(ME, FIXED, 0, G, MEM_RESERVE | MEM_COMMIT,
				       PAGE_READWRITE).status);
		ASSERT_EQ(0, *(volatile uint8_t *)FIXED);
		*(volatile uint8_t *)FIXED = 1;
		ASSERT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	}
}

TEST(regions_never_merge)
{
	uintptr_t p = FIXED;
	int i;

	for (i = 0; i < 8; i++)
		ASSERT_STATUS(STATUS_SUCCESS,
			      do_alloc(ME, p + i * G, 0, G, MEM_RESERVE | MEM_COMMIT,
				       PAGE_READWRITE).status);
	for (i = 0; i < 8; i++)
		EXPECT_QUERY(p + i * G, p + i * G, PAGE_READWRITE, G, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_EQ(8, info_of(ME).Regions);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, protect((void *)p, 2 * G, PAGE_READONLY));
}

/* --- protections --------------------------------------------------------------- */

/* P1 to P5: what makes a protection word valid for private memory. */
static bool valid_protect(ULONG word)
{
	ULONG low = word & 0xff;

	if (word & ~0x7ffu)
		return false;
	if (low != 1 && low != 2 && low != 4 && low != 0x10 && low != 0x20 && low != 0x40)
		return false;
	if (word & PAGE_GUARD && (low == PAGE_NOACCESS || word & (PAGE_NOCACHE | PAGE_WRITECOMBINE)))
		return false;
	if (word & PAGE_NOCACHE && (low == PAGE_NOACCESS || word & PAGE_WRITECOMBINE))
		return false;
	if (word & PAGE_WRITECOMBINE && low == PAGE_NOACCESS)
		return false;
	return true;
}

TEST(P1_to_P7_protection_words)
{
	static const ULONG types[] = { MEM_RESERVE, MEM_RESERVE | MEM_COMMIT };
	ULONG word;
	size_t t;
	int bad = 0, good = 0;

	/* Every word of the known bits; both ways of asking. */
	for (t = 0; t < ARRAY_SIZE(types); t++) {
		for (word = 0; word < 0x800; word++) {
			struct res r = do_alloc(ME, 0, 0, P, types[t], word);
			NTSTATUS want = valid_protect(word) ? STATUS_SUCCESS :
					STATUS_INVALID_PAGE_PROTECTION;

			if (r.status != want) {
				if (bad++ < 5)
					TH_LOG("type %#x protect %#x: want %s, got %s", types[t],
					       word, status_name(want), status_name(r.status));
				continue;
			}
			if (want != STATUS_SUCCESS)
				continue;
			good++;
			/* P7: the region remembers the whole word. */
			if (do_query(ME, r.base).mbi.AllocationProtect != word && bad++ < 5)
				TH_LOG("protect %#x: AllocationProtect %#x", word,
				       do_query(ME, r.base).mbi.AllocationProtect);
			if (release((void *)r.base) != STATUS_SUCCESS)
				bad++;
		}
	}
	EXPECT_EQ(0, bad);
	EXPECT_EQ(2 * (6 + 5 + 5 + 5), good);
	for (word = 0x800; word; word <<= 1) {
		if (word == 0x40000000)		/* only for executable protections */
			continue;
		EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION,
			      do_alloc(ME, 0, 0, P, MEM_RESERVE, PAGE_READWRITE | word).status);
	}
	EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION,
		      do_alloc(ME, 0, 0, P, MEM_RESERVE, 0x40000000 | PAGE_READWRITE).status);
	EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION,
		      do_alloc(ME, 0, 0, P, MEM_RESERVE, ~0u).status);
}

/* --- parameters and the order of their errors -------------------------------------- */

TEST(wrong_allocation_types)
{
	static const ULONG bad[] = {
		0, MEM_TOP_DOWN, MEM_PHYSICAL, MEM_WRITE_WATCH, MEM_LARGE_PAGES, ~0u,
		MEM_COMMIT | MEM_RESET, MEM_TOP_DOWN | MEM_RESET,
		MEM_RESERVE | MEM_COMMIT | MEM_RESET, MEM_RESERVE | 0x40000000,
		MEM_RESERVE | MEM_COMMIT | 0x40000000, MEM_RESERVE | MEM_LARGE_PAGES,
		MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES | MEM_WRITE_WATCH,
		MEM_COMMIT | MEM_WRITE_WATCH, MEM_PHYSICAL | MEM_COMMIT,
		MEM_PHYSICAL | MEM_RESERVE | MEM_COMMIT, MEM_RESERVE | 1, MEM_COMMIT | 0x8000,
	};
	LIBNT_INFO before = info_of(ME), after;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_RES(STATUS_INVALID_PARAMETER_5, 0, P,
			   do_alloc(ME, 0, 0, P, bad[i], PAGE_READWRITE));
		EXPECT_RES(STATUS_INVALID_PARAMETER_5, FIXED, P,
			   do_alloc(ME, FIXED, 0, P, bad[i], PAGE_READWRITE));
	}
	EXPECT_RES(STATUS_INVALID_PARAMETER, 0, G,
		   do_alloc(ME, 0, 0, G, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS));
	after = info_of(ME);
	EXPECT_EQ(before.Regions, after.Regions);
	EXPECT_EQ(before.ReservedBytes, after.ReservedBytes);
	EXPECT_FREE(FIXED);
}

TEST(wrong_addresses_and_sizes)
{
	uintptr_t max = info_of(ME).MaximumAddress;
	uintptr_t p = (uintptr_t)reserve(G);
	struct snap before, after;

	ASSERT_NE(0, p);
	before = snap_of(ME, p, p + G);
	EXPECT_RES(STATUS_INVALID_PARAMETER_2, KERNEL_ADDRESS + 0xc8, 0xc8,
		   do_alloc(ME, KERNEL_ADDRESS + 0xc8, 0, 0xc8, MEM_RESERVE | MEM_COMMIT,
			    PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_2, KERNEL_ADDRESS, P,
		   do_alloc(ME, KERNEL_ADDRESS, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_2, ~0ul, P,
		   do_alloc(ME, ~0ul, 0, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_2, (max | (P - 1)) + 1 + G, P,
		   do_alloc(ME, (max | (P - 1)) + 1 + G, 0, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, 0, ~0ul,
		   do_alloc(ME, 0, 0, ~0ul, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, 0, 0,
		   do_alloc(ME, 0, 0, 0, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, p, 0,
		   do_alloc(ME, p, 0, 0, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, FIXED, ~0ul,
		   do_alloc(ME, FIXED, 0, ~0ul, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, FIXED, 0ul - FIXED,
		   do_alloc(ME, FIXED, 0, 0ul - FIXED, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, FIXED, TOO_MUCH,
		   do_alloc(ME, FIXED, 0, TOO_MUCH, MEM_RESERVE, PAGE_READWRITE));
	after = snap_of(ME, p, p + G);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST(no_hole_is_no_memory)
{
	LIBNT_INFO info = info_of(ME);
	size_t size = info.MaximumAddress + 1 - info.MinimumAddress;

	/* Fits the address space, but the program itself is in the way. */
	size &= ~(G - 1);
	EXPECT_RES(STATUS_NO_MEMORY, 0, size,
		   do_alloc(ME, 0, 0, size, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_EQ(0, info_of(ME).Regions);
}

TEST(each_earlier_error_wins_over_each_later_one)
{
	enum {
		ZERO_BITS, TYPE, PLACEHOLDER, PROTECT, POINTER, BASE, LEN, HANDLE_, WRITECOPY,
		NO_SUPPORT, CONFLICT, N
	};
	const NTSTATUS want[N] = {
		[ZERO_BITS] = STATUS_INVALID_PARAMETER_3,
		[TYPE] = STATUS_INVALID_PARAMETER_5,
		[PLACEHOLDER] = STATUS_INVALID_PARAMETER,
		[PROTECT] = STATUS_INVALID_PAGE_PROTECTION,
		[POINTER] = STATUS_ACCESS_VIOLATION,
		[BASE] = STATUS_INVALID_PARAMETER_2,
		[LEN] = STATUS_INVALID_PARAMETER_4,
		[HANDLE_] = STATUS_INVALID_HANDLE,
		[WRITECOPY] = STATUS_INVALID_PAGE_PROTECTION,
		[NO_SUPPORT] = STATUS_NOT_SUPPORTED,
		[CONFLICT] = STATUS_CONFLICTING_ADDRESSES,
	};
	uintptr_t p = (uintptr_t)reserve(G);
	struct snap before, after;
	int pairs = 0;
	int i, j;

	ASSERT_NE(0, p);
	before = snap_of(ME, p - G, p + G);
	for (i = 0; i < N; i++) {
		for (j = i; j < N; j++) {
			unsigned int has = 1u << i | 1u << j;
			PVOID base = NULL;
			SIZE_T size = P;
			ULONG_PTR zero_bits = 0;
			ULONG type = MEM_RESERVE;
			ULONG prot = PAGE_READWRITE;
			HANDLE h = ME;
			NTSTATUS got;

#define HAS(x) (has & 1u << (x))
			/* Those that need the same argument cannot meet. */
			if ((HAS(PROTECT) && HAS(WRITECOPY)) || (HAS(BASE) && HAS(CONFLICT)) ||
			    (HAS(NO_SUPPORT) && (HAS(PROTECT) || HAS(WRITECOPY))))
				continue;
			if (HAS(ZERO_BITS))
				zero_bits = 22;
			if (HAS(TYPE))
				type |= 0x40000000;
			if (HAS(PLACEHOLDER))
				type |= MEM_RESERVE_PLACEHOLDER;
			if (HAS(PROTECT))
				prot = 0;
			if (HAS(BASE))
				base = (PVOID)KERNEL_ADDRESS;
			if (HAS(LEN))
				size = 0;
			if (HAS(HANDLE_))
				h = NULL;
			if (HAS(WRITECOPY))
				prot = PAGE_WRITECOPY;
			if (HAS(NO_SUPPORT))
				type |= MEM_PHYSICAL;
			if (HAS(CONFLICT))
				base = (PVOID)p;
			got = NtAllocateVirtualMemory(h, HAS(POINTER) && HAS(LEN) ? NULL : &base,
						      zero_bits,
						      HAS(POINTER) && !HAS(LEN) ? NULL : &size,
						      type, prot);
#undef HAS
			EXPECT_EQ(want[i], got) {
				TH_LOG("errors %d and %d: want %s, got %s", i, j,
				       status_name(want[i]), status_name(got));
			}
			pairs++;
		}
	}
	EXPECT_EQ(N * (N + 1) / 2 - 4, pairs);
	after = snap_of(ME, p - G, p + G);
	EXPECT_TRUE(snap_same(&before, &after));
}

/* --- where it may lie ------------------------------------------------------------- */

static bool no_room(NTSTATUS status)
{
	return status == STATUS_NO_MEMORY || status == STATUS_CONFLICTING_ADDRESSES;
}

TEST(Z1_zero_bits_do_not_move_a_given_base_but_are_checked)
{
	EXPECT_RES(STATUS_SUCCESS, FIXED, P,
		   do_alloc(ME, FIXED, 12, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_3, FIXED + G, P,
		   do_alloc(ME, FIXED + G, 24, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FREE(FIXED + G);
}

TEST(Z2_1_to_20_bound_the_address_below_4_gib)
{
	static const ULONG down[] = { 0, MEM_TOP_DOWN };
	unsigned int z, d;

	for (z = 1; z <= 20; z++) {
		for (d = 0; d < 2; d++) {
			uintptr_t limit = 1ul << (32 - z);
			struct res r = do_alloc(ME, 0, z, P, MEM_RESERVE | MEM_COMMIT | down[d],
						PAGE_READWRITE);

			/* Down to 1 MiB there is room below the program itself. */
			if (z <= 12)
				EXPECT_STATUS(STATUS_SUCCESS, r.status);
			if (r.status == STATUS_SUCCESS) {
				EXPECT_LE(r.base + r.size, limit);
				EXPECT_LE(G, r.base);
				EXPECT_EQ(0, r.base % G);
				EXPECT_WRITE(r.base, z);
				EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
			} else {
				EXPECT_TRUE(no_room(r.status)) {
					TH_LOG("zero bits %u: %s", z, status_name(r.status));
				}
				EXPECT_EQ(0, r.base);
				EXPECT_EQ(P, r.size);
			}
		}
	}
}

TEST(Z2_top_down_touches_the_limit)
{
	/* Nothing but this program's own text and heap lies below 2 GiB. */
	struct res high = do_alloc(ME, 0, 1, G, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE);
	struct res next = do_alloc(ME, 0, 1, 3 * G, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE);

	ASSERT_STATUS(STATUS_SUCCESS, high.status);
	ASSERT_STATUS(STATUS_SUCCESS, next.status);
	EXPECT_EQ(0x80000000 - G, high.base);
	EXPECT_EQ(high.base - 3 * G, next.base);
}

TEST(Z3_a_full_window_is_no_memory)
{
	struct res r;
	int n = 0;

	for (;;) {
		r = do_alloc(ME, 0, 12, G, MEM_RESERVE, PAGE_READWRITE);
		if (r.status != STATUS_SUCCESS)
			break;
		EXPECT_LE(r.base + G, 0x100000);
		ASSERT_GE(16, ++n);
	}
	EXPECT_LE(8, n);
	EXPECT_TRUE(no_room(r.status));
}

TEST(Z4_21_never_succeeds)
{
	EXPECT_RES(STATUS_INVALID_PARAMETER, 0, P,
		   do_alloc(ME, 0, 21, P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
}

TEST(Z5_22_to_31_are_invalid)
{
	unsigned int z;

	for (z = 22; z <= 31; z++)
		EXPECT_RES(STATUS_INVALID_PARAMETER_3, 0, P,
			   do_alloc(ME, 0, z, P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_EQ(0, info_of(ME).Regions);
}

/* Masks are for callers with 64-bit addresses (R-Z). */
#ifndef _LP64

TEST(Z5_masks_are_invalid_for_a_32_bit_caller)
{
	static const uint32_t masks[] = { 32, 33, 0xfffff, 0x1fffffff, 0x7fffffff, 0xffffffff };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		EXPECT_RES(STATUS_INVALID_PARAMETER_3, 0, P,
			   do_alloc(ME, 0, masks[i], P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
		EXPECT_RES(STATUS_INVALID_PARAMETER_3, FIXED, P,
			   do_alloc(ME, FIXED, masks[i], P, MEM_RESERVE, PAGE_READWRITE));
	}
	EXPECT_EQ(0, info_of(ME).Regions);
}

#else

TEST(Z6_above_31_a_mask_whose_top_bit_counts)
{
	static const struct {
		uint64_t mask;
		uint64_t limit;
	} t[] = {
		{ 0x1aaaaaaa, 0x20000000 }, { 0x1fffffff, 0x20000000 }, { 0x10000000, 0x20000000 },
		{ 0x7fffffff, 0x80000000 }, { 0xffffffff, 0x100000000 }, { 0xfffff, 0x100000 },
		{ 0x3ffffffffff, 0x40000000000 }, { 0x20000000000, 0x40000000000 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct res r = do_alloc(ME, 0, t[i].mask, 3 * G,
					MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE);

		EXPECT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_LE(r.base + r.size, t[i].limit);
		/* Top down: nothing of ours is near, so it touches the limit. */
		if (t[i].limit > 0x100000)
			EXPECT_EQ(t[i].limit - 3 * G, r.base);
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	}
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, 0, ~0ul, P, MEM_RESERVE, PAGE_READWRITE).status);
}

TEST(Z8_a_mask_with_a_given_base)
{
	EXPECT_RES(STATUS_SUCCESS, FIXED, 4 * G,
		   do_alloc(ME, FIXED, 0xffffffff, 4 * G, MEM_RESERVE, PAGE_EXECUTE_READWRITE));
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, FIXED, 4 * G,
		   do_alloc(ME, FIXED, 0xffffffff, 4 * G, MEM_RESERVE, PAGE_EXECUTE_READWRITE));
}

#endif

TEST(Z9_a_window_that_cannot_hold_the_size)
{
	struct res r = do_alloc(ME, 0, 12, 2 * MIB, MEM_RESERVE, PAGE_READWRITE);

	EXPECT_FALSE(NT_SUCCESS(r.status));
	EXPECT_TRUE(no_room(r.status) || r.status == STATUS_INVALID_PARAMETER ||
		    r.status == STATUS_INVALID_PARAMETER_3);
	r = do_alloc(ME, 0, 12, MIB, MEM_RESERVE, PAGE_READWRITE);
	EXPECT_TRUE(no_room(r.status));
	EXPECT_EQ(0, info_of(ME).Regions);
}

TEST(Z11_the_lowest_64_kib_are_never_handed_out)
{
	struct res r;

	EXPECT_LE(G, info_of(ME).MinimumAddress);
	r = do_alloc(ME, 1, 0, P, MEM_RESERVE, PAGE_READWRITE);
	EXPECT_FALSE(NT_SUCCESS(r.status));
	r = do_alloc(ME, 0xfff, 0, 2 * G, MEM_RESERVE, PAGE_READWRITE);
	EXPECT_FALSE(NT_SUCCESS(r.status));
	EXPECT_FREE(0);
	EXPECT_EQ(0, info_of(ME).Regions);
}

TEST_HARNESS_MAIN
