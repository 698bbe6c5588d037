// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtLockVirtualMemory and NtUnlockVirtualMemory. The module locks the memory
 * that it manages. A range without any of it (a stack, the C library's heap, a
 * file's mapping) it answers with a status of its own; in the caller's own
 * process mlock(2) and munlock(2) do the rest.
 */
#include "internal.h"

#include <errno.h>
#include <sys/mman.h>

#define PAGE	((uintptr_t)0x1000)

_Static_assert(MAP_PROCESS == NTVM_LOCK_PROCESS && MAP_SYSTEM == NTVM_LOCK_SYSTEM,
	       "passed as they are");

/* Is every page of the range mapped, and not out of reach? */
static NTSTATUS accessible(uintptr_t start, uintptr_t end)
{
	MEMORY_BASIC_INFORMATION info;
	NTSTATUS status;

	for (; start < end; start += info.RegionSize) {
		status = NtQueryVirtualMemory(NtCurrentProcess(), (PVOID)start,
					      MemoryBasicInformation, &info, sizeof(info), NULL);
		if (status != STATUS_SUCCESS)
			return status;
		if (info.State != MEM_COMMIT || (info.Protect & PAGE_NOACCESS))
			return STATUS_ACCESS_VIOLATION;
		if (info.RegionSize >= end - start)
			break;
	}
	return STATUS_SUCCESS;
}

/* The same for memory that is not the module's. The arguments have been checked. */
static NTSTATUS foreign(uint32_t op, PVOID *base, PSIZE_T size)
{
	uintptr_t start = (uintptr_t)*base & ~(PAGE - 1);
	uintptr_t end = ((uintptr_t)*base + *size + PAGE - 1) & ~(PAGE - 1);
	int saved = errno, ret;
	NTSTATUS status;

	status = accessible(start, end);
	if (status != STATUS_SUCCESS)
		return op == NTVM_LOCK_LOCK ? status : STATUS_NOT_LOCKED;
	if (op == NTVM_LOCK_LOCK)
		ret = mlock((void *)start, end - start);
	else
		ret = munlock((void *)start, end - start);
	errno = saved;
	if (ret)
		return op == NTVM_LOCK_LOCK ? STATUS_WORKING_SET_QUOTA : STATUS_NOT_LOCKED;
	*base = (PVOID)start;
	*size = end - start;
	return STATUS_SUCCESS;
}

static NTSTATUS request(uint32_t op, HANDLE process, PVOID *base, PSIZE_T size, ULONG map_type)
{
	struct ntvm_lock req = {
		REQUEST(req, process),
		.flags = INDIRECT,
		.base = nt_address(base),
		.len = nt_address(size),
		.op = op,
		.map_type = map_type,
	};
	NTSTATUS status;

	status = nt_request(NTVM_IOC_LOCK, &req);
	if (status != STATUS_MEMORY_NOT_ALLOCATED)
		return status;
	if (req.handle != NTVM_CURRENT_PROCESS)
		return op == NTVM_LOCK_LOCK ? STATUS_ACCESS_VIOLATION : STATUS_NOT_LOCKED;
	return foreign(op, base, size);
}

NTSTATUS NTAPI NtLockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				   PSIZE_T RegionSize, ULONG MapType)
{
	return request(NTVM_LOCK_LOCK, ProcessHandle, BaseAddress, RegionSize, MapType);
}

NTSTATUS NTAPI NtUnlockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				     PSIZE_T RegionSize, ULONG MapType)
{
	return request(NTVM_LOCK_UNLOCK, ProcessHandle, BaseAddress, RegionSize, MapType);
}
