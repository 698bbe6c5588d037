// SPDX-License-Identifier: GPL-2.0-only
/*
 * libnt's exceptions: faults on NT memory become records, handlers see them in
 * NT's order, and what nobody wants ends as it would have without the library.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sched.h>
#include <ucontext.h>

/* What the harness keeps for itself: it is not changed in a block. */
#pragma GCC diagnostic ignored "-Wclobbered"

/* Not NT memory, and nobody else's. */
static volatile uintptr_t nowhere = 40;

#define GUARDED	(PAGE_READWRITE | PAGE_GUARD)

FIXTURE(exception) {
	volatile uint8_t *p;	/* 4 pages: READWRITE, GUARD, READONLY, reserved */
};

FIXTURE_SETUP(exception)
{
	uint8_t *p = reserve(4 * P);

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + P, P, GUARDED));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + 2 * P, P, PAGE_READONLY));
	self->p = p;
	ASSERT_STATUS(STATUS_SUCCESS, LibntEnableExceptions(0));
}

FIXTURE_TEARDOWN(exception)
{
	LibntDisableExceptions();
}

/* Does @stmt raise? The record is left in @rec. */
#define RAISES(rec, stmt) ({						\
	volatile bool __raised = false;					\
	LIBNT_TRY {							\
		stmt;							\
	} LIBNT_EXCEPT((*(rec) = *LibntExceptionInformation()->ExceptionRecord, 1)) { \
		__raised = true;					\
	} LIBNT_END_TRY							\
	__raised;							\
})

#define EXPECT_RECORD(rec, code, n, kind, address) do {			\
	EXPECT_EQ((DWORD)(code), (rec)->ExceptionCode);			\
	EXPECT_EQ(0, (rec)->ExceptionFlags);				\
	EXPECT_EQ(NULL, (rec)->ExceptionRecord);			\
	EXPECT_EQ(n, (rec)->NumberParameters);				\
	EXPECT_EQ(kind, (rec)->ExceptionInformation[0]);		\
	EXPECT_EQ((uintptr_t)(address), (rec)->ExceptionInformation[1]); \
} while (0)

TEST_F(exception, reads_and_writes_of_reserved_and_readonly_pages)
{
	volatile uint8_t *p = self->p;
	EXCEPTION_RECORD rec;

	EXPECT_TRUE(RAISES(&rec, (void)p[3 * P + 5]));
	EXPECT_RECORD(&rec, STATUS_ACCESS_VIOLATION, 2, EXCEPTION_READ_FAULT, p + 3 * P + 5);
	EXPECT_NE(NULL, rec.ExceptionAddress);
	EXPECT_TRUE(RAISES(&rec, p[3 * P + 6] = 1));
	EXPECT_RECORD(&rec, STATUS_ACCESS_VIOLATION, 2, EXCEPTION_WRITE_FAULT, p + 3 * P + 6);
	EXPECT_TRUE(RAISES(&rec, p[2 * P] = 1));
	EXPECT_RECORD(&rec, STATUS_ACCESS_VIOLATION, 2, EXCEPTION_WRITE_FAULT, p + 2 * P);
	EXPECT_FALSE(RAISES(&rec, p[0] = 1));
	EXPECT_FALSE(RAISES(&rec, (void)p[2 * P]));
}

TEST_F(exception, execution)
{
	EXCEPTION_RECORD rec;
	void (*fn)(void) = (void (*)(void))(uintptr_t)self->p;

	EXPECT_TRUE(RAISES(&rec, fn()));
	EXPECT_RECORD(&rec, STATUS_ACCESS_VIOLATION, 2, EXCEPTION_EXECUTE_FAULT, self->p);
	EXPECT_EQ((PVOID)(uintptr_t)self->p, rec.ExceptionAddress);
}

TEST_F(exception, a_guard_page_raises_once)
{
	volatile uint8_t *p = self->p;
	EXCEPTION_RECORD rec;

	EXPECT_TRUE(RAISES(&rec, p[P + 9] = 1));
	EXPECT_RECORD(&rec, STATUS_GUARD_PAGE_VIOLATION, 2, EXCEPTION_WRITE_FAULT, p + P + 9);
	EXPECT_FALSE(RAISES(&rec, p[P + 9] = 1));
	EXPECT_EQ(PAGE_READWRITE, page_protect((void *)(p + P)));
}

TEST_F(exception, a_call_fails_on_a_guard_page_and_nothing_is_raised)
{
	EXCEPTION_RECORD rec;
	int fd = open("/dev/zero", O_RDONLY);
	volatile ssize_t n = 0;

	EXPECT_FALSE(RAISES(&rec, n = read(fd, (void *)(self->p + P), 8)));
	EXPECT_EQ(-1, n);
	EXPECT_EQ(EFAULT, errno);
	close(fd);
}

/* --- try frames ------------------------------------------------------------------------ */

static char trace[64];

static void mark(char c)
{
	size_t n = strlen(trace);

	if (n + 1 < sizeof(trace))
		trace[n] = c;
}

static int marked(char c, int verdict)
{
	mark(c);
	return verdict;
}

static __attribute__((noinline)) void nested(volatile uint8_t *bad, int inner, int outer)
{
	memset(trace, 0, sizeof(trace));
	LIBNT_TRY {
		LIBNT_TRY {
			mark('1');
			*bad = 1;
			mark('x');
		} LIBNT_EXCEPT(marked('i', inner)) {
			mark('I');
		} LIBNT_END_TRY
		mark('2');
	} LIBNT_EXCEPT(marked('o', outer)) {
		mark('O');
	} LIBNT_END_TRY
	mark('3');
}

TEST_F(exception, frames_are_asked_from_the_innermost_out)
{
	nested(self->p + 3 * P, 1, 1);
	EXPECT_STREQ("1iI23", trace);
	nested(self->p + 3 * P, 0, 1);
	EXPECT_STREQ("1ioO3", trace);
	nested(self->p, 0, 0);
	EXPECT_STREQ("1x23", trace);
}

TEST_F(exception, a_fault_in_a_handler_is_the_next_frames)
{
	volatile uint8_t *bad = self->p + 3 * P;

	memset(trace, 0, sizeof(trace));
	LIBNT_TRY {
		LIBNT_TRY {
			*bad = 1;
		} LIBNT_EXCEPT(EXCEPTION_EXECUTE_HANDLER) {
			mark('a');
			bad[1] = 1;
			mark('x');
		} LIBNT_END_TRY
		mark('y');
	} LIBNT_EXCEPT(LibntExceptionInformation()->ExceptionRecord->ExceptionInformation[1] ==
		       (uintptr_t)bad + 1) {
		mark('b');
	} LIBNT_END_TRY
	EXPECT_STREQ("ab", trace);
}

static int faulty_filter(EXCEPTION_POINTERS *info, PVOID arg)
{
	(void)info;
	mark('f');
	*(volatile uint8_t *)arg = 1;
	mark('x');
	return EXCEPTION_EXECUTE_HANDLER;
}

TEST_F(exception, a_fault_in_a_filter_is_the_next_frames)
{
	volatile uint8_t *bad = self->p + 3 * P;

	memset(trace, 0, sizeof(trace));
	LIBNT_TRY {
		LIBNT_TRY_FILTER(faulty_filter, (PVOID)(uintptr_t)(bad + 1)) {
			*bad = 1;
		} LIBNT_EXCEPT(EXCEPTION_EXECUTE_HANDLER) {
			mark('y');
		} LIBNT_END_TRY
	} LIBNT_EXCEPT(LibntExceptionCode() == STATUS_ACCESS_VIOLATION) {
		mark('b');
	} LIBNT_END_TRY
	EXPECT_STREQ("fb", trace);
}

TEST_F(exception, a_block_can_be_left)
{
	memset(trace, 0, sizeof(trace));
	LIBNT_TRY {
		mark('a');
		if (trace[0])
			LIBNT_LEAVE;
		mark('x');
	} LIBNT_EXCEPT(1) {
		mark('y');
	} LIBNT_END_TRY
	LIBNT_TRY {
		self->p[3 * P] = 1;
	} LIBNT_EXCEPT(1) {
		mark('b');
	} LIBNT_END_TRY
	EXPECT_STREQ("ab", trace);
}

struct demand {
	volatile uint8_t *p;
	int nr;
	int kinds;
	void *context;
};

/* Commits what is missing: the access then works. */
static int demand_filter(EXCEPTION_POINTERS *info, PVOID arg)
{
	struct demand *d = arg;
	uintptr_t at = info->ExceptionRecord->ExceptionInformation[1];

	d->nr++;
	d->context = info->ContextRecord;
	if (info->ExceptionRecord->ExceptionCode != (DWORD)STATUS_ACCESS_VIOLATION)
		return EXCEPTION_CONTINUE_SEARCH;
	if (commit((void *)(at & ~(P - 1)), P, PAGE_READWRITE))
		return EXCEPTION_EXECUTE_HANDLER;
	return EXCEPTION_CONTINUE_EXECUTION;
}

TEST_F(exception, a_filter_function_can_have_the_access_repeated)
{
	uint8_t *q = reserve(16 * P);
	struct demand d = { .p = q };
	volatile double f = 1.5;
	volatile int i;

	ASSERT_NE(NULL, q);
	LIBNT_TRY_FILTER(demand_filter, &d) {
		for (i = 0; i < 16; i++) {
			double keep = f * i;

			q[i * P + 11] = i;
			f = keep - f * i + 1.5;
		}
	} LIBNT_EXCEPT(EXCEPTION_EXECUTE_HANDLER) {
		EXPECT_TRUE(false);
	} LIBNT_END_TRY
	EXPECT_EQ(16, d.nr);
	EXPECT_NE(NULL, d.context);
	EXPECT_TRUE(f == 1.5);
	for (i = 0; i < 16; i++)
		EXPECT_EQ(i, q[i * P + 11]);
	release(q);
}

TEST_F(exception, the_signal_mask_is_that_of_the_fault)
{
	sigset_t set, now_set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_SETMASK, &set, NULL);
	LIBNT_TRY {
		self->p[3 * P] = 1;
	} LIBNT_EXCEPT(1) {
	} LIBNT_END_TRY
	sigprocmask(SIG_SETMASK, NULL, &now_set);
	EXPECT_EQ(1, sigismember(&now_set, SIGUSR1));
	EXPECT_EQ(0, sigismember(&now_set, SIGSEGV));
	EXPECT_EQ(0, sigismember(&now_set, SIGBUS));
}

TEST_F(exception, five_thousand_times_in_a_row)
{
	EXCEPTION_RECORD rec;
	int i;

	for (i = 0; i < 5000; i++)
		ASSERT_TRUE(RAISES(&rec, self->p[3 * P] = 1));
}

/* --- vectored handlers -------------------------------------------------------------------- */

static PVOID remove_me;

static int vec_a(EXCEPTION_POINTERS *info) { (void)info; mark('a'); return 0; }
static int vec_b(EXCEPTION_POINTERS *info) { (void)info; mark('b'); return 0; }
static int vec_remove(EXCEPTION_POINTERS *info)
{
	(void)info;
	mark('r');
	RtlRemoveVectoredExceptionHandler(remove_me);
	return 0;
}
static int vec_demand(EXCEPTION_POINTERS *info)
{
	struct demand d = { 0 };

	mark('d');
	return demand_filter(info, &d) < 0 ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

TEST_F(exception, vectored_handlers_come_first_and_in_order)
{
	EXCEPTION_RECORD rec;
	PVOID a = RtlAddVectoredExceptionHandler(0, vec_a);
	PVOID b = RtlAddVectoredExceptionHandler(1, vec_b);
	PVOID c;

	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	memset(trace, 0, sizeof(trace));
	EXPECT_TRUE(RAISES(&rec, self->p[3 * P] = 1));
	EXPECT_STREQ("ba", trace);
	/* One that removes itself while it is called. */
	remove_me = RtlAddVectoredExceptionHandler(1, vec_remove);
	memset(trace, 0, sizeof(trace));
	EXPECT_TRUE(RAISES(&rec, self->p[3 * P] = 1));
	EXPECT_TRUE(RAISES(&rec, self->p[3 * P] = 1));
	EXPECT_STREQ("rbaba", trace);
	EXPECT_EQ(0, RtlRemoveVectoredExceptionHandler(remove_me));
	EXPECT_EQ(0, RtlRemoveVectoredExceptionHandler(NULL));
	EXPECT_EQ(NULL, RtlAddVectoredExceptionHandler(0, NULL));
	c = RtlAddVectoredExceptionHandler(0, vec_demand);
	memset(trace, 0, sizeof(trace));
	EXPECT_FALSE(RAISES(&rec, self->p[3 * P] = 7));
	EXPECT_STREQ("bad", trace);
	EXPECT_EQ(7, self->p[3 * P]);
	EXPECT_EQ(1, RtlRemoveVectoredExceptionHandler(c));
	EXPECT_EQ(1, RtlRemoveVectoredExceptionHandler(a));
	EXPECT_EQ(1, RtlRemoveVectoredExceptionHandler(b));
	EXPECT_EQ(0, RtlRemoveVectoredExceptionHandler(a));
}

/* --- threads ------------------------------------------------------------------------------- */

static void *raise_thread(void *arg)
{
	volatile uint8_t *p = arg;
	volatile long bad = 0;
	int i;

	for (i = 0; i < 300; i++) {
		EXCEPTION_RECORD rec = { 0 };
		PVOID h = RtlAddVectoredExceptionHandler(i & 1, vec_a);

		if (!RAISES(&rec, p[3 * P + i] = 1) ||
		    rec.ExceptionInformation[1] != (uintptr_t)(p + 3 * P + i))
			bad++;
		if (!RtlRemoveVectoredExceptionHandler(h))
			bad++;
	}
	return (void *)bad;
}

TEST_F(exception, threads_have_frames_of_their_own)
{
	pthread_t thread[4];
	void *bad;
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, raise_thread, (void *)(uintptr_t)self->p));
	for (i = 0; i < 4; i++) {
		pthread_join(thread[i], &bad);
		EXPECT_EQ(0, (long)bad);
	}
}

static volatile int forever = 1;

static __attribute__((noinline)) int endless(int depth)
{
	volatile uint8_t room[512];

	room[0] = depth;
	return forever ? endless(depth + 1) + room[0] : 0;
}

static void *overflow_thread(void *arg)
{
	INITIAL_TEB *teb = arg;
	volatile long caught = 0;
	volatile int round;

	if (LibntSetThreadStack(teb->StackBase, teb->StackLimit, teb->DeallocationStack, 4 * P))
		return (void *)-1;
	for (round = 0; round < 3; round++) {
		uintptr_t here = (uintptr_t)&caught & ~(P - 1);
		EXCEPTION_RECORD rec;

		if (RAISES(&rec, endless(0)) &&
		    rec.ExceptionCode == (DWORD)STATUS_STACK_OVERFLOW &&
		    rec.ExceptionInformation[0] == EXCEPTION_WRITE_FAULT &&
		    rec.ExceptionInformation[1] - (uintptr_t)teb->DeallocationStack < 16 * P)
			caught++;
		/* Arm it again, well below this function. */
		here -= 16 * P;
		if (decommit(teb->DeallocationStack, here - (uintptr_t)teb->DeallocationStack) ||
		    commit((void *)here, P, GUARDED))
			return (void *)-2;
	}
	return (void *)caught;
}

TEST_F(exception, a_stack_overflow_is_caught_and_the_stack_used_on)
{
	pthread_attr_t attr;
	INITIAL_TEB teb;
	pthread_t thread;
	void *ret;

	ASSERT_STATUS(STATUS_SUCCESS, RtlCreateUserStack(0x10000, MIB, 0, 1, 1, &teb));
	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setstack(&attr, teb.DeallocationStack,
					   (char *)teb.StackBase - (char *)teb.DeallocationStack));
	ASSERT_EQ(0, pthread_create(&thread, &attr, overflow_thread, &teb));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(3, (long)ret);
	RtlFreeUserStack(teb.DeallocationStack);
	pthread_attr_destroy(&attr);
}

/* --- what nobody wants ----------------------------------------------------------------------- */

static int wait_signal(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 1000 + WEXITSTATUS(status);
}

static int search(EXCEPTION_POINTERS *info, PVOID arg)
{
	(void)info;
	(void)arg;
	return EXCEPTION_CONTINUE_SEARCH;
}

/* Ways to end: each must die of SIGSEGV. */
static void end_by(int way)
{
	uint8_t *p = reserve(P);
	volatile uint8_t *q = reserve_commit(P, GUARDED);

	signal(SIGSEGV, way == 4 ? SIG_IGN : SIG_DFL);
	if (LibntEnableExceptions(0))
		_exit(1);
	switch (way) {
	case 0:		/* no frame */
	case 4:		/* ignored before */
		*(volatile uint8_t *)p = 1;
		break;
	case 1:		/* a guard page: does not fault again */
		*q = 1;
		break;
	case 2:		/* a frame that does not want it, and knows late */
		LIBNT_TRY {
			*q = 1;
		} LIBNT_EXCEPT(EXCEPTION_CONTINUE_SEARCH) {
			_exit(2);
		} LIBNT_END_TRY
		break;
	case 3:		/* and one that knows early */
		LIBNT_TRY_FILTER(search, NULL) {
			*q = 1;
		} LIBNT_EXCEPT(EXCEPTION_EXECUTE_HANDLER) {
			_exit(3);
		} LIBNT_END_TRY
		break;
	case 5:		/* too late to go on */
		LIBNT_TRY {
			*q = 1;
		} LIBNT_EXCEPT(EXCEPTION_CONTINUE_EXECUTION) {
			_exit(4);
		} LIBNT_END_TRY
		break;
	case 6:		/* not NT memory */
		LIBNT_TRY {
			*(volatile uint8_t *)nowhere = 1;
		} LIBNT_EXCEPT(EXCEPTION_EXECUTE_HANDLER) {
			_exit(5);
		} LIBNT_END_TRY
		break;
	case 7:		/* sent, not a fault */
		LIBNT_TRY {
			raise(SIGSEGV);
		} LIBNT_EXCEPT(EXCEPTION_EXECUTE_HANDLER) {
			_exit(6);
		} LIBNT_END_TRY
		break;
	}
	_exit(7);
}

TEST(unhandled_it_dies_as_without_the_library)
{
	int way;

	for (way = 0; way < 8; way++) {
		pid_t pid = fork();

		if (!pid)
			end_by(way);
		EXPECT_EQ(SIGSEGV, wait_signal(pid)) {
			TH_LOG("way %d", way);
		}
	}
}

static volatile uintptr_t old_addr;
static volatile int old_calls, old_mask, old_signo;
static sigjmp_buf old_jump;

static void old_info(int signo, siginfo_t *si, void *uc)
{
	sigset_t now_set;

	(void)uc;
	old_calls++;
	old_signo = signo;
	old_addr = (uintptr_t)si->si_addr;
	sigprocmask(SIG_SETMASK, NULL, &now_set);
	old_mask = sigismember(&now_set, SIGUSR2) * 2 + sigismember(&now_set, SIGSEGV);
	siglongjmp(old_jump, 1);
}

static void old_plain(int signo)
{
	old_calls++;
	old_signo = signo;
	siglongjmp(old_jump, 1);
}

TEST(faults_elsewhere_go_to_who_was_there_before)
{
	struct sigaction act = { .sa_sigaction = old_info, .sa_flags = SA_SIGINFO };
	struct sigaction found;
	volatile uint8_t *r = reserve(P);

	sigaddset(&act.sa_mask, SIGUSR2);
	ASSERT_EQ(0, sigaction(SIGSEGV, &act, NULL));
	ASSERT_STATUS(STATUS_SUCCESS, LibntEnableExceptions(0));
	if (!sigsetjmp(old_jump, 1))
		*(volatile uint8_t *)nowhere = 1;
	EXPECT_EQ(1, old_calls);
	EXPECT_EQ(40, old_addr);
	EXPECT_EQ(3, old_mask);
	/* NT memory that no frame wants goes there too. */
	if (!sigsetjmp(old_jump, 1))
		r[7] = 1;
	EXPECT_EQ(2, old_calls);
	EXPECT_EQ((uintptr_t)r + 7, old_addr);
	/* With the flag all faults are exceptions. */
	ASSERT_STATUS(STATUS_SUCCESS, LibntEnableExceptions(LIBNT_EXCEPTIONS_ALL));
	LIBNT_TRY {
		*(volatile uint8_t *)nowhere = 1;
	} LIBNT_EXCEPT(LibntExceptionCode() == STATUS_ACCESS_VIOLATION) {
		old_calls = 100;
	} LIBNT_END_TRY
	EXPECT_EQ(100, old_calls);
	/* And it is put back. */
	ASSERT_STATUS(STATUS_SUCCESS, LibntDisableExceptions());
	ASSERT_EQ(0, sigaction(SIGSEGV, NULL, &found));
	EXPECT_TRUE(found.sa_sigaction == old_info);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER, LibntEnableExceptions(2));
	ASSERT_EQ(0, sigaction(SIGSEGV, NULL, &found));
	EXPECT_TRUE(found.sa_sigaction == old_info);
}

static int resethand_child(int sock, void *arg)
{
	struct sigaction act = { .sa_handler = old_plain, .sa_flags = SA_RESETHAND };

	(void)sock;
	(void)arg;
	sigaction(SIGSEGV, &act, NULL);
	if (LibntEnableExceptions(0))
		return 1;
	if (!sigsetjmp(old_jump, 1))
		*(volatile uint8_t *)nowhere = 1;
	if (old_calls != 1 || old_signo != SIGSEGV)
		return 2;
	*(volatile uint8_t *)nowhere = 1;
	return 3;
}

TEST(a_one_shot_handler_is_called_once)
{
	struct child c;

	ASSERT_TRUE(child_start(&c, resethand_child, NULL));
	EXPECT_EQ(128 + SIGSEGV, child_wait(&c));
}

TEST_F(exception, a_fork_child_has_them_too)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		volatile uint8_t *q = reserve_commit(P, GUARDED);
		EXCEPTION_RECORD rec;

		if (!RAISES(&rec, *q = 1) || rec.ExceptionCode != (DWORD)STATUS_GUARD_PAGE_VIOLATION)
			_exit(1);
		/* The parent's memory is not its own: a fault like any other. */
		signal(SIGBUS, SIG_DFL);
		if (RAISES(&rec, self->p[P] = 1))
			_exit(2);
		_exit(3);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status)) {
		TH_LOG("exit status %d", WEXITSTATUS(status));
	}
	EXPECT_EQ(GUARDED, page_protect((void *)(self->p + P)));
}

TEST_HARNESS_MAIN
