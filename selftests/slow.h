/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How slow the kernel under test is: every time limit and wait of the tests, the
 * harness's and the vector runner's included, is multiplied by the same number.
 */
#ifndef NTVM_SELFTESTS_SLOW_H
#define NTVM_SELFTESTS_SLOW_H

#include <stdlib.h>

/*
 * How many times slower than a stock kernel in a guest this one is, as the
 * environment's NTVM_SLOW says, at least 1: what a test has time for, and what
 * the kernel takes for itself.
 */
static inline unsigned int slow(void)
{
	const char *times = getenv("NTVM_SLOW");
	int n = times ? atoi(times) : 1;

	return n > 1 ? n : 1;
}

#endif
