// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory is charged to: the commit charge that the kernel keeps, the
 * memory control group of whoever touches a page, swap, and the resource limits
 * of the caller.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

/* --- the commit charge ------------------------------------------------------------ */

static int64_t charge(void)
{
	return meminfo("Committed_AS");
}

/* Near at once, exact after a moment. */
#define EXPECT_CHARGE(want) do {						\
	int64_t __w = (want);							\
	int64_t __first = charge();						\
	EXPECT_TRUE(near(__first, __w, 256 * KIB * slow())) {			\
		TH_LOG("at once: want %lld, got %lld (%+lld)", (long long)__w,	\
		       (long long)__first, (long long)(__first - __w));		\
	}									\
	EXPECT_TRUE(wait_until(1, charge() == __w)) {				\
		TH_LOG("settled: want %lld, got %lld (%+lld)", (long long)__w,	\
		       (long long)charge(), (long long)(charge() - __w));	\
	}									\
} while (0)

/*
 * The first readings allocate, and the calls before a test may still settle:
 * wait until the figure stands still.
 */
static int64_t quiet_charge(void)
{
	int64_t last = -1, is = charge();
	int i;

	for (i = 0; i < 50 && is != last; i++) {
		last = is;
		sleep_ms(120);
		is = charge();
	}
	return is;
}

TEST(the_charge_follows_commit_decommit_and_release)
{
	uint8_t *p = reserve(256 * MIB);
	int64_t base;

	ASSERT_NE(NULL, p);
	base = quiet_charge();
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 128 * MIB, PAGE_READWRITE));
	EXPECT_CHARGE(base + 128 * MIB);
	/* Twice is once. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 64 * MIB, 128 * MIB, PAGE_READWRITE));
	EXPECT_CHARGE(base + 192 * MIB);
	/* Without access it counts all the same. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, 192 * MIB, PAGE_NOACCESS));
	EXPECT_CHARGE(base + 192 * MIB);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 100 * MIB));
	EXPECT_CHARGE(base + 92 * MIB);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 100 * MIB));
	EXPECT_CHARGE(base + 92 * MIB);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_CHARGE(base);
}

TEST(small_commits_are_charged_to_the_page)
{
	uint8_t *p = reserve(64 * MIB);
	int64_t base;
	int i;

	ASSERT_NE(NULL, p);
	base = quiet_charge();
	for (i = 0; i < 1001; i++)
		ASSERT_STATUS(STATUS_SUCCESS, commit(p + 2 * i * P, P, PAGE_READWRITE));
	EXPECT_CHARGE(base + 1001 * P);
	for (i = 0; i < 1001; i += 2)
		ASSERT_STATUS(STATUS_SUCCESS, decommit(p + 2 * i * P, P));
	EXPECT_CHARGE(base + 500 * P);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_CHARGE(base);
}

TEST(touching_adds_nothing_to_the_charge)
{
	uint8_t *p = reserve_commit(32 * MIB, PAGE_READWRITE);
	int64_t base;

	ASSERT_NE(NULL, p);
	base = quiet_charge();
	memset(p, 1, 32 * MIB);
	EXPECT_CHARGE(base);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, 32 * MIB, PAGE_EXECUTE_READ));
	EXPECT_CHARGE(base);
	EXPECT_READ(p + 5 * MIB, 1);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_CHARGE(base - 32 * MIB);
}

TEST(reserving_is_free)
{
	int64_t base;
	uint8_t *p;

	ASSERT_NE(NULL, reserve(G));
	base = quiet_charge();
	p = reserve(LARGE);
	ASSERT_NE(NULL, p);
	EXPECT_CHARGE(base);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_CHARGE(base);
}

static int holds(int sock, void *arg)
{
	uint8_t *p = reserve_commit(64 * MIB, PAGE_READWRITE);
	uint64_t word;

	(void)arg;
	if (!p)
		return 1;
	memset(p, 1, 4 * MIB);
	child_tell(sock, 1);
	child_hear(sock, &word);
	return 0;
}

TEST(exit_gives_the_charge_back)
{
	int64_t base = quiet_charge(), shmem = meminfo("Shmem");
	struct child c;
	uint64_t word;

	ASSERT_TRUE(child_start(&c, holds, NULL));
	ASSERT_TRUE(child_hear(c.sock, &word));
	EXPECT_LE(base + (int64_t)(64 * MIB), charge());
	child_tell(c.sock, 1);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_TRUE(wait_until(2, charge() == base)) {
		TH_LOG("want %lld, got %lld", (long long)base, (long long)charge());
	}
	EXPECT_TRUE(wait_until(2, meminfo("Shmem") == shmem));
}

TEST(a_failed_call_charges_nothing)
{
	uint8_t *p = reserve(G), *linux_own;
	uint64_t committed;
	int64_t base;
	int i;

	ASSERT_NE(NULL, p);
	/* What is in the way of a reservation is found late if it is Linux's. */
	linux_own = mmap((void *)FIXED, 2 * G, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0);
	ASSERT_EQ((uint8_t *)FIXED, linux_own);
	committed = info_of(ME).CommittedBytes;
	base = quiet_charge();
	for (i = 0; i < 500; i++) {
		EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, commit(p, 2 * G, PAGE_READWRITE));
		EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
			      do_alloc(ME, (uintptr_t)p, 0, 64 * MIB, MEM_RESERVE | MEM_COMMIT,
				       PAGE_READWRITE).status);
		EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
			      do_alloc(ME, FIXED, 0, 16 * G, MEM_RESERVE | MEM_COMMIT,
				       PAGE_READWRITE).status);
	}
	EXPECT_EQ(committed, info_of(ME).CommittedBytes);
	EXPECT_CHARGE(base);
	munmap(linux_own, 2 * G);
}

/* --- the limit ---------------------------------------------------------------------- */

FIXTURE(limit) {
	int64_t mode;
	int64_t kbytes;
	int64_t ratio;
	int64_t user_reserve;
};

static void put_number(const char *path, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	write_file(path, text);
}

FIXTURE_SETUP(limit)
{
	self->mode = read_number("/proc/sys/vm/overcommit_memory");
	self->kbytes = read_number("/proc/sys/vm/overcommit_kbytes");
	self->ratio = read_number("/proc/sys/vm/overcommit_ratio");
	self->user_reserve = read_number("/proc/sys/vm/user_reserve_kbytes");
	ASSERT_LE(0, self->mode);
}

/* In the parent: whatever becomes of the test, the guest goes on. */
FIXTURE_TEARDOWN_PARENT(limit)
{
	put_number("/proc/sys/vm/overcommit_memory", self->mode);
	put_number("/proc/sys/vm/user_reserve_kbytes", self->user_reserve);
	if (self->kbytes)
		put_number("/proc/sys/vm/overcommit_kbytes", self->kbytes);
	else
		put_number("/proc/sys/vm/overcommit_ratio", self->ratio);
}

/* Leave this much to be committed. */
static bool set_room(int64_t bytes)
{
	int64_t swap = meminfo("SwapTotal");

	put_number("/proc/sys/vm/user_reserve_kbytes", 0);
	put_number("/proc/sys/vm/overcommit_kbytes", (charge() + bytes - swap) / (int64_t)KIB);
	return !write_file("/proc/sys/vm/overcommit_memory", "2");
}

TEST_F(limit, a_commit_past_the_limit_is_refused_and_changes_nothing)
{
	uint8_t *p = reserve(256 * MIB);
	struct snap before, after;
	int64_t base;

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	EXPECT_WRITE(p, 0x5a);
	base = quiet_charge();
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + 256 * MIB);
	ASSERT_TRUE(set_room(16 * MIB));
	EXPECT_RES(STATUS_COMMITMENT_LIMIT, p, 128 * MIB,
		   do_alloc(ME, (uintptr_t)p, 0, 128 * MIB, MEM_COMMIT, PAGE_READONLY));
	EXPECT_RES(STATUS_COMMITMENT_LIMIT, 0, 128 * MIB,
		   do_alloc(ME, 0, 0, 128 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_COMMITMENT_LIMIT, FIXED, 128 * MIB,
		   do_alloc(ME, FIXED, 0, 128 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + 256 * MIB);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_FREE(FIXED);
	EXPECT_WRITE(p, 0x5a);
	EXPECT_CHARGE(base);
	/* Reserving needs no room, and a smaller commit has it. */
	EXPECT_NE(NULL, reserve(GIB));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 8 * MIB, PAGE_READWRITE));
	EXPECT_WRITE(p + 8 * MIB - 1, 1);
	EXPECT_READ(p, 0x5a);
	EXPECT_CHARGE(base + 8 * MIB - P);
}

TEST_F(limit, it_is_neither_early_nor_late)
{
	uint8_t *p = reserve(256 * MIB);
	NTSTATUS status = STATUS_SUCCESS;
	size_t got = 0;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	quiet_charge();
	ASSERT_TRUE(set_room(32 * MIB));
	while (got < 128 * MIB) {
		status = commit(p + P + got, P, PAGE_READWRITE);
		if (status != STATUS_SUCCESS)
			break;
		got += P;
	}
	EXPECT_STATUS(STATUS_COMMITMENT_LIMIT, status);
	/*
	 * Nothing that is free is kept back, and nothing is promised twice. The
	 * kernel itself judges by a per-CPU counter, to 0.4 % of the memory.
	 */
	EXPECT_TRUE(near(got, 32 * MIB, meminfo("MemTotal") / 200 + 256 * KIB)) {
		TH_LOG("room for %lu KiB, got %lu KiB", 32 * MIB / KIB, got / KIB);
	}
	EXPECT_QUERY(p + P + got, p, PAGE_READWRITE, 256 * MIB - P - got, MEM_RESERVE, 0);
	EXPECT_EQ(got + P, info_of(ME).CommittedBytes);
	/* What is given back can be had again. */
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 16 * MIB));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + P + got, 8 * MIB, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	p = reserve_commit(24 * MIB, PAGE_READWRITE);
	EXPECT_NE(NULL, p);
}

TEST_F(limit, memory_that_was_promised_is_there)
{
	uint8_t *p = reserve_commit(8 * MIB, PAGE_READWRITE);
	uint8_t *full;

	ASSERT_NE(NULL, p);
	quiet_charge();
	ASSERT_TRUE(set_room(MIB));
	/* Take the room, then touch: the faults need none. */
	full = reserve_commit(MIB / 2, PAGE_READWRITE);
	EXPECT_NE(NULL, full);
	memset(p, 1, 8 * MIB);
	EXPECT_READ(p + 8 * MIB - 1, 1);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, MIB, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 4 * MIB));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 3 * MIB, PAGE_READWRITE));
	EXPECT_READ(p, 0);
}

/* --- resource limits ------------------------------------------------------------------ */

static int no_files(int sock, void *arg)
{
	struct rlimit none = { 0, 0 };
	uint8_t *p;
	size_t i;

	(void)sock;
	(void)arg;
	if (setrlimit(RLIMIT_FSIZE, &none))
		return 1;
	p = reserve(64 * MIB);
	if (!p)
		return 2;
	for (i = 0; i < 16 * MIB; i += MIB)
		if (commit(p + i, MIB, PAGE_READWRITE) != STATUS_SUCCESS)
			return 3;
	memset(p, 1, 16 * MIB);
	if (commit(p + 16 * MIB, 48 * MIB, PAGE_READWRITE) != STATUS_SUCCESS)
		return 4;
	if (decommit(p, 8 * MIB) != STATUS_SUCCESS || probe_read(p).signo != SIGSEGV)
		return 5;
	if (commit(p, 8 * MIB, PAGE_READWRITE) != STATUS_SUCCESS || probe_read(p).value)
		return 6;
	if (protect(p, P, PAGE_EXECUTE_READ) != STATUS_SUCCESS)
		return 7;
	return release(p) == STATUS_SUCCESS ? 0 : 8;
}

TEST(a_file_size_limit_of_0_is_no_matter)
{
	struct child c;

	ASSERT_TRUE(child_start(&c, no_files, NULL));
	/* Not 128 + SIGXFSZ either. */
	EXPECT_EQ(0, child_wait(&c));
}

static int little_address_space(int sock, void *arg)
{
	int64_t have;
	struct rlimit limit;
	struct res r;

	(void)sock;
	(void)arg;
	if (!reserve(G))
		return 1;
	have = proc_status(0, "VmSize");
	limit.rlim_cur = limit.rlim_max = have + 64 * MIB;
	if (setrlimit(RLIMIT_AS, &limit))
		return 2;
	r = do_alloc(ME, 0, 0, GIB, MEM_RESERVE, PAGE_READWRITE);
	if (r.status != STATUS_NO_MEMORY || r.base || r.size != GIB)
		return 3;
	r = do_alloc(ME, FIXED, 0, 256 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	if (r.status != STATUS_NO_MEMORY || page_state((void *)FIXED) != MEM_FREE)
		return 4;
	if (info_of(ME).Regions != 1 || info_of(ME).CommittedBytes)
		return 5;
	r = do_alloc(ME, 0, 0, 32 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	if (r.status != STATUS_SUCCESS || probe_write((void *)r.base, 1).signo)
		return 6;
	return 0;
}

TEST(a_limit_of_the_address_space_is_no_memory)
{
	struct child c;

	ASSERT_TRUE(child_start(&c, little_address_space, NULL));
	EXPECT_EQ(0, child_wait(&c));
}

static int no_descriptors(int sock, void *arg)
{
	struct rlimit few = { 3, 3 };
	NTSTATUS status;
	int fd;

	(void)arg;
	for (fd = 3; fd < 64; fd++)
		if (fd != sock)
			close(fd);
	if (dup2(sock, 3) < 0 && sock != 3)
		return 1;
	if (setrlimit(RLIMIT_NOFILE, &few))
		return 2;
	status = do_alloc(ME, 0, 0, G, MEM_RESERVE, PAGE_READWRITE).status;
	return status == STATUS_INSUFFICIENT_RESOURCES ? 0 : 3;
}

TEST(no_descriptor_left_is_a_status)
{
	struct child c;

	ASSERT_TRUE(child_start(&c, no_descriptors, NULL));
	EXPECT_EQ(0, child_wait(&c));
}

/* --- control groups and swap ------------------------------------------------------------ */

#define SWAP_SIZE	(256 * MIB)

FIXTURE(cgroup) {
	char root[64];
	char a[96];
	char b[96];
	bool mounted;
	bool swapping;
};

static int cg_write(const char *dir, const char *file, const char *text)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return write_file(path, text);
}

static int64_t cg_number(const char *dir, const char *file)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return read_number(path);
}

static int64_t cg_stat(const char *dir, const char *key)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	return read_keyed(path, key);
}

FIXTURE_SETUP(cgroup)
{
	char buf[1024] = "";

	strcpy(self->root, "/sys/fs/cgroup");
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK)) {
		strcpy(self->root, "/tmp/ntvm-cgroup");
		mkdir("/tmp", 01777);
		mkdir(self->root, 0755);
		ASSERT_EQ(0, mount("none", self->root, "cgroup2", 0, NULL)) {
			TH_LOG("no cgroup2: %s", strerror(errno));
		}
		self->mounted = true;
	}
	snprintf(self->a, sizeof(self->a), "%s/ntvm-a", self->root);
	snprintf(self->b, sizeof(self->b), "%s/ntvm-b", self->root);
	snprintf(buf, sizeof(buf), "%s/cgroup.controllers", self->root);
	ASSERT_LT(0, read_file(strdup(buf), buf, sizeof(buf)));
	ASSERT_NE(NULL, strstr(buf, "memory")) {
		TH_LOG("no memory controller in cgroup2: %s", buf);
	}
	ASSERT_EQ(0, cg_write(self->root, "cgroup.subtree_control", "+memory"));
	ASSERT_TRUE(!mkdir(self->a, 0755) || errno == EEXIST);
	ASSERT_TRUE(!mkdir(self->b, 0755) || errno == EEXIST);
}

FIXTURE_TEARDOWN_PARENT(cgroup)
{
	int i;

	if (self->swapping)
		swap_off();
	/* The groups are empty once the last page is uncharged. */
	for (i = 0; i < 100 && (rmdir(self->a) | rmdir(self->b)) && errno == EBUSY; i++)
		sleep_ms(20);
	if (self->mounted)
		umount(self->root);
}

static int touches_in_b(int sock, void *arg)
{
	uint8_t *p = arg;
	uint64_t word;

	/* Reserved here, committed by the parent: the toucher pays. */
	if (do_alloc(ME, (uintptr_t)p, 0, 32 * MIB, MEM_RESERVE, PAGE_READWRITE).status)
		return 1;
	if (!send_fd(sock, own_device()) || !child_hear(sock, &word))
		return 2;
	memset(p, 1, 16 * MIB);
	child_tell(sock, 1);
	child_hear(sock, &word);
	return 0;
}

TEST_F(cgroup, pages_are_charged_to_the_toucher)
{
	char pid[16];
	uint64_t word;
	int64_t a, b;
	struct child c;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, touches_in_b, (void *)FIXED));
	h = LibntFdToHandle(recv_fd(c.sock));
	snprintf(pid, sizeof(pid), "%d", c.pid);
	ASSERT_EQ(0, cg_write(self->b, "cgroup.procs", pid));
	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_EQ(0, cg_write(self->a, "cgroup.procs", pid));
	a = cg_stat(self->a, "shmem");
	b = cg_stat(self->b, "shmem");
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(h, FIXED, 0, 32 * MIB, MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_EQ(a, cg_stat(self->a, "shmem"));
	child_tell(c.sock, 1);
	ASSERT_TRUE(child_hear(c.sock, &word));
	/* The figures of a group are folded with a delay. */
	EXPECT_TRUE(wait_until(5, near(cg_stat(self->b, "shmem"), b + 16 * MIB, 256 * KIB))) {
		TH_LOG("toucher: %lld", (long long)(cg_stat(self->b, "shmem") - b));
	}
	EXPECT_LE((int64_t)(15 * MIB), cg_number(self->b, "memory.current"));
	EXPECT_TRUE(near(cg_stat(self->a, "shmem"), a, 256 * KIB));
	/* Decommit uncharges. */
	EXPECT_STATUS(STATUS_SUCCESS, do_free(h, FIXED, 8 * MIB, MEM_DECOMMIT).status);
	EXPECT_TRUE(wait_until(5, near(cg_stat(self->b, "shmem"), b + 8 * MIB, 256 * KIB)));
	child_tell(c.sock, 1);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_TRUE(wait_until(5, near(cg_stat(self->b, "shmem"), b, 256 * KIB)));
	ASSERT_EQ(0, cg_write(self->root, "cgroup.procs", pid));
}

/* Page contents that no other page has. */
static uint64_t stamp(size_t page, size_t word)
{
	return (page + 1) * 0x9e3779b97f4a7c15ull + word;
}

static size_t wrong_pages(const uint8_t *p, size_t from, size_t to)
{
	size_t i, bad = 0;

	for (i = from; i < to; i++) {
		const volatile uint64_t *w = (const volatile uint64_t *)(p + i * P);

		if (w[0] != stamp(i, 0) || w[300] != stamp(i, 300) || w[511] != stamp(i, 511))
			bad++;
	}
	return bad;
}

TEST_F(cgroup, S25_pages_swap_out_and_back_and_decommit_frees_their_swap)
{
	const size_t pages = 48 * MIB / P;
	int64_t before, out, after;
	char pid[16];
	uint8_t *p;
	size_t i, bad;
	int tries;

	ASSERT_TRUE(swap_on(SWAP_SIZE)) {
		TH_LOG("no swap in zram: %s", strerror(errno));
	}
	self->swapping = true;
	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_EQ(0, cg_write(self->a, "cgroup.procs", pid));
	p = reserve_commit(pages * P, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	for (i = 0; i < pages; i++) {
		uint64_t *w = (uint64_t *)(p + i * P);

		w[0] = stamp(i, 0);
		w[300] = stamp(i, 300);
		w[511] = stamp(i, 511);
	}
	before = meminfo("SwapFree");
	for (tries = 0; tries < 20; tries++) {
		cg_write(self->a, "memory.reclaim", "16M");
		madvise(p, pages * P, MADV_PAGEOUT);
		if (before - meminfo("SwapFree") >= (int64_t)(pages * P / 2))
			break;
	}
	out = before - meminfo("SwapFree");
	EXPECT_LE((int64_t)(pages * P / 2), out) {
		TH_LOG("only %lld KiB went out", (long long)out / 1024);
	}
	/* Swapped or not, it is committed and charged as before. */
	EXPECT_QUERY(p, p, PAGE_READWRITE, pages * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_EQ(pages * P, info_of(ME).CommittedBytes);
	/* A third comes back intact. */
	EXPECT_EQ(0, wrong_pages(p, 0, pages / 3));
	/* Out again, with other protections meanwhile. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, pages / 3 * P, PAGE_READONLY));
	for (tries = 0; tries < 20 && before - meminfo("SwapFree") < (int64_t)(pages * P / 2); tries++) {
		cg_write(self->a, "memory.reclaim", "16M");
		madvise(p, pages * P, MADV_PAGEOUT);
	}
	EXPECT_NO_WRITE(p);
	/* The middle third goes while it is out. */
	after = meminfo("SwapFree");
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + pages / 3 * P, pages / 3 * P));
	EXPECT_TRUE(wait_until(3, meminfo("SwapFree") >= after + (int64_t)(pages * P / 12))) {
		TH_LOG("swap free %lld before, %lld after decommit", (long long)after,
		       (long long)meminfo("SwapFree"));
	}
	EXPECT_NO_ACCESS(p + pages / 3 * P);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + pages / 3 * P, pages / 3 * P, PAGE_READWRITE));
	for (bad = 0, i = pages / 3; i < pages / 3 * 2; i++)
		if (p[i * P] || p[i * P + 2400] || p[i * P + P - 1])
			bad++;
	EXPECT_EQ(0, bad);
	EXPECT_EQ(0, wrong_pages(p, 0, pages / 3));
	EXPECT_EQ(0, wrong_pages(p, pages / 3 * 2, pages));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_TRUE(wait_until(3, near(meminfo("SwapFree"), before, 2 * MIB)));
	ASSERT_EQ(0, cg_write(self->root, "cgroup.procs", pid));
}

TEST_F(cgroup, more_than_the_group_may_hold_goes_to_swap)
{
	const size_t pages = 48 * MIB / P;
	char pid[16];
	uint8_t *p;
	size_t i;

	ASSERT_TRUE(swap_on(SWAP_SIZE)) {
		TH_LOG("no swap in zram: %s", strerror(errno));
	}
	self->swapping = true;
	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_EQ(0, cg_write(self->a, "cgroup.procs", pid));
	ASSERT_EQ(0, cg_write(self->a, "memory.max", "25165824"));
	p = reserve_commit(pages * P, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	for (i = 0; i < pages; i++) {
		uint64_t *w = (uint64_t *)(p + i * P);

		w[0] = stamp(i, 0);
		w[300] = stamp(i, 300);
		w[511] = stamp(i, 511);
	}
	EXPECT_LE(cg_number(self->a, "memory.current"), (int64_t)(25 * MIB));
	EXPECT_EQ(0, wrong_pages(p, 0, pages));
	/* Backwards, against the order in which they went. */
	for (i = pages; i-- > 0;)
		EXPECT_EQ(0, wrong_pages(p, i, i + 1));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, cg_write(self->a, "memory.max", "max"));
	ASSERT_EQ(0, cg_write(self->root, "cgroup.procs", pid));
}

#define LEAVES	8000
#define LEAF	(2 * MIB)

#ifdef _LP64
/* A page here and there: each costs a node of the page-state table. */
static bool fragments(HANDLE h, uint8_t *p)
{
	size_t i;

	for (i = 0; i < LEAVES; i++) {
		if (do_alloc(h, (uintptr_t)p + i * LEAF, 0, P, MEM_COMMIT, PAGE_READWRITE).status)
			return false;
	}
	return true;
}

static int is_fragmented(int sock, void *arg)
{
	uint8_t *p = reserve(LEAVES * LEAF);
	bool by_itself = arg;
	uint64_t word;

	if (!p || !child_hear(sock, &word) || (by_itself && !fragments(ME, p)))
		return 1;
	child_tell(sock, (uintptr_t)p);
	if (!send_fd(sock, own_device()))
		return 2;
	for (;;)
		child_hear(sock, &word);
}

static void cg_fragments(struct __test_metadata *_metadata, FIXTURE_DATA(cgroup) *self,
			 bool by_itself)
{
	struct child c;
	int64_t before;
	uint64_t p;
	char pid[16];
	int fd;

	ASSERT_TRUE(child_start(&c, is_fragmented, by_itself ? self : NULL));
	snprintf(pid, sizeof(pid), "%d", c.pid);
	ASSERT_EQ(0, cg_write(self->a, "cgroup.procs", pid));
	before = cg_stat(self->a, "slab_unreclaimable");
	child_tell(c.sock, 1);
	ASSERT_TRUE(child_hear(c.sock, &p));
	fd = recv_fd(c.sock);
	ASSERT_LE(0, fd);
	if (!by_itself)
		EXPECT_TRUE(fragments(LibntFdToHandle(fd), pointer_of(p)));
	EXPECT_TRUE(wait_until(10, cg_stat(self->a, "slab_unreclaimable") - before >
				   (int64_t)(LEAVES * 512))) {
		TH_LOG("slab %lld, was %lld", (long long)cg_stat(self->a, "slab_unreclaimable"),
		       (long long)before);
	}
	/* Killed, it has nothing any more, whoever has a handle. */
	kill(c.pid, SIGKILL);
	child_wait(&c);
	EXPECT_TRUE(wait_until(10, cg_stat(self->a, "slab_unreclaimable") - before <
				   (int64_t)MIB)) {
		TH_LOG("slab %lld, was %lld", (long long)cg_stat(self->a, "slab_unreclaimable"),
		       (long long)before);
	}
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, do_query(LibntFdToHandle(fd), FIXED).status);
	close(fd);
}

TEST_F(cgroup, page_states_are_charged_to_their_process)
{
	cg_fragments(_metadata, self, true);
}

TEST_F(cgroup, whoever_makes_them)
{
	cg_fragments(_metadata, self, false);
}

TEST_F(cgroup, page_states_beyond_the_limit_cost_the_process_and_nobody_else)
{
	struct child c;
	uint64_t word;
	char pid[16];

	ASSERT_TRUE(child_start(&c, is_fragmented, self));
	snprintf(pid, sizeof(pid), "%d", c.pid);
	ASSERT_EQ(0, cg_write(self->a, "cgroup.procs", pid));
	ASSERT_EQ(0, cg_write(self->a, "memory.max", "3145728"));
	child_tell(c.sock, 1);
	/* Refused or killed, and all it had is gone with it. */
	EXPECT_FALSE(child_hear(c.sock, &word));
	EXPECT_NE(0, child_wait(&c));
	EXPECT_TRUE(wait_until(10, cg_stat(self->a, "slab_unreclaimable") < (int64_t)MIB));
	EXPECT_EQ(0, cg_write(self->a, "memory.max", "max"));
}
#endif

TEST_HARNESS_MAIN
