#ifndef DISPATCHD_RUNS_CLAIM_H
#define DISPATCHD_RUNS_CLAIM_H

/*
 * What PID 1 may claim and how often, so that others of ours get nothing from
 * a container that they cannot hold, write or send on. Pure.
 */

#include <stdbool.h>

#include "libcommon/msg.h"

#define CLAIM_NAME_MAX 32 /* of a check; a-z 0-9 space . _ - */
#define CLAIM_TEXT_MAX 200 /* of its outcome; printable ASCII */

bool claim_proof_fits(const struct msg_agent_proof *p);

#endif
