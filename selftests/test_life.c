// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lifetimes: what keeps the module loaded and the memory working, and that
 * nothing is left when a process is gone, however it went.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	120

#define SIZE	(64 * P)

/* The count once those who left a moment ago are gone for good. */
static int64_t quiet_refcnt(void)
{
	int64_t last = -1, is = module_refcnt();
	int i;

	for (i = 0; i < 20 && is != last; i++) {
		last = is;
		sleep_ms(300);
		is = module_refcnt();
	}
	return is;
}

/* Back to where it was, or say where it is. */
#define EXPECT_REFCNT(want) do {						\
	int64_t __w = (want);							\
	EXPECT_TRUE(wait_until(5, module_refcnt() == __w)) {			\
		TH_LOG("refcnt %lld, was %lld", (long long)module_refcnt(),	\
		       (long long)__w);						\
	}									\
} while (0)

TEST(an_open_file_holds_the_module)
{
	int64_t before = quiet_refcnt();
	int fd;

	ASSERT_LE(0, before);
	fd = device_open(O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_LT(before, module_refcnt());
	close(fd);
	EXPECT_REFCNT(before);
}

/* SIZE bytes, allocated through a file that is closed again; half of them are filled. */
static uint8_t *without_a_file(void)
{
	struct ntvm_allocate a = {
		.size = sizeof(a), .handle = NTVM_CURRENT_PROCESS, .len = SIZE,
		.type = NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT, .protect = NTVM_PAGE_READWRITE,
	};
	int fd = device_open(O_RDWR);
	uint8_t *p;

	if (fd < 0 || raw(fd, NTVM_IOC_ALLOCATE, &a) || a.status)
		return NULL;
	p = (uint8_t *)(uintptr_t)a.base;
	memset(p, 0x5a, SIZE / 2);
	close(fd);
	return p;
}

static int goes_on(int sock, void *arg)
{
	uint8_t *p = without_a_file();
	uint64_t word;
	int fd, i;

	(void)arg;
	if (!p)
		return 1;
	/* No file left: the memory is there, its states hold. */
	for (i = 0; i < 64; i++) {
		struct probe r = probe_read(p + i * P);

		if (r.signo || r.value != (i < 32 ? 0x5a : 0))
			return 2;
	}
	child_tell(sock, 1);
	child_hear(sock, &word);
	if (probe_write(p + SIZE - 1, 1).signo)
		return 3;
	/* A new file finds the old memory. */
	fd = device_open(O_RDWR);
	if (fd < 0 || page_state(p) != MEM_COMMIT || info_of(ME).Regions != 1)
		return 4;
	return 0;
}

TEST(memory_outlives_the_file_and_holds_the_module)
{
	int64_t before = quiet_refcnt();
	struct child c;
	uint64_t word;

	ASSERT_LE(0, before);
	ASSERT_TRUE(child_start(&c, goes_on, NULL));
	ASSERT_TRUE(child_hear(c.sock, &word));
	EXPECT_LT(before, module_refcnt());
	/* So it cannot be unloaded under the program. */
	EXPECT_NE(0, system("rmmod ntvm 2>/dev/null"));
	EXPECT_LE(0, module_refcnt());
	child_tell(c.sock, 1);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_REFCNT(before);
}

static int exits(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return !without_a_file();
}

/* The memory is the last that holds anything, and goes under the lock of the mm. */
TEST(nothing_is_left_of_processes_that_closed_the_file)
{
	int64_t before = quiet_refcnt();
	struct child c;
	unsigned int i;

	ASSERT_LE(0, before);
	for (i = 0; i < 100 / slow(); i++) {
		ASSERT_TRUE(child_start(&c, exits, NULL));
		ASSERT_EQ(0, child_wait(&c));
	}
	EXPECT_REFCNT(before);
}

static int leaves_a_handle(int sock, void *arg)
{
	uint8_t *p = reserve_commit(16 * MIB, PAGE_READWRITE);

	(void)arg;
	if (!p)
		return 1;
	memset(p, 1, 16 * MIB);
	return send_fd(sock, own_device()) ? 0 : 2;
}

TEST(storage_goes_with_the_process_though_a_handle_stays)
{
	int64_t shmem, charge, before;
	struct child c;
	int fd;

	/* The library's own file in this process is open from here on. */
	EXPECT_EQ(0, info_of(ME).Regions);
	shmem = meminfo("Shmem");
	charge = meminfo("Committed_AS");
	before = quiet_refcnt();
	ASSERT_TRUE(child_start(&c, leaves_a_handle, NULL));
	fd = recv_fd(c.sock);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_TRUE(wait_until(3, near(meminfo("Shmem"), shmem, MIB)));
	EXPECT_TRUE(wait_until(3, near(meminfo("Committed_AS"), charge, MIB)));
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, do_query(LibntFdToHandle(fd), FIXED).status);
	close(fd);
	EXPECT_REFCNT(before);
}

/* --- nothing is left behind --------------------------------------------------------- */

/* A bit of everything, and no tidying up. */
static int lives_untidily(int sock, void *arg)
{
	uint8_t *p[24];
	int how = (int)(long)arg;
	HANDLE weak = NULL;
	int i;

	(void)sock;
	for (i = 0; i < 24; i++) {
		p[i] = reserve((16 + i) * P);
		if (!p[i] || commit(p[i] + P, 8 * P, PAGE_READWRITE) != STATUS_SUCCESS)
			return 1;
		memset(p[i] + P, i, 4 * P);
		decommit(p[i] + 2 * P, P);
		protect(p[i] + 5 * P, P, PAGE_EXECUTE_READ);
		protect(p[i] + 7 * P, P, PAGE_READWRITE | PAGE_GUARD);
		probe_read(p[i] + 7 * P);
		protect(p[i] + 7 * P, P, PAGE_READWRITE | PAGE_GUARD);
	}
	raw_duplicate(ME, NTVM_ACCESS_QUERY, &weak);
	release(p[3]);
	munmap(p[5], (16 + 5) * P);
	LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS);
	do_free(ME, (uintptr_t)p[8] + 4 * P, 2 * P, MEM_RELEASE);
	do_free(ME, (uintptr_t)p[9], 2 * P, MEM_RELEASE);
	if (how == 1)
		kill(getpid(), SIGKILL);
	if (how == 2)
		execl("/bin/true", "true", NULL);
	return 0;
}

static bool one_life(int how)
{
	struct child c;
	int status;

	if (!child_start(&c, lives_untidily, (void *)(long)how))
		return false;
	status = child_wait(&c);
	return how == 1 ? status == 128 + SIGKILL : status == 0;
}

TEST(nothing_is_left_of_200_processes)
{
	struct books before;
	int64_t slab, room;
	int i, bad = 0;

	/* What stays for good comes with the first ones. */
	for (i = 0; i < 20; i++)
		one_life(i % 3);
	sleep_ms(1500);
	quiet_refcnt();
	before = books_now();
	slab = meminfo("SUnreclaim");
	for (i = 0; i < 200 / (int)slow(); i++)
		if (!one_life(i % 3))
			bad++;
	EXPECT_EQ(0, bad);
	EXPECT_BOOKS(10, before);
	/*
	 * One forgotten region of each would be some 500 KiB. KASAN keeps what is freed,
	 * up to a 32nd of the memory, for a while: kmemleak looks there.
	 */
	room = slow() > 1 ? 64 * MIB : 384 * KIB;
	EXPECT_TRUE(wait_until(5, meminfo("SUnreclaim") - slab < room)) {
		TH_LOG("SUnreclaim grew by %lld", (long long)(meminfo("SUnreclaim") - slab));
	}
}

TEST(nothing_is_left_of_many_regions)
{
	int64_t objects, slab;
	int round, i;

	ASSERT_NE(NULL, reserve(G));
	for (round = 0; round < 2; round++) {
		objects = slab_objects();
		slab = meminfo("SUnreclaim");
		for (i = 0; i < 5000 / (int)slow(); i++) {
			uint8_t *p = reserve(SIZE);

			ASSERT_NE(NULL, p);
			ASSERT_STATUS(STATUS_SUCCESS, commit(p + i % 60 * P, 3 * P, PAGE_READWRITE));
			if (!(i & 3))
				p[i % 60 * P] = 1;
			ASSERT_STATUS(STATUS_SUCCESS, release(p));
		}
		EXPECT_TRUE(wait_until(10, slab_objects() <= objects + 4)) {
			TH_LOG("slab objects %lld, were %lld", (long long)slab_objects(),
			       (long long)objects);
		}
		if (round)
			EXPECT_TRUE(wait_until(5, meminfo("SUnreclaim") - slab < (int64_t)(256 * KIB)));
	}
	EXPECT_EQ(1, info_of(ME).Regions);
}

TEST(a_process_killed_in_the_middle_of_calls)
{
	struct books before;
	int i;

	quiet_refcnt();
	before = books_now();

	for (i = 0; i < 30; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			for (;;) {
				uint8_t *p = reserve_commit(4 * MIB, PAGE_READWRITE);

				if (!p)
					_exit(1);
				memset(p, 1, MIB);
				protect(p, MIB, PAGE_EXECUTE_READ);
				decommit(p, MIB);
				release(p);
			}
		}
		sleep_ms(20 + 3 * i);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	}
	EXPECT_BOOKS(10, before);
}

TEST_HARNESS_MAIN
