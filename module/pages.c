// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page-state table. A region may be terabytes of reserved memory with a
 * few committed pages, or a million pages that differ one by one; the fault
 * handler asks for one page at a time and must get the answer in a few
 * instructions. So: a radix tree of fixed height in which a subtree whose
 * pages are all in one state is a tag instead of a node.
 *
 * A slot is a tag (state << 1 | 1) or a pointer to a node, which is a leaf at
 * the lowest level and has NTVM_FANOUT slots above it. The tree spans a power
 * of two of pages; the pages behind the last one always have its state, so
 * that a change of all pages is a change of the whole tree.
 *
 * Locks: writers exclude each other. Readers hold rcu_read_lock() or exclude
 * the writers that free nodes, see ntvm_pages_set(): a node is filled in before
 * it is published and freed only after a grace period, and nothing writes to it
 * once it is out of the tree. A state is one byte and is stored whole. Slots
 * are read with READ_ONCE() and published with smp_store_release(): that is
 * rcu_dereference() and rcu_assign_pointer() for a pointer that may be a tag.
 */
#include "pages.h"

#define NTVM_LEAF_BITS		9
#define NTVM_LEAF_PAGES		NTVM_MAP_PAGES
#define NTVM_LEAF_WORDS		(NTVM_LEAF_PAGES / sizeof(unsigned long))
#define NTVM_NODE_BITS		6
#define NTVM_FANOUT		64u
/* Enough for 2^63 pages. */
#define NTVM_HEIGHT_MAX		9

/* A byte in every byte of a word. */
#define NTVM_BYTES(byte)	((unsigned long)(byte) * (~0ul / 0xff))

/* Interior nodes freed or changed between two offers to reschedule. */
#define NTVM_FREE_BATCH		64

/* Leaves, or runs, looked at between two such offers. */
#define NTVM_LOOK_BATCH		1024

/**
 * struct ntvm_node - a leaf or an interior node; only its level tells which
 * @state: leaf, one byte per page
 * @word: leaf, the same as words
 * @slot: interior, tags and nodes
 * @rcu: once out of the tree
 * @next: in a stash
 */
struct ntvm_node {
	union {
		u8 state[NTVM_LEAF_PAGES];
		unsigned long word[NTVM_LEAF_WORDS];
		void *slot[NTVM_FANOUT];
	};
	union {
		struct rcu_head rcu;
		struct ntvm_node *next;
	};
};

/* A change of a range, for the functions below ntvm_pages_set(). */
struct ntvm_change {
	u8 keep;
	u8 value;
	unsigned int freed;
	unsigned int parents;
	struct ntvm_stash *stash;
	struct ntvm_quota *quota;
};

static struct kmem_cache *ntvm_node_cache;

unsigned int ntvm_max_nodes = NTVM_MAX_NODES;

/**
 * ntvm_pages_module_init - make what all tables share
 *
 * Context: Module init, may sleep.
 * Return: 0 or -ENOMEM.
 */
int ntvm_pages_module_init(void)
{
	ntvm_node_cache = KMEM_CACHE(ntvm_node, SLAB_ACCOUNT);
	return ntvm_node_cache ? 0 : -ENOMEM;
}

/**
 * ntvm_pages_module_exit - undo ntvm_pages_module_init()
 *
 * Context: Module exit, after the last table is destroyed. Waits for the nodes
 * on their way through RCU.
 */
void ntvm_pages_module_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(ntvm_node_cache);
	ntvm_node_cache = NULL;
}

/**
 * ntvm_quota_init - nothing is counted yet
 * @q: the quota, with one reference
 *
 * Context: Any; nobody else knows @q yet.
 */
void ntvm_quota_init(struct ntvm_quota *q)
{
	refcount_set(&q->refs, 1);
	atomic_long_set(&q->nodes, 0);
}

/**
 * ntvm_quota_take - count a node that is about to be allocated
 * @q: the quota
 * @beyond: even if it is one too many
 *
 * Threads at the limit may be refused one of the last few that are free.
 *
 * Context: Any.
 * Return: 0 or -EDQUOT.
 */
int ntvm_quota_take(struct ntvm_quota *q, bool beyond)
{
	if (atomic_long_inc_return(&q->nodes) <= (long)READ_ONCE(ntvm_max_nodes) || beyond)
		return 0;
	atomic_long_dec(&q->nodes);
	return -EDQUOT;
}

/**
 * ntvm_quota_give - nodes are gone
 * @q: the quota
 * @nr: how many
 *
 * Context: Any.
 */
void ntvm_quota_give(struct ntvm_quota *q, unsigned long nr)
{
	atomic_long_sub(nr, &q->nodes);
}

static void ntvm_node_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(ntvm_node_cache, container_of(rcu, struct ntvm_node, rcu));
}

/* The node is out of the tree. */
static void ntvm_node_free(struct ntvm_node *n, struct ntvm_quota *q)
{
	ntvm_quota_give(q, 1);
	call_rcu(&n->rcu, ntvm_node_free_rcu);
}

static void *ntvm_tag(u8 state)
{
	return (void *)((unsigned long)state << 1 | 1);
}

static bool ntvm_is_tag(const void *p)
{
	return (unsigned long)p & 1;
}

static u8 ntvm_tag_state(const void *p)
{
	return (unsigned long)p >> 1;
}

/*
 * The shift that picks a slot of a node at @level out of a page number; level
 * 0 is the leaf, where the shift is below NTVM_LEAF_BITS.
 */
static unsigned int ntvm_level_shift(unsigned int level)
{
	return NTVM_LEAF_BITS - NTVM_NODE_BITS + NTVM_NODE_BITS * level;
}

/* Pages below a node whose slots are picked by @shift, less 1. */
static unsigned long ntvm_shift_mask(unsigned int shift)
{
	return (1ul << (shift + NTVM_NODE_BITS)) - 1;
}

static unsigned int ntvm_slot_index(unsigned long page, unsigned int shift)
{
	return (page >> shift) & (NTVM_FANOUT - 1);
}

/* The pages behind the last one go with it. */
static unsigned long ntvm_pages_extend(const struct ntvm_pages *t, unsigned long last)
{
	return last < t->nr - 1 ? last : ntvm_shift_mask(ntvm_level_shift(t->height));
}

/**
 * ntvm_pages_init - make a table whose pages are all in one state
 * @t: the table
 * @nr: pages, at least 1
 * @state: of all pages
 * @quota: where its nodes are counted; the caller keeps it alive
 *
 * Allocates nothing.
 *
 * Context: Any; nobody else knows @t yet.
 */
void ntvm_pages_init(struct ntvm_pages *t, unsigned long nr, u8 state,
		     struct ntvm_quota *quota)
{
	unsigned int height = 0;

	while (height < NTVM_HEIGHT_MAX && nr - 1 > ntvm_shift_mask(ntvm_level_shift(height)))
		height++;
	t->nr = nr;
	t->height = height;
	t->root = ntvm_tag(state);
	t->quota = quota;
}

/* Frees @n and all below it. Recurses once per level. */
static void ntvm_node_free_all(struct ntvm_node *n, unsigned int level,
			       struct ntvm_quota *quota, unsigned int *freed)
{
	unsigned int i;

	if (level) {
		for (i = 0; i < NTVM_FANOUT; i++) {
			if (!ntvm_is_tag(n->slot[i]))
				ntvm_node_free_all(n->slot[i], level - 1, quota, freed);
		}
		if (++*freed % NTVM_FREE_BATCH == 0)
			cond_resched();
	}
	ntvm_node_free(n, quota);
}

/**
 * ntvm_pages_destroy - free all nodes
 * @t: the table; afterwards all its pages read as reserved
 *
 * Context: May sleep. The caller excludes writers; readers under RCU may still
 * be there.
 */
void ntvm_pages_destroy(struct ntvm_pages *t)
{
	unsigned int freed = 0;
	void *p = t->root;

	WRITE_ONCE(t->root, ntvm_tag(NTVM_PROT_NONE));
	if (!ntvm_is_tag(p))
		ntvm_node_free_all(p, t->height, t->quota, &freed);
}

/**
 * ntvm_pages_get - the state of a page
 * @t: the table
 * @page: below @t->nr
 *
 * Context: Any, under rcu_read_lock() or with freeing writers excluded.
 * Return: the state.
 */
u8 ntvm_pages_get(const struct ntvm_pages *t, unsigned long page)
{
	unsigned int shift = ntvm_level_shift(t->height);
	const struct ntvm_node *n;
	void *p = READ_ONCE(t->root);

	while (!ntvm_is_tag(p)) {
		n = p;
		if (shift < NTVM_LEAF_BITS)
			return READ_ONCE(n->state[page % NTVM_LEAF_PAGES]);
		p = READ_ONCE(n->slot[ntvm_slot_index(page, shift)]);
		shift -= NTVM_NODE_BITS;
	}
	return ntvm_tag_state(p);
}

/**
 * ntvm_pages_byte - where the state of a page is stored by itself
 * @t: the table
 * @page: below @t->nr
 *
 * The way to change one page without a walk for each question.
 *
 * Context: As ntvm_pages_missing(); what it returns stays valid as long.
 * Return: the byte, or NULL if the page is part of a tag.
 */
u8 *ntvm_pages_byte(const struct ntvm_pages *t, unsigned long page)
{
	unsigned int shift = ntvm_level_shift(t->height);
	void *p = READ_ONCE(t->root);
	struct ntvm_node *n;

	while (!ntvm_is_tag(p)) {
		n = p;
		if (shift < NTVM_LEAF_BITS)
			return &n->state[page % NTVM_LEAF_PAGES];
		p = READ_ONCE(n->slot[ntvm_slot_index(page, shift)]);
		shift -= NTVM_NODE_BITS;
	}
	return NULL;
}

/*
 * The leaf or tag that holds the state of @page. *@end becomes the last page
 * that the answer holds for; equal neighbours of a tag in its node are taken
 * along as far as @last.
 */
static void *ntvm_pages_at(const struct ntvm_pages *t, unsigned long page,
			   unsigned long last, unsigned long *end)
{
	unsigned int shift = ntvm_level_shift(t->height);
	const struct ntvm_node *n;
	void *p = READ_ONCE(t->root);
	unsigned int i;

	if (ntvm_is_tag(p)) {
		*end = ntvm_shift_mask(shift);
		return p;
	}
	for (;;) {
		n = p;
		if (shift < NTVM_LEAF_BITS) {
			*end = page | (NTVM_LEAF_PAGES - 1);
			return p;
		}
		i = ntvm_slot_index(page, shift);
		p = READ_ONCE(n->slot[i]);
		if (ntvm_is_tag(p)) {
			*end = page | ((1ul << shift) - 1);
			while (*end < last && ++i < NTVM_FANOUT && READ_ONCE(n->slot[i]) == p)
				*end += 1ul << shift;
			return p;
		}
		shift -= NTVM_NODE_BITS;
	}
}

/* The first page of a leaf in [@i, @last] that is not in @state, or @last + 1. */
static unsigned int ntvm_leaf_mismatch(const struct ntvm_node *n, unsigned int i,
				       unsigned int last, u8 state)
{
	const unsigned int bytes = sizeof(unsigned long);

	while (i <= last) {
		if (i % bytes == 0 && last - i >= bytes - 1 &&
		    READ_ONCE(n->word[i / bytes]) == NTVM_BYTES(state)) {
			i += bytes;
			continue;
		}
		if (READ_ONCE(n->state[i]) != state)
			break;
		i++;
	}
	return i;
}

/* The committed pages of a leaf in [@i, @last]. */
static unsigned int ntvm_leaf_committed(const struct ntvm_node *n, unsigned int i,
					unsigned int last)
{
	const unsigned int bytes = sizeof(unsigned long);
	unsigned int nr = 0;
	unsigned long w;

	while (i <= last) {
		if (i % bytes == 0 && last - i >= bytes - 1) {
			/* Bit 0 of each byte: one of NTVM_STATE_PROT is set. */
			w = READ_ONCE(n->word[i / bytes]);
			w = (w | w >> 1 | w >> 2) & NTVM_BYTES(1);
			nr += w * NTVM_BYTES(1) >> (8 * (bytes - 1));
			i += bytes;
		} else {
			nr += !!(READ_ONCE(n->state[i]) & NTVM_STATE_PROT);
			i++;
		}
	}
	return nr;
}

static __always_inline u8 ntvm_run(const struct ntvm_pages *t, unsigned long page,
				   unsigned long last, unsigned long *run_last, bool sleeps)
{
	unsigned long pos = page, end;
	const struct ntvm_node *n;
	unsigned int i, stop, leaves = 0;
	u8 state = 0;
	void *p;

	do {
		p = ntvm_pages_at(t, pos, last, &end);
		end = min(end, last);
		if (ntvm_is_tag(p)) {
			if (pos == page)
				state = ntvm_tag_state(p);
			else if (ntvm_tag_state(p) != state)
				break;
			pos = end + 1;
			continue;
		}
		n = p;
		i = pos % NTVM_LEAF_PAGES;
		if (pos == page)
			state = READ_ONCE(n->state[i++]);
		stop = ntvm_leaf_mismatch(n, i, end % NTVM_LEAF_PAGES, state);
		pos += stop - pos % NTVM_LEAF_PAGES;
		if (sleeps && !(++leaves % NTVM_LOOK_BATCH))
			cond_resched();
	} while (pos > end && pos <= last);
	*run_last = pos - 1;
	return state;
}

/**
 * ntvm_pages_run - the run of equal pages that begins at a page
 * @t: the table
 * @page: the first page
 * @last: look no further, below @t->nr
 * @run_last: last page of the run, at most @last
 *
 * While a writer is at work each page of the run had the state at some moment
 * of the call, not all at the same one. Takes time in proportion to the leaves
 * in the run: for those who know that there are few.
 *
 * Context: Any, under rcu_read_lock() or with freeing writers excluded.
 * Return: the state of @page.
 */
u8 ntvm_pages_run(const struct ntvm_pages *t, unsigned long page,
		  unsigned long last, unsigned long *run_last)
{
	return ntvm_run(t, page, last, run_last, false);
}

/**
 * ntvm_pages_run_long - the same for any range
 * @t: the table
 * @page: the first page
 * @last: look no further, below @t->nr
 * @run_last: last page of the run, at most @last
 *
 * Context: May sleep; freeing writers excluded.
 * Return: the state of @page.
 */
u8 ntvm_pages_run_long(const struct ntvm_pages *t, unsigned long page,
		       unsigned long last, unsigned long *run_last)
{
	return ntvm_run(t, page, last, run_last, true);
}

/**
 * ntvm_pages_run_masked - the run of pages that are equal in some bits
 * @t: the table
 * @page: the first page
 * @last: look no further, below @t->nr
 * @mask: the bits that count
 * @run_last: last page of the run, at most @last
 *
 * A caller that is being killed gets less than the run.
 *
 * Context: As ntvm_pages_run_long().
 * Return: the state of @page, all bits of it.
 */
u8 ntvm_pages_run_masked(const struct ntvm_pages *t, unsigned long page,
			 unsigned long last, u8 mask, unsigned long *run_last)
{
	unsigned long end;
	u8 state = ntvm_pages_run_long(t, page, last, &end);
	unsigned int runs = 0;

	while (end < last && !((ntvm_pages_get(t, end + 1) ^ state) & mask)) {
		ntvm_pages_run_long(t, end + 1, last, &end);
		if (++runs % NTVM_LOOK_BATCH)
			continue;
		cond_resched();
		if (fatal_signal_pending(current))
			break;
	}
	*run_last = end;
	return state;
}

/**
 * ntvm_pages_committed - count committed pages
 * @t: the table
 * @first: first page
 * @last: last page, below @t->nr
 *
 * Takes time in proportion to the leaves in the range.
 *
 * Context: May sleep; freeing writers excluded.
 * Return: how many pages of the range are committed.
 */
unsigned long ntvm_pages_committed(const struct ntvm_pages *t,
				   unsigned long first, unsigned long last)
{
	unsigned long pos = first, nr = 0, end;
	void *p = READ_ONCE(t->root);
	unsigned int leaves = 0;

	if (ntvm_is_tag(p))
		return ntvm_tag_state(p) & NTVM_STATE_PROT ? last - first + 1 : 0;
	while (pos <= last) {
		p = ntvm_pages_at(t, pos, last, &end);
		end = min(end, last);
		if (!ntvm_is_tag(p))
			nr += ntvm_leaf_committed(p, pos % NTVM_LEAF_PAGES, end % NTVM_LEAF_PAGES);
		else if (ntvm_tag_state(p) & NTVM_STATE_PROT)
			nr += end - pos + 1;
		pos = end + 1;
		if (!(++leaves % NTVM_LOOK_BATCH))
			cond_resched();
	}
	return nr;
}

/*
 * Nodes that lie across @edge, a boundary between pages, in a tag whose nodes
 * would have slots picked by @shift. None once the boundary is aligned.
 */
static unsigned int ntvm_edge_nodes(unsigned int shift, unsigned long edge)
{
	unsigned int nr = 0;

	while (edge & ntvm_shift_mask(shift)) {
		nr++;
		if (shift < NTVM_LEAF_BITS)
			break;
		shift -= NTVM_NODE_BITS;
	}
	return nr;
}

/*
 * Nodes missing along one boundary: @edge is the boundary, @page a page next
 * to it inside the range, @p the slot that holds @page.
 */
static unsigned int ntvm_edge_missing(void *p, unsigned int shift, unsigned long edge,
				      unsigned long page)
{
	const struct ntvm_node *n;

	while (edge & ntvm_shift_mask(shift)) {
		if (ntvm_is_tag(p))
			return ntvm_edge_nodes(shift, edge);
		if (shift < NTVM_LEAF_BITS)
			break;
		n = p;
		p = READ_ONCE(n->slot[ntvm_slot_index(page, shift)]);
		shift -= NTVM_NODE_BITS;
	}
	return 0;
}

/* Nodes missing in a tag for [@first, @last], which lies in it. */
static noinline unsigned int ntvm_tag_missing(unsigned int shift, unsigned long first,
					      unsigned long last)
{
	unsigned int nr = 0;

	for (;;) {
		if (!((first | (last + 1)) & ntvm_shift_mask(shift)))
			return nr;
		nr++;
		if (shift < NTVM_LEAF_BITS)
			return nr;
		if (first >> shift != last >> shift)
			break;
		shift -= NTVM_NODE_BITS;
	}
	shift -= NTVM_NODE_BITS;
	return nr + ntvm_edge_nodes(shift, first) + ntvm_edge_nodes(shift, last + 1);
}

/**
 * ntvm_pages_missing - how many nodes a change of a range may need
 * @t: the table
 * @first: first page
 * @last: last page, below @t->nr
 *
 * Only the nodes across the two ends of the range can be missing, so at most
 * 2 * @t->height + 1.
 *
 * Context: The caller excludes freeing writers until its ntvm_pages_set() is
 * done; another writer may add nodes meanwhile, and that only lowers the need.
 * Return: nodes that make ntvm_pages_set() on this range sure to succeed.
 */
unsigned int ntvm_pages_missing(const struct ntvm_pages *t,
				unsigned long first, unsigned long last)
{
	unsigned int shift = ntvm_level_shift(t->height);
	const struct ntvm_node *n;
	void *p = READ_ONCE(t->root);

	last = ntvm_pages_extend(t, last);
	for (;;) {
		if (ntvm_is_tag(p))
			return ntvm_tag_missing(shift, first, last);
		if (shift < NTVM_LEAF_BITS)
			return 0;
		n = p;
		if (first >> shift != last >> shift)
			break;
		p = READ_ONCE(n->slot[ntvm_slot_index(first, shift)]);
		shift -= NTVM_NODE_BITS;
	}
	return ntvm_edge_missing(READ_ONCE(n->slot[ntvm_slot_index(first, shift)]),
				 shift - NTVM_NODE_BITS, first, first) +
	       ntvm_edge_missing(READ_ONCE(n->slot[ntvm_slot_index(last, shift)]),
				 shift - NTVM_NODE_BITS, last + 1, last);
}

static noinline int ntvm_stash_add(struct ntvm_stash *s, unsigned int nr,
				   struct ntvm_quota *q, bool beyond)
{
	struct ntvm_node *n;

	s->quota = q;
	while (s->nr < nr) {
		if (ntvm_quota_take(q, beyond))
			return -EDQUOT;
		n = kmem_cache_alloc(ntvm_node_cache, GFP_KERNEL_ACCOUNT);
		if (!n) {
			ntvm_quota_give(q, 1);
			return -ENOMEM;
		}
		n->next = s->list;
		s->list = n;
		s->nr++;
		if (s->nr % NTVM_FREE_BATCH == 0)
			cond_resched();
	}
	return 0;
}

/**
 * ntvm_stash_fill - allocate nodes ahead
 * @t: the table that they are for
 * @s: the stash
 * @nr: how many it is to hold at least
 *
 * Context: May sleep; charged to the memory cgroup of the caller.
 * Return: 0; or -ENOMEM, or -EDQUOT if the process has as many as it may; then
 *	   @s keeps what it has.
 */
int ntvm_stash_fill(const struct ntvm_pages *t, struct ntvm_stash *s, unsigned int nr)
{
	return s->nr < nr ? ntvm_stash_add(s, nr, t->quota, false) : 0;
}

/**
 * ntvm_stash_fill_beyond - allocate nodes for what cannot be refused
 * @t: the table that they are for
 * @s: the stash
 * @nr: how many it is to hold at least
 *
 * The caller has another bound for how often this can happen.
 *
 * Context: As ntvm_stash_fill().
 * Return: 0 or -ENOMEM; then @s keeps what it has.
 */
int ntvm_stash_fill_beyond(const struct ntvm_pages *t, struct ntvm_stash *s, unsigned int nr)
{
	return s->nr < nr ? ntvm_stash_add(s, nr, t->quota, true) : 0;
}

/**
 * ntvm_stash_drop - free what is left in a stash
 * @s: the stash, empty afterwards
 *
 * Context: May sleep.
 */
void ntvm_stash_drop(struct ntvm_stash *s)
{
	struct ntvm_node *n;

	if (s->nr)
		ntvm_quota_give(s->quota, s->nr);
	while ((n = s->list)) {
		s->list = n->next;
		s->nr--;
		kmem_cache_free(ntvm_node_cache, n);
		if (s->nr % NTVM_FREE_BATCH == 0)
			cond_resched();
	}
}

static struct ntvm_node *ntvm_stash_take(struct ntvm_stash *s)
{
	struct ntvm_node *n = s ? s->list : NULL;

	if (n) {
		s->list = n->next;
		s->nr--;
	}
	return n;
}

/* Are all pages below a node in @state, and no nodes? */
static bool ntvm_node_is_uniform(const struct ntvm_node *n, bool leaf, u8 state)
{
	const void *tag = ntvm_tag(state);
	unsigned int i;

	/* Most are not, and most of those show it at one of the ends. */
	if (leaf) {
		if (n->state[0] != state || n->state[NTVM_LEAF_PAGES - 1] != state)
			return false;
		for (i = 0; i < NTVM_LEAF_WORDS; i++) {
			if (n->word[i] != NTVM_BYTES(state))
				return false;
		}
		return true;
	}
	if (n->slot[0] != tag || n->slot[NTVM_FANOUT - 1] != tag)
		return false;
	for (i = 1; i < NTVM_FANOUT - 1; i++) {
		if (n->slot[i] != tag)
			return false;
	}
	return true;
}

/* Replaces the nodes on the way to @page that have become uniform by tags. */
static noinline void ntvm_pages_fold(struct ntvm_pages *t, unsigned long page, u8 state)
{
	unsigned int shift = ntvm_level_shift(t->height);
	void **path[NTVM_HEIGHT_MAX + 1];
	void **slot = &t->root;
	unsigned int depth = 0;
	struct ntvm_node *n;

	while (!ntvm_is_tag(*slot)) {
		path[depth++] = slot;
		if (shift < NTVM_LEAF_BITS)
			break;
		n = *slot;
		slot = &n->slot[ntvm_slot_index(page, shift)];
		shift -= NTVM_NODE_BITS;
	}
	while (depth--) {
		n = *path[depth];
		if (!ntvm_node_is_uniform(n, depth == t->height, state))
			break;
		WRITE_ONCE(*path[depth], ntvm_tag(state));
		ntvm_node_free(n, t->quota);
	}
}

static void ntvm_leaf_set(struct ntvm_node *n, unsigned int first, unsigned int last,
			  u8 keep, u8 value)
{
	const unsigned int bytes = sizeof(unsigned long);
	unsigned int i = first;

	if (!keep) {
		memset(&n->state[first], value, last - first + 1);
		return;
	}
	while (i <= last) {
		if (i % bytes == 0 && last - i >= bytes - 1) {
			WRITE_ONCE(n->word[i / bytes], (n->word[i / bytes] & NTVM_BYTES(keep)) |
						       NTVM_BYTES(value));
			i += bytes;
		} else {
			WRITE_ONCE(n->state[i], (n->state[i] & keep) | value);
			i++;
		}
	}
}

static void ntvm_slot_set(void **slot, unsigned int level, unsigned long first,
			  unsigned long last, struct ntvm_change *c);

/* Changes [@first, @last] below @n, counted from the first page of @n. */
static void ntvm_node_set(struct ntvm_node *n, unsigned int level, unsigned long first,
			  unsigned long last, struct ntvm_change *c)
{
	unsigned int shift, i, from, to;
	unsigned long mask;

	if (!level) {
		ntvm_leaf_set(n, first, last, c->keep, c->value);
		return;
	}
	shift = ntvm_level_shift(level);
	mask = (1ul << shift) - 1;
	from = first >> shift;
	to = last >> shift;
	if (level == 1 && !(++c->parents % NTVM_FREE_BATCH))
		cond_resched();
	for (i = from; i <= to; i++)
		ntvm_slot_set(&n->slot[i], level - 1, i == from ? first & mask : 0,
			      i == to ? last & mask : mask, c);
}

/* A node at @level with all its pages in the state of the tag @p. */
static __always_inline struct ntvm_node *ntvm_node_split(void *p, unsigned int level,
							 struct ntvm_stash *s)
{
	struct ntvm_node *n = ntvm_stash_take(s);
	unsigned int i;

	if (WARN_ON_ONCE(!n))
		return NULL;
	if (level) {
		for (i = 0; i < NTVM_FANOUT; i++)
			n->slot[i] = p;
	} else {
		memset(n->state, ntvm_tag_state(p), sizeof(n->state));
	}
	return n;
}

/*
 * Changes [@first, @last] below a slot, counted from its first page. Recurses
 * once per level.
 */
static void ntvm_slot_set(void **slot, unsigned int level, unsigned long first,
			  unsigned long last, struct ntvm_change *c)
{
	bool whole = !first && last == ntvm_shift_mask(ntvm_level_shift(level));
	void *p = *slot;
	struct ntvm_node *n;
	u8 state;

	if (ntvm_is_tag(p)) {
		state = (ntvm_tag_state(p) & c->keep) | c->value;
		if (state == ntvm_tag_state(p))
			return;
		if (whole) {
			WRITE_ONCE(*slot, ntvm_tag(state));
			return;
		}
		n = ntvm_node_split(p, level, c->stash);
		if (!n)
			return;
		ntvm_node_set(n, level, first, last, c);
		/* Readers that follow the pointer find @n filled in. */
		smp_store_release(slot, n);
		return;
	}
	n = p;
	if (c->keep) {
		ntvm_node_set(n, level, first, last, c);
	} else if (whole) {
		WRITE_ONCE(*slot, ntvm_tag(c->value));
		ntvm_node_free_all(n, level, c->quota, &c->freed);
	} else {
		ntvm_node_set(n, level, first, last, c);
		if (ntvm_node_is_uniform(n, !level, c->value)) {
			WRITE_ONCE(*slot, ntvm_tag(c->value));
			ntvm_node_free(n, c->quota);
		}
	}
}

/* A change that may split, free or reach several leaves. */
static noinline void ntvm_pages_set_slow(struct ntvm_pages *t, unsigned long first,
					 unsigned long last, u8 keep, u8 value,
					 struct ntvm_stash *s)
{
	struct ntvm_change c = { .keep = keep, .value = value, .stash = s, .quota = t->quota };

	ntvm_slot_set(&t->root, t->height, first, last, &c);
}

/**
 * ntvm_pages_set - change the states of a range
 * @t: the table
 * @first: first page
 * @last: last page, below @t->nr
 * @keep: bits of the old state to keep
 * @value: bits to add
 * @s: at least ntvm_pages_missing() nodes; may be NULL when that is 0
 *
 * The new state of each page is (old & @keep) | @value. With @keep 0, nodes
 * that are no longer needed are freed; with any other no node ever is.
 *
 * Context: The caller excludes writers; readers under RCU see each page in its
 * old or its new state. May sleep; never does for pages of less than 128 MiB if
 * @keep is not 0.
 */
void ntvm_pages_set(struct ntvm_pages *t, unsigned long first, unsigned long last,
		    u8 keep, u8 value, struct ntvm_stash *s)
{
	unsigned int shift = ntvm_level_shift(t->height);
	struct ntvm_node *n = t->root;
	unsigned int i;
	u8 state;

	last = ntvm_pages_extend(t, last);
	/* Most changes are of pages of one leaf that is already there. */
	for (;;) {
		if (ntvm_is_tag(n))
			goto slow;
		if (shift < NTVM_LEAF_BITS)
			break;
		if (first >> shift != last >> shift)
			goto slow;
		n = n->slot[ntvm_slot_index(first, shift)];
		shift -= NTVM_NODE_BITS;
	}
	i = first % NTVM_LEAF_PAGES;
	if (first == last) {
		state = (n->state[i] & keep) | value;
		if (state == n->state[i])
			return;
		WRITE_ONCE(n->state[i], state);
	} else if (last - first < NTVM_LEAF_PAGES - 1) {
		ntvm_leaf_set(n, i, last % NTVM_LEAF_PAGES, keep, value);
	} else {
		goto slow;
	}
	if (!keep && n->state[0] == value && n->state[NTVM_LEAF_PAGES - 1] == value)
		ntvm_pages_fold(t, first, value);
	return;
slow:
	ntvm_pages_set_slow(t, first, last, keep, value, s);
}

/**
 * ntvm_pages_store - change one page that has a byte of its own
 * @t: the table
 * @page: the page
 * @byte: ntvm_pages_byte() of it
 * @value: its new state
 *
 * Same as ntvm_pages_set() for that page with a keep of 0.
 *
 * Context: As ntvm_pages_set().
 */
void ntvm_pages_store(struct ntvm_pages *t, unsigned long page, u8 *byte, u8 value)
{
	const unsigned long *word;

	/* The last page's state is also that of the pages behind it. */
	if (page == t->nr - 1) {
		ntvm_pages_set(t, page, page, 0, value, NULL);
		return;
	}
	WRITE_ONCE(*byte, value);
	word = (const unsigned long *)((unsigned long)byte & ~(sizeof(*word) - 1));
	if (*word == NTVM_BYTES(value))
		ntvm_pages_fold(t, page, value);
}

/**
 * ntvm_pages_leaf - give a page a byte of its own
 * @t: the table
 * @page: below @t->nr
 * @s: as many nodes as @t has levels, @t->height + 1, are always enough
 *
 * No state changes.
 *
 * Context: As ntvm_pages_set(); never sleeps.
 */
void ntvm_pages_leaf(struct ntvm_pages *t, unsigned long page, struct ntvm_stash *s)
{
	unsigned int level = t->height;
	void **slot = &t->root;
	struct ntvm_node *n;

	for (;;) {
		n = *slot;
		if (ntvm_is_tag(n)) {
			n = ntvm_node_split(n, level, s);
			if (!n)
				return;
			/* Readers that follow the pointer find @n filled in. */
			smp_store_release(slot, n);
		}
		if (!level)
			return;
		slot = &n->slot[ntvm_slot_index(page, ntvm_level_shift(level))];
		level--;
	}
}

/* Bit 0 of each byte of a word, put side by side; byte 0 gives bit 0. */
static unsigned long ntvm_bytes_gather(unsigned long w)
{
	return (w * 0x0102040810204080ul) >> 56;
}

/* The opposite: bit i of @bits becomes bit 0 of byte i. */
static unsigned long ntvm_bytes_spread(unsigned long bits)
{
	unsigned long w = (bits * NTVM_BYTES(1)) & 0x8040201008040201ul;

	return ((w + NTVM_BYTES(0x7f)) >> 7) & NTVM_BYTES(1);
}

/**
 * ntvm_pages_marked - which pages have a bit, leaf by leaf
 * @t: the table
 * @pos: in, the first page to look at; out, the first that was not looked at
 * @last: look no further, below @t->nr
 * @bit: the bit; only ntvm_pages_mark() and stores to bytes ever set it
 * @map: out, NTVM_MAP_WORDS words: a bit for each page of the leaf that @pos
 *	 was in, from the leaf's first page on; none for pages not looked at
 *
 * Looks at one leaf, or at a range without a leaf, where no page has the bit.
 *
 * Context: Any, under rcu_read_lock() or with freeing writers excluded.
 * Return: true if @map is not empty.
 */
bool ntvm_pages_marked(const struct ntvm_pages *t, unsigned long *pos, unsigned long last,
		       u8 bit, unsigned long *map)
{
	unsigned int shift = __builtin_ctz(bit), from = *pos % NTVM_LEAF_PAGES, to, i, j;
	unsigned long end, w, any = 0;
	const struct ntvm_node *n;
	void *p;

	p = ntvm_pages_at(t, *pos, last, &end);
	end = min(end, last);
	to = end % NTVM_LEAF_PAGES;
	*pos = end + 1;
	memset(map, 0, NTVM_MAP_WORDS * sizeof(*map));
	if (ntvm_is_tag(p))
		return false;
	n = p;
	for (i = from / 64; i <= to / 64; i++) {
		w = 0;
		for (j = 0; j < 8; j++)
			w |= ntvm_bytes_gather(READ_ONCE(n->word[i * 8 + j]) >> shift &
					       NTVM_BYTES(1)) << (j * 8);
		map[i] = w;
	}
	map[from / 64] &= ~0ul << from % 64;
	map[to / 64] &= ~0ul >> (63 - to % 64);
	for (i = from / 64; i <= to / 64; i++)
		any |= map[i];
	return any;
}

/**
 * ntvm_pages_mark - set or clear a bit of single pages of a leaf
 * @t: the table
 * @page: first page of the leaf; nothing happens if there is none any more
 * @bit: the bit
 * @map: NTVM_MAP_WORDS words that say which pages
 * @set: set it, else clear it
 *
 * Context: As ntvm_pages_set(); never sleeps.
 */
void ntvm_pages_mark(struct ntvm_pages *t, unsigned long page, u8 bit,
		     const unsigned long *map, bool set)
{
	u8 *first = ntvm_pages_byte(t, page);
	unsigned long *word = (unsigned long *)first, mask;
	unsigned int i, j;

	if (!first)
		return;
	for (i = 0; i < NTVM_MAP_WORDS; i++) {
		if (!map[i])
			continue;
		for (j = 0; j < 8; j++) {
			mask = ntvm_bytes_spread(map[i] >> (j * 8) & 0xff) * bit;
			WRITE_ONCE(word[i * 8 + j], set ? word[i * 8 + j] | mask :
							  word[i * 8 + j] & ~mask);
		}
	}
}
