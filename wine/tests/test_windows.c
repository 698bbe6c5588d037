// SPDX-License-Identifier: GPL-2.0-only
/*
 * What holds on Windows and under ntvm's windows contract, and not on Wine 8.0 by
 * itself: each case is a difference that a program can see.
 */
#include "test.h"

static NTSTATUS nt_free(void *at, SIZE_T size, ULONG type)
{
	PVOID base = at;

	return NtFreeVirtualMemory(SELF, &base, &size, type);
}

static NTSTATUS nt_allocate(void *at, SIZE_T size, ULONG type, ULONG protect)
{
	PVOID base = at;

	return NtAllocateVirtualMemory(SELF, &base, 0, &size, type, protect);
}

static void parts_can_be_released(void)
{
	char *base = allocate(8 * PAGE);

	NEED(base);
	memset(base, 5, 8 * PAGE);
	STATUS(nt_free(base + 2 * PAGE, 2 * PAGE, MEM_RELEASE), 0);
	BLOCK(base + 2 * PAGE, 2 * PAGE, MEM_FREE, PAGE_NOACCESS);
	CHECK(filled(base, 5, 2 * PAGE));
	CHECK(filled(base + 4 * PAGE, 5, 4 * PAGE));
	STATUS(nt_free(base, 0, MEM_RELEASE), 0);
	CHECK(filled(base + 4 * PAGE, 5, 4 * PAGE));
	STATUS(nt_free(base + 4 * PAGE, 0, MEM_RELEASE), 0);
}

static void a_release_with_the_right_size(void)
{
	char *base = allocate(4 * PAGE);

	NEED(base);
	STATUS(nt_free(base, 4 * PAGE, MEM_RELEASE), 0);
	STATUS(load(base), STATUS_ACCESS_VIOLATION);
}

static void statuses_of_frees(void)
{
	char *base = allocate(4 * PAGE), *free_memory = allocate(SLOT);

	NEED(base && free_memory);
	RELEASE(free_memory);
	STATUS(nt_free(free_memory, 0, MEM_RELEASE), STATUS_MEMORY_NOT_ALLOCATED);
	STATUS(nt_free(NULL, 0, MEM_RELEASE), STATUS_MEMORY_NOT_ALLOCATED);
	STATUS(nt_free(base, 5 * PAGE, MEM_RELEASE), STATUS_UNABLE_TO_FREE_VM);
	STATUS(nt_free(base, 5 * PAGE, MEM_DECOMMIT), STATUS_UNABLE_TO_FREE_VM);
	STATUS(nt_free(base, 0, MEM_COMMIT), STATUS_INVALID_PARAMETER_4);
	STATUS(NtFreeVirtualMemory(NULL, NULL, NULL, 0), STATUS_INVALID_PARAMETER_4);
	BLOCK(base, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	RELEASE(base);
}

static void statuses_of_allocations(void)
{
	char *free_memory = allocate(SLOT);

	NEED(free_memory);
	RELEASE(free_memory);
	STATUS(nt_allocate(free_memory, PAGE, MEM_COMMIT, PAGE_READWRITE), STATUS_CONFLICTING_ADDRESSES);
	STATUS(nt_allocate(NULL, 0, MEM_RESERVE, PAGE_READWRITE), STATUS_INVALID_PARAMETER_4);
	STATUS(nt_allocate(NULL, ~(SIZE_T)0, MEM_RESERVE, PAGE_READWRITE), STATUS_INVALID_PARAMETER_4);
	STATUS(nt_allocate(NULL, 1ull << 62, MEM_RESERVE, PAGE_READWRITE), STATUS_INVALID_PARAMETER_4);
	STATUS(nt_allocate(NULL, PAGE, MEM_TOP_DOWN, PAGE_READWRITE), STATUS_INVALID_PARAMETER_5);
	STATUS(nt_allocate(NULL, PAGE, MEM_RESET | MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE),
	       STATUS_INVALID_PARAMETER_5);
	STATUS(nt_allocate((void *)0x8000000000C8, PAGE, MEM_RESERVE, PAGE_READWRITE),
	       STATUS_INVALID_PARAMETER_2);
	STATUS(nt_allocate(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS | PAGE_WRITECOMBINE),
	       STATUS_INVALID_PAGE_PROTECTION);
	STATUS(nt_allocate(NULL, PAGE, MEM_RESERVE, PAGE_NOACCESS | PAGE_GUARD),
	       STATUS_INVALID_PAGE_PROTECTION);
	STATUS(nt_allocate(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_WRITECOPY),
	       STATUS_INVALID_PAGE_PROTECTION);
}

/* A hundred thousand runs of pages are no limit. */
static void a_checkerboard(void)
{
	enum { N = 100000 };
	char *base = reserve(2ull * N * PAGE);
	size_t done = 0;

	NEED(base);
	while (done < N && commit(base + 2 * done * PAGE, PAGE))
		done++;
	EQUAL(done, N);
	for (size_t i = 0; i < done; i++)
		base[2 * i * PAGE] = (char)i;
	for (size_t i = 0; i < done; i++)
		if (base[2 * i * PAGE] != (char)i) {
			CHECK(!"the page holds what was written");
			break;
		}
	STATUS(load(base + PAGE), STATUS_ACCESS_VIOLATION);
	RELEASE(base);
}

static void a_checkerboard_of_protections(void)
{
	enum { N = 80000 };
	char *base = allocate((size_t)N * PAGE);
	size_t done = 0;
	DWORD old;

	NEED(base);
	while (done < N / 2 && VirtualProtect(base + 2 * done * PAGE, PAGE, PAGE_READONLY, &old))
		done++;
	EQUAL(done, N / 2);
	STATUS(store(base + 1000 * PAGE, 1), STATUS_ACCESS_VIOLATION);
	STATUS(store(base + 1001 * PAGE, 1), 0);
	RELEASE(base);
}

static void a_reset_can_be_undone(void)
{
	char *base = allocate(4 * PAGE);

	NEED(base);
	memset(base, 0x66, 4 * PAGE);
	STATUS(nt_allocate(base, 4 * PAGE, MEM_RESET, PAGE_NOACCESS), 0);
	STATUS(nt_allocate(base, 4 * PAGE, MEM_RESET_UNDO, PAGE_NOACCESS), 0);
	CHECK(filled(base, 0x66, 4 * PAGE));
	RELEASE(base);
}

static void a_decommit_forgets_writes(void)
{
	char *base = VirtualAlloc(NULL, 8 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
	void *list[8];
	ULONG_PTR count = 8;
	DWORD granularity;

	NEED(base);
	base[PAGE] = 1;
	CHECK(VirtualFree(base, 8 * PAGE, MEM_DECOMMIT));
	EQUAL(GetWriteWatch(0, base, 8 * PAGE, list, &count, &granularity), 0);
	EQUAL(count, 0);
	NEED(commit(base, 8 * PAGE));
	base[3 * PAGE] = 1;
	count = 8;
	EQUAL(GetWriteWatch(0, base, 8 * PAGE, list, &count, &granularity), 0);
	EQUAL(count, 1);
	EQUAL(num(list[0]), num(base + 3 * PAGE));
	RELEASE(base);
}

static void a_lock_takes_a_guard_away(void)
{
	char *base = VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
	PVOID at = base;
	SIZE_T size = PAGE;

	NEED(base);
	STATUS(NtLockVirtualMemory(SELF, &at, &size, MAP_PROCESS), STATUS_GUARD_PAGE_VIOLATION);
	STATUS(NtLockVirtualMemory(SELF, &at, &size, MAP_PROCESS), 0);
	STATUS(NtLockVirtualMemory(SELF, &at, &size, MAP_PROCESS), STATUS_WAS_LOCKED);
	STATUS(NtUnlockVirtualMemory(SELF, &at, &size, MAP_PROCESS), 0);
	STATUS(NtUnlockVirtualMemory(SELF, &at, &size, MAP_PROCESS), STATUS_NOT_LOCKED);
	RELEASE(base);
}

static void classes_of_queries(void)
{
	char *base = reserve(SLOT), *gone = allocate(SLOT);
	MEMORY_REGION_INFORMATION region;
	MEMORY_IMAGE_INFORMATION image;
	SIZE_T n = 0;

	NEED(base && gone && commit(base, 3 * PAGE));
	RELEASE(gone);
	STATUS(NtQueryVirtualMemory(SELF, base, MemoryRegionInformation, &region, sizeof(region), &n), 0);
	EQUAL(n, sizeof(region));
	EQUAL(region.RegionSize, SLOT);
	EQUAL(region.CommitSize, 3 * PAGE);
	STATUS(NtQueryVirtualMemory(SELF, gone, MemoryRegionInformation, &region, sizeof(region), NULL),
	       STATUS_INVALID_ADDRESS);
	memset(&image, 0xCC, sizeof(image));
	STATUS(NtQueryVirtualMemory(SELF, base, MemoryImageInformation, &image, sizeof(image), NULL), 0);
	EQUAL(image.SizeOfImage, 0);
	STATUS(NtQueryVirtualMemory(SELF, gone, MemoryImageInformation, &image, sizeof(image), NULL),
	       STATUS_INVALID_ADDRESS);
	RELEASE(base);
}

static void private_memory_is_not_flushed(void)
{
	char *base = allocate(PAGE);
	IO_STATUS_BLOCK status;
	LPCVOID at = base;
	SIZE_T size = PAGE;

	NEED(base);
	STATUS(NtFlushVirtualMemory(SELF, &at, &size, &status), STATUS_NOT_MAPPED_VIEW);
	RELEASE(base);
}

static void a_refused_write_is_no_write(void)
{
	char *base = VirtualAlloc(NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
	void *list[4];
	ULONG_PTR count = 4;
	DWORD granularity, old;

	NEED(base && VirtualProtect(base, 2 * PAGE, PAGE_READONLY, &old));
	STATUS(store(base + PAGE, 1), STATUS_ACCESS_VIOLATION);
	EQUAL(GetWriteWatch(0, base, 4 * PAGE, list, &count, &granularity), 0);
	EQUAL(count, 0);
	RELEASE(base);
}

/* A guard page is for the first that comes; the others' accesses are made. */
enum { THREADS = 8 };

static char *region;
static volatile LONG guard_hits, ready, go, errors;

static DWORD CALLBACK guard_visitor(void *arg)
{
	(void)arg;
	for (LONG round = 1; round <= 200; round++) {
		uint32_t code;

		InterlockedIncrement(&ready);
		while (go < round)
			SwitchToThread();
		code = store(region + (round - 1) * PAGE, 1);
		if (code == (uint32_t)STATUS_GUARD_PAGE_VIOLATION)
			InterlockedIncrement(&guard_hits);
		else if (code)
			InterlockedIncrement(&errors);
	}
	return 0;
}

static DWORD CALLBACK guard_starter(void *arg)
{
	if (arg)
		return guard_visitor(arg);
	for (LONG round = 1; round <= 200; round++) {
		while (ready < round * (THREADS - 1))
			SwitchToThread();
		go = round;
	}
	return 0;
}

static void a_guard_page_is_one_thread_s(void)
{
	HANDLE thread[THREADS];

	region = VirtualAlloc(NULL, 200 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
	NEED(region);
	guard_hits = ready = go = 0;
	errors = 0;
	for (size_t i = 0; i < THREADS; i++)
		NEED((thread[i] = CreateThread(NULL, 0, guard_starter, (void *)i, 0, NULL)));
	EQUAL(WaitForMultipleObjects(THREADS, thread, TRUE, 60000), WAIT_OBJECT_0);
	for (size_t i = 0; i < THREADS; i++)
		CloseHandle(thread[i]);
	EQUAL(errors, 0);
	EQUAL(guard_hits, 200);
	RELEASE(region);
}

/* --- placeholders ------------------------------------------------------------------------ */

typedef PVOID (WINAPI *virtual_alloc_2)(HANDLE, PVOID, SIZE_T, ULONG, ULONG, MEM_EXTENDED_PARAMETER *, ULONG);

static void placeholders(void)
{
	virtual_alloc_2 alloc2 = (virtual_alloc_2)(void *)GetProcAddress(
		GetModuleHandleA("kernelbase.dll"), "VirtualAlloc2");
	char *base;

	if (!alloc2) {
		skip("no VirtualAlloc2");
		return;
	}
	base = alloc2(NULL, NULL, 4 * SLOT, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL, 0);
	NEED(base);
	CHECK(VirtualFree(base + SLOT, SLOT, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER));
	BLOCK(base, SLOT, MEM_RESERVE, 0);
	BLOCK(base + SLOT, SLOT, MEM_RESERVE, 0);
	BLOCK(base + 2 * SLOT, 2 * SLOT, MEM_RESERVE, 0);
	CHECK(!commit(base + SLOT, PAGE));
	EQUAL(num(alloc2(NULL, base + SLOT, SLOT, MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER,
			 PAGE_READWRITE, NULL, 0)), num(base + SLOT));
	STATUS(load(base + SLOT), 0);
	memset(base + SLOT, 1, SLOT);
	STATUS(load(base), STATUS_ACCESS_VIOLATION);
	/* Back to a placeholder, and one again. */
	CHECK(VirtualFree(base + SLOT, SLOT, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER));
	STATUS(load(base + SLOT), STATUS_ACCESS_VIOLATION);
	CHECK(VirtualFree(base, 4 * SLOT, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS));
	BLOCK(base, 4 * SLOT, MEM_RESERVE, 0);
	RELEASE(base);
}

static void bounds_that_exclude_each_other(void)
{
	MEM_ADDRESS_REQUIREMENTS wish = { (PVOID)0x30000000, (PVOID)0x1FFFFFFF, 0 };
	MEM_EXTENDED_PARAMETER parameter[2] = { 0 };
	PVOID base = NULL;
	SIZE_T size = SLOT;

	parameter[0].Type = parameter[1].Type = MemExtendedParameterAddressRequirements;
	parameter[0].Pointer = parameter[1].Pointer = &wish;
	STATUS(NtAllocateVirtualMemoryEx(SELF, &base, &size, MEM_RESERVE, PAGE_READWRITE, parameter, 1),
	       STATUS_INVALID_PARAMETER);
	wish.LowestStartingAddress = NULL;
	STATUS(NtAllocateVirtualMemoryEx(SELF, &base, &size, MEM_RESERVE, PAGE_READWRITE, parameter, 2),
	       STATUS_INVALID_PARAMETER);
	/* From an address upwards. */
	wish.LowestStartingAddress = (PVOID)0x600000000000ull;
	wish.HighestEndingAddress = NULL;
	STATUS(NtAllocateVirtualMemoryEx(SELF, &base, &size, MEM_RESERVE, PAGE_READWRITE, parameter, 1),
	       0);
	CHECK(num(base) >= 0x600000000000ull);
	STATUS(nt_free(base, 0, MEM_RELEASE), 0);
}

const struct test_case windows_cases[] = {
	{ "windows.parts_can_be_released", parts_can_be_released },
	{ "windows.a_release_with_the_right_size", a_release_with_the_right_size },
	{ "windows.statuses_of_frees", statuses_of_frees },
	{ "windows.statuses_of_allocations", statuses_of_allocations },
	{ "windows.a_checkerboard", a_checkerboard },
	{ "windows.a_checkerboard_of_protections", a_checkerboard_of_protections },
	{ "windows.a_reset_can_be_undone", a_reset_can_be_undone },
	{ "windows.a_decommit_forgets_writes", a_decommit_forgets_writes },
	{ "windows.a_lock_takes_a_guard_away", a_lock_takes_a_guard_away },
	{ "windows.classes_of_queries", classes_of_queries },
	{ "windows.private_memory_is_not_flushed", private_memory_is_not_flushed },
	{ "windows.a_refused_write_is_no_write", a_refused_write_is_no_write },
	{ "windows.a_guard_page_is_one_thread_s", a_guard_page_is_one_thread_s },
	{ "windows.placeholders", placeholders },
	{ "windows.bounds_that_exclude_each_other", bounds_that_exclude_each_other },
	{ NULL, NULL },
};
