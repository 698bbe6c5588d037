// SPDX-License-Identifier: GPL-2.0-only
/*
 * The argument rules under arguments that the fuzzer chooses. What they ought
 * to answer is found another way: legal words and types are listed, not
 * computed, and sums are made with twice the bits. rules.c allocates nothing,
 * so nothing can fail there.
 */
#include "rules.h"
#include "pages.h"
#include "fuzz.h"

typedef unsigned __int128 wide;

#define OK		NTVM_STATUS_SUCCESS
#define BAD(n)		NTVM_STATUS_INVALID_PARAMETER_##n
#define BAD_ANY		NTVM_STATUS_INVALID_PARAMETER
#define BAD_WORD	NTVM_STATUS_INVALID_PAGE_PROTECTION

#define C		NTVM_ALLOC_COMMIT
#define R		NTVM_ALLOC_RESERVE
#define DOWN		NTVM_ALLOC_TOP_DOWN
#define WW		NTVM_ALLOC_WRITE_WATCH
#define REPLACE		NTVM_ALLOC_REPLACE_PLACEHOLDER
#define PLACE		NTVM_ALLOC_RESERVE_PLACEHOLDER

static const struct {
	u32 word;
	bool executable;
	bool private;
	u8 state;
} words[] = {
	{ NTVM_PAGE_NOACCESS, false, true, NTVM_PROT_NA },
	{ NTVM_PAGE_READONLY, false, true, NTVM_PROT_R },
	{ NTVM_PAGE_READWRITE, false, true, NTVM_PROT_RW },
	{ NTVM_PAGE_WRITECOPY, false, false, 0 },
	{ NTVM_PAGE_EXECUTE, true, true, NTVM_PROT_X },
	{ NTVM_PAGE_EXECUTE_READ, true, true, NTVM_PROT_RX },
	{ NTVM_PAGE_EXECUTE_READWRITE, true, true, NTVM_PROT_RWX },
	{ NTVM_PAGE_EXECUTE_WRITECOPY, true, false, 0 },
};

static const u32 modifiers[] = { 0, NTVM_PAGE_GUARD, NTVM_PAGE_NOCACHE, NTVM_PAGE_WRITECOMBINE };

/* All legal types but placeholders; those after RESET also with TOP_DOWN. */
static const u32 types[] = {
	NTVM_ALLOC_RESET_UNDO, NTVM_ALLOC_RESET,
	C, R, C | R, R | WW, C | R | WW, R | NTVM_ALLOC_PHYSICAL, C | R | NTVM_ALLOC_LARGE_PAGES,
};

static const u32 place_types[] = {
	PLACE | R, REPLACE | R, REPLACE | R | C, REPLACE | R | WW, REPLACE | R | C | WW,
};

static u32 want_word(u32 word)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		for (j = 0; j < ARRAY_SIZE(modifiers); j++) {
			u32 legal = words[i].word | modifiers[j];

			if (j && words[i].word == NTVM_PAGE_NOACCESS)
				break;
			if (word == legal ||
			    (words[i].executable && word == (legal | NTVM_PAGE_TARGETS)))
				return OK;
		}
	}
	return BAD_WORD;
}

static void check_words(u32 word, u8 state)
{
	bool private = false;
	u32 back = 0;
	u8 want = 0;
	unsigned int i;

	CHECK(ntvm_rules_protect_word(word) == want_word(word));
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if ((word & 0xff) == words[i].word) {
			private = words[i].private;
			want = words[i].state;
		}
		if (words[i].state && (state & 7) == words[i].state)
			back = words[i].word;
	}
	if (want && word & NTVM_PAGE_GUARD)
		want += NTVM_STATE_GUARD;
	if (back && state & NTVM_STATE_GUARD)
		back += NTVM_PAGE_GUARD;
	CHECK(ntvm_rules_protect_private(word) == private);
	CHECK(ntvm_rules_protect_state(word) == want);
	CHECK(ntvm_rules_state_protect(state) == back);
}

static bool known_type(u32 type)
{
	return !(type & ~(C | R | DOWN | WW | REPLACE | PLACE | NTVM_ALLOC_RESET |
			  NTVM_ALLOC_RESET_UNDO | NTVM_ALLOC_PHYSICAL | NTVM_ALLOC_LARGE_PAGES));
}

static bool legal_type(u32 type)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (type == types[i] || (i > 1 && type == (types[i] | DOWN)))
			return true;
	}
	return false;
}

static u32 want_type(u64 zero_bits, u32 type, u32 word, bool mask_ok)
{
	if (zero_bits == 21)
		return BAD_ANY;
	if (zero_bits > 20 && (zero_bits < 32 || !mask_ok))
		return BAD(3);
	if (!known_type(type))
		return BAD(5);
	if (type & (REPLACE | PLACE))
		return BAD_ANY;
	if (!legal_type(type))
		return BAD(5);
	if (type & NTVM_ALLOC_PHYSICAL && word != NTVM_PAGE_READWRITE)
		return BAD(6);
	return want_word(word);
}

static u32 want_extended_type(u32 type, u32 word)
{
	bool legal = legal_type(type) &&
		     !(type & NTVM_ALLOC_PHYSICAL && word != NTVM_PAGE_READWRITE);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(place_types); i++)
		legal |= (type & ~DOWN) == place_types[i];
	if (!legal)
		return BAD_ANY;
	if (want_word(word))
		return BAD_WORD;
	return type & PLACE && word != NTVM_PAGE_NOACCESS ? BAD_ANY : OK;
}

static wide down(wide x, u64 unit)
{
	return x / unit * unit;
}

static wide up(wide x, u64 unit)
{
	return down(x + unit - 1, unit);
}

static u32 want_range(u64 base, u64 len, u64 zero_bits, u32 type, const struct ntvm_space *space,
		      struct ntvm_range *out)
{
	wide limit = space->end, top = 1;

	if (base >= space->end)
		return BAD(2);
	if (!len || (wide)base + len > space->end)
		return BAD(4);
	if (!base && zero_bits) {
		/* The bits below 2^32 that stay, or those of the mask. */
		u64 bits = zero_bits <= 20 ? (1ull << (32 - zero_bits)) - 1 : zero_bits;

		while (top <= bits)
			top *= 2;
		limit = min(limit, top);
	}
	if (!base && up(len, 0x1000) > limit)
		return BAD(3);
	out->start = down(base, type & R ? 0x10000 : 0x1000);
	out->end = up((wide)base + len, 0x1000);
	out->lowest = space->min;
	out->limit = limit;
	out->align = 0x10000;
	return OK;
}

static bool same(const struct ntvm_range *a, const struct ntvm_range *b)
{
	return a->start == b->start && a->end == b->end && a->lowest == b->lowest &&
	       a->limit == b->limit && a->align == b->align;
}

static const struct ntvm_range poison = { 0x5a5a, 0x5b5b, 0x5c5c, 0x5d5d, 0x20000 };

static u32 plain(u32 status)
{
	u32 i;

	for (i = 0; i < 6; i++) {
		if (status == BAD(1) + i)
			return BAD_ANY;
	}
	return status;
}

static void check_requirements(struct fuzz *f, const struct ntvm_requirements *q, u64 base,
			       const struct ntvm_space *space, struct ntvm_range range)
{
	struct ntvm_range want = range, got = range;
	u64 align, len = fuzz_u64(f) >> fuzz_u8(f) % 64;
	bool legal = !base;
	u32 status;

	for (align = 0x10000; align && align != q->alignment; align *= 2)
		;
	legal &= !q->alignment || align;
	legal &= q->lowest < space->end && q->lowest % 0x10000 == 0;
	legal &= !q->highest || (q->highest < space->end && q->highest % 0x1000 == 0xfff &&
				 q->highest > q->lowest);
	if (legal) {
		want.lowest = q->lowest > want.lowest ? q->lowest : want.lowest;
		want.limit = q->highest ? q->highest + 1 : want.limit;
		want.align = q->alignment ? q->alignment : want.align;
	}
	legal |= !q->lowest && !q->highest && !q->alignment;
	CHECK(ntvm_rules_requirements(q, base, space, &got) == (legal ? OK : BAD_ANY));
	if (legal)
		CHECK(same(&got, &want));
	status = base % 0x200000 ? BAD(2) : len % 0x200000 ? BAD(4) : OK;
	want = range;
	if (!status)
		want.align = max(want.align, 0x200000ul);
	CHECK(ntvm_rules_large_range(base, len, &range) == status);
	CHECK(same(&range, &want));
}

static void check_parameters(struct fuzz *f)
{
	struct ntvm_extended got = { 1, true, 2 }, want = { 0, false, ~0u };
	u32 count = fuzz_u8(f) % 9, i, j;
	struct ntvm_parameter p[8];
	bool legal = true;

	count = min(count, 8u);
	for (i = 0; i < count; i++) {
		p[i].type = fuzz_u8(f) % 16 ? fuzz_u8(f) % 8 : fuzz_u64(f);
		p[i].value = fuzz_u8(f) & 1 ? fuzz_u64(f) : 0;
		for (j = 0; j < i; j++)
			legal &= p[i].type != p[j].type;
		if (p[i].type == NTVM_PARAMETER_ADDRESS) {
			want.requirements = p[i].value;
			want.constrained = true;
		} else if (p[i].type == NTVM_PARAMETER_NODE) {
			want.node = p[i].value;
		} else {
			legal &= p[i].type == NTVM_PARAMETER_ATTRIBUTES && !p[i].value;
		}
	}
	CHECK(ntvm_rules_parameters(p, count, &got) == (legal ? OK : BAD_ANY));
	if (!legal)
		want = (struct ntvm_extended){ 1, true, 2 };
	CHECK(got.requirements == want.requirements && got.constrained == want.constrained &&
	      got.node == want.node);
}

static u32 want_user(u64 base, u64 len, const struct ntvm_space *space, struct ntvm_range *out)
{
	if (base >= space->user_end)
		return BAD(2);
	if ((wide)base + len > space->user_end)
		return BAD(3);
	out->start = down(base, 0x1000);
	out->end = len ? up((wide)base + len, 0x1000) : out->start;
	out->lowest = 0;
	out->limit = space->user_end;
	return OK;
}

static void check_free(u64 base, u64 len, u32 type, u32 contract, const struct ntvm_space *space)
{
	static const u32 legal[] = { 0x4000, 0x8000, 0x8002, 0x8001 };
	struct ntvm_range got = poison, want = poison;
	u32 status = BAD(4);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(legal); i++) {
		if (type == legal[i])
			status = OK;
	}
	CHECK(ntvm_rules_free_type(type) == status);
	if (!status) {
		status = want_user(base, len, space, &want);
		if (!status && !len && type & 3)
			status = BAD(3);
		if (len && type == 0x8000 && contract == NTVM_CONTRACT_DOCUMENTED)
			status = BAD(3);
		CHECK(ntvm_rules_free_range(base, len, type, contract, space, &got) == status);
		if (!status)
			CHECK(same(&got, &want));
	}
	got = poison;
	want = poison;
	status = want_user(base, len, space, &want);
	if (!status && !len)
		status = BAD(3);
	CHECK(ntvm_rules_protect_range(base, len, space, &got) == status);
	if (!status)
		CHECK(same(&got, &want));
}

/* Numbers that lie about a bound, and any others. */
static u64 some_number(struct fuzz *f, const struct ntvm_space *space)
{
	u8 how = fuzz_u8(f);
	u64 x;

	switch (how % 8) {
	case 0:
		x = fuzz_u64(f);
		break;
	case 1:
		x = space->end;
		break;
	case 2:
		x = space->user_end;
		break;
	case 3:
		x = 1ull << fuzz_u8(f) % 64;
		break;
	case 4:
		x = 0;
		break;
	case 5:
		x = fuzz_below(f, 0x1000) << 16;
		break;
	default:
		x = fuzz_below(f, 0x100000) << 12;
	}
	return how & 0x80 ? x + fuzz_u8(f) - 128 : x;
}

/* One of a list, with a bit or two turned over, or anything. */
static u32 some_word(struct fuzz *f, const u32 *list, unsigned int nr)
{
	u8 how = fuzz_u8(f);
	u32 word = list[how % nr];

	if (how & 0x80)
		word ^= 1u << fuzz_u8(f) % 32;
	if (how & 0x40)
		word ^= 1u << fuzz_u8(f) % 32;
	return word;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u32 more_types[] = {
		C, R, C | R, R | WW, C | R | WW, R | NTVM_ALLOC_PHYSICAL, NTVM_ALLOC_RESET,
		NTVM_ALLOC_RESET_UNDO, C | R | NTVM_ALLOC_LARGE_PAGES, PLACE | R, REPLACE | R,
		REPLACE | R | C, REPLACE | R | C | WW, C | DOWN, R | DOWN, 0,
	};
	static const u32 frees[] = { 0x4000, 0x8000, 0x8001, 0x8002, 0, 0x8003, 0xc000 };
	static const u32 masks[] = { 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x80, 0x104, 0x120 };
	struct fuzz f = { data, size };
	struct ntvm_space space;
	u32 type, word, status, contract;
	u64 base, len, zero_bits;
	struct ntvm_range got, want;
	struct ntvm_requirements q;
	bool mask_ok;

	while (f.left) {
		u8 how = fuzz_u8(&f);

		space.user_end = how & 1 ? 0xfffff000ul : 0x7ffffffff000ul;
		space.end = space.user_end / 0x10000 * 0x10000 - (how & 2 ? 0x10000 : 0);
		space.min = (1 + (how >> 2 & 3)) * 0x10000ul;
		mask_ok = how & 0x10;
		contract = how >> 5 & 1;
		type = some_word(&f, more_types, ARRAY_SIZE(more_types));
		word = some_word(&f, masks, ARRAY_SIZE(masks));
		base = some_number(&f, &space);
		len = some_number(&f, &space);
		zero_bits = how & 0x40 ? fuzz_u8(&f) % 40 : how & 0x80 ? some_number(&f, &space) : 0;

		check_words(word, fuzz_u8(&f));
		status = want_type(zero_bits, type, word, mask_ok);
		CHECK(ntvm_rules_allocate_type(zero_bits, type, word, mask_ok) == status);
		CHECK(ntvm_rules_extended_type(type, word) == want_extended_type(type, word));
		CHECK(ntvm_rules_plain(status) == plain(status));
		if (zero_bits <= 20 || zero_bits > 31) {
			got = want = poison;
			status = want_range(base, len, zero_bits, type, &space, &want);
			CHECK(ntvm_rules_allocate_range(base, len, zero_bits, type, &space, &got) ==
			      status);
			CHECK(same(&got, &want));
		}
		got = want = poison;
		/* Placeholders are replaced at any page, but at a given one. */
		status = plain(want_range(base, len, 0, type & REPLACE ? 0 : type, &space, &want));
		if (type & REPLACE && !base) {
			status = BAD_ANY;
			want = poison;
		}
		CHECK(ntvm_rules_extended_range(base, len, type, &space, &got) == status);
		CHECK(same(&got, &want));
		if (!status) {
			q.lowest = some_number(&f, &space);
			q.highest = some_number(&f, &space) - (how & 1);
			q.alignment = some_number(&f, &space);
			check_requirements(&f, &q, base, &space, got);
		}
		check_parameters(&f);
		check_free(base, len, some_word(&f, frees, ARRAY_SIZE(frees)), contract, &space);
	}
	return 0;
}
