// SPDX-License-Identifier: GPL-2.0-only
/*
 * The region tree against a plain array: which region each page lies in.
 */
#include "region.h"
#include "unit.h"

#include <kselftest_harness.h>

#define PAGE		0x1000ul
#define PAGES		300ul
#define BASE		0x50000000ul
#define ADDR(page)	(BASE + (page) * PAGE)

static struct ntvm_region *owner[PAGES];

static void model_set(unsigned long from, unsigned long to, struct ntvm_region *r)
{
	for (; from < to; from++)
		owner[from] = r;
}

static struct ntvm_region *model_from(unsigned long page)
{
	while (page < PAGES && !owner[page])
		page++;
	return page < PAGES ? owner[page] : NULL;
}

static bool model_free(unsigned long from, unsigned long to)
{
	for (; from < to; from++) {
		if (owner[from])
			return false;
	}
	return true;
}

/* Each page, first and last byte of it, and both ways through the tree. */
static bool model_agrees(const struct ntvm_regions *t)
{
	unsigned long nr = 0, bytes = 0, page, at;
	struct ntvm_region *r;

	for (page = 0; page < PAGES; page++) {
		for (at = ADDR(page); at <= ADDR(page) + PAGE - 1; at += PAGE - 1) {
			if (ntvm_regions_find(t, at) != owner[page] ||
			    ntvm_regions_from(t, at) != model_from(page))
				return false;
		}
		bytes += owner[page] ? PAGE : 0;
	}
	for (r = ntvm_regions_from(t, 0); r; r = ntvm_regions_next(r)) {
		struct ntvm_region *next = ntvm_regions_next(r);

		nr++;
		if (next && next->start < r->end)
			return false;
	}
	return nr == t->nr && bytes == t->bytes && !ntvm_regions_from(t, ADDR(PAGES)) &&
	       !ntvm_regions_find(t, ADDR(PAGES)) && !ntvm_regions_find(t, 0);
}

TEST(an_empty_tree_has_nothing)
{
	struct ntvm_regions t;

	ntvm_regions_init(&t);
	EXPECT_EQ(NULL, ntvm_regions_find(&t, 0));
	EXPECT_EQ(NULL, ntvm_regions_from(&t, 0));
	EXPECT_EQ(0, t.nr);
	EXPECT_EQ(0, t.bytes);
}

TEST(insert_refuses_what_overlaps)
{
	static const struct {
		unsigned long start, end;
		bool fits;
	} rows[] = {
		{ 5, 5, false }, { 6, 5, false },	/* empty */
		{ 10, 20, false }, { 9, 11, false }, { 19, 21, false },
		{ 12, 13, false }, { 5, 30, false }, { 10, 11, false },
		{ 19, 20, false },
		{ 5, 10, true }, { 20, 25, true },	/* neighbours */
		{ 0, 1, true }, { 40, 41, true },
	};
	struct ntvm_region held = { .start = ADDR(10), .end = ADDR(20) };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ntvm_region r = { .start = ADDR(rows[i].start), .end = ADDR(rows[i].end) };
		struct ntvm_regions t;

		ntvm_regions_init(&t);
		ASSERT_TRUE(ntvm_regions_insert(&t, &held));
		EXPECT_EQ(rows[i].fits, ntvm_regions_insert(&t, &r)) {
			TH_LOG("row %u", i);
		}
		EXPECT_EQ(rows[i].fits ? 2 : 1, t.nr);
		EXPECT_EQ(&held, ntvm_regions_find(&t, ADDR(20) - 1));
	}
}

TEST(the_ends_of_the_address_space)
{
	struct ntvm_region low = { .start = 0, .end = PAGE };
	struct ntvm_region high = { .start = ~0ul - 2 * PAGE + 1, .end = ~0ul - PAGE + 1 };
	struct ntvm_regions t;

	ntvm_regions_init(&t);
	ASSERT_TRUE(ntvm_regions_insert(&t, &high));
	ASSERT_TRUE(ntvm_regions_insert(&t, &low));
	EXPECT_EQ(&low, ntvm_regions_find(&t, 0));
	EXPECT_EQ(&high, ntvm_regions_from(&t, PAGE));
	EXPECT_EQ(&high, ntvm_regions_find(&t, high.end - 1));
	EXPECT_EQ(NULL, ntvm_regions_from(&t, ~0ul));
}

TEST(random_changes_agree_with_an_array)
{
	struct ntvm_region pool[PAGES] = {};
	struct ntvm_regions t;
	u64 seed = 1;
	int round;

	ntvm_regions_init(&t);
	for (round = 0; round < 3000; round++) {
		struct ntvm_region *r = &pool[unit_below(&seed, PAGES)];
		unsigned long from = unit_below(&seed, PAGES);
		unsigned long to = from + 1 + unit_below(&seed, min(PAGES - from, 12ul));

		if (!r->end) {
			bool fits = model_free(from, to);

			r->start = ADDR(from);
			r->end = ADDR(to);
			ASSERT_EQ(fits, ntvm_regions_insert(&t, r));
			if (fits)
				model_set(from, to, r);
			else
				r->end = 0;
		} else {
			from = (r->start - BASE) / PAGE;
			to = (r->end - BASE) / PAGE;
			model_set(from, to, NULL);
			if (to - from > 2 && unit_below(&seed, 2)) {
				/* A head or a tail goes, or comes back where there is room. */
				from += unit_below(&seed, 2);
				to -= unit_below(&seed, 2);
				if (to < PAGES && !owner[to] && unit_below(&seed, 2))
					to++;
				ntvm_regions_resize(&t, r, ADDR(from), ADDR(to));
				model_set(from, to, r);
			} else {
				ntvm_regions_remove(&t, r);
				r->end = 0;
			}
		}
		if (round % 8 == 0)
			ASSERT_TRUE(model_agrees(&t));
	}
}

TEST_HARNESS_MAIN
