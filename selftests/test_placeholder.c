// SPDX-License-Identifier: GPL-2.0-only
/*
 * Placeholders (H1 to H24): reserving, splitting, replacing, restoring, joining
 * and releasing them, under both contracts, and that nobody else ever gets a
 * byte of them.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#define PAGES		16
#define SIZE		(PAGES * P)

#define PLACE		(MEM_RESERVE | MEM_RESERVE_PLACEHOLDER)
#define REPLACE		(MEM_RESERVE | MEM_REPLACE_PLACEHOLDER)
#define PRESERVE	(MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER)
#define COALESCE	(MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS)

static struct res ex(uintptr_t base, size_t size, ULONG type, ULONG new_protect)
{
	return do_alloc_ex(ME, base, size, type, new_protect, NULL, 0);
}

/* With a wish for node 0, which gives the memory an extent and a VMA of its own. */
static struct res ex_apart(uintptr_t base, size_t size, ULONG type, ULONG new_protect)
{
	MEM_EXTENDED_PARAMETER p = { 0 };

	p.Type = MemExtendedParameterNumaNode;
	p.ULong = 0;
	return do_alloc_ex(ME, base, size, type, new_protect, &p, 1);
}

static struct res split(uintptr_t base, size_t size)
{
	return do_free(ME, base, size, PRESERVE);
}

static struct res join(uintptr_t base, size_t size)
{
	return do_free(ME, base, size, COALESCE);
}

/* One placeholder from @at, of @size bytes. */
#define EXPECT_PLACE(at, size) do {					\
	EXPECT_QUERY(at, at, PAGE_NOACCESS, size, MEM_RESERVE, 0);	\
	EXPECT_QUERY((at) + (size) - P, at, PAGE_NOACCESS, P, MEM_RESERVE, 0); \
	EXPECT_NO_ACCESS(at);						\
	EXPECT_NO_ACCESS((at) + (size) - 1);				\
} while (0)

FIXTURE(ph) {
	uintptr_t p;		/* a placeholder of SIZE bytes */
	struct snap before;	/* without it */
};

FIXTURE_VARIANT(ph) {
	ULONG contract;
};

FIXTURE_VARIANT_ADD(ph, documented) {
	.contract = LIBNT_CONTRACT_DOCUMENTED,
};

FIXTURE_VARIANT_ADD(ph, windows) {
	.contract = LIBNT_CONTRACT_WINDOWS,
};

FIXTURE_SETUP(ph)
{
	struct res r;

	probe_init();
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, variant->contract));
	self->before = snap_of(ME, 0, 0);
	r = ex(0, SIZE, PLACE, PAGE_NOACCESS);
	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	ASSERT_EQ(SIZE, r.size);
	ASSERT_EQ(0, r.base % G);
	self->p = r.base;
}

/* Whatever pieces there are can be released, and that was all there was. */
FIXTURE_TEARDOWN(ph)
{
	uintptr_t at = self->p;
	struct snap after;
	struct query q;

	while (at < self->p + SIZE) {
		q = do_query(ME, at);
		if (q.mbi.State != MEM_FREE)
			EXPECT_STATUS(STATUS_SUCCESS, release((void *)at));
		q = do_query(ME, at);
		ASSERT_EQ(MEM_FREE, q.mbi.State);
		at += q.mbi.RegionSize;
	}
	after = snap_of(ME, 0, 0);
	EXPECT_TRUE(snap_same(&self->before, &after));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_EQ(0, vmas_in(self->p, self->p + SIZE));
}

#define EXPECT_REFUSED(want, want_base, want_size, call) do {		\
	struct snap __a = snap_of(ME, self->p, self->p + SIZE), __b;	\
	EXPECT_RES(want, want_base, want_size, call);			\
	__b = snap_of(ME, self->p, self->p + SIZE);			\
	EXPECT_TRUE(snap_same(&__a, &__b));				\
} while (0)

TEST_F(ph, H1_H2_H3_what_makes_one)
{
	static const ULONG protects[] = {
		PAGE_READWRITE, PAGE_READONLY, PAGE_EXECUTE, PAGE_EXECUTE_READWRITE,
		PAGE_WRITECOPY,
	};
	static const ULONG types[] = {
		MEM_RESERVE_PLACEHOLDER, MEM_COMMIT | MEM_RESERVE_PLACEHOLDER, PLACE | MEM_COMMIT,
		PLACE | MEM_WRITE_WATCH, PLACE | MEM_LARGE_PAGES, PLACE | MEM_LARGE_PAGES | MEM_COMMIT,
		PLACE | MEM_PHYSICAL, PLACE | MEM_REPLACE_PLACEHOLDER, PLACE | MEM_RESET,
	};
	size_t i;
	struct res r;

	EXPECT_PLACE(self->p, SIZE);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, SIZE,
		       do_alloc(ME, 0, 0, SIZE, PLACE, PAGE_NOACCESS));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, self->p, SIZE,
		       do_alloc(ME, self->p, 0, SIZE, REPLACE, PAGE_READWRITE));
	for (i = 0; i < sizeof(protects) / sizeof(protects[0]); i++)
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, SIZE,
			       ex(0, SIZE, PLACE, protects[i]));
	EXPECT_REFUSED(STATUS_INVALID_PAGE_PROTECTION, 0, SIZE, ex(0, SIZE, PLACE, 0));
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, SIZE, ex(0, SIZE, types[i], PAGE_NOACCESS));
	/* At an address, which is rounded as for any reservation; at the top. */
	EXPECT_RES(STATUS_SUCCESS, FIXED, 3 * P, ex(FIXED + P + 1, P, PLACE, PAGE_NOACCESS));
	EXPECT_PLACE(FIXED, 3 * P);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	r = ex(0, P, PLACE | MEM_TOP_DOWN, PAGE_NOACCESS);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

TEST_F(ph, H4_replaced_by_committed_memory)
{
	uintptr_t p = self->p;

	EXPECT_RES(STATUS_SUCCESS, p, SIZE, ex(p, SIZE, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_EQ(SIZE, info_of(ME).CommittedBytes);
	EXPECT_READ((void *)p, 0);
	EXPECT_WRITE((void *)(p + SIZE - 1), 0x5a);
	/* It is ordinary memory now. */
	EXPECT_STATUS(STATUS_SUCCESS, protect((void *)p, P, PAGE_READONLY));
	EXPECT_NO_WRITE((void *)p);
	EXPECT_STATUS(STATUS_SUCCESS, decommit((void *)p, P));
	EXPECT_QUERY(p, p, PAGE_READWRITE, P, MEM_RESERVE, 0);
	EXPECT_STATUS(STATUS_SUCCESS, commit((void *)p, P, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE,
		       do_alloc(ME, p, 0, SIZE, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_READ((void *)(p + SIZE - 1), 0x5a);
}

TEST_F(ph, H4_every_protection)
{
	static const struct {
		ULONG protect;
		bool read, write, exec;
	} rows[] = {
		{ PAGE_NOACCESS, false, false, false }, { PAGE_READONLY, true, false, false },
		{ PAGE_READWRITE, true, true, false }, { PAGE_EXECUTE, true, false, true },
		{ PAGE_EXECUTE_READ, true, false, true },
		{ PAGE_EXECUTE_READWRITE, true, true, true },
		{ PAGE_READWRITE | PAGE_NOCACHE, true, true, false },
	};
	uintptr_t p = self->p, q = p + 4 * P;
	size_t i;

	/* In an extent that it shares, and that has executable pages or not. */
	ASSERT_STATUS(STATUS_SUCCESS, split(q, 8 * P).status);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		EXPECT_RES(STATUS_SUCCESS, q, 8 * P,
			   ex(q, 8 * P, REPLACE | MEM_COMMIT, rows[i].protect));
		EXPECT_QUERY(q, q, rows[i].protect, 8 * P, MEM_COMMIT, rows[i].protect);
		if (rows[i].read)
			EXPECT_READ((void *)q, 0);
		else
			EXPECT_NO_READ((void *)q);
		if (rows[i].write)
			EXPECT_WRITE((void *)(q + 8 * P - 1), 0x77);
		else
			EXPECT_NO_WRITE((void *)(q + 8 * P - 1));
		if (rows[i].exec && rows[i].write) {
			put_code((void *)q, 99);
			EXPECT_EXEC((void *)q, 99);
		} else if (!rows[i].exec) {
			EXPECT_NO_EXEC((void *)q);
		}
		EXPECT_NO_ACCESS(p + 4 * P - 1);
		EXPECT_NO_ACCESS(q + 8 * P);
		EXPECT_RES(STATUS_SUCCESS, q, 8 * P, split(q, 8 * P));
		EXPECT_PLACE(q, 8 * P);
		EXPECT_NO_EXEC((void *)q);
	}
	EXPECT_REFUSED(STATUS_INVALID_PAGE_PROTECTION, q, 8 * P,
		       ex(q, 8 * P, REPLACE | MEM_COMMIT, PAGE_WRITECOPY));
	EXPECT_REFUSED(STATUS_INVALID_PAGE_PROTECTION, q, 8 * P,
		       ex(q, 8 * P, REPLACE, PAGE_EXECUTE_WRITECOPY));
	EXPECT_REFUSED(STATUS_INVALID_PAGE_PROTECTION, q, 8 * P, ex(q, 8 * P, REPLACE, 0));
	/* A guard page is one here too. */
	EXPECT_RES(STATUS_SUCCESS, q, 8 * P,
		   ex(q, 8 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_NO_READ((void *)q);
	EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&(PVOID){ NULL }));
	EXPECT_READ((void *)q, 0);
}

TEST_F(ph, H5_replaced_by_a_reservation)
{
	uintptr_t p = self->p;

	EXPECT_RES(STATUS_SUCCESS, p, SIZE, ex(p, SIZE, REPLACE, PAGE_READONLY));
	EXPECT_QUERY(p, p, PAGE_READONLY, SIZE, MEM_RESERVE, 0);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_NO_ACCESS(p);
	EXPECT_RES(STATUS_SUCCESS, p + P, 2 * P,
		   do_alloc(ME, p + P, 0, 2 * P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_WRITE((void *)(p + P), 1);
	EXPECT_NO_ACCESS(p);
	EXPECT_STATUS(STATUS_SUCCESS, ex(p, P, MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_WRITE((void *)p, 1);
}

TEST_F(ph, H7_what_does_not_replace)
{
	uintptr_t p = self->p;
	static const ULONG types[] = {
		MEM_REPLACE_PLACEHOLDER, MEM_COMMIT | MEM_REPLACE_PLACEHOLDER,
		REPLACE | MEM_LARGE_PAGES, REPLACE | MEM_COMMIT | MEM_LARGE_PAGES,
		REPLACE | MEM_PHYSICAL, REPLACE | MEM_RESET, MEM_REPLACE_PLACEHOLDER | MEM_WRITE_WATCH,
	};
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, p, SIZE,
			       ex(p, SIZE, types[i], PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, SIZE, ex(0, SIZE, REPLACE, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, p, 0, ex(p, 0, REPLACE, PAGE_READWRITE));
}

TEST_F(ph, H8_exactly_one)
{
	uintptr_t p = self->p;

	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, P, ex(p, P, REPLACE, PAGE_NOACCESS));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE - P,
		       ex(p, SIZE - P, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE + P,
		       ex(p, SIZE + P, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p + P, SIZE - P,
		       ex(p + P, SIZE - P, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	ASSERT_STATUS(STATUS_SUCCESS, split(p, 8 * P).status);
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE,
		       ex(p, SIZE, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p + P, SIZE - P,
		       ex(p + P, SIZE - P, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	/* Any byte of the first and of the last page will do. */
	EXPECT_RES(STATUS_SUCCESS, p + 8 * P, 8 * P,
		   ex(p + 8 * P + 5, 8 * P - 10, REPLACE, PAGE_READWRITE));
}

TEST_F(ph, H9_H10_what_else_a_placeholder_refuses)
{
	uintptr_t p = self->p;

	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE, ex(p, SIZE, PLACE, PAGE_NOACCESS));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, P, ex(p, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE,
		       do_alloc(ME, p, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE,
		       ex(p, SIZE, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, P,
		       do_alloc(ME, p, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, P,
		       do_alloc(ME, p, 0, P, MEM_COMMIT, PAGE_EXECUTE_READWRITE));
	/* Nothing is committed, so there is nothing to protect, and to decommit neither. */
	EXPECT_STATUS(STATUS_NOT_COMMITTED, protect((void *)p, P, PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, p, 2 * P, do_free(ME, p + 1, P, MEM_DECOMMIT));
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, p, 0, MEM_DECOMMIT).status);
	EXPECT_PLACE(p, SIZE);
}

TEST_F(ph, H11_back_to_a_placeholder)
{
	static const ULONG protects[] = { PAGE_READWRITE, PAGE_EXECUTE_READWRITE };
	uintptr_t p = self->p, at;
	size_t i;

	for (i = 0; i < 4; i++) {
		bool apart = i & 2;
		ULONG new_protect = protects[i & 1];

		EXPECT_RES(STATUS_SUCCESS, p, SIZE,
			   (apart ? ex_apart : ex)(p, SIZE, REPLACE | MEM_COMMIT, new_protect));
		for (at = p; at < p + SIZE; at += P) {
			EXPECT_READ((void *)at, 0);
			EXPECT_WRITE((void *)(at + 17), 0x5a);
		}
		EXPECT_RES(STATUS_SUCCESS, p, SIZE, split(p, SIZE));
		EXPECT_PLACE(p, SIZE);
		EXPECT_EQ(0, info_of(ME).CommittedBytes);
		/* Reserved again, then committed: what was there has not come back. */
		EXPECT_RES(STATUS_SUCCESS, p, SIZE, ex(p, SIZE, REPLACE, new_protect));
		EXPECT_STATUS(STATUS_SUCCESS, commit((void *)p, SIZE, PAGE_READWRITE));
		for (at = p; at < p + SIZE; at += P)
			EXPECT_READ((void *)(at + 17), 0);
		EXPECT_RES(STATUS_SUCCESS, p, SIZE, split(p, SIZE));
	}
	/* A replacement without committed pages goes back as well. */
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, ex(p, SIZE, REPLACE, PAGE_READWRITE));
	/* All of it or nothing. */
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, P, split(p, P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p + P, SIZE - P, split(p + P, SIZE - P));
	EXPECT_REFUSED(STATUS_UNABLE_TO_FREE_VM, p, SIZE + P, split(p, SIZE + P));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, split(p + 5, SIZE - 10));
	EXPECT_PLACE(p, SIZE);
}

TEST_F(ph, H11_a_placeholder_is_not_watched)
{
	uintptr_t p = self->p;

	EXPECT_RES(STATUS_SUCCESS, p, SIZE,
		   ex(p, SIZE, REPLACE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
	EXPECT_WRITE((void *)p, 1);
	EXPECT_STATUS(STATUS_SUCCESS, NtResetWriteWatch(ME, (PVOID)p, SIZE));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, split(p, SIZE));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, NtResetWriteWatch(ME, (PVOID)p, SIZE));
	/* Nor is what comes next, unless it asks for it. */
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, ex(p, SIZE, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, NtResetWriteWatch(ME, (PVOID)p, SIZE));
	EXPECT_WRITE((void *)p, 1);
}

TEST_F(ph, H12_ordinary_memory)
{
	struct res r = do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE, PAGE_READWRITE);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, FIXED, SIZE, split(FIXED, SIZE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, FIXED, P, split(FIXED, P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, FIXED, SIZE, join(FIXED, SIZE));
	/* H27 */
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, FIXED, SIZE,
		       ex(FIXED, SIZE, REPLACE, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, FIXED + SIZE, SIZE,
		       ex(FIXED + SIZE, SIZE, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	EXPECT_REFUSED(STATUS_MEMORY_NOT_ALLOCATED, FIXED, SIZE, split(FIXED, SIZE));
	EXPECT_REFUSED(STATUS_MEMORY_NOT_ALLOCATED, FIXED, SIZE, join(FIXED, SIZE));
	/* Somebody else's mapping is no placeholder either. */
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, (uintptr_t)&r & ~(P - 1), P,
		       ex((uintptr_t)&r & ~(P - 1), P, REPLACE, PAGE_READWRITE));
	/* A replacement is none any more. */
	ASSERT_STATUS(STATUS_SUCCESS, ex(self->p, SIZE, REPLACE, PAGE_READWRITE).status);
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, self->p, SIZE,
		       ex(self->p, SIZE, REPLACE, PAGE_READWRITE));
}

TEST_F(ph, H13_nothing_to_split)
{
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, self->p, SIZE, split(self->p, SIZE));
	EXPECT_REFUSED(STATUS_UNABLE_TO_FREE_VM, self->p, SIZE + 1, split(self->p, SIZE + 1));
	EXPECT_REFUSED(STATUS_UNABLE_TO_FREE_VM, self->p + P, SIZE, split(self->p + P, SIZE));
}

TEST_F(ph, H14_H15_split)
{
	uintptr_t p = self->p;

	/* The middle, the head, the tail; by pages. */
	EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 4 * P, split(p + 4 * P, 4 * P));
	EXPECT_PLACE(p, 4 * P);
	EXPECT_PLACE(p + 4 * P, 4 * P);
	EXPECT_PLACE(p + 8 * P, 8 * P);
	EXPECT_RES(STATUS_SUCCESS, p, P, split(p, P));
	EXPECT_PLACE(p, P);
	EXPECT_PLACE(p + P, 3 * P);
	EXPECT_RES(STATUS_SUCCESS, p + 15 * P, P, split(p + 16 * P - 1, 1));
	EXPECT_PLACE(p + 8 * P, 7 * P);
	EXPECT_PLACE(p + 15 * P, P);
	EXPECT_EQ(5, info_of(ME).Regions);
	EXPECT_EQ(SIZE, info_of(ME).ReservedBytes);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	/* Rounded outwards. */
	EXPECT_RES(STATUS_SUCCESS, p + 9 * P, 2 * P, split(p + 10 * P - 1, 2));
	EXPECT_PLACE(p + 8 * P, P);
	EXPECT_PLACE(p + 9 * P, 2 * P);
	EXPECT_PLACE(p + 11 * P, 4 * P);
	/* Across a border. */
	EXPECT_REFUSED(STATUS_UNABLE_TO_FREE_VM, p, 2 * P, split(p, 2 * P));
}

TEST_F(ph, H16_H17_sizes_and_types)
{
	uintptr_t p = self->p;

	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_3, p, 0, split(p, 0));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_3, p, 0, join(p, 0));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_4, p, SIZE,
		       do_free(ME, p, SIZE, MEM_COALESCE_PLACEHOLDERS));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_4, p, SIZE,
		       do_free(ME, p, SIZE, MEM_PRESERVE_PLACEHOLDER));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_4, p, SIZE,
		       do_free(ME, p, SIZE, PRESERVE | COALESCE));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_4, p, SIZE,
		       do_free(ME, p, SIZE, MEM_DECOMMIT | MEM_PRESERVE_PLACEHOLDER));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_2, KERNEL_ADDRESS, P, split(KERNEL_ADDRESS, P));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER_3, p, ~0ul, join(p, ~0ul));
	EXPECT_REFUSED(STATUS_INVALID_HANDLE, p, P, do_free((HANDLE)0, p, P, PRESERVE));
}

TEST_F(ph, H18_joined)
{
	uintptr_t p = self->p, at;

	ASSERT_STATUS(STATUS_SUCCESS, split(p + 4 * P, 4 * P).status);
	EXPECT_RES(STATUS_SUCCESS, p, 8 * P, join(p, 8 * P));
	EXPECT_PLACE(p, 8 * P);
	EXPECT_PLACE(p + 8 * P, 8 * P);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, join(p + 3, SIZE - 5));
	EXPECT_PLACE(p, SIZE);
	EXPECT_EQ(1, info_of(ME).Regions);
	/* Three at once; sixteen at once. */
	ASSERT_STATUS(STATUS_SUCCESS, split(p + 4 * P, 4 * P).status);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, join(p, SIZE));
	for (at = p; at < p + SIZE - P; at += P)
		ASSERT_STATUS(STATUS_SUCCESS, split(at, P).status);
	EXPECT_EQ(PAGES, info_of(ME).Regions);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, join(p, SIZE));
	EXPECT_PLACE(p, SIZE);
	EXPECT_EQ(1, vmas_in(p, p + SIZE));
	/* Nor is it seen that parts of it were executable. */
	ASSERT_STATUS(STATUS_SUCCESS, split(p + 4 * P, 4 * P).status);
	ASSERT_STATUS(STATUS_SUCCESS,
		      ex(p + 4 * P, 4 * P, REPLACE | MEM_COMMIT, PAGE_EXECUTE_READ).status);
	EXPECT_EQ(3, vmas_in(p, p + SIZE));
	ASSERT_STATUS(STATUS_SUCCESS, split(p + 4 * P, 4 * P).status);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, join(p, SIZE));
	EXPECT_EQ(1, vmas_in(p, p + SIZE));
	/* What was joined is one for all purposes. */
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, ex(p, SIZE, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_WRITE((void *)(p + SIZE - 1), 1);
}

TEST_F(ph, H18_joined_out_of_several_reservations)
{
	uintptr_t at = FIXED;

	ASSERT_STATUS(STATUS_SUCCESS, ex(at, G, PLACE, PAGE_NOACCESS).status);
	ASSERT_STATUS(STATUS_SUCCESS, ex(at + G, G, PLACE, PAGE_NOACCESS).status);
	ASSERT_STATUS(STATUS_SUCCESS, ex(at + 2 * G, G, PLACE, PAGE_NOACCESS).status);
	/* The middle one was memory once, and the last is in two pieces. */
	ASSERT_STATUS(STATUS_SUCCESS,
		      ex(at + G, G, REPLACE | MEM_COMMIT, PAGE_EXECUTE_READWRITE).status);
	EXPECT_WRITE((void *)(at + G), 0x5a);
	ASSERT_STATUS(STATUS_SUCCESS, split(at + G, G).status);
	ASSERT_STATUS(STATUS_SUCCESS, split(at + 2 * G, P).status);
	EXPECT_RES(STATUS_SUCCESS, at, 3 * G, join(at, 3 * G));
	EXPECT_PLACE(at, 3 * G);
	EXPECT_EQ(2, info_of(ME).Regions);
	EXPECT_RES(STATUS_SUCCESS, at, 3 * G, ex(at, 3 * G, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_READ((void *)(at + G), 0);
	EXPECT_WRITE((void *)(at + 3 * G - 1), 1);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)at));
	EXPECT_FREE(at);
}

TEST_F(ph, H19_H20_not_joined)
{
	uintptr_t p = self->p;

	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE, join(p, SIZE));
	ASSERT_STATUS(STATUS_SUCCESS, split(p, 4 * P).status);
	ASSERT_STATUS(STATUS_SUCCESS, split(p + 4 * P, 4 * P).status);
	/* 4, 4 and 8 pages now. */
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, 4 * P, join(p, 4 * P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, 9 * P, join(p, 9 * P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, 7 * P, join(p, 7 * P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p + P, 7 * P, join(p + P, 7 * P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE + P, join(p, SIZE + P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, 1000 * SIZE, join(p, 1000 * SIZE));
	/* One is replaced. */
	ASSERT_STATUS(STATUS_SUCCESS, ex(p + 4 * P, 4 * P, REPLACE, PAGE_READWRITE).status);
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, 8 * P, join(p, 8 * P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p + 4 * P, 12 * P, join(p + 4 * P, 12 * P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE, join(p, SIZE));
	/* One is released. */
	ASSERT_STATUS(STATUS_SUCCESS, release((void *)(p + 4 * P)));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, 8 * P, join(p, 8 * P));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, SIZE, join(p, SIZE));
	EXPECT_REFUSED(STATUS_MEMORY_NOT_ALLOCATED, p + 4 * P, 12 * P, join(p + 4 * P, 12 * P));
}

TEST_F(ph, H21_to_H24_releases)
{
	uintptr_t p = self->p;

	ASSERT_STATUS(STATUS_SUCCESS, split(p, 4 * P).status);
	ASSERT_STATUS(STATUS_SUCCESS, split(p + 4 * P, 4 * P).status);
	if (variant->contract == LIBNT_CONTRACT_WINDOWS) {
		EXPECT_REFUSED(STATUS_UNABLE_TO_FREE_VM, p, 8 * P,
			       do_free(ME, p, 8 * P, MEM_RELEASE));
		EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 4 * P,
			   do_free(ME, p + 4 * P, 4 * P, MEM_RELEASE));
	} else {
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER_3, p, 8 * P,
			       do_free(ME, p, 8 * P, MEM_RELEASE));
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER_3, p + 4 * P, 4 * P,
			       do_free(ME, p + 4 * P, 4 * P, MEM_RELEASE));
		EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 4 * P, do_free(ME, p + 4 * P, 0, MEM_RELEASE));
	}
	EXPECT_FREE(p + 4 * P);
	EXPECT_EQ(2, info_of(ME).Regions);
	EXPECT_PLACE(p, 4 * P);
	EXPECT_PLACE(p + 8 * P, 8 * P);
	EXPECT_REFUSED(STATUS_MEMORY_NOT_ALLOCATED, p + 4 * P, 0,
		       do_free(ME, p + 4 * P, 0, MEM_RELEASE));
	EXPECT_REFUSED(STATUS_MEMORY_NOT_ALLOCATED, p + 5 * P, 0,
		       do_free(ME, p + 5 * P, 0, MEM_RELEASE));
	EXPECT_REFUSED(STATUS_MEMORY_NOT_ALLOCATED, p + 5 * P, P, split(p + 5 * P, P));
	/* H23: a replacement that is released is free, no placeholder. */
	ASSERT_STATUS(STATUS_SUCCESS, ex(p, 4 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_WRITE((void *)p, 1);
	EXPECT_RES(STATUS_SUCCESS, p, 4 * P, do_free(ME, p, 0, MEM_RELEASE));
	EXPECT_FREE(p);
	EXPECT_NO_ACCESS(p);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	/* Released placeholders are free for everybody. */
	EXPECT_RES(STATUS_SUCCESS, p, 8 * P,
		   do_alloc(ME, p, 0, 8 * P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_READ((void *)p, 0);
}

/* What remains on either side of a piece that is released is a placeholder still. */
TEST_F(ph, H22_the_middle_is_released)
{
	uintptr_t p = self->p;

	if (variant->contract != LIBNT_CONTRACT_WINDOWS)
		return;		/* there a region is released all at once */
	EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 4 * P, do_free(ME, p + 4 * P, 4 * P, MEM_RELEASE));
	EXPECT_PLACE(p, 4 * P);
	EXPECT_FREE(p + 4 * P);
	EXPECT_PLACE(p + 8 * P, 8 * P);
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p, P,
		       do_alloc(ME, p, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, p + 8 * P, P,
		       do_alloc(ME, p + 8 * P, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, p, 4 * P, ex(p, 4 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, p + 8 * P, 8 * P,
		   ex(p + 8 * P, 8 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_WRITE((void *)(p + 15 * P), 1);
}

TEST_F(ph, pieces_have_contents_of_their_own)
{
	uintptr_t p = self->p, at;

	for (at = p; at < p + SIZE - P; at += P)
		ASSERT_STATUS(STATUS_SUCCESS, split(at, P).status);
	for (at = p; at < p + SIZE; at += P) {
		ULONG new_protect = (at / P) & 1 ? PAGE_READWRITE : PAGE_EXECUTE_READWRITE;

		ASSERT_STATUS(STATUS_SUCCESS,
			      ((at / P) & 2 ? ex_apart : ex)(at, P, REPLACE | MEM_COMMIT,
							     new_protect).status);
		EXPECT_WRITE((void *)at, (at / P) & 0xff);
	}
	for (at = p; at < p + SIZE; at += 2 * P) {
		EXPECT_STATUS(STATUS_SUCCESS, split(at, P).status);
		EXPECT_PLACE(at, P);
		EXPECT_READ((void *)(at + P), ((at + P) / P) & 0xff);
	}
	EXPECT_EQ(SIZE / 2, info_of(ME).CommittedBytes);
	for (at = p + P; at < p + SIZE; at += 2 * P)
		EXPECT_STATUS(STATUS_SUCCESS, split(at, P).status);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, join(p, SIZE));
	EXPECT_PLACE(p, SIZE);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, ex(p, SIZE, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	for (at = p; at < p + SIZE; at += P)
		EXPECT_READ((void *)at, 0);
}

TEST_F(ph, a_replacement_in_parts_is_still_one)
{
	uintptr_t p = self->p;

	/* Releases of parts belong to this contract. */
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	ASSERT_STATUS(STATUS_SUCCESS, ex(p, SIZE, REPLACE | MEM_COMMIT, PAGE_READWRITE).status);
	ASSERT_STATUS(STATUS_SUCCESS, do_free(ME, p + 4 * P, 4 * P, MEM_RELEASE).status);
	EXPECT_RES(STATUS_SUCCESS, p + 8 * P, 8 * P, split(p + 8 * P, 8 * P));
	EXPECT_PLACE(p + 8 * P, 8 * P);
	EXPECT_QUERY(p, p, PAGE_READWRITE, 4 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_RES(STATUS_SUCCESS, p, 4 * P, split(p, 4 * P));
	EXPECT_PLACE(p, 4 * P);
	/* Placeholders in parts likewise; they are not adjacent. */
	EXPECT_RES(STATUS_SUCCESS, p + P, P, do_free(ME, p + P, P, MEM_RELEASE));
	EXPECT_PLACE(p, P);
	EXPECT_PLACE(p + 2 * P, 2 * P);
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p, 4 * P, join(p, 4 * P));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, variant->contract));
}

TEST_F(ph, what_an_outsider_unmaps_is_free)
{
	uintptr_t p = self->p;

	ASSERT_STATUS(STATUS_SUCCESS, split(p, 4 * P).status);
	ASSERT_STATUS(STATUS_SUCCESS, ex(p, 4 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE).status);
	ASSERT_EQ(0, munmap((void *)p, SIZE));
	EXPECT_FREE(p);
	EXPECT_FREE(p + 4 * P);
	EXPECT_RES(STATUS_MEMORY_NOT_ALLOCATED, p, 4 * P, split(p, 4 * P));
	EXPECT_RES(STATUS_INVALID_PARAMETER, p + 4 * P, 12 * P,
		   ex(p + 4 * P, 12 * P, REPLACE, PAGE_READWRITE));
}

static int owner(int sock, void *arg)
{
	struct res r = ex(0, SIZE, PLACE, PAGE_NOACCESS);
	uint64_t word;

	(void)arg;
	if (r.status != STATUS_SUCCESS || !child_tell(sock, r.base) ||
	    !send_fd(sock, own_device()) || !child_hear(sock, &word))
		return 1;
	/* The first half is memory by now. */
	if (probe_read((void *)r.base).value || probe_read((void *)r.base).signo ||
	    probe_write((void *)r.base, 1).signo ||
	    probe_read((void *)(r.base + 8 * P)).signo != SIGSEGV)
		return 2;
	if (!child_tell(sock, 1) || !child_hear(sock, &word))
		return 3;
	return probe_read((void *)r.base).signo == SIGSEGV ? 0 : 4;
}

TEST_F(ph, another_process)
{
	struct child c;
	uint64_t p;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, owner, NULL));
	ASSERT_TRUE(child_hear(c.sock, &p));
	h = LibntFdToHandle(recv_fd(c.sock));
	EXPECT_RES(STATUS_SUCCESS, p, 8 * P, do_free(h, p, 8 * P, PRESERVE));
	EXPECT_QUERY_H(h, p, p, PAGE_NOACCESS, 8 * P, MEM_RESERVE, 0);
	EXPECT_RES(STATUS_SUCCESS, p, 8 * P,
		   do_alloc_ex(h, p, 8 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE, NULL, 0));
	EXPECT_TRUE(child_tell(c.sock, 1));
	EXPECT_TRUE(child_hear(c.sock, &p));
	p = (uintptr_t)do_query(h, 0).mbi.RegionSize;
	EXPECT_EQ(8 * P, info_of(h).CommittedBytes);
	while (do_query(h, p).mbi.State != MEM_COMMIT || !do_query(h, p).mbi.AllocationBase ||
	       do_query(h, p).mbi.RegionSize != 8 * P)
		p += do_query(h, p).mbi.RegionSize;
	EXPECT_RES(STATUS_SUCCESS, p, 8 * P, do_free(h, p, 8 * P, PRESERVE));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(h, p, SIZE, COALESCE));
	EXPECT_QUERY_H(h, p, p, PAGE_NOACCESS, SIZE, MEM_RESERVE, 0);
	EXPECT_EQ(0, info_of(h).CommittedBytes);
	EXPECT_TRUE(child_tell(c.sock, 1));
	EXPECT_EQ(0, child_wait(&c));
	NtClose(h);
}

/* More than a guest can promise, memory and a commit limit of half of it. */
#ifdef _LP64
#define TOO_BIG		(16 * TIB)
#else
#define TOO_BIG		(2 * GIB)
#endif

TEST(what_a_limit_refuses_stays_a_placeholder)
{
	struct res r = ex(0, TOO_BIG, PLACE, PAGE_NOACCESS);
	struct snap a, b;

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	a = snap_of(ME, r.base, r.base + G);
	/* More than there can be, unless the system promises everything. */
	if (read_number("/proc/sys/vm/overcommit_memory") != 1) {
		EXPECT_RES(STATUS_COMMITMENT_LIMIT, r.base, TOO_BIG,
			   ex(r.base, TOO_BIG, REPLACE | MEM_COMMIT, PAGE_READWRITE));
		EXPECT_RES(STATUS_COMMITMENT_LIMIT, r.base, TOO_BIG,
			   ex_apart(r.base, TOO_BIG, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	}
	b = snap_of(ME, r.base, r.base + G);
	EXPECT_TRUE(snap_same(&a, &b));
	EXPECT_QUERY(r.base, r.base, PAGE_NOACCESS, TOO_BIG, MEM_RESERVE, 0);
	EXPECT_RES(STATUS_SUCCESS, r.base, TOO_BIG, ex(r.base, TOO_BIG, REPLACE, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

TEST(what_lacks_a_vma_stays_a_placeholder)
{
	const char *file = "/proc/sys/vm/max_map_count";
	int64_t limit = read_number(file);
	struct res r = ex(0, 64 * P, PLACE, PAGE_NOACCESS), refused = { 0 };
	struct snap a, b;
	char text[32];
	int i;

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	ASSERT_LT(0, limit);
	for (i = 0; i < 63; i++)
		ASSERT_STATUS(STATUS_SUCCESS, split(r.base + i * P, P).status);
	snprintf(text, sizeof(text), "%d", vmas_in(0, ~0ul) + 20);
	ASSERT_EQ(0, write_file(file, text) < 0);
	/* Every second one, so that each splits what is left. */
	for (i = 1; i < 64; i += 2) {
		a = snap_of(ME, r.base, r.base + 64 * P);
		refused = ex_apart(r.base + i * P, P, REPLACE | MEM_COMMIT, PAGE_READWRITE);
		if (refused.status)
			break;
		*(uint8_t *)(r.base + i * P) = i;
	}
	b = snap_of(ME, r.base, r.base + 64 * P);
	snprintf(text, sizeof(text), "%ld", (long)limit);
	ASSERT_EQ(0, write_file(file, text) < 0);

	ASSERT_LT(3, i);
	ASSERT_GT(64, i);
	EXPECT_STATUS(STATUS_INSUFFICIENT_RESOURCES, refused.status);
	EXPECT_EQ(r.base + i * P, refused.base);
	EXPECT_TRUE(snap_same(&a, &b));
	EXPECT_PLACE(r.base + i * P, P);
	EXPECT_PLACE(r.base + (i + 1) * P, P);
	EXPECT_READ((void *)(r.base + (i - 2) * P), i - 2);
	EXPECT_RES(STATUS_SUCCESS, r.base + i * P, P,
		   ex_apart(r.base + i * P, P, REPLACE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_READ((void *)(r.base + i * P), 0);
	for (i = 0; i < 64; i++)
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)(r.base + i * P)));
	EXPECT_EQ(0, info_of(ME).Regions);
}

/* --- nobody else gets a byte ------------------------------------------------------- */

#define ARENA_PAGES	64
#define ARENA		(ARENA_PAGES * P)
#define ATTEMPTS	12000

static struct {
	uintptr_t p;
	bool stop;
	unsigned long attempts[3];	/* by kind of thief */
	unsigned long obtained;
	unsigned long other;		/* errors that are not the expected one */
	unsigned long rounds;
	unsigned long failures;		/* of the owner's calls */
	unsigned long dirty;		/* pages that were not zero */
} race;

static unsigned int rnd(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* The owner shall get its turn too: the locks favour whoever asks most. */
static void breathe(unsigned long attempts)
{
	if (attempts % 8 == 0)
		usleep(200);
}

/* One or more pages somewhere in the arena. */
static uintptr_t somewhere(unsigned int *seed, size_t *len)
{
	unsigned int first = rnd(seed) % ARENA_PAGES;

	*len = (1 + rnd(seed) % (ARENA_PAGES - first)) * P;
	return race.p + first * P;
}

static void *steal_nt(void *arg)
{
	unsigned int seed = 1, kind = 0;
	size_t len;

	(void)arg;
	while (!__atomic_load_n(&race.stop, __ATOMIC_RELAXED)) {
		uintptr_t at = somewhere(&seed, &len);
		struct res r;

		if (kind++ & 1)
			r = ex(at, len, PLACE, PAGE_NOACCESS);
		else
			r = do_alloc(ME, at, 0, len, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
		if (NT_SUCCESS(r.status))
			race.obtained++;
		else if (r.status != STATUS_CONFLICTING_ADDRESSES)
			__atomic_fetch_add(&race.other, 1, __ATOMIC_RELAXED);
		breathe(++race.attempts[0]);
	}
	return NULL;
}

static void *steal_mmap(void *arg)
{
	unsigned int seed = 2;
	size_t len;

	(void)arg;
	while (!__atomic_load_n(&race.stop, __ATOMIC_RELAXED)) {
		uintptr_t at = somewhere(&seed, &len);

		if (mmap((void *)at, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED)
			__atomic_fetch_add(&race.obtained, 1, __ATOMIC_RELAXED);
		else if (errno != EEXIST)
			__atomic_fetch_add(&race.other, 1, __ATOMIC_RELAXED);
		breathe(++race.attempts[1]);
	}
	return NULL;
}

/* The kernel's own choice, with the arena as the hint. */
static void *steal_hint(void *arg)
{
	unsigned int seed = 3;
	size_t len;

	(void)arg;
	while (!__atomic_load_n(&race.stop, __ATOMIC_RELAXED)) {
		uintptr_t at = somewhere(&seed, &len);
		uintptr_t got = (uintptr_t)mmap((void *)at, len, PROT_READ,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (got == (uintptr_t)MAP_FAILED)
			__atomic_fetch_add(&race.other, 1, __ATOMIC_RELAXED);
		else if (got < race.p + ARENA && got + len > race.p)
			__atomic_fetch_add(&race.obtained, 1, __ATOMIC_RELAXED);
		else
			munmap((void *)got, len);
		breathe(++race.attempts[2]);
	}
	return NULL;
}

/* Split into three, replace each in one way or another, use it, restore it, join. */
static void own(unsigned int *seed)
{
	static const ULONG protects[] = {
		PAGE_READWRITE, PAGE_EXECUTE_READWRITE, PAGE_READWRITE | PAGE_NOCACHE,
	};
	uintptr_t piece[4];
	int i;

	piece[0] = race.p;
	piece[1] = race.p + (1 + rnd(seed) % 31) * P;
	piece[2] = race.p + (33 + rnd(seed) % 31) * P;
	piece[3] = race.p + ARENA;
	if (split(piece[1], piece[2] - piece[1]).status)
		race.failures++;
	for (i = 0; i < 3; i++) {
		size_t len = piece[i + 1] - piece[i];
		volatile uint8_t *page = (uint8_t *)piece[i];
		unsigned int how = rnd(seed);
		struct res r;

		r = (how & 1 ? ex : ex_apart)(piece[i], len, REPLACE | MEM_COMMIT,
					      protects[(how >> 1) % 3]);
		if (r.status) {
			race.failures++;
			continue;
		}
		if (page[0] || page[len - 1])
			race.dirty++;
		page[0] = 1;
		page[len - 1] = 1;
	}
	for (i = 0; i < 3; i++)
		if (split(piece[i], piece[i + 1] - piece[i]).status)
			race.failures++;
	if (join(race.p, ARENA).status)
		race.failures++;
	race.rounds++;
}

TEST(nobody_else_ever_gets_the_range)
{
	void *(*const thieves[])(void *) = { steal_nt, steal_mmap, steal_hint };
	int64_t charged = meminfo("Committed_AS"), charged_after;
	struct snap before = snap_of(ME, 0, 0), after;
	double until = now() + 12;
	unsigned int seed = 42;
	pthread_attr_t attr;
	pthread_t t[3];
	struct res r;
	int i;

	memset(&race, 0, sizeof(race));
	r = ex(0, ARENA, PLACE, PAGE_NOACCESS);
	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	race.p = r.base;
	/* Stacks that are kept for the next thread are charged too. */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * KIB);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&t[i], &attr, thieves[i], NULL));
	while ((race.attempts[0] < ATTEMPTS || race.attempts[1] < ATTEMPTS ||
		race.attempts[2] < ATTEMPTS || race.rounds < 500) && now() < until)
		own(&seed);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	printf("# %lu rounds; attempts %lu NtAllocateVirtualMemory, %lu mmap fixed, %lu mmap hint; "
	       "%lu obtained\n", race.rounds, race.attempts[0], race.attempts[1],
	       race.attempts[2], race.obtained);
	EXPECT_EQ(0, race.obtained);
	EXPECT_EQ(0, race.other);
	EXPECT_EQ(0, race.failures);
	EXPECT_EQ(0, race.dirty);
	/* A debug kernel in an emulator on a busy host gets this far. */
	EXPECT_LT(200, race.attempts[0]);
	EXPECT_LT(200, race.attempts[1]);
	EXPECT_LT(3, race.rounds);
	EXPECT_QUERY(race.p, race.p, PAGE_NOACCESS, ARENA, MEM_RESERVE, 0);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)race.p));
	after = snap_of(ME, 0, 0);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	charged_after = meminfo("Committed_AS");
	EXPECT_TRUE(wait_until(5, near(charged, charged_after = meminfo("Committed_AS"), MIB))) {
		TH_LOG("Committed_AS %lld -> %lld", (long long)charged, (long long)charged_after);
	}
}

/* Pieces by the thousand and back: nothing is left behind. */
TEST(many_pieces)
{
	size_t n = 4000, i;
	int64_t objects;
	struct res r;

	release(reserve(P));
	objects = slab_objects();
	r = ex(0, n * P, PLACE, PAGE_NOACCESS);
	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	for (i = 1; i < n; i++)
		ASSERT_STATUS(STATUS_SUCCESS, split(r.base + (i - 1) * P, P).status);
	EXPECT_EQ(n, info_of(ME).Regions);
	EXPECT_EQ(1, vmas_in(r.base, r.base + n * P));
	for (i = 0; i < n; i += 2)
		ASSERT_STATUS(STATUS_SUCCESS,
			      ex(r.base + i * P, P, REPLACE | MEM_COMMIT, PAGE_READWRITE).status);
	/* All of them in one VMA: they need none of their own. */
	EXPECT_EQ(1, vmas_in(r.base, r.base + n * P));
	EXPECT_EQ(n / 2 * P, info_of(ME).CommittedBytes);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, join(r.base, n * P).status);
	for (i = 0; i < n; i += 2)
		ASSERT_STATUS(STATUS_SUCCESS, split(r.base + i * P, P).status);
	EXPECT_RES(STATUS_SUCCESS, r.base, n * P, join(r.base, n * P));
	EXPECT_EQ(1, info_of(ME).Regions);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	if (objects >= 0)
		EXPECT_TRUE(wait_until(10, slab_objects() <= objects + 64));
}

TEST_HARNESS_MAIN
