/* hash: digests of all kinds, and the keyed one. The only door to libcrypto's hashes and to libb2.
 *
 * One-shot functions never fail. A running digest (`struct hash`) is for bodies that come in pieces. */
#ifndef NODE_BASE_HASH_H
#define NODE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"

#define SHA256_BYTES 32
#define HASH_MAX_BYTES 64

/* The weaker before the stronger. BLAKE2b (RFC 7693) with 32 bytes, without a key. */
enum hash_kind { HASH_MD5, HASH_SHA1, HASH_SHA256, HASH_SHA384, HASH_SHA512, HASH_BLAKE2B_256 };
#define HASH_KINDS (HASH_BLAKE2B_256 + 1)

size_t hash_bytes(enum hash_kind); /* how long its digest is */

/* A SHA-256 that is fed in pieces without touching the heap: small and quick, for cache keys. */
struct sha256 {
	_Alignas(8) unsigned char state[128];
};

void sha256_init(struct sha256 *);
void sha256_add(struct sha256 *, const void *bytes, size_t n);
void sha256_end(struct sha256 *, uint8_t out[SHA256_BYTES]);
void sha256_of(struct span s, uint8_t out[SHA256_BYTES]);

/* A running digest of any kind. */
struct hash;

struct hash *hash_new(enum hash_kind);
void hash_add(struct hash *, const void *bytes, size_t n);
size_t hash_end(struct hash *, uint8_t out[HASH_MAX_BYTES]); /* bytes written; the digest cannot be fed any more */
void hash_free(struct hash *);

/* HMAC-SHA-256. */
void hmac_sha256(const void *key, size_t key_bytes, struct span s, uint8_t out[SHA256_BYTES]);

/* Equal, in a time that does not tell where they differ. */
bool hash_same(const void *a, const void *b, size_t n);

/* Standard base64 with padding. Encode writes to b. Decode refuses anything that is not exactly canonical; returns
 * bytes written or -1. */
void base64_encode(struct span in, struct buf *b);
long base64_decode(struct span in, uint8_t *out, size_t cap);

#endif
