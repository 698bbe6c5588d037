// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations of the vectors. An operation is a row of the table at the end:
 * what it takes, what it gives, and the function that does it. A row without a
 * function is checked when the file is read and its vectors are skipped.
 *
 * All outputs are filled with 0xCC before a call, so that what a call did not
 * write can be seen.
 */
#include "ntvec.h"

#include <stdio.h>
#include <string.h>

#define POISON32	0xCCCCCCCCu
#define POISON		((uintptr_t)0xCCCCCCCCCCCCCCCCull)

/* Entries that a write-watch call of a vector may ask for. */
#define WATCH_ROOM	4096

/* Allocation types that the module knows by name only. */
static const struct name types_not_built[] = {
	{ "PHYSICAL",		MEM_PHYSICAL },
};

void outcome_add(struct outcome *out, const char *key, uint64_t value)
{
	if (out->nr_out == OUT_MAX)
		return;
	out->out[out->nr_out].key = key;
	out->out[out->nr_out++].value = value;
}

void outcome_list(struct outcome *out, const char *key, const uint64_t *values, size_t nr)
{
	if (out->nr_lists == LISTS_MAX)
		return;
	out->list[out->nr_lists].key = key;
	out->list[out->nr_lists].values = values;
	out->list[out->nr_lists++].nr = nr;
}

bool outcome_get(const struct outcome *out, const char *key, uint64_t *value)
{
	for (int i = 0; i < out->nr_out; i++) {
		if (!strcmp(out->out[i].key, key)) {
			*value = out->out[i].value;
			return true;
		}
	}
	return false;
}

static bool pos_number(const struct step *step, int i, struct env *env, uint64_t *value,
		       struct outcome *out)
{
	*value = 0;
	if (step->pos[i].null)
		return true;
	return eval_number(env, step->pos[i].text, value, out->why);
}

static bool pos_flags(const struct step *step, int i, enum names names, struct env *env,
		      uint32_t *value, struct outcome *out)
{
	return eval_flags(env, names, step->pos[i].text, value, out->why);
}

/* The second process, once a step has asked for it. */
static HANDLE second;

static bool second_start(struct outcome *out)
{
	if (!second)
		second = system_second_process(out->why);
	return second;
}

/* h=0: none. h=bad: what no process has. Else @other. */
static HANDLE step_handle_or(const struct step *step, HANDLE other)
{
	const char *h = step_arg(step, "h");

	if (!h)
		return other;
	if (!strcmp(h, "0"))
		return (HANDLE)0;
	return (HANDLE)(uintptr_t)0xDEADBEEFDEADBEEFull;
}

static HANDLE step_handle(const struct step *step)
{
	return step_handle_or(step, NtCurrentProcess());
}

/* The in/out pair of base and size that most calls have. */
struct range {
	PVOID base, base_before;
	SIZE_T size, size_before;
	PVOID *base_p;
	PSIZE_T size_p;
};

static bool range_load(struct range *r, const struct step *step, int base, int size,
		       bool p_is_range, struct env *env, struct outcome *out)
{
	bool null = p_is_range && step_arg(step, "p");
	uint64_t b, s;

	if (!pos_number(step, base, env, &b, out) || !pos_number(step, size, env, &s, out))
		return false;
	r->base = r->base_before = (PVOID)(uintptr_t)b;
	r->size = r->size_before = (SIZE_T)s;
	r->base_p = null || step->pos[base].null ? NULL : &r->base;
	r->size_p = null || step->pos[size].null ? NULL : &r->size;
	return true;
}

static void range_store(const struct range *r, struct outcome *out)
{
	out->changed = r->base != r->base_before || r->size != r->size_before;
	outcome_add(out, "base", (uintptr_t)r->base);
	outcome_add(out, "size", r->size);
}

/* A type that is not built: the vector cannot be judged. */
static void skip_not_built(uint32_t type, struct outcome *out)
{
	if (out->status != (uint32_t)STATUS_NOT_SUPPORTED)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(types_not_built); i++) {
		if (type & types_not_built[i].value) {
			snprintf(out->skip, sizeof(out->skip), "type %s not built",
				 types_not_built[i].name);
			break;
		}
	}
}

static bool op_alloc(const struct step *step, struct env *env, struct outcome *out)
{
	uint32_t type, protect;
	struct range r;
	uint64_t zero_bits;

	if (!range_load(&r, step, 0, 2, true, env, out) ||
	    !pos_number(step, 1, env, &zero_bits, out) ||
	    !pos_flags(step, 3, NAMES_MEM, env, &type, out) ||
	    !pos_flags(step, 4, NAMES_PAGE, env, &protect, out))
		return false;

	out->status = (uint32_t)NtAllocateVirtualMemory(step_handle(step), r.base_p,
							(ULONG_PTR)zero_bits, r.size_p, type, protect);
	range_store(&r, out);
	skip_not_built(type, out);
	return true;
}

/* A number of an argument with a name; false if it is wrong, *given if it is there. */
static bool arg_number(const struct step *step, const char *name, struct env *env,
		       uint64_t *value, bool *given, struct outcome *out)
{
	const char *text = step_arg(step, name);

	*value = 0;
	if (!text)
		return true;
	*given = true;
	return eval_number(env, text, value, out->why);
}

/*
 * lo, hi and align make one parameter, attr makes one, dup=1 makes the one
 * twice. ptype gives the first parameter another type, and makes one if there
 * is none. count and params replace what the call says of the array.
 */
static bool op_allocx(const struct step *step, struct env *env, struct outcome *out)
{
	const char *ptype = step_arg(step, "ptype");
	uint64_t lo, hi, align, attr, dup, count, number;
	bool placed = false, attributed = false, any = false, counted = false;
	MEM_EXTENDED_PARAMETER params[MemExtendedParameterMax] = { 0 };
	MEM_ADDRESS_REQUIREMENTS req;
	uint32_t type, protect;
	struct range r;
	ULONG nr = 0;

	if (!range_load(&r, step, 0, 1, true, env, out) ||
	    !pos_flags(step, 2, NAMES_MEM, env, &type, out) ||
	    !pos_flags(step, 3, NAMES_PAGE, env, &protect, out) ||
	    !arg_number(step, "lo", env, &lo, &placed, out) ||
	    !arg_number(step, "hi", env, &hi, &placed, out) ||
	    !arg_number(step, "align", env, &align, &placed, out) ||
	    !arg_number(step, "attr", env, &attr, &attributed, out) ||
	    !arg_number(step, "dup", env, &dup, &any, out) ||
	    !arg_number(step, "count", env, &count, &counted, out))
		return false;

	req.LowestStartingAddress = (PVOID)(uintptr_t)lo;
	req.HighestEndingAddress = (PVOID)(uintptr_t)hi;
	req.Alignment = (SIZE_T)align;
	if (placed || (ptype && !attributed)) {
		params[nr].Type = MemExtendedParameterAddressRequirements;
		params[nr++].Pointer = &req;
	}
	if (attributed) {
		params[nr].Type = MemExtendedParameterAttributeFlags;
		params[nr++].ULong64 = attr;
	}
	if (dup && nr) {
		params[nr] = params[nr - 1];
		nr++;
	}
	if (ptype) {
		number = MemExtendedParameterMax;
		if (strcmp(ptype, "max") && !eval_number(env, ptype, &number, out->why))
			return false;
		params[0].Type = number & 0xff;
		params[0].Reserved = number >> MEM_EXTENDED_PARAMETER_TYPE_BITS;
	}
	if (counted)
		nr = (ULONG)count;

	out->status = (uint32_t)NtAllocateVirtualMemoryEx(step_handle(step), r.base_p, r.size_p,
							  type, protect,
							  step_arg(step, "params") ? NULL : params,
							  nr);
	range_store(&r, out);
	skip_not_built(type, out);
	return true;
}

static bool op_ralloc(const struct step *step, struct env *env, struct outcome *out)
{
	uint32_t type, protect;
	struct range r;

	if (!range_load(&r, step, 0, 1, true, env, out) ||
	    !pos_flags(step, 2, NAMES_MEM, env, &type, out) ||
	    !pos_flags(step, 3, NAMES_PAGE, env, &protect, out) || !second_start(out))
		return false;

	out->status = (uint32_t)NtAllocateVirtualMemory(step_handle_or(step, second), r.base_p, 0,
							r.size_p, type, protect);
	range_store(&r, out);
	return true;
}

static bool op_free(const struct step *step, struct env *env, struct outcome *out)
{
	struct range r;
	uint32_t type;

	if (!range_load(&r, step, 0, 1, true, env, out) ||
	    !pos_flags(step, 2, NAMES_MEM, env, &type, out))
		return false;

	out->status = (uint32_t)NtFreeVirtualMemory(step_handle(step), r.base_p, r.size_p, type);
	range_store(&r, out);
	return true;
}

/* VirtualFree itself: of its errors only the Win32 code can be seen. */
static bool op_win32free(const struct step *step, struct env *env, struct outcome *out)
{
	struct range r;
	uint32_t type;

	if (!range_load(&r, step, 0, 1, false, env, out) ||
	    !pos_flags(step, 2, NAMES_MEM, env, &type, out))
		return false;

	out->status = (uint32_t)(system_virtual_free(step_handle(step), r.base, r.size, type,
						     &out->w32) ?
				 STATUS_SUCCESS : STATUS_UNSUCCESSFUL);
	return true;
}

static bool protect_in(HANDLE process, const struct step *step, struct env *env,
		       struct outcome *out)
{
	const char *null = step_arg(step, "p");
	ULONG old = POISON32;
	struct range r;
	uint32_t protect;

	if (!range_load(&r, step, 0, 1, false, env, out) ||
	    !pos_flags(step, 2, NAMES_PAGE, env, &protect, out))
		return false;

	out->status = (uint32_t)NtProtectVirtualMemory(process, r.base_p, r.size_p,
						       protect, null ? NULL : &old);
	range_store(&r, out);
	if (!null)
		outcome_add(out, "old", old);
	return true;
}

static bool op_lock(const struct step *step, struct env *env, struct outcome *out)
{
	struct range r;

	if (!range_load(&r, step, 0, 1, true, env, out))
		return false;

	out->status = (uint32_t)NtLockVirtualMemory(step_handle(step), r.base_p, r.size_p,
						    MAP_PROCESS);
	range_store(&r, out);
	return true;
}

static bool op_unlock(const struct step *step, struct env *env, struct outcome *out)
{
	struct range r;

	if (!range_load(&r, step, 0, 1, true, env, out))
		return false;

	out->status = (uint32_t)NtUnlockVirtualMemory(step_handle(step), r.base_p, r.size_p,
						      MAP_PROCESS);
	range_store(&r, out);
	return true;
}

static bool op_prot(const struct step *step, struct env *env, struct outcome *out)
{
	return protect_in(step_handle(step), step, env, out);
}

static bool op_rprot(const struct step *step, struct env *env, struct outcome *out)
{
	return second_start(out) && protect_in(step_handle_or(step, second), step, env, out);
}

/* Room for the answers of all classes. */
#define WSX_MAX		64
static union {
	MEMORY_BASIC_INFORMATION info;
	MEMORY_REGION_INFORMATION region;
	MEMORY_IMAGE_INFORMATION image;
	MEMORY_WORKING_SET_EX_INFORMATION wsx[WSX_MAX];
	unsigned char bytes[4096];
} buffer, buffer_before;

/* Asks for a class with what is in @buffer; @full: bytes of a whole answer. */
static bool query_class(const struct step *step, struct env *env, uint64_t address,
			MEMORY_INFORMATION_CLASS class, uint64_t full, struct outcome *out)
{
	const char *len_text = step_arg(step, "len");
	SIZE_T written = POISON;
	uint64_t len = full;
	uintptr_t at = 0;

	if (len_text && !strcmp(len_text, "short"))
		len = full - 1;
	else if (len_text && !eval_number(env, len_text, &len, out->why))
		return false;

	buffer_before = buffer;
	/* A buffer said to be larger than ours may be written only where ours is. */
	if (!step_arg(step, "p"))
		at = (uintptr_t)&buffer;
	out->status = (uint32_t)NtQueryVirtualMemory(step_handle(step), (PVOID)(uintptr_t)address,
						     class, (PVOID)at, (SIZE_T)len, &written);
	out->changed = written != POISON || memcmp(&buffer, &buffer_before, sizeof(buffer));
	outcome_add(out, "len", written);
	return true;
}

static bool op_query(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address;

	memset(&buffer, 0xCC, sizeof(buffer));
	if (!pos_number(step, 0, env, &address, out) ||
	    !query_class(step, env, address, MemoryBasicInformation, sizeof(buffer.info), out))
		return false;
	if (!NT_SUCCESS(out->status))
		return true;
	outcome_add(out, "ba", (uintptr_t)buffer.info.BaseAddress);
	outcome_add(out, "ab", (uintptr_t)buffer.info.AllocationBase);
	outcome_add(out, "ap", buffer.info.AllocationProtect);
	outcome_add(out, "rs", buffer.info.RegionSize);
	outcome_add(out, "st", buffer.info.State);
	outcome_add(out, "pr", buffer.info.Protect);
	outcome_add(out, "ty", buffer.info.Type);
	return true;
}

static bool op_region(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address;

	memset(&buffer, 0xCC, sizeof(buffer));
	if (!pos_number(step, 0, env, &address, out) ||
	    !query_class(step, env, address, MemoryRegionInformation, sizeof(buffer.region), out))
		return false;
	if (!NT_SUCCESS(out->status))
		return true;
	outcome_add(out, "ab", (uintptr_t)buffer.region.AllocationBase);
	outcome_add(out, "ap", buffer.region.AllocationProtect);
	outcome_add(out, "rs", buffer.region.RegionSize);
	outcome_add(out, "cs", buffer.region.CommitSize);
	outcome_add(out, "rt", buffer.region.RegionType);
	return true;
}

static bool op_imageinfo(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address;

	memset(&buffer, 0xCC, sizeof(buffer));
	if (!pos_number(step, 0, env, &address, out) ||
	    !query_class(step, env, address, MemoryImageInformation, sizeof(buffer.image), out))
		return false;
	if (!NT_SUCCESS(out->status))
		return true;
	outcome_add(out, "base", (uintptr_t)buffer.image.ImageBase);
	outcome_add(out, "size", buffer.image.SizeOfImage);
	outcome_add(out, "flags", buffer.image.ImageFlags);
	return true;
}

/* A number of a list with commas between them; false at its end or if it is none. */
static bool next_number(struct env *env, const char **text, uint64_t *value, struct outcome *out)
{
	size_t len = strcspn(*text, ",");
	char part[256];

	if (!len || len >= sizeof(part))
		return false;
	memcpy(part, *text, len);
	part[len] = '\0';
	*text += len + ((*text)[len] == ',');
	return eval_number(env, part, value, out->why);
}

static bool op_wsx(const struct step *step, struct env *env, struct outcome *out)
{
	const char *text = step->pos[0].text;
	uint64_t address;
	int nr = 0, i;

	memset(&buffer, 0xCC, sizeof(buffer));
	if (!strcmp(text, "none"))
		text = "";
	while (nr < WSX_MAX && next_number(env, &text, &address, out))
		buffer.wsx[nr++].VirtualAddress = (PVOID)(uintptr_t)address;
	if (*text) {
		snprintf(out->why, sizeof(out->why), "a bad list, or too long: \"%s\"", text);
		return false;
	}
	if (!query_class(step, env, 0, MemoryWorkingSetExInformation,
			 (uint64_t)nr * sizeof(buffer.wsx[0]), out))
		return false;
	outcome_add(out, "n", (uint64_t)nr);
	if (!NT_SUCCESS(out->status))
		return true;
	for (i = 0; i < nr && out->nr_out < OUT_MAX - 2; i++) {
		outcome_add(out, "valid", buffer.wsx[i].u1.VirtualAttributes.Valid);
		outcome_add(out, "shared", buffer.wsx[i].u1.VirtualAttributes.Shared);
	}
	if (nr)
		outcome_add(out, "prot", buffer.wsx[0].u1.VirtualAttributes.Win32Protection);
	return true;
}

static bool op_rd(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address;
	uint8_t byte = 0;

	if (!pos_number(step, 0, env, &address, out))
		return false;
	out->status = access_read(address, &byte);
	if (!out->status)
		outcome_add(out, "val", byte);
	return true;
}

static bool op_wr(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address, byte;

	if (!pos_number(step, 0, env, &address, out) || !pos_number(step, 1, env, &byte, out))
		return false;
	out->status = access_write(address, (uint8_t)byte);
	return true;
}

static bool op_wr4(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address, dword;

	if (!pos_number(step, 0, env, &address, out) || !pos_number(step, 1, env, &dword, out))
		return false;
	out->status = access_write4(address, (uint32_t)dword);
	return true;
}

static bool op_wrstride(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address, stride, n, byte;

	if (!pos_number(step, 0, env, &address, out) || !pos_number(step, 1, env, &stride, out) ||
	    !pos_number(step, 2, env, &n, out) || !pos_number(step, 3, env, &byte, out))
		return false;
	for (; n && !out->status; n--, address += stride)
		out->status = access_write(address, (uint8_t)byte);
	return true;
}

static bool op_gww(const struct step *step, struct env *env, struct outcome *out)
{
	static PVOID array[WATCH_ROOM + 1];
	static uint64_t list[WATCH_ROOM];
	const char *null = step_arg(step, "p");
	uint64_t address, size, room;
	ULONG granularity = POISON32;
	ULONG_PTR count;
	uint32_t flags;

	if (!pos_number(step, 0, env, &address, out) || !pos_number(step, 1, env, &size, out) ||
	    !pos_number(step, 2, env, &room, out) ||
	    !pos_flags(step, 3, NAMES_WATCH, env, &flags, out))
		return false;
	if (room > WATCH_ROOM) {
		snprintf(out->why, sizeof(out->why), "more than %d entries", WATCH_ROOM);
		return false;
	}

	memset(array, 0xCC, sizeof(array));
	count = (ULONG_PTR)room;
	out->status = (uint32_t)NtGetWriteWatch(step_handle(step), flags,
			(PVOID)(uintptr_t)address, (SIZE_T)size,
			null && !strcmp(null, "nulladdr") ? NULL : array,
			null && !strcmp(null, "nullcount") ? NULL : &count,
			null && !strcmp(null, "nullgran") ? NULL : &granularity);

	out->changed = count != room || granularity != POISON32;
	for (size_t i = 0; i < room; i++)
		out->changed |= (uintptr_t)array[i] != POISON;
	if (!NT_SUCCESS(out->status))
		return true;
	/* What is behind the entries that were filled stays as it was. */
	for (size_t i = count; i <= room; i++) {
		if ((uintptr_t)array[i] != POISON) {
			snprintf(out->why, sizeof(out->why), "entry %zu was written", i);
			return false;
		}
	}
	for (size_t i = 0; i < count; i++)
		list[i] = (uintptr_t)array[i];
	outcome_list(out, "list", list, count);
	outcome_add(out, "n", count);
	outcome_add(out, "gran", granularity);
	return true;
}

static bool op_rww(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address, size;

	if (!pos_number(step, 0, env, &address, out) || !pos_number(step, 1, env, &size, out))
		return false;
	out->status = (uint32_t)NtResetWriteWatch(step_handle(step), (PVOID)(uintptr_t)address,
						  (SIZE_T)size);
	return true;
}

static bool op_kread_pending(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address, size;

	return pos_number(step, 0, env, &address, out) && pos_number(step, 1, env, &size, out) &&
	       system_read_start((void *)(uintptr_t)address, (size_t)size, out);
}

static bool op_kread_complete(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t n;

	return pos_number(step, 0, env, &n, out) && system_read_finish((size_t)n, out);
}

/* The stack of this thread, which runs all steps. */
static bool op_setstack(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t base, limit, bottom;

	if (!pos_number(step, 0, env, &base, out) || !pos_number(step, 1, env, &limit, out) ||
	    !pos_number(step, 2, env, &bottom, out))
		return false;
	out->status = system_set_stack((PVOID)(uintptr_t)base, (PVOID)(uintptr_t)limit,
				       (PVOID)(uintptr_t)bottom);
	return true;
}

/* A store to each page from the first address down to the second. */
static bool op_touchdown(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t from, to, at;

	if (!pos_number(step, 0, env, &from, out) || !pos_number(step, 1, env, &to, out))
		return false;
	for (at = from; at >= to && !out->status; at -= 0x1000)
		out->status = access_write(at, (uint8_t)(at >> 12));
	return true;
}

static bool op_unmap(const struct step *step, struct env *env, struct outcome *out)
{
	uint64_t address;
	uint32_t flags;

	if (!pos_number(step, 0, env, &address, out) ||
	    !pos_flags(step, 1, NAMES_MEM, env, &flags, out))
		return false;
	system_unmap(step_handle(step), (PVOID)(uintptr_t)address, flags, out);
	return true;
}

/* The caller's side of a copy, with a pattern that is not what is poisoned. */
#define COPY_MAX	(1u << 20)
static unsigned char copy_room[COPY_MAX];

static bool copy_vm(const struct step *step, struct env *env, bool write, struct outcome *out)
{
	const char *local_text = step_arg(step, write ? "from" : "to");
	uint64_t remote, size, local = (uintptr_t)copy_room;
	HANDLE process = step_handle_or(step, second ? second : NtCurrentProcess());
	SIZE_T n = POISON;

	if (!pos_number(step, 0, env, &remote, out) || !pos_number(step, 1, env, &size, out))
		return false;
	if (local_text && !eval_number(env, local_text, &local, out->why))
		return false;
	if (!local_text && size > COPY_MAX) {
		snprintf(out->why, sizeof(out->why), "no room for %llu bytes",
			 (unsigned long long)size);
		return false;
	}
	memset(copy_room, write ? 0x5A : 0xCC, sizeof(copy_room));
	if (write)
		out->status = (uint32_t)NtWriteVirtualMemory(process, (PVOID)(uintptr_t)remote,
							     (PVOID)(uintptr_t)local, (SIZE_T)size,
							     step_arg(step, "p") ? NULL : &n);
	else
		out->status = (uint32_t)NtReadVirtualMemory(process, (PVOID)(uintptr_t)remote,
							    (PVOID)(uintptr_t)local, (SIZE_T)size,
							    step_arg(step, "p") ? NULL : &n);
	out->changed = n != POISON;
	outcome_add(out, "n", n);
	return true;
}

static bool op_rdvm(const struct step *step, struct env *env, struct outcome *out)
{
	return copy_vm(step, env, false, out);
}

static bool op_wrvm(const struct step *step, struct env *env, struct outcome *out)
{
	return copy_vm(step, env, true, out);
}

static bool op_setvminfo(const struct step *step, struct env *env, struct outcome *out)
{
	const char *entry = step_arg(step, "entry"), *info_text = step_arg(step, "info");
	const char *n_text = step_arg(step, "n"), *len_text = step_arg(step, "len");
	const char *class_text = step_arg(step, "class");
	uint64_t class = 0, n = 1, len = sizeof(ULONG), number = 0;
	MEMORY_RANGE_ENTRY range = { 0 };
	ULONG info = 0;
	bool no_info = info_text && !strcmp(info_text, "null");

	if ((class_text && !eval_number(env, class_text, &class, out->why)) ||
	    (n_text && !eval_number(env, n_text, &n, out->why)) ||
	    (len_text && !eval_number(env, len_text, &len, out->why)))
		return false;
	if (info_text && !no_info && strcmp(info_text, "ok")) {
		if (!eval_number(env, info_text, &number, out->why))
			return false;
		info = (ULONG)number;
	}
	if (entry) {
		if (!next_number(env, &entry, &number, out))
			return false;
		range.VirtualAddress = (PVOID)(uintptr_t)number;
		if (!next_number(env, &entry, &number, out))
			return false;
		range.NumberOfBytes = (SIZE_T)number;
	}
	if (entry && n > 1) {
		snprintf(out->why, sizeof(out->why), "there is one entry only");
		return false;
	}
	out->status = (uint32_t)NtSetInformationVirtualMemory(
		step_handle(step), (VIRTUAL_MEMORY_INFORMATION_CLASS)class, (ULONG_PTR)n,
		entry ? &range : NULL, no_info ? NULL : &info, (ULONG)len);
	return true;
}

#define H		{ "h", KIND_WORD, "0|bad" }
#define P_NULL		{ "p", KIND_WORD, "null" }
#define LEN		{ "len", KIND_WORD_OR_NUM, "short" }
#define PLACED		{ "base", KIND_NUM, NULL }, { "size", KIND_NUM, NULL }
#define ALLOCATED	PLACED, { "as", KIND_NAME, NULL }, { "align", KIND_NUM, NULL },		\
			{ "below", KIND_NUM, NULL }, { "atleast", KIND_NUM, NULL },		\
			{ "endle", KIND_NUM, NULL }

const struct op ops[] = {
	{
		.name = "alloc",
		.pos = {
			{ "base", KIND_ADDR, NULL },
			{ "zerobits", KIND_NUM, NULL },
			{ "size", KIND_ADDR, NULL },
			{ "type", KIND_MEM, NULL },
			{ "prot", KIND_PAGE, NULL },
		},
		.args = { H, P_NULL },
		.outs = { ALLOCATED },
		.run = op_alloc,
	}, {
		.name = "allocx",
		.pos = {
			{ "base", KIND_ADDR, NULL },
			{ "size", KIND_ADDR, NULL },
			{ "type", KIND_MEM, NULL },
			{ "prot", KIND_PAGE, NULL },
		},
		.args = {
			H, P_NULL,
			{ "lo", KIND_NUM, NULL },
			{ "hi", KIND_NUM, NULL },
			{ "align", KIND_NUM, NULL },
			{ "attr", KIND_NUM, NULL },
			{ "dup", KIND_NUM, NULL },
			{ "ptype", KIND_WORD_OR_NUM, "max" },
			{ "count", KIND_NUM, NULL },
			{ "params", KIND_WORD, "null" },
		},
		.outs = { ALLOCATED },
		.run = op_allocx,
	}, {
		.name = "free",
		.pos = {
			{ "base", KIND_ADDR, NULL },
			{ "size", KIND_ADDR, NULL },
			{ "type", KIND_MEM, NULL },
		},
		.args = { H, P_NULL },
		.outs = { PLACED },
		.run = op_free,
	}, {
		.name = "win32free",
		.pos = {
			{ "base", KIND_NUM, NULL },
			{ "size", KIND_NUM, NULL },
			{ "type", KIND_MEM, NULL },
		},
		.args = { H },
		.run = op_win32free,
	}, {
		.name = "prot",
		.pos = {
			{ "base", KIND_ADDR, NULL },
			{ "size", KIND_ADDR, NULL },
			{ "new", KIND_PAGE, NULL },
		},
		.args = { H, P_NULL },
		.outs = { PLACED, { "old", KIND_PAGE, NULL } },
		.run = op_prot,
	}, {
		.name = "query",
		.pos = { { "addr", KIND_NUM, NULL } },
		.args = { H, P_NULL, LEN },
		.outs = {
			{ "ba", KIND_NUM, NULL },
			{ "ab", KIND_NUM, NULL },
			{ "ap", KIND_PAGE, NULL },
			{ "rs", KIND_NUM, NULL },
			{ "st", KIND_STATE, NULL },
			{ "pr", KIND_PAGE, NULL },
			{ "ty", KIND_TYPE, NULL },
			{ "len", KIND_NUM, NULL },
		},
		.run = op_query,
	}, {
		.name = "region",
		.pos = { { "addr", KIND_NUM, NULL } },
		.args = { H, P_NULL, LEN },
		.outs = {
			{ "ab", KIND_NUM, NULL },
			{ "ap", KIND_PAGE, NULL },
			{ "rs", KIND_NUM, NULL },
			{ "cs", KIND_NUM, NULL },
			{ "rt", KIND_NUM, NULL },
			{ "len", KIND_NUM, NULL },
		},
		.run = op_region,
	}, {
		.name = "imageinfo",
		.pos = { { "addr", KIND_NUM, NULL } },
		.args = { H, P_NULL, LEN },
		.outs = { PLACED, { "flags", KIND_NUM, NULL }, { "len", KIND_NUM, NULL } },
		.run = op_imageinfo,
	}, {
		.name = "wsx",
		.pos = { { "addrs", KIND_WORD_OR_LIST, "none" } },
		.args = { H, P_NULL, LEN },
		.outs = {
			{ "valid", KIND_LIST, NULL },
			{ "prot", KIND_PAGE, NULL },
			{ "shared", KIND_LIST, NULL },
			{ "n", KIND_NUM, NULL },
			{ "len", KIND_NUM, NULL },
		},
		.run = op_wsx,
	}, {
		.name = "rd",
		.pos = { { "addr", KIND_NUM, NULL } },
		.outs = { { "val", KIND_NUM, NULL } },
		.run = op_rd,
	}, {
		.name = "wr",
		.pos = { { "addr", KIND_NUM, NULL }, { "byte", KIND_BYTE, NULL } },
		.run = op_wr,
	}, {
		.name = "wr4",
		.pos = { { "addr", KIND_NUM, NULL }, { "dword", KIND_DWORD, NULL } },
		.run = op_wr4,
	}, {
		.name = "wrstride",
		.pos = {
			{ "base", KIND_NUM, NULL },
			{ "step", KIND_NUM, NULL },
			{ "n", KIND_NUM, NULL },
			{ "byte", KIND_BYTE, NULL },
		},
		.run = op_wrstride,
	}, {
		.name = "gww",
		.pos = {
			{ "base", KIND_NUM, NULL },
			{ "size", KIND_NUM, NULL },
			{ "count", KIND_NUM, NULL },
			{ "flags", KIND_WATCH, NULL },
		},
		.args = { H, { "p", KIND_WORD, "nulladdr|nullcount|nullgran" } },
		.outs = {
			{ "list", KIND_LIST, NULL },
			{ "n", KIND_NUM, NULL },
			{ "gran", KIND_NUM, NULL },
		},
		.run = op_gww,
	}, {
		.name = "rww",
		.pos = { { "base", KIND_NUM, NULL }, { "size", KIND_NUM, NULL } },
		.args = { H },
		.run = op_rww,
	}, {
		.name = "lock",
		.pos = { { "base", KIND_ADDR, NULL }, { "size", KIND_ADDR, NULL } },
		.args = { H, P_NULL },
		.outs = { PLACED },
		.run = op_lock,
	}, {
		.name = "unlock",
		.pos = { { "base", KIND_ADDR, NULL }, { "size", KIND_ADDR, NULL } },
		.args = { H, P_NULL },
		.outs = { PLACED },
		.run = op_unlock,
	}, {
		.name = "rdvm",
		.pos = { { "remote", KIND_NUM, NULL }, { "size", KIND_NUM, NULL } },
		.args = { H, P_NULL, { "from", KIND_NUM, NULL }, { "to", KIND_NUM, NULL } },
		.outs = { { "n", KIND_NUM, NULL } },
		.run = op_rdvm,
	}, {
		.name = "wrvm",
		.pos = { { "remote", KIND_NUM, NULL }, { "size", KIND_NUM, NULL } },
		.args = { H, P_NULL, { "from", KIND_NUM, NULL }, { "to", KIND_NUM, NULL } },
		.outs = { { "n", KIND_NUM, NULL } },
		.run = op_wrvm,
	}, {
		.name = "ralloc",
		.pos = {
			{ "base", KIND_ADDR, NULL },
			{ "size", KIND_ADDR, NULL },
			{ "type", KIND_MEM, NULL },
			{ "prot", KIND_PAGE, NULL },
		},
		.args = { H, P_NULL },
		.outs = { ALLOCATED },
		.run = op_ralloc,
	}, {
		.name = "rprot",
		.pos = {
			{ "base", KIND_ADDR, NULL },
			{ "size", KIND_ADDR, NULL },
			{ "new", KIND_PAGE, NULL },
		},
		.args = { H, P_NULL },
		.outs = { PLACED, { "old", KIND_PAGE, NULL } },
		.run = op_rprot,
	}, {
		.name = "mapview",
		.pos = {
			{ "base", KIND_ADDR, NULL },
			{ "size", KIND_ADDR, NULL },
			{ "flags", KIND_WORD_OR_MEM, "RESERVED_SECTION|FILE|same" },
			{ "prot", KIND_PAGE, NULL },
		},
		.args = { H, P_NULL },
		.outs = { ALLOCATED },
	}, {
		.name = "unmap",
		.pos = { { "addr", KIND_NUM, NULL }, { "flags", KIND_MEM, NULL } },
		.args = { H },
		.run = op_unmap,
	}, {
		.name = "setvminfo",
		.args = {
			H,
			{ "class", KIND_NUM, NULL },
			{ "n", KIND_NUM, NULL },
			{ "entries", KIND_WORD, "null" },
			{ "entry", KIND_LIST, NULL },
			{ "info", KIND_WORD_OR_NUM, "ok|null" },
			{ "len", KIND_NUM, NULL },
		},
		.run = op_setvminfo,
	}, {
		.name = "setstack",
		.pos = {
			{ "base", KIND_NUM, NULL },
			{ "limit", KIND_NUM, NULL },
			{ "dealloc", KIND_NUM, NULL },
		},
		.run = op_setstack,
	}, {
		.name = "touchdown",
		.pos = { { "from", KIND_NUM, NULL }, { "to", KIND_NUM, NULL } },
		.run = op_touchdown,
	}, {
		.name = "kread_pending",
		.pos = { { "buf", KIND_NUM, NULL }, { "size", KIND_NUM, NULL } },
		.run = op_kread_pending,
	}, {
		.name = "kread_complete",
		.pos = { { "n", KIND_NUM, NULL } },
		.run = op_kread_complete,
	},
	{ }
};

const struct op *op_find(const char *name)
{
	const struct op *op;

	for (op = ops; op->name; op++)
		if (!strcmp(op->name, name))
			return op;
	return NULL;
}
