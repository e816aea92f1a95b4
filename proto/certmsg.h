/* certmsg: what an origin's certificate says, as a parent tells it to an edge (PROTOCOL.md 5.3): a msgpack map with integer keys.
 *
 * The reader walks the bytes before msgpack-c sees them, as peermsg does. Forward compatibility as there: an unknown key below 64 is skipped,
 * one of 64 and above makes the message BAD; an unknown verdict is UNKNOWN; what does not come is zero or empty. Whether names are names
 * and the subject is one is for who uses them (node/tls/names.h).
 *
 * Pure; any thread. */
#ifndef PROTO_CERTMSG_H
#define PROTO_CERTMSG_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"

#define CERTMSG_MAX_BYTES 8192
#define CERTMSG_SANS 128
#define CERTMSG_NAME_BYTES 253
#define CERTMSG_SUBJECT_BYTES 1024
#define CERTMSG_WORD_BYTES 32

enum certmsg_verdict {
	CERTMSG_VALID = 0,
	CERTMSG_INVALID = 1, /* `reason` says why; no details */
	CERTMSG_UNKNOWN = 2, /* not reached, or not asked, for whatever reason */
};

struct certmsg {
	uint8_t verdict;
	unsigned n_sans;
	struct span sans[CERTMSG_SANS]; /* printable ASCII, 1 to 253 bytes each */
	uint64_t not_before, not_after; /* seconds since 1970 */
	uint8_t spki_sha256[32];
	struct span alpn;    /* what was agreed with the origin; empty: nothing */
	uint32_t ttl_s;      /* how long this may be remembered */
	struct span subject; /* DER; empty: none */
	struct span reason;  /* a word of reason.h */
};

/* Spans borrow from the bytes. False: malformed, or too long. */
bool certmsg_parse(struct span bytes, struct certmsg *out);
/* Sets b->full when there is no room; CERTMSG_MAX_BYTES are always enough for what certmsg_parse gives, and for whatever keeps these limits and
 * has no more than 4096 bytes of names. */
void certmsg_format(struct buf *b, const struct certmsg *);

#endif
