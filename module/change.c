// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving a range of committed pages one state: what commit and protect share.
 *
 * Everything that can fail comes first (charge, memory for the table, VMAs for
 * executable pages), then the page states change in one step, then what the
 * change took away is revoked. Called with the process lock; takes
 * ntvm_extent.lock.
 */
#include <linux/mm.h>

#include "ntvm.h"

/* What the range holds before the change. */
struct ntvm_survey {
	unsigned long committed;	/* pages */
	u8 first;			/* state of the first page */
	bool narrows;			/* some page loses a right */
	bool executable;		/* some page is executable now */
};

static void ntvm_survey(const struct ntvm_extent *x, unsigned long first, unsigned long last,
			u8 state, struct ntvm_survey *s)
{
	unsigned long page, run_last;
	u8 old;

	lockdep_assert_held(&x->lock);
	s->first = ntvm_pages_get(&x->pages, first);
	for (page = first; page <= last; page = run_last + 1) {
		old = ntvm_pages_run(&x->pages, page, last, &run_last);
		if (!ntvm_state_committed(old))
			continue;
		s->committed += run_last - page + 1;
		if ((ntvm_state_readable(old) && !ntvm_state_readable(state)) ||
		    (ntvm_state_writable(old) && !ntvm_state_writable(state)))
			s->narrows = true;
		if (ntvm_state_kind(old) != NTVM_KIND_PLAIN)
			s->executable = true;
	}
}

/**
 * ntvm_change_states - step 1 of the revocation protocol for any new state
 * @x: the extent, its lock held (or the process lock exclusively)
 * @first: first page
 * @last: last page
 * @state: what they shall be
 * @stash: has ntvm_pages_missing() nodes
 *
 * Context: process context, may sleep.
 */
void ntvm_change_states(struct ntvm_extent *x, unsigned long first, unsigned long last,
			u8 state, struct ntvm_stash *stash)
{
	down_write(&x->fault_lock);
	ntvm_pages_set(&x->pages, first, last, 0, state, stash);
	up_write(&x->fault_lock);
}

/**
 * ntvm_change - give a range one state
 * @op: the range, inside @r; @op->old is set
 * @r: the region
 * @state: a committed state
 * @how: NTVM_CHANGE_COMMIT commits what is not committed, NTVM_CHANGE_PROTECT
 *	 wants all committed
 *
 * Context: process lock held, exclusively if @state or the extent is
 *	    executable; may sleep.
 * Return: NTVM_STATUS_*; nothing has changed unless it is SUCCESS.
 */
u32 ntvm_change(struct ntvm_op *op, struct ntvm_region *r, u8 state, enum ntvm_change_how how)
{
	struct ntvm_process *p = op->process;
	struct ntvm_extent *x = r->extent;
	unsigned long first = ntvm_page(x, op->range.start);
	unsigned long last = ntvm_page(x, op->range.end - 1);
	struct ntvm_stash stash = NTVM_STASH_INIT;
	struct ntvm_survey survey = {};
	enum ntvm_kind kind = ntvm_state_kind(state);
	unsigned long charge;
	u32 status = NTVM_STATUS_SUCCESS;
	int err;

	mutex_lock(&x->lock);
	ntvm_survey(x, first, last, state, &survey);
	op->old = ntvm_rules_state_protect(survey.first);
	charge = last - first + 1 - survey.committed;
	if (charge && how == NTVM_CHANGE_PROTECT) {
		status = NTVM_STATUS_NOT_COMMITTED;
		goto out;
	}
	if (!ntvm_rules_protect_private(op->protect)) {
		status = NTVM_STATUS_INVALID_PARAMETER_4;
		goto out;
	}
	if (ntvm_stash_fill(&stash, ntvm_pages_missing(&x->pages, first, last))) {
		status = NTVM_STATUS_NO_MEMORY;
		goto out;
	}
	if (!ntvm_ledger_charge(&p->ledger, charge)) {
		status = NTVM_STATUS_COMMITMENT_LIMIT;
		goto out;
	}
	if (kind != NTVM_KIND_PLAIN || x->executable) {
		err = ntvm_layout_kind(p, x, op->range.start, op->range.end, kind);
		if (err) {
			if (err == -EINTR)
				op->err = err;
			ntvm_ledger_uncharge(&p->ledger, charge);
			status = ntvm_errno_status(err);
			goto out;
		}
	}
	ntvm_change_states(x, first, last, state, &stash);
	if (survey.narrows)
		ntvm_revoke(x, op->range.start, op->range.end);
	if (survey.executable && kind == NTVM_KIND_PLAIN)
		ntvm_layout_plain(p, x, r);
out:
	ntvm_stash_drop(&stash);
	mutex_unlock(&x->lock);
	return status;
}
