#include "peer/peer_ask.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "peer/peer_internal.h"
#include "proto/rendezvous.h"

#define GRACE_US 1000             /* after the first PENDING, for something better */
#define LATE_US (2 * 1000 * 1000) /* so long an answer is known as late */
#define CAP_US (30 * 1000)
#define TELL_US (500 * 1000)
#define READER_TELL_US (1500 * 1000) /* of those that read along there are many */
#define TELL_BYTES (4 << 20)
#define MOST_AGAIN 2
#define MOST_LEFT_OUT 16
#define MOST_INTENTS 32

/* Rounds and pursuits in one heap. */
struct due {
	struct heap_node node;
	mono_us at;
	bool is_round;
};

/* One key of a datagram that went out. */
struct slot {
	struct peer_pursuit *pursuit; /* NULL: it does not wait any more */
	LIST_ENTRY(slot) link;        /* of the pursuit's */
	uint32_t node;
	bool is_expected, is_answered, is_audit;
};

/* One QUERY datagram. Lives until no answer can come any more, also after its pursuits. */
struct peer_round {
	struct due due;
	struct map_node by_qid;
	uint64_t qid;
	uint32_t node;
	mono_us sent;
	bool is_over, is_heard;
	unsigned n;
	struct slot v[];
};

/* What an answer was worth; the smaller the better. */
enum grade { GRADE_WHOLE, GRADE_PENDING, GRADE_BEHIND, GRADE_INTENDED, GRADE_BUSY };

struct candidate {
	enum grade grade;
	struct peer_source source;
	uint64_t coin;
};

/* One that is asking itself, of a better place than we. */
struct intent {
	uint32_t node, standing; /* the order it had */
};

enum phase { QUEUED, ASKING, ANSWERED, FETCHING, STREAMING };

struct peer_pursuit {
	unsigned magic;
	struct peer_set *set;
	struct peer_ask ask; /* have: up to date */
	struct peermsg_key key;
	peer_on_answer_f *on_answer;
	void *cookie;
	struct map_node by_key;
	TAILQ_ENTRY(peer_pursuit) all, queued;
	enum phase phase;
	uint32_t order, former; /* former: before it asked again; never greater */
	uint64_t size;
	unsigned again;
	uint32_t left_out[MOST_LEFT_OUT];
	unsigned n_left_out;
	uint32_t not_there; /* the next query says so */

	/* the question */
	struct due due;
	LIST_HEAD(, slot) slots;
	bool at_homes, is_ready;
	unsigned asked, waiting; /* expected ones that have not answered */
	mono_us started, deadline, repeat_at, grace_at;
	uint32_t homes[2], first; /* first: the home that decides; 0: the other one does */
	unsigned n_homes;
	bool first_said, is_granted;
	struct candidate found[PEERMSG_SOURCES];
	struct intent intents[MOST_INTENTS]; /* best first */
	unsigned n_found, n_intents;
	char vary[PEERMSG_VARY_BYTES + 1];

	/* ANSWERED with one that only intends to get it */
	uint32_t awaited, awaited_standing;

	mono_us told_at;
	uint64_t told;
};

#define PURSUIT_MAGIC 0x7b12e0a9

static struct peer_pursuit *pursuit_of(struct due *d)
{
	return (struct peer_pursuit *)(void *)((char *)d - offsetof(struct peer_pursuit, due));
}

static struct peer_round *round_of(struct due *d)
{
	return (struct peer_round *)(void *)((char *)d - offsetof(struct peer_round, due));
}

static bool is_sooner(const struct heap_node *a, const struct heap_node *b)
{
	const struct due *x = (const void *)((const char *)a - offsetof(struct due, node));
	const struct due *y = (const void *)((const char *)b - offsetof(struct due, node));

	return x->at < y->at;
}

static void set_due(struct peer_set *set, struct due *d, mono_us at)
{
	d->at = at;
	if (heap_has(&d->node))
		heap_moved(&set->deadlines, &d->node);
	else
		heap_insert(&set->deadlines, &d->node);
}

static void clear_due(struct peer_set *set, struct due *d)
{
	if (heap_has(&d->node))
		heap_remove(&set->deadlines, &d->node);
}

/* ---- tables ---- */

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

static bool is_qid(const struct map_node *node, const void *wanted)
{
	const struct peer_round *r = (const void *)((const char *)node - offsetof(struct peer_round, by_qid));
	const uint64_t *qid = wanted;

	return r->qid == *qid;
}

/* An answer counts only with the number of the question, and from the node that was asked. */
static struct peer_round *find_round(struct peer_set *set, uint64_t qid, const struct peer *from)
{
	struct map_node *node = map_find(&set->rounds, qid, is_qid, &qid);
	struct peer_round *r;

	if (!node)
		return NULL;
	r = (struct peer_round *)(void *)((char *)node - offsetof(struct peer_round, by_qid));
	return r->node == from->id ? r : NULL;
}

void peer__ask_init(struct peer_set *set)
{
	heap_init(&set->deadlines, is_sooner);
	TAILQ_INIT(&set->all);
	TAILQ_INIT(&set->queued);
}

static void leave_slot(struct slot *s)
{
	if (!s->pursuit)
		return;
	LIST_REMOVE(s, link);
	s->pursuit = NULL;
}

static void free_round(struct peer_set *set, struct peer_round *r)
{
	for (unsigned i = 0; i < r->n; i++)
		leave_slot(&r->v[i]);
	clear_due(set, &r->due);
	map_remove(&set->rounds, &r->by_qid);
	free(r);
}

void peer__ask_fini(struct peer_set *set)
{
	struct map_node *node, *next;

	CHECK_THAT(TAILQ_EMPTY(&set->all));
	for (node = map_next(&set->rounds, NULL); node; node = next) {
		next = map_next(&set->rounds, node);
		free_round(set, (struct peer_round *)(void *)((char *)node - offsetof(struct peer_round, by_qid)));
	}
	map_fini(&set->rounds);
	map_fini(&set->pursuits);
	heap_fini(&set->deadlines);
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

/* ---- what has been found ---- */

static bool is_left_out(const struct peer_pursuit *p, uint32_t node)
{
	for (unsigned i = 0; i < p->n_left_out; i++)
		if (p->left_out[i] == node)
			return true;
	return false;
}

static bool is_better(const struct candidate *a, const struct candidate *b)
{
	if (a->grade != b->grade)
		return a->grade < b->grade;
	if (a->source.order != b->source.order)
		return a->source.order < b->source.order;
	return a->coin < b->coin;
}

/* The best three are kept, each node once. */
static void keep(struct peer_pursuit *p, const struct candidate *c)
{
	unsigned at = p->n_found;

	for (unsigned i = 0; i < p->n_found; i++) {
		if (p->found[i].source.node != c->source.node)
			continue;
		if (!is_better(c, &p->found[i]))
			return;
		at = i;
	}
	if (at == PEERMSG_SOURCES && !is_better(c, &p->found[--at]))
		return;
	if (at == p->n_found)
		p->n_found++;
	for (; at > 0 && is_better(c, &p->found[at - 1]); at--)
		p->found[at] = p->found[at - 1];
	p->found[at] = *c;
}

/* Fills in who it is; false: nobody that could be read from. */
static bool is_source(struct peer_pursuit *p, uint32_t node, struct candidate *out)
{
	struct peer *peer = peer__find(p->set, node);

	*out = (struct candidate){.coin = peer__random(p->set)};
	if (!peer || !peer->member.addr.len || is_left_out(p, node))
		return false;
	out->source.node = node;
	memcpy(out->source.name, peer->member.name, sizeof(out->source.name));
	out->source.addr = peer->member.addr;
	out->source.ttfb_us = peer->score.ttfb_us;
	return true;
}

static bool found_whole(struct peer_pursuit *p, uint32_t node, uint64_t size, const uint8_t *digest)
{
	struct candidate c;

	if (!is_source(p, node, &c))
		return false;
	c.grade = GRADE_WHOLE;
	c.source.size = size;
	if (digest)
		memcpy(c.source.digest, digest, sizeof(c.source.digest));
	keep(p, &c);
	return true;
}

static bool found_part(struct peer_pursuit *p, enum grade grade, uint32_t node, uint32_t order, uint64_t size)
{
	struct candidate c;

	if (!order || (p->former && order >= p->former) || !is_source(p, node, &c))
		return false;
	c.grade = grade;
	c.source.pending = true;
	c.source.order = order;
	c.source.size = size;
	keep(p, &c);
	return true;
}

static enum grade grade_of(const struct peer_pursuit *p, uint64_t have)
{
	return have >= p->ask.have ? GRADE_PENDING : GRADE_BEHIND;
}

/* Has or gets it, but has readers enough for now: better than nobody. */
static bool found_busy(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r)
{
	struct candidate c;

	if (r->wait_ms == 0)
		return false;
	if (r->order)
		return found_part(p, GRADE_BUSY, node, r->order, 0);
	if (!is_source(p, node, &c))
		return false;
	c.grade = GRADE_BUSY;
	keep(p, &c);
	return true;
}

static bool found_intended(struct peer_pursuit *p, uint32_t node, uint32_t standing)
{
	struct candidate c;
	unsigned at = p->n_intents;

	if (p->at_homes || !peer__goes_before(p->key.b, standing, node, p->former, p->set->id) ||
	    !is_source(p, node, &c))
		return false;
	for (unsigned i = 0; i < p->n_intents; i++)
		if (p->intents[i].node == node)
			return true;
	if (at == MOST_INTENTS)
		return true;
	for (p->n_intents++; at > 0; at--) {
		const struct intent *before = &p->intents[at - 1];

		if (!peer__goes_before(p->key.b, standing, node, before->standing, before->node))
			break;
		p->intents[at] = *before;
	}
	p->intents[at] = (struct intent){node, standing};
	return true;
}

/* Of those that ask at the same time the first fetches, and each other one reads from the one at half its own place: so each has two
 * readers, and nobody is turned away by the first. Who that one is, and the first, in case it is gone. */
static void choose_intended(struct peer_pursuit *p)
{
	const struct intent *half = &p->intents[(p->n_intents + 1) / 2 - 1], *best = &p->intents[0];
	const struct intent *both[] = {half, best};

	p->awaited = half->node;
	p->awaited_standing = half->standing;
	p->n_found = 0;
	for (unsigned i = 0; i < (half == best ? 1 : 2); i++) {
		struct candidate *c = &p->found[p->n_found];

		if (!is_source(p, both[i]->node, c))
			continue;
		c->grade = GRADE_INTENDED;
		c->source.pending = true;
		p->n_found++;
	}
}

static bool found_located(struct peer_pursuit *p, const struct peermsg_reply_rec *r)
{
	bool any = false;

	for (unsigned i = 0; i < r->n_sources; i++) {
		const struct peermsg_source *s = &r->sources[i];

		if (s->node == p->set->id)
			continue;
		any |= s->order ? found_part(p, grade_of(p, s->have), s->node, s->order, r->size)
				: found_whole(p, s->node, r->size, NULL);
	}
	return any;
}

/* What one node said. True: it is something to go by. */
static bool take_record(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r)
{
	switch (r->status) {
	case PEERMSG_HIT:
		return found_whole(p, node, r->size, r->digest);
	case PEERMSG_PENDING:
		return r->have + TELL_BYTES >= p->ask.have &&
		       found_part(p, grade_of(p, r->have), node, r->order, r->size);
	case PEERMSG_LOCATED:
		return found_located(p, r);
	case PEERMSG_INTENDED:
		return found_intended(p, r->node, r->order);
	case PEERMSG_GRANT:
		p->is_granted |= p->at_homes && p->ask.intent;
		return p->is_granted;
	case PEERMSG_BUSY:
		return found_busy(p, node, r);
	case PEERMSG_VARY:
		memcpy(p->vary, r->vary, sizeof(p->vary));
		return false;
	default:
		return false;
	}
}

/* Asking all: the first HIT, LOCATED; a PENDING after a little. */
static void weigh(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r, mono_us now)
{
	if (!take_record(p, node, r))
		return;
	if (r->status == PEERMSG_HIT || r->status == PEERMSG_LOCATED)
		p->is_ready = true;
	else if (r->status == PEERMSG_PENDING && p->grace_at == MONO_NEVER)
		p->grace_at = now + GRACE_US;
}

/* Asking homes: the first one's word is taken when it has come, the second's when the first is silent or knows nothing. A HIT is one. */
static void weigh_home(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r)
{
	bool had = p->n_found || p->is_granted, good;
	unsigned n_others = p->n_found;
	bool was_granted = p->is_granted;
	struct candidate others[PEERMSG_SOURCES];

	memcpy(others, p->found, sizeof(others));
	p->n_found = 0;
	p->is_granted = false;
	good = take_record(p, node, r);
	if (!good || (node != p->first && had)) {
		memcpy(p->found, others, sizeof(others));
		p->n_found = n_others;
		p->is_granted = was_granted;
	}
	if (node == p->first)
		p->first_said = true;
	if ((good && r->status == PEERMSG_HIT) || ((good || had) && (!p->first || p->first_said)))
		p->is_ready = true;
}

/* ---- the end of a question ---- */

static void leave_slots(struct peer_pursuit *p)
{
	struct slot *s, *next;

	for (s = LIST_FIRST(&p->slots); s; s = next) {
		next = LIST_NEXT(s, link);
		leave_slot(s);
	}
}

/* Nothing that comes still counts. */
static void end_question(struct peer_pursuit *p)
{
	leave_slots(p);
	clear_due(p->set, &p->due);
	if (p->phase == QUEUED)
		TAILQ_REMOVE(&p->set->queued, p, queued);
	p->phase = ANSWERED;
}

static void settle(struct peer_pursuit *p, mono_us now)
{
	struct peer_answer a = {.verdict = PEER_NOBODY, .took = now - p->started, .asked = p->asked};

	end_question(p);
	if (p->n_intents && (p->n_found == 0 || p->found[0].grade == GRADE_BUSY))
		choose_intended(p);
	if (!p->is_granted && p->n_found) {
		a.verdict = PEER_SOURCES;
		a.n = p->n_found;
		for (unsigned i = 0; i < p->n_found; i++)
			a.v[i] = p->found[i].source;
	} else {
		memcpy(a.vary, p->vary, sizeof(a.vary));
		if (p->ask.intent && !a.vary[0])
			p->order = 1;
	}
	p->on_answer(p->cookie, &a);
}

static bool is_settled(const struct peer_pursuit *p, mono_us now)
{
	return p->is_ready || p->waiting == 0 || now >= p->deadline || now >= p->grace_at;
}

static void settle_if_due(struct peer_pursuit *p, mono_us now)
{
	if (p->phase != ASKING)
		return;
	if (is_settled(p, now)) {
		settle(p, now);
	} else {
		mono_us at = p->deadline;

		if (p->grace_at < at)
			at = p->grace_at;
		if (p->repeat_at < at)
			at = p->repeat_at;
		set_due(p->set, &p->due, at);
	}
}

/* ---- asking ---- */

struct batch {
	struct peer_pursuit *v[PEERMSG_RECORDS];
	unsigned n;
};

static struct peermsg_query_rec query_rec(const struct peer_pursuit *p)
{
	struct peermsg_query_rec r = {.key = p->key, .flags = PEERMSG_ACCEPT_PENDING};
	static const struct key_variant none;

	if (p->ask.intent)
		r.flags |= PEERMSG_INTENT;
	if (p->ask.audit)
		r.flags |= PEERMSG_AUDIT;
	if (p->at_homes)
		r.flags |= PEERMSG_HOME;
	if (p->former || p->ask.have)
		r.flags |= PEERMSG_RESUME;
	r.order = p->former;
	r.not_there = p->at_homes ? p->not_there : 0;
	r.has_variant = !key_variant_same(&p->ask.variant, &none);
	memcpy(r.variant, p->ask.variant.b, sizeof(r.variant));
	return r;
}

static mono_us own_wait(const struct peer_pursuit *p, const struct peer *peer)
{
	mono_us wait = peer_score_wait_us(&peer->score);

	return p->at_homes ? 2 * wait : wait; /* room for a repeat */
}

/* Those of the batch that went out: their round. */
static void begin_round(struct peer_set *set, struct peer *peer, const struct batch *b, unsigned from, unsigned n,
			uint64_t qid, mono_us until, mono_us now)
{
	struct peer_round *r = mem_zalloc(sizeof(*r) + n * sizeof(r->v[0]));
	unsigned counted = 0;

	r->due.is_round = true;
	r->qid = qid;
	r->node = peer->id;
	r->sent = now;
	r->n = n;
	for (unsigned i = 0; i < n; i++) {
		struct peer_pursuit *p = b->v[from + i];

		r->v[i] = (struct slot){.pursuit = p,
					.node = peer->id,
					.is_expected = peer__is_expected(peer),
					.is_audit = p->ask.audit};
		LIST_INSERT_HEAD(&p->slots, &r->v[i], link);
		p->asked++;
		counted += !p->ask.audit;
	}
	map_insert(&set->rounds, &r->by_qid, qid);
	set_due(set, &r->due, until);
	peer->score.queries_sent += counted > 0;
	peer->score.keys_sent += counted;
}

static void send_batch(struct peer_set *set, struct peer *peer, const struct batch *b, mono_us now)
{
	for (unsigned from = 0, went; from < b->n; from += went) {
		struct peermsg m = {.env = {.type = PEERMSG_QUERY}};
		mono_us wait = peer_score_wait_us(&peer->score);

		m.query.qid = peer__random(set);
		for (unsigned i = from; i < b->n; i++) {
			m.query.v[m.query.n++] = query_rec(b->v[i]);
			if (b->v[i]->deadline - now > wait)
				wait = b->v[i]->deadline - now;
		}
		m.query.budget_ms = (uint16_t)((wait + 999) / 1000);
		went = peer__send(set, peer, &m, now);
		if (went == 0)
			return;
		CHECK_THAT(from + went <= b->n);
		begin_round(set, peer, b, from, went, m.query.qid, now + wait, now);
	}
}

static bool is_target(const struct peer_pursuit *p, const struct peer *peer)
{
	if (!p->at_homes)
		return !is_left_out(p, peer->id);
	for (unsigned i = 0; i < p->n_homes; i++)
		if (p->homes[i] == peer->id)
			return true;
	return false;
}

/* This node is a home itself: no datagram. The second home need not be asked when the first is here and knows. */
static void ask_self(struct peer_pursuit *p, mono_us now)
{
	struct peermsg_query_rec q = query_rec(p);
	struct peermsg_reply_rec r = {0};

	peer__home_answer(p->set, NULL, &q, now, &r);
	weigh_home(p, p->set->id, &r);
	if (p->is_ready)
		p->n_homes = 0;
}

static void choose_homes(struct peer_pursuit *p, mono_us now)
{
	bool self = false;

	p->n_homes = peer__homes(p->set, &p->key, p->homes);
	p->first = 0;
	for (unsigned i = 0; i < p->n_homes && !p->first; i++) {
		struct peer *peer = peer__find(p->set, p->homes[i]);

		if (p->homes[i] == p->set->id || (peer && peer__is_asked(p->set, peer, now) && peer__is_expected(peer)))
			p->first = p->homes[i];
	}
	for (unsigned i = 0; i < p->n_homes; i++)
		self |= p->homes[i] == p->set->id;
	if (self)
		ask_self(p, now);
}

/* How long for whom: before anything is sent, since the datagrams say so. */
static void begin_question(struct peer_pursuit *p, mono_us now)
{
	struct peer_set *set = p->set;
	mono_us wait = 0;

	p->at_homes = set->asks_homes && !p->ask.everybody;
	p->waiting = 0;
	if (p->again > MOST_AGAIN) {
		p->n_found = p->n_intents = 0;
		p->is_ready = true;
	} else if (p->at_homes) {
		choose_homes(p, now);
	}
	for (size_t i = 0; i < set->n && !p->is_ready; i++) {
		struct peer *peer = set->v[i];

		if (!is_target(p, peer) || !peer__is_asked(set, peer, now) || !peer__is_expected(peer))
			continue;
		p->waiting++;
		if (own_wait(p, peer) > wait)
			wait = own_wait(p, peer);
	}
	if (wait > CAP_US)
		wait = CAP_US;
	if (p->ask.cap_us && wait > p->ask.cap_us)
		wait = p->ask.cap_us;
	p->deadline = now + wait;
	p->repeat_at = p->at_homes ? now + wait / 2 : MONO_NEVER;
}

/* The batch of one target among those that have begun. */
static void ask_target(struct peer_set *set, struct peer *peer, const struct peer_pursuits *queued, mono_us now)
{
	struct batch b = {.n = 0};
	struct peer_pursuit *p;

	TAILQ_FOREACH(p, queued, queued)
	{
		if (p->is_ready || !is_target(p, peer))
			continue;
		b.v[b.n++] = p;
		if (b.n == PEERMSG_RECORDS) {
			send_batch(set, peer, &b, now);
			b.n = 0;
		}
	}
	if (b.n)
		send_batch(set, peer, &b, now);
}

/* Nobody is called back from here: what is settled already is due at once. */
static void ask_queued(struct peer_set *set, mono_us now)
{
	struct peer_pursuit *p, *next;

	TAILQ_FOREACH(p, &set->queued, queued)
	{
		begin_question(p, now);
	}
	for (size_t i = 0; i < set->n; i++)
		if (peer__is_asked(set, set->v[i], now))
			ask_target(set, set->v[i], &set->queued, now);
	for (p = TAILQ_FIRST(&set->queued); p; p = next) {
		next = TAILQ_NEXT(p, queued);
		TAILQ_REMOVE(&set->queued, p, queued);
		p->phase = ASKING;
		p->not_there = 0;
		set_due(set, &p->due, now);
	}
}

/* Homes that are silent are asked a second time. */
static void repeat(struct peer_pursuit *p, mono_us now)
{
	struct peer_set *set = p->set;
	struct batch one = {.v = {p}, .n = 1};
	uint32_t silent[2];
	unsigned n = 0;
	struct slot *s;

	p->repeat_at = MONO_NEVER;
	LIST_FOREACH(s, &p->slots, link)
	{
		if (s->is_expected && n < 2)
			silent[n++] = s->node;
	}
	for (unsigned i = 0; i < n; i++) {
		struct peer *peer = peer__find(set, silent[i]);

		if (peer && peer__is_asked(set, peer, now))
			send_batch(set, peer, &one, now);
	}
}

/* ---- answers ---- */

/* One node needs not be waited for any more, by whichever of its datagrams. */
static void node_has_answered(struct peer_pursuit *p, uint32_t node)
{
	struct slot *s, *next;
	bool expected = false;

	for (s = LIST_FIRST(&p->slots); s; s = next) {
		next = LIST_NEXT(s, link);
		if (s->node != node)
			continue;
		expected |= s->is_expected;
		leave_slot(s);
	}
	if (expected && p->waiting)
		p->waiting--;
}

static void on_record(struct peer_round *r, struct slot *s, struct peer *peer, const struct peermsg_reply_rec *rec,
		      mono_us now)
{
	struct peer_pursuit *p = s->pursuit;

	s->is_answered = true;
	if (!s->is_audit) {
		if (r->is_over)
			peer->score.late++;
		else
			peer_score_answered(&peer->score, (enum peermsg_status)rec->status);
	}
	if (!p || p->phase != ASKING)
		return;
	node_has_answered(p, peer->id);
	if (p->at_homes)
		weigh_home(p, peer->id, rec);
	else
		weigh(p, peer->id, rec, now);
	settle_if_due(p, now);
}

void peer__on_reply(struct peer_set *set, struct peer *peer, const struct peermsg *m, mono_us received, mono_us now)
{
	const struct peermsg_reply *reply = &m->reply;
	struct peer_round *r = find_round(set, reply->qid, peer);

	if (!r) {
		peer->score.dropped[PEER_DROP_UNASKED]++;
		return;
	}
	peer__heard(set, peer, now);
	peer->load = reply->load;
	if (!r->is_heard) {
		mono_us rtt = received - r->sent - (mono_us)reply->took_us;

		r->is_heard = true;
		peer_score_rtt(&peer->score, rtt > 0 ? rtt : 0);
	}
	for (unsigned i = 0; i < reply->n; i++) {
		const struct peermsg_reply_rec *rec = &reply->v[i];

		if (rec->index < r->n && !r->v[rec->index].is_answered)
			on_record(r, &r->v[rec->index], peer, rec, now);
	}
}

/* It does not want to answer this datagram: no to all its keys. */
void peer__on_error(struct peer_set *set, struct peer *peer, const struct peermsg *m, mono_us now)
{
	struct peer_round *r = find_round(set, m->err.qid, peer);
	struct peermsg_reply_rec no = {.status = PEERMSG_MISS};

	if (!r)
		return;
	peer->score.errors++;
	for (unsigned i = 0; i < r->n; i++)
		if (!r->v[i].is_answered)
			on_record(r, &r->v[i], peer, &no, now);
}

void peer__ask_forget(struct peer_set *set, struct peer *peer, mono_us now)
{
	struct map_node *node, *next;

	for (node = map_next(&set->rounds, NULL); node; node = next) {
		struct peer_round *r =
			(struct peer_round *)(void *)((char *)node - offsetof(struct peer_round, by_qid));

		next = map_next(&set->rounds, node);
		if (r->node != peer->id)
			continue;
		for (unsigned i = 0; i < r->n; i++) {
			struct peer_pursuit *p = r->v[i].pursuit;

			if (!p || p->phase != ASKING)
				continue;
			node_has_answered(p, peer->id);
			set_due(set, &p->due, now);
		}
		free_round(set, r);
	}
}

/* ---- time ---- */

/* Its deadline is over: what has not been answered counts as lost. Later its late answers are of no interest either. */
static void round_due(struct peer_set *set, struct peer_round *r, mono_us now)
{
	struct peer *peer = peer__find(set, r->node);
	bool silent = true;

	if (r->is_over || !peer) {
		free_round(set, r);
		return;
	}
	r->is_over = true;
	for (unsigned i = 0; i < r->n; i++) {
		if (r->v[i].is_answered)
			silent = false;
		else if (!r->v[i].is_audit)
			peer_score_timed_out(&peer->score);
	}
	set_due(set, &r->due, r->sent + LATE_US);
	if (silent)
		peer__unanswered(set, peer, now);
}

static void pursuit_due(struct peer_set *set, struct peer_pursuit *p, mono_us now)
{
	if (p->phase == QUEUED) {
		ask_queued(set, now);
		return;
	}
	if (!is_settled(p, now) && now >= p->repeat_at)
		repeat(p, now);
	settle_if_due(p, now);
}

void peer__ask_tick(struct peer_set *set, mono_us now)
{
	struct heap_node *min;

	while ((min = heap_min(&set->deadlines)) != NULL) {
		struct due *d = (struct due *)(void *)((char *)min - offsetof(struct due, node));

		if (d->at > now)
			return;
		if (d->is_round)
			round_due(set, round_of(d), now);
		else
			pursuit_due(set, pursuit_of(d), now);
	}
}

mono_us peer__ask_due(const struct peer_set *set)
{
	struct heap_node *min = heap_min(&set->deadlines);

	return min ? ((const struct due *)(const void *)((const char *)min - offsetof(struct due, node)))->at
		   : MONO_NEVER;
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
	if (p->phase == ANSWERED) {
		if (!p->awaited || p->awaited == asker ||
		    !peer__goes_before(p->key.b, p->awaited_standing, p->awaited, q->order, asker))
			return;
		out->status = PEERMSG_INTENDED;
		out->node = p->awaited;
		out->order = p->awaited_standing;
		return;
	}
	if (!peer__goes_before(p->key.b, p->former, p->set->id, q->order, asker)) {
		found_intended(p, asker, q->order);
		return;
	}
	out->status = PEERMSG_INTENDED;
	out->node = p->set->id;
	out->order = p->former;
}

/* ---- a pursuit's life ---- */

static void tell(struct peer_pursuit *p, enum peermsg_hint_op op, uint64_t bytes, uint32_t node, mono_us now)
{
	struct peermsg_hint_rec h = {.op = (uint8_t)op, .key = p->key, .bytes = bytes, .order = p->order, .node = node};

	if (!p->ask.intent)
		return;
	p->told_at = now;
	p->told = p->ask.have;
	peer__home_tell(p->set, &h, now);
}

static void queue(struct peer_pursuit *p, mono_us now)
{
	p->phase = QUEUED;
	p->started = now;
	p->is_ready = p->first_said = p->is_granted = false;
	p->asked = p->waiting = p->n_homes = p->n_found = p->n_intents = 0;
	p->grace_at = p->repeat_at = p->deadline = MONO_NEVER;
	p->awaited = 0;
	p->vary[0] = '\0';
	TAILQ_INSERT_TAIL(&p->set->queued, p, queued);
	set_due(p->set, &p->due, now);
}

struct peer_pursuit *peer_ask_start(struct peer_set *set, const struct peer_ask *ask, peer_on_answer_f *on_answer,
				    void *cookie, mono_us now)
{
	struct peer_pursuit *p = NEW(struct peer_pursuit);

	CHECK(set, PEER_SET_MAGIC);
	p->magic = PURSUIT_MAGIC;
	p->set = set;
	p->ask = *ask;
	p->key = wire_key(&ask->key);
	p->on_answer = on_answer;
	p->cookie = cookie;
	LIST_INIT(&p->slots);
	TAILQ_INSERT_TAIL(&set->all, p, all);
	if (ask->intent)
		map_insert(&set->pursuits, &p->by_key, hash_of(&p->key));
	queue(p, now);
	return p;
}

static void leave_out(struct peer_pursuit *p, uint32_t node)
{
	if (is_left_out(p, node))
		return;
	if (p->n_left_out == MOST_LEFT_OUT) {
		memmove(p->left_out, p->left_out + 1, sizeof(p->left_out) - sizeof(p->left_out[0]));
		p->n_left_out--;
	}
	p->left_out[p->n_left_out++] = node;
}

void peer_ask_again(struct peer_pursuit *p, uint64_t have, const uint32_t *not_these, size_t n, mono_us now)
{
	CHECK(p, PURSUIT_MAGIC);
	end_question(p);
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
	queue(p, now);
}

void peer_ask_fetching(struct peer_pursuit *p, mono_us now)
{
	CHECK(p, PURSUIT_MAGIC);
	end_question(p);
	p->phase = FETCHING;
	p->order = 1;
	p->told_at = now;
	if (!p->is_granted ||
	    p->first == p->set->id) /* a home that has granted knows; one that was not asked does not */
		tell(p, PEERMSG_PROGRESS, p->ask.have, 0, now);
}

void peer_ask_streaming(struct peer_pursuit *p, uint32_t order, mono_us now)
{
	CHECK(p, PURSUIT_MAGIC);
	end_question(p);
	p->phase = STREAMING;
	p->order = order + 1;
	p->told_at = now;
	if (order)
		tell(p, PEERMSG_PROGRESS, p->ask.have, 0, now);
}

void peer_ask_progress(struct peer_pursuit *p, uint64_t have, mono_us now)
{
	CHECK(p, PURSUIT_MAGIC);
	p->ask.have = have;
	if (p->order == 1 ? now - p->told_at >= TELL_US || have - p->told >= TELL_BYTES
			  : p->order && now - p->told_at >= READER_TELL_US)
		tell(p, PEERMSG_PROGRESS, have, 0, now);
}

void peer_ask_ended(struct peer_pursuit **pp, bool stored, uint64_t size, mono_us now)
{
	struct peer_pursuit *p = *pp;
	struct peer_set *set;

	if (!p)
		return;
	CHECK(p, PURSUIT_MAGIC);
	*pp = NULL;
	set = p->set;
	if (stored)
		tell(p, PEERMSG_STORED, size, 0, now);
	else if (p->order || p->asked)
		tell(p, PEERMSG_FAILED, 0, 0, now);
	end_question(p);
	TAILQ_REMOVE(&set->all, p, all);
	if (p->ask.intent)
		map_remove(&set->pursuits, &p->by_key);
	p->magic = 0;
	free(p);
}

void peer_ask_note(struct peer_set *set, const struct peermsg_key *key, bool stored, uint64_t size, mono_us now)
{
	struct peermsg_hint_rec h = {.op = stored ? PEERMSG_STORED : PEERMSG_EVICTED, .key = *key, .bytes = size};

	CHECK(set, PEER_SET_MAGIC);
	if (stored || !peer__pursuit(set, key, NULL))
		peer__home_tell(set, &h, now);
}
