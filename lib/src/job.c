// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commit limits of processes, and jobs. A job handle is the descriptor of the
 * module's job object, written as all handles are.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES	4096u

/* Limit flags of NT, and those that are built. */
#define LIMIT_KNOWN	0x0000ffffu
#define LIMIT_BUILT	(JOB_OBJECT_LIMIT_PROCESS_MEMORY | JOB_OBJECT_LIMIT_JOB_MEMORY | \
			 JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK)

/* Classes of NT, known or not here. */
#define CLASS_FIRST	1
#define CLASS_LAST	50

/* A 32-bit program may learn of more than it can say. */
static SIZE_T size_from(uint64_t bytes)
{
	return bytes > (SIZE_T)-1 ? (SIZE_T)-1 : (SIZE_T)bytes;
}

NTSTATUS NTAPI LibntSetCommitLimit(HANDLE ProcessHandle, SIZE_T Limit)
{
	struct ntvm_limits req = {
		REQUEST(req, ProcessHandle),
		.op = NTVM_LIMITS_SET,
		.limit = Limit,
	};

	return nt_request(NTVM_IOC_LIMITS, &req);
}

NTSTATUS NTAPI LibntGetCommitLimit(HANDLE ProcessHandle, LIBNT_COMMIT *Commit)
{
	struct ntvm_limits req = {
		REQUEST(req, ProcessHandle),
		.op = NTVM_LIMITS_GET,
	};
	NTSTATUS status;

	if (!Commit)
		return STATUS_ACCESS_VIOLATION;
	status = nt_request(NTVM_IOC_LIMITS, &req);
	if (status != STATUS_SUCCESS)
		return status;
	Commit->Limit = size_from(req.limit);
	Commit->CommittedBytes = size_from(req.out_committed);
	Commit->PeakCommittedBytes = size_from(req.out_peak);
	return STATUS_SUCCESS;
}

/* The descriptor of a job handle; the pseudo handle of the process is none. */
static int job_decode(HANDLE handle)
{
	int fd = nt_handle_decode(handle);

	return fd < 0 ? NO_HANDLE : fd;
}

static NTSTATUS job_request(struct ntvm_job *req, uint32_t op, int fd)
{
	req->size = sizeof(*req);
	req->handle = NTVM_CURRENT_PROCESS;
	req->op = op;
	req->job = fd;
	return nt_request(NTVM_IOC_JOB, req);
}

int nt_is_job(int fd)
{
	struct ntvm_job req = { 0 };

	return job_request(&req, NTVM_JOB_GET, fd) == STATUS_SUCCESS;
}

NTSTATUS NTAPI NtCreateJobObject(PHANDLE JobHandle, ACCESS_MASK DesiredAccess,
				 POBJECT_ATTRIBUTES ObjectAttributes)
{
	struct ntvm_job req = { 0 };
	NTSTATUS status;
	int fd, saved;

	(void)DesiredAccess;
	if (!JobHandle)
		return STATUS_ACCESS_VIOLATION;
	if (ObjectAttributes && ObjectAttributes->ObjectName)
		return STATUS_NOT_SUPPORTED;
	status = job_request(&req, NTVM_JOB_CREATE, 0);
	if (status != STATUS_SUCCESS)
		return status;
	fd = req.job;
	req.job_flags = NTVM_JOB_FLAG_CHILDREN;
	status = job_request(&req, NTVM_JOB_SET, fd);
	if (status == STATUS_SUCCESS) {
		*JobHandle = LibntFdToHandle(fd);
	} else {
		saved = errno;
		close(fd);
		errno = saved;
	}
	return status;
}

NTSTATUS NTAPI NtAssignProcessToJobObject(HANDLE JobHandle, HANDLE ProcessHandle)
{
	struct ntvm_job req = {
		REQUEST(req, ProcessHandle),
		.op = NTVM_JOB_ASSIGN,
		.job = job_decode(JobHandle),
	};

	return nt_request(NTVM_IOC_JOB, &req);
}

static NTSTATUS class_check(JOBOBJECTINFOCLASS class, const void *info, ULONG length)
{
	if ((int)class < CLASS_FIRST || (int)class > CLASS_LAST)
		return STATUS_INVALID_INFO_CLASS;
	if (class != JobObjectExtendedLimitInformation)
		return STATUS_NOT_SUPPORTED;
	if (length != sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION))
		return STATUS_INFO_LENGTH_MISMATCH;
	return info ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION;
}

NTSTATUS NTAPI NtSetInformationJobObject(HANDLE JobHandle,
					 JOBOBJECTINFOCLASS JobObjectInformationClass,
					 PVOID JobObjectInformation,
					 ULONG JobObjectInformationLength)
{
	const JOBOBJECT_EXTENDED_LIMIT_INFORMATION *info = JobObjectInformation;
	struct ntvm_job req = { 0 };
	NTSTATUS status;
	DWORD flags;

	status = class_check(JobObjectInformationClass, info, JobObjectInformationLength);
	if (status != STATUS_SUCCESS)
		return status;
	flags = info->BasicLimitInformation.LimitFlags;
	if (flags & ~LIMIT_KNOWN)
		return STATUS_INVALID_PARAMETER;
	if (flags & ~LIMIT_BUILT)
		return STATUS_NOT_SUPPORTED;
	/* Less than a page is no limit that NT takes, and 0 is the module's for none. */
	if (((flags & JOB_OBJECT_LIMIT_PROCESS_MEMORY) && info->ProcessMemoryLimit < PAGE_BYTES) ||
	    ((flags & JOB_OBJECT_LIMIT_JOB_MEMORY) && info->JobMemoryLimit < PAGE_BYTES))
		return STATUS_INVALID_PARAMETER;
	if (flags & JOB_OBJECT_LIMIT_PROCESS_MEMORY)
		req.process_limit = info->ProcessMemoryLimit;
	if (flags & JOB_OBJECT_LIMIT_JOB_MEMORY)
		req.job_limit = info->JobMemoryLimit;
	if (!(flags & JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK))
		req.job_flags = NTVM_JOB_FLAG_CHILDREN;
	return job_request(&req, NTVM_JOB_SET, job_decode(JobHandle));
}

NTSTATUS NTAPI NtQueryInformationJobObject(HANDLE JobHandle,
					   JOBOBJECTINFOCLASS JobObjectInformationClass,
					   PVOID JobObjectInformation,
					   ULONG JobObjectInformationLength,
					   PULONG ReturnLength)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION *info = JobObjectInformation;
	struct ntvm_job req = { 0 };
	NTSTATUS status;
	DWORD flags = 0;

	status = class_check(JobObjectInformationClass, info, JobObjectInformationLength);
	if (status != STATUS_SUCCESS)
		return status;
	status = job_request(&req, NTVM_JOB_GET, job_decode(JobHandle));
	if (status != STATUS_SUCCESS)
		return status;
	if (req.process_limit)
		flags |= JOB_OBJECT_LIMIT_PROCESS_MEMORY;
	if (req.job_limit)
		flags |= JOB_OBJECT_LIMIT_JOB_MEMORY;
	if (!(req.job_flags & NTVM_JOB_FLAG_CHILDREN))
		flags |= JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
	memset(info, 0, sizeof(*info));
	info->BasicLimitInformation.LimitFlags = flags;
	info->ProcessMemoryLimit = size_from(req.process_limit);
	info->JobMemoryLimit = size_from(req.job_limit);
	info->PeakProcessMemoryUsed = size_from(req.out_process_peak);
	info->PeakJobMemoryUsed = size_from(req.out_peak);
	if (ReturnLength)
		*ReturnLength = sizeof(*info);
	return STATUS_SUCCESS;
}
