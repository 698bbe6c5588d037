// SPDX-License-Identifier: GPL-2.0-only
/*
 * Write watch: every write is reported, by whatever way it comes, and nothing is
 * reported that was not written. Races are in test_watch_race.c.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGES		16
#define SIZE		(PAGES * P)
#define WATCHED		(MEM_RESERVE | MEM_WRITE_WATCH)
#define POISONED	((PVOID)(uintptr_t)0xa5a5a5a5a5a5a5a5ull)
#define ROOM		4096

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static uint8_t *watched(size_t size, ULONG type, ULONG prot)
{
	return (uint8_t *)do_alloc(ME, 0, 0, size, type | WATCHED, prot).base;
}

/* What a call gave: the pages as numbers from @p on. */
struct got {
	NTSTATUS status;
	size_t nr;
	bool fenced;
	unsigned int page[ROOM];
};

static struct got got;

static struct got *get(HANDLE h, const uint8_t *p, size_t from, size_t pages, size_t room,
		       ULONG flags)
{
	static PVOID array[ROOM + 1];
	ULONG_PTR count = room;
	ULONG granularity = 0;
	uintptr_t before = 0;
	size_t i;

	memset(array, 0xa5, sizeof(array));
	got.nr = 0;
	got.status = NtGetWriteWatch(h, flags, (PVOID)(p + from * P), pages * P, array, &count,
				     &granularity);
	got.fenced = true;
	if (got.status) {
		got.fenced = count == room && !granularity;
		count = 0;
	} else if (count > room || granularity != P) {
		got.fenced = false;
		return &got;
	}
	for (i = count; i <= room; i++)
		got.fenced &= array[i] == POISONED;
	for (i = 0; i < count; i++) {
		uintptr_t at = (uintptr_t)array[i];

		/* Ascending, of the range, whole pages. */
		if (at <= before || at % P || at < (uintptr_t)p + from * P ||
		    at >= (uintptr_t)p + (from + pages) * P)
			got.fenced = false;
		before = at;
		got.page[i] = (at - (uintptr_t)p) / P;
	}
	got.nr = count;
	return &got;
}

static bool got_is(const struct got *g, size_t nr, const unsigned int *want)
{
	size_t i;

	if (g->status || !g->fenced || g->nr != nr)
		return false;
	for (i = 0; i < nr; i++)
		if (g->page[i] != want[i])
			return false;
	return true;
}

/* Exactly these pages of the fixture's region are reported. */
#define EXPECT_GOT(g, ...) do {							\
	unsigned int __w[] = { 0, ##__VA_ARGS__ };				\
	struct got *__g = (g);							\
	size_t __i;								\
	EXPECT_TRUE(got_is(__g, ARRAY_SIZE(__w) - 1, __w + 1)) {		\
		TH_LOG("%s: %s, %zu pages%s", #g, status_name(__g->status), __g->nr, \
		       __g->fenced ? "" : ", outputs overrun");			\
		for (__i = 0; __i < __g->nr && __i < 8; __i++)			\
			TH_LOG("  page %u", __g->page[__i]);			\
	}									\
} while (0)
#define ALL(flags)	get(ME, self->p, 0, PAGES, 64, flags)
#define EXPECT_DIRTY(...)	EXPECT_GOT(ALL(0), ##__VA_ARGS__)
#define RESET		WRITE_WATCH_FLAG_RESET
#define reset(p, size)	NtResetWriteWatch(ME, p, size)

FIXTURE(watch) {
	uint8_t *p;
};

FIXTURE_SETUP(watch)
{
	self->p = watched(SIZE, MEM_COMMIT, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
}

FIXTURE_TEARDOWN(watch)
{
}

static void poke(uint8_t *p, unsigned int page)
{
	((volatile uint8_t *)p)[page * P + 100]++;
}

/* --- the table of the calls ------------------------------------------------------------ */

TEST_F(watch, Y1_a_fresh_region_has_nothing)
{
	EXPECT_DIRTY();
	EXPECT_READ(self->p + 3 * P, 0);
	EXPECT_DIRTY();
}

TEST_F(watch, Y2_written_pages_are_listed_in_order)
{
	poke(self->p, 9);
	poke(self->p, 2);
	poke(self->p, 15);
	EXPECT_DIRTY(2, 9, 15);
	EXPECT_DIRTY(2, 9, 15);
}

TEST_F(watch, Y3_a_write_across_an_edge_is_two_pages)
{
	ASSERT_EQ(0, probe_store(self->p + 5 * P - 4, ~0ull));
	EXPECT_DIRTY(4, 5);
}

TEST_F(watch, Y4_a_part_lists_what_is_in_it)
{
	unsigned int i;

	for (i = 0; i < PAGES; i += 3)
		poke(self->p, i);
	EXPECT_GOT(get(ME, self->p, 3, 6, 64, 0), 3, 6);
	EXPECT_GOT(get(ME, self->p, 4, 2, 64, 0));
	EXPECT_GOT(get(ME, self->p, 15, 1, 64, 0), 15);
}

TEST_F(watch, Y5_reset_is_for_those_returned)
{
	poke(self->p, 1);
	poke(self->p, 2);
	poke(self->p, 8);
	EXPECT_GOT(get(ME, self->p, 0, PAGES, 1, RESET), 1);
	EXPECT_DIRTY(2, 8);
	EXPECT_GOT(ALL(RESET), 2, 8);
	EXPECT_DIRTY();
	poke(self->p, 2);
	EXPECT_DIRTY(2);
}

TEST_F(watch, Y6_reset_of_a_part)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		poke(self->p, i);
	EXPECT_STATUS(STATUS_SUCCESS, reset(self->p + 2 * P, 12 * P));
	EXPECT_DIRTY(0, 1, 14, 15);
	/* Any byte of a page stands for it. */
	EXPECT_STATUS(STATUS_SUCCESS, reset(self->p + P + 7, 1));
	EXPECT_STATUS(STATUS_SUCCESS, reset(self->p + 15 * P - 1, 2));
	EXPECT_DIRTY(0);
	EXPECT_GOT(ALL(RESET), 0);
}

TEST_F(watch, Y7_changes_of_protection_keep_the_record)
{
	poke(self->p, 2);
	poke(self->p, 4);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, 3 * P, PAGE_READONLY));
	EXPECT_DIRTY(2, 4);
	EXPECT_NO_WRITE(self->p);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_NOACCESS));
	EXPECT_DIRTY(2, 4);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_EXECUTE_READWRITE));
	EXPECT_DIRTY(2, 4);
	poke(self->p, 3);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READWRITE));
	EXPECT_GOT(ALL(RESET), 2, 3, 4);
	EXPECT_DIRTY();
	/* Commit over committed pages changes the protection too. */
	poke(self->p, 6);
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, SIZE, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, SIZE, PAGE_READWRITE));
	EXPECT_DIRTY(6);
	/* Writable again, and the next write is seen again. */
	EXPECT_GOT(ALL(RESET), 6);
	poke(self->p, 6);
	EXPECT_DIRTY(6);
}

TEST(Y8_reserved_and_inaccessible_regions_have_nothing)
{
	uint8_t *p = watched(SIZE, 0, PAGE_NOACCESS);

	ASSERT_NE(NULL, p);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0));
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_NOACCESS));
	EXPECT_NO_ACCESS(p);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0));
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, 6 * P, PAGE_READWRITE));
	poke(p, 5);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, 6 * P, PAGE_NOACCESS));
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0), 5);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, reset(p + 6 * P, 10 * P));
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, RESET));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

TEST_F(watch, Y9_entries_beyond_the_count_stay)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		poke(self->p, i);
	/* get() looks at all that is behind. */
	EXPECT_GOT(get(ME, self->p, 0, PAGES, 3, 0), 0, 1, 2);
	EXPECT_GOT(get(ME, self->p, 4, 2, 64, 0), 4, 5);
}

TEST_F(watch, Y10_decommit_forgets)
{
	poke(self->p, 3);
	poke(self->p, 5);
	poke(self->p, 12);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, 6 * P));
	EXPECT_DIRTY(12);
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, SIZE, PAGE_READWRITE));
	EXPECT_DIRTY(12);
	EXPECT_READ(self->p + 3 * P + 100, 0);
	EXPECT_DIRTY(12);
	poke(self->p, 3);
	EXPECT_DIRTY(3, 12);
}

TEST_F(watch, Y11_what_was_written_before_a_protect_outlives_decommit)
{
	poke(self->p, 5);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, 6 * P, PAGE_NOACCESS));
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, 6 * P, PAGE_READWRITE));
	poke(self->p, 3);
	EXPECT_DIRTY(3, 5);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_DIRTY(5);
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, SIZE, PAGE_READWRITE));
	EXPECT_DIRTY(5);
	EXPECT_READ(self->p + 5 * P + 100, 0);
	/* Reset ends that, in both ways. */
	EXPECT_GOT(ALL(RESET), 5);
	EXPECT_DIRTY();
	poke(self->p, 3);
	poke(self->p, 5);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_DIRTY();
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, SIZE, PAGE_READWRITE));
	poke(self->p, 7);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, reset(self->p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_DIRTY();
	/* A protect that fails remembers nothing. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 8 * P, PAGE_READWRITE));
	poke(self->p, 1);
	EXPECT_STATUS(STATUS_NOT_COMMITTED, protect(self->p, SIZE, PAGE_READONLY));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, protect(self->p, P, PAGE_WRITECOPY));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_DIRTY();
}

TEST_F(watch, Y12_decommitted_pages_inside_do_not_matter)
{
	poke(self->p, 0);
	poke(self->p, 15);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p + 4 * P, 3 * P));
	EXPECT_GOT(ALL(RESET), 0, 15);
	EXPECT_STATUS(STATUS_SUCCESS, reset(self->p, SIZE));
	EXPECT_DIRTY();
}

TEST(Y13_every_other_page_of_8_mib_in_one_call)
{
	uint8_t *p = watched(2048 * P, MEM_COMMIT, PAGE_READWRITE);
	unsigned int i, bad = 0;
	struct got *g;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 2048; i += 2)
		poke(p, i);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, 1024 * P, PAGE_READONLY));
	g = get(ME, p, 0, 2048, 2048, 0);
	EXPECT_EQ(1024, g->nr);
	EXPECT_TRUE(g->fenced);
	for (i = 0; i < g->nr; i++)
		bad += g->page[i] != 2 * i;
	EXPECT_EQ(0, bad);
	/* With room for some, in pieces that end anywhere. */
	for (i = 0; i < 1024; i += g->nr) {
		g = get(ME, p, 0, 2048, 777, RESET);
		ASSERT_STATUS(STATUS_SUCCESS, g->status);
		ASSERT_EQ(i ? 1024 - 777 : 777, g->nr);
		EXPECT_EQ(2 * i, g->page[0]);
		EXPECT_EQ(2 * (i + g->nr - 1), g->page[g->nr - 1]);
	}
	EXPECT_GOT(get(ME, p, 0, 2048, 1024, 0));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

/* --- writes by the kernel ----------------------------------------------------------------- */

TEST_F(watch, Y14_system_calls_that_write_are_seen)
{
	struct iovec iov[2] = {
		{ .iov_base = self->p + 2 * P - 3, .iov_len = 6 },
		{ .iov_base = self->p + 7 * P, .iov_len = 4 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct timespec ts;
	int pipefd[2], sock[2];

	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, sock));
	ASSERT_EQ(10, write(pipefd[1], "0123456789", 10));
	EXPECT_EQ(4, read(pipefd[0], self->p + 4 * P, 4));
	EXPECT_GOT(ALL(RESET), 4);
	EXPECT_EQ(6, readv(pipefd[0], iov, 2));
	EXPECT_GOT(ALL(RESET), 1, 2);
	ASSERT_EQ(10, send(sock[0], "abcdefghij", 10, 0));
	EXPECT_EQ(10, recvmsg(sock[1], &msg, 0));
	EXPECT_GOT(ALL(RESET), 1, 2, 7);
	EXPECT_EQ(0, memcmp(self->p + 7 * P, "ghij", 4));
	ASSERT_EQ(0, (int)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, self->p + 9 * P));
	memcpy(&ts, self->p + 9 * P, sizeof(ts));
	EXPECT_LT(0, ts.tv_sec + ts.tv_nsec);
	EXPECT_GOT(ALL(RESET), 9);
	/* What fails before it writes leaves no trace. */
	EXPECT_EQ(-1, read(-1, self->p, P));
	fcntl(pipefd[0], F_SETFL, O_NONBLOCK);
	EXPECT_EQ(-1, read(pipefd[0], self->p, P));
	EXPECT_DIRTY();
	/* And writing from the memory is no write to it. */
	EXPECT_EQ(100, write(pipefd[1], self->p + 10 * P, 100));
	EXPECT_DIRTY();
	/* A reader that faults the buffer in for writing touches all of it. */
	if (!madvise(self->p, SIZE, MADV_POPULATE_WRITE)) {
		EXPECT_EQ(PAGES, ALL(RESET)->nr);
		EXPECT_EQ(12, read(pipefd[0], self->p, 12));
		EXPECT_GOT(ALL(RESET), 0);
	}
}

TEST_F(watch, Y14_a_read_that_completes_later_is_seen_then)
{
	int pipefd[2], sync[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(0, pipe(sync));
	pid = fork();
	if (!pid) {
		/* After the other is asleep in read(2) and has harvested. */
		if (read(sync[0], &c, 1) != 1 || write(pipefd[1], "later", 5) != 5)
			_exit(1);
		_exit(0);
	}
	poke(self->p, 8);
	EXPECT_GOT(ALL(RESET), 8);
	EXPECT_EQ(1, write(sync[1], "x", 1));
	EXPECT_EQ(5, read(pipefd[0], self->p + 8 * P, P));
	EXPECT_DIRTY(8);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
}

static int direct_file(void)
{
	int fd;

	if (access("/dev/zram0", F_OK) && system("modprobe zram") && access("/dev/zram0", F_OK))
		return -1;
	write_file("/sys/block/zram0/disksize", "67108864");
	fd = open("/dev/zram0", O_RDONLY | O_DIRECT | O_CLOEXEC);
	return fd;
}

TEST_F(watch, Y14_direct_io_is_seen)
{
	int fd = direct_file();
	unsigned int i;

	if (fd < 0)
		SKIP(return, "no file for direct I/O: %s", strerror(errno));
	for (i = 0; i < 3; i++) {
		memset(self->p + 3 * P, 0xff, 2 * P);
		EXPECT_GOT(ALL(RESET), 3, 4);
		/* To memory that the page tables have read-only. */
		ASSERT_EQ(2 * P, pread(fd, self->p + 3 * P, 2 * P, 8 * P)) {
			TH_LOG("pread: %s", strerror(errno));
		}
		EXPECT_READ(self->p + 3 * P, 0);
		EXPECT_READ(self->p + 5 * P - 1, 0);
		EXPECT_GOT(ALL(RESET), 3, 4);
		EXPECT_DIRTY();
	}
	close(fd);
}

/* A ring of one entry; just enough of io_uring. */
struct ring {
	int fd;
	struct io_uring_params params;
	uint8_t *sq, *cq;
	struct io_uring_sqe *sqe;
};

static bool ring_open(struct ring *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = (int)syscall(__NR_io_uring_setup, 1, &r->params);
	if (r->fd < 0)
		return false;
	r->sq = mmap(NULL, r->params.sq_off.array + 4 * r->params.sq_entries,
		     PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, r->params.cq_off.cqes + sizeof(struct io_uring_cqe) *
		     r->params.cq_entries, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		     IORING_OFF_CQ_RING);
	r->sqe = mmap(NULL, sizeof(*r->sqe) * r->params.sq_entries, PROT_READ | PROT_WRITE,
		      MAP_SHARED, r->fd, IORING_OFF_SQES);
	return r->sq != MAP_FAILED && r->cq != MAP_FAILED && (void *)r->sqe != MAP_FAILED;
}

static void ring_submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned int *tail = (unsigned int *)(r->sq + r->params.sq_off.tail);

	r->sqe[0] = *sqe;
	((unsigned int *)(r->sq + r->params.sq_off.array))[*tail & (r->params.sq_entries - 1)] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	syscall(__NR_io_uring_enter, r->fd, 1, 0, 0, NULL, 0);
}

static int ring_wait(struct ring *r)
{
	unsigned int *head = (unsigned int *)(r->cq + r->params.cq_off.head);
	unsigned int *tail = (unsigned int *)(r->cq + r->params.cq_off.tail);
	struct io_uring_cqe *cqe;

	while (__atomic_load_n(tail, __ATOMIC_ACQUIRE) == *head)
		syscall(__NR_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	cqe = (struct io_uring_cqe *)(r->cq + r->params.cq_off.cqes) +
	      (*head & (r->params.cq_entries - 1));
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return cqe->res;
}

TEST_F(watch, Y14_io_uring_is_seen_when_it_completes)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_READ, .off = ~0ull };
	unsigned int i;
	struct ring r;
	int pipefd[2];

	if (!ring_open(&r))
		SKIP(return, "no io_uring: %s", strerror(errno));
	ASSERT_EQ(0, pipe(pipefd));
	sqe.fd = pipefd[0];
	sqe.addr = (uintptr_t)self->p + 6 * P;
	sqe.len = 2 * P;
	for (i = 0; i < 4; i++) {
		/* In the task, or in a worker of the kernel's. */
		sqe.flags = i & 1 ? IOSQE_ASYNC : 0;
		ring_submit(&r, &sqe);
		poke(self->p, 1);
		EXPECT_GOT(ALL(RESET), 1);
		ASSERT_EQ(3, write(pipefd[1], "abc", 3));
		EXPECT_EQ(3, ring_wait(&r));
		EXPECT_EQ(0, memcmp(self->p + 6 * P, "abc", 3));
		EXPECT_GOT(ALL(RESET), 6);
	}
	close(r.fd);
}

struct pinner {
	void *from, *to;
	ssize_t done;
};

/* Pins the destination, then waits for the source. */
static void *pin_and_write(void *arg)
{
	struct pinner *pin = arg;
	struct iovec local = { .iov_base = pin->from, .iov_len = 8 };
	struct iovec remote = { .iov_base = pin->to, .iov_len = 8 };

	pin->done = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	return NULL;
}

TEST_F(watch, a_page_pinned_for_a_write_is_reported_until_it_is_not)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct pinner pin = { .to = self->p + 2 * P };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy fill = { .len = P };
	static uint8_t data[P] __attribute__((aligned(4096)));
	struct uffd_msg msg;
	pthread_t thread;
	int fd;

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "no userfaultfd: %s", strerror(errno));
	pin.from = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)pin.from;
	reg.range.len = P;
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(fd, UFFDIO_REGISTER, &reg));
	ASSERT_EQ(0, pthread_create(&thread, NULL, pin_and_write, &pin));
	/* The kernel has pinned the page and waits for what it shall write there. */
	ASSERT_EQ((ssize_t)sizeof(msg), read(fd, &msg, sizeof(msg)));
	poke(self->p, 4);
	EXPECT_GOT(ALL(RESET), 2, 4);
	EXPECT_GOT(ALL(RESET), 2);
	EXPECT_STATUS(STATUS_SUCCESS, reset(self->p, SIZE));
	EXPECT_GOT(ALL(RESET), 2);
	/* Written through the pin, without a fault. */
	memset(data, 0x77, sizeof(data));
	fill.dst = (uintptr_t)pin.from;
	fill.src = (uintptr_t)data;
	ASSERT_EQ(0, ioctl(fd, UFFDIO_COPY, &fill));
	pthread_join(thread, NULL);
	EXPECT_EQ(8, pin.done);
	EXPECT_EQ(0x77, self->p[2 * P]);
	EXPECT_GOT(ALL(RESET), 2);
	EXPECT_DIRTY();
	poke(self->p, 2);
	EXPECT_DIRTY(2);
	close(fd);
}

static int pokers_child(int sock, void *arg)
{
	uint8_t *p = watched(SIZE, MEM_COMMIT, PAGE_READWRITE);
	uint64_t word;

	(void)arg;
	if (!p || !child_tell(sock, (uintptr_t)p) || !send_fd(sock, own_device()))
		return 1;
	if (protect(p + 8 * P, P, PAGE_READONLY) || !child_tell(sock, 0))
		return 1;
	while (child_hear(sock, &word) && word)
		child_tell(sock, p[word]);
	return 0;
}

TEST(another_process_asks_and_writes_from_outside_are_seen)
{
	struct iovec local, remote;
	struct child c;
	uint64_t base, w;
	uint8_t *p;
	HANDLE h, less;
	int status, fd;

	ASSERT_TRUE(child_start(&c, pokers_child, NULL));
	ASSERT_TRUE(child_hear(c.sock, &base));
	fd = recv_fd(c.sock);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(child_hear(c.sock, &w));
	h = LibntFdToHandle(fd);
	p = (uint8_t *)(uintptr_t)base;
	EXPECT_GOT(get(h, p, 0, PAGES, 64, 0));

	local = (struct iovec){ .iov_base = "remote", .iov_len = 6 };
	remote = (struct iovec){ .iov_base = p + 3 * P - 2, .iov_len = 6 };
	ASSERT_EQ(6, process_vm_writev(c.pid, &local, 1, &remote, 1, 0));
	EXPECT_GOT(get(h, p, 0, PAGES, 64, RESET), 2, 3);
	EXPECT_GOT(get(h, p, 0, PAGES, 64, RESET));
	ASSERT_EQ(6, process_vm_writev(c.pid, &local, 1, &remote, 1, 0));
	EXPECT_GOT(get(h, p, 0, PAGES, 64, RESET), 2, 3);

	/* A debugger, to a writable page and to one that it alone can write. */
	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, c.pid, NULL, NULL));
	ASSERT_EQ(c.pid, waitpid(c.pid, &status, 0));
	ASSERT_EQ(0, ptrace(PTRACE_POKEDATA, c.pid, p + 5 * P, (void *)0x1234));
	EXPECT_GOT(get(h, p, 0, PAGES, 64, RESET), 5);
	ASSERT_EQ(0, ptrace(PTRACE_POKEDATA, c.pid, p + 8 * P, (void *)0x1234)) {
		TH_LOG("poke to a read-only page: %s", strerror(errno));
	}
	EXPECT_EQ(0x1234, ptrace(PTRACE_PEEKDATA, c.pid, p + 8 * P, NULL));
	EXPECT_GOT(get(h, p, 0, PAGES, 64, RESET), 8);
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, c.pid, NULL, NULL));

	EXPECT_STATUS(STATUS_SUCCESS, raw_duplicate(h, NTVM_ACCESS_QUERY, &less));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, get(less, p, 0, PAGES, 64, 0)->status);
	EXPECT_STATUS(STATUS_ACCESS_DENIED, NtResetWriteWatch(less, p, SIZE));
	EXPECT_TRUE(child_tell(c.sock, 0));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, get(h, p, 0, PAGES, 64, 0)->status);
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, NtResetWriteWatch(h, p, SIZE));
	NtClose(less);
	NtClose(h);
}

/* --- wrong arguments ------------------------------------------------------------------------ */

TEST_F(watch, Y15_to_Y19_wrong_arguments_change_nothing)
{
	static PVOID array[64];
	/* A page that can be written and behind it one that cannot. */
	uint8_t *pair = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *none = pair + P;
	uint8_t *plain = reserve_commit(SIZE, PAGE_READWRITE);
	uint8_t *other = watched(SIZE, MEM_COMMIT, PAGE_READWRITE);
	ULONG_PTR count = 64, huge;
	ULONG granularity = 7;
	struct snap before, after;
	PVOID p = self->p;

	ASSERT_NE(MAP_FAILED, pair);
	ASSERT_EQ(0, mprotect(none, P, PROT_READ));
	ASSERT_NE(NULL, plain);
	ASSERT_NE(NULL, other);
	poke(self->p, 3);
	poke(other, 0);
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	memset(array, 0xa5, sizeof(array));
#define GWW(h, flags, base, size, a, c, g)					\
	NtGetWriteWatch(h, flags, (PVOID)(base), size, (PVOID *)(a), c, g)
	/* Flags, then base, then size. */
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_1,
		      GWW(NULL, 0xdeadbeef, KERNEL_ADDRESS, SIZE, NULL, NULL, NULL));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_1, GWW(ME, 2, p, SIZE, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_2,
		      GWW(NULL, RESET, KERNEL_ADDRESS, ~0ul, NULL, NULL, NULL));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_3, GWW(NULL, RESET, p, ~0ul, NULL, NULL, NULL));
	/* Then the variables; a count of 0 wins over a bad array. */
	count = 0;
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, GWW(ME, RESET, p, SIZE, NULL, NULL, &granularity));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, GWW(ME, RESET, p, SIZE, NULL, &count, NULL));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, GWW(ME, RESET, p, SIZE, NULL, none, &granularity));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, GWW(ME, RESET, p, SIZE, NULL, &count, none));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      GWW(ME, RESET, p, SIZE, NULL, (PULONG_PTR)KERNEL_ADDRESS, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5, GWW(NULL, 0, p, SIZE, NULL, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5, GWW(ME, 0, p, SIZE, array, &count, &granularity));
	huge = ~0ul;
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5, GWW(NULL, 0, p, SIZE, NULL, &huge, &granularity));
	huge = TOP_BIT / 4;
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5, GWW(ME, 0, p, SIZE, array, &huge, &granularity));
	count = 64;
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, GWW(NULL, 0, p, SIZE, NULL, &count, &granularity));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, GWW(ME, RESET, p, SIZE, none, &count, &granularity));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      GWW(ME, RESET, p, SIZE, KERNEL_ADDRESS, &count, &granularity));
	/* An array whose end is not there. */
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      GWW(ME, RESET, p, SIZE, (uint8_t *)none - sizeof(PVOID) * 63, &count, &granularity));
	/* Then the handle, then the memory. */
	EXPECT_STATUS(STATUS_INVALID_HANDLE, GWW(NULL, RESET, p, 0, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, GWW(ME, RESET, p, 0, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER,
		      GWW(ME, RESET, NULL, SIZE, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER,
		      GWW(ME, RESET, p, 2 * SIZE, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER,
		      GWW(ME, RESET, self->p + 15 * P, P + 1, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER,
		      GWW(ME, RESET, plain, SIZE, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER,
		      GWW(ME, RESET, array, 8, array, &count, &granularity));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER,
		      GWW(ME, RESET, (uintptr_t)swap_on, 8, array, &count, &granularity));
	EXPECT_EQ(64, count);
	EXPECT_EQ(7, granularity);
	EXPECT_EQ(POISONED, array[0]);
#undef GWW
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_2, NtResetWriteWatch(NULL, (PVOID)KERNEL_ADDRESS, 1));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_3, NtResetWriteWatch(NULL, p, ~0ul));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtResetWriteWatch(NULL, p, 0));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, reset(p, 0));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, reset(NULL, SIZE));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, reset(p, SIZE + 1));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, reset(plain, SIZE));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, reset(array, 8));
	EXPECT_DIRTY(3);
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_GOT(get(ME, other, 0, PAGES, 64, 0), 0);
}

TEST_F(watch, an_answer_that_cannot_be_given_resets_nothing)
{
	size_t pages = 2048, room = pages, i;
	uint8_t *p = watched(pages * P, MEM_COMMIT, PAGE_READWRITE);
	PVOID *array = mmap(NULL, room * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	ULONG_PTR count = room;
	ULONG granularity;

	ASSERT_NE(NULL, p);
	for (i = 0; i < pages; i++)
		poke(p, i);
	/* Both ends of the array are there, but not its third page. */
	ASSERT_EQ(0, mprotect(array + 1024, P, PROT_NONE));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      NtGetWriteWatch(ME, RESET, p, pages * P, array, &count, &granularity));
	EXPECT_EQ(room, count);
	EXPECT_EQ(pages, get(ME, p, 0, pages, ROOM, 0)->nr);
	ASSERT_EQ(0, mprotect(array + 1024, P, PROT_READ | PROT_WRITE));
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtGetWriteWatch(ME, RESET, p, pages * P, array, &count, &granularity));
	EXPECT_EQ(pages, count);
	EXPECT_EQ(0, get(ME, p, 0, pages, ROOM, 0)->nr);
}

TEST_F(watch, the_request_itself)
{
	static uint64_t array[64];
	uint64_t count = 64;
	uint32_t granularity = 0;
	struct ntvm_watch good = {
		.size = sizeof(good),
		.handle = NTVM_CURRENT_PROCESS,
		.op = NTVM_WATCH_GET,
		.base = (uintptr_t)self->p,
		.len = SIZE,
		.addresses = (uintptr_t)array,
		.count_ptr = (uintptr_t)&count,
		.granularity_ptr = (uintptr_t)&granularity,
	}, r;
	int fd = device_open(O_RDWR);

	poke(self->p, 3);
#define BAD(field, value) do {							\
	r = good;								\
	r.field = value;							\
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_WATCH, &r));			\
	r = good;								\
	r.op = NTVM_WATCH_RESET;						\
	r.addresses = r.count_ptr = r.granularity_ptr = 0;			\
	r.field = value;							\
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_WATCH, &r));			\
} while (0)
	BAD(reserved, 1);
	BAD(op, 2);
	BAD(op, ~0u);
	BAD(flags, NTVM_F_INDIRECT);
#undef BAD
	good.op = NTVM_WATCH_RESET;
	r = good;
	r.count_ptr = r.granularity_ptr = 0;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_WATCH, &r));
	r = good;
	r.addresses = r.granularity_ptr = 0;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_WATCH, &r));
	r = good;
	r.addresses = r.count_ptr = 0;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_WATCH, &r));
	r = good;
	r.addresses = r.count_ptr = r.granularity_ptr = 0;
	r.watch_flags = NTVM_WATCH_FLAG_RESET;
	EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_WATCH, &r));
	EXPECT_DIRTY(3);
	good.op = NTVM_WATCH_GET;
	r = good;
	ASSERT_EQ(0, raw(fd, NTVM_IOC_WATCH, &r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, r.status);
	EXPECT_EQ(1, count);
	EXPECT_EQ(P, granularity);
	EXPECT_EQ((uintptr_t)self->p + 3 * P, array[0]);
	close(fd);
}

/* --- with everything else --------------------------------------------------------------------- */

TEST_F(watch, queries_do_not_see_the_record)
{
	unsigned int i;

	for (i = 0; i < PAGES; i += 2)
		poke(self->p, i);
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READONLY));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READONLY);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

TEST_F(watch, G6_a_guard_comes_first_and_the_write_is_recorded_when_it_happens)
{
	uint8_t *p = watched(SIZE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);

	ASSERT_NE(NULL, p);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0));
	EXPECT_NO_WRITE(p);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0));
	EXPECT_READ(p, 0);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0));
	poke(p, 0);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, RESET), 0);
	/* Read first, then written. */
	EXPECT_NO_READ(p + 3 * P);
	EXPECT_READ(p + 3 * P, 0);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0));
	poke(p, 3);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0), 3);
	/* Armed over a dirty page, and hit: still dirty. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, SIZE, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_NO_READ(p + 3 * P);
	EXPECT_GOT(get(ME, p, 0, PAGES, 64, 0), 3);
}

TEST_F(watch, a_fork_child_changes_nothing)
{
	pid_t pid;
	int status;

	poke(self->p, 2);
	EXPECT_GOT(ALL(RESET), 2);
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_NORMAL));
	pid = fork();
	if (!pid) {
		ULONG_PTR count = 1;
		ULONG granularity;
		PVOID one;

		/* The child has no NT memory, so nothing of it is watched. */
		_exit(NtGetWriteWatch(ME, 0, self->p, SIZE, &one, &count, &granularity) !=
		      STATUS_INVALID_PARAMETER ||
		      probe_write(self->p, 1).signo == 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_DIRTY();
	poke(self->p, 2);
	EXPECT_DIRTY(2);
}

TEST_F(watch, pieces_of_a_released_region_stay_watched)
{
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	poke(self->p, 1);
	poke(self->p, 6);
	poke(self->p, 12);
	ASSERT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)self->p + 4 * P, 4 * P,
					      MEM_RELEASE).status);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, ALL(0)->status);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, reset(self->p + 4 * P, P));
	EXPECT_GOT(get(ME, self->p, 0, 4, 64, 0), 1);
	EXPECT_GOT(get(ME, self->p, 8, 8, 64, RESET), 12);
	EXPECT_GOT(get(ME, self->p, 8, 8, 64, 0));
	poke(self->p, 15);
	EXPECT_GOT(get(ME, self->p, 8, 8, 64, 0), 15);
}

TEST(sizes_that_end_anywhere_in_a_leaf)
{
	static const size_t sizes[] = { 1, 2, 511, 512, 513, 1024, 1025, 40000 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i];
		uint8_t *p = watched(n * P, MEM_COMMIT, PAGE_READWRITE);

		ASSERT_NE(NULL, p);
		EXPECT_GOT(get(ME, p, 0, n, 64, 0));
		poke(p, n - 1);
		EXPECT_GOT(get(ME, p, 0, n, 64, RESET), n - 1);
		EXPECT_GOT(get(ME, p, 0, n, 64, 0));
		poke(p, n - 1);
		EXPECT_STATUS(STATUS_SUCCESS, protect(p, n * P, PAGE_READONLY));
		EXPECT_STATUS(STATUS_SUCCESS, protect(p + (n - 1) * P, P, PAGE_READWRITE));
		EXPECT_GOT(get(ME, p, 0, n, 64, 0), n - 1);
		EXPECT_QUERY(p + (n - 1) * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
		poke(p, n - 1);
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p, n * P));
		EXPECT_GOT(get(ME, p, 0, n, 64, RESET), n - 1);
		EXPECT_GOT(get(ME, p, 0, n, 64, 0));
		EXPECT_STATUS(STATUS_SUCCESS, release(p));
	}
}

TEST(a_large_region_with_one_page_written)
{
	uint8_t *p = watched(SPARSE, 0, PAGE_READWRITE);
	size_t at = 0x87654321ul % (SPARSE / P);
	ULONG_PTR count = 8;
	ULONG granularity;
	PVOID array[8];

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + at * P, P, PAGE_READWRITE));
	poke(p, 0x87654321ul % (SPARSE / P));
	ASSERT_STATUS(STATUS_SUCCESS, NtGetWriteWatch(ME, RESET, p, SPARSE, array, &count,
						      &granularity));
	EXPECT_EQ(1, count);
	EXPECT_EQ(p + at * P, (uint8_t *)array[0]);
	EXPECT_STATUS(STATUS_SUCCESS, reset(p, SPARSE));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

/* --- exactly what was written ------------------------------------------------------------------ */

FIXTURE(swapping) {
};

FIXTURE_SETUP(swapping)
{
	ASSERT_TRUE(swap_on(64 * MIB)) {
		TH_LOG("no swap in zram: %s", strerror(errno));
	}
}

FIXTURE_TEARDOWN_PARENT(swapping)
{
	swap_off();
}

enum { DIRTY = 1, LATCHED = 2, COMMITTED = 4, WRITABLE = 8 };

TEST_F_TIMEOUT(swapping, random_operations_report_exactly_what_a_model_says, 120)
{
	enum { N = 1300, STEPS = 12000 };
	double until = now() + 8 * slow();
	static uint8_t model[N];
	uint8_t *p = watched(N * P, 0, PAGE_READWRITE);
	unsigned int seed = 4711, step, i, reports = 0, paged = 0;
	const char *s = getenv("NTVM_STRESS_SEED");

	if (s)
		seed = (unsigned int)strtoul(s, NULL, 0);
	ASSERT_NE(NULL, p);
	memset(model, 0, sizeof(model));
	for (step = 0; step < STEPS && (now() < until || reports <= 100 || paged <= 10); step++) {
		unsigned int from = rand_r(&seed) % N, n = rand_r(&seed) % 40 + 1, room, nr = 0;
		unsigned int op = rand_r(&seed) % 100;
		bool all = true;
		struct got *g;
		int flags;

		if (rand_r(&seed) % 20 == 0)
			n = N;
		if (from + n > N)
			n = N - from;
		for (i = from; i < from + n; i++)
			all &= !!(model[i] & COMMITTED);
		if (op < 20) {
			ASSERT_STATUS(STATUS_SUCCESS, commit(p + from * P, n * P, PAGE_READWRITE));
			for (i = from; i < from + n; i++)
				model[i] |= COMMITTED | WRITABLE;
		} else if (op < 24) {
			if (n > N / 2 && op < 23)
				continue;
			ASSERT_STATUS(STATUS_SUCCESS, decommit(p + from * P, n * P));
			for (i = from; i < from + n; i++)
				model[i] &= LATCHED;
		} else if (op < 32) {
			static const ULONG prots[] = {
				PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS,
				PAGE_EXECUTE_READWRITE,
			};
			ULONG prot = prots[rand_r(&seed) % ARRAY_SIZE(prots)];

			ASSERT_STATUS(all ? STATUS_SUCCESS : STATUS_NOT_COMMITTED,
				      protect(p + from * P, n * P, prot));
			for (i = from; all && i < from + n; i++) {
				model[i] &= ~WRITABLE;
				if (prot & (PAGE_READWRITE | PAGE_EXECUTE_READWRITE))
					model[i] |= WRITABLE;
				if (model[i] & DIRTY)
					model[i] |= LATCHED;
			}
		} else if (op < 40) {
			int advice = op & 1 ? MADV_DONTNEED : MADV_PAGEOUT;

			paged += !madvise(p + from * P, n * P, advice);
		} else if (op < 50) {
			flags = rand_r(&seed) & RESET;
			room = rand_r(&seed) % 3 ? ROOM : rand_r(&seed) % 30 + 1;
			g = get(ME, p, from, n, room, flags);
			ASSERT_STATUS(STATUS_SUCCESS, g->status);
			ASSERT_TRUE(g->fenced);
			for (i = from; i < from + n && nr < room; i++) {
				if (!(model[i] & (DIRTY | LATCHED)))
					continue;
				ASSERT_TRUE(nr < g->nr && g->page[nr] == i) {
					TH_LOG("step %u: page %u is missing", step, i);
				}
				nr++;
				if (flags)
					model[i] &= ~(DIRTY | LATCHED);
			}
			ASSERT_EQ(nr, g->nr) {
				TH_LOG("step %u: page %u is too much", step, g->page[nr]);
			}
			reports += nr;
		} else if (op < 53) {
			ASSERT_STATUS(STATUS_SUCCESS, reset(p + from * P, n * P));
			for (i = from; i < from + n; i++)
				model[i] &= ~(DIRTY | LATCHED);
		} else if (op < 80) {
			for (i = from; i < from + n; i += rand_r(&seed) % 5 + 1) {
				bool ok = model[i] & WRITABLE;

				ASSERT_EQ(ok, !probe_write(p + i * P, (uint8_t)step).signo);
				if (ok)
					model[i] |= DIRTY;
			}
		} else {
			for (i = from; i < from + n && n < N; i++)
				probe_read(p + i * P);
		}
	}
	EXPECT_LT(100, reports);
	EXPECT_LT(10, paged);
	TH_LOG("%u steps, %u pages reported, %u times zapped or paged out", step, reports, paged);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

TEST_HARNESS_MAIN
