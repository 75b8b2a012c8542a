#ifndef EGRESSD_EGRESSD_H
#define EGRESSD_EGRESSD_H

/* What the files of egressd share, grouped by the file that defines it. */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/conf_peers.h"
#include "libcommon/hostname.h"
#include "libcommon/msg.h"
#include "libcommon/netaddr.h"
#include "libcommon/proc.h"
#include "libcommon/runid.h"

#define EGRESS_WORKERS_MAX 16
#define EGRESS_LISTENERS_MAX 64
#define EGRESS_PROFILES_MAX 256
#define EGRESS_RULES_MAX 4096 /* of one profile */
#define EGRESS_SERVERS_MAX 8 /* DNS */
#define EGRESS_HOSTS_MAX 4096 /* rows of the hosts file */
#define EGRESS_CIDR_MAX 64 /* of one rule */
#define EGRESS_NAME_MAX 64 /* of a listener, a profile */
#define EGRESS_RULE_ID_MAX 128 /* "profiles.dev.allow[3]" */
#define EGRESS_ADDRESSES_MAX 64 /* of one DNS answer, over it: failed */
#define EGRESS_CHAIN_MAX 16 /* CNAMEs of one answer */
#define EGRESS_RUNS_MAX 128 /* open at the same time */
#define EGRESS_NETWORKS_MAX 64 /* that runs may have their gateway in */
#define EGRESS_PREFIX_MAX 3 /* of the interfaces of runs */
#define EGRESS_INTERFACE_MAX                            \
	(EGRESS_PREFIX_MAX + RUNID_LEN) /* IFNAMSIZ - 1 \
	                                 */
#define EGRESS_TABLE_MAX 32 /* the name of our nftables table */
#define EGRESS_RUN_SOCKETS 3 /* the proxy's, two canaries */

enum egress_code {
	CODE_ok,
#define CODE(id, status, error, sentence) CODE_##id,
#include "codes.def"
	CODE_MAX
};

enum egress_end {
	END_none,
#define END(id, alert) END_##id,
#include "ends.def"
	END_MAX
};

/* --- egressd_config_lists.c: what a peer may ask for ------------------ */

enum egress_verb {
	VERB_status,
	VERB_run_open,
	VERB_run_close,
	VERB_runs_sync,
	VERB_run_status,
	VERB_MAX
};

extern const char *const egress_verbs[VERB_MAX];

/* --- egressd_config.c: the parent's; reads, checks, lints ------------- */

struct egress_rule {
	bool deny;
	unsigned index; /* in its list */
	unsigned line;
	const char *host; /* canonical, "*.x" wildcard;
	                     NULL: cidr alone */
	struct netprefix cidr[EGRESS_CIDR_MAX];
	size_t ncidr;
	uint16_t port; /* 0: any (deny only) */
	bool sni_optional, proto_any, ech_allow;
	int64_t bytes_up, bytes_down; /* 0: no budget */
};

struct egress_profile {
	const char *name;
	struct egress_rule *rules; /* allow, then deny */
	size_t nrules;
};

struct egress_listener {
	const char *name;
	struct netaddr addr;
	uint16_t port;
	const char *profile;
};

struct egress_server {
	struct netaddr addr;
	uint16_t port;
};

struct egress_host {
	char name[HOSTNAME_MAX + 1];
	struct netaddr addr;
};

/* What the configuration names outside its own text. Each 0 or -1, errno. */
struct egress_config_env {
	int (*read_file)(const char *path, size_t max, char **buf,
	    size_t *len); /* as fd_read_path */
	int (*user)(const char *name, uint32_t *uid);
	int (*group)(const char *name, uint32_t *gid);
};

struct egress_config {
	struct conf *conf; /* owns the strings */
	const struct egress_config_env *env; /* while it is read */
	const char *socket;
	const char *audit;
	const char *hosts_file; /* NULL: none */
	int64_t workers;
	bool nft;
	const char *nft_table;
	const char *prefix; /* of the interfaces of runs */
	struct netprefix networks[EGRESS_NETWORKS_MAX];
	size_t nnetworks;
	int64_t proxy_port; /* of a run; the canary's is one more */
	const char *user_parent, *user_frontend, *user_proxy, *user_resolver,
	    *user_audit, *user_fw;
	struct conf_peer peers[CONF_PEERS_MAX];
	size_t npeers;
	struct egress_server servers[EGRESS_SERVERS_MAX];
	size_t nservers;
	struct egress_listener listeners[EGRESS_LISTENERS_MAX];
	size_t nlisteners;
	struct egress_profile *profiles;
	size_t nprofiles;
	struct egress_host *hosts; /* of hosts_file */
	size_t nhosts;
	char sha256[65]; /* hex, of the file's bytes */
};

/*
 * Load the public suffix list, a file of the system: before the sandbox.
 * egress_config_read does it when nobody has.
 */
void egress_config_init(void);

/*
 * Read configuration text (file is its name for messages); resolv_conf and
 * the hosts file are read from disk as it says. Returns the configuration,
 * owned by the caller, or NULL; either way errors and warnings stand in
 * *conf, which the caller frees with conf_free when NULL was returned (else
 * egress_config_free does).
 */
struct egress_config *egress_config_read(
    const char *file, const char *text, size_t len, struct conf **conf);
/* The same with other files and users: tests. */
struct egress_config *egress_config_read_env(const char *file, const char *text,
    size_t len, const struct egress_config_env *env, struct conf **conf);
void egress_config_free(struct egress_config **c);

/* --- egressd_config_lint.c: rules that can never match, shadowed rules --- */

void egress_config_lint(struct egress_config *c);

/* --- egressd_config_hosts.c: /etc/hosts and resolv.conf; pure --------- */

/*
 * Parse a hosts file (hosts(5)). Lines that are no address and names are
 * skipped, as every resolver does. Returns rows stored.
 */
size_t egress_hosts_parse(
    const char *text, size_t len, struct egress_host *rows, size_t max);
/* "nameserver" lines of resolv.conf(5); port 53. Returns rows stored. */
size_t egress_resolv_parse(
    const char *text, size_t len, struct egress_server *rows, size_t max);

/* --- proxy_codes.c: the tables of codes.def and ends.def -------------- */

struct egress_code_info {
	const char *name; /* "host" */
	int status; /* 403 */
	const char *error; /* RFC 9209 */
	const char *sentence;
};

const struct egress_code_info *egress_code_info(enum egress_code code);
/* CODE_MAX when unknown. */
enum egress_code egress_code_by_name(const char *name);
const char *egress_end_name(enum egress_end end);
uint8_t egress_end_alert(enum egress_end end);

/* --- proxy_answer.c: pure --------------------------------------------- */

#define PROXY_ANSWER_MAX 4096

struct proxy_answer {
	enum egress_code code;
	const char *reason; /* NULL: the code's sentence */
	const char *run; /* NULL: null */
	const char *host; /* NULL; else escaped text */
	uint16_t port; /* 0: null */
	const char *rule; /* NULL: null */
};

/*
 * The whole response: status line with reason phrase "egress-CODE", headers
 * (Proxy-Status, Content-Type, Content-Length, Connection: close, and for
 * 503 and 429 Retry-After), JSON body. Returns its length; always fits.
 */
size_t
proxy_answer_format(const struct proxy_answer *a, char buf[PROXY_ANSWER_MAX]);

/* --- proxy_head.c: the request head; pure ----------------------------- */

#define PROXY_HEAD_LINE_MAX 8192 /* request line without CR LF */
#define PROXY_HEAD_MAX 32768 /* with the blank line */
#define PROXY_HEAD_FIELDS_MAX 100

struct proxy_head {
	/* out, on success */
	bool connect; /* else plain http:// */
	struct dest dest;
	size_t len; /* bytes the head takes */
	/* out, on failure */
	enum egress_code code; /* malformed, too_large, not_http1 */
	const char *reason; /* one sentence, static */
	/* out, either way: the raw target, as far as there is one */
	const char *target; /* into buf */
	size_t target_len;
	/* private: what has been scanned so far */
	size_t scanned;
	size_t line_start;
	size_t lines;
	int state;
	size_t target_start;
	size_t colon; /* of the field line */
	bool http11;
	bool has_host;
};

void proxy_head_init(struct proxy_head *h);
/*
 * Look at all bytes so far (buf always from the first one). Returns 1 when the
 * head is whole and good, 0 when more is needed, -1 when it is refused. Bytes
 * already scanned are not scanned again.
 */
int proxy_head_parse(struct proxy_head *h, const char *buf, size_t len);

/* --- proxy_tls_*.c: what a client and a server say first; pure -------- */

#define PROXY_HELLO_MAX 65536 /* raw bytes up to a verdict */

enum tls_event {
	TLS_MORE, /* all input consumed, nothing to judge */
	TLS_HELLO, /* a ClientHello is complete: judge it, go on */
	TLS_OPAQUE, /* nothing later can be a ClientHello: stop looking */
	TLS_NOT_TLS, /* the first bytes are no TLS record */
	TLS_MALFORMED
};

struct tls_hello {
	bool has_sni;
	bool sni_bad; /* an address, or no hostname_canon name */
	char sni[HOSTNAME_MAX + 1]; /* canonical */
	char sni_raw[256]; /* log_escape'd, cut */
	bool has_ech; /* 0xfe0d, drafts, ESNI 0xffce */
};

/*
 * The body of one ClientHello message, whole, without the handshake header.
 * Returns 0, or -1 when it is malformed.
 */
int tls_hello_parse(const uint8_t *buf, size_t len, struct tls_hello *hello);

struct tls_client; /* the client's side of the stream */

struct tls_client *tls_client_new(void);
void tls_client_free(struct tls_client **t);
/*
 * Feed the next n bytes of the stream; returns how many were consumed (all,
 * unless *ev tells of an event: then call again with the rest behind it).
 * TLS_OPAQUE consumes all it is given; TLS_NOT_TLS and TLS_MALFORMED are
 * final, every later call repeats them and consumes nothing.
 */
size_t tls_client_feed(
    struct tls_client *t, const uint8_t *buf, size_t n, enum tls_event *ev);
/* The hello of the last TLS_HELLO. */
const struct tls_hello *tls_client_hello(const struct tls_client *t);
/* Hellos so far. */
unsigned tls_client_hellos(const struct tls_client *t);
/*
 * How many bytes of the stream, from its first, may go upstream once every
 * hello reported so far has been accepted: never a byte of a handshake record
 * whose ClientHello is not complete.
 */
uint64_t tls_client_safe(const struct tls_client *t);
/*
 * The server has spoken: real means a ServerHello that is no
 * HelloRetryRequest (or no TLS at all): no later record can be a plaintext
 * ClientHello, and feed answers TLS_OPAQUE. Else (HelloRetryRequest) one more
 * hello is due.
 */
void tls_client_server_spoke(struct tls_client *t, bool real);

enum tls_server_event {
	TLS_SERVER_MORE,
	TLS_SERVER_HELLO, /* ServerHello */
	TLS_SERVER_RETRY, /* HelloRetryRequest (RFC 8446, 4.1.3) */
	TLS_SERVER_OTHER /* an alert, or no TLS */
};

struct tls_server {
	uint8_t buf[64]; /* record header and hello start, private */
	size_t n;
	size_t record_left;
	size_t header;
	enum tls_server_event verdict;
};

void tls_server_init(struct tls_server *t);
enum tls_server_event
tls_server_feed(struct tls_server *t, const uint8_t *buf, size_t n);

/* --- proxy_addr.c: which addresses are what; pure --------------------- */

enum addr_class {
	ADDR_PUBLIC,
	ADDR_PRIVATE, /* RFC 1918, fc00::/7, 100.64.0.0/10 */
	ADDR_PROHIBITED /* every other special one, embedded v4 too */
};

enum addr_class proxy_addr_class(const struct netaddr *a);
/* Does p hold an address that some rule could open (not all prohibited)? */
bool proxy_addr_prefix_useful(const struct netprefix *p);

/* --- proxy_policy.c: decisions; pure ---------------------------------- */

struct policy; /* one generation, every profile */
struct policy_profile;

struct policy_rule {
	char id[EGRESS_RULE_ID_MAX];
	bool deny;
	bool wildcard; /* host is what lies below it */
	char host[HOSTNAME_MAX + 1]; /* "" cidr alone */
	struct netprefix *cidr;
	size_t ncidr;
	uint16_t port; /* 0 any */
	bool sni_optional, proto_any, ech_allow;
	int64_t bytes_up, bytes_down;
};

struct verdict {
	enum egress_code code; /* CODE_ok, host, port, ip_literal */
	const struct policy_rule *rule; /* allowing, or denying; may be NULL */
};

struct policy *policy_new(int64_t generation);
void policy_free(struct policy **p);
/*
 * Rows of the table policy; 0, or -1 (bad row, or no memory): then p is not
 * whole, and good for policy_free only.
 */
int policy_add(struct policy *p, const struct msg_rule_row *row);
int64_t policy_generation(const struct policy *p);
/* NULL when there is none of that name. */
const struct policy_profile *
policy_profile(const struct policy *p, const char *name);
/*
 * Deny beats allow; an exact host beats a wildcard, a longer suffix or prefix
 * a shorter, and among equals the first rule; NULL profile denies. An allowing
 * wildcard matches no address, nothing below localhost, internal and local,
 * and no label with an underscore; a denying one all that lies below it.
 */
void policy_decide(
    const struct policy_profile *pr, const struct dest *d, struct verdict *v);
/*
 * May an allowed rule's tunnel go to this address (of a name, or the literal
 * itself)? CODE_ok, address_prohibited, address_private, or host with *deny
 * set to the rule that names the address. "self" needs the kernel: proxy_dial.
 */
enum egress_code policy_address(const struct policy_profile *pr,
    const struct policy_rule *rule, const struct dest *d,
    const struct netaddr *a, const struct policy_rule **deny);

/* --- proxy_policy_rule.c: a rule from its row; pure ------------------- */

/*
 * Fill in a zeroed rule; row->profile is valid. Returns -1 when the row says
 * what no rule can be, or without memory; the caller frees r->cidr anyway.
 */
int policy_rule_set(struct policy_rule *r, const struct msg_rule_row *row);

/* --- resolver_answer.c: a DNS answer; pure ---------------------------- */

enum dns_result {
	DNS_OK,
	DNS_NXDOMAIN,
	DNS_EMPTY, /* no address of this type */
	DNS_FAILED /* malformed, looping, too many, other rcode */
};

struct dns_answer {
	struct netaddr addr[EGRESS_ADDRESSES_MAX];
	size_t naddr;
	char chain[EGRESS_CHAIN_MAX][HOSTNAME_MAX + 1];
	size_t nchain;
};

/*
 * Read the answer section of a DNS message (RFC 1035, 4) for name and family:
 * follow CNAMEs from name, in any order, take the addresses at the end of the
 * chain. More than EGRESS_ADDRESSES_MAX, a chain over EGRESS_CHAIN_MAX, a
 * loop, a name that no hostname_canon admits, are DNS_FAILED. Adds to *a.
 */
enum dns_result resolver_answer_parse(const uint8_t *msg, size_t len,
    const char *name, int family, struct dns_answer *a);

/* --- the processes (each the file of its name); none returns ---------- */

void frontend_main(const struct proc_self *self) __attribute__((noreturn));
void proxy_main(const struct proc_self *self) __attribute__((noreturn));
void resolver_main(const struct proc_self *self) __attribute__((noreturn));
void fw_main(const struct proc_self *self) __attribute__((noreturn));

/* --- fw_linux.c, fw_none.c: for the parent, while it has privilege ------ */

/*
 * A socket to nf_tables for the process fw, bound, non-blocking, close-on-exec.
 * Returns it or -1 with errno (ENOSYS where there is no such thing).
 */
int fw_socket(void);

#endif
