/*
 * What stands before every job: which API we speak with the engine that is
 * there now. Before a run is made, also from which image. Nothing else needs
 * one: what runs is looked at, ended and removed when its image is long gone.
 *
 * The API is asked for anew behind every lost connection: the engine may have
 * been replaced meanwhile. The image is not: what its name means may have been
 * changed under us, and only engine.info may take that up, unless it is to
 * look.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/engine_internal.h"

static void
begin(struct job *j)
{
	j->start(j, NULL);
}

void
session_lost(struct engine *e)
{
	if (e->session.negotiated)
		log_warnx("the connection to the engine is lost");
	e->session.negotiated = false;
}

/* --- the image ------------------------------------------------------------ */

/*
 * There is none to make a run from, and create says so. What the engine is can
 * be told all the same: with a warning, as the runs that go on need it.
 */
static void no_image(struct job *j, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
no_image(struct job *j, const char *code, const char *fmt, ...)
{
	char why[ENGINE_WARNING_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (j->type != MSG_TYPE_engine_info) {
		job_fail(j, code, "%s", why);
		return;
	}
	if (!j->look)
		engine_image_free(&j->engine->session.image);
	strlcpy(j->said, "no run can be made: ", ENGINE_WARNING_MAX + 1);
	strlcat(j->said, why, ENGINE_WARNING_MAX + 1);
	begin(j);
}

static void
on_image(struct job *j, const struct http_answer *a)
{
	char message[ENGINE_MESSAGE_MAX];
	struct engine *e = j->engine;
	struct engine_image *image;

	if (a->status == 404) {
		no_image(
		    j, "image_absent", "the engine has no image %s", e->image);
		return;
	}
	if (a->status != 200) {
		engine_parse_message(a->body, a->len, message);
		no_image(j, a->status < 500 ? "refused" : "internal",
		    "the engine answers %ld: %s", a->status, message);
		return;
	}
	/* Another job may have pinned it while this one asked. */
	if (e->session.image != NULL && j->type != MSG_TYPE_engine_info) {
		begin(j);
		return;
	}
	if ((image = engine_parse_image(a->body, a->len)) == NULL) {
		no_image(j, "internal", "the engine describes no image");
		return;
	}
	if (e->session.image != NULL &&
	    strcmp(e->session.image->id, image->id) != 0)
		log_warnx("the image %s was replaced", e->image);
	engine_image_free(&e->session.image);
	e->session.image = image;
	log_info("runs are made from %s, %s", e->image, image->id);
	begin(j);
}

/* Is the one that is pinned still there? Another does not take its place. */
static void
on_pinned(struct job *j, const struct http_answer *a)
{
	char message[ENGINE_MESSAGE_MAX];

	if (a->status == 200) {
		begin(j);
		return;
	}
	engine_parse_message(a->body, a->len, message);
	if (a->status == 404)
		no_image(j, "image_absent",
		    "the engine has lost the image %.64s that runs are made from",
		    j->engine->image);
	else
		no_image(j, "internal", "the engine answers %ld: %s", a->status,
		    message);
}

static void
ask_image(struct job *j)
{
	const struct engine_image *pinned = j->engine->session.image;

	if (j->look && pinned != NULL)
		job_get(j, on_pinned, "/images/%s/json", pinned->id);
	else
		job_get(j, on_image, "/images/%s/json", j->engine->image);
}

static void
negotiated(struct job *j)
{
	if (j->type == MSG_TYPE_engine_info ||
	    (j->type == MSG_TYPE_engine_create &&
	        j->engine->session.image == NULL))
		ask_image(j);
	else
		begin(j);
}

/* --- the engine ------------------------------------------------------------
 */

static void
on_info(struct job *j, const struct http_answer *a)
{
	struct engine *e = j->engine;

	if (a->status != 200) {
		job_refused(j, a);
		return;
	}
	if (engine_parse_info(a->body, a->len, &e->session.info) == -1) {
		job_fail(j, "internal", "the engine does not say what it is");
		return;
	}
	negotiated(j);
}

static void
on_version(struct job *j, const struct http_answer *a)
{
	struct engine *e = j->engine;
	struct session *s = &e->session;
	const char *why;
	int api;

	if (a->status != 200) {
		job_refused(j, a);
		return;
	}
	if (engine_parse_version(a->body, a->len, &s->version) == -1) {
		job_fail(j, "internal", "the engine does not say its version");
		return;
	}
	api = engine_choose_api(s->version.min_api, s->version.api, &why);
	if (api == -1) {
		job_fail(j, "unavailable", "%s (it speaks 1.%d to 1.%d)", why,
		    s->version.min_api, s->version.api);
		return;
	}
	/* Looking at what is known already is not worth a line. */
	if (!j->look)
		log_info("engine %s, API 1.%d", s->version.version, api);
	s->api = (unsigned)api;
	s->negotiated = true;
	job_get(j, on_info, "/info");
}

static void
on_ping(struct job *j, const struct http_answer *a)
{
	const char *why;
	int max = engine_parse_api(a->api);

	if (a->status != 200) {
		job_refused(j, a);
		return;
	}
	if (max == -1) {
		job_fail(j, "unavailable",
		    "what listens on the engine's socket is no engine");
		return;
	}
	if (engine_choose_api(0, max, &why) == -1) {
		job_fail(j, "unavailable", "%s (1.%d)", why, max);
		return;
	}
	job_get(j, on_version, "/version");
}

void
session_begin(struct job *j)
{
	struct session *s = &j->engine->session;

	if (j->type == MSG_TYPE_engine_info)
		s->negotiated = false;
	if (s->negotiated)
		negotiated(j);
	else {
		j->raw = true;
		job_get(j, on_ping, "/_ping");
	}
}

void
session_info(struct job *j, const struct http_answer *a)
{
	const struct session *s = &j->engine->session;
	struct msg m = { .type = MSG_TYPE_engine_info_answer };
	const char *warnings[ENGINE_WARNINGS_MAX];
	bool absent = j->said[0] != '\0';
	char api[16];
	size_t i, n = 0;

	if (absent)
		warnings[n++] = j->said;
	for (i = 0; i < s->info.nwarnings && n < ENGINE_WARNINGS_MAX; i++)
		warnings[n++] = s->info.warnings[i];

	snprintf(api, sizeof(api), "1.%u", s->api);
	m.u.engine_info_answer.version = s->version.version;
	m.u.engine_info_answer.api = api;
	m.u.engine_info_answer.image_id = absent ? "" : s->image->id;
	m.u.engine_info_answer.live_restore = s->info.live_restore;
	m.u.engine_info_answer.memory = s->info.memory;
	m.u.engine_info_answer.cpus = s->info.cpus;
	m.u.engine_info_answer.warnings.v = warnings;
	m.u.engine_info_answer.warnings.n = n;
	job_answer(j, &m);
}
