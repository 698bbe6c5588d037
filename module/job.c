// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs: processes that share a commit limit. A job lives as long as it has an
 * open file, a process, or a remembered thread group; its sums are kept by the
 * ledgers of its processes, see ledger.c.
 *
 * A process object belongs to an mm, and a program that execs gets another one.
 * A job is a matter of the thread group: so the groups that are in a job are
 * remembered in a table, beyond the life of the process object if they exec, and
 * a process object that is made looks there for its own group and then for its
 * ancestors'. An orphan has lost those: it is in the job if it, or an ancestor
 * that it still has, opened the device before.
 *
 * Locks: ntvm_job_object.lock and the table's, both spinlocks, innermost.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/hashtable.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "call.h"

/**
 * struct ntvm_job_object - processes that share a commit limit
 * @refs: open files, processes, remembered thread groups
 * @lock: protects the rest, innermost
 * @flags: NTVM_JOB_FLAG_*
 * @limit: bytes for all together, 0: no limit
 * @process_limit: bytes for each process, 0: no limit
 * @committed: pages charged by its processes
 * @coming: pages that are just being charged
 * @peak: the most there ever was of @committed
 * @process_peak: the most that one process ever had in it
 * @ledgers: its processes
 */
struct ntvm_job_object {
	refcount_t refs;
	spinlock_t lock;	/* of all that follows */
	u32 flags;
	u64 limit;
	u64 process_limit;
	unsigned long committed;
	unsigned long coming;
	unsigned long peak;
	unsigned long process_peak;
	struct list_head ledgers;
};

/* A thread group that is in a job. */
struct ntvm_member {
	struct hlist_node node;
	struct pid *pid;
	struct ntvm_job_object *job;
};

static DEFINE_HASHTABLE(ntvm_members, 6);
static DEFINE_SPINLOCK(ntvm_members_lock);
static unsigned int ntvm_members_nr;
static unsigned int ntvm_members_sweep = 64;	/* at so many look for dead ones */

/**
 * ntvm_job_get - take a reference
 * @job: a job that the caller has a reference on
 *
 * Context: any.
 * Return: @job.
 */
struct ntvm_job_object *ntvm_job_get(struct ntvm_job_object *job)
{
	refcount_inc(&job->refs);
	return job;
}

/**
 * ntvm_job_put - drop a reference
 * @job: the job
 *
 * Context: any.
 */
void ntvm_job_put(struct ntvm_job_object *job)
{
	if (refcount_dec_and_test(&job->refs))
		kfree(job);
}

/* --- the sums, for the ledgers ------------------------------------------------------- */

static void ntvm_job_peaks(struct ntvm_job_object *job, unsigned long charged)
{
	job->peak = max(job->peak, job->committed);
	job->process_peak = max(job->process_peak, charged);
}

/**
 * ntvm_job_enter - count a process in
 * @job: the job
 * @l: its ledger, its lock held
 * @checked: only if what it has charged fits into the limits
 *
 * Context: process context, does not sleep.
 * Return: false if it does not fit.
 */
bool ntvm_job_enter(struct ntvm_job_object *job, struct ntvm_ledger *l, bool checked)
{
	bool ok;

	spin_lock(&job->lock);
	ok = !checked || (!ntvm_over(job->process_limit, l->charged) &&
			  !ntvm_over(job->limit, job->committed + job->coming + l->charged));
	if (ok) {
		list_add(&l->in_job, &job->ledgers);
		job->committed += l->charged;
		ntvm_job_peaks(job, l->charged);
	}
	spin_unlock(&job->lock);
	return ok;
}

/**
 * ntvm_job_exit - count a process out
 * @job: the job
 * @l: its ledger, its lock held
 *
 * Context: process context, does not sleep.
 */
void ntvm_job_exit(struct ntvm_job_object *job, struct ntvm_ledger *l)
{
	spin_lock(&job->lock);
	list_del_init(&l->in_job);
	job->committed -= l->charged;
	spin_unlock(&job->lock);
}

/**
 * ntvm_job_charge - may a process charge more? If so it is taken into account
 * @job: its job
 * @charged: pages that it has charged
 * @pages: how many more
 *
 * Context: process context, the ledger's lock held; does not sleep.
 * Return: true: ntvm_job_settle() is due.
 */
bool ntvm_job_charge(struct ntvm_job_object *job, unsigned long charged, unsigned long pages)
{
	bool ok;

	spin_lock(&job->lock);
	ok = !ntvm_over(job->process_limit, charged + pages) &&
	     !ntvm_over(job->limit, job->committed + job->coming + pages);
	if (ok)
		job->coming += pages;
	spin_unlock(&job->lock);
	return ok;
}

/**
 * ntvm_job_settle - what became of a charge
 * @job: the job
 * @charged: pages that the process has charged now
 * @pages: as for ntvm_job_charge()
 * @ok: they have been charged
 *
 * Context: process context, the ledger's lock held; does not sleep.
 */
void ntvm_job_settle(struct ntvm_job_object *job, unsigned long charged, unsigned long pages,
		     bool ok)
{
	spin_lock(&job->lock);
	job->coming -= pages;
	if (ok) {
		job->committed += pages;
		ntvm_job_peaks(job, charged);
	}
	spin_unlock(&job->lock);
}

/**
 * ntvm_job_uncharge - a process has given pages back
 * @job: its job
 * @pages: how many
 *
 * Context: process context, the ledger's lock held; does not sleep.
 */
void ntvm_job_uncharge(struct ntvm_job_object *job, unsigned long pages)
{
	spin_lock(&job->lock);
	job->committed -= pages;
	spin_unlock(&job->lock);
}

/* --- thread groups ------------------------------------------------------------------------- */

static struct ntvm_member *ntvm_member_find(struct pid *pid)
{
	struct ntvm_member *m;

	lockdep_assert_held(&ntvm_members_lock);
	hash_for_each_possible(ntvm_members, m, node, (unsigned long)pid)
		if (m->pid == pid)
			return m;
	return NULL;
}

static void ntvm_member_free(struct ntvm_member *m)
{
	ntvm_job_put(m->job);
	put_pid(m->pid);
	kfree(m);
}

static void ntvm_member_drop(struct ntvm_member *m)
{
	lockdep_assert_held(&ntvm_members_lock);
	hash_del(&m->node);
	ntvm_members_nr--;
	ntvm_member_free(m);
}

/* Forget the groups that are gone, or all of them. */
static void ntvm_members_forget(bool all)
{
	struct ntvm_member *m;
	struct hlist_node *next;
	int bucket;

	lockdep_assert_held(&ntvm_members_lock);
	rcu_read_lock();
	hash_for_each_safe(ntvm_members, bucket, next, m, node)
		if (all || !pid_task(m->pid, PIDTYPE_TGID))
			ntvm_member_drop(m);
	rcu_read_unlock();
	ntvm_members_sweep = 2 * ntvm_members_nr + 64;
}

static struct ntvm_member *ntvm_member_alloc(struct ntvm_process *p, struct ntvm_job_object *job)
{
	struct ntvm_member *m = kmalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);

	if (m) {
		m->pid = get_pid(p->pid);
		m->job = ntvm_job_get(job);
	}
	return m;
}

/* Takes @m over; a group that is there already is in the job of @m from now on. */
static void ntvm_member_add(struct ntvm_member *m)
{
	struct ntvm_member *old;

	spin_lock(&ntvm_members_lock);
	old = ntvm_member_find(m->pid);
	if (old)
		ntvm_member_drop(old);
	hash_add(ntvm_members, &m->node, (unsigned long)m->pid);
	if (++ntvm_members_nr > ntvm_members_sweep)
		ntvm_members_forget(false);
	spin_unlock(&ntvm_members_lock);
}

/* Does the thread group go on, with another mm? */
static bool ntvm_member_alive(struct pid *pid)
{
	struct task_struct *task;
	bool alive;

	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_TGID);
	alive = task && atomic_read(&task->signal->live);
	rcu_read_unlock();
	return alive;
}

/* The job that a task of the caller's ancestry puts it into, with a reference. */
static struct ntvm_job_object *ntvm_member_job(struct pid *pid, bool self)
{
	struct ntvm_job_object *job = NULL;
	struct ntvm_member *m;

	spin_lock(&ntvm_members_lock);
	m = ntvm_member_find(pid);
	if (m && (self || (READ_ONCE(m->job->flags) & NTVM_JOB_FLAG_CHILDREN)))
		job = ntvm_job_get(m->job);
	spin_unlock(&ntvm_members_lock);
	return job;
}

/**
 * ntvm_job_inherit - put a new process object into the job it belongs to
 * @p: the object of the caller, nobody else knows it yet
 *
 * That of its thread group if that was in one before an exec; else that of the
 * nearest ancestor whose job takes children. Limits do not matter yet.
 *
 * Context: process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int ntvm_job_inherit(struct ntvm_process *p)
{
	struct task_struct *task = current;
	struct ntvm_job_object *job = NULL;
	struct ntvm_member *m;

	if (likely(!READ_ONCE(ntvm_members_nr)))
		return 0;
	rcu_read_lock();
	while (!(job = ntvm_member_job(task_tgid(task), task == current))) {
		if (task == &init_task)
			break;
		task = rcu_dereference(task->real_parent);
	}
	rcu_read_unlock();
	if (!job)
		return 0;
	m = ntvm_member_alloc(p, job);
	if (m) {
		ntvm_ledger_join(&p->ledger, job, false);
		ntvm_member_add(m);
	}
	ntvm_job_put(job);
	return m ? 0 : -ENOMEM;
}

/**
 * ntvm_job_leave - the process has ended, or its mm is another one
 * @p: the process
 *
 * Context: process context, may sleep.
 */
void ntvm_job_leave(struct ntvm_process *p)
{
	struct ntvm_member *m;

	if (!READ_ONCE(p->ledger.job))
		return;
	ntvm_ledger_leave(&p->ledger);
	if (ntvm_member_alive(p->pid))
		return;
	spin_lock(&ntvm_members_lock);
	m = ntvm_member_find(p->pid);
	if (m)
		ntvm_member_drop(m);
	spin_unlock(&ntvm_members_lock);
}

/**
 * ntvm_job_module_exit - forget all thread groups; no process is left
 */
void ntvm_job_module_exit(void)
{
	spin_lock(&ntvm_members_lock);
	ntvm_members_forget(true);
	spin_unlock(&ntvm_members_lock);
}

/* --- requests ------------------------------------------------------------------------ */

static int ntvm_job_release(struct inode *inode, struct file *file)
{
	spin_lock(&ntvm_members_lock);
	ntvm_members_forget(false);
	spin_unlock(&ntvm_members_lock);
	ntvm_job_put(file->private_data);
	return 0;
}

static const struct file_operations ntvm_job_fops = {
	.owner = THIS_MODULE,
	.release = ntvm_job_release,
	.llseek = noop_llseek,
};

static u32 ntvm_job_create(struct ntvm_call *call)
{
	struct ntvm_job_object *job = kzalloc(sizeof(*job), GFP_KERNEL_ACCOUNT);
	struct file *file;
	int fd;

	if (!job)
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	refcount_set(&job->refs, 1);
	spin_lock_init(&job->lock);
	INIT_LIST_HEAD(&job->ledgers);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto err_put;
	file = anon_inode_getfile("[ntvm-job]", &ntvm_job_fops, job, O_RDWR);
	if (IS_ERR(file))
		goto err_fd;
	call->req.job.job = fd;
	call->new_fd = fd;
	call->new_file = file;
	return NTVM_STATUS_SUCCESS;

err_fd:
	put_unused_fd(fd);
err_put:
	ntvm_job_put(job);
	return NTVM_STATUS_INSUFFICIENT_RESOURCES;
}

static u32 ntvm_job_assign(struct ntvm_job_object *job, struct ntvm_process *p)
{
	struct ntvm_member *m = ntvm_member_alloc(p, job);
	u32 status;

	if (!m)
		return NTVM_STATUS_INSUFFICIENT_RESOURCES;
	status = ntvm_ledger_join(&p->ledger, job, true);
	if (status)
		ntvm_member_free(m);
	else
		ntvm_member_add(m);
	return status;
}

static void ntvm_job_set(struct ntvm_job_object *job, const struct ntvm_job *req)
{
	spin_lock(&job->lock);
	WRITE_ONCE(job->flags, req->job_flags);
	job->limit = req->job_limit;
	job->process_limit = req->process_limit;
	spin_unlock(&job->lock);
}

static void ntvm_job_figures(struct ntvm_job_object *job, struct ntvm_job *req)
{
	struct ntvm_ledger *l;

	req->out_processes = 0;
	spin_lock(&job->lock);
	req->job_flags = job->flags;
	req->job_limit = job->limit;
	req->process_limit = job->process_limit;
	req->out_committed = (u64)job->committed << PAGE_SHIFT;
	req->out_peak = (u64)job->peak << PAGE_SHIFT;
	req->out_process_peak = (u64)job->process_peak << PAGE_SHIFT;
	/* One that has ended may still be there for somebody's handle. */
	list_for_each_entry(l, &job->ledgers, in_job)
		req->out_processes += atomic_read(&container_of(l, struct ntvm_process,
								ledger)->mm->mm_users) > 0;
	spin_unlock(&job->lock);
}

static u32 ntvm_job_run(struct ntvm_call *call, struct ntvm_job_object *job)
{
	struct ntvm_job *req = &call->req.job;

	if (call->handle_status)
		return call->handle_status;
	switch (req->op) {
	case NTVM_JOB_ASSIGN:
		if (!(call->access & NTVM_ACCESS_VM_OPERATION))
			return NTVM_STATUS_ACCESS_DENIED;
		return ntvm_job_assign(job, call->process);
	case NTVM_JOB_SET:
		ntvm_job_set(job, req);
		break;
	default:
		ntvm_job_figures(job, req);
	}
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_ioc_job - NTVM_IOC_JOB
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or -EINVAL.
 */
int ntvm_ioc_job(struct ntvm_call *call)
{
	struct ntvm_job *req = &call->req.job;
	bool blank = !req->job_flags && !req->job_limit && !req->process_limit;
	struct file *file;

	if (req->reserved)
		return -EINVAL;
	req->status = NTVM_STATUS_INVALID_PARAMETER;
	if (req->op > NTVM_JOB_GET)
		return 0;
	if (req->op != NTVM_JOB_ASSIGN && req->handle != NTVM_CURRENT_PROCESS)
		return -EINVAL;
	if ((req->op == NTVM_JOB_CREATE || req->op == NTVM_JOB_ASSIGN) && !blank)
		return -EINVAL;
	if (req->op == NTVM_JOB_SET && (req->job_flags & ~NTVM_JOB_FLAG_CHILDREN))
		return 0;
	if (req->op == NTVM_JOB_CREATE) {
		req->status = call->handle_status ?: ntvm_job_create(call);
		return 0;
	}
	/* The job comes before the process, as in NtAssignProcessToJobObject(). */
	file = fget(req->job);
	if (!file)
		req->status = NTVM_STATUS_INVALID_HANDLE;
	else if (file->f_op != &ntvm_job_fops)
		req->status = NTVM_STATUS_OBJECT_TYPE_MISMATCH;
	else
		req->status = ntvm_job_run(call, file->private_data);
	if (file)
		fput(file);
	return 0;
}
