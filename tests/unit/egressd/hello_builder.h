#ifndef TESTS_UNIT_EGRESSD_HELLO_BUILDER_H
#define TESTS_UNIT_EGRESSD_HELLO_BUILDER_H

/*
 * ClientHellos to order, honest ones and lying ones. A field "lie_x" is added
 * to the length field x, while the bytes stay as they are.
 */

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BYTES_MAX 600000

struct bytes {
	uint8_t b[BYTES_MAX];
	size_t n;
};

struct hello_spec {
	const char *sni; /* NULL: no such extension */
	size_t sni_len; /* 0: strlen(sni) */
	const char *sni2; /* a second entry of the list */
	uint8_t name_type;
	bool sni_empty; /* the extension holds an empty list */
	bool sni_void; /* the extension holds nothing */
	bool sni_twice;
	size_t sni_behind; /* zeros behind the list */
	uint16_t ext[4]; /* further ones of 8 bytes; 0xffff is none */
	unsigned next;
	size_t key_share; /* bytes of a key_share extension */
	size_t padding; /* bytes of a padding extension */
	bool no_extensions;
	bool no_extension_bytes; /* a block of length 0 */
	uint8_t major; /* 0: 3 */
	uint8_t session; /* bytes of session_id */
	uint16_t suites; /* bytes; 0: 6 */
	bool no_suites;
	bool no_compression;
	int lie_session, lie_suites, lie_compression, lie_extensions;
	int lie_sni_ext, lie_sni_list, lie_sni_name, lie_ext;
	size_t trailing; /* zeros behind all of it */
};

static inline void
put(struct bytes *o, const void *src, size_t n)
{
	ck_assert_uint_le(o->n + n, BYTES_MAX);
	memcpy(o->b + o->n, src, n);
	o->n += n;
}

static inline void
put_fill(struct bytes *o, int value, size_t n)
{
	ck_assert_uint_le(o->n + n, BYTES_MAX);
	memset(o->b + o->n, value, n);
	o->n += n;
}

static inline void
put_number(struct bytes *o, size_t value, unsigned width)
{
	uint8_t b;

	while (width-- > 0) {
		b = (uint8_t)(value >> 8 * width);
		put(o, &b, 1);
	}
}

/* A length that put_length fills in when what follows is there. */
static inline size_t
hold_length(struct bytes *o, unsigned width)
{
	put_fill(o, 0, width);
	return o->n;
}

static inline void
put_length(struct bytes *o, size_t start, unsigned width, int lie)
{
	size_t len = (size_t)((long)(o->n - start) + lie);
	unsigned i;

	for (i = 0; i < width; i++)
		o->b[start - 1 - i] = (uint8_t)(len >> 8 * i);
}

static inline void
put_name(
    struct bytes *o, const struct hello_spec *h, const char *name, size_t len)
{
	size_t start;

	put_number(o, h->name_type, 1);
	start = hold_length(o, 2);
	put(o, name, len);
	put_length(o, start, 2, h->lie_sni_name);
}

static inline void
put_sni(struct bytes *o, const struct hello_spec *h)
{
	size_t ext, list;

	put_number(o, 0, 2);
	ext = hold_length(o, 2);
	if (!h->sni_void) {
		list = hold_length(o, 2);
		if (!h->sni_empty)
			put_name(o, h, h->sni,
			    h->sni_len > 0 ? h->sni_len : strlen(h->sni));
		if (h->sni2 != NULL)
			put_name(o, h, h->sni2, strlen(h->sni2));
		put_length(o, list, 2, h->lie_sni_list);
	}
	put_fill(o, 0, h->sni_behind);
	put_length(o, ext, 2, h->lie_sni_ext);
}

static inline void
put_extension(struct bytes *o, unsigned type, size_t len, int lie)
{
	size_t start;

	put_number(o, type, 2);
	start = hold_length(o, 2);
	put_fill(o, 0, len);
	put_length(o, start, 2, lie);
}

static inline void
put_extensions(struct bytes *o, const struct hello_spec *h)
{
	size_t start = hold_length(o, 2);
	unsigned i;

	if (!h->no_extension_bytes) {
		put_extension(o, 0x2a2a, 0, 0); /* GREASE, RFC 8701 */
		if (h->key_share > 0)
			put_extension(o, 51, h->key_share, 0);
		if (h->sni != NULL || h->sni_empty || h->sni_void)
			put_sni(o, h);
		if (h->sni_twice)
			put_sni(o, h);
		for (i = 0; i < h->next; i++)
			put_extension(o, h->ext[i], 8, 0);
		put_extension(o, 43, 3, h->lie_ext);
		if (h->padding > 0)
			put_extension(o, 21, h->padding, 0);
	}
	put_length(o, start, 2, h->lie_extensions);
}

/* The body of the message. */
static inline void
put_hello_body(struct bytes *o, const struct hello_spec *h)
{
	size_t start;

	put_number(o, h->major != 0 ? h->major : 3, 1);
	put_number(o, 3, 1);
	put_fill(o, 0x5a, 32);
	start = hold_length(o, 1);
	put_fill(o, 0x33, h->session);
	put_length(o, start, 1, h->lie_session);
	start = hold_length(o, 2);
	if (!h->no_suites)
		put_fill(o, 0x13, h->suites > 0 ? h->suites : 6);
	put_length(o, start, 2, h->lie_suites);
	start = hold_length(o, 1);
	if (!h->no_compression)
		put_fill(o, 0, 1);
	put_length(o, start, 1, h->lie_compression);
	if (!h->no_extensions)
		put_extensions(o, h);
	put_fill(o, 0, h->trailing);
}

/* The message, with its header of four bytes. */
static inline void
put_hello(struct bytes *o, const struct hello_spec *h)
{
	size_t start;

	put_number(o, 1, 1);
	start = hold_length(o, 3);
	put_hello_body(o, h);
	put_length(o, start, 3, 0);
}

/* Records of the given type over n bytes, at most size bytes each. */
static inline void
put_records(
    struct bytes *o, unsigned type, const uint8_t *b, size_t n, size_t size)
{
	size_t k;

	for (; n > 0; b += k, n -= k) {
		k = n < size ? n : size;
		put_number(o, type, 1);
		put_number(o, 0x0301, 2);
		put_number(o, k, 2);
		put(o, b, k);
	}
}

#endif
