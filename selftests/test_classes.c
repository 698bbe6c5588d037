// SPDX-License-Identifier: GPL-2.0-only
/*
 * NtQueryVirtualMemory, every class but the basic one: regions, the working
 * set, images, names of mapped files, the order of errors, other processes, and
 * that no answer ever mixes two states of a range.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <limits.h>
#include <sched.h>
#include <sys/stat.h>

#define SIZE	(16 * P)
typedef MEMORY_WORKING_SET_EX_INFORMATION WSX;

static const ULONG classes[] = {
	MemoryMappedFilenameInformation, MemoryRegionInformation,
	MemoryWorkingSetExInformation, MemoryImageInformation,
};
static const size_t least[] = {
	sizeof(UNICODE_STRING), offsetof(MEMORY_REGION_INFORMATION, CommitSize), sizeof(WSX),
	sizeof(MEMORY_IMAGE_INFORMATION),
};

static NTSTATUS query(HANDLE h, const void *at, ULONG class, void *buf, size_t len, SIZE_T *ret)
{
	return NtQueryVirtualMemory(h, (PVOID)at, (MEMORY_INFORMATION_CLASS)class, buf, len, ret);
}

static MEMORY_REGION_INFORMATION region_of(HANDLE h, const void *at)
{
	MEMORY_REGION_INFORMATION info;
	SIZE_T ret = 0;

	memset(&info, 0xa5, sizeof(info));
	if (query(h, at, MemoryRegionInformation, &info, sizeof(info), &ret) ||
	    ret != sizeof(info))
		memset(&info, 0xff, sizeof(info));
	return info;
}

static MEMORY_WORKING_SET_EX_BLOCK ws_of(HANDLE h, const void *at)
{
	WSX entry = { .VirtualAddress = (PVOID)at, .u1.Long = ~0ul };

	if (query(h, NULL, MemoryWorkingSetExInformation, &entry, sizeof(entry), NULL))
		entry.u1.Long = (ULONG_PTR)0xbad0000000000000;
	return entry.u1.VirtualAttributes;
}

static ULONG_PTR bits(MEMORY_WORKING_SET_EX_BLOCK block)
{
	WSX entry = { .u1.VirtualAttributes = block };

	return entry.u1.Long;
}

#define EXPECT_REGION(h, at, ab, ap, rs, cs) do {				\
	MEMORY_REGION_INFORMATION __i = region_of(h, at);			\
	EXPECT_EQ((uintptr_t)(ab), (uintptr_t)__i.AllocationBase);		\
	EXPECT_EQ((ap), __i.AllocationProtect);					\
	EXPECT_EQ(0, __i.RegionType);						\
	EXPECT_EQ((rs), __i.RegionSize);					\
	EXPECT_EQ((cs), __i.CommitSize);					\
	EXPECT_EQ(0, __i.PartitionId);						\
	EXPECT_EQ(0, __i.NodePreference);					\
} while (0)

/* --- region --------------------------------------------------------------------- */

TEST(M1_a_region_is_described_whole_from_every_address_in_it)
{
	uint8_t *p = reserve(SIZE);
	int i;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + 2 * P, 3 * P, PAGE_READONLY));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p + 9 * P, P, PAGE_EXECUTE_READ | PAGE_GUARD));
	for (i = 0; i < 16; i++)
		EXPECT_REGION(ME, p + i * P + 77 * i, p, PAGE_READWRITE, SIZE, 4 * P);
}

TEST(M2_commit_size_counts_committed_pages)
{
	uint8_t *p = reserve(SIZE);
	uint8_t *big = reserve(CHECKERBOARD);

	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, big);
	EXPECT_REGION(ME, p, p, PAGE_READWRITE, SIZE, 0);
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_READWRITE));
	EXPECT_REGION(ME, p, p, PAGE_READWRITE, SIZE, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, SIZE, PAGE_NOACCESS));
	EXPECT_REGION(ME, p, p, PAGE_READWRITE, SIZE, SIZE);
	ASSERT_STATUS(STATUS_SUCCESS, decommit(p + P, 3 * P));
	EXPECT_REGION(ME, p, p, PAGE_READWRITE, SIZE, SIZE - 3 * P);
	/* Across the seams of the table. */
	ASSERT_STATUS(STATUS_SUCCESS, commit(big + 2 * MIB - P, 130 * MIB, PAGE_READWRITE));
	EXPECT_REGION(ME, big + CHECKERBOARD / 4, big, PAGE_READWRITE, CHECKERBOARD, 130 * MIB);
	ASSERT_STATUS(STATUS_SUCCESS, decommit(big + 64 * MIB, P));
	EXPECT_REGION(ME, big, big, PAGE_READWRITE, CHECKERBOARD, 130 * MIB - P);
}

TEST(M2_each_piece_of_a_released_region_counts_its_own)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, LibntSetContract(ME, LIBNT_CONTRACT_WINDOWS));
	EXPECT_RES(STATUS_SUCCESS, p + 4 * P, 2 * P, do_free(ME, (uintptr_t)p + 4 * P, 2 * P, MEM_RELEASE));
	ASSERT_STATUS(STATUS_SUCCESS, decommit(p + 6 * P, P));
	EXPECT_REGION(ME, p + 3 * P, p, PAGE_READWRITE, 4 * P, 4 * P);
	EXPECT_REGION(ME, p + 15 * P, p + 6 * P, PAGE_READWRITE, 10 * P, 9 * P);
}

TEST(M3_the_shapes_of_older_windows)
{
	static const struct {
		size_t from, filled;
	} shapes[] = {
#ifdef _LP64
		{ 0x18, 0x18 }, { 0x20, 0x20 }, { 0x30, 0x30 }, { 0x31, 0x30 },
#else
		{ 0x10, 0x10 }, { 0x14, 0x14 }, { 0x1c, 0x1c }, { 0x1d, 0x1c },
#endif
	};
	uint8_t *p = reserve_commit(SIZE, PAGE_READONLY);
	uint8_t buf[128];
	SIZE_T ret;
	size_t len, filled, i;

	ASSERT_NE(NULL, p);
	EXPECT_EQ(shapes[2].from, sizeof(MEMORY_REGION_INFORMATION));
	for (len = 0; len <= 0x60; len++) {
		filled = 0;
		for (i = 0; i < ARRAY_SIZE(shapes); i++)
			if (len >= shapes[i].from)
				filled = shapes[i].filled;
		memset(buf, 0xa5, sizeof(buf));
		ret = 0x1234;
		EXPECT_STATUS(filled ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH,
			      query(ME, p, MemoryRegionInformation, buf, len, &ret));
		EXPECT_EQ(filled ? filled : 0x1234, ret);
		for (i = filled; i < sizeof(buf); i++)
			ASSERT_EQ(0xa5, buf[i]);
		if (filled)
			EXPECT_EQ((uintptr_t)p, *(uintptr_t *)buf);
		if (filled > shapes[0].filled)
			EXPECT_EQ(SIZE, *(SIZE_T *)(buf + shapes[0].filled));
	}
}

TEST(M4_free_memory_has_no_region_and_the_buffer_stays)
{
	uint8_t *p = reserve(SIZE);
	uint8_t buf[0x30];
	SIZE_T ret = 0x1234;
	size_t i;

	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, release(p));
	memset(buf, 0xa5, sizeof(buf));
	EXPECT_STATUS(STATUS_INVALID_ADDRESS,
		      query(ME, p, MemoryRegionInformation, buf, sizeof(buf), &ret));
	EXPECT_STATUS(STATUS_INVALID_ADDRESS,
		      query(ME, p, MemoryImageInformation, buf, sizeof(buf), &ret));
	EXPECT_STATUS(STATUS_INVALID_ADDRESS,
		      query(ME, p, MemoryMappedFilenameInformation, buf, sizeof(buf), &ret));
	EXPECT_EQ(0x1234, ret);
	for (i = 0; i < sizeof(buf); i++)
		EXPECT_EQ(0xa5, buf[i]);
}

TEST(regions_of_linux_mappings)
{
	uint8_t *m = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *s = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MEMORY_REGION_INFORMATION i;
	MEMORY_BASIC_INFORMATION mbi;

	ASSERT_NE(MAP_FAILED, m);
	ASSERT_NE(MAP_FAILED, s);
	/* Private writable memory is charged, a shared view is not. */
	i = region_of(ME, m + 3 * P);
	EXPECT_TRUE((uintptr_t)i.AllocationBase <= (uintptr_t)m);
	EXPECT_GE(i.RegionSize, SIZE);
	EXPECT_EQ(i.RegionSize, i.CommitSize);
	i = region_of(ME, s + 3 * P);
	EXPECT_EQ(PAGE_READWRITE, i.AllocationProtect);
	EXPECT_GE(i.RegionSize, SIZE);
	/* The image of this program: one allocation with the code in it. */
	i = region_of(ME, &classes);
	mbi = do_query(ME, (uintptr_t)&classes).mbi;
	EXPECT_EQ(mbi.AllocationBase, i.AllocationBase);
	EXPECT_EQ(PAGE_EXECUTE_WRITECOPY, i.AllocationProtect);
	EXPECT_TRUE((uintptr_t)i.AllocationBase + i.RegionSize > (uintptr_t)&region_of);
}

/* --- working set ------------------------------------------------------------------- */

TEST(E1_entries_in_any_order_also_twice)
{
	uint8_t *p = reserve_commit(1000 * P, PAGE_READWRITE);
	static WSX e[1000];
	SIZE_T ret = 0;
	int i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < 1000; i += 3)
		p[i * P] = 1;
	for (i = 0; i < 1000; i++) {
		e[i].VirtualAddress = p + (unsigned int)(i * 7 % 999) * P + i;
		e[i].u1.Long = ~0ul;
	}
	/* The base address is not used, so it may be any. */
	EXPECT_STATUS(STATUS_SUCCESS, query(ME, (void *)~0ul, MemoryWorkingSetExInformation, e,
					    sizeof(e), &ret));
	EXPECT_EQ(sizeof(e), ret);
	for (i = 0; i < 1000; i++) {
		int page = (i * 7 % 999 * P + i) / P;

		EXPECT_EQ((uintptr_t)p + (unsigned int)(i * 7 % 999) * P + i,
			  (uintptr_t)e[i].VirtualAddress);
		if (page % 3 == 0) {
			EXPECT_EQ(1, +e[i].u1.VirtualAttributes.Valid);
		} else {
			EXPECT_EQ(0, e[i].u1.Long);
		}
	}
}

TEST(E2_E3_the_length)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	WSX e[3];
	SIZE_T ret;
	size_t len;

	ASSERT_NE(NULL, p);
	p[0] = 1;
	for (len = 0; len <= sizeof(e); len++) {
		size_t nr = len / sizeof(WSX), i;

		for (i = 0; i < 3; i++) {
			e[i].VirtualAddress = p;
			e[i].u1.Long = ~0ul;
		}
		ret = 0x1234;
		EXPECT_STATUS(nr ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH,
			      query(ME, NULL, MemoryWorkingSetExInformation, e, len, &ret));
		EXPECT_EQ(nr ? len : 0x1234, ret);
		for (i = 0; i < 3; i++) {
			if (i < nr) {
				EXPECT_EQ(1, +e[i].u1.VirtualAttributes.Valid);
			} else {
				EXPECT_EQ(~0ul, e[i].u1.Long);
			}
		}
	}
}

TEST(E4_E5_a_page_is_valid_once_it_is_touched)
{
	uint8_t *p = reserve(SIZE);
	MEMORY_WORKING_SET_EX_BLOCK b;

	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, bits(ws_of(ME, p)));
	ASSERT_STATUS(STATUS_SUCCESS, commit(p, SIZE, PAGE_READWRITE));
	EXPECT_EQ(0, bits(ws_of(ME, p)));
	EXPECT_WRITE(p, 1);
	b = ws_of(ME, p);
	EXPECT_EQ(1, +b.Valid);
	EXPECT_EQ(PAGE_READWRITE, +b.Win32Protection);
	EXPECT_EQ(0, +b.Shared);
	EXPECT_EQ(0, +b.ShareCount);
	EXPECT_EQ(0, +b.Node);
	EXPECT_EQ(0, +b.Locked);
	EXPECT_EQ(0, +b.LargePage);
	EXPECT_EQ(0, +b.Bad);
	EXPECT_EQ(1 | PAGE_READWRITE << 4, bits(b));
	EXPECT_EQ(0, bits(ws_of(ME, p + 8 * P)));
	EXPECT_READ(p + 8 * P, 0);
	EXPECT_EQ(1, +ws_of(ME, p + 8 * P + 5).Valid);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_EXECUTE_READ));
	EXPECT_READ(p, 1);
	EXPECT_EQ(PAGE_EXECUTE_READ, +ws_of(ME, p).Win32Protection);
}

/* Pages whose references are not dropped are in no account, only gone. */
TEST(asking_holds_no_page)
{
	enum { SPAN = 64 * MIB, AT_ONCE = 1024 };
	static MEMORY_WORKING_SET_EX_INFORMATION ws[AT_ONCE];
	int64_t before, left;
	uint8_t *p;
	size_t i, j;

	before = meminfo("MemFree");
	p = reserve_commit(SPAN, PAGE_READWRITE);
	ASSERT_NE(NULL, p);
	memset(p, 1, SPAN);
	for (i = 0; i < SPAN / P; i += AT_ONCE) {
		for (j = 0; j < AT_ONCE; j++)
			ws[j].VirtualAddress = p + (i + j) * P;
		ASSERT_STATUS(STATUS_SUCCESS, query(ME, NULL, MemoryWorkingSetExInformation, ws,
						    sizeof(ws), NULL));
		EXPECT_EQ(1, +ws[AT_ONCE - 1].u1.VirtualAttributes.Valid);
	}
	ASSERT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_TRUE(wait_until(5, (left = meminfo("MemFree")) > before - (int64_t)SPAN / 2))
		TH_LOG("free %lld, before %lld", (long long)left, (long long)before);
}

TEST(E6_noaccess_takes_it_out_until_the_next_touch)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	EXPECT_WRITE(p, 1);
	EXPECT_EQ(1, +ws_of(ME, p).Valid);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_NOACCESS));
	EXPECT_EQ(0, bits(ws_of(ME, p)));
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_READWRITE));
	EXPECT_EQ(0, bits(ws_of(ME, p)));
	EXPECT_READ(p, 1);
	EXPECT_EQ(1 | PAGE_READWRITE << 4, bits(ws_of(ME, p)));
	/* A guard page is not valid either, and asking does not use it up. */
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_READWRITE | PAGE_GUARD));
	EXPECT_EQ(0, bits(ws_of(ME, p)));
	EXPECT_EQ(PAGE_READWRITE | PAGE_GUARD, page_protect(p));
}

TEST(E7_what_is_free_or_decommitted_or_no_address_is_not_valid)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	EXPECT_WRITE(p, 1);
	EXPECT_WRITE(p + P, 1);
	ASSERT_STATUS(STATUS_SUCCESS, decommit(p, P));
	EXPECT_EQ(0, bits(ws_of(ME, p)));
	EXPECT_EQ(1, +ws_of(ME, p + P).Valid);
	ASSERT_STATUS(STATUS_SUCCESS, release(p));
	EXPECT_EQ(0, bits(ws_of(ME, p + P)));
	EXPECT_EQ(0, bits(ws_of(ME, NULL)));
	EXPECT_EQ(0, bits(ws_of(ME, (void *)KERNEL_ADDRESS)));
	EXPECT_EQ(0, bits(ws_of(ME, (void *)~0ul)));
}

TEST(E8_pages_of_files_are_shared)
{
	static const char text[] = "in the image";
	uint8_t *m = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MEMORY_WORKING_SET_EX_BLOCK b;
	uint8_t *f;
	int fd = open("/proc/self/exe", O_RDONLY);

	ASSERT_LE(0, fd);
	ASSERT_NE(MAP_FAILED, m);
	EXPECT_READ(text, 'i');
	b = ws_of(ME, text);
	EXPECT_EQ(1, +b.Valid);
	EXPECT_EQ(PAGE_READONLY, +b.Win32Protection);
	EXPECT_EQ(1, +b.Shared);
	EXPECT_LT(0, +b.ShareCount);
	/* Not accessible any more: not valid, shared all the same. */
	f = mmap(NULL, P, PROT_READ, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, f);
	EXPECT_READ(f, 0x7f);
	EXPECT_EQ(1, +ws_of(ME, f).Valid);
	ASSERT_EQ(0, mprotect(f, P, PROT_NONE));
	b = ws_of(ME, f);
	EXPECT_EQ(0, +b.Valid);
	EXPECT_EQ(1, +b.Shared);
	EXPECT_EQ(1, +b.Invalid.Shared);
	/* A private copy is not. */
	ASSERT_EQ(0, mprotect(f, P, PROT_READ | PROT_WRITE));
	EXPECT_WRITE(f, 1);
	b = ws_of(ME, f);
	EXPECT_EQ(1, +b.Valid);
	EXPECT_EQ(0, +b.Shared);
	EXPECT_EQ(0, +b.ShareCount);
	EXPECT_EQ(PAGE_WRITECOPY, +b.Win32Protection);
	/* Nor is anonymous memory. */
	EXPECT_EQ(0, bits(ws_of(ME, m)));
	EXPECT_WRITE(m, 1);
	EXPECT_EQ(1 | PAGE_READWRITE << 4, bits(ws_of(ME, m)) & 0xffff);
}

TEST(E_what_is_locked_or_large_says_so)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	uint8_t *m = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct res large = do_alloc(ME, 0, 0, 2 * MIB, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES,
				    PAGE_READWRITE);
	PVOID base = p + P;
	SIZE_T size = P;

	ASSERT_NE(NULL, p);
	ASSERT_NE(MAP_FAILED, m);
	EXPECT_WRITE(p, 1);
	EXPECT_WRITE(m, 1);
	EXPECT_EQ(0, +ws_of(ME, p).Locked);
	EXPECT_EQ(0, +ws_of(ME, p).LargePage);
	EXPECT_EQ(0, +ws_of(ME, m).Locked);
	ASSERT_STATUS(STATUS_SUCCESS, NtLockVirtualMemory(ME, &base, &size, MAP_PROCESS));
	EXPECT_EQ(1, +ws_of(ME, p + P).Valid);
	EXPECT_EQ(1, +ws_of(ME, p + P).Locked);
	EXPECT_EQ(0, +ws_of(ME, p).Locked);
	ASSERT_EQ(0, mlock(m, P));
	EXPECT_EQ(1, +ws_of(ME, m).Locked);
	ASSERT_STATUS(STATUS_SUCCESS, large.status);
	EXPECT_WRITE((uint8_t *)large.base + 5 * P, 1);
	EXPECT_EQ(1, +ws_of(ME, (uint8_t *)large.base + 5 * P).LargePage);
}

TEST(E_an_array_that_ends_in_nothing)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	uint8_t *gone = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SIZE_T ret = 0x1234;

	ASSERT_NE(NULL, p);
	ASSERT_NE(MAP_FAILED, gone);
	ASSERT_EQ(0, munmap(gone + 3 * P, P));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      query(ME, NULL, MemoryWorkingSetExInformation, gone, 4 * P, &ret));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      query(ME, NULL, MemoryWorkingSetExInformation, gone, ~0ul, &ret));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      query(ME, NULL, MemoryWorkingSetExInformation, gone, LARGE, &ret));
	/* A hole in the middle. */
	ASSERT_EQ(gone + 3 * P, mmap(gone + 3 * P, P, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(0, munmap(gone + P, P));
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      query(ME, NULL, MemoryWorkingSetExInformation, gone, 4 * P, &ret));
	EXPECT_EQ(0x1234, ret);
}

/* --- images and names --------------------------------------------------------------- */

TEST(O1_only_an_image_has_image_information)
{
	MEMORY_IMAGE_INFORMATION info;
	uint8_t *p = reserve(SIZE);
	uint8_t *s = mmap(NULL, P, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const void *none[] = { p, p + 0x1234, s };
	uint8_t buf[64];
	SIZE_T ret = 0;
	size_t i;

	ASSERT_NE(NULL, p);
	ASSERT_NE(MAP_FAILED, s);
	EXPECT_EQ(3 * sizeof(PVOID), sizeof(info));
	for (i = 0; i < ARRAY_SIZE(none); i++) {
		memset(buf, 0xa5, sizeof(buf));
		EXPECT_STATUS(STATUS_SUCCESS, query(ME, none[i], MemoryImageInformation, buf,
						    sizeof(buf), &ret));
		EXPECT_EQ(sizeof(info), ret);
		memcpy(&info, buf, sizeof(info));
		EXPECT_EQ(NULL, info.ImageBase);
		EXPECT_EQ(0, info.SizeOfImage);
		EXPECT_EQ(0, info.ImageFlags);
		EXPECT_EQ(0xa5, buf[sizeof(info)]);
	}
	EXPECT_STATUS(STATUS_SUCCESS,
		      query(ME, &region_of, MemoryImageInformation, &info, sizeof(info), NULL));
	EXPECT_EQ(region_of(ME, &classes).AllocationBase, info.ImageBase);
	EXPECT_EQ(region_of(ME, &classes).RegionSize, info.SizeOfImage);
	EXPECT_TRUE((uintptr_t)info.ImageBase <= (uintptr_t)&region_of &&
		    (uintptr_t)info.ImageBase + info.SizeOfImage > (uintptr_t)&classes);
	EXPECT_EQ(0, info.ImageFlags);
}

struct name {
	UNICODE_STRING head;
	uint16_t text[4096];
};

/* Whether the answer is @want, in characters that are all ASCII. */
static bool name_is(const struct name *n, const char *want)
{
	size_t i, len = strlen(want);

	if (n->head.Length != 2 * len || n->head.MaximumLength != 2 * len + 2 ||
	    n->head.Buffer != n->text || n->text[len])
		return false;
	for (i = 0; i < len; i++)
		if (n->text[i] != (unsigned char)want[i])
			return false;
	return true;
}

TEST(O2_the_name_of_a_mapped_file)
{
	static struct name n;
	char self[PATH_MAX] = "";
	SIZE_T ret = 0, needed, len;

	ASSERT_LT(0, readlink("/proc/self/exe", self, sizeof(self) - 1));
	needed = sizeof(n.head) + 2 * strlen(self) + 2;
	EXPECT_STATUS(STATUS_SUCCESS, query(ME, &classes, MemoryMappedFilenameInformation, &n,
					    sizeof(n), &ret));
	EXPECT_EQ(needed, ret);
	EXPECT_TRUE(name_is(&n, self));
	/* Just enough, and everything that is not. */
	memset(&n, 0xa5, sizeof(n));
	EXPECT_STATUS(STATUS_SUCCESS, query(ME, &classes, MemoryMappedFilenameInformation, &n,
					    needed, &ret));
	EXPECT_TRUE(name_is(&n, self));
	EXPECT_EQ(0xa5a5, n.text[strlen(self) + 1]);
	for (len = sizeof(n.head); len < needed; len++) {
		memset(&n, 0xa5, sizeof(n));
		ret = 0;
		EXPECT_STATUS(STATUS_BUFFER_OVERFLOW,
			      query(ME, &classes, MemoryMappedFilenameInformation, &n, len, &ret));
		EXPECT_EQ(needed, ret);
		EXPECT_EQ(0xa5a5, n.head.Length);
		EXPECT_EQ(0xa5a5, n.text[0]);
	}
	EXPECT_STATUS(STATUS_BUFFER_OVERFLOW,
		      query(ME, &classes, MemoryMappedFilenameInformation, &n, sizeof(n.head), NULL));
}

/* A page of a file that is new, or NULL. */
static uint8_t *map_new_file(const char *path)
{
	uint8_t *m = MAP_FAILED;
	int fd;

	mkdir("/tmp", 0777);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0 && !ftruncate(fd, P))
		m = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return m == MAP_FAILED ? NULL : m;
}

TEST(O2_names_of_deleted_files_and_of_foreign_letters)
{
	/* U+00E9, U+20AC, U+1F600: one, one and two units. */
	static const char path[] = "/tmp/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 (deleted)";
	static const uint16_t want[] = { '/', 't', 'm', 'p', '/', 0xe9, 0x20ac, 0xd83d, 0xde00 };
	static struct name n;
	uint8_t *m = map_new_file(path);

	ASSERT_NE(NULL, m);
	/* A name that ends like that is not a deleted one. */
	EXPECT_STATUS(STATUS_SUCCESS,
		      query(ME, m, MemoryMappedFilenameInformation, &n, sizeof(n), NULL));
	EXPECT_EQ(sizeof(want) + 2 * strlen(" (deleted)"), n.head.Length);
	EXPECT_EQ(0, memcmp(n.text, want, sizeof(want)));
	ASSERT_EQ(0, unlink(path));
	memset(&n, 0, sizeof(n));
	EXPECT_STATUS(STATUS_SUCCESS,
		      query(ME, m, MemoryMappedFilenameInformation, &n, sizeof(n), NULL));
	EXPECT_EQ(sizeof(want) + 2 * strlen(" (deleted)"), n.head.Length);
	EXPECT_EQ(0, memcmp(n.text, want, sizeof(want)));
}

/* Linux has bytes for a name: each becomes a letter of Latin-1. */
TEST(O2_a_name_that_is_no_UTF_8)
{
	static const char path[] = "/tmp/\xe9\xff\x80";
	static const uint16_t want[] = { '/', 't', 'm', 'p', '/', 0xe9, 0xff, 0x80, 0 };
	static struct name n;
	uint8_t *m = map_new_file(path);

	ASSERT_NE(NULL, m);
	EXPECT_STATUS(STATUS_SUCCESS,
		      query(ME, m, MemoryMappedFilenameInformation, &n, sizeof(n), NULL));
	EXPECT_EQ(sizeof(want) - 2, n.head.Length);
	EXPECT_EQ(0, memcmp(n.text, want, sizeof(want)));
	EXPECT_EQ(0, unlink(path));
}

/* A UNICODE_STRING has 65,534 bytes at most. */
TEST(O2_a_name_that_is_too_long)
{
	static struct name n;
	char step[256] = "";
	SIZE_T ret = 0x1234;
	uint8_t *m;
	int depth;

	memset(step, 'd', sizeof(step) - 1);
	ASSERT_EQ(0, chdir("/tmp"));
	for (depth = 0; depth < 130; depth++) {
		ASSERT_TRUE(!mkdir(step, 0700) || errno == EEXIST);
		ASSERT_EQ(0, chdir(step));
		if (depth != 126 && depth != 129)
			continue;
		/* 127 steps of 256 bytes are 32,512; 130 of them are more than there is room for. */
		m = map_new_file("file");
		ASSERT_NE(NULL, m);
		EXPECT_STATUS(depth == 126 ? STATUS_BUFFER_OVERFLOW : STATUS_NAME_TOO_LONG,
			      query(ME, m, MemoryMappedFilenameInformation, &n, sizeof(n), &ret));
		munmap(m, P);
		EXPECT_EQ(0, unlink("file"));
	}
	EXPECT_EQ(sizeof(n.head) + 2 * (strlen("/tmp") + 127 * 256 + strlen("/file")) + 2, ret);
	for (; depth; depth--) {
		ASSERT_EQ(0, chdir(".."));
		EXPECT_EQ(0, rmdir(step));
	}
}

TEST(O2_what_has_no_file_has_no_name)
{
	static struct name n;
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);
	uint8_t *m = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *s = mmap(NULL, P, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const void *none[] = { p, m, s, (void *)0x1234 };
	SIZE_T ret = 0x1234;
	size_t i;

	ASSERT_NE(NULL, p);
	for (i = 0; i < ARRAY_SIZE(none); i++)
		EXPECT_STATUS(STATUS_INVALID_ADDRESS,
			      query(ME, none[i], MemoryMappedFilenameInformation, &n, sizeof(n),
				    &ret));
	EXPECT_EQ(0x1234, ret);
	EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
		      query(ME, &classes, MemoryMappedFilenameInformation, NULL, sizeof(n), &ret));
}

/* --- the order of errors ------------------------------------------------------------ */

TEST(unknown_classes)
{
	static const ULONG bad[] = { 1, 5, 7, 8, 100, 0x7fffffff, 0x80000000, 0xffffffff };
	SIZE_T ret = 0x1234;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* It wins over everything else. */
		EXPECT_STATUS(STATUS_INVALID_INFO_CLASS,
			      query(NULL, (void *)KERNEL_ADDRESS, bad[i], NULL, 0, &ret));
		EXPECT_STATUS(STATUS_INVALID_INFO_CLASS,
			      query(ME, &ret, bad[i], &(uint64_t){ 0 }, 8, (SIZE_T *)8));
	}
	EXPECT_EQ(0x1234, ret);
}

TEST(the_order_of_errors_of_each_class)
{
	static uint8_t buf[4096], keep[4096];
	uint8_t *ro = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *kernel = (void *)KERNEL_ADDRESS;
	SIZE_T ret = 0x1234;
	HANDLE weak = NULL;
	size_t i, j;

	ASSERT_NE(MAP_FAILED, ro);
	memset(keep, 0xa5, sizeof(keep));
	memset(buf, 0xa5, sizeof(buf));
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_ALL & ~NTVM_ACCESS_QUERY &
						    ~NTVM_ACCESS_QUERY_LIMITED, &weak));
	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		void *bad[] = { NULL, (void *)8, ro, kernel, (void *)~0ul };
		bool ws = classes[i] == MemoryWorkingSetExInformation;

		/* The length, then the buffer, then the variable, then the address. */
		EXPECT_STATUS(STATUS_INFO_LENGTH_MISMATCH,
			      query(NULL, kernel, classes[i], NULL, least[i] - 1, (SIZE_T *)8));
		EXPECT_STATUS(STATUS_INFO_LENGTH_MISMATCH,
			      query(NULL, kernel, classes[i], NULL, 0, (SIZE_T *)8));
		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
				      query(NULL, kernel, classes[i], bad[j], least[i], &ret));
			if (bad[j])
				EXPECT_STATUS(STATUS_ACCESS_VIOLATION,
					      query(NULL, kernel, classes[i], buf, sizeof(buf),
						    bad[j]));
		}
		EXPECT_STATUS(ws ? STATUS_INVALID_HANDLE : STATUS_INVALID_PARAMETER,
			      query(NULL, kernel, classes[i], buf, sizeof(buf), &ret));
		EXPECT_STATUS(ws ? STATUS_INVALID_HANDLE : STATUS_INVALID_PARAMETER,
			      query(NULL, (void *)~0ul, classes[i], buf, sizeof(buf), &ret));
		EXPECT_STATUS(STATUS_INVALID_HANDLE,
			      query(NULL, NULL, classes[i], buf, sizeof(buf), &ret));
		EXPECT_STATUS(STATUS_OBJECT_TYPE_MISMATCH,
			      query(LibntFdToHandle(0), NULL, classes[i], buf, sizeof(buf), &ret));
		EXPECT_STATUS(STATUS_ACCESS_DENIED,
			      query(weak, NULL, classes[i], buf, sizeof(buf), &ret));
		EXPECT_EQ(0x1234, ret);
		EXPECT_EQ(0, memcmp(buf, keep, sizeof(buf)));
	}
	NtClose(weak);
}

/* --- another process ------------------------------------------------------------------ */

static int sleeper(int sock, void *arg)
{
	uint8_t *p = reserve(SIZE);
	uint64_t word;

	(void)arg;
	if (!p || commit(p, 4 * P, PAGE_READWRITE))
		return 1;
	p[0] = 1;
	p[2 * P] = 1;
	if (!send_fd(sock, own_device()) || !child_tell(sock, (uintptr_t)p) ||
	    !child_tell(sock, (uintptr_t)&word))
		return 2;
	child_hear(sock, &word);
	return 0;
}

TEST(another_process_answers_all_classes)
{
	MEMORY_IMAGE_INFORMATION image;
	static struct name n;
	uint64_t told, stack;
	uint8_t *p;
	struct child c;
	char self[PATH_MAX] = "";
	HANDLE h;
	WSX e[6];
	int i;

	ASSERT_TRUE(child_start(&c, sleeper, NULL));
	h = LibntFdToHandle(recv_fd(c.sock));
	ASSERT_TRUE(child_hear(c.sock, &told) && child_hear(c.sock, &stack));
	p = pointer_of(told);
	EXPECT_REGION(h, p + P, p, PAGE_READWRITE, SIZE, 4 * P);
	for (i = 0; i < 5; i++)
		e[i].VirtualAddress = p + i * P;
	e[5].VirtualAddress = pointer_of(stack);
	EXPECT_STATUS(STATUS_SUCCESS,
		      query(h, NULL, MemoryWorkingSetExInformation, e, sizeof(e), NULL));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(i == 0 || i == 2 ? 1 | PAGE_READWRITE << 4 : 0, e[i].u1.Long);
	EXPECT_EQ(1, +e[5].u1.VirtualAttributes.Valid);
	EXPECT_STATUS(STATUS_SUCCESS,
		      query(h, &region_of, MemoryImageInformation, &image, sizeof(image), NULL));
	EXPECT_NE(NULL, image.ImageBase);
	ASSERT_LT(0, readlink("/proc/self/exe", self, sizeof(self) - 1));
	EXPECT_STATUS(STATUS_SUCCESS,
		      query(h, &classes, MemoryMappedFilenameInformation, &n, sizeof(n), NULL));
	EXPECT_TRUE(name_is(&n, self));
	/* Asking has touched nothing. */
	EXPECT_EQ(0, bits(ws_of(h, p + P)));
	child_tell(c.sock, 0);
	EXPECT_EQ(0, child_wait(&c));
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING,
		      query(h, NULL, MemoryWorkingSetExInformation, e, sizeof(e), NULL));
	EXPECT_STATUS(STATUS_PROCESS_IS_TERMINATING,
		      query(h, &classes, MemoryMappedFilenameInformation, &n, sizeof(n), NULL));
	NtClose(h);
}

/* --- no answer is half one state and half another -------------------------------------- */

/* Three leaves of the table, both ends in the middle of one. */
#define FLIP		(1300 * P)
#define FLIP_OFFSET	(300 * P)

struct flip {
	uint8_t *region;
	bool commits;
	bool stop;
	unsigned long flips;
	unsigned long bad;
};

static void *flipper(void *arg)
{
	struct flip *f = arg;
	uint8_t *p = f->region + FLIP_OFFSET;
	int on = 0;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		NTSTATUS s;

		if (f->commits)
			s = on ? decommit(p, FLIP) : commit(p, FLIP, PAGE_READWRITE);
		else
			s = protect(p, FLIP, on ? PAGE_READONLY : PAGE_READWRITE);
		f->bad += s != STATUS_SUCCESS;
		on = !on;
		f->flips++;
	}
	return NULL;
}

/*
 * Asks from the first page, from the middle and from the region while the whole
 * range is flipped. Counts each state that was seen and what was neither.
 */
static void watch_flips(struct flip *f, double seconds, unsigned long seen[2],
			unsigned long *mixed, unsigned long *asked)
{
	static const size_t at[] = { 0, 211 * P, 212 * P, 724 * P, FLIP - P };
	double until = now() + seconds;
	MEMORY_REGION_INFORMATION r;
	struct query q;
	size_t i, rest;
	int state;

	while (now() < until || seen[0] <= 100 || seen[1] <= 100) {
		for (i = 0; i < ARRAY_SIZE(at); i++) {
			q = do_query(ME, (uintptr_t)f->region + FLIP_OFFSET + at[i]);
			rest = FLIP - at[i];
			++*asked;
			if (f->commits)
				state = q.mbi.State == MEM_COMMIT;
			else
				state = q.mbi.Protect == PAGE_READWRITE;
			/* Reserved, the range runs on into the reserved rest of the region. */
			if (f->commits && !state)
				rest = 4096 * P - FLIP_OFFSET - at[i];
			if (q.status || q.mbi.RegionSize != rest)
				++*mixed;
			else
				seen[state]++;
		}
		r = region_of(ME, f->region);
		++*asked;
		if (f->commits && r.CommitSize != 0 && r.CommitSize != FLIP)
			++*mixed;
		if (!f->commits && r.CommitSize != FLIP)
			++*mixed;
	}
}

static void flip_test(struct __test_metadata *_metadata, bool commits)
{
	unsigned long seen[2] = { 0 }, mixed = 0, asked = 0;
	struct flip f = { .commits = commits };
	pthread_t thread;
	cpu_set_t all;

	CPU_ZERO(&all);
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	f.region = reserve(4096 * P);
	ASSERT_NE(NULL, f.region);
	if (!commits)
		ASSERT_STATUS(STATUS_SUCCESS, commit(f.region + FLIP_OFFSET, FLIP, PAGE_READONLY));
	ASSERT_EQ(0, pthread_create(&thread, NULL, flipper, &f));
	watch_flips(&f, 4, seen, &mixed, &asked);
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	TH_LOG("%d CPUs: %lu flips, %lu answers, %lu and %lu of either state", CPU_COUNT(&all),
	       f.flips, asked, seen[0], seen[1]);
	EXPECT_EQ(0, mixed);
	EXPECT_EQ(0, f.bad);
	/* Both states were there to be mixed up. */
	EXPECT_LT(100, f.flips);
	EXPECT_LT(100, seen[0]);
	EXPECT_LT(100, seen[1]);
}

TEST(no_answer_sees_half_a_commit_or_decommit)
{
	flip_test(_metadata, true);
}

TEST(no_answer_sees_half_a_change_of_protection)
{
	flip_test(_metadata, false);
}

TEST_HARNESS_MAIN
