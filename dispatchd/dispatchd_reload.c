#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/frame.h"
#include "libcommon/log.h"

#include "dispatchd/dispatchd_parent.h"

/*
 * Read the configuration file. After the start we are no longer root: a file
 * that only root may read is read through the descriptor of the start, as
 * long as it is still that file (one that was replaced has no name any more).
 */
static int
read_file(struct parent *p, char **text, size_t *len)
{
	struct stat st, now;

	if (p->file_fd == -1) {
		p->file_fd = open(p->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (p->file_fd == -1)
			return -1;
		return fd_read_file(p->file_fd, DISPATCH_TEXT_MAX, text, len);
	}
	if (fd_read_path(p->file, DISPATCH_TEXT_MAX, text, len) == 0)
		return 0;
	if (errno != EACCES || fstat(p->file_fd, &st) == -1)
		return -1;
	/* Where we may not look, the old one may have been renamed. */
	if (st.st_nlink == 0 ||
	    (stat(p->file, &now) == 0 &&
	        (now.st_dev != st.st_dev || now.st_ino != st.st_ino))) {
		errno = EACCES;
		return -1;
	}
	if (lseek(p->file_fd, 0, SEEK_SET) == -1)
		return -1;
	return fd_read_file(p->file_fd, DISPATCH_TEXT_MAX, text, len);
}

static void
unreadable(const struct parent *p, int error, char *why, size_t whylen)
{
	if (error == EFBIG)
		snprintf(why, whylen, "%s: larger than %d bytes", p->file,
		    DISPATCH_TEXT_MAX);
	else
		snprintf(why, whylen, "%s: %s", p->file,
		    error == EINVAL ? "not a regular file" : strerror(error));
}

static void
tell(const struct conf *conf, bool quiet)
{
	size_t i;

	for (i = 0; i < conf_errors(conf); i++) {
		if (quiet)
			fprintf(stderr, "%s\n", conf_error_text(conf, i));
		else
			log_warnx("%s", conf_error_text(conf, i));
	}
	for (i = 0; i < conf_warnings(conf); i++) {
		if (quiet)
			fprintf(stderr, "warning: %s\n",
			    conf_warning_text(conf, i));
		else
			log_warnx("%s", conf_warning_text(conf, i));
	}
}

/* The queue gets the text itself: can it be sent, comments and all? */
static bool
sendable(const struct loaded *l, size_t len, char *why, size_t whylen)
{
	char state[256], *text;
	struct msg m;
	size_t n;

	if (strlen(l->text) != len) {
		snprintf(why, whylen, "a NUL byte; allowed: text");
		return false;
	}
	m = dispatch_config_message(l, state, sizeof(state), 1);
	if (msg_encode(&m, &text, &n, why, whylen) == -1)
		return false;
	free(text);
	if (n <= FRAME_CTL_BIG_MAX)
		return true;
	snprintf(why, whylen, "too many characters that have to be escaped");
	return false;
}

/*
 * Load and check. quiet: at the start and with -t errors go to standard error
 * as they are; else to the log. why gets the first error in one line.
 */
bool
dispatch_load(
    struct parent *p, struct loaded *l, bool quiet, char *why, size_t whylen)
{
	struct conf *conf = NULL;
	char unsent[128];
	size_t len;

	memset(l, 0, sizeof(*l));
	if (read_file(p, &l->text, &len) == -1) {
		unreadable(p, errno, why, whylen);
		if (quiet)
			fprintf(stderr, "dispatchd: %s\n", why);
		return false;
	}
	l->config = dispatch_config_read(p->file, l->text, len, &conf);
	tell(conf, quiet);
	if (l->config == NULL) {
		strlcpy(why,
		    conf_errors(conf) > 0 ? conf_error_text(conf, 0)
		                          : "unreadable",
		    whylen);
		conf_free(&conf);
	} else if (!sendable(l, len, unsent, sizeof(unsent))) {
		snprintf(why, whylen, "%s: %s", p->file, unsent);
		if (quiet)
			fprintf(stderr, "dispatchd: %s\n", why);
	} else
		return true;
	dispatch_loaded_free(l);
	return false;
}

void
dispatch_loaded_free(struct loaded *l)
{
	dispatch_config_free(&l->config);
	free(l->text);
	l->text = NULL;
}

/* What only a new start can change. Returns the key's name, or NULL. */
static const char *
fixed_key(const struct dispatch_config *a, const struct dispatch_config *b)
{
	if (strcmp(a->socket, b->socket) != 0)
		return "socket";
	if (strcmp(a->state, b->state) != 0)
		return "state";
	if (strcmp(a->audit, b->audit) != 0)
		return "audit";
	if (a->driver != b->driver ||
	    strcmp(a->engine_socket, b->engine_socket) != 0)
		return "engine";
	if (strcmp(a->egressd, b->egressd) != 0)
		return "egressd";
	if (a->pool.bits != b->pool.bits ||
	    !netaddr_equal(&a->pool.addr, &b->pool.addr))
		return "network_pool";
	if (strcmp(a->prefix, b->prefix) != 0)
		return "interface_prefix";
	if (strcmp(a->image, b->image) != 0)
		return "image";
	if (strcmp(a->user_parent, b->user_parent) != 0 ||
	    strcmp(a->user_frontend, b->user_frontend) != 0 ||
	    strcmp(a->user_runs, b->user_runs) != 0 ||
	    strcmp(a->user_queue, b->user_queue) != 0 ||
	    strcmp(a->user_engine, b->user_engine) != 0 ||
	    strcmp(a->user_audit, b->user_audit) != 0)
		return "users";
	return NULL;
}

static void
record_reload(struct parent *p, const char *error, audit_done_fn *done)
{
	char text[512];
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_reload;
	m.u.rec_reload.applied = error == NULL;
	m.u.rec_reload.generation = p->generation;
	if (error == NULL) {
		m.u.rec_reload.generation = p->generation + 1;
		m.u.rec_reload.config_sha256 = p->next.config->sha256;
	} else {
		log_escape(text, sizeof(text), error, strlen(error));
		m.u.rec_reload.error = text;
	}
	if (audit_client_send(p->audit, &m, done, p) == -1 && done != NULL)
		done(false, p);
}

/* The record of the reload is written (or not): now it takes effect. */
static void
reload_recorded(bool ok, void *arg)
{
	struct parent *p = arg;

	if (!ok || p->phase != PHASE_SERVING) {
		log_warnx("reload refused, generation %lld stays: it could "
		          "not be recorded",
		    (long long)p->generation);
		dispatch_loaded_free(&p->next);
		dispatch_reload_go_on(p);
		return;
	}
	p->generation++;
	dispatch_loaded_free(&p->now);
	p->now = p->next;
	memset(&p->next, 0, sizeof(p->next));
	dispatch_send_tables(p);
	dispatch_send_state(p);
	log_info("reloaded, generation %lld", (long long)p->generation);
}

void
dispatch_reload(struct parent *p)
{
	const char *key;
	char why[512];

	/* The bytes of CA roots on their way are those of the present one. */
	if (p->next.config != NULL || !dispatch_tables_applied(p)) {
		p->reload_again = true;
		return;
	}
	if (dispatch_load(p, &p->next, false, why, sizeof(why))) {
		key = fixed_key(p->now.config, p->next.config);
		if (key == NULL) {
			record_reload(p, NULL, reload_recorded);
			return;
		}
		snprintf(why, sizeof(why),
		    "%s: cannot change while running; start dispatchd anew",
		    key);
		dispatch_loaded_free(&p->next);
	}
	log_warnx("reload refused, generation %lld stays: %s",
	    (long long)p->generation, why);
	record_reload(p, why, NULL);
}

void
dispatch_reload_go_on(struct parent *p)
{
	if (!p->reload_again || p->phase != PHASE_SERVING || p->lost ||
	    p->next.config != NULL || !dispatch_tables_applied(p))
		return;
	p->reload_again = false;
	dispatch_reload(p);
}
