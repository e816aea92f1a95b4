/* storeid: the normal form of a URL, under which its answer is stored.
 *
 * Two spellings of one resource give the same store-id, on every node of a cluster. The vectors in
 * tests/unit/proto/storeid_vectors.txt (URL, TAB, store-id) are for other implementations too.
 *
 *   - Scheme and host in lower case, default port dropped, an IPv6 address in its canonical text, no userinfo.
 *   - Path: percent-encoded unreserved characters (RFC 3986 §2.3) decoded, other triplets in upper case, "%2B" = "+"
 *     (apt writes one, others the other), then dot segments removed (§5.2.4). A path with a "%" that begins no triplet
 *     is left alone.
 *   - "%2F" stays, but for scoped npm names: a segment "@scope%2fname" or "%40scope%2fname" becomes "@scope/name".
 *   - Query as it is, but for the parameters of signed storage, and those only when the path names a content digest
 *     (64, 96 or 128 hex digits in one piece, or PyPI's 2/2/60): then all X-Amz-* when there is an X-Amz-Signature, all
 *     X-Goog-* with X-Goog-Signature, the SAS parameters with sig and se, AWSAccessKeyId, GoogleAccessId, Key-Pair-Id
 *     and Policy with Signature and Expires, jwt, and token with expires. 40 digits do not count: they are often a
 *     commit of a private repository, and the token in the query is what guards it.
 *
 * The request goes to the origin as the client spelled it; only the key and the class come from here. */
#ifndef PROTO_STOREID_H
#define PROTO_STOREID_H

#include <stdbool.h>

#include "node/base/span.h"
#include "proto/url.h"

struct storeid {
	struct span text;  /* "https://host/path?query"; all three borrow from the buf */
	struct span path;  /* in normal form, starts with '/': what pathclass.h reads */
	struct span query; /* p == NULL: none */
	bool signature_dropped;
};

/* A store-id is never longer than this for a URL whose host and path_query have `n` bytes together. */
#define STOREID_BYTES(n) ((n) + 64)

/* Writes the store-id behind what b holds. b->full when there is no room for STOREID_BYTES; *out is unset then. The URL
 * must be whole (made by url_parse_absolute or url_parse_origin). */
void storeid_format(struct buf *b, const struct url *url, struct storeid *out);

#endif
