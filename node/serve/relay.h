/* relay: bytes pass between two streams until both have ended: blind tunnels, spliced TLS, upgraded connections.
 *
 * An end on one side is passed on to the other (half-close). Without a byte in either direction for `idle`, both are closed.
 * Belongs to one loop's thread. */
#ifndef NODE_SERVE_RELAY_H
#define NODE_SERVE_RELAY_H

#include "node/net/stream.h"

struct relay;

/* down, up: bytes that went to the first stream and to the second. */
typedef void relay_on_end_f(void *cookie, uint64_t down, uint64_t up);

/* Takes both streams. `for_a`, `for_b` are copied and go first. Ends once, never from inside the start. */
struct relay *relay_start(struct stream **a, struct stream **b, struct span for_a, struct span for_b, dur_ms idle,
			  relay_on_end_f *, void *cookie);
/* Closes both, without a callback. Clears *r; NULL inside is harmless. */
void relay_cancel(struct relay **r);

#endif
