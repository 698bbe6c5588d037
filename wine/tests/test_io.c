// SPDX-License-Identifier: GPL-2.0-only
/* System calls on private memory: buffers of files and pipes, names, structures. */
#include "test.h"

static HANDLE temporary(char *name)
{
	char path[MAX_PATH];

	if (!GetTempPathA(sizeof(path), path) || !GetTempFileNameA(path, "ntvm", 0, name))
		return INVALID_HANDLE_VALUE;
	return CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS,
			   FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

static void a_file_and_back(void)
{
	enum { SIZE = 1 << 20 };
	char *base = allocate(2 * SIZE), name[MAX_PATH];
	HANDLE file = temporary(name);
	DWORD n = 0, old;

	NEED(base && file != INVALID_HANDLE_VALUE);
	for (size_t i = 0; i < SIZE / sizeof(int); i++)
		((int *)base)[i] = (int)i;
	/* Every other page has another protection: all can be read. */
	for (size_t i = 0; i < SIZE / PAGE; i += 2)
		NEED(VirtualProtect(base + i * PAGE, PAGE, PAGE_READONLY, &old));
	CHECK(WriteFile(file, base, SIZE, &n, NULL));
	EQUAL(n, SIZE);
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(ReadFile(file, base + SIZE, SIZE, &n, NULL));
	EQUAL(n, SIZE);
	CHECK(!memcmp(base, base + SIZE, SIZE));
	CloseHandle(file);
	RELEASE(base);
}

/* A buffer that leaves what is committed is an error, and no crash. */
static void a_buffer_that_ends_too_early(void)
{
	char *base = reserve(SLOT), name[MAX_PATH];
	HANDLE file = temporary(name);
	DWORD n = 0;

	NEED(base && commit(base, 2 * PAGE) && file != INVALID_HANDLE_VALUE);
	memset(base, 0x33, 2 * PAGE);
	CHECK(WriteFile(file, base, 2 * PAGE, &n, NULL));
	CHECK(WriteFile(file, base, 2 * PAGE, &n, NULL));

	/* Nothing of it is there. */
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(!ReadFile(file, base + 4 * PAGE, PAGE, &n, NULL));
	CHECK(GetLastError() == ERROR_NOACCESS || GetLastError() == ERROR_INVALID_USER_BUFFER);
	CHECK(!WriteFile(file, base + 4 * PAGE, PAGE, &n, NULL));
	CHECK(GetLastError() == ERROR_NOACCESS || GetLastError() == ERROR_INVALID_USER_BUFFER);
	CHECK(!ReadFile(file, base + 2 * PAGE, PAGE, &n, NULL));

	/* And it goes on. */
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	memset(base, 0, 2 * PAGE);
	CHECK(ReadFile(file, base, 2 * PAGE, &n, NULL) && n == 2 * PAGE);
	CHECK(filled(base, 0x33, 2 * PAGE));
	BLOCK(base, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE);
	BLOCK(base + 2 * PAGE, SLOT - 2 * PAGE, MEM_RESERVE, 0);
	CloseHandle(file);
	RELEASE(base);
}

static void a_buffer_that_cannot_be_written(void)
{
	char *base = allocate(2 * PAGE), name[MAX_PATH];
	HANDLE file = temporary(name);
	DWORD n = 0, old;

	NEED(base && file != INVALID_HANDLE_VALUE);
	memset(base, 0x44, 2 * PAGE);
	CHECK(WriteFile(file, base, PAGE, &n, NULL));
	NEED(VirtualProtect(base + PAGE, PAGE, PAGE_READONLY, &old));
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(!ReadFile(file, base + PAGE, PAGE, &n, NULL));
	CHECK(filled(base, 0x44, 2 * PAGE));
	NEED(VirtualProtect(base + PAGE, PAGE, PAGE_READWRITE, &old));
	CHECK(ReadFile(file, base + PAGE, PAGE, &n, NULL) && n == PAGE);
	CloseHandle(file);
	RELEASE(base);
}

static HANDLE pipe_in, pipe_out;
enum { PIECE = 24 * 1024, PIECES = 64 };

static DWORD CALLBACK feed(void *arg)
{
	char *base = arg;
	DWORD n;

	for (int i = 0; i < PIECES; i++) {
		memset(base, i, PIECE);
		if (!WriteFile(pipe_out, base, PIECE, &n, NULL) || n != PIECE)
			return 1;
	}
	return 0;
}

static void a_pipe_between_threads(void)
{
	char *from = allocate(PIECE), *to = allocate(PIECE);
	HANDLE thread;
	DWORD code = 1;

	NEED(from && to && CreatePipe(&pipe_in, &pipe_out, NULL, 4096));
	thread = CreateThread(NULL, 0, feed, from, 0, NULL);
	NEED(thread);
	for (int i = 0; i < PIECES; i++) {
		DWORD have = 0, n;

		while (have < PIECE) {
			NEED(ReadFile(pipe_in, to + have, PIECE - have, &n, NULL) && n);
			have += n;
		}
		CHECK(filled(to, (uint8_t)i, PIECE));
	}
	EQUAL(WaitForSingleObject(thread, 60000), WAIT_OBJECT_0);
	GetExitCodeThread(thread, &code);
	EQUAL(code, 0);
	CloseHandle(thread);
	CloseHandle(pipe_in);
	CloseHandle(pipe_out);
	RELEASE(from);
	RELEASE(to);
}

/* The read is accepted first and completed later, by whom the system likes. */
static void a_read_that_completes_later(void)
{
	HANDLE server = CreateNamedPipeA("\\\\.\\pipe\\ntvm-test", PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
					 PIPE_TYPE_BYTE, 1, 4096, 4096, 0, NULL);
	HANDLE client = CreateFileA("\\\\.\\pipe\\ntvm-test", GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
	OVERLAPPED overlapped = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
	char *base = allocate(2 * PAGE);
	DWORD n = 0;

	NEED(base && server != INVALID_HANDLE_VALUE && client != INVALID_HANDLE_VALUE);
	CHECK(!ReadFile(server, base + PAGE - 5, 100, NULL, &overlapped));
	EQUAL(GetLastError(), ERROR_IO_PENDING);
	CHECK(WriteFile(client, "0123456789", 10, &n, NULL));
	EQUAL(WaitForSingleObject(overlapped.hEvent, 30000), WAIT_OBJECT_0);
	CHECK(GetOverlappedResult(server, &overlapped, &n, FALSE));
	EQUAL(n, 10);
	CHECK(!memcmp(base + PAGE - 5, "0123456789", 10));
	CloseHandle(client);
	CloseHandle(server);
	CloseHandle(overlapped.hEvent);
	RELEASE(base);
}

/* Names, structures and results of calls that lie at the very end of what is committed. */
static void arguments_of_calls(void)
{
	char *base = reserve(SLOT), *end, name[MAX_PATH];
	HANDLE file = temporary(name), *handles;
	LARGE_INTEGER *size;
	DWORD *n;

	NEED(base && commit(base, PAGE) && file != INVALID_HANDLE_VALUE);
	end = base + PAGE;
	n = (DWORD *)(end - sizeof(*n));
	CHECK(WriteFile(file, "abc", 3, n, NULL));
	EQUAL(*n, 3);
	size = (LARGE_INTEGER *)(end - sizeof(*size));
	CHECK(GetFileSizeEx(file, size));
	EQUAL(size->QuadPart, 3);
	memcpy(end - strlen(name) - 1, name, strlen(name) + 1);
	CHECK(GetFileAttributesA(end - strlen(name) - 1) != INVALID_FILE_ATTRIBUTES);
	handles = (HANDLE *)(end - 2 * sizeof(*handles));
	handles[0] = CreateEventA(NULL, TRUE, TRUE, NULL);
	handles[1] = CreateEventA(NULL, TRUE, TRUE, NULL);
	EQUAL(WaitForMultipleObjects(2, handles, TRUE, 1000), WAIT_OBJECT_0);
	CloseHandle(handles[0]);
	CloseHandle(handles[1]);
	CHECK(GetEnvironmentVariableA("PATH", base, PAGE));
	CloseHandle(file);
	RELEASE(base);
}

/* A guard page under a call: it may fail or not, and the next one works. */
static void a_guard_page_in_a_call(void)
{
	char *base = allocate(PAGE), name[MAX_PATH];
	HANDLE file = temporary(name);
	MEMORY_BASIC_INFORMATION info;
	DWORD n = 0, old;

	NEED(base && file != INVALID_HANDLE_VALUE);
	memset(base, 0x55, PAGE);
	CHECK(WriteFile(file, base, PAGE, &n, NULL));
	NEED(VirtualProtect(base, PAGE, PAGE_READWRITE | PAGE_GUARD, &old));
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	ReadFile(file, base, PAGE, &n, NULL);
	NEED(VirtualQuery(base, &info, sizeof(info)));
	if (info.Protect & PAGE_GUARD)
		STATUS(load(base), STATUS_GUARD_PAGE_VIOLATION);
	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(ReadFile(file, base, PAGE, &n, NULL) && n == PAGE);
	CHECK(filled(base, 0x55, PAGE));
	CloseHandle(file);
	RELEASE(base);
}

const struct test_case io_cases[] = {
	{ "io.a_file_and_back", a_file_and_back },
	{ "io.a_buffer_that_ends_too_early", a_buffer_that_ends_too_early },
	{ "io.a_buffer_that_cannot_be_written", a_buffer_that_cannot_be_written },
	{ "io.a_pipe_between_threads", a_pipe_between_threads },
	{ "io.a_read_that_completes_later", a_read_that_completes_later },
	{ "io.arguments_of_calls", arguments_of_calls },
	{ "io.a_guard_page_in_a_call", a_guard_page_in_a_call },
	{ NULL, NULL },
};
