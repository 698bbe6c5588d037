// SPDX-License-Identifier: GPL-2.0-only
/*
 * Write watch.
 */
#include "call.h"

int ntvm_ioc_watch(struct ntvm_call *call)
{
	call->req.header.status = NTVM_STATUS_NOT_SUPPORTED;
	return 0;
}
