// SPDX-License-Identifier: GPL-2.0-only
/*
 * Argument rules, one table row per rule. The rows carry the names that the
 * semantics documents give the rules: P protection, Z zero bits, R rounding, F
 * free, S the published page of the free call, V protect, X extended
 * parameters, H placeholders; a bare number is the place of a check in the order
 * in which errors win.
 */
#include "rules.h"
#include "pages.h"
#include "unit.h"

#include <kselftest_harness.h>

#define OK	NTVM_STATUS_SUCCESS
#define IP	NTVM_STATUS_INVALID_PARAMETER
#define IP2	NTVM_STATUS_INVALID_PARAMETER_2
#define IP3	NTVM_STATUS_INVALID_PARAMETER_3
#define IP4	NTVM_STATUS_INVALID_PARAMETER_4
#define IP5	NTVM_STATUS_INVALID_PARAMETER_5
#define IP6	NTVM_STATUS_INVALID_PARAMETER_6
#define IPP	NTVM_STATUS_INVALID_PAGE_PROTECTION

#define COMMIT	NTVM_ALLOC_COMMIT
#define RESERVE	NTVM_ALLOC_RESERVE
#define RESET	NTVM_ALLOC_RESET
#define UNDO	NTVM_ALLOC_RESET_UNDO
#define TOP	NTVM_ALLOC_TOP_DOWN
#define WATCH	NTVM_ALLOC_WRITE_WATCH
#define PHYS	NTVM_ALLOC_PHYSICAL
#define LARGE	NTVM_ALLOC_LARGE_PAGES
#define REPL	NTVM_ALLOC_REPLACE_PLACEHOLDER
#define RESPL	NTVM_ALLOC_RESERVE_PLACEHOLDER

#define DECOMMIT	NTVM_FREE_DECOMMIT
#define RELEASE		NTVM_FREE_RELEASE
#define PRESERVE	NTVM_FREE_PRESERVE
#define COALESCE	NTVM_FREE_COALESCE

#define RW	NTVM_PAGE_READWRITE

#define USER_END	0x7ffffffff000ul
#define SPACE_END	0x7fffffff0000ul

static const struct ntvm_space space = {
	.min = 0x10000, .end = SPACE_END, .user_end = USER_END,
};

TEST(protect_word_rows)
{
	static const struct {
		const char *row;
		u32 protect, status;
	} rows[] = {
		{ "P1", 0x804, IPP }, { "P1", 0x1004, IPP }, { "P1", 0x80000004, IPP },
		{ "P1", ~0u, IPP }, { "P1", 0x20000004, IPP },
		{ "P1 targets", 0x40000010, OK }, { "P1 targets", 0x40000020, OK },
		{ "P1 targets", 0x40000040, OK }, { "P1 targets", 0x40000080, OK },
		{ "P1 targets", 0x40000001, IPP }, { "P1 targets", 0x40000002, IPP },
		{ "P1 targets", 0x40000004, IPP }, { "P1 targets", 0x40000008, IPP },
		{ "P1 targets", 0x40000000, IPP }, { "P1 targets", 0x40000024, IPP },
		{ "P2", 0, IPP }, { "P2", 0x03, IPP }, { "P2", 0x06, IPP }, { "P2", 0x12, IPP },
		{ "P2", 0x30, IPP }, { "P2", 0x84, IPP }, { "P2", 0xff, IPP },
		{ "P4", 0x101, IPP }, { "P4", 0x100, IPP }, { "P4", 0x304, IPP },
		{ "P4", 0x504, IPP }, { "P4 valid", 0x104, OK }, { "P4 valid", 0x102, OK },
		{ "P4 valid", 0x140, OK },
		{ "P5", 0x201, IPP }, { "P5", 0x604, IPP }, { "P5", 0x401, IPP },
		{ "P5 valid", 0x402, OK }, { "P5 valid", 0x204, OK }, { "P5", 0x704, IPP },
		{ "P5", 0x200, IPP }, { "P5", 0x400, IPP },
	};
	u32 a, b, low;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].status, ntvm_rules_protect_word(rows[i].protect)) {
			TH_LOG("%s: %x", rows[i].row, rows[i].protect);
		}
	}
	/* P2: of all low bytes those with one bit. */
	for (low = 0; low < 0x100; low++)
		EXPECT_EQ(low && !(low & (low - 1)) ? OK : IPP, ntvm_rules_protect_word(low));
	for (a = 1; a < 0x100; a <<= 1) {
		for (b = 1; b < 0x100; b <<= 1)
			EXPECT_EQ(a == b ? OK : IPP, ntvm_rules_protect_word(a | b));
	}
}

TEST(protect_private_is_six)
{
	u32 low;

	/* P3 */
	for (low = 0; low < 0x100; low++) {
		bool fine = low == 0x01 || low == 0x02 || low == 0x04 || low == 0x10 ||
			    low == 0x20 || low == 0x40;

		EXPECT_EQ(fine, ntvm_rules_protect_private(low));
		EXPECT_EQ(fine, ntvm_rules_protect_private(low | NTVM_PAGE_GUARD));
		EXPECT_EQ(fine, !!ntvm_rules_protect_state(low));
	}
}

TEST(protect_and_state_convert)
{
	static const struct {
		u32 protect;
		u8 state;
	} rows[] = {
		{ 0, 0 }, { 0x01, 1 }, { 0x02, 2 }, { 0x04, 3 }, { 0x10, 4 }, { 0x20, 5 },
		{ 0x40, 6 }, { 0x102, 0x0a }, { 0x104, 0x0b }, { 0x110, 0x0c }, { 0x120, 0x0d },
		{ 0x140, 0x0e },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].state, ntvm_rules_protect_state(rows[i].protect));
		EXPECT_EQ(rows[i].protect, ntvm_rules_state_protect(rows[i].state));
		EXPECT_EQ(rows[i].state, ntvm_rules_protect_state(rows[i].protect | 0x40000600));
	}
	/* No state has these. */
	EXPECT_EQ(0, ntvm_rules_state_protect(7));
	EXPECT_EQ(0, ntvm_rules_state_protect(NTVM_STATE_GUARD));
	EXPECT_EQ(0, ntvm_rules_protect_state(NTVM_PAGE_GUARD));
}

TEST(zero_bits_rows)
{
	u64 z;

	for (z = 0; z <= 20; z++) {
		EXPECT_EQ(OK, ntvm_rules_allocate_type(z, RESERVE, RW, true));		/* Z2 */
		EXPECT_EQ(OK, ntvm_rules_allocate_type(z, RESERVE, RW, false));
	}
	EXPECT_EQ(IP, ntvm_rules_allocate_type(21, RESERVE, RW, true));			/* Z4 */
	EXPECT_EQ(IP, ntvm_rules_allocate_type(21, RESERVE, RW, false));
	for (z = 22; z <= 31; z++) {
		EXPECT_EQ(IP3, ntvm_rules_allocate_type(z, RESERVE, RW, true));		/* Z5 */
		EXPECT_EQ(IP3, ntvm_rules_allocate_type(z, RESERVE, RW, false));
	}
	for (z = 32; z; z <<= 1) {
		EXPECT_EQ(OK, ntvm_rules_allocate_type(z, RESERVE, RW, true));		/* Z6 */
		EXPECT_EQ(IP3, ntvm_rules_allocate_type(z, RESERVE, RW, false));	/* Z7 */
	}
	EXPECT_EQ(OK, ntvm_rules_allocate_type(~0ull, RESERVE, RW, true));
	EXPECT_EQ(IP3, ntvm_rules_allocate_type(~0ull, RESERVE, RW, false));
	/* Order 1 beats all that follow. */
	EXPECT_EQ(IP3, ntvm_rules_allocate_type(24, ~0u, 0, true));
	EXPECT_EQ(IP, ntvm_rules_allocate_type(21, 0, 0, true));
}

TEST(allocate_type_rows)
{
	static const struct {
		const char *row;
		u32 type, protect, status;
	} rows[] = {
		{ "valid", RESERVE, RW, OK }, { "valid", COMMIT, RW, OK },
		{ "valid", RESERVE | COMMIT, RW, OK }, { "valid", COMMIT | TOP, RW, OK },
		{ "valid", RESERVE | COMMIT | TOP, RW, OK },
		{ "P6", RESET, 0x01, OK }, { "P6", RESET, 0, IPP }, { "P6", RESERVE, 0, IPP },
		{ "valid", UNDO, RW, OK },
		{ "valid", RESERVE | WATCH, RW, OK }, { "valid", RESERVE | COMMIT | WATCH, RW, OK },
		{ "valid", RESERVE | PHYS, RW, OK }, { "valid", RESERVE | PHYS | TOP, RW, OK },
		{ "valid", RESERVE | COMMIT | LARGE, RW, OK }, { "5", COMMIT | LARGE, RW, IP5 },
		{ "2", ~0u, RW, IP5 }, { "2", RESERVE | 0x40000000, RW, IP5 },
		{ "2", RESERVE | 1, RW, IP5 }, { "2", COMMIT | 0x10000, RW, IP5 },
		{ "2", COMMIT | 0x8000, RW, IP5 }, { "2", RESERVE | REPL | 1, RW, IP5 },
		{ "2", COMMIT | 0x80000000, 0, IP5 },
		{ "placeholder", REPL, RW, IP }, { "placeholder", RESPL, RW, IP },
		{ "placeholder", RESERVE | RESPL, RW, IP },
		{ "placeholder", RESERVE | COMMIT | REPL, RW, IP },
		{ "placeholder", RESET | REPL, 0, IP },
		{ "3", 0, RW, IP5 }, { "3", TOP, RW, IP5 }, { "3", PHYS, RW, IP5 },
		{ "3", WATCH, RW, IP5 }, { "3", LARGE, RW, IP5 }, { "3", 0, 0, IP5 },
		{ "4", COMMIT | RESET, RW, IP5 }, { "4", TOP | RESET, RW, IP5 },
		{ "4", RESET | COMMIT | RESERVE, RW, IP5 }, { "4", RESET | UNDO, RW, IP5 },
		{ "4", UNDO | COMMIT, RW, IP5 }, { "4", UNDO | TOP, RW, IP5 },
		{ "4", RESERVE | RESET, RW, IP5 },
		{ "5", RESERVE | LARGE, RW, IP5 },
		{ "5", RESERVE | COMMIT | LARGE | PHYS, RW, IP5 },
		{ "5", RESET | LARGE, RW, IP5 }, { "5", RESERVE | COMMIT | LARGE | WATCH, RW, IP5 },
		{ "6", COMMIT | WATCH, RW, IP5 }, { "6", COMMIT | WATCH, 0, IP5 },
		{ "7", COMMIT | PHYS, RW, IP5 }, { "7", RESERVE | COMMIT | PHYS, RW, IP5 },
		{ "7", RESERVE | WATCH | PHYS, RW, IP5 }, { "7", COMMIT | PHYS, 0x02, IP5 },
		{ "8", RESERVE | PHYS, 0x02, IP6 }, { "8", RESERVE | PHYS, 0x40, IP6 },
		{ "8", RESERVE | PHYS, 0x104, IP6 }, { "8", RESERVE | PHYS, 0, IP6 },
		{ "9", RESERVE, 0x101, IPP }, { "9", COMMIT, 0x06, IPP }, { "9", COMMIT, ~0u, IPP },
		{ "16", RESERVE, 0x08, OK }, { "16", COMMIT, 0x80, OK },	/* refused later */
		{ "P9", COMMIT, 0x40000010, OK }, { "P9", COMMIT, 0x40000004, IPP },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].status,
			  ntvm_rules_allocate_type(0, rows[i].type, rows[i].protect, true)) {
			TH_LOG("%s: type %x protect %x", rows[i].row, rows[i].type,
			       rows[i].protect);
		}
	}
}

TEST(allocate_range_rounds)
{
	static const struct {
		u64 base, len;
		u32 type;
		u64 out_base, out_len;
	} rows[] = {
		/* R1, the proven numbers */
		{ 0x50000000, 1, RESERVE, 0x50000000, 0x1000 },
		{ 0x50008000, 1, RESERVE, 0x50000000, 0x9000 },
		{ 0x50000010, 0x1000, RESERVE, 0x50000000, 0x2000 },
		{ 0x50010000, 0x2000, RESERVE, 0x50010000, 0x2000 },
		{ 0x5000ffff, 0x3000, RESERVE, 0x50000000, 0x13000 },
		{ 0x50001010, 0x7000, RESERVE, 0x50000000, 0x9000 },
		{ 0x50001010, 0xc000, RESERVE, 0x50000000, 0xe000 },
		{ 0x50001010, 0x1000, RESERVE, 0x50000000, 0x3000 },
		{ 0x50004080, 0x1000, RESERVE | COMMIT, 0x50000000, 0x6000 },
		{ 0x60025000, 0xc8, RESERVE | COMMIT, 0x60020000, 0x6000 },
		/* R2 */
		{ 0x50008000, 1, COMMIT, 0x50008000, 0x1000 },
		{ 0x50008fff, 2, COMMIT, 0x50008000, 0x2000 },
		{ 0x50001010, 0x1000, COMMIT, 0x50001000, 0x2000 },
		{ 0x50001010, 0x1000, RESET, 0x50001000, 0x2000 },
		/* R3 */
		{ 0, 200, RESERVE, 0, 0x1000 },
		{ 0, 0xfffc, RESERVE, 0, 0x10000 },
		{ 0, 0x1000, RESERVE | COMMIT, 0, 0x1000 },
		{ 0, SPACE_END, RESERVE, 0, SPACE_END },
		/* Z12: below the minimum is no matter of rules */
		{ 0xfff, 1, RESERVE, 0, 0x1000 },
		{ 0x1, 0x1000, COMMIT, 0, 0x2000 },
		/* to the very end */
		{ SPACE_END - 1, 1, COMMIT, SPACE_END - 0x1000, 0x1000 },
		{ SPACE_END - 1, 1, RESERVE, SPACE_END - 0x10000, 0x10000 },
		{ 1, SPACE_END - 1, RESERVE, 0, SPACE_END },
	};
	struct ntvm_range out;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(&out, 0xcc, sizeof(out));
		EXPECT_EQ(OK, ntvm_rules_allocate_range(rows[i].base, rows[i].len, 0, rows[i].type,
							&space, &out)) {
			TH_LOG("row %u", i);
		}
		EXPECT_EQ(rows[i].out_base, out.start);
		EXPECT_EQ(rows[i].out_base + rows[i].out_len, out.end);
		EXPECT_EQ(0x10000, out.lowest);
		EXPECT_EQ(SPACE_END, out.limit);
	}
}

TEST(allocate_range_errors)
{
	static const struct {
		const char *row;
		u64 base, len;
		u64 zero_bits;
		u32 status;
	} rows[] = {
		{ "11", SPACE_END, 0x1000, 0, IP2 }, { "11", USER_END, 0x1000, 0, IP2 },
		{ "11", 0xffff800000000200ull, 200, 0, IP2 }, { "11", ~0ull, 1, 0, IP2 },
		{ "11 beats 13", SPACE_END, 0, 0, IP2 }, { "11 beats 12", USER_END, ~0ull, 0, IP2 },
		{ "12", 0x50000000, ~0ull, 0, IP4 }, { "12", 0x50000000, SPACE_END, 0, IP4 },
		{ "12", SPACE_END - 0x1000, 0x1001, 0, IP4 }, { "12", 0, ~0ull, 0, IP4 },
		{ "12", 0, SPACE_END + 1, 0, IP4 }, { "12", 0, ~0ull - 0xffe, 0, IP4 },
		{ "12", 0x1000, -0x1000ull, 0, IP4 }, { "12", 0, ~0ull, 12, IP4 },
		{ "13", 0, 0, 0, IP4 }, { "13", 0x50000000, 0, 0, IP4 }, { "13", 0, 0, 5, IP4 },
		{ "Z9", 0, 0x100000, 12, OK }, { "Z9", 0, 0x100001, 12, IP3 },
		{ "Z9", 0, 0x101000, 12, IP3 }, { "Z9", 0, 0x1000, 20, OK },
		{ "Z9", 0, 0x1001, 20, IP3 }, { "Z9", 0, 0x80000000, 1, OK },
		{ "Z9", 0, 0x80000001, 1, IP3 }, { "Z9 mask", 0, 0x20000000, 0x1aaaaaaa, OK },
		{ "Z9 mask", 0, 0x20000001, 0x1aaaaaaa, IP3 }, { "Z9 mask", 0, 65, 32, IP3 },
		{ "Z1", 0x50000000, 0x200000, 12, OK },
		{ "Z8", 0x50000000, 0x1000, 0xffffffff, OK },
	};
	struct ntvm_range out;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].status,
			  ntvm_rules_allocate_range(rows[i].base, rows[i].len, rows[i].zero_bits,
						    RESERVE, &space, &out)) {
			TH_LOG("%s: row %u", rows[i].row, i);
		}
	}
}

TEST(zero_bits_limit_the_choice)
{
	static const struct {
		u64 zero_bits, limit;
	} rows[] = {
		{ 0, SPACE_END }, { 1, 0x80000000 }, { 2, 0x40000000 }, { 15, 0x20000 },
		{ 20, 0x1000 },
		{ 0x1aaaaaaa, 0x20000000 }, { 0x1fffffff, 0x20000000 }, { 0xffffffff, 0x100000000 },
		{ 0x7fff, 0x8000 }, { 0x7fffffffffff, SPACE_END }, { 0x3fffffffffff, 1ull << 46 },
		{ 1ull << 62, SPACE_END }, { 1ull << 63, SPACE_END }, { ~0ull, SPACE_END },
	};
	struct ntvm_range out;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ASSERT_EQ(OK, ntvm_rules_allocate_range(0, 0x1000, rows[i].zero_bits, RESERVE,
							&space, &out));
		EXPECT_EQ(rows[i].limit, out.limit);
		EXPECT_EQ(0x10000, out.lowest);
	}
	/* Z1: not with an address */
	ASSERT_EQ(OK, ntvm_rules_allocate_range(0x50000000, 0x1000, 12, RESERVE, &space, &out));
	EXPECT_EQ(SPACE_END, out.limit);
}

TEST(large_range_rows)
{
	static const struct {
		u64 base, len;
		u32 status;
	} rows[] = {
		{ 0, 0x200000, OK }, { 0x200000, 0x400000, OK }, { 0x40000000, 0x200000, OK },
		{ 1, 0x200000, NTVM_STATUS_INVALID_PARAMETER_2 },
		{ 0x210000, 0x200000, NTVM_STATUS_INVALID_PARAMETER_2 },
		{ 0x100000, 0x100000, NTVM_STATUS_INVALID_PARAMETER_2 },
		{ 0, 1, NTVM_STATUS_INVALID_PARAMETER_4 },
		{ 0, 0x1ff000, NTVM_STATUS_INVALID_PARAMETER_4 },
		{ 0x200000, 0x201000, NTVM_STATUS_INVALID_PARAMETER_4 },
	};
	struct ntvm_range out;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		out.align = 0;
		EXPECT_EQ(rows[i].status, ntvm_rules_large_range(rows[i].base, rows[i].len, &out));
		EXPECT_EQ(rows[i].status == OK ? 0x200000 : 0, out.align);
	}
}

TEST(free_type_rows)
{
	u32 bit, type;

	EXPECT_EQ(OK, ntvm_rules_free_type(DECOMMIT));
	EXPECT_EQ(OK, ntvm_rules_free_type(RELEASE));
	EXPECT_EQ(OK, ntvm_rules_free_type(RELEASE | PRESERVE));
	EXPECT_EQ(OK, ntvm_rules_free_type(RELEASE | COALESCE));
	EXPECT_EQ(IP4, ntvm_rules_free_type(0));
	EXPECT_EQ(IP4, ntvm_rules_free_type(~0u));
	EXPECT_EQ(IP4, ntvm_rules_free_type(DECOMMIT | RELEASE));
	EXPECT_EQ(IP4, ntvm_rules_free_type(RELEASE | PRESERVE | COALESCE));
	EXPECT_EQ(IP4, ntvm_rules_free_type(DECOMMIT | PRESERVE));
	EXPECT_EQ(IP4, ntvm_rules_free_type(DECOMMIT | COALESCE));
	for (bit = 1; bit; bit <<= 1) {
		if (bit != DECOMMIT && bit != RELEASE)
			EXPECT_EQ(IP4, ntvm_rules_free_type(bit));
		type = RELEASE | bit;
		if (bit != RELEASE && bit != PRESERVE && bit != COALESCE)
			EXPECT_EQ(IP4, ntvm_rules_free_type(type));
		if (bit != DECOMMIT)
			EXPECT_EQ(IP4, ntvm_rules_free_type(DECOMMIT | bit));
	}
}

TEST(free_range_rows)
{
	enum { DOC = NTVM_CONTRACT_DOCUMENTED, WIN = NTVM_CONTRACT_WINDOWS };
	static const struct {
		const char *row;
		u64 base, len;
		u32 type, contract, status;
		u64 start, end;
	} rows[] = {
		{ "S6, F1", 0x10001fff, 2, DECOMMIT, DOC, OK, 0x10001000, 0x10003000 },
		{ "F1", 0x10001fff, 2, DECOMMIT, WIN, OK, 0x10001000, 0x10003000 },
		{ "F3", 0x10000ffe, 0, DECOMMIT, WIN, OK, 0x10000000, 0x10000000 },
		{ "S7", 0x10000000, 0, DECOMMIT, DOC, OK, 0x10000000, 0x10000000 },
		{ "F6", 0x10000001, 0xfff, DECOMMIT, WIN, OK, 0x10000000, 0x10001000 },
		{ "F10", 0x10000fff, 0, RELEASE, WIN, OK, 0x10000000, 0x10000000 },
		{ "F17", 0x10000001, 0xfff, RELEASE, WIN, OK, 0x10000000, 0x10001000 },
		{ "F17", 0x10001001, 0xfff, RELEASE, WIN, OK, 0x10001000, 0x10002000 },
		{ "F17", 0x10000001, 0x1000, RELEASE, WIN, OK, 0x10000000, 0x10002000 },
		{ "base 0", 0, 0, RELEASE, DOC, OK, 0, 0 },
		{ "S5", 0x10000000, 0, RELEASE, DOC, OK, 0x10000000, 0x10000000 },
		{ "S12", 0x10000000, 0x1000, RELEASE, DOC, IP3, 0, 0 },
		{ "S12 beats 3", ~0ull, 1, RELEASE, DOC, IP3, 0, 0 },
		{ "top", USER_END - 1, 1, DECOMMIT, WIN, OK, USER_END - 0x1000, USER_END },
		{ "3", USER_END, 0, RELEASE, DOC, IP2, 0, 0 },
		{ "3", USER_END, 0, DECOMMIT, WIN, IP2, 0, 0 },
		{ "3", ~0ull, 1, RELEASE, WIN, IP2, 0, 0 },
		{ "3 beats 4", USER_END, ~0ull, DECOMMIT, WIN, IP2, 0, 0 },
		{ "3 beats 5", USER_END, 0, RELEASE | PRESERVE, WIN, IP2, 0, 0 },
		{ "4", 0x10000000, ~0ull, DECOMMIT, WIN, IP3, 0, 0 },
		{ "4", 0x10000000, USER_END, DECOMMIT, DOC, IP3, 0, 0 },
		{ "4", USER_END - 1, 2, RELEASE, WIN, IP3, 0, 0 },
		{ "5", 0x10000000, 0, RELEASE | PRESERVE, WIN, IP3, 0, 0 },
		{ "5", 0x10000000, 0, RELEASE | COALESCE, DOC, IP3, 0, 0 },
		{ "5 not", 0x10000000, 0x1000, RELEASE | COALESCE, WIN, OK, 0x10000000,
		  0x10001000 },
		{ "5 not", 0x10000000, 0x1000, RELEASE | PRESERVE, DOC, OK, 0x10000000,
		  0x10001000 },
	};
	struct ntvm_range out;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		u32 status;

		memset(&out, 0xcc, sizeof(out));
		status = ntvm_rules_free_range(rows[i].base, rows[i].len, rows[i].type,
					       rows[i].contract, &space, &out);
		EXPECT_EQ(rows[i].status, status) {
			TH_LOG("%s: row %u", rows[i].row, i);
		}
		if (!status) {
			EXPECT_EQ(rows[i].start, out.start);
			EXPECT_EQ(rows[i].end, out.end);
		}
	}
}

TEST(protect_range_rows)
{
	static const struct {
		const char *row;
		u64 base, len;
		u32 status;
		u64 start, end;
	} rows[] = {
		{ "V1", 0x10000001, 1, OK, 0x10000000, 0x10001000 },
		{ "outward", 0x10000fff, 2, OK, 0x10000000, 0x10002000 },
		{ "outward", 0x10001000, 0x1000, OK, 0x10001000, 0x10002000 },
		{ "base 0", 0, 1, OK, 0, 0x1000 },
		{ "top", USER_END - 1, 1, OK, USER_END - 0x1000, USER_END },
		{ "3", USER_END, 1, IP2, 0, 0 }, { "3", ~0ull, 1, IP2, 0, 0 },
		{ "3", USER_END, 0, IP2, 0, 0 }, { "3", USER_END - 1, 2, IP3, 0, 0 },
		{ "3", 0x10000000, ~0ull, IP3, 0, 0 }, { "3", 0x10000000, 0, IP3, 0, 0 },
		{ "3", 0, 0, IP3, 0, 0 },
	};
	struct ntvm_range out;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		u32 status;

		memset(&out, 0xcc, sizeof(out));
		status = ntvm_rules_protect_range(rows[i].base, rows[i].len, &space, &out);
		EXPECT_EQ(rows[i].status, status) {
			TH_LOG("%s: row %u", rows[i].row, i);
		}
		if (!status) {
			EXPECT_EQ(rows[i].start, out.start);
			EXPECT_EQ(rows[i].end, out.end);
		}
	}
}

TEST(extended_type_rows)
{
	static const struct {
		const char *row;
		u32 type, protect, status;
	} rows[] = {
		{ "plain", RESERVE, RW, OK }, { "plain", COMMIT, RW, OK },
		{ "plain", RESERVE | COMMIT | TOP, RW, OK }, { "plain", RESET, RW, OK },
		{ "plain", UNDO, RW, OK }, { "plain", RESERVE | WATCH, RW, OK },
		{ "plain", RESERVE | COMMIT | LARGE, RW, OK }, { "plain", RESERVE | PHYS, RW, OK },
		/* No numbered statuses here. */
		{ "2", 0x10, RW, IP }, { "2", ~0u, RW, IP }, { "3", 0, RW, IP },
		{ "3", TOP, RW, IP }, { "4", RESET | COMMIT, RW, IP }, { "5", LARGE, RW, IP },
		{ "6", WATCH, RW, IP }, { "7", PHYS | COMMIT, RW, IP },
		{ "8", RESERVE | PHYS, 0x02, IP },
		{ "9", RESERVE, 0, IPP }, { "9", RESERVE, 0x804, IPP },
		{ "2 before 9", 0x10, 0, IP }, { "9", RESERVE | RESPL, 0x101, IPP },
		{ "9", RESERVE | REPL, 0x06, IPP },
		/* Only NOACCESS is a placeholder's. */
		{ "H2", RESERVE | RESPL, RW, IP }, { "H2", RESERVE | RESPL, 0x02, IP },
		{ "H2", RESERVE | RESPL, 0x40, IP }, { "H2", RESERVE | RESPL, 0x08, IP },
		{ "H3", RESERVE | RESPL, 0x01, OK }, { "H3", RESERVE | RESPL | TOP, 0x01, OK },
		{ "H3", RESPL, 0x01, IP }, { "H3", COMMIT | RESPL, 0x01, IP },
		{ "H3", RESERVE | COMMIT | RESPL, 0x01, IP },
		{ "H3", RESERVE | RESPL | WATCH, 0x01, IP },
		{ "H3", RESERVE | RESPL | PHYS, 0x01, IP },
		{ "H3", RESERVE | RESPL | LARGE, 0x01, IP },
		{ "H3", RESERVE | RESPL | RESET, 0x01, IP },
		{ "H3", RESERVE | RESPL | REPL, 0x01, IP },
		{ "H4", RESERVE | COMMIT | REPL, RW, OK }, { "H5", RESERVE | REPL, RW, OK },
		{ "H5", RESERVE | REPL | TOP, 0x01, OK }, { "H5", RESERVE | REPL, 0x08, OK },
		{ "H6", RESERVE | REPL | WATCH, RW, OK },
		{ "H6", RESERVE | COMMIT | REPL | WATCH, RW, OK },
		{ "H7", REPL, RW, IP }, { "H7", COMMIT | REPL, RW, IP },
		{ "H7", REPL | WATCH, RW, IP }, { "H7", REPL | RESET, RW, IP },
		{ "H7", RESERVE | REPL | LARGE, RW, IP },
		{ "H7", RESERVE | COMMIT | REPL | LARGE, RW, IP },
		{ "H7", RESERVE | REPL | PHYS, RW, IP }, { "H7", RESERVE | REPL | UNDO, RW, IP },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].status, ntvm_rules_extended_type(rows[i].type, rows[i].protect)) {
			TH_LOG("%s: %x %x", rows[i].row, rows[i].type, rows[i].protect);
		}
	}
}

TEST(extended_range_rows)
{
	static const struct {
		u64 base, len;
		u32 type, status;
		u64 start, end;
	} rows[] = {
		{ 0, 1, RESERVE, OK, 0, 0x1000 },
		{ 0x50001010, 0x1000, RESERVE, OK, 0x50000000, 0x50003000 },
		{ 0x50001010, 0x1000, COMMIT, OK, 0x50001000, 0x50003000 },
		{ 0x50001010, 0x1000, RESERVE | REPL, OK, 0x50001000, 0x50003000 },
		{ 0x50004000, 0x4000, RESERVE | REPL, OK, 0x50004000, 0x50008000 },
		{ 0, 0x1000, RESERVE | REPL, IP, 0, 0 },
		{ SPACE_END, 1, RESERVE, IP, 0, 0 }, { ~0ull, 1, RESERVE | REPL, IP, 0, 0 },
		{ 0x10000, 0, RESERVE, IP, 0, 0 }, { 0x10000, ~0ull, RESERVE, IP, 0, 0 },
		{ 0, SPACE_END + 1, RESERVE, IP, 0, 0 },
	};
	struct ntvm_range range;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].status,
			  ntvm_rules_extended_range(rows[i].base, rows[i].len, rows[i].type,
						    &space, &range));
		if (rows[i].status)
			continue;
		EXPECT_EQ(rows[i].start, range.start);
		EXPECT_EQ(rows[i].end, range.end);
		EXPECT_EQ(NTVM_GRANULARITY, range.align);
	}
}

TEST(parameters_rows)
{
	struct ntvm_parameter p[NTVM_PARAMETER_MAX] = {};
	const struct ntvm_extended marked = { .requirements = 7, .node = 7 };
	struct ntvm_extended ext;
	unsigned int i, type;

	/* None: nothing is wished. */
	EXPECT_EQ(OK, ntvm_rules_parameters(p, 0, &ext));
	EXPECT_FALSE(ext.constrained);
	EXPECT_EQ(NTVM_NO_NODE, ext.node);
	/* X3: every other type; the three that there are. */
	for (type = 0; type < 300; type++) {
		bool known = type == 1 || type == 2 || type == 5;

		ext = marked;
		p[0].type = type;
		EXPECT_EQ(known ? OK : IP, ntvm_rules_parameters(p, 1, &ext)) {
			TH_LOG("type %u", type);
		}
		if (!known)
			EXPECT_EQ(0, memcmp(&ext, &marked, sizeof(ext)));
	}
	/* Bits above the type are reserved. */
	for (i = 3; i < 64; i++) {
		p[0].type = 1 | 1ull << i;
		EXPECT_EQ(IP, ntvm_rules_parameters(p, 1, &ext));
	}
	/* X4: twice, beside each other or not. */
	for (type = 1; type < NTVM_PARAMETER_MAX; type++) {
		p[0].type = type;
		p[1].type = type;
		EXPECT_EQ(IP, ntvm_rules_parameters(p, 2, &ext));
		p[1].type = type == 1 ? 2 : 1;
		p[2].type = type;
		EXPECT_EQ(IP, ntvm_rules_parameters(p, 3, &ext));
	}
	/* All at once, in any place; a node is 32 bits wide. */
	p[0] = (struct ntvm_parameter){ 2, 0xabcd00000003ull };
	p[1] = (struct ntvm_parameter){ 5, 0 };
	p[2] = (struct ntvm_parameter){ 1, 0x1234567890ull };
	EXPECT_EQ(OK, ntvm_rules_parameters(p, 3, &ext));
	EXPECT_EQ(3, ext.node);
	EXPECT_TRUE(ext.constrained);
	EXPECT_EQ(0x1234567890ull, ext.requirements);
	/* X18, X19 */
	for (i = 0; i < 64; i++) {
		p[0] = (struct ntvm_parameter){ 5, 1ull << i };
		EXPECT_EQ(IP, ntvm_rules_parameters(p, 1, &ext));
	}
	/* As many as fit into an array that is read: one too many. */
	for (i = 0; i < NTVM_PARAMETER_MAX; i++)
		p[i] = (struct ntvm_parameter){ i, 0 };
	EXPECT_EQ(IP, ntvm_rules_parameters(p, NTVM_PARAMETER_MAX, &ext));
}

TEST(requirements_rows)
{
	static const struct {
		const char *row;
		u64 lowest, highest, align, base;
		u32 status;
	} rows[] = {
		{ "X5", 0, 0, 0, 0, OK }, { "X7", 0, 0, 0, 0x50000000, OK },
		{ "X6", 0x10000, 0, 0, 0x50000000, IP }, { "X6", 0, 0xffff, 0, 0x50000000, IP },
		{ "X6", 0, 0, 0x10000, 0x50000000, IP }, { "X6", 1, 1, 1, 0x50000000, IP },
		{ "X8", 0, 0x20001001, 0, 0, IP }, { "X8", 0, 0x20000ffe, 0, 0, IP },
		{ "X8", 0, 0x200007ff, 0, 0, IP }, { "X8", 0, 0x20000fff, 0, 0, OK },
		{ "X8", 0, 0x20001000, 0, 0, IP },
		{ "X9", 0, SPACE_END - 1, 0, 0, OK }, { "X9", 0, SPACE_END, 0, 0, IP },
		{ "X9", 0, SPACE_END + 0xfff, 0, 0, IP }, { "X9", 0, ~0ull, 0, 0, IP },
		{ "X11", 0x20001000, 0, 0, 0, IP }, { "X11", 0x20000fff, 0, 0, 0, IP },
		{ "X11", 0x20001001, 0, 0, 0, IP }, { "X11", 0x20000000, 0, 0, 0, OK },
		{ "X12", 0x30000000, 0x20000fff, 0, 0, IP },
		{ "X12", 0x20000000, 0x20000fff, 0, 0, OK },
		{ "X12", 0x20010000, 0x2000ffff, 0, 0, IP },
		{ "X13", 0x20000000, 0x2fffffff, 0, 0, OK },
		{ "X14", SPACE_END, 0, 0, 0, IP }, { "X14", SPACE_END - 0x10000, 0, 0, 0, OK },
		{ "X14", ~0ull << 16, 0, 0, 0, IP },
		{ "X15", 0, 0, 0x8000, 0, IP }, { "X15", 0, 0, 0x30000, 0, IP },
		{ "X15", 0, 0, 1, 0, IP }, { "X15", 0, 0, 0x10001, 0, IP }, { "X15", 0, 0, ~0ull, 0, IP },
		{ "X16", 0, 0, 0x10000, 0, OK }, { "X16", 0, 0, 0x40000, 0, OK },
		{ "X16", 0, 0, 1ull << 63, 0, OK },
		{ "X17", 0, 0x20000fff, 0x20000000, 0, OK },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ntvm_requirements req = { rows[i].lowest, rows[i].highest, rows[i].align };
		struct ntvm_range range = { 0, 0x1000, 0x10000, SPACE_END, 0x10000 };
		const struct ntvm_range before = range;

		EXPECT_EQ(rows[i].status, ntvm_rules_requirements(&req, rows[i].base, &space, &range)) {
			TH_LOG("%s: %llx %llx %llx", rows[i].row, (unsigned long long)req.lowest,
			       (unsigned long long)req.highest, (unsigned long long)req.alignment);
		}
		if (rows[i].status) {
			EXPECT_EQ(0, memcmp(&range, &before, sizeof(range)));
			continue;
		}
		EXPECT_EQ(req.lowest > 0x10000 ? req.lowest : 0x10000, range.lowest);
		EXPECT_EQ(req.highest ? req.highest + 1 : SPACE_END, range.limit);
		EXPECT_EQ(req.alignment ?: 0x10000, range.align);
		EXPECT_EQ(0x1000, range.end);
	}
}

TEST_HARNESS_MAIN
