// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a step did what its line says.
 */
#include "ntvec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A number among those between the bars. */
static bool number_in(struct env *env, const char *text, uint64_t value, char *msg)
{
	char part[256];
	uint64_t wanted;
	size_t len;

	for (;;) {
		len = strcspn(text, "|");
		if (len >= sizeof(part))
			return false;
		memcpy(part, text, len);
		part[len] = '\0';
		if (!eval_number(env, part, &wanted, msg))
			return false;
		if (wanted == value)
			return true;
		if (!text[len])
			return false;
		text += len + 1;
	}
}

/* Flags that are one of the words between the bars. */
static bool flags_in(struct env *env, enum names names, const char *text, uint64_t value, char *msg)
{
	char part[256];
	uint32_t wanted;
	size_t len;

	for (;;) {
		len = strcspn(text, "|");
		if (len >= sizeof(part))
			return false;
		memcpy(part, text, len);
		part[len] = '\0';
		if (!eval_flags(env, names, part, &wanted, msg))
			return false;
		if (wanted == value)
			return true;
		if (!text[len])
			return false;
		text += len + 1;
	}
}

/* The numbers between the commas, all of them, in order. */
static bool list_is(struct env *env, const char *text, const uint64_t *values, size_t nr, char *msg)
{
	char part[256];
	uint64_t wanted;
	size_t i, len;

	for (i = 0; *text; i++) {
		len = strcspn(text, ",");
		if (len >= sizeof(part))
			return false;
		memcpy(part, text, len);
		part[len] = '\0';
		if (!eval_number(env, part, &wanted, msg))
			return false;
		if (i >= nr || wanted != values[i]) {
			snprintf(msg, MSG_MAX, "entry %zu of %zu is 0x%llX", i, nr,
				 i < nr ? (unsigned long long)values[i] : 0);
			return false;
		}
		text += len + (text[len] == ',');
	}
	if (i != nr)
		snprintf(msg, MSG_MAX, "there are %zu, the first one more is 0x%llX", nr,
			 (unsigned long long)values[i]);
	return i == nr;
}

/*
 * READWRITE|GUARD is one protection, READWRITE|READONLY cannot be one (there is
 * only one base protection at a time) and means either; so do numbers only.
 */
static bool protection_in(struct env *env, const char *text, uint64_t value, char *msg)
{
	bool numbers = !text[strspn(text, "0123456789abcdefABCDEFxX|")];
	uint32_t all, low;

	if (!eval_flags(env, NAMES_PAGE, text, &all, msg))
		return false;
	low = all & 0xFF;
	if (strchr(text, '|') && (numbers || low & (low - 1)))
		return flags_in(env, NAMES_PAGE, text, value, msg);
	return value == all;
}

static bool w32_matches(const struct step *step, struct env *env, const struct outcome *out)
{
	int w32 = out->w32 >= 0 ? out->w32 : status_to_w32(out->status);
	char msg[MSG_MAX];

	return w32 >= 0 && number_in(env, step->w32, (uint64_t)w32, msg);
}

static bool status_matches(const struct step *step, struct env *env, const struct outcome *out)
{
	uint32_t status = out->status;
	bool w32 = step->w32 && w32_matches(step, env, out);
	bool known = out->w32 >= 0 || status_to_w32(status) >= 0;

	for (int i = 0; i < step->nr_status; i++) {
		if (step->status[i].fail) {
			if (!NT_SUCCESS(status) && (!step->w32 || w32))
				return true;
		} else if (step->status[i].inferred) {
			/* Only the Win32 code was seen, the status is a guess. */
			if (step->w32 ? w32 && NT_SUCCESS(status) ==
					       NT_SUCCESS(step->status[i].status) :
					status == step->status[i].status)
				return true;
		} else if (status == step->status[i].status) {
			if (!step->w32 || w32 || !known)
				return true;
		}
	}
	return false;
}

static bool success_is_expected(const struct step *step)
{
	for (int i = 0; i < step->nr_status; i++)
		if (!step->status[i].fail && NT_SUCCESS(step->status[i].status))
			return true;
	return false;
}

/* Keys that bound the place of an allocation. */
static bool check_bound(const struct arg *arg, struct env *env, const struct outcome *out,
			bool *is_bound, char *msg)
{
	const char *key = arg->key->name;
	uint64_t base, size, limit;

	*is_bound = !strcmp(key, "align") || !strcmp(key, "below") ||
		    !strcmp(key, "atleast") || !strcmp(key, "endle");
	if (!*is_bound || !NT_SUCCESS(out->status))
		return true;
	if (!eval_number(env, arg->text, &limit, msg) ||
	    !outcome_get(out, "base", &base) || !outcome_get(out, "size", &size))
		return false;
	if (!strcmp(key, "align"))
		return limit && base % limit == 0;
	if (!strcmp(key, "below"))
		return base < limit;
	if (!strcmp(key, "atleast"))
		return base >= limit;
	return base + size >= base && base + size <= limit;
}

static bool check_result(const struct arg *arg, struct env *env, const struct outcome *out,
			 char *msg)
{
	bool is_bound;
	uint64_t value;

	if (!check_bound(arg, env, out, &is_bound, msg))
		return false;
	if (is_bound)
		return true;
	for (int i = 0; i < out->nr_lists; i++) {
		if (!strcmp(out->list[i].key, arg->key->name))
			return list_is(env, arg->text, out->list[i].values, out->list[i].nr, msg);
	}
	if (!outcome_get(out, arg->key->name, &value)) {
		snprintf(msg, MSG_MAX, "no %s to look at", arg->key->name);
		return false;
	}
	switch (arg->key->kind) {
	case KIND_PAGE:
		return protection_in(env, arg->text, value, msg);
	case KIND_STATE:
		return flags_in(env, NAMES_STATE, arg->text, value, msg);
	case KIND_TYPE:
		return flags_in(env, NAMES_TYPE, arg->text, value, msg);
	default:
		return number_in(env, arg->text, value, msg);
	}
}

/* "expected ..., got ..." with all there is to know. */
static void explain(const struct step *step, const struct outcome *out, const char *what,
		    const char *detail, char *msg)
{
	const char *expected = strstr(step->text, "=>");
	size_t used;

	used = (size_t)snprintf(msg, MSG_MAX, "expected %s, got %s",
				expected ? expected + 2 + strspn(expected + 2, " \t") : "?",
				status_name(out->status));
	for (int i = 0; i < out->nr_out && used < MSG_MAX; i++)
		used += (size_t)snprintf(msg + used, MSG_MAX - used, " %s=0x%llX", out->out[i].key,
					 (unsigned long long)out->out[i].value);
	if (what && used < MSG_MAX)
		used += (size_t)snprintf(msg + used, MSG_MAX - used, " (%s%s%s)", what,
					 *detail ? ": " : "", detail);
}

enum verdict check_step(const struct step *step, struct env *env,
			const struct outcome *out, char *msg)
{
	bool success = NT_SUCCESS(out->status);
	const char *bind = NULL;
	char detail[MSG_MAX] = "";
	uint64_t base;

	if (!status_matches(step, env, out)) {
		if (out->skip[0]) {
			snprintf(msg, MSG_MAX, "%s", out->skip);
			return SKIPPED;
		}
		explain(step, out, NULL, "", msg);
		return FAILED;
	}
	if (step->same && out->changed) {
		explain(step, out, "changed", "", msg);
		return FAILED;
	}

	for (int i = 0; i < KEYS_MAX; i++)
		if (step->outs[i].given && step->outs[i].key->kind == KIND_NAME)
			bind = step->outs[i].text;
	if (bind && success) {
		if (!outcome_get(out, "base", &base) || !env_bind(env, bind, base)) {
			explain(step, out, "cannot bind", bind, msg);
			return FAILED;
		}
	}

	/* What a call gives is of interest if it succeeded, or if it had to fail. */
	if (success || !success_is_expected(step)) {
		for (int i = 0; i < KEYS_MAX; i++) {
			const struct arg *arg = &step->outs[i];

			if (!arg->given || arg->key->kind == KIND_NAME)
				continue;
			if (!check_result(arg, env, out, detail)) {
				explain(step, out, arg->key->name, detail, msg);
				return FAILED;
			}
		}
	}

	if (bind && !success) {
		snprintf(msg, MSG_MAX, "%s", status_name(out->status));
		return ENDED;
	}
	return PASSED;
}
