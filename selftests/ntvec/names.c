// SPDX-License-Identifier: GPL-2.0-only
/*
 * The words of the vector format: statuses, flags, symbols, and the expressions
 * that are built of them. An unknown word is an error, never a zero.
 */
#include "ntvec.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct name status_names[] = {
	{ "SUCCESS",			0x00000000 },
	{ "TIMEOUT",			0x00000102 },
	{ "PENDING",			0x00000103 },
	{ "WORKING_SET_LIMIT_RANGE",	0x40000002 },
	{ "IMAGE_NOT_AT_BASE",		0x40000003 },
	{ "WAS_UNLOCKED",		0x40000017 },
	{ "WAS_LOCKED",			0x40000019 },
	{ "GUARD_PAGE_VIOLATION",	0x80000001 },
	{ "DATATYPE_MISALIGNMENT",	0x80000002 },
	{ "BUFFER_OVERFLOW",		0x80000005 },
	{ "PARTIAL_COPY",		0x8000000D },
	{ "DEVICE_BUSY",		0x80000011 },
	{ "UNSUCCESSFUL",		0xC0000001 },
	{ "NOT_IMPLEMENTED",		0xC0000002 },
	{ "INVALID_INFO_CLASS",		0xC0000003 },
	{ "INFO_LENGTH_MISMATCH",	0xC0000004 },
	{ "ACCESS_VIOLATION",		0xC0000005 },
	{ "IN_PAGE_ERROR",		0xC0000006 },
	{ "PAGEFILE_QUOTA",		0xC0000007 },
	{ "INVALID_HANDLE",		0xC0000008 },
	{ "INVALID_CID",		0xC000000B },
	{ "INVALID_PARAMETER",		0xC000000D },
	{ "NO_SUCH_DEVICE",		0xC000000E },
	{ "NO_MEMORY",			0xC0000017 },
	{ "CONFLICTING_ADDRESSES",	0xC0000018 },
	{ "NOT_MAPPED_VIEW",		0xC0000019 },
	{ "UNABLE_TO_FREE_VM",		0xC000001A },
	{ "UNABLE_TO_DELETE_SECTION",	0xC000001B },
	{ "ILLEGAL_INSTRUCTION",	0xC000001D },
	{ "INVALID_VIEW_SIZE",		0xC000001F },
	{ "ALREADY_COMMITTED",		0xC0000021 },
	{ "ACCESS_DENIED",		0xC0000022 },
	{ "BUFFER_TOO_SMALL",		0xC0000023 },
	{ "OBJECT_TYPE_MISMATCH",	0xC0000024 },
	{ "UNABLE_TO_DECOMMIT_VM",	0xC000002C },
	{ "NOT_LOCKED",			0xC000002A },
	{ "NOT_COMMITTED",		0xC000002D },
	{ "INVALID_PARAMETER_MIX",	0xC0000030 },
	{ "QUOTA_EXCEEDED",		0xC0000044 },
	{ "INVALID_PAGE_PROTECTION",	0xC0000045 },
	{ "INCOMPATIBLE_FILE_MAP",	0xC000004D },
	{ "SECTION_PROTECTION",		0xC000004E },
	{ "FILE_LOCK_CONFLICT",		0xC0000054 },
	{ "REVISION_MISMATCH",		0xC0000059 },
	{ "PRIVILEGE_NOT_HELD",		0xC0000061 },
	{ "INTEGER_OVERFLOW",		0xC0000095 },
	{ "INSUFFICIENT_RESOURCES",	0xC000009A },
	{ "FREE_VM_NOT_AT_BASE",	0xC000009F },
	{ "MEMORY_NOT_ALLOCATED",	0xC00000A0 },
	{ "WORKING_SET_QUOTA",		0xC00000A1 },
	{ "NOT_SUPPORTED",		0xC00000BB },
	{ "INVALID_USER_BUFFER",	0xC00000E8 },
	{ "INVALID_PARAMETER_1",	0xC00000EF },
	{ "INVALID_PARAMETER_2",	0xC00000F0 },
	{ "INVALID_PARAMETER_3",	0xC00000F1 },
	{ "INVALID_PARAMETER_4",	0xC00000F2 },
	{ "INVALID_PARAMETER_5",	0xC00000F3 },
	{ "INVALID_PARAMETER_6",	0xC00000F4 },
	{ "INVALID_PARAMETER_7",	0xC00000F5 },
	{ "INVALID_PARAMETER_8",	0xC00000F6 },
	{ "INVALID_PARAMETER_9",	0xC00000F7 },
	{ "INVALID_PARAMETER_10",	0xC00000F8 },
	{ "INVALID_PARAMETER_11",	0xC00000F9 },
	{ "INVALID_PARAMETER_12",	0xC00000FA },
	{ "STACK_OVERFLOW",		0xC00000FD },
	{ "PROCESS_IS_TERMINATING",	0xC000010A },
	{ "CANNOT_DELETE",		0xC0000121 },
	{ "PAGEFILE_QUOTA_EXCEEDED",	0xC000012C },
	{ "COMMITMENT_LIMIT",		0xC000012D },
	{ "INVALID_ADDRESS",		0xC0000141 },
	{ "MAPPED_ALIGNMENT",		0xC0000220 },
	{ "NOT_FOUND",			0xC0000225 },
};

/* Values meet in this table, words do not: which parameter has one is clear. */
static const struct name mem_names[] = {
	{ "COALESCE_PLACEHOLDERS",	0x00000001 },
	{ "UNMAP_WITH_TRANSIENT_BOOST",	0x00000001 },
	{ "PRESERVE_PLACEHOLDER",	0x00000002 },
	{ "COMMIT",			0x00001000 },
	{ "RESERVE",			0x00002000 },
	{ "REPLACE_PLACEHOLDER",	0x00004000 },
	{ "DECOMMIT",			0x00004000 },
	{ "RELEASE",			0x00008000 },
	{ "FREE",			0x00010000 },
	{ "PRIVATE",			0x00020000 },
	{ "MAPPED",			0x00040000 },
	{ "RESERVE_PLACEHOLDER",	0x00040000 },
	{ "RESET",			0x00080000 },
	{ "TOP_DOWN",			0x00100000 },
	{ "WRITE_WATCH",		0x00200000 },
	{ "PHYSICAL",			0x00400000 },
	{ "ROTATE",			0x00800000 },
	{ "IMAGE",			0x01000000 },
	{ "RESET_UNDO",			0x01000000 },
	{ "LARGE_PAGES",		0x20000000 },
	{ "AT_ROUND_TO_PAGE",		0x40000000 },
	{ "4MB_PAGES",			0x80000000 },
	{ }
};

static const struct name page_names[] = {
	{ "NOACCESS",			0x001 },
	{ "READONLY",			0x002 },
	{ "READWRITE",			0x004 },
	{ "WRITECOPY",			0x008 },
	{ "EXECUTE",			0x010 },
	{ "EXECUTE_READ",		0x020 },
	{ "EXECUTE_READWRITE",		0x040 },
	{ "EXECUTE_WRITECOPY",		0x080 },
	{ "GUARD",			0x100 },
	{ "NOCACHE",			0x200 },
	{ "WRITECOMBINE",		0x400 },
	{ "TARGETS_INVALID",		0x40000000 },
	{ "TARGETS_NO_UPDATE",		0x40000000 },
	{ }
};

static const struct name state_names[] = {
	{ "COMMIT",	0x01000 },
	{ "RESERVE",	0x02000 },
	{ "FREE",	0x10000 },
	{ }
};

static const struct name type_names[] = {
	{ "PRIVATE",	0x0020000 },
	{ "MAPPED",	0x0040000 },
	{ "IMAGE",	0x1000000 },
	{ }
};

static const struct name watch_names[] = {
	{ "RESET",	1 },
	{ }
};

static const struct name *const tables[] = {
	[NAMES_MEM] = mem_names,
	[NAMES_PAGE] = page_names,
	[NAMES_STATE] = state_names,
	[NAMES_TYPE] = type_names,
	[NAMES_WATCH] = watch_names,
};

/* The wrappers' own map; -1 for what has no error code. */
int status_to_w32(uint32_t status)
{
	ULONG error = RtlNtStatusToDosError((NTSTATUS)status);

	return error == 317 || error > INT_MAX ? -1 : (int)error;
}

const char *status_name(uint32_t status)
{
	static char text[8][16];
	static unsigned int turn;
	char *p;

	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++)
		if (status_names[i].value == status)
			return status_names[i].name;
	p = text[turn++ % 8];
	snprintf(p, sizeof(text[0]), "0x%08X", status);
	return p;
}

/* A whole number: decimal, or hexadecimal after 0x. Nothing else around it. */
static bool plain_number(const char *text, size_t len, uint64_t *value, char *msg)
{
	bool hex = len > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned int base = hex ? 16 : 10;
	uint64_t sum = 0;
	size_t i;

	for (i = hex ? 2 : 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		unsigned int digit;

		if (isdigit(c))
			digit = c - '0';
		else if (hex && isxdigit(c))
			digit = (unsigned int)tolower(c) - 'a' + 10;
		else
			break;
		if (sum > (UINT64_MAX - digit) / base) {
			snprintf(msg, MSG_MAX, "number too large: \"%.*s\"", (int)len, text);
			return false;
		}
		sum = sum * base + digit;
	}
	if (!len || i < len) {
		snprintf(msg, MSG_MAX, "bad number \"%.*s\"", (int)len, text);
		return false;
	}
	*value = sum;
	return true;
}

static bool same_text(const char *name, const char *text, size_t len)
{
	return strlen(name) == len && !memcmp(name, text, len);
}

static bool symbol(struct env *env, const char *text, size_t len, uint64_t *value, char *msg)
{
	for (int i = 0; i < env->nr; i++) {
		if (same_text(env->bound[i].name, text, len)) {
			*value = env->bound[i].value;
			return true;
		}
	}
	if (same_text("B", text, len)) {
		env->used_b = true;
		*value = env->b;
	} else if (same_text("IMG", text, len)) {
		*value = env->img;
	} else if (same_text("KERN", text, len)) {
		*value = env->kern;
	} else if (same_text("APPMAX", text, len)) {
		*value = env->appmax;
	} else if (same_text("MAX", text, len)) {
		*value = UINTPTR_MAX;
	} else {
		snprintf(msg, MSG_MAX, "unknown name \"%.*s\"", (int)len, text);
		return false;
	}
	return true;
}

bool eval_number(struct env *env, const char *text, uint64_t *value, char *msg)
{
	const char *p = text;
	uint64_t sum = 0;
	bool minus = false;

	for (;;) {
		size_t len = strcspn(p, "+-");
		uint64_t term;

		if (!len) {
			snprintf(msg, MSG_MAX, "bad number \"%s\"", text);
			return false;
		}
		if (isdigit((unsigned char)*p)) {
			if (!plain_number(p, len, &term, msg))
				return false;
		} else if (!symbol(env, p, len, &term, msg)) {
			return false;
		}
		sum = minus ? sum - term : sum + term;
		p += len;
		if (!*p)
			break;
		minus = *p++ == '-';
	}
	*value = (uintptr_t)sum;
	return true;
}

bool eval_flags(struct env *env, enum names names, const char *text, uint32_t *value, char *msg)
{
	const char *p = text;
	uint32_t sum = 0;

	for (;;) {
		size_t len = strcspn(p, "|");
		const struct name *n;
		uint64_t number;

		for (n = tables[names]; n->name; n++)
			if (same_text(n->name, p, len))
				break;
		if (n->name) {
			sum |= n->value;
		} else if (isdigit((unsigned char)*p)) {
			if (!plain_number(p, len, &number, msg))
				return false;
			if (number > UINT32_MAX) {
				snprintf(msg, MSG_MAX, "flags wider than 32 bits: \"%s\"", text);
				return false;
			}
			sum |= (uint32_t)number;
		} else if (same_text("MAX", p, len)) {
			sum = UINT32_MAX;
		} else {
			snprintf(msg, MSG_MAX, "unknown constant \"%.*s\"", (int)len, p);
			return false;
		}
		p += len;
		if (!*p)
			break;
		p++;
	}
	(void)env;
	*value = sum;
	return true;
}

bool eval_status(const char *text, uint32_t *value, char *msg)
{
	uint64_t number;

	if (!strncmp(text, "STATUS_", 7))
		text += 7;
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++) {
		if (!strcmp(status_names[i].name, text)) {
			*value = status_names[i].value;
			return true;
		}
	}
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		if (!plain_number(text, strlen(text), &number, msg))
			return false;
		if (number <= UINT32_MAX) {
			*value = (uint32_t)number;
			return true;
		}
	}
	snprintf(msg, MSG_MAX, "unknown status \"%s\"", text);
	return false;
}

/* The symbols of the format are upper case: a name that starts so would hide one. */
bool name_can_be_bound(const char *name)
{
	if (!islower((unsigned char)*name) || strlen(name) >= sizeof(((struct env *)0)->bound[0].name))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

bool env_bind(struct env *env, const char *name, uint64_t value)
{
	int i;

	for (i = 0; i < env->nr; i++)
		if (!strcmp(env->bound[i].name, name))
			break;
	if (i == ENV_MAX)
		return false;
	if (i == env->nr) {
		snprintf(env->bound[i].name, sizeof(env->bound[i].name), "%s", name);
		env->nr++;
	}
	env->bound[i].value = value;
	return true;
}
