#ifndef LIBCOMMON_MSG_CHECK_H
#define LIBCOMMON_MSG_CHECK_H

/*
 * Private to msg_*.c: the bounds of msg.def, the same for both directions.
 *
 * On the wire a message is one flat object: "type", then "id" when it is above
 * 0, then its fields. A message that declares a field of its own called "id"
 * has no envelope id (only an event can do without): there "id" is the field.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/msg.h"

/* Where the sentence about what is wrong goes. */
struct msg_complaint {
	char *why;
	size_t len;
};

/* Always -1. */
int msg_refuse(const struct msg_complaint *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Has the message a field that is called id? */
bool msg_own_id(const struct msg_decl *d);

/* Each returns 0, or -1 with the complaint written. */
int msg_check_id(
    const struct msg_decl *d, int64_t id, const struct msg_complaint *c);
int msg_check_len(const struct msg_decl *d, const struct msg_field *f,
    size_t len, const struct msg_complaint *c);
int msg_check_count(const struct msg_decl *d, const struct msg_field *f,
    size_t n, const struct msg_complaint *c);
int msg_check_int(const struct msg_decl *d, const struct msg_field *f,
    int64_t n, const struct msg_complaint *c);

#endif
