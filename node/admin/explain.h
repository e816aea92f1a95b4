/* explain: would a plain GET of this URL be answered from this node's cache; if not, why; and which other node has it?
 *
 *     {"url":"https://registry.test/a.tgz","key":"…","class":"immutable","here":{"state":"fresh","why":"immutable","age_s":3,"ttl_s":null,
 *      "size":1024,"on":"memory"},"would":"hit","siblings":[{"node":"edge2","has":"whole"}],"asked":3,"parent":"parent1"}
 *
 * here.state     fresh, stale, pending (somebody is fetching it), private (its answers cannot be shared), absent
 * would          hit, stale-hit, join, revalidate, fetch, bypass
 * ttl_s          null: good for ever
 * on             memory, or disk: there alone, and read from it when it is asked for; only of what is fresh or stale
 * siblings.has   whole, growing
 *
 * Asking is an audit: no counter moves, nobody fetches anything. Belongs to the cluster loop (the first loop of a node). */
#ifndef NODE_ADMIN_EXPLAIN_H
#define NODE_ADMIN_EXPLAIN_H

#include "node/cache/disk.h"
#include "node/policy/policy.h"
#include "parent/parent_set.h"
#include "peer/peer_desk.h"

struct explain;

struct explain_ground {
	struct loop *loop;
	struct index *index;
	struct disk *disk;     /* NULL: none */
	struct policy *policy; /* in force */
	struct span salt;
	struct peer_desk *desk; /* NULL: in no cluster, as is the next */
	struct parent_set *parents;
};

typedef void explain_on_done_f(void *cookie, struct span json);

/* NULL with a sentence in *why: not a URL. The callback comes once, never from inside; `json` is borrowed. */
struct explain *explain_start(const struct explain_ground *, struct span url, explain_on_done_f *, void *cookie,
			      const char **why);
/* In silence; clears *e; harmless on NULL inside. */
void explain_cancel(struct explain **e);

#endif
