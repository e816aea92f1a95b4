/* hostmood: what this node knows of hosts that do not answer as they should, and whether any may be asked at all.
 *
 * A host here is what a link may be used again for (dial_origin: scheme, host, port, the name its certificate is for), so that a client
 * which CONNECTs to an address under a wrong name spoils nobody's mood but its own. Three things are remembered:
 *
 *     unreached   no connection: the name is not found, the connection refused or not taken, the TLS handshake failed
 *     erring      a connection, but no good answer: 500, 502, 503, 504, 429, or none at all
 *     retry at    it has said Retry-After (429, 503): at most HOSTMOOD_RETRY_MOST from now
 *
 * After HOSTMOOD_FAILURES in a row of either kind the host is held back. Then it depends on what the one who asks has:
 *
 *   something stale to serve   NO at once, but for one trial at a time, the first after HOSTMOOD_PAUSE, then after twice as long,
 *                              up to HOSTMOOD_PAUSE_MOST. So stale answers do not wait for a connection that will not come.
 *   nothing                    is never refused by memory alone. An erring host is asked: another URL may do. Of an unreached one the
 *                              first is a trial, and the others WAIT for what becomes of it: each is told what happened to a real
 *                              attempt that ended while it waited, and a dead host has one connection attempt at a time.
 *
 * Retry-After holds back what is stored, and nothing else. A connection ends `unreached`, a good answer both. What failed last more than
 * HOSTMOOD_FORGET ago is forgotten.
 *
 * Shared by all loops, under one lock, which is not taken while all hosts are well; at most HOSTMOOD_HOSTS, then the one that failed
 * longest ago goes. */
#ifndef NODE_FETCH_HOSTMOOD_H
#define NODE_FETCH_HOSTMOOD_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/reason.h"
#include "node/base/span.h"

#define HOSTMOOD_HOSTS 4096
#define HOSTMOOD_FAILURES 3
#define HOSTMOOD_PAUSE (1 * DUR_SECOND)
#define HOSTMOOD_PAUSE_MOST (30 * DUR_SECOND)
#define HOSTMOOD_RETRY_MOST (1 * DUR_HOUR)
#define HOSTMOOD_FORGET (5 * DUR_MINUTE)
#define HOSTMOOD_POLL ((dur_ms)50) /* who waits asks again so often */

struct hostmoods;

struct hostmoods *hostmoods_new(void);
void hostmoods_free(struct hostmoods *);
/* How many hosts are held back or have asked for a pause. */
unsigned hostmoods_held(struct hostmoods *, mono_us now);

/* What one fetch holds; zeroed at its beginning. */
struct hostmood_ticket {
	uint64_t trial;     /* it is the trial; 0: none */
	bool waits;         /* for somebody else's */
	unsigned ended;     /* trials that had failed when it began to wait */
	bool despite_pause; /* GO, although the host has asked for a pause */
};

enum hostmood_word {
	HOSTMOOD_GO,
	HOSTMOOD_WAIT, /* ask again after HOSTMOOD_POLL, with the same ticket */
	HOSTMOOD_NO,   /* *why says what the host did */
};

/* All of them: `moods` may be NULL, then every host is well. `spare`: something stale can be served instead. */
enum hostmood_word hostmood_ask(struct hostmoods *, struct span host, bool spare, mono_us now, struct hostmood_ticket *,
				enum reason *why);

/* What has changed by what we tell: for the log. */
enum hostmood_change { HOSTMOOD_SAME, HOSTMOOD_WORSE, HOSTMOOD_WELL };

/* A connection stands. */
enum hostmood_change hostmood_reached(struct hostmoods *, struct span host, struct hostmood_ticket *);
/* An answer came; retry_after < 0: it does not say. */
enum hostmood_change hostmood_answered(struct hostmoods *, struct span host, int status, dur_ms retry_after,
				       mono_us now, struct hostmood_ticket *);
/* None came. Reasons that say nothing about the host (hostmood_blames) only end the ticket. */
enum hostmood_change hostmood_failed(struct hostmoods *, struct span host, enum reason, mono_us now,
				     struct hostmood_ticket *);
/* The fetch is over, however; harmless when it has told its end already. */
void hostmood_done(struct hostmoods *, struct span host, struct hostmood_ticket *);

bool hostmood_blames(enum reason);

/* ---- offline ---- */

/* What `pmcachectl offline` has said, for as long as the process lives; before it has, the configuration counts. */
enum hostmood_offline { HOSTMOOD_AS_CONFIGURED, HOSTMOOD_OFFLINE, HOSTMOOD_ONLINE };

void hostmoods_set_offline(struct hostmoods *, enum hostmood_offline);
bool hostmoods_are_offline(struct hostmoods *, bool configured);

#endif
