// SPDX-License-Identifier: GPL-2.0-only
/*
 * ntvm-test.exe: what a Windows program can do with private memory, and what it may
 * expect. Cases of the area "windows" hold on Windows; Wine 8.0 by itself is known to
 * fail them. All others pass on plain Wine as well.
 */
#include "test.h"
#include "../../selftests/slow.h"

#include <stdarg.h>
#include <stdlib.h>

#define LIMIT	120	/* seconds for a case; times slow() */

static const struct test_case *const areas[] = {
	alloc_cases, access_cases, query_cases, watch_cases, io_cases, thread_cases, child_cases,
	windows_cases,
};

static volatile LONG failures;
static const char *skipped;
static const char *running;	/* the case */
static int number;
static volatile ULONGLONG deadline;

static void comment(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# %s: %s\n", running, text);
	fflush(stdout);
}

static const char *base_name(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash ? slash + 1 : file;
}

bool check(bool passed, const char *file, int line, const char *what)
{
	DWORD error = GetLastError();

	if (!passed) {
		InterlockedIncrement(&failures);
		comment("%s:%d: not %s (last error %lu)", base_name(file), line, what, error);
	}
	return passed;
}

bool check_equal(uint64_t got, uint64_t want, const char *file, int line, const char *what)
{
	if (got != want) {
		InterlockedIncrement(&failures);
		comment("%s:%d: %s is 0x%llX, not 0x%llX", base_name(file), line, what, got, want);
	}
	return got == want;
}

void skip(const char *why)
{
	skipped = why;
}

bool filled(const void *at, uint8_t byte, size_t size)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < size; i++)
		if (p[i] != byte)
			return false;
	return true;
}

bool block_is(const void *at, size_t size, DWORD state, DWORD protect, const char *file, int line)
{
	MEMORY_BASIC_INFORMATION info;

	memset(&info, 0xCC, sizeof(info));
	if (!check(VirtualQuery(at, &info, sizeof(info)) == sizeof(info), file, line, "queried"))
		return false;
	return check_equal(num(info.BaseAddress), num(at), file, line, "the block's base") &
	       (!size || check_equal(info.RegionSize, size, file, line, "the block's size")) &
	       check_equal(info.State, state, file, line, "the block's state") &
	       check_equal(info.Protect, protect, file, line, "the block's protection");
}

void release_at(void *base, const char *file, int line)
{
	check(VirtualFree(base, 0, MEM_RELEASE), file, line, "released");
}

/* --- crashes and hangs are a case's own ---------------------------------------- */

static CONTEXT before_case;
static volatile DWORD crash;
static DWORD main_thread;

/* Called when nobody else wants the exception. The main thread goes on behind its case. */
static LONG CALLBACK on_crash(EXCEPTION_POINTERS *pointers)
{
	EXCEPTION_RECORD *record = pointers->ExceptionRecord;

	comment("exception 0x%08lX at %p, information %p %p", record->ExceptionCode,
		record->ExceptionAddress, (void *)record->ExceptionInformation[0],
		(void *)record->ExceptionInformation[1]);
	if (GetCurrentThreadId() != main_thread || crash) {
		printf("not ok %d %s\nBail out! an exception that cannot be got over\n", number, running);
		fflush(stdout);
		TerminateProcess(GetCurrentProcess(), 1);
	}
	crash = record->ExceptionCode;
	*pointers->ContextRecord = before_case;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static DWORD CALLBACK watchdog(void *arg)
{
	(void)arg;
	for (;;) {
		Sleep(500);
		if (!deadline || GetTickCount64() < deadline)
			continue;
		printf("not ok %d %s\nBail out! timed out after %u s\n", number, running,
		       LIMIT * slow());
		fflush(stdout);
		TerminateProcess(GetCurrentProcess(), 1);
	}
	return 0;
}

static bool apart;

bool in_a_process_of_its_own(void)
{
	STARTUPINFOA startup = { .cb = sizeof(startup) };
	char self[MAX_PATH], command[MAX_PATH + 128];
	PROCESS_INFORMATION info;
	DWORD code = 1;

	if (apart)
		return true;
	GetModuleFileNameA(NULL, self, sizeof(self));
	snprintf(command, sizeof(command), "\"%s\" --apart %s", self, running);
	if (!CHECK(CreateProcessA(self, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &info)))
		return false;
	if (WaitForSingleObject(info.hProcess, 1000 * (LIMIT / 2) * slow())) {
		comment("its process hangs");
		TerminateProcess(info.hProcess, 1);
	}
	GetExitCodeProcess(info.hProcess, &code);
	EQUAL(code, 0);
	CloseHandle(info.hThread);
	CloseHandle(info.hProcess);
	return false;
}

static int run_apart(const char *name)
{
	apart = true;
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		for (const struct test_case *c = areas[i]; c->name; c++) {
			if (strcmp(c->name, name))
				continue;
			running = name;
			c->run();
			TerminateProcess(GetCurrentProcess(), failures != 0);
		}
	}
	return 2;
}

static bool run(const struct test_case *c)
{
	running = c->name;
	failures = 0;
	skipped = NULL;
	crash = 0;
	number++;
	deadline = GetTickCount64() + 1000ull * LIMIT * slow();
	RtlCaptureContext(&before_case);
	if (crash)
		failures++;
	else
		c->run();
	deadline = 0;
	if (failures)
		printf("not ok %d %s\n", number, running);
	else if (skipped)
		printf("ok %d %s # SKIP %s\n", number, running, skipped);
	else
		printf("ok %d %s\n", number, running);
	fflush(stdout);
	return !failures;
}

/* --- the largest number of VMAs that a program can ask for ----------------------- */

/* Commits every other page of a reservation. 0 if all could be had, and hold. */
static int checkerboard(size_t n)
{
	char *base = reserve(2 * n * PAGE);
	size_t done;

	if (!base) {
		printf("cannot reserve: error %lu\n", GetLastError());
		return 1;
	}
	for (done = 0; done < n; done++)
		if (!commit(base + 2 * done * PAGE, PAGE))
			break;
	printf("committed %zu of %zu%s", done, n, done == n ? "\n" : "");
	if (done < n)
		printf(": error %lu\n", GetLastError());
	fflush(stdout);
	for (size_t i = 0; i < done; i++)
		*(size_t *)(base + 2 * i * PAGE) = i + 1;
	for (size_t i = 0; i < done; i++) {
		if (*(size_t *)(base + 2 * i * PAGE) != i + 1) {
			printf("page %zu does not hold what was written\n", i);
			return 1;
		}
	}
	printf("wrote and read %zu of %zu\n", done, n);
	if (done && load(base + PAGE) != (uint32_t)STATUS_ACCESS_VIOLATION) {
		printf("a page between them can be read\n");
		return 1;
	}
	if (!VirtualFree(base, 0, MEM_RELEASE)) {
		printf("cannot release: error %lu\n", GetLastError());
		return 1;
	}
	return done < n;
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strncmp(name, argv[i], strlen(argv[i])))
			return true;
	return argc == 1;
}

static int usage(FILE *f)
{
	fputs("usage: ntvm-test.exe [NAME...]          cases whose names begin so, or all\n"
	      "       ntvm-test.exe --list\n"
	      "       ntvm-test.exe checkerboard [N]   commit N (100000) pages, every other one\n", f);
	return f == stderr ? 2 : 0;
}

int main(int argc, char **argv)
{
	int nr = 0, failed = 0;

	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
	SetUnhandledExceptionFilter(on_crash);
	main_thread = GetCurrentThreadId();
	running = "start";
	probe_init();

	if (argc > 1 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (argc > 1 && !strcmp(argv[1], "checkerboard"))
		return checkerboard(argc > 2 ? strtoul(argv[2], NULL, 0) : 100000);
	if (argc > 1 && !strcmp(argv[1], "--child"))
		return child_main();
	if (argc == 3 && !strcmp(argv[1], "--apart"))
		return run_apart(argv[2]);
	if (argc > 1 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
			for (const struct test_case *c = areas[i]; c->name; c++)
				puts(c->name);
		return 0;
	}

	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
		for (const struct test_case *c = areas[i]; c->name; c++)
			nr += wanted(c->name, argc, argv);
	if (!nr)
		return usage(stderr);
	CloseHandle(CreateThread(NULL, 0, watchdog, NULL, 0, NULL));
	printf("TAP version 13\n1..%d\n", nr);
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
		for (const struct test_case *c = areas[i]; c->name; c++)
			if (wanted(c->name, argc, argv))
				failed += !run(c);
	printf("# %d passed, %d failed\n", nr - failed, failed);
	fflush(stdout);
	return failed ? 1 : 0;
}
