// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtLockVirtualMemory and NtUnlockVirtualMemory.
 *
 * mlock(2) works on VMAs, and would have to split them. The module locks pages
 * instead: it has a reference on each, which keeps reclaim from taking it out
 * of the shadow file, and faults it into the page tables once. The references
 * are in ntvm_extent.locked, by page number; an entry has a mark for each kind
 * of lock. A lock lasts until it is undone, or its page is decommitted or
 * freed, by whomever; protections and VMAs may change meanwhile.
 *
 * Locked pages count in the process's locked_vm, beside what mlock(2) locks, and
 * are held against the RLIMIT_MEMLOCK of who asks for the lock.
 *
 * A range within one region is worked on with the process lock shared and the
 * extent's lock, any other with the process lock exclusively. Both keep page
 * states from changing, but for guard pages that are hit; and both admit the
 * mmap lock below them, which the page tables and locked_vm need.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "call.h"
#include "compat.h"

#define NTVM_LOCKED_PROCESS	XA_MARK_0
#define NTVM_LOCKED_SYSTEM	XA_MARK_1

/* Pages that are faulted in at one go. */
#define NTVM_LOCK_BATCH		32

/**
 * struct ntvm_lock_op - one lock or unlock, arguments checked and rounded
 * @process: the target; its mm is kept alive
 * @start: first byte
 * @end: first byte behind the range
 * @map_type: NTVM_LOCK_*
 * @extent: all of the range lies in it, and its lock is held; else NULL, and
 *	    the process lock is held exclusively
 * @err: out, -EINTR if the caller was killed meanwhile
 */
struct ntvm_lock_op {
	struct ntvm_process *process;
	unsigned long start;
	unsigned long end;
	u32 map_type;
	struct ntvm_extent *extent;
	int err;
};

/* The piece of a range that lies in one region, @x NULL if in none. */
struct ntvm_lock_part {
	struct ntvm_extent *x;
	unsigned long end;
	unsigned long first;	/* pages of @x */
	unsigned long last;
};

static bool ntvm_lock_next(const struct ntvm_lock_op *op, struct ntvm_lock_part *part)
{
	unsigned long start = part->end;
	struct ntvm_region *r;

	if (start >= op->end)
		return false;
	r = ntvm_regions_find(&op->process->regions, start);
	part->x = r ? r->extent : NULL;
	part->end = r ? min(r->end, op->end) : op->end;
	if (r) {
		part->first = ntvm_page(r->extent, start);
		part->last = ntvm_page(r->extent, part->end - 1);
	}
	return true;
}

#define ntvm_lock_for_each(op, part) \
	for ((part).end = (op)->start; ntvm_lock_next(op, &(part));)

static u32 ntvm_lock_begin(struct ntvm_lock_op *op)
{
	struct ntvm_process *p = op->process;
	struct ntvm_region *r;
	u32 status;

	status = ntvm_process_lock(p, false);
	if (status)
		return status;
	r = ntvm_regions_find(&p->regions, op->start);
	if (r && op->end <= r->end) {
		op->extent = r->extent;
		mutex_lock(&op->extent->lock);
		return status;
	}
	ntvm_process_unlock(p, false);
	op->extent = NULL;
	return ntvm_process_lock(p, true);
}

static void ntvm_lock_end(struct ntvm_lock_op *op)
{
	if (op->extent)
		mutex_unlock(&op->extent->lock);
	ntvm_process_unlock(op->process, !op->extent);
}

static bool ntvm_lock_is(const struct ntvm_lock_op *op, struct ntvm_extent *x,
			 unsigned long page)
{
	if ((op->map_type & NTVM_LOCK_PROCESS) &&
	    !xa_get_mark(&x->locked, page, NTVM_LOCKED_PROCESS))
		return false;
	return !(op->map_type & NTVM_LOCK_SYSTEM) ||
	       xa_get_mark(&x->locked, page, NTVM_LOCKED_SYSTEM);
}

/* Is there a lock of either kind? An entry without is being made by a call at work. */
static bool ntvm_lock_any(struct ntvm_extent *x, unsigned long page)
{
	return xa_get_mark(&x->locked, page, NTVM_LOCKED_PROCESS) ||
	       xa_get_mark(&x->locked, page, NTVM_LOCKED_SYSTEM);
}

/**
 * ntvm_lock_held - is a page locked?
 * @x: its extent
 * @page: its number there
 *
 * Context: any.
 * Return: true if it is, always for a large page.
 */
bool ntvm_lock_held(struct ntvm_extent *x, unsigned long page)
{
	u8 traits = READ_ONCE(x->traits);

	if (traits & NTVM_TRAIT_LARGE)
		return true;
	return (traits & NTVM_TRAIT_LOCKED) && xa_load(&x->locked, page);
}

/**
 * ntvm_lock_forget - drop references on locked pages
 * @x: the extent
 * @first: first page
 * @last: last page
 *
 * Context: process context; may run under the mmap lock. What runs at the same
 *	    time may only drop too.
 * Return: pages that the caller has to take off locked_vm, if there is still
 *	   a use for that.
 */
unsigned long ntvm_lock_forget(struct ntvm_extent *x, unsigned long first, unsigned long last)
{
	unsigned long index, entries = 0;
	struct page *page;

	xa_for_each_range(&x->locked, index, page, first, last) {
		page = xa_erase(&x->locked, index);
		if (page) {
			put_page(page);
			entries++;
		}
		cond_resched();
	}
	return x->traits & NTVM_TRAIT_LARGE ? entries * NTVM_LARGE_PAGES : entries;
}

/**
 * ntvm_lock_drop - undo all locks of a range that is no longer committed
 * @x: the extent, its lock held or the process lock exclusively
 * @start: first byte, page aligned
 * @end: first byte behind it
 *
 * Context: process context, may sleep; the mm is kept alive and the mmap lock
 *	    not held.
 */
void ntvm_lock_drop(struct ntvm_extent *x, unsigned long start, unsigned long end)
{
	unsigned long pages = ntvm_lock_forget(x, ntvm_page(x, start), ntvm_page(x, end - 1));

	account_locked_vm(x->process->mm, pages, false);
	if (xa_empty(&x->locked))
		x->traits &= ~NTVM_TRAIT_LOCKED;
}

/* May every page of the part be accessed? In the order of addresses. */
static u32 ntvm_lock_check_part(const struct ntvm_lock_part *part)
{
	struct ntvm_extent *x = part->x;
	unsigned long page = part->first, last;
	int disarmed;
	u8 state;

	while (page <= part->last) {
		state = ntvm_pages_run_long(&x->pages, page, part->last, &last);
		if (ntvm_state_readable(state)) {
			page = last + 1;
			cond_resched();
			continue;
		}
		if (!(state & NTVM_STATE_GUARD) || (state & NTVM_STATE_OFFERED))
			return NTVM_STATUS_ACCESS_VIOLATION;
		/* It is consumed, as by any access; unless somebody else has just hit it. */
		disarmed = ntvm_guard_disarm(x, page);
		if (disarmed)
			return disarmed < 0 ? NTVM_STATUS_INSUFFICIENT_RESOURCES :
					      NTVM_STATUS_GUARD_PAGE_VIOLATION;
	}
	return NTVM_STATUS_SUCCESS;
}

static u32 ntvm_lock_check(const struct ntvm_lock_op *op)
{
	struct ntvm_region *r = ntvm_regions_from(&op->process->regions, op->start);
	struct ntvm_lock_part part;
	u32 status;

	if (!r || r->start >= op->end)
		return NTVM_STATUS_MEMORY_NOT_ALLOCATED;
	ntvm_lock_for_each(op, part) {
		if (!part.x)
			return NTVM_STATUS_ACCESS_VIOLATION;
		status = ntvm_lock_check_part(&part);
		if (status)
			return status;
	}
	return NTVM_STATUS_SUCCESS;
}

/*
 * Counts the pages of a range that have no reference yet. *whole: all of them
 * are locked as the caller wants it. Large pages always are.
 */
static unsigned long ntvm_lock_count(const struct ntvm_lock_op *op, bool *whole)
{
	unsigned long index, pages = 0;
	struct ntvm_lock_part part;
	void *entry;

	*whole = true;
	ntvm_lock_for_each(op, part) {
		if (!part.x) {
			*whole = false;
			continue;
		}
		if (part.x->traits & NTVM_TRAIT_LARGE)
			continue;
		pages += part.last - part.first + 1;
		xa_for_each_range(&part.x->locked, index, entry, part.first, part.last) {
			pages--;
			*whole = *whole && ntvm_lock_is(op, part.x, index);
			cond_resched();
		}
	}
	*whole = *whole && !pages;
	return pages;
}

/* Is this the page that the shadow file has there, and no other mapping's? */
static bool ntvm_lock_ours(struct ntvm_extent *x, unsigned long addr, struct page *page)
{
	struct folio *folio = page_folio(page);

	return folio->mapping == x->file->f_mapping &&
	       folio->index + folio_page_idx(folio, page) == ntvm_shadow_pgoff(x, addr);
}

/* Fault @nr pages in and take references. Returns 0 or a negative errno. */
static int ntvm_lock_pages(struct ntvm_extent *x, unsigned long first, unsigned int nr,
			   bool write)
{
	unsigned long addr = x->start + (first << PAGE_SHIFT);
	struct mm_struct *mm = x->process->mm;
	struct page *pages[NTVM_LOCK_BATCH];
	long got, i, done = 0;
	int locked, err;

	while (done < nr) {
		locked = 1;
		err = mmap_read_lock_killable(mm);
		if (err)
			return err;
		got = ntvm_get_pages_remote(mm, addr + (done << PAGE_SHIFT), nr - done,
					    write ? FOLL_WRITE : 0, pages, &locked);
		if (locked)
			mmap_read_unlock(mm);
		if (got <= 0)
			return got ?: -EFAULT;
		for (i = 0; i < got; i++) {
			/* Somebody may have mapped something else there just now. */
			err = -EFAULT;
			if (ntvm_lock_ours(x, addr + ((done + i) << PAGE_SHIFT), pages[i]))
				err = xa_err(xa_store(&x->locked, first + done + i, pages[i],
						      GFP_KERNEL));
			if (err)
				break;
		}
		done += i;
		for (; i < got; i++)
			put_page(pages[i]);
		if (err)
			return err;
	}
	return 0;
}

static int ntvm_lock_part(const struct ntvm_lock_part *part)
{
	struct ntvm_extent *x = part->x;
	unsigned long page, last, index;
	int err;
	u8 state;

	for (page = part->first; page <= part->last; page = last + 1) {
		if (fatal_signal_pending(current))
			return -EINTR;
		last = min(part->last, page + NTVM_LOCK_BATCH - 1);
		state = ntvm_pages_run(&x->pages, page, last, &last);
		index = page;
		if (xa_find(&x->locked, &index, last, XA_PRESENT)) {
			if (index == page) {
				last = page;
				continue;
			}
			last = index - 1;
		}
		err = ntvm_lock_pages(x, page, last - page + 1, ntvm_state_writable(state));
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/* Let go of what a failed call has got. */
static void ntvm_lock_undo(const struct ntvm_lock_op *op)
{
	struct ntvm_lock_part part;
	unsigned long index;
	struct page *page;

	ntvm_lock_for_each(op, part) {
		if (part.x->traits & NTVM_TRAIT_LARGE)
			continue;
		xa_for_each_range(&part.x->locked, index, page, part.first, part.last) {
			if (!ntvm_lock_any(part.x, index)) {
				xa_erase(&part.x->locked, index);
				put_page(page);
			}
			cond_resched();
		}
		if (xa_empty(&part.x->locked))
			part.x->traits &= ~NTVM_TRAIT_LOCKED;
	}
}

static void ntvm_lock_mark(const struct ntvm_lock_op *op)
{
	struct ntvm_lock_part part;
	unsigned long index;
	void *entry;

	ntvm_lock_for_each(op, part) {
		if (part.x->traits & NTVM_TRAIT_LARGE)
			continue;
		xa_for_each_range(&part.x->locked, index, entry, part.first, part.last) {
			if (op->map_type & NTVM_LOCK_PROCESS)
				xa_set_mark(&part.x->locked, index, NTVM_LOCKED_PROCESS);
			if (op->map_type & NTVM_LOCK_SYSTEM)
				xa_set_mark(&part.x->locked, index, NTVM_LOCKED_SYSTEM);
			cond_resched();
		}
	}
}

static u32 ntvm_lock_status(struct ntvm_lock_op *op, int err)
{
	switch (err) {
	case -ENOMEM:
		return NTVM_STATUS_NO_MEMORY;
	case -EHWPOISON:
		return NTVM_STATUS_IN_PAGE_ERROR;
	case -EINTR:
	case -ERESTARTSYS:
		op->err = -EINTR;
		fallthrough;
	default:
		return NTVM_STATUS_ACCESS_VIOLATION;
	}
}

static u32 ntvm_lock(struct ntvm_lock_op *op)
{
	struct mm_struct *mm = op->process->mm;
	struct ntvm_lock_part part;
	unsigned long pages;
	bool whole;
	u32 status;
	int err = 0;

	status = ntvm_lock_check(op);
	if (status)
		return status;
	pages = ntvm_lock_count(op, &whole);
	if (whole)
		return NTVM_STATUS_WAS_LOCKED;
	if (account_locked_vm(mm, pages, true))
		return NTVM_STATUS_WORKING_SET_QUOTA;
	ntvm_lock_for_each(op, part) {
		if (part.x->traits & NTVM_TRAIT_LARGE)
			continue;
		part.x->traits |= NTVM_TRAIT_LOCKED;
		err = ntvm_lock_part(&part);
		if (err)
			break;
	}
	if (!err) {
		ntvm_lock_mark(op);
		return NTVM_STATUS_SUCCESS;
	}
	ntvm_lock_undo(op);
	account_locked_vm(mm, pages, false);
	return ntvm_lock_status(op, err);
}

static u32 ntvm_unlock(struct ntvm_lock_op *op)
{
	struct ntvm_region *r = ntvm_regions_from(&op->process->regions, op->start);
	unsigned long index, pages = 0;
	struct ntvm_lock_part part;
	struct page *page;
	bool whole;

	if (!r || r->start >= op->end)
		return NTVM_STATUS_MEMORY_NOT_ALLOCATED;
	ntvm_lock_count(op, &whole);
	if (!whole)
		return NTVM_STATUS_NOT_LOCKED;
	ntvm_lock_for_each(op, part) {
		if (part.x->traits & NTVM_TRAIT_LARGE)
			continue;
		xa_for_each_range(&part.x->locked, index, page, part.first, part.last) {
			if (op->map_type & NTVM_LOCK_PROCESS)
				xa_clear_mark(&part.x->locked, index, NTVM_LOCKED_PROCESS);
			if (op->map_type & NTVM_LOCK_SYSTEM)
				xa_clear_mark(&part.x->locked, index, NTVM_LOCKED_SYSTEM);
			if (!ntvm_lock_any(part.x, index)) {
				xa_erase(&part.x->locked, index);
				put_page(page);
				pages++;
			}
			cond_resched();
		}
		if (xa_empty(&part.x->locked))
			part.x->traits &= ~NTVM_TRAIT_LOCKED;
	}
	account_locked_vm(op->process->mm, pages, false);
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_ioc_lock - NTVM_IOC_LOCK: lock and unlock
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or a negative errno.
 */
int ntvm_ioc_lock(struct ntvm_call *call)
{
	const struct ntvm_space *space = &call->process->space;
	struct ntvm_lock *l = &call->req.lock;
	struct ntvm_lock_op op = { .map_type = l->map_type };
	__u64 base = l->base, len = l->len;
	struct ntvm_range range;
	u32 written;

	if (l->op > NTVM_LOCK_UNLOCK)
		return -EINVAL;
	l->status = NTVM_STATUS_INVALID_PARAMETER;
	if (!l->map_type || (l->map_type & ~(NTVM_LOCK_PROCESS | NTVM_LOCK_SYSTEM)))
		return 0;
	l->status = ntvm_args_read(call, &base, &len);
	if (l->status)
		return 0;
	l->status = NTVM_STATUS_INVALID_PARAMETER;
	if (ntvm_rules_protect_range(base, len, space, &range))
		return 0;
	l->status = call->handle_status;
	if (l->status)
		return 0;
	l->status = NTVM_STATUS_PRIVILEGE_NOT_HELD;
	if ((l->map_type & NTVM_LOCK_SYSTEM) && !capable(CAP_IPC_LOCK))
		return 0;

	/* In the caller, also for another process: it is the caller's limit. */
	op.process = call->process;
	op.start = range.start;
	op.end = range.end;
	l->status = ntvm_lock_begin(&op);
	if (l->status)
		return 0;
	l->status = l->op == NTVM_LOCK_LOCK ? ntvm_lock(&op) : ntvm_unlock(&op);
	ntvm_lock_end(&op);
	if (l->status && l->status != NTVM_STATUS_WAS_LOCKED)
		return op.err;
	written = ntvm_args_write(call, &l->base, &l->len, op.start, op.end - op.start);
	if (written)
		l->status = written;
	return 0;
}
