// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model. Everything is a loop over pages: slow, and easy to see through.
 * The order of the checks is that of docs/semantics.md.
 */
#include "model.h"

#include <string.h>

enum {
	SUCCESS			= 0,
	GUARD_PAGE_VIOLATION	= 0x80000001,
	ACCESS_VIOLATION	= 0xC0000005,
	INVALID_PARAMETER	= 0xC000000D,
	NO_MEMORY		= 0xC0000017,
	CONFLICTING_ADDRESSES	= 0xC0000018,
	UNABLE_TO_FREE_VM	= 0xC000001A,
	NOT_COMMITTED		= 0xC000002D,
	INVALID_PAGE_PROTECTION	= 0xC0000045,
	FREE_VM_NOT_AT_BASE	= 0xC000009F,
	MEMORY_NOT_ALLOCATED	= 0xC00000A0,
	NOT_SUPPORTED		= 0xC00000BB,
	INVALID_PARAMETER_1	= 0xC00000EF,
	INVALID_PARAMETER_2	= 0xC00000F0,
	INVALID_PARAMETER_3	= 0xC00000F1,
	INVALID_PARAMETER_4	= 0xC00000F2,
	INVALID_PARAMETER_5	= 0xC00000F3,
	INVALID_PARAMETER_6	= 0xC00000F4,
	INVALID_ADDRESS		= 0xC0000141,
};

enum {
	COMMIT = 0x1000, RESERVE = 0x2000, REPLACE = 0x4000, PLACEHOLDER = 0x40000,
	RESET = 0x80000, TOP_DOWN = 0x100000, WATCH = 0x200000, PHYSICAL = 0x400000,
	RESET_UNDO = 0x1000000, LARGE = 0x20000000,
	COALESCE = 1, PRESERVE = 2, DECOMMIT = 0x4000, RELEASE = 0x8000,
};

enum {
	NOACCESS = 1, READONLY = 2, READWRITE = 4, WRITECOPY = 8, EXECUTE = 0x10,
	EXECUTE_READ = 0x20, EXECUTE_READWRITE = 0x40, EXECUTE_WRITECOPY = 0x80,
	GUARD = 0x100, NOCACHE = 0x200, WRITECOMBINE = 0x400, TARGETS = 0x40000000,
};

enum { STATE_COMMIT = 0x1000, STATE_RESERVE = 0x2000, STATE_FREE = 0x10000, PRIVATE = 0x20000 };

void model_init(struct model *m, uint64_t start, uint64_t user_max, uint64_t user_end,
		bool windows)
{
	memset(m, 0, sizeof(*m));
	m->start = start;
	m->user_max = user_max;
	m->user_end = user_end;
	m->windows = windows;
}

bool model_inside(const struct model *m, uint64_t address, uint64_t size)
{
	uint64_t end = m->start + M_PAGES * M_PAGE;

	return address >= m->start && address < end && size <= end - address;
}

static uint64_t down(uint64_t x, uint64_t unit)
{
	return x / unit * unit;
}

static uint64_t up(uint64_t x, uint64_t unit)
{
	return (x + unit - 1) / unit * unit;
}

static bool one_bit(uint32_t x)
{
	return x && !(x & (x - 1));
}

static struct model_page *page_at(struct model *m, uint64_t address)
{
	return model_inside(m, address, 1) ? &m->page[(address - m->start) / M_PAGE] : NULL;
}

static struct model_region *region_at(struct model *m, uint64_t address)
{
	struct model_page *p = page_at(m, address);

	return p && p->region ? &m->region[p->region] : NULL;
}

static uint64_t address_of(const struct model *m, uint32_t page)
{
	return m->start + page * M_PAGE;
}

static bool protect_formed(uint32_t protect)
{
	uint32_t base = protect & 0xff, mods = protect & 0x700;

	if (protect & ~0x400007ffu)
		return false;
	if (!one_bit(base))
		return false;
	if ((protect & TARGETS) && base < EXECUTE)
		return false;
	if (mods && (!one_bit(mods) || base == NOACCESS))
		return false;
	return true;
}

static bool protect_private(uint32_t protect)
{
	return !(protect & (WRITECOPY | EXECUTE_WRITECOPY));
}

/* What a page committed with a protection reports, but for what its region adds. */
static uint32_t page_protect(uint32_t protect)
{
	return protect & (0xff | GUARD);
}

static uint32_t reported(const struct model_region *r, const struct model_page *p)
{
	return p->protect | (r->protect & (NOCACHE | WRITECOMBINE));
}

static bool same_run(const struct model_page *a, const struct model_page *b)
{
	return a->region == b->region && a->committed == b->committed &&
	       (!a->committed || a->protect == b->protect);
}

static void page_clear(struct model_page *p)
{
	bool latched = p->latched;

	p->committed = false;
	p->protect = 0;
	p->byte = 0;
	p->dirty = p->dirty && latched;
}

static uint16_t region_new(struct model *m, uint32_t first, uint32_t last)
{
	uint16_t i = 1;

	while (m->region[i].used)
		i++;
	m->region[i] = (struct model_region){ .used = true, .first = first, .last = last };
	for (uint32_t p = first; p <= last; p++)
		m->page[p] = (struct model_page){ .region = i };
	return i;
}

/* --- allocate ------------------------------------------------------------------ */

static uint32_t numbered(bool ex, uint32_t status)
{
	return ex ? INVALID_PARAMETER : status;
}

static uint32_t allocate_type(const struct op *op, bool ex)
{
	uint32_t t = op->type;

	if (!ex) {
		if (op->zero_bits == 21)
			return INVALID_PARAMETER;
		if (op->zero_bits > 21 && op->zero_bits < 32)
			return INVALID_PARAMETER_3;
	}
	if (t & ~(COMMIT | RESERVE | REPLACE | PLACEHOLDER | RESET | TOP_DOWN | WATCH |
		  PHYSICAL | RESET_UNDO | LARGE))
		return numbered(ex, INVALID_PARAMETER_5);
	if (!ex && (t & (REPLACE | PLACEHOLDER)))
		return INVALID_PARAMETER;
	if (!(t & (COMMIT | RESERVE | RESET | RESET_UNDO)))
		return numbered(ex, INVALID_PARAMETER_5);
	if ((t & (RESET | RESET_UNDO)) && !one_bit(t))
		return numbered(ex, INVALID_PARAMETER_5);
	if ((t & LARGE) && (!(t & COMMIT) || (t & (PHYSICAL | WATCH))))
		return numbered(ex, INVALID_PARAMETER_5);
	if ((t & WATCH) && !(t & RESERVE))
		return numbered(ex, INVALID_PARAMETER_5);
	if ((t & PHYSICAL) && (t & ~(PHYSICAL | TOP_DOWN)) != RESERVE)
		return numbered(ex, INVALID_PARAMETER_5);
	if (t & PLACEHOLDER) {
		if ((t & ~TOP_DOWN) != (RESERVE | PLACEHOLDER))
			return INVALID_PARAMETER;
	}
	if (t & REPLACE) {
		if (!(t & RESERVE) || (t & ~(RESERVE | COMMIT | REPLACE | WATCH | TOP_DOWN)))
			return INVALID_PARAMETER;
	}
	if ((t & PHYSICAL) && op->protect != READWRITE)
		return numbered(ex, INVALID_PARAMETER_6);
	if (!protect_formed(op->protect))
		return INVALID_PAGE_PROTECTION;
	if ((t & PLACEHOLDER) && op->protect != NOACCESS)
		return INVALID_PARAMETER;
	return SUCCESS;
}

/* What the caller says about the place that he leaves open. */
static void window(const struct model *m, const struct op *op, uint64_t *low, uint64_t *high,
		   uint64_t *align)
{
	*low = M_SLOT;
	*high = m->user_max;
	*align = M_SLOT;
	if (op->kind == OP_ALLOCX && op->limits) {
		if (op->lowest > *low)
			*low = op->lowest;
		if (op->highest)
			*high = op->highest;
		if (op->alignment)
			*align = op->alignment;
	} else if (op->kind == OP_ALLOC && op->zero_bits) {
		uint64_t max = 0;

		if (op->zero_bits <= 20)
			max = (1ull << (32 - op->zero_bits)) - 1;
		else
			for (max = ~0ull; max >> 1 >= op->zero_bits; )
				max >>= 1;
		if (max < *high)
			*high = max;
	}
}

static uint32_t allocate_limits(const struct model *m, const struct op *op)
{
	if (op->kind != OP_ALLOCX || !op->limits)
		return SUCCESS;
	if (op->alignment && (op->alignment < M_SLOT || (op->alignment & (op->alignment - 1))))
		return INVALID_PARAMETER;
	if (op->lowest % M_SLOT || op->lowest > m->user_max)
		return INVALID_PARAMETER;
	if (op->highest && ((op->highest + 1) % M_PAGE || op->highest > m->user_max))
		return INVALID_PARAMETER;
	if (op->highest && op->lowest >= op->highest)
		return INVALID_PARAMETER;
	if (op->base && (op->lowest || op->highest || op->alignment))
		return INVALID_PARAMETER;
	return SUCCESS;
}

/* Is there room in the part of the window that the caller's limits leave? */
bool model_has_hole(const struct model *m, const struct op *op)
{
	uint64_t low, high, align, pages = up(op->size, M_PAGE) / M_PAGE, at;

	window(m, op, &low, &high, &align);
	for (at = up(low > m->start ? low : m->start, align);
	     model_inside(m, at, pages * M_PAGE) && at + pages * M_PAGE - 1 <= high; at += align) {
		uint64_t i, first = (at - m->start) / M_PAGE;

		for (i = 0; i < pages && !m->page[first + i].region; i++)
			;
		if (i == pages)
			return true;
	}
	return false;
}

static void region_fill(struct model *m, uint16_t i, const struct op *op)
{
	struct model_region *r = &m->region[i];

	r->protect = op->protect;
	r->watched = op->type & WATCH;
	r->placeholder = op->type & PLACEHOLDER;
	for (uint32_t p = r->first; p <= r->last; p++) {
		if ((op->type & COMMIT) || (!(op->type & RESERVE) && !op->base)) {
			m->page[p].committed = true;
			m->page[p].protect = page_protect(op->protect);
		}
	}
}

bool model_placed(struct model *m, const struct op *op, uint64_t base, uint64_t size)
{
	uint64_t low, high, align;
	uint32_t first, last;

	window(m, op, &low, &high, &align);
	if (size != up(op->size, M_PAGE) || base % align || base < low || base + size - 1 > high)
		return false;
	if (!model_inside(m, base, size))
		return true;
	first = (base - m->start) / M_PAGE;
	last = first + size / M_PAGE - 1;
	for (uint32_t p = first; p <= last; p++)
		if (m->page[p].region)
			return false;
	region_fill(m, region_new(m, first, last), op);
	return true;
}

static void replace(struct model *m, const struct op *op, struct answer *a, uint64_t start,
		    uint64_t end)
{
	struct model_region *r = region_at(m, start);
	uint32_t first, last;

	if (!r || !r->placeholder) {
		a->status = INVALID_PARAMETER;
		return;
	}
	if (start != address_of(m, r->first) || end != address_of(m, r->last + 1)) {
		a->status = CONFLICTING_ADDRESSES;
		return;
	}
	first = r->first;
	last = r->last;
	memset(r, 0, sizeof(*r));
	region_fill(m, region_new(m, first, last), op);
	region_at(m, start)->replaced = true;
	a->base = start;
	a->size = end - start;
}

static void reserve(struct model *m, const struct op *op, struct answer *a)
{
	uint64_t start = down(op->base, M_SLOT), end = up(op->base + op->size, M_PAGE);

	if (!protect_private(op->protect)) {
		a->status = INVALID_PAGE_PROTECTION;
		return;
	}
	if (op->type & REPLACE) {
		replace(m, op, a, down(op->base, M_PAGE), end);
		return;
	}
	if (!op->base) {
		a->anywhere = true;
		return;
	}
	if (start < M_SLOT) {
		a->status = CONFLICTING_ADDRESSES;
		return;
	}
	for (uint64_t at = start; at < end && model_inside(m, at, 1); at += M_PAGE) {
		if (region_at(m, at)) {
			a->status = CONFLICTING_ADDRESSES;
			return;
		}
	}
	region_fill(m, region_new(m, (start - m->start) / M_PAGE, (end - m->start) / M_PAGE - 1), op);
	a->base = start;
	a->size = end - start;
}

static void commit(struct model *m, const struct op *op, struct answer *a)
{
	uint64_t start = down(op->base, M_PAGE), end = up(op->base + op->size, M_PAGE);
	struct model_region *r = region_at(m, start);

	if (!protect_private(op->protect)) {
		a->status = INVALID_PAGE_PROTECTION;
		return;
	}
	if (!r || r->placeholder || end > address_of(m, r->last + 1)) {
		a->status = CONFLICTING_ADDRESSES;
		return;
	}
	for (uint64_t at = start; at < end; at += M_PAGE) {
		page_at(m, at)->committed = true;
		page_at(m, at)->protect = page_protect(op->protect);
	}
	a->base = start;
	a->size = end - start;
}

static void allocate(struct model *m, const struct op *op, struct answer *a)
{
	bool ex = op->kind == OP_ALLOCX;
	uint64_t low, high, align;

	a->status = allocate_type(op, ex);
	if (a->status)
		return;
	a->status = allocate_limits(m, op);
	if (a->status)
		return;
	if (op->base > m->user_max)
		a->status = numbered(ex, INVALID_PARAMETER_2);
	else if (!op->size || op->size > m->user_max + 1 - op->base)
		a->status = numbered(ex, INVALID_PARAMETER_4);
	if (a->status)
		return;
	if ((op->type & REPLACE) && !op->base) {
		a->status = INVALID_PARAMETER;
		return;
	}
	if (!op->base) {
		window(m, op, &low, &high, &align);
		if (!ex && up(op->size, M_PAGE) > high + 1) {
			a->status = INVALID_PARAMETER_3;
			return;
		}
	}
	if (op->type & PHYSICAL) {
		a->status = NOT_SUPPORTED;
		return;
	}
	if ((op->type & RESERVE) || ((op->type & COMMIT) && !op->base))
		reserve(m, op, a);
	else
		commit(m, op, a);
}

/* --- free ------------------------------------------------------------------------ */

static void region_cut(struct model *m, uint16_t i, uint32_t first, uint32_t last)
{
	struct model_region *r = &m->region[i], old = *r;
	uint16_t j;

	if (first == old.first && last == old.last) {
		memset(r, 0, sizeof(*r));
	} else if (first == old.first) {
		r->first = last + 1;
	} else {
		r->last = first - 1;
		if (last < old.last) {
			for (j = 1; m->region[j].used; j++)
				;
			m->region[j] = old;
			m->region[j].first = last + 1;
			for (uint32_t p = last + 1; p <= old.last; p++)
				m->page[p].region = j;
		}
	}
	for (uint32_t p = first; p <= last; p++)
		m->page[p] = (struct model_page){ 0 };
}

static void coalesce(struct model *m, struct answer *a, uint64_t start, uint64_t end)
{
	uint64_t at = start;
	unsigned int pieces = 0;
	struct model_region *r;

	while (at < end) {
		r = region_at(m, at);
		if (!r || !r->placeholder || at != address_of(m, r->first)) {
			a->status = CONFLICTING_ADDRESSES;
			return;
		}
		at = address_of(m, r->last + 1);
		pieces++;
	}
	if (at != end || pieces < 2) {
		a->status = CONFLICTING_ADDRESSES;
		return;
	}
	for (at = start; at < end; at = address_of(m, r->last + 1)) {
		r = region_at(m, at);
		r->used = false;
	}
	region_new(m, (start - m->start) / M_PAGE, (end - m->start) / M_PAGE - 1);
	r = region_at(m, start);
	r->placeholder = true;
	r->protect = NOACCESS;
	a->base = start;
	a->size = end - start;
}

static void preserve(struct model *m, struct answer *a, uint64_t start, uint64_t end)
{
	uint16_t i = page_at(m, start)->region;
	struct model_region *r = &m->region[i];
	uint32_t first = (start - m->start) / M_PAGE, last = (end - m->start) / M_PAGE - 1;
	bool all = first == r->first && last == r->last;

	if (r->placeholder ? all : !(r->replaced && all)) {
		a->status = CONFLICTING_ADDRESSES;
		return;
	}
	region_cut(m, i, first, last);
	i = region_new(m, first, last);
	m->region[i].placeholder = true;
	m->region[i].protect = NOACCESS;
	a->base = start;
	a->size = end - start;
}

static void release_or_decommit(struct model *m, const struct op *op, struct answer *a)
{
	uint64_t start = down(op->base, M_PAGE), end = up(op->base + op->size, M_PAGE);
	struct model_region *r;

	if (op->type != DECOMMIT && op->type != RELEASE && op->type != (RELEASE | PRESERVE) &&
	    op->type != (RELEASE | COALESCE)) {
		a->status = INVALID_PARAMETER_4;
		return;
	}
	if (!m->windows && op->type == RELEASE && op->size) {
		a->status = INVALID_PARAMETER_3;
		return;
	}
	if (op->base >= m->user_end) {
		a->status = INVALID_PARAMETER_2;
		return;
	}
	if (op->size > m->user_end - op->base || (!op->size && (op->type & (PRESERVE | COALESCE)))) {
		a->status = INVALID_PARAMETER_3;
		return;
	}
	r = region_at(m, start);
	if (!r) {
		a->status = MEMORY_NOT_ALLOCATED;
		return;
	}
	if (op->type & COALESCE) {
		coalesce(m, a, start, end);
		return;
	}
	if (op->size && end > address_of(m, r->last + 1)) {
		a->status = UNABLE_TO_FREE_VM;
		return;
	}
	if (!op->size) {
		if (start != address_of(m, r->first) || (!m->windows && op->base % M_PAGE)) {
			a->status = FREE_VM_NOT_AT_BASE;
			return;
		}
		end = address_of(m, r->last + 1);
	}
	if (op->type & PRESERVE) {
		preserve(m, a, start, end);
		return;
	}
	a->base = start;
	a->size = end - start;
	if (op->type == RELEASE) {
		region_cut(m, page_at(m, start)->region, (start - m->start) / M_PAGE,
			   (end - m->start) / M_PAGE - 1);
		return;
	}
	for (uint64_t at = start; at < end; at += M_PAGE)
		page_clear(page_at(m, at));
	if (!op->size && m->windows)
		a->size = 0;
}

/* --- protect ------------------------------------------------------------------------ */

static void protect(struct model *m, const struct op *op, struct answer *a)
{
	uint64_t start = down(op->base, M_PAGE), end = up(op->base + op->size, M_PAGE), at;
	struct model_region *r;

	if (!protect_formed(op->protect)) {
		a->status = INVALID_PAGE_PROTECTION;
		return;
	}
	if (op->base >= m->user_end)
		a->status = INVALID_PARAMETER_2;
	else if (!op->size || op->size > m->user_end - op->base)
		a->status = INVALID_PARAMETER_3;
	if (a->status)
		return;
	a->old = NOACCESS;
	r = region_at(m, start);
	if (!r || end > address_of(m, r->last + 1)) {
		a->status = CONFLICTING_ADDRESSES;
		return;
	}
	for (at = start; at < end; at += M_PAGE) {
		if (!page_at(m, at)->committed) {
			a->status = NOT_COMMITTED;
			return;
		}
	}
	if (!protect_private(op->protect)) {
		a->status = INVALID_PARAMETER_4;
		return;
	}
	a->old = reported(r, page_at(m, start));
	for (at = start; at < end; at += M_PAGE) {
		page_at(m, at)->protect = page_protect(op->protect);
		page_at(m, at)->latched |= page_at(m, at)->dirty;
	}
	a->base = start;
	a->size = end - start;
}

/* --- query and access ------------------------------------------------------------- */

static void query(struct model *m, const struct op *op, struct answer *a)
{
	uint64_t at = down(op->base, M_PAGE);
	struct model_region *r = region_at(m, at);
	struct model_page *p = page_at(m, at);

	if (op->kind == OP_REGION && !r) {
		a->status = INVALID_ADDRESS;
		return;
	}
	if (op->kind == OP_REGION) {
		a->ab = address_of(m, r->first);
		a->ap = r->protect;
		a->rs = (r->last - r->first + 1) * M_PAGE;
		for (uint32_t i = r->first; i <= r->last; i++)
			a->cs += m->page[i].committed ? M_PAGE : 0;
		return;
	}
	for (uint32_t i = p - m->page; i < M_PAGES && same_run(p, &m->page[i]); i++)
		a->rs += M_PAGE;
	a->st = STATE_FREE;
	a->pr = NOACCESS;
	if (!r) {
		if (at + a->rs == m->start + M_PAGES * M_PAGE)
			a->rs = 0;	/* ends somewhere behind the window */
		return;
	}
	a->ab = address_of(m, r->first);
	a->ap = r->protect;
	a->ty = PRIVATE;
	a->st = p->committed ? STATE_COMMIT : STATE_RESERVE;
	a->pr = p->committed ? reported(r, p) : 0;
}

static void touch(struct model *m, const struct op *op, struct answer *a)
{
	struct model_page *p = page_at(m, op->base);
	uint32_t base = p ? p->protect & 0xff : 0;

	if (!p || !p->committed) {
		a->status = ACCESS_VIOLATION;
	} else if (p->protect & GUARD) {
		p->protect &= ~GUARD;
		a->status = GUARD_PAGE_VIOLATION;
	} else if (base == NOACCESS ||
		   (op->kind == OP_WRITE && base != READWRITE && base != EXECUTE_READWRITE)) {
		a->status = ACCESS_VIOLATION;
	} else if (op->kind == OP_WRITE) {
		p->byte = op->value;
		p->dirty = m->region[p->region].watched;
	} else {
		a->byte = p->byte;
	}
}

/* --- write watch -------------------------------------------------------------------- */

static void watch(struct model *m, const struct op *op, struct answer *a)
{
	bool get = op->kind == OP_GET_WATCH;
	uint64_t start = down(op->base, M_PAGE), end = up(op->base + op->size, M_PAGE), at;
	struct model_region *r = region_at(m, start);

	if (!r || !r->watched || end > address_of(m, r->last + 1)) {
		a->status = INVALID_PARAMETER;
		return;
	}
	for (at = start; at < end && (!get || a->n < op->value); at += M_PAGE) {
		struct model_page *p = page_at(m, at);

		if (get && p->dirty)
			a->list[a->n++] = at;
		else if (get)
			continue;
		if (!get || op->flags)
			p->dirty = p->latched = false;
	}
}

void model_call(struct model *m, const struct op *op, struct answer *a)
{
	memset(a, 0, sizeof(*a));
	a->base = op->base;
	a->size = op->size;
	switch (op->kind) {
	case OP_ALLOC:
	case OP_ALLOCX:
		allocate(m, op, a);
		break;
	case OP_FREE:
		release_or_decommit(m, op, a);
		break;
	case OP_PROTECT:
		protect(m, op, a);
		break;
	case OP_QUERY:
	case OP_REGION:
		query(m, op, a);
		break;
	case OP_READ:
	case OP_WRITE:
		touch(m, op, a);
		break;
	case OP_GET_WATCH:
	case OP_RESET_WATCH:
		watch(m, op, a);
		break;
	case OP_KINDS:
		break;
	}
}
