// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtAllocateVirtualMemoryEx. As in virtual.c no argument is looked at before the
 * module has: it reads the parameters where they are.
 *
 * What the module cannot do is give memory a NUMA policy. That is done here, by
 * mbind(2), before the caller has the address; if the kernel does not want the
 * policy, the allocation is undone.
 */
#include "internal.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(MEM_EXTENDED_PARAMETER) == sizeof(struct ntvm_parameter) &&
	       offsetof(MEM_EXTENDED_PARAMETER, ULong64) ==
	       offsetof(struct ntvm_parameter, value),
	       "the module reads the parameters itself");
_Static_assert((int)MemExtendedParameterMax == NTVM_PARAMETER_MAX, "the types are NT's");

#ifdef _LP64

_Static_assert(sizeof(MEM_ADDRESS_REQUIREMENTS) == sizeof(struct ntvm_requirements),
	       "the module reads the requirements itself");

struct wide_parameters {
	uint64_t array;
};

static void parameters_load(struct wide_parameters *wide, const MEM_EXTENDED_PARAMETER *params,
			    ULONG count)
{
	(void)count;
	wide->array = nt_address(params);
}

#else /* 32-bit: the parameters are as wide as the module's, the requirements are not */

struct wide_parameters {
	uint64_t array;
	struct ntvm_parameter copy[NTVM_PARAMETER_MAX];
	struct ntvm_requirements req;
};

static void parameters_load(struct wide_parameters *wide, const MEM_EXTENDED_PARAMETER *params,
			    ULONG count)
{
	MEM_EXTENDED_PARAMETER narrow[NTVM_PARAMETER_MAX];
	MEM_ADDRESS_REQUIREMENTS req;
	ULONG nr = count < NTVM_PARAMETER_MAX ? count : NTVM_PARAMETER_MAX;

	wide->array = params && count ? nt_address(wide->copy) : 0;
	if (!wide->array)
		return;
	if (!nt_load(narrow, params, nr * sizeof(*narrow))) {
		wide->array = NOWHERE;
		return;
	}
	for (ULONG i = 0; i < nr; i++) {
		wide->copy[i].type = narrow[i].Type |
				     (uint64_t)narrow[i].Reserved << MEM_EXTENDED_PARAMETER_TYPE_BITS;
		wide->copy[i].value = narrow[i].ULong64;
		if (wide->copy[i].type != NTVM_PARAMETER_ADDRESS)
			continue;
		wide->copy[i].value = nt_address(&wide->req);
		if (!nt_load(&req, narrow[i].Pointer, sizeof(req))) {
			wide->copy[i].value = NOWHERE;
			continue;
		}
		wide->req.lowest = nt_address(req.LowestStartingAddress);
		wide->req.highest = nt_address(req.HighestEndingAddress);
		wide->req.alignment = req.Alignment;
	}
}

#endif

/* Bits of a node mask: more nodes than any kernel has. */
#define NODES		1024
#define WORD_BITS	(8 * sizeof(unsigned long))

static NTSTATUS prefer_node(PVOID base, SIZE_T size, uint32_t node)
{
	unsigned long mask[NODES / WORD_BITS] = { 0 };
	NTSTATUS status = STATUS_SUCCESS;
	int saved = errno;

	if (node >= NODES)
		return STATUS_INVALID_PARAMETER;
	mask[node / WORD_BITS] = 1ul << node % WORD_BITS;
	if (syscall(SYS_mbind, base, size, MPOL_PREFERRED, mask, (unsigned long)NODES + 1, 0u)) {
		switch (errno) {
		case ENOSYS:	/* a kernel without NUMA: the node is the only one */
			break;
		case EINVAL:	/* a node without memory, or not in the caller's cpuset */
			status = STATUS_INVALID_PARAMETER;
			break;
		case EFAULT:	/* unmapped by somebody else meanwhile */
			status = STATUS_CONFLICTING_ADDRESSES;
			break;
		default:
			status = nt_status_from_errno(errno);
		}
	}
	errno = saved;
	return status;
}

/* The module has found the parameters good, and reserved the range. */
static NTSTATUS apply_node(PVOID *base, PSIZE_T size, ULONG type,
			   const MEM_EXTENDED_PARAMETER *params, ULONG count,
			   const uint64_t old[2])
{
	PVOID free_base = *base;
	SIZE_T free_size = 0;
	ULONG free_type = MEM_RELEASE;
	NTSTATUS status;
	ULONG i = 0;

	while (i < count && params[i].Type != MemExtendedParameterNumaNode)
		i++;
	if (i == count || params[i].ULong == NUMA_NO_PREFERRED_NODE)
		return STATUS_SUCCESS;
	/* Pages of a region that exists already keep what it has. */
	if (!(type & MEM_RESERVE) && old[0])
		return STATUS_SUCCESS;

	status = prefer_node(*base, *size, params[i].ULong);
	if (status == STATUS_SUCCESS)
		return status;
	if (type & MEM_REPLACE_PLACEHOLDER) {
		free_size = *size;
		free_type |= MEM_PRESERVE_PLACEHOLDER;
	}
	NtFreeVirtualMemory(NtCurrentProcess(), &free_base, &free_size, free_type);
	*base = (PVOID)(uintptr_t)old[0];
	*size = (SIZE_T)old[1];
	return status;
}

NTSTATUS NTAPI NtAllocateVirtualMemoryEx(HANDLE ProcessHandle, PVOID *BaseAddress,
					 PSIZE_T RegionSize, ULONG AllocationType,
					 ULONG PageProtection,
					 PMEM_EXTENDED_PARAMETER ExtendedParameters,
					 ULONG ExtendedParameterCount)
{
	struct ntvm_allocate_ex req = {
		REQUEST(req, ProcessHandle),
		.flags = INDIRECT,
		.base = nt_address(BaseAddress),
		.len = nt_address(RegionSize),
		.type = AllocationType,
		.protect = PageProtection,
		.count = ExtendedParameterCount,
	};
	_Alignas(8) uint64_t old[2] = { 0, 0 };
	struct wide_parameters wide;
	NTSTATUS status;

	parameters_load(&wide, ExtendedParameters, ExtendedParameterCount);
	req.parameters = wide.array;
	req.old_ptr = ExtendedParameterCount ? nt_address(old) : 0;
	status = nt_request(NTVM_IOC_ALLOCATE_EX, &req);
	if (status == STATUS_SUCCESS && ExtendedParameterCount)
		status = apply_node(BaseAddress, RegionSize, AllocationType,
				    ExtendedParameters, ExtendedParameterCount, old);
	return status;
}
