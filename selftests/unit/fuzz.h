/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the fuzz targets share: a reader that turns the fuzzer's bytes into
 * numbers, and a check that ends the run. One thread, no locks. A reader that
 * has come to its end goes on with zeroes.
 */
#ifndef NTVM_FUZZ_H
#define NTVM_FUZZ_H

#include "unit.h"

struct fuzz {
	const u8 *data;
	size_t left;
};

#define CHECK(condition) do {							\
	if (!(condition)) {							\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);	\
		abort();							\
	}									\
} while (0)

static inline u8 fuzz_u8(struct fuzz *f)
{
	if (!f->left)
		return 0;
	f->left--;
	return *f->data++;
}

static inline u64 fuzz_u64(struct fuzz *f)
{
	u64 x = 0;
	int i;

	for (i = 0; i < 8; i++)
		x = x << 8 | fuzz_u8(f);
	return x;
}

/* Below @limit, which is not 0; takes no more bytes than it needs. */
static inline u64 fuzz_below(struct fuzz *f, u64 limit)
{
	u64 x = 0, span;

	for (span = limit - 1; span; span >>= 8)
		x = x << 8 | fuzz_u8(f);
	return x % limit;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#endif
