/* overview: the matrix (matrix.h) for onlookers, who are many and ask again and again.
 *
 *     {"age_s":3,"every_s":10,"too_many":false,"nodes":[…]}
 *
 * Who asks gets what was found last, at once; when that is older than OVERVIEW_EVERY the cluster is asked anew, in the background, for the next
 * who comes. So other nodes are asked once in that time at the most, and not at all while nobody looks. age_s null: nothing has been found
 * yet, ask again. Every node tells of every other: with more than OVERVIEW_NODES of them it is too much for a page (too_many), and they are
 * not asked.
 *
 * On the cluster loop. */
#ifndef NODE_CLUSTER_OVERVIEW_H
#define NODE_CLUSTER_OVERVIEW_H

#include "node/cluster/cluster.h"

#define OVERVIEW_EVERY (10 * DUR_SECOND)
#define OVERVIEW_NODES 32
#define OVERVIEW_MOST ((size_t)4 * 1024 * 1024) /* of the nodes' bytes; more is too many, too */

struct overview;

struct overview *overview_new(struct loop *);
/* Before the cluster goes. Harmless on NULL. */
void overview_free(struct overview *);

/* For the caller to free. */
char *overview_json(struct overview *, struct cluster *, size_t *bytes);

#endif
