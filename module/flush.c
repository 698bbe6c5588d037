// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtFlushVirtualMemory: what has been written to a view of a file goes to the
 * file. A view is a mapping that somebody else made; memory of the module is
 * none. The file is looked up under the mmap lock and written with no lock held.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>

#include "call.h"

/**
 * struct ntvm_view - a range of a file's mapping
 * @start: in, first byte, page aligned
 * @end: in/out, first byte behind it; in @start: the end of the mapping
 * @file: out, with a reference
 * @from: out, where @start is in the file
 * @shared: out, what is written goes to the file at all
 */
struct ntvm_view {
	unsigned long start;
	unsigned long end;
	struct file *file;
	loff_t from;
	bool shared;
};

/* Does @next go on where @vma ends, in memory and in the file? */
static bool ntvm_view_goes_on(const struct vm_area_struct *vma,
			      const struct vm_area_struct *next)
{
	return next && next->vm_start == vma->vm_end && next->vm_file &&
	       file_inode(next->vm_file) == file_inode(vma->vm_file) &&
	       !((next->vm_flags ^ vma->vm_flags) & VM_SHARED) &&
	       next->vm_pgoff == vma->vm_pgoff +
				 ((vma->vm_end - vma->vm_start) >> PAGE_SHIFT);
}

static bool ntvm_view_look(struct mm_struct *mm, struct ntvm_view *view)
{
	struct vm_area_struct *vma = find_vma(mm, view->start), *next;
	bool whole = view->end == view->start;

	if (!vma || vma->vm_start > view->start || !vma->vm_file || ntvm_fault_is_ours(vma))
		return false;
	view->file = vma->vm_file;
	view->from = ((loff_t)vma->vm_pgoff << PAGE_SHIFT) + (view->start - vma->vm_start);
	view->shared = vma->vm_flags & VM_SHARED;
	while (whole || vma->vm_end < view->end) {
		next = find_vma(mm, vma->vm_end);
		if (!ntvm_view_goes_on(vma, next))
			break;
		vma = next;
		cond_resched();
	}
	if (whole)
		view->end = vma->vm_end;
	return view->end <= vma->vm_end;
}

static u32 ntvm_view_find(struct ntvm_process *p, struct ntvm_view *view)
{
	u32 status = ntvm_process_lock(p, false);

	if (status)
		return status;
	status = NTVM_STATUS_NOT_MAPPED_VIEW;
	if (!ntvm_regions_find(&p->regions, view->start)) {
		mmap_read_lock(p->mm);
		if (ntvm_view_look(p->mm, view)) {
			get_file(view->file);
			status = NTVM_STATUS_SUCCESS;
		}
		mmap_read_unlock(p->mm);
	}
	ntvm_process_unlock(p, false);
	return status;
}

static u32 ntvm_view_write(const struct ntvm_view *view)
{
	loff_t last = view->from + (view->end - view->start) - 1;
	int err = 0;

	/* EINVAL: a file that keeps nothing that could be written. */
	if (view->shared)
		err = vfs_fsync_range(view->file, view->from, last, 1);
	if (!err || err == -EINVAL)
		return NTVM_STATUS_SUCCESS;
	return err == -ENOSPC || err == -EDQUOT ? NTVM_STATUS_DISK_FULL :
						  NTVM_STATUS_UNEXPECTED_IO_ERROR;
}

static bool ntvm_io_status_probe(struct ntvm_io_status __user *io)
{
	__u64 value;

	return ntvm_arg_read((u64 __user *)io, &value) &&
	       ntvm_arg_read((u64 __user *)io + 1, &value);
}

/**
 * ntvm_ioc_flush - NTVM_IOC_FLUSH
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or -EINVAL.
 */
int ntvm_ioc_flush(struct ntvm_call *call)
{
	struct ntvm_flush *f = &call->req.flush;
	struct ntvm_io_status __user *io_ptr = u64_to_user_ptr(f->io_ptr);
	bool indirect = f->flags & NTVM_F_INDIRECT;
	u64 limit = call->process->space.user_end;
	struct ntvm_io_status io = { };
	struct ntvm_view view = { };
	__u64 base = f->base, len = f->len;
	u32 written;

	if (f->reserved || (f->io_ptr && !indirect))
		return -EINVAL;
	f->status = ntvm_args_read(call, &base, &len);
	if (f->status)
		return 0;
	f->status = NTVM_STATUS_ACCESS_VIOLATION;
	if (indirect && !ntvm_io_status_probe(io_ptr))
		return 0;
	f->status = NTVM_STATUS_INVALID_PARAMETER_2;
	if (base >= limit)
		return 0;
	f->status = NTVM_STATUS_INVALID_PARAMETER_3;
	if (len > limit - base)
		return 0;
	f->status = call->handle_status;
	if (f->status)
		return 0;

	view.start = base & PAGE_MASK;
	view.end = len ? PAGE_ALIGN(base + len) : view.start;
	f->status = ntvm_view_find(call->process, &view);
	if (f->status)
		return 0;
	f->status = ntvm_view_write(&view);
	fput(view.file);
	io.status = f->status;
	if (!f->status)
		io.information = view.end - view.start;
	f->out_status = io.status;
	f->out_information = io.information;
	written = NTVM_STATUS_SUCCESS;
	if (indirect && !ntvm_words_write(io_ptr, &io, sizeof(io)))
		written = NTVM_STATUS_ACCESS_VIOLATION;
	if (!f->status && !written)
		written = ntvm_args_write(call, &f->base, &f->len, view.start,
					  view.end - view.start);
	if (!f->status)
		f->status = written;
	return 0;
}
