/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every guest test shares, so that each test file holds only its claims:
 * probes that touch memory and report the signal, calls whose outputs are
 * fenced and poisoned, readers of the kernel's own books, and child processes.
 */
#ifndef NTVM_TEST_H
#define NTVM_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libnt.h>
#include <linux/ntvm.h>

#include "slow.h"

#define P		0x1000ul	/* page */
#define G		0x10000ul	/* allocation granularity */
#define KIB		1024ul
#define MIB		(1024ul * KIB)
#define GIB		(1024ul * MIB)
#define ME		NtCurrentProcess()

/* A 64 KiB aligned address with plenty of free space behind it. */
#define FIXED		((uintptr_t)0x50000000)

/*
 * What depends on the width of a program's addresses. The 4 GiB of a 32-bit
 * program are its own, less two pages at their end.
 */
#ifdef _LP64
#define TIB		(1024ul * GIB)
/* Not in user space on any x86-64 kernel. */
#define KERNEL_ADDRESS	((uintptr_t)0xffff888000000000)
/* More such addresses, for an array. */
#define KERNEL_ADDRESSES \
	KERNEL_ADDRESS, ~0ul, 1ul << 63, 0xffff800000000000, 0xfffffffffffff000, \
	0xff00000000000000
/* More than the space behind any address. */
#define TOO_MUCH	(1ul << 62)
/* The largest reservation that must work; a checkerboard of pages to commit. */
#define LARGE		(64 * TIB)
#define CHECKERBOARD	(4 * GIB)
/* A reservation of which little is ever used. */
#define SPARSE		TIB
/* The top bit of a size. */
#define TOP_BIT		(1ul << 63)
#else
#define KERNEL_ADDRESS	((uintptr_t)0xfffff000)
#define KERNEL_ADDRESSES \
	KERNEL_ADDRESS, ~0ul, 0xffffe000, 0xfffffffful - 7
#define TOO_MUCH	(0xffffffff - FIXED)
#define LARGE		(2 * GIB)
#define CHECKERBOARD	(1 * GIB)
#define SPARSE		GIB
#define TOP_BIT		(1ul << 31)
#endif

/* A pointer that came as a number of 8 bytes, from another process or a request. */
static inline void *pointer_of(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

/* --- touching memory ------------------------------------------------------- */

/**
 * struct probe - what one access did
 * @signo: 0 if it worked, else SIGSEGV or SIGBUS
 * @code: si_code
 * @addr: si_addr
 * @value: the byte read, or what the called code returned
 */
struct probe {
	int signo;
	int code;
	uintptr_t addr;
	unsigned int value;
};

void probe_init(void);
struct probe probe_read(const void *p);
struct probe probe_write(void *p, uint8_t value);
struct probe probe_exec(const void *p);
/* A whole word at once; the signal or 0. */
int probe_load(const void *p, uint64_t *word);
int probe_store(void *p, uint64_t word);
/* Code that returns @value, in x86 machine language. */
void put_code(void *p, uint32_t value);

/* --- calls ------------------------------------------------------------------- */

/**
 * struct res - the result of a call
 * @status: what it returned
 * @base: *BaseAddress afterwards
 * @size: *RegionSize afterwards
 * @old: *OldProtect afterwards, OLD_POISON if it was not written
 * @fenced: false if the call wrote beside its outputs
 */
struct res {
	NTSTATUS status;
	uintptr_t base;
	size_t size;
	ULONG old;
	bool fenced;
};
#define OLD_POISON	0xa5a5a5a5u

struct res do_alloc(HANDLE h, uintptr_t base, uintptr_t zero_bits, size_t size,
		    ULONG type, ULONG protect);
struct res do_alloc_ex(HANDLE h, uintptr_t base, size_t size, ULONG type, ULONG protect,
		       MEM_EXTENDED_PARAMETER *params, ULONG count);
struct res do_free(HANDLE h, uintptr_t base, size_t size, ULONG type);
struct res do_protect(HANDLE h, uintptr_t base, size_t size, ULONG protect);

/* The whole answer to a query; poisoned first. @fenced as above. */
struct query {
	NTSTATUS status;
	MEMORY_BASIC_INFORMATION mbi;
	size_t written;
	bool fenced;
};
struct query do_query(HANDLE h, uintptr_t address);

/* Shorthands that give 0 or NULL on failure. */
void *reserve(size_t size);
void *reserve_commit(size_t size, ULONG protect);
NTSTATUS commit(void *p, size_t size, ULONG protect);
NTSTATUS decommit(void *p, size_t size);
NTSTATUS release(void *p);
NTSTATUS protect(void *p, size_t size, ULONG new_protect);
/* Protect of one page as the query tells it; ~0 unless it is committed. */
ULONG page_protect(const void *p);
/* State of one page as the query tells it; 0 on failure. */
ULONG page_state(const void *p);
LIBNT_INFO info_of(HANDLE h);
const char *status_name(NTSTATUS status);

/**
 * struct snap - everything a refused call must leave alone
 * @reserved: bytes reserved in the process
 * @committed: bytes committed
 * @regions: number of regions
 * @contract: contract in force
 * @hash: of the answers to queries over a range
 */
struct snap {
	uint64_t reserved;
	uint64_t committed;
	uint64_t regions;
	uint32_t contract;
	uint64_t hash;
};
struct snap snap_of(HANDLE h, uintptr_t from, uintptr_t to);
bool snap_same(const struct snap *a, const struct snap *b);

/* --- the device itself ---------------------------------------------------------- */

int device_open(int flags);
/* 0 or -errno */
int raw(int fd, unsigned long nr, void *request);
NTSTATUS raw_duplicate(HANDLE h, ULONG access, HANDLE *out);

/* --- the kernel's books ----------------------------------------------------------- */

/* Bytes of a line of /proc/meminfo, with the per-CPU counters folded in. */
int64_t meminfo(const char *field);
/* Bytes of a line of /proc/PID/status (0: self). */
int64_t proc_status(pid_t pid, const char *field);
/* Number of VMAs that touch the range. */
int vmas_in(uintptr_t from, uintptr_t to);
/* The permissions of the VMA at @addr, "" if there is none. */
void vma_perms(uintptr_t addr, char perms[8]);
/* Live objects in the slab caches of the module; -1: it has none by name. */
int64_t slab_objects(void);
int64_t module_refcnt(void);
/* Where it is: NTVM_MODULE, or where tools/ntvm-vm puts it. */
const char *module_path(void);
bool module_loaded(void);
/* These return 0 or errno; EWOULDBLOCK where somebody holds it. */
int module_load(void);
int module_unload(void);
/* First number in a file; -1 on failure. */
int64_t read_number(const char *path);
int read_file(const char *path, char *buf, size_t size);
int write_file(const char *path, const char *text);
/* A number that follows "key " in a flat-keyed file such as memory.stat. */
int64_t read_keyed(const char *path, const char *key);
double now(void);
void sleep_ms(unsigned int ms);

/* Try for a while: true as soon as the expression holds. */
#define wait_until(seconds, expr) ({				\
	double __until = now() + (seconds) * slow();		\
	bool __held;						\
	while (!(__held = (expr)) && now() < __until)		\
		sleep_ms(10);					\
	__held || (expr);					\
})

/* What the kernel counts for all processes: as before when all is given back. */
struct books {
	int64_t refcnt;		/* of the module */
	int64_t shmem;		/* bytes of pages in files */
	int64_t charge;		/* bytes of Committed_AS */
	int64_t objects;	/* in the module's slab caches; freed late, so never more */
};
struct books books_now(void);

#define __EXPECT_BOOK(seconds, before, what, op)			\
	EXPECT_TRUE(wait_until(seconds, books_now().what op (before).what)) \
		TH_LOG("%s %lld, was %lld", #what, (long long)books_now().what, \
		       (long long)(before).what)
#define EXPECT_BOOKS(seconds, before) do {				\
	__EXPECT_BOOK(seconds, before, refcnt, ==);			\
	__EXPECT_BOOK(seconds, before, shmem, ==);			\
	__EXPECT_BOOK(seconds, before, charge, ==);			\
	__EXPECT_BOOK(seconds, before, objects, <=);			\
} while (0)

static inline bool near(int64_t a, int64_t b, int64_t tolerance)
{
	return a - b <= tolerance && b - a <= tolerance;
}

/*
 * A swap area of so many bytes in compressed memory; false, with errno, if the
 * system cannot. Whoever turns it on turns it off: other tests count on a system
 * without.
 */
bool swap_on(size_t size);
/* The same on a block device of that size; whoever turns it on calls swapoff(2). */
bool swap_on_device(const char *path, size_t size);
int swap_off(void);

/* --- other processes -------------------------------------------------------------- */

/**
 * struct child - a process that does its part and then sleeps in the kernel
 * @pid: process id
 * @sock: a socket pair's end: orders and reports, and descriptors
 */
struct child {
	pid_t pid;
	int sock;
};

/* @fn runs in the child; its return value is the exit status. */
bool child_start(struct child *c, int (*fn)(int sock, void *arg), void *arg);
bool child_tell(int sock, uint64_t word);
bool child_hear(int sock, uint64_t *word);
bool send_fd(int sock, int fd);
int recv_fd(int sock);
/* Exit status, 128 + signal, or -1. */
int child_wait(struct child *c);
/* The child's own handle to itself, as an open file to be sent away. */
int own_device(void);
/* True once the process sleeps in the kernel. */
bool wait_asleep(pid_t pid);

/* --- expectations ----------------------------------------------------------------- */

#define __STATUS(__check, __want, __call) do {				\
	NTSTATUS __ws = (__want), __gs = (__call);			\
	__check(__ws, __gs) {						\
		TH_LOG("%s: want %s, got %s", #__call,			\
		       status_name(__ws), status_name(__gs));		\
	}								\
} while (0)
#define EXPECT_STATUS(want, call)	__STATUS(EXPECT_EQ, want, call)
#define ASSERT_STATUS(want, call)	__STATUS(ASSERT_EQ, want, call)

/* A call's status and both outputs; nothing beside them written. */
#define EXPECT_RES(want, want_base, want_size, call) do {		\
	struct res __r = (call);					\
	NTSTATUS __w = (want);						\
	uintptr_t __wb = (uintptr_t)(want_base);			\
	size_t __wz = (want_size);					\
	EXPECT_TRUE(__w == __r.status && __wb == __r.base &&		\
		    __wz == __r.size && __r.fenced) {			\
		TH_LOG("%s", #call);					\
		TH_LOG("want %s %#lx %#lx", status_name(__w), (long)__wb, (long)__wz); \
		TH_LOG("got  %s %#lx %#lx%s", status_name(__r.status),	\
		       (long)__r.base, (long)__r.size,			\
		       __r.fenced ? "" : ", outputs overrun");		\
	}								\
} while (0)

/* One page run of a region, every field of the answer. */
#define EXPECT_QUERY_H(h, at, want_ab, want_ap, want_size, want_state, want_protect) do { \
	uintptr_t __at = (uintptr_t)(at);				\
	struct query __q = do_query(h, __at);				\
	uintptr_t __ab = (uintptr_t)(want_ab);				\
	size_t __rs = (want_size);					\
	ULONG __ap = (want_ap), __st = (want_state), __pr = (want_protect); \
	EXPECT_TRUE(__q.status == STATUS_SUCCESS && __q.fenced &&	\
		    __q.written == sizeof(__q.mbi) &&			\
		    (uintptr_t)__q.mbi.BaseAddress == (__at & ~(P - 1)) && \
		    (uintptr_t)__q.mbi.AllocationBase == __ab &&	\
		    __q.mbi.AllocationProtect == __ap &&		\
		    __q.mbi.RegionSize == __rs && __q.mbi.State == __st && \
		    __q.mbi.Protect == __pr && __q.mbi.Type == MEM_PRIVATE) { \
		TH_LOG("query %#lx: want ab=%#lx ap=%#x rs=%#lx st=%#x pr=%#x", \
		       (long)__at, (long)__ab, __ap, (long)__rs, __st, __pr); \
		TH_LOG("got %s ba=%p ab=%p ap=%#x rs=%#lx st=%#x pr=%#x ty=%#x ret=%zu", \
		       status_name(__q.status), __q.mbi.BaseAddress,	\
		       __q.mbi.AllocationBase, __q.mbi.AllocationProtect, \
		       (long)__q.mbi.RegionSize, __q.mbi.State,		\
		       __q.mbi.Protect, __q.mbi.Type, __q.written);	\
	}								\
} while (0)
#define EXPECT_QUERY(at, ab, ap, size, state, protect) \
	EXPECT_QUERY_H(ME, at, ab, ap, size, state, protect)

#define EXPECT_FREE_H(h, at) do {					\
	uintptr_t __at = (uintptr_t)(at);				\
	struct query __q = do_query(h, __at);				\
	EXPECT_TRUE(__q.status == STATUS_SUCCESS && __q.fenced &&	\
		    (uintptr_t)__q.mbi.BaseAddress == (__at & ~(P - 1)) && \
		    !__q.mbi.AllocationBase && !__q.mbi.AllocationProtect && \
		    __q.mbi.State == MEM_FREE &&			\
		    __q.mbi.Protect == PAGE_NOACCESS && !__q.mbi.Type) { \
		TH_LOG("query %#lx: want FREE", (long)__at);		\
		TH_LOG("got %s ba=%p ab=%p ap=%#x rs=%#lx st=%#x pr=%#x ty=%#x", \
		       status_name(__q.status), __q.mbi.BaseAddress,	\
		       __q.mbi.AllocationBase, __q.mbi.AllocationProtect, \
		       (long)__q.mbi.RegionSize, __q.mbi.State,		\
		       __q.mbi.Protect, __q.mbi.Type);			\
	}								\
} while (0)
#define EXPECT_FREE(at)	EXPECT_FREE_H(ME, at)

/* Accesses. A refused one must be SIGSEGV at exactly that address. */
#define __REFUSED(kind, p, call) do {					\
	uintptr_t __p = (uintptr_t)(p);					\
	struct probe __pr = (call);					\
	EXPECT_TRUE(__pr.signo == SIGSEGV && __pr.addr == __p) {	\
		TH_LOG("%s %s: want SIGSEGV at %#lx, got signal %d at %#lx code %d value %#x", \
		       kind, #p, (long)__p, __pr.signo, (long)__pr.addr, \
		       __pr.code, __pr.value);				\
	}								\
} while (0)
#define EXPECT_NO_READ(p)	__REFUSED("read", p, probe_read((const void *)__p))
#define EXPECT_NO_WRITE(p)	__REFUSED("write", p, probe_write((void *)__p, 0xbd))
#define EXPECT_NO_EXEC(p)	__REFUSED("exec", p, probe_exec((const void *)__p))
#define EXPECT_NO_ACCESS(p) do {					\
	EXPECT_NO_READ(p);						\
	EXPECT_NO_WRITE(p);						\
} while (0)
#define __ALLOWED(kind, p, call, want) do {				\
	uintptr_t __p = (uintptr_t)(p);					\
	unsigned int __wv = (want);					\
	struct probe __pr = (call);					\
	EXPECT_TRUE(!__pr.signo && __pr.value == __wv) {		\
		TH_LOG("%s %s: want %#x, got signal %d at %#lx code %d value %#x", \
		       kind, #p, __wv, __pr.signo, (long)__pr.addr,	\
		       __pr.code, __pr.value);				\
	}								\
} while (0)
#define EXPECT_READ(p, want)	__ALLOWED("read", p, probe_read((const void *)__p), want)
#define EXPECT_WRITE(p, v)	__ALLOWED("write", p, probe_write((void *)__p, v), v)
#define EXPECT_EXEC(p, want)	__ALLOWED("exec", p, probe_exec((const void *)__p), want)

#endif /* NTVM_TEST_H */
