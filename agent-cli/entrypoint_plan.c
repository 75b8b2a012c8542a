/*
 * Which probes a run makes. Pure. Addresses of nobody (RFC 5737, RFC 3849)
 * stand for the whole world: no packet of a proof may reach somebody.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "entrypoint_probe.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PORT_DNS 53
#define PORT_HTTP 80
#define SIBLING_HOSTS 2 /* of a prefix: its gateway and its container */

static const char *const world4[] = { "192.0.2.1", "198.51.100.1",
	"203.0.113.1" };
static const uint16_t world_ports[] = { 80, 443, 53 };
static const uint16_t udp_ports[] = { 53, 123, 443 };
/* What hosts like to offer: shells, registries, engines, metrics, mDNS. */
static const uint16_t gateway_ports[] = { 22, 53, 80, 111, 443, 2375, 2376,
	4243, 5000, 8080, 8443, 9090, 10250 };
static const char *const dns_names[] = { "example.invalid", "example.com" };

struct planner {
	struct probe_plan *plan;
	struct netaddr proxy, canary, gateway;
	uint16_t proxy_port, canary_port;
	char *why;
	size_t whylen;
};

static int __attribute__((format(printf, 2, 3)))
refuse(struct planner *pl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(pl->why, pl->whylen, fmt, ap);
	va_end(ap);
	return -1;
}

static int
add(struct planner *pl, const char *check, enum probe_kind kind,
    const struct netaddr *a, uint16_t port, const char *name)
{
	struct probe *p;

	if (pl->plan->n == PROBES_MAX)
		return refuse(pl, "more than %d probes", PROBES_MAX);
	p = &pl->plan->v[pl->plan->n++];
	memset(p, 0, sizeof(*p));
	(void)strlcpy(p->check, check, sizeof(p->check));
	p->kind = kind;
	p->addr = *a;
	p->port = port;
	p->name = name;
	p->out.met = MET_UNABLE;
	return 0;
}

/* The same by text of our own. */
static int
add_text(struct planner *pl, const char *check, enum probe_kind kind,
    const char *text, uint16_t port, const char *name)
{
	struct netaddr a;

	if (netaddr_parse(text, strlen(text), &a) == -1)
		return refuse(pl, "%s is no address", text);
	return add(pl, check, kind, &a, port, name);
}

static int
plan_doors(struct planner *pl)
{
	if (add(pl, PROOF_PROXY_CHECK, PROBE_PROXY, &pl->proxy, pl->proxy_port,
	        NULL) == -1)
		return -1;
	if (add(pl, "canary tcp", PROBE_TCP, &pl->canary, pl->canary_port,
	        NULL) == -1)
		return -1;
	return add(
	    pl, "canary udp", PROBE_UDP, &pl->canary, pl->canary_port, NULL);
}

static int
plan_world(struct planner *pl)
{
	size_t i, j;

	for (i = 0; i < COUNT(world4); i++)
		for (j = 0; j < COUNT(world_ports); j++)
			if (add_text(pl, "direct tcp v4", PROBE_TCP, world4[i],
			        world_ports[j], NULL) == -1)
				return -1;
	for (j = 0; j < COUNT(world_ports); j++)
		if (add_text(pl, "direct tcp v6", PROBE_TCP6, "2001:db8::1",
		        world_ports[j], NULL) == -1)
			return -1;
	for (j = 0; j < COUNT(udp_ports); j++) {
		if (add_text(pl, "direct udp", PROBE_UDP, world4[0],
		        udp_ports[j], dns_names[1]) == -1)
			return -1;
		if (add_text(pl, "direct udp", PROBE_UDP, "2001:db8::1",
		        udp_ports[j], dns_names[1]) == -1)
			return -1;
	}
	if (add_text(pl, "icmp", PROBE_ICMP, world4[0], 0, NULL) == -1)
		return -1;
	if (add_text(pl, "metadata", PROBE_TCP, "169.254.169.254", PORT_HTTP,
	        NULL) == -1)
		return -1;
	return add_text(
	    pl, "metadata v6", PROBE_TCP6, "fd00:ec2::254", PORT_HTTP, NULL);
}

static int
plan_gateway(struct planner *pl)
{
	const struct netaddr *g = &pl->gateway;
	uint16_t behind = (uint16_t)(pl->proxy_port + 2);
	size_t i;

	for (i = 0; i < COUNT(gateway_ports); i++)
		if (gateway_ports[i] != pl->proxy_port &&
		    add(pl, "gateway ports", PROBE_TCP, g, gateway_ports[i],
		        NULL) == -1)
			return -1;
	if (behind > 2 &&
	    add(pl, "gateway ports", PROBE_TCP, g, behind, NULL) == -1)
		return -1;
	for (i = 0; i < COUNT(udp_ports); i++)
		if (udp_ports[i] != PORT_DNS &&
		    add(pl, "gateway udp", PROBE_UDP, g, udp_ports[i], NULL) ==
		        -1)
			return -1;
	if (add(pl, "dns gateway", PROBE_UDP, g, PORT_DNS, dns_names[1]) == -1)
		return -1;
	if (add(pl, "dns gateway", PROBE_TCP, g, PORT_DNS, NULL) == -1)
		return -1;
	return add(pl, "icmp", PROBE_ICMP, g, 0, NULL);
}

/* The engine's resolver is in every container; what it knows must be nothing.
 */
static int
plan_dns(struct planner *pl)
{
	size_t i;

	for (i = 0; i < COUNT(dns_names); i++) {
		if (add_text(pl, "dns 127.0.0.11", PROBE_DNS_UDP, "127.0.0.11",
		        PORT_DNS, dns_names[i]) == -1)
			return -1;
		if (add_text(pl, "dns 127.0.0.11", PROBE_DNS_TCP, "127.0.0.11",
		        PORT_DNS, dns_names[i]) == -1)
			return -1;
	}
	return 0;
}

/* The n-th address of an IPv4 prefix. */
static void
host_of(const struct netprefix *p, uint32_t n, struct netaddr *a)
{
	int i;

	*a = p->addr;
	for (i = 3; i >= 0 && n > 0; i--) {
		n += a->b[i];
		a->b[i] = (uint8_t)(n & 0xff);
		n >>= 8;
	}
}

static int
plan_sibling(struct planner *pl, const char *text)
{
	struct netprefix prefix;
	struct netaddr a;
	uint16_t port;
	uint32_t i;

	if (netaddr_parse_port(text, strlen(text), pl->proxy_port, &a, &port) ==
	    0)
		return add(pl, "siblings",
		    a.family == AF_INET6 ? PROBE_TCP6 : PROBE_TCP, &a, port,
		    NULL);
	if (netprefix_parse(text, strlen(text), &prefix) == -1 ||
	    prefix.addr.family != AF_INET || prefix.bits > 30)
		return refuse(pl, "a sibling is no address");
	for (i = 1; i <= SIBLING_HOSTS; i++) {
		host_of(&prefix, i, &a);
		if (add(pl, "siblings", PROBE_TCP, &a, pl->proxy_port, NULL) ==
		        -1 ||
		    add(pl, "siblings", PROBE_TCP, &a, PORT_HTTP, NULL) == -1)
			return -1;
	}
	return 0;
}

/*
 * What is on the link is reached without a route: everybody on it by
 * multicast, and the address that bridges like to have.
 */
static int
plan_link(struct planner *pl, const struct probe_input *in)
{
	static const char check[] = "link-local v6";
	size_t i, first;

	for (i = 0; i < in->ninterfaces; i++) {
		first = pl->plan->n;
		if (add_text(pl, check, PROBE_UDP, "ff02::1", PORT_DNS,
		        dns_names[1]) == -1 ||
		    add_text(pl, check, PROBE_ICMP, "ff02::1", 0, NULL) == -1 ||
		    add_text(pl, check, PROBE_ICMP, "ff02::2", 0, NULL) == -1 ||
		    add_text(pl, check, PROBE_TCP6, "fe80::1", PORT_HTTP,
		        NULL) == -1)
			return -1;
		for (; first < pl->plan->n; first++)
			pl->plan->v[first].scope = in->interfaces[i];
	}
	return 0;
}

static int
read_addresses(struct planner *pl, const struct probe_input *in)
{
	if (netaddr_parse_port(in->proxy, strlen(in->proxy), 0, &pl->proxy,
	        &pl->proxy_port) == -1)
		return refuse(pl, "the proxy's address cannot be read");
	if (netaddr_parse_port(in->canary, strlen(in->canary), 0, &pl->canary,
	        &pl->canary_port) == -1)
		return refuse(pl, "the canary's address cannot be read");
	if (netaddr_parse(in->gateway, strlen(in->gateway), &pl->gateway) == -1)
		return refuse(pl, "the gateway's address cannot be read");
	return 0;
}

int
probe_plan(const struct probe_input *in, struct probe_plan *plan, char *why,
    size_t whylen)
{
	struct planner pl = { .plan = plan, .why = why, .whylen = whylen };
	size_t i;

	plan->n = 0;
	plan->run = in->run;
	if (read_addresses(&pl, in) == -1 || plan_doors(&pl) == -1 ||
	    plan_world(&pl) == -1 || plan_gateway(&pl) == -1 ||
	    plan_dns(&pl) == -1 || plan_link(&pl, in) == -1)
		return -1;
	for (i = 0; i < in->siblings.n; i++)
		if (plan_sibling(&pl, in->siblings.v[i]) == -1)
			return -1;
	return 0;
}
