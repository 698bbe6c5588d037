// SPDX-License-Identifier: GPL-2.0-only
/*
 * The requests of /dev/ntvm: copied in, checked, resolved to a process, handed
 * to the operation, answered. All user memory is read and written here, with
 * no lock held.
 *
 * The order in which errors win is NT's: arguments that need no memory, then
 * the caller's variables, then their values, then the handle, then the state.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/nospec.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "call.h"
#include "ntvm.h"

#define NTVM_FEATURES	(NTVM_FEATURE_PRIVATE | NTVM_FEATURE_FOREIGN | NTVM_FEATURE_GUARD | \
			 NTVM_FEATURE_EX | NTVM_FEATURE_WATCH | NTVM_FEATURE_RESET | \
			 NTVM_FEATURE_LOCK | NTVM_FEATURE_COPY | NTVM_FEATURE_STACK | \
			 NTVM_FEATURE_VECTOR | NTVM_FEATURE_LIMITS | \
			 NTVM_FEATURE_NARROW)

/*
 * Reads a request of exactly the size of today's, which is what nearly all
 * are, and probes that the status can be written: nothing may change if the
 * answer cannot be given. False: take the long way.
 */
static bool ntvm_request_read(union ntvm_request *req, struct ntvm_header __user *header,
			      unsigned int bytes)
{
	u64 __user *from = (u64 __user *)header;
	u64 *word = (u64 *)req;
	unsigned int i;

	if (!user_access_begin(header, bytes))
		return false;
	for (i = 0; i < bytes / sizeof(u64); i++)
		unsafe_get_user(word[i], from + i, fault);
	if (req->header.size != bytes)
		goto fault;
	unsafe_put_user(NTVM_STATUS_SUCCESS, &header->status, fault);
	user_access_end();
	return true;
fault:
	user_access_end();
	return false;
}

/* Any other size: a shorter first version, or a longer one with a zero tail. */
static int ntvm_request_copy(union ntvm_request *req, struct ntvm_header __user *header,
			     unsigned int min, unsigned int bytes)
{
	u32 size;
	int err;

	if (get_user(size, &header->size))
		return -EFAULT;
	if (size < min)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(req, bytes, header, size);
	if (err)
		return err;
	req->header.size = size;
	return put_user(NTVM_STATUS_SUCCESS, &header->status);
}

/* --- the target ------------------------------------------------------------------ */

/* Not an open file, not one of ours, without the right, without a process. */
static u32 ntvm_call_target(struct ntvm_call *call, u32 access)
{
	struct ntvm_handle *handle = call->file->private_data;

	call->process = handle->process;
	if (call->req.header.handle != NTVM_CURRENT_PROCESS) {
		call->target = fget(call->req.header.handle);
		if (!call->target)
			return NTVM_STATUS_INVALID_HANDLE;
		if (call->target->f_op != &ntvm_fops)
			return NTVM_STATUS_OBJECT_TYPE_MISMATCH;
		handle = call->target->private_data;
	}
	call->process = handle->process;
	call->access = handle->access;
	if (access && !(call->access & access))
		return NTVM_STATUS_ACCESS_DENIED;
	if (call->process->mm != current->mm) {
		if (!mmget_not_zero(call->process->mm))
			return NTVM_STATUS_PROCESS_IS_TERMINATING;
		call->foreign = true;
	}
	return NTVM_STATUS_SUCCESS;
}

static void ntvm_call_end(struct ntvm_call *call)
{
	if (call->foreign)
		mmput(call->process->mm);
	if (call->target)
		fput(call->target);
}

/* --- the requests -------------------------------------------------------------------- */

static int ntvm_ioc_get_info(struct ntvm_call *call)
{
	struct ntvm_info *info = &call->req.info;
	struct ntvm_process *p;

	if (info->reserved)
		return -EINVAL;
	info->status = call->handle_status;
	if (info->status)
		return 0;
	p = call->process;
	info->out_version = NTVM_ABI_VERSION;
	info->out_contract = READ_ONCE(p->contract);
	info->out_features = NTVM_FEATURES;
	info->out_page_size = PAGE_SIZE;
	info->out_granularity = NTVM_GRANULARITY;
	info->out_min_address = p->space.min;
	info->out_max_address = p->space.end - 1;
	info->out_access = call->access;
	info->status = ntvm_process_lock(p, false);
	if (info->status)
		return 0;
	info->out_reserved = p->regions.bytes;
	info->out_regions = p->regions.nr;
	info->out_committed = (u64)ntvm_ledger_committed(&p->ledger) << PAGE_SHIFT;
	ntvm_process_unlock(p, false);
	return 0;
}

static int ntvm_ioc_allocate(struct ntvm_call *call)
{
	const struct ntvm_space *space = &call->process->space;
	struct ntvm_allocate *a = &call->req.allocate;
	struct ntvm_op op = { .type = a->type, .protect = a->protect };
	__u64 base = a->base, len = a->len;

	a->status = ntvm_rules_allocate_type(a->zero_bits, a->type, a->protect,
					     !in_compat_syscall());
	if (a->status)
		return 0;
	a->status = ntvm_args_read(call, &base, &len);
	if (a->status)
		return 0;
	a->status = ntvm_rules_allocate_range(base, len, a->zero_bits, a->type, space, &op.range);
	if (!a->status && unlikely(a->type & NTVM_ALLOC_LARGE_PAGES))
		a->status = ntvm_rules_large_range(base, len, &op.range);
	if (a->status)
		return 0;
	a->status = call->handle_status;
	if (a->status)
		return 0;
	op.choose = !base;
	return ntvm_call_allocate(call, &op, base, len, &a->base, &a->len);
}

static int ntvm_ioc_free(struct ntvm_call *call)
{
	const struct ntvm_space *space = &call->process->space;
	struct ntvm_free *f = &call->req.free;
	u32 contract = READ_ONCE(call->process->contract);
	struct ntvm_op op = { .type = f->type, .contract = contract };
	__u64 base = f->base, len = f->len;
	u64 bytes;

	if (f->reserved)
		return -EINVAL;
	f->status = ntvm_rules_free_type(f->type);
	if (f->status)
		return 0;
	f->status = ntvm_args_read(call, &base, &len);
	if (f->status)
		return 0;
	f->status = ntvm_rules_free_range(base, len, f->type, contract, space, &op.range);
	if (f->status)
		return 0;
	op.whole = !len;
	op.offset = base & ~PAGE_MASK;
	f->status = call->handle_status;
	if (f->status)
		return 0;
	f->status = ntvm_call_run(call, &op, ntvm_free);
	if (f->status)
		return op.err;
	bytes = op.range.end - op.range.start;
	/* Windows writes 0 back after a decommit of the whole region (F5). */
	if (op.whole && f->type == NTVM_FREE_DECOMMIT && contract == NTVM_CONTRACT_WINDOWS)
		bytes = 0;
	ntvm_args_write(call, &f->base, &f->len, op.range.start, bytes);
	return 0;
}

static int ntvm_ioc_protect(struct ntvm_call *call)
{
	const struct ntvm_space *space = &call->process->space;
	struct ntvm_protect *pr = &call->req.protect;
	bool indirect = pr->flags & NTVM_F_INDIRECT;
	u32 __user *old_ptr = u64_to_user_ptr(pr->old_ptr);
	struct ntvm_op op = { .protect = pr->protect };
	__u64 base = pr->base, len = pr->len;
	u32 old;

	if (pr->old_ptr && !indirect)
		return -EINVAL;
	pr->status = ntvm_rules_protect_word(pr->protect);
	if (pr->status)
		return 0;
	pr->status = ntvm_args_read(call, &base, &len);
	if (pr->status)
		return 0;
	if (indirect && (get_user(old, old_ptr) || put_user(old, old_ptr))) {
		pr->status = NTVM_STATUS_ACCESS_VIOLATION;
		return 0;
	}
	pr->status = ntvm_rules_protect_range(base, len, space, &op.range);
	if (pr->status)
		return 0;
	pr->status = call->handle_status;
	if (pr->status)
		return 0;
	pr->status = ntvm_call_run(call, &op, ntvm_protect);
	if (op.err)
		return op.err;
	pr->out_old = op.old;
	if (indirect && put_user(op.old, old_ptr) && !pr->status)
		pr->status = NTVM_STATUS_ACCESS_VIOLATION;
	if (!pr->status)
		pr->status = ntvm_args_write(call, &pr->base, &pr->len, op.range.start,
					     op.range.end - op.range.start);
	return 0;
}

/* The answer for a 32-bit program, which sees the first 4 GiB. */
static bool ntvm_query_write_narrow(void __user *buffer, const struct ntvm_basic_info *info)
{
	struct ntvm_basic_info32 out = {
		.base = info->base,
		.allocation_base = info->allocation_base,
		.allocation_protect = info->allocation_protect,
		.region_size = min_t(u64, info->region_size, (1ull << 32) - PAGE_SIZE - info->base),
		.state = info->state,
		.protect = info->protect,
		.type = info->type,
	};

	return !copy_to_user(buffer, &out, sizeof(out));
}

static int ntvm_ioc_query(struct ntvm_call *call)
{
	struct ntvm_query *q = &call->req.query;
	bool narrow = q->flags & NTVM_F_NARROW;
	void __user *buffer = u64_to_user_ptr(q->buffer);
	void __user *return_ptr = u64_to_user_ptr(q->return_ptr);
	u64 end = call->process->space.user_end;
	struct ntvm_basic_info out;
	unsigned int bytes = sizeof(out);

	if (unlikely(narrow)) {
		bytes = sizeof(struct ntvm_basic_info32);
		end = min_t(u64, end, (1ull << 32) - PAGE_SIZE);
	}
	if (q->reserved)
		return -EINVAL;
	if (unlikely(q->info_class != NTVM_QUERY_BASIC))
		return narrow ? -EINVAL : ntvm_ioc_query_class(call);
	if (q->length < bytes) {
		q->status = NTVM_STATUS_INFO_LENGTH_MISMATCH;
		return 0;
	}
	q->status = NTVM_STATUS_ACCESS_VIOLATION;
	if (!ntvm_buffer_probe(buffer, bytes))
		return 0;
	if (return_ptr && !ntvm_arg_probe(call, return_ptr))
		return 0;
	if (q->address >= end) {
		q->status = NTVM_STATUS_INVALID_PARAMETER;
		return 0;
	}
	q->status = call->handle_status;
	if (q->status)
		return 0;
	q->status = ntvm_query_basic(call->process, q->address, &out);
	if (q->status)
		return 0;
	if (!(likely(!narrow) ? ntvm_words_write(buffer, &out, sizeof(out)) :
				ntvm_query_write_narrow(buffer, &out)) ||
	    (return_ptr && !ntvm_arg_write(call, return_ptr, bytes)))
		q->status = NTVM_STATUS_ACCESS_VIOLATION;
	return 0;
}

static int ntvm_ioc_set_contract(struct ntvm_call *call)
{
	struct ntvm_set_contract *sc = &call->req.set_contract;

	if (sc->reserved)
		return -EINVAL;
	if (sc->contract > NTVM_CONTRACT_WINDOWS) {
		sc->status = NTVM_STATUS_INVALID_PARAMETER;
		return 0;
	}
	sc->status = call->handle_status;
	if (!sc->status)
		WRITE_ONCE(call->process->contract, sc->contract);
	return 0;
}

static int ntvm_ioc_duplicate(struct ntvm_call *call)
{
	struct ntvm_duplicate *d = &call->req.duplicate;
	struct ntvm_handle *handle;
	struct file *file;
	int fd;

	if (d->access & ~NTVM_ACCESS_ALL)
		return -EINVAL;
	d->status = call->handle_status;
	if (d->status)
		return 0;
	d->status = NTVM_STATUS_ACCESS_DENIED;
	if (d->access & ~call->access)
		return 0;
	d->status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	handle = kzalloc(sizeof(*handle), GFP_KERNEL_ACCOUNT);
	if (!handle)
		return 0;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto err_free;
	handle->process = ntvm_process_get(call->process);
	handle->access = d->access;
	file = anon_inode_getfile("[ntvm]", &ntvm_fops, handle, O_RDWR);
	if (IS_ERR(file))
		goto err_put;
	d->status = NTVM_STATUS_SUCCESS;
	d->out_fd = fd;
	call->new_fd = fd;
	call->new_file = file;
	return 0;

err_put:
	ntvm_process_put(handle->process);
	put_unused_fd(fd);
err_free:
	kfree(handle);
	return 0;
}

static int ntvm_ioc_take_fault(struct ntvm_call *call)
{
	struct ntvm_take_fault *tf = &call->req.take_fault;
	unsigned long hit;
	void *entry;

	if (tf->reserved || tf->handle != NTVM_CURRENT_PROCESS)
		return -EINVAL;
	tf->status = call->handle_status;
	if (tf->status)
		return 0;
	entry = xa_erase(&call->process->hits, task_pid_nr(current));
	if (!entry) {
		tf->status = NTVM_STATUS_NOT_FOUND;
		return 0;
	}
	hit = xa_to_value(entry);
	tf->out_kind = hit & GENMASK(NTVM_HIT_KIND_BITS - 1, 0);
	tf->out_address = (u64)(hit >> NTVM_HIT_KIND_BITS) << PAGE_SHIFT;
	return 0;
}

/* --- dispatch --------------------------------------------------------------------------- */

/**
 * struct ntvm_ioctl_op - a row of the table of requests
 * @fn: does it; returns 0 with the status set, or a negative errno
 * @size: bytes of the request today
 * @min: bytes of its first version
 * @flags: NTVM_F_* it knows
 * @access: NTVM_ACCESS_* of which the handle must have one, 0: it needs none
 * @status_only: nothing but the status ever changes in the request
 */
struct ntvm_ioctl_op {
	int (*fn)(struct ntvm_call *call);
	u32 size;
	u32 min;
	u32 flags;
	u32 access;
	bool status_only;
};

#define NTVM_IOCTL(_nr, _type, _last, _fn, _flags, _access, _status_only)	\
	[_IOC_NR(_nr) - _IOC_NR(NTVM_IOC_GET_INFO)] = {			\
		.fn = _fn,						\
		.size = sizeof(struct _type) +				\
			BUILD_BUG_ON_ZERO(sizeof(struct _type) >	\
					  sizeof(union ntvm_request)),	\
		.min = offsetofend(struct _type, _last),		\
		.flags = (_flags) | ((_flags) & NTVM_F_INDIRECT ?	\
				     NTVM_F_NARROW : 0),		\
		.access = _access,					\
		.status_only = _status_only,				\
	}

static const struct ntvm_ioctl_op ntvm_ioctls[] = {
	NTVM_IOCTL(NTVM_IOC_GET_INFO, ntvm_info, reserved, ntvm_ioc_get_info, 0, 0, false),
	NTVM_IOCTL(NTVM_IOC_ALLOCATE, ntvm_allocate, protect, ntvm_ioc_allocate,
		   NTVM_F_INDIRECT, NTVM_ACCESS_VM_OPERATION, false),
	NTVM_IOCTL(NTVM_IOC_FREE, ntvm_free, reserved, ntvm_ioc_free,
		   NTVM_F_INDIRECT, NTVM_ACCESS_VM_OPERATION, false),
	NTVM_IOCTL(NTVM_IOC_PROTECT, ntvm_protect, out_old, ntvm_ioc_protect,
		   NTVM_F_INDIRECT, NTVM_ACCESS_VM_OPERATION, false),
	NTVM_IOCTL(NTVM_IOC_QUERY, ntvm_query, reserved, ntvm_ioc_query,
		   NTVM_F_NARROW, NTVM_ACCESS_LOOK, true),
	NTVM_IOCTL(NTVM_IOC_SET_CONTRACT, ntvm_set_contract, reserved, ntvm_ioc_set_contract,
		   0, NTVM_ACCESS_VM_OPERATION, true),
	NTVM_IOCTL(NTVM_IOC_DUPLICATE, ntvm_duplicate, out_fd, ntvm_ioc_duplicate, 0, 0, false),
	NTVM_IOCTL(NTVM_IOC_TAKE_FAULT, ntvm_take_fault, out_address, ntvm_ioc_take_fault,
		   0, 0, false),
	NTVM_IOCTL(NTVM_IOC_ALLOCATE_EX, ntvm_allocate_ex, reserved, ntvm_ioc_allocate_ex,
		   NTVM_F_INDIRECT, NTVM_ACCESS_VM_OPERATION, false),
	NTVM_IOCTL(NTVM_IOC_WATCH, ntvm_watch, reserved, ntvm_ioc_watch,
		   0, NTVM_ACCESS_VM_OPERATION, true),
	NTVM_IOCTL(NTVM_IOC_LOCK, ntvm_lock, map_type, ntvm_ioc_lock,
		   NTVM_F_INDIRECT, NTVM_ACCESS_VM_OPERATION, false),
	NTVM_IOCTL(NTVM_IOC_OFFER, ntvm_offer, priority, ntvm_ioc_offer,
		   0, NTVM_ACCESS_VM_OPERATION, true),
	NTVM_IOCTL(NTVM_IOC_COPY, ntvm_copy, out_next, ntvm_ioc_copy, 0, 0, false),
	NTVM_IOCTL(NTVM_IOC_SET_INFORMATION, ntvm_set_information, info_length,
		   ntvm_ioc_set_information, 0, NTVM_ACCESS_VM_OPERATION, true),
	NTVM_IOCTL(NTVM_IOC_FLUSH, ntvm_flush, out_information, ntvm_ioc_flush,
		   NTVM_F_INDIRECT, NTVM_ACCESS_VM_OPERATION, false),
	NTVM_IOCTL(NTVM_IOC_STACK, ntvm_stack, limit, ntvm_ioc_stack, 0, 0, false),
	NTVM_IOCTL(NTVM_IOC_VECTOR, ntvm_vector, out_done, ntvm_ioc_vector,
		   0, NTVM_ACCESS_VM_OPERATION, false),
	NTVM_IOCTL(NTVM_IOC_LIMITS, ntvm_limits, out_peak, ntvm_ioc_limits, 0, 0, false),
	NTVM_IOCTL(NTVM_IOC_JOB, ntvm_job, out_processes, ntvm_ioc_job, 0, 0, false),
};

/*
 * The answer goes back: the status alone if it is all that there is to say.
 * SUCCESS is there already.
 */
static int ntvm_call_answer(struct ntvm_call *call, struct ntvm_header __user *header,
			    const struct ntvm_ioctl_op *op)
{
	struct ntvm_header *answer = &call->req.header;

	if (op->status_only || (answer->flags & NTVM_F_INDIRECT))
		return likely(!answer->status) ? 0 : put_user(answer->status, &header->status);
	return ntvm_words_write(header, answer, min(answer->size, op->size)) ? 0 : -EFAULT;
}

/*
 * CONFIG_INIT_STACK_ALL_ZERO would clear the call before it is filled in, at a
 * tenth of the cost of a commit. All that is read of it is written before.
 */
#if __has_attribute(__uninitialized__)
#define __ntvm_uninitialized	__attribute__((__uninitialized__))
#else
#define __ntvm_uninitialized
#endif

/**
 * ntvm_ioctl - unlocked_ioctl of /dev/ntvm
 * @file: the open file
 * @cmd: NTVM_IOC_*
 * @arg: address of the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status in the request, or -ENOTTY, -EINVAL, -E2BIG,
 *	   -EFAULT, -ESTALE, -EINTR as the ABI header says.
 */
long ntvm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ntvm_header __user *header = (void __user *)arg;
	struct ntvm_handle *handle = file->private_data;
	const struct ntvm_ioctl_op *op;
	struct ntvm_call call __ntvm_uninitialized;
	unsigned int nr = _IOC_NR(cmd) - _IOC_NR(NTVM_IOC_GET_INFO);
	int ret;

	if (cmd != _IO(NTVM_IOC_TYPE, _IOC_NR(cmd)) || nr >= ARRAY_SIZE(ntvm_ioctls))
		return -ENOTTY;
	op = &ntvm_ioctls[array_index_nospec(nr, ARRAY_SIZE(ntvm_ioctls))];
	if (!ntvm_request_read(&call.req, header, op->size)) {
		ret = ntvm_request_copy(&call.req, header, op->min, op->size);
		if (ret)
			return ret;
	}
	if (call.req.header.flags & ~op->flags)
		return -EINVAL;
	if (call.req.header.handle == NTVM_CURRENT_PROCESS && handle->process->mm != current->mm)
		return -ESTALE;

	call.file = file;
	call.target = NULL;
	call.new_file = NULL;
	call.foreign = false;
	call.access = 0;
	call.handle_status = ntvm_call_target(&call, op->access);
	ret = op->fn(&call);
	if (!ret)
		ret = ntvm_call_answer(&call, header, op);
	if (unlikely(call.new_file)) {
		if (ret) {
			put_unused_fd(call.new_fd);
			fput(call.new_file);
		} else {
			fd_install(call.new_fd, call.new_file);
		}
	}
	if (unlikely(call.target))
		ntvm_call_end(&call);
	return ret;
}
