/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page-state table: one byte per page, in a radix tree whose uniform
 * subtrees are a single tag. Pure: builds in user space too (see pure.h).
 */
#ifndef NTVM_PAGES_H
#define NTVM_PAGES_H

#include "pure.h"

/*
 * A page's byte. 0 is a reserved page; a committed one holds the index of its
 * protection and perhaps the guard bit. The bits above are of extents with the
 * traits that need them, see struct ntvm_extent.
 */
enum ntvm_prot {
	NTVM_PROT_NONE = 0,	/* not committed */
	NTVM_PROT_NA,
	NTVM_PROT_R,
	NTVM_PROT_RW,
	NTVM_PROT_X,
	NTVM_PROT_RX,
	NTVM_PROT_RWX,
};

#define NTVM_STATE_PROT		0x07
#define NTVM_STATE_GUARD	0x08
#define NTVM_STATE_DIRTY	0x10	/* watched, and written since the last reset */
#define NTVM_STATE_RESET	0x20	/* the contents may be dropped under pressure */
#define NTVM_STATE_OFFERED	0x40	/* the same, and not accessible until reclaimed */
#define NTVM_STATE_LOST		0x80	/* with one of these: the contents were dropped */

/* What NT knows of a page; the rest is the module's. */
#define NTVM_STATE_NT		(NTVM_STATE_PROT | NTVM_STATE_GUARD)

struct ntvm_node;

/**
 * struct ntvm_quota - what the tables of one process may take
 * @refs: the process and its extents
 * @nodes: nodes in its tables, in stashes, and what else is counted like them
 *
 * The count changes where nodes are allocated and freed, never in a change that
 * needs none.
 */
struct ntvm_quota {
	refcount_t refs;
	atomic_long_t nodes;
};

/* Nodes that one process may have: by default, and at least. */
#define NTVM_MAX_NODES		(1u << 20)
#define NTVM_MIN_NODES		64u

/* The number in force; a parameter of the module, see quota.c. */
extern unsigned int ntvm_max_nodes;

/**
 * struct ntvm_pages - states of the pages 0 .. @nr - 1 of one extent
 * @nr: number of pages (invariant after init)
 * @height: interior levels above the leaves (invariant after init)
 * @root: a node or a tag
 * @quota: where its nodes are counted (invariant after init)
 *
 * Written by one writer at a time, which the caller excludes from others; read
 * under RCU, or under whatever excludes the writers that may free nodes.
 */
struct ntvm_pages {
	unsigned long nr;
	unsigned int height;
	void *root;
	struct ntvm_quota *quota;
};

/**
 * struct ntvm_stash - nodes allocated ahead, so that a change cannot fail
 * @list: spare nodes
 * @nr: how many
 * @quota: where they are counted; set with the first of them
 */
struct ntvm_stash {
	struct ntvm_node *list;
	unsigned int nr;
	struct ntvm_quota *quota;
};

#define NTVM_STASH_INIT { NULL, 0, NULL }

/* A bitmap of the pages that share a leaf: how many those are, and its words. */
#define NTVM_MAP_PAGES		512u
#define NTVM_MAP_WORDS		(NTVM_MAP_PAGES / 64)

int ntvm_pages_module_init(void);
void ntvm_pages_module_exit(void);
void ntvm_quota_init(struct ntvm_quota *q);
int ntvm_quota_take(struct ntvm_quota *q, bool beyond);
void ntvm_quota_give(struct ntvm_quota *q, unsigned long nr);
void ntvm_pages_init(struct ntvm_pages *t, unsigned long nr, u8 state,
		     struct ntvm_quota *quota);
void ntvm_pages_destroy(struct ntvm_pages *t);
u8 ntvm_pages_get(const struct ntvm_pages *t, unsigned long page);
u8 ntvm_pages_run(const struct ntvm_pages *t, unsigned long page,
		  unsigned long last, unsigned long *run_last);
u8 ntvm_pages_run_long(const struct ntvm_pages *t, unsigned long page,
		       unsigned long last, unsigned long *run_last);
u8 ntvm_pages_run_masked(const struct ntvm_pages *t, unsigned long page,
			 unsigned long last, u8 mask, unsigned long *run_last);
unsigned long ntvm_pages_committed(const struct ntvm_pages *t,
				   unsigned long first, unsigned long last);
unsigned int ntvm_pages_missing(const struct ntvm_pages *t,
				unsigned long first, unsigned long last);
u8 *ntvm_pages_byte(const struct ntvm_pages *t, unsigned long page);
void ntvm_pages_store(struct ntvm_pages *t, unsigned long page, u8 *byte, u8 value);
int ntvm_stash_fill(const struct ntvm_pages *t, struct ntvm_stash *s, unsigned int nr);
int ntvm_stash_fill_beyond(const struct ntvm_pages *t, struct ntvm_stash *s, unsigned int nr);
void ntvm_stash_drop(struct ntvm_stash *s);
void ntvm_pages_set(struct ntvm_pages *t, unsigned long first, unsigned long last,
		    u8 keep, u8 value, struct ntvm_stash *s);
void ntvm_pages_leaf(struct ntvm_pages *t, unsigned long page, struct ntvm_stash *s);
bool ntvm_pages_marked(const struct ntvm_pages *t, unsigned long *pos, unsigned long last,
		       u8 bit, unsigned long *map);
void ntvm_pages_mark(struct ntvm_pages *t, unsigned long page, u8 bit,
		     const unsigned long *map, bool set);

#endif
