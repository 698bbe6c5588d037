// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Other processes: from a handle of Windows to one of ntvm.
 *
 * Windows knows processes by ids of its own, ntvm by Linux's. So every process on
 * the backend leaves a note, named by Wine's prefix and the Windows id, with its
 * Linux id and when it was started, in a directory that only its user can write
 * to. A note of a process that is gone is found out by the second. libnt then makes
 * a handle (pidfd_getfd(2): the kernel asks whether we may trace the process); which
 * rights the caller has is what Wine says of its own handle.
 *
 * Nothing is kept between calls. It takes some 40 system calls each time; Wine's own
 * way, by the server and a thread of the other process, is not short either.
 */
#include "backend.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ProcessBasicInformation and ObjectBasicInformation of 64-bit Windows. */
struct process_basic {
	ULONG exit_status, pad;		/* Wine leaves the padding as it is */
	ULONG_PTR peb, affinity, priority, pid, parent;
};

struct object_basic {
	ULONG attributes, access, handles, pointers, reserved[10];
	unsigned long long created;
};

_Static_assert(sizeof(struct process_basic) == 48 && sizeof(struct object_basic) == 64,
	       "as Windows has them");

typedef WINAPI NTSTATUS query_information_fn(HANDLE, ULONG, PVOID, ULONG, ULONG *);

static query_information_fn *query_process, *query_object;

static unsigned long long published_pid;

/* TEB.ClientId.UniqueProcess */
static unsigned long long own_windows_pid(void)
{
	unsigned long long pid;

	__asm__ ("movq %%gs:0x40, %0" : "=r" (pid));
	return pid;
}

bool targets_init(void *handle)
{
	query_process = dlsym(handle, "NtQueryInformationProcess");
	query_object = dlsym(handle, "NtQueryObject");
	return query_process && query_object;
}

/* When a process was started, in the kernel's ticks; 0 if there is none. */
static unsigned long long start_time(int pid)
{
	char path[32], text[1024], *at;
	unsigned long long value;
	ssize_t got;
	int fd, i;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return 0;
	text[got] = '\0';
	/* Field 22; the second one is a name in parentheses and may hold anything. */
	at = strrchr(text, ')');
	for (i = 2; at && i < 22; i++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, " %llu", &value) != 1)
		return 0;
	return value;
}

/* Process ids are a prefix's own. False if there is no telling which it is. */
static bool note_name(char *name, size_t size, unsigned long long windows_pid)
{
	const char *prefix = getenv("WINEPREFIX"), *home = getenv("HOME");
	char path[1024];
	struct stat st;

	if (prefix && *prefix)
		snprintf(path, sizeof(path), "%s", prefix);
	else
		snprintf(path, sizeof(path), "%s/.wine", home ? home : "");
	if (stat(path, &st))
		return false;
	snprintf(name, size, "pid-%llx-%llx-%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino, windows_pid);
	return true;
}

/* Once it is known who this is. */
void target_publish(void)
{
	char name[64], aside[80], text[64];
	int dir, fd, len;

	published_pid = own_windows_pid();
	if (!note_name(name, sizeof(name), published_pid))
		return;
	dir = runtime_dir();
	if (dir < 0)
		return;
	/* Made aside: nobody reads half of one. */
	snprintf(aside, sizeof(aside), "%s-%d", name, getpid());
	fd = openat(dir, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0) {
		len = snprintf(text, sizeof(text), "%d %llu\n", getpid(), start_time(getpid()));
		if (write(fd, text, (size_t)len) != len || renameat(dir, aside, dir, name))
			unlinkat(dir, aside, 0);
		close(fd);
	}
	close(dir);
}

/* The Linux id in a note, 0 if there is none that is true. */
static int read_note(unsigned long long windows_pid)
{
	unsigned long long started;
	char name[64], text[64];
	int dir, fd, pid = 0;
	ssize_t got = -1;

	if (!note_name(name, sizeof(name), windows_pid))
		return 0;
	dir = runtime_dir();
	if (dir < 0)
		return 0;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	close(dir);
	if (got <= 0)
		return 0;
	text[got] = '\0';
	if (sscanf(text, "%d %llu", &pid, &started) != 2 || pid <= 0 ||
	    start_time(pid) != started)
		return 0;
	return pid;
}

void target_withdraw(void)
{
	char name[64];
	int dir;

	if (!published_pid || read_note(published_pid) != getpid() ||
	    !note_name(name, sizeof(name), published_pid))
		return;
	dir = runtime_dir();
	if (dir < 0)
		return;
	unlinkat(dir, name, 0);
	close(dir);
}

void target_get(struct target *t, HANDLE handle, ACCESS_MASK rights)
{
	struct process_basic process;
	struct object_basic object;
	sigset_t all;
	int pid;

	t->known = false;
	t->process = NtCurrentProcess();
	sigfillset(&all);
	/* Faults of the caller's variables go on being Wine's. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &all, &t->mask);

	if (query_object(handle, 0, &object, sizeof(object), NULL) != STATUS_SUCCESS ||
	    !(object.access & rights) ||
	    query_process(handle, 0, &process, sizeof(process), NULL) != STATUS_SUCCESS) {
		/* Wine may refuse the second for want of a right that the call does not need. */
		return;
	}
	/* One that has ended for Windows may still be there for Linux. */
	if (process.exit_status != STATUS_PENDING)
		return;
	if (process.pid == own_windows_pid()) {
		t->known = true;
		return;
	}
	pid = read_note(process.pid);
	if (pid) {
		CLIENT_ID id = { .UniqueProcess = (HANDLE)(uintptr_t)pid };

		if (NtOpenProcess(&t->process, PROCESS_ALL_ACCESS, NULL, &id) == STATUS_SUCCESS) {
			t->known = true;
			count(COUNT_FOREIGN);
		}
	}
}

void target_put(struct target *t)
{
	if (t->process != NtCurrentProcess())
		NtClose(t->process);
	pthread_sigmask(SIG_SETMASK, &t->mask, NULL);
}
