// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory calls cost as a Windows program sees them. Prints a line for each:
 * name, iterations, nanoseconds in all, nanoseconds for one. Compare two runs on one
 * machine, with the backend and without; the numbers by themselves say little.
 *
 * usage: bench.exe [SCALE]	SCALE times as many iterations (1)
 */
#include "nt.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE	4096u

static unsigned int scale = 1;

static uint64_t now(void)
{
	LARGE_INTEGER count, frequency;

	QueryPerformanceCounter(&count);
	QueryPerformanceFrequency(&frequency);
	return (uint64_t)(count.QuadPart / frequency.QuadPart) * 1000000000u +
	       (uint64_t)(count.QuadPart % frequency.QuadPart) * 1000000000u /
	       (uint64_t)frequency.QuadPart;
}

static void report(const char *name, uint64_t n, uint64_t ns)
{
	printf("%s %llu %llu %llu\n", name, n, ns, ns / n);
	fflush(stdout);
}

/* A number of a call that did not work is no measurement. */
static void must(bool worked, const char *what)
{
	if (worked)
		return;
	fprintf(stderr, "bench: %s: error %lu\n", what, GetLastError());
	exit(1);
}

static char *allocate(size_t size, DWORD type)
{
	char *base = VirtualAlloc(NULL, size, type, PAGE_READWRITE);

	must(base, "VirtualAlloc");
	return base;
}

static void release(char *base)
{
	must(VirtualFree(base, 0, MEM_RELEASE), "VirtualFree");
}

/* Every other page of a reservation: no two neighbours are alike. */
static void checkerboard(void)
{
	size_t n = 1000 * scale;
	char *base = allocate(2 * n * PAGE, MEM_RESERVE);
	MEMORY_BASIC_INFORMATION info;
	uint64_t start;

	start = now();
	for (size_t i = 0; i < n; i++)
		must(VirtualAlloc(base + 2 * i * PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE), "commit");
	report("commit", n, now() - start);

	start = now();
	for (size_t i = 0; i < n; i++)
		base[2 * i * PAGE] = 1;
	report("first_write", n, now() - start);

	start = now();
	for (size_t i = 0; i < n; i++)
		must(VirtualQuery(base + 2 * i * PAGE, &info, sizeof(info)) &&
		     info.State == MEM_COMMIT && info.RegionSize == PAGE, "query");
	report("query", n, now() - start);

	start = now();
	for (size_t i = 0; i < n; i++)
		must(VirtualFree(base + 2 * i * PAGE, PAGE, MEM_DECOMMIT), "decommit");
	report("decommit", n, now() - start);
	release(base);
}

static void protect(void)
{
	size_t n = 1000 * scale;
	char *base = allocate(n * PAGE, MEM_RESERVE | MEM_COMMIT);
	uint64_t start;
	DWORD old;

	for (size_t i = 0; i < n; i++)
		base[i * PAGE] = 1;

	start = now();
	for (size_t i = 0; i < n; i++)
		must(VirtualProtect(base + (n / 2) * PAGE, PAGE, i % 2 ? PAGE_READWRITE : PAGE_READONLY,
				    &old), "protect");
	report("protect_one", n, now() - start);

	start = now();
	for (size_t i = 0; i < n; i += 2)
		must(VirtualProtect(base + i * PAGE, PAGE, PAGE_READONLY, &old), "protect");
	for (size_t i = 0; i < n; i += 2)
		must(VirtualProtect(base + i * PAGE, PAGE, PAGE_READWRITE, &old), "protect");
	report("protect_checkerboard", n, now() - start);
	release(base);
}

static void reserve(void)
{
	size_t n = 500 * scale;
	uint64_t start = now();

	for (size_t i = 0; i < n; i++)
		release(allocate(1 << 20, MEM_RESERVE));
	report("reserve_release_1m", n, now() - start);

	start = now();
	for (size_t i = 0; i < n; i++)
		release(allocate(1 << 20, MEM_RESERVE | MEM_COMMIT));
	report("allocate_release_1m", n, now() - start);
}

/* 8192 pages, of which @written have been written to, evenly spread. */
static void watch(const char *name, size_t written)
{
	enum { PAGES = 8192 };
	static void *list[PAGES];
	char *base = allocate(PAGES * PAGE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
	size_t rounds = 5 * scale, stride = PAGES / written;
	uint64_t writes = 0, gets = 0, start;
	char text[64];

	/* All pages are there: what is measured is the watch. */
	for (size_t i = 0; i < PAGES; i++)
		base[i * PAGE] = 1;
	must(!ResetWriteWatch(base, PAGES * PAGE), "ResetWriteWatch");

	for (size_t round = 0; round < rounds; round++) {
		ULONG_PTR count = PAGES;
		DWORD granularity;

		start = now();
		for (size_t i = 0; i < written; i++)
			base[i * stride * PAGE] = 2;
		writes += now() - start;

		start = now();
		must(!GetWriteWatch(WRITE_WATCH_FLAG_RESET, base, PAGES * PAGE, list, &count,
				    &granularity), "GetWriteWatch");
		gets += now() - start;
		must(count == written, "the count of written pages");
	}
	snprintf(text, sizeof(text), "watch_write_%s", name);
	report(text, rounds * written, writes);
	snprintf(text, sizeof(text), "watch_get_reset_%s", name);
	report(text, rounds, gets);
	release(base);
}

int main(int argc, char **argv)
{
	if (argc > 2 || (argc == 2 && atoi(argv[1]) < 1)) {
		fprintf(stderr, "usage: bench.exe [SCALE]\n");
		return 2;
	}
	if (argc == 2)
		scale = (unsigned int)atoi(argv[1]);
	checkerboard();
	protect();
	reserve();
	watch("64_of_8192", 64);
	watch("8192_of_8192", 8192);
	return 0;
}
