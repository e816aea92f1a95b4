/* What the parts of a peer_set share: peer_set.c (members, the way in), peer_state.c (how they are, pings), peer_wire.c (sealing and
 * opening), peer_pursuit.c (our pursuits), peer_ask.c (their questions), peer_round.c (the datagrams of these), peer_found.c (what the answers
 * are worth), peer_answer.c (others' questions), peer_home.c (the directory), peer_announce.c (what is here, told to homes that do not know
 * it). */
#ifndef PEER_PEER_INTERNAL_H
#define PEER_PEER_INTERNAL_H

#include <sys/queue.h>

#include "node/base/heap.h"
#include "node/base/map.h"
#include "peer/peer_ask.h"
#include "peer/peer_set.h"

#define PEER_WINDOW_BITS 1024 /* of sequence numbers, per peer and boot */
#define PEER_QIDS 64          /* questions to one peer whose answers may still come late */

/* ---- peer_wire: one per peer: what has been heard of it, so that nothing is heard twice ---- */

struct peer_window {
	uint64_t boot; /* 0: none known */
	uint64_t top;  /* highest sequence number seen */
	uint64_t seen[PEER_WINDOW_BITS / 64];
	bool proven; /* it has echoed a challenge, or answered a fresh nonce, under this boot: may change something */
	uint8_t challenge[16]; /* that it was given last; zero: none; good for 10 s */
	mono_us challenged_at;
	mono_us bucket_at; /* keys it may still ask: 5000 a second, 10000 at once */
	double bucket;
	mono_us unproven_at; /* datagrams under a boot that is not proven: 20 a second, 20 at once */
	double unproven;
};

/* ---- peer_announce ---- */

struct peer_unsaid {
	struct peer_stored *v;
	size_t n, room;
};

struct peer_announce {
	bool is_walking;
	unsigned part;         /* the next one to be taken */
	struct peer_stored *v; /* the one that is looked at, up to `at` */
	size_t n, at;
	size_t turn;               /* who comes next */
	mono_us step_at, again_at; /* MONO_NEVER: nobody is untold */
};

struct peer {
	uint32_t id;
	struct peer_member member;
	struct map_node by_id;
	struct heap_node by_due; /* in the set's `due` */
	mono_us due;
	enum peer_state state;
	mono_us since, heard, sent; /* MONO: last datagram in (valid) and out; 0: never */
	mono_us answered;           /* something of ours, last; 0: never */
	unsigned unanswered;        /* datagrams in a row, at least 100 ms apart */
	mono_us unanswered_at;      /* the last of them */
	unsigned tcp_failures;      /* in a row */
	unsigned false_row;         /* fetches in a row that found it without what it had said it has */
	mono_us tcp_fine_at;        /* last fetch that ended well; 0: never */
	mono_us tcp_retry_at;       /* dialling fails: not asked before */
	dur_ms tcp_backoff;
	mono_us udp_silent_since;    /* 0: not */
	mono_us ping_at;             /* next one due; MONO_NEVER: none */
	uint64_t ping_nonce;         /* of the one outstanding; 0: none */
	mono_us ping_sent, ping_due; /* unanswered at `ping_due` counts */
	uint8_t load, said_state, said_mode;
	uint32_t objects;
	uint64_t members_hash, purge_serial;
	bool hello_done;           /* under its present boot and ours */
	bool forgotten;            /* by the directory, since it is dead */
	TAILQ_ENTRY(peer) doubted; /* in the set's `doubted` while is_doubted */
	bool is_doubted;
	mono_us doubted_at;
	bool untold;               /* what is here is to be announced to it */
	bool announcing;           /* the walk that goes on is for it, too */
	struct peer_unsaid unsaid; /* found by the walk and not sent yet */
	bool gone;                 /* in peer_set_members: not on the new list */
	struct peer_window window;
	struct peer_score score;
};

/* ---- peer_pursuit and its question (peer_ask, peer_round, peer_found) ---- */

#define PEER_TELL_BYTES (4 << 20) /* between two PROGRESS; so what is known of another may be as much behind */
#define PEER_MOST_LEFT_OUT 16
#define PEER_MOST_INTENTS 32

/* Rounds and pursuits in one heap. */
struct peer_due {
	struct heap_node node;
	mono_us at;
	bool is_round;
};

/* One key of a datagram that went out. */
struct peer_slot {
	struct peer_pursuit *pursuit; /* NULL: it does not wait any more */
	LIST_ENTRY(peer_slot) link;   /* of the pursuit's */
	uint32_t node;
	bool is_expected, is_answered, is_audit;
};

/* What an answer was worth; the smaller the better. */
enum peer_grade { PEER_GRADE_WHOLE, PEER_GRADE_PENDING, PEER_GRADE_BEHIND, PEER_GRADE_INTENDED, PEER_GRADE_BUSY };

struct peer_candidate {
	enum peer_grade grade;
	struct peer_source source;
	uint64_t coin;
};

/* One that is asking itself, of a better place than we. */
struct peer_intent {
	uint32_t node, standing; /* the order it had */
};

enum peer_phase { PEER_QUEUED, PEER_ASKING, PEER_ANSWERED, PEER_FETCHING, PEER_STREAMING };

struct peer_pursuit {
	unsigned magic;
	struct peer_set *set;
	struct peer_ask ask; /* have: up to date */
	struct peermsg_key key;
	peer_on_answer_f *on_answer;
	void *cookie;
	struct map_node by_key;
	TAILQ_ENTRY(peer_pursuit) all, queued;
	enum peer_phase phase;
	uint32_t order, former; /* former: before it asked again; never greater */
	uint64_t size;
	unsigned again;
	uint32_t left_out[PEER_MOST_LEFT_OUT];
	unsigned n_left_out;
	uint32_t not_there; /* the next query says so */

	/* the question */
	struct peer_due due;
	LIST_HEAD(, peer_slot) slots;
	bool at_homes, is_ready;
	unsigned asked, waiting; /* expected ones that have not answered */
	mono_us started, deadline, repeat_at, grace_at;
	uint32_t homes[2], first; /* first: the home that decides; 0: the other one does */
	unsigned n_homes;
	bool first_said, is_granted;
	struct peer_candidate found[PEERMSG_SOURCES];
	struct peer_intent intents[PEER_MOST_INTENTS]; /* best first */
	unsigned n_found, n_intents;
	char vary[PEERMSG_VARY_BYTES + 1];

	/* PEER_ANSWERED with one that only intends to get it */
	uint32_t awaited, awaited_standing;

	mono_us told_at;
	uint64_t told;
};

#define PEER_PURSUIT_MAGIC 0x7b12e0a9

/* Those that ask one node together. */
struct peer_batch {
	struct peer_pursuit *v[PEERMSG_RECORDS];
	unsigned n;
};

TAILQ_HEAD(peer_pursuits, peer_pursuit);
LIST_HEAD(peer_auditing, peer_audit);
TAILQ_HEAD(peer_doubts, peer);

struct peer_set {
	unsigned magic;
	struct peer_self self;
	struct peer_ground ground;
	uint32_t id;
	uint64_t seq;        /* of the datagram sent last */
	uint64_t sent_bytes; /* of all datagrams */
	uint64_t random;     /* state of a small generator, seeded */
	struct peer **v;     /* by name */
	size_t n;
	struct map by_id;
	struct peer_secret secrets[PEER_MOST_SECRETS];
	size_t n_secrets;
	uint8_t active;
	enum peermsg_node_state state;
	uint8_t load;
	uint32_t objects;
	uint64_t purge_serial, members_hash;
	bool asks_homes;
	struct heap due;            /* peers, by what is to be done about them next */
	struct peer_doubts doubted; /* became suspect within the last 5 s, oldest first */
	size_t n_doubted;
	mono_us isolated_until;     /* 0: not */
	bool isolated_heard;        /* somebody has answered since */
	mono_us parents_only_until; /* too much loss with most peers; 0: not */
	mono_us loss_looked_at;     /* whether it is so */
	mono_us behind_at;          /* ground.behind was called */
	uint64_t strangers[PEER_DROPS];

	/* peer_pursuit.c, peer_ask.c, peer_round.c: pursuits by key, rounds by qid, and both by what is due */
	struct map pursuits, rounds;
	struct heap deadlines;
	struct peer_pursuits all, queued; /* queued: asked with the next tick */

	/* peer_home.c */
	struct peer_home *home;

	/* peer_announce.c */
	struct peer_announce announce;

	/* peer_audit.c */
	struct peer_auditing auditing;
	unsigned n_audits; /* that are asked now */
	struct peer_audits audits;
};

#define PEER_SET_MAGIC 0x9ee45e70

/* --- peer_set.c --- */
struct peer *peer__find(struct peer_set *, uint32_t id);

/* --- peer_state.c --- */
uint64_t peer__random(struct peer_set *);
/* It has answered something of ours that it could not have answered before: alive. For PONG, HELLO_BACK, and any response of a proven boot
 * the set calls it itself; harmless twice. */
void peer__heard(struct peer_set *, struct peer *, mono_us now);
/* A datagram of ours that wanted an answer got none in its time. Those within 100 ms count as one. */
void peer__unanswered(struct peer_set *, struct peer *, mono_us now);
/* May it be asked about keys (an edge with an address, not dead, ...; nobody while this node is isolated); and is its answer waited for
 * (UP, PROBATION)? Parents are never asked: a miss goes to them by TCP anyway. */
bool peer__is_asked(const struct peer_set *, const struct peer *, mono_us now);
bool peer__is_expected(const struct peer *);

/* It has said something of its own accord, under its proven boot: no proof that it hears us, but a reason to try. */
void peer__spoke(struct peer_set *, struct peer *, mono_us now);
/* Something has come under a boot that is not proven: say HELLO, so that it proves it; at most once a second. */
void peer__greet(struct peer_set *, struct peer *, mono_us now);
/* Its proven boot is another than before: what was known of the process before it is void. */
void peer__rebooted(struct peer_set *, struct peer *, mono_us now);
/* Its challenge is answered. */
void peer__echo(struct peer_set *, struct peer *, const uint8_t challenge[16], mono_us now);
/* It has said BYE. */
void peer__rest(struct peer_set *, struct peer *, mono_us now);
/* A fetch from it has ended well; or not. */
void peer__fetched(struct peer_set *, struct peer *, mono_us now);
void peer__was_false(struct peer_set *, struct peer *, enum peer_false, mono_us now);
void peer__become(struct peer_set *, struct peer *, enum peer_state, mono_us now);
void peer__trust_again(struct peer_set *, struct peer *); /* it is not among the doubted any more */
void peer__put_hello(const struct peer_set *, struct peermsg_hello *, uint64_t nonce);
void peer__put_ping(const struct peer_set *, struct peermsg_ping *, uint64_t nonce, uint64_t t_us);
void peer__ping_soon(struct peer *,
		     mono_us now); /* no earlier than a second after the last one; to be followed by rearm */
/* What is due for it has changed. */
void peer__rearm(struct peer_set *, struct peer *);
/* What was due is done. */
void peer__attend(struct peer_set *, struct peer *, mono_us now);
void peer__isolation_tick(struct peer_set *, mono_us now);
struct peer *peer__of_due(const struct heap_node *);
bool peer__is_due_before(const struct heap_node *, const struct heap_node *);

/* --- peer_wire.c --- */
/* Fills in the envelope (all but the type), seals and sends to the configured address, never to where something came from.
 * Returns how many records went out (see peermsg_format); 0: nothing, there is no secret, no address or no room. */
unsigned peer__send(struct peer_set *, struct peer *to, struct peermsg *, mono_us now);
/* Tag, addressee, member, sequence: NULL when it is not to be acted upon (counted). *proven: may it change something here? When it may
 * not, and the message wanted to, peer__challenge is what to answer. */
struct peer *peer__open(struct peer_set *, struct span datagram, mono_us now, struct peermsg *, bool *proven);
void peer__challenge(struct peer_set *, struct peer *, uint64_t qid, mono_us now);
/* A HELLO with the echo of our challenge has come: its boot is proven. False: not what was asked for. */
bool peer__prove(struct peer_set *, struct peer *, const struct peermsg *, mono_us now);
/* It has answered a fresh random number of ours under this boot: proven. When that is another than before, the window begins anew. */
void peer__take_boot(struct peer_set *, struct peer *, const struct peermsg_envelope *, mono_us now);
/* So many keys asked by this peer now: false: over its rate. peer_set.c has asked before it calls peer__on_query. */
bool peer__allows(struct peer *, unsigned keys, mono_us now);

/* --- peer_pursuit.c --- */
/* This node's own pursuit of a key that asks with intent or fetches; NULL: none. The variant NULL: any. */
struct peer_pursuit *peer__pursuit(struct peer_set *, const struct peermsg_key *, const struct key_variant *);
/* What an asker is told of it: PENDING, INTENDED or MISS. A pursuit that is outranked by the asker will read from it. */
void peer__pursuit_answer(struct peer_pursuit *, uint32_t asker, const struct peermsg_query_rec *,
			  struct peermsg_reply_rec *out);
/* Who goes before whom on the way to a key: a smaller order (0 is the greatest), then the better rank. */
bool peer__goes_before(const uint8_t *key, uint32_t order_a, uint32_t a, uint32_t order_b, uint32_t b);

/* --- peer_ask.c --- */
void peer__ask_init(struct peer_set *); /* by peer_set_new, peer_set_free */
void peer__ask_fini(struct peer_set *);
void peer__ask_tick(struct peer_set *, mono_us now);
mono_us peer__ask_due(const struct peer_set *);
/* Asks with the next tick. */
void peer__queue_question(struct peer_pursuit *, mono_us now);
/* Nothing that comes still counts. */
void peer__end_question(struct peer_pursuit *);
/* The node has said this: the end of the question, perhaps, and of the pursuit. */
void peer__ask_heard(struct peer_pursuit *, uint32_t node, const struct peermsg_reply_rec *, mono_us now);
/* What the pursuit asks. */
struct peermsg_query_rec peer__query_rec(const struct peer_pursuit *);
/* In the set's `deadlines`, or there no more. */
void peer__set_due(struct peer_set *, struct peer_due *, mono_us at);
void peer__clear_due(struct peer_set *, struct peer_due *);

/* --- peer_round.c --- */
void peer__rounds_fini(struct peer_set *);
/* As many datagrams as it takes; none when nothing can be sent. */
void peer__send_batch(struct peer_set *, struct peer *, const struct peer_batch *, mono_us now);
/* No answer to its question is its any more. */
void peer__leave_slots(struct peer_pursuit *);
void peer__on_reply(struct peer_set *, struct peer *, const struct peermsg *, mono_us received, mono_us now);
void peer__on_error(struct peer_set *, struct peer *, const struct peermsg *, mono_us now);
void peer__round_due(struct peer_set *, struct peer_due *, mono_us now);
/* A member leaves: rounds do not wait for it any more. */
void peer__rounds_forget(struct peer_set *, struct peer *, mono_us now);

/* --- peer_found.c --- */
/* What one node has said of the pursuit's key; is_ready or grace_at say when that is enough. */
void peer__weigh(struct peer_pursuit *, uint32_t node, const struct peermsg_reply_rec *, mono_us now);
/* The node is asking itself, with this order. False: it is none to wait for. */
bool peer__found_intended(struct peer_pursuit *, uint32_t node, uint32_t standing);
/* Of those who only intend to have it: whom to read from. */
void peer__choose_intended(struct peer_pursuit *);
bool peer__is_left_out(const struct peer_pursuit *, uint32_t node); /* it was no good */

/* --- peer_answer.c: only reads; asked by anybody who is a member, also under a boot that is not proven --- */
void peer__on_query(struct peer_set *, struct peer *, const struct peermsg *, mono_us received, mono_us now);
/* It has asked more than it may: says so. */
void peer__deny_query(struct peer_set *, struct peer *, const struct peermsg *, mono_us received, mono_us now);
/* Its question cannot be read. */
void peer__note_invalid(struct peer_set *, struct peer *);

/* --- peer_home.c --- */
struct peer_home *peer__home_new(struct peer_set *);
void peer__home_free(struct peer_home *);
/* The directory's answer for one record of a query: fills in LOCATED, GRANT or MISS. NULL asker: this node itself. */
void peer__home_answer(struct peer_set *, struct peer *asker, const struct peermsg_query_rec *, mono_us now,
		       struct peermsg_reply_rec *out);
/* Proven. */
void peer__on_hint(struct peer_set *, struct peer *, const struct peermsg *, mono_us now);
/* The two (or fewer) homes of a key among all edges (parents are no homes) and this node, if it is one; returns how many; ids best
 * first. */
unsigned peer__homes(const struct peer_set *, const struct peermsg_key *, uint32_t out[2]);
/* Tells the homes of a key (does it itself where this node is one); batched till the next tick. */
void peer__home_tell(struct peer_set *, const struct peermsg_hint_rec *, mono_us now);
void peer__home_forget(struct peer_set *, uint32_t node); /* it is dead for 60 s, leaves, or has a new boot */
void peer__home_tick(struct peer_set *, mono_us now);
mono_us peer__home_due(const struct peer_set *);
/* Does anybody ask homes, so that they have to be told? */
bool peer__has_homes(const struct peer_set *);
/* One HINT now: how many of the records it took; 0: it cannot be sent. */
unsigned peer__home_say(struct peer_set *, struct peer *, const struct peermsg_hint_rec *, unsigned n, mono_us now);

/* --- peer_announce.c --- */
void peer__announce_init(struct peer_set *, mono_us now); /* by peer_set_new, peer_set_free */
void peer__announce_fini(struct peer_set *);
/* It cannot know what is here: it has just been met, is back, or has begun anew. */
void peer__announce_to(struct peer_set *, struct peer *, mono_us now);
void peer__announce_to_all(struct peer_set *, mono_us now);
void peer__announce_resume(struct peer_set *, mono_us now); /* somebody asks homes from now on */
/* It leaves, or is not to be told any more of what has been found for it. */
void peer__announce_drop(struct peer *);
void peer__announce_tick(struct peer_set *, mono_us now);
mono_us peer__announce_due(const struct peer_set *);

/* --- peer_audit.c --- */
void peer__audit_fini(struct peer_set *); /* by peer_set_free */

#endif
