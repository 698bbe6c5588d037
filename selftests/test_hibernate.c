// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hibernation and suspend: memory in every state is afterwards as it was, and what
 * was under way goes on. The system writes its image to a disk and loads it again
 * within one boot (test_resume), so that no firmware has a part in it. Needs such
 * a disk as /dev/vda (tools/ntvm-vm --disk), all of which is overwritten.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	240

#ifndef MADV_PAGEOUT
#define MADV_COLD	20
#define MADV_PAGEOUT	21
#endif

#define DISK	"/dev/vda"
#define POWER	"/sys/power/"
#define N	16		/* pages of most pieces */
#define MANY	512		/* of those that the kernel may give up, or swap */
#define L	(2 * MIB)
#define LESS	((int64_t)(16 * MIB))	/* what a small image has no room for */
#define ALL	(MEM_RESERVE | MEM_COMMIT)

/* --- the system sleeps --------------------------------------------------------------- */

static const char *missing(void)
{
	char text[256];

	if (read_file(POWER "disk", text, sizeof(text)) <= 0)
		return "the kernel has no hibernation (" POWER "disk)";
	if (!strstr(text, "test_resume"))
		return "the kernel cannot resume without a boot (test_resume in " POWER "disk)";
	if (access(DISK, R_OK | W_OK))
		return "there is no " DISK " (ntvm-vm --disk)";
	return NULL;
}

/* Before the harness: what the system lacks concerns all of the program. */
static void __attribute__((constructor)) hibernate_check(void)
{
	const char *why = missing();

	if (!why)
		return;
	printf("TAP version 13\n1..0 # SKIP %s\n", why);
	fflush(stdout);
	_exit(4);
}

/* A reader of the kernel's log from here on. */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* Which of the texts came since, a bit for each; leaves @fd at the log's end. */
static unsigned int log_has(int fd, const char *const *text, unsigned int nr)
{
	char record[1024];
	unsigned int found = 0, i;
	ssize_t n;

	/* EPIPE: some were overwritten, the next one is there. */
	while ((n = read(fd, record, sizeof(record) - 1)) >= 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		record[n] = 0;
		for (i = 0; i < nr; i++)
			if (strstr(record, text[i]))
				found |= 1u << i;
	}
	return found;
}

/*
 * Linux before 6.4 wants the swap device for itself when it is to load the image,
 * while it swaps to it: it wrote the image and goes on without having loaded it.
 */
static const char not_loaded[] = "this kernel writes its image, but loads it after a boot only";

static bool before_6_4(void)
{
	unsigned int major_nr, minor_nr;
	struct utsname u;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major_nr, &minor_nr) == 2 &&
	       (major_nr < 6 || (major_nr == 6 && minor_nr < 4));
}

/*
 * Whether an image was written to the disk and read again, as the last 20 bytes of
 * the swap header on it tell, not what memory has of it: swap_on_device() leaves the
 * first ten zero, the writer puts the signature there and its own behind it, and the
 * reader puts back the one that was.
 */
static bool image_came_back(void)
{
	uint8_t *page = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open(DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);
	bool back;

	back = page != MAP_FAILED && fd >= 0 && pread(fd, page, P, 0) == (ssize_t)P &&
	       !memcmp(page + P - 20, "SWAPSPACE2SWAPSPACE2", 20);
	if (fd >= 0)
		close(fd);
	if (page != MAP_FAILED)
		munmap(page, P);
	return back;
}

/* Hibernates and resumes. NULL, not_loaded, or what was not as it has to be. */
static const char *hibernate(const char *image_size)
{
	/*
	 * A kernel that came out of an image says the first. The log came with it:
	 * nothing is there of the image being written, which is the second.
	 */
	static const char *const lines[] = {
		"Hibernation image restored successfully", "Image saving done",
	};
	unsigned int lines_seen;
	int err = 0;

	int log = log_open();
	struct stat st;
	char text[32], size[32];
	const char *bad = NULL;

	if (log < 0 || stat(DISK, &st) || read_file(POWER "image_size", size, sizeof(size)) <= 0)
		return "no log, disk or size";
	if (image_size && write_file(POWER "image_size", image_size))
		return "the image's size cannot be set";
	snprintf(text, sizeof(text), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	/* It looks for an image at once, and may say that there is none. */
	write_file(POWER "resume", text);
	if (write_file(POWER "disk", "test_resume") || write_file(POWER "pm_debug_messages", "1"))
		bad = "no test_resume or no messages";
	else if (write_file(POWER "state", "disk"))
		err = errno;
	lines_seen = log_has(log, lines, ARRAY_SIZE(lines));
	if (!bad && err)
		bad = err == EBUSY && lines_seen == 2 && before_6_4() ? not_loaded : strerror(err);
	else if (!bad && (lines_seen != 1 || !image_came_back()))
		bad = "no image was restored";
	write_file(POWER "pm_debug_messages", "0");
	write_file(POWER "image_size", size);
	close(log);
	return bad;
}

/* All that is in use is in the image. */
static const char *hibernate_all(void)
{
	return hibernate(NULL);
}

/* The image is to be smaller than what is in use: the kernel swaps, and gives up. */
static const char *hibernate_less(void)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld",
		 (long long)(meminfo("MemTotal") - meminfo("MemFree") - LESS));
	return hibernate(text);
}

/* All of a suspend to memory but its last step, which needs firmware. */
static const char *nearly_suspend(void)
{
	static const char *const line = "suspend debug: Waiting for";
	int log = log_open();
	const char *bad = NULL;

	if (log < 0)
		return "no log";
	write_file("/sys/module/suspend/parameters/pm_test_delay", "1");
	if (write_file(POWER "pm_test", "core"))
		bad = "no pm_test";
	else if (write_file(POWER "state", "mem"))
		bad = strerror(errno);
	else if (!log_has(log, &line, 1))
		bad = "the system was not suspended";
	write_file(POWER "pm_test", "none");
	close(log);
	return bad;
}

/* --- contents ------------------------------------------------------------------------- */

/* What byte @at of a page is: it says which piece, page and word that is. */
static uint32_t word_of(const void *piece, size_t page, size_t at)
{
	return ((uintptr_t)piece >> 12) * 2654435761u ^ page * 40503u ^ at * 2246822519u;
}

static void fill(uint8_t *p, size_t from, size_t to)
{
	for (; from < to; from++) {
		uint32_t *w = (uint32_t *)(p + from * P);
		size_t i;

		for (i = 0; i < P / sizeof(*w); i++)
			w[i] = word_of(p, from, i) | 1;
	}
}

enum is { ZERO, OLD, TORN };

static enum is page_is(const uint8_t *p, size_t page)
{
	const volatile uint32_t *w = (const volatile uint32_t *)(p + page * P);
	bool old = w[0] != 0;
	size_t i;

	for (i = 0; i < P / sizeof(*w); i++)
		if (w[i] != (old ? (word_of(p, page, i) | 1) : 0))
			return TORN;
	return old ? OLD : ZERO;
}

static size_t count(const uint8_t *p, size_t pages, enum is what)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += page_is(p, i) == what;
	return n;
}

/* Half of them at least have a place in swap; the kernel may put it off. */
static bool swapped_out(uint8_t *p, size_t pages)
{
	madvise(p, pages * P, MADV_COLD);
	madvise(p, pages * P, MADV_PAGEOUT);
	return meminfo("SwapTotal") - meminfo("SwapFree") >= (int64_t)(pages / 2 * P);
}

/* --- memory in every state --------------------------------------------------------- */

enum { RESERVED, TOUCHED, UNTOUCHED, RDONLY, NOACCESS, GUARD, USED_GUARD, CODE, WATCHED, LOCKED,
	LARGE_PAGE, PLACEHOLDER, SPLIT, RESET, OFFERED, SWAPPED, MIXED, HOLED, PIECES };

static struct piece {
	uint8_t *p;
	size_t size;
} piece[PIECES];

/* The answers to all queries about a piece, and the process's totals. */
static struct snap snap_piece(int i)
{
	return snap_of(ME, (uintptr_t)piece[i].p, (uintptr_t)piece[i].p + piece[i].size);
}

static uint8_t *make(int i, size_t pages, ULONG type, ULONG prot)
{
	piece[i].size = pages * P;
	piece[i].p = (uint8_t *)do_alloc(ME, 0, 0, pages * P, type, prot).base;
	return piece[i].p;
}

static uint8_t *make_placeholder(int i)
{
	piece[i].size = 2 * G;
	piece[i].p = (uint8_t *)do_alloc_ex(ME, 0, 2 * G, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
					    PAGE_NOACCESS, NULL, 0).base;
	return piece[i].p;
}

static uint8_t *make_filled(int i, size_t pages)
{
	uint8_t *p = make(i, pages, ALL, PAGE_READWRITE);

	if (p)
		fill(p, 0, pages);
	return p;
}

/* Bitmap of the pages of a watched piece that were written. */
static uint64_t written(uint8_t *p, ULONG flags)
{
	PVOID at[64];
	ULONG_PTR n = 64;
	ULONG granularity;
	uint64_t map = 0;

	if (NtGetWriteWatch(ME, flags, p, N * P, at, &n, &granularity))
		return ~0ull;
	while (n--)
		map |= 1ull << (((uintptr_t)at[n] - (uintptr_t)p) / P);
	return map;
}

static NTSTATUS lock_pages(void *p, size_t size)
{
	PVOID base = p;
	SIZE_T n = size;

	return NtLockVirtualMemory(ME, &base, &n, MAP_PROCESS);
}

static NTSTATUS unlock_pages(void *p, size_t size)
{
	PVOID base = p;
	SIZE_T n = size;

	return NtUnlockVirtualMemory(ME, &base, &n, MAP_PROCESS);
}

static NTSTATUS reset_type(void *p, size_t size, ULONG type)
{
	return do_alloc(ME, (uintptr_t)p, 0, size, type, PAGE_READWRITE).status;
}

/* Which pages of a watched piece are written before the system sleeps. */
#define BEFORE	((1ull << 1) | (1ull << 5) | (1ull << 15))

/* The line that failed, or 0. */
static int make_all(void)
{
	uint8_t *p;
	size_t i;

#define NEED(expr) do { if (!(expr)) return __LINE__; } while (0)
	NEED(make(RESERVED, N, MEM_RESERVE, PAGE_READWRITE));
	NEED(make_filled(TOUCHED, N));
	NEED(make(UNTOUCHED, N, ALL, PAGE_READWRITE));
	NEED((p = make_filled(RDONLY, N)) && !protect(p, N * P, PAGE_READONLY));
	NEED((p = make_filled(NOACCESS, N)) && !protect(p, N * P, PAGE_NOACCESS));
	NEED((p = make_filled(GUARD, N)) && !protect(p, N * P, PAGE_READWRITE | PAGE_GUARD));
	NEED((p = make_filled(USED_GUARD, N)) &&
	     !protect(p, N * P, PAGE_READWRITE | PAGE_GUARD));
	NEED(probe_write(p + 3 * P, 1).signo == SIGSEGV);
	NEED(LibntTakeFault(&(PVOID){ NULL }) == STATUS_GUARD_PAGE_VIOLATION);
	NEED((p = make(CODE, N, ALL, PAGE_READWRITE)));
	for (i = 0; i < N; i++)
		put_code(p + i * P, 1000 + i);
	NEED(!protect(p, N * P, PAGE_EXECUTE_READ));
	NEED((p = make(WATCHED, N, ALL | MEM_WRITE_WATCH, PAGE_READWRITE)));
	fill(p, 0, N);
	NEED(written(p, WRITE_WATCH_FLAG_RESET) == (1ull << N) - 1);
	for (i = 0; i < N; i++)
		if (BEFORE & (1ull << i))
			fill(p, i, i + 1);
	NEED((p = make_filled(LOCKED, N)) && !lock_pages(p, N * P));
	NEED((p = make(LARGE_PAGE, L / P, ALL | MEM_LARGE_PAGES, PAGE_READWRITE)));
	fill(p, 0, L / P);
	NEED(make_placeholder(PLACEHOLDER));
	NEED((p = make_placeholder(SPLIT)));
	NEED(!do_free(ME, (uintptr_t)p + G, G, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER).status);
	NEED((p = make_filled(RESET, MANY)) && !reset_type(p, MANY * P, MEM_RESET));
	NEED((p = make_filled(OFFERED, MANY)) &&
	     !LibntOfferVirtualMemory(ME, p, MANY * P, VmOfferPriorityLow));
	NEED((p = make_filled(SWAPPED, MANY)));
	NEED(wait_until(20, swapped_out(p, MANY)));
	/* Every other page is committed, and every fourth was written. */
	NEED((p = make(MIXED, 4 * N, MEM_RESERVE, PAGE_READWRITE)));
	for (i = 0; i < 4 * N; i += 2) {
		NEED(!commit(p + i * P, P, i % 8 ? PAGE_READWRITE : PAGE_EXECUTE_READWRITE));
		if (i % 4 == 0)
			fill(p, i, i + 1);
	}
	NEED((p = make_filled(HOLED, 3 * N)) &&
	     !do_free(ME, (uintptr_t)p + N * P, N * P, MEM_RELEASE).status);
#undef NEED
	return 0;
}

/* Both parts of what had a hole, or all. */
static NTSTATUS release_piece(int i)
{
	NTSTATUS status = release(piece[i].p);

	if (!status && i == HOLED)
		status = release(piece[i].p + 2 * N * P);
	if (!status && i == SPLIT)
		status = release(piece[i].p + G);
	return status;
}

/* --- what is under way --------------------------------------------------------------- */

enum { TOUCH, COMMIT, PROTECT, EXECUTE, WATCH, DISPOSE, LOCK, FOREIGN, FORK, LOOPS };
static const char *const loop_name[] = {
	"touches", "commits", "protects", "executes", "watches", "disposes", "locks",
	"works on another process", "forks",
};

static struct shared {
	bool stop;
	uint64_t rounds[LOOPS];
	int bad[LOOPS];		/* the line of the first thing that was wrong */
} *S;

#define MUST(loop, expr) do {							\
	if (!(expr) && !S->bad[loop])						\
		S->bad[loop] = __LINE__;					\
} while (0)

static bool going(int loop)
{
	__atomic_add_fetch(&S->rounds[loop], 1, __ATOMIC_SEQ_CST);
	return !__atomic_load_n(&S->stop, __ATOMIC_SEQ_CST) && !S->bad[loop];
}

static void *touches(void *arg)
{
	uint8_t *p = reserve_commit(64 * P, PAGE_READWRITE);
	uint64_t round, *w;
	size_t i;

	(void)arg;
	MUST(TOUCH, p);
	for (round = 1; going(TOUCH); round++) {
		for (i = 0; i < 64; i++) {
			w = (uint64_t *)(p + i * P);
			MUST(TOUCH, w[0] == round - 1 && w[511] == round - 1);
			w[0] = w[511] = round;
		}
	}
	MUST(TOUCH, !release(p));
	return NULL;
}

static void *commits(void *arg)
{
	uint8_t *p = reserve(64 * P);
	size_t i;

	(void)arg;
	MUST(COMMIT, p);
	while (going(COMMIT)) {
		MUST(COMMIT, !commit(p, 64 * P, PAGE_READWRITE));
		if (S->bad[COMMIT])
			break;
		for (i = 0; i < 64; i += 3) {
			MUST(COMMIT, page_is(p, i) == ZERO);
			fill(p, i, i + 1);
		}
		MUST(COMMIT, !decommit(p, 64 * P));
	}
	MUST(COMMIT, !release(p));
	return NULL;
}

static void *protects(void *arg)
{
	uint8_t *p = reserve_commit(N * P, PAGE_READWRITE);

	(void)arg;
	MUST(PROTECT, p);
	fill(p, 0, N);
	while (going(PROTECT)) {
		MUST(PROTECT, !protect(p, N * P, PAGE_READONLY));
		MUST(PROTECT, probe_write(p + P, 1).signo == SIGSEGV);
		MUST(PROTECT, !protect(p, N * P, PAGE_READWRITE | PAGE_GUARD));
		MUST(PROTECT, probe_read(p + 2 * P).signo == SIGSEGV);
		MUST(PROTECT, page_is(p, 2) == OLD);
		MUST(PROTECT, !protect(p, N * P, PAGE_READWRITE));
		MUST(PROTECT, count(p, N, OLD) == N);
	}
	MUST(PROTECT, !release(p));
	return NULL;
}

static void *executes(void *arg)
{
	uint32_t round = 0;

	(void)arg;
	while (going(EXECUTE)) {
		uint8_t *p = reserve_commit(N * P, PAGE_EXECUTE_READWRITE);

		MUST(EXECUTE, p);
		if (!p)
			break;
		put_code(p + 7 * P, ++round);
		MUST(EXECUTE, !protect(p + 7 * P, P, PAGE_EXECUTE_READ));
		MUST(EXECUTE, probe_exec(p + 7 * P).value == round);
		MUST(EXECUTE, !release(p));
	}
	return NULL;
}

static void *watches(void *arg)
{
	uint8_t *p = (uint8_t *)do_alloc(ME, 0, 0, N * P, ALL | MEM_WRITE_WATCH,
					 PAGE_READWRITE).base;
	uint64_t round, want;
	size_t i;

	(void)arg;
	MUST(WATCH, p);
	for (round = 1; going(WATCH); round++) {
		want = (round * 40503) & 0xffff;
		for (i = 0; i < N; i++)
			if (want & (1ull << i))
				p[i * P + 9] = round;
		MUST(WATCH, written(p, WRITE_WATCH_FLAG_RESET) == want);
	}
	MUST(WATCH, !release(p));
	return NULL;
}

static void *disposes(void *arg)
{
	uint8_t *p = reserve_commit(N * P, PAGE_READWRITE);
	NTSTATUS status;
	bool offer;

	(void)arg;
	MUST(DISPOSE, p);
	for (offer = false; going(DISPOSE); offer = !offer) {
		fill(p, 0, N);
		if (offer) {
			MUST(DISPOSE, !LibntOfferVirtualMemory(ME, p, N * P, VmOfferPriorityLow));
			status = LibntReclaimVirtualMemory(ME, p, N * P);
			MUST(DISPOSE, !status || status == STATUS_DEVICE_BUSY);
		} else {
			MUST(DISPOSE, !reset_type(p, N * P, MEM_RESET));
			status = reset_type(p, N * P, MEM_RESET_UNDO);
			MUST(DISPOSE, !status || status == STATUS_UNSUCCESSFUL);
		}
		MUST(DISPOSE, count(p, N, TORN) == 0);
		MUST(DISPOSE, !status == (count(p, N, OLD) == N));
	}
	MUST(DISPOSE, !release(p));
	return NULL;
}

static void *locks(void *arg)
{
	uint8_t *p = reserve_commit(N * P, PAGE_READWRITE);

	(void)arg;
	MUST(LOCK, p);
	fill(p, 0, N);
	while (going(LOCK)) {
		MUST(LOCK, !lock_pages(p, N * P));
		MUST(LOCK, count(p, N, OLD) == N);
		MUST(LOCK, !unlock_pages(p, N * P));
	}
	MUST(LOCK, !release(p));
	return NULL;
}

/* Has the threads; nothing of its memory may be left when they are done. */
static int worker(int sock, void *arg)
{
	static void *(*const fn[])(void *) = {
		touches, commits, protects, executes, watches, disposes, locks,
	};
	pthread_t thread[ARRAY_SIZE(fn)];
	LIBNT_INFO info;
	uint64_t word;
	size_t i;

	(void)arg;
	probe_init();
	/* For the process that works on this one. */
	if (!reserve(G))
		return 1;
	child_tell(sock, 1);
	for (i = 0; i < ARRAY_SIZE(fn); i++)
		if (pthread_create(&thread[i], NULL, fn[i], NULL))
			return 2;
	for (i = 0; i < ARRAY_SIZE(fn); i++)
		pthread_join(thread[i], NULL);
	/* The other process has ended. */
	child_hear(sock, &word);
	info = info_of(ME);
	return info.Regions != 1 || info.ReservedBytes != G || info.CommittedBytes ? 3 : 0;
}

/* Makes, fills, reads and frees memory of the worker's. */
static int foreigner(int sock, void *arg)
{
	OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes) };
	CLIENT_ID id = { .UniqueProcess = (HANDLE)(uintptr_t)*(pid_t *)arg };
	static uint8_t out[4 * P], in[4 * P];
	uint32_t round = 0;
	HANDLE h = NULL;

	(void)sock;
	if (NtOpenProcess(&h, NTVM_ACCESS_ALL, &attributes, &id))
		return 1;
	while (going(FOREIGN)) {
		struct res r = do_alloc(h, 0, 0, sizeof(out), ALL, PAGE_READWRITE);
		SIZE_T n = 0;

		MUST(FOREIGN, !r.status);
		if (r.status)
			break;
		memset(out, ++round, sizeof(out));
		MUST(FOREIGN, !NtWriteVirtualMemory(h, (PVOID)r.base, out, sizeof(out), &n));
		MUST(FOREIGN, !do_protect(h, r.base, sizeof(out), PAGE_READONLY).status);
		MUST(FOREIGN, !NtReadVirtualMemory(h, (PVOID)r.base, in, sizeof(in), &n));
		MUST(FOREIGN, !memcmp(in, out, sizeof(in)));
		MUST(FOREIGN, !do_free(h, r.base, 0, MEM_RELEASE).status);
	}
	return NtClose(h) ? 2 : 0;
}

/* Has memory, which its children have not, and children that have some of their own. */
static int forker(int sock, void *arg)
{
	uint8_t *p = reserve_commit(N * P, PAGE_READWRITE);
	int status;
	pid_t pid;

	(void)sock;
	(void)arg;
	if (!p)
		return 1;
	fill(p, 0, N);
	while (going(FORK)) {
		pid = fork();
		if (!pid) {
			uint8_t *q = reserve_commit(N * P, PAGE_READWRITE);

			if (!q || page_state(p) != MEM_FREE)
				_exit(q == p ? 0 : 1);
			fill(q, 0, N);
			_exit(count(q, N, OLD) == N && !release(q) ? 0 : 2);
		}
		MUST(FORK, pid > 0 && waitpid(pid, &status, 0) == pid && !status);
		MUST(FORK, count(p, N, OLD) == N);
	}
	return release(p) ? 2 : 0;
}

/* Forked with all the memory there; lives through the sleep with memory of its own. */
static int heir(int sock, void *arg)
{
	uint8_t *p, *q;
	uint64_t word;
	struct snap before, after;

	(void)arg;
	if (info_of(ME).Regions)
		return 1;
	p = reserve_commit(N * P, PAGE_READWRITE);
	q = reserve(N * P);
	if (!p || !q)
		return 2;
	fill(p, 0, N);
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + N * P);
	child_tell(sock, 1);
	if (!child_hear(sock, &word))
		return 3;
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + N * P);
	if (!snap_same(&before, &after) || count(p, N, OLD) != N)
		return 4;
	if (commit(q, N * P, PAGE_READWRITE) || count(q, N, ZERO) != N)
		return 5;
	return release(p) || release(q) || info_of(ME).Regions ? 6 : 0;
}

/* --- the test ---------------------------------------------------------------------- */

FIXTURE(sleeps) {
	struct snap before;
	int64_t objects;
	bool image_left;	/* in swap, for ever */
};

FIXTURE_VARIANT(sleeps) {
	const char *(*sleep)(void);
	const char *file;
	const char *word;
	const char *only_if;	/* set in the environment */
};

FIXTURE_VARIANT_ADD(sleeps, suspends) {
	.sleep = nearly_suspend,
	.file = POWER "pm_test",
	.word = "core",
};

FIXTURE_VARIANT_ADD(sleeps, hibernates) {
	.sleep = hibernate_all,
	.file = POWER "disk",
	.word = "test_resume",
};

FIXTURE_VARIANT_ADD(sleeps, hibernates_with_a_small_image) {
	.sleep = hibernate_less,
	.file = POWER "disk",
	.word = "test_resume",
	.only_if = "NTVM_HIBERNATE_SMALL",
};

FIXTURE_SETUP(sleeps)
{
	uint64_t size = 0;
	char text[256];
	int fd;

	/* The kernel takes half a minute or more to make room. */
	if (variant->only_if && !getenv(variant->only_if))
		SKIP(return, "only with %s in the environment", variant->only_if);
	if (read_file(variant->file, text, sizeof(text)) <= 0 || !strstr(text, variant->word))
		SKIP(return, "the kernel has no %s in %s", variant->word, variant->file);
	probe_init();
	fd = open(DISK, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, ioctl(fd, BLKGETSIZE64, &size));
	close(fd);
	ASSERT_TRUE(swap_on_device(DISK, size)) {
		TH_LOG("no swap on " DISK ": %s", strerror(errno));
	}
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	self->before = snap_of(ME, 0, 0);
	self->objects = slab_objects();
	S = mmap(NULL, sizeof(*S), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, S);
}

FIXTURE_TEARDOWN(sleeps)
{
	/* A kernel that does not load its image does not free it: it cannot be swapped in. */
	if (S && !self->image_left)
		EXPECT_EQ(0, swapoff(DISK));
}

static bool all_beyond(const uint64_t *from, unsigned int by)
{
	int i;

	for (i = 0; i < LOOPS; i++)
		if (__atomic_load_n(&S->rounds[i], __ATOMIC_SEQ_CST) < from[i] + by && !S->bad[i])
			return false;
	return true;
}

TEST_F(sleeps, all_is_as_before_and_goes_on)
{
	static const int full[] = { TOUCHED, RDONLY, NOACCESS, GUARD, WATCHED, LOCKED, SWAPPED };
	struct child child[4];
	struct snap were[PIECES], are;
	uint64_t from[LOOPS] = { 0 }, word;
	int64_t locked, charge;
	uint8_t *p, *q;
	size_t i, lost;
	const char *bad;
	double begun;
	NTSTATUS status;
	PVOID page;

	i = make_all();
	ASSERT_EQ(0, i) {
		TH_LOG("the memory cannot be made, see line %zu", i);
	}
	ASSERT_TRUE(child_start(&child[0], heir, NULL) && child_hear(child[0].sock, &word));
	ASSERT_TRUE(child_start(&child[1], worker, NULL) && child_hear(child[1].sock, &word));
	ASSERT_TRUE(child_start(&child[2], foreigner, &child[1].pid));
	ASSERT_TRUE(child_start(&child[3], forker, NULL));
	EXPECT_TRUE(wait_until(30, all_beyond(from, 2)));
	for (i = 0; i < PIECES; i++)
		were[i] = snap_piece(i);
	locked = proc_status(0, "VmLck");
	charge = info_of(ME).CommittedBytes;

	begun = now();
	bad = variant->sleep();
	EXPECT_TRUE(!bad || bad == not_loaded) {
		TH_LOG("the system did not sleep: %s", bad);
	}
	self->image_left = bad == not_loaded;
	TH_LOG("it slept after %.1f s, awake", now() - begun);

	/* What was under way. */
	memcpy(from, S->rounds, sizeof(from));
	EXPECT_TRUE(wait_until(30, all_beyond(from, 3)));
	for (i = 0; i < LOOPS; i++) {
		EXPECT_TRUE(S->rounds[i] >= from[i] + 3 && !S->bad[i]) {
			TH_LOG("what %s made %llu and %llu rounds, wrong is line %d", loop_name[i],
			       (unsigned long long)from[i],
			       (unsigned long long)(S->rounds[i] - from[i]), S->bad[i]);
		}
	}
	S->stop = true;
	EXPECT_EQ(0, child_wait(&child[3]));
	EXPECT_EQ(0, child_wait(&child[2]));
	child_tell(child[1].sock, 1);
	EXPECT_EQ(0, child_wait(&child[1]));
	child_tell(child[0].sock, 1);
	EXPECT_EQ(0, child_wait(&child[0]));

	/* All that can be asked. */
	for (i = 0; i < PIECES; i++) {
		are = snap_piece(i);
		EXPECT_TRUE(snap_same(&were[i], &are)) {
			TH_LOG("piece %zu", i);
		}
	}
	EXPECT_EQ(locked, proc_status(0, "VmLck"));
	EXPECT_EQ(charge, (int64_t)info_of(ME).CommittedBytes);
	EXPECT_EQ(STATUS_NOT_FOUND, LibntTakeFault(&page));

	/* What may not be accessed cannot be, and a guard is hit once. */
	EXPECT_NO_ACCESS(piece[RESERVED].p);
	EXPECT_NO_ACCESS(piece[NOACCESS].p + 5 * P);
	EXPECT_NO_ACCESS(piece[PLACEHOLDER].p);
	EXPECT_NO_ACCESS(piece[HOLED].p + N * P);
	EXPECT_NO_ACCESS(piece[OFFERED].p);
	EXPECT_NO_ACCESS(piece[MIXED].p + P);
	EXPECT_NO_WRITE(piece[RDONLY].p + 5 * P);
	for (i = 0; i < N; i++) {
		EXPECT_NO_READ(piece[GUARD].p + i * P);
		EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, LibntTakeFault(&page));
		EXPECT_EQ(piece[GUARD].p + i * P, page);
		EXPECT_EXEC(piece[CODE].p + i * P, 1000 + i);
	}
	EXPECT_NO_WRITE(piece[CODE].p);
	p = piece[USED_GUARD].p;
	EXPECT_EQ(PAGE_READWRITE, page_protect(p + 3 * P));
	EXPECT_EQ(OLD, page_is(p, 3));
	EXPECT_NO_READ(p + 4 * P);
	EXPECT_EQ(OLD, page_is(p, 4));

	/* The set of written pages, which grows by what is written now. */
	p = piece[WATCHED].p;
	EXPECT_EQ(BEFORE, written(p, 0));
	fill(p, 2, 3);
	EXPECT_EQ(BEFORE | 4, written(p, WRITE_WATCH_FLAG_RESET));
	fill(p, 7, 8);
	EXPECT_EQ(1ull << 7, written(p, 0));

	/* Contents. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(piece[NOACCESS].p, N * P, PAGE_READWRITE));
	for (i = 0; i < ARRAY_SIZE(full); i++) {
		struct piece *f = &piece[full[i]];

		EXPECT_EQ(f->size / P, count(f->p, f->size / P, OLD)) {
			TH_LOG("piece %d", full[i]);
		}
	}
	EXPECT_EQ(L / P, count(piece[LARGE_PAGE].p, L / P, OLD));
	EXPECT_EQ(N, count(piece[UNTOUCHED].p, N, ZERO));
	for (i = 0; i < 4 * N; i += 2)
		EXPECT_EQ(i % 4 ? ZERO : OLD, page_is(piece[MIXED].p, i));
	for (i = 0; i < N; i++) {
		EXPECT_EQ(OLD, page_is(piece[HOLED].p, i));
		EXPECT_EQ(OLD, page_is(piece[HOLED].p, 2 * N + i));
	}

	/* What the system could do without is there, or it is told that it is not. */
	p = piece[RESET].p;
	status = reset_type(p, MANY * P, MEM_RESET_UNDO);
	lost = count(p, MANY, ZERO);
	TH_LOG("of %d reset pages %zu were given up", MANY, lost);
	EXPECT_STATUS(lost ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS, status);
	EXPECT_EQ(MANY - lost, count(p, MANY, OLD));
	p = piece[OFFERED].p;
	status = LibntReclaimVirtualMemory(ME, p, MANY * P);
	lost = count(p, MANY, ZERO);
	TH_LOG("of %d offered pages %zu were given up", MANY, lost);
	EXPECT_STATUS(lost ? STATUS_DEVICE_BUSY : STATUS_SUCCESS, status);
	EXPECT_EQ(MANY - lost, count(p, MANY, OLD));

	/* Every kind of memory can be worked with. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(piece[RESERVED].p, N * P, PAGE_READWRITE));
	EXPECT_EQ(N, count(piece[RESERVED].p, N, ZERO));
	EXPECT_STATUS(STATUS_SUCCESS, unlock_pages(piece[LOCKED].p, N * P));
	EXPECT_EQ(locked - (int64_t)(N * P), proc_status(0, "VmLck"));
	p = piece[PLACEHOLDER].p;
	EXPECT_RES(STATUS_SUCCESS, p, 2 * G,
		   do_alloc_ex(ME, (uintptr_t)p, 2 * G,
			       MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE,
			       NULL, 0));
	fill(p, 0, 2 * G / P);
	q = piece[WATCHED].p;
	EXPECT_STATUS(STATUS_SUCCESS, decommit(q, N * P));

	/* And nothing remains of it. */
	for (i = 0; i < PIECES; i++)
		EXPECT_STATUS(STATUS_SUCCESS, release_piece(i));
	are = snap_of(ME, 0, 0);
	EXPECT_TRUE(snap_same(&self->before, &are));
	EXPECT_EQ(0, proc_status(0, "VmLck"));
	EXPECT_TRUE(wait_until(10, slab_objects() <= self->objects)) {
		TH_LOG("%lld objects, before %lld", (long long)slab_objects(),
		       (long long)self->objects);
	}
	if (bad == not_loaded && __test_passed(_metadata))
		SKIP(return, "%s", bad);
}

TEST_HARNESS_MAIN
