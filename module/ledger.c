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
 * Takes ntvm_ledger.lock, and below it the file's i_rwsem. May not be called
 * under the mmap_lock.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "ntvm.h"

#define NTVM_LEDGER_CHUNK	32ul		/* pages charged ahead */
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

static void ntvm_ledger_trim(struct work_struct *work)
{
	struct ntvm_ledger *l = container_of(to_delayed_work(work), struct ntvm_ledger, trim);

	mutex_lock(&l->lock);
	if (l->charged > l->committed)
		ntvm_ledger_resize(l, l->committed);
	mutex_unlock(&l->lock);
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
 * ntvm_ledger_charge - charge pages that are about to be committed
 * @l: the ledger
 * @pages: how many
 *
 * Context: process context, may sleep; not under the mmap_lock.
 * Return: false if the system's commit limit is reached; nothing is charged then.
 */
bool ntvm_ledger_charge(struct ntvm_ledger *l, unsigned long pages)
{
	unsigned long want;
	bool ok = true;

	if (!pages)
		return true;
	mutex_lock(&l->lock);
	want = l->committed + pages;
	if (want > l->charged) {
		if (pages < NTVM_LEDGER_CHUNK &&
		    !ntvm_ledger_resize(l, want + NTVM_LEDGER_CHUNK))
			mod_delayed_work(ntvm_wq, &l->trim, NTVM_LEDGER_TRIM);
		else
			ok = !ntvm_ledger_resize(l, want);
	}
	if (ok)
		l->committed = want;
	mutex_unlock(&l->lock);
	return ok;
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
	mutex_lock(&l->lock);
	l->committed -= pages;
	/* A shrink that fails leaves a credit, which the next change settles. */
	if (l->charged - l->committed > 2 * NTVM_LEDGER_CHUNK)
		ntvm_ledger_resize(l, pages < NTVM_LEDGER_CHUNK ?
				   l->committed + NTVM_LEDGER_CHUNK : l->committed);
	if (l->charged > l->committed && !delayed_work_pending(&l->trim))
		mod_delayed_work(ntvm_wq, &l->trim, NTVM_LEDGER_TRIM);
	mutex_unlock(&l->lock);
}
