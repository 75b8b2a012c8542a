/*
 * The bundle of a run, into a file: under another name until it is whole and
 * its hash is right.
 */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "libcommon/fd.h"

#include "follow.h"

#define NAME_RANDOM 12 /* letters of the temporary name */
#define NAME_TRIES 8
#define HEX_LEN 64

/* --- the file ----------------------------------------------------------- */

static int
cannot(const struct bundle *b, const char *what)
{
	char *shown = visible(b->file, strlen(b->file));

	complain("%s: %s: %s", shown, what, strerror(errno));
	free(shown);
	return -1;
}

bool
bundle_file_fits(const char *file)
{
	struct stat st;
	char *shown;

	if (lstat(file, &st) == -1 || S_ISREG(st.st_mode))
		return true;
	shown = visible(file, strlen(file));
	complain("%s: is there and no ordinary file; name another", shown);
	free(shown);
	return false;
}

/* In the same directory, since renaming is what makes it whole. */
static char *
temporary_name(const char *file)
{
	char id[REQUEST_ID_LEN + 1], *name;
	const char *base = strrchr(file, '/');
	int dir = base != NULL ? (int)(base + 1 - file) : 0;

	submit_random_id(id);
	if (asprintf(&name, "%.*s.%.128s.%.*s", dir, file, file + dir,
	        NAME_RANDOM, id) == -1)
		return NULL;
	return name;
}

static void
discard(struct bundle *b)
{
	if (b->fd != -1)
		(void)close(b->fd);
	b->fd = -1;
	if (b->temporary != NULL)
		(void)unlink(b->temporary);
	free(b->temporary);
	b->temporary = NULL;
	EVP_MD_CTX_free(b->hash);
	b->hash = NULL;
	b->bytes = 0;
}

static int
create(struct bundle *b)
{
	int i;

	for (i = 0; i < NAME_TRIES && b->fd == -1; i++) {
		free(b->temporary);
		if ((b->temporary = temporary_name(b->file)) == NULL)
			return cannot(b, "its name");
		b->fd = open(b->temporary,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (b->fd == -1 && errno != EEXIST)
			break;
	}
	if (b->fd == -1) {
		/* Nothing of ours has that name. */
		free(b->temporary);
		b->temporary = NULL;
		return cannot(b, "cannot be made");
	}
	b->hash = EVP_MD_CTX_new();
	if (b->hash != NULL &&
	    EVP_DigestInit_ex(b->hash, EVP_sha256(), NULL) == 1)
		return 0;
	errno = ENOMEM;
	return cannot(b, "its hash");
}

static int
write_all(int fd, const uint8_t *buf, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, buf, len);
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static void
over(struct bundle *b, int status)
{
	discard(b);
	b->over(status, b->arg);
}

/* --- the request -------------------------------------------------------- */

static void
fill(struct request *r, struct msg *m)
{
	struct bundle *b = (struct bundle *)r;

	b->answered = b->ended = false;
	m->type = MSG_TYPE_bundle_get;
	m->u.bundle_get.run = b->run;
	m->u.bundle_get.stream = r->in;
}

/* From the beginning: it is not worth the trouble to go on in the midst. */
static void
lost(struct request *r)
{
	discard((struct bundle *)r);
}

static void
data(struct request *r, const uint8_t *buf, size_t len)
{
	struct bundle *b = (struct bundle *)r;

	if (b->fd == -1 && create(b) == -1)
		goto bad;
	if (EVP_DigestUpdate(b->hash, buf, len) != 1 ||
	    write_all(b->fd, buf, len) == -1) {
		(void)cannot(b, "it cannot be written");
		goto bad;
	}
	b->bytes += (int64_t)len;
	request_consumed(r, len);
	return;
bad:
	request_drop(r);
	over(b, EXIT_FAILED);
}

static void
digest(struct bundle *b, char hex[HEX_LEN + 1])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0, i;

	hex[0] = '\0';
	if (EVP_DigestFinal_ex(b->hash, md, &n) != 1 || n != HEX_LEN / 2)
		return;
	for (i = 0; i < n; i++)
		(void)snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
}

/* It is on the disk before it has its name. */
static void
keep(struct bundle *b)
{
	if (fd_sync(b->fd) == -1 || close(b->fd) == -1) {
		(void)cannot(b, "it cannot be written");
		over(b, EXIT_FAILED);
		return;
	}
	b->fd = -1;
	if (rename(b->temporary, b->file) == -1) {
		(void)cannot(b, "it cannot be renamed");
		over(b, EXIT_FAILED);
		return;
	}
	free(b->temporary);
	b->temporary = NULL;
	over(b, EXIT_OK);
}

static void
whole(struct bundle *b)
{
	char hex[HEX_LEN + 1];

	if (!b->answered || !b->ended)
		return;
	if (b->fd == -1 && create(b) == -1) {
		over(b, EXIT_FAILED);
		return;
	}
	digest(b, hex);
	if (strcmp(hex, b->claim) != 0 ||
	    (b->want[0] != '\0' && strcmp(hex, b->want) != 0)) {
		complain("the bundle has another hash than the one that was "
		         "recorded: it is not kept");
		over(b, EXIT_FAILED);
		return;
	}
	keep(b);
}

static void
end(struct request *r, bool ok, const char *why)
{
	struct bundle *b = (struct bundle *)r;
	char *shown;

	if (!ok && !b->answered)
		return; /* the error that says more is still to come */
	if (!ok) {
		shown = visible(why, strlen(why));
		complain("the bundle ends early: %s", shown);
		free(shown);
		over(b, EXIT_FAILED);
		return;
	}
	b->ended = true;
	whole(b);
}

static void
answer(struct request *r, const struct msg *m)
{
	struct bundle *b = (struct bundle *)r;

	(void)strlcpy(
	    b->claim, m->u.bundle_get_answer.sha256, sizeof(b->claim));
	b->answered = true;
	whole(b);
}

static bool
refused(struct request *r, const struct msg *m)
{
	link_complain(&m->u.error);
	over((struct bundle *)r, EXIT_REFUSED);
	return true;
}

static const struct request_ops ops = {
	.fill = fill,
	.answer = answer,
	.refused = refused,
	.data = data,
	.end = end,
	.lost = lost,
	.incoming = true,
};

void
bundle_init(struct bundle *b, struct link *l, const char *file)
{
	memset(b, 0, sizeof(*b));
	request_init(&b->r, l, &ops);
	b->file = file;
	b->fd = -1;
}

void
bundle_free(struct bundle *b)
{
	discard(b);
}
