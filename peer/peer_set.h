/* peer_set: the other nodes of the cluster: who they are, how they are, and what they say by datagram.
 *
 * The set stands on no socket, loop or clock: datagrams are given to it with the time, it sends through a function, and says when it
 * wants to be called next. So a test runs hundreds of sets in one process on a wire of its own (tests/play). What binds it to the
 * node's socket and loop, and to other threads, is peer_desk.
 *
 * The parts that share the set's inside (peer_internal.h):
 *
 *     peer_set      members, the way in for each datagram, what goes to all
 *     peer_state    how they are: states, and what is sent when nobody asks (HELLO, PING)
 *     peer_wire     sealing and opening: secrets, boots, sequence windows, challenges, rates
 *     peer_pursuit  this node's one try to get the object of a key (peer_ask.h)
 *     peer_ask      its question, to all or to the key's homes; peer_round: the datagrams of it; peer_found: first good answer wins
 *     peer_answer   what others are told about a key
 *     peer_home     the directory of keys that this node is home for (clusters of 20 and more)
 *     peer_announce what is here, told to homes that do not know it
 *     peer_audit    what lookups miss
 *     peer_score    figures per peer
 *
 * States of a peer, each observer for itself:
 *
 *     NEW         nothing heard yet; asked, not waited for
 *     UP          answers
 *     SUSPECT     3 datagrams in a row unanswered (those within 100 ms count as one), or 2 failures by TCP; asked, not waited for; pinged
 *                 each second. After failures by TCP not asked for 1 s, twice as long each time up to 60 s
 *     DEAD        10 s of that without an answer; not asked; pinged every 5 to 10 s
 *     PROBATION   back from DEAD: at most 2 fetches from it at a time at first, one more each second, all after 30 s
 *     DRAINING    it has said BYE; not asked, until it says HELLO with a new boot
 *     UDP_BLOCKED fetches from it work, datagrams have been unanswered for 60 s; not asked
 *
 * A peer that nobody had a reason to talk to is pinged after 10 s; silence for want of traffic is not death. When more than half
 * of the members (of three or more) become suspect within 5 s, it is this node that is cut off: states freeze, nobody is asked, until
 * somebody answers.
 *
 * Parents are members, too: pinged, shown, told of purges, and answered when they ask. They are not asked, for a miss goes to them by TCP
 * anyway; so they are neither counted for the choice between asking all and asking homes, nor homes.
 *
 * Who speaks is known by the tag of its datagram, not by where it comes from; and what is said to a member goes to the address that it has
 * in the list, never to where something came from. So a forged or repeated datagram makes nobody send to a third.
 *
 * Times are in microseconds of the caller's monotonic clock. One thread. */
#ifndef PEER_PEER_SET_H
#define PEER_PEER_SET_H

#include "node/cache/key.h"
#include "node/net/addr.h"
#include "peer/peer_score.h"

struct peer_set;

#define PEER_STATE_TABLE(X)                                                                                            \
	X(NEW, "new")                                                                                                  \
	X(UP, "up")                                                                                                    \
	X(SUSPECT, "suspect")                                                                                          \
	X(DEAD, "dead")                                                                                                \
	X(PROBATION, "probation")                                                                                      \
	X(DRAINING, "draining")                                                                                        \
	X(UDP_BLOCKED, "udp-blocked")

enum peer_state {
#define X(id, word) PEER_##id,
	PEER_STATE_TABLE(X)
#undef X
		PEER_STATES
};

const char *peer_state_word(enum peer_state);

enum peer_role { PEER_EDGE = 1, PEER_PARENT = 2 };
enum peer_lookup { PEER_LOOKUP_AUTO, PEER_LOOKUP_ALL, PEER_LOOKUP_HOME };

/* What is here under a key, as the node's cache says. */
enum peer_here { PEER_HERE_NOT, PEER_HERE_WHOLE, PEER_HERE_GROWING, PEER_HERE_BUSY };

struct peer_holding {
	enum peer_here here;
	uint64_t size, have; /* size 0: unknown */
	uint8_t digest[8];
	uint32_t age_s;
	int32_t ttl_s;
	bool other_variant; /* something is here, but for other requests: `vary` says by which fields */
	char vary[PEERMSG_VARY_BYTES + 1];
};

/* One key of a question of another node, and what was said to it. */
struct peer_asked {
	const struct peer_member *asker; /* borrowed */
	bool is_invalid;                 /* a question that cannot be read: no key, no answer, nothing of the rest */
	struct peermsg_key key;
	struct key_variant variant; /* all zero: does not vary */
	enum peermsg_status said;
	size_t bytes; /* its share of the datagram that answered: those of all keys make up the whole */
	mono_us took; /* since the kernel had it */
};

/* Something that is here whole and may be shared, one per variant. */
struct peer_stored {
	struct peermsg_key key;
	uint64_t size;
};

#define PEER_STORED_PARTS 64 /* that what is here is looked through in */

/* What a set stands on. All functions are called from inside the set's own, and must not call it back. */
struct peer_ground {
	void (*send)(void *cookie, const struct addr *to, struct span datagram);
	/* May be asked for often; only what may be shared (anonymous, immutable, 200) counts as here. `variant` all zero: does not vary. */
	void (*look)(void *cookie, const struct peermsg_key *, const struct key_variant *, struct peer_holding *out);
	/* A purge has come (checked by nobody yet); `removed` is told back to the sender. False: it was not good, or known;
	 * then nothing is told. */
	bool (*purge)(void *cookie, struct span record, uint32_t *removed);
	/* A peer has seen purges that we have not: have them fetched. At most once a second. May be NULL. */
	void (*behind)(void *cookie, uint32_t node, uint64_t serial);
	/* All that look would call WHOLE in one of PEER_STORED_PARTS parts, in a list that the caller frees: how many. NULL when it is
	 * empty. Is called one part at a time, seldom; may itself be NULL: nothing is announced. */
	size_t (*stored)(void *cookie, unsigned part, struct peer_stored **list);
	/* For a log: each key of each question from a member, when the answer has been sent; AUDITs are not told. May be NULL. */
	void (*asked)(void *cookie, const struct peer_asked *);
	void *cookie;
};

struct peer_self {
	char name[PEERMSG_NAME_BYTES + 1]; /* its id follows from it (rendezvous_node_id) */
	enum peer_role role;
	uint16_t tcp_port, zone;
	uint64_t boot;      /* random per process start; not 0 */
	uint64_t seed;      /* for jitter, nonces and challenges: random, and secret */
	size_t dgram_bytes; /* of what is sent; 0: PEERMSG_SEND_BYTES */
	enum peer_lookup lookup;
};

struct peer_member {
	char name[PEERMSG_NAME_BYTES + 1];
	enum peer_role role;
	struct addr addr; /* UDP and TCP; len 0: not resolved yet */
	uint16_t zone;
};

struct peer_secret {
	uint8_t kid; /* 1 to 127 */
	uint8_t b[PEERMSG_SECRET_BYTES];
};

#define PEER_MOST_SECRETS 8
#define PEER_MOST_MEMBERS 4096

/* Borrows the ground's cookie. */
struct peer_set *peer_set_new(const struct peer_self *, const struct peer_ground *, mono_us now);
void peer_set_free(struct peer_set *); /* all asks have ended or been cancelled; harmless on NULL */

/* Copied. The active one seals, all open: so that keys change without a gap (add, switch, remove). None: everything is dropped. */
void peer_set_secrets(struct peer_set *, const struct peer_secret *, size_t n, uint8_t active);
/* The members as they are from now on, without this node itself (skipped if it is there). Who stays keeps state and figures, even with
 * another address. Of two names with the same id the later one is left out: returns how many were. */
size_t peer_set_members(struct peer_set *, const struct peer_member *, size_t n, mono_us now);
/* This node's own state, told in PINGs; LOADING and DRAINING answer NOFETCH. */
void peer_set_state(struct peer_set *, enum peermsg_node_state, uint8_t load, uint32_t objects, uint64_t purge_serial);

/* A datagram has come. `received`: when the kernel got it. `from` is for whoever looks; nothing is sent there. */
void peer_set_receive(struct peer_set *, const struct addr *from, struct span datagram, mono_us received, mono_us now);
/* What is due: deadlines, pings. Call it when the time has come that peer_set_due says; harmless earlier. */
void peer_set_tick(struct peer_set *, mono_us now);
mono_us peer_set_due(const struct peer_set *); /* changes with every call */
/* Says BYE to all: the node stops. */
void peer_set_bye(struct peer_set *, uint16_t back_in_s, mono_us now);
/* Sends a purge record to all members; best effort. */
void peer_set_spread(struct peer_set *, uint64_t serial, struct span record, mono_us now);

/* --- what fetches by TCP teach (peer_link) --- */
void peer_set_fetch_began(struct peer_set *, uint32_t node);
/* ok: the whole body came. Else why not. `ttfb_us` 0: no first byte. */
void peer_set_fetch_ended(struct peer_set *, uint32_t node, bool ok, enum peer_false why, uint64_t bytes,
			  int64_t ttfb_us, mono_us now);
void peer_set_fetch_hedged(struct peer_set *, uint32_t node); /* it was late, and another way was begun besides */
void peer_set_fetch_cancelled(struct peer_set *, uint32_t node, uint64_t bytes);
void peer_set_serving(struct peer_set *, uint32_t node, bool begins, uint64_t bytes); /* to it */

/* Something that siblings were asked for in vain is on its way from a parent: asks all members once more, in the background, for the
 * ratio of false misses. Not for every one. */
void peer_set_audit(struct peer_set *, const struct key *, const struct key_variant *, mono_us now);

/* --- looking --- */
struct peer_audits {
	uint64_t asked, found; /* found: somebody had it whole, so the miss was a false one */
};

struct peer_audits peer_set_audits(const struct peer_set *);

struct peer_view {
	uint32_t id;
	struct peer_member member;
	enum peer_state state;
	mono_us since; /* in this state */
	uint64_t boot; /* 0: never heard */
	uint8_t load;  /* as it says */
	uint32_t objects;
	const struct peer_score *score; /* borrowed until the next call */
};

typedef void peer_set_each_f(void *cookie, const struct peer_view *);
void peer_set_each(struct peer_set *, peer_set_each_f *, void *cookie); /* by name */
bool peer_set_find(struct peer_set *, uint32_t node, struct peer_view *);
size_t peer_set_count(const struct peer_set *, enum peer_state); /* how many are in it */
bool peer_set_is_isolated(const struct peer_set *);
/* The mode in force. AUTO, by the number of edges on the list, this node included: all up to 16, homes from 20, as it was between. */
bool peer_set_asks_homes(const struct peer_set *);
/* Are there homes to be told what is here: does anybody ask homes, and is this node one that others come to? */
bool peer_set_tells_homes(const struct peer_set *);
/* What came from nobody we know. */
const uint64_t *peer_set_strangers(const struct peer_set *); /* [PEER_DROPS] */
/* Over the sorted names, this node's included: the same where the same list is in force. */
uint64_t peer_set_members_hash(const struct peer_set *);
uint32_t peer_set_self(const struct peer_set *); /* this node's id */

#endif
