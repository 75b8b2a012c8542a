/*
 * HTTP over the engine's socket, by libcurl on our event loop. Nothing is
 * resolved, no proxy is heard of, no signal used, no connection kept; an
 * answer has a limit for its head, for its body and for its time.
 */

#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/engine_internal.h"

#define BODY_MIN 4096 /* first size of a body's buffer */

struct http_call {
	struct http *http;
	CURL *easy;
	struct curl_slist *head;
	char *sent; /* the body */
	char *body;
	size_t len, cap;
	size_t head_len;
	struct http_answer answer;
	const struct http_stream_ops *stream; /* NULL: an answer */
	bool begun;
	const char *bad; /* why we broke off */
	http_done_fn *done;
	void *arg;
};

struct http {
	struct event_base *base;
	CURLM *multi;
	struct event timer;
	char path[108];
};

/* What libcurl waits for. */
struct watched {
	struct http *http;
	struct event ev;
	curl_socket_t fd;
};

/* --- the loop ----------------------------------------------------------- */

static void
call_free(struct http_call *c)
{
	if (c->easy != NULL)
		curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->head);
	free(c->sent);
	free(c->body);
	free(c);
}

static enum http_end
end_of(const struct http_call *c, CURLcode r)
{
	if (c->bad != NULL)
		return HTTP_BAD;
	switch (r) {
	case CURLE_OK:
		return HTTP_WHOLE;
	case CURLE_COULDNT_CONNECT:
		return HTTP_REFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_LATE;
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return HTTP_BROKEN;
	default:
		return HTTP_BAD;
	}
}

static void
call_end(struct http_call *c, CURLcode r)
{
	struct http_answer *a = &c->answer;

	a->end = end_of(c, r);
	a->body = c->body != NULL ? c->body : "";
	a->len = c->len;
	a->why = c->bad != NULL ? c->bad : curl_easy_strerror(r);
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &a->status);
	curl_multi_remove_handle(c->http->multi, c->easy);
	c->done(a, c->arg);
	call_free(c);
}

static void
collect(struct http *h)
{
	struct http_call *c;
	CURLMsg *m;
	CURLcode r;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		/* m is gone once its handle is taken out. */
		r = m->data.result;
		c = NULL;
		curl_easy_getinfo(
		    m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		call_end(c, r);
	}
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watched *w = arg;
	struct http *h = w->http;
	int mask = 0, running;

	if (what & EV_READ)
		mask |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		mask |= CURL_CSELECT_OUT;
	/* This may free w. */
	curl_multi_socket_action(h->multi, fd, mask, &running);
	collect(h);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int running;

	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(h);
}

/* libcurl says what it waits for on a descriptor; w is what we keep there. */
static int
on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
	struct http *h = arg;
	struct watched *w = sock;
	short events = EV_PERSIST;

	if (w != NULL)
		event_del(&w->ev);
	if (what == CURL_POLL_REMOVE) {
		free(w);
		return 0;
	}
	if (w == NULL) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			return -1;
		w->http = h;
		curl_multi_assign(h->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	event_assign(&w->ev, h->base, fd, events, on_socket, w);
	return event_add(&w->ev, NULL);
}

static int
on_timeout(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (ms < 0)
		return event_del(&h->timer);
	return event_add(&h->timer, &tv);
}

/* --- an answer ----------------------------------------------------------- */

static bool
is_header(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > n && strncasecmp(line, name, n) == 0 && line[n] == ':';
}

/* The value up to a parameter, in lower case it need not be. */
static void
header_value(char *out, size_t outlen, const char *line, size_t len)
{
	const char *p = memchr(line, ':', len), *end = line + len;
	size_t n = 0;

	for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
		continue;
	while (p < end && strchr("; \t\r\n", *p) == NULL && n + 1 < outlen)
		out[n++] = *p++;
	out[n] = '\0';
}

static size_t
on_head(char *line, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	size_t len = size * n;
	long status = 0;

	c->head_len += len;
	if (c->head_len > ENGINE_HEAD_MAX) {
		c->bad = "the head of the answer is too large";
		return 0;
	}
	if (is_header(line, len, "Content-Type"))
		header_value(c->answer.type, sizeof(c->answer.type), line, len);
	else if (is_header(line, len, "Api-Version"))
		header_value(c->answer.api, sizeof(c->answer.api), line, len);
	else if (c->stream != NULL && !c->begun && len == 2) {
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		c->begun = status == 200;
		if (c->begun)
			c->stream->begun(c->arg);
	}
	return len;
}

/* The buffer follows what has come, not what a length promises. */
static int
body_add(struct http_call *c, const char *buf, size_t len, size_t max)
{
	size_t cap = c->cap > 0 ? c->cap : BODY_MIN;
	char *p;

	if (len > max - c->len) {
		c->bad = "the answer is too large";
		return -1;
	}
	while (cap < c->len + len + 1)
		cap *= 2;
	if (cap > c->cap) {
		if ((p = realloc(c->body, cap)) == NULL) {
			c->bad = "out of memory";
			return -1;
		}
		c->body = p;
		c->cap = cap;
	}
	memcpy(c->body + c->len, buf, len);
	c->len += len;
	c->body[c->len] = '\0';
	return 0;
}

static size_t
on_body(char *buf, size_t size, size_t n, void *arg)
{
	return body_add(arg, buf, size * n, ENGINE_BODY_MAX) == 0 ? size * n
	                                                          : 0;
}

/* Hand over whole lines; what is behind the last stays for the next call. */
static size_t
on_stream(char *buf, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	size_t took = 0;
	char *nl;

	if (body_add(c, buf, size * n, ENGINE_EVENT_MAX) == -1)
		return 0;
	while ((nl = memchr(c->body + took, '\n', c->len - took)) != NULL) {
		if (c->begun)
			c->stream->line(c->body + took,
			    (size_t)(nl - c->body) - took, c->arg);
		took = (size_t)(nl - c->body) + 1;
	}
	c->len -= took;
	memmove(c->body, c->body + took, c->len);
	return size * n;
}

/* --- a call ------------------------------------------------------------- */

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	if (address->family != AF_UNIX)
		return CURL_SOCKET_BAD;
	return fd_socket(AF_UNIX, SOCK_STREAM, 0);
}

/* What every call has; a setting that libcurl refuses would be a bug of ours.
 */
static bool
set_common(struct http_call *c)
{
	CURL *e = c->easy;

	return curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, c->http->path) ==
	    CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket) ==
	    CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_NOPROXY, "*") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
	        (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	        (long)ENGINE_CONNECT_MS) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_PRIVATE, c) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HEADERDATA, c) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_WRITEDATA, c) == CURLE_OK;
}

static bool
set_call(struct http_call *c, const char *method, const char *path, long ms)
{
	char url[ENGINE_PATH_MAX + 16];
	CURL *e = c->easy;

	snprintf(url, sizeof(url), "http://engine%s", path);
	if (!set_common(c) ||
	    curl_easy_setopt(e, CURLOPT_URL, url) != CURLE_OK ||
	    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L) != CURLE_OK ||
	    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ms) != CURLE_OK ||
	    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION,
	        c->stream != NULL ? on_stream : on_body) != CURLE_OK)
		return false;
	if (strcmp(method, "GET") == 0)
		return true;
	/* No waiting for a "100 Continue" before the body. */
	c->head = curl_slist_append(NULL, "Content-Type: application/json");
	if (c->head == NULL || curl_slist_append(c->head, "Expect:") == NULL)
		return false;
	return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK &&
	    curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->head) == CURLE_OK &&
	    (c->sent == NULL ||
	        curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->sent) == CURLE_OK);
}

static struct http_call *
call_new(struct http *h, http_done_fn *done, void *arg)
{
	struct http_call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->http = h;
	c->done = done;
	c->arg = arg;
	if ((c->easy = curl_easy_init()) == NULL) {
		call_free(c);
		return NULL;
	}
	return c;
}

/* The first step is taken by the timer that this sets, so from the loop. */
static struct http_call *
call_begin(struct http_call *c, const char *method, const char *path, long ms)
{
	if (!set_call(c, method, path, ms) ||
	    curl_multi_add_handle(c->http->multi, c->easy) != CURLM_OK) {
		call_free(c);
		return NULL;
	}
	return c;
}

struct http_call *
http_call(struct http *h, const char *method, const char *path,
    const char *body, long ms, http_done_fn *done, void *arg)
{
	struct http_call *c = call_new(h, done, arg);

	if (c == NULL)
		return NULL;
	if (strcmp(method, "POST") == 0 &&
	    (c->sent = strdup(body != NULL ? body : "")) == NULL) {
		call_free(c);
		return NULL;
	}
	return call_begin(c, method, path, ms);
}

struct http_call *
http_stream(struct http *h, const char *path, const struct http_stream_ops *ops,
    http_done_fn *done, void *arg)
{
	struct http_call *c = call_new(h, done, arg);

	if (c == NULL)
		return NULL;
	c->stream = ops;
	return call_begin(c, "GET", path, 0);
}

/* --- start -------------------------------------------------------------- */

/*
 * Without its TLS, of which there is none on this socket. A handle made and
 * thrown away reads what libcurl reads once.
 */
void
http_warm(void)
{
	CURL *e;

	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK ||
	    (e = curl_easy_init()) == NULL)
		fatalx("libcurl does not start");
	curl_easy_cleanup(e);
}

struct http *
http_new(struct event_base *base)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->base = base;
	evtimer_assign(&h->timer, base, on_timer, h);
	if ((h->multi = curl_multi_init()) == NULL)
		fatalx("libcurl gives no handle");
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_watch);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(
	    h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return h;
}

void
http_socket(struct http *h, const char *path)
{
	if (strlcpy(h->path, path, sizeof(h->path)) >= sizeof(h->path))
		fatalx("parent: the engine's socket has too long a name");
}
