/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ntvec runs vectors: short scripts of NT calls with the outcome that each must
 * have. docs/vectors.md describes the format. This header is what the parts share:
 *
 *   names.c   tables of names: statuses, flags, symbols; expressions
 *   parse.c   a file into vectors, everything checked that can be without running
 *   ops.c     the table of operations, one function for each that is built
 *   check.c   the expectation of a step against what happened
 *   steps.c   the steps of one vector
 *   main.c    the command line and the report
 *
 * and what another system has its own of (Windows': wine/tests/ntvec_windows.c):
 *
 *   access.c  loads and stores that survive their faults
 *   run.c     one vector in a process of its own
 *   system.c  what else the operations need of the system
 */
#ifndef NTVEC_H
#define NTVEC_H

#include <libnt.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Room for one message: what is wrong with a line, why a step failed. */
#define MSG_MAX		1024

/* --- names.c ------------------------------------------------------------- */

struct name {
	const char *name;
	uint32_t value;
};

/* Which table a word is looked up in. */
enum names {
	NAMES_MEM,	/* MEM_ flags: allocation, free, section and unmap types */
	NAMES_PAGE,	/* PAGE_ protections */
	NAMES_STATE,
	NAMES_TYPE,
	NAMES_WATCH,
};

/* The values of a vector's names while it runs (or is checked). */
#define ENV_MAX		16
struct env {
	struct {
		char name[32];
		uint64_t value;
	} bound[ENV_MAX];
	int nr;
	uint64_t b;		/* B: somewhere with 16 MiB of room */
	uint64_t img;		/* IMG: in the image of the program */
	uint64_t kern;		/* KERN: beyond user space */
	uint64_t appmax;	/* APPMAX: the highest address of applications */
	bool used_b;		/* set when B is evaluated */
};

bool env_bind(struct env *env, const char *name, uint64_t value);
bool name_can_be_bound(const char *name);

/* These return false and say why in @msg (MSG_MAX bytes). */
bool eval_number(struct env *env, const char *text, uint64_t *value, char *msg);
bool eval_flags(struct env *env, enum names names, const char *text, uint32_t *value, char *msg);
bool eval_status(const char *text, uint32_t *value, char *msg);

/* The name of a status, or its number; the text lives until the eighth next call. */
const char *status_name(uint32_t status);
/* The Win32 code that a status becomes, -1 if the table does not know it. */
int status_to_w32(uint32_t status);

/* --- the format ------------------------------------------------------------ */

/* What may stand in a place: a positional argument, an argument key, a result key. */
enum kind {
	KIND_END,
	KIND_ADDR,	/* a number; p=null in its place is a null pointer */
	KIND_NUM,
	KIND_BYTE,
	KIND_DWORD,
	KIND_MEM,	/* MEM_ flags */
	KIND_PAGE,	/* a protection */
	KIND_STATE,
	KIND_TYPE,
	KIND_WATCH,	/* flags of a write-watch call */
	KIND_LIST,	/* numbers with commas between them, none at all is fine */
	KIND_NAME,	/* a name to bind */
	KIND_WORD,	/* one of the words that the table lists, with | between */
	KIND_WORD_OR_NUM,
	KIND_WORD_OR_LIST,
	KIND_WORD_OR_MEM,
};

struct key {
	const char *name;
	enum kind kind;
	const char *words;
};

#define POS_MAX		6
#define KEYS_MAX	12
#define OUT_MAX		8
#define LISTS_MAX	3
#define STATUS_MAX	8

struct step;
struct outcome;

/* One operation of the format: a row of the table in ops.c. */
struct op {
	const char *name;
	struct key pos[POS_MAX];	/* up to KIND_END */
	struct key args[KEYS_MAX];	/* k=v before the arrow */
	struct key outs[KEYS_MAX];	/* k=v after it, beside w32= */
	/* NULL: not built yet. Returns false if it could not even try. */
	bool (*run)(const struct step *step, struct env *env, struct outcome *out);
};

extern const struct op ops[];
const struct op *op_find(const char *name);

struct arg {
	const struct key *key;
	char *text;
	bool null;		/* p=null in place of a pointer */
	bool given;
};

struct step {
	char *text;		/* the line as it is */
	char *call;		/* of that, what is before the arrow */
	int line;
	const struct op *op;
	struct arg pos[POS_MAX];
	struct arg args[KEYS_MAX];
	struct arg outs[KEYS_MAX];
	struct {
		uint32_t status;
		bool inferred;	/* ~: any status of the same Win32 code will do */
		bool fail;	/* any error */
	} status[STATUS_MAX];
	int nr_status;
	bool same;		/* in/out parameters must be unchanged */
	char *w32;		/* NULL if not given */
};

struct vector {
	char *id;		/* NULL: a line of the file that belongs to no vector */
	char *area;
	const char *file;
	int line;
	char *error;		/* what is wrong with it, file and line included */
	char *need;		/* NULL or a list with commas */
	int contract;		/* LIBNT_CONTRACT_*, -1 for the default */
	unsigned long rounds;
	bool uses_b;
	struct step *steps;
	int nr_steps;
};

struct vectors {
	struct vector *v;
	int nr;
};

/* Adds the vectors of a file; whatever is wrong with it becomes a vector with an error. */
void parse_file(struct vectors *all, const char *file);

/* The argument of a step: its text, NULL if it is not there. */
const char *step_arg(const struct step *step, const char *key);
/* Why the vector cannot run here, NULL if it can; the text is malloc'ed. */
char *vector_skip_reason(const struct vector *v);

/* --- running ---------------------------------------------------------------- */

/* What an operation did. */
struct outcome {
	uint32_t status;
	int w32;		/* -1: what the status maps to */
	bool changed;		/* an in/out parameter was written */
	struct {
		const char *key;
		uint64_t value;
	} out[OUT_MAX];
	int nr_out;
	struct {
		const char *key;
		const uint64_t *values;	/* live as long as the operation's next run */
		size_t nr;
	} list[LISTS_MAX];
	int nr_lists;
	char skip[64];		/* if the expectation is missed: what is not built */
	char why[MSG_MAX];	/* if the operation could not try: why */
};

void outcome_add(struct outcome *out, const char *key, uint64_t value);
void outcome_list(struct outcome *out, const char *key, const uint64_t *values, size_t nr);
bool outcome_get(const struct outcome *out, const char *key, uint64_t *value);

enum verdict {
	PASSED,		/* and the next step may run */
	ENDED,		/* passed, and the steps after it make no sense */
	FAILED,
	SKIPPED,
};

/* The verdict on a step that ran; anything but PASSED explains itself in @msg. */
enum verdict check_step(const struct step *step, struct env *env,
			const struct outcome *out, char *msg);

/* Exception code of a load or store, STATUS_SUCCESS if there was none. */
uint32_t access_read(uint64_t address, uint8_t *byte);
uint32_t access_write(uint64_t address, uint8_t byte);
uint32_t access_write4(uint64_t address, uint32_t dword);
void access_init(void);

/* Room for what explains a verdict. */
#define TEXT_MAX	(4 * MSG_MAX)

/* Runs a vector's steps here. The explanation of all but PASSED is in @text (TEXT_MAX). */
enum verdict run_steps(const struct vector *v, int contract, char *text);

/* Runs a vector in a child. The text (malloc'ed) explains all but PASSED. */
enum verdict run_vector(const struct vector *v, int contract, char **text);
/* STATUS_SUCCESS if the device can be used, asked in a child. */
uint32_t run_probe(void);

/* --- system.c ------------------------------------------------------------------ */

/* These two explain their failure in @text (TEXT_MAX). */
bool system_set_contract(int contract, char *text);
bool system_highest_address(uint64_t *address, char *text);
/* The first place to try for B. */
extern const uint64_t system_first_b;
/* Releases what a round left, so that a vector can be repeated in one process. */
void system_sweep(void);
/* A process that sleeps; NULL, and why (MSG_MAX), if there is none. */
HANDLE system_second_process(char *why);
/* VirtualFreeEx(), and GetLastError() after it. */
bool system_virtual_free(HANDLE process, void *base, size_t size, uint32_t type, int *error);
/* A read by the kernel into @buffer, which completes when @n bytes are there for it. */
bool system_read_start(void *buffer, size_t size, struct outcome *out);
bool system_read_finish(size_t n, struct outcome *out);
/* The stack of this thread, which runs all steps. */
uint32_t system_set_stack(void *base, void *limit, void *bottom);
void system_unmap(HANDLE process, void *address, uint32_t flags, struct outcome *out);

#endif /* NTVEC_H */
