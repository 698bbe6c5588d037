// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vector runner of selftests/ntvec as a Windows program: the same files judge
 * any system that has an ntdll.dll. This is what is Windows' own in it: accesses and
 * their exceptions, what operations need of the system, and processes for vectors.
 *
 * A vector runs in a worker, which is this program with other arguments. By default
 * each vector has a worker of its own. With --share a worker goes on to the next
 * vector, because starting one takes seconds under emulation, as long as it is
 * as it was: after a vector what it allocated is released, and then every block of the
 * address space outside of the stack must be what it was before the vector. A worker
 * that crashed, took too long, is not as it was, or has changed its stack's
 * bounds, started another process or given a buffer to the kernel, ends there.
 */
#include "ntvec.h"
#include "posix.h"
#include "probe.h"
#include "../../selftests/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT		60	/* seconds for a vector, all rounds; times slow() */
#define START		120	/* seconds for a worker to come up; times slow() */
#define BLOCKS		8192

int ntvec_main(int argc, char **argv);

/* --- what the parser lacks -------------------------------------------------- */

ssize_t getline(char **line, size_t *room, FILE *f)
{
	size_t len = 0;
	int c;

	while ((c = getc(f)) != EOF) {
		if (len + 2 > *room) {
			size_t more = *room ? 2 * *room : 256;
			char *p = realloc(*line, more);

			if (!p)
				return -1;
			*line = p;
			*room = more;
		}
		(*line)[len++] = (char)c;
		if (c == '\n')
			break;
	}
	if (!len)
		return -1;
	(*line)[len] = '\0';
	return (ssize_t)len;
}

/* --- accesses --------------------------------------------------------------- */

void access_init(void)
{
	probe_init();
}

uint32_t access_read(uint64_t address, uint8_t *byte)
{
	struct probe probe;

	return probe_load(address, byte, &probe);
}

uint32_t access_write(uint64_t address, uint8_t byte)
{
	struct probe probe;

	return probe_store(address, byte, &probe);
}

uint32_t access_write4(uint64_t address, uint32_t dword)
{
	struct probe probe;

	return probe_store4(address, dword, &probe);
}

/* --- the address space ------------------------------------------------------- */

static struct block {
	uintptr_t base, size, allocation;
	DWORD state, protect, type;
} before[BLOCKS], after[BLOCKS];
static size_t nr_before;

/* All blocks but free ones and the own stack's, which moves by itself. */
static size_t walk(struct block *blocks)
{
	MEMORY_BASIC_INFORMATION info = { 0 };
	void *stack = NULL;
	uintptr_t at = 0;
	size_t nr = 0;

	if (VirtualQuery(&info, &info, sizeof(info)))
		stack = info.AllocationBase;
	while (nr < BLOCKS && VirtualQuery((void *)at, &info, sizeof(info))) {
		if (info.State != MEM_FREE && info.AllocationBase != stack)
			blocks[nr++] = (struct block){
				(uintptr_t)info.BaseAddress, info.RegionSize,
				(uintptr_t)info.AllocationBase,
				info.State, info.Protect, info.Type,
			};
		if ((uintptr_t)info.BaseAddress + info.RegionSize <= at)
			break;
		at = (uintptr_t)info.BaseAddress + info.RegionSize;
	}
	return nr;
}

static bool was_before(uintptr_t allocation)
{
	for (size_t i = 0; i < nr_before; i++)
		if (before[i].allocation == allocation)
			return true;
	return false;
}

void system_sweep(void)
{
	size_t nr = walk(after);

	for (size_t i = 0; i < nr; i++) {
		PVOID base = (PVOID)after[i].allocation;
		SIZE_T all = 0;

		if (after[i].type == MEM_PRIVATE && !was_before(after[i].allocation))
			NtFreeVirtualMemory(NtCurrentProcess(), &base, &all, MEM_RELEASE);
	}
}

static bool is_as_before(void)
{
	size_t nr;

	memset(after, 0, sizeof(after));
	nr = walk(after);
	return nr == nr_before && !memcmp(before, after, nr * sizeof(before[0]));
}

/* --- what operations need of the system --------------------------------------- */

/* The worker did what releasing its memory does not undo. */
static bool spoilt;

bool system_set_contract(int contract, char *text)
{
	if (contract == LIBNT_CONTRACT_WINDOWS)
		return true;
	snprintf(text, TEXT_MAX, "there is no contract but Windows'");
	return false;
}

/*
 * Wine keeps the addresses below 2 GiB for itself: what is allocated there tells of
 * Wine, whoever else has the rest.
 */
const uint64_t system_first_b = 0x150000000;

bool system_highest_address(uint64_t *address, char *text)
{
	SYSTEM_INFO info;

	(void)text;
	GetSystemInfo(&info);
	*address = (uintptr_t)info.lpMaximumApplicationAddress;
	return true;
}

bool system_virtual_free(HANDLE process, void *base, size_t size, uint32_t type, int *error)
{
	bool freed;

	SetLastError(ERROR_SUCCESS);
	freed = VirtualFreeEx(process, base, size, type);
	*error = (int)GetLastError();
	return freed;
}

uint32_t system_set_stack(void *base, void *limit, void *bottom)
{
	NT_TIB *tib = (NT_TIB *)NtCurrentTeb();

	spoilt = true;
	tib->StackBase = base;
	tib->StackLimit = limit;
	*(void **)((char *)tib + 0x1478) = bottom;	/* DeallocationStack */
	return 0;
}

void system_unmap(HANDLE process, void *address, uint32_t flags, struct outcome *out)
{
	out->status = (uint32_t)NtUnmapViewOfSectionEx(process, address, flags);
}

/* A read that is pending in the kernel: of a pipe that holds nothing yet. */
static struct {
	HANDLE pipe, writer;
	OVERLAPPED overlapped;
	size_t size;
	bool pending;
} kread;

bool system_read_start(void *buffer, size_t size, struct outcome *out)
{
	char name[64];

	spoilt = true;
	snprintf(name, sizeof(name), "\\\\.\\pipe\\ntvec-%lu", GetCurrentProcessId());
	kread.pipe = CreateNamedPipeA(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
				      PIPE_TYPE_BYTE | PIPE_WAIT, 1, 4096, 4096, 0, NULL);
	kread.writer = CreateFileA(name, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
	kread.overlapped.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
	if (kread.pending || kread.pipe == INVALID_HANDLE_VALUE ||
	    kread.writer == INVALID_HANDLE_VALUE || !kread.overlapped.hEvent) {
		snprintf(out->why, sizeof(out->why), "a read is pending, or there is no pipe");
		return false;
	}
	kread.size = size;
	if (ReadFile(kread.pipe, buffer, (DWORD)size, NULL, &kread.overlapped)) {
		snprintf(out->why, sizeof(out->why), "the read is not pending");
		return false;
	}
	if (GetLastError() == ERROR_IO_PENDING)
		kread.pending = true;
	else
		out->status = (uint32_t)STATUS_ACCESS_VIOLATION;
	return true;
}

bool system_read_finish(size_t n, struct outcome *out)
{
	DWORD written = 0, got = 0;
	char data[4096];

	memset(data, 0x5A, sizeof(data));
	if (!kread.pending || n > sizeof(data) || n > kread.size ||
	    !WriteFile(kread.writer, data, (DWORD)n, &written, NULL) || written != n) {
		snprintf(out->why, sizeof(out->why), "no read is pending, or not for so much");
		return false;
	}
	if (!GetOverlappedResult(kread.pipe, &kread.overlapped, &got, TRUE) || got != n)
		out->status = (uint32_t)STATUS_ACCESS_VIOLATION;
	kread.pending = false;
	return true;
}

/* --- other processes ------------------------------------------------------------ */

struct child {
	HANDLE process, to, from;
};

/* This program with @argument, and pipes to and from it. */
static bool child_start(struct child *child, const char *argument)
{
	SECURITY_ATTRIBUTES inherit = { sizeof(inherit), NULL, TRUE };
	STARTUPINFOA startup = { .cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES };
	char self[MAX_PATH], command[MAX_PATH + 64];
	PROCESS_INFORMATION info;
	BOOL started;

	if (!CreatePipe(&startup.hStdInput, &child->to, &inherit, 0) ||
	    !CreatePipe(&child->from, &startup.hStdOutput, &inherit, 0))
		return false;
	SetHandleInformation(child->to, HANDLE_FLAG_INHERIT, 0);
	SetHandleInformation(child->from, HANDLE_FLAG_INHERIT, 0);
	startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	GetModuleFileNameA(NULL, self, sizeof(self));
	snprintf(command, sizeof(command), "\"%s\" %s", self, argument);
	started = CreateProcessA(self, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &info);
	CloseHandle(startup.hStdInput);
	CloseHandle(startup.hStdOutput);
	if (!started) {
		CloseHandle(child->to);
		CloseHandle(child->from);
		return false;
	}
	CloseHandle(info.hThread);
	child->process = info.hProcess;
	return true;
}

static void child_end(struct child *child)
{
	CloseHandle(child->to);
	CloseHandle(child->from);
	TerminateProcess(child->process, 1);
	CloseHandle(child->process);
	child->process = NULL;
}

/* Ends with its parent, which has the other end of its standard input. */
static int sleeper(void)
{
	putchar('.');
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

HANDLE system_second_process(char *why)
{
	struct child child;
	DWORD n = 0;
	char byte;

	spoilt = true;
	if (!child_start(&child, "--sleeper") || !ReadFile(child.from, &byte, 1, &n, NULL) || !n) {
		snprintf(why, MSG_MAX, "no second process: error %lu", GetLastError());
		return NULL;
	}
	return child.process;
}

/* --- the worker -------------------------------------------------------------------- */

static LONG CALLBACK die(EXCEPTION_POINTERS *pointers)
{
	TerminateProcess(GetCurrentProcess(), pointers->ExceptionRecord->ExceptionCode);
	return EXCEPTION_EXECUTE_HANDLER;
}

/* The vector that begins in a line of a file, which is parsed at the first request. */
static const struct vector *vector_at(const char *file, int line)
{
	static struct vectors known;
	static char *last;

	if (!last || strcmp(last, file)) {
		known = (struct vectors){ .nr = 0 };
		last = strdup(file);
		parse_file(&known, last);
	}
	for (int i = 0; i < known.nr; i++)
		if (known.v[i].line == line && !known.v[i].error)
			return &known.v[i];
	return NULL;
}

/* A request is a line, "LINE FILE". The answer: "VERDICT CLEAN BYTES", and a text. */
static int worker(void)
{
	NT_TIB *tib = (NT_TIB *)NtCurrentTeb(), stack = *tib;
	void *bottom = *(void **)((char *)tib + 0x1478);
	char request[1024], text[TEXT_MAX];

	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
	SetUnhandledExceptionFilter(die);
	access_init();
	printf("ready\n");
	fflush(stdout);

	while (fgets(request, sizeof(request), stdin)) {
		enum verdict verdict = FAILED;
		const struct vector *v;
		char *file;
		int line;

		request[strcspn(request, "\r\n")] = '\0';
		line = (int)strtol(request, &file, 10);
		v = vector_at(file + 1, line);
		memset(before, 0, sizeof(before));
		nr_before = walk(before);
		text[0] = '\0';
		if (v)
			verdict = run_steps(v, LIBNT_CONTRACT_WINDOWS, text);
		else
			snprintf(text, sizeof(text), "the worker finds no vector there");
		if (spoilt) {
			tib->StackBase = stack.StackBase;
			tib->StackLimit = stack.StackLimit;
			*(void **)((char *)tib + 0x1478) = bottom;
		} else {
			system_sweep();
		}
		printf("%d %d %zu\n%s", verdict, !spoilt && is_as_before(), strlen(text), text);
		fflush(stdout);
	}
	return 0;
}

/* --- the runner ---------------------------------------------------------------------- */

static bool share;
static struct child current;

enum answer { ANSWERED, DIED, LATE };

/*
 * @len bytes, or a line for 0, from the worker. Asks again and again: a wait for an
 * anonymous pipe has no limit.
 */
static enum answer hear(char *text, size_t room, size_t len, ULONGLONG deadline)
{
	size_t have = 0;

	for (;;) {
		bool ended = WaitForSingleObject(current.process, 0) == WAIT_OBJECT_0;
		DWORD there = 0, n = 0;

		text[have] = '\0';
		if (len ? have == len : have && text[have - 1] == '\n')
			return ANSWERED;
		PeekNamedPipe(current.from, NULL, 0, NULL, &there, NULL);
		if (there && have < room - 1) {
			if (!ReadFile(current.from, text + have, 1, &n, NULL))
				return DIED;
			have += n;
			continue;
		}
		if (ended)
			return DIED;
		if (GetTickCount64() > deadline)
			return LATE;
		WaitForSingleObject(current.process, 2);
	}
}

static ULONGLONG in_seconds(unsigned int seconds)
{
	return GetTickCount64() + 1000ull * seconds * slow();
}

static enum verdict ask(const struct vector *v, char *text, bool *clean)
{
	unsigned int verdict = FAILED, is_clean = 0;
	enum answer answer;
	char request[1024];
	DWORD written, code;
	size_t len = 0;

	*clean = false;
	if (!current.process) {
		if (!child_start(&current, "--worker")) {
			snprintf(text, TEXT_MAX, "no process: error %lu", GetLastError());
			return FAILED;
		}
		answer = hear(text, TEXT_MAX, 0, in_seconds(START));
		if (answer != ANSWERED) {
			snprintf(text, TEXT_MAX, "the worker did not come up");
			return FAILED;
		}
	}
	snprintf(request, sizeof(request), "%d %s\n", v->line, v->file);
	WriteFile(current.to, request, (DWORD)strlen(request), &written, NULL);
	answer = hear(text, TEXT_MAX, 0, in_seconds(TIMEOUT));
	if (answer == ANSWERED) {
		if (sscanf(text, "%u %u %zu", &verdict, &is_clean, &len) != 3 || len >= TEXT_MAX)
			len = 0;
		*clean = is_clean;
		text[0] = '\0';
		if (len)
			answer = hear(text, TEXT_MAX, len, in_seconds(TIMEOUT));
	}
	switch (answer) {
	case LATE:
		snprintf(text, TEXT_MAX, "timed out after %u s", TIMEOUT * slow());
		return FAILED;
	case DIED:
		GetExitCodeProcess(current.process, &code);
		snprintf(text, TEXT_MAX, "ended with 0x%08lX", code);
		return FAILED;
	default:
		return verdict == PASSED || verdict == SKIPPED ? (enum verdict)verdict : FAILED;
	}
}

enum verdict run_vector(const struct vector *v, int contract, char **out)
{
	char text[TEXT_MAX] = "";
	enum verdict verdict;
	bool clean;

	if (contract != LIBNT_CONTRACT_WINDOWS) {
		*out = strdup("mode=documented: Windows has no contract but its own");
		return SKIPPED;
	}
	verdict = ask(v, text, &clean);
	if (current.process && (!share || !clean))
		child_end(&current);
	*out = strdup(text);
	return verdict;
}

uint32_t run_probe(void)
{
	return STATUS_SUCCESS;
}

int main(int argc, char **argv)
{
	int kept = 1, ret;
	bool help = false;

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return worker();
	if (argc == 2 && !strcmp(argv[1], "--sleeper"))
		return sleeper();
	for (int i = 1; i < argc; i++) {
		help |= !strcmp(argv[i], "--help");
		if (!strcmp(argv[i], "--share"))
			share = true;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	ret = ntvec_main(kept, argv);
	if (help)
		puts("On Windows also:\n"
		     "  --share       a process runs vectors until one does not leave it as it was");
	if (current.process)
		child_end(&current);
	return ret;
}
