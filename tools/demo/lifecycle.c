// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a region, drawn: one reservation goes through every state a page
 * can have, and after each step its page map is printed as NtQueryVirtualMemory
 * reports it, beside the number of VMAs the kernel keeps for it. A second area
 * is taken through the same states with mmap and mprotect, for comparison.
 *
 * It is also a test: it knows what every page must be after every step and
 * what it must contain, and exits with 1 on the first surprise.
 */
#include <argp.h>
#include <libnt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common/vmas.h"

#define PAGE	4096
#define PAGES	256
#define PER_ROW	64
#define BYTES	((size_t)PAGES * PAGE)

#define FREE		0x10000u	/* beside the PAGE_* values */
#define RESERVED	0x20000u

/* The page map's letters and colours. */
static const struct look {
	unsigned int what;
	char letter;
	unsigned char back, fore;	/* of the 256-colour palette */
	const char *name;
} looks[] = {
	{ FREE, '.', 235, 244, "FREE" },
	{ RESERVED, '-', 240, 252, "RESERVED" },
	{ PAGE_READWRITE, 'W', 34, 16, "READWRITE" },
	{ PAGE_READONLY, 'R', 33, 16, "READONLY" },
	{ PAGE_NOACCESS, 'N', 124, 231, "NOACCESS" },
	{ PAGE_EXECUTE_READ, 'X', 127, 231, "EXECUTE_READ" },
	{ PAGE_READWRITE | PAGE_GUARD, 'G', 220, 16, "READWRITE+GUARD" },
};

#define LOOKS (sizeof(looks) / sizeof(looks[0]))

static struct {
	bool color;
	int step;
	char *base;			/* of the region */
	char *twin;			/* of the mmap area */
	unsigned int want[PAGES];	/* what the pages must be */
	unsigned char fill[PAGES];	/* what they must contain, in every byte */
	long most, twin_most;
} s;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("lifecycle: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void expect(const char *what, NTSTATUS got, NTSTATUS want)
{
	if (got != want)
		die("%s: status 0x%08X, expected 0x%08X", what, (unsigned int)got,
		    (unsigned int)want);
}

/* --- drawing -------------------------------------------------------------------- */

static const struct look *look_of(unsigned int what)
{
	size_t i;

	for (i = 0; i < LOOKS; i++)
		if (looks[i].what == what)
			return &looks[i];
	die("a page is in the unknown state 0x%X", what);
}

static void swatch(const struct look *l, const char *text, int len)
{
	if (s.color)
		printf("\033[48;5;%d;38;5;%dm%.*s\033[0m", l->back, l->fore, len, text);
	else
		printf("%.*s", len, text);
}

static void legend(void)
{
	size_t i;

	fputs("  ", stdout);
	for (i = 0; i < LOOKS; i++) {
		char text[4] = { ' ', looks[i].letter, ' ', 0 };

		swatch(&looks[i], s.color ? text : text + 1, s.color ? 3 : 1);
		printf(" %s%s", looks[i].name, i == 3 ? "\n  " : i + 1 < LOOKS ? "  " : "\n");
	}
}

static long vma_count(const void *addr)
{
	struct vmas v;

	if (vmas_read(addr, BYTES, 0, &v))
		die("/proc/self/maps cannot be read");
	return v.count;
}

/* All from NtQueryVirtualMemory: one call per run of equal pages. */
static int page_map(unsigned int map[PAGES])
{
	MEMORY_BASIC_INFORMATION mbi;
	size_t page = 0, end;
	int runs = 0;
	SIZE_T len;

	while (page < PAGES) {
		unsigned int what;

		memset(&mbi, 0xcc, sizeof(mbi));
		len = 0;
		expect("NtQueryVirtualMemory",
		       NtQueryVirtualMemory(NtCurrentProcess(), s.base + page * PAGE,
					    MemoryBasicInformation, &mbi, sizeof(mbi), &len),
		       STATUS_SUCCESS);
		if (len != sizeof(mbi) || mbi.BaseAddress != s.base + page * PAGE ||
		    !mbi.RegionSize || mbi.RegionSize % PAGE)
			die("the answer to a query makes no sense");
		if (mbi.State == MEM_FREE)
			what = FREE;
		else if (mbi.AllocationBase != s.base || mbi.Type != MEM_PRIVATE ||
			 mbi.AllocationProtect != PAGE_READWRITE)
			die("page %zu belongs to something else", page);
		else
			what = mbi.State == MEM_RESERVE ? RESERVED : mbi.Protect;
		end = page + mbi.RegionSize / PAGE;
		for (; page < end && page < PAGES; page++)
			map[page] = what;
		runs++;
	}
	return runs;
}

static void draw(void)
{
	unsigned int map[PAGES];
	char row[PER_ROW + 1];
	int runs = page_map(map), page, i, len, bad = -1;
	long vmas, twin;

	/* Before anything is printed: stdio may map a buffer. */
	vmas = vma_count(s.base);
	twin = vma_count(s.twin);

	for (page = 0; page < PAGES; page += PER_ROW) {
		printf("  %4d ", page);
		for (i = 0; i < PER_ROW; i += len) {
			const struct look *l = look_of(map[page + i]);

			for (len = 0; i + len < PER_ROW && map[page + i + len] == map[page + i];
			     len++)
				row[len] = l->letter;
			swatch(l, row, len);
		}
		switch (page / PER_ROW) {
		case 0:
			printf("   runs of equal pages %4d\n", runs);
			break;
		case 1:
			printf("   VMAs, ntvm          %4ld\n", vmas);
			break;
		case 2:
			printf("   VMAs, mmap/mprotect %4ld\n", twin);
			break;
		default:
			putchar('\n');
		}
	}
	putchar('\n');
	fflush(stdout);

	if (vmas > s.most)
		s.most = vmas;
	if (twin > s.twin_most)
		s.twin_most = twin;
	for (page = 0; page < PAGES && bad < 0; page++)
		if (map[page] != s.want[page])
			bad = page;
	if (bad >= 0)
		die("page %d is %s, expected %s", bad, look_of(map[bad])->name,
		    look_of(s.want[bad])->name);
}

static void __attribute__((format(printf, 2, 3))) step(const char *call, const char *fmt, ...)
{
	char text[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s.color)
		printf("\033[1m%2d. %s\033[0m\n    \033[38;5;244m%s\033[0m\n", ++s.step, text, call);
	else
		printf("%2d. %s\n    %s\n", ++s.step, text, call);
}

static void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
	va_list ap;

	fputs("    ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* --- touching pages that may refuse ----------------------------------------------- */

static sigjmp_buf fault_env;
static volatile sig_atomic_t fault_armed;
static volatile NTSTATUS fault_status;
static PVOID volatile fault_page;

static void on_segv(int sig)
{
	PVOID page = NULL;

	if (!fault_armed) {
		signal(sig, SIG_DFL);
		return;		/* not ours: fault again and die of it */
	}
	fault_status = LibntTakeFault(&page);
	fault_page = page;
	siglongjmp(fault_env, 1);
}

static const char *status_name(NTSTATUS status)
{
	switch (status) {
	case STATUS_SUCCESS:
		return "STATUS_SUCCESS";
	case STATUS_GUARD_PAGE_VIOLATION:
		return "STATUS_GUARD_PAGE_VIOLATION";
	case STATUS_ACCESS_VIOLATION:
		return "STATUS_ACCESS_VIOLATION";
	default:
		return "another status";
	}
}

/* STATUS_SUCCESS, or what NT would raise as an exception. */
static NTSTATUS access_page(int page, bool write)
{
	volatile char *p = s.base + (size_t)page * PAGE + 123;

	if (sigsetjmp(fault_env, 1)) {
		fault_armed = 0;
		if (fault_status == STATUS_NOT_FOUND)
			return STATUS_ACCESS_VIOLATION;
		if (fault_status == STATUS_SUCCESS ||
		    fault_status == STATUS_GUARD_PAGE_VIOLATION) {
			if (fault_page != s.base + (size_t)page * PAGE)
				die("the guard hit is reported for another page");
			return STATUS_GUARD_PAGE_VIOLATION;
		}
		return fault_status;
	}
	fault_armed = 1;
	if (write)
		*p = *p;
	else
		(void)*p;
	fault_armed = 0;
	return STATUS_SUCCESS;
}

static void try(int page, bool write, NTSTATUS want)
{
	NTSTATUS got = access_page(page, write);

	note("%s page %3d (%s): %s", write ? "write" : "read ", page,
	     look_of(s.want[page])->name, status_name(got));
	if (got != want)
		die("expected %s", status_name(want));
}

/* --- contents ------------------------------------------------------------------------ */

static void fill_pages(int first, int count)
{
	int page;

	for (page = first; page < first + count; page++) {
		s.fill[page] = page ^ 0xa5;
		memset(s.base + (size_t)page * PAGE, s.fill[page], PAGE);
	}
}

/* Every readable page must hold what was written, or zeroes since its commit. */
static void verify_pages(void)
{
	int page, i;

	for (page = 0; page < PAGES; page++) {
		const unsigned char *p = (unsigned char *)s.base + (size_t)page * PAGE;

		if (s.want[page] != PAGE_READWRITE && s.want[page] != PAGE_READONLY &&
		    s.want[page] != PAGE_EXECUTE_READ)
			continue;
		for (i = 0; i < PAGE; i++)
			if (p[i] != s.fill[page])
				die("page %d holds 0x%02x at %d, expected 0x%02x", page, p[i], i,
				    s.fill[page]);
	}
}

/* --- the operations, on the region and on its twin ------------------------------------- */

static void twin_protect(int first, int count, unsigned int protect)
{
	int prot = PROT_NONE;

	if (protect == PAGE_READWRITE)
		prot = PROT_READ | PROT_WRITE;
	else if (protect == PAGE_READONLY)
		prot = PROT_READ;
	else if (protect == PAGE_EXECUTE_READ)
		prot = PROT_READ | PROT_EXEC;
	if (mprotect(s.twin + (size_t)first * PAGE, (size_t)count * PAGE, prot))
		die("mprotect: %m");
}

static void range(int first, int count, PVOID *base, SIZE_T *size)
{
	*base = s.base + (size_t)first * PAGE;
	*size = (SIZE_T)count * PAGE;
}

static void check_range(int first, int count, PVOID base, SIZE_T size)
{
	if (base != s.base + (size_t)first * PAGE || size != (SIZE_T)count * PAGE)
		die("the range that came back is not the one that was given");
}

static void commit(int first, int count)
{
	PVOID base;
	SIZE_T size;
	int page;

	range(first, count, &base, &size);
	expect("commit", NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_COMMIT,
						 PAGE_READWRITE), STATUS_SUCCESS);
	check_range(first, count, base, size);
	for (page = first; page < first + count; page++)
		s.want[page] = PAGE_READWRITE;
	twin_protect(first, count, PAGE_READWRITE);
}

static void protect(int first, int count, unsigned int protection)
{
	PVOID base;
	SIZE_T size;
	ULONG old = 0;
	int page;

	range(first, count, &base, &size);
	expect("protect", NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, protection,
						 &old), STATUS_SUCCESS);
	check_range(first, count, base, size);
	if (old != s.want[first])
		die("the old protection is 0x%X, expected 0x%X", old, s.want[first]);
	for (page = first; page < first + count; page++)
		s.want[page] = protection;
	twin_protect(first, count, protection);
}

static void decommit(int first, int count)
{
	PVOID base;
	SIZE_T size;
	int page;

	range(first, count, &base, &size);
	expect("decommit", NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_DECOMMIT),
	       STATUS_SUCCESS);
	check_range(first, count, base, size);
	for (page = first; page < first + count; page++) {
		s.want[page] = RESERVED;
		s.fill[page] = 0;
	}
	if (mmap(s.twin + (size_t)first * PAGE, (size_t)count * PAGE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap: %m");
}

/* --- the life ---------------------------------------------------------------------------- */

static void info_line(void)
{
	LIBNT_INFO info;
	int page, committed = 0;

	expect("LibntGetInfo", LibntGetInfo(NtCurrentProcess(), &info), STATUS_SUCCESS);
	for (page = 0; page < PAGES; page++)
		committed += s.want[page] != FREE && s.want[page] != RESERVED;
	note("reserved %zu KiB, committed %zu KiB", info.ReservedBytes >> 10,
	     info.CommittedBytes >> 10);
	if (info.CommittedBytes != (SIZE_T)committed * PAGE)
		die("%d KiB are committed by the page map", committed * PAGE >> 10);
}

static void live(void)
{
	PVOID base = NULL;
	SIZE_T size = BYTES;
	int i;

	step("NtAllocateVirtualMemory(MEM_RESERVE, PAGE_READWRITE)",
	     "Reserve 1 MiB of address space: no page in it may be touched");
	expect("reserve", NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE,
						  PAGE_READWRITE), STATUS_SUCCESS);
	s.base = base;
	if (size != BYTES || (uintptr_t)base % 65536)
		die("the reservation is not what was asked for");
	s.twin = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s.twin == MAP_FAILED)
		die("mmap: %m");
	for (i = 0; i < PAGES; i++)
		s.want[i] = RESERVED;
	try(0, false, STATUS_ACCESS_VIOLATION);
	info_line();
	draw();

	step("NtAllocateVirtualMemory(MEM_COMMIT), 34 calls",
	     "Commit two blocks and every other page of a third, and write to them");
	commit(0, 24);
	commit(40, 40);
	for (i = 128; i < 192; i += 2)
		commit(i, 1);
	verify_pages();		/* zeroes */
	fill_pages(0, 24);
	fill_pages(40, 40);
	for (i = 128; i < 192; i += 2)
		fill_pages(i, 1);
	try(16, true, STATUS_SUCCESS);
	try(24, true, STATUS_ACCESS_VIOLATION);
	info_line();
	draw();

	step("NtProtectVirtualMemory(PAGE_READONLY)", "Make some pages read-only");
	protect(4, 4, PAGE_READONLY);
	for (i = 128; i < 144; i += 4)
		protect(i, 1, PAGE_READONLY);
	try(4, false, STATUS_SUCCESS);
	try(4, true, STATUS_ACCESS_VIOLATION);
	draw();

	step("NtProtectVirtualMemory(PAGE_NOACCESS)", "Take all access to others; they keep their contents");
	protect(44, 4, PAGE_NOACCESS);
	for (i = 144; i < 160; i += 4)
		protect(i, 1, PAGE_NOACCESS);
	try(44, false, STATUS_ACCESS_VIOLATION);
	draw();

	step("NtProtectVirtualMemory(PAGE_EXECUTE_READ)",
	     "Make a block executable: the one thing that needs a VMA of its own");
	/* movl $0x4e54, %eax; ret */
	memcpy(s.base + 64 * PAGE, "\xb8\x54\x4e\x00\x00\xc3", 6);
	protect(64, 8, PAGE_EXECUTE_READ);
	i = ((int (*)(void))(void *)(s.base + 64 * PAGE))();
	note("call page  64 (EXECUTE_READ): returns 0x%x", i);
	if (i != 0x4e54)
		die("expected 0x4e54");
	try(64, true, STATUS_ACCESS_VIOLATION);
	draw();

	step("NtProtectVirtualMemory(PAGE_READWRITE)", "Back again: the region is one VMA again");
	protect(64, 8, PAGE_READWRITE);
	memset(s.base + 64 * PAGE, s.fill[64], 6);
	verify_pages();
	note("the contents of all readable pages are as written");
	draw();

	step("NtProtectVirtualMemory(PAGE_READWRITE | PAGE_GUARD)",
	     "Put a guard on pages, and touch one of them twice");
	protect(16, 4, PAGE_READWRITE | PAGE_GUARD);
	protect(79, 1, PAGE_READWRITE | PAGE_GUARD);
	draw();
	try(17, true, STATUS_GUARD_PAGE_VIOLATION);
	s.want[17] = PAGE_READWRITE;
	twin_protect(17, 1, PAGE_READWRITE);
	try(17, true, STATUS_SUCCESS);
	note("a guard warns once and is gone: page 17 is READWRITE");
	draw();

	step("NtFreeVirtualMemory(MEM_DECOMMIT)", "Decommit some pages: their contents are gone");
	decommit(8, 8);
	for (i = 160; i < 192; i += 4)
		decommit(i, 1);
	try(8, false, STATUS_ACCESS_VIOLATION);
	info_line();
	draw();

	step("NtAllocateVirtualMemory(MEM_COMMIT)",
	     "Commit them again: zeroes, the neighbours untouched");
	commit(8, 8);
	for (i = 160; i < 192; i += 8)
		commit(i, 1);
	verify_pages();
	try(8, false, STATUS_SUCCESS);
	info_line();
	draw();

	step("NtFreeVirtualMemory(MEM_DECOMMIT, size 0)", "Decommit the whole region");
	base = s.base;
	size = 0;
	expect("decommit all", NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_DECOMMIT),
	       STATUS_SUCCESS);
	decommit(0, PAGES);	/* again: that is no error, and the twin follows */
	info_line();
	draw();

	step("NtFreeVirtualMemory(MEM_RELEASE)", "Release it: the addresses are free");
	base = s.base + PAGE;
	size = 0;
	expect("release of a page inside",
	       NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE),
	       STATUS_FREE_VM_NOT_AT_BASE);
	note("from inside the region: STATUS_FREE_VM_NOT_AT_BASE, nothing changes");
	base = s.base;
	size = 0;
	expect("release", NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE),
	       STATUS_SUCCESS);
	if (munmap(s.twin, BYTES))
		die("munmap: %m");
	for (i = 0; i < PAGES; i++)
		s.want[i] = FREE;
	info_line();
	draw();
}

static error_t option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'n':
		s.color = false;
		return 0;
	case 'c':
		s.color = true;
		return 0;
	case ARGP_KEY_ARG:
		(void)arg;
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "color", 'c', NULL, 0, "colours even if the output is no terminal", 0 },
		{ "no-color", 'n', NULL, 0, "letters only, as with NO_COLOR set", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = option,
		.doc = "Draw the life of a region of NT virtual memory.",
	};
	const char *no_color = getenv("NO_COLOR");
	struct sigaction sa = { .sa_handler = on_segv };
	LIBNT_INFO info;
	NTSTATUS status;

	s.color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (sysconf(_SC_PAGESIZE) != PAGE)
		die("this demo is drawn for pages of %d bytes", PAGE);
	if (sigaction(SIGSEGV, &sa, NULL))
		die("sigaction: %m");

	status = LibntGetInfo(NtCurrentProcess(), &info);
	if (!NT_SUCCESS(status))
		die("no NT memory here: status 0x%08X%s", (unsigned int)status,
		    status == STATUS_NO_SUCH_DEVICE ? ", the ntvm module is not loaded" : "");

	puts("The life of a region: 256 pages of 4 KiB, as NtQueryVirtualMemory reports them.\n");
	legend();
	putchar('\n');
	live();
	printf("At most %ld VMA%s for the region (executable runs have their own), %ld for the same with mmap/mprotect.\n",
	       s.most, s.most == 1 ? "" : "s", s.twin_most);
	return 0;
}
