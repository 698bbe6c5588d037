// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtProtectVirtualMemory. Shares the process lock unless something executable
 * is about.
 */
#include <linux/mm.h>

#include "ntvm.h"

/* NOCACHE and WRITECOMBINE belong to the allocation, not to its pages. */
#define NTVM_PAGE_ATTRIBUTES	(NTVM_PAGE_NOCACHE | NTVM_PAGE_WRITECOMBINE)

/**
 * ntvm_page_protect - the protection word that a committed page reports
 * @r: its region
 * @state: its state
 *
 * Context: any.
 * Return: NTVM_PAGE_*.
 */
u32 ntvm_page_protect(const struct ntvm_region *r, u8 state)
{
	return ntvm_rules_state_protect(state) | (r->protect & NTVM_PAGE_ATTRIBUTES);
}

/**
 * ntvm_protect - change the protection of committed pages
 * @op: @op->range rounded
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 * Return: NTVM_STATUS_*; @op->old is what the first page had, NOACCESS if the
 *	   range was not fit.
 */
u32 ntvm_protect(struct ntvm_op *op)
{
	struct ntvm_process *p = op->process;
	u8 state = ntvm_rules_protect_state(op->protect);
	bool exclusive = ntvm_state_kind(state) != NTVM_KIND_PLAIN;
	struct ntvm_region *r;
	u32 status;

	status = ntvm_process_lock_at(p, op->range.start, &exclusive, &r);
	if (status)
		return status;
	if (!r || op->range.end > r->end) {
		status = NTVM_STATUS_CONFLICTING_ADDRESSES;
	} else if (unlikely(r->extent->traits & NTVM_TRAIT_LARGE) &&
		   ntvm_large_protect_check(op)) {
		status = ntvm_large_protect_check(op);
	} else {
		status = ntvm_change(op, r, state, NTVM_CHANGE_PROTECT);
		op->old |= r->protect & NTVM_PAGE_ATTRIBUTES;
	}
	ntvm_process_unlock(p, exclusive);
	if (status)
		op->old = NTVM_PAGE_NOACCESS;
	return status;
}
