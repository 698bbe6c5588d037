// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stacks that grow.
 */
#include "call.h"

int ntvm_ioc_stack(struct ntvm_call *call)
{
	call->req.header.status = NTVM_STATUS_NOT_SUPPORTED;
	return 0;
}
