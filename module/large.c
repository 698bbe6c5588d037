// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large pages: MEM_RESERVE|MEM_COMMIT|MEM_LARGE_PAGES.
 *
 * A region of large pages is an extent of a second shadow file, on a tmpfs mount
 * that makes files of huge pages, at offsets that are congruent with addresses.
 * All its pages are brought in by the call itself, and each is checked to be a
 * huge one; if one is not, nothing remains. A reference on each, in
 * ntvm_extent.locked, keeps it from being reclaimed or split. They count in
 * locked_vm, against the limit of who asks for them.
 *
 * Its page states are only ever changed in units of large pages, so that the
 * kernel may map one with a single entry: what is asked of one small page in it
 * (fault.c) is true of all.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "call.h"
#include "compat.h"

/* One large page: fault it in and keep it. Returns 0 or a negative errno. */
static int ntvm_large_page(struct ntvm_extent *x, unsigned long addr)
{
	struct mm_struct *mm = x->process->mm;
	struct folio *folio;
	struct page *page;
	int locked = 1;
	long got;
	int err;

	err = mmap_read_lock_killable(mm);
	if (err)
		return err;
	/* For writing: a read would map it such that the first write maps it anew. */
	got = ntvm_get_pages_remote(mm, addr, 1, FOLL_WRITE, &page, &locked);
	if (locked)
		mmap_read_unlock(mm);
	if (got != 1)
		return got < 0 ? got : -EFAULT;
	folio = page_folio(page);
	err = -ENOMEM;
	if (folio->mapping == x->file->f_mapping && folio_nr_pages(folio) == NTVM_LARGE_PAGES &&
	    folio->index == ntvm_shadow_pgoff(x, addr) && !folio_page_idx(folio, page))
		err = xa_err(xa_store(&x->locked, ntvm_page(x, addr), page, GFP_KERNEL));
	if (err)
		put_page(page);
	return err;
}

static int ntvm_large_fill(struct ntvm_extent *x)
{
	unsigned long addr;
	int err;

	for (addr = x->start; addr < x->end; addr += NTVM_LARGE_BYTES) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = ntvm_large_page(x, addr);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/* From READWRITE, which the pages were brought in with, to what they shall be. */
static int ntvm_large_settle(struct ntvm_process *p, struct ntvm_extent *x, u8 state)
{
	enum ntvm_kind kind = ntvm_state_kind(state);
	struct ntvm_span span;
	int err;

	if (state == NTVM_PROT_RW)
		return 0;
	ntvm_span_init(&span, x, x->start, x->end);
	err = ntvm_span_prepare(&span);
	/* They were writable for a while, and others may have known where. */
	if (!err && kind != NTVM_KIND_PLAIN)
		err = ntvm_mm_denies_write_exec(p->mm) ? -EACCES :
		      ntvm_layout_kind(p, x, x->start, x->end, kind);
	if (!err) {
		ntvm_span_set(&span, 0, state);
		if (!ntvm_state_writable(state))
			ntvm_revoke(x, x->start, x->end);
	}
	ntvm_span_drop(&span);
	return err;
}

static u32 ntvm_large_map(struct ntvm_op *op, struct ntvm_extent *x, u8 state)
{
	struct ntvm_process *p = op->process;
	struct ntvm_region *r = &x->region;
	long err;

	err = ntvm_layout_reserve(p, x, &op->range, op->choose, op->type & NTVM_ALLOC_TOP_DOWN,
				  NTVM_KIND_PLAIN);
	if (IS_ERR_VALUE(err))
		goto out;
	/* Before there are contents: retiring a region drops what is at its addresses. */
	err = ntvm_process_claim(p, x->start, x->end) ? ntvm_large_fill(x) : -ENOMEM;
	if (err)
		goto err_unmap;
	err = ntvm_large_settle(p, x, state);
	if (err)
		goto err_unmap;
	r->start = x->start;
	r->end = x->end;
	r->protect = op->protect;
	if (ntvm_regions_insert(&p->regions, r)) {
		op->range.start = r->start;
		op->range.end = r->end;
		return NTVM_STATUS_SUCCESS;
	}
	err = -EEXIST;		/* never: what is mapped is nobody else's */

err_unmap:
	ntvm_release_unmade(p, x);
out:
	if (err == -EINTR)
		op->err = -EINTR;
	/* Somebody took the mapping away, or it cannot be brought in. */
	return err == -EFAULT ? NTVM_STATUS_NO_MEMORY : ntvm_errno_status(err);
}

static u32 ntvm_large_locked(struct ntvm_op *op, u8 state)
{
	unsigned long pages = (op->range.end - op->range.start) >> PAGE_SHIFT;
	struct ntvm_process *p = op->process;
	struct ntvm_extent *x;
	struct ntvm_region *r;
	u32 status;

	if (!op->choose) {
		if (op->range.start < p->space.min)
			return NTVM_STATUS_CONFLICTING_ADDRESSES;
		r = ntvm_regions_from(&p->regions, op->range.start);
		if (r && r->start < op->range.end)
			return NTVM_STATUS_CONFLICTING_ADDRESSES;
	}
	if (!ntvm_quota_regions(p, 1))
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	if (!p->large) {
		struct file *large = ntvm_shadow_create_large(p);

		if (IS_ERR(large))
			return NTVM_STATUS_NO_MEMORY;
		p->large = large;
	}
	x = ntvm_extent_alloc(p, pages, NTVM_PROT_RW);
	if (!x)
		return NTVM_STATUS_NO_MEMORY;
	x->file = p->large;
	x->shift = 0;
	x->traits = NTVM_TRAIT_LARGE;
	status = NTVM_STATUS_COMMITMENT_LIMIT;
	if (ntvm_ledger_charge(&p->ledger, pages)) {
		status = ntvm_large_map(op, x, state);
		if (!status)
			return status;
		ntvm_ledger_uncharge(&p->ledger, pages);
	}
	ntvm_region_free(&x->region);
	return status;
}

/**
 * ntvm_large_allocate - allocate a region of large pages
 * @op: @op->range is made of large pages; @op->charged: they are in locked_vm
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 * Return: NTVM_STATUS_*; @op->range holds the range on success.
 */
u32 ntvm_large_allocate(struct ntvm_op *op)
{
	u8 state = ntvm_rules_protect_state(op->protect);
	u32 status;

	/* A guard page is a small one. */
	if (!ntvm_rules_protect_private(op->protect) || (state & NTVM_STATE_GUARD))
		return NTVM_STATUS_INVALID_PAGE_PROTECTION;
	if (!op->charged)
		return NTVM_STATUS_NOT_SUPPORTED;
	status = ntvm_process_lock(op->process, true);
	if (status)
		return status;
	status = ntvm_large_locked(op, state);
	ntvm_process_unlock(op->process, true);
	return status;
}

/**
 * ntvm_large_run - ntvm_large_allocate() for a request
 * @call: the request
 * @op: the operation
 *
 * The pages are charged here, since the limit is that of the caller, whoever
 * does the work for him.
 *
 * Context: process context, may sleep.
 * Return: as ntvm_large_allocate(), or NTVM_STATUS_PRIVILEGE_NOT_HELD.
 */
u32 ntvm_large_run(struct ntvm_call *call, struct ntvm_op *op)
{
	unsigned long pages = (op->range.end - op->range.start) >> PAGE_SHIFT;
	struct mm_struct *mm = call->process->mm;
	u32 status;

	if (account_locked_vm(mm, pages, true))
		return NTVM_STATUS_PRIVILEGE_NOT_HELD;
	op->charged = true;
	status = ntvm_call_run(call, op, ntvm_allocate);
	if (status)
		account_locked_vm(mm, pages, false);
	return status;
}

/**
 * ntvm_large_protect_check - may large pages be protected like this?
 * @op: the range, inside a region of large pages, and the protection
 *
 * Context: any.
 * Return: NTVM_STATUS_SUCCESS, INVALID_PARAMETER (parts of large pages) or
 *	   INVALID_PAGE_PROTECTION (guard pages are small).
 */
u32 ntvm_large_protect_check(const struct ntvm_op *op)
{
	if ((op->range.start | op->range.end) & (NTVM_LARGE_BYTES - 1))
		return NTVM_STATUS_INVALID_PARAMETER;
	if (op->protect & NTVM_PAGE_GUARD)
		return NTVM_STATUS_INVALID_PAGE_PROTECTION;
	return NTVM_STATUS_SUCCESS;
}
