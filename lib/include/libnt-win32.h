/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnt-win32: Win32's memory functions as inline functions over libnt's calls.
 *
 * Prototypes and rules are those of Win32: a function that fails sets the
 * thread's last error (GetLastError()), one that succeeds leaves it alone; what
 * the Nt call rounds is not given back; the address and the size go in by value.
 * What the Win32 layer refuses itself, before the Nt call, is said at each
 * function. Everything else is what the Nt call answers, seen through
 * RtlNtStatusToDosError().
 *
 * The names are Win32's own: a program that declares functions of these names
 * itself does not include this file. LIBNT_NO_BASIC_TYPES, as for libnt.h, takes
 * the types as they are, BOOL, LPVOID and the like included. WINAPI and the
 * ERROR_ constants are defined only where they are not yet. C89 (with the inline
 * of GCC and Clang) to C17, C++98 and later.
 */
#ifndef LIBNT_WIN32_H
#define LIBNT_WIN32_H

#include <libnt.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef WINAPI
#define WINAPI
#endif

#ifndef LIBNT_NO_BASIC_TYPES
typedef int BOOL;
typedef unsigned int UINT;
typedef DWORD *PDWORD;
typedef DWORD *LPDWORD;
typedef void *LPVOID;
typedef const void *LPCVOID;
__extension__ typedef __UINT64_TYPE__ ULONG64;
#endif

#ifndef LIBNT_NO_MEMORY_TYPES
typedef struct _WIN32_MEMORY_RANGE_ENTRY {
	PVOID VirtualAddress;
	SIZE_T NumberOfBytes;
} WIN32_MEMORY_RANGE_ENTRY, *PWIN32_MEMORY_RANGE_ENTRY;
#endif

#ifndef FALSE
#define FALSE	0
#endif
#ifndef TRUE
#define TRUE	1
#endif

#ifndef ERROR_SUCCESS
#define ERROR_SUCCESS			0
#endif
#ifndef ERROR_FILE_NOT_FOUND
#define ERROR_FILE_NOT_FOUND		2
#endif
#ifndef ERROR_ACCESS_DENIED
#define ERROR_ACCESS_DENIED		5
#endif
#ifndef ERROR_INVALID_HANDLE
#define ERROR_INVALID_HANDLE		6
#endif
#ifndef ERROR_NOT_ENOUGH_MEMORY
#define ERROR_NOT_ENOUGH_MEMORY		8
#endif
#ifndef ERROR_BAD_LENGTH
#define ERROR_BAD_LENGTH		24
#endif
#ifndef ERROR_GEN_FAILURE
#define ERROR_GEN_FAILURE		31
#endif
#ifndef ERROR_NOT_SUPPORTED
#define ERROR_NOT_SUPPORTED		50
#endif
#ifndef ERROR_INVALID_PARAMETER
#define ERROR_INVALID_PARAMETER		87
#endif
#ifndef ERROR_NOT_LOCKED
#define ERROR_NOT_LOCKED		158
#endif
#ifndef ERROR_BUSY
#define ERROR_BUSY			170
#endif
#ifndef ERROR_PARTIAL_COPY
#define ERROR_PARTIAL_COPY		299
#endif
#ifndef ERROR_MR_MID_NOT_FOUND
#define ERROR_MR_MID_NOT_FOUND		317
#endif
#ifndef ERROR_INVALID_ADDRESS
#define ERROR_INVALID_ADDRESS		487
#endif
#ifndef ERROR_NOACCESS
#define ERROR_NOACCESS			998
#endif
#ifndef ERROR_PRIVILEGE_NOT_HELD
#define ERROR_PRIVILEGE_NOT_HELD	1314
#endif
#ifndef ERROR_NO_SYSTEM_RESOURCES
#define ERROR_NO_SYSTEM_RESOURCES	1450
#endif
#ifndef ERROR_WORKING_SET_QUOTA
#define ERROR_WORKING_SET_QUOTA		1453
#endif
#ifndef ERROR_COMMITMENT_LIMIT
#define ERROR_COMMITMENT_LIMIT		1455
#endif

/* Used by the functions below only. */
#define LIBNT_W32	static __inline__ __attribute__((__unused__))

/* --- errors and handles ----------------------------------------------------------- */

LIBNT_W32 DWORD WINAPI GetLastError(void)
{
	return *LibntLastError();
}

LIBNT_W32 void WINAPI SetLastError(DWORD dwErrCode)
{
	*LibntLastError() = dwErrCode;
}

/* TRUE, or FALSE with the last error set. */
LIBNT_W32 BOOL libnt_w32_result(NTSTATUS status)
{
	if (NT_SUCCESS(status))
		return TRUE;
	*LibntLastError() = RtlNtStatusToDosError(status);
	return FALSE;
}

LIBNT_W32 HANDLE WINAPI GetCurrentProcess(void)
{
	return NtCurrentProcess();
}

LIBNT_W32 BOOL WINAPI CloseHandle(HANDLE hObject)
{
	return libnt_w32_result(NtClose(hObject));
}

/* --- allocate, free, protect, query ------------------------------------------------- */

/* The lowest 64 KiB are refused here: ERROR_INVALID_PARAMETER. */
LIBNT_W32 LPVOID WINAPI VirtualAllocEx(HANDLE hProcess, LPVOID lpAddress, SIZE_T dwSize,
				       DWORD flAllocationType, DWORD flProtect)
{
	PVOID base = lpAddress;
	SIZE_T size = dwSize;

	if (lpAddress && (ULONG_PTR)lpAddress < 0x10000) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return (LPVOID)0;
	}
	if (!libnt_w32_result(NtAllocateVirtualMemory(hProcess, &base, 0, &size,
						      flAllocationType, flProtect)))
		return (LPVOID)0;
	return base;
}

LIBNT_W32 LPVOID WINAPI VirtualAlloc(LPVOID lpAddress, SIZE_T dwSize, DWORD flAllocationType,
				     DWORD flProtect)
{
	return VirtualAllocEx(NtCurrentProcess(), lpAddress, dwSize, flAllocationType, flProtect);
}

/* No process means one's own. */
LIBNT_W32 PVOID WINAPI VirtualAlloc2(HANDLE Process, PVOID BaseAddress, SIZE_T Size,
				     ULONG AllocationType, ULONG PageProtection,
				     MEM_EXTENDED_PARAMETER *ExtendedParameters,
				     ULONG ParameterCount)
{
	PVOID base = BaseAddress;
	SIZE_T size = Size;

	if (!Process)
		Process = NtCurrentProcess();
	if (!libnt_w32_result(NtAllocateVirtualMemoryEx(Process, &base, &size, AllocationType,
							PageProtection, ExtendedParameters,
							ParameterCount)))
		return (PVOID)0;
	return base;
}

/*
 * MEM_RELEASE alone with a size is refused here, whatever the contract of the
 * process says: ERROR_INVALID_PARAMETER. With MEM_PRESERVE_PLACEHOLDER or
 * MEM_COALESCE_PLACEHOLDERS it has one.
 */
LIBNT_W32 BOOL WINAPI VirtualFreeEx(HANDLE hProcess, LPVOID lpAddress, SIZE_T dwSize,
				    DWORD dwFreeType)
{
	PVOID base = lpAddress;
	SIZE_T size = dwSize;

	if (dwFreeType == MEM_RELEASE && dwSize) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return FALSE;
	}
	return libnt_w32_result(NtFreeVirtualMemory(hProcess, &base, &size, dwFreeType));
}

LIBNT_W32 BOOL WINAPI VirtualFree(LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType)
{
	return VirtualFreeEx(NtCurrentProcess(), lpAddress, dwSize, dwFreeType);
}

/* Without lpflOldProtect: ERROR_NOACCESS. */
LIBNT_W32 BOOL WINAPI VirtualProtectEx(HANDLE hProcess, LPVOID lpAddress, SIZE_T dwSize,
				       DWORD flNewProtect, PDWORD lpflOldProtect)
{
	PVOID base = lpAddress;
	SIZE_T size = dwSize;

	return libnt_w32_result(NtProtectVirtualMemory(hProcess, &base, &size, flNewProtect,
						       (PULONG)lpflOldProtect));
}

LIBNT_W32 BOOL WINAPI VirtualProtect(LPVOID lpAddress, SIZE_T dwSize, DWORD flNewProtect,
				     PDWORD lpflOldProtect)
{
	return VirtualProtectEx(NtCurrentProcess(), lpAddress, dwSize, flNewProtect,
				lpflOldProtect);
}

/* The bytes written to the buffer, or 0. */
LIBNT_W32 SIZE_T WINAPI VirtualQueryEx(HANDLE hProcess, LPCVOID lpAddress,
				       PMEMORY_BASIC_INFORMATION lpBuffer, SIZE_T dwLength)
{
	SIZE_T written = 0;

	if (!libnt_w32_result(NtQueryVirtualMemory(hProcess, (PVOID)lpAddress,
						   MemoryBasicInformation, lpBuffer, dwLength,
						   &written)))
		return 0;
	return written;
}

LIBNT_W32 SIZE_T WINAPI VirtualQuery(LPCVOID lpAddress, PMEMORY_BASIC_INFORMATION lpBuffer,
				     SIZE_T dwLength)
{
	return VirtualQueryEx(NtCurrentProcess(), lpAddress, lpBuffer, dwLength);
}

/* --- locks, write watch, hints ------------------------------------------------------ */

LIBNT_W32 BOOL WINAPI VirtualLock(LPVOID lpAddress, SIZE_T dwSize)
{
	PVOID base = lpAddress;
	SIZE_T size = dwSize;

	return libnt_w32_result(NtLockVirtualMemory(NtCurrentProcess(), &base, &size, 1));
}

LIBNT_W32 BOOL WINAPI VirtualUnlock(LPVOID lpAddress, SIZE_T dwSize)
{
	PVOID base = lpAddress;
	SIZE_T size = dwSize;

	return libnt_w32_result(NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, 1));
}

/* Both: 0, or ~0u with the last error set. */
LIBNT_W32 UINT WINAPI GetWriteWatch(DWORD dwFlags, PVOID lpBaseAddress, SIZE_T dwRegionSize,
				    PVOID *lpAddresses, ULONG_PTR *lpdwCount,
				    LPDWORD lpdwGranularity)
{
	return libnt_w32_result(NtGetWriteWatch(NtCurrentProcess(), dwFlags, lpBaseAddress,
						dwRegionSize, lpAddresses, lpdwCount,
						(PULONG)lpdwGranularity)) ? 0 : ~0u;
}

LIBNT_W32 UINT WINAPI ResetWriteWatch(LPVOID lpBaseAddress, SIZE_T dwRegionSize)
{
	return libnt_w32_result(NtResetWriteWatch(NtCurrentProcess(), lpBaseAddress,
						  dwRegionSize)) ? 0 : ~0u;
}

LIBNT_W32 BOOL WINAPI PrefetchVirtualMemory(HANDLE hProcess, ULONG_PTR NumberOfEntries,
					    PWIN32_MEMORY_RANGE_ENTRY VirtualAddresses,
					    ULONG Flags)
{
	/* Win32's entry is NT's. */
	return libnt_w32_result(NtSetInformationVirtualMemory(
		hProcess, VmPrefetchInformation, NumberOfEntries,
		(PMEMORY_RANGE_ENTRY)(PVOID)VirtualAddresses, &Flags, sizeof(Flags)));
}

/* These three return the error itself and leave the last error alone. */
LIBNT_W32 DWORD WINAPI OfferVirtualMemory(PVOID VirtualAddress, SIZE_T Size,
					  OFFER_PRIORITY Priority)
{
	return RtlNtStatusToDosError(LibntOfferVirtualMemory(NtCurrentProcess(), VirtualAddress,
							     Size, (ULONG)Priority));
}

/* ERROR_BUSY: contents were lost, the memory can be used. */
LIBNT_W32 DWORD WINAPI ReclaimVirtualMemory(LPCVOID VirtualAddress, SIZE_T Size)
{
	return RtlNtStatusToDosError(LibntReclaimVirtualMemory(NtCurrentProcess(),
							       (PVOID)VirtualAddress, Size));
}

LIBNT_W32 DWORD WINAPI DiscardVirtualMemory(PVOID VirtualAddress, SIZE_T Size)
{
	return RtlNtStatusToDosError(LibntDiscardVirtualMemory(NtCurrentProcess(), VirtualAddress,
							       Size));
}

/* What MEM_LARGE_PAGES would have to be a multiple of; 0: there are none. */
LIBNT_W32 SIZE_T WINAPI GetLargePageMinimum(void)
{
	return LibntLargePageMinimum();
}

/* --- copies ----------------------------------------------------------------------------- */

/* All or nothing: ERROR_PARTIAL_COPY says that 0 bytes were read. */
LIBNT_W32 BOOL WINAPI ReadProcessMemory(HANDLE hProcess, LPCVOID lpBaseAddress, LPVOID lpBuffer,
					SIZE_T nSize, SIZE_T *lpNumberOfBytesRead)
{
	SIZE_T done = 0;
	BOOL ok = libnt_w32_result(NtReadVirtualMemory(hProcess, (PVOID)lpBaseAddress, lpBuffer,
						       nSize, &done));

	if (lpNumberOfBytesRead)
		*lpNumberOfBytesRead = ok ? done : 0;
	return ok;
}

/*
 * Executable pages that are not writable are made so for the copy, run by run,
 * which needs PROCESS_VM_OPERATION and the right to query. A target that begins
 * with a page that is neither is ERROR_NOACCESS, with the count not written;
 * where such pages come later it is ERROR_PARTIAL_COPY.
 */
LIBNT_W32 BOOL WINAPI WriteProcessMemory(HANDLE hProcess, LPVOID lpBaseAddress, LPCVOID lpBuffer,
					 SIZE_T nSize, SIZE_T *lpNumberOfBytesWritten)
{
	NTSTATUS status = STATUS_SUCCESS;
	SIZE_T total = 0, done;

	for (;;) {
		char *at = (char *)lpBaseAddress + total;
		MEMORY_BASIC_INFORMATION mbi;
		SIZE_T run;
		PVOID base;
		ULONG old;

		/* Nearly always this is all. */
		done = 0;
		status = NtWriteVirtualMemory(hProcess, at, (char *)lpBuffer + total,
					      nSize - total, &done);
		total += done;
		at += done;
		if (NT_SUCCESS(status) || total >= nSize ||
		    (status != STATUS_PARTIAL_COPY && status != STATUS_ACCESS_VIOLATION))
			break;
		if (!NT_SUCCESS(NtQueryVirtualMemory(hProcess, at, MemoryBasicInformation, &mbi,
						     sizeof(mbi), (PSIZE_T)0)) ||
		    mbi.State != MEM_COMMIT ||
		    (mbi.Protect != PAGE_EXECUTE && mbi.Protect != PAGE_EXECUTE_READ)) {
			if (!total && mbi.State == MEM_COMMIT)
				status = STATUS_ACCESS_VIOLATION;
			break;
		}
		run = mbi.RegionSize - (SIZE_T)(at - (char *)mbi.BaseAddress);
		if (run > nSize - total)
			run = nSize - total;
		base = at;
		mbi.RegionSize = run;
		status = NtProtectVirtualMemory(hProcess, &base, &mbi.RegionSize,
						PAGE_EXECUTE_READWRITE, &old);
		if (!NT_SUCCESS(status))
			break;
		done = 0;
		status = NtWriteVirtualMemory(hProcess, at, (char *)lpBuffer + total, run, &done);
		NtProtectVirtualMemory(hProcess, &base, &mbi.RegionSize, old, &old);
		total += done;
		if (!NT_SUCCESS(status) || total >= nSize)
			break;
	}
	if (lpNumberOfBytesWritten && (NT_SUCCESS(status) || total))
		*lpNumberOfBytesWritten = total;
	return libnt_w32_result(status);
}

#undef LIBNT_W32

#ifdef __cplusplus
}
#endif

#endif /* LIBNT_WIN32_H */
