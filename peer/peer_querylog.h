/* peer_querylog: what other nodes ask of this one by datagram, in the access log.
 *
 * A line for each key that a member has asked for and that was answered, as Squid writes them for ICP (its log_icp_queries):
 *
 *     1700000000.123      0 10.0.0.2 UDP_HIT/000 94 ICP_QUERY https://files.test/a-1.tgz - HIER_NONE/- -
 *
 * the client being the member's address, the bytes the key's share of the answer. A question carries no URL: where something is here
 * (UDP_HIT) it is that of what is here, else "key:" and the 32 hex digits that were asked for.
 *
 *     UDP_HIT           here, or on its way here, and to be had (HIT, PENDING, STALE)
 *     UDP_MISS          not here (MISS, VARY, LOCATED, GRANT, INTENDED)
 *     UDP_MISS_NOFETCH  not to be had now (NOFETCH: starting or ending; BUSY)
 *     UDP_DENIED        not answered by rule (DENIED, or over the asker's rate)
 *     UDP_INVALID       sealed by a member, but not a question as the protocol has it; no URL, no bytes
 *
 * What strangers send has no lines: it is counted (peers --json), and said once a minute. Neither have AUDITs, which count nowhere.
 *
 * Volume: so many lines a second, as many as in ten seconds at once; each further one is counted. Writing is the access log's, on a thread of
 * its own; so nothing here blocks. Belongs to the cluster loop. */
#ifndef PEER_PEER_QUERYLOG_H
#define PEER_PEER_QUERYLOG_H

#include "node/cache/index.h"
#include "node/record/accesslog.h"
#include "peer/peer_set.h"

/* Embedded; all pointers borrowed. log NULL: nothing is written. */
struct peer_querylog {
	struct accesslog *log;
	struct index *index;
	unsigned a_second; /* 0: none, and none is counted as left out */
	mono_us at;        /* of the bucket; 0: full */
	double bucket;
	uint64_t left_out;
};

void peer_querylog_put(struct peer_querylog *, const struct peer_asked *, mono_us now, wall_ms wall);

#endif
