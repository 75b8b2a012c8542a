#ifndef DISPATCHD_ENGINE_H
#define DISPATCHD_ENGINE_H

/*
 * The engine process of dispatchd: the only one that has the socket of the
 * container engine. What it asks of the engine is made from its own template
 * and a few numbers; it never sees a prompt, an output or a secret.
 *
 * This part of the header is for everybody; the files of the process share
 * engine_internal.h, the pure ones engine_docker.h.
 */

#include "libcommon/proc.h"

/*
 * Links: PROC_FD_PARENT, and the queue at PROC_FD_FIRST. Does not return: it
 * leaves when the parent does.
 */
void engine_main(const struct proc_self *self) __attribute__((noreturn));

#endif
