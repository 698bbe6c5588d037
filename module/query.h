/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the query classes share.
 */
#ifndef NTVM_QUERY_H
#define NTVM_QUERY_H

#include "call.h"

/**
 * struct ntvm_foreign - a mapping that is not ours, as NT would call it
 * @start: of the allocation
 * @end: of the run of equal pages
 * @all_end: of the allocation
 * @charged: bytes of it that count as committed
 * @protect: NTVM_PAGE_*
 * @type: NTVM_TYPE_*
 */
struct ntvm_foreign {
	unsigned long start;
	unsigned long end;
	unsigned long all_end;
	unsigned long charged;
	u32 protect;
	u32 type;
};

/* query.c */
u32 ntvm_foreign_protect(const struct vm_area_struct *vma);
bool ntvm_foreign_at(struct ntvm_process *p, unsigned long addr, struct ntvm_foreign *f,
		     bool whole);

#endif
