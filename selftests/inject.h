/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's fault injection, for one task: it counts the allocations (slab and
 * pages) and user copies that come, and has the n-th of them fail, or all from the
 * n-th on. Only a kernel with fault injection has it: tools/debug.config.
 */
#ifndef NTVM_SELFTESTS_INJECT_H
#define NTVM_SELFTESTS_INJECT_H

#include "ntvm_test.h"

enum { SLAB, PAGE, COPY, KINDS };
static const char *const kind_dir[KINDS] = { "failslab", "fail_page_alloc", "fail_usercopy" };
static const char *const kind_name[KINDS] = { "slab", "page", "copy" };
static int nth_fd = -1;		/* the n-th fails */
static int all_fd = -1;		/* and then all do */

static bool knob(const char *dir, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, name);
	return !write_file(path, value);
}

/* NULL, or what this kernel lacks. */
static const char *inject_missing(void)
{
	char path[128];
	int i;

	if (access("/proc/self/fail-nth", W_OK))
		return "no fault injection in this kernel (/proc/self/fail-nth)";
	for (i = 0; i < KINDS; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/times", kind_dir[i]);
		if (access(path, W_OK))
			return "no fault injection of all kinds (/sys/kernel/debug/fail*)";
	}
	return NULL;
}

/*
 * All of what may be made to fail; quietly. Probabilities speak of tasks that are
 * marked, by make-it-fail, and of allocations alone: who disarms has to copy.
 */
static bool knobs_setup(void)
{
	bool ok = true;
	int i;

	for (i = 0; i < KINDS; i++) {
		ok &= knob(kind_dir[i], "task-filter", "Y");
		ok &= knob(kind_dir[i], "probability", i == COPY ? "0" : "100");
		ok &= knob(kind_dir[i], "interval", "1");
		ok &= knob(kind_dir[i], "verbose", "0");
		ok &= knob(kind_dir[i], "times", "1000000000");
	}
	ok &= knob("failslab", "ignore-gfp-wait", "N");
	ok &= knob("failslab", "cache-filter", "N");
	ok &= knob("fail_page_alloc", "ignore-gfp-wait", "N");
	ok &= knob("fail_page_alloc", "ignore-gfp-highmem", "N");
	ok &= knob("fail_page_alloc", "min-order", "0");
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	all_fd = open("/proc/thread-self/make-it-fail", O_RDWR | O_CLOEXEC);
	return ok && nth_fd >= 0 && all_fd >= 0;
}

static long fd_number(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 0);
}

/* Which kind has just failed: its count of times went down. */
static int kind_of_failure(void)
{
	static int64_t last[KINDS];
	char path[128];
	int64_t left;
	int i, kind = -1;

	for (i = 0; i < KINDS; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/times", kind_dir[i]);
		left = read_number(path);
		if (left != last[i])
			kind = i;
		last[i] = left;
	}
	return kind;
}

enum outcome { HIT, FEWER, NOBODY };	/* NOBODY: no worker that was armed did it */

static void self_arm(unsigned int n, bool all)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (all)
		pwrite(all_fd, "1", 1, 0);
	pwrite(nth_fd, text, len, 0);
}

/* Telling and disarming copy from and to the user, and may be what fails. */
static enum outcome self_outcome(bool all)
{
	enum outcome out = fd_number(nth_fd) ? FEWER : HIT;

	while (all && pwrite(all_fd, "0", 1, 0) != 1)
		;
	while (pwrite(nth_fd, "0", 1, 0) != 1)
		;
	return out;
}

#endif
