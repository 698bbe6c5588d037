// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guard hits: who is told of them, and how a hit made by a system call sticks.
 *
 * The last hit of each thread is on record for TAKE_FAULT, until the thread
 * asks or has another access refused.
 *
 * A hit in a system call fails the call. But the kernel's routines that copy
 * from and to user memory try again after a fault, byte by byte or after
 * touching the page by hand, and the guard is gone by then: so a refusal
 * remembers thread and page, and until the thread is back in user mode its
 * accesses there fail. Anybody else's proceed.
 *
 * The end of the system call: the refusal is the private data of an open file
 * that is put at once. The last put of a file by a thread runs, by way of task
 * work, when the thread returns to user mode, and the file pins the module.
 * ntvm_process.refusals is not 0 while there is one, which is all that other
 * faults look at.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/hashtable.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "ntvm.h"

/**
 * struct ntvm_refusal - a page that a thread may not touch in this system call
 * @node: in the table of refusals, or unhashed (under its lock)
 * @process: whose page; a reference
 * @task: who; only compared, and only while it is in the table
 * @page: page number of the address
 */
struct ntvm_refusal {
	struct hlist_node node;
	struct ntvm_process *process;
	struct task_struct *task;
	unsigned long page;
};

static DEFINE_HASHTABLE(ntvm_refusals, 8);
static DEFINE_SPINLOCK(ntvm_refusals_lock);

static unsigned long ntvm_refusal_key(unsigned long page)
{
	return (unsigned long)current ^ page;
}

static void ntvm_refusal_end(struct ntvm_refusal *r)
{
	spin_lock(&ntvm_refusals_lock);
	if (!hlist_unhashed(&r->node)) {
		hash_del(&r->node);
		atomic_dec(&r->process->refusals);
	}
	spin_unlock(&ntvm_refusals_lock);
}

static int ntvm_refusal_release(struct inode *inode, struct file *file)
{
	struct ntvm_refusal *r = file->private_data;

	ntvm_refusal_end(r);
	ntvm_process_put(r->process);
	kfree(r);
	return 0;
}

static const struct file_operations ntvm_refusal_fops = {
	.owner = THIS_MODULE,
	.release = ntvm_refusal_release,
};

static struct file *ntvm_refusal_begin(struct ntvm_process *p, unsigned long page)
{
	struct ntvm_refusal *r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	struct file *file;

	if (!r)
		return NULL;
	r->process = ntvm_process_get(p);
	r->task = current;
	r->page = page;
	file = anon_inode_getfile("[ntvm-hit]", &ntvm_refusal_fops, r, O_RDONLY);
	if (IS_ERR(file)) {
		ntvm_process_put(p);
		kfree(r);
		return NULL;
	}
	spin_lock(&ntvm_refusals_lock);
	hash_add(ntvm_refusals, &r->node, ntvm_refusal_key(page));
	atomic_inc(&p->refusals);
	spin_unlock(&ntvm_refusals_lock);
	return file;
}

/* Is the access one that the thread makes itself, inside the kernel? */
static bool ntvm_hit_by_kernel(unsigned int flags)
{
	return !(flags & (FAULT_FLAG_USER | FAULT_FLAG_REMOTE)) &&
	       !(current->flags & PF_KTHREAD);
}

/**
 * ntvm_hit_refused - must this access fail because an earlier one has?
 * @p: the process, whose @refusals is not 0
 * @flags: FAULT_FLAG_* of the fault
 * @addr: where
 *
 * Context: process context.
 */
bool ntvm_hit_refused(struct ntvm_process *p, unsigned int flags, unsigned long addr)
{
	unsigned long page = addr >> PAGE_SHIFT;
	struct ntvm_refusal *r;
	bool found = false;

	if (!ntvm_hit_by_kernel(flags))
		return false;
	spin_lock(&ntvm_refusals_lock);
	hash_for_each_possible(ntvm_refusals, r, node, ntvm_refusal_key(page)) {
		if (r->task == current && r->page == page && r->process == p) {
			found = true;
			break;
		}
	}
	spin_unlock(&ntvm_refusals_lock);
	return found;
}

/**
 * ntvm_hit_begin - prepare all that a hit needs, before it is made
 * @hit: filled in
 * @p: the process
 * @flags: FAULT_FLAG_* of the fault
 * @addr: where
 * @kind: NTVM_FAULT_*
 *
 * Context: process context, may sleep; under the mmap lock.
 * Return: 0 and ntvm_hit_end() is due, or -ENOMEM.
 */
int ntvm_hit_begin(struct ntvm_hit *hit, struct ntvm_process *p, unsigned int flags,
		   unsigned long addr, u32 kind)
{
	unsigned long page = addr >> PAGE_SHIFT;

	hit->process = p;
	hit->file = NULL;
	if (current->flags & PF_KTHREAD)
		return 0;
	if (ntvm_hit_by_kernel(flags)) {
		hit->file = ntvm_refusal_begin(p, page);
		if (!hit->file)
			return -ENOMEM;
	}
	if (xa_err(xa_store(&p->hits, task_pid_nr(current),
			    xa_mk_value(page << NTVM_HIT_KIND_BITS | kind), GFP_KERNEL))) {
		ntvm_hit_end(hit, false);
		return -ENOMEM;
	}
	return 0;
}

/**
 * ntvm_hit_end - the hit was made, or it was somebody else's
 * @hit: begun
 * @made: this thread is told
 *
 * Context: process context, may sleep; under the mmap lock.
 */
void ntvm_hit_end(struct ntvm_hit *hit, bool made)
{
	if (!made) {
		ntvm_hit_forget(hit->process);
		if (hit->file)
			ntvm_refusal_end(hit->file->private_data);
	}
	if (hit->file)
		fput(hit->file);
}

/**
 * ntvm_hit_forget - the thread's last access was refused for another reason
 * @p: the process
 *
 * Context: process context.
 */
void ntvm_hit_forget(struct ntvm_process *p)
{
	if (!xa_empty(&p->hits) && !(current->flags & PF_KTHREAD))
		xa_erase(&p->hits, task_pid_nr(current));
}
