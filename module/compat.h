/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels that ntvm runs on, and nothing else.
 * Kbuild probes the headers for the features and defines NTVM_HAVE_*; nothing
 * outside this file asks for a version or a feature.
 */
#ifndef NTVM_COMPAT_H
#define NTVM_COMPAT_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/coredump.h>
#include <linux/shmem_fs.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/swap.h>

/*
 * VMA flags. 6.1: a plain store under the mmap write lock. 6.12, 7.3:
 * vm_flags_set() and vm_flags_clear(), which also take the VMA lock.
 */
static inline void ntvm_vma_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef NTVM_HAVE_VM_FLAGS_SET
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

static inline void ntvm_vma_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef NTVM_HAVE_VM_FLAGS_SET
	vm_flags_clear(vma, flags);
#else
	vma->vm_flags &= ~flags;
#endif
}

/* Type of shmem's flags. 6.1, 6.12: unsigned long. 7.3: vma_flags_t. */
static inline struct file *ntvm_shmem_file(struct vfsmount *mnt, const char *name)
{
#ifdef NTVM_HAVE_VMA_FLAGS_T
	return shmem_file_setup_with_mnt(mnt, name, 0, EMPTY_VMA_FLAGS);
#else
	return shmem_file_setup_with_mnt(mnt, name, 0, 0);
#endif
}

/*
 * shmem's vm_operations. 6.1, 6.12: its ->mmap stores them in the VMA. 7.3: it
 * has ->mmap_prepare instead, which stores them in a descriptor.
 */
static inline const struct vm_operations_struct *
ntvm_shmem_vm_ops(const struct file_operations *fops, struct file *file,
		  struct vm_area_struct *vma)
{
#ifdef NTVM_HAVE_MMAP_PREPARE
	struct vm_area_desc desc = { .file = file };

	if (fops->mmap_prepare)
		return fops->mmap_prepare(&desc) ? NULL : desc.vm_ops;
#endif
	return fops->mmap(file, vma) ? NULL : vma->vm_ops;
}

/* A fault that holds a VMA lock and not the mmap lock. 6.1: there is none. */
#ifdef NTVM_HAVE_VMA_LOCK
#define NTVM_FAULT_FLAG_VMA_LOCK	FAULT_FLAG_VMA_LOCK
#else
#define NTVM_FAULT_FLAG_VMA_LOCK	0
#endif

/* 6.1: an argument for VMAs. 6.12, 7.3: gone. */
static inline long ntvm_get_pages_remote(struct mm_struct *mm, unsigned long start,
					 unsigned long nr, unsigned int flags,
					 struct page **pages, int *locked)
{
#ifdef NTVM_HAVE_GUP_WITHOUT_VMAS
	return get_user_pages_remote(mm, start, nr, flags, pages, locked);
#else
	return get_user_pages_remote(mm, start, nr, flags, pages, NULL, locked);
#endif
}

/* A copy of shmem's file_operations may have one mmap hook only. */
static inline void ntvm_fops_clear_mmap(struct file_operations *fops)
{
#ifdef NTVM_HAVE_MMAP_PREPARE
	fops->mmap_prepare = NULL;
#endif
	fops->mmap = NULL;
}

/* How often a page is mapped. 6.1: by page; later only by folio. */
static inline int ntvm_page_mapcount(struct page *page)
{
#ifdef NTVM_HAVE_PAGE_MAPCOUNT
	return page_mapcount(page);
#else
	return folio_mapcount(page_folio(page));
#endif
}

/* The path that user space knows a mapped file by: later than 6.1 that of an overlay. */
static inline const struct path *ntvm_file_path(const struct file *file)
{
#ifdef NTVM_HAVE_FILE_USER_PATH
	return file_user_path(file);
#else
	return &file->f_path;
#endif
}

/*
 * Where the kernel begins to look for room for a mapping, downwards. x86 keeps
 * a second base for 32-bit system calls; all of a 32-bit program's are that.
 */
static inline unsigned long ntvm_mmap_base(const struct mm_struct *mm)
{
#ifdef CONFIG_HAVE_ARCH_COMPAT_MMAP_BASES
	if (mm->task_size <= U32_MAX)
		return mm->mmap_compat_base;
#endif
	return mm->mmap_base;
}

/*
 * userfaultfd hooks, 7.3 only: a fault may not sleep for user space while it
 * holds a lock of ours. 6.1, 6.12: userfaultfd refuses VMAs that are not
 * shmem's own.
 */
static inline void ntvm_vm_ops_clear_uffd(struct vm_operations_struct *ops)
{
#ifdef NTVM_HAVE_UFFD_OPS
	ops->uffd_ops = NULL;
#endif
}

/*
 * Take the right to write out of the page tables. Returns how often the TLB was
 * flushed for it. A kernel of any version may be without MAPPING_DIRTY_HELPERS;
 * there the pages go out of the page tables, and nobody counts the flushes.
 */
static inline unsigned int ntvm_wp_mapping(struct address_space *mapping, pgoff_t first,
					   pgoff_t nr)
{
#ifdef CONFIG_MAPPING_DIRTY_HELPERS
	return wp_shared_mapping_range(mapping, first, nr) > 0;
#else
	unmap_mapping_pages(mapping, first, nr, false);
	return 0;
#endif
}

/*
 * How many TLB flushes were begun for an mm, of all its processors: it grows with
 * every present entry that is taken out of its page tables or loses a right,
 * under the lock of the page table. Only x86 counts.
 */
#define NTVM_COUNTS_FLUSHES	(IS_ENABLED(CONFIG_MAPPING_DIRTY_HELPERS) && \
				 IS_ENABLED(CONFIG_X86_64))

static inline u64 ntvm_mm_flushes(struct mm_struct *mm)
{
#ifdef CONFIG_X86_64
	return atomic64_read(&mm->context.tlb_gen);
#else
	return 0;
#endif
}

/*
 * Take one locked folio out of its file, unmapped first. 6.1: by page. 6.12,
 * 7.3: by folio. Returns 0 if it is out.
 */
static inline int ntvm_folio_remove(struct address_space *mapping, struct folio *folio)
{
#ifdef NTVM_HAVE_ERROR_REMOVE_FOLIO
	return generic_error_remove_folio(mapping, folio);
#else
	return generic_error_remove_page(mapping, &folio->page);
#endif
}

/* Tell the reclaim that is going on what a shrinker has freed by itself. */
static inline void ntvm_account_reclaimed(unsigned long pages)
{
#ifdef NTVM_HAVE_ACCOUNT_RECLAIMED
	mm_account_reclaimed_pages(pages);
#else
	if (current->reclaim_state)
		current->reclaim_state->reclaimed_slab += pages;
#endif
}

/*
 * Was memory of this mm ever pinned for DMA? Set before the first pin and never
 * cleared. 6.1, 6.12: a bit of mm->flags. 7.3: mm_flags_test().
 */
static inline bool ntvm_mm_has_pinned(struct mm_struct *mm)
{
#ifdef NTVM_HAVE_MM_FLAGS_TEST
	return mm_flags_test(MMF_HAS_PINNED, mm);
#else
	return test_bit(MMF_HAS_PINNED, &mm->flags);
#endif
}

/*
 * May no memory of this mm become executable that could be written before
 * (PR_SET_MDWE)? 6.1: there is no such thing. 6.12: a bit of mm->flags. 7.3:
 * mm_flags_test().
 */
static inline bool ntvm_mm_denies_write_exec(struct mm_struct *mm)
{
#ifndef MMF_HAS_MDWE
	return false;
#elif defined(NTVM_HAVE_MM_FLAGS_TEST)
	return mm_flags_test(MMF_HAS_MDWE, mm);
#else
	return test_bit(MMF_HAS_MDWE, &mm->flags);
#endif
}

/*
 * Is a kernel built so that /proc/PID/mem overrides protections for tracers at
 * most? Its boot parameter, proc_mem.force_override, cannot be asked for.
 */
#if defined(CONFIG_PROC_MEM_FORCE_PTRACE) || defined(CONFIG_PROC_MEM_NO_FORCE)
#define NTVM_MEM_NEEDS_TRACER	true
#else
#define NTVM_MEM_NEEDS_TRACER	false
#endif

/*
 * Shrinkers. 6.1: the caller's struct is registered. 6.12, 7.3: the kernel
 * allocates it. Returns NULL if there is no memory.
 */
static inline struct shrinker *
ntvm_shrinker_register(const char *name,
		       unsigned long (*count)(struct shrinker *, struct shrink_control *),
		       unsigned long (*scan)(struct shrinker *, struct shrink_control *))
{
#ifdef NTVM_HAVE_SHRINKER_ALLOC
	struct shrinker *s = shrinker_alloc(0, "%s", name);
#else
	struct shrinker *s = kzalloc(sizeof(*s), GFP_KERNEL);
#endif

	if (!s)
		return NULL;
	s->count_objects = count;
	s->scan_objects = scan;
	s->seeks = DEFAULT_SEEKS;
#ifdef NTVM_HAVE_SHRINKER_ALLOC
	shrinker_register(s);
#else
	if (register_shrinker(s, "%s", name)) {
		kfree(s);
		return NULL;
	}
#endif
	return s;
}

static inline void ntvm_shrinker_unregister(struct shrinker *s)
{
#ifdef NTVM_HAVE_SHRINKER_ALLOC
	shrinker_free(s);
#else
	unregister_shrinker(s);
	kfree(s);
#endif
}

#endif
