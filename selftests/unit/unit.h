/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the unit tests share: random numbers that are the same on each run.
 */
#ifndef NTVM_UNIT_H
#define NTVM_UNIT_H

#include "pure_user.h"

u64 unit_random(u64 *seed);
unsigned long unit_below(u64 *seed, unsigned long limit);

#endif
