/* cluster: this node's part in its cluster, put together: certificates, the datagram desk, the door for other nodes on every loop,
 * parents, members, purges.
 *
 * One port number (listen.cluster) for both: UDP, on the first loop, which is the cluster loop; TCP, on every loop. Where a node comes
 * in is decided by what its handshake has agreed to (nodetls.h): the peer door, or, at a parent, serve/'s door for children.
 *
 * Called on the first loop's thread, or before the loops run, unless said. */
#ifndef NODE_CLUSTER_CLUSTER_H
#define NODE_CLUSTER_CLUSTER_H

#include "node/cache/index.h"
#include "node/cluster/matrix.h"
#include "node/conf/conf.h"
#include "node/fetch/flight.h"
#include "node/serve/server.h"
#include "proto/purgerec.h"

struct cluster;
struct dns;
struct peer_news;
struct pool;

struct cluster_settings {
	const struct conf *conf;
	struct index *index;
	struct disk *disk; /* NULL: none */
	struct orders *orders;
	struct peer_news *news;
	struct log *log;
	struct accesslog *accesslog;
	struct loop *loop; /* of the first lane */
	struct dns *dns;
	struct pool *pool;
};

/* NULL with a sentence in why: a certificate that does not fit, a port that is taken. Blocks on the disk. */
struct cluster *cluster_open(const struct cluster_settings *, char *why, size_t why_bytes);
/* What flights of this lane need. Each lane once, in order. Opened doors accept from the loop's first turn on. NULL with a sentence. */
const struct fetch_cluster *cluster_add_lane(struct cluster *, struct loop *, struct dns *, struct server *, char *why,
					     size_t why_bytes);
/* Members and secrets of a new policy, and the certificate files anew. What is wrong with these is said, and the old ones stay. */
void cluster_reload(struct cluster *, struct policy *);
/* Says BYE; the doors take no new requests. */
void cluster_drain(struct cluster *);
/* The same for another process that takes this node's place: what it needs is free. */
void cluster_let_go(struct cluster *);
/* The loops do not run any more, but are there; flights have ended. Harmless on NULL inside; clears *c. */
void cluster_close(struct cluster **c);

/* peersjson.h. */
void cluster_put_peers(struct cluster *, struct buf *json);
/* metricstext.h; at least METRICSTEXT_CLUSTER_MAX. */
void cluster_put_metrics(struct cluster *, struct buf *text);
size_t cluster_members(const struct cluster *); /* others, whatever their state */
/* All nodes' (matrix.h). */
struct matrix *cluster_matrix(struct cluster *, matrix_on_done_f *, void *cookie);
/* For explain.h. */
struct peer_desk *cluster_desk(struct cluster *);
struct parent_set *cluster_parents(struct cluster *);
struct metrics;
/* Takes what the desk counts into the first lane's row. */
void cluster_set_metrics(const struct cluster *, struct metrics *);

/* A purge for the whole cluster, from the control socket. How many went here; -1 with a sentence in why. */
long cluster_purge(struct cluster *, enum purgerec_kind, struct span value, const char **why);

#endif
