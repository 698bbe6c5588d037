// SPDX-License-Identifier: GPL-2.0-only
/*
 * Core dumps: they hold what a program has stored, they leave out what it has
 * only reserved, and how long they take depends on the first alone. NTVM_CORE_GIB
 * (64) is what is reserved, NTVM_CORE_MIB (20) what is stored.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <elf.h>
#include <link.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	150

#define RW	PAGE_READWRITE

static size_t number(const char *name, size_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static size_t reserved(void)
{
#ifdef _LP64
	return number("NTVM_CORE_GIB", 64) * GIB;
#else
	return GIB;
#endif
}

static size_t stored(void)
{
	return number("NTVM_CORE_MIB", 20) * MIB;
}

/* --- reading a core -------------------------------------------------------------------- */

struct core {
	int fd;
	size_t nr;
	ElfW(Phdr) *seg;
};

static bool core_open(struct core *c, const char *path)
{
	ElfW(Ehdr) h;
	ElfW(Shdr) extra;

	c->seg = NULL;
	c->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0 || pread(c->fd, &h, sizeof(h), 0) != sizeof(h) ||
	    memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_type != ET_CORE ||
	    h.e_phentsize != sizeof(*c->seg))
		return false;
	c->nr = h.e_phnum;
	if (c->nr == PN_XNUM) {
		if (pread(c->fd, &extra, sizeof(extra), h.e_shoff) != sizeof(extra))
			return false;
		c->nr = extra.sh_info;
	}
	c->seg = calloc(c->nr, sizeof(*c->seg));
	return c->seg && pread(c->fd, c->seg, c->nr * sizeof(*c->seg), h.e_phoff) ==
			 (ssize_t)(c->nr * sizeof(*c->seg));
}

/* A page as the core has it: 1 with its bytes, 0 if it has none, -1: no such address. */
static int core_page(const struct core *c, uintptr_t addr, uint8_t *page)
{
	size_t i;

	for (i = 0; i < c->nr; i++) {
		const ElfW(Phdr) *s = &c->seg[i];

		if (s->p_type != PT_LOAD || addr < s->p_vaddr || addr >= s->p_vaddr + s->p_memsz)
			continue;
		if (addr + P > s->p_vaddr + s->p_filesz)
			return 0;
		return pread(c->fd, page, P, s->p_offset + (addr - s->p_vaddr)) == (ssize_t)P ?
		       1 : -1;
	}
	return -1;
}

static bool all(const uint8_t *page, uint8_t value)
{
	return page[0] == value && !memcmp(page, page + 1, P - 1);
}

/* Do the program headers cover a range without a gap and an overlap? */
static bool core_covers(const struct core *c, uintptr_t from, uintptr_t to)
{
	size_t i;

	for (i = 0; i < c->nr && from < to; i++) {
		const ElfW(Phdr) *s = &c->seg[i];

		if (s->p_type == PT_LOAD && s->p_vaddr <= from && from < s->p_vaddr + s->p_memsz) {
			if (s->p_vaddr != from)
				return false;
			from += s->p_memsz;
		}
	}
	return from == to;
}

static void core_close(struct core *c)
{
	close(c->fd);
	free(c->seg);
}

/* --- making one --------------------------------------------------------------------------- */

FIXTURE(core)
{
	char dir[32], path[64], saved[256], uses_pid[16];
	struct child child;
	double seconds;
};

FIXTURE_SETUP(core)
{
	strcpy(self->dir, "/tmp/ntvm-core-XXXXXX");
	mkdir("/tmp", 01777);
	ASSERT_NE(NULL, mkdtemp(self->dir));
	ASSERT_EQ(0, chdir(self->dir));
	snprintf(self->path, sizeof(self->path), "%s/core", self->dir);
	memset(self->saved, 0, sizeof(self->saved));
	ASSERT_LT(0, read_file("/proc/sys/kernel/core_pattern", self->saved,
			       sizeof(self->saved)));
	read_file("/proc/sys/kernel/core_uses_pid", self->uses_pid, sizeof(self->uses_pid));
	ASSERT_EQ(0, write_file("/proc/sys/kernel/core_pattern", "core\n"));
	write_file("/proc/sys/kernel/core_uses_pid", "0\n");
}

FIXTURE_TEARDOWN(core)
{
	EXPECT_EQ(0, write_file("/proc/sys/kernel/core_pattern", self->saved));
	write_file("/proc/sys/kernel/core_uses_pid", self->uses_pid);
	unlink(self->path);
	EXPECT_EQ(0, chdir("/"));
	EXPECT_EQ(0, rmdir(self->dir));
}

/* Tells where, and dies of it. */
static int dump(int sock, uintptr_t where)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	uint64_t word;

	child_tell(sock, where);
	child_hear(sock, &word);
	setrlimit(RLIMIT_CORE, &unlimited);
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* Returns where, with the core open; 0 on failure. */
static uintptr_t core_of(struct child *child, const char *path, struct core *c, double *seconds,
			 int (*fn)(int sock, void *arg), void *arg)
{
	uint64_t where;

	if (!child_start(child, fn, arg) || !child_hear(child->sock, &where))
		return 0;
	*seconds = now();
	child_tell(child->sock, 1);
	if (child_wait(child) != 128 + SIGABRT)
		return 0;
	*seconds = now() - *seconds;
	return core_open(c, path) ? where : 0;
}

#define DUMP(c, fn, arg) ({						\
	uintptr_t __where = core_of(&self->child, self->path, c, &self->seconds, fn, arg); \
	ASSERT_NE(0, __where);						\
	__where;							\
})

/* --- the claims --------------------------------------------------------------------------- */

#define BLOCK	(256 * KIB)

static size_t blocks(void)
{
	return stored() / BLOCK;
}

static size_t stride(void)
{
	return (reserved() / blocks()) & ~(P - 1);
}

static int little_of_much(int sock, void *arg)
{
	uint8_t *p = reserve(reserved());
	size_t i;

	(void)arg;
	for (i = 0; i < blocks(); i++) {
		if (!p || commit(p + i * stride(), BLOCK, RW))
			return 1;
		memset(p + i * stride(), i + 1, BLOCK);
	}
	return dump(sock, (uintptr_t)p);
}

TEST_F(core, much_reserved_and_little_stored)
{
	size_t i, j, bad = 0;
	uint8_t page[P];
	struct core c;
	struct stat st;
	uintptr_t p = DUMP(&c, little_of_much, NULL);

	TH_LOG("%zu GiB reserved, %zu MiB stored: %.1f s", (size_t)(reserved() / GIB),
	       (size_t)(stored() / MIB),
	       self->seconds);
	EXPECT_GT(30.0 * slow(), self->seconds);
	for (i = 0; i < blocks(); i++) {
		for (j = 0; j < BLOCK; j += P)
			bad += core_page(&c, p + i * stride() + j, page) != 1 ||
			       !all(page, i + 1);
		/* Behind a block there is nothing but addresses. */
		bad += core_page(&c, p + i * stride() + BLOCK + 32 * P, page) != 0;
	}
	EXPECT_EQ(0, bad);
	EXPECT_TRUE(core_covers(&c, p, p + reserved()));
	/* The program's own memory is a few MiB. */
	ASSERT_EQ(0, fstat(c.fd, &st));
	EXPECT_LT((off_t)stored(), st.st_size);
	EXPECT_GT((off_t)(stored() + stored() / 2 + 32 * MIB), st.st_size);
	core_close(&c);
}

static int page_kinds(int sock, void *arg)
{
	uint8_t *p = reserve(16 * MIB);
	int i;

	(void)arg;
	if (!p || commit(p, MIB, RW))
		return 1;
	for (i = 0; i < 16; i++)
		memset(p + i * P, 0x10 + i, P);
	if (protect(p + P, P, PAGE_READONLY) || protect(p + 2 * P, P, PAGE_NOACCESS) ||
	    protect(p + 3 * P, P, RW | PAGE_GUARD) || protect(p + 4 * P, P, PAGE_EXECUTE_READ) ||
	    decommit(p + 5 * P, P))
		return 2;
	/* Locked on disk or in memory makes no difference to what a page holds. */
	madvise(p + 8 * P, P, MADV_DONTNEED);
	return dump(sock, (uintptr_t)p);
}

TEST_F(core, what_each_kind_of_page_is_in_it)
{
	uint8_t page[P];
	struct core c;
	uintptr_t p = DUMP(&c, page_kinds, NULL);
	int i;

	for (i = 0; i < 16; i++) {
		/* What the program could not have read is not there to be read. */
		bool hidden = i == 2 || i == 3 || i == 5;
		int is = core_page(&c, p + i * P, page);

		EXPECT_TRUE(is == 1 ? all(page, hidden ? 0 : 0x10 + i) : hidden && !is) {
			TH_LOG("page %d: %d, %#x", i, is, page[0]);
		}
	}
	EXPECT_EQ(0, core_page(&c, p + MIB, page));
	core_close(&c);
}

static int advised(int sock, void *arg)
{
	uint8_t *p = reserve_commit(16 * MIB, RW), *q = reserve_commit(MIB, RW);

	(void)arg;
	if (!p || !q)
		return 1;
	memset(p, 0x77, 16 * MIB);
	memset(q, 0x78, MIB);
	if (madvise(p, 16 * MIB, MADV_DONTDUMP))
		return 2;
	/* Its VMA is made anew, twice. */
	if (protect(p + MIB, P, PAGE_EXECUTE_READ) || protect(p + MIB, P, RW))
		return 3;
	if (protect(p + 2 * MIB, P, PAGE_EXECUTE_READ))
		return 4;
	*(uintptr_t *)q = (uintptr_t)p;
	return dump(sock, (uintptr_t)q);
}

TEST_F(core, what_was_advised_to_be_left_out_is_left_out)
{
	uint8_t page[P];
	struct core c;
	uintptr_t q = DUMP(&c, advised, NULL), p;
	size_t i, there = 0;

	ASSERT_EQ(1, core_page(&c, q, page));
	memcpy(&p, page, sizeof(p));
	EXPECT_EQ(1, core_page(&c, q + P, page));
	EXPECT_TRUE(all(page, 0x78));
	for (i = 0; i < 16 * MIB; i += P)
		there += core_page(&c, p + i, page) == 1;
	EXPECT_EQ(0, there);
	core_close(&c);
}

/* More pieces than a dump is made of. */
#define SCATTERED	17000
#define APART		(17 * P)

static int scattered(int sock, void *arg)
{
	uint8_t *p = reserve(SCATTERED * APART);
	size_t i;

	(void)arg;
	for (i = 0; i < SCATTERED; i++) {
		if (!p || commit(p + i * APART, P, RW))
			return 1;
		memset(p + i * APART, i % 251 + 1, P);
	}
	return dump(sock, (uintptr_t)p);
}

TEST_F(core, very_many_fragments)
{
	uint8_t page[P];
	struct core c;
	uintptr_t p = DUMP(&c, scattered, NULL);
	size_t i, bad = 0;

	EXPECT_GT(40000, c.nr);
	for (i = 0; i < SCATTERED; i += 7)
		bad += core_page(&c, p + i * APART, page) != 1 || !all(page, i % 251 + 1);
	EXPECT_EQ(0, bad);
	EXPECT_TRUE(core_covers(&c, p, p + SCATTERED * APART));
	core_close(&c);
}

static int untouched(int sock, void *arg)
{
	uint8_t *p = reserve_commit(512 * MIB, RW);

	(void)arg;
	if (!p)
		return 1;
	p[0] = 1;
	p[8 * P] = 2;
	return dump(sock, (uintptr_t)p);
}

TEST_F(core, committed_pages_that_were_never_touched_stay_so)
{
	uint8_t page[P];
	struct core c;
	struct stat st;
	uintptr_t p = DUMP(&c, untouched, NULL);

	EXPECT_EQ(1, core_page(&c, p, page));
	EXPECT_EQ(1, page[0]);
	EXPECT_EQ(1, core_page(&c, p + 8 * P, page));
	EXPECT_EQ(2, page[0]);
	/* Between them a hole, behind them nothing. */
	EXPECT_EQ(1, core_page(&c, p + P, page));
	EXPECT_TRUE(all(page, 0));
	EXPECT_EQ(0, core_page(&c, p + 256 * MIB, page));
	ASSERT_EQ(0, fstat(c.fd, &st));
	EXPECT_GT((off_t)(32 * MIB), st.st_size);
	core_close(&c);
}

static int grandchild(int sock, void *arg)
{
	uint8_t *p = reserve_commit(MIB, RW), *own;
	pid_t pid;
	int status;

	(void)arg;
	if (!p)
		return 1;
	memset(p, 0x66, MIB);
	madvise(p, MIB, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		own = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(own, 0x55, P);
		memcpy(own, &p, sizeof(p));
		dump(sock, (uintptr_t)own);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		return 2;
	/* As if it had been its own end. */
	raise(SIGKILL);
	return 3;
}

TEST_F(core, a_fork_child_dumps_its_own_memory_and_none_of_its_parents)
{
	uint8_t page[P];
	struct core c;
	uint64_t where;
	uintptr_t p;
	size_t i, seen = 0;

	ASSERT_TRUE(child_start(&self->child, grandchild, NULL));
	ASSERT_TRUE(child_hear(self->child.sock, &where));
	child_tell(self->child.sock, 1);
	EXPECT_EQ(128 + SIGKILL, child_wait(&self->child));
	ASSERT_TRUE(core_open(&c, self->path));
	ASSERT_EQ(1, core_page(&c, where, page));
	EXPECT_EQ(0x55, page[P - 1]);
	memcpy(&p, page, sizeof(p));
	for (i = 0; i < MIB; i += P)
		seen += core_page(&c, p + i, page) == 1 && page[1] == 0x66;
	EXPECT_EQ(0, seen);
	core_close(&c);
}

TEST_HARNESS_MAIN
