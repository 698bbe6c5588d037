// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtGetWriteWatch and NtResetWriteWatch. As in virtual.c, no argument is looked
 * at here. In a 32-bit program the caller's array is narrower than the module's:
 * there the answer comes in pieces of WATCH_PIECE addresses.
 */
#include "internal.h"

#ifdef _LP64

_Static_assert(sizeof(PVOID) == 8 && sizeof(ULONG_PTR) == 8 && sizeof(ULONG) == 4,
	       "the module reads and writes the caller's variables itself");

NTSTATUS NTAPI NtGetWriteWatch(HANDLE ProcessHandle, ULONG Flags, PVOID BaseAddress,
			       SIZE_T RegionSize, PVOID *UserAddressArray,
			       PULONG_PTR EntriesInUserAddressArray, PULONG Granularity)
{
	struct ntvm_watch req = {
		REQUEST(req, ProcessHandle),
		.op = NTVM_WATCH_GET,
		.watch_flags = Flags,
		.base = nt_address(BaseAddress),
		.len = RegionSize,
		.addresses = nt_address(UserAddressArray),
		.count_ptr = nt_address(EntriesInUserAddressArray),
		.granularity_ptr = nt_address(Granularity),
	};

	return nt_request(NTVM_IOC_WATCH, &req);
}

#else /* 32-bit */

#define WATCH_PIECE	256

NTSTATUS NTAPI NtGetWriteWatch(HANDLE ProcessHandle, ULONG Flags, PVOID BaseAddress,
			       SIZE_T RegionSize, PVOID *UserAddressArray,
			       PULONG_PTR EntriesInUserAddressArray, PULONG Granularity)
{
	uint64_t base = nt_address(BaseAddress), end = base + RegionSize;
	_Alignas(8) uint64_t piece[WATCH_PIECE], count = 0;
	PVOID narrow[WATCH_PIECE];
	ULONG granularity = 0;
	ULONG_PTR room = 0, done = 0, want, i;
	struct ntvm_watch req = {
		REQUEST(req, ProcessHandle),
		.op = NTVM_WATCH_GET,
		.watch_flags = Flags,
		.count_ptr = nt_stand_in(EntriesInUserAddressArray, sizeof(room), &count),
		.granularity_ptr = nt_stand_in(Granularity, sizeof(granularity), &granularity),
	};
	NTSTATUS status;

	if (req.count_ptr == nt_address(&count) &&
	    !nt_load(&room, EntriesInUserAddressArray, sizeof(room)))
		req.count_ptr = NOWHERE;
	/* More than there are pages is wrong however it is cut into pieces. */
	if (room > UINT32_MAX / 4096u)
		req.addresses = UserAddressArray ? nt_address(piece) : 0;
	else
		req.addresses = nt_stand_in(UserAddressArray, room * sizeof(PVOID), piece);
	do {
		req.base = base;
		req.len = end - base;
		want = room - done < WATCH_PIECE ? room - done : WATCH_PIECE;
		count = room > UINT32_MAX / 4096u ? UINT64_MAX : want;
		status = nt_request(NTVM_IOC_WATCH, &req);
		if (status != STATUS_SUCCESS)
			return status;
		for (i = 0; i < count; i++)
			narrow[i] = (PVOID)(uintptr_t)piece[i];
		if (count && !nt_store(UserAddressArray + done, narrow, count * sizeof(PVOID)))
			return STATUS_ACCESS_VIOLATION;
		done += count;
		if (count)
			base = piece[count - 1] + granularity;
	} while (count == want && done < room && base < end);
	if (!nt_store(EntriesInUserAddressArray, &done, sizeof(done)) ||
	    !nt_store(Granularity, &granularity, sizeof(granularity)))
		return STATUS_ACCESS_VIOLATION;
	return STATUS_SUCCESS;
}

#endif

NTSTATUS NTAPI NtResetWriteWatch(HANDLE ProcessHandle, PVOID BaseAddress, SIZE_T RegionSize)
{
	struct ntvm_watch req = {
		REQUEST(req, ProcessHandle),
		.op = NTVM_WATCH_RESET,
		.base = nt_address(BaseAddress),
		.len = RegionSize,
	};

	return nt_request(NTVM_IOC_WATCH, &req);
}
