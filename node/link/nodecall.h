/* nodecall: one small question to another node's peer door (peer_door.h), its whole answer in memory.
 *
 * For what nodes tell each other of themselves: member lists, purge logs, figures. Belongs to its loop's thread. */
#ifndef NODE_CLUSTER_NODECALL_H
#define NODE_CLUSTER_NODECALL_H

#include "node/link/nodelink.h"

#define NODECALL_MOST_BYTES ((size_t)4 * 1024 * 1024)

struct nodecall;
struct pool;

struct nodecall_ask {
	struct span node, host; /* whom, and where; copied */
	uint16_t port;
	bool parent;        /* must be one */
	struct span path;   /* "/.pmc/v1/members" */
	struct span fields; /* further fields, each with CRLF; may be empty */
	dur_ms limit;       /* for all of it; 0: 10 s */
};

/* status 0: no answer, `body` is why, in words. Else the answer, `more`: it says that there is more (Pmc-More). All borrowed. */
typedef void nodecall_on_done_f(void *cookie, int status, struct span body, bool more);

/* Shares the nodetls. Never calls back from inside. */
struct nodecall *nodecall_start(struct loop *, struct dns *, struct pool *, struct nodetls *,
				const struct nodecall_ask *, nodecall_on_done_f *, void *cookie);
/* In silence; clears *c; harmless on NULL inside. */
void nodecall_cancel(struct nodecall **c);

#endif
