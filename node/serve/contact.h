/* contact: the first contact with an origin whose certificate is to be mimicked (bump.certificate: origin).
 *
 * The origin is dialled once for all clients of this loop that wait for it; what its certificate says is remembered by the mint, so
 * that nobody has to ask again, and the link goes to the pool, where the first request will find it. Belongs to its loop's
 * thread. */
#ifndef NODE_SERVE_CONTACT_H
#define NODE_SERVE_CONTACT_H

#include "node/fetch/flight.h"

struct contacts;

/* Borrows the fetcher. */
struct contacts *contacts_new(const struct fetcher *);
/* Nobody waits any more. */
void contacts_free(struct contacts *);

/* cert: borrowed; NULL when the origin could not be reached, or is not to be trusted. */
typedef void contact_on_done_f(void *cookie, struct origin_cert *cert);

/* Embedded in who waits; zeroed: does not. */
struct contact_wait {
	LIST_ENTRY(contact_wait) entry;
	contact_on_done_f *on_done; /* NULL: not waiting */
	void *cookie;
};

/* Never calls back from inside. Shares the policy. */
void contact_start(struct contacts *, const struct dial_target *, struct policy *, struct contact_wait *,
		   contact_on_done_f *, void *cookie);
/* In silence; harmless when not waiting. The contact goes on for the others, and for the mint. */
void contact_cancel(struct contact_wait *);

#endif
