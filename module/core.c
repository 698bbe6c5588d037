// SPDX-License-Identifier: GPL-2.0-only
/*
 * Core dumps. A region is one VMA however little of it is in use, and the
 * kernel dumps a VMA page by page: for each page of the region that has no
 * contents it would walk page tables and take a fault to learn so, some minutes
 * for 256 GiB, and into a pipe it would write as many zeros.
 *
 * The kernel first takes a list of what to dump and then has the program's
 * binary format write it (linux_binfmt.core_dump). A process that reserves gets
 * a format of ours around its own: it replaces, in that list, each VMA of the
 * process's shadow files by pieces that have contents and pieces that have none,
 * and hands the list on. set_binfmt() pins the module until the mm is gone, and
 * a child that a fork makes pins it too.
 *
 * Needs no lock: the list belongs to the dump, and which pages have contents is
 * asked of the shadow file's xarray. What changes meanwhile (only a process
 * that shares the mm, or has a handle, can) makes a page of the dump zero or
 * leaves it out.
 */
#include <linux/binfmts.h>
#include <linux/coredump.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "ntvm.h"

#ifdef CONFIG_COREDUMP

/* As many formats as a kernel may have that dump: ELF for either width, and spare. */
#define NTVM_CORE_FORMATS	4

/* So many pages without contents are not worth a piece of their own, at first. */
#define NTVM_CORE_GAP		16ul

/* Pieces of all VMAs together; the gap grows until there are no more. */
#define NTVM_CORE_PIECES	32768

/**
 * struct ntvm_core_format - a binary format with ours around it
 * @format: what the mm gets
 * @inner: what it had; built into the kernel
 */
struct ntvm_core_format {
	struct linux_binfmt format;
	struct linux_binfmt *inner;
};

static struct ntvm_core_format ntvm_core_formats[NTVM_CORE_FORMATS];
static DEFINE_SPINLOCK(ntvm_core_lock);	/* filling an entry; none is changed afterwards */

/**
 * struct ntvm_core_list - the list that replaces the kernel's
 * @meta: its entries
 * @nr: how many
 * @room: for how many there is room
 */
struct ntvm_core_list {
	struct core_vma_metadata *meta;
	int nr;
	int room;
};

/* The pages [@first, @last] of the file that @m maps become a piece. */
static bool ntvm_core_piece(struct ntvm_core_list *list, const struct core_vma_metadata *m,
			    unsigned long first, unsigned long last, bool dump)
{
	struct core_vma_metadata *piece = &list->meta[list->nr];

	if (list->nr == list->room)
		return false;
	*piece = *m;
	piece->start = m->start + ((first - m->pgoff) << PAGE_SHIFT);
	piece->end = m->start + ((last + 1 - m->pgoff) << PAGE_SHIFT);
	piece->pgoff = first;
	piece->dump_size = dump ? piece->end - piece->start : 0;
	/* The contents are nowhere but in the dump: no file to look into. */
	piece->file = NULL;
	list->nr++;
	return true;
}

/* False: there is no room, or the dump is being killed. */
static bool ntvm_core_split(struct ntvm_core_list *list, const struct core_vma_metadata *m,
			    unsigned long gap)
{
	struct xarray *pages = &m->file->f_mapping->i_pages;
	unsigned long end = m->pgoff + ((m->end - m->start) >> PAGE_SHIFT) - 1;
	unsigned long pos = m->pgoff, first, next;

	while (pos <= end) {
		first = pos;
		if (!xa_find(pages, &first, end, XA_PRESENT))
			return ntvm_core_piece(list, m, pos, end, false);
		if (first > pos && !ntvm_core_piece(list, m, pos, first - 1, false))
			return false;
		pos = first;
		for (next = first; next <= end && next - pos <= gap; ) {
			pos = next + 1;	/* behind the last page with contents */
			next = pos;
			if (next > end || !xa_find(pages, &next, end, XA_PRESENT))
				break;
			cond_resched();
			if (fatal_signal_pending(current))
				return false;
		}
		if (!ntvm_core_piece(list, m, first, pos - 1, true))
			return false;
	}
	return true;
}

static bool ntvm_core_ours(const struct core_vma_metadata *m)
{
	return m->dump_size && m->file && ntvm_shadow_is(m->file);
}

static bool ntvm_core_fill(struct ntvm_core_list *list, const struct coredump_params *cprm,
			   unsigned long gap)
{
	int i;

	list->nr = 0;
	for (i = 0; i < cprm->vma_count; i++) {
		const struct core_vma_metadata *m = &cprm->vma_meta[i];

		if (ntvm_core_ours(m)) {
			if (!ntvm_core_split(list, m, gap))
				return false;
		} else {
			if (list->nr == list->room)
				return false;
			list->meta[list->nr++] = *m;
		}
	}
	return true;
}

/* Without memory for the pieces the dump goes without our VMAs. */
static void ntvm_core_leave_out(struct coredump_params *cprm)
{
	int i;

	for (i = 0; i < cprm->vma_count; i++) {
		struct core_vma_metadata *m = &cprm->vma_meta[i];

		if (ntvm_core_ours(m)) {
			cprm->vma_data_size -= m->dump_size;
			m->dump_size = 0;
		}
	}
}

static void ntvm_core_list(struct coredump_params *cprm)
{
	/* With the widest gap a VMA makes three pieces at most. */
	struct ntvm_core_list list = { .room = 3 * cprm->vma_count + NTVM_CORE_PIECES };
	unsigned long gap;
	int i;

	for (i = 0; i < cprm->vma_count && !ntvm_core_ours(&cprm->vma_meta[i]); i++)
		;
	if (i == cprm->vma_count)
		return;
	list.meta = kvmalloc_array(list.room, sizeof(*list.meta), GFP_KERNEL);
	if (!list.meta)
		return ntvm_core_leave_out(cprm);
	for (gap = NTVM_CORE_GAP; !ntvm_core_fill(&list, cprm, gap); gap *= 2) {
		if (fatal_signal_pending(current) || gap > ULONG_MAX / 4) {
			kvfree(list.meta);
			return ntvm_core_leave_out(cprm);
		}
	}
	for (i = 0; i < cprm->vma_count; i++) {
		if (ntvm_core_ours(&cprm->vma_meta[i]))
			fput(cprm->vma_meta[i].file);
	}
	kvfree(cprm->vma_meta);
	cprm->vma_meta = list.meta;
	cprm->vma_count = list.nr;
	cprm->vma_data_size = 0;
	for (i = 0; i < list.nr; i++)
		cprm->vma_data_size += list.meta[i].dump_size;
}

/* Runs in the task that dumps, after the list was made; the mmap lock is not held. */
static int ntvm_core_dump(struct coredump_params *cprm)
{
	struct ntvm_core_format *f = container_of(current->mm->binfmt, struct ntvm_core_format,
						  format);

	ntvm_core_list(cprm);
	return f->inner->core_dump(cprm);
}

/**
 * ntvm_core_enter - have dumps of the current mm know about our VMAs
 *
 * Context: process context; current->mm is that of a process whose lock is held
 *	    exclusively.
 * Return: false if they do not, and the VMAs had better not be dumped.
 */
bool ntvm_core_enter(void)
{
	struct linux_binfmt *inner = current->mm->binfmt;
	struct ntvm_core_format *f = NULL;
	int i;

	if (!inner || !inner->core_dump)
		return false;
	if (inner->core_dump == ntvm_core_dump)
		return true;
	/* The mm pins the module of one format only, and will pin ours. */
	if (inner->module)
		return false;
	spin_lock(&ntvm_core_lock);
	for (i = 0; i < NTVM_CORE_FORMATS && !f; i++) {
		if (!ntvm_core_formats[i].inner) {
			ntvm_core_formats[i].format.module = THIS_MODULE;
			ntvm_core_formats[i].format.core_dump = ntvm_core_dump;
			ntvm_core_formats[i].format.min_coredump = inner->min_coredump;
			ntvm_core_formats[i].inner = inner;
		}
		if (ntvm_core_formats[i].inner == inner)
			f = &ntvm_core_formats[i];
	}
	spin_unlock(&ntvm_core_lock);
	if (f)
		set_binfmt(&f->format);
	return f;
}

#else

bool ntvm_core_enter(void)
{
	return false;
}

#endif
