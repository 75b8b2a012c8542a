/* Punycode and the A-labels made of it: punycode.h. */

#include <string.h>

#include "libcommon/punycode.h"

/* The parameters of RFC 3492, 5. */
#define BASE 36
#define TMIN 1
#define TMAX 26
#define SKEW 38
#define DAMP 700
#define INITIAL_BIAS 72
#define INITIAL_N 0x80

#define CODE_POINT_MAX 0x10ffff

/*
 * Never part of a label (DISALLOWED or UNASSIGNED by RFC 5892). Not the whole
 * table: a rule is checked against that when it is loaded, and an exact rule
 * admits no other spelling than its own. This bounds what a wildcard admits.
 */
static const struct {
	uint32_t first, last;
} never[] = {
	{ 0x00080, 0x000b6 }, /* controls, signs, soft hyphen */
	{ 0x000b8, 0x000de }, /* signs, Latin capitals */
	{ 0x000f7, 0x000f7 }, /* division sign */
	{ 0x0034f, 0x0034f }, /* invisible joiner */
	{ 0x00391, 0x003ab }, /* Greek capitals */
	{ 0x00400, 0x0042f }, /* Cyrillic capitals */
	{ 0x00531, 0x00556 }, /* Armenian capitals */
	{ 0x0061c, 0x0061c }, /* Arabic letter mark */
	{ 0x0115f, 0x01160 }, /* Hangul fillers */
	{ 0x0180b, 0x0180f }, /* Mongolian selectors */
	{ 0x02000, 0x0200b }, /* spaces */
	{ 0x0200e, 0x0206f }, /* bidi controls, punctuation, invisible */
	{ 0x03000, 0x03002 }, /* ideographic space and full stop */
	{ 0x03164, 0x03164 }, /* Hangul filler */
	{ 0x0d800, 0x0f8ff }, /* surrogates, private use */
	{ 0x0fe00, 0x0fe0f }, /* variation selectors */
	{ 0x0feff, 0x0feff }, /* byte order mark */
	{ 0x0ff00, 0x0ffff }, /* full and half width forms, specials */
	{ 0xe0000, 0x10ffff }, /* tags, private use */
};

static uint32_t
adapt(uint32_t delta, uint32_t n, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / DAMP : delta / 2;
	delta += delta / n;
	while (delta > (BASE - TMIN) * TMAX / 2) {
		delta /= BASE - TMIN;
		k += BASE;
	}
	return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

/* The value of a digit, BASE for what is none. */
static uint32_t
digit_value(char c)
{
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a');
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0') + 26;
	return BASE;
}

/* Read one generalised variable-length integer at s[*pos] and add it to *i. */
static int
add_delta(const char *s, size_t len, size_t *pos, uint32_t bias, uint32_t *i)
{
	uint32_t digit, k, t, w = 1;

	for (k = BASE;; k += BASE) {
		if (*pos == len)
			return -1;
		digit = digit_value(s[(*pos)++]);
		if (digit == BASE || digit > (UINT32_MAX - *i) / w)
			return -1;
		*i += digit * w;
		if (k <= bias + TMIN)
			t = TMIN;
		else
			t = k >= bias + TMAX ? TMAX : k - bias;
		if (digit < t)
			return 0;
		if (w > UINT32_MAX / (BASE - t))
			return -1;
		w *= BASE - t;
	}
}

int
punycode_decode(const char *s, size_t len, uint32_t out[PUNYCODE_MAX])
{
	uint32_t bias = INITIAL_BIAS, i = 0, n = INITIAL_N, old;
	size_t count = 0, j, pos = 0;

	if (len > PUNYCODE_MAX)
		return -1;
	/* The ASCII characters stand before the last hyphen, if any do. */
	for (j = 1; j < len; j++)
		if (s[j] == '-')
			pos = j + 1;
	for (; pos > 0 && count < pos - 1; count++) {
		if ((unsigned char)s[count] >= INITIAL_N)
			return -1;
		out[count] = (unsigned char)s[count];
	}
	/* A digit makes one code point at most, so out is never too short. */
	while (pos < len) {
		old = i;
		if (add_delta(s, len, &pos, bias, &i) == -1)
			return -1;
		count++;
		bias = adapt(i - old, (uint32_t)count, old == 0);
		if (i / count > CODE_POINT_MAX - n)
			return -1;
		n += i / (uint32_t)count;
		i %= (uint32_t)count;
		memmove(out + i + 1, out + i, (count - 1 - i) * sizeof(out[0]));
		out[i++] = n;
	}
	return (int)count;
}

static bool
is_never(uint32_t c)
{
	size_t i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (c >= never[i].first && c <= never[i].last)
			return true;
	return false;
}

static bool
is_ldh(uint32_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool
punycode_alabel_valid(const char *s, size_t len)
{
	uint32_t u[PUNYCODE_MAX];
	bool foreign = false;
	int i, n;

	n = punycode_decode(s, len, u);
	if (n <= 0 || u[0] == '-' || u[n - 1] == '-' ||
	    (n >= 4 && u[2] == '-' && u[3] == '-'))
		return false;
	for (i = 0; i < n; i++) {
		if (u[i] >= INITIAL_N)
			foreign = true;
		else if (!is_ldh(u[i]))
			return false;
		if (is_never(u[i]))
			return false;
	}
	return foreign;
}
