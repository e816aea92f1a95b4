/* hosttally: who was asked for what: per origin host and per class, what clients got and from where, and how long the origins took.
 *
 *     "hosts":[{"host":"registry.test","requests":9,"hits":5,"sibling":1,"parent":0,"misses":2,"bypasses":0,"failures":1,
 *       "client_bytes":9000,"cache_bytes":5000,"upstream_requests":2,"upstream_failures":0,"upstream_bytes":2000,
 *       "first_byte_us":{"p50":6144,"p90":12288}}, …],
 *     "other_hosts":{"requests":…, … ,"upstream_bytes":…},
 *     "classes":[{"class":"immutable","ecosystem":"npm","requests":…, … ,"cache_bytes":…}, …]
 *
 * host            in lower case, with its port unless that is the scheme's own
 * requests        of clients, and of the nodes that ask this one as their parent; the sum of the six after it, as tally.h has them:
 * hits            memory, disk, joined, stale, revalidated;  misses  fetched from the origin, here or by a parent
 * failures        denied or failed
 * client_bytes    of answers, heads included;  cache_bytes  body bytes of these that came from the cache
 * upstream_*      requests of this node to the origin, those that failed, body bytes received
 * first_byte_us   from the request's going out on a connection to the head of the answer; null before the first
 * other_hosts     the sum of all hosts that are not listed: nothing is lost from the whole
 *
 * Most requests first, HOSTTALLY_SHOWN of them. Each loop keeps HOSTTALLY_MOST: who has been asked for least, of late, makes room, and is added
 * to the others. A host comes in with its first answer: names that lead nowhere take nobody's place. And of many names that each answer
 * once (a wildcard in the DNS of somebody hostile) one makes room for the next, while hosts in use stay.
 *
 * A row per loop, which only that loop adds to: no lock. The lock of a row is for its names: taken when a host comes in or goes, and by
 * who reads. */
#ifndef NODE_RECORD_HOSTTALLY_H
#define NODE_RECORD_HOSTTALLY_H

#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"
#include "proto/pathclass.h"
#include "proto/url.h"

struct hosttally;

#define HOSTTALLY_MOST 128
#define HOSTTALLY_SHOWN 64
#define HOSTTALLY_JSON_MAX ((size_t)256 * 1024) /* room for all of it, whatever the names and counts */

/* What becomes of a request. */
enum hosttally_how {
	HOSTTALLY_HIT,
	HOSTTALLY_SIBLING,
	HOSTTALLY_PARENT,
	HOSTTALLY_MISS,
	HOSTTALLY_BYPASS,
	HOSTTALLY_FAILURE
};

struct hosttally_answer {
	const struct url *url; /* with a host */
	enum pathclass class;
	enum ecosystem ecosystem;
	enum hosttally_how how;
	uint64_t client_bytes, cache_bytes;
};

struct hosttally *hosttally_new(void);
void hosttally_free(struct hosttally *); /* harmless on NULL */

/* The loop's own thread: all four; NULL: nothing is counted. */
void hosttally_answered(struct hosttally *, const struct hosttally_answer *);
/* The origin's head has come. */
void hosttally_heard(struct hosttally *, const struct url *, int64_t first_byte_us);
void hosttally_failed(struct hosttally *, const struct url *);
void hosttally_received(struct hosttally *, const struct url *, uint64_t body_bytes);

/* The three members as above, without braces around. Sums the rows of all loops. Any thread. */
void hosttally_put_json(struct buf *, struct hosttally *const *rows, size_t n);

#endif
