// SPDX-License-Identifier: GPL-2.0-only
/*
 * Write watch: NtGetWriteWatch, NtResetWriteWatch, and the record that they read.
 *
 * An extent with NTVM_TRAIT_WATCH has NTVM_STATE_DIRTY in the bytes of the pages
 * that were written since the last reset. A page without it is mapped read-only
 * or not at all, so that the first write comes to ->page_mkwrite, which sets it
 * (ntvm_mkwrite_watched()). The page tables' own dirty bits are not asked: they
 * move to the folio whenever a page is unmapped, and are lost for this purpose.
 *
 * Recording: fault_lock shared, then the folio lock, as ->fault takes them. The
 * bit is set with both held; the folio stays locked until the core has made the
 * page writable. Pages do not share bytes, and the folio lock serialises what
 * happens to one page; all who change more than this bit of a byte, or who clear
 * it, hold fault_lock exclusively. A page that is part of a tag gets a leaf
 * before: ntvm_watch_prepare().
 *
 * Resetting a page, with ntvm_extent.lock held:
 *
 *  1. Clear the bit, with fault_lock held exclusively. Who set it before has the
 *     folio locked, or has made the page writable already; who sets it from now
 *     on is asked about next time.
 *  2. Lock the folio. Now what was in flight in step 1 is in the page tables, and
 *     neither migration nor reclaim is about to move it: a migration restores a
 *     writable entry when it is done, and holds the lock as long. The folios of a
 *     leaf are locked together, with trylock, under the lock of the page cache:
 *     a folio in the page cache whose lock one has cannot leave it, so that no
 *     reference is needed. A folio that somebody else has locked is waited for
 *     later, by itself, with nothing else locked. No folio: no entry either; one
 *     that comes back is mapped through ->page_mkwrite.
 *  3. Write-protect the page table entries, flush the TLB, unlock.
 *  4. A folio that is pinned for DMA may be written without a fault: its page is
 *     marked again at once, and reported until the pin is gone. This is asked for
 *     after step 3: get_user_pages_fast() pins first and looks at the entry then.
 *     An mm whose memory was never pinned says so by itself.
 *
 * The fast way through steps 2 and 3, for all pages of a leaf at once, locks no
 * folio (ntvm_watch_protect_fast()); whatever it cannot vouch for is done over in
 * the way above:
 *
 *  - The processor's count of TLB flushes of the mm is read. Then each folio is
 *    seen unlocked, in the page cache. Who set the bit before step 1 held the folio
 *    lock then, and no folio leaves the page cache locked, or only for one that is
 *    locked in its place: so what was in flight is in the page tables.
 *  - The entries are write-protected, each under the lock of its page table, and
 *    the count is read again. If only this has added to it, then no entry was a
 *    migration entry, which would become writable again without a fault: its folio
 *    would have been locked since after it was seen unlocked, and with the entry
 *    that was there before goes a flush, which is counted before the lock of the
 *    page table is given back.
 *  - An entry that is present and inaccessible, as NUMA balancing makes them, goes
 *    without a flush; there are none, because the VMAs are VM_MIXEDMAP.
 *
 * How many entries were writable proves nothing: wp_shared_mapping_range() takes a
 * migration entry that is soft-dirty for one. mmap_lock, held meanwhile, keeps out
 * all who move page tables; it is only tried for, so that a writer waiting for it
 * is not in the way.
 *
 * A page is always written before it is reset or after its record is set anew, so
 * no write is ever lost. A call reports first and resets what it has reported
 * when all of it is with the caller: an answer that cannot be given resets
 * nothing. A write in between is one that the caller finds in the page when it
 * looks there, because it has been told of the page.
 *
 * Latched pages. Decommit clears the record with the state, but NT remembers
 * those pages that were recorded already when their protection was changed last
 * (Y11 of the tests on Windows). These are kept in ntvm_extent.latched, outside
 * the states, and reported like the others.
 *
 * User memory is written with no lock held: what is reported is kept as maps of
 * leaves, and becomes addresses only on its way to the caller.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "call.h"
#include "compat.h"
#include "delay.h"

/* Leaves or ranges without one that are looked at before fault_lock is given back. */
#define NTVM_WATCH_STEPS	64

/* Clean pages between dirty ones that are cheaper to walk over than to walk around. */
#define NTVM_WATCH_GAP		128

/* Pages of one leaf. */
struct ntvm_watch_leaf {
	unsigned long page;			/* the leaf's first */
	unsigned long map[NTVM_MAP_WORDS];
};

/* What is reported, and what has been reported and is to be reset. */
struct ntvm_watch_report {
	struct ntvm_watch_report *next;
	unsigned int nr;
	struct ntvm_watch_leaf leaf[55];
};

/**
 * struct ntvm_watch_call - a call on its way
 * @process: the target
 * @extent: what is asked about, with a reference, once it is known
 * @start: the caller's range
 * @end: first byte behind it
 * @pos: first page not looked at
 * @last: last page of the range
 * @report: what is reported, newest first
 * @first: first piece of @report
 * @slow: pages whose folio somebody else has locked
 * @pinned: pages whose folio is pinned
 * @folio: what is locked while a leaf is reset
 */
struct ntvm_watch_call {
	struct ntvm_process *process;
	struct ntvm_extent *extent;
	unsigned long start;
	unsigned long end;
	unsigned long pos;
	unsigned long last;
	struct ntvm_watch_report *report;
	struct ntvm_watch_report first;
	unsigned long slow[NTVM_MAP_WORDS];
	unsigned long pinned[NTVM_MAP_WORDS];
	struct folio *folio[NTVM_MAP_PAGES];
};

/* --- recording ------------------------------------------------------------------------ */

/**
 * ntvm_watch_prepare - see to it that a page has a byte to record a write in
 * @x: a watched extent
 * @page: the page
 *
 * Does nothing for a page that is not committed. A decommit may take the byte
 * away again.
 *
 * Context: process context, may sleep; may be in a fault, no folio locked.
 * Return: 0, -ENOMEM or -EDQUOT.
 */
int ntvm_watch_prepare(struct ntvm_extent *x, unsigned long page)
{
	struct ntvm_stash stash = NTVM_STASH_INIT;
	bool ready;
	int err;

	rcu_read_lock();
	ready = ntvm_pages_byte(&x->pages, page) ||
		!ntvm_state_committed(ntvm_pages_get(&x->pages, page));
	rcu_read_unlock();
	if (ready)
		return 0;
	err = ntvm_stash_fill(&x->pages, &stash, x->pages.height + 1);
	if (!err) {
		down_write(&x->fault_lock);
		if (ntvm_state_committed(ntvm_pages_get(&x->pages, page)))
			ntvm_pages_leaf(&x->pages, page, &stash);
		up_write(&x->fault_lock);
	}
	ntvm_stash_drop(&stash);
	return err;
}

/**
 * ntvm_watch_wrote - record a write that did not go through a page table
 * @x: a watched extent
 * @page: the page; ntvm_watch_prepare() came before the write
 *
 * To be called after the write.
 *
 * Context: process context, may sleep; no folio locked.
 */
void ntvm_watch_wrote(struct ntvm_extent *x, unsigned long page)
{
	u8 *byte;

	down_write(&x->fault_lock);
	byte = ntvm_pages_byte(&x->pages, page);
	/* No byte: it was decommitted since, and the write is gone with it. */
	if (byte && ntvm_state_committed(*byte))
		WRITE_ONCE(*byte, *byte | NTVM_STATE_DIRTY);
	up_write(&x->fault_lock);
}

/* --- latched pages --------------------------------------------------------------------- */

/**
 * ntvm_watch_latch_prepare - see to it that ntvm_watch_latch() cannot fail
 * @x: a watched extent, its lock held
 * @first: first page
 * @last: last page
 *
 * A bitmap counts like a node: it stays when the leaf that it is for has gone.
 *
 * Context: process context, may sleep.
 * Return: 0, -ENOMEM, -EDQUOT or -EINTR.
 */
int ntvm_watch_latch_prepare(struct ntvm_extent *x, unsigned long first, unsigned long last)
{
	unsigned long map[NTVM_MAP_WORDS], *latch, page;
	unsigned int steps;
	bool found = false;

	while (first <= last) {
		down_read(&x->fault_lock);
		for (steps = 0; steps < NTVM_WATCH_STEPS && first <= last && !found; steps++) {
			page = first;
			found = ntvm_pages_marked(&x->pages, &first, last, NTVM_STATE_DIRTY, map);
		}
		up_read(&x->fault_lock);
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!found || xa_load(&x->latched, page / NTVM_MAP_PAGES)) {
			found = false;
			continue;
		}
		found = false;
		if (ntvm_quota_take(x->pages.quota, false))
			return -EDQUOT;
		latch = kzalloc(sizeof(map), GFP_KERNEL_ACCOUNT);
		if (!latch || xa_err(xa_store(&x->latched, page / NTVM_MAP_PAGES, latch,
					      GFP_KERNEL_ACCOUNT))) {
			kfree(latch);
			ntvm_quota_give(x->pages.quota, 1);
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * ntvm_watch_latch - the protection of a range was changed
 * @x: a watched extent, its lock held; ntvm_watch_latch_prepare() came before
 * @first: first page
 * @last: last page
 *
 * A page that was written only after the preparation may have nowhere to be
 * latched. It counts as written after the change.
 *
 * Context: process context, may sleep.
 */
void ntvm_watch_latch(struct ntvm_extent *x, unsigned long first, unsigned long last)
{
	unsigned long map[NTVM_MAP_WORDS], index, from, *latch;

	xa_for_each_range(&x->latched, index, latch, first / NTVM_MAP_PAGES,
			  last / NTVM_MAP_PAGES) {
		from = max(first, index * NTVM_MAP_PAGES);
		down_read(&x->fault_lock);
		ntvm_pages_marked(&x->pages, &from, min(last, from | (NTVM_MAP_PAGES - 1)),
				  NTVM_STATE_DIRTY, map);
		up_read(&x->fault_lock);
		bitmap_or(latch, latch, map, NTVM_MAP_PAGES);
		cond_resched();
	}
}

/**
 * ntvm_watch_exit - free what a watched extent has beside its states
 * @x: the extent; nobody uses it any more
 *
 * Context: process context, may sleep.
 */
void ntvm_watch_exit(struct ntvm_extent *x)
{
	unsigned long index, *latch;

	xa_for_each(&x->latched, index, latch) {
		kfree(latch);
		ntvm_quota_give(x->pages.quota, 1);
		cond_resched();
	}
	xa_destroy(&x->latched);
}

/* --- looking ------------------------------------------------------------------------------ */

/*
 * The next pages to report, if there are any in the leaf or the range without
 * one at w->pos, which moves on. Called with fault_lock held.
 */
static bool ntvm_watch_next(struct ntvm_watch_call *w, struct ntvm_watch_leaf *leaf)
{
	struct ntvm_extent *x = w->extent;
	unsigned long from = w->pos, end = w->last, index = from / NTVM_MAP_PAGES;
	unsigned long mask[NTVM_MAP_WORDS], *latch = NULL;
	bool found;

	if (unlikely(!xa_empty(&x->latched))) {
		latch = xa_find(&x->latched, &index, end / NTVM_MAP_PAGES, XA_PRESENT);
		if (latch && index != from / NTVM_MAP_PAGES) {
			end = index * NTVM_MAP_PAGES - 1;
			latch = NULL;
		} else if (latch) {
			end = min(end, from | (NTVM_MAP_PAGES - 1));
		}
	}
	leaf->page = round_down(from, NTVM_MAP_PAGES);
	found = ntvm_pages_marked(&x->pages, &w->pos, end, NTVM_STATE_DIRTY, leaf->map);
	if (!latch)
		return found;
	bitmap_zero(mask, NTVM_MAP_PAGES);
	bitmap_set(mask, from - leaf->page, w->pos - from);
	bitmap_and(mask, mask, latch, NTVM_MAP_PAGES);
	bitmap_or(leaf->map, leaf->map, mask, NTVM_MAP_PAGES);
	return !bitmap_empty(leaf->map, NTVM_MAP_PAGES);
}

/* Takes the locks that keep the range what it is: NTVM_STATUS_*. */
static u32 ntvm_watch_lock(struct ntvm_watch_call *w)
{
	struct ntvm_region *r;
	u32 status;

	status = ntvm_process_lock(w->process, false);
	if (status)
		return status;
	r = ntvm_regions_find(&w->process->regions, w->start);
	/*
	 * Also if it is not the region any more that the call began with. What has
	 * become a placeholder again has its extent still, and watches nothing.
	 */
	if (!r || w->end > r->end || w->start == w->end || (r->flags & NTVM_REGION_PLACEHOLDER) ||
	    !(r->extent->traits & NTVM_TRAIT_WATCH) ||
	    (w->extent && w->extent != r->extent)) {
		ntvm_process_unlock(w->process, false);
		return NTVM_STATUS_INVALID_PARAMETER;
	}
	if (!w->extent) {
		w->extent = ntvm_extent_get(r->extent);
		w->pos = ntvm_page(w->extent, w->start);
		w->last = ntvm_page(w->extent, w->end - 1);
	}
	mutex_lock(&w->extent->lock);
	return NTVM_STATUS_SUCCESS;
}

static void ntvm_watch_unlock(struct ntvm_watch_call *w)
{
	mutex_unlock(&w->extent->lock);
	ntvm_process_unlock(w->process, false);
}

/* Leaves the first @room pages, at least one, in a leaf. Returns how many it has now. */
static unsigned int ntvm_watch_trim(struct ntvm_watch_call *w, struct ntvm_watch_leaf *leaf,
				    u64 room)
{
	unsigned int nr = bitmap_weight(leaf->map, NTVM_MAP_PAGES), left, i;
	unsigned long word, kept = 0;

	if (likely(nr <= room))
		return nr;
	left = room;
	for (i = 0; hweight_long(leaf->map[i]) <= left; i++)
		left -= hweight_long(leaf->map[i]);
	for (word = leaf->map[i]; left; left--, word &= word - 1)
		kept |= word & -word;
	/* The rest of the leaf is for the next time. */
	w->pos = leaf->page + i * BITS_PER_LONG + __ffs(word);
	leaf->map[i] = kept;
	while (++i < NTVM_MAP_WORDS)
		leaf->map[i] = 0;
	return room;
}

/*
 * Finds at most @want pages, and keeps them behind what @w->report has already if
 * that is to be reset. *@first becomes the first leaf of them.
 */
static u32 ntvm_watch_collect(struct ntvm_watch_call *w, u64 want, bool remember,
			      unsigned int *first)
{
	struct ntvm_watch_report *report = w->report;
	unsigned int steps;
	u32 status;

	if (!remember) {
		report->nr = 0;
	} else if (report->nr == ARRAY_SIZE(report->leaf)) {
		report = kmalloc(sizeof(*report), GFP_KERNEL_ACCOUNT);
		if (!report)
			return NTVM_STATUS_INSUFFICIENT_RESOURCES;
		report->nr = 0;
		report->next = w->report;
		w->report = report;
	}
	*first = report->nr;
	status = ntvm_watch_lock(w);
	if (status)
		return status;
	down_read(&w->extent->fault_lock);
	for (steps = 0; steps < NTVM_WATCH_STEPS && want && w->pos <= w->last &&
	     report->nr < ARRAY_SIZE(report->leaf); steps++) {
		struct ntvm_watch_leaf *leaf = &report->leaf[report->nr];

		if (!ntvm_watch_next(w, leaf))
			continue;
		want -= ntvm_watch_trim(w, leaf, want);
		report->nr++;
	}
	up_read(&w->extent->fault_lock);
	ntvm_watch_unlock(w);
	return NTVM_STATUS_SUCCESS;
}

/* Writes the addresses of a leaf's pages. Returns where the next goes, NULL if it cannot. */
static u64 __user *ntvm_watch_list(const struct ntvm_watch_call *w,
				   const struct ntvm_watch_leaf *leaf, u64 __user *to)
{
	u64 base = w->extent->start + (leaf->page << PAGE_SHIFT);
	const unsigned long *map = leaf->map, *end = map + NTVM_MAP_WORDS;
	unsigned long word;
	unsigned int bit;

	if (!user_write_access_begin(to, bitmap_weight(leaf->map, NTVM_MAP_PAGES) * sizeof(*to)))
		return NULL;
	for (; map < end; map++, base += BITS_PER_LONG * PAGE_SIZE) {
		word = *map;
		if (word == ~0ul) {
#pragma GCC unroll 8
			for (bit = 0; bit < BITS_PER_LONG; bit++)
				unsafe_put_user(base + bit * PAGE_SIZE, &to[bit], fault);
			to += BITS_PER_LONG;
			continue;
		}
		for (; word; word &= word - 1, to++)
			unsafe_put_user(base + (__ffs(word) << PAGE_SHIFT), to, fault);
	}
	user_write_access_end();
	return to;
fault:
	user_write_access_end();
	return NULL;
}

/* --- resetting ----------------------------------------------------------------------------- */

/*
 * Write-protects the pages of @map, and clean ones between them. Returns how often
 * the TLB was flushed for it.
 */
static unsigned int ntvm_watch_protect(struct address_space *mapping, pgoff_t base,
				       const unsigned long *map)
{
	unsigned int start = 0, end = 0, i, from, flushes = 0;

	for (i = 0; i < NTVM_MAP_WORDS; i++) {
		if (!map[i])
			continue;
		from = i * BITS_PER_LONG + __ffs(map[i]);
		if (end && from - end > NTVM_WATCH_GAP) {
			flushes += ntvm_wp_mapping(mapping, base + start, end - start);
			end = 0;
		}
		if (!end)
			start = from;
		end = i * BITS_PER_LONG + __fls(map[i]) + 1;
	}
	return flushes + ntvm_wp_mapping(mapping, base + start, end - start);
}

/*
 * Is none of the folios of @map locked? What is not in memory is in no page table,
 * and comes back through ->page_mkwrite. No search for each page, but a look into
 * the page cache's nodes.
 */
static bool ntvm_watch_unlocked(struct address_space *mapping, pgoff_t base,
				const unsigned long *map)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int i, bit, slot, nr;
	unsigned long word, part;
	struct folio *folio;
	bool ret = false;

	xas_lock_irq(&xas);
	for (i = 0; i < NTVM_MAP_WORDS; i++) {
		for (word = map[i]; word; word &= ~part) {
			bit = __ffs(word);
			part = BIT(bit);
			xas_set(&xas, base + i * BITS_PER_LONG + bit);
			folio = xas_load(&xas);
			if (!xas_valid(&xas) || !xas.xa_node || xas.xa_node->shift) {
				/* No node, so nothing in memory; or one for a large folio. */
				if (folio)
					goto out;
				continue;
			}
			slot = xas.xa_index & XA_CHUNK_MASK;
			nr = min_t(unsigned int, BITS_PER_LONG - bit, XA_CHUNK_SIZE - slot);
			part = word & GENMASK(bit + nr - 1, bit);
			slot -= bit;
			for (word &= ~part; part; part &= part - 1) {
				bit = __ffs(part);
				folio = xa_entry_locked(xas.xa, xas.xa_node, slot + bit);
				if (unlikely(!folio || xa_is_value(folio)))
					continue;
				if (unlikely(xa_is_internal(folio) || folio_test_locked(folio)))
					goto out;
			}
		}
	}
	ret = true;
out:
	xas_unlock_irq(&xas);
	/* Who has unlocked one of them has changed the page tables before. */
	smp_mb();
	return ret;
}

/*
 * Steps 2 to 4 without a lock on any folio, see above. False if they are still to
 * be done.
 */
static bool ntvm_watch_protect_fast(struct ntvm_watch_call *w, pgoff_t base,
				    const struct ntvm_watch_leaf *leaf)
{
	struct address_space *mapping = w->extent->file->f_mapping;
	struct mm_struct *mm = w->extent->process->mm;
	bool done = false;
	u64 flushes;

	if (!NTVM_COUNTS_FLUSHES || !mmap_read_trylock(mm))
		return false;
	flushes = ntvm_mm_flushes(mm);
	/* A flush that is not counted yet is of a migration that is still to begin. */
	smp_rmb();
	if (ntvm_watch_unlocked(mapping, base, leaf->map)) {
		ntvm_debug_delay();	/* a migration in between shows in the count */
		flushes += ntvm_watch_protect(mapping, base, leaf->map);
		done = ntvm_mm_flushes(mm) == flushes;
	}
	mmap_read_unlock(mm);
	return done && !ntvm_mm_has_pinned(mm);
}

/* The same for one page whose folio somebody else had locked. */
static void ntvm_watch_protect_slow(struct ntvm_watch_call *w, pgoff_t base, unsigned int i)
{
	struct address_space *mapping = w->extent->file->f_mapping;
	struct folio *folio;
	bool there;

	do {
		folio = filemap_get_folio(mapping, base + i);
		if (IS_ERR_OR_NULL(folio))
			return;		/* not in memory, so in no page table */
		folio_lock(folio);
		there = folio->mapping == mapping;
		if (there) {
			ntvm_wp_mapping(mapping, base + i, 1);
			if (folio_maybe_dma_pinned(folio))
				__set_bit(i, w->pinned);
		}
		folio_unlock(folio);
		folio_put(folio);
		/* Else it was dropped, or migrated: look again. */
	} while (!there);
}

/*
 * Locks the folios of @map that it can get; the others go into w->slow. This and
 * unlocking is what a reset costs beside the page tables: so no search for each
 * page, but a look into the page cache's nodes. A large folio is locked where its
 * own entry is; what stands for its other pages is no pointer, and they wait.
 */
static unsigned int ntvm_watch_trylock(struct ntvm_watch_call *w, pgoff_t base,
				       const unsigned long *map)
{
	XA_STATE(xas, &w->extent->file->f_mapping->i_pages, 0);
	unsigned long word, in_node = 0;
	struct folio **to = w->folio;
	struct xa_node *node = NULL;
	struct folio *folio;
	unsigned int i;
	pgoff_t index;

	xas_lock_irq(&xas);
	for (i = 0; i < NTVM_MAP_WORDS; i++) {
		for (word = map[i]; word; word &= word - 1) {
			index = base + i * BITS_PER_LONG + __ffs(word);
			if (!in_node || (index ^ in_node) > XA_CHUNK_MASK) {
				xas_set(&xas, index);
				folio = xas_load(&xas);
				in_node = 0;
				node = xas.xa_node;
				if (xas_valid(&xas) && node && !node->shift)
					in_node = index & ~(pgoff_t)XA_CHUNK_MASK;
				else if (!folio)
					continue;
			}
			folio = likely(in_node) ?
				xa_entry_locked(xas.xa, node, index & XA_CHUNK_MASK) :
				XA_ZERO_ENTRY;
			/* Nothing, or swapped out: in no page table. */
			if (unlikely(!folio || xa_is_value(folio)))
				continue;
			if (likely(!xa_is_internal(folio) && folio_trylock(folio)))
				*to++ = folio;
			else
				__set_bit(index - base, w->slow);
		}
	}
	xas_unlock_irq(&xas);
	return to - w->folio;
}

/* Steps 1 to 4 for pages of one leaf. */
static void ntvm_watch_reset_leaf(struct ntvm_watch_call *w, const struct ntvm_watch_leaf *leaf)
{
	struct ntvm_extent *x = w->extent;
	struct address_space *mapping = x->file->f_mapping;
	pgoff_t base = ntvm_shadow_pgoff(x, x->start) + leaf->page;
	unsigned long *latch;
	unsigned int nr, i;

	if (unlikely(!xa_empty(&x->latched))) {
		latch = xa_load(&x->latched, leaf->page / NTVM_MAP_PAGES);
		if (latch)
			bitmap_andnot(latch, latch, leaf->map, NTVM_MAP_PAGES);
	}
	down_write(&x->fault_lock);
	ntvm_pages_mark(&x->pages, leaf->page, NTVM_STATE_DIRTY, leaf->map, false);
	up_write(&x->fault_lock);

	if (likely(ntvm_watch_protect_fast(w, base, leaf)))
		return;
	bitmap_zero(w->slow, NTVM_MAP_PAGES);
	bitmap_zero(w->pinned, NTVM_MAP_PAGES);
	nr = ntvm_watch_trylock(w, base, leaf->map);
	if (nr) {
		ntvm_watch_protect(mapping, base, leaf->map);
		if (unlikely(ntvm_mm_has_pinned(x->process->mm))) {
			for (i = 0; i < nr; i++) {
				if (folio_maybe_dma_pinned(w->folio[i]))
					__set_bit(w->folio[i]->index - base, w->pinned);
			}
		}
		for (i = 0; i < nr; i++)
			folio_unlock(w->folio[i]);
	}
	if (unlikely(!bitmap_empty(w->slow, NTVM_MAP_PAGES))) {
		for_each_set_bit(i, w->slow, NTVM_MAP_PAGES)
			ntvm_watch_protect_slow(w, base, i);
	}
	if (unlikely(!bitmap_empty(w->pinned, NTVM_MAP_PAGES))) {
		down_write(&x->fault_lock);
		ntvm_pages_mark(&x->pages, leaf->page, NTVM_STATE_DIRTY, w->pinned, true);
		up_write(&x->fault_lock);
	}
}

static bool ntvm_watch_killed(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}

/* Resets what has been reported. Nothing is to do if the region is gone. */
static int ntvm_watch_reset_reported(struct ntvm_watch_call *w)
{
	struct ntvm_watch_report *report;
	unsigned int i;

	for (report = w->report; report; report = report->next) {
		for (i = 0; i < report->nr; i++) {
			if (ntvm_watch_killed())
				return -EINTR;
			if (ntvm_watch_lock(w))
				return 0;
			ntvm_watch_reset_leaf(w, &report->leaf[i]);
			ntvm_watch_unlock(w);
		}
	}
	return 0;
}

/* Resets all of the range. */
static int ntvm_watch_reset(struct ntvm_watch_call *w, u32 *status)
{
	struct ntvm_watch_leaf leaf;
	unsigned int steps;
	bool found;

	do {
		if (ntvm_watch_killed())
			return -EINTR;
		*status = ntvm_watch_lock(w);
		if (*status)
			return 0;
		found = false;
		down_read(&w->extent->fault_lock);
		for (steps = 0; steps < NTVM_WATCH_STEPS && w->pos <= w->last && !found; steps++)
			found = ntvm_watch_next(w, &leaf);
		up_read(&w->extent->fault_lock);
		if (found)
			ntvm_watch_reset_leaf(w, &leaf);
		ntvm_watch_unlock(w);
	} while (w->pos <= w->last);
	return 0;
}

/* --- the request ----------------------------------------------------------------------------- */

/* Reports, and resets what was reported. */
static int ntvm_watch_get(struct ntvm_watch_call *w, struct ntvm_watch *req, u64 count)
{
	u64 __user *to = u64_to_user_ptr(req->addresses), *begin = to;
	bool reset = req->watch_flags & NTVM_WATCH_FLAG_RESET;
	unsigned int i;
	u64 done;

	do {
		if (ntvm_watch_killed())
			return -EINTR;
		req->status = ntvm_watch_collect(w, count - (to - begin), reset, &i);
		if (req->status)
			return 0;
		req->status = NTVM_STATUS_ACCESS_VIOLATION;
		for (; i < w->report->nr; i++) {
			to = ntvm_watch_list(w, &w->report->leaf[i], to);
			if (!to)
				return 0;
			cond_resched();
		}
		done = to - begin;
	} while (done < count && w->pos <= w->last);
	if (put_user(done, (u64 __user *)u64_to_user_ptr(req->count_ptr)) ||
	    put_user((u32)PAGE_SIZE, (u32 __user *)u64_to_user_ptr(req->granularity_ptr)))
		return 0;
	req->status = NTVM_STATUS_SUCCESS;
	return reset ? ntvm_watch_reset_reported(w) : 0;
}

/* GET's checks of its variables, in NT's order. */
static u32 ntvm_watch_check(const struct ntvm_watch *req, const struct ntvm_space *space,
			    __u64 *count)
{
	u8 __user *granularity = u64_to_user_ptr(req->granularity_ptr);

	if (!ntvm_arg_read(u64_to_user_ptr(req->count_ptr), count) ||
	    !ntvm_buffer_probe(granularity, sizeof(u32)))
		return NTVM_STATUS_ACCESS_VIOLATION;
	if (!*count || *count > space->user_end >> PAGE_SHIFT)
		return NTVM_STATUS_INVALID_PARAMETER_5;
	if (!ntvm_buffer_probe(u64_to_user_ptr(req->addresses), *count * sizeof(u64)))
		return NTVM_STATUS_ACCESS_VIOLATION;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_ioc_watch - NTVM_IOC_WATCH: which pages were written to
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or a negative errno.
 */
int ntvm_ioc_watch(struct ntvm_call *call)
{
	const struct ntvm_space *space = &call->process->space;
	struct ntvm_watch *req = &call->req.watch;
	struct ntvm_watch_report *report;
	struct ntvm_watch_call *w;
	__u64 count = 0;
	int err;

	if (req->reserved || req->op > NTVM_WATCH_RESET)
		return -EINVAL;
	if (req->op == NTVM_WATCH_RESET &&
	    (req->watch_flags || req->addresses || req->count_ptr || req->granularity_ptr))
		return -EINVAL;
	req->status = NTVM_STATUS_INVALID_PARAMETER_1;
	if (req->watch_flags & ~NTVM_WATCH_FLAG_RESET)
		return 0;
	req->status = NTVM_STATUS_INVALID_PARAMETER_2;
	if (req->base >= space->user_end)
		return 0;
	req->status = NTVM_STATUS_INVALID_PARAMETER_3;
	if (req->len > space->user_end - req->base)
		return 0;
	if (req->op == NTVM_WATCH_GET) {
		req->status = ntvm_watch_check(req, space, &count);
		if (req->status)
			return 0;
	}
	req->status = call->handle_status;
	if (req->status)
		return 0;
	w = kmalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w) {
		req->status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
		return 0;
	}
	w->process = call->process;
	w->extent = NULL;
	w->start = req->base;
	w->end = req->base + req->len;
	w->first.next = NULL;
	w->first.nr = 0;
	w->report = &w->first;
	if (req->op == NTVM_WATCH_GET)
		err = ntvm_watch_get(w, req, count);
	else
		err = ntvm_watch_reset(w, &req->status);
	while ((report = w->report) != &w->first) {
		w->report = report->next;
		kfree(report);
	}
	if (w->extent)
		ntvm_extent_put(w->extent);
	kfree(w);
	return err;
}
