/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of libnt share: the road to the device and the translation of
 * handles. Included first, so that only what libnt.h declares is exported.
 */
#ifndef LIBNT_INTERNAL_H
#define LIBNT_INTERNAL_H

#pragma GCC visibility push(default)
#include <libnt.h>
#pragma GCC visibility pop

#include <stddef.h>
#include <stdint.h>

#include <linux/ntvm.h>

/* A value of ntvm_header.handle that no descriptor has: INVALID_HANDLE. */
#define NO_HANDLE	(-2)

/*
 * nt_request() - send a request on the process's own file of the device
 *
 * Opens the device at the first call and again where the cached file is of no
 * use any more. Never changes errno. Returns the status of the request, or that
 * of the device when it cannot be reached.
 */
NTSTATUS nt_request(unsigned int nr, void *request);

/* The cached descriptor, -1 if there is none. It belongs to libnt. */
int nt_own_fd(void);

/* What an errno of the transport means. */
NTSTATUS nt_status_from_errno(int err);

/* ntvm_header.handle for a handle: a descriptor, NTVM_CURRENT_PROCESS, NO_HANDLE. */
int nt_handle_decode(HANDLE handle);

/* NTVM_ACCESS_* that NT's rights stand for; MAXIMUM_ALLOWED stands for all. */
uint32_t nt_access_decode(ACCESS_MASK desired);

/* DUPLICATE of ntvm_header.handle @handle; *@out is written on success. */
NTSTATUS nt_duplicate(int handle, uint32_t access, HANDLE *out);

/* The id of the process that a descriptor is a handle to, 0 if it is none. */
int nt_handle_pid(int fd);

/* Is the descriptor that of a job? */
int nt_is_job(int fd);

/* Flags of requests that get addresses of variables: as wide as a pointer here. */
_Static_assert(sizeof(PVOID) == sizeof(SIZE_T), "the module reads and writes them itself");
#ifdef _LP64
#define NARROW		0
#else
#define NARROW		NTVM_F_NARROW
#endif
#define INDIRECT	(NTVM_F_INDIRECT | NARROW)

/* The header of a request in a designated initialiser. */
#define REQUEST(type, process)			\
	.size = sizeof(type),			\
	.handle = nt_handle_decode(process)

#ifndef _LP64
/*
 * Variables of a 32-bit program that the module would read and write in its own
 * width: libnt does it for it, by system calls, so that a bad address is refused
 * as the module would refuse it. None of these changes errno.
 */

/* False if the variable is not there. */
int nt_load(void *to, const void *theirs, SIZE_T len);
int nt_store(void *theirs, const void *from, SIZE_T len);

/* An address that the module refuses. */
#define NOWHERE	(UINT64_MAX - 4095)

/*
 * What to name to the module in place of a variable: @ours, or, if @theirs is not
 * there for reading and writing, or NULL, what is refused in the same way.
 */
uint64_t nt_stand_in(const void *theirs, SIZE_T len, void *ours);
#endif

/* Give the calling thread an alternate signal stack, unless it has one. */
NTSTATUS nt_altstack_set(void);

static inline uint64_t nt_address(const volatile void *p)
{
	return (uintptr_t)p;
}

#endif /* LIBNT_INTERNAL_H */
