/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the Wine backend share.
 *
 * The library is preloaded into every program that Wine starts and does something
 * only where Wine's Unix half, ntdll.so, is loaded: it replaces the entries of the
 * memory calls in ntdll.so's table of system services (table.c) by functions of
 * its own (calls.c), which ask ntvm first and Wine for what is not ntvm's.
 *
 * They run on the stack and in the thread of the Windows program's system call.
 * Wine suspends and ends threads by signals at any point, so that nothing here
 * holds a lock or keeps books of regions: whose an address is, is asked of the
 * module each time.
 */
#ifndef NTVM_WINE_BACKEND_H
#define NTVM_WINE_BACKEND_H

#include "internal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Calls from Windows code come in its own calling convention. */
#define WINAPI	__attribute__((ms_abi))

#define PAGE		((uintptr_t)4096)
#define PAGE_OF(p)	((uintptr_t)(p) & ~(PAGE - 1))

/* --- calls that are taken over -------------------------------------------------------- */

/* X(short name, NT's name): the order of hooks[] and of the counters. */
#define NTVM_CALLS(X)						\
	X(ALLOCATE, NtAllocateVirtualMemory)			\
	X(ALLOCATE_EX, NtAllocateVirtualMemoryEx)		\
	X(FREE, NtFreeVirtualMemory)				\
	X(PROTECT, NtProtectVirtualMemory)			\
	X(QUERY, NtQueryVirtualMemory)				\
	X(LOCK, NtLockVirtualMemory)				\
	X(UNLOCK, NtUnlockVirtualMemory)			\
	X(FLUSH, NtFlushVirtualMemory)				\
	X(GET_WATCH, NtGetWriteWatch)				\
	X(RESET_WATCH, NtResetWriteWatch)			\
	X(SET_INFORMATION, NtSetInformationVirtualMemory)

enum call {
#define X(id, name)	CALL_##id,
	NTVM_CALLS(X)
#undef X
	NR_CALLS
};

/* And what is replaced for the sake of them. */
enum hook_index {
	HOOK_CREATE_PROCESS = NR_CALLS,
	NR_HOOKS
};

/**
 * struct hook - a system service that is replaced
 * @name: as ntdll.so exports it
 * @fn: what is put in its place
 * @slot: where in the table; found by hooks_install()
 * @wine: what was there
 */
struct hook {
	const char *name;
	void *fn;
	void **slot;
	void *wine;
};

extern struct hook hooks[NR_HOOKS];

/**
 * hooks_install() - replace the entries in the table of ntdll.so
 * @handle: of dlopen()
 *
 * All of them or none.
 *
 * Return: NULL, or why nothing was changed.
 */
const char *hooks_install(void *handle);

/**
 * wine_text_has() - is this an address of ntdll.so?
 * @address: any
 *
 * Return: false, too, before hooks_install().
 */
bool wine_text_has(uintptr_t address);

/* The data of ntdll.so that it writes itself. */
void wine_data(uintptr_t *start, uintptr_t *end);

/* --- whose memory ----------------------------------------------------------------------- */

extern uintptr_t regions_end;		/* the same in all processes */

/**
 * address_is_ours() - is there a region of ntvm at an address?
 * @process: as in the calls of libnt
 * @address: any
 *
 * Asked by a decommit that reaches too far, which changes nothing.
 */
bool address_is_ours(HANDLE process, uintptr_t address);

/**
 * next_region() - where is the first region of ntvm above an address?
 * @process: as in the calls of libnt
 * @address: one that is in none
 *
 * Return: its first byte, UINT64_MAX if there is none, or 0: there is one at @address.
 */
uint64_t next_region(HANDLE process, uintptr_t address);

/* Reads a variable of the caller's; false if it is not there. */
bool load(void *to, const void *theirs, size_t len);

/* --- buffers ------------------------------------------------------------------------------ */

/**
 * buffers_init() - find Wine's table of page protections
 *
 * Called in a Windows thread, by the process's first call.
 *
 * Return: false if it is not where, or what, it should be.
 */
bool buffers_init(void);

/**
 * buffers_mark() - let the server's answers through to a range
 * @address: of a region of ntvm in this process
 * @len: its bytes
 */
void buffers_mark(uintptr_t address, size_t len);

/* --- other processes ---------------------------------------------------------------------- */

/**
 * struct target - the process that a Windows handle means
 * @process: for libnt; NtCurrentProcess(), or a handle of ntvm's
 * @known: false: nobody that ntvm serves, or not with this right; Wine's business
 * @mask: the signals that target_put() lets through again
 */
struct target {
	HANDLE process;
	bool known;
	sigset_t mask;
};

/**
 * target_get() - find the process of a Windows handle
 * @t: filled in
 * @handle: not NtCurrentProcess()
 * @rights: PROCESS_*, of which the handle must have one
 *
 * Signals are blocked until target_put(): a thread that Wine ends in between would
 * leave a descriptor behind.
 */
void target_get(struct target *t, HANDLE handle, ACCESS_MASK rights);
void target_put(struct target *t);

/**
 * targets_init() - look up the functions of ntdll.so that target_get() needs
 * @handle: of dlopen()
 *
 * Return: false if one is missing.
 */
bool targets_init(void *handle);

/**
 * target_publish() - let others on the backend find this process
 *
 * Called by the first call of the process: it has its Windows id by then.
 */
void target_publish(void);
void target_withdraw(void);

/* --- faults --------------------------------------------------------------------------------- */

/**
 * fault_wrap() - put the guard page handler around Wine's
 * @act: what Wine wants for SIGSEGV
 * @ours: filled in, to be installed instead
 */
void fault_wrap(const struct sigaction *act, struct sigaction *ours);

/* --- counters --------------------------------------------------------------------------------- */

/* Why an allocation that ntvm should have made was made by Wine. */
#define NTVM_REASONS(X)							\
	X(CONFLICT, "conflict")		/* something else is at that address */	\
	X(NO_MEMORY, "no_memory")	/* no hole where it has to be */	\
	X(RESOURCES, "resources")	/* a limit of the module's or of Linux' */ \
	X(DEVICE, "device")		/* no device any more */		\
	X(DENIED, "denied")		/* not allowed to this process */	\
	X(UNSUPPORTED, "unsupported")	/* ntvm does not have it */		\
	X(PROCESS, "process")		/* another process, not on the backend */

enum reason {
#define X(id, name)	REASON_##id,
	NTVM_REASONS(X)
#undef X
	NR_REASONS
};

#define NTVM_OTHERS(X)						\
	X(PROBES, "probes")					\
	X(WOW64, "wow64")					\
	X(FOREIGN, "foreign")					\
	X(RESERVES, "reserves")					\
	X(COMMITS, "commits")					\
	X(RELEASES, "releases")					\
	X(DECOMMITS, "decommits")				\
	X(DROPPED, "replies.dropped")				\
	X(GUARD_HITS, "guard.raised")				\
	X(GUARD_STACK, "guard.stack")				\
	X(GUARD_MISSED, "guard.missed")				\
	X(REGIONS, "regions")					\
	X(REGIONS_PEAK, "regions.peak")				\
	X(RESERVED, "reserved")					\
	X(COMMITTED, "committed")				\
	X(COMMITTED_PEAK, "committed.peak")			\
	X(VMAS, "vmas")						\
	X(VMAS_PEAK, "vmas.peak")

enum counter {
	COUNT_SERVED = 0,				/* by call: ntvm answered */
	COUNT_PASSED = COUNT_SERVED + NR_CALLS,		/* by call: about what is Wine's */
	COUNT_FALLBACK = COUNT_PASSED + NR_CALLS,	/* by reason */
	COUNT_OTHERS = COUNT_FALLBACK + NR_REASONS,
	COUNT_BEFORE = COUNT_OTHERS - 1,
#define X(id, name)	COUNT_##id,
	NTVM_OTHERS(X)
#undef X
	NR_COUNTERS
};

/* Until counters_init() they are counted where nobody looks. */
extern atomic_ullong *counters;
#define COUNTER_STRIDE	5	/* in words: the name before, then the value */

static inline void count(unsigned int which)
{
	atomic_fetch_add_explicit(&counters[which * COUNTER_STRIDE], 1, memory_order_relaxed);
}

void counters_init(void);

/* ntvm has answered a call; now and then looks at what the process has. */
void count_served(enum call call);

/**
 * runtime_dir() - the directory for counters and for finding each other
 *
 * Return: a descriptor, or -1 if there is none that is this user's alone.
 */
int runtime_dir(void);

/* One line on stderr, named as ours. */
void say(const char *text, const char *more);

#endif
