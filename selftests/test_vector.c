// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many operations in one request: each must do, and say, exactly what the call
 * by itself does; in order; and what was done must be told whatever goes wrong.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

_Static_assert(sizeof(struct ntvm_vector) == 40, "");
_Static_assert(offsetof(struct ntvm_vector, entries) == 16, "");
_Static_assert(offsetof(struct ntvm_vector, count) == 24, "");
_Static_assert(offsetof(struct ntvm_vector, vector_flags) == 28, "");
_Static_assert(offsetof(struct ntvm_vector, reserved) == 32, "");
_Static_assert(offsetof(struct ntvm_vector, out_done) == 36, "");
_Static_assert(sizeof(struct ntvm_vector_entry) == 32, "");
_Static_assert(offsetof(struct ntvm_vector_entry, status) == 4, "");
_Static_assert(offsetof(struct ntvm_vector_entry, base) == 8, "");
_Static_assert(offsetof(struct ntvm_vector_entry, len) == 16, "");
_Static_assert(offsetof(struct ntvm_vector_entry, protect) == 24, "");
_Static_assert(offsetof(struct ntvm_vector_entry, out_old) == 28, "");

#define COMMIT		LIBNT_REQUEST_COMMIT
#define DECOMMIT	LIBNT_REQUEST_DECOMMIT
#define PROTECT		LIBNT_REQUEST_PROTECT
#define UNTOUCHED	0x5a5a5a5a
#define RW		PAGE_READWRITE

static LIBNT_REQUEST entry(ULONG op, const void *base, size_t len, ULONG protect)
{
	return (LIBNT_REQUEST){
		.Operation = op, .Status = UNTOUCHED, .BaseAddress = (uintptr_t)base,
		.RegionSize = len, .Protect = protect, .OldProtect = OLD_POISON,
	};
}

static NTSTATUS batch_to(HANDLE h, LIBNT_REQUEST *r, ULONG count, ULONG flags, ULONG *done)
{
	*done = 0xdead;
	return LibntVirtualMemoryBatch(h, r, count, flags, done);
}

static NTSTATUS batch(LIBNT_REQUEST *r, ULONG count, ULONG flags, ULONG *done)
{
	return batch_to(ME, r, count, flags, done);
}

/* --- the same as the single calls ------------------------------------------------ */

#define TWIN_PAGES	1100ul		/* three leaves of the page table */
#define TWIN_MOST	300		/* more than two batches */

static uint64_t seed = 0x123456789abcdefull;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

static ULONG random_protect(bool executable)
{
	static const ULONG plain[] = {
		RW, RW, RW, PAGE_READONLY, PAGE_NOACCESS, RW | PAGE_GUARD,
		PAGE_READONLY | PAGE_GUARD, RW | PAGE_NOCACHE,
	};
	static const ULONG code[] = {
		PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
	};
	static const ULONG bad[] = {
		0, 3, PAGE_WRITECOPY, PAGE_EXECUTE_WRITECOPY, PAGE_GUARD,
		PAGE_NOACCESS | PAGE_GUARD, 0x800, 0x40000004, ~0u,
	};

	if (!rnd(12))
		return bad[rnd(ARRAY_SIZE(bad))];
	if (executable && !rnd(6))
		return code[rnd(ARRAY_SIZE(code))];
	return plain[rnd(ARRAY_SIZE(plain))];
}

/* An operation on the region at 0; most are of one page. */
static LIBNT_REQUEST random_entry(bool executable)
{
	static const uint64_t far[] = {
		1, 0xfff, 0x1000, ~0ul, KERNEL_ADDRESS,
#ifdef _LP64	/* the single call has no more than 4 bytes to say it in */
		1ull << 47, 0x7fffffff0000ull,
#endif
	};
	LIBNT_REQUEST r = entry(rnd(3), NULL, P, 0);

	r.BaseAddress = rnd(TWIN_PAGES) * P;
	if (!rnd(3))
		r.BaseAddress += rnd(P);
	if (!rnd(4))
		r.RegionSize = 1 + rnd(8 * P);
	if (!rnd(40))
		r.RegionSize = rnd(TWIN_PAGES * P * 5 / 4);
	if (!rnd(60))
		r.RegionSize = 0;
	if (!rnd(100)) {
		r.BaseAddress = rnd(2) ? 0 : rnd(P);
		r.RegionSize = 0;
	}
	if (!rnd(60))
		r.RegionSize = far[rnd(ARRAY_SIZE(far))];
	if (r.Operation != DECOMMIT)
		r.Protect = random_protect(executable);
	return r;
}

/* What the single call makes of it. */
static void single(LIBNT_REQUEST *r)
{
	struct res res;

	switch (r->Operation) {
	case COMMIT:
		res = do_alloc(ME, r->BaseAddress, 0, r->RegionSize, MEM_COMMIT, r->Protect);
		break;
	case DECOMMIT:
		res = do_free(ME, r->BaseAddress, r->RegionSize, MEM_DECOMMIT);
		break;
	default:
		res = do_protect(ME, r->BaseAddress, r->RegionSize, r->Protect);
	}
	r->Status = res.status;
	r->BaseAddress = res.base;
	r->RegionSize = res.size;
	r->OldProtect = res.old;
}

/* Two regions must look alike: every run, and a byte of every page. */
static long first_difference(uint8_t *a, uint8_t *b, bool bytes)
{
	size_t at = 0, i;

	while (at < TWIN_PAGES * P) {
		struct query qa = do_query(ME, (uintptr_t)a + at);
		struct query qb = do_query(ME, (uintptr_t)b + at);

		if (qa.mbi.State != qb.mbi.State || qa.mbi.Protect != qb.mbi.Protect ||
		    qa.mbi.RegionSize != qb.mbi.RegionSize || !qa.mbi.RegionSize)
			return at / P;
		for (i = at; bytes && i < at + qa.mbi.RegionSize; i += P) {
			struct probe pa = probe_read(a + i), pb = probe_read(b + i);

			if (pa.signo != pb.signo || pa.value != pb.value)
				return i / P;
			/* For the next look: did the contents survive? */
			pa = probe_write(a + i, seed ^ i / P);
			pb = probe_write(b + i, seed ^ i / P);
			if (pa.signo != pb.signo)
				return i / P;
		}
		at += qa.mbi.RegionSize;
	}
	return -1;
}

static void twins(struct __test_metadata *_metadata, bool executable, ULONG contract)
{
	static LIBNT_REQUEST one[TWIN_MOST], many[TWIN_MOST];
	uint8_t *a = reserve(TWIN_PAGES * P), *b = reserve(TWIN_PAGES * P);
	unsigned int round, i, n, bad = 0;
	unsigned int seen[2] = { 0, 0 };
	ULONG done;

	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, contract));
	for (round = 0; round < 8 && !bad; round++) {
		n = 1 + rnd(TWIN_MOST);
		for (i = 0; i < n; i++) {
			LIBNT_REQUEST r = random_entry(executable);

			one[i] = many[i] = r;
			if (r.BaseAddress < TWIN_PAGES * P) {
				one[i].BaseAddress += (uintptr_t)a;
				many[i].BaseAddress += (uintptr_t)b;
			}
		}
		for (i = 0; i < n; i++)
			single(&one[i]);
		ASSERT_STATUS(STATUS_SUCCESS, batch(many, n, 0, &done));
		ASSERT_EQ(n, done);
		for (i = 0; i < n; i++) {
			uint64_t at = one[i].BaseAddress;

			if (at - (uintptr_t)a < TWIN_PAGES * P)
				at = at - (uintptr_t)a + (uintptr_t)b;
			seen[one[i].Status != 0]++;
			if (one[i].Status == many[i].Status && at == many[i].BaseAddress &&
			    one[i].RegionSize == many[i].RegionSize &&
			    one[i].OldProtect == many[i].OldProtect &&
			    one[i].Protect == many[i].Protect &&
			    one[i].Operation == many[i].Operation)
				continue;
			bad++;
			TH_LOG("round %u entry %u op %u: single %s %llx %llx %x, batch %s %llx %llx %x",
			       round, i, one[i].Operation, status_name(one[i].Status),
			       (long long)at, (long long)one[i].RegionSize, one[i].OldProtect,
			       status_name(many[i].Status), (long long)many[i].BaseAddress,
			       (long long)many[i].RegionSize, many[i].OldProtect);
		}
		EXPECT_EQ(0, bad);
		/* Reading trips guards, on both sides alike. */
		EXPECT_EQ(-1, first_difference(a, b, false));
		EXPECT_EQ(-1, first_difference(a, b, true));
		EXPECT_EQ(-1, first_difference(a, b, false));
	}
	EXPECT_LT(200, seen[0]);
	EXPECT_LT(200, seen[1]);
	EXPECT_STATUS(STATUS_SUCCESS, release(a));
	EXPECT_STATUS(STATUS_SUCCESS, release(b));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

TEST(each_entry_does_what_the_call_by_itself_does)
{
	twins(_metadata, false, LIBNT_CONTRACT_DOCUMENTED);
}

TEST(the_same_where_pages_are_executable)
{
	twins(_metadata, true, LIBNT_CONTRACT_DOCUMENTED);
}

TEST(the_same_under_the_windows_contract)
{
	twins(_metadata, false, LIBNT_CONTRACT_WINDOWS);
}

/* --- order, rights, contents --------------------------------------------------------- */

TEST(later_entries_see_what_earlier_ones_did)
{
	uint8_t *p = reserve(4 * MIB), *q;
	ULONG done;

	ASSERT_NE(NULL, p);
	q = p + 100 * P;
	/* The second round finds a leaf in the page table, the first none. */
	for (int round = 0; round < 2; round++) {
		LIBNT_REQUEST r[] = {
			entry(PROTECT, q, P, PAGE_READONLY),
			entry(COMMIT, q, P, RW),
			entry(PROTECT, q, P, PAGE_READONLY),
			entry(DECOMMIT, q, P, 0),
			entry(PROTECT, q, P, RW),
			entry(DECOMMIT, q, P, 0),
			entry(COMMIT, q, P, PAGE_NOACCESS),
			entry(COMMIT, q, P, RW),
			entry(PROTECT, q, 2 * P, RW),
		};
		static const NTSTATUS want[] = {
			STATUS_NOT_COMMITTED, 0, 0, 0, STATUS_NOT_COMMITTED, 0, 0, 0,
			STATUS_NOT_COMMITTED,
		};

		EXPECT_STATUS(STATUS_SUCCESS, batch(r, ARRAY_SIZE(r), 0, &done));
		EXPECT_EQ(ARRAY_SIZE(r), done);
		for (size_t i = 0; i < ARRAY_SIZE(r); i++)
			EXPECT_STATUS(want[i], r[i].Status);
		EXPECT_EQ(PAGE_READWRITE, r[2].OldProtect);
		EXPECT_EQ(PAGE_NOACCESS, r[4].OldProtect);
		EXPECT_EQ(OLD_POISON, r[1].OldProtect);
		EXPECT_QUERY(q, p, RW, P, MEM_COMMIT, RW);
		EXPECT_EQ(P + round * P, info_of(ME).CommittedBytes);
		EXPECT_STATUS(STATUS_SUCCESS, decommit(q, P));
		EXPECT_STATUS(STATUS_SUCCESS, commit(q + 9 * P, P, RW));
	}
}

TEST(rights_that_go_are_gone_and_contents_too)
{
	uint8_t *p = reserve(MIB);
	LIBNT_REQUEST r[5];
	ULONG done;
	int i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 5; i++) {
		EXPECT_STATUS(STATUS_SUCCESS, commit(p + 2 * i * P, P, RW));
		EXPECT_WRITE(p + 2 * i * P, 0x40 + i);
	}
	r[0] = entry(PROTECT, p, P, PAGE_READONLY);
	r[1] = entry(PROTECT, p + 2 * P, P, PAGE_NOACCESS);
	r[2] = entry(DECOMMIT, p + 4 * P, P, 0);
	r[3] = entry(COMMIT, p + 6 * P, P, PAGE_READONLY);
	r[4] = entry(PROTECT, p + 8 * P, P, RW | PAGE_GUARD);
	EXPECT_STATUS(STATUS_SUCCESS, batch(r, 5, 0, &done));
	for (i = 0; i < 5; i++)
		EXPECT_STATUS(STATUS_SUCCESS, r[i].Status);
	EXPECT_NO_WRITE(p);
	EXPECT_READ(p, 0x40);
	EXPECT_NO_ACCESS(p + 2 * P);
	EXPECT_NO_ACCESS(p + 4 * P);
	EXPECT_NO_WRITE(p + 6 * P);
	EXPECT_READ(p + 6 * P, 0x43);
	EXPECT_NO_READ(p + 8 * P);	/* the guard, once */
	EXPECT_READ(p + 8 * P, 0x44);
	r[0] = entry(COMMIT, p + 4 * P, P, RW);
	r[1] = entry(PROTECT, p + 2 * P, P, RW);
	EXPECT_STATUS(STATUS_SUCCESS, batch(r, 2, 0, &done));
	EXPECT_READ(p + 4 * P, 0);
	EXPECT_READ(p + 2 * P, 0x41);
	EXPECT_WRITE(p + 2 * P, 1);
}

TEST(a_commit_never_reserves)
{
	struct snap before, after;
	LIBNT_REQUEST r[3] = {
		entry(COMMIT, NULL, P, RW),
		entry(COMMIT, (void *)FIXED, P, RW),
		entry(COMMIT, NULL, P, 0),
	};
	ULONG done;

	release(reserve(G));
	before = snap_of(ME, FIXED, FIXED + MIB);
	EXPECT_STATUS(STATUS_SUCCESS, batch(r, 3, 0, &done));
	EXPECT_EQ(3, done);
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_2, r[0].Status);
	EXPECT_STATUS(STATUS_CONFLICTING_ADDRESSES, r[1].Status);
	EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION, r[2].Status);
	EXPECT_EQ(0, r[0].BaseAddress);
	after = snap_of(ME, FIXED, FIXED + MIB);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST(the_stop_flag_ends_after_the_first_failure)
{
	static LIBNT_REQUEST r[400], was[400];
	uint8_t *p;
	ULONG done;
	int at, i;

	for (at = 0; at < 400; at += 57) {
		p = reserve(400 * 2 * P);
		ASSERT_NE(NULL, p);
		for (i = 0; i < 400; i++)
			r[i] = entry(COMMIT, p + i * 2 * P, P, RW);
		r[at].Protect = PAGE_WRITECOPY;
		r[at + 1 < 400 ? at + 1 : at].RegionSize = at + 1 < 400 ? 0 : P;
		memcpy(was, r, sizeof(r));
		EXPECT_STATUS(STATUS_SUCCESS, batch(r, 400, LIBNT_BATCH_STOP, &done));
		EXPECT_EQ(at + 1, (int)done);
		EXPECT_EQ(at * P, info_of(ME).CommittedBytes);
		for (i = 0; i < at; i++)
			EXPECT_STATUS(STATUS_SUCCESS, r[i].Status);
		EXPECT_STATUS(STATUS_INVALID_PAGE_PROTECTION, r[at].Status);
		/* The rest says that it was not begun, and is otherwise as it was. */
		for (i = at + 1; i < 400; i++) {
			EXPECT_STATUS(STATUS_PENDING, r[i].Status);
			was[i].Status = STATUS_PENDING;
		}
		EXPECT_EQ(0, memcmp(&r[at + 1], &was[at + 1], (400 - at - 1) * sizeof(r[0])));
		release(p);
		p = reserve(400 * 2 * P);
		for (i = 0; i < 400; i++) {
			r[i] = was[i];
			r[i].BaseAddress = (uintptr_t)p + i * 2 * P;
		}
		/* Without the flag all others are done. */
		EXPECT_STATUS(STATUS_SUCCESS, batch(r, 400, 0, &done));
		EXPECT_EQ(400, done);
		EXPECT_EQ((at + 1 < 400 ? 398 : 399) * P, info_of(ME).CommittedBytes);
		release(p);
	}
}

TEST(the_largest_request)
{
	LIBNT_REQUEST *r = malloc(LIBNT_REQUEST_MAX * sizeof(*r));
	uint8_t *p = reserve(LIBNT_REQUEST_MAX * 2 * P);
	ULONG done;
	int i, bad = 0;

	ASSERT_NE(NULL, r);
	ASSERT_NE(NULL, p);
	for (i = 0; i < LIBNT_REQUEST_MAX; i++)
		r[i] = entry(COMMIT, p + i * 2 * P, P, RW);
	EXPECT_STATUS(STATUS_SUCCESS, batch(r, LIBNT_REQUEST_MAX, 0, &done));
	EXPECT_EQ(LIBNT_REQUEST_MAX, done);
	for (i = 0; i < LIBNT_REQUEST_MAX; i++)
		bad += r[i].Status != STATUS_SUCCESS;
	EXPECT_EQ(0, bad);
	EXPECT_EQ(LIBNT_REQUEST_MAX * P, info_of(ME).CommittedBytes);
	for (i = 0; i < LIBNT_REQUEST_MAX; i++)
		r[i] = entry(DECOMMIT, p + i * 2 * P, P, 0);
	EXPECT_STATUS(STATUS_SUCCESS, batch(r, LIBNT_REQUEST_MAX, 0, &done));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	/* Nothing is held back behind the request's back. */
	EXPECT_STATUS(STATUS_INVALID_PARAMETER,
		      batch(r, LIBNT_REQUEST_MAX + 1, 0, &done));
	EXPECT_EQ(0, done);
	free(r);
}

/* --- bad input ------------------------------------------------------------------------- */

FIXTURE(bad) {
	uint8_t *p;
	int fd;
	struct snap before;
	LIBNT_REQUEST r[2];
	struct ntvm_vector v;
};

FIXTURE_SETUP(bad)
{
	self->p = reserve(MIB);
	ASSERT_NE(NULL, self->p);
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	self->before = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + MIB);
	self->r[0] = entry(COMMIT, self->p, P, RW);
	self->r[1] = entry(COMMIT, self->p + P, P, RW);
	self->v = (struct ntvm_vector){
		.size = sizeof(self->v), .handle = NTVM_CURRENT_PROCESS, .status = 0xa5a5a5a5,
		.entries = (uintptr_t)self->r, .count = 2, .out_done = 77,
	};
}

FIXTURE_TEARDOWN(bad)
{
	struct snap after = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + MIB);

	EXPECT_TRUE(snap_same(&self->before, &after));
	EXPECT_EQ(UNTOUCHED, self->r[0].Status);
	EXPECT_EQ(UNTOUCHED, self->r[1].Status);
	close(self->fd);
}

#define EXPECT_REFUSED(want) do {					\
	EXPECT_EQ(0, raw(self->fd, NTVM_IOC_VECTOR, &self->v));		\
	EXPECT_STATUS((NTSTATUS)(want), (NTSTATUS)self->v.status);	\
	EXPECT_EQ(0, self->v.out_done);					\
} while (0)

TEST_F(bad, a_reserved_field)
{
	self->v.reserved = 1;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_VECTOR, &self->v));
}

TEST_F(bad, a_header_flag)
{
	self->v.flags = NTVM_F_INDIRECT;
	EXPECT_EQ(-EINVAL, raw(self->fd, NTVM_IOC_VECTOR, &self->v));
}

TEST_F(bad, every_unknown_flag)
{
	for (int bit = 1; bit < 32; bit++) {
		self->v.vector_flags = 1u << bit;
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER);
		self->v.vector_flags |= NTVM_VECTOR_STOP;
		EXPECT_REFUSED(STATUS_INVALID_PARAMETER);
	}
}

TEST_F(bad, counts)
{
	self->v.count = NTVM_VECTOR_MAX + 1;
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER);
	self->v.count = ~0u;
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER);
	self->v.count = 0;
	self->v.entries = 0;
	EXPECT_REFUSED(STATUS_SUCCESS);
	self->v.handle = -2;
	EXPECT_REFUSED(STATUS_INVALID_HANDLE);
}

TEST_F(bad, addresses)
{
	static const uint64_t where[] = {
		0, 8, KERNEL_ADDRESS, ~0ull, ~0ull - 31, 1ull << 63, 0x800000000000ull - 32,
	};

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		self->v.entries = where[i];
		EXPECT_REFUSED(STATUS_ACCESS_VIOLATION);
	}
	/* The address wins over the handle, the flags over the address. */
	self->v.handle = -2;
	EXPECT_REFUSED(STATUS_ACCESS_VIOLATION);
	self->v.entries = (uintptr_t)self->r;
	EXPECT_REFUSED(STATUS_INVALID_HANDLE);
	self->v.entries = 0;
	self->v.vector_flags = 2;
	EXPECT_REFUSED(STATUS_INVALID_PARAMETER);
}

TEST_F(bad, handles)
{
	HANDLE weak;
	int zero = open("/dev/null", O_RDWR | O_CLOEXEC);

	self->v.handle = zero;
	EXPECT_REFUSED(STATUS_OBJECT_TYPE_MISMATCH);
	self->v.handle = 1000;
	EXPECT_REFUSED(STATUS_INVALID_HANDLE);
	ASSERT_STATUS(STATUS_SUCCESS,
		      raw_duplicate(ME, NTVM_ACCESS_ALL & ~NTVM_ACCESS_VM_OPERATION, &weak));
	self->v.handle = LibntHandleToFd(weak);
	EXPECT_REFUSED(STATUS_ACCESS_DENIED);
	close(zero);
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(weak));
}

TEST(bad_operations_are_statuses_of_their_own)
{
	uint8_t *p = reserve(MIB);
	LIBNT_REQUEST r[5] = {
		entry(3, p, P, RW),
		entry(~0u, p, P, RW),
		entry(DECOMMIT, p, P, RW),
		entry(DECOMMIT, p, P, 0x80000000),
		entry(COMMIT, p, P, RW),
	};
	ULONG done;
	int i;

	EXPECT_STATUS(STATUS_SUCCESS, batch(r, 5, 0, &done));
	EXPECT_EQ(5, done);
	for (i = 0; i < 4; i++)
		EXPECT_STATUS(STATUS_INVALID_PARAMETER, r[i].Status);
	EXPECT_STATUS(STATUS_SUCCESS, r[4].Status);
	EXPECT_EQ(P, info_of(ME).CommittedBytes);
}

/* --- an array that ends in the middle ---------------------------------------------------- */

/* @shift bytes of the first entry that is not there are there all the same. */
static void cut_off(struct __test_metadata *_metadata, int prot, size_t shift)
{
	const size_t bytes = 3 * P, count = 270;
	uint8_t *map = mmap(NULL, bytes + P, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t k, i;
	ULONG done;

	ASSERT_NE(MAP_FAILED, (void *)map);
	for (k = 0; k < count; k += k < 4 || (k > 124 && k < 132) || k > 252 ? 1 : 17) {
		LIBNT_REQUEST *r = (void *)(map + bytes - k * sizeof(*r) - shift);
		uint8_t *p = reserve(count * 2 * P);

		ASSERT_NE(NULL, p);
		ASSERT_EQ(0, mprotect(map, bytes + P, PROT_READ | PROT_WRITE));
		for (i = 0; i < count && (uint8_t *)(r + i + 1) <= map + bytes + P; i++)
			r[i] = entry(COMMIT, p + i * 2 * P, P, RW);
		ASSERT_EQ(0, mprotect(map + bytes, P, prot));
		EXPECT_STATUS(STATUS_ACCESS_VIOLATION, batch(r, count, 0, &done));
		EXPECT_EQ(k, done);
		EXPECT_EQ(k * P, info_of(ME).CommittedBytes);
		for (i = 0; i < k; i++)
			EXPECT_STATUS(STATUS_SUCCESS, r[i].Status);
		EXPECT_STATUS(STATUS_SUCCESS, release(p));
	}
	munmap(map, bytes + P);
}

TEST(an_array_that_cannot_be_read_to_its_end)
{
	cut_off(_metadata, PROT_NONE, 0);
	cut_off(_metadata, PROT_NONE, 8);
	cut_off(_metadata, PROT_NONE, 24);
}

TEST(an_array_that_cannot_be_written_to_its_end)
{
	cut_off(_metadata, PROT_READ, 0);
	cut_off(_metadata, PROT_READ, 4);
}

TEST(an_array_that_takes_itself_away)
{
	LIBNT_REQUEST *r = reserve_commit(P, RW);
	uint8_t *p = reserve(MIB);
	ULONG done;
	int i;

	ASSERT_NE(NULL, r);
	ASSERT_NE(NULL, p);
	for (i = 0; i < 8; i++)
		r[i] = entry(COMMIT, p + i * 2 * P, P, RW);
	r[3] = entry(DECOMMIT, r, P, 0);
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, batch(r, 8, 0, &done));
	/* All was carried out, and that is told; the statuses have no place. */
	EXPECT_EQ(8, done);
	EXPECT_EQ(7 * P, info_of(ME).CommittedBytes);
	EXPECT_NO_ACCESS(r);
}

/* --- other processes --------------------------------------------------------------------- */

static int target(int sock, void *arg)
{
	uint64_t word;

	if (do_alloc(ME, (uintptr_t)arg, 0, 64 * MIB, MEM_RESERVE, RW).status ||
	    do_alloc(ME, (uintptr_t)arg, 0, 2 * P, MEM_COMMIT, PAGE_EXECUTE_READ).status ||
	    !send_fd(sock, own_device()) || !child_hear(sock, &word))
		return 1;
	return probe_write(arg + 64 * P, 1).signo || info_of(ME).CommittedBytes != 302 * P;
}

TEST(on_another_process)
{
	static LIBNT_REQUEST r[300];
	uint8_t *p = (uint8_t *)FIXED;
	struct child c;
	HANDLE h;
	ULONG done;
	int i;

	ASSERT_TRUE(child_start(&c, target, p));
	h = LibntFdToHandle(recv_fd(c.sock));
	for (i = 0; i < 300; i++)
		r[i] = entry(COMMIT, p + (64 + 2 * i) * P, P, RW);
	EXPECT_STATUS(STATUS_SUCCESS, batch_to(h, r, 300, 0, &done));
	EXPECT_EQ(300, done);
	for (i = 0; i < 300; i++)
		EXPECT_STATUS(STATUS_SUCCESS, r[i].Status);
	EXPECT_EQ(302 * P, info_of(h).CommittedBytes);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	child_tell(c.sock, 1);
	EXPECT_EQ(0, child_wait(&c));
	/* It is gone: so says the request, and nothing is done. */
	r[0].Status = UNTOUCHED;
	EXPECT_TRUE(wait_until(5, batch_to(h, r, 300, 0, &done) ==
			       STATUS_PROCESS_IS_TERMINATING && !done));
	EXPECT_STATUS(UNTOUCHED, r[0].Status);
}

struct shared {
	struct ntvm_vector v;
	volatile int started;
	LIBNT_REQUEST r[LIBNT_REQUEST_MAX];
};

static int works_for_its_parent(int sock, void *arg)
{
	struct shared *s = arg;
	int fd = recv_fd(sock), own = own_device();

	s->v.handle = fd;
	s->started = 1;
	if (raw(own, NTVM_IOC_VECTOR, &s->v))
		return 1;
	/* Done already. */
	pause();
	return 2;
}

TEST(a_caller_that_is_killed_has_told_what_was_done)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int tries, early = 0, middle = 0, i, bad;

	ASSERT_NE(MAP_FAILED, (void *)s);
	for (tries = 0; tries < 40 && middle < 3; tries++) {
		uint8_t *p = reserve(LIBNT_REQUEST_MAX * 2 * P);
		struct child c;
		ULONG done;

		ASSERT_NE(NULL, p);
		memset(&s->v, 0, sizeof(s->v));
		s->v.size = sizeof(s->v);
		s->v.entries = (uintptr_t)s->r;
		s->v.count = LIBNT_REQUEST_MAX;
		s->started = 0;
		for (i = 0; i < LIBNT_REQUEST_MAX; i++)
			s->r[i] = entry(COMMIT, p + i * 2 * P, P, RW);
		ASSERT_TRUE(child_start(&c, works_for_its_parent, s));
		ASSERT_TRUE(send_fd(c.sock, own_device()));
		while (!s->started)
			sched_yield();
		/* Later and later, until it is in the middle. */
		usleep(500 * tries);
		kill(c.pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, child_wait(&c));
		done = s->v.out_done;
		EXPECT_EQ(done * P, info_of(ME).CommittedBytes);
		if (!done)
			early++;
		else if (done < LIBNT_REQUEST_MAX)
			middle++;
		for (bad = 0, i = 0; i < LIBNT_REQUEST_MAX && done; i++)
			bad += s->r[i].Status != (i < (int)done ? STATUS_SUCCESS : STATUS_PENDING);
		EXPECT_EQ(0, bad);
		if (done && done < LIBNT_REQUEST_MAX)
			EXPECT_EQ(NTVM_STATUS_PENDING, s->v.status);
		EXPECT_STATUS(STATUS_SUCCESS, release(p));
	}
	EXPECT_LT(0, middle) {
		TH_LOG("%d tries, %d too early, none in the middle", tries, early);
	}
}

/* --- order as another thread sees it -------------------------------------------------------- */

#define RACE_PAGES	700

struct race {
	uint8_t *p;
	volatile bool end;
	long looks, seen, wrong;
};

static void *looks(void *arg)
{
	struct race *race = arg;
	uint64_t n = 0;

	while (!race->end) {
		uint8_t *at;

		n = (n * 5 + 3) % RACE_PAGES;
		at = race->p + n * P;
		race->looks++;
		/* Entry n is in force: so are all before it. */
		if (probe_read(at).signo)
			continue;
		race->seen++;
		if (do_query(ME, (uintptr_t)race->p).mbi.RegionSize < (n + 1) * P ||
		    page_state(race->p) != MEM_COMMIT)
			race->wrong++;
	}
	return NULL;
}

TEST(whoever_sees_an_entry_done_sees_all_before_it_done)
{
	static LIBNT_REQUEST r[RACE_PAGES];
	struct race race = { 0 };
	pthread_t thread;
	double until;
	ULONG done;
	int i, rounds = 0;

	race.p = reserve(4 * MIB);
	ASSERT_NE(NULL, race.p);
	/* Every page has a byte of its own: all go the short way. */
	for (i = 0; i < RACE_PAGES; i += 2)
		ASSERT_STATUS(STATUS_SUCCESS, commit(race.p + i * P, P, PAGE_NOACCESS));
	ASSERT_EQ(0, pthread_create(&thread, NULL, looks, &race));
	for (until = now() + 4; now() < until || rounds <= 10; rounds++) {
		/*
		 * Access comes from the first page up. It is given back from the last
		 * one down, and page 0 the last: then nobody may see another.
		 */
		for (i = 0; i < RACE_PAGES; i++)
			r[i] = entry(COMMIT, race.p + i * P, P, RW);
		EXPECT_STATUS(STATUS_SUCCESS, batch(r, RACE_PAGES, 0, &done));
		EXPECT_EQ(RACE_PAGES, done);
		EXPECT_EQ(RACE_PAGES * P, info_of(ME).CommittedBytes);
		race.end = true;
		pthread_join(thread, NULL);
		race.end = false;
		for (i = 0; i < RACE_PAGES; i++)
			r[i] = entry(i % 2 ? DECOMMIT : PROTECT, race.p + (RACE_PAGES - 1 - i) * P,
				     P, i % 2 ? 0 : PAGE_NOACCESS);
		EXPECT_STATUS(STATUS_SUCCESS, batch(r, RACE_PAGES, 0, &done));
		EXPECT_EQ(RACE_PAGES / 2 * P, info_of(ME).CommittedBytes);
		ASSERT_EQ(0, pthread_create(&thread, NULL, looks, &race));
	}
	race.end = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, race.wrong);
	EXPECT_LT(10, rounds);
	EXPECT_LT(0, race.seen);
	TH_LOG("%d rounds, %ld looks, %ld of a committed page", rounds, race.looks, race.seen);
}

struct counts {
	uint8_t *p;
	int half;
	long failed;
};

/* Every other page of the same leaves, over and over. */
static void *beside(void *arg)
{
	struct counts *c = arg;
	LIBNT_REQUEST r[256];
	int round, i;
	ULONG done;

	for (round = 0; round < 120; round++) {
		for (i = 0; i < 256; i++)
			r[i] = entry(round % 2 ? DECOMMIT : COMMIT,
				     c->p + (2 * i + c->half) * P, P, round % 2 ? 0 : RW);
		if (batch(r, 256, 0, &done) != STATUS_SUCCESS || done != 256)
			c->failed++;
		for (i = 0; i < 256; i++)
			c->failed += r[i].Status != STATUS_SUCCESS;
		for (i = 0; i < 256 && !(round % 2); i += 37)
			c->failed += probe_write(c->p + (2 * i + c->half) * P, 1).signo != 0;
	}
	return NULL;
}

TEST(two_threads_with_batches_in_one_region)
{
	struct counts c[2] = { { .half = 0 }, { .half = 1 } };
	uint8_t *p = reserve(4 * MIB);
	pthread_t thread;

	ASSERT_NE(NULL, p);
	c[0].p = c[1].p = p + P;
	ASSERT_EQ(0, pthread_create(&thread, NULL, beside, &c[1]));
	beside(&c[0]);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, c[0].failed);
	EXPECT_EQ(0, c[1].failed);
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
	EXPECT_QUERY(p, p, RW, 4 * MIB, MEM_RESERVE, 0);
}

static void *holds_it_up(void *arg)
{
	volatile bool *end = arg;
	long n = 0;

	while (!*end) {
		release(reserve(G));
		n++;
	}
	return (void *)n;
}

TEST(reservations_go_on_beside_a_long_request)
{
	LIBNT_REQUEST *r = malloc(LIBNT_REQUEST_MAX * sizeof(*r));
	uint8_t *p = reserve(LIBNT_REQUEST_MAX * 2 * P);
	volatile bool end = false;
	pthread_t thread;
	void *n;
	ULONG done;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, holds_it_up, (void *)&end));
	for (i = 0; i < LIBNT_REQUEST_MAX; i++)
		r[i] = entry(COMMIT, p + i * 2 * P, P, RW);
	EXPECT_STATUS(STATUS_SUCCESS, batch(r, LIBNT_REQUEST_MAX, 0, &done));
	EXPECT_EQ(LIBNT_REQUEST_MAX, done);
	end = true;
	pthread_join(thread, &n);
	EXPECT_LT(2, (long)n);
	EXPECT_EQ(LIBNT_REQUEST_MAX * P, info_of(ME).CommittedBytes);
	free(r);
}

TEST_HARNESS_MAIN
