/* peer_ask: who has this, or is fetching it?
 *
 * A pursuit is this node's one try to get the object of one key (of a flight, fetch/flight.h). It goes:
 *
 *     peer_ask_start ─> ASKING ─answer: SOURCES─> the flight reads from one of them: peer_ask_streaming
 *                          │
 *                          └────answer: NOBODY──> the flight fetches: peer_ask_fetching
 *     either way                                  peer_ask_ended; or once more peer_ask_again, with what is there already
 *
 * While it lives, others that ask about the key are told INTENDED (we are asking ourselves, and outrank them) or PENDING (we have a
 * part), so that of all nodes that want a new object one fetches it, and the others read along.
 *
 * One round asks all members that are to be asked (mode all) or the key's two homes (mode home), and ends at the first HIT, PENDING (1 ms
 * later, in case something better comes), LOCATED; or when all that are waited for have said no; or at the deadline (peer_score). What
 * was not answered is unknown, and never remembered as absent.
 *
 * Acyclic by construction. A node's place in a key's order is (its order, its rank): the order is 1 for who fetches from outside, one
 * more than its source's for who reads along, greatest while it is not known; the rank is the rendezvous weight and decides between
 * equals. A node's place only ever gets better while its pursuit lives (asking again it keeps the order it had), and it waits only for one
 * of a better place: PENDING is told only with a known order, and taken only if that is smaller than the reader's own; INTENDED leads
 * to a better place alone. What has been said may be old when the reader comes by TCP, so the holder looks again: peer_ask_may_wait.
 * So no two nodes can wait for each other, whatever they believe of the membership and of the homes.
 *
 * A source may have up to 4 MiB less than the reader: those who lose one source together have nearly, never exactly, the same. */
#ifndef PEER_PEER_ASK_H
#define PEER_PEER_ASK_H

#include "peer/peer_set.h"

struct peer_pursuit;

enum peer_verdict {
	PEER_NOBODY, /* fetch it: nobody has it, or nobody could be asked */
	PEER_SOURCES,
};

struct peer_source {
	uint32_t node;
	char name[PEERMSG_NAME_BYTES + 1];
	struct addr addr;
	bool pending;      /* still coming there; or only intended (order 0 then) */
	uint32_t order;    /* 0: has the whole, or not known yet */
	uint64_t size;     /* 0: unknown */
	uint8_t digest[8]; /* zero when pending */
	int64_t ttfb_us;   /* what its first bytes take as a rule; 0: not known */
};

struct peer_answer {
	enum peer_verdict verdict;
	unsigned n;
	struct peer_source v[PEERMSG_SOURCES]; /* best first */
	char vary[PEERMSG_VARY_BYTES +
		  1]; /* a holder's Vary, when NOBODY had the variant: ask again with it; else empty */
	mono_us took; /* microseconds that the question took */
	unsigned asked;
};

/* Once per start or again, never from inside them. */
typedef void peer_on_answer_f(void *cookie, const struct peer_answer *);

struct peer_ask {
	struct key key;
	struct key_variant variant;
	uint64_t have; /* bytes that are here already */
	bool intent;   /* false: only a question (explain, audit); no pursuit is seen by others */
	bool audit;
	bool everybody; /* not the homes, whatever the mode */
	mono_us cap_us; /* wait no longer than this; 0: as learned */
};

/* Borrows all. Never NULL. With nobody to ask the answer is NOBODY, from the next peer_set_tick (which is then due at once). */
struct peer_pursuit *peer_ask_start(struct peer_set *, const struct peer_ask *, peer_on_answer_f *, void *cookie,
				    mono_us now);
/* The sources were no good (or broke off): asks again, leaving out `not` (n of them), of whom the homes hear that they have it not. After
 * two of these NOBODY is the answer. A source that was only busy is not named: wait a little, and ask again with n = 0, which is not
 * counted. While ASKING this, fetching and streaming drop the question that was asked: no answer to it comes. */
void peer_ask_again(struct peer_pursuit *, uint64_t have, const uint32_t *not_these, size_t n, mono_us now);
/* The flight fetches it from outside: order 1. Others are told PENDING from now on. */
void peer_ask_fetching(struct peer_pursuit *, mono_us now);
/* The flight reads from a source of this order (0: it has the whole). Call it as soon as the source has taken the reader and its order is
 * known, if need be before the first byte: those who come next can then be led to this node. */
void peer_ask_streaming(struct peer_pursuit *, uint32_t order, mono_us now);
/* From time to time, also while nothing has come yet but is still expected: homes (every 500 ms or 4 MiB) and readers are told. */
void peer_ask_progress(struct peer_pursuit *, uint64_t have, mono_us now);
/* The end: stored (the cache answers from now on), or not; also from inside on_answer. Clears *p; harmless on NULL inside; no answer comes afterwards. */
void peer_ask_ended(struct peer_pursuit **p, bool stored, uint64_t size, mono_us now);

/* The homes hear that something has been stored without a pursuit of ours (size 0: unknown), or is not here any more; not the latter while a
 * pursuit lives, whose end says how it is. Nothing where nobody asks homes. */
void peer_ask_note(struct peer_set *, const struct peermsg_key *, bool stored, uint64_t size, mono_us now);

/* This node's pursuit of a key, for those who come by TCP: its order (0: not known yet); false: none. */
bool peer_ask_order(struct peer_set *, const struct key *, uint32_t *order);
/* May a reader that comes by TCP wait for this node's pursuit of a key? Its order is the one it had (Pmc-Order), 0: none. To be looked
 * at when it comes, and before it is told to wait; else it is refused (409). False also when there is no pursuit. */
bool peer_ask_may_wait(struct peer_set *, const struct key *, uint32_t reader, uint32_t reader_order);

#endif
