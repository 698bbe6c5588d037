// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guard pages: one alarm per page and per arming, for exactly one of those who
 * touch it, told to the thread that did, and never set off from outside.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGES	8
#define SIZE	(PAGES * P)

FIXTURE(guard) {
	uint8_t *p;
};

FIXTURE_SETUP(guard)
{
	PVOID page;

	self->p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x5a, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READWRITE | PAGE_GUARD));
	ASSERT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&page));
}

FIXTURE_TEARDOWN(guard)
{
}

#define EXPECT_GUARD_HIT(at) do {						\
	PVOID __page = NULL;							\
	EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&__page));	\
	EXPECT_EQ((uintptr_t)(at) & ~(P - 1), (uintptr_t)__page);		\
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&__page));		\
} while (0)

#define EXPECT_NO_HIT() do {							\
	PVOID __page;								\
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&__page));		\
} while (0)

#define GUARDED	(PAGE_READWRITE | PAGE_GUARD)

TEST_F(guard, the_first_access_is_refused_and_the_second_is_not)
{
	uint8_t *p = self->p;

	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, GUARDED);
	EXPECT_NO_READ(p + 5);
	EXPECT_GUARD_HIT(p);
	EXPECT_QUERY(p, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(p + 5, 0x5a);
	EXPECT_WRITE(p, 1);
	EXPECT_NO_HIT();
}

TEST_F(guard, a_write_sets_it_off_and_does_not_happen)
{
	EXPECT_NO_WRITE(self->p + 9);
	EXPECT_GUARD_HIT(self->p);
	EXPECT_READ(self->p + 9, 0x5a);
	EXPECT_WRITE(self->p + 9, 1);
}

TEST_F(guard, execution_sets_it_off)
{
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_READWRITE));
	put_code(self->p, 99);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_EXECUTE_READ | PAGE_GUARD));
	EXPECT_NO_EXEC(self->p);
	EXPECT_GUARD_HIT(self->p);
	EXPECT_EXEC(self->p, 99);
	EXPECT_EQ(PAGE_EXECUTE_READ, page_protect(self->p));
}

TEST_F(guard, every_page_has_its_own)
{
	static const int order[PAGES] = { 3, 0, 7, 1, 6, 2, 5, 4 };
	bool hit[PAGES] = { false };
	int i, j;

	for (i = 0; i < PAGES; i++) {
		uint8_t *at = self->p + order[i] * P + 17 * i;

		EXPECT_NO_READ(at);
		EXPECT_GUARD_HIT(at);
		hit[order[i]] = true;
		for (j = 0; j < PAGES; j++)
			EXPECT_EQ(hit[j] ? PAGE_READWRITE : GUARDED, page_protect(self->p + j * P));
	}
}

TEST_F(guard, the_protection_under_it_holds_afterwards)
{
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_READONLY | PAGE_GUARD));
	EXPECT_NO_WRITE(self->p);
	EXPECT_GUARD_HIT(self->p);
	/* Now an ordinary violation. */
	EXPECT_NO_WRITE(self->p);
	EXPECT_NO_HIT();
	EXPECT_READ(self->p, 0x5a);
	EXPECT_EQ(PAGE_READONLY, page_protect(self->p));
}

TEST_F(guard, an_ordinary_violation_is_no_guard_hit)
{
	uint8_t *q = reserve(P);

	ASSERT_NE(NULL, q);
	EXPECT_NO_READ(q);
	EXPECT_NO_HIT();
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_NOACCESS));
	EXPECT_NO_READ(self->p);
	EXPECT_NO_HIT();
}

TEST_F(guard, G3_protecting_it_away_disarms_it)
{
	EXPECT_EQ(GUARDED, do_protect(ME, (uintptr_t)self->p, P, PAGE_READWRITE).old);
	EXPECT_READ(self->p, 0x5a);
	EXPECT_NO_HIT();
}

TEST_F(guard, G2_the_region_remembers_that_it_was_made_with_one)
{
	uint8_t *q = reserve_commit(2 * P, GUARDED);

	ASSERT_NE(NULL, q);
	EXPECT_QUERY(q, q, GUARDED, 2 * P, MEM_COMMIT, GUARDED);
	EXPECT_NO_READ(q);
	EXPECT_GUARD_HIT(q);
	EXPECT_QUERY(q, q, GUARDED, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_READ(q, 0);
}

TEST_F(guard, rearmed_over_a_page_that_is_mapped)
{
	int i;

	for (i = 0; i < 100; i++) {
		EXPECT_NO_WRITE(self->p);
		EXPECT_GUARD_HIT(self->p);
		EXPECT_WRITE(self->p, i);
		EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, GUARDED));
	}
}

TEST_F(guard, decommit_takes_it_away)
{
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, P));
	EXPECT_NO_READ(self->p);
	EXPECT_NO_HIT();
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, P, PAGE_READWRITE));
	EXPECT_READ(self->p, 0);
}

struct crowd {
	uint8_t *p;
	pthread_barrier_t start;
	pthread_barrier_t end;
	int rounds;
	int refused;
	int told;
	int unrefused;		/* rounds in which nobody was */
	int lied;
	int wrong;
};

static void *crowd_thread(void *arg)
{
	struct crowd *c = arg;
	PVOID page;
	int i;

	for (i = 0; i < c->rounds; i++) {
		struct probe pr;
		NTSTATUS status;

		pthread_barrier_wait(&c->start);
		pr = probe_read(c->p);
		status = LibntTakeFault(&page);
		if (pr.signo)
			__atomic_add_fetch(&c->refused, 1, __ATOMIC_RELAXED);
		else if (pr.value != 0x5a)
			__atomic_add_fetch(&c->wrong, 1, __ATOMIC_RELAXED);
		if (status == STATUS_GUARD_PAGE_VIOLATION)
			__atomic_add_fetch(&c->told, 1, __ATOMIC_RELAXED);
		if ((status == STATUS_GUARD_PAGE_VIOLATION) != (pr.signo == SIGSEGV))
			__atomic_add_fetch(&c->lied, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&c->end);
	}
	return NULL;
}

/*
 * Four threads, all at once at the armed page, again and again. Returns the rounds
 * in which not exactly one was told, or more than one was refused.
 */
static int crowd_run(struct __test_metadata *_metadata, struct crowd *c, void *(*fn)(void *))
{
	pthread_t thread[4];
	int i, bad = 0;

	ASSERT_EQ(0, pthread_barrier_init(&c->start, NULL, ARRAY_SIZE(thread) + 1));
	ASSERT_EQ(0, pthread_barrier_init(&c->end, NULL, ARRAY_SIZE(thread) + 1));
	probe_init();
	for (i = 0; i < (int)ARRAY_SIZE(thread); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, fn, c));
	for (i = 0; i < c->rounds; i++) {
		c->refused = 0;
		c->told = 0;
		pthread_barrier_wait(&c->start);
		pthread_barrier_wait(&c->end);
		c->unrefused += !c->refused;
		if (c->told != 1 || c->refused > 1)
			bad++;
		if (protect(c->p, P, GUARDED) != STATUS_SUCCESS)
			bad++;
	}
	for (i = 0; i < (int)ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	return bad;
}

TEST_F(guard, of_many_threads_exactly_one_gets_it)
{
	struct crowd c = { .p = self->p, .rounds = 150 };

	EXPECT_EQ(0, crowd_run(_metadata, &c, crowd_thread));
	EXPECT_EQ(0, c.unrefused);
	EXPECT_EQ(0, c.lied);
	EXPECT_EQ(0, c.wrong);
}

/* The same crowd, half of it inside of system calls. */
static void *mixed_thread(void *arg)
{
	static int next;
	struct crowd *c = arg;
	int me = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
	PVOID page;
	int i;

	for (i = 0; i < c->rounds; i++) {
		uint8_t *at = c->p + 64 * me;
		bool refused;

		pthread_barrier_wait(&c->start);
		if ((me + i) % 4 == 0)
			refused = probe_read(at).signo;
		else if ((me + i) % 4 == 1)
			refused = syscall(SYS_getcpu, at, NULL, NULL) < 0;
		else if ((me + i) % 4 == 2)
			refused = syscall(SYS_getrandom, at, 16, 0) < 0;
		else
			refused = probe_write(at, 1).signo;
		if (refused)
			__atomic_add_fetch(&c->refused, 1, __ATOMIC_RELAXED);
		if (LibntTakeFault(&page) == STATUS_GUARD_PAGE_VIOLATION) {
			__atomic_add_fetch(&c->told, 1, __ATOMIC_RELAXED);
			/* Inside a call another thread may have brought the page back. */
			if (!refused)
				__atomic_add_fetch(&c->lied, 1, __ATOMIC_RELAXED);
		} else if (refused) {
			__atomic_add_fetch(&c->wrong, 1, __ATOMIC_RELAXED);
		}
		pthread_barrier_wait(&c->end);
	}
	return NULL;
}

TEST_F(guard, of_many_threads_and_system_calls_exactly_one_gets_it)
{
	struct crowd c = { .p = self->p, .rounds = 60 };

	EXPECT_EQ(0, crowd_run(_metadata, &c, mixed_thread));
	EXPECT_EQ(0, c.wrong);
	TH_LOG("hits of calls that went through all the same: %d of %d", c.lied, c.rounds);
	/* The exception, not the rule. */
	EXPECT_GT(c.rounds / 4, c.lied);
}

TEST_F(guard, G5_a_system_call_fails_and_uses_it_up)
{
	unsigned int *out = (unsigned int *)self->p;
	int *in = (int *)(self->p + P);
	PVOID page;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	/* Through calls that make a single access. */
	EXPECT_EQ(-1, syscall(SYS_getcpu, out, NULL, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(PAGE_READWRITE, page_protect(self->p));
	LibntTakeFault(&page);
	EXPECT_EQ(0, syscall(SYS_getcpu, out, NULL, NULL));
	EXPECT_GT(1024, *out);
	/* And out of it. */
	EXPECT_EQ(-1, ioctl(fds[0], FIONBIO, in));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(PAGE_READWRITE, page_protect(self->p + P));
	LibntTakeFault(&page);
	EXPECT_EQ(0, ioctl(fds[0], FIONBIO, in));
	EXPECT_EQ(GUARDED, page_protect(self->p + 2 * P));
}

static int file_fd, pipe_fd[2], sock_fd[2];

static long call_read_pipe(void *p)
{
	if (write(pipe_fd[1], "0123456789abcdef", 16) != 16)
		return -2;
	return read(pipe_fd[0], p, 16);
}

static long call_write_pipe(void *p) { return write(pipe_fd[1], p, 16); }
static long call_read_file(void *p) { return pread(file_fd, p, 16, 0); }
static long call_write_file(void *p) { return pwrite(file_fd, p, 16, 64); }
static long call_send(void *p) { return send(sock_fd[0], p, 16, MSG_DONTWAIT); }

static long call_recv(void *p)
{
	if (send(sock_fd[0], "0123456789abcdef", 16, MSG_DONTWAIT) != 16)
		return -2;
	return recv(sock_fd[1], p, 16, MSG_DONTWAIT);
}

static long call_readv(void *p)
{
	struct iovec v = { p, 16 };

	return preadv(file_fd, &v, 1, 0);
}

static long call_zero(void *p)
{
	int fd = open("/dev/zero", O_RDONLY);
	long ret = read(fd, p, 16);
	int err = errno;

	close(fd);
	errno = err;
	return ret;
}

static long call_getcwd(void *p) { return syscall(SYS_getcwd, p, 16); }
static long call_random(void *p) { return syscall(SYS_getrandom, p, 16, 0); }
/* The one that writes 16 bytes. */
#ifdef SYS_clock_gettime64
#define CLOCK_GETTIME	SYS_clock_gettime64
#else
#define CLOCK_GETTIME	SYS_clock_gettime
#endif
static long call_clock(void *p) { return syscall(CLOCK_GETTIME, CLOCK_REALTIME, p); }
static long call_getcpu(void *p) { return syscall(SYS_getcpu, p, NULL, NULL); }
static long call_pipe(void *p)
{
	int fd[2];
	long ret = syscall(SYS_pipe2, p, O_CLOEXEC);

	if (!ret) {
		memcpy(fd, p, sizeof(fd));
		close(fd[0]);
		close(fd[1]);
	}
	return ret;
}
static long call_sigmask(void *p) { return syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, p, 8ul); }
static long call_ioctl(void *p) { return ioctl(pipe_fd[0], FIONREAD, p); }

/* Fails otherwise too, with another errno: what it read was looked at. */
static long call_open(void *p) { return open(p, O_RDONLY); }
static long call_access(void *p) { return access(p, F_OK); }
static long call_futex(void *p) { return syscall(SYS_futex, (uintptr_t)p & ~3ul, 0, 1, NULL); }

static const struct {
	const char *name;
	long (*fn)(void *p);
} calls[] = {
	{ "read of a pipe", call_read_pipe }, { "write to a pipe", call_write_pipe },
	{ "pread", call_read_file }, { "pwrite", call_write_file },
	{ "send", call_send }, { "recv", call_recv }, { "preadv", call_readv },
	{ "read of zero", call_zero }, { "getcwd", call_getcwd }, { "getrandom", call_random },
	{ "clock_gettime", call_clock }, { "getcpu", call_getcpu }, { "pipe2", call_pipe },
	{ "sigprocmask", call_sigmask }, { "FIONREAD", call_ioctl },
	{ "open", call_open }, { "access", call_access }, { "futex", call_futex },
};

static bool calls_init(void)
{
	char zero[256] = "";

	file_fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (file_fd < 0) {
		file_fd = open("/guard-test", O_CREAT | O_RDWR, 0600);
		unlink("/guard-test");
	}
	return file_fd >= 0 && pwrite(file_fd, zero, sizeof(zero), 0) == sizeof(zero) &&
	       !pipe2(pipe_fd, O_NONBLOCK) && !socketpair(AF_UNIX, SOCK_STREAM, 0, sock_fd) &&
	       !chdir("/");
}

/* What a call has queued and not taken, because it failed. */
static void calls_drain(void)
{
	char buf[256];

	while (read(pipe_fd[0], buf, sizeof(buf)) > 0)
		;
	while (recv(sock_fd[1], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

TEST_F(guard, G5_a_system_call_that_hits_one_fails_and_the_next_works)
{
	static const size_t offsets[] = { 0, 1, 7, 8, 64, 2047, P - 17, P - 16 };
	size_t c, o;
	PVOID page;

	ASSERT_TRUE(calls_init());
	ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READWRITE));
	memset(self->p, 0, SIZE);
	for (c = 0; c < ARRAY_SIZE(calls); c++) {
		for (o = 0; o < ARRAY_SIZE(offsets); o++) {
			uint8_t *at = self->p + P + offsets[o];
			long first, second;
			int err;

			ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, GUARDED));
			errno = 0;
			first = calls[c].fn(at);
			err = errno;
			EXPECT_TRUE(first == -1 && err == EFAULT) {
				TH_LOG("%s at %zu: %ld, errno %d", calls[c].name, offsets[o],
				       first, err);
			}
			EXPECT_EQ(PAGE_READWRITE, page_protect(self->p + P)) {
				TH_LOG("%s at %zu", calls[c].name, offsets[o]);
			}
			EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&page));
			EXPECT_EQ(self->p + P, page);
			calls_drain();
			errno = 0;
			second = calls[c].fn(at);
			EXPECT_TRUE(second >= 0 || (second == -1 && errno != EFAULT)) {
				TH_LOG("%s at %zu, again: %ld, errno %d", calls[c].name,
				       offsets[o], second, errno);
			}
			EXPECT_EQ(GUARDED, page_protect(self->p));
			EXPECT_EQ(GUARDED, page_protect(self->p + 2 * P));
			calls_drain();
		}
	}
	EXPECT_NO_HIT();
}

TEST_F(guard, G5_a_buffer_that_reaches_into_one_is_not_filled)
{
	static const size_t before[] = { 1, 3, 8, 15 };
	size_t c, o;
	PVOID page;

	ASSERT_TRUE(calls_init());
	for (c = 0; c < ARRAY_SIZE(calls); c++) {
		if (calls[c].fn == call_open || calls[c].fn == call_access ||
		    calls[c].fn == call_futex || calls[c].fn == call_getcwd ||
		    calls[c].fn == call_getcpu || calls[c].fn == call_ioctl ||
		    calls[c].fn == call_pipe || calls[c].fn == call_sigmask)
			continue;	/* may end before the page */
		for (o = 0; o < ARRAY_SIZE(before); o++) {
			uint8_t *at = self->p + P - before[o];
			long n;

			ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_READWRITE));
			ASSERT_STATUS(STATUS_SUCCESS, protect(self->p + P, P, GUARDED));
			n = calls[c].fn(at);
			/* What lies before the page may have been moved. */
			EXPECT_TRUE((n == -1 && errno == EFAULT) || (n >= 0 && n <= (long)before[o])) {
				TH_LOG("%s, %zu before: %ld", calls[c].name, before[o], n);
			}
			EXPECT_EQ(PAGE_READWRITE, page_protect(self->p + P));
			EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&page));
			calls_drain();
		}
	}
}

TEST_F(guard, G5_every_call_fails_anew_when_it_is_armed_anew)
{
	PVOID page;
	int i;

	ASSERT_TRUE(calls_init());
	for (i = 0; i < 200; i++) {
		errno = 0;
		EXPECT_EQ(-1, call_random(self->p + 5));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&page));
		/* Back in user mode: the page is open to all. */
		EXPECT_WRITE(self->p + 5, i);
		EXPECT_EQ(16, call_random(self->p + 5));
		ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, P, GUARDED));
	}
}

TEST_F(guard, a_later_violation_is_not_taken_for_it)
{
	uint8_t *q = reserve(P);

	ASSERT_NE(NULL, q);
	ASSERT_TRUE(calls_init());
	EXPECT_EQ(-1, call_random(self->p));
	EXPECT_NO_READ(q);
	EXPECT_NO_HIT();
	release(q);
}

static int peek_child(int sock, void *arg)
{
	uint8_t buf[4];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { arg, sizeof(buf) };

	(void)sock;
	/* Refused or not: it may not set the guard off. */
	process_vm_readv(getppid(), &local, 1, &remote, 1, 0);
	process_vm_writev(getppid(), &local, 1, &remote, 1, 0);
	return 0;
}

TEST_F(guard, is_not_used_up_from_outside)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	struct child c;
	uint8_t byte = 0;

	ASSERT_LE(0, mem);
	/* A debugger sees committed memory, whatever its protection. */
	EXPECT_EQ(1, pread(mem, &byte, 1, (off_t)(uintptr_t)self->p));
	EXPECT_EQ(0x5a, byte);
	EXPECT_EQ(GUARDED, page_protect(self->p));
	ASSERT_TRUE(child_start(&c, peek_child, self->p + P));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_EQ(GUARDED, page_protect(self->p + P));
	EXPECT_NO_HIT();
	EXPECT_NO_READ(self->p);
	EXPECT_GUARD_HIT(self->p);
	EXPECT_NO_READ(self->p + P);
	EXPECT_GUARD_HIT(self->p + P);
	close(mem);
}

static void *other_thread(void *arg)
{
	PVOID page;

	*(NTSTATUS *)arg = LibntTakeFault(&page);
	return NULL;
}

TEST_F(guard, the_record_belongs_to_the_thread)
{
	NTSTATUS theirs = STATUS_SUCCESS;
	pthread_t thread;

	EXPECT_NO_READ(self->p);
	ASSERT_EQ(0, pthread_create(&thread, NULL, other_thread, &theirs));
	pthread_join(thread, NULL);
	EXPECT_STATUS(STATUS_NOT_FOUND, theirs);
	EXPECT_GUARD_HIT(self->p);
}

static uint8_t *stack_low;
static int stack_grown;

static void grow_handler(int signo, siginfo_t *si, void *context)
{
	uint8_t *page = (uint8_t *)((uintptr_t)si->si_addr & ~(P - 1));
	PVOID hit;

	(void)signo;
	(void)context;
	if (LibntTakeFault(&hit) != STATUS_GUARD_PAGE_VIOLATION || hit != page || page == stack_low)
		_exit(3);
	if (commit(page - P, P, GUARDED) != STATUS_SUCCESS)
		_exit(4);
	stack_grown++;
}

static int grow_child(int sock, void *arg)
{
	struct sigaction sa = { .sa_sigaction = grow_handler, .sa_flags = SA_SIGINFO };
	uint8_t *p = reserve(16 * P);
	int i;

	(void)sock;
	(void)arg;
	stack_low = p;
	if (!p || commit(p + 15 * P, P, PAGE_READWRITE) != STATUS_SUCCESS ||
	    commit(p + 14 * P, P, GUARDED) != STATUS_SUCCESS)
		return 1;
	sigaction(SIGSEGV, &sa, NULL);
	for (i = 15; i >= 2; i--)
		*(volatile uint8_t *)(p + i * P) = i;
	for (i = 15; i >= 2; i--)
		if (*(volatile uint8_t *)(p + i * P) != i)
			return 2;
	return stack_grown == 13 ? 0 : 5;
}

TEST(a_handler_can_grow_a_stack_with_it)
{
	struct child c;

	ASSERT_TRUE(child_start(&c, grow_child, NULL));
	EXPECT_EQ(0, child_wait(&c));
}

TEST_HARNESS_MAIN
