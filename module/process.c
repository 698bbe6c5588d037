// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process object: what ntvm knows of one mm. Found by mm in a hash table,
 * whose spinlock is held for look-ups and the last put only.
 *
 * Life: every open file, every VMA and every pending work item has a
 * reference. A VMA that goes away without the module's doing leaves a note
 * (ntvm_process_poke()); the next operation, or a work item, looks at what is
 * still mapped and retires the rest. When the mm itself is gone, the work item
 * gives up everything, even if somebody else still holds a handle.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "ntvm.h"

static DEFINE_HASHTABLE(ntvm_processes, 6);
static DEFINE_SPINLOCK(ntvm_processes_lock);

/* Runs whatever cannot run where it was asked for. */
struct workqueue_struct *ntvm_wq;

/*
 * For work that somebody waits for with locks held, and that takes none of ours.
 * A queue runs so many at a time, and all of ntvm_wq's may wait for those locks.
 */
struct workqueue_struct *ntvm_leaf_wq;

/*
 * For work that a timer starts. While a queue is destroyed it takes new work from
 * its own only: so this one goes when the others are gone, and with them every
 * process and its timer.
 */
struct workqueue_struct *ntvm_timer_wq;

static void ntvm_process_sync_work(struct work_struct *work);
static void ntvm_process_release_work(struct work_struct *work);

static struct ntvm_process *ntvm_process_lookup(struct mm_struct *mm)
{
	struct ntvm_process *p;

	lockdep_assert_held(&ntvm_processes_lock);
	hash_for_each_possible(ntvm_processes, p, node, (unsigned long)mm)
		if (p->mm == mm)
			return ntvm_process_get(p);
	return NULL;
}

static void ntvm_process_destroy(struct ntvm_process *p)
{
	ntvm_job_leave(p);
	ntvm_ledger_exit(&p->ledger);
	xa_destroy(&p->hits);
	xa_destroy(&p->stacks);
	ntvm_quota_put(p->quota);
	put_pid(p->pid);
	mmdrop(p->mm);
	kfree(p);
}

/**
 * ntvm_process_open - the process object of the caller
 *
 * Context: process context, may sleep.
 * Return: the object with a reference, or an ERR_PTR.
 */
struct ntvm_process *ntvm_process_open(void)
{
	struct ntvm_process *p, *other;
	int err;

	if (!current->mm)
		return ERR_PTR(-EINVAL);
	spin_lock(&ntvm_processes_lock);
	p = ntvm_process_lookup(current->mm);
	spin_unlock(&ntvm_processes_lock);
	if (p)
		return p;

	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return ERR_PTR(-ENOMEM);
	p->quota = ntvm_quota_alloc();
	if (!p->quota) {
		kfree(p);
		return ERR_PTR(-ENOMEM);
	}
	err = ntvm_ledger_init(&p->ledger);
	if (err) {
		ntvm_quota_put(p->quota);
		kfree(p);
		return ERR_PTR(err);
	}
	refcount_set(&p->refs, 1);
	p->mm = current->mm;
	mmgrab(p->mm);
	p->pid = get_task_pid(current, PIDTYPE_TGID);
	/* The 64 KiB at either end of user space are never handed out (Windows). */
	p->space.min = NTVM_GRANULARITY;
	p->space.user_end = p->mm->task_size;
	p->space.end = round_down(p->space.user_end, NTVM_GRANULARITY) - NTVM_GRANULARITY;
	init_rwsem(&p->lock);
	ntvm_regions_init(&p->regions);
	xa_init_flags(&p->hits, XA_FLAGS_ACCOUNT);
	xa_init_flags(&p->stacks, XA_FLAGS_ACCOUNT);
	INIT_WORK(&p->sync_work, ntvm_process_sync_work);
	INIT_WORK(&p->release_work, ntvm_process_release_work);
	/* Before anybody can commit. */
	err = ntvm_job_inherit(p);
	if (err) {
		ntvm_process_destroy(p);
		return ERR_PTR(err);
	}

	spin_lock(&ntvm_processes_lock);
	other = ntvm_process_lookup(current->mm);
	if (!other)
		hash_add(ntvm_processes, &p->node, (unsigned long)p->mm);
	spin_unlock(&ntvm_processes_lock);
	if (other) {
		ntvm_process_destroy(p);
		return other;
	}
	return p;
}

/**
 * ntvm_process_get - take a reference
 * @p: a process that the caller has a reference on, or found in the table
 *
 * Context: any.
 * Return: @p.
 */
struct ntvm_process *ntvm_process_get(struct ntvm_process *p)
{
	refcount_inc(&p->refs);
	return p;
}

/*
 * Somebody who uses the address space, or has used it. Under RCU. The one who
 * opened first may be elsewhere by now, as the child of a vfork.
 */
static struct task_struct *ntvm_process_task(struct ntvm_process *p)
{
#ifdef CONFIG_MEMCG
	return rcu_dereference(p->mm->owner);
#else
	return pid_task(p->pid, PIDTYPE_TGID);
#endif
}

/**
 * ntvm_process_cred - by whose credentials work on a process is judged
 * @p: the process
 *
 * By its own: what others have done for it is not more than what it may do
 * itself. An exec gives a task its new address space before the new
 * credentials, so those that are read before it is seen to be in the old one
 * are not those of the new program.
 *
 * Context: any that may take a spinlock.
 * Return: the credentials with a reference, or NULL if nobody is found.
 */
const struct cred *ntvm_process_cred(struct ntvm_process *p)
{
	const struct cred *cred = NULL;
	struct task_struct *task;

	rcu_read_lock();
	task = ntvm_process_task(p);
	if (task) {
		cred = get_task_cred(task);
		task_lock(task);
		if (task->mm != p->mm) {
			put_cred(cred);
			cred = NULL;
		}
		task_unlock(task);
	}
	rcu_read_unlock();
	return cred;
}

/**
 * ntvm_process_traced - does the caller trace a thread of the process?
 * @p: the process
 *
 * Context: any.
 * Return: true if it does.
 */
bool ntvm_process_traced(struct ntvm_process *p)
{
	struct task_struct *task, *t;
	bool traced = false;

	rcu_read_lock();
	task = ntvm_process_task(p);
	if (task)
		for_each_thread(task, t)
			if (ptrace_parent(t) == current && t->mm == p->mm)
				traced = true;
	rcu_read_unlock();
	return traced;
}

/**
 * ntvm_process_pick - the process that can give up most
 * @level: of these pages
 * @scan: the search; a process that it has seen is passed over
 *
 * Context: any that may take a spinlock; from within a reclaim.
 * Return: the process with a reference, or NULL.
 */
struct ntvm_process *ntvm_process_pick(unsigned int level, unsigned int scan)
{
	struct ntvm_process *p, *best = NULL;
	long pages, most = 0;
	int bucket;

	spin_lock(&ntvm_processes_lock);
	hash_for_each(ntvm_processes, bucket, p, node) {
		pages = atomic_long_read(&p->disposable.pages[level]);
		if (pages > most && p->disposable.scan != scan) {
			most = pages;
			best = p;
		}
	}
	if (best) {
		best->disposable.scan = scan;
		ntvm_process_get(best);
	}
	spin_unlock(&ntvm_processes_lock);
	return best;
}

/**
 * ntvm_process_put - drop a reference
 * @p: the process
 *
 * Context: process context; may run under the mmap write lock.
 */
void ntvm_process_put(struct ntvm_process *p)
{
	bool last;

	if (refcount_dec_not_one(&p->refs))
		return;
	/* Under the lock nobody can find it in the table and take a reference. */
	spin_lock(&ntvm_processes_lock);
	last = refcount_dec_and_test(&p->refs);
	if (last)
		hash_del(&p->node);
	spin_unlock(&ntvm_processes_lock);
	if (last)
		queue_work(ntvm_wq, &p->release_work);
}

static void ntvm_process_drop_shadow(struct ntvm_process *p)
{
	struct file *shadow = xchg(&p->shadow, NULL);
	struct file *large = xchg(&p->large, NULL);

	if (shadow)
		fput(shadow);
	if (large)
		fput(large);
}

/*
 * The mm is gone, or nobody is left who could name it: give up everything.
 * VMAs that are just being torn down keep their extents and the shadow file.
 */
static void ntvm_process_give_up(struct ntvm_process *p)
{
	unsigned long locked = 0;
	struct ntvm_region *r;

	down_write(&p->lock);
	while ((r = ntvm_regions_from(&p->regions, 0))) {
		ntvm_regions_remove(&p->regions, r);
		if (r->extent->traits & (NTVM_TRAIT_LOCKED | NTVM_TRAIT_LARGE))
			locked += ntvm_lock_forget(r->extent, 0, ULONG_MAX);
		ntvm_region_free(r);
		cond_resched();
	}
	ntvm_stack_exit(p);
	ntvm_ledger_uncharge(&p->ledger, ntvm_ledger_committed(&p->ledger));
	ntvm_reset_give_up(p);
	ntvm_process_drop_shadow(p);
	p->dead = true;
	up_write(&p->lock);
	if (locked && mmget_not_zero(p->mm)) {
		account_locked_vm(p->mm, locked, false);
		mmput(p->mm);
	}
	ntvm_job_leave(p);
}

static void ntvm_process_release_work(struct work_struct *work)
{
	struct ntvm_process *p = container_of(work, struct ntvm_process, release_work);

	ntvm_process_give_up(p);
	ntvm_process_destroy(p);
}

/*
 * First piece of @r at or behind @pos that no VMA of ours maps: [*start, *end),
 * or *start == *end == r->end.
 */
static void ntvm_process_gap(struct ntvm_process *p, const struct ntvm_region *r,
			     unsigned long pos, unsigned long *start, unsigned long *end)
{
	struct vm_area_struct *vma;
	bool in_gap = false;

	*start = r->end;
	*end = r->end;
	mmap_read_lock(p->mm);
	while (pos < r->end) {
		vma = find_vma(p->mm, pos);
		if (!vma || vma->vm_start >= r->end) {
			if (!in_gap)
				*start = pos;
			break;
		}
		if (ntvm_fault_is_ours(vma) && vma->vm_private_data == r->extent) {
			if (in_gap) {
				*end = max(vma->vm_start, *start);
				break;
			}
			if (vma->vm_start > pos) {
				*start = pos;
				*end = vma->vm_start;
				break;
			}
		} else if (!in_gap) {
			*start = pos;
			in_gap = true;
		}
		pos = vma->vm_end;
		cond_resched();
	}
	mmap_read_unlock(p->mm);
}

/* Somebody unmapped VMAs of ours: their pages are free now. */
static void ntvm_process_sync(struct ntvm_process *p)
{
	struct ntvm_region *r;
	unsigned long pos = 0, start, end;

	lockdep_assert_held_write(&p->lock);
	/* Before the look: what is unmapped from here on is noted again. */
	WRITE_ONCE(p->stale, false);
	smp_mb();	/* the note is taken down before the VMAs are looked at */
	while ((r = ntvm_regions_from(&p->regions, pos))) {
		/* What could not be mapped is no less the program's: later. */
		if (unlikely(!ntvm_layout_mend(p, r))) {
			WRITE_ONCE(p->stale, true);
			pos = r->end;
			continue;
		}
		ntvm_process_gap(p, r, max(pos, r->start), &start, &end);
		pos = end;
		if (start < end && ntvm_release_range(p, r, start, end, false))
			WRITE_ONCE(p->stale, true);	/* no memory: later */
		cond_resched();
	}
}

/**
 * ntvm_process_claim - see that no region is where something has just been mapped
 * @p: the process, its lock held exclusively
 * @start: first byte of what was mapped
 * @end: first byte behind it
 *
 * A region has its address range mapped, except if somebody has unmapped it since
 * the lock was taken. It is retired then.
 *
 * Context: process context, may sleep; the mm is kept alive.
 * Return: false if a region is there still, since there was no memory for that.
 */
bool ntvm_process_claim(struct ntvm_process *p, unsigned long start, unsigned long end)
{
	struct ntvm_region *r = ntvm_regions_from(&p->regions, start);

	if (!r || r->start >= end)
		return true;
	ntvm_process_sync(p);
	r = ntvm_regions_from(&p->regions, start);
	return !r || r->start >= end;
}

static void ntvm_process_sync_now(void *arg)
{
	struct ntvm_process *p = arg;

	if (!ntvm_process_lock(p, true))
		ntvm_process_unlock(p, true);
}

static void ntvm_process_sync_work(struct work_struct *work)
{
	struct ntvm_process *p = container_of(work, struct ntvm_process, sync_work);

	if (mmget_not_zero(p->mm)) {
		/* In its name, since torn regions are mapped. With nobody in it nothing waits. */
		ntvm_worker_run(p, NULL, ntvm_process_sync_now, p);
		mmput(p->mm);
	} else {
		ntvm_process_give_up(p);
	}
	ntvm_process_put(p);
}

/**
 * ntvm_process_poke - a VMA of ours went away without the module's doing
 * @p: the process
 *
 * Context: under the mmap write lock; does not sleep.
 */
void ntvm_process_poke(struct ntvm_process *p)
{
	/*
	 * At the end of a process the pages go with its last VMA, before its
	 * parent hears of it. No operation can be at work: it would have mm_users.
	 */
	if (!atomic_read(&p->mm->mm_users))
		ntvm_process_drop_shadow(p);
	WRITE_ONCE(p->stale, true);
	ntvm_process_get(p);
	if (!queue_work(ntvm_wq, &p->sync_work))
		ntvm_process_put(p);
}

/**
 * ntvm_process_lock_slow - the rest of ntvm_process_lock()
 * @p: the process
 * @exclusive: see there
 *
 * Context: process context, may sleep.
 * Return: as ntvm_process_lock().
 */
u32 ntvm_process_lock_slow(struct ntvm_process *p, bool exclusive)
{
	down_write(&p->lock);
	if (p->dead) {
		up_write(&p->lock);
		return NTVM_STATUS_PROCESS_IS_TERMINATING;
	}
	if (READ_ONCE(p->stale))
		ntvm_process_sync(p);
	if (!exclusive)
		downgrade_write(&p->lock);
	return 0;
}

/**
 * ntvm_process_init - make the work queues
 *
 * Return: 0 or -ENOMEM.
 */
int ntvm_process_init(void)
{
	ntvm_wq = alloc_workqueue("ntvm", WQ_UNBOUND, 0);
	if (!ntvm_wq)
		return -ENOMEM;
	ntvm_leaf_wq = alloc_workqueue("ntvm-leaf", WQ_UNBOUND, 0);
	if (!ntvm_leaf_wq)
		goto err_wq;
	ntvm_timer_wq = alloc_workqueue("ntvm-timer", WQ_UNBOUND, 0);
	if (!ntvm_timer_wq)
		goto err_leaf;
	return 0;

err_leaf:
	destroy_workqueue(ntvm_leaf_wq);
err_wq:
	destroy_workqueue(ntvm_wq);
	return -ENOMEM;
}

/**
 * ntvm_process_exit - wait for the last objects to be destroyed
 */
void ntvm_process_exit(void)
{
	destroy_workqueue(ntvm_wq);
	destroy_workqueue(ntvm_timer_wq);
	destroy_workqueue(ntvm_leaf_wq);
}
