// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtReadVirtualMemory, NtWriteVirtualMemory: bytes between the caller and
 * memory of the module in any process. The handle opens that memory and no
 * other: where it ends the copy ends, and the answer says where it goes on.
 *
 * A piece of at most 64 KiB at a time: its pages are taken under the mmap lock
 * of the target, by the rights that they give, and copied with no lock held. As
 * in NT the source of a piece is there as a whole before any of it is stored.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"
#include "compat.h"
#include "delay.h"

#define NTVM_COPY_PIECE		65536u
#define NTVM_COPY_PAGES		(NTVM_COPY_PIECE / PAGE_SIZE + 1)

/**
 * struct ntvm_piece - a piece of a copy
 * @process: the process it is copied from or to
 * @address: in that process
 * @buffer: in the caller
 * @bytes: how many
 * @write: to the process
 * @bounce: write: room for @bytes
 * @outside: out, memory of the module ended before the piece
 * @err: out, -EINTR if the caller was killed meanwhile
 * @pages: the pages of the process
 */
struct ntvm_piece {
	struct ntvm_process *process;
	unsigned long address;
	u8 __user *buffer;
	unsigned int bytes;
	bool write;
	u8 *bounce;
	bool outside;
	int err;
	struct page *pages[NTVM_COPY_PAGES];
};

/*
 * How many of @nr pages from @page on may be accessed. A guard page that comes
 * first is used up: it refuses this copy and not the next.
 */
static unsigned long ntvm_copy_allowed(struct ntvm_extent *x, unsigned long page,
				       unsigned long nr, bool write)
{
	unsigned long pos = page, last;
	u8 state = 0;

	down_read(&x->fault_lock);
	while (pos < page + nr) {
		state = ntvm_pages_run(&x->pages, pos, page + nr - 1, &last);
		if (!(write ? ntvm_state_writable(state) : ntvm_state_readable(state)))
			break;
		pos = last + 1;
	}
	up_read(&x->fault_lock);
	if (pos == page && (state & NTVM_STATE_GUARD))
		ntvm_guard_disarm(x, page);
	return pos - page;
}

/* Takes the pages of a piece, in order, until one is refused. Returns how many. */
static unsigned int ntvm_copy_pin(struct ntvm_piece *piece)
{
	struct mm_struct *mm = piece->process->mm;
	unsigned long start = piece->address & PAGE_MASK;
	unsigned int all = DIV_ROUND_UP(offset_in_page(piece->address) + piece->bytes, PAGE_SIZE);
	unsigned int got = 0;
	struct vm_area_struct *vma;
	struct ntvm_extent *x;
	unsigned long at, nr;
	long ret;

	if (mmap_read_lock_killable(mm)) {
		piece->err = -EINTR;
		return 0;
	}
	while (got < all) {
		at = start + got * PAGE_SIZE;
		vma = find_vma(mm, at);
		if (!vma || vma->vm_start > at || !ntvm_fault_is_ours(vma)) {
			piece->outside = true;
			break;
		}
		/* The VMA pins the extent; a fork child's VMA may be of another's. */
		x = vma->vm_private_data;
		if (x->process != piece->process)
			break;
		nr = min_t(unsigned long, all - got, (vma->vm_end - at) >> PAGE_SHIFT);
		nr = ntvm_copy_allowed(x, ntvm_page(x, at), nr, piece->write);
		if (!nr)
			break;
		ret = ntvm_get_pages_remote(mm, at, nr, piece->write ? FOLL_WRITE : 0,
					    piece->pages + got, NULL);
		if (ret <= 0)
			break;
		got += ret;
	}
	mmap_read_unlock(mm);
	return got;
}

/* Reads from the process, all or nothing. Returns bytes stored at the caller's. */
static unsigned int ntvm_copy_read(struct ntvm_piece *piece, unsigned int bytes)
{
	unsigned int done = 0, i, offset = offset_in_page(piece->address), nr, left;
	u8 *map;

	/* Outside of the module's memory somebody else goes on; else it is refused. */
	if (bytes < piece->bytes && !piece->outside)
		return 0;
	for (i = 0; done < bytes; i++) {
		nr = min_t(unsigned int, bytes - done, PAGE_SIZE - offset);
		map = kmap_local_page(piece->pages[i]);
		left = copy_to_user(piece->buffer + done, map + offset, nr);
		kunmap_local(map);
		done += nr - left;
		if (left)
			break;
		offset = 0;
	}
	return done;
}

/* Writes to the process as far as it lets. Returns bytes stored. */
static unsigned int ntvm_copy_write(struct ntvm_piece *piece, unsigned int bytes)
{
	unsigned int done = 0, i, offset = offset_in_page(piece->address), nr;

	for (i = 0; done < bytes; i++) {
		nr = min_t(unsigned int, bytes - done, PAGE_SIZE - offset);
		memcpy_to_page(piece->pages[i], offset, piece->bounce + done, nr);
		set_page_dirty_lock(piece->pages[i]);
		done += nr;
		offset = 0;
	}
	return done;
}

/*
 * The pages were taken when they were writable, and a write watch may have been
 * reset since: what is written behind its back is recorded here.
 */
static void ntvm_copy_wrote(struct ntvm_piece *piece, unsigned int bytes)
{
	unsigned long addr = piece->address & PAGE_MASK;
	struct ntvm_process *p = piece->process;
	struct ntvm_region *r;

	if (!bytes || ntvm_process_lock(p, false))
		return;
	for (; addr < piece->address + bytes; addr += PAGE_SIZE) {
		r = ntvm_regions_find(&p->regions, addr);
		if (r && (r->extent->traits & NTVM_TRAIT_WATCH))
			ntvm_watch_wrote(r->extent, ntvm_page(r->extent, addr));
	}
	ntvm_process_unlock(p, false);
}

/* Returns bytes copied; fewer than there are: the copy ends here. */
static unsigned int ntvm_copy_piece(struct ntvm_piece *piece)
{
	unsigned int got, i, bytes, done;

	if (piece->write && copy_from_user(piece->bounce, piece->buffer, piece->bytes))
		return 0;
	got = ntvm_copy_pin(piece);
	if (!got)
		return 0;
	bytes = min_t(unsigned int, piece->bytes,
		      got * PAGE_SIZE - offset_in_page(piece->address));
	ntvm_debug_delay();	/* a watch may be reset now */
	done = piece->write ? ntvm_copy_write(piece, bytes) : ntvm_copy_read(piece, bytes);
	if (piece->write)
		ntvm_copy_wrote(piece, done);
	for (i = 0; i < got; i++)
		put_page(piece->pages[i]);
	/* What stopped it then was the caller's buffer. */
	if (done < bytes)
		piece->outside = false;
	return done;
}

/* Where memory of the module begins again. False: it does at @addr, after all. */
static bool ntvm_copy_next(struct ntvm_process *p, unsigned long addr, __u64 *next)
{
	struct ntvm_region *r;

	*next = 0;
	if (ntvm_process_lock(p, false))
		return false;
	r = ntvm_regions_from(&p->regions, addr);
	if (!r)
		*next = ~0ull;
	else if (r->start > addr)
		*next = r->start;
	ntvm_process_unlock(p, false);
	return *next;
}

static int ntvm_copy_run(struct ntvm_call *call, u64 *copied)
{
	struct ntvm_copy *c = &call->req.copy;
	struct ntvm_piece piece = {
		.process = call->process,
		.write = c->op == NTVM_COPY_WRITE,
	};
	unsigned int done;

	if (piece.write) {
		piece.bounce = kvmalloc(min_t(u64, c->len, NTVM_COPY_PIECE), GFP_KERNEL_ACCOUNT);
		if (!piece.bounce) {
			c->status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
			return 0;
		}
	}
	while (*copied < c->len) {
		piece.address = c->address + *copied;
		piece.buffer = u64_to_user_ptr(c->buffer + *copied);
		piece.bytes = min_t(u64, c->len - *copied, NTVM_COPY_PIECE);
		piece.outside = false;
		done = ntvm_copy_piece(&piece);
		*copied += done;
		if (done < piece.bytes) {
			c->status = NTVM_STATUS_PARTIAL_COPY;
			break;
		}
		if (fatal_signal_pending(current)) {
			piece.err = -EINTR;
			break;
		}
		cond_resched();
	}
	if (c->status && piece.outside &&
	    ntvm_copy_next(call->process, c->address + *copied, &c->out_next))
		c->out_stop = NTVM_COPY_OUTSIDE;
	kvfree(piece.bounce);
	return piece.err;
}

/* A range of user space, in an mm that ends at @limit. */
static bool ntvm_copy_range_ok(u64 address, u64 len, u64 limit)
{
	return len <= limit && address <= limit - len;
}

/**
 * ntvm_ioc_copy - NTVM_IOC_COPY
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or -EINVAL, -EINTR.
 */
int ntvm_ioc_copy(struct ntvm_call *call)
{
	struct ntvm_copy *c = &call->req.copy;
	u64 __user *done_ptr = u64_to_user_ptr(c->done_ptr);
	u32 right = c->op == NTVM_COPY_WRITE ? NTVM_ACCESS_VM_WRITE : NTVM_ACCESS_VM_READ;
	u64 copied = 0;
	__u64 value;
	int err = 0;

	if (c->op > NTVM_COPY_WRITE)
		return -EINVAL;
	c->out_stop = NTVM_COPY_REFUSED;
	c->out_next = 0;
	c->status = NTVM_STATUS_ACCESS_VIOLATION;
	if (!ntvm_copy_range_ok(c->address, c->len, call->process->space.user_end) ||
	    !ntvm_copy_range_ok(c->buffer, c->len, current->mm->task_size) ||
	    (done_ptr && !ntvm_arg_read(done_ptr, &value)))
		return 0;
	c->status = NTVM_STATUS_SUCCESS;
	if (c->len) {
		/* The right comes before the life of the process. */
		c->status = call->handle_status;
		if ((!c->status || c->status == NTVM_STATUS_PROCESS_IS_TERMINATING) &&
		    !(call->access & right))
			c->status = NTVM_STATUS_ACCESS_DENIED;
		if (!c->status)
			err = ntvm_copy_run(call, &copied);
	}
	if (done_ptr && put_user(copied, done_ptr) && !c->status)
		c->status = NTVM_STATUS_ACCESS_VIOLATION;
	return err;
}
