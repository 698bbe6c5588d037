// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page-state table against a naive model. Small tables are compared with
 * an array, page by page; for large ones the model is a list of all changes,
 * replayed for a page when it is asked for. Each change gets exactly the nodes
 * that ntvm_pages_missing() asks for: running dry aborts (WARN_ON_ONCE).
 */
#include "pages.h"
#include "unit.h"

#include <kselftest_harness.h>

/* Of all tables: what it counts is what is alive. */
static struct ntvm_quota quota;

#define KEEP_GUARD	((u8)~NTVM_STATE_GUARD)

FIXTURE(pages)
{
	struct ntvm_stash stash;
};

FIXTURE_SETUP(pages)
{
	ASSERT_EQ(0, ntvm_pages_module_init());
	unit_allocations = -1;
	ntvm_quota_init(&quota);
	self->stash = (struct ntvm_stash)NTVM_STASH_INIT;
}

FIXTURE_TEARDOWN(pages)
{
	ntvm_stash_drop(&self->stash);
	EXPECT_EQ(0, self->stash.nr);
	EXPECT_EQ(0, unit_alive);
	EXPECT_EQ(0, atomic_long_read(&quota.nodes));
	ntvm_max_nodes = NTVM_MAX_NODES;
	ntvm_pages_module_exit();
}

/* With a stash that holds just what was asked for; false when that was too much. */
static bool change(struct ntvm_pages *t, unsigned long first, unsigned long last,
		   u8 keep, u8 value)
{
	struct ntvm_stash s = NTVM_STASH_INIT;
	unsigned int missing = ntvm_pages_missing(t, first, last);
	u8 *byte = first == last ? ntvm_pages_byte(t, first) : NULL;
	long alive;

	/* A page that has a byte of its own, every other time the short way. */
	if (byte && (missing || *byte != ntvm_pages_get(t, first)))
		return false;
	if (byte && !keep && (first ^ value) & 1) {
		ntvm_pages_store(t, first, byte, value);
		return true;
	}
	if (missing > 2 * t->height + 1 || ntvm_stash_fill(t, &s, missing))
		return false;
	alive = unit_alive;
	ntvm_pages_set(t, first, last, keep, value, &s);
	if (unit_alive != atomic_long_read(&quota.nodes))
		return false;
	/* The contract of the fault handler. */
	if (keep && unit_alive != alive)
		return false;
	ntvm_stash_drop(&s);
	return true;
}

static u8 random_state(u64 *seed)
{
	static const u8 some[] = { NTVM_PROT_NONE, NTVM_PROT_RW, NTVM_PROT_X };
	u8 prot = some[unit_below(seed, ARRAY_SIZE(some))];

	return prot + (prot && !unit_below(seed, 4) ? NTVM_STATE_GUARD : 0);
}

static void random_change(u64 *seed, u8 *keep, u8 *value)
{
	*keep = 0;
	*value = random_state(seed);
	switch (unit_below(seed, 6)) {
	case 0:
		*keep = KEEP_GUARD;
		*value = 0;
		break;
	case 1:
		*keep = unit_random(seed) & 0xf;
		*value &= ~*keep;
		break;
	}
}

static bool array_agrees(const struct ntvm_pages *t, const u8 *model, u64 *seed)
{
	unsigned long page, first, last, end, nr;
	u8 state;

	for (page = 0; page < t->nr; page++) {
		if (ntvm_pages_get(t, page) != model[page])
			return false;
	}
	/* All runs, as a query walks them; they are maximal. */
	for (page = 0; page < t->nr; page = end + 1) {
		state = ntvm_pages_run(t, page, t->nr - 1, &end);
		if (ntvm_pages_run_long(t, page, t->nr - 1, &last) != state || last != end)
			return false;
		if (end < page || end >= t->nr || state != model[page])
			return false;
		if (end < t->nr - 1 && model[end + 1] == state)
			return false;
		for (first = page; first <= end; first++) {
			if (model[first] != state)
				return false;
		}
	}
	/* A range with any ends. */
	first = unit_below(seed, t->nr);
	last = first + unit_below(seed, t->nr - first);
	for (page = first, nr = 0; page <= last; page++)
		nr += !!(model[page] & NTVM_STATE_PROT);
	if (ntvm_pages_committed(t, first, last) != nr)
		return false;
	state = ntvm_pages_run(t, first, last, &end);
	if (state != model[first] || end > last || (end < last && model[end + 1] == state))
		return false;
	for (page = first; page <= end; page++) {
		if (model[page] != state)
			return false;
	}
	return true;
}

TEST_F(pages, height_follows_the_size)
{
	static const struct {
		unsigned long nr;
		unsigned int height;
	} rows[] = {
		{ 1, 0 }, { 512, 0 }, { 513, 1 }, { 1ul << 15, 1 }, { (1ul << 15) + 1, 2 },
		{ 1ul << 21, 2 }, { 1ul << 27, 3 }, { 1ul << 33, 4 }, { 1ul << 35, 5 },
		{ 1ul << 45, 6 }, { 1ul << 52, 8 },
	};
	struct ntvm_pages t;
	unsigned long end;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ntvm_pages_init(&t, rows[i].nr, NTVM_PROT_RW, &quota);
		EXPECT_EQ(rows[i].nr, t.nr);
		EXPECT_EQ(rows[i].height, t.height);
		EXPECT_EQ(NTVM_PROT_RW, ntvm_pages_get(&t, 0));
		EXPECT_EQ(NTVM_PROT_RW, ntvm_pages_get(&t, t.nr - 1));
		EXPECT_EQ(t.nr, ntvm_pages_committed(&t, 0, t.nr - 1));
		EXPECT_EQ(NTVM_PROT_RW, ntvm_pages_run(&t, 0, t.nr - 1, &end));
		EXPECT_EQ(t.nr - 1, end);
		EXPECT_EQ(0, ntvm_pages_missing(&t, 0, t.nr - 1));
		ntvm_pages_destroy(&t);
	}
}

TEST_F(pages, missing_counts_the_paths_to_both_ends)
{
	static const struct {
		unsigned long nr, first, last;
		unsigned int missing;
	} rows[] = {
		{ 512, 0, 511, 0 }, { 512, 0, 0, 1 }, { 512, 511, 511, 1 }, { 1, 0, 0, 0 },
		{ 100, 0, 99, 0 }, { 100, 1, 99, 1 }, { 100, 0, 98, 1 },
		{ 1ul << 15, 0, 511, 1 }, { 1ul << 15, 512, 1535, 1 }, { 1ul << 15, 1, 1, 2 },
		{ 1ul << 15, 1, 511, 2 }, { 1ul << 15, 1, 600, 3 }, { 1ul << 15, 0, 600, 2 },
		{ 1ul << 15, 1, 1023, 2 }, { 600, 512, 599, 1 }, { 600, 1, 599, 2 },
		{ 1ul << 21, 1, 1, 3 }, { 1ul << 21, 1, (1ul << 21) - 2, 5 },
		{ 1ul << 21, 0, (1ul << 15) - 1, 1 }, { 1ul << 21, 1, (1ul << 15) - 1, 3 },
		{ 1ul << 21, 1, (1ul << 16) - 1, 3 },
	};
	struct ntvm_pages t;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ntvm_pages_init(&t, rows[i].nr, 0, &quota);
		EXPECT_EQ(rows[i].missing, ntvm_pages_missing(&t, rows[i].first, rows[i].last)) {
			TH_LOG("row %u", i);
		}
		ASSERT_TRUE(change(&t, rows[i].first, rows[i].last, 0, 3));
		/* Exact for a table of one tag. */
		EXPECT_EQ(rows[i].missing, unit_alive);
		EXPECT_EQ(0, ntvm_pages_missing(&t, rows[i].first, rows[i].last));
		EXPECT_EQ(rows[i].last - rows[i].first + 1,
			  ntvm_pages_committed(&t, 0, rows[i].nr - 1));
		ntvm_pages_destroy(&t);
		EXPECT_EQ(0, unit_alive);
	}
}

TEST_F(pages, uniform_nodes_become_tags_again)
{
	struct ntvm_pages t;
	unsigned long page;

	ntvm_pages_init(&t, 3 * 512 + 7, 0, &quota);
	for (page = 0; page < t.nr; page++)
		ASSERT_TRUE(change(&t, page, page, 0, 3));
	EXPECT_EQ(0, unit_alive);
	EXPECT_EQ(0, ntvm_pages_missing(&t, 0, t.nr - 1));
	for (page = t.nr; page--;)
		ASSERT_TRUE(change(&t, page, page, 0, 0));
	EXPECT_EQ(0, unit_alive);
	ntvm_pages_destroy(&t);

	/* From a whole leaf, and from a range across leaves, up to the root. */
	ntvm_pages_init(&t, 1ul << 21, 0, &quota);
	ASSERT_TRUE(change(&t, 512, 1023, 0, 3));
	EXPECT_EQ(2, unit_alive);
	ASSERT_TRUE(change(&t, 512, 1023, 0, 0));
	EXPECT_EQ(0, unit_alive);
	ASSERT_TRUE(change(&t, 700, 2000, 0, 3));
	EXPECT_EQ(4, unit_alive);
	ASSERT_TRUE(change(&t, 600, 2100, 0, 0));
	EXPECT_EQ(0, unit_alive);
	ntvm_pages_destroy(&t);

	/* Up through all levels at once. */
	ntvm_pages_init(&t, 1ul << 33, 0, &quota);
	ASSERT_TRUE(change(&t, 12345678901ul % t.nr, 12345678901ul % t.nr, 0, 3));
	EXPECT_EQ(5, unit_alive);
	ASSERT_TRUE(change(&t, 12345678901ul % t.nr, 12345678901ul % t.nr, 0, 0));
	EXPECT_EQ(0, unit_alive);
	/* All nodes below a range go at once. */
	for (page = 1; page < t.nr - 1; page += t.nr / 100)
		ASSERT_TRUE(change(&t, page, page, 0, 3));
	EXPECT_LT(100, unit_alive);
	ASSERT_TRUE(change(&t, 0, t.nr - 1, 0, 0));
	EXPECT_EQ(0, unit_alive);
	ntvm_pages_destroy(&t);
}

TEST_F(pages, keep_frees_nothing)
{
	struct ntvm_pages t;
	long alive;

	ntvm_pages_init(&t, 1ul << 21, 0x0b, &quota);
	/* One guard page fires in a table of guard pages. */
	EXPECT_EQ(3, ntvm_pages_missing(&t, 70000, 70000));
	ASSERT_TRUE(change(&t, 70000, 70000, KEEP_GUARD, 0));
	EXPECT_EQ(0x03, ntvm_pages_get(&t, 70000));
	EXPECT_EQ(0x0b, ntvm_pages_get(&t, 69999));
	EXPECT_EQ(0x0b, ntvm_pages_get(&t, 70001));
	/* Again: nothing to do. */
	ntvm_pages_set(&t, 70000, 70000, KEEP_GUARD, 0, NULL);
	alive = unit_alive;
	EXPECT_EQ(3, alive);
	/* All the others too: uniform, but the nodes stay. */
	ASSERT_TRUE(change(&t, 0, t.nr - 1, KEEP_GUARD, 0));
	EXPECT_EQ(alive, unit_alive);
	EXPECT_EQ(0x03, ntvm_pages_get(&t, 0));
	/* A tag that has the result already is not split. */
	ntvm_pages_set(&t, 5, 6, KEEP_GUARD, 0, NULL);
	EXPECT_EQ(alive, unit_alive);
	ASSERT_TRUE(change(&t, 0, t.nr - 1, 0, 0x03));
	EXPECT_EQ(0, unit_alive);
	ntvm_pages_destroy(&t);
}

TEST_F(pages, a_stash_that_cannot_be_filled_changes_nothing)
{
	unsigned int missing, k;
	struct ntvm_pages t;

	ntvm_pages_init(&t, 1ul << 30, 0, &quota);
	ASSERT_TRUE(change(&t, 1000, 2000, 0, 3));
	missing = ntvm_pages_missing(&t, 1500, (1ul << 29) + 77);
	ASSERT_LT(0, missing);
	for (k = 0; k < missing; k++) {
		unit_allocations = k;
		EXPECT_EQ(-ENOMEM, ntvm_stash_fill(&t, &self->stash, missing));
		EXPECT_EQ(k, self->stash.nr);
		EXPECT_EQ(1001, ntvm_pages_committed(&t, 0, t.nr - 1));
		unit_allocations = -1;
		ntvm_stash_drop(&self->stash);
	}
	/* What is there counts. */
	unit_allocations = 1;
	EXPECT_EQ(-ENOMEM, ntvm_stash_fill(&t, &self->stash, missing));
	unit_allocations = missing - 1;
	EXPECT_EQ(0, ntvm_stash_fill(&t, &self->stash, missing));
	unit_allocations = 0;
	EXPECT_EQ(0, ntvm_stash_fill(&t, &self->stash, missing));
	EXPECT_EQ(missing, self->stash.nr);
	ntvm_pages_set(&t, 1500, (1ul << 29) + 77, 0, 2, &self->stash);
	EXPECT_EQ((1ul << 29) + 77 - 1000 + 1, ntvm_pages_committed(&t, 0, t.nr - 1));
	EXPECT_EQ(3, ntvm_pages_get(&t, 1499));
	EXPECT_EQ(2, ntvm_pages_get(&t, 1500));
	unit_allocations = -1;
	ntvm_pages_destroy(&t);
}

TEST_F(pages, a_full_quota_changes_nothing)
{
	struct ntvm_pages t, u;
	unsigned long page = 0;

	ntvm_pages_init(&t, 1ul << 30, 0, &quota);
	ntvm_pages_init(&u, 1ul << 30, 0, &quota);
	ntvm_max_nodes = NTVM_MIN_NODES;
	/* A leaf each, in two tables that share the quota. */
	for (; change(page & 512 ? &u : &t, page, page, 0, 3); page += 512)
		ASSERT_GT(200 * 512, page);
	EXPECT_LE(unit_alive, NTVM_MIN_NODES);
	EXPECT_LT(NTVM_MIN_NODES - 8, unit_alive);
	EXPECT_EQ(page / 512, ntvm_pages_committed(&t, 0, t.nr - 1) +
			      ntvm_pages_committed(&u, 0, u.nr - 1));
	page += 1ul << 20;
	EXPECT_EQ(-EDQUOT, ntvm_stash_fill(&t, &self->stash, 9));
	ntvm_stash_drop(&self->stash);
	EXPECT_EQ(0, ntvm_stash_fill_beyond(&t, &self->stash, 9));
	EXPECT_EQ(unit_alive, atomic_long_read(&quota.nodes));
	ntvm_stash_drop(&self->stash);
	/* What needs no node goes on, and what gives nodes back makes room. */
	EXPECT_TRUE(change(&t, 1, 1, 0, 3));
	EXPECT_TRUE(change(&t, 0, t.nr - 1, 0, 0));
	EXPECT_TRUE(change(&u, page, page, 0, 3));
	ntvm_pages_destroy(&t);
	ntvm_pages_destroy(&u);
}

TEST_F(pages, destroy_leaves_a_table_of_reserved_pages)
{
	struct ntvm_pages t;

	ntvm_pages_init(&t, 5000, 3, &quota);
	ASSERT_TRUE(change(&t, 1, 2, 0, 2));
	ntvm_pages_destroy(&t);
	EXPECT_EQ(0, unit_alive);
	EXPECT_EQ(0, ntvm_pages_get(&t, 1));
	ntvm_pages_destroy(&t);
}

FIXTURE(array)
{
	u8 *model;
};

FIXTURE_VARIANT(array)
{
	unsigned long nr;
	int rounds;
};

FIXTURE_VARIANT_ADD(array, one_page) { .nr = 1, .rounds = 100 };
FIXTURE_VARIANT_ADD(array, few_pages) { .nr = 13, .rounds = 1000 };
FIXTURE_VARIANT_ADD(array, one_leaf) { .nr = 512, .rounds = 1000 };
FIXTURE_VARIANT_ADD(array, two_leaves) { .nr = 513, .rounds = 1000 };
FIXTURE_VARIANT_ADD(array, some_leaves) { .nr = 4001, .rounds = 500 };
FIXTURE_VARIANT_ADD(array, full_node) { .nr = 32768, .rounds = 60 };
FIXTURE_VARIANT_ADD(array, two_levels) { .nr = 70001, .rounds = 50 };

FIXTURE_SETUP(array)
{
	ASSERT_EQ(0, ntvm_pages_module_init());
	self->model = calloc(variant->nr, 1);
	ASSERT_NE(NULL, self->model);
}

FIXTURE_TEARDOWN(array)
{
	free(self->model);
	EXPECT_EQ(0, unit_alive);
	ntvm_pages_module_exit();
}

TEST_F(array, random_changes)
{
	unsigned long nr = variant->nr, first, last, page;
	u64 seed = nr;
	struct ntvm_pages t;
	int round, i;
	u8 keep, value;

	ntvm_pages_init(&t, nr, 0, &quota);
	for (round = 0; round < variant->rounds; round++) {
		for (i = unit_below(&seed, 4); i >= 0; i--) {
			first = unit_below(&seed, nr);
			last = first;
			switch (unit_below(&seed, 5)) {
			case 0:	/* any range */
				last += unit_below(&seed, nr - first);
				break;
			case 1:	/* whole leaves, or to the end */
				first &= ~511ul;
				last = min(first + 512 * (1 + unit_below(&seed, 3)), nr) - 1;
				break;
			case 2:	/* a few pages */
				last += unit_below(&seed, min(nr - first, 20ul));
				break;
			case 3:	/* all */
				if (!unit_below(&seed, 8)) {
					first = 0;
					last = nr - 1;
				}
				break;
			}
			if (!unit_below(&seed, 4)) {
				/* A guard that fires meanwhile only lowers the need. */
				unsigned int before = ntvm_pages_missing(&t, first, last);

				page = unit_below(&seed, nr);
				ASSERT_TRUE(change(&t, page, page, KEEP_GUARD, 0));
				self->model[page] &= KEEP_GUARD;
				ASSERT_LE(ntvm_pages_missing(&t, first, last), before);
			}
			random_change(&seed, &keep, &value);
			ASSERT_TRUE(change(&t, first, last, keep, value));
			for (page = first; page <= last; page++)
				self->model[page] = (self->model[page] & keep) | value;
		}
		ASSERT_TRUE(array_agrees(&t, self->model, &seed));
	}
	ntvm_pages_destroy(&t);
}

#define CHANGES	200

struct log {
	struct {
		unsigned long first, last;
		u8 keep, value;
	} change[CHANGES];
	unsigned int nr;
};

static u8 log_get(const struct log *l, unsigned long page)
{
	unsigned int i;
	u8 state = 0;

	for (i = 0; i < l->nr; i++) {
		if (page >= l->change[i].first && page <= l->change[i].last)
			state = (state & l->change[i].keep) | l->change[i].value;
	}
	return state;
}

static int compare(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

/* The state can only change where a change began or ended. */
static bool log_agrees(const struct ntvm_pages *t, const struct log *l)
{
	unsigned long edge[2 * CHANGES + 2], pos = 0, committed = 0, end;
	unsigned int nr = 0, i;
	u8 state;

	edge[nr++] = 0;
	for (i = 0; i < l->nr; i++) {
		edge[nr++] = l->change[i].first;
		edge[nr++] = l->change[i].last + 1;
	}
	edge[nr++] = t->nr;
	qsort(edge, nr, sizeof(edge[0]), compare);
	for (i = 0; i + 1 < nr; i++) {
		if (edge[i] == edge[i + 1])
			continue;
		state = log_get(l, edge[i]);
		if (ntvm_pages_get(t, edge[i]) != state ||
		    ntvm_pages_get(t, edge[i + 1] - 1) != state)
			return false;
		committed += state & NTVM_STATE_PROT ? edge[i + 1] - edge[i] : 0;
	}
	if (ntvm_pages_committed(t, 0, t->nr - 1) != committed)
		return false;
	/* Runs: each ends at an edge where the state changes. */
	for (i = 0; pos < t->nr; pos = end + 1) {
		state = ntvm_pages_run(t, pos, t->nr - 1, &end);
		if (state != log_get(l, pos) || end >= t->nr)
			return false;
		for (; i < nr && edge[i] <= end; i++) {
			if (edge[i] > pos && log_get(l, edge[i]) != state)
				return false;
		}
		if (end + 1 < t->nr && log_get(l, end + 1) == state)
			return false;
	}
	return true;
}

FIXTURE(sparse)
{
	struct log *log;
};

FIXTURE_VARIANT(sparse)
{
	unsigned long nr;
};

FIXTURE_VARIANT_ADD(sparse, three_levels) { .nr = (1ul << 27) - 3 };
FIXTURE_VARIANT_ADD(sparse, four_levels) { .nr = (1ul << 30) + 12345 };
FIXTURE_VARIANT_ADD(sparse, user_space_47_bits) { .nr = 1ul << 35 };
FIXTURE_VARIANT_ADD(sparse, user_space_56_bits) { .nr = (1ul << 44) - 1 };

FIXTURE_SETUP(sparse)
{
	ASSERT_EQ(0, ntvm_pages_module_init());
	self->log = calloc(1, sizeof(*self->log));
	ASSERT_NE(NULL, self->log);
}

FIXTURE_TEARDOWN(sparse)
{
	free(self->log);
	EXPECT_EQ(0, unit_alive);
	ntvm_pages_module_exit();
}

TEST_F(sparse, random_changes)
{
	unsigned long nr = variant->nr, first, last;
	struct log *l = self->log;
	struct ntvm_pages t;
	u64 seed = nr;
	u8 keep, value;

	ntvm_pages_init(&t, nr, 0, &quota);
	while (l->nr < CHANGES) {
		first = unit_below(&seed, nr);
		if (l->nr && unit_below(&seed, 2))
			first = l->change[unit_below(&seed, l->nr)].first;
		if (unit_below(&seed, 2))	/* an edge of a node at some level */
			first &= ~0ul << (9 + 6 * unit_below(&seed, t.height + 1));
		last = first;
		switch (unit_below(&seed, 4)) {
		case 0:
			last += unit_below(&seed, nr - first);
			break;
		case 1:
			last += 1ul << (9 + 6 * unit_below(&seed, t.height + 1));
			last = min(last, nr) - 1;
			break;
		case 2:
			last += unit_below(&seed, min(nr - first, 1000ul));
			break;
		}
		random_change(&seed, &keep, &value);
		ASSERT_TRUE(change(&t, first, last, keep, value));
		l->change[l->nr].first = first;
		l->change[l->nr].last = last;
		l->change[l->nr].keep = keep;
		l->change[l->nr++].value = value;
		if (l->nr % 10 == 0)
			ASSERT_TRUE(log_agrees(&t, l));
	}
	ntvm_pages_destroy(&t);
}

TEST(marks_are_found_set_and_cleared_page_by_page)
{
	static const unsigned long sizes[] = { 1, 63, 511, 512, 513, 5000, 40000 };
	static bool model[40000];
	unsigned long map[NTVM_MAP_WORDS], page, pos, from, last, nr;
	struct ntvm_stash s = NTVM_STASH_INIT;
	unsigned int i, round, bad;
	struct ntvm_pages t;
	u64 seed = 5;

	ASSERT_EQ(0, ntvm_pages_module_init());
	unit_allocations = -1;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		nr = sizes[i];
		memset(model, 0, sizeof(model));
		ntvm_pages_init(&t, nr, NTVM_PROT_RW, &quota);
		for (round = 0; round < 400; round++) {
			page = unit_below(&seed, nr);
			if (!ntvm_pages_byte(&t, page)) {
				ASSERT_EQ(0, ntvm_stash_fill(&t, &s, t.height + 1));
				ntvm_pages_leaf(&t, page, &s);
				ntvm_stash_drop(&s);
				ASSERT_NE(NULL, ntvm_pages_byte(&t, page));
			}
			/* One by its byte, then random ones of its leaf by a map. */
			*ntvm_pages_byte(&t, page) |= NTVM_STATE_DIRTY;
			model[page] = true;
			if (round % 3 == 0) {
				bool set = round % 2;

				for (pos = 0; pos < NTVM_MAP_WORDS; pos++)
					map[pos] = unit_below(&seed, ~0ul) & unit_below(&seed, ~0ul);
				page -= page % NTVM_MAP_PAGES;
				for (pos = 0; pos < NTVM_MAP_PAGES; pos++) {
					if (page + pos >= nr)
						map[pos / 64] &= ~(1ul << pos % 64);
					else if (map[pos / 64] >> pos % 64 & 1)
						model[page + pos] = set;
				}
				ntvm_pages_mark(&t, page, NTVM_STATE_DIRTY, map, set);
			}
			/* What is found in a range is what the model has there. */
			from = unit_below(&seed, nr);
			last = from + unit_below(&seed, nr - from);
			bad = 0;
			for (pos = from; pos <= last;) {
				unsigned long start = pos, at;
				bool any = ntvm_pages_marked(&t, &pos, last, NTVM_STATE_DIRTY, map);
				bool have = false;

				ASSERT_LT(start, pos);
				for (at = start; at < pos; at++) {
					bool in = at - (start - start % NTVM_MAP_PAGES) < NTVM_MAP_PAGES &&
						  map[at % NTVM_MAP_PAGES / 64] >> at % 64 & 1;

					have |= in;
					bad += any ? in != model[at] : model[at];
				}
				bad += have != any;
			}
			ASSERT_EQ(0, bad);
			/* The states themselves have not changed. */
			ASSERT_EQ(NTVM_PROT_RW, ntvm_pages_get(&t, from) & NTVM_STATE_NT);
			ASSERT_EQ(nr, ntvm_pages_committed(&t, 0, nr - 1));
		}
		/* A leaf that is gone again takes its marks along. */
		ntvm_pages_set(&t, 0, nr - 1, 0, 0, NULL);
		ntvm_pages_mark(&t, 0, NTVM_STATE_DIRTY, map, true);
		pos = 0;
		EXPECT_FALSE(ntvm_pages_marked(&t, &pos, nr - 1, NTVM_STATE_DIRTY, map));
		ntvm_pages_destroy(&t);
		EXPECT_EQ(0, unit_alive);
	}
	ntvm_pages_module_exit();
}

TEST_HARNESS_MAIN
