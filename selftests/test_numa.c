// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that prefers a NUMA node: it gets its pages there, whoever touches
 * them first, for as long as it lives and not longer. Needs a system with two
 * nodes and a processor on node 0.
 */
#include "ntvm_test.h"
#include <sched.h>
#include <sys/syscall.h>
#include <linux/mempolicy.h>
#include <kselftest_harness.h>

#define PAGES	32
#define SIZE	(PAGES * P)
#define REPLACE	(MEM_RESERVE | MEM_REPLACE_PLACEHOLDER)

/* The node that the page at @p is on; touches it by reading. -errno on failure. */
static int node_of(uintptr_t p)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0ul, p, MPOL_F_NODE | MPOL_F_ADDR))
		return -errno;
	return node;
}

/* The mode of the policy at @p. */
static int mode_of(uintptr_t p)
{
	int mode = -1;

	if (syscall(SYS_get_mempolicy, &mode, NULL, 0ul, p, MPOL_F_ADDR))
		return -errno;
	return mode;
}

static struct res on_node(uintptr_t base, size_t size, ULONG type, ULONG new_protect,
			  unsigned int node)
{
	MEM_EXTENDED_PARAMETER p = { 0 };

	p.Type = MemExtendedParameterNumaNode;
	p.ULong = node;
	return do_alloc_ex(ME, base, size, type, new_protect, &p, 1);
}

FIXTURE(numa) {
	struct snap before;
};

FIXTURE_SETUP(numa)
{
	char online[64];
	cpu_set_t cpus;

	if (read_file("/sys/devices/system/node/online", online, sizeof(online)) < 0 ||
	    strncmp(online, "0-", 2))
		SKIP(return, "there is one node only");
	/* Local is node 0 from now on. */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	self->before = snap_of(ME, FIXED, FIXED + 64 * G);
}

FIXTURE_TEARDOWN(numa)
{
	struct snap after = snap_of(ME, FIXED, FIXED + 64 * G);

	EXPECT_TRUE(snap_same(&self->before, &after));
}

/* Every page of the range, written to, is on the node. */
#define EXPECT_ON(node, at, size) do {						\
	uintptr_t __at, __end = (uintptr_t)(at) + (size);			\
	for (__at = (uintptr_t)(at); __at < __end; __at += P) {			\
		EXPECT_WRITE((void *)__at, 1);					\
		EXPECT_EQ(node, node_of(__at)) {				\
			TH_LOG("page %#lx", (long)__at);			\
		}								\
	}									\
} while (0)

TEST_F(numa, pages_come_from_the_node)
{
	unsigned int node;
	struct res r;

	for (node = 0; node < 2; node++) {
		r = on_node(0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, node);
		ASSERT_STATUS(STATUS_SUCCESS, r.status);
		EXPECT_EQ(MPOL_PREFERRED, mode_of(r.base));
		EXPECT_ON((int)node, r.base, SIZE);
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	}
	/* Without the wish it is where the processor is. */
	r = do_alloc_ex(ME, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL, 0);
	EXPECT_EQ(MPOL_DEFAULT, mode_of(r.base));
	EXPECT_ON(0, r.base, SIZE);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	/* NUMA_NO_PREFERRED_NODE is no wish. */
	r = on_node(0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NUMA_NO_PREFERRED_NODE);
	EXPECT_EQ(MPOL_DEFAULT, mode_of(r.base));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)r.base));
	/* A node that is not there. */
	EXPECT_RES(STATUS_INVALID_PARAMETER, 0, SIZE,
		   on_node(0, SIZE, MEM_RESERVE, PAGE_READWRITE, 2));
}

TEST_F(numa, a_reservation_keeps_the_wish_for_later)
{
	struct res r = on_node(FIXED, SIZE, MEM_RESERVE, PAGE_READWRITE, 1);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	ASSERT_STATUS(STATUS_SUCCESS, commit((void *)FIXED, 8 * P, PAGE_READWRITE));
	EXPECT_ON(1, FIXED, 8 * P);
	/* What is said of a node when there is a region already has no effect. */
	EXPECT_RES(STATUS_SUCCESS, FIXED + 8 * P, 8 * P,
		   on_node(FIXED + 8 * P, 8 * P, MEM_COMMIT, PAGE_READWRITE, 0));
	EXPECT_ON(1, FIXED + 8 * P, 8 * P);
	/* Nor has what becomes of the pages. */
	ASSERT_STATUS(STATUS_SUCCESS, decommit((void *)FIXED, 8 * P));
	ASSERT_STATUS(STATUS_SUCCESS, commit((void *)FIXED, 8 * P, PAGE_READWRITE));
	EXPECT_ON(1, FIXED, 8 * P);
	/* New VMAs for executable pages, and one again when they have gone. */
	ASSERT_STATUS(STATUS_SUCCESS,
		      commit((void *)(FIXED + 20 * P), 4 * P, PAGE_EXECUTE_READWRITE));
	EXPECT_EQ(3, vmas_in(FIXED, FIXED + SIZE));
	EXPECT_ON(1, FIXED + 20 * P, 4 * P);
	ASSERT_STATUS(STATUS_SUCCESS, commit((void *)(FIXED + 16 * P), 4 * P, PAGE_READWRITE));
	EXPECT_ON(1, FIXED + 16 * P, 4 * P);
	ASSERT_STATUS(STATUS_SUCCESS, decommit((void *)(FIXED + 20 * P), 4 * P));
	EXPECT_EQ(1, vmas_in(FIXED, FIXED + SIZE));
	ASSERT_STATUS(STATUS_SUCCESS, commit((void *)(FIXED + 20 * P), 12 * P, PAGE_READWRITE));
	EXPECT_ON(1, FIXED + 20 * P, 12 * P);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
}

TEST_F(numa, the_wish_goes_with_the_memory)
{
	static const char *const ways[] = { "release", "release in parts", "munmap" };
	size_t way;

	for (way = 0; way < 3; way++) {
		TH_LOG("%s", ways[way]);
		ASSERT_STATUS(STATUS_SUCCESS,
			      on_node(FIXED, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE,
				      1).status);
		EXPECT_ON(1, FIXED, SIZE);
		switch (way) {
		case 0:
			ASSERT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
			break;
		case 1:
			ASSERT_STATUS(STATUS_SUCCESS,
				      do_free(ME, FIXED + 16 * P, SIZE - 16 * P,
					      MEM_RELEASE).status);
			ASSERT_STATUS(STATUS_SUCCESS, decommit((void *)FIXED, 16 * P));
			ASSERT_STATUS(STATUS_SUCCESS,
				      commit((void *)FIXED, 16 * P, PAGE_READWRITE));
			/* What remains prefers the node still. */
			EXPECT_ON(1, FIXED, 16 * P);
			ASSERT_STATUS(STATUS_SUCCESS,
				      do_alloc(ME, FIXED + 16 * P, 0, 16 * P,
					       MEM_RESERVE | MEM_COMMIT,
					       PAGE_READWRITE).status);
			EXPECT_EQ(MPOL_DEFAULT, mode_of(FIXED + 16 * P));
			EXPECT_ON(0, FIXED + 16 * P, 16 * P);
			ASSERT_STATUS(STATUS_SUCCESS, release((void *)(FIXED + 16 * P)));
			ASSERT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
			break;
		default:
			ASSERT_EQ(0, munmap((void *)FIXED, SIZE));
		}
		ASSERT_STATUS(STATUS_SUCCESS,
			      do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
				       PAGE_READWRITE).status);
		EXPECT_EQ(MPOL_DEFAULT, mode_of(FIXED));
		EXPECT_EQ(MPOL_DEFAULT, mode_of(FIXED + SIZE - P));
		EXPECT_ON(0, FIXED, SIZE);
		EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	}
}

TEST_F(numa, placeholders)
{
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc_ex(ME, FIXED, SIZE, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
				  PAGE_NOACCESS, NULL, 0).status);
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_free(ME, FIXED, 16 * P,
			      MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER).status);
	/* One piece is given a node, its neighbour is not. */
	EXPECT_RES(STATUS_SUCCESS, FIXED, 16 * P,
		   on_node(FIXED, 16 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE, 1));
	EXPECT_RES(STATUS_SUCCESS, FIXED + 16 * P, 16 * P,
		   do_alloc_ex(ME, FIXED + 16 * P, 16 * P, REPLACE | MEM_COMMIT,
			       PAGE_READWRITE, NULL, 0));
	EXPECT_ON(1, FIXED, 16 * P);
	EXPECT_ON(0, FIXED + 16 * P, 16 * P);
	/* A placeholder has none, and so its next replacement has none either. */
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_free(ME, FIXED, 16 * P,
			      MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER).status);
	EXPECT_RES(STATUS_SUCCESS, FIXED, 16 * P,
		   do_alloc_ex(ME, FIXED, 16 * P, REPLACE | MEM_COMMIT, PAGE_READWRITE,
			       NULL, 0));
	EXPECT_EQ(MPOL_DEFAULT, mode_of(FIXED));
	EXPECT_ON(0, FIXED, 16 * P);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)(FIXED + 16 * P)));
}

/* A program may give NT memory a policy itself; that goes with it as well. */
TEST_F(numa, a_policy_of_the_programs_own)
{
	unsigned long mask = 1ul << 1;

	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
			       PAGE_READWRITE).status);
	ASSERT_EQ(0, syscall(SYS_mbind, FIXED, SIZE, MPOL_BIND, &mask, 64ul, 0u));
	EXPECT_ON(1, FIXED, SIZE);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
			       PAGE_READWRITE).status);
	EXPECT_EQ(MPOL_DEFAULT, mode_of(FIXED));
	EXPECT_ON(0, FIXED, SIZE);
	EXPECT_STATUS(STATUS_SUCCESS, release((void *)FIXED));
}

TEST_HARNESS_MAIN
