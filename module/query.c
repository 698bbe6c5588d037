// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtQueryVirtualMemory: what is at an address, be it a region, a mapping that
 * somebody else made, or nothing. Shares the process lock; looks at foreign
 * mappings under the mmap lock, at page states under ntvm_extent.fault_lock, so
 * that no change is ever seen half done. Here is MemoryBasicInformation, the
 * other classes are in query_class.c.
 */
#include <linux/fs.h>
#include <linux/mm.h>

#include "ntvm.h"
#include "query.h"

/* How many neighbours tell whether a file mapping belongs to an image. */
#define NTVM_IMAGE_NEIGHBOURS	64

/**
 * ntvm_foreign_protect - what NT would call a VMA's protection
 * @vma: a VMA that is not ours
 *
 * Context: mmap lock held.
 * Return: NTVM_PAGE_*.
 */
u32 ntvm_foreign_protect(const struct vm_area_struct *vma)
{
	bool copy = vma->vm_file && !(vma->vm_flags & VM_SHARED);

	if (vma->vm_flags & VM_EXEC) {
		if (vma->vm_flags & VM_WRITE)
			return copy ? NTVM_PAGE_EXECUTE_WRITECOPY : NTVM_PAGE_EXECUTE_READWRITE;
		return vma->vm_flags & VM_READ ? NTVM_PAGE_EXECUTE_READ : NTVM_PAGE_EXECUTE;
	}
	if (vma->vm_flags & VM_WRITE)
		return copy ? NTVM_PAGE_WRITECOPY : NTVM_PAGE_READWRITE;
	return vma->vm_flags & VM_READ ? NTVM_PAGE_READONLY : NTVM_PAGE_NOACCESS;
}

static bool ntvm_same_file(const struct vm_area_struct *a, const struct vm_area_struct *b)
{
	return b->vm_file && file_inode(a->vm_file) == file_inode(b->vm_file) &&
	       !(b->vm_flags & VM_SHARED);
}

/*
 * A private file mapping is an image if something executable of the same file
 * lies in the unbroken row of its mappings; the row is then one allocation.
 */
static void ntvm_foreign_file(struct mm_struct *mm, struct vm_area_struct *vma,
			      struct ntvm_foreign *f, bool whole)
{
	struct vm_area_struct *first = vma, *last = vma, *next;
	bool image = vma->vm_flags & VM_EXEC;
	int n;

	MA_STATE(mas, &mm->mm_mt, vma->vm_start, vma->vm_start);

	for (n = 0; n < NTVM_IMAGE_NEIGHBOURS; n++) {
		next = mas_prev(&mas, 0);
		if (!next || next->vm_end != first->vm_start || !ntvm_same_file(vma, next))
			break;
		first = next;
		image |= !!(next->vm_flags & VM_EXEC);
	}
	for (n = 0; n < NTVM_IMAGE_NEIGHBOURS && (whole || !image); n++) {
		next = find_vma(mm, last->vm_end);
		if (!next || next->vm_start != last->vm_end || !ntvm_same_file(vma, next))
			break;
		last = next;
		image |= !!(next->vm_flags & VM_EXEC);
	}
	f->type = image ? NTVM_TYPE_IMAGE : NTVM_TYPE_MAPPED;
	if (image) {
		f->start = first->vm_start;
		f->all_end = last->vm_end;
	}
}

/* Bytes of an allocation that Linux has charged as committed. */
static unsigned long ntvm_foreign_charged(struct mm_struct *mm, const struct ntvm_foreign *f)
{
	unsigned long pos = f->start, bytes = 0;
	struct vm_area_struct *vma;

	while (pos < f->all_end) {
		vma = find_vma(mm, pos);
		if (!vma || vma->vm_start >= f->all_end)
			break;
		if (vma->vm_flags & VM_ACCOUNT)
			bytes += vma->vm_end - vma->vm_start;
		pos = vma->vm_end;
	}
	return bytes;
}

/**
 * ntvm_foreign_at - what is at an address that is in no region
 * @p: the process; its mm is kept alive by the caller
 * @addr: the address
 * @f: filled in if something is mapped there, else only @f->end, the end of
 *     the free memory
 * @whole: fill in @f->all_end and @f->charged too
 *
 * Context: process context, may sleep; mmap lock not held.
 * Return: true if something is mapped there.
 */
bool ntvm_foreign_at(struct ntvm_process *p, unsigned long addr, struct ntvm_foreign *f,
		     bool whole)
{
	struct vm_area_struct *vma;
	bool mapped;

	mmap_read_lock(p->mm);
	vma = find_vma(p->mm, addr);
	mapped = vma && vma->vm_start <= addr;
	if (mapped) {
		f->start = vma->vm_start;
		f->end = vma->vm_end;
		f->all_end = vma->vm_end;
		f->protect = ntvm_foreign_protect(vma);
		f->type = NTVM_TYPE_PRIVATE;
		if (vma->vm_file) {
			if (vma->vm_flags & VM_SHARED)
				f->type = NTVM_TYPE_MAPPED;
			else
				ntvm_foreign_file(p->mm, vma, f, whole);
		}
		if (whole)
			f->charged = ntvm_foreign_charged(p->mm, f);
	} else {
		f->end = vma ? vma->vm_start : p->space.user_end;
	}
	mmap_read_unlock(p->mm);
	return mapped;
}

/**
 * ntvm_foreign_type - what kind of mapping that is not ours is at an address
 * @p: the process; its mm is kept alive by the caller
 * @addr: an address that is in no region
 *
 * Context: process context, may sleep; mmap lock not held.
 * Return: NTVM_TYPE_*, 0 if nothing is mapped there.
 */
u32 ntvm_foreign_type(struct ntvm_process *p, unsigned long addr)
{
	struct ntvm_foreign f;

	return ntvm_foreign_at(p, addr, &f, false) ? f.type : 0;
}

/**
 * ntvm_query_basic - MemoryBasicInformation
 * @p: the process; its mm is kept alive by the caller
 * @addr: an address in user space
 * @out: the answer
 *
 * Context: process context, may sleep.
 * Return: NTVM_STATUS_*.
 */
u32 ntvm_query_basic(struct ntvm_process *p, unsigned long addr, struct ntvm_basic_info *out)
{
	struct ntvm_foreign f;
	struct ntvm_region *r;
	struct ntvm_extent *x;
	unsigned long last;
	u32 status;
	u8 state;

	addr &= PAGE_MASK;
	memset(out, 0, sizeof(*out));
	out->base = addr;
	status = ntvm_process_lock(p, false);
	if (status)
		return status;
	r = ntvm_regions_find(&p->regions, addr);
	if (r) {
		x = r->extent;
		down_read(&x->fault_lock);
		state = ntvm_pages_run_long(&x->pages, ntvm_page(x, addr),
					    ntvm_page(x, r->end - 1), &last);
		if (unlikely(x->traits))
			ntvm_pages_run_masked(&x->pages, ntvm_page(x, addr),
					      ntvm_page(x, r->end - 1), NTVM_STATE_NT, &last);
		up_read(&x->fault_lock);
		out->allocation_base = r->start;
		out->allocation_protect = r->protect;
		out->region_size = x->start + ((last + 1) << PAGE_SHIFT) - addr;
		out->type = NTVM_TYPE_PRIVATE;
		if (ntvm_state_committed(state)) {
			out->state = NTVM_STATE_COMMIT;
			out->protect = ntvm_page_protect(r, state);
		} else {
			out->state = NTVM_STATE_RESERVE;
		}
	} else if (ntvm_foreign_at(p, addr, &f, false)) {
		out->allocation_base = f.start;
		out->allocation_protect = f.type == NTVM_TYPE_IMAGE ?
					  NTVM_PAGE_EXECUTE_WRITECOPY : f.protect;
		out->region_size = f.end - addr;
		out->state = NTVM_STATE_COMMIT;
		out->protect = f.protect;
		out->type = f.type;
	} else {
		out->region_size = f.end - addr;
		out->state = NTVM_STATE_FREE;
		out->protect = NTVM_PAGE_NOACCESS;
	}
	ntvm_process_unlock(p, false);
	return NTVM_STATUS_SUCCESS;
}
