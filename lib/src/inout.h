/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The caller's in/out variables for base and size, as the module sees them.
 *
 * In a 32-bit program these variables are 4 bytes wide and the module's are 8:
 * there the values go through 8-byte copies. A null pointer stays a null pointer
 * and is refused in NT's order too; another bad pointer faults in the library.
 */
#ifndef LIBNT_INOUT_H
#define LIBNT_INOUT_H

#include "internal.h"

#ifdef _LP64

/* The variables of the caller, as the module sees them: where they are. */
struct inout {
	uint64_t base;
	uint64_t len;
};

static inline void inout_load(struct inout *v, PVOID *base, PSIZE_T len)
{
	v->base = nt_address(base);
	v->len = nt_address(len);
}

static inline void inout_store(const struct inout *v, NTSTATUS status, PVOID *base, PSIZE_T len)
{
	(void)v;
	(void)status;
	(void)base;
	(void)len;
}

#else /* 32-bit */

/* 8-byte copies of the variables of the caller, and where these are. */
struct inout {
	uint64_t base;
	uint64_t len;
	_Alignas(8) uint64_t base_copy;
	_Alignas(8) uint64_t len_copy;
};

static inline void inout_load(struct inout *v, PVOID *base, PSIZE_T len)
{
	v->base_copy = base ? nt_address(*base) : 0;
	v->len_copy = len ? *len : 0;
	v->base = base ? nt_address(&v->base_copy) : 0;
	v->len = len ? nt_address(&v->len_copy) : 0;
}

static inline void inout_store(const struct inout *v, NTSTATUS status, PVOID *base, PSIZE_T len)
{
	if (!NT_SUCCESS(status))
		return;
	*base = (PVOID)(uintptr_t)v->base_copy;
	*len = (SIZE_T)v->len_copy;
}

#endif

#endif /* LIBNT_INOUT_H */
