// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contents that may be given up: MEM_RESET and MEM_RESET_UNDO, and memory that
 * is offered, reclaimed, discarded.
 *
 * Three bits of a page's state. RESET: the page has contents, and they are
 * disposable. OFFERED: the page may not be accessed until it is reclaimed; the
 * contents, if it has any, are RESET. LOST: contents that were RESET have been
 * dropped, and nobody has been told yet. A page without contents reads zero
 * before and after and cannot lose anything: it is never RESET, and a large
 * range costs what is resident of it.
 *
 * Giving up. A shrinker drops RESET pages when the kernel is short of memory,
 * and at no other time: those of MEM_RESET first, then the offered ones by
 * priority. It does so within the reclaim, not from a work item, because the
 * allocation that fails next may be the last one before the OOM killer, and
 * because without swap nothing else can free these pages. Reclaim may run in
 * an allocation of anybody's, under any lock of ours and with folios locked. So
 * the shrinker waits for nothing of ours: it tries for each lock and passes over
 * what is busy, and what it drops it drops folio by folio, because a truncation
 * of a range would wait for folio locks. It blocks on i_mmap_rwsem only, which
 * is never held across a reclaim.
 *
 * What it needs to hold to drop a page:
 *   mm_users and ntvm_process.lock, shared: regions, extents and the shadow file
 *	stay. mm_users is put asynchronously: the address space is not torn down
 *	from within a reclaim;
 *   ntvm_extent.fault_lock, shared: nobody changes states or frees nodes of the
 *	table. Shared is enough, and a fault that waits for memory under it does
 *	not keep others from finding some in the same extent;
 *   the folio lock: nobody makes the page writable.
 * With the last two the RESET and LOST bits of that page may be changed, and
 * only so while fault_lock is shared. The nodes are there: ntvm_reset_mark() has
 * seen to it. LOST is set and the page dropped under one folio lock: nobody sees
 * one without the other.
 *
 * Writes. A reset takes the page out of the page tables after setting RESET
 * (fault.c, the revocation protocol). The next write comes to ->page_mkwrite,
 * which finds RESET under the folio lock and has it cleared before the page
 * becomes writable: what is written after a reset stays. Pages that devices or
 * the kernel have pinned, that are locked in memory, and huge folios are passed
 * over.
 *
 * Lock order of the operations: as ntvm.h, ntvm_extent.lock and fault_lock.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "call.h"
#include "compat.h"

#define NTVM_STATE_DISPOSAL	(NTVM_STATE_RESET | NTVM_STATE_OFFERED | NTVM_STATE_LOST)

/* What ntvm_pages_set() is to keep when some bits shall go. */
#define NTVM_BUT(bits)	((u8)(0xff ^ (bits)))

/* As many pages as a leaf of the table of states has. */
#define NTVM_RESET_BATCH	512ul
#define NTVM_RESET_PARENT	(NTVM_RESET_BATCH * 64)

/* Runs and regions that one call of the shrinker looks at; it goes on there. */
#define NTVM_PURGE_STEPS	8192

/* Pages that one of these steps goes at most. */
#define NTVM_PURGE_LOOK		(1ul << 19)

/* Processes likewise. */
#define NTVM_PURGE_PICKS	32

/* Pages with disposable contents, of all processes. */
static atomic_long_t ntvm_disposable;
static struct shrinker *ntvm_shrinker;

/* --- counting ------------------------------------------------------------------------ */

static void ntvm_reset_account(struct ntvm_process *p, unsigned int level, long pages)
{
	atomic_long_add(pages, &p->disposable.pages[level]);
	atomic_long_add(pages, &ntvm_disposable);
}

/*
 * How readily the contents of the pages from @page are given up, 0 first; *@last
 * is lowered to the last of them that it holds for. With fault_lock.
 */
static unsigned int ntvm_reset_level(const struct ntvm_extent *x, unsigned long page,
				     u8 state, unsigned long *last)
{
	return state & NTVM_STATE_OFFERED ? ntvm_pages_run(x->offers, page, *last, last) : 0;
}

/* Add the disposable pages of a range to the counts, or take them off. */
static void ntvm_reset_count(struct ntvm_extent *x, unsigned long page, unsigned long last,
			     int sign)
{
	unsigned long end;
	unsigned int level;
	u8 state;

	lockdep_assert_held_write(&x->fault_lock);
	for (; page <= last; page = end + 1) {
		cond_resched();
		state = ntvm_pages_run_long(&x->pages, page, last, &end);
		if (!(state & NTVM_STATE_RESET))
			continue;
		level = ntvm_reset_level(x, page, state, &end);
		ntvm_reset_account(x->process, level, sign * (long)(end - page + 1));
	}
}

/**
 * ntvm_reset_pages - what a process has that may be given up
 * @p: the process
 *
 * Context: any.
 * Return: pages.
 */
unsigned long ntvm_reset_pages(const struct ntvm_process *p)
{
	long pages = 0;
	int level;

	for (level = 0; level < NTVM_RESET_LEVELS; level++)
		pages += atomic_long_read(&p->disposable.pages[level]);
	return max(pages, 0l);
}

/**
 * ntvm_reset_give_up - a process and all its memory is gone
 * @p: the process, its lock held exclusively
 *
 * Context: process context.
 */
void ntvm_reset_give_up(struct ntvm_process *p)
{
	int level;

	for (level = 0; level < NTVM_RESET_LEVELS; level++)
		atomic_long_sub(atomic_long_xchg(&p->disposable.pages[level], 0),
				&ntvm_disposable);
}

/**
 * ntvm_reset_forget - pages are about to be decommitted
 * @x: the extent; has NTVM_TRAIT_RESET
 * @start: first byte, page aligned
 * @end: first byte behind it
 *
 * Offered pages stay barred: their states go with the change itself.
 *
 * Context: process context, may sleep; ntvm_extent.lock held, or the process
 *	    lock exclusively.
 */
void ntvm_reset_forget(struct ntvm_extent *x, unsigned long start, unsigned long end)
{
	unsigned long first = ntvm_page(x, start), last = ntvm_page(x, end - 1);

	down_write(&x->fault_lock);
	ntvm_reset_count(x, first, last, -1);
	ntvm_pages_set(&x->pages, first, last, NTVM_BUT(NTVM_STATE_RESET), 0, NULL);
	up_write(&x->fault_lock);
}

/**
 * ntvm_reset_written - a disposable page is about to be written to
 * @x: the extent
 * @addr: an address in the page
 * @folio: the page; the caller has a reference
 *
 * The caller has seen RESET under the folio lock, drops that for this call and
 * looks again afterwards.
 *
 * Context: process context, may sleep; neither fault_lock nor the folio lock held.
 */
void ntvm_reset_written(struct ntvm_extent *x, unsigned long addr, struct folio *folio)
{
	unsigned long page = ntvm_page(x, addr), last = page;
	unsigned int level;
	u8 state;

	down_read(&x->fault_lock);
	folio_lock(folio);
	state = ntvm_pages_get(&x->pages, page);
	if ((state & NTVM_STATE_RESET) && folio->mapping == x->file->f_mapping) {
		level = ntvm_reset_level(x, page, state, &last);
		ntvm_pages_set(&x->pages, page, page, NTVM_BUT(NTVM_STATE_RESET), 0, NULL);
		ntvm_reset_account(x->process, level, -1);
	}
	folio_unlock(folio);
	up_read(&x->fault_lock);
}

/* --- making pages disposable ----------------------------------------------------------- */

/* The first page at or behind @page, up to @last, that has contents. */
static bool ntvm_reset_present(struct ntvm_extent *x, unsigned long *page, unsigned long last)
{
	unsigned long base = ntvm_shadow_pgoff(x, x->start);
	unsigned long index = base + *page;

	if (*page > last || !xa_find(&x->file->f_mapping->i_pages, &index, base + last, XA_PRESENT))
		return false;
	*page = index - base;
	return true;
}

/*
 * Nodes with which each page of the range that has contents gets a byte of its
 * own. A little more than that for contents that are scattered.
 */
static unsigned int ntvm_reset_need(struct ntvm_extent *x, unsigned long page, unsigned long last)
{
	unsigned long parent = ~0ul;
	unsigned int need = 0, missing;

	for (; ntvm_reset_present(x, &page, last); page = (page | (NTVM_RESET_BATCH - 1)) + 1) {
		missing = ntvm_pages_missing(&x->pages, page, page);
		if (missing) {
			/* The nodes above are shared with the neighbour. */
			need += page / NTVM_RESET_PARENT == parent ? 1 : missing;
			parent = page / NTVM_RESET_PARENT;
		}
		cond_resched();
	}
	return need;
}

/*
 * Make contents disposable. Contents that came since the nodes were counted,
 * and have no byte of their own, stay as they are: that is always allowed.
 */
static void ntvm_reset_mark(struct ntvm_extent *x, unsigned long page, unsigned long last,
			    unsigned int level, struct ntvm_stash *stash)
{
	u8 offered = level ? NTVM_STATE_OFFERED : 0;
	unsigned long end;
	long marked = 0;
	u8 state;

	while (ntvm_reset_present(x, &page, last)) {
		end = min(page | (NTVM_RESET_BATCH - 1), last);
		down_write(&x->fault_lock);
		for (; ntvm_reset_present(x, &page, end); page++) {
			state = ntvm_pages_get(&x->pages, page);
			if (!ntvm_state_committed(state) ||
			    (state & NTVM_STATE_DISPOSAL) != offered ||
			    ntvm_pages_missing(&x->pages, page, page) > stash->nr)
				continue;
			/* Alone, so that the page does get its byte. */
			ntvm_pages_set(&x->pages, page, page, 0xff, NTVM_STATE_RESET, stash);
			marked++;
		}
		up_write(&x->fault_lock);
		page = end + 1;
		cond_resched();
	}
	ntvm_reset_account(x->process, level, marked);
}

/* From now on a commit or a protect must let our bits be. With ntvm_extent.lock. */
static void ntvm_reset_trait(struct ntvm_extent *x)
{
	down_write(&x->fault_lock);
	x->traits |= NTVM_TRAIT_RESET;
	x->keep |= NTVM_STATE_DISPOSAL;
	up_write(&x->fault_lock);
}

/* --- MEM_RESET, MEM_RESET_UNDO ----------------------------------------------------------- */

/* Is a page of the range offered? With ntvm_extent.lock. */
static bool ntvm_reset_offered(const struct ntvm_extent *x, unsigned long page,
			       unsigned long last)
{
	unsigned long end;

	if (!x->offers)
		return false;
	for (; page <= last; page = end + 1) {
		if (ntvm_pages_run_long(&x->pages, page, last, &end) & NTVM_STATE_OFFERED)
			return true;
		cond_resched();
	}
	return false;
}

/* Only pages that lie in the request as a whole. */
static u32 ntvm_reset_range(struct ntvm_op *op, struct ntvm_extent *x)
{
	unsigned long start = op->range.start + (op->offset ? PAGE_SIZE : 0);
	unsigned long end = op->range.end - (op->tail ? PAGE_SIZE : 0);
	struct ntvm_stash stash = NTVM_STASH_INIT;
	u32 status = NTVM_STATUS_SUCCESS;
	unsigned long first, last;

	/* Large pages are never given up. */
	if (start >= end || (x->traits & NTVM_TRAIT_LARGE))
		return status;
	first = ntvm_page(x, start);
	last = ntvm_page(x, end - 1);
	if (ntvm_stash_fill(&x->pages, &stash, ntvm_reset_need(x, first, last))) {
		status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
		goto out;
	}
	ntvm_reset_trait(x);
	/* It counts what is lost from now on. */
	down_write(&x->fault_lock);
	ntvm_pages_set(&x->pages, first, last, NTVM_BUT(NTVM_STATE_LOST), 0, NULL);
	up_write(&x->fault_lock);
	ntvm_reset_mark(x, first, last, 0, &stash);
	ntvm_revoke(x, start, end);
out:
	ntvm_stash_drop(&stash);
	return status;
}

/* Is something in the range LOST? With fault_lock. */
static bool ntvm_reset_lost(const struct ntvm_extent *x, unsigned long page, unsigned long last)
{
	unsigned long end;

	for (; page <= last; page = end + 1) {
		if (ntvm_pages_run_long(&x->pages, page, last, &end) & NTVM_STATE_LOST)
			return true;
		cond_resched();
	}
	return false;
}

/* Every page that the request touches. A loss is told once. */
static u32 ntvm_reset_undo(struct ntvm_op *op, struct ntvm_extent *x)
{
	unsigned long first = ntvm_page(x, op->range.start);
	unsigned long last = ntvm_page(x, op->range.end - 1);
	bool lost;

	if (!(x->traits & NTVM_TRAIT_RESET))
		return NTVM_STATUS_SUCCESS;
	down_write(&x->fault_lock);
	ntvm_reset_count(x, first, last, -1);
	lost = ntvm_reset_lost(x, first, last);
	ntvm_pages_set(&x->pages, first, last,
		       NTVM_BUT(NTVM_STATE_RESET | NTVM_STATE_LOST), 0, NULL);
	up_write(&x->fault_lock);
	return lost ? NTVM_STATUS_UNSUCCESSFUL : NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_reset - MEM_RESET, MEM_RESET_UNDO
 * @op: @op->range rounded; @op->offset, @op->tail: what of its first and last
 *	page is not meant
 *
 * Context: process context, may sleep.
 * Return: NTVM_STATUS_*. UNSUCCESSFUL: undone, but contents were lost.
 */
u32 ntvm_reset(struct ntvm_op *op)
{
	struct ntvm_process *p = op->process;
	bool exclusive = false;
	struct ntvm_region *r;
	struct ntvm_extent *x;
	u32 status;

	status = ntvm_process_lock_at(p, op->range.start, &exclusive, &r);
	if (status)
		return status;
	status = NTVM_STATUS_CONFLICTING_ADDRESSES;
	if (!r || op->range.end > r->end)
		goto out;
	x = r->extent;
	mutex_lock(&x->lock);
	/* Offered pages have a way back of their own. */
	if (ntvm_reset_offered(x, ntvm_page(x, op->range.start), ntvm_page(x, op->range.end - 1)))
		;
	else if (op->type & NTVM_ALLOC_RESET)
		status = ntvm_reset_range(op, x);
	else
		status = ntvm_reset_undo(op, x);
	mutex_unlock(&x->lock);
out:
	ntvm_process_unlock(p, exclusive);
	return status;
}

/* --- offer, reclaim, discard --------------------------------------------------------------- */

/* What all three want of each page; discard wants more. */
static u32 ntvm_offer_check(const struct ntvm_extent *x, unsigned long page, unsigned long last,
			    bool discard)
{
	unsigned long end;
	u8 state;

	for (; page <= last; page = end + 1) {
		/* Nothing has been done yet; from here on it is done to the end. */
		if (fatal_signal_pending(current))
			return NTVM_STATUS_INSUFFICIENT_RESOURCES;
		state = ntvm_pages_run_long(&x->pages, page, last, &end);
		if (!ntvm_state_committed(state))
			return NTVM_STATUS_NOT_COMMITTED;
		if (discard && (state & NTVM_STATE_OFFERED))
			return NTVM_STATUS_CONFLICTING_ADDRESSES;
		if (discard && !ntvm_state_writable(state))
			return NTVM_STATUS_INVALID_PAGE_PROTECTION;
		cond_resched();
	}
	return NTVM_STATUS_SUCCESS;
}

static u32 ntvm_offer_offer(struct ntvm_extent *x, struct ntvm_op *op,
			    unsigned long first, unsigned long last)
{
	struct ntvm_stash stash = NTVM_STASH_INIT, ranks = NTVM_STASH_INIT;
	u32 status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	unsigned long page, end;

	if (!x->offers) {
		struct ntvm_pages *offers = kmalloc(sizeof(*offers), GFP_KERNEL_ACCOUNT);

		if (!offers)
			return status;
		ntvm_pages_init(offers, x->pages.nr, NTVM_RESET_LEVELS - 1, x->pages.quota);
		down_write(&x->fault_lock);
		x->offers = offers;
		up_write(&x->fault_lock);
	}
	if (ntvm_stash_fill(x->offers, &ranks, ntvm_pages_missing(x->offers, first, last)) ||
	    ntvm_stash_fill(&x->pages, &stash,
			    ntvm_pages_missing(&x->pages, first, last) +
			    ntvm_reset_need(x, first, last)))
		goto out;
	ntvm_reset_trait(x);
	down_write(&x->fault_lock);
	ntvm_reset_count(x, first, last, -1);
	for (page = first; page <= last; page = end + 1) {
		cond_resched();
		/* What is offered already gets another priority and no more. */
		if (ntvm_pages_run_long(&x->pages, page, last, &end) & NTVM_STATE_OFFERED)
			continue;
		ntvm_pages_set(&x->pages, page, end,
			       NTVM_BUT(NTVM_STATE_RESET | NTVM_STATE_LOST),
			       NTVM_STATE_OFFERED, &stash);
	}
	ntvm_pages_set(x->offers, first, last, 0, op->protect, &ranks);
	ntvm_reset_count(x, first, last, 1);
	up_write(&x->fault_lock);
	ntvm_reset_mark(x, first, last, op->protect, &stash);
	ntvm_revoke(x, op->range.start, op->range.end);
	status = NTVM_STATUS_SUCCESS;
out:
	ntvm_stash_drop(&ranks);
	ntvm_stash_drop(&stash);
	return status;
}

/* Pages that are not offered are accessible and intact as they are. */
static u32 ntvm_offer_reclaim(struct ntvm_extent *x, unsigned long first, unsigned long last)
{
	struct ntvm_stash stash = NTVM_STASH_INIT;
	unsigned long page, end;
	bool lost = false;
	u8 state;

	if (!x->offers)
		return NTVM_STATUS_SUCCESS;
	if (ntvm_stash_fill(&x->pages, &stash, ntvm_pages_missing(&x->pages, first, last))) {
		ntvm_stash_drop(&stash);
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	}
	down_write(&x->fault_lock);
	for (page = first; page <= last; page = end + 1) {
		cond_resched();
		state = ntvm_pages_run_long(&x->pages, page, last, &end);
		if (!(state & NTVM_STATE_OFFERED))
			continue;
		if (state & NTVM_STATE_LOST)
			lost = true;
		ntvm_reset_count(x, page, end, -1);
		ntvm_pages_set(&x->pages, page, end, NTVM_BUT(NTVM_STATE_DISPOSAL), 0, &stash);
	}
	up_write(&x->fault_lock);
	ntvm_stash_drop(&stash);
	return lost ? NTVM_STATUS_DEVICE_BUSY : NTVM_STATUS_SUCCESS;
}

/*
 * The states keep letting faults in: what they bring in meanwhile is zero, and
 * what is written meanwhile is kept or dropped, a page as a whole.
 */
static u32 ntvm_offer_discard(struct ntvm_extent *x, struct ntvm_op *op,
			      unsigned long first, unsigned long last)
{
	if (x->traits & NTVM_TRAIT_RESET) {
		down_write(&x->fault_lock);
		ntvm_reset_count(x, first, last, -1);
		ntvm_pages_set(&x->pages, first, last,
			       NTVM_BUT(NTVM_STATE_RESET | NTVM_STATE_LOST), 0, NULL);
		up_write(&x->fault_lock);
	}
	ntvm_shadow_punch(x, op->range.start, op->range.end);
	return NTVM_STATUS_SUCCESS;
}

static u32 ntvm_offer(struct ntvm_op *op)
{
	struct ntvm_process *p = op->process;
	bool exclusive = false;
	unsigned long first, last;
	struct ntvm_region *r;
	struct ntvm_extent *x;
	u32 status;

	status = ntvm_process_lock_at(p, op->range.start, &exclusive, &r);
	if (status)
		return status;
	/* Large pages do not leave memory, neither now nor under pressure. */
	if (!r || op->range.end > r->end || (r->extent->traits & NTVM_TRAIT_LARGE)) {
		ntvm_process_unlock(p, exclusive);
		return NTVM_STATUS_CONFLICTING_ADDRESSES;
	}
	x = r->extent;
	first = ntvm_page(x, op->range.start);
	last = ntvm_page(x, op->range.end - 1);
	mutex_lock(&x->lock);
	status = ntvm_offer_check(x, first, last, op->type == NTVM_OFFER_DISCARD);
	/* What is offered or discarded is not locked any more, as in NT. */
	if (!status && op->type != NTVM_OFFER_RECLAIM && (x->traits & NTVM_TRAIT_LOCKED))
		ntvm_lock_drop(x, op->range.start, op->range.end);
	if (!status) {
		switch (op->type) {
		case NTVM_OFFER_OFFER:
			status = ntvm_offer_offer(x, op, first, last);
			break;
		case NTVM_OFFER_RECLAIM:
			status = ntvm_offer_reclaim(x, first, last);
			break;
		default:
			status = ntvm_offer_discard(x, op, first, last);
		}
	}
	mutex_unlock(&x->lock);
	ntvm_process_unlock(p, exclusive);
	return status;
}

/**
 * ntvm_ioc_offer - NTVM_IOC_OFFER
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or a negative errno.
 */
int ntvm_ioc_offer(struct ntvm_call *call)
{
	struct ntvm_offer *o = &call->req.offer;
	u64 end = call->process->space.user_end;
	struct ntvm_op op = { .type = o->op, .protect = o->priority };

	o->status = NTVM_STATUS_INVALID_PARAMETER;
	if (o->op > NTVM_OFFER_DISCARD)
		return 0;
	if (o->op != NTVM_OFFER_OFFER ? o->priority :
	    o->priority - NTVM_OFFER_VERY_LOW > NTVM_OFFER_NORMAL - NTVM_OFFER_VERY_LOW)
		return 0;
	if ((o->base | o->len) & ~PAGE_MASK || !o->len || o->base >= end || o->len > end - o->base)
		return 0;
	o->status = call->handle_status;
	if (o->status)
		return 0;
	op.range.start = o->base;
	op.range.end = o->base + o->len;
	o->status = ntvm_call_run(call, &op, ntvm_offer);
	return op.err;
}

/* --- giving up -------------------------------------------------------------------------------- */

/**
 * struct ntvm_purge - one call of the shrinker
 * @level: what is given up now
 * @left: pages that are still to be looked at
 * @steps: NTVM_PURGE_STEPS that are left
 * @freed: pages dropped
 */
struct ntvm_purge {
	unsigned int level;
	unsigned long left;
	unsigned long steps;
	unsigned long freed;
};

/* Drop the contents of a page, if nobody objects. fault_lock is held shared. */
static void ntvm_purge_page(struct ntvm_extent *x, unsigned long page, struct ntvm_purge *pg)
{
	struct address_space *mapping = x->file->f_mapping;
	unsigned long index = ntvm_shadow_pgoff(x, x->start) + page;
	struct folio *folio = filemap_get_folio(mapping, index);
	u8 state, lost;

	if (IS_ERR_OR_NULL(folio))	/* swapped out, or dropped by somebody else */
		return;
	if (!folio_trylock(folio))
		goto put;
	state = ntvm_pages_get(&x->pages, page);
	/* A guard is disarmed without the folio lock: its state is left alone. */
	if (!(state & NTVM_STATE_RESET) || (state & NTVM_STATE_GUARD) ||
	    ntvm_lock_held(x, page) || folio->mapping != mapping || folio_test_large(folio) ||
	    folio_test_writeback(folio) || folio_test_mlocked(folio) ||
	    folio_maybe_dma_pinned(folio))
		goto unlock;
	if (folio_mapped(folio))
		unmap_mapping_pages(mapping, index, 1, false);
	/* Never written to: it is zero, and will be. */
	lost = folio_test_dirty(folio) ? NTVM_STATE_LOST : 0;
	ntvm_pages_set(&x->pages, page, page, NTVM_BUT(NTVM_STATE_RESET), lost, NULL);
	ntvm_reset_account(x->process, pg->level, -1);
	if (!ntvm_folio_remove(mapping, folio))
		pg->freed++;
unlock:
	folio_unlock(folio);
put:
	folio_put(folio);
}

/* Give up pages of [@start, @end). Returns where it stopped. */
static unsigned long ntvm_purge_extent(struct ntvm_extent *x, unsigned long start,
				       unsigned long end, struct ntvm_purge *pg)
{
	unsigned long page = ntvm_page(x, start), last = ntvm_page(x, end - 1), run;
	u8 state;

	if (!down_read_trylock(&x->fault_lock))
		return end;
	while (page <= last && pg->steps && pg->left) {
		/* Reclaim may sleep, and others wait for nothing of what is held here. */
		cond_resched();
		pg->steps--;
		state = ntvm_pages_run(&x->pages, page, min(last, page + NTVM_PURGE_LOOK - 1),
				       &run);
		if (!(state & NTVM_STATE_RESET) ||
		    ntvm_reset_level(x, page, state, &run) != pg->level) {
			page = run + 1;
			continue;
		}
		for (; pg->left && ntvm_reset_present(x, &page, run); page++) {
			pg->left--;
			ntvm_purge_page(x, page, pg);
		}
		if (pg->left)
			page = run + 1;
	}
	up_read(&x->fault_lock);
	return x->start + (page << PAGE_SHIFT);
}

/* The same for the regions between two addresses. Returns where it stopped. */
static unsigned long ntvm_purge_regions(struct ntvm_process *p, unsigned long addr,
					unsigned long end, struct ntvm_purge *pg)
{
	struct ntvm_region *r = ntvm_regions_from(&p->regions, addr);

	for (; r && r->start < end && pg->steps && pg->left; r = ntvm_regions_next(r)) {
		pg->steps--;
		if (READ_ONCE(r->extent->traits) & NTVM_TRAIT_RESET)
			addr = ntvm_purge_extent(r->extent, max(addr, r->start), r->end, pg);
		else
			addr = r->end;
	}
	return addr;
}

static void ntvm_purge_process(struct ntvm_process *p, struct ntvm_purge *pg)
{
	unsigned long next = READ_ONCE(p->disposable.next);

	if (!mmget_not_zero(p->mm))
		return;
	if (down_read_trylock(&p->lock)) {
		if (!p->dead) {
			unsigned long stop = ntvm_purge_regions(p, next, ULONG_MAX, pg);

			if (pg->steps && pg->left)
				stop = ntvm_purge_regions(p, 0, next, pg);
			WRITE_ONCE(p->disposable.next, stop);
		}
		up_read(&p->lock);
	}
	mmput_async(p->mm);
}

static unsigned long ntvm_reset_shrink_count(struct shrinker *shrinker,
					     struct shrink_control *sc)
{
	return max(atomic_long_read(&ntvm_disposable), 0l);
}

static unsigned long ntvm_reset_shrink_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	struct ntvm_purge pg = { .left = sc->nr_to_scan, .steps = NTVM_PURGE_STEPS };
	static atomic_t scans = ATOMIC_INIT(0);
	unsigned int picks = NTVM_PURGE_PICKS;
	struct ntvm_process *p;
	unsigned int scan;

	/* i_mmap_rwsem is not for allocations that come from a file system. */
	if (!(sc->gfp_mask & __GFP_FS))
		return SHRINK_STOP;
	for (; pg.level < NTVM_RESET_LEVELS; pg.level++) {
		scan = atomic_inc_return(&scans);
		while (pg.left && pg.steps && picks &&
		       (p = ntvm_process_pick(pg.level, scan))) {
			picks--;
			ntvm_purge_process(p, &pg);
			ntvm_process_put(p);
		}
	}
	/* All of it busy, pinned or swapped out: not now. */
	if (!pg.freed)
		return SHRINK_STOP;
	ntvm_account_reclaimed(pg.freed);
	return pg.freed;
}

/**
 * ntvm_reset_init - register the shrinker
 *
 * Return: 0 or -ENOMEM.
 */
int ntvm_reset_init(void)
{
	ntvm_shrinker = ntvm_shrinker_register("ntvm", ntvm_reset_shrink_count,
					       ntvm_reset_shrink_scan);
	return ntvm_shrinker ? 0 : -ENOMEM;
}

/**
 * ntvm_reset_exit - unregister the shrinker
 */
void ntvm_reset_exit(void)
{
	ntvm_shrinker_unregister(ntvm_shrinker);
}
