/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A request on its way through the module, and the ways in which requests read
 * and write user memory. With no lock held; what is short and frequent is inline.
 */
#ifndef NTVM_CALL_H
#define NTVM_CALL_H

#include <linux/uaccess.h>

#include "ntvm.h"

union ntvm_request {
	struct ntvm_header header;
	struct ntvm_info info;
	struct ntvm_allocate allocate;
	struct ntvm_free free;
	struct ntvm_protect protect;
	struct ntvm_query query;
	struct ntvm_set_contract set_contract;
	struct ntvm_duplicate duplicate;
	struct ntvm_take_fault take_fault;
	struct ntvm_allocate_ex allocate_ex;
	struct ntvm_watch watch;
	struct ntvm_lock lock;
	struct ntvm_offer offer;
	struct ntvm_copy copy;
	struct ntvm_set_information set_information;
	struct ntvm_flush flush;
	struct ntvm_stack stack;
	struct ntvm_vector vector;
	struct ntvm_limits limits;
	struct ntvm_job job;
};

/**
 * struct ntvm_call - one request on its way
 * @file: the open file it was made on
 * @req: the request
 * @args: the caller's base and length: where they are (INDIRECT; with NARROW they
 *	  are 4 bytes wide), what they were
 * @process: the target; the caller's own as long as the handle is none
 * @access: rights of the handle to it
 * @handle_status: what is wrong with the handle; wins only after the arguments
 * @target: the handle's file, if it had to be looked up
 * @foreign: the target's mm is not the caller's and is kept alive for the call
 * @new_file: a file that the answer names, installed when that is out
 * @new_fd: its descriptor
 */
struct ntvm_call {
	struct file *file;
	union ntvm_request req;
	struct {
		u64 __user *base;
		u64 __user *len;
		u64 old_base;
		u64 old_len;
	} args;
	struct ntvm_process *process;
	u32 access;
	u32 handle_status;
	struct file *target;
	bool foreign;
	struct file *new_file;
	int new_fd;
};

#define NTVM_ACCESS_LOOK	(NTVM_ACCESS_QUERY | NTVM_ACCESS_QUERY_LIMITED)

/*
 * Requests and answers are a few words of known size: moved one by one they
 * cost a fraction of what copy_from_user() spends on finding that out.
 */
static inline bool ntvm_words_write(void __user *to, const void *from, unsigned int bytes)
{
	const u64 *word = from;
	u64 __user *dest = to;
	unsigned int i;

	if (!user_write_access_begin(dest, bytes))
		return false;
	for (i = 0; i < bytes / sizeof(u64); i++)
		unsafe_put_user(word[i], dest + i, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

/* Read a variable, and probe that it can be written, as NT does beforehand. */
static inline bool ntvm_arg_read(u64 __user *ptr, __u64 *value)
{
	u64 old;

	if (!user_access_begin(ptr, sizeof(*ptr)))
		return false;
	unsafe_get_user(old, ptr, fault);
	unsafe_put_user(old, ptr, fault);
	user_access_end();
	*value = old;
	return true;
fault:
	user_access_end();
	return false;
}

/* What a 4-byte variable can say of a number of bytes (NARROW). */
static inline u32 ntvm_narrow(u64 bytes)
{
	return min_t(u64, bytes, U32_MAX & PAGE_MASK);
}

/* A result that is a single number, as wide as the caller has it. */
static inline bool ntvm_arg_probe(struct ntvm_call *call, void __user *ptr)
{
	__u64 value;
	u32 old;

	if (unlikely(call->req.header.flags & NTVM_F_NARROW))
		return !get_user(old, (u32 __user *)ptr) && !put_user(old, (u32 __user *)ptr);
	return ntvm_arg_read(ptr, &value);
}

static inline bool ntvm_arg_write(struct ntvm_call *call, void __user *ptr, u64 value)
{
	if (unlikely(call->req.header.flags & NTVM_F_NARROW))
		return !put_user(ntvm_narrow(value), (u32 __user *)ptr);
	return !put_user(value, (u64 __user *)ptr);
}

/* Probe a buffer for writing: its first and last byte. */
static inline bool ntvm_buffer_probe(u8 __user *buffer, unsigned long bytes)
{
	u8 byte;

	if (!user_access_begin(buffer, bytes))
		return false;
	unsafe_get_user(byte, buffer, fault);
	unsafe_put_user(byte, buffer, fault);
	unsafe_get_user(byte, buffer + bytes - 1, fault);
	unsafe_put_user(byte, buffer + bytes - 1, fault);
	user_access_end();
	return true;
fault:
	user_access_end();
	return false;
}

bool ntvm_args_fetch_narrow(struct ntvm_call *call, __u64 *base, __u64 *len);
u32 ntvm_args_write_narrow(struct ntvm_call *call, u64 start, u64 bytes);

/* The same for the two variables that most requests have, at one go. */
static __always_inline bool ntvm_args_fetch(struct ntvm_call *call, __u64 *base, __u64 *len)
{
	u64 __user *base_ptr = u64_to_user_ptr(*base), *len_ptr = u64_to_user_ptr(*len);
	u64 old_base, old_len;

	if (!access_ok(base_ptr, sizeof(u64)) || !user_access_begin(len_ptr, sizeof(u64)))
		return false;
	unsafe_get_user(old_base, base_ptr, fault);
	unsafe_put_user(old_base, base_ptr, fault);
	unsafe_get_user(old_len, len_ptr, fault);
	unsafe_put_user(old_len, len_ptr, fault);
	user_access_end();
	call->args.base = base_ptr;
	call->args.len = len_ptr;
	*base = old_base;
	*len = old_len;
	return true;
fault:
	user_access_end();
	return false;
}

static __always_inline u32 ntvm_args_read(struct ntvm_call *call, __u64 *base, __u64 *len)
{
	u32 flags = call->req.header.flags;

	if (unlikely((flags & NTVM_F_NARROW) && (flags & NTVM_F_INDIRECT))) {
		/* In copies, so that the caller's two can stay in registers. */
		__u64 narrow_base = *base, narrow_len = *len;

		if (!ntvm_args_fetch_narrow(call, &narrow_base, &narrow_len))
			return NTVM_STATUS_ACCESS_VIOLATION;
		*base = narrow_base;
		*len = narrow_len;
	} else if ((flags & NTVM_F_INDIRECT) && !ntvm_args_fetch(call, base, len)) {
		return NTVM_STATUS_ACCESS_VIOLATION;
	}
	call->args.old_base = *base;
	call->args.old_len = *len;
	return NTVM_STATUS_SUCCESS;
}

/* Write the results; INDIRECT's request keeps the addresses it came with. */
static __always_inline u32 ntvm_args_write(struct ntvm_call *call, __u64 *base, __u64 *len,
					   u64 start, u64 bytes)
{
	if (!(call->req.header.flags & NTVM_F_INDIRECT)) {
		*base = start;
		*len = bytes;
		return NTVM_STATUS_SUCCESS;
	}
	/* The probe has written back what was there: often the result already. */
	if (start == call->args.old_base && bytes == call->args.old_len)
		return NTVM_STATUS_SUCCESS;
	if (unlikely(call->req.header.flags & NTVM_F_NARROW))
		return ntvm_args_write_narrow(call, start, bytes);
	if (!access_ok(call->args.base, sizeof(u64)) ||
	    !user_write_access_begin(call->args.len, sizeof(u64)))
		return NTVM_STATUS_ACCESS_VIOLATION;
	unsafe_put_user(start, call->args.base, fault);
	unsafe_put_user(bytes, call->args.len, fault);
	user_write_access_end();
	return NTVM_STATUS_SUCCESS;
fault:
	user_write_access_end();
	return NTVM_STATUS_ACCESS_VIOLATION;
}

u32 ntvm_call_run_foreign(struct ntvm_op *op, u32 (*fn)(struct ntvm_op *op));

static __always_inline u32 ntvm_call_run(struct ntvm_call *call, struct ntvm_op *op,
					 u32 (*fn)(struct ntvm_op *op))
{
	op->process = call->process;
	return likely(!call->foreign) ? fn(op) : ntvm_call_run_foreign(op, fn);
}

u32 ntvm_large_run(struct ntvm_call *call, struct ntvm_op *op);	/* large.c */

/*
 * The rest of both allocate requests, arguments and handle checked: @base and
 * @len are the caller's values, @out_base and @out_len those of the request.
 */
static __always_inline int ntvm_call_allocate(struct ntvm_call *call, struct ntvm_op *op,
					      u64 base, u64 len, __u64 *out_base, __u64 *out_len)
{
	u32 *status = &call->req.header.status;
	u32 written;

	/* A commit that has no address reserves too. */
	if (op->type == NTVM_ALLOC_COMMIT && !op->choose) {
		*status = ntvm_call_run(call, op, ntvm_allocate);
	} else {
		/* A chosen range must be one that a 32-bit program can name, its end included. */
		if (call->req.header.flags & NTVM_F_NARROW)
			op->range.limit = min_t(u64, op->range.limit,
						(1ull << 32) - NTVM_GRANULARITY);
		if (op->type & NTVM_ALLOC_RESET) {
			op->offset = base & ~PAGE_MASK;
			op->tail = (base + len) & ~PAGE_MASK;
		}
		/* Large pages have to be paid by the caller. */
		*status = op->type & NTVM_ALLOC_LARGE_PAGES ?
			  ntvm_large_run(call, op) : ntvm_call_run(call, op, ntvm_allocate);
	}
	if (*status)
		return op->err;
	written = ntvm_args_write(call, out_base, out_len, op->range.start,
				  op->range.end - op->range.start);
	/* A reserve that cannot be reported is a success all the same, a commit not. */
	if (!(op->type & NTVM_ALLOC_RESERVE))
		*status = written;
	return 0;
}

/* Handlers of requests: 0 with the status set, or a negative errno. */
int ntvm_ioc_allocate_ex(struct ntvm_call *call);	/* allocate_ex.c */
int ntvm_ioc_query_class(struct ntvm_call *call);	/* query_class.c */
int ntvm_ioc_watch(struct ntvm_call *call);		/* watch.c */
int ntvm_ioc_lock(struct ntvm_call *call);		/* lock.c */
int ntvm_ioc_offer(struct ntvm_call *call);		/* reset.c */
int ntvm_ioc_copy(struct ntvm_call *call);		/* copy.c */
int ntvm_ioc_set_information(struct ntvm_call *call);	/* prefetch.c */
int ntvm_ioc_flush(struct ntvm_call *call);		/* flush.c */
int ntvm_ioc_stack(struct ntvm_call *call);		/* stack.c */
int ntvm_ioc_vector(struct ntvm_call *call);		/* vector.c */
int ntvm_ioc_limits(struct ntvm_call *call);		/* limits.c */
int ntvm_ioc_job(struct ntvm_call *call);		/* job.c */

#endif
