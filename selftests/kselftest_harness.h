/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's harness, with time for a guest whose processors are emulated and
 * whose kernel checks every access.
 */
#include_next <kselftest_harness.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	150
