/*
 * A run from its submission to its end: stages, output, Ctrl-C, the bundle.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatchd/queue_state.h"

#include "follow.h"
#include "show.h"

#define DETACH_MS 2000 /* in which a second Ctrl-C stops the run */
#define LOGS_REFUSED_MS 2000 /* until refused output is asked for again */
#define EXIT_SIGNAL 128 /* and its number, as shells have it */

static void next(struct follow *f);

/* --- output ------------------------------------------------------------- */

static void
written(size_t n, void *arg)
{
	struct follow *f = arg;

	logs_written(&f->logs, n);
}

static void
broken(int fd, int error, void *arg)
{
	struct follow *f = arg;

	complain("standard %s: %s", fd == STDOUT_FILENO ? "output" : "error",
	    strerror(error));
	if (f->run[0] != '\0' && !f->over)
		complain("run %s goes on", f->run);
	link_done(&f->link, EXIT_FAILED);
}

static const struct output_ops output_ops = {
	.written = written,
	.broken = broken,
};

/* --- submission --------------------------------------------------------- */

static void
print_accepted(struct follow *f, const struct msg_run_accepted *m)
{
	struct json_writer *w;
	char *text;

	if (!f->cli->json) {
		output_line(f->out, f->detach ? STDOUT_FILENO : STDERR_FILENO,
		    f->detach ? "%s" : "run %s", m->run);
		return;
	}
	w = json_writer_new(OBJECT_MAX);
	json_open_object(w);
	show_text(w, "run", m->run);
	show_text(w, "state", m->state);
	show_text(w, "branch", m->branch);
	json_key(w, "again");
	json_bool(w, m->again);
	json_close_object(w);
	text = show_object(&w);
	output_line(
	    f->out, f->detach ? STDOUT_FILENO : STDERR_FILENO, "%s", text);
	free(text);
}

static void
accepted(const struct msg_run_accepted *m, void *arg)
{
	struct follow *f = arg;

	if (!runid_valid(m->run)) {
		complain("dispatchd cannot be reached: it sent no run's id");
		link_done(&f->link, EXIT_UNREACHABLE);
		return;
	}
	(void)strlcpy(f->run, m->run, sizeof(f->run));
	(void)strlcpy(f->waiting.run, m->run, sizeof(f->waiting.run));
	(void)strlcpy(f->logs.run, m->run, sizeof(f->logs.run));
	(void)strlcpy(f->stopping.run, m->run, sizeof(f->stopping.run));
	(void)strlcpy(f->bundle.run, m->run, sizeof(f->bundle.run));
	print_accepted(f, m);
	if (f->detach)
		link_done(&f->link, EXIT_OK);
	else
		request_ask(&f->waiting.r);
}

/* --- its life ----------------------------------------------------------- */

/* Asked for when there can be some, and again when there was none. */
static void
ask_logs(struct follow *f)
{
	struct request *r = &f->logs.r;

	if (!f->logs_over && !r->wanted)
		request_ask(r);
}

static void
stage(const struct msg_run_event *m, void *arg)
{
	struct follow *f = arg;
	enum queue_state s = queue_state_parse(m->state);
	char *text = stage_text(m, f->cli->json);

	/* A new link tells again where it is. */
	if (f->stage == NULL || strcmp(f->stage, text) != 0) {
		if (f->cli->json)
			output_line(f->out, STDERR_FILENO, "%s", text);
		else
			output_stage(f->out, text);
		free(f->stage);
		f->stage = text;
	} else {
		free(text);
	}
	if (s >= STATE_GATED && s < STATE_MAX)
		ask_logs(f);
}

static void
wait_over(const struct msg_wait_answer *m, void *arg)
{
	struct follow *f = arg;

	f->over = true;
	f->status = class_status(m->class);
	f->ending = ending_text(m, NULL, f->cli->json);
	if (f->file != NULL && m->bundle[0] != '\0') {
		f->ending_got = ending_text(m, f->file, f->cli->json);
		(void)strlcpy(
		    f->bundle.want, m->sha256, sizeof(f->bundle.want));
	}
	/* There is no output to come any more, but perhaps some that came. */
	f->logs.follow = f->logs.follow && f->logs.r.wanted;
	ask_logs(f);
	next(f);
}

static void
logs_done(void *arg)
{
	struct follow *f = arg;

	if (f->logs.missing && f->logs.follow) {
		f->logs.follow = !f->over;
		if (f->over)
			ask_logs(f);
		else
			logs_again_later(&f->logs, LOGS_AGAIN_MS);
		return;
	}
	f->logs_over = true;
	f->lacking = false;
	next(f);
}

static bool
may_be_had_later(const char *code)
{
	return strcmp(code, "limit") == 0 || strcmp(code, "too_many") == 0 ||
	    strcmp(code, "timeout") == 0 || strcmp(code, "unavailable") == 0;
}

/* The run goes on without its output being printed, and so do we. */
static bool
logs_refused(const struct msg_error *m, void *arg)
{
	struct follow *f = arg;
	char *code, *reason;

	if (!f->lacking) {
		code = visible(m->error, strlen(m->error));
		reason = visible(m->reason, strlen(m->reason));
		output_line(f->out, STDERR_FILENO,
		    "agent-cli: the output cannot be had: %s: %s", code,
		    reason);
		free(code);
		free(reason);
	}
	f->lacking = true;
	f->logs_over = f->over || !may_be_had_later(m->error);
	if (f->logs_over)
		next(f);
	else
		logs_again_later(&f->logs, LOGS_REFUSED_MS);
	return true;
}

static void
bundle_done(int status, void *arg)
{
	struct follow *f = arg;

	if (status != EXIT_OK) {
		free(f->ending_got);
		f->ending_got = NULL;
		if (f->status == EXIT_OK)
			f->status = status;
	}
	next(f);
}

static void
tell_ending(struct follow *f, const char *ending)
{
	f->told = true;
	output_end(f->out);
	output_line(f->out, STDERR_FILENO, "%s", ending);
	if (f->lacking)
		output_line(f->out, STDERR_FILENO,
		    "agent-cli: not all of its output was printed: "
		    "agent-cli logs %s",
		    f->run);
}

/* What is still to be done when the run is over, one after the other. */
static void
next(struct follow *f)
{
	if (!f->over || !f->logs_over || f->link.done)
		return;
	if (f->ending_got != NULL && !f->fetched) {
		f->fetched = true;
		request_ask(&f->bundle.r);
		return;
	}
	tell_ending(f, f->ending_got != NULL ? f->ending_got : f->ending);
	if (f->file != NULL && !f->fetched)
		output_line(
		    f->out, STDERR_FILENO, "agent-cli: the run has no bundle");
	link_done(&f->link, f->status);
}

/* --- signals ------------------------------------------------------------ */

static void
leave(struct follow *f, const char *then)
{
	f->logs_over = true;
	f->logs.missing = false; /* nor is it asked for again */
	request_drop(&f->logs.r);
	output_discard(f->out);
	output_end(f->out);
	output_line(
	    f->out, STDERR_FILENO, "agent-cli: run %s goes on%s", f->run, then);
}

static void
on_grace(evutil_socket_t fd, short what, void *arg)
{
	struct follow *f = arg;

	link_done(&f->link, EXIT_OK);
}

static void
stopped(const struct msg_stop_answer *m, void *arg)
{
	struct follow *f = arg;

	output_line(f->out, STDERR_FILENO, "agent-cli: run %s is being stopped",
	    f->run);
}

static void
on_interrupt(evutil_socket_t sig, short what, void *arg)
{
	static const struct timeval grace = { DETACH_MS / 1000,
		DETACH_MS % 1000 * 1000 };
	struct follow *f = arg;

	f->interrupts++;
	if (f->run[0] == '\0' || f->over) {
		if (f->run[0] == '\0')
			complain("interrupted before the run was accepted; "
			         "--id %s asks for the same again",
			    f->submit.run.request);
		output_discard(f->out);
		link_done(&f->link, EXIT_SIGNAL + SIGINT);
	} else if (f->interrupts == 1) {
		leave(f, "; another Ctrl-C now stops it");
		(void)evtimer_add(f->grace, &grace);
	} else if (f->interrupts == 2) {
		(void)evtimer_del(f->grace);
		request_ask(&f->stopping.r);
	} else {
		output_discard(f->out);
		link_done(&f->link, class_status("cancelled"));
	}
}

static void
on_terminate(evutil_socket_t sig, short what, void *arg)
{
	struct follow *f = arg;

	if (f->run[0] != '\0' && !f->over)
		leave(f, "");
	link_done(&f->link, EXIT_SIGNAL + SIGTERM);
}

static int
catch_signals(struct follow *f)
{
	struct event_base *base = f->link.base;

	f->interrupt = evsignal_new(base, SIGINT, on_interrupt, f);
	f->terminate = evsignal_new(base, SIGTERM, on_terminate, f);
	f->grace = evtimer_new(base, on_grace, f);
	if (f->interrupt == NULL || f->terminate == NULL || f->grace == NULL ||
	    event_add(f->interrupt, NULL) == -1 ||
	    event_add(f->terminate, NULL) == -1)
		return -1;
	return 0;
}

/* --- the whole ---------------------------------------------------------- */

static void
init_parts(struct follow *f)
{
	struct link *l = &f->link;

	l->out = f->out;
	submit_init(&f->submit, l);
	f->submit.accepted = accepted;
	waiting_init(&f->waiting, l);
	f->waiting.stage = stage;
	f->waiting.over = wait_over;
	logs_init(&f->logs, l, f->out);
	f->logs.follow = f->logs.may_miss = true;
	f->logs.over = logs_done;
	f->logs.refused = logs_refused;
	stopping_init(&f->stopping, l);
	f->stopping.over = stopped;
	bundle_init(&f->bundle, l, f->file);
	f->bundle.over = bundle_done;
	f->submit.arg = f->waiting.arg = f->logs.arg = f->stopping.arg =
	    f->bundle.arg = f;
}

int
follow_open(struct follow *f, const struct cli *cli)
{
	int r;

	memset(f, 0, sizeof(*f));
	f->bundle.fd = -1;
	f->cli = cli;
	f->detach = option_value(cli, "--detach") != NULL;
	f->file = option_value(cli, "--bundle");
	if ((r = link_open(&f->link, cli)) != 0)
		return r;
	f->out = printed_new(
	    f->link.base, option_value(cli, "--raw") != NULL, &output_ops, f);
	if (f->out == NULL || catch_signals(f) == -1) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	init_parts(f);
	return 0;
}

/*
 * The link was lost for good, or something was refused: the run knows nothing
 * of that. If it is over, its class is known and matters more.
 */
static int
ended_early(struct follow *f, int status)
{
	if (f->run[0] == '\0' || f->told)
		return status;
	if (!f->over) {
		complain("run %s may go on: agent-cli wait %s", f->run, f->run);
		return status;
	}
	f->lacking = f->lacking || !f->logs_over;
	tell_ending(f, f->ending);
	return f->status != EXIT_OK ? f->status : status;
}

int
follow_run(struct follow *f)
{
	int status;

	request_ask(&f->submit.r);
	status = link_loop(&f->link);
	link_hang_up(&f->link);
	output_end(f->out);
	if (status == EXIT_UNREACHABLE || status == EXIT_REFUSED)
		status = ended_early(f, status);
	output_flush(f->out);
	/* That the output cannot be written is found out last. */
	return f->link.status != status && status == EXIT_OK ? f->link.status
	                                                     : status;
}

static void
free_event(struct event *ev)
{
	if (ev != NULL)
		event_free(ev);
}

void
follow_close(struct follow *f)
{
	bundle_free(&f->bundle);
	logs_free(&f->logs);
	free_event(f->interrupt);
	free_event(f->terminate);
	free_event(f->grace);
	printed_free(&f->out);
	link_close(&f->link);
	free(f->stage);
	free(f->ending);
	free(f->ending_got);
}
