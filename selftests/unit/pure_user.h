/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What module/pure.h takes from the kernel, for a build in user space. The
 * basics come from Linux's own tools/include; allocation counts what is alive
 * and can be told to fail. One thread, so RCU ends at once: a node that is used
 * after it was freed is a use after free for the sanitizer.
 */
#ifndef NTVM_PURE_USER_H
#define NTVM_PURE_USER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/rbtree.h>

/* Objects alive, and how many allocations succeed from now on (-1: all). */
extern long unit_alive;
extern long unit_allocations;

#undef WARN_ON_ONCE
#define WARN_ON_ONCE(condition) ({						\
	bool warn__ = (condition);						\
										\
	if (warn__) {								\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);	\
		abort();							\
	}									\
	warn__;									\
})

#undef smp_store_release
/* Needs no partner here: one thread. */
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Nobody waits, and nobody is killed. */
#define cond_resched()		do { } while (0)
#define current			NULL
#define fatal_signal_pending(task)	((void)(task), false)

/* One thread: a number is atomic. */
typedef struct { int counter; } refcount_t;
#define refcount_set(v, i)		((v)->counter = (i))
#define atomic_long_set(v, i)		((v)->counter = (i))
#define atomic_long_read(v)		((v)->counter)
#define atomic_long_inc_return(v)	(++(v)->counter)
#define atomic_long_dec(v)		((v)->counter--)
#define atomic_long_sub(i, v)		((v)->counter -= (i))

#ifndef noinline
#define noinline			__attribute__((noinline))
#endif

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};

static inline void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	func(head);
}

static inline void rcu_barrier(void)
{
}

struct kmem_cache {
	size_t bytes;
};

#define SLAB_ACCOUNT		0u
#define GFP_KERNEL_ACCOUNT	0u
#define KMEM_CACHE(type, flags)	unit_cache_create(sizeof(struct type), flags)

struct kmem_cache *unit_cache_create(size_t bytes, unsigned int flags);
void *unit_cache_alloc(struct kmem_cache *cache, unsigned int gfp);
void unit_cache_free(struct kmem_cache *cache, void *object);
void unit_cache_destroy(struct kmem_cache *cache);

#define kmem_cache_alloc(cache, gfp)	unit_cache_alloc(cache, gfp)
#define kmem_cache_free(cache, object)	unit_cache_free(cache, object)
#define kmem_cache_destroy(cache)	unit_cache_destroy(cache)

#endif
