/* vary: which requests a stored answer fits (RFC 9110 §12.5.5, RFC 9111 §4.1).
 *
 * The values that select are compared in a normal form, so that clients that want the same get the same copy:
 *   Accept-Encoding  the set of gzip, deflate, br, zstd and identity that is acceptable (q=0 honoured, x-gzip = gzip,
 *                    "*" understood), in fixed order; when other codings are named too, as Accept below;
 *   Accept           lower case, no white space, order kept;
 *   all others       as sent, several fields joined with ','.
 * A field that is absent differs from an empty one. */
#ifndef PROTO_VARY_H
#define PROTO_VARY_H

#include <stdbool.h>

#include "node/base/hash.h"
#include "node/base/span.h"
#include "proto/hdr.h"

#define VARY_MAX_NAMES 16
#define VARY_TEXT_BYTES 1024 /* longest vary_format; a Vary that would need more counts as "*" */

struct vary {
	bool star;  /* "*", a name that is no token, or more than VARY_MAX_NAMES: fits no other request, n is 0 then */
	unsigned n; /* 0 and !star: the answer does not vary */
	struct {
		struct span name; /* borrowed, in any case; sorted in lower case, each once */
		enum hdr_id id;
	} v[VARY_MAX_NAMES];
};

/* All Vary fields of a response. */
void vary_read(const struct hdrs *response, struct vary *out);

/* "accept,accept-encoding"; "*"; "" when it does not vary. vary_parse reads it back (and, since it was stored, any
 * text). */
void vary_format(const struct vary *, struct buf *);
void vary_parse(struct span text, struct vary *out);

/* The normal form of one request field; false when the request does not have it. b->full when it did not fit. */
bool vary_value(const struct hdrs *request, struct span name, struct buf *b);

/* Feeds names and normal values into h, each name with its value, so that no two requests that differ feed the same
 * bytes. Nothing for a Vary without names; "*" is never given here: our own bug. */
void vary_hash(const struct vary *, const struct hdrs *request, struct sha256 *h);

#endif
