/* errands: what is asked on the control socket and done by other threads: the main thread reads the configuration again or starts a successor, the
 * log's thread rotates. Who has asked waits here.
 *
 * reload  the main thread is sent SIGHUP, as by anybody else. What it then reads is the answer for all who had asked before it began; who
 *         asks while it reads is answered by the next reload, since the file may have changed in between:
 *             {"in_force":true,"faults":[],"waits_for_restart":["listen.proxy"]}
 *             {"in_force":false,"faults":["edge.yaml:12: …"],"waits_for_restart":[]}
 * rotate  {"file":"/var/log/pmcache/access.log"}; an error when there is none, or when it could not be renamed or opened. Two who ask
 *         rotate twice.
 * upgrade the main thread is sent SIGUSR2, as by anybody else: {} when another process has the state. One at a time.
 *
 * On the control socket's loop, but for the functions of the main thread. */
#ifndef NODE_ADMIN_ERRANDS_H
#define NODE_ADMIN_ERRANDS_H

#include <stdbool.h>

#include "node/admin/control.h"
#include "node/net/loop.h"
#include "node/record/accesslog.h"

struct errands;

struct errands *errands_new(struct loop *);
/* When neither the loop nor the log runs any more. Harmless on NULL. */
void errands_free(struct errands *);

void errands_reload(struct errands *, struct control_reply *);
/* `path`: as it is to be called. */
void errands_rotate(struct errands *, struct accesslog *, const char *path, struct control_reply *);
void errands_upgrade(struct errands *, struct control_reply *);
/* Another process has the state. */
void errands_upgraded(struct errands *);
/* All who wait are told this. */
void errands_fail(struct errands *, const char *why);

/* ---- the main thread ---- */

#define ERRANDS_FAULTS_BYTES 8192
#define ERRANDS_WAITING_BYTES 1024

struct errands_reloaded {
	bool in_force;
	char faults[ERRANDS_FAULTS_BYTES];   /* one a line, as conf_load has them */
	char waiting[ERRANDS_WAITING_BYTES]; /* keys, as conf_reload_differs has them */
};

void errands_reload_begins(struct errands *);
void errands_reload_ended(struct errands *, const struct errands_reloaded *);

void errands_upgrade_failed(struct errands *, const char *why);

#endif
