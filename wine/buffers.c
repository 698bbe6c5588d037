// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ntvm's memory as a buffer of Wine's own calls.
 *
 * Most of Wine's Unix half takes a program's pointers as they are. One thing is
 * different: what the server sends to a caller's buffer (reads of pipes and
 * consoles, device controls) is only received if each page of the buffer is
 * committed and writable in Wine's own table of page protections, one byte a
 * page, in pieces for 4 GiB. For memory that it did not allocate there is nothing,
 * and such a read would fail with INVALID_USER_BUFFER.
 *
 * So the pages of what ntvm reserves are written into that table as committed and
 * writable. That is no book of regions: it is never read here and nothing is taken
 * out, since Wine writes the bytes of every range that it takes for itself, and
 * looks at them nowhere else without having found a range of its own first. What a
 * page really is the module goes on deciding when it is accessed.
 *
 * The table is found by what it holds, like that of the services: a pointer and
 * the number of its pieces in ntdll.so's data, which say of pages whose protection
 * is known just that.
 *
 * The bytes from the server then arrive by read(2). Wine takes an error of that for
 * a broken connection and ends the thread; if the buffer was made unwritable in
 * the meantime, they are read and dropped instead.
 */
#include "backend.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Wine's bits of a page. */
#define VPROT_RW	0x23	/* readable, writable, committed */
#define VPROT_R		0x21	/* readable, committed */

#define PIECE_PAGES	(1ul << 20)
#define PIECES		0x8000ul	/* of user space: 128 TiB */

/* The page that the system shares with every process, read-only. */
#define USER_SHARED_DATA	0x7ffe0000ul

/* TEB: StackBase, StackLimit; and Wine's part of it: where the server answers. */
#define TEB_STACK_BASE		"0x8"
#define TEB_STACK_LIMIT		"0x10"
#define TEB_REPLY_FD		"0x37c"

/* The C library's second name of it. */
ssize_t __read(int fd, void *buffer, size_t len);

static unsigned char *_Atomic *pieces;

/* What a table says of a page: -1 if that is no table. */
static int byte_of(uintptr_t table, uintptr_t address)
{
	unsigned char byte;
	uintptr_t piece;

	if (!load(&piece, (void *)(table + (address >> 32) * sizeof(piece)), sizeof(piece)) ||
	    !load(&byte, (void *)(piece + (address >> 12) % PIECE_PAGES), sizeof(byte)))
		return -1;
	return byte;
}

bool buffers_init(void)
{
	uintptr_t base, limit, start, end, found = 0;
	uintptr_t *at;

	__asm__ ("movq %%gs:" TEB_STACK_BASE ", %0" : "=r" (base));
	__asm__ ("movq %%gs:" TEB_STACK_LIMIT ", %0" : "=r" (limit));
	wine_data(&start, &end);
	for (at = (uintptr_t *)start; (uintptr_t)(at + 2) <= end; at++) {
		if (at[1] != PIECES || (at[0] & (PAGE - 1)) || !at[0])
			continue;
		if (byte_of(at[0], base - 1) != VPROT_RW || byte_of(at[0], limit) != VPROT_RW ||
		    byte_of(at[0], USER_SHARED_DATA) != VPROT_R)
			continue;
		if (found)
			return false;
		found = at[0];
	}
	pieces = (unsigned char *_Atomic *)found;
	return found;
}

/*
 * The piece of an address. Wine makes pieces under a lock of its own, which it
 * holds for a moment only; should it make this one just now, the marks are lost.
 */
static unsigned char *piece_get(uintptr_t address)
{
	unsigned char *_Atomic *at = &pieces[address >> 32];
	unsigned char *piece = atomic_load(at), *made;

	if (piece)
		return piece;
	made = mmap(NULL, PIECE_PAGES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (made == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(at, &piece, made))
		return made;
	munmap(made, PIECE_PAGES);
	return piece;
}

void buffers_mark(uintptr_t address, size_t len)
{
	uintptr_t end = address + len, next;
	unsigned char *piece;

	for (; address < end && address >> 32 < PIECES; address = next) {
		next = ((address >> 32) + 1) << 32;
		if (next > end)
			next = end;
		piece = piece_get(address);
		if (piece)
			memset(piece + (address >> 12) % PIECE_PAGES, VPROT_RW,
			       (next - address) >> 12);
	}
}

/* An answer of the server for a buffer that is not there any more. */
static ssize_t drop(int fd, size_t len)
{
	char scratch[4096];

	return __read(fd, scratch, len < sizeof(scratch) ? len : sizeof(scratch));
}

__attribute__((visibility("default")))
ssize_t read(int fd, void *buffer, size_t len)
{
	ssize_t ret = __read(fd, buffer, len);
	int reply;

	if (ret >= 0 || errno != EFAULT || !wine_text_has((uintptr_t)__builtin_return_address(0)))
		return ret;
	__asm__ ("movl %%gs:" TEB_REPLY_FD ", %0" : "=r" (reply));
	if (fd != reply)
		return ret;
	count(COUNT_DROPPED);
	return drop(fd, len);
}
