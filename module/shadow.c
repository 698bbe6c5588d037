// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shadow file: an unlinked sparse tmpfs file per process whose offsets are
 * its virtual addresses. It holds the contents of NT memory; page tables only
 * cache it. Needs no lock but what each function says.
 *
 * The file is shifted by one page against the address space. A huge page of
 * the file is therefore never congruent with a huge page of addresses, so that
 * the core cannot map one with a PMD over pages that are not committed, even
 * if an administrator forces huge pages onto tmpfs.
 *
 * Size and commit charge: tmpfs charges a file by its size when it is made
 * without VM_NORESERVE. The shadow is made with size 0 and its i_size is then
 * stored by hand, so that nothing is charged for it, neither now nor when
 * pages come; the ledger alone charges. When the last user is gone, i_size is
 * stored back as 0, because eviction uncharges by size.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>

#include "compat.h"
#include "ntvm.h"

static struct vfsmount *ntvm_mnt;
static struct vfsmount *ntvm_mnt_large;	/* NULL: there are no large pages */
static const struct file_operations *ntvm_shmem_fops;
static struct file_operations ntvm_shadow_fops;

/* ENOSPC is what tmpfs says when there is no memory for an inode: our mounts have no limits. */
static int ntvm_tmpfs_errno(long err)
{
	return err == -ENOSPC ? -ENOMEM : err;
}

static struct file *ntvm_tmpfs_file_on(struct vfsmount *mnt, const char *name)
{
	struct file *file = ntvm_shmem_file(mnt, name);

	if (IS_ERR(file))
		return ERR_PTR(ntvm_tmpfs_errno(PTR_ERR(file)));
	file_inode(file)->i_flags |= S_PRIVATE;
	return file;
}

/**
 * ntvm_tmpfs_file - make an unlinked file on the module's own mount
 * @name: shown in /proc/PID/maps
 *
 * The inode is private: security modules judge a mapping of it as they judge
 * anonymous memory, and the module's own size changes not at all.
 *
 * Context: process context, may sleep.
 * Return: the file, size 0, or an ERR_PTR.
 */
struct file *ntvm_tmpfs_file(const char *name)
{
	return ntvm_tmpfs_file_on(ntvm_mnt, name);
}

static void ntvm_shadow_size(struct inode *inode, loff_t size)
{
	inode_lock(inode);
	i_size_write(inode, size);
	inode_unlock(inode);
}

/*
 * The last reference is gone: no mapping is left. Runs before the inode is
 * evicted.
 */
static int ntvm_shadow_release(struct inode *inode, struct file *file)
{
	ntvm_shadow_size(inode, 0);
	return 0;
}

/* Runs under the mmap write lock, in the task that maps. */
static int ntvm_shadow_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ntvm_process *p = file->private_data;
	unsigned long flags = VM_DONTCOPY | VM_DONTEXPAND;
	const struct vm_operations_struct *ops;

	if (!ntvm_layout_ours(p))
		return -EPERM;
	if (!ntvm_fault_ready()) {
		ops = ntvm_shmem_vm_ops(ntvm_shmem_fops, file, vma);
		if (!ops)
			return -ENOMEM;
		ntvm_fault_init(ops);
	}
	vma->vm_pgoff = ntvm_shadow_pgoff(p->layout.extent, vma->vm_start);
	/* The READ_IMPLIES_EXEC personality means memory without NX, not NT's. */
	if (p->layout.kind == NTVM_KIND_PLAIN && (vma->vm_flags & VM_EXEC))
		ntvm_vma_flags_clear(vma, VM_EXEC);
	/* Large pages: worth compacting for, and mapped by one entry each. */
	if (unlikely(p->layout.extent->traits & NTVM_TRAIT_LARGE))
		flags |= VM_HUGEPAGE;
	else
		flags |= VM_MIXEDMAP | VM_NOHUGEPAGE;
	/* MADV_DONTDUMP is about the memory, not about how it is mapped now. */
	if (!p->dumps || p->layout.extent->private)
		flags |= VM_DONTDUMP;
	ntvm_vma_flags_set(vma, flags);
	ntvm_fault_install(vma, p->layout.extent);
	return 0;
}

/* Runs under the mmap write lock, in the task that maps. */
static unsigned long ntvm_shadow_get_unmapped_area(struct file *file, unsigned long addr,
						   unsigned long len, unsigned long pgoff,
						   unsigned long flags)
{
	struct ntvm_process *p = file->private_data;

	if (!ntvm_layout_ours(p))
		return -EPERM;
	if (flags & MAP_FIXED)
		return addr;
	return ntvm_layout_find_hole(current->mm, &p->layout, len);
}

/*
 * The file has a link in /proc/PID/map_files. Whoever may follow it shall not
 * change the size or the contents behind the page states.
 */
static int ntvm_shadow_no_open(struct inode *inode, struct file *file)
{
	return -EPERM;
}

static const struct file_operations ntvm_shadow_no_fops = {
	.owner = THIS_MODULE,
	.open = ntvm_shadow_no_open,
};

/**
 * ntvm_shadow_is - is this a shadow file?
 * @file: an open file
 *
 * Context: any.
 * Return: true if it is, of whatever process.
 */
bool ntvm_shadow_is(const struct file *file)
{
	return file->f_op == &ntvm_shadow_fops;
}

static struct file *ntvm_shadow_create_on(struct vfsmount *mnt, struct ntvm_process *p)
{
	struct file *file = ntvm_tmpfs_file_on(mnt, "ntvm");

	if (IS_ERR(file))
		return file;
	ntvm_shadow_size(file_inode(file), (loff_t)TASK_SIZE_MAX + PAGE_SIZE);
	file_inode(file)->i_fop = &ntvm_shadow_no_fops;
	file->private_data = p;
	/* fput() will drop a reference on the owner of our file_operations. */
	__module_get(THIS_MODULE);
	file->f_op = &ntvm_shadow_fops;
	p->dumps = ntvm_core_enter();
	return file;
}

/**
 * ntvm_shadow_create - make the shadow file of a process
 * @p: the process, its lock held exclusively
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 * Return: the file, or an ERR_PTR.
 */
struct file *ntvm_shadow_create(struct ntvm_process *p)
{
	return ntvm_shadow_create_on(ntvm_mnt, p);
}

/**
 * ntvm_shadow_create_large - make the shadow file of a process's large pages
 * @p: the process, its lock held exclusively
 *
 * Its offsets are the addresses themselves, and tmpfs makes it of large pages
 * wherever it can.
 *
 * Context: process context, may sleep; current->mm is the process's mm.
 * Return: the file, or an ERR_PTR.
 */
struct file *ntvm_shadow_create_large(struct ntvm_process *p)
{
	return ntvm_mnt_large ? ntvm_shadow_create_on(ntvm_mnt_large, p) : ERR_PTR(-ENODEV);
}

/**
 * ntvm_shadow_resident - is there a page, in memory or swapped out?
 * @x: the extent that the range lies in
 * @start: first byte, page aligned
 * @end: first byte behind the range
 *
 * Exact for a range whose page states no longer let a fault add a page, once
 * the faults that were in flight have been waited for.
 *
 * Context: any.
 * Return: true if the shadow holds a page of the range.
 */
bool ntvm_shadow_resident(struct ntvm_extent *x, unsigned long start, unsigned long end)
{
	struct xarray *pages = &x->file->f_mapping->i_pages;
	unsigned long index = ntvm_shadow_pgoff(x, start);

	if (xa_empty(pages))
		return false;
	if (end - start == PAGE_SIZE)
		return xa_load(pages, index);
	return xa_find(pages, &index, ntvm_shadow_pgoff(x, end) - 1, XA_PRESENT);
}

/**
 * ntvm_shadow_punch - drop the contents of a range
 * @x: the extent that the range lies in
 * @start: first byte, page aligned
 * @end: first byte behind the range
 *
 * The page states of the range let no fault in any more. A fault that was let
 * in before has its page locked until it is mapped; the truncation waits for
 * the lock and then takes the page out of every page table.
 *
 * Context: process context, may sleep.
 */
void ntvm_shadow_punch(struct ntvm_extent *x, unsigned long start, unsigned long end)
{
	struct address_space *mapping = x->file->f_mapping;
	loff_t from = (loff_t)ntvm_shadow_pgoff(x, start) << PAGE_SHIFT;
	loff_t len = end - start;

	if (!ntvm_shadow_resident(x, start, end))
		return;
	/* In bulk; the truncation would look for each page's mappings singly. */
	unmap_mapping_range(mapping, from, len, 0);
	shmem_truncate_range(mapping->host, from, from + len - 1);
}

/**
 * ntvm_shadow_init - mount the module's tmpfs
 *
 * An own mount: its options are ours (no huge pages), and it allows PROT_EXEC
 * mappings whatever the administrator's mounts say.
 *
 * Return: 0 or a negative errno.
 */
int ntvm_shadow_init(void)
{
	struct file_system_type *type = get_fs_type("tmpfs");
	char options[] = "huge=never";
	char large_options[] = "huge=always";
	struct file *probe;
	int err;

	if (!type)
		return -ENODEV;
	ntvm_mnt = vfs_kern_mount(type, SB_KERNMOUNT, "ntvm", options);
	if (IS_ERR(ntvm_mnt))
		return ntvm_tmpfs_errno(PTR_ERR(ntvm_mnt));

	/* tmpfs's file_operations are not exported: take them from a file. */
	probe = ntvm_tmpfs_file("ntvm");
	if (IS_ERR(probe)) {
		err = PTR_ERR(probe);
		goto err_mnt;
	}
	ntvm_shmem_fops = probe->f_op;
	ntvm_shadow_fops = *ntvm_shmem_fops;
	ntvm_fops_clear_mmap(&ntvm_shadow_fops);
	ntvm_shadow_fops.owner = THIS_MODULE;
	ntvm_shadow_fops.mmap = ntvm_shadow_mmap;
	ntvm_shadow_fops.get_unmapped_area = ntvm_shadow_get_unmapped_area;
	ntvm_shadow_fops.release = ntvm_shadow_release;
	fput(probe);

	/* Not every machine and kernel has large pages; but where memory is short now, it may. */
	ntvm_mnt_large = vfs_kern_mount(type, SB_KERNMOUNT, "ntvm", large_options);
	if (IS_ERR(ntvm_mnt_large)) {
		err = ntvm_tmpfs_errno(PTR_ERR(ntvm_mnt_large));
		ntvm_mnt_large = NULL;
		if (err == -ENOMEM)
			goto err_mnt;
	}
	return 0;

err_mnt:
	kern_unmount(ntvm_mnt);
	return err;
}

/**
 * ntvm_shadow_exit - unmount; no shadow file is left, each pins the module
 */
void ntvm_shadow_exit(void)
{
	if (ntvm_mnt_large)
		kern_unmount(ntvm_mnt_large);
	kern_unmount(ntvm_mnt);
}
