// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Handles. A handle is the descriptor of an open file of /dev/ntvm, written the
 * way NT writes handles: a multiple of four that is not zero, so that no
 * descriptor looks like a null pointer or like a pseudo handle.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
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
	if (status == STATUS_OBJECT_TYPE_MISMATCH && nt_is_job(req.handle))
		status = STATUS_SUCCESS;
	if (status != STATUS_SUCCESS && status != STATUS_PROCESS_IS_TERMINATING)
		return status;
	if (req.handle == nt_own_fd())
		return STATUS_INVALID_HANDLE;

	saved = errno;
	close(req.handle);
	errno = saved;
	return STATUS_SUCCESS;
}

#define DUPLICATE_OPTIONS \
	(DUPLICATE_CLOSE_SOURCE | DUPLICATE_SAME_ACCESS | DUPLICATE_SAME_ATTRIBUTES)

/* Is a handle one to the caller's own process? The only one that can have handles made. */
static NTSTATUS own_process(HANDLE handle)
{
	struct ntvm_info req = {
		REQUEST(req, handle),
	};
	NTSTATUS status;

	if (req.handle == NTVM_CURRENT_PROCESS)
		return STATUS_SUCCESS;
	status = nt_request(NTVM_IOC_GET_INFO, &req);
	if (status != STATUS_SUCCESS)
		return status;
	return nt_handle_pid(req.handle) == getpid() ? STATUS_SUCCESS : STATUS_NOT_SUPPORTED;
}

/* The same open file under another number: the same rights, dead processes too. */
static NTSTATUS same_access(int fd, HANDLE *out)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (copy < 0)
		return nt_status_from_errno(errno == EINVAL ? EMFILE : errno);
	*out = LibntFdToHandle(copy);
	return STATUS_SUCCESS;
}

static NTSTATUS duplicate_source(HANDLE source, ACCESS_MASK desired, ULONG options, HANDLE *out)
{
	struct ntvm_info req = {
		REQUEST(req, source),
	};
	uint32_t access;
	NTSTATUS status;

	status = nt_request(NTVM_IOC_GET_INFO, &req);
	if (status != STATUS_SUCCESS && status != STATUS_PROCESS_IS_TERMINATING)
		return status;
	if (options & DUPLICATE_SAME_ACCESS) {
		if (req.handle != NTVM_CURRENT_PROCESS)
			return same_access(req.handle, out);
		access = req.out_access;
	} else if (desired & MAXIMUM_ALLOWED) {
		access = req.out_access | nt_access_decode(desired & ~MAXIMUM_ALLOWED);
	} else {
		access = nt_access_decode(desired);
	}
	return nt_duplicate(req.handle, access, out);
}

NTSTATUS NTAPI NtDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle,
				 HANDLE TargetProcessHandle, PHANDLE TargetHandle,
				 ACCESS_MASK DesiredAccess, ULONG HandleAttributes,
				 ULONG Options)
{
	int close_source = Options & DUPLICATE_CLOSE_SOURCE;
	HANDLE made = (HANDLE)0;
	int saved = errno, flags;
	NTSTATUS status;

	if (Options & ~DUPLICATE_OPTIONS)
		return STATUS_INVALID_PARAMETER;
	status = own_process(SourceProcessHandle);
	if (status != STATUS_SUCCESS)
		goto out;
	/* To be closed only, the source needs no target. */
	if (TargetProcessHandle || !close_source) {
		status = own_process(TargetProcessHandle);
		if (status == STATUS_SUCCESS)
			status = duplicate_source(SourceHandle, DesiredAccess, Options, &made);
	}
	if (status == STATUS_SUCCESS && made) {
		if (!TargetHandle) {
			close(LibntHandleToFd(made));
		} else {
			if (Options & DUPLICATE_SAME_ATTRIBUTES) {
				flags = fcntl(LibntHandleToFd(SourceHandle), F_GETFD);
				if (flags >= 0 && !(flags & FD_CLOEXEC))
					HandleAttributes |= OBJ_INHERIT;
			}
			if (HandleAttributes & OBJ_INHERIT)
				fcntl(LibntHandleToFd(made), F_SETFD, 0);
			*TargetHandle = made;
		}
	}
	if (close_source) {
		NTSTATUS closed = NtClose(SourceHandle);

		if (!TargetProcessHandle && status == STATUS_SUCCESS)
			status = closed;
	}
out:
	errno = saved;
	return status;
}
