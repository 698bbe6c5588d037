// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commit limit of a process and its figures. The limit itself is kept and
 * applied in ledger.c.
 */
#include "call.h"

/**
 * ntvm_ioc_limits - NTVM_IOC_LIMITS
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or -EINVAL.
 */
int ntvm_ioc_limits(struct ntvm_call *call)
{
	struct ntvm_limits *lim = &call->req.limits;
	struct ntvm_ledger *l = &call->process->ledger;
	bool set = lim->op == NTVM_LIMITS_SET;

	if (lim->reserved)
		return -EINVAL;
	lim->status = NTVM_STATUS_INVALID_PARAMETER;
	if (lim->op > NTVM_LIMITS_SET)
		return 0;
	lim->status = call->handle_status;
	if (lim->status)
		return 0;
	if (!(call->access & (set ? NTVM_ACCESS_VM_OPERATION : NTVM_ACCESS_LOOK))) {
		lim->status = NTVM_STATUS_ACCESS_DENIED;
		return 0;
	}
	if (set)
		ntvm_ledger_limit(l, lim->limit);
	else
		lim->limit = READ_ONCE(l->limit);
	lim->out_committed = (u64)ntvm_ledger_committed(l) << PAGE_SHIFT;
	lim->out_peak = (u64)ntvm_ledger_peak(l) << PAGE_SHIFT;
	return 0;
}
