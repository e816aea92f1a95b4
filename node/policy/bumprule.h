/* bumprule: what becomes of a CONNECT on a bump port.
 *
 * bump.splice wins over bump.only; what an `only` list leaves out goes the way of bump.others. Pure; any thread. */
#ifndef NODE_POLICY_BUMPRULE_H
#define NODE_POLICY_BUMPRULE_H

#include "node/base/span.h"
#include "node/policy/policy.h"

enum bumprule_verdict {
	BUMPRULE_BUMP,   /* end the client's TLS here, under a minted leaf */
	BUMPRULE_SPLICE, /* pass the bytes on blindly */
	BUMPRULE_REFUSE  /* answer the CONNECT with an error */
};

/* Host: the CONNECT's name or address, or the SNI where that is the name the client wants. */
enum bumprule_verdict bumprule_decide(const struct policy_bump *, struct span host);

#endif
