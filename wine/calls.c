// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The calls that are taken over: ntvm first, Wine for what is not ntvm's.
 *
 * What ntvm does is one request and no more. What it refuses is looked at again:
 * if there is a region of ntvm at the address, its status stands, since Wine knows
 * nothing of that memory; if not, the address is Wine's (an image, a section, a
 * stack, an area that Wine keeps) and so is the call. A reservation that ntvm
 * cannot make where it has to be is Wine's to try, and is counted as such.
 *
 * A refused request has changed nothing, so that Wine sees the caller's variables
 * as they were; but for *OldProtect, which a refused protect sets to NOACCESS.
 */
#include "backend.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

typedef WINAPI NTSTATUS allocate_fn(HANDLE, PVOID *, ULONG_PTR, SIZE_T *, ULONG, ULONG);
typedef WINAPI NTSTATUS allocate_ex_fn(HANDLE, PVOID *, SIZE_T *, ULONG, ULONG,
				       MEM_EXTENDED_PARAMETER *, ULONG);
typedef WINAPI NTSTATUS free_fn(HANDLE, PVOID *, SIZE_T *, ULONG);
typedef WINAPI NTSTATUS protect_fn(HANDLE, PVOID *, SIZE_T *, ULONG, ULONG *);
typedef WINAPI NTSTATUS query_fn(HANDLE, PVOID, ULONG, PVOID, SIZE_T, SIZE_T *);
typedef WINAPI NTSTATUS lock_fn(HANDLE, PVOID *, SIZE_T *, ULONG);
typedef WINAPI NTSTATUS flush_fn(HANDLE, PVOID *, SIZE_T *, PVOID);
typedef WINAPI NTSTATUS get_watch_fn(HANDLE, ULONG, PVOID, SIZE_T, PVOID *, ULONG_PTR *, ULONG *);
typedef WINAPI NTSTATUS reset_watch_fn(HANDLE, PVOID, SIZE_T);
typedef WINAPI NTSTATUS set_information_fn(HANDLE, ULONG, ULONG_PTR, MEMORY_RANGE_ENTRY *, PVOID,
					   ULONG);

/* The last byte of user space on 64-bit Windows. */
#define WINDOWS_MAXIMUM	0x7ffffffefffful

#define WINE(id, type)	((type *)hooks[CALL_##id].wine)

/* TEB.WowTebOffset: not 0 in the threads of a 32-bit program. */
#define TEB_WOW_TEB_OFFSET	0x180c

static bool is_wow64(void)
{
	int offset;

	__asm__ ("movl %%gs:%c1, %0" : "=r" (offset) : "i" (TEB_WOW_TEB_OFFSET));
	return offset;
}

/*
 * Decided by the first call of the process, when it has one thread: what can only
 * be seen from within Windows code.
 */
enum { UNDECIDED, ON, OFF };

static atomic_int mode;

static bool decide(void)
{
	int to = OFF;

	if (is_wow64())
		count(COUNT_WOW64);
	else if (!buffers_init())
		say("Wine's page table is not as expected; this is plain Wine", NULL);
	else
		to = ON;
	if (to == ON)
		target_publish();
	atomic_store(&mode, to);
	return to == ON;
}

static bool is_on(void)
{
	int now = atomic_load_explicit(&mode, memory_order_relaxed);

	return now == UNDECIDED ? decide() : now == ON;
}

/* What a call begins with. False: the call is Wine's as a whole. */
static bool begin(struct target *t, HANDLE process, ACCESS_MASK rights)
{
	t->process = NtCurrentProcess();
	/* For a process that stays with Wine nobody else is asked for anything. */
	t->known = true;
	if (!is_on())
		return false;
	if (process == NtCurrentProcess())
		return true;
	target_get(t, process, rights);
	if (t->known)
		return true;
	target_put(t);
	return false;
}

static void end(struct target *t, HANDLE process)
{
	if (process != NtCurrentProcess())
		target_put(t);
}

static void passed(enum call call)
{
	count(COUNT_PASSED + call);
}

bool load(void *to, const void *theirs, size_t len)
{
	struct iovec local = { to, len }, remote = { (void *)theirs, len };

	return syscall(SYS_process_vm_readv, getpid(), &local, 1ul, &remote, 1ul, 0ul) ==
	       (long)len;
}

static uintptr_t load_address(PVOID *theirs)
{
	PVOID address = NULL;

	return load(&address, theirs, sizeof(address)) ? (uintptr_t)address : 0;
}

/* No region reaches up to there. */
uintptr_t regions_end;

bool address_is_ours(HANDLE process, uintptr_t address)
{
	PVOID base = (PVOID)PAGE_OF(address);
	SIZE_T bytes = regions_end - PAGE_OF(address);

	if (!address || address >= regions_end)
		return false;
	count(COUNT_PROBES);
	return NtFreeVirtualMemory(process, &base, &bytes, MEM_DECOMMIT) ==
	       STATUS_UNABLE_TO_FREE_VM;
}

uint64_t next_region(HANDLE process, uintptr_t address)
{
	unsigned char byte;
	struct ntvm_copy req = {
		.size = sizeof(req),
		.handle = nt_handle_decode(process),
		.address = address,
		.buffer = (uintptr_t)&byte,
		.len = 1,
		.op = NTVM_COPY_READ,
	};
	NTSTATUS status;

	/* A copy that finds nothing says where there is something again. */
	count(COUNT_PROBES);
	status = nt_request(NTVM_IOC_COPY, &req);
	if (status == STATUS_SUCCESS)
		return 0;
	if (status != STATUS_PARTIAL_COPY)
		return UINT64_MAX;
	return req.out_stop == NTVM_COPY_OUTSIDE ? req.out_next : 0;
}

/*
 * Both have refused. If the address is nobody's the status is ntvm's, which is
 * Windows' own; Wine's is often not.
 */
static NTSTATUS settle(HANDLE process, uintptr_t address, NTSTATUS ours, NTSTATUS wine)
{
	MEMORY_BASIC_INFORMATION info;

	if (wine >= 0 || ours >= 0)
		return wine;
	if (WINE(QUERY, query_fn)(process, (PVOID)address, MemoryBasicInformation, &info,
				  sizeof(info), NULL) == STATUS_SUCCESS && info.State != MEM_FREE)
		return wine;
	return ours;
}

/* --- allocating ------------------------------------------------------------------------- */

/* What stands in the way of a reservation, NR_REASONS if it is the request itself. */
static enum reason reason_of(NTSTATUS status)
{
	switch (status) {
	case STATUS_CONFLICTING_ADDRESSES:
		return REASON_CONFLICT;
	case STATUS_NO_MEMORY:
		return REASON_NO_MEMORY;
	case STATUS_INSUFFICIENT_RESOURCES:
		return REASON_RESOURCES;
	case STATUS_NO_SUCH_DEVICE:
	case STATUS_REVISION_MISMATCH:
		return REASON_DEVICE;
	case STATUS_ACCESS_DENIED:
	case STATUS_PRIVILEGE_NOT_HELD:
		return REASON_DENIED;
	case STATUS_NOT_SUPPORTED:
		return REASON_UNSUPPORTED;
	default:
		return NR_REASONS;
	}
}

/*
 * What is new memory has to be marked. A commit without an address reserves as well;
 * that it had none cannot be seen any more, but what it got is a multiple of 64 KiB,
 * and to mark a page once more does no harm.
 */
static void allocated(enum call call, const struct target *t, PVOID *base, SIZE_T *size, ULONG type)
{
	bool reserved = type & MEM_RESERVE || ((type & MEM_COMMIT) && !((uintptr_t)*base & 0xffff));

	if (reserved && t->process == NtCurrentProcess())
		buffers_mark((uintptr_t)*base, *size);
	if (type & MEM_RESERVE)
		count(COUNT_RESERVES);
	if (type & MEM_COMMIT)
		count(COUNT_COMMITS);
	count_served(call);
}

/* ntvm has refused: is that the answer, or is it for Wine to say? */
static bool is_final(HANDLE process, enum call call, NTSTATUS status, PVOID *base, ULONG type)
{
	enum reason reason = reason_of(status);
	PVOID address;

	if (!load(&address, base, sizeof(address)))
		return true;
	if (address) {
		/* Not known of a file's mapping, and that is never ours. */
		if (status != STATUS_ALREADY_COMMITTED &&
		    address_is_ours(process, (uintptr_t)address))
			return true;
		if (type & MEM_RESERVE && reason != NR_REASONS)
			count(COUNT_FALLBACK + reason);
		else
			passed(call);
		return false;
	}
	/* Only a conflict of addresses is no reason here: there was none to conflict. */
	if (reason == NR_REASONS)
		return true;
	count(COUNT_FALLBACK + reason);
	return false;
}

/* Nobody asks ntvm. An allocation that is made counts as one that fell back. */
static void not_asked(enum call call, HANDLE process, ULONG type)
{
	if (type & MEM_RESERVE && process != NtCurrentProcess() && is_on())
		count(COUNT_FALLBACK + REASON_PROCESS);
	else
		passed(call);
}

static WINAPI NTSTATUS hook_allocate(HANDLE process, PVOID *base, ULONG_PTR zero_bits, SIZE_T *size,
				     ULONG type, ULONG protect)
{
	bool final = false;
	NTSTATUS status = 0;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = NtAllocateVirtualMemory(t.process, base, zero_bits, size, type, protect);
		final = status == STATUS_SUCCESS ||
			is_final(t.process, CALL_ALLOCATE, status, base, type);
		end(&t, process);
	} else {
		not_asked(CALL_ALLOCATE, process, type);
	}
	if (!final)
		return settle(process, load_address(base), status,
			      WINE(ALLOCATE, allocate_fn)(process, base, zero_bits, size, type,
							  protect));
	if (status == STATUS_SUCCESS)
		allocated(CALL_ALLOCATE, &t, base, size, type);
	else
		count_served(CALL_ALLOCATE);
	return status;
}

/* Parameters that ntvm has nothing for, and answers INVALID_PARAMETER to. */
static bool has_foreign_parameter(const MEM_EXTENDED_PARAMETER *params, ULONG nr)
{
	MEM_EXTENDED_PARAMETER p;
	ULONG i;

	for (i = 0; i < nr && i < MemExtendedParameterMax; i++) {
		if (!load(&p, &params[i], sizeof(p)))
			return false;
		if (p.Type == MemExtendedParameterPartitionHandle ||
		    p.Type == MemExtendedParameterUserPhysicalHandle ||
		    p.Type == MemExtendedParameterImageMachine ||
		    (p.Type == MemExtendedParameterAttributeFlags && p.ULong64))
			return true;
	}
	return false;
}

/*
 * Regions end a little below where Windows' user space does, and a program may name
 * that end as its bound. Copies the parameters with what ntvm has for one; false if
 * that is not what is wrong with them.
 */
static bool lower_bound(const MEM_EXTENDED_PARAMETER *params, ULONG nr, MEM_EXTENDED_PARAMETER *copy,
			MEM_ADDRESS_REQUIREMENTS *req)
{
	bool lowered = false;
	ULONG i;

	if (nr >= MemExtendedParameterMax || !load(copy, params, nr * sizeof(*copy)))
		return false;
	for (i = 0; i < nr; i++) {
		if (copy[i].Type != MemExtendedParameterAddressRequirements)
			continue;
		if (!load(req, copy[i].Pointer, sizeof(*req)) ||
		    (uintptr_t)req->HighestEndingAddress < regions_end ||
		    (uintptr_t)req->HighestEndingAddress > WINDOWS_MAXIMUM)
			return false;
		req->HighestEndingAddress = (PVOID)(regions_end - 2);
		copy[i].Pointer = req;
		lowered = true;
	}
	return lowered;
}

static WINAPI NTSTATUS hook_allocate_ex(HANDLE process, PVOID *base, SIZE_T *size, ULONG type,
					ULONG protect, MEM_EXTENDED_PARAMETER *params, ULONG nr)
{
	MEM_EXTENDED_PARAMETER copy[MemExtendedParameterMax];
	MEM_ADDRESS_REQUIREMENTS req;
	NTSTATUS status = 0, asked;
	bool final = false;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = NtAllocateVirtualMemoryEx(t.process, base, size, type, protect, params, nr);
		if (status == STATUS_INVALID_PARAMETER && nr && lower_bound(params, nr, copy, &req))
			status = NtAllocateVirtualMemoryEx(t.process, base, size, type, protect, copy,
							   nr);
		asked = status;
		if (status == STATUS_INVALID_PARAMETER && nr && has_foreign_parameter(params, nr))
			asked = STATUS_NOT_SUPPORTED;
		final = status == STATUS_SUCCESS ||
			is_final(t.process, CALL_ALLOCATE_EX, asked, base, type);
		end(&t, process);
	} else {
		not_asked(CALL_ALLOCATE_EX, process, type);
	}
	if (!final)
		return settle(process, load_address(base), status,
			      WINE(ALLOCATE_EX, allocate_ex_fn)(process, base, size, type, protect,
								params, nr));
	if (status == STATUS_SUCCESS)
		allocated(CALL_ALLOCATE_EX, &t, base, size, type);
	else
		count_served(CALL_ALLOCATE_EX);
	return status;
}

/* --- freeing and protecting ----------------------------------------------------------------- */

static WINAPI NTSTATUS hook_free(HANDLE process, PVOID *base, SIZE_T *size, ULONG type)
{
	bool final = false;
	NTSTATUS status = 0;
	uintptr_t address;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = NtFreeVirtualMemory(t.process, base, size, type);
		switch (status) {
		case STATUS_SUCCESS:
		/* Of a region alone: */
		case STATUS_UNABLE_TO_FREE_VM:
		case STATUS_FREE_VM_NOT_AT_BASE:
			final = true;
			break;
		case STATUS_MEMORY_NOT_ALLOCATED:
		case STATUS_UNABLE_TO_DELETE_SECTION:
			break;
		default:
			address = load_address(base);
			final = !address || address_is_ours(t.process, address);
		}
		end(&t, process);
	} else if (!t.known) {
		/* Arguments come before the handle, which is none here. */
		status = NtFreeVirtualMemory(NULL, base, size, type);
		final = status != STATUS_INVALID_HANDLE && reason_of(status) != REASON_DEVICE;
		/* That it is none says nothing of the one that Wine was given. */
		if (!final)
			status = 0;
	}
	if (!final) {
		passed(CALL_FREE);
		return settle(process, load_address(base), status,
			      WINE(FREE, free_fn)(process, base, size, type));
	}
	if (status == STATUS_SUCCESS)
		count(type & MEM_RELEASE ? COUNT_RELEASES : COUNT_DECOMMITS);
	count_served(CALL_FREE);
	return status;
}

static WINAPI NTSTATUS hook_protect(HANDLE process, PVOID *base, SIZE_T *size, ULONG protect,
				    ULONG *old)
{
	bool final = false;
	NTSTATUS status = 0;
	uintptr_t address;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = NtProtectVirtualMemory(t.process, base, size, protect, old);
		/* NOT_COMMITTED is said of a region alone. */
		final = status == STATUS_SUCCESS || status == STATUS_NOT_COMMITTED;
		if (!final) {
			address = load_address(base);
			final = !address || address_is_ours(t.process, address);
		}
		end(&t, process);
	}
	if (!final) {
		passed(CALL_PROTECT);
		return settle(process, load_address(base), status,
			      WINE(PROTECT, protect_fn)(process, base, size, protect, old));
	}
	count_served(CALL_PROTECT);
	return status;
}

/* --- queries --------------------------------------------------------------------------------- */

/*
 * ntvm describes Linux's mappings as well; Wine knows better what its own are.
 * Reserved pages are a region's for certain.
 */
static bool query_basic(HANDLE process, PVOID address, PVOID info, SIZE_T length, SIZE_T *returned,
			NTSTATUS *status)
{
	MEMORY_BASIC_INFORMATION *basic = info;

	*status = NtQueryVirtualMemory(process, address, MemoryBasicInformation, info, length,
				       returned);
	if (*status != STATUS_SUCCESS || basic->Type != MEM_PRIVATE)
		return false;
	return basic->State == MEM_RESERVE || address_is_ours(process, (uintptr_t)address);
}

/* Wine says that there is nothing: no farther than to ntvm's next region. */
static bool cut_free_block(HANDLE process, MEMORY_BASIC_INFORMATION *basic)
{
	uintptr_t base = (uintptr_t)basic->BaseAddress;
	uint64_t next = next_region(process, base);

	if (!next)
		return false;
	if (next - base < basic->RegionSize)
		basic->RegionSize = next - base;
	return true;
}

/* Entries of both kinds may be in one array. ntvm has filled in all of them. */
static NTSTATUS query_working_set(HANDLE process, HANDLE windows,
				  MEMORY_WORKING_SET_EX_INFORMATION *info, SIZE_T nr)
{
	NTSTATUS status;
	SIZE_T i;

	for (i = 0; i < nr; i++) {
		if (address_is_ours(process, (uintptr_t)info[i].VirtualAddress))
			continue;
		status = WINE(QUERY, query_fn)(windows, info[i].VirtualAddress,
					       MemoryWorkingSetExInformation, &info[i],
					       sizeof(info[i]), NULL);
		if (status != STATUS_SUCCESS)
			return status;
	}
	return STATUS_SUCCESS;
}

/* What Wine calls free, ntvm has an answer for that is Windows'. */
static bool is_free(HANDLE windows, PVOID address)
{
	MEMORY_BASIC_INFORMATION basic;

	return WINE(QUERY, query_fn)(windows, address, MemoryBasicInformation, &basic, sizeof(basic),
				     NULL) == STATUS_SUCCESS && basic.State == MEM_FREE;
}

static WINAPI NTSTATUS hook_query(HANDLE process, PVOID address, ULONG class, PVOID info,
				  SIZE_T length, SIZE_T *returned)
{
	ACCESS_MASK rights = PROCESS_QUERY_INFORMATION | PROCESS_QUERY_LIMITED_INFORMATION;
	NTSTATUS status = 0;
	bool ours = false;
	struct target t;
	int tries = 0;

	if (class > MemoryImageInformation || !begin(&t, process, rights))
		goto wine;
	switch (class) {
	case MemoryBasicInformation:
		/* Again, if what Wine calls free has become a region meanwhile. */
		while (!(ours = query_basic(t.process, address, info, length, returned, &status)) &&
		       tries++ < 4) {
			status = WINE(QUERY, query_fn)(process, address, class, info, length, returned);
			if (status != STATUS_SUCCESS ||
			    ((MEMORY_BASIC_INFORMATION *)info)->State != MEM_FREE ||
			    cut_free_block(t.process, info)) {
				passed(CALL_QUERY);
				end(&t, process);
				return status;
			}
		}
		break;
	case MemoryWorkingSetExInformation:
		status = NtQueryVirtualMemory(t.process, address, class, info, length, returned);
		if (status == STATUS_SUCCESS)
			status = query_working_set(t.process, process, info,
						   length / sizeof(MEMORY_WORKING_SET_EX_INFORMATION));
		ours = true;
		break;
	default:
		ours = address_is_ours(t.process, (uintptr_t)address) ||
		       (class != MemoryMappedFilenameInformation && is_free(process, address));
		if (ours)
			status = NtQueryVirtualMemory(t.process, address, class, info, length, returned);
	}
	end(&t, process);
wine:
	if (!ours) {
		passed(CALL_QUERY);
		return WINE(QUERY, query_fn)(process, address, class, info, length, returned);
	}
	count_served(CALL_QUERY);
	return status;
}

/* --- locks ------------------------------------------------------------------------------------ */

/* libnt's own calls would mlock(2) what is Wine's. */
static NTSTATUS lock_request(HANDLE process, PVOID *base, SIZE_T *size, ULONG type, uint32_t op)
{
	struct ntvm_lock req = {
		REQUEST(req, process),
		.flags = INDIRECT,
		.base = nt_address(base),
		.len = nt_address(size),
		.op = op,
		.map_type = type,
	};

	return nt_request(NTVM_IOC_LOCK, &req);
}

static NTSTATUS lock(enum call call, HANDLE process, PVOID *base, SIZE_T *size, ULONG type,
		     uint32_t op)
{
	bool final = false;
	NTSTATUS status = 0;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = lock_request(t.process, base, size, type, op);
		/* Said where no page of the range is ntvm's. */
		final = status != STATUS_MEMORY_NOT_ALLOCATED && reason_of(status) != REASON_DEVICE;
		end(&t, process);
	}
	if (!final) {
		passed(call);
		return ((lock_fn *)hooks[call].wine)(process, base, size, type);
	}
	count_served(call);
	return status;
}

static WINAPI NTSTATUS hook_lock(HANDLE process, PVOID *base, SIZE_T *size, ULONG type)
{
	return lock(CALL_LOCK, process, base, size, type, NTVM_LOCK_LOCK);
}

static WINAPI NTSTATUS hook_unlock(HANDLE process, PVOID *base, SIZE_T *size, ULONG type)
{
	return lock(CALL_UNLOCK, process, base, size, type, NTVM_LOCK_UNLOCK);
}

/* --- the rest ----------------------------------------------------------------------------------- */

/* libnt would flush Wine's views, too: whose memory it is, is asked first. */
static WINAPI NTSTATUS hook_flush(HANDLE process, PVOID *base, SIZE_T *size, PVOID io)
{
	bool ours = false;
	NTSTATUS status = 0;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		ours = address_is_ours(t.process, load_address(base));
		if (ours)
			status = NtFlushVirtualMemory(t.process, base, size, io);
		end(&t, process);
	}
	if (!ours) {
		passed(CALL_FLUSH);
		return WINE(FLUSH, flush_fn)(process, base, size, io);
	}
	count_served(CALL_FLUSH);
	return status;
}

static WINAPI NTSTATUS hook_get_watch(HANDLE process, ULONG flags, PVOID base, SIZE_T size,
				      PVOID *addresses, ULONG_PTR *nr, ULONG *granularity)
{
	bool final = false;
	NTSTATUS status = 0;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = NtGetWriteWatch(t.process, flags, base, size, addresses, nr, granularity);
		final = status == STATUS_SUCCESS || address_is_ours(t.process, (uintptr_t)base);
		end(&t, process);
	}
	if (!final) {
		passed(CALL_GET_WATCH);
		return WINE(GET_WATCH, get_watch_fn)(process, flags, base, size, addresses, nr,
						     granularity);
	}
	count_served(CALL_GET_WATCH);
	return status;
}

static WINAPI NTSTATUS hook_reset_watch(HANDLE process, PVOID base, SIZE_T size)
{
	bool final = false;
	NTSTATUS status = 0;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = NtResetWriteWatch(t.process, base, size);
		final = status == STATUS_SUCCESS || address_is_ours(t.process, (uintptr_t)base);
		end(&t, process);
	}
	if (!final) {
		passed(CALL_RESET_WATCH);
		return WINE(RESET_WATCH, reset_watch_fn)(process, base, size);
	}
	count_served(CALL_RESET_WATCH);
	return status;
}

/* A prefetch is for ranges of any owner, and libnt gives the hint for all of them. */
static WINAPI NTSTATUS hook_set_information(HANDLE process, ULONG class, ULONG_PTR nr,
					    MEMORY_RANGE_ENTRY *ranges, PVOID info, ULONG length)
{
	bool final = false;
	NTSTATUS status = 0;
	struct target t;

	if (begin(&t, process, PROCESS_VM_OPERATION)) {
		status = NtSetInformationVirtualMemory(t.process, class, nr, ranges, info, length);
		final = reason_of(status) != REASON_DEVICE && reason_of(status) != REASON_UNSUPPORTED;
		end(&t, process);
	}
	if (!final) {
		passed(CALL_SET_INFORMATION);
		return WINE(SET_INFORMATION, set_information_fn)(process, class, nr, ranges, info,
								 length);
	}
	count_served(CALL_SET_INFORMATION);
	return status;
}

/* --- new processes -------------------------------------------------------------------------------- */

/* The part of RTL_USER_PROCESS_PARAMETERS that is looked at here. */
struct process_parameters {
	ULONG allocation_size, size;
	unsigned char other[0x68];
	UNICODE_STRING command_line;	/* at 0x70 */
};

_Static_assert(offsetof(struct process_parameters, command_line) == 0x70, "as Windows has it");

/* More than there is in any version; strings may follow, up to the size. */
#define PARAMETERS_MAX	0x10000

typedef WINAPI NTSTATUS create_process_fn(HANDLE *, HANDLE *, ACCESS_MASK, ACCESS_MASK, PVOID, PVOID,
					  ULONG, ULONG, struct process_parameters *, PVOID, PVOID);

/*
 * Wine forks, and the child, which has no memory of ntvm, makes the new program's
 * arguments from the parameters and the command line. It gets both in memory that
 * it does have. All else is read before the fork.
 */
static struct process_parameters *copy_parameters(struct process_parameters *theirs, size_t *len)
{
	struct process_parameters head, *copy;
	UNICODE_STRING line;

	if (!load(&head, theirs, sizeof(head)) || head.size < sizeof(head) ||
	    head.size > PARAMETERS_MAX)
		return NULL;
	*len = head.size + sizeof(head) + head.command_line.Length + PAGE;
	copy = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED)
		return NULL;
	line = head.command_line;
	line.MaximumLength = line.Length;
	line.Buffer = (USHORT *)((char *)copy + ((head.size + 15) & ~15u));
	if (!load(copy, theirs, head.size) ||
	    (line.Length && !load(line.Buffer, head.command_line.Buffer, line.Length))) {
		munmap(copy, *len);
		return NULL;
	}
	copy->command_line = line;
	return copy;
}

static WINAPI NTSTATUS hook_create_process(HANDLE *process, HANDLE *thread, ACCESS_MASK process_access,
					   ACCESS_MASK thread_access, PVOID process_attr,
					   PVOID thread_attr, ULONG process_flags, ULONG thread_flags,
					   struct process_parameters *parameters, PVOID info, PVOID attr)
{
	struct process_parameters *copy = NULL;
	NTSTATUS status;
	size_t len = 0;

	if (is_on())
		copy = copy_parameters(parameters, &len);
	status = ((create_process_fn *)hooks[HOOK_CREATE_PROCESS].wine)(
			process, thread, process_access, thread_access, process_attr, thread_attr,
			process_flags, thread_flags, copy ? copy : parameters, info, attr);
	if (copy)
		munmap(copy, len);
	return status;
}

struct hook hooks[NR_HOOKS] = {
	[CALL_ALLOCATE]		= { .name = "NtAllocateVirtualMemory", .fn = hook_allocate },
	[CALL_ALLOCATE_EX]	= { .name = "NtAllocateVirtualMemoryEx", .fn = hook_allocate_ex },
	[CALL_FREE]		= { .name = "NtFreeVirtualMemory", .fn = hook_free },
	[CALL_PROTECT]		= { .name = "NtProtectVirtualMemory", .fn = hook_protect },
	[CALL_QUERY]		= { .name = "NtQueryVirtualMemory", .fn = hook_query },
	[CALL_LOCK]		= { .name = "NtLockVirtualMemory", .fn = hook_lock },
	[CALL_UNLOCK]		= { .name = "NtUnlockVirtualMemory", .fn = hook_unlock },
	[CALL_FLUSH]		= { .name = "NtFlushVirtualMemory", .fn = hook_flush },
	[CALL_GET_WATCH]	= { .name = "NtGetWriteWatch", .fn = hook_get_watch },
	[CALL_RESET_WATCH]	= { .name = "NtResetWriteWatch", .fn = hook_reset_watch },
	[CALL_SET_INFORMATION]	= { .name = "NtSetInformationVirtualMemory",
				    .fn = hook_set_information },
	[HOOK_CREATE_PROCESS]	= { .name = "NtCreateUserProcess", .fn = hook_create_process },
};
