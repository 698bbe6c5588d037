// SPDX-License-Identifier: GPL-2.0-only
/*
 * A real program on NT memory: SQLite, as the distribution ships it, with its
 * allocator set to an arena that reserves 4 GiB once, commits as it grows and
 * decommits what it frees. A database in memory is filled, queried, updated,
 * emptied and vacuumed while a table shows what that does to the reserved, the
 * committed and the resident size and to the number of VMAs. Every row is
 * compared with what it must be, and the arena's account with the kernel's.
 */
#include <argp.h>
#include <inttypes.h>
#include <libnt.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../common/vmas.h"
#include "arena.h"

#define ARENA_BYTES	((size_t)4 << 30)
#define ROWS_PER_TXN	10000
#define BODY_MAX	224
#define BUCKETS		1000
#define MIB		1048576.0

static struct {
	sqlite3 *db;
	uint32_t rows;		/* highest id */
	uint32_t alive;		/* rows there must be */
	uint8_t *version;	/* by id: 0 for no row, else which contents it has */
	struct timespec start;
	size_t peak_resident;
	int open_status;	/* of the arena */
} t;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("sqlite_arena: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* --- SQLite's allocator interface ---------------------------------------------- */

static void *mem_malloc(int n)
{
	return arena_malloc(n);
}

static void mem_free(void *p)
{
	arena_free(p);
}

static void *mem_realloc(void *p, int n)
{
	return arena_realloc(p, n);
}

static int mem_size(void *p)
{
	return arena_size(p);
}

static int mem_roundup(int n)
{
	return arena_round(n);
}

static int mem_init(void *unused)
{
	(void)unused;
	t.open_status = arena_open(ARENA_BYTES);
	return t.open_status ? SQLITE_NOMEM : SQLITE_OK;
}

/* The arena outlives SQLite, to look at what is left; main() closes it. */
static void mem_shutdown(void *unused)
{
	(void)unused;
}

static const sqlite3_mem_methods mem_methods = {
	.xMalloc = mem_malloc,
	.xFree = mem_free,
	.xRealloc = mem_realloc,
	.xSize = mem_size,
	.xRoundup = mem_roundup,
	.xInit = mem_init,
	.xShutdown = mem_shutdown,
};

/* --- the contents: a function of id and version --------------------------------- */

struct item {
	int64_t bucket;
	int64_t score;
	char key[32];
	int body_len;
	uint8_t body[BODY_MAX];
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static void item_make(struct item *item, uint32_t id, uint8_t version)
{
	uint64_t h = mix((uint64_t)id << 8 | version);
	int i;

	/* The key stays over updates, the rest does not. */
	snprintf(item->key, sizeof(item->key), "key-%016" PRIx64, mix(~(uint64_t)id));
	item->bucket = h % BUCKETS;
	item->score = h >> 44;
	item->body_len = 32 + (h >> 20) % (BODY_MAX - 32 + 1);
	for (i = 0; i < item->body_len; i += 8) {
		h = h * 6364136223846793005 + 1442695040888963407;
		memcpy(item->body + i, &h, item->body_len - i < 8 ? item->body_len - i : 8);
	}
}

/* --- SQL -------------------------------------------------------------------------- */

static void check(int rc, int want, const char *what)
{
	struct arena_stats s;

	if (rc == want)
		return;
	arena_get_stats(&s);
	if (s.error)
		die("%s: %s (arena: %s failed with status 0x%08X)", what, sqlite3_errstr(rc),
		    s.error, (unsigned int)s.status);
	die("%s: %s: %s", what, sqlite3_errstr(rc), t.db ? sqlite3_errmsg(t.db) : "");
}

static void sql(const char *text)
{
	check(sqlite3_exec(t.db, text, NULL, NULL, NULL), SQLITE_OK, text);
}

static sqlite3_stmt *prepare(const char *text)
{
	sqlite3_stmt *stmt;

	check(sqlite3_prepare_v2(t.db, text, -1, &stmt, NULL), SQLITE_OK, text);
	return stmt;
}

static int64_t number(const char *text)
{
	sqlite3_stmt *stmt = prepare(text);
	int64_t n;

	check(sqlite3_step(stmt), SQLITE_ROW, text);
	n = sqlite3_column_int64(stmt, 0);
	check(sqlite3_step(stmt), SQLITE_DONE, text);
	sqlite3_finalize(stmt);
	return n;
}

/* --- the table ---------------------------------------------------------------------- */

static double elapsed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - t.start.tv_sec + (now.tv_nsec - t.start.tv_nsec) / 1e9;
}

static void head(void)
{
	printf("\n%-34s %8s %9s %10s %9s %5s %8s\n", "", "", "reserved", "committed",
	       "resident", "", "elapsed");
	printf("%-34s %8s %9s %10s %9s %5s %8s\n", "phase", "rows", "MiB", "MiB", "MiB", "VMAs",
	       "s");
	puts("------------------------------------------------------------------------------------------");
}

static void report(const char *phase)
{
	struct arena_stats s;
	LIBNT_INFO info;
	struct vmas vmas;
	NTSTATUS status;
	const char *wrong;

	arena_get_stats(&s);
	status = LibntGetInfo(NtCurrentProcess(), &info);
	if (!NT_SUCCESS(status))
		die("LibntGetInfo: status 0x%08X", (unsigned int)status);
	if (vmas_read(s.base, s.reserved, 1, &vmas))
		die("/proc/self/smaps cannot be read");

	printf("%-34s %8" PRIu32 " %9.1f %10.1f %9.1f %5ld %8.2f\n", phase, t.alive,
	       info.ReservedBytes / MIB, info.CommittedBytes / MIB, vmas.resident / 1024.0,
	       vmas.count, elapsed());
	fflush(stdout);

	wrong = arena_check();
	if (wrong)
		die("the arena is damaged: %s", wrong);
	if (s.error)
		die("%s failed with status 0x%08X", s.error, (unsigned int)s.status);
	if (info.CommittedBytes != s.committed)
		die("the module counts %zu committed bytes, the arena %zu", info.CommittedBytes,
		    s.committed);
	if (info.ReservedBytes != s.reserved)
		die("the module counts %zu reserved bytes, the arena %zu", info.ReservedBytes,
		    s.reserved);
	if ((size_t)vmas.resident * 1024 > s.committed)
		die("more is resident than committed");
	if (vmas.count != 1)
		die("%ld VMAs cover the reservation", vmas.count);
	if ((size_t)vmas.resident * 1024 > t.peak_resident)
		t.peak_resident = (size_t)vmas.resident * 1024;
}

/* --- the workload --------------------------------------------------------------------- */

static void create(void)
{
	check(sqlite3_open(":memory:", &t.db), SQLITE_OK, "open");
	sql("PRAGMA temp_store = MEMORY");
	sql("CREATE TABLE item(id INTEGER PRIMARY KEY, bucket INTEGER NOT NULL,"
	    " key TEXT NOT NULL, score INTEGER NOT NULL, body BLOB NOT NULL)");
	sql("CREATE UNIQUE INDEX item_key ON item(key)");
	sql("CREATE INDEX item_bucket ON item(bucket, score)");
}

static void write_item(sqlite3_stmt *stmt, uint32_t id, uint8_t version)
{
	struct item item;

	item_make(&item, id, version);
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_int64(stmt, 2, item.bucket);
	sqlite3_bind_text(stmt, 3, item.key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 4, item.score);
	sqlite3_bind_blob(stmt, 5, item.body, item.body_len, SQLITE_STATIC);
	check(sqlite3_step(stmt), SQLITE_DONE, "write");
	sqlite3_reset(stmt);
	t.alive += !t.version[id];
	t.version[id] = version;
}

/* Insert the missing rows of [@first, @last], one transaction per ROWS_PER_TXN. */
static void insert(uint32_t first, uint32_t last, uint8_t version)
{
	sqlite3_stmt *stmt = prepare("INSERT INTO item(id, bucket, key, score, body)"
				     " VALUES(?1, ?2, ?3, ?4, ?5)");
	uint32_t id, n = 0;

	sql("BEGIN");
	for (id = first; id <= last; id++) {
		if (t.version[id])
			continue;
		write_item(stmt, id, version);
		if (++n % ROWS_PER_TXN == 0)
			sql("COMMIT; BEGIN");
	}
	sql("COMMIT");
	sqlite3_finalize(stmt);
}

static void update(uint32_t step, uint8_t version)
{
	sqlite3_stmt *stmt = prepare("UPDATE item SET bucket = ?2, key = ?3, score = ?4,"
				     " body = ?5 WHERE id = ?1");
	uint32_t id;

	sql("BEGIN");
	for (id = 1; id <= t.rows; id += step)
		if (t.version[id])
			write_item(stmt, id, version);
	sql("COMMIT");
	sqlite3_finalize(stmt);
}

static void forget(uint32_t id)
{
	t.alive -= t.version[id] != 0;
	t.version[id] = 0;
}

static void query(uint32_t lookups)
{
	sqlite3_stmt *by_key = prepare("SELECT id FROM item WHERE key = ?1");
	sqlite3_stmt *by_bucket = prepare("SELECT count(*), max(score) FROM item WHERE bucket = ?1");
	static int64_t count[BUCKETS], top[BUCKETS];
	struct item item;
	uint32_t i, id;

	for (i = 0; i < lookups; i++) {
		id = 1 + mix(i) % t.rows;
		item_make(&item, id, 1);
		sqlite3_bind_text(by_key, 1, item.key, -1, SQLITE_STATIC);
		if (t.version[id]) {
			check(sqlite3_step(by_key), SQLITE_ROW, "look up a key");
			if (sqlite3_column_int64(by_key, 0) != id)
				die("the index on key gives another row for %s", item.key);
		}
		check(sqlite3_step(by_key), SQLITE_DONE, "look up a key");
		sqlite3_reset(by_key);
	}

	memset(count, 0, sizeof(count));
	memset(top, 0, sizeof(top));
	for (id = 1; id <= t.rows; id++) {
		if (!t.version[id])
			continue;
		item_make(&item, id, t.version[id]);
		count[item.bucket]++;
		if (item.score > top[item.bucket])
			top[item.bucket] = item.score;
	}
	for (i = 0; i < BUCKETS; i++) {
		sqlite3_bind_int64(by_bucket, 1, i);
		check(sqlite3_step(by_bucket), SQLITE_ROW, "look up a bucket");
		if (sqlite3_column_int64(by_bucket, 0) != count[i] ||
		    sqlite3_column_int64(by_bucket, 1) != top[i])
			die("the index on bucket gives other rows for %" PRIu32, i);
		sqlite3_reset(by_bucket);
	}
	sqlite3_finalize(by_key);
	sqlite3_finalize(by_bucket);
}

/* Every row against what it must be; returns a checksum of the whole table. */
static uint64_t verify(void)
{
	sqlite3_stmt *stmt = prepare("SELECT id, bucket, key, score, body FROM item ORDER BY id");
	uint64_t sum = 0, want_sum = 0;
	int64_t scores = 0, lengths = 0;
	uint32_t id, rows = 0;
	struct item item;
	int rc, i;

	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		int len = sqlite3_column_bytes(stmt, 4);
		const uint8_t *body = sqlite3_column_blob(stmt, 4);

		id = sqlite3_column_int64(stmt, 0);
		if (id < 1 || id > t.rows || !t.version[id])
			die("row %" PRIu32 " must not be there", id);
		item_make(&item, id, t.version[id]);
		if (sqlite3_column_int64(stmt, 1) != item.bucket ||
		    strcmp((const char *)sqlite3_column_text(stmt, 2), item.key) ||
		    sqlite3_column_int64(stmt, 3) != item.score || len != item.body_len ||
		    memcmp(body, item.body, len))
			die("row %" PRIu32 " has other contents", id);
		for (i = 0; i < len; i += 8) {
			uint64_t word = 0;

			memcpy(&word, body + i, len - i < 8 ? len - i : 8);
			sum = mix(sum ^ word);
		}
		rows++;
	}
	check(rc, SQLITE_DONE, "read all rows");
	sqlite3_finalize(stmt);

	for (id = 1; id <= t.rows; id++) {
		if (!t.version[id])
			continue;
		item_make(&item, id, t.version[id]);
		scores += item.score;
		lengths += item.body_len;
		for (i = 0; i < item.body_len; i += 8) {
			uint64_t word = 0;

			memcpy(&word, item.body + i,
			       item.body_len - i < 8 ? item.body_len - i : 8);
			want_sum = mix(want_sum ^ word);
		}
	}
	if (rows != t.alive)
		die("%" PRIu32 " rows, expected %" PRIu32, rows, t.alive);
	if (sum != want_sum)
		die("checksum %016" PRIx64 ", expected %016" PRIx64, sum, want_sum);
	if (number("SELECT sum(score) FROM item") != scores ||
	    number("SELECT sum(length(body)) FROM item") != lengths)
		die("SQL's sums are not the expected ones");
	return sum;
}

static void integrity(void)
{
	sqlite3_stmt *stmt = prepare("PRAGMA integrity_check");
	const char *answer;

	check(sqlite3_step(stmt), SQLITE_ROW, "integrity_check");
	answer = (const char *)sqlite3_column_text(stmt, 0);
	if (strcmp(answer, "ok"))
		die("integrity_check: %s", answer);
	sqlite3_finalize(stmt);
}

static void run(void)
{
	struct arena_stats s;
	size_t full, deleted, vacuumed;
	uint64_t sum;
	uint32_t id, i;
	char phase[64];

	create();
	report("open a database in memory");

	for (i = 1; i <= 4; i++) {
		insert((uint64_t)t.rows * (i - 1) / 4 + 1, (uint64_t)t.rows * i / 4, 1);
		snprintf(phase, sizeof(phase), "insert, %u/4", i);
		report(phase);
	}
	arena_get_stats(&s);
	full = s.committed;

	query(t.rows / 10);
	report("query both indexes");
	update(3, 2);
	report("update every third row");
	verify();
	report("compare every row");

	sql("DELETE FROM item WHERE id % 8 <> 0");
	for (id = 1; id <= t.rows; id++)
		if (id % 8)
			forget(id);
	report("delete seven rows of eight");
	arena_get_stats(&s);
	deleted = s.committed;
	sql("VACUUM");
	report("VACUUM");
	arena_get_stats(&s);
	vacuumed = s.committed;
	if (vacuumed > deleted / 2)
		die("VACUUM left %zu of %zu bytes committed", vacuumed, deleted);
	verify();

	insert(1, t.rows / 2, 3);
	report("insert again, lower half");
	query(t.rows / 20);
	sql("BEGIN");
	sql("DELETE FROM item WHERE bucket < 900");
	sql("ROLLBACK");
	report("delete and roll back");
	verify();
	id = t.rows / 8;
	snprintf(phase, sizeof(phase), "DELETE FROM item WHERE id > %" PRIu32, id);
	sql(phase);
	while (++id <= t.rows)
		forget(id);
	sql("VACUUM");
	report("delete all but an eighth, VACUUM");

	integrity();
	query(t.rows / 20);
	sum = verify();
	report("integrity_check, compare");

	check(sqlite3_close(t.db), SQLITE_OK, "close");
	t.db = NULL;
	check(sqlite3_shutdown(), SQLITE_OK, "shut down");
	id = t.alive;
	t.alive = 0;
	arena_trim();
	report("close the database");

	arena_get_stats(&s);
	if (s.blocks || s.in_use)
		die("%lu blocks are still in use after the close", s.blocks);
	if (s.committed != s.bookkeeping)
		die("%zu bytes are still committed after the close", s.committed - s.bookkeeping);
	printf("\nintegrity_check: ok; %" PRIu32 " rows as expected, checksum %016" PRIx64 "\n", id,
	       sum);
	printf("committed: peak %.1f MiB, full table %.1f MiB, after delete %.1f MiB, after VACUUM %.1f MiB\n"
	       "           after close %.1f MiB (the arena's own table); resident at most %.1f MiB\n",
	       s.peak / MIB, full / MIB, deleted / MIB, vacuumed / MIB, s.committed / MIB,
	       t.peak_resident / MIB);
	printf("calls:     %lu commits, %lu decommits; %lu pages decommitted between blocks in use\n",
	       s.commits, s.decommits, s.holes);
	puts("mappings:  one VMA throughout");
}

/* --- options ----------------------------------------------------------------------------- */

static error_t option(int key, char *arg, struct argp_state *state)
{
	unsigned long n;
	char *end;

	switch (key) {
	case 'r':
		n = strtoul(arg, &end, 10);
		/* With fewer, what SQLite itself needs hides what VACUUM gives back. */
		if (*end || n < 10000 || n > 10000000)
			argp_error(state, "rows: a number from 10000 to 10000000");
		t.rows = n;
		return 0;
	case ARGP_KEY_ARG:
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "rows", 'r', "N", 0, "rows to insert at first (default 200000)", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = option,
		.doc = "Run SQLite on NT memory and show what it costs.",
	};
	int status;

	t.rows = 200000;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	t.version = calloc(t.rows + 1, 1);
	if (!t.version)
		die("no memory");
	clock_gettime(CLOCK_MONOTONIC, &t.start);

	check(sqlite3_config(SQLITE_CONFIG_MALLOC, &mem_methods), SQLITE_OK, "set the allocator");
	status = sqlite3_initialize();
	if (t.open_status)
		die("no NT memory here: status 0x%08X%s", (unsigned int)t.open_status,
		    t.open_status == STATUS_NO_SUCH_DEVICE ? ", the ntvm module is not loaded" : "");
	check(status, SQLITE_OK, "initialise");
	printf("SQLite %s on an NT reservation of %.0f MiB\n", sqlite3_libversion(),
	       ARENA_BYTES / MIB);
	head();
	run();
	status = arena_close();
	if (status)
		die("release: status 0x%08X", (unsigned int)status);
	puts("released.");
	free(t.version);
	return 0;
}
