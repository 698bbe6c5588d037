// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtSetInformationVirtualMemory (I1 to I8) and NtFlushVirtualMemory (U1 to U4):
 * the order of errors, and what a prefetch and a flush really do.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/stat.h>

#define SIZE	(64 * P)
typedef MEMORY_RANGE_ENTRY RANGE;

static NTSTATUS set(HANDLE h, ULONG class, size_t n, const RANGE *ranges, void *info, ULONG len)
{
	return NtSetInformationVirtualMemory(h, (VIRTUAL_MEMORY_INFORMATION_CLASS)class, n,
					     (PMEMORY_RANGE_ENTRY)ranges, info, len);
}

static NTSTATUS prefetch(HANDLE h, const void *p, size_t len)
{
	RANGE range = { (PVOID)p, len };
	ULONG flags = 0;

	return set(h, VmPrefetchInformation, 1, &range, &flags, sizeof(flags));
}

/* --- set information ---------------------------------------------------------------- */

TEST(I1_to_I6_the_order_of_errors)
{
	RANGE empty = { NULL, 0 }, some[3] = { { NULL, P }, { NULL, 0 }, { NULL, P } };
	/* So many entries that the array has no end. */
	const size_t no_end = TOP_BIT / (sizeof(RANGE) / 2);
	void *kernel = (void *)KERNEL_ADDRESS;
	ULONG info = 0, odd = 0xdead;
	HANDLE weak = NULL;

	ASSERT_STATUS(STATUS_SUCCESS,
		      raw_duplicate(ME, NTVM_ACCESS_ALL & ~NTVM_ACCESS_VM_OPERATION, &weak));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_2, set(NULL, 4, 0, NULL, NULL, 0));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_2, set(NULL, 0xffffffff, 1, &empty, &info, 4));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5, set(NULL, 0, 0, NULL, NULL, 0));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_6, set(NULL, 0, 0, NULL, &info, 0));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_6, set(NULL, 0, 0, NULL, &info, 3));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_6, set(NULL, 0, 0, NULL, &info, 5));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_6, set(NULL, 0, 1, &empty, kernel, 32));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_3, set(NULL, 0, 0, NULL, &info, 4));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_3, set(NULL, 0, 0, NULL, kernel, 4));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, set(NULL, 0, 1, NULL, &info, 4));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, set(NULL, 0, 1, NULL, &odd, 4));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, set(NULL, 0, 1, kernel, &info, 4));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, set(NULL, 0, 1, some, kernel, 4));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, set(NULL, 0, ~0ul, some, &info, 4));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION, set(NULL, 0, no_end, some, &info, 4));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5, set(NULL, 0, 1, &empty, &odd, 4));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, set(NULL, 0, 1, &empty, &info, 4));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, set(NULL, 0, 3, some, &info, 4));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, set(NULL, 0, 1, some, &info, 4));
	EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH, set(LibntFdToHandle(0), 0, 1, some, &info, 4));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, set(weak, 0, 1, some, &info, 4));
	EXPECT_STATUS(STATUS_SUCCESS, set(ME, 0, 1, some, &info, 4));
	info = 1;
	EXPECT_STATUS(STATUS_SUCCESS, set(ME, 0, 1, some, &info, 4));
	NtClose(weak);
}

TEST(I6_an_empty_range_at_the_end_of_a_long_array)
{
	static RANGE many[1000];
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	ULONG info = 0;
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (RANGE){ p + i % 64 * P, P };
	EXPECT_STATUS(STATUS_SUCCESS, set(ME, 0, ARRAY_SIZE(many), many, &info, 4));
	many[999].NumberOfBytes = 0;
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_4, set(ME, 0, ARRAY_SIZE(many), many, &info, 4));
}

TEST(I7_a_range_may_be_anything)
{
	uint8_t *p = reserve(SIZE);
	struct snap before, after;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, 4 * P, PAGE_READWRITE));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + 4 * P, P, PAGE_READWRITE | PAGE_GUARD));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + 5 * P, P, PAGE_NOACCESS));
	before = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, NULL, P));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, NULL, 1));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, (void *)0x123456, P));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, p + 77, SIZE));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, NULL, LARGE));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, NULL, ~0ul));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, p, ~0ul));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, (void *)~0ul, ~0ul));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, (void *)KERNEL_ADDRESS, P));
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(ME, &before, sizeof(before)));
	/* A hint: nothing was committed, touched or disarmed. */
	after = snap_of(ME, (uintptr_t)p, (uintptr_t)p + SIZE);
	EXPECT_TRUE(snap_same(&before, &after));
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, page_protect(p + 4 * P));
	EXPECT_NO_READ(p + 6 * P);
}

TEST(other_classes)
{
	RANGE range = { NULL, P };
	uint8_t *p = reserve(SIZE);
	ULONG info;

	ASSERT_NE(NULL, p);
	/* Page priority: 0 to 5. */
	for (info = 0; info < 6; info++)
		EXPECT_STATUS(STATUS_SUCCESS, set(ME, VmPagePriorityInformation, 1, &range, &info, 4));
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5,
		      set(ME, VmPagePriorityInformation, 1, &range, &info, 4));
	info = 0xffffffff;
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5,
		      set(ME, VmPagePriorityInformation, 1, &range, &info, 4));
	/* Control flow guard. */
	EXPECT_STATUS(STATUS_NOT_SUPPORTED, set(ME, VmCfgCallTargetInformation, 0, NULL, NULL, 0));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, set(NULL, VmCfgCallTargetInformation, 0, NULL, NULL, 0));
	/* I8: dirty state. */
	info = 1;
	range.VirtualAddress = p;
	EXPECT_STATUS(STATUS_INVALID_PARAMETER_5,
		      set(ME, VmPageDirtyStateInformation, 1, &range, &info, 4));
	info = 0;
	EXPECT_STATUS(STATUS_NOT_SUPPORTED,
		      set(ME, VmPageDirtyStateInformation, 1, &range, &info, 4));
	ASSERT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_STATUS(STATUS_MEMORY_NOT_ALLOCATED,
		      set(ME, VmPageDirtyStateInformation, 1, &range, &info, 4));
}

/* --- prefetch and swap ----------------------------------------------------------------- */

#define SWAP_SIZE	(128 * MIB)
#define OUT_SIZE	(32 * MIB)

/* Pages that were read in from swap since the system started. */
static int64_t swapped_in(void)
{
	return read_keyed("/proc/vmstat", "pswpin");
}

/* Touches every page and returns how many did not hold what was written. */
static size_t touch(const uint8_t *p, size_t size)
{
	size_t i, bad = 0;

	for (i = 0; i < size; i += P)
		bad += *(const volatile uint64_t *)(p + i) != i * 0x9e3779b97f4a7c15 + 1;
	return bad;
}

TEST(a_prefetch_reads_back_what_is_swapped_out)
{
	int64_t free_before, out, mark, read_in, touched, plain;
	uint8_t *p;
	HANDLE h = NULL;
	size_t i;
	int tries;

	ASSERT_TRUE(swap_on(SWAP_SIZE)) {
		TH_LOG("no swap in zram: %s", strerror(errno));
	}
	/* A handle, so that libnt leaves it all to the module. */
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_VM_OPERATION, &h));
	p = reserve(2 * OUT_SIZE);
	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, OUT_SIZE, PAGE_READWRITE));
	for (i = 0; i < OUT_SIZE; i += P)
		*(uint64_t *)(p + i) = i * 0x9e3779b97f4a7c15 + 1;
	free_before = meminfo("SwapFree");
	for (tries = 0; tries < 20; tries++) {
		madvise(p, OUT_SIZE, MADV_PAGEOUT);
		if (free_before - meminfo("SwapFree") >= (int64_t)(OUT_SIZE * 3 / 4))
			break;
		sleep_ms(50);
	}
	out = free_before - meminfo("SwapFree");
	EXPECT_LE((int64_t)(OUT_SIZE * 3 / 4), out);

	/* Half of it, and as much again that is not even committed. */
	mark = swapped_in();
	EXPECT_STATUS(STATUS_SUCCESS, prefetch(h, p + OUT_SIZE / 2, OUT_SIZE * 3 / 2));
	read_in = swapped_in() - mark;
	mark = swapped_in();
	for (i = OUT_SIZE / 2; i < OUT_SIZE; i += P)
		if (*(volatile uint64_t *)(p + i) != i * 0x9e3779b97f4a7c15 + 1)
			break;
	EXPECT_EQ(OUT_SIZE, i);
	touched = swapped_in() - mark;
	/* The other half is read in by touching it. */
	mark = swapped_in();
	EXPECT_EQ(0, touch(p, OUT_SIZE / 2));
	plain = swapped_in() - mark;
	TH_LOG("%lld pages out; prefetch read %lld, then touching %lld; the rest %lld",
	       (long long)out / 4096, (long long)read_in, (long long)touched, (long long)plain);
	EXPECT_LE((int64_t)(OUT_SIZE / P / 4), read_in);
	EXPECT_GE(16, touched);
	EXPECT_LE((int64_t)(OUT_SIZE / P / 8), plain);
	/* Nothing was committed by it. */
	EXPECT_EQ(OUT_SIZE, info_of(ME).CommittedBytes);
	EXPECT_STATUS(STATUS_SUCCESS, release(p));
	NtClose(h);
	EXPECT_EQ(0, swap_off());
}

/* --- flush ------------------------------------------------------------------------------- */

#define EXPECT_FLUSH(want, want_base, want_size, h, at, len) do {		\
	IO_STATUS_BLOCK __io;							\
	PVOID __b = pointer_of((uintptr_t)(at));						\
	SIZE_T __z = (len);							\
	NTSTATUS __w = (want), __s;						\
	memset(&__io, 0xa5, sizeof(__io));					\
	__s = NtFlushVirtualMemory(h, &__b, &__z, &__io);			\
	EXPECT_STATUS(__w, __s);						\
	EXPECT_EQ((uintptr_t)(want_base), (uintptr_t)__b);			\
	EXPECT_EQ((size_t)(want_size), __z);					\
	if (__w == STATUS_SUCCESS) {						\
		EXPECT_STATUS(STATUS_SUCCESS, __io.Status);			\
		EXPECT_EQ((size_t)(want_size), __io.Information);		\
	} else {								\
		EXPECT_EQ((ULONG_PTR)0xa5a5a5a5a5a5a5a5, __io.Information);		\
	}									\
} while (0)

static int file_of(size_t size)
{
	int fd;

	mkdir("/tmp", 0777);
	fd = open("/tmp/flushed", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, size))
		return -1;
	unlink("/tmp/flushed");
	return fd;
}

TEST(U1_U2_a_view_of_a_file_is_flushed)
{
	int fd = file_of(16 * P);
	uint8_t *m = mmap(NULL, 16 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ASSERT_LE(0, fd);
	ASSERT_NE(MAP_FAILED, m);
	m[5 * P] = 1;
	EXPECT_FLUSH(STATUS_SUCCESS, m, P, ME, m, 1);
	EXPECT_FLUSH(STATUS_SUCCESS, m + 4 * P, 3 * P, ME, m + 4 * P + 5, 2 * P);
	EXPECT_FLUSH(STATUS_SUCCESS, m, 16 * P, ME, m, 0);
	EXPECT_FLUSH(STATUS_SUCCESS, m + 3 * P, 13 * P, ME, m + 3 * P + 9, 0);
	EXPECT_FLUSH(STATUS_SUCCESS, m, 16 * P, ME, m, 16 * P);
	/* The view is one, whatever its protections make of it. */
	ASSERT_EQ(0, mprotect(m + 6 * P, P, PROT_READ));
	EXPECT_FLUSH(STATUS_SUCCESS, m, 16 * P, ME, m, 0);
	EXPECT_FLUSH(STATUS_SUCCESS, m + P, 9 * P, ME, m + P, 9 * P);
	/* It ends where the file's mapping does. */
	ASSERT_EQ(0, munmap(m + 12 * P, 4 * P));
	EXPECT_FLUSH(STATUS_SUCCESS, m, 12 * P, ME, m, 0);
	EXPECT_FLUSH(STATUS_NOT_MAPPED_VIEW, m, 12 * P + 1, ME, m, 12 * P + 1);
	EXPECT_FLUSH(STATUS_NOT_MAPPED_VIEW, m + 12 * P, 0, ME, m + 12 * P, 0);
	close(fd);
}

TEST(U3_memory_that_is_no_view)
{
	uint8_t *p = reserve_commit(16 * P, PAGE_READWRITE);
	uint8_t *r = reserve(16 * P);
	uint8_t *m = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const void *none[] = { p, p + 3 * P + 3, r, m, (void *)0x1234, NULL };
	size_t i;

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, r);
	for (i = 0; i < ARRAY_SIZE(none); i++) {
		EXPECT_FLUSH(STATUS_NOT_MAPPED_VIEW, none[i], 0, ME, none[i], 0);
		EXPECT_FLUSH(STATUS_NOT_MAPPED_VIEW, none[i], P, ME, none[i], P);
	}
}

TEST(U4_the_order_of_errors)
{
	uint8_t *ro = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *bad[] = { NULL, (void *)8, ro, (void *)KERNEL_ADDRESS, (void *)~7ul };
	PVOID base = (PVOID)KERNEL_ADDRESS;
	IO_STATUS_BLOCK io;
	HANDLE weak = NULL;
	SIZE_T size = P;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
			      NtFlushVirtualMemory(NULL, bad[i], &size, &io));
		EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
			      NtFlushVirtualMemory(NULL, &base, bad[i], &io));
		EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
			      NtFlushVirtualMemory(NULL, &base, &size, bad[i]));
	}
	EXPECT_FLUSH(STATUS_INVALID_PARAMETER_2, KERNEL_ADDRESS, P, NULL, KERNEL_ADDRESS, P);
	EXPECT_FLUSH(STATUS_INVALID_PARAMETER_2, ~0ul, ~0ul, NULL, ~0ul, ~0ul);
	EXPECT_FLUSH(STATUS_INVALID_PARAMETER_3, 0x1000, ~0ul, NULL, 0x1000, ~0ul);
	EXPECT_FLUSH(STATUS_INVALID_HANDLE, 0x1000, P, NULL, 0x1000, P);
	EXPECT_FLUSH(STATUS_OBJECT_TYPE_MISMATCH, 0x1000, P, LibntFdToHandle(0), 0x1000, P);
	ASSERT_STATUS(STATUS_SUCCESS,
		      raw_duplicate(ME, NTVM_ACCESS_ALL & ~NTVM_ACCESS_VM_OPERATION, &weak));
	EXPECT_FLUSH(STATUS_ACCESS_DENIED, 0x1000, P, weak, 0x1000, P);
	NtClose(weak);
}

TEST(the_plain_request_of_a_flush)
{
	int fd = file_of(4 * P), dev = own_device();
	uint8_t *m = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct ntvm_flush req = {
		.size = sizeof(req), .handle = NTVM_CURRENT_PROCESS, .base = (uintptr_t)m + 1,
		.len = P,
	};

	ASSERT_NE(MAP_FAILED, m);
	EXPECT_EQ(0, raw(dev, NTVM_IOC_FLUSH, &req));
	EXPECT_EQ(0, req.status);
	EXPECT_EQ((uintptr_t)m, req.base);
	EXPECT_EQ(2 * P, req.len);
	EXPECT_EQ(0, req.out_status);
	EXPECT_EQ(2 * P, req.out_information);
	req.io_ptr = (uintptr_t)&req;
	EXPECT_EQ(-EINVAL, raw(dev, NTVM_IOC_FLUSH, &req));
	close(dev);
	close(fd);
}

static int mapper(int sock, void *arg)
{
	int fd = file_of(8 * P);
	uint8_t *m = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t word;

	(void)arg;
	if (m == MAP_FAILED || !send_fd(sock, own_device()) || !child_tell(sock, (uintptr_t)m))
		return 1;
	m[0] = 1;
	child_hear(sock, &word);
	return 0;
}

TEST(a_view_of_another_process)
{
	struct child c;
	uint64_t m;
	HANDLE h;

	ASSERT_TRUE(child_start(&c, mapper, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	ASSERT_TRUE(child_hear(c.sock, &m));
	EXPECT_FLUSH(STATUS_SUCCESS, m, 8 * P, h, m, 0);
	EXPECT_FLUSH(STATUS_SUCCESS, m + P, P, h, m + P + 5, 1);
	child_tell(c.sock, 0);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_FLUSH(STATUS_PROCESS_IS_TERMINATING, m, 0, h, m, 0);
	NtClose(h);
}

TEST_HARNESS_MAIN
