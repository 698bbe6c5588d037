/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnt: NT's virtual-memory calls for Linux programs, over /dev/ntvm.
 *
 * Prototypes, structures and values are those of NT. C89 to C17, C++98 and
 * later. Thread-safe. A fork child and an exec'd program start with an empty
 * NT address space of their own and may call at once.
 *
 * A program that has Windows-style typedefs of its own defines
 * LIBNT_NO_BASIC_TYPES before the first #include (the names HANDLE, PVOID,
 * SIZE_T, ULONG, ... are then taken as they are; ULONG, DWORD, ACCESS_MASK and
 * NTSTATUS must be 32 bits wide as on Windows, which is checked below) and, for
 * the MEM_ and PAGE_ constants, nothing: each is defined only where it is not
 * defined yet.
 *
 * No call changes errno. A call that fails leaves *BaseAddress and *RegionSize
 * as they were.
 *
 * The rules behind each call are the published ones (the ntifs.h reference
 * pages) and, where those are silent or wrong, what Windows was observed to do.
 *
 * Statuses that come from the way to the device, for every call:
 *   STATUS_NO_SUCH_DEVICE     /dev/ntvm is missing: the module is not loaded
 *   STATUS_ACCESS_DENIED      /dev/ntvm may not be opened by this process
 *   STATUS_REVISION_MISMATCH  the module is older than this library
 *   STATUS_INSUFFICIENT_RESOURCES  no file descriptor or memory to open it
 */
#ifndef LIBNT_H
#define LIBNT_H

#include <setjmp.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef NTAPI
#define NTAPI
#endif

#ifndef LIBNT_NO_BASIC_TYPES
typedef void *HANDLE;
typedef HANDLE *PHANDLE;
typedef void VOID;
typedef void *PVOID;
typedef int NTSTATUS;
typedef unsigned int ULONG;
typedef ULONG *PULONG;
typedef unsigned short USHORT;
typedef unsigned int DWORD;
typedef unsigned short WORD;
typedef __SIZE_TYPE__ SIZE_T;
typedef SIZE_T *PSIZE_T;
typedef __UINTPTR_TYPE__ ULONG_PTR;
typedef ULONG_PTR *PULONG_PTR;
typedef ULONG ACCESS_MASK;
#endif

/* An array of negative size here: a type above does not have Windows' width. */
typedef char libnt_ulong_is_32_bits[sizeof(ULONG) == 4 ? 1 : -1];
typedef char libnt_dword_is_32_bits[sizeof(DWORD) == 4 ? 1 : -1];
typedef char libnt_word_is_16_bits[sizeof(WORD) == 2 ? 1 : -1];
typedef char libnt_ntstatus_is_32_bits[sizeof(NTSTATUS) == 4 ? 1 : -1];
typedef char libnt_ntstatus_is_signed[(NTSTATUS)-1 < 0 ? 1 : -1];
typedef char libnt_access_mask_is_32_bits[sizeof(ACCESS_MASK) == 4 ? 1 : -1];
typedef char libnt_size_t_is_a_pointer_wide[sizeof(SIZE_T) == sizeof(void *) ? 1 : -1];
typedef char libnt_ulong_ptr_is_a_pointer_wide[sizeof(ULONG_PTR) == sizeof(void *) ? 1 : -1];

#ifndef NT_SUCCESS
#define NT_SUCCESS(Status) ((NTSTATUS)(Status) >= 0)
#endif

/* The caller's own process: a pseudo handle that is never looked up or closed. */
#ifndef NtCurrentProcess
#define NtCurrentProcess() ((HANDLE)(ULONG_PTR)-1)
#endif

/* --- allocation types, free types, states, types ------------------------- */
#ifndef MEM_COMMIT
#define MEM_COMMIT		0x00001000
#endif
#ifndef MEM_RESERVE
#define MEM_RESERVE		0x00002000
#endif
#ifndef MEM_REPLACE_PLACEHOLDER
#define MEM_REPLACE_PLACEHOLDER	0x00004000
#endif
#ifndef MEM_DECOMMIT
#define MEM_DECOMMIT		0x00004000
#endif
#ifndef MEM_RELEASE
#define MEM_RELEASE		0x00008000
#endif
#ifndef MEM_FREE
#define MEM_FREE		0x00010000
#endif
#ifndef MEM_PRIVATE
#define MEM_PRIVATE		0x00020000
#endif
#ifndef MEM_MAPPED
#define MEM_MAPPED		0x00040000
#endif
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER	0x00040000
#endif
#ifndef MEM_RESET
#define MEM_RESET		0x00080000
#endif
#ifndef MEM_TOP_DOWN
#define MEM_TOP_DOWN		0x00100000
#endif
#ifndef MEM_WRITE_WATCH
#define MEM_WRITE_WATCH		0x00200000
#endif
#ifndef MEM_PHYSICAL
#define MEM_PHYSICAL		0x00400000
#endif
#ifndef MEM_IMAGE
#define MEM_IMAGE		0x01000000
#endif
#ifndef MEM_RESET_UNDO
#define MEM_RESET_UNDO		0x01000000
#endif
#ifndef MEM_LARGE_PAGES
#define MEM_LARGE_PAGES		0x20000000
#endif
#ifndef MEM_COALESCE_PLACEHOLDERS
#define MEM_COALESCE_PLACEHOLDERS 0x00000001
#endif
#ifndef MEM_PRESERVE_PLACEHOLDER
#define MEM_PRESERVE_PLACEHOLDER 0x00000002
#endif

/* --- protections ---------------------------------------------------------- */
#ifndef PAGE_NOACCESS
#define PAGE_NOACCESS		0x001
#endif
#ifndef PAGE_READONLY
#define PAGE_READONLY		0x002
#endif
#ifndef PAGE_READWRITE
#define PAGE_READWRITE		0x004
#endif
#ifndef PAGE_WRITECOPY
#define PAGE_WRITECOPY		0x008
#endif
#ifndef PAGE_EXECUTE
#define PAGE_EXECUTE		0x010
#endif
#ifndef PAGE_EXECUTE_READ
#define PAGE_EXECUTE_READ	0x020
#endif
#ifndef PAGE_EXECUTE_READWRITE
#define PAGE_EXECUTE_READWRITE	0x040
#endif
#ifndef PAGE_EXECUTE_WRITECOPY
#define PAGE_EXECUTE_WRITECOPY	0x080
#endif
#ifndef PAGE_GUARD
#define PAGE_GUARD		0x100
#endif
#ifndef PAGE_NOCACHE
#define PAGE_NOCACHE		0x200
#endif
#ifndef PAGE_WRITECOMBINE
#define PAGE_WRITECOMBINE	0x400
#endif

/* --- rights of a process handle ------------------------------------------ */
#ifndef PROCESS_VM_OPERATION
#define PROCESS_VM_OPERATION	0x0008
#endif
#ifndef PROCESS_VM_READ
#define PROCESS_VM_READ		0x0010
#endif
#ifndef PROCESS_VM_WRITE
#define PROCESS_VM_WRITE	0x0020
#endif
#ifndef PROCESS_QUERY_INFORMATION
#define PROCESS_QUERY_INFORMATION 0x0400
#endif
#ifndef PROCESS_QUERY_LIMITED_INFORMATION
#define PROCESS_QUERY_LIMITED_INFORMATION 0x1000
#endif
#ifndef PROCESS_ALL_ACCESS
#define PROCESS_ALL_ACCESS	0x001FFFFF
#endif
#ifndef MAXIMUM_ALLOWED
#define MAXIMUM_ALLOWED		0x02000000
#endif

/* --- NTSTATUS -------------------------------------------------------------- */
#ifndef STATUS_SUCCESS
#define STATUS_SUCCESS			((NTSTATUS)0x00000000)
#endif
#ifndef STATUS_PENDING
#define STATUS_PENDING			((NTSTATUS)0x00000103)
#endif
#ifndef STATUS_WORKING_SET_LIMIT_RANGE
#define STATUS_WORKING_SET_LIMIT_RANGE	((NTSTATUS)0x40000002)
#endif
#ifndef STATUS_WAS_LOCKED
#define STATUS_WAS_LOCKED		((NTSTATUS)0x40000019)
#endif
#ifndef STATUS_GUARD_PAGE_VIOLATION
#define STATUS_GUARD_PAGE_VIOLATION	((NTSTATUS)0x80000001)
#endif
#ifndef STATUS_DATATYPE_MISALIGNMENT
#define STATUS_DATATYPE_MISALIGNMENT	((NTSTATUS)0x80000002)
#endif
#ifndef STATUS_BUFFER_OVERFLOW
#define STATUS_BUFFER_OVERFLOW		((NTSTATUS)0x80000005)
#endif
#ifndef STATUS_PARTIAL_COPY
#define STATUS_PARTIAL_COPY		((NTSTATUS)0x8000000D)
#endif
#ifndef STATUS_DEVICE_BUSY
#define STATUS_DEVICE_BUSY		((NTSTATUS)0x80000011)
#endif
#ifndef STATUS_UNSUCCESSFUL
#define STATUS_UNSUCCESSFUL		((NTSTATUS)0xC0000001)
#endif
#ifndef STATUS_INVALID_INFO_CLASS
#define STATUS_INVALID_INFO_CLASS	((NTSTATUS)0xC0000003)
#endif
#ifndef STATUS_INFO_LENGTH_MISMATCH
#define STATUS_INFO_LENGTH_MISMATCH	((NTSTATUS)0xC0000004)
#endif
#ifndef STATUS_ACCESS_VIOLATION
#define STATUS_ACCESS_VIOLATION		((NTSTATUS)0xC0000005)
#endif
#ifndef STATUS_IN_PAGE_ERROR
#define STATUS_IN_PAGE_ERROR		((NTSTATUS)0xC0000006)
#endif
#ifndef STATUS_INVALID_HANDLE
#define STATUS_INVALID_HANDLE		((NTSTATUS)0xC0000008)
#endif
#ifndef STATUS_INVALID_CID
#define STATUS_INVALID_CID		((NTSTATUS)0xC000000B)
#endif
#ifndef STATUS_INVALID_PARAMETER
#define STATUS_INVALID_PARAMETER	((NTSTATUS)0xC000000D)
#endif
#ifndef STATUS_NO_SUCH_DEVICE
#define STATUS_NO_SUCH_DEVICE		((NTSTATUS)0xC000000E)
#endif
#ifndef STATUS_NO_MEMORY
#define STATUS_NO_MEMORY		((NTSTATUS)0xC0000017)
#endif
#ifndef STATUS_CONFLICTING_ADDRESSES
#define STATUS_CONFLICTING_ADDRESSES	((NTSTATUS)0xC0000018)
#endif
#ifndef STATUS_NOT_MAPPED_VIEW
#define STATUS_NOT_MAPPED_VIEW		((NTSTATUS)0xC0000019)
#endif
#ifndef STATUS_UNABLE_TO_FREE_VM
#define STATUS_UNABLE_TO_FREE_VM	((NTSTATUS)0xC000001A)
#endif
#ifndef STATUS_UNABLE_TO_DELETE_SECTION
#define STATUS_UNABLE_TO_DELETE_SECTION	((NTSTATUS)0xC000001B)
#endif
#ifndef STATUS_ALREADY_COMMITTED
#define STATUS_ALREADY_COMMITTED	((NTSTATUS)0xC0000021)
#endif
#ifndef STATUS_ACCESS_DENIED
#define STATUS_ACCESS_DENIED		((NTSTATUS)0xC0000022)
#endif
#ifndef STATUS_OBJECT_TYPE_MISMATCH
#define STATUS_OBJECT_TYPE_MISMATCH	((NTSTATUS)0xC0000024)
#endif
#ifndef STATUS_NOT_LOCKED
#define STATUS_NOT_LOCKED		((NTSTATUS)0xC000002A)
#endif
#ifndef STATUS_NOT_COMMITTED
#define STATUS_NOT_COMMITTED		((NTSTATUS)0xC000002D)
#endif
#ifndef STATUS_INVALID_PARAMETER_MIX
#define STATUS_INVALID_PARAMETER_MIX	((NTSTATUS)0xC0000030)
#endif
#ifndef STATUS_QUOTA_EXCEEDED
#define STATUS_QUOTA_EXCEEDED		((NTSTATUS)0xC0000044)
#endif
#ifndef STATUS_INVALID_PAGE_PROTECTION
#define STATUS_INVALID_PAGE_PROTECTION	((NTSTATUS)0xC0000045)
#endif
#ifndef STATUS_REVISION_MISMATCH
#define STATUS_REVISION_MISMATCH	((NTSTATUS)0xC0000059)
#endif
#ifndef STATUS_PRIVILEGE_NOT_HELD
#define STATUS_PRIVILEGE_NOT_HELD	((NTSTATUS)0xC0000061)
#endif
#ifndef STATUS_INSUFFICIENT_RESOURCES
#define STATUS_INSUFFICIENT_RESOURCES	((NTSTATUS)0xC000009A)
#endif
#ifndef STATUS_FREE_VM_NOT_AT_BASE
#define STATUS_FREE_VM_NOT_AT_BASE	((NTSTATUS)0xC000009F)
#endif
#ifndef STATUS_MEMORY_NOT_ALLOCATED
#define STATUS_MEMORY_NOT_ALLOCATED	((NTSTATUS)0xC00000A0)
#endif
#ifndef STATUS_WORKING_SET_QUOTA
#define STATUS_WORKING_SET_QUOTA	((NTSTATUS)0xC00000A1)
#endif
#ifndef STATUS_DISK_FULL
#define STATUS_DISK_FULL		((NTSTATUS)0xC000007F)
#endif
#ifndef STATUS_NOT_SUPPORTED
#define STATUS_NOT_SUPPORTED		((NTSTATUS)0xC00000BB)
#endif
#ifndef STATUS_INVALID_USER_BUFFER
#define STATUS_INVALID_USER_BUFFER	((NTSTATUS)0xC00000E8)
#endif
#ifndef STATUS_UNEXPECTED_IO_ERROR
#define STATUS_UNEXPECTED_IO_ERROR	((NTSTATUS)0xC00000E9)
#endif
#ifndef STATUS_INVALID_PARAMETER_1
#define STATUS_INVALID_PARAMETER_1	((NTSTATUS)0xC00000EF)
#endif
#ifndef STATUS_INVALID_PARAMETER_2
#define STATUS_INVALID_PARAMETER_2	((NTSTATUS)0xC00000F0)
#endif
#ifndef STATUS_INVALID_PARAMETER_3
#define STATUS_INVALID_PARAMETER_3	((NTSTATUS)0xC00000F1)
#endif
#ifndef STATUS_INVALID_PARAMETER_4
#define STATUS_INVALID_PARAMETER_4	((NTSTATUS)0xC00000F2)
#endif
#ifndef STATUS_INVALID_PARAMETER_5
#define STATUS_INVALID_PARAMETER_5	((NTSTATUS)0xC00000F3)
#endif
#ifndef STATUS_INVALID_PARAMETER_6
#define STATUS_INVALID_PARAMETER_6	((NTSTATUS)0xC00000F4)
#endif
#ifndef STATUS_STACK_OVERFLOW
#define STATUS_STACK_OVERFLOW		((NTSTATUS)0xC00000FD)
#endif
#ifndef STATUS_NAME_TOO_LONG
#define STATUS_NAME_TOO_LONG		((NTSTATUS)0xC0000106)
#endif
#ifndef STATUS_PROCESS_IS_TERMINATING
#define STATUS_PROCESS_IS_TERMINATING	((NTSTATUS)0xC000010A)
#endif
#ifndef STATUS_COMMITMENT_LIMIT
#define STATUS_COMMITMENT_LIMIT		((NTSTATUS)0xC000012D)
#endif
#ifndef STATUS_INVALID_ADDRESS
#define STATUS_INVALID_ADDRESS		((NTSTATUS)0xC0000141)
#endif
#ifndef STATUS_NOT_FOUND
#define STATUS_NOT_FOUND		((NTSTATUS)0xC0000225)
#endif

/* --- structures -------------------------------------------------------------- */
#ifndef LIBNT_NO_MEMORY_TYPES
typedef struct _MEMORY_BASIC_INFORMATION {
	PVOID BaseAddress;
	PVOID AllocationBase;
	DWORD AllocationProtect;
#ifdef _LP64
	WORD PartitionId;
#endif
	SIZE_T RegionSize;
	DWORD State;
	DWORD Protect;
	DWORD Type;
} MEMORY_BASIC_INFORMATION, *PMEMORY_BASIC_INFORMATION;

typedef enum _MEMORY_INFORMATION_CLASS {
	MemoryBasicInformation = 0,
	MemoryMappedFilenameInformation = 2,
	MemoryRegionInformation = 3,
	MemoryWorkingSetExInformation = 4,
	MemoryImageInformation = 6
} MEMORY_INFORMATION_CLASS;

typedef struct _MEMORY_REGION_INFORMATION {
	PVOID AllocationBase;
	ULONG AllocationProtect;
	ULONG RegionType;	/* 0 */
	SIZE_T RegionSize;
	SIZE_T CommitSize;
	ULONG_PTR PartitionId;	/* 0 */
	ULONG_PTR NodePreference;	/* 0 */
} MEMORY_REGION_INFORMATION, *PMEMORY_REGION_INFORMATION;

__extension__ typedef struct _MEMORY_WORKING_SET_EX_BLOCK {
	union {
		struct {
			ULONG_PTR Valid : 1;
			ULONG_PTR ShareCount : 3;
			ULONG_PTR Win32Protection : 11;
			ULONG_PTR Shared : 1;
			ULONG_PTR Node : 6;
			ULONG_PTR Locked : 1;
			ULONG_PTR LargePage : 1;
			ULONG_PTR Reserved : 7;
			ULONG_PTR Bad : 1;
#ifdef _LP64
			ULONG_PTR ReservedUlong : 32;
#endif
		};
		struct {	/* where Valid is 0 */
			ULONG_PTR Valid : 1;
			ULONG_PTR Reserved0 : 14;
			ULONG_PTR Shared : 1;
			ULONG_PTR Reserved1 : 15;
			ULONG_PTR Bad : 1;
#ifdef _LP64
			ULONG_PTR ReservedUlong : 32;
#endif
		} Invalid;
	};
} MEMORY_WORKING_SET_EX_BLOCK, *PMEMORY_WORKING_SET_EX_BLOCK;

typedef struct _MEMORY_WORKING_SET_EX_INFORMATION {
	PVOID VirtualAddress;
	union {
		MEMORY_WORKING_SET_EX_BLOCK VirtualAttributes;
		ULONG_PTR Long;
	} u1;
} MEMORY_WORKING_SET_EX_INFORMATION, *PMEMORY_WORKING_SET_EX_INFORMATION;

typedef struct _MEMORY_IMAGE_INFORMATION {
	PVOID ImageBase;
	SIZE_T SizeOfImage;
	ULONG ImageFlags;	/* 0 */
} MEMORY_IMAGE_INFORMATION, *PMEMORY_IMAGE_INFORMATION;

typedef enum _VIRTUAL_MEMORY_INFORMATION_CLASS {
	VmPrefetchInformation = 0,
	VmPagePriorityInformation = 1,
	VmCfgCallTargetInformation = 2,
	VmPageDirtyStateInformation = 3
} VIRTUAL_MEMORY_INFORMATION_CLASS;

typedef struct _MEMORY_RANGE_ENTRY {
	PVOID VirtualAddress;
	SIZE_T NumberOfBytes;
} MEMORY_RANGE_ENTRY, *PMEMORY_RANGE_ENTRY;
#endif

#ifndef LIBNT_NO_STRING_TYPES
typedef struct _UNICODE_STRING {
	USHORT Length;		/* bytes, without a 0 at the end */
	USHORT MaximumLength;	/* bytes there is room for */
	USHORT *Buffer;		/* UTF-16 */
} UNICODE_STRING, *PUNICODE_STRING;

__extension__ typedef struct _IO_STATUS_BLOCK {
	union {
		NTSTATUS Status;
		PVOID Pointer;
	};
	ULONG_PTR Information;
} IO_STATUS_BLOCK, *PIO_STATUS_BLOCK;
#endif

#ifndef LIBNT_NO_PROCESS_TYPES
typedef struct _CLIENT_ID {
	HANDLE UniqueProcess;	/* the process id, as a number in a pointer */
	HANDLE UniqueThread;	/* 0 */
} CLIENT_ID, *PCLIENT_ID;

typedef struct _OBJECT_ATTRIBUTES {
	ULONG Length;
	HANDLE RootDirectory;
	PVOID ObjectName;
	ULONG Attributes;
	PVOID SecurityDescriptor;
	PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;
#endif

/* --- the calls -----------------------------------------------------------------
 * In every call ProcessHandle is NtCurrentProcess() or a handle that
 * NtOpenProcess() or LibntFdToHandle() gave; STATUS_INVALID_HANDLE for anything
 * else that is no open file, STATUS_OBJECT_TYPE_MISMATCH for a file that is not
 * of /dev/ntvm, STATUS_ACCESS_DENIED where the handle lacks the named right,
 * STATUS_PROCESS_IS_TERMINATING when its process is gone. Addresses and sizes
 * are in bytes.
 */

/*
 * Reserve (MEM_RESERVE), commit (MEM_COMMIT) or both. MEM_RESET and MEM_RESET_UNDO,
 * each alone: contents may be dropped, or not any more. Needs PROCESS_VM_OPERATION.
 * *BaseAddress  in: the address, NULL for any; out: rounded down, to 64 KiB for
 *		 a reservation and to a page for a commit
 * ZeroBits	 0 to 20: the result is below 2^(32 - ZeroBits), 0 for no limit;
 *		 above 31: a mask of address bits. Only used when *BaseAddress is NULL
 * *RegionSize	 in: 1 or more; out: rounded up to whole pages
 */
NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				       ULONG_PTR ZeroBits, PSIZE_T RegionSize,
				       ULONG AllocationType, ULONG Protect);

/*
 * Decommit pages (MEM_DECOMMIT) or release a region (MEM_RELEASE). With
 * MEM_RELEASE, MEM_PRESERVE_PLACEHOLDER splits a placeholder, or makes one again
 * of what replaced one, and MEM_COALESCE_PLACEHOLDERS joins adjacent ones. Needs
 * PROCESS_VM_OPERATION. Which releases are legal depends on the contract of the
 * process, see LibntSetContract().
 * *RegionSize	 in: 0 for the whole region; out: the bytes freed
 */
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				   PSIZE_T RegionSize, ULONG FreeType);

/*
 * Change the protection of committed pages, all of them or none. Needs
 * PROCESS_VM_OPERATION.
 * *OldProtect	 out: of the first page before the call; PAGE_NOACCESS when the
 *		 pages were not all committed in one region. May not be NULL
 */
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				      PSIZE_T RegionSize, ULONG NewProtect,
				      PULONG OldProtect);

/*
 * Describe what is at an address. Needs PROCESS_QUERY_INFORMATION or
 * PROCESS_QUERY_LIMITED_INFORMATION.
 * MemoryInformation	   out, by class:
 *   MemoryBasicInformation	   MEMORY_BASIC_INFORMATION, the run of alike pages
 *				   that begins at the address
 *   MemoryRegionInformation	   MEMORY_REGION_INFORMATION, the whole region; may
 *				   end before CommitSize or before PartitionId
 *   MemoryWorkingSetExInformation  array of MEMORY_WORKING_SET_EX_INFORMATION, in/out;
 *				   BaseAddress is not used
 *   MemoryImageInformation	   MEMORY_IMAGE_INFORMATION, 0 where no image is
 *   MemoryMappedFilenameInformation  UNICODE_STRING and the path of the mapped file
 * MemoryInformationLength at least its size, else STATUS_INFO_LENGTH_MISMATCH
 * *ReturnLength	   out, bytes written, or needed (STATUS_BUFFER_OVERFLOW);
 *			   may be NULL
 */
NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
				    MEMORY_INFORMATION_CLASS MemoryInformationClass,
				    PVOID MemoryInformation, SIZE_T MemoryInformationLength,
				    PSIZE_T ReturnLength);

/*
 * Get a handle to a process by its process id (as getpid() and kill() know it).
 * The caller must be allowed to trace the process, and the process must have
 * called this library before: STATUS_NOT_FOUND if it has not. ClientId must not
 * be NULL; ObjectAttributes may be, and may name nothing. Rights that ntvm does
 * not know are ignored.
 */
NTSTATUS NTAPI NtOpenProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess,
			     POBJECT_ATTRIBUTES ObjectAttributes, PCLIENT_ID ClientId);

/*
 * Close a handle. The pseudo handle is not closed and that is no error. Unlike
 * NT's, this one closes handles of processes and jobs only: a descriptor of another file is
 * STATUS_OBJECT_TYPE_MISMATCH and stays open.
 */
NTSTATUS NTAPI NtClose(HANDLE Handle);

/* --- extended allocation --------------------------------------------------- */
#ifndef MEM_EXTENDED_PARAMETER_TYPE_BITS
#define MEM_EXTENDED_PARAMETER_TYPE_BITS	8
#endif
#ifndef NUMA_NO_PREFERRED_NODE
#define NUMA_NO_PREFERRED_NODE			((DWORD)-1)
#endif

#ifndef LIBNT_NO_MEMORY_TYPES
typedef enum MEM_EXTENDED_PARAMETER_TYPE {
	MemExtendedParameterInvalidType = 0,
	MemExtendedParameterAddressRequirements,	/* Pointer: MEM_ADDRESS_REQUIREMENTS */
	MemExtendedParameterNumaNode,			/* ULong: the preferred node */
	MemExtendedParameterPartitionHandle,
	MemExtendedParameterUserPhysicalHandle,
	MemExtendedParameterAttributeFlags,		/* ULong64: must be 0 */
	MemExtendedParameterImageMachine,
	MemExtendedParameterMax
} MEM_EXTENDED_PARAMETER_TYPE, *PMEM_EXTENDED_PARAMETER_TYPE;

/* __extension__: before C11 members without a name are one. */
__extension__ typedef struct MEM_EXTENDED_PARAMETER {
	struct {
		__UINT64_TYPE__ Type : MEM_EXTENDED_PARAMETER_TYPE_BITS;
		__UINT64_TYPE__ Reserved : 64 - MEM_EXTENDED_PARAMETER_TYPE_BITS;
	};
	union {
		__UINT64_TYPE__ ULong64;
		PVOID Pointer;
		SIZE_T Size;
		HANDLE Handle;
		DWORD ULong;
	};
} __attribute__((aligned(8))) MEM_EXTENDED_PARAMETER, *PMEM_EXTENDED_PARAMETER;

/* 0 or NULL in a field: no such wish. */
typedef struct _MEM_ADDRESS_REQUIREMENTS {
	PVOID LowestStartingAddress;	/* a multiple of 64 KiB */
	PVOID HighestEndingAddress;	/* the last byte of a page */
	SIZE_T Alignment;		/* a power of two, 64 KiB or more */
} MEM_ADDRESS_REQUIREMENTS, *PMEM_ADDRESS_REQUIREMENTS;
#endif

/*
 * NtAllocateVirtualMemory() with wishes, and for placeholders: addresses that
 * are reserved (MEM_RESERVE|MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS) until memory
 * takes their place (MEM_RESERVE|MEM_REPLACE_PLACEHOLDER, perhaps with
 * MEM_COMMIT). NtFreeVirtualMemory() splits, joins and restores them. Errors in
 * the arguments are plain STATUS_INVALID_PARAMETER. Needs PROCESS_VM_OPERATION.
 * *BaseAddress		  as there; replacing: the placeholder's base, a page
 * ExtendedParameters	  an array; each type at most once
 * ExtendedParameterCount its entries; 0: the array is not looked at
 */
NTSTATUS NTAPI NtAllocateVirtualMemoryEx(HANDLE ProcessHandle, PVOID *BaseAddress,
					 PSIZE_T RegionSize, ULONG AllocationType,
					 ULONG PageProtection,
					 PMEM_EXTENDED_PARAMETER ExtendedParameters,
					 ULONG ExtendedParameterCount);

/* --- write watch ----------------------------------------------------------- */
#ifndef WRITE_WATCH_FLAG_RESET
#define WRITE_WATCH_FLAG_RESET	1
#endif

/*
 * Which pages of a region that was reserved with MEM_WRITE_WATCH have been
 * written, by the program or by the kernel on its behalf, since they were reset
 * last. Needs PROCESS_VM_OPERATION. The range lies within one such region and
 * counts whole pages.
 * Flags	 0, or WRITE_WATCH_FLAG_RESET: reset the pages that are returned
 * UserAddressArray  out: their addresses, ascending
 * *EntriesInUserAddressArray  in: room in the array, 1 or more; out: filled
 * *Granularity	 out: bytes in a page
 */
NTSTATUS NTAPI NtGetWriteWatch(HANDLE ProcessHandle, ULONG Flags, PVOID BaseAddress,
			       SIZE_T RegionSize, PVOID *UserAddressArray,
			       PULONG_PTR EntriesInUserAddressArray, PULONG Granularity);

/* Forget the writes to a range. Needs PROCESS_VM_OPERATION. */
NTSTATUS NTAPI NtResetWriteWatch(HANDLE ProcessHandle, PVOID BaseAddress, SIZE_T RegionSize);

/* --- locked pages ---------------------------------------------------------- */

/*
 * Keep committed, accessible pages in memory, and let go of them again. Needs
 * PROCESS_VM_OPERATION, and room below the caller's RLIMIT_MEMLOCK. Locks do not
 * nest; they end with the commitment of their pages. Memory that these calls did
 * not allocate can be locked in the caller's own process, by mlock(2).
 * *BaseAddress	 in: an address of the range; out: rounded down to a page
 * *RegionSize	 in: 1 or more; out: rounded up to whole pages
 * MapType	 MAP_PROCESS, MAP_SYSTEM (needs CAP_IPC_LOCK) or both
 */
#ifndef MAP_PROCESS
#define MAP_PROCESS	1
#endif
#ifndef MAP_SYSTEM
#define MAP_SYSTEM	2
#endif
/* Bytes of a large page (MEM_LARGE_PAGES): its sizes and bases are multiples of it. */
#define LIBNT_LARGE_PAGE_MINIMUM	0x200000
NTSTATUS NTAPI NtLockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				   PSIZE_T RegionSize, ULONG MapType);
NTSTATUS NTAPI NtUnlockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				     PSIZE_T RegionSize, ULONG MapType);

/* --- contents that may be given up ----------------------------------------- */

/*
 * MEM_RESET and MEM_RESET_UNDO are types of NtAllocateVirtualMemory. An undo is
 * STATUS_UNSUCCESSFUL, and done all the same, if contents were lost.
 *
 * OfferVirtualMemory, ReclaimVirtualMemory and DiscardVirtualMemory of Win32,
 * for any process. Base and size are whole pages, all committed, in one region.
 * Offered pages cannot be accessed, and the kernel drops their contents when it
 * is short of memory, those of low priority first. Reclaimed ones can be accessed
 * again; STATUS_DEVICE_BUSY (ERROR_BUSY) if contents were lost, which read zero
 * now. Discard drops the contents at once and needs pages that can be written to.
 * All need PROCESS_VM_OPERATION.
 */
typedef enum OFFER_PRIORITY {
	VmOfferPriorityVeryLow = 1,
	VmOfferPriorityLow,
	VmOfferPriorityBelowNormal,
	VmOfferPriorityNormal
} OFFER_PRIORITY;

NTSTATUS NTAPI LibntOfferVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
				       SIZE_T RegionSize, ULONG Priority);
NTSTATUS NTAPI LibntReclaimVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
					 SIZE_T RegionSize);
NTSTATUS NTAPI LibntDiscardVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
					 SIZE_T RegionSize);

/* --- other processes' memory ----------------------------------------------- */

/*
 * Copy memory of a process, one's own included, to the caller and back. Need
 * PROCESS_VM_READ and PROCESS_VM_WRITE. Memory that this library allocated is
 * reached by the handle alone; all other memory of another process only if the
 * caller may also trace it (ptrace(2)). Protections count on either side.
 * Buffer		   the caller's bytes
 * *NumberOfBytesRead	   out, bytes copied; may be NULL. STATUS_PARTIAL_COPY if that
 *			   is less than was asked for
 */
NTSTATUS NTAPI NtReadVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer,
				   SIZE_T NumberOfBytesToRead, PSIZE_T NumberOfBytesRead);
NTSTATUS NTAPI NtWriteVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer,
				    SIZE_T NumberOfBytesToWrite,
				    PSIZE_T NumberOfBytesWritten);

/* --- information and flushing ---------------------------------------------- */

/*
 * Tell something about ranges of memory. Needs PROCESS_VM_OPERATION.
 * VmInformation	   a ULONG for every class: VmPrefetchInformation 0,
 *			   VmPagePriorityInformation 0 to 5
 * VmInformationLength	   4
 * VmPrefetchInformation reads back what is swapped out; a hint, that ranges which
 * are free or not committed do not spoil. VmPagePriorityInformation is accepted
 * and not followed; the other classes are STATUS_NOT_SUPPORTED.
 */
NTSTATUS NTAPI NtSetInformationVirtualMemory(HANDLE ProcessHandle,
					     VIRTUAL_MEMORY_INFORMATION_CLASS VmInformationClass,
					     ULONG_PTR NumberOfEntries,
					     PMEMORY_RANGE_ENTRY VirtualAddresses,
					     PVOID VmInformation, ULONG VmInformationLength);

/*
 * Write what has changed in a mapping of a file, one made with mmap(2), to the
 * file. Needs PROCESS_VM_OPERATION. STATUS_NOT_MAPPED_VIEW for all other memory.
 * *BaseAddress		   out, rounded down to its page
 * *RegionSize		   in, 0: to the end of the mapping; out, whole pages
 * *IoStatus		   out, what became of the transfer
 */
NTSTATUS NTAPI NtFlushVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				    PSIZE_T RegionSize, PIO_STATUS_BLOCK IoStatus);

/* --- handles --------------------------------------------------------------- */

#ifndef DUPLICATE_CLOSE_SOURCE
#define DUPLICATE_CLOSE_SOURCE	0x00000001
#endif
#ifndef DUPLICATE_SAME_ACCESS
#define DUPLICATE_SAME_ACCESS	0x00000002
#endif
#ifndef DUPLICATE_SAME_ATTRIBUTES
#define DUPLICATE_SAME_ATTRIBUTES 0x00000004
#endif
#ifndef OBJ_INHERIT
#define OBJ_INHERIT		0x00000002
#endif

/*
 * Make another handle of a process handle, with the same rights or fewer.
 * SourceProcessHandle, TargetProcessHandle  the caller's own process; others are
 *		 STATUS_NOT_SUPPORTED
 * SourceHandle	 NtCurrentProcess() makes a handle to the own process
 * TargetHandle	 out; NULL: none is made
 * DesiredAccess as for NtOpenProcess(); STATUS_ACCESS_DENIED for a right that the
 *		 source does not have. MAXIMUM_ALLOWED: those that it has
 * HandleAttributes  0, or OBJ_INHERIT: stays open across exec
 * Options	 DUPLICATE_SAME_ACCESS: DesiredAccess is not used;
 *		 DUPLICATE_CLOSE_SOURCE: SourceHandle is closed, whatever the status
 */
NTSTATUS NTAPI NtDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle,
				 HANDLE TargetProcessHandle, PHANDLE TargetHandle,
				 ACCESS_MASK DesiredAccess, ULONG HandleAttributes,
				 ULONG Options);

/* --- stacks ---------------------------------------------------------------- */
#ifndef LIBNT_NO_STACK_TYPES
typedef struct _INITIAL_TEB {
	PVOID OldStackBase;		/* NULL */
	PVOID OldStackLimit;		/* NULL */
	PVOID StackBase;		/* first byte above the stack */
	PVOID StackLimit;		/* lowest byte that is committed and not guarded */
	PVOID DeallocationStack;	/* first byte of the reservation */
} INITIAL_TEB, *PINITIAL_TEB;
#endif

/*
 * Make a stack: the committed part at the top, below it a guard page, and the
 * rest reserved. No thread uses it yet: see LibntSetThreadStack().
 * CommittedStackSize	0: one page
 * MaximumStackSize	0: 1 MiB; never less than 1 MiB
 * ZeroBits		as for NtAllocateVirtualMemory()
 * CommitAlignment, ReserveAlignment	the sizes are rounded up to multiples; powers
 *			of two, STATUS_INVALID_PARAMETER for others
 */
NTSTATUS NTAPI RtlCreateUserStack(SIZE_T CommittedStackSize, SIZE_T MaximumStackSize,
				  ULONG_PTR ZeroBits, SIZE_T CommitAlignment,
				  SIZE_T ReserveAlignment, PINITIAL_TEB InitialTeb);

/* Release it; no thread may be using it. */
void NTAPI RtlFreeUserStack(PVOID DeallocationStack);

/*
 * Tell the module which stack the calling thread runs on: it grows from then on,
 * page by page, when the thread touches the guard page. The lowest page of the
 * reservation is never committed. When only GuaranteedBytes are left above it,
 * they are committed and the thread gets STATUS_STACK_OVERFLOW.
 * StackBase NULL, and all else 0: the thread has no such stack any more.
 *
 * The thread also gets an alternate signal stack if it has none, because a
 * signal handler for the overflow needs one. That is freed by the library, when
 * the thread ends or has its stack removed.
 */
NTSTATUS NTAPI LibntSetThreadStack(PVOID StackBase, PVOID StackLimit,
				   PVOID DeallocationStack, ULONG GuaranteedBytes);

/* What the thread has; all NULL and 0 if nothing. Pointers may be NULL. */
NTSTATUS NTAPI LibntGetThreadStack(PVOID *StackBase, PVOID *StackLimit,
				   PVOID *DeallocationStack, PULONG GuaranteedBytes);

/* --- exceptions ------------------------------------------------------------ */
#ifndef LIBNT_NO_EXCEPTION_TYPES
#define EXCEPTION_MAXIMUM_PARAMETERS	15

typedef struct _EXCEPTION_RECORD {
	DWORD ExceptionCode;		/* a status: STATUS_ACCESS_VIOLATION, ... */
	DWORD ExceptionFlags;		/* 0 */
	struct _EXCEPTION_RECORD *ExceptionRecord;	/* NULL */
	PVOID ExceptionAddress;		/* of the instruction */
	DWORD NumberParameters;
	ULONG_PTR ExceptionInformation[EXCEPTION_MAXIMUM_PARAMETERS];
} EXCEPTION_RECORD, *PEXCEPTION_RECORD;

typedef struct _EXCEPTION_POINTERS {
	PEXCEPTION_RECORD ExceptionRecord;
	PVOID ContextRecord;		/* ucontext_t *; NULL once the stack is unwound */
} EXCEPTION_POINTERS, *PEXCEPTION_POINTERS;
#endif

#ifndef EXCEPTION_EXECUTE_HANDLER
#define EXCEPTION_EXECUTE_HANDLER	1
#endif
#ifndef EXCEPTION_CONTINUE_SEARCH
#define EXCEPTION_CONTINUE_SEARCH	0
#endif
#ifndef EXCEPTION_CONTINUE_EXECUTION
#define EXCEPTION_CONTINUE_EXECUTION	(-1)
#endif

/* ExceptionInformation[0] */
#ifndef EXCEPTION_READ_FAULT
#define EXCEPTION_READ_FAULT		0
#endif
#ifndef EXCEPTION_WRITE_FAULT
#define EXCEPTION_WRITE_FAULT		1
#endif
#ifndef EXCEPTION_EXECUTE_FAULT
#define EXCEPTION_EXECUTE_FAULT		8
#endif

/*
 * Turn faults on NT memory into exceptions: SIGSEGV and SIGBUS get a handler of
 * the library. It asks the vectored handlers, then the try frames of the thread
 * from the innermost out, then whoever handled the signal before. Faults that
 * are not on NT memory go there at once, unless Flags has LIBNT_EXCEPTIONS_ALL.
 * Called again, it changes the flags. The calling thread gets an alternate
 * signal stack if it has none, see LibntSetThreadStack().
 */
#define LIBNT_EXCEPTIONS_ALL	0x1
NTSTATUS NTAPI LibntEnableExceptions(ULONG Flags);
NTSTATUS NTAPI LibntDisableExceptions(void);

/*
 * A function that is called for every exception, First before those that are
 * there already or behind them. Returns EXCEPTION_CONTINUE_EXECUTION to have the
 * access repeated (or what it made of ContextRecord), else
 * EXCEPTION_CONTINUE_SEARCH. Add returns a handle, NULL without memory; Remove
 * 0 if that is none.
 */
typedef int (NTAPI *PVECTORED_EXCEPTION_HANDLER)(EXCEPTION_POINTERS *ExceptionInfo);
PVOID NTAPI RtlAddVectoredExceptionHandler(ULONG First, PVECTORED_EXCEPTION_HANDLER Handler);
ULONG NTAPI RtlRemoveVectoredExceptionHandler(PVOID Handle);

/*
 * Structured handling:
 *
 *	LIBNT_TRY {
 *		...
 *	} LIBNT_EXCEPT(LibntExceptionCode() == STATUS_ACCESS_VIOLATION) {
 *		...
 *	} LIBNT_END_TRY
 *
 * The expression in LIBNT_EXCEPT is evaluated in the function, after what was
 * called in the block has been abandoned: EXCEPTION_EXECUTE_HANDLER runs the
 * second block, EXCEPTION_CONTINUE_SEARCH goes on to the next frame.
 * EXCEPTION_CONTINUE_EXECUTION comes too late there and counts as unhandled. A
 * filter that wants it is a function and stands before the block; it is called
 * where the fault happened and may return any of the three:
 *
 *	LIBNT_TRY_FILTER(filter, argument) {
 *		...
 *	} LIBNT_EXCEPT(EXCEPTION_EXECUTE_HANDLER) {
 *		...
 *	} LIBNT_END_TRY
 *
 * Leave the first block by its end or by LIBNT_LEAVE (not from within a loop or
 * switch inside of it), never by return, goto or longjmp. Local variables that
 * it changes and that are used afterwards are volatile, as setjmp() wants it. In
 * C++ no destructor runs for what an exception abandons.
 */
typedef int (NTAPI *LIBNT_FILTER)(EXCEPTION_POINTERS *ExceptionInfo, PVOID Argument);

typedef struct _LIBNT_TRY_FRAME {
	struct _LIBNT_TRY_FRAME *Previous;
	LIBNT_FILTER Filter;
	PVOID Argument;
	EXCEPTION_POINTERS Pointers;
	EXCEPTION_RECORD Record;
	ULONG_PTR SignalInfo[128 / sizeof(ULONG_PTR)];
	jmp_buf Jump;
} LIBNT_TRY_FRAME;

void NTAPI LibntTryPush(LIBNT_TRY_FRAME *Frame, LIBNT_FILTER Filter, PVOID Argument);
void NTAPI LibntTryPop(LIBNT_TRY_FRAME *Frame);
int NTAPI LibntTryDecide(LIBNT_TRY_FRAME *Frame, int Verdict);

#define LIBNT_TRY_FILTER(Filter, Argument)				\
	{								\
		LIBNT_TRY_FRAME libnt_try_frame;			\
		LibntTryPush(&libnt_try_frame, (Filter), (Argument));	\
		if (setjmp(libnt_try_frame.Jump) == 0) {		\
			do
#define LIBNT_TRY							\
	LIBNT_TRY_FILTER((LIBNT_FILTER)0, (PVOID)0)
#define LIBNT_EXCEPT(Verdict)						\
			while (0);					\
			LibntTryPop(&libnt_try_frame);			\
		} else if (LibntTryDecide(&libnt_try_frame, (Verdict))) {
#define LIBNT_END_TRY							\
		}							\
	}
#define LIBNT_LEAVE	break

/* In the expression of LIBNT_EXCEPT and in its block. */
#define LibntExceptionCode()		((NTSTATUS)libnt_try_frame.Record.ExceptionCode)
#define LibntExceptionInformation()	(&libnt_try_frame.Pointers)

/* --- many at once ---------------------------------------------------------- */

#ifdef __UINT64_TYPE__
__extension__ typedef __UINT64_TYPE__ libnt_u64;
__extension__ typedef __INT64_TYPE__ libnt_s64;
#else
typedef unsigned long long libnt_u64;
typedef long long libnt_s64;
#endif

/*
 * One operation of a batch. The same in 32-bit and 64-bit programs.
 * Operation	LIBNT_REQUEST_*
 * Status	out: what the call by itself would have returned; STATUS_PENDING if
 *		the batch ended before this operation was begun
 * BaseAddress	in/out, as *BaseAddress of the call by itself
 * RegionSize	in/out, as *RegionSize
 * Protect	COMMIT and PROTECT: PAGE_*; DECOMMIT: 0
 * OldProtect	out, PROTECT: as *OldProtect
 */
typedef struct _LIBNT_REQUEST {
	ULONG Operation;
	NTSTATUS Status;
#ifdef __GNUC__
	libnt_u64 BaseAddress __attribute__((__aligned__(8)));
	libnt_u64 RegionSize __attribute__((__aligned__(8)));
#else
	libnt_u64 BaseAddress;
	libnt_u64 RegionSize;
#endif
	ULONG Protect;
	ULONG OldProtect;
} LIBNT_REQUEST;

#define LIBNT_REQUEST_COMMIT	0	/* NtAllocateVirtualMemory, MEM_COMMIT, never reserves */
#define LIBNT_REQUEST_DECOMMIT	1	/* NtFreeVirtualMemory, MEM_DECOMMIT */
#define LIBNT_REQUEST_PROTECT	2	/* NtProtectVirtualMemory */
#define LIBNT_REQUEST_MAX	65536
#define LIBNT_BATCH_STOP	0x1	/* end after the first that fails */

/*
 * Carry out up to LIBNT_REQUEST_MAX operations, in order, at a fraction of the
 * cost of as many calls. Needs PROCESS_VM_OPERATION. STATUS_SUCCESS says that the
 * array was processed; each operation has its own Status. *Done, unless Done is
 * NULL, receives how many were carried out, the failed ones included.
 */
NTSTATUS NTAPI LibntVirtualMemoryBatch(HANDLE ProcessHandle, LIBNT_REQUEST *Requests,
				       ULONG Count, ULONG Flags, PULONG Done);

/* --- limits and jobs ------------------------------------------------------- */

typedef struct _LIBNT_COMMIT {
	SIZE_T Limit;			/* bytes that may be committed, 0: no limit */
	SIZE_T CommittedBytes;		/* now */
	SIZE_T PeakCommittedBytes;	/* the most there ever was */
} LIBNT_COMMIT;

/*
 * Limit what a process may commit, in bytes; 0 takes the limit away. A commit
 * beyond it is STATUS_COMMITMENT_LIMIT. A limit below what is committed takes
 * nothing away. Needs PROCESS_VM_OPERATION.
 */
NTSTATUS NTAPI LibntSetCommitLimit(HANDLE ProcessHandle, SIZE_T Limit);

/* Needs PROCESS_QUERY_INFORMATION or PROCESS_QUERY_LIMITED_INFORMATION. */
NTSTATUS NTAPI LibntGetCommitLimit(HANDLE ProcessHandle, LIBNT_COMMIT *Commit);

#ifndef JOB_OBJECT_LIMIT_PROCESS_MEMORY
#define JOB_OBJECT_LIMIT_PROCESS_MEMORY		0x00000100
#endif
#ifndef JOB_OBJECT_LIMIT_JOB_MEMORY
#define JOB_OBJECT_LIMIT_JOB_MEMORY		0x00000200
#endif
#ifndef JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK
#define JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK	0x00001000
#endif

#ifndef LIBNT_NO_JOB_TYPES
typedef union _LARGE_INTEGER {
	libnt_s64 QuadPart __attribute__((aligned(8)));	/* on NT in 32-bit programs too */
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef struct _IO_COUNTERS {
	libnt_u64 ReadOperationCount __attribute__((aligned(8)));
	libnt_u64 WriteOperationCount;
	libnt_u64 OtherOperationCount;
	libnt_u64 ReadTransferCount;
	libnt_u64 WriteTransferCount;
	libnt_u64 OtherTransferCount;
} IO_COUNTERS, *PIO_COUNTERS;

typedef struct _JOBOBJECT_BASIC_LIMIT_INFORMATION {
	LARGE_INTEGER PerProcessUserTimeLimit;
	LARGE_INTEGER PerJobUserTimeLimit;
	DWORD LimitFlags;
	SIZE_T MinimumWorkingSetSize;
	SIZE_T MaximumWorkingSetSize;
	DWORD ActiveProcessLimit;
	ULONG_PTR Affinity;
	DWORD PriorityClass;
	DWORD SchedulingClass;
} JOBOBJECT_BASIC_LIMIT_INFORMATION, *PJOBOBJECT_BASIC_LIMIT_INFORMATION;

typedef struct _JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
	JOBOBJECT_BASIC_LIMIT_INFORMATION BasicLimitInformation;
	IO_COUNTERS IoInfo;
	SIZE_T ProcessMemoryLimit;
	SIZE_T JobMemoryLimit;
	SIZE_T PeakProcessMemoryUsed;
	SIZE_T PeakJobMemoryUsed;
} JOBOBJECT_EXTENDED_LIMIT_INFORMATION, *PJOBOBJECT_EXTENDED_LIMIT_INFORMATION;

typedef enum _JOBOBJECTINFOCLASS {
	JobObjectExtendedLimitInformation = 9
} JOBOBJECTINFOCLASS;
#endif

/*
 * Make a job: processes that share commit limits. A process that is in it stays in
 * it, and its children are in it from their first call of this library on. The job
 * lasts as long as it has a handle or a process; NtClose() closes the handle.
 * ObjectAttributes may be NULL and may name nothing. DesiredAccess is not looked
 * at: a handle can do everything.
 */
NTSTATUS NTAPI NtCreateJobObject(PHANDLE JobHandle, ACCESS_MASK DesiredAccess,
				 POBJECT_ATTRIBUTES ObjectAttributes);

/*
 * Put a process into a job. Needs PROCESS_VM_OPERATION. STATUS_ACCESS_DENIED if it
 * is in one already, STATUS_COMMITMENT_LIMIT if what it has committed does not fit.
 */
NTSTATUS NTAPI NtAssignProcessToJobObject(HANDLE JobHandle, HANDLE ProcessHandle);

/*
 * Set limits, class JobObjectExtendedLimitInformation only. LimitFlags says which:
 * JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOB_OBJECT_LIMIT_JOB_MEMORY, each of a page or
 * more; with JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK children stay out. Other flags of
 * NT are STATUS_NOT_SUPPORTED, unknown ones STATUS_INVALID_PARAMETER. What is not
 * flagged is not limited any more.
 */
NTSTATUS NTAPI NtSetInformationJobObject(HANDLE JobHandle,
					 JOBOBJECTINFOCLASS JobObjectInformationClass,
					 PVOID JobObjectInformation,
					 ULONG JobObjectInformationLength);

/* The limits and peaks, same class. ReturnLength may be NULL. */
NTSTATUS NTAPI NtQueryInformationJobObject(HANDLE JobHandle,
					   JOBOBJECTINFOCLASS JobObjectInformationClass,
					   PVOID JobObjectInformation,
					   ULONG JobObjectInformationLength,
					   PULONG ReturnLength);

/* --- Win32's view ------------------------------------------------------------
 * For the functions of libnt-win32.h; programs may use them as well.
 */

/* The Win32 error of a status; 317, ERROR_MR_MID_NOT_FOUND, if it has none. */
ULONG NTAPI RtlNtStatusToDosError(NTSTATUS Status);

/* Where the calling thread's last error is: what GetLastError() returns. */
DWORD *NTAPI LibntLastError(void);

/* Bytes of a large page; 0 if the kernel has none. */
SIZE_T NTAPI LibntLargePageMinimum(void);

/* --- what Linux adds ------------------------------------------------------------ */

/*
 * Which contract the frees of a process follow; the documented one is the
 * default. Documented: MEM_RELEASE takes the exact base of a region and size 0,
 * nothing else. Windows: what Windows really does: parts of a region can be
 * released, any address in the first page will do as the base.
 * Needs PROCESS_VM_OPERATION; STATUS_INVALID_PARAMETER for an unknown contract.
 */
#define LIBNT_CONTRACT_DOCUMENTED	0
#define LIBNT_CONTRACT_WINDOWS		1
NTSTATUS NTAPI LibntSetContract(HANDLE ProcessHandle, ULONG Contract);

/*
 * Handles are open files of /dev/ntvm. LibntHandleToFd() gives the descriptor
 * of a handle (to send it over a socket, say), -1 if the value cannot be one;
 * LibntFdToHandle() gives the handle of a descriptor, 0 for a negative one.
 * Neither opens, closes or checks anything.
 */
int NTAPI LibntHandleToFd(HANDLE Handle);
HANDLE NTAPI LibntFdToHandle(int Fd);

/*
 * Why this thread's last access was refused: STATUS_GUARD_PAGE_VIOLATION and
 * the page if it tripped a guard page since the last call, or
 * STATUS_STACK_OVERFLOW if that page was the last of its stack, else
 * STATUS_NOT_FOUND. For SIGSEGV handlers: async-signal-safe once any call of
 * this library has succeeded.
 */
NTSTATUS NTAPI LibntTakeFault(PVOID *PageAddress);

typedef struct _LIBNT_INFO {
	ULONG Version;			/* of the module's ABI */
	ULONG Contract;			/* LIBNT_CONTRACT_* of the process */
	ULONG PageSize;			/* bytes */
	ULONG AllocationGranularity;	/* bytes */
	ULONG_PTR MinimumAddress;	/* lowest and highest address that a */
	ULONG_PTR MaximumAddress;	/*   region may cover */
	SIZE_T ReservedBytes;		/* in regions now */
	SIZE_T CommittedBytes;		/* now */
	SIZE_T Regions;			/* now */
	ULONG GrantedAccess;		/* rights of the handle, PROCESS_* */
} LIBNT_INFO;

/* Needs no right. STATUS_ACCESS_VIOLATION if Info is NULL. */
NTSTATUS NTAPI LibntGetInfo(HANDLE ProcessHandle, LIBNT_INFO *Info);

#ifdef __cplusplus
}
#endif

#endif /* LIBNT_H */
