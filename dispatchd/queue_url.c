/* Repositories and branches: what git is handed, and nothing else. */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "libcommon/hostname.h"
#include "libcommon/utf8.h"

#include "dispatchd/queue_request.h"
#include "dispatchd/queue_url.h"

#define SCHEME "https://"
#define OWNER_MAX 39
#define NAME_MAX_BYTES 100
#define HTTPS_PORT 443

static bool
ends_with(const char *s, size_t len, const char *tail)
{
	size_t n = strlen(tail);

	return len >= n && memcmp(s + len - n, tail, n) == 0;
}

/* --- owner/name -------------------------------------------------------- */

/*
 * "name.git" would be a second name of the same repository: fairness and
 * grants go by the name. Forges refuse such names themselves.
 */
bool
queue_repo_name_valid(const char *s, const char **why)
{
	size_t owner = strspn(s, QUEUE_LETTERS QUEUE_DIGITS "-"), name;
	const char *n = s + owner + 1;

	*why = "is neither owner/name nor https://HOST/PATH";
	if (owner == 0 || owner > OWNER_MAX || s[owner] != '/')
		return false;
	name = strspn(n, QUEUE_LETTERS QUEUE_DIGITS "._-");
	if (name == 0 || name > NAME_MAX_BYTES || n[name] != '\0')
		return false;
	*why = "begins a part with \".\" or \"-\"";
	if (s[0] == '-' || n[0] == '.' || n[0] == '-')
		return false;
	*why = "ends in .git; write it without";
	return !ends_with(n, name, ".git");
}

/* --- URLs --------------------------------------------------------------- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* An escape may stand for nothing that means something without it. */
static bool
escape_valid(const char *s)
{
	int high = hex_digit(s[1]), low, c;

	if (high == -1)
		return false;
	low = hex_digit(s[2]);
	if (low == -1)
		return false;
	c = high * 16 + low;
	return c > 0x1f && c != 0x7f && strchr("/.\\%?#@:-", c) == NULL;
}

static const char *
segment_wrong(const char *s, size_t len)
{
	size_t i;

	if (len == 0)
		return "has an empty part in its path";
	if (s[0] == '.' || s[0] == '-')
		return "begins a part of its path with \".\" or \"-\"";
	for (i = 0; i < len; i++) {
		if (s[i] == '%') {
			if (len - i < 3 || !escape_valid(s + i))
				return "has an escape that is not permitted";
			i += 2;
		} else if (s[i] == '\0' ||
		    strchr(QUEUE_LETTERS QUEUE_DIGITS "._~+=,-", s[i]) == NULL)
			return "has a byte in its path that is not permitted";
	}
	return NULL;
}

static const char *
path_wrong(const char *path)
{
	const char *wrong;
	size_t len;

	while (*path == '/') {
		path++;
		len = strcspn(path, "/");
		wrong = segment_wrong(path, len);
		if (wrong != NULL)
			return wrong;
		if (path[len] == '\0' && ends_with(path, len, ".git") &&
		    len > 8 && ends_with(path, len - 4, ".git"))
			return "ends in .git twice";
		path += len;
	}
	return NULL;
}

int
queue_url_canon(
    const char *s, bool bare, char url[QUEUE_URL_MAX + 1], const char **why)
{
	const char *host = s + strlen(SCHEME), *path;
	char out[QUEUE_URL_MAX + 1], port[8] = "";
	bool v6;
	struct dest d;
	int n;

	*why = "does not begin with https://";
	if (strncmp(s, SCHEME, strlen(SCHEME)) != 0)
		return -1;
	path = host + strcspn(host, "/");
	*why = "holds a user, a query or a fragment";
	if (strpbrk(host, "@?#") != NULL)
		return -1;
	*why = "has no valid host and port";
	if (dest_parse(host, (size_t)(path - host), HTTPS_PORT, &d) == -1)
		return -1;
	*why = "has no path";
	if (*path == '\0' && !bare)
		return -1;
	*why = path_wrong(path);
	if (*why != NULL)
		return -1;
	if (d.port != HTTPS_PORT)
		snprintf(port, sizeof(port), ":%u", (unsigned)d.port);
	v6 = strchr(d.name, ':') != NULL;
	n = snprintf(out, sizeof(out), SCHEME "%s%s%s%s%s", v6 ? "[" : "",
	    d.name, v6 ? "]" : "", port, path);
	*why = "is too long";
	if (n < 0 || (size_t)n >= sizeof(out))
		return -1;
	memcpy(url, out, (size_t)n + 1);
	return 0;
}

/*
 * The name comes from outside and is made a directory: bytes beyond the plain
 * ones become "_". It is never empty, hidden, or an option.
 */
void
queue_directory(const char *url, char out[QUEUE_DIRECTORY_MAX + 1])
{
	const char *last = strrchr(url, '/');
	size_t len, i;

	last = last != NULL ? last + 1 : url;
	len = strlen(last);
	if (ends_with(last, len, ".git"))
		len -= 4;
	if (len > QUEUE_DIRECTORY_MAX)
		len = QUEUE_DIRECTORY_MAX;
	for (i = 0; i < len; i++)
		out[i] =
		    strchr(QUEUE_LETTERS QUEUE_DIGITS "._-", last[i]) != NULL
		    ? last[i]
		    : '_';
	out[len] = '\0';
	if (len == 0)
		memcpy(out, "repository", sizeof("repository"));
	else if (out[0] == '.' || out[0] == '-')
		out[0] = '_';
}

/* --- branches ----------------------------------------------------------- */

static bool
component_valid(const char *s, size_t len)
{
	return len > 0 && s[0] != '.' && !ends_with(s, len, ".lock");
}

/*
 * git-check-ref-format(1) for a branch; further no dash in front, no name
 * that git takes for something else, and text that is UTF-8.
 */
bool
queue_branch_valid(const char *s)
{
	size_t len = strlen(s), i, n;
	uint32_t cp;

	if (len == 0 || len > QUEUE_BASE_MAX || s[0] == '-' ||
	    s[len - 1] == '.' || strstr(s, "..") != NULL ||
	    strstr(s, "@{") != NULL || strcmp(s, "@") == 0 ||
	    strcmp(s, "HEAD") == 0 || strncmp(s, "refs/", 5) == 0)
		return false;
	for (i = 0; i < len; i += n) {
		n = utf8_decode(s + i, len - i, &cp);
		/* C1 controls would reach a terminal: git takes them. */
		if (n == 0 || cp < 0x21 || (cp >= 0x7f && cp < 0xa0) ||
		    (cp < 0x7f && strchr("~^:?*[\\", (int)cp) != NULL))
			return false;
	}
	for (;;) {
		n = strcspn(s, "/");
		if (!component_valid(s, n))
			return false;
		if (s[n] == '\0')
			return true;
		s += n + 1;
	}
}
