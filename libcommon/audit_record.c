/*
 * The line of a record and the chain it stands in. Pure.
 */

#include <string.h>

#include "libcommon/audit.h"
#include "libcommon/audit_internal.h"
#include "libcommon/json.h"
#include "libcommon/msg.h"

#define HEX_LEN (AUDIT_HASH_LEN - 1)
#define STRLEN(s) (sizeof(s) - 1)

/* What goes round the hash at the end of a line. */
#define HASH_BEFORE ",\"hash\":\""
#define HASH_BEHIND "\"}"
#define SEAL_LEN (STRLEN(HASH_BEFORE) + HEX_LEN + STRLEN(HASH_BEHIND))
/* The longest text that is hashed: its "}" is counted in SEAL_LEN too. */
#define TEXT_MAX (AUDIT_LINE_MAX - 1 - SEAL_LEN + 1)

#define RECORD_PREFIX "rec."

/* A record is flat but for lists, maps and `peer`. */
static const struct json_limits record_limits = {
	.bytes = AUDIT_LINE_MAX,
	.nodes = 4096,
	.depth = 2,
	.comments = false,
};

void
audit_chain_init(struct audit_chain *c)
{
	c->seq = 0;
	memset(c->hash, '0', AUDIT_HASH_LEN - 1);
	c->hash[AUDIT_HASH_LEN - 1] = '\0';
}

/*
 * The hash over a line's bytes up to its last member, and the "}" behind it.
 * The algorithm is fetched once and kept: inside the sandbox OpenSSL could not
 * load it, and fetching costs as much as hashing a line. No result depends on
 * what came before.
 */
static int
line_hash(const char *text, size_t len, char hex[AUDIT_HASH_LEN])
{
	static struct audit_hash *hash;

	if (hash == NULL && (hash = audit_hash_new()) == NULL)
		return -1;
	if (audit_hash_start(hash) == -1 ||
	    audit_hash_add(hash, text, len) == -1 ||
	    audit_hash_add(hash, "}", 1) == -1)
		return -1;
	return audit_hash_hex(hash, hex);
}

/* --- fields ----------------------------------------------------------- */

/* Where the message has a field of that name and type, or NULL. */
static const void *
field(const struct msg *m, const struct msg_decl *d, const char *name,
    enum msg_field_type type)
{
	const struct msg_field *f;

	for (f = d->fields; f < d->fields + d->nfields; f++)
		if (f->type == type && strcmp(f->name, name) == 0)
			return (const char *)&m->u + f->off;
	return NULL;
}

bool
audit_step_of(const struct msg *m, const char **run, int64_t *step)
{
	const struct msg_decl *d = msg_decl(m->type);
	const char *const *r = field(m, d, "run", FIELD_STRING);
	const int64_t *n = field(m, d, "step", FIELD_INT);

	if (r == NULL || *r == NULL || n == NULL)
		return false;
	*run = *r;
	*step = *n;
	return true;
}

/* --- writing ---------------------------------------------------------- */

/* Who asked, where the message has it: the fields peer_uid and peer_pid. */
static void
write_peer(struct json_writer *w, const struct msg *m, const struct msg_decl *d)
{
	const int64_t *uid = field(m, d, "peer_uid", FIELD_INT);
	const int64_t *pid = field(m, d, "peer_pid", FIELD_INT);

	if (uid == NULL || pid == NULL)
		return;
	json_key(w, "peer");
	json_open_object(w);
	json_key(w, "uid");
	json_int(w, *uid);
	json_key(w, "pid");
	json_int(w, *pid);
	json_close_object(w);
}

static void
write_members(struct json_writer *w, const struct audit_chain *c,
    const char *daemon, const char *time, int64_t boot_ms, const struct msg *m,
    const struct msg_decl *d)
{
	json_open_object(w);
	json_key(w, "seq");
	json_int(w, c->seq + 1);
	json_key(w, "time");
	json_string(w, time);
	json_key(w, "boot_ms");
	json_int(w, boot_ms);
	json_key(w, "daemon");
	json_string(w, daemon);
	json_key(w, "type");
	json_string(w, d->wire + STRLEN(RECORD_PREFIX));
	msg_write_fields(m, w);
	write_peer(w, m, d);
	json_key(w, "prev");
	json_string(w, c->hash);
	json_close_object(w);
}

/* Text without its last "}", then the hash as the last member. */
static size_t
seal(char *buf, const char *text, size_t len, const char *hash)
{
	char *p = buf;

	memcpy(p, text, len);
	p += len;
	memcpy(p, HASH_BEFORE, STRLEN(HASH_BEFORE));
	p += STRLEN(HASH_BEFORE);
	memcpy(p, hash, HEX_LEN);
	p += HEX_LEN;
	memcpy(p, HASH_BEHIND "\n", STRLEN(HASH_BEHIND "\n"));
	p += STRLEN(HASH_BEHIND "\n");
	return (size_t)(p - buf);
}

ssize_t
audit_line(struct audit_chain *c, const char *daemon, const char *time,
    int64_t boot_ms, const struct msg *m, char *buf)
{
	const struct msg_decl *d = msg_decl(m->type);
	struct json_writer *w;
	const char *text;
	char hash[AUDIT_HASH_LEN];
	ssize_t r = -1;
	size_t len;

	if (d == NULL || !(d->flags & MSG_F_RECORD) ||
	    strncmp(d->wire, RECORD_PREFIX, STRLEN(RECORD_PREFIX)) != 0)
		return -1;
	if ((w = json_writer_new(TEXT_MAX)) == NULL)
		return -1;
	write_members(w, c, daemon, time, boot_ms, m, d);
	if (json_writer_end(w, &text, &len) == 0 && len <= TEXT_MAX &&
	    line_hash(text, len - 1, hash) == 0) {
		r = (ssize_t)seal(buf, text, len - 1, hash);
		c->seq++;
		memcpy(c->hash, hash, sizeof(c->hash));
	}
	json_writer_free(&w);
	return r;
}

/* --- reading ---------------------------------------------------------- */

static bool
is_hex(const char *s, size_t len)
{
	return len == HEX_LEN && strspn(s, "0123456789abcdef") >= HEX_LEN;
}

/* The next of the members that stand in one order in every record. */
static bool
take(const struct json_node **next, const char *key, enum json_type type)
{
	const struct json_node *n = *next;

	if (n == NULL || strcmp(n->key, key) != 0 || n->type != type)
		return false;
	*next = n->next;
	return true;
}

static bool
take_head(const struct json_node **next)
{
	return take(next, "seq", JSON_INT) && take(next, "time", JSON_STRING) &&
	    take(next, "boot_ms", JSON_INT) &&
	    take(next, "daemon", JSON_STRING) &&
	    take(next, "type", JSON_STRING) &&
	    (take(next, "run", JSON_STRING) || take(next, "run", JSON_NULL));
}

/* prev and hash, and nothing behind them. */
static bool
take_tail(const struct json_node *n, struct audit_read *r)
{
	while (n != NULL && strcmp(n->key, "prev") != 0)
		n = n->next;
	if (n == NULL || n->type != JSON_STRING || !is_hex(n->str, n->len))
		return false;
	memcpy(r->prev, n->str, AUDIT_HASH_LEN);
	n = n->next;
	return take(&n, "hash", JSON_STRING) && n == NULL;
}

/* What a `recovered` record tells of the bytes before it. */
static bool
read_recovered(const struct json_node *root, struct audit_read *r)
{
	const struct json_node *bytes, *sha256;

	bytes = json_member(root, "bytes");
	sha256 = json_member(root, "sha256");
	if (bytes == NULL || bytes->type != JSON_INT || bytes->num < 1 ||
	    sha256 == NULL || sha256->type != JSON_STRING ||
	    !is_hex(sha256->str, sha256->len))
		return false;
	r->bytes = bytes->num;
	memcpy(r->sha256, sha256->str, AUDIT_HASH_LEN);
	return true;
}

/* A step of a run. What only looks like one is none. */
static void
read_step(const struct json_node *root, struct audit_read *r)
{
	const struct json_node *run = json_member(root, "run");
	const struct json_node *step = json_member(root, "step");

	if (run->type != JSON_STRING || run->len != RUNID_LEN || step == NULL ||
	    step->type != JSON_INT || step->num < 1)
		return;
	memcpy(r->run, run->str, RUNID_LEN + 1);
	r->step = step->num;
}

static int
read_members(const struct json_node *root, struct audit_read *r)
{
	const struct json_node *next = root->child;

	if (root->type != JSON_OBJECT || !take_head(&next) ||
	    !take_tail(next, r) || root->child->num < 1)
		return -1;
	r->seq = root->child->num;
	read_step(root, r);
	if (strcmp(json_member(root, "type")->str, "recovered") == 0 &&
	    !read_recovered(root, r))
		return -1;
	return 0;
}

/* The hash at the line's end is that of the bytes before it. */
static int
check_seal(
    const char *line, size_t len, char hash[AUDIT_HASH_LEN], const char **why)
{
	const char *p;
	char want[AUDIT_HASH_LEN];

	*why = "it does not end in a hash";
	if (len <= SEAL_LEN)
		return -1;
	p = line + len - SEAL_LEN;
	if (memcmp(p, HASH_BEFORE, STRLEN(HASH_BEFORE)) != 0 ||
	    memcmp(line + len - STRLEN(HASH_BEHIND), HASH_BEHIND,
	        STRLEN(HASH_BEHIND)) != 0)
		return -1;
	if (line_hash(line, len - SEAL_LEN, want) == -1) {
		*why = "its hash could not be computed";
		return -1;
	}
	if (memcmp(p + STRLEN(HASH_BEFORE), want, HEX_LEN) != 0) {
		*why = "its hash is not that of its bytes";
		return -1;
	}
	memcpy(hash, want, AUDIT_HASH_LEN);
	return 0;
}

int
audit_line_read(
    const char *line, size_t len, struct audit_read *r, const char **why)
{
	struct json_doc *doc;
	struct json_error err;
	int ret;

	memset(r, 0, sizeof(*r));
	if (len >= AUDIT_LINE_MAX) {
		*why = "it is longer than a record can be";
		return -1;
	}
	if (check_seal(line, len, r->hash, why) == -1)
		return -1;
	*why = "it is no JSON object";
	if ((doc = json_parse(line, len, &record_limits, &err)) == NULL)
		return -1;
	ret = read_members(json_root(doc), r);
	json_free(&doc);
	if (ret == -1)
		*why = "it lacks what every record has";
	return ret;
}
