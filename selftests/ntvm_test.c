// SPDX-License-Identifier: GPL-2.0-only
/*
 * The helpers behind ntvm_test.h, kept out of the test files so that they are
 * compiled once and free of the harness.
 */
#include "ntvm_test.h"

#include <sys/swap.h>

#include <dirent.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* --- touching memory ------------------------------------------------------- */

static __thread sigjmp_buf probe_env;
static __thread volatile sig_atomic_t probing;
static __thread struct probe probe_seen;

static void probe_handler(int signo, siginfo_t *si, void *context)
{
	(void)context;
	if (!probing) {
		signal(signo, SIG_DFL);
		return;
	}
	probe_seen.signo = signo;
	probe_seen.code = si->si_code;
	probe_seen.addr = (uintptr_t)si->si_addr;
	siglongjmp(probe_env, 1);
}

void probe_init(void)
{
	static bool done;
	struct sigaction sa = {
		.sa_sigaction = probe_handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	if (__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		return;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
}

struct probe probe_read(const void *p)
{
	probe_init();
	memset(&probe_seen, 0, sizeof(probe_seen));
	if (!sigsetjmp(probe_env, 0)) {
		probing = 1;
		probe_seen.value = *(const volatile uint8_t *)p;
	}
	probing = 0;
	return probe_seen;
}

struct probe probe_write(void *p, uint8_t value)
{
	probe_init();
	memset(&probe_seen, 0, sizeof(probe_seen));
	if (!sigsetjmp(probe_env, 0)) {
		probing = 1;
		*(volatile uint8_t *)p = value;
		probe_seen.value = value;
	}
	probing = 0;
	return probe_seen;
}

struct probe probe_exec(const void *p)
{
	probe_init();
	memset(&probe_seen, 0, sizeof(probe_seen));
	if (!sigsetjmp(probe_env, 0)) {
		unsigned int (*fn)(void) = (unsigned int (*)(void))(uintptr_t)p;

		probing = 1;
		probe_seen.value = fn();
	}
	probing = 0;
	return probe_seen;
}

int probe_load(const void *p, uint64_t *word)
{
	probe_init();
	probe_seen.signo = 0;
	if (!sigsetjmp(probe_env, 0)) {
		probing = 1;
		*word = *(const volatile uint64_t *)p;
	}
	probing = 0;
	return probe_seen.signo;
}

int probe_store(void *p, uint64_t word)
{
	probe_init();
	probe_seen.signo = 0;
	if (!sigsetjmp(probe_env, 0)) {
		probing = 1;
		*(volatile uint64_t *)p = word;
	}
	probing = 0;
	return probe_seen.signo;
}

void put_code(void *p, uint32_t value)
{
	uint8_t code[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };	/* mov $value,%eax; ret */

	memcpy(code + 1, &value, sizeof(value));
	memcpy(p, code, sizeof(code));
}

/* --- calls ------------------------------------------------------------------- */

#define FENCE	0x5ca1ab1e5ca1ab1eull

struct outputs {
	uint64_t fence0;
	PVOID base;
	uint64_t fence1;
	SIZE_T size;
	uint64_t fence2;
	ULONG old;
	ULONG fence3;
};

static void outputs_set(struct outputs *o, uintptr_t base, size_t size)
{
	*o = (struct outputs){
		.fence0 = FENCE, .fence1 = FENCE, .fence2 = FENCE,
		.fence3 = (ULONG)FENCE,
		.base = (PVOID)base, .size = size, .old = OLD_POISON,
	};
}

static struct res outputs_get(const struct outputs *o, NTSTATUS status)
{
	return (struct res){
		.status = status,
		.base = (uintptr_t)o->base,
		.size = o->size,
		.old = o->old,
		.fenced = o->fence0 == FENCE && o->fence1 == FENCE &&
			  o->fence2 == FENCE && o->fence3 == (ULONG)FENCE,
	};
}

struct res do_alloc(HANDLE h, uintptr_t base, uintptr_t zero_bits, size_t size,
		    ULONG type, ULONG new_protect)
{
	struct outputs o;
	NTSTATUS status;

	outputs_set(&o, base, size);
	status = NtAllocateVirtualMemory(h, &o.base, zero_bits, &o.size, type, new_protect);
	return outputs_get(&o, status);
}

struct res do_alloc_ex(HANDLE h, uintptr_t base, size_t size, ULONG type, ULONG new_protect,
		       MEM_EXTENDED_PARAMETER *params, ULONG count)
{
	struct outputs o;
	NTSTATUS status;

	outputs_set(&o, base, size);
	status = NtAllocateVirtualMemoryEx(h, &o.base, &o.size, type, new_protect, params, count);
	return outputs_get(&o, status);
}

struct res do_free(HANDLE h, uintptr_t base, size_t size, ULONG type)
{
	struct outputs o;
	NTSTATUS status;

	outputs_set(&o, base, size);
	status = NtFreeVirtualMemory(h, &o.base, &o.size, type);
	return outputs_get(&o, status);
}

struct res do_protect(HANDLE h, uintptr_t base, size_t size, ULONG new_protect)
{
	struct outputs o;
	NTSTATUS status;

	outputs_set(&o, base, size);
	status = NtProtectVirtualMemory(h, &o.base, &o.size, new_protect, &o.old);
	return outputs_get(&o, status);
}

struct query do_query(HANDLE h, uintptr_t address)
{
	struct {
		uint64_t fence0;
		MEMORY_BASIC_INFORMATION mbi;
		uint64_t fence1;
		SIZE_T written;
		uint64_t fence2;
	} o;
	struct query q;

	memset(&o, 0xa5, sizeof(o));
	o.fence0 = FENCE;
	o.fence1 = FENCE;
	o.fence2 = FENCE;
	q.status = NtQueryVirtualMemory(h, (PVOID)address, MemoryBasicInformation,
					&o.mbi, sizeof(o.mbi), &o.written);
	q.mbi = o.mbi;
	q.written = o.written;
	q.fenced = o.fence0 == FENCE && o.fence1 == FENCE && o.fence2 == FENCE;
	return q;
}

void *reserve(size_t size)
{
	struct res r = do_alloc(ME, 0, 0, size, MEM_RESERVE, PAGE_READWRITE);

	return r.status == STATUS_SUCCESS ? (void *)r.base : NULL;
}

void *reserve_commit(size_t size, ULONG new_protect)
{
	struct res r = do_alloc(ME, 0, 0, size, MEM_RESERVE | MEM_COMMIT, new_protect);

	return r.status == STATUS_SUCCESS ? (void *)r.base : NULL;
}

NTSTATUS commit(void *p, size_t size, ULONG new_protect)
{
	return do_alloc(ME, (uintptr_t)p, 0, size, MEM_COMMIT, new_protect).status;
}

NTSTATUS decommit(void *p, size_t size)
{
	return do_free(ME, (uintptr_t)p, size, MEM_DECOMMIT).status;
}

NTSTATUS release(void *p)
{
	return do_free(ME, (uintptr_t)p, 0, MEM_RELEASE).status;
}

NTSTATUS protect(void *p, size_t size, ULONG new_protect)
{
	return do_protect(ME, (uintptr_t)p, size, new_protect).status;
}

ULONG page_protect(const void *p)
{
	struct query q = do_query(ME, (uintptr_t)p);

	if (q.status != STATUS_SUCCESS || q.mbi.State != MEM_COMMIT)
		return ~0u;
	return q.mbi.Protect;
}

ULONG page_state(const void *p)
{
	struct query q = do_query(ME, (uintptr_t)p);

	return q.status == STATUS_SUCCESS ? q.mbi.State : 0;
}

LIBNT_INFO info_of(HANDLE h)
{
	LIBNT_INFO info;

	memset(&info, 0xa5, sizeof(info));
	LibntGetInfo(h, &info);
	return info;
}

const char *status_name(NTSTATUS status)
{
	static const struct {
		NTSTATUS status;
		const char *name;
	} names[] = {
#define N(x) { STATUS_##x, #x }
		N(SUCCESS), N(UNSUCCESSFUL), N(DEVICE_BUSY), N(GUARD_PAGE_VIOLATION), N(INVALID_INFO_CLASS),
		N(INFO_LENGTH_MISMATCH), N(ACCESS_VIOLATION), N(INVALID_HANDLE),
		N(INVALID_CID), N(INVALID_PARAMETER), N(NO_SUCH_DEVICE), N(NO_MEMORY),
		N(CONFLICTING_ADDRESSES), N(UNABLE_TO_FREE_VM),
		N(UNABLE_TO_DELETE_SECTION), N(ALREADY_COMMITTED), N(ACCESS_DENIED),
		N(OBJECT_TYPE_MISMATCH), N(NOT_COMMITTED), N(INVALID_PAGE_PROTECTION),
		N(REVISION_MISMATCH), N(INSUFFICIENT_RESOURCES),
		N(FREE_VM_NOT_AT_BASE), N(MEMORY_NOT_ALLOCATED), N(NOT_SUPPORTED),
		N(INVALID_PARAMETER_1), N(INVALID_PARAMETER_2), N(INVALID_PARAMETER_3),
		N(INVALID_PARAMETER_4), N(INVALID_PARAMETER_5), N(INVALID_PARAMETER_6),
		N(PROCESS_IS_TERMINATING), N(COMMITMENT_LIMIT), N(NOT_FOUND),
#undef N
	};
	static char unknown[4][16];
	static unsigned int next;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].status == status)
			return names[i].name;
	i = next++ % 4;
	snprintf(unknown[i], sizeof(unknown[i]), "%#x", (unsigned int)status);
	return unknown[i];
}

static uint64_t hash_add(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *p = data;

	while (size--)
		hash = (hash ^ *p++) * 0x100000001b3ull;
	return hash;
}

struct snap snap_of(HANDLE h, uintptr_t from, uintptr_t to)
{
	LIBNT_INFO info = info_of(h);
	struct snap s = {
		.reserved = info.ReservedBytes,
		.committed = info.CommittedBytes,
		.regions = info.Regions,
		.contract = info.Contract,
		.hash = 0xcbf29ce484222325ull,
	};

	while (from < to) {
		struct query q = do_query(h, from);
		MEMORY_BASIC_INFORMATION *m = &q.mbi;
		/* The heap and the stacks may grow meanwhile. */
		size_t run = m->State == MEM_FREE ? 0 : m->RegionSize;
		uint64_t words[6] = {
			(uintptr_t)m->BaseAddress, (uintptr_t)m->AllocationBase,
			m->AllocationProtect, run, m->State,
			((uint64_t)m->Type << 32) | m->Protect,
		};

		s.hash = hash_add(s.hash, words, sizeof(words));
		if (q.status != STATUS_SUCCESS || !m->RegionSize)
			break;
		from = (uintptr_t)m->BaseAddress + m->RegionSize;
	}
	return s;
}

bool snap_same(const struct snap *a, const struct snap *b)
{
	return a->reserved == b->reserved && a->committed == b->committed &&
	       a->regions == b->regions && a->contract == b->contract &&
	       a->hash == b->hash;
}

/* --- the device itself ---------------------------------------------------------- */

int device_open(int flags)
{
	return open("/dev/ntvm", flags | O_CLOEXEC);
}

int raw(int fd, unsigned long nr, void *request)
{
	return ioctl(fd, nr, request) < 0 ? -errno : 0;
}

NTSTATUS raw_duplicate(HANDLE h, ULONG access, HANDLE *out)
{
	struct ntvm_duplicate d = {
		.size = sizeof(d),
		.handle = h == ME ? NTVM_CURRENT_PROCESS : LibntHandleToFd(h),
		.access = access,
		.out_fd = -2,
		.status = 0xa5a5a5a5,
	};
	int fd = device_open(O_RDWR);
	int err;

	if (fd < 0)
		return STATUS_NO_SUCH_DEVICE;
	err = raw(fd, NTVM_IOC_DUPLICATE, &d);
	close(fd);
	if (err)
		return (NTSTATUS)0xe0000000 | -err;	/* no NT status: shows in the log */
	if (d.status == NTVM_STATUS_SUCCESS)
		*out = LibntFdToHandle(d.out_fd);
	return (NTSTATUS)d.status;
}

/* --- the kernel's books ----------------------------------------------------------- */

int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	while (have < size - 1 && (n = read(fd, buf + have, size - 1 - have)) > 0)
		have += n;
	close(fd);
	buf[have] = 0;
	return n < 0 ? -1 : (int)have;
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int saved;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	saved = errno;
	close(fd);
	errno = saved;
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

int64_t read_number(const char *path)
{
	char buf[64];
	char *end;
	long long v;

	if (read_file(path, buf, sizeof(buf)) <= 0)
		return -1;
	v = strtoll(buf, &end, 10);
	return end == buf ? -1 : v;
}

/* The number behind a key at the start of a line; -1: no such line. */
static int64_t find_number(const char *text, const char *key, char after)
{
	size_t len = strlen(key);
	const char *line = text;

	while (line && *line) {
		if (!strncmp(line, key, len) && line[len] == after)
			return strtoll(line + len + 1, NULL, 10);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return -1;
}

int64_t read_keyed(const char *path, const char *key)
{
	char buf[8192];

	if (read_file(path, buf, sizeof(buf)) <= 0)
		return -1;
	return find_number(buf, key, ' ');
}

int64_t meminfo(const char *field)
{
	char buf[8192];
	int64_t kib;

	/* Reading it folds the per-CPU parts of the counters into the totals. */
	read_file("/proc/sys/vm/stat_refresh", buf, sizeof(buf));
	if (read_file("/proc/meminfo", buf, sizeof(buf)) <= 0)
		return -1;
	kib = find_number(buf, field, ':');
	return kib < 0 ? -1 : kib * (int64_t)KIB;
}

int64_t proc_status(pid_t pid, const char *field)
{
	char path[64] = "/proc/self/status";
	char buf[8192];
	int64_t kib;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_file(path, buf, sizeof(buf)) <= 0)
		return -1;
	kib = find_number(buf, field, ':');
	return kib < 0 ? -1 : kib * (int64_t)KIB;
}

static void each_vma(void (*fn)(uintptr_t, uintptr_t, const char *, void *), void *arg)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512], perms[8];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) == 3)
			fn(start, end, perms, arg);
	fclose(f);
}

struct vma_search {
	uintptr_t from;
	uintptr_t to;
	int count;
	char *perms;
};

static void vma_search_one(uintptr_t start, uintptr_t end, const char *perms, void *arg)
{
	struct vma_search *s = arg;

	if (start >= s->to || end <= s->from)
		return;
	s->count++;
	if (s->perms)
		memcpy(s->perms, perms, 8);
}

int vmas_in(uintptr_t from, uintptr_t to)
{
	struct vma_search s = { .from = from, .to = to };

	each_vma(vma_search_one, &s);
	return s.count;
}

void vma_perms(uintptr_t addr, char perms[8])
{
	struct vma_search s = { .from = addr, .to = addr + 1, .perms = perms };

	memset(perms, 0, 8);
	each_vma(vma_search_one, &s);
}

int64_t slab_objects(void)
{
	unsigned long active;
	int64_t sum = -1;
	struct dirent *d;
	char line[512], name[128];
	DIR *dir;
	FILE *f;

	/* Give back what the per-CPU caches hold, or they count as used. */
	dir = opendir("/sys/kernel/slab");
	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, "ntvm", 4))
			continue;
		snprintf(line, sizeof(line), "/sys/kernel/slab/%.200s/shrink", d->d_name);
		write_file(line, "1\n");
	}
	if (dir)
		closedir(dir);
	f = fopen("/proc/slabinfo", "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%127s %lu", name, &active) != 2 ||
		    strncmp(name, "ntvm", 4))
			continue;
		sum = (sum < 0 ? 0 : sum) + active;
	}
	fclose(f);
	return sum;
}

int64_t module_refcnt(void)
{
	return read_number("/sys/module/ntvm/refcnt");
}

const char *module_path(void)
{
	const char *path = getenv("NTVM_MODULE");

	return path ? path : "/ntvm/ntvm.ko";
}

bool module_loaded(void)
{
	return !access("/sys/module/ntvm/refcnt", F_OK);
}

int module_load(void)
{
	int fd = open(module_path(), O_RDONLY | O_CLOEXEC);
	int err = fd < 0 ? errno : 0;

	if (!err && syscall(SYS_finit_module, fd, "", 0))
		err = errno;
	close(fd);
	return err;
}

int module_unload(void)
{
	return syscall(SYS_delete_module, "ntvm", O_NONBLOCK) ? errno : 0;
}

struct books books_now(void)
{
	return (struct books){
		.refcnt = module_refcnt(),
		.shmem = meminfo("Shmem"),
		.charge = meminfo("Committed_AS"),
		.objects = slab_objects(),
	};
}

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000l };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

bool swap_on_device(const char *path, size_t size)
{
	uint8_t header[4096] = { 0 };
	uint32_t *words = (uint32_t *)(header + 1024);
	bool written;
	int fd;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	words[0] = 1;			/* version */
	words[1] = size / P - 1;	/* last page */
	memcpy(header + 4086, "SWAPSPACE2", 10);
	written = pwrite(fd, header, sizeof(header), 0) == sizeof(header) && !fsync(fd);
	close(fd);
	return written && !swapon(path, 0);
}

bool swap_on(size_t size)
{
	char text[32];

	if (access("/dev/zram0", F_OK) && system("modprobe zram") && access("/dev/zram0", F_OK))
		return false;
	/* Still on from the last time? */
	if (swapoff("/dev/zram0") && errno != EINVAL)
		return false;
	write_file("/sys/block/zram0/reset", "1");
	snprintf(text, sizeof(text), "%zu", size);
	if (write_file("/sys/block/zram0/disksize", text))
		return false;
	return swap_on_device("/dev/zram0", size);
}

int swap_off(void)
{
	return swapoff("/dev/zram0");
}

/* --- other processes -------------------------------------------------------------- */

bool child_start(struct child *c, int (*fn)(int sock, void *arg), void *arg)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return false;
	fflush(stdout);
	fflush(stderr);
	c->pid = fork();
	if (!c->pid) {
		close(sv[0]);
		_exit(fn(sv[1], arg));
	}
	close(sv[1]);
	c->sock = sv[0];
	return c->pid > 0;
}

bool child_tell(int sock, uint64_t word)
{
	return send(sock, &word, sizeof(word), MSG_NOSIGNAL) == sizeof(word);
}

bool child_hear(int sock, uint64_t *word)
{
	return recv(sock, word, sizeof(*word), MSG_WAITALL) == sizeof(*word);
}

bool send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte = 'f';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == 1;
}

int recv_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int child_wait(struct child *c)
{
	int status;

	if (c->sock >= 0)
		close(c->sock);
	c->sock = -1;
	if (waitpid(c->pid, &status, 0) != c->pid)
		return -1;
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

int own_device(void)
{
	return device_open(O_RDWR);
}

bool wait_asleep(pid_t pid)
{
	char path[64], buf[1024];
	const char *s;
	int i;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (i = 0; i < 1000; i++) {
		if (read_file(path, buf, sizeof(buf)) > 0) {
			s = strrchr(buf, ')');
			if (s && s[1] == ' ' && s[2] == 'S')
				return true;
		}
		sleep_ms(10);
	}
	return false;
}
