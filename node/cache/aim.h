/* aim: which stored responses an operator means: those under a URL, a prefix, of a host, a class, with a digest, all.
 *
 * Pure; comparisons of bytes, so that it may be asked under a lock. */
#ifndef NODE_CACHE_AIM_H
#define NODE_CACHE_AIM_H

#include "node/cache/entry.h"
#include "proto/purgerec.h"

struct aim {
	enum purgerec_kind kind; /* soft or not is all the same here */
	struct span value;       /* borrowed; fits the kind (purgerec_fits) */
	uint8_t digest[PURGEREC_DIGEST_BYTES];
};

void aim_take(struct aim *, enum purgerec_kind, struct span value);
/* digest: of the body; NULL: not known yet, which may be any. */
bool aim_fits(const struct aim *, const struct head *, const uint8_t *digest);

#endif
