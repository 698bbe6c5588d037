// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attacks on what keeps processes apart: who may open the device, what a weak or
 * an old handle gives, and whether ntvm is a way round what the kernel forbids a
 * process otherwise: namespaces and groups, Yama, the reserves of the
 * administrator, the judgement of security modules, memory that is written first
 * and executed then. docs/security.md has the list.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <dirent.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define SIZE		(16 * P)
#define NOBODY		12345	/* a uid that has nothing */
#define ANOTHER		12346
#define LOW		((uintptr_t)0x20000)	/* low, and NT may have it */

/* Nothing of root is left, and the process is as traceable as any other. */
static bool become(uid_t uid)
{
	return !setgroups(0, NULL) && !setresgid(uid, uid, uid) && !setresuid(uid, uid, uid) &&
	       !prctl(PR_SET_DUMPABLE, 1);
}

/* --- a process to attack ---------------------------------------------------------- */

/**
 * struct victim - a process that others have a handle to
 * @uid: who it is, 0: root stays root
 * @mdwe: it has asked for PR_SET_MDWE
 * @hidden: it may not be traced by its like
 * @group: its control group, NULL: as it is
 * @child: the process
 * @h: handle to it, with all rights
 */
struct victim {
	uid_t uid;
	bool mdwe;
	bool hidden;
	const char *group;
	struct child child;
	HANDLE h;
};

enum order {
	ORDER_END,
	ORDER_LOW,		/* reserve and commit a page at LOW */
	ORDER_COMMIT,		/* commit 64 MiB */
	ORDER_FILE_LIMIT,	/* have a RLIMIT_FSIZE from now on */
	ORDER_EXECUTE,		/* make the page at FIXED executable */
	ORDER_EXECUTE_WRITE,	/* and writable too */
	ORDER_ALLOCATE_EXECUTE,	/* reserve and commit an executable page */
	ORDER_STACK,		/* use a page below the one that a stack has */
	ORDER_TRACER,		/* let the process of this number trace */
};

static uint64_t obey(uint64_t order)
{
	struct rlimit limit = { GIB, GIB };
	struct res r;
	uint8_t *p;

	switch (order & 0xff) {
	case ORDER_LOW:
		r = do_alloc(ME, LOW, 0, P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
		break;
	case ORDER_COMMIT:
		r = do_alloc(ME, 0, 0, 64 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
		break;
	case ORDER_FILE_LIMIT:
		return setrlimit(RLIMIT_FSIZE, &limit);
	case ORDER_EXECUTE:
		r = do_protect(ME, FIXED, P, PAGE_EXECUTE_READ);
		break;
	case ORDER_EXECUTE_WRITE:
		r = do_protect(ME, FIXED, P, PAGE_EXECUTE_READWRITE);
		break;
	case ORDER_ALLOCATE_EXECUTE:
		r = do_alloc(ME, 0, 0, P, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READ);
		break;
	case ORDER_STACK:
		p = (uint8_t *)FIXED + SIZE;
		return (uint64_t)probe_write(p - 2 * P, 1).signo;
	case ORDER_TRACER:
		return prctl(PR_SET_PTRACER, order >> 8);
	default:
		return ~0ull;
	}
	return (uint32_t)r.status;
}

static int victim(int sock, void *arg)
{
	struct victim *v = arg;
	uint8_t *p = (uint8_t *)FIXED;
	uint64_t order;
	char path[128];

	if (v->group) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", v->group);
		if (write_file(path, "0"))
			return 1;
	}
	if (v->uid && !become(v->uid))
		return 2;
	if (v->hidden && prctl(PR_SET_DUMPABLE, 0))
		return 3;
	if (v->mdwe && prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		return 4;
	if (do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE, PAGE_READWRITE).status ||
	    commit(p, P, PAGE_READWRITE) || commit(p + SIZE - P, P, PAGE_READWRITE) ||
	    commit(p + SIZE - 2 * P, P, PAGE_READWRITE | PAGE_GUARD) ||
	    LibntSetThreadStack(p + SIZE, p + SIZE - P, p + P, 0))
		return 5;
	put_code(p, 0x1234);
	if (!send_fd(sock, own_device()))
		return 6;
	while (child_hear(sock, &order) && order != ORDER_END)
		child_tell(sock, obey(order));
	return 0;
}

static bool victim_start(struct victim *v)
{
	int fd;

	if (!child_start(&v->child, victim, v))
		return false;
	fd = recv_fd(v->child.sock);
	v->h = LibntFdToHandle(fd);
	return fd >= 0;
}

static uint64_t victim_does(struct victim *v, uint64_t order)
{
	uint64_t answer = ~0ull;

	if (!child_tell(v->child.sock, order) || !child_hear(v->child.sock, &answer))
		return ~0ull;
	return answer;
}

static int victim_end(struct victim *v)
{
	child_tell(v->child.sock, ORDER_END);
	if (v->h)
		NtClose(v->h);
	return child_wait(&v->child);
}

#define EXPECT_DOES(want, v, order) \
	EXPECT_STATUS(want, (NTSTATUS)victim_does(v, order))

/* A child that runs a function as somebody else. */
struct role {
	uid_t uid;
	int (*fn)(void *arg);
	void *arg;
};

static int role_child(int sock, void *arg)
{
	struct role *role = arg;

	(void)sock;
	if (role->uid && !become(role->uid))
		return 100;
	return role->fn(role->arg);
}

/* Its exit status: 0 if all was as it should be, else the step that was not. */
static int play(uid_t uid, int (*fn)(void *arg), void *arg)
{
	struct role role = { uid, fn, arg };
	struct child c;

	if (!child_start(&c, role_child, &role))
		return -1;
	return child_wait(&c);
}

static void put_number(const char *path, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	write_file(path, text);
}

/* --- the device --------------------------------------------------------------------- */

#define DEVICE	"/dev/ntvm"

static int uses_nt_memory(void *arg)
{
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	(void)arg;
	if (!p)
		return 1;
	memset(p, 7, SIZE);
	if (protect(p, P, PAGE_READONLY) || probe_write(p, 1).signo != SIGSEGV)
		return 2;
	return release(p) == STATUS_SUCCESS ? 0 : 3;
}

static int is_shut_out(void *arg)
{
	NTSTATUS status = do_alloc(ME, 0, 0, G, MEM_RESERVE, PAGE_READWRITE).status;

	(void)arg;
	if (open(DEVICE, O_RDWR) >= 0 || errno != EACCES)
		return 1;
	if (open(DEVICE, O_RDONLY) >= 0 || errno != EACCES)
		return 2;
	return status == STATUS_ACCESS_DENIED ? 0 : 3;
}

TEST(the_node_is_for_everybody)
{
	char numbers[32] = "";
	unsigned int major_number, minor_number;
	struct stat st;
	int fields;

	/* As the kernel made it: nothing in the guest has touched it. */
	ASSERT_EQ(0, stat(DEVICE, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0666, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
	ASSERT_LT(0, read_file("/sys/class/misc/ntvm/dev", numbers, sizeof(numbers)));
	fields = sscanf(numbers, "%u:%u", &major_number, &minor_number);
	ASSERT_EQ(2, fields);
	EXPECT_EQ(makedev(major_number, minor_number), st.st_rdev);
	EXPECT_EQ(0, play(NOBODY, uses_nt_memory, NULL));
}

FIXTURE(node) {
	mode_t mode;
};

FIXTURE_SETUP(node)
{
	struct stat st;

	ASSERT_EQ(0, stat(DEVICE, &st));
	self->mode = st.st_mode & 07777;
}

FIXTURE_TEARDOWN_PARENT(node)
{
	chmod(DEVICE, self->mode);
	chown(DEVICE, 0, 0);
}

static int in_the_group(void *arg)
{
	(void)arg;
	return is_shut_out(NULL) == 0 ? 50 : uses_nt_memory(NULL);
}

/* What the rule for a group makes of it. */
TEST_F(node, a_stricter_mode_shuts_out_all_but_the_group)
{
	ASSERT_EQ(0, chmod(DEVICE, 0660));
	ASSERT_EQ(0, chown(DEVICE, 0, ANOTHER));
	EXPECT_EQ(0, play(NOBODY, is_shut_out, NULL));
	EXPECT_EQ(0, play(ANOTHER, in_the_group, NULL));
}

/* --- weak handles --------------------------------------------------------------------- */

#define READ_RIGHTS	(NTVM_ACCESS_VM_READ | NTVM_ACCESS_QUERY | NTVM_ACCESS_QUERY_LIMITED)

static ULONG rights_of(int fd)
{
	return info_of(LibntFdToHandle(fd)).GrantedAccess;
}

/* All that a handle may not do if it can only look. Returns the number of a failure. */
static int only_looks(HANDLE h, uint8_t *p)
{
	struct ntvm_limits limits = { .size = sizeof(limits), .handle = LibntHandleToFd(h),
				      .op = NTVM_LIMITS_SET, .limit = GIB };
	uint8_t byte = 0x77, seen = 0;
	int fd = own_device();
	HANDLE more = NULL;
	SIZE_T n = 9;

	if (do_query(h, (uintptr_t)p).mbi.State != MEM_COMMIT)
		return 1;
	if (NtReadVirtualMemory(h, p, &seen, 1, &n) || n != 1)
		return 2;
	if (NtWriteVirtualMemory(h, p, &byte, 1, &n) != STATUS_ACCESS_DENIED)
		return 3;
	if (do_alloc(h, 0, 0, G, MEM_RESERVE, PAGE_READWRITE).status != STATUS_ACCESS_DENIED ||
	    do_protect(h, (uintptr_t)p, P, PAGE_READONLY).status != STATUS_ACCESS_DENIED ||
	    do_free(h, (uintptr_t)p, 0, MEM_RELEASE).status != STATUS_ACCESS_DENIED)
		return 4;
	if (LibntSetContract(h, LIBNT_CONTRACT_WINDOWS) != STATUS_ACCESS_DENIED)
		return 5;
	if (raw(fd, NTVM_IOC_LIMITS, &limits) ||
	    (NTSTATUS)limits.status != STATUS_ACCESS_DENIED)
		return 6;
	close(fd);
	if (raw_duplicate(h, NTVM_ACCESS_ALL, &more) != STATUS_ACCESS_DENIED ||
	    raw_duplicate(h, NTVM_ACCESS_VM_WRITE, &more) != STATUS_ACCESS_DENIED)
		return 7;
	return 0;
}

TEST(opened_for_reading_it_only_looks)
{
	struct ntvm_allocate a = { .size = sizeof(a), .handle = NTVM_CURRENT_PROCESS,
				   .len = G, .type = MEM_RESERVE, .protect = PAGE_READWRITE };
	int read_only = open(DEVICE, O_RDONLY | O_CLOEXEC);
	int write_only = open(DEVICE, O_WRONLY | O_CLOEXEC);
	int neither = open(DEVICE, O_ACCMODE | O_CLOEXEC);
	uint8_t *p = reserve_commit(SIZE, PAGE_READWRITE);

	ASSERT_NE(NULL, p);
	ASSERT_LE(0, read_only);
	ASSERT_LE(0, write_only);
	EXPECT_EQ(READ_RIGHTS, rights_of(read_only));
	EXPECT_EQ(NTVM_ACCESS_ALL, rights_of(write_only));
	EXPECT_EQ(0, only_looks(LibntFdToHandle(read_only), p));
	/* As the file that a request is made on, too. */
	EXPECT_EQ(0, raw(read_only, NTVM_IOC_ALLOCATE, &a));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, (NTSTATUS)a.status);
	/* Access mode 3 of old asks for both rights and gets neither. */
	if (neither >= 0) {
		EXPECT_EQ(READ_RIGHTS, rights_of(neither));
		EXPECT_EQ(0, only_looks(LibntFdToHandle(neither), p));
	}
	/* It stays what it was opened as. */
	EXPECT_EQ(0, fcntl(read_only, F_SETFL, O_RDWR));
	EXPECT_EQ(READ_RIGHTS, rights_of(read_only));
}

TEST(a_path_is_no_handle)
{
	struct ntvm_info info = { .size = sizeof(info), .handle = NTVM_CURRENT_PROCESS };
	int fd = open(DEVICE, O_PATH | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, raw(fd, NTVM_IOC_GET_INFO, &info));
	EXPECT_STATUS(STATUS_INVALID_HANDLE, do_query(LibntFdToHandle(fd), FIXED).status);
}

/* Has a handle to its parent, and would like to have a better one. */
static int opens_it_again(void *arg)
{
	int fd = *(int *)arg, flags[] = { O_RDWR, O_WRONLY, O_RDONLY };
	uint64_t theirs = info_of(LibntFdToHandle(fd)).ReservedBytes;
	char path[64];
	size_t i;
	int again;

	if (theirs != SIZE)
		return 1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		again = open(path, flags[i]);
		/* Of an inode that has no name it is none at all. */
		if (again < 0)
			continue;
		if (info_of(LibntFdToHandle(again)).Regions)
			return 2;
		close(again);
	}
	return 0;
}

TEST(a_weak_handle_cannot_be_opened_anew_as_a_strong_one)
{
	int fd = open(DEVICE, O_RDONLY);
	HANDLE weak = NULL;

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, reserve(SIZE));
	EXPECT_EQ(0, play(0, opens_it_again, &fd));
	EXPECT_EQ(0, play(NOBODY, opens_it_again, &fd));
	ASSERT_STATUS(STATUS_SUCCESS, raw_duplicate(ME, NTVM_ACCESS_QUERY, &weak));
	fd = LibntHandleToFd(weak);
	EXPECT_EQ(0, play(0, opens_it_again, &fd));
	EXPECT_EQ(0, play(NOBODY, opens_it_again, &fd));
}

/* --- Yama and its like: who gets a handle ---------------------------------------------- */

#define SCOPE	"/proc/sys/kernel/yama/ptrace_scope"

FIXTURE(stranger) {
	int64_t scope;
};

FIXTURE_SETUP(stranger)
{
	self->scope = read_number(SCOPE);
}

FIXTURE_TEARDOWN_PARENT(stranger)
{
	if (self->scope >= 0)
		put_number(SCOPE, self->scope);
}

/* Tries to get a handle to a process by every way there is. How many worked? */
static int steals(void *arg)
{
	OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes) };
	CLIENT_ID id = { .UniqueProcess = (HANDLE)(uintptr_t)*(pid_t *)arg };
	int pidfd = (int)syscall(SYS_pidfd_open, *(pid_t *)arg, 0);
	int fd, found = 0;
	HANDLE h = NULL;

	if (pidfd < 0)
		return 90;
	for (fd = 0; fd < 64; fd++) {
		int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

		if (copy < 0 && errno != EPERM && errno != EBADF)
			return 91;
		if (copy >= 0 && info_of(LibntFdToHandle(copy)).Regions)
			found++;
		if (copy >= 0)
			close(copy);
	}
	if (!NtOpenProcess(&h, NTVM_ACCESS_ALL, &attributes, &id))
		found++;
	return found;
}

/* By both ways. */
static bool stolen(int found)
{
	return found >= 2 && found < 90;
}

/* Sees what a process has, in /proc. */
static int peeps(void *arg)
{
	char path[64], text[1024];
	int fd, seen = 0;

	for (fd = 0; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", *(pid_t *)arg, fd);
		if (read_file(path, text, sizeof(text)) > 0 && strstr(text, "ntvm-"))
			seen++;
	}
	return seen;
}

TEST_F(stranger, of_another_user_gets_no_handle_and_sees_nothing)
{
	struct victim v = { .uid = NOBODY };

	ASSERT_TRUE(victim_start(&v));
	EXPECT_EQ(0, play(ANOTHER, steals, &v.child.pid));
	EXPECT_EQ(0, play(ANOTHER, peeps, &v.child.pid));
	/* Root does, which shows that the attempts are real. */
	EXPECT_TRUE(stolen(play(0, steals, &v.child.pid)));
	EXPECT_LE(1, play(0, peeps, &v.child.pid));
	EXPECT_EQ(0, victim_end(&v));
}

TEST_F(stranger, of_the_same_user_gets_one_only_as_Yama_lets_it)
{
	struct victim v = { .uid = NOBODY };
	pid_t *pid = &v.child.pid;

	if (self->scope < 0)
		SKIP(return, "this kernel has no Yama");
	ASSERT_TRUE(victim_start(&v));
	ASSERT_EQ(0, write_file(SCOPE, "0"));
	EXPECT_TRUE(stolen(play(NOBODY, steals, pid)));
	ASSERT_EQ(0, write_file(SCOPE, "1"));
	EXPECT_EQ(0, play(NOBODY, steals, pid));
	/* Who was invited. */
	EXPECT_EQ(0, victim_does(&v, ORDER_TRACER | (uint64_t)getpid() << 8));
	EXPECT_TRUE(stolen(play(NOBODY, steals, pid)));
	/* Only for who has CAP_SYS_PTRACE. */
	ASSERT_EQ(0, write_file(SCOPE, "2"));
	EXPECT_EQ(0, play(NOBODY, steals, pid));
	EXPECT_TRUE(stolen(play(0, steals, pid)));
	EXPECT_EQ(0, victim_end(&v));
}

TEST(a_process_that_hides_itself_is_not_found)
{
	struct victim v = { .uid = NOBODY, .hidden = true };

	ASSERT_TRUE(victim_start(&v));
	EXPECT_EQ(0, play(NOBODY, steals, &v.child.pid));
	EXPECT_EQ(0, play(NOBODY, peeps, &v.child.pid));
	EXPECT_TRUE(stolen(play(0, steals, &v.child.pid)));
	EXPECT_EQ(0, victim_end(&v));
}

/* --- namespaces, groups, filters --------------------------------------------------------- */

static bool map_root(uid_t uid)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u 1", uid);
	return !write_file("/proc/self/setgroups", "deny") &&
	       !write_file("/proc/self/uid_map", map) && !write_file("/proc/self/gid_map", map);
}

static int root_of_its_own(void *arg)
{
	struct rlimit none = { 0, 0 };
	PVOID base;
	SIZE_T size = P;

	(void)arg;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) || !map_root(NOBODY) || getuid())
		return 1;
	if (uses_nt_memory(NULL))
		return 2;
	base = reserve_commit(P, PAGE_READWRITE);
	if (!base)
		return 3;
	/* Capabilities in there are none out here. */
	if (NtLockVirtualMemory(ME, &base, &size, MAP_SYSTEM) != STATUS_PRIVILEGE_NOT_HELD)
		return 4;
	if (setrlimit(RLIMIT_MEMLOCK, &none) ||
	    NtLockVirtualMemory(ME, &base, &size, MAP_PROCESS) != STATUS_WORKING_SET_QUOTA)
		return 5;
	/* A node of its own: neither made, nor of use if somebody else made it. */
	if (!mknod("/tmp/ntvm-own-node", S_IFCHR | 0666, *(dev_t *)arg))
		return 6;
	/* Root's process is none of its business, though both are 0. */
	return steals(&(pid_t){ getppid() });
}

TEST(root_in_a_user_namespace_is_nobody_outside)
{
	struct stat st;

	ASSERT_EQ(0, stat(DEVICE, &st));
	ASSERT_NE(NULL, reserve(SIZE));
	put_number("/proc/sys/kernel/unprivileged_userns_clone", 1);
	EXPECT_EQ(0, play(NOBODY, root_of_its_own, &st.st_rdev));
	EXPECT_NE(0, unlink("/tmp/ntvm-own-node"));
}

/* Process 1 of a container, with a handle to somebody outside. */
static int contained(void *arg)
{
	char path[64], text[1024];
	int fd = *(int *)arg;

	if (getpid() != 1 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL))
		return 1;
	if (uses_nt_memory(NULL))
		return 2;
	/* There is no number in here for who is outside. */
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (read_file(path, text, sizeof(text)) <= 0 || !strstr(text, "ntvm-pid:\t0\n"))
		return 3;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", own_device());
	if (read_file(path, text, sizeof(text)) <= 0 || !strstr(text, "ntvm-pid:\t1\n"))
		return 4;
	/* What it was given it has. */
	return info_of(LibntFdToHandle(fd)).Regions == 1 ? 0 : 5;
}

static int contains(void *arg)
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS))
		return 99;
	return play(0, contained, arg);
}

TEST(a_container_has_what_it_was_given_and_no_number_for_it)
{
	int fd = device_open(O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, reserve(SIZE));
	EXPECT_EQ(0, play(0, contains, &fd));
}

static int bpf(int cmd, union bpf_attr *attr, size_t size)
{
	return (int)syscall(SYS_bpf, cmd, attr, size);
}

static int bpf_load(const struct bpf_insn *insns, size_t nr, unsigned int type,
		    unsigned int attach, unsigned int btf_id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (unsigned int)nr;
	attr.license = (uintptr_t)"GPL";
	attr.attach_btf_id = btf_id;
	return bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
}

#define INSN(_code, _dst, _src, _off, _imm)	((struct bpf_insn) {	\
	.code = (_code), .dst_reg = (_dst), .src_reg = (_src), .off = (_off), .imm = (_imm) })

FIXTURE(group) {
	char root[64];
	char dir[96];
	bool mounted;
};

FIXTURE_SETUP(group)
{
	char path[128];

	strcpy(self->root, "/sys/fs/cgroup");
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK)) {
		strcpy(self->root, "/tmp/ntvm-cgroup");
		mkdir(self->root, 0755);
		ASSERT_EQ(0, mount("none", self->root, "cgroup2", 0, NULL));
		self->mounted = true;
	}
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", self->root);
	write_file(path, "+memory");
	snprintf(self->dir, sizeof(self->dir), "%s/ntvm-access", self->root);
	ASSERT_TRUE(!mkdir(self->dir, 0755) || errno == EEXIST);
}

FIXTURE_TEARDOWN_PARENT(group)
{
	int i;

	for (i = 0; i < 100 && rmdir(self->dir) && errno == EBUSY; i++)
		sleep_ms(20);
	if (self->mounted)
		umount(self->root);
}

static int without_devices(void *arg)
{
	struct ntvm_info info = { .size = sizeof(info), .handle = NTVM_CURRENT_PROCESS };
	char path[128];
	int fd = open(DEVICE, O_RDWR);

	snprintf(path, sizeof(path), "%s/cgroup.procs", (char *)arg);
	if (fd < 0 || write_file(path, "0"))
		return 1;
	if (open(DEVICE, O_RDWR) >= 0 || errno != EPERM)
		return 2;
	if (open(DEVICE, O_RDONLY) >= 0 || errno != EPERM)
		return 3;
	if (do_alloc(ME, 0, 0, G, MEM_RESERVE, PAGE_READWRITE).status != STATUS_ACCESS_DENIED)
		return 4;
	/* It is judged when a device is opened; what was opened before stays. */
	return raw(fd, NTVM_IOC_GET_INFO, &info) || info.status ? 5 : 0;
}

/* What container managers do. */
TEST_F(group, one_that_forbids_devices_forbids_this_one)
{
	const struct bpf_insn deny[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr;
	int prog, dir;

	prog = bpf_load(deny, ARRAY_SIZE(deny), BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, 0);
	if (prog < 0)
		SKIP(return, "no programs for groups: %s", strerror(errno));
	dir = open(self->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, dir);
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (unsigned int)dir;
	attr.attach_bpf_fd = (unsigned int)prog;
	attr.attach_type = BPF_CGROUP_DEVICE;
	ASSERT_EQ(0, bpf(BPF_PROG_ATTACH, &attr, sizeof(attr)));
	EXPECT_EQ(0, play(0, without_devices, self->dir));
	EXPECT_EQ(0, play(0, uses_nt_memory, NULL));
}

/* The memory that the module needs for a process is its group's, whoever asks. */
TEST_F(group, pays_for_what_others_reserve_in_its_processes)
{
	struct victim v = { .uid = NOBODY, .group = self->dir };
	char path[128];
	int64_t before, after;
	int i, bad = 0;

	snprintf(path, sizeof(path), "%s/memory.current", self->dir);
	ASSERT_TRUE(victim_start(&v));
	before = read_number(path);
	ASSERT_LT(0, before);
	for (i = 0; i < 4000; i++)
		bad += do_alloc(v.h, 0, 0, G, MEM_RESERVE, PAGE_READWRITE).status != 0;
	EXPECT_EQ(0, bad);
	after = read_number(path);
	/* An extent and a VMA are some 500 bytes together. */
	EXPECT_LE((int64_t)MIB, after - before) {
		TH_LOG("%lld bytes are charged for 4000 regions", (long long)(after - before));
	}
	EXPECT_EQ(0, victim_end(&v));
}

#define FILTER(code, k, jt, jf)	((struct sock_filter) { (code), (jt), (jf), (k) })

/* The filter of docs/security.md: no request of the device. */
static int filtered(void *arg)
{
	struct sock_filter filter[] = {
		FILTER(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0),
		FILTER(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
		FILTER(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]), 0, 0),
		FILTER(BPF_ALU | BPF_AND | BPF_K, 0xffffff80, 0, 0),
		FILTER(BPF_JMP | BPF_JEQ | BPF_K, NTVM_IOC_GET_INFO & 0xffffff80, 0, 1),
		FILTER(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0),
		FILTER(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0),
	};
	struct sock_fprog prog = { ARRAY_SIZE(filter), filter };
	uint8_t *p = reserve_commit(P, PAGE_READWRITE);
	int fd = own_device(), n = 0;
	unsigned long nr;
	char request[4096] = { 0 };

	(void)arg;
	if (!p || fd < 0)
		return 1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 2;
	for (nr = NTVM_IOC_GET_INFO; nr <= NTVM_IOC_JOB; nr++)
		if (raw(fd, nr, request) != -EPERM)
			return 3;
	if (protect(p, P, PAGE_EXECUTE_READ) != STATUS_ACCESS_DENIED)
		return 4;
	/* Others work, and what is there stays. */
	if (ioctl(*(int *)arg, FIONREAD, &n))
		return 5;
	return probe_write(p, 1).signo ? 6 : 0;
}

TEST(a_filter_of_system_calls_can_refuse_all_requests)
{
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(0, play(NOBODY, filtered, &pipes[0]));
}

/* --- what is not allowed to a process itself --------------------------------------------- */

FIXTURE(settings) {
	int64_t low;
	int64_t mode;
	int64_t kbytes;
	int64_t ratio;
	int64_t user_reserve;
	int64_t admin_reserve;
};

FIXTURE_SETUP(settings)
{
	self->low = read_number("/proc/sys/vm/mmap_min_addr");
	self->mode = read_number("/proc/sys/vm/overcommit_memory");
	self->kbytes = read_number("/proc/sys/vm/overcommit_kbytes");
	self->ratio = read_number("/proc/sys/vm/overcommit_ratio");
	self->user_reserve = read_number("/proc/sys/vm/user_reserve_kbytes");
	self->admin_reserve = read_number("/proc/sys/vm/admin_reserve_kbytes");
	ASSERT_LE(0, self->low);
	ASSERT_LE(0, self->admin_reserve);
}

/* In the parent: whatever becomes of the test, the guest goes on. */
FIXTURE_TEARDOWN_PARENT(settings)
{
	put_number("/proc/sys/vm/mmap_min_addr", self->low);
	put_number("/proc/sys/vm/overcommit_memory", self->mode);
	put_number("/proc/sys/vm/user_reserve_kbytes", self->user_reserve);
	put_number("/proc/sys/vm/admin_reserve_kbytes", self->admin_reserve);
	if (self->kbytes)
		put_number("/proc/sys/vm/overcommit_kbytes", self->kbytes);
	else
		put_number("/proc/sys/vm/overcommit_ratio", self->ratio);
}

static int asks_for_low(void *arg)
{
	HANDLE h = *(HANDLE *)arg;

	return do_alloc(h, LOW, 0, P, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).status ==
	       STATUS_ACCESS_DENIED ? 0 : 1;
}

TEST_F(settings, low_addresses_are_not_to_be_had_by_a_friend_either)
{
	struct victim v = { .uid = NOBODY };

	ASSERT_TRUE(victim_start(&v));
	put_number("/proc/sys/vm/mmap_min_addr", MIB);
	EXPECT_DOES(STATUS_ACCESS_DENIED, &v, ORDER_LOW);
	EXPECT_EQ(0, play(NOBODY, asks_for_low, &v.h));
	EXPECT_EQ(0, play(0, asks_for_low, &v.h));
	/* And where it is allowed it is. */
	put_number("/proc/sys/vm/mmap_min_addr", self->low);
	EXPECT_STATUS(STATUS_SUCCESS, do_alloc(v.h, LOW, 0, P, MEM_RESERVE | MEM_COMMIT,
					       PAGE_READWRITE).status);
	EXPECT_EQ(0, victim_end(&v));
}

/* Nothing for others, 512 MiB for root. */
static void keep_all_for_root(void)
{
	int64_t swap = meminfo("SwapTotal");
	int64_t room = (meminfo("Committed_AS") + 512 * MIB - swap) / (int64_t)KIB;

	put_number("/proc/sys/vm/user_reserve_kbytes", 0);
	put_number("/proc/sys/vm/admin_reserve_kbytes", 512 * KIB + 64 * KIB);
	put_number("/proc/sys/vm/overcommit_kbytes", room);
	write_file("/proc/sys/vm/overcommit_memory", "2");
}

static int commits_there(void *arg)
{
	HANDLE h = *(HANDLE *)arg;

	return do_alloc(h, 0, 0, 64 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).status ==
	       STATUS_COMMITMENT_LIMIT ? 0 : 1;
}

TEST_F(settings, what_is_kept_for_root_is_not_to_be_had_otherwise)
{
	struct victim v = { .uid = NOBODY }, rich = { .uid = 0 };
	struct child c;
	struct role asks = { NOBODY, commits_there, &v.h };

	ASSERT_TRUE(victim_start(&v));
	ASSERT_TRUE(victim_start(&rich));
	/* Let what was charged ahead go back. */
	sleep_ms(300 * slow());
	keep_all_for_root();
	EXPECT_DOES(STATUS_COMMITMENT_LIMIT, &v, ORDER_COMMIT);
	/* With a limit of file sizes the charge is made by a work item. */
	EXPECT_EQ(0, victim_does(&v, ORDER_FILE_LIMIT));
	EXPECT_DOES(STATUS_COMMITMENT_LIMIT, &v, ORDER_COMMIT);
	EXPECT_STATUS(STATUS_COMMITMENT_LIMIT,
		      do_alloc(v.h, 0, 0, 64 * MIB, MEM_RESERVE | MEM_COMMIT,
			       PAGE_READWRITE).status);
	/* A stack that grows is charged by one as well. */
	EXPECT_EQ(SIGSEGV, victim_does(&v, ORDER_STACK));
	/* Root can have it, in all these ways. */
	EXPECT_DOES(STATUS_SUCCESS, &rich, ORDER_COMMIT);
	EXPECT_EQ(0, victim_does(&rich, ORDER_FILE_LIMIT));
	EXPECT_DOES(STATUS_SUCCESS, &rich, ORDER_COMMIT);
	EXPECT_STATUS(STATUS_SUCCESS,
		      do_alloc(rich.h, 0, 0, 64 * MIB, MEM_RESERVE | MEM_COMMIT,
			       PAGE_READWRITE).status);
	EXPECT_EQ(0, victim_does(&rich, ORDER_STACK));
	if (child_start(&c, role_child, &asks))
		EXPECT_EQ(0, child_wait(&c));
	write_file("/proc/sys/vm/overcommit_memory", "0");
	EXPECT_EQ(0, victim_end(&v));
	EXPECT_EQ(0, victim_end(&rich));
}

/* --- security modules ------------------------------------------------------------------------ */

/* The number of a function in the kernel's own description of its types. */
static unsigned int btf_function(const char *name)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	const struct btf_header *header;
	const struct btf_type *type;
	unsigned int id, extra, found = 0;
	const char *at, *end, *names;
	size_t room = 64 * MIB, got = 0;
	char *data = malloc(room);
	ssize_t n;

	while (fd >= 0 && data && (n = read(fd, data + got, room - got)) > 0)
		got += (size_t)n;
	if (fd >= 0)
		close(fd);
	if (got < sizeof(*header))
		goto out;
	header = (const struct btf_header *)data;
	at = data + header->hdr_len + header->type_off;
	end = at + header->type_len;
	names = data + header->hdr_len + header->str_off;
	for (id = 1; at < end && !found; id++) {
		type = (const struct btf_type *)at;
		extra = 0;
		switch (BTF_INFO_KIND(type->info)) {
		case BTF_KIND_FUNC:
			if (!strcmp(names + type->name_off, name))
				found = id;
			break;
		case BTF_KIND_INT:
			extra = 4;
			break;
		case BTF_KIND_ARRAY:
			extra = sizeof(struct btf_array);
			break;
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
			extra = BTF_INFO_VLEN(type->info) * sizeof(struct btf_member);
			break;
		case BTF_KIND_ENUM:
			extra = BTF_INFO_VLEN(type->info) * sizeof(struct btf_enum);
			break;
		case BTF_KIND_FUNC_PROTO:
			extra = BTF_INFO_VLEN(type->info) * sizeof(struct btf_param);
			break;
		case BTF_KIND_VAR:
			extra = sizeof(struct btf_var);
			break;
		case BTF_KIND_DATASEC:
			extra = BTF_INFO_VLEN(type->info) * sizeof(struct btf_var_secinfo);
			break;
		case 17:	/* BTF_KIND_DECL_TAG */
			extra = 4;
			break;
		case 19:	/* BTF_KIND_ENUM64 */
			extra = BTF_INFO_VLEN(type->info) * 12;
			break;
		}
		at += sizeof(*type) + extra;
	}
out:
	free(data);
	return found;
}

/*
 * A security module of our own: who has the uid NOBODY maps nothing executable.
 * A descriptor, or -1 with the reason in errno.
 */
static int forbid_execution(void)
{
	const struct bpf_insn insns[] = {
		/* mmap_file(file, reqprot, prot, flags) */
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_6, BPF_REG_1, 16, 0),
		INSN(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_6, 0, 0, PROT_EXEC),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_6, 0, 6, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_uid_gid),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_0, 0, 0, 32),
		INSN(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_0, 0, 0, 32),
		INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, 2, NOBODY),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -EACCES),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	unsigned int id = btf_function("bpf_lsm_mmap_file");
	union bpf_attr attr;
	int prog;

	if (!id) {
		errno = ENOSYS;
		return -1;
	}
	prog = bpf_load(insns, ARRAY_SIZE(insns), BPF_PROG_TYPE_LSM, BPF_LSM_MAC, id);
	if (prog < 0)
		return -1;
	memset(&attr, 0, sizeof(attr));
	attr.raw_tracepoint.prog_fd = (unsigned int)prog;
	return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr));
}

/* Is a module of that kind among those of this kernel? */
static bool has_bpf_module(void)
{
	char list[256] = "";

	mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	return read_file("/sys/kernel/security/lsm", list, sizeof(list) - 1) > 0 &&
	       strstr(list, "bpf");
}

static NTSTATUS vector_protect(HANDLE h, uintptr_t at, ULONG protect)
{
	struct ntvm_vector_entry e = { .op = NTVM_VECTOR_PROTECT, .base = at, .len = P,
				       .protect = protect };
	struct ntvm_vector v = { .size = sizeof(v), .handle = LibntHandleToFd(h),
				 .entries = (uintptr_t)&e, .count = 1 };
	int fd = device_open(O_RDWR);
	int err = raw(fd, NTVM_IOC_VECTOR, &v);

	close(fd);
	return err ? (NTSTATUS)err : v.status ? (NTSTATUS)v.status : (NTSTATUS)e.status;
}

/* Every way to have an executable page in another process. How many were refused? */
static int executes_there(void *arg)
{
	HANDLE h = *(HANDLE *)arg;
	const NTSTATUS no = STATUS_ACCESS_DENIED;
	const ULONG new = MEM_RESERVE | MEM_COMMIT;

	return (do_protect(h, FIXED, P, PAGE_EXECUTE_READ).status == no) +
	       (do_protect(h, FIXED, P, PAGE_EXECUTE).status == no) +
	       (do_protect(h, FIXED, P, PAGE_EXECUTE_READWRITE).status == no) +
	       (do_alloc(h, FIXED, 0, P, MEM_COMMIT, PAGE_EXECUTE_READ).status == no) +
	       (do_alloc(h, FIXED, 0, P, MEM_COMMIT, PAGE_EXECUTE_READWRITE).status == no) +
	       (do_alloc(h, 0, 0, P, new, PAGE_EXECUTE_READWRITE).status == no) +
	       (vector_protect(h, FIXED, PAGE_EXECUTE_READ) == no) +
	       (vector_protect(h, FIXED, PAGE_EXECUTE_READWRITE) == no);
}
#define WAYS	8

TEST(a_security_module_judges_requests_of_others_as_the_processs_own)
{
	struct victim v = { .uid = NOBODY }, free = { .uid = ANOTHER };
	int lsm;

	if (!has_bpf_module())
		SKIP(return, "this kernel has no security module that can be programmed");
	ASSERT_TRUE(victim_start(&v));
	ASSERT_TRUE(victim_start(&free));
	EXPECT_EQ(0, play(0, executes_there, &free.h));
	lsm = forbid_execution();
	ASSERT_LE(0, lsm) {
		TH_LOG("%s", strerror(errno));
	}
	EXPECT_DOES(STATUS_ACCESS_DENIED, &v, ORDER_EXECUTE);
	EXPECT_DOES(STATUS_ACCESS_DENIED, &v, ORDER_EXECUTE_WRITE);
	EXPECT_DOES(STATUS_ACCESS_DENIED, &v, ORDER_ALLOCATE_EXECUTE);
	/* Who is not forbidden anything asks for it. */
	EXPECT_EQ(WAYS, play(0, executes_there, &v.h));
	EXPECT_EQ(WAYS, play(ANOTHER, executes_there, &v.h));
	EXPECT_STATUS(STATUS_ACCESS_DENIED, do_alloc(v.h, 0, 0, P, MEM_RESERVE | MEM_COMMIT,
						     PAGE_EXECUTE_READ).status);
	EXPECT_QUERY_H(v.h, FIXED, FIXED, PAGE_READWRITE, P, MEM_COMMIT, PAGE_READWRITE);
	/* Others go on. */
	EXPECT_EQ(0, play(0, executes_there, &free.h));
	close(lsm);
	EXPECT_DOES(STATUS_SUCCESS, &v, ORDER_EXECUTE);
	EXPECT_EQ(0, victim_end(&v));
	EXPECT_EQ(0, victim_end(&free));
}

/* --- memory that is written and executed ------------------------------------------------------ */

/* What the kernel answers to a write through /proc/PID/mem. */
static bool mem_writes(pid_t pid, const void *p)
{
	char path[32];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	done = pwrite(fd, "zzzz", 4, (off_t)(uintptr_t)p) == 4;
	close(fd);
	return done;
}

struct written {
	pid_t pid;
	const void *p;
};

static int traces_and_writes(void *arg)
{
	struct written *w = arg;

	if (ptrace(PTRACE_SEIZE, w->pid, NULL, NULL))
		return 50;
	return mem_writes(w->pid, w->p) ? 1 : 0;
}

TEST(proc_mem_overrides_a_protection_no_more_than_it_does_elsewhere)
{
	uint8_t *plain = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *p = reserve_commit(3 * P, PAGE_READWRITE);
	bool allowed;
	int i;

	ASSERT_NE(MAP_FAILED, plain);
	ASSERT_NE(NULL, p);
	ASSERT_STATUS(STATUS_SUCCESS, protect(p, P, PAGE_READONLY));
	ASSERT_STATUS(STATUS_SUCCESS, protect(p + P, P, PAGE_EXECUTE_READ));
	allowed = mem_writes(getpid(), plain);
	TH_LOG("this kernel %s it", allowed ? "allows" : "refuses");
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(allowed, mem_writes(getpid(), p + i * P));
		EXPECT_READ(p + i * P, allowed ? 'z' : 0);
	}
	EXPECT_TRUE(mem_writes(getpid(), p + 2 * P));
	/* A debugger sets breakpoints. */
	ASSERT_EQ(0, prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0) && errno != EINVAL);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(1, play(0, traces_and_writes,
				  &(struct written){ getpid(), p + i * P }));
	EXPECT_READ(p, 'z');
}

static int no_mdwe(void *arg)
{
	(void)arg;
	return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) && errno == EINVAL;
}

/* What is written does not become executable, by no way and in no order. */
static int attacks_itself(void *arg)
{
	uint8_t *left = reserve_commit(4 * P, PAGE_EXECUTE_READWRITE), *p, *q;
	const NTSTATUS no = STATUS_ACCESS_DENIED;
	const ULONG new = MEM_RESERVE | MEM_COMMIT;
	ULONG kinds[] = { PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
			  PAGE_EXECUTE_READ | PAGE_GUARD, PAGE_EXECUTE_READWRITE | PAGE_GUARD };
	uint8_t code[16];
	SIZE_T n = 0;
	size_t i;

	(void)arg;
	if (!left || decommit(left + P, P))
		return 1;
	put_code(left, 7);
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		return 2;

	/* Written first. */
	p = reserve(8 * P);
	if (!p || commit(p, 2 * P, PAGE_READWRITE))
		return 3;
	put_code(p, 0x99);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (protect(p, P, kinds[i]) != no ||
		    vector_protect(ME, (uintptr_t)p, kinds[i]) != no)
			return 10;
		if (commit(p, P, kinds[i]) != no)	/* over what is committed */
			return 11;
		if (commit(p, 4 * P, kinds[i]) != no || page_state(p + 2 * P) != MEM_RESERVE)
			return 12;
		if (page_protect(p) != PAGE_READWRITE || !probe_exec(p).signo)
			return 13;
	}
	/* By way of others that are not executable. */
	if (protect(p, P, PAGE_READONLY) || protect(p, P, PAGE_EXECUTE_READ) != no ||
	    protect(p, P, PAGE_NOACCESS) || protect(p, P, PAGE_EXECUTE) != no ||
	    protect(p, P, PAGE_READWRITE))
		return 14;
	if (!probe_exec(p).signo)
		return 15;

	/* Both at once. */
	if (do_alloc(ME, 0, 0, P, new, PAGE_EXECUTE_READWRITE).status != no ||
	    commit(p + 4 * P, P, PAGE_EXECUTE_READWRITE) != no ||
	    page_state(p + 4 * P) != MEM_RESERVE)
		return 20;

	/* Executable first: then it is empty, and cannot be written and come back. */
	q = p + 5 * P;
	if (commit(q, P, PAGE_EXECUTE_READ) || probe_read(q).value || !probe_write(q, 1).signo)
		return 30;
	if (NtWriteVirtualMemory(ME, q, code, sizeof(code), &n) != STATUS_PARTIAL_COPY || n)
		return 31;
	if (mem_writes(getpid(), q) || probe_read(q).value)
		return 32;
	if (protect(q, P, PAGE_EXECUTE) || protect(q, P, PAGE_EXECUTE_READ))
		return 33;
	if (protect(q, P, PAGE_EXECUTE_READWRITE) != no)
		return 34;
	if (protect(q, P, PAGE_READWRITE))
		return 35;
	put_code(q, 0x77);
	if (protect(q, P, PAGE_EXECUTE_READ) != no || !probe_exec(q).signo)
		return 36;
	/* What is given up and had again is empty. */
	if (decommit(q, P) || commit(q, P, PAGE_EXECUTE_READ) || probe_read(q).value)
		return 37;
	/* A range of which a part is executable already. */
	if (commit(q + P, P, PAGE_READWRITE) || protect(q, 2 * P, PAGE_EXECUTE_READ) != no)
		return 38;

	/* A mapping left from before, with a hole in it. */
	if (commit(left + P, P, PAGE_EXECUTE_READWRITE) != no)
		return 40;
	if (protect(left, P, PAGE_EXECUTE_READWRITE) != no)
		return 41;
	if (probe_exec(left).value != 7 || protect(left, P, PAGE_EXECUTE_READ) ||
	    probe_exec(left).value != 7)
		return 42;

	/* Large pages are brought in for writing. */
	if (NT_SUCCESS(do_alloc(ME, 0, 0, 2 * MIB, new | MEM_LARGE_PAGES,
				PAGE_EXECUTE_READ).status))
		return 50;
	/* And all the rest is as ever. */
	return uses_nt_memory(NULL);
}

TEST(what_was_written_is_not_executed)
{
	/* In a child, since it cannot be taken back. */
	struct victim v = { .uid = NOBODY, .mdwe = true };

	if (play(0, no_mdwe, NULL))
		SKIP(return, "this kernel has no PR_SET_MDWE");
	EXPECT_EQ(0, play(0, attacks_itself, NULL));
	EXPECT_EQ(0, play(NOBODY, attacks_itself, NULL));

	/* Nor with the help of somebody who may. */
	ASSERT_TRUE(victim_start(&v));
	EXPECT_DOES(STATUS_ACCESS_DENIED, &v, ORDER_EXECUTE);
	EXPECT_DOES(STATUS_ACCESS_DENIED, &v, ORDER_EXECUTE_WRITE);
	EXPECT_EQ(WAYS, play(0, executes_there, &v.h));
	EXPECT_EQ(WAYS, play(NOBODY, executes_there, &v.h));
	EXPECT_DOES(STATUS_SUCCESS, &v, ORDER_ALLOCATE_EXECUTE);
	EXPECT_EQ(0, victim_end(&v));

	/* Who has not asked for it has it as before. */
	v = (struct victim){ .uid = NOBODY };
	ASSERT_TRUE(victim_start(&v));
	EXPECT_EQ(0, play(NOBODY, executes_there, &v.h));
	EXPECT_EQ(0, victim_end(&v));
}

/* --- exec of a setuid program ----------------------------------------------------------- */

#define PROGRAM		"/tmp/ntvm-setuid"
#define SECRET		((uintptr_t)0x60000000)	/* where only the new program has something */

/* Shares the old address space, and only sleeps. */
static int stays_behind(void *arg)
{
	(void)arg;
	for (;;)
		syscall(SYS_pause);
	return 0;
}

static int becomes_root(int sock, void *arg)
{
	int keep = device_open(O_RDWR), inherited = fcntl(keep, F_DUPFD, 40);
	static uint8_t stack[65536] __attribute__((aligned(16)));
	bool *shared = arg;
	char number[16];
	pid_t other = 0;

	if (do_alloc(ME, FIXED, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).status)
		return 1;
	strcpy((char *)FIXED, "old");
	if (!send_fd(sock, keep))
		return 2;
	if (*shared)
		other = clone(stays_behind, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	child_tell(sock, (uint64_t)other);
	fcntl(sock, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", sock);
	setenv("NTVM_ACCESS_SOCK", number, 1);
	snprintf(number, sizeof(number), "%d", inherited);
	setenv("NTVM_ACCESS_KEEP", number, 1);
	execl(PROGRAM, "test_access", NULL);
	return 3;
}

/* The setuid program: has a secret, says where it is, and waits. */
static void __attribute__((constructor)) privileged(void)
{
	const char *sock_name = getenv("NTVM_ACCESS_SOCK"), *keep_name = getenv("NTVM_ACCESS_KEEP");
	struct ntvm_info info = { .size = sizeof(info), .handle = NTVM_CURRENT_PROCESS };
	uint64_t word;
	int sock;

	if (!sock_name || !keep_name)
		return;
	sock = atoi(sock_name);
	if (do_alloc(ME, SECRET, 0, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE).status)
		_exit(1);
	strcpy((char *)SECRET, "secret");
	child_tell(sock, geteuid());
	child_tell(sock, (uint64_t)-raw(atoi(keep_name), NTVM_IOC_GET_INFO, &info));
	child_hear(sock, &word);
	_exit(strcmp((char *)SECRET, "secret") ? 2 : 0);
}

/* The user who started the program, and has a handle from before. */
static int attacks_the_program(void *arg)
{
	bool shared = *(bool *)arg;
	uint64_t other, euid, err;
	uint8_t seen[8] = { 0 };
	struct iovec local = { seen, sizeof(seen) }, remote = { (void *)SECRET, sizeof(seen) };
	const NTSTATUS gone = STATUS_PROCESS_IS_TERMINATING;
	struct child c;
	SIZE_T n = 0;
	HANDLE h;
	int ret = 0;

	if (!child_start(&c, becomes_root, arg))
		return 1;
	h = LibntFdToHandle(recv_fd(c.sock));
	if (!child_hear(c.sock, &other) || !child_hear(c.sock, &euid) || !child_hear(c.sock, &err))
		return 2;
	if (euid != 0)
		ret = 3;
	/* The file that it inherited does not speak for it. */
	else if (err != ESTALE)
		ret = 4;
	else if (!NtReadVirtualMemory(h, (void *)SECRET, seen, 8, &n) || n || seen[0])
		ret = 5;
	else if (!NtWriteVirtualMemory(h, (void *)SECRET, "attack", 7, &n) || n)
		ret = 6;
	else if (!shared && (do_query(h, SECRET).status != gone ||
			     do_query(h, FIXED).status != gone ||
			     do_alloc(h, 0, 0, G, MEM_RESERVE, PAGE_READWRITE).status != gone ||
			     do_protect(h, SECRET, P, PAGE_NOACCESS).status != gone ||
			     do_free(h, SECRET, 0, MEM_RELEASE).status != gone))
		ret = 7;
	/* With a process that stayed in the old memory, it is that which it opens. */
	else if (shared && (do_query(h, SECRET).mbi.State != MEM_FREE ||
			    do_free(h, SECRET, 0, MEM_RELEASE).status == STATUS_SUCCESS ||
			    NtReadVirtualMemory(h, (void *)FIXED, seen, 4, &n) ||
			    strcmp((char *)seen, "old")))
		ret = 8;
	/* And not with the credentials of who has gone from there. */
	else if (shared && do_alloc(h, LOW, 0, P, MEM_RESERVE, PAGE_READWRITE).status !=
			   STATUS_ACCESS_DENIED)
		ret = 9;
	/* A new handle is not to be had. */
	else if (steals(&c.pid))
		ret = 10;
	else if (peeps(&c.pid))
		ret = 11;
	else if (process_vm_readv(c.pid, &local, 1, &remote, 1, 0) >= 0)
		ret = 12;
	if (other)
		kill((pid_t)other, SIGKILL);
	child_tell(c.sock, 0);
	if (child_wait(&c) && !ret)
		ret = 13;	/* the secret was touched */
	return ret;
}

TEST_F(settings, a_setuid_program_is_out_of_reach_of_handles_from_before)
{
	char buf[65536];
	bool shared;
	ssize_t n;
	int from, to;

	from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	to = open(PROGRAM, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	ASSERT_LE(0, from);
	ASSERT_LE(0, to);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		ASSERT_EQ(n, write(to, buf, (size_t)n));
	ASSERT_EQ(0, fchown(to, 0, 0));
	ASSERT_EQ(0, fchmod(to, 04755));
	close(from);
	close(to);
	put_number("/proc/sys/vm/mmap_min_addr", MIB);
	shared = false;
	EXPECT_EQ(0, play(NOBODY, attacks_the_program, &shared));
	shared = true;
	EXPECT_EQ(0, play(NOBODY, attacks_the_program, &shared));
	unlink(PROGRAM);
}

TEST_HARNESS_MAIN
