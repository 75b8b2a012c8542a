#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "libcommon/daemon.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

/* --- the file --------------------------------------------------------- */

/*
 * Read the configuration file. After the start we are no longer root: a file
 * that only root may read is read through the descriptor of the start, as
 * long as it is still that file (one that was replaced has no name any more).
 */
static int
read_file(struct daemon *d, char **text, size_t *len)
{
	struct stat st, now;
	size_t max = d->def->text_max;

	if (d->file_fd == -1) {
		d->file_fd = open(d->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (d->file_fd == -1)
			return -1;
		return fd_read_file(d->file_fd, max, text, len);
	}
	if (fd_read_path(d->file, max, text, len) == 0)
		return 0;
	if (errno != EACCES || fstat(d->file_fd, &st) == -1)
		return -1;
	/* Where we may not look, the old one may have been renamed. */
	if (st.st_nlink == 0 ||
	    (stat(d->file, &now) == 0 &&
	        (now.st_dev != st.st_dev || now.st_ino != st.st_ino))) {
		errno = EACCES;
		return -1;
	}
	if (lseek(d->file_fd, 0, SEEK_SET) == -1)
		return -1;
	return fd_read_file(d->file_fd, max, text, len);
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

/* What is wrong with the whole of it, not with a key. */
static void
refuse(const struct daemon *d, bool quiet, const char *what, char *why,
    size_t whylen)
{
	snprintf(why, whylen, "%s: %s", d->file, what);
	if (quiet)
		fprintf(stderr, "%s: %s\n", d->def->name, why);
}

bool
daemon_config_load(struct daemon *d, struct daemon_config *c, bool quiet,
    char *why, size_t whylen)
{
	struct conf *conf = NULL;
	char what[128];

	memset(c, 0, sizeof(*c));
	if (read_file(d, &c->text, &c->len) == -1) {
		c->text = NULL;
		refuse(d, quiet,
		    errno == EFBIG        ? d->def->too_large
		        : errno == EINVAL ? "not a regular file"
		                          : strerror(errno),
		    why, whylen);
		return false;
	}
	if (!d->def->read(c, d->file, &conf)) {
		tell(conf, quiet);
		strlcpy(why,
		    conf_errors(conf) > 0 ? conf_error_text(conf, 0)
		                          : "unreadable",
		    whylen);
		conf_free(&conf);
	} else {
		tell(conf, quiet);
		if (d->def->check == NULL ||
		    d->def->check(c, what, sizeof(what)))
			return true;
		refuse(d, quiet, what, why, whylen);
	}
	daemon_config_free(d, c);
	return false;
}

void
daemon_config_free(struct daemon *d, struct daemon_config *c)
{
	d->def->free(c);
	free(c->text);
	memset(c, 0, sizeof(*c));
}

/* --- what it asks of a start ------------------------------------------ */

const char *
daemon_config_fixed(const struct daemon *d)
{
	const struct daemon_config *a = &d->now, *b = &d->next;
	const char *key;
	size_t i;

	if (strcmp(a->socket, b->socket) != 0)
		return "socket";
	if (strcmp(a->audit, b->audit) != 0)
		return "audit";
	if ((key = d->def->fixed(a->own, b->own)) != NULL)
		return key;
	for (i = 0; i < a->nusers; i++) {
		if (strcmp(a->users[i], b->users[i]) != 0)
			return "users";
	}
	return NULL;
}

int
daemon_config_users(const struct daemon *d)
{
	const char *const *users = d->now.users;
	size_t i, j, missing = 0;
	uid_t uid;
	gid_t gid;

	for (i = 0; i < d->now.needed; i++) {
		for (j = 0; j < i && strcmp(users[i], users[j]) != 0; j++)
			;
		if (j < i || proc_user(users[i], &uid, &gid) == 0)
			continue;
		if (missing++ == 0)
			fprintf(stderr,
			    "%s: users are missing; make them with:\n",
			    d->def->name);
		fprintf(stderr,
		    "useradd --system --user-group --no-create-home "
		    "--home-dir /nonexistent --shell /usr/sbin/nologin %s\n",
		    users[i]);
	}
	return missing > 0 ? -1 : 0;
}

/* --- for readers ------------------------------------------------------ */

int
daemon_user_id(const char *name, uint32_t *uid)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL)
		return -1;
	*uid = pw->pw_uid;
	return 0;
}

int
daemon_group_id(const char *name, uint32_t *gid)
{
	const struct group *gr = getgrnam(name);

	if (gr == NULL)
		return -1;
	*gid = gr->gr_gid;
	return 0;
}

void
daemon_text_hash(const char *text, size_t len, char hex[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0, i;

	if (EVP_Digest(text, len, md, &n, EVP_sha256(), NULL) != 1 || n != 32)
		fatalx("SHA-256 is not to be had");
	for (i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
}
