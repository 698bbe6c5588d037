// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtSetInformationVirtualMemory and NtFlushVirtualMemory.
 */
#include "internal.h"

#include <errno.h>
#include <sys/mman.h>

/*
 * The module reads back its own memory. Files that the program has mapped are
 * the kernel's, which takes the same hint; it passes over what is not there.
 */
static void advise(const MEMORY_RANGE_ENTRY *ranges, ULONG_PTR nr)
{
	const uintptr_t page = 4096;
	int saved = errno;
	uintptr_t start;
	ULONG_PTR i;
	SIZE_T len;

	for (i = 0; i < nr; i++) {
		start = (uintptr_t)ranges[i].VirtualAddress & ~(page - 1);
		len = ranges[i].NumberOfBytes + ((uintptr_t)ranges[i].VirtualAddress - start);
		if (len >= ranges[i].NumberOfBytes)
			madvise((void *)start, len, MADV_WILLNEED);
	}
	errno = saved;
}

#ifdef _LP64

_Static_assert(sizeof(MEMORY_RANGE_ENTRY) == sizeof(struct ntvm_memory_range) &&
	       offsetof(MEMORY_RANGE_ENTRY, NumberOfBytes) ==
	       offsetof(struct ntvm_memory_range, len),
	       "the module reads the caller's array itself");
_Static_assert(sizeof(IO_STATUS_BLOCK) == sizeof(struct ntvm_io_status) &&
	       offsetof(IO_STATUS_BLOCK, Information) ==
	       offsetof(struct ntvm_io_status, information),
	       "the module writes the caller's block itself");

static NTSTATUS set_ranges(struct ntvm_set_information *req, const MEMORY_RANGE_ENTRY *ranges,
			   ULONG_PTR nr)
{
	req->ranges = nt_address(ranges);
	req->count = nr;
	return nt_request(NTVM_IOC_SET_INFORMATION, req);
}

#else /* 32-bit: some ranges at a time, in the module's width */

#define RANGES_PIECE	64

static NTSTATUS set_ranges(struct ntvm_set_information *req, const MEMORY_RANGE_ENTRY *ranges,
			   ULONG_PTR nr)
{
	struct ntvm_memory_range wide[RANGES_PIECE];
	MEMORY_RANGE_ENTRY narrow[RANGES_PIECE];
	ULONG_PTR done = 0, some, i;
	NTSTATUS status;

	do {
		some = nr - done < RANGES_PIECE ? nr - done : RANGES_PIECE;
		req->ranges = ranges ? nt_address(wide) : 0;
		req->count = some;
		if (nr > UINTPTR_MAX / sizeof(*ranges) ||
		    (some && !nt_load(narrow, ranges + done, some * sizeof(*ranges)))) {
			req->ranges = NOWHERE;
		} else {
			for (i = 0; i < some; i++) {
				wide[i].address = nt_address(narrow[i].VirtualAddress);
				wide[i].len = narrow[i].NumberOfBytes;
			}
		}
		status = nt_request(NTVM_IOC_SET_INFORMATION, req);
		done += some;
	} while (status == STATUS_SUCCESS && done < nr);
	return status;
}

#endif

NTSTATUS NTAPI NtSetInformationVirtualMemory(HANDLE ProcessHandle,
					     VIRTUAL_MEMORY_INFORMATION_CLASS VmInformationClass,
					     ULONG_PTR NumberOfEntries,
					     PMEMORY_RANGE_ENTRY VirtualAddresses,
					     PVOID VmInformation, ULONG VmInformationLength)
{
	struct ntvm_set_information req = {
		REQUEST(req, ProcessHandle),
		.info = nt_address(VmInformation),
		.info_class = (uint32_t)VmInformationClass,
		.info_length = VmInformationLength,
	};
	NTSTATUS status = set_ranges(&req, VirtualAddresses, NumberOfEntries);

	if (status == STATUS_SUCCESS && req.info_class == NTVM_SET_PREFETCH &&
	    req.handle == NTVM_CURRENT_PROCESS)
		advise(VirtualAddresses, NumberOfEntries);
	return status;
}

NTSTATUS NTAPI NtFlushVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				    PSIZE_T RegionSize, PIO_STATUS_BLOCK IoStatus)
{
	struct ntvm_flush req = {
		REQUEST(req, ProcessHandle),
		.flags = NTVM_F_INDIRECT,
		.base = nt_address(BaseAddress),
		.len = nt_address(RegionSize),
		.io_ptr = nt_address(IoStatus),
	};
#ifdef _LP64
	return nt_request(NTVM_IOC_FLUSH, &req);
#else
	_Alignas(8) uint64_t base = 0, len = 0;
	struct ntvm_io_status io = { .information = UINT64_MAX };
	IO_STATUS_BLOCK narrow_io;
	PVOID narrow_base = NULL;
	SIZE_T narrow_len = 0;
	NTSTATUS status;

	req.base = nt_stand_in(BaseAddress, sizeof(narrow_base), &base);
	req.len = nt_stand_in(RegionSize, sizeof(narrow_len), &len);
	req.io_ptr = nt_stand_in(IoStatus, sizeof(narrow_io), &io);
	if (nt_load(&narrow_base, BaseAddress, sizeof(narrow_base)))
		base = nt_address(narrow_base);
	if (nt_load(&narrow_len, RegionSize, sizeof(narrow_len)))
		len = narrow_len;
	status = nt_request(NTVM_IOC_FLUSH, &req);
	if (io.information != UINT64_MAX) {
		narrow_io.Status = (NTSTATUS)io.status;
		narrow_io.Information = (ULONG_PTR)io.information;
		nt_store(IoStatus, &narrow_io, sizeof(narrow_io));
	}
	if (status == STATUS_SUCCESS) {
		narrow_base = (PVOID)(uintptr_t)base;
		narrow_len = (SIZE_T)len;
		if (!nt_store(BaseAddress, &narrow_base, sizeof(narrow_base)) ||
		    !nt_store(RegionSize, &narrow_len, sizeof(narrow_len)))
			return STATUS_ACCESS_VIOLATION;
	}
	return status;
#endif
}
