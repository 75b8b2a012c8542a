/*
 * One ClientHello (RFC 8446, 4.1.2, and RFC 5246, 7.4.1.2, which is the same
 * on the wire), parsed whole. A parser that stops at the name it looks for is
 * one that the server behind may read differently: so every length must come
 * out even, and no extension may stand there twice.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libcommon/hostname.h"
#include "libcommon/log.h"
#include "libcommon/netaddr.h"

#include "egressd.h"

#define RANDOM_LEN 32
#define SESSION_ID_MAX 32
#define SNI_NAME_MAX 255

#define EXT_SERVER_NAME 0x0000
#define EXT_ECH 0xfe0d /* RFC 9849 */
#define EXT_ECH_DRAFT_FIRST 0xfe08 /* draft-ietf-tls-esni-08 .. -12 */
#define EXT_ECH_DRAFT_LAST 0xfe0c
#define EXT_ESNI 0xffce /* draft-ietf-tls-esni-02 */
#define EXT_TYPES 65536

#define NAME_TYPE_HOST 0

/* What is left to read. */
struct cursor {
	const uint8_t *p;
	size_t left;
};

static int
take(struct cursor *c, size_t n, struct cursor *out)
{
	if (n > c->left)
		return -1;
	out->p = c->p;
	out->left = n;
	c->p += n;
	c->left -= n;
	return 0;
}

/* A big-endian number of 1 or 2 bytes. */
static int
take_number(struct cursor *c, size_t width, size_t *value)
{
	struct cursor bytes;

	if (take(c, width, &bytes) == -1)
		return -1;
	*value = bytes.p[0];
	if (width == 2)
		*value = *value << 8 | bytes.p[1];
	return 0;
}

/* A vector: its length in width bytes, then that many bytes. */
static int
take_vector(struct cursor *c, size_t width, struct cursor *out)
{
	size_t n;

	if (take_number(c, width, &n) == -1)
		return -1;
	return take(c, n, out);
}

static void
store_name(struct tls_hello *hello, const struct cursor *name)
{
	const char *s = (const char *)name->p;

	hello->has_sni = true;
	log_escape(hello->sni_raw, sizeof(hello->sni_raw), s, name->left);
	/* No valid name ends in a number, so an address fails here too. */
	if (hostname_canon(s, name->left, hello->sni) == -1) {
		hello->sni_bad = true;
		hello->sni[0] = '\0';
	}
}

/* RFC 6066, 3: a list, of which only one entry of one type was ever defined. */
static int
parse_server_name(struct cursor ext, struct tls_hello *hello)
{
	struct cursor list, name;
	size_t type;

	if (take_vector(&ext, 2, &list) == -1 || ext.left != 0)
		return -1;
	if (take_number(&list, 1, &type) == -1 || type != NAME_TYPE_HOST)
		return -1;
	if (take_vector(&list, 2, &name) == -1 || list.left != 0)
		return -1;
	if (name.left == 0 || name.left > SNI_NAME_MAX)
		return -1;
	if (memchr(name.p, '\0', name.left) != NULL)
		return -1;
	store_name(hello, &name);
	return 0;
}

static bool
is_ech(size_t type)
{
	return type == EXT_ECH || type == EXT_ESNI ||
	    (type >= EXT_ECH_DRAFT_FIRST && type <= EXT_ECH_DRAFT_LAST);
}

static int
parse_extensions(struct cursor exts, struct tls_hello *hello)
{
	uint8_t seen[EXT_TYPES / 8] = { 0 };
	struct cursor ext;
	size_t type;
	uint8_t bit;

	while (exts.left > 0) {
		if (take_number(&exts, 2, &type) == -1 ||
		    take_vector(&exts, 2, &ext) == -1)
			return -1;
		bit = (uint8_t)(1U << type % 8);
		if (seen[type / 8] & bit)
			return -1;
		seen[type / 8] |= bit;
		if (is_ech(type))
			hello->has_ech = true;
		if (type == EXT_SERVER_NAME &&
		    parse_server_name(ext, hello) == -1)
			return -1;
	}
	return 0;
}

int
tls_hello_parse(const uint8_t *buf, size_t len, struct tls_hello *hello)
{
	struct cursor c = { buf, len }, part;
	size_t major, minor;

	memset(hello, 0, sizeof(*hello));
	if (take_number(&c, 1, &major) == -1 || major != 3 ||
	    take_number(&c, 1, &minor) == -1 ||
	    take(&c, RANDOM_LEN, &part) == -1)
		return -1;
	if (take_vector(&c, 1, &part) == -1 || part.left > SESSION_ID_MAX)
		return -1;
	/* Cipher suites are pairs of bytes. */
	if (take_vector(&c, 2, &part) == -1 || part.left < 2 ||
	    part.left % 2 != 0)
		return -1;
	/* Compression methods. */
	if (take_vector(&c, 1, &part) == -1 || part.left < 1)
		return -1;
	/* A hello older than extensions ends here. */
	if (c.left == 0)
		return 0;
	if (take_vector(&c, 2, &part) == -1 || c.left != 0)
		return -1;
	return parse_extensions(part, hello);
}
