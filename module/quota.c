// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module's own books of one process may take of the kernel's memory.
 * vm.max_map_count does not bound them: page states need no VMA, and neither do
 * the pieces of a placeholder. So there are two numbers, parameters of the
 * module: nodes of page-state tables, counted by pages.c where they are
 * allocated, and regions, which the region tree counts. No lock: the count of
 * nodes is atomic, that of regions changes with the process lock held
 * exclusively.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "ntvm.h"

#define NTVM_MAX_REGIONS	(1u << 20)

static unsigned int ntvm_max_regions = NTVM_MAX_REGIONS;

static int ntvm_quota_set_regions(const char *text, const struct kernel_param *param)
{
	return param_set_uint_minmax(text, param, 1, INT_MAX);
}

static const struct kernel_param_ops ntvm_quota_regions_ops = {
	.set = ntvm_quota_set_regions,
	.get = param_get_uint,
};
module_param_cb(max_regions, &ntvm_quota_regions_ops, &ntvm_max_regions, 0644);
MODULE_PARM_DESC(max_regions, "regions that a process may have (1048576)");

/* Fewer than the least would leave no room for the way to a single page. */
static int ntvm_quota_set_nodes(const char *text, const struct kernel_param *param)
{
	return param_set_uint_minmax(text, param, NTVM_MIN_NODES, INT_MAX);
}

static const struct kernel_param_ops ntvm_quota_nodes_ops = {
	.set = ntvm_quota_set_nodes,
	.get = param_get_uint,
};
module_param_cb(max_nodes, &ntvm_quota_nodes_ops, &ntvm_max_nodes, 0644);
MODULE_PARM_DESC(max_nodes, "nodes of page-state tables that a process may have, some 550 bytes each (1048576)");

/**
 * ntvm_quota_alloc - make the quota of a process
 *
 * Context: process context, may sleep.
 * Return: the quota with one reference, or NULL.
 */
struct ntvm_quota *ntvm_quota_alloc(void)
{
	struct ntvm_quota *q = kmalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);

	if (q)
		ntvm_quota_init(q);
	return q;
}

/**
 * ntvm_quota_get - take a reference
 * @q: a quota that the caller has a reference on
 *
 * Context: any.
 * Return: @q.
 */
struct ntvm_quota *ntvm_quota_get(struct ntvm_quota *q)
{
	refcount_inc(&q->refs);
	return q;
}

/**
 * ntvm_quota_put - drop a reference
 * @q: the quota
 *
 * An extent may outlive its process object by a fault that is on its way out.
 *
 * Context: any.
 */
void ntvm_quota_put(struct ntvm_quota *q)
{
	if (refcount_dec_and_test(&q->refs))
		kfree(q);
}

/**
 * ntvm_quota_regions - may a process have more regions?
 * @p: the process, its lock held exclusively
 * @nr: how many more
 *
 * Context: any.
 * Return: true if it may.
 */
bool ntvm_quota_regions(const struct ntvm_process *p, unsigned int nr)
{
	return p->regions.nr + nr <= READ_ONCE(ntvm_max_regions);
}
