// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once in one region: threads that commit, write, protect and
 * decommit pages of their own while others touch the same pages and query them.
 * No stale access, no half-done call in sight, and nothing left at the end.
 *
 * NTVM_STRESS_SECONDS says how long (60), NTVM_STRESS_SEED varies the course.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <stdarg.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	3600

#define WORKERS		3
#define OWN		24		/* pages of each worker */
#define TOGGLED		8		/* pages that change as one */
#define PAGES		(WORKERS * OWN + TOGGLED + 2)
#define LAST_WORD	(P - sizeof(uint64_t))

/* What an owner writes: which page, and the how-manieth life of it. */
#define MAGIC		0x4e54ull
#define WORD(page, gen)	(MAGIC << 48 | (uint64_t)(page) << 32 | (uint32_t)(gen))

struct stress {
	uint8_t *p;
	uint8_t *toggled;
	double end;
	/* Lives of a page that are over: decommit of them has returned. */
	uint32_t over[WORKERS * OWN];
	/* The page that each worker is at. */
	uint32_t current[WORKERS];
	uint64_t calls;
	uint64_t touches;
	uint64_t hits;
	uint64_t queries;
	uint64_t toggles;
	int errors;
	char first[256];
};

static struct stress *S;
static unsigned int seed0;

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *fmt, ...)
{
	va_list ap;

	if (__atomic_fetch_add(&S->errors, 1, __ATOMIC_RELAXED))
		return;
	va_start(ap, fmt);
	vsnprintf(S->first, sizeof(S->first), fmt, ap);
	va_end(ap);
}

#define MUST(want, call) do {							\
	NTSTATUS __s = (call);							\
	if (__s != (want))							\
		wrong("%s: %s", #call, status_name(__s));			\
	__atomic_fetch_add(&S->calls, 1, __ATOMIC_RELAXED);			\
} while (0)

/* Mostly a page that somebody works on now: that is where the races are. */
static unsigned int some_page(unsigned int *seed)
{
	if (rand_r(seed) % 8)
		return __atomic_load_n(&S->current[rand_r(seed) % WORKERS], __ATOMIC_RELAXED);
	return rand_r(seed) % (WORKERS * OWN);
}

/* One look at a page of anybody's: its word is 0, or of a life not yet over. */
static void touch(unsigned int page, unsigned int *seed)
{
	uint8_t *at = S->p + page * P + (rand_r(seed) & 1 ? 0 : LAST_WORD);
	uint32_t over = __atomic_load_n(&S->over[page], __ATOMIC_SEQ_CST);
	uint64_t word;

	__atomic_fetch_add(&S->touches, 1, __ATOMIC_RELAXED);
	if (!(rand_r(seed) & 7)) {
		/* A write by a stranger, where nobody looks. */
		probe_store(S->p + page * P + 128, word = rand_r(seed));
		return;
	}
	if (probe_load(at, &word))
		return;
	__atomic_fetch_add(&S->hits, 1, __ATOMIC_RELAXED);
	if (!word)
		return;
	if (word >> 32 != WORD(page, 0) >> 32)
		wrong("page %u reads %#llx, another page's or nobody's", page,
		      (unsigned long long)word);
	else if ((int32_t)((uint32_t)word - over) <= 0)
		wrong("page %u reads life %u after the end of life %u", page, (uint32_t)word, over);
}

static void write_life(unsigned int page, uint32_t gen)
{
	uint8_t *at = S->p + page * P;

	if (probe_store(at, WORD(page, gen)) || probe_store(at + LAST_WORD, WORD(page, gen)))
		wrong("page %u: life %u cannot be written", page, gen);
}

static void check_life(unsigned int page, uint32_t gen)
{
	uint8_t *at = S->p + page * P;
	uint64_t a = 0, b = 0;

	if (probe_load(at, &a) || probe_load(at + LAST_WORD, &b))
		wrong("page %u: life %u cannot be read", page, gen);
	else if (a != WORD(page, gen) || b != WORD(page, gen))
		wrong("page %u: life %u reads %#llx %#llx", page, gen, (unsigned long long)a,
		      (unsigned long long)b);
}

/* The owner takes a page through one more life. */
static void live(unsigned int page, uint32_t gen, unsigned int *seed)
{
	uint8_t *at = S->p + page * P;
	uint64_t word = 0;
	PVOID hit;

	__atomic_store_n(&S->current[page / OWN], page, __ATOMIC_RELAXED);
	MUST(STATUS_SUCCESS, commit(at, P, PAGE_READWRITE));
	if (probe_load(at, &word) || word)
		wrong("page %u: not zero but %#llx at the start of life %u", page,
		      (unsigned long long)word, gen);
	if (probe_load(at + LAST_WORD, &word) || word)
		wrong("page %u: its end not zero but %#llx", page, (unsigned long long)word);
	write_life(page, gen);
	check_life(page, gen);
	switch (rand_r(seed) % 12) {
	case 0:
	case 1:
		MUST(STATUS_SUCCESS, protect(at, P, PAGE_READONLY));
		if (probe_store(at + 64, 1) != SIGSEGV)
			wrong("page %u: written although READONLY", page);
		check_life(page, gen);
		MUST(STATUS_SUCCESS, protect(at, P, PAGE_READWRITE));
		check_life(page, gen);
		write_life(page, gen);
		break;
	case 2:
	case 3:
		MUST(STATUS_SUCCESS, protect(at, P, PAGE_NOACCESS));
		if (probe_load(at, &word) != SIGSEGV)
			wrong("page %u: read although NOACCESS", page);
		MUST(STATUS_SUCCESS, protect(at, P, PAGE_READONLY));
		check_life(page, gen);
		break;
	case 4:
		MUST(STATUS_SUCCESS, protect(at, P, PAGE_READWRITE | PAGE_GUARD));
		/* Whoever comes first. */
		probe_load(at, &word);
		LibntTakeFault(&hit);
		check_life(page, gen);
		break;
	case 5:
		MUST(STATUS_SUCCESS, protect(at, P, PAGE_EXECUTE_READ));
		check_life(page, gen);
		if (probe_store(at + 64, 1) != SIGSEGV)
			wrong("page %u: written although EXECUTE_READ", page);
		MUST(STATUS_SUCCESS, protect(at, P, PAGE_READWRITE));
		check_life(page, gen);
		break;
	case 6:
		/* Dropped from the page tables, not from the file. */
		madvise(S->p, PAGES * P, MADV_DONTNEED);
		check_life(page, gen);
		break;
	}
	MUST(STATUS_SUCCESS, decommit(at, P));
	__atomic_store_n(&S->over[page], gen, __ATOMIC_SEQ_CST);
	if (probe_load(at, &word) != SIGSEGV)
		wrong("page %u: read %#llx after decommit", page, (unsigned long long)word);
	if (probe_store(at + LAST_WORD, 1) != SIGSEGV)
		wrong("page %u: written after decommit", page);
	if (!(rand_r(seed) & 7) && page_state(at) != MEM_RESERVE)
		wrong("page %u: state %#x after decommit", page, page_state(at));
}

static void *worker(void *arg)
{
	unsigned int me = (long)arg, seed = seed0 + me;
	uint32_t gen = 0;

	while (now() < S->end && !S->errors) {
		int i;

		gen++;
		live(me * OWN + rand_r(&seed) % OWN, gen, &seed);
		for (i = 0; i < 12; i++)
			touch(some_page(&seed), &seed);
		if (!(gen % 64)) {
			/* A region of its own, for the churn. */
			uint8_t *q = reserve_commit((1 + gen % 97) * P, PAGE_READWRITE);

			if (!q)
				wrong("no region");
			else if (probe_write(q, 1).signo)
				wrong("a new region cannot be written");
			MUST(STATUS_SUCCESS, release(q));
		}
	}
	return NULL;
}

/* Changes eight pages as one, with neighbours that are never like them. */
static void *toggler(void *arg)
{
	unsigned int seed = seed0 ^ 0x5555;

	(void)arg;
	while (now() < S->end && !S->errors) {
		uint64_t a = 0, b = 0;

		MUST(STATUS_SUCCESS, commit(S->toggled, TOGGLED * P, PAGE_READWRITE));
		if (probe_load(S->toggled, &a) || a ||
		    probe_load(S->toggled + TOGGLED * P - 8, &b) || b)
			wrong("toggled pages start with %#llx %#llx", (unsigned long long)a,
			      (unsigned long long)b);
		probe_store(S->toggled, 1);
		probe_store(S->toggled + TOGGLED * P - 8, 1);
		if (rand_r(&seed) & 1)
			MUST(STATUS_SUCCESS, protect(S->toggled, TOGGLED * P, PAGE_READONLY));
		if (rand_r(&seed) & 1)
			MUST(STATUS_SUCCESS, commit(S->toggled, TOGGLED * P, PAGE_NOACCESS));
		MUST(STATUS_SUCCESS, decommit(S->toggled, TOGGLED * P));
		__atomic_fetch_add(&S->toggles, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *watcher(void *arg)
{
	unsigned int seed = seed0 ^ 0xaaaa;

	(void)arg;
	while (now() < S->end && !S->errors) {
		unsigned int page = rand_r(&seed) % TOGGLED;
		struct query q = do_query(ME, (uintptr_t)S->toggled + page * P);
		size_t want = (TOGGLED - page) * P;
		bool known = q.mbi.State == MEM_RESERVE ? q.mbi.Protect == 0 :
			     q.mbi.State == MEM_COMMIT &&
			     (q.mbi.Protect == PAGE_READWRITE || q.mbi.Protect == PAGE_READONLY ||
			      q.mbi.Protect == PAGE_NOACCESS);

		if (q.status != STATUS_SUCCESS || !known || q.mbi.RegionSize != want ||
		    q.mbi.AllocationBase != S->p)
			wrong("a query in the middle of a call: %s state %#x protect %#x, %#lx bytes, want %#lx",
			      status_name(q.status), q.mbi.State, q.mbi.Protect,
			      (long)q.mbi.RegionSize, (long)want);
		q = do_query(ME, (uintptr_t)S->p + rand_r(&seed) % (WORKERS * OWN) * P);
		if (q.status != STATUS_SUCCESS || q.mbi.State == MEM_FREE || !q.mbi.RegionSize ||
		    q.mbi.RegionSize > PAGES * P)
			wrong("a query: %s state %#x, %#lx bytes", status_name(q.status),
			      q.mbi.State, (long)q.mbi.RegionSize);
		for (page = 0; page < 4; page++)
			touch(some_page(&seed), &seed);
		__atomic_fetch_add(&S->queries, 2, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int stress_process(int sock, void *arg)
{
	pthread_t thread[WORKERS + 2];
	uint8_t *edge;
	long i;

	(void)sock;
	S->p = reserve(PAGES * P);
	if (!S->p)
		return 1;
	S->toggled = S->p + (WORKERS * OWN + 1) * P;
	/* Guarded and never touched: unlike any state of the pages between. */
	edge = S->toggled - P;
	if (commit(edge, P, PAGE_READONLY | PAGE_GUARD) ||
	    commit(S->toggled + TOGGLED * P, P, PAGE_READONLY | PAGE_GUARD))
		return 2;
	S->end = now() + *(double *)arg;
	probe_init();
	for (i = 0; i < WORKERS; i++)
		if (pthread_create(&thread[i], NULL, worker, (void *)i))
			return 3;
	if (pthread_create(&thread[i++], NULL, toggler, NULL) ||
	    pthread_create(&thread[i++], NULL, watcher, NULL))
		return 3;
	while (i-- > 0)
		pthread_join(thread[i], NULL);
	/* What the books of the process say at the end. */
	if (!S->errors && info_of(ME).CommittedBytes != 2 * P)
		wrong("%zu bytes committed at the end", info_of(ME).CommittedBytes);
	if (!S->errors && info_of(ME).Regions != 1)
		wrong("%zu regions at the end", info_of(ME).Regions);
	if (!S->errors && vmas_in((uintptr_t)S->p, (uintptr_t)S->p + PAGES * P) != 1)
		wrong("%d VMAs at the end", vmas_in((uintptr_t)S->p, (uintptr_t)S->p + PAGES * P));
	return 0;
}

TEST(one_region_under_threads)
{
	const char *seconds_text = getenv("NTVM_STRESS_SECONDS");
	const char *seed_text = getenv("NTVM_STRESS_SEED");
	double seconds = seconds_text ? atof(seconds_text) : 60;
	struct books before;
	struct child c;
	double warm_up = 0.5;

	ASSERT_LT(0, seconds);
	seed0 = seed_text ? strtoul(seed_text, NULL, 0) : 1;
	S = mmap(NULL, sizeof(*S), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, S);
	/* What stays for good comes with the first one. */
	ASSERT_TRUE(child_start(&c, stress_process, &warm_up));
	ASSERT_EQ(0, child_wait(&c));
	ASSERT_EQ(0, S->errors) {
		TH_LOG("%s", S->first);
	}
	memset(S, 0, sizeof(*S));
	sleep_ms(1000);
	before = books_now();
	ASSERT_TRUE(child_start(&c, stress_process, &seconds));
	EXPECT_EQ(0, child_wait(&c));
	TH_LOG("%.0f s: %llu calls, %llu touches (%llu found data or zero), %llu queries, %llu toggles",
	       seconds, (unsigned long long)S->calls, (unsigned long long)S->touches,
	       (unsigned long long)S->hits, (unsigned long long)S->queries,
	       (unsigned long long)S->toggles);
	EXPECT_EQ(0, S->errors) {
		TH_LOG("%d errors, the first: %s", S->errors, S->first);
	}
	/* It was a stress. */
	EXPECT_LT(100, S->calls);
	EXPECT_LT(0, S->hits);
	EXPECT_LT(0, S->toggles);
	EXPECT_LT(0, S->queries);
	EXPECT_BOOKS(10, before);
}

TEST_HARNESS_MAIN
