#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "egressd_parent.h"

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
		return fd_read_file(p->file_fd, CONF_FILE_MAX, text, len);
	}
	if (fd_read_path(p->file, CONF_FILE_MAX, text, len) == 0)
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
	return fd_read_file(p->file_fd, CONF_FILE_MAX, text, len);
}

/*
 * Load and check. quiet: at the start and with -t errors go to standard error
 * as they are; else to the log. why gets the first error in one line.
 */
struct egress_config *
parent_config_load(struct parent *p, bool quiet, char *why, size_t whylen)
{
	struct egress_config *c;
	struct conf *conf = NULL;
	char *text;
	size_t len, i;

	if (read_file(p, &text, &len) == -1) {
		snprintf(why, whylen, "%s: %s", p->file,
		    errno == EFBIG        ? "larger than a configuration may be"
		        : errno == EINVAL ? "not a regular file"
		                          : strerror(errno));
		if (quiet)
			fprintf(stderr, "egressd: %s\n", why);
		return NULL;
	}
	c = egress_config_read(p->file, text, len, &conf);
	free(text);
	if (conf == NULL) {
		snprintf(why, whylen, "%s: out of memory", p->file);
		return NULL;
	}
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
	if (c == NULL) {
		strlcpy(why,
		    conf_errors(conf) > 0 ? conf_error_text(conf, 0)
		                          : "unreadable",
		    whylen);
		conf_free(&conf);
	}
	return c;
}

/* What only a new start can change. Returns the key's name, or NULL. */
static const char *
fixed_key(const struct egress_config *a, const struct egress_config *b)
{
	if (strcmp(a->socket, b->socket) != 0)
		return "socket";
	if (strcmp(a->audit, b->audit) != 0)
		return "audit";
	if (a->workers != b->workers)
		return "workers";
	if (a->nft != b->nft)
		return "nft";
	if (strcmp(a->nft_table, b->nft_table) != 0)
		return "nft_table";
	if (strcmp(a->prefix, b->prefix) != 0)
		return "interface_prefix";
	if (a->proxy_port != b->proxy_port)
		return "proxy_port";
	if (a->nnetworks != b->nnetworks ||
	    memcmp(a->networks, b->networks, sizeof(a->networks)) != 0)
		return "run_networks";
	if (strcmp(a->user_parent, b->user_parent) != 0 ||
	    strcmp(a->user_frontend, b->user_frontend) != 0 ||
	    strcmp(a->user_proxy, b->user_proxy) != 0 ||
	    strcmp(a->user_resolver, b->user_resolver) != 0 ||
	    strcmp(a->user_fw, b->user_fw) != 0 ||
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
		m.u.rec_reload.config_sha256 = p->next->sha256;
	} else {
		log_escape(text, sizeof(text), error, strlen(error));
		m.u.rec_reload.error = text;
	}
	if (audit_client_send(p->audit, &m, done, p) == -1 && done != NULL)
		done(false, p);
}

static void
reload_refuse(struct parent *p, const char *why)
{
	log_warnx("reload refused, generation %lld stays: %s",
	    (long long)p->generation, why);
	record_reload(p, why, NULL);
}

static void
reload_again(struct parent *p)
{
	bool again = p->reload_again;

	p->reload_again = false;
	if (again && p->phase == PHASE_SERVING)
		parent_reload(p);
}

static void
close_listeners(struct parent *p)
{
	struct msg m;
	char addr[PARENT_ADDRESS_MAX];
	size_t i, j;

	for (i = 0; i < p->nsets; i++) {
		for (j = 0; j < p->nnext_sets; j++) {
			if (p->sets[i].port == p->next_sets[j].port &&
			    netaddr_equal(
			        &p->sets[i].addr, &p->next_sets[j].addr))
				break;
		}
		if (j < p->nnext_sets)
			continue;
		parent_address_text(
		    &p->sets[i].addr, p->sets[i].port, addr, sizeof(addr));
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_listener_close;
		m.u.listener_close.address = addr;
		for (j = 0; j < p->nchildren; j++) {
			if (p->child[j].side == SIDE_PROXY)
				peer_send(p->child[j].peer, &m);
		}
	}
	parent_listen_close(p->sets, p->nsets, p->next_sets, p->nnext_sets);
}

/* The record of the reload is written (or not): now it takes effect. */
static void
reload_recorded(bool ok, void *arg)
{
	struct parent *p = arg;
	size_t i;

	if (!ok || p->phase != PHASE_SERVING) {
		log_warnx("reload refused, generation %lld stays: it could "
		          "not be recorded",
		    (long long)p->generation);
		parent_listen_close(
		    p->next_sets, p->nnext_sets, p->sets, p->nsets);
		egress_config_free(&p->next);
		reload_again(p);
		return;
	}
	p->generation++;
	for (i = 0; i < p->nchildren; i++)
		parent_send_tables(p, &p->child[i], p->next, p->generation);
	close_listeners(p);
	memcpy(p->sets, p->next_sets, sizeof(p->sets));
	p->nsets = p->nnext_sets;
	egress_config_free(&p->config);
	p->config = p->next;
	p->next = NULL;
	parent_send_listeners(p);
	parent_send_state(p);
	log_info("reloaded, generation %lld", (long long)p->generation);
	reload_again(p);
}

void
parent_reload(struct parent *p)
{
	const char *key;
	char why[512];

	if (p->next != NULL) {
		p->reload_again = true;
		return;
	}
	p->next = parent_config_load(p, false, why, sizeof(why));
	if (p->next == NULL) {
		reload_refuse(p, why);
		return;
	}
	key = fixed_key(p->config, p->next);
	if (key != NULL)
		snprintf(why, sizeof(why),
		    "%s: cannot change while running; "
		    "start egressd anew",
		    key);
	if (key != NULL ||
	    parent_listen_all(p->next, p->sets, p->nsets, p->next_sets,
	        &p->nnext_sets, 0, why, sizeof(why)) == -1) {
		egress_config_free(&p->next);
		reload_refuse(p, why);
		return;
	}
	record_reload(p, NULL, reload_recorded);
}
