// SPDX-License-Identifier: GPL-2.0-only
/*
 * MEM_LARGE_PAGES: that the pages really are large, all of them or none, that
 * they are paid for, and what cannot be done to them.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define L	(2 * MIB)
#define RESERVE_LARGE	(MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES)
#define ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define AT	((uintptr_t)0x60000000)

static uint8_t *large(size_t size, ULONG protect)
{
	struct res r = do_alloc(ME, 0, 0, size, RESERVE_LARGE, protect);

	return r.status == STATUS_SUCCESS ? (uint8_t *)r.base : NULL;
}

static int64_t locked(void)
{
	return proc_status(0, "VmLck");
}

/* A line of /proc/self/smaps, summed over the VMAs that begin in the range. */
static int64_t smaps(const void *p, size_t size, const char *field)
{
	unsigned long from = (uintptr_t)p, start, end;
	char line[512], name[64];
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false;
	int64_t sum = -1;
	long kib;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = start >= from && start < from + size;
			if (inside && sum < 0)
				sum = 0;
		} else if (inside && sscanf(line, "%63[^:]: %ld", name, &kib) == 2 &&
			   !strcmp(name, field)) {
			sum += kib * (int64_t)KIB;
		}
	}
	if (f)
		fclose(f);
	return sum;
}

/* Bytes of the range that are mapped by entries for 2 MiB. */
static int64_t by_pmd(const void *p, size_t size)
{
	return smaps(p, size, "ShmemPmdMapped");
}

/* Everything that a failed call must have put back. */
struct traces {
	struct snap snap;
	int64_t locked;
	int64_t shmem;
	int vmas;
};

static struct traces traces(void)
{
	struct traces t = {
		.snap = snap_of(ME, AT, AT + 64 * MIB),
		.locked = locked(),
		.shmem = meminfo("Shmem"),
		.vmas = vmas_in(0, ~0ul >> 17),
	};

	return t;
}

static bool traces_same(const struct traces *a, const struct traces *b)
{
	return snap_same(&a->snap, &b->snap) && a->locked == b->locked && a->vmas == b->vmas &&
	       near(a->shmem, b->shmem, 256 * KIB);
}

static bool unprivileged(size_t limit)
{
	struct rlimit rl = { limit, limit };

	return !setrlimit(RLIMIT_MEMLOCK, &rl) && !setresgid(65534, 65534, 65534) &&
	       !setresuid(65534, 65534, 65534);
}

TEST(T2_pages_are_large_and_there_at_once)
{
	int64_t shmem = meminfo("Shmem"), as = meminfo("Committed_AS");
	uint8_t *p = large(4 * L, PAGE_READWRITE);
	size_t i;

	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, (uintptr_t)p % L);
	EXPECT_QUERY(p, p, PAGE_READWRITE, 4 * L, MEM_COMMIT, PAGE_READWRITE);
	/* Before any access. */
	EXPECT_EQ((int64_t)(4 * L), by_pmd(p, 4 * L));
	EXPECT_EQ((int64_t)(4 * L), smaps(p, 4 * L, "Rss"));
	EXPECT_TRUE(near(meminfo("Shmem"), shmem + 4 * L, 256 * KIB));
	EXPECT_EQ((int64_t)(4 * L), locked());
	/* The charge is paid once. */
	EXPECT_EQ(4 * L, info_of(ME).CommittedBytes);
	EXPECT_TRUE(wait_until(3, near(meminfo("Committed_AS"), as + 4 * L, 1 * MIB))) {
		TH_LOG("Committed_AS grew by %lld", (long long)(meminfo("Committed_AS") - as));
	}
	for (i = 0; i < 4 * L; i += P / 2)
		ASSERT_EQ(0, p[i]);
	memset(p, 0x5c, 4 * L);
	EXPECT_EQ((int64_t)(4 * L), by_pmd(p, 4 * L));
	EXPECT_READ(p + 4 * L - 1, 0x5c);
	EXPECT_NO_ACCESS(p + 4 * L);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, locked());
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_TRUE(wait_until(3, near(meminfo("Shmem"), shmem, 256 * KIB)));
	EXPECT_TRUE(wait_until(3, near(meminfo("Committed_AS"), as, 1 * MIB)));
	EXPECT_NO_ACCESS(p);
}

TEST(T3_sizes_bases_and_types)
{
	struct traces before = traces(), after;
	static const size_t sizes[] = { 1, P, G, L - 1, L + 1, L + P, 3 * L / 2 };
	static const uintptr_t bases[] = { AT + 1, AT + P, AT + G, AT + L / 2, AT + L - 1 };
	static const ULONG types[] = {
		MEM_LARGE_PAGES, MEM_RESERVE | MEM_LARGE_PAGES, MEM_COMMIT | MEM_LARGE_PAGES,
		RESERVE_LARGE | MEM_WRITE_WATCH, RESERVE_LARGE | MEM_PHYSICAL, RESERVE_LARGE | MEM_RESET,
		MEM_RESET | MEM_LARGE_PAGES, MEM_RESET_UNDO | MEM_LARGE_PAGES,
	};
	static const ULONG protects[] = {
		PAGE_READWRITE | PAGE_GUARD, PAGE_WRITECOPY, PAGE_EXECUTE_WRITECOPY, 0,
		PAGE_READONLY | PAGE_READWRITE,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_RES(STATUS_INVALID_PARAMETER_4, 0, sizes[i],
			   do_alloc(ME, 0, 0, sizes[i], RESERVE_LARGE, PAGE_READWRITE));
		EXPECT_RES(STATUS_INVALID_PARAMETER_4, AT, sizes[i],
			   do_alloc(ME, AT, 0, sizes[i], RESERVE_LARGE, PAGE_READWRITE));
	}
	for (i = 0; i < ARRAY_SIZE(bases); i++)
		EXPECT_RES(STATUS_INVALID_PARAMETER_2, bases[i], L,
			   do_alloc(ME, bases[i], 0, L, RESERVE_LARGE, PAGE_READWRITE));
	for (i = 0; i < ARRAY_SIZE(types); i++)
		EXPECT_RES(STATUS_INVALID_PARAMETER_5, 0, L,
			   do_alloc(ME, 0, 0, L, types[i], PAGE_READWRITE));
	for (i = 0; i < ARRAY_SIZE(protects); i++)
		EXPECT_RES(STATUS_INVALID_PAGE_PROTECTION, 0, L,
			   do_alloc(ME, 0, 0, L, RESERVE_LARGE, protects[i]));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, 0, 0, do_alloc(ME, 0, 0, 0, RESERVE_LARGE, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_PARAMETER_2, KERNEL_ADDRESS, L,
		   do_alloc(ME, KERNEL_ADDRESS, 0, L, RESERVE_LARGE, PAGE_READWRITE));
	/* The values win over the handle. */
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, 0, P, do_alloc(NULL, 0, 0, P, RESERVE_LARGE, PAGE_READWRITE));
	EXPECT_RES(STATUS_INVALID_HANDLE, 0, L, do_alloc(NULL, 0, 0, L, RESERVE_LARGE, PAGE_READWRITE));
	after = traces();
	EXPECT_TRUE(traces_same(&before, &after));
}

TEST(a_base_is_taken_if_it_is_free)
{
	struct traces before, after;

	EXPECT_RES(STATUS_SUCCESS, AT, 2 * L, do_alloc(ME, AT, 0, 2 * L, RESERVE_LARGE, PAGE_READWRITE));
	EXPECT_EQ((int64_t)(2 * L), by_pmd((void *)AT, 2 * L));
	before = traces();
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, AT + L, 2 * L,
		   do_alloc(ME, AT + L, 0, 2 * L, RESERVE_LARGE, PAGE_READWRITE));
	/* Below the lowest address. */
	EXPECT_STATUS(STATUS_SUCCESS, do_alloc(ME, AT + 3 * L, 0, P, MEM_RESERVE, PAGE_READWRITE).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
		      do_alloc(ME, AT + 2 * L, 0, 2 * L, RESERVE_LARGE, PAGE_READWRITE).status);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)(AT + 3 * L)));
	ASSERT_EQ((void *)(AT + 4 * L), mmap((void *)(AT + 4 * L), P, PROT_READ,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
		      do_alloc(ME, AT + 4 * L, 0, L, RESERVE_LARGE, PAGE_READWRITE).status);
	munmap((void *)(AT + 4 * L), P);
	after = traces();
	EXPECT_TRUE(traces_same(&before, &after));
}

TEST(chosen_addresses_are_aligned_whatever_lies_about)
{
	uint8_t *p[12];
	struct res r;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		ASSERT_NE(NULL, reserve(G * (1 + i * 5 % 7)));
		r = do_alloc(ME, 0, i % 3 == 2 ? 1 : 0, L, RESERVE_LARGE | (i & 1 ? MEM_TOP_DOWN : 0),
			     PAGE_READWRITE);
		ASSERT_STATUS(STATUS_SUCCESS, r.status);
		p[i] = (uint8_t *)r.base;
		EXPECT_EQ(0, r.base % L);
		if (i % 3 == 2)
			EXPECT_GT(1ul << 31, r.base);
		EXPECT_EQ((int64_t)L, by_pmd(p[i], L));
		memset(p[i], (int)i + 1, L);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		for (j = 0; j < L; j += P)
			ASSERT_EQ(i + 1, p[i][j]);
		EXPECT_STATUS(STATUS_SUCCESS, release(p[i]));
	}
	EXPECT_EQ(0, locked());
}

/* --- protections --------------------------------------------------------------- */

TEST(every_protection_from_the_start)
{
	static const struct {
		ULONG protect;
		bool read, write, exec;
	} cases[] = {
		{ PAGE_NOACCESS, false, false, false },
		{ PAGE_READONLY, true, false, false },
		{ PAGE_READWRITE, true, true, false },
		{ PAGE_EXECUTE, true, false, true },
		{ PAGE_EXECUTE_READ, true, false, true },
		{ PAGE_EXECUTE_READWRITE, true, true, true },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t *p = large(2 * L, cases[i].protect);

		ASSERT_NE(NULL, p);
		EXPECT_QUERY(p, p, cases[i].protect, 2 * L, MEM_COMMIT, cases[i].protect);
		EXPECT_EQ((int64_t)(2 * L), locked());
		if (cases[i].read)
			EXPECT_READ(p + L + 5, 0);
		else
			EXPECT_NO_READ(p + L + 5);
		if (cases[i].write)
			EXPECT_WRITE(p + L + 7, 3);
		else
			EXPECT_NO_WRITE(p + L + 7);
		/* Touched, it is mapped, and by one entry; a refused write unmaps it. */
		if (cases[i].read) {
			EXPECT_READ(p + 5, 0);
			EXPECT_READ(p + L + 5, 0);
			EXPECT_EQ((int64_t)(2 * L), by_pmd(p, 2 * L)) {
				TH_LOG("protection %#x", cases[i].protect);
			}
		}
		/* Code is put in as data and run. */
		ASSERT_STATUS(STATUS_SUCCESS, protect(p, 2 * L, PAGE_READWRITE));
		put_code(p + L + 64, 0x1234);
		ASSERT_STATUS(STATUS_SUCCESS, protect(p, 2 * L, cases[i].protect));
		if (cases[i].exec)
			EXPECT_EXEC(p + L + 64, 0x1234);
		else
			EXPECT_NO_EXEC(p + L + 64);
		EXPECT_EQ((int64_t)(2 * L), locked());
		EXPECT_STATUS(STATUS_SUCCESS, release(p));
		EXPECT_EQ(0, locked());
	}
}

TEST(protections_change_by_large_pages_only)
{
	uint8_t *p = large(3 * L, PAGE_READWRITE);
	struct traces before, after;
	struct res r;

	ASSERT_NE(NULL, p);
	memset(p, 0x11, 3 * L);
	before = traces();
	r = do_protect(ME, (uintptr_t)p, P, PAGE_READONLY);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, r.status);
	EXPECT_EQ(PAGE_NOACCESS, r.old);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, protect(p + P, L, PAGE_READONLY));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, protect(p + L, L + 1, PAGE_READONLY));
	EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION, protect(p, L, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, protect(p, L, PAGE_WRITECOPY));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, protect(p, 4 * L, PAGE_READONLY));
	after = traces();
	EXPECT_TRUE(traces_same(&before, &after));
	/* The first and last bytes are enough to name the large page. */
	EXPECT_RES(STATUS_SUCCESS, p + L, L, do_protect(ME, (uintptr_t)p + L + 1, L - 2, PAGE_NOACCESS));
	EXPECT_NO_ACCESS(p + L);
	EXPECT_NO_ACCESS(p + 2 * L - 1);
	EXPECT_READ(p + L - 1, 0x11);
	EXPECT_WRITE(p + 2 * L, 0x12);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + L, L, PAGE_READONLY));
	EXPECT_READ(p + L + 100, 0x11);
	EXPECT_NO_WRITE(p + L + 100);
	EXPECT_NO_WRITE(p + 2 * L - 1);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + L, L, PAGE_READWRITE));
	EXPECT_READ(p + L + 100, 0x11);
	EXPECT_WRITE(p + L + 100, 0x13);
	EXPECT_EQ((int64_t)(3 * L), by_pmd(p, 3 * L));
	/* An executable one in the middle is a VMA of its own and still large. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + L, L, PAGE_EXECUTE_READ));
	EXPECT_READ(p + L + 100, 0x13);
	EXPECT_EQ((int64_t)(3 * L), by_pmd(p, 3 * L));
	EXPECT_NO_EXEC(p);
	EXPECT_EQ((int64_t)(3 * L), locked());
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, locked());
}

/* --- what cannot be done ---------------------------------------------------------- */

TEST(A21_F20_no_commit_no_decommit_no_partial_release)
{
	uint8_t *p = large(3 * L, PAGE_READWRITE);
	struct traces before, after;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	memset(p, 0x21, 3 * L);
	before = traces();
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, commit(p, 3 * L, PAGE_READONLY));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, commit(p + L, P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_MEMORY_NOT_ALLOCATED, decommit(p, 0));
	EXPECT_STATUS(STATUS_MEMORY_NOT_ALLOCATED, decommit(p + L, L));
	EXPECT_STATUS(STATUS_MEMORY_NOT_ALLOCATED, decommit(p, 3 * L));
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, p, L, do_free(ME, (uintptr_t)p, L, MEM_RELEASE));
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, p + L, L, do_free(ME, (uintptr_t)p + L, L, MEM_RELEASE));
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, p + 2 * L, L,
		   do_free(ME, (uintptr_t)p + 2 * L, L, MEM_RELEASE));
	EXPECT_RES(STATUS_FREE_VM_NOT_AT_BASE, p + L, 0, do_free(ME, (uintptr_t)p + L, 0, MEM_RELEASE));
	EXPECT_RES(STATUS_UNABLE_TO_FREE_VM, p, 4 * L, do_free(ME, (uintptr_t)p, 4 * L, MEM_RELEASE));
	after = traces();
	EXPECT_TRUE(traces_same(&before, &after));
	EXPECT_READ(p + 3 * L - 1, 0x21);
	EXPECT_EQ((int64_t)(3 * L), by_pmd(p, 3 * L));
	EXPECT_RES(STATUS_SUCCESS, p, 3 * L, do_free(ME, (uintptr_t)p, 3 * L, MEM_RELEASE));
	EXPECT_EQ(0, locked());
}

TEST(large_pages_are_always_locked)
{
	uint8_t *p = large(2 * L, PAGE_READWRITE);
	PVOID base = p + P;
	SIZE_T size = P;

	ASSERT_NE(NULL, p);
	memset(p, 0x31, 2 * L);
	EXPECT_STATUS(STATUS_WAS_LOCKED, NtLockVirtualMemory(ME, &base, &size, MAP_PROCESS));
	EXPECT_STATUS(STATUS_SUCCESS, NtUnlockVirtualMemory(ME, &base, &size, MAP_PROCESS));
	EXPECT_STATUS(STATUS_WAS_LOCKED, NtLockVirtualMemory(ME, &base, &size, MAP_PROCESS));
	EXPECT_EQ((int64_t)(2 * L), locked());
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, 2 * L, PAGE_NOACCESS));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, NtLockVirtualMemory(ME, &base, &size, MAP_PROCESS));
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, 2 * L, PAGE_READWRITE));
	/* Nothing that a program can ask for takes them apart or away. */
	madvise(p, 2 * L, MADV_PAGEOUT);
	madvise(p, 2 * L, MADV_COLD);
	madvise(p, 2 * L, MADV_DONTNEED);
	EXPECT_READ(p + L + 9, 0x31);
	EXPECT_WRITE(p + L + 9, 0x32);
	EXPECT_READ(p, 0x31);
	EXPECT_EQ(-1, munmap(p, L));
	EXPECT_EQ(-1, mprotect(p, L, PROT_READ));
	EXPECT_WRITE(p, 0x33);
	EXPECT_EQ((int64_t)(2 * L), by_pmd(p, 2 * L));
}

/* --- who may, and who pays ----------------------------------------------------------- */

static int needs_room(int sock, void *arg)
{
	struct traces before, after;
	struct res r;

	(void)sock;
	(void)arg;
	if (!unprivileged(2 * L + L - 1))
		return 1;
	before = traces();
	if (do_alloc(ME, 0, 0, 3 * L, RESERVE_LARGE, PAGE_READWRITE).status != STATUS_PRIVILEGE_NOT_HELD)
		return 2;
	/* The privilege is asked for before the state. */
	if (do_alloc(ME, 0, 0, 3 * L, RESERVE_LARGE, PAGE_WRITECOPY).status != STATUS_PRIVILEGE_NOT_HELD)
		return 3;
	after = traces();
	if (!traces_same(&before, &after))
		return 4;
	r = do_alloc(ME, 0, 0, 2 * L, RESERVE_LARGE, PAGE_READWRITE);
	if (r.status != STATUS_SUCCESS || locked() != (int64_t)(2 * L))
		return 5;
	if (do_alloc(ME, 0, 0, L, RESERVE_LARGE, PAGE_READWRITE).status != STATUS_PRIVILEGE_NOT_HELD)
		return 6;
	if (release((void *)r.base) != STATUS_SUCCESS || locked())
		return 7;
	return do_alloc(ME, 0, 0, L, RESERVE_LARGE, PAGE_READWRITE).status == STATUS_SUCCESS ? 0 : 8;
}

TEST(an_ordinary_user_needs_room_below_rlimit_memlock)
{
	struct rlimit rl = { P, P };
	struct child c;

	ASSERT_TRUE(child_start(&c, needs_room, NULL));
	EXPECT_EQ(0, child_wait(&c));
	/* CAP_IPC_LOCK does not. */
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &rl));
	EXPECT_NE(NULL, large(L, PAGE_READWRITE));
}

static int is_given_large_pages(int sock, void *arg)
{
	uint64_t word;

	(void)arg;
	if (!send_fd(sock, own_device()))
		return 1;
	while (child_hear(sock, &word) && word) {
		if (word == 1)
			child_tell(sock, locked());
		else
			child_tell(sock, by_pmd((void *)AT, 4 * L));
	}
	return 0;
}

static int gives_large_pages(int sock, void *arg)
{
	HANDLE h = arg;

	(void)sock;
	if (!unprivileged(L))
		return 1;
	if (do_alloc(h, AT, 0, 2 * L, RESERVE_LARGE, PAGE_READWRITE).status != STATUS_PRIVILEGE_NOT_HELD)
		return 2;
	return do_alloc(h, AT, 0, L, RESERVE_LARGE, PAGE_READWRITE).status == STATUS_SUCCESS ? 0 : 3;
}

static uint64_t ask(struct child *c, uint64_t what)
{
	uint64_t word = ~0ull;

	return child_tell(c->sock, what) && child_hear(c->sock, &word) ? word : ~0ull;
}

TEST(for_another_process_the_callers_limit_counts)
{
	struct child c, giver;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, is_given_large_pages, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	ASSERT_TRUE(child_start(&giver, gives_large_pages, h));
	EXPECT_EQ(0, child_wait(&giver));
	EXPECT_EQ(L, ask(&c, 1));
	EXPECT_EQ(L, ask(&c, 2));
	EXPECT_QUERY_H(h, AT, AT, PAGE_READWRITE, L, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, do_protect(h, AT, L, PAGE_READONLY).status);
	EXPECT_STATUS(STATUS_SUCCESS, do_free(h, AT, 0, MEM_RELEASE).status);
	EXPECT_EQ(0, ask(&c, 1));
	EXPECT_STATUS(STATUS_SUCCESS, do_alloc(h, AT, 0, 2 * L, RESERVE_LARGE, PAGE_EXECUTE_READ).status);
	EXPECT_EQ(2 * L, ask(&c, 1));
	EXPECT_EQ(0, locked());
	child_tell(c.sock, 0);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING,
		      do_alloc(h, AT, 0, L, RESERVE_LARGE, PAGE_READWRITE).status);
}

/* --- when there are none --------------------------------------------------------------- */

FIXTURE(denied) {
	int dummy;
};

FIXTURE_SETUP(denied)
{
	ASSERT_EQ(0, write_file(ENABLED, "deny"));
}

FIXTURE_TEARDOWN_PARENT(denied)
{
	write_file(ENABLED, "never");
}

TEST_F(denied, without_large_pages_nothing_is_allocated)
{
	struct traces before = traces(), after;

	(void)self;
	EXPECT_RES(STATUS_NO_MEMORY, 0, 4 * L, do_alloc(ME, 0, 0, 4 * L, RESERVE_LARGE, PAGE_READWRITE));
	EXPECT_RES(STATUS_NO_MEMORY, AT, L, do_alloc(ME, AT, 0, L, RESERVE_LARGE, PAGE_EXECUTE_READ));
	EXPECT_TRUE(wait_until(3, (after = traces(), traces_same(&before, &after))));
	EXPECT_FREE(AT);
	ASSERT_EQ(0, write_file(ENABLED, "never"));
	EXPECT_RES(STATUS_SUCCESS, AT, L, do_alloc(ME, AT, 0, L, RESERVE_LARGE, PAGE_READWRITE));
	/* What there is stays, whatever is set afterwards. */
	ASSERT_EQ(0, write_file(ENABLED, "deny"));
	EXPECT_WRITE(AT + 77, 1);
	EXPECT_EQ((int64_t)L, by_pmd((void *)AT, L));
}

TEST(a_process_that_has_disabled_huge_pages_gets_none_or_all)
{
	struct traces before = traces(), after;
	struct res r;

	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	r = do_alloc(ME, AT, 0, 2 * L, RESERVE_LARGE, PAGE_READWRITE);
	if (r.status == STATUS_SUCCESS) {
		EXPECT_EQ((int64_t)(2 * L), locked());
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)AT));
	} else {
		EXPECT_STATUS(STATUS_NO_MEMORY, r.status);
	}
	EXPECT_TRUE(wait_until(3, (after = traces(), traces_same(&before, &after))));
}

/* Its group has room for some of the large pages, and for small ones. */
static int runs_out(int sock, void *arg)
{
	const char *group = arg;
	char path[128], text[32];
	struct traces before, after;
	int64_t huge;
	struct res r;

	(void)sock;
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	if (write_file(path, "0"))
		return 1;
	if (!reserve_commit(G, PAGE_READWRITE))
		return 2;
	snprintf(path, sizeof(path), "%s/memory.current", group);
	snprintf(text, sizeof(text), "%lld", (long long)(read_number(path) + 7 * MIB));
	snprintf(path, sizeof(path), "%s/memory.max", group);
	if (write_file(path, text))
		return 3;
	before = traces();
	huge = read_keyed("/proc/vmstat", "thp_file_alloc");
	r = do_alloc(ME, AT, 0, 8 * L, RESERVE_LARGE, PAGE_READWRITE);
	if (r.status != STATUS_NO_MEMORY || r.base != AT || r.size != 8 * L)
		return 4;
	/* There have been some. */
	if (read_keyed("/proc/vmstat", "thp_file_alloc") <= huge)
		return 5;
	if (!wait_until(3, (after = traces(), traces_same(&before, &after))))
		return 6;
	/* And there are now. */
	if (do_alloc(ME, AT, 0, 2 * L, RESERVE_LARGE, PAGE_READWRITE).status != STATUS_SUCCESS)
		return 7;
	return 0;
}

TEST(running_short_half_way_undoes_everything)
{
	char root[] = "/tmp/large-cgroup", group[64];
	struct child c;
	int i;

	ASSERT_TRUE(!mkdir(root, 0755) || errno == EEXIST);
	ASSERT_EQ(0, mount("none", root, "cgroup2", 0, NULL));
	snprintf(group, sizeof(group), "%s/cgroup.subtree_control", root);
	EXPECT_EQ(0, write_file(group, "+memory"));
	snprintf(group, sizeof(group), "%s/large", root);
	EXPECT_TRUE(!mkdir(group, 0755) || errno == EEXIST);
	EXPECT_TRUE(child_start(&c, runs_out, group));
	EXPECT_EQ(0, child_wait(&c));
	for (i = 0; i < 100 && rmdir(group) && errno == EBUSY; i++)
		sleep_ms(20);
	umount(root);
}

/* --- the end ------------------------------------------------------------------------------ */

TEST(munmap_from_outside_gives_everything_back)
{
	struct traces before = traces(), after;
	uint8_t *p = large(3 * L, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, munmap(p, 3 * L));
	EXPECT_TRUE(wait_until(5, (after = traces(), traces_same(&before, &after))));
	/* One VMA of three. */
	p = large(3 * L, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + L, L, PAGE_EXECUTE_READ));
	ASSERT_EQ(0, munmap(p + L, L));
	EXPECT_TRUE(wait_until(5, locked() == 2 * L));
	EXPECT_WRITE(p, 1);
	EXPECT_WRITE(p + 2 * L, 1);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_STATUS(STATUS_SUCCESS, release(p + 2 * L));
	EXPECT_TRUE(wait_until(5, (after = traces(), traces_same(&before, &after))));
}

static int dies_with_large_pages(int sock, void *arg)
{
	(void)sock;
	if (!large(8 * L, PAGE_EXECUTE_READWRITE))
		return 1;
	if (arg)
		raise(SIGKILL);
	return 0;
}

TEST(exit_gives_everything_back)
{
	int64_t shmem = meminfo("Shmem");
	struct child c;

	ASSERT_TRUE(child_start(&c, dies_with_large_pages, NULL));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_TRUE(wait_until(3, near(meminfo("Shmem"), shmem, 256 * KIB)));
	ASSERT_TRUE(child_start(&c, dies_with_large_pages, (void *)1));
	EXPECT_EQ(128 + SIGKILL, child_wait(&c));
	EXPECT_TRUE(wait_until(3, near(meminfo("Shmem"), shmem, 256 * KIB)));
}

TEST(a_fork_child_does_not_have_them)
{
	uint8_t *p = large(L, PAGE_READWRITE);
	int status, signo;
	pid_t pid;

	ASSERT_NE(NULL, p);
	memset(p, 1, L);
	pid = fork();
	if (!pid)
		_exit(probe_read(p).signo == SIGSEGV && !locked() ? 0 : 1);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/* Where the kernel can be talked into it, the copy is of no use. */
	signo = madvise(p, L, MADV_DOFORK) ? SIGSEGV : SIGBUS;
	pid = fork();
	if (!pid)
		_exit(probe_read(p).signo == signo ? 0 : 1);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_READ(p, 1);
}

TEST_HARNESS_MAIN
