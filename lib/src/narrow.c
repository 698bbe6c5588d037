// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Variables of a 32-bit program, read and written by the kernel. The one call
 * that copies between any two addresses is the one that copies between two
 * processes; here both are the caller.
 */
#include "internal.h"

#ifndef _LP64

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE	((SIZE_T)4096)

/* The theirs are the local side: there an address is looked up like any other. */
int nt_load(void *to, const void *theirs, SIZE_T len)
{
	struct iovec local = { (void *)theirs, len }, remote = { to, len };
	int saved = errno;
	ssize_t n = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);

	errno = saved;
	return n >= 0 && (SIZE_T)n == len;
}

int nt_store(void *theirs, const void *from, SIZE_T len)
{
	struct iovec local = { theirs, len }, remote = { (void *)from, len };
	int saved = errno;
	ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	errno = saved;
	return n >= 0 && (SIZE_T)n == len;
}

uint64_t nt_stand_in(const void *theirs, SIZE_T len, void *ours)
{
	uintptr_t at = (uintptr_t)theirs, last = at + len - 1;
	unsigned char byte;

	if (!theirs)
		return 0;
	if (!len)
		return nt_address(ours);
	if (last < at)
		return NOWHERE;
	/* One byte of every page is enough. */
	for (;;) {
		if (!nt_load(&byte, (void *)at, 1) || !nt_store((void *)at, &byte, 1))
			return NOWHERE;
		if (last - at < PAGE - at % PAGE)
			return nt_address(ours);
		at += PAGE - at % PAGE;
	}
}

#endif
