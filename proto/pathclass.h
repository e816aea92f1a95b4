/* pathclass: what a path says about the life of its answer, whatever the host.
 *
 * Package managers use few shapes of URL, on registries, mirrors and private repositories alike; any prefix may stand
 * before the shape. pathclass_*.c have the shapes (pathclass_internal.h says which), the unit test an example of each:
 *
 *   IMMUTABLE  the bytes behind this URL never change. Fresh for good once earned (fresh.h): status 200, complete, not
 *              text/html, and pathclass_bytes_fit or a digest that matched. Until then RFC 9111 alone counts.
 *   MUTABLE    an index: RFC 9111, a short lifetime when nothing is said, stale rather than nothing when the origin
 *              fails.
 *   PASS       never stored, whatever the answer says.
 *   OTHER      RFC 9111 to the letter.
 *
 * A shape so short that anything could have it (npm's "/name", cargo's "/1/x", a gem index's "/versions" below a
 * prefix) counts only when a segment before it names the ecosystem ("npm", "gem", "cargo", "crates") or the request
 * comes from its client (User-Agent, Accept, npm-command). */
#ifndef PROTO_PATHCLASS_H
#define PROTO_PATHCLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"
#include "proto/hdr.h"

enum pathclass { PATH_OTHER, PATH_IMMUTABLE, PATH_MUTABLE, PATH_PASS };

#define ECOSYSTEM_TABLE(X)                                                                                             \
	X(NONE, "none")                                                                                                \
	X(NPM, "npm")                                                                                                  \
	X(PYPI, "pypi")                                                                                                \
	X(GEM, "gem")                                                                                                  \
	X(CARGO, "cargo")                                                                                              \
	X(GO, "go")                                                                                                    \
	X(MAVEN, "maven")                                                                                              \
	X(GRADLE, "gradle")                                                                                            \
	X(DEBIAN, "debian")                                                                                            \
	X(RPM, "rpm")                                                                                                  \
	X(COMPOSER, "composer")                                                                                        \
	X(GITHOST, "githost") /* archives and release assets of git hosting */                                         \
	X(GIT, "git")         /* the smart protocol */                                                                 \
	X(OCI, "oci")                                                                                                  \
	X(BINARY, "binary") /* runtimes and browsers by version: Node, Electron, Playwright, Chrome */

enum ecosystem {
#define X(id, name) ECOSYSTEM_##id,
	ECOSYSTEM_TABLE(X)
#undef X
		ECOSYSTEM_COUNT
};

/* What the first bytes must look like. ANY: whatever is not the beginning of an HTML page. */
enum content_kind {
	CONTENT_ANY,
	CONTENT_GZIP,
	CONTENT_ZIP,
	CONTENT_XZ,
	CONTENT_ZSTD,
	CONTENT_BZIP2,
	CONTENT_ZLIB,
	CONTENT_AR,
	CONTENT_TAR,
	CONTENT_RPM,
};

enum path_digest {
	PATH_DIGEST_NONE,
	PATH_DIGEST_MD5,
	PATH_DIGEST_SHA1,
	PATH_DIGEST_SHA256,
	PATH_DIGEST_SHA512,
	PATH_DIGEST_BLAKE2B_256, /* PyPI's 2/2/60 hex digits */
};

#define PATH_DIGEST_MAX_BYTES 64
#define PATH_MUTABLE_TTL_S 60   /* of an index whose answer says nothing about its life */
#define PATH_ARCHIVE_TTL_S 3600 /* of an archive by tag */

struct path_facts {
	enum pathclass class;
	enum ecosystem ecosystem;
	enum content_kind content;    /* by suffix; of the body without Content-Encoding */
	enum path_digest digest_kind; /* of the whole body without Content-Encoding */
	size_t digest_bytes;
	uint8_t digest[PATH_DIGEST_MAX_BYTES];
	uint32_t ttl_s;   /* MUTABLE: lifetime when the answer does not give one; else 0 */
	bool regenerated; /* IMMUTABLE by content, but the server may pack the same files into other bytes */
};

/* path and query in storeid.h's normal form; request may be NULL and is only looked at for short shapes. */
void pathclass_of(struct span path, struct span query, const struct hdrs *request, struct path_facts *out);

/* How many bytes pathclass_bytes_fit wants to see, if the body has as many. */
#define PATHCLASS_FIRST_BYTES 512

/* Could a body that begins like this be of this kind? `first` is min(length, PATHCLASS_FIRST_BYTES) bytes of it. An
 * empty body fits CONTENT_ANY only. */
bool pathclass_bytes_fit(enum content_kind, struct span first);

const char *pathclass_ecosystem(enum ecosystem); /* "npm" */
const char *pathclass_word(enum pathclass);      /* "immutable" */

#endif
