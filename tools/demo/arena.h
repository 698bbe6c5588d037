/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A malloc over one NT reservation. It exists to put a real program on NT
 * memory: address space is reserved once, memory is committed when it is
 * needed and decommitted when it is free again, which on Linux usually costs a
 * VMA per piece and here costs none.
 *
 * Thread-safe. One arena per process, because SQLite's allocator hooks carry
 * no context worth having.
 */
#ifndef NTVM_DEMO_ARENA_H
#define NTVM_DEMO_ARENA_H

#include <stddef.h>

struct arena_stats {
	void *base;		/* of the reservation */
	size_t reserved;	/* bytes, bookkeeping included */
	size_t committed;	/* bytes, bookkeeping included, as the arena counts */
	size_t peak;		/* highest value of @committed */
	size_t in_use;		/* bytes of the blocks handed out, as rounded */
	size_t bookkeeping;	/* committed bytes of the arena's own tables */
	unsigned long blocks;	/* handed out now */
	unsigned long commits;	/* calls made so far */
	unsigned long decommits;
	unsigned long holes;	/* pages decommitted so far between blocks in use */
	const char *error;	/* the first call that failed, or NULL */
	int status;		/* its NTSTATUS */
};

/* Reserve @bytes. Returns 0, or an NTSTATUS. */
int arena_open(size_t bytes);

/* Release the reservation, whatever is still in use. Returns 0, or an NTSTATUS. */
int arena_close(void);

void *arena_malloc(size_t size);
void *arena_realloc(void *block, size_t size);
void arena_free(void *block);

/* The bytes that the block really has; at least those asked for. */
size_t arena_size(const void *block);

/* The arena_size() that a block of @size would have. */
size_t arena_round(size_t size);

/* Decommit every free page, also those kept back against thrashing. */
void arena_trim(void);

void arena_get_stats(struct arena_stats *stats);

/* Walk all tables. Returns NULL, or what is wrong. */
const char *arena_check(void);

#endif /* NTVM_DEMO_ARENA_H */
