// SPDX-License-Identifier: GPL-2.0-only
/*
 * The differential fuzzer: random calls with hostile arguments, made both on
 * the module and on the model (model.c), and compared in every status and
 * output, in what queries say of every page, and in the pages' contents.
 *
 * A run is a number of sequences; each begins with an empty window of memory
 * and depends on its seed alone, unless coverage guides (guide.c): then most are
 * made from others that reached new code. A child process makes some of them,
 * one after the other, in each of its threads. When one differs it is shrunk,
 * each candidate in a child of its own, and written out as a vector that the
 * runner of vectors takes (docs/vectors.md).
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libnt.h>

#include "../slow.h"
#include "guide.h"
#include "model.h"
#include "random.h"

#define APART		0x4000000ull	/* between the windows of threads */
#define THREADS_MAX	4

static struct {
	uint64_t seed;
	uint64_t calls;
	int threads;
	unsigned int seconds;
	bool verbose;
	uint64_t one;
	bool has_one;
	unsigned int batch;
	bool count, guided;
} opt = { .seed = 1, .calls = 200000, .threads = 2, .seconds = 20, .batch = 16 };
static time_t begun;

/* --- a sequence ------------------------------------------------------------------ */

/* Where one thread works, and what the model thinks of it. */
struct world {
	struct model m;
	struct rng rng;
	bool extended;		/* the module has NtAllocateVirtualMemoryEx and all that */
};

static const uint32_t protections[] = {
	PAGE_READWRITE, PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS,
	PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE, PAGE_READWRITE | PAGE_GUARD,
	PAGE_READONLY | PAGE_GUARD, PAGE_READWRITE | PAGE_NOCACHE, PAGE_READWRITE | PAGE_WRITECOMBINE,
};

static const uint32_t bad_protections[] = {
	0, PAGE_WRITECOPY, PAGE_EXECUTE_WRITECOPY, PAGE_NOACCESS | PAGE_GUARD, PAGE_GUARD,
	PAGE_READWRITE | PAGE_READONLY, 0x800 | PAGE_READWRITE, ~0u, 0x40000000 | PAGE_READWRITE,
	0x40000000 | PAGE_EXECUTE_READ, PAGE_NOACCESS | PAGE_NOCACHE,
	PAGE_READWRITE | PAGE_GUARD | PAGE_NOCACHE,
};

/* Those about 1 << 47 are about the end of user space. */
static const uint64_t bad_addresses[] = {
	1, 0xfff, 0x1000, 0xffff, 0x7ffffffdffff, 0x7ffffffe0000, 0x7fffffff0000, 0x7ffffffff000,
	0x7fffffffffff, 0x800000000000, 0xffff800000000000, ~0ull, ~0ull - 0xfff,
};

static const uint64_t bad_sizes[] = {
	0, ~0ull, ~0ull - 0xfff, 1ull << 63, 1ull << 47, 0x7ffffffe0000, 0x800000000000,
};

/* With five levels of page tables user space ends that much later. */
static uint64_t further(const struct world *w)
{
	return w->m.user_end + M_PAGE - (1ull << 47);
}

/* Near the edge of a region, or of a page, or anywhere in the window. */
static uint64_t some_address(struct world *w)
{
	struct rng *r = &w->rng;
	uint32_t page = below(r, M_PAGES / 8);	/* crowded: things shall meet */
	const struct model_page *p = &w->m.page[page];
	uint64_t at;

	if (chance(r, 3)) {
		at = PICK(r, bad_addresses);
		return at > UINT32_MAX && at < 1ull << 48 ? at + further(w) : at;
	}
	if (p->region && chance(r, 60))
		page = chance(r, 70) ? w->m.region[p->region].first : w->m.region[p->region].last;
	at = w->m.start + page * M_PAGE;
	if (chance(r, 15))
		at += below(r, M_PAGE);
	if (chance(r, 15))
		at = at / M_SLOT * M_SLOT;
	return at;
}

static uint64_t some_size(struct world *w, uint64_t base)
{
	const struct model_page *p;
	struct rng *r = &w->rng;
	uint64_t size;

	if (chance(r, 3)) {
		size = PICK(r, bad_sizes);
		return size > UINT32_MAX && size < 1ull << 48 ? size + further(w) : size;
	}
	if (chance(r, 8))
		return 0;
	if (model_inside(&w->m, base, 1) && chance(r, 40)) {
		p = &w->m.page[(base - w->m.start) / M_PAGE];
		if (p->region) {
			size = w->m.start + (w->m.region[p->region].last + 1) * M_PAGE - base;
			if (chance(r, 15))
				size += chance(r, 50) ? 1 : -1;
			return size;
		}
	}
	size = (1 + below(r, chance(r, 80) ? 8 : 100)) * M_PAGE;
	if (chance(r, 15))
		size += below(r, M_PAGE) - M_PAGE / 2;
	return size;
}

static uint32_t some_protection(struct world *w)
{
	return chance(&w->rng, 6) ? PICK(&w->rng, bad_protections) : PICK(&w->rng, protections);
}

static uint32_t some_type(struct world *w, bool ex)
{
	static const uint32_t types[] = {
		MEM_RESERVE, MEM_RESERVE | MEM_COMMIT, MEM_COMMIT, MEM_COMMIT, MEM_COMMIT,
		MEM_RESERVE | MEM_TOP_DOWN, MEM_COMMIT | MEM_TOP_DOWN,
	};
	static const uint32_t more[] = {
		MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
		MEM_RESERVE | MEM_REPLACE_PLACEHOLDER,
		MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER,
		MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER | MEM_WRITE_WATCH,
		MEM_REPLACE_PLACEHOLDER, MEM_COMMIT | MEM_REPLACE_PLACEHOLDER,
	};
	static const uint32_t watched[] = {
		MEM_RESERVE | MEM_WRITE_WATCH, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
		MEM_COMMIT | MEM_WRITE_WATCH,
	};
	struct rng *r = &w->rng;

	if (chance(r, 4))
		return rnd(r) & ~(uint64_t)MEM_LARGE_PAGES;
	if (chance(r, 2))
		return MEM_RESERVE | MEM_PHYSICAL;
	if (ex && chance(r, 60))
		return PICK(r, more);
	if (w->extended && chance(r, 15))
		return PICK(r, watched);
	return PICK(r, types);
}

static void make_limits(struct world *w, struct op *op)
{
	struct rng *r = &w->rng;

	op->limits = true;
	if (chance(r, 70)) {
		op->lowest = w->m.start + below(r, 32) * M_SLOT;
		op->highest = op->lowest + (1 + below(r, 16)) * M_SLOT - 1;
	}
	if (chance(r, 30))
		op->alignment = M_SLOT << below(r, 5);
	if (chance(r, 5))
		op->lowest = rnd(r) >> below(r, 64);
	if (chance(r, 5))
		op->highest = rnd(r) >> below(r, 64);
	if (chance(r, 5))
		op->alignment = rnd(r) >> below(r, 64);
	if (chance(r, 80))
		op->base = 0;
}

static const uint32_t frees[] = {
	MEM_RELEASE, MEM_RELEASE, MEM_RELEASE, MEM_DECOMMIT, MEM_DECOMMIT, MEM_DECOMMIT,
	MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER,
	MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS,
};

/* What lies anywhere else is not the model's to know. */
static void tame(const struct model *m, struct op *op)
{
	if (op->kind == OP_ALLOC || op->kind == OP_ALLOCX) {
		if (op->base >= M_SLOT && op->base <= m->user_max && !model_inside(m, op->base, 1))
			op->base = m->start;
		if (!op->base && op->size > 64 * M_SLOT && op->size < 1ull << 40)
			op->size = M_PAGE;
	}
	if (op->kind >= OP_QUERY && !model_inside(m, op->base, 1))
		op->base = m->start;
	if (op->kind == OP_READ || op->kind == OP_WRITE)
		op->base = op->base / M_PAGE * M_PAGE;
	if (op->kind >= OP_GET_WATCH && (!op->size || op->size > M_PAGES * M_PAGE))
		op->size = M_PAGE;
}

static void make_op(struct world *w, struct op *op)
{
	static const enum op_kind plain[] = {
		OP_ALLOC, OP_ALLOC, OP_ALLOC, OP_ALLOC, OP_FREE, OP_FREE, OP_FREE, OP_PROTECT,
		OP_PROTECT, OP_QUERY, OP_READ, OP_WRITE, OP_WRITE, OP_WRITE,
	};
	static const enum op_kind more[] = {
		OP_ALLOCX, OP_ALLOCX, OP_ALLOCX, OP_FREE, OP_REGION, OP_GET_WATCH, OP_RESET_WATCH,
	};
	struct rng *r = &w->rng;

	memset(op, 0, sizeof(*op));
	op->kind = w->extended && chance(r, 35) ? PICK(r, more) : PICK(r, plain);
	op->base = some_address(w);
	op->size = some_size(w, op->base);
	op->protect = some_protection(w);
	switch (op->kind) {
	case OP_ALLOC:
	case OP_ALLOCX:
		op->type = some_type(w, op->kind == OP_ALLOCX);
		if (op->type == (MEM_RESERVE | MEM_RESERVE_PLACEHOLDER) && chance(r, 95))
			op->protect = PAGE_NOACCESS;
		if (op->kind == OP_ALLOC && chance(r, 5))
			op->zero_bits = chance(r, 70) ? below(r, 40) : rnd(r) >> below(r, 64);
		if (op->kind == OP_ALLOCX && chance(r, 25))
			make_limits(w, op);
		else if (chance(r, 3))
			op->base = 0;
		break;
	case OP_FREE:
		op->type = chance(r, 4) ? (uint32_t)rnd(r) : PICK(r, frees);
		if (op->type == MEM_RELEASE && !w->m.windows && chance(r, 80))
			op->size = 0;
		break;
	case OP_GET_WATCH:
		op->value = 1 + below(r, chance(r, 50) ? 4 : WATCH_LIST_MAX);
		op->flags = below(r, 2);
		break;
	case OP_WRITE:
		op->value = 1 + below(r, 255);
		break;
	default:
		break;
	}
	tame(&w->m, op);
}

/* Changes one thing about a call. */
static void change_op(struct world *w, struct op *op)
{
	struct rng *r = &w->rng;

	switch (below(r, 6)) {
	case 0:
		op->base = some_address(w);
		break;
	case 1:
		op->size = some_size(w, op->base);
		break;
	case 2:
		op->protect = some_protection(w);
		break;
	case 3:
		op->base += (below(r, 33) - 16) * (chance(r, 50) ? M_PAGE : M_SLOT);
		break;
	case 4:
		op->size += (below(r, 33) - 16) * M_PAGE;
		break;
	default:
		if (op->kind == OP_FREE)
			op->type = PICK(r, frees);
		else if (op->kind == OP_ALLOC || op->kind == OP_ALLOCX)
			op->type = some_type(w, op->kind == OP_ALLOCX);
		else if (op->kind == OP_GET_WATCH)
			op->value = 1 + below(r, WATCH_LIST_MAX);
		break;
	}
	tame(&w->m, op);
}

/* --- the module's answers ---------------------------------------------------------- */

static __thread sigjmp_buf *touching;

static void on_signal(int signo)
{
	if (touching)
		siglongjmp(*touching, 1);
	signal(signo, SIG_DFL);
}

static void module_touch(const struct op *op, struct answer *a)
{
	volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)op->base;
	sigjmp_buf env;

	touching = &env;
	/* Handled without being blocked: there is no mask to restore. */
	if (sigsetjmp(env, 0)) {
		touching = NULL;
		a->status = (uint32_t)LibntTakeFault(NULL);
		if (a->status == (uint32_t)STATUS_NOT_FOUND)
			a->status = (uint32_t)STATUS_ACCESS_VIOLATION;
		return;
	}
	if (op->kind == OP_WRITE)
		*p = op->value;
	else
		a->byte = *p;
	touching = NULL;
}

static NTSTATUS module_allocate_ex(const struct op *op, PVOID *base, SIZE_T *size)
{
	MEM_ADDRESS_REQUIREMENTS limits = {
		.LowestStartingAddress = (PVOID)(uintptr_t)op->lowest,
		.HighestEndingAddress = (PVOID)(uintptr_t)op->highest,
		.Alignment = op->alignment,
	};
	MEM_EXTENDED_PARAMETER parameter = {
		.Type = MemExtendedParameterAddressRequirements,
		.Pointer = &limits,
	};

	return NtAllocateVirtualMemoryEx(NtCurrentProcess(), base, size, op->type, op->protect,
					 op->limits ? &parameter : NULL, op->limits ? 1 : 0);
}

static void module_call(const struct op *op, struct answer *a)
{
	PVOID base = (PVOID)(uintptr_t)op->base;
	MEMORY_BASIC_INFORMATION mbi = { 0 };
	MEMORY_REGION_INFORMATION region = { 0 };
	static __thread PVOID list[WATCH_LIST_MAX];
	SIZE_T size = op->size;
	ULONG_PTR n = op->value;
	NTSTATUS status = 0;
	ULONG old = 0, granularity;

	memset(a, 0, sizeof(*a));
	switch (op->kind) {
	case OP_ALLOC:
		status = NtAllocateVirtualMemory(NtCurrentProcess(), &base, op->zero_bits, &size,
						 op->type, op->protect);
		break;
	case OP_ALLOCX:
		status = module_allocate_ex(op, &base, &size);
		break;
	case OP_FREE:
		status = NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, op->type);
		break;
	case OP_PROTECT:
		status = NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, op->protect, &old);
		break;
	case OP_QUERY:
		status = NtQueryVirtualMemory(NtCurrentProcess(), base, MemoryBasicInformation, &mbi,
					      sizeof(mbi), NULL);
		a->ab = (uintptr_t)mbi.AllocationBase;
		a->ap = mbi.AllocationProtect;
		a->rs = mbi.RegionSize;
		a->st = mbi.State;
		a->pr = mbi.Protect;
		a->ty = mbi.Type;
		break;
	case OP_REGION:
		status = NtQueryVirtualMemory(NtCurrentProcess(), base, MemoryRegionInformation,
					      &region, sizeof(region), NULL);
		a->ab = (uintptr_t)region.AllocationBase;
		a->ap = region.AllocationProtect;
		a->rs = region.RegionSize;
		a->cs = region.CommitSize;
		break;
	case OP_READ:
	case OP_WRITE:
		module_touch(op, a);
		status = (NTSTATUS)a->status;
		break;
	case OP_GET_WATCH:
		status = NtGetWriteWatch(NtCurrentProcess(), op->flags, base, size, list, &n,
					 &granularity);
		for (a->n = status ? 0 : n, n = 0; n < a->n; n++)
			a->list[n] = (uintptr_t)list[n];
		break;
	case OP_RESET_WATCH:
		status = NtResetWriteWatch(NtCurrentProcess(), base, size);
		break;
	case OP_KINDS:
		break;
	}
	a->status = (uint32_t)status;
	a->base = (uintptr_t)base;
	a->size = size;
	a->old = old;
}

/* --- comparing -------------------------------------------------------------------- */

struct difference {
	int at;			/* call that differs; -1: none */
	char what[256];
	struct answer want, got;
	uint64_t placed[SEQUENCE];	/* where memory went for which the call named no place */
};

static bool differ(struct difference *d, const char *what, uint64_t want, uint64_t got)
{
	if (want == got)
		return false;
	snprintf(d->what, sizeof(d->what), "%s: want %#llx, got %#llx", what,
		 (unsigned long long)want, (unsigned long long)got);
	return true;
}

static bool compare_answers(const struct op *op, const struct answer *want,
			    const struct answer *got, struct difference *d)
{
	if (differ(d, "status", want->status, got->status))
		return true;
	switch (op->kind) {
	case OP_ALLOC:
	case OP_ALLOCX:
	case OP_FREE:
		return differ(d, "base", want->base, got->base) ||
		       differ(d, "size", want->size, got->size);
	case OP_PROTECT:
		return differ(d, "base", want->base, got->base) ||
		       differ(d, "size", want->size, got->size) ||
		       differ(d, "old protection", want->old, got->old);
	case OP_QUERY:
		/* 0: the run ends behind the window. */
		if (want->rs && differ(d, "run", want->rs, got->rs))
			return true;
		return differ(d, "state", want->st, got->st) ||
		       differ(d, "protection", want->pr, got->pr) ||
		       differ(d, "type", want->ty, got->ty) ||
		       differ(d, "allocation base", want->ab, got->ab) ||
		       differ(d, "allocation protection", want->ap, got->ap);
	case OP_REGION:
		return want->status ? false :
		       differ(d, "size of the region", want->rs, got->rs) ||
		       differ(d, "committed", want->cs, got->cs) ||
		       differ(d, "allocation base", want->ab, got->ab) ||
		       differ(d, "allocation protection", want->ap, got->ap);
	case OP_READ:
		return differ(d, "byte", want->byte, got->byte);
	case OP_GET_WATCH:
		if (differ(d, "written pages", want->n, got->n))
			return true;
		for (uint32_t i = 0; i < want->n; i++)
			if (differ(d, "written page", want->list[i], got->list[i]))
				return true;
		return false;
	default:
		return false;
	}
}

/* The whole window by queries, run by run. */
static bool compare_window(struct world *w, struct difference *d)
{
	struct op op = { .kind = OP_QUERY };
	uint64_t at = w->m.start;

	while (model_inside(&w->m, at, 1)) {
		op.base = at;
		model_call(&w->m, &op, &d->want);
		module_call(&op, &d->got);
		if (compare_answers(&op, &d->want, &d->got, d)) {
			size_t n = strlen(d->what);

			snprintf(d->what + n, sizeof(d->what) - n, " (query of %#llx afterwards)",
				 (unsigned long long)at);
			return true;
		}
		if (!d->want.rs)
			break;
		at += d->want.rs;
	}
	return false;
}

static bool step(struct world *w, const struct op *op, struct difference *d)
{
	struct answer *want = &d->want, *got = &d->got;
	bool sought;

	model_call(&w->m, op, want);
	sought = want->anywhere && !want->status;
	if (opt.count)
		guide_before();
	module_call(op, got);
	if (!sought)
		return compare_answers(op, want, got, d);

	/* More than any machine has. */
	if (got->status == (uint32_t)STATUS_COMMITMENT_LIMIT && op->size >= 1ull << 40)
		return false;
	if (got->status == (uint32_t)STATUS_NO_MEMORY) {
		if (!model_has_hole(&w->m, op))
			return false;
		snprintf(d->what, sizeof(d->what), "NO_MEMORY where there is room");
		return true;
	}
	if (differ(d, "status", want->status, got->status))
		return true;
	if (!model_placed(&w->m, op, got->base, got->size)) {
		snprintf(d->what, sizeof(d->what), "placed at %#llx, %#llx bytes",
			 (unsigned long long)got->base, (unsigned long long)got->size);
		return true;
	}
	d->placed[d->at] = got->base;
	if (!model_inside(&w->m, got->base, got->size)) {
		PVOID base = (PVOID)(uintptr_t)got->base;
		SIZE_T size = 0;

		NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
	}
	return false;
}

/* Releases all that the model knows of. Nothing may be in the window then. */
static bool clear(struct world *w, struct difference *d)
{
	uint64_t start = w->m.start;

	for (uint32_t i = 0; i < M_REGIONS; i++) {
		PVOID base = (PVOID)(uintptr_t)(start + w->m.region[i].first * M_PAGE);
		SIZE_T size = 0;
		NTSTATUS status;

		if (!w->m.region[i].used)
			continue;
		status = NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
		if (status) {
			snprintf(d->what, sizeof(d->what), "release of %#llx at the end: %#x",
				 (unsigned long long)(uintptr_t)base, status);
			return true;
		}
	}
	model_init(&w->m, start, w->m.user_max, w->m.user_end, w->m.windows);
	return compare_window(w, d);
}

/* Runs @n calls; those that the model thinks dangerous are left out by the maker. */
static void run(struct world *w, const struct op *ops, int n, struct difference *d)
{
	for (d->at = 0; d->at < n; d->at++) {
		if (step(w, &ops[d->at], d))
			return;
		if (d->at % 16 == 15 && compare_window(w, d))
			return;
	}
	d->at = n - 1;
	if (!compare_window(w, d) && !clear(w, d))
		d->at = -1;
}

/* --- sequences, in children ------------------------------------------------------- */

/* Where user space ends: what lies above 47 bits is only given to who asks for it. */
static uint64_t user_end(void)
{
	void *p = mmap((void *)(uintptr_t)(1ull << 50), M_PAGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t end = ((uintptr_t)p >> 47 ? 1ull << 56 : 1ull << 47) - M_PAGE;

	if (p == MAP_FAILED) {
		perror("fuzz: mmap");
		exit(2);
	}
	munmap(p, M_PAGE);
	return end;
}

static void world_init(struct world *w, uint64_t seed, int thread)
{
	LIBNT_INFO info;

	if (LibntGetInfo(NtCurrentProcess(), &info)) {
		fputs("fuzz: no device\n", stderr);
		exit(2);
	}
	w->rng.s = seed * 0x2545f4914f6cdd1dull + thread;
	w->extended = true;
	model_init(&w->m, WINDOW + thread * APART, info.MaximumAddress, user_end(), seed & 1);
}

/* What a thread of a child does; shared with the parent, which looks at it afterwards. */
struct job {
	struct world w;
	uint64_t seed;		/* of the sequence that is being made */
	unsigned int wanted;	/* sequences, with every second seed */
	unsigned int done;
	int thread;
	bool *stop;		/* one differs: the others need not go on */
	struct plan plan;
	struct op ops[SEQUENCE];
	struct difference d;
};

/* Makes calls as the model goes, so that they meet what is there; or as planned. */
static void sequence(struct job *j)
{
	struct rng choice;
	int planned = 0, reached = 0;

	alarm(60 * slow());
	world_init(&j->w, j->seed, j->thread);
	choice.s = ~j->w.rng.s;
	if (opt.guided && chance(&choice, 80) && guide_plan(&choice, &j->plan, j->w.m.start))
		planned = j->plan.n;
	for (int i = 0; i < SEQUENCE; i++) {
		struct op *op = &j->ops[i];

		j->d.at = i;
		if (i < planned && j->plan.call[i].how != PLAN_NEW)
			*op = j->plan.call[i].op;
		else
			make_op(&j->w, op);
		if (i < planned && j->plan.call[i].how == PLAN_CHANGE)
			change_op(&j->w, op);
		if (step(&j->w, op, &j->d))
			return;
		if (opt.count && guide_after())
			reached = i + 1;
		if (i % 16 == 15 && compare_window(&j->w, &j->d))
			return;
	}
	j->d.at = SEQUENCE - 1;
	if (compare_window(&j->w, &j->d) || clear(&j->w, &j->d))
		return;
	j->d.at = -1;
	if (opt.guided && reached)
		guide_keep(j->ops, reached, j->w.m.start);
}

static bool time_is_up(void)
{
	return opt.seconds && time(NULL) - begun >= (time_t)opt.seconds;
}

static void *sequences(void *arg)
{
	struct job *j = arg;

	if (opt.count)
		guide_thread();
	for (; j->done < j->wanted && !__atomic_load_n(j->stop, __ATOMIC_RELAXED); j->seed += 2) {
		if (time_is_up())
			break;
		if (opt.verbose)
			fprintf(stderr, "# seed %llu\n", (unsigned long long)j->seed);
		sequence(j);
		j->done++;
		if (j->d.at >= 0) {
			__atomic_store_n(j->stop, true, __ATOMIC_RELAXED);
			break;
		}
	}
	return NULL;
}

static void child_begin(uint64_t seed)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	alarm(60 * slow());
	if (LibntSetContract(NtCurrentProcess(), seed & 1 ? LIBNT_CONTRACT_WINDOWS :
							    LIBNT_CONTRACT_DOCUMENTED)) {
		fputs("fuzz: no device\n", stderr);
		_exit(2);
	}
}

/* In a child: does this list of calls differ? @d is shared memory. */
static bool differs(const struct op *ops, int n, uint64_t seed, int thread,
		    struct difference *d)
{
	pid_t pid = fork();
	int status;

	if (pid < 0) {
		perror("fuzz: fork");
		exit(2);
	}
	if (!pid) {
		static struct world w;

		child_begin(seed);
		world_init(&w, seed, thread);
		run(&w, ops, n, d);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		snprintf(d->what, sizeof(d->what), "the process died, wait status %#x", status);
		d->at = n - 1;
	}
	return d->at >= 0;
}

/* --- writing a vector ---------------------------------------------------------------- */

static uint64_t put_window;

static void put_number(FILE *f, uint64_t x)
{
	if (x >= put_window && x < put_window + M_PAGES * M_PAGE)
		fprintf(f, "B+%#llx", (unsigned long long)(x - put_window));
	else
		fprintf(f, "%#llx", (unsigned long long)x);
}

static void put_step(FILE *f, const struct op *op, const struct answer *a)
{
	static const char *const names[] = {
		"alloc", "allocx", "free", "prot", "query", "region", "rd", "wr", "gww", "rww",
	};
	bool ok = !(a->status >> 30);

	fprintf(f, "  %s ", names[op->kind]);
	put_number(f, op->base);
	if (op->kind == OP_ALLOC)
		fprintf(f, " %#llx", (unsigned long long)op->zero_bits);
	if (op->kind <= OP_PROTECT || op->kind >= OP_GET_WATCH)
		fprintf(f, " %#llx", (unsigned long long)op->size);
	if (op->kind <= OP_FREE)
		fprintf(f, " %#x", op->type);
	if (op->kind == OP_ALLOC || op->kind == OP_ALLOCX || op->kind == OP_PROTECT)
		fprintf(f, " %#x", op->protect);
	if (op->kind == OP_WRITE)
		fprintf(f, " %u", op->value);
	if (op->kind == OP_GET_WATCH)
		fprintf(f, " %u %u", op->value, op->flags);
	if (op->limits)
		fprintf(f, " lo=%#llx hi=%#llx align=%#llx", (unsigned long long)op->lowest,
			(unsigned long long)op->highest, (unsigned long long)op->alignment);
	fprintf(f, " => 0x%x", a->status);
	if (op->kind <= OP_PROTECT && !a->anywhere && ok) {
		fputs(" base=", f);
		put_number(f, a->base);
		fprintf(f, " size=%#llx", (unsigned long long)a->size);
	}
	if (op->kind == OP_PROTECT && a->old)
		fprintf(f, " old=%#x", a->old);
	if (op->kind == OP_QUERY || (op->kind == OP_REGION && ok)) {
		fputs(" ab=", f);
		put_number(f, a->ab);
		fprintf(f, " ap=%#x", a->ap);
		if (a->rs)
			fprintf(f, " rs=%#llx", (unsigned long long)a->rs);
	}
	if (op->kind == OP_QUERY)
		fprintf(f, " st=%#x pr=%#x", a->st, a->pr);
	if (op->kind == OP_REGION && ok)
		fprintf(f, " cs=%#llx", (unsigned long long)a->cs);
	if (op->kind == OP_READ && ok)
		fprintf(f, " val=%u", a->byte);
	if (op->kind == OP_GET_WATCH && ok)
		fprintf(f, " n=%u", a->n);
	fputc('\n', f);
}

static void put_vector(FILE *f, const struct op *ops, int n, uint64_t seed, int thread,
		       struct difference *d)
{
	static struct model m;
	struct answer a;

	put_window = WINDOW + thread * APART;
	model_init(&m, put_window, 0x7ffffffdffffull, user_end(), seed & 1);
	fprintf(f, "# %s\n", d->what);
	fprintf(f, "F%llu fuzz page:fuzz D mode=%s\n", (unsigned long long)seed,
		seed & 1 ? "windows" : "documented");
	for (int i = 0; i < n; i++) {
		model_call(&m, &ops[i], &a);
		if (a.anywhere && !a.status && d->placed[i]) {
			a.base = d->placed[i];
			a.size = (ops[i].size + M_PAGE - 1) & ~(M_PAGE - 1);
			a.anywhere = !model_placed(&m, &ops[i], a.base, a.size);
		}
		put_step(f, &ops[i], &a);
	}
	fflush(f);
}

/* Takes calls away as long as it still differs; first halves, then single ones. */
static int shrink(struct op *ops, int n, uint64_t seed, int thread, struct difference *d)
{
	struct op *fewer = calloc(n + 1, sizeof(*ops));
	struct difference last = *d;

	if (d->at >= 0 && d->at + 1 < n)
		n = d->at + 1;
	for (int chunk = n / 2; fewer && chunk; chunk /= 2) {
		for (int at = 0; at + chunk <= n; ) {
			memcpy(fewer, ops, at * sizeof(*ops));
			memcpy(fewer + at, ops + at + chunk, (n - at - chunk) * sizeof(*ops));
			if (n > chunk && differs(fewer, n - chunk, seed, thread, d)) {
				n -= chunk;
				memcpy(ops, fewer, n * sizeof(*ops));
				last = *d;
			} else {
				at += chunk;
			}
		}
	}
	free(fewer);
	*d = last;
	return n;
}

/* --- main -------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
	{ "seed", 's', "N", 0, "seed of the first sequence (1)", 0 },
	{ "calls", 'n', "N", 0, "calls to make in all (200,000)", 0 },
	{ "seconds", 't', "N", 0, "stop after this time, whatever was done; 0: never (20)", 0 },
	{ "threads", 'j', "N", 0, "threads in each process, in windows of their own (2)", 0 },
	{ "one", '1', "N", 0, "only the sequence with this seed, in one thread", 0 },
	{ "batch", 'b', "N", 0, "sequences that a process makes in each thread (16)", 0 },
	{ "coverage", 'c', NULL, 0, "count the module's code that is reached, by KCOV", 0 },
	{ "guided", 'g', NULL, 0, "the same, and make sequences from those that reached more", 0 },
	{ "verbose", 'v', NULL, 0, "name each sequence", 0 },
	{ 0 }
};

static error_t option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 's':
		opt.seed = strtoull(arg, NULL, 0);
		return 0;
	case 'n':
		opt.calls = strtoull(arg, NULL, 0);
		return 0;
	case 't':
		opt.seconds = strtoul(arg, NULL, 0);
		return 0;
	case 'j':
		opt.threads = atoi(arg);
		if (opt.threads < 1 || opt.threads > THREADS_MAX)
			argp_error(state, "1 to %d threads", THREADS_MAX);
		return 0;
	case '1':
		opt.one = strtoull(arg, NULL, 0);
		opt.has_one = true;
		return 0;
	case 'b':
		opt.batch = strtoul(arg, NULL, 0);
		if (!opt.batch)
			argp_error(state, "at least one sequence");
		return 0;
	case 'g':
		opt.guided = true;
		/* fallthrough */
	case 'c':
		opt.count = true;
		return 0;
	case 'v':
		opt.verbose = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/*
 * A process that makes sequences in each of its threads, with @seed and every
 * second one after it: the contract is the process's. Returns the thread that
 * differs, or -1.
 */
static int process(struct job *jobs, uint64_t seed, unsigned int wanted)
{
	static bool *stop;
	int status, t;
	pid_t pid;

	if (!stop)
		stop = (bool *)&jobs[THREADS_MAX];
	*stop = false;
	for (t = 0; t < opt.threads; t++) {
		jobs[t].seed = seed;
		jobs[t].wanted = wanted;
		jobs[t].done = 0;
		jobs[t].thread = t;
		jobs[t].stop = stop;
		jobs[t].d.at = -1;
	}
	pid = fork();
	if (pid < 0) {
		perror("fuzz: fork");
		exit(2);
	}
	if (!pid) {
		pthread_t id[THREADS_MAX];

		child_begin(seed);
		for (t = 0; t < opt.threads; t++)
			if (pthread_create(&id[t], NULL, sequences, &jobs[t]))
				_exit(2);
		for (t = 0; t < opt.threads; t++)
			pthread_join(id[t], NULL);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		snprintf(jobs[0].d.what, sizeof(jobs[0].d.what),
			 "the process died, wait status %#x", status);
		return 0;
	}
	for (t = 0; t < opt.threads; t++)
		if (jobs[t].d.at >= 0)
			return t;
	return -1;
}

static void report(struct job *j, uint64_t first)
{
	int n = j->d.at + 1;

	printf("# seed %llu, thread %d, call %d: %s\n", (unsigned long long)j->seed, j->thread,
	       j->d.at, j->d.what);
	if (opt.guided)
		puts("# its calls were made from others: the seed alone does not make them again");
	if (n > 0 && differs(j->ops, n, j->seed, j->thread, &j->d)) {
		n = shrink(j->ops, n, j->seed, j->thread, &j->d);
		put_vector(stdout, j->ops, n, j->seed, j->thread, &j->d);
	} else {
		printf("# not alone: run it again with as many threads from seed %llu on\n",
		       (unsigned long long)first);
	}
	printf("not ok 1 the module does as the model\n1..1\n");
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = option,
		.doc = "Compare the module with a model of NT's memory, call by call.",
	};
	uint64_t sequences = 0, seed, want;
	struct job *jobs;
	int t, i;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	begun = time(NULL);
	jobs = mmap(NULL, sizeof(*jobs) * THREADS_MAX + sizeof(bool), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (jobs == MAP_FAILED) {
		perror("fuzz: mmap");
		return 2;
	}
	if (opt.count && !guide_init()) {
		puts("1..0 # SKIP coverage cannot be counted");
		return 4;
	}
	if (opt.has_one) {
		opt.threads = 1;
		opt.seed = opt.one;
		opt.calls = 1;
	}
	want = (opt.calls + SEQUENCE * opt.threads - 1) / (SEQUENCE * opt.threads);
	/* Two processes in turn have every second seed each. */
	for (seed = opt.seed; want && !time_is_up(); seed += 2 * opt.batch) {
		for (i = 0; i < 2 && want && !time_is_up(); i++) {
			uint64_t n = (want + !i) / (2 - i);

			n = n < opt.batch ? n : opt.batch;
			t = process(jobs, seed + i, n);
			for (int other = 0; other < opt.threads; other++)
				sequences += jobs[other].done;
			if (t >= 0) {
				report(&jobs[t], seed + i);
				return 1;
			}
			want -= n;
		}
	}
	printf("# %llu calls in %llu sequences, %llu seeds from %llu on\n",
	       (unsigned long long)sequences * SEQUENCE, (unsigned long long)sequences,
	       (unsigned long long)(sequences + opt.threads - 1) / opt.threads,
	       (unsigned long long)opt.seed);
	if (opt.count)
		printf("# %u distinct PCs, %u pairs of successive ones; %u sequences kept\n",
		       guide_pcs(), guide_pairs(), guide_kept());
	printf("ok 1 the module does as the model\n1..1\n");
	return 0;
}
