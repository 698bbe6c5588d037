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

static int probe(unsigned char *theirs)
{
	unsigned char byte;

	return nt_load(&byte, theirs, 1) && nt_store(theirs, &byte, 1);
}

/* Probes what the module would: the first and the last byte. */
uint64_t nt_stand_in(const void *theirs, SIZE_T len, void *ours)
{
	unsigned char *first = (unsigned char *)theirs;

	if (!theirs)
		return 0;
	if (!len)
		return nt_address(ours);
	if ((uintptr_t)first + len - 1 < (uintptr_t)first ||
	    !probe(first) || !probe(first + len - 1))
		return NOWHERE;
	return nt_address(ours);
}

#endif
