// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work on another process. vm_mmap() and vm_munmap() act on current->mm: for
 * another process somebody with its mm does the work. The process itself need
 * not run. No lock is held when the work is handed over.
 */
#include <linux/kthread.h>
#include <linux/workqueue.h>

#include "call.h"

struct ntvm_remote {
	struct work_struct work;
	struct ntvm_process *process;
	void (*fn)(void *arg);
	void *arg;
};

static void ntvm_remote_work(struct work_struct *work)
{
	struct ntvm_remote *remote = container_of(work, struct ntvm_remote, work);

	kthread_use_mm(remote->process->mm);
	remote->fn(remote->arg);
	kthread_unuse_mm(remote->process->mm);
}

/**
 * ntvm_foreign_run - run a function with the mm of another process
 * @p: the process; its mm is kept alive by the caller
 * @fn: the function; has @p's mm as current->mm and nothing else of its
 * @arg: passed to @fn
 *
 * Context: process context, sleeps until @fn has returned.
 */
void ntvm_foreign_run(struct ntvm_process *p, void (*fn)(void *arg), void *arg)
{
	struct ntvm_remote remote = { .process = p, .fn = fn, .arg = arg };

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
