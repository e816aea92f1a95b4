/* integrity: what is promised about a body, and whether the body keeps it.
 *
 * Promises are looked for only in answers to GET with status 200, and come from
 *
 *   the path            a digest in it (pathclass.h)
 *   Repr-Digest         RFC 9530; and Content-Digest, which over a whole message is the same
 *   Digest              RFC 3230: sha-512, sha-256, sha, md5
 *   Content-MD5         RFC 1864
 *   X-Checksum-*        of Maven repositories: Sha512, Sha256, Sha1, Md5, in hex
 *   pacote-integrity    of npm's request: SRI, "sha512-<base64> sha1-<base64>"
 *
 * The fields of the response but X-Checksum-* speak of the bytes as they come, with their Content-Encoding; all others of the file
 * without it, and count only if there is none. Of one source the strongest algorithm counts; of several SRI digests of that
 * algorithm any may fit. What is malformed, or an algorithm that is not known, promises nothing.
 *
 * Pure: no loop, no clock. One body each; belongs to one thread. */
#ifndef NODE_FETCH_INTEGRITY_H
#define NODE_FETCH_INTEGRITY_H

#include "node/base/hash.h"
#include "node/base/metric.h"
#include "proto/http1_parse.h"
#include "proto/pathclass.h"

enum integrity_source {
	INTEGRITY_PATH,
	INTEGRITY_REPR_DIGEST,
	INTEGRITY_CONTENT_DIGEST,
	INTEGRITY_DIGEST,
	INTEGRITY_CONTENT_MD5,
	INTEGRITY_X_CHECKSUM,
	INTEGRITY_PACOTE, /* the request's word, not the origin's */
};

struct integrity_promise {
	enum integrity_source source;
	enum hash_kind kind;
	uint8_t digest[HASH_MAX_BYTES];
};

#define INTEGRITY_MOST_SRI 8 /* digests of one algorithm; a list with more promises nothing */
#define INTEGRITY_MOST (INTEGRITY_PACOTE + INTEGRITY_MOST_SRI)

struct integrity {
	struct sha256 running;           /* SHA-256 is always computed */
	struct hash *others[HASH_KINDS]; /* owns; those that are promised */
	unsigned n;
	struct integrity_promise v[INTEGRITY_MOST];
	uint8_t sha256[SHA256_BYTES]; /* of the body, from integrity_end on */
};

/* Borrows all. To be followed by integrity_fini. */
void integrity_begin(struct integrity *, const struct path_facts *, const struct http1_request *,
		     const struct http1_response *);
void integrity_add(struct integrity *, const void *bytes, size_t n);
/* Once, when all is added: the first promise that is not kept (borrowed), or NULL. */
const struct integrity_promise *integrity_end(struct integrity *);
/* Harmless on a zeroed struct, and twice. */
void integrity_fini(struct integrity *);

static inline bool integrity_is_promised(const struct integrity *i)
{
	return i->n > 0;
}

enum metric integrity_metric(enum integrity_source); /* which counts its failures */

/* For logs and error pages: "not the SHA-512 of pacote-integrity". */
#define INTEGRITY_TEXT_BYTES 64
void integrity_format(const struct integrity_promise *, struct buf *);

#endif
