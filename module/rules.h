/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Argument rules: what NT checks before it looks at memory, in NT's order, and
 * how it rounds. Pure: builds in user space too (see pure.h).
 */
#ifndef NTVM_RULES_H
#define NTVM_RULES_H

#include "pure.h"

#define NTVM_GRANULARITY	0x10000ul

/* Types that stand alone and want no new memory. */
#define NTVM_ALLOC_RESETS	(NTVM_ALLOC_RESET | NTVM_ALLOC_RESET_UNDO)
#define NTVM_LARGE_BYTES	0x200000ul

/**
 * struct ntvm_space - the address space that arguments are judged against
 * @min: lowest address that a region may have, granularity aligned
 * @end: first address that no region may cover, granularity aligned
 * @user_end: first address above user space
 */
struct ntvm_space {
	unsigned long min;
	unsigned long end;
	unsigned long user_end;
};

/**
 * struct ntvm_range - rounded arguments
 * @start: first byte
 * @end: first byte behind the range; == @start: the whole region is meant
 * @lowest: for a choice of address: not below this
 * @limit: for a choice of address: the range must end at or below this
 * @align: for a choice of address: it is a multiple of this power of two; less
 *	   than the granularity means the granularity
 */
struct ntvm_range {
	unsigned long start;
	unsigned long end;
	unsigned long lowest;
	unsigned long limit;
	unsigned long align;
};

/* No node is preferred: NT's NUMA_NO_PREFERRED_NODE, and no parameter at all. */
#define NTVM_NO_NODE	(~0u)

/**
 * struct ntvm_extended - what extended parameters say
 * @requirements: address of the caller's struct ntvm_requirements
 * @constrained: there is such a parameter
 * @node: the preferred node, or NTVM_NO_NODE
 */
struct ntvm_extended {
	u64 requirements;
	bool constrained;
	u32 node;
};

u32 ntvm_rules_protect_word(u32 protect);
bool ntvm_rules_protect_private(u32 protect);
u8 ntvm_rules_protect_state(u32 protect);
u32 ntvm_rules_state_protect(u8 state);

u32 ntvm_rules_allocate_type(u64 zero_bits, u32 type, u32 protect, bool mask_ok);
u32 ntvm_rules_allocate_range(u64 base, u64 len, u64 zero_bits, u32 type,
			      const struct ntvm_space *space, struct ntvm_range *out);
u32 ntvm_rules_plain(u32 status);
u32 ntvm_rules_extended_type(u32 type, u32 protect);
u32 ntvm_rules_extended_range(u64 base, u64 len, u32 type, const struct ntvm_space *space,
			      struct ntvm_range *out);
u32 ntvm_rules_parameters(const struct ntvm_parameter *params, u32 count,
			  struct ntvm_extended *out);
u32 ntvm_rules_requirements(const struct ntvm_requirements *req, u64 base,
			    const struct ntvm_space *space, struct ntvm_range *range);
u32 ntvm_rules_large_range(u64 base, u64 len, struct ntvm_range *range);
u32 ntvm_rules_free_type(u32 type);
u32 ntvm_rules_free_range(u64 base, u64 len, u32 type, u32 contract,
			  const struct ntvm_space *space, struct ntvm_range *out);
u32 ntvm_rules_protect_range(u64 base, u64 len, const struct ntvm_space *space,
			     struct ntvm_range *out);

#endif
