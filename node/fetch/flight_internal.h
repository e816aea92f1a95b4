/* What the parts of a flight share: flight.c (its life), upstream.c (the way out), reception.c (what the head means), fill.c (the
 * body). */
#ifndef NODE_FETCH_FLIGHT_INTERNAL_H
#define NODE_FETCH_FLIGHT_INTERNAL_H

#include "node/base/mem.h"
#include "node/fetch/flight.h"
#include "node/fetch/integrity.h"
#include "node/link/exchange.h"

struct flight {
	unsigned magic;
	LIST_ENTRY(flight) entry_of_all;
	const struct fetcher *fetcher;
	struct policy *policy;
	struct arena arena;

	/* what is asked */
	struct http1_request *request; /* in the arena; its table of fields is cut to what is used */
	struct url url;
	struct span store_id, dial_host, client;
	struct path_facts path;
	struct fresh_request facts;
	struct key key;
	struct key_credential who;
	bool store, whole;
	const struct flight_owner *owner;
	void *cookie;

	/* whom it is for */
	struct entry *entry;
	struct entry *stale;
	struct head *stale_head;

	/* on the way */
	struct dial *dial;
	struct exchange *exchange;
	struct span origin; /* pool's name of it, NUL-ended */
	char peer[ADDR_TEXT_BYTES];
	bool conditional; /* our own condition is in the request */
	bool retried;
	bool upload_begun; /* bytes of the owner's body have gone out: no second try */
	wall_ms request_time;
	struct deferred job;

	/* the body */
	struct fresh_response answer;
	uint64_t expected; /* UINT64_MAX: unknown */
	uint64_t reserved; /* of the store */
	struct integrity integrity;
	size_t held; /* bytes behind the published ones that wait for what integrity says: 0 or 1 */
	bool stored, guarded;
	bool paused; /* the window is full */
	bool upload_done;
	bool ended, post_pending; /* flight.c: freed when all who know it have let go */
};

#define FLIGHT_MAGIC 0xf11687a1

/* upstream.c */
void upstream_begin(struct flight *);
/* reception.c: the head has come. */
void reception_take(struct flight *, const struct http1_response *);
/* fill.c: moves the body on, as far as origin and window allow. */
void fill_begin(struct flight *, const struct http1_response *);
void fill_go_on(struct flight *);
/* Readers have left or moved on: go on, or give up (cache.quick_abort). */
void fill_readers_changed(struct flight *);

/* flight.c: the ends. The flight may be gone afterwards. */
void flight__end(struct flight *, enum entry_outcome, enum reason);
/* The entry has its end already; `post_pending` as entry_end said. */
void flight__close(struct flight *, bool post_pending);
void flight__failed(struct flight *, enum reason, const char *detail);

#endif
