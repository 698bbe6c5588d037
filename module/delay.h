/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows of races held open. Some bugs show only if something happens within a
 * few instructions of something else, which no test can wait for. A module built
 * with NTVM_DELAYS=y sleeps for a moment at such places; any other has nothing
 * there. tools/ntvm-mutate builds it so for the bugs that need it.
 *
 * May sleep: to be called where no spinlock is held and no RCU reader is.
 */
#ifndef NTVM_DELAY_H
#define NTVM_DELAY_H

#ifdef NTVM_DEBUG_DELAYS
#include <linux/delay.h>

static inline void ntvm_debug_delay(void)
{
	usleep_range(200, 400);
}
#else
static inline void ntvm_debug_delay(void)
{
}
#endif

#endif
