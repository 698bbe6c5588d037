// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commit limits of a process.
 */
#include "call.h"

int ntvm_ioc_limits(struct ntvm_call *call)
{
	call->req.header.status = NTVM_STATUS_NOT_SUPPORTED;
	return 0;
}
