// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page-state table under calls that the fuzzer chooses, for tables of any
 * height. The model is an array of runs: where each begins, and the state of
 * its pages. It is as large as the calls were many, however many pages the
 * table has. Allocations fail as the input says.
 */
#include "pages.h"
#include "fuzz.h"

#define RUNS		6000u
#define DIRTY		NTVM_STATE_DIRTY

static struct {
	unsigned long first;
	u8 state;
} run[RUNS];
static unsigned int runs;
/* Where the table's nodes are counted. */
static struct ntvm_quota quota;
/* Only what frees the nodes that it makes needless was done. */
static bool plain;

/* The run that a page is in. */
static unsigned int model_at(unsigned long page)
{
	unsigned int i = 0, end = runs;

	while (end - i > 1) {
		unsigned int middle = (i + end) / 2;

		if (run[middle].first <= page)
			i = middle;
		else
			end = middle;
	}
	return i;
}

/* Make a run begin at @page. */
static unsigned int model_split(unsigned long page)
{
	unsigned int i = model_at(page);

	if (run[i].first == page)
		return i;
	CHECK(runs < RUNS);
	memmove(&run[i + 1], &run[i], (runs++ - i) * sizeof(run[0]));
	run[++i].first = page;
	return i;
}

static void model_set(unsigned long nr, unsigned long first, unsigned long last, u8 keep, u8 value)
{
	unsigned int i = model_split(first), end = last == nr - 1 ? runs : model_split(last + 1);

	for (; i < end; i++)
		run[i].state = (run[i].state & keep) | value;
}

/* The last page of the run from @page on, of pages that are equal under @mask. */
static unsigned long model_run(unsigned long page, unsigned long last, u8 mask)
{
	unsigned int i = model_at(page), from = i;

	while (++i < runs && run[i].first <= last && !((run[i].state ^ run[from].state) & mask))
		;
	return i < runs && run[i].first <= last ? run[i].first - 1 : last;
}

static unsigned long model_committed(unsigned long nr, unsigned long first, unsigned long last)
{
	unsigned long sum = 0, from, to;
	unsigned int i;

	for (i = model_at(first); i < runs && run[i].first <= last; i++) {
		from = max(first, run[i].first);
		to = min(last, i + 1 < runs ? run[i + 1].first - 1 : nr - 1);
		if (run[i].state & NTVM_STATE_PROT)
			sum += to - from + 1;
	}
	return sum;
}

/* All of the table, run by run. */
static void whole(const struct ntvm_pages *t)
{
	unsigned long page, end;
	u8 state;

	for (page = 0; page < t->nr; page = end + 1) {
		state = ntvm_pages_run(t, page, t->nr - 1, &end);
		CHECK(state == run[model_at(page)].state);
		CHECK(end == model_run(page, t->nr - 1, 0xff));
		CHECK(ntvm_pages_get(t, end) == state);
	}
	CHECK(ntvm_pages_committed(t, 0, t->nr - 1) == model_committed(t->nr, 0, t->nr - 1));
}

/* Fill a stash, perhaps after a failure, which must not lose a node. */
static bool fill(struct fuzz *f, const struct ntvm_pages *t, struct ntvm_stash *s,
		 unsigned int nr)
{
	u8 fate = fuzz_u8(f);
	long alive = unit_alive - s->nr;
	int err;

	unit_allocations = fate & 0x80 ? fate & 0xf : -1;
	err = ntvm_stash_fill(t, s, nr);
	CHECK(unit_alive - s->nr == alive);
	CHECK(unit_alive == atomic_long_read(&quota.nodes));
	CHECK(err == (s->nr < nr ? -ENOMEM : 0));
	unit_allocations = -1;
	/* Gives up, or tries again with what it has. */
	if (err && fate & 0x40)
		return false;
	CHECK(!ntvm_stash_fill(t, s, nr));
	return true;
}

static void change(struct fuzz *f, struct ntvm_pages *t, unsigned long first, unsigned long last,
		   u8 keep, u8 value)
{
	struct ntvm_stash s = NTVM_STASH_INIT;
	unsigned int missing = ntvm_pages_missing(t, first, last);
	long alive;

	CHECK(missing <= 2 * t->height + 1);
	if (fill(f, t, &s, missing)) {
		alive = unit_alive;
		/* One that runs dry aborts: WARN_ON_ONCE(). */
		ntvm_pages_set(t, first, last, keep, value, missing ? &s : NULL);
		CHECK(!keep || unit_alive == alive);
		CHECK(unit_alive <= alive);
		model_set(t->nr, first, last, keep, value);
		plain &= !keep;
	}
	ntvm_stash_drop(&s);
	CHECK(!s.nr && !s.list);
}

static void own_byte(struct fuzz *f, struct ntvm_pages *t, unsigned long page, u8 what, bool hit)
{
	struct ntvm_stash s = NTVM_STASH_INIT;
	u8 *byte, state = run[model_at(page)].state;

	if (!ntvm_pages_byte(t, page) && fill(f, t, &s, t->height + 1)) {
		ntvm_pages_leaf(t, page, &s);
		plain = false;
	}
	ntvm_stash_drop(&s);
	byte = ntvm_pages_byte(t, page);
	if (!byte)
		return;
	CHECK(*byte == state);
	if (hit) {
		/* A fault marks a page so. */
		*byte |= DIRTY;
		model_set(t->nr, page, page, 0xff, DIRTY);
		plain = false;
	} else {
		what &= (u8)~DIRTY;
		ntvm_pages_store(t, page, byte, what);
		model_set(t->nr, page, page, 0, what);
	}
}

static void mark(struct fuzz *f, struct ntvm_pages *t, unsigned long page, bool set)
{
	unsigned long map[NTVM_MAP_WORDS], i;
	bool leaf;

	page -= page % NTVM_MAP_PAGES;
	leaf = ntvm_pages_byte(t, page);
	for (i = 0; i < NTVM_MAP_WORDS; i++)
		map[i] = fuzz_u8(f) * 0x0001000100010101ul;
	for (i = 0; i < NTVM_MAP_PAGES; i++) {
		if (page + i >= t->nr)
			map[i / 64] &= ~(1ul << i % 64);
		else if (leaf && map[i / 64] >> i % 64 & 1)
			model_set(t->nr, page + i, page + i, (u8)~DIRTY, set ? DIRTY : 0);
	}
	ntvm_pages_mark(t, page, DIRTY, map, set);
	plain &= !leaf;
}

static void marked(const struct ntvm_pages *t, unsigned long first, unsigned long last)
{
	unsigned long map[NTVM_MAP_WORDS], pos, from, page, end;
	unsigned int i;

	for (pos = first; pos <= last;) {
		bool any, some = false;

		from = pos;
		any = ntvm_pages_marked(t, &pos, last, DIRTY, map);
		CHECK(pos > from && pos <= last + 1);
		if (!any) {
			/* Not one of them has the bit. */
			CHECK(!(run[model_at(from)].state & DIRTY));
			CHECK(model_run(from, pos - 1, DIRTY) == pos - 1);
			continue;
		}
		end = from - from % NTVM_MAP_PAGES + NTVM_MAP_PAGES;
		CHECK(pos <= end);
		for (i = 0; i < NTVM_MAP_PAGES; i++) {
			page = end - NTVM_MAP_PAGES + i;
			CHECK((map[i / 64] >> i % 64 & 1) ==
			      (page >= from && page < pos && run[model_at(page)].state & DIRTY));
			some |= map[i / 64] >> i % 64 & 1;
		}
		CHECK(some);
	}
}

static void ask(const struct ntvm_pages *t, unsigned long first, unsigned long last, u8 mask)
{
	u8 state = run[model_at(first)].state, *byte = ntvm_pages_byte(t, first);
	unsigned long end;

	CHECK(ntvm_pages_get(t, first) == state);
	CHECK(!byte || *byte == state);
	CHECK(ntvm_pages_run(t, first, last, &end) == state);
	CHECK(end == model_run(first, last, 0xff));
	CHECK(ntvm_pages_run_masked(t, first, last, mask, &end) == state);
	CHECK(end == model_run(first, last, mask));
	CHECK(ntvm_pages_committed(t, first, last) == model_committed(t->nr, first, last));
}

/* Boundaries of nodes, one beside them, and the table's ends are where things go wrong. */
static unsigned long some_page(struct fuzz *f, unsigned long nr)
{
	unsigned long page = fuzz_below(f, nr);
	u8 how = fuzz_u8(f);

	if ((how & 0x1e) == 0x1e)
		return how & 1 ? nr - 1 : 0;
	if (how & 0x80)
		page -= page % (1ul << (how & 0x1f));
	page += (how >> 5 & 3) - 1ul;
	return page < nr ? page : nr - 1;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz f = { data, size };
	unsigned long nr = 1 + fuzz_below(&f, 1024), first, last, from;
	struct ntvm_pages t;
	u8 op, value, keep;

	CHECK(!unit_alive);
	unit_allocations = -1;
	CHECK(!ntvm_pages_module_init());
	/* Up to 2^50 pages. */
	nr <<= fuzz_below(&f, 41);
	nr += fuzz_u8(&f);
	runs = 1;
	plain = true;
	run[0].first = 0;
	run[0].state = fuzz_u8(&f) & (u8)~DIRTY;
	ntvm_quota_init(&quota);
	ntvm_pages_init(&t, nr, run[0].state, &quota);
	CHECK(t.nr == nr);
	while (f.left && runs < RUNS - 2 * NTVM_MAP_PAGES - 4) {
		op = fuzz_u8(&f);
		value = fuzz_u8(&f);
		/* A state that is there already: nodes become uniform again. */
		if (op & 0x20)
			value = run[value % runs].state;
		first = some_page(&f, nr);
		last = op & 0x80 ? first : op & 0x40 ? some_page(&f, nr) :
		       first + min(nr - 1 - first, (unsigned long)fuzz_u8(&f) * 8);
		from = min(first, last);
		last = max(first, last);
		first = from;
		switch (op % 6) {
		case 0:
			change(&f, &t, first, last, 0, value & (u8)~DIRTY);
			break;
		case 1:
			keep = fuzz_u8(&f);
			change(&f, &t, first, last, keep, value & (u8)~DIRTY);
			break;
		case 2:
			own_byte(&f, &t, first, value, op & 0x40);
			break;
		case 3:
			mark(&f, &t, first, value & 1);
			break;
		case 4:
			marked(&t, first, last);
			break;
		case 5:
			ask(&t, first, last, value);
			break;
		}
		ask(&t, first, last, NTVM_STATE_NT);
		CHECK(!plain || model_run(0, nr - 1, 0xff) < nr - 1 || !unit_alive);
	}
	whole(&t);
	ntvm_pages_destroy(&t);
	CHECK(!ntvm_pages_get(&t, nr - 1));
	CHECK(!unit_alive);
	ntvm_pages_module_exit();
	return 0;
}
