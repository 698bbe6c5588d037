// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Many operations in one request. The caller's array has the module's layout,
 * in 32-bit programs too, and is passed as it is.
 */
#include "internal.h"

_Static_assert(sizeof(LIBNT_REQUEST) == sizeof(struct ntvm_vector_entry),
	       "the module reads and writes the caller's array itself");
#define SAME_FIELD(nt, ntvm)							\
	_Static_assert(offsetof(LIBNT_REQUEST, nt) ==				\
		       offsetof(struct ntvm_vector_entry, ntvm) &&		\
		       sizeof(((LIBNT_REQUEST *)0)->nt) ==			\
		       sizeof(((struct ntvm_vector_entry *)0)->ntvm), #nt)
SAME_FIELD(Operation, op);
SAME_FIELD(Status, status);
SAME_FIELD(BaseAddress, base);
SAME_FIELD(RegionSize, len);
SAME_FIELD(Protect, protect);
SAME_FIELD(OldProtect, out_old);

_Static_assert(LIBNT_REQUEST_COMMIT == NTVM_VECTOR_COMMIT &&
	       LIBNT_REQUEST_DECOMMIT == NTVM_VECTOR_DECOMMIT &&
	       LIBNT_REQUEST_PROTECT == NTVM_VECTOR_PROTECT &&
	       LIBNT_REQUEST_MAX == NTVM_VECTOR_MAX &&
	       LIBNT_BATCH_STOP == NTVM_VECTOR_STOP, "passed as they are");

NTSTATUS NTAPI LibntVirtualMemoryBatch(HANDLE ProcessHandle, LIBNT_REQUEST *Requests,
				       ULONG Count, ULONG Flags, PULONG Done)
{
	struct ntvm_vector req = {
		REQUEST(req, ProcessHandle),
		.entries = nt_address(Requests),
		.count = Count,
		.vector_flags = Flags,
	};
	NTSTATUS status;

	status = nt_request(NTVM_IOC_VECTOR, &req);
	if (Done)
		*Done = req.out_done;
	return status;
}
