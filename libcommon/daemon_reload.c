#include <stdio.h>
#include <string.h>

#include "libcommon/daemon.h"
#include "libcommon/log.h"

static void
record_reload(struct daemon *d, const char *error, audit_done_fn *done)
{
	char text[512];
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_reload;
	m.u.rec_reload.applied = error == NULL;
	m.u.rec_reload.generation = d->generation;
	if (error == NULL) {
		m.u.rec_reload.generation = d->generation + 1;
		m.u.rec_reload.config_sha256 = d->next.sha256;
	} else {
		log_escape(text, sizeof(text), error, strlen(error));
		m.u.rec_reload.error = text;
	}
	if (audit_client_send(d->audit, &m, done, d) == -1 && done != NULL)
		done(false, d);
}

/* The record of the reload is written (or not): now it takes effect. */
static void
reload_recorded(bool ok, void *arg)
{
	struct daemon *d = arg;

	if (!ok || d->phase != PHASE_SERVING) {
		log_warnx("reload refused, generation %lld stays: it could "
		          "not be recorded",
		    (long long)d->generation);
		if (d->def->drop != NULL)
			d->def->drop(d);
		daemon_config_free(d, &d->next);
		daemon_reload_go_on(d);
		return;
	}
	d->generation++;
	daemon_config_free(d, &d->now);
	d->now = d->next;
	memset(&d->next, 0, sizeof(d->next));
	daemon_tables_send(d);
	if (d->def->reloaded != NULL)
		d->def->reloaded(d);
	daemon_state_send(d);
	log_info("reloaded, generation %lld", (long long)d->generation);
	daemon_reload_go_on(d);
}

/* Load and prepare what is to come. False: why not, and nothing is left. */
static bool
prepare(struct daemon *d, char *why, size_t whylen)
{
	const char *key;

	if (!daemon_config_load(d, &d->next, false, why, whylen))
		return false;
	key = daemon_config_fixed(d);
	if (key != NULL)
		snprintf(why, whylen,
		    "%s: cannot change while running; start %s anew", key,
		    d->def->name);
	else if (d->def->prepare == NULL ||
	    d->def->prepare(d, why, whylen) == 0)
		return true;
	daemon_config_free(d, &d->next);
	return false;
}

/*
 * One at a time, from the file to the answers of those who got its tables:
 * what is still on its way to them is that of the one in force.
 */
void
daemon_reload(struct daemon *d)
{
	char why[512];

	if (d->next.own != NULL || !daemon_tables_applied(d)) {
		d->reload_again = true;
		return;
	}
	if (prepare(d, why, sizeof(why))) {
		record_reload(d, NULL, reload_recorded);
		return;
	}
	log_warnx("reload refused, generation %lld stays: %s",
	    (long long)d->generation, why);
	record_reload(d, why, NULL);
}

void
daemon_reload_go_on(struct daemon *d)
{
	if (!d->reload_again || d->phase != PHASE_SERVING || d->lost ||
	    d->next.own != NULL || !daemon_tables_applied(d))
		return;
	d->reload_again = false;
	daemon_reload(d);
}
