// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the vectors need of the system beside NT's calls, on Linux. The same on
 * Windows is in wine/tests/ntvec_windows.c.
 */
#include "ntvec.h"

#include <errno.h>
#include <libnt-win32.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

bool system_set_contract(int contract, char *text)
{
	NTSTATUS status = LibntSetContract(NtCurrentProcess(), (ULONG)contract);

	if (status != STATUS_SUCCESS)
		snprintf(text, TEXT_MAX, "LibntSetContract: %s", status_name((uint32_t)status));
	return status == STATUS_SUCCESS;
}

const uint64_t system_first_b = 0x50000000;

bool system_highest_address(uint64_t *address, char *text)
{
	LIBNT_INFO info;
	NTSTATUS status;

	memset(&info, 0xCC, sizeof(info));
	status = LibntGetInfo(NtCurrentProcess(), &info);
	if (status != STATUS_SUCCESS)
		snprintf(text, TEXT_MAX, "LibntGetInfo: %s", status_name((uint32_t)status));
	*address = info.MaximumAddress;
	return status == STATUS_SUCCESS;
}

void system_sweep(void)
{
	MEMORY_BASIC_INFORMATION info;
	LIBNT_INFO limits;
	uintptr_t at;

	if (LibntGetInfo(NtCurrentProcess(), &limits) != STATUS_SUCCESS || !limits.Regions)
		return;
	at = limits.MinimumAddress;
	while (at <= limits.MaximumAddress) {
		uintptr_t next;

		if (NtQueryVirtualMemory(NtCurrentProcess(), (PVOID)at, MemoryBasicInformation,
					 &info, sizeof(info), NULL) != STATUS_SUCCESS)
			return;
		next = at + info.RegionSize;
		if (info.State != MEM_FREE && info.Type == MEM_PRIVATE) {
			PVOID base = info.AllocationBase;
			SIZE_T all = 0;

			NtFreeVirtualMemory(NtCurrentProcess(), &base, &all, MEM_RELEASE);
		}
		if (next <= at)
			return;
		at = next;
	}
}

/* It has memory of its own as soon as it has opened the device, and then sleeps. */
HANDLE system_second_process(char *why)
{
	CLIENT_ID id = { 0 };
	HANDLE second;
	NTSTATUS status;
	int ends[2];
	char byte;
	pid_t pid;

	pid = pipe(ends) ? -1 : fork();
	if (pid < 0) {
		snprintf(why, MSG_MAX, "no second process: %s", strerror(errno));
		return NULL;
	}
	if (!pid) {
		LIBNT_INFO info;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		byte = LibntGetInfo(NtCurrentProcess(), &info) == STATUS_SUCCESS;
		if (write(ends[1], &byte, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1 || !byte) {
		snprintf(why, MSG_MAX, "the second process did not come up");
		return NULL;
	}
	close(ends[0]);
	id.UniqueProcess = (HANDLE)(uintptr_t)pid;
	status = NtOpenProcess(&second, PROCESS_ALL_ACCESS, NULL, &id);
	if (status == STATUS_SUCCESS)
		return second;
	snprintf(why, MSG_MAX, "NtOpenProcess: %s", status_name((uint32_t)status));
	return NULL;
}

bool system_virtual_free(HANDLE process, void *base, size_t size, uint32_t type, int *error)
{
	bool freed;

	SetLastError(ERROR_SUCCESS);
	freed = VirtualFreeEx(process, base, size, type);
	*error = (int)GetLastError();
	return freed;
}

/* A read(2) that waits for its data in a thread of its own. */
static struct {
	pthread_t thread;
	int pipe[2];
	void *buffer;
	size_t size;
	ssize_t got;
	bool pending;
} kread;

static void *kread_run(void *arg)
{
	kread.got = read(kread.pipe[0], kread.buffer, kread.size);
	return arg;
}

/* NT probes the whole buffer when a read is submitted: the kernel faults it in for writing. */
static bool kread_probe(char *buffer, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

#ifdef MADV_POPULATE_WRITE
	if (!madvise(buffer, size, MADV_POPULATE_WRITE))
		return true;
	if (errno != EINVAL)
		return false;
#endif
	/* Older than 5.14: the kernel writes a byte of each page to where it was. */
	for (size_t at = 0; at < size; at += page) {
		if (write(kread.pipe[1], buffer + at, 1) != 1 ||
		    read(kread.pipe[0], buffer + at, 1) != 1)
			return false;
	}
	return true;
}

bool system_read_start(void *buffer, size_t size, struct outcome *out)
{
	if (kread.pending || pipe(kread.pipe)) {
		snprintf(out->why, sizeof(out->why), "a read is pending, or there is no pipe");
		return false;
	}
	kread.buffer = buffer;
	kread.size = size;
	if (!kread_probe(kread.buffer, kread.size)) {
		out->status = (uint32_t)STATUS_ACCESS_VIOLATION;
		return true;
	}
	if (pthread_create(&kread.thread, NULL, kread_run, NULL)) {
		snprintf(out->why, sizeof(out->why), "no thread");
		return false;
	}
	kread.pending = true;
	return true;
}

bool system_read_finish(size_t n, struct outcome *out)
{
	char data[4096];

	memset(data, 0x5A, sizeof(data));
	if (!kread.pending || n > sizeof(data) || n > kread.size ||
	    write(kread.pipe[1], data, n) != (ssize_t)n) {
		snprintf(out->why, sizeof(out->why), "no read is pending, or not for so much");
		return false;
	}
	pthread_join(kread.thread, NULL);
	kread.pending = false;
	close(kread.pipe[0]);
	close(kread.pipe[1]);
	if (kread.got != (ssize_t)n)
		out->status = (uint32_t)STATUS_ACCESS_VIOLATION;
	return true;
}

uint32_t system_set_stack(void *base, void *limit, void *bottom)
{
	return (uint32_t)LibntSetThreadStack(base, limit, bottom, 0);
}

/* There are no views yet: whatever is at the address, it is none. */
void system_unmap(HANDLE process, void *address, uint32_t flags, struct outcome *out)
{
	MEMORY_BASIC_INFORMATION info;
	NTSTATUS status;

	memset(&info, 0xCC, sizeof(info));
	status = NtQueryVirtualMemory(process, address, MemoryBasicInformation, &info,
				      sizeof(info), NULL);
	if (status == STATUS_INVALID_HANDLE) {
		out->status = (uint32_t)status;
	} else if (flags & ~0x3u) {
		out->status = (uint32_t)STATUS_INVALID_PARAMETER;
	} else {
		out->status = 0xC0000019;	/* NOT_MAPPED_VIEW */
		if (NT_SUCCESS(status) && info.Type & (MEM_MAPPED | MEM_IMAGE))
			snprintf(out->skip, sizeof(out->skip), "op unmap of a view not built");
	}
}
