/* matrix: what all nodes of the cluster have seen of each other: every node's peersjson object, in one array.
 *
 * Each member is asked over its peer door, 8 at a time, 5 s each. One that does not answer is {"node":"edge3","error":"…"}. This node's
 * own object is the first. Lives on the cluster loop. */
#ifndef NODE_CLUSTER_MATRIX_H
#define NODE_CLUSTER_MATRIX_H

#include "node/link/nodecall.h"
#include "peer/peer_set.h"

struct matrix;

struct matrix_ground {
	struct loop *loop;
	struct dns *dns;
	struct pool *pool;
	struct nodetls *tls; /* shared */
	struct peer_set *set;
};

/* The array is borrowed. */
typedef void matrix_on_done_f(void *cookie, struct span json);

/* `own`: this node's object. Never calls back from inside. */
struct matrix *matrix_start(const struct matrix_ground *, struct span own, matrix_on_done_f *, void *cookie);
/* In silence; clears *m; harmless on NULL inside. */
void matrix_cancel(struct matrix **m);

#endif
