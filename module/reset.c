// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contents that may be given up.
 */
#include "call.h"

int ntvm_ioc_offer(struct ntvm_call *call)
{
	call->req.header.status = NTVM_STATUS_NOT_SUPPORTED;
	return 0;
}
