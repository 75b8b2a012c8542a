/*
 * Any bytes as a record file. The same bytes are judged alike in whatever
 * pieces they come; and what a start may take up verifies once it has.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/audit.h"
#include "libcommon/audit_internal.h"

#define TIME "2026-08-01T21:00:00.123Z"

/* Whatever NDEBUG says. */
#define must(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct audit_verify *
feed(const uint8_t *data, size_t size, size_t piece)
{
	struct audit_verify *v = audit_verify_new();
	size_t off, n;

	must(v != NULL);
	for (off = 0; off < size; off += n) {
		n = size - off < piece ? size - off : piece;
		(void)audit_verify_feed(v, data + off, n);
	}
	return v;
}

static void
same(struct audit_verify *a, struct audit_verify *b)
{
	bool ea = false, eb = false;

	must(audit_verify_end(a) == audit_verify_end(b));
	must(audit_verify_line(a) == audit_verify_line(b));
	must(strcmp(audit_verify_why(a), audit_verify_why(b)) == 0);
	must(audit_verify_records(a) == audit_verify_records(b));
	must(audit_verify_torn(a, &ea) == audit_verify_torn(b, &eb));
	must(ea == eb);
}

/* Take up the torn end, write one more record, verify. */
static void
repair(struct audit_verify *v, const uint8_t *data, size_t size, bool ended)
{
	static char line[AUDIT_LINE_MAX];
	struct audit_chain c = *audit_verify_chain(v);
	struct msg m = { .type = MSG_TYPE_rec_recovered };
	struct audit_verify *w = feed(data, size, size);
	char hex[AUDIT_HASH_LEN];
	size_t tail = audit_verify_tail(v, hex);
	ssize_t n;

	must(tail + ended <= size && tail > 0);
	m.u.rec_recovered.bytes = (int64_t)tail;
	m.u.rec_recovered.sha256 = hex;
	if (!ended)
		(void)audit_verify_feed(w, "\n", 1);
	must((n = audit_line(&c, "d", TIME, 1, &m, line)) > 0);
	(void)audit_verify_feed(w, line, (size_t)n);
	m = (struct msg){ .type = MSG_TYPE_rec_stop };
	m.u.rec_stop.reason = "r";
	must((n = audit_line(&c, "d", TIME, 2, &m, line)) > 0);
	(void)audit_verify_feed(w, line, (size_t)n);
	must(audit_verify_end(w) == 0);
	must(audit_verify_chain(w)->seq == c.seq);
	audit_verify_free(&w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_verify *whole = feed(data, size, size);
	struct audit_verify *pieces = feed(data, size, 7);
	bool ended;

	same(whole, pieces);
	if (audit_verify_end(whole) == 0)
		must(audit_verify_line(whole) == 0);
	else
		must(audit_verify_line(whole) > 0 &&
		    audit_verify_why(whole)[0] != '\0');
	if (audit_verify_torn(whole, &ended))
		repair(whole, data, size, ended);
	audit_verify_free(&whole);
	audit_verify_free(&pieces);
	return 0;
}
