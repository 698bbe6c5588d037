// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changing the states of a range of pages: the steps that every operation
 * takes (ntvm_span_*), and the whole of what commit and protect share.
 *
 * Everything that can fail comes first (charge, memory for the table, VMAs for
 * executable pages), then the page states change in one step, then what the
 * change took away is revoked. Called with the process lock; ntvm_change()
 * takes ntvm_extent.lock.
 */
#include <linux/mm.h>

#include "compat.h"
#include "delay.h"
#include "ntvm.h"

/**
 * ntvm_span_set - step 1 of the revocation protocol
 * @s: the span, prepared
 * @keep: bits of the old states that stay
 * @state: what all its pages shall be otherwise
 *
 * Context: process context, may sleep.
 */
void ntvm_span_set(struct ntvm_span *s, u8 keep, u8 state)
{
	struct ntvm_extent *x = s->extent;

	down_write(&x->fault_lock);
	if (likely(s->byte && !keep))
		ntvm_pages_store(&x->pages, s->first, s->byte, state);
	else
		ntvm_pages_set(&x->pages, s->first, s->last, keep, state, &s->stash);
	up_write(&x->fault_lock);
}

/* What a span holds before the change. */
struct ntvm_survey {
	unsigned long committed;	/* pages */
	unsigned long executable;	/* pages of these */
	u8 first;			/* state of the first page */
	bool narrows;			/* some page loses a right */
};

static inline void ntvm_survey_run(struct ntvm_survey *survey, u8 old, unsigned long pages,
				   u8 state)
{
	if (!ntvm_state_committed(old))
		return;
	survey->committed += pages;
	if (ntvm_state_narrows(old, state))
		survey->narrows = true;
	if (ntvm_state_kind(old) != NTVM_KIND_PLAIN)
		survey->executable += pages;
}

/* False: the caller is being killed. */
static inline bool ntvm_survey(struct ntvm_survey *survey, const struct ntvm_span *s, u8 state)
{
	unsigned long page, last;
	u8 old;

	if (s->byte) {
		survey->first = READ_ONCE(*s->byte);
		ntvm_survey_run(survey, survey->first, 1, state);
		return true;
	}
	for (page = s->first; page <= s->last; page = last + 1) {
		if (unlikely(page != s->first && fatal_signal_pending(current)))
			return false;
		old = ntvm_pages_run_long(&s->extent->pages, page, s->last, &last);
		if (page == s->first)
			survey->first = old;
		ntvm_survey_run(survey, old, last - page + 1, state);
		cond_resched();
	}
	return true;
}

/*
 * PR_SET_MDWE: nothing is writable and executable, and what has contents stays
 * not executable. The kernel sees a fresh mapping and looks at the first half.
 */
static bool ntvm_change_denied(struct ntvm_process *p, enum ntvm_kind kind,
			       const struct ntvm_survey *survey)
{
	return kind != NTVM_KIND_PLAIN && ntvm_mm_denies_write_exec(p->mm) &&
	       (kind == NTVM_KIND_RWX || survey->executable < survey->committed);
}

/* Executable pages are about: VMAs first. Out of the way of everybody else. */
static noinline u32 ntvm_change_kind(struct ntvm_op *op, struct ntvm_extent *x,
				     enum ntvm_kind kind, const struct ntvm_survey *survey)
{
	int err;

	if (ntvm_change_denied(op->process, kind, survey))
		return NTVM_STATUS_ACCESS_DENIED;
	err = ntvm_layout_kind(op->process, x, op->range.start, op->range.end, kind);
	if (err == -EINTR)
		op->err = err;
	/* It is not memory of the caller's that is short, but VMAs. */
	return err == -ENOMEM ? NTVM_STATUS_INSUFFICIENT_RESOURCES : ntvm_errno_status(err);
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
	enum ntvm_kind kind = ntvm_state_kind(state);
	struct ntvm_survey survey = {};
	unsigned long charge;
	struct ntvm_span span;
	bool latch;
	u32 status;

	mutex_lock(&x->lock);
	ntvm_span_init(&span, x, op->range.start, op->range.end);
	status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	if (unlikely(!ntvm_survey(&survey, &span, state))) {
		op->err = -EINTR;
		goto out;
	}
	charge = span.last - span.first + 1 - survey.committed;
	if (how == NTVM_CHANGE_PROTECT) {
		op->old = ntvm_rules_state_protect(survey.first);
		status = charge ? NTVM_STATUS_NOT_COMMITTED :
				  NTVM_STATUS_INVALID_PARAMETER_4;
		if (charge || !ntvm_rules_protect_private(op->protect))
			goto out;
	}
	status = NTVM_STATUS_INSUFFICIENT_RESOURCES;
	if (ntvm_span_prepare(&span))
		goto out;
	latch = how == NTVM_CHANGE_PROTECT && unlikely(x->traits & NTVM_TRAIT_WATCH);
	if (latch && ntvm_watch_latch_prepare(x, span.first, span.last))
		goto out;
	status = NTVM_STATUS_COMMITMENT_LIMIT;
	if (!ntvm_ledger_charge(&p->ledger, charge))
		goto out;
	status = NTVM_STATUS_SUCCESS;
	if (unlikely(kind != NTVM_KIND_PLAIN || x->executable)) {
		status = ntvm_change_kind(op, x, kind, &survey);
		if (status) {
			ntvm_ledger_uncharge(&p->ledger, charge);
			goto out;
		}
	}
	ntvm_span_set(&span, x->keep, state);
	if (latch)
		ntvm_watch_latch(x, span.first, span.last);
	ntvm_debug_delay();	/* faults in between see the new states */
	if (survey.narrows)
		ntvm_revoke(x, op->range.start, op->range.end);
	if (survey.executable && kind == NTVM_KIND_PLAIN)
		ntvm_layout_plain(p, x, r);
out:
	ntvm_span_drop(&span);
	mutex_unlock(&x->lock);
	return status;
}
