/*
 * What a run is to do, for runs to tell PID 1: words and numbers in one
 * message, the prompt and the roots on streams behind it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/queue.h"

static void
job_fed(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_job_ready) {
		log_warnx("run %s: not handed over: %s", j->row.run,
		    m != NULL ? m->u.error.reason : "no answer");
		qjob_retry(j);
		return;
	}
	j->fed = true;
	qjob_drive(j);
}

struct env_list {
	const char *k[2 * DISPATCH_ENV_MAX], *v[2 * DISPATCH_ENV_MAX];
	size_t n;
};

/* The profile's words come over the tool's. */
static void
env_add(struct env_list *l, const struct dispatch_env *e)
{
	size_t i, k;

	for (i = 0; i < e->n; i++) {
		for (k = 0; k < l->n && strcmp(l->k[k], e->name[i]) != 0; k++)
			;
		l->k[k] = e->name[i];
		l->v[k] = e->value[i];
		if (k == l->n)
			l->n++;
	}
}

static const char *
prompt_word(int prompt)
{
	switch (prompt) {
	case PROMPT_FILE:
		return "file";
	case PROMPT_ARGUMENT:
		return "argument";
	default:
		return "stdin";
	}
}

struct siblings {
	char network[QUEUE_SIBLINGS_MAX][QUEUE_NETWORK_MAX + 1];
	const char *v[QUEUE_SIBLINGS_MAX];
	size_t n;
};

/*
 * Networks that PID 1 has to find closed: those of other runs, or when there
 * are none the next that one would get. What would answer there is not our
 * word, but that it does not from here shows that the filter is in between.
 */
static void
find_siblings(const struct qjob *j, struct siblings *s)
{
	const struct qjob *other;
	size_t i;

	s->n = 0;
	TAILQ_FOREACH(other, &queue.jobs, entry) {
		if (other == j || other->row.network[0] == '\0' ||
		    other->container_down || s->n == QUEUE_SIBLINGS_MAX)
			continue;
		strlcpy(s->network[s->n++], other->row.network,
		    sizeof(s->network[0]));
	}
	if (s->n == 0 && subnet_free(s->network[0]) == 0)
		s->n = 1;
	for (i = 0; i < s->n; i++)
		s->v[i] = s->network[i];
}

/* What runs is to tell PID 1. prompt and roots follow on streams. */
static void
feed(struct qjob *j, const struct dispatch_profile *pr,
    const struct dispatch_tool *tool, size_t prompt_len, uint32_t prompt,
    uint32_t ca)
{
	char gateway[NETADDR_TEXT_MAX], proxy[96], canary[96];
	char branch[QUEUE_BRANCH_MAX + 1];
	struct env_list env = { .n = 0 };
	struct siblings siblings;
	struct msg_job_start *s;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_start;
	s = &m.u.job_start;
	qjob_address(j, QUEUE_GATEWAY_HOST, gateway);
	snprintf(proxy, sizeof(proxy), "%s:%lld", gateway,
	    (long long)queue.config->proxy_port);
	snprintf(canary, sizeof(canary), "%s:%lld", gateway,
	    (long long)queue.config->proxy_port + 1);
	queue_branch(j->row.tool, j->row.run, branch);
	find_siblings(j, &siblings);
	env_add(&env, &tool->env);
	env_add(&env, &pr->env);
	s->run = j->row.run;
	s->released = j->row.released;
	s->proxy = proxy;
	s->canary = canary;
	s->gateway = gateway;
	s->siblings.v = siblings.v;
	s->siblings.n = siblings.n;
	s->repo = j->row.url;
	s->directory = j->row.directory;
	s->base = j->row.base;
	s->branch = branch;
	s->argv.v = tool->argv;
	s->argv.n = tool->argc;
	s->prompt_by = prompt_word(tool->prompt);
	s->env.k = env.k;
	s->env.v = env.v;
	s->env.n = env.n;
	s->deadline_ms = j->row.deadline_ms;
	s->log_limit = queue.config->log_limit;
	s->bundle_limit = queue.config->bundle_limit;
	s->disk_reserve = queue.config->disk_reserve;
	s->prompt_stream = prompt;
	s->prompt_bytes = (int64_t)prompt_len;
	s->ca_stream = ca;
	s->ca_bytes = (int64_t)pr->ca_len;
	call_send(queue.runs, &m, j, QUEUE_CALL_MS, job_fed);
}

void
qjob_hand_over(struct qjob *j)
{
	static const struct dispatch_profile no_profile;
	static const struct dispatch_tool no_tool;
	const struct dispatch_profile *pr =
	    dispatch_profile_find(queue.config, j->row.profile);
	const struct dispatch_tool *tool =
	    dispatch_tool_find(queue.config, j->row.tool);
	uint32_t prompt_id, ca_id;
	uint8_t *prompt = NULL;
	size_t len = 0;

	/* What was begun needs neither; it is met again for its harvest. */
	if (j->row.state >= STATE_COMMITTED) {
		pr = pr != NULL ? pr : &no_profile;
		tool = tool != NULL ? tool : &no_tool;
	}
	if (pr == NULL || tool == NULL) {
		qjob_end(j, CLASS_LOST_INFRA,
		    "its profile or tool is not configured any more");
		return;
	}
	if (queue_store_prompt(queue.store, j->row.run, &prompt, &len) == -1) {
		log_warnx("run %s: its prompt: %s", j->row.run,
		    queue_store_why(queue.store));
		qjob_retry(j);
		return;
	}
	prompt_id = queue_stream_push(queue.runs, prompt, len);
	ca_id = queue_stream_push(queue.runs, pr->ca, pr->ca_len);
	feed(j, pr, tool, len, prompt_id, ca_id);
	freezero(prompt, len);
}
