// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stacks that grow. A thread registers the reservation that its stack lies in.
 * When it hits a guard page in there, it is not told: the page becomes an
 * ordinary one and the page below it is committed and guarded. The lowest page
 * is never committed. When the next guard page would be that one, or one of
 * those above it that the thread wants to be guaranteed, all that is left is
 * committed without a guard and the thread gets STACK_OVERFLOW.
 *
 * A record belongs to its thread: nobody else's faults or requests look at it.
 * It is replaced and removed by requests of the thread itself, and, when the
 * thread is gone, by others that register, under the process lock held
 * exclusively.
 *
 * Growing happens in the fault handler, under the mmap lock, and needs what is
 * taken before the mmap lock otherwise:
 *
 * - ntvm_extent.lock, so that no change of the extent's pages is between its
 *   count of what is committed and the change. It is only tried for; if that
 *   fails the access is repeated after a moment.
 * - Commit charge. The ledger's credit is an atomic; when it does not suffice
 *   a work item charges what is needed, and the access is repeated.
 *
 * Both waits are bounded by time, not by events, since whoever has the lock
 * may be waiting for the mmap lock.
 */
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"
#include "compat.h"

/* How long a fault waits for the charge before it has the access repeated. */
#define NTVM_STACK_WAIT		(HZ / 50 + 1)
/* Records there may be before those of threads that are gone are looked for. */
#define NTVM_STACK_PRUNE	16u

enum ntvm_stack_charge {
	NTVM_STACK_IDLE,	/* nobody charges for the stack */
	NTVM_STACK_ASKED,	/* the work item does */
	NTVM_STACK_DENIED,	/* it could not */
};

/**
 * struct ntvm_thread_stack - the stack of a thread
 * @process: whose thread
 * @pid: the thread; a reference, so that no other thread is taken for it
 * @top: first byte above the stack
 * @bottom: first byte of what may become stack
 * @limit: lowest page that is in use
 * @guarantee: bytes that stay usable after an overflow
 * @granted: pages that are charged and not committed (the work's while ASKED)
 * @want: pages that the work item shall charge
 * @charge: enum ntvm_stack_charge
 * @cred: who wants it, while ASKED
 * @done: the work item is
 * @work: charges; holds a reference on the process
 */
struct ntvm_thread_stack {
	struct ntvm_process *process;
	struct pid *pid;
	unsigned long top;
	unsigned long bottom;
	unsigned long limit;
	u32 guarantee;
	unsigned long granted;
	unsigned long want;
	int charge;
	const struct cred *cred;
	struct completion done;
	struct work_struct work;
};

static void ntvm_stack_work(struct work_struct *work)
{
	struct ntvm_thread_stack *s = container_of(work, struct ntvm_thread_stack, work);
	const struct cred *cred = s->cred, *old = override_creds(cred);
	struct ntvm_process *p = s->process;
	bool ok = ntvm_ledger_charge(&p->ledger, s->want);

	revert_creds(old);
	put_cred(cred);
	if (ok)
		s->granted += s->want;
	/* Pairs with ntvm_stack_charge(). */
	smp_store_release(&s->charge, ok ? NTVM_STACK_IDLE : NTVM_STACK_DENIED);
	complete(&s->done);
	ntvm_process_put(p);
}

/* Let go of a record that no fault can find any more. */
static void ntvm_stack_free(struct ntvm_thread_stack *s)
{
	if (cancel_work_sync(&s->work)) {
		put_cred(s->cred);
		ntvm_process_put(s->process);
	}
	ntvm_ledger_uncharge(&s->process->ledger, s->granted);
	put_pid(s->pid);
	kfree(s);
}

static struct ntvm_thread_stack *ntvm_stack_alloc(struct ntvm_process *p,
						  const struct ntvm_stack *req)
{
	struct ntvm_thread_stack *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);

	if (!s)
		return NULL;
	s->process = p;
	s->pid = get_task_pid(current, PIDTYPE_PID);
	s->top = req->top;
	s->bottom = req->bottom;
	s->limit = req->limit;
	s->guarantee = req->guarantee;
	init_completion(&s->done);
	INIT_WORK(&s->work, ntvm_stack_work);
	return s;
}

/* The record of the calling thread; of a thread that had its number before: none. */
static struct ntvm_thread_stack *ntvm_stack_find(struct ntvm_process *p)
{
	struct ntvm_thread_stack *s = xa_load(&p->stacks, task_pid_nr(current));

	return s && s->pid == task_pid(current) ? s : NULL;
}

/* --- the fault ---------------------------------------------------------------------- */

/*
 * Have the access repeated, after a moment or when the charge is there. Without
 * the mmap lock if the core lets go of it: get_user_pages() repeats the access
 * under the same hold of the lock, and who has what is waited for may be waiting
 * for the lock. @s is the calling thread's and stays. The VMA does not.
 */
static vm_fault_t ntvm_stack_again(struct vm_fault *vmf, struct ntvm_thread_stack *s, bool charge)
{
	const unsigned int how = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT |
				 NTVM_FAULT_FLAG_VMA_LOCK;
	/* ->page_mkwrite has a page, and cannot let go of the lock. */
	bool drop = !vmf->page && (vmf->flags & how) == FAULT_FLAG_ALLOW_RETRY;

	if (drop)
		mmap_read_unlock(vmf->vma->vm_mm);
	if (charge)
		wait_for_completion_killable_timeout(&s->done, NTVM_STACK_WAIT);
	else
		usleep_range(20, 100);
	if (drop)
		return VM_FAULT_RETRY;
	return fatal_signal_pending(current) ? VM_FAULT_SIGSEGV : VM_FAULT_NOPAGE;
}

/*
 * Have @pages in s->granted. 0: done. -EAGAIN: asked for, wait. -ENOSPC: the
 * commit limit is reached.
 */
static int ntvm_stack_charge(struct ntvm_thread_stack *s, unsigned long pages)
{
	/* Pairs with ntvm_stack_work(). */
	switch (smp_load_acquire(&s->charge)) {
	case NTVM_STACK_ASKED:
		return -EAGAIN;
	case NTVM_STACK_DENIED:
		s->charge = NTVM_STACK_IDLE;
		return s->granted < pages ? -ENOSPC : 0;
	}
	if (s->granted >= pages)
		return 0;
	if (ntvm_ledger_charge_atomic(&s->process->ledger, pages - s->granted)) {
		s->granted = pages;
		return 0;
	}
	s->want = pages - s->granted;
	s->charge = NTVM_STACK_ASKED;
	reinit_completion(&s->done);
	s->cred = get_current_cred();	/* who may have what root keeps for itself */
	ntvm_process_get(s->process);
	queue_work(ntvm_wq, &s->work);
	return -EAGAIN;
}

/* What a hit does: commits [first, last], if first <= last, above the lowest page. */
struct ntvm_stack_plan {
	unsigned long hit;
	unsigned long first;
	unsigned long last;
	bool overflow;
	bool revoke;
};

static void ntvm_stack_plan(struct ntvm_stack_plan *plan, const struct vm_fault *vmf,
			    const struct ntvm_extent *x, const struct ntvm_thread_stack *s)
{
	/* What is not in the VMA is of another kind, or not this extent's any more. */
	unsigned long bottom = ntvm_page(x, max(s->bottom, vmf->vma->vm_start));
	unsigned long zone = DIV_ROUND_UP(s->guarantee, PAGE_SIZE);

	plan->hit = ntvm_page(x, vmf->address);
	plan->overflow = plan->hit <= bottom + zone + 1;
	plan->first = plan->overflow ? bottom + 1 : plan->hit - 1;
	plan->last = plan->hit ? plan->hit - 1 : 0;
	plan->revoke = false;
	if (!plan->hit)
		plan->first = 1;
}

static bool ntvm_stack_commits(const struct ntvm_stack_plan *plan)
{
	return plan->first <= plan->last;
}

/* Under fault_lock, exclusively, and the extent's lock; @base: without the guard. */
static void ntvm_stack_apply(struct ntvm_stack_plan *plan, struct ntvm_extent *x, u8 base,
			     struct ntvm_stash *stash)
{
	const u8 keep = (u8)~NTVM_STATE_NT;	/* not 0: nothing folds, see pages.c */
	unsigned long page, last;
	u8 old;

	ntvm_pages_set(&x->pages, plan->hit, plan->hit, (u8)~NTVM_STATE_GUARD, 0, stash);
	if (!ntvm_stack_commits(plan))
		return;
	for (page = plan->first; page <= plan->last; page = last + 1) {
		/* What is guaranteed may be 4 GiB of single pages. */
		cond_resched();
		old = ntvm_pages_run_long(&x->pages, page, plan->last, &last);
		if (!ntvm_state_committed(old)) {
			old = base | (plan->overflow ? 0 : NTVM_STATE_GUARD);
		} else if (plan->overflow || (old & NTVM_STATE_PROT) == NTVM_PROT_NA) {
			continue;
		} else {
			plan->revoke = ntvm_state_readable(old);
			old = (old & NTVM_STATE_PROT) | NTVM_STATE_GUARD;
		}
		ntvm_pages_set(&x->pages, page, last, keep, old, stash);
	}
}

/* The extent's lock is held. Returns what ntvm_stack_fault() does. */
static vm_fault_t ntvm_stack_grow(struct vm_fault *vmf, struct ntvm_extent *x,
				  struct ntvm_thread_stack *s)
{
	struct ntvm_stash stash = NTVM_STASH_INIT;
	struct ntvm_stack_plan plan;
	vm_fault_t ret = VM_FAULT_OOM;
	unsigned long charge = 0;
	unsigned int need = 0;
	struct ntvm_hit hit;
	u8 state;
	int err;

	ntvm_stack_plan(&plan, vmf, x, s);
	if (ntvm_stack_commits(&plan)) {
		/* A release elsewhere in the extent may free nodes under its feet. */
		down_read(&x->fault_lock);
		charge = plan.last - plan.first + 1 -
			 ntvm_pages_committed(&x->pages, plan.first, plan.last);
		up_read(&x->fault_lock);
	}
	err = ntvm_stack_charge(s, charge);
	if (err == -EAGAIN)
		return VM_FAULT_RETRY;
	if (err) {
		/* Nothing can be committed: the page that was hit is the last. */
		plan.overflow = true;
		plan.first = plan.last + 1;
		charge = 0;
	}
	if (plan.overflow && ntvm_hit_begin(&hit, x->process, vmf->flags, vmf->address,
					    NTVM_FAULT_STACK))
		return ret;
	while (!(err = ntvm_stash_fill(&x->pages, &stash, need))) {
		down_write(&x->fault_lock);
		need = ntvm_pages_missing(&x->pages, plan.hit, plan.hit);
		if (ntvm_stack_commits(&plan))
			need += ntvm_pages_missing(&x->pages, plan.first, plan.last);
		state = ntvm_pages_get(&x->pages, plan.hit);
		if (!(state & NTVM_STATE_GUARD)) {
			/* Another thread's hit; only then is the lock not needed. */
			ret = VM_FAULT_NOPAGE;
			plan.revoke = false;
			up_write(&x->fault_lock);
			break;
		}
		if (need <= stash.nr) {
			ntvm_stack_apply(&plan, x, state & NTVM_STATE_PROT, &stash);
			s->granted -= charge;
			s->limit = vmf->address & PAGE_MASK;
			ret = plan.overflow ? VM_FAULT_SIGSEGV : VM_FAULT_NOPAGE;
		}
		up_write(&x->fault_lock);
		if (ret != VM_FAULT_OOM)
			break;
	}
	if (err)
		ret = ntvm_fault_short(err);
	ntvm_stash_drop(&stash);
	if (plan.overflow)
		ntvm_hit_end(&hit, ret == VM_FAULT_SIGSEGV);
	/* The new guard was an ordinary page, and may be mapped. */
	if (plan.revoke)
		ntvm_revoke(x, x->start + (plan.first << PAGE_SHIFT),
			    x->start + ((plan.last + 1) << PAGE_SHIFT));
	return ret;
}

/**
 * ntvm_stack_fault - a guard page was hit while stacks are registered
 * @vmf: the fault, not a remote one
 * @x: the extent
 *
 * Context: under the mmap lock or a VMA lock; may sleep.
 * Return: 0 if it is not in the stack of the calling thread;
 *	   VM_FAULT_NOPAGE to have the access repeated; VM_FAULT_RETRY likewise,
 *	   without the mmap lock and the VMA; VM_FAULT_SIGSEGV if the
 *	   stack is used up, with the hit on record; VM_FAULT_OOM, VM_FAULT_SIGBUS.
 */
vm_fault_t ntvm_stack_fault(struct vm_fault *vmf, struct ntvm_extent *x)
{
	struct ntvm_thread_stack *s = ntvm_stack_find(x->process);
	vm_fault_t ret;

	if (!s || vmf->address < s->bottom || vmf->address >= s->top ||
	    (x->traits & NTVM_TRAIT_LARGE))
		return 0;
	if (!mutex_trylock(&x->lock))
		return ntvm_stack_again(vmf, s, false);
	ret = ntvm_stack_grow(vmf, x, s);
	mutex_unlock(&x->lock);
	return ret == VM_FAULT_RETRY ? ntvm_stack_again(vmf, s, true) : ret;
}

/* --- the request ---------------------------------------------------------------------- */

/* Records of threads that are gone. The process lock is held exclusively. */
static void ntvm_stack_prune(struct ntvm_process *p)
{
	struct ntvm_thread_stack *s;
	unsigned long tid;
	bool gone;

	lockdep_assert_held_write(&p->lock);
	if (p->nr_stacks < p->prune_stacks)
		return;
	xa_for_each(&p->stacks, tid, s) {
		rcu_read_lock();
		gone = !pid_task(s->pid, PIDTYPE_PID);
		rcu_read_unlock();
		if (gone) {
			xa_erase(&p->stacks, tid);
			ntvm_stack_free(s);
			p->nr_stacks--;
		}
		cond_resched();
	}
	p->prune_stacks = 2 * p->nr_stacks + NTVM_STACK_PRUNE;
}

/**
 * ntvm_stack_exit - forget all stacks of a process
 * @p: the process, its lock held exclusively; none of its threads runs
 *
 * Context: process context, may sleep.
 */
void ntvm_stack_exit(struct ntvm_process *p)
{
	struct ntvm_thread_stack *s;
	unsigned long tid;

	xa_for_each(&p->stacks, tid, s) {
		xa_erase(&p->stacks, tid);
		ntvm_stack_free(s);
		cond_resched();
	}
	p->nr_stacks = 0;
}

static u32 ntvm_stack_remove(struct ntvm_process *p)
{
	struct ntvm_thread_stack *s;
	u32 status = ntvm_process_lock(p, true);

	if (status)
		return status;
	s = xa_erase(&p->stacks, task_pid_nr(current));
	if (s) {
		ntvm_stack_free(s);
		p->nr_stacks--;
	}
	ntvm_process_unlock(p, true);
	return status;
}

static u32 ntvm_stack_set(struct ntvm_process *p, const struct ntvm_stack *req)
{
	struct ntvm_thread_stack *s = ntvm_stack_alloc(p, req), *old;
	const struct ntvm_region *r;
	u32 status;

	if (!s)
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	status = ntvm_process_lock(p, true);
	if (status)
		goto out;
	ntvm_stack_prune(p);
	status = NTVM_STATUS_INVALID_PARAMETER;
	r = ntvm_regions_find(&p->regions, s->bottom);
	if (!r || s->top > r->end || (r->flags & NTVM_REGION_PLACEHOLDER))
		goto unlock;
	old = xa_store(&p->stacks, task_pid_nr(current), s, GFP_KERNEL_ACCOUNT);
	status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	if (xa_is_err(old))
		goto unlock;
	status = NTVM_STATUS_SUCCESS;
	s = old;	/* what is to be freed */
	if (!old)
		p->nr_stacks++;
unlock:
	ntvm_process_unlock(p, true);
out:
	if (s)
		ntvm_stack_free(s);
	return status;
}

/* What can be said of the values alone. */
static u32 ntvm_stack_check(const struct ntvm_stack *req)
{
	if (!req->top)
		return req->bottom || req->limit || req->guarantee ?
		       NTVM_STATUS_INVALID_PARAMETER : NTVM_STATUS_SUCCESS;
	if (!PAGE_ALIGNED(req->top) || !PAGE_ALIGNED(req->bottom) ||
	    !PAGE_ALIGNED(req->limit) || req->top <= req->bottom ||
	    req->limit < req->bottom || req->limit > req->top ||
	    req->guarantee > req->top - req->bottom)
		return NTVM_STATUS_INVALID_PARAMETER;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_ioc_stack - NTVM_IOC_STACK: the caller's own stack
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or a negative errno.
 */
int ntvm_ioc_stack(struct ntvm_call *call)
{
	struct ntvm_stack *req = &call->req.stack;
	const struct ntvm_thread_stack *s;

	if (req->handle != NTVM_CURRENT_PROCESS || req->op > NTVM_STACK_GET)
		return -EINVAL;
	req->status = req->op == NTVM_STACK_SET ? ntvm_stack_check(req) : NTVM_STATUS_SUCCESS;
	if (!req->status)
		req->status = call->handle_status;
	if (req->status)
		return 0;
	if (req->op == NTVM_STACK_SET) {
		req->status = req->top ? ntvm_stack_set(call->process, req) :
					 ntvm_stack_remove(call->process);
		return 0;
	}
	s = ntvm_stack_find(call->process);
	req->guarantee = s ? s->guarantee : 0;
	req->top = s ? s->top : 0;
	req->bottom = s ? s->bottom : 0;
	req->limit = s ? s->limit : 0;
	return 0;
}
