/*
 * hostname and dest against a reading of the same rules label by label, with
 * punycode both ways. Input: one authority.
 */

#include <sys/socket.h>

#include <arpa/inet.h>

/* A failed check ends the program in every build. */
#undef NDEBUG
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/hostname.h"
#include "libcommon/punycode.h"

#define INPUT_MAX 1024
#define POINTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- punycode, as RFC 3492 writes it, in wide arithmetic -------------- */

static int64_t
threshold(int64_t k, int64_t bias)
{
	return k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
}

static int64_t
ref_adapt(int64_t delta, int64_t n, bool first)
{
	int64_t k = 0;

	delta = first ? delta / 700 : delta / 2;
	delta += delta / n;
	while (delta > 35 * 26 / 2) {
		delta /= 35;
		k += 36;
	}
	return k + 36 * delta / (delta + 38);
}

static int
ref_decode(const char *s, uint32_t *out)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	const char *dash = strrchr(s, '-'), *d;
	int64_t bias = 72, i = 0, k, n = 128, old, w;
	int count = 0, j;

	if (dash != NULL && dash != s) {
		while (s < dash) {
			if ((unsigned char)*s >= 128)
				return -1;
			out[count++] = (unsigned char)*s++;
		}
		s = dash + 1;
	}
	while (*s != '\0') {
		old = i;
		for (w = 1, k = 36;; k += 36) {
			d = *s == '\0' ? NULL : strchr(digits, *s++);
			if (d == NULL)
				return -1;
			i += (d - digits) * w;
			if (i > UINT32_MAX)
				return -1;
			if (d - digits < threshold(k, bias))
				break;
			w *= 36 - threshold(k, bias);
			if (w > UINT32_MAX)
				return -1;
		}
		count++;
		bias = ref_adapt(i - old, count, old == 0);
		n += i / count;
		i %= count;
		if (n > 0x10ffff)
			return -1;
		for (j = count - 1; j > i; j--)
			out[j] = out[j - 1];
		out[i++] = (uint32_t)n;
	}
	return count;
}

/* Append q as a generalised variable-length integer. */
static char *
ref_encode_delta(int64_t q, int64_t bias, char *out)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	int64_t k, t;

	for (k = 36;; k += 36) {
		t = threshold(k, bias);
		if (q < t)
			break;
		*out++ = digits[t + (q - t) % (36 - t)];
		q = (q - t) / (36 - t);
	}
	*out++ = digits[q];
	return out;
}

static void
ref_encode(const uint32_t *u, int n, char *out)
{
	int64_t bias = 72, c = 128, delta = 0, next;
	int basic = 0, done, i;

	for (i = 0; i < n; i++)
		if (u[i] < 128) {
			*out++ = (char)u[i];
			basic++;
		}
	if (basic > 0)
		*out++ = '-';
	for (done = basic; done < n; c = next + 1) {
		next = INT64_MAX;
		for (i = 0; i < n; i++)
			if (u[i] >= c && u[i] < next)
				next = u[i];
		delta += (next - c) * (done + 1);
		for (i = 0; i < n; i++) {
			if (u[i] < next)
				delta++;
			if (u[i] != next)
				continue;
			out = ref_encode_delta(delta, bias, out);
			bias = ref_adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
		delta++;
	}
	*out = '\0';
}

/* --- names ------------------------------------------------------------ */

static bool
ref_point_allowed(uint32_t c)
{
	if (c < 0x80)
		return c == '-' || isdigit((int)c) || islower((int)c);
	if (c < 0xdf)
		return c == 0xb7;
	if (c >= 0x2000 && c <= 0x206f)
		return c == 0x200c || c == 0x200d;
	return c != 0xf7 && c != 0x34f && c != 0x61c &&
	    !(c >= 0x391 && c <= 0x3ab) && !(c >= 0x400 && c < 0x430) &&
	    !(c >= 0x531 && c <= 0x556) && c != 0x115f && c != 0x1160 &&
	    !(c >= 0x180b && c <= 0x180f) && !(c >= 0x3000 && c < 0x3003) &&
	    c != 0x3164 && !(c >= 0xd800 && c < 0xf900) &&
	    !(c >= 0xfe00 && c < 0xfe10) && c != 0xfeff &&
	    !(c >= 0xff00 && c < 0x10000) && c < 0xe0000;
}

/* s: behind "xn--", folded. */
static bool
ref_alabel(const char *s)
{
	uint32_t u[POINTS_MAX], v[PUNYCODE_MAX];
	char back[256];
	bool ascii = true;
	int i, n;

	n = ref_decode(s, u);
	assert(punycode_decode(s, strlen(s), v) == n);
	if (n <= 0)
		return false;
	assert(memcmp(u, v, (size_t)n * sizeof(u[0])) == 0);
	/* Decoding is one to one: there is no second encoding. */
	ref_encode(u, n, back);
	assert(strcmp(back, s) == 0);
	for (i = 0; i < n; i++) {
		if (!ref_point_allowed(u[i]))
			return false;
		if (u[i] >= 0x80)
			ascii = false;
	}
	if (n > 3 && u[2] == '-' && u[3] == '-')
		return false;
	return !ascii && u[0] != '-' && u[n - 1] != '-';
}

static bool
ref_label(const char *s)
{
	size_t i, n = strlen(s);

	if (n < 1 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (i = 0; i < n; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", s[i]) ==
		    NULL)
			return false;
	return strncmp(s, "xn--", 4) != 0 || ref_alabel(s + 4);
}

/* The URL Standard's IPv4 number parser: does it not fail? */
static bool
ref_number(const char *s)
{
	const char *digits = "0123456789abcdef";
	int radix = 10;
	size_t n = strlen(s);

	if (n == 0)
		return false;
	if (strspn(s, "0123456789") == n)
		return true;
	if (n >= 2 && s[0] == '0' && s[1] == 'x') {
		s += 2;
		radix = 16;
	} else if (n >= 2 && s[0] == '0') {
		s++;
		radix = 8;
	}
	for (; *s != '\0'; s++)
		if (memchr(digits, *s, (size_t)radix) == NULL)
			return false;
	return true;
}

static bool
ref_canon(const char *s, size_t len, char *out)
{
	char copy[INPUT_MAX + 1];
	char *label, *last = NULL, *rest = copy;
	size_t i;

	if (memchr(s, '\0', len) != NULL)
		return false;
	for (i = 0; i < len; i++)
		copy[i] = (char)((unsigned char)s[i] < 128
		        ? tolower((unsigned char)s[i])
		        : s[i]);
	copy[len] = '\0';
	if (len > 0 && copy[len - 1] == '.')
		copy[--len] = '\0';
	if (len > 253)
		return false;
	memcpy(out, copy, len + 1);
	while ((label = strsep(&rest, ".")) != NULL) {
		if (!ref_label(label))
			return false;
		last = label;
	}
	return last != NULL && !ref_number(last);
}

static void
check_name(const char *s, size_t len)
{
	char out[HOSTNAME_MAX + 1], want[INPUT_MAX + 1];
	char again[HOSTNAME_MAX + 1];
	unsigned i, n;

	if (hostname_canon(s, len, out) == -1) {
		assert(!ref_canon(s, len, want));
		return;
	}
	assert(ref_canon(s, len, want) && strcmp(out, want) == 0);
	assert(hostname_canon(out, strlen(out), again) == 0);
	assert(strcmp(out, again) == 0);
	n = hostname_labels(out);
	assert(n >= 1 && strcmp(hostname_tail(out, n), out) == 0);
	assert(hostname_tail(out, n + 1) == NULL);
	for (i = 1; i < n; i++)
		assert(hostname_below(out, hostname_tail(out, i)));
	assert(!hostname_below(out, out));
}

/* --- destinations ----------------------------------------------------- */

static bool
ref_dest(const char *s, size_t len, uint16_t dflt, struct dest *d)
{
	char host[INPUT_MAX + 1], back[16], *colon;
	uint8_t b[16];
	bool v6;
	long port = dflt;

	if (len == 0 || memchr(s, '\0', len) != NULL)
		return false;
	snprintf(host, sizeof(host), "%s", s);
	colon = strrchr(host, ':');
	if (colon != NULL && strchr(colon, ']') == NULL) {
		port = strtol(colon + 1, NULL, 10);
		snprintf(back, sizeof(back), "%ld", port % 1000000);
		if (strcmp(back, colon + 1) != 0)
			return false;
		*colon = '\0';
	}
	len = strlen(host);
	v6 = len > 1 && host[0] == '[' && host[len - 1] == ']';
	if (v6)
		host[len - 1] = '\0';
	memset(d, 0, sizeof(*d));
	d->port = (uint16_t)port;
	d->kind = DEST_ADDRESS;
	d->addr.family = v6 ? AF_INET6 : AF_INET;
	if (port < 1 || port > 65535)
		return false;
	if (inet_pton(d->addr.family, host + (v6 ? 1 : 0), b) == 1) {
		memcpy(d->addr.b, b, v6 ? 16 : 4);
		return true;
	}
	d->kind = DEST_NAME;
	return !v6 && ref_canon(host, strlen(host), d->name);
}

static void
check_dest(const char *s, size_t len, uint16_t dflt)
{
	struct dest d, again, want;
	char text[INPUT_MAX];

	if (dest_parse(s, len, dflt, &d) == -1) {
		assert(!ref_dest(s, len, dflt, &want));
		return;
	}
	assert(ref_dest(s, len, dflt, &want));
	assert(d.kind == want.kind && d.port == want.port);
	if (d.kind == DEST_ADDRESS)
		assert(netaddr_equal(&d.addr, &want.addr));
	else
		assert(strcmp(d.name, want.name) == 0);
	/* What is logged leads back to the same destination. */
	if (strchr(d.name, ':') == NULL)
		snprintf(text, sizeof(text), "%s:%u", d.name, d.port);
	else
		snprintf(text, sizeof(text), "[%s]:%u", d.name, d.port);
	assert(dest_parse(text, strlen(text), 0, &again) == 0);
	assert(dest_equal(&d, &again) && strcmp(d.name, again.name) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char s[INPUT_MAX + 1];

	if (size > INPUT_MAX)
		return 0;
	if (size > 0)
		memcpy(s, data, size);
	s[size] = '\0';
	check_name(s, size);
	check_dest(s, size, 0);
	check_dest(s, size, 443);
	return 0;
}
