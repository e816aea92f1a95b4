/* purge: what an operator wants forgotten: a URL, all that begins so, a host, a class, a digest, everything; here, or as the value of a record for the
 * whole cluster (purgerec.h). Any thread. */
#ifndef NODE_ADMIN_PURGE_H
#define NODE_ADMIN_PURGE_H

#include <stdbool.h>

#include "node/base/span.h"
#include "node/cache/index.h"
#include "proto/purgerec.h"

struct disk;
struct orders;

/* The normal form of n bytes is never longer. */
#define PURGE_BYTES(n) ((n) + 128)

/* What the operator has said, in the normal form of store-ids (storeid.h), written to the empty b of PURGE_BYTES(text.n). A prefix without
 * a path is all of its scheme and host; a host may have a port, and is all ports without one; a digest may lack its
 * "sha256:". False with a sentence in *why. */
bool purge_normalize(enum purgerec_kind, struct span text, struct buf *b, const char **why);

struct purge_ground {
	struct index *index;
	struct disk *disk;     /* NULL: there is none */
	struct orders *orders; /* denials and soft purges of what is on disk are kept there; NULL: neither is */
	struct loop *loop;     /* whose thread calls */
	wall_ms at;            /* when it was said: of several orders the latest counts */
};

/* `value` in normal form. How many stored responses went, or are stale now (PURGEREC_SOFT); by anything but URL those that are on disk alone
 * go in the background, and are not counted. DENY: it is on the deny-list when this returns; ALLOW: 1 when it was. -1 with a sentence in
 * *why: the deny-list has no room. */
long purge_stored(const struct purge_ground *, struct span salt, enum purgerec_kind, struct span value,
		  const char **why);

#endif
