// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extents and regions as objects: made, counted, destroyed. Needs no lock;
 * whoever holds a reference may use these.
 */
#include <linux/slab.h>

#include "ntvm.h"

static struct kmem_cache *ntvm_extent_cache;
static struct kmem_cache *ntvm_region_cache;

/* Locks are made with the slab and are free again whenever an extent is; @latched is empty. */
static void ntvm_extent_ctor(void *obj)
{
	struct ntvm_extent *x = obj;

	mutex_init(&x->lock);
	init_rwsem(&x->fault_lock);
	xa_init(&x->latched);
	xa_init_flags(&x->locked, XA_FLAGS_ACCOUNT);
}

/**
 * ntvm_extent_alloc - make an extent that maps nothing yet
 * @p: the process it will belong to; has a shadow
 * @pages: how many it will have
 * @state: what they are
 *
 * Context: process context, may sleep.
 * Return: the extent with one reference, or NULL.
 */
struct ntvm_extent *ntvm_extent_alloc(struct ntvm_process *p, unsigned long pages, u8 state)
{
	struct ntvm_extent *x = kmem_cache_alloc(ntvm_extent_cache, GFP_KERNEL_ACCOUNT);

	if (!x)
		return NULL;
	refcount_set(&x->refs, 1);
	x->process = p;
	x->start = 0;
	x->end = 0;
	ntvm_pages_init(&x->pages, pages, state, ntvm_quota_get(p->quota));
	x->executable = false;
	x->policy = false;
	x->private = false;
	x->traits = 0;
	x->keep = 0;
	x->file = p->shadow;
	x->shift = NTVM_SHADOW_SHIFT;
	x->offers = NULL;
	x->region.extent = x;
	x->region.flags = 0;
	x->region.torn = false;
	return x;
}

/**
 * ntvm_extent_get - take a reference
 * @x: an extent that the caller has a reference on
 *
 * Context: any.
 * Return: @x.
 */
struct ntvm_extent *ntvm_extent_get(struct ntvm_extent *x)
{
	refcount_inc(&x->refs);
	return x;
}

/**
 * ntvm_extent_put - drop a reference; the last one frees the page states
 * @x: the extent
 *
 * Context: process context; may run under the mmap write lock.
 */
void ntvm_extent_put(struct ntvm_extent *x)
{
	if (!refcount_dec_and_test(&x->refs))
		return;
	if (unlikely(x->traits & NTVM_TRAIT_WATCH))
		ntvm_watch_exit(x);
	if (unlikely(x->traits & (NTVM_TRAIT_LOCKED | NTVM_TRAIT_LARGE)))
		ntvm_lock_forget(x, 0, ULONG_MAX);
	ntvm_pages_destroy(&x->pages);
	if (unlikely(x->offers)) {
		ntvm_pages_destroy(x->offers);
		kfree(x->offers);
	}
	ntvm_quota_put(x->pages.quota);
	kmem_cache_free(ntvm_extent_cache, x);
}

/**
 * ntvm_region_alloc - make another region for an extent, in no tree yet
 * @x: the extent; gets a reference
 *
 * The first region of an extent is part of it and needs no memory.
 *
 * Context: process context, may sleep.
 * Return: the region, or NULL.
 */
struct ntvm_region *ntvm_region_alloc(struct ntvm_extent *x)
{
	struct ntvm_region *r = kmem_cache_alloc(ntvm_region_cache, GFP_KERNEL_ACCOUNT);

	if (r) {
		r->extent = ntvm_extent_get(x);
		r->flags = 0;
		r->torn = false;
	}
	return r;
}

/**
 * ntvm_region_free - drop a region that is in no tree, and its extent with it
 * @r: the region
 *
 * Context: process context.
 */
void ntvm_region_free(struct ntvm_region *r)
{
	struct ntvm_extent *x = r->extent;

	if (r != &x->region)
		kmem_cache_free(ntvm_region_cache, r);
	ntvm_extent_put(x);
}

/**
 * ntvm_extent_init - make the caches
 *
 * Return: 0 or -ENOMEM.
 */
int ntvm_extent_init(void)
{
	ntvm_extent_cache = kmem_cache_create("ntvm_extent", sizeof(struct ntvm_extent),
					      0, SLAB_ACCOUNT, ntvm_extent_ctor);
	if (!ntvm_extent_cache)
		return -ENOMEM;
	ntvm_region_cache = kmem_cache_create("ntvm_region", sizeof(struct ntvm_region),
					      0, SLAB_ACCOUNT, NULL);
	if (!ntvm_region_cache) {
		kmem_cache_destroy(ntvm_extent_cache);
		return -ENOMEM;
	}
	return 0;
}

/**
 * ntvm_extent_exit - destroy the caches, which are empty by now
 */
void ntvm_extent_exit(void)
{
	kmem_cache_destroy(ntvm_region_cache);
	kmem_cache_destroy(ntvm_extent_cache);
}
