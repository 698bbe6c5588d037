// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs.
 */
#include "call.h"

int ntvm_ioc_job(struct ntvm_call *call)
{
	call->req.header.status = NTVM_STATUS_NOT_SUPPORTED;
	return 0;
}
