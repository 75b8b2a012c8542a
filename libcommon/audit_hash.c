/*
 * SHA-256 by OpenSSL, and the hash over bytes that are no record.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "libcommon/audit_internal.h"

#define HASH_BYTES 32

struct audit_hash {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
	EVP_MD_CTX *end; /* a copy that is finished, to get its hash */
};

struct audit_hash *
audit_hash_new(void)
{
	struct audit_hash *h;

	if ((h = calloc(1, sizeof(*h))) == NULL)
		return NULL;
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	h->end = EVP_MD_CTX_new();
	if (h->md == NULL || h->ctx == NULL || h->end == NULL ||
	    audit_hash_start(h) == -1)
		audit_hash_free(&h);
	return h;
}

void
audit_hash_free(struct audit_hash **hp)
{
	struct audit_hash *h = *hp;

	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_CTX_free(h->end);
	EVP_MD_free(h->md);
	free(h);
	*hp = NULL;
}

int
audit_hash_start(struct audit_hash *h)
{
	return EVP_DigestInit_ex(h->ctx, h->md, NULL) == 1 ? 0 : -1;
}

int
audit_hash_add(struct audit_hash *h, const void *buf, size_t len)
{
	return EVP_DigestUpdate(h->ctx, buf, len) == 1 ? 0 : -1;
}

int
audit_hash_hex(const struct audit_hash *h, char hex[AUDIT_HASH_LEN])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[HASH_BYTES];
	size_t i;

	if (EVP_MD_CTX_copy_ex(h->end, h->ctx) != 1 ||
	    EVP_DigestFinal_ex(h->end, raw, NULL) != 1)
		return -1;
	for (i = 0; i < HASH_BYTES; i++) {
		hex[2 * i] = digits[raw[i] >> 4];
		hex[2 * i + 1] = digits[raw[i] & 0x0f];
	}
	hex[2 * HASH_BYTES] = '\0';
	return 0;
}

/* --- spans ------------------------------------------------------------ */

int
audit_span_init(struct audit_span *s)
{
	memset(s, 0, sizeof(*s));
	return (s->hash = audit_hash_new()) != NULL ? 0 : -1;
}

int
audit_span_reset(struct audit_span *s)
{
	s->len = 0;
	s->ended = false;
	return audit_hash_start(s->hash);
}

int
audit_span_add(struct audit_span *s, const void *buf, size_t len)
{
	const char *p = buf;
	bool ended;

	if (len == 0)
		return 0;
	if (s->ended) {
		if (audit_hash_add(s->hash, "\n", 1) == -1)
			return -1;
		s->len++;
	}
	if ((ended = p[len - 1] == '\n'))
		len--;
	if (audit_hash_add(s->hash, p, len) == -1)
		return -1;
	s->len += len;
	s->ended = ended;
	return 0;
}

void
audit_span_clear(struct audit_span *s)
{
	audit_hash_free(&s->hash);
}
