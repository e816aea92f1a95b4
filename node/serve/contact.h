/* contact: the first contact with an origin whose certificate is to be mimicked (bump.certificate: origin).
 *
 * Where there are parents one of them is asked what the certificate says (parent_cert.h), since this node may have no way out: for
 * 300 ms, then who waits goes on without; what comes later is remembered all the same. What a parent cannot say is not asked again for
 * 30 s. Without parents, or when none can be asked and cluster.on_parent_failure is `direct`, the origin is dialled, and the link goes to the
 * pool, where the first request will find it.
 *
 * Once for all on this loop who wait for it; what the certificate says is remembered by the mint, so that nobody has to ask again. Belongs
 * to its loop's thread. */
#ifndef NODE_SERVE_CONTACT_H
#define NODE_SERVE_CONTACT_H

#include "node/fetch/flight.h"

struct contacts;

/* Borrows the fetcher. */
struct contacts *contacts_new(const struct fetcher *);
/* Nobody waits any more. */
void contacts_free(struct contacts *);

#define CONTACT_PATIENCE_MS 300

/* cert: borrowed; NULL when the origin could not be reached, or is not to be trusted: `why`, where this node has met it itself. */
typedef void contact_on_done_f(void *cookie, struct origin_cert *cert, enum reason why);

/* Embedded in who waits; zeroed: does not. */
struct contact_wait {
	LIST_ENTRY(contact_wait) entry;
	contact_on_done_f *on_done; /* NULL: not waiting */
	void *cookie;
};

enum contact_way {
	CONTACT_AS_ROUTED, /* by a parent, where there is one */
	CONTACT_DIRECT,    /* for who asks this node as its parent: whom it could ask in turn may be asking it */
};

/* Never calls back from inside. Shares the policy. */
void contact_start(struct contacts *, enum contact_way, const struct dial_target *, struct policy *,
		   struct contact_wait *, contact_on_done_f *, void *cookie);
/* In silence; harmless when not waiting. The contact goes on for the others, and for the mint. */
void contact_cancel(struct contact_wait *);

#endif
