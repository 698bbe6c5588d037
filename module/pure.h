/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the pure files (pages.c, region.c, rules.c) may use. They call no mm or
 * fs function, so they also build in user space: there the include path leads
 * to selftests/unit/pure_user.h, which stands in for the few kernel interfaces
 * below. No locks.
 */
#ifndef NTVM_PURE_H
#define NTVM_PURE_H

#ifdef __KERNEL__
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>
#else
#include "pure_user.h"
#endif

#include <linux/ntvm.h>

#endif
