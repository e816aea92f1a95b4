/* peer_home: the directory of the keys that this node is home for, and what homes are told.
 *
 * An entry says who has a key, who has a part of it, and who has been granted to fetch it. A grant holds for 2 s after its holder was
 * last heard of (a PROGRESS, or the question itself), or until it FAILED or a reader found it NOT_THERE; then the next that asks gets it,
 * one at a time. Nothing else ages: who has the whole is forgotten when it says so, when a reader did not find it there, when it is
 * dead, leaves, or has a new boot. To a home that has lost its memory, or is new, holders announce themselves (peer_announce); meanwhile the
 * key is found by its other home. */
#include "peer/peer_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "proto/rendezvous.h"

#define HOLDERS 8
#define LEASE_US (2 * 1000 * 1000)
#define LEASE_MS (LEASE_US / 1000)
#define MOST_PLACES (1 << 18)
#define CROWDED 8 /* so many of the oldest are looked at for one that is not worth much */
#define MOST_UNSENT 4096
#define READERS 2            /* that one source is given before the next is */
#define STEP_BYTES (4 << 20) /* what is known of a holder may be so much behind */

struct holder {
	uint32_t node, order; /* order 0: has the whole */
	uint64_t have;
	mono_us heard;
	unsigned named; /* as the first choice */
};

struct place {
	struct map_node by_key;
	TAILQ_ENTRY(place) age;
	struct peermsg_key key;
	uint64_t size;
	uint32_t granted; /* to whom; 0: nobody. It is among the holders */
	unsigned n;
	struct holder v[HOLDERS];
};

TAILQ_HEAD(places, place);

struct unsent {
	uint32_t to;
	struct peermsg_hint_rec rec;
};

struct peer_home {
	unsigned magic;
	struct map by_key;
	struct places oldest;
	size_t n;
	struct unsent *unsent;
	size_t n_unsent, room;
	uint32_t generation; /* of hints sent */
};

#define HOME_MAGIC 0x40e1d1a7

struct peer_home *peer__home_new(struct peer_set *set)
{
	struct peer_home *home = NEW(struct peer_home);

	(void)set;
	home->magic = HOME_MAGIC;
	TAILQ_INIT(&home->oldest);
	return home;
}

/* ---- places ---- */

static struct place *place_of(struct map_node *node)
{
	return (struct place *)(void *)((char *)node - offsetof(struct place, by_key));
}

static bool is_place(const struct map_node *node, const void *wanted)
{
	const struct place *pl = (const void *)((const char *)node - offsetof(struct place, by_key));
	const struct peermsg_key *key = wanted;

	return memcmp(pl->key.b, key->b, PEERMSG_KEY_BYTES) == 0;
}

static uint64_t hash_of(const struct peermsg_key *key)
{
	uint64_t h;

	memcpy(&h, key->b, sizeof(h));
	return h;
}

static struct place *find_place(struct peer_home *home, const struct peermsg_key *key)
{
	struct map_node *node = map_find(&home->by_key, hash_of(key), is_place, key);

	return node ? place_of(node) : NULL;
}

static void free_place(struct peer_home *home, struct place *pl)
{
	map_remove(&home->by_key, &pl->by_key);
	TAILQ_REMOVE(&home->oldest, pl, age);
	home->n--;
	free(pl);
}

static void touch(struct peer_home *home, struct place *pl)
{
	TAILQ_REMOVE(&home->oldest, pl, age);
	TAILQ_INSERT_TAIL(&home->oldest, pl, age);
}

/* One of the oldest that only one node has; else the oldest. */
static void make_room(struct peer_home *home)
{
	struct place *pl = TAILQ_FIRST(&home->oldest);

	for (int i = 0; i < CROWDED && pl && pl->n > 1; i++)
		pl = TAILQ_NEXT(pl, age);
	free_place(home, pl ? pl : TAILQ_FIRST(&home->oldest));
}

static struct place *open_place(struct peer_home *home, const struct peermsg_key *key)
{
	struct place *pl = find_place(home, key);

	if (pl) {
		touch(home, pl);
		return pl;
	}
	if (home->n == MOST_PLACES)
		make_room(home);
	pl = NEW(struct place);
	pl->key = *key;
	map_insert(&home->by_key, &pl->by_key, hash_of(key));
	TAILQ_INSERT_TAIL(&home->oldest, pl, age);
	home->n++;
	return pl;
}

void peer__home_free(struct peer_home *home)
{
	if (!home)
		return;
	CHECK(home, HOME_MAGIC);
	for (struct place *pl = TAILQ_FIRST(&home->oldest), *next; pl; pl = next) {
		next = TAILQ_NEXT(pl, age);
		free(pl);
	}
	map_fini(&home->by_key);
	free(home->unsent);
	home->magic = 0;
	free(home);
}

/* ---- holders ---- */

static struct holder *find_holder(struct place *pl, uint32_t node)
{
	for (unsigned i = 0; i < pl->n; i++)
		if (pl->v[i].node == node)
			return &pl->v[i];
	return NULL;
}

/* Of all that are there, the one that is missed least: those with a part first, those that were heard of longest ago first. */
static struct holder *least(struct place *pl)
{
	struct holder *worst = NULL;

	for (unsigned i = 0; i < pl->n; i++) {
		struct holder *h = &pl->v[i];

		if (h->node == pl->granted)
			continue;
		if (!worst || (h->order != 0) > (worst->order != 0) ||
		    ((h->order != 0) == (worst->order != 0) && h->heard < worst->heard))
			worst = h;
	}
	return worst;
}

static void hold(struct place *pl, uint32_t node, uint32_t order, uint64_t have, mono_us now)
{
	struct holder *h = find_holder(pl, node);
	unsigned named = h ? h->named : 0;

	if (!h)
		h = pl->n < HOLDERS ? &pl->v[pl->n++] : least(pl);
	*h = (struct holder){.node = node, .order = order, .have = have, .heard = now, .named = named};
	if (order != 1 && pl->granted == node) /* it has found another way */
		pl->granted = 0;
}

/* False: there is nothing left of the place. */
static bool drop(struct peer_home *home, struct place *pl, uint32_t node)
{
	struct holder *h = find_holder(pl, node);

	if (pl->granted == node)
		pl->granted = 0;
	if (h)
		*h = pl->v[--pl->n];
	if (pl->n)
		return true;
	free_place(home, pl);
	return false;
}

static bool is_alive(const struct holder *h, mono_us now)
{
	return h->order == 0 || now - h->heard < LEASE_US;
}

/* Who has been granted it, and has not been silent for too long since. */
static struct holder *lessee(struct place *pl, mono_us now)
{
	struct holder *h = pl->granted ? find_holder(pl, pl->granted) : NULL;

	return h && is_alive(h, now) ? h : NULL;
}

/* ---- answers ---- */

/* Two readers each, from the top down, then the next two each. */
static bool is_better(const struct holder *a, const struct holder *b)
{
	unsigned x = a->named / READERS, y = b->named / READERS;

	if (x != y)
		return x < y;
	if (a->order != b->order)
		return a->order < b->order;
	return a->named != b->named ? a->named < b->named : a->have > b->have;
}

static uint8_t load_of(struct peer_set *set, uint32_t node)
{
	struct peer *p = peer__find(set, node);

	return p ? p->load : set->load;
}

/* Sources of a smaller order than the asker's. False: none. */
static bool locate(struct peer_set *set, struct place *pl, uint32_t asker, const struct peermsg_query_rec *q,
		   mono_us now, struct peermsg_reply_rec *out)
{
	struct holder *best[PEERMSG_SOURCES];
	unsigned n = 0;

	for (unsigned i = 0; i < pl->n; i++) {
		struct holder *h = &pl->v[i];
		unsigned at = n;

		if (h->node == asker || !is_alive(h, now) || (q->order && h->order >= q->order) ||
		    (h->order && !(q->flags & PEERMSG_ACCEPT_PENDING)))
			continue;
		if (n < PEERMSG_SOURCES)
			n++;
		else if (!is_better(h, best[--at]))
			continue;
		for (; at > 0 && is_better(h, best[at - 1]); at--)
			best[at] = best[at - 1];
		best[at] = h;
	}
	if (n == 0)
		return false;
	out->status = PEERMSG_LOCATED;
	out->size = pl->size;
	out->n_sources = n;
	for (unsigned i = 0; i < n; i++)
		out->sources[i] = (struct peermsg_source){best[i]->node, load_of(set, best[i]->node), best[i]->have,
							  best[i]->order};
	best[0]->named++;
	return true;
}

static void grant(struct place *pl, uint32_t asker, mono_us now, struct peermsg_reply_rec *out)
{
	struct holder *h = find_holder(pl, asker);

	hold(pl, asker, 1, h ? h->have : 0, now);
	if (!lessee(pl, now))
		pl->granted = asker;
	out->status = PEERMSG_GRANT;
	out->wait_ms = LEASE_MS;
	out->order = 1;
}

void peer__home_answer(struct peer_set *set, struct peer *asker, const struct peermsg_query_rec *q, mono_us now,
		       struct peermsg_reply_rec *out)
{
	struct peer_home *home = set->home;
	uint32_t id = asker ? asker->id : set->id;
	struct place *pl = find_place(home, &q->key);
	struct holder *lease;

	CHECK(home, HOME_MAGIC);
	out->status = PEERMSG_MISS;
	if (pl && q->not_there && q->not_there != id && !drop(home, pl, q->not_there))
		pl = NULL;
	lease = pl ? lessee(pl, now) : NULL;
	if (pl && (!lease || lease->node != id) && locate(set, pl, id, q, now, out)) {
		touch(home, pl);
		return;
	}
	if (!(q->flags & PEERMSG_INTENT))
		return;
	if (!pl)
		pl = open_place(home, &q->key);
	grant(pl, id, now, out);
}

/* ---- hints ---- */

static void take_hint(struct peer_set *set, uint32_t from, const struct peermsg_hint_rec *h, mono_us now)
{
	struct peer_home *home = set->home;
	struct place *pl = find_place(home, &h->key);

	switch (h->op) {
	case PEERMSG_STORED:
	case PEERMSG_HOLDING:
		pl = open_place(home, &h->key);
		pl->size = h->bytes;
		hold(pl, from, 0, h->bytes, now);
		break;
	case PEERMSG_PROGRESS:
		if (h->order == 0)
			break;
		pl = open_place(home, &h->key);
		hold(pl, from, h->order, h->bytes, now);
		if (h->order == 1 && !lessee(pl, now))
			pl->granted = from;
		break;
	case PEERMSG_EVICTED:
	case PEERMSG_FAILED:
		if (pl)
			drop(home, pl, from);
		break;
	case PEERMSG_NOT_THERE:
		if (pl && h->node != from)
			drop(home, pl, h->node);
		break;
	default:
		break;
	}
}

void peer__on_hint(struct peer_set *set, struct peer *from, const struct peermsg *m, mono_us now)
{
	for (unsigned i = 0; i < m->hint.n; i++)
		take_hint(set, from->id, &m->hint.v[i], now);
}

void peer__home_forget(struct peer_set *set, uint32_t node)
{
	struct peer_home *home = set->home;

	for (struct place *pl = TAILQ_FIRST(&home->oldest), *next; pl; pl = next) {
		next = TAILQ_NEXT(pl, age);
		if (find_holder(pl, node))
			drop(home, pl, node);
	}
}

/* ---- telling ---- */

/* Those that are known to be gone are no homes, so that another is the first: it must not take silence for an answer each time. */
static bool may_be_home(const struct peer *p)
{
	return p->member.role == PEER_EDGE && p->state != PEER_DEAD && p->state != PEER_DRAINING &&
	       p->state != PEER_UDP_BLOCKED;
}

unsigned peer__homes(const struct peer_set *set, const struct peermsg_key *key, uint32_t out[2])
{
	uint64_t weights[2] = {0};
	unsigned n = 0;

	for (size_t i = 0; i <= set->n; i++) {
		bool self = i == set->n;
		uint32_t id = self ? set->id : set->v[i]->id;
		uint64_t w;
		unsigned at;

		if (self ? set->self.role != PEER_EDGE : !may_be_home(set->v[i]))
			continue;
		w = rendezvous_weight(key->b, id);
		for (at = n; at > 0 && (w > weights[at - 1] || (w == weights[at - 1] && id < out[at - 1])); at--)
			if (at < 2) {
				weights[at] = weights[at - 1];
				out[at] = out[at - 1];
			}
		if (at < 2) {
			weights[at] = w;
			out[at] = id;
			n += n < 2;
		}
	}
	return n;
}

/* While some still ask all and some ask homes, the homes hear from all. */
bool peer__has_homes(const struct peer_set *set)
{
	if (set->asks_homes)
		return true;
	for (size_t i = 0; i < set->n; i++)
		if (set->v[i]->said_mode == 2)
			return true;
	return false;
}

static void queue(struct peer_home *home, uint32_t to, const struct peermsg_hint_rec *h)
{
	if (home->n_unsent == MOST_UNSENT)
		return;
	if (home->n_unsent == home->room) {
		home->room = home->room ? 2 * home->room : 64;
		home->unsent = mem_realloc(home->unsent, home->room * sizeof(home->unsent[0]));
	}
	home->unsent[home->n_unsent++] = (struct unsent){to, *h};
}

void peer__home_tell(struct peer_set *set, const struct peermsg_hint_rec *h, mono_us now)
{
	uint32_t homes[2];
	unsigned n;

	if (!peer__has_homes(set))
		return;
	n = peer__homes(set, &h->key, homes);
	for (unsigned i = 0; i < n; i++) {
		if (homes[i] == set->id)
			take_hint(set, set->id, h, now);
		else
			queue(set->home, homes[i], h);
	}
}

unsigned peer__home_say(struct peer_set *set, struct peer *to, const struct peermsg_hint_rec *v, unsigned n,
			mono_us now)
{
	struct peermsg m = {.env = {.type = PEERMSG_HINT}};

	CHECK_THAT(n <= PEERMSG_RECORDS);
	m.hint.generation = ++set->home->generation;
	m.hint.n = n;
	memcpy(m.hint.v, v, n * sizeof(v[0]));
	return peer__send(set, to, &m, now);
}

/* All that one node is to hear, in as many datagrams as it takes. */
static void send_to(struct peer_set *set, uint32_t to, mono_us now)
{
	struct peer_home *home = set->home;
	struct peer *peer = peer__find(set, to);
	struct peermsg m = {.env = {.type = PEERMSG_HINT}};
	size_t at = 0;

	while (at < home->n_unsent) {
		size_t first = at;
		unsigned went;

		m.hint.n = 0;
		for (; at < home->n_unsent && m.hint.n < PEERMSG_RECORDS; at++)
			if (home->unsent[at].to == to)
				m.hint.v[m.hint.n++] = home->unsent[at].rec;
		if (m.hint.n == 0)
			return;
		m.hint.generation = ++home->generation;
		went = peer ? peer__send(set, peer, &m, now) : m.hint.n;
		if (went == 0)
			went = m.hint.n;
		for (at = first; went > 0; at++) {
			if (home->unsent[at].to != to)
				continue;
			home->unsent[at].to = 0;
			went--;
		}
	}
}

void peer__home_tick(struct peer_set *set, mono_us now)
{
	struct peer_home *home = set->home;

	for (size_t i = 0; i < home->n_unsent; i++)
		if (home->unsent[i].to)
			send_to(set, home->unsent[i].to, now);
	home->n_unsent = 0;
}

mono_us peer__home_due(const struct peer_set *set)
{
	return set->home->n_unsent ? 0 : MONO_NEVER;
}
