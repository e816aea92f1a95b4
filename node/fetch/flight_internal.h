/* What the parts of a flight share: flight.c (its life), route.c (whom to ask next), sibling.c, via_parent.c, upstream.c (the three
 * ways), brought.c (import: none of them), hedge.c (two of them at once), outgoing.c (the request as it goes out), reception.c (what the head means), fill.c (the body), proof.c (is a sibling's body
 * the right one). */
#ifndef NODE_FETCH_FLIGHT_INTERNAL_H
#define NODE_FETCH_FLIGHT_INTERNAL_H

#include "node/base/mem.h"
#include "node/fetch/flight.h"
#include "node/fetch/hostmood.h"
#include "node/fetch/integrity.h"
#include "node/fetch/to_disk.h"
#include "node/link/exchange.h"
#include "node/link/nodelink.h"
#include "peer/peer_link.h"

#define FLIGHT_MOST_BAD 8     /* nodes remembered as no good for this flight */
#define FLIGHT_MOST_PARENTS 2 /* asked for one flight */

/* One request to one parent, or, from a parent, to a fellow (via_parent.c). */
struct upward {
	struct flight *flight;
	struct parent_set *set; /* which it was picked from; NULL: not in use */
	struct parent_pick pick;
	bool only; /* it may find, not fetch (Pmc-Only) */
	bool retried;
	struct nodelink_dial *dial;
	struct exchange *exchange; /* of one beside; that of the way taken is the flight's */
	struct span origin;        /* pool's name of it, NUL-ended */
	wall_ms request_time;
	mono_us asked_at;
	int load;
	int64_t ttfb_us;
	uint64_t bytes;
	enum parent_source source;
};

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
	struct link *brought; /* until its exchange has begun */
	enum reason here_only;
	bool store, whole, from_child, spare, recheck, afresh;
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
	char peer[FLIGHT_PEER_BYTES + 1];
	bool conditional; /* our own condition is in the request */
	bool retried;
	struct hostmood_ticket mood; /* of the origin */
	struct timer mood_timer;     /* while it waits for another's trial */
	bool upload_begun;           /* bytes of the owner's body have gone out: no second try */
	wall_ms request_time;
	struct deferred job;

	/* whom it asks */
	enum flight_way way;
	struct nodelink_dial *node_dial;
	mono_us asked_at;
	struct {
		struct peer_errand errand;
		struct key_variant variant; /* asked for */
		struct peer_answer answer;
		unsigned at;  /* of the answer's sources */
		bool reading; /* the desk has been told that a fetch from answer.v[at] is under way */
		bool varied;  /* asked once more, for the right variant */
		bool growing; /* the source is still fetching it */
		bool busy;    /* one of these sources had too many readers */
		unsigned busy_rounds;
		struct timer pause; /* before the next question */
		uint64_t noted;     /* bytes here when the desk was told last */
		uint64_t bytes;     /* from this source */
		int64_t ttfb_us;
		uint32_t order; /* ours, once a source has told its own; 0: any source will do */
		uint32_t bad[FLIGHT_MOST_BAD];
		unsigned n_bad;
	} sibling;
	struct {
		bool failed; /* all that could be asked have */
		unsigned tried[FLIGHT_MOST_PARENTS], n_tried;
		struct timer pause; /* before the second one */
	} parent;
	struct upward upwards[2], *up; /* up: the one that the way PARENT goes by */
	struct upward *beside;         /* the other one, when it is a hedge; NULL: none under way */
	struct timer late;             /* when what is asked should have answered (hedge.c) */
	bool asked_home;               /* whose key it is (Pmc-Home) */
	struct {
		bool wanted; /* the body comes from a sibling: nobody has it whole before it is proven */
		bool known, asked;
		uint8_t digest[SHA256_BYTES];
		struct nodelink_dial *dial;
		struct exchange *exchange;
		struct parent_pick pick;
	} proof;
	bool waits;       /* to go direct, in the line of its host (route.c) */
	bool counts;      /* among those that go direct because the parents have failed */
	unsigned resumes; /* how often it went on with a body that had broken off */

	/* the head, while nobody is told of it yet */
	struct head *parked;
	struct entry_terms parked_terms;

	/* the body */
	struct fresh_response answer;
	uint64_t expected; /* UINT64_MAX: unknown */
	uint64_t reserved; /* of the store */
	struct integrity integrity;
	bool begun;    /* a head has come and was taken: what comes from elsewhere has to go on with the same body */
	uint64_t skip; /* bytes that come once more: to be compared with those that are here */
	/* Of those: what they have to hash to, and what they hash to so far (the window may have left them behind). */
	uint8_t prefix[SHA256_BYTES];
	struct sha256 again;
	struct to_disk disk;
	bool settling; /* the body is complete, and so is the entry; the end of its file is awaited */
	size_t held;   /* bytes behind the published ones that wait for what integrity says: 0 or 1 */
	bool stored, guarded;
	bool summed;   /* its SHA-256 is known from the first byte on: another way can go on with it, stored or not */
	bool kept;     /* published */
	bool digested; /* integrity has given its verdict */
	bool paused;   /* the window is full */
	bool wary;     /* something is on the deny-list: no body goes out whole before it is known not to be that */
	bool upload_done;
	unsigned disk_jobs;       /* under way for it (from_disk.c) */
	bool ended, post_pending; /* flight.c: freed when all who know it have let go */
};

#define FLIGHT_MAGIC 0xf11687a1

/* route.c: begins with the best way there is; each way calls route_failed when it is no good (any more), which goes on with the next
 * one, or ends the flight: it may be gone afterwards. */
void route_begin(struct flight *);
void route_failed(struct flight *, enum reason, const char *detail);
/* It is not on our own disk. */
void route_on(struct flight *);
/* The siblings have nothing (more) for us. */
void route_up(struct flight *);
/* What is asked now is above: siblings may wait for us. */
void route_is_up(struct flight *);
/* The flight ends: tells desk, parents and those who wait behind it. */
void route_end(struct flight *, bool stored);

/* The ways. Each ends in an exchange whose head goes to reception.c, or in route_failed. */
/* from_disk.c. False: nothing there. Ends in flight__end, or in route_on. */
bool from_disk_begin(struct flight *);
/* brought.c: from f->brought, which is there. */
void brought_begin(struct flight *);
void sibling_begin(struct flight *);
void sibling_filled(struct flight *);           /* bytes have come */
void sibling_done(struct flight *, bool whole); /* no more from this one: all came, or another way is taken */
void sibling_failed(struct flight *, enum peer_false);
/* The whole is not what it should be, and it is too late for another: who is to blame, if it all came from one. */
void sibling_lied(struct flight *);
enum peer_false sibling_fault(enum reason);
void via_parent_init(struct flight *);
bool via_parent_begin(struct flight *); /* false: nobody to ask */
/* On a parent: the one whose key it is by the child's Pmc-Home, if that is another of its tier: it may have it, or be fetching it. False:
 * nobody to ask. That it has it not is told by route_failed. */
bool via_home_begin(struct flight *);
void via_parent_done(struct flight *, enum parent_outcome);
void via_parent_end(struct flight *); /* whatever is under way, beside too */
/* Beside the way that is taken, the flight's own pick in `beside` being made. */
void upward_start(struct upward *);
/* It is over; harmless when it is not in use. */
void upward_end(struct upward *, enum parent_outcome);

/* hedge.c: what is late is not waited for alone. */
void hedge_init(struct flight *);
/* What has just been asked should have answered by then; 0: no hedge. */
void hedge_expect(struct flight *, dur_ms);
/* The way taken has answered, or is given up: none is wanted (any more). */
void hedge_drop(struct flight *);
/* The one beside goes on as the way taken, if there is one. False: there is none. */
bool hedge_take_over(struct flight *);
void upstream_init(struct flight *);
void upstream_begin(struct flight *);
/* The origin is to blame for this, perhaps. */
void upstream_failed(struct flight *, enum reason);
void upstream_end(struct flight *); /* whatever came of it; harmless when it has not begun */

/* outgoing.c: the request as it goes to a parent (`up`) or an origin (NULL), and the exchange on a link. */
struct exchange *outgoing_start(struct flight *, struct link **, const struct upward *up, const struct exchange_on *,
				void *cookie);
/* The exchange that was started is f->exchange now: the owner's body may come. */
void outgoing_upload(struct flight *);
/* A link to a node: an idle one of the pool's (unless it must be a fresh one), which is returned; or NULL, and *dial is under way to
 * on_done, whose stream becomes a link under *origin. */
struct link *outgoing_reach(struct flight *, const struct nodelink_target *, bool fresh, nodelink_on_done_f *on_done,
			    void *cookie, struct nodelink_dial **dial, struct span *origin);
/* As outgoing_start for a head that is made elsewhere (borrowed), without a body; it becomes f->exchange. */
void outgoing_start_with(struct flight *, struct link **, struct span head, dur_ms first_byte, dur_ms stall,
			 const struct exchange_on *);
/* What is left of an answer that is not wanted: the link goes to the pool if that costs no wait. Clears *x; harmless on NULL inside. */
void outgoing_discard(struct flight *, struct exchange **x);
void outgoing_on_informational(void *cookie, const struct http1_response *);
void outgoing_on_body(void *cookie);
void outgoing_on_send(void *cookie);

/* reception.c: the head has come. */
void reception_take(struct flight *, const struct http1_response *);
/* Would it be kept for good, and for everybody? What does not is not taken from siblings. */
bool reception_is_shareable(const struct flight *, const struct http1_response *);
/* May everybody have it, by what both heads say? *why is set when not. */
bool reception_is_for_all(const struct flight *, const struct http1_response *, enum fresh_why *why);
/* Those who wait are told of the parked head. */
void reception_unpark(struct flight *);

/* proof.c: all of a sibling's body is here (but for the held byte that nobody has): is it the one that was promised? Ends in
 * fill_finish, or in route_failed. */
void proof_settle(struct flight *);
void proof_cancel(struct flight *);

/* fill.c: moves the body on, as far as origin and window allow. */
void fill_begin(struct flight *, const struct http1_response *);
void fill_go_on(struct flight *);
/* The rest comes from elsewhere: after so many bytes that are here already, which are compared. */
void fill_resume(struct flight *, uint64_t skip);
void fill_finish(struct flight *);
/* Everything that is here is forgotten: nobody has seen any of it. */
void fill_restart(struct flight *);
uint64_t fill_here(const struct flight *);
/* It is not kept any more: from here on it goes by. */
void fill_unstore(struct flight *);
/* All of it is on the disk; or it is not, and will not be. */
void fill_settled(struct flight *, bool on_disk);
/* Readers have left or moved on: go on, or give up (cache.quick_abort). */
void fill_readers_changed(struct flight *);

/* flight.c: whom it asks, for the log. */
void flight__set_peer(struct flight *, const char *name);
/* The ends. The flight may be gone afterwards. */
void flight__end(struct flight *, enum entry_outcome, enum reason);
/* The entry has its end already; `post_pending` as entry_end said. */
void flight__close(struct flight *, bool post_pending);
/* If it has ended, and nobody knows it any more. */
void flight__free_if_done(struct flight *);
void flight__failed(struct flight *, enum reason, const char *detail);

#endif
