// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the rest of Linux can do to NT memory: parts of a region cannot be
 * unmapped, protected or moved behind NT's back; the whole of it can be taken
 * away, and then NT knows.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/resource.h>
#include <sys/stat.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGES	64
#define SIZE	(PAGES * P)

FIXTURE(outside) {
	uint8_t *p;		/* pages 0-31 committed and 0x5a, the rest reserved */
	struct snap before;
};

FIXTURE_SETUP(outside)
{
	self->p = reserve(SIZE);
	ASSERT_NE(NULL, self->p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(self->p, SIZE / 2, PAGE_READWRITE));
	memset(self->p, 0x5a, SIZE / 2);
	self->before = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + SIZE);
}

FIXTURE_TEARDOWN(outside)
{
}

/* Refused attempts leave everything as it was: states, data, and the VMA. */
static void check_untouched(struct __test_metadata *_metadata, FIXTURE_DATA(outside) *self)
{
	struct snap after = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + SIZE);
	int i;

	EXPECT_TRUE(snap_same(&self->before, &after));
	EXPECT_EQ(1, vmas_in((uintptr_t)self->p, (uintptr_t)self->p + SIZE));
	for (i = 0; i < PAGES / 2; i++)
		EXPECT_READ(self->p + i * P, 0x5a);
	EXPECT_NO_ACCESS(self->p + SIZE / 2);
	EXPECT_NO_ACCESS(self->p + SIZE - P);
}

TEST_F(outside, munmap_of_a_part_is_refused)
{
	EXPECT_EQ(-1, munmap(self->p, P));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(self->p + SIZE - P, P));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(self->p + 8 * P, 8 * P));
	EXPECT_EQ(EINVAL, errno);
	check_untouched(_metadata, self);
}

TEST_F(outside, a_mapping_over_a_part_is_refused)
{
	void *m = mmap(self->p + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	EXPECT_EQ(MAP_FAILED, m);
	m = mmap(self->p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	EXPECT_EQ(MAP_FAILED, m);
	m = mmap(self->p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	EXPECT_EQ(MAP_FAILED, m);
	EXPECT_EQ(EEXIST, errno);
	check_untouched(_metadata, self);
}

TEST_F(outside, mprotect_is_refused)
{
	static const int prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC,
	};
	size_t i, part;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		for (part = 0; part < 3; part++) {
			uint8_t *at = self->p + (part == 1 ? 4 * P : 0);
			size_t size = part == 2 ? SIZE : P;

			EXPECT_EQ(-1, mprotect(at, size, prots[i])) {
				TH_LOG("prot %d part %zu", prots[i], part);
			}
			EXPECT_TRUE(errno == EACCES || errno == EINVAL || errno == EPERM);
		}
	}
	check_untouched(_metadata, self);
	EXPECT_WRITE(self->p, 0x5a);
	EXPECT_NO_EXEC(self->p);
}

TEST_F(outside, mremap_is_refused)
{
	uint8_t *room = mmap(NULL, 4 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static const struct {
		size_t at, old, new;
		int flags;
	} t[] = {
		{ 0, SIZE, SIZE / 2, 0 },
		{ 0, SIZE, 2 * SIZE, 0 },
		{ 0, SIZE, 2 * SIZE, MREMAP_MAYMOVE },
		{ 0, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, P, P, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 8 * P, P, P, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 8 * P, P, 2 * P, MREMAP_MAYMOVE },
		{ 0, 0, SIZE, MREMAP_MAYMOVE },
		{ 0, 0, P, MREMAP_MAYMOVE | MREMAP_FIXED },
	};
	size_t i;

	ASSERT_NE(MAP_FAILED, room);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		void *m = mremap(self->p + t[i].at, t[i].old, t[i].new, t[i].flags, room);

		EXPECT_EQ(MAP_FAILED, m) {
			TH_LOG("case %zu moved to %p", i, m);
		}
	}
	check_untouched(_metadata, self);
}

TEST_F(outside, remap_file_pages_is_refused)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	EXPECT_EQ(-1, remap_file_pages(self->p + P, P, 0, ((uintptr_t)self->p >> 12) + 5, 0));
	EXPECT_EQ(-1, remap_file_pages(self->p + P, P, 0, 0, 0));
#pragma GCC diagnostic pop
	check_untouched(_metadata, self);
}

TEST_F(outside, madvise_loses_nothing)
{
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
		MADV_DONTDUMP, MADV_DODUMP, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE,
		MADV_UNMERGEABLE, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE, MADV_DONTFORK,
		MADV_WIPEONFORK, MADV_KEEPONFORK,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		int n;

		/* The whole and a part: whether or not it is accepted. */
		madvise(self->p, SIZE, advices[i]);
		madvise(self->p + 4 * P, 2 * P, advices[i]);
		for (n = 0; n < PAGES / 2; n++) {
			struct probe r = probe_read(self->p + n * P);

			EXPECT_TRUE(!r.signo && r.value == 0x5a) {
				TH_LOG("advice %d page %d: signal %d value %#x", advices[i], n,
				       r.signo, r.value);
			}
		}
		EXPECT_NO_ACCESS(self->p + SIZE / 2);
	}
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, P));
	EXPECT_NO_ACCESS(self->p);
	EXPECT_STATUS(STATUS_SUCCESS, release(self->p));
	EXPECT_FREE(self->p);
	EXPECT_EQ(0, vmas_in((uintptr_t)self->p, (uintptr_t)self->p + SIZE));
}

TEST_F(outside, madvise_remove_at_most_clears)
{
	uint8_t want = madvise(self->p + P, P, MADV_REMOVE) ? 0x5a : 0;

	EXPECT_READ(self->p + P, want);
	EXPECT_READ(self->p, 0x5a);
	EXPECT_READ(self->p + 2 * P, 0x5a);
	EXPECT_EQ(PAGE_READWRITE, page_protect(self->p + P));
	EXPECT_EQ(SIZE / 2, info_of(ME).CommittedBytes);
	EXPECT_EQ(-1, madvise(self->p + SIZE / 2, P, MADV_POPULATE_READ));
}

TEST_F(outside, populate_and_mlock_cannot_reach_what_is_not_committed)
{
	EXPECT_EQ(0, madvise(self->p, SIZE / 2, MADV_POPULATE_READ));
	EXPECT_EQ(0, madvise(self->p, SIZE / 2, MADV_POPULATE_WRITE));
	EXPECT_NE(0, madvise(self->p, SIZE, MADV_POPULATE_READ));
	EXPECT_NE(0, madvise(self->p, SIZE, MADV_POPULATE_WRITE));
	mlock(self->p, SIZE);
	mlockall(MCL_CURRENT);
	EXPECT_NO_ACCESS(self->p + SIZE / 2);
	EXPECT_EQ(SIZE / 2, info_of(ME).CommittedBytes);
	/* What is locked can still be taken away. */
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, P));
	EXPECT_NO_ACCESS(self->p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, P, PAGE_READWRITE));
	EXPECT_READ(self->p, 0);
	EXPECT_READ(self->p + P, 0x5a);
	munlockall();
	EXPECT_STATUS(STATUS_SUCCESS, release(self->p));
	EXPECT_FREE(self->p);
}

/* --- taking away the whole of it ------------------------------------------------ */

TEST(munmap_of_the_whole_retires_the_region)
{
	int64_t charge = meminfo("Committed_AS"), shmem = meminfo("Shmem");
	uint8_t *p = reserve_commit(32 * MIB, PAGE_READWRITE);
	uint8_t *other = reserve_commit(G, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, other);
	memset(p, 1, 32 * MIB);
	memset(other, 0x5a, G);
	ASSERT_EQ(0, munmap(p, 32 * MIB));
	EXPECT_FREE(p);
	EXPECT_NO_ACCESS(p);
	EXPECT_STATUS(STATUS_MEMORY_NOT_ALLOCATED, release(p));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, commit(p, P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, protect(p, P, PAGE_READWRITE));
	EXPECT_TRUE(wait_until(2, info_of(ME).Regions == 1));
	EXPECT_EQ(G, info_of(ME).CommittedBytes);
	/* Charge and storage come back by themselves. */
	EXPECT_TRUE(wait_until(2, near(meminfo("Committed_AS"), charge, MIB)));
	EXPECT_TRUE(wait_until(2, near(meminfo("Shmem"), shmem, MIB)));
	EXPECT_READ(other, 0x5a);
	/* The address is good for another region, which starts from zero. */
	EXPECT_RES(STATUS_SUCCESS, p, MIB,
		   do_alloc(ME, (uintptr_t)p, 0, MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_READ(p, 0);
	EXPECT_READ(p + MIB - 1, 0);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

TEST(munmap_and_reserve_again_at_once)
{
	int i;

	for (i = 0; i < 200; i++) {
		ASSERT_STATUS(STATUS_SUCCESS,
			      do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
				       PAGE_READWRITE).status);
		ASSERT_EQ(0, *(volatile uint8_t *)(FIXED + i % PAGES * P));
		memset((void *)FIXED, 0x5a, SIZE);
		ASSERT_EQ(0, munmap((void *)FIXED, SIZE));
	}
	EXPECT_FREE(FIXED);
	EXPECT_TRUE(wait_until(2, info_of(ME).Regions == 0));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

/* Takes a region the kernel's way as soon as it has it, until it is told to stop. */
static void *reserve_and_munmap(void *arg)
{
	volatile bool *stop = arg;
	NTSTATUS status = STATUS_SUCCESS;
	struct res r;

	while (!*stop && !status) {
		r = do_alloc(ME, 0, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
		status = r.status;
		if (!status)
			munmap((void *)r.base, G);
	}
	return (void *)(uintptr_t)(uint32_t)status;
}

/* A hole that was a region a moment ago is chosen while the region is still known. */
TEST(munmap_while_another_thread_reserves_anywhere)
{
	volatile bool stop = false;
	int i, rounds = 2000 / slow();
	pthread_t thread;
	struct res r;
	void *status;

	ASSERT_EQ(0, pthread_create(&thread, NULL, reserve_and_munmap, (void *)&stop));
	for (i = 0; i < rounds; i++) {
		r = do_alloc(ME, 0, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
		EXPECT_STATUS(STATUS_SUCCESS, r.status);
		if (r.status)
			break;
		EXPECT_EQ(0, *(volatile uint8_t *)r.base);
		*(volatile uint8_t *)r.base = 0x5a;
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	}
	stop = true;
	ASSERT_EQ(0, pthread_join(thread, &status));
	EXPECT_STATUS(STATUS_SUCCESS, (NTSTATUS)(uintptr_t)status);
	EXPECT_TRUE(wait_until(2, info_of(ME).Regions == 0));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

TEST(a_mapping_over_the_whole_retires_the_region)
{
	int64_t charge = meminfo("Committed_AS");
	uint8_t *p = reserve_commit(16 * MIB, PAGE_READWRITE);
	struct query q;
	uint8_t *m;

	ASSERT_NE(NULL, p);
	memset(p, 1, 16 * MIB);
	m = mmap(p, 16 * MIB, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	ASSERT_EQ(p, m);
	EXPECT_READ(m, 0);
	EXPECT_WRITE(m, 7);
	q = do_query(ME, (uintptr_t)m);
	EXPECT_EQ(MEM_COMMIT, q.mbi.State);
	EXPECT_EQ(MEM_PRIVATE, q.mbi.Type);
	EXPECT_EQ(PAGE_READWRITE, q.mbi.Protect);
	EXPECT_TRUE(wait_until(2, info_of(ME).Regions == 0));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_TRUE(wait_until(2, near(meminfo("Committed_AS"), charge, MIB)));
	/* NT's calls leave the newcomer alone. */
	EXPECT_FALSE(NT_SUCCESS(release(p)));
	EXPECT_FALSE(NT_SUCCESS(decommit(p, P)));
	EXPECT_FALSE(NT_SUCCESS(commit(p, P, PAGE_READWRITE)));
	EXPECT_FALSE(NT_SUCCESS(protect(p, P, PAGE_NOACCESS)));
	EXPECT_READ(m, 7);
	EXPECT_EQ(0, munmap(m, 16 * MIB));
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, (uintptr_t)p, 0, MIB, MEM_RESERVE, PAGE_READWRITE).status);
}

TEST(munmap_of_a_region_that_has_executable_pages)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + 8 * P, 4 * P, PAGE_EXECUTE_READ));
	ASSERT_EQ(3, vmas_in((uintptr_t)p, (uintptr_t)p + SIZE));
	ASSERT_EQ(0, munmap(p, SIZE));
	EXPECT_NO_ACCESS(p);
	EXPECT_NO_ACCESS(p + 8 * P);
	EXPECT_FREE(p);
	EXPECT_FREE(p + 8 * P);
	EXPECT_TRUE(wait_until(2, info_of(ME).Regions == 0));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_RES(STATUS_SUCCESS, p, SIZE,
		   do_alloc(ME, (uintptr_t)p, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_READ(p, 0);
	EXPECT_READ(p + 8 * P, 0);
}

TEST(munmap_over_several_regions_and_mappings)
{
	uintptr_t p = FIXED;
	void *m;

	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, p, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, p + G, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	m = mmap((void *)(p + 2 * G), G, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ((void *)(p + 2 * G), m);
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, p + 3 * G, 0, G, MEM_RESERVE, PAGE_READWRITE).status);
	/* Ends inside the last region: nothing of it happens. */
	EXPECT_EQ(-1, munmap((void *)p, 3 * G + P));
	EXPECT_EQ(3, info_of(ME).Regions);
	EXPECT_QUERY(p + 3 * G, p + 3 * G, PAGE_READWRITE, G, MEM_RESERVE, 0);
	EXPECT_EQ(0, munmap((void *)p, 4 * G));
	EXPECT_FREE(p);
	EXPECT_FREE(p + 3 * G);
	EXPECT_TRUE(wait_until(2, info_of(ME).Regions == 0));
}

/* --- fork against advice ----------------------------------------------------------- */

static int dofork_child(int sock, void *arg)
{
	uint8_t *p = arg;
	int i;

	(void)sock;
	for (i = 0; i < 4; i++) {
		struct probe r = probe_read(p + i * P), w = probe_write(p + i * P, 1);

		if (r.signo != SIGSEGV && r.signo != SIGBUS)
			return 1;
		if (w.signo != SIGSEGV && w.signo != SIGBUS)
			return 2;
	}
	return 0;
}

TEST_F(outside, a_child_gets_no_data_even_with_dofork)
{
	struct child c;

	/* Accepted or not; touched before, so that page tables have it. */
	madvise(self->p, SIZE, MADV_DOFORK);
	EXPECT_WRITE(self->p, 0x5a);
	ASSERT_TRUE(child_start(&c, dofork_child, self->p));
	EXPECT_EQ(0, child_wait(&c));
	check_untouched(_metadata, self);
	madvise(self->p + P, P, MADV_DOFORK);
	ASSERT_TRUE(child_start(&c, dofork_child, self->p));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_READ(self->p, 0x5a);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, P));
	EXPECT_NO_READ(self->p);
	EXPECT_STATUS(STATUS_SUCCESS, release(self->p));
}

static int dumps(int sock, void *arg)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	uint8_t *p = reserve(LARGE);

	(void)sock;
	(void)arg;
	if (!p || commit(p + GIB, P, PAGE_READWRITE) != STATUS_SUCCESS)
		return 1;
	p[GIB] = 1;
	setrlimit(RLIMIT_CORE, &unlimited);
	signal(SIGABRT, SIG_DFL);
	abort();
	return 2;
}

TEST(a_core_dump_does_not_walk_what_is_reserved)
{
	char dir[] = "/tmp/ntvm-core-XXXXXX", saved[256] = "core\n";
	double begin = now();
	struct child c;

	/* A file, not a pipe: the kernel writes it and then it is gone. */
	mkdir("/tmp", 01777);
	ASSERT_NE(NULL, mkdtemp(dir));
	read_file("/proc/sys/kernel/core_pattern", saved, sizeof(saved));
	ASSERT_EQ(0, chdir(dir));
	ASSERT_EQ(0, write_file("/proc/sys/kernel/core_pattern", "core\n"));
	ASSERT_TRUE(child_start(&c, dumps, NULL));
	EXPECT_EQ(128 + SIGABRT, child_wait(&c));
	EXPECT_LT(now() - begin, 20.0);
	write_file("/proc/sys/kernel/core_pattern", saved);
	EXPECT_EQ(0, chdir("/"));
	EXPECT_EQ(0, system("rm -rf /tmp/ntvm-core-*"));
}

TEST_HARNESS_MAIN
