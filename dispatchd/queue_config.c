/* The configuration, as the parent gives it: its text, then CA roots. */

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/queue.h"

/* CA roots of a configuration that is being taken in. */
struct roots {
	TAILQ_ENTRY(roots) entry;
	uint32_t stream;
	char profile[DISPATCH_NAME_MAX + 1];
	char *buf;
	size_t len, want;
};

static TAILQ_HEAD(, roots) all_roots = TAILQ_HEAD_INITIALIZER(all_roots);

/* Its files and users are the parent's, which has checked them. */
static int
given_file(const char *path, size_t max, char **buf, size_t *len)
{
	/* The roots themselves come behind it; the parent saw that some do. */
	*buf = xstrdup("-----BEGIN CERTIFICATE-----\n");
	*len = strlen(*buf);
	return 0;
}

static int
given_id(const char *name, uint32_t *id)
{
	*id = 0;
	return 0;
}

static const struct dispatch_config_env given = {
	.read_file = given_file, .user = given_id, .group = given_id
};

static void
set_capacity(void)
{
	const struct dispatch_capacity *c = &queue.config->capacity;

	queue.admission.capacity.memory = c->memory;
	queue.admission.capacity.cpus_milli = c->cpus_milli;
	queue.admission.capacity.pids = c->pids;
	queue.admission.runs_max = c->runs;
}

static void
config_applied(void)
{
	dispatch_config_free(&queue.config);
	queue.config = queue.loading;
	queue.loading = NULL;
	queue.generation = queue.loading_generation;
	set_capacity();
	sibling_send_applied(queue.parent, "config", queue.generation);
	if (queue.go)
		qjob_admit_all();
}

static void
open_store(const char *dir)
{
	char why[QUEUE_STORE_WHY_MAX + 1];
	enum queue_store_error error;

	queue.store = queue_store_open(dir, &error, why);
	if (queue.store == NULL) {
		log_warnx("%s", why);
		exit(EXIT_SYSTEM);
	}
	if (queue_store_restored(queue.store))
		log_warnx("the queue is older than its directory knows it: "
		          "from a backup? Containers that it does not know "
		          "are left alone");
}

void
config_given(const struct msg_dispatch_config *m)
{
	struct conf *conf = NULL;

	if (queue.loading != NULL)
		fatalx("parent: a configuration inside another");
	queue.loading = dispatch_config_read_env(
	    "configuration", m->text, strlen(m->text), &given, &conf);
	if (queue.loading == NULL)
		fatalx("parent: a configuration with an error: %s",
		    conf_error_text(conf, 0));
	queue.loading_generation = m->generation;
	queue.roots_missing = m->roots;
	if (queue.store == NULL)
		open_store(m->state);
	if (queue.roots_missing == 0)
		config_applied();
}

void
roots_given(const struct msg_dispatch_roots *m)
{
	struct roots *r = xcalloc(1, sizeof(*r));

	if (queue.loading == NULL || queue.roots_missing == 0)
		fatalx("parent: roots of no configuration");
	r->stream = (uint32_t)m->stream;
	strlcpy(r->profile, m->profile, sizeof(r->profile));
	r->want = (size_t)m->bytes;
	r->buf = xmalloc(r->want + 1);
	TAILQ_INSERT_TAIL(&all_roots, r, entry);
	if (peer_stream_expect(queue.parent, r->stream, m->bytes) == -1)
		fatalx("no stream from the parent");
}

static struct roots *
roots_find(uint32_t stream)
{
	struct roots *r;

	TAILQ_FOREACH(r, &all_roots, entry) {
		if (r->stream == stream)
			return r;
	}
	fatalx("parent: a stream of no roots");
}

void
roots_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	struct roots *r = roots_find(stream);

	memcpy(r->buf + r->len, buf, len);
	r->len += len;
	peer_stream_consumed(p, stream, len);
}

void
roots_end(struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct roots *r = roots_find(stream);
	struct dispatch_profile *pr = NULL;
	size_t i;

	if (!ok || r->len != r->want)
		fatalx("parent: roots that are not whole");
	for (i = 0; i < queue.loading->nprofiles; i++) {
		if (strcmp(queue.loading->profiles[i].name, r->profile) == 0)
			pr = &queue.loading->profiles[i];
	}
	if (pr == NULL)
		fatalx("parent: roots of no profile");
	free(pr->ca);
	r->buf[r->len] = '\0';
	pr->ca = r->buf;
	pr->ca_len = r->len;
	TAILQ_REMOVE(&all_roots, r, entry);
	free(r);
	if (--queue.roots_missing == 0)
		config_applied();
}
