/* successor: the process that takes this one's place, started by this one: for a new version of the program, while clients download.
 *
 *     the old process                        the new process
 *     successor_start                        reads its configuration; a fault ends it here, and nothing has happened
 *     SUCCESSOR_WANTS_STATE          <---    predecessor_ask
 *     lets lock, store, sockets by path go
 *     successor_give                 --->    opens them, takes over the listening sockets
 *     SUCCESSOR_SERVES               <---    predecessor_tell
 *     finishes what it has begun, and ends
 *
 * Listening sockets are open in both all the time, so nobody is refused. They are inherited as from a service manager (service.h): with
 * LISTEN_FDS and names. A pair of connected sockets carries one byte for each word above; when it breaks, the other one is dead.
 *
 * All of this happens on the main thread, which may block. */
#ifndef NODE_SUCCESSOR_H
#define NODE_SUCCESSOR_H

#include <stddef.h>
#include <sys/types.h>

#include "node/base/clock.h"

struct successor;

enum successor_word {
	SUCCESSOR_QUIET,       /* not yet */
	SUCCESSOR_WANTS_STATE, /* once */
	SUCCESSOR_SERVES,      /* the last word of one that went well */
	SUCCESSOR_DEAD,        /* it has ended, and said why on standard error */
};

/* Starts argv (argv[0] is looked for in PATH when it has no slash) with a copy of each listening TCP socket of this process. NULL with a
 * sentence in why. */
struct successor *successor_start(char *const argv[], char *why, size_t why_bytes);
pid_t successor_pid(const struct successor *);
/* Waits so long at most. */
enum successor_word successor_hear(struct successor *, dur_ms wait);
void successor_give(struct successor *);
/* The process lives on. Clears *s. */
void successor_free(struct successor **s);
/* The process does not. Clears *s. */
void successor_kill(struct successor **s);

/* The other side, in a process that was started so; without a predecessor these do nothing. */

/* Blocks until the state is there to be taken, at most PREDECESSOR_PATIENCE. -1: it does not come. */
int predecessor_ask(void);
void predecessor_tell(void);

#define PREDECESSOR_PATIENCE (60 * DUR_SECOND)

#endif
