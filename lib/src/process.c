// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtOpenProcess: a handle to another process, by its process id.
 *
 * A handle is an open file of /dev/ntvm that the other process opened, so the
 * way to one is to fetch a descriptor out of that process: pidfd_getfd(2), with
 * which the kernel asks whether the caller may trace the process. Which
 * descriptor it is says the line "ntvm-pid:" in /proc/PID/fdinfo. The process
 * may close and open files meanwhile and its id may even be used again, so the
 * same line is read once more for the descriptor that arrived.
 */
#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd	438
#endif

#define GENERIC_ALL_ACCESS	0x10000000u
#define GENERIC_WRITE_ACCESS	0x40000000u
#define GENERIC_READ_ACCESS	0x80000000u

_Static_assert(PROCESS_VM_OPERATION == NTVM_ACCESS_VM_OPERATION &&
	       PROCESS_VM_READ == NTVM_ACCESS_VM_READ &&
	       PROCESS_VM_WRITE == NTVM_ACCESS_VM_WRITE &&
	       PROCESS_QUERY_INFORMATION == NTVM_ACCESS_QUERY &&
	       PROCESS_QUERY_LIMITED_INFORMATION == NTVM_ACCESS_QUERY_LIMITED,
	       "rights are passed as they are");
_Static_assert((PROCESS_ALL_ACCESS & NTVM_ACCESS_ALL) == NTVM_ACCESS_ALL &&
	       (0x1F0FFF & NTVM_ACCESS_ALL) == (NTVM_ACCESS_ALL & ~NTVM_ACCESS_QUERY_LIMITED),
	       "all rights, in the widths of new and old headers");

uint32_t nt_access_decode(ACCESS_MASK desired)
{
	uint32_t access = desired & NTVM_ACCESS_ALL;

	/* PROCESS_ALL_ACCESS of headers that are older than the limited query. */
	if ((desired & 0x1F0FFF) == 0x1F0FFF)
		access = NTVM_ACCESS_ALL;
	if (desired & (MAXIMUM_ALLOWED | GENERIC_ALL_ACCESS))
		access = NTVM_ACCESS_ALL;
	if (desired & GENERIC_READ_ACCESS)
		access |= NTVM_ACCESS_VM_READ | NTVM_ACCESS_QUERY;
	if (desired & GENERIC_WRITE_ACCESS)
		access |= NTVM_ACCESS_VM_OPERATION | NTVM_ACCESS_VM_WRITE;
	return access;
}

NTSTATUS nt_duplicate(int handle, uint32_t access, HANDLE *out)
{
	struct ntvm_duplicate req = {
		.size = sizeof(req),
		.handle = handle,
		.access = access,
		.out_fd = -1,
	};
	NTSTATUS status;

	status = nt_request(NTVM_IOC_DUPLICATE, &req);
	if (status == STATUS_SUCCESS)
		*out = LibntFdToHandle(req.out_fd);
	return status;
}

/* The process that a descriptor is a handle to, 0 if it is no handle. */
static int fdinfo_pid(int dir, const char *name)
{
	static const char tag[] = "ntvm-pid:";
	char text[4096];
	size_t have = 0;
	ssize_t got;
	char *line;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while (have < sizeof(text) - 1) {
		got = read(fd, text + have, sizeof(text) - 1 - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		have += (size_t)got;
	}
	close(fd);
	text[have] = '\0';

	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, tag, sizeof(tag) - 1))
			return atoi(line + sizeof(tag) - 1);
	}
	return 0;
}

int nt_handle_pid(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return fdinfo_pid(AT_FDCWD, path);
}

/* Fetches descriptor @theirs and makes a handle with the wished rights of it. */
static NTSTATUS fetch(int pidfd, int pid, int theirs, uint32_t access, HANDLE *out)
{
	NTSTATUS status = STATUS_NOT_FOUND;
	int fd;

	fd = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	if (fd < 0) {
		switch (errno) {
		case EBADF:	/* closed in the meantime */
			return STATUS_NOT_FOUND;
		case ESRCH:
			return STATUS_INVALID_CID;
		case ENOSYS:
			return STATUS_NOT_SUPPORTED;
		default:
			return nt_status_from_errno(errno);
		}
	}
	if (nt_handle_pid(fd) == pid)
		status = nt_duplicate(fd, access, out);
	close(fd);
	return status;
}

static NTSTATUS open_other(int pid, uint32_t access, HANDLE *out)
{
	NTSTATUS status = STATUS_NOT_FOUND;
	struct dirent *entry;
	NTSTATUS answer;
	char path[64];
	int pidfd;
	DIR *dir;

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		switch (errno) {
		case ESRCH:
		case EINVAL:	/* a thread that is not the first of its process */
		case ENOENT:	/* the same, said by newer kernels */
			return STATUS_INVALID_CID;
		case ENOSYS:
			return STATUS_NOT_SUPPORTED;
		default:
			return nt_status_from_errno(errno);
		}
	}

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	if (!dir) {
		/* The directory of somebody else's process can be hidden altogether. */
		status = errno == ENOENT ? STATUS_ACCESS_DENIED : nt_status_from_errno(errno);
		goto out_pidfd;
	}
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    fdinfo_pid(dirfd(dir), entry->d_name) != pid)
			continue;
		answer = fetch(pidfd, pid, atoi(entry->d_name), access, out);
		if (answer == STATUS_NOT_FOUND)
			continue;
		status = answer;
		/* A process can hold weaker handles to itself beside the full one. */
		if (answer != STATUS_ACCESS_DENIED)
			break;
	}
	closedir(dir);

out_pidfd:
	close(pidfd);
	return status;
}

NTSTATUS NTAPI NtOpenProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess,
			     POBJECT_ATTRIBUTES ObjectAttributes, PCLIENT_ID ClientId)
{
	uint32_t access = nt_access_decode(DesiredAccess);
	HANDLE handle = (HANDLE)0;
	int saved = errno;
	NTSTATUS status;
	uintptr_t pid;

	if (!ProcessHandle)
		return STATUS_ACCESS_VIOLATION;
	if (!ClientId || (ObjectAttributes && ObjectAttributes->ObjectName))
		return STATUS_INVALID_PARAMETER_MIX;

	pid = (uintptr_t)ClientId->UniqueProcess;
	if (!pid || pid > INT_MAX || ClientId->UniqueThread)
		return STATUS_INVALID_CID;

	if ((int)pid == getpid())
		status = nt_duplicate(NTVM_CURRENT_PROCESS, access, &handle);
	else
		status = open_other((int)pid, access, &handle);
	if (status == STATUS_SUCCESS)
		*ProcessHandle = handle;
	errno = saved;
	return status;
}
