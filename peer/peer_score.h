/* peer_score: what this node has seen of one peer: round trips, losses, hits, false hits, bytes. Own evidence only.
 *
 * The wait for an answer is learned as TCP learns its timeout (RFC 6298): smoothed round trip and its variation. A late answer (after
 * the deadline, within 2 s) still teaches, and a timeout raises the estimate by half: an estimator that only ever sees successes
 * locks at its floor. All counters are 64 bits and only grow. Belongs to the cluster loop. */
#ifndef PEER_PEER_SCORE_H
#define PEER_PEER_SCORE_H

#include "node/base/clock.h"
#include "proto/peermsg.h"

#define PEER_SCORE_BUCKETS 32 /* histogram.h */

/* Why what a peer had said it has could not be had from it. */
#define PEER_FALSE_TABLE(X)                                                                                            \
	X(GONE, "gone")     /* not there any more */                                                                   \
	X(STALE, "stale")   /* there, but not good any more */                                                         \
	X(VARY, "vary")     /* another variant */                                                                      \
	X(BUSY, "busy")     /* too many readers */                                                                     \
	X(DIAL, "dial")     /* no connection */                                                                        \
	X(TLS, "tls")       /* no handshake, or not the node that was meant */                                         \
	X(SILENT, "silent") /* no first byte in time, or stalled */                                                    \
	X(CUT, "cut")       /* ended in the middle */                                                                  \
	X(DIGEST, "digest") /* other bytes than promised */                                                            \
	X(BAD, "bad")       /* not an answer as the protocol has it */

enum peer_false {
#define X(id, word) PEER_FALSE_##id,
	PEER_FALSE_TABLE(X)
#undef X
		PEER_FALSES
};

const char *peer_false_word(enum peer_false);

/* Why a datagram of a peer (or of nobody we know) was not acted upon. */
#define PEER_DROP_TABLE(X)                                                                                             \
	X(MALFORMED, "malformed")                                                                                      \
	X(NO_MEMBER, "no_member")                                                                                      \
	X(WRONG_NODE, "wrong_node") /* addressed to another */                                                         \
	X(AUTH, "auth")             /* tag or key id */                                                                \
	X(REPLAY, "replay")                                                                                            \
	X(RATE, "rate")                                                                                                \
	X(EXPIRED, "expired") /* a query whose asker does not wait any more */                                         \
	X(UNASKED, "unasked") /* a reply to no question of ours */                                                     \
	X(UNKNOWN, "unknown") /* a type of a later version */

enum peer_drop {
#define X(id, word) PEER_DROP_##id,
	PEER_DROP_TABLE(X)
#undef X
		PEER_DROPS
};

const char *peer_drop_word(enum peer_drop);

struct peer_histogram {
	uint64_t v[PEER_SCORE_BUCKETS];
};

struct peer_score {
	/* asking it */
	uint64_t queries_sent, keys_sent, timeouts, late; /* timeouts and late: keys; late is part of timeouts */
	uint64_t said[PEERMSG_STATUSES]; /* keys that it answered in time; keys_sent = sum + timeouts + waiting */
	uint64_t errors;                 /* ERR answers */
	/* being asked by it */
	uint64_t queries_received, keys_received, answered[PEERMSG_STATUSES];
	uint64_t dropped[PEER_DROPS];
	/* bodies from it, and to it */
	uint64_t fetches, fetched, hedged, cancelled, false_hits[PEER_FALSES];
	uint64_t bytes_in, bytes_out, served;
	uint64_t announced;               /* keys that it has been told again, as their home */
	unsigned streams_in, streams_out; /* now */
	/* times */
	struct peer_histogram rtt, ttfb;
	int64_t srtt_us, rttvar_us, ttfb_us; /* 0: nothing known */
	double loss;                         /* 0 to 1, exponentially weighted over keys */
	uint64_t state_changes;
};

void peer_score_rtt(struct peer_score *, int64_t us);
void peer_score_ttfb(struct peer_score *, int64_t us);
/* One key, in time: counts it and what it says about loss. */
void peer_score_answered(struct peer_score *, enum peermsg_status);
/* One key: counts it as a timeout and a loss, and raises the wait by half. (A late answer: `late` and peer_score_rtt, by the caller.) */
void peer_score_timed_out(struct peer_score *);
/* How long to wait for it: srtt + 4 rttvar, from 2 to 30 ms; 20 ms when nothing is known. */
int64_t peer_score_wait_us(const struct peer_score *);

/* As histogram_percentile. */
int64_t peer_histogram_percentile(const struct peer_histogram *, unsigned percent);
void peer_histogram_add(struct peer_histogram *, int64_t us);

#endif
