/*
 * agent-cli entrypoint: PID 1 of a run's container.
 *
 * It holds the tool on one side and the daemon on the other, and lets neither
 * wait for the other. Before the release it makes no process, so that leaving
 * (78) means that nothing has happened; behind it, it stays until all that the
 * run has made is stored, or nobody came for it.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "cmd.h"
#include "entrypoint.h"

static const struct entry_where in_container = { .socket = ENTRY_SOCKET,
	.home = TOOL_HOME,
	.work = TOOL_WORK,
	.private = TOOL_PRIVATE,
	.spare = TOOL_SPARE,
	.protocol = "https" };

static const char *const state_names[] = { "connect", "start", "prove",
	"wait_release", "clone", "tool", "drain", "bundle", "finish" };

void
entry_set(struct entry *e, enum entry_state state)
{
	log_info("%s -> %s", state_names[e->state], state_names[state]);
	e->state = state;
}

void
entry_leave(struct entry *e, int status)
{
	e->exit_status = status;
	(void)event_base_loopbreak(e->base);
}

/* Nothing has happened: it may all be done again. */
static void
leave_unstarted(struct entry *e, const char *why)
{
	log_warnx("%s: nothing was started", why);
	entry_leave(e, ENTRY_EXIT_NOTHING);
}

static bool
is_released(const struct entry *e)
{
	return e->state >= ENTRY_CLONE;
}

/* What agent.ready says of us. */
static const char *
phase_of(const struct entry *e)
{
	switch (e->state) {
	case ENTRY_CONNECT:
	case ENTRY_START:
		return "new";
	case ENTRY_PROVE:
	case ENTRY_WAIT_RELEASE:
		return "started";
	case ENTRY_CLONE:
		return "released";
	case ENTRY_TOOL:
		return "tool";
	case ENTRY_DRAIN:
	case ENTRY_BUNDLE:
	case ENTRY_FINISH:
		break;
	}
	return "exited";
}

/* --- what the daemon says ------------------------------------------------ */

static void
send_simple(struct entry *e, enum msg_type type)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	(void)link_send(e->link, &m);
	link_flush(e->link);
}

static void
release(struct entry *e)
{
	if (is_released(e)) {
		/* A new instance does not know whether we heard it. */
		send_simple(e, MSG_TYPE_agent_released);
		return;
	}
	if (e->state != ENTRY_WAIT_RELEASE || !e->report.ok) {
		leave_unstarted(e, "released without a proof");
		return;
	}
	send_simple(e, MSG_TYPE_agent_released);
	entry_set(e, ENTRY_CLONE);
	run_begin(e);
	hand_push(e);
}

static void
stop(struct entry *e, int64_t grace_ms)
{
	if (is_released(e))
		run_stop(e, grace_ms);
	else
		leave_unstarted(e, "stopped");
}

static void
finish(struct entry *e)
{
	if (!is_released(e)) {
		leave_unstarted(e, "told to leave");
	} else if (e->state == ENTRY_FINISH) {
		entry_leave(e, ENTRY_EXIT_DONE);
	} else {
		log_warnx("told to leave in the middle of the work");
		entry_leave(e, ENTRY_EXIT_BROKEN);
	}
}

static void
heard(struct entry *e)
{
	if (e->heard)
		return;
	e->heard = true;
	if (e->state == ENTRY_WAIT_RELEASE)
		start_send_proof(e);
}

static void
on_message(const struct msg *m, void *arg)
{
	struct entry *e = arg;

	switch (m->type) {
	case MSG_TYPE_agent_start:
		if (start_take(e, m) == -1)
			link_again(e->link, "a start that cannot be used");
		break;
	case MSG_TYPE_agent_stored:
		hand_stored(e, m->u.agent_stored.offset);
		heard(e);
		hand_push(e);
		break;
	case MSG_TYPE_agent_release:
		heard(e);
		release(e);
		break;
	case MSG_TYPE_agent_stop:
		heard(e);
		stop(e, m->u.agent_stop.grace_ms);
		break;
	case MSG_TYPE_agent_finish:
		finish(e);
		break;
	default:
		log_warnx("%s is not for us", msg_decl(m->type)->wire);
		break;
	}
}

/* --- the link ------------------------------------------------------------ */

static void
on_up(void *arg)
{
	struct entry *e = arg;
	struct msg m;

	e->up_ms = clock_boot_ms();
	e->heard = false;
	if (e->state == ENTRY_CONNECT)
		entry_set(e, ENTRY_START);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_ready;
	m.u.agent_ready.phase = phase_of(e);
	m.u.agent_ready.offset = ring_start(output_ring(e->output));
	(void)link_send(e->link, &m);
}

static void
on_down(void *arg)
{
	struct entry *e = arg;

	e->heard = false;
	if (e->state == ENTRY_START) {
		start_drop(e);
		entry_set(e, ENTRY_CONNECT);
	}
	hand_reset(e);
}

static void
on_data(uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	start_data(arg, stream, buf, len);
}

static void
on_stream_end(uint32_t stream, bool ok, const char *why, void *arg)
{
	struct entry *e = arg;

	if (e->state == ENTRY_START)
		start_stream_end(e, stream, ok, why);
	else
		hand_given_up(e, stream, why);
}

static void
on_ready(uint32_t stream, void *arg)
{
	hand_push(arg);
}

static void
on_output(void *arg)
{
	hand_push(arg);
}

static const struct link_ops link_ops = { .up = on_up,
	.down = on_down,
	.message = on_message,
	.data = on_data,
	.stream_end = on_stream_end,
	.stream_ready = on_ready };

/* --- time and signals ------------------------------------------------------
 */

static void
on_tick(int fd, short what, void *arg)
{
	struct entry *e = arg;
	int64_t now = clock_boot_ms(), down = link_down_ms(e->link);

	if (!is_released(e) && down != 0 && now - down >= ENTRY_CONNECT_MS)
		leave_unstarted(e, "no daemon");
	else if (e->state == ENTRY_FINISH && now - e->hold_ms >= ENTRY_HOLD_MS)
		entry_leave(e, ENTRY_EXIT_BROKEN);
	/* The daemon's other half may have come later than our word. */
	else if (down == 0 && !e->heard && e->state > ENTRY_PROVE &&
	    now - e->up_ms >= ENTRY_HEARD_MS)
		link_again(e->link, "it does not say what it has");
}

/*
 * Who may end a run tells the daemon, and the engine is outside. What the tool
 * sends ends nothing: how it ends is said by its own end.
 */
static void
on_term(int fd, short what, void *arg)
{
	struct entry *e = arg;
	pid_t by;

	if (system_term_outside(fd, &by)) {
		log_info("TERM, from outside");
		stop(e, ENTRY_TERM_GRACE_MS);
	} else if (!e->term_said) {
		/* Once: it costs whoever sends it nothing. */
		e->term_said = true;
		log_warnx(
		    "TERM from process %d of the run is not obeyed", (int)by);
	}
}

/* --- start ------------------------------------------------------------------
 */

/* 0, 1 and 2 must not become something else's by chance. */
static int
hold_standard_fds(void)
{
	int fd;

	do {
		if ((fd = open("/dev/null", O_RDWR)) == -1)
			return -1;
	} while (fd <= STDERR_FILENO);
	return close(fd);
}

static bool
may_begin(const struct entry_where *where)
{
	const char *sandbox = getenv("AGENT_SANDBOX");

	if (!where->any_user && geteuid() == 0)
		complain("entrypoint: refuses to run as root");
	else if (sandbox == NULL || strcmp(sandbox, "1") != 0)
		complain("entrypoint: AGENT_SANDBOX is not 1: no container");
	else if (!where->any_pid && getpid() != 1)
		complain("entrypoint: not PID 1 of a container");
	else
		return true;
	return false;
}

static int
open_all(struct entry *e)
{
	struct timeval tv = { .tv_sec = ENTRY_TICK_MS / 1000 };

	if ((e->base = event_base_new()) == NULL)
		return -1;
	e->ward = ward_new(e->base, run_child_ended, e);
	e->output = output_new(e->base, on_output, e);
	e->ev_tick = event_new(e->base, -1, EV_PERSIST, on_tick, e);
	if ((e->term = system_term_fd()) == -1)
		return -1;
	e->ev_term =
	    event_new(e->base, e->term, EV_READ | EV_PERSIST, on_term, e);
	if (e->ward == NULL || e->output == NULL || e->ev_tick == NULL ||
	    e->ev_term == NULL || event_add(e->ev_tick, &tv) == -1 ||
	    event_add(e->ev_term, NULL) == -1)
		return -1;
	e->link = link_new(e->base, e->where->socket, &link_ops, e);
	return e->link != NULL ? 0 : -1;
}

static void
close_all(struct entry *e)
{
	/* What lives would lose its PID 1 anyway; here it has no say. */
	if (is_released(e))
		(void)child_kill_others(0, NULL);
	link_free(&e->link);
	start_drop(e);
	msg_free(&e->start);
	words_free(&e->env);
	feed_free(&e->feed);
	output_free(&e->output);
	ward_free(&e->ward);
	if (e->ev_tick != NULL)
		event_free(e->ev_tick);
	if (e->ev_term != NULL)
		event_free(e->ev_term);
	if (e->term != -1)
		(void)close(e->term);
	if (e->bundle_fd != -1)
		(void)close(e->bundle_fd);
	if (e->result != -1)
		(void)close(e->result);
	if (e->base != NULL)
		event_base_free(e->base);
}

int
cmd_entrypoint_at(const struct entry_where *where)
{
	struct entry *e;
	int status;

	if (!may_begin(where))
		return ENTRY_EXIT_NOTHING;
	/* Its children have from it what it may not do itself. */
	if (hold_standard_fds() == -1 || system_harden() == -1 ||
	    system_limit_tool() == -1) {
		complain("entrypoint: %s", strerror(errno));
		return ENTRY_EXIT_NOTHING;
	}
	log_init("agent-cli", 1, 0);
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return ENTRY_EXIT_NOTHING;
	e->where = where;
	e->bundle_fd = e->result = e->term = -1;
	e->exit_status = ENTRY_EXIT_BROKEN;
	if (open_all(e) == 0)
		(void)event_base_dispatch(e->base);
	else
		e->exit_status = ENTRY_EXIT_NOTHING;
	status = e->exit_status;
	close_all(e);
	free(e);
	return status;
}

int
cmd_entrypoint(const struct cli *cli, int argc, char **argv)
{
	if (argc != 0)
		return -1;
	return cmd_entrypoint_at(&in_container);
}
