// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtAllocateVirtualMemory: reserve, commit, both. A reserve takes the process
 * lock exclusively, a commit shares it unless something executable is about.
 */
#include <linux/mm.h>

#include "ntvm.h"

/* What this version does of the types that the rules let pass. */
#define NTVM_ALLOC_DONE	(NTVM_ALLOC_COMMIT | NTVM_ALLOC_RESERVE | NTVM_ALLOC_TOP_DOWN | \
			 NTVM_ALLOC_RESERVE_PLACEHOLDER | NTVM_ALLOC_REPLACE_PLACEHOLDER | \
			 NTVM_ALLOC_WRITE_WATCH | NTVM_ALLOC_RESETS)

/**
 * ntvm_extent_create - make an extent of the kind that a caller asks for
 * @p: the process it will belong to; has a shadow
 * @type: NTVM_ALLOC_*
 * @pages: how many
 * @state: what they are
 *
 * Context: process context, may sleep; process lock held exclusively.
 * Return: the extent with one reference, or NULL.
 */
struct ntvm_extent *ntvm_extent_create(struct ntvm_process *p, u32 type, unsigned long pages,
				       u8 state)
{
	struct ntvm_extent *x = ntvm_extent_alloc(p, pages, state);

	if (x && (type & NTVM_ALLOC_WRITE_WATCH)) {
		x->traits |= NTVM_TRAIT_WATCH;
		x->keep |= NTVM_STATE_DIRTY;
	}
	return x;
}

static u32 ntvm_reserve_locked(struct ntvm_op *op, u8 state)
{
	struct ntvm_process *p = op->process;
	struct ntvm_range *range = &op->range;
	unsigned long pages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long charge = ntvm_state_committed(state) ? pages : 0;
	struct ntvm_extent *x;
	struct ntvm_region *r;
	u32 status = NTVM_STATUS_NO_MEMORY;
	long addr;

	if (!op->choose) {
		if (range->start < p->space.min)
			return NTVM_STATUS_CONFLICTING_ADDRESSES;
		r = ntvm_regions_from(&p->regions, range->start);
		if (r && r->start < range->end)
			return NTVM_STATUS_CONFLICTING_ADDRESSES;
	}
	if (!ntvm_quota_regions(p, 1))
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	if (!p->shadow) {
		struct file *shadow = ntvm_shadow_create(p);

		if (IS_ERR(shadow))
			return status;
		p->shadow = shadow;
	}
	x = ntvm_extent_create(p, op->type, pages, state);
	if (!x)
		return status;
	r = &x->region;
	if (!ntvm_ledger_charge(&p->ledger, charge)) {
		status = NTVM_STATUS_COMMITMENT_LIMIT;
		goto err_free;
	}
	addr = ntvm_layout_reserve(p, x, range, op->choose, op->type & NTVM_ALLOC_TOP_DOWN,
				   ntvm_state_kind(state));
	if (IS_ERR_VALUE(addr)) {
		if (addr == -EINTR)
			op->err = -EINTR;
		status = ntvm_errno_status(addr);
		goto err_uncharge;
	}
	r->start = x->start;
	r->end = x->end;
	r->protect = op->protect;
	if (op->type & NTVM_ALLOC_RESERVE_PLACEHOLDER)
		r->flags = NTVM_REGION_PLACEHOLDER;
	/* It can only meet a region that somebody has unmapped just now. */
	if (unlikely(!ntvm_regions_insert(&p->regions, r)) &&
	    !(ntvm_process_claim(p, r->start, r->end) && ntvm_regions_insert(&p->regions, r))) {
		ntvm_release_unmade(p, x);
		status = NTVM_STATUS_NO_MEMORY;
		goto err_uncharge;
	}
	range->start = r->start;
	range->end = r->end;
	return NTVM_STATUS_SUCCESS;

err_uncharge:
	ntvm_ledger_uncharge(&p->ledger, charge);
err_free:
	ntvm_region_free(r);
	return status;
}

static u32 ntvm_reserve(struct ntvm_op *op)
{
	u8 state = op->type & NTVM_ALLOC_COMMIT ? ntvm_rules_protect_state(op->protect) : 0;
	u32 status;

	if (!ntvm_rules_protect_private(op->protect))
		return NTVM_STATUS_INVALID_PAGE_PROTECTION;
	if (op->type & NTVM_ALLOC_REPLACE_PLACEHOLDER)
		return ntvm_replace(op);
	status = ntvm_process_lock(op->process, true);
	if (status)
		return status;
	status = ntvm_reserve_locked(op, state);
	ntvm_process_unlock(op->process, true);
	return status;
}

static u32 ntvm_commit(struct ntvm_op *op)
{
	struct ntvm_process *p = op->process;
	u8 state = ntvm_rules_protect_state(op->protect);
	bool exclusive = ntvm_state_kind(state) != NTVM_KIND_PLAIN;
	struct ntvm_region *r;
	u32 status;

	status = ntvm_process_lock_at(p, op->range.start, &exclusive, &r);
	if (status)
		return status;
	if (!r && ntvm_foreign_type(p, op->range.start) & (NTVM_TYPE_MAPPED | NTVM_TYPE_IMAGE)) {
		status = NTVM_STATUS_ALREADY_COMMITTED;
	} else if (!state) {	/* not a protection that private memory may have */
		status = NTVM_STATUS_INVALID_PAGE_PROTECTION;
	} else if (!r || op->range.end > r->end || (r->flags & NTVM_REGION_PLACEHOLDER) ||
		   (r->extent->traits & NTVM_TRAIT_LARGE)) {
		status = NTVM_STATUS_CONFLICTING_ADDRESSES;
	} else {
		status = ntvm_change(op, r, state, NTVM_CHANGE_COMMIT);
	}
	ntvm_process_unlock(p, exclusive);
	return status;
}

/**
 * ntvm_allocate - reserve or commit pages
 * @op: @op->range rounded
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 * Return: NTVM_STATUS_*; @op->range holds the range on success.
 */
u32 ntvm_allocate(struct ntvm_op *op)
{
	if (unlikely(op->type & NTVM_ALLOC_LARGE_PAGES))
		return ntvm_large_allocate(op);
	if (op->type & ~NTVM_ALLOC_DONE)
		return ntvm_rules_protect_private(op->protect) ?
		       NTVM_STATUS_NOT_SUPPORTED : NTVM_STATUS_INVALID_PAGE_PROTECTION;
	if (unlikely(op->type & NTVM_ALLOC_RESETS))
		return ntvm_rules_protect_private(op->protect) ?
		       ntvm_reset(op) : NTVM_STATUS_INVALID_PAGE_PROTECTION;
	/* COMMIT without an address reserves too. */
	if ((op->type & NTVM_ALLOC_RESERVE) || op->choose)
		return ntvm_reserve(op);
	return ntvm_commit(op);
}
