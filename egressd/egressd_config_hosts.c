#include <string.h>

#include "egressd/egressd.h"

#define DNS_PORT 53

/*
 * Words of one line. Neither file has quoting; a NUL is a byte like another
 * here and makes its word no name and no address.
 */
struct words {
	const char *p;
	const char *end;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* The next line of text, without its newline. False at the end. */
static bool
next_line(const char **text, size_t *len, struct words *line)
{
	const char *nl;

	if (*len == 0)
		return false;
	nl = memchr(*text, '\n', *len);
	line->p = *text;
	line->end = nl != NULL ? nl : *text + *len;
	*len -= (size_t)(line->end - line->p) + (nl != NULL);
	*text = line->end + (nl != NULL);
	return true;
}

static void
cut_comment(struct words *line, const char *marks)
{
	const char *p;

	for (p = line->p; p < line->end; p++) {
		if (*p != '\0' && strchr(marks, *p) != NULL) {
			line->end = p;
			return;
		}
	}
}

/* The next word; NULL at the end of the line. */
static const char *
next_word(struct words *line, size_t *len)
{
	const char *word;

	while (line->p < line->end && is_blank(*line->p))
		line->p++;
	if (line->p == line->end)
		return NULL;
	word = line->p;
	while (line->p < line->end && !is_blank(*line->p))
		line->p++;
	*len = (size_t)(line->p - word);
	return word;
}

size_t
egress_hosts_parse(
    const char *text, size_t len, struct egress_host *rows, size_t max)
{
	struct netaddr addr;
	struct words line;
	const char *word;
	size_t n = 0, wordlen;

	while (n < max && next_line(&text, &len, &line)) {
		cut_comment(&line, "#");
		word = next_word(&line, &wordlen);
		/* A zone ("fe80::1%lo0") is no address here: skipped. */
		if (word == NULL || netaddr_parse(word, wordlen, &addr) == -1)
			continue;
		while (n < max && (word = next_word(&line, &wordlen)) != NULL) {
			if (hostname_canon(word, wordlen, rows[n].name) == -1)
				continue;
			rows[n++].addr = addr;
		}
	}
	return n;
}

size_t
egress_resolv_parse(
    const char *text, size_t len, struct egress_server *rows, size_t max)
{
	struct words line;
	const char *word;
	size_t n = 0, wordlen;

	while (n < max && next_line(&text, &len, &line)) {
		/* The keyword stands at the start of its line. */
		if (line.p == line.end || is_blank(*line.p))
			continue;
		cut_comment(&line, "#;");
		word = next_word(&line, &wordlen);
		if (word == NULL || wordlen != strlen("nameserver") ||
		    memcmp(word, "nameserver", wordlen) != 0)
			continue;
		word = next_word(&line, &wordlen);
		if (word == NULL ||
		    netaddr_parse(word, wordlen, &rows[n].addr) == -1)
			continue;
		rows[n++].port = DNS_PORT;
	}
	return n;
}
