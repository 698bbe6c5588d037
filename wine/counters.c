// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the backend did in this process, in a file that can be read while it runs.
 *
 * The file is mapped and holds one record per counter: 32 bytes of name, padded
 * with zeros, and 8 of value, so that wine/ntvm-wine reads it with od(1) and
 * does not have to know which counters there are. It is named by the process's
 * id and goes when the process ends by itself. Of one that is killed it stays.
 */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct record {
	char name[32];
	atomic_ullong value;
};

_Static_assert(sizeof(struct record) == COUNTER_STRIDE * sizeof(atomic_ullong), "the stride");


static struct record nowhere[NR_COUNTERS];
static struct record *records = nowhere;
atomic_ullong *counters = &nowhere[0].value;

static int owner;		/* the pid that the file is named by */
static bool in_file;

static const char *const calls[] = {
#define X(id, name)	#name,
	NTVM_CALLS(X)
#undef X
};

static const char *const reasons[] = {
#define X(id, name)	name,
	NTVM_REASONS(X)
#undef X
};

static const char *const others[] = {
#define X(id, name)	name,
	NTVM_OTHERS(X)
#undef X
};

/* --- the directory -------------------------------------------------------------------------- */

int runtime_dir(void)
{
	const char *dir = getenv("NTVM_WINE_DIR"), *base = getenv("XDG_RUNTIME_DIR");
	char path[256];
	struct stat st;
	int fd;

	if (dir && *dir)
		snprintf(path, sizeof(path), "%s", dir);
	else
		snprintf(path, sizeof(path), "%s/ntvm-wine-%u", base && *base ? base : "/tmp",
			 (unsigned int)getuid());
	if (mkdir(path, 0700) && errno != EEXIST)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Others must not be able to put files there: it is believed what they say. */
	if (fd >= 0 && (fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & 022))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void file_name(char *name, size_t size)
{
	snprintf(name, size, "%d", owner);
}

static void file_map(void)
{
	int dir = runtime_dir(), fd = -1;
	char name[16];
	void *at;

	if (dir < 0)
		return;
	file_name(name, sizeof(name));
	unlinkat(dir, name, 0);
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && !ftruncate(fd, sizeof(nowhere))) {
		at = mmap(NULL, sizeof(nowhere), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at != MAP_FAILED) {
			memcpy(at, nowhere, sizeof(nowhere));
			records = at;
			counters = &records[0].value;
			in_file = true;
		}
	}
	if (fd >= 0)
		close(fd);
	close(dir);
}

void counters_init(void)
{
	int i;

	owner = getpid();
	for (i = 0; i < NR_CALLS; i++) {
		/* Nt as well, and the end, of the longest would not fit. */
		snprintf(nowhere[COUNT_SERVED + i].name, sizeof(nowhere->name), "served.%s",
			 calls[i] + 2);
		snprintf(nowhere[COUNT_PASSED + i].name, sizeof(nowhere->name), "passed.%s",
			 calls[i] + 2);
	}
	for (i = 0; i < NR_REASONS; i++)
		snprintf(nowhere[COUNT_FALLBACK + i].name, sizeof(nowhere->name), "fallback.%s",
			 reasons[i]);
	for (i = 0; i < NR_COUNTERS - COUNT_OTHERS; i++)
		snprintf(nowhere[COUNT_OTHERS + i].name, sizeof(nowhere->name), "%s", others[i]);
	file_map();
}

/* --- figures that are looked up ------------------------------------------------------------------ */

static void set(enum counter which, unsigned long long value)
{
	atomic_store_explicit(&records[which].value, value, memory_order_relaxed);
}

static void set_peak(enum counter which, unsigned long long value)
{
	unsigned long long old = atomic_load_explicit(&records[which].value, memory_order_relaxed);

	while (old < value &&
	       !atomic_compare_exchange_weak(&records[which].value, &old, value))
		;
}

static unsigned long long count_vmas(void)
{
	unsigned long long lines = 0;
	char text[4096];
	ssize_t got, i;
	int fd;

	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while ((got = read(fd, text, sizeof(text))) > 0)
		for (i = 0; i < got; i++)
			lines += text[i] == '\n';
	close(fd);
	return lines;
}

static void sample(void)
{
	unsigned long long vmas = count_vmas();
	LIBNT_COMMIT commit;
	LIBNT_INFO info;

	set(COUNT_VMAS, vmas);
	set_peak(COUNT_VMAS_PEAK, vmas);
	if (LibntGetInfo(NtCurrentProcess(), &info) == STATUS_SUCCESS) {
		set(COUNT_REGIONS, info.Regions);
		set_peak(COUNT_REGIONS_PEAK, info.Regions);
		set(COUNT_RESERVED, info.ReservedBytes);
		set(COUNT_COMMITTED, info.CommittedBytes);
	}
	if (LibntGetCommitLimit(NtCurrentProcess(), &commit) == STATUS_SUCCESS)
		set(COUNT_COMMITTED_PEAK, commit.PeakCommittedBytes);
}

void count_served(enum call call)
{
	unsigned long long n;

	n = atomic_fetch_add_explicit(&records[COUNT_SERVED + call].value, 1,
				      memory_order_relaxed) + 1;
	/* At every power of two, of what changes the figures. */
	if (!(n & (n - 1)) && call <= CALL_PROTECT)
		sample();
}

/* --- the end -------------------------------------------------------------------------------------- */

/* The name of the Windows program: the first argument that looks like one. */
static void program_name(char *name, size_t size)
{
	char text[1024], *at, *base, *p;
	ssize_t got = -1;
	int fd;

	snprintf(name, size, "?");
	fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (got <= 0)
		return;
	text[got] = '\0';
	for (at = text; at < text + got; at += strlen(at) + 1) {
		base = at;
		for (p = at; *p; p++)
			if (*p == '/' || *p == '\\')
				base = p + 1;
		if (p - base > 4 && !strcasecmp(p - 4, ".exe")) {
			snprintf(name, size, "%.100s", base);
			return;
		}
	}
}

static void print(void)
{
	char name[128], block[8192];
	size_t len = 0;
	int i;

	program_name(name, sizeof(name));
	len += (size_t)snprintf(block, sizeof(block), "ntvm-wine: %d %s\n", owner, name);
	for (i = 0; i < NR_COUNTERS; i++)
		len += (size_t)snprintf(block + len, sizeof(block) - len, "  %s %llu\n",
					records[i].name,
					atomic_load_explicit(&records[i].value, memory_order_relaxed));
	/* In one piece, since others may be ending too. */
	if (write(STDERR_FILENO, block, len) < 0)
		return;
}

static bool wants(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value && strcmp(value, "0");
}

static __attribute__((destructor)) void leave(void)
{
	char name[16];
	int dir;

	/* Wine's forked children that do not get as far as exec are not this process. */
	if (!owner || owner != getpid())
		return;
	sample();
	if (wants("NTVM_WINE_COUNTERS"))
		print();
	target_withdraw();
	if (!in_file || wants("NTVM_WINE_KEEP"))
		return;
	dir = runtime_dir();
	if (dir < 0)
		return;
	file_name(name, sizeof(name));
	unlinkat(dir, name, 0);
	close(dir);
}
