/* validator: entity tags, and what a conditional request wants (RFC 9110 §8.8, §13). */
#ifndef PROTO_VALIDATOR_H
#define PROTO_VALIDATOR_H

#include <stdbool.h>

#include "node/base/clock.h"
#include "node/base/span.h"
#include "proto/hdr.h"
#include "proto/http1_parse.h"

struct etag {
	struct span opaque; /* with its quotes; n == 0: none */
	bool weak;
};

/* 0, or -1 when it is no entity tag (unquoted ones are none). */
int validator_etag(struct span value, struct etag *out);
bool validator_same_strong(const struct etag *, const struct etag *);
bool validator_same_weak(const struct etag *, const struct etag *);

/* The representation that would be sent. All borrowed. */
struct entity {
	struct etag etag;
	wall_ms last_modified; /* HTTPDATE_NONE: not given */
	wall_ms date;          /* when the origin made the answer; HTTPDATE_NONE: not given */
};

/* ETag, Last-Modified and Date of a response head; what is malformed is not there. `now` as in httpdate_parse. */
void validator_entity(const struct hdrs *response, wall_ms now, struct entity *out);

enum precond {
	PRECOND_OK,           /* no condition, or true: send the representation (or the range, see below) */
	PRECOND_NOT_MODIFIED, /* 304; GET and HEAD only */
	PRECOND_FAILED,       /* 412 */
};

/* The conditions of a request in the order of §13.2.2: If-Match, else If-Unmodified-Since; If-None-Match, else
 * If-Modified-Since (GET and HEAD). If-Match compares strongly, If-None-Match weakly. Without Last-Modified the date of
 * the answer stands in for If-Modified-Since and If-Unmodified-Since (RFC 9111 §4.3.2). A date that is none is
 * ignored. */
enum precond validator_check(const struct hdrs *request, enum http1_method, const struct entity *, wall_ms now);

/* After PRECOND_OK, for a request with Range: does it apply (§13.1.5)? True without If-Range; with one only if the tag
 * is the same strongly, or the date is exactly Last-Modified and that is strong (at least a second older than Date). */
bool validator_range_applies(const struct hdrs *request, const struct entity *, wall_ms now);

/* Is there anything that validator_check looks at? */
bool validator_is_conditional(const struct hdrs *request);

#endif
