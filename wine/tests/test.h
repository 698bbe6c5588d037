/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The harness of ntvm-test.exe. A case is a function; a check that fails is told and
 * fails its case, which goes on, unless it is a NEED().
 */
#ifndef WINE_TESTS_TEST_H
#define WINE_TESTS_TEST_H

#include "nt.h"
#include "probe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PAGE	0x1000u
#define SLOT	0x10000u	/* the allocation granularity */
#define SELF	NtCurrentProcess()

struct test_case {
	const char *name;	/* area.case */
	void (*run)(void);
};

/* Each area's, up to one without a name. */
extern const struct test_case alloc_cases[], access_cases[], query_cases[], watch_cases[], io_cases[],
	thread_cases[], child_cases[], windows_cases[];

bool check(bool passed, const char *file, int line, const char *what);
bool check_equal(uint64_t got, uint64_t want, const char *file, int line, const char *what);
/* The case says nothing about this system. */
void skip(const char *why);

#define CHECK(condition)	check((condition), __FILE__, __LINE__, #condition)
#define EQUAL(got, want)	check_equal((uint64_t)(got), (uint64_t)(want), __FILE__, __LINE__, #got)
/* A number that may be a status: those are negative to C. */
#define STATUS(got, want)	check_equal((uint32_t)(got), (uint32_t)(want), __FILE__, __LINE__, #got)
#define NEED(condition)		do { if (!CHECK(condition)) return; } while (0)

static inline uint64_t num(const void *p)
{
	return (uintptr_t)p;
}

/* What an access raises, 0 for nothing. */
static inline uint32_t load(const void *at)
{
	struct probe probe;
	uint8_t byte;

	return probe_load(num(at), &byte, &probe);
}

static inline uint32_t store(void *at, uint8_t byte)
{
	struct probe probe;

	return probe_store(num(at), byte, &probe);
}

/* All @size bytes are @byte. */
bool filled(const void *at, uint8_t byte, size_t size);

/* Private memory of READWRITE pages; the case ends where there is none. */
static inline char *reserve(size_t size)
{
	return VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
}

static inline char *allocate(size_t size)
{
	return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static inline char *commit(void *at, size_t size)
{
	return VirtualAlloc(at, size, MEM_COMMIT, PAGE_READWRITE);
}

/* The block at an address is @size bytes from @at with this state and protection. */
bool block_is(const void *at, size_t size, DWORD state, DWORD protect, const char *file, int line);
#define BLOCK(at, size, state, protect)	block_is((at), (size), (state), (protect), __FILE__, __LINE__)

void release_at(void *base, const char *file, int line);
#define RELEASE(base)	release_at((base), __FILE__, __LINE__)

/* Numbers that are the same in each run. */
static inline uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/*
 * True in a process that runs this case and nothing else. Elsewhere such a process is
 * started and waited for: a case that may hang the process calls this first.
 */
bool in_a_process_of_its_own(void);

/* A child process, which is this program, and what it does when it is told. */
int child_main(void);

#endif
