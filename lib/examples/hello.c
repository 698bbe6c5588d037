// SPDX-License-Identifier: LGPL-2.1-or-later
/* The shortest tour of libnt: reserve 1 MiB, commit a page of it, use it, free it. */
#include <libnt.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	HANDLE self = NtCurrentProcess();
	MEMORY_BASIC_INFORMATION info;
	SIZE_T size = 1024 * 1024, page = 4096, all = 0;
	PVOID base = NULL;

	if (NtAllocateVirtualMemory(self, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE) ||
	    NtAllocateVirtualMemory(self, &base, 0, &page, MEM_COMMIT, PAGE_READWRITE))
		return 1;
	strcpy(base, "hello");
	if (NtQueryVirtualMemory(self, base, MemoryBasicInformation, &info, sizeof(info), NULL))
		return 1;
	printf("%s: %zu of %zu bytes are committed\n", (char *)base, info.RegionSize, size);
	return NtFreeVirtualMemory(self, &base, &all, MEM_RELEASE) ? 1 : 0;
}
