/* link: a connection to an origin that may carry one exchange after another. */
#ifndef NODE_LINK_LINK_H
#define NODE_LINK_LINK_H

#include <stdbool.h>
#include <sys/queue.h>

#include "node/base/clock.h"
#include "node/net/stream.h"

struct pool;

struct link {
	unsigned magic;
	struct stream *stream;
	char *origin;  /* what it may be used for again: scheme, host, port, address and TLS policy (pool.h) */
	unsigned used; /* exchanges begun on it */
	char peer[ADDR_TEXT_BYTES]; /* for the log */

	/* the pool's, while it is idle there */
	struct pool *pool;
	TAILQ_ENTRY(link) by_age;
	LIST_ENTRY(link) of_origin;
	mono_us idle_since;
};

#define LINK_MAGIC 0x11e4c0de

/* Takes the stream. `origin` is copied. */
struct link *link_new(struct stream **, const char *origin);
/* Clears *l; NULL inside is harmless. */
void link_close(struct link **l, enum stream_end);

#endif
