// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many operations in one request, each with the status that it would have had
 * by itself. What this saves is the system call and, for single pages of plain
 * extents, the look-ups and locks: the process lock, shared, and the lock of
 * the extent stay held from one entry to the next, never for longer than a
 * batch, and not when somebody waits for the process lock. All else goes the
 * way of the single request, without these locks.
 *
 * Entries are copied in and out by the batch, with no lock held.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"

/* Entries between two looks at user memory. */
#define NTVM_VECTOR_BATCH	128u

/**
 * struct ntvm_vector_run - a batch on its way
 * @process: the target
 * @caller: who asks; a worker that does it for the caller lives on when that is killed
 * @entries: the batch
 * @nr: its entries
 * @stop: end after the first that fails
 * @done: out, entries that were carried out
 * @failed: out, @stop has come true
 * @err: out, -EINTR if the caller was killed meanwhile
 * @locked: the process lock is held, shared
 * @region: while it is, the region of the last entry
 * @extent: while it is, the extent whose lock is held
 * @freed: pages that were decommitted and are not uncharged yet
 */
struct ntvm_vector_run {
	struct ntvm_process *process;
	struct task_struct *caller;
	struct ntvm_vector_entry *entries;
	unsigned int nr;
	bool stop;
	unsigned int done;
	bool failed;
	int err;
	bool locked;
	struct ntvm_region *region;
	struct ntvm_extent *extent;
	unsigned long freed;
};

static void ntvm_vector_leave(struct ntvm_vector_run *run)
{
	if (run->extent)
		mutex_unlock(&run->extent->lock);
	run->extent = NULL;
	run->region = NULL;
	ntvm_ledger_uncharge(&run->process->ledger, run->freed);
	run->freed = 0;
	if (run->locked)
		ntvm_process_unlock(run->process, false);
	run->locked = false;
}

/* Somebody wants the lock, or what it protects must be looked at anew. */
static bool ntvm_vector_wanted(struct ntvm_vector_run *run)
{
	return rwsem_is_contended(&run->process->lock) || need_resched() ||
	       READ_ONCE(run->process->stale);
}

/* The extent of an address, with both locks held; NULL: not one for the short way. */
static struct ntvm_extent *ntvm_vector_enter(struct ntvm_vector_run *run, unsigned long addr)
{
	struct ntvm_region *r;
	struct ntvm_extent *x;

	if (run->locked && unlikely(ntvm_vector_wanted(run))) {
		ntvm_vector_leave(run);
		cond_resched();
	}
	if (!run->locked) {
		if (ntvm_process_lock(run->process, false))
			return NULL;
		run->locked = true;
	}
	r = run->region;
	if (!r || addr < r->start || addr >= r->end) {
		r = ntvm_regions_find(&run->process->regions, addr);
		run->region = r;
		if (!r)
			return NULL;
	}
	x = r->extent;
	if (run->extent != x) {
		if (run->extent)
			mutex_unlock(&run->extent->lock);
		mutex_lock(&x->lock);
		run->extent = x;
	}
	return x->executable || x->traits || x->keep || r->flags ? NULL : x;
}

static void ntvm_vector_set(struct ntvm_extent *x, unsigned long page, u8 *byte, u8 state)
{
	down_write(&x->fault_lock);
	ntvm_pages_store(&x->pages, page, byte, state);
	up_write(&x->fault_lock);
}

/* What the batch itself has decommitted covers a commit first. */
static bool ntvm_vector_charge(struct ntvm_vector_run *run)
{
	if (run->freed) {
		run->freed--;
		return true;
	}
	return ntvm_ledger_charge(&run->process->ledger, 1);
}

/*
 * The short way, for one page that has a byte of its own in a plain extent:
 * what ntvm_change() and ntvm_decommit() would do. False: nothing has been
 * done, the entry is not of that kind.
 */
static bool ntvm_vector_page(struct ntvm_vector_run *run, struct ntvm_op *op, u32 what,
			     u8 state, u32 *status)
{
	unsigned long start = op->range.start, page;
	struct ntvm_extent *x;
	u8 *byte, old;

	x = ntvm_vector_enter(run, start);
	if (!x)
		return false;
	page = ntvm_page(x, start);
	byte = ntvm_pages_byte(&x->pages, page);
	if (!byte)
		return false;
	old = READ_ONCE(*byte);
	*status = NTVM_STATUS_SUCCESS;
	switch (what) {
	case NTVM_VECTOR_DECOMMIT:
		if (!ntvm_state_committed(old))
			return true;
		ntvm_vector_set(x, page, byte, 0);
		ntvm_shadow_punch(x, start, op->range.end);
		run->freed++;
		return true;
	case NTVM_VECTOR_PROTECT:
		if (!ntvm_state_committed(old))
			return false;
		op->old = ntvm_page_protect(run->region, old);
		break;
	default:
		if (!ntvm_state_committed(old) && !ntvm_vector_charge(run)) {
			*status = NTVM_STATUS_COMMITMENT_LIMIT;
			return true;
		}
	}
	ntvm_vector_set(x, page, byte, state);
	if (ntvm_state_narrows(old, state) && ntvm_shadow_resident(x, start, op->range.end))
		ntvm_revoke(x, start, op->range.end);
	return true;
}

static u32 ntvm_vector_op(struct ntvm_vector_run *run, struct ntvm_op *op, u32 what,
			  u32 (*fn)(struct ntvm_op *op))
{
	u8 state = what == NTVM_VECTOR_DECOMMIT ? 0 : ntvm_rules_protect_state(op->protect);
	u32 status;

	op->process = run->process;
	if (op->range.end - op->range.start == PAGE_SIZE &&
	    (state || what == NTVM_VECTOR_DECOMMIT) &&
	    ntvm_state_kind(state) == NTVM_KIND_PLAIN &&
	    ntvm_vector_page(run, op, what, state, &status))
		return status;
	ntvm_vector_leave(run);
	status = fn(op);
	run->err = op->err;
	return status;
}

static u32 ntvm_vector_commit(struct ntvm_vector_run *run, struct ntvm_vector_entry *e)
{
	struct ntvm_op op = { .type = NTVM_ALLOC_COMMIT, .protect = e->protect };
	u32 status;

	status = ntvm_rules_allocate_type(0, op.type, op.protect, true);
	if (status)
		return status;
	/* By itself it would reserve as well: an entry never does. */
	if (!e->base)
		return NTVM_STATUS_INVALID_PARAMETER_2;
	status = ntvm_rules_allocate_range(e->base, e->len, 0, op.type, &run->process->space,
					   &op.range);
	if (status)
		return status;
	status = ntvm_vector_op(run, &op, NTVM_VECTOR_COMMIT, ntvm_allocate);
	if (!status) {
		e->base = op.range.start;
		e->len = op.range.end - op.range.start;
	}
	return status;
}

static u32 ntvm_vector_decommit(struct ntvm_vector_run *run, struct ntvm_vector_entry *e)
{
	u32 contract = READ_ONCE(run->process->contract);
	struct ntvm_op op = { .type = NTVM_FREE_DECOMMIT, .contract = contract };
	u32 status;

	if (e->protect)
		return NTVM_STATUS_INVALID_PARAMETER;
	status = ntvm_rules_free_range(e->base, e->len, op.type, contract, &run->process->space,
				       &op.range);
	if (status)
		return status;
	op.whole = !e->len;
	op.offset = e->base & ~PAGE_MASK;
	status = ntvm_vector_op(run, &op, NTVM_VECTOR_DECOMMIT, ntvm_free);
	if (!status) {
		e->base = op.range.start;
		e->len = op.range.end - op.range.start;
		if (op.whole && contract == NTVM_CONTRACT_WINDOWS)
			e->len = 0;
	}
	return status;
}

static u32 ntvm_vector_protect(struct ntvm_vector_run *run, struct ntvm_vector_entry *e)
{
	struct ntvm_op op = { .protect = e->protect };
	u32 status;

	status = ntvm_rules_protect_word(op.protect);
	if (status)
		return status;
	status = ntvm_rules_protect_range(e->base, e->len, &run->process->space, &op.range);
	if (status)
		return status;
	status = ntvm_vector_op(run, &op, NTVM_VECTOR_PROTECT, ntvm_protect);
	e->out_old = op.old;
	if (!status) {
		e->base = op.range.start;
		e->len = op.range.end - op.range.start;
	}
	return status;
}

static void ntvm_vector_batch(void *arg)
{
	struct ntvm_vector_run *run = arg;
	struct ntvm_vector_entry *e;
	unsigned int i, pages = 0;

	for (i = 0; i < run->nr; i++)
		pages += run->entries[i].op == NTVM_VECTOR_COMMIT &&
			 run->entries[i].len <= PAGE_SIZE;
	ntvm_ledger_stock(&run->process->ledger, pages);

	for (run->done = 0; run->done < run->nr && !run->failed; run->done++) {
		/* Each may be of a large range that must be changed as a whole. */
		if (unlikely(fatal_signal_pending(run->caller))) {
			run->err = -EINTR;
			break;
		}
		e = &run->entries[run->done];
		switch (e->op) {
		case NTVM_VECTOR_COMMIT:
			e->status = ntvm_vector_commit(run, e);
			break;
		case NTVM_VECTOR_DECOMMIT:
			e->status = ntvm_vector_decommit(run, e);
			break;
		case NTVM_VECTOR_PROTECT:
			e->status = ntvm_vector_protect(run, e);
			break;
		default:
			e->status = NTVM_STATUS_INVALID_PARAMETER;
		}
		if (unlikely(run->err))
			break;
		run->failed = run->stop && e->status;
	}
	ntvm_vector_leave(run);
}

/*
 * Copy a batch in, and probe that what comes back can be written. Returns how
 * many entries that holds for: all before the first one that it does not.
 */
static unsigned int ntvm_vector_read(struct ntvm_vector_entry *to,
				     struct ntvm_vector_entry __user *from, unsigned int nr)
{
	unsigned int i = 0;

	if (!user_access_begin(from, nr * sizeof(*from)))
		return 0;
	for (; i < nr; i++) {
		unsafe_get_user(to[i].op, &from[i].op, fault);
		unsafe_get_user(to[i].status, &from[i].status, fault);
		unsafe_get_user(to[i].base, &from[i].base, fault);
		unsafe_get_user(to[i].len, &from[i].len, fault);
		unsafe_get_user(to[i].protect, &from[i].protect, fault);
		unsafe_get_user(to[i].out_old, &from[i].out_old, fault);
		unsafe_put_user(to[i].status, &from[i].status, fault);
		unsafe_put_user(to[i].out_old, &from[i].out_old, fault);
	}
fault:
	user_access_end();
	return i;
}

static bool ntvm_vector_write(struct ntvm_vector_entry __user *to,
			      const struct ntvm_vector_entry *from, unsigned int nr)
{
	unsigned int i;

	if (!user_write_access_begin(to, nr * sizeof(*to)))
		return false;
	for (i = 0; i < nr; i++) {
		unsafe_put_user(from[i].status, &to[i].status, fault);
		unsafe_put_user(from[i].base, &to[i].base, fault);
		unsafe_put_user(from[i].len, &to[i].len, fault);
		unsafe_put_user(from[i].out_old, &to[i].out_old, fault);
	}
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

/* What was not begun says so, as far as it can be written. */
static void ntvm_vector_pending(struct ntvm_vector_entry __user *entries, unsigned int from,
				unsigned int to)
{
	for (; from < to; from++) {
		if (put_user(NTVM_STATUS_PENDING, &entries[from].status))
			break;
		if (!(from % NTVM_VECTOR_BATCH))
			cond_resched();
	}
}

/* All batches. Returns the status of the request. */
static u32 ntvm_vector_all(struct ntvm_call *call, struct ntvm_vector_run *run,
			   struct ntvm_vector_entry __user *entries)
{
	struct ntvm_vector *v = &call->req.vector;
	unsigned int want;

	while (v->out_done < v->count) {
		if (fatal_signal_pending(current))
			return NTVM_STATUS_PENDING;
		want = min(v->count - v->out_done, NTVM_VECTOR_BATCH);
		run->nr = ntvm_vector_read(run->entries, entries + v->out_done, want);
		/* The memory comes before the handle, as in every request. */
		if (!run->nr)
			return NTVM_STATUS_ACCESS_VIOLATION;
		if (call->handle_status)
			return call->handle_status;
		if (call->foreign)
			ntvm_foreign_run(run->process, ntvm_vector_batch, run);
		else
			ntvm_vector_batch(run);
		if (!ntvm_vector_write(entries + v->out_done, run->entries, run->done)) {
			v->out_done += run->done;
			return NTVM_STATUS_ACCESS_VIOLATION;
		}
		v->out_done += run->done;
		if (run->err)
			return NTVM_STATUS_PENDING;
		if (run->failed)
			return NTVM_STATUS_SUCCESS;
		if (run->nr < want)
			return NTVM_STATUS_ACCESS_VIOLATION;
		cond_resched();
	}
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_ioc_vector - NTVM_IOC_VECTOR
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or -EINVAL, -EINTR.
 */
int ntvm_ioc_vector(struct ntvm_call *call)
{
	struct ntvm_vector *v = &call->req.vector;
	struct ntvm_vector_entry __user *entries = u64_to_user_ptr(v->entries);
	struct ntvm_vector_run run = {
		.process = call->process,
		.caller = current,
		.stop = v->vector_flags & NTVM_VECTOR_STOP,
	};

	if (v->reserved)
		return -EINVAL;
	v->out_done = 0;
	v->status = NTVM_STATUS_INVALID_PARAMETER;
	if ((v->vector_flags & ~NTVM_VECTOR_STOP) || v->count > NTVM_VECTOR_MAX)
		return 0;
	v->status = NTVM_STATUS_ACCESS_VIOLATION;
	if (!access_ok(entries, v->count * sizeof(*entries)))
		return 0;
	v->status = call->handle_status;
	if (!v->count)
		return 0;
	v->status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	run.entries = kmalloc_array(min(v->count, NTVM_VECTOR_BATCH), sizeof(*run.entries),
				    GFP_KERNEL_ACCOUNT);
	if (!run.entries)
		return 0;
	v->status = ntvm_vector_all(call, &run, entries);
	kfree(run.entries);
	if (v->out_done && v->out_done < v->count)
		ntvm_vector_pending(entries, v->out_done, v->count);
	/* Killed: the part that is done must be told, nothing done is as never asked. */
	return v->status == NTVM_STATUS_PENDING && !v->out_done ? -EINTR : 0;
}
