// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running a vector. Each one gets a child process: it starts with an empty
 * address space, a crash or a hang is its own, and everything it left is gone
 * with it.
 */
#include "ntvec.h"
#include "../slow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT		20	/* seconds for a vector, all its rounds included; times slow() */
#define GRACE		10	/* more, before the parent gives up on the child */

static void write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Reads what the child says until it is gone or far too late. */
static bool read_all(int fd, char *text, size_t room)
{
	int64_t deadline = now() + TIMEOUT * slow() + GRACE;
	size_t have = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now();
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left * 1000) <= 0)
			continue;
		n = read(fd, text + have, room - 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			text[have] = '\0';
			return true;
		}
		have += (size_t)n;
	}
}

/* Forks. In the parent @fd is the end of a pipe to read from. */
static pid_t start(int *fd)
{
	struct rlimit none = { 0, 0 };
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		return -1;
	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid) {
		close(ends[1]);
		*fd = ends[0];
		if (pid < 0)
			close(ends[0]);
		return pid;
	}
	close(ends[0]);
	*fd = ends[1];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGALRM, SIG_DFL);
	alarm(TIMEOUT * slow());
	access_init();
	return 0;
}

/* The wait status of a child, -1 if it cannot even be killed. */
static int reap(pid_t pid, bool kill_it)
{
	struct timespec tenth = { 0, 100000000 };
	int status;

	if (kill_it)
		kill(pid, SIGKILL);
	for (int i = 0; i < 10 * GRACE; i++) {
		pid_t got = waitpid(pid, &status, kill_it ? WNOHANG : 0);

		if (got == pid)
			return status;
		if (got < 0 && errno != EINTR)
			break;
		nanosleep(&tenth, NULL);
	}
	return -1;
}

enum verdict run_vector(const struct vector *v, int contract, char **out)
{
	enum verdict verdict = FAILED;
	char text[TEXT_MAX] = "";
	int fd, status;
	bool spoke;
	pid_t pid;

	pid = start(&fd);
	if (pid < 0) {
		snprintf(text, sizeof(text), "fork: %s", strerror(errno));
		*out = strdup(text);
		return FAILED;
	}
	if (!pid) {
		verdict = run_steps(v, contract, text);
		write_all(fd, text);
		_exit(verdict);
	}

	spoke = read_all(fd, text, sizeof(text));
	close(fd);
	status = reap(pid, !spoke);
	if (status < 0)
		snprintf(text, sizeof(text), "hangs and cannot be killed");
	else if (!spoke || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM))
		snprintf(text, sizeof(text), "timed out after %u s", TIMEOUT * slow());
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == PASSED || WEXITSTATUS(status) == FAILED ||
		 WEXITSTATUS(status) == SKIPPED)
		verdict = (enum verdict)WEXITSTATUS(status);
	else
		snprintf(text, sizeof(text), "the child exited with %d", WEXITSTATUS(status));
	*out = strdup(text);
	return verdict;
}

uint32_t run_probe(void)
{
	char text[TEXT_MAX] = "";
	uint32_t status;
	LIBNT_INFO info;
	pid_t pid;
	int fd;

	pid = start(&fd);
	if (pid < 0)
		return (uint32_t)STATUS_INSUFFICIENT_RESOURCES;
	if (!pid) {
		status = (uint32_t)LibntGetInfo(NtCurrentProcess(), &info);
		snprintf(text, sizeof(text), "%u", status);
		write_all(fd, text);
		_exit(0);
	}
	if (!read_all(fd, text, sizeof(text)) || !*text)
		snprintf(text, sizeof(text), "%u", (uint32_t)STATUS_UNSUCCESSFUL);
	close(fd);
	reap(pid, true);
	return (uint32_t)strtoul(text, NULL, 10);
}
