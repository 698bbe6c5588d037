// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults, and how access is taken back from under them.
 *
 * Page states decide, page tables only cache the decision. The revocation
 * protocol keeps the cache true. A change that takes a right away
 *
 *  1. changes the page states with ntvm_extent.fault_lock held for writing.
 *     ->fault and ->map_pages hold it for reading from their check on until
 *     the page is locked or mapped: after step 1 no fault with the old answer
 *     is in between;
 *  2. locks and unlocks every resident folio of the range. The core maps the
 *     page that ->fault or ->page_mkwrite returned before it unlocks it: after
 *     step 2 what the last such fault mapped is in the page tables;
 *  3. takes it out of them (unmap_mapping_pages()), or truncates the pages,
 *     which includes steps 2 and 3 (ntvm_shadow_punch()).
 *
 * A change that only gives rights needs step 1.
 *
 * Faults run under the mmap lock or a VMA lock, shared; ->map_pages also in an
 * RCU read section, so that it only tries for the lock.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>

#include "compat.h"
#include "delay.h"
#include "ntvm.h"

/* shmem's hooks, and a copy of them with ours put in; filled once. */
static const struct vm_operations_struct *ntvm_shmem_ops;
static struct vm_operations_struct ntvm_vm_ops;
static DEFINE_SPINLOCK(ntvm_vm_ops_lock);

/* May a fault look at this VMA at all? A fork child's copy, for one, may not. */
static bool ntvm_fault_sane(const struct vm_fault *vmf, const struct ntvm_extent *x)
{
	return vmf->vma->vm_mm == x->process->mm &&
	       vmf->pgoff == ntvm_shadow_pgoff(x, vmf->address);
}

/**
 * ntvm_guard_disarm - use up a guard page
 * @x: the extent
 * @page: a page of it
 *
 * Context: process context, may sleep; fault_lock not held.
 * Return: 1 if it was armed and is not any more, 0 if it was not, or -ENOMEM,
 *	   -EDQUOT.
 */
int ntvm_guard_disarm(struct ntvm_extent *x, unsigned long page)
{
	struct ntvm_stash stash = NTVM_STASH_INIT;
	unsigned int need = 0;
	int ret = -EAGAIN;

	while (ret == -EAGAIN) {
		ret = ntvm_stash_fill(&x->pages, &stash, need);
		if (ret)
			break;
		ret = -EAGAIN;
		down_write(&x->fault_lock);
		need = ntvm_pages_missing(&x->pages, page, page);
		if (!(ntvm_pages_get(&x->pages, page) & NTVM_STATE_GUARD)) {
			ret = 0;
		} else if (need <= stash.nr) {
			ntvm_pages_set(&x->pages, page, page, (u8)~NTVM_STATE_GUARD, 0, &stash);
			ret = 1;
		}
		up_write(&x->fault_lock);
	}
	ntvm_stash_drop(&stash);
	return ret;
}

/* Did the thread hit a guard page here, earlier in the same system call? */
static bool ntvm_fault_refused(const struct vm_fault *vmf, struct ntvm_extent *x)
{
	struct ntvm_process *p = x->process;

	return unlikely(atomic_read(&p->refusals)) &&
	       ntvm_hit_refused(p, vmf->flags, vmf->address);
}

/*
 * A guard page was hit. It is disarmed once: of the threads that get here at
 * the same time one is told, the others repeat their access. Returns
 * VM_FAULT_SIGSEGV to the one, with the hit on record; VM_FAULT_NOPAGE to the
 * others.
 */
static vm_fault_t ntvm_fault_guard(struct vm_fault *vmf, struct ntvm_extent *x)
{
	struct ntvm_hit hit;
	int disarmed;

	if (ntvm_hit_begin(&hit, x->process, vmf->flags, vmf->address, NTVM_FAULT_GUARD))
		return VM_FAULT_OOM;
	disarmed = ntvm_guard_disarm(x, ntvm_page(x, vmf->address));
	ntvm_hit_end(&hit, disarmed > 0);
	if (disarmed > 0)
		return VM_FAULT_SIGSEGV;
	return disarmed ? ntvm_fault_short(disarmed) : VM_FAULT_NOPAGE;
}

/* A core dump looks at the memory of a program that is at its end. */
static bool ntvm_fault_dumps(void)
{
	return current->flags & PF_DUMPCORE;
}

/* The state does not allow the access. A debugger's or a dump's never disarms a guard. */
static vm_fault_t ntvm_fault_refuse(struct vm_fault *vmf, struct ntvm_extent *x, u8 state)
{
	struct ntvm_process *p = x->process;
	vm_fault_t ret;

	if ((vmf->flags & FAULT_FLAG_REMOTE) || ntvm_fault_dumps())
		return VM_FAULT_SIGSEGV;
	/* What is offered is refused before a guard page there is used up. */
	if ((state & NTVM_STATE_BARRED) != NTVM_STATE_GUARD) {
		ntvm_hit_forget(p);
		return VM_FAULT_SIGSEGV;
	}
	if (!xa_empty(&p->stacks)) {
		ret = ntvm_stack_fault(vmf, x);
		if (ret)
			return ret;
	}
	return ntvm_fault_guard(vmf, x);
}

/*
 * A huge folio came back, because an administrator forces them onto tmpfs: the
 * core would map all of it. Map the one page, while the folio is locked.
 */
static vm_fault_t ntvm_fault_single(struct vm_fault *vmf)
{
	struct page *page = vmf->page;
	int err = vm_insert_page(vmf->vma, vmf->address, page);

	unlock_page(page);
	put_page(page);
	vmf->page = NULL;
	if (err && err != -EBUSY)
		return err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
	return VM_FAULT_NOPAGE;
}

/*
 * Returns VM_FAULT_LOCKED with the page; VM_FAULT_NOPAGE to have the access
 * repeated; VM_FAULT_SIGSEGV for an access violation or a guard hit;
 * VM_FAULT_SIGBUS for a VMA that is not the process's own or a page that cannot
 * be brought in; VM_FAULT_OOM, VM_FAULT_RETRY as shmem.
 */
static vm_fault_t ntvm_fault(struct vm_fault *vmf)
{
	struct ntvm_extent *x = vmf->vma->vm_private_data;
	bool allowed;
	vm_fault_t ret;
	u8 state;

	if (unlikely(!ntvm_fault_sane(vmf, x)))
		return VM_FAULT_SIGBUS;
	if (ntvm_fault_refused(vmf, x))
		return VM_FAULT_SIGSEGV;

	/* shmem may drop the mmap lock, and with it the VMA's reference. */
	ntvm_extent_get(x);
	down_read(&x->fault_lock);
	state = ntvm_pages_get(&x->pages, ntvm_page(x, vmf->address));
	allowed = vmf->flags & FAULT_FLAG_WRITE ? ntvm_state_writable(state) :
						  ntvm_state_readable(state);
	/* What has no contents is a hole of the dump, and needs no page. */
	if (unlikely(ntvm_fault_dumps()) &&
	    !ntvm_shadow_resident(x, vmf->address & PAGE_MASK,
				  (vmf->address & PAGE_MASK) + PAGE_SIZE))
		allowed = false;
	ntvm_debug_delay();	/* a change waits for the lock */
	ret = likely(allowed) ? ntvm_shmem_ops->fault(vmf) : 0;
	up_read(&x->fault_lock);
	ntvm_debug_delay();	/* a revocation waits for the folio */

	if (unlikely(!allowed))
		ret = ntvm_fault_refuse(vmf, x, state);
	else if ((ret & VM_FAULT_LOCKED) && unlikely(PageCompound(vmf->page)) &&
		 !(x->traits & NTVM_TRAIT_LARGE))
		ret = ntvm_fault_single(vmf);
	ntvm_extent_put(x);
	return ret;
}

/* Fault-around: maps cached pages on its own, so only those that may be read. */
static vm_fault_t ntvm_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	struct ntvm_extent *x = vmf->vma->vm_private_data;
	pgoff_t base = ntvm_shadow_pgoff(x, x->start);
	pgoff_t from = vmf->pgoff, to = vmf->pgoff;
	unsigned long last;
	vm_fault_t ret = 0;

	if (unlikely(!ntvm_fault_sane(vmf, x)))
		return 0;
	/* ->fault has to see the accesses that must fail. */
	if (unlikely(atomic_read(&x->process->refusals)))
		return 0;
	if (!down_read_trylock(&x->fault_lock))
		return 0;
	if (ntvm_state_readable(ntvm_pages_run(&x->pages, from - base, end - base, &last))) {
		to = base + last;
		while (from > start &&
		       ntvm_state_readable(ntvm_pages_get(&x->pages, from - 1 - base)))
			from--;
		while (to < end &&
		       ntvm_state_readable(ntvm_pages_get(&x->pages, to + 1 - base)))
			to++;
		ret = ntvm_shmem_ops->map_pages(vmf, from, to);
	}
	up_read(&x->fault_lock);
	return ret;
}

/*
 * The same for a watched extent: the write is recorded, as watch.c explains,
 * with fault_lock held and the folio locked, and the folio stays locked until
 * the page is writable. Out of the way of everybody else.
 */
static noinline vm_fault_t ntvm_mkwrite_watched(struct vm_fault *vmf, struct ntvm_extent *x)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	unsigned long page = ntvm_page(x, vmf->address);
	struct folio *folio = page_folio(vmf->page);
	u8 *byte, state;
	int err;

	for (;;) {
		down_read(&x->fault_lock);
		folio_lock(folio);
		if (unlikely(folio->mapping != mapping)) {
			folio_unlock(folio);	/* truncated meanwhile */
			up_read(&x->fault_lock);
			return VM_FAULT_NOPAGE;
		}
		byte = ntvm_pages_byte(&x->pages, page);
		state = byte ? READ_ONCE(*byte) : ntvm_pages_get(&x->pages, page);
		if (unlikely(!byte || !ntvm_state_writable(state) || (state & NTVM_STATE_RESET)))
			folio_unlock(folio);
		else if (!(state & NTVM_STATE_DIRTY))
			WRITE_ONCE(*byte, state | NTVM_STATE_DIRTY);
		up_read(&x->fault_lock);
		if (unlikely(!ntvm_state_writable(state)))
			return ntvm_fault_refuse(vmf, x, state);
		if (unlikely(state & NTVM_STATE_RESET)) {
			ntvm_reset_written(x, vmf->address, folio);
			continue;
		}
		if (likely(byte))
			return VM_FAULT_LOCKED;
		err = ntvm_watch_prepare(x, page);
		if (err)
			return ntvm_fault_short(err);
	}
}

/*
 * A mapped page is about to become writable. Returns VM_FAULT_LOCKED, or
 * VM_FAULT_NOPAGE to have the access repeated, or VM_FAULT_SIGSEGV.
 */
static vm_fault_t ntvm_page_mkwrite(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct ntvm_extent *x = vma->vm_private_data;
	struct folio *folio = page_folio(vmf->page);
	u8 state;

	if (unlikely(!ntvm_fault_sane(vmf, x)))
		return VM_FAULT_SIGBUS;
	if (ntvm_fault_refused(vmf, x))
		return VM_FAULT_SIGSEGV;
	if (unlikely(x->traits & NTVM_TRAIT_WATCH))
		return ntvm_mkwrite_watched(vmf, x);
again:
	folio_lock(folio);
	if (unlikely(folio->mapping != vma->vm_file->f_mapping)) {
		folio_unlock(folio);	/* truncated meanwhile */
		return VM_FAULT_NOPAGE;
	}
	/* The folio lock alone orders this check: see step 2 above. */
	rcu_read_lock();
	state = ntvm_pages_get(&x->pages, ntvm_page(x, vmf->address));
	rcu_read_unlock();
	if (likely(ntvm_state_writable(state) && !(state & NTVM_STATE_RESET)))
		return VM_FAULT_LOCKED;
	folio_unlock(folio);
	if (!ntvm_state_writable(state))
		return ntvm_fault_refuse(vmf, x, state);
	/* What is written now shall stay. */
	ntvm_reset_written(x, vmf->address, folio);
	goto again;
}

/*
 * A page that its protection makes read-only, written to nevertheless: for
 * tracers only, if the kernel is as strict with its own memory, or if that would
 * bring new code into a process that shall have none. The hook is not told what
 * the kernel has decided.
 */
static bool ntvm_access_overrides(struct ntvm_process *p, u8 state)
{
	u8 prot = state & NTVM_STATE_PROT;

	if (prot == NTVM_PROT_RW || prot == NTVM_PROT_RWX)
		return true;
	if (!NTVM_MEM_NEEDS_TRACER && (ntvm_state_kind(state) == NTVM_KIND_PLAIN ||
				       !ntvm_mm_denies_write_exec(p->mm)))
		return true;
	return ntvm_process_traced(p);
}

/*
 * ptrace and /proc/PID/mem, where the page tables said no: any committed page
 * can be reached. Runs under the mmap lock, shared. Returns bytes copied.
 */
static int ntvm_access(struct vm_area_struct *vma, unsigned long addr, void *buf,
		       int len, int write)
{
	struct ntvm_extent *x = vma->vm_private_data;
	struct address_space *mapping = vma->vm_file->f_mapping;
	bool watched = write && (x->traits & NTVM_TRAIT_WATCH);
	unsigned int offset, bytes;
	struct folio *folio;
	struct page *page;
	int done = 0;
	char *map;
	u8 state;

	if (vma->vm_mm != x->process->mm)
		return -EIO;
	while (done < len && addr < vma->vm_end) {
		offset = offset_in_page(addr);
		bytes = min_t(unsigned int, len - done, PAGE_SIZE - offset);
		if (unlikely(watched) && ntvm_watch_prepare(x, ntvm_page(x, addr)))
			break;
		down_read(&x->fault_lock);
		state = ntvm_pages_get(&x->pages, ntvm_page(x, addr));
		page = ERR_PTR(-EIO);
		if (ntvm_state_committed(state) &&
		    (!write || ntvm_access_overrides(x->process, state)))
			page = shmem_read_mapping_page_gfp(mapping, ntvm_shadow_pgoff(x, addr),
							   mapping_gfp_mask(mapping));
		up_read(&x->fault_lock);
		if (IS_ERR(page))
			break;
		folio = page_folio(page);
		folio_lock(folio);
		rcu_read_lock();
		state = ntvm_pages_get(&x->pages, ntvm_page(x, addr));
		rcu_read_unlock();
		if (write && unlikely(state & NTVM_STATE_RESET)) {
			folio_unlock(folio);
			ntvm_reset_written(x, addr, folio);
		} else if (folio->mapping == mapping) {
			map = kmap_local_page(page);
			if (write) {
				memcpy(map + offset, buf + done, bytes);
				set_page_dirty(page);
			} else {
				memcpy(buf + done, map + offset, bytes);
			}
			kunmap_local(map);
			done += bytes;
			addr += bytes;
			folio_unlock(folio);
		} else {
			folio_unlock(folio);
		}
		folio_put(folio);
		/* Behind the write: no harvest in between can have missed it. */
		if (unlikely(watched) && done)
			ntvm_watch_wrote(x, ntvm_page(x, addr - 1));
	}
	return done ?: -EIO;
}

/* A VMA of ours was copied: a split of ours, mremap, or a fork despite DONTCOPY. */
static void ntvm_vma_open(struct vm_area_struct *vma)
{
	struct ntvm_extent *x = vma->vm_private_data;

	ntvm_process_get(x->process);
	ntvm_extent_get(x);
	/*
	 * A fork child copies page table entries, before this call or after it,
	 * because the VMA is VM_MIXEDMAP. It shall not have any: there are none to
	 * copy, or they go again. The parent faults its own in anew.
	 */
	if (vma->vm_mm != x->process->mm)
		unmap_mapping_pages(vma->vm_file->f_mapping, vma->vm_pgoff, vma_pages(vma),
				    false);
}

/*
 * A memory policy lies with the file, by offset, and so outlives a VMA that is
 * only mapped anew. It shall not outlive the memory. If there is no memory for
 * a policy with a hole, what is mapped here next prefers the same node: a
 * preference for a node is never an obligation.
 */
static void ntvm_vma_drop_policy(struct vm_area_struct *vma, struct ntvm_extent *x)
{
#ifdef CONFIG_NUMA
	struct ntvm_process *p = x->process;

	if (ntvm_shmem_ops->set_policy && !(ntvm_layout_ours(p) && p->layout.extent == x))
		ntvm_shmem_ops->set_policy(vma, NULL);
#endif
}

static void ntvm_vma_close(struct vm_area_struct *vma)
{
	struct ntvm_extent *x = vma->vm_private_data;
	struct ntvm_process *p = x->process;

	if (vma->vm_mm == p->mm) {
		if (vma->vm_flags & VM_DONTDUMP)
			x->private = true;
		if (unlikely(READ_ONCE(x->policy)))
			ntvm_vma_drop_policy(vma, x);
		if (!ntvm_layout_ours(p)) {
			/* At the end of a process nobody is left who would want them locked. */
			if (unlikely(x->traits & (NTVM_TRAIT_LOCKED | NTVM_TRAIT_LARGE)) &&
			    !atomic_read(&p->mm->mm_users))
				ntvm_lock_forget(x, 0, ULONG_MAX);
			ntvm_process_poke(p);
			/* The work may be done by now, and the reference below the last. */
			ntvm_debug_delay();
		}
	}
	ntvm_extent_put(x);
	ntvm_process_put(p);
}

static int ntvm_vma_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	struct ntvm_extent *x = vma->vm_private_data;

	return ntvm_layout_ours(x->process) ? 0 : -EINVAL;
}

static int ntvm_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
			     unsigned long end, unsigned long newflags)
{
	return -EACCES;
}

static int ntvm_vma_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

#ifdef CONFIG_NUMA
/* mbind(2). A fork child's copy has no say in the file's policy. */
static int ntvm_vma_set_policy(struct vm_area_struct *vma, struct mempolicy *policy)
{
	struct ntvm_extent *x = vma->vm_private_data;

	if (vma->vm_mm != x->process->mm)
		return -EINVAL;
	WRITE_ONCE(x->policy, true);
	return ntvm_shmem_ops->set_policy(vma, policy);
}
#endif

/**
 * ntvm_fault_ready - are shmem's hooks known already?
 *
 * Context: any.
 * Return: false: ntvm_fault_init() is due before the first VMA.
 */
bool ntvm_fault_ready(void)
{
	return smp_load_acquire(&ntvm_shmem_ops);	/* pairs with ntvm_fault_init() */
}

/**
 * ntvm_fault_init - learn shmem's hooks
 * @shmem_ops: what shmem put into a VMA
 *
 * The copy of them keeps NUMA policy and whatever later kernels add.
 *
 * Context: any.
 */
void ntvm_fault_init(const struct vm_operations_struct *shmem_ops)
{
	spin_lock(&ntvm_vm_ops_lock);
	if (!ntvm_shmem_ops) {
		ntvm_vm_ops = *shmem_ops;
		ntvm_vm_ops_clear_uffd(&ntvm_vm_ops);
		ntvm_vm_ops.open = ntvm_vma_open;
		ntvm_vm_ops.close = ntvm_vma_close;
		ntvm_vm_ops.may_split = ntvm_vma_may_split;
		ntvm_vm_ops.mprotect = ntvm_vma_mprotect;
		ntvm_vm_ops.mremap = ntvm_vma_mremap;
		ntvm_vm_ops.fault = ntvm_fault;
		ntvm_vm_ops.map_pages = ntvm_map_pages;
		ntvm_vm_ops.page_mkwrite = ntvm_page_mkwrite;
		ntvm_vm_ops.access = ntvm_access;
#ifdef CONFIG_NUMA
		if (shmem_ops->set_policy)
			ntvm_vm_ops.set_policy = ntvm_vma_set_policy;
#endif
		/* Pairs with ntvm_fault_ready(). */
		smp_store_release(&ntvm_shmem_ops, shmem_ops);
	}
	spin_unlock(&ntvm_vm_ops_lock);
}

/**
 * ntvm_fault_install - make a fresh VMA one of ours
 * @vma: the VMA; its flags and offset are set
 * @x: what it maps; learns its bounds from its first VMA
 *
 * Context: mmap lock held for writing.
 */
void ntvm_fault_install(struct vm_area_struct *vma, struct ntvm_extent *x)
{
	if (!x->end) {
		x->start = vma->vm_start;
		x->end = vma->vm_end;
	}
	ntvm_process_get(x->process);
	vma->vm_private_data = ntvm_extent_get(x);
	vma->vm_ops = &ntvm_vm_ops;
}

/**
 * ntvm_fault_is_ours - is this a VMA of the module?
 * @vma: the VMA
 *
 * Context: mmap lock held.
 */
bool ntvm_fault_is_ours(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &ntvm_vm_ops;
}

/**
 * ntvm_revoke - steps 2 and 3 of the protocol, keeping the contents
 * @x: the extent; the page states have been changed
 * @start: first byte, page aligned
 * @end: first byte behind it
 *
 * Context: process context, may sleep; neither fault_lock nor mmap lock held.
 */
void ntvm_revoke(struct ntvm_extent *x, unsigned long start, unsigned long end)
{
	struct address_space *mapping = x->file->f_mapping;
	unsigned long index = ntvm_shadow_pgoff(x, start);
	unsigned long last = ntvm_shadow_pgoff(x, end) - 1;
	struct folio *folio;
	bool resident = false;
	void *entry;

	while (index <= last &&
	       (entry = xa_find(&mapping->i_pages, &index, last, XA_PRESENT))) {
		resident = true;
		if (!xa_is_value(entry)) {	/* not swapped out */
			folio = filemap_get_folio(mapping, index);
			if (!IS_ERR_OR_NULL(folio)) {
				folio_lock(folio);
				folio_unlock(folio);
				folio_put(folio);
			}
		}
		index++;
		cond_resched();
	}
	if (resident)
		unmap_mapping_pages(mapping, ntvm_shadow_pgoff(x, start),
				    last - ntvm_shadow_pgoff(x, start) + 1, false);
}
