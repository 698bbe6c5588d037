/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Internal types of ntvm, and the order of its locks.
 *
 * Locks, outermost first:
 *
 *   ntvm_process.lock     rwsem. Exclusive: the region tree and the layout of
 *                         VMAs change (reserve, release, placeholders, anything
 *                         executable). Shared: they do not (commit, decommit,
 *                         protect, query).
 *   ntvm_extent.lock      mutex. One change of an extent's page states at a
 *                         time, from the first look at them until the pages
 *                         that the change disowned are gone.
 *                         Faults of growing stacks only try for it.
 *   ntvm_ledger.lock      mutex. The commit charge.
 *   mmap_lock             taken by vm_mmap() and vm_munmap(), by the look at
 *                         foreign mappings, and to take pages for a lock or a
 *                         copy; never held when the above are taken.
 *   ntvm_extent.fault_lock  rwsem. Exclusive for the instant in which page
 *                         states change; shared by faults, from their check
 *                         until the page is locked, and by queries. Shared,
 *                         with a folio locked, it covers the RESET and LOST
 *                         bits of that page.
 *   folio lock, i_mmap_rwsem, page table locks
 *   spinlocks             the table of processes (process.c), the refusals
 *                         (hit.c), who is in which job and the sums of a job
 *                         (job.c). No other lock is taken under one of these.
 *
 * fault.c has the revocation protocol that ties the last three together. User
 * memory is copied outside all of them. vm_operations.close runs under the
 * mmap write lock and takes none: it leaves a note and a work item behind. The
 * shrinker (reset.c) runs under any of them and only tries for its own.
 */
#ifndef NTVM_INTERNAL_H
#define NTVM_INTERNAL_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <linux/ntvm.h>

#include "pages.h"
#include "region.h"
#include "rules.h"

struct ntvm_extent;
struct ntvm_job_object;

/* What kind of VMA a state needs; uncommitted pages fit any. */
enum ntvm_kind {
	NTVM_KIND_PLAIN,	/* read, write: everything that is not executable */
	NTVM_KIND_RX,		/* EXECUTE, EXECUTE_READ */
	NTVM_KIND_RWX,		/* EXECUTE_READWRITE */
};

/**
 * struct ntvm_ledger - commit charge of a process, kept with the kernel's own
 * @lock: protects @charged, @limit and @job
 * @file: unlinked tmpfs file; its size is what the kernel has charged
 * @charged: pages charged (@lock)
 * @credit: pages of those that are not committed
 * @most: credit that decommits may build up; 0 in a process with a limit or a
 *	  job: it has no credit, so that all its charges come to the limits
 * @committed: pages committed
 * @peak: the most there ever were of these
 * @limit: bytes that may be committed, 0: no limit (@lock)
 * @job: the job that the process is in, NULL: none (@lock)
 * @in_job: in the list of that job (its lock)
 * @trim: gives an idle credit back
 */
struct ntvm_ledger {
	struct mutex lock;
	struct file *file;
	unsigned long charged;
	atomic_long_t credit;
	long most;
	atomic_long_t committed;
	atomic_long_t peak;
	u64 limit;
	struct ntvm_job_object *job;
	struct list_head in_job;
	struct delayed_work trim;
};

/**
 * struct ntvm_layout - the mapping call that the module itself is making
 * @task: who makes it; the hooks of everybody else refuse
 * @extent: what is being mapped
 * @kind: of VMA
 * @top_down: choose the highest address there is
 * @lowest: a chosen address is not below this
 * @limit: a chosen range ends at or below this
 * @align: a chosen address is a multiple of this, the granularity or more
 *
 * Written with ntvm_process.lock held exclusively. Hooks that run in @task
 * read the rest freely; others read only @task.
 */
struct ntvm_layout {
	struct task_struct *task;
	struct ntvm_extent *extent;
	enum ntvm_kind kind;
	bool top_down;
	unsigned long lowest;
	unsigned long limit;
	unsigned long align;
};

/* What is given up first: RESET pages, then offered ones by priority. */
#define NTVM_RESET_LEVELS	(1 + NTVM_OFFER_NORMAL)

/**
 * struct ntvm_disposable - contents of a process that may be given up
 * @pages: how many, by level
 * @next: address at which giving up goes on
 * @scan: the search that has seen the process (under the table's lock)
 */
struct ntvm_disposable {
	atomic_long_t pages[NTVM_RESET_LEVELS];
	unsigned long next;
	unsigned int scan;
};

/**
 * struct ntvm_process - what ntvm knows of one mm
 * @refs: open files, VMAs, work items
 * @refusals: system calls under way that have hit a guard page, see hit.c
 * @mm: the address space, pinned by mmgrab() (invariant after init)
 * @pid: thread group that opened first, for fdinfo (invariant after init)
 * @node: in the table of processes (under its lock)
 * @lock: see above
 * @regions: the allocations (@lock)
 * @quota: what its page states take; its extents pin it too (invariant after init)
 * @shadow: tmpfs file that holds the contents; made by the first reserve and
 *	    given up when the mm is gone (@lock)
 * @large: the same for large pages, made by the first of them (@lock)
 * @dumps: core dumps know which of its pages have contents (@lock)
 * @dead: the mm is gone and everything has been given up (@lock)
 * @contract: NTVM_CONTRACT_* (one word, read and written as such)
 * @ledger: commit charge
 * @layout: see struct ntvm_layout
 * @space: bounds that arguments are judged by (invariant after init)
 * @stale: somebody else unmapped VMAs of ours: look before the next use
 * @sync_work: looks, also when no next use comes; holds a reference
 * @release_work: destroys the object outside the context of the last put
 * @hits: last guard page hit, by thread id
 * @stacks: stacks that grow, by thread id; see stack.c
 * @nr_stacks: how many (@lock)
 * @prune_stacks: as many as this: see whose threads are gone (@lock)
 * @disposable: see struct ntvm_disposable
 */
struct ntvm_process {
	refcount_t refs;
	atomic_t refusals;
	struct mm_struct *mm;
	struct pid *pid;
	struct hlist_node node;
	struct rw_semaphore lock;
	struct ntvm_regions regions;
	struct ntvm_quota *quota;
	struct file *shadow;
	struct file *large;
	bool dumps;
	bool dead;
	u32 contract;
	struct ntvm_ledger ledger;
	struct ntvm_layout layout;
	struct ntvm_space space;
	bool stale;
	struct work_struct sync_work;
	struct work_struct release_work;
	struct xarray hits;
	struct xarray stacks;
	unsigned int nr_stacks;
	unsigned int prune_stacks;
	struct ntvm_disposable disposable;
};

/**
 * struct ntvm_extent - what one reserve mapped
 * @refs: its regions and its VMAs
 * @process: owner; every user of the extent has a reference on it by itself
 * @start: first byte (invariant after the mapping call)
 * @end: first byte behind it (invariant after the mapping call)
 * @lock: see above
 * @fault_lock: see above
 * @pages: page states (written under @lock and @fault_lock, or, to disarm a
 *	   guard page, under @fault_lock alone; NTVM_STATE_DIRTY is set in bytes
 *	   that exist under @fault_lock shared and the lock of the page's folio; a
 *	   stack that grows tries for @lock under the mmap_lock; reset.c has a
 *	   further way)
 * @executable: VMAs other than the plain kind exist (process lock)
 * @policy: a VMA of it has got a memory policy (set under the mmap lock, never
 *	    cleared)
 * @private: somebody has taken a VMA of it out of core dumps (mmap lock)
 * @traits: NTVM_TRAIT_* (written with the process lock or @lock held, and with
 *	    @fault_lock where faults ask for them)
 * @keep: bits of a page's state that a commit or a change of protection leaves
 *	  alone (as @traits)
 * @file: the shadow file that it maps (invariant); the process pins it
 * @shift: what turns page numbers of addresses into those of @file (invariant)
 * @latched: watched: the pages whose writes a decommit does not forget, a bitmap
 *	     for each leaf that has one (@lock)
 * @locked: references on locked pages and on large ones, by page; see lock.c
 * @offers: priorities of offered pages, NULL before the first offer
 *	    (as @pages)
 * @region: what it was reserved for
 *
 * A region and its extent are one to one until a part of the region is
 * released: then the regions that remain share the extent.
 */
struct ntvm_extent {
	refcount_t refs;
	struct ntvm_process *process;
	unsigned long start;
	unsigned long end;
	struct mutex lock;
	struct rw_semaphore fault_lock;
	struct ntvm_pages pages;
	bool executable;
	bool policy;
	bool private;
	u8 traits;
	u8 keep;
	u16 shift;
	struct file *file;
	struct xarray latched;
	struct ntvm_pages *offers;
	struct ntvm_region region;
	struct xarray locked;
};

/* What makes an extent more than plain memory: free.c lets go of these first. */
#define NTVM_TRAIT_WATCH	0x01	/* watch.c: writes are recorded */
#define NTVM_TRAIT_RESET	0x02	/* reset.c: contents may have been given up */
#define NTVM_TRAIT_LOCKED	0x04	/* lock.c: pages may be locked in memory */
#define NTVM_TRAIT_LARGE	0x08	/* large.c: large pages */

/* Pages of a large page. */
#define NTVM_LARGE_PAGES	(NTVM_LARGE_BYTES >> PAGE_SHIFT)

/* Pages by which the shadow file is ahead of addresses; see shadow.c. */
#define NTVM_SHADOW_SHIFT	1

/**
 * struct ntvm_handle - an open file of /dev/ntvm
 * @process: the address space it is a handle to
 * @access: NTVM_ACCESS_*
 */
struct ntvm_handle {
	struct ntvm_process *process;
	u32 access;
};

/* Page number of an address within an extent. */
static inline unsigned long ntvm_page(const struct ntvm_extent *x, unsigned long addr)
{
	return (addr - x->start) >> PAGE_SHIFT;
}

static inline enum ntvm_kind ntvm_state_kind(u8 state)
{
	switch (state & NTVM_STATE_PROT) {
	case NTVM_PROT_X:
	case NTVM_PROT_RX:
		return NTVM_KIND_RX;
	case NTVM_PROT_RWX:
		return NTVM_KIND_RWX;
	default:
		return NTVM_KIND_PLAIN;
	}
}

static inline bool ntvm_state_committed(u8 state)
{
	return state & NTVM_STATE_PROT;
}

/* No access, whatever the protection says. */
#define NTVM_STATE_BARRED	(NTVM_STATE_GUARD | NTVM_STATE_OFFERED)

static inline bool ntvm_state_readable(u8 state)
{
	return (state & NTVM_STATE_PROT) >= NTVM_PROT_R && !(state & NTVM_STATE_BARRED);
}

static inline bool ntvm_state_writable(u8 state)
{
	u8 prot = state & NTVM_STATE_PROT;

	return (prot == NTVM_PROT_RW || prot == NTVM_PROT_RWX) &&
	       !(state & NTVM_STATE_BARRED);
}

/* Does the change from @old to @state take away a right? */
static inline bool ntvm_state_narrows(u8 old, u8 state)
{
	return (ntvm_state_readable(old) && !ntvm_state_readable(state)) ||
	       (ntvm_state_writable(old) && !ntvm_state_writable(state));
}

/* process.c */
struct ntvm_process *ntvm_process_open(void);
struct ntvm_process *ntvm_process_get(struct ntvm_process *p);
void ntvm_process_put(struct ntvm_process *p);
void ntvm_process_poke(struct ntvm_process *p);
bool ntvm_process_claim(struct ntvm_process *p, unsigned long start, unsigned long end);
const struct cred *ntvm_process_cred(struct ntvm_process *p);
bool ntvm_process_traced(struct ntvm_process *p);
struct ntvm_process *ntvm_process_pick(unsigned int level, unsigned int scan);
u32 ntvm_process_lock_slow(struct ntvm_process *p, bool exclusive);
int ntvm_process_init(void);
void ntvm_process_exit(void);
extern struct workqueue_struct *ntvm_wq, *ntvm_leaf_wq, *ntvm_timer_wq;

/**
 * ntvm_process_lock - take the process lock for an operation
 * @p: the process; its mm is kept alive by the caller
 * @exclusive: see the lock order
 *
 * Brings the region tree up to date with what outsiders unmapped.
 *
 * Context: process context, may sleep.
 * Return: 0 with the lock held, or NTVM_STATUS_PROCESS_IS_TERMINATING.
 */
static inline u32 ntvm_process_lock(struct ntvm_process *p, bool exclusive)
{
	if (!exclusive) {
		down_read(&p->lock);
		if (likely(!READ_ONCE(p->stale) && !p->dead))
			return 0;
		up_read(&p->lock);
	} else {
		down_write(&p->lock);
		if (likely(!READ_ONCE(p->stale) && !p->dead))
			return 0;
		up_write(&p->lock);
	}
	return ntvm_process_lock_slow(p, exclusive);
}

/**
 * ntvm_process_unlock - undo ntvm_process_lock()
 * @p: the process
 * @exclusive: as it was taken
 */
static inline void ntvm_process_unlock(struct ntvm_process *p, bool exclusive)
{
	if (exclusive)
		up_write(&p->lock);
	else
		up_read(&p->lock);
}

/**
 * ntvm_process_lock_at - take the process lock for a change of a region's pages
 * @p: the process; its mm is kept alive by the caller
 * @addr: an address in the region
 * @exclusive: in, wanted at least; out, taken: a region with executable pages
 *	       is always changed exclusively
 * @r: out, the region, NULL if there is none at @addr
 *
 * Context: process context, may sleep.
 * Return: as ntvm_process_lock().
 */
static inline u32 ntvm_process_lock_at(struct ntvm_process *p, unsigned long addr,
				       bool *exclusive, struct ntvm_region **r)
{
	u32 status;

	for (;;) {
		status = ntvm_process_lock(p, *exclusive);
		if (status)
			return status;
		*r = ntvm_regions_find(&p->regions, addr);
		if (likely(*exclusive || !*r || !(*r)->extent->executable))
			return status;
		ntvm_process_unlock(p, false);
		*exclusive = true;
	}
}

/* quota.c */
struct ntvm_quota *ntvm_quota_alloc(void);
struct ntvm_quota *ntvm_quota_get(struct ntvm_quota *q);
void ntvm_quota_put(struct ntvm_quota *q);
bool ntvm_quota_regions(const struct ntvm_process *p, unsigned int nr);

/* extent.c */
struct ntvm_extent *ntvm_extent_alloc(struct ntvm_process *p, unsigned long pages, u8 state);
struct ntvm_extent *ntvm_extent_get(struct ntvm_extent *x);
void ntvm_extent_put(struct ntvm_extent *x);
struct ntvm_region *ntvm_region_alloc(struct ntvm_extent *x);
void ntvm_region_free(struct ntvm_region *r);
int ntvm_extent_init(void);
void ntvm_extent_exit(void);

/* shadow.c */
struct file *ntvm_shadow_create(struct ntvm_process *p);
struct file *ntvm_shadow_create_large(struct ntvm_process *p);
void ntvm_shadow_punch(struct ntvm_extent *x, unsigned long start, unsigned long end);
bool ntvm_shadow_resident(struct ntvm_extent *x, unsigned long start, unsigned long end);
bool ntvm_shadow_is(const struct file *file);
struct file *ntvm_tmpfs_file(const char *name);
int ntvm_shadow_init(void);
void ntvm_shadow_exit(void);

/* The shadow file's page for an address; see shadow.c for the shift. */
static inline pgoff_t ntvm_shadow_pgoff(const struct ntvm_extent *x, unsigned long addr)
{
	return (addr >> PAGE_SHIFT) + x->shift;
}

/* core.c */
bool ntvm_core_enter(void);

/* layout.c */
long ntvm_layout_reserve(struct ntvm_process *p, struct ntvm_extent *x,
			 const struct ntvm_range *range, bool choose, bool top_down,
			 enum ntvm_kind kind);
int ntvm_layout_replace(struct ntvm_process *p, struct ntvm_extent *x,
			unsigned long start, unsigned long end, enum ntvm_kind kind);
int ntvm_layout_unmap(struct ntvm_process *p, unsigned long start, unsigned long end);
int ntvm_layout_kind(struct ntvm_process *p, struct ntvm_extent *x,
		     unsigned long start, unsigned long end, enum ntvm_kind kind);
bool ntvm_layout_mend(struct ntvm_process *p, struct ntvm_region *r);
void ntvm_layout_plain(struct ntvm_process *p, struct ntvm_extent *x,
		       const struct ntvm_region *r);
bool ntvm_layout_ours(const struct ntvm_process *p);
unsigned long ntvm_layout_find_hole(struct mm_struct *mm, const struct ntvm_layout *l,
				    unsigned long len);
u32 ntvm_errno_status(long err);

/* fault.c */
bool ntvm_fault_ready(void);
void ntvm_fault_init(const struct vm_operations_struct *shmem_ops);
void ntvm_fault_install(struct vm_area_struct *vma, struct ntvm_extent *x);
bool ntvm_fault_is_ours(const struct vm_area_struct *vma);
void ntvm_revoke(struct ntvm_extent *x, unsigned long start, unsigned long end);
int ntvm_guard_disarm(struct ntvm_extent *x, unsigned long page);

/*
 * The page states need nodes that are not to be had. With a full quota it would
 * be in vain to repeat the access, and the kernel takes VM_FAULT_OOM for that.
 */
static inline vm_fault_t ntvm_fault_short(int err)
{
	return err == -EDQUOT ? VM_FAULT_SIGBUS : VM_FAULT_OOM;
}

/* hit.c */

/* An entry of ntvm_process.hits: page number and kind. */
#define NTVM_HIT_KIND_BITS	2

/**
 * struct ntvm_hit - a guard hit about to be made
 * @process: whose page
 * @file: an open file whose last put ends the refusal, NULL for none
 */
struct ntvm_hit {
	struct ntvm_process *process;
	struct file *file;
};

int ntvm_hit_begin(struct ntvm_hit *hit, struct ntvm_process *p, unsigned int flags,
		   unsigned long addr, u32 kind);
void ntvm_hit_end(struct ntvm_hit *hit, bool made);
void ntvm_hit_forget(struct ntvm_process *p);
bool ntvm_hit_refused(struct ntvm_process *p, unsigned int flags, unsigned long addr);

/* stack.c */
vm_fault_t ntvm_stack_fault(struct vm_fault *vmf, struct ntvm_extent *x);
void ntvm_stack_exit(struct ntvm_process *p);

/* ledger.c */
int ntvm_ledger_init(struct ntvm_ledger *l);
void ntvm_ledger_exit(struct ntvm_ledger *l);
bool ntvm_ledger_charge(struct ntvm_ledger *l, unsigned long pages);
bool ntvm_ledger_charge_atomic(struct ntvm_ledger *l, unsigned long pages);
void ntvm_ledger_stock(struct ntvm_ledger *l, unsigned long pages);
void ntvm_ledger_uncharge(struct ntvm_ledger *l, unsigned long pages);
unsigned long ntvm_ledger_committed(const struct ntvm_ledger *l);
unsigned long ntvm_ledger_peak(const struct ntvm_ledger *l);
void ntvm_ledger_limit(struct ntvm_ledger *l, u64 limit);
u32 ntvm_ledger_join(struct ntvm_ledger *l, struct ntvm_job_object *job, bool checked);
void ntvm_ledger_leave(struct ntvm_ledger *l);

/* job.c */
struct ntvm_job_object *ntvm_job_get(struct ntvm_job_object *job);
void ntvm_job_put(struct ntvm_job_object *job);
bool ntvm_job_enter(struct ntvm_job_object *job, struct ntvm_ledger *l, bool checked);
void ntvm_job_exit(struct ntvm_job_object *job, struct ntvm_ledger *l);
bool ntvm_job_charge(struct ntvm_job_object *job, unsigned long charged, unsigned long pages);
void ntvm_job_settle(struct ntvm_job_object *job, unsigned long charged, unsigned long pages,
		     bool ok);
void ntvm_job_uncharge(struct ntvm_job_object *job, unsigned long pages);
int ntvm_job_inherit(struct ntvm_process *p);
void ntvm_job_leave(struct ntvm_process *p);
void ntvm_job_module_exit(void);

/* Are so many pages more than a limit in bytes allows? 0 is no limit. */
static inline bool ntvm_over(u64 limit, u64 pages)
{
	return limit && pages > limit >> PAGE_SHIFT;
}

/* Operations: allocate.c, allocate_ex.c, free.c, protect.c, query.c */

/**
 * struct ntvm_op - one operation on one process, arguments checked and rounded
 * @process: the target; the caller holds a reference and keeps its mm alive
 * @range: in, and out on success: @range.start and @range.end
 * @type: NTVM_ALLOC_* or NTVM_FREE_*
 * @protect: NTVM_PAGE_*
 * @contract: NTVM_CONTRACT_*
 * @choose: allocate: the caller gave no base
 * @apart: replace: with a VMA of its own
 * @charged: allocate, large pages: they are in locked_vm already
 * @whole: free: the caller gave size 0
 * @offset: free, reset: what rounding took from the caller's base
 * @tail: reset: bytes of the last page that the caller meant, 0: all
 * @old: out, protect: what the first page had
 * @err: out, -EINTR if the caller was killed meanwhile
 */
struct ntvm_op {
	struct ntvm_process *process;
	struct ntvm_range range;
	u32 type;
	u32 protect;
	u32 contract;
	bool choose;
	bool apart;
	bool charged;
	bool whole;
	u32 offset;
	u32 tail;
	u32 old;
	int err;
};

enum ntvm_change_how {
	NTVM_CHANGE_COMMIT,
	NTVM_CHANGE_PROTECT,
};

/* change.c */
u32 ntvm_change(struct ntvm_op *op, struct ntvm_region *r, u8 state,
		enum ntvm_change_how how);

/**
 * struct ntvm_span - pages of an extent that an operation changes
 * @extent: the extent
 * @first: first page
 * @last: last page
 * @byte: where a single page's state is stored by itself, else NULL
 * @stash: memory for the change
 */
struct ntvm_span {
	struct ntvm_extent *extent;
	unsigned long first;
	unsigned long last;
	u8 *byte;
	struct ntvm_stash stash;
};

/**
 * ntvm_span_init - name the pages that an operation will change
 * @s: the span
 * @x: the extent, its lock held or the process lock exclusively
 * @start: first byte, page aligned
 * @end: first byte behind it
 *
 * Context: any.
 */
static inline void ntvm_span_init(struct ntvm_span *s, struct ntvm_extent *x,
				  unsigned long start, unsigned long end)
{
	s->extent = x;
	s->first = ntvm_page(x, start);
	s->last = ntvm_page(x, end - 1);
	s->byte = s->first == s->last ? ntvm_pages_byte(&x->pages, s->first) : NULL;
	s->stash.list = NULL;
	s->stash.nr = 0;
}

/**
 * ntvm_span_prepare - see to it that the change cannot fail
 * @s: the span
 *
 * Context: process context, may sleep.
 * Return: 0, -ENOMEM or -EDQUOT; ntvm_span_drop() is due either way.
 */
static inline int ntvm_span_prepare(struct ntvm_span *s)
{
	if (s->byte)
		return 0;
	return ntvm_stash_fill(&s->extent->pages, &s->stash,
			       ntvm_pages_missing(&s->extent->pages, s->first, s->last));
}

/**
 * ntvm_span_prepare_beyond - the same for a change that cannot be refused
 * @s: the span
 *
 * Context: process context, may sleep.
 * Return: 0 or -ENOMEM; ntvm_span_drop() is due either way.
 */
static inline int ntvm_span_prepare_beyond(struct ntvm_span *s)
{
	if (s->byte)
		return 0;
	return ntvm_stash_fill_beyond(&s->extent->pages, &s->stash,
				      ntvm_pages_missing(&s->extent->pages, s->first, s->last));
}

/**
 * ntvm_span_drop - free what the preparation has left over
 * @s: the span
 *
 * Context: process context.
 */
static inline void ntvm_span_drop(struct ntvm_span *s)
{
	if (s->stash.list)
		ntvm_stash_drop(&s->stash);
}

/**
 * ntvm_span_committed - count committed pages
 * @s: the span
 *
 * Context: process context.
 * Return: how many there are.
 */
static inline unsigned long ntvm_span_committed(const struct ntvm_span *s)
{
	if (s->byte)
		return ntvm_state_committed(READ_ONCE(*s->byte));
	return ntvm_pages_committed(&s->extent->pages, s->first, s->last);
}

void ntvm_span_set(struct ntvm_span *s, u8 keep, u8 state);

u32 ntvm_allocate(struct ntvm_op *op);
struct ntvm_extent *ntvm_extent_create(struct ntvm_process *p, u32 type, unsigned long pages,
				       u8 state);
u32 ntvm_replace(struct ntvm_op *op);
u32 ntvm_placeholder_split(struct ntvm_op *op, struct ntvm_region *r);
u32 ntvm_placeholder_join(struct ntvm_op *op, struct ntvm_region *r);
u32 ntvm_free(struct ntvm_op *op);
u32 ntvm_protect(struct ntvm_op *op);
u32 ntvm_page_protect(const struct ntvm_region *r, u8 state);
u32 ntvm_query_basic(struct ntvm_process *p, unsigned long addr,
		     struct ntvm_basic_info *out);
u32 ntvm_foreign_type(struct ntvm_process *p, unsigned long addr);
int ntvm_release_range(struct ntvm_process *p, struct ntvm_region *r,
		       unsigned long start, unsigned long end, bool unmap);
void ntvm_release_unmade(struct ntvm_process *p, struct ntvm_extent *x);

/* watch.c */
int ntvm_watch_prepare(struct ntvm_extent *x, unsigned long page);
void ntvm_watch_wrote(struct ntvm_extent *x, unsigned long page);
int ntvm_watch_latch_prepare(struct ntvm_extent *x, unsigned long first, unsigned long last);
void ntvm_watch_latch(struct ntvm_extent *x, unsigned long first, unsigned long last);
void ntvm_watch_exit(struct ntvm_extent *x);

/* lock.c */
bool ntvm_lock_held(struct ntvm_extent *x, unsigned long page);
unsigned long ntvm_lock_forget(struct ntvm_extent *x, unsigned long first, unsigned long last);
void ntvm_lock_drop(struct ntvm_extent *x, unsigned long start, unsigned long end);

/* large.c */
u32 ntvm_large_allocate(struct ntvm_op *op);
u32 ntvm_large_protect_check(const struct ntvm_op *op);

/* reset.c */
u32 ntvm_reset(struct ntvm_op *op);
void ntvm_reset_forget(struct ntvm_extent *x, unsigned long start, unsigned long end);
void ntvm_reset_written(struct ntvm_extent *x, unsigned long addr, struct folio *folio);
void ntvm_reset_give_up(struct ntvm_process *p);
unsigned long ntvm_reset_pages(const struct ntvm_process *p);
int ntvm_reset_init(void);
void ntvm_reset_exit(void);

/* call.c */
struct ntvm_call;
void ntvm_worker_run(struct ntvm_process *p, const struct cred *cred, void (*fn)(void *arg),
		     void *arg);
void ntvm_foreign_run(struct ntvm_process *p, void (*fn)(void *arg), void *arg);

/* ioctl.c */
long ntvm_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* main.c */
extern const struct file_operations ntvm_fops;

#endif
