// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commit ledger: what a process has committed, charged to the kernel's own
 * commit accounting (Committed_AS, vm.overcommit_memory). No function that
 * charges is exported, but tmpfs charges a file by its size: the ledger is an
 * empty unlinked tmpfs file, and its size is the charge.
 *
 * A size change costs some hundred instructions, so small commits are charged
 * a chunk ahead. Large ones are charged to the page, at the limit every one
 * is, and an idle credit is given back after a moment: Committed_AS then says
 * what is committed, exactly.
 *
 * The credit, what is charged and not committed, is an atomic: commits that it
 * covers, and decommits that do not let it grow much, touch nothing else. All
 * else takes ntvm_ledger.lock, and below it the file's i_rwsem. May not be
 * called under the mmap_lock.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "ntvm.h"

#define NTVM_LEDGER_CHUNK	48ul		/* pages charged ahead */
#define NTVM_LEDGER_MOST	64l		/* credit that small decommits build up */
#define NTVM_LEDGER_TRIM	(HZ / 50)	/* an idle credit is returned after this */

struct ntvm_resize {
	struct work_struct work;
	struct file *file;
	loff_t size;
	int err;
};

static void ntvm_ledger_resize_work(struct work_struct *work)
{
	struct ntvm_resize *r = container_of(work, struct ntvm_resize, work);

	r->err = vfs_truncate(&r->file->f_path, r->size);
}

/*
 * The caller's RLIMIT_FSIZE speaks of files that it writes. This one it does
 * not write: with a limit set, somebody without one makes the change.
 */
static int ntvm_ledger_resize(struct ntvm_ledger *l, unsigned long pages)
{
	struct ntvm_resize r = {
		.file = l->file,
		.size = (loff_t)pages << PAGE_SHIFT,
	};

	lockdep_assert_held(&l->lock);
	if (rlimit(RLIMIT_FSIZE) == RLIM_INFINITY) {
		r.err = vfs_truncate(&l->file->f_path, r.size);
	} else {
		INIT_WORK_ONSTACK(&r.work, ntvm_ledger_resize_work);
		queue_work(ntvm_wq, &r.work);
		flush_work(&r.work);
		destroy_work_on_stack(&r.work);
	}
	if (!r.err)
		l->charged = pages;
	return r.err;
}

/* Give the credit back. */
static void ntvm_ledger_shrink(struct ntvm_ledger *l)
{
	unsigned long free;

	lockdep_assert_held(&l->lock);
	free = atomic_long_xchg(&l->credit, 0);
	/* A shrink that fails leaves it, and the next one settles it. */
	if (free && ntvm_ledger_resize(l, l->charged - free))
		atomic_long_add(free, &l->credit);
}

static void ntvm_ledger_trim(struct work_struct *work)
{
	struct ntvm_ledger *l = container_of(to_delayed_work(work), struct ntvm_ledger, trim);

	mutex_lock(&l->lock);
	ntvm_ledger_shrink(l);
	mutex_unlock(&l->lock);
}

static void ntvm_ledger_trim_later(struct ntvm_ledger *l)
{
	if (!delayed_work_pending(&l->trim))
		queue_delayed_work(ntvm_wq, &l->trim, NTVM_LEDGER_TRIM);
}

/**
 * ntvm_ledger_init - make the ledger of a process
 * @l: the ledger
 *
 * Context: process context, may sleep.
 * Return: 0 or a negative errno.
 */
int ntvm_ledger_init(struct ntvm_ledger *l)
{
	l->file = ntvm_tmpfs_file("ntvm-ledger");
	if (IS_ERR(l->file))
		return PTR_ERR(l->file);
	mutex_init(&l->lock);
	INIT_DELAYED_WORK(&l->trim, ntvm_ledger_trim);
	return 0;
}

/**
 * ntvm_ledger_exit - give everything back
 * @l: the ledger; nothing is committed any more
 *
 * Context: process context, may sleep.
 */
void ntvm_ledger_exit(struct ntvm_ledger *l)
{
	cancel_delayed_work_sync(&l->trim);
	fput(l->file);	/* eviction uncharges what is left */
}

/**
 * ntvm_ledger_committed - what is committed
 * @l: the ledger
 *
 * Context: process context, may sleep.
 * Return: pages.
 */
unsigned long ntvm_ledger_committed(struct ntvm_ledger *l)
{
	unsigned long committed;

	mutex_lock(&l->lock);
	committed = l->charged - atomic_long_read(&l->credit);
	mutex_unlock(&l->lock);
	return committed;
}

/* The credit does not cover @pages: charge the rest, small ones with a chunk ahead. */
static noinline bool ntvm_ledger_grow(struct ntvm_ledger *l, unsigned long pages)
{
	unsigned long ahead = pages < NTVM_LEDGER_CHUNK ? NTVM_LEDGER_CHUNK : 0;
	unsigned long free, need;
	bool ok = true;

	mutex_lock(&l->lock);
	free = atomic_long_xchg(&l->credit, 0);
	if (free < pages) {
		need = pages - free;
		if (ahead && !ntvm_ledger_resize(l, l->charged + need + ahead))
			free = pages + ahead;
		else if (!ntvm_ledger_resize(l, l->charged + need))
			free = pages;
		else
			ok = false;
	}
	if (ok)
		free -= pages;
	atomic_long_add(free, &l->credit);
	if (free)
		ntvm_ledger_trim_later(l);
	mutex_unlock(&l->lock);
	return ok;
}

/**
 * ntvm_ledger_charge - charge pages that are about to be committed
 * @l: the ledger
 * @pages: how many
 *
 * Context: process context, may sleep; not under the mmap_lock.
 * Return: false if the system's commit limit is reached; nothing is charged then.
 */
bool ntvm_ledger_charge(struct ntvm_ledger *l, unsigned long pages)
{
	long credit = atomic_long_read(&l->credit);

	do {
		if (credit < (long)pages)
			return ntvm_ledger_grow(l, pages);
	} while (!atomic_long_try_cmpxchg(&l->credit, &credit, credit - (long)pages));
	return true;
}

/**
 * ntvm_ledger_charge_atomic - charge pages if that takes nothing but the credit
 * @l: the ledger
 * @pages: how many
 *
 * For those who may not call ntvm_ledger_charge(). Where it fails, a work item
 * can.
 *
 * Context: any, also under the mmap_lock.
 * Return: false if the credit does not suffice; nothing is charged then.
 */
bool ntvm_ledger_charge_atomic(struct ntvm_ledger *l, unsigned long pages)
{
	long credit = atomic_long_read(&l->credit);

	do {
		if (credit < (long)pages)
			return false;
	} while (!atomic_long_try_cmpxchg(&l->credit, &credit, credit - (long)pages));
	return true;
}

/**
 * ntvm_ledger_stock - have credit for commits that are about to come
 * @l: the ledger
 * @pages: how many pages they may take
 *
 * Saves size changes and promises nothing: each commit is charged by itself.
 *
 * Context: process context, may sleep; not under the mmap_lock.
 */
void ntvm_ledger_stock(struct ntvm_ledger *l, unsigned long pages)
{
	unsigned long more = pages + NTVM_LEDGER_CHUNK;

	if (atomic_long_read(&l->credit) >= (long)pages)
		return;
	mutex_lock(&l->lock);
	if (atomic_long_read(&l->credit) < (long)pages &&
	    !ntvm_ledger_resize(l, l->charged + more)) {
		atomic_long_add(more, &l->credit);
		ntvm_ledger_trim_later(l);
	}
	mutex_unlock(&l->lock);
}

/**
 * ntvm_ledger_uncharge - give back the charge of decommitted pages
 * @l: the ledger
 * @pages: how many
 *
 * Context: process context, may sleep; not under the mmap_lock.
 */
void ntvm_ledger_uncharge(struct ntvm_ledger *l, unsigned long pages)
{
	if (!pages)
		return;
	if (atomic_long_add_return(pages, &l->credit) > NTVM_LEDGER_MOST) {
		mutex_lock(&l->lock);
		ntvm_ledger_shrink(l);
		mutex_unlock(&l->lock);
	}
	ntvm_ledger_trim_later(l);
}
