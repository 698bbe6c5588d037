// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What Linux adds to NT's calls: the contract of a process, its limits and
 * counts, and the reason of a refused access.
 */
#include "internal.h"

_Static_assert(LIBNT_CONTRACT_DOCUMENTED == NTVM_CONTRACT_DOCUMENTED &&
	       LIBNT_CONTRACT_WINDOWS == NTVM_CONTRACT_WINDOWS, "passed as they are");

NTSTATUS NTAPI LibntSetContract(HANDLE ProcessHandle, ULONG Contract)
{
	struct ntvm_set_contract req = {
		REQUEST(req, ProcessHandle),
		.contract = Contract,
	};

	return nt_request(NTVM_IOC_SET_CONTRACT, &req);
}

/* Of a 64-bit process a 32-bit program sees what it can count. */
static SIZE_T size_of(uint64_t bytes)
{
	return bytes > (SIZE_T)-1 ? (SIZE_T)-1 : (SIZE_T)bytes;
}

NTSTATUS NTAPI LibntGetInfo(HANDLE ProcessHandle, LIBNT_INFO *Info)
{
	struct ntvm_info req = {
		REQUEST(req, ProcessHandle),
	};
	NTSTATUS status;

	if (!Info)
		return STATUS_ACCESS_VIOLATION;
	status = nt_request(NTVM_IOC_GET_INFO, &req);
	if (status != STATUS_SUCCESS)
		return status;

	Info->Version = req.out_version;
	Info->Contract = req.out_contract;
	Info->PageSize = req.out_page_size;
	Info->AllocationGranularity = req.out_granularity;
	Info->MinimumAddress = size_of(req.out_min_address);
	Info->MaximumAddress = size_of(req.out_max_address);
	Info->ReservedBytes = size_of(req.out_reserved);
	Info->CommittedBytes = size_of(req.out_committed);
	Info->Regions = size_of(req.out_regions);
	Info->GrantedAccess = req.out_access;
	return STATUS_SUCCESS;
}

NTSTATUS NTAPI LibntTakeFault(PVOID *PageAddress)
{
	struct ntvm_take_fault req = {
		REQUEST(req, NtCurrentProcess()),
	};
	NTSTATUS status;

	status = nt_request(NTVM_IOC_TAKE_FAULT, &req);
	if (status != STATUS_SUCCESS)
		return status;
	if (PageAddress)
		*PageAddress = (PVOID)(uintptr_t)req.out_address;
	return req.out_kind == NTVM_FAULT_STACK ? STATUS_STACK_OVERFLOW :
						  STATUS_GUARD_PAGE_VIOLATION;
}
