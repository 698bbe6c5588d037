// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which VMAs a process has over its extents, and the only calls that change
 * them. An extent is one VMA as long as nothing in it is executable: reserved
 * pages, READONLY, READWRITE, NOACCESS and guard pages share it, page by page
 * decided by fault.c. Executable pages need VMAs of their own, since nothing
 * but a VMA can say "not executable" for the others.
 *
 * All run with the process lock held exclusively and without the mmap_lock;
 * current->mm is the process's mm (ioctl.c sees to that for foreign processes).
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched.h>

#include "compat.h"
#include "ntvm.h"

/* Room below a stack that grows down: the kernel's default guard gap. */
#define NTVM_STACK_GAP		(256ul << PAGE_SHIFT)

/* How far regions keep from Linux's own mappings, if the address space is that large. */
#define NTVM_APART		(1ul << 40)

/* Holes that alignment makes too small, before only larger ones are tried. */
#define NTVM_HOLE_TRIES		16

/* Neighbours of the same kind up to this size are always joined. */
#define NTVM_JOIN_ALWAYS	(2ul << 20)

static void ntvm_layout_begin(struct ntvm_process *p, struct ntvm_extent *x,
			      enum ntvm_kind kind)
{
	lockdep_assert_held_write(&p->lock);
	p->layout.extent = x;
	p->layout.kind = kind;
	WRITE_ONCE(p->layout.task, current);
}

static void ntvm_layout_end(struct ntvm_process *p)
{
	WRITE_ONCE(p->layout.task, NULL);
	p->layout.extent = NULL;
}

/**
 * ntvm_layout_ours - is the module itself making this mapping call?
 * @p: the process
 *
 * Context: any; meant for hooks, which run in the task that makes the call.
 * Return: true in the task that is inside one of the calls of this file.
 */
bool ntvm_layout_ours(const struct ntvm_process *p)
{
	return READ_ONCE(p->layout.task) == current;
}

static unsigned long ntvm_kind_prot(enum ntvm_kind kind)
{
	switch (kind) {
	case NTVM_KIND_RX:
		return PROT_READ | PROT_EXEC;
	case NTVM_KIND_RWX:
		return PROT_READ | PROT_WRITE | PROT_EXEC;
	default:
		return PROT_READ | PROT_WRITE;
	}
}

static enum ntvm_kind ntvm_vma_kind(const struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_EXEC))
		return NTVM_KIND_PLAIN;
	return vma->vm_flags & VM_WRITE ? NTVM_KIND_RWX : NTVM_KIND_RX;
}

/*
 * Highest aligned hole of @len bytes in [lowest, limit), among the holes that
 * are larger than it by @slack: with all of @align each of them fits, with 0
 * the loop goes from hole to hole, @tries of them at most.
 */
static unsigned long ntvm_layout_gap(struct mm_struct *mm, unsigned long lowest,
				     unsigned long limit, unsigned long len, unsigned long align,
				     unsigned long slack, unsigned long tries)
{
	struct vm_area_struct *vma;
	unsigned long addr, top;

	while (limit > lowest && limit - lowest >= len + slack && tries--) {
		MA_STATE(mas, &mm->mm_mt, 0, 0);

		if (mas_empty_area_rev(&mas, lowest, limit - 1, len + slack))
			break;
		top = mas.last + 1;
		addr = round_down(top - len, align);
		if (addr < lowest)
			break;
		vma = mas_next(&mas, ULONG_MAX);
		if (vma && (vma->vm_flags & VM_GROWSDOWN)) {
			limit = max(vma->vm_start, NTVM_STACK_GAP) - NTVM_STACK_GAP;
			if (addr + len > limit)
				continue;
		}
		if (slack || addr == top - len)
			return addr;
		vma = mas_prev(&mas, 0);	/* aligning may have left the hole */
		if (!vma || vma->vm_end <= addr)
			return addr;
		limit = vma->vm_start;
		cond_resched();
	}
	return -ENOMEM;
}

/**
 * ntvm_layout_find_hole - choose an address
 * @mm: the address space
 * @l: bounds of the choice
 * @len: bytes, page aligned
 *
 * The highest aligned hole some way below the mmap base, so that
 * regions lie side by side and not among the mappings that Linux aligns to
 * pages; with MEM_TOP_DOWN, or if there is none, the highest below the mmap
 * base; if there is none, anywhere within the bounds. A process with very many
 * holes just too small may get one that is not the highest.
 *
 * Context: mmap lock held for writing.
 * Return: an address or -ENOMEM.
 */
unsigned long ntvm_layout_find_hole(struct mm_struct *mm, const struct ntvm_layout *l,
				    unsigned long len)
{
	unsigned long mmap_base = ntvm_mmap_base(mm);
	unsigned long base = min(l->limit, mmap_base);
	unsigned long align = l->align;
	unsigned long addr = -ENOMEM;

	if (!l->top_down && mmap_base > 2 * NTVM_APART)
		addr = ntvm_layout_gap(mm, l->lowest,
				       min(base, round_down(mmap_base, NTVM_APART) - NTVM_APART),
				       len, align, 0, NTVM_HOLE_TRIES);
	if (IS_ERR_VALUE(addr))
		addr = ntvm_layout_gap(mm, l->lowest, base, len, align, 0, NTVM_HOLE_TRIES);
	if (IS_ERR_VALUE(addr))
		addr = ntvm_layout_gap(mm, l->lowest, base, len, align,
				       align - PAGE_SIZE, ULONG_MAX);
	if (IS_ERR_VALUE(addr))
		addr = ntvm_layout_gap(mm, l->lowest, base, len, align, 0, ULONG_MAX);
	if (IS_ERR_VALUE(addr) && base < l->limit)
		addr = ntvm_layout_gap(mm, l->lowest, l->limit, len, align, 0, ULONG_MAX);
	return addr;
}

/**
 * ntvm_layout_reserve - map a new extent
 * @p: the process; has a shadow
 * @x: the extent; learns its bounds
 * @range: exactly this, or, to choose, @range->end bytes wherever there is room
 *	   within @range->lowest and @range->limit, aligned to @range->align
 * @choose: choose the address
 * @top_down: the highest there is
 * @kind: of VMA
 *
 * Context: see the top of this file.
 * Return: the address, or a negative errno (-EEXIST: something is there).
 */
long ntvm_layout_reserve(struct ntvm_process *p, struct ntvm_extent *x,
			 const struct ntvm_range *range, bool choose, bool top_down,
			 enum ntvm_kind kind)
{
	unsigned long flags = MAP_SHARED | MAP_NORESERVE, offset = 0;
	long addr;

	if (!choose) {
		flags |= MAP_FIXED_NOREPLACE;
		offset = ntvm_shadow_pgoff(x, range->start) << PAGE_SHIFT;
	}
	p->layout.top_down = top_down;
	p->layout.lowest = range->lowest;
	p->layout.limit = range->limit;
	p->layout.align = max(range->align, NTVM_GRANULARITY);
	ntvm_layout_begin(p, x, kind);
	addr = vm_mmap(x->file, range->start, range->end - range->start,
		       ntvm_kind_prot(kind), flags, offset);
	ntvm_layout_end(p);
	if (!IS_ERR_VALUE(addr) && kind != NTVM_KIND_PLAIN)
		x->executable = true;
	return addr;
}

/**
 * ntvm_layout_unmap - unmap a range of an extent
 * @p: the process
 * @start: first byte, page aligned
 * @end: first byte behind it
 *
 * Context: see the top of this file.
 * Return: 0 or a negative errno, with nothing changed.
 */
int ntvm_layout_unmap(struct ntvm_process *p, unsigned long start, unsigned long end)
{
	int err;

	ntvm_layout_begin(p, NULL, NTVM_KIND_PLAIN);
	err = vm_munmap(start, end - start);
	ntvm_layout_end(p);
	return err;
}

static long ntvm_layout_remap(struct ntvm_process *p, struct ntvm_extent *x,
			      unsigned long start, unsigned long end, enum ntvm_kind kind)
{
	long addr;

	ntvm_layout_begin(p, x, kind);
	addr = vm_mmap(x->file, start, end - start, ntvm_kind_prot(kind),
		       MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
		       ntvm_shadow_pgoff(x, start) << PAGE_SHIFT);
	ntvm_layout_end(p);
	return IS_ERR_VALUE(addr) ? addr : 0;
}

static bool ntvm_vma_of(const struct vm_area_struct *vma, const struct ntvm_extent *x)
{
	return vma && ntvm_fault_is_ours(vma) && vma->vm_private_data == x;
}

/* The VMA of @x that maps @addr, or NULL. */
static struct vm_area_struct *ntvm_layout_vma(struct mm_struct *mm,
					      const struct ntvm_extent *x, unsigned long addr)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	return ntvm_vma_of(vma, x) && vma->vm_start <= addr ? vma : NULL;
}

/* Map what the page states ask for wherever in [@start, @end) nothing is mapped. */
static bool ntvm_layout_fill(struct ntvm_process *p, struct ntvm_extent *x,
			     unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;
	unsigned long addr, stop, last;
	bool hole, filled = true;
	enum ntvm_kind kind;

	for (addr = start; addr < end; addr = stop) {
		mmap_read_lock(p->mm);
		vma = find_vma(p->mm, addr);
		hole = !vma || vma->vm_start > addr;
		if (hole)
			stop = vma ? min(vma->vm_start, end) : end;
		else
			stop = min(vma->vm_end, end);
		mmap_read_unlock(p->mm);
		if (!hole)
			continue;
		kind = ntvm_state_kind(ntvm_pages_run_long(&x->pages, ntvm_page(x, addr),
							   ntvm_page(x, stop - 1), &last));
		stop = x->start + ((last + 1) << PAGE_SHIFT);
		if (ntvm_layout_remap(p, x, addr, stop, kind))
			filled = false;
		cond_resched();
	}
	return filled;
}

/*
 * A MAP_FIXED call that fails may have unmapped what it was to replace: the kernel
 * does not map anew what has been told that it is closed. Put it back; states and
 * contents still are what they were. If there is no memory for that either, the
 * regions are torn, and who takes the process lock next tries again.
 */
static void ntvm_layout_repair(struct ntvm_process *p, struct ntvm_extent *x,
			       unsigned long start, unsigned long end)
{
	struct ntvm_region *r;

	if (ntvm_layout_fill(p, x, start, end))
		return;
	r = ntvm_regions_from(&p->regions, start);
	for (; r && r->start < end; r = ntvm_regions_next(r))
		r->torn = true;
	ntvm_process_poke(p);
}

/**
 * ntvm_layout_mend - map what is missing of a torn region
 * @p: the process
 * @r: the region
 *
 * Where somebody else has mapped something meanwhile it stays.
 *
 * Context: see the top of this file, but nothing is done for another's mm.
 * Return: false if something is missing still.
 */
bool ntvm_layout_mend(struct ntvm_process *p, struct ntvm_region *r)
{
	if (r->torn && current->mm == p->mm)
		r->torn = !ntvm_layout_fill(p, r->extent, r->start, r->end);
	return !r->torn;
}

/**
 * ntvm_layout_replace - map a new extent where regions without contents are
 * @p: the process; has a shadow
 * @x: the extent; learns its bounds
 * @start: first byte, page aligned; a region begins here
 * @end: first byte behind it; a region ends here, and there is none but regions
 *	 between
 * @kind: of VMA
 *
 * In one step: nobody finds the range free in between.
 *
 * Context: see the top of this file.
 * Return: 0, or a negative errno with nothing changed.
 */
int ntvm_layout_replace(struct ntvm_process *p, struct ntvm_extent *x,
			unsigned long start, unsigned long end, enum ntvm_kind kind)
{
	int err = ntvm_layout_remap(p, x, start, end, kind);
	struct ntvm_region *r;

	if (!err) {
		if (kind != NTVM_KIND_PLAIN)
			x->executable = true;
		return 0;
	}
	r = ntvm_regions_from(&p->regions, start);
	for (; r && r->start < end; r = ntvm_regions_next(r))
		ntvm_layout_repair(p, r->extent, r->start, r->end);
	return err;
}

/* Join a neighbour? What is joined loses its page table entries. */
static bool ntvm_layout_join(unsigned long own, unsigned long neighbour)
{
	return neighbour <= max(4 * own, NTVM_JOIN_ALWAYS);
}

/**
 * ntvm_layout_kind - see that a range has VMAs of one kind
 * @p: the process; has a shadow
 * @x: the extent
 * @start: first byte, page aligned
 * @end: first byte behind it
 * @kind: what the VMAs shall be
 *
 * The contents are in the shadow file and stay. Neighbours of the same kind
 * are joined unless they are much larger, so that page-wise growth costs
 * neither a VMA a page nor a remap of everything a page.
 *
 * Context: see the top of this file.
 * Return: 0, or a negative errno with nothing changed.
 */
int ntvm_layout_kind(struct ntvm_process *p, struct ntvm_extent *x,
		     unsigned long start, unsigned long end, enum ntvm_kind kind)
{
	struct mm_struct *mm = p->mm;
	struct vm_area_struct *vma;
	unsigned long addr;
	bool change = false;
	int err;

	mmap_read_lock(mm);
	for (addr = start; addr < end; addr = vma->vm_end) {
		vma = ntvm_layout_vma(mm, x, addr);
		if (!vma) {	/* unmapped behind our back just now */
			mmap_read_unlock(mm);
			return -EFAULT;
		}
		if (ntvm_vma_kind(vma) != kind)
			change = true;
		cond_resched();
	}
	if (change) {
		while ((start > x->start && (vma = ntvm_layout_vma(mm, x, start - 1)) &&
			ntvm_vma_kind(vma) == kind &&
			ntvm_layout_join(end - start, start - vma->vm_start)))
			start = vma->vm_start;
		while ((end < x->end && (vma = ntvm_layout_vma(mm, x, end)) &&
			ntvm_vma_kind(vma) == kind &&
			ntvm_layout_join(end - start, vma->vm_end - end)))
			end = vma->vm_end;
	}
	mmap_read_unlock(mm);
	if (!change)
		return 0;

	err = ntvm_layout_remap(p, x, start, end, kind);
	if (err)
		ntvm_layout_repair(p, x, start, end);
	else if (kind != NTVM_KIND_PLAIN)
		x->executable = true;
	return err;
}

/**
 * ntvm_layout_plain - back to one VMA, if nothing executable is left
 * @p: the process; has a shadow
 * @x: the extent
 * @r: the region that lost executable pages
 *
 * Only tidies: if it fails all is as it was, or torn until the next call.
 *
 * Context: see the top of this file.
 */
void ntvm_layout_plain(struct ntvm_process *p, struct ntvm_extent *x,
		       const struct ntvm_region *r)
{
	unsigned long page, last = x->pages.nr - 1;
	u8 state;

	if (r->start != x->start || r->end != x->end)
		return;	/* shared: other regions may be executable */
	for (page = 0; page <= last; page++) {
		state = ntvm_pages_run_long(&x->pages, page, last, &page);
		if (ntvm_state_kind(state) != NTVM_KIND_PLAIN)
			return;
		cond_resched();
	}
	if (ntvm_layout_remap(p, x, x->start, x->end, NTVM_KIND_PLAIN))
		ntvm_layout_repair(p, x, x->start, x->end);
	else
		x->executable = false;
}

/**
 * ntvm_errno_status - what a mapping call's errno means to NT
 * @err: negative errno
 *
 * Context: any.
 * Return: NTVM_STATUS_*.
 */
u32 ntvm_errno_status(long err)
{
	switch (err) {
	case 0:
		return NTVM_STATUS_SUCCESS;
	case -EEXIST:
		return NTVM_STATUS_CONFLICTING_ADDRESSES;
	case -EPERM:
	case -EACCES:
		return NTVM_STATUS_ACCESS_DENIED;
	case -EFAULT:
		return NTVM_STATUS_CONFLICTING_ADDRESSES;
	default:
		return NTVM_STATUS_NO_MEMORY;
	}
}
