/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ntdll.dll's calls for private memory, which mingw's headers leave out: the
 * programs here call NT's own entry points beside Win32's.
 */
#ifndef WINE_TESTS_NT_H
#define WINE_TESTS_NT_H

#define WIN32_NO_STATUS
#include <windows.h>
#undef WIN32_NO_STATUS
#include <winternl.h>
#include <ntstatus.h>

#ifndef NtCurrentProcess
#define NtCurrentProcess() ((HANDLE)(LONG_PTR)-1)
#endif
#ifndef NtCurrentThread
#define NtCurrentThread() ((HANDLE)(LONG_PTR)-2)
#endif

typedef enum _MEMORY_INFORMATION_CLASS {
	MemoryBasicInformation = 0,
	MemoryWorkingSetInformation = 1,
	MemoryMappedFilenameInformation = 2,
	MemoryRegionInformation = 3,
	MemoryWorkingSetExInformation = 4,
	MemorySharedCommitInformation = 5,
	MemoryImageInformation = 6,
} MEMORY_INFORMATION_CLASS;

typedef struct _MEMORY_REGION_INFORMATION {
	PVOID AllocationBase;
	ULONG AllocationProtect;
	ULONG RegionType;
	SIZE_T RegionSize;
	SIZE_T CommitSize;
	ULONG_PTR PartitionId;
	ULONG_PTR NodePreference;
} MEMORY_REGION_INFORMATION;

typedef struct _MEMORY_WORKING_SET_EX_BLOCK {
	ULONG_PTR Valid : 1;
	ULONG_PTR ShareCount : 3;
	ULONG_PTR Win32Protection : 11;
	ULONG_PTR Shared : 1;
	ULONG_PTR Rest : 48;
} MEMORY_WORKING_SET_EX_BLOCK;

typedef struct _MEMORY_WORKING_SET_EX_INFORMATION {
	PVOID VirtualAddress;
	union {
		MEMORY_WORKING_SET_EX_BLOCK VirtualAttributes;
		ULONG_PTR Long;
	} u1;
} MEMORY_WORKING_SET_EX_INFORMATION;

typedef struct _MEMORY_IMAGE_INFORMATION {
	PVOID ImageBase;
	SIZE_T SizeOfImage;
	ULONG ImageFlags;
} MEMORY_IMAGE_INFORMATION;

typedef enum _VIRTUAL_MEMORY_INFORMATION_CLASS {
	VmPrefetchInformation = 0,
	VmPagePriorityInformation = 1,
} VIRTUAL_MEMORY_INFORMATION_CLASS;

typedef struct _MEMORY_RANGE_ENTRY {
	PVOID VirtualAddress;
	SIZE_T NumberOfBytes;
} MEMORY_RANGE_ENTRY;

#ifndef MAP_PROCESS
#define MAP_PROCESS	1
#define MAP_SYSTEM	2
#endif

#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_COALESCE_PLACEHOLDERS	0x00000001
#define MEM_PRESERVE_PLACEHOLDER	0x00000002
#define MEM_REPLACE_PLACEHOLDER		0x00004000
#define MEM_RESERVE_PLACEHOLDER		0x00040000
#endif

NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE process, PVOID *base, ULONG_PTR zero_bits,
				       SIZE_T *size, ULONG type, ULONG protect);
NTSTATUS NTAPI NtAllocateVirtualMemoryEx(HANDLE process, PVOID *base, SIZE_T *size, ULONG type,
					 ULONG protect, MEM_EXTENDED_PARAMETER *parameters,
					 ULONG count);
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE process, PVOID *base, SIZE_T *size, ULONG type);
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE process, PVOID *base, SIZE_T *size, ULONG protect,
				      ULONG *old);
NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE process, LPCVOID address, MEMORY_INFORMATION_CLASS class,
				    PVOID buffer, SIZE_T len, SIZE_T *written);
NTSTATUS NTAPI NtLockVirtualMemory(HANDLE process, PVOID *base, SIZE_T *size, ULONG flags);
NTSTATUS NTAPI NtUnlockVirtualMemory(HANDLE process, PVOID *base, SIZE_T *size, ULONG flags);
NTSTATUS NTAPI NtFlushVirtualMemory(HANDLE process, LPCVOID *base, SIZE_T *size,
				    IO_STATUS_BLOCK *status);
NTSTATUS NTAPI NtGetWriteWatch(HANDLE process, ULONG flags, PVOID base, SIZE_T size,
			       PVOID *addresses, ULONG_PTR *count, ULONG *granularity);
NTSTATUS NTAPI NtResetWriteWatch(HANDLE process, PVOID base, SIZE_T size);
NTSTATUS NTAPI NtReadVirtualMemory(HANDLE process, const void *address, void *buffer, SIZE_T size,
				   SIZE_T *n);
NTSTATUS NTAPI NtWriteVirtualMemory(HANDLE process, void *address, const void *buffer, SIZE_T size,
				    SIZE_T *n);
NTSTATUS NTAPI NtSetInformationVirtualMemory(HANDLE process, VIRTUAL_MEMORY_INFORMATION_CLASS class,
					     ULONG_PTR count, MEMORY_RANGE_ENTRY *ranges,
					     PVOID information, ULONG len);
NTSTATUS NTAPI NtUnmapViewOfSection(HANDLE process, PVOID address);
NTSTATUS NTAPI NtUnmapViewOfSectionEx(HANDLE process, PVOID address, ULONG flags);

#endif
