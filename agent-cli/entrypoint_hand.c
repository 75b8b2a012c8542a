/*
 * Handing over: output as it comes, how the tool ended behind its last byte,
 * the bundle behind that. A new link hears all of it again, from where the
 * daemon says that it has something.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/frame.h"
#include "libcommon/log.h"

#include "entrypoint.h"

#define PIECE_MAX FRAME_DATA_MAX

void
hand_phase(struct entry *e, const char *phase, const char *detail)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_phase;
	m.u.agent_phase.phase = phase;
	m.u.agent_phase.detail = detail;
	if (e->heard)
		(void)link_send(e->link, &m);
}

void
hand_reset(struct entry *e)
{
	struct ring *r = output_ring(e->output);

	e->output_begun = e->output_done = e->exited_said = false;
	e->bundle_begun = e->bundle_done = false;
	if (e->bundle_fd != -1)
		(void)close(e->bundle_fd);
	e->bundle_fd = -1;
	(void)ring_seek(r, ring_start(r));
}

void
hand_given_up(struct entry *e, uint32_t stream, const char *why)
{
	log_warnx("stream %u was given up: %s", (unsigned)stream, why);
	if (stream == ENTRY_STREAM_OUTPUT) {
		link_again(e->link, "it takes no output");
		return;
	}
	if (e->bundle_fd != -1)
		(void)close(e->bundle_fd);
	e->bundle_fd = -1;
	e->bundle_done = true;
}

void
hand_stored(struct entry *e, int64_t offset)
{
	struct ring *r = output_ring(e->output);

	/*
	 * Less than it had said before would be a log that it lost, more than
	 * there is another run's: neither makes us forget a byte.
	 */
	if (ring_stored(r, offset) == -1)
		log_warnx("stored up to %lld, which is not within %lld and "
		          "%lld",
		    (long long)offset, (long long)ring_start(r),
		    (long long)ring_end(r));
}

/* --- output ------------------------------------------------------------------
 */

static int
begin_output(struct entry *e)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_output;
	m.u.agent_output.stream = ENTRY_STREAM_OUTPUT;
	m.u.agent_output.offset = ring_cursor(output_ring(e->output));
	if (link_begin(e->link, ENTRY_STREAM_OUTPUT) == -1 ||
	    link_send(e->link, &m) == -1)
		return -1;
	e->output_begun = true;
	return 0;
}

/* Returns whether all that there is has been sent. */
static bool
send_output(struct entry *e)
{
	struct ring *r = output_ring(e->output);
	uint8_t buf[PIECE_MAX];
	size_t room, n;

	while (ring_cursor(r) < ring_end(r)) {
		room = link_room(e->link, ENTRY_STREAM_OUTPUT);
		n = ring_chunk(r, buf, room < sizeof(buf) ? room : sizeof(buf));
		if (n == 0)
			return false;
		if (link_write(e->link, ENTRY_STREAM_OUTPUT, buf, n) == -1)
			return false;
	}
	return true;
}

static void
push_output(struct entry *e)
{
	struct ring *r = output_ring(e->output);

	if (e->output_done)
		return;
	if (!e->output_begun) {
		if (ring_cursor(r) == ring_end(r)) {
			/* Nothing, yet or at all. */
			e->output_done = e->over;
			return;
		}
		if (begin_output(e) == -1)
			return;
	}
	if (send_output(e) && e->over) {
		(void)link_finish(e->link, ENTRY_STREAM_OUTPUT);
		e->output_done = true;
	}
}

/* --- how it ended
 * -------------------------------------------------------------- */

static void
say_exited(struct entry *e)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_exited;
	m.u.agent_exited.reason = e->reason;
	m.u.agent_exited.exit_code = e->exit_code;
	m.u.agent_exited.signal = e->signal;
	m.u.agent_exited.offset = ring_end(output_ring(e->output));
	m.u.agent_exited.detail = e->detail[0] != '\0' ? e->detail : NULL;
	if (link_send(e->link, &m) == 0)
		e->exited_said = true;
}

/* --- the bundle
 * ----------------------------------------------------------------- */

static void
say_bundle(struct entry *e)
{
	bool there = e->git.end == GIT_DONE && e->bundle_fd != -1;
	bool said = e->git.end != GIT_NOTHING && e->git.why[0] != '\0';
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_bundle;
	m.u.agent_bundle.stream = there ? ENTRY_STREAM_BUNDLE : 0;
	m.u.agent_bundle.bytes = e->git.bytes;
	m.u.agent_bundle.base = e->git.base;
	m.u.agent_bundle.head = e->git.head;
	m.u.agent_bundle.why = said ? e->git.why : NULL;
	/* The stream is made before it is announced. */
	if (there && link_begin(e->link, ENTRY_STREAM_BUNDLE) == -1) {
		link_again(e->link, "the bundle's stream");
		return;
	}
	if (link_send(e->link, &m) == -1)
		return;
	e->bundle_begun = true;
	e->bundle_done = !there;
}

static void
begin_bundle(struct entry *e)
{
	if (e->git.end == GIT_DONE) {
		e->bundle_fd =
		    open(e->git.bundle, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (e->bundle_fd == -1) {
			e->git.end = GIT_FAILED;
			e->git.bytes = 0;
			(void)snprintf(e->git.why, sizeof(e->git.why),
			    "its bundle: %s", strerror(errno));
		}
	}
	say_bundle(e);
}

static void
send_bundle(struct entry *e)
{
	uint8_t buf[PIECE_MAX];
	size_t room;
	ssize_t n;

	while ((room = link_room(e->link, ENTRY_STREAM_BUNDLE)) > 0) {
		n = read(
		    e->bundle_fd, buf, room < sizeof(buf) ? room : sizeof(buf));
		if (n > 0) {
			if (link_write(e->link, ENTRY_STREAM_BUNDLE, buf,
			        (size_t)n) == -1)
				return;
			continue;
		}
		if (n == 0)
			(void)link_finish(e->link, ENTRY_STREAM_BUNDLE);
		else
			link_abort(e->link, ENTRY_STREAM_BUNDLE, "read error");
		(void)close(e->bundle_fd);
		e->bundle_fd = -1;
		e->bundle_done = true;
		return;
	}
}

void
hand_push(struct entry *e)
{
	if (e->state < ENTRY_CLONE || !e->heard || !link_is_up(e->link))
		return;
	push_output(e);
	if (!e->output_done || !e->over)
		return;
	if (!e->exited_said)
		say_exited(e);
	if (!e->harvested || !e->exited_said)
		return;
	if (!e->bundle_begun)
		begin_bundle(e);
	if (e->bundle_begun && !e->bundle_done)
		send_bundle(e);
}
