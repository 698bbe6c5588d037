// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each operation costs beside the mmap/mprotect sequence that does the
 * same, measured in one process in one run, so that the ratio means something
 * wherever it runs. In a QEMU guest with -icount shift=0 a nanosecond is an
 * instruction and the numbers repeat; tools/ntvm-bench sees to that.
 *
 * Every number is the median over batches of the time of a batch divided by
 * its operations. The loops do nothing but the operation: the areas are laid
 * out and the result arrays are touched before, and everything else is done
 * between two batches.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <libnt.h>
#include <linux/ntvm.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "../common/vmas.h"

#define PAGE		4096ul
#define MIB		(1ul << 20)
#define GIB		(1ul << 30)
#define BATCH		256	/* every other page of 2 MiB: the unit of ntvm's page table */
#define TOUCH_BATCH	512	/* pages under one hardware page table */
#define MAX_BATCHES	512
#define BAD_ADDRESS	((void *)0xffff800000000000ul)

/* The times of an operation, in ns, one entry per batch. */
struct series {
	int n;
	double v[MAX_BATCHES];
};

static struct {
	bool quick, tsv, check, only_watch;
	bool alone;		/* measure ntvm only */
	int rounds, batches;
	int fd;			/* for requests without libnt */
	int missed;
} b = { .rounds = 3, .batches = 64, .fd = -1 };

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

/* Cold and out of line, to keep the loops short. */
static void __attribute__((noinline, cold, noreturn)) nt_failed(const char *what, NTSTATUS status)
{
	die("%s: status 0x%08X", what, (unsigned int)status);
}

static void __attribute__((noinline, cold, noreturn)) sys_failed(const char *what)
{
	die("%s: %m", what);
}

/* --- measuring -------------------------------------------------------------------- */

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static int by_value(const void *x, const void *y)
{
	double l = *(const double *)x, r = *(const double *)y;

	return (l > r) - (l < r);
}

static double median(struct series *s)
{
	if (!s->n && b.alone)
		return 0;
	if (!s->n)
		die("nothing was measured");
	qsort(s->v, s->n, sizeof(s->v[0]), by_value);
	return s->v[s->n / 2];
}

static double mean(const struct series *s)
{
	double sum = 0;
	int i;

	if (!s->n)
		return 0;
	for (i = 0; i < s->n; i++)
		sum += s->v[i];
	return sum / s->n;
}

/* One batch: @count times @statement, with @i running. */
#define MEASURE(out, i, count, statement)						\
	do {										\
		struct series *s_ = (out);						\
		uint64_t start_ = now(), end_;						\
		for ((i) = 0; (i) < (count); (i)++) {					\
			statement;							\
		}									\
		end_ = now();								\
		if (s_->n < MAX_BATCHES)						\
			s_->v[s_->n++] = (double)(end_ - start_) / (count);		\
	} while (0)

/* The same for what ntvm is compared with. */
#define MEASURE_OTHER(out, i, count, statement)						\
	do {										\
		if (!b.alone)								\
			MEASURE(out, i, count, statement);				\
	} while (0)

/* --- the operations ---------------------------------------------------------------- */

static inline void nt_alloc(void *addr, size_t len, ULONG type)
{
	PVOID base = addr;
	SIZE_T size = len;
	NTSTATUS status = NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, type,
						  PAGE_READWRITE);

	if (__builtin_expect(status, 0))
		nt_failed("commit", status);
}

static inline char *nt_reserve(size_t len, ULONG type)
{
	PVOID base = NULL;
	SIZE_T size = len;
	NTSTATUS status = NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, type,
						  PAGE_READWRITE);

	if (__builtin_expect(status, 0))
		nt_failed("reserve", status);
	return base;
}

static inline void nt_free(void *addr, size_t len, ULONG type)
{
	PVOID base = addr;
	SIZE_T size = len;
	NTSTATUS status = NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, type);

	if (__builtin_expect(status, 0))
		nt_failed("free", status);
}

static inline void nt_protect(void *addr, size_t len, ULONG protect)
{
	PVOID base = addr;
	SIZE_T size = len;
	ULONG old;
	NTSTATUS status = NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, protect, &old);

	if (__builtin_expect(status, 0))
		nt_failed("protect", status);
}

static inline void nt_query(void *addr, NTSTATUS want)
{
	MEMORY_BASIC_INFORMATION mbi;
	NTSTATUS status = NtQueryVirtualMemory(NtCurrentProcess(), addr, MemoryBasicInformation,
					       &mbi, sizeof(mbi), NULL);

	if (__builtin_expect(status != want, 0))
		nt_failed("query", status);
}

static inline char *map(void *addr, size_t len, int prot, int flags)
{
	char *p = mmap(addr, len, prot, MAP_ANONYMOUS | flags, -1, 0);

	if (__builtin_expect(p == MAP_FAILED, 0))
		sys_failed("mmap");
	return p;
}

static inline char *map_reserve(size_t len)
{
	return map(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
}

static inline void map_decommit(void *addr, size_t len)
{
	map(addr, len, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED);
}

static inline void unmap(void *addr, size_t len)
{
	if (__builtin_expect(munmap(addr, len), 0))
		sys_failed("munmap");
}

static inline void prot(void *addr, size_t len, int prot)
{
	if (__builtin_expect(mprotect(addr, len, prot), 0))
		sys_failed("mprotect");
}

static inline void request(unsigned long cmd, void *arg)
{
	if (__builtin_expect(ioctl(b.fd, cmd, arg), 0))
		sys_failed("a request to /dev/ntvm");
}

static inline void raw_commit(void *addr)
{
	struct ntvm_allocate r = {
		.size = sizeof(r),
		.handle = NTVM_CURRENT_PROCESS,
		.base = (uintptr_t)addr,
		.len = PAGE,
		.type = NTVM_ALLOC_COMMIT,
		.protect = NTVM_PAGE_READWRITE,
	};

	request(NTVM_IOC_ALLOCATE, &r);
	if (__builtin_expect(r.status, 0))
		nt_failed("raw commit", r.status);
}

static inline void raw_decommit(void *addr)
{
	struct ntvm_free r = {
		.size = sizeof(r),
		.handle = NTVM_CURRENT_PROCESS,
		.base = (uintptr_t)addr,
		.len = PAGE,
		.type = NTVM_FREE_DECOMMIT,
	};

	request(NTVM_IOC_FREE, &r);
	if (__builtin_expect(r.status, 0))
		nt_failed("raw decommit", r.status);
}

static inline void touch(char *p)
{
	*(volatile char *)p = 1;
}

static inline void touch_read(const char *p)
{
	(void)*(const volatile char *)p;
}

/* --- the result table -------------------------------------------------------------- */

static void heading(const char *text)
{
	if (b.tsv)
		printf("@group\t%s\n", text);
	else
		printf("\n%s\n", text);
	fflush(stdout);
}

static void table_head(void)
{
	if (!b.tsv)
		printf("  %-50s %11s %10s %7s %6s  verdict\n", "", "mmap", "ntvm", "ratio", "limit");
}

/*
 * A line of the table. @base and @nt are 0 where there is no such number, and
 * @ratio is judged only where there is a @limit.
 */
static void row(const char *name, double base, double nt, double ratio, double limit)
{
	char text[4][24] = { "", "", "", "" };

	if (limit && ratio > limit)
		b.missed++;
	if (base)
		snprintf(text[0], sizeof(text[0]), "%.0f", base);
	if (nt)
		snprintf(text[1], sizeof(text[1]), "%.0f", nt);
	if (ratio)
		snprintf(text[2], sizeof(text[2]), "%.3f", ratio);
	if (limit)
		snprintf(text[3], sizeof(text[3]), "%.2f", limit);
	if (b.tsv)
		printf("@row\t%s\t%s\t%s\t%s\t%s\n", name, text[0], text[1], text[2], text[3]);
	else if (!limit)
		printf("  %-50s %11s %10s %7s\n", name, text[0], text[1], text[2]);
	else
		printf("  %-50s %11s %10s %7s %6s  %s\n", name, text[0], text[1], text[2], text[3],
		       ratio > limit ? "MISSED" : "ok");
	fflush(stdout);
}

static void compare(const char *name, double base, double nt, double limit)
{
	row(name, base, nt, base ? nt / base : 0, limit);
}

/* --- what is measured -------------------------------------------------------------- */

static char *checker(char *base, int batch, int i)
{
	return base + ((size_t)batch * BATCH + i) * 2 * PAGE;
}

static void commit_and_decommit(void)
{
	static struct series mp, nt, raw, mp_un, nt_un, raw_un;
	int round, batch, i;

	for (round = -1; round < b.rounds; round++) {
		char *m = map_reserve(4 * GIB), *n = nt_reserve(4 * GIB, MEM_RESERVE);
		char *r = n + 2 * GIB;

		for (batch = 0; batch < b.batches; batch++) {
			MEASURE_OTHER(&mp, i, BATCH, prot(checker(m, batch, i), PAGE,
						    PROT_READ | PROT_WRITE));
			MEASURE(&nt, i, BATCH, nt_alloc(checker(n, batch, i), PAGE, MEM_COMMIT));
			MEASURE(&raw, i, BATCH, raw_commit(checker(r, batch, i)));
		}
		for (batch = 0; batch < b.batches; batch++) {
			MEASURE_OTHER(&mp_un, i, BATCH, map_decommit(checker(m, batch, i), PAGE));
			MEASURE(&nt_un, i, BATCH, nt_free(checker(n, batch, i), PAGE,
							  MEM_DECOMMIT));
			MEASURE(&raw_un, i, BATCH, raw_decommit(checker(r, batch, i)));
		}
		unmap(m, 4 * GIB);
		nt_free(n, 0, MEM_RELEASE);
		if (round < 0)		/* to warm up */
			mp.n = nt.n = raw.n = mp_un.n = nt_un.n = raw_un.n = 0;
	}
	heading("every other page of a 4 GiB reservation, one page a call, untouched");
	compare("commit | mprotect", median(&mp), median(&nt), 0.20);
	compare("  mean instead of median", mean(&mp), mean(&nt), 0);
	compare("  raw ioctl instead of libnt", median(&mp), median(&raw), 0);
	compare("decommit | mmap(MAP_FIXED, PROT_NONE)", median(&mp_un), median(&nt_un), 0.20);
	compare("  mean instead of median", mean(&mp_un), mean(&nt_un), 0);
	compare("  raw ioctl instead of libnt", median(&mp_un), median(&raw_un), 0);
}

/* As Wine gets 64 KiB alignment: map more, cut both ends. */
static inline void wine_reserve_release(void)
{
	char *p = map_reserve(MIB + 0x10000);
	size_t cut = -(uintptr_t)p & 0xffff;

	if (cut)
		unmap(p, cut);
	if (cut != 0x10000)
		unmap(p + cut + MIB, 0x10000 - cut);
	unmap(p + cut, MIB);
}

static void reserve_and_release(void)
{
	static struct series mp, wine, nt;
	int batch, i;

	for (batch = -2; batch < b.batches; batch++) {
		MEASURE_OTHER(&mp, i, BATCH, unmap(map_reserve(MIB), MIB));
		MEASURE_OTHER(&wine, i, BATCH, wine_reserve_release());
		MEASURE(&nt, i, BATCH, nt_free(nt_reserve(MIB, MEM_RESERVE), 0, MEM_RELEASE));
		if (batch < 0)
			mp.n = wine.n = nt.n = 0;
	}
	heading("reserve and release 1 MiB");
	compare("reserve + release | mmap + munmap", median(&mp), median(&nt), 1.30);
	compare("  aligned to 64 KiB as Wine does it", median(&wine), median(&nt), 0);
}

/*
 * The empty ioctl is a request that is read, finds its process and is answered,
 * and has nothing to do: the contract that is in force already. An unknown
 * request, which the device does not even read, is shown beside it.
 */
static void query(void)
{
	static struct series unknown, empty, info, refused, run, uniform, ppid;
	char *n = nt_reserve(256 * MIB, MEM_RESERVE), *u = nt_reserve(MIB, MEM_RESERVE);
	struct ntvm_info r = { .size = sizeof(r), .handle = NTVM_CURRENT_PROCESS };
	struct ntvm_set_contract c = {
		.size = sizeof(c), .handle = NTVM_CURRENT_PROCESS,
		.contract = NTVM_CONTRACT_DOCUMENTED,
	};
	double e, q, no;
	int batch, i;

	for (i = 0; i < BATCH; i++)
		nt_alloc(checker(n, 0, i), PAGE, MEM_COMMIT);
	for (batch = -2; batch < b.batches; batch++) {
		MEASURE(&ppid, i, BATCH, syscall(SYS_getppid));
		MEASURE(&unknown, i, BATCH, ioctl(b.fd, _IO(NTVM_IOC_TYPE, 0xff), NULL));
		MEASURE(&empty, i, BATCH, request(NTVM_IOC_SET_CONTRACT, &c));
		MEASURE(&info, i, BATCH, request(NTVM_IOC_GET_INFO, &r));
		MEASURE(&refused, i, BATCH, nt_query(BAD_ADDRESS, STATUS_INVALID_PARAMETER));
		MEASURE(&run, i, BATCH, nt_query(checker(n, 0, i), STATUS_SUCCESS));
		MEASURE(&uniform, i, BATCH, nt_query(u, STATUS_SUCCESS));
		if (batch < 0)
			ppid.n = unknown.n = empty.n = info.n = refused.n = run.n = uniform.n = 0;
	}
	nt_free(n, 0, MEM_RELEASE);
	nt_free(u, 0, MEM_RELEASE);

	e = median(&empty);
	q = median(&run);
	no = median(&refused);
	heading("query, beside an empty ioctl (a request with nothing to do)");
	row("query of one page, less the table walk | empty", e, no, no / e, 1.30);
	compare("  the whole query, table walk included", e, q, 0);
	row("  the walk: that less a query of a bad address", 0, q - no, 0, 0);
	compare("query of a reserved 1 MiB", e, median(&uniform), 0);
	compare("GET_INFO, raw", e, median(&info), 0);
	compare("the whole query | an unknown request (ENOTTY)", median(&unknown), q, 0);
	row("getppid: the floor of a system call", median(&ppid), 0, 0, 0);
}

static void touch_rounds(bool write)
{
	static struct series anon, shared, nt;
	size_t len = b.batches * TOUCH_BATCH / 2 * PAGE;
	int round, batch, i;

	anon.n = shared.n = nt.n = 0;
	for (round = -1; round < b.rounds; round++) {
		char *a = map(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		char *s = map(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED);
		char *n = nt_reserve(len, MEM_RESERVE | MEM_COMMIT);

		/* EINVAL where the kernel has no huge pages at all. */
		madvise(a, len, MADV_NOHUGEPAGE);
		madvise(s, len, MADV_NOHUGEPAGE);
		for (batch = 0; batch < b.batches / 2; batch++) {
			size_t at = (size_t)batch * TOUCH_BATCH * PAGE;

			if (write) {
				MEASURE_OTHER(&anon, i, TOUCH_BATCH, touch(a + at + i * PAGE));
				MEASURE(&nt, i, TOUCH_BATCH, touch(n + at + i * PAGE));
				MEASURE_OTHER(&shared, i, TOUCH_BATCH, touch(s + at + i * PAGE));
			} else {
				MEASURE_OTHER(&anon, i, TOUCH_BATCH, touch_read(a + at + i * PAGE));
				MEASURE(&nt, i, TOUCH_BATCH, touch_read(n + at + i * PAGE));
				MEASURE_OTHER(&shared, i, TOUCH_BATCH, touch_read(s + at + i * PAGE));
			}
		}
		unmap(a, len);
		unmap(s, len);
		nt_free(n, 0, MEM_RELEASE);
		if (round < 0)
			anon.n = shared.n = nt.n = 0;
	}
	if (write) {
		compare("by a write | MAP_PRIVATE|MAP_ANONYMOUS", median(&anon), median(&nt), 1.35);
		compare("  MAP_SHARED|MAP_ANONYMOUS", median(&shared), median(&nt), 0);
	} else {
		compare("by a read | MAP_PRIVATE (maps the zero page)", median(&anon), median(&nt),
			0);
		compare("  MAP_SHARED|MAP_ANONYMOUS", median(&shared), median(&nt), 0);
	}
}

static void first_touch(void)
{
	heading("first touch of a committed 4 KiB page");
	touch_rounds(true);
	touch_rounds(false);
}

static void protect(void)
{
	static struct series mp[2], nt[2];
	int touched, batch, i;

	for (touched = 0; touched < 2; touched++) {
		char *m = map(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
		char *n = nt_reserve(MIB, MEM_RESERVE | MEM_COMMIT);
		char *mpage = m + MIB / 2, *npage = n + MIB / 2;

		for (batch = -2; batch < b.batches; batch++) {
			if (touched) {
				touch(mpage);
				touch(npage);
			}
			/* An even count: it ends as it began. */
			MEASURE_OTHER(&mp[touched], i, BATCH,
				prot(mpage, PAGE, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ));
			MEASURE(&nt[touched], i, BATCH,
				nt_protect(npage, PAGE, i & 1 ? PAGE_READWRITE : PAGE_READONLY));
			if (batch < 0)
				mp[touched].n = nt[touched].n = 0;
		}
		unmap(m, MIB);
		nt_free(n, 0, MEM_RELEASE);
	}
	heading("protect one page of a committed 1 MiB, read-only and back, each");
	compare("untouched | mprotect", median(&mp[0]), median(&nt[0]), 0);
	compare("touched | mprotect", median(&mp[1]), median(&nt[1]), 0);
}

static void decommit_touched(void)
{
	static struct series fixed, advise, nt;
	size_t len = BATCH * 2 * PAGE;
	int batch, i;

	for (batch = -2; batch < b.batches; batch++) {
		char *m = map_reserve(len), *d = map_reserve(len);
		char *n = nt_reserve(len, MEM_RESERVE);

		for (i = 0; i < BATCH; i++) {
			prot(checker(m, 0, i), PAGE, PROT_READ | PROT_WRITE);
			prot(checker(d, 0, i), PAGE, PROT_READ | PROT_WRITE);
			nt_alloc(checker(n, 0, i), PAGE, MEM_COMMIT);
			touch(checker(m, 0, i));
			touch(checker(d, 0, i));
			touch(checker(n, 0, i));
		}
		MEASURE_OTHER(&fixed, i, BATCH, map_decommit(checker(m, 0, i), PAGE));
		MEASURE(&nt, i, BATCH, nt_free(checker(n, 0, i), PAGE, MEM_DECOMMIT));
		MEASURE_OTHER(&advise, i, BATCH, {
			if (madvise(checker(d, 0, i), PAGE, MADV_DONTNEED))
				sys_failed("madvise");
			prot(checker(d, 0, i), PAGE, PROT_NONE);
		});
		unmap(m, len);
		unmap(d, len);
		nt_free(n, 0, MEM_RELEASE);
		if (batch < 0)
			fixed.n = advise.n = nt.n = 0;
	}
	heading("decommit one touched page, every other page");
	compare("decommit | mmap(MAP_FIXED, PROT_NONE)", median(&fixed), median(&nt), 0);
	compare("  madvise(MADV_DONTNEED) + mprotect(PROT_NONE)", median(&advise), median(&nt), 0);
}

static void commit_big(void)
{
	static struct series mp, nt;
	size_t len = BATCH / 2 * MIB;
	int batch, i;

	for (batch = -2; batch < b.batches / 4; batch++) {
		char *m = map_reserve(len), *n = nt_reserve(len, MEM_RESERVE);

		MEASURE_OTHER(&mp, i, BATCH / 4, prot(m + i * 2 * MIB, MIB, PROT_READ | PROT_WRITE));
		MEASURE(&nt, i, BATCH / 4, nt_alloc(n + i * 2 * MIB, MIB, MEM_COMMIT));
		unmap(m, len);
		nt_free(n, 0, MEM_RELEASE);
		if (batch < 0)
			mp.n = nt.n = 0;
	}
	heading("commit 1 MiB in one call, every other MiB");
	compare("commit | mprotect", median(&mp), median(&nt), 0);
}

/*
 * The kernel's own way to ask what was written: asynchronous write protection by
 * userfaultfd(2) and PAGEMAP_SCAN of /proc/PID/pagemap, Linux 6.7. The headers may
 * be older.
 */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof, returned;
};

#define SCAN			_IOWR('f', 16, struct scan)
#define SCAN_WP_MATCHING	1ull
#define SCAN_CHECK_WPASYNC	2ull
#define SCAN_WRITTEN		2ull
#define WP_UNPOPULATED		(1ull << 13)
#define WP_ASYNC		(1ull << 15)

#define WATCH_PAGES		8192

static int scan_fd = -1;

/* False where the kernel cannot. */
static bool scan_register(char *area, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API, .features = WP_ASYNC | WP_UNPOPULATED };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)area, .len = len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	if (scan_fd < 0)
		scan_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	/* The file that registered stays open: closing it would end it. */
	return scan_fd >= 0;
}

static long scan_reset(char *area, size_t len, struct scan_region *vec)
{
	struct scan arg = {
		.size = sizeof(arg),
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)area,
		.end = (uintptr_t)area + len,
		.vec = (uintptr_t)vec,
		.vec_len = WATCH_PAGES,
		.mask = SCAN_WRITTEN,
		.returned = SCAN_WRITTEN,
	};
	long regions = ioctl(scan_fd, SCAN, &arg);

	if (__builtin_expect(regions < 0, 0))
		sys_failed("PAGEMAP_SCAN");
	return regions;
}

static inline size_t nt_watch_reset(char *area, size_t len, PVOID *array)
{
	ULONG_PTR count = WATCH_PAGES;
	ULONG granularity;
	NTSTATUS status = NtGetWriteWatch(NtCurrentProcess(), WRITE_WATCH_FLAG_RESET, area, len,
					  array, &count, &granularity);

	if (__builtin_expect(status, 0))
		nt_failed("get write watch", status);
	return count;
}

static void watch_harvest(const char *name, int stride, double limit)
{
	static struct scan_region vec[WATCH_PAGES];
	static PVOID array[WATCH_PAGES];
	struct series scan = { 0 }, nt = { 0 }, scan_write = { 0 }, nt_write = { 0 };
	size_t len = (size_t)WATCH_PAGES * stride * PAGE;
	char *a = map(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *n = nt_reserve(len, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
	char text[80];
	bool can;
	int batch, i;

	madvise(a, len, MADV_NOHUGEPAGE);
	can = scan_register(a, len);
	memset(vec, 0, sizeof(vec));
	memset(array, 0, sizeof(array));
	/* What was never written counts as written the first time. */
	if (can)
		scan_reset(a, len, vec);
	for (batch = -2; batch < b.batches / 4; batch++) {
		long regions = 0;
		size_t pages = 0;

		MEASURE(&nt_write, i, WATCH_PAGES, touch(n + (size_t)i * stride * PAGE));
		MEASURE(&nt, i, 1, pages = nt_watch_reset(n, len, array));
		if (pages != WATCH_PAGES)
			die("%zu pages were reported", pages);
		if (can) {
			MEASURE(&scan_write, i, WATCH_PAGES, touch(a + (size_t)i * stride * PAGE));
			MEASURE(&scan, i, 1, regions = scan_reset(a, len, vec));
			if (regions != (stride == 1 ? 1 : WATCH_PAGES))
				die("%ld ranges were found", regions);
		}
		if (batch < 0)
			scan.n = nt.n = scan_write.n = nt_write.n = 0;
	}
	snprintf(text, sizeof(text), "get + reset, %s | PAGEMAP_SCAN", name);
	if (can)
		compare(text, median(&scan), median(&nt), limit);
	else
		row(text, 0, median(&nt), 0, 0);
	snprintf(text, sizeof(text), "  a write after it, %s", name);
	if (can)
		compare(text, median(&scan_write), median(&nt_write), 0);
	else
		row(text, 0, median(&nt_write), 0, 0);
	unmap(a, len);
	nt_free(n, 0, MEM_RELEASE);
}

static void watch_first_touch(void)
{
	struct series plain = { 0 }, watched = { 0 };
	size_t len = TOUCH_BATCH * PAGE;
	int batch, i;

	for (batch = -2; batch < b.batches / 2; batch++) {
		char *p = nt_reserve(len, MEM_RESERVE | MEM_COMMIT);
		char *w = nt_reserve(len, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);

		MEASURE(&plain, i, TOUCH_BATCH, touch(p + i * PAGE));
		MEASURE(&watched, i, TOUCH_BATCH, touch(w + i * PAGE));
		nt_free(p, 0, MEM_RELEASE);
		nt_free(w, 0, MEM_RELEASE);
		if (batch < 0)
			plain.n = watched.n = 0;
	}
	compare("first write to a watched page | to a plain one", median(&plain), median(&watched),
		1.50);
}

static void watch(void)
{
	heading("write watch, 8192 written pages");
	watch_harvest("side by side", 1, 1.00);
	watch_harvest("every other page", 2, 1.00);
	watch_first_touch();
}

/*
 * One request for many pages beside one call for each, on every other page. The
 * numbers are per page; the requests are filled in between two batches.
 */
#define VECTOR		1000

static void vector_fill(LIBNT_REQUEST *r, char *base, ULONG operation, ULONG protect)
{
	int i;

	for (i = 0; i < VECTOR; i++)
		r[i] = (LIBNT_REQUEST){
			.Operation = operation,
			.BaseAddress = (uintptr_t)base + i * 2 * PAGE,
			.RegionSize = PAGE,
			.Protect = protect,
		};
}

static inline void vector_run(LIBNT_REQUEST *r)
{
	ULONG done = 0;
	NTSTATUS status = LibntVirtualMemoryBatch(NtCurrentProcess(), r, VECTOR, 0, &done);

	if (__builtin_expect(status || done != VECTOR, 0))
		nt_failed("batch", status);
}

static void vector_check(const LIBNT_REQUEST *r)
{
	int i;

	for (i = 0; i < VECTOR; i++)
		if (r[i].Status)
			nt_failed("an operation of a batch", r[i].Status);
}

static void vector(void)
{
	static struct series one[3], many[3];
	static LIBNT_REQUEST r[VECTOR];
	static const struct {
		ULONG operation, protect;
		const char *name;
	} kinds[3] = {
		{ LIBNT_REQUEST_COMMIT, PAGE_READWRITE, "commit: one request | 1,000 calls" },
		{ LIBNT_REQUEST_PROTECT, PAGE_READONLY, "protect" },
		{ LIBNT_REQUEST_DECOMMIT, 0, "decommit" },
	};
	size_t len = VECTOR * 2 * PAGE;
	int batch, k, i, once;

	for (batch = -1; batch < b.batches / 2; batch++) {
		char *n = nt_reserve(len, MEM_RESERVE), *v = nt_reserve(len, MEM_RESERVE);

		MEASURE(&one[0], i, VECTOR, nt_alloc(n + i * 2 * PAGE, PAGE, MEM_COMMIT));
		MEASURE(&one[1], i, VECTOR, nt_protect(n + i * 2 * PAGE, PAGE, PAGE_READONLY));
		MEASURE(&one[2], i, VECTOR, nt_free(n + i * 2 * PAGE, PAGE, MEM_DECOMMIT));
		for (k = 0; k < 3; k++) {
			vector_fill(r, v, kinds[k].operation, kinds[k].protect);
			MEASURE(&many[k], once, 1, vector_run(r));
			vector_check(r);
			many[k].v[many[k].n - 1] /= VECTOR;
		}
		nt_free(n, 0, MEM_RELEASE);
		nt_free(v, 0, MEM_RELEASE);
		if (batch < 0)
			for (k = 0; k < 3; k++)
				one[k].n = many[k].n = 0;
	}
	heading("1,000 pages, every other one, in one request; per page, against single calls");
	for (k = 0; k < 3; k++)
		compare(kinds[k].name, median(&one[k]), median(&many[k]), 0.35);
}

/* Where each way ends, rather than what it costs. */
static void wall(void)
{
	size_t pages = b.quick ? 65536 : 524288, len = pages * 2 * PAGE, i, reached;
	char *m = map_reserve(len), *n;
	struct vmas vm, vn;
	char text[64];

	for (i = 0; i < pages; i++)
		if (mprotect(m + i * 2 * PAGE, PAGE, PROT_READ | PROT_WRITE))
			break;
	if (i < pages && errno != ENOMEM)
		sys_failed("mprotect");
	reached = i;
	if (vmas_read(m, len, 0, &vm))
		sys_failed("/proc/self/maps");
	unmap(m, len);

	n = nt_reserve(len, MEM_RESERVE);
	for (i = 0; i < pages; i++)
		nt_alloc(n + i * 2 * PAGE, PAGE, MEM_COMMIT);
	if (vmas_read(n, len, 0, &vn))
		sys_failed("/proc/self/maps");
	nt_free(n, 0, MEM_RELEASE);

	snprintf(text, sizeof(text), "every other page of %zu MiB: how far it gets", len / MIB);
	heading(text);
	row("pages committed", reached, pages, 0, 0);
	row("VMAs then", vm.count, vn.count, 0, 0);
}

/* --- options ----------------------------------------------------------------------- */

static error_t option(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	switch (key) {
	case 'q':
		b.quick = true;
		b.rounds = 1;
		b.batches = 16;
		return 0;
	case 't':
		b.tsv = true;
		return 0;
	case 'n':
		b.alone = true;
		return 0;
	case 'c':
		b.check = true;
		return 0;
	case 'w':
		b.only_watch = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "quick", 'q', NULL, 0, "fewer rounds", 0 },
		{ "check", 'c', NULL, 0, "exit with 1 if a limit is missed", 0 },
		{ "only-watch", 'w', NULL, 0, "only what is about write watch", 0 },
		{ "ntvm", 'n', NULL, 0, "measure ntvm alone, nothing beside it", 0 },
		{ "tsv", 't', NULL, 0, "lines for a program: @group and @row, tabs between", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = option,
		.doc = "Measure ntvm's operations beside mmap and mprotect.",
	};
	struct utsname uts;
	LIBNT_INFO info;
	NTSTATUS status;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	b.fd = open("/dev/ntvm", O_RDWR | O_CLOEXEC);
	if (b.fd < 0)
		die("/dev/ntvm: %m");
	status = LibntGetInfo(NtCurrentProcess(), &info);
	if (!NT_SUCCESS(status))
		nt_failed("LibntGetInfo", status);
	/* Nothing of this program shall fault between two clock readings. */
	if (mlockall(MCL_CURRENT))
		fprintf(stderr, "bench: mlockall: %m; going on\n");

	uname(&uts);
	if (b.tsv)
		printf("@kernel\t%s\n", uts.release);
	else
		printf("Linux %s, median of batches, ns (with -icount shift=0: instructions)\n\n",
		       uts.release);
	table_head();
	if (!b.only_watch) {
		commit_and_decommit();
		reserve_and_release();
		query();
		first_touch();
		protect();
		decommit_touched();
		commit_big();
	}
	/* Beside a module that has no more than these there is nothing to compare. */
	if (!b.alone && !b.only_watch)
		vector();
	if (!b.alone)
		watch();
	if (!b.alone && !b.only_watch)
		wall();
	if (!b.tsv)
		printf("\n%s\n", b.missed ? "A limit is missed." : "All limits are kept.");
	return b.check && b.missed;
}
