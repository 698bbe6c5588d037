/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Coverage as a guide: which of the module's code calls have reached, the
 * sequences that were first to reach some, and new ones made from these.
 */
#ifndef GUIDE_H
#define GUIDE_H

#include "model.h"
#include "random.h"

#define SEQUENCE	300		/* calls */
#define WINDOW		0x50000000ull	/* of the first thread */

/**
 * struct plan - a sequence that is to be made
 * @n: calls
 * @call: each of them
 * @call.how: to be made as it is; to be changed first; to be made up when it is its turn
 * @call.op: unless it is to be made up
 */
struct plan {
	int n;
	struct {
		enum { PLAN_AS_IS, PLAN_CHANGE, PLAN_NEW } how;
		struct op op;
	} call[SEQUENCE];
};

/* Makes the memory that processes share. Says why, and returns false, if there is no KCOV. */
bool guide_init(void);
/* For a thread: begin to count what it executes in the kernel. */
void guide_thread(void);
/* Around a call; the latter returns whether it reached what no call has before. */
void guide_before(void);
bool guide_after(void);
/* Keep the last calls of a sequence for others to be made from, made in a window that begins at @window. */
void guide_keep(const struct op *ops, int n, uint64_t window);
/* Make a plan for such a window from what was kept. False: nothing is kept yet. */
bool guide_plan(struct rng *r, struct plan *p, uint64_t window);
unsigned int guide_pcs(void);
unsigned int guide_pairs(void);
unsigned int guide_kept(void);

#endif
