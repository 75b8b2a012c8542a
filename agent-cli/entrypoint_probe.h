#ifndef AGENT_CLI_ENTRYPOINT_PROBE_H
#define AGENT_CLI_ENTRYPOINT_PROBE_H

/*
 * The proof from inside: what the container reaches and must not. A check is
 * a name that the records show; probes are the single attempts under it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/agent.h"
#include "libcommon/msg.h"
#include "libcommon/netaddr.h"

#define PROBES_MAX 192
#define PROBE_CHECKS_MAX 64 /* as msg.def has it for proof */
#define PROBE_CHECK_NAME_MAX 32
#define PROBE_TEXT_MAX 200 /* of one check's outcome */
#define PROBE_INTERFACES_MAX 8 /* link-local probes go out of each */
#define PROBE_MS 5000 /* all probes together */
#define PROBE_QUIET_MS 300 /* silence for so long is as good as an error */
#define PROBE_DNS_QUIET_MS 1000 /* the engine's resolver asks others first */

/* What is tried, which also says what it may meet. */
enum probe_kind {
	PROBE_PROXY, /* the one thing that must answer */
	PROBE_TCP,
	PROBE_TCP6,
	PROBE_UDP,
	PROBE_ICMP,
	PROBE_DNS_UDP, /* the engine's own resolver: it may be there */
	PROBE_DNS_TCP,
	PROBE_KINDS
};

enum probe_met {
	MET_UNABLE, /* the attempt itself could not be made: errno */
	MET_SILENCE,
	MET_ERRNO,
	MET_CONNECTED,
	MET_ANSWER,
	MET_EMPTY, /* a DNS answer without a record */
	MET_RECORD, /* a DNS answer with one */
	MET_OURS, /* the proxy, and it knows us by our run */
	MET_KINDS
};

struct probe_outcome {
	enum probe_met met;
	int err; /* MET_UNABLE, MET_ERRNO */
};

struct probe {
	char check[PROBE_CHECK_NAME_MAX];
	enum probe_kind kind;
	struct netaddr addr;
	uint16_t port;
	unsigned scope; /* link-local: the interface */
	const char *name; /* DNS: what is asked for */
	struct probe_outcome out;
};

struct probe_plan {
	struct probe v[PROBES_MAX];
	size_t n;
	const char *run; /* borrowed */
};

/* What is known of the run's network, as the start frame has it. */
struct probe_input {
	const char *run, *proxy, *canary, *gateway;
	struct msg_list siblings; /* ADDRESS, ADDRESS:PORT or PREFIX */
	unsigned interfaces[PROBE_INTERFACES_MAX];
	size_t ninterfaces;
};

struct probe_report {
	bool ok;
	size_t n;
	const char *names[PROBE_CHECKS_MAX]; /* into the plan */
	const char *texts[PROBE_CHECKS_MAX]; /* into text */
	char text[PROBE_CHECKS_MAX][PROBE_TEXT_MAX];
};

/* --- entrypoint_judge.c: pure ------------------------------------------- */

/* May a probe of this kind meet this? Whatever is not known may not be. */
bool probe_judge(enum probe_kind kind, const struct probe_outcome *o);
/* Sum a plan up, a line a check. The report points into the plan. */
void probe_report(const struct probe_plan *plan, struct probe_report *r);
/* "ECONNREFUSED"; an errno without a name here as its number. */
const char *probe_errno(int err, char buf[16]);

/* --- entrypoint_plan.c: pure -------------------------------------------- */

/* Fill plan. Returns 0, or -1 with why: then nothing is proven. */
int probe_plan(const struct probe_input *in, struct probe_plan *plan, char *why,
    size_t whylen);

/* --- entrypoint_answer.c: pure, outside bytes --------------------------- */

#define DNS_QUERY_MAX 300

/*
 * A query for A of name, for UDP; tcp: with its length in front. Returns its
 * length, 0 for a name that is none.
 */
size_t
dns_query(const char *name, uint16_t id, bool tcp, uint8_t buf[DNS_QUERY_MAX]);
/*
 * What an answer is: MET_EMPTY, MET_RECORD, or MET_ANSWER for bytes that are
 * no answer to id. A record in any section but a SOA in authority counts.
 */
enum probe_met dns_answer(const uint8_t *buf, size_t len, uint16_t id);
/*
 * Look at the proxy's answer so far. Returns true when it is whole, with *met
 * MET_OURS or MET_ANSWER; false while bytes are missing.
 */
bool proxy_answer_read(
    const char *buf, size_t len, const char *run, enum probe_met *met);

/* --- entrypoint_probe.c ------------------------------------------------- */

/* The interfaces that are not loopback. */
void probe_interfaces(struct probe_input *in);
/*
 * Carry a plan out, all of it at once; blocks for PROBE_MS at most and fills
 * every outcome. Returns 0, or -1 when out of memory.
 */
int probe_run(struct probe_plan *plan);

#endif
