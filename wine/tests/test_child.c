// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of another process. The child is this program: it reads orders from its
 * standard input, a line each, and answers with a line of numbers. One child serves
 * all cases, because starting one takes seconds under emulation.
 */
#include "test.h"

#include <stdlib.h>

/* --- in the child ------------------------------------------------------------------ */

static DWORD CALLBACK churn(void *arg)
{
	volatile LONG *go_on = arg;

	while (*go_on) {
		char *p = allocate(8 * PAGE);

		if (p) {
			memset(p, 1, 8 * PAGE);
			VirtualFree(p, 0, MEM_RELEASE);
		}
	}
	return 0;
}

int child_main(void)
{
	static LONG churning;
	unsigned long long a, b, c, d;
	char line[256], order;

	while (fgets(line, sizeof(line), stdin)) {
		MEMORY_BASIC_INFORMATION info = { 0 };
		struct probe probe;
		uint32_t code, result = 0;
		uint8_t byte = 0;
		void *p;

		a = b = c = d = 0;
		if (sscanf(line, "%c %llx %llx %llx %llx", &order, &a, &b, &c, &d) < 1)
			continue;
		switch (order) {
		case 'a':	/* allocate: base size type protection */
			p = VirtualAlloc((void *)a, b, (DWORD)c, (DWORD)d);
			printf("%lx %llx\n", p ? 0 : GetLastError(), num(p));
			break;
		case 'f':	/* free: base size type */
			SetLastError(0);
			printf("%lx 0\n", VirtualFree((void *)a, b, (DWORD)c) ? 0 : GetLastError());
			break;
		case 'l':	/* load */
			code = probe_load(a, &byte, &probe);
			printf("%x %x\n", code, byte);
			break;
		case 's':	/* store: address byte */
			printf("%x 0\n", probe_store(a, (uint8_t)b, &probe));
			break;
		case 'm':	/* memset: address size byte */
			memset((void *)a, (int)c, b);
			printf("0 0\n");
			break;
		case 'c':	/* compare: address size byte */
			printf("%x 0\n", !filled((void *)a, (uint8_t)c, b));
			break;
		case 'q':	/* query: protection and state */
			VirtualQuery((void *)a, &info, sizeof(info));
			printf("%lx %lx\n", info.State, info.Protect);
			break;
		case 'x':	/* execute */
			code = probe_call(a, &result, &probe);
			printf("%x %x\n", code, result);
			break;
		case 't':	/* a thread that allocates all the time, or not any more */
			churning = (LONG)a;
			if (a)
				CloseHandle(CreateThread(NULL, 0, churn, &churning, 0, NULL));
			printf("0 0\n");
			break;
		default:
			printf("ffffffff 0\n");
		}
		fflush(stdout);
	}
	return 33;
}

/* --- and here ------------------------------------------------------------------------- */

struct child {
	HANDLE process, to, from;
};

static bool start(struct child *child, DWORD flags, PROCESS_INFORMATION *info)
{
	SECURITY_ATTRIBUTES inherit = { sizeof(inherit), NULL, TRUE };
	STARTUPINFOA startup = { .cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES };
	char self[MAX_PATH], command[MAX_PATH + 16];
	bool started;

	if (!CreatePipe(&startup.hStdInput, &child->to, &inherit, 0) ||
	    !CreatePipe(&child->from, &startup.hStdOutput, &inherit, 0))
		return false;
	SetHandleInformation(child->to, HANDLE_FLAG_INHERIT, 0);
	SetHandleInformation(child->from, HANDLE_FLAG_INHERIT, 0);
	startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	GetModuleFileNameA(NULL, self, sizeof(self));
	snprintf(command, sizeof(command), "\"%s\" --child", self);
	started = CreateProcessA(self, command, NULL, NULL, TRUE, flags, NULL, NULL, &startup, info);
	CloseHandle(startup.hStdInput);
	CloseHandle(startup.hStdOutput);
	child->process = info->hProcess;
	return started;
}

/* Closes its input: it ends by itself. */
static void finish(struct child *child)
{
	DWORD code = 0;

	CloseHandle(child->to);
	EQUAL(WaitForSingleObject(child->process, 60000), WAIT_OBJECT_0);
	GetExitCodeProcess(child->process, &code);
	EQUAL(code, 33);
	CloseHandle(child->from);
	CloseHandle(child->process);
	child->process = NULL;
}

static struct child child;

static bool have_child(void)
{
	PROCESS_INFORMATION info;

	if (!child.process) {
		if (!start(&child, 0, &info))
			return false;
		CloseHandle(info.hThread);
	}
	return true;
}

/* The two numbers of the answer; the first is an error if there is one. */
static uint32_t tell_one(struct child *whom, char order, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
			 uint64_t *second)
{
	char line[128];
	unsigned int first = 0xFFFFFFFF;
	unsigned long long other = 0;
	DWORD n, have = 0;

	snprintf(line, sizeof(line), "%c %llx %llx %llx %llx\n", order, a, b, c, d);
	if (!WriteFile(whom->to, line, (DWORD)strlen(line), &n, NULL))
		return first;
	while (have < sizeof(line) - 1 && ReadFile(whom->from, line + have, 1, &n, NULL) && n)
		if (line[have++] == '\n')
			break;
	line[have] = '\0';
	if (sscanf(line, "%x %llx", &first, &other) != 2)
		return 0xFFFFFFFF;
	if (second)
		*second = other;
	return first;
}

#define TELL(order, a, b, c, d, second)		tell_one(&child, (order), num(a), (b), (c), (d), (second))

static void allocated_from_outside(void)
{
	static char data[3 * PAGE], back[3 * PAGE];
	MEMORY_BASIC_INFORMATION info;
	uint64_t byte;
	SIZE_T n = 0;
	DWORD old;
	char *p;

	NEED(have_child());
	p = VirtualAllocEx(child.process, NULL, 8 * PAGE, MEM_RESERVE, PAGE_READWRITE);
	NEED(p);
	EQUAL(num(VirtualAllocEx(child.process, p + PAGE, 3 * PAGE, MEM_COMMIT, PAGE_READWRITE)),
	      num(p + PAGE));
	EQUAL(VirtualQueryEx(child.process, p + PAGE, &info, sizeof(info)), sizeof(info));
	EQUAL(info.RegionSize, 3 * PAGE);
	EQUAL(info.State, MEM_COMMIT);
	EQUAL(num(info.AllocationBase), num(p));
	EQUAL(VirtualQueryEx(child.process, p + 4 * PAGE, &info, sizeof(info)), sizeof(info));
	EQUAL(info.RegionSize, 4 * PAGE);
	EQUAL(info.State, MEM_RESERVE);

	memset(data, 0x6B, sizeof(data));
	CHECK(WriteProcessMemory(child.process, p + PAGE, data, sizeof(data), &n));
	EQUAL(n, sizeof(data));
	EQUAL(TELL('c', p + PAGE, 3 * PAGE, 0x6B, 0, NULL), 0);
	EQUAL(TELL('s', p + 2 * PAGE + 9, 0x12, 0, 0, NULL), 0);
	CHECK(ReadProcessMemory(child.process, p + PAGE, back, sizeof(back), &n));
	EQUAL(n, sizeof(back));
	EQUAL(back[PAGE + 9], 0x12);
	back[PAGE + 9] = 0x6B;
	CHECK(!memcmp(data, back, sizeof(data)));

	CHECK(VirtualProtectEx(child.process, p + PAGE, PAGE, PAGE_READONLY, &old));
	EQUAL(old, PAGE_READWRITE);
	STATUS(TELL('s', p + PAGE, 1, 0, 0, NULL), STATUS_ACCESS_VIOLATION);
	STATUS(TELL('l', p + PAGE, 0, 0, 0, &byte), 0);
	EQUAL(byte, 0x6B);
	EQUAL(TELL('q', p + PAGE, 0, 0, 0, &byte), MEM_COMMIT);
	EQUAL(byte, PAGE_READONLY);

	CHECK(VirtualFreeEx(child.process, p + 2 * PAGE, PAGE, MEM_DECOMMIT));
	STATUS(TELL('l', p + 2 * PAGE, 0, 0, 0, NULL), STATUS_ACCESS_VIOLATION);
	CHECK(VirtualFreeEx(child.process, p, 0, MEM_RELEASE));
	EQUAL(TELL('q', p, 0, 0, 0, NULL), MEM_FREE);
}

static void allocated_by_the_child(void)
{
	static char back[2 * PAGE];
	MEMORY_BASIC_INFORMATION info;
	uint64_t where;
	SIZE_T n;
	DWORD old;
	char *p;

	NEED(have_child());
	EQUAL(TELL('a', NULL, 8 * PAGE, MEM_RESERVE, PAGE_READWRITE, &where), 0);
	NEED(where);
	p = (char *)where;
	EQUAL(TELL('a', p, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE, &where), 0);
	EQUAL(TELL('m', p, 2 * PAGE, 0x2F, 0, NULL), 0);

	EQUAL(VirtualQueryEx(child.process, p, &info, sizeof(info)), sizeof(info));
	EQUAL(info.State, MEM_COMMIT);
	EQUAL(info.RegionSize, 2 * PAGE);
	EQUAL(info.Type, MEM_PRIVATE);
	CHECK(ReadProcessMemory(child.process, p, back, sizeof(back), &n) && n == sizeof(back));
	CHECK(filled(back, 0x2F, sizeof(back)));
	/* Its own page, protected, committed, decommitted and released by somebody else. */
	CHECK(VirtualProtectEx(child.process, p, PAGE, PAGE_NOACCESS, &old));
	EQUAL(old, PAGE_READWRITE);
	STATUS(TELL('l', p, 0, 0, 0, NULL), STATUS_ACCESS_VIOLATION);
	EQUAL(num(VirtualAllocEx(child.process, p + 4 * PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE)),
	      num(p + 4 * PAGE));
	EQUAL(TELL('s', p + 4 * PAGE, 1, 0, 0, NULL), 0);
	CHECK(VirtualFreeEx(child.process, p + PAGE, PAGE, MEM_DECOMMIT));
	STATUS(TELL('l', p + PAGE, 0, 0, 0, NULL), STATUS_ACCESS_VIOLATION);
	CHECK(VirtualFreeEx(child.process, p, 0, MEM_RELEASE));
	EQUAL(TELL('q', p, 0, 0, 0, NULL), MEM_FREE);
	EQUAL(TELL('f', p, 0, MEM_RELEASE, 0, NULL) != 0, 1);
}

static void released_by_the_child(void)
{
	MEMORY_BASIC_INFORMATION info;
	char *p;

	NEED(have_child());
	p = VirtualAllocEx(child.process, NULL, SLOT, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	NEED(p);
	EQUAL(TELL('c', p, SLOT, 0, 0, NULL), 0);
	EQUAL(TELL('f', p, PAGE, MEM_DECOMMIT, 0, NULL), 0);
	EQUAL(VirtualQueryEx(child.process, p, &info, sizeof(info)), sizeof(info));
	EQUAL(info.State, MEM_RESERVE);
	EQUAL(info.RegionSize, PAGE);
	EQUAL(TELL('f', p, 0, MEM_RELEASE, 0, NULL), 0);
	EQUAL(VirtualQueryEx(child.process, p, &info, sizeof(info)), sizeof(info));
	EQUAL(info.State, MEM_FREE);
}

static void code_for_the_child(void)
{
	static const unsigned char code[] = { 0xB8, 0x39, 0x30, 0, 0, 0xC3 };	/* mov eax, 12345; ret */
	HANDLE thread;
	uint64_t result = 0;
	DWORD exit_code = 0, old;
	char *p;

	NEED(have_child());
	p = VirtualAllocEx(child.process, NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	NEED(p && WriteProcessMemory(child.process, p, code, sizeof(code), NULL));
	CHECK(VirtualProtectEx(child.process, p, PAGE, PAGE_EXECUTE_READ, &old));
	STATUS(TELL('x', p, 0, 0, 0, &result), 0);
	EQUAL(result, 12345);
	thread = CreateRemoteThread(child.process, NULL, 0, (LPTHREAD_START_ROUTINE)(void *)p, NULL, 0, NULL);
	NEED(thread);
	EQUAL(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
	GetExitCodeThread(thread, &exit_code);
	EQUAL(exit_code, 12345);
	CloseHandle(thread);
	CHECK(VirtualFreeEx(child.process, p, 0, MEM_RELEASE));
}

static void while_the_child_allocates(void)
{
	NEED(have_child());
	EQUAL(TELL('t', (void *)1, 0, 0, 0, NULL), 0);
	for (int i = 0; i < 200; i++) {
		char *p = VirtualAllocEx(child.process, NULL, SLOT, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
		char byte = (char)i, back = 0;

		NEED(p);
		NEED(WriteProcessMemory(child.process, p + i, &byte, 1, NULL));
		NEED(ReadProcessMemory(child.process, p + i, &back, 1, NULL));
		EQUAL(back, byte);
		NEED(VirtualFreeEx(child.process, p, 0, MEM_RELEASE));
	}
	EQUAL(TELL('t', NULL, 0, 0, 0, NULL), 0);
}

static void rights_of_a_handle(void)
{
	DWORD id;
	HANDLE reader, operator;
	MEMORY_BASIC_INFORMATION info;
	DWORD old;
	char *p, byte;

	NEED(have_child());
	id = GetProcessId(child.process);
	reader = OpenProcess(PROCESS_VM_READ, FALSE, id);
	operator = OpenProcess(PROCESS_VM_OPERATION, FALSE, id);
	NEED(reader && operator);
	p = VirtualAllocEx(operator, NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	NEED(p);
	CHECK(VirtualProtectEx(operator, p, PAGE, PAGE_READWRITE, &old));
	CHECK(ReadProcessMemory(reader, p, &byte, 1, NULL));
	CHECK(!WriteProcessMemory(reader, p, &byte, 1, NULL));
	EQUAL(GetLastError(), ERROR_ACCESS_DENIED);
	CHECK(!VirtualAllocEx(reader, NULL, PAGE, MEM_RESERVE, PAGE_READWRITE));
	EQUAL(GetLastError(), ERROR_ACCESS_DENIED);
	CHECK(!VirtualFreeEx(reader, p, 0, MEM_RELEASE));
	EQUAL(GetLastError(), ERROR_ACCESS_DENIED);
	CHECK(!VirtualProtectEx(reader, p, PAGE, PAGE_READONLY, &old));
	EQUAL(GetLastError(), ERROR_ACCESS_DENIED);
	CHECK(!VirtualQueryEx(operator, p, &info, sizeof(info)));
	EQUAL(GetLastError(), ERROR_ACCESS_DENIED);
	CHECK(VirtualFreeEx(operator, p, 0, MEM_RELEASE));
	CloseHandle(reader);
	CloseHandle(operator);
}

/* Only of what the process itself could read or write. Wine 8.0 copies all that is mapped. */
static void copies_respect_protections(void)
{
	static char buffer[2 * PAGE];
	SIZE_T n = 99;
	DWORD old;
	char *p;

	NEED(have_child());
	p = VirtualAllocEx(child.process, NULL, 4 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	NEED(p);
	CHECK(VirtualProtectEx(child.process, p + PAGE, PAGE, PAGE_READONLY, &old));
	CHECK(VirtualFreeEx(child.process, p + 2 * PAGE, PAGE, MEM_DECOMMIT));
	CHECK(VirtualProtectEx(child.process, p + 3 * PAGE, PAGE, PAGE_NOACCESS, &old));
	STATUS(NtWriteVirtualMemory(child.process, p, buffer, 2 * PAGE, &n), STATUS_PARTIAL_COPY);
	EQUAL(n, PAGE);
	STATUS(NtReadVirtualMemory(child.process, p + PAGE, buffer, 2 * PAGE, &n), STATUS_PARTIAL_COPY);
	EQUAL(n, PAGE);
	STATUS(NtReadVirtualMemory(child.process, p + 3 * PAGE, buffer, PAGE, &n), STATUS_PARTIAL_COPY);
	EQUAL(n, 0);
	CHECK(VirtualFreeEx(child.process, p, 0, MEM_RELEASE));
}

/* A process that has not begun to run. */
static void a_child_that_is_suspended(void)
{
	static const char text[] = "before it ran";
	PROCESS_INFORMATION info;
	struct child other;
	uint64_t byte = 0;
	char back[sizeof(text)] = "";
	char *p;

	NEED(start(&other, CREATE_SUSPENDED, &info));
	p = VirtualAllocEx(other.process, NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
	CHECK(p);
	CHECK(WriteProcessMemory(other.process, p, text, sizeof(text), NULL));
	CHECK(ReadProcessMemory(other.process, p, back, sizeof(back), NULL));
	CHECK(!strcmp(back, text));
	EQUAL(ResumeThread(info.hThread), 1);
	CloseHandle(info.hThread);
	STATUS(tell_one(&other, 'l', num(p), 0, 0, 0, &byte), 0);
	EQUAL(byte, 'b');
	EQUAL(tell_one(&other, 'f', num(p), 0, MEM_RELEASE, 0, NULL), 0);
	finish(&other);
}

/* Also ends the child that the cases before have used. */
static void a_child_that_has_ended(void)
{
	PVOID base = NULL;
	SIZE_T size = PAGE;
	HANDLE copy;

	NEED(have_child());
	NEED(DuplicateHandle(GetCurrentProcess(), child.process, GetCurrentProcess(), &copy, 0, FALSE,
			     DUPLICATE_SAME_ACCESS));
	finish(&child);
	CHECK(NtAllocateVirtualMemory(copy, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE) < 0);
	EQUAL(num(base), 0);
	CloseHandle(copy);
}

const struct test_case child_cases[] = {
	{ "child.allocated_from_outside", allocated_from_outside },
	{ "child.allocated_by_the_child", allocated_by_the_child },
	{ "child.released_by_the_child", released_by_the_child },
	{ "child.code_for_the_child", code_for_the_child },
	{ "child.while_the_child_allocates", while_the_child_allocates },
	{ "child.rights_of_a_handle", rights_of_a_handle },
	{ "windows.copies_respect_protections", copies_respect_protections },
	{ "child.that_has_ended", a_child_that_has_ended },
	{ "child.that_is_suspended", a_child_that_is_suspended },
	{ NULL, NULL },
};
