// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coverage as a guide. KCOV writes the address of each basic block that a
 * thread executes in the kernel's instrumented parts, here the module, to a
 * buffer of that thread. What was reached so far, and the sequences that were
 * first to reach something, lie in memory that the fuzzer's processes share.
 *
 * A sequence is kept if it reached an address, or went from one address to
 * another, for the first time: many states of memory are the same code in
 * another order. One mutex protects the corpus; the sets need none.
 */
#include "guide.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcov.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libnt.h>

#define KCOV		"/sys/kernel/debug/kcov"
#define COVER		(1ul << 16)	/* entries of a buffer; what is beyond is lost */
#define SET		(1u << 17)
#define KEPT		1024
#define KEEP		48		/* of a sequence: its last calls */

/* Addresses, or pairs of them; 0: free. An entry is never taken out. */
struct set {
	unsigned int n;
	uint64_t entry[SET];
};

static struct shared {
	struct set pcs, pairs;
	pthread_mutex_t lock;
	unsigned int kept, next;	/* in the corpus; to be replaced when it is full */
	struct kept {
		int n;
		struct op ops[KEEP];
	} corpus[KEPT];
} *shared;

static __thread uint64_t *cover;

static bool set_add(struct set *s, uint64_t x)
{
	for (unsigned int i = (x * 0x9e3779b97f4a7c15ull) >> 47, tries = 0; tries < 64; tries++) {
		uint64_t *entry = &s->entry[(i + tries) % SET], old = 0;

		if (__atomic_load_n(entry, __ATOMIC_RELAXED) == x)
			return false;
		if (__atomic_compare_exchange_n(entry, &old, x, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			__atomic_add_fetch(&s->n, 1, __ATOMIC_RELAXED);
			return true;
		}
		if (old == x)
			return false;
	}
	return false;
}

static const char *start_counting(void)
{
	int fd = open(KCOV, O_RDWR | O_CLOEXEC);
	const char *why = NULL;

	if (fd < 0)
		return "the kernel has no KCOV (" KCOV ")";
	if (ioctl(fd, KCOV_INIT_TRACE, COVER)) {
		why = "KCOV_INIT_TRACE";
	} else {
		cover = mmap(NULL, COVER * sizeof(*cover), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (cover == MAP_FAILED)
			why = "mmap of " KCOV;
		else if (ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
			why = "KCOV_ENABLE";
	}
	/* The descriptor is not closed: that would end it. */
	return why;
}

static void count_once(void)
{
	const char *why = start_counting();
	LIBNT_INFO info;

	if (why) {
		fprintf(stderr, "fuzz: %s\n", why);
		_exit(4);
	}
	guide_before();
	LibntGetInfo(NtCurrentProcess(), &info);
	if (!cover[0]) {
		fputs("fuzz: the module was built without KCOV_INSTRUMENT=y\n", stderr);
		_exit(4);
	}
	_exit(0);
}

bool guide_init(void)
{
	pthread_mutexattr_t attr;
	int status;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED) {
		perror("fuzz: mmap");
		exit(2);
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->lock, &attr);
	/* In a child: no more than one of a thread's life can be counted. */
	pid = fork();
	if (!pid)
		count_once();
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

void guide_thread(void)
{
	const char *why = start_counting();

	if (why) {
		fprintf(stderr, "fuzz: %s: %s\n", why, strerror(errno));
		_exit(2);
	}
}

void guide_before(void)
{
	/* A child that shrinks does not count. */
	if (!cover)
		return;
	__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
}

bool guide_after(void)
{
	uint64_t n = __atomic_load_n(&cover[0], __ATOMIC_RELAXED), last = 0;
	bool new = false;

	for (uint64_t i = 1; i <= n && i < COVER; i++) {
		uint64_t pc = cover[i];

		new |= set_add(&shared->pcs, pc);
		/* Blocks differ in their low half. */
		new |= set_add(&shared->pairs, last << 32 | (uint32_t)pc);
		last = pc;
	}
	return new;
}

static uint64_t moved(uint64_t address, uint64_t from, uint64_t to)
{
	return address - from < M_PAGES * M_PAGE ? address - from + to : address;
}

static void move(struct op *op, uint64_t from, uint64_t to)
{
	op->base = moved(op->base, from, to);
	op->lowest = moved(op->lowest, from, to);
	op->highest = moved(op->highest, from, to);
}

void guide_keep(const struct op *ops, int n, uint64_t window)
{
	struct kept *k;

	pthread_mutex_lock(&shared->lock);
	if (shared->kept < KEPT) {
		k = &shared->corpus[shared->kept++];
	} else {
		k = &shared->corpus[shared->next];
		shared->next = (shared->next + 1) % KEPT;
	}
	if (n > KEEP) {
		ops += n - KEEP;
		n = KEEP;
	}
	memcpy(k->ops, ops, n * sizeof(*ops));
	k->n = n;
	for (int i = 0; i < n; i++)
		move(&k->ops[i], window, WINDOW);
	pthread_mutex_unlock(&shared->lock);
}

static void make_room(struct plan *p, int at, int n)
{
	if (n > SEQUENCE - at)
		n = SEQUENCE - at;
	if (p->n > SEQUENCE - n)
		p->n = SEQUENCE - n;
	if (at < p->n)
		memmove(&p->call[at + n], &p->call[at], (p->n - at) * sizeof(p->call[0]));
	p->n = (at < p->n ? p->n : at) + n;
}

/* Calls of a sequence that was kept, or new ones. */
static void put_calls(struct plan *p, int at, const struct op *ops, int n)
{
	for (int i = 0; i < n && at + i < SEQUENCE; i++) {
		p->call[at + i].how = ops ? PLAN_AS_IS : PLAN_NEW;
		if (ops)
			p->call[at + i].op = ops[i];
	}
}

/* Makes one change to the calls from @first on. */
static void mutate(struct rng *r, struct plan *p, int first)
{
	const struct kept *other = &shared->corpus[below(r, shared->kept)];
	int at = first + below(r, p->n - first), from = below(r, other->n), n = other->n - from;

	switch (below(r, 6)) {
	case 0:
		p->call[at].how = PLAN_NEW;
		break;
	case 1:
		make_room(p, at, 1);
		p->call[at].how = PLAN_NEW;
		break;
	case 2:
		if (p->n > first + 1) {
			p->n--;
			memmove(&p->call[at], &p->call[at + 1], (p->n - at) * sizeof(p->call[0]));
		}
		break;
	case 3:		/* a few calls of another one */
		n = n < 8 ? n : 8;
		make_room(p, at, n);
		put_calls(p, at, &other->ops[from], n);
		break;
	case 4:		/* the end of another one */
		put_calls(p, at, &other->ops[from], n);
		p->n = at + n < SEQUENCE ? at + n : SEQUENCE;
		break;
	default:
		if (p->call[at].how == PLAN_AS_IS)
			p->call[at].how = PLAN_CHANGE;
		break;
	}
}

/*
 * New calls and kept ones in turn: what was reached for the first time after
 * some calls may lead further in a window that has other things in it, too.
 */
bool guide_plan(struct rng *r, struct plan *p, uint64_t window)
{
	const struct kept *k;

	p->n = 0;
	pthread_mutex_lock(&shared->lock);
	while (shared->kept && p->n < SEQUENCE) {
		int first = p->n, times, n = 1 + below(r, 2 * KEEP);

		if (chance(r, 50)) {
			make_room(p, first, n);
			put_calls(p, first, NULL, n);
			continue;
		}
		k = &shared->corpus[chance(r, 50) ? below(r, shared->kept) :
			shared->kept - 1 - below(r, (shared->kept + 7) / 8)];
		make_room(p, first, k->n);
		put_calls(p, first, k->ops, k->n);
		for (times = 1 + below(r, 8); times; times--)
			mutate(r, p, first);
	}
	pthread_mutex_unlock(&shared->lock);
	for (int i = 0; i < p->n; i++)
		if (p->call[i].how != PLAN_NEW)
			move(&p->call[i].op, WINDOW, window);
	return p->n;
}

unsigned int guide_pcs(void)
{
	return shared->pcs.n;
}

unsigned int guide_pairs(void)
{
	return shared->pairs.n;
}

unsigned int guide_kept(void)
{
	return shared->kept;
}
