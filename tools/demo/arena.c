// SPDX-License-Identifier: GPL-2.0-only
/*
 * A malloc over one NT reservation; arena.h says what for.
 *
 * The reservation begins with a table of one struct page per page, committed
 * as the arena grows; the pages themselves follow. Pages are handed out in
 * runs. A run is
 *
 *   clean	free and reserved only: it costs nothing
 *   dirty	free and still committed, kept back so that a program which frees
 *		and allocates in turn does not pay two calls each time
 *   large	one block of more than SMALL_MAX bytes
 *   slab	SLAB_PAGES pages cut into blocks of one size class
 *
 * Neighbouring free runs of the same kind are always merged. When more than
 * KEEP_PAGES pages are dirty, the longest dirty runs are decommitted and become
 * clean.
 *
 * The free blocks of a slab of small blocks are chained through their first
 * word. A slab of coarse blocks has a bitmap instead, so that the pages that no
 * block needs can be decommitted one by one as soon as half of the slab is
 * free. That is the part that mprotect could not do: each such hole would be
 * two VMAs more.
 */
#include "arena.h"

#include <libnt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PAGE_SHIFT	12
#define PAGE_BYTES	((size_t)1 << PAGE_SHIFT)
#define SLAB_PAGES	16u
#define SLAB_BYTES	(SLAB_PAGES * PAGE_BYTES)
#define TABLE_STEP	((size_t)64 << 10)	/* how the table is committed */
#define KEEP_PAGES	256u			/* 1 MiB may stay dirty */
#define KEEP_IDLE	4	/* pages of a coarse slab */
#define QUANTUM		16u			/* alignment of every block */
#define SMALL_MAX	16384u
#define COARSE_MIN	2048u	/* from here on a slab has at most 32 blocks */
#define MAX_CLASSES	128u
#define BINS		32u
#define BIN_SEARCH	64u			/* runs looked at for the best fit */
#define NONE		UINT32_MAX

enum kind { UNUSED, CLEAN, DIRTY, LARGE, SLAB };

struct page {
	uint32_t run;	/* first and last page of a run: its length; inside a slab: its first page */
	uint32_t prev;	/* free runs: the bin's list; slabs with room: the class's list */
	uint32_t next;
	union {
		struct {
			uint16_t fresh;	/* slab: blocks never handed out begin here */
			uint16_t chain;	/* slab: first freed block + 1, 0 for none */
		};
		uint32_t live;		/* coarse slab: bitmap of the blocks handed out */
	};
	uint16_t used;	/* slab: blocks handed out */
	uint16_t holes;	/* coarse slab: bitmap of the decommitted pages */
	uint8_t kind;
	uint8_t class;	/* slab: which */
};

static struct {
	pthread_mutex_t lock;
	char *base;		/* of the reservation, and of the table */
	size_t bytes;
	struct page *table;
	char *pages;		/* where page 0 is */
	uint32_t count;		/* pages there could be */
	uint32_t top;		/* pages ever handed out: beyond is untouched */
	size_t table_bytes;	/* committed of the table */
	uint32_t clean[BINS], dirty[BINS];
	uint32_t dirty_pages;
	uint32_t slabs[MAX_CLASSES];	/* with room */
	uint32_t class_size[MAX_CLASSES];
	uint32_t classes;
	uint8_t class_of[SMALL_MAX / QUANTUM + 1];
	struct arena_stats stats;
} a = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- size classes ----------------------------------------------------------- */

static void classes_init(void)
{
	uint32_t size, n, class = 0, step = QUANTUM;

	for (size = QUANTUM; size <= 1024; size += step) {
		a.class_size[class++] = size;
		if (size >= 256 && !(size & (size - 1)))
			step = size / 8;
	}
	/* From here on the largest size of which n fit into a slab. */
	for (n = SLAB_BYTES / 1024 - 1; n >= SLAB_BYTES / SMALL_MAX; n--) {
		size = SLAB_BYTES / n & ~(QUANTUM - 1);
		/* Finer steps save less than they cost in half-used slabs. */
		if (size - a.class_size[class - 1] >= size / 32)
			a.class_size[class++] = size;
	}
	if (a.class_size[class - 1] != SMALL_MAX)
		a.class_size[class++] = SMALL_MAX;
	a.classes = class;

	for (size = 0, class = 0; size <= SMALL_MAX; size += QUANTUM) {
		if (size > a.class_size[class])
			class++;
		a.class_of[size / QUANTUM] = class;
	}
}

static uint32_t class_for(size_t size)
{
	return a.class_of[(size + QUANTUM - 1) / QUANTUM];
}

static size_t large_pages(size_t size)
{
	return (size + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

size_t arena_round(size_t size)
{
	if (size <= SMALL_MAX)
		return a.class_size[class_for(size)];
	return large_pages(size) << PAGE_SHIFT;
}

/* --- the NT calls ------------------------------------------------------------ */

static bool failed(const char *what, NTSTATUS status)
{
	if (NT_SUCCESS(status))
		return false;
	if (!a.stats.error) {
		a.stats.error = what;
		a.stats.status = status;
	}
	return true;
}

static bool commit(void *addr, size_t len)
{
	PVOID base = addr;
	SIZE_T size = len;

	if (failed("commit", NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size,
						     MEM_COMMIT, PAGE_READWRITE)))
		return false;
	a.stats.commits++;
	a.stats.committed += len;
	if (a.stats.committed > a.stats.peak)
		a.stats.peak = a.stats.committed;
	return true;
}

static bool decommit(void *addr, size_t len)
{
	PVOID base = addr;
	SIZE_T size = len;

	if (failed("decommit", NtFreeVirtualMemory(NtCurrentProcess(), &base, &size,
						   MEM_DECOMMIT)))
		return false;
	a.stats.decommits++;
	a.stats.committed -= len;
	return true;
}

/* --- runs of pages ------------------------------------------------------------ */

static char *page_addr(uint32_t page)
{
	return a.pages + ((size_t)page << PAGE_SHIFT);
}

static uint32_t page_index(const void *p)
{
	return ((const char *)p - a.pages) >> PAGE_SHIFT;
}

static void list_add(uint32_t *head, uint32_t page)
{
	a.table[page].prev = NONE;
	a.table[page].next = *head;
	if (*head != NONE)
		a.table[*head].prev = page;
	*head = page;
}

static void list_del(uint32_t *head, uint32_t page)
{
	struct page *p = &a.table[page];

	if (p->prev != NONE)
		a.table[p->prev].next = p->next;
	else
		*head = p->next;
	if (p->next != NONE)
		a.table[p->next].prev = p->prev;
}

static uint32_t *bin_of(enum kind kind, uint32_t len)
{
	return &(kind == DIRTY ? a.dirty : a.clean)[31 - __builtin_clz(len)];
}

/* The first and the last page tell the length and the kind, to merge from both sides. */
static void run_set(uint32_t page, uint32_t len, enum kind kind)
{
	a.table[page].run = len;
	a.table[page].kind = kind;
	a.table[page + len - 1].run = len;
	a.table[page + len - 1].kind = kind;
}

static void run_unlink(uint32_t page)
{
	struct page *p = &a.table[page];

	list_del(bin_of(p->kind, p->run), page);
	if (p->kind == DIRTY)
		a.dirty_pages -= p->run;
}

static void run_insert(uint32_t page, uint32_t len, enum kind kind)
{
	if (page + len < a.top && a.table[page + len].kind == kind) {
		run_unlink(page + len);
		len += a.table[page + len].run;
	}
	if (page > 0 && a.table[page - 1].kind == kind) {
		uint32_t before = a.table[page - 1].run;

		page -= before;
		run_unlink(page);
		len += before;
	}
	run_set(page, len, kind);
	list_add(bin_of(kind, len), page);
	if (kind == DIRTY)
		a.dirty_pages += len;
}

/* The shortest of the first few fitting runs of the lowest bin that has one. */
static uint32_t run_find(enum kind kind, uint32_t len)
{
	uint32_t *bin = bin_of(kind, len);
	uint32_t *end = (kind == DIRTY ? a.dirty : a.clean) + BINS;
	uint32_t best = NONE, page, tries;

	for (; bin < end && best == NONE; bin++)
		for (page = *bin, tries = BIN_SEARCH; page != NONE && tries; tries--) {
			uint32_t have = a.table[page].run;

			if (have >= len && (best == NONE || have < a.table[best].run))
				best = page;
			if (have == len)
				break;
			page = a.table[page].next;
		}
	return best;
}

/* Room for @len more pages above the top, with their part of the table. */
static uint32_t run_grow(uint32_t len)
{
	size_t need = ((size_t)a.top + len) * sizeof(struct page);
	uint32_t page = a.top;

	if (len > a.count - a.top)
		return NONE;
	if (need > a.table_bytes) {
		size_t more = (need - a.table_bytes + TABLE_STEP - 1) & ~(TABLE_STEP - 1);

		if (!commit((char *)a.table + a.table_bytes, more))
			return NONE;
		a.table_bytes += more;
	}
	a.top += len;
	return page;
}

/* A committed run of exactly @len pages; the caller sets its kind. */
static uint32_t run_alloc(uint32_t len)
{
	enum kind kind = DIRTY;
	uint32_t page, have;

	page = run_find(DIRTY, len);
	if (page == NONE) {
		kind = CLEAN;
		page = run_find(CLEAN, len);
	}
	if (page == NONE) {
		page = run_grow(len);
		if (page == NONE)
			return NONE;
		have = len;
	} else {
		have = a.table[page].run;
		run_unlink(page);
	}
	run_set(page, len, UNUSED);
	if (have > len)
		run_insert(page + len, have - len, kind);
	if (kind == CLEAN && !commit(page_addr(page), (size_t)len << PAGE_SHIFT)) {
		run_insert(page, len, CLEAN);
		return NONE;
	}
	return page;
}

static void purge(uint32_t keep)
{
	int bin;

	for (bin = BINS - 1; bin >= 0; bin--)
		while (a.dirty_pages > keep && a.dirty[bin] != NONE) {
			uint32_t page = a.dirty[bin], len = a.table[page].run;

			if (!decommit(page_addr(page), (size_t)len << PAGE_SHIFT))
				return;
			run_unlink(page);
			run_set(page, len, UNUSED);
			run_insert(page, len, CLEAN);
		}
}

static void run_free(uint32_t page, uint32_t len)
{
	run_set(page, len, UNUSED);
	run_insert(page, len, DIRTY);
	if (a.dirty_pages > KEEP_PAGES)
		purge(KEEP_PAGES / 2);
}

/* --- blocks --------------------------------------------------------------------- */

static uint16_t slab_blocks(uint32_t class)
{
	return SLAB_BYTES / a.class_size[class];
}

static bool slab_full(const struct page *slab)
{
	return slab->used == slab_blocks(slab->class);
}

static bool coarse(const struct page *slab)
{
	return a.class_size[slab->class] >= COARSE_MIN;
}

/* The pages, as a bitmap, that a block of a coarse slab lies in. */
static uint32_t block_pages(uint32_t class, uint32_t block)
{
	uint32_t first = block * a.class_size[class] >> PAGE_SHIFT;
	uint32_t last = ((block + 1) * a.class_size[class] - 1) >> PAGE_SHIFT;

	return (2u << last) - (1u << first);
}

/* A free block, if possible one whose pages are committed, and its pages. */
static uint32_t coarse_take(uint32_t head, struct page *slab)
{
	uint32_t blocks = slab_blocks(slab->class), block, best = NONE, pages, first, last;

	for (block = 0; block < blocks; block++) {
		if (slab->live & 1u << block)
			continue;
		if (best == NONE)
			best = block;
		if (!(slab->holes & block_pages(slab->class, block))) {
			best = block;
			break;
		}
	}
	pages = block_pages(slab->class, best);
	if (slab->holes & pages) {
		first = __builtin_ctz(slab->holes & pages);
		last = 31 - __builtin_clz(slab->holes & pages);
		/* What is committed between two holes stays as it is. */
		if (!commit(page_addr(head + first), (size_t)(last - first + 1) << PAGE_SHIFT))
			return NONE;
		pages = (2u << last) - (1u << first);
		a.stats.committed -= (size_t)__builtin_popcount(pages & ~slab->holes) << PAGE_SHIFT;
		slab->holes &= ~pages;
	}
	slab->live |= 1u << best;
	return best;
}

/* Decommit the pages of a coarse slab that no block lies in. */
static void coarse_punch(uint32_t head, struct page *slab)
{
	uint32_t live = slab->live, idle = (1u << SLAB_PAGES) - 1, first, len;

	for (; live; live &= live - 1)
		idle &= ~block_pages(slab->class, __builtin_ctz(live));
	idle &= ~slab->holes;
	/* A few stay, or a block that comes and goes would cost two calls each time. */
	if (__builtin_popcount(idle) < KEEP_IDLE)
		return;
	while (idle) {
		first = __builtin_ctz(idle);
		len = __builtin_ctz(~(idle >> first));
		if (!decommit(page_addr(head + first), (size_t)len << PAGE_SHIFT))
			return;
		a.stats.holes += len;
		slab->holes |= ((1u << len) - 1) << first;
		idle &= ~slab->holes;
	}
}

static void *small_alloc(uint32_t class)
{
	uint32_t head = a.slabs[class], block, i;
	struct page *slab;
	char *p;

	if (head == NONE) {
		head = run_alloc(SLAB_PAGES);
		if (head == NONE)
			return NULL;
		for (i = 0; i < SLAB_PAGES; i++) {
			a.table[head + i].kind = SLAB;
			a.table[head + i].run = head;
		}
		slab = &a.table[head];
		slab->class = class;
		slab->used = slab->holes = 0;
		slab->live = 0;		/* and so fresh and chain */
		list_add(&a.slabs[class], head);
	}
	slab = &a.table[head];
	if (coarse(slab)) {
		block = coarse_take(head, slab);
		if (block == NONE)
			return NULL;
		p = page_addr(head) + (size_t)block * a.class_size[class];
	} else if (slab->chain) {
		block = slab->chain - 1;
		p = page_addr(head) + (size_t)block * a.class_size[class];
		memcpy(&slab->chain, p, sizeof(slab->chain));
	} else {
		block = slab->fresh++;
		p = page_addr(head) + (size_t)block * a.class_size[class];
	}
	slab->used++;
	if (slab_full(slab))
		list_del(&a.slabs[class], head);
	return p;
}

static void slab_release(uint32_t head, struct page *slab)
{
	size_t holes = (size_t)__builtin_popcount(slab->holes) << PAGE_SHIFT;
	uint32_t i;

	list_del(&a.slabs[slab->class], head);
	for (i = 0; i < SLAB_PAGES; i++)
		a.table[head + i].kind = UNUSED;
	if (!holes) {
		run_free(head, SLAB_PAGES);
		return;
	}
	/* It is half gone already: no use in keeping the rest. */
	if (decommit(page_addr(head), SLAB_BYTES))
		a.stats.committed += holes;
	run_set(head, SLAB_PAGES, UNUSED);
	run_insert(head, SLAB_PAGES, CLEAN);
}

static void small_free(uint32_t head, void *p)
{
	struct page *slab = &a.table[head];
	uint32_t class = slab->class, block = ((char *)p - page_addr(head)) / a.class_size[class];
	bool was_full = slab_full(slab);

	if (coarse(slab)) {
		slab->live &= ~(1u << block);
	} else {
		memcpy(p, &slab->chain, sizeof(slab->chain));
		slab->chain = block + 1;
	}
	slab->used--;
	if (was_full)
		list_add(&a.slabs[class], head);
	if (!slab->used)
		slab_release(head, slab);
	else if (coarse(slab) && slab->used <= slab_blocks(class) / 2)
		coarse_punch(head, slab);
}

static void *large_alloc(size_t size)
{
	size_t len = large_pages(size);
	uint32_t page;

	if (len > a.count)
		return NULL;
	page = run_alloc(len);
	if (page == NONE)
		return NULL;
	run_set(page, len, LARGE);
	return page_addr(page);
}

static size_t block_size(const void *block)
{
	const struct page *p = &a.table[page_index(block)];

	return p->kind == SLAB ? a.class_size[a.table[p->run].class]
			       : (size_t)p->run << PAGE_SHIFT;
}

static void *block_alloc(size_t size)
{
	void *block = size <= SMALL_MAX ? small_alloc(class_for(size)) : large_alloc(size);

	if (block) {
		a.stats.blocks++;
		a.stats.in_use += block_size(block);
	}
	return block;
}

static void block_free(void *block)
{
	uint32_t page = page_index(block);

	a.stats.blocks--;
	a.stats.in_use -= block_size(block);
	if (a.table[page].kind == SLAB)
		small_free(a.table[page].run, block);
	else
		run_free(page, a.table[page].run);
}

/* --- the interface --------------------------------------------------------------- */

void *arena_malloc(size_t size)
{
	void *block;

	pthread_mutex_lock(&a.lock);
	block = block_alloc(size);
	pthread_mutex_unlock(&a.lock);
	return block;
}

void arena_free(void *block)
{
	if (!block)
		return;
	pthread_mutex_lock(&a.lock);
	block_free(block);
	pthread_mutex_unlock(&a.lock);
}

size_t arena_size(const void *block)
{
	size_t size;

	if (!block)
		return 0;
	pthread_mutex_lock(&a.lock);
	size = block_size(block);
	pthread_mutex_unlock(&a.lock);
	return size;
}

void *arena_realloc(void *block, size_t size)
{
	size_t old, len;
	uint32_t page;
	void *new;

	if (!block)
		return arena_malloc(size);
	pthread_mutex_lock(&a.lock);
	old = block_size(block);
	new = block;
	if (arena_round(size) == old)
		goto out;
	page = page_index(block);
	if (a.table[page].kind == LARGE && size > SMALL_MAX && size < old) {
		/* Give the tail back. */
		len = large_pages(size);
		run_set(page, len, LARGE);
		run_free(page + len, (old >> PAGE_SHIFT) - len);
		a.stats.in_use -= old - (len << PAGE_SHIFT);
		goto out;
	}
	new = block_alloc(size);
	if (!new)
		goto out;
	memcpy(new, block, old < size ? old : size);
	block_free(block);
out:
	pthread_mutex_unlock(&a.lock);
	return new;
}

void arena_trim(void)
{
	pthread_mutex_lock(&a.lock);
	purge(0);
	pthread_mutex_unlock(&a.lock);
}

void arena_get_stats(struct arena_stats *stats)
{
	pthread_mutex_lock(&a.lock);
	*stats = a.stats;
	stats->bookkeeping = a.table_bytes;
	pthread_mutex_unlock(&a.lock);
}

static const char *check_locked(void)
{
	uint32_t page, len, i, dirty = 0;
	enum kind kind, before = UNUSED;
	size_t in_use = 0, committed = a.table_bytes;

	for (page = 0; page < a.top; page += len, before = kind) {
		const struct page *p = &a.table[page];

		kind = p->kind;
		len = kind == SLAB ? SLAB_PAGES : p->run;
		if (!len || len > a.top - page)
			return "a run ends beyond the top";
		if (a.table[page + len - 1].kind != kind)
			return "the two ends of a run differ in kind";
		switch (kind) {
		case CLEAN:
		case DIRTY:
			if (kind == before)
				return "two free runs of a kind are neighbours";
			if (kind == DIRTY)
				dirty += len;
			break;
		case LARGE:
			in_use += (size_t)len << PAGE_SHIFT;
			break;
		case SLAB:
			for (i = 0; i < len; i++)
				if (a.table[page + i].run != page)
					return "a page of a slab points elsewhere";
			if (!p->used || (coarse(p) ? __builtin_popcount(p->live) != p->used
						  : p->used > p->fresh))
				return "a slab's count is wrong";
			if (coarse(p))
				committed -= (size_t)__builtin_popcount(p->holes) << PAGE_SHIFT;
			in_use += (size_t)p->used * a.class_size[p->class];
			break;
		default:
			return "a page is of no kind";
		}
		if (kind != SLAB && a.table[page + len - 1].run != len)
			return "the two ends of a run differ in length";
		if (kind != CLEAN)
			committed += (size_t)len << PAGE_SHIFT;
	}
	if (dirty != a.dirty_pages)
		return "the count of dirty pages is wrong";
	if (in_use != a.stats.in_use)
		return "the count of bytes in use is wrong";
	if (committed != a.stats.committed)
		return "the count of committed bytes is wrong";
	return NULL;
}

const char *arena_check(void)
{
	const char *wrong;

	pthread_mutex_lock(&a.lock);
	wrong = check_locked();
	pthread_mutex_unlock(&a.lock);
	return wrong;
}

int arena_open(size_t bytes)
{
	PVOID base = NULL;
	SIZE_T size = bytes;
	NTSTATUS status;
	size_t table, i;

	status = NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE,
					 PAGE_READWRITE);
	if (!NT_SUCCESS(status))
		return status;

	pthread_mutex_lock(&a.lock);
	/* One struct page per page of the whole is a little more than needed. */
	table = (size >> PAGE_SHIFT) * sizeof(struct page);
	table = (table + SLAB_BYTES - 1) & ~(SLAB_BYTES - 1);
	a.base = base;
	a.bytes = size;
	a.table = base;
	a.pages = a.base + table;
	a.count = (size - table) >> PAGE_SHIFT;
	a.top = 0;
	a.table_bytes = 0;
	a.dirty_pages = 0;
	for (i = 0; i < BINS; i++)
		a.clean[i] = a.dirty[i] = NONE;
	for (i = 0; i < MAX_CLASSES; i++)
		a.slabs[i] = NONE;
	classes_init();
	memset(&a.stats, 0, sizeof(a.stats));
	a.stats.base = base;
	a.stats.reserved = size;
	pthread_mutex_unlock(&a.lock);
	return 0;
}

int arena_close(void)
{
	PVOID base = a.base;
	SIZE_T size = 0;
	NTSTATUS status;

	status = NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
	return NT_SUCCESS(status) ? 0 : status;
}
