// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/ntvm: the device, its files, and the order in which the module comes up
 * and goes down. No lock of its own.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "gcov.h"
#include "ntvm.h"

/* What an open for reading only may do: look. */
#define NTVM_ACCESS_READ	(NTVM_ACCESS_VM_READ | NTVM_ACCESS_QUERY | \
				 NTVM_ACCESS_QUERY_LIMITED)

/* An open file is a handle to the address space that opens it. */
static int ntvm_open(struct inode *inode, struct file *file)
{
	struct ntvm_handle *handle = kzalloc(sizeof(*handle), GFP_KERNEL_ACCOUNT);

	if (!handle)
		return -ENOMEM;
	handle->access = file->f_mode & FMODE_WRITE ? NTVM_ACCESS_ALL : NTVM_ACCESS_READ;
	handle->process = ntvm_process_open();
	if (IS_ERR(handle->process)) {
		int err = PTR_ERR(handle->process);

		kfree(handle);
		return err;
	}
	file->private_data = handle;
	return 0;
}

static int ntvm_release(struct inode *inode, struct file *file)
{
	struct ntvm_handle *handle = file->private_data;

	ntvm_process_put(handle->process);
	kfree(handle);
	return 0;
}

#ifdef CONFIG_PROC_FS
static void ntvm_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct pid_namespace *ns = proc_pid_ns(file_inode(m->file)->i_sb);
	struct ntvm_handle *handle = file->private_data;
	struct ntvm_process *p = handle->process;

	seq_printf(m, "ntvm-pid:\t%d\n", pid_nr_ns(p->pid, ns));
	seq_printf(m, "ntvm-access:\t%#x\n", handle->access);
	seq_printf(m, "ntvm-contract:\t%u\n", READ_ONCE(p->contract));
	seq_printf(m, "ntvm-reserved:\t%lu kB\n", READ_ONCE(p->regions.bytes) >> 10);
	seq_printf(m, "ntvm-committed:\t%lu kB\n",
		   ntvm_ledger_committed(&p->ledger) << (PAGE_SHIFT - 10));
	seq_printf(m, "ntvm-committed-peak:\t%lu kB\n",
		   ntvm_ledger_peak(&p->ledger) << (PAGE_SHIFT - 10));
	seq_printf(m, "ntvm-commit-limit:\t%llu kB\n", READ_ONCE(p->ledger.limit) >> 10);
	seq_printf(m, "ntvm-disposable:\t%lu kB\n",
		   ntvm_reset_pages(p) << (PAGE_SHIFT - 10));
	seq_printf(m, "ntvm-regions:\t%lu\n", READ_ONCE(p->regions.nr));
	seq_printf(m, "ntvm-nodes:\t%ld\n", atomic_long_read(&p->quota->nodes));
}
#endif

const struct file_operations ntvm_fops = {
	.owner = THIS_MODULE,
	.open = ntvm_open,
	.release = ntvm_release,
	.unlocked_ioctl = ntvm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = ntvm_show_fdinfo,
#endif
};

static struct miscdevice ntvm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ntvm",
	.fops = &ntvm_fops,
	.mode = 0666,
};

static int __init ntvm_init(void)
{
	int err;

	err = ntvm_gcov_start();
	if (err)
		return err;
	err = ntvm_pages_module_init();
	if (err)
		goto err_gcov;
	err = ntvm_extent_init();
	if (err)
		goto err_pages;
	err = ntvm_process_init();
	if (err)
		goto err_extent;
	err = ntvm_shadow_init();
	if (err)
		goto err_process;
	err = ntvm_reset_init();
	if (err)
		goto err_shadow;
	err = misc_register(&ntvm_device);
	if (err)
		goto err_reset;
	return 0;

err_reset:
	ntvm_reset_exit();
err_shadow:
	ntvm_shadow_exit();
err_process:
	ntvm_process_exit();
err_extent:
	ntvm_extent_exit();
err_pages:
	ntvm_pages_module_exit();
err_gcov:
	ntvm_gcov_stop();
	return err;
}

static void __exit ntvm_exit(void)
{
	misc_deregister(&ntvm_device);
	/* The shrinker may hold the last reference on a process: before the work queue. */
	ntvm_reset_exit();
	/* The last processes are destroyed by work items: wait for them. */
	ntvm_process_exit();
	ntvm_job_module_exit();
	ntvm_shadow_exit();
	ntvm_extent_exit();
	ntvm_pages_module_exit();
	ntvm_gcov_stop();
}

module_init(ntvm_init);
module_exit(ntvm_exit);

MODULE_DESCRIPTION("NT virtual memory for Linux processes");
MODULE_AUTHOR("The ntvm authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.2.0");
