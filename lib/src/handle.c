// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Handles. A handle is the descriptor of an open file of /dev/ntvm, written the
 * way NT writes handles: a multiple of four that is not zero, so that no
 * descriptor looks like a null pointer or like a pseudo handle.
 */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

int NTAPI LibntHandleToFd(HANDLE Handle)
{
	uintptr_t value = (uintptr_t)Handle;

	if (!value || value & 3 || (value >> 2) - 1 > (uintptr_t)INT_MAX)
		return -1;
	return (int)((value >> 2) - 1);
}

HANDLE NTAPI LibntFdToHandle(int Fd)
{
	/* The largest descriptors do not fit into 32 bits; no kernel gives them out. */
	if (Fd < 0 || (uintptr_t)Fd + 1 > UINTPTR_MAX >> 2)
		return (HANDLE)0;
	return (HANDLE)(((uintptr_t)Fd + 1) << 2);
}

int nt_handle_decode(HANDLE handle)
{
	int fd;

	if (handle == NtCurrentProcess())
		return NTVM_CURRENT_PROCESS;
	fd = LibntHandleToFd(handle);
	return fd < 0 ? NO_HANDLE : fd;
}

NTSTATUS NTAPI NtClose(HANDLE Handle)
{
	struct ntvm_info req = {
		REQUEST(req, Handle),
	};
	NTSTATUS status;
	int saved;

	if (req.handle == NTVM_CURRENT_PROCESS)
		return STATUS_SUCCESS;
	if (req.handle == NO_HANDLE)
		return STATUS_INVALID_HANDLE;

	/* Closing what is not a handle would close a file of the program. */
	status = nt_request(NTVM_IOC_GET_INFO, &req);
	if (status != STATUS_SUCCESS && status != STATUS_PROCESS_IS_TERMINATING)
		return status;
	if (req.handle == nt_own_fd())
		return STATUS_INVALID_HANDLE;

	saved = errno;
	close(req.handle);
	errno = saved;
	return STATUS_SUCCESS;
}
