/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A reference model of NT's private memory: what each call must answer, and
 * what memory must look like afterwards. Written from the published semantics
 * as the simplest thing that can be right, an array with an entry per page.
 * It shares no code and no idea of representation with the module.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define M_PAGE		0x1000ull
#define M_SLOT		0x10000ull
#define M_PAGES		4096u		/* 16 MiB */
#define M_REGIONS	M_PAGES

enum op_kind {
	OP_ALLOC,
	OP_ALLOCX,
	OP_FREE,
	OP_PROTECT,
	OP_QUERY,
	OP_REGION,
	OP_READ,
	OP_WRITE,
	OP_GET_WATCH,
	OP_RESET_WATCH,
	OP_KINDS,
};

/**
 * struct op - a call with its arguments
 * @kind: which
 * @base: address
 * @size: bytes
 * @zero_bits: ALLOC
 * @type: ALLOC, ALLOCX, FREE
 * @protect: ALLOC, ALLOCX, PROTECT
 * @lowest: ALLOCX
 * @highest: ALLOCX
 * @alignment: ALLOCX
 * @limits: ALLOCX: pass @lowest, @highest, @alignment
 * @value: WRITE: the byte; GET_WATCH: entries of the array
 * @flags: GET_WATCH
 */
struct op {
	enum op_kind kind;
	uint64_t base, size;
	uint64_t zero_bits;
	uint32_t type, protect;
	uint64_t lowest, highest, alignment;
	bool limits;
	uint32_t value, flags;
};

#define WATCH_LIST_MAX	256

/**
 * struct answer - what came of a call, or must come of it
 * @status: NTSTATUS
 * @base: afterwards (ALLOC, ALLOCX, FREE, PROTECT)
 * @size: afterwards
 * @old: PROTECT: old protection, 0 if it says nothing
 * @anywhere: ALLOC, ALLOCX: the callee chose @base
 * @ab: QUERY, REGION: allocation base
 * @ap: QUERY, REGION: allocation protection
 * @rs: QUERY, REGION: bytes
 * @cs: REGION: bytes committed
 * @st: QUERY: state
 * @pr: QUERY: protection
 * @ty: QUERY: type
 * @byte: READ
 * @n: GET_WATCH: entries
 * @list: GET_WATCH
 */
struct answer {
	uint32_t status;
	uint64_t base, size;
	uint32_t old;
	bool anywhere;
	uint64_t ab, rs, cs;
	uint32_t ap, st, pr, ty;
	uint8_t byte;
	uint32_t n;
	uint64_t list[WATCH_LIST_MAX];
};

struct model_page {
	uint16_t region;	/* 0: free */
	bool committed;
	bool dirty;		/* written since the last reset */
	bool latched;		/* was dirty when its protection was changed */
	uint32_t protect;	/* of a committed page */
	uint8_t byte;		/* first byte of its contents */
};

struct model_region {
	bool used;
	bool placeholder;	/* is one */
	bool replaced;		/* was one */
	bool watched;
	uint32_t protect;	/* as allocated */
	uint32_t first, last;	/* pages */
};

/**
 * struct model - the memory of a window of addresses
 * @start: first address of the window
 * @user_max: highest address that memory can have
 * @user_end: first address above user space
 * @windows: the contract
 */
struct model {
	uint64_t start;
	uint64_t user_max, user_end;
	bool windows;
	struct model_page page[M_PAGES];
	struct model_region region[M_REGIONS];	/* [0] is not used */
};

void model_init(struct model *m, uint64_t start, uint64_t user_max, uint64_t user_end,
		bool windows);
/* What must come of it; changes nothing unless the call changes nothing but memory. */
void model_call(struct model *m, const struct op *op, struct answer *a);
/* The callee chose @base for an allocation that model_call() left open. */
bool model_placed(struct model *m, const struct op *op, uint64_t base, uint64_t size);
bool model_has_hole(const struct model *m, const struct op *op);
bool model_inside(const struct model *m, uint64_t address, uint64_t size);

#endif
