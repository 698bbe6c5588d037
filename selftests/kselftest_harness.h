/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's harness, with time for a guest whose processors are emulated, and
 * NTVM_SLOW times that where the kernel checks every access: see slow().
 */
#include <unistd.h>

#include "slow.h"

static inline unsigned int patient_alarm(unsigned int seconds)
{
	return alarm(seconds * slow());
}

#define alarm patient_alarm
#include_next <kselftest_harness.h>
#undef alarm

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	150
