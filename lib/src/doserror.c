// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Win32's view: an error code for each status, the last one that a thread got,
 * and the size of a large page. For the functions of libnt-win32.h.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ERROR_SUCCESS			0
#define ERROR_MR_MID_NOT_FOUND		317	/* what a status without an error code becomes */

struct row {
	uint32_t first;		/* status */
	uint32_t last;		/* status; the numbered ones are a row together */
	ULONG error;
};

/* Ascending. Many to one: the status tells more than the error. */
static const struct row rows[] = {
	{ 0x00000000, 0x00000000, ERROR_SUCCESS },
	{ 0x00000103, 0x00000103, 997 },	/* PENDING: IO_PENDING */
	{ 0x40000002, 0x40000002, 87 },		/* WORKING_SET_LIMIT_RANGE: INVALID_PARAMETER */
	{ 0x80000001, 0x80000001, 0x80000001 },	/* GUARD_PAGE_VIOLATION: itself */
	{ 0x80000002, 0x80000002, 998 },	/* DATATYPE_MISALIGNMENT: NOACCESS */
	{ 0x80000005, 0x80000005, 234 },	/* BUFFER_OVERFLOW: MORE_DATA */
	{ 0x8000000D, 0x8000000D, 299 },	/* PARTIAL_COPY: PARTIAL_COPY */
	{ 0x80000011, 0x80000011, 170 },	/* DEVICE_BUSY: BUSY */
	{ 0xC0000001, 0xC0000001, 31 },		/* UNSUCCESSFUL: GEN_FAILURE */
	{ 0xC0000002, 0xC0000002, 1 },		/* NOT_IMPLEMENTED: INVALID_FUNCTION */
	{ 0xC0000003, 0xC0000003, 87 },		/* INVALID_INFO_CLASS: INVALID_PARAMETER */
	{ 0xC0000004, 0xC0000004, 24 },		/* INFO_LENGTH_MISMATCH: BAD_LENGTH */
	{ 0xC0000005, 0xC0000005, 998 },	/* ACCESS_VIOLATION: NOACCESS */
	{ 0xC0000006, 0xC0000006, 999 },	/* IN_PAGE_ERROR: SWAPERROR */
	{ 0xC0000007, 0xC0000007, 1454 },	/* PAGEFILE_QUOTA: PAGEFILE_QUOTA */
	{ 0xC0000008, 0xC0000008, 6 },		/* INVALID_HANDLE: INVALID_HANDLE */
	{ 0xC000000B, 0xC000000B, 87 },		/* INVALID_CID: INVALID_PARAMETER */
	{ 0xC000000D, 0xC000000D, 87 },		/* INVALID_PARAMETER */
	{ 0xC000000E, 0xC000000E, 2 },		/* NO_SUCH_DEVICE: FILE_NOT_FOUND */
	{ 0xC0000017, 0xC0000017, 8 },		/* NO_MEMORY: NOT_ENOUGH_MEMORY */
	{ 0xC0000018, 0xC0000018, 487 },	/* CONFLICTING_ADDRESSES: INVALID_ADDRESS */
	{ 0xC0000019, 0xC0000019, 487 },	/* NOT_MAPPED_VIEW: INVALID_ADDRESS */
	{ 0xC000001A, 0xC000001A, 87 },		/* UNABLE_TO_FREE_VM: INVALID_PARAMETER */
	{ 0xC000001B, 0xC000001B, 87 },		/* UNABLE_TO_DELETE_SECTION: INVALID_PARAMETER */
	{ 0xC0000021, 0xC0000022, 5 },		/* ALREADY_COMMITTED, ACCESS_DENIED */
	{ 0xC0000023, 0xC0000023, 122 },	/* BUFFER_TOO_SMALL: INSUFFICIENT_BUFFER */
	{ 0xC0000024, 0xC0000024, 6 },		/* OBJECT_TYPE_MISMATCH: INVALID_HANDLE */
	{ 0xC000002A, 0xC000002A, 158 },	/* NOT_LOCKED: NOT_LOCKED */
	{ 0xC000002D, 0xC000002D, 487 },	/* NOT_COMMITTED: INVALID_ADDRESS */
	{ 0xC0000030, 0xC0000030, 87 },		/* INVALID_PARAMETER_MIX */
	{ 0xC0000044, 0xC0000044, 1816 },	/* QUOTA_EXCEEDED: NOT_ENOUGH_QUOTA */
	{ 0xC0000045, 0xC0000045, 87 },		/* INVALID_PAGE_PROTECTION */
	{ 0xC000004D, 0xC000004E, 87 },		/* INCOMPATIBLE_FILE_MAP, SECTION_PROTECTION */
	{ 0xC0000054, 0xC0000054, 33 },		/* FILE_LOCK_CONFLICT: LOCK_VIOLATION */
	{ 0xC0000059, 0xC0000059, 1306 },	/* REVISION_MISMATCH: REVISION_MISMATCH */
	{ 0xC0000061, 0xC0000061, 1314 },	/* PRIVILEGE_NOT_HELD: PRIVILEGE_NOT_HELD */
	{ 0xC000007F, 0xC000007F, 112 },	/* DISK_FULL: DISK_FULL */
	{ 0xC0000095, 0xC0000095, 534 },	/* INTEGER_OVERFLOW: ARITHMETIC_OVERFLOW */
	{ 0xC000009A, 0xC000009A, 1450 },	/* INSUFFICIENT_RESOURCES: NO_SYSTEM_RESOURCES */
	{ 0xC000009F, 0xC00000A0, 487 },	/* FREE_VM_NOT_AT_BASE, MEMORY_NOT_ALLOCATED */
	{ 0xC00000A1, 0xC00000A1, 1453 },	/* WORKING_SET_QUOTA: WORKING_SET_QUOTA */
	{ 0xC00000BB, 0xC00000BB, 50 },		/* NOT_SUPPORTED: NOT_SUPPORTED */
	{ 0xC00000E8, 0xC00000E8, 1784 },	/* INVALID_USER_BUFFER: INVALID_USER_BUFFER */
	{ 0xC00000EF, 0xC00000FA, 87 },		/* INVALID_PARAMETER_1 to _12 */
	{ 0xC00000FD, 0xC00000FD, 1001 },	/* STACK_OVERFLOW: STACK_OVERFLOW */
	{ 0xC0000106, 0xC0000106, 206 },	/* NAME_TOO_LONG: FILENAME_EXCED_RANGE */
	{ 0xC000010A, 0xC000010A, 5 },		/* PROCESS_IS_TERMINATING: ACCESS_DENIED */
	{ 0xC000012C, 0xC000012C, 1454 },	/* PAGEFILE_QUOTA_EXCEEDED: PAGEFILE_QUOTA */
	{ 0xC000012D, 0xC000012D, 1455 },	/* COMMITMENT_LIMIT: COMMITMENT_LIMIT */
	{ 0xC0000141, 0xC0000141, 487 },	/* INVALID_ADDRESS: INVALID_ADDRESS */
	{ 0xC0000220, 0xC0000220, 1132 },	/* MAPPED_ALIGNMENT: MAPPED_ALIGNMENT */
	{ 0xC0000225, 0xC0000225, 1168 },	/* NOT_FOUND: NOT_FOUND */
};

ULONG NTAPI RtlNtStatusToDosError(NTSTATUS Status)
{
	uint32_t status = (uint32_t)Status;
	size_t low = 0, high = sizeof(rows) / sizeof(rows[0]);

	/* Of a program's own making: passed through. An error in a status's clothes: undressed. */
	if (status & 0x20000000)
		return status;
	if ((status & 0xFFFF0000) == 0x80070000 || (status & 0xFFFF0000) == 0xC0070000)
		return status & 0xFFFF;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (status < rows[mid].first)
			high = mid;
		else if (status > rows[mid].last)
			low = mid + 1;
		else
			return rows[mid].error;
	}
	return ERROR_MR_MID_NOT_FOUND;
}

static __thread DWORD last_error;

DWORD *NTAPI LibntLastError(void)
{
	return &last_error;
}

SIZE_T NTAPI LibntLargePageMinimum(void)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
	int saved = errno, fd = open(path, O_RDONLY | O_CLOEXEC);
	SIZE_T size = 0;
	char text[24];
	ssize_t got, i;

	if (fd < 0) {
		errno = saved;
		return 0;
	}
	got = read(fd, text, sizeof(text));
	for (i = 0; i < got && text[i] >= '0' && text[i] <= '9'; i++)
		size = size * 10 + (SIZE_T)(text[i] - '0');
	close(fd);
	errno = saved;
	return size;
}
