/* key: under which a response is kept.
 *
 * The primary key is SHA-256 over salt, method class and store-id (proto/storeid.h), each with its length before it. GET and HEAD
 * share a class: a HEAD is answered from what a GET stored; nothing else is ever looked up. The variant tells apart responses
 * that were selected by request fields (RFC 9111 §4.1): a hash over the names in Vary and the request's values. */
#ifndef NODE_CACHE_KEY_H
#define NODE_CACHE_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "node/base/span.h"
#include "proto/hdr.h"
#include "proto/vary.h"

#define KEY_BYTES 32
#define KEY_VARIANT_BYTES 16
#define KEY_CREDENTIAL_BYTES 16

struct key {
	uint8_t b[KEY_BYTES];
};

struct key_variant {
	uint8_t b[KEY_VARIANT_BYTES]; /* all zero: does not vary */
};

/* Who asks: a keyed hash of Authorization (and of userinfo). All zero: nobody in particular. */
struct key_credential {
	uint8_t b[KEY_CREDENTIAL_BYTES];
};

void key_make(struct key *, struct span salt, struct span store_id);
void key_variant(struct key_variant *, const struct vary *, const struct hdrs *request);
/* `secret` is random per process, so that what is kept in memory cannot be tried against guessed passwords elsewhere. */
void key_credential(struct key_credential *, const uint8_t secret[32], struct span authorization, struct span userinfo);

static inline bool key_same(const struct key *a, const struct key *b)
{
	return memcmp(a->b, b->b, KEY_BYTES) == 0;
}

static inline bool key_variant_same(const struct key_variant *a, const struct key_variant *b)
{
	return memcmp(a->b, b->b, KEY_VARIANT_BYTES) == 0;
}

static inline bool key_credential_same(const struct key_credential *a, const struct key_credential *b)
{
	return memcmp(a->b, b->b, KEY_CREDENTIAL_BYTES) == 0;
}

static inline bool key_credential_is_nobody(const struct key_credential *c)
{
	static const struct key_credential nobody;

	return key_credential_same(c, &nobody);
}

/* Salted and uniform already: its first bytes are hash enough for a table. */
static inline uint64_t key_hash(const struct key *k)
{
	uint64_t h;

	memcpy(&h, k->b, sizeof(h));
	return h;
}

#endif
