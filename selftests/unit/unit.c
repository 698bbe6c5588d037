// SPDX-License-Identifier: GPL-2.0-only
/*
 * The allocator behind pure_user.h and the random numbers of the tests. One
 * thread, no locks.
 */
#include "pure_user.h"
#include "unit.h"

long unit_alive;
long unit_allocations = -1;

struct kmem_cache *unit_cache_create(size_t bytes, unsigned int flags)
{
	struct kmem_cache *cache = malloc(sizeof(*cache));

	(void)flags;
	if (cache)
		cache->bytes = bytes;
	return cache;
}

void *unit_cache_alloc(struct kmem_cache *cache, unsigned int gfp)
{
	void *object;

	(void)gfp;
	if (!unit_allocations)
		return NULL;
	if (unit_allocations > 0)
		unit_allocations--;
	object = malloc(cache->bytes);
	if (!object)
		return NULL;
	/* What a kernel object holds when it is new: anything. */
	memset(object, 0xa5, cache->bytes);
	unit_alive++;
	return object;
}

void unit_cache_free(struct kmem_cache *cache, void *object)
{
	(void)cache;
	unit_alive--;
	free(object);
}

void unit_cache_destroy(struct kmem_cache *cache)
{
	free(cache);
}

u64 unit_random(u64 *seed)
{
	/* splitmix64 */
	u64 z = (*seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

unsigned long unit_below(u64 *seed, unsigned long limit)
{
	return unit_random(seed) % limit;
}
