/* parent_tunnel: a blind tunnel to an origin through a parent, for what an edge passes on without opening it (spliced hosts, the plain
 * proxy) and cannot or should not reach by itself.
 *
 * CONNECT over a link of its own to the parent that the host belongs to, else to the next in rank: at most two are asked. What the parent
 * says of the origin (dns, connect, denied …) is the answer; what is the parent's own fault sends us to the next. Belongs to its loop's
 * thread. */
#ifndef PARENT_PARENT_TUNNEL_H
#define PARENT_PARENT_TUNNEL_H

#include "node/base/reason.h"
#include "node/net/stream.h"
#include "parent/parent_set.h"

struct dns;
struct nodetls;
struct parent_tunnel;

struct parent_tunnel_ask {
	struct span host; /* without brackets; copied */
	uint16_t port;
	struct span cluster, self; /* of this node */
};

#define PARENT_TUNNEL_FIRST_BYTES (16 * 1024)

/* `s` is the callback's to take: bytes pass from here on, and `first` (borrowed) have come already. NULL: `why`, in more words `detail` (borrowed); PARENT_DOWN: no parent could be
 * asked. `parent`: who was asked last (borrowed, may be empty). */
typedef void parent_tunnel_on_done_f(void *cookie, struct stream *s, struct span first, enum reason why,
				     const char *detail, const char *parent);

/* Shares the nodetls. Never calls back from inside. */
struct parent_tunnel *parent_tunnel_start(struct loop *, struct dns *, struct nodetls *, struct parent_set *,
					  const struct parent_tunnel_ask *, parent_tunnel_on_done_f *, void *cookie);
/* In silence; clears *t; harmless on NULL inside. */
void parent_tunnel_cancel(struct parent_tunnel **t);

#endif
