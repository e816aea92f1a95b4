/* A pursuit's life, from its start to its end: its place among others, and what others, and the homes, are told of it. */
#include "peer/peer_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "proto/rendezvous.h"

#define TELL_US (500 * 1000)
#define READER_TELL_US (1500 * 1000) /* of those that read along there are many */

/* ---- by key ---- */

struct wanted {
	const struct peermsg_key *key;
	const struct key_variant *variant; /* NULL: any */
};

static bool is_wanted(const struct map_node *node, const void *wanted)
{
	const struct peer_pursuit *p = (const void *)((const char *)node - offsetof(struct peer_pursuit, by_key));
	const struct wanted *w = wanted;

	return memcmp(p->key.b, w->key->b, PEERMSG_KEY_BYTES) == 0 &&
	       (!w->variant || key_variant_same(&p->ask.variant, w->variant));
}

static uint64_t hash_of(const struct peermsg_key *key)
{
	uint64_t h;

	memcpy(&h, key->b, sizeof(h));
	return h;
}

static struct peer_pursuit *find_pursuit(struct peer_set *set, const struct wanted *w)
{
	struct map_node *node = map_find(&set->pursuits, hash_of(w->key), is_wanted, w);

	return node ? (struct peer_pursuit *)(void *)((char *)node - offsetof(struct peer_pursuit, by_key)) : NULL;
}

struct peer_pursuit *peer__pursuit(struct peer_set *set, const struct peermsg_key *key,
				   const struct key_variant *variant)
{
	return find_pursuit(set, &(struct wanted){key, variant});
}

static struct peermsg_key wire_key(const struct key *key)
{
	struct peermsg_key w;

	memcpy(w.b, key->b, sizeof(w.b));
	return w;
}

/* ---- places ---- */

bool peer__goes_before(const uint8_t *key, uint32_t order_a, uint32_t a, uint32_t order_b, uint32_t b)
{
	uint32_t x = order_a ? order_a : UINT32_MAX, y = order_b ? order_b : UINT32_MAX;

	return x != y ? x < y : rendezvous_outranks(key, a, b);
}

bool peer_ask_order(struct peer_set *set, const struct key *key, uint32_t *order)
{
	struct peermsg_key w = wire_key(key);
	struct peer_pursuit *p = find_pursuit(set, &(struct wanted){&w, NULL});

	if (!p)
		return false;
	*order = p->order;
	return true;
}

bool peer_ask_may_wait(struct peer_set *set, const struct key *key, uint32_t reader, uint32_t reader_order)
{
	struct peermsg_key w = wire_key(key);
	struct peer_pursuit *p = find_pursuit(set, &(struct wanted){&w, NULL});

	if (!p)
		return false;
	if (p->order)
		return !reader_order || p->order < reader_order;
	return peer__goes_before(w.b, p->former, set->id, reader_order, reader);
}

/* ---- what others are told ---- */

void peer__pursuit_answer(struct peer_pursuit *p, uint32_t asker, const struct peermsg_query_rec *q,
			  struct peermsg_reply_rec *out)
{
	out->status = PEERMSG_MISS;
	if (p->order) {
		if (!(q->flags & PEERMSG_ACCEPT_PENDING))
			return;
		out->status = PEERMSG_PENDING;
		out->size = p->size;
		out->have = p->ask.have;
		out->order = p->order;
		return;
	}
	if (!(q->flags & PEERMSG_INTENT) || (q->flags & PEERMSG_HOME))
		return;
	if (p->phase == PEER_ANSWERED) {
		if (!p->awaited || p->awaited == asker ||
		    !peer__goes_before(p->key.b, p->awaited_standing, p->awaited, q->order, asker))
			return;
		out->status = PEERMSG_INTENDED;
		out->node = p->awaited;
		out->order = p->awaited_standing;
		return;
	}
	if (!peer__goes_before(p->key.b, p->former, p->set->id, q->order, asker)) {
		peer__found_intended(p, asker, q->order);
		return;
	}
	out->status = PEERMSG_INTENDED;
	out->node = p->set->id;
	out->order = p->former;
}

/* ---- what the homes are told ---- */

static void tell(struct peer_pursuit *p, enum peermsg_hint_op op, uint64_t bytes, uint32_t node, mono_us now)
{
	struct peermsg_hint_rec h = {.op = (uint8_t)op, .key = p->key, .bytes = bytes, .order = p->order, .node = node};

	if (!p->ask.intent)
		return;
	p->told_at = now;
	p->told = p->ask.have;
	peer__home_tell(p->set, &h, now);
}

void peer_ask_note(struct peer_set *set, const struct peermsg_key *key, bool stored, uint64_t size, mono_us now)
{
	struct peermsg_hint_rec h = {.op = stored ? PEERMSG_STORED : PEERMSG_EVICTED, .key = *key, .bytes = size};

	CHECK(set, PEER_SET_MAGIC);
	if (stored || !peer__pursuit(set, key, NULL))
		peer__home_tell(set, &h, now);
}

/* ---- its life ---- */

struct peer_pursuit *peer_ask_start(struct peer_set *set, const struct peer_ask *ask, peer_on_answer_f *on_answer,
				    void *cookie, mono_us now)
{
	struct peer_pursuit *p = NEW(struct peer_pursuit);

	CHECK(set, PEER_SET_MAGIC);
	p->magic = PEER_PURSUIT_MAGIC;
	p->set = set;
	p->ask = *ask;
	p->key = wire_key(&ask->key);
	p->on_answer = on_answer;
	p->cookie = cookie;
	LIST_INIT(&p->slots);
	TAILQ_INSERT_TAIL(&set->all, p, all);
	if (ask->intent)
		map_insert(&set->pursuits, &p->by_key, hash_of(&p->key));
	peer__queue_question(p, now);
	return p;
}

static void leave_out(struct peer_pursuit *p, uint32_t node)
{
	if (peer__is_left_out(p, node))
		return;
	if (p->n_left_out == PEER_MOST_LEFT_OUT) {
		memmove(p->left_out, p->left_out + 1, sizeof(p->left_out) - sizeof(p->left_out[0]));
		p->n_left_out--;
	}
	p->left_out[p->n_left_out++] = node;
}

void peer_ask_again(struct peer_pursuit *p, uint64_t have, const uint32_t *not_these, size_t n, mono_us now)
{
	CHECK(p, PEER_PURSUIT_MAGIC);
	peer__end_question(p);
	p->ask.have = have;
	if (p->order)
		p->former = p->order;
	p->order = 0;
	for (size_t i = 0; i < n; i++) {
		leave_out(p, not_these[i]);
		if (i == 0)
			p->not_there = not_these[i];
		else
			tell(p, PEERMSG_NOT_THERE, 0, not_these[i], now);
	}
	p->again += n > 0;
	peer__queue_question(p, now);
}

void peer_ask_fetching(struct peer_pursuit *p, mono_us now)
{
	CHECK(p, PEER_PURSUIT_MAGIC);
	peer__end_question(p);
	p->phase = PEER_FETCHING;
	p->order = 1;
	p->told_at = now;
	if (!p->is_granted ||
	    p->first == p->set->id) /* a home that has granted knows; one that was not asked does not */
		tell(p, PEERMSG_PROGRESS, p->ask.have, 0, now);
}

void peer_ask_streaming(struct peer_pursuit *p, uint32_t order, mono_us now)
{
	CHECK(p, PEER_PURSUIT_MAGIC);
	peer__end_question(p);
	p->phase = PEER_STREAMING;
	p->order = order + 1;
	p->told_at = now;
	if (order)
		tell(p, PEERMSG_PROGRESS, p->ask.have, 0, now);
}

void peer_ask_progress(struct peer_pursuit *p, uint64_t have, mono_us now)
{
	CHECK(p, PEER_PURSUIT_MAGIC);
	p->ask.have = have;
	if (p->order == 1 ? now - p->told_at >= TELL_US || have - p->told >= PEER_TELL_BYTES
			  : p->order && now - p->told_at >= READER_TELL_US)
		tell(p, PEERMSG_PROGRESS, have, 0, now);
}

void peer_ask_ended(struct peer_pursuit **pp, bool stored, uint64_t size, mono_us now)
{
	struct peer_pursuit *p = *pp;
	struct peer_set *set;

	if (!p)
		return;
	CHECK(p, PEER_PURSUIT_MAGIC);
	*pp = NULL;
	set = p->set;
	if (stored)
		tell(p, PEERMSG_STORED, size, 0, now);
	else if (p->order || p->asked)
		tell(p, PEERMSG_FAILED, 0, 0, now);
	peer__end_question(p);
	TAILQ_REMOVE(&set->all, p, all);
	if (p->ask.intent)
		map_remove(&set->pursuits, &p->by_key);
	p->magic = 0;
	free(p);
}
