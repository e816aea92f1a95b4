/* peer_desk: where all loops of the node ask about siblings.
 *
 * The peer_set with its socket lives on one loop, the cluster loop. The desk carries questions there and answers back by loop_post, with
 * ids instead of pointers: who has cancelled is not found. It also carries what fetches have taught, and binds the set to the UDP
 * socket, the index (what is here) and the purge log. Once a minute it says in the log what was dropped.
 *
 * News (peer_news.h) it looks through once a second, so that a home hears of many things in one datagram; when there is much, a part of it
 * every 50 ms. */
#ifndef PEER_PEER_DESK_H
#define PEER_PEER_DESK_H

#include "node/base/log.h"
#include "node/cache/index.h"
#include "peer/peer_ask.h"
#include "peer/peer_news.h"
#include "peer/peer_querylog.h"
#include "peer/peer_streams.h"

struct peer_desk;
struct peer_purge;

struct peer_desk_settings {
	struct loop *loop; /* the cluster loop */
	struct addr at;    /* UDP */
	struct peer_self self;
	struct index *index;
	struct disk *disk; /* NULL: none */
	struct peer_streams *streams;
	struct peer_news *news; /* what comes and goes without a pursuit; NULL: nobody says */
	struct peer_purge *purge;
	struct log *log;
	struct accesslog *accesslog; /* of what others ask (peer_querylog.h); NULL: none */
	unsigned log_queries;        /* lines a second */
	/* On the cluster loop: a peer has purges that we have not. May be NULL. */
	void (*behind)(void *cookie, uint32_t node, uint64_t serial);
	void *cookie;
};

/* On the cluster loop, or before it runs; so are free, set and secrets. NULL with a sentence in why (the port is taken). */
struct peer_desk *peer_desk_open(const struct peer_desk_settings *, char *why, size_t why_bytes);
/* Says BYE. All clients of the desk have cancelled, and what they posted before has run: close it by a post of one's own, after theirs.
 * Clears *d; harmless on NULL inside. */
void peer_desk_close(struct peer_desk **d, uint16_t back_in_s);
/* Says BYE and gives the port away, for another process: nothing is sent or heard any more, and every round ends with its deadline. */
void peer_desk_fall_silent(struct peer_desk *);
/* For members, secrets, figures; on the cluster loop only, each use followed by peer_desk_stir (deadlines may have changed). */
struct peer_set *peer_desk_set(struct peer_desk *);
void peer_desk_stir(struct peer_desk *);
uint64_t peer_desk_dropped(const struct peer_desk *); /* datagrams that the kernel dropped */
void peer_desk_log_queries(struct peer_desk *, unsigned a_second);
uint64_t peer_desk_queries_left_out(const struct peer_desk *); /* of the access log */

/* Embedded in who asks, on the asker's own loop and thread; zeroed: nothing is asked. */
struct peer_errand {
	struct peer_desk *desk; /* NULL: not in use */
	struct loop *loop;
	uint64_t id;
	peer_on_answer_f *on_answer;
	void *cookie;
	struct peer_errand_link *link; /* what the late post finds */
};

/* As peer_ask.h has them, from any loop; the answer comes on that loop, never from inside. */
void peer_errand_start(struct peer_errand *, struct peer_desk *, struct loop *, const struct peer_ask *,
		       peer_on_answer_f *, void *cookie);
void peer_errand_again(struct peer_errand *, uint64_t have, const uint32_t *not_these, size_t n);
void peer_errand_fetching(struct peer_errand *);
void peer_errand_streaming(struct peer_errand *, uint32_t order);
void peer_errand_progress(struct peer_errand *, uint64_t have);
/* Harmless when not in use. */
void peer_errand_end(struct peer_errand *, bool stored, uint64_t size);

/* Something has been stored without an errand: the homes are told. From any loop. */
void peer_desk_stored(struct peer_desk *, const struct key *);

struct peer_desk_news {
	uint64_t told, lost; /* lost: too many at a time */
};

struct peer_desk_news peer_desk_news(const struct peer_desk *); /* on the cluster loop */

/* A parent sends what siblings were asked for in vain: one in a thousand of these, the first of them to begin with, is audited
 * (peer_set_audit). From any loop. */
#define PEER_DESK_AUDITS_EACH 1000
void peer_desk_parent_served(struct peer_desk *, const struct key *, const struct key_variant *);

/* Figures of fetches, from any loop. */
void peer_desk_fetch_began(struct peer_desk *, uint32_t node);
void peer_desk_fetch_ended(struct peer_desk *, uint32_t node, bool ok, enum peer_false why, uint64_t bytes,
			   int64_t ttfb_us);
void peer_desk_fetch_hedged(struct peer_desk *, uint32_t node);
void peer_desk_fetch_cancelled(struct peer_desk *, uint32_t node, uint64_t bytes);
void peer_desk_serving(struct peer_desk *, uint32_t node, bool begins, uint64_t bytes);

#endif
