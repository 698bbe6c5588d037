// SPDX-License-Identifier: GPL-2.0-only
/*
 * The region tree. NT looks allocations up by any address inside them and by
 * the next one above an address, and never merges neighbours: a red-black tree
 * by start address gives both. Takes no lock: the caller holds the one that
 * guards the tree, shared to look up, exclusive to change.
 */
#include "region.h"

static struct ntvm_region *ntvm_region_of(struct rb_node *node)
{
	return rb_entry(node, struct ntvm_region, node);
}

/**
 * ntvm_regions_init - make an empty tree
 * @t: the tree
 *
 * Context: Any; nobody else knows @t yet.
 */
void ntvm_regions_init(struct ntvm_regions *t)
{
	t->root = RB_ROOT;
	t->nr = 0;
	t->bytes = 0;
}

/**
 * ntvm_regions_find - the region that an address lies in
 * @t: the tree
 * @addr: any address
 *
 * Context: The caller excludes writers.
 * Return: the region, or NULL when @addr is in none.
 */
struct ntvm_region *ntvm_regions_find(const struct ntvm_regions *t, unsigned long addr)
{
	struct rb_node *node = t->root.rb_node;

	while (node) {
		struct ntvm_region *r = ntvm_region_of(node);

		if (addr < r->start)
			node = node->rb_left;
		else if (addr >= r->end)
			node = node->rb_right;
		else
			return r;
	}
	return NULL;
}

/**
 * ntvm_regions_from - the first region at or above an address
 * @t: the tree
 * @addr: any address
 *
 * Context: The caller excludes writers.
 * Return: the lowest region that ends above @addr, so the one that holds @addr
 * if there is one; NULL when there is none.
 */
struct ntvm_region *ntvm_regions_from(const struct ntvm_regions *t, unsigned long addr)
{
	struct rb_node *node = t->root.rb_node;
	struct ntvm_region *best = NULL;

	while (node) {
		struct ntvm_region *r = ntvm_region_of(node);

		if (r->end > addr) {
			best = r;
			if (r->start <= addr)
				break;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

/**
 * ntvm_regions_next - the next higher region
 * @r: a region in a tree
 *
 * Context: The caller excludes writers.
 * Return: the region, or NULL when @r is the highest.
 */
struct ntvm_region *ntvm_regions_next(const struct ntvm_region *r)
{
	struct rb_node *node = rb_next(&r->node);

	return node ? ntvm_region_of(node) : NULL;
}

/**
 * ntvm_regions_insert - add a region
 * @t: the tree
 * @r: the region, @r->start and @r->end filled in
 *
 * Context: The caller excludes readers and writers.
 * Return: true, or false with nothing changed when @r is empty or shares a
 * byte with a region of the tree.
 */
bool ntvm_regions_insert(struct ntvm_regions *t, struct ntvm_region *r)
{
	struct rb_node **link = &t->root.rb_node;
	struct rb_node *parent = NULL;

	if (r->start >= r->end)
		return false;
	while (*link) {
		struct ntvm_region *other = ntvm_region_of(*link);

		parent = *link;
		if (r->end <= other->start)
			link = &parent->rb_left;
		else if (r->start >= other->end)
			link = &parent->rb_right;
		else
			return false;
	}
	rb_link_node(&r->node, parent, link);
	rb_insert_color(&r->node, &t->root);
	t->nr++;
	t->bytes += r->end - r->start;
	return true;
}

/**
 * ntvm_regions_remove - take a region out; it is not freed
 * @t: the tree
 * @r: a region in it
 *
 * Context: The caller excludes readers and writers.
 */
void ntvm_regions_remove(struct ntvm_regions *t, struct ntvm_region *r)
{
	rb_erase(&r->node, &t->root);
	RB_CLEAR_NODE(&r->node);
	t->nr--;
	t->bytes -= r->end - r->start;
}

/**
 * ntvm_regions_resize - move the ends of a region
 * @t: the tree
 * @r: a region in it
 * @start: the new first byte
 * @end: the new first byte behind it, above @start
 *
 * The new range must not touch another region: the region keeps its place in
 * the tree.
 *
 * Context: The caller excludes readers and writers.
 */
void ntvm_regions_resize(struct ntvm_regions *t, struct ntvm_region *r,
			 unsigned long start, unsigned long end)
{
	t->bytes -= r->end - r->start;
	r->start = start;
	r->end = end;
	t->bytes += end - start;
}
