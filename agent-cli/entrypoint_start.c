/*
 * The start frame, its streams, and the proof. All of it is made or refused
 * here before the release: behind it there is no way back.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"
#include "libcommon/runid.h"

#include "entrypoint.h"

/* --- the frame ------------------------------------------------------------ */

/* A message of our own with the same content: ours lives on. */
static int
copy(const struct msg *m, struct msg *to)
{
	char why[ENTRY_WHY_MAX], *text;
	size_t len;
	int r;

	if (msg_encode(m, &text, &len, why, sizeof(why)) == -1)
		return -1;
	r = msg_decode(text, len, to, why, sizeof(why));
	freezero(text, len);
	return r;
}

/* A name of one component, that no option and no parent can be. */
static bool
directory_ok(const char *s)
{
	return s[0] != '.' && s[0] != '-' && strchr(s, '/') == NULL;
}

static bool
prompt_by_ok(const char *s)
{
	return strcmp(s, "stdin") == 0 || strcmp(s, "file") == 0 ||
	    strcmp(s, "argument") == 0;
}

static bool
frame_ok(const struct msg_agent_start *s)
{
	if (!runid_valid(s->run) || s->argv.n == 0 ||
	    !prompt_by_ok(s->prompt_by))
		return false;
	if (s->repo[0] != '\0' &&
	    (s->directory[0] == '\0' || !directory_ok(s->directory)))
		return false;
	/* git would take it for an option. */
	return s->base[0] != '-' && s->branch[0] != '-';
}

static int
expect(struct entry *e, struct entry_blob *b, int64_t stream, int64_t bytes)
{
	if (stream == 0 || bytes == 0)
		return stream == 0 && bytes != 0 ? -1 : 0;
	if ((b->buf = malloc((size_t)bytes)) == NULL)
		return -1;
	b->want = (size_t)bytes;
	b->stream = (uint32_t)stream;
	return link_expect(e->link, b->stream, bytes);
}

static void
blob_free(struct entry_blob *b)
{
	if (b->buf != NULL)
		freezero(b->buf, b->want);
	memset(b, 0, sizeof(*b));
}

void
start_drop(struct entry *e)
{
	blob_free(&e->prompt);
	blob_free(&e->ca);
	msg_free(&e->start);
	memset(&e->start, 0, sizeof(e->start));
}

/* --- the proof -------------------------------------------------------------
 */

void
start_send_proof(struct entry *e)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_proof;
	m.u.agent_proof.ok = e->report.ok;
	m.u.agent_proof.checks.k = e->report.names;
	m.u.agent_proof.checks.v = e->report.texts;
	m.u.agent_proof.checks.n = e->report.n;
	(void)link_send(e->link, &m);
}

/* The proof could not even be tried. */
static void
unproven(struct entry *e, const char *why)
{
	e->report.ok = false;
	e->report.n = 1;
	e->report.names[0] = "probes";
	e->report.texts[0] = e->report.text[0];
	(void)snprintf(e->report.text[0], sizeof(e->report.text[0]),
	    PROOF_NOT_TRIED "%s", why);
}

static void
prove(struct entry *e)
{
	const struct msg_agent_start *s = &e->start.u.agent_start;
	struct probe_input in = { .run = s->run,
		.proxy = s->proxy,
		.canary = s->canary,
		.gateway = s->gateway,
		.siblings = s->siblings };
	char why[ENTRY_WHY_MAX / 2];

	entry_set(e, ENTRY_PROVE);
	probe_interfaces(&in);
	if (probe_plan(&in, &e->plan, why, sizeof(why)) == -1)
		unproven(e, why);
	else if (probe_run(&e->plan) == -1)
		unproven(e, "out of memory");
	else
		probe_report(&e->plan, &e->report);
	log_info("the boundary is %s", e->report.ok ? "proven" : "NOT proven");
	entry_set(e, ENTRY_WAIT_RELEASE);
	start_send_proof(e);
}

/* --- taking it ---------------------------------------------------------------
 */

static void
complete(struct entry *e)
{
	if (e->prompt.stream == 0 && e->ca.stream == 0)
		prove(e);
}

int
start_take(struct entry *e, const struct msg *m)
{
	const struct msg_agent_start *s = &m->u.agent_start;

	if (e->state != ENTRY_START || e->start.type == MSG_TYPE_agent_start) {
		log_warnx("a second start");
		return -1;
	}
	if (!frame_ok(s) || copy(m, &e->start) == -1)
		return -1;
	e->heard = true;
	if (expect(e, &e->prompt, s->prompt_stream, s->prompt_bytes) == -1 ||
	    expect(e, &e->ca, s->ca_stream, s->ca_bytes) == -1) {
		start_drop(e);
		return -1;
	}
	complete(e);
	return 0;
}

static struct entry_blob *
blob_of(struct entry *e, uint32_t stream)
{
	if (stream != 0 && stream == e->prompt.stream)
		return &e->prompt;
	if (stream != 0 && stream == e->ca.stream)
		return &e->ca;
	return NULL;
}

void
start_data(struct entry *e, uint32_t stream, const uint8_t *buf, size_t len)
{
	struct entry_blob *b = blob_of(e, stream);

	if (b != NULL && len <= b->want - b->len) {
		memcpy(b->buf + b->len, buf, len);
		b->len += len;
	}
	link_consumed(e->link, stream, len);
}

void
start_stream_end(struct entry *e, uint32_t stream, bool ok, const char *why)
{
	struct entry_blob *b = blob_of(e, stream);

	if (b == NULL)
		return;
	/* Short, or given up: such a start is none. */
	if (!ok || b->len != b->want) {
		log_warnx("the start is not whole: %s",
		    why != NULL ? why : "too short");
		entry_leave(e, ENTRY_EXIT_NOTHING);
		return;
	}
	b->stream = 0;
	complete(e);
}
