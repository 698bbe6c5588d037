// SPDX-License-Identifier: GPL-2.0-only
/*
 * libnt against a device that is played: how it opens, keeps, replaces and gives
 * up its file, what it makes of errors, and what it puts into requests. Needs no
 * module: the linker sends libnt's open() and ioctl() here (--wrap). A played
 * file is a memfd that holds a mark and the pid of the address space it stands
 * for, so that it survives dup() and fork() as a real one does.
 *
 * Each test runs in a child, because libnt keeps its file for the process.
 */
#define _GNU_SOURCE
#include <libnt.h>
#include <linux/ntvm.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK	0x6e74766dull

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long nr, void *arg);

/* How the played device behaves, and what it saw. */
static int open_errno, ioctl_errno, eintr_left;
static uint32_t version = NTVM_ABI_VERSION;
static uint64_t features = NTVM_FEATURE_PRIVATE;
static _Atomic int opened;
static int open_flags;
static union {
	struct ntvm_header header;
	struct ntvm_allocate allocate;
	struct ntvm_free free;
	struct ntvm_protect protect;
	struct ntvm_query query;
	struct ntvm_duplicate duplicate;
	struct ntvm_allocate_ex allocate_ex;
} last;

static int play(uint64_t pid)
{
	uint64_t content[2] = { MARK, pid };
	int fd = memfd_create("ntvm", MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, content, sizeof(content), 0) != sizeof(content))
		abort();
	return fd;
}

/* The pid that a descriptor stands for, 0 if it is no file of the device. */
static uint64_t played(int fd)
{
	uint64_t content[2];

	if (pread(fd, content, sizeof(content), 0) != sizeof(content) || content[0] != MARK)
		return 0;
	return content[1];
}

static int played_now(void)
{
	int nr = 0;

	for (int fd = 0; fd < 256; fd++)
		nr += played(fd) != 0;
	return nr;
}

int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/ntvm"))
		return __real_open(path, flags);
	if (open_errno) {
		errno = open_errno;
		return -1;
	}
	opened++;
	open_flags = flags;
	return play((uint64_t)getpid());
}

static int refuse(int err)
{
	errno = err;
	return -1;
}

/* The descriptor that plays a job. */
static int played_job = -1;

int __wrap_ioctl(int fd, unsigned long nr, void *arg)
{
	struct ntvm_header *header = arg;
	size_t size;

	if (fcntl(fd, F_GETFD) < 0)
		return refuse(EBADF);
	if (!played(fd))
		return refuse(ENOTTY);
	if (eintr_left && eintr_left--)
		return refuse(EINTR);
	if (header->handle == NTVM_CURRENT_PROCESS && played(fd) != (uint64_t)getpid())
		return refuse(ESTALE);
	if (ioctl_errno && nr != NTVM_IOC_GET_INFO)
		return refuse(ioctl_errno);

	size = header->size < sizeof(last) ? header->size : sizeof(last);
	memcpy(&last, arg, size);
	header->status = NTVM_STATUS_SUCCESS;
	if (header->handle != NTVM_CURRENT_PROCESS) {
		if (header->handle < 0 || fcntl(header->handle, F_GETFD) < 0)
			header->status = NTVM_STATUS_INVALID_HANDLE;
		else if (!played(header->handle))
			header->status = NTVM_STATUS_OBJECT_TYPE_MISMATCH;
		if (header->status)
			return 0;
	}

	switch (nr) {
	case NTVM_IOC_GET_INFO: {
		struct ntvm_info *info = arg;

		info->out_version = version;
		info->out_features = features;
		info->out_reserved = played(header->handle < 0 ? fd : header->handle);
		break;
	}
	case NTVM_IOC_DUPLICATE:
		((struct ntvm_duplicate *)arg)->out_fd = play(played(header->handle < 0 ?
								     fd : header->handle));
		break;
	case NTVM_IOC_TAKE_FAULT:
		header->status = NTVM_STATUS_NOT_FOUND;
		break;
	case NTVM_IOC_JOB:
		if (((struct ntvm_job *)arg)->job != played_job)
			header->status = NTVM_STATUS_OBJECT_TYPE_MISMATCH;
		break;
	}
	return 0;
}

/* --- the tests ------------------------------------------------------------- */

#define CHECK(what)							\
	do {								\
		if (!(what)) {						\
			printf("# line %d: %s\n", __LINE__, #what);	\
			fflush(stdout);					\
			_exit(1);					\
		}							\
	} while (0)

#define ODD_ERRNO	1234

static NTSTATUS info(HANDLE handle, SIZE_T *pid)
{
	LIBNT_INFO i;
	NTSTATUS status;

	memset(&i, 0xCC, sizeof(i));
	errno = ODD_ERRNO;
	status = LibntGetInfo(handle, &i);
	CHECK(errno == ODD_ERRNO);
	*pid = i.ReservedBytes;
	return status;
}

/* A call on the own process works and reaches the own address space. */
static void works(void)
{
	SIZE_T pid;

	CHECK(info(NtCurrentProcess(), &pid) == STATUS_SUCCESS);
	CHECK(pid == (SIZE_T)getpid());
}

static int own_fd(void)
{
	for (int fd = 0; fd < 256; fd++)
		if (played(fd))
			return fd;
	return -1;
}

static void in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		fn();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void opens_once(void)
{
	works();
	works();
	CHECK(opened == 1 && played_now() == 1);
	CHECK((open_flags & O_ACCMODE) == O_RDWR && open_flags & O_CLOEXEC);
}

static void leaves_standard_streams(void)
{
	int saved = dup(STDOUT_FILENO);

	close(0);
	close(1);
	close(2);
	works();
	CHECK(own_fd() > 2 && played_now() == 1);
	CHECK(fcntl(own_fd(), F_GETFD) & FD_CLOEXEC);
	dup2(saved, STDOUT_FILENO);
}

static int parent_fd;

static void child_of_fork(void)
{
	works();
	/* The own file took the number of the parent's, nothing of it is left. */
	CHECK(own_fd() == parent_fd && played_now() == 1);
	CHECK(fcntl(parent_fd, F_GETFD) & FD_CLOEXEC);
	works();
	CHECK(opened == 2);
	in_child(works);
}

static void survives_fork(void)
{
	works();
	parent_fd = own_fd();
	in_child(child_of_fork);
	works();
	CHECK(opened == 1 && own_fd() == parent_fd);
}

static void survives_close(void)
{
	works();
	close(own_fd());
	works();
	CHECK(opened == 2 && played_now() == 1);
}

static void spares_a_reused_number(void)
{
	int fd, other;

	works();
	fd = own_fd();
	other = __real_open("/dev/null", O_RDWR);
	CHECK(dup2(other, fd) == fd);
	works();
	CHECK(fcntl(fd, F_GETFD) >= 0 && !played(fd));
	CHECK(own_fd() != fd && played_now() == 1);
	works();
	CHECK(opened == 2);
}

/* A handle to another process, put under our number by the program. */
static void spares_a_foreign_handle(void)
{
	int fd, other = play(1);

	works();
	for (fd = 0; played(fd) != (uint64_t)getpid(); fd++)
		;
	CHECK(dup2(other, fd) == fd);
	works();
	CHECK(played(fd) == 1);
}

static void retries_eintr(void)
{
	eintr_left = 3;
	works();
	eintr_left = 2;
	works();
}

static void *thread(void *arg)
{
	LIBNT_INFO i;

	(void)arg;
	return (void *)(intptr_t)LibntGetInfo(NtCurrentProcess(), &i);
}

static void race(void)
{
	pthread_t t[8];
	void *status;

	for (int i = 0; i < 8; i++)
		CHECK(!pthread_create(&t[i], NULL, thread, NULL));
	for (int i = 0; i < 8; i++) {
		CHECK(!pthread_join(t[i], &status));
		CHECK(!status);
	}
	CHECK(played_now() == 1);
}

static void threads_race(void)
{
	for (int i = 0; i < 100; i++)
		in_child(race);
	works();
	for (int i = 0; i < 100; i++)
		in_child(race);
}

static void open_errors(void)
{
	static const struct {
		int err;
		NTSTATUS status;
	} rows[] = {
		{ ENOENT, STATUS_NO_SUCH_DEVICE },
		{ ENXIO, STATUS_NO_SUCH_DEVICE },
		{ ENODEV, STATUS_NO_SUCH_DEVICE },
		{ EACCES, STATUS_ACCESS_DENIED },
		{ EPERM, STATUS_ACCESS_DENIED },
		{ EMFILE, STATUS_INSUFFICIENT_RESOURCES },
		{ ENFILE, STATUS_INSUFFICIENT_RESOURCES },
		{ ENOMEM, STATUS_INSUFFICIENT_RESOURCES },
	};
	SIZE_T pid;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_errno = rows[i].err;
		CHECK(info(NtCurrentProcess(), &pid) == rows[i].status);
		CHECK(played_now() == 0);
	}
	open_errno = 0;
	works();
}

static void old_module(void)
{
	SIZE_T pid;

	version = NTVM_ABI_VERSION - 1;
	CHECK(info(NtCurrentProcess(), &pid) == STATUS_REVISION_MISMATCH);
	version = NTVM_ABI_VERSION + 1;
	features = 0;
	CHECK(info(NtCurrentProcess(), &pid) == STATUS_REVISION_MISMATCH);
	CHECK(played_now() == 0);
	features = ~0ull;
	works();
}

static void request_errors(void)
{
	static const struct {
		int err;
		NTSTATUS status;
	} rows[] = {
		{ EINVAL, STATUS_REVISION_MISMATCH },
		{ E2BIG, STATUS_REVISION_MISMATCH },
		{ ENOTTY, STATUS_REVISION_MISMATCH },
		{ EFAULT, STATUS_ACCESS_VIOLATION },
		{ ENOMEM, STATUS_INSUFFICIENT_RESOURCES },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ioctl_errno = rows[i].err;
		errno = ODD_ERRNO;
		CHECK(LibntSetContract(NtCurrentProcess(), 1) == rows[i].status);
		CHECK(errno == ODD_ERRNO && played_now() <= 5);
	}
}

static void closing(void)
{
	HANDLE handle, stranger;
	SIZE_T pid;
	int fd;

	CHECK(NtClose(NtCurrentProcess()) == STATUS_SUCCESS);
	CHECK(opened == 0);
	CHECK(NtClose((HANDLE)0) == STATUS_INVALID_HANDLE);
	CHECK(NtClose((HANDLE)(ULONG_PTR)-2) == STATUS_INVALID_HANDLE);
	CHECK(NtClose((HANDLE)(ULONG_PTR)0xDEADBEEF) == STATUS_INVALID_HANDLE);
	CHECK(NtClose(LibntFdToHandle(200)) == STATUS_INVALID_HANDLE);
	works();
	fd = own_fd();
	CHECK(NtClose(LibntFdToHandle(fd)) == STATUS_INVALID_HANDLE && played(fd));

	stranger = LibntFdToHandle(__real_open("/dev/null", O_RDWR));
	errno = ODD_ERRNO;
	CHECK(NtClose(stranger) == STATUS_OBJECT_TYPE_MISMATCH && errno == ODD_ERRNO);
	CHECK(fcntl(LibntHandleToFd(stranger), F_GETFD) >= 0);
	played_job = LibntHandleToFd(stranger);
	CHECK(NtClose(stranger) == STATUS_SUCCESS && errno == ODD_ERRNO);
	CHECK(fcntl(played_job, F_GETFD) < 0);
	CHECK(NtClose(stranger) == STATUS_INVALID_HANDLE);
	played_job = -1;
	stranger = LibntFdToHandle(__real_open("/dev/null", O_RDWR));
	CHECK(info(stranger, &pid) == STATUS_OBJECT_TYPE_MISMATCH);

	handle = LibntFdToHandle(play(1));
	CHECK(info(handle, &pid) == STATUS_SUCCESS && pid == 1);
	CHECK(NtClose(handle) == STATUS_SUCCESS && played_now() == 1);
	CHECK(NtClose(handle) == STATUS_INVALID_HANDLE);
}

static void handles(void)
{
	CHECK(LibntFdToHandle(-1) == (HANDLE)0);
	CHECK(LibntHandleToFd((HANDLE)0) == -1);
	CHECK(LibntHandleToFd(NtCurrentProcess()) == -1);
	CHECK(LibntHandleToFd((HANDLE)(ULONG_PTR)5) == -1);
	for (int fd = 0; fd < 100000; fd += 7) {
		HANDLE h = LibntFdToHandle(fd);

		CHECK(h && h != NtCurrentProcess() && !((ULONG_PTR)h & 3));
		CHECK(LibntHandleToFd(h) == fd);
	}
#ifdef _LP64
	CHECK(LibntHandleToFd(LibntFdToHandle(0x7FFFFFFF)) == 0x7FFFFFFF);
	CHECK(LibntHandleToFd((HANDLE)0x200000004ull) == -1);
	CHECK(LibntHandleToFd((HANDLE)0xDEADBEEFDEADBEE0ull) == -1);
#endif
}

static void requests(void)
{
	HANDLE self = NtCurrentProcess();
	MEMORY_BASIC_INFORMATION mbi;
	PVOID base = (PVOID)0x10000;
	SIZE_T size = 0x1234, ret;
	MEM_EXTENDED_PARAMETER params[1] = { 0 };
	ULONG old;

	errno = ODD_ERRNO;
	CHECK(!NtAllocateVirtualMemory(self, &base, 12, &size, MEM_COMMIT, PAGE_READONLY));
	CHECK(last.allocate.size == sizeof(last.allocate) &&
	      last.allocate.flags == NTVM_F_INDIRECT && last.allocate.handle == -1 &&
	      last.allocate.zero_bits == 12 && last.allocate.type == MEM_COMMIT &&
	      last.allocate.protect == PAGE_READONLY);
	CHECK(!NtFreeVirtualMemory(self, &base, &size, MEM_RELEASE));
	CHECK(last.free.size == sizeof(last.free) && last.free.flags == NTVM_F_INDIRECT &&
	      last.free.type == MEM_RELEASE && last.free.reserved == 0);
	CHECK(!NtProtectVirtualMemory(self, &base, &size, PAGE_NOACCESS, &old));
	CHECK(last.protect.size == sizeof(last.protect) &&
	      last.protect.old_ptr == (uintptr_t)&old &&
	      last.protect.protect == PAGE_NOACCESS && last.protect.out_old == 0);
#ifdef _LP64
	CHECK(last.protect.base == (uintptr_t)&base && last.protect.len == (uintptr_t)&size);
#endif
	CHECK(!NtQueryVirtualMemory(self, base, MemoryBasicInformation, &mbi, sizeof(mbi), &ret));
	CHECK(last.query.size == sizeof(last.query) && last.query.flags == 0 &&
	      last.query.address == 0x10000 && last.query.info_class == NTVM_QUERY_BASIC &&
	      last.query.reserved == 0);
	CHECK(!NtAllocateVirtualMemoryEx(self, &base, &size, MEM_RESERVE, PAGE_READWRITE, NULL, 0));
	CHECK(last.allocate_ex.size == sizeof(last.allocate_ex) &&
	      last.allocate_ex.flags == NTVM_F_INDIRECT && last.allocate_ex.handle == -1 &&
	      last.allocate_ex.type == MEM_RESERVE &&
	      last.allocate_ex.protect == PAGE_READWRITE && !last.allocate_ex.count &&
	      !last.allocate_ex.old_ptr && !last.allocate_ex.reserved);
	params[0].Type = MemExtendedParameterAttributeFlags;
	CHECK(!NtAllocateVirtualMemoryEx(self, &base, &size, MEM_COMMIT, PAGE_READWRITE, params, 1));
	CHECK(last.allocate_ex.count == 1 && last.allocate_ex.parameters &&
	      last.allocate_ex.old_ptr);
	/* An array that is not there is for the module to refuse. */
	CHECK(!NtAllocateVirtualMemoryEx(self, &base, &size, MEM_COMMIT, PAGE_READWRITE, NULL, 0));
	CHECK(NtAllocateVirtualMemoryEx((HANDLE)0, &base, &size, MEM_COMMIT, PAGE_READWRITE,
					NULL, 7) == STATUS_INVALID_HANDLE);
	CHECK(last.allocate_ex.count == 7 && !last.allocate_ex.parameters);
	CHECK(errno == ODD_ERRNO);

	/* What cannot be a descriptor is for the module to refuse, in its order. */
	CHECK(NtFreeVirtualMemory((HANDLE)0, &base, &size, 0) == STATUS_INVALID_HANDLE);
	CHECK(last.free.handle == -2);
	CHECK(NtFreeVirtualMemory(LibntFdToHandle(77), &base, &size, 0) == STATUS_INVALID_HANDLE);
	CHECK(last.free.handle == 77);
	/* Null pointers get there as such. */
	CHECK(NtFreeVirtualMemory((HANDLE)0, NULL, NULL, 0) == STATUS_INVALID_HANDLE);
	CHECK(last.free.base == 0 && last.free.len == 0);
	CHECK(LibntTakeFault(NULL) == STATUS_NOT_FOUND);
	CHECK(LibntGetInfo(self, NULL) == STATUS_ACCESS_VIOLATION);
}

static NTSTATUS open_pid(HANDLE *handle, int pid, ACCESS_MASK access)
{
	OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes) };
	CLIENT_ID id = { (HANDLE)(ULONG_PTR)pid, (HANDLE)0 };
	NTSTATUS status;

	errno = ODD_ERRNO;
	status = NtOpenProcess(handle, access, &attributes, &id);
	CHECK(errno == ODD_ERRNO);
	return status;
}

static void opening(void)
{
	CLIENT_ID id = { (HANDLE)(ULONG_PTR)getpid(), (HANDLE)(ULONG_PTR)1 };
	HANDLE handle = (HANDLE)0;
	SIZE_T of;
	pid_t pid;

	CHECK(NtOpenProcess(NULL, 0, NULL, &id) == STATUS_ACCESS_VIOLATION);
	CHECK(NtOpenProcess(&handle, 0, NULL, NULL) == STATUS_INVALID_PARAMETER_MIX);
	CHECK(NtOpenProcess(&handle, 0, NULL, &id) == STATUS_INVALID_CID);
	CHECK(open_pid(&handle, 0, 0) == STATUS_INVALID_CID);
	CHECK(open_pid(&handle, 0x7FFFFFFF, 0) == STATUS_INVALID_CID);
	CHECK(!handle);

	CHECK(open_pid(&handle, getpid(), PROCESS_ALL_ACCESS) == STATUS_SUCCESS);
	CHECK(last.duplicate.access == NTVM_ACCESS_ALL && last.duplicate.handle == -1);
	CHECK(info(handle, &of) == STATUS_SUCCESS && of == (SIZE_T)getpid());
	CHECK(NtClose(handle) == STATUS_SUCCESS);
	CHECK(open_pid(&handle, getpid(), 0x1F0FFF) == STATUS_SUCCESS);
	CHECK(last.duplicate.access == NTVM_ACCESS_ALL);
	CHECK(open_pid(&handle, getpid(), MAXIMUM_ALLOWED) == STATUS_SUCCESS);
	CHECK(last.duplicate.access == NTVM_ACCESS_ALL);
	CHECK(open_pid(&handle, getpid(), PROCESS_VM_OPERATION | 0x100001) == STATUS_SUCCESS);
	CHECK(last.duplicate.access == NTVM_ACCESS_VM_OPERATION);

	/* A process that has no file of the device. */
	handle = (HANDLE)0;
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		pause();
		_exit(0);
	}
	CHECK(open_pid(&handle, pid, PROCESS_VM_OPERATION) == STATUS_NOT_FOUND && !handle);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK(open_pid(&handle, pid, PROCESS_VM_OPERATION) == STATUS_INVALID_CID && !handle);
}

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{ "opens_once", opens_once },
	{ "leaves_standard_streams", leaves_standard_streams },
	{ "survives_fork", survives_fork },
	{ "survives_close", survives_close },
	{ "spares_a_reused_number", spares_a_reused_number },
	{ "spares_a_foreign_handle", spares_a_foreign_handle },
	{ "retries_eintr", retries_eintr },
	{ "threads_race", threads_race },
	{ "open_errors", open_errors },
	{ "old_module", old_module },
	{ "request_errors", request_errors },
	{ "closing", closing },
	{ "handles", handles },
	{ "requests", requests },
	{ "opening", opening },
};

int main(void)
{
	int nr = sizeof(tests) / sizeof(tests[0]), failed = 0, status;

	printf("KTAP version 1\n1..%d\n", nr);
	fflush(stdout);
	for (int i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (!pid) {
			alarm(60);
			tests[i].fn();
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			status = -1;
		failed += status != 0;
		printf("%s %d %s\n", status ? "not ok" : "ok", i + 1, tests[i].name);
		fflush(stdout);
	}
	return failed ? 1 : 0;
}
