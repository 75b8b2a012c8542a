#ifndef EGRESSD_PROXY_H
#define EGRESSD_PROXY_H

/*
 * What the files of a proxy worker share. A worker owns its clients from the
 * first byte to the last; nothing here may block, and nothing that a client
 * or a destination sends may end the process.
 */

#include <sys/queue.h>
#include <sys/tree.h>

#include <event2/event.h>

#include "libcommon/audit.h"
#include "libcommon/peer.h"

#include "egressd.h"

#define PROXY_NOFILE 65536 /* descriptors asked for */
#define PROXY_FD_RESERVE 64 /* never given to clients */
#define PROXY_CLIENTS_MAX 16384 /* of one worker */
#define PROXY_FD_RUNS_SHARE 8 /* at most an eighth is kept for runs */
#define PROXY_OVERLOAD_MAX 256 /* above it, to be told so */
#define PROXY_ACCEPTS 64 /* in one loop turn */
#define PROXY_BACKOFF_MS 100 /* accept is out of descriptors */
#define PROXY_HEAD_MS 10000
#define PROXY_RESOLVE_MS 7000 /* the resolver gives up at 5 s */
#define PROXY_RACE_MS 250 /* before the next address is tried */
#define PROXY_DIAL_MS 10000 /* over all addresses */
#define PROXY_HELLO_MS 10000
#define PROXY_IDLE_MS (20 * 60 * 1000)
#define PROXY_LINGER_MS 2000 /* for the client to read why */
#define PROXY_LINGER_BYTES (256 * 1024)
#define PROXY_FLUSH_MS 5000 /* behind a reset */
#define PROXY_CHUNK                                \
	32768 /* one read; and what may be left of \
	         it, for each direction */
#define PROXY_TURNS 16 /* reads of one event */
#define PROXY_PIPES_MAX 512 /* over all workers */
#define PROXY_REVOKE_BATCH 1024 /* tunnels judged in one turn */
#define PROXY_RUN_ENDS_MAX 8 /* askers for the end of one run */
#define PROXY_RUN_DENIALS_MAX 256 /* different ones that a run keeps */
#define PROXY_RUN_DENIALS_TOLD 32 /* most frequent ones, in run.sums */
#define PROXY_DENIAL_KEY_MAX 511 /* bytes of "HOST:PORT CODE" */
#define PROXY_CANARY_TURNS 16 /* connections, datagrams a loop turn */
#define PROXY_CANARY_DATAGRAM 2048 /* what is longer comes back cut */
#define PROXY_CANARY_WARN 64 /* the first hit is logged, and each of these */

struct proxy;
struct client;
struct dial;
struct relay;

/* --- a worker --------------------------------------------------------- */

struct proxy_listener {
	TAILQ_ENTRY(proxy_listener) entry;
	struct proxy *proxy;
	struct proxy_run *run; /* NULL: a configured one */
	char name[EGRESS_NAME_MAX + 1]; /* "" for a run's */
	char address[64];
	char profile[EGRESS_NAME_MAX + 1];
	int fd;
	struct event *ev;
	size_t clients;
	size_t refs; /* clients, and the table */
	bool closed;
};

struct proxy_counters {
	uint64_t accepted, refused, failed, opened, closed, revoked;
	uint64_t up, down; /* bytes of ended tunnels */
	uint64_t backoffs;
	uint64_t canary_hits;
};

TAILQ_HEAD(client_list, client);
RB_HEAD(lookup_tree, client);
RB_HEAD(run_tree, proxy_run);

struct proxy {
	struct event_base *base;
	const struct proc_self *self;
	struct peer *parent, *frontend, *resolver, *recorder;
	struct audit_client *audit;
	struct policy *policy; /* in force; NULL at first */
	struct policy *loading; /* between begin and end */
	int64_t loading_rows;
	TAILQ_HEAD(, proxy_listener) listeners;
	struct client_list clients;
	struct lookup_tree lookups; /* clients by request id */
	struct run_tree runs; /* by their id */
	size_t nruns, nending;
	size_t nclients, max_clients;
	size_t max_of_listener; /* half of them */
	struct event *backoff;
	bool backing_off, draining, told_drained;
	struct event *revoke; /* goes on with a new policy */
	struct client *revoke_next;
	char tag[12]; /* of this process, in ids */
	uint64_t next_id;
	struct proxy_counters counters;
};

/* proxy.c */
void proxy_client_gone(struct proxy *p);
/* A one-shot timer. */
void proxy_timer(struct event *ev, int ms);

/* proxy_listener.c: sockets that clients come through */
/* In p->listeners from here, without a socket. NULL when out of memory. */
struct proxy_listener *
proxy_listener_new(struct proxy *p, const char *address, const char *profile);
/* Take fd, whatever comes of it. Returns 0, or -1 when out of memory. */
int proxy_listener_serve(struct proxy_listener *l, int fd);
/* The parent's words about configured ones. */
void proxy_listener_set(struct proxy *p, const struct msg_listener *m, int fd);
void proxy_listener_unset(struct proxy *p, const char *address);
/* Accept a batch. True when there may be more. */
bool proxy_listener_accept(struct proxy_listener *l);
/* Its socket goes; its clients stay. */
void proxy_listener_stop(struct proxy_listener *l);
/* It goes, with its last client. */
void proxy_listener_close(struct proxy_listener *l);
void proxy_listener_unref(struct proxy_listener *l);
/* Did accept(2) fail for want of descriptors or memory? */
bool proxy_accept_exhausted(int error);
/* Out of descriptors: stop accepting for PROXY_BACKOFF_MS. */
void proxy_back_off(struct proxy *p);
/* For the timer p->backoff: accept again. */
void proxy_back_on(int fd, short what, void *arg);

/* --- runs ------------------------------------------------------------- */

/* proxy_run_denials.c: what a run was denied, and how often; pure */
struct denial;
RB_HEAD(denial_tree, denial);

struct denials {
	struct denial_tree tree;
	size_t n; /* in it */
	uint64_t others; /* denials that it had no room for */
	uint64_t total;
};

struct denial_count {
	const char *key; /* "HOST:PORT CODE", or "others" */
	uint64_t count;
};

void denials_init(struct denials *d);
/* host is printable ASCII, "" when unknown ("-" then stands for it). */
void denials_add(
    struct denials *d, const char *host, uint16_t port, const char *code);
/*
 * The most frequent ones, first the most frequent, "others" last if there are
 * any. Returns how many; keys are good until the next call.
 */
size_t
denials_top(struct denials *d, struct denial_count top[PROXY_RUN_DENIALS_TOLD]);
void denials_free(struct denials *d);

/* proxy_run.c: the life of a run in its worker */
enum run_socket {
	RUN_PROXY,
	RUN_CANARY_TCP,
	RUN_CANARY_UDP
};

struct proxy_run {
	RB_ENTRY(proxy_run) entry;
	struct proxy *proxy;
	char id[RUNID_LEN + 1];
	char address[64];
	char profile[EGRESS_NAME_MAX + 1];
	bool got[EGRESS_RUN_SOCKETS];
	int fd[EGRESS_RUN_SOCKETS]; /* -1: not there, or the listener's */
	struct proxy_listener *listener; /* NULL: not served */
	struct event *canary[EGRESS_RUN_SOCKETS]; /* of RUN_CANARY_* */

	/* Its sums so far, those of open tunnels among them. */
	int64_t tunnels; /* open now */
	int64_t allowed, denied, failed;
	int64_t bytes[2]; /* by enum relay_side */
	int64_t active_ms; /* of its last tunnel byte; -1 */
	uint64_t canary_hits;
	struct denials denials;

	/* Ended: these wait until its close records are written. */
	bool ending;
	int64_t ends[PROXY_RUN_ENDS_MAX]; /* request ids */
	size_t nends;
	struct event *timer;
};

int run_cmp(struct proxy_run *a, struct proxy_run *b);
RB_PROTOTYPE(run_tree, proxy_run, entry, run_cmp)

/* For records and answers: NULL without a run. */
const char *proxy_run_id(const struct proxy_run *run);
/* A socket for a run, owned from here; the last of the three opens it. */
void proxy_run_socket(struct proxy *p, const struct msg_run_socket *m, int fd);
/* Cut all that is open of it; answered once its records are written. */
void proxy_run_end(struct proxy *p, int64_t id, const char *name);
void proxy_run_sums(struct proxy *p, int64_t id, const char *name);
/* Records were acknowledged: are there runs that have waited for that? */
void proxy_runs_settle(struct proxy *p);

/* proxy_run_canary.c: who gets an answer has found a hole in the filter */
/* Serve run->fd[RUN_CANARY_*]. Returns 0, or -1 when out of memory. */
int run_canary_serve(struct proxy_run *run);
void run_canary_stop(struct proxy_run *run);
/* While descriptors are out. */
void run_canary_pause(struct proxy_run *run, bool pause);

/* --- a client --------------------------------------------------------- */

enum client_state {
	CLIENT_HEAD, /* reading the request head */
	CLIENT_RESOLVE, /* the resolver is asked */
	CLIENT_DIAL, /* addresses are tried */
	CLIENT_RECORD, /* tunnel.open is being written */
	CLIENT_HELLO, /* 200 is sent; the first ClientHello */
	CLIENT_RELAY,
	CLIENT_REFUSE, /* a refusal is being written */
	CLIENT_LINGER /* the answer is out; for the client to read */
};

struct client {
	TAILQ_ENTRY(client) entry;
	RB_ENTRY(client) lookup;
	struct proxy *proxy;
	struct proxy_listener *listener;
	enum client_state state;
	int fd;
	struct event *ev_read, *ev_write, *timer;

	/* Bytes read and not yet judged; grows as far as its state allows. */
	uint8_t *buf;
	size_t len, cap;

	struct proxy_head head;
	struct dest dest;
	char target[1024]; /* for records, escaped */
	int64_t request; /* id on the resolver link */

	/* The verdict, copied: its policy may be gone before the tunnel. */
	char rule[EGRESS_RULE_ID_MAX];
	bool sni_optional, proto_any, ech_allow;
	int64_t budget_up, budget_down;
	int64_t generation;

	struct netaddr addr[EGRESS_ADDRESSES_MAX];
	size_t naddr;
	char (*chain)[HOSTNAME_MAX + 1];
	size_t nchain;
	struct netaddr peer_addr; /* the one that is connected */
	struct dial *dial;

	char id[48];
	int upstream;
	int64_t opened_ms;
	struct tls_client *tls; /* NULL: nothing to judge */
	struct tls_server tls_server;
	bool server_spoke;
	size_t fed; /* of buf, to tls */
	uint64_t forwarded; /* stream offset of buf[0] */
	char sni[256];
	bool had_ech; /* a hello that passed */
	struct relay *relay;

	/* CLIENT_REFUSE and CLIENT_LINGER. */
	enum egress_code code;
	char reason[512];
	char *answer;
	size_t answer_len, answer_off;
	size_t discarded;
};

int client_lookup_cmp(struct client *a, struct client *b);
RB_PROTOTYPE(lookup_tree, client, lookup, client_lookup_cmp)

/* proxy_client.c: from accept to the open tunnel */
void client_new(struct proxy_listener *l, int fd);
void client_free(struct client *c);
void client_set_state(struct client *c, enum client_state state);
void client_resolved(struct client *c, const struct msg_resolved *r);
void client_dialled(
    struct client *c, enum egress_code code, int fd, const struct netaddr *a);

/* proxy_refuse.c: every refusal, and the close behind an answer */
/* Refuse: record first, then answer. detail may be NULL. */
void client_refuse(struct client *c, enum egress_code code, const char *detail);
/* Denied or failed, in the sums of the worker and of the client's run. */
void client_count_refusal(struct client *c, enum egress_code code);
/* Close the answered connection so that the client can still read. */
void client_linger(struct client *c, const void *answer, size_t len);
/* The same when the record is written, or cannot be. */
void
client_refuse_now(struct client *c, enum egress_code code, const char *detail);
/* Events of CLIENT_LINGER. */
void client_linger_read(struct client *c);
void client_linger_write(int fd, short what, void *arg);

/* proxy_record.c: what is written about it */
int record_refusal(struct client *c, audit_done_fn *done);
int record_open(struct client *c, audit_done_fn *done);
void
record_close(struct client *c, enum egress_end end, int64_t up, int64_t down);
/* tunnel.open got no answer in time: should it be written yet, close it. */
void record_unopened(struct client *c);

/* proxy_tunnel.c: behind the 200 */
void tunnel_start(struct client *c);
/* End it: record, alert to the client where the end has one, free c. */
void tunnel_end(struct client *c, enum egress_end end);
/*
 * End a client at once, whatever its state. With END_run_closed not even
 * bytes that the kernel has taken go on.
 */
void tunnel_cut(struct client *c, enum egress_end end);
/*
 * Is it still allowed by the policy in force, on a listener that is still
 * there? If not it is ended and false returned: c is gone.
 */
bool tunnel_judge(struct client *c);
void tunnel_timeout(struct client *c);
/*
 * Judge what stands in c->buf. Returns how many of its bytes may go upstream
 * now; -1 when the tunnel was ended (c is gone). Once nothing is left that
 * could need judging, c->tls is NULL.
 */
ssize_t tunnel_filter_up(struct client *c);
/* The server's bytes pass; they tell when no further hello can come. */
void tunnel_watch_down(struct client *c, const uint8_t *buf, size_t n);

/* --- dialling --------------------------------------------------------- */

/* proxy_dial.c */
/*
 * An address is our own when a UDP connect to it gets it as its source.
 * Returns 1, 0, or -1 when the kernel does not tell (out of descriptors).
 */
int dial_is_self(const struct netaddr *a);
/*
 * Try the addresses of c, raced; client_dialled is called once, from the loop.
 * NULL when out of memory.
 */
struct dial *dial_new(struct client *c);
void dial_free(struct dial **d);
void dial_socket_options(int fd);

/* --- relaying --------------------------------------------------------- */

/* proxy_relay.c */
enum relay_side {
	RELAY_UP, /* client to destination */
	RELAY_DOWN
};

/*
 * Relay between c->fd and c->upstream, what stands in c->buf first. While
 * c->tls is there, the client's bytes pass tunnel_filter_up. The destination
 * is not read before relay_open_down. Returns NULL when out of memory.
 */
struct relay *relay_new(struct client *c);
/* Begin to move bytes; the tunnel may end in it. */
void relay_start(struct relay *r);
void relay_open_down(struct relay *r);
/* For the timer of CLIENT_RELAY: milliseconds to the next look. */
int relay_timeout(struct relay *r);
void relay_free(struct relay **r);
int64_t relay_bytes(const struct relay *r, enum relay_side side);

/* proxy_relay_splice.c, proxy_relay_copy.c: bulk through a kernel pipe */
struct relay_pipe {
	int fd[2];
	size_t len; /* bytes in it */
};

void relay_pipes_init(size_t max);
/* NULL when none is to be had: then plain copies do. */
struct relay_pipe *relay_pipe_get(void);
/* Must be empty; else it is closed with its bytes. */
void relay_pipe_put(struct relay_pipe **p);
/* Like read(2) from fd into the pipe, and write(2) from it to fd. */
ssize_t relay_pipe_fill(struct relay_pipe *p, int fd, size_t max);
ssize_t relay_pipe_drain(struct relay_pipe *p, int fd);

#endif
