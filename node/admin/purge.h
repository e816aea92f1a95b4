/* purge: what an operator wants forgotten: a URL, all that begins so, a host, everything; here, or as the value of a record for the
 * whole cluster (purgerec.h). Any thread. */
#ifndef NODE_ADMIN_PURGE_H
#define NODE_ADMIN_PURGE_H

#include <stdbool.h>

#include "node/base/span.h"
#include "node/cache/index.h"
#include "proto/purgerec.h"

struct disk;

/* The normal form of n bytes is never longer. */
#define PURGE_BYTES(n) ((n) + 128)

/* What the operator has said, in the normal form of store-ids (storeid.h), written to the empty b of PURGE_BYTES(text.n). A prefix without
 * a path is all of its scheme and host; a host may have a port, and is all ports without one. False with a sentence in *why. */
bool purge_normalize(enum purgerec_kind, struct span text, struct buf *b, const char **why);

struct purge_ground {
	struct index *index;
	struct disk *disk; /* NULL: there is none */
	struct loop *loop; /* whose thread calls */
};

/* `value` in normal form. How many stored responses went; by anything but URL those that are on disk alone go in the background, and are
 * not counted. */
unsigned purge_stored(const struct purge_ground *, struct span salt, enum purgerec_kind, struct span value);

#endif
