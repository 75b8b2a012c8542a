#ifndef LIBCOMMON_AGENT_H
#define LIBCOMMON_AGENT_H

/*
 * What dispatchd and PID 1 of a run, which is agent-cli, have to agree on
 * beside the messages.
 */

/* --- the proof -------------------------------------------------------------
 */

/* The one check that asks for an answer; all others ask for none. */
#define PROOF_PROXY_CHECK "proxy answers"
/*
 * The host and the port, 443, that the proxy is asked for there, and how
 * egressd counts that denial: nobody's rules can name that host. (try.sh's
 * timeline leaves it out as well.)
 */
#define PROOF_PROXY_NAME "bulkhead.invalid"
#define PROOF_DENIAL PROOF_PROXY_NAME ":443 host"
/* How the outcome of a check begins that did not hold; all others held. */
#define PROOF_VIOLATION "violation: "
#define PROOF_NOT_TRIED "not tried: "

/* --- the harvest -----------------------------------------------------------
 */

/*
 * PID 1 has handed its bundle on, or gives up, within the first; dispatchd
 * takes a run's harvest down behind the second, which also has room for the
 * bundle's way.
 */
#define HARVEST_AGENT_MS (11 * 60 * 1000)
#define HARVEST_WAIT_MS (12 * 60 * 1000)

_Static_assert(HARVEST_WAIT_MS >= HARVEST_AGENT_MS + 60 * 1000,
    "a harvest is taken down that goes on");

#endif
