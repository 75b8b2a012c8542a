/* A row of runs as a table: each column once, its text, its hash. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "dispatchd/queue_store_int.h"

enum field_type {
	FIELD_INT,
	FIELD_BOOL,
	FIELD_TEXT,
	FIELD_STATE,
	FIELD_CLASS
};

struct field {
	const char *name;
	enum field_type type;
	size_t off, size;
	bool own; /* the owner may set it */
};

#define F(kind, member, owner)                                      \
	{                                                           \
		.name = #member, .type = FIELD_##kind,              \
		.off = offsetof(struct queue_row, member),          \
		.size = sizeof(((struct queue_row *)NULL)->member), \
		.own = owner                                        \
	}

/* The order is that of the columns, and of the hash. */
static const struct field fields[] = {
	F(INT, seq, false),
	F(TEXT, run, false),
	F(INT, uid, false),
	F(TEXT, request, false),
	F(TEXT, request_hash, false),
	F(TEXT, repo, false),
	F(TEXT, url, false),
	F(TEXT, directory, false),
	F(TEXT, base, false),
	F(TEXT, tool, false),
	F(TEXT, profile, false),
	F(INT, memory, false),
	F(INT, cpus_milli, false),
	F(INT, pids, false),
	F(INT, workspace, false),
	F(INT, deadline_ms, false),
	F(INT, submitted_wall_ms, false),
	F(INT, submitted_boot_ms, false),
	F(INT, prompt_bytes, false),
	F(TEXT, prompt_sha256, false),
	F(STATE, state, false),
	F(INT, steps, false),
	F(INT, tries, false),
	F(INT, step_wall_ms, false),
	F(INT, step_boot_ms, false),
	F(TEXT, boot_id, false),
	F(CLASS, class, true),
	F(CLASS, stop, true),
	F(INT, exit_code, true),
	F(INT, signal, true),
	F(INT, pid1_exit, true),
	F(BOOL, released, true),
	F(TEXT, reason, true),
	F(TEXT, network, true),
	F(TEXT, container, true),
	F(INT, begun_boot_ms, true),
	F(INT, log_bytes, true),
	F(INT, log_kept, true),
	F(INT, log_dropped, true),
	F(TEXT, head, true),
	F(TEXT, base_commit, true),
	F(TEXT, bundle_sha256, true),
	F(INT, bundle_bytes, true),
	F(BOOL, fetched, true),
	F(INT, allowed, true),
	F(INT, denied, true),
	F(INT, bytes_up, true),
	F(INT, bytes_down, true),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))
#define NUMBER_MAX 24

/* --- hashes ----------------------------------------------------------------
 */

static void
to_hex(const unsigned char *md, unsigned n, char *hex)
{
	unsigned i;

	for (i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
}

int
store_sum_bytes(char hex[STORE_SUM_LEN + 1], const void *buf, size_t len)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(buf, len, md, &n, EVP_sha256(), NULL) != 1 ||
	    n != STORE_SUM_LEN / 2)
		return -1;
	to_hex(md, n, hex);
	return 0;
}

int
store_sum(char hex[STORE_SUM_LEN + 1], const char *const *texts, size_t n)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	char head[NUMBER_MAX];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned len = 0;
	int ret = -1, k;
	size_t i;

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		goto out;
	for (i = 0; i < n; i++) {
		k = snprintf(head, sizeof(head), "%zu:", strlen(texts[i]));
		if (EVP_DigestUpdate(ctx, head, (size_t)k) != 1 ||
		    EVP_DigestUpdate(ctx, texts[i], strlen(texts[i])) != 1)
			goto out;
	}
	if (EVP_DigestFinal_ex(ctx, md, &len) != 1 || len != STORE_SUM_LEN / 2)
		goto out;
	to_hex(md, len, hex);
	ret = 0;
out:
	EVP_MD_CTX_free(ctx);
	return ret;
}

/* --- statements
 * --------------------------------------------------------------- */

/* "seq, run, ..." with suffix behind each name ("=?" for an update). */
static void
columns(char *sql, const char *suffix)
{
	size_t i;

	for (i = 0; i < FIELDS; i++) {
		(void)strlcat(sql, fields[i].name, STORE_SQL_MAX);
		(void)strlcat(sql, suffix, STORE_SQL_MAX);
		(void)strlcat(sql, ",", STORE_SQL_MAX);
	}
	(void)strlcat(sql, "sum", STORE_SQL_MAX);
	(void)strlcat(sql, suffix, STORE_SQL_MAX);
}

static void
select_sql(char *sql, const char *rest)
{
	(void)strlcpy(sql, "SELECT ", STORE_SQL_MAX);
	columns(sql, "");
	(void)strlcat(sql, " FROM runs ", STORE_SQL_MAX);
	(void)strlcat(sql, rest, STORE_SQL_MAX);
}

static void
insert_sql(char *sql)
{
	size_t i;

	(void)strlcpy(sql, "INSERT INTO runs(", STORE_SQL_MAX);
	columns(sql, "");
	(void)strlcat(sql, ") VALUES (?", STORE_SQL_MAX);
	for (i = 0; i < FIELDS; i++)
		(void)strlcat(sql, ",?", STORE_SQL_MAX);
	(void)strlcat(sql, ")", STORE_SQL_MAX);
}

/* All columns but seq, which is the key and stays; ?1 is seq. */
static void
update_sql(char *sql)
{
	char part[64];
	size_t i;

	(void)strlcpy(sql, "UPDATE runs SET ", STORE_SQL_MAX);
	for (i = 1; i < FIELDS; i++) {
		snprintf(part, sizeof(part), "%s=?%zu,", fields[i].name, i + 1);
		(void)strlcat(sql, part, STORE_SQL_MAX);
	}
	snprintf(part, sizeof(part), "sum=?%zu WHERE seq=?1", FIELDS + 1);
	(void)strlcat(sql, part, STORE_SQL_MAX);
}

#define WHERE_QUEUED "state='QUEUED'"
#define WHERE_LIVE "state NOT IN ('QUEUED','DONE')"
#define WHERE_OPEN "state<>'DONE'"
#define WHERE_FORGETTABLE "state='DONE' AND (bundle_bytes=0 OR fetched=1)"
#define AS_THEY_CAME " AND seq>?1 ORDER BY seq LIMIT ?2"

static const char *const selects[ST_MAX] = {
	[ST_GET] = "WHERE run=?1",
	[ST_BY_REQUEST] = "WHERE uid=?1 AND request=?2",
	[ST_EACH + FILTER_QUEUED] = "WHERE " WHERE_QUEUED AS_THEY_CAME,
	[ST_EACH + FILTER_LIVE] = "WHERE " WHERE_LIVE AS_THEY_CAME,
	[ST_EACH + FILTER_OPEN] = "WHERE " WHERE_OPEN AS_THEY_CAME,
	[ST_EACH + FILTER_ALL] = "WHERE seq<?1 ORDER BY seq DESC LIMIT ?2",
	[ST_BEYOND] = "WHERE " WHERE_FORGETTABLE
	              " AND seq<=(SELECT seq FROM runs WHERE state='DONE'"
	              " ORDER BY seq DESC LIMIT 1 OFFSET ?1)"
	              " ORDER BY seq LIMIT 1",
	/* Of this boot both clocks have to agree, of another the wall's. */
	[ST_AGED] = "WHERE " WHERE_FORGETTABLE
	            " AND step_wall_ms<?1 AND CASE boot_id WHEN ?2"
	            " THEN step_boot_ms<?3 ELSE ?4 END"
	            " ORDER BY seq LIMIT 1",
};

static const char *const others[ST_MAX] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_DELETE] = "DELETE FROM runs WHERE seq=?1",
	[ST_COUNT + FILTER_QUEUED] =
	    "SELECT count(*) FROM runs WHERE " WHERE_QUEUED,
	[ST_COUNT + FILTER_LIVE] =
	    "SELECT count(*) FROM runs WHERE " WHERE_LIVE,
	[ST_COUNT + FILTER_OPEN] =
	    "SELECT count(*) FROM runs WHERE " WHERE_OPEN,
	[ST_COUNT + FILTER_ALL] = "SELECT count(*) FROM runs",
	[ST_EVENT_ADD] = "INSERT INTO events(seq,nth,from_state,to_state,class,"
	                 "evidence,wall_ms,boot_ms,boot_id,sum)"
	                 " VALUES (?,?,?,?,?,?,?,?,?,?)",
	[ST_EVENTS] = "SELECT nth,from_state,to_state,class,evidence,wall_ms,"
	              "boot_ms,boot_id,sum FROM events WHERE seq=?1"
	              " ORDER BY nth LIMIT ?2",
	[ST_EVENT] = "SELECT nth,from_state,to_state,class,evidence,wall_ms,"
	             "boot_ms,boot_id,sum FROM events WHERE seq=?1 AND nth=?2",
	[ST_OWE] = "INSERT INTO owed(seq,nth) VALUES (?,?)",
	[ST_OWED] = "SELECT seq,nth FROM owed WHERE (seq,nth)>(?1,?2)"
	            " ORDER BY seq,nth LIMIT 1",
	[ST_RECORDED] = "DELETE FROM owed WHERE seq=?1 AND nth=?2",
	[ST_PROMPT_ADD] = "INSERT INTO prompts(seq,bytes) VALUES (?,?)",
	[ST_PROMPT] = "SELECT bytes FROM prompts WHERE seq=?1",
	[ST_PROMPT_DELETE] = "DELETE FROM prompts WHERE seq=?1",
	[ST_NOTE_SET] =
	    "INSERT OR REPLACE INTO notes(seq,kind,text,sum) VALUES (?,?,?,?)",
	[ST_NOTE] = "SELECT text,sum FROM notes WHERE seq=?1 AND kind=?2",
	[ST_NETWORKS] = "SELECT network FROM runs WHERE " WHERE_LIVE
	                " AND network<>'' LIMIT ?1",
};

int
store_sql(enum store_stmt which, char sql[STORE_SQL_MAX])
{
	if (which == ST_INSERT)
		insert_sql(sql);
	else if (which == ST_UPDATE)
		update_sql(sql);
	else if (selects[which] != NULL)
		select_sql(sql, selects[which]);
	else
		(void)strlcpy(sql, others[which], STORE_SQL_MAX);
	return strlen(sql) < STORE_SQL_MAX - 1 ? 0 : -1;
}

/* --- rows
 * ------------------------------------------------------------------------ */

/* What a field is as text: of the column, and in the hash. */
static const char *
field_text(
    const struct field *f, const struct queue_row *row, char buf[NUMBER_MAX])
{
	const char *place = (const char *)row + f->off;

	switch (f->type) {
	case FIELD_TEXT:
		return place;
	case FIELD_INT:
		snprintf(buf, NUMBER_MAX, "%" PRId64,
		    *(const int64_t *)(const void *)place);
		return buf;
	case FIELD_BOOL:
		return *(const bool *)(const void *)place ? "1" : "0";
	case FIELD_STATE:
		return queue_state_name(
		    *(const enum queue_state *)(const void *)place);
	case FIELD_CLASS:
		return queue_class_name(
		    *(const enum queue_class *)(const void *)place);
	}
	return NULL;
}

static int
row_sum(const struct queue_row *row, char hex[STORE_SUM_LEN + 1])
{
	char numbers[FIELDS][NUMBER_MAX];
	const char *texts[FIELDS];
	size_t i;

	for (i = 0; i < FIELDS; i++) {
		texts[i] = field_text(&fields[i], row, numbers[i]);
		if (texts[i] == NULL)
			return -1;
	}
	return store_sum(hex, texts, FIELDS);
}

int
store_row_bind(
    struct queue_store *s, sqlite3_stmt *st, const struct queue_row *row)
{
	char sum[STORE_SUM_LEN + 1], number[NUMBER_MAX];
	const char *text;
	int rc = SQLITE_OK, i;

	if (row_sum(row, sum) == -1)
		return store_error(s, STORE_REFUSED, "a row has no hash");
	for (i = 0; i < (int)FIELDS && rc == SQLITE_OK; i++) {
		text = field_text(&fields[i], row, number);
		if (fields[i].type == FIELD_INT || fields[i].type == FIELD_BOOL)
			rc = sqlite3_bind_int64(
			    st, i + 1, strtoll(text, NULL, 10));
		else
			rc = sqlite3_bind_text(
			    st, i + 1, text, -1, SQLITE_TRANSIENT);
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(
		    st, (int)FIELDS + 1, sum, -1, SQLITE_TRANSIENT);
	return rc == SQLITE_OK ? 0 : store_sqlite(s, "a row cannot be bound");
}

int
store_column(sqlite3_stmt *st, int i, char *out, size_t size)
{
	const unsigned char *text;
	size_t len;

	if (sqlite3_column_type(st, i) != SQLITE_TEXT)
		return -1;
	text = sqlite3_column_text(st, i);
	if (text == NULL)
		return -1;
	len = (size_t)sqlite3_column_bytes(st, i);
	if (len >= size || memchr(text, '\0', len) != NULL)
		return -1;
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

static int
read_field(
    const struct field *f, sqlite3_stmt *st, int i, struct queue_row *row)
{
	char *place = (char *)row + f->off, name[64];
	enum queue_state state;
	enum queue_class class;
	int64_t n;

	if (f->type == FIELD_TEXT)
		return store_column(st, i, place, f->size);
	if (f->type == FIELD_STATE || f->type == FIELD_CLASS) {
		if (store_column(st, i, name, sizeof(name)) == -1)
			return -1;
		state = queue_state_parse(name);
		class = queue_class_parse(name);
		if (f->type == FIELD_STATE)
			memcpy(place, &state, sizeof(state));
		else
			memcpy(place, &class, sizeof(class));
		return f->type == FIELD_STATE ? (state == STATE_MAX ? -1 : 0)
		                              : (class == CLASS_MAX ? -1 : 0);
	}
	if (sqlite3_column_type(st, i) != SQLITE_INTEGER)
		return -1;
	n = sqlite3_column_int64(st, i);
	if (f->type == FIELD_INT)
		memcpy(place, &n, sizeof(n));
	else if (n == 0 || n == 1)
		*(bool *)place = n == 1;
	else
		return -1;
	return 0;
}

int
store_row_read(struct queue_store *s, sqlite3_stmt *st, struct queue_row *row)
{
	char sum[STORE_SUM_LEN + 1], want[STORE_SUM_LEN + 1];
	struct queue_row r;
	int i;

	memset(&r, 0, sizeof(r));
	for (i = 0; i < (int)FIELDS; i++) {
		if (read_field(&fields[i], st, i, &r) == -1)
			return store_error(s, STORE_CORRUPT,
			    "%s: a run's row (%" PRId64
			    ") is damaged at its %s",
			    s->path, r.seq, fields[i].name);
	}
	if (store_column(st, (int)FIELDS, sum, sizeof(sum)) == -1 ||
	    row_sum(&r, want) == -1 || strcmp(sum, want) != 0)
		return store_error(s, STORE_CORRUPT,
		    "%s: the row of run %s is not as it was written", s->path,
		    r.run);
	*row = r;
	return 0;
}

void
store_row_own(struct queue_row *to, const struct queue_row *from)
{
	size_t i;

	for (i = 0; i < FIELDS; i++) {
		if (fields[i].own)
			memcpy((char *)to + fields[i].off,
			    (const char *)from + fields[i].off, fields[i].size);
	}
}
