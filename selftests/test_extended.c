// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtAllocateVirtualMemoryEx: extended parameters (X1 to X20) and all that it
 * shares with the plain call. Placeholders are in test_placeholder.c, nodes that
 * there really are in test_numa.c.
 */
#include "ntvm_test.h"
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <kselftest_harness.h>

#define NTVM_REQUEST(r) .size = sizeof(r), .handle = NTVM_CURRENT_PROCESS

static MEM_EXTENDED_PARAMETER parameter(unsigned int type, uint64_t value)
{
	MEM_EXTENDED_PARAMETER p = { 0 };

	p.Type = type & 0xff;
	p.Reserved = type >> 8;
	p.ULong64 = value;
	return p;
}

static struct res placed(uintptr_t base, size_t size, ULONG type, uintptr_t lowest,
			 uintptr_t highest, size_t alignment)
{
	MEM_ADDRESS_REQUIREMENTS req = { (PVOID)lowest, (PVOID)highest, alignment };
	MEM_EXTENDED_PARAMETER p = parameter(MemExtendedParameterAddressRequirements,
					     (uintptr_t)&req);

	return do_alloc_ex(ME, base, size, type, PAGE_READWRITE, &p, 1);
}

FIXTURE(ex) {
	struct snap before;
	uintptr_t appmax;
};

FIXTURE_SETUP(ex)
{
	self->appmax = info_of(ME).MaximumAddress;
	self->before = snap_of(ME, FIXED, FIXED + 64 * G);
}

/* Every case ends as it began: what succeeded was released, the rest changed nothing. */
FIXTURE_TEARDOWN(ex)
{
	struct snap after = snap_of(ME, FIXED, FIXED + 64 * G);

	EXPECT_TRUE(snap_same(&self->before, &after));
}

#define EXPECT_REFUSED(want, want_base, want_size, call) do {		\
	struct snap __a = snap_of(ME, FIXED, FIXED + 64 * G), __b;	\
	EXPECT_RES(want, want_base, want_size, call);			\
	__b = snap_of(ME, FIXED, FIXED + 64 * G);			\
	EXPECT_TRUE(snap_same(&__a, &__b));				\
} while (0)

TEST_F(ex, without_parameters_it_is_the_plain_call)
{
	struct res r = do_alloc_ex(ME, 0, 0x1234, MEM_RESERVE | MEM_COMMIT,
				   PAGE_EXECUTE_READWRITE, NULL, 0);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_EQ(0x2000, r.size);
	EXPECT_EQ(0, r.base % G);
	EXPECT_QUERY(r.base, r.base, PAGE_EXECUTE_READWRITE, 2 * P, MEM_COMMIT,
		     PAGE_EXECUTE_READWRITE);
	put_code((void *)r.base, 42);
	EXPECT_EXEC((void *)r.base, 42);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));

	EXPECT_RES(STATUS_SUCCESS, FIXED, 0x3000,
		   do_alloc_ex(ME, FIXED + 0x1010, 0x1000, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
	EXPECT_RES(STATUS_SUCCESS, FIXED + P, 2 * P,
		   do_alloc_ex(ME, FIXED + P + 1, P, MEM_COMMIT, PAGE_READWRITE, NULL, 0));
	EXPECT_QUERY(FIXED, FIXED, PAGE_READWRITE, P, MEM_RESERVE, 0);
	EXPECT_QUERY(FIXED + P, FIXED, PAGE_READWRITE, 2 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_WRITE((void *)(FIXED + P), 7);
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, FIXED, G,
		       do_alloc_ex(ME, FIXED, G, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, FIXED + 2 * P, 2 * P,
		       do_alloc_ex(ME, FIXED + 2 * P, 2 * P, MEM_COMMIT, PAGE_READWRITE, NULL, 0));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	/* An array of no entries is not looked at. */
	r = do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, (void *)KERNEL_ADDRESS, 0);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	/* COMMIT without an address reserves too; the highest there is. */
	r = do_alloc_ex(ME, 0, P, MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE, NULL, 0);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_WRITE((void *)r.base, 7);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

TEST_F(ex, statuses_are_plain)
{
	static const struct {
		uintptr_t base;
		size_t size;
		ULONG type, protect;
		NTSTATUS status;
	} rows[] = {
		{ 0, P, 0, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ 0, P, ~0u, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ 0, P, 0x10, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ 0, P, MEM_TOP_DOWN, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ 0, P, MEM_WRITE_WATCH, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ 0, P, MEM_RESET | MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ 0, P, MEM_RESERVE | MEM_PHYSICAL, PAGE_READONLY, STATUS_INVALID_PARAMETER },
		{ 0, 0, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ FIXED, 0, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ FIXED, ~0ul, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ KERNEL_ADDRESS, P, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER },
		{ 0, P, MEM_RESERVE, 0, STATUS_INVALID_PAGE_PROTECTION },
		{ 0, P, MEM_RESERVE, PAGE_READWRITE | PAGE_READONLY, STATUS_INVALID_PAGE_PROTECTION },
		{ 0, P, MEM_RESERVE, PAGE_GUARD, STATUS_INVALID_PAGE_PROTECTION },
		{ 0, P, MEM_RESERVE, PAGE_WRITECOPY, STATUS_INVALID_PAGE_PROTECTION },
		{ FIXED, P, MEM_COMMIT, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES },
		{ P, P, MEM_RESERVE, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES },
		/* The type wins over the protection, and that over the rest. */
		{ KERNEL_ADDRESS, 0, 0x10, 0, STATUS_INVALID_PARAMETER },
		{ KERNEL_ADDRESS, 0, MEM_RESERVE, 0, STATUS_INVALID_PAGE_PROTECTION },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		EXPECT_REFUSED(rows[i].status, rows[i].base, rows[i].size,
			       do_alloc_ex(ME, rows[i].base, rows[i].size, rows[i].type,
					   rows[i].protect, NULL, 0));
}

TEST_F(ex, X1_handles)
{
	EXPECT_REFUSED(STATUS_INVALID_HANDLE, 0, P,
		       do_alloc_ex((HANDLE)0, 0, P, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
	EXPECT_REFUSED(STATUS_INVALID_HANDLE, 0, P,
		       do_alloc_ex((HANDLE)0xdeadbeef, 0, P, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
	EXPECT_REFUSED(STATUS_OBJECT_TYPE_MISMATCH, 0, P,
		       do_alloc_ex(LibntFdToHandle(0), 0, P, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
	/* Arguments win over the handle. */
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, 0,
		       do_alloc_ex((HANDLE)0, 0, 0, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
}

TEST_F(ex, bad_variables)
{
	PVOID base = NULL;
	SIZE_T size = P;

	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      NtAllocateVirtualMemoryEx(ME, NULL, &size, MEM_RESERVE, PAGE_READWRITE,
						NULL, 0));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      NtAllocateVirtualMemoryEx(ME, &base, NULL, MEM_RESERVE, PAGE_READWRITE,
						NULL, 0));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      NtAllocateVirtualMemoryEx(ME, (PVOID *)KERNEL_ADDRESS, &size, MEM_RESERVE,
						PAGE_READWRITE, NULL, 0));
	EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION,
		      NtAllocateVirtualMemoryEx(ME, NULL, NULL, MEM_RESERVE, 0, NULL, 0));
	EXPECT_EQ(NULL, base);
	EXPECT_EQ(P, size);
}

TEST_F(ex, X2_the_array)
{
	MEM_EXTENDED_PARAMETER *p = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MEM_EXTENDED_PARAMETER *end = (void *)((uintptr_t)p + P);
	struct res r;

	ASSERT_NE(MAP_FAILED, p);
	/* The page behind it is not mapped. */
	munmap(end, P);
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, NULL, 1));
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, NULL, ~0u));
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, (void *)8, 1));
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, (void *)KERNEL_ADDRESS, 1));
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, (void *)KERNEL_ADDRESS, ~0u));
	/* The last that fits, and one more. */
	end[-1] = parameter(MemExtendedParameterAttributeFlags, 0);
	r = do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, end - 1, 1);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, end - 1, 2));
	/* However many there are said to be, no more are read than there are types. */
	for (int i = 1; i <= MemExtendedParameterMax; i++)
		end[-i] = parameter(MemExtendedParameterAttributeFlags, 0);
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE,
				   end - MemExtendedParameterMax, ~0u));
	munmap(p, P);
}

TEST_F(ex, X3_types)
{
	MEM_EXTENDED_PARAMETER p;
	unsigned int type;

	for (type = 0; type < 0x200; type++) {
		if (type == MemExtendedParameterAddressRequirements ||
		    type == MemExtendedParameterNumaNode ||
		    type == MemExtendedParameterAttributeFlags)
			continue;
		p = parameter(type, 0);
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, P,
			       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, &p, 1));
	}
	p = parameter(MemExtendedParameterAttributeFlags, 0);
	p.Reserved = 1ull << 55;
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, &p, 1));
}

TEST_F(ex, X4_a_type_twice)
{
	MEM_ADDRESS_REQUIREMENTS req = { 0 };
	MEM_EXTENDED_PARAMETER p[3];
	struct res r;

	p[0] = p[1] = parameter(MemExtendedParameterAddressRequirements, (uintptr_t)&req);
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, p, 2));
	p[0] = p[2] = parameter(MemExtendedParameterAttributeFlags, 0);
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, p, 3));
	r = do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, p, 2);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

TEST_F(ex, X5_to_X7_requirements_and_an_address)
{
	static const struct {
		uintptr_t lowest, highest;
		size_t alignment;
	} some[] = {
		{ 0x10000, 0, 0 }, { 0, 0xfffffff, 0 }, { 0, 0, 0x10000 }, { 1, 1, 1 },
	};
	struct res r = placed(0, P, MEM_RESERVE | MEM_COMMIT, 0, 0, 0);
	size_t i;

	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	EXPECT_RES(STATUS_SUCCESS, FIXED, G, placed(FIXED, G, MEM_RESERVE, 0, 0, 0));
	EXPECT_RES(STATUS_SUCCESS, FIXED, P, placed(FIXED, P, MEM_COMMIT, 0, 0, 0));
	EXPECT_REFUSED(STATUS_CONFLICTING_ADDRESSES, FIXED, G,
		       placed(FIXED, G, MEM_RESERVE, 0, 0, 0));
	for (i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, FIXED + G, G,
			       placed(FIXED + G, G, MEM_RESERVE, some[i].lowest, some[i].highest,
				      some[i].alignment));
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, FIXED, P,
			       placed(FIXED, P, MEM_COMMIT, some[i].lowest, some[i].highest,
				      some[i].alignment));
	}
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
}

TEST_F(ex, X8_X9_X11_X12_X14_X15_requirements_that_are_refused)
{
	const struct {
		uintptr_t lowest, highest;
		size_t alignment;
	} rows[] = {
		{ 0, 0x20001001, 0 }, { 0, 0x20000ffe, 0 }, { 0, 0x200007ff, 0 },
		{ 0, 0x20001000, 0 }, { 0, 1, 0 },
		{ 0, self->appmax + P, 0 }, { 0, ~0ul, 0 }, { 0, KERNEL_ADDRESS + P - 1, 0 },
		{ 0x20001000, 0, 0 }, { 0x20000fff, 0, 0 }, { 0x20001001, 0, 0 }, { 1, 0, 0 },
		{ 0x30000000, 0x20000fff, 0 }, { 0x30000000, 0x20000000, 0 },
		{ 0x30000000, 0x2fffffff, 0 },
		{ self->appmax + 1, 0, 0 }, { KERNEL_ADDRESS, 0, 0 }, { ~0ul << 16, 0, 0 },
		{ 0, 0, 0x8000 }, { 0, 0, 0x30000 }, { 0, 0, 1 }, { 0, 0, P }, { 0, 0, ~0ul },
		{ 0, 0, 0x10001 }, { 0x20000000, 0x2fffffff, 3 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, G,
			       placed(0, G, MEM_RESERVE, rows[i].lowest, rows[i].highest,
				      rows[i].alignment));
}

TEST_F(ex, requirements_that_cannot_be_read)
{
	MEM_EXTENDED_PARAMETER p = parameter(MemExtendedParameterAddressRequirements, 0);
	uint8_t *page = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, page);
	munmap(page + P, P);
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, &p, 1));
	p.ULong64 = KERNEL_ADDRESS;
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, &p, 1));
	/* The last byte is missing. */
	p.Pointer = page + P - sizeof(MEM_ADDRESS_REQUIREMENTS) + 1;
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION, 0, P,
		       do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, &p, 1));
	munmap(page, P);
}

TEST_F(ex, X9_up_to_the_highest_address)
{
	struct res r = placed(0, G, MEM_RESERVE, 0, self->appmax, 0);

	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	/* And only there: above the mmap base, where nothing is chosen of itself. */
	r = placed(0, G, MEM_RESERVE, self->appmax + 1 - 0x10000000, self->appmax, 0);
	if (r.status == STATUS_SUCCESS) {
		EXPECT_LE(self->appmax + 1 - 0x10000000, r.base);
		EXPECT_LE(r.base + G, self->appmax + 1);
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	} else {
		EXPECT_STATUS(STATUS_NO_MEMORY, r.status);
	}
}

TEST_F(ex, X10_below_an_address)
{
	struct res r = placed(0, 0x40000, MEM_RESERVE | MEM_COMMIT, 0, 0x20000fff, 0);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_EQ(0, r.base % G);
	EXPECT_LE(r.base + 0x40000, 0x20001000);
	EXPECT_WRITE((void *)(r.base + 0x3ffff), 1);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

TEST_F(ex, X13_from_an_address)
{
	uintptr_t got[0x10];
	size_t i, j;
	struct res r = placed(0, G, MEM_RESERVE, 0x20000000, 0, 0);

	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_LE(0x20000000, r.base);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	/* A window is used up to the last granule, and then there is no more. */
	for (i = 0; i < 0x10; i++) {
		r = placed(0, G, MEM_RESERVE, 0x20000000, 0x20000000 + 0x10 * G - 1, 0);
		EXPECT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_LE(0x20000000, r.base);
		EXPECT_GT(0x20000000 + 0x10 * G, r.base);
		EXPECT_EQ(0, r.base % G);
		got[i] = r.base;
		for (j = 0; j < i; j++)
			EXPECT_NE(got[j], got[i]);
	}
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, P,
		       placed(0, P, MEM_RESERVE, 0x20000000, 0x20000000 + 0x10 * G - 1, 0));
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, P,
		       placed(0, P, MEM_RESERVE | MEM_TOP_DOWN, 0x20000000,
			      0x20000000 + 0x10 * G - 1, 0));
	for (i = 0; i < 0x10; i++)
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)got[i]));
}

TEST_F(ex, X16_alignment)
{
	size_t align;
	struct res r;

	for (align = G; align && align <= LARGE; align *= 2) {
		r = placed(0, P, MEM_RESERVE, 0, 0, align);
		EXPECT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_EQ(0, r.base % align);
		EXPECT_NE(0, r.base);
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
		r = placed(0, P, MEM_RESERVE | MEM_TOP_DOWN, 0, 0, align);
		EXPECT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_EQ(0, r.base % align);
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	}
}

TEST_F(ex, X16_alignment_finds_every_place_in_a_window)
{
	uintptr_t at = 0x40000000, got[4] = { 0 };
	size_t i;
	struct res r;

	/* Four places, the first byte of a slot in the way of none of them but one. */
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, at + 0x200000 + G, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	for (i = 0; i < 3; i++) {
		r = placed(0, 0x30000, MEM_RESERVE, at, at + 0x3fffff, 0x100000);
		EXPECT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_EQ(0, r.base % 0x100000);
		EXPECT_NE(at + 0x200000, r.base);
		got[i] = r.base;
	}
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, 0x30000,
		       placed(0, 0x30000, MEM_RESERVE, at, at + 0x3fffff, 0x100000));
	r = placed(0, G, MEM_RESERVE, at, at + 0x3fffff, 0x100000);
	EXPECT_RES(STATUS_SUCCESS, at + 0x200000, G, r);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)(at + 0x200000)));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)(at + 0x200000 + G)));
	for (i = 0; i < 3; i++)
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)got[i]));
}

TEST_F(ex, X17_well_formed_and_unsatisfiable)
{
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, 0x2000,
		       placed(0, 0x2000, MEM_RESERVE, 0, 0x20000fff, 0x20000000));
#ifdef _LP64
	/* The least that no address has, with four or five levels of page tables. */
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, P,
		       placed(0, P, MEM_RESERVE, 0, 0, 1ul << (64 - __builtin_clzl(self->appmax))));
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, P, placed(0, P, MEM_RESERVE, 0, 0, 1ul << 63));
#else
	/* The top bit itself is an address that a 32-bit program has. */
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, P,
		       placed(0, P, MEM_RESERVE, 0, TOP_BIT - 1, TOP_BIT));
#endif
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, GIB, placed(0, GIB, MEM_RESERVE, 0, 0x1fffffff, 0));
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, P, placed(0, P, MEM_RESERVE, 0, 0xffff, 0));
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, 2 * G,
		       placed(0, 2 * G, MEM_RESERVE, 0x20000000, 0x2001ffff - P, 0));
	EXPECT_REFUSED(STATUS_NO_MEMORY, 0, self->appmax,
		       placed(0, self->appmax, MEM_RESERVE, 0, 0, 0x100000));
}

TEST_F(ex, X18_X19_attributes)
{
	MEM_EXTENDED_PARAMETER p = parameter(MemExtendedParameterAttributeFlags, 0);
	struct res r = do_alloc_ex(ME, 0, G, MEM_RESERVE, PAGE_READWRITE, &p, 1);
	int bit;

	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	for (bit = 0; bit < 64; bit++) {
		p.ULong64 = 1ull << bit;
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, G,
			       do_alloc_ex(ME, 0, G, MEM_RESERVE, PAGE_READWRITE, &p, 1));
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, r.base, G,
			       do_alloc_ex(ME, r.base, G, MEM_COMMIT, PAGE_READWRITE, &p, 1));
	}
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

TEST_F(ex, X20_an_address_is_rounded_as_in_the_plain_call)
{
	EXPECT_RES(STATUS_SUCCESS, FIXED, 9 * P,
		   do_alloc_ex(ME, FIXED + 8 * P, 1, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
}

TEST_F(ex, a_node_that_is_there_and_one_that_is_not)
{
	MEM_EXTENDED_PARAMETER p = parameter(MemExtendedParameterNumaNode, 0);
	static const uint32_t bad[] = { 1023, 1024, 0x7fffffff, 0x80000000, 0xfffffffe };
	struct res r = do_alloc_ex(ME, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &p, 1);
	size_t i;

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_WRITE((void *)r.base, 3);
	/* For memory that exists already it is looked at, and has no effect. */
	EXPECT_RES(STATUS_SUCCESS, r.base, P,
		   do_alloc_ex(ME, r.base, P, MEM_COMMIT, PAGE_READWRITE, &p, 1));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		p.ULong64 = bad[i];
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, 0, G,
			       do_alloc_ex(ME, 0, G, MEM_RESERVE, PAGE_READWRITE, &p, 1));
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER, r.base, P,
			       do_alloc_ex(ME, r.base, P, MEM_COMMIT, PAGE_READWRITE, &p, 1));
	}
	EXPECT_READ((void *)r.base, 3);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	p.ULong64 = NUMA_NO_PREFERRED_NODE;
	r = do_alloc_ex(ME, 0, G, MEM_RESERVE, PAGE_READWRITE, &p, 1);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

/* From now on mbind(2) fails for this process. */
static bool forbid_mbind(int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mbind, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void undone(struct __test_metadata *_metadata, int err, NTSTATUS want)
{
	MEM_EXTENDED_PARAMETER p = parameter(MemExtendedParameterNumaNode, 0);
	struct res r;

	ASSERT_TRUE(forbid_mbind(err));
	EXPECT_REFUSED(want, 0, 0x1234,
		       do_alloc_ex(ME, 0, 0x1234, MEM_RESERVE, PAGE_READWRITE, &p, 1));
	EXPECT_REFUSED(want, FIXED + 0x1010, 5,
		       do_alloc_ex(ME, FIXED + 0x1010, 5, MEM_RESERVE | MEM_COMMIT,
				   PAGE_EXECUTE_READWRITE, &p, 1));
	EXPECT_REFUSED(want, 0, P, do_alloc_ex(ME, 0, P, MEM_COMMIT, PAGE_READWRITE, &p, 1));
	/* A placeholder is one again. */
	r = do_alloc_ex(ME, FIXED, G, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL, 0);
	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_REFUSED(want, FIXED, G,
		       do_alloc_ex(ME, FIXED, G, MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER,
				   PAGE_READWRITE, &p, 1));
	EXPECT_QUERY(FIXED, FIXED, PAGE_NOACCESS, G, MEM_RESERVE, 0);
	r = do_alloc_ex(ME, FIXED, G, MEM_RESERVE | MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE,
			NULL, 0);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
}

TEST_F(ex, a_node_that_the_kernel_refuses_undoes_it_all)
{
	undone(_metadata, EPERM, STATUS_ACCESS_DENIED);
}

TEST_F(ex, a_node_that_is_out_of_reach_undoes_it_all)
{
	undone(_metadata, EINVAL, STATUS_INVALID_PARAMETER);
}

TEST_F(ex, a_kernel_without_nodes_has_one)
{
	MEM_EXTENDED_PARAMETER p = parameter(MemExtendedParameterNumaNode, 0);
	struct res r;

	ASSERT_TRUE(forbid_mbind(ENOSYS));
	errno = 77;
	r = do_alloc_ex(ME, 0, P, MEM_RESERVE, PAGE_READWRITE, &p, 1);
	EXPECT_EQ(77, errno);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
}

static int sleeper(int sock, void *arg)
{
	uint64_t word;

	(void)arg;
	if (!send_fd(sock, own_device()) || !child_hear(sock, &word))
		return 1;
	return 0;
}

TEST_F(ex, another_process)
{
	MEM_ADDRESS_REQUIREMENTS req = { (PVOID)0x20000000, (PVOID)0x2fffffff, 0x100000 };
	MEM_EXTENDED_PARAMETER p = parameter(MemExtendedParameterAddressRequirements,
					     (uintptr_t)&req);
	MEM_EXTENDED_PARAMETER node = parameter(MemExtendedParameterNumaNode, 0);
	HANDLE h, query_only;
	struct child c;
	struct res r;

	ASSERT_TRUE(child_start(&c, sleeper, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	r = do_alloc_ex(h, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY, &p, 1);
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_LE(0x20000000, r.base);
	EXPECT_GT(0x30000000, r.base);
	EXPECT_EQ(0, r.base % 0x100000);
	EXPECT_QUERY_H(h, r.base, r.base, PAGE_READONLY, G, MEM_COMMIT, PAGE_READONLY);
	EXPECT_FREE(r.base);
	/* Nobody can give another process's memory a node. */
	EXPECT_RES(STATUS_NOT_SUPPORTED, 0, G,
		   do_alloc_ex(h, 0, G, MEM_RESERVE, PAGE_READWRITE, &node, 1));
	EXPECT_RES(STATUS_SUCCESS, r.base, P,
		   do_alloc_ex(h, r.base, P, MEM_COMMIT, PAGE_READWRITE, &node, 1));
	EXPECT_EQ(1, info_of(h).Regions);
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(h, NTVM_ACCESS_QUERY, &query_only));
	EXPECT_RES(STATUS_ACCESS_DENIED, 0, G,
		   do_alloc_ex(query_only, 0, G, MEM_RESERVE, PAGE_READWRITE, &p, 1));
	EXPECT_TRUE(child_tell(c.sock, 1));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_RES(STATUS_PROCESS_IS_TERMINATING, 0, G,
		   do_alloc_ex(h, 0, G, MEM_RESERVE, PAGE_READWRITE, &p, 1));
	NtClose(query_only);
	NtClose(h);
}

/* --- the request ---------------------------------------------------------------- */

TEST_F(ex, the_request_without_indirect_variables)
{
	struct ntvm_allocate_ex a = {
		NTVM_REQUEST(a), .base = FIXED + 0x1010, .len = P,
		.type = NTVM_ALLOC_RESERVE, .protect = NTVM_PAGE_READWRITE,
	};
	int fd = device_open(O_RDWR);

	ASSERT_EQ(0, raw(fd, NTVM_IOC_ALLOCATE_EX, &a));
	EXPECT_STATUS(STATUS_SUCCESS, a.status);
	EXPECT_EQ(FIXED, a.base);
	EXPECT_EQ(3 * P, a.len);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	a = (struct ntvm_allocate_ex){
		NTVM_REQUEST(a), .base = FIXED, .len = P, .old_ptr = (uintptr_t)&a,
		.type = NTVM_ALLOC_RESERVE, .protect = NTVM_PAGE_READWRITE,
	};
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_ALLOCATE_EX, &a));
	a.old_ptr = 0;
	a.reserved = 1;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_ALLOCATE_EX, &a));
	close(fd);
}

TEST_F(ex, the_request_tells_what_the_variables_held)
{
	_Alignas(8) uint64_t base = FIXED + 0x1010, len = 5, old[2] = { 1, 2 };
	struct ntvm_allocate_ex a = {
		NTVM_REQUEST(a), .flags = NTVM_F_INDIRECT, .base = (uintptr_t)&base,
		.len = (uintptr_t)&len, .old_ptr = (uintptr_t)old,
		.type = NTVM_ALLOC_RESERVE, .protect = NTVM_PAGE_READWRITE,
	};
	int fd = device_open(O_RDWR);

	ASSERT_EQ(0, raw(fd, NTVM_IOC_ALLOCATE_EX, &a));
	EXPECT_STATUS(STATUS_SUCCESS, a.status);
	EXPECT_EQ(FIXED, base);
	EXPECT_EQ(2 * P, len);
	EXPECT_EQ(FIXED + 0x1010, old[0]);
	EXPECT_EQ(5, old[1]);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	/* Where that cannot be written nothing is done. */
	a.old_ptr = KERNEL_ADDRESS;
	ASSERT_EQ(0, raw(fd, NTVM_IOC_ALLOCATE_EX, &a));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, a.status);
	EXPECT_FREE(FIXED);
	close(fd);
}

TEST_HARNESS_MAIN
