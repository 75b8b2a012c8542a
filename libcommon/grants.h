#ifndef LIBCOMMON_GRANTS_H
#define LIBCOMMON_GRANTS_H

/*
 * Who may ask for what, in a daemon's frontend: the rows of its parent's table
 * `peers`. One process has one of them. It swaps whole, between messages; what
 * does not fit comes from a parent that is broken, and ends us.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "creds.h"
#include "msg.h"

#define GRANT(verb) (1U << (verb)) /* a verb as a mask */
/* What a client is told that has not what it needs. */
#define GRANTS_REFUSED "the table \"peers\" does not let this user ask for that"

/* The daemon's verbs, in the order of its enum; before the first row. */
void grants_init(const char *const *verbs, size_t nverbs);

void grants_begin(const struct msg_table_begin *m);
void grants_row(const struct msg_peer_row *m);
/* others: rows of further kinds that the daemon has in this table. */
void grants_end(const struct msg_table_end *m, size_t others);
/* Between begin and end? A row of a further kind may only come then. */
bool grants_loading(void);

/* Has a client any of these? */
bool grants_may(const struct creds *c, unsigned verbs);
/* Of what is in force; 0: nothing yet. */
int64_t grants_generation(void);

#endif
