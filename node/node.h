/* node: one running node: the parts, put together for its role, and what happens to them as a whole.
 *
 * The thread that calls these functions is none of the loops': it waits for signals, and does what would block a loop (reading
 * configuration, certificates and files). */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stdbool.h>
#include <stddef.h>

struct node;
struct conf;

#define NODE_WHY_BYTES 1024

/* Makes what is missing (state folder, CA), opens ports and logs, starts the loops. Takes the configuration. `run`: for people. NULL
 * with a sentence in why. */
struct node *node_start(struct conf *, bool run, char *why, size_t why_bytes);

/* Reads the configuration again (NULL: the defaults), all or nothing. False: it has faults, which are on standard error. Who has asked on
 * the control socket is told what came of it. */
bool node_reload(struct node *, const char *path);
void node_reopen_logs(struct node *);
/* Once a second or so: writes what the mint has learned, renews ticket keys. */
void node_tend(struct node *);

/* Have all loops come round since the last time this was asked? For a watchdog: ask again later if not. */
bool node_is_alive(struct node *);

/* pmcachectl upgrade makes the process send itself SIGUSR2, and waits: told why there is no successor, or answered by node_let_go. */
void node_upgrade_failed(struct node *, const char *why);
/* For another process that takes this one's place: lock, store on disk, control socket and datagrams are given up; requests are served as
 * before, without them. Blocks. */
void node_let_go(struct node *);
/* Ports close; requests that are on their way are finished. */
void node_drain(struct node *);
bool node_is_drained(const struct node *);
/* Cuts what is still there, ends the loops, writes out the logs, frees the node. */
void node_stop(struct node *);

#define NODE_DRAIN_SECONDS 30 /* after that, node_stop all the same */

#endif
