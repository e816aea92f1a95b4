/* parent_link: what an edge and a parent say to each other about a request, beside the request itself.
 *
 * The request goes in absolute-form over mutual TLS, with all end-to-end fields of the client, and
 *
 *     Pmc-Hop: integration 1 edge1      cluster, how many nodes it has come through, which ones: a node that finds itself there, or more
 *                                       than 3, answers 508
 *     Pmc-Home: parent1                 whose key it is, when another is asked because that one is full
 *     Pmc-Only: 1                       a hedge, or a parent asking its fellow: from cache, or from a fetch under way (102 at once and each
 *                                       second while its head is awaited), or not at all (504)
 *     Pmc-Refresh: 1                    an operator's: the origin is asked first, also about what is good for ever
 *
 * The answer carries
 *
 *     Pmc-Status: HIT | JOIN | MISS | PASS     where the parent had it from
 *     Pmc-Load: 0 to 255
 *     Pmc-Error: dns-no-name            a reason.h word: the parent made this answer, the origin did not. Most words speak about the origin
 *                                       (dns, connect, tls, cert, …), or about the request (malformed, denied, only-if-cached); a few about
 *                                       the parent: too-busy, shutting-down, no-memory, internal, loop, and any that is not known here
 *     Pmc-Digest: <64 hex digits>       SHA-256 of the whole body, when it is stored and complete (as in peer_link.h)
 *
 * Every field whose name begins with Pmc- is dropped from what clients send and from what goes to origins and clients (hdr_is_internal).
 * Pure. */
#ifndef PARENT_PARENT_LINK_H
#define PARENT_PARENT_LINK_H

#include "node/base/reason.h"
#include "parent/parent_set.h"
#include "proto/http1_parse.h"

#define PARENT_LINK_FIELD_BYTES 512
#define PARENT_LINK_MOST_HOPS 3

struct parent_link_ask {
	struct span cluster, self; /* this node */
	/* NULL, or the fields of a child's request (parent_link_check_hop has passed it) that this one comes from: its Pmc-Hop is
	 * continued. Not of a client's, whose Pmc-Hop means nothing. */
	const struct hdrs *came_with;
	struct span home; /* empty: none */
	bool only, refresh;
};

/* The Pmc- fields of a request, to be put among the others. */
void parent_link_put(struct buf *, const struct parent_link_ask *);

/* On the parent's side, of what came: REASON_NONE; REASON_LOOP: we are in it already, or it is too long, or of another cluster, or
 * malformed. None at all is a first hop. */
enum reason parent_link_check_hop(const struct hdrs *, struct span cluster, struct span self);
bool parent_link_is_only(const struct hdrs *);     /* Pmc-Only: 1 */
bool parent_link_is_refresh(const struct hdrs *);  /* Pmc-Refresh: 1 */
struct span parent_link_home(const struct hdrs *); /* Pmc-Home; empty: none, or no name */

struct parent_link_reply {
	enum parent_source source;
	int load;          /* -1: not said */
	enum reason error; /* REASON_NONE: none. An unknown word is REASON_BAD_RESPONSE */
	bool by_parent;    /* the error is the parent's own, not the origin's nor the request's */
	bool has_digest;
	uint8_t digest[32];
};

void parent_link_read(const struct http1_response *, struct parent_link_reply *);
/* On the parent's side. `load` as in Pmc-Load. */
void parent_link_put_reply(struct buf *, enum parent_source, int load, enum reason error, const uint8_t *digest);

#endif
