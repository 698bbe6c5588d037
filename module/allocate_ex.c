// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtAllocateVirtualMemoryEx.
 */
#include "call.h"

int ntvm_ioc_allocate_ex(struct ntvm_call *call)
{
	call->req.header.status = NTVM_STATUS_NOT_SUPPORTED;
	return 0;
}
