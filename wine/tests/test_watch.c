// SPDX-License-Identifier: GPL-2.0-only
/* Write watch; memory whose contents may go; pages that stay; the calls about files. */
#include "test.h"

static char *watched(size_t size)
{
	return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
}

/* The written pages are those of a row of offsets in pages, which ends with -1. */
static bool written(char *base, size_t size, DWORD flags, const int *pages)
{
	void *list[512];
	ULONG_PTR count = 512, i;
	DWORD granularity = 0;

	if (!EQUAL(GetWriteWatch(flags, base, size, list, &count, &granularity), 0))
		return false;
	EQUAL(granularity, PAGE);
	for (i = 0; pages[i] >= 0; i++)
		if (i >= count || !EQUAL(num(list[i]), num(base) + (uint64_t)pages[i] * PAGE))
			return false;
	return EQUAL(count, i);
}

#define WRITTEN(base, size, flags, ...)							\
	do {										\
		const int pages[] = { __VA_ARGS__ };					\
		if (!written((base), (size), (flags), pages))				\
			CHECK(!"the pages that were written");				\
	} while (0)

static void pages_that_were_written(void)
{
	char *base = watched(16 * PAGE);

	NEED(base);
	WRITTEN(base, 16 * PAGE, 0, -1);
	base[3 * PAGE + 7] = 1;
	base[9 * PAGE] = 1;
	base[9 * PAGE + 1] = 1;
	CHECK(base[5 * PAGE] == 0);	/* a read is no write */
	WRITTEN(base, 16 * PAGE, 0, 3, 9, -1);
	WRITTEN(base, 16 * PAGE, 0, 3, 9, -1);
	WRITTEN(base, 16 * PAGE, WRITE_WATCH_FLAG_RESET, 3, 9, -1);
	WRITTEN(base, 16 * PAGE, 0, -1);
	base[9 * PAGE] = 2;
	base[15 * PAGE + 0xFFF] = 2;
	WRITTEN(base, 16 * PAGE, 0, 9, 15, -1);
	CHECK(!ResetWriteWatch(base, 12 * PAGE));
	WRITTEN(base, 16 * PAGE, 0, 15, -1);
	RELEASE(base);
}

static void a_list_that_is_short(void)
{
	char *base = watched(64 * PAGE);
	void *list[10];
	ULONG_PTR count;
	DWORD granularity;

	NEED(base);
	for (int i = 0; i < 20; i++)
		base[3 * i * PAGE] = 1;
	for (int first = 0; first < 20; first += 10) {
		count = 10;
		EQUAL(GetWriteWatch(WRITE_WATCH_FLAG_RESET, base, 64 * PAGE, list, &count, &granularity), 0);
		EQUAL(count, 10);
		for (int i = 0; i < 10; i++)
			EQUAL(num(list[i]), num(base + 3 * (first + i) * PAGE));
	}
	WRITTEN(base, 64 * PAGE, 0, -1);
	RELEASE(base);
}

static void a_watch_outlives_protections(void)
{
	char *base = watched(8 * PAGE);
	DWORD old;

	NEED(base);
	base[PAGE] = 1;
	base[6 * PAGE] = 1;
	NEED(VirtualProtect(base, 4 * PAGE, PAGE_READONLY, &old));
	WRITTEN(base, 8 * PAGE, 0, 1, 6, -1);
	NEED(VirtualProtect(base, 4 * PAGE, PAGE_READWRITE, &old));
	WRITTEN(base, 8 * PAGE, WRITE_WATCH_FLAG_RESET, 1, 6, -1);
	base[2 * PAGE] = 1;
	WRITTEN(base, 8 * PAGE, 0, 2, -1);
	BLOCK(base, 8 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	RELEASE(base);
}

static void writes_of_the_system(void)
{
	char *base = watched(16 * PAGE), path[MAX_PATH], name[MAX_PATH];
	DWORD n = 0;
	HANDLE file;

	NEED(base && GetTempPathA(sizeof(path), path) && GetTempFileNameA(path, "ntvm", 0, name));
	file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
			   FILE_FLAG_DELETE_ON_CLOSE, NULL);
	NEED(file != INVALID_HANDLE_VALUE);
	memset(base, 0x3C, 3 * PAGE);
	CHECK(WriteFile(file, base, 3 * PAGE, &n, NULL) && n == 3 * PAGE);
	CHECK(!ResetWriteWatch(base, 16 * PAGE));
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(ReadFile(file, base + 5 * PAGE + 100, PAGE, &n, NULL) && n == PAGE);
	CHECK(filled(base + 5 * PAGE + 100, 0x3C, PAGE));
	WRITTEN(base, 16 * PAGE, WRITE_WATCH_FLAG_RESET, 5, 6, -1);
	/* A written buffer is only read. */
	CHECK(WriteFile(file, base, PAGE, &n, NULL));
	WRITTEN(base, 16 * PAGE, 0, -1);
	CloseHandle(file);
	RELEASE(base);
}

static void bad_watches(void)
{
	char *base = watched(4 * PAGE), *other = allocate(4 * PAGE);
	void *list[4];
	ULONG_PTR count = 4;
	DWORD granularity;

	NEED(base && other);
	CHECK(GetWriteWatch(0, other, PAGE, list, &count, &granularity));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(GetWriteWatch(0, base, 8 * SLOT, list, &count, &granularity));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(GetWriteWatch(0xDEAD, base, PAGE, list, &count, &granularity));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(ResetWriteWatch(other, PAGE));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(ResetWriteWatch(base, 0));
	EQUAL(count, 4);
	RELEASE(base);
	RELEASE(other);
}

enum { THREADS = 4, SHARE = 512 };
static char *shared;

static DWORD CALLBACK writer(void *arg)
{
	for (size_t i = 0; i < SHARE; i++)
		if (i % 3 == 0)
			shared[((size_t)arg * SHARE + i) * PAGE] = 1;
	return 0;
}

static void several_threads_write(void)
{
	static void *list[THREADS * SHARE];
	ULONG_PTR count;
	DWORD granularity;
	HANDLE thread[THREADS];

	shared = watched(THREADS * SHARE * PAGE);
	NEED(shared);
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < THREADS; i++)
			thread[i] = CreateThread(NULL, 0, writer, (void *)i, 0, NULL);
		EQUAL(WaitForMultipleObjects(THREADS, thread, TRUE, 60000), WAIT_OBJECT_0);
		for (size_t i = 0; i < THREADS; i++)
			CloseHandle(thread[i]);
		count = THREADS * SHARE;
		EQUAL(GetWriteWatch(WRITE_WATCH_FLAG_RESET, shared, THREADS * SHARE * PAGE, list, &count,
				    &granularity), 0);
		EQUAL(count, THREADS * ((SHARE + 2) / 3));
	}
	RELEASE(shared);
}

/* --- other attributes of pages --------------------------------------------------------- */

static void reset(void)
{
	char *base = allocate(8 * PAGE);

	NEED(base);
	memset(base, 0x77, 8 * PAGE);
	EQUAL(num(VirtualAlloc(base, 4 * PAGE, MEM_RESET, PAGE_NOACCESS)), num(base));
	/* What was there, or nothing; and usable as ever. */
	for (size_t i = 0; i < 4; i++)
		CHECK(filled(base + i * PAGE, 0x77, PAGE) || filled(base + i * PAGE, 0, PAGE));
	CHECK(filled(base + 4 * PAGE, 0x77, 4 * PAGE));
	BLOCK(base, 8 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	memset(base, 0x11, 4 * PAGE);
	CHECK(filled(base, 0x11, 4 * PAGE));
	RELEASE(base);
	CHECK(!VirtualAlloc(base, PAGE, MEM_RESET, PAGE_NOACCESS));
}

static void lock(void)
{
	char *base = reserve(SLOT);
	PVOID at;
	SIZE_T size = 1;

	NEED(base && commit(base, 4 * PAGE));
	memset(base, 2, 4 * PAGE);
	CHECK(VirtualLock(base, 3 * PAGE));
	CHECK(filled(base, 2, 4 * PAGE));
	CHECK(VirtualUnlock(base, 3 * PAGE));
	at = base + PAGE + 5;
	STATUS(NtLockVirtualMemory(SELF, &at, &size, MAP_PROCESS), 0);
	EQUAL(num(at), num(base + PAGE));
	EQUAL(size, PAGE);
	STATUS(NtUnlockVirtualMemory(SELF, &at, &size, MAP_PROCESS), 0);
	CHECK(!VirtualLock(base + 8 * PAGE, PAGE));
	/* Locked memory may be released. */
	CHECK(VirtualLock(base, PAGE));
	RELEASE(base);
}

static void prefetch(void)
{
	char *base = reserve(SLOT);
	MEMORY_RANGE_ENTRY range = { base, SLOT };
	ULONG zero = 0;

	NEED(base && commit(base, PAGE));
	STATUS(NtSetInformationVirtualMemory(SELF, VmPrefetchInformation, 1, &range, &zero, sizeof(zero)), 0);
	BLOCK(base, PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + PAGE, SLOT - PAGE, MEM_RESERVE, 0);
	RELEASE(base);
}

typedef DWORD (WINAPI *offer_function)(PVOID, SIZE_T, int);
typedef DWORD (WINAPI *reclaim_function)(PVOID, SIZE_T);

static void offer_and_reclaim(void)
{
	HMODULE kernel = GetModuleHandleA("kernel32.dll");
	offer_function offer = (offer_function)(void *)GetProcAddress(kernel, "OfferVirtualMemory");
	reclaim_function reclaim = (reclaim_function)(void *)GetProcAddress(kernel, "ReclaimVirtualMemory");
	char *base;

	if (!offer || !reclaim) {
		skip("no OfferVirtualMemory");
		return;
	}
	base = allocate(4 * PAGE);
	NEED(base);
	memset(base, 1, 4 * PAGE);
	EQUAL(offer(base, 4 * PAGE, 1), 0);
	reclaim(base, 4 * PAGE);
	memset(base, 2, 4 * PAGE);
	CHECK(filled(base, 2, 4 * PAGE));
	RELEASE(base);
}

/* Views are the system's, in the same address space. */
static void a_view_among_allocations(void)
{
	HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4 * SLOT, NULL);
	char *own = allocate(SLOT), *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
	char *other = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
	MEMORY_BASIC_INFORMATION info;
	DWORD old;

	NEED(section && own && view && other);
	memset(view, 0x42, 4 * SLOT);
	CHECK(filled(other, 0x42, 4 * SLOT));
	CHECK(filled(own, 0, SLOT));
	NEED(VirtualQuery(view, &info, sizeof(info)));
	EQUAL(info.Type, MEM_MAPPED);
	EQUAL(info.State, MEM_COMMIT);
	NEED(VirtualProtect(view + PAGE, PAGE, PAGE_READONLY, &old));
	STATUS(store(view + PAGE, 1), STATUS_ACCESS_VIOLATION);
	CHECK(!VirtualFree(view, 0, MEM_RELEASE));
	CHECK(FlushViewOfFile(view, 0));
	CHECK(UnmapViewOfFile(view));
	STATUS(load(view), STATUS_ACCESS_VIOLATION);
	CHECK(filled(other, 0x42, 4 * SLOT));
	CHECK(UnmapViewOfFile(other));
	CHECK(!UnmapViewOfFile(own));
	CHECK(filled(own, 0, SLOT));
	CloseHandle(section);
	RELEASE(own);
}

const struct test_case watch_cases[] = {
	{ "watch.pages_that_were_written", pages_that_were_written },
	{ "watch.a_list_that_is_short", a_list_that_is_short },
	{ "watch.outlives_protections", a_watch_outlives_protections },
	{ "watch.writes_of_the_system", writes_of_the_system },
	{ "watch.bad_watches", bad_watches },
	{ "watch.several_threads_write", several_threads_write },
	{ "pages.reset", reset },
	{ "pages.lock", lock },
	{ "pages.prefetch", prefetch },
	{ "pages.offer_and_reclaim", offer_and_reclaim },
	{ "pages.a_view_among_allocations", a_view_among_allocations },
	{ NULL, NULL },
};
