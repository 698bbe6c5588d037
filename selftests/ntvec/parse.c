// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vector file into vectors. Everything that can be known to be wrong without
 * running a call is found here, also in operations that are not built yet: a
 * file that is misread would pass for a file that holds.
 */
#include "ntvec.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rounds of a vector that says "repeat" and no number. */
#define ROUNDS	1000
#define TOKENS_MAX	64

/* What a vector can ask for in need=. A capability that is not here is not built. */
static const struct {
	const char *name;
	bool built;
} capabilities[] = {
	{ "64bit",	sizeof(void *) == 8 },
	{ "32bit",	sizeof(void *) == 4 },
	{ "image",	true },
	{ "io",		true },
	{ "lock",	true },
	{ "low",	true },
	{ "nocache",	true },
	{ "stack",	true },
	{ "watch",	true },
	{ "win10",	true },
	{ "xproc",	true },
};

static void *xrealloc(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	if (!p) {
		perror("ntvec");
		exit(1);
	}
	return p;
}

static char *xstrdup(const char *s)
{
	return strcpy(xrealloc(NULL, strlen(s) + 1), s);
}

static struct vector *vector_add(struct vectors *all, const char *file, int line)
{
	struct vector *v;

	all->v = xrealloc(all->v, (size_t)(all->nr + 1) * sizeof(*all->v));
	v = &all->v[all->nr++];
	*v = (struct vector){
		.file = file,
		.line = line,
		.contract = -1,
		.rounds = 1,
	};
	return v;
}

/* The first thing that is wrong with a vector is the one that is told. */
__attribute__((format(printf, 3, 4)))
static void vector_error(struct vector *v, int line, const char *format, ...)
{
	char text[MSG_MAX], whole[2 * MSG_MAX];
	va_list args;

	if (v->error)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (line)
		snprintf(whole, sizeof(whole), "%s:%d: %s", v->file, line, text);
	else
		snprintf(whole, sizeof(whole), "%s: %s", v->file, text);
	v->error = xstrdup(whole);
}

/* Cuts a line into words, in place; -1 if there are too many. */
static int split(char *line, char **token)
{
	int nr = 0;
	char *p = line;

	for (;;) {
		while (isspace((unsigned char)*p))
			*p++ = '\0';
		if (!*p || *p == '#') {
			*p = '\0';
			return nr;
		}
		if (nr == TOKENS_MAX)
			return -1;
		token[nr++] = p;
		while (*p && !isspace((unsigned char)*p))
			p++;
	}
}

/* Cuts "key=value" in two; NULL if there is no "=". */
static char *split_key(char *token)
{
	char *value = strchr(token, '=');

	if (!value)
		return NULL;
	*value = '\0';
	return value + 1;
}

static bool word_listed(const char *words, const char *word, size_t len)
{
	const char *p = words;

	while (p && *p) {
		size_t n = strcspn(p, "|");

		if (n == len && !memcmp(p, word, len))
			return true;
		p += n;
		p += *p == '|';
	}
	return false;
}

/* Cuts off the part before the separator, into @part; false at the end. */
static bool next_part(const char **text, char separator, char *part, size_t room)
{
	const char *end;
	size_t len;

	if (!*text)
		return false;
	end = strchr(*text, separator);
	len = end ? (size_t)(end - *text) : strlen(*text);
	if (len >= room)
		len = room - 1;
	memcpy(part, *text, len);
	part[len] = '\0';
	*text = end ? end + 1 : NULL;
	return true;
}

static bool check_numbers(struct env *env, const char *text, char separator, char *msg)
{
	char part[256];
	uint64_t value;

	while (next_part(&text, separator, part, sizeof(part)))
		if (!eval_number(env, part, &value, msg))
			return false;
	return true;
}

/* In sections, words that are no MEM_ flags may stand among the flags. */
static bool check_words_and_flags(struct env *env, const char *words, const char *text, char *msg)
{
	char part[256];
	uint32_t flags;

	while (next_part(&text, '|', part, sizeof(part)))
		if (!word_listed(words, part, strlen(part)) &&
		    !eval_flags(env, NAMES_MEM, part, &flags, msg))
			return false;
	return true;
}

/* Whether @text can stand where @key says. @result: after the arrow. */
static bool check_value(struct env *env, const struct key *key, const char *text,
			bool result, char *msg)
{
	bool listed = word_listed(key->words, text, strlen(text));
	uint64_t number, limit;
	uint32_t flags;

	if (!*text && key->kind != KIND_LIST) {
		snprintf(msg, MSG_MAX, "no value for \"%s\"", key->name);
		return false;
	}
	switch (key->kind) {
	case KIND_BYTE:
	case KIND_DWORD:
		if (!eval_number(env, text, &number, msg))
			return false;
		limit = key->kind == KIND_BYTE ? 0xFF : 0xFFFFFFFF;
		if (number > limit) {
			snprintf(msg, MSG_MAX, "too large for \"%s\": \"%s\"", key->name, text);
			return false;
		}
		return true;
	case KIND_MEM:
		return eval_flags(env, NAMES_MEM, text, &flags, msg);
	case KIND_PAGE:
		return eval_flags(env, NAMES_PAGE, text, &flags, msg);
	case KIND_STATE:
		return eval_flags(env, NAMES_STATE, text, &flags, msg);
	case KIND_TYPE:
		return eval_flags(env, NAMES_TYPE, text, &flags, msg);
	case KIND_WATCH:
		return eval_flags(env, NAMES_WATCH, text, &flags, msg);
	case KIND_NAME:
		if (name_can_be_bound(text))
			return true;
		snprintf(msg, MSG_MAX, "bad name \"%s\"", text);
		return false;
	case KIND_WORD:
		if (listed)
			return true;
		snprintf(msg, MSG_MAX, "unknown value \"%s\" of \"%s\"", text, key->name);
		return false;
	case KIND_WORD_OR_MEM:
		return check_words_and_flags(env, key->words, text, msg);
	case KIND_WORD_OR_NUM:
		if (listed)
			return true;
		break;
	case KIND_LIST:
	case KIND_WORD_OR_LIST:
		return listed || !*text || check_numbers(env, text, ',', msg);
	case KIND_ADDR:
	case KIND_NUM:
	case KIND_END:
		break;
	}
	if (result)
		return check_numbers(env, text, '|', msg);
	return eval_number(env, text, &number, msg);
}

/* Stores "key=value" among @args, which belong to @keys. */
static bool take_key(const struct key *keys, struct arg *args, const char *name, char *value,
		     char *msg)
{
	for (int i = 0; i < KEYS_MAX && keys[i].kind != KIND_END; i++) {
		if (strcmp(keys[i].name, name))
			continue;
		/* Only a list of ranges is written as the same key again and again. */
		if (args[i].given && strcmp(name, "entry")) {
			snprintf(msg, MSG_MAX, "\"%s\" is given twice", name);
			return false;
		}
		args[i] = (struct arg){ .key = &keys[i], .text = value, .given = true };
		return true;
	}
	snprintf(msg, MSG_MAX, "unknown key \"%s\"", name);
	return false;
}

static bool take_args(struct step *step, char **token, int nr, struct env *env, char *msg)
{
	const struct op *op = step->op;
	int want = 0, have = 0;
	char *value;

	while (want < POS_MAX && op->pos[want].kind != KIND_END)
		want++;

	for (int i = 0; i < nr; i++) {
		/* In place of a pointer p=null is that pointer, elsewhere it is a key. */
		if (!strcmp(token[i], "p=null") && have < want && op->pos[have].kind == KIND_ADDR) {
			step->pos[have++] = (struct arg){ .null = true, .given = true };
			continue;
		}
		value = split_key(token[i]);
		if (value) {
			if (!take_key(op->args, step->args, token[i], value, msg))
				return false;
			continue;
		}
		if (have == want) {
			snprintf(msg, MSG_MAX, "\"%s\" has one argument too many: \"%s\"",
				 op->name, token[i]);
			return false;
		}
		step->pos[have++] = (struct arg){ .text = token[i], .given = true };
	}

	/* One p=null at the start of a list that is short by one: both pointers. */
	if (have && have == want - 1 && step->pos[0].null && !step->pos[1].null &&
	    op->pos[1].kind == KIND_ADDR) {
		memmove(&step->pos[2], &step->pos[1], (size_t)(have - 1) * sizeof(step->pos[0]));
		step->pos[1] = step->pos[0];
		have++;
	}
	if (have < want) {
		snprintf(msg, MSG_MAX, "\"%s\" needs %d arguments and has %d", op->name, want, have);
		return false;
	}

	for (int i = 0; i < want; i++) {
		step->pos[i].key = &op->pos[i];
		if (!step->pos[i].null &&
		    !check_value(env, &op->pos[i], step->pos[i].text, false, msg))
			return false;
	}
	for (int i = 0; i < KEYS_MAX; i++)
		if (step->args[i].given &&
		    !check_value(env, step->args[i].key, step->args[i].text, false, msg))
			return false;
	return true;
}

static bool take_status(struct step *step, const char *text, char *msg)
{
	char part[64];

	while (next_part(&text, '|', part, sizeof(part))) {
		const char *name = part;
		int i = step->nr_status;

		if (i == STATUS_MAX) {
			snprintf(msg, MSG_MAX, "more than %d statuses", STATUS_MAX);
			return false;
		}
		if (*name == '~') {
			step->status[i].inferred = true;
			name++;
		}
		if (!strcmp(name, "fail"))
			step->status[i].fail = true;
		else if (!eval_status(name, &step->status[i].status, msg))
			return false;
		step->nr_status++;
	}
	return true;
}

/* Every status of a step must have one of the step's Win32 errors, by the wrappers' map. */
static bool check_w32(const struct step *step, struct env *env, char *msg)
{
	for (int i = 0; i < step->nr_status; i++) {
		int want = status_to_w32(step->status[i].status);
		const char *text = step->w32;
		bool found = false;
		uint64_t number;
		char part[256];

		if (step->status[i].fail || want < 0)
			continue;
		while (next_part(&text, '|', part, sizeof(part)))
			found |= eval_number(env, part, &number, msg) && number == (uint64_t)want;
		if (!found) {
			snprintf(msg, MSG_MAX, "%s is error %d, not w32=%s",
				 status_name(step->status[i].status), want, step->w32);
			return false;
		}
	}
	return true;
}

static bool take_results(struct step *step, char **token, int nr, struct env *env, char *msg)
{
	static const struct key w32 = { "w32", KIND_NUM, NULL };
	const char *bind = NULL;
	char *value;

	if (!nr) {
		snprintf(msg, MSG_MAX, "no status after \"=>\"");
		return false;
	}
	if (!take_status(step, token[0], msg))
		return false;

	for (int i = 1; i < nr; i++) {
		if (!strcmp(token[i], "same")) {
			step->same = true;
			continue;
		}
		value = split_key(token[i]);
		if (!value) {
			snprintf(msg, MSG_MAX, "unknown word \"%s\"", token[i]);
			return false;
		}
		if (!strcmp(token[i], "w32")) {
			if (step->w32) {
				snprintf(msg, MSG_MAX, "\"w32\" is given twice");
				return false;
			}
			if (!check_value(env, &w32, value, true, msg))
				return false;
			step->w32 = value;
		} else if (!take_key(step->op->outs, step->outs, token[i], value, msg)) {
			return false;
		}
	}

	if (step->w32 && !check_w32(step, env, msg))
		return false;

	/* The name comes first: its step may speak of it, as in "as=a base=a". */
	for (int i = 0; i < KEYS_MAX; i++)
		if (step->outs[i].given && step->outs[i].key->kind == KIND_NAME)
			bind = step->outs[i].text;
	if (bind) {
		if (!name_can_be_bound(bind)) {
			snprintf(msg, MSG_MAX, "bad name \"%s\"", bind);
			return false;
		}
		if (!env_bind(env, bind, 0)) {
			snprintf(msg, MSG_MAX, "more than %d names", ENV_MAX);
			return false;
		}
	}
	for (int i = 0; i < KEYS_MAX; i++)
		if (step->outs[i].given &&
		    !check_value(env, step->outs[i].key, step->outs[i].text, true, msg))
			return false;
	return true;
}

static void parse_step(struct vector *v, char *line, int nr_line, struct env *env)
{
	char msg[MSG_MAX] = "";
	char *token[TOKENS_MAX];
	struct step *step;
	int nr, arrow;
	char *end;

	v->steps = xrealloc(v->steps, (size_t)(v->nr_steps + 1) * sizeof(*v->steps));
	step = &v->steps[v->nr_steps++];
	*step = (struct step){ .line = nr_line };

	while (isspace((unsigned char)*line))
		line++;
	step->text = xstrdup(line);
	step->call = xstrdup(line);
	end = strstr(step->call, "=>");
	if (end)
		*end = '\0';
	for (end = step->call + strlen(step->call); end > step->call; end--)
		if (!isspace((unsigned char)end[-1]))
			break;
	*end = '\0';

	nr = split(xstrdup(line), token);
	if (nr < 0) {
		vector_error(v, nr_line, "more than %d words", TOKENS_MAX);
		return;
	}
	for (arrow = 0; arrow < nr; arrow++)
		if (!strcmp(token[arrow], "=>"))
			break;
	step->op = op_find(token[0]);
	if (!step->op) {
		vector_error(v, nr_line, "unknown operation \"%s\"", token[0]);
		return;
	}
	if (arrow == nr) {
		vector_error(v, nr_line, "no \"=>\"");
		return;
	}
	if (!take_args(step, token + 1, arrow - 1, env, msg) ||
	    !take_results(step, token + arrow + 1, nr - arrow - 1, env, msg))
		vector_error(v, nr_line, "%s", msg);
	v->uses_b |= env->used_b;
}

static void parse_header_key(struct vector *v, char *token, int line)
{
	char *value = split_key(token);
	char *end;

	if (!strcmp(token, "repeat")) {
		v->rounds = ROUNDS;
		if (!value)
			return;
		v->rounds = strtoul(value, &end, 10);
		if (!isdigit((unsigned char)*value) || *end || !v->rounds)
			vector_error(v, line, "bad number of rounds \"%s\"", value);
	} else if (!value) {
		vector_error(v, line, "unknown word \"%s\"", token);
	} else if (!*value) {
		vector_error(v, line, "no value for \"%s\"", token);
	} else if (!strcmp(token, "need")) {
		if (v->need)
			vector_error(v, line, "\"need\" is given twice");
		v->need = value;
	} else if (!strcmp(token, "mode")) {
		if (!strcmp(value, "documented"))
			v->contract = LIBNT_CONTRACT_DOCUMENTED;
		else if (!strcmp(value, "windows"))
			v->contract = LIBNT_CONTRACT_WINDOWS;
		else
			vector_error(v, line, "unknown mode \"%s\"", value);
	} else if (strcmp(token, "quirk")) {
		vector_error(v, line, "unknown key \"%s\"", token);
	}
}

static struct vector *parse_header(struct vectors *all, const char *file, char *line, int nr_line)
{
	static const char *const wanted[] = { "id", "area", "source", "confidence" };
	struct vector *v = vector_add(all, file, nr_line);
	char *token[TOKENS_MAX];
	int nr;

	nr = split(xstrdup(line), token);
	if (nr < 0) {
		vector_error(v, nr_line, "more than %d words", TOKENS_MAX);
		return v;
	}
	if (nr > 0)
		v->id = token[0];
	if (nr > 1)
		v->area = token[1];
	for (int i = 0; i < 4; i++) {
		/* A key in one of the first four places means that a word is missing. */
		if (i >= nr || strchr(token[i], '=')) {
			vector_error(v, nr_line, "no %s in the header", wanted[i]);
			return v;
		}
	}
	for (int i = 4; i < nr; i++)
		parse_header_key(v, token[i], nr_line);
	return v;
}

static void vector_end(struct vectors *all, int first)
{
	struct vector *v;

	if (all->nr == first)
		return;
	v = &all->v[all->nr - 1];
	if (v->id && !v->nr_steps)
		vector_error(v, v->line, "vector without a step");
}

void parse_file(struct vectors *all, const char *file)
{
	char *line = NULL;
	size_t room = 0;
	int first = all->nr, nr_line = 0;
	bool stray = false, in_vector = false;
	struct env env = { .nr = 0 };
	ssize_t len;
	FILE *f;

	f = fopen(file, "r");
	if (!f) {
		vector_error(vector_add(all, file, 0), 0, "%s", strerror(errno));
		return;
	}
	errno = 0;
	while ((len = getline(&line, &room, f)) >= 0) {
		char *p = line;

		nr_line++;
		if (strlen(line) != (size_t)len) {
			vector_error(vector_add(all, file, nr_line), nr_line, "a zero byte");
			in_vector = false;
			stray = true;
			continue;
		}
		while (len && isspace((unsigned char)line[len - 1]))
			line[--len] = '\0';
		if (nr_line == 1 && !strncmp(p, "\xEF\xBB\xBF", 3))
			p += 3;
		if (!p[strspn(p, " \t")] || p[strspn(p, " \t")] == '#')
			continue;
		if (!isspace((unsigned char)*p)) {
			vector_end(all, first);
			parse_header(all, file, p, nr_line);
			env = (struct env){ .nr = 0 };
			in_vector = true;
			stray = false;
		} else if (in_vector) {
			parse_step(&all->v[all->nr - 1], p, nr_line, &env);
		} else if (!stray) {
			vector_error(vector_add(all, file, nr_line), nr_line,
				     "a step that belongs to no vector");
			stray = true;
		}
	}
	if (ferror(f))
		vector_error(vector_add(all, file, 0), 0, "%s", strerror(errno));
	else
		vector_end(all, first);
	if (all->nr == first)
		vector_error(vector_add(all, file, 0), 0, "no vector in the file");
	free(line);
	fclose(f);
}

const char *step_arg(const struct step *step, const char *key)
{
	for (int i = 0; i < KEYS_MAX; i++)
		if (step->args[i].given && !strcmp(step->args[i].key->name, key))
			return step->args[i].text;
	return NULL;
}

static bool capability_built(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (!strcmp(capabilities[i].name, name))
			return capabilities[i].built;
	return false;
}

char *vector_skip_reason(const struct vector *v)
{
	const char *need = v->need;
	char part[64], reason[128];

	while (need && next_part(&need, ',', part, sizeof(part))) {
		if (!capability_built(part)) {
			snprintf(reason, sizeof(reason), "need=%s not built", part);
			return xstrdup(reason);
		}
	}
	for (int i = 0; i < v->nr_steps; i++) {
		if (!v->steps[i].op->run) {
			snprintf(reason, sizeof(reason), "op %s not built", v->steps[i].op->name);
			return xstrdup(reason);
		}
	}
	return NULL;
}
