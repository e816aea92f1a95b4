/* stored_head: the head that is kept beside a body, made from what the origin sent.
 *
 * Kept are the end-to-end fields (RFC 9110 §7.6.1, RFC 9111 §3.1), formatted and ready to be sent, without those that are told anew
 * with each answer: Content-Length, Age, X-Cache, X-Cache-Lookup. A missing Date is added. */
#ifndef NODE_FETCH_STORED_HEAD_H
#define NODE_FETCH_STORED_HEAD_H

#include "node/cache/entry.h"
#include "proto/fresh.h"
#include "proto/http1_parse.h"

/* One reference for the caller. `stored`: it will be kept for others, so Set-Cookie is left out. `digest_room`: for the body's digest, which
 * other nodes are told (head_set_digest). */
struct head *stored_head_make(const struct http1_response *, const struct fresh_response *facts, struct span store_id,
			      bool stored, bool digest_room, mono_us received, wall_ms received_wall);

/* A 304 for `old`: a new head over the same body, with the fields that the 304 brought (RFC 9111 §3.2) and the terms made from
 * both. Vary and the facts about the body stay. *allowed: whether, by what it says now, it may still be stored for answers to such
 * a request. */
struct head *stored_head_freshen(const struct head *old, const struct fresh_request *,
				 const struct http1_response *not_modified, const struct path_facts *,
				 wall_ms request_time, mono_us received, wall_ms received_wall,
				 enum fresh_store *allowed);

#endif
