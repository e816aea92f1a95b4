/* purgerec: one purge for the whole cluster, as it is signed, sent and kept.
 *
 * msgpack array: [1, serial u64, at u64 (ms since 1970), kind u8, value str, signature bin64], with fixed widths, so that each record has
 * one encoding only. The signature (Ed25519) is over the bytes before its element, after the prefix "pmcache purge 1\n" and the name
 * of the cluster and a line's end, so that one made for another cluster or another purpose fits nowhere. PROTOCOL.md has the offsets.
 * Pure; who signs and checks is the caller (node/tls/sign.h). */
#ifndef PROTO_PURGEREC_H
#define PROTO_PURGEREC_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"

#define PURGEREC_SIGNATURE_BYTES 64
#define PURGEREC_VALUE_BYTES 900
#define PURGEREC_MAX_BYTES 1024
#define PURGEREC_DIGEST_BYTES 32
#define PURGEREC_DIGEST_TEXT (sizeof("sha256:") - 1 + 2 * PURGEREC_DIGEST_BYTES)

enum purgerec_kind {
	PURGEREC_URL = 1,    /* one URL, all variants; value: its store-id */
	PURGEREC_PREFIX = 2, /* "https://host/path/" and all that begins so; ends anywhere behind the host's slash */
	PURGEREC_HOST = 3,   /* "host" */
	PURGEREC_ALL = 4,    /* value empty */
	PURGEREC_CLASS = 5,  /* "immutable", "mutable" or "negative": what a stored response turned out to be */
	PURGEREC_DIGEST = 6, /* "sha256:" and 64 lower-case hex digits, of the body as it is stored */
	PURGEREC_DENY = 7,   /* the same value: purged, and not taken again from anybody */
	PURGEREC_ALLOW = 8,  /* the same value: taken again */
};

/* Added to one of the first six: what is stored stays, but counts as stale. On the wire it is a bit of the kind. */
#define PURGEREC_SOFT 0x10

static inline enum purgerec_kind purgerec_base(enum purgerec_kind kind)
{
	return (enum purgerec_kind)((unsigned)kind & ~(unsigned)PURGEREC_SOFT);
}

static inline bool purgerec_is_soft(enum purgerec_kind kind)
{
	return ((unsigned)kind & PURGEREC_SOFT) != 0;
}

struct purgerec {
	uint64_t serial; /* grows with each purge of a cluster: the time in ms, or one more than the last known */
	int64_t at;      /* wall_ms */
	enum purgerec_kind kind;
	struct span value; /* borrowed */
	uint8_t signature[PURGEREC_SIGNATURE_BYTES];
};

/* May this kind have this value? URL, PREFIX: http or https, a host and a slash; HOST: no slash; ALL: nothing; CLASS: one of
 * the three words; DIGEST, DENY, ALLOW: see there. At most PURGEREC_VALUE_BYTES of printable ASCII without space. */
bool purgerec_fits(enum purgerec_kind, struct span value);
/* For people: "soft purge of a host", "denial of a digest". */
const char *purgerec_word(enum purgerec_kind);
/* The 32 bytes that such a value stands for. False: it is none. */
bool purgerec_digest(struct span value, uint8_t out[PURGEREC_DIGEST_BYTES]);

/* Of records that fit, with a serial above 0 and a time that is not negative. What is to be signed: written to b. */
void purgerec_put_signed(struct buf *b, struct span cluster, const struct purgerec *);
void purgerec_format(struct buf *b, const struct purgerec *);
/* Exactly one record (that fits) and nothing behind it; value borrows from bytes. False: not a record. */
bool purgerec_parse(struct span bytes, struct purgerec *out);

#endif
