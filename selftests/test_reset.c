// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contents that may be given up: MEM_RESET and its undo, offered memory. What
 * may be lost, when, and that what is said about it is true.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/ptrace.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

#define N	64		/* pages of most tests */

static struct res reset(const void *p, size_t size)
{
	return do_alloc(ME, (uintptr_t)p, 0, size, MEM_RESET, PAGE_NOACCESS);
}

static NTSTATUS undo(const void *p, size_t size)
{
	return do_alloc(ME, (uintptr_t)p, 0, size, MEM_RESET_UNDO, PAGE_NOACCESS).status;
}

static NTSTATUS offer(void *p, size_t size, ULONG priority)
{
	return LibntOfferVirtualMemory(ME, p, size, priority);
}

static NTSTATUS reclaim(void *p, size_t size)
{
	return LibntReclaimVirtualMemory(ME, p, size);
}

static NTSTATUS discard(void *p, size_t size)
{
	return LibntDiscardVirtualMemory(ME, p, size);
}

/* Every word of a page says which page it is, and which @round. */
static uint64_t word_of(size_t page, unsigned int round)
{
	return (uint64_t)(round + 1) << 32 | (page + 1);
}

static void fill_page(uint8_t *base, size_t page, unsigned int round)
{
	uint64_t *w = (uint64_t *)(base + page * P);
	size_t i;

	for (i = 0; i < P / sizeof(*w); i++)
		w[i] = word_of(page, round);
}

static void fill(uint8_t *base, size_t from, size_t to)
{
	for (; from < to; from++)
		fill_page(base, from, 0);
}

enum is { ZERO, OLD, TORN };

/* What words [from, end) of a page are: all zero, all as filled, or neither. */
static enum is page_is_from(const uint8_t *base, size_t page, unsigned int round, size_t from)
{
	const uint64_t *w = (const uint64_t *)(base + page * P);
	uint64_t want = w[from] ? word_of(page, round) : 0;
	size_t i;

	for (i = from; i < P / sizeof(*w); i++)
		if (((const volatile uint64_t *)w)[i] != want)
			return TORN;
	return want ? OLD : ZERO;
}

static enum is page_is(const uint8_t *base, size_t page)
{
	return page_is_from(base, page, 0, 0);
}

static size_t count(const uint8_t *base, size_t from, size_t to, enum is what)
{
	size_t n = 0;

	for (; from < to; from++)
		n += page_is(base, from) == what;
	return n;
}

/* Bytes that may be given up now, as the handle tells it. */
static int64_t disposable(void)
{
	char path[64], buf[4096], *line;
	int fd = own_device();

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (read_file(path, buf, sizeof(buf)) < 0)
		return -1;
	line = strstr(buf, "ntvm-disposable:");
	return line ? strtoll(line + strlen("ntvm-disposable:"), NULL, 10) * 1024 : -1;
}

/* All shrinkers, as under the hardest pressure. */
static void squeeze(void)
{
	int i;

	for (i = 0; i < 3; i++)
		write_file("/proc/sys/vm/drop_caches", "2");
}

/* Squeezes until all is gone that may go. */
static bool squeeze_out(void)
{
	return wait_until(30, (squeeze(), disposable() == 0));
}

static uint8_t *filled(size_t pages)
{
	uint8_t *p = reserve_commit(pages * P, PAGE_READWRITE);

	if (p)
		fill(p, 0, pages);
	return p;
}

/* --- MEM_RESET ------------------------------------------------------------------------- */

TEST(a_reset_changes_neither_state_nor_protection_nor_charge)
{
	uint8_t *p = filled(N);
	struct snap before, after;

	ASSERT_NE(NULL, p);
	before = snap_of(ME, (uintptr_t)p - G, (uintptr_t)p + N * P + G);
	EXPECT_RES(STATUS_SUCCESS, p, N * P, reset(p, N * P));
	after = snap_of(ME, (uintptr_t)p - G, (uintptr_t)p + N * P + G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_EQ((int64_t)(N * P), disposable());
	EXPECT_TRUE(squeeze_out());
	after = snap_of(ME, (uintptr_t)p - G, (uintptr_t)p + N * P + G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_QUERY(p, p, PAGE_READWRITE, N * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_EQ(N, count(p, 0, N, ZERO));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, N * P));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

TEST(any_valid_protection_will_do_and_has_no_effect)
{
	static const ULONG valid[] = {
		PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, PAGE_EXECUTE,
		PAGE_EXECUTE_READWRITE, PAGE_READWRITE | PAGE_GUARD,
	};
	uint8_t *p = filled(1);
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
		EXPECT_RES(STATUS_SUCCESS, p, P, do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESET, valid[i]));
		EXPECT_EQ(PAGE_READWRITE, page_protect(p));
		EXPECT_RES(STATUS_SUCCESS, p, P,
			   do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESET_UNDO, valid[i]));
	}
	EXPECT_EQ(OLD, page_is(p, 0));
	EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION,
		      do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESET, 0).status);
	EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION,
		      do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESET, PAGE_WRITECOPY).status);
	EXPECT_EQ(0, disposable());
}

TEST(the_resets_stand_alone)
{
	static const ULONG with[] = {
		MEM_COMMIT, MEM_RESERVE, MEM_COMMIT | MEM_RESERVE, MEM_TOP_DOWN, MEM_WRITE_WATCH,
		MEM_LARGE_PAGES, MEM_PHYSICAL,
	};
	uint8_t *p = filled(1);
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		EXPECT_STATUS(STATUS_INVALID_PARAMETER_5,
			      do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESET | with[i],
				       PAGE_READWRITE).status);
		EXPECT_STATUS(STATUS_INVALID_PARAMETER_5,
			      do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESET_UNDO | with[i],
				       PAGE_READWRITE).status);
	}
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5,
		      do_alloc(ME, (uintptr_t)p, 0, P, MEM_RESET | MEM_RESET_UNDO,
			       PAGE_READWRITE).status);
	EXPECT_EQ(0, disposable());
	EXPECT_EQ(OLD, page_is(p, 0));
}

TEST(reserved_pages_of_the_range_stay_reserved)
{
	uint8_t *p = reserve(N * P);

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + 8 * P, 8 * P, PAGE_READWRITE));
	fill(p, 8, 16);
	EXPECT_RES(STATUS_SUCCESS, p, N * P, reset(p, N * P));
	EXPECT_EQ((int64_t)(8 * P), disposable());
	EXPECT_QUERY(p, p, PAGE_READWRITE, 8 * P, MEM_RESERVE, 0);
	EXPECT_QUERY(p + 8 * P, p, PAGE_READWRITE, 8 * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY(p + 16 * P, p, PAGE_READWRITE, (N - 16) * P, MEM_RESERVE, 0);
	EXPECT_NO_ACCESS(p);
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, N * P));
	EXPECT_EQ(8, count(p, 8, 16, OLD));
	/* What is committed later was not reset. */
	EXPECT_RES(STATUS_SUCCESS, p, N * P, reset(p, N * P));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, 8 * P, PAGE_READWRITE));
	fill(p, 0, 8);
	EXPECT_TRUE(squeeze_out());
	EXPECT_EQ(8, count(p, 0, 8, OLD));
	EXPECT_EQ(8, count(p, 8, 16, ZERO));
	EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p, N * P));
}

TEST(a_range_that_is_not_in_one_region_is_refused_and_nothing_is_reset)
{
	uint8_t *p = (uint8_t *)FIXED;
	void *other = mmap(NULL, G, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/exe", O_RDONLY);
	void *file = mmap(NULL, P, PROT_READ, MAP_PRIVATE, fd, 0);

	ASSERT_NE(MAP_FAILED, other);
	ASSERT_NE(MAP_FAILED, file);
	EXPECT_RES(STATUS_SUCCESS, p, G,
		   do_alloc(ME, FIXED, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	EXPECT_RES(STATUS_SUCCESS, p + G, G,
		   do_alloc(ME, FIXED + G, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
	fill(p, 0, 32);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(p, 2 * G).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(p + G - P, 2 * P).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(p + G + 15 * P, 2 * P).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(p + 2 * G, P).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(NULL, P).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(other, P).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(file, P).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, undo(p, 2 * G));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, undo(other, P));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, reset(p, 0).status);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_2, reset((void *)KERNEL_ADDRESS, P).status);
	EXPECT_EQ(0, disposable());
	squeeze();
	EXPECT_EQ(32, count(p, 0, 32, OLD));
}

TEST(only_pages_that_lie_wholly_inside_the_request_may_be_lost)
{
	uint8_t *p = filled(N);

	ASSERT_NE(NULL, p);
	EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 4 * P, reset(p + 4 * P + 1, 3 * P));
	EXPECT_EQ((int64_t)(2 * P), disposable());
	EXPECT_RES(STATUS_SUCCESS, p + 10 * P, 2 * P, reset(p + 10 * P, P + 1));
	EXPECT_RES(STATUS_SUCCESS, p + 20 * P, P, reset(p + 20 * P + 8, 8));
	EXPECT_RES(STATUS_SUCCESS, p + 30 * P, 2 * P, reset(p + 30 * P + 8, P));
	EXPECT_RES(STATUS_SUCCESS, p + 40 * P, P, reset(p + 40 * P, P - 1));
	EXPECT_EQ((int64_t)(3 * P), disposable());
	EXPECT_TRUE(squeeze_out());
	EXPECT_EQ(3, count(p, 0, N, ZERO));
	EXPECT_EQ(2, count(p, 5, 7, ZERO));
	EXPECT_EQ(ZERO, page_is(p, 10));
	EXPECT_EQ(N - 3, count(p, 0, N, OLD));
}

TEST(without_pressure_nothing_is_lost_whatever_else_happens)
{
	uint8_t *p = filled(N), *q;
	ULONG protects[] = { PAGE_READONLY, PAGE_EXECUTE_READ, PAGE_NOACCESS, PAGE_READWRITE };
	size_t i;

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	for (i = 0; i < 4; i++)
		EXPECT_STATUS(STATUS_SUCCESS, protect(p, N * P, protects[i]));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, N * P, PAGE_READWRITE));
	for (i = 0; i < 40; i++) {
		q = filled(N);
		EXPECT_EQ(N, count(q, 0, N, OLD));
		EXPECT_STATUS(STATUS_SUCCESS, release(q));
		sleep_ms(20);
	}
	EXPECT_EQ((int64_t)(N * P), disposable());
	EXPECT_EQ(N, count(p, 0, N, OLD));
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, N * P));
	EXPECT_EQ(0, disposable());
	squeeze();
	EXPECT_EQ(N, count(p, 0, N, OLD));
}

TEST(locked_pages_are_not_given_up)
{
	uint8_t *p = filled(N);
	PVOID base = p;
	SIZE_T size = N / 2 * P;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, NtLockVirtualMemory(ME, &base, &size, MAP_PROCESS));
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_TRUE(wait_until(30, (squeeze(), disposable() == (int64_t)(N / 2 * P))));
	squeeze();
	EXPECT_EQ(N / 2, count(p, 0, N / 2, OLD));
	EXPECT_EQ(N / 2, count(p, N / 2, N, ZERO));
	/* Once they are not locked they may go. */
	EXPECT_STATUS(STATUS_SUCCESS, NtUnlockVirtualMemory(ME, &base, &size, MAP_PROCESS));
	EXPECT_TRUE(squeeze_out());
	EXPECT_EQ(N, count(p, 0, N, ZERO));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

TEST(an_undo_tells_the_truth_page_by_page)
{
	uint8_t *p = filled(N);
	size_t i;

	ASSERT_NE(NULL, p);
	/* Every other page is reset; a third of those is undone before the pressure. */
	for (i = 0; i < N; i += 2)
		EXPECT_STATUS(STATUS_SUCCESS, reset(p + i * P, P).status);
	for (i = 0; i < N; i += 6)
		EXPECT_STATUS(STATUS_SUCCESS, undo(p + i * P, P));
	EXPECT_TRUE(squeeze_out());
	for (i = 0; i < N; i++) {
		bool lost = i % 2 == 0 && i % 6 != 0;

		EXPECT_EQ(lost ? ZERO : OLD, page_is(p, i)) {
			TH_LOG("page %zu", i);
		}
		EXPECT_STATUS(lost ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS, undo(p + i * P, P));
		/* Told once. */
		EXPECT_STATUS(STATUS_SUCCESS, undo(p + i * P, P));
	}
	/* One lost page of many. */
	fill(p, 0, N);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p + 7 * P, P).status);
	EXPECT_TRUE(squeeze_out());
	EXPECT_STATUS(STATUS_SUCCESS, reset(p + 20 * P, P).status);
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, 7 * P));
	EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p, N * P));
	/* The undo is done although it failed: page 20 is safe. */
	EXPECT_EQ(0, disposable());
	squeeze();
	EXPECT_EQ(OLD, page_is(p, 20));
	EXPECT_EQ(1, count(p, 0, N, ZERO));
}

TEST(what_has_no_contents_cannot_be_lost)
{
	uint8_t *p = reserve_commit(N * P, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, N * P));	/* never reset */
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_EQ(0, disposable());
	squeeze();
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, N * P));
	/* Read, never written: pages of zeros. They may go, and nothing is lost. */
	EXPECT_EQ(N, count(p, 0, N, ZERO));
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_TRUE(squeeze_out());
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, N * P));
}

TEST(what_is_written_after_a_reset_stays)
{
	uint8_t *p = filled(N);
	size_t i;
	int fd;

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	for (i = 0; i < N; i += 4)
		((volatile uint64_t *)(p + i * P))[3] = i;	/* by the processor */
	for (i = 1; i < N; i += 4) {			/* mapped for reading first */
		EXPECT_EQ(OLD, page_is(p, i));
		((volatile uint64_t *)(p + i * P))[3] = i;
	}
	fd = open("/dev/zero", O_RDONLY);
	ASSERT_LE(0, fd);
	for (i = 2; i < N; i += 4)			/* by the kernel */
		EXPECT_EQ(64, read(fd, p + i * P + 1024, 64));
	close(fd);
	EXPECT_EQ((int64_t)(N / 4 * P), disposable());
	EXPECT_TRUE(squeeze_out());
	for (i = 0; i < N; i++) {
		const uint64_t *w = (const uint64_t *)(p + i * P);

		EXPECT_EQ(i % 4 == 3 ? 0 : word_of(i, 0), w[0]);
		EXPECT_EQ(i % 4 == 3 ? 0 : i % 4 == 2 ? word_of(i, 0) : i, w[3]);
		EXPECT_EQ(i % 4 == 3 || i % 4 == 2 ? 0 : word_of(i, 0), w[128]);
		EXPECT_STATUS(i % 4 == 3 ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS,
			      undo(p + i * P, P));
	}
	/* Lost, and written since: the old contents are lost all the same. */
	fill(p, 0, 1);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, P).status);
	EXPECT_TRUE(squeeze_out());
	((volatile uint64_t *)p)[1] = 77;
	squeeze();
	EXPECT_EQ(77, ((volatile uint64_t *)p)[1]);
	EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p, P));
	EXPECT_EQ(77, ((volatile uint64_t *)p)[1]);
	/* A new reset counts anew. */
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, P).status);
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, P));
}

/* Writes to two pages of its parent, whatever their protection. */
static int debugger(int sock, void *arg)
{
	off_t at = (off_t)(uintptr_t)arg;
	char path[32];
	int fd;

	(void)sock;
	snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
	fd = open(path, O_RDWR);
	if (fd < 0 || ptrace(PTRACE_SEIZE, getppid(), NULL, NULL))
		return 1;
	return pwrite(fd, "12345", 5, at) == 5 && pwrite(fd, "12345", 5, at + (off_t)P) == 5 ? 0 : 2;
}

TEST(a_debuggers_write_stays_too)
{
	uint8_t *p = filled(2);
	struct child c;

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, 2 * P).status);
	ASSERT_TRUE(child_start(&c, debugger, p));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_EQ(0, disposable());
	squeeze();
	EXPECT_EQ(0, memcmp(p, "12345", 5));
	EXPECT_EQ(0, memcmp(p + P, "12345", 5));
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, 2 * P));
}

TEST(decommit_and_release_forget_all_of_it)
{
	uint8_t *p = filled(N);
	size_t i;

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 16 * P));
	EXPECT_EQ((int64_t)((N - 16) * P), disposable());
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 16 * P, PAGE_READWRITE));
	fill(p, 0, 16);
	EXPECT_TRUE(squeeze_out());
	EXPECT_EQ(16, count(p, 0, N, OLD));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, N * P));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, N * P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, N * P));
	fill(p, 0, N);
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, N * P, VmOfferPriorityLow));
	EXPECT_EQ((int64_t)(N * P), disposable());
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 8 * P));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 8 * P, PAGE_READWRITE));
	for (i = 0; i < 8; i++)
		EXPECT_READ(p + i * P, 0);
	EXPECT_NO_ACCESS(p + 8 * P);
	EXPECT_EQ((int64_t)((N - 8) * P), disposable());
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, disposable());
	/* A part of a region. */
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	p = filled(N);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)p + 16 * P, 16 * P, MEM_RELEASE).status);
	EXPECT_EQ((int64_t)((N - 16) * P), disposable());
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, undo(p, N * P));
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, 16 * P));
	EXPECT_STATUS(STATUS_SUCCESS, undo(p + 32 * P, 32 * P));
	EXPECT_EQ(16, count(p, 0, 16, OLD));
	EXPECT_EQ(32, count(p, 32, 64, OLD));
	EXPECT_EQ(0, disposable());
	/* munmap behind the module's back. */
	p = filled(N);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_EQ(0, munmap(p, N * P));
	EXPECT_TRUE(wait_until(5, disposable() == 0));
}

TEST(a_range_of_mixed_size_and_the_last_page_of_a_region)
{
	/* Leaves of the table are 512 pages: before, at and behind their borders. */
	static const size_t sizes[] = { 1, 2, 511, 512, 513, 1023, 1024, 1025, 1537 };
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i], lost;
		uint8_t *p = filled(n);

		ASSERT_NE(NULL, p);
		EXPECT_STATUS(STATUS_SUCCESS, reset(p, n * P).status);
		EXPECT_EQ((int64_t)(n * P), disposable());
		EXPECT_STATUS(STATUS_SUCCESS, undo(p, n * P));
		EXPECT_EQ(0, disposable());
		EXPECT_EQ(n, count(p, 0, n, OLD));
		EXPECT_STATUS(STATUS_SUCCESS, reset(p + (n - 1) * P, P).status);
		EXPECT_TRUE(squeeze_out());
		lost = count(p, 0, n, ZERO);
		EXPECT_EQ(1, lost);
		EXPECT_EQ(ZERO, page_is(p, n - 1));
		EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p + (n - 1) * P, P));
		fill(p, n - 1, n);
		EXPECT_STATUS(STATUS_SUCCESS, reset(p, n * P).status);
		EXPECT_TRUE(squeeze_out());
		EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p, n * P));
		EXPECT_EQ(n, count(p, 0, n, ZERO));
		EXPECT_STATUS(STATUS_SUCCESS, release(p));
	}
}

TEST(a_large_region_with_little_in_it)
{
	uint8_t *p = reserve(SPARSE);
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 64; i++) {
		ASSERT_STATUS(STATUS_SUCCESS, commit(p + i * (SPARSE / 64), 2 * P, PAGE_READWRITE));
		p[i * (SPARSE / 64) + P] = 9;
	}
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, SPARSE).status);
	EXPECT_EQ((int64_t)(64 * P), disposable());
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, SPARSE));
	EXPECT_EQ(0, disposable());
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, SPARSE).status);
	EXPECT_TRUE(squeeze_out());
	EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p, SPARSE));
	for (i = 0; i < 64; i++)
		EXPECT_READ(p + i * (SPARSE / 64) + P, 0);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

/* --- real pressure --------------------------------------------------------------------------- */

/*
 * Takes as much memory as it is told, and holds it until it is told 0; the
 * first one that the OOM killer would think of.
 */
static int hog(int sock, void *arg)
{
	/* More than a guest has, and no more than a 32-bit program can map. */
	const size_t most = LARGE < (4ull << 30) ? LARGE : 4 * GIB;
	size_t at = 0, end;
	uint64_t more;
	char *p;

	(void)arg;
	write_file("/proc/self/oom_score_adj", "1000");
	p = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	if (p == MAP_FAILED)
		return 1;
	while (child_hear(sock, &more) && more) {
		for (end = at + more; at < end && at < most; at += P)
			p[at] = 1;
		child_tell(sock, at);
	}
	return 0;
}

/* False: it was killed. */
static bool hog_take(struct child *c, size_t bytes)
{
	uint64_t word;

	return child_tell(c->sock, bytes & ~(P - 1)) && child_hear(c->sock, &word);
}

static int hog_end(struct child *c)
{
	child_tell(c->sock, 0);
	return child_wait(c);
}

TEST(a_hog_gets_the_memory_and_nobody_is_killed)
{
	const size_t pages = 64 * MIB / P;
	int64_t charge, shmem, available;
	struct child c;
	size_t lost;
	uint8_t *p;

	p = filled(pages);
	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, pages * P).status);
	EXPECT_EQ((int64_t)(pages * P), disposable());
	sleep_ms(100);
	charge = meminfo("Committed_AS");
	shmem = meminfo("Shmem");
	available = meminfo("MemAvailable");
	ASSERT_TRUE(child_start(&c, hog, NULL));
	/* More than there is without the reset memory. */
	EXPECT_TRUE(hog_take(&c, (size_t)available + pages * P / 2)) {
		TH_LOG("the hog is dead");
	}
	lost = pages - (size_t)disposable() / P;
	TH_LOG("%lld MiB were available, the hog has %lu more: %zu of %zu pages given up",
	       (long long)available / (long long)MIB, pages * P / 2 / MIB, lost, pages);
	EXPECT_LT(0, lost);
	/* Really freed: out of the kernel's books too. */
	EXPECT_TRUE(near(shmem - meminfo("Shmem"), (int64_t)(lost * P), 4 * MIB)) {
		TH_LOG("Shmem %lld -> %lld", (long long)shmem, (long long)meminfo("Shmem"));
	}
	EXPECT_EQ(0, hog_end(&c));
	/* The charge is for the commit, not for the contents. */
	EXPECT_TRUE(wait_until(5, near(charge, meminfo("Committed_AS"), 2 * MIB))) {
		TH_LOG("Committed_AS %lld -> %lld", (long long)charge,
		       (long long)meminfo("Committed_AS"));
	}
	/* Reclaim may go on for a while; the undo is what ends it for these pages. */
	lost = pages - (size_t)disposable() / P;
	EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p, pages * P));
	EXPECT_LE(lost, count(p, 0, pages, ZERO));
	EXPECT_EQ(pages, count(p, 0, pages, ZERO) + count(p, 0, pages, OLD));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, pages * P));
	EXPECT_TRUE(wait_until(5, near(charge - (int64_t)(pages * P), meminfo("Committed_AS"),
				       2 * MIB)));
}

/*
 * The faults that need memory hold a lock of the very region that has memory to
 * give.
 */
TEST(one_region_full_of_reset_pages_feeds_its_own_other_half)
{
	const size_t half = 64 * MIB / P;
	uint8_t *p = reserve_commit(2 * half * P, PAGE_READWRITE);
	struct child c;
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < half; i++)
		*(volatile uint64_t *)(p + i * P) = i + 1;
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, half * P).status);
	/* Should nothing be given up, it is the hog that dies: see below. */
	ASSERT_TRUE(child_start(&c, hog, NULL));
	ASSERT_TRUE(hog_take(&c, (size_t)meminfo("MemAvailable") - 24 * MIB));
	for (i = half; i < 2 * half; i++)
		*(volatile uint64_t *)(p + i * P) = i + 1;
	for (i = half; i < 2 * half; i++)
		ASSERT_EQ(i + 1, *(volatile uint64_t *)(p + i * P));
	TH_LOG("%lu of %zu pages given up", half - (size_t)disposable() / P, half);
	EXPECT_GT((int64_t)(half * P), disposable());
	EXPECT_STATUS(STATUS_UNSUCCESSFUL, undo(p, 2 * half * P));
	EXPECT_EQ(0, hog_end(&c));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

/* --- offer, reclaim, discard ------------------------------------------------------------------- */

TEST(offered_memory_cannot_be_accessed_until_it_is_reclaimed)
{
	uint8_t *p = filled(N);
	struct snap before, after;
	int fd = open("/dev/zero", O_RDONLY);

	ASSERT_NE(NULL, p);
	before = snap_of(ME, (uintptr_t)p - G, (uintptr_t)p + N * P + G);
	EXPECT_STATUS(STATUS_SUCCESS, offer(p + 8 * P, 8 * P, VmOfferPriorityNormal));
	/* Its state is what it was. */
	after = snap_of(ME, (uintptr_t)p - G, (uintptr_t)p + N * P + G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_QUERY(p, p, PAGE_READWRITE, N * P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_EQ((int64_t)(8 * P), disposable());
	EXPECT_NO_ACCESS(p + 8 * P);
	EXPECT_NO_ACCESS(p + 16 * P - 1);
	EXPECT_EQ(-1, read(fd, p + 9 * P, 1));
	EXPECT_EQ(EFAULT, errno);
	close(fd);
	EXPECT_EQ(OLD, page_is(p, 7));
	EXPECT_EQ(OLD, page_is(p, 16));
	EXPECT_STATUS(STATUS_SUCCESS, reclaim(p + 8 * P, 8 * P));
	EXPECT_EQ(N, count(p, 0, N, OLD));
	EXPECT_WRITE(p + 8 * P, 0x11);
	EXPECT_EQ(0, disposable());
	squeeze();
	EXPECT_EQ(N - 1, count(p, 0, N, OLD));
}

TEST(a_reclaim_tells_the_truth)
{
	uint8_t *p = filled(N);
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < N; i += 2)
		EXPECT_STATUS(STATUS_SUCCESS, offer(p + i * P, P, 1 + i % 4));
	for (i = 0; i < N; i += 6)
		EXPECT_STATUS(STATUS_SUCCESS, reclaim(p + i * P, P));
	EXPECT_TRUE(squeeze_out());
	for (i = 0; i < N; i++) {
		bool lost = i % 2 == 0 && i % 6 != 0;

		if (lost)
			EXPECT_NO_READ(p + i * P);
		EXPECT_STATUS(lost ? STATUS_DEVICE_BUSY : STATUS_SUCCESS, reclaim(p + i * P, P));
		EXPECT_EQ(lost ? ZERO : OLD, page_is(p, i));
		EXPECT_STATUS(STATUS_SUCCESS, reclaim(p + i * P, P));
	}
	/* What was never touched cannot be lost. */
	p = reserve_commit(N * P, PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, N * P, VmOfferPriorityVeryLow));
	EXPECT_EQ(0, disposable());
	squeeze();
	EXPECT_NO_ACCESS(p);
	EXPECT_STATUS(STATUS_SUCCESS, reclaim(p, N * P));
	EXPECT_EQ(N, count(p, 0, N, ZERO));
}

/* Takes back the pages of each level, at @p, and counts how many of them were given up. */
static void count_given_up(struct __test_metadata *_metadata, uint8_t *p[5], size_t each,
			   size_t given[5])
{
	int i;

	for (i = 0; i < 5; i++) {
		NTSTATUS is = i ? reclaim(p[i], each * P) : undo(p[i], each * P);

		given[i] = count(p[i], 0, each, ZERO);
		EXPECT_EQ(given[i] == 0, is == STATUS_SUCCESS);
		EXPECT_EQ(each - given[i], count(p[i], 0, each, OLD));
	}
}

TEST(lower_priorities_are_given_up_first)
{
	/* A kernel that needs more for itself takes more at a time. */
	const size_t each = 8 * slow() * MIB / P;
	const int order[5] = { 3, 1, 4, 0, 2 };
	size_t given[5], all = 5 * each;
	int i, round, steps;
	uint8_t *p[5];
	struct child c;
	bool alive;

	/*
	 * How much the kernel takes at a time is its own choice: now and then it is everything,
	 * which says nothing of the order. Then once more, from further away.
	 */
	for (round = 0; round < 8 && all == 5 * each; round++) {
		for (i = 0; i < 5; i++) {
			p[i] = filled(each);
			ASSERT_NE(NULL, p[i]);
		}
		for (i = 0; i < 5; i++) {
			if (!order[i])
				EXPECT_STATUS(STATUS_SUCCESS, reset(p[0], each * P).status);
			else
				EXPECT_STATUS(STATUS_SUCCESS,
					      offer(p[order[i]], each * P, order[i]));
		}
		/* A little at a time, until about half of it is gone. */
		ASSERT_TRUE(child_start(&c, hog, NULL));
		alive = hog_take(&c, (size_t)meminfo("MemAvailable") - (32 + 16 * round) * MIB);
		for (steps = 0; alive && disposable() > (int64_t)(5 * each * P / 2) &&
				steps < 1000; steps++)
			alive = hog_take(&c, MIB / 4);
		alive = hog_end(&c) == 0 && alive;
		TH_LOG("%d steps, %lld KiB of %zu left", steps, (long long)disposable() / 1024,
		       5 * each * 4);
		count_given_up(_metadata, p, each, given);
		for (i = 0, all = 0; i < 5; i++) {
			TH_LOG("level %d: %zu of %zu given up", i, given[i], each);
			/* Once a level is not all gone, those above are untouched. */
			if (all < i * each)
				EXPECT_EQ(0, given[i]);
			all += given[i];
			EXPECT_STATUS(STATUS_SUCCESS, release(p[i]));
		}
		EXPECT_LT(0, all);
		/* Nobody is killed before everything is given up. */
		EXPECT_TRUE(alive || all == 5 * each);
	}
	EXPECT_GT(5 * each, all);
}

TEST(an_offer_again_changes_the_priority_and_forgets_no_loss)
{
	uint8_t *p = filled(N);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, N * P, 1));
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, N * P, 4));
	EXPECT_EQ((int64_t)(N * P), disposable());
	EXPECT_STATUS(STATUS_SUCCESS, reclaim(p, N * P));
	EXPECT_EQ(0, disposable());
	EXPECT_EQ(N, count(p, 0, N, OLD));
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, N * P, 2));
	EXPECT_TRUE(squeeze_out());
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, N * P, 3));
	EXPECT_STATUS(STATUS_DEVICE_BUSY, reclaim(p, N * P));
	EXPECT_EQ(N, count(p, 0, N, ZERO));
}

TEST(other_calls_on_offered_pages)
{
	uint8_t *p = filled(N);

	ASSERT_NE(NULL, p);
	/* A reset or an undo has offered pages to let be. */
	EXPECT_STATUS(STATUS_SUCCESS, offer(p + 4 * P, P, 3));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, reset(p, N * P).status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, undo(p, N * P));
	EXPECT_EQ((int64_t)P, disposable());
	/* Commit and protect take effect with the reclaim. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, N * P, PAGE_READONLY));
	EXPECT_EQ(PAGE_READONLY, page_protect(p + 4 * P));
	EXPECT_NO_ACCESS(p + 4 * P);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, N * P, PAGE_EXECUTE_READWRITE));
	EXPECT_NO_ACCESS(p + 4 * P);
	EXPECT_NO_EXEC(p + 4 * P);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, N * P, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, reclaim(p + 4 * P, P));
	EXPECT_EQ(N, count(p, 0, N, OLD));
	EXPECT_NO_WRITE(p + 4 * P);
	/* A guard is not tripped while the page is offered. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, P, 3));
	EXPECT_NO_ACCESS(p);
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, page_protect(p));
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(NULL));
	EXPECT_STATUS(STATUS_SUCCESS, reclaim(p, P));
	EXPECT_NO_READ(p);
	EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(NULL));
	EXPECT_EQ(OLD, page_is(p, 0));
	/* An offer ends a reset. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, N * P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_STATUS(STATUS_SUCCESS, offer(p, N * P, 1));
	EXPECT_EQ((int64_t)(N * P), disposable());
	EXPECT_STATUS(STATUS_SUCCESS, reclaim(p, N * P));
	EXPECT_EQ(0, disposable());
	EXPECT_EQ(N, count(p, 0, N, OLD));
}

TEST(discard_drops_at_once)
{
	uint8_t *p = filled(N);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, discard(p + 8 * P, 8 * P));
	EXPECT_EQ(8, count(p, 8, 16, ZERO));
	EXPECT_EQ(N - 8, count(p, 0, N, OLD));
	EXPECT_QUERY(p, p, PAGE_READWRITE, N * P, MEM_COMMIT, PAGE_READWRITE);
	fill(p, 8, 16);
	EXPECT_EQ(N, count(p, 0, N, OLD));
	/* It ends a reset: there is nothing to be told about. */
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, N * P).status);
	EXPECT_STATUS(STATUS_SUCCESS, discard(p, N * P));
	EXPECT_EQ(0, disposable());
	EXPECT_STATUS(STATUS_SUCCESS, undo(p, N * P));
	EXPECT_EQ(N, count(p, 0, N, ZERO));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_EXECUTE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, discard(p, P));
}

TEST(bad_input_of_the_three_changes_nothing)
{
	static const ULONG not_writable[] = {
		PAGE_NOACCESS, PAGE_READONLY, PAGE_EXECUTE, PAGE_EXECUTE_READ,
		PAGE_READWRITE | PAGE_GUARD,
	};
	uint8_t *p = (uint8_t *)FIXED;
	struct ntvm_offer raw_offer = { .size = sizeof(raw_offer), .handle = NTVM_CURRENT_PROCESS };
	NTSTATUS (*const calls[])(void *, size_t) = { reclaim, discard };
	struct snap before, after;
	size_t i;
	int fd = own_device();

	EXPECT_RES(STATUS_SUCCESS, p, N * P,
		   do_alloc(ME, FIXED, 0, N * P, MEM_RESERVE, PAGE_READWRITE));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, 32 * P, PAGE_READWRITE));
	fill(p, 0, 32);
	before = snap_of(ME, FIXED - G, FIXED + N * P + G);

	for (i = 0; i < 2; i++) {
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, calls[i](p + 1, P));
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, calls[i](p, P - 1));
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, calls[i](p, P + 1));
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, calls[i](p, 0));
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, calls[i]((void *)KERNEL_ADDRESS, P));
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, calls[i](p, (size_t)-1 & ~(P - 1)));
		EXPECT_STATUS(STATUS_INVALID_PARAMETER,
			      calls[i]((void *)(((uintptr_t)-1) & ~(P - 1)), P));
		EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, calls[i](NULL, P));
		EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, calls[i](p - G, P));
		EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, calls[i](p, N * P + P));
		EXPECT_STATUS(STATUS_NOT_COMMITTED, calls[i](p, 33 * P));
		EXPECT_STATUS(STATUS_NOT_COMMITTED, calls[i](p + 40 * P, P));
	}
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, offer(p + 8, P, 1));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, offer(p, P + 8, 1));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, offer(p, 0, 1));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, offer(p, P, 0));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, offer(p, P, 5));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, offer(p, P, ~0u));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, offer((void *)KERNEL_ADDRESS, P, 1));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, offer(p, N * P + P, 1));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, offer(p + N * P, P, 1));
	EXPECT_STATUS(STATUS_NOT_COMMITTED, offer(p, N * P, 1));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, LibntOfferVirtualMemory(NULL, p, P, 1));
	/* Arguments first, then the handle, then the state. */
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, LibntOfferVirtualMemory(NULL, p, P, 0));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, LibntOfferVirtualMemory(NULL, p, N * P, 1));

	raw_offer.base = FIXED;
	raw_offer.len = P;
	raw_offer.op = 3;
	EXPECT_EQ(0, raw(fd, NTVM_IOC_OFFER, &raw_offer));
	EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER, raw_offer.status);
	raw_offer.op = NTVM_OFFER_RECLAIM;
	raw_offer.priority = 1;
	EXPECT_EQ(0, raw(fd, NTVM_IOC_OFFER, &raw_offer));
	EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER, raw_offer.status);

	after = snap_of(ME, FIXED - G, FIXED + N * P + G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_EQ(0, disposable());
	EXPECT_EQ(32, count(p, 0, 32, OLD));

	/* Discard wants pages that can be written to, all of them. */
	for (i = 0; i < sizeof(not_writable) / sizeof(not_writable[0]); i++) {
		EXPECT_STATUS(STATUS_SUCCESS, protect(p + 3 * P, P, not_writable[i]));
		EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION, discard(p, 8 * P));
	}
	EXPECT_STATUS(STATUS_SUCCESS, protect(p + 3 * P, P, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, offer(p + 3 * P, P, 1));
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, discard(p, 8 * P));
	EXPECT_STATUS(STATUS_SUCCESS, reclaim(p, 8 * P));
	EXPECT_EQ(32, count(p, 0, 32, OLD));
}

/* --- another process --------------------------------------------------------------------------- */

static int owner(int sock, void *arg)
{
	uint8_t *p = filled(N);
	uint64_t word;

	(void)arg;
	if (!p || !send_fd(sock, own_device()) || !child_tell(sock, (uintptr_t)p))
		return 1;
	child_hear(sock, &word);
	if (count(p, 0, N, OLD) != word)
		return 2;
	return count(p, 0, N, ZERO) == N - word ? 0 : 3;
}

TEST(a_handle_to_another_process_will_do)
{
	struct child c;
	uint64_t word;
	uint8_t *p;
	HANDLE h, weak;
	int fd;

	ASSERT_TRUE(child_start(&c, owner, NULL));
	fd = recv_fd(c.sock);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(child_hear(c.sock, &word));
	p = (uint8_t *)(uintptr_t)word;
	h = LibntFdToHandle(fd);
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(h, (uintptr_t)p, 0, 8 * P, MEM_RESET, PAGE_NOACCESS).status);
	EXPECT_STATUS(STATUS_SUCCESS, LibntOfferVirtualMemory(h, p + 8 * P, 8 * P, 2));
	EXPECT_STATUS(STATUS_SUCCESS, LibntDiscardVirtualMemory(h, p + 16 * P, 4 * P));
	squeeze();
	squeeze();
	EXPECT_STATUS(STATUS_UNSUCCESSFUL,
		      do_alloc(h, (uintptr_t)p, 0, 8 * P, MEM_RESET_UNDO, PAGE_NOACCESS).status);
	EXPECT_STATUS(STATUS_DEVICE_BUSY, LibntReclaimVirtualMemory(h, p + 8 * P, 8 * P));
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(h, PROCESS_VM_READ, &weak));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, LibntOfferVirtualMemory(weak, p, P, 2));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, LibntDiscardVirtualMemory(weak, p, P));
	child_tell(c.sock, N - 20);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, LibntOfferVirtualMemory(h, p, P, 2));
}

/* --- races --------------------------------------------------------------------------------------- */

struct race {
	uint8_t *base;
	size_t from, to;
	volatile bool *stop;
	unsigned long rounds, kept, lost, torn, lies, late;
};

static void *squeezer(void *arg)
{
	volatile bool *stop = arg;
	unsigned long n = 0;

	for (; !*stop; n++) {
		write_file("/proc/sys/vm/drop_caches", "2");
		if (n % 4 == 0)
			sleep_ms(1);
	}
	return (void *)n;
}

/* A moment, some of them long enough for a squeeze. */
static void linger(unsigned int n)
{
	volatile unsigned int i;

	for (i = 0; i < n * 500; i++)
		;
}

/* Reads all over the place: maps pages that others reset, drop and write. */
static void *reader(void *arg)
{
	struct race *r = arg;
	size_t i = 0;

	while (!*r->stop) {
		i = (i * 5 + 3) % (r->to - r->from);
		probe_read(r->base + (r->from + i) * P);
		if (++r->rounds % 32 == 0)
			sleep_ms(1);
	}
	return NULL;
}

/* Read while it is disposable: the old word, and zero from some moment on. */
static bool page_turns_once(const uint64_t *w, uint64_t old)
{
	bool turned = false;
	uint64_t word;
	size_t i;

	for (i = 0; i < P / sizeof(*w); i++) {
		word = ((const volatile uint64_t *)w)[i];
		turned |= !word;
		if (word != (turned ? 0 : old))
			return false;
	}
	return true;
}

/*
 * Owns its pages: fills one, makes it disposable, perhaps writes a word after
 * that, and asks for it back. Whatever the answer, it must be true.
 */
static void *worker(void *arg)
{
	struct race *r = arg;
	unsigned int round = 0;
	size_t page;

	for (; !*r->stop; round++) {
		for (page = r->from; page < r->to && !*r->stop; page++) {
			uint64_t *w = (uint64_t *)(r->base + page * P);
			unsigned int how = (page + round) % 4;
			NTSTATUS status;
			enum is is;

			fill_page(r->base, page, round);
			status = how == 3 ? offer(w, P, 1 + round % 4) : reset(w, P).status;
			if (status != STATUS_SUCCESS)
				r->lies++;
			linger((round * 7 + page) % 16);
			if (how == 1)
				((volatile uint64_t *)w)[0] = ~word_of(page, round);
			if (how == 2 && !page_turns_once(w, word_of(page, round)))
				r->torn++;
			linger((round * 3 + page) % 8);
			if (how == 1 && ((volatile uint64_t *)w)[0] != ~word_of(page, round))
				r->late++;
			status = how == 3 ? reclaim(w, P) : undo(w, P);
			if (how == 1 && ((volatile uint64_t *)w)[0] != ~word_of(page, round))
				r->late++;
			is = page_is_from(r->base, page, round, 1);
			if (is == TORN)
				r->torn++;
			if ((status == STATUS_SUCCESS) != (is == OLD))
				r->lies++;
			if (status == STATUS_SUCCESS)
				r->kept++;
			else
				r->lost++;
			r->rounds++;
		}
	}
	return NULL;
}

TEST(a_race_of_writers_resets_undos_and_pressure_has_no_third_outcome)
{
	static uint8_t *base;
	volatile bool stop = false;
	struct race r[3];
	pthread_t t[4];
	void *drops;
	int i;

	base = reserve_commit(N * P, PAGE_READWRITE);
	ASSERT_NE(NULL, base);
	for (i = 0; i < 3; i++)
		r[i] = (struct race){ .base = base, .from = i % 2 * N / 2,
				      .to = (i % 2 + 1) * N / 2, .stop = &stop };
	r[2].from = 0;
	r[2].to = N;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, worker, &r[i]));
	ASSERT_EQ(0, pthread_create(&t[2], NULL, reader, &r[2]));
	ASSERT_EQ(0, pthread_create(&t[3], NULL, squeezer, (void *)&stop));
	sleep_ms(5000);
	stop = true;
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	pthread_join(t[3], &drops);
	for (i = 0; i < 2; i++) {
		TH_LOG("%lu rounds, %lu kept, %lu lost, %lu torn, %lu lies, %lu late writes lost",
		       r[i].rounds, r[i].kept, r[i].lost, r[i].torn, r[i].lies, r[i].late);
		EXPECT_LT(0, r[i].kept);
		EXPECT_LT(0, r[i].lost);
		EXPECT_EQ(0, r[i].torn);
		EXPECT_EQ(0, r[i].lies);
		EXPECT_EQ(0, r[i].late);
	}
	TH_LOG("%lu squeezes, %lu reads", (unsigned long)drops, r[2].rounds);
	EXPECT_EQ(0, disposable());
}

/* Everything that changes a region, at random, under pressure. */
static void *changer(void *arg)
{
	struct race *r = arg;
	unsigned int seed = (unsigned int)(r->from + 1) * 2654435761u;

	while (!*r->stop) {
		uint8_t *p = r->base + rand_r(&seed) % N * P;
		size_t size = (rand_r(&seed) % 8 + 1) * P;

		if (p + size > r->base + N * P)
			continue;
		switch (rand_r(&seed) % 9) {
		case 0:
			reset(p, size);
			break;
		case 1:
			undo(p, size);
			break;
		case 2:
			offer(p, size, rand_r(&seed) % 4 + 1);
			break;
		case 3:
			reclaim(p, size);
			break;
		case 4:
			discard(p, size);
			break;
		case 5:
			decommit(p, size);
			break;
		case 6:
			commit(p, size, PAGE_READWRITE);
			break;
		case 7:
			protect(p, size, rand_r(&seed) & 1 ? PAGE_READONLY : PAGE_READWRITE);
			break;
		default:
			probe_write(p, 1);
			break;
		}
		r->rounds++;
	}
	return NULL;
}

TEST(everything_at_once_leaves_the_counts_right)
{
	uint8_t *base = reserve_commit(N * P, PAGE_READWRITE);
	volatile bool stop = false;
	struct race r[3];
	pthread_t t[4];
	int i;

	ASSERT_NE(NULL, base);
	for (i = 0; i < 3; i++) {
		r[i] = (struct race){ .base = base, .from = i, .to = N, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&t[i], NULL, changer, &r[i]));
	}
	ASSERT_EQ(0, pthread_create(&t[3], NULL, squeezer, (void *)&stop));
	sleep_ms(3000);
	stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	TH_LOG("%lu changes", r[0].rounds + r[1].rounds + r[2].rounds);
	EXPECT_LE(disposable(), (int64_t)(N * P));
	EXPECT_LE(0, disposable());
	EXPECT_TRUE(squeeze_out());
	for (i = 0; i < N; i++) {
		commit(base + i * P, P, PAGE_READWRITE);
		reclaim(base + i * P, P);
		undo(base + i * P, P);
	}
	EXPECT_EQ(0, disposable());
	fill(base, 0, N);
	EXPECT_STATUS(STATUS_SUCCESS, reset(base, N * P).status);
	EXPECT_EQ((int64_t)(N * P), disposable());
	EXPECT_STATUS(STATUS_SUCCESS, release(base));
	EXPECT_EQ(0, disposable());
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

/* Ends in the middle of it all. */
static int victim(int sock, void *arg)
{
	uint8_t *p = filled(1024), *q = filled(1024);

	reset(p, 1024 * P);
	offer(q, 1024 * P, 2);
	(void)arg;
	child_tell(sock, 1);
	for (;;)
		pause();
	return 0;
}

TEST(a_process_dies_while_it_gives_up)
{
	volatile bool stop = false;
	pthread_t t;
	struct child c;
	uint64_t word;
	int i;

	ASSERT_EQ(0, pthread_create(&t, NULL, squeezer, (void *)&stop));
	for (i = 0; i < 20; i++) {
		ASSERT_TRUE(child_start(&c, victim, NULL));
		EXPECT_TRUE(child_hear(c.sock, &word));
		kill(c.pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, child_wait(&c));
	}
	stop = true;
	pthread_join(t, NULL);
}

TEST_HARNESS_MAIN
