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
 * covers, and decommits that do not let it grow much, touch nothing else but the
 * count of what is committed. All else takes ntvm_ledger.lock, and below it the
 * file's i_rwsem. May not be called under the mmap_lock.
 *
 * Limits are looked at only where the charge grows, ntvm_ledger_grow(). A process
 * with a limit of its own, or in a job, is therefore charged to the page, always:
 * nothing ahead, and what it decommits is given back at once. What is charged
 * then is what is committed, or, for an instant, more: so the limits hold.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "ntvm.h"

#define NTVM_LEDGER_CHUNK	48ul		/* pages charged ahead */
#define NTVM_LEDGER_MOST	64l		/* credit that small decommits build up */
#define NTVM_LEDGER_TRIM	(HZ / 50)	/* an idle credit is returned after this */

struct ntvm_resize {
	struct work_struct work;
	const struct cred *cred;
	struct file *file;
	loff_t size;
	int err;
};

static void ntvm_ledger_resize_work(struct work_struct *work)
{
	struct ntvm_resize *r = container_of(work, struct ntvm_resize, work);
	const struct cred *old = override_creds(r->cred);

	r->err = vfs_truncate(&r->file->f_path, r->size);
	revert_creds(old);
}

/*
 * The caller's RLIMIT_FSIZE speaks of files that it writes. This one it does
 * not write: with a limit set, somebody without one makes the change, but not
 * one for whom the administrator's reserve is there.
 */
static int ntvm_ledger_resize(struct ntvm_ledger *l, unsigned long pages)
{
	struct ntvm_resize r = {
		.cred = current_cred(),
		.file = l->file,
		.size = (loff_t)pages << PAGE_SHIFT,
	};

	lockdep_assert_held(&l->lock);
	if (rlimit(RLIMIT_FSIZE) == RLIM_INFINITY) {
		r.err = vfs_truncate(&l->file->f_path, r.size);
	} else {
		INIT_WORK_ONSTACK(&r.work, ntvm_ledger_resize_work);
		queue_work(ntvm_leaf_wq, &r.work);
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
	if (!free)
		return;
	/* A shrink that fails leaves it, and the next one settles it. */
	if (ntvm_ledger_resize(l, l->charged - free))
		atomic_long_add(free, &l->credit);
	else if (l->job)
		ntvm_job_uncharge(l->job, free);
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
		queue_delayed_work(ntvm_timer_wq, &l->trim, NTVM_LEDGER_TRIM);
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
	l->most = NTVM_LEDGER_MOST;
	INIT_LIST_HEAD(&l->in_job);
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
 * Context: any.
 * Return: pages.
 */
unsigned long ntvm_ledger_committed(const struct ntvm_ledger *l)
{
	return atomic_long_read(&l->committed);
}

/**
 * ntvm_ledger_peak - the most that was ever committed
 * @l: the ledger
 *
 * Context: any.
 * Return: pages.
 */
unsigned long ntvm_ledger_peak(const struct ntvm_ledger *l)
{
	long now = atomic_long_read(&l->committed);

	/* If it was more, then what it was is in the peak. */
	smp_rmb();
	return max(now, atomic_long_read(&l->peak));
}

/*
 * Count pages as committed: the last step of every charge, when their credit is
 * taken. Uncharging begins with the opposite. So the count never exceeds the
 * charge. The peak is brought up to date before the count becomes less.
 */
static inline void ntvm_ledger_count(struct ntvm_ledger *l, unsigned long pages)
{
	atomic_long_add(pages, &l->committed);
}

static inline void ntvm_ledger_discount(struct ntvm_ledger *l, unsigned long pages)
{
	long was = atomic_long_read(&l->committed), peak;

	do {
		peak = atomic_long_read(&l->peak);
		while (was > peak && !atomic_long_try_cmpxchg(&l->peak, &peak, was))
			;
	} while (!atomic_long_try_cmpxchg(&l->committed, &was, was - (long)pages));
}

/* ntvm_ledger_extend() for a process that has a limit, or a job. */
static noinline int ntvm_ledger_extend_strict(struct ntvm_ledger *l, unsigned long pages)
{
	int err;

	if (ntvm_over(l->limit, l->charged + pages))
		return -EDQUOT;
	if (l->job && !ntvm_job_charge(l->job, l->charged, pages))
		return -EDQUOT;
	err = ntvm_ledger_resize(l, l->charged + pages);
	if (l->job)
		ntvm_job_settle(l->job, l->charged, pages, !err);
	return err;
}

/* Charge more, if the limits of the process and of its job let it. */
static inline int ntvm_ledger_extend(struct ntvm_ledger *l, unsigned long pages)
{
	lockdep_assert_held(&l->lock);
	return likely(l->most) ? ntvm_ledger_resize(l, l->charged + pages) :
				 ntvm_ledger_extend_strict(l, pages);
}

/* The credit does not cover @pages: charge the rest, small ones with a chunk ahead. */
static noinline bool ntvm_ledger_grow(struct ntvm_ledger *l, unsigned long pages)
{
	unsigned long ahead, free, need;
	bool ok = true;

	mutex_lock(&l->lock);
	ahead = l->most && pages < NTVM_LEDGER_CHUNK ? NTVM_LEDGER_CHUNK : 0;
	free = atomic_long_xchg(&l->credit, 0);
	if (free < pages) {
		need = pages - free;
		if (ahead && !ntvm_ledger_extend(l, need + ahead))
			free = pages + ahead;
		else if (!ntvm_ledger_extend(l, need))
			free = pages;
		else
			ok = false;
	}
	if (ok) {
		free -= pages;
		ntvm_ledger_count(l, pages);
	}
	atomic_long_add(free, &l->credit);
	if (free)
		ntvm_ledger_trim_later(l);
	mutex_unlock(&l->lock);
	return ok;
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
	ntvm_ledger_count(l, pages);
	return true;
}

/**
 * ntvm_ledger_charge - charge pages that are about to be committed
 * @l: the ledger
 * @pages: how many
 *
 * Context: process context, may sleep; not under the mmap_lock.
 * Return: false if a limit is reached, of the system, the process or its job;
 *	   nothing is charged then.
 */
bool ntvm_ledger_charge(struct ntvm_ledger *l, unsigned long pages)
{
	return ntvm_ledger_charge_atomic(l, pages) || ntvm_ledger_grow(l, pages);
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

	if (atomic_long_read(&l->credit) >= (long)pages || !READ_ONCE(l->most))
		return;
	mutex_lock(&l->lock);
	if (l->most && atomic_long_read(&l->credit) < (long)pages &&
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
	ntvm_ledger_discount(l, pages);
	if (atomic_long_add_return(pages, &l->credit) > READ_ONCE(l->most)) {
		mutex_lock(&l->lock);
		ntvm_ledger_shrink(l);
		mutex_unlock(&l->lock);
	}
	ntvm_ledger_trim_later(l);
}

/* With a limit or a job there is no credit, see above. */
static void ntvm_ledger_strict(struct ntvm_ledger *l)
{
	lockdep_assert_held(&l->lock);
	WRITE_ONCE(l->most, l->limit || l->job ? 0 : NTVM_LEDGER_MOST);
	if (!l->most)
		ntvm_ledger_shrink(l);
}

/**
 * ntvm_ledger_limit - limit what a process may commit
 * @l: the ledger
 * @limit: bytes, 0 for no limit; may be less than what is committed
 *
 * Context: process context, may sleep; not under the mmap_lock.
 */
void ntvm_ledger_limit(struct ntvm_ledger *l, u64 limit)
{
	mutex_lock(&l->lock);
	WRITE_ONCE(l->limit, limit);
	ntvm_ledger_strict(l);
	mutex_unlock(&l->lock);
}

/**
 * ntvm_ledger_join - put a process into a job
 * @l: its ledger
 * @job: the job; gets a reference
 * @checked: only if what is committed fits into the job's limits
 *
 * Context: process context, may sleep; not under the mmap_lock.
 * Return: NTVM_STATUS_SUCCESS, ACCESS_DENIED (it is in a job already) or
 *	   COMMITMENT_LIMIT.
 */
u32 ntvm_ledger_join(struct ntvm_ledger *l, struct ntvm_job_object *job, bool checked)
{
	u32 status = NTVM_STATUS_ACCESS_DENIED;

	mutex_lock(&l->lock);
	if (!l->job) {
		/* The job shall count what is committed and no more. */
		WRITE_ONCE(l->most, 0);
		ntvm_ledger_shrink(l);
		status = NTVM_STATUS_COMMITMENT_LIMIT;
		if (ntvm_job_enter(job, l, checked)) {
			l->job = ntvm_job_get(job);
			status = NTVM_STATUS_SUCCESS;
		}
		ntvm_ledger_strict(l);
	}
	mutex_unlock(&l->lock);
	return status;
}

/**
 * ntvm_ledger_leave - take a process out of its job, if it is in one
 * @l: its ledger
 *
 * Context: process context, may sleep; not under the mmap_lock.
 */
void ntvm_ledger_leave(struct ntvm_ledger *l)
{
	struct ntvm_job_object *job;

	mutex_lock(&l->lock);
	job = l->job;
	if (job) {
		ntvm_job_exit(job, l);
		l->job = NULL;
		ntvm_ledger_strict(l);
	}
	mutex_unlock(&l->lock);
	if (job)
		ntvm_job_put(job);
}
