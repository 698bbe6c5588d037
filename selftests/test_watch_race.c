// SPDX-License-Identifier: GPL-2.0-only
/*
 * No write to a watched region is ever lost: writers and one who gets and resets,
 * while pages are unmapped, swapped out and moved. For a system of two nodes.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <linux/mempolicy.h>
#include <sys/syscall.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define RACE_PAGES	96
#define RACE_WRITERS	2
#define WATCHED		(MEM_RESERVE | MEM_WRITE_WATCH)
#define RESET		WRITE_WATCH_FLAG_RESET

FIXTURE(race) {
};

FIXTURE_SETUP(race)
{
	ASSERT_TRUE(swap_on(64 * MIB)) {
		TH_LOG("no swap in zram: %s", strerror(errno));
	}
}

FIXTURE_TEARDOWN_PARENT(race)
{
	swap_off();
}

struct race {
	uint8_t *p;
	unsigned int mode;
	unsigned int round;
	bool stop;
	bool done[RACE_WRITERS];
	uint64_t last[RACE_PAGES];	/* what the writers wrote last */
	uint64_t seen[RACE_PAGES];	/* what was there after it was reported */
	uint64_t writes, harvests, pages, kicks, moved;
	unsigned int per_round;
};

struct racer {
	struct race *race;
	unsigned int id;
	pthread_barrier_t *start, *end;
};

static void *race_writer(void *arg)
{
	struct racer *me = arg;
	struct race *r = me->race;
	unsigned int seed = me->id + 1, i;
	uint64_t value = 0;

	for (;;) {
		pthread_barrier_wait(me->start);
		if (r->stop)
			return NULL;
		for (i = 0; i < r->per_round; i++) {
			/* Every page has one writer, so that its last value is known. */
			unsigned int page = rand_r(&seed) % (RACE_PAGES / RACE_WRITERS) *
					    RACE_WRITERS + me->id;

			value++;
			/* Refused while the protection is flipped: until it is not. */
			while (probe_store(r->p + page * P, value))
				;
			r->last[page] = value;
		}
		__atomic_fetch_add(&r->writes, r->per_round, __ATOMIC_RELAXED);
		__atomic_store_n(&r->done[me->id], true, __ATOMIC_RELEASE);
		pthread_barrier_wait(me->end);
	}
}

/* Moves pages to another node. */
static void move_pages(struct race *r, unsigned int from, size_t nr, int node)
{
	void *pages[RACE_PAGES];
	int nodes[RACE_PAGES], status[RACE_PAGES];
	size_t i;

	for (i = 0; i < nr; i++) {
		pages[i] = r->p + (from + i) * P;
		nodes[i] = node;
	}
	if (syscall(__NR_move_pages, 0, nr, pages, nodes, status, MPOL_MF_MOVE_ALL) < 0)
		return;
	for (i = 0; i < nr; i++)
		r->moved += status[i] == node;
}

static void *race_disturber(void *arg)
{
	struct race *r = arg;
	unsigned int seed = 99;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		unsigned int from = rand_r(&seed) % RACE_PAGES;
		size_t len = (rand_r(&seed) % (RACE_PAGES - from) + 1) * P;

		switch (r->mode) {
		case 1:
			madvise(r->p + from * P, len, MADV_DONTNEED);
			break;
		case 2:
			madvise(r->p + from * P, len, MADV_PAGEOUT);
			break;
		case 3:
			protect(r->p + from * P, len, PAGE_READONLY);
			protect(r->p + from * P, len, PAGE_READWRITE);
			break;
		case 4:
			/* Migrates pages in memory. */
			write_file("/proc/sys/vm/compact_memory", "1");
			break;
		case 5:
			move_pages(r, from, len / P, r->kicks & 1);
			break;
		}
		r->kicks++;
		if (r->mode == 3 || r->mode == 4)
			usleep(200);
		sched_yield();
	}
	return NULL;
}

static bool race_harvest(struct race *r, unsigned int room)
{
	static PVOID array[RACE_PAGES];
	ULONG_PTR count = room, i;
	ULONG granularity;

	if (NtGetWriteWatch(ME, RESET, r->p, RACE_PAGES * P, array, &count, &granularity))
		return false;
	for (i = 0; i < count; i++) {
		unsigned int page = ((uint8_t *)array[i] - r->p) / P;

		/* The harvester's copy of a page that it was told of. */
		while (probe_load(array[i], &r->seen[page]))
			;
	}
	r->harvests++;
	r->pages += count;
	return true;
}

/* Returns how many pages were moved to another node. */
static uint64_t race_run(struct __test_metadata *_metadata, unsigned int mode, double seconds,
			 unsigned int per_round)
{
	struct race r = { .mode = mode, .per_round = per_round };
	pthread_barrier_t start, end;
	pthread_t threads[RACE_WRITERS + 1];
	struct racer racers[RACE_WRITERS];
	unsigned int i, rounds = 0, lost = 0, spin;
	double until = now() + seconds;

	r.p = (uint8_t *)do_alloc(ME, 0, 0, RACE_PAGES * P, WATCHED | MEM_COMMIT,
				  PAGE_READWRITE).base;
	ASSERT_NE(NULL, r.p);
	pthread_barrier_init(&start, NULL, RACE_WRITERS + 1);
	pthread_barrier_init(&end, NULL, RACE_WRITERS + 1);
	for (i = 0; i < RACE_WRITERS; i++) {
		racers[i] = (struct racer){ &r, i, &start, &end };
		pthread_create(&threads[i], NULL, race_writer, &racers[i]);
	}
	if (mode)
		pthread_create(&threads[RACE_WRITERS], NULL, race_disturber, &r);
	while ((now() < until || rounds < 4) && !lost) {
		memset(r.done, 0, sizeof(r.done));
		pthread_barrier_wait(&start);
		do {
			spin = 0;
			ASSERT_TRUE(race_harvest(&r, rounds & 1 ? RACE_PAGES : 7));
			for (i = 0; i < RACE_WRITERS; i++)
				spin += !__atomic_load_n(&r.done[i], __ATOMIC_ACQUIRE);
		} while (spin);
		pthread_barrier_wait(&end);
		/* What is not reported now was reported, and copied, after its last write. */
		ASSERT_TRUE(race_harvest(&r, RACE_PAGES));
		for (i = 0; i < RACE_PAGES; i++) {
			if (r.seen[i] != r.last[i]) {
				lost++;
				TH_LOG("round %u: page %u has %lu, seen %lu", rounds, i,
				       (long)r.last[i], (long)r.seen[i]);
			}
		}
		rounds++;
	}
	r.stop = true;
	pthread_barrier_wait(&start);
	for (i = 0; i < RACE_WRITERS + !!mode; i++)
		pthread_join(threads[i], NULL);
	TH_LOG("mode %u: %u rounds, %lu writes, %lu harvests of %lu pages, %lu disturbances", mode,
	       rounds, (long)r.writes, (long)r.harvests, (long)r.pages, (long)r.kicks);
	EXPECT_EQ(0, lost);
	EXPECT_LT(3, rounds);
	EXPECT_LT(rounds, r.pages);
	EXPECT_STATUS(STATUS_SUCCESS, release(r.p));
	return r.moved;
}

TEST_F_TIMEOUT(race, no_write_is_lost, 60)
{
	race_run(_metadata, 0, 3, 3000);
}

TEST_F_TIMEOUT(race, no_write_is_lost_when_page_tables_are_zapped, 60)
{
	race_run(_metadata, 1, 2, 1000);
}

TEST_F_TIMEOUT(race, no_write_is_lost_when_pages_are_swapped_out, 60)
{
	race_run(_metadata, 2, 2, 500);
}

TEST_F_TIMEOUT(race, no_write_is_lost_when_the_protection_changes, 60)
{
	race_run(_metadata, 3, 2, 500);
}

TEST_F_TIMEOUT(race, no_write_is_lost_when_pages_migrate, 60)
{
	race_run(_metadata, 4, 2, 2000);
}

TEST_F_TIMEOUT(race, no_write_is_lost_when_pages_move, 60)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		SKIP(return, "there is one node only");
	EXPECT_LT(100, race_run(_metadata, 5, 4, 2000));
}

/* Decommit and release under the feet of harvesters: nothing but statuses comes of it. */
static void *churn(void *arg)
{
	struct race *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		decommit(r->p, RACE_PAGES / 2 * P);
		commit(r->p, RACE_PAGES * P, PAGE_READWRITE);
		probe_store(r->p + 3 * P, 1);
		probe_store(r->p + 80 * P, 1);
		protect(r->p, RACE_PAGES * P, PAGE_READWRITE);
		if (++r->kicks % 16 == 0) {
			release(r->p);
			do_alloc(ME, (uintptr_t)r->p, 0, RACE_PAGES * P, WATCHED, PAGE_READWRITE);
		}
	}
	return NULL;
}

TEST(regions_that_go_away_meanwhile)
{
	struct race r = { .p = (uint8_t *)FIXED };
	double until = now() + 3;
	pthread_t thread;
	static PVOID array[RACE_PAGES];
	unsigned int ok = 0, bad = 0;
	ULONG granularity;

	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, FIXED, 0, RACE_PAGES * P, WATCHED,
					       PAGE_READWRITE).status);
	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &r));
	while (now() < until || ok <= 10) {
		ULONG_PTR count = RACE_PAGES;
		NTSTATUS status = NtGetWriteWatch(ME, ok & 1 ? RESET : 0, r.p, RACE_PAGES * P,
						  array, &count, &granularity);

		ok += !status;
		bad += status && status != STATUS_INVALID_PARAMETER;
		status = NtResetWriteWatch(ME, r.p, RACE_PAGES * P);
		bad += status && status != STATUS_INVALID_PARAMETER;
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, bad);
	EXPECT_LT(10, ok);
}

TEST_HARNESS_MAIN
