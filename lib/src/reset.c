// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Contents that may be given up: offered, reclaimed, discarded. The module
 * checks all arguments. MEM_RESET and MEM_RESET_UNDO are NtAllocateVirtualMemory's.
 */
#include "internal.h"

_Static_assert(VmOfferPriorityVeryLow == NTVM_OFFER_VERY_LOW &&
	       VmOfferPriorityLow == NTVM_OFFER_LOW &&
	       VmOfferPriorityBelowNormal == NTVM_OFFER_BELOW_NORMAL &&
	       VmOfferPriorityNormal == NTVM_OFFER_NORMAL, "the priorities are the module's");

static NTSTATUS offer_request(HANDLE process, PVOID base, SIZE_T size, uint32_t op,
			      uint32_t priority)
{
	struct ntvm_offer req = {
		REQUEST(req, process),
		.base = nt_address(base),
		.len = size,
		.op = op,
		.priority = priority,
	};

	return nt_request(NTVM_IOC_OFFER, &req);
}

NTSTATUS NTAPI LibntOfferVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
				       SIZE_T RegionSize, ULONG Priority)
{
	return offer_request(ProcessHandle, BaseAddress, RegionSize, NTVM_OFFER_OFFER, Priority);
}

NTSTATUS NTAPI LibntReclaimVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
					 SIZE_T RegionSize)
{
	return offer_request(ProcessHandle, BaseAddress, RegionSize, NTVM_OFFER_RECLAIM, 0);
}

NTSTATUS NTAPI LibntDiscardVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
					 SIZE_T RegionSize)
{
	return offer_request(ProcessHandle, BaseAddress, RegionSize, NTVM_OFFER_DISCARD, 0);
}
