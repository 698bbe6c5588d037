// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a region costs Linux: one VMA whatever is committed in it, nothing for
 * what is only reserved, and VMAs of their own for executable pages, which go
 * away with them.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/resource.h>

/* An emulated processor does some 100,000 calls a second. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	240

static int vmas_of(const uint8_t *p, size_t size)
{
	return vmas_in((uintptr_t)p, (uintptr_t)p + size);
}

TEST(one_vma_for_half_a_million_commits)
{
	const size_t pages = CHECKERBOARD / P;
	uint8_t *p = reserve(CHECKERBOARD);
	size_t i, bad = 0, shown = 0;
	double begin = now();

	ASSERT_NE(NULL, p);
	EXPECT_EQ(1, vmas_of(p, CHECKERBOARD));
	for (i = 0; i < pages; i += 2)
		if (commit(p + i * P, P, PAGE_READWRITE) != STATUS_SUCCESS)
			bad++;
	EXPECT_EQ(0, bad);
	TH_LOG("%zu commits in %.1f s", pages / 2, now() - begin);
	EXPECT_EQ(1, vmas_of(p, CHECKERBOARD));
	EXPECT_EQ(1, info_of(ME).Regions);
	EXPECT_EQ(CHECKERBOARD / 2, info_of(ME).CommittedBytes);
	/* Every page has the right state: each run is one page long. */
	for (i = 0; i < pages; i++) {
		struct query q = do_query(ME, (uintptr_t)p + i * P);
		bool odd = i & 1;

		if (q.status != STATUS_SUCCESS || q.mbi.RegionSize != P ||
		    q.mbi.State != (odd ? MEM_RESERVE : MEM_COMMIT) ||
		    q.mbi.Protect != (odd ? 0 : PAGE_READWRITE)) {
			bad++;
			if (shown++ < 3)
				TH_LOG("page %zu: %s state %#x protect %#x size %#lx", i,
				       status_name(q.status), q.mbi.State, q.mbi.Protect,
				       (long)q.mbi.RegionSize);
		}
	}
	EXPECT_EQ(0, bad);
	/* And the right content, on a sample over the whole of it. */
	for (i = 0; i < pages; i += 2 * 53)
		*(volatile uint32_t *)(p + i * P) = i;
	for (i = 0; i < pages; i += 2 * 53)
		if (*(volatile uint32_t *)(p + i * P) != i)
			bad++;
	for (i = 1; i < pages; i += 2 * 997)
		if (probe_read(p + i * P).signo != SIGSEGV)
			bad++;
	for (i = 2; i < pages; i += 2 * 4973)
		if (i % 106 && probe_read(p + i * P).value)
			bad++;
	EXPECT_EQ(0, bad);
	EXPECT_EQ(1, vmas_of(p, CHECKERBOARD));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, vmas_of(p, CHECKERBOARD));
}

#define MAP_LIMIT	"/proc/sys/vm/max_map_count"

static int map_limit_set(int64_t limit)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)limit);
	return write_file(MAP_LIMIT, text);
}

TEST(the_same_with_mmap_and_mprotect_stops)
{
	int64_t saved = read_number(MAP_LIMIT), limit = saved;
	uint8_t *p = mmap(NULL, CHECKERBOARD, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t i, done = 0;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_LT(0, limit);
	/* A kernel that looks at all VMAs of a process whenever one changes: fewer of them. */
	if (slow() > 1) {
		limit /= slow() * slow();
		ASSERT_EQ(0, map_limit_set(limit));
	}
	for (i = 0; i < CHECKERBOARD / P; i += 2) {
		if (mprotect(p + i * P, P, PROT_READ | PROT_WRITE)) {
			EXPECT_EQ(ENOMEM, errno);
			break;
		}
		done++;
	}
	EXPECT_EQ(0, map_limit_set(saved));
	TH_LOG("mprotect gave up after %zu pages; the limit is %lld VMAs", done, (long long)limit);
	EXPECT_LT(done, CHECKERBOARD / P / 2);
	/* Two VMAs for each page, less the few the program has. */
	EXPECT_TRUE(near(done, limit / 2, 200));
}

TEST(checkerboards_of_protections_are_one_vma)
{
	static const ULONG words[] = {
		PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_READWRITE | PAGE_GUARD, 0,
	};
	const size_t pages = 5000;
	uint8_t *p = reserve(pages * P);
	size_t i, bad = 0;

	ASSERT_NE(NULL, p);
	for (i = 0; i < pages; i++)
		if (words[i % 5] && commit(p + i * P, P, words[i % 5]) != STATUS_SUCCESS)
			bad++;
	/* Touched or not makes no difference. */
	for (i = 0; i < pages; i += 5)
		p[i * P] = 1;
	for (i = 0; i < pages; i++) {
		ULONG want = words[i % 5];

		if (want ? page_protect(p + i * P) != want : page_state(p + i * P) != MEM_RESERVE)
			bad++;
	}
	EXPECT_EQ(0, bad);
	EXPECT_EQ(1, vmas_of(p, pages * P));
	for (i = 0; i < pages; i += 3)
		if (decommit(p + i * P, P) != STATUS_SUCCESS)
			bad++;
	EXPECT_EQ(0, bad);
	EXPECT_EQ(1, vmas_of(p, pages * P));
}

TEST(executable_runs_have_vmas_of_their_own_and_give_them_back)
{
	uint8_t *p = reserve_commit(64 * P, PAGE_READWRITE);
	char perms[8];
	int i;

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, 64 * P);
	EXPECT_EQ(1, vmas_of(p, 64 * P));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 10 * P, 4 * P, PAGE_EXECUTE_READ));
	EXPECT_EQ(3, vmas_of(p, 64 * P));
	vma_perms((uintptr_t)p + 10 * P, perms);
	EXPECT_EQ('x', perms[2]);
	EXPECT_EQ('-', perms[1]);
	vma_perms((uintptr_t)p, perms);
	EXPECT_EQ('-', perms[2]);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 40 * P, P, PAGE_EXECUTE_READWRITE));
	EXPECT_EQ(5, vmas_of(p, 64 * P));
	/* A run that grows is one run. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 14 * P, 2 * P, PAGE_EXECUTE_READ));
	EXPECT_EQ(5, vmas_of(p, 64 * P));
	/* Decommitted or made plain again. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 10 * P, 6 * P, PAGE_READWRITE));
	EXPECT_EQ(3, vmas_of(p, 64 * P));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 40 * P, P));
	EXPECT_EQ(1, vmas_of(p, 64 * P));
	for (i = 0; i < 64; i++) {
		if (i == 40) {
			EXPECT_NO_READ(p + i * P);
		} else {
			EXPECT_READ(p + i * P, 0x5a);
		}
	}
	/* From the very start, and gone with the region. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, 4 * P, PAGE_EXECUTE));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, vmas_of(p, 64 * P));
	/* Neighbours that are too large to be mapped anew for one page are in the end. */
	p = reserve_commit(32 * MIB, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 8 * MIB, P, PAGE_EXECUTE_READ));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 24 * MIB, P, PAGE_EXECUTE_READ));
	EXPECT_EQ(5, vmas_of(p, 32 * MIB));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 8 * MIB, P, PAGE_READWRITE));
	EXPECT_EQ(5, vmas_of(p, 32 * MIB));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 24 * MIB, P, PAGE_READWRITE));
	EXPECT_EQ(1, vmas_of(p, 32 * MIB));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

TEST(alternating_executable_pages_and_the_limit_of_vmas)
{
	int64_t saved = read_number(MAP_LIMIT);
	uint8_t *p = reserve_commit(1000 * P, PAGE_READWRITE), *q = reserve(16 * P);
	NTSTATUS status = STATUS_SUCCESS, refused;
	uint64_t committed;
	int i, bad = 0, done;

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, q);
	ASSERT_LT(0, saved);
	memset(p, 0x5a, 1000 * P);
	ASSERT_EQ(0, map_limit_set(400));
	for (i = 0; i < 1000 && status == STATUS_SUCCESS; i += 2)
		status = protect(p + i * P, P, PAGE_EXECUTE_READ);
	done = i - 2;
	committed = info_of(ME).CommittedBytes;
	refused = commit(q + 4 * P, 4 * P, PAGE_EXECUTE_READ);
	EXPECT_EQ(0, map_limit_set(saved));
	/* Out of VMAs: a clean refusal, and all is as the calls said. */
	EXPECT_STATUS(STATUS_INSUFFICIENT_RESOURCES, status);
	EXPECT_LT(100, done);
	EXPECT_STATUS(STATUS_INSUFFICIENT_RESOURCES, refused);
	EXPECT_EQ(committed, info_of(ME).CommittedBytes);
	EXPECT_EQ(MEM_RESERVE, page_state(q + 4 * P));
	for (i = 0; i < 1000; i++) {
		ULONG want = i < done && !(i & 1) ? PAGE_EXECUTE_READ : PAGE_READWRITE;

		if (page_protect(p + i * P) != want || p[i * P] != 0x5a)
			bad++;
		if (want == PAGE_READWRITE && probe_write(p + i * P, 0x5a).signo)
			bad++;
	}
	EXPECT_EQ(0, bad);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, 1000 * P, PAGE_READWRITE));
	EXPECT_EQ(1, vmas_of(p, 1000 * P));
}

static int64_t kernel_memory(void)
{
	return meminfo("SUnreclaim") + meminfo("PageTables") + meminfo("VmallocUsed") +
	       meminfo("Percpu");
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* 64 TiB, and what a 32-bit program has instead. */
TEST(sparse_64_tib_cost_nothing)
{
	int64_t deltas[11];
	int i;

	/* Have what comes with the first call behind us. */
	ASSERT_NE(NULL, reserve(G));
	for (i = 0; i < 11; i++) {
		int64_t tables = proc_status(0, "VmPTE"), memory = kernel_memory();
		double begin = now();
		struct res r = do_alloc(ME, 0, 0, LARGE, MEM_RESERVE, PAGE_READWRITE);
		double took = now() - begin;

		ASSERT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_EQ(LARGE, r.size);
		EXPECT_LT(took, 0.5 * slow());
		EXPECT_EQ(tables, proc_status(0, "VmPTE"));
		deltas[i] = kernel_memory() - memory;
		EXPECT_EQ(1, vmas_in(r.base, r.base + r.size));
		EXPECT_QUERY(r.base, r.base, PAGE_READWRITE, LARGE, MEM_RESERVE, 0);
		EXPECT_QUERY(r.base + LARGE / 64 * 63, r.base, PAGE_READWRITE, LARGE / 64, MEM_RESERVE, 0);
		/* A page here and there is as good as in a small one. */
		EXPECT_STATUS(STATUS_SUCCESS, commit((void *)(r.base + LARGE / 64 * 40), P, PAGE_READWRITE));
		EXPECT_WRITE(r.base + LARGE / 64 * 40, 1);
		EXPECT_NO_READ(r.base + LARGE / 64 * 40 + P);
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	}
	/* The rest of the kernel adds to the figure and takes from it. */
	qsort(deltas, ARRAY_SIZE(deltas), sizeof(deltas[0]), ascending);
	TH_LOG("kernel memory for %llu GiB: %lld bytes, from %lld to %lld",
	       (unsigned long long)LARGE / GIB, (long long)deltas[5], (long long)deltas[0], (long long)deltas[10]);
	/* KASAN has its own to keep; a byte for each page would still be 16 GiB. */
	EXPECT_LT(deltas[5], (int64_t)(slow() > 1 ? MIB : 16 * KIB));
}

TEST(sparse_many_large_reservations_cost_little)
{
	int64_t memory;
	uint8_t *p[32];
	int i;

	ASSERT_NE(NULL, reserve(G));
	memory = kernel_memory();
	for (i = 0; i < 32; i++) {
		p[i] = reserve(LARGE / 32);
		ASSERT_NE(NULL, p[i]);
	}
	EXPECT_LT(kernel_memory() - memory, (int64_t)(32 * 16 * KIB));
	for (i = 0; i < 32; i++)
		EXPECT_STATUS(STATUS_SUCCESS, release(p[i]));
}

TEST(sparse_commit_of_a_whole_tib_is_not_page_by_page)
{
	/* Uniform runs are one entry, not one each page. */
	const size_t size = LARGE / 64;		/* 1 TiB */
	int64_t memory = kernel_memory();
	uint8_t *p = reserve(size);
	double begin = now();
	NTSTATUS status;

	ASSERT_NE(NULL, p);
	status = commit(p, size, PAGE_READWRITE);
	EXPECT_LT(now() - begin, 5.0);
	/* The machine may say that it has not got that much to promise. */
	EXPECT_TRUE(status == STATUS_SUCCESS || status == STATUS_COMMITMENT_LIMIT);
	EXPECT_EQ(status == STATUS_SUCCESS ? size : 0, info_of(ME).CommittedBytes);
	EXPECT_EQ(status == STATUS_SUCCESS ? MEM_COMMIT : MEM_RESERVE, (int)page_state(p));
	EXPECT_LT(kernel_memory() - memory, (int64_t)(4 * MIB));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

TEST_HARNESS_MAIN
