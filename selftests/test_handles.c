// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handles: what each of the four calls answers to one that is none, to one of
 * another kind, to one with too few rights, to one of a process that is gone,
 * and that all four work on a live process that sleeps in the kernel.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define SIZE	(16 * P)

/* The four calls on one committed page, with the same answer from each. */
#define EXPECT_ALL_FOUR(want, h, p) do {					\
	EXPECT_RES(want, p, P, do_alloc(h, (uintptr_t)(p), 0, P, MEM_COMMIT,	\
					PAGE_READWRITE));			\
	EXPECT_RES(want, p, P, do_protect(h, (uintptr_t)(p), P, PAGE_READONLY)); \
	EXPECT_STATUS(want, do_query(h, (uintptr_t)(p)).status);		\
	EXPECT_RES(want, p, P, do_free(h, (uintptr_t)(p), P, MEM_DECOMMIT));	\
} while (0)

TEST(what_is_no_handle_is_invalid_for_all_four)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct snap before, after;
	int fd = dup(0);
	HANDLE bad[6];
	size_t i;

	ASSERT_NE(NULL, p);
	ASSERT_LE(0, fd);
	close(fd);
	bad[0] = NULL;
	bad[1] = LibntFdToHandle(fd);
	bad[2] = LibntFdToHandle(123456);
	bad[3] = (HANDLE)(uintptr_t)0xdeadbeef;
	bad[4] = (HANDLE)(uintptr_t)-2;	/* the pseudo handle of a thread */
	bad[5] = (HANDLE)(uintptr_t)0x4242424242424242;
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_ALL_FOUR(STATUS_INVALID_HANDLE, bad[i], p);
		EXPECT_STATUS(STATUS_INVALID_HANDLE,
			      LibntGetInfo(bad[i], &(LIBNT_INFO){ 0 }));
		EXPECT_STATUS(STATUS_INVALID_HANDLE, LibntSetContract(bad[i], 1));
	}
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST(another_kind_of_object_is_a_mismatch_for_all_four)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct snap before, after;
	int fds[6];
	size_t i;

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, pipe(fds));
	fds[2] = open("/dev/null", O_RDWR);
	fds[3] = open("/", O_RDONLY);
	fds[4] = open("/dev/ntvm", O_PATH);	/* a name, not the object */
	fds[5] = syscall(SYS_pidfd_open, getpid(), 0);
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		ASSERT_LE(0, fds[i]);
		if (i == 4) {
			/* Linux itself says that an O_PATH file is no open file. */
			NTSTATUS s = do_query(LibntFdToHandle(fds[i]), (uintptr_t)p).status;

			EXPECT_TRUE(s == STATUS_INVALID_HANDLE || s == STATUS_OBJECT_TYPE_MISMATCH);
			continue;
		}
		EXPECT_ALL_FOUR(STATUS_OBJECT_TYPE_MISMATCH, LibntFdToHandle(fds[i]), p);
	}
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
}

TEST(a_weaker_handle_is_denied_what_it_lacks)
{
	static const ULONG rights[] = {
		NTVM_ACCESS_VM_OPERATION, NTVM_ACCESS_VM_READ, NTVM_ACCESS_VM_WRITE,
		NTVM_ACCESS_QUERY, NTVM_ACCESS_QUERY_LIMITED,
	};
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct snap before, after;
	size_t i, j;

	ASSERT_NE(NULL, p);
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	for (i = 0; i < ARRAY_SIZE(rights); i++) {
		bool operates = rights[i] == NTVM_ACCESS_VM_OPERATION;
		bool queries = rights[i] & (NTVM_ACCESS_QUERY | NTVM_ACCESS_QUERY_LIMITED);
		NTSTATUS change = operates ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
		HANDLE h = NULL, more = NULL;

		ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, rights[i], &h));
		ASSERT_NE(NULL, h);
		EXPECT_EQ(rights[i], info_of(h).GrantedAccess);
		EXPECT_RES(change, p, P, do_alloc(h, (uintptr_t)p, 0, P, MEM_COMMIT, PAGE_READWRITE));
		EXPECT_RES(change, p, P, do_protect(h, (uintptr_t)p, P, PAGE_READWRITE));
		EXPECT_STATUS(queries ? STATUS_SUCCESS : STATUS_ACCESS_DENIED,
			      do_query(h, (uintptr_t)p).status);
		EXPECT_STATUS(change, LibntSetContract(h, LIBNT_CONTRACT_DOCUMENTED));
		if (!operates)
			EXPECT_RES(change, p, P, do_free(h, (uintptr_t)p, P, MEM_DECOMMIT));
		/* What it lacks cannot be had back from it. */
		for (j = 0; j < ARRAY_SIZE(rights); j++) {
			if (j == i)
				continue;
			EXPECT_STATUS(STATUS_ACCESS_DENIED,
				      raw_duplicate(h, rights[i] | rights[j], &more));
		}
		EXPECT_STATUS(STATUS_ACCESS_DENIED, raw_duplicate(h, NTVM_ACCESS_ALL, &more));
		EXPECT_STATUS(STATUS_SUCCESS, raw_duplicate(h, rights[i], &more));
		EXPECT_EQ(rights[i], info_of(more).GrantedAccess);
		EXPECT_STATUS(STATUS_SUCCESS, NtClose(h));
		EXPECT_STATUS(STATUS_SUCCESS, NtClose(more));
	}
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_EQ(NTVM_ACCESS_ALL, info_of(ME).GrantedAccess);
}

/* Every request, as harmless as it can be, and the rights of which one is enough. */
struct wanted {
	const char *name;
	unsigned long nr;
	ULONG any_of;		/* 0: it needs none */
};

static const struct wanted wanted[] = {
	{ "get_info", NTVM_IOC_GET_INFO, 0 },
	{ "allocate", NTVM_IOC_ALLOCATE, NTVM_ACCESS_VM_OPERATION },
	{ "free", NTVM_IOC_FREE, NTVM_ACCESS_VM_OPERATION },
	{ "protect", NTVM_IOC_PROTECT, NTVM_ACCESS_VM_OPERATION },
	{ "query", NTVM_IOC_QUERY, NTVM_ACCESS_QUERY | NTVM_ACCESS_QUERY_LIMITED },
	{ "set_contract", NTVM_IOC_SET_CONTRACT, NTVM_ACCESS_VM_OPERATION },
	{ "duplicate", NTVM_IOC_DUPLICATE, 0 },
	{ "allocate_ex", NTVM_IOC_ALLOCATE_EX, NTVM_ACCESS_VM_OPERATION },
	{ "watch", NTVM_IOC_WATCH, NTVM_ACCESS_VM_OPERATION },
	{ "lock", NTVM_IOC_LOCK, NTVM_ACCESS_VM_OPERATION },
	{ "offer", NTVM_IOC_OFFER, NTVM_ACCESS_VM_OPERATION },
	{ "read", NTVM_IOC_COPY, NTVM_ACCESS_VM_READ },
	{ "write", NTVM_IOC_COPY, NTVM_ACCESS_VM_WRITE },
	{ "set_information", NTVM_IOC_SET_INFORMATION, NTVM_ACCESS_VM_OPERATION },
	{ "flush", NTVM_IOC_FLUSH, NTVM_ACCESS_VM_OPERATION },
	{ "vector", NTVM_IOC_VECTOR, NTVM_ACCESS_VM_OPERATION },
	{ "limits_get", NTVM_IOC_LIMITS, NTVM_ACCESS_QUERY | NTVM_ACCESS_QUERY_LIMITED },
	{ "limits_set", NTVM_IOC_LIMITS, NTVM_ACCESS_VM_OPERATION },
};

/* Sends a request on a handle, about the page at @p; the status. */
static NTSTATUS ask(int fd, const struct wanted *w, HANDLE h, uint8_t *p)
{
	static struct ntvm_basic_info basic;
	static uint64_t words[8];
	static uint32_t number;
	struct ntvm_memory_range range = { (uintptr_t)p, P };
	union {
		struct ntvm_header header;
		struct ntvm_allocate allocate;
		struct ntvm_free free;
		struct ntvm_protect protect;
		struct ntvm_query query;
		struct ntvm_duplicate duplicate;
		struct ntvm_allocate_ex allocate_ex;
		struct ntvm_watch watch;
		struct ntvm_lock lock;
		struct ntvm_offer offer;
		struct ntvm_copy copy;
		struct ntvm_set_information set_information;
		struct ntvm_flush flush;
		struct ntvm_vector vector;
		struct ntvm_limits limits;
	} r;
	struct ntvm_vector_entry entry = {
		.op = NTVM_VECTOR_COMMIT, .base = (uintptr_t)p, .len = P,
		.protect = PAGE_READWRITE,
	};
	int err;

	memset(&r, 0, sizeof(r));
	switch (w->nr) {
#define ABOUT(type) r.header.size = sizeof(struct type)
	case NTVM_IOC_GET_INFO:
		r.header.size = sizeof(struct ntvm_info);
		break;
	case NTVM_IOC_ALLOCATE:
		ABOUT(ntvm_allocate);
		r.allocate.base = (uintptr_t)p;
		r.allocate.len = P;
		r.allocate.type = MEM_COMMIT;
		r.allocate.protect = PAGE_READWRITE;
		break;
	case NTVM_IOC_FREE:
		ABOUT(ntvm_free);
		r.free.base = (uintptr_t)p + SIZE - P;
		r.free.len = P;
		r.free.type = MEM_DECOMMIT;
		break;
	case NTVM_IOC_PROTECT:
		ABOUT(ntvm_protect);
		r.protect.base = (uintptr_t)p;
		r.protect.len = P;
		r.protect.protect = PAGE_READWRITE;
		break;
	case NTVM_IOC_QUERY:
		ABOUT(ntvm_query);
		r.query.address = (uintptr_t)p;
		r.query.buffer = (uintptr_t)&basic;
		r.query.length = sizeof(basic);
		break;
	case NTVM_IOC_SET_CONTRACT:
		ABOUT(ntvm_set_contract);
		break;
	case NTVM_IOC_DUPLICATE:
		ABOUT(ntvm_duplicate);
		break;
	case NTVM_IOC_ALLOCATE_EX:
		ABOUT(ntvm_allocate_ex);
		r.allocate_ex.base = (uintptr_t)p;
		r.allocate_ex.len = P;
		r.allocate_ex.type = MEM_COMMIT;
		r.allocate_ex.protect = PAGE_READWRITE;
		break;
	case NTVM_IOC_WATCH:
		ABOUT(ntvm_watch);
		r.watch.op = NTVM_WATCH_RESET;
		r.watch.base = (uintptr_t)p;
		r.watch.len = P;
		break;
	case NTVM_IOC_LOCK:
		ABOUT(ntvm_lock);
		r.lock.base = (uintptr_t)p;
		r.lock.len = P;
		r.lock.op = NTVM_LOCK_UNLOCK;
		r.lock.map_type = NTVM_LOCK_PROCESS;
		break;
	case NTVM_IOC_OFFER:
		ABOUT(ntvm_offer);
		r.offer.base = (uintptr_t)p;
		r.offer.len = P;
		r.offer.op = NTVM_OFFER_RECLAIM;
		break;
	case NTVM_IOC_COPY:
		ABOUT(ntvm_copy);
		r.copy.op = w->any_of == NTVM_ACCESS_VM_WRITE ? NTVM_COPY_WRITE : NTVM_COPY_READ;
		r.copy.address = (uintptr_t)p;
		r.copy.buffer = (uintptr_t)words;
		r.copy.len = sizeof(words);
		break;
	case NTVM_IOC_SET_INFORMATION:
		ABOUT(ntvm_set_information);
		r.set_information.ranges = (uintptr_t)&range;
		r.set_information.count = 1;
		r.set_information.info = (uintptr_t)&number;
		r.set_information.info_length = 4;
		break;
	case NTVM_IOC_FLUSH:
		ABOUT(ntvm_flush);
		r.flush.base = (uintptr_t)p;
		r.flush.len = P;
		break;
	case NTVM_IOC_VECTOR:
		ABOUT(ntvm_vector);
		r.vector.entries = (uintptr_t)&entry;
		r.vector.count = 1;
		break;
	case NTVM_IOC_LIMITS:
		ABOUT(ntvm_limits);
		r.limits.op = w->any_of == NTVM_ACCESS_VM_OPERATION ? NTVM_LIMITS_SET :
								       NTVM_LIMITS_GET;
		break;
#undef ABOUT
	}
	r.header.handle = LibntHandleToFd(h);
	err = raw(fd, w->nr, &r);
	if (err)
		return err == -EINVAL ? STATUS_REVISION_MISMATCH : STATUS_UNSUCCESSFUL;
	if (w->nr == NTVM_IOC_DUPLICATE && !r.header.status)
		close(r.duplicate.out_fd);
	return (NTSTATUS)r.header.status;
}

TEST(each_right_alone_allows_exactly_what_it_should)
{
	static const ULONG rights[] = {
		0, NTVM_ACCESS_VM_OPERATION, NTVM_ACCESS_VM_READ, NTVM_ACCESS_VM_WRITE,
		NTVM_ACCESS_QUERY, NTVM_ACCESS_QUERY_LIMITED,
	};
	uint8_t *p = reserve(2 * SIZE);
	int fd = own_device();
	size_t i, j;

	ASSERT_NE(NULL, p);
	ASSERT_LE(0, fd);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	for (i = 0; i < ARRAY_SIZE(rights); i++) {
		HANDLE h = NULL;

		ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, rights[i], &h));
		for (j = 0; j < ARRAY_SIZE(wanted); j++) {
			bool allowed = !wanted[j].any_of || (wanted[j].any_of & rights[i]);
			NTSTATUS full, s = ask(fd, &wanted[j], h, p);

			/* A request that this module does not have looks at no handle. */
			if (s == STATUS_NOT_SUPPORTED) {
				TH_LOG("%s is not built", wanted[j].name);
				continue;
			}
			if (!allowed) {
				EXPECT_EQ(STATUS_ACCESS_DENIED, s) {
					TH_LOG("%s with right %#x: %s", wanted[j].name, rights[i],
					       status_name(s));
				}
				continue;
			}
			/* The answer that a handle with all rights gets. */
			full = ask(fd, &wanted[j], ME, p);
			EXPECT_EQ(full, s) {
				TH_LOG("%s with right %#x: %s, with all %s", wanted[j].name,
				       rights[i], status_name(s), status_name(full));
			}
			EXPECT_NE(STATUS_ACCESS_DENIED, s);
		}
		NtClose(h);
	}
	close(fd);
}

TEST(an_open_for_reading_may_only_look)
{
	uint8_t *p = reserve(SIZE);
	int fd = device_open(O_RDONLY);
	struct ntvm_info info = { .size = sizeof(info), .handle = NTVM_CURRENT_PROCESS };
	struct ntvm_duplicate d = {
		.size = sizeof(d),
		.handle = NTVM_CURRENT_PROCESS,
		.access = NTVM_ACCESS_VM_OPERATION,
	};
	const ULONG look = NTVM_ACCESS_VM_READ | NTVM_ACCESS_QUERY | NTVM_ACCESS_QUERY_LIMITED;
	HANDLE h = LibntFdToHandle(fd);
	struct res r;

	ASSERT_NE(NULL, p);
	ASSERT_LE(0, fd);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, P, PAGE_READWRITE));
	/* As a device of one's own, and as a handle. */
	ASSERT_EQ(0, raw(fd, NTVM_IOC_GET_INFO, &info));
	EXPECT_EQ(look, info.out_access);
	EXPECT_EQ(look, info_of(h).GrantedAccess);
	ASSERT_EQ(0, raw(fd, NTVM_IOC_DUPLICATE, &d));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, (NTSTATUS)d.status);
	EXPECT_STATUS(STATUS_ACCESS_DENIED,
		      do_alloc(h, (uintptr_t)p + P, 0, P, MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_STATUS(STATUS_ACCESS_DENIED, do_free(h, (uintptr_t)p, P, MEM_DECOMMIT).status);
	r = do_protect(h, (uintptr_t)p, P, PAGE_READONLY);
	EXPECT_STATUS(STATUS_ACCESS_DENIED, r.status);
	EXPECT_QUERY_H(h, p, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(h));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
}

static int keeps_narrowed(int sock, void *arg)
{
	uint8_t byte = 1;
	SIZE_T n = 1;
	uint64_t p;
	HANDLE h, more = NULL;

	(void)arg;
	h = LibntFdToHandle(recv_fd(sock));
	if (!child_hear(sock, &p))
		return 1;
	if (info_of(h).GrantedAccess != NTVM_ACCESS_VM_READ)
		return 2;
	if (NtReadVirtualMemory(h, pointer_of(p), &byte, 1, &n) || byte != 0x5a || n != 1)
		return 3;
	if (NtWriteVirtualMemory(h, pointer_of(p), &byte, 1, &n) != STATUS_ACCESS_DENIED || n)
		return 4;
	if (do_query(h, p).status != STATUS_ACCESS_DENIED ||
	    do_free(h, p, P, MEM_DECOMMIT).status != STATUS_ACCESS_DENIED)
		return 5;
	/* It cannot be widened where it arrived. */
	if (raw_duplicate(h, NTVM_ACCESS_VM_WRITE, &more) != STATUS_ACCESS_DENIED ||
	    NtDuplicateObject(ME, h, ME, &more, PROCESS_ALL_ACCESS, 0, 0) != STATUS_ACCESS_DENIED)
		return 6;
	if (NtDuplicateObject(ME, h, ME, &more, MAXIMUM_ALLOWED, 0, 0) ||
	    info_of(more).GrantedAccess != NTVM_ACCESS_VM_READ)
		return 7;
	return 0;
}

TEST(a_narrowed_handle_stays_narrow_when_it_is_sent_away)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct child c;
	HANDLE h = NULL;

	ASSERT_NE(NULL, p);
	p[0] = 0x5a;
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_VM_READ, &h));
	ASSERT_TRUE(child_start(&c, keeps_narrowed, NULL));
	ASSERT_TRUE(send_fd(c.sock, LibntHandleToFd(h)));
	ASSERT_TRUE(child_tell(c.sock, (uintptr_t)p));
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_EQ(0x5a, p[0]);
	NtClose(h);
}

/* --- NtDuplicateObject -------------------------------------------------------------- */

static bool is_open(HANDLE h)
{
	return fcntl(LibntHandleToFd(h), F_GETFD) >= 0;
}

TEST(NtDuplicateObject_narrows_and_never_widens)
{
	static const struct {
		ACCESS_MASK desired;
		ULONG granted;
	} map[] = {
		{ PROCESS_VM_READ, NTVM_ACCESS_VM_READ },
		{ 0x80000000, NTVM_ACCESS_VM_READ | NTVM_ACCESS_QUERY },
		{ 0x40000000, NTVM_ACCESS_VM_OPERATION | NTVM_ACCESS_VM_WRITE },
		{ 0x10000000, NTVM_ACCESS_ALL },
		{ MAXIMUM_ALLOWED, NTVM_ACCESS_ALL },
		{ PROCESS_ALL_ACCESS, NTVM_ACCESS_ALL },
		{ 0x1F0FFF, NTVM_ACCESS_ALL },
		{ 0, 0 },
	};
	HANDLE h = NULL, weak = NULL, out = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(map); i++) {
		out = NULL;
		ASSERT_STATUS(STATUS_SUCCESS,
			      NtDuplicateObject(ME, ME, ME, &out, map[i].desired, 0, 0));
		EXPECT_EQ(map[i].granted, info_of(out).GrantedAccess);
		EXPECT_EQ(FD_CLOEXEC, fcntl(LibntHandleToFd(out), F_GETFD));
		EXPECT_STATUS(STATUS_SUCCESS, NtClose(out));
	}
	ASSERT_STATUS(STATUS_SUCCESS, NtDuplicateObject(ME, ME, ME, &h, 0, 0, DUPLICATE_SAME_ACCESS));
	EXPECT_EQ(NTVM_ACCESS_ALL, info_of(h).GrantedAccess);
	ASSERT_STATUS(STATUS_SUCCESS, NtDuplicateObject(ME, h, h, &weak, PROCESS_VM_WRITE, 0, 0));
	EXPECT_EQ(NTVM_ACCESS_VM_WRITE, info_of(weak).GrantedAccess);
	out = (HANDLE)0x1234;
	for (i = 1; i < ARRAY_SIZE(map) - 1; i++) {
		if (map[i].desired == MAXIMUM_ALLOWED)
			continue;
		EXPECT_STATUS(STATUS_ACCESS_DENIED,
			      NtDuplicateObject(ME, weak, ME, &out, map[i].desired, 0, 0));
	}
	EXPECT_EQ((HANDLE)0x1234, out);
	ASSERT_STATUS(STATUS_SUCCESS,
		      NtDuplicateObject(ME, weak, ME, &out, PROCESS_ALL_ACCESS, OBJ_INHERIT,
					DUPLICATE_SAME_ACCESS));
	EXPECT_EQ(NTVM_ACCESS_VM_WRITE, info_of(out).GrantedAccess);
	EXPECT_EQ(0, fcntl(LibntHandleToFd(out), F_GETFD));
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(out));
	EXPECT_TRUE(is_open(weak));
	NtClose(weak);
	NtClose(h);
}

TEST(NtDuplicateObject_closes_the_source_whatever_comes_of_it)
{
	HANDLE h = NULL, out = (HANDLE)0x1234;

	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_VM_READ, &h));
	EXPECT_STATUS(STATUS_ACCESS_DENIED,
		      NtDuplicateObject(ME, h, ME, &out, PROCESS_VM_WRITE, 0,
					DUPLICATE_CLOSE_SOURCE));
	EXPECT_FALSE(is_open(h));
	EXPECT_EQ((HANDLE)0x1234, out);
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_VM_READ, &h));
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtDuplicateObject(ME, h, ME, &out, 0, 0,
					DUPLICATE_CLOSE_SOURCE | DUPLICATE_SAME_ACCESS));
	EXPECT_EQ(NTVM_ACCESS_VM_READ, info_of(out).GrantedAccess);
	EXPECT_FALSE(is_open(h));
	/* Closing alone. */
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtDuplicateObject(ME, out, NULL, NULL, 0, 0, DUPLICATE_CLOSE_SOURCE));
	EXPECT_FALSE(is_open(out));
	EXPECT_STATUS(STATUS_INVALID_HANDLE,
		      NtDuplicateObject(ME, out, NULL, NULL, 0, 0, DUPLICATE_CLOSE_SOURCE));
}

TEST(NtDuplicateObject_of_what_it_does_not_duplicate)
{
	HANDLE out = (HANDLE)0x1234, h = NULL;
	int fd = open("/dev/null", O_RDWR);
	int before, after;

	EXPECT_STATUS(STATUS_INVALID_PARAMETER, NtDuplicateObject(ME, ME, ME, &out, 0, 0, 8));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtDuplicateObject(NULL, ME, ME, &out, 0, 0, 0));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtDuplicateObject(ME, ME, NULL, &out, 0, 0, 0));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtDuplicateObject(ME, NULL, ME, &out, 0, 0, 2));
	EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH,
		      NtDuplicateObject(ME, LibntFdToHandle(fd), ME, &out, 0, 0, 2));
	EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH,
		      NtDuplicateObject(LibntFdToHandle(fd), ME, ME, &out, 0, 0, 2));
	EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH,
		      NtDuplicateObject(ME, LibntFdToHandle(fd), ME, &out, 0, 0,
					DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE));
	/* What is none of its handles it does not close. */
	EXPECT_EQ(0, fcntl(fd, F_GETFD));
	EXPECT_EQ((HANDLE)0x1234, out);
	/* Nobody to give it to: nothing is left open. */
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_ALL, &h));
	before = dup(fd);
	close(before);
	EXPECT_STATUS(STATUS_SUCCESS, NtDuplicateObject(ME, h, ME, NULL, 0, 0, 2));
	after = dup(fd);
	close(after);
	EXPECT_EQ(before, after);
	NtClose(h);
	close(fd);
}

TEST(a_duplicate_is_close_on_exec_and_unknown_rights_are_refused)
{
	HANDLE h = NULL, none = NULL;

	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_ALL, &h));
	EXPECT_EQ(FD_CLOEXEC, fcntl(LibntHandleToFd(h), F_GETFD));
	EXPECT_FALSE(NT_SUCCESS(raw_duplicate(ME, NTVM_ACCESS_ALL | 0x80000000, &none)));
	EXPECT_EQ(NULL, none);
}

TEST(closing_a_handle)
{
	HANDLE h = NULL;
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_ALL, &h));
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(h));
	EXPECT_ALL_FOUR(STATUS_INVALID_HANDLE, h, p);
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtClose(h));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, NtClose(NULL));
	/* The pseudo handle is never closed. */
	NtClose(ME);
	EXPECT_QUERY(p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
}

/* --- a live process ----------------------------------------------------------- */

/* Sends itself away, then obeys; answers each order with what it found. */
enum { ORDER_EXIT, ORDER_READ, ORDER_WRITE, ORDER_STATE, ORDER_PAUSE };

static uint64_t order(int sock, uint64_t what, uintptr_t address)
{
	uint64_t answer = ~0ull;

	if (!child_tell(sock, what) || !child_tell(sock, address) || !child_hear(sock, &answer))
		return ~0ull;
	return answer;
}

static void wake(int signo)
{
	(void)signo;
}

static int obedient(int sock, void *arg)
{
	uint64_t what, address, answer;
	struct probe pr;

	(void)arg;
	signal(SIGUSR1, wake);
	if (!send_fd(sock, own_device()))
		return 1;
	while (child_hear(sock, &what) && what != ORDER_EXIT) {
		if (!child_hear(sock, &address))
			return 2;
		answer = 0;
		switch (what) {
		case ORDER_READ:
			pr = probe_read((void *)(uintptr_t)address);
			answer = pr.signo ? 0x100u + pr.signo : pr.value;
			break;
		case ORDER_WRITE:
			pr = probe_write((void *)(uintptr_t)address, 0x77);
			answer = pr.signo ? 0x100u + pr.signo : pr.value;
			break;
		case ORDER_STATE:
			answer = page_state((void *)(uintptr_t)address);
			break;
		case ORDER_PAUSE:
			pause();
			break;
		}
		if (!child_tell(sock, answer))
			return 3;
	}
	return 0;
}

FIXTURE(live) {
	struct child c;
	HANDLE h;
};

FIXTURE_SETUP(live)
{
	ASSERT_TRUE(child_start(&self->c, obedient, NULL));
	self->h = LibntFdToHandle(recv_fd(self->c.sock));
	ASSERT_LE(0, LibntHandleToFd(self->h));
}

FIXTURE_TEARDOWN(live)
{
	child_tell(self->c.sock, ORDER_EXIT);
	EXPECT_EQ(0, child_wait(&self->c));
}

TEST_F(live, all_four_work_while_it_sleeps_in_pause)
{
	uintptr_t p;
	struct res r;
	uint64_t word;

	/* Asleep for good, until the signal at the end. */
	ASSERT_TRUE(child_tell(self->c.sock, ORDER_PAUSE));
	ASSERT_TRUE(child_tell(self->c.sock, 0));
	ASSERT_TRUE(wait_asleep(self->c.pid));
	r = do_alloc(self->h, 0, 0, SIZE, MEM_RESERVE, PAGE_READWRITE);
	ASSERT_STATUS(STATUS_SUCCESS, r.status);
	p = r.base;
	EXPECT_EQ(0, p % G);
	EXPECT_RES(STATUS_SUCCESS, p + P, 3 * P,
		   do_alloc(self->h, p + P, 0, 3 * P, MEM_COMMIT, PAGE_READWRITE));
	r = do_protect(self->h, p + 2 * P, P, PAGE_READONLY);
	EXPECT_RES(STATUS_SUCCESS, p + 2 * P, P, r);
	EXPECT_EQ(PAGE_READWRITE, r.old);
	EXPECT_QUERY_H(self->h, p, p, PAGE_READWRITE, P, MEM_RESERVE, 0);
	EXPECT_QUERY_H(self->h, p + P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_QUERY_H(self->h, p + 2 * P, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READONLY);
	EXPECT_RES(STATUS_SUCCESS, p + 3 * P, P,
		   do_free(self->h, p + 3 * P, P, MEM_DECOMMIT));
	EXPECT_EQ(1, info_of(self->h).Regions);
	EXPECT_EQ(2 * P, info_of(self->h).CommittedBytes);
	/* None of it is the caller's. */
	EXPECT_EQ(0, info_of(ME).Regions);
	kill(self->c.pid, SIGUSR1);
	ASSERT_TRUE(child_hear(self->c.sock, &word));
	EXPECT_EQ(0, order(self->c.sock, ORDER_READ, p + P));
	EXPECT_EQ(0x77, order(self->c.sock, ORDER_WRITE, p + P));
	EXPECT_EQ(0, order(self->c.sock, ORDER_READ, p + 2 * P));
	EXPECT_EQ(0x100 + SIGSEGV, order(self->c.sock, ORDER_WRITE, p + 2 * P));
	EXPECT_EQ(0x100 + SIGSEGV, order(self->c.sock, ORDER_READ, p + 3 * P));
	EXPECT_EQ(MEM_COMMIT, order(self->c.sock, ORDER_STATE, p + P));
	/* Take away what it has touched. */
	EXPECT_RES(STATUS_SUCCESS, p + P, P, do_free(self->h, p + P, P, MEM_DECOMMIT));
	EXPECT_EQ(0x100 + SIGSEGV, order(self->c.sock, ORDER_READ, p + P));
	EXPECT_RES(STATUS_SUCCESS, p + P, P,
		   do_alloc(self->h, p + P, 0, P, MEM_COMMIT, PAGE_READWRITE));
	EXPECT_EQ(0, order(self->c.sock, ORDER_READ, p + P));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_free(self->h, p, 0, MEM_RELEASE));
	EXPECT_EQ(0x100 + SIGSEGV, order(self->c.sock, ORDER_READ, p + P));
	EXPECT_EQ(MEM_FREE, order(self->c.sock, ORDER_STATE, p + P));
}

TEST_F(live, NtDuplicateObject_with_a_process_that_is_not_the_own)
{
	HANDLE out = NULL;

	EXPECT_STATUS(STATUS_NOT_SUPPORTED,
		      NtDuplicateObject(self->h, ME, ME, &out, 0, 0, DUPLICATE_SAME_ACCESS));
	EXPECT_STATUS(STATUS_NOT_SUPPORTED,
		      NtDuplicateObject(ME, ME, self->h, &out, 0, 0, DUPLICATE_SAME_ACCESS));
	/* A handle to it can be duplicated, also once it is gone. */
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtDuplicateObject(ME, self->h, ME, &out, PROCESS_VM_READ, 0, 0));
	EXPECT_EQ(NTVM_ACCESS_VM_READ, info_of(out).GrantedAccess);
	NtClose(out);
	EXPECT_STATUS(STATUS_SUCCESS,
		      NtDuplicateObject(ME, self->h, ME, &out, 0, 0, DUPLICATE_SAME_ACCESS));
	EXPECT_EQ(NTVM_ACCESS_ALL, info_of(out).GrantedAccess);
	NtClose(out);
}

TEST_F(live, executable_pages_in_another_process)
{
	uintptr_t p = do_alloc(self->h, 0, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).base;

	ASSERT_NE(0, p);
	EXPECT_EQ(0x77, order(self->c.sock, ORDER_WRITE, p + 4 * P));
	EXPECT_STATUS(STATUS_SUCCESS, do_protect(self->h, p + 4 * P, P, PAGE_EXECUTE_READ).status);
	EXPECT_EQ(0x77, order(self->c.sock, ORDER_READ, p + 4 * P));
	EXPECT_EQ(0x100 + SIGSEGV, order(self->c.sock, ORDER_WRITE, p + 4 * P));
	EXPECT_STATUS(STATUS_SUCCESS, do_protect(self->h, p + 4 * P, P, PAGE_READWRITE).status);
	EXPECT_EQ(0x77, order(self->c.sock, ORDER_READ, p + 4 * P));
	EXPECT_EQ(0x77, order(self->c.sock, ORDER_WRITE, p + 4 * P));
}

TEST_F(live, a_weak_handle_to_it_is_denied)
{
	HANDLE weak = NULL;

	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(self->h, NTVM_ACCESS_QUERY_LIMITED, &weak));
	EXPECT_RES(STATUS_ACCESS_DENIED, 0, G,
		   do_alloc(weak, 0, 0, G, MEM_RESERVE, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, do_query(weak, FIXED).status);
	EXPECT_EQ(0, info_of(self->h).Regions);
}

TEST_F(live, by_pidfd_getfd_and_by_NtOpenProcess)
{
	OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes) };
	CLIENT_ID id = { .UniqueProcess = (HANDLE)(uintptr_t)self->c.pid };
	HANDLE h = NULL;
	uintptr_t p = do_alloc(self->h, 0, 0, SIZE, MEM_RESERVE, PAGE_READWRITE).base;
	/* Its memory, not ours, although it holds a copy of our handle. */
	uint8_t *mine = reserve(3 * G);

	ASSERT_NE(0, p);
	ASSERT_NE(NULL, mine);
	ASSERT_STATUS(STATUS_SUCCESS,
		      NtOpenProcess(&h, PROCESS_VM_OPERATION | PROCESS_QUERY_INFORMATION,
				    &attributes, &id));
	EXPECT_EQ(1, info_of(h).Regions);
	EXPECT_EQ(SIZE, info_of(h).ReservedBytes);
	EXPECT_STATUS(STATUS_SUCCESS, do_alloc(h, p, 0, P, MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_QUERY_H(h, p, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	EXPECT_EQ(0, order(self->c.sock, ORDER_READ, p));
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(h));
	/* Only the right that was asked for. */
	ASSERT_STATUS(STATUS_SUCCESS,
		      NtOpenProcess(&h, PROCESS_QUERY_INFORMATION, &attributes, &id));
	EXPECT_STATUS(STATUS_ACCESS_DENIED,
		      do_alloc(h, p + P, 0, P, MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_STATUS(STATUS_SUCCESS, do_query(h, p).status);
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(h));
}

TEST(NtOpenProcess_of_oneself)
{
	OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes) };
	CLIENT_ID id = { .UniqueProcess = (HANDLE)(uintptr_t)getpid() };
	uint8_t *p = reserve(SIZE);
	HANDLE h = NULL;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, NtOpenProcess(&h, NTVM_ACCESS_ALL, &attributes, &id));
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(h, (uintptr_t)p, 0, P, MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_QUERY(p, p, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	/* No such process. */
	id.UniqueProcess = (HANDLE)(uintptr_t)0x3fffff;
	EXPECT_FALSE(NT_SUCCESS(NtOpenProcess(&h, NTVM_ACCESS_ALL, &attributes, &id)));
}

/* --- a dead process --------------------------------------------------------------- */

static int dies(int sock, void *arg)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	uint64_t word;

	(void)arg;
	if (!p)
		return 1;
	memset(p, 1, SIZE);
	send_fd(sock, own_device());
	child_tell(sock, (uintptr_t)p);
	child_hear(sock, &word);
	return 0;
}

TEST(a_dead_process_is_terminating_for_all_four)
{
	struct child c;
	uint64_t p;
	HANDLE h;
	int i;

	ASSERT_TRUE(child_start(&c, dies, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	ASSERT_TRUE(child_hear(c.sock, &p));
	EXPECT_QUERY_H(h, p, p, PAGE_READWRITE, SIZE, MEM_COMMIT, PAGE_READWRITE);
	ASSERT_TRUE(child_tell(c.sock, 1));
	/* First as a zombie, then as nothing at all. */
	EXPECT_TRUE(wait_until(5, do_query(h, p).status == STATUS_PROCESS_IS_TERMINATING));
	for (i = 0; i < 2; i++) {
		EXPECT_ALL_FOUR(STATUS_PROCESS_IS_TERMINATING, h, p);
		EXPECT_RES(STATUS_PROCESS_IS_TERMINATING, 0, G,
			   do_alloc(h, 0, 0, G, MEM_RESERVE, PAGE_READWRITE));
		EXPECT_RES(STATUS_PROCESS_IS_TERMINATING, p, 0, do_free(h, p, 0, MEM_RELEASE));
		EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING,
			      LibntSetContract(h, LIBNT_CONTRACT_WINDOWS));
		if (!i)
			EXPECT_EQ(0, child_wait(&c));
	}
	EXPECT_STATUS(STATUS_SUCCESS, NtClose(h));
}

static int execs(int sock, void *arg)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	char number[16];
	int keep = device_open(O_RDWR);

	(void)arg;
	if (!p || keep < 0)
		return 1;
	memset(p, 1, SIZE);
	send_fd(sock, keep);
	child_tell(sock, (uintptr_t)p);
	/* Let both live through the exec. */
	fcntl(keep, F_SETFD, 0);
	fcntl(sock, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", sock);
	setenv("NTVM_TEST_SOCK", number, 1);
	snprintf(number, sizeof(number), "%d", keep);
	setenv("NTVM_TEST_KEEP", number, 1);
	execl("/proc/self/exe", "test_handles", NULL);
	return 2;
}

/* The program after the exec. */
static void __attribute__((constructor)) after_exec(void)
{
	const char *sock_name = getenv("NTVM_TEST_SOCK"), *keep_name = getenv("NTVM_TEST_KEEP");
	struct ntvm_query q = { .size = sizeof(q), .handle = NTVM_CURRENT_PROCESS };
	struct ntvm_basic_info info;
	uint64_t word;
	int sock;

	if (!sock_name || !keep_name)
		return;
	sock = atoi(sock_name);
	child_tell(sock, info_of(ME).Regions);
	/* The old file no longer speaks for the program that holds it. */
	q.buffer = (uintptr_t)&info;
	q.length = sizeof(info);
	child_tell(sock, -raw(atoi(keep_name), NTVM_IOC_QUERY, &q));
	q.handle = atoi(keep_name);
	child_tell(sock, do_query(LibntFdToHandle(q.handle), FIXED).status);
	child_hear(sock, &word);
	_exit(0);
}

TEST(exec_revokes_a_handle)
{
	struct child c;
	uint64_t p, regions, err, status;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, execs, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	ASSERT_TRUE(child_hear(c.sock, &p));
	ASSERT_TRUE(child_hear(c.sock, &regions));
	ASSERT_TRUE(child_hear(c.sock, &err));
	ASSERT_TRUE(child_hear(c.sock, &status));
	EXPECT_EQ(0, regions);
	EXPECT_EQ(ESTALE, err);
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, (NTSTATUS)status);
	/* The process lives, but the memory the handle is to does not. */
	EXPECT_ALL_FOUR(STATUS_PROCESS_IS_TERMINATING, h, p);
	child_tell(c.sock, 1);
	EXPECT_EQ(0, child_wait(&c));
}

static int stale(int sock, void *arg)
{
	struct ntvm_info i = { .size = sizeof(i), .handle = NTVM_CURRENT_PROCESS };
	int fd = *(int *)arg;

	(void)sock;
	if (raw(fd, NTVM_IOC_GET_INFO, &i) != -ESTALE)
		return 1;
	/* As a handle it is still one to the parent. */
	if (info_of(LibntFdToHandle(fd)).Regions != 1)
		return 2;
	return info_of(ME).Regions == 0 ? 0 : 3;
}

TEST(a_fork_child_cannot_take_the_parents_file_for_its_own)
{
	int fd = device_open(O_RDWR);
	uint8_t *p = reserve(SIZE);
	struct child c;

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, p);
	ASSERT_TRUE(child_start(&c, stale, &fd));
	EXPECT_EQ(0, child_wait(&c));
}

static int killed_meanwhile(int sock, void *arg)
{
	(void)arg;
	if (!send_fd(sock, own_device()))
		return 1;
	for (;;)
		pause();
	return 0;
}

TEST(a_process_killed_under_the_calls)
{
	int round, bad = 0;

	for (round = 0; round < 10; round++) {
		struct child c;
		NTSTATUS status;
		HANDLE h;
		int i;

		ASSERT_TRUE(child_start(&c, killed_meanwhile, NULL));
		h = LibntFdToHandle(recv_fd(c.sock));
		for (i = 0; i < 300; i++) {
			struct res r = do_alloc(h, 0, 0, G, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

			status = r.status;
			if (status == STATUS_SUCCESS)
				status = do_free(h, r.base, 0, MEM_RELEASE).status;
			if (status != STATUS_SUCCESS)
				break;
			if (i == 20 + round)
				kill(c.pid, SIGKILL);
		}
		if (status != STATUS_PROCESS_IS_TERMINATING) {
			TH_LOG("round %d: %s", round, status_name(status));
			bad++;
		}
		EXPECT_EQ(128 + SIGKILL, child_wait(&c));
		NtClose(h);
	}
	EXPECT_EQ(0, bad);
}

struct flood {
	HANDLE h;
	uintptr_t at;
	int *stop;
	int bad;
};

static void *flood_thread(void *arg)
{
	struct flood *f = arg;

	while (!__atomic_load_n(f->stop, __ATOMIC_RELAXED))
		f->bad += do_alloc(f->h, f->at, 0, 100 * P, MEM_COMMIT, PAGE_READWRITE).status ||
			  do_free(f->h, f->at, 100 * P, MEM_DECOMMIT).status;
	return NULL;
}

/* Commits and decommits beside those who do so from outside. */
static int limited_file_size(int sock, void *arg)
{
	struct rlimit limit = { 4096, 4096 };
	uint8_t *p = reserve(2 * MIB);
	uint64_t order;

	(void)arg;
	if (!p || setrlimit(RLIMIT_FSIZE, &limit) || !send_fd(sock, own_device()) ||
	    !child_tell(sock, (uintptr_t)p))
		return 1;
	while (recv(sock, &order, sizeof(order), MSG_DONTWAIT) < 0)
		if (commit(p, 100 * P, PAGE_READWRITE) || decommit(p, 100 * P))
			return 2;
	return 0;
}

/*
 * More operations on one process than a work queue of the kernel runs at a time,
 * while one that they all wait for needs a work item too.
 */
TEST(hundreds_of_threads_work_on_a_process_with_a_file_size_limit)
{
	static struct flood flood[300];
	static pthread_t thread[300];
	uint64_t at;
	struct child c;
	int i, n, stop = 0, bad = 0;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, limited_file_size, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	ASSERT_TRUE(child_hear(c.sock, &at));
	for (n = 0; n < 300; n++) {
		flood[n] = (struct flood) { .h = h, .at = at + MIB, .stop = &stop };
		if (pthread_create(&thread[n], NULL, flood_thread, &flood[n]))
			break;
	}
	EXPECT_EQ(300, n);
	sleep_ms(3000);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < n; i++) {
		pthread_join(thread[i], NULL);
		bad += flood[i].bad;
	}
	EXPECT_EQ(0, bad);
	child_tell(c.sock, 0);
	EXPECT_EQ(0, child_wait(&c));
}

TEST_HARNESS_MAIN
