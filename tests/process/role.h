#ifndef TESTS_PROCESS_ROLE_H
#define TESTS_PROCESS_ROLE_H

/*
 * One process of a daemon under test, started the real way: the test's program
 * is that daemon when it is called with words, and is else whoever sits at the
 * other ends of the process's links.
 */

#include <sys/types.h>

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "libcommon/frame.h"
#include "libcommon/msg.h"
#include "libcommon/proc.h"

#define ROLE_WAIT_MS 10000 /* for any one message */

/* Our end of a link. */
struct link {
	int fd; /* -1: closed */
	size_t max; /* bytes of a frame that may come */
	size_t n;
	uint8_t buf[FRAME_CTL_BIG_MAX + FRAME_HEADER_LEN];
};

int64_t now_ms(void);

/* Ours is fd, and nothing has come; max is FRAME_CTL_MAX. */
void link_init(struct link *l, int fd);
/* The same with a new pair; returns the other end. */
int link_make(struct link *l);
/* One that is closed already is left alone. */
void link_close(struct link *l);

void link_send(struct link *l, const struct msg *m);
/* The same with a descriptor, which is closed here. */
void link_send_fd(struct link *l, const struct msg *m, int fd);
/* The next message; false when none comes within ms, or at the end. */
bool link_recv(struct link *l, struct msg *m, int ms);
void expect(struct link *l, struct msg *m, enum msg_type type);
/* The same when only its id matters. */
int64_t expect_id(struct link *l, enum msg_type type);
void expect_nothing(struct link *l, int ms);

/*
 * Start spec as nobody if we are root, its first link to us as its parent, and
 * wait until it is ready. Returns its pid.
 */
pid_t
role_spawn(const char *daemon, struct proc_spec *spec, struct link *parent);
/* It ends by itself within ms: with which exit status? *pid is -1 then. */
int role_status(pid_t *pid, int ms);
/* Kill it if it is there; *pid is -1 then. */
void role_kill(pid_t *pid);

/* main of the test's program when it was called with words. */
int role_main(const char *daemon, int argc, char **argv,
    void (*main_)(const struct proc_self *self));

#endif
