/* peer_streams: how many bodies this node is sending to siblings, so that one that has something everybody wants is not drowned.
 *
 * At most 2 of one object and 64 in all; who comes too many is told to ask elsewhere: by then the first readers can pass it on
 * themselves. Shared by all loops; a lock of its own, held for a look-up. */
#ifndef PEER_PEER_STREAMS_H
#define PEER_PEER_STREAMS_H

#include <stdbool.h>

#include "proto/peermsg.h"

struct peer_streams;

struct peer_streams *peer_streams_new(unsigned most_of_one, unsigned most_in_all);
void peer_streams_free(struct peer_streams *); /* harmless on NULL */

/* False: full. Else to be followed by peer_streams_end. */
bool peer_streams_begin(struct peer_streams *, const struct peermsg_key *);
void peer_streams_end(struct peer_streams *, const struct peermsg_key *);
bool peer_streams_is_full(struct peer_streams *, const struct peermsg_key *);
unsigned peer_streams_now(struct peer_streams *);

#endif
