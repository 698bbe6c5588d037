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

/**
 * nt_request() - send a request on the process's own file of the device
 * @nr: NTVM_IOC_*
 * @request: its struct, whose size is set
 *
 * Opens the device at the first call and again where the cached file is of no
 * use any more. Never changes errno.
 *
 * Return: the status of the request, or that of the device when it cannot be
 * reached.
 */
NTSTATUS nt_request(unsigned int nr, void *request);

/**
 * nt_own_fd() - the cached descriptor
 *
 * Return: a descriptor that belongs to libnt, -1 if there is none.
 */
int nt_own_fd(void);

/**
 * nt_status_from_errno() - what an errno of the transport means
 * @err: the errno, positive
 *
 * Return: the status that a caller is told.
 */
NTSTATUS nt_status_from_errno(int err);

/**
 * nt_handle_decode() - ntvm_header.handle for a handle
 * @handle: what the caller passed, anything
 *
 * Return: a descriptor, NTVM_CURRENT_PROCESS or NO_HANDLE.
 */
int nt_handle_decode(HANDLE handle);

/**
 * nt_access_decode() - what NT's rights mean to the module
 * @desired: PROCESS_*; MAXIMUM_ALLOWED stands for all
 *
 * Return: NTVM_ACCESS_*.
 */
uint32_t nt_access_decode(ACCESS_MASK desired);

/**
 * nt_duplicate() - another handle to the same process
 * @handle: ntvm_header.handle
 * @access: NTVM_ACCESS_* of the new handle
 * @out: written on success
 *
 * Return: the status of the request.
 */
NTSTATUS nt_duplicate(int handle, uint32_t access, HANDLE *out);

/**
 * nt_handle_pid() - whose handle is this?
 * @fd: a descriptor, anything
 *
 * Return: the id of the process, 0 if it is no handle to one.
 */
int nt_handle_pid(int fd);

/**
 * nt_is_job() - is the descriptor that of a job?
 * @fd: a descriptor, anything
 *
 * Return: not 0 if so.
 */
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

/**
 * nt_load() - read a variable of the caller's
 * @to: what to fill
 * @theirs: the variable
 * @len: its bytes
 *
 * Return: 0 if the variable is not there.
 */
int nt_load(void *to, const void *theirs, SIZE_T len);

/**
 * nt_store() - write a variable of the caller's
 * @theirs: the variable
 * @from: what to write
 * @len: its bytes
 *
 * Return: 0 if the variable is not there.
 */
int nt_store(void *theirs, const void *from, SIZE_T len);

/* An address that the module refuses. */
#define NOWHERE	(UINT64_MAX - 4095)

/**
 * nt_stand_in() - what to name to the module in place of a variable
 * @theirs: the caller's variable
 * @len: its bytes
 * @ours: what replaces it
 *
 * Return: the address of @ours, or, if @theirs is not there for reading and
 * writing, or NULL, what is refused in the same way.
 */
uint64_t nt_stand_in(const void *theirs, SIZE_T len, void *ours);
#endif

/**
 * nt_altstack_set() - give the calling thread an alternate signal stack
 *
 * Nothing is done for one that has its own.
 *
 * Return: STATUS_SUCCESS or STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS nt_altstack_set(void);

static inline uint64_t nt_address(const volatile void *p)
{
	return (uintptr_t)p;
}

#endif /* LIBNT_INTERNAL_H */
