// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where the library comes in: dlopen() and sigaction() stand before the C library's.
 *
 * Wine's loader opens its Unix half, ntdll.so, by dlopen(), which is the moment to
 * change it: nothing of it has run yet. ntdll.so sets its handler of SIGSEGV by
 * sigaction(), around which guard pages are handled (fault.c). In every other
 * program, and where something is not as it should be, both only pass on.
 */
#include "backend.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT	__attribute__((visibility("default")))

/* The C library's second name of it. */
int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);

typedef void *dlopen_fn(const char *, int);

static atomic_bool tried;
static bool installed;

void say(const char *text, const char *more)
{
	char line[256];
	size_t len;

	strcpy(line, "ntvm-wine: ");
	strncat(line, text, 120);
	if (more)
		strncat(line, more, 100);
	len = strlen(line);
	line[len] = '\n';
	if (write(STDERR_FILENO, line, len + 1) < 0)
		return;
}

/* Why the device cannot be used. */
static const char *status_text(NTSTATUS status)
{
	switch (status) {
	case STATUS_NO_SUCH_DEVICE:
		return "/dev/ntvm is missing (is the module loaded)";
	case STATUS_ACCESS_DENIED:
		return "/dev/ntvm may not be opened";
	case STATUS_REVISION_MISMATCH:
		return "the module is older than this library";
	default:
		return "/dev/ntvm cannot be used";
	}
}

static void install(void *handle)
{
	const char *why = NULL;
	LIBNT_INFO info;
	NTSTATUS status;

	status = LibntSetContract(NtCurrentProcess(), LIBNT_CONTRACT_WINDOWS);
	if (status == STATUS_SUCCESS)
		status = LibntGetInfo(NtCurrentProcess(), &info);
	if (status != STATUS_SUCCESS)
		why = status_text(status);
	else
		why = hooks_install(handle);
	if (!why) {
		regions_end = info.MaximumAddress + 2;
		counters_init();
		installed = true;
	} else if (!getenv("NTVM_WINE_SAID")) {
		/* Once, and not by each of the processes that Wine starts. */
		setenv("NTVM_WINE_SAID", "1", 1);
		say(why, "; this is plain Wine");
	}
}

static bool is_ntdll(const char *path)
{
	static const char name[] = "/ntdll.so";
	size_t len = path ? strlen(path) : 0;

	return len >= sizeof(name) - 1 && !strcmp(path + len - (sizeof(name) - 1), name);
}

EXPORT void *dlopen(const char *path, int flags)
{
	static dlopen_fn *_Atomic next;
	dlopen_fn *fn = atomic_load(&next);
	void *handle;

	if (!fn) {
		fn = (dlopen_fn *)dlsym(RTLD_NEXT, "dlopen");
		atomic_store(&next, fn);
	}
	/* A jump, not a call: the C library asks who has called it. */
	if (!is_ntdll(path))
		return fn(path, flags);
	handle = fn(path, flags);
	if (handle && !atomic_exchange(&tried, true))
		install(handle);
	return handle;
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction ours;

	if (sig == SIGSEGV && installed && act && (act->sa_flags & SA_SIGINFO) &&
	    wine_text_has((uintptr_t)__builtin_return_address(0))) {
		fault_wrap(act, &ours);
		act = &ours;
	}
	return __sigaction(sig, act, old);
}
