/* The question of a pursuit: whom to ask, how long to wait for whom, once more to silent homes, and when it is settled. Pursuits that are
 * queued ask together, so that one node hears of all their keys in one datagram (peer_round). */
#include "peer/peer_internal.h"

#include "node/base/check.h"

#define CAP_US (30 * 1000)
#define MOST_AGAIN 2

/* ---- what is due ---- */

static bool is_sooner(const struct heap_node *a, const struct heap_node *b)
{
	const struct peer_due *x = (const void *)((const char *)a - offsetof(struct peer_due, node));
	const struct peer_due *y = (const void *)((const char *)b - offsetof(struct peer_due, node));

	return x->at < y->at;
}

void peer__set_due(struct peer_set *set, struct peer_due *d, mono_us at)
{
	d->at = at;
	if (heap_has(&d->node))
		heap_moved(&set->deadlines, &d->node);
	else
		heap_insert(&set->deadlines, &d->node);
}

void peer__clear_due(struct peer_set *set, struct peer_due *d)
{
	if (heap_has(&d->node))
		heap_remove(&set->deadlines, &d->node);
}

static struct peer_pursuit *pursuit_of(struct peer_due *d)
{
	return (struct peer_pursuit *)(void *)((char *)d - offsetof(struct peer_pursuit, due));
}

void peer__ask_init(struct peer_set *set)
{
	heap_init(&set->deadlines, is_sooner);
	TAILQ_INIT(&set->all);
	TAILQ_INIT(&set->queued);
}

void peer__ask_fini(struct peer_set *set)
{
	CHECK_THAT(TAILQ_EMPTY(&set->all));
	peer__rounds_fini(set);
	map_fini(&set->pursuits);
	heap_fini(&set->deadlines);
}

/* ---- beginning and end ---- */

void peer__queue_question(struct peer_pursuit *p, mono_us now)
{
	p->phase = PEER_QUEUED;
	p->started = now;
	p->is_ready = p->first_said = p->is_granted = false;
	p->asked = p->waiting = p->n_homes = p->n_found = p->n_intents = 0;
	p->grace_at = p->repeat_at = p->deadline = MONO_NEVER;
	p->awaited = 0;
	p->vary[0] = '\0';
	TAILQ_INSERT_TAIL(&p->set->queued, p, queued);
	peer__set_due(p->set, &p->due, now);
}

/* Nothing that comes still counts. */
void peer__end_question(struct peer_pursuit *p)
{
	peer__leave_slots(p);
	peer__clear_due(p->set, &p->due);
	if (p->phase == PEER_QUEUED)
		TAILQ_REMOVE(&p->set->queued, p, queued);
	p->phase = PEER_ANSWERED;
}

static void settle(struct peer_pursuit *p, mono_us now)
{
	struct peer_answer a = {.verdict = PEER_NOBODY, .took = now - p->started, .asked = p->asked};

	peer__end_question(p);
	if (p->n_intents && (p->n_found == 0 || p->found[0].grade == PEER_GRADE_BUSY))
		peer__choose_intended(p);
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
	if (p->phase != PEER_ASKING)
		return;
	if (is_settled(p, now)) {
		settle(p, now);
	} else {
		mono_us at = p->deadline;

		if (p->grace_at < at)
			at = p->grace_at;
		if (p->repeat_at < at)
			at = p->repeat_at;
		peer__set_due(p->set, &p->due, at);
	}
}

void peer__ask_heard(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r, mono_us now)
{
	peer__weigh(p, node, r, now);
	settle_if_due(p, now);
}

/* ---- asking ---- */

struct peermsg_query_rec peer__query_rec(const struct peer_pursuit *p)
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

static bool is_target(const struct peer_pursuit *p, const struct peer *peer)
{
	if (!p->at_homes)
		return !peer__is_left_out(p, peer->id);
	for (unsigned i = 0; i < p->n_homes; i++)
		if (p->homes[i] == peer->id)
			return true;
	return false;
}

/* This node is a home itself: no datagram. The second home need not be asked when the first is here and knows. */
static void ask_self(struct peer_pursuit *p, mono_us now)
{
	struct peermsg_query_rec q = peer__query_rec(p);
	struct peermsg_reply_rec r = {0};

	peer__home_answer(p->set, NULL, &q, now, &r);
	peer__weigh(p, p->set->id, &r, now);
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
	struct peer_batch b = {.n = 0};
	struct peer_pursuit *p;

	TAILQ_FOREACH(p, queued, queued)
	{
		if (p->is_ready || !is_target(p, peer))
			continue;
		b.v[b.n++] = p;
		if (b.n == PEERMSG_RECORDS) {
			peer__send_batch(set, peer, &b, now);
			b.n = 0;
		}
	}
	if (b.n)
		peer__send_batch(set, peer, &b, now);
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
		p->phase = PEER_ASKING;
		p->not_there = 0;
		peer__set_due(set, &p->due, now);
	}
}

/* Homes that are silent are asked a second time. */
static void repeat(struct peer_pursuit *p, mono_us now)
{
	struct peer_set *set = p->set;
	struct peer_batch one = {.v = {p}, .n = 1};
	uint32_t silent[2];
	unsigned n = 0;
	struct peer_slot *s;

	p->repeat_at = MONO_NEVER;
	LIST_FOREACH(s, &p->slots, link)
	{
		if (s->is_expected && n < 2)
			silent[n++] = s->node;
	}
	for (unsigned i = 0; i < n; i++) {
		struct peer *peer = peer__find(set, silent[i]);

		if (peer && peer__is_asked(set, peer, now))
			peer__send_batch(set, peer, &one, now);
	}
}

/* ---- time ---- */

static void pursuit_due(struct peer_set *set, struct peer_pursuit *p, mono_us now)
{
	if (p->phase == PEER_QUEUED) {
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
		struct peer_due *d = (struct peer_due *)(void *)((char *)min - offsetof(struct peer_due, node));

		if (d->at > now)
			return;
		if (d->is_round)
			peer__round_due(set, d, now);
		else
			pursuit_due(set, pursuit_of(d), now);
	}
}

mono_us peer__ask_due(const struct peer_set *set)
{
	struct heap_node *min = heap_min(&set->deadlines);

	return min ? ((const struct peer_due *)(const void *)((const char *)min - offsetof(struct peer_due, node)))->at
		   : MONO_NEVER;
}
