/* Words and environment of the tool. Pure. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entrypoint_tool.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NO_PROXY_VALUE "localhost,127.0.0.1,::1"
#define IDENTITY_NAME "agent"
#define IDENTITY_EMAIL "agent@bulkhead.invalid"

/* What a profile may say otherwise. */
static const struct {
	const char *name, *value;
} defaults[] = {
	{ "PATH", TOOL_PATH },
	{ "TERM", "dumb" },
	{ "LANG", "C.UTF-8" },
	{ "USER", "agent" },
	{ "LOGNAME", "agent" },
	{ "SHELL", "/bin/sh" },
	{ "GIT_AUTHOR_NAME", IDENTITY_NAME },
	{ "GIT_AUTHOR_EMAIL", IDENTITY_EMAIL },
	{ "GIT_COMMITTER_NAME", IDENTITY_NAME },
	{ "GIT_COMMITTER_EMAIL", IDENTITY_EMAIL },
	/* A question to a terminal that is not there would wait for ever. */
	{ "GIT_TERMINAL_PROMPT", "0" },
};

/* Each of these replaces the system's roots for some client. */
static const char *const ca_names[] = { "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE",
	"GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE" };

static const char *const proxy_names[] = { "HTTP_PROXY", "HTTPS_PROXY",
	"http_proxy", "https_proxy" };

/* ALL_PROXY makes a client send its key to the proxy in clear. */
static const char *const ours[] = { "AGENT_SANDBOX", "BULKHEAD_RUN",
	"BULKHEAD_PROMPT_FILE", "HOME", "HTTP_PROXY", "HTTPS_PROXY",
	"http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY",
	"all_proxy" };

/* --- lists ------------------------------------------------------------ */

/* Takes s, which may be NULL: then memory was out. */
static int
take(struct words *w, char *s)
{
	char **v;

	if (s == NULL)
		return -1;
	if ((v = reallocarray(w->v, w->n + 2, sizeof(*v))) == NULL) {
		freezero(s, strlen(s));
		return -1;
	}
	w->v = v;
	w->v[w->n++] = s;
	w->v[w->n] = NULL;
	return 0;
}

int
words_add(struct words *w, const char *s)
{
	return take(w, strdup(s));
}

void
words_free(struct words *w)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		freezero(w->v[i], strlen(w->v[i]));
	free(w->v);
	w->v = NULL;
	w->n = 0;
}

static int
set(struct words *w, const char *name, const char *value)
{
	char *s;

	if (asprintf(&s, "%s=%s", name, value) == -1)
		s = NULL;
	return take(w, s);
}

/* --- environment ------------------------------------------------------- */

static bool
is_ours(const struct env_input *in, const char *name)
{
	size_t i;

	for (i = 0; i < COUNT(ours); i++)
		if (strcmp(name, ours[i]) == 0)
			return true;
	for (i = 0; in->ca_file != NULL && i < COUNT(ca_names); i++)
		if (strcmp(name, ca_names[i]) == 0)
			return true;
	/* No such name can be told from another one's value. */
	return name[0] == '\0' || strchr(name, '=') != NULL;
}

static bool
has(const struct msg_map *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		if (strcmp(m->k[i], name) == 0)
			return true;
	return false;
}

static int
set_proxy(struct words *w, const char *proxy)
{
	char url[128];
	size_t i;

	(void)snprintf(url, sizeof(url), "http://%s", proxy);
	for (i = 0; i < COUNT(proxy_names); i++)
		if (set(w, proxy_names[i], url) == -1)
			return -1;
	if (set(w, "NO_PROXY", NO_PROXY_VALUE) == -1)
		return -1;
	return set(w, "no_proxy", NO_PROXY_VALUE);
}

static int
set_ours(const struct env_input *in, struct words *w)
{
	size_t i;

	if (set(w, "AGENT_SANDBOX", "1") == -1 ||
	    set(w, "BULKHEAD_RUN", in->run) == -1 ||
	    set(w, "HOME", in->home) == -1 || set_proxy(w, in->proxy) == -1)
		return -1;
	if (in->prompt_file != NULL &&
	    set(w, "BULKHEAD_PROMPT_FILE", in->prompt_file) == -1)
		return -1;
	for (i = 0; in->ca_file != NULL && i < COUNT(ca_names); i++)
		if (set(w, ca_names[i], in->ca_file) == -1)
			return -1;
	return 0;
}

int
env_build(const struct env_input *in, struct words *w)
{
	size_t i;

	if (set_ours(in, w) == -1)
		return -1;
	for (i = 0; i < COUNT(defaults); i++)
		if (!has(&in->env, defaults[i].name) &&
		    set(w, defaults[i].name, defaults[i].value) == -1)
			return -1;
	for (i = 0; i < in->env.n; i++)
		if (!is_ours(in, in->env.k[i]) &&
		    set(w, in->env.k[i], in->env.v[i]) == -1)
			return -1;
	return 0;
}

/* --- words ------------------------------------------------------------- */

static size_t
count_places(const char *s)
{
	size_t n = 0;

	while ((s = strstr(s, "{}")) != NULL) {
		n++;
		s += 2;
	}
	return n;
}

/* s with the prompt in each place; NULL with why. */
static char *
fill(const char *s, const uint8_t *prompt, size_t len, char *why, size_t whylen)
{
	size_t places = count_places(s), left = strlen(s) - 2 * places;
	char *word, *p;
	const char *at;

	if (len > TOOL_ARGUMENT_MAX ||
	    left + places * len >= TOOL_ARGUMENT_MAX) {
		(void)snprintf(why, whylen,
		    "the prompt is too long for an argument: at most %d bytes",
		    TOOL_ARGUMENT_MAX - 1);
		return NULL;
	}
	if ((word = malloc(left + places * len + 1)) == NULL) {
		(void)strlcpy(why, "out of memory", whylen);
		return NULL;
	}
	for (p = word; (at = strstr(s, "{}")) != NULL; s = at + 2) {
		memcpy(p, s, (size_t)(at - s));
		p += at - s;
		memcpy(p, prompt, len);
		p += len;
	}
	memcpy(p, s, strlen(s) + 1);
	return word;
}

static int
check_argument(const struct msg_list *argv, const uint8_t *prompt, size_t len,
    char *why, size_t whylen)
{
	size_t i, places = 0;

	for (i = 1; i < argv->n; i++)
		places += count_places(argv->v[i]);
	if (places == 0)
		(void)strlcpy(why, "the tool has no {} for its prompt", whylen);
	else if (len > 0 && memchr(prompt, '\0', len) != NULL)
		(void)strlcpy(why, "an argument cannot hold a NUL", whylen);
	else
		return 0;
	return -1;
}

int
argv_build(const struct msg_list *argv, const uint8_t *prompt, size_t len,
    struct words *w, char *why, size_t whylen)
{
	char *word;
	size_t i;

	if (argv->n == 0) {
		(void)strlcpy(why, "the tool has no program", whylen);
		return -1;
	}
	if (prompt != NULL &&
	    check_argument(argv, prompt, len, why, whylen) == -1)
		return -1;
	for (i = 0; i < argv->n; i++) {
		if (i > 0 && prompt != NULL) {
			word = fill(argv->v[i], prompt, len, why, whylen);
			if (word == NULL)
				return -1;
		} else {
			word = strdup(argv->v[i]);
		}
		if (take(w, word) == -1) {
			(void)strlcpy(why, "out of memory", whylen);
			return -1;
		}
	}
	return 0;
}
