// SPDX-License-Identifier: GPL-2.0-only
/*
 * libnt-win32.h: each function's success, what the Win32 layer refuses itself,
 * the error codes, and the last error, which is a thread's own.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <libnt-win32.h>

#define SIZE	(16 * P)
#define UNTOUCHED	0x12345u

/* A call that must succeed leaves the last error alone. */
#define EXPECT_WORKS(call) do {						\
	SetLastError(UNTOUCHED);					\
	EXPECT_TRUE(call) {						\
		TH_LOG("%s: error %u", #call, GetLastError());		\
	}								\
	EXPECT_EQ(UNTOUCHED, GetLastError());				\
} while (0)

#define EXPECT_FAILS(error, call) do {					\
	SetLastError(UNTOUCHED);					\
	EXPECT_TRUE(!(call)) {						\
		TH_LOG("%s works", #call);				\
	}								\
	EXPECT_EQ((DWORD)(error), GetLastError()) {			\
		TH_LOG("%s", #call);					\
	}								\
} while (0)

static HANDLE closed_handle(void)
{
	int fd = dup(0);

	close(fd);
	return LibntFdToHandle(fd);
}

/* --- allocate, free --------------------------------------------------------------- */

TEST(alloc_and_free)
{
	uint8_t *p, *q;

	EXPECT_WORKS((p = VirtualAlloc(NULL, SIZE - 5, MEM_RESERVE, PAGE_READWRITE)) != NULL);
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
	EXPECT_WORKS((q = VirtualAlloc(p + P + 7, 1, MEM_COMMIT, PAGE_READWRITE)) == p + P);
	EXPECT_WRITE(p + P, 1);
	EXPECT_WORKS(VirtualFree(p + P, P, MEM_DECOMMIT));
	EXPECT_NO_ACCESS(p + P);
	EXPECT_WORKS(VirtualFree(p, 0, MEM_RELEASE));
	EXPECT_FREE(p);
	EXPECT_WORKS((p = VirtualAllocEx(GetCurrentProcess(), (LPVOID)FIXED, SIZE,
					 MEM_RESERVE | MEM_COMMIT, PAGE_READONLY)) == (void *)FIXED);
	EXPECT_READ(p, 0);
	EXPECT_WORKS(VirtualFreeEx(GetCurrentProcess(), p, 0, MEM_RELEASE));
	EXPECT_FREE(p);
}

TEST(alloc_errors)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE, PAGE_READWRITE);
	struct snap before, after;

	ASSERT_NE(NULL, p);
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualAlloc(NULL, 0, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualAlloc(p, 0, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualAlloc(NULL, P, MEM_RESERVE, 0));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualAlloc(NULL, P, 0, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     VirtualAlloc((LPVOID)KERNEL_ADDRESS, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_ADDRESS, VirtualAlloc(p, SIZE, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_ADDRESS,
		     VirtualAlloc(p, SIZE + P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_HANDLE,
		     VirtualAllocEx(closed_handle(), NULL, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_HANDLE,
		     VirtualAllocEx(LibntFdToHandle(0), NULL, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_HANDLE,
		     VirtualAllocEx(NULL, NULL, P, MEM_RESERVE, PAGE_READWRITE));
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST(the_lowest_64_kib_are_refused_before_anything_else)
{
	/* Neither the handle nor the type is looked at. */
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     VirtualAlloc((LPVOID)1, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     VirtualAlloc((LPVOID)0xffff, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     VirtualAllocEx(NULL, (LPVOID)P, P, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_FAILS(ERROR_INVALID_ADDRESS,
		     VirtualAlloc((LPVOID)0x10000, P, MEM_COMMIT, PAGE_READWRITE));
}

TEST(a_release_with_a_size_is_refused_under_either_contract)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	ULONG contract;

	ASSERT_NE(NULL, p);
	for (contract = 0; contract < 2; contract++) {
		ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, contract));
		EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFree(p, SIZE, MEM_RELEASE));
		EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFree(p, 1, MEM_RELEASE));
		/* Before the handle. */
		EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFreeEx(NULL, p, P, MEM_RELEASE));
	}
	EXPECT_WRITE(p + SIZE - 1, 1);
}

TEST(free_errors)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	void *file;
	int fd;

	ASSERT_NE(NULL, p);
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFree(p, 0, 0));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFree(p, 0, MEM_FREE));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFree(p, 0, MEM_DECOMMIT | MEM_RELEASE));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFree(p, SIZE + P, MEM_DECOMMIT));
	EXPECT_FAILS(ERROR_INVALID_ADDRESS, VirtualFree(p + P, 0, MEM_RELEASE));
	EXPECT_FAILS(ERROR_INVALID_ADDRESS, VirtualFree(NULL, 0, MEM_RELEASE));
	EXPECT_FAILS(ERROR_INVALID_ADDRESS, VirtualFree((LPVOID)FIXED, P, MEM_DECOMMIT));
	EXPECT_FAILS(ERROR_INVALID_HANDLE, VirtualFreeEx(NULL, p, 0, MEM_RELEASE));
	fd = open("/proc/self/exe", O_RDONLY);
	ASSERT_LE(0, fd);
	file = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0);
	if (file != MAP_FAILED)
		EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualFree(file, 0, MEM_RELEASE));
	EXPECT_WRITE(p, 1);
}

TEST(alloc2_takes_no_process_as_the_own_one)
{
	MEM_ADDRESS_REQUIREMENTS where = { .Alignment = MIB };
	MEM_EXTENDED_PARAMETER parameter;
	uint8_t *p;

	memset(&parameter, 0, sizeof(parameter));
	parameter.Type = MemExtendedParameterAddressRequirements;
	parameter.Pointer = &where;
	EXPECT_WORKS((p = VirtualAlloc2(NULL, NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE,
					&parameter, 1)) != NULL);
	EXPECT_EQ(0, (uintptr_t)p % MIB);
	EXPECT_WRITE(p, 1);
	EXPECT_WORKS(VirtualFree(p, 0, MEM_RELEASE));
	EXPECT_WORKS((p = VirtualAlloc2(GetCurrentProcess(), NULL, SIZE, MEM_RESERVE,
					PAGE_READWRITE, NULL, 0)) != NULL);
	where.Alignment = 3;
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     VirtualAlloc2(NULL, NULL, SIZE, MEM_RESERVE, PAGE_READWRITE, &parameter, 1));
	EXPECT_FAILS(ERROR_INVALID_HANDLE,
		     VirtualAlloc2(closed_handle(), NULL, SIZE, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
}

TEST(placeholders_are_freed_with_a_size)
{
	uint8_t *p;

	EXPECT_WORKS((p = VirtualAlloc2(NULL, NULL, SIZE, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
					PAGE_NOACCESS, NULL, 0)) != NULL);
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     VirtualFree(p, 0, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER));
	EXPECT_WORKS(VirtualFree(p, 4 * P, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER));
	EXPECT_WORKS(VirtualAlloc2(NULL, p, 4 * P, MEM_RESERVE | MEM_COMMIT |
				   MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE, NULL, 0) == p);
	EXPECT_WRITE(p, 1);
	EXPECT_WORKS(VirtualFree(p, 4 * P, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER));
	EXPECT_WORKS(VirtualFree(p, SIZE, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS));
	EXPECT_WORKS(VirtualFree(p, 0, MEM_RELEASE));
}

/* --- protect, query ----------------------------------------------------------------- */

TEST(protect_and_its_errors)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE, PAGE_READWRITE);
	DWORD old = 0;

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, VirtualAlloc(p, 2 * P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_WORKS(VirtualProtect(p, P, PAGE_READONLY, &old));
	EXPECT_EQ(PAGE_READWRITE, old);
	EXPECT_NO_WRITE(p);
	EXPECT_WORKS(VirtualProtectEx(GetCurrentProcess(), p, 1, PAGE_READWRITE, &old));
	EXPECT_EQ(PAGE_READONLY, old);
	EXPECT_FAILS(ERROR_NOACCESS, VirtualProtect(p, P, PAGE_READONLY, NULL));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualProtect(p, P, 0, &old));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualProtect(p, P, PAGE_WRITECOPY, &old));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualProtect(p, 0, PAGE_READONLY, &old));
	EXPECT_FAILS(ERROR_INVALID_ADDRESS, VirtualProtect(p, 3 * P, PAGE_READONLY, &old));
	EXPECT_EQ(PAGE_NOACCESS, old);
	EXPECT_FAILS(ERROR_INVALID_ADDRESS, VirtualProtect((LPVOID)FIXED, P, PAGE_READONLY, &old));
	EXPECT_FAILS(ERROR_INVALID_HANDLE, VirtualProtectEx(NULL, p, P, PAGE_READONLY, &old));
	EXPECT_WRITE(p, 1);
}

TEST(query_and_its_errors)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE, PAGE_EXECUTE_READ);
	MEMORY_BASIC_INFORMATION mbi;

	ASSERT_NE(NULL, p);
	memset(&mbi, 0xa5, sizeof(mbi));
	EXPECT_WORKS(VirtualQuery(p + P + 1, &mbi, sizeof(mbi)) == sizeof(mbi));
	EXPECT_EQ(p + P, mbi.BaseAddress);
	EXPECT_EQ(p, mbi.AllocationBase);
	EXPECT_EQ(PAGE_EXECUTE_READ, mbi.AllocationProtect);
	EXPECT_EQ(SIZE - P, mbi.RegionSize);
	EXPECT_EQ(MEM_RESERVE, mbi.State);
	EXPECT_WORKS(VirtualQueryEx(GetCurrentProcess(), p, &mbi, sizeof(mbi)) == sizeof(mbi));
	EXPECT_FAILS(ERROR_BAD_LENGTH, VirtualQuery(p, &mbi, sizeof(mbi) - 1));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     VirtualQuery((LPCVOID)KERNEL_ADDRESS, &mbi, sizeof(mbi)));
	EXPECT_FAILS(ERROR_NOACCESS, VirtualQuery(p, NULL, sizeof(mbi)));
	EXPECT_FAILS(ERROR_INVALID_HANDLE, VirtualQueryEx(NULL, p, &mbi, sizeof(mbi)));
}

/* --- locks, write watch, hints ------------------------------------------------------- */

TEST(lock_and_unlock)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, VirtualAlloc(p, 2 * P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_WORKS(VirtualLock(p + 5, P));
	/* WAS_LOCKED is a success. */
	EXPECT_WORKS(VirtualLock(p, 2 * P));
	EXPECT_WORKS(VirtualUnlock(p, 2 * P));
	EXPECT_FAILS(ERROR_NOT_LOCKED, VirtualUnlock(p, P));
	EXPECT_FAILS(ERROR_NOACCESS, VirtualLock(p, 3 * P));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, VirtualLock(p, 0));
}

TEST(write_watch)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
				  PAGE_READWRITE);
	uint8_t *plain = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	PVOID list[16] = { NULL };
	ULONG_PTR count = 16;
	DWORD unit = 0;

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, plain);
	p[3 * P] = 1;
	EXPECT_WORKS(!GetWriteWatch(0, p, SIZE, list, &count, &unit));
	EXPECT_EQ(1, count);
	EXPECT_EQ(p + 3 * P, list[0]);
	EXPECT_EQ(P, unit);
	EXPECT_WORKS(!ResetWriteWatch(p, SIZE));
	count = 16;
	EXPECT_WORKS(!GetWriteWatch(WRITE_WATCH_FLAG_RESET, p, SIZE, list, &count, &unit));
	EXPECT_EQ(0, count);

	/* An error is all ones. */
	count = 0;
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     GetWriteWatch(0, p, SIZE, list, &count, &unit) != ~0u);
	count = 16;
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     GetWriteWatch(2, p, SIZE, list, &count, &unit) != ~0u);
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     GetWriteWatch(0, p, 2 * SIZE, list, &count, &unit) != ~0u);
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     GetWriteWatch(0, plain, SIZE, list, &count, &unit) != ~0u);
	EXPECT_FAILS(ERROR_NOACCESS, GetWriteWatch(0, p, SIZE, NULL, &count, &unit) != ~0u);
	EXPECT_FAILS(ERROR_NOACCESS, GetWriteWatch(0, p, SIZE, list, NULL, &unit) != ~0u);
	EXPECT_FAILS(ERROR_NOACCESS, GetWriteWatch(0, p, SIZE, list, &count, NULL) != ~0u);
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, ResetWriteWatch(plain, SIZE) != ~0u);
	EXPECT_FAILS(ERROR_INVALID_PARAMETER, ResetWriteWatch(NULL, SIZE) != ~0u);
}

TEST(prefetch)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	WIN32_MEMORY_RANGE_ENTRY ranges[2] = { { p, SIZE }, { NULL, P } };

	ASSERT_NE(NULL, p);
	EXPECT_WORKS(PrefetchVirtualMemory(GetCurrentProcess(), 2, ranges, 0));
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     PrefetchVirtualMemory(GetCurrentProcess(), 0, ranges, 0));
	EXPECT_FAILS(ERROR_NOACCESS, PrefetchVirtualMemory(GetCurrentProcess(), 1, NULL, 0));
	ranges[0].NumberOfBytes = 0;
	EXPECT_FAILS(ERROR_INVALID_PARAMETER,
		     PrefetchVirtualMemory(GetCurrentProcess(), 1, ranges, 0));
}

TEST(offer_reclaim_and_discard_return_the_error)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	DWORD error;

	ASSERT_NE(NULL, p);
	p[0] = 7;
	SetLastError(UNTOUCHED);
	EXPECT_EQ(ERROR_SUCCESS, OfferVirtualMemory(p, SIZE, VmOfferPriorityNormal));
	EXPECT_NO_ACCESS(p);
	error = ReclaimVirtualMemory(p, SIZE);
	EXPECT_TRUE(error == ERROR_SUCCESS || error == ERROR_BUSY);
	EXPECT_READ(p, error == ERROR_SUCCESS ? 7 : 0);
	EXPECT_EQ(ERROR_SUCCESS, DiscardVirtualMemory(p, SIZE));
	EXPECT_WRITE(p, 1);
	EXPECT_EQ(ERROR_INVALID_PARAMETER, OfferVirtualMemory(p, SIZE, (OFFER_PRIORITY)9));
	EXPECT_NE(ERROR_SUCCESS, OfferVirtualMemory(p + 1, P, VmOfferPriorityLow));
	EXPECT_NE(ERROR_SUCCESS, ReclaimVirtualMemory((LPVOID)FIXED, P));
	EXPECT_NE(ERROR_SUCCESS, DiscardVirtualMemory((LPVOID)FIXED, P));
	EXPECT_EQ(UNTOUCHED, GetLastError());
}

TEST(large_page_minimum)
{
	int64_t size = read_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");

	EXPECT_EQ(size < 0 ? 0 : size, (int64_t)GetLargePageMinimum());
}

/* --- copies -------------------------------------------------------------------------- */

TEST(read_is_all_or_nothing)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE, PAGE_READWRITE);
	static uint8_t buf[2 * P];
	SIZE_T done = 1;

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, VirtualAlloc(p, P, MEM_COMMIT, PAGE_READWRITE));
	ASSERT_NE(NULL, VirtualAlloc(p + P, P, MEM_COMMIT, PAGE_NOACCESS));
	memset(p, 0x5a, P);
	EXPECT_WORKS(ReadProcessMemory(GetCurrentProcess(), p + 1, buf, P - 1, &done));
	EXPECT_EQ(P - 1, done);
	EXPECT_EQ(0x5a, buf[P - 2]);
	EXPECT_FAILS(ERROR_PARTIAL_COPY,
		     ReadProcessMemory(GetCurrentProcess(), p, buf, 2 * P, &done));
	EXPECT_EQ(0, done);
	EXPECT_WORKS(ReadProcessMemory(GetCurrentProcess(), p, buf, P, NULL));
	done = 1;
	EXPECT_FAILS(ERROR_INVALID_HANDLE, ReadProcessMemory(NULL, p, buf, P, &done));
	EXPECT_EQ(0, done);
}

TEST(write_goes_through_executable_pages)
{
	static const ULONG prots[5] = {
		PAGE_READWRITE, PAGE_EXECUTE_READ, PAGE_EXECUTE, PAGE_EXECUTE_READWRITE,
		PAGE_READWRITE,
	};
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE, PAGE_READWRITE);
	static uint8_t buf[5 * P];
	SIZE_T done = 0;
	int i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 5; i++)
		ASSERT_NE(NULL, VirtualAlloc(p + i * P, P, MEM_COMMIT, prots[i]));
	put_code(buf, 1234);
	EXPECT_WORKS(WriteProcessMemory(GetCurrentProcess(), p + P, buf, 16, &done));
	EXPECT_EQ(16, done);
	EXPECT_EXEC(p + P, 1234);
	EXPECT_NO_WRITE(p + P);
	/* Across all kinds at once; each keeps its protection. */
	memset(buf, 0x77, sizeof(buf));
	EXPECT_WORKS(WriteProcessMemory(GetCurrentProcess(), p + 1, buf, 5 * P - 2, &done));
	EXPECT_EQ(5 * P - 2, done);
	EXPECT_READ(p, 0);
	EXPECT_READ(p + 5 * P - 1, 0);
	for (i = 0; i < 5; i++) {
		EXPECT_READ(p + i * P + 1, 0x77);
		EXPECT_READ(p + i * P + P - 2, 0x77);
		EXPECT_EQ(prots[i], page_protect(p + i * P));
	}
}

TEST(write_to_what_is_read_only)
{
	uint8_t *p = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	static uint8_t buf[2 * P];
	SIZE_T done = 0xabc;
	DWORD old;

	ASSERT_NE(NULL, p);
	ASSERT_TRUE(VirtualProtect(p + P, P, PAGE_READONLY, &old));
	EXPECT_FAILS(ERROR_NOACCESS,
		     WriteProcessMemory(GetCurrentProcess(), p + P, buf, 8, &done));
	EXPECT_EQ(0xabc, done);
	memset(buf, 0x11, sizeof(buf));
	EXPECT_FAILS(ERROR_PARTIAL_COPY,
		     WriteProcessMemory(GetCurrentProcess(), p, buf, 2 * P, &done));
	EXPECT_EQ(P, done);
	EXPECT_READ(p + P - 1, 0x11);
	EXPECT_READ(p + P, 0);
	EXPECT_EQ(PAGE_READONLY, page_protect(p + P));
	EXPECT_FAILS(ERROR_INVALID_HANDLE, WriteProcessMemory(NULL, p, buf, 1, &done));
	EXPECT_WORKS(WriteProcessMemory(GetCurrentProcess(), p, buf, 0, &done));
	EXPECT_EQ(0, done);
}

/* --- errors ---------------------------------------------------------------------------- */

TEST(close_handle)
{
	HANDLE h = LibntFdToHandle(own_device());

	EXPECT_WORKS(CloseHandle(h));
	EXPECT_FAILS(ERROR_INVALID_HANDLE, CloseHandle(h));
	EXPECT_WORKS(CloseHandle(GetCurrentProcess()));
}

static void *other_thread(void *arg)
{
	DWORD *seen = arg;

	seen[0] = GetLastError();
	VirtualFree(NULL, 0, 0);
	seen[1] = GetLastError();
	SetLastError(3);
	seen[2] = GetLastError();
	return NULL;
}

TEST(the_last_error_is_a_threads_own)
{
	DWORD seen[3] = { 1, 1, 1 };
	pthread_t thread;

	SetLastError(UNTOUCHED);
	ASSERT_EQ(0, pthread_create(&thread, NULL, other_thread, seen));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, seen[0]);
	EXPECT_EQ(ERROR_INVALID_PARAMETER, seen[1]);
	EXPECT_EQ(3, seen[2]);
	EXPECT_EQ(UNTOUCHED, GetLastError());
}

TEST(every_status_of_the_module_has_its_error)
{
	static const struct {
		NTSTATUS status;
		ULONG error;
	} t[] = {
		{ STATUS_SUCCESS, 0 }, { STATUS_PENDING, 997 },
		{ STATUS_GUARD_PAGE_VIOLATION, 0x80000001 }, { STATUS_DATATYPE_MISALIGNMENT, 998 },
		{ STATUS_BUFFER_OVERFLOW, 234 }, { STATUS_PARTIAL_COPY, 299 },
		{ STATUS_UNSUCCESSFUL, 31 }, { STATUS_INVALID_INFO_CLASS, 87 },
		{ STATUS_INFO_LENGTH_MISMATCH, 24 }, { STATUS_ACCESS_VIOLATION, 998 },
		{ STATUS_IN_PAGE_ERROR, 999 }, { STATUS_INVALID_HANDLE, 6 },
		{ STATUS_INVALID_CID, 87 }, { STATUS_INVALID_PARAMETER, 87 },
		{ STATUS_NO_SUCH_DEVICE, 2 }, { STATUS_NO_MEMORY, 8 },
		{ STATUS_CONFLICTING_ADDRESSES, 487 }, { STATUS_NOT_MAPPED_VIEW, 487 },
		{ STATUS_UNABLE_TO_FREE_VM, 87 }, { STATUS_UNABLE_TO_DELETE_SECTION, 87 },
		{ STATUS_ALREADY_COMMITTED, 5 }, { STATUS_ACCESS_DENIED, 5 },
		{ STATUS_OBJECT_TYPE_MISMATCH, 6 }, { STATUS_NOT_LOCKED, 158 },
		{ STATUS_NOT_COMMITTED, 487 }, { STATUS_INVALID_PARAMETER_MIX, 87 },
		{ STATUS_QUOTA_EXCEEDED, 1816 }, { STATUS_INVALID_PAGE_PROTECTION, 87 },
		{ STATUS_REVISION_MISMATCH, 1306 }, { STATUS_PRIVILEGE_NOT_HELD, 1314 },
		{ STATUS_INSUFFICIENT_RESOURCES, 1450 }, { STATUS_FREE_VM_NOT_AT_BASE, 487 },
		{ STATUS_MEMORY_NOT_ALLOCATED, 487 }, { STATUS_WORKING_SET_QUOTA, 1453 },
		{ STATUS_NOT_SUPPORTED, 50 }, { STATUS_INVALID_USER_BUFFER, 1784 },
		{ STATUS_INVALID_PARAMETER_1, 87 }, { STATUS_INVALID_PARAMETER_6, 87 },
		{ (NTSTATUS)0xC00000FA, 87 }, { (NTSTATUS)0xC00000FB, 317 },
		{ STATUS_STACK_OVERFLOW, 1001 }, { STATUS_PROCESS_IS_TERMINATING, 5 },
		{ STATUS_COMMITMENT_LIMIT, 1455 }, { STATUS_INVALID_ADDRESS, 487 },
		{ STATUS_NOT_FOUND, 1168 }, { (NTSTATUS)0xC0123456, 317 },
		/* An error code in a status, and a program's own status. */
		{ (NTSTATUS)0xC0070057, 87 }, { (NTSTATUS)0x80070057, 87 },
		{ (NTSTATUS)0xE0001234, 0xE0001234 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		EXPECT_EQ(t[i].error, RtlNtStatusToDosError(t[i].status)) {
			TH_LOG("%s", status_name(t[i].status));
		}
}

TEST_HARNESS_MAIN
