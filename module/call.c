// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that go another way than most: those on another process, and the
 * variables of 32-bit programs.
 *
 * Work on another process. vm_mmap() and vm_munmap() act on current->mm: for
 * another process somebody with its mm does the work, in its name: no more is
 * allowed than it is itself. The process need not run. No lock is held when the
 * work is handed over.
 */
#include <linux/cred.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "call.h"

struct ntvm_remote {
	struct work_struct work;
	const struct cred *cred;	/* of who asks */
	struct ntvm_process *process;
	void (*fn)(void *arg);
	void *arg;
};

/**
 * ntvm_worker_run - run a function in the name of a process, in a worker
 * @p: the process; its mm is kept alive by the caller
 * @cred: whose credentials to take if nobody uses the address space any more; NULL
 *	  for none
 * @fn: the function; has @p's mm as current->mm, @p's credentials, which
 *	security modules and capability checks see, and @p's memory cgroup
 * @arg: passed to @fn
 *
 * Never with a kernel thread's credentials, which may do everything: without any
 * others the function is not run.
 *
 * Context: a worker, may sleep.
 */
void ntvm_worker_run(struct ntvm_process *p, const struct cred *cred, void (*fn)(void *arg),
		     void *arg)
{
	const struct cred *own = ntvm_process_cred(p), *old_cred;
	struct mem_cgroup *memcg, *old_memcg;

	if (!own && !cred)
		return;
	memcg = get_mem_cgroup_from_mm(p->mm);
	kthread_use_mm(p->mm);
	old_cred = override_creds(own ?: cred);
	old_memcg = set_active_memcg(memcg);
	fn(arg);
	set_active_memcg(old_memcg);
	revert_creds(old_cred);
	kthread_unuse_mm(p->mm);
	mem_cgroup_put(memcg);
	if (own)
		put_cred(own);
}

static void ntvm_remote_work(struct work_struct *work)
{
	struct ntvm_remote *remote = container_of(work, struct ntvm_remote, work);

	ntvm_worker_run(remote->process, remote->cred, remote->fn, remote->arg);
}

/**
 * ntvm_foreign_run - run a function with the mm of another process
 * @p: the process; its mm is kept alive by the caller
 * @fn: the function, run as by ntvm_worker_run()
 * @arg: passed to @fn
 *
 * Context: process context, sleeps until @fn has returned.
 */
void ntvm_foreign_run(struct ntvm_process *p, void (*fn)(void *arg), void *arg)
{
	struct ntvm_remote remote = {
		.cred = current_cred(),
		.process = p,
		.fn = fn,
		.arg = arg,
	};

	INIT_WORK_ONSTACK(&remote.work, ntvm_remote_work);
	queue_work(ntvm_wq, &remote.work);
	flush_work(&remote.work);
	destroy_work_on_stack(&remote.work);
}

struct ntvm_remote_op {
	struct ntvm_op *op;
	u32 (*fn)(struct ntvm_op *op);
	u32 status;
};

static void ntvm_remote_op(void *arg)
{
	struct ntvm_remote_op *remote = arg;

	remote->status = remote->fn(remote->op);
}

/**
 * ntvm_call_run_foreign - run an operation on another process
 * @op: the operation
 * @fn: what does it
 *
 * Context: process context, may sleep.
 * Return: @fn's status.
 */
u32 ntvm_call_run_foreign(struct ntvm_op *op, u32 (*fn)(struct ntvm_op *op))
{
	struct ntvm_remote_op remote = { .op = op, .fn = fn };

	ntvm_foreign_run(op->process, ntvm_remote_op, &remote);
	return remote.status;
}

/**
 * ntvm_args_fetch_narrow - ntvm_args_fetch() for variables of 4 bytes
 * @call: the request
 * @base: in, address of the caller's base; out, its value
 * @len: in, address of the caller's length; out, its value
 *
 * Context: process context, no lock held.
 * Return: false if one of them cannot be read and written.
 */
bool ntvm_args_fetch_narrow(struct ntvm_call *call, __u64 *base, __u64 *len)
{
	u32 __user *base_ptr = u64_to_user_ptr(*base), *len_ptr = u64_to_user_ptr(*len);
	u32 old_base, old_len;

	if (get_user(old_base, base_ptr) || put_user(old_base, base_ptr) ||
	    get_user(old_len, len_ptr) || put_user(old_len, len_ptr))
		return false;
	call->args.base = (u64 __user *)base_ptr;
	call->args.len = (u64 __user *)len_ptr;
	*base = old_base;
	*len = old_len;
	return true;
}

/**
 * ntvm_args_write_narrow - ntvm_args_write() for variables of 4 bytes
 * @call: the request
 * @start: new base
 * @bytes: new length
 *
 * Context: process context, no lock held.
 * Return: NTVM_STATUS_SUCCESS or NTVM_STATUS_ACCESS_VIOLATION.
 */
u32 ntvm_args_write_narrow(struct ntvm_call *call, u64 start, u64 bytes)
{
	if (put_user((u32)start, (u32 __user *)call->args.base) ||
	    put_user(ntvm_narrow(bytes), (u32 __user *)call->args.len))
		return NTVM_STATUS_ACCESS_VIOLATION;
	return NTVM_STATUS_SUCCESS;
}
