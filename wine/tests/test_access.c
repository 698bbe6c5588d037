// SPDX-License-Identifier: GPL-2.0-only
/* Protections, guard pages, code, stacks: what an access does, and what it raises. */
#include "test.h"

#include <stdlib.h>

/* --- protections ------------------------------------------------------------------ */

static void each_protection(void)
{
	static const struct {
		DWORD protect;
		bool read, write;
	} each[] = {
		{ PAGE_NOACCESS, false, false },
		{ PAGE_READONLY, true, false },
		{ PAGE_READWRITE, true, true },
		{ PAGE_EXECUTE_READ, true, false },
		{ PAGE_EXECUTE_READWRITE, true, true },
	};
	const size_t n = sizeof(each) / sizeof(each[0]);
	char *base = allocate(n * PAGE);
	DWORD old;

	NEED(base);
	memset(base, 6, n * PAGE);
	for (size_t i = 0; i < n; i++) {
		CHECK(VirtualProtect(base + i * PAGE, PAGE, each[i].protect, &old));
		EQUAL(old, PAGE_READWRITE);
	}
	for (size_t i = 0; i < n; i++) {
		STATUS(load(base + i * PAGE), each[i].read ? 0 : STATUS_ACCESS_VIOLATION);
		STATUS(store(base + i * PAGE, 6), each[i].write ? 0 : STATUS_ACCESS_VIOLATION);
		BLOCK(base + i * PAGE, PAGE, MEM_COMMIT, each[i].protect);
	}
	/* And all back at once: the old one is the first page's. */
	CHECK(VirtualProtect(base, n * PAGE, PAGE_READWRITE, &old));
	EQUAL(old, PAGE_NOACCESS);
	BLOCK(base, n * PAGE, MEM_COMMIT, PAGE_READWRITE);
	CHECK(filled(base, 6, n * PAGE));
	RELEASE(base);

	for (size_t i = 0; i < n; i++) {
		base = VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, each[i].protect);
		NEED(base);
		STATUS(load(base), each[i].read ? 0 : STATUS_ACCESS_VIOLATION);
		STATUS(store(base, 6), each[i].write ? 0 : STATUS_ACCESS_VIOLATION);
		RELEASE(base);
	}
}

static void a_range_of_bytes_is_whole_pages(void)
{
	char *base = allocate(8 * PAGE);
	PVOID at;
	SIZE_T size = 2;
	ULONG old = 0xCCCCCCCC;

	NEED(base);
	at = base + 3 * PAGE - 1;
	STATUS(NtProtectVirtualMemory(SELF, &at, &size, PAGE_READONLY, &old), 0);
	EQUAL(num(at), num(base + 2 * PAGE));
	EQUAL(size, 2 * PAGE);
	EQUAL(old, PAGE_READWRITE);
	BLOCK(base, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + 2 * PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READONLY);
	BLOCK(base + 4 * PAGE, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	RELEASE(base);
}

static void bad_changes(void)
{
	char *base = reserve(SLOT);
	DWORD old = 0;

	NEED(base && commit(base, 2 * PAGE));
	CHECK(!VirtualProtect(base, 3 * PAGE, PAGE_READONLY, &old));
	EQUAL(GetLastError(), ERROR_INVALID_ADDRESS);
	CHECK(!VirtualProtect(base + 4 * PAGE, PAGE, PAGE_READONLY, &old));
	EQUAL(GetLastError(), ERROR_INVALID_ADDRESS);
	CHECK(!VirtualProtect(base, PAGE, 0, &old));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(!VirtualProtect(base, PAGE, PAGE_READONLY | PAGE_EXECUTE, &old));
	EQUAL(GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(!VirtualProtect(base, PAGE, PAGE_READONLY, NULL));
	EQUAL(GetLastError(), ERROR_NOACCESS);
	BLOCK(base, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	RELEASE(base);
	CHECK(!VirtualProtect(base, PAGE, PAGE_READONLY, &old));
}

static void what_a_violation_tells(void)
{
	char *base = reserve(SLOT);
	struct probe probe = { 0 };
	uint8_t byte;
	DWORD old;

	NEED(base);
	STATUS(probe_load(num(base + 0x123), &byte, &probe), STATUS_ACCESS_VIOLATION);
	EQUAL(probe.nr_info, 2);
	EQUAL(probe.info[0], 0);
	EQUAL(probe.info[1], num(base + 0x123));
	STATUS(probe_store(num(base + PAGE + 0x45), 1, &probe), STATUS_ACCESS_VIOLATION);
	EQUAL(probe.info[0], 1);
	EQUAL(probe.info[1], num(base + PAGE + 0x45));
	NEED(commit(base, PAGE) && VirtualProtect(base, PAGE, PAGE_READONLY, &old));
	STATUS(probe_store(num(base + 9), 1, &probe), STATUS_ACCESS_VIOLATION);
	EQUAL(probe.info[0], 1);
	EQUAL(probe.info[1], num(base + 9));
	RELEASE(base);
}

static void structured_handlers(void)
{
	char *base = reserve(SLOT);
	uint8_t byte = 0;

	NEED(base && commit(base, PAGE));
	base[5] = 77;
	STATUS(seh_load(num(base + 5), &byte), 0);
	EQUAL(byte, 77);
	for (int i = 0; i < 100; i++)
		STATUS(seh_load(num(base + PAGE), &byte), STATUS_ACCESS_VIOLATION);
	RELEASE(base);
}

/* --- handlers that repair ----------------------------------------------------------- */

static struct {
	char *base;
	size_t size;
	volatile LONG faults;
	bool protect;	/* make writable, else commit */
} repaired;

static LONG CALLBACK repair(EXCEPTION_POINTERS *pointers)
{
	EXCEPTION_RECORD *record = pointers->ExceptionRecord;
	uint64_t at = record->ExceptionInformation[1];
	char *page = (char *)(at & ~(uint64_t)(PAGE - 1));
	DWORD old;

	if (record->ExceptionCode != (DWORD)STATUS_ACCESS_VIOLATION || at < num(repaired.base) ||
	    at >= num(repaired.base) + repaired.size)
		return EXCEPTION_CONTINUE_SEARCH;
	InterlockedIncrement(&repaired.faults);
	if (repaired.protect ? !VirtualProtect(page, PAGE, PAGE_READWRITE, &old) : !commit(page, PAGE))
		return EXCEPTION_CONTINUE_SEARCH;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static void a_handler_commits_on_demand(void)
{
	enum { PAGES = 300 };
	void *handler = AddVectoredExceptionHandler(1, repair);

	repaired.size = PAGES * PAGE;
	repaired.base = reserve(repaired.size);
	repaired.faults = 0;
	repaired.protect = false;
	NEED(handler && repaired.base);
	for (size_t i = 0; i < PAGES; i += 3)
		*(volatile size_t *)(repaired.base + i * PAGE) = i;
	EQUAL(repaired.faults, PAGES / 3);
	for (size_t i = 0; i < PAGES; i += 3)
		EQUAL(*(volatile size_t *)(repaired.base + i * PAGE), i);
	EQUAL(repaired.faults, PAGES / 3);
	RemoveVectoredExceptionHandler(handler);
	RELEASE(repaired.base);
}

static void a_handler_makes_writable(void)
{
	enum { PAGES = 200 };
	void *handler = AddVectoredExceptionHandler(1, repair);
	DWORD old;

	repaired.size = PAGES * PAGE;
	repaired.base = allocate(repaired.size);
	repaired.protect = true;
	NEED(handler && repaired.base);
	for (int round = 1; round <= 3; round++) {
		repaired.faults = 0;
		NEED(VirtualProtect(repaired.base, repaired.size, PAGE_READONLY, &old));
		for (size_t i = 0; i < PAGES; i += 2) {
			*(volatile int *)(repaired.base + i * PAGE) = round;
			*(volatile int *)(repaired.base + i * PAGE + 8) = round;
		}
		EQUAL(repaired.faults, PAGES / 2);
		for (size_t i = 0; i < PAGES; i++)
			EQUAL(*(volatile int *)(repaired.base + i * PAGE + 8), i % 2 ? 0 : round);
	}
	RemoveVectoredExceptionHandler(handler);
	RELEASE(repaired.base);
}

/* --- guard pages ----------------------------------------------------------------------- */

static void a_guard_page_raises_once(void)
{
	char *base = VirtualAlloc(NULL, 3 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
	struct probe probe = { 0 };
	uint8_t byte = 1;

	NEED(base);
	BLOCK(base, 3 * PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
	STATUS(probe_load(num(base + 0x321), &byte, &probe), STATUS_GUARD_PAGE_VIOLATION);
	EQUAL(probe.nr_info, 2);
	EQUAL(probe.info[0], 0);
	EQUAL(probe.info[1], num(base + 0x321));
	BLOCK(base, PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
	STATUS(load(base + 0x321), 0);
	STATUS(store(base, 5), 0);

	STATUS(probe_store(num(base + PAGE + 8), 1, &probe), STATUS_GUARD_PAGE_VIOLATION);
	EQUAL(probe.info[0], 1);
	EQUAL(probe.info[1], num(base + PAGE + 8));
	/* The store that was refused was not made. */
	EQUAL(base[PAGE + 8], 0);
	STATUS(store(base + PAGE + 8, 1), 0);
	RELEASE(base);
}

static void a_guard_page_by_protect(void)
{
	char *base = allocate(4 * PAGE);
	DWORD old;

	NEED(base);
	memset(base, 8, 4 * PAGE);
	for (int round = 0; round < 50; round++) {
		NEED(VirtualProtect(base + PAGE, PAGE, PAGE_READONLY | PAGE_GUARD, &old));
		EQUAL(old, round ? PAGE_READONLY : PAGE_READWRITE);
		STATUS(load(base), 0);
		STATUS(load(base + PAGE), STATUS_GUARD_PAGE_VIOLATION);
		STATUS(load(base + PAGE), 0);
		/* What is behind the guard is the protection that it came with. */
		STATUS(store(base + PAGE, 1), STATUS_ACCESS_VIOLATION);
	}
	NEED(VirtualProtect(base + PAGE, PAGE, PAGE_READWRITE | PAGE_GUARD, &old));
	NEED(VirtualProtect(base + PAGE, PAGE, PAGE_READWRITE, &old));
	EQUAL(old, PAGE_READWRITE | PAGE_GUARD);
	STATUS(load(base + PAGE), 0);
	CHECK(filled(base, 8, 4 * PAGE));
	RELEASE(base);
}

static void a_guard_page_in_a_structured_handler(void)
{
	char *base = VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
	uint8_t byte = 9;

	NEED(base);
	STATUS(seh_load(num(base + 4), &byte), STATUS_GUARD_PAGE_VIOLATION);
	STATUS(seh_load(num(base + 4), &byte), 0);
	EQUAL(byte, 0);
	RELEASE(base);
}

/* A heap that grows by guard pages, as language runtimes' stacks do. */
static struct {
	char *base;
	size_t committed;
	LONG hits;
} growing;

static LONG CALLBACK grow(EXCEPTION_POINTERS *pointers)
{
	EXCEPTION_RECORD *record = pointers->ExceptionRecord;
	char *guard = growing.base + growing.committed - PAGE;

	if (record->ExceptionCode != (DWORD)STATUS_GUARD_PAGE_VIOLATION ||
	    (record->ExceptionInformation[1] & ~(uint64_t)(PAGE - 1)) != num(guard))
		return EXCEPTION_CONTINUE_SEARCH;
	growing.hits++;
	if (!VirtualAlloc(guard + PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD))
		return EXCEPTION_CONTINUE_SEARCH;
	growing.committed += PAGE;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static void memory_that_grows_by_guards(void)
{
	enum { PAGES = 100 };
	void *handler = AddVectoredExceptionHandler(1, grow);

	growing.base = reserve((PAGES + 1) * PAGE);
	growing.committed = PAGE;
	growing.hits = 0;
	NEED(handler && growing.base);
	NEED(VirtualAlloc(growing.base, PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD));
	for (size_t at = 0; at < PAGES * PAGE; at += 64)
		*(volatile size_t *)(growing.base + at) = at;
	EQUAL(growing.hits, PAGES);
	for (size_t at = 0; at < PAGES * PAGE; at += 64)
		NEED(*(volatile size_t *)(growing.base + at) == at);
	RemoveVectoredExceptionHandler(handler);
	RELEASE(growing.base);
}

/* --- code ----------------------------------------------------------------------------------- */

/* mov eax, @number; ret */
static void write_code(void *at, uint32_t number)
{
	uint8_t *p = at;

	p[0] = 0xB8;
	memcpy(p + 1, &number, sizeof(number));
	p[5] = 0xC3;
	FlushInstructionCache(GetCurrentProcess(), at, 6);
}

static void code_that_was_written(void)
{
	char *base = VirtualAlloc(NULL, 2 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
	struct probe probe;
	uint32_t result;

	NEED(base);
	for (uint32_t i = 0; i < 100; i++) {
		result = 0;
		write_code(base + 16 * i, 1000 + i);
		STATUS(probe_call(num(base + 16 * i), &result, &probe), 0);
		EQUAL(result, 1000 + i);
		/* And again at the same place. */
		write_code(base, i);
		STATUS(probe_call(num(base), &result, &probe), 0);
		EQUAL(result, i);
	}
	RELEASE(base);
}

static void written_first_and_executed_then(void)
{
	char *base = allocate(2 * PAGE);
	struct probe probe = { 0 };
	uint32_t result = 0;
	DWORD old;

	NEED(base);
	write_code(base + PAGE, 42);
	/* Not yet. */
	STATUS(probe_call(num(base + PAGE), &result, &probe), STATUS_ACCESS_VIOLATION);
	EQUAL(probe.info[0], 8);
	EQUAL(probe.info[1], num(base + PAGE));
	for (uint32_t i = 0; i < 20; i++) {
		NEED(VirtualProtect(base + PAGE, PAGE, PAGE_READWRITE, &old));
		write_code(base + PAGE, 42 + i);
		NEED(VirtualProtect(base + PAGE, PAGE, PAGE_EXECUTE_READ, &old));
		STATUS(probe_call(num(base + PAGE), &result, &probe), 0);
		EQUAL(result, 42 + i);
		STATUS(store(base + PAGE, 0), STATUS_ACCESS_VIOLATION);
	}
	BLOCK(base + PAGE, PAGE, MEM_COMMIT, PAGE_EXECUTE_READ);
	RELEASE(base);
}

/* A cache of code as a JIT has it: committed piece by piece, thrown away piece by piece. */
static void a_cache_of_code(void)
{
	enum { PIECES = 64 };
	char *base = VirtualAlloc(NULL, PIECES * 4 * PAGE, MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	struct probe probe;
	uint32_t result;

	NEED(base);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < PIECES; i++) {
			char *piece = base + i * 4 * PAGE;

			if ((i + round) % 3 == 0) {
				CHECK(VirtualFree(piece, 4 * PAGE, MEM_DECOMMIT));
				continue;
			}
			NEED(VirtualAlloc(piece, 3 * PAGE, MEM_COMMIT, PAGE_EXECUTE_READWRITE));
			write_code(piece + 2 * PAGE, round * PIECES + i);
		}
		for (uint32_t i = 0; i < PIECES; i++) {
			char *piece = base + i * 4 * PAGE;

			if ((i + round) % 3 == 0) {
				STATUS(load(piece), STATUS_ACCESS_VIOLATION);
				continue;
			}
			STATUS(probe_call(num(piece + 2 * PAGE), &result, &probe), 0);
			EQUAL(result, round * PIECES + i);
		}
	}
	RELEASE(base);
}

static void a_guard_page_of_code(void)
{
	char *base = VirtualAlloc(NULL, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
	struct probe probe;
	uint32_t result = 0;
	DWORD old;

	NEED(base);
	write_code(base, 5);
	NEED(VirtualProtect(base, PAGE, PAGE_EXECUTE_READ | PAGE_GUARD, &old));
	STATUS(probe_call(num(base), &result, &probe), STATUS_GUARD_PAGE_VIOLATION);
	STATUS(probe_call(num(base), &result, &probe), 0);
	EQUAL(result, 5);
	RELEASE(base);
}

/* --- stacks: they are nobody's private allocations, but must go on working ---------------------- */

/* Uses about @bytes of the stack, page by page. */
static __attribute__((noinline)) int deep(size_t bytes)
{
	volatile char here[1024];

	here[0] = (char)bytes;
	here[sizeof(here) - 1] = 1;
	if (bytes <= sizeof(here))
		return here[0] & 0;
	return deep(bytes - sizeof(here)) + here[sizeof(here) - 1];
}

static DWORD CALLBACK deep_thread(void *arg)
{
	return (DWORD)deep((size_t)arg);
}

static void the_stack_of_a_thread_grows(void)
{
	for (size_t mib = 1; mib <= 4; mib *= 4) {
		size_t bytes = (mib << 20) - (256 << 10);
		HANDLE thread = CreateThread(NULL, mib << 20, deep_thread, (void *)bytes,
					     STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
		DWORD code = 0;

		NEED(thread);
		EQUAL(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
		GetExitCodeThread(thread, &code);
		EQUAL(code, bytes / 1024 - 1);
		CloseHandle(thread);
	}
}

static void *main_fiber;
static volatile int fiber_result;

static void CALLBACK deep_fiber(void *arg)
{
	fiber_result = deep((size_t)arg);
	SwitchToFiber(main_fiber);
}

static DWORD CALLBACK fiber_thread(void *arg)
{
	void *fiber;

	main_fiber = ConvertThreadToFiber(NULL);
	fiber = CreateFiberEx(16 * PAGE, 1 << 20, 0, deep_fiber, arg);
	if (!main_fiber || !fiber)
		return 1;
	SwitchToFiber(fiber);
	DeleteFiber(fiber);
	return 0;
}

static void the_stack_of_a_fiber_grows(void)
{
	size_t bytes = 700 << 10;
	HANDLE thread = CreateThread(NULL, 0, fiber_thread, (void *)bytes, 0, NULL);
	DWORD code = 1;

	NEED(thread);
	fiber_result = 0;
	EQUAL(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
	GetExitCodeThread(thread, &code);
	EQUAL(code, 0);
	EQUAL(fiber_result, bytes / 1024 - 1);
	CloseHandle(thread);
}

static CONTEXT before_overflow;
static volatile DWORD overflowed;
static DWORD overflow_thread_id;

static LONG CALLBACK on_overflow(EXCEPTION_POINTERS *pointers)
{
	if (pointers->ExceptionRecord->ExceptionCode != (DWORD)STATUS_STACK_OVERFLOW ||
	    GetCurrentThreadId() != overflow_thread_id)
		return EXCEPTION_CONTINUE_SEARCH;
	overflowed++;
	*pointers->ContextRecord = before_overflow;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static DWORD CALLBACK overflow_thread(void *arg)
{
	(void)arg;
	overflow_thread_id = GetCurrentThreadId();
	RtlCaptureContext(&before_overflow);
	if (!overflowed)
		return (DWORD)deep(1 << 30);
	return 77;
}

static void a_stack_overflow_is_an_exception(void)
{
	void *handler = AddVectoredExceptionHandler(1, on_overflow);
	HANDLE thread;
	DWORD code = 0;

	overflowed = 0;
	thread = CreateThread(NULL, 256 << 10, overflow_thread, NULL, STACK_SIZE_PARAM_IS_A_RESERVATION,
			      NULL);
	NEED(handler && thread);
	EQUAL(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
	GetExitCodeThread(thread, &code);
	EQUAL(code, 77);
	EQUAL(overflowed, 1);
	CloseHandle(thread);
	RemoveVectoredExceptionHandler(handler);
}

const struct test_case access_cases[] = {
	{ "protect.each_protection", each_protection },
	{ "protect.a_range_of_bytes_is_whole_pages", a_range_of_bytes_is_whole_pages },
	{ "protect.bad_changes", bad_changes },
	{ "protect.what_a_violation_tells", what_a_violation_tells },
	{ "protect.structured_handlers", structured_handlers },
	{ "protect.a_handler_commits_on_demand", a_handler_commits_on_demand },
	{ "protect.a_handler_makes_writable", a_handler_makes_writable },
	{ "guard.a_guard_page_raises_once", a_guard_page_raises_once },
	{ "guard.by_protect", a_guard_page_by_protect },
	{ "guard.in_a_structured_handler", a_guard_page_in_a_structured_handler },
	{ "guard.memory_that_grows_by_guards", memory_that_grows_by_guards },
	{ "guard.of_code", a_guard_page_of_code },
	{ "code.that_was_written", code_that_was_written },
	{ "code.written_first_and_executed_then", written_first_and_executed_then },
	{ "code.a_cache_of_code", a_cache_of_code },
	{ "stack.of_a_thread_grows", the_stack_of_a_thread_grows },
	{ "stack.of_a_fiber_grows", the_stack_of_a_fiber_grows },
	{ "stack.an_overflow_is_an_exception", a_stack_overflow_is_an_exception },
	{ NULL, NULL },
};
