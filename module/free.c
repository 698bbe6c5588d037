// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtFreeVirtualMemory: decommit shares the process lock unless something
 * executable is about, release takes it exclusively.
 */
#include <linux/mm.h>

#include "ntvm.h"

/* What an extent's traits have to say about pages that are no longer committed. */
static void ntvm_free_traits(struct ntvm_extent *x, unsigned long start, unsigned long end)
{
	if (x->traits & (NTVM_TRAIT_LOCKED | NTVM_TRAIT_LARGE))
		ntvm_lock_drop(x, start, end);
}

/**
 * ntvm_release_range - free a range of a region
 * @p: the process, its lock held exclusively
 * @r: the region; gone afterwards if the range is all of it
 * @start: first byte, page aligned
 * @end: first byte behind it
 * @unmap: unmap it; false if that has happened already
 *
 * What remains of the region on either side becomes a region of its own, with
 * the same extent.
 *
 * Context: process context, may sleep; with @unmap current->mm is the
 *	    process's mm.
 * Return: 0, or a negative errno with nothing changed.
 */
int ntvm_release_range(struct ntvm_process *p, struct ntvm_region *r,
		       unsigned long start, unsigned long end, bool unmap)
{
	struct ntvm_extent *x = r->extent;
	bool last = start == x->start && end == x->end;
	unsigned long old_end = r->end, committed;
	struct ntvm_region *tail = NULL;
	struct ntvm_span span;
	int err = -ENOMEM;

	lockdep_assert_held_write(&p->lock);
	if (start > r->start && end < r->end) {
		/* What others have unmapped cannot be refused; its VMAs bound it. */
		if (unmap && !ntvm_quota_regions(p, 1))
			return err;
		tail = ntvm_region_alloc(x);
		if (!tail)
			return err;
	}
	ntvm_span_init(&span, x, start, end);
	/* An extent that is released whole is never asked for a state again. */
	if (!last && (unmap ? ntvm_span_prepare(&span) : ntvm_span_prepare_beyond(&span)))
		goto err;
	if (unmap) {
		err = ntvm_layout_unmap(p, start, end);
		if (err)
			goto err;
	}
	committed = ntvm_span_committed(&span);
	if (unlikely(x->traits & NTVM_TRAIT_RESET))
		ntvm_reset_forget(x, start, end);
	if (!last)
		ntvm_span_set(&span, 0, 0);
	if (unlikely(x->traits))
		ntvm_free_traits(x, start, end);
	ntvm_shadow_punch(x, start, end);
	ntvm_ledger_uncharge(&p->ledger, committed);
	ntvm_span_drop(&span);

	if (start == r->start && end == r->end) {
		ntvm_regions_remove(&p->regions, r);
		ntvm_region_free(r);
	} else if (start == r->start) {
		ntvm_regions_resize(&p->regions, r, end, r->end);
	} else {
		ntvm_regions_resize(&p->regions, r, r->start, start);
	}
	if (tail) {
		tail->start = end;
		tail->end = old_end;
		tail->protect = r->protect;
		tail->flags = r->flags;
		tail->torn = r->torn;
		ntvm_regions_insert(&p->regions, tail);
	}
	return 0;

err:
	if (tail)
		ntvm_region_free(tail);
	ntvm_span_drop(&span);
	return err;
}

/**
 * ntvm_release_unmade - take back what was mapped for an extent that came to nothing
 * @p: the process, its lock held exclusively
 * @x: the extent; none of its regions is in the tree
 *
 * Somebody may have guessed the address and written there meanwhile.
 *
 * The unmapping can fail: it needs memory, and a caller that is being killed does
 * not get the mmap lock. The VMA is left then until somebody else unmaps it, or
 * the process ends, and has the extent. Nothing is charged for it, so nothing may
 * be accessible in it.
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 */
void ntvm_release_unmade(struct ntvm_process *p, struct ntvm_extent *x)
{
	struct ntvm_span span;

	if (ntvm_layout_unmap(p, x->start, x->end)) {
		ntvm_span_init(&span, x, x->start, x->end);
		/* A change of all pages needs no node. */
		if (!WARN_ON_ONCE(ntvm_span_prepare(&span)))
			ntvm_span_set(&span, 0, 0);
		ntvm_span_drop(&span);
	}
	ntvm_lock_forget(x, 0, ULONG_MAX);
	ntvm_shadow_punch(x, x->start, x->end);
}

/* The checks against the region, in NT's order. */
static u32 ntvm_free_check(struct ntvm_op *op, const struct ntvm_region *r)
{
	struct ntvm_range *range = &op->range;

	if (!r) {
		if (ntvm_foreign_type(op->process, range->start) &
		    (NTVM_TYPE_MAPPED | NTVM_TYPE_IMAGE))
			return NTVM_STATUS_UNABLE_TO_DELETE_SECTION;
		return NTVM_STATUS_MEMORY_NOT_ALLOCATED;
	}
	/* The one free that goes across regions judges its range itself. */
	if (range->end > r->end && !(op->type & NTVM_FREE_COALESCE))
		return NTVM_STATUS_UNABLE_TO_FREE_VM;
	if (op->whole) {
		/* Documented: exactly the base, not any byte of its page (S3, S7, S12). */
		if (range->start != r->start ||
		    (op->contract == NTVM_CONTRACT_DOCUMENTED && op->offset))
			return NTVM_STATUS_FREE_VM_NOT_AT_BASE;
		range->end = r->end;
	}
	if (unlikely(r->extent->traits & NTVM_TRAIT_LARGE)) {
		if (op->type & NTVM_FREE_DECOMMIT)
			return NTVM_STATUS_MEMORY_NOT_ALLOCATED;
		if (range->start != r->start || range->end != r->end)
			return NTVM_STATUS_FREE_VM_NOT_AT_BASE;
	}
	return NTVM_STATUS_SUCCESS;
}

static u32 ntvm_release(struct ntvm_op *op, struct ntvm_region *r)
{
	int err = ntvm_release_range(op->process, r, op->range.start, op->range.end, true);

	if (err == -EINTR)
		op->err = err;
	/* Not memory of the caller's is short, but the module's (F19). */
	return err == -ENOMEM ? NTVM_STATUS_INSUFFICIENT_RESOURCES : ntvm_errno_status(err);
}

static u32 ntvm_decommit(struct ntvm_op *op, struct ntvm_region *r)
{
	struct ntvm_process *p = op->process;
	struct ntvm_extent *x = r->extent;
	u32 status = NTVM_STATUS_SUCCESS;
	unsigned long committed;
	struct ntvm_span span;

	mutex_lock(&x->lock);
	ntvm_span_init(&span, x, op->range.start, op->range.end);
	committed = ntvm_span_committed(&span);
	if (!committed)
		goto out;
	if (ntvm_span_prepare(&span)) {
		status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
		goto out;
	}
	if (unlikely(x->traits & NTVM_TRAIT_RESET))
		ntvm_reset_forget(x, op->range.start, op->range.end);
	ntvm_span_set(&span, 0, 0);
	if (unlikely(x->traits))
		ntvm_free_traits(x, op->range.start, op->range.end);
	ntvm_shadow_punch(x, op->range.start, op->range.end);
	ntvm_ledger_uncharge(&p->ledger, committed);
	if (x->executable)
		ntvm_layout_plain(p, x, r);
out:
	ntvm_span_drop(&span);
	mutex_unlock(&x->lock);
	return status;
}

/* What replaced a placeholder becomes one again; the range stays mapped throughout. */
static u32 ntvm_preserve(struct ntvm_op *op, struct ntvm_region *r)
{
	u32 status;

	if (r->flags & NTVM_REGION_PLACEHOLDER)
		return ntvm_placeholder_split(op, r);
	if (!(r->flags & NTVM_REGION_REPLACED) ||
	    op->range.start != r->start || op->range.end != r->end)
		return NTVM_STATUS_CONFLICTING_ADDRESSES;
	status = ntvm_decommit(op, r);
	if (!status) {
		r->protect = NTVM_PAGE_NOACCESS;
		r->flags = NTVM_REGION_PLACEHOLDER;
	}
	return status;
}

/**
 * ntvm_free - decommit or release pages
 * @op: @op->range rounded; @op->whole: only its start counts
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 * Return: NTVM_STATUS_*; @op->range holds the freed range on success.
 */
u32 ntvm_free(struct ntvm_op *op)
{
	struct ntvm_process *p = op->process;
	bool exclusive = op->type & NTVM_FREE_RELEASE;
	struct ntvm_region *r;
	u32 status;

	status = ntvm_process_lock_at(p, op->range.start, &exclusive, &r);
	if (status)
		return status;
	status = ntvm_free_check(op, r);
	if (!status) {
		if (op->type & NTVM_FREE_DECOMMIT)
			status = ntvm_decommit(op, r);
		else if (op->type == NTVM_FREE_RELEASE)
			status = ntvm_release(op, r);
		else if (op->type & NTVM_FREE_PRESERVE)
			status = ntvm_preserve(op, r);
		else
			status = ntvm_placeholder_join(op, r);
	}
	ntvm_process_unlock(p, exclusive);
	return status;
}
