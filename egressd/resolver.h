#ifndef EGRESSD_RESOLVER_H
#define EGRESSD_RESOLVER_H

/* What the files of the resolver share with each other alone. */

#include <event2/event.h>

#include "egressd/egressd.h"

/* --- resolver_answer.c: pure ------------------------------------------ */

/*
 * Add what b holds to *a, without duplicates. Returns 0, or -1 when that is
 * more than a dns_answer may hold: then *a is as it was.
 */
int resolver_answer_add(struct dns_answer *a, const struct dns_answer *b);

/* --- resolver_table.c: what the parent gave; pure --------------------- */

struct resolver_table {
	int64_t generation;
	struct egress_server servers[EGRESS_SERVERS_MAX];
	size_t nservers;
	struct egress_host hosts[EGRESS_HOSTS_MAX];
	size_t nhosts;
};

/*
 * Add a row. Returns 0, or -1: no table is open (NULL), it is full, or the
 * row's name or address is none.
 */
int resolver_table_add_server(
    struct resolver_table *t, const struct msg_server_row *row);
int resolver_table_add_host(
    struct resolver_table *t, const struct msg_host_row *row);

enum resolver_host {
	RESOLVER_HOST_UNKNOWN,
	RESOLVER_HOST_FOUND,
	RESOLVER_HOST_TOO_MANY /* over EGRESS_ADDRESSES_MAX */
};

/* All addresses that the hosts table has for a name, into *a. */
enum resolver_host resolver_table_find(
    const struct resolver_table *t, const char *host, struct dns_answer *a);

/* --- resolver_lookup.c: A and AAAA of one name at a time -------------- */

struct lookup;

/*
 * The end of a lookup: result is what `resolved` says ("ok", "dns_empty"...),
 * a (valid during the call) what was found. Called from the loop, never from
 * inside lookup_start; the lookup is idle then and may be started again.
 */
typedef void
lookup_done_fn(const char *result, const struct dns_answer *a, void *arg);

/*
 * Two steps, because c-ares opens files as it makes a channel and the loop's
 * own descriptor can only be made behind the start recipe: lookup_new before
 * the sandbox (NULL: no memory, or c-ares refused), lookup_attach in it.
 */
struct lookup *lookup_new(void);
void lookup_attach(struct lookup *l, struct event_base *base);
/* Ask these servers from now on; only while idle. Returns 0 or -1. */
int lookup_set_servers(
    struct lookup *l, const struct egress_server *servers, size_t n);
/* One A and one AAAA query for an absolute, canonical name. */
void lookup_start(
    struct lookup *l, const char *name, lookup_done_fn *done, void *arg);
/* The time is up: done is called, from inside, with what has come so far. */
void lookup_expire(struct lookup *l);
/* Nobody waits any more: done is not called. */
void lookup_cancel(struct lookup *l);
void lookup_free(struct lookup **l);

#endif
