// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The one open file of /dev/ntvm that a process needs, and sending requests on it.
 *
 * The file is opened at the first call and kept. There is no lock and no
 * constructor: the cache is one atomic word, and a thread that loses the race to
 * fill it closes its own file. What can be wrong with a cached file is found out
 * by using it:
 *
 * - ESTALE: it was opened by another address space. A fork child inherits the
 *   word and the descriptor; it puts a file of its own under the same number, so
 *   that nothing of the parent stays open. If the pid is still the one that
 *   filled the cache, then somebody closed our number and a foreign handle got
 *   it: that is not ours to replace, a new number is taken.
 * - EBADF, ENOTTY: somebody closed our number (and it may be another file by
 *   now). A new number is taken and the old one left alone.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE	"/dev/ntvm"

/* 0: no file is cached. Else the pid that filled it and the descriptor + 1. */
static _Atomic uint64_t cache;

static uint64_t cache_word(int pid, int fd)
{
	return (uint64_t)(uint32_t)pid << 32 | (uint32_t)(fd + 1);
}

static int word_fd(uint64_t word)
{
	return (int)(uint32_t)word - 1;
}

static int word_pid(uint64_t word)
{
	return (int)(word >> 32);
}

static int ioctl_retry(int fd, unsigned int nr, void *request)
{
	int ret;

	do {
		ret = ioctl(fd, (unsigned long)nr, request);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

NTSTATUS nt_status_from_errno(int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
	case ENXIO:
	case ENODEV:
		return STATUS_NO_SUCH_DEVICE;
	case EACCES:
	case EPERM:
	case EROFS:
		return STATUS_ACCESS_DENIED;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return STATUS_INSUFFICIENT_RESOURCES;
	case EINVAL:	/* a request, flag or field that the module does not know */
	case E2BIG:
	case ENOTTY:
		return STATUS_REVISION_MISMATCH;
	case EFAULT:
		return STATUS_ACCESS_VIOLATION;
	default:
		return STATUS_UNSUCCESSFUL;
	}
}

/* Opens the device and makes sure that it is what this library was built for. */
static NTSTATUS device_open(int *out)
{
	struct ntvm_info info = {
		.size = sizeof(info),
		.handle = NTVM_CURRENT_PROCESS,
	};
	int fd, high, ret;
	NTSTATUS status;

	do {
		fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return nt_status_from_errno(errno);

	/* A program that closed its standard streams expects to get 0 to 2 itself. */
	if (fd <= STDERR_FILENO) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (high < 0) {
			status = nt_status_from_errno(errno == EINVAL ? EMFILE : errno);
			goto err_close;
		}
		close(fd);
		fd = high;
	}

	ret = ioctl_retry(fd, NTVM_IOC_GET_INFO, &info);
	if (ret < 0) {
		status = nt_status_from_errno(-ret);
		goto err_close;
	}
	status = (NTSTATUS)info.status;
	if (status != STATUS_SUCCESS)
		goto err_close;
	if (info.out_version < NTVM_ABI_VERSION ||
	    !(info.out_features & NTVM_FEATURE_PRIVATE)) {
		status = STATUS_REVISION_MISMATCH;
		goto err_close;
	}
	*out = fd;
	return STATUS_SUCCESS;

err_close:
	close(fd);
	return status;
}

/*
 * Puts a fresh file into the cache in place of @old and gives the word that is
 * in the cache then, which may be another thread's.
 */
static NTSTATUS cache_renew(uint64_t old, int err, uint64_t *word)
{
	uint64_t found = old, mine;
	int pid = getpid();
	NTSTATUS status;
	int fd = -1;

	status = device_open(&fd);
	if (status != STATUS_SUCCESS)
		return status;

	if (err == ESTALE && word_pid(old) != pid) {
		/*
		 * All threads of a fork child that come here at once do the same to
		 * the same number, and each of their files is as good as the others.
		 */
		if (dup3(fd, word_fd(old), O_CLOEXEC) < 0) {
			status = nt_status_from_errno(errno);
			close(fd);
			return status;
		}
		close(fd);
		mine = cache_word(pid, word_fd(old));
		*word = atomic_compare_exchange_strong(&cache, &found, mine) ? mine : found;
		return STATUS_SUCCESS;
	}

	mine = cache_word(pid, fd);
	if (atomic_compare_exchange_strong(&cache, &found, mine)) {
		*word = mine;
	} else {
		close(fd);
		*word = found;
	}
	return STATUS_SUCCESS;
}

static NTSTATUS request(unsigned int nr, void *req)
{
	uint64_t word = atomic_load(&cache);
	NTSTATUS status;
	int ret = -EBADF;
	int tries;

	/* Twice would do, were it not for threads that close descriptors meanwhile. */
	for (tries = 0; tries < 4; tries++) {
		if (!word || tries) {
			status = cache_renew(word, -ret, &word);
			if (status != STATUS_SUCCESS)
				return status;
		}
		ret = ioctl_retry(word_fd(word), nr, req);
		if (!ret)
			return (NTSTATUS)((struct ntvm_header *)req)->status;
		if (ret != -ESTALE && ret != -EBADF && ret != -ENOTTY)
			break;
	}
	return nt_status_from_errno(-ret);
}

NTSTATUS nt_request(unsigned int nr, void *req)
{
	uint64_t word = atomic_load_explicit(&cache, memory_order_relaxed);
	int saved = errno;
	NTSTATUS status;

	/* Nearly always this is all. */
	if (word && !ioctl(word_fd(word), (unsigned long)nr, req))
		return (NTSTATUS)((struct ntvm_header *)req)->status;
	status = request(nr, req);
	errno = saved;
	return status;
}

int nt_own_fd(void)
{
	return word_fd(atomic_load(&cache));
}
