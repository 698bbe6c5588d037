// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commit limits of processes and jobs: exact to the page, whichever way the pages
 * are committed and whoever commits them, and given back with the last of them.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

_Static_assert(sizeof(struct ntvm_limits) == 48, "");
_Static_assert(offsetof(struct ntvm_limits, op) == 16, "");
_Static_assert(offsetof(struct ntvm_limits, limit) == 24, "");
_Static_assert(offsetof(struct ntvm_limits, out_committed) == 32, "");
_Static_assert(offsetof(struct ntvm_limits, out_peak) == 40, "");
_Static_assert(sizeof(struct ntvm_job) == 80, "");
_Static_assert(offsetof(struct ntvm_job, job) == 20, "");
_Static_assert(offsetof(struct ntvm_job, job_flags) == 24, "");
_Static_assert(offsetof(struct ntvm_job, job_limit) == 32, "");
_Static_assert(offsetof(struct ntvm_job, process_limit) == 40, "");
_Static_assert(offsetof(struct ntvm_job, out_committed) == 48, "");
_Static_assert(offsetof(struct ntvm_job, out_processes) == 72, "");
/* As on NT of the same width. */
#ifdef _LP64
_Static_assert(sizeof(JOBOBJECT_BASIC_LIMIT_INFORMATION) == 64, "");
_Static_assert(sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION) == 144, "");
#else
_Static_assert(sizeof(JOBOBJECT_BASIC_LIMIT_INFORMATION) == 48, "");
_Static_assert(sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION) == 112, "");
#endif

#define RW	PAGE_READWRITE
#define LIMIT	STATUS_COMMITMENT_LIMIT

static LIBNT_COMMIT figures_of(HANDLE h)
{
	LIBNT_COMMIT c;

	memset(&c, 0xa5, sizeof(c));
	LibntGetCommitLimit(h, &c);
	return c;
}

#define EXPECT_FIGURES(limit, committed, peak) do {			\
	LIBNT_COMMIT __c = figures_of(ME);				\
	EXPECT_EQ((size_t)(limit), __c.Limit);				\
	EXPECT_EQ((size_t)(committed), __c.CommittedBytes);		\
	EXPECT_EQ((size_t)(peak), __c.PeakCommittedBytes);		\
} while (0)

/* --- one process ----------------------------------------------------------------- */

TEST(without_a_limit_the_peak_is_exact)
{
	uint8_t *p = reserve(4 * MIB);
	int i;

	ASSERT_NE(NULL, p);
	EXPECT_FIGURES(0, 0, 0);
	for (i = 0; i < 200; i++) {
		EXPECT_STATUS(STATUS_SUCCESS, commit(p + 2 * i * P, P, RW));
		EXPECT_FIGURES(0, (i + 1) * P, (i + 1) * P);
	}
	for (i = 0; i < 100; i++)
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 2 * i * P, P));
	EXPECT_FIGURES(0, 100 * P, 200 * P);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 100 * P, RW));
	EXPECT_FIGURES(0, 200 * P, 200 * P);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + P * 900, P, RW));
	EXPECT_FIGURES(0, 201 * P, 201 * P);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_FIGURES(0, 0, 201 * P);
	p = reserve_commit(256 * MIB, PAGE_NOACCESS);
	EXPECT_FIGURES(0, 256 * MIB, 256 * MIB);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_FIGURES(0, 0, 256 * MIB);
}

static void *ups_and_downs(void *arg)
{
	uint8_t *p = arg;
	int i;

	for (i = 0; i < 3000; i++) {
		if (commit(p, (1 + i % 7) * P, RW) || decommit(p, 8 * P))
			return p;
	}
	return NULL;
}

TEST(the_peak_of_two_threads_is_never_more_than_they_can_have_had)
{
	uint8_t *p = reserve(MIB);
	pthread_t thread;
	void *failed;
	LIBNT_COMMIT c;

	ASSERT_EQ(0, pthread_create(&thread, NULL, ups_and_downs, p));
	EXPECT_EQ(NULL, ups_and_downs(p + 64 * P));
	pthread_join(thread, &failed);
	EXPECT_EQ(NULL, failed);
	c = figures_of(ME);
	EXPECT_EQ(0, c.CommittedBytes);
	EXPECT_LE(7 * P, c.PeakCommittedBytes);
	EXPECT_GE(14 * P, c.PeakCommittedBytes);
}

TEST(a_limit_is_exact_to_the_page)
{
	static const size_t limits[] = { 1, 2, 47, 48, 49, 64, 65, 300 };
	uint8_t *p = reserve(4 * MIB);
	struct snap before, after;
	size_t i, n;

	ASSERT_NE(NULL, p);
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		ASSERT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, limits[i] * P));
		/* Page by page, so that what is charged ahead would show. */
		for (n = 0; n < 400; n++)
			if (commit(p + 2 * n * P, P, RW) != STATUS_SUCCESS)
				break;
		EXPECT_EQ(limits[i], n);
		before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + 4 * MIB);
		EXPECT_RES(LIMIT, p + 2 * n * P, P,
			   do_alloc(ME, (uintptr_t)p + 2 * n * P, 0, P, MEM_COMMIT, RW));
		EXPECT_RES(LIMIT, 0, P, do_alloc(ME, 0, 0, P, MEM_RESERVE | MEM_COMMIT, RW));
		EXPECT_RES(LIMIT, FIXED, P,
			   do_alloc(ME, FIXED, 0, P, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS));
		EXPECT_RES(LIMIT, p, 4 * MIB,
			   do_alloc(ME, (uintptr_t)p, 0, 4 * MIB, MEM_COMMIT, PAGE_READONLY));
		EXPECT_STATUS(LIMIT, commit(p + 2 * n * P, P, PAGE_EXECUTE_READ));
		after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + 4 * MIB);
		EXPECT_TRUE(snap_same(&before, &after));
		EXPECT_FREE(FIXED);
		EXPECT_FIGURES(limits[i] * P, limits[i] * P, limits[i] * P);
		/* What needs no more pages goes on, and reserving is free. */
		EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READONLY));
		EXPECT_STATUS(STATUS_SUCCESS, protect(p, P, RW));
		EXPECT_WRITE(p, 1);
		EXPECT_STATUS(STATUS_SUCCESS, release(reserve(GIB)));
		/* One back, one more. */
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p, P));
		EXPECT_STATUS(STATUS_SUCCESS, commit(p + 2 * n * P, P, RW));
		EXPECT_STATUS(LIMIT, commit(p, P, RW));
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 0));
		EXPECT_FIGURES(limits[i] * P, 0, limits[i] * P);
	}
	/* In one piece: what fits, and one page more. */
	EXPECT_STATUS(LIMIT, commit(p, 301 * P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 300 * P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	p = reserve_commit(300 * P, RW);
	EXPECT_NE(NULL, p);
	EXPECT_EQ(NULL, reserve_commit(P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 0));
	EXPECT_NE(NULL, reserve_commit(256 * MIB, RW));
}

TEST(a_batch_is_limited_entry_by_entry)
{
	static LIBNT_REQUEST r[300];
	uint8_t *p = reserve(4 * MIB);
	int i, ok = 0, round;
	ULONG done;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 100 * P));
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 300; i++)
			r[i] = (LIBNT_REQUEST){
				.Operation = i % 10 == 9 ? LIBNT_REQUEST_DECOMMIT :
							   LIBNT_REQUEST_COMMIT,
				.BaseAddress = (uintptr_t)p + (i % 10 == 9 ? i - 1 : i) * P,
				.RegionSize = P, .Protect = i % 10 == 9 ? 0 : RW,
			};
		EXPECT_STATUS(STATUS_SUCCESS,
			      LibntVirtualMemoryBatch(ME, r, 300, 0, &done));
		for (ok = 0, i = 0; i < 300; i++) {
			NTSTATUS want = STATUS_SUCCESS;

			/* Page by page, what a count of them says. */
			if (r[i].Operation == LIBNT_REQUEST_COMMIT) {
				want = ok < 100 ? STATUS_SUCCESS : LIMIT;
				ok += want == STATUS_SUCCESS;
			} else if (!r[i - 1].Status) {
				ok--;
			}
			EXPECT_EQ(want, r[i].Status) {
				TH_LOG("entry %d, %d committed", i, ok);
			}
		}
		EXPECT_FIGURES(100 * P, ok * P, 100 * P);
		EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 0));
	}
}

TEST(a_limit_below_what_is_committed_takes_nothing_away)
{
	uint8_t *p = reserve(4 * MIB);

	EXPECT_STATUS(STATUS_SUCCESS, commit(p, 100 * P, RW));
	memset(p, 7, 100 * P);
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 50 * P));
	EXPECT_FIGURES(50 * P, 100 * P, 100 * P);
	EXPECT_READ(p + 99 * P, 7);
	EXPECT_STATUS(LIMIT, commit(p + 100 * P, P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 50 * P));
	EXPECT_STATUS(LIMIT, commit(p + 100 * P, P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + 50 * P, P));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + 100 * P, P, RW));
	/* Less than a page is no page; 0 is no limit. */
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, P - 1));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 0));
	EXPECT_STATUS(LIMIT, commit(p, P, RW));
	EXPECT_FIGURES(P - 1, 0, 100 * P);
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, (SIZE_T)-1));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 0));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, MIB, RW));
}

TEST(fdinfo_tells_limit_and_peak)
{
	char path[64], text[1024];
	int fd = device_open(O_RDWR);
	uint8_t *p = reserve_commit(32 * P, RW);

	ASSERT_NE(NULL, p);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 8 * P));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 40 * P));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	ASSERT_LT(0, read_file(path, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "ntvm-committed:\t96 kB\n"));
	EXPECT_NE(NULL, strstr(text, "ntvm-committed-peak:\t128 kB\n"));
	EXPECT_NE(NULL, strstr(text, "ntvm-commit-limit:\t160 kB\n"));
}

struct pusher {
	uint8_t *p;
	size_t held, got;
};

/* Takes what it can, gives half back, and again; ends holding what it can. */
static void *pushes(void *arg)
{
	struct pusher *w = arg;
	unsigned int i, round;

	for (round = 0; round < 60; round++) {
		for (i = 0; i < 128; i++) {
			if (!commit(w->p + 2 * i * P, P, RW))
				w->got++;
		}
		for (i = 0; i < 128 && round < 59; i += 2)
			decommit(w->p + 2 * i * P, P);
	}
	for (i = 0; i < 128; i++)
		w->held += page_state(w->p + 2 * i * P) == MEM_COMMIT;
	return NULL;
}

TEST(two_threads_at_the_limit_of_a_process)
{
	struct pusher w[2] = { { .p = reserve(2 * MIB) }, { .p = reserve(2 * MIB) } };
	pthread_t thread;

	ASSERT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 150 * P));
	ASSERT_EQ(0, pthread_create(&thread, NULL, pushes, &w[1]));
	pushes(&w[0]);
	pthread_join(thread, NULL);
	EXPECT_EQ((w[0].held + w[1].held) * P, figures_of(ME).CommittedBytes);
	EXPECT_EQ(150, w[0].held + w[1].held);
	EXPECT_FIGURES(150 * P, 150 * P, 150 * P);
}

/* --- bad input ----------------------------------------------------------------------- */

FIXTURE(bad) {
	int fd;
	int null;
	HANDLE job;
	struct ntvm_limits l;
	struct ntvm_job j;
};

FIXTURE_SETUP(bad)
{
	self->fd = device_open(O_RDWR);
	self->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 77 * P));
	ASSERT_STATUS(STATUS_SUCCESS, NtCreateJobObject(&self->job, 0, NULL));
	self->l = (struct ntvm_limits){
		.size = sizeof(self->l), .handle = NTVM_CURRENT_PROCESS,
		.op = NTVM_LIMITS_SET, .limit = 99 * P,
	};
	self->j = (struct ntvm_job){
		.size = sizeof(self->j), .handle = NTVM_CURRENT_PROCESS,
		.op = NTVM_JOB_SET, .job = LibntHandleToFd(self->job),
	};
}

static struct ntvm_job job_figures(HANDLE job)
{
	struct ntvm_job j = {
		.size = sizeof(j), .handle = NTVM_CURRENT_PROCESS, .status = 0xa5a5a5a5,
		.op = NTVM_JOB_GET, .job = LibntHandleToFd(job),
	};
	int fd = device_open(O_RDWR);

	if (raw(fd, NTVM_IOC_JOB, &j))
		j.status = 0xa5a5a5a5;
	close(fd);
	return j;
}

FIXTURE_TEARDOWN(bad)
{
	struct ntvm_job j = job_figures(self->job);

	/* Nothing has changed. */
	EXPECT_EQ(77 * P, figures_of(ME).Limit);
	EXPECT_EQ(0, j.status);
	EXPECT_EQ(NTVM_JOB_FLAG_CHILDREN, j.job_flags);
	EXPECT_EQ(0, j.job_limit);
	EXPECT_EQ(0, j.process_limit);
	EXPECT_EQ(0, j.out_processes);
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(self->job));
	close(self->fd);
	close(self->null);
}

#define EXPECT_RAW(want, nr, r) do {					\
	(r)->status = 0xa5a5a5a5;					\
	EXPECT_EQ(0, raw(self->fd, nr, r));				\
	EXPECT_STATUS((NTSTATUS)(want), (NTSTATUS)(r)->status);		\
} while (0)

TEST_F(bad, limits)
{
	HANDLE weak;
	unsigned int op;

	self->l.reserved = 1;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_LIMITS, &self->l));
	self->l.reserved = 0;
	self->l.flags = 1;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_LIMITS, &self->l));
	self->l.flags = 0;
	for (op = 2; op; op <<= 1) {
		self->l.op = op;
		EXPECT_RAW(STATUS_INVALID_PARAMETER, NTVM_IOC_LIMITS, &self->l);
	}
	self->l.op = NTVM_LIMITS_SET;
	self->l.handle = self->null;
	EXPECT_RAW(STATUS_OBJECT_TYPE_MISMATCH, NTVM_IOC_LIMITS, &self->l);
	self->l.handle = -2;
	EXPECT_RAW(STATUS_INVALID_HANDLE, NTVM_IOC_LIMITS, &self->l);
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_QUERY_LIMITED, &weak));
	self->l.handle = LibntHandleToFd(weak);
	EXPECT_RAW(STATUS_ACCESS_DENIED, NTVM_IOC_LIMITS, &self->l);
	self->l.op = NTVM_LIMITS_GET;
	EXPECT_RAW(STATUS_SUCCESS, NTVM_IOC_LIMITS, &self->l);
	EXPECT_EQ(77 * P, self->l.limit);
	NtClose(weak);
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_VM_READ, &weak));
	self->l.handle = LibntHandleToFd(weak);
	EXPECT_RAW(STATUS_ACCESS_DENIED, NTVM_IOC_LIMITS, &self->l);
	NtClose(weak);
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, LibntGetCommitLimit(ME, NULL));
}

TEST_F(bad, jobs)
{
	unsigned int op;
	HANDLE weak;
	int bit;

	self->j.reserved = 1;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
	self->j.reserved = 0;
	self->j.flags = 1;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
	self->j.flags = 0;
	for (op = 4; op; op <<= 1) {
		self->j.op = op;
		EXPECT_RAW(STATUS_INVALID_PARAMETER, NTVM_IOC_JOB, &self->j);
	}
	self->j.op = NTVM_JOB_SET;
	for (bit = 1; bit < 32; bit++) {
		self->j.job_flags = 1u << bit;
		EXPECT_RAW(STATUS_INVALID_PARAMETER, NTVM_IOC_JOB, &self->j);
	}
	self->j.job_flags = 0;
	/* Only ASSIGN has a process. */
	self->j.handle = self->fd;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
	self->j.op = NTVM_JOB_GET;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
	self->j.op = NTVM_JOB_CREATE;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
	/* Those that set nothing take nothing. */
	for (op = NTVM_JOB_CREATE; op <= NTVM_JOB_ASSIGN; op++) {
		self->j.op = op;
		self->j.handle = NTVM_CURRENT_PROCESS;
		self->j.job_flags = 1;
		EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
		self->j.job_flags = 0;
		self->j.job_limit = 1;
		EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
		self->j.job_limit = 0;
		self->j.process_limit = 1;
		EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_JOB, &self->j));
		self->j.process_limit = 0;
	}
	/* The job, then the process, then its rights. */
	for (op = NTVM_JOB_ASSIGN; op <= NTVM_JOB_GET; op++) {
		self->j.op = op;
		self->j.job = -1;
		EXPECT_RAW(STATUS_INVALID_HANDLE, NTVM_IOC_JOB, &self->j);
		self->j.job = 999;
		EXPECT_RAW(STATUS_INVALID_HANDLE, NTVM_IOC_JOB, &self->j);
		self->j.job = self->null;
		EXPECT_RAW(STATUS_OBJECT_TYPE_MISMATCH, NTVM_IOC_JOB, &self->j);
		self->j.job = self->fd;
		EXPECT_RAW(STATUS_OBJECT_TYPE_MISMATCH, NTVM_IOC_JOB, &self->j);
	}
	self->j.op = NTVM_JOB_ASSIGN;
	self->j.handle = -2;
	EXPECT_RAW(STATUS_OBJECT_TYPE_MISMATCH, NTVM_IOC_JOB, &self->j);
	self->j.job = LibntHandleToFd(self->job);
	EXPECT_RAW(STATUS_INVALID_HANDLE, NTVM_IOC_JOB, &self->j);
	self->j.handle = self->null;
	EXPECT_RAW(STATUS_OBJECT_TYPE_MISMATCH, NTVM_IOC_JOB, &self->j);
	self->j.handle = self->j.job;
	EXPECT_RAW(STATUS_OBJECT_TYPE_MISMATCH, NTVM_IOC_JOB, &self->j);
	ASSERT_STATUS(STATUS_SUCCESS,
		      raw_duplicate(ME, NTVM_ACCESS_ALL & ~NTVM_ACCESS_VM_OPERATION, &weak));
	self->j.handle = LibntHandleToFd(weak);
	EXPECT_RAW(STATUS_ACCESS_DENIED, NTVM_IOC_JOB, &self->j);
	NtClose(weak);
}

TEST_F(bad, job_calls_of_nt)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION info = { 0 };
	OBJECT_ATTRIBUTES named = { .Length = sizeof(named), .ObjectName = &info };
	HANDLE null = LibntFdToHandle(self->null), job;
	ULONG size = sizeof(info), flag, i;
	const int class = JobObjectExtendedLimitInformation;

	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, NtCreateJobObject(NULL, 0, NULL));
	EXPECT_STATUS(STATUS_NOT_SUPPORTED, NtCreateJobObject(&job, 0, &named));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtAssignProcessToJobObject(ME, ME));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtAssignProcessToJobObject(NULL, ME));
	EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH, NtAssignProcessToJobObject(null, ME));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtAssignProcessToJobObject(self->job, NULL));
	EXPECT_STATUS(STATUS_INVALID_INFO_CLASS,
		      NtSetInformationJobObject(self->job, 0, &info, size));
	EXPECT_STATUS(STATUS_INVALID_INFO_CLASS,
		      NtQueryInformationJobObject(self->job, 51, &info, size, NULL));
	EXPECT_STATUS(STATUS_NOT_SUPPORTED,
		      NtSetInformationJobObject(self->job, 2, &info, size));
	for (i = 0; i < 2 * size; i++) {
		if (i == size)
			continue;
		EXPECT_STATUS(STATUS_INFO_LENGTH_MISMATCH,
			      NtSetInformationJobObject(self->job, class, &info, i));
		EXPECT_STATUS(STATUS_INFO_LENGTH_MISMATCH,
			      NtQueryInformationJobObject(self->job, class, &info, i, NULL));
	}
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      NtSetInformationJobObject(self->job, class, NULL, size));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      NtQueryInformationJobObject(self->job, class, NULL, size, NULL));
	EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH,
		      NtSetInformationJobObject(null, class, &info, size));
	EXPECT_STATUS(STATUS_INVALID_HANDLE,
		      NtQueryInformationJobObject(ME, class, &info, size, NULL));
	for (flag = 1; flag; flag <<= 1) {
		info.BasicLimitInformation.LimitFlags = flag;
		/* Limits of 0. */
		if (flag == JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK)
			continue;
		EXPECT_STATUS(flag == JOB_OBJECT_LIMIT_JOB_MEMORY ||
			      flag == JOB_OBJECT_LIMIT_PROCESS_MEMORY || flag > 0xffff ?
			      STATUS_INVALID_PARAMETER : STATUS_NOT_SUPPORTED,
			      NtSetInformationJobObject(self->job, class, &info, size));
	}
}

/* --- jobs ---------------------------------------------------------------------------------- */

static NTSTATUS set_job(HANDLE job, size_t job_pages, size_t process_pages, bool children)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION info = {
		.JobMemoryLimit = job_pages * P,
		.ProcessMemoryLimit = process_pages * P,
		.BasicLimitInformation.LimitFlags =
			(job_pages ? JOB_OBJECT_LIMIT_JOB_MEMORY : 0) |
			(process_pages ? JOB_OBJECT_LIMIT_PROCESS_MEMORY : 0) |
			(children ? 0 : JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK),
	};

	return NtSetInformationJobObject(job, JobObjectExtendedLimitInformation, &info,
					 sizeof(info));
}

FIXTURE(job) {
	HANDLE job;
	uint8_t *p;
};

FIXTURE_SETUP(job)
{
	ASSERT_STATUS(STATUS_SUCCESS, NtCreateJobObject(&self->job, 0, NULL));
	self->p = reserve(4 * MIB);
	ASSERT_NE(NULL, self->p);
}

FIXTURE_TEARDOWN(job)
{
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(self->job));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtClose(self->job));
}

#define EXPECT_JOB(committed_pages, processes) do {				\
	struct ntvm_job __j = job_figures(self->job);				\
	EXPECT_EQ((committed_pages) * P, __j.out_committed);			\
	EXPECT_EQ((uint64_t)(processes), __j.out_processes);			\
} while (0)

/* More than memory and swap: it is the kernel that says no, and not the job. */
TEST_F(job, what_the_system_refuses_is_not_counted)
{
	uint8_t *q = reserve(LARGE);

	ASSERT_NE(NULL, q);
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	EXPECT_STATUS(LIMIT, commit(q, LARGE, RW));
	EXPECT_JOB(0, 1);
	EXPECT_EQ(0, job_figures(self->job).out_peak);
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 10, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 10 * P, RW));
	EXPECT_STATUS(LIMIT, commit(self->p + 10 * P, P, RW));
	EXPECT_JOB(10, 1);
	EXPECT_STATUS(STATUS_SUCCESS, release(q));
}

TEST_F(job, a_process_that_is_assigned_brings_what_it_has)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION info;
	HANDLE other;
	ULONG length = 0;

	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 100 * P, RW));
	EXPECT_JOB(0, 0);
	/* It does not fit. */
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 99, 0, true));
	EXPECT_STATUS(LIMIT, NtAssignProcessToJobObject(self->job, ME));
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 0, 99, true));
	EXPECT_STATUS(LIMIT, NtAssignProcessToJobObject(self->job, ME));
	EXPECT_JOB(0, 0);
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 200 * P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p + 100 * P, 100 * P));
	/* It fits. */
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 110, 105, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	EXPECT_JOB(100, 1);
	EXPECT_STATUS(LIMIT, commit(self->p + 100 * P, 6 * P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p + 100 * P, 5 * P, RW));
	EXPECT_STATUS(LIMIT, commit(self->p + 105 * P, P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 103, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, P));
	EXPECT_STATUS(LIMIT, commit(self->p, P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p + P, 2 * P));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, P, RW));
	EXPECT_STATUS(LIMIT, commit(self->p + P, P, RW));
	EXPECT_JOB(103, 1);
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtQueryInformationJobObject(self->job, JobObjectExtendedLimitInformation,
						  &info, sizeof(info), &length));
	EXPECT_EQ(sizeof(info), length);
	EXPECT_EQ(JOB_OBJECT_LIMIT_JOB_MEMORY, info.BasicLimitInformation.LimitFlags);
	EXPECT_EQ(103 * P, info.JobMemoryLimit);
	EXPECT_EQ(0, info.ProcessMemoryLimit);
	EXPECT_EQ(105 * P, info.PeakJobMemoryUsed);
	EXPECT_EQ(105 * P, info.PeakProcessMemoryUsed);
	/* One job, for good. */
	EXPECT_STATUS(STATUS_ACCESS_DENIED, NtAssignProcessToJobObject(self->job, ME));
	EXPECT_STATUS(STATUS_SUCCESS, NtCreateJobObject(&other, 0, NULL));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, NtAssignProcessToJobObject(other, ME));
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(other));
	/* The limit of its own counts beside the job's. */
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 0, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 104 * P));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p + P, P, RW));
	EXPECT_STATUS(LIMIT, commit(self->p + 2 * P, P, RW));
	EXPECT_STATUS(STATUS_SUCCESS, LibntSetCommitLimit(ME, 0));
	EXPECT_STATUS(STATUS_SUCCESS, release(self->p));
	EXPECT_JOB(0, 1);
}

TEST_F(job, outlives_its_handle)
{
	HANDLE job;

	EXPECT_STATUS(STATUS_SUCCESS, NtCreateJobObject(&job, 0, NULL));
	EXPECT_STATUS(STATUS_SUCCESS, set_job(job, 10, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(job, ME));
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(job));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 10 * P, RW));
	EXPECT_STATUS(LIMIT, commit(self->p + 10 * P, P, RW));
}

/* Commits as many pages as it is told, one by one; says how many it got. */
static int serves(int sock, void *arg)
{
	uint8_t *p = NULL;
	uint64_t want, got;

	(void)arg;
	while (child_hear(sock, &want)) {
		if (!p)
			p = reserve(64 * MIB);
		if (!want) {
			got = p ? decommit(p, 0) : 1;
		} else {
			for (got = 0; got < want; got++)
				if (commit(p + 2 * got * P, P, RW) != STATUS_SUCCESS)
					break;
		}
		child_tell(sock, got);
	}
	return 0;
}

static uint64_t ask(struct child *c, uint64_t want)
{
	uint64_t got = ~0ull;

	child_tell(c->sock, want);
	return child_hear(c->sock, &got) ? got : ~0ull;
}

TEST_F(job, children_are_in_it_and_share_the_limit)
{
	struct child c[3];
	int i;

	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 100, 60, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 10 * P, RW));
	for (i = 0; i < 3; i++)
		ASSERT_TRUE(child_start(&c[i], serves, NULL));
	EXPECT_JOB(10, 1);
	EXPECT_EQ(60, ask(&c[0], 1000));	/* its own limit */
	EXPECT_JOB(70, 2);
	EXPECT_EQ(30, ask(&c[1], 1000));	/* what is left */
	EXPECT_EQ(0, ask(&c[2], 1000));
	EXPECT_JOB(100, 4);
	EXPECT_STATUS(LIMIT, commit(self->p + 10 * P, P, RW));
	EXPECT_EQ(0, ask(&c[0], 0));
	EXPECT_JOB(40, 4);
	EXPECT_EQ(60, ask(&c[2], 1000));
	EXPECT_EQ(0, ask(&c[2], 0));
	/* Exit and SIGKILL give the share back. */
	EXPECT_EQ(0, child_wait(&c[2]));
	EXPECT_TRUE(wait_until(5, job_figures(self->job).out_processes == 3));
	kill(c[1].pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, child_wait(&c[1]));
	EXPECT_TRUE(wait_until(5, job_figures(self->job).out_committed == 10 * P));
	EXPECT_JOB(10, 2);
	EXPECT_EQ(60, ask(&c[0], 1000));
	EXPECT_EQ(0, child_wait(&c[0]));
	EXPECT_TRUE(wait_until(5, job_figures(self->job).out_committed == 10 * P));
	EXPECT_EQ(100 * P, job_figures(self->job).out_peak);
	EXPECT_EQ(60 * P, job_figures(self->job).out_process_peak);
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 60 * P, RW));
}

TEST_F(job, children_stay_out_if_it_says_so)
{
	struct child c;

	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 20, 0, false));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	ASSERT_TRUE(child_start(&c, serves, NULL));
	EXPECT_EQ(500, ask(&c, 500));
	EXPECT_JOB(0, 1);
	EXPECT_EQ(0, child_wait(&c));
	/* Whoever looks first when it takes children is in. */
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 20, 0, true));
	ASSERT_TRUE(child_start(&c, serves, NULL));
	EXPECT_EQ(20, ask(&c, 500));
	EXPECT_JOB(20, 2);
	EXPECT_EQ(0, child_wait(&c));
}

/* The one in between never opens the device. */
static int has_a_child(int sock, void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(serves(sock, arg));
	close(sock);
	return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 99;
}

TEST_F(job, grandchildren_too)
{
	struct child c;

	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 20, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	ASSERT_TRUE(child_start(&c, has_a_child, NULL));
	EXPECT_EQ(20, ask(&c, 500));
	EXPECT_JOB(20, 2);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_TRUE(wait_until(5, job_figures(self->job).out_processes == 1));
}

static int is_not_in_it(int sock, void *arg)
{
	(void)arg;
	if (!send_fd(sock, own_device()))
		return 1;
	return serves(sock, NULL);
}

TEST_F(job, another_process_is_assigned_by_its_handle)
{
	struct child c;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, is_not_in_it, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	EXPECT_EQ(30, ask(&c, 30));
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 29, 0, true));
	EXPECT_STATUS(LIMIT, NtAssignProcessToJobObject(self->job, h));
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 40, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, h));
	EXPECT_JOB(30, 1);
	EXPECT_EQ(0, ask(&c, 0));
	EXPECT_EQ(40, ask(&c, 500));
	EXPECT_STATUS(STATUS_SUCCESS, commit(self->p, 100 * P, RW));
	EXPECT_EQ(0, child_wait(&c));
	/* The handle holds the object, not its share nor its place. */
	EXPECT_TRUE(wait_until(5, !job_figures(self->job).out_committed));
	EXPECT_JOB(0, 0);
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, NtAssignProcessToJobObject(self->job, h));
	NtClose(h);
}

static int execs(int sock, void *arg)
{
	char number[16];

	(void)arg;
	if (!reserve_commit(15 * P, RW))
		return 1;
	fcntl(sock, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", sock);
	execl("/proc/self/exe", "test_limits", "--serve", number, NULL);
	return 2;
}

TEST_F(job, a_program_that_execs_stays_in_it)
{
	struct child c;

	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 20, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	ASSERT_TRUE(child_start(&c, execs, NULL));
	EXPECT_TRUE(wait_until(5, job_figures(self->job).out_peak == 15 * P));
	/* What it had is gone with the exec. */
	EXPECT_TRUE(wait_until(5, !job_figures(self->job).out_committed));
	/* Itself it stays in, whether children are or not. */
	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 20, 0, false));
	EXPECT_EQ(20, ask(&c, 500));
	EXPECT_JOB(20, 2);
	EXPECT_EQ(0, child_wait(&c));
	/* The work item that returns the share may come after the last thread. */
	EXPECT_TRUE(wait_until(5, !job_figures(self->job).out_committed));
	EXPECT_JOB(0, 1);
}

TEST_F(job, fifty_children_at_once)
{
	struct child c[50];
	uint64_t sum = 0, got;
	int i;

	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 1000, 0, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	for (i = 0; i < 50; i++) {
		ASSERT_TRUE(child_start(&c[i], serves, NULL));
		child_tell(c[i].sock, 37);
	}
	for (i = 0; i < 50; i++)
		if (child_hear(c[i].sock, &got))
			sum += got;
	EXPECT_EQ(1000, sum);
	EXPECT_JOB(1000, 51);
	for (i = 0; i < 50; i += 2)
		kill(c[i].pid, SIGKILL);
	/* Later ones hold the sockets of earlier ones. */
	for (i = 49; i >= 0; i--)
		EXPECT_EQ(i % 2 ? 0 : 128 + SIGKILL, child_wait(&c[i]));
	EXPECT_TRUE(wait_until(5, job_figures(self->job).out_processes == 1));
	EXPECT_TRUE(wait_until(5, !job_figures(self->job).out_committed));
	EXPECT_EQ(1000 * P, job_figures(self->job).out_peak);
}

/* Takes and gives back; tells what it holds in the end, and waits. */
static int struggles(int sock, void *arg)
{
	struct pusher w = { .p = reserve(2 * MIB) };
	uint64_t word;

	(void)arg;
	if (!w.p || !child_hear(sock, &word))
		return 1;
	pushes(&w);
	child_tell(sock, w.held);
	return !child_hear(sock, &word);
}

TEST_F(job, a_race_at_the_limit_between_processes)
{
	struct child c[3];
	uint64_t held[3], sum = 0, most = 0;
	long looks = 0;
	double until;
	int i;

	EXPECT_STATUS(STATUS_SUCCESS, set_job(self->job, 200, 100, true));
	EXPECT_STATUS(STATUS_SUCCESS, NtAssignProcessToJobObject(self->job, ME));
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(child_start(&c[i], struggles, NULL));
		child_tell(c[i].sock, 1);
	}
	for (until = now() + 1.5; now() < until; looks++) {
		struct ntvm_job j = job_figures(self->job);

		if (j.out_committed > most)
			most = j.out_committed;
	}
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(child_hear(c[i].sock, &held[i]));
		EXPECT_GE(100, held[i]);
		sum += held[i];
	}
	/* Never above, and the last pages went to somebody. */
	EXPECT_LT(0, looks);
	EXPECT_GE(200 * P, most);
	EXPECT_EQ(200 * P, job_figures(self->job).out_peak);
	EXPECT_GE(100 * P, job_figures(self->job).out_process_peak);
	EXPECT_JOB(sum, 4);
	for (i = 0; i < 3; i++) {
		child_tell(c[i].sock, 1);
		EXPECT_EQ(0, child_wait(&c[i]));
	}
	EXPECT_TRUE(wait_until(5, !job_figures(self->job).out_committed));
	EXPECT_JOB(0, 1);
}

/* Behind exec: not a test but the served child. */
static __attribute__((constructor)) void served(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--serve"))
		_exit(serves(atoi(argv[2]), NULL));
}

TEST_HARNESS_MAIN
