/* members: who is in the cluster, as this node knows it.
 *
 * Three sources, put together: the configuration (cluster.siblings, cluster.parents), the list that parents give out (cluster.learn:
 * asked every 5 s of one parent after another, which thereby learn of us), and DNS (cluster.discover: the SRV records of one name; the
 * first label of a target is the node's name). Names of hosts are resolved again once a minute. The list learned last is kept in a file,
 * so that a node that starts while its parents are away still finds its siblings.
 *
 * A parent adds who has asked it for its list.
 *
 * What comes out is given to the peer_set (all others), to the parent_set (those whose role is parent), and on
 * a parent to the set of its fellows (the other parents that the configuration names beside it). A change in membership moves
 * keys between homes and parents, so a source that fails leaves what it said last in force.
 *
 * Lives on the cluster loop. */
#ifndef NODE_CLUSTER_MEMBERS_H
#define NODE_CLUSTER_MEMBERS_H

#include "node/base/log.h"
#include "node/net/dns.h"
#include "node/policy/policy.h"
#include "node/tls/nodetls.h"
#include "parent/parent_children.h"
#include "parent/parent_set.h"
#include "peer/peer_desk.h"

struct members;
struct pool;

struct members_settings {
	struct loop *loop;
	struct dns *dns;
	struct pool *pool;
	struct peer_desk *desk;
	struct parent_set *parents;
	struct parent_set *fellows;       /* of a parent: the others of its tier, which it does not go through */
	struct parent_children *children; /* of a parent: those that are configured are fixed there; NULL on an edge */
	struct nodetls *tls;              /* shared */
	struct policy *policy;            /* shared */
	struct log *log;
	const char *path; /* the list learned last; copied */
	const char *node; /* this one's name */
	struct addr own;  /* its cluster port; told to parents */
	uint16_t zone;
};

struct members *members_new(const struct members_settings *);
/* After a reload. */
void members_set(struct members *, struct policy *, struct nodetls *);
void members_free(struct members *); /* harmless on NULL */

#endif
