// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtAllocateVirtualMemoryEx, and placeholders: regions that hold addresses for
 * somebody who will replace them by memory, as a whole or split into pieces.
 *
 * A placeholder is a region without committed pages, and without contents in
 * the shadow file, that only the functions here and a release touch. Pieces
 * share their extent; only where a replacement needs an extent of its own, or
 * pieces of several are joined, a fresh one is mapped over the range. Nowhere is
 * the range unmapped in between: whoever owns it never loses it to somebody else.
 *
 * What changes placeholders holds the process lock exclusively.
 */
#include <linux/mm.h>
#include <linux/nodemask.h>

#include "call.h"

/* The mapping call failed. It is VMAs or the module's memory that are short. */
static u32 ntvm_placeholder_error(struct ntvm_op *op, int err)
{
	if (err == -EINTR)
		op->err = err;
	return err == -ENOMEM ? NTVM_STATUS_INSUFFICIENT_RESOURCES : ntvm_errno_status(err);
}

/* A fresh extent takes the place of the regions from @r to the end of the range. */
static u32 ntvm_placeholder_renew(struct ntvm_op *op, struct ntvm_region *r, u32 type, u8 state)
{
	struct ntvm_process *p = op->process;
	unsigned long start = op->range.start, end = op->range.end;
	struct ntvm_extent *x;
	struct ntvm_region *next;
	int err;

	x = ntvm_extent_create(p, type, (end - start) >> PAGE_SHIFT, state);
	if (!x)
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	err = ntvm_layout_replace(p, x, start, end, ntvm_state_kind(state));
	if (err) {
		ntvm_region_free(&x->region);
		return ntvm_placeholder_error(op, err);
	}
	for (; r && r->start < end; r = next) {
		next = ntvm_regions_next(r);
		ntvm_regions_remove(&p->regions, r);
		ntvm_region_free(r);
		cond_resched();
	}
	r = &x->region;
	r->start = start;
	r->end = end;
	ntvm_regions_insert(&p->regions, r);
	return NTVM_STATUS_SUCCESS;
}

static u32 ntvm_replace_locked(struct ntvm_op *op)
{
	u8 state = op->type & NTVM_ALLOC_COMMIT ? ntvm_rules_protect_state(op->protect) : 0;
	unsigned long pages = (op->range.end - op->range.start) >> PAGE_SHIFT;
	struct ntvm_process *p = op->process;
	struct ntvm_region *r;
	struct ntvm_extent *x;
	u32 status = NTVM_STATUS_SUCCESS;

	r = ntvm_regions_find(&p->regions, op->range.start);
	if (!r || !(r->flags & NTVM_REGION_PLACEHOLDER))
		return NTVM_STATUS_INVALID_PARAMETER;
	if (op->range.start != r->start || op->range.end != r->end)
		return NTVM_STATUS_CONFLICTING_ADDRESSES;

	x = r->extent;
	if (op->apart || (op->type & NTVM_ALLOC_WRITE_WATCH) || x->traits || READ_ONCE(x->policy)) {
		if (!state)
			pages = 0;
		if (!ntvm_ledger_charge(&p->ledger, pages))
			return NTVM_STATUS_COMMITMENT_LIMIT;
		status = ntvm_placeholder_renew(op, r, op->type, state);
		if (status) {
			ntvm_ledger_uncharge(&p->ledger, pages);
			return status;
		}
		r = ntvm_regions_find(&p->regions, op->range.start);
	} else if (state) {
		status = ntvm_change(op, r, state, NTVM_CHANGE_COMMIT);
		if (status)
			return status;
	}
	r->protect = op->protect;
	r->flags = NTVM_REGION_REPLACED;
	return status;
}

/**
 * ntvm_replace - put ordinary private memory where a placeholder is
 * @op: @op->range rounded; @op->protect one of private memory
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 * Return: NTVM_STATUS_*.
 */
u32 ntvm_replace(struct ntvm_op *op)
{
	u32 status = ntvm_process_lock(op->process, true);

	if (status)
		return status;
	status = ntvm_replace_locked(op);
	ntvm_process_unlock(op->process, true);
	return status;
}

static void ntvm_placeholder_insert(struct ntvm_process *p, struct ntvm_region *r,
				    unsigned long start, unsigned long end)
{
	r->start = start;
	r->end = end;
	r->protect = NTVM_PAGE_NOACCESS;
	r->flags = NTVM_REGION_PLACEHOLDER;
	ntvm_regions_insert(&p->regions, r);
}

/**
 * ntvm_placeholder_split - make a part of a placeholder one of its own
 * @op: @op->range lies in @r
 * @r: a placeholder
 *
 * Context: process lock held exclusively; may sleep.
 * Return: NTVM_STATUS_*.
 */
u32 ntvm_placeholder_split(struct ntvm_op *op, struct ntvm_region *r)
{
	unsigned long start = op->range.start, end = op->range.end, old_end = r->end;
	bool head = start > r->start, tail = end < old_end;
	struct ntvm_process *p = op->process;
	struct ntvm_region *first, *second = NULL;

	if (!head && !tail)
		return NTVM_STATUS_CONFLICTING_ADDRESSES;
	if (!ntvm_quota_regions(p, head + tail))
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	first = ntvm_region_alloc(r->extent);
	if (!first)
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	if (head && tail) {
		second = ntvm_region_alloc(r->extent);
		if (!second) {
			ntvm_region_free(first);
			return NTVM_STATUS_INSUFFICIENT_RESOURCES;
		}
	}
	ntvm_regions_resize(&p->regions, r, r->start, head ? start : end);
	ntvm_placeholder_insert(p, first, r->end, second ? end : old_end);
	if (second)
		ntvm_placeholder_insert(p, second, end, old_end);
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_placeholder_join - make one placeholder of several adjacent ones
 * @op: @op->range is exactly theirs, if it is right
 * @r: the region that it begins in
 *
 * Context: process lock held exclusively; may sleep.
 * Return: NTVM_STATUS_*.
 */
u32 ntvm_placeholder_join(struct ntvm_op *op, struct ntvm_region *r)
{
	unsigned long start = op->range.start, end = op->range.end, pos = start;
	struct ntvm_process *p = op->process;
	struct ntvm_region *other, *next;
	bool same = true;
	u32 status;

	for (other = r; pos < end; other = ntvm_regions_next(other)) {
		if (!other || other->start != pos || other->end > end ||
		    !(other->flags & NTVM_REGION_PLACEHOLDER))
			return NTVM_STATUS_CONFLICTING_ADDRESSES;
		same &= other->extent == r->extent;
		pos = other->end;
		cond_resched();
	}
	if (r->end == end)	/* one is not several */
		return NTVM_STATUS_CONFLICTING_ADDRESSES;
	if (!same) {
		status = ntvm_placeholder_renew(op, r, NTVM_ALLOC_RESERVE, 0);
		if (status)
			return status;
		r = ntvm_regions_find(&p->regions, start);
		r->protect = NTVM_PAGE_NOACCESS;
		r->flags = NTVM_REGION_PLACEHOLDER;
		return status;
	}
	for (other = ntvm_regions_next(r); other && other->start < end; other = next) {
		next = ntvm_regions_next(other);
		ntvm_regions_remove(&p->regions, other);
		ntvm_region_free(other);
		cond_resched();
	}
	ntvm_regions_resize(&p->regions, r, start, end);
	if (r->extent->executable)	/* perhaps it was the last piece that was */
		ntvm_layout_plain(p, r->extent, r);
	return NTVM_STATUS_SUCCESS;
}

/* --- the request ----------------------------------------------------------------------- */

/* Reads the parameters and what they point to, and judges both. */
static u32 ntvm_extended_read(const struct ntvm_allocate_ex *a, struct ntvm_extended *ext,
			      struct ntvm_requirements *req)
{
	struct ntvm_parameter params[NTVM_PARAMETER_MAX];
	u32 count = min_t(u32, a->count, NTVM_PARAMETER_MAX);
	u32 status;

	if (copy_from_user(params, u64_to_user_ptr(a->parameters), count * sizeof(params[0])))
		return NTVM_STATUS_ACCESS_VIOLATION;
	status = ntvm_rules_parameters(params, count, ext);
	if (status)
		return status;
	if (ext->constrained &&
	    copy_from_user(req, u64_to_user_ptr(ext->requirements), sizeof(*req)))
		return NTVM_STATUS_ACCESS_VIOLATION;
	if (ext->node != NTVM_NO_NODE && (ext->node >= MAX_NUMNODES || !node_online(ext->node)))
		return NTVM_STATUS_INVALID_PARAMETER;
	return status;
}

/**
 * ntvm_ioc_allocate_ex - NTVM_IOC_ALLOCATE_EX
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or a negative errno.
 */
int ntvm_ioc_allocate_ex(struct ntvm_call *call)
{
	const struct ntvm_space *space = &call->process->space;
	struct ntvm_allocate_ex *a = &call->req.allocate_ex;
	struct ntvm_op op = { .type = a->type, .protect = a->protect };
	struct ntvm_extended ext = { .node = NTVM_NO_NODE };
	struct ntvm_requirements req = {};
	u64 __user *old = u64_to_user_ptr(a->old_ptr);
	__u64 base = a->base, len = a->len;

	if (a->reserved || (a->old_ptr && !(a->flags & NTVM_F_INDIRECT)))
		return -EINVAL;
	a->status = ntvm_rules_extended_type(a->type, a->protect);
	if (a->status)
		return 0;
	if (a->count && !a->parameters) {
		a->status = NTVM_STATUS_INVALID_PARAMETER;
		return 0;
	}
	a->status = ntvm_args_read(call, &base, &len);
	if (a->status)
		return 0;
	if (a->old_ptr && (put_user(base, old) || put_user(len, old + 1))) {
		a->status = NTVM_STATUS_ACCESS_VIOLATION;
		return 0;
	}
	if (a->count) {
		a->status = ntvm_extended_read(a, &ext, &req);
		if (a->status)
			return 0;
	}
	a->status = ntvm_rules_extended_range(base, len, a->type, space, &op.range);
	if (!a->status)
		a->status = ntvm_rules_requirements(&req, base, space, &op.range);
	if (!a->status && (a->type & NTVM_ALLOC_LARGE_PAGES))
		a->status = ntvm_rules_plain(ntvm_rules_large_range(base, len, &op.range));
	if (a->status)
		return 0;
	a->status = call->handle_status;
	if (a->status)
		return 0;
	op.choose = !base;
	op.apart = ext.node != NTVM_NO_NODE && (op.choose || (op.type & NTVM_ALLOC_RESERVE));
	/* It is the owner of the memory that gives it a policy, by mbind(2). */
	if (op.apart && call->foreign) {
		a->status = NTVM_STATUS_NOT_SUPPORTED;
		return 0;
	}
	return ntvm_call_allocate(call, &op, base, len, &a->base, &a->len);
}
