// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtAllocateVirtualMemory, NtFreeVirtualMemory, NtProtectVirtualMemory and
 * NtQueryVirtualMemory: NT's prototypes put into requests.
 *
 * No argument is looked at here. NT checks arguments in an order that programs
 * can see, and reading the caller's in/out variables is one of these checks, so
 * the module gets the addresses of the variables and does it all. In a 32-bit
 * program they are 4 bytes wide: it tells the module so (NTVM_F_NARROW).
 */
#include "internal.h"

#ifndef _LP64
#include <errno.h>
#include <sys/mman.h>
#endif

#ifdef _LP64
typedef struct ntvm_basic_info basic_info;
#else
typedef struct ntvm_basic_info32 basic_info;
#endif

_Static_assert(sizeof(MEMORY_BASIC_INFORMATION) == sizeof(basic_info),
	       "the module fills the caller's buffer itself");
#define SAME_FIELD(nt, ntvm)							\
	_Static_assert(offsetof(MEMORY_BASIC_INFORMATION, nt) ==		\
		       offsetof(basic_info, ntvm) &&				\
		       sizeof(((MEMORY_BASIC_INFORMATION *)0)->nt) ==		\
		       sizeof(((basic_info *)0)->ntvm), #nt)
SAME_FIELD(BaseAddress, base);
SAME_FIELD(AllocationBase, allocation_base);
SAME_FIELD(AllocationProtect, allocation_protect);
#ifdef _LP64
SAME_FIELD(PartitionId, partition_id);
#endif
SAME_FIELD(RegionSize, region_size);
SAME_FIELD(State, state);
SAME_FIELD(Protect, protect);
SAME_FIELD(Type, type);

#ifdef _LP64

#undef SAME_FIELD
#define SAME_FIELD(type, nt, ntvm_type, ntvm)						\
	_Static_assert(offsetof(type, nt) == offsetof(struct ntvm_type, ntvm) &&	\
		       sizeof(((type *)0)->nt) == sizeof(((struct ntvm_type *)0)->ntvm), #nt)
SAME_FIELD(MEMORY_REGION_INFORMATION, AllocationBase, ntvm_region_info, allocation_base);
SAME_FIELD(MEMORY_REGION_INFORMATION, AllocationProtect, ntvm_region_info, allocation_protect);
SAME_FIELD(MEMORY_REGION_INFORMATION, RegionType, ntvm_region_info, region_type);
SAME_FIELD(MEMORY_REGION_INFORMATION, RegionSize, ntvm_region_info, region_size);
SAME_FIELD(MEMORY_REGION_INFORMATION, CommitSize, ntvm_region_info, commit_size);
SAME_FIELD(MEMORY_REGION_INFORMATION, PartitionId, ntvm_region_info, partition_id);
SAME_FIELD(MEMORY_REGION_INFORMATION, NodePreference, ntvm_region_info, node_preference);
SAME_FIELD(MEMORY_WORKING_SET_EX_INFORMATION, VirtualAddress, ntvm_working_set_entry, address);
SAME_FIELD(MEMORY_WORKING_SET_EX_INFORMATION, u1, ntvm_working_set_entry, attributes);
SAME_FIELD(MEMORY_IMAGE_INFORMATION, ImageBase, ntvm_image_info, image_base);
SAME_FIELD(MEMORY_IMAGE_INFORMATION, SizeOfImage, ntvm_image_info, image_size);
SAME_FIELD(MEMORY_IMAGE_INFORMATION, ImageFlags, ntvm_image_info, image_flags);
SAME_FIELD(UNICODE_STRING, Length, ntvm_mapped_filename, length);
SAME_FIELD(UNICODE_STRING, MaximumLength, ntvm_mapped_filename, maximum_length);
SAME_FIELD(UNICODE_STRING, Buffer, ntvm_mapped_filename, buffer);
_Static_assert(sizeof(MEMORY_REGION_INFORMATION) == sizeof(struct ntvm_region_info) &&
	       sizeof(MEMORY_IMAGE_INFORMATION) == sizeof(struct ntvm_image_info) &&
	       sizeof(MEMORY_WORKING_SET_EX_INFORMATION) ==
	       sizeof(struct ntvm_working_set_entry),
	       "the module fills the caller's buffer itself");

#endif

_Static_assert(sizeof(ULONG) == 4, "the module writes the old protection itself");

NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				       ULONG_PTR ZeroBits, PSIZE_T RegionSize,
				       ULONG AllocationType, ULONG Protect)
{
	struct ntvm_allocate req = {
		REQUEST(req, ProcessHandle),
		.flags = INDIRECT,
		.base = nt_address(BaseAddress),
		.len = nt_address(RegionSize),
		.zero_bits = ZeroBits,
		.type = AllocationType,
		.protect = Protect,
	};

	return nt_request(NTVM_IOC_ALLOCATE, &req);
}

NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				   PSIZE_T RegionSize, ULONG FreeType)
{
	struct ntvm_free req = {
		REQUEST(req, ProcessHandle),
		.flags = INDIRECT,
		.base = nt_address(BaseAddress),
		.len = nt_address(RegionSize),
		.type = FreeType,
	};

	return nt_request(NTVM_IOC_FREE, &req);
}

NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress,
				      PSIZE_T RegionSize, ULONG NewProtect,
				      PULONG OldProtect)
{
	struct ntvm_protect req = {
		REQUEST(req, ProcessHandle),
		.flags = INDIRECT,
		.base = nt_address(BaseAddress),
		.len = nt_address(RegionSize),
		.old_ptr = nt_address(OldProtect),
		.protect = NewProtect,
	};

	return nt_request(NTVM_IOC_PROTECT, &req);
}

#ifdef _LP64

NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
				    MEMORY_INFORMATION_CLASS MemoryInformationClass,
				    PVOID MemoryInformation, SIZE_T MemoryInformationLength,
				    PSIZE_T ReturnLength)
{
	struct ntvm_query req = {
		REQUEST(req, ProcessHandle),
		.flags = NARROW,
		.address = nt_address(BaseAddress),
		.buffer = nt_address(MemoryInformation),
		.length = MemoryInformationLength,
		.return_ptr = nt_address(ReturnLength),
		.info_class = (uint32_t)MemoryInformationClass,
	};

	return nt_request(NTVM_IOC_QUERY, &req);
}

#else /* 32-bit: the module knows the narrow answer of the basic class only */

/*
 * Each of the others: the request with wide buffers in place of the caller's, where
 * those are none, or too short, in the same way; then the answer, narrowed.
 */
static NTSTATUS query_region(struct ntvm_query *req, MEMORY_REGION_INFORMATION *theirs,
			     SIZE_T length, PSIZE_T ReturnLength)
{
	MEMORY_REGION_INFORMATION info;
	struct ntvm_region_info wide;
	NTSTATUS status;

	if (length >= sizeof(info)) {
		length = sizeof(info);
		req->length = sizeof(wide);
	} else if (length >= offsetof(MEMORY_REGION_INFORMATION, PartitionId)) {
		length = offsetof(MEMORY_REGION_INFORMATION, PartitionId);
		req->length = offsetof(struct ntvm_region_info, partition_id);
	} else if (length >= offsetof(MEMORY_REGION_INFORMATION, CommitSize)) {
		length = offsetof(MEMORY_REGION_INFORMATION, CommitSize);
		req->length = offsetof(struct ntvm_region_info, commit_size);
	}
	if (req->length)
		req->buffer = nt_stand_in(theirs, length, &wide);
	status = nt_request(NTVM_IOC_QUERY, req);
	if (status != STATUS_SUCCESS)
		return status;
	info.AllocationBase = (PVOID)(uintptr_t)wide.allocation_base;
	info.AllocationProtect = wide.allocation_protect;
	info.RegionType = wide.region_type;
	info.RegionSize = (SIZE_T)wide.region_size;
	if (length > offsetof(MEMORY_REGION_INFORMATION, CommitSize))
		info.CommitSize = (SIZE_T)wide.commit_size;
	if (length > offsetof(MEMORY_REGION_INFORMATION, PartitionId)) {
		info.PartitionId = (ULONG_PTR)wide.partition_id;
		info.NodePreference = (ULONG_PTR)wide.node_preference;
	}
	if (!nt_store(theirs, &info, length) ||
	    (ReturnLength && !nt_store(ReturnLength, &length, sizeof(length))))
		return STATUS_ACCESS_VIOLATION;
	return STATUS_SUCCESS;
}

static NTSTATUS query_image(struct ntvm_query *req, MEMORY_IMAGE_INFORMATION *theirs,
			    SIZE_T length, PSIZE_T ReturnLength)
{
	MEMORY_IMAGE_INFORMATION info;
	struct ntvm_image_info wide;
	NTSTATUS status;

	if (length >= sizeof(info)) {
		req->length = sizeof(wide);
		req->buffer = nt_stand_in(theirs, sizeof(info), &wide);
	}
	status = nt_request(NTVM_IOC_QUERY, req);
	if (status != STATUS_SUCCESS)
		return status;
	info.ImageBase = (PVOID)(uintptr_t)wide.image_base;
	info.SizeOfImage = (SIZE_T)wide.image_size;
	info.ImageFlags = wide.image_flags;
	length = sizeof(info);
	if (!nt_store(theirs, &info, length) ||
	    (ReturnLength && !nt_store(ReturnLength, &length, sizeof(length))))
		return STATUS_ACCESS_VIOLATION;
	return STATUS_SUCCESS;
}

#define WS_PIECE	64

static NTSTATUS query_working_set(struct ntvm_query *req,
				  MEMORY_WORKING_SET_EX_INFORMATION *theirs,
				  SIZE_T length, PSIZE_T ReturnLength)
{
	MEMORY_WORKING_SET_EX_INFORMATION info[WS_PIECE];
	struct ntvm_working_set_entry wide[WS_PIECE];
	SIZE_T all = length / sizeof(*info), done, nr, i;
	NTSTATUS status;
	uint64_t buffer;

	/* Too short is wrong before a bad address is, and that before anything else. */
	buffer = all ? nt_stand_in(theirs, length, wide) : 0;
	if (buffer != nt_address(wide)) {
		req->length = all ? sizeof(*wide) : 0;
		req->buffer = buffer;
		return nt_request(NTVM_IOC_QUERY, req);
	}
	req->buffer = buffer;
	for (done = 0; done < all; done += nr) {
		nr = all - done < WS_PIECE ? all - done : WS_PIECE;
		if (!nt_load(info, theirs + done, nr * sizeof(*info)))
			return STATUS_ACCESS_VIOLATION;
		for (i = 0; i < nr; i++)
			wide[i].address = nt_address(info[i].VirtualAddress);
		req->length = nr * sizeof(*wide);
		status = nt_request(NTVM_IOC_QUERY, req);
		if (status != STATUS_SUCCESS)
			return status;
		for (i = 0; i < nr; i++)
			info[i].u1.Long = (ULONG_PTR)wide[i].attributes;
		if (!nt_store(theirs + done, info, nr * sizeof(*info)))
			return STATUS_ACCESS_VIOLATION;
	}
	if (ReturnLength && !nt_store(ReturnLength, &length, sizeof(length)))
		return STATUS_ACCESS_VIOLATION;
	return STATUS_SUCCESS;
}

/* The longest name there is, with what is before it. */
#define NAME_ROOM	(sizeof(struct ntvm_mapped_filename) + 65536)

static NTSTATUS query_filename(struct ntvm_query *req, UNICODE_STRING *theirs,
			       SIZE_T length, PSIZE_T ReturnLength)
{
	struct ntvm_mapped_filename *wide;
	UNICODE_STRING info;
	NTSTATUS status;
	SIZE_T needed;
	int saved = errno;

	wide = mmap(NULL, NAME_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (wide == MAP_FAILED) {
		errno = saved;
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	if (length >= sizeof(info)) {
		req->length = NAME_ROOM;
		req->buffer = nt_stand_in(theirs, sizeof(info), wide);
	}
	status = nt_request(NTVM_IOC_QUERY, req);
	if (status == STATUS_SUCCESS) {
		needed = sizeof(info) + wide->maximum_length;
		info = (UNICODE_STRING){
			.Length = wide->length,
			.MaximumLength = wide->maximum_length,
			.Buffer = (USHORT *)(theirs + 1),
		};
		if (length < needed)
			status = STATUS_BUFFER_OVERFLOW;
		else if (!nt_store(theirs + 1, wide + 1, wide->maximum_length) ||
			 !nt_store(theirs, &info, sizeof(info)))
			status = STATUS_ACCESS_VIOLATION;
		if (status != STATUS_ACCESS_VIOLATION && ReturnLength &&
		    !nt_store(ReturnLength, &needed, sizeof(needed)))
			status = STATUS_ACCESS_VIOLATION;
	}
	munmap(wide, NAME_ROOM);
	errno = saved;
	return status;
}

NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress,
				    MEMORY_INFORMATION_CLASS MemoryInformationClass,
				    PVOID MemoryInformation, SIZE_T MemoryInformationLength,
				    PSIZE_T ReturnLength)
{
	struct ntvm_query req = {
		REQUEST(req, ProcessHandle),
		.address = nt_address(BaseAddress),
		.info_class = (uint32_t)MemoryInformationClass,
	};
	_Alignas(8) uint64_t returned = 0;

	if (req.info_class == NTVM_QUERY_BASIC) {
		req.flags = NARROW;
		req.buffer = nt_address(MemoryInformation);
		req.length = MemoryInformationLength;
		req.return_ptr = nt_address(ReturnLength);
		return nt_request(NTVM_IOC_QUERY, &req);
	}
	req.return_ptr = nt_stand_in(ReturnLength, sizeof(*ReturnLength), &returned);
	switch (req.info_class) {
	case NTVM_QUERY_REGION:
		return query_region(&req, MemoryInformation, MemoryInformationLength,
				    ReturnLength);
	case NTVM_QUERY_WORKING_SET_EX:
		return query_working_set(&req, MemoryInformation, MemoryInformationLength,
					 ReturnLength);
	case NTVM_QUERY_IMAGE:
		return query_image(&req, MemoryInformation, MemoryInformationLength,
				   ReturnLength);
	case NTVM_QUERY_MAPPED_FILENAME:
		return query_filename(&req, MemoryInformation, MemoryInformationLength,
				      ReturnLength);
	default:
		return nt_request(NTVM_IOC_QUERY, &req);
	}
}

#endif
