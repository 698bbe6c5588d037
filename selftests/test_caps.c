// SPDX-License-Identifier: GPL-2.0-only
/*
 * The caps on what the books of one process may take of the kernel's memory:
 * nodes of page-state tables, and regions. What goes beyond is refused with
 * nothing changed, what needs no more goes on, and what is given back counts at
 * once.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	120

#define FULL		STATUS_INSUFFICIENT_RESOURCES
#define RW		PAGE_READWRITE
#define LEAF		(512 * P)
#define SIZE		GIB
#define NODES		"/sys/module/ntvm/parameters/max_nodes"
#define REGIONS		"/sys/module/ntvm/parameters/max_regions"
#define LEAST		64

/* The number behind a key of fdinfo. */
static int64_t figure(const char *key)
{
	char path[64], text[2048], *line;
	int fd = own_device(), got;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	got = read_file(path, text, sizeof(text));
	close(fd);
	line = got > 0 ? strstr(text, key) : NULL;
	if (!line)
		return -1;
	return strtoll(line + strlen(key) + 1, NULL, 10);
}

static int64_t nodes(void)
{
	return figure("ntvm-nodes:");
}

static bool set(const char *path, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return !write_file(path, text) && (uint64_t)read_number(path) == value;
}

FIXTURE(caps)
{
	int64_t nodes, regions;
	uint8_t *p;
};

FIXTURE_SETUP(caps)
{
	self->nodes = read_number(NODES);
	self->regions = read_number(REGIONS);
	ASSERT_LT(0, self->nodes);
	ASSERT_LT(0, self->regions);
	probe_init();
	self->p = reserve(SIZE);
	ASSERT_NE(NULL, self->p);
}

FIXTURE_TEARDOWN(caps)
{
	EXPECT_TRUE(set(NODES, self->nodes));
	EXPECT_TRUE(set(REGIONS, self->regions));
}

/* Commits a page in each leaf until there are no more nodes. Returns how many. */
static size_t fill(uint8_t *p, NTSTATUS *status)
{
	size_t i;

	for (i = 0; i < SIZE / LEAF; i++) {
		*status = commit(p + i * LEAF, P, RW);
		if (*status)
			break;
	}
	return i;
}

TEST_F(caps, defaults_are_large)
{
	EXPECT_LE(1 << 20, self->nodes);
	EXPECT_LE(1 << 18, self->regions);
}

TEST_F(caps, nodes_are_counted_as_they_come_and_go)
{
	uint8_t *p = self->p;
	int64_t one;
	int i;

	EXPECT_EQ(0, nodes());
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, RW));
	one = nodes();
	EXPECT_LT(0, one);
	/* In the same leaf; and in 100 others, whose parents they share. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 2 * P, 7 * P, RW));
	EXPECT_EQ(one, nodes());
	for (i = 1; i <= 100; i++)
		EXPECT_STATUS(STATUS_SUCCESS, commit(p + i * LEAF, P, RW));
	EXPECT_LE(one + 100, nodes());
	EXPECT_GE(one + 105, nodes());
	/* All alike: no nodes; and again. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, SIZE / 2, RW));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, SIZE / 2));
	EXPECT_EQ(0, nodes());
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, RW));
	EXPECT_EQ(1, figure("ntvm-regions:"));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, nodes());
	EXPECT_EQ(0, figure("ntvm-regions:"));
}

TEST_F(caps, more_nodes_than_allowed_change_nothing)
{
	uint8_t *p = self->p;
	uintptr_t from = (uintptr_t)p, to = from + 256 * MIB;
	NTSTATUS status = STATUS_SUCCESS;
	struct snap before, after;
	size_t got;

	ASSERT_TRUE(set(NODES, LEAST));
	got = fill(p, &status);
	EXPECT_STATUS(FULL, status);
	EXPECT_LE(got, LEAST);
	EXPECT_LT(LEAST - 8, got);
	EXPECT_GE(LEAST, nodes());
	before = snap_of(ME, from, to);
	EXPECT_STATUS(FULL, commit(p + got * LEAF, P, RW));
	EXPECT_STATUS(FULL, commit(p + got * LEAF + P, LEAF, RW));
	after = snap_of(ME, from, to);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_GE(LEAST, nodes());
	/* Leaves that are there, and whole ones. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 9 * P, P, RW));
	EXPECT_WRITE(p + 9 * P, 1);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + SIZE / 2, 128 * MIB, RW));
	EXPECT_WRITE(p + SIZE / 2, 1);
	/* One of its pages needs a leaf. */
	before = snap_of(ME, from, to + SIZE / 2);
	EXPECT_STATUS(FULL, protect(p + SIZE / 2, P, PAGE_READONLY));
	EXPECT_STATUS(FULL, decommit(p + SIZE / 2 + P, P));
	after = snap_of(ME, from, to + SIZE / 2);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_WRITE(p + SIZE / 2, 2);
	/* What is given back can be had again. */
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 8 * LEAF));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + SIZE / 2, P, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + SIZE / 2 + P, P));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, nodes());
}

TEST_F(caps, a_batch_is_refused_entry_by_entry)
{
	LIBNT_REQUEST e[2 * LEAST];
	unsigned int i, good = 0;
	ULONG done = 0;

	ASSERT_TRUE(set(NODES, LEAST));
	memset(e, 0, sizeof(e));
	for (i = 0; i < 2 * LEAST; i++) {
		e[i].Operation = LIBNT_REQUEST_COMMIT;
		e[i].BaseAddress = (uintptr_t)self->p + i * LEAF;
		e[i].RegionSize = P;
		e[i].Protect = RW;
	}
	ASSERT_STATUS(STATUS_SUCCESS, LibntVirtualMemoryBatch(ME, e, 2 * LEAST, 0, &done));
	EXPECT_EQ(2 * LEAST, done);
	for (i = 0; i < 2 * LEAST; i++) {
		bool there = page_state(self->p + i * LEAF) == MEM_COMMIT;

		EXPECT_EQ(there ? STATUS_SUCCESS : FULL, e[i].Status);
		good += there;
	}
	EXPECT_LT(LEAST - 8, good);
	EXPECT_GT(LEAST, good);
}

TEST_F(caps, partial_releases_that_need_nodes)
{
	uint8_t *p = self->p, *q;
	NTSTATUS status;
	struct snap before, after;

	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	q = reserve_commit(64 * MIB, RW);
	ASSERT_NE(NULL, q);
	ASSERT_TRUE(set(NODES, LEAST));
	fill(p, &status);
	EXPECT_STATUS(FULL, status);
	before = snap_of(ME, (uintptr_t)q, (uintptr_t)q + 64 * MIB);
	EXPECT_STATUS(FULL, do_free(ME, (uintptr_t)q + G, P, MEM_RELEASE).status);
	after = snap_of(ME, (uintptr_t)q, (uintptr_t)q + 64 * MIB);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_WRITE(q + G, 1);
	EXPECT_STATUS(STATUS_SUCCESS, release(q));
}

TEST_F(caps, a_guard_page_that_needs_nodes)
{
	uint8_t *p = self->p, *q;
	NTSTATUS status;
	struct probe r;

	q = reserve_commit(64 * MIB, RW | PAGE_GUARD);
	ASSERT_NE(NULL, q);
	ASSERT_TRUE(set(NODES, LEAST));
	fill(p, &status);
	EXPECT_STATUS(FULL, status);
	/* No endless loop of faults, and the guard stays. */
	r = probe_read(q + 5 * P);
	EXPECT_EQ(SIGBUS, r.signo);
	EXPECT_EQ(RW | PAGE_GUARD, page_protect(q + 5 * P));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 8 * LEAF));
	EXPECT_NO_READ(q + 5 * P);
	EXPECT_EQ(RW, page_protect(q + 5 * P));
	EXPECT_READ(q + 5 * P, 0);
}

TEST_F(caps, a_watched_write_that_needs_nodes)
{
	struct res w = do_alloc(ME, 0, 0, 64 * MIB, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, RW);
	uint8_t *p = self->p, *q = (uint8_t *)w.base;
	NTSTATUS status;
	struct probe r;

	ASSERT_STATUS(STATUS_SUCCESS, w.status);
	ASSERT_TRUE(set(NODES, LEAST));
	fill(p, &status);
	EXPECT_STATUS(FULL, status);
	r = probe_write(q + 5 * P, 1);
	EXPECT_EQ(SIGBUS, r.signo);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 8 * LEAF));
	EXPECT_WRITE(q + 5 * P, 1);
}

static int own_nodes(int sock, void *arg)
{
	NTSTATUS status;
	uint8_t *p = reserve(SIZE);

	(void)sock;
	(void)arg;
	return p && fill(p, &status) > LEAST - 8 && status == FULL ? 0 : 1;
}

TEST_F(caps, each_process_has_its_own)
{
	NTSTATUS status;
	struct child c;

	ASSERT_TRUE(set(NODES, LEAST));
	EXPECT_LT(LEAST - 8, fill(self->p, &status));
	EXPECT_STATUS(FULL, status);
	ASSERT_TRUE(child_start(&c, own_nodes, NULL));
	EXPECT_EQ(0, child_wait(&c));
}

TEST_F(caps, a_cap_below_what_there_is_takes_nothing_away)
{
	uint8_t *p = self->p;
	size_t i;

	for (i = 0; i < 200; i++)
		ASSERT_STATUS(STATUS_SUCCESS, commit(p + i * LEAF, P, RW));
	ASSERT_TRUE(set(NODES, LEAST));
	ASSERT_TRUE(set(REGIONS, 1));
	for (i = 0; i < 200; i++) {
		EXPECT_WRITE(p + i * LEAF, i);
		EXPECT_STATUS(STATUS_SUCCESS, commit(p + i * LEAF + 3 * P, P, RW));
	}
	EXPECT_STATUS(FULL, commit(p + 200 * LEAF, P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, nodes());
}

TEST_F(caps, more_regions_than_allowed_change_nothing)
{
	struct snap before, after;
	struct res a, hold;
	uint8_t *p[8];
	int i;

	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	ASSERT_TRUE(set(REGIONS, 8));
	for (i = 0; i < 6; i++) {
		p[i] = reserve(G);
		ASSERT_NE(NULL, p[i]);
	}
	hold = do_alloc_ex(ME, 0, 4 * G, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS,
			   NULL, 0);
	ASSERT_STATUS(STATUS_SUCCESS, hold.status);
	before = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + SIZE);
	EXPECT_EQ(8, before.regions);
	EXPECT_STATUS(FULL, do_alloc(ME, 0, 0, G, MEM_RESERVE, RW).status);
	EXPECT_STATUS(FULL, do_alloc(ME, 0, 0, G, MEM_RESERVE | MEM_COMMIT, RW).status);
	EXPECT_STATUS(FULL, do_alloc_ex(ME, 0, G, MEM_RESERVE, RW, NULL, 0).status);
	/* A piece in the middle leaves two, in one of its ends one. */
	EXPECT_STATUS(FULL, do_free(ME, (uintptr_t)self->p + G, G, MEM_RELEASE).status);
	EXPECT_STATUS(FULL, do_free(ME, hold.base, G,
				    MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER).status);
	after = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)self->p, G, MEM_RELEASE).status);
	/* A replacement is no region more. */
	a = do_alloc_ex(ME, hold.base, 4 * G,
			MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER, RW, NULL, 0);
	EXPECT_STATUS(STATUS_SUCCESS, a.status);
	EXPECT_STATUS(STATUS_SUCCESS, release(p[0]));
	EXPECT_STATUS(STATUS_SUCCESS, do_alloc(ME, 0, 0, G, MEM_RESERVE, RW).status);
	EXPECT_STATUS(FULL, do_alloc(ME, 0, 0, G, MEM_RESERVE, RW).status);
}

TEST_F(caps, what_others_unmap_is_not_refused)
{
	NTSTATUS status;
	uint8_t *q;

	/* Executable pages have a VMA of their own: their neighbours stay. */
	q = reserve_commit(64 * MIB, RW);
	ASSERT_NE(NULL, q);
	ASSERT_STATUS(STATUS_SUCCESS, protect(q + 32 * MIB + G, P, PAGE_EXECUTE_READ));
	ASSERT_TRUE(set(NODES, LEAST));
	ASSERT_TRUE(set(REGIONS, 1));
	fill(self->p, &status);
	EXPECT_STATUS(FULL, status);
	ASSERT_EQ(0, munmap(q, 32 * MIB + G));
	EXPECT_FREE(q);
	EXPECT_EQ(MEM_COMMIT, page_state(q + 32 * MIB + G));
	ASSERT_EQ(0, munmap(q + 32 * MIB + G, P));
	EXPECT_FREE(q + 32 * MIB + G);
	EXPECT_EQ(MEM_COMMIT, page_state(q + 32 * MIB + G + P));
	EXPECT_EQ(2, info_of(ME).Regions);
}

TEST_F(caps, values_that_make_no_sense)
{
	static const char * const bad[] = { "0", "-1", "x", "2147483648", "99999999999999999999" };
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EXPECT_NE(0, write_file(NODES, bad[i])) TH_LOG("nodes: %s", bad[i]);
		EXPECT_NE(0, write_file(REGIONS, bad[i])) TH_LOG("regions: %s", bad[i]);
	}
	EXPECT_NE(0, write_file(NODES, "63"));
	EXPECT_EQ(self->nodes, read_number(NODES));
	EXPECT_EQ(self->regions, read_number(REGIONS));
	EXPECT_TRUE(set(NODES, 64));
	EXPECT_TRUE(set(NODES, INT32_MAX));
	EXPECT_TRUE(set(REGIONS, 1));
	EXPECT_TRUE(set(REGIONS, INT32_MAX));
}

TEST_HARNESS_MAIN
