// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command line of ntvec and its report, in KTAP.
 */
#include "ntvec.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static void usage(FILE *f)
{
	fputs("usage: ntvec [options] FILE...\n"
	      "Runs the NT memory vectors of the files and reports in KTAP.\n"
	      "\n"
	      "  --contract windows|documented  of vectors that name none (windows)\n"
	      "  --only ID     run the vectors of that id only\n"
	      "  --list        list the vectors, run nothing\n"
	      "  --parse-only  report which vectors are well formed, run nothing\n"
	      "  --help\n"
	      "\n"
	      "Exit status: 0 nothing failed, 1 something did, 2 wrong usage.\n", f);
}

/* Diagnostics are comments: one "# " per line. */
static void print_comment(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		printf("# %.*s\n", (int)len, text);
		text += len;
		text += *text == '\n';
	}
}

static int list(const struct vectors *all)
{
	int ret = 0;

	for (int i = 0; i < all->nr; i++) {
		const struct vector *v = &all->v[i];

		if (v->error) {
			fprintf(stderr, "ntvec: %s\n", v->error);
			ret = 1;
			continue;
		}
		printf("%s %s %s:%d%s%s%s\n", v->id, v->area, v->file, v->line,
		       v->need ? " need=" : "", v->need ? v->need : "",
		       v->contract == LIBNT_CONTRACT_DOCUMENTED ? " mode=documented" : "");
	}
	return ret;
}

/* Keeps the vectors of one id, and all that is wrong. */
static int keep_only(struct vectors *all, const char *id)
{
	int kept = 0, found = 0;

	for (int i = 0; i < all->nr; i++) {
		bool match = all->v[i].id && !strcmp(all->v[i].id, id);

		found += match;
		if (match || all->v[i].error)
			all->v[kept++] = all->v[i];
	}
	all->nr = kept;
	return found;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "contract", required_argument, NULL, 'c' },
		{ "only", required_argument, NULL, 'o' },
		{ "list", no_argument, NULL, 'l' },
		{ "parse-only", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int contract = LIBNT_CONTRACT_WINDOWS;
	bool list_only = false, parse_only = false;
	int passed = 0, failed = 0, skipped = 0;
	struct vectors all = { .nr = 0 };
	const char *only = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			if (!strcmp(optarg, "windows")) {
				contract = LIBNT_CONTRACT_WINDOWS;
			} else if (!strcmp(optarg, "documented")) {
				contract = LIBNT_CONTRACT_DOCUMENTED;
			} else {
				usage(stderr);
				return EXIT_USAGE;
			}
			break;
		case 'o':
			only = optarg;
			break;
		case 'l':
			list_only = true;
			break;
		case 'p':
			parse_only = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}

	for (int i = optind; i < argc; i++)
		parse_file(&all, argv[i]);
	if (only && !keep_only(&all, only)) {
		fprintf(stderr, "ntvec: no vector \"%s\"\n", only);
		return EXIT_USAGE;
	}
	if (list_only)
		return list(&all);

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	printf("KTAP version 1\n1..%d\n", all.nr);
	if (!parse_only) {
		uint32_t status = run_probe();

		if (status) {
			printf("Bail out! /dev/ntvm: %s\n", status_name(status));
			return 1;
		}
	}

	for (int i = 0; i < all.nr; i++) {
		const struct vector *v = &all.v[i];
		enum verdict verdict = PASSED;
		char *text = NULL;
		char name[512];

		snprintf(name, sizeof(name), "%s%s%s", v->id ? v->id : "", v->id ? " " : "",
			 v->area ? v->area : "");
		if (v->error) {
			printf("not ok %d %s%s%s\n", i + 1, name, *name ? " " : "", v->error);
			failed++;
			continue;
		}
		if (!parse_only) {
			text = vector_skip_reason(v);
			if (text)
				verdict = SKIPPED;
			else
				verdict = run_vector(v, v->contract < 0 ? contract : v->contract,
						     &text);
		}
		switch (verdict) {
		case SKIPPED:
			printf("ok %d %s # SKIP %s\n", i + 1, name, text);
			skipped++;
			break;
		case FAILED:
			printf("not ok %d %s\n", i + 1, name);
			print_comment(text ? text : "no memory");
			failed++;
			break;
		default:
			printf("ok %d %s\n", i + 1, name);
			passed++;
		}
		free(text);
		/* Windows knows no buffer of lines. */
		fflush(stdout);
	}
	printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:0\n",
	       passed, failed, skipped);
	return failed ? 1 : 0;
}
