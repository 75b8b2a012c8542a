/*
 * What a run was denied, and how often. The run may ask for thousands of
 * different names a second, so that the table is a tree with an end: what does
 * not fit is counted, and no more is known of it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

/* ":65535 CODE"; the longest code has 18 letters. */
#define KEY_TAIL_MAX 64

struct denial {
	RB_ENTRY(denial) entry;
	uint64_t count;
	char *key; /* behind it */
};

static int denial_cmp(struct denial *, struct denial *);

RB_PROTOTYPE(denial_tree, denial, entry, denial_cmp)
RB_GENERATE(denial_tree, denial, entry, denial_cmp)

static int
denial_cmp(struct denial *a, struct denial *b)
{
	return strcmp(a->key, b->key);
}

void
denials_init(struct denials *d)
{
	memset(d, 0, sizeof(*d));
	RB_INIT(&d->tree);
}

/* The only allocation that denials cost; there is a limit to their number. */
static struct denial *
denial_new(struct denials *d, const char *key)
{
	struct denial *new;
	size_t len = strlen(key) + 1;

	if (d->n >= PROXY_RUN_DENIALS_MAX)
		return NULL;
	new = malloc(sizeof(*new) + len);
	if (new == NULL)
		return NULL;
	new->count = 0;
	new->key = (char *)(new + 1);
	memcpy(new->key, key, len);
	RB_INSERT(denial_tree, &d->tree, new);
	d->n++;
	return new;
}

void
denials_add(
    struct denials *d, const char *host, uint16_t port, const char *code)
{
	char key[PROXY_DENIAL_KEY_MAX + 1];
	struct denial want = { .key = key };
	struct denial *found;

	snprintf(key, sizeof(key), "%.*s:%u %s",
	    PROXY_DENIAL_KEY_MAX - KEY_TAIL_MAX, host[0] != '\0' ? host : "-",
	    port, code);
	d->total++;
	found = RB_FIND(denial_tree, &d->tree, &want);
	if (found == NULL)
		found = denial_new(d, key);
	if (found != NULL)
		found->count++;
	else
		d->others++;
}

size_t
denials_top(struct denials *d, struct denial_count top[PROXY_RUN_DENIALS_TOLD])
{
	size_t i, n = 0, max = PROXY_RUN_DENIALS_TOLD;
	uint64_t rest = d->total;
	struct denial *e;

	/* What is told adds up to all that were denied. */
	if (d->others > 0 || d->n > max)
		max--;

	RB_FOREACH(e, denial_tree, &d->tree) {
		if (n == max && e->count <= top[n - 1].count)
			continue;
		/* Into its place, the last one out. */
		i = n < max ? n++ : n - 1;
		for (; i > 0 && top[i - 1].count < e->count; i--)
			top[i] = top[i - 1];
		top[i].key = e->key;
		top[i].count = e->count;
	}
	for (i = 0; i < n; i++)
		rest -= top[i].count;
	if (rest > 0) {
		top[n].key = "others";
		top[n++].count = rest;
	}
	return n;
}

void
denials_free(struct denials *d)
{
	struct denial *e;

	while ((e = RB_MIN(denial_tree, &d->tree)) != NULL) {
		RB_REMOVE(denial_tree, &d->tree, e);
		free(e);
	}
	denials_init(d);
}
