// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * NtReadVirtualMemory and NtWriteVirtualMemory. The module copies what it
 * manages, and a handle opens no more than that. What lies outside goes through
 * process_vm_readv(2) and process_vm_writev(2), where the kernel asks whether
 * the caller may trace the process; the module says where it takes over again.
 *
 * Outside as inside, the source of a piece is there as a whole before any of it
 * is stored, so that a refused piece of a read leaves the caller's buffer alone.
 */
#include "internal.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE	65536u

/**
 * struct copy - a copy on its way
 * @handle: ntvm_header.handle
 * @op: NTVM_COPY_*
 * @address: in the process
 * @buffer: in the caller
 * @len: bytes
 * @done: bytes copied
 * @pid: of the process, once it is needed
 * @bounce: for what lies outside, once it is needed
 */
struct copy {
	int handle;
	uint32_t op;
	uint64_t address;
	uint64_t buffer;
	uint64_t len;
	uint64_t done;
	int pid;
	void *bounce;
};

/* Bytes moved between a process's memory and the bounce buffer, 0 for an error. */
static size_t move(int pid, uint64_t address, void *bounce, size_t len, int to_process)
{
	struct iovec local = { bounce, len };
	struct iovec remote = { (void *)(uintptr_t)address, len };
	ssize_t n = to_process ? process_vm_writev(pid, &local, 1, &remote, 1, 0) :
				 process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return n < 0 ? 0 : (size_t)n;
}

/* Is the handle still one to a living process, so that its id was its own? */
static int alive(const struct copy *c)
{
	struct ntvm_info req = {
		.size = sizeof(req),
		.handle = c->handle,
	};

	return nt_request(NTVM_IOC_GET_INFO, &req) == STATUS_SUCCESS;
}

/* One piece. Returns the bytes stored where they belong. */
static size_t outside_piece(struct copy *c, size_t len)
{
	uint64_t address = c->address + c->done, buffer = c->buffer + c->done;

	if (c->op == NTVM_COPY_READ) {
		if (move(c->pid, address, c->bounce, len, 0) != len || !alive(c))
			return 0;
		return move(getpid(), buffer, c->bounce, len, 1);
	}
	if (move(getpid(), buffer, c->bounce, len, 0) != len || !alive(c))
		return 0;
	return move(c->pid, address, c->bounce, len, 1);
}

/* Copies @len bytes that are not the module's; false if it ended before. */
static int outside(struct copy *c, uint64_t len)
{
	uint64_t end = c->done + len;
	size_t piece, n;

	if (!c->pid)
		c->pid = c->handle == NTVM_CURRENT_PROCESS ? getpid() : nt_handle_pid(c->handle);
	if (c->pid <= 0)
		return 0;
	if (!c->bounce) {
		c->bounce = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (c->bounce == MAP_FAILED) {
			c->bounce = NULL;
			return 0;
		}
	}
	while (c->done < end) {
		piece = end - c->done < PIECE ? (size_t)(end - c->done) : PIECE;
		n = outside_piece(c, piece);
		c->done += n;
		if (n < piece)
			return 0;
	}
	return 1;
}

static NTSTATUS copy(struct copy *c, uint64_t *count)
{
	struct ntvm_copy req = {
		.size = sizeof(req),
		.handle = c->handle,
		.op = c->op,
		.address = c->address,
		.buffer = c->buffer,
		.len = c->len,
		.done_ptr = nt_address(count),
	};
	_Alignas(8) uint64_t more = 0;
	int saved = errno, first = 1;
	uint64_t left, gap;
	NTSTATUS status;

	for (;;) {
		if (!first || !count)
			req.done_ptr = nt_address(&more);
		status = nt_request(NTVM_IOC_COPY, &req);
		/* Nearly always this is all. */
		if (first && (status != STATUS_PARTIAL_COPY || req.out_stop != NTVM_COPY_OUTSIDE))
			return status;
		c->done += first && count ? *count : more;
		if (status != STATUS_PARTIAL_COPY || req.out_stop != NTVM_COPY_OUTSIDE)
			break;
		first = 0;
		more = 0;
		left = c->len - c->done;
		gap = req.out_next - (c->address + c->done);
		if (!outside(c, gap < left ? gap : left))
			break;
		status = STATUS_SUCCESS;
		if (c->done == c->len)
			break;
		req.address = c->address + c->done;
		req.buffer = c->buffer + c->done;
		req.len = c->len - c->done;
	}
	if (c->bounce)
		munmap(c->bounce, PIECE);
	errno = saved;
	if (count)
		*count = c->done;
	return status;
}

static NTSTATUS copy_virtual(uint32_t op, HANDLE process, PVOID address, PVOID buffer,
			     SIZE_T len, PSIZE_T count)
{
	struct copy c = {
		.handle = nt_handle_decode(process),
		.op = op,
		.address = nt_address(address),
		.buffer = nt_address(buffer),
		.len = len,
	};
#ifdef _LP64
	_Static_assert(sizeof(SIZE_T) == 8, "the module writes the count itself");

	return copy(&c, (uint64_t *)count);
#else
	/* A value that no count has: then nothing was written. */
	_Alignas(8) uint64_t wide = UINT64_MAX;
	uint64_t where = nt_stand_in(count, sizeof(*count), &wide);
	NTSTATUS status = copy(&c, (uint64_t *)(uintptr_t)where);
	SIZE_T narrow = (SIZE_T)wide;

	if (where && wide != UINT64_MAX)
		nt_store(count, &narrow, sizeof(narrow));
	return status;
#endif
}

NTSTATUS NTAPI NtReadVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer,
				   SIZE_T NumberOfBytesToRead, PSIZE_T NumberOfBytesRead)
{
	return copy_virtual(NTVM_COPY_READ, ProcessHandle, BaseAddress, Buffer,
			    NumberOfBytesToRead, NumberOfBytesRead);
}

NTSTATUS NTAPI NtWriteVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer,
				    SIZE_T NumberOfBytesToWrite, PSIZE_T NumberOfBytesWritten)
{
	return copy_virtual(NTVM_COPY_WRITE, ProcessHandle, BaseAddress, Buffer,
			    NumberOfBytesToWrite, NumberOfBytesWritten);
}
