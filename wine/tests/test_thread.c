// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that allocate at the same time, that are suspended while they do, and that
 * are terminated. None of them calls the C library, whose locks a terminated thread
 * would keep.
 */
#include "test.h"

enum { THREADS = 8 };

static volatile LONG errors, rounds_done;
static volatile LONG stop;

/* Runs @function in all threads, with their numbers, until they are done. */
static void all_threads(LPTHREAD_START_ROUTINE function)
{
	HANDLE thread[THREADS];

	errors = rounds_done = stop = 0;
	for (size_t i = 0; i < THREADS; i++) {
		thread[i] = CreateThread(NULL, 0, function, (void *)i, 0, NULL);
		NEED(thread[i]);
	}
	EQUAL(WaitForMultipleObjects(THREADS, thread, TRUE, INFINITE), WAIT_OBJECT_0);
	for (size_t i = 0; i < THREADS; i++)
		CloseHandle(thread[i]);
	EQUAL(errors, 0);
}

/*
 * One life of an allocation; false if anything is not as it must be. Without
 * @refused no access of it is: a thread that is terminated in the middle of an exception
 * keeps the lock of the list of handlers.
 */
static bool round_of(uint32_t *seed, uint8_t byte, bool refused)
{
	size_t pages = next_random(seed) % 24 + 8, first = next_random(seed) % 4;
	char *base = reserve(pages * PAGE), *at = base + first * PAGE;
	bool good;
	DWORD old;

	if (!base)
		return false;
	good = commit(at, 4 * PAGE) && filled(at, 0, 4 * PAGE);
	if (good) {
		memset(at, byte, 4 * PAGE);
		good = VirtualProtect(at + PAGE, PAGE, PAGE_READONLY, &old) && old == PAGE_READWRITE &&
		       (!refused || store(at + PAGE, 0) == (uint32_t)STATUS_ACCESS_VIOLATION) &&
		       filled(at, byte, 4 * PAGE);
	}
	if (good)
		good = VirtualFree(at + 2 * PAGE, PAGE, MEM_DECOMMIT) &&
		       (!refused || load(at + 2 * PAGE) == (uint32_t)STATUS_ACCESS_VIOLATION) &&
		       filled(at, byte, 2 * PAGE) && filled(at + 3 * PAGE, byte, PAGE);
	return VirtualFree(base, 0, MEM_RELEASE) && good;
}

static DWORD CALLBACK allocator(void *arg)
{
	uint32_t seed = (uint32_t)(size_t)arg + 1;

	for (int i = 0; i < 1500; i++)
		if (!round_of(&seed, (uint8_t)(17 * (size_t)arg + i) | 1, true))
			InterlockedIncrement(&errors);
	return 0;
}

static void eight_allocate(void)
{
	all_threads(allocator);
}

/* Each has every eighth page of one region. */
static char *region;

static DWORD CALLBACK sharer(void *arg)
{
	size_t mine = (size_t)arg;

	for (int round = 0; round < 40; round++) {
		for (size_t page = mine; page < 512; page += THREADS) {
			char *at = region + page * PAGE;

			if (!commit(at, PAGE) || !filled(at, 0, PAGE))
				InterlockedIncrement(&errors);
			else
				memset(at, (int)mine + 1, PAGE);
		}
		for (size_t page = mine; page < 512; page += THREADS) {
			char *at = region + page * PAGE;

			if (!filled(at, (uint8_t)(mine + 1), PAGE) || !VirtualFree(at, PAGE, MEM_DECOMMIT))
				InterlockedIncrement(&errors);
		}
	}
	return 0;
}

static void eight_share_a_region(void)
{
	region = reserve(512 * PAGE);
	NEED(region);
	all_threads(sharer);
	BLOCK(region, 512 * PAGE, MEM_RESERVE, 0);
	RELEASE(region);
}

/* They change the same pages: an access works or is a violation, and nothing else. */
static DWORD CALLBACK quarreller(void *arg)
{
	uint32_t seed = (uint32_t)(size_t)arg + 99;
	DWORD old;

	for (int i = 0; i < 4000; i++) {
		char *at = region + next_random(&seed) % 16 * PAGE;
		uint32_t code = 0;

		switch (next_random(&seed) % 6) {
		case 0:
			VirtualFree(at, PAGE, MEM_DECOMMIT);
			break;
		case 1:
			VirtualProtect(at, PAGE, PAGE_READONLY, &old);
			break;
		case 2:
			if (!commit(at, PAGE))
				InterlockedIncrement(&errors);
			break;
		case 3:
			code = load(at);
			break;
		default:
			code = store(at, (uint8_t)i);
		}
		if (code && code != (uint32_t)STATUS_ACCESS_VIOLATION)
			InterlockedIncrement(&errors);
	}
	return 0;
}

static void eight_quarrel_about_pages(void)
{
	region = reserve(16 * PAGE);
	NEED(region);
	all_threads(quarreller);
	NEED(commit(region, 16 * PAGE));
	BLOCK(region, 16 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	memset(region, 1, 16 * PAGE);
	RELEASE(region);
}

/* Until it is told to stop, or is terminated. */
static DWORD CALLBACK endless(void *arg)
{
	uint32_t seed = (uint32_t)(size_t)arg + 5;

	while (!stop) {
		if (!round_of(&seed, 0xA5, false))
			InterlockedIncrement(&errors);
		InterlockedIncrement(&rounds_done);
	}
	return 0;
}

static void suspended_while_they_allocate(void)
{
	enum { N = 4 };
	HANDLE thread[N];
	uint32_t seed = 3;
	LONG before;

	errors = rounds_done = stop = 0;
	for (size_t i = 0; i < N; i++)
		NEED((thread[i] = CreateThread(NULL, 0, endless, (void *)i, 0, NULL)));
	for (int i = 0; i < 300; i++) {
		HANDLE victim = thread[i % N];
		CONTEXT context = { .ContextFlags = CONTEXT_FULL };

		EQUAL(SuspendThread(victim), 0);
		CHECK(GetThreadContext(victim, &context) && context.Rip);
		/* Whatever it was doing, others can allocate. */
		CHECK(round_of(&seed, 0x11, false));
		EQUAL(ResumeThread(victim), 1);
		if (i % 16 == 0)
			Sleep(1);
	}
	before = rounds_done;
	for (int i = 0; i < 1000 && rounds_done < before + 4 * N; i++)
		Sleep(10);
	CHECK(rounds_done >= before + 4 * N);
	stop = 1;
	EQUAL(WaitForMultipleObjects(N, thread, TRUE, 60000), WAIT_OBJECT_0);
	for (size_t i = 0; i < N; i++)
		CloseHandle(thread[i]);
	EQUAL(errors, 0);
}

/* Wine 8.0 loses its lock with such a thread. */
static void terminated_while_they_allocate(void)
{
	uint32_t seed = 4;

	if (!in_a_process_of_its_own())
		return;

	errors = rounds_done = stop = 0;
	for (size_t i = 0; i < 40; i++) {
		HANDLE thread = CreateThread(NULL, 0, endless, (void *)i, 0, NULL);
		LONG before = rounds_done;

		NEED(thread);
		for (int wait = 0; wait < 1000 && rounds_done < before + 3; wait++)
			Sleep(1);
		CHECK(TerminateThread(thread, 9));
		EQUAL(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
		CloseHandle(thread);
		for (int round = 0; round < 5; round++)
			CHECK(round_of(&seed, 0x22, true));
	}
	EQUAL(errors, 0);
}

const struct test_case thread_cases[] = {
	{ "thread.eight_allocate", eight_allocate },
	{ "thread.eight_share_a_region", eight_share_a_region },
	{ "thread.eight_quarrel_about_pages", eight_quarrel_about_pages },
	{ "thread.suspended_while_they_allocate", suspended_while_they_allocate },
	{ "windows.threads_terminated_while_they_allocate", terminated_while_they_allocate },
	{ NULL, NULL },
};
