// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module goes and comes while programs use it: it is never unloaded under
 * a mapping, a file, a handle or a call, and always when these are gone. The
 * kernel refuses by the module's count of references, so what could go wrong is
 * a moment in which nobody holds one and code or data of the module is still in
 * use: a call on its way out, a work item, a page fault, an RCU callback.
 *
 * NTVM_UNLOAD_ROUNDS says how often (30). The module is found where tools/ntvm-vm
 * puts it, or where NTVM_MODULE says; it is loaded again in the end.
 */
#include "ntvm_test.h"
#include <kselftest_harness.h>

#include <sys/syscall.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	1800

#define SIZE	(64 * P)
#define USERS	2

static unsigned int rounds(void)
{
	const char *text = getenv("NTVM_UNLOAD_ROUNDS");

	return text ? strtoul(text, NULL, 0) : 30;
}

/* --- who holds it ------------------------------------------------------------------ */

static bool use(uint8_t *p)
{
	return !commit(p, SIZE, PAGE_READWRITE) && !probe_write(p + P, 1).signo &&
	       !decommit(p + P, P) && probe_read(p + P).signo == SIGSEGV;
}

static int has_file(int sock, void *arg)
{
	uint64_t word;
	int fd = device_open(O_RDWR);

	(void)arg;
	child_tell(sock, fd >= 0);
	child_hear(sock, &word);
	return 0;
}

/* libnt's file is closed behind its back: what is left is the mapping. */
static int has_mapping(int sock, void *arg)
{
	uint8_t *p = reserve(SIZE);
	uint64_t word;
	bool ok = p && use(p);
	int fd;

	(void)arg;
	for (fd = 3; fd < 64; fd++)
		if (fd != sock)
			close(fd);
	child_tell(sock, ok && !probe_write(p, 7).signo);
	child_hear(sock, &word);
	return 0;
}

static void *calls(void *p)
{
	for (;;)
		use(p);
	return NULL;
}

static int has_calls(int sock, void *arg)
{
	pthread_t thread;
	uint64_t word;
	int i;

	(void)arg;
	probe_init();
	for (i = 0; i < 2; i++) {
		uint8_t *p = reserve(SIZE);

		if (!p || pthread_create(&thread, NULL, calls, p))
			return 1;
	}
	child_tell(sock, 1);
	child_hear(sock, &word);
	return 0;
}

/* The memory is not the child's, but the file is. */
static int left_a_child(int sock, void *arg)
{
	uint8_t *p = reserve(SIZE);
	pid_t pid;

	(void)arg;
	if (!p || !use(p))
		return 1;
	pid = fork();
	if (pid)
		return pid < 0;
	child_tell(sock, 1);
	for (;;)
		pause();
}

static const struct {
	const char *name;
	int (*fn)(int sock, void *arg);
} holders[] = {
	{ "a file", has_file },
	{ "a mapping", has_mapping },
	{ "calls", has_calls },
	{ "a child", left_a_child },
};

/* Whoever it starts is killed with it. */
static int holds(int sock, void *arg)
{
	const size_t *i = arg;

	setpgid(0, 0);
	probe_init();
	return holders[*i].fn(sock, NULL);
}

/* One short life; every other ends with the mapping as the last there is of it. */
static int lives(bool mapping_last)
{
	struct ntvm_allocate a = {
		.size = sizeof(a), .handle = NTVM_CURRENT_PROCESS, .len = SIZE,
		.type = NTVM_ALLOC_RESERVE | NTVM_ALLOC_COMMIT, .protect = NTVM_PAGE_READWRITE,
	};
	struct ntvm_free f = {
		.size = sizeof(f), .handle = NTVM_CURRENT_PROCESS, .type = NTVM_FREE_RELEASE,
	};
	int fd = device_open(O_RDWR);
	uint8_t *p;

	if (fd < 0)
		return 0;	/* it is not loaded now */
	if (raw(fd, NTVM_IOC_ALLOCATE, &a) || a.status)
		return 2;
	p = pointer_of(a.base);
	if (mapping_last)
		close(fd);
	if (probe_write(p, 1).signo || probe_write(p + SIZE - P, 2).signo)
		return 3;
	f.base = a.base;
	if (mapping_last ? munmap(p, SIZE) : (raw(fd, NTVM_IOC_FREE, &f) || f.status))
		return 4;
	return 1;
}

/* What the test and its programs have in common. */
struct traffic {
	bool stop;
	unsigned int uses;	/* programs that had something to use */
};

/*
 * Programs come and go while the module does. Who has reserved holds it to the
 * end of its life, so each is a process.
 */
static int passes_by(int sock, void *arg)
{
	struct traffic *traffic = arg;
	uint64_t i;
	int status;
	pid_t pid;

	(void)sock;
	probe_init();
	for (i = 0; !__atomic_load_n(&traffic->stop, __ATOMIC_RELAXED); i++) {
		pid = fork();
		if (!pid)
			_exit(lives(i & 1));
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) > 1)
			return 1 + (WIFEXITED(status) ? WEXITSTATUS(status) : 0);
		__atomic_fetch_add(&traffic->uses, WEXITSTATUS(status), __ATOMIC_RELAXED);
		usleep(i * 983 % 20000);
	}
	return 0;
}

/* --- the tests ---------------------------------------------------------------------- */

FIXTURE(unload) {
	struct traffic *traffic;
};

FIXTURE_SETUP(unload)
{
	if (!module_loaded())
		SKIP(return, "the module is not loaded");
	if (access(module_path(), R_OK))
		SKIP(return, "there is no module at %s", module_path());
	ASSERT_EQ(0, getuid());
	self->traffic = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->traffic);
	/* Of the programs before this one nothing may be left. */
	ASSERT_TRUE(wait_until(10, !module_unload()));
}

FIXTURE_TEARDOWN_PARENT(unload)
{
	if (!module_loaded() && !access(module_path(), R_OK))
		EXPECT_EQ(0, module_load());
}

static void gone(struct child *c)
{
	kill(-c->pid, SIGKILL);
	child_wait(c);
}

TEST_F(unload, is_refused_while_somebody_has_something)
{
	unsigned int n = rounds();
	struct child c;
	uint64_t word;
	size_t i, which;
	int err;

	for (i = 0; i < n; i++) {
		which = i % ARRAY_SIZE(holders);
		ASSERT_EQ(0, module_load());
		ASSERT_TRUE(child_start(&c, holds, &which));
		if (!child_hear(c.sock, &word))
			word = 0;
		err = module_unload();
		gone(&c);
		ASSERT_EQ(1u, word) TH_LOG("round %zu: no %s", i, holders[which].name);
		ASSERT_EQ(EWOULDBLOCK, err)
			TH_LOG("round %zu: unloaded in spite of %s", i, holders[which].name);
		ASSERT_TRUE(wait_until(20, !module_unload()))
			TH_LOG("round %zu: it stays without %s", i, holders[which].name);
		ASSERT_FALSE(module_loaded());
		ASSERT_NE(0, access("/dev/ntvm", F_OK));
	}
}

TEST_F(unload, waits_for_nobody_and_hurts_nobody)
{
	unsigned int n = rounds(), done = 0, refused = 0, uses = 0;
	struct child users[USERS];
	double end = now() + 300 * slow();
	int i, err;

	for (i = 0; i < USERS; i++)
		ASSERT_TRUE(child_start(&users[i], passes_by, self->traffic));
	/* On a slow machine programs are fewer than modules: until both were enough. */
	while ((done < n || uses < n) && now() < end) {
		ASSERT_EQ(0, module_load());
		/* Some time for the others, a different one each time. */
		usleep(done * 997 % 20000);
		while ((err = module_unload()) == EWOULDBLOCK && now() < end) {
			refused++;
			usleep(100);
		}
		ASSERT_TRUE(!err || err == EWOULDBLOCK) TH_LOG("unload: %s", strerror(err));
		done += !err;
		uses = __atomic_load_n(&self->traffic->uses, __ATOMIC_RELAXED);
	}
	self->traffic->stop = true;
	for (i = 0; i < USERS; i++)
		EXPECT_EQ(0, child_wait(&users[i]));
	TH_LOG("%u times unloaded, %u times refused, used %u times", done, refused, uses);
	EXPECT_LE(n, done);
	EXPECT_LT(0u, refused);
	EXPECT_LE(n, uses);
}

TEST_HARNESS_MAIN
