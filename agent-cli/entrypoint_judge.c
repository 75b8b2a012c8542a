/*
 * What a probe may meet. Pure. The boundary counts as proven only by outcomes
 * that are listed here; a new kind of outcome is a violation until somebody
 * has thought about it.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "entrypoint_probe.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	int err;
	const char *name;
} errnos[] = {
	{ ECONNREFUSED, "ECONNREFUSED" },
	{ EHOSTUNREACH, "EHOSTUNREACH" },
	{ ENETUNREACH, "ENETUNREACH" },
	{ EADDRNOTAVAIL, "EADDRNOTAVAIL" },
	{ EAFNOSUPPORT, "EAFNOSUPPORT" },
	{ EACCES, "EACCES" },
	{ EPERM, "EPERM" },
	{ EPROTONOSUPPORT, "EPROTONOSUPPORT" },
	{ ETIMEDOUT, "ETIMEDOUT" },
	{ ECONNRESET, "ECONNRESET" },
	{ EINVAL, "EINVAL" },
	{ ENODEV, "ENODEV" },
	{ EMFILE, "EMFILE" },
	{ ENOMEM, "ENOMEM" },
	{ ENOBUFS, "ENOBUFS" },
	{ EPIPE, "EPIPE" },
};

const char *
probe_errno(int err, char buf[16])
{
	size_t i;

	for (i = 0; i < COUNT(errnos); i++)
		if (errnos[i].err == err)
			return errnos[i].name;
	(void)snprintf(buf, 16, "errno %d", err);
	return buf;
}

/* What a closed door says to a SYN. A time-out is a door that is not there. */
static bool
closed(int err, bool v6)
{
	switch (err) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return true;
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
		return v6;
	default:
		return false;
	}
}

bool
probe_judge(enum probe_kind kind, const struct probe_outcome *o)
{
	switch (kind) {
	case PROBE_PROXY:
		return o->met == MET_OURS;
	case PROBE_TCP:
	case PROBE_TCP6:
		return o->met == MET_ERRNO &&
		    closed(o->err, kind == PROBE_TCP6);
	case PROBE_UDP:
	case PROBE_ICMP:
		return o->met == MET_ERRNO || o->met == MET_SILENCE;
	case PROBE_DNS_UDP:
	case PROBE_DNS_TCP:
		return o->met == MET_ERRNO || o->met == MET_SILENCE ||
		    o->met == MET_CONNECTED || o->met == MET_EMPTY;
	case PROBE_KINDS:
		break;
	}
	return false;
}

/* --- words ------------------------------------------------------------ */

static const char *
met_text(const struct probe_outcome *o, char buf[16])
{
	switch (o->met) {
	case MET_UNABLE:
	case MET_ERRNO:
		return probe_errno(o->err, buf);
	case MET_SILENCE:
		return "silence";
	case MET_CONNECTED:
		return "connected";
	case MET_ANSWER:
		return "an answer";
	case MET_EMPTY:
		return "no record";
	case MET_RECORD:
		return "a record";
	case MET_OURS:
		return "answers";
	case MET_KINDS:
		break;
	}
	return "?";
}

/* The first violation, with what was tried. */
static void
text_of_bad(const struct probe *p, char *text, size_t len)
{
	char a[NETADDR_TEXT_MAX], num[16];
	const char *verb =
	    p->out.met == MET_UNABLE ? PROOF_NOT_TRIED : PROOF_VIOLATION;

	(void)snprintf(text, len, "%s%s%s%s port %u%s%s: %s", verb,
	    p->addr.family == AF_INET6 ? "[" : "", netaddr_text(&p->addr, a),
	    p->addr.family == AF_INET6 ? "]" : "", p->port,
	    p->name != NULL ? " " : "", p->name != NULL ? p->name : "",
	    met_text(&p->out, num));
}

/* What was met, each once: "ECONNREFUSED, silence". */
static void
add_met(const struct probe *p, char *text, size_t len)
{
	char num[16];
	const char *met = met_text(&p->out, num);

	if (strstr(text, met) != NULL)
		return;
	if (text[0] != '\0')
		(void)strlcat(text, ", ", len);
	(void)strlcat(text, met, len);
}

static bool
text_of(
    const struct probe_plan *plan, const char *check, char *text, size_t len)
{
	const struct probe *p;
	size_t i;

	text[0] = '\0';
	for (i = 0; i < plan->n; i++) {
		p = &plan->v[i];
		if (strcmp(p->check, check) != 0)
			continue;
		if (!probe_judge(p->kind, &p->out)) {
			text_of_bad(p, text, len);
			return false;
		}
		add_met(p, text, len);
	}
	return true;
}

static bool
known(const struct probe_report *r, const char *check)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->names[i], check) == 0)
			return true;
	return false;
}

void
probe_report(const struct probe_plan *plan, struct probe_report *r)
{
	const char *check;
	size_t i;

	r->n = 0;
	/* Nothing tried is nothing proven. */
	r->ok = plan->n > 0;
	for (i = 0; i < plan->n; i++) {
		check = plan->v[i].check;
		if (known(r, check))
			continue;
		if (r->n == PROBE_CHECKS_MAX) {
			r->ok = false;
			return;
		}
		if (!text_of(plan, check, r->text[r->n], PROBE_TEXT_MAX))
			r->ok = false;
		r->names[r->n] = check;
		r->texts[r->n] = r->text[r->n];
		r->n++;
	}
}
