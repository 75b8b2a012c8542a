/* A job and its prompt, on their way to dispatchd. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/peer.h"

#include "follow.h"

/* --- the request -------------------------------------------------------- */

/*
 * Asked again with the same id it is the same run: so a link that is lost
 * before the answer costs nothing.
 */
static void
fill(struct request *r, struct msg *m)
{
	struct submit *s = (struct submit *)r;

	/* An empty prompt has no stream. */
	if (s->len == 0)
		r->out = 0;
	s->sent = 0;
	m->type = MSG_TYPE_run;
	m->u.run = s->run;
	m->u.run.stream = r->out;
	m->u.run.bytes = (int64_t)s->len;
}

static void
ready(struct request *r)
{
	struct submit *s = (struct submit *)r;
	struct peer *p = r->link->peer;
	size_t n = peer_stream_room(p, r->out);

	if (n > s->len - s->sent)
		n = s->len - s->sent;
	if (peer_stream_write(p, r->out, s->prompt + s->sent, n) == -1)
		return; /* the link ends */
	s->sent += n;
	if (s->sent == s->len)
		(void)peer_stream_finish(p, r->out);
}

static void
answer(struct request *r, const struct msg *m)
{
	struct submit *s = (struct submit *)r;

	s->accepted(&m->u.run_accepted, s->arg);
}

static const struct request_ops ops = {
	.fill = fill,
	.answer = answer,
	.ready = ready,
};

void
submit_init(struct submit *s, struct link *l)
{
	memset(s, 0, sizeof(*s));
	request_init(&s->r, l, &ops);
}

void
submit_random_id(char id[REQUEST_ID_LEN + 1])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	size_t i;

	for (i = 0; i < REQUEST_ID_LEN; i++)
		id[i] = letters[arc4random_uniform(sizeof(letters) - 1)];
	id[i] = '\0';
}

/* --- the prompt --------------------------------------------------------- */

static uint8_t *
too_large(uint8_t *buf)
{
	complain("the prompt is above %d bytes", PROMPT_MAX);
	free(buf);
	return NULL;
}

static uint8_t *
read_fd(int fd, const char *name, size_t *len)
{
	uint8_t *buf;
	ssize_t n;

	if ((buf = malloc(PROMPT_MAX + 1)) == NULL) {
		complain("out of memory");
		return NULL;
	}
	for (*len = 0; *len <= PROMPT_MAX; *len += (size_t)n) {
		n = read(fd, buf + *len, PROMPT_MAX + 1 - *len);
		if (n == 0)
			return buf;
		if (n == -1 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n == -1) {
			complain("%s: %s", name, strerror(errno));
			free(buf);
			return NULL;
		}
	}
	return too_large(buf);
}

static uint8_t *
read_file(const char *file, size_t *len)
{
	char *shown = visible(file, strlen(file));
	uint8_t *buf = NULL;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		complain("%s: %s", shown, strerror(errno));
	else
		buf = read_fd(fd, shown, len);
	if (fd != -1)
		(void)close(fd);
	free(shown);
	return buf;
}

static uint8_t *
join(int argc, char **argv, size_t *len)
{
	size_t n = 0, used = 0, k;
	uint8_t *buf;
	int i;

	for (i = 0; i < argc; i++)
		n += strlen(argv[i]) + 1;
	if (n > PROMPT_MAX + 1)
		return too_large(NULL);
	if ((buf = malloc(n)) == NULL) {
		complain("out of memory");
		return NULL;
	}
	for (i = 0; i < argc; i++) {
		if (i > 0)
			buf[used++] = ' ';
		k = strlen(argv[i]);
		memcpy(buf + used, argv[i], k);
		used += k;
	}
	*len = used;
	return buf;
}

uint8_t *
prompt_read(const char *file, int argc, char **argv, size_t *len)
{
	if (file != NULL && strcmp(file, "-") != 0)
		return read_file(file, len);
	if (file != NULL || (argc == 1 && strcmp(argv[0], "-") == 0))
		return read_fd(STDIN_FILENO, "standard input", len);
	return join(argc, argv, len);
}
