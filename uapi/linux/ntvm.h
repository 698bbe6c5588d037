/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * ntvm: NT virtual memory for Linux processes. The ABI of /dev/ntvm.
 *
 * Requests. Every request is a struct that begins with struct ntvm_header.
 * The numbers carry no size: @size says how large the caller's struct is, so
 * that a struct can grow at its end. A struct shorter than the first version
 * is EINVAL, a longer one with a non-zero tail E2BIG, a reserved field that is
 * not zero EINVAL, an unknown flag EINVAL, an unknown request ENOTTY.
 *
 * Answers. The ioctl returns 0 when the request was understood; what became of
 * it is the NTSTATUS in @status (NTVM_STATUS_*). A negative errno speaks of the
 * transport only: EFAULT (the request cannot be read or written), EINVAL,
 * E2BIG, ENOTTY as above, ESTALE (NTVM_CURRENT_PROCESS on a file that another
 * address space opened: a fork child or an exec'd program must open its own),
 * EINTR (the caller is being killed). On an errno nothing has changed and
 * @status means nothing; the one exception is a request whose memory is taken
 * away by another thread while it is served: EFAULT then, with the work done.
 *
 * Handles. An open file of /dev/ntvm is a handle to the address space that
 * opened it. Another process gets one by pidfd_getfd(2) or SCM_RIGHTS.
 *
 * Layout is the same for 32-bit and 64-bit callers. A 32-bit program keeps bases
 * and lengths in 4-byte variables: NTVM_F_NARROW.
 */
#ifndef _UAPI_LINUX_NTVM_H
#define _UAPI_LINUX_NTVM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define NTVM_ABI_VERSION	1

#define NTVM_IOC_TYPE		'N'
#define NTVM_IOC_GET_INFO	_IO(NTVM_IOC_TYPE, 0x90)
#define NTVM_IOC_ALLOCATE	_IO(NTVM_IOC_TYPE, 0x91)
#define NTVM_IOC_FREE		_IO(NTVM_IOC_TYPE, 0x92)
#define NTVM_IOC_PROTECT	_IO(NTVM_IOC_TYPE, 0x93)
#define NTVM_IOC_QUERY		_IO(NTVM_IOC_TYPE, 0x94)
#define NTVM_IOC_SET_CONTRACT	_IO(NTVM_IOC_TYPE, 0x95)
#define NTVM_IOC_DUPLICATE	_IO(NTVM_IOC_TYPE, 0x96)
#define NTVM_IOC_TAKE_FAULT	_IO(NTVM_IOC_TYPE, 0x97)
#define NTVM_IOC_ALLOCATE_EX	_IO(NTVM_IOC_TYPE, 0x98)
#define NTVM_IOC_WATCH		_IO(NTVM_IOC_TYPE, 0x99)
#define NTVM_IOC_LOCK		_IO(NTVM_IOC_TYPE, 0x9a)
#define NTVM_IOC_OFFER		_IO(NTVM_IOC_TYPE, 0x9b)
#define NTVM_IOC_COPY		_IO(NTVM_IOC_TYPE, 0x9c)
#define NTVM_IOC_SET_INFORMATION	_IO(NTVM_IOC_TYPE, 0x9d)
#define NTVM_IOC_FLUSH		_IO(NTVM_IOC_TYPE, 0x9e)
#define NTVM_IOC_STACK		_IO(NTVM_IOC_TYPE, 0x9f)
#define NTVM_IOC_VECTOR		_IO(NTVM_IOC_TYPE, 0xa0)
#define NTVM_IOC_LIMITS		_IO(NTVM_IOC_TYPE, 0xa1)
#define NTVM_IOC_JOB		_IO(NTVM_IOC_TYPE, 0xa2)

/* ntvm_header.handle: the caller's own process; never looked up. */
#define NTVM_CURRENT_PROCESS	(-1)

/*
 * ntvm_header.flags. INDIRECT: @base and @len of the request are addresses of
 * the caller's 8-byte in/out variables instead of the values; they are read
 * and probed for writing where NT probes them, and a bad one is
 * NTVM_STATUS_ACCESS_VIOLATION with nothing changed.
 *
 * NARROW, in every request that takes INDIRECT and in QUERY: those variables,
 * and QUERY's answer, are a 32-bit program's: 4 bytes wide. An address that the
 * module chooses is then below 4 GiB in any process, and what is too large for
 * 4 bytes is given as the largest multiple of a page that is not. Without
 * INDIRECT it means nothing but that.
 */
#define NTVM_F_INDIRECT		0x1u
#define NTVM_F_NARROW		0x2u

/**
 * struct ntvm_header - how every request begins
 * @size: bytes of the whole request as the caller knows it
 * @flags: NTVM_F_* that the request documents, others must be 0
 * @handle: NTVM_CURRENT_PROCESS, or a file descriptor of /dev/ntvm: the request
 *	    acts on the address space of that file, with that file's rights
 * @status: out, NTSTATUS
 */
struct ntvm_header {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
};

/**
 * struct ntvm_info - NTVM_IOC_GET_INFO
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: see struct ntvm_header; no right is needed
 * @status: out, SUCCESS or a handle's status
 * @out_version: NTVM_ABI_VERSION of the module
 * @out_contract: NTVM_CONTRACT_* in force for the process
 * @out_features: NTVM_FEATURE_* the module has
 * @out_page_size: bytes of a page, the unit of commit and protection
 * @out_granularity: bytes, the unit of the address of a reservation
 * @out_min_address: lowest address a region may have
 * @out_max_address: highest address a region may cover
 * @out_reserved: bytes in regions of the process now
 * @out_committed: bytes committed now
 * @out_regions: regions now
 * @out_access: rights of the handle, NTVM_ACCESS_*
 * @reserved: 0
 */
struct ntvm_info {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 out_version;
	__u32 out_contract;
	__aligned_u64 out_features;
	__u32 out_page_size;
	__u32 out_granularity;
	__aligned_u64 out_min_address;
	__aligned_u64 out_max_address;
	__aligned_u64 out_reserved;
	__aligned_u64 out_committed;
	__aligned_u64 out_regions;
	__u32 out_access;
	__u32 reserved;
};

#define NTVM_FEATURE_PRIVATE	(1ull << 0)	/* allocate, free, protect, query */
#define NTVM_FEATURE_FOREIGN	(1ull << 1)	/* handles to other processes */
#define NTVM_FEATURE_GUARD	(1ull << 2)	/* one-shot guard pages, TAKE_FAULT */
#define NTVM_FEATURE_EX		(1ull << 3)	/* ALLOCATE_EX, placeholders */
#define NTVM_FEATURE_WATCH	(1ull << 4)	/* write watch */
#define NTVM_FEATURE_RESET	(1ull << 5)	/* RESET, RESET_UNDO, OFFER */
#define NTVM_FEATURE_LOCK	(1ull << 6)	/* LOCK, LARGE_PAGES */
#define NTVM_FEATURE_COPY	(1ull << 7)	/* COPY, SET_INFORMATION, FLUSH, all queries */
#define NTVM_FEATURE_STACK	(1ull << 8)	/* STACK */
#define NTVM_FEATURE_VECTOR	(1ull << 9)	/* VECTOR */
#define NTVM_FEATURE_LIMITS	(1ull << 10)	/* LIMITS, JOB */
#define NTVM_FEATURE_NARROW	(1ull << 11)	/* NTVM_F_NARROW */

/**
 * struct ntvm_allocate - NTVM_IOC_ALLOCATE: reserve and commit
 * @size: see struct ntvm_header
 * @flags: 0 or NTVM_F_INDIRECT
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @base: in/out, wished address (0: the module chooses) and the rounded start
 * @len: in/out, bytes wished and the rounded byte count
 * @zero_bits: 0; 1 to 20: the result is below 2^(32 - zero_bits); above 31: a mask
 * @type: NTVM_ALLOC_*
 * @protect: NTVM_PAGE_*
 *
 * Statuses, in the order in which they win: INVALID_PARAMETER_3 (zero_bits;
 * INVALID_PARAMETER for 21), INVALID_PARAMETER_5 (type), INVALID_PARAMETER
 * (placeholder types), INVALID_PARAMETER_6 (PHYSICAL wants READWRITE),
 * INVALID_PAGE_PROTECTION, ACCESS_VIOLATION (INDIRECT), INVALID_PARAMETER_2
 * (base), INVALID_PARAMETER_4 (len), INVALID_PARAMETER_3 (len is more than
 * zero_bits leaves), the handle's statuses, ALREADY_COMMITTED (a commit on a
 * file's mapping), INVALID_PAGE_PROTECTION (WRITECOPY; GUARD with LARGE_PAGES),
 * NOT_SUPPORTED (PHYSICAL), PRIVILEGE_NOT_HELD (LARGE_PAGES),
 * CONFLICTING_ADDRESSES, INSUFFICIENT_RESOURCES, COMMITMENT_LIMIT, NO_MEMORY,
 * ACCESS_DENIED (a security module forbids executable memory), UNSUCCESSFUL
 * (RESET_UNDO: done, but contents were lost).
 */
struct ntvm_allocate {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__aligned_u64 zero_bits;
	__u32 type;
	__u32 protect;
};

/**
 * struct ntvm_free - NTVM_IOC_FREE: decommit and release
 * @size: see struct ntvm_header
 * @flags: 0 or NTVM_F_INDIRECT
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @base: in/out, an address of the range and the rounded start
 * @len: in/out, bytes (0: the whole region) and the freed byte count
 * @type: NTVM_FREE_DECOMMIT; NTVM_FREE_RELEASE, alone, with NTVM_FREE_PRESERVE
 *	  (split a placeholder, or make one of what replaced one) or with
 *	  NTVM_FREE_COALESCE (join placeholders)
 * @reserved: 0
 *
 * Statuses, in the order in which they win: INVALID_PARAMETER_4 (type),
 * ACCESS_VIOLATION (INDIRECT), INVALID_PARAMETER_3 (a release with a size under
 * the documented contract), INVALID_PARAMETER_2 (base), INVALID_PARAMETER_3
 * (len), the handle's statuses, UNABLE_TO_DELETE_SECTION (a file's mapping),
 * MEMORY_NOT_ALLOCATED, UNABLE_TO_FREE_VM, FREE_VM_NOT_AT_BASE,
 * CONFLICTING_ADDRESSES (PRESERVE: neither part of a placeholder nor all of what
 * replaced one; COALESCE: not exactly two placeholders or more),
 * INSUFFICIENT_RESOURCES.
 */
struct ntvm_free {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__u32 type;
	__u32 reserved;
};

/**
 * struct ntvm_protect - NTVM_IOC_PROTECT: change the protection of committed pages
 * @size: see struct ntvm_header
 * @flags: 0 or NTVM_F_INDIRECT
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @base: in/out, an address of the range and the rounded start
 * @len: in/out, bytes and the rounded byte count
 * @old_ptr: with NTVM_F_INDIRECT the address of a 4-byte variable for the old
 *	     protection, else 0
 * @protect: NTVM_PAGE_*
 * @out_old: out without NTVM_F_INDIRECT, protection of the first page before the
 *	     call; NOACCESS when the memory is what is wrong
 *
 * Statuses, in the order in which they win: INVALID_PAGE_PROTECTION,
 * ACCESS_VIOLATION (INDIRECT), INVALID_PARAMETER_2 (base), INVALID_PARAMETER_3
 * (len), the handle's statuses, CONFLICTING_ADDRESSES, NOT_COMMITTED,
 * INVALID_PARAMETER_4 (WRITECOPY), INSUFFICIENT_RESOURCES.
 */
struct ntvm_protect {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__aligned_u64 old_ptr;
	__u32 protect;
	__u32 out_old;
};

/**
 * struct ntvm_query - NTVM_IOC_QUERY
 * @size: see struct ntvm_header
 * @flags: 0 or, for class BASIC, NTVM_F_NARROW
 * @handle: needs NTVM_ACCESS_QUERY or NTVM_ACCESS_QUERY_LIMITED
 * @status: out
 * @address: any address up to the end of user space; not used by WORKING_SET_EX
 * @buffer: address of the answer:
 *	BASIC: struct ntvm_basic_info, with NARROW struct ntvm_basic_info32
 *	MAPPED_FILENAME: struct ntvm_mapped_filename and the name
 *	REGION: struct ntvm_region_info; less of it with a shorter @length
 *	WORKING_SET_EX: an array of struct ntvm_working_set_entry
 *	IMAGE: struct ntvm_image_info
 * @length: bytes at @buffer
 * @return_ptr: 0, or the address of an 8-byte variable for the bytes written
 *	(BUFFER_OVERFLOW: for the bytes needed), with NARROW a 4-byte one
 * @info_class: NTVM_QUERY_*
 * @reserved: 0
 *
 * Statuses, in the order in which they win: INVALID_INFO_CLASS,
 * INFO_LENGTH_MISMATCH, ACCESS_VIOLATION, INVALID_PARAMETER (address), the
 * handle's statuses, INVALID_ADDRESS (REGION, IMAGE: free memory;
 * MAPPED_FILENAME: no file with a name), INSUFFICIENT_RESOURCES, NAME_TOO_LONG,
 * BUFFER_OVERFLOW (MAPPED_FILENAME).
 */
struct ntvm_query {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 address;
	__aligned_u64 buffer;
	__aligned_u64 length;
	__aligned_u64 return_ptr;
	__u32 info_class;
	__u32 reserved;
};

#define NTVM_QUERY_BASIC		0
#define NTVM_QUERY_MAPPED_FILENAME	2
#define NTVM_QUERY_REGION		3
#define NTVM_QUERY_WORKING_SET_EX	4
#define NTVM_QUERY_IMAGE		6

/**
 * struct ntvm_basic_info - the run of equal pages that begins at an address
 * @base: the address asked for, rounded down to its page
 * @allocation_base: start of the region, 0 for free memory
 * @allocation_protect: NTVM_PAGE_* the region was reserved with, 0 for free memory
 * @partition_id: 0
 * @pad: 0
 * @region_size: bytes from @base to the end of the run
 * @state: NTVM_STATE_*
 * @protect: NTVM_PAGE_*; 0 for reserved pages, NOACCESS for free ones
 * @type: NTVM_TYPE_*, 0 for free memory
 * @pad2: 0
 */
struct ntvm_basic_info {
	__aligned_u64 base;
	__aligned_u64 allocation_base;
	__u32 allocation_protect;
	__u16 partition_id;
	__u16 pad;
	__aligned_u64 region_size;
	__u32 state;
	__u32 protect;
	__u32 type;
	__u32 pad2;
};

/**
 * struct ntvm_region_info - the whole allocation that an address is in
 * @allocation_base: start of the region
 * @allocation_protect: NTVM_PAGE_* it was reserved with
 * @region_type: 0
 * @region_size: bytes of the region
 * @commit_size: bytes of it that are committed, missing if @length ends here
 * @partition_id: 0; missing, with what follows, if @length ends here
 * @node_preference: 0
 */
struct ntvm_region_info {
	__aligned_u64 allocation_base;
	__u32 allocation_protect;
	__u32 region_type;
	__aligned_u64 region_size;
	__aligned_u64 commit_size;
	__aligned_u64 partition_id;
	__aligned_u64 node_preference;
};

/**
 * struct ntvm_working_set_entry - one page
 * @address: in, an address in it
 * @attributes: out, NTVM_WS_*; of a page that is not VALID only SHARED
 */
struct ntvm_working_set_entry {
	__aligned_u64 address;
	__aligned_u64 attributes;
};

#define NTVM_WS_VALID			(1ull << 0)	/* can be accessed without a fault */
#define NTVM_WS_SHARE_COUNT_SHIFT	1		/* 3 bits, how often it is mapped */
#define NTVM_WS_PROTECT_SHIFT		4		/* 11 bits, NTVM_PAGE_* */
#define NTVM_WS_SHARED			(1ull << 15)	/* a page of a file, or of shared memory */
#define NTVM_WS_NODE_SHIFT		16		/* 6 bits, NUMA node */
#define NTVM_WS_LOCKED			(1ull << 22)
#define NTVM_WS_LARGE_PAGE		(1ull << 23)
#define NTVM_WS_BAD			(1ull << 31)

/**
 * struct ntvm_image_info - the image that an address is in
 * @image_base: start of it; 0 if this is no image
 * @image_size: bytes; 0 if this is no image
 * @image_flags: 0
 * @pad: 0
 */
struct ntvm_image_info {
	__aligned_u64 image_base;
	__aligned_u64 image_size;
	__u32 image_flags;
	__u32 pad;
};

/**
 * struct ntvm_mapped_filename - UNICODE_STRING of 64-bit NT; the name follows it
 * @length: bytes of the name, UTF-16, without the 0 at its end
 * @maximum_length: bytes with it
 * @pad: 0
 * @buffer: address of the name
 */
struct ntvm_mapped_filename {
	__u16 length;
	__u16 maximum_length;
	__u32 pad;
	__aligned_u64 buffer;
};

/**
 * struct ntvm_basic_info32 - the same for a 32-bit program
 * @base: see struct ntvm_basic_info
 * @allocation_base: see there
 * @allocation_protect: see there
 * @region_size: see there
 * @state: see there
 * @protect: see there
 * @type: see there
 */
struct ntvm_basic_info32 {
	__u32 base;
	__u32 allocation_base;
	__u32 allocation_protect;
	__u32 region_size;
	__u32 state;
	__u32 protect;
	__u32 type;
};

/**
 * struct ntvm_set_contract - NTVM_IOC_SET_CONTRACT: which contract frees follow
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out, SUCCESS, INVALID_PARAMETER (unknown contract) or a handle's status
 * @contract: NTVM_CONTRACT_*
 * @reserved: 0
 */
struct ntvm_set_contract {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 contract;
	__u32 reserved;
};

#define NTVM_CONTRACT_DOCUMENTED	0	/* the published page, to the letter */
#define NTVM_CONTRACT_WINDOWS		1	/* what Windows really does */

/**
 * struct ntvm_duplicate - NTVM_IOC_DUPLICATE: a weaker handle to the same process
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: the handle to duplicate
 * @status: out, SUCCESS, ACCESS_DENIED (a right the handle does not have),
 *	    INSUFFICIENT_RESOURCES (no descriptor or memory) or a handle's status
 * @access: NTVM_ACCESS_* of the new handle
 * @out_fd: out, the new descriptor, close-on-exec
 */
struct ntvm_duplicate {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 access;
	__s32 out_fd;
};

/* Rights of a handle; the values are NT's PROCESS_* rights. */
#define NTVM_ACCESS_VM_OPERATION	0x0008u
#define NTVM_ACCESS_VM_READ		0x0010u
#define NTVM_ACCESS_VM_WRITE		0x0020u
#define NTVM_ACCESS_QUERY		0x0400u
#define NTVM_ACCESS_QUERY_LIMITED	0x1000u
#define NTVM_ACCESS_ALL			0x1438u

/**
 * struct ntvm_take_fault - NTVM_IOC_TAKE_FAULT: why this thread's access was refused
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: must be NTVM_CURRENT_PROCESS
 * @status: out, SUCCESS (a guard page was hit, the record is consumed) or NOT_FOUND
 * @out_kind: out, NTVM_FAULT_GUARD or NTVM_FAULT_STACK
 * @reserved: 0
 * @out_address: out, the page of the access that tripped the guard
 *
 * The module remembers, per thread, the last guard page that the thread hit,
 * until the thread asks or the module refuses an access of its for another
 * reason. A SIGSEGV handler tells a guard hit from an access violation with it.
 */
struct ntvm_take_fault {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 out_kind;
	__u32 reserved;
	__aligned_u64 out_address;
};

#define NTVM_FAULT_GUARD	1	/* a guard page was hit */
#define NTVM_FAULT_STACK	2	/* the thread's stack is used up */

/* --- ALLOCATE_EX ------------------------------------------------------------- */

/**
 * struct ntvm_parameter - one extended parameter; MEM_EXTENDED_PARAMETER of 64-bit NT
 * @type: NTVM_PARAMETER_ADDRESS, _NODE or _ATTRIBUTES; of the others ntvm has
 *	  nothing to name and answers INVALID_PARAMETER
 * @value: a number, or the address of a struct, as @type says
 */
struct ntvm_parameter {
	__aligned_u64 type;
	__aligned_u64 value;
};

#define NTVM_PARAMETER_ADDRESS		1	/* address of struct ntvm_requirements */
#define NTVM_PARAMETER_NODE		2	/* preferred NUMA node, 32 bits */
#define NTVM_PARAMETER_PARTITION	3
#define NTVM_PARAMETER_PHYSICAL		4
#define NTVM_PARAMETER_ATTRIBUTES	5	/* must be 0 */
#define NTVM_PARAMETER_MACHINE		6
#define NTVM_PARAMETER_MAX		7

/**
 * struct ntvm_requirements - where a range may be; MEM_ADDRESS_REQUIREMENTS of 64-bit NT
 * @lowest: lowest start, a multiple of the granularity; 0: any
 * @highest: highest last byte, the last one of a page; 0: any
 * @alignment: of the start, a power of two, the granularity or more; 0: any
 */
struct ntvm_requirements {
	__aligned_u64 lowest;
	__aligned_u64 highest;
	__aligned_u64 alignment;
};

/**
 * struct ntvm_allocate_ex - NTVM_IOC_ALLOCATE_EX: NtAllocateVirtualMemoryEx
 * @size: see struct ntvm_header
 * @flags: 0 or NTVM_F_INDIRECT
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @base: as in struct ntvm_allocate; REPLACE_PLACEHOLDER: rounded to the page
 * @len: as in struct ntvm_allocate
 * @type: NTVM_ALLOC_*
 * @protect: NTVM_PAGE_*
 * @parameters: address of an array of struct ntvm_parameter
 * @old_ptr: with NTVM_F_INDIRECT 0 or the address of 16 bytes for what the
 *	     caller's variables held before the call, else 0
 * @count: entries of @parameters, each type at most once
 * @reserved: 0
 *
 * Statuses, in the order in which they win: INVALID_PARAMETER (type; PHYSICAL
 * wants READWRITE), INVALID_PAGE_PROTECTION, INVALID_PARAMETER (a placeholder
 * is NOACCESS; a count without an array), ACCESS_VIOLATION (INDIRECT, then
 * @parameters), INVALID_PARAMETER (a parameter's type or value),
 * ACCESS_VIOLATION (requirements), INVALID_PARAMETER (node, base, len,
 * requirements), the handle's statuses, NOT_SUPPORTED (a node for another
 * process's memory), then as struct ntvm_allocate; for REPLACE_PLACEHOLDER
 * INVALID_PAGE_PROTECTION (WRITECOPY), INVALID_PARAMETER (no placeholder there),
 * CONFLICTING_ADDRESSES (not exactly one), INSUFFICIENT_RESOURCES,
 * COMMITMENT_LIMIT.
 *
 * NODE: the module checks that there is the node, and gives what is reserved a
 * VMA of its own; the caller then has to name the node by mbind(2), since no
 * module can.
 */
struct ntvm_allocate_ex {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__u32 type;
	__u32 protect;
	__aligned_u64 parameters;
	__aligned_u64 old_ptr;
	__u32 count;
	__u32 reserved;
};

/* --- WATCH --------------------------------------------------------------------- */

/**
 * struct ntvm_watch - NTVM_IOC_WATCH: pages written to; NtGetWriteWatch, NtResetWriteWatch
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @op: NTVM_WATCH_GET or NTVM_WATCH_RESET, else EINVAL
 * @watch_flags: GET: 0 or NTVM_WATCH_FLAG_RESET, reset the pages that are returned
 * @base: an address of a watched region
 * @len: bytes
 * @addresses: GET: address of an array of 8-byte addresses
 * @count_ptr: GET: address of an 8-byte variable, in: entries of the array, out:
 *	       entries filled
 * @granularity_ptr: GET: address of a 4-byte variable for the page size
 * @reserved: 0
 *
 * RESET: the four that are of GET must be 0.
 */
struct ntvm_watch {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 op;
	__u32 watch_flags;
	__aligned_u64 base;
	__aligned_u64 len;
	__aligned_u64 addresses;
	__aligned_u64 count_ptr;
	__aligned_u64 granularity_ptr;
	__aligned_u64 reserved;
};

#define NTVM_WATCH_GET		0
#define NTVM_WATCH_RESET	1
#define NTVM_WATCH_FLAG_RESET	0x1u

/* --- LOCK ------------------------------------------------------------------------ */

/**
 * struct ntvm_lock - NTVM_IOC_LOCK: NtLockVirtualMemory, NtUnlockVirtualMemory
 * @size: see struct ntvm_header
 * @flags: 0 or NTVM_F_INDIRECT
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @base: in/out
 * @len: in/out, bytes
 * @op: NTVM_LOCK_LOCK or NTVM_LOCK_UNLOCK
 * @map_type: NTVM_LOCK_PROCESS, NTVM_LOCK_SYSTEM or both
 *
 * Statuses, in the order in which they win: INVALID_PARAMETER (map_type),
 * ACCESS_VIOLATION (INDIRECT), INVALID_PARAMETER (base, len), the handle's
 * statuses, PRIVILEGE_NOT_HELD (SYSTEM without CAP_IPC_LOCK),
 * MEMORY_NOT_ALLOCATED (no page of the range is ntvm's); to lock:
 * ACCESS_VIOLATION, GUARD_PAGE_VIOLATION (the guard is consumed), WAS_LOCKED
 * (all of them: a success), WORKING_SET_QUOTA (the caller's RLIMIT_MEMLOCK),
 * NO_MEMORY, INSUFFICIENT_RESOURCES, IN_PAGE_ERROR; to unlock: NOT_LOCKED.
 */
struct ntvm_lock {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__u32 op;
	__u32 map_type;
};

#define NTVM_LOCK_LOCK		0
#define NTVM_LOCK_UNLOCK	1
#define NTVM_LOCK_PROCESS	1u
#define NTVM_LOCK_SYSTEM	2u

/* --- OFFER ------------------------------------------------------------------------- */

/**
 * struct ntvm_offer - NTVM_IOC_OFFER: offer, reclaim, discard contents
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @base: first byte, page aligned
 * @len: bytes, a multiple of the page size
 * @op: NTVM_OFFER_*
 * @priority: OFFER: NTVM_OFFER_VERY_LOW (given up first) to NTVM_OFFER_NORMAL; else 0
 *
 * Statuses, in the order in which they win: INVALID_PARAMETER (any of the
 * four), the handle's statuses, CONFLICTING_ADDRESSES, NOT_COMMITTED,
 * INVALID_PAGE_PROTECTION (DISCARD), INSUFFICIENT_RESOURCES, DEVICE_BUSY
 * (RECLAIM: done, but contents were lost).
 */
struct ntvm_offer {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__u32 op;
	__u32 priority;
};

/* ntvm_offer.op */
#define NTVM_OFFER_OFFER	0
#define NTVM_OFFER_RECLAIM	1
#define NTVM_OFFER_DISCARD	2

/* ntvm_offer.priority */
#define NTVM_OFFER_VERY_LOW	1
#define NTVM_OFFER_LOW		2
#define NTVM_OFFER_BELOW_NORMAL	3
#define NTVM_OFFER_NORMAL	4

/* --- COPY ---------------------------------------------------------------------------- */

/**
 * struct ntvm_copy - NTVM_IOC_COPY: NtReadVirtualMemory, NtWriteVirtualMemory
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: needs NTVM_ACCESS_VM_READ or NTVM_ACCESS_VM_WRITE, as @op says
 * @status: out
 * @address: in the process of @handle
 * @buffer: address in the caller
 * @len: bytes
 * @done_ptr: 0, or address of an 8-byte variable for the bytes copied
 * @op: NTVM_COPY_READ or NTVM_COPY_WRITE, else EINVAL
 * @out_stop: out, why a PARTIAL_COPY ended: NTVM_COPY_REFUSED, or
 *	      NTVM_COPY_OUTSIDE: what follows is not memory of the module, which
 *	      does not open the rest of the process
 * @out_next: out with NTVM_COPY_OUTSIDE: where memory of the module begins again,
 *	      or all bits set
 *
 * Copies in pieces of at most 64 KiB. A piece whose source cannot be read as a
 * whole is not copied; of one whose target cannot be written as a whole the
 * bytes before that are. A guard page that is met is used up and refused.
 *
 * Statuses, in the order in which they win: ACCESS_VIOLATION (a range that ends
 * outside user space, @done_ptr), SUCCESS (@len is 0), the handle's statuses,
 * INSUFFICIENT_RESOURCES, PARTIAL_COPY. From the handle's statuses on the bytes
 * copied are always stored at @done_ptr.
 */
struct ntvm_copy {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 address;
	__aligned_u64 buffer;
	__aligned_u64 len;
	__aligned_u64 done_ptr;
	__u32 op;
	__u32 out_stop;
	__aligned_u64 out_next;
};

#define NTVM_COPY_READ		0
#define NTVM_COPY_WRITE		1
#define NTVM_COPY_REFUSED	0	/* out_stop */
#define NTVM_COPY_OUTSIDE	1

/* --- SET_INFORMATION -------------------------------------------------------------- */

/**
 * struct ntvm_memory_range - MEMORY_RANGE_ENTRY of 64-bit NT
 * @address: first byte
 * @len: bytes
 */
struct ntvm_memory_range {
	__aligned_u64 address;
	__aligned_u64 len;
};

/**
 * struct ntvm_set_information - NTVM_IOC_SET_INFORMATION: NtSetInformationVirtualMemory
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @ranges: address of an array of struct ntvm_memory_range
 * @count: its entries
 * @info: address of what the class wants, a 4-byte number for all of them:
 *	PREFETCH: 0 or 1 (into the working set)
 *	PRIORITY: 0 to 5
 *	DIRTY_STATE: 0
 * @info_class: NTVM_SET_*
 * @info_length: bytes at @info
 *
 * PREFETCH reads pages of the module back from swap; ranges may lie anywhere,
 * what is not committed memory is passed over. PRIORITY is a hint that is not
 * followed. CFG is NOT_SUPPORTED whatever its arguments.
 *
 * Statuses, in the order in which they win: INVALID_PARAMETER_2 (class),
 * INVALID_PARAMETER_5 (@info is 0), INVALID_PARAMETER_6 (@info_length is not 4),
 * INVALID_PARAMETER_3 (@count is 0), ACCESS_VIOLATION (@info, @ranges),
 * INVALID_PARAMETER_5 (the number), INVALID_PARAMETER_4 (a range of 0 bytes),
 * the handle's statuses, INSUFFICIENT_RESOURCES, MEMORY_NOT_ALLOCATED
 * (DIRTY_STATE: free memory), NOT_SUPPORTED (CFG, DIRTY_STATE).
 */
struct ntvm_set_information {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 ranges;
	__aligned_u64 count;
	__aligned_u64 info;
	__u32 info_class;
	__u32 info_length;
};

#define NTVM_SET_PREFETCH	0
#define NTVM_SET_PRIORITY	1
#define NTVM_SET_CFG		2
#define NTVM_SET_DIRTY_STATE	3

/* --- FLUSH ---------------------------------------------------------------------------- */

/**
 * struct ntvm_flush - NTVM_IOC_FLUSH: NtFlushVirtualMemory
 * @size: see struct ntvm_header
 * @flags: 0 or NTVM_F_INDIRECT
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out
 * @base: in/out
 * @len: in/out, bytes; 0: to the end of the mapping
 * @io_ptr: with NTVM_F_INDIRECT the address of a struct ntvm_io_status, else 0
 * @out_status: out without NTVM_F_INDIRECT, IO_STATUS_BLOCK's status
 * @reserved: 0
 * @out_information: out without NTVM_F_INDIRECT, its count of bytes
 *
 * Statuses, in the order in which they win: ACCESS_VIOLATION (INDIRECT),
 * INVALID_PARAMETER_2 (base), INVALID_PARAMETER_3 (len), the handle's statuses,
 * NOT_MAPPED_VIEW (not, or not all, a file's mapping), DISK_FULL,
 * UNEXPECTED_IO_ERROR.
 */
struct ntvm_flush {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__aligned_u64 io_ptr;
	__u32 out_status;
	__u32 reserved;
	__aligned_u64 out_information;
};

/**
 * struct ntvm_io_status - IO_STATUS_BLOCK of 64-bit NT
 * @status: NTSTATUS of the transfer
 * @pad: 0
 * @information: bytes that are in the file now
 */
struct ntvm_io_status {
	__u32 status;
	__u32 pad;
	__aligned_u64 information;
};

/* --- STACK ------------------------------------------------------------------------------ */

/**
 * struct ntvm_stack - NTVM_IOC_STACK: the calling thread's stack
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: must be NTVM_CURRENT_PROCESS
 * @status: out
 * @op: NTVM_STACK_SET, NTVM_STACK_GET
 * @guarantee: SET in, GET out: bytes that stay usable after an overflow
 * @top: SET in, GET out: first byte above the stack; 0: the thread has none
 * @bottom: SET in, GET out: first byte of its reservation
 * @limit: SET in, GET out: lowest byte in use, moves down as the stack grows
 *
 * Guard pages that the thread hits in [@bottom, @top) are not reported to it:
 * the page loses its guard and the page below is committed with the same
 * protection, and guarded. The lowest page is never committed; when the next
 * guard page would be that one, or one of the @guarantee bytes above it, or
 * when the commit limit is reached, the hit is NTVM_FAULT_STACK.
 *
 * All three addresses are multiples of the page size, @bottom < @top, @limit
 * between them, @guarantee at most @top - @bottom. SET replaces what the thread
 * had; @top 0 removes it, then the other fields must be 0 too. Unknown @op and
 * other handles: EINVAL. Statuses in the order in which they win:
 * INVALID_PARAMETER (values), the handle's, INSUFFICIENT_RESOURCES,
 * INVALID_PARAMETER (not within one region).
 */
struct ntvm_stack {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 op;
	__u32 guarantee;
	__aligned_u64 top;
	__aligned_u64 bottom;
	__aligned_u64 limit;
};

#define NTVM_STACK_SET		0
#define NTVM_STACK_GET		1

/* --- VECTOR ----------------------------------------------------------------------------- */

/**
 * struct ntvm_vector_entry - one of many operations
 * @op: NTVM_VECTOR_COMMIT, _DECOMMIT or _PROTECT
 * @status: out, what the single request would have answered; INVALID_PARAMETER
 *	    for an unknown @op or a DECOMMIT with a @protect, INVALID_PARAMETER_2
 *	    for a COMMIT at 0, which would reserve; PENDING if it was not begun
 * @base: in/out, as in the single request
 * @len: in/out, as in the single request
 * @protect: COMMIT, PROTECT: NTVM_PAGE_*; DECOMMIT: 0
 * @out_old: out, PROTECT: as in the single request; else left alone
 */
struct ntvm_vector_entry {
	__u32 op;
	__u32 status;
	__aligned_u64 base;
	__aligned_u64 len;
	__u32 protect;
	__u32 out_old;
};

#define NTVM_VECTOR_COMMIT	0
#define NTVM_VECTOR_DECOMMIT	1
#define NTVM_VECTOR_PROTECT	2
#define NTVM_VECTOR_MAX		65536

/**
 * struct ntvm_vector - NTVM_IOC_VECTOR: many operations in one request, in order
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: needs NTVM_ACCESS_VM_OPERATION
 * @status: out, of the request, not of its entries
 * @entries: address of an array of struct ntvm_vector_entry
 * @count: its entries, at most NTVM_VECTOR_MAX
 * @vector_flags: 0 or NTVM_VECTOR_STOP, end after the first that fails
 * @reserved: 0
 * @out_done: out, entries that were carried out, the failed ones included
 *
 * Each entry is carried out by itself, after all before it; another thread may
 * come in between. SUCCESS: the array was processed, to its end or to the first
 * failure. Other statuses, in the order in which they win: INVALID_PARAMETER
 * (flags, count), ACCESS_VIOLATION, the handle's statuses, with nothing done;
 * INSUFFICIENT_RESOURCES comes after the address of the array is checked.
 *
 * An array that cannot be read and written to its end is carried out as far as
 * it can be; then ACCESS_VIOLATION, and @out_done says how far. So it is if it
 * turns unwritable meanwhile, with the statuses of the last entries lost. A
 * caller that is killed meanwhile leaves PENDING and @out_done behind, for whom
 * it shares that memory with. If @out_done is neither 0 nor @count, the statuses
 * behind it are set to PENDING.
 */
struct ntvm_vector {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__aligned_u64 entries;
	__u32 count;
	__u32 vector_flags;
	__u32 reserved;
	__u32 out_done;
};

#define NTVM_VECTOR_STOP	0x1u

/* --- LIMITS ------------------------------------------------------------------------------ */

/**
 * struct ntvm_limits - NTVM_IOC_LIMITS: a process's commit limit and figures
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: SET needs NTVM_ACCESS_VM_OPERATION, GET NTVM_ACCESS_QUERY or _QUERY_LIMITED
 * @status: out
 * @op: NTVM_LIMITS_GET or NTVM_LIMITS_SET
 * @reserved: 0
 * @limit: SET in, GET out: bytes that may be committed; 0: no limit
 * @out_committed: out, bytes committed now
 * @out_peak: out, the most there ever was
 */
struct ntvm_limits {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 op;
	__u32 reserved;
	__aligned_u64 limit;
	__aligned_u64 out_committed;
	__aligned_u64 out_peak;
};

#define NTVM_LIMITS_GET		0
#define NTVM_LIMITS_SET		1

/**
 * struct ntvm_job - NTVM_IOC_JOB: processes that share a commit limit
 * @size: see struct ntvm_header
 * @flags: must be 0
 * @handle: ASSIGN: the process, needs NTVM_ACCESS_VM_OPERATION; else NTVM_CURRENT_PROCESS
 * @status: out
 * @op: NTVM_JOB_*
 * @job: descriptor of the job; CREATE out, else in
 * @job_flags: SET in, GET out: NTVM_JOB_FLAG_*
 * @reserved: 0
 * @job_limit: SET in, GET out: bytes for all processes together; 0: no limit
 * @process_limit: SET in, GET out: bytes for each process; 0: no limit
 * @out_committed: GET out, bytes committed by all now
 * @out_peak: GET out, the most there ever was
 * @out_process_peak: GET out, the most one process ever had
 * @out_processes: GET out, processes in the job now
 */
struct ntvm_job {
	__u32 size;
	__u32 flags;
	__s32 handle;
	__u32 status;
	__u32 op;
	__s32 job;
	__u32 job_flags;
	__u32 reserved;
	__aligned_u64 job_limit;
	__aligned_u64 process_limit;
	__aligned_u64 out_committed;
	__aligned_u64 out_peak;
	__aligned_u64 out_process_peak;
	__aligned_u64 out_processes;
};

#define NTVM_JOB_CREATE		0
#define NTVM_JOB_ASSIGN		1
#define NTVM_JOB_SET		2
#define NTVM_JOB_GET		3
#define NTVM_JOB_FLAG_CHILDREN	0x1u	/* child processes are in it too */

/* --- constants ----------------------------------------------------------------------------- */

/* ntvm_allocate.type */
#define NTVM_ALLOC_COMMIT		0x00001000u
#define NTVM_ALLOC_RESERVE		0x00002000u
#define NTVM_ALLOC_REPLACE_PLACEHOLDER	0x00004000u
#define NTVM_ALLOC_RESERVE_PLACEHOLDER	0x00040000u
#define NTVM_ALLOC_RESET		0x00080000u
#define NTVM_ALLOC_TOP_DOWN		0x00100000u
#define NTVM_ALLOC_WRITE_WATCH		0x00200000u
#define NTVM_ALLOC_PHYSICAL		0x00400000u
#define NTVM_ALLOC_RESET_UNDO		0x01000000u
#define NTVM_ALLOC_LARGE_PAGES		0x20000000u

/* ntvm_free.type */
#define NTVM_FREE_COALESCE		0x00000001u
#define NTVM_FREE_PRESERVE		0x00000002u
#define NTVM_FREE_DECOMMIT		0x00004000u
#define NTVM_FREE_RELEASE		0x00008000u

/* Protection */
#define NTVM_PAGE_NOACCESS		0x001u
#define NTVM_PAGE_READONLY		0x002u
#define NTVM_PAGE_READWRITE		0x004u
#define NTVM_PAGE_WRITECOPY		0x008u
#define NTVM_PAGE_EXECUTE		0x010u
#define NTVM_PAGE_EXECUTE_READ		0x020u
#define NTVM_PAGE_EXECUTE_READWRITE	0x040u
#define NTVM_PAGE_EXECUTE_WRITECOPY	0x080u
#define NTVM_PAGE_GUARD			0x100u
#define NTVM_PAGE_NOCACHE		0x200u
#define NTVM_PAGE_WRITECOMBINE		0x400u
#define NTVM_PAGE_TARGETS		0x40000000u

/* ntvm_basic_info.state and .type */
#define NTVM_STATE_COMMIT		0x00001000u
#define NTVM_STATE_RESERVE		0x00002000u
#define NTVM_STATE_FREE			0x00010000u
#define NTVM_TYPE_PRIVATE		0x00020000u
#define NTVM_TYPE_MAPPED		0x00040000u
#define NTVM_TYPE_IMAGE			0x01000000u

/* NTSTATUS */
#define NTVM_STATUS_SUCCESS			0x00000000u
#define NTVM_STATUS_PENDING			0x00000103u
#define NTVM_STATUS_WORKING_SET_LIMIT_RANGE	0x40000002u
#define NTVM_STATUS_WAS_LOCKED			0x40000019u
#define NTVM_STATUS_GUARD_PAGE_VIOLATION	0x80000001u
#define NTVM_STATUS_DATATYPE_MISALIGNMENT	0x80000002u
#define NTVM_STATUS_BUFFER_OVERFLOW		0x80000005u
#define NTVM_STATUS_PARTIAL_COPY		0x8000000Du
#define NTVM_STATUS_DEVICE_BUSY			0x80000011u
#define NTVM_STATUS_UNSUCCESSFUL		0xC0000001u
#define NTVM_STATUS_INVALID_INFO_CLASS		0xC0000003u
#define NTVM_STATUS_INFO_LENGTH_MISMATCH	0xC0000004u
#define NTVM_STATUS_ACCESS_VIOLATION		0xC0000005u
#define NTVM_STATUS_IN_PAGE_ERROR		0xC0000006u
#define NTVM_STATUS_INVALID_HANDLE		0xC0000008u
#define NTVM_STATUS_INVALID_PARAMETER		0xC000000Du
#define NTVM_STATUS_NO_MEMORY			0xC0000017u
#define NTVM_STATUS_CONFLICTING_ADDRESSES	0xC0000018u
#define NTVM_STATUS_NOT_MAPPED_VIEW		0xC0000019u
#define NTVM_STATUS_UNABLE_TO_FREE_VM		0xC000001Au
#define NTVM_STATUS_UNABLE_TO_DELETE_SECTION	0xC000001Bu
#define NTVM_STATUS_ALREADY_COMMITTED		0xC0000021u
#define NTVM_STATUS_ACCESS_DENIED		0xC0000022u
#define NTVM_STATUS_OBJECT_TYPE_MISMATCH	0xC0000024u
#define NTVM_STATUS_NOT_LOCKED			0xC000002Au
#define NTVM_STATUS_NOT_COMMITTED		0xC000002Du
#define NTVM_STATUS_QUOTA_EXCEEDED		0xC0000044u
#define NTVM_STATUS_INVALID_PAGE_PROTECTION	0xC0000045u
#define NTVM_STATUS_PRIVILEGE_NOT_HELD		0xC0000061u
#define NTVM_STATUS_INSUFFICIENT_RESOURCES	0xC000009Au
#define NTVM_STATUS_FREE_VM_NOT_AT_BASE		0xC000009Fu
#define NTVM_STATUS_MEMORY_NOT_ALLOCATED	0xC00000A0u
#define NTVM_STATUS_WORKING_SET_QUOTA		0xC00000A1u
#define NTVM_STATUS_DISK_FULL			0xC000007Fu
#define NTVM_STATUS_NOT_SUPPORTED		0xC00000BBu
#define NTVM_STATUS_INVALID_USER_BUFFER		0xC00000E8u
#define NTVM_STATUS_UNEXPECTED_IO_ERROR		0xC00000E9u
#define NTVM_STATUS_INVALID_PARAMETER_1		0xC00000EFu
#define NTVM_STATUS_INVALID_PARAMETER_2		0xC00000F0u
#define NTVM_STATUS_INVALID_PARAMETER_3		0xC00000F1u
#define NTVM_STATUS_INVALID_PARAMETER_4		0xC00000F2u
#define NTVM_STATUS_INVALID_PARAMETER_5		0xC00000F3u
#define NTVM_STATUS_INVALID_PARAMETER_6		0xC00000F4u
#define NTVM_STATUS_STACK_OVERFLOW		0xC00000FDu
#define NTVM_STATUS_NAME_TOO_LONG		0xC0000106u
#define NTVM_STATUS_PROCESS_IS_TERMINATING	0xC000010Au
#define NTVM_STATUS_COMMITMENT_LIMIT		0xC000012Du
#define NTVM_STATUS_INVALID_ADDRESS		0xC0000141u
#define NTVM_STATUS_NOT_FOUND			0xC0000225u

#endif /* _UAPI_LINUX_NTVM_H */
