// SPDX-License-Identifier: GPL-2.0-only
/*
 * The region tree under calls that the fuzzer chooses. The model is an array of
 * regions in no order, searched from end to end. region.c allocates nothing, so
 * nothing can fail there.
 */
#include "region.h"
#include "fuzz.h"

#define REGIONS		64u

static struct ntvm_region region[REGIONS];
static bool in[REGIONS];

static struct ntvm_region *model_find(unsigned long addr)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		if (in[i] && region[i].start <= addr && addr < region[i].end)
			return &region[i];
	}
	return NULL;
}

static struct ntvm_region *model_from(unsigned long addr)
{
	struct ntvm_region *best = NULL;
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		if (in[i] && region[i].end > addr && (!best || region[i].start < best->start))
			best = &region[i];
	}
	return best;
}

/* Is [@start, @end) free but for @but? */
static bool model_free(unsigned long start, unsigned long end, const struct ntvm_region *but)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		if (in[i] && &region[i] != but && region[i].start < end && start < region[i].end)
			return false;
	}
	return true;
}

static void look(const struct ntvm_regions *t, unsigned long addr)
{
	CHECK(ntvm_regions_find(t, addr) == model_find(addr));
	CHECK(ntvm_regions_from(t, addr) == model_from(addr));
}

/* Every region from the lowest on, and all that is counted. */
static void whole(const struct ntvm_regions *t)
{
	unsigned long nr = 0, bytes = 0, model_nr = 0, model_bytes = 0;
	struct ntvm_region *r;
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		model_nr += in[i];
		model_bytes += in[i] ? region[i].end - region[i].start : 0;
	}
	for (r = ntvm_regions_from(t, 0); r; r = ntvm_regions_next(r)) {
		CHECK(r == model_find(r->start));
		CHECK(ntvm_regions_next(r) == model_from(r->end));
		look(t, r->start);
		look(t, r->end - 1);
		look(t, r->end);
		look(t, r->start - 1);
		nr++;
		bytes += r->end - r->start;
	}
	CHECK(nr == model_nr && t->nr == nr);
	CHECK(bytes == model_bytes && t->bytes == bytes);
}

/* Crowded, so that regions meet, or anywhere up to the very end. */
static unsigned long some_address(struct fuzz *f)
{
	u8 how = fuzz_u8(f);

	switch (how % 8) {
	case 0:
		return fuzz_u64(f);
	case 1:
		return fuzz_u8(f);
	case 2:
		return ~0ul - fuzz_u8(f);
	}
	return 0x7f0000000000ul + fuzz_u8(f) * 0x1000ul;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz f = { data, size };
	struct ntvm_regions t;
	unsigned long start, end;
	struct ntvm_region *r;
	unsigned int i;
	bool legal;

	ntvm_regions_init(&t);
	memset(in, 0, sizeof(in));
	while (f.left) {
		u8 op = fuzz_u8(&f);

		i = fuzz_u8(&f) % REGIONS;
		r = &region[i];
		start = some_address(&f);
		end = op & 0x80 ? some_address(&f) : start +
		      fuzz_below(&f, 16) * (op & 0x40 ? 1ul : 0x1000ul);
		switch (op % 4) {
		case 0:
		case 1:
			if (in[i])
				break;
			legal = start < end && model_free(start, end, NULL);
			r->start = start;
			r->end = end;
			CHECK(ntvm_regions_insert(&t, r) == legal);
			in[i] = legal;
			break;
		case 2:
			if (!in[i])
				break;
			ntvm_regions_remove(&t, r);
			in[i] = false;
			break;
		case 3:
			/* Within the gap that it lies in: its place stays. */
			if (!in[i] || start >= end ||
			    !model_free(min(start, r->start), max(end, r->end), r))
				break;
			ntvm_regions_resize(&t, r, start, end);
			CHECK(r->start == start && r->end == end);
			break;
		}
		look(&t, start);
		look(&t, end);
	}
	whole(&t);
	return 0;
}
