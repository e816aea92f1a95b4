/* flight: one fetch for however many wait for it.
 *
 * A flight is begun on the loop of the request that found nothing (or something stale), and fills an entry. Whoever wants the
 * answer watches that entry (cache/entry.h), on any loop; the flight knows only how many they are and how far the slowest is. It
 * outlives its client by its own rule (cache.quick_abort), and ends by itself.
 *
 * Whom it asks is decided in one place (route.c): siblings for what may be shared, then the parent that the key belongs to, then the
 * origin. What breaks off in the middle is gone on with elsewhere, from where it stopped.
 *
 * The head decides what becomes of it:
 *   - 304 to our own condition: the stored response is freshened, and all look again;
 *   - it may be stored: joiners read along; kept when complete and published;
 *   - it may not be shared: it is for the one who began; joiners look again, and find a mark, so that they do not wait for each
 *     other one by one (hit-for-miss);
 *   - it may be kept, but there is no room: those present read it through a window of cache.read_ahead.
 *
 * Belongs to its loop's thread. */
#ifndef NODE_FETCH_FLIGHT_H
#define NODE_FETCH_FLIGHT_H

#include "node/base/allowance.h"
#include "node/base/log.h"
#include "node/base/metric.h"
#include "node/cache/index.h"
#include "node/cache/store.h"
#include "node/link/dial.h"
#include "node/link/pool.h"
#include "node/policy/policy.h"
#include "node/record/hosttally.h"
#include "parent/parent_set.h"
#include "peer/peer_desk.h"
#include "proto/http1_parse.h"
#include "proto/pathclass.h"
#include "proto/url.h"

struct flight;
struct hostmoods;
struct mint;
struct orders;
struct recalls;

LIST_HEAD(flights, flight);

/* The other nodes, as flights of one loop see them. */
struct fetch_cluster {
	const char *name, *node;    /* of the cluster, and of this node in it */
	bool is_parent;             /* this node: it asks no siblings */
	struct peer_desk *desk;     /* siblings */
	struct parent_set *parents; /* may be empty */
	struct parent_set *fellows; /* of a parent: the others of its tier; else empty */
	struct allowance *hedges;   /* of fetches from siblings, on this loop */
	struct nodetls *tls;        /* changes at a reload */
	struct dns *dns;
};

/* What flights of one loop need; borrowed from the composition root. */
struct fetcher {
	struct flights *flights; /* those under way */
	struct loop *loop;
	struct dialer *dialer;
	struct pool *pool;
	struct index *index;
	struct store *store;
	struct mint *mint; /* remembers what origins' certificates say */
	struct metrics *metrics;
	struct hosttally *hosts; /* NULL: not counted by host */
	struct log *log;
	struct disk *disk;     /* NULL: there is no tier on disk; work is not used then */
	struct orders *orders; /* NULL: nothing is denied */
	struct work *work;
	const struct fetch_cluster *cluster; /* NULL: this node is in none */
	struct hostmoods *moods;             /* NULL: every host is well */
	struct recalls *recalls;             /* NULL: nothing is asked for again */
};

/* The request that began a flight, while it is there: for what concerns it alone. All callbacks come on the flight's loop, never
 * from inside a call. Any may be NULL. */
struct flight_owner {
	void (*informational)(void *cookie, const struct http1_response *); /* 1xx, borrowed */
	void (*send)(void *cookie);                                         /* flight_send has room */
	/* 101: the stream to the origin is the owner's now. `first` (borrowed) is the head, ready to be sent, and what came behind it. */
	void (*switched)(void *cookie, struct stream *, struct span first);
};

struct flight_ask {
	struct policy *policy;               /* shared */
	const struct http1_request *request; /* copied, as are the spans below */
	struct url url;
	struct span store_id;
	/* Who is dialled when the client CONNECTed to an address but means a name (ARCHITECTURE "Bump" in docs/); empty: url.host */
	struct span dial_host;
	struct span client; /* address of the one who asks, for headers.forwarded_for */
	struct path_facts path;
	struct fresh_request facts;
	struct key key; /* of the URL: what an unsafe method makes invalid (RFC 9111 §4.4) */
	struct key_credential who;
	struct entry *entry;   /* one reference taken; pending, or private */
	struct entry *stale;   /* shared; NULL: nothing to revalidate */
	bool store;            /* may be stored: a GET with an entry that is pending */
	enum reason here_only; /* with what it fails when it is not on our own disk; REASON_NONE: go elsewhere */
	bool from_child;       /* another node asks: what it says of the way it came is believed */
	bool whole;            /* conditions and range of the client are left out: the whole response is wanted */
	/* Something stale can be served instead: better no fetch than a long wait for a host that is failing (hostmood.h). Ends in
	 * REASON_HELD_BACK then. */
	bool spare;
	/* From upstream, whatever is stored, here or at a parent: neither disk nor siblings are looked at, and only a 200 takes the place
	 * of what is there (refresh.h). */
	bool afresh;
	struct link *brought; /* taken: the answer comes from there, and from nowhere else; NULL: it is fetched */
	bool recheck;         /* not for the answer, but for what it says of `stale` (recall.h) */
	const struct flight_owner *owner; /* NULL: none */
	void *cookie;
};

/* Never calls back, nor changes the entry, before it returns. */
struct flight *flight_start(const struct fetcher *, const struct flight_ask *);

/* The owner has gone (or has all it wants): no more callbacks; the body it still owed the origin is cut off. Harmless on NULL
 * inside; clears *f. The flight goes on, or not, by its own rule. */
void flight_leave(struct flight **f);

/* The owner's request body: how much was taken (all or nothing; then `send` comes). */
size_t flight_send(struct flight *, struct span);
void flight_send_end(struct flight *);

/* The node stops: ends all flights of this loop. Their owners have gone. */
void flight_end_all(const struct fetcher *);

#define FLIGHT_PEER_BYTES 64

enum flight_way { FLIGHT_DIRECT, FLIGHT_SIBLING, FLIGHT_PARENT, FLIGHT_BROUGHT };

/* For the log and the counters. */
struct flight_told {
	enum flight_way way;
	enum parent_source source;        /* PARENT: what it said of where it had the answer from */
	bool growing;                     /* SIBLING: which was still fetching it itself */
	char peer[FLIGHT_PEER_BYTES + 1]; /* "192.0.2.1" of an origin, "edge2" of a node; empty until known */
};

void flight_tell(const struct flight *, struct flight_told *out);

#endif
