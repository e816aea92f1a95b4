/* sessions: TLS sessions to be offered again, each under a name that says whom it is good for.
 *
 * The last one of each name is kept; at most SESSIONS_MOST names, beyond that the oldest goes. Not thread-safe: its owner has
 * the loop or a lock. */
#ifndef NODE_TLS_SESSIONS_H
#define NODE_TLS_SESSIONS_H

#include <sys/queue.h>

#include "node/base/map.h"
#include "node/base/span.h"

#define SESSIONS_MOST 4096

struct ssl_session_st;
struct kept_session;

/* Embedded in its owner. */
struct sessions {
	struct map by_name;
	TAILQ_HEAD(, kept_session) oldest; /* first */
};

void sessions_init(struct sessions *);
void sessions_clear(struct sessions *);
void sessions_fini(struct sessions *);

/* Borrowed; NULL: none. */
struct ssl_session_st *sessions_find(const struct sessions *, struct span name);
/* Takes the session; the name is copied. */
void sessions_keep(struct sessions *, struct span name, struct ssl_session_st *);

#endif
