// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocations (and copies) fail while the module is loaded, one at a time, and all
 * from each of them on: it is then not loaded and nothing of it is left, so that it
 * can be loaded afterwards; or it is loaded all the same, and works. The first of
 * them are the kernel's own, for the file and its sections: some of these fail, and
 * every one of the last, which are the module's.
 *
 * Only a kernel with fault injection runs this (inject.h). The module is found
 * where tools/ntvm-vm puts it, or where NTVM_MODULE says; it is loaded in the end.
 */
#include "inject.h"
#include <kselftest_harness.h>

#define LONG	900		/* seconds */
#define MOST	100000		/* more than there are */
#define LAST	250		/* of them fail each, of the others one in SOME */
#define SOME	10

/*
 * Each failure has the kernel tell a page about it, on a slow console: only errors
 * are shown meanwhile. Warnings leave a mark, and lockdep turns itself off.
 */
#define PRINTK	"/proc/sys/kernel/printk"
#define TAINTED	"/proc/sys/kernel/tainted"
#define WARNED	(1 << 9)

FIXTURE(load) {
	char printk[64];
	bool warned;
};

static bool lockdep_on(void)
{
	char text[8192] = "", *line;

	read_file("/proc/lockdep_stats", text, sizeof(text));
	line = strstr(text, "debug_locks:");
	return !line || strtol(line + strlen("debug_locks:"), NULL, 10);
}

FIXTURE_SETUP(load)
{
	const char *missing = inject_missing();

	if (missing)
		SKIP(return, "%s", missing);
	if (access(module_path(), R_OK))
		SKIP(return, "there is no module at %s", module_path());
	ASSERT_EQ(0, getuid());
	ASSERT_TRUE(knobs_setup());
	/* Of the programs before this one nothing may be left. */
	ASSERT_TRUE(wait_until(10, !module_loaded() || !module_unload()));
	self->warned = read_number(TAINTED) & WARNED;
	ASSERT_TRUE(lockdep_on());
	ASSERT_LT(0, read_file(PRINTK, self->printk, sizeof(self->printk)));
	ASSERT_EQ(0, write_file(PRINTK, "4 4 1 7"));
}

FIXTURE_TEARDOWN_PARENT(load)
{
	if (self->printk[0])
		EXPECT_EQ(0, write_file(PRINTK, self->printk));
	if (!module_loaded() && !access(module_path(), R_OK))
		EXPECT_EQ(0, module_load());
}

/* In a process of its own: who has reserved holds the module. */
static int works(int sock, void *arg)
{
	uint8_t *p = reserve_commit(16 * P, PAGE_READWRITE);

	(void)sock;
	(void)arg;
	return p && !(*p = 1, decommit(p, P)) && !release(p) ? 0 : 1;
}

/* The n-th allocation fails. False: there are fewer, or something is wrong. */
static bool load_one(struct __test_metadata *_metadata, unsigned int n, bool all,
		     unsigned int *refused)
{
	enum outcome out;
	struct child c;
	int err, kind;

	kind_of_failure();
	self_arm(n, all);
	err = module_load();
	out = self_outcome(all);
	kind = kind_of_failure();
	EXPECT_TRUE(out == HIT || !err)
		TH_LOG("%s without failure %u", strerror(err), n);
	EXPECT_TRUE(!err || err == (kind == COPY ? EFAULT : ENOMEM))
		TH_LOG("failure %u (%s%s): %s", n, kind < 0 ? "?" : kind_name[kind],
		       all ? " and all that follow" : "", strerror(err));
	EXPECT_EQ(!err, module_loaded());
	EXPECT_EQ(!err, !access("/dev/ntvm", F_OK))
		TH_LOG("failure %u: the device", n);
	*refused += !!err;
	if (!err) {
		EXPECT_TRUE(child_start(&c, works, NULL) && !child_wait(&c))
			TH_LOG("failure %u: loaded, and does not work", n);
		EXPECT_TRUE(wait_until(10, !module_unload()));
	}
	return out == HIT && !_metadata->exit_code;
}

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

/*
 * What kmemleak finds now, told but for one kind, and then forgotten: when 6.12 cannot
 * make the directory of a slab cache, sysfs_slab_add() forgets its name.
 */
static size_t leaks(unsigned int *of_the_kernel)
{
	bool name = false, cache = false;
	char line[256], record[4096] = "";
	size_t len = 0, found = 0, end;
	FILE *f;

	if (access(KMEMLEAK, R_OK))
		return 0;
	/* It looks at objects older than five seconds, and twice. */
	sleep_ms(6000);
	write_file(KMEMLEAK, "scan");
	write_file(KMEMLEAK, "scan");
	f = fopen(KMEMLEAK, "r");
	if (!f)
		return 1;
	for (;;) {
		bool more = fgets(line, sizeof(line), f);

		if (!more || !strncmp(line, "unreferenced object", 19)) {
			if (len && name && cache)
				++*of_the_kernel;
			else if (len && !found++)
				fputs(record, stdout);
			name = cache = false;
			len = 0;
		}
		if (!more)
			break;
		name |= !!strstr(line, " kobject_set_name_vargs+");
		cache |= !!strstr(line, " sysfs_slab_add+");
		end = len + strlen(line);
		if (end < sizeof(record)) {
			strcpy(record + len, line);
			len = end;
		}
	}
	fclose(f);
	write_file(KMEMLEAK, "clear");
	return found;
}

TEST_F_TIMEOUT(load, comes_to_nothing_or_to_all, LONG)
{
	unsigned int n, total, failures, refused = 0, walk, own = 0;
	int64_t slab = 0;

	self_arm(MOST, false);
	ASSERT_EQ(0, module_load());
	total = MOST - fd_number(nth_fd);
	ASSERT_EQ(FEWER, self_outcome(false));
	ASSERT_EQ(0, module_unload());
	for (walk = 0; walk < 2; walk++) {
		failures = 0;
		for (n = 1; n < MOST; n += n + LAST < total ? SOME : 1, failures++)
			if (!load_one(_metadata, n, walk, &refused))
				break;
		ASSERT_LT(n, MOST);
		TH_LOG("%u of %u failures%s, %u refused", failures, total,
		       walk ? ", and all that follow" : "", refused);
		/* It is the module's own that was refused, too. */
		EXPECT_LT(20u, refused);
		refused = 0;
		if (!walk)
			slab = meminfo("SUnreclaim");
	}
	/* What is forgotten each time adds up. */
	EXPECT_TRUE(wait_until(10, meminfo("SUnreclaim") - slab < (int64_t)(2 * MIB)))
		TH_LOG("SUnreclaim grew by %lld", (long long)(meminfo("SUnreclaim") - slab));
	EXPECT_EQ(self->warned, !!(read_number(TAINTED) & WARNED));
	EXPECT_TRUE(lockdep_on());
	EXPECT_EQ(0, leaks(&own));
	TH_LOG("%u leaks of the kernel's own", own);
	EXPECT_EQ(0, module_load());
}

TEST_HARNESS_MAIN
