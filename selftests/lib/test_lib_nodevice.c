// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every call where the module is not loaded: STATUS_NO_SUCH_DEVICE, nothing
 * written, errno as it was. Skipped where there is a device.
 */
#include <libnt.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ODD_ERRNO	1234
#define POISON		((uintptr_t)0xCCCCCCCC)

static int nr, failed;

static void check(const char *name, NTSTATUS got, NTSTATUS wanted, int untouched)
{
	int ok = got == wanted && errno == ODD_ERRNO && untouched;

	failed += !ok;
	printf("%s %d %s\n", ok ? "ok" : "not ok", ++nr, name);
	if (!ok)
		printf("# got 0x%08X, wanted 0x%08X, errno %d, outputs %s\n", (unsigned int)got,
		       (unsigned int)wanted, errno, untouched ? "untouched" : "written");
	errno = ODD_ERRNO;
}

int main(void)
{
	CLIENT_ID me = { (HANDLE)(ULONG_PTR)getpid(), (HANDLE)0 };
	HANDLE self = NtCurrentProcess(), handle = (HANDLE)POISON;
	PVOID base = (PVOID)POISON;
	MEMORY_BASIC_INFORMATION info, poison;
	SIZE_T size = POISON;
	LIBNT_INFO limits, limits_poison;
	ULONG old = POISON;
	NTSTATUS status;

	printf("KTAP version 1\n");
	if (!access("/dev/ntvm", F_OK)) {
		printf("1..0 # SKIP there is a /dev/ntvm\n");
		return 0;
	}
	printf("1..13\n");
	memset(&info, 0xCC, sizeof(info));
	memset(&poison, 0xCC, sizeof(poison));
	memset(&limits, 0xCC, sizeof(limits));
	memset(&limits_poison, 0xCC, sizeof(limits_poison));
	errno = ODD_ERRNO;

#define UNTOUCHED (base == (PVOID)POISON && size == POISON && old == POISON)
	status = NtAllocateVirtualMemory(self, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE);
	check("allocate", status, STATUS_NO_SUCH_DEVICE, UNTOUCHED);
	status = NtFreeVirtualMemory(self, &base, &size, MEM_RELEASE);
	check("free", status, STATUS_NO_SUCH_DEVICE, UNTOUCHED);
	status = NtFreeVirtualMemory((HANDLE)0, NULL, NULL, 0);
	check("free_of_nothing", status, STATUS_NO_SUCH_DEVICE, UNTOUCHED);
	status = NtProtectVirtualMemory(self, &base, &size, PAGE_READONLY, &old);
	check("protect", status, STATUS_NO_SUCH_DEVICE, UNTOUCHED);
	status = NtQueryVirtualMemory(self, base, MemoryBasicInformation, &info, sizeof(info), &size);
	check("query", status, STATUS_NO_SUCH_DEVICE,
	      UNTOUCHED && !memcmp(&info, &poison, sizeof(info)));
	status = NtOpenProcess(&handle, PROCESS_VM_OPERATION, NULL, &me);
	check("open_self", status, STATUS_NO_SUCH_DEVICE, handle == (HANDLE)POISON);
	me.UniqueProcess = (HANDLE)(ULONG_PTR)0x7FFFFFFF;
	status = NtOpenProcess(&handle, PROCESS_VM_OPERATION, NULL, &me);
	check("open_nobody", status, STATUS_INVALID_CID, handle == (HANDLE)POISON);
	status = NtClose(LibntFdToHandle(0));
	check("close", status, STATUS_NO_SUCH_DEVICE, 1);
	status = NtClose(self);
	check("close_self", status, STATUS_SUCCESS, 1);
	status = LibntSetContract(self, LIBNT_CONTRACT_WINDOWS);
	check("contract", status, STATUS_NO_SUCH_DEVICE, 1);
	status = LibntGetInfo(self, &limits);
	check("info", status, STATUS_NO_SUCH_DEVICE,
	      !memcmp(&limits, &limits_poison, sizeof(limits)));
	status = LibntTakeFault(&base);
	check("fault", status, STATUS_NO_SUCH_DEVICE, UNTOUCHED);
	check("handle_to_fd", LibntHandleToFd(LibntFdToHandle(3)), 3, 1);
	return failed ? 1 : 0;
}
