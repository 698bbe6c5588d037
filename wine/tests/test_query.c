// SPDX-License-Identifier: GPL-2.0-only
/* What the system tells of the address space: one coherent answer, wherever one asks. */
#include "test.h"

#include <stdlib.h>

enum { OWN = 40 };
static struct {
	char *base;
	size_t size;
	size_t seen;	/* bytes of it that blocks have covered */
} own[OWN];

/* From 0 to the end: blocks adjoin, and each own allocation is found exactly, once. */
static void the_whole_address_space(void)
{
	MEMORY_BASIC_INFORMATION info;
	SYSTEM_INFO system;
	uint64_t at = 0;
	size_t blocks = 0;

	GetSystemInfo(&system);
	for (size_t i = 0; i < OWN; i++) {
		own[i].size = (i % 7 + 1) * SLOT;
		own[i].base = i % 2 ? reserve(own[i].size) : allocate(own[i].size);
		own[i].seen = 0;
		NEED(own[i].base);
		if (i % 3 == 0)
			commit(own[i].base + PAGE, PAGE);
		if (i % 5 == 0)
			VirtualFree(own[i].base + 3 * PAGE, 2 * PAGE, MEM_DECOMMIT);
	}

	while (VirtualQuery((void *)at, &info, sizeof(info)) == sizeof(info)) {
		uint64_t end = num(info.BaseAddress) + info.RegionSize;

		if (!CHECK(num(info.BaseAddress) == at && info.RegionSize && end > at &&
			   info.RegionSize % PAGE == 0)) {
			printf("# block at %p of 0x%zX bytes, asked for 0x%llX\n", info.BaseAddress,
			       (size_t)info.RegionSize, at);
			break;
		}
		CHECK(info.State == MEM_FREE || info.State == MEM_RESERVE || info.State == MEM_COMMIT);
		for (size_t i = 0; i < OWN; i++) {
			uint64_t first = num(own[i].base), last = first + own[i].size;

			if (end <= first || at >= last)
				continue;
			/* A block that meets an allocation lies in it, and says so. */
			CHECK(at >= first && end <= last);
			CHECK(info.State != MEM_FREE);
			EQUAL(num(info.AllocationBase), first);
			EQUAL(info.Type, MEM_PRIVATE);
			EQUAL(info.AllocationProtect, PAGE_READWRITE);
			own[i].seen += info.RegionSize;
		}
		if (info.State == MEM_FREE) {
			EQUAL(num(info.AllocationBase), 0);
			EQUAL(info.Protect, PAGE_NOACCESS);
		}
		blocks++;
		at = end;
	}
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(at > num(system.lpMaximumApplicationAddress));
	CHECK(blocks > OWN);
	for (size_t i = 0; i < OWN; i++) {
		EQUAL(own[i].seen, own[i].size);
		RELEASE(own[i].base);
	}
}

/* The same from an address inside of free memory, beside an allocation. */
static void free_memory_ends_where_an_allocation_begins(void)
{
	char *base = reserve(8 * SLOT), *first, *second;
	MEMORY_BASIC_INFORMATION info;

	NEED(base);
	RELEASE(base);
	first = VirtualAlloc(base, SLOT, MEM_RESERVE, PAGE_READWRITE);
	second = VirtualAlloc(base + 5 * SLOT, SLOT, MEM_RESERVE, PAGE_READWRITE);
	NEED(first && second);
	BLOCK(base + SLOT, 4 * SLOT, MEM_FREE, PAGE_NOACCESS);
	BLOCK(base + 2 * SLOT, 3 * SLOT, MEM_FREE, PAGE_NOACCESS);
	/* From any byte of the page. */
	NEED(VirtualQuery(base + 3 * SLOT + 0x567, &info, sizeof(info)));
	EQUAL(num(info.BaseAddress), num(base + 3 * SLOT));
	EQUAL(info.RegionSize, 2 * SLOT);
	EQUAL(info.State, MEM_FREE);
	NEED(VirtualQuery(base + 6 * SLOT, &info, sizeof(info)));
	RELEASE(first);
	BLOCK(base + 2 * SLOT, 3 * SLOT, MEM_FREE, PAGE_NOACCESS);
	RELEASE(second);
	NEED(VirtualQuery(base + 2 * SLOT, &info, sizeof(info)));
	EQUAL(info.State, MEM_FREE);
	CHECK(info.RegionSize >= 6 * SLOT);
}

static void runs_of_pages(void)
{
	char *base = reserve(64 * PAGE);
	MEMORY_BASIC_INFORMATION info;
	DWORD old;

	NEED(base && commit(base + 8 * PAGE, 16 * PAGE));
	NEED(VirtualProtect(base + 10 * PAGE, 2 * PAGE, PAGE_READONLY, &old));
	BLOCK(base, 8 * PAGE, MEM_RESERVE, 0);
	BLOCK(base + 8 * PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + 9 * PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + 10 * PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READONLY);
	BLOCK(base + 12 * PAGE, 12 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + 24 * PAGE, 40 * PAGE, MEM_RESERVE, 0);
	NEED(VirtualQuery(base + 11 * PAGE + 77, &info, sizeof(info)));
	EQUAL(num(info.BaseAddress), num(base + 11 * PAGE));
	EQUAL(info.RegionSize, PAGE);
	EQUAL(num(info.AllocationBase), num(base));
	/* One run again. */
	NEED(VirtualProtect(base + 10 * PAGE, 2 * PAGE, PAGE_READWRITE, &old));
	BLOCK(base + 8 * PAGE, 16 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	RELEASE(base);
}

static void what_is_not_ours(void)
{
	MEMORY_BASIC_INFORMATION info;
	char name[1024];
	int local = 0;

	NEED(VirtualQuery(&local, &info, sizeof(info)));
	EQUAL(info.State, MEM_COMMIT);
	EQUAL(info.Protect, PAGE_READWRITE);
	EQUAL(info.Type, MEM_PRIVATE);
	NEED(VirtualQuery((void *)(uintptr_t)what_is_not_ours, &info, sizeof(info)));
	EQUAL(info.Type, MEM_IMAGE);
	EQUAL(info.Protect, PAGE_EXECUTE_READ);
	EQUAL(num(info.AllocationBase), num(GetModuleHandleA(NULL)));
	STATUS(NtQueryVirtualMemory(SELF, GetModuleHandleA("ntdll.dll"),
				    MemoryMappedFilenameInformation, name, sizeof(name), NULL), 0);
	CHECK(((UNICODE_STRING *)name)->Length);
	NEED(VirtualQuery(NtCurrentTeb(), &info, sizeof(info)));
	EQUAL(info.State, MEM_COMMIT);
	NEED(VirtualQuery(NULL, &info, sizeof(info)));
	EQUAL(info.State, MEM_FREE);
}

static void bad_queries(void)
{
	MEMORY_BASIC_INFORMATION info, before;
	char *base = allocate(PAGE);
	SIZE_T n;

	NEED(base);
	memset(&info, 0xCC, sizeof(info));
	before = info;
	STATUS(NtQueryVirtualMemory(SELF, base, MemoryBasicInformation, &info, sizeof(info) - 1, &n),
	       STATUS_INFO_LENGTH_MISMATCH);
	CHECK(!memcmp(&info, &before, sizeof(info)));
	STATUS(NtQueryVirtualMemory(NULL, base, MemoryBasicInformation, &info, sizeof(info), &n),
	       STATUS_INVALID_HANDLE);
	STATUS(NtQueryVirtualMemory(SELF, (void *)0x7FFFFFFFFFFFFFFF, MemoryBasicInformation, &info,
				    sizeof(info), &n), STATUS_INVALID_PARAMETER);
	STATUS(NtQueryVirtualMemory(SELF, base, (MEMORY_INFORMATION_CLASS)99, &info, sizeof(info), &n),
	       STATUS_INVALID_INFO_CLASS);
	CHECK(!memcmp(&info, &before, sizeof(info)));
	STATUS(NtQueryVirtualMemory(SELF, base, MemoryBasicInformation, &info, sizeof(info), &n), 0);
	EQUAL(n, sizeof(info));
	RELEASE(base);
}

static void a_region_from_each_of_its_pages(void)
{
	char *base = reserve(4 * SLOT);
	MEMORY_REGION_INFORMATION info;

	NEED(base && commit(base + SLOT, 3 * PAGE));
	for (size_t i = 0; i < 4; i++) {
		memset(&info, 0xCC, sizeof(info));
		STATUS(NtQueryVirtualMemory(SELF, base + i * SLOT + 5, MemoryRegionInformation,
					    &info, sizeof(info), NULL), 0);
		EQUAL(num(info.AllocationBase), num(base));
		EQUAL(info.AllocationProtect, PAGE_READWRITE);
	}
	RELEASE(base);
}

/* Addresses of several owners in one question. */
static void the_working_set(void)
{
	char *base = allocate(4 * PAGE), *gone = allocate(PAGE);
	MEMORY_WORKING_SET_EX_INFORMATION info[7];
	DWORD old;
	int local = 1;

	NEED(base && gone);
	RELEASE(gone);
	base[0] = 1;
	base[2 * PAGE] = 1;
	NEED(VirtualProtect(base + 2 * PAGE, PAGE, PAGE_READONLY, &old));
	STATUS(load(base + 2 * PAGE), 0);	/* a change may take a page out of the working set */
	memset(info, 0, sizeof(info));
	info[0].VirtualAddress = base;
	info[1].VirtualAddress = &local;
	info[2].VirtualAddress = base + PAGE;		/* never touched */
	info[3].VirtualAddress = gone;
	info[4].VirtualAddress = (void *)(uintptr_t)the_working_set;
	info[5].VirtualAddress = base + 2 * PAGE + 99;
	info[6].VirtualAddress = base + 3 * PAGE;	/* never touched */
	STATUS(NtQueryVirtualMemory(SELF, NULL, MemoryWorkingSetExInformation, info, sizeof(info),
				    NULL), 0);
	EQUAL(info[0].u1.VirtualAttributes.Valid, 1);
	EQUAL(info[0].u1.VirtualAttributes.Win32Protection, PAGE_READWRITE);
	EQUAL(info[1].u1.VirtualAttributes.Valid, 1);
	EQUAL(info[2].u1.VirtualAttributes.Valid, 0);
	EQUAL(info[3].u1.VirtualAttributes.Valid, 0);
	EQUAL(info[4].u1.VirtualAttributes.Valid, 1);
	EQUAL(info[5].u1.VirtualAttributes.Valid, 1);
	EQUAL(info[5].u1.VirtualAttributes.Win32Protection, PAGE_READONLY);
	EQUAL(info[6].u1.VirtualAttributes.Valid, 0);
	RELEASE(base);
}

const struct test_case query_cases[] = {
	{ "query.the_whole_address_space", the_whole_address_space },
	{ "query.free_memory_ends_where_an_allocation_begins", free_memory_ends_where_an_allocation_begins },
	{ "query.runs_of_pages", runs_of_pages },
	{ "query.what_is_not_ours", what_is_not_ours },
	{ "query.bad_queries", bad_queries },
	{ "query.a_region_from_each_of_its_pages", a_region_from_each_of_its_pages },
	{ "query.the_working_set", the_working_set },
	{ NULL, NULL },
};
