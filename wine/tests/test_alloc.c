// SPDX-License-Identifier: GPL-2.0-only
/* Reserve, commit, decommit and release; where allocations go; what is refused. */
#include "test.h"

#include <stdlib.h>

static void life_of_a_page(void)
{
	char *base = reserve(16 * PAGE);

	NEED(base);
	EQUAL(num(base) % SLOT, 0);
	BLOCK(base, 16 * PAGE, MEM_RESERVE, 0);
	STATUS(load(base), STATUS_ACCESS_VIOLATION);

	EQUAL(num(commit(base + PAGE, 2 * PAGE)), num(base + PAGE));
	BLOCK(base, PAGE, MEM_RESERVE, 0);
	BLOCK(base + PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + 3 * PAGE, 13 * PAGE, MEM_RESERVE, 0);
	CHECK(filled(base + PAGE, 0, 2 * PAGE));
	memset(base + PAGE, 0x5A, 2 * PAGE);
	CHECK(filled(base + PAGE, 0x5A, 2 * PAGE));

	CHECK(VirtualFree(base + 2 * PAGE, PAGE, MEM_DECOMMIT));
	STATUS(load(base + 2 * PAGE), STATUS_ACCESS_VIOLATION);
	CHECK(filled(base + PAGE, 0x5A, PAGE));
	NEED(commit(base + 2 * PAGE, PAGE));
	CHECK(filled(base + 2 * PAGE, 0, PAGE));

	RELEASE(base);
	STATUS(load(base + PAGE), STATUS_ACCESS_VIOLATION);
	CHECK(!VirtualFree(base, 0, MEM_RELEASE));
}

static void sizes_and_addresses_are_rounded(void)
{
	PVOID base = NULL, at;
	SIZE_T size = 0x12345;
	char *start;

	STATUS(NtAllocateVirtualMemory(SELF, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE), 0);
	EQUAL(size, 0x13000);
	EQUAL(num(base) % SLOT, 0);
	start = base;

	at = start + 0x1FFF;
	size = 2;
	STATUS(NtAllocateVirtualMemory(SELF, &at, 0, &size, MEM_COMMIT, PAGE_READWRITE), 0);
	EQUAL(num(at), num(start + 0x1000));
	EQUAL(size, 0x2000);

	at = start + 0x2FFF;
	size = 1;
	STATUS(NtFreeVirtualMemory(SELF, &at, &size, MEM_DECOMMIT), 0);
	EQUAL(num(at), num(start + 0x2000));
	EQUAL(size, 0x1000);
	BLOCK(start + 0x1000, PAGE, MEM_COMMIT, PAGE_READWRITE);

	at = start;
	size = 0;
	STATUS(NtFreeVirtualMemory(SELF, &at, &size, MEM_RELEASE), 0);
	EQUAL(num(at), num(start));
	EQUAL(size, 0x13000);
}

static void commit_without_a_base_reserves(void)
{
	char *base = VirtualAlloc(NULL, 3 * PAGE, MEM_COMMIT, PAGE_READWRITE);

	NEED(base);
	EQUAL(num(base) % SLOT, 0);
	BLOCK(base, 3 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	RELEASE(base);
}

static void commit_again(void)
{
	char *base = allocate(4 * PAGE);

	NEED(base);
	memset(base, 7, 4 * PAGE);
	CHECK(commit(base, 4 * PAGE));
	CHECK(filled(base, 7, 4 * PAGE));
	/* The new protection counts, the contents stay. */
	CHECK(VirtualAlloc(base + PAGE, PAGE, MEM_COMMIT, PAGE_READONLY));
	CHECK(filled(base, 7, 4 * PAGE));
	STATUS(store(base + PAGE, 1), STATUS_ACCESS_VIOLATION);
	STATUS(store(base, 1), 0);
	RELEASE(base);
}

static void decommit_of_everything(void)
{
	char *base = reserve(2 * SLOT);

	NEED(base && commit(base, PAGE) && commit(base + SLOT, 3 * PAGE));
	memset(base + SLOT, 1, 3 * PAGE);
	CHECK(VirtualFree(base, 0, MEM_DECOMMIT));
	BLOCK(base, 2 * SLOT, MEM_RESERVE, 0);
	/* What is not committed may be decommitted. */
	CHECK(VirtualFree(base, SLOT, MEM_DECOMMIT));
	NEED(commit(base, 2 * SLOT));
	CHECK(filled(base, 0, 2 * SLOT));
	RELEASE(base);
}

static void a_chosen_address(void)
{
	char *base = reserve(4 * SLOT), *again;

	NEED(base);
	CHECK(!VirtualAlloc(base + SLOT, SLOT, MEM_RESERVE, PAGE_READWRITE));
	EQUAL(GetLastError(), ERROR_INVALID_ADDRESS);
	RELEASE(base);
	again = VirtualAlloc(base + SLOT + 5, SLOT, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	EQUAL(num(again), num(base + SLOT));
	NEED(again);
	CHECK(filled(again, 0, SLOT));
	CHECK(!VirtualAlloc(base, 2 * SLOT, MEM_RESERVE, PAGE_READWRITE));
	RELEASE(again);
}

static void commit_outside_of_a_region(void)
{
	char *base = reserve(2 * SLOT);
	PVOID at;
	SIZE_T size;

	NEED(base);
	/* Beyond its end, and where nothing is. */
	at = base + SLOT;
	size = 2 * SLOT;
	CHECK(NtAllocateVirtualMemory(SELF, &at, 0, &size, MEM_COMMIT, PAGE_READWRITE) < 0);
	EQUAL(num(at), num(base + SLOT));
	EQUAL(size, 2 * SLOT);
	BLOCK(base, 2 * SLOT, MEM_RESERVE, 0);
	RELEASE(base);
	at = base + PAGE;
	size = PAGE;
	CHECK(NtAllocateVirtualMemory(SELF, &at, 0, &size, MEM_COMMIT, PAGE_READWRITE) < 0);
	EQUAL(num(at), num(base + PAGE));
	EQUAL(size, PAGE);
}

static void commit_across_two_regions(void)
{
	char *base = reserve(2 * SLOT), *first, *second;

	NEED(base);
	RELEASE(base);
	first = VirtualAlloc(base, SLOT, MEM_RESERVE, PAGE_READWRITE);
	second = VirtualAlloc(base + SLOT, SLOT, MEM_RESERVE, PAGE_READWRITE);
	NEED(first && second);
	CHECK(!commit(base + SLOT - PAGE, 2 * PAGE));
	EQUAL(GetLastError(), ERROR_INVALID_ADDRESS);
	BLOCK(first, SLOT, MEM_RESERVE, 0);
	BLOCK(second, SLOT, MEM_RESERVE, 0);
	RELEASE(first);
	RELEASE(second);
}

static void sixty_four_gigabytes(void)
{
	const size_t size = 64ull << 30, step = 1ull << 30;
	char *base = reserve(size);

	NEED(base);
	for (size_t at = 0; at < size; at += step) {
		NEED(commit(base + at + PAGE, PAGE));
		*(size_t *)(base + at + PAGE) = at + 1;
	}
	for (size_t at = 0; at < size; at += step)
		EQUAL(*(size_t *)(base + at + PAGE), at + 1);
	BLOCK(base + step, PAGE, MEM_RESERVE, 0);
	BLOCK(base + step + 2 * PAGE, step - PAGE, MEM_RESERVE, 0);
	RELEASE(base);
}

static void two_thousand_regions(void)
{
	enum { N = 2000 };
	static char *base[N];

	for (size_t i = 0; i < N; i++) {
		base[i] = allocate((i % 5 + 1) * PAGE);
		NEED(base[i]);
		*(size_t *)base[i] = i;
	}
	for (size_t i = 0; i < N; i++)
		EQUAL(*(size_t *)base[i], i);
	for (size_t i = 0; i < N; i += 2)
		RELEASE(base[i]);
	for (size_t i = 1; i < N; i += 2)
		EQUAL(*(size_t *)base[i], i);
	for (size_t i = 1; i < N; i += 2)
		RELEASE(base[i]);
}

static void zero_bits(void)
{
	for (ULONG_PTR bits = 1; bits <= 6; bits++) {
		PVOID base = NULL;
		SIZE_T size = PAGE, all = 0;

		if (!CHECK(!NtAllocateVirtualMemory(SELF, &base, bits, &size,
						    MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)))
			continue;
		CHECK(num(base) < 1ull << (32 - bits));
		STATUS(store(base, 1), 0);
		STATUS(NtFreeVirtualMemory(SELF, &base, &all, MEM_RELEASE), 0);
	}
	for (ULONG_PTR mask = 0x7FFFFFFF; mask < 0x7FFFFFFFFFF; mask = mask << 4 | 0xF) {
		PVOID base = NULL;
		SIZE_T size = PAGE, all = 0;

		if (!CHECK(!NtAllocateVirtualMemory(SELF, &base, mask, &size,
						    MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE)))
			continue;
		CHECK(num(base) <= mask);
		STATUS(store(base, 1), 0);
		STATUS(NtFreeVirtualMemory(SELF, &base, &all, MEM_RELEASE), 0);
	}
}

typedef PVOID (WINAPI *virtual_alloc_2)(HANDLE, PVOID, SIZE_T, ULONG, ULONG, MEM_EXTENDED_PARAMETER *, ULONG);

static void address_limits(void)
{
	virtual_alloc_2 alloc2 = (virtual_alloc_2)(void *)GetProcAddress(
		GetModuleHandleA("kernelbase.dll"), "VirtualAlloc2");
	MEM_ADDRESS_REQUIREMENTS wish = { 0 };
	MEM_EXTENDED_PARAMETER parameter = { 0 };
	char *base;

	if (!alloc2) {
		skip("no VirtualAlloc2");
		return;
	}
	parameter.Type = MemExtendedParameterAddressRequirements;
	parameter.Pointer = &wish;

	wish.HighestEndingAddress = (PVOID)0x3FFFFFFFull;
	base = alloc2(NULL, NULL, SLOT, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &parameter, 1);
	if (CHECK(base)) {
		CHECK(num(base) + SLOT <= 0x40000000);
		STATUS(store(base, 1), 0);
		RELEASE(base);
	}
	wish.HighestEndingAddress = NULL;
	wish.Alignment = 1 << 24;
	base = alloc2(NULL, NULL, 3 * SLOT, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &parameter, 1);
	if (CHECK(base)) {
		EQUAL(num(base) % (1 << 24), 0);
		STATUS(store(base + 3 * SLOT - 1, 1), 0);
		RELEASE(base);
	}
	wish.Alignment = 3 * SLOT;	/* no power of two */
	CHECK(!alloc2(NULL, NULL, SLOT, MEM_RESERVE, PAGE_READWRITE, &parameter, 1));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
}

static void top_down(void)
{
	char *high = VirtualAlloc(NULL, SLOT, MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE);
	char *any = allocate(SLOT);

	NEED(high && any);
	CHECK(filled(high, 0, SLOT));
	memset(high, 3, SLOT);
	CHECK(filled(high, 3, SLOT));
	CHECK(filled(any, 0, SLOT));
	RELEASE(high);
	RELEASE(any);
}

/* Each fails, and writes nothing. */
static void bad_allocations(void)
{
	static const struct {
		uint64_t base;
		SIZE_T size;
		ULONG type, protect;
	} bad[] = {
		{ 0, 0, MEM_RESERVE, PAGE_READWRITE },
		{ 0, PAGE, 0, PAGE_READWRITE },
		{ 0, PAGE, 0x80000000, PAGE_READWRITE },
		{ 0, PAGE, MEM_TOP_DOWN, PAGE_READWRITE },
		{ 0, PAGE, MEM_DECOMMIT, PAGE_READWRITE },
		{ 0, PAGE, MEM_RESERVE, 0 },
		{ 0, PAGE, MEM_RESERVE, PAGE_READWRITE | PAGE_READONLY },
		{ 0, PAGE, MEM_RESERVE | MEM_COMMIT, 0xFFFFFFFF },
		{ 0x800000000000ull, PAGE, MEM_RESERVE, PAGE_READWRITE },
		{ 0xFFFFFFFFFFFF0000ull, PAGE, MEM_RESERVE, PAGE_READWRITE },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		PVOID base = (PVOID)bad[i].base;
		SIZE_T size = bad[i].size;
		NTSTATUS status = NtAllocateVirtualMemory(SELF, &base, 0, &size, bad[i].type,
							  bad[i].protect);

		if (status >= 0)
			printf("# entry %zu\n", i);
		CHECK(status < 0);
		EQUAL(num(base), bad[i].base);
		EQUAL(size, bad[i].size);
	}
}

static void bad_frees(void)
{
	char *region = allocate(4 * SLOT);
	static const struct {
		int64_t offset;
		SIZE_T size;
		ULONG type;
	} bad[] = {
		{ 0, 0, 0 },
		{ 0, PAGE, MEM_RELEASE | MEM_DECOMMIT },
		{ 0, 0, MEM_RESERVE },
		{ SLOT, 0, MEM_RELEASE },
		{ 2 * PAGE, 0, MEM_DECOMMIT },
		{ 0, 5 * SLOT, MEM_DECOMMIT },
		{ 0, 5 * SLOT, MEM_RELEASE },
		{ 3 * SLOT, 2 * SLOT, MEM_DECOMMIT },
	};

	NEED(region);
	memset(region, 9, 4 * SLOT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		PVOID base = region + bad[i].offset;
		SIZE_T size = bad[i].size;
		NTSTATUS status = NtFreeVirtualMemory(SELF, &base, &size, bad[i].type);

		if (status >= 0)
			printf("# entry %zu\n", i);
		CHECK(status < 0);
		EQUAL(num(base), num(region + bad[i].offset));
		EQUAL(size, bad[i].size);
	}
	BLOCK(region, 4 * SLOT, MEM_COMMIT, PAGE_READWRITE);
	CHECK(filled(region, 9, 4 * SLOT));
	RELEASE(region);
}

/*
 * NT releases a part, and it is Win32 that refuses it. Wine 8.0's Win32 leaves that to its NT,
 * which refuses any size: under a backend that does as NT does, nobody is left to.
 */
static void win32_refuses_a_release_with_a_size(void)
{
	char *base = allocate(4 * SLOT);

	NEED(base);
	CHECK(!VirtualFree(base, SLOT, MEM_RELEASE));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	BLOCK(base, 4 * SLOT, MEM_COMMIT, PAGE_READWRITE);
	VirtualFree(base, 0, MEM_RELEASE);
}

static void handles(void)
{
	HANDLE self = OpenProcess(PROCESS_ALL_ACCESS, FALSE, GetCurrentProcessId());
	PVOID base = NULL;
	SIZE_T size = PAGE;
	char *p;

	STATUS(NtAllocateVirtualMemory(NULL, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE),
	       STATUS_INVALID_HANDLE);
	STATUS(NtAllocateVirtualMemory((HANDLE)0xDEADBEE0, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE),
	       STATUS_INVALID_HANDLE);
	EQUAL(num(base), 0);

	/* A handle of one's own process does what the pseudo handle does. */
	NEED(self);
	p = VirtualAllocEx(self, NULL, 2 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	NEED(p);
	memset(p, 4, 2 * PAGE);
	BLOCK(p, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	CHECK(VirtualFreeEx(self, p, PAGE, MEM_DECOMMIT));
	STATUS(load(p), STATUS_ACCESS_VIOLATION);
	CHECK(filled(p + PAGE, 4, PAGE));
	CHECK(VirtualFreeEx(self, p, 0, MEM_RELEASE));
	CloseHandle(self);
}

static void a_private_heap(void)
{
	enum { N = 4000, LIVE = 256 };
	HANDLE heap = HeapCreate(0, 0, 0);
	static struct {
		uint8_t *p;
		size_t size;
		uint8_t byte;
	} live[LIVE];
	uint32_t seed = 1;

	NEED(heap);
	for (size_t i = 0; i < N; i++) {
		size_t slot = next_random(&seed) % LIVE;
		/* Now and then one that is as large as memory of its own. */
		size_t size = next_random(&seed) % (i % 64 ? 4000 : 2000000) + 1;

		if (live[slot].p) {
			if (!CHECK(live[slot].p[0] == live[slot].byte &&
				   live[slot].p[live[slot].size - 1] == live[slot].byte))
				break;
			if (i % 3 == 0) {
				size_t kept = size < live[slot].size ? size : live[slot].size;
				uint8_t *p = HeapReAlloc(heap, 0, live[slot].p, size);

				if (!CHECK(p) || !CHECK(filled(p, live[slot].byte, kept)))
					break;
				live[slot].p = p;
				live[slot].size = size;
				memset(p, live[slot].byte, size);
				continue;
			}
			CHECK(HeapFree(heap, 0, live[slot].p));
		}
		live[slot].p = HeapAlloc(heap, HEAP_ZERO_MEMORY, size);
		if (!CHECK(live[slot].p) || !CHECK(filled(live[slot].p, 0, size)))
			break;
		live[slot].size = size;
		live[slot].byte = (uint8_t)(i | 1);
		memset(live[slot].p, live[slot].byte, size);
	}
	CHECK(HeapValidate(heap, 0, NULL));
	for (size_t i = 0; i < LIVE; i++)
		if (live[i].p)
			CHECK(filled(live[i].p, live[i].byte, live[i].size));
	CHECK(HeapDestroy(heap));
	memset(live, 0, sizeof(live));
}

static void malloc_and_global(void)
{
	char *p = malloc(8 << 20), *q;
	HGLOBAL g = GlobalAlloc(GMEM_MOVEABLE | GMEM_ZEROINIT, 3 << 20);

	NEED(p && g);
	memset(p, 1, 8 << 20);
	q = realloc(p, 24 << 20);
	NEED(q);
	CHECK(filled(q, 1, 8 << 20));
	free(q);
	p = GlobalLock(g);
	NEED(p);
	CHECK(filled(p, 0, 3 << 20));
	GlobalUnlock(g);
	CHECK(!GlobalFree(g));
}

/* 4,000 steps against a model: what is committed and what each page holds. */
static void random_steps_against_a_model(void)
{
	enum { PAGES = 256 };
	static uint8_t model[PAGES];	/* 0: reserved, else the byte + 1 */
	char *base = reserve(PAGES * PAGE);
	uint32_t seed = 7;

	NEED(base);
	memset(model, 0, sizeof(model));
	for (size_t i = 0; i < 4000; i++) {
		uint32_t first = next_random(&seed) % PAGES;
		uint32_t n = next_random(&seed) % 8 + 1;

		if (first + n > PAGES)
			n = PAGES - first;
		switch (next_random(&seed) % 4) {
		case 0:
			NEED(commit(base + first * PAGE, n * PAGE));
			for (uint32_t p = first; p < first + n; p++)
				model[p] += !model[p];
			break;
		case 1:
			NEED(VirtualFree(base + first * PAGE, n * PAGE, MEM_DECOMMIT));
			memset(model + first, 0, n);
			break;
		default:
			for (uint32_t p = first; p < first + n; p++) {
				uint32_t code = store(base + p * PAGE, (uint8_t)i & 0x7F);

				NEED(code == (model[p] ? 0 : (uint32_t)STATUS_ACCESS_VIOLATION));
				if (model[p])
					model[p] = ((uint8_t)i & 0x7F) + 1;
			}
		}
	}
	for (uint32_t p = 0; p < PAGES; p++)
		if (model[p])
			NEED((uint8_t)base[p * PAGE] == model[p] - 1);
		else
			NEED(load(base + p * PAGE) == (uint32_t)STATUS_ACCESS_VIOLATION);
	RELEASE(base);
}

const struct test_case alloc_cases[] = {
	{ "alloc.life_of_a_page", life_of_a_page },
	{ "alloc.sizes_and_addresses_are_rounded", sizes_and_addresses_are_rounded },
	{ "alloc.commit_without_a_base_reserves", commit_without_a_base_reserves },
	{ "alloc.commit_again", commit_again },
	{ "alloc.decommit_of_everything", decommit_of_everything },
	{ "alloc.a_chosen_address", a_chosen_address },
	{ "alloc.commit_outside_of_a_region", commit_outside_of_a_region },
	{ "alloc.commit_across_two_regions", commit_across_two_regions },
	{ "alloc.sixty_four_gigabytes", sixty_four_gigabytes },
	{ "alloc.two_thousand_regions", two_thousand_regions },
	{ "alloc.zero_bits", zero_bits },
	{ "alloc.address_limits", address_limits },
	{ "alloc.top_down", top_down },
	{ "alloc.bad_allocations", bad_allocations },
	{ "alloc.bad_frees", bad_frees },
	{ "win32.refuses_a_release_with_a_size", win32_refuses_a_release_with_a_size },
	{ "alloc.handles", handles },
	{ "alloc.a_private_heap", a_private_heap },
	{ "alloc.malloc_and_global", malloc_and_global },
	{ "alloc.random_steps_against_a_model", random_steps_against_a_model },
	{ NULL, NULL },
};
