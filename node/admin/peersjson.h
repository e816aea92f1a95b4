/* peersjson: what this node knows of the other nodes, as one JSON object: for `pmcachectl peers`, /peers.json, and the matrix that is
 * put together from all nodes' objects.
 *
 *     {"node":"edge1","cluster":"integration","role":"edge","lookup":"all","isolated":false,"members_hash":"…","purge_serial":0,
 *      "certificate_not_after":"…","udp_dropped":0,"audits":{"asked":3,"found":0,"false_miss_ratio":0.0000},
 *      "strangers":{"malformed":0,…},
 *      "parents":[{"name":"parent1","address":"parent1.test:8083","state":"up","requests":…,"hits":…,"joins":…,"misses":…,
 *        "passes":…,"failures":…,"connect_failures":…,"retries":…,"hedged":…,"cancelled":…,"in_hand":…,"load":…,
 *        "bytes_in":…,"ttfb_us":{"p50":…,"p95":…},"hit_ratio":…}],
 *      "fellows":[as parents],
 *      "peers":[{"name":"edge2","role":"edge","address":"192.0.2.12:8083","state":"up","since_s":12,"boot":"…","load":0,"objects":17,
 *        "asked":{"queries":1,"keys":2,"hit":1,…,"timeouts":0,"late":0,"errors":0},
 *        "answered":{"queries":…,"keys":…,"hit":…},"dropped":{"auth":0,…},
 *        "fetches":1,"fetched":1,"hedged":0,"cancelled":0,"false_hits":{"gone":0,…},"bytes_in":…,"bytes_out":…,"served":…,"announced":…,
 *        "streams_in":…,"streams_out":…,"state_changes":…,
 *        "rtt_us":{"p50":…,"p90":…,"p99":…},"ttfb_us":{…},"wait_us":…,"loss":0.0010,
 *        "hit_ratio":0.5000,"usefulness":1.0000,"coverage":1.0000}],
 *      "cut":false}
 *
 * address of a peer that is not resolved yet: null; boot of one never heard, load of a parent that said none: null
 * announced    keys that the peer, as their home, has been told again that they are here
 * audits       misses that a parent served, asked once more of all members (one in a thousand); found: by somebody who had it
 * hit_ratio    (hits + pending) of the keys that the peer answered; of a parent (hits + joins) of its requests
 * usefulness   bodies had of bodies asked for;  coverage  keys answered in time of keys answered or given up
 *              all three: null before the first
 * fellows      of a parent: the others of its tier, which it asks only for what they have, when one of them was full (Pmc-Home)
 * hedged       it was late, and another was asked besides;  cancelled  given up before the end: for a faster one, or nobody wanted it any more
 * strangers    datagrams from nobody we know, by why they were dropped
 * cut          peers that did not fit were left out */
#ifndef NODE_ADMIN_PEERSJSON_H
#define NODE_ADMIN_PEERSJSON_H

#include "parent/parent_set.h"
#include "peer/peer_set.h"

#define PEERSJSON_LEAST ((size_t)384 * 1024) /* room for all but the peers, whatever their names */
#define PEERSJSON_MOST                                                                                                 \
	((size_t)8 * 1024 * 1024) /* room for as many peers as there may be, with names and counts of usual length */

struct peersjson_facts {
	const char *node, *cluster;
	bool is_parent;
	mono_us now;
	uint64_t udp_dropped, purge_serial;
	wall_ms certificate_not_after;
};

/* The object and a line's end, into a buffer with at least PEERSJSON_LEAST of room: always whole. On the set's thread. */
void peersjson_put(struct buf *, const struct peersjson_facts *, struct peer_set *, struct parent_set *parents,
		   struct parent_set *fellows);

#endif
