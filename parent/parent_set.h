/* parent_set: the parents, which of them is asked for a key, and how they are.
 *
 * Rendezvous hashing by store-id (so that variants and ranges of one object meet at one parent and are fetched once), with bounded
 * load: the first in rank of those that are in use passes a key on to the second when it has more than 1.25 times its share in hand, or has
 * said within the last 2 s that it is full (PARENT_LOAD_FULL); the second is told who the first was (Pmc-Home). Never further: when
 * both are full, the first has it. Fewer than PARENT_FEW in hand are no load. A parent that is down stays in the hash and is skipped, so its
 * keys come back to it.
 *
 * Health: 3 failures to connect in a row, or half of at least 10 requests within 10 s failing by the parent's own fault, take a
 * parent out for 2 s, doubling to 60 s, give or take 20 %; then 2 trials at a time for the whole node. The first that succeeds brings it
 * back, and its keys with it, one after the other within 30 s (until then to others, if there are any). What an origin answers (4xx, 5xx)
 * never counts against the parent that relayed it. When fewer than half of the parents are healthy, the verdicts by failed
 * requests are ignored; those by failed connections are not. A parent marked `vip` stands for several and is never out.
 *
 * Retries: at most 2 parents a request, and only 20 % of the requests in hand (3 at least) may be second tries, so that a parent in trouble
 * is not finished off. Hedges (a second request while the first is still under way) are second tries, too, and besides at most 5 % of all
 * requests.
 *
 * Shared by all loops: a lock of its own, held for arithmetic. Times are the caller's; those of several loops need not be in order. */
#ifndef PARENT_PARENT_SET_H
#define PARENT_PARENT_SET_H

#include <stdbool.h>

#include "node/base/clock.h"
#include "node/base/span.h"
#include "node/cache/key.h"

struct parent_set;

#define PARENT_NAME_BYTES 64
#define PARENT_HOST_BYTES 255
#define PARENT_MOST 64
#define PARENT_MOST_TRIES 2  /* parents asked for one request */
#define PARENT_LOAD_FULL 230 /* of Pmc-Load's 255: gives keys to others */
#define PARENT_FEW 16        /* requests in hand that make nobody full */

struct parent_member {
	char name[PARENT_NAME_BYTES + 1];
	char host[PARENT_HOST_BYTES + 1];
	uint16_t port;
	unsigned weight; /* percent; 0: 100 */
	bool vip;
};

/* What came of a request. */
enum parent_outcome {
	PARENT_OK,        /* an answer came, whatever its status */
	PARENT_CONNECT,   /* no connection, or no handshake */
	PARENT_FAILED,    /* the parent's own error: cut, silent, malformed, Pmc-Error of its own making */
	PARENT_SLOW,      /* stopped sending: counts half */
	PARENT_CANCELLED, /* says nothing about the parent */
};

struct parent_set *parent_set_new(uint64_t seed);
void parent_set_free(struct parent_set *); /* harmless on NULL */
/* From now on these (copied; the first PARENT_MOST, of one name the first); who stays keeps health and figures. Requests in hand with one that has gone may still be ended. */
void parent_set_members(struct parent_set *, const struct parent_member *, size_t n);
size_t parent_set_count(struct parent_set *);

struct parent_pick {
	unsigned id; /* for parent_set_ended */
	struct parent_member member;
	bool trial;
	bool diverted;                    /* passed on by one that is full */
	char home[PARENT_NAME_BYTES + 1]; /* that one, when diverted; else empty */
	dur_ms hedge_after; /* no first byte by then: late for this parent (its p95, from 50 ms to 2 s; 2 s when that is not known) */
	/* The set's own, for parent_set_ended. */
	bool retry;
	unsigned era;
};

/* Whom to ask for this key: the best in rank that is healthy and not full and not in `tried` (ids). False: nobody, or PARENT_MOST_TRIES
 * have been tried. `retry`: this is a second try; false also when the budget is used up. To be followed by parent_set_ended. */
bool parent_set_pick(struct parent_set *, const struct key *, const unsigned *tried, size_t n_tried, bool retry,
		     mono_us now, struct parent_pick *);
/* Whom parent_set_pick would have asked as a first try: for who only wants to know. Nothing is counted, and nothing is to be ended. */
bool parent_set_would_pick(struct parent_set *, const struct key *, mono_us now, struct parent_member *out);
/* Whom to ask beside `late`, which is under way: the best in rank but that one. False: nobody, or a budget is used up. To be followed by
 * parent_set_ended. */
bool parent_set_pick_hedge(struct parent_set *, const struct key *, const struct parent_pick *late, mono_us now,
			   struct parent_pick *);
/* The one of this name. False: not among them, or out. To be followed by parent_set_ended. */
bool parent_set_pick_named(struct parent_set *, struct span name, mono_us now, struct parent_pick *);
/* `ttfb_us` 0: none. `load`: what it said (Pmc-Load), -1: nothing. */
void parent_set_ended(struct parent_set *, const struct parent_pick *, enum parent_outcome, int64_t ttfb_us, int load,
		      uint64_t bytes, mono_us now);

/* Figures, for pages. */
enum parent_state { PARENT_UP, PARENT_DOWN, PARENT_TRIAL /* also while its keys come back */ };
const char *parent_state_word(enum parent_state);

struct parent_view {
	struct parent_member member;
	enum parent_state state;
	mono_us until; /* DOWN: not asked before */
	/* failures: FAILED and SLOW; retries: second tries that it was asked in; hedged: it was late, and another was asked besides;
	 * cancelled: given up before its end, since another was faster or nobody wanted it any more */
	uint64_t requests, failures, connect_failures, retries, hedged, cancelled, hits, joins, misses, passes,
		bytes_in;
	unsigned in_hand;
	int load;                         /* as it said last; -1: unknown */
	int64_t ttfb_p50_us, ttfb_p95_us; /* of its last 64; 0: none yet */
};

/* Up to `most`, by name; returns how many. */
size_t parent_set_look(struct parent_set *, struct parent_view *, size_t most, mono_us now);
/* What the parent said of its answer (parent_link.h). */
enum parent_source { PARENT_SAID_NOTHING, PARENT_SAID_HIT, PARENT_SAID_JOIN, PARENT_SAID_MISS, PARENT_SAID_PASS };
void parent_set_said(struct parent_set *, const struct parent_pick *, enum parent_source);
/* How long first bytes take as a rule (the median of the last ones, of all parents together), for the caps of other waits; 0: not known. */
int64_t parent_set_ttfb_us(struct parent_set *);

#endif
