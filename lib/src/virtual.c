// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtAllocateVirtualMemory, NtFreeVirtualMemory, NtProtectVirtualMemory and
 * NtQueryVirtualMemory: NT's prototypes put into requests.
 *
 * No argument is looked at here. NT checks arguments in an order that programs
 * can see, and reading the caller's in/out variables is one of these checks, so
 * the module gets the addresses of the variables and does it all.
 */
#include "inout.h"

#ifdef _LP64

_Static_assert(sizeof(PVOID) == 8 && sizeof(SIZE_T) == 8,
	       "the module reads and writes the caller's variables itself");
_Static_assert(sizeof(MEMORY_BASIC_INFORMATION) == sizeof(struct ntvm_basic_info),
	       "the module fills the caller's buffer itself");
#define SAME_FIELD(nt, ntvm)							\
	_Static_assert(offsetof(MEMORY_BASIC_INFORMATION, nt) ==		\
		       offsetof(struct ntvm_basic_info, ntvm) &&		\
		       sizeof(((MEMORY_BASIC_INFORMATION *)0)->nt) ==		\
		       sizeof(((struct ntvm_basic_info *)0)->ntvm), #nt)
SAME_FIELD(BaseAddress, base);
SAME_FIELD(AllocationBase, allocation_base);
SAME_FIELD(AllocationProtect, allocation_protect);
SAME_FIELD(PartitionId, partition_id);
SAME_FIELD(RegionSize, region_size);
SAME_FIELD(State, state);
SAME_FIELD(Protect, protect);
SAME_FIELD(Type, type);

#endif

_Static_assert(sizeof(ULONG) == 4, "the module writes the old protection itself");

NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				       ULONG_PTR ZeroBits, PSIZE_T RegionSize,
				       ULONG AllocationType, ULONG Protect)
{
	struct ntvm_allocate req = {
		REQUEST(req, ProcessHandle),
		.flags = NTVM_F_INDIRECT,
		.zero_bits = ZeroBits,
		.type = AllocationType,
		.protect = Protect,
	};
	struct inout v;
	NTSTATUS status;

	inout_load(&v, BaseAddress, RegionSize);
	req.base = v.base;
	req.len = v.len;
	status = nt_request(NTVM_IOC_ALLOCATE, &req);
	inout_store(&v, status, BaseAddress, RegionSize);
	return status;
}

NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				   PSIZE_T RegionSize, ULONG FreeType)
{
	struct ntvm_free req = {
		REQUEST(req, ProcessHandle),
		.flags = NTVM_F_INDIRECT,
		.type = FreeType,
	};
	struct inout v;
	NTSTATUS status;

	inout_load(&v, BaseAddress, RegionSize);
	req.base = v.base;
	req.len = v.len;
	status = nt_request(NTVM_IOC_FREE, &req);
	inout_store(&v, status, BaseAddress, RegionSize);
	return status;
}

NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				      PSIZE_T RegionSize, ULONG NewProtect,
				      PULONG OldProtect)
{
	struct ntvm_protect req = {
		REQUEST(req, ProcessHandle),
		.flags = NTVM_F_INDIRECT,
		.old_ptr = nt_address(OldProtect),
		.protect = NewProtect,
	};
	struct inout v;
	NTSTATUS status;

	inout_load(&v, BaseAddress, RegionSize);
	req.base = v.base;
	req.len = v.len;
	status = nt_request(NTVM_IOC_PROTECT, &req);
	inout_store(&v, status, BaseAddress, RegionSize);
	return status;
}

#ifdef _LP64

NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
				    MEMORY_INFORMATION_CLASS MemoryInformationClass,
				    PVOID MemoryInformation, SIZE_T MemoryInformationLength,
				    PSIZE_T ReturnLength)
{
	struct ntvm_query req = {
		REQUEST(req, ProcessHandle),
		.address = nt_address(BaseAddress),
		.buffer = nt_address(MemoryInformation),
		.length = MemoryInformationLength,
		.return_ptr = nt_address(ReturnLength),
		.info_class = (uint32_t)MemoryInformationClass,
	};

	return nt_request(NTVM_IOC_QUERY, &req);
}

#else /* 32-bit: the answer is narrower than the module's */

NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
				    MEMORY_INFORMATION_CLASS MemoryInformationClass,
				    PVOID MemoryInformation, SIZE_T MemoryInformationLength,
				    PSIZE_T ReturnLength)
{
	struct ntvm_basic_info wide;
	struct ntvm_query req = {
		REQUEST(req, ProcessHandle),
		.address = nt_address(BaseAddress),
		.info_class = (uint32_t)MemoryInformationClass,
	};
	MEMORY_BASIC_INFORMATION *info = MemoryInformation;
	NTSTATUS status;

	if (MemoryInformationLength >= sizeof(*info))
		req.length = sizeof(wide);
	if (info)
		req.buffer = nt_address(&wide);

	status = nt_request(NTVM_IOC_QUERY, &req);
	if (status != STATUS_SUCCESS)
		return status;

	info->BaseAddress = (PVOID)(uintptr_t)wide.base;
	info->AllocationBase = (PVOID)(uintptr_t)wide.allocation_base;
	info->AllocationProtect = wide.allocation_protect;
	info->RegionSize = (SIZE_T)wide.region_size;
	info->State = wide.state;
	info->Protect = wide.protect;
	info->Type = wide.type;
	if (ReturnLength)
		*ReturnLength = sizeof(*info);
	return STATUS_SUCCESS;
}

#endif
