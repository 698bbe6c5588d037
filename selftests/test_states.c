// SPDX-License-Identifier: GPL-2.0-only
/*
 * The three states of a page (S20 to S28) and the two names of the service
 * (S29): what each state allows, what it costs, and what is left of a page's
 * content when it leaves the committed state.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/uio.h>

/* Thousands of rounds, also on a kernel that checks every access. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	240

#define SIZE	(16 * P)
#define BIG	(24 * MIB)
/* The guest is quiet, but it is not alone. */
#define NOISE	((int64_t)(512 * KIB))

TEST(S20_every_page_of_the_address_space_is_in_one_of_three_states)
{
	uintptr_t end = info_of(ME).MaximumAddress, at = 0;
	uint8_t *p = reserve(SIZE);
	int runs = 0, mine = 0;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + P, P, PAGE_READONLY));
	while (at < end) {
		struct query q = do_query(ME, at);

		ASSERT_STATUS(STATUS_SUCCESS, q.status);
		ASSERT_TRUE(q.mbi.State == MEM_FREE || q.mbi.State == MEM_RESERVE ||
			    q.mbi.State == MEM_COMMIT);
		/* The runs tile: no gap, no overlap, no end in sight too early. */
		ASSERT_EQ(at, (uintptr_t)q.mbi.BaseAddress);
		ASSERT_NE(0, q.mbi.RegionSize);
		ASSERT_EQ(0, q.mbi.RegionSize % P);
		if (at >= (uintptr_t)p && at < (uintptr_t)p + SIZE)
			mine++;
		at += q.mbi.RegionSize;
		runs++;
		ASSERT_LT(runs, 10000);
	}
	EXPECT_EQ(3, mine);
	EXPECT_LT(10, runs);
}

TEST(S21_a_free_page_is_not_accessible)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	memset(p, 1, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_FREE(p);
	EXPECT_NO_READ(p);
	EXPECT_NO_WRITE(p);
	EXPECT_NO_EXEC(p);
	EXPECT_NO_READ(p + SIZE - 1);
	/* An address that never held anything. */
	EXPECT_FREE(FIXED);
	EXPECT_NO_READ(FIXED);
	EXPECT_NO_WRITE(FIXED);
	/* Nor through the kernel. */
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, protect(p, P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, commit(p, P, PAGE_READWRITE));
}

TEST(S22_a_reserved_page_is_not_accessible)
{
	uint8_t *p = reserve(SIZE);
	int fds[2];

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, pipe(fds));
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
	EXPECT_NO_READ(p);
	EXPECT_NO_WRITE(p);
	EXPECT_NO_EXEC(p);
	EXPECT_NO_READ(p + SIZE - 1);
	/* Nor does the kernel reach it for a system call. */
	EXPECT_EQ(-1, write(fds[1], p, 1));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(1, write(fds[1], "x", 1));
	EXPECT_EQ(-1, read(fds[0], p, 1));
	EXPECT_EQ(EFAULT, errno);
}

TEST(S22_a_reserved_range_is_closed_to_other_allocations)
{
	uint8_t *p = reserve(SIZE);
	void *m;
	int i;

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
		      do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESERVE, PAGE_READWRITE).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
		      do_alloc(ME, (uintptr_t)p + SIZE - P, 0, P, MEM_RESERVE | MEM_COMMIT,
			       PAGE_READWRITE).status);
	m = mmap(p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	EXPECT_EQ(MAP_FAILED, m);
	EXPECT_EQ(EEXIST, errno);
	/* Wherever the system puts other memory, it is not here. */
	for (i = 0; i < 64; i++) {
		uint8_t *q = reserve(P);
		uint8_t *l = mmap(NULL, G, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_NE(NULL, q);
		ASSERT_NE(MAP_FAILED, l);
		EXPECT_FALSE(q + P > p && q < p + SIZE);
		EXPECT_FALSE(l + G > p && l < p + SIZE);
	}
}

TEST(S22_a_reserved_range_has_no_storage)
{
	int64_t shmem = meminfo("Shmem"), charge = meminfo("Committed_AS");
	uint8_t *p = reserve(GIB);
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < GIB; i += 16 * MIB)
		EXPECT_NO_ACCESS(p + i);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_TRUE(near(meminfo("Shmem"), shmem, NOISE));
	EXPECT_TRUE(near(meminfo("Committed_AS"), charge, NOISE));
}

TEST(S22_a_reserved_page_can_be_committed_and_released)
{
	uint8_t *p = reserve(SIZE);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 2 * P, P, PAGE_READWRITE));
	EXPECT_QUERY(p + 2 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_WRITE(p + 2 * P, 7);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_FREE(p);
}

TEST(S23_commit_allocates_storage)
{
	int64_t charge = meminfo("Committed_AS");
	uint8_t *p = reserve(BIG);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, BIG, PAGE_READWRITE));
	EXPECT_EQ(BIG, info_of(ME).CommittedBytes);
	EXPECT_TRUE(wait_until(2, near(meminfo("Committed_AS"), charge + BIG, NOISE)));
}

TEST(S23_a_page_comes_into_memory_at_the_first_access_and_reads_zero)
{
	int64_t shmem = meminfo("Shmem");
	uint8_t *p = reserve_commit(BIG, PAGE_READWRITE);
	size_t i;
	int bad = 0;

	ASSERT_NE(NULL, p);
	EXPECT_TRUE(near(meminfo("Shmem"), shmem, NOISE));
	for (i = 0; i < BIG / 2; i += P)
		if (p[i] || p[i + P - 1])
			bad++;
	EXPECT_EQ(0, bad);
	EXPECT_TRUE(near(meminfo("Shmem"), shmem + BIG / 2, NOISE));
	for (; i < BIG; i += P)
		p[i] = 1;
	EXPECT_TRUE(near(meminfo("Shmem"), shmem + BIG, NOISE));
	for (i = BIG / 2; i < BIG; i += P)
		if (p[i] != 1 || p[i + 1])
			bad++;
	EXPECT_EQ(0, bad);
}

TEST(S23_access_is_governed_by_the_protection)
{
	uint8_t *p = reserve(SIZE);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + P, P, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 2 * P, P, PAGE_NOACCESS));
	EXPECT_READ(p, 0);
	EXPECT_WRITE(p, 1);
	EXPECT_NO_EXEC(p);
	EXPECT_READ(p + P, 0);
	EXPECT_NO_WRITE(p + P);
	EXPECT_NO_EXEC(p + P);
	EXPECT_NO_READ(p + 2 * P);
	EXPECT_NO_WRITE(p + 2 * P);
	EXPECT_NO_EXEC(p + 2 * P);
}

static int s24_exits(int sock, void *arg)
{
	uint8_t *p = reserve_commit(BIG, PAGE_READWRITE);
	uint64_t word;

	(void)arg;
	if (!p)
		return 1;
	memset(p, 1, BIG);
	child_tell(sock, 1);
	child_hear(sock, &word);
	return 0;
}

TEST(S24_the_end_of_a_process_releases_its_storage)
{
	int64_t shmem = meminfo("Shmem"), charge = meminfo("Committed_AS");
	struct child c;
	uint64_t word;
	int killed;

	for (killed = 0; killed < 2; killed++) {
		ASSERT_TRUE(child_start(&c, s24_exits, NULL));
		ASSERT_TRUE(child_hear(c.sock, &word));
		EXPECT_LE(shmem + (int64_t)BIG - NOISE, meminfo("Shmem"));
		EXPECT_LE(charge + (int64_t)BIG - NOISE, meminfo("Committed_AS"));
		if (killed)
			kill(c.pid, SIGKILL);
		else
			child_tell(c.sock, 1);
		EXPECT_EQ(killed ? 128 + SIGKILL : 0, child_wait(&c));
		EXPECT_TRUE(wait_until(3, near(meminfo("Shmem"), shmem, NOISE)));
		EXPECT_TRUE(wait_until(3, near(meminfo("Committed_AS"), charge, NOISE)));
	}
}

TEST(S25_decommit_releases_the_storage)
{
	int64_t shmem = meminfo("Shmem"), charge = meminfo("Committed_AS");
	uint8_t *p = reserve_commit(BIG, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	memset(p, 1, BIG);
	EXPECT_LE(shmem + (int64_t)BIG - NOISE, meminfo("Shmem"));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, BIG / 2));
	EXPECT_TRUE(wait_until(2, near(meminfo("Shmem"), shmem + BIG / 2, NOISE)));
	EXPECT_TRUE(wait_until(2, near(meminfo("Committed_AS"), charge + BIG / 2, NOISE)));
	EXPECT_EQ(BIG / 2, info_of(ME).CommittedBytes);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + BIG / 2, BIG / 2));
	EXPECT_TRUE(wait_until(2, near(meminfo("Shmem"), shmem, NOISE)));
	EXPECT_TRUE(wait_until(2, near(meminfo("Committed_AS"), charge, NOISE)));
}

TEST(S26_a_decommitted_page_is_reserved_and_can_be_committed_or_released)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	memset(p, 1, SIZE);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, SIZE));
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES,
		      do_alloc(ME, (uintptr_t)p, 0, SIZE, MEM_RESERVE, PAGE_READWRITE).status);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 3 * P, P, PAGE_READONLY));
	EXPECT_QUERY(p + 3 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READONLY);
	EXPECT_READ(p + 3 * P, 0);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 3 * P, P));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_FREE(p);
}

TEST(S27_a_released_range_is_available_again)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	void *m;

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE,
		   do_alloc(ME, (uintptr_t)p, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	/* To the rest of the process too. */
	m = mmap(p, SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	EXPECT_EQ((void *)p, m);
	EXPECT_EQ(0, munmap(m, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, (uintptr_t)p, 0, SIZE, MEM_RESERVE, PAGE_NOACCESS).status);
}

TEST(S28_content_is_gone_after_decommit)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < SIZE; i++)
		p[i] = 0x40 | (i / P);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 4 * P, 8 * P));
	for (i = 4; i < 12; i++)
		EXPECT_NO_ACCESS(p + i * P);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 4 * P, 8 * P, PAGE_READWRITE));
	for (i = 0; i < SIZE; i += 509) {
		size_t page = i / P;

		EXPECT_READ(p + i, page >= 4 && page < 12 ? 0 : (0x40 | page));
	}
}

TEST(S28_content_is_gone_after_release)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	size_t i;

	ASSERT_NE(NULL, p);
	memset(p, 0x5a, SIZE);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_NO_ACCESS(p);
	ASSERT_STATUS(STATUS_SUCCESS,
		      do_alloc(ME, (uintptr_t)p, 0, SIZE, MEM_RESERVE, PAGE_READWRITE).status);
	EXPECT_NO_ACCESS(p);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_READWRITE));
	for (i = 0; i < SIZE; i += 251)
		EXPECT_READ(p + i, 0);
}

TEST(S28_decommitted_content_cannot_be_had_by_other_ways)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint8_t buf[16];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote;

	ASSERT_NE(NULL, p);
	ASSERT_LE(0, mem);
	memset(p, 0x5a, SIZE);
	/* The two ways work while it is committed. */
	ASSERT_EQ(16, pread(mem, buf, 16, (off_t)(uintptr_t)p + P));
	EXPECT_EQ(0x5a, buf[0]);
	remote = (struct iovec){ p + P, 16 };
	ASSERT_EQ(16, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + P, P));
	memset(buf, 0, sizeof(buf));
	EXPECT_GE(0, pread(mem, buf, 16, (off_t)(uintptr_t)p + P));
	EXPECT_EQ(-1, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(0, buf[0]);
	EXPECT_GE(0, pwrite(mem, "zzzz", 4, (off_t)(uintptr_t)p + P));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + P, P, PAGE_READWRITE));
	EXPECT_READ(p + P, 0);
	close(mem);
}

TEST(S28_many_rounds_of_content_and_decommit)
{
	uint8_t *p = reserve(SIZE);
	int i, bad = 0;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 3000; i++) {
		uint8_t *q = p + (i % 16) * P;

		if (commit(q, P, PAGE_READWRITE) != STATUS_SUCCESS)
			bad++;
		else if (q[8] || q[P - 1])
			bad++;
		q[8] = 0x80 | (i & 0x7f);
		q[P - 1] = 1;
		if (decommit(q, P) != STATUS_SUCCESS)
			bad++;
		if (!(i % 16) && probe_read(q).signo != SIGSEGV)
			bad++;
	}
	EXPECT_EQ(0, bad);
}

/* The Zw name, if the library has it. */
extern __typeof__(NtFreeVirtualMemory) ZwFreeVirtualMemory __attribute__((weak));

TEST(S29_the_Nt_name_is_the_service_itself)
{
	NTSTATUS (NTAPI *service)(HANDLE, PVOID *, PSIZE_T, ULONG) = NtFreeVirtualMemory;
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	const struct {
		uintptr_t base;
		size_t size;
		ULONG type;
		NTSTATUS want;
		uintptr_t want_base;
		size_t want_size;
	} calls[] = {
#define AT(off)	((uintptr_t)p + (off))
		{ AT(P + 1), 1, MEM_DECOMMIT, STATUS_SUCCESS, AT(P), P },
		{ AT(P + 1), 0, MEM_RELEASE, STATUS_FREE_VM_NOT_AT_BASE, AT(P + 1), 0 },
		{ AT(0), SIZE + 1, MEM_DECOMMIT, STATUS_UNABLE_TO_FREE_VM, AT(0), SIZE + 1 },
		{ AT(0), 0, 0, STATUS_INVALID_PARAMETER_4, AT(0), 0 },
		{ AT(0), 0, MEM_RELEASE, STATUS_SUCCESS, AT(0), SIZE },
		{ AT(0), 0, MEM_RELEASE, STATUS_MEMORY_NOT_ALLOCATED, AT(0), 0 },
#undef AT
	};
	int fd = device_open(O_RDWR);
	int round;
	size_t i;

	ASSERT_NE(NULL, p);
	ASSERT_LE(0, fd);
	/* The library's name, the device underneath, the other name: one answer. */
	for (round = 0; round < (ZwFreeVirtualMemory ? 3 : 2); round++) {
		if (round)
			ASSERT_STATUS(STATUS_SUCCESS,
				      do_alloc(ME, (uintptr_t)p, 0, SIZE,
					       MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).status);
		for (i = 0; i < ARRAY_SIZE(calls); i++) {
			PVOID base = (PVOID)calls[i].base;
			SIZE_T size = calls[i].size;
			NTSTATUS got;

			if (round == 1) {
				struct ntvm_free f = {
					.size = sizeof(f), .handle = NTVM_CURRENT_PROCESS,
					.base = (uintptr_t)base, .len = size,
					.type = calls[i].type,
				};

				ASSERT_EQ(0, raw(fd, NTVM_IOC_FREE, &f));
				got = (NTSTATUS)f.status;
				base = (PVOID)(uintptr_t)f.base;
				size = f.len;
			} else if (round == 2) {
				got = ZwFreeVirtualMemory(ME, &base, &size, calls[i].type);
			} else {
				got = service(ME, &base, &size, calls[i].type);
			}
			EXPECT_STATUS(calls[i].want, got);
			EXPECT_EQ(calls[i].want_base, (uintptr_t)base);
			EXPECT_EQ(calls[i].want_size, size);
		}
	}
}

TEST_HARNESS_MAIN
