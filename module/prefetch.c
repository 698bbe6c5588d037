// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtSetInformationVirtualMemory: prefetch, and the classes that can only be
 * answered. A prefetch is a hint: swapped out pages of the module's memory are
 * read in, everything else in the ranges is passed over.
 *
 * The array of ranges is the caller's and of any length; it is read twice, in
 * pieces, with no lock held.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "call.h"

#define NTVM_RANGES		(PAGE_SIZE / sizeof(struct ntvm_memory_range))
#define NTVM_PREFETCH_FLAGS	0x1u	/* into the working set: swapped in is all we do */
#define NTVM_PRIORITY_MAX	5u

/* Reads in what is swapped out of [start, end), which lies in @x. */
static void ntvm_prefetch_extent(struct ntvm_extent *x, unsigned long start, unsigned long end)
{
	struct address_space *mapping = x->file->f_mapping;
	unsigned long index = ntvm_shadow_pgoff(x, start);
	unsigned long last = ntvm_shadow_pgoff(x, end) - 1;
	unsigned long base = ntvm_shadow_pgoff(x, x->start);
	struct page *page;
	void *entry;

	while (index <= last && !fatal_signal_pending(current) &&
	       (entry = xa_find(&mapping->i_pages, &index, last, XA_PRESENT))) {
		if (xa_is_value(entry)) {
			page = ERR_PTR(-ENOENT);
			/* Not what a decommit is about to drop: that would make it anew. */
			down_read(&x->fault_lock);
			if (ntvm_state_committed(ntvm_pages_get(&x->pages, index - base)))
				page = shmem_read_mapping_page_gfp(mapping, index,
								   mapping_gfp_mask(mapping));
			up_read(&x->fault_lock);
			if (!IS_ERR(page))
				put_page(page);
		}
		index++;
		cond_resched();
	}
}

static void ntvm_prefetch_range(struct ntvm_process *p, u64 address, u64 len)
{
	unsigned long pos, end, start, stop;
	struct ntvm_region *r;
	struct ntvm_extent *x;

	if (address >= p->space.user_end)
		return;
	pos = address & PAGE_MASK;
	end = min_t(u64, len, p->space.user_end - address) + address;
	end = PAGE_ALIGN(end);
	while (pos < end && !fatal_signal_pending(current)) {
		x = NULL;
		if (ntvm_process_lock(p, false))
			return;
		r = ntvm_regions_from(&p->regions, pos);
		if (r && r->start < end) {
			x = ntvm_extent_get(r->extent);
			start = max(pos, r->start);
			stop = min(end, r->end);
		}
		ntvm_process_unlock(p, false);
		if (!x)
			return;
		ntvm_prefetch_extent(x, start, stop);
		ntvm_extent_put(x);
		pos = stop;
		cond_resched();
	}
}

/* Whether anything is at an address, region or not. */
static bool ntvm_set_is_free(struct ntvm_process *p, u64 address)
{
	bool nothing = true;

	if (address >= p->space.user_end || ntvm_process_lock(p, false))
		return true;
	if (ntvm_regions_find(&p->regions, address) || ntvm_foreign_type(p, address))
		nothing = false;
	ntvm_process_unlock(p, false);
	return nothing;
}

/* One range that has passed the checks. */
static u32 ntvm_set_range(struct ntvm_call *call, const struct ntvm_memory_range *range)
{
	switch (call->req.set_information.info_class) {
	case NTVM_SET_PREFETCH:
		ntvm_prefetch_range(call->process, range->address, range->len);
		break;
	case NTVM_SET_DIRTY_STATE:
		if (ntvm_set_is_free(call->process, range->address))
			return NTVM_STATUS_MEMORY_NOT_ALLOCATED;
		break;
	}
	return NTVM_STATUS_SUCCESS;
}

/* Checks all ranges, or sets them. Returns 0 with the status set, or -EINTR. */
static int ntvm_set_ranges(struct ntvm_call *call, struct ntvm_memory_range *ranges, bool check)
{
	struct ntvm_set_information *s = &call->req.set_information;
	struct ntvm_memory_range __user *user = u64_to_user_ptr(s->ranges);
	u64 left = s->count;
	unsigned int nr, i;

	for (; left; left -= nr, user += nr) {
		nr = min_t(u64, left, NTVM_RANGES);
		if (copy_from_user(ranges, user, nr * sizeof(*ranges))) {
			s->status = NTVM_STATUS_ACCESS_VIOLATION;
			return 0;
		}
		for (i = 0; i < nr && !s->status; i++) {
			if (!check)
				s->status = ntvm_set_range(call, &ranges[i]);
			else if (!ranges[i].len)
				s->status = NTVM_STATUS_INVALID_PARAMETER_4;
			if (fatal_signal_pending(current))
				return -EINTR;
		}
		if (s->status)
			return 0;
		cond_resched();
	}
	return 0;
}

/* The arguments that need no memory. */
static u32 ntvm_set_check(const struct ntvm_set_information *s)
{
	if (s->info_class > NTVM_SET_DIRTY_STATE)
		return NTVM_STATUS_INVALID_PARAMETER_2;
	if (s->info_class == NTVM_SET_CFG)
		return NTVM_STATUS_SUCCESS;
	if (!s->info)
		return NTVM_STATUS_INVALID_PARAMETER_5;
	if (s->info_length != sizeof(u32))
		return NTVM_STATUS_INVALID_PARAMETER_6;
	if (!s->count)
		return NTVM_STATUS_INVALID_PARAMETER_3;
	if (s->count > TASK_SIZE_MAX / sizeof(struct ntvm_memory_range))
		return NTVM_STATUS_ACCESS_VIOLATION;
	return NTVM_STATUS_SUCCESS;
}

/* The number at @info. */
static u32 ntvm_set_check_info(const struct ntvm_set_information *s, u32 value)
{
	switch (s->info_class) {
	case NTVM_SET_PREFETCH:
		return value & ~NTVM_PREFETCH_FLAGS ? NTVM_STATUS_INVALID_PARAMETER_5 : 0;
	case NTVM_SET_PRIORITY:
		return value > NTVM_PRIORITY_MAX ? NTVM_STATUS_INVALID_PARAMETER_5 : 0;
	case NTVM_SET_DIRTY_STATE:
		return value ? NTVM_STATUS_INVALID_PARAMETER_5 : 0;
	default:
		return NTVM_STATUS_SUCCESS;
	}
}

/**
 * ntvm_ioc_set_information - NTVM_IOC_SET_INFORMATION
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or -EINTR.
 */
int ntvm_ioc_set_information(struct ntvm_call *call)
{
	struct ntvm_set_information *s = &call->req.set_information;
	struct ntvm_memory_range *ranges;
	u32 value, status;
	int err;

	s->status = ntvm_set_check(s);
	if (s->status)
		return 0;
	if (s->info_class == NTVM_SET_CFG) {
		s->status = call->handle_status ?: NTVM_STATUS_NOT_SUPPORTED;
		return 0;
	}
	s->status = NTVM_STATUS_ACCESS_VIOLATION;
	if (get_user(value, (u32 __user *)u64_to_user_ptr(s->info)) ||
	    !access_ok(u64_to_user_ptr(s->ranges), s->count * sizeof(*ranges)))
		return 0;
	status = ntvm_set_check_info(s, value);
	s->status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	ranges = kmalloc_array(min_t(u64, s->count, NTVM_RANGES), sizeof(*ranges),
			       GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return 0;
	s->status = NTVM_STATUS_SUCCESS;
	err = ntvm_set_ranges(call, ranges, true);
	if (err)
		goto out;
	/* Ranges that cannot be read win over the number, others do not. */
	if (status && s->status != NTVM_STATUS_ACCESS_VIOLATION)
		s->status = status;
	if (!s->status)
		s->status = call->handle_status;
	if (!s->status)
		err = ntvm_set_ranges(call, ranges, false);
	if (!s->status && s->info_class == NTVM_SET_DIRTY_STATE)
		s->status = NTVM_STATUS_NOT_SUPPORTED;
out:
	kfree(ranges);
	return err;
}
