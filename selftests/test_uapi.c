// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI itself: layouts, sizes that are too short or too long, flags and
 * reserved fields, bad pointers and hostile ranges, each with its exact answer
 * and with nothing changed afterwards.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

/* The layout is the contract: 32-bit and 64-bit callers share it. */
#define HEADER(type)						\
	_Static_assert(offsetof(struct type, size) == 0, "");	\
	_Static_assert(offsetof(struct type, flags) == 4, "");	\
	_Static_assert(offsetof(struct type, handle) == 8, "");	\
	_Static_assert(offsetof(struct type, status) == 12, "")
#define FIELD(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), "")
#define LENGTH(type, length) _Static_assert(sizeof(struct type) == (length), "")

HEADER(ntvm_header);
LENGTH(ntvm_header, 16);
HEADER(ntvm_info);
FIELD(ntvm_info, out_version, 16);
FIELD(ntvm_info, out_contract, 20);
FIELD(ntvm_info, out_features, 24);
FIELD(ntvm_info, out_page_size, 32);
FIELD(ntvm_info, out_granularity, 36);
FIELD(ntvm_info, out_min_address, 40);
FIELD(ntvm_info, out_max_address, 48);
FIELD(ntvm_info, out_reserved, 56);
FIELD(ntvm_info, out_committed, 64);
FIELD(ntvm_info, out_regions, 72);
FIELD(ntvm_info, out_access, 80);
FIELD(ntvm_info, reserved, 84);
LENGTH(ntvm_info, 88);
HEADER(ntvm_allocate);
FIELD(ntvm_allocate, base, 16);
FIELD(ntvm_allocate, len, 24);
FIELD(ntvm_allocate, zero_bits, 32);
FIELD(ntvm_allocate, type, 40);
FIELD(ntvm_allocate, protect, 44);
LENGTH(ntvm_allocate, 48);
HEADER(ntvm_free);
FIELD(ntvm_free, base, 16);
FIELD(ntvm_free, len, 24);
FIELD(ntvm_free, type, 32);
FIELD(ntvm_free, reserved, 36);
LENGTH(ntvm_free, 40);
HEADER(ntvm_protect);
FIELD(ntvm_protect, base, 16);
FIELD(ntvm_protect, len, 24);
FIELD(ntvm_protect, old_ptr, 32);
FIELD(ntvm_protect, protect, 40);
FIELD(ntvm_protect, out_old, 44);
LENGTH(ntvm_protect, 48);
HEADER(ntvm_query);
FIELD(ntvm_query, address, 16);
FIELD(ntvm_query, buffer, 24);
FIELD(ntvm_query, length, 32);
FIELD(ntvm_query, return_ptr, 40);
FIELD(ntvm_query, info_class, 48);
FIELD(ntvm_query, reserved, 52);
LENGTH(ntvm_query, 56);
FIELD(ntvm_basic_info, base, 0);
FIELD(ntvm_basic_info, allocation_base, 8);
FIELD(ntvm_basic_info, allocation_protect, 16);
FIELD(ntvm_basic_info, region_size, 24);
FIELD(ntvm_basic_info, state, 32);
FIELD(ntvm_basic_info, protect, 36);
FIELD(ntvm_basic_info, type, 40);
LENGTH(ntvm_basic_info, 48);
FIELD(ntvm_basic_info32, region_size, 12);
FIELD(ntvm_basic_info32, type, 24);
LENGTH(ntvm_basic_info32, 28);
HEADER(ntvm_set_contract);
LENGTH(ntvm_set_contract, 24);
HEADER(ntvm_duplicate);
FIELD(ntvm_duplicate, access, 16);
FIELD(ntvm_duplicate, out_fd, 20);
LENGTH(ntvm_duplicate, 24);
HEADER(ntvm_take_fault);
FIELD(ntvm_take_fault, out_kind, 16);
FIELD(ntvm_take_fault, out_address, 24);
LENGTH(ntvm_take_fault, 32);
HEADER(ntvm_allocate_ex);
FIELD(ntvm_allocate_ex, base, 16);
FIELD(ntvm_allocate_ex, len, 24);
FIELD(ntvm_allocate_ex, type, 32);
FIELD(ntvm_allocate_ex, protect, 36);
FIELD(ntvm_allocate_ex, parameters, 40);
FIELD(ntvm_allocate_ex, old_ptr, 48);
FIELD(ntvm_allocate_ex, count, 56);
FIELD(ntvm_allocate_ex, reserved, 60);
LENGTH(ntvm_allocate_ex, 64);
FIELD(ntvm_parameter, value, 8);
LENGTH(ntvm_parameter, 16);
FIELD(ntvm_requirements, highest, 8);
FIELD(ntvm_requirements, alignment, 16);
LENGTH(ntvm_requirements, 24);
FIELD(ntvm_region_info, commit_size, 24);
FIELD(ntvm_region_info, partition_id, 32);
LENGTH(ntvm_region_info, 48);
LENGTH(ntvm_working_set_entry, 16);
FIELD(ntvm_image_info, image_flags, 16);
LENGTH(ntvm_image_info, 24);
FIELD(ntvm_mapped_filename, buffer, 8);
LENGTH(ntvm_mapped_filename, 16);
HEADER(ntvm_copy);
FIELD(ntvm_copy, address, 16);
FIELD(ntvm_copy, done_ptr, 40);
FIELD(ntvm_copy, op, 48);
FIELD(ntvm_copy, out_stop, 52);
FIELD(ntvm_copy, out_next, 56);
LENGTH(ntvm_copy, 64);
HEADER(ntvm_set_information);
FIELD(ntvm_set_information, info_class, 40);
LENGTH(ntvm_set_information, 48);
HEADER(ntvm_flush);
FIELD(ntvm_flush, io_ptr, 32);
FIELD(ntvm_flush, reserved, 44);
FIELD(ntvm_flush, out_information, 48);
LENGTH(ntvm_flush, 56);
LENGTH(ntvm_io_status, 16);
HEADER(ntvm_lock);
FIELD(ntvm_lock, base, 16);
FIELD(ntvm_lock, len, 24);
FIELD(ntvm_lock, op, 32);
FIELD(ntvm_lock, map_type, 36);
LENGTH(ntvm_lock, 40);
/* The numbers carry no size. */
_Static_assert(NTVM_IOC_GET_INFO == 0x4e90 && NTVM_IOC_ALLOCATE == 0x4e91 &&
	       NTVM_IOC_FREE == 0x4e92 && NTVM_IOC_PROTECT == 0x4e93 &&
	       NTVM_IOC_QUERY == 0x4e94 && NTVM_IOC_SET_CONTRACT == 0x4e95 &&
	       NTVM_IOC_DUPLICATE == 0x4e96 && NTVM_IOC_TAKE_FAULT == 0x4e97, "");

#define SIZE	(16 * P)

/* Any request, with room for a tail behind it. */
union request {
	struct ntvm_header h;
	struct ntvm_info info;
	struct ntvm_allocate allocate;
	struct ntvm_free free;
	struct ntvm_protect protect;
	struct ntvm_query query;
	struct ntvm_set_contract contract;
	struct ntvm_duplicate duplicate;
	struct ntvm_take_fault fault;
	struct ntvm_allocate_ex allocate_ex;
	struct ntvm_copy copy;
	struct ntvm_set_information set_information;
	struct ntvm_flush flush;
	struct ntvm_lock lock;
	struct ntvm_vector vector;
	struct ntvm_limits limits;
	struct ntvm_job job;
	uint8_t bytes[8192];
};

FIXTURE(uapi) {
	int fd;
	uint8_t *p;			/* 16 committed pages */
	struct ntvm_basic_info answer;
	struct ntvm_vector_entry vector;
	union request r;
	struct snap before;
};

FIXTURE_SETUP(uapi)
{
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	self->p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
	memset(self->p, 0x5a, SIZE);
	self->before = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + SIZE);
}

FIXTURE_TEARDOWN(uapi)
{
	struct snap after = snap_of(ME, (uintptr_t)self->p, (uintptr_t)self->p + SIZE);

	/* Every test here is one of refusals: nothing may have changed. */
	EXPECT_TRUE(snap_same(&self->before, &after));
	EXPECT_READ(self->p, 0x5a);
	EXPECT_READ(self->p + SIZE - 1, 0x5a);
}

struct kind {
	const char *name;
	unsigned long nr;
	size_t size;
	uint32_t flags;		/* that it takes */
	int reserved;		/* offset of its reserved field, -1: none */
};

static const struct kind kinds[] = {
	{ "get_info", NTVM_IOC_GET_INFO, sizeof(struct ntvm_info), 0,
	  offsetof(struct ntvm_info, reserved) },
	{ "allocate", NTVM_IOC_ALLOCATE, sizeof(struct ntvm_allocate), NTVM_F_INDIRECT, -1 },
	{ "free", NTVM_IOC_FREE, sizeof(struct ntvm_free), NTVM_F_INDIRECT,
	  offsetof(struct ntvm_free, reserved) },
	{ "protect", NTVM_IOC_PROTECT, sizeof(struct ntvm_protect), NTVM_F_INDIRECT, -1 },
	{ "query", NTVM_IOC_QUERY, sizeof(struct ntvm_query), NTVM_F_NARROW,
	  offsetof(struct ntvm_query, reserved) },
	{ "set_contract", NTVM_IOC_SET_CONTRACT, sizeof(struct ntvm_set_contract), 0,
	  offsetof(struct ntvm_set_contract, reserved) },
	{ "duplicate", NTVM_IOC_DUPLICATE, sizeof(struct ntvm_duplicate), 0, -1 },
	{ "take_fault", NTVM_IOC_TAKE_FAULT, sizeof(struct ntvm_take_fault), 0, -1 },
	{ "allocate_ex", NTVM_IOC_ALLOCATE_EX, sizeof(struct ntvm_allocate_ex), NTVM_F_INDIRECT,
	  offsetof(struct ntvm_allocate_ex, reserved) },
	{ "watch", NTVM_IOC_WATCH, sizeof(struct ntvm_watch), 0,
	  offsetof(struct ntvm_watch, reserved) },
	{ "copy", NTVM_IOC_COPY, sizeof(struct ntvm_copy), 0, -1 },
	{ "set_information", NTVM_IOC_SET_INFORMATION, sizeof(struct ntvm_set_information), 0, -1 },
	{ "flush", NTVM_IOC_FLUSH, sizeof(struct ntvm_flush), NTVM_F_INDIRECT,
	  offsetof(struct ntvm_flush, reserved) },
	{ "stack", NTVM_IOC_STACK, sizeof(struct ntvm_stack), 0, -1 },
	{ "lock", NTVM_IOC_LOCK, sizeof(struct ntvm_lock), NTVM_F_INDIRECT, -1 },
	{ "vector", NTVM_IOC_VECTOR, sizeof(struct ntvm_vector), 0,
	  offsetof(struct ntvm_vector, reserved) },
	{ "limits", NTVM_IOC_LIMITS, sizeof(struct ntvm_limits), 0,
	  offsetof(struct ntvm_limits, reserved) },
	{ "job", NTVM_IOC_JOB, sizeof(struct ntvm_job), 0, offsetof(struct ntvm_job, reserved) },
	{ "offer", NTVM_IOC_OFFER, sizeof(struct ntvm_offer), 0, -1 },
};

#define POISON	0xa5a5a5a5u

/* A request that would change something if it were let through. */
static void fill(FIXTURE_DATA(uapi) *self, const struct kind *k)
{
	memset(&self->r, 0, sizeof(self->r));
	self->r.h.size = k->size;
	self->r.h.handle = NTVM_CURRENT_PROCESS;
	self->r.h.status = POISON;
	switch (k->nr) {
	case NTVM_IOC_ALLOCATE:
		self->r.allocate.len = G;
		self->r.allocate.type = NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT;
		self->r.allocate.protect = NTVM_PAGE_READWRITE;
		break;
	case NTVM_IOC_FREE:
		self->r.free.base = (uintptr_t)self->p;
		self->r.free.len = P;
		self->r.free.type = NTVM_FREE_DECOMMIT;
		break;
	case NTVM_IOC_PROTECT:
		self->r.protect.base = (uintptr_t)self->p;
		self->r.protect.len = P;
		self->r.protect.protect = NTVM_PAGE_READONLY;
		break;
	case NTVM_IOC_QUERY:
		self->r.query.address = (uintptr_t)self->p;
		self->r.query.buffer = (uintptr_t)&self->answer;
		self->r.query.length = sizeof(self->answer);
		break;
	case NTVM_IOC_LOCK:
		self->r.lock.base = (uintptr_t)self->p;
		self->r.lock.len = P;
		self->r.lock.map_type = NTVM_LOCK_PROCESS;
		break;
	case NTVM_IOC_SET_CONTRACT:
		self->r.contract.contract = NTVM_CONTRACT_WINDOWS;
		break;
	case NTVM_IOC_DUPLICATE:
		self->r.duplicate.access = NTVM_ACCESS_QUERY;
		self->r.duplicate.out_fd = -2;
		break;
	case NTVM_IOC_ALLOCATE_EX:
		self->r.allocate_ex.len = G;
		self->r.allocate_ex.type = NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT;
		self->r.allocate_ex.protect = NTVM_PAGE_READWRITE;
		break;
	case NTVM_IOC_COPY:
		self->r.copy.op = NTVM_COPY_WRITE;
		self->r.copy.address = (uintptr_t)self->p;
		self->r.copy.buffer = (uintptr_t)&self->answer;
		self->r.copy.len = 16;
		break;
	case NTVM_IOC_SET_INFORMATION:
		self->r.set_information.ranges = (uintptr_t)&self->before;
		self->r.set_information.count = 1;
		self->r.set_information.info = (uintptr_t)&self->fd;
		self->r.set_information.info_length = 4;
		break;
	case NTVM_IOC_FLUSH:
		self->r.flush.base = (uintptr_t)self->p;
		self->r.flush.len = P;
		break;
	case NTVM_IOC_VECTOR:
		self->vector = (struct ntvm_vector_entry){
			.op = NTVM_VECTOR_DECOMMIT, .base = (uintptr_t)self->p, .len = P,
		};
		self->r.vector.entries = (uintptr_t)&self->vector;
		self->r.vector.count = 1;
		break;
	case NTVM_IOC_LIMITS:
		self->r.limits.op = NTVM_LIMITS_SET;
		self->r.limits.limit = P;
		break;
	case NTVM_IOC_JOB:
		self->r.job.op = NTVM_JOB_CREATE;
		break;
	}
}

/* Send it and want an errno, with the request left as it was; @status means nothing then. */
#define EXPECT_ERRNO(want, k) do {						\
	static union request __copy;						\
	int __err;								\
	__copy = self->r;							\
	__err = raw(self->fd, (k)->nr, &self->r);				\
	EXPECT_EQ(-(want), __err) {						\
		TH_LOG("%s: size %u flags %#x", (k)->name, __copy.h.size, __copy.h.flags); \
	}									\
	__copy.h.status = self->r.h.status;					\
	EXPECT_EQ(0, memcmp(&__copy, &self->r, sizeof(__copy))) {		\
		TH_LOG("%s: the request was written to", (k)->name);		\
	}									\
} while (0)

TEST_F(uapi, a_request_that_is_too_short)
{
	size_t k;
	uint32_t size;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (size = 0; size < kinds[k].size; size++) {
			fill(self, &kinds[k]);
			self->r.h.size = size;
			EXPECT_ERRNO(EINVAL, &kinds[k]);
		}
	}
}

TEST_F(uapi, a_longer_request_must_have_a_tail_of_zeros)
{
	static const uint32_t tails[] = { 1, 4, 8, 64, 1000, 2000 };
	size_t k, t;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (t = 0; t < ARRAY_SIZE(tails); t++) {
			size_t last = kinds[k].size + tails[t] - 1;

			fill(self, &kinds[k]);
			self->r.h.size = kinds[k].size + tails[t];
			self->r.bytes[last] = 1;
			EXPECT_ERRNO(E2BIG, &kinds[k]);
			fill(self, &kinds[k]);
			self->r.h.size = kinds[k].size + tails[t];
			self->r.bytes[kinds[k].size] = 0x80;
			EXPECT_ERRNO(E2BIG, &kinds[k]);
			/* One byte behind it is none of the kernel's business. */
			if (kinds[k].nr != NTVM_IOC_GET_INFO && kinds[k].nr != NTVM_IOC_QUERY)
				continue;
			fill(self, &kinds[k]);
			self->r.h.size = kinds[k].size + tails[t];
			self->r.bytes[last + 1] = 0xff;
			EXPECT_EQ(0, raw(self->fd, kinds[k].nr, &self->r));
			EXPECT_EQ(NTVM_STATUS_SUCCESS, self->r.h.status);
			EXPECT_EQ(0xff, self->r.bytes[last + 1]);
		}
	}
}

TEST_F(uapi, an_absurd_size)
{
	static const uint32_t sizes[] = { 0x10000, 0x7fffffff, 0x80000000, 0xffffffff };
	size_t k, s;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (s = 0; s < ARRAY_SIZE(sizes); s++) {
			int err;

			fill(self, &kinds[k]);
			self->r.h.size = sizes[s];
			/* What lies there is not zero, or not there at all. */
			self->r.bytes[sizeof(self->r) - 1] = 1;
			err = raw(self->fd, kinds[k].nr, &self->r);
			EXPECT_TRUE(err == -E2BIG || err == -EFAULT || err == -EINVAL) {
				TH_LOG("%s size %#x: %d", kinds[k].name, sizes[s], err);
			}
		}
	}
}

TEST_F(uapi, an_unknown_flag)
{
	size_t k;
	uint32_t flag, known;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		/* Whoever takes the one takes the other. */
		known = kinds[k].flags;
		if (known & NTVM_F_INDIRECT)
			known |= NTVM_F_NARROW;
		for (flag = 1; flag; flag <<= 1) {
			if (flag & known)
				continue;
			fill(self, &kinds[k]);
			self->r.h.flags = flag;
			EXPECT_ERRNO(EINVAL, &kinds[k]);
			self->r.h.flags = flag | known;
			EXPECT_ERRNO(EINVAL, &kinds[k]);
		}
	}
}

TEST_F(uapi, a_reserved_field_that_is_not_zero)
{
	size_t k;
	int byte;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		if (kinds[k].reserved < 0)
			continue;
		for (byte = 0; byte < 4; byte++) {
			fill(self, &kinds[k]);
			self->r.bytes[kinds[k].reserved + byte] = 1;
			EXPECT_ERRNO(EINVAL, &kinds[k]);
		}
	}
}

TEST_F(uapi, an_unknown_request)
{
	static const unsigned long bad[] = {
		_IO('N', 0x8f), _IO('N', 0xa3), _IO('N', 0), _IO('N', 0xff), _IO('M', 0x91), 0, ~0ul,
		_IOWR('N', 0x91, struct ntvm_allocate), 0x5401,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kind k = { "unknown", bad[i], sizeof(struct ntvm_allocate), 0, -1 };

		fill(self, &kinds[1]);
		EXPECT_ERRNO(ENOTTY, &k);
	}
}

TEST_F(uapi, a_request_that_cannot_be_read)
{
	uint8_t *gone = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *bad[] = {
		NULL, (void *)8, gone + P, (void *)KERNEL_ADDRESS, (void *)~0ul, (void *)~(~0ul >> 1),
	};
	size_t k, i;

	ASSERT_NE(MAP_FAILED, gone);
	ASSERT_EQ(0, munmap(gone + P, P));
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			EXPECT_EQ(-EFAULT, raw(self->fd, kinds[k].nr, bad[i]));
		/* Its first bytes are there, its last are not. */
		fill(self, &kinds[k]);
		memcpy(gone + P - 16, &self->r, 16);
		EXPECT_EQ(-EFAULT, raw(self->fd, kinds[k].nr, gone + P - 16));
		memcpy(gone + P - kinds[k].size + 1, &self->r, kinds[k].size - 1);
		EXPECT_EQ(-EFAULT, raw(self->fd, kinds[k].nr, gone + P - kinds[k].size + 1));
	}
}

TEST_F(uapi, a_request_that_cannot_be_written_changes_nothing)
{
	uint8_t *ro = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int next_before, next_after;
	size_t k;

	ASSERT_NE(MAP_FAILED, ro);
	next_before = dup(self->fd);
	close(next_before);
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		ASSERT_EQ(0, mprotect(ro, P, PROT_READ | PROT_WRITE));
		fill(self, &kinds[k]);
		memcpy(ro, &self->r, kinds[k].size);
		ASSERT_EQ(0, mprotect(ro, P, PROT_READ));
		EXPECT_EQ(-EFAULT, raw(self->fd, kinds[k].nr, ro)) {
			TH_LOG("%s", kinds[k].name);
		}
		EXPECT_EQ(0, memcmp(ro, &self->r, kinds[k].size));
	}
	/* Duplicate left no descriptor behind. */
	next_after = dup(self->fd);
	close(next_after);
	EXPECT_EQ(next_before, next_after);
}

TEST_F(uapi, outputs_that_cannot_be_written_with_indirect)
{
	static const unsigned int ops[] = { 1, 2, 3 };	/* allocate, free, protect */
	uint8_t *ro = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *gone = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t base, len;
	uint32_t old;
	size_t o, i, which;

	ASSERT_NE(MAP_FAILED, ro);
	ASSERT_NE(MAP_FAILED, gone);
	ASSERT_EQ(0, munmap(gone + P, P));
	/* Each as wide variables and as narrow ones. */
	for (o = 0; o < 2 * ARRAY_SIZE(ops); o++) {
		const struct kind *k = &kinds[ops[o / 2]];

		/* Base, length, and the old protection of protect. */
		for (which = 0; which < (k->nr == NTVM_IOC_PROTECT ? 3 : 2); which++) {
			/* The last straddles the end of a mapping. */
			uint64_t bad[] = {
				0, 8, (uintptr_t)ro, KERNEL_ADDRESS, ~0ull - 7, 1ull << 63,
				(uintptr_t)gone + P, (uintptr_t)gone + P - 3,
				(uintptr_t)&do_alloc,
			};

			for (i = 0; i < ARRAY_SIZE(bad); i++) {
				uint64_t want_len;
				int err;

				fill(self, k);
				base = k->nr == NTVM_IOC_ALLOCATE ? 0 : (uintptr_t)self->p;
				len = k->nr == NTVM_IOC_ALLOCATE ? G : P;
				old = POISON;
				want_len = len;
				/* The three read-only words hold a request that would do. */
				ASSERT_EQ(0, mprotect(ro, P, PROT_READ | PROT_WRITE));
				memcpy(ro, which ? &len : &base, 8);
				ASSERT_EQ(0, mprotect(ro, P, PROT_READ));
				self->r.h.flags = NTVM_F_INDIRECT | (o & 1 ? NTVM_F_NARROW : 0);
				self->r.allocate.base = which == 0 ? bad[i] : (uintptr_t)&base;
				self->r.allocate.len = which == 1 ? bad[i] : (uintptr_t)&len;
				if (k->nr == NTVM_IOC_PROTECT)
					self->r.protect.old_ptr = which == 2 ? bad[i] :
								  (uintptr_t)&old;
				err = raw(self->fd, k->nr, &self->r);
				EXPECT_EQ(0, err);
				EXPECT_EQ(NTVM_STATUS_ACCESS_VIOLATION, self->r.h.status) {
					TH_LOG("%s pointer %zu at %#llx", k->name, which,
					       (unsigned long long)bad[i]);
				}
				EXPECT_EQ(want_len, len);
				EXPECT_EQ(POISON, old);
			}
		}
	}
}

TEST_F(uapi, indirect_works_and_leaves_the_request_alone)
{
	uint64_t base = (uintptr_t)self->p + P + 5, len = 1;
	uint32_t old = POISON;

	fill(self, &kinds[3]);
	self->r.h.flags = NTVM_F_INDIRECT;
	self->r.protect.base = (uintptr_t)&base;
	self->r.protect.len = (uintptr_t)&len;
	self->r.protect.old_ptr = (uintptr_t)&old;
	self->r.protect.protect = NTVM_PAGE_READWRITE;
	ASSERT_EQ(0, raw(self->fd, NTVM_IOC_PROTECT, &self->r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, self->r.h.status);
	EXPECT_EQ((uintptr_t)self->p + P, base);
	EXPECT_EQ(P, len);
	EXPECT_EQ(NTVM_PAGE_READWRITE, old);
	EXPECT_EQ((uintptr_t)&base, self->r.protect.base);
	EXPECT_EQ((uintptr_t)&len, self->r.protect.len);
}

TEST_F(uapi, narrow_variables_are_four_bytes_wide)
{
	/* What lies beside them must stay. */
	struct {
		uint32_t base, fence0, len, fence1;
	} v = { 0, POISON, G, POISON };
	struct {
		uint32_t written, fence0;
		struct ntvm_basic_info32 info;
		uint32_t fence1;
	} q = { POISON, POISON, { 0 }, POISON };
	uint32_t base;

	/* Chosen where 4 bytes can name it, also in a 64-bit program. */
	fill(self, &kinds[1]);
	self->r.h.flags = NTVM_F_INDIRECT | NTVM_F_NARROW;
	self->r.allocate.base = (uintptr_t)&v.base;
	self->r.allocate.len = (uintptr_t)&v.len;
	v.len = G + 1;
	ASSERT_EQ(0, raw(self->fd, NTVM_IOC_ALLOCATE, &self->r));
	ASSERT_EQ(NTVM_STATUS_SUCCESS, self->r.h.status);
	ASSERT_NE(0, v.base);
	EXPECT_EQ(0, v.base % G);
	EXPECT_EQ(G + P, v.len);
	EXPECT_EQ(POISON, v.fence0);
	EXPECT_EQ(POISON, v.fence1);
	EXPECT_WRITE(v.base, 1);
	base = v.base;

	fill(self, &kinds[4]);
	self->r.h.flags = NTVM_F_NARROW;
	self->r.query.address = base;
	self->r.query.buffer = (uintptr_t)&q.info;
	self->r.query.length = sizeof(q.info);
	self->r.query.return_ptr = (uintptr_t)&q.written;
	ASSERT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, &self->r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, self->r.h.status);
	EXPECT_EQ(sizeof(q.info), q.written);
	EXPECT_EQ(base, q.info.base);
	EXPECT_EQ(base, q.info.allocation_base);
	EXPECT_EQ(G + P, q.info.region_size);
	EXPECT_EQ(NTVM_STATE_COMMIT, q.info.state);
	EXPECT_EQ(NTVM_PAGE_READWRITE, q.info.protect);
	EXPECT_EQ(NTVM_TYPE_PRIVATE, q.info.type);
	EXPECT_EQ(POISON, q.fence0);
	EXPECT_EQ(POISON, q.fence1);
	/* One byte less is too short. */
	self->r.query.length--;
	EXPECT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, &self->r));
	EXPECT_EQ(NTVM_STATUS_INFO_LENGTH_MISMATCH, self->r.h.status);
	/* What is free above is told as far as 4 bytes go, and no address behind. */
	self->r.query.length++;
	self->r.query.address = FIXED;
	EXPECT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, &self->r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, self->r.h.status);
	EXPECT_EQ(NTVM_STATE_FREE, q.info.state);
	EXPECT_LE(P, q.info.region_size);
	EXPECT_LE((uint64_t)FIXED + q.info.region_size, 0xfffff000ull);
	self->r.query.address = 0x100000000ull;
	EXPECT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, &self->r));
	EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER, self->r.h.status);

	fill(self, &kinds[2]);
	self->r.h.flags = NTVM_F_INDIRECT | NTVM_F_NARROW;
	self->r.free.base = (uintptr_t)&v.base;
	self->r.free.len = (uintptr_t)&v.len;
	self->r.free.type = NTVM_FREE_RELEASE;
	v.len = 0;
	EXPECT_EQ(0, raw(self->fd, NTVM_IOC_FREE, &self->r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, self->r.h.status);
	EXPECT_EQ(G + P, v.len);
	EXPECT_EQ(base, v.base);
	EXPECT_EQ(POISON, v.fence0);
	EXPECT_EQ(POISON, v.fence1);
}

TEST_F(uapi, hostile_ranges)
{
	static const uint64_t bases[] = {
		KERNEL_ADDRESS, ~0ull, ~0xfffull, 1ull << 63, 0xffffffff81000000ull, 0xff00000000000000ull,
	};
	static const uint64_t lens[] = { ~0ull, ~0xfffull, 1ull << 63, 1ull << 62 };
	uintptr_t p = (uintptr_t)self->p;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bases); i++) {
		fill(self, &kinds[1]);
		self->r.allocate.base = bases[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_ALLOCATE, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER_2, self->r.h.status);
		fill(self, &kinds[2]);
		self->r.free.base = bases[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_FREE, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER_2, self->r.h.status);
		fill(self, &kinds[3]);
		self->r.protect.base = bases[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_PROTECT, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER_2, self->r.h.status);
		fill(self, &kinds[4]);
		self->r.query.address = bases[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER, self->r.h.status);
	}
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		fill(self, &kinds[1]);
		self->r.allocate.len = lens[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_ALLOCATE, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER_4, self->r.h.status);
		EXPECT_EQ(lens[i], self->r.allocate.len);
		fill(self, &kinds[1]);
		self->r.allocate.base = p;
		self->r.allocate.type = NTVM_ALLOC_COMMIT;
		self->r.allocate.len = lens[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_ALLOCATE, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER_4, self->r.h.status);
		fill(self, &kinds[2]);
		self->r.free.len = lens[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_FREE, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER_3, self->r.h.status);
		fill(self, &kinds[3]);
		self->r.protect.len = lens[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_PROTECT, &self->r));
		EXPECT_EQ(NTVM_STATUS_INVALID_PARAMETER_3, self->r.h.status);
	}
}

TEST_F(uapi, query_buffers)
{
	uint8_t *ro = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t bad[] = { 0, 8, (uintptr_t)ro, KERNEL_ADDRESS, ~0ull, ~0ull - 47 };
	uint64_t written = 0x1234;
	size_t i;

	ASSERT_NE(MAP_FAILED, ro);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fill(self, &kinds[4]);
		self->r.query.buffer = bad[i];
		self->r.query.return_ptr = (uintptr_t)&written;
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, &self->r));
		EXPECT_EQ(NTVM_STATUS_ACCESS_VIOLATION, self->r.h.status);
		EXPECT_EQ(0x1234, written);
		if (!bad[i])
			continue;	/* no return length is wanted */
		fill(self, &kinds[4]);
		self->r.query.return_ptr = bad[i];
		EXPECT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, &self->r));
		EXPECT_EQ(NTVM_STATUS_ACCESS_VIOLATION, self->r.h.status);
	}
}

TEST_F(uapi, a_request_inside_nt_memory_itself)
{
	union request *r = (union request *)self->p;
	uint8_t saved[sizeof(struct ntvm_free)];

	/* Guarded or gone under the copy: a fault like any other. */
	memcpy(saved, r, sizeof(saved));
	fill(self, &kinds[4]);
	memcpy(r, &self->r, sizeof(struct ntvm_query));
	EXPECT_EQ(0, raw(self->fd, NTVM_IOC_QUERY, r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, r->h.status);
	EXPECT_EQ(NTVM_STATE_COMMIT, self->answer.state);
	memset(self->p, 0x5a, P);
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p + P, P, PAGE_NOACCESS));
	EXPECT_EQ(-EFAULT, raw(self->fd, NTVM_IOC_QUERY, self->p + P));
	EXPECT_STATUS(STATUS_SUCCESS, protect(self->p + P, P, PAGE_READWRITE));
}

TEST_F(uapi, the_device_cannot_be_mapped_read_or_written)
{
	char byte = 0;
	void *m;

	m = mmap(NULL, P, PROT_READ, MAP_SHARED, self->fd, 0);
	EXPECT_EQ(MAP_FAILED, m);
	m = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, 0);
	EXPECT_EQ(MAP_FAILED, m);
	m = mmap((void *)FIXED, P, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, self->fd,
		 (off_t)FIXED);
	EXPECT_EQ(MAP_FAILED, m);
	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(-1, pread(self->fd, &byte, 1, (off_t)(uintptr_t)self->p));
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(0, vmas_in(FIXED, FIXED + P));
}

TEST_F(uapi, the_mapped_file_cannot_be_had_through_proc)
{
	char path[128];
	int fd;

	/* /proc/self/map_files opens what a mapping maps; root may. */
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)self->p,
		 (long)self->p + SIZE);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		uint8_t buf[4];
		void *m = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, (off_t)(uintptr_t)self->p);

		/* Neither a second mapping nor a way round the states. */
		EXPECT_EQ(MAP_FAILED, m);
		EXPECT_GE(0, pwrite(fd, "zz", 2, (off_t)(uintptr_t)self->p));
		EXPECT_GE(0, pread(fd, buf, 4, (off_t)(uintptr_t)self->p));
		EXPECT_EQ(-1, ftruncate(fd, 0));
		EXPECT_EQ(-1, fallocate(fd, 3, (off_t)(uintptr_t)self->p, P));
		close(fd);
	}
	EXPECT_READ(self->p, 0x5a);
	EXPECT_EQ(1, vmas_in((uintptr_t)self->p, (uintptr_t)self->p + SIZE));
}

TEST_F(uapi, info_tells_what_there_is)
{
	struct ntvm_info *i = &self->r.info;

	fill(self, &kinds[0]);
	ASSERT_EQ(0, raw(self->fd, NTVM_IOC_GET_INFO, &self->r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, i->status);
	EXPECT_EQ(NTVM_ABI_VERSION, i->out_version);
	EXPECT_EQ(NTVM_CONTRACT_DOCUMENTED, i->out_contract);
	EXPECT_EQ(NTVM_FEATURE_PRIVATE | NTVM_FEATURE_FOREIGN | NTVM_FEATURE_GUARD,
		  i->out_features & 7);
	EXPECT_EQ(P, i->out_page_size);
	EXPECT_EQ(G, i->out_granularity);
	EXPECT_EQ(0, i->out_min_address % G);
	EXPECT_LE(G, i->out_min_address);
	/* The last 64 KiB of user space are nobody's. */
#ifdef _LP64
	EXPECT_LE(1ull << 46, i->out_max_address);
	EXPECT_LT(i->out_max_address, 1ull << 56);
#else
	EXPECT_EQ(0xfffdffff, i->out_max_address);
#endif
	EXPECT_EQ(SIZE, i->out_reserved);
	EXPECT_EQ(SIZE, i->out_committed);
	EXPECT_EQ(1, i->out_regions);
	EXPECT_EQ(NTVM_ACCESS_ALL, i->out_access);
	EXPECT_EQ(0, i->reserved);
}

TEST_F(uapi, take_fault_is_only_for_oneself)
{
	fill(self, &kinds[7]);
	EXPECT_EQ(0, raw(self->fd, NTVM_IOC_TAKE_FAULT, &self->r));
	EXPECT_EQ(NTVM_STATUS_NOT_FOUND, self->r.h.status);
	fill(self, &kinds[7]);
	self->r.h.handle = self->fd;
	EXPECT_TRUE(raw(self->fd, NTVM_IOC_TAKE_FAULT, &self->r) != 0 ||
		    self->r.h.status != NTVM_STATUS_SUCCESS);
}

TEST_F(uapi, random_requests)
{
	static const uint64_t odd[] = {
		0, 1, 0x1000, 0xfff, 0x10000, 0x7fffffffffff, 1ull << 47, 1ull << 63, ~0ull, 0x2000,
	};
	unsigned int seed = 12345;
	int i, j, bad = 0;

	/* No answer but the documented kinds, and never one that hits our pages. */
	for (i = 0; i < 20000; i++) {
		const struct kind *k = &kinds[rand_r(&seed) % ARRAY_SIZE(kinds)];
		int err;

		if (k->nr == NTVM_IOC_DUPLICATE || k->nr == NTVM_IOC_SET_CONTRACT)
			continue;
		fill(self, k);
		for (j = 0; j < 3; j++) {
			size_t at = 16 + 8 * (rand_r(&seed) % ((k->size - 16) / 8));
			uint64_t v = odd[rand_r(&seed) % ARRAY_SIZE(odd)];

			memcpy(self->r.bytes + at, &v, 8);
		}
		if (k->nr == NTVM_IOC_ALLOCATE)
			self->r.allocate.type |= 0x40000000;	/* never to succeed */
		else if (k->nr == NTVM_IOC_ALLOCATE_EX)
			self->r.allocate_ex.type |= 0x40000000;
		else if (k->nr == NTVM_IOC_FREE || k->nr == NTVM_IOC_PROTECT ||
			 k->nr == NTVM_IOC_COPY || k->nr == NTVM_IOC_VECTOR ||
			 k->nr == NTVM_IOC_LIMITS)
			self->r.h.handle = 1 << 20;
		err = raw(self->fd, k->nr, &self->r);
		if (k->nr == NTVM_IOC_JOB && !err && !self->r.h.status &&
		    self->r.job.op == NTVM_JOB_CREATE)
			close(self->r.job.job);
		if (err != 0 && err != -EINVAL && err != -EFAULT && err != -E2BIG)
			bad++;
		if (!err && self->r.h.status == POISON)
			bad++;
	}
	EXPECT_EQ(0, bad);
}

TEST_HARNESS_MAIN
