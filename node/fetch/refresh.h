/* refresh: fetches a URL again from upstream, although what is stored is fresh, or good for ever.
 *
 * For an operator who knows that something was put in its place. Asked as a client without special fields would, whole and without a
 * condition, of a parent (which asks the origin in turn, whatever it has) or the origin; neither disk nor siblings. A 200 that may be stored
 * takes the place of what is there; anything else leaves it there. Another body than before is said in the log.
 *
 * On the fetcher's loop. */
#ifndef NODE_FETCH_REFRESH_H
#define NODE_FETCH_REFRESH_H

#include "node/fetch/flight.h"

struct refresh;

#define REFRESH_JSON_BYTES(n) ((size_t)6 * (n) + 1024)

/* The same for an answer that is brought from elsewhere (import), not fetched: it is asked for on this connection (stream_loan.h, the
 * stream being there), as it would be at an origin, and takes the place of what is stored unless that is fresh. */
struct stream_loan;

/* {"url":"https://…","result":"…","status":200,"size":123,"digest":"sha256:…","before":"sha256:…","why":"…"}, borrowed. result:
 *
 *     unchanged   the same body; fresh again
 *     changed     another body, which is stored now
 *     new         nothing was stored (or its digest is not known), and is now
 *     kept        the origin gave something that cannot take its place (why); what was stored stays
 *     failed      no answer (why); likewise
 *     fresh       (brought) what is stored is fresh, and stays
 *
 * digest, before and why where there is one. The refresh is gone. */
typedef void refresh_on_done_f(void *cookie, struct span json);

struct refresh_ground {
	const struct fetcher *fetcher;
	struct policy *policy; /* shared */
	struct span salt;
};

/* NULL with a sentence in *why: no URL, or of a form that is never stored. Never calls back before it returns. */
struct refresh *refresh_start(const struct refresh_ground *, struct span url, refresh_on_done_f *, void *cookie,
			      const char **why);
/* The stream is lent out until on_done at the latest. */
struct refresh *refresh_bring(const struct refresh_ground *, struct span url, struct stream_loan *, refresh_on_done_f *,
			      void *cookie, const char **why);
/* The fetch goes on, or not, by its own rules. Clears *r; harmless on NULL inside. */
void refresh_cancel(struct refresh **r);

#endif
