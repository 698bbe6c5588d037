// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protections: what each of the six allows the processor to do, that changing
 * them loses no data, and what the call returns (V1 to V7, P8).
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/personality.h>

#define SIZE	(16 * P)

static const struct {
	ULONG protect;
	bool read;
	bool write;
	bool exec;
} kinds[] = {
	{ PAGE_NOACCESS, false, false, false },
	{ PAGE_READONLY, true, false, false },
	{ PAGE_READWRITE, true, true, false },
	{ PAGE_EXECUTE, true, false, true },	/* x86 cannot refuse the read */
	{ PAGE_EXECUTE_READ, true, false, true },
	{ PAGE_EXECUTE_READWRITE, true, true, true },
};

FIXTURE(prot) {
	uint8_t *p;
};

FIXTURE_SETUP(prot)
{
	self->p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x5a, SIZE);
}

FIXTURE_TEARDOWN(prot)
{
}

/* What the processor may do with a page that holds code returning @value. */
static void check_kind(struct __test_metadata *_metadata, uint8_t *page, size_t k,
		       uint32_t value)
{
	if (kinds[k].protect == PAGE_EXECUTE) {
		;	/* reading is up to the hardware */
	} else if (kinds[k].read) {
		EXPECT_READ(page, 0xb8);
	} else {
		EXPECT_NO_READ(page);
	}
	if (kinds[k].write) {
		EXPECT_WRITE(page + 64, k);
	} else {
		EXPECT_NO_WRITE(page + 64);
	}
	if (kinds[k].exec) {
		EXPECT_EXEC(page, value);
	} else {
		EXPECT_NO_EXEC(page);
	}
}

TEST_F(prot, each_of_the_six_by_protect)
{
	size_t k;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		uint8_t *page = self->p + (2 * k + 1) * P;

		put_code(page, 1000 + k);
		EXPECT_STATUS(STATUS_SUCCESS, protect(page, P, kinds[k].protect));
		EXPECT_EQ(kinds[k].protect, page_protect(page));
	}
	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		check_kind(_metadata, self->p + (2 * k + 1) * P, k, 1000 + k);
	/* The pages between them are what they were. */
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		EXPECT_READ(self->p + 2 * k * P, 0x5a);
		EXPECT_WRITE(self->p + 2 * k * P + 1, 1);
		EXPECT_NO_EXEC(self->p + 2 * k * P);
	}
}

TEST_F(prot, each_of_the_six_by_commit)
{
	uint8_t *q = reserve(SIZE);
	size_t k;

	ASSERT_NE(NULL, q);
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		uint8_t *page = q + k * P;

		EXPECT_STATUS(STATUS_SUCCESS, commit(page, P, PAGE_READWRITE));
		put_code(page, 2000 + k);
		EXPECT_STATUS(STATUS_SUCCESS, commit(page, P, kinds[k].protect));
	}
	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		check_kind(_metadata, q + k * P, k, 2000 + k);
}

TEST_F(prot, each_of_the_six_from_the_start)
{
	size_t k;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		uint8_t *q = reserve_commit(P, kinds[k].protect);

		ASSERT_NE(NULL, q);
		EXPECT_QUERY(q, q, kinds[k].protect, P, MEM_COMMIT, kinds[k].protect);
		if (kinds[k].protect != PAGE_EXECUTE) {
			if (kinds[k].read) {
				EXPECT_READ(q, 0);
			} else {
				EXPECT_NO_READ(q);
			}
		}
		if (kinds[k].write) {
			put_code(q, 3000 + k);
			EXPECT_READ(q, 0xb8);
		} else {
			EXPECT_NO_WRITE(q);
		}
		if (kinds[k].write && kinds[k].exec)
			EXPECT_EXEC(q, 3000 + k);
		if (!kinds[k].exec)
			EXPECT_NO_EXEC(q);
	}
}

TEST_F(prot, data_survives_every_change_from_each_to_each)
{
	size_t from, to;
	uint8_t *page = self->p + 5 * P;

	put_code(page, 77);
	for (from = 0; from < ARRAY_SIZE(kinds); from++) {
		for (to = 0; to < ARRAY_SIZE(kinds); to++) {
			EXPECT_STATUS(STATUS_SUCCESS, protect(page, P, kinds[from].protect));
			/* Have the page mapped the one way before it changes. */
			probe_read(page);
			if (kinds[from].exec)
				EXPECT_EXEC(page, 77);
			EXPECT_STATUS(STATUS_SUCCESS, protect(page, P, kinds[to].protect));
			check_kind(_metadata, page, to, 77);
		}
	}
	EXPECT_STATUS(STATUS_SUCCESS, protect(page, P, PAGE_READWRITE));
	EXPECT_READ(page, 0xb8);
	EXPECT_READ(page + P - 1, 0x5a);
	EXPECT_READ(page - 1, 0x5a);
	EXPECT_READ(page + P, 0x5a);
}

TEST_F(prot, a_writable_and_executable_page_runs_what_is_written)
{
	uint32_t i;

	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_EXECUTE_READWRITE));
	for (i = 0; i < 50; i++) {
		put_code(self->p, i);
		EXPECT_EXEC(self->p, i);
	}
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_READWRITE));
	EXPECT_NO_EXEC(self->p);
	EXPECT_READ(self->p, 0xb8);
}

/* A personality for programs older than NX makes Linux's own mappings executable. */
TEST_F(prot, read_implies_exec_does_not_make_nt_memory_executable)
{
	uint8_t *p;

	ASSERT_NE(-1, personality(PER_LINUX | READ_IMPLIES_EXEC));
	p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	put_code(p, 1);
	EXPECT_NO_EXEC(p);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_EXECUTE_READ));
	EXPECT_EXEC(p, 1);
	put_code(p + P, 2);
	EXPECT_NO_EXEC(p + P);
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_READWRITE));
	EXPECT_NO_EXEC(p);
}

TEST_F(prot, V1_one_byte_is_the_whole_page)
{
	uintptr_t p = (uintptr_t)self->p;

	EXPECT_RES(STATUS_SUCCESS, p, P, do_protect(ME, p + 1, 1, PAGE_READONLY));
	EXPECT_NO_WRITE(p);
	EXPECT_NO_WRITE(p + P - 1);
	EXPECT_WRITE(p + P, 1);
	EXPECT_RES(STATUS_SUCCESS, p + 3 * P, 2 * P,
		   do_protect(ME, p + 4 * P - 1, 2, PAGE_READONLY));
	EXPECT_WRITE(p + 3 * P - 1, 1);
	EXPECT_NO_WRITE(p + 3 * P);
	EXPECT_NO_WRITE(p + 5 * P - 1);
	EXPECT_WRITE(p + 5 * P, 1);
}

TEST_F(prot, V2_old_is_the_protection_of_the_first_page)
{
	uintptr_t p = (uintptr_t)self->p;

	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p + 4 * P, 4 * P, PAGE_READONLY));
	EXPECT_EQ(PAGE_READWRITE, do_protect(ME, p + 3 * P, 2 * P, PAGE_NOACCESS).old);
	EXPECT_EQ(PAGE_NOACCESS, do_protect(ME, p + 4 * P, 2 * P, PAGE_READWRITE).old);
	EXPECT_EQ(PAGE_READONLY, do_protect(ME, p + 6 * P, P, PAGE_READWRITE | PAGE_GUARD).old);
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, do_protect(ME, p + 6 * P, P, PAGE_READONLY).old);
}

TEST_F(prot, V3_V4_a_failing_call_changes_no_page)
{
	uintptr_t p = (uintptr_t)self->p;
	struct snap before, after;
	struct res r;

	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p + 8 * P, P));
	before = snap_of(ME, p - G, p + SIZE + G);
	/* A page in the middle is not committed. */
	r = do_protect(ME, p, SIZE, PAGE_READONLY);
	EXPECT_RES(STATUS_NOT_COMMITTED, p, SIZE, r);
	EXPECT_EQ(PAGE_NOACCESS, r.old);
	r = do_protect(ME, p + 8 * P, P, PAGE_READONLY);
	EXPECT_RES(STATUS_NOT_COMMITTED, p + 8 * P, P, r);
	EXPECT_EQ(PAGE_NOACCESS, r.old);
	/* Past the end of the region. */
	r = do_protect(ME, p, SIZE + 1, PAGE_READONLY);
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, p, SIZE + 1, r);
	EXPECT_EQ(PAGE_NOACCESS, r.old);
	/* No region at all. */
	r = do_protect(ME, FIXED, P, PAGE_READONLY);
	EXPECT_RES(STATUS_CONFLICTING_ADDRESSES, FIXED, P, r);
	EXPECT_EQ(PAGE_NOACCESS, r.old);
	after = snap_of(ME, p - G, p + SIZE + G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_WRITE(p, 1);
	EXPECT_WRITE(p + SIZE - 1, 1);
}

TEST_F(prot, V5_data_survives_noaccess)
{
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_NOACCESS));
	EXPECT_NO_READ(self->p);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, PAGE_READONLY));
	EXPECT_READ(self->p, 0x5a);
	EXPECT_READ(self->p + SIZE - 1, 0x5a);
	/* Q4: the charge is for what is committed, accessible or not. */
	EXPECT_EQ(SIZE, info_of(ME).CommittedBytes);
}

/* The kernel maps what is in memory around a page that is read. */
TEST_F(prot, a_read_maps_no_neighbour_that_may_not_be_read)
{
	uint8_t *p = self->p;
	size_t i;

	for (i = 1; i < SIZE / P; i += 2)
		EXPECT_STATUS(STATUS_SUCCESS, protect(p + i * P, P, i & 2 ? PAGE_NOACCESS :
							PAGE_READWRITE | PAGE_GUARD));
	/* Out of the page tables, not out of memory; then in from both sides. */
	ASSERT_EQ(0, madvise(p, SIZE, MADV_DONTNEED));
	EXPECT_READ(p, 0x5a);
	EXPECT_READ(p + SIZE - 2 * P, 0x5a);
	EXPECT_READ(p + SIZE / 2, 0x5a);
	for (i = 1; i < SIZE / P; i += 2)
		EXPECT_NO_READ(p + i * P);
	for (i = 1; i < SIZE / P; i += 4)
		EXPECT_READ(p + i * P, 0x5a);	/* guards raise once */
}

struct toucher {
	uint8_t *p;
	bool stop;
	unsigned int worked;
	unsigned int refused;
};

static void *touch_on(void *arg)
{
	struct toucher *t = arg;
	uint64_t word;

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		if (probe_load(t->p, &word))
			t->refused++;
		else
			t->worked++;
	}
	return NULL;
}

/*
 * A fault that was let in may be under way still when the right is taken: it may
 * work, and must not bring the page back. It is let in by a right that is given
 * for less than a millisecond.
 */
TEST(a_fault_under_way_brings_nothing_back)
{
	struct toucher t = { .p = reserve(P) };
	unsigned int seed = 1, round = 0, stale = 0, i;
	double until, moment;
	pthread_t thread;
	uint64_t word;

	ASSERT_NE(NULL, t.p);
	probe_init();
	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_on, &t));
	for (until = now() + 4; now() < until || round < 50; round++) {
		ASSERT_STATUS(STATUS_SUCCESS, commit(t.p, P, PAGE_READWRITE));
		moment = now() + rand_r(&seed) % 800 * 1e-6;
		while (now() < moment)
			;
		ASSERT_STATUS(STATUS_SUCCESS, round & 1 ? decommit(t.p, P) :
						protect(t.p, P, PAGE_NOACCESS));
		/* Also when that fault has had the time to end. */
		for (i = 0; i < 3; i++) {
			stale += probe_load(t.p, &word) != SIGSEGV;
			sleep_ms(1);
		}
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	TH_LOG("%u rounds, %u accesses worked, %u were refused", round, t.worked, t.refused);
	EXPECT_EQ(0, stale);
	EXPECT_LT(0, t.refused);
	EXPECT_STATUS(STATUS_SUCCESS, release(t.p));
}

TEST_F(prot, V6_a_guard_can_be_set_again)
{
	uintptr_t p = (uintptr_t)self->p;
	int i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(PAGE_READWRITE, do_protect(ME, p, P, PAGE_READWRITE | PAGE_GUARD).old);
		EXPECT_NO_READ(p);
		EXPECT_READ(p, 0x5a);
	}
}

TEST_F(prot, V7_the_regions_own_protection_stays)
{
	size_t k;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, SIZE, kinds[k].protect));
		EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_COMMIT, kinds[k].protect);
	}
	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p, SIZE));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, SIZE, MEM_RESERVE, 0);
}

TEST_F(prot, P8_nocache_belongs_to_the_region)
{
	uint8_t *q = reserve_commit(2 * P, PAGE_READWRITE | PAGE_NOCACHE);

	ASSERT_NE(NULL, q);
	EXPECT_QUERY(q, q, PAGE_READWRITE | PAGE_NOCACHE, 2 * P, MEM_COMMIT,
		     PAGE_READWRITE | PAGE_NOCACHE);
	EXPECT_WRITE(q, 1);
	EXPECT_READ(q, 1);
	/* Asked for without it: it stays. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(q, P, PAGE_READONLY));
	EXPECT_QUERY(q, q, PAGE_READWRITE | PAGE_NOCACHE, P, MEM_COMMIT,
		     PAGE_READONLY | PAGE_NOCACHE);
	EXPECT_NO_WRITE(q);
	/* Asked for where the region has none: it does not come. */
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p, P, PAGE_READONLY | PAGE_NOCACHE));
	EXPECT_QUERY(self->p, self->p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READONLY);
}

TEST_F(prot, P8_writecombine_is_accepted_as_an_attribute)
{
	struct res r = do_alloc(ME, 0, 0, P, MEM_RESERVE | MEM_COMMIT,
				PAGE_READWRITE | PAGE_WRITECOMBINE);

	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_EQ(PAGE_READWRITE | PAGE_WRITECOMBINE, do_query(ME, r.base).mbi.AllocationProtect);
	EXPECT_WRITE(r.base, 3);
	EXPECT_READ(r.base, 3);
}

TEST_F(prot, words_that_are_no_protection)
{
	static const ULONG bad[] = {
		0, 3, 5, 6, 7, 9, 0xc, 0xf, 0x11, 0x30, 0x60, 0x84, 0xff, PAGE_GUARD,
		PAGE_GUARD | PAGE_NOACCESS, PAGE_NOCACHE, PAGE_NOCACHE | PAGE_NOACCESS,
		PAGE_GUARD | PAGE_NOCACHE | PAGE_READWRITE, 0x800 | PAGE_READWRITE,
		PAGE_NOCACHE | PAGE_WRITECOMBINE | PAGE_READWRITE, ~0u, 0x80000000 | PAGE_READONLY,
	};
	uintptr_t p = (uintptr_t)self->p;
	struct snap before = snap_of(ME, p, p + SIZE), after;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_RES(STATUS_INVALID_PAGE_PROTECTION, p, P, do_protect(ME, p, P, bad[i]));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, p, P, do_protect(ME, p, P, PAGE_WRITECOPY));
	EXPECT_RES(STATUS_INVALID_PARAMETER_4, p, P, do_protect(ME, p, P, PAGE_EXECUTE_WRITECOPY));
	after = snap_of(ME, p, p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST_F(prot, each_earlier_error_wins_over_each_later_one)
{
	enum { PROTECT, POINTER, BASE, LEN, HANDLE_, CONFLICT, UNCOMMITTED, WRITECOPY, N };
	const NTSTATUS want[N] = {
		[PROTECT] = STATUS_INVALID_PAGE_PROTECTION,
		[POINTER] = STATUS_ACCESS_VIOLATION,
		[BASE] = STATUS_INVALID_PARAMETER_2,
		[LEN] = STATUS_INVALID_PARAMETER_3,
		[HANDLE_] = STATUS_INVALID_HANDLE,
		[CONFLICT] = STATUS_CONFLICTING_ADDRESSES,
		[UNCOMMITTED] = STATUS_NOT_COMMITTED,
		[WRITECOPY] = STATUS_INVALID_PARAMETER_4,
	};
	uintptr_t p = (uintptr_t)self->p;
	struct snap before, after;
	int pairs = 0;
	int i, j, which;

	EXPECT_STATUS(STATUS_SUCCESS, decommit(self->p + 8 * P, P));
	before = snap_of(ME, p - G, p + SIZE + G);
	for (i = 0; i < N; i++) {
		for (j = i; j < N; j++) {
			unsigned int has = 1u << i | 1u << j;

#define HAS(x) (has & 1u << (x))
			if ((HAS(PROTECT) && HAS(WRITECOPY)) || (HAS(LEN) && HAS(CONFLICT)) ||
			    (HAS(BASE) && HAS(UNCOMMITTED)))
				continue;
			/* Each of the three pointers is bad once. */
			for (which = 0; which < (HAS(POINTER) ? 3 : 1); which++) {
				PVOID base = (PVOID)(HAS(BASE) ? KERNEL_ADDRESS :
						     HAS(UNCOMMITTED) ? p + 8 * P : p);
				SIZE_T size = HAS(LEN) ? 0 : HAS(CONFLICT) ? SIZE + P : P;
				ULONG prot = HAS(PROTECT) ? 0 : HAS(WRITECOPY) ?
					     PAGE_WRITECOPY : PAGE_READONLY;
				ULONG old;
				int bad = HAS(POINTER) ? which : -1;
				NTSTATUS got;

				got = NtProtectVirtualMemory(HAS(HANDLE_) ? NULL : ME,
							     bad == 0 ? NULL : &base,
							     bad == 1 ? NULL : &size, prot,
							     bad == 2 ? NULL : &old);
				EXPECT_EQ(want[i], got) {
					TH_LOG("errors %d and %d, pointer %d: want %s, got %s", i,
					       j, bad, status_name(want[i]), status_name(got));
				}
			}
#undef HAS
			pairs++;
		}
	}
	EXPECT_EQ(N * (N + 1) / 2 - 3, pairs);
	after = snap_of(ME, p - G, p + SIZE + G);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_RES(STATUS_INVALID_PARAMETER_3, p, ~0ul, do_protect(ME, p, ~0ul, PAGE_READONLY));
}

TEST_HARNESS_MAIN
