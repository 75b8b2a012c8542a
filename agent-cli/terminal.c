/* Outside text on a terminal: what could control it is made visible. */

#include <string.h>

#include "libcommon/utf8.h"

#include "follow.h"

#define UTF8_MAX 4

static size_t
escape(char *out, uint8_t c)
{
	static const char digits[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'x';
	out[2] = digits[c >> 4];
	out[3] = digits[c & 15];
	return 4;
}

/* C0 and C1, DEL, line separators, and what turns the direction of text. */
static bool
controls(uint32_t cp)
{
	if (cp == '\n' || cp == '\t')
		return false;
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x061c ||
	    (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	    (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff ||
	    (cp >= 0xfff9 && cp <= 0xfffb) || (cp >= 0xe0000 && cp <= 0xe0fff);
}

/* Could these bytes be the beginning of a character? */
static bool
unfinished(const char *s, size_t len)
{
	uint8_t lead = (uint8_t)s[0];
	size_t i, need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	if (lead < 0xc2 || lead > 0xf4 || len >= need)
		return false;
	for (i = 1; i < len; i++)
		if (((uint8_t)s[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* One character of s, or one byte that is none. Returns the bytes taken. */
static size_t
one(const char *s, size_t len, char *out, size_t *used)
{
	uint32_t cp;
	size_t i, n = utf8_decode(s, len, &cp);

	if (n > 0 && !controls(cp)) {
		memcpy(out + *used, s, n);
		*used += n;
		return n;
	}
	if (n == 0)
		n = 1;
	for (i = 0; i < n; i++)
		*used += escape(out + *used, (uint8_t)s[i]);
	return n;
}

/* With what was held back in front, as long as there is some. */
static size_t
fill(struct terminal *t, const char **s, const char *end, char *out)
{
	size_t used = 0, n;

	while (t->nheld > 0 && *s < end) {
		t->held[t->nheld++] = *(*s)++;
		if (unfinished(t->held, t->nheld))
			continue;
		n = one(t->held, t->nheld, out, &used);
		/* The others begin anew, one by one. */
		t->nheld -= n;
		memmove(t->held, t->held + n, t->nheld);
		while (t->nheld > 0 && !unfinished(t->held, t->nheld)) {
			n = one(t->held, t->nheld, out, &used);
			t->nheld -= n;
			memmove(t->held, t->held + n, t->nheld);
		}
	}
	return used;
}

size_t
terminal_text(struct terminal *t, const void *buf, size_t len, char *out)
{
	const char *s = buf, *end = s + len;
	size_t used = fill(t, &s, end, out), n;

	while (s < end) {
		n = (size_t)(end - s);
		if (n < UTF8_MAX && unfinished(s, n)) {
			memcpy(t->held, s, n);
			t->nheld = n;
			break;
		}
		s += one(s, n, out, &used);
	}
	return used;
}

size_t
terminal_end(struct terminal *t, char *out)
{
	size_t i, used = 0;

	for (i = 0; i < t->nheld; i++)
		used += escape(out + used, (uint8_t)t->held[i]);
	t->nheld = 0;
	return used;
}
