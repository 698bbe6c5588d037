/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts of what was executed, for a module built with NTVM_GCOV=y: see gcov.c.
 * In any other build there is nothing.
 */
#ifndef NTVM_GCOV_H
#define NTVM_GCOV_H

#ifdef NTVM_COUNT_COVERAGE
int ntvm_gcov_start(void);
void ntvm_gcov_stop(void);
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
