// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many operations in one request.
 */
#include "call.h"

int ntvm_ioc_vector(struct ntvm_call *call)
{
	call->req.header.status = NTVM_STATUS_NOT_SUPPORTED;
	return 0;
}
