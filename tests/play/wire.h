/* wire: a cluster in one process, on a network that is made up.
 *
 * Up to some hundred peer_sets with names and addresses, each with a fake cache and fake flights, on one made-up clock. Datagrams are lost,
 * delayed, doubled and overtaken as the dice say, and the dice follow from the seed: the same play each time. Bodies go over a fake
 * TCP that is never lossy, only slow, refused, cut or dead.
 *
 * A fake flight does what fetch/ does with peer_ask: asks; reads from a source at a rate while the source has bytes; tries the next
 * one when it is refused; asks again when its source dies or stalls; fetches from the origin when told NOBODY. A fake door lets in two
 * readers of one object, and only those that peer_ask_may_wait lets wait.
 *
 * At each step the graph of who waits for whom is walked; a cycle is counted, and must never be.
 *
 * With a parent, who is told to fetch reads from it, and it fetches each object once. Private objects are fetched without a question, and each
 * datagram is looked through for their keys. A body is a content's mark: what a liar serves has another one, which is found at the end of the
 * body, as by a digest; the flight then begins anew, without the liar. */
#ifndef TESTS_PLAY_WIRE_H
#define TESTS_PLAY_WIRE_H

#include "peer/peer_ask.h"

#define WIRE_MS ((mono_us)1000)
#define WIRE_S ((mono_us)1000000)

struct wire;

struct wire_settings {
	unsigned nodes;
	uint64_t seed;
	enum peer_lookup lookup;
	unsigned readers; /* of one object at one node; 0: 2 */
	bool parent;
};

/* May be changed at any time. */
struct wire_weather {
	double loss, twice;           /* of datagrams, 0 to 1 */
	mono_us delay_min, delay_max; /* one way */
	double spikes;                /* so many take 3 to 30 ms more */
};

struct wire_figures {
	uint64_t datagrams, lost;
	uint64_t of_type[128];       /* datagrams by the type of their envelope */
	uint64_t bytes_of_type[128]; /* with 28 for IP and UDP each */
	unsigned cycles;             /* of nodes that wait for each other */
	unsigned refused_order, refused_busy, refused_gone;
	unsigned private_keys; /* seen in a datagram */
	unsigned wrong_found;  /* bodies that a liar gave, and that were thrown away */
	uint64_t trace;        /* over all datagrams that arrived, with their times: the same for the same play */
};

/* All know each other, and have said hello. */
struct wire *wire_new(const struct wire_settings *);
void wire_free(struct wire *);

struct wire_weather *wire_weather(struct wire *);
struct wire_figures *wire_figures(struct wire *);
mono_us wire_now(const struct wire *);
uint64_t wire_dice(struct wire *, uint64_t below);
struct peer_set *wire_set(struct wire *, unsigned node);
uint32_t wire_id(struct wire *, unsigned node);
const struct key *wire_key(struct wire *, unsigned object);
/* Which node has this id. */
unsigned wire_of_id(struct wire *, uint32_t id);

/* A to b alone; datagrams and connections. */
void wire_cut(struct wire *, unsigned a, unsigned b, bool cut);
/* Nodes below `first` from the rest. */
void wire_part(struct wire *, unsigned first);
void wire_heal(struct wire *);
/* What one node believes: only the nodes from `first` on, so many of them. */
void wire_believe(struct wire *, unsigned node, unsigned first, unsigned n);
/* The process is gone; its connections break. */
void wire_kill(struct wire *, unsigned node);
/* A new process, with an empty cache and a new boot. */
void wire_restart(struct wire *, unsigned node);
/* The same with what was in its cache, as if it were on disk. Before it is killed: wire_kill forgets. */
void wire_reboot(struct wire *, unsigned node);
/* Copies of all datagrams are kept from now on; wire_replay brings them all once more. */
void wire_record(struct wire *);
size_t wire_replay(struct wire *);

/* A new object at the origin: returns its number. */
unsigned wire_object(struct wire *, uint64_t size, uint64_t bytes_a_second, mono_us ttfb);
unsigned wire_private(struct wire *, uint64_t size, uint64_t bytes_a_second, mono_us ttfb); /* for one client's eyes */
bool wire_is_private(struct wire *, unsigned object);
void wire_lies(struct wire *, unsigned node, bool);                /* what it serves from now on are other bytes */
bool wire_is_wrong(struct wire *, unsigned node, unsigned object); /* other bytes were stored there */
unsigned wire_upstream(struct wire *,
		       unsigned object); /* fetches that reached the origin: of the parent, where there is one */
bool wire_is_up(struct wire *, unsigned node);
void wire_has(struct wire *, unsigned node, unsigned object); /* it is in the cache there */
/* It is not any more; told: its homes hear of it. */
void wire_evict(struct wire *, unsigned node, unsigned object, bool told);
bool wire_is_there(struct wire *, unsigned node, unsigned object);
/* A client of the node wants it at this time (from now on). */
void wire_want(struct wire *, unsigned node, unsigned object, mono_us at);
unsigned wire_fetches(struct wire *, unsigned object); /* begun at the origin, from the beginning or in the middle */
/* The first node that is fetching it from the origin now; -1: none. */
int wire_fetcher(struct wire *, unsigned object);
uint64_t wire_have(struct wire *, unsigned node, unsigned object);
unsigned wire_wanting(struct wire *, unsigned object); /* flights that have not ended */

/* The flight of a node ends without the object. */
void wire_fail(struct wire *, unsigned node, unsigned object);

/* Something was done with wire_set that is due sooner than the wire knows. */
void wire_stir(struct wire *, unsigned node);
void wire_pass(struct wire *, mono_us);
/* Until nobody wants the object any more, or `most` have passed: false. */
bool wire_finish(struct wire *, unsigned object, mono_us most);

#endif
