/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts of what was executed, for a module built with NTVM_GCOV=y: see gcov.c.
 * In any other build there is nothing.
 */
#ifndef NTVM_GCOV_H
#define NTVM_GCOV_H

#ifdef NTVM_COUNT_COVERAGE
struct ntvm_gcov_object;

int ntvm_gcov_start(void);
void ntvm_gcov_stop(void);

/* What the compiler's code calls, or takes the address of. */
void __gcov_init(struct ntvm_gcov_object *object);
void __gcov_exit(void);
void __gcov_merge_add(s64 *counters, unsigned int nr);
#else
static inline int ntvm_gcov_start(void)
{
	return 0;
}

static inline void ntvm_gcov_stop(void)
{
}
#endif

#endif
