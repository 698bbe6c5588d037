// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtQueryVirtualMemory, all classes but MemoryBasicInformation: the allocation,
 * the image, the name of the file, and which pages are in the working set. A
 * page is valid if there is a page table entry that its state still agrees to.
 *
 * Arguments are checked in the order of the basic class. User memory is copied
 * with no lock held; the working set in pieces.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/nls.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "query.h"

/* Entries of the working set that are looked up at one go. */
#define NTVM_WS_ENTRIES		(PAGE_SIZE / sizeof(struct ntvm_working_set_entry))

/* Units of UTF-16 in the longest UNICODE_STRING, without the 0 at its end. */
#define NTVM_NAME_UNITS		32766

/* What d_path() appends to the name of a file that has none any more. */
#define NTVM_DELETED		" (deleted)"

/* --- region, image ------------------------------------------------------------------ */

static u32 ntvm_query_region(struct ntvm_process *p, unsigned long addr,
			     struct ntvm_region_info *out)
{
	struct ntvm_foreign f;
	struct ntvm_region *r;
	struct ntvm_extent *x;
	unsigned long pages;
	u32 status;

	memset(out, 0, sizeof(*out));
	status = ntvm_process_lock(p, false);
	if (status)
		return status;
	r = ntvm_regions_find(&p->regions, addr);
	if (r) {
		x = r->extent;
		down_read(&x->fault_lock);
		pages = ntvm_pages_committed(&x->pages, ntvm_page(x, r->start),
					     ntvm_page(x, r->end - 1));
		up_read(&x->fault_lock);
		out->allocation_base = r->start;
		out->allocation_protect = r->protect;
		out->region_size = r->end - r->start;
		out->commit_size = (u64)pages << PAGE_SHIFT;
	} else if (ntvm_foreign_at(p, addr, &f, true)) {
		out->allocation_base = f.start;
		out->allocation_protect = f.type == NTVM_TYPE_IMAGE ?
					  NTVM_PAGE_EXECUTE_WRITECOPY : f.protect;
		out->region_size = f.all_end - f.start;
		out->commit_size = f.charged;
	} else {
		status = NTVM_STATUS_INVALID_ADDRESS;
	}
	ntvm_process_unlock(p, false);
	return status;
}

static u32 ntvm_query_image(struct ntvm_process *p, unsigned long addr,
			    struct ntvm_image_info *out)
{
	struct ntvm_foreign f;
	u32 status;

	memset(out, 0, sizeof(*out));
	status = ntvm_process_lock(p, false);
	if (status)
		return status;
	if (!ntvm_regions_find(&p->regions, addr)) {
		if (!ntvm_foreign_at(p, addr, &f, true)) {
			status = NTVM_STATUS_INVALID_ADDRESS;
		} else if (f.type == NTVM_TYPE_IMAGE) {
			out->image_base = f.start;
			out->image_size = f.all_end - f.start;
		}
	}
	ntvm_process_unlock(p, false);
	return status;
}

/* --- the name of a mapped file ------------------------------------------------------ */

/* The file that is mapped at @addr, with a reference; NULL if it has no name. */
static u32 ntvm_query_file(struct ntvm_process *p, unsigned long addr, struct file **file)
{
	struct vm_area_struct *vma;
	u32 status;

	*file = NULL;
	status = ntvm_process_lock(p, false);
	if (status)
		return status;
	if (!ntvm_regions_find(&p->regions, addr)) {
		mmap_read_lock(p->mm);
		vma = find_vma(p->mm, addr);
		/* Shared anonymous memory and the like are files without a place. */
		if (vma && vma->vm_start <= addr && vma->vm_file &&
		    !IS_ROOT(ntvm_file_path(vma->vm_file)->dentry))
			*file = get_file(vma->vm_file);
		mmap_read_unlock(p->mm);
	}
	ntvm_process_unlock(p, false);
	return *file ? NTVM_STATUS_SUCCESS : NTVM_STATUS_INVALID_ADDRESS;
}

/* UTF-8 into UTF-16; what is not UTF-8 is widened byte by byte. Returns units. */
static int ntvm_name_widen(const char *name, int bytes, u16 *wide)
{
	int units, i;

	units = utf8s_to_utf16s(name, bytes, UTF16_HOST_ENDIAN, (wchar_t *)wide, bytes);
	if (units >= 0)
		return units;
	for (i = 0; i < bytes; i++)
		wide[i] = (u8)name[i];
	return bytes;
}

/*
 * The name of @file in UTF-16 with a 0 at its end, to be freed by kvfree(); as
 * the caller would have to call it, like the kernel's own lists of mappings.
 */
static u32 ntvm_name_of(const struct file *file, u16 **name, int *units)
{
	const struct path *path = ntvm_file_path(file);
	const int room = NTVM_NAME_UNITS + sizeof(NTVM_DELETED);
	u32 status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	char *buffer, *text;
	size_t bytes;

	*name = NULL;
	buffer = kvmalloc(room, GFP_KERNEL_ACCOUNT);
	if (!buffer)
		return status;
	text = d_path(path, buffer, room);
	if (IS_ERR(text)) {
		status = NTVM_STATUS_NAME_TOO_LONG;
		goto out;
	}
	bytes = strlen(text);
	if (d_unlinked(path->dentry) && bytes >= strlen(NTVM_DELETED) &&
	    !strcmp(text + bytes - strlen(NTVM_DELETED), NTVM_DELETED))
		bytes -= strlen(NTVM_DELETED);
	if (bytes > NTVM_NAME_UNITS) {
		status = NTVM_STATUS_NAME_TOO_LONG;
		goto out;
	}
	*name = kvmalloc_array(bytes + 1, sizeof(u16), GFP_KERNEL_ACCOUNT);
	if (!*name)
		goto out;
	*units = ntvm_name_widen(text, bytes, *name);
	(*name)[*units] = 0;
	status = NTVM_STATUS_SUCCESS;
out:
	kvfree(buffer);
	return status;
}

static u32 ntvm_query_filename(struct ntvm_process *p, const struct ntvm_query *q)
{
	u64 __user *return_ptr = u64_to_user_ptr(q->return_ptr);
	struct ntvm_mapped_filename head = { };
	struct file *file;
	u16 *name = NULL;
	u64 needed;
	u32 status;
	int units;

	status = ntvm_query_file(p, q->address, &file);
	if (status)
		return status;
	status = ntvm_name_of(file, &name, &units);
	fput(file);
	if (status)
		return status;

	head.length = units * sizeof(u16);
	head.maximum_length = head.length + sizeof(u16);
	head.buffer = q->buffer + sizeof(head);
	needed = sizeof(head) + head.maximum_length;
	if (q->length < needed)
		status = NTVM_STATUS_BUFFER_OVERFLOW;
	else if (copy_to_user(u64_to_user_ptr(head.buffer), name, head.maximum_length) ||
		 copy_to_user(u64_to_user_ptr(q->buffer), &head, sizeof(head)))
		status = NTVM_STATUS_ACCESS_VIOLATION;
	if (status != NTVM_STATUS_ACCESS_VIOLATION && return_ptr && put_user(needed, return_ptr))
		status = NTVM_STATUS_ACCESS_VIOLATION;
	kvfree(name);
	return status;
}

/* --- the working set ------------------------------------------------------------------ */

/* A page of a region: it is valid only while its state allows to read it. */
static u64 ntvm_ws_region(const struct ntvm_region *r, unsigned long addr)
{
	struct ntvm_extent *x = r->extent;
	struct page *page;
	bool valid;
	u64 bits;
	u8 state;

	down_read(&x->fault_lock);
	state = ntvm_pages_get(&x->pages, ntvm_page(x, addr));
	valid = ntvm_state_readable(state) && get_user_pages_fast_only(addr, 1, 0, &page) == 1;
	up_read(&x->fault_lock);
	if (!valid)
		return 0;
	bits = NTVM_WS_VALID |
	       (u64)(ntvm_page_protect(r, state) & 0x7ff) << NTVM_WS_PROTECT_SHIFT |
	       (u64)(page_to_nid(page) & 0x3f) << NTVM_WS_NODE_SHIFT;
	put_page(page);
	if (x->traits & NTVM_TRAIT_LARGE)
		bits |= NTVM_WS_LARGE_PAGE;
	if (ntvm_lock_held(x, ntvm_page(x, addr)))
		bits |= NTVM_WS_LOCKED;
	return bits;
}

/* A page of any other mapping. Pages of files are shared, private copies are not. */
static u64 ntvm_ws_foreign(struct ntvm_process *p, unsigned long addr)
{
	struct vm_area_struct *vma;
	bool shared, locked;
	struct page *page;
	u64 bits = 0;
	u32 protect;

	mmap_read_lock(p->mm);
	vma = find_vma(p->mm, addr);
	if (!vma || vma->vm_start > addr) {
		mmap_read_unlock(p->mm);
		return 0;
	}
	shared = vma->vm_file || (vma->vm_flags & VM_SHARED);
	locked = vma->vm_flags & VM_LOCKED;
	protect = ntvm_foreign_protect(vma);
	if (get_user_pages_fast_only(addr, 1, 0, &page) == 1) {
		shared = shared && !PageAnon(page);
		bits = NTVM_WS_VALID | (u64)protect << NTVM_WS_PROTECT_SHIFT |
		       (u64)(page_to_nid(page) & 0x3f) << NTVM_WS_NODE_SHIFT;
		if (shared)
			bits |= (u64)clamp(ntvm_page_mapcount(page), 1, 7) <<
				NTVM_WS_SHARE_COUNT_SHIFT;
		if (locked)
			bits |= NTVM_WS_LOCKED;
		put_page(page);
	}
	mmap_read_unlock(p->mm);
	return shared ? bits | NTVM_WS_SHARED : bits;
}

/**
 * struct ntvm_ws - some entries on their way
 * @process: the process, whose mm is current->mm
 * @entries: the entries
 * @nr: how many
 * @status: out
 */
struct ntvm_ws {
	struct ntvm_process *process;
	struct ntvm_working_set_entry *entries;
	unsigned int nr;
	u32 status;
};

static void ntvm_ws_look(void *arg)
{
	struct ntvm_ws *ws = arg;
	struct ntvm_process *p = ws->process;
	struct ntvm_working_set_entry *e;
	struct ntvm_region *r;
	unsigned int i;

	ws->status = ntvm_process_lock(p, false);
	if (ws->status)
		return;
	for (i = 0; i < ws->nr; i++) {
		e = &ws->entries[i];
		e->attributes = 0;
		if (e->address >= p->space.user_end)
			continue;
		r = ntvm_regions_find(&p->regions, e->address);
		e->attributes = r ? ntvm_ws_region(r, e->address & PAGE_MASK) :
				    ntvm_ws_foreign(p, e->address & PAGE_MASK);
	}
	ntvm_process_unlock(p, false);
}

static int ntvm_query_working_set(struct ntvm_call *call)
{
	struct ntvm_query *q = &call->req.query;
	struct ntvm_working_set_entry __user *user = u64_to_user_ptr(q->buffer);
	u64 __user *return_ptr = u64_to_user_ptr(q->return_ptr);
	u64 left = q->length / sizeof(*user);
	struct ntvm_ws ws = { .process = call->process };
	size_t bytes;
	int err = 0;

	ws.entries = kmalloc_array(min_t(u64, left, NTVM_WS_ENTRIES), sizeof(*user),
				   GFP_KERNEL_ACCOUNT);
	if (!ws.entries) {
		q->status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
		return 0;
	}
	for (; left; left -= ws.nr, user += ws.nr) {
		ws.nr = min_t(u64, left, NTVM_WS_ENTRIES);
		bytes = ws.nr * sizeof(*user);
		q->status = NTVM_STATUS_ACCESS_VIOLATION;
		if (copy_from_user(ws.entries, user, bytes))
			break;
		if (call->foreign)
			ntvm_foreign_run(call->process, ntvm_ws_look, &ws);
		else
			ntvm_ws_look(&ws);
		q->status = ws.status;
		if (ws.status)
			break;
		if (copy_to_user(user, ws.entries, bytes)) {
			q->status = NTVM_STATUS_ACCESS_VIOLATION;
			break;
		}
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		cond_resched();
	}
	kfree(ws.entries);
	if (!err && !q->status && return_ptr && put_user(q->length, return_ptr))
		q->status = NTVM_STATUS_ACCESS_VIOLATION;
	return err;
}

/* --- the request ------------------------------------------------------------------------ */

/* The least length of a class's answer, 0 if there is no such class. */
static unsigned int ntvm_query_least(u32 info_class)
{
	switch (info_class) {
	case NTVM_QUERY_MAPPED_FILENAME:
		return sizeof(struct ntvm_mapped_filename);
	case NTVM_QUERY_REGION:
		return offsetof(struct ntvm_region_info, commit_size);
	case NTVM_QUERY_WORKING_SET_EX:
		return sizeof(struct ntvm_working_set_entry);
	case NTVM_QUERY_IMAGE:
		return sizeof(struct ntvm_image_info);
	default:
		return 0;
	}
}

/* How much of struct ntvm_region_info older Windows had. */
static unsigned int ntvm_region_shape(u64 length)
{
	if (length < offsetof(struct ntvm_region_info, partition_id))
		return offsetof(struct ntvm_region_info, commit_size);
	if (length < sizeof(struct ntvm_region_info))
		return offsetof(struct ntvm_region_info, partition_id);
	return sizeof(struct ntvm_region_info);
}

/**
 * ntvm_ioc_query_class - NTVM_IOC_QUERY of another class than BASIC
 * @call: the request
 *
 * Context: process context, may sleep.
 * Return: 0 with the status set, or -EINTR.
 */
int ntvm_ioc_query_class(struct ntvm_call *call)
{
	struct ntvm_query *q = &call->req.query;
	u64 __user *return_ptr = u64_to_user_ptr(q->return_ptr);
	unsigned int bytes = ntvm_query_least(q->info_class);
	union {
		struct ntvm_region_info region;
		struct ntvm_image_info image;
	} out;
	__u64 value;

	q->status = NTVM_STATUS_INVALID_INFO_CLASS;
	if (!bytes)
		return 0;
	q->status = NTVM_STATUS_INFO_LENGTH_MISMATCH;
	if (q->length < bytes)
		return 0;
	if (q->info_class == NTVM_QUERY_REGION)
		bytes = ntvm_region_shape(q->length);
	q->status = NTVM_STATUS_ACCESS_VIOLATION;
	if (!ntvm_buffer_probe(u64_to_user_ptr(q->buffer),
			       q->info_class == NTVM_QUERY_WORKING_SET_EX ? q->length : bytes))
		return 0;
	if (return_ptr && !ntvm_arg_read(return_ptr, &value))
		return 0;
	q->status = NTVM_STATUS_INVALID_PARAMETER;
	if (q->info_class != NTVM_QUERY_WORKING_SET_EX &&
	    q->address >= call->process->space.user_end)
		return 0;
	q->status = call->handle_status;
	if (q->status)
		return 0;

	switch (q->info_class) {
	case NTVM_QUERY_MAPPED_FILENAME:
		q->status = ntvm_query_filename(call->process, q);
		return 0;
	case NTVM_QUERY_WORKING_SET_EX:
		return ntvm_query_working_set(call);
	case NTVM_QUERY_REGION:
		q->status = ntvm_query_region(call->process, q->address, &out.region);
		break;
	case NTVM_QUERY_IMAGE:
		q->status = ntvm_query_image(call->process, q->address, &out.image);
		break;
	}
	if (q->status)
		return 0;
	if (!ntvm_words_write(u64_to_user_ptr(q->buffer), &out, bytes) ||
	    (return_ptr && put_user((u64)bytes, return_ptr)))
		q->status = NTVM_STATUS_ACCESS_VIOLATION;
	return 0;
}
