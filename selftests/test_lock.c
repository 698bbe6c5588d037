// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtLockVirtualMemory and NtUnlockVirtualMemory: every row of the rules, that
 * locked pages really stay, and that the books (VmLck) are right on every way
 * in which a lock can end.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/resource.h>
#include <sys/syscall.h>

#define SIZE		(16 * P)
#define SWAP_SIZE	(64 * MIB)

typedef NTSTATUS (NTAPI *locker)(HANDLE, PVOID *, PSIZE_T, ULONG);

static struct res do_call(locker call, HANDLE h, uintptr_t base, size_t size, ULONG type)
{
	struct {
		uint64_t before;
		PVOID base;
		SIZE_T size;
		uint64_t after;
	} v = { 0x5a5a5a5a5a5a5a5a, (PVOID)base, size, 0xa5a5a5a5a5a5a5a5 };
	struct res r;

	r.status = call(h, &v.base, &v.size, type);
	r.base = (uintptr_t)v.base;
	r.size = v.size;
	r.old = OLD_POISON;
	r.fenced = v.before == 0x5a5a5a5a5a5a5a5a && v.after == 0xa5a5a5a5a5a5a5a5;
	return r;
}

static struct res do_lock(HANDLE h, const void *p, size_t size)
{
	return do_call(NtLockVirtualMemory, h, (uintptr_t)p, size, MAP_PROCESS);
}

static struct res do_unlock(HANDLE h, const void *p, size_t size)
{
	return do_call(NtUnlockVirtualMemory, h, (uintptr_t)p, size, MAP_PROCESS);
}

static NTSTATUS lock(const void *p, size_t size)
{
	return do_lock(ME, p, size).status;
}

static NTSTATUS unlock(const void *p, size_t size)
{
	return do_unlock(ME, p, size).status;
}

/* Bytes that the process has locked. */
static int64_t locked(void)
{
	return proc_status(0, "VmLck");
}

#define EXPECT_LOCKED(pages) EXPECT_EQ((int64_t)(pages) * (int64_t)P, locked())

/* An ordinary user with a limit. */
static bool unprivileged(size_t limit)
{
	struct rlimit rl = { limit, limit };

	return !setrlimit(RLIMIT_MEMLOCK, &rl) && !setresgid(65534, 65534, 65534) &&
	       !setresuid(65534, 65534, 65534);
}

/* --- arguments -------------------------------------------------------------------- */

TEST(K1_map_type_is_process_system_or_both)
{
	static const ULONG bad[] = { 0, 4, 5, 6, 7, 8, 0x80000000, 0xffffffff };
	static const locker calls[] = { NtLockVirtualMemory, NtUnlockVirtualMemory };
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	size_t i, c;

	ASSERT_NE(NULL, p);
	for (c = 0; c < ARRAY_SIZE(calls); c++) {
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			/* Wins over everything else. */
			EXPECT_RES(STATUS_INVALID_PARAMETER, p, SIZE,
				   do_call(calls[c], ME, (uintptr_t)p, SIZE, bad[i]));
			EXPECT_STATUS(STATUS_INVALID_PARAMETER, calls[c](NULL, NULL, NULL, bad[i]));
		}
	}
	EXPECT_LOCKED(0);
}

TEST(K2_bad_pointers_are_an_access_violation_and_win_over_values_and_handle)
{
	static const locker calls[] = { NtLockVirtualMemory, NtUnlockVirtualMemory };
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	uint8_t *ro = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t c;

	ASSERT_NE(NULL, p);
	ASSERT_NE(MAP_FAILED, ro);
	for (c = 0; c < ARRAY_SIZE(calls); c++) {
		void *bad[] = { NULL, (void *)8, ro, (void *)KERNEL_ADDRESS };
		size_t i;

		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			PVOID base = p;
			SIZE_T size = SIZE;

			EXPECT_STATUS(STATUS_ACCESS_VIOLATION, calls[c](ME, bad[i], &size, MAP_PROCESS));
			EXPECT_STATUS(STATUS_ACCESS_VIOLATION, calls[c](ME, &base, bad[i], MAP_PROCESS));
			size = 0;
			EXPECT_STATUS(STATUS_ACCESS_VIOLATION, calls[c](NULL, bad[i], &size, MAP_PROCESS));
			EXPECT_EQ(p, base);
			EXPECT_EQ(0, size);
		}
	}
	EXPECT_LOCKED(0);
}

TEST(K3_ranges_outside_user_space_and_size_0)
{
	static const locker calls[] = { NtLockVirtualMemory, NtUnlockVirtualMemory };
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	size_t c;

	ASSERT_NE(NULL, p);
	for (c = 0; c < ARRAY_SIZE(calls); c++) {
		EXPECT_RES(STATUS_INVALID_PARAMETER, p, 0,
			   do_call(calls[c], ME, (uintptr_t)p, 0, MAP_PROCESS));
		EXPECT_RES(STATUS_INVALID_PARAMETER, KERNEL_ADDRESS, P,
			   do_call(calls[c], ME, KERNEL_ADDRESS, P, MAP_PROCESS));
		EXPECT_RES(STATUS_INVALID_PARAMETER, p, ~0ul,
			   do_call(calls[c], ME, (uintptr_t)p, ~0ul, MAP_PROCESS));
		EXPECT_RES(STATUS_INVALID_PARAMETER, p, TOP_BIT,
			   do_call(calls[c], ME, (uintptr_t)p, TOP_BIT, MAP_PROCESS));
		/* Values win over the handle. */
		EXPECT_RES(STATUS_INVALID_PARAMETER, p, 0,
			   do_call(calls[c], NULL, (uintptr_t)p, 0, MAP_PROCESS));
		EXPECT_RES(STATUS_INVALID_HANDLE, p, P,
			   do_call(calls[c], NULL, (uintptr_t)p, P, MAP_PROCESS));
	}
	EXPECT_LOCKED(0);
}

TEST(handles_need_vm_operation)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	HANDLE h = NULL;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_ALL & ~NTVM_ACCESS_VM_OPERATION, &h));
	EXPECT_RES(STATUS_ACCESS_DENIED, p, P, do_lock(h, p, P));
	EXPECT_RES(STATUS_ACCESS_DENIED, p, P, do_unlock(h, p, P));
	EXPECT_LOCKED(0);
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_VM_OPERATION, &h));
	EXPECT_RES(STATUS_SUCCESS, p, P, do_lock(h, p, P));
	EXPECT_LOCKED(1);
	EXPECT_RES(STATUS_SUCCESS, p, P, do_unlock(h, p, P));
}

TEST(the_raw_request)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	int fd = device_open(O_RDWR);
	struct ntvm_lock r = {
		.size = sizeof(r), .handle = NTVM_CURRENT_PROCESS, .status = 0xa5a5a5a5,
		.base = (uintptr_t)p + 1, .len = P, .map_type = NTVM_LOCK_PROCESS,
	};
	uint32_t op;

	ASSERT_NE(NULL, p);
	for (op = 2; op; op <<= 1) {
		r.op = op;
		EXPECT_EQ(-EINVAL, raw(fd, NTVM_IOC_LOCK, &r));
	}
	EXPECT_LOCKED(0);
	r.op = NTVM_LOCK_LOCK;
	EXPECT_EQ(0, raw(fd, NTVM_IOC_LOCK, &r));
	EXPECT_EQ(NTVM_STATUS_SUCCESS, r.status);
	EXPECT_EQ((uintptr_t)p, r.base);
	EXPECT_EQ(2 * P, r.len);
	EXPECT_LOCKED(2);
	EXPECT_EQ(0, raw(fd, NTVM_IOC_LOCK, &r));
	EXPECT_EQ(NTVM_STATUS_WAS_LOCKED, r.status);
	/* A range without any NT memory: libnt goes on from there. */
	r.base = (uintptr_t)&r;
	r.len = 1;
	EXPECT_EQ(0, raw(fd, NTVM_IOC_LOCK, &r));
	EXPECT_EQ(NTVM_STATUS_MEMORY_NOT_ALLOCATED, r.status);
	EXPECT_EQ((uintptr_t)&r, r.base);
	r.op = NTVM_LOCK_UNLOCK;
	EXPECT_EQ(0, raw(fd, NTVM_IOC_LOCK, &r));
	EXPECT_EQ(NTVM_STATUS_MEMORY_NOT_ALLOCATED, r.status);
}

static int locks_for_the_system(int sock, void *arg)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	uintptr_t at = (uintptr_t)p;

	(void)sock;
	(void)arg;
	if (!p || !unprivileged(1 * MIB))
		return 1;
	if (do_call(NtLockVirtualMemory, ME, at, P, MAP_SYSTEM).status != STATUS_PRIVILEGE_NOT_HELD ||
	    do_call(NtLockVirtualMemory, ME, at, P, MAP_SYSTEM | MAP_PROCESS).status !=
	    STATUS_PRIVILEGE_NOT_HELD ||
	    do_call(NtUnlockVirtualMemory, ME, at, P, MAP_SYSTEM).status != STATUS_PRIVILEGE_NOT_HELD)
		return 2;
	/* The handle comes first, the state after it. */
	if (do_call(NtLockVirtualMemory, NULL, at, P, MAP_SYSTEM).status != STATUS_INVALID_HANDLE ||
	    do_call(NtLockVirtualMemory, ME, FIXED, P, MAP_SYSTEM).status != STATUS_PRIVILEGE_NOT_HELD)
		return 3;
	if (locked())
		return 4;
	return lock(p, P) == STATUS_SUCCESS ? 0 : 5;
}

TEST(K4_map_system_needs_cap_ipc_lock)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	uintptr_t at = (uintptr_t)p;
	struct child c;

	ASSERT_NE(NULL, p);
	ASSERT_TRUE(child_start(&c, locks_for_the_system, NULL));
	EXPECT_EQ(0, child_wait(&c));
	/* The two kinds are locked and unlocked by themselves, and count once. */
	EXPECT_RES(STATUS_SUCCESS, p, P, do_call(NtLockVirtualMemory, ME, at, P, MAP_SYSTEM));
	EXPECT_LOCKED(1);
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p, P));
	EXPECT_STATUS(STATUS_SUCCESS, lock(p, P));
	EXPECT_LOCKED(1);
	EXPECT_RES(STATUS_WAS_LOCKED, p, P,
		   do_call(NtLockVirtualMemory, ME, at, P, MAP_SYSTEM | MAP_PROCESS));
	EXPECT_STATUS(STATUS_SUCCESS, unlock(p, P));
	EXPECT_LOCKED(1);
	EXPECT_RES(STATUS_NOT_LOCKED, p, P,
		   do_call(NtUnlockVirtualMemory, ME, at, P, MAP_SYSTEM | MAP_PROCESS));
	EXPECT_RES(STATUS_SUCCESS, p, P, do_call(NtUnlockVirtualMemory, ME, at, P, MAP_SYSTEM));
	EXPECT_LOCKED(0);
}

/* --- what can be locked ------------------------------------------------------------- */

TEST(K6_ranges_round_outward_and_may_span_allocations)
{
	uint8_t *p = (uint8_t *)FIXED;
	size_t i;

	for (i = 0; i < 3; i++)
		ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, FIXED + i * G, 0, G,
						       MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).status);
	EXPECT_RES(STATUS_SUCCESS, p + P, 2 * P, do_lock(ME, p + 2 * P - 1, 2));
	EXPECT_LOCKED(2);
	EXPECT_RES(STATUS_SUCCESS, p + P, 2 * P, do_unlock(ME, p + 2 * P - 1, 2));
	EXPECT_RES(STATUS_SUCCESS, p, 3 * G, do_lock(ME, p + 1, 3 * G - 2));
	EXPECT_LOCKED(3 * 16);
	EXPECT_RES(STATUS_WAS_LOCKED, p + G - P, G + 2 * P, do_lock(ME, p + G - 1, G + 2));
	EXPECT_RES(STATUS_SUCCESS, p + G - P, 2 * P, do_unlock(ME, p + G - 1, 2));
	EXPECT_LOCKED(3 * 16 - 2);
	/* A hole behind them. */
	EXPECT_RES(STATUS_ACCESS_VIOLATION, p, 3 * G + 1, do_lock(ME, p, 3 * G + 1));
	EXPECT_RES(STATUS_NOT_LOCKED, p, 3 * G + 1, do_unlock(ME, p, 3 * G + 1));
	EXPECT_LOCKED(3 * 16 - 2);
	/* Pages of one were locked already: the rest is added. */
	EXPECT_RES(STATUS_SUCCESS, p, 3 * G, do_lock(ME, p, 3 * G));
	EXPECT_LOCKED(3 * 16);
	for (i = 0; i < 3; i++)
		EXPECT_STATUS(STATUS_SUCCESS, release(p + i * G));
	EXPECT_LOCKED(0);
}

TEST(K7_every_page_must_be_committed_and_accessible)
{
	uint8_t *p = reserve(SIZE);
	static const ULONG fine[] = {
		PAGE_READONLY, PAGE_READWRITE, PAGE_EXECUTE, PAGE_EXECUTE_READ,
		PAGE_EXECUTE_READWRITE,
	};
	size_t i;

	ASSERT_NE(NULL, p);
	EXPECT_RES(STATUS_ACCESS_VIOLATION, p, P, do_lock(ME, p, P));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, 4 * P, PAGE_READWRITE));
	EXPECT_RES(STATUS_ACCESS_VIOLATION, p, 5 * P, do_lock(ME, p, 5 * P));
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + 2 * P, P, PAGE_NOACCESS));
	EXPECT_RES(STATUS_ACCESS_VIOLATION, p, 4 * P, do_lock(ME, p, 4 * P));
	EXPECT_LOCKED(0);
	EXPECT_EQ(4 * P, info_of(ME).CommittedBytes);
	EXPECT_RES(STATUS_SUCCESS, p, 2 * P, do_lock(ME, p, 2 * P));
	EXPECT_LOCKED(2);
	for (i = 0; i < ARRAY_SIZE(fine); i++) {
		ASSERT_STATUS(STATUS_SUCCESS, protect(p + 2 * P, P, fine[i]));
		EXPECT_RES(STATUS_SUCCESS, p + 2 * P, P, do_lock(ME, p + 2 * P, P));
		EXPECT_LOCKED(3);
		EXPECT_EQ(fine[i], page_protect(p + 2 * P));
		EXPECT_STATUS(STATUS_SUCCESS, unlock(p + 2 * P, P));
	}
}

TEST(a_change_of_protection_leaves_pages_locked)
{
	static const ULONG to[] = {
		PAGE_NOACCESS, PAGE_READONLY, PAGE_EXECUTE_READ, PAGE_READWRITE | PAGE_GUARD,
		PAGE_READWRITE,
	};
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	size_t i;

	ASSERT_NE(NULL, p);
	memset(p, 0x33, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	for (i = 0; i < ARRAY_SIZE(to); i++) {
		EXPECT_STATUS(STATUS_SUCCESS, protect(p, SIZE, to[i]));
		EXPECT_LOCKED(16);
	}
	EXPECT_READ(p + SIZE - 1, 0x33);
	EXPECT_STATUS(STATUS_WAS_LOCKED, lock(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_READONLY));
	EXPECT_STATUS(STATUS_SUCCESS, protect(p, SIZE, PAGE_NOACCESS));
	/* The touch comes first. */
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, lock(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, unlock(p, SIZE));
	EXPECT_LOCKED(0);
}

TEST(K8_G4_a_guard_page_is_consumed_and_the_second_call_works)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	PVOID page;

	ASSERT_NE(NULL, p);
	memset(p, 0x44, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + 3 * P, 2 * P, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_RES(STATUS_GUARD_PAGE_VIOLATION, p, SIZE, do_lock(ME, p, SIZE));
	EXPECT_LOCKED(0);
	EXPECT_EQ(PAGE_READWRITE, page_protect(p + 3 * P));
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, page_protect(p + 4 * P));
	/* It was no access of the program's. */
	EXPECT_STATUS(STATUS_NOT_FOUND, LibntTakeFault(&page));
	EXPECT_RES(STATUS_GUARD_PAGE_VIOLATION, p, SIZE, do_lock(ME, p, SIZE));
	EXPECT_RES(STATUS_SUCCESS, p, SIZE, do_lock(ME, p, SIZE));
	EXPECT_LOCKED(16);
	EXPECT_READ(p + 3 * P, 0x44);
	EXPECT_STATUS(STATUS_SUCCESS, unlock(p, SIZE));
	/* Whatever comes first in the range decides. */
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + 5 * P, P, PAGE_READWRITE | PAGE_GUARD));
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + 2 * P, P, PAGE_NOACCESS));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, lock(p, SIZE));
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, page_protect(p + 5 * P));
	/* A whole region of guard pages, one by one. */
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, SIZE, PAGE_READONLY | PAGE_GUARD));
	for (size_t i = 0; i < SIZE / P; i++) {
		EXPECT_STATUS(STATUS_GUARD_PAGE_VIOLATION, lock(p, SIZE));
		EXPECT_EQ(PAGE_READONLY, page_protect(p + i * P));
	}
	EXPECT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
}

TEST(K9_K11_locks_do_not_nest)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	EXPECT_RES(STATUS_SUCCESS, p, 4 * P, do_lock(ME, p, 4 * P));
	EXPECT_RES(STATUS_WAS_LOCKED, p, 4 * P, do_lock(ME, p + 1, 4 * P - 1));
	EXPECT_RES(STATUS_WAS_LOCKED, p + P, P, do_lock(ME, p + P, 1));
	/* Some were and some were not. */
	EXPECT_RES(STATUS_SUCCESS, p, 5 * P, do_lock(ME, p, 5 * P));
	EXPECT_LOCKED(5);
	EXPECT_RES(STATUS_SUCCESS, p, 5 * P, do_unlock(ME, p, 5 * P));
	EXPECT_LOCKED(0);
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p, P));
}

TEST(K12_unlock_of_a_page_that_is_not_locked_changes_nothing)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	EXPECT_RES(STATUS_NOT_LOCKED, p + 1, 1, do_unlock(ME, p + 1, 1));
	ASSERT_STATUS(STATUS_SUCCESS, lock(p + 2 * P, 3 * P));
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p + P, 2 * P));
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p + 4 * P, 2 * P));
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p, SIZE));
	EXPECT_LOCKED(3);
	EXPECT_STATUS(STATUS_SUCCESS, unlock(p + 3 * P, P));
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p + 2 * P, 3 * P));
	EXPECT_LOCKED(2);
	/* Not committed, and free. */
	ASSERT_STATUS(STATUS_SUCCESS, decommit(p + 8 * P, P));
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p + 8 * P, P));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p, P));
}

TEST(memory_that_is_not_ntvms)
{
	uint8_t *q = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *p;
	struct res r;
	HANDLE h = NULL;
	int local;

	ASSERT_NE(MAP_FAILED, q);
	EXPECT_RES(STATUS_SUCCESS, q, 2 * P, do_lock(ME, q + 1, P));
	EXPECT_LOCKED(2);
	EXPECT_RES(STATUS_SUCCESS, q, 2 * P, do_unlock(ME, q + 1, P));
	EXPECT_LOCKED(0);
	/* The stack. */
	r = do_lock(ME, &local, sizeof(local));
	EXPECT_STATUS(STATUS_SUCCESS, r.status);
	EXPECT_LOCKED(1);
	EXPECT_STATUS(STATUS_SUCCESS, unlock(&local, sizeof(local)));
	/* Out of reach, or nothing there. */
	ASSERT_EQ(0, mprotect(q + P, P, PROT_NONE));
	EXPECT_RES(STATUS_ACCESS_VIOLATION, q, 3 * P, do_lock(ME, q, 3 * P));
	ASSERT_EQ(0, munmap(q + P, P));
	EXPECT_RES(STATUS_ACCESS_VIOLATION, q, 3 * P, do_lock(ME, q, 3 * P));
	EXPECT_LOCKED(0);
	/* Through a handle the module alone answers. */
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_ALL, &h));
	EXPECT_RES(STATUS_ACCESS_VIOLATION, q, P, do_lock(h, q, P));
	EXPECT_RES(STATUS_NOT_LOCKED, q, P, do_unlock(h, q, P));
	/* A range of both kinds. */
	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, FIXED, 0, G, MEM_RESERVE | MEM_COMMIT,
					       PAGE_READWRITE).status);
	p = mmap((void *)(FIXED + G), P, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ((void *)(FIXED + G), p);
	EXPECT_RES(STATUS_ACCESS_VIOLATION, FIXED, G + P, do_lock(ME, (void *)FIXED, G + P));
	EXPECT_LOCKED(0);
}

/* --- the limit ------------------------------------------------------------------------ */

static int meets_its_limit(int sock, void *arg)
{
	size_t pages = (size_t)arg;
	uint8_t *p = reserve_commit(64 * P, PAGE_READWRITE);
	uint8_t *q = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct snap before, after;
	struct res r;

	(void)sock;
	if (!p || q == MAP_FAILED || !unprivileged(pages * P + P - 1))
		return 1;
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + 64 * P);
	r = do_lock(ME, p, (pages + 1) * P);
	if (r.status != STATUS_WORKING_SET_QUOTA || r.base != (uintptr_t)p ||
	    r.size != (pages + 1) * P || locked())
		return 2;
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + 64 * P);
	if (!snap_same(&before, &after) || unlock(p, P) != STATUS_NOT_LOCKED)
		return 3;
	if (pages && (lock(p, pages * P) != STATUS_SUCCESS || locked() != (int64_t)(pages * P)))
		return 4;
	if (lock(p + 63 * P, 1) != STATUS_WORKING_SET_QUOTA || locked() != (int64_t)(pages * P))
		return 5;
	/* What is locked already does not count twice. */
	if (pages && lock(p, pages * P) != STATUS_WAS_LOCKED)
		return 6;
	/* One budget with mlock(2). */
	if (lock(q, P) != STATUS_WORKING_SET_QUOTA)
		return 7;
	if (!pages)
		return 0;
	if (unlock(p, P) != STATUS_SUCCESS || mlock(q, P) || lock(p, P) != STATUS_WORKING_SET_QUOTA)
		return 8;
	if (munlock(q, P) || lock(p, P) != STATUS_SUCCESS)
		return 9;
	/* A decommit makes room. */
	if (decommit(p, P) != STATUS_SUCCESS || lock(p + 63 * P, P) != STATUS_SUCCESS)
		return 10;
	return locked() == (int64_t)(pages * P) ? 0 : 11;
}

TEST(K10_rlimit_memlock_holds_to_the_page)
{
	static const size_t limits[] = { 0, 1, 7, 16, 33, 60 };
	struct child c;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		ASSERT_TRUE(child_start(&c, meets_its_limit, (void *)limits[i]));
		EXPECT_EQ(0, child_wait(&c)) {
			TH_LOG("limit %zu pages", limits[i]);
		}
	}
}

TEST(cap_ipc_lock_goes_past_the_limit)
{
	struct rlimit rl = { P, P };
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &rl));
	EXPECT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	EXPECT_LOCKED(16);
}

/* --- how a lock ends --------------------------------------------------------------------- */

TEST(F21_decommit_and_release_undo_locks)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, 8 * P));
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p + P, 2 * P));
	EXPECT_LOCKED(6);
	/* Committed anew it is zero and not locked. */
	EXPECT_STATUS(STATUS_SUCCESS, commit(p + P, 2 * P, PAGE_READWRITE));
	EXPECT_READ(p + P, 0);
	EXPECT_STATUS(STATUS_NOT_LOCKED, unlock(p, 8 * P));
	EXPECT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	EXPECT_LOCKED(16);
	EXPECT_STATUS(STATUS_SUCCESS, decommit(p, 0));
	EXPECT_LOCKED(0);
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_EXECUTE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_LOCKED(0);
}

TEST(partial_releases_undo_the_locks_of_their_pages)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)p + 4 * P, 2 * P, MEM_RELEASE).status);
	EXPECT_LOCKED(14);
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, lock(p, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)p, P, MEM_RELEASE).status);
	EXPECT_LOCKED(13);
	EXPECT_STATUS(STATUS_SUCCESS, do_free(ME, (uintptr_t)p + 15 * P, P, MEM_RELEASE).status);
	EXPECT_LOCKED(12);
	EXPECT_STATUS(STATUS_SUCCESS, unlock(p + P, 3 * P));
	EXPECT_LOCKED(9);
	EXPECT_STATUS(STATUS_SUCCESS, release(p + P));
	EXPECT_STATUS(STATUS_SUCCESS, release(p + 6 * P));
	EXPECT_LOCKED(0);
}

TEST(munmap_and_map_fixed_from_outside_undo_locks)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	ASSERT_EQ(0, munmap(p, SIZE));
	EXPECT_TRUE(wait_until(5, locked() == 0));
	p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	ASSERT_EQ(p, mmap(p, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_TRUE(wait_until(5, locked() == 0));
	/* One of three VMAs. */
	p = reserve_commit(SIZE, PAGE_READWRITE);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + 4 * P, 4 * P, PAGE_EXECUTE_READ));
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	ASSERT_EQ(0, munmap(p + 4 * P, 4 * P));
	EXPECT_TRUE(wait_until(5, locked() == 12 * P));
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_LOCKED(8);
	EXPECT_STATUS(STATUS_SUCCESS, release(p + 8 * P));
	EXPECT_LOCKED(0);
}

/*
 * Free memory in bytes, with the lists of free pages that each processor keeps,
 * which may be larger than what the tests look for.
 */
static int64_t free_memory(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	int64_t pages = 0;
	char line[256];
	long n;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " nr_free_pages %ld", &n) == 1 || sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	if (f)
		fclose(f);
	return pages * (int64_t)P;
}

static int locks_much_and_dies(int sock, void *arg)
{
	uint8_t *p = reserve_commit(16 * MIB, PAGE_READWRITE);

	(void)sock;
	if (!p || lock(p, 16 * MIB) != STATUS_SUCCESS)
		return 1;
	if (arg)
		raise(SIGKILL);
	return 0;
}

TEST(exit_gives_locked_memory_back)
{
	int64_t before;
	struct child c;
	int i;

	for (i = 0; i < 2; i++) {
		before = free_memory();
		ASSERT_TRUE(child_start(&c, locks_much_and_dies, (void *)(long)(i & 1)));
		EXPECT_EQ(i & 1 ? 128 + SIGKILL : 0, child_wait(&c));
		/* Also while others have a handle: the mm's last VMA decides. */
		EXPECT_TRUE(wait_until(5, free_memory() > before - (int64_t)(8 * MIB))) {
			TH_LOG("free %lld before, %lld after", (long long)before,
			       (long long)free_memory());
		}
	}
}

static int locks_and_execs(int sock, void *arg)
{
	uint8_t *p = reserve_commit(32 * MIB, PAGE_READWRITE);

	(void)arg;
	if (!p || lock(p, 32 * MIB) != STATUS_SUCCESS)
		return 1;
	if (!send_fd(sock, own_device()))
		return 2;
	execl("/bin/sleep", "sleep", "60", NULL);
	execl("/bin/busybox", "sleep", "60", NULL);
	return 3;
}

TEST(exec_gives_locked_memory_back_though_a_handle_is_held)
{
	int64_t before = free_memory();
	struct child c;
	int fd;

	ASSERT_TRUE(child_start(&c, locks_and_execs, NULL));
	fd = recv_fd(c.sock);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(wait_until(10, do_lock(LibntFdToHandle(fd), (void *)FIXED, P).status ==
				   STATUS_PROCESS_IS_TERMINATING));
	EXPECT_TRUE(wait_until(5, free_memory() > before - (int64_t)(8 * MIB))) {
		TH_LOG("free %lld before, %lld after", (long long)before,
		       (long long)free_memory());
	}
	EXPECT_EQ(0, proc_status(c.pid, "VmLck"));
	kill(c.pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, child_wait(&c));
}

TEST(a_fork_child_has_no_locks)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	pid_t pid;
	int status;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	pid = fork();
	if (!pid)
		_exit(locked() ? 1 : unlock(p, SIZE) == STATUS_SUCCESS ? 2 : 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_LOCKED(16);
	EXPECT_STATUS(STATUS_WAS_LOCKED, lock(p, SIZE));
}

/* --- residency ------------------------------------------------------------------------------ */

/* Pages of the range that are in memory, mapped or not. */
static size_t resident(uint8_t *p, size_t pages)
{
	static unsigned char vec[8192];
	size_t i, nr = 0;

	if (pages > sizeof(vec) || mincore(p, pages * P, vec))
		return ~0ul;
	for (i = 0; i < pages; i++)
		nr += vec[i] & 1;
	return nr;
}

/* Put all pressure there is on a range, until at most @want pages are left. */
static size_t press(uint8_t *p, size_t pages, size_t want)
{
	size_t left = pages;
	int i;

	for (i = 0; i < 20 && left > want; i++) {
		madvise(p, pages * P, MADV_COLD);
		madvise(p, pages * P, MADV_PAGEOUT);
		left = resident(p, pages);
	}
	return left;
}

FIXTURE(swap) {
	uint8_t *p;
	size_t pages;
};

FIXTURE_SETUP(swap)
{
	size_t i;

	ASSERT_TRUE(swap_on(SWAP_SIZE)) {
		TH_LOG("no swap in zram: %s", strerror(errno));
	}
	self->pages = 16 * MIB / P;
	self->p = reserve_commit(self->pages * P, PAGE_READWRITE);
	ASSERT_NE(NULL, self->p);
	for (i = 0; i < self->pages; i++)
		*(uint64_t *)(self->p + i * P) = i + 1;
}

FIXTURE_TEARDOWN(swap)
{
	release(self->p);
	/* The tests after this one count on a system without. */
	EXPECT_EQ(0, swap_off());
}

TEST_F(swap, locked_pages_stay_in_memory_and_others_go)
{
	size_t half = self->pages / 2, i;

	ASSERT_STATUS(STATUS_SUCCESS, lock(self->p, half * P));
	/* The control: the other half does go. */
	EXPECT_GT(half / 2, press(self->p + half * P, half, half / 8));
	press(self->p, half, 0);
	press(self->p, half, 0);
	EXPECT_EQ(half, resident(self->p, half));
	/* Protections do not matter. */
	ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, half * P, PAGE_NOACCESS));
	press(self->p, half, 0);
	EXPECT_EQ(half, resident(self->p, half));
	ASSERT_STATUS(STATUS_SUCCESS, protect(self->p, half * P, PAGE_READWRITE));
	for (i = 0; i < self->pages; i++)
		ASSERT_EQ(i + 1, *(volatile uint64_t *)(self->p + i * P));
	/* The control of the control: unlocked they go as well. */
	ASSERT_STATUS(STATUS_SUCCESS, unlock(self->p, half * P));
	EXPECT_GT(half / 2, press(self->p, half, half / 8));
	for (i = 0; i < self->pages; i++)
		ASSERT_EQ(i + 1, *(volatile uint64_t *)(self->p + i * P));
}

TEST_F(swap, a_lock_brings_pages_in)
{
	size_t i;

	EXPECT_GT(self->pages / 2, press(self->p, self->pages, self->pages / 8));
	ASSERT_STATUS(STATUS_SUCCESS, lock(self->p, self->pages * P));
	EXPECT_EQ(self->pages, resident(self->p, self->pages));
	press(self->p, self->pages, 0);
	EXPECT_EQ(self->pages, resident(self->p, self->pages));
	for (i = 0; i < self->pages; i++)
		ASSERT_EQ(i + 1, *(volatile uint64_t *)(self->p + i * P));
}

/* Present bits of /proc/self/pagemap. */
static size_t mapped(const uint8_t *p, size_t pages)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t i, nr = 0;
	uint64_t entry;

	for (i = 0; i < pages; i++) {
		if (pread(fd, &entry, 8, ((uintptr_t)p / P + i) * 8) != 8)
			nr = ~0ul / 2;
		nr += entry >> 63;
	}
	close(fd);
	return nr;
}

TEST(a_lock_fills_the_page_tables)
{
	uint8_t *p = reserve_commit(64 * P, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, mapped(p, 64));
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, 8 * P, PAGE_READONLY));
	ASSERT_STATUS(STATUS_SUCCESS, lock(p, 40 * P));
	EXPECT_EQ(40, mapped(p, 40));
	EXPECT_READ(p, 0);
	EXPECT_NO_WRITE(p);
	EXPECT_WRITE(p + 8 * P, 1);
}

/* --- another process --------------------------------------------------------------------------- */

static int is_locked(int sock, void *arg)
{
	uint64_t word;

	(void)arg;
	if (do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).status)
		return 1;
	if (!send_fd(sock, own_device()))
		return 2;
	while (child_hear(sock, &word) && word) {
		if (word == 2 && !unprivileged(0))
			return 3;
		child_tell(sock, locked());
	}
	return 0;
}

static int64_t child_locked(struct child *c, uint64_t order)
{
	uint64_t word = ~0ull;

	if (!child_tell(c->sock, order) || !child_hear(c->sock, &word))
		return -1;
	return word;
}

static int locks_another(int sock, void *arg)
{
	HANDLE h = arg;
	struct res r;

	(void)sock;
	if (!unprivileged(3 * P))
		return 1;
	r = do_lock(h, (void *)FIXED, 4 * P);
	if (r.status != STATUS_WORKING_SET_QUOTA)
		return 2;
	return do_lock(h, (void *)FIXED, 3 * P).status == STATUS_SUCCESS ? 0 : 3;
}

TEST(another_processs_pages_count_there_against_the_callers_limit)
{
	struct child c, locker;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, is_locked, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	EXPECT_RES(STATUS_SUCCESS, FIXED, 2 * P, do_lock(h, (void *)(FIXED + 5), P));
	EXPECT_LOCKED(0);
	EXPECT_EQ(2 * P, child_locked(&c, 1));
	EXPECT_RES(STATUS_WAS_LOCKED, FIXED, P, do_lock(h, (void *)FIXED, P));
	EXPECT_RES(STATUS_ACCESS_VIOLATION, FIXED, SIZE + 1, do_lock(h, (void *)FIXED, SIZE + 1));
	EXPECT_RES(STATUS_ACCESS_VIOLATION, FIXED + G, P, do_lock(h, (void *)(FIXED + G), P));
	EXPECT_RES(STATUS_SUCCESS, FIXED, 2 * P, do_unlock(h, (void *)FIXED, 2 * P));
	EXPECT_EQ(0, child_locked(&c, 1));
	/* Its own limit, now 0, says nothing about us; ours does. */
	EXPECT_EQ(0, child_locked(&c, 2));
	EXPECT_RES(STATUS_SUCCESS, FIXED, P, do_lock(h, (void *)FIXED, P));
	EXPECT_EQ(P, child_locked(&c, 1));
	EXPECT_RES(STATUS_SUCCESS, FIXED, P, do_unlock(h, (void *)FIXED, P));
	ASSERT_TRUE(child_start(&locker, locks_another, h));
	EXPECT_EQ(0, child_wait(&locker));
	EXPECT_EQ(3 * P, child_locked(&c, 1));
	/* Decommit and release from here as well. */
	EXPECT_STATUS(STATUS_SUCCESS, do_free(h, FIXED, P, MEM_DECOMMIT).status);
	EXPECT_EQ(2 * P, child_locked(&c, 1));
	EXPECT_STATUS(STATUS_SUCCESS, do_free(h, FIXED, 0, MEM_RELEASE).status);
	EXPECT_EQ(0, child_locked(&c, 1));
	EXPECT_EQ(0, child_locked(&c, 0) == -1 ? 0 : 1);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, do_lock(h, (void *)FIXED, P).status);
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING, do_unlock(h, (void *)FIXED, P).status);
}

/* --- races ------------------------------------------------------------------------------------------ */

struct race {
	uint8_t *p;
	volatile bool stop;
	unsigned int seed;
	unsigned long done, bad;
};

static unsigned int dice(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* Locks, unlocks, decommits, commits and protects parts at random. */
static void *racer(void *arg)
{
	struct race *race = arg;

	while (!race->stop) {
		unsigned int from = dice(&race->seed) % 16, n = 1 + dice(&race->seed) % (16 - from);
		uint8_t *at = race->p + from * P;
		NTSTATUS s;

		switch (dice(&race->seed) % 6) {
		case 0:
		case 1:
			s = lock(at, n * P);
			if (s && s != STATUS_WAS_LOCKED && s != STATUS_ACCESS_VIOLATION)
				race->bad++;
			break;
		case 2:
			s = unlock(at, n * P);
			if (s && s != STATUS_NOT_LOCKED)
				race->bad++;
			break;
		case 3:
			race->bad += decommit(at, n * P) != 0;
			break;
		case 4:
			race->bad += commit(at, n * P, PAGE_READWRITE) != 0;
			break;
		case 5:
			s = protect(at, n * P, dice(&race->seed) & 1 ? PAGE_READWRITE : PAGE_NOACCESS);
			if (s && s != STATUS_NOT_COMMITTED)
				race->bad++;
			break;
		}
		race->done++;
	}
	return NULL;
}

TEST(two_threads_lock_unlock_and_decommit_and_the_count_is_right)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	struct race race[2] = { { .p = p, .seed = 1 }, { .p = p, .seed = 77 } };
	pthread_t thread[2];
	double until;
	int i, n = 0;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, racer, &race[i]));
	until = now() + 4;
	while (now() < until || race[0].done <= 100 || race[1].done <= 100) {
		/* At no time more than there are pages, twice while both charge. */
		EXPECT_LE(locked(), (int64_t)(2 * SIZE));
		sleep_ms(5);
	}
	race[0].stop = race[1].stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, race[0].bad);
	EXPECT_EQ(0, race[1].bad);
	EXPECT_LT(100, race[0].done);
	EXPECT_LT(100, race[1].done);
	/* What the books say is what is locked, page by page. */
	for (i = 0; i < 16; i++)
		n += unlock(p + i * P, P) == STATUS_SUCCESS ? (locked(), 1) : 0;
	EXPECT_LOCKED(0) {
		TH_LOG("%d pages were locked", n);
	}
	EXPECT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_READWRITE));
	EXPECT_STATUS(STATUS_SUCCESS, lock(p, SIZE));
	EXPECT_LOCKED(16);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_LOCKED(0);
}

static void *unmapper(void *arg)
{
	struct race *race = arg;

	while (!race->stop) {
		void *q = mmap(race->p, SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		if (q != race->p)
			race->bad++;
		munmap(race->p, SIZE);
		do_alloc(ME, (uintptr_t)race->p, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
		race->done++;
	}
	return NULL;
}

TEST(mappings_that_change_under_a_lock_are_never_locked_for_another)
{
	struct race race = { .p = (uint8_t *)FIXED };
	pthread_t thread;
	double until;

	ASSERT_STATUS(STATUS_SUCCESS, do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE | MEM_COMMIT,
					       PAGE_READWRITE).status);
	ASSERT_EQ(0, pthread_create(&thread, NULL, unmapper, &race));
	until = now() + 3;
	while (now() < until || race.done <= 10) {
		lock(race.p, SIZE);
		unlock(race.p, SIZE);
	}
	race.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(10, race.done);
	munmap(race.p, SIZE);
	EXPECT_TRUE(wait_until(5, locked() == 0));
	EXPECT_TRUE(wait_until(5, info_of(ME).Regions == 0));
	EXPECT_EQ(0, info_of(ME).CommittedBytes);
}

TEST_HARNESS_MAIN
