/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for libnt's header where the vector runner of selftests/ntvec is built
 * for Windows: there NT's calls are ntdll.dll's own.
 */
#ifndef LIBNT_H
#define LIBNT_H

#include "../nt.h"

/* Names of contracts in the vectors. Windows has one, its own. */
#define LIBNT_CONTRACT_DOCUMENTED	0
#define LIBNT_CONTRACT_WINDOWS		1

#endif
