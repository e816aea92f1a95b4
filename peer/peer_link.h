/* peer_link: what is said over TCP to a node about what it has itself (the door pmc-peer/1), as heads of HTTP messages.
 *
 *     GET /.pmc/v1/object/<64 hex digits of the key> HTTP/1.1
 *     Host: <node>
 *     Pmc-Url: https://registry.test/left-pad/-/left-pad-1.3.0.tgz    the store-id: the holder compares it
 *     Pmc-Order: 3        optional: only from a source of a smaller order than this
 *     Pmc-From: 65536     optional: without the first so many bytes
 *     Accept-Encoding: …  and all that the client sent, but credentials, conditions, ranges and what is hop-by-hop
 *
 * and the answer is the stored response: its status, its fields, Age, and
 *
 *     Pmc-Length: 1048576 the whole body's, if it is known
 *     Pmc-From: 65536     as asked
 *     Pmc-Order: 2        0 when the holder has the whole
 *     Pmc-Digest: <64 hex digits>    SHA-256 of the whole body: in the head, or, when the body is still coming, behind it as trailer
 *     Transfer-Encoding: chunked, so that an end is never mistaken for one
 *
 * or one of
 *
 *     404 gone   412 another variant   409 order too high   429 too many readers (Retry-After-Ms)   403 not for you   503 stopping
 *
 * with Pmc-Why, a word of peer_score.h, for the asker to count it by: gone, stale, vary or busy.
 *
 * While the holder itself waits for the head it sends 102 each second, for half a minute at the most. HEAD asks for the digest
 * alone (attestation): only of what is there whole. Pure. */
#ifndef PEER_PEER_LINK_H
#define PEER_PEER_LINK_H

#include "node/cache/key.h"
#include "peer/peer_score.h"
#include "proto/http1_parse.h"

#define PEER_LINK_HEAD_BYTES 2048 /* beside the client's own fields and the URL */
#define PEER_LINK_OBJECTS "/.pmc/v1/object/"

struct peer_link_ask {
	bool head_only; /* HEAD: the digest is wanted */
	struct key key;
	struct span node, store_id;
	uint64_t from;
	uint32_t order;                      /* 0: any */
	const struct http1_request *request; /* NULL: no fields of a client */
};

/* Of the client's fields those named Pmc-… stay behind too. */
void peer_link_format(struct buf *, const struct peer_link_ask *);

enum peer_link_verdict { PEER_LINK_OBJECT, PEER_LINK_REFUSED };

struct peer_link_reply {
	uint64_t from;
	bool has_length, has_digest;
	uint64_t length;
	uint32_t order;
	uint8_t digest[32];
	enum peer_false why; /* of REFUSED */
	uint32_t wait_ms;    /* BUSY */
};

/* An answer that does not fit the question (another place to begin, an order that was excluded, a length below it, no digest for
 * HEAD) is REFUSED, BAD. */
enum peer_link_verdict peer_link_read(const struct http1_response *, const struct peer_link_ask *,
				      struct peer_link_reply *);
/* Pmc-Digest among the trailers; false: none, or malformed. */
bool peer_link_digest(const struct hdrs *, uint8_t out[32]);

/* The other side's reading of a request for an object, GET or HEAD; store_id borrows. False: it is none. */
struct peer_link_request {
	struct key key;
	struct span store_id;
	uint64_t from;
	uint32_t order;
};
bool peer_link_parse(const struct http1_request *, struct peer_link_request *);

#endif
