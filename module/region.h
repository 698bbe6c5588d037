/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The region tree: the allocations of one process, by address. Pure: builds in
 * user space too (see pure.h).
 */
#ifndef NTVM_REGION_H
#define NTVM_REGION_H

#include "pure.h"

struct ntvm_extent;

/**
 * struct ntvm_region - one NT allocation
 * @node: in the tree of its process
 * @start: first byte, page aligned; AllocationBase
 * @end: first byte behind it, page aligned
 * @protect: NTVM_PAGE_* of the reserve call; AllocationProtect
 * @flags: NTVM_REGION_*
 * @torn: a part may be without a VMA, because mapping it anew has failed
 * @extent: the mapping it lies in
 */
struct ntvm_region {
	struct rb_node node;
	unsigned long start;
	unsigned long end;
	u32 protect;
	u32 flags;
	bool torn;
	struct ntvm_extent *extent;
};

#define NTVM_REGION_PLACEHOLDER	0x1u	/* reserved, and only to be split, joined, replaced */
#define NTVM_REGION_REPLACED	0x2u	/* was a placeholder and can become one again */

/**
 * struct ntvm_regions - the tree; regions never overlap and never merge
 * @root: ordered by @start
 * @nr: regions in it
 * @bytes: sum of their sizes
 *
 * The caller locks: shared for the look-ups, exclusive for insert, remove and
 * resize.
 */
struct ntvm_regions {
	struct rb_root root;
	unsigned long nr;
	unsigned long bytes;
};

void ntvm_regions_init(struct ntvm_regions *t);
struct ntvm_region *ntvm_regions_find(const struct ntvm_regions *t, unsigned long addr);
struct ntvm_region *ntvm_regions_from(const struct ntvm_regions *t, unsigned long addr);
struct ntvm_region *ntvm_regions_next(const struct ntvm_region *r);
bool ntvm_regions_insert(struct ntvm_regions *t, struct ntvm_region *r);
void ntvm_regions_remove(struct ntvm_regions *t, struct ntvm_region *r);
void ntvm_regions_resize(struct ntvm_regions *t, struct ntvm_region *r,
			 unsigned long start, unsigned long end);

#endif
