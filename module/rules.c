// SPDX-License-Identifier: GPL-2.0-only
/*
 * Argument rules. Which status a call with several faults gets is part of the
 * contract, so the checks that need no memory state are kept together here, in
 * the order in which they win. Takes no lock and needs none: nothing here has
 * state.
 */
#include "rules.h"
#include "pages.h"

#define NTVM_PAGE_BYTES		0x1000ull

#define NTVM_PAGE_BASE		0xffu
#define NTVM_PAGE_EXECUTABLE	(NTVM_PAGE_EXECUTE | NTVM_PAGE_EXECUTE_READ | \
				 NTVM_PAGE_EXECUTE_READWRITE | NTVM_PAGE_EXECUTE_WRITECOPY)
#define NTVM_PAGE_PRIVATE	(NTVM_PAGE_NOACCESS | NTVM_PAGE_READONLY | \
				 NTVM_PAGE_READWRITE | NTVM_PAGE_EXECUTE | \
				 NTVM_PAGE_EXECUTE_READ | NTVM_PAGE_EXECUTE_READWRITE)
#define NTVM_PAGE_MODIFIERS	(NTVM_PAGE_GUARD | NTVM_PAGE_NOCACHE | NTVM_PAGE_WRITECOMBINE)

#define NTVM_ALLOC_PLACEHOLDER	(NTVM_ALLOC_REPLACE_PLACEHOLDER | NTVM_ALLOC_RESERVE_PLACEHOLDER)
#define NTVM_ALLOC_KNOWN	(NTVM_ALLOC_COMMIT | NTVM_ALLOC_RESERVE | NTVM_ALLOC_PLACEHOLDER | \
				 NTVM_ALLOC_RESETS | NTVM_ALLOC_TOP_DOWN | \
				 NTVM_ALLOC_WRITE_WATCH | NTVM_ALLOC_PHYSICAL | \
				 NTVM_ALLOC_LARGE_PAGES)

/* zero_bits: counts up to the first, masks above the second. */
#define NTVM_ZERO_COUNT_MAX	20
#define NTVM_ZERO_MASK_ABOVE	31

static u64 ntvm_round_down(u64 x, u64 unit)
{
	return x & ~(unit - 1);
}

static u64 ntvm_round_up(u64 x, u64 unit)
{
	return ntvm_round_down(x + unit - 1, unit);
}

/**
 * ntvm_rules_protect_word - is a protection well-formed?
 * @protect: NTVM_PAGE_*, as the caller gave it
 *
 * The WRITECOPY protections are well-formed; private memory refuses them later,
 * see ntvm_rules_protect_private(). NTVM_PAGE_TARGETS has no effect and is
 * legal with an executable protection.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS or NTVM_STATUS_INVALID_PAGE_PROTECTION.
 */
u32 ntvm_rules_protect_word(u32 protect)
{
	u32 base = protect & NTVM_PAGE_BASE;
	u32 modifiers = protect & NTVM_PAGE_MODIFIERS;
	u32 known = NTVM_PAGE_BASE | NTVM_PAGE_MODIFIERS;

	if (base & NTVM_PAGE_EXECUTABLE)
		known |= NTVM_PAGE_TARGETS;
	if (protect & ~known)
		return NTVM_STATUS_INVALID_PAGE_PROTECTION;
	if (!is_power_of_2(base))
		return NTVM_STATUS_INVALID_PAGE_PROTECTION;
	/* The modifiers exclude one another, and NOACCESS takes none. */
	if (modifiers && (!is_power_of_2(modifiers) || base == NTVM_PAGE_NOACCESS))
		return NTVM_STATUS_INVALID_PAGE_PROTECTION;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_protect_private - may private memory have this protection?
 * @protect: a well-formed protection
 *
 * Context: Any.
 * Return: false for the WRITECOPY protections, else true.
 */
bool ntvm_rules_protect_private(u32 protect)
{
	u32 base = protect & NTVM_PAGE_BASE;

	return is_power_of_2(base) && (base & NTVM_PAGE_PRIVATE);
}

/**
 * ntvm_rules_protect_state - the state of a page committed with a protection
 * @protect: a protection that private memory may have
 *
 * NOCACHE, WRITECOMBINE and TARGETS leave no trace in the state.
 *
 * Context: Any.
 * Return: the byte of the page-state table; 0 for 0 and for a protection that
 * private memory may not have.
 */
u8 ntvm_rules_protect_state(u32 protect)
{
	/* By the number of the bit that names the protection. */
	static const u8 states[8] = {
		NTVM_PROT_NA, NTVM_PROT_R, NTVM_PROT_RW, 0,
		NTVM_PROT_X, NTVM_PROT_RX, NTVM_PROT_RWX, 0,
	};
	u32 base = protect & NTVM_PAGE_BASE;
	u8 state;

	if (!is_power_of_2(base))
		return 0;
	state = states[ilog2(base)];
	return state && (protect & NTVM_PAGE_GUARD) ? state | NTVM_STATE_GUARD : state;
}

/**
 * ntvm_rules_state_protect - the protection that a page state stands for
 * @state: a byte of the page-state table
 *
 * Context: Any.
 * Return: NTVM_PAGE_*, perhaps with NTVM_PAGE_GUARD; 0 for a reserved page.
 */
u32 ntvm_rules_state_protect(u8 state)
{
	static const u8 words[NTVM_STATE_PROT + 1] = {
		[NTVM_PROT_NA] = NTVM_PAGE_NOACCESS,
		[NTVM_PROT_R] = NTVM_PAGE_READONLY,
		[NTVM_PROT_RW] = NTVM_PAGE_READWRITE,
		[NTVM_PROT_X] = NTVM_PAGE_EXECUTE,
		[NTVM_PROT_RX] = NTVM_PAGE_EXECUTE_READ,
		[NTVM_PROT_RWX] = NTVM_PAGE_EXECUTE_READWRITE,
	};
	u32 word = words[state & NTVM_STATE_PROT];

	if (word && (state & NTVM_STATE_GUARD))
		word |= NTVM_PAGE_GUARD;
	return word;
}

static u32 ntvm_rules_zero_bits(u64 zero_bits, bool mask_ok)
{
	if (zero_bits <= NTVM_ZERO_COUNT_MAX)
		return NTVM_STATUS_SUCCESS;
	if (zero_bits > NTVM_ZERO_MASK_ABOVE && mask_ok)
		return NTVM_STATUS_SUCCESS;
	/* One above the highest count is refused with a status of its own. */
	if (zero_bits == NTVM_ZERO_COUNT_MAX + 1)
		return NTVM_STATUS_INVALID_PARAMETER;
	return NTVM_STATUS_INVALID_PARAMETER_3;
}

/* Status of a type with known bits only and without placeholder bits. */
static u32 ntvm_rules_allocate_combination(u32 type)
{
	if (!(type & (NTVM_ALLOC_COMMIT | NTVM_ALLOC_RESERVE | NTVM_ALLOC_RESETS)))
		return NTVM_STATUS_INVALID_PARAMETER_5;
	/* The resets stand alone. */
	if ((type & NTVM_ALLOC_RESETS) && !is_power_of_2(type))
		return NTVM_STATUS_INVALID_PARAMETER_5;
	if (type & NTVM_ALLOC_LARGE_PAGES) {
		/* All at once: there is nothing to commit later. */
		if (!(type & NTVM_ALLOC_COMMIT) || !(type & NTVM_ALLOC_RESERVE) ||
		    (type & (NTVM_ALLOC_PHYSICAL | NTVM_ALLOC_WRITE_WATCH)))
			return NTVM_STATUS_INVALID_PARAMETER_5;
	}
	if ((type & NTVM_ALLOC_WRITE_WATCH) && !(type & NTVM_ALLOC_RESERVE))
		return NTVM_STATUS_INVALID_PARAMETER_5;
	if (type & NTVM_ALLOC_PHYSICAL) {
		u32 rest = type & ~(NTVM_ALLOC_PHYSICAL | NTVM_ALLOC_TOP_DOWN);

		if (rest != NTVM_ALLOC_RESERVE)
			return NTVM_STATUS_INVALID_PARAMETER_5;
	}
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_allocate_type - the checks before the in/out values are read
 * @zero_bits: as the caller gave it
 * @type: NTVM_ALLOC_*
 * @protect: NTVM_PAGE_*
 * @mask_ok: @zero_bits may be a mask
 *
 * A type that the module knows and does not have passes: the caller answers
 * NOT_SUPPORTED later.
 *
 * Context: Any.
 * Return: the NTSTATUS that wins, NTVM_STATUS_SUCCESS if none does.
 */
u32 ntvm_rules_allocate_type(u64 zero_bits, u32 type, u32 protect, bool mask_ok)
{
	u32 status = ntvm_rules_zero_bits(zero_bits, mask_ok);

	if (status)
		return status;
	/* Nearly all calls are for one of these, or both. */
	if (!type || (type & ~(NTVM_ALLOC_COMMIT | NTVM_ALLOC_RESERVE))) {
		if (type & ~NTVM_ALLOC_KNOWN)
			return NTVM_STATUS_INVALID_PARAMETER_5;
		/* Placeholders belong to another call, whatever they are combined with. */
		if (type & NTVM_ALLOC_PLACEHOLDER)
			return NTVM_STATUS_INVALID_PARAMETER;
		status = ntvm_rules_allocate_combination(type);
		if (status)
			return status;
		if ((type & NTVM_ALLOC_PHYSICAL) && protect != NTVM_PAGE_READWRITE)
			return NTVM_STATUS_INVALID_PARAMETER_6;
	}
	return ntvm_rules_protect_word(protect);
}

/* First address above what @zero_bits, already checked, allows. */
static u64 ntvm_rules_limit(u64 zero_bits, u64 end)
{
	unsigned int bits;

	if (!zero_bits)
		return end;
	if (zero_bits <= NTVM_ZERO_COUNT_MAX)
		bits = 32 - zero_bits;
	else
		bits = fls64(zero_bits);
	/* A mask of 64 bits does not limit, and its limit is no u64. */
	return bits > 63 ? end : min_t(u64, end, 1ull << bits);
}

/**
 * ntvm_rules_allocate_range - check and round the range of an allocate call
 * @base: wished address, 0 if the module is to choose
 * @len: bytes
 * @zero_bits: passed ntvm_rules_allocate_type()
 * @type: passed ntvm_rules_allocate_type(); NTVM_ALLOC_RESERVE in it decides
 *	  whether @base is rounded to the granularity or to the page
 * @space: the address space
 * @out: the range, written on success only. With @base 0, @out->start is 0,
 *	 @out->end the rounded size, and a place for it is to be looked for in
 *	 [@out->lowest, @out->limit), which may be too small or even empty.
 *	 @out->start may lie below @space->min when @base is not 0.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS, INVALID_PARAMETER_2 (@base too high),
 * INVALID_PARAMETER_4 (@len 0 or too large) or INVALID_PARAMETER_3 (@len
 * larger than what @zero_bits leaves).
 */
u32 ntvm_rules_allocate_range(u64 base, u64 len, u64 zero_bits, u32 type,
			      const struct ntvm_space *space, struct ntvm_range *out)
{
	u64 limit = space->end;

	if (base >= space->end)
		return NTVM_STATUS_INVALID_PARAMETER_2;
	if (!len || len > space->end - base)
		return NTVM_STATUS_INVALID_PARAMETER_4;
	/* space->end is page aligned, so rounding up cannot pass it. */
	if (!base) {
		limit = ntvm_rules_limit(zero_bits, limit);
		if (ntvm_round_up(len, NTVM_PAGE_BYTES) > limit)
			return NTVM_STATUS_INVALID_PARAMETER_3;
	}
	out->start = ntvm_round_down(base, type & NTVM_ALLOC_RESERVE ?
				     NTVM_GRANULARITY : NTVM_PAGE_BYTES);
	out->end = ntvm_round_up(base + len, NTVM_PAGE_BYTES);
	out->lowest = space->min;
	out->limit = limit;
	out->align = NTVM_GRANULARITY;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_plain - the extended call has no numbered statuses
 * @status: of the plain call
 *
 * Context: Any.
 * Return: @status, or INVALID_PARAMETER for one with a number.
 */
u32 ntvm_rules_plain(u32 status)
{
	if (status >= NTVM_STATUS_INVALID_PARAMETER_1 && status <= NTVM_STATUS_INVALID_PARAMETER_6)
		return NTVM_STATUS_INVALID_PARAMETER;
	return status;
}

/**
 * ntvm_rules_extended_type - the first checks of an extended allocate call
 * @type: NTVM_ALLOC_*
 * @protect: NTVM_PAGE_*
 *
 * As ntvm_rules_allocate_type(), and placeholders: one is reserved, with
 * NOACCESS and nothing else; one is replaced by a reservation, committed or
 * not, of ordinary pages.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS, INVALID_PARAMETER or INVALID_PAGE_PROTECTION.
 */
u32 ntvm_rules_extended_type(u32 type, u32 protect)
{
	u32 place = type & NTVM_ALLOC_PLACEHOLDER;
	u32 with = NTVM_ALLOC_RESERVE | NTVM_ALLOC_TOP_DOWN;
	u32 status;

	if (type & ~NTVM_ALLOC_KNOWN)
		return NTVM_STATUS_INVALID_PARAMETER;
	if (place) {
		if (place == NTVM_ALLOC_REPLACE_PLACEHOLDER)
			with |= NTVM_ALLOC_COMMIT | NTVM_ALLOC_WRITE_WATCH;
		if (!is_power_of_2(place) || !(type & NTVM_ALLOC_RESERVE) ||
		    (type & ~place & ~with))
			return NTVM_STATUS_INVALID_PARAMETER;
	} else if (ntvm_rules_allocate_combination(type) ||
		   ((type & NTVM_ALLOC_PHYSICAL) && protect != NTVM_PAGE_READWRITE)) {
		return NTVM_STATUS_INVALID_PARAMETER;
	}
	status = ntvm_rules_protect_word(protect);
	if (!status && place == NTVM_ALLOC_RESERVE_PLACEHOLDER && protect != NTVM_PAGE_NOACCESS)
		status = NTVM_STATUS_INVALID_PARAMETER;
	return status;
}

/**
 * ntvm_rules_extended_range - check and round the range of an extended allocate call
 * @base: wished address, 0 if the module is to choose
 * @len: bytes
 * @type: passed ntvm_rules_extended_type()
 * @space: the address space
 * @out: as of ntvm_rules_allocate_range()
 *
 * Placeholders lie at any page: the base of a replacement is rounded to one.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS or INVALID_PARAMETER.
 */
u32 ntvm_rules_extended_range(u64 base, u64 len, u32 type, const struct ntvm_space *space,
			      struct ntvm_range *out)
{
	if (type & NTVM_ALLOC_REPLACE_PLACEHOLDER) {
		if (!base)
			return NTVM_STATUS_INVALID_PARAMETER;
		type &= ~NTVM_ALLOC_RESERVE;
	}
	return ntvm_rules_plain(ntvm_rules_allocate_range(base, len, 0, type, space, out));
}

/**
 * ntvm_rules_parameters - check extended parameters
 * @params: the parameters
 * @count: how many; NTVM_PARAMETER_MAX of them cannot all be right
 * @out: what they say, written on success only
 *
 * There are no partitions, no physical pages and no foreign machines here, and
 * no attribute of memory that could be asked for.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS or INVALID_PARAMETER.
 */
u32 ntvm_rules_parameters(const struct ntvm_parameter *params, u32 count,
			  struct ntvm_extended *out)
{
	struct ntvm_extended ext = { .node = NTVM_NO_NODE };
	u32 seen = 0, i;

	for (i = 0; i < count; i++) {
		u64 type = params[i].type, value = params[i].value;

		if (type >= NTVM_PARAMETER_MAX || (seen & (1u << type)))
			return NTVM_STATUS_INVALID_PARAMETER;
		seen |= 1u << type;
		switch (type) {
		case NTVM_PARAMETER_ADDRESS:
			ext.requirements = value;
			ext.constrained = true;
			break;
		case NTVM_PARAMETER_NODE:
			ext.node = value;	/* NT has a ULONG there */
			break;
		case NTVM_PARAMETER_ATTRIBUTES:
			if (value)
				return NTVM_STATUS_INVALID_PARAMETER;
			break;
		default:
			return NTVM_STATUS_INVALID_PARAMETER;
		}
	}
	*out = ext;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_requirements - check where a range shall be
 * @req: the caller's wishes; all 0: none
 * @base: wished address, with which only no wishes go together
 * @space: the address space
 * @range: from ntvm_rules_extended_range(); its bounds are narrowed on success
 *
 * Wishes that cannot be granted pass: there will be no such hole.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS or INVALID_PARAMETER.
 */
u32 ntvm_rules_requirements(const struct ntvm_requirements *req, u64 base,
			    const struct ntvm_space *space, struct ntvm_range *range)
{
	if (!req->lowest && !req->highest && !req->alignment)
		return NTVM_STATUS_SUCCESS;
	if (base)
		return NTVM_STATUS_INVALID_PARAMETER;
	if (req->alignment &&
	    (!is_power_of_2(req->alignment) || req->alignment < NTVM_GRANULARITY))
		return NTVM_STATUS_INVALID_PARAMETER;
	if (req->lowest >= space->end || (req->lowest & (NTVM_GRANULARITY - 1)))
		return NTVM_STATUS_INVALID_PARAMETER;
	if (req->highest) {
		if (req->highest >= space->end || ((req->highest + 1) & (NTVM_PAGE_BYTES - 1)) ||
		    req->highest <= req->lowest)
			return NTVM_STATUS_INVALID_PARAMETER;
		range->limit = req->highest + 1;
	}
	if (req->lowest > range->lowest)
		range->lowest = req->lowest;
	if (req->alignment)
		range->align = req->alignment;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_large_range - the same for large pages, after the general checks
 * @base: as of ntvm_rules_allocate_range()
 * @len: as of ntvm_rules_allocate_range()
 * @range: passed that; learns the alignment
 *
 * Nothing is rounded: base and size are multiples of a large page.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS, INVALID_PARAMETER_2 (@base) or
 * INVALID_PARAMETER_4 (@len).
 */
u32 ntvm_rules_large_range(u64 base, u64 len, struct ntvm_range *range)
{
	if (base & (NTVM_LARGE_BYTES - 1))
		return NTVM_STATUS_INVALID_PARAMETER_2;
	if (len & (NTVM_LARGE_BYTES - 1))
		return NTVM_STATUS_INVALID_PARAMETER_4;
	if (range->align < NTVM_LARGE_BYTES)
		range->align = NTVM_LARGE_BYTES;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_free_type - check the type of a free call
 * @type: NTVM_FREE_*
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS or NTVM_STATUS_INVALID_PARAMETER_4.
 */
u32 ntvm_rules_free_type(u32 type)
{
	switch (type) {
	case NTVM_FREE_DECOMMIT:
	case NTVM_FREE_RELEASE:
	case NTVM_FREE_RELEASE | NTVM_FREE_PRESERVE:
	case NTVM_FREE_RELEASE | NTVM_FREE_COALESCE:
		return NTVM_STATUS_SUCCESS;
	}
	return NTVM_STATUS_INVALID_PARAMETER_4;
}

/* Checks and rounding that free and protect share; @len 0 passes. */
static u32 ntvm_rules_user_range(u64 base, u64 len, const struct ntvm_space *space,
				 struct ntvm_range *out)
{
	if (base >= space->user_end)
		return NTVM_STATUS_INVALID_PARAMETER_2;
	if (len > space->user_end - base)
		return NTVM_STATUS_INVALID_PARAMETER_3;
	out->start = ntvm_round_down(base, NTVM_PAGE_BYTES);
	out->end = len ? ntvm_round_up(base + len, NTVM_PAGE_BYTES) : out->start;
	out->lowest = 0;
	out->limit = space->user_end;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_free_range - check and round the range of a free call
 * @base: an address of the range
 * @len: bytes, 0 for the whole region
 * @type: passed ntvm_rules_free_type()
 * @contract: NTVM_CONTRACT_* of the process
 * @space: the address space
 * @out: the range; @out->end == @out->start when the whole region is meant.
 *	 Not to be used on failure.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS, INVALID_PARAMETER_2 (@base) or
 * INVALID_PARAMETER_3 (@len).
 */
u32 ntvm_rules_free_range(u64 base, u64 len, u32 type, u32 contract,
			  const struct ntvm_space *space, struct ntvm_range *out)
{
	u32 status;

	if (contract == NTVM_CONTRACT_DOCUMENTED && type == NTVM_FREE_RELEASE && len)
		return NTVM_STATUS_INVALID_PARAMETER_3;
	status = ntvm_rules_user_range(base, len, space, out);
	if (status)
		return status;
	if (!len && (type & (NTVM_FREE_PRESERVE | NTVM_FREE_COALESCE)))
		return NTVM_STATUS_INVALID_PARAMETER_3;
	return NTVM_STATUS_SUCCESS;
}

/**
 * ntvm_rules_protect_range - check and round the range of a protect call
 * @base: an address of the range
 * @len: bytes
 * @space: the address space
 * @out: the range. Not to be used on failure.
 *
 * Context: Any.
 * Return: NTVM_STATUS_SUCCESS, INVALID_PARAMETER_2 (@base) or
 * INVALID_PARAMETER_3 (@len).
 */
u32 ntvm_rules_protect_range(u64 base, u64 len, const struct ntvm_space *space,
			     struct ntvm_range *out)
{
	u32 status = ntvm_rules_user_range(base, len, space, out);

	if (status)
		return status;
	return len ? NTVM_STATUS_SUCCESS : NTVM_STATUS_INVALID_PARAMETER_3;
}
