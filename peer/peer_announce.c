/* peer_announce: what is here, told again (HINT, HOLDING) to homes that do not know it.
 *
 * A home has forgotten what this node holds when its process began anew, and has missed a part while it was thought dead or gone; and who has
 * just been met knows nothing yet. Such a peer is `untold` until one walk over all that is here has ended: each key goes to those of its
 * homes that are. Every six hours all are untold, which mends what lost HINTs have left wrong.
 *
 * The walk takes what is here part by part (peer_ground.stored), one part at a time when all that is full has been sent; what a
 * datagram does not fill waits for the next part, and goes at the end. One datagram each 10 ms: 200 000 objects are a minute and a
 * half for all homes together, some seconds for one of twenty. A walk begins some time after its cause, at random: so a home that comes back is
 * not met by all at once, nodes that begin together are told of with one walk, and the new process has proven itself, without which it would
 * take no HINT. */
#include "peer/peer_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define STEP_US (10 * 1000) /* a datagram: 100 a second */
#define KEYS_A_TURN 512
#define FIRST_US (1000 * 1000)
#define FIRST_SPREAD_US (1000 * 1000)
#define EACH_SPREAD_US 2000 /* more for each member */
#define AGAIN_US (6 * 3600LL * 1000 * 1000)
#define AGAIN_SPREAD_US (1800LL * 1000 * 1000)

static mono_us at_random(struct peer_set *set, mono_us from, mono_us spread)
{
	return from + (mono_us)(peer__random(set) % (uint64_t)spread);
}

void peer__announce_init(struct peer_set *set, mono_us now)
{
	set->announce.step_at = MONO_NEVER;
	set->announce.again_at = at_random(set, now + AGAIN_US, AGAIN_SPREAD_US);
}

/* ---- who is to be told ---- */

static bool is_told_of(const struct peer *p)
{
	return p->announcing && peer__is_expected(p);
}

static void plan_walk(struct peer_set *set, mono_us now)
{
	struct peer_announce *a = &set->announce;

	if (a->step_at == MONO_NEVER && set->ground.stored)
		a->step_at = at_random(set, now + FIRST_US, FIRST_SPREAD_US + (mono_us)set->n * EACH_SPREAD_US);
}

void peer__announce_to(struct peer_set *set, struct peer *p, mono_us now)
{
	if (p->member.role != PEER_EDGE || set->self.role != PEER_EDGE)
		return;
	peer__announce_drop(p); /* what it has been told in a walk that goes on may have been another process's */
	p->untold = true;
	plan_walk(set, now);
}

void peer__announce_to_all(struct peer_set *set, mono_us now)
{
	for (size_t i = 0; i < set->n; i++)
		if (peer__is_expected(set->v[i]))
			peer__announce_to(set, set->v[i], now);
}

void peer__announce_drop(struct peer *p)
{
	free(p->unsaid.v);
	p->unsaid.v = NULL;
	p->unsaid.n = p->unsaid.room = 0;
	p->announcing = false;
}

/* ---- the walk ---- */

static void begin_walk(struct peer_set *set)
{
	set->announce.is_walking = true;
	set->announce.part = 0;
	for (size_t i = 0; i < set->n; i++) {
		struct peer *p = set->v[i];

		if (!p->untold || !peer__is_expected(p))
			continue;
		p->untold = false;
		p->announcing = true;
	}
}

static void drop_part(struct peer_announce *a)
{
	free(a->v);
	a->v = NULL;
	a->n = a->at = 0;
}

static void end_walk(struct peer_set *set, mono_us now)
{
	bool more = false;

	drop_part(&set->announce);
	set->announce.is_walking = false;
	set->announce.step_at = MONO_NEVER;
	for (size_t i = 0; i < set->n; i++) {
		peer__announce_drop(set->v[i]);
		more |= set->v[i]->untold && peer__is_expected(set->v[i]);
	}
	if (more)
		plan_walk(set, now);
}

static void remember(struct peer *p, const struct peer_stored *s)
{
	struct peer_unsaid *u = &p->unsaid;

	if (u->n == u->room) {
		u->room = u->room ? 2 * u->room : PEERMSG_RECORDS;
		u->v = mem_realloc(u->v, u->room * sizeof(u->v[0]));
	}
	u->v[u->n++] = *s;
}

static void tell_homes(struct peer_set *set, const struct peer_stored *s)
{
	uint32_t homes[2];
	unsigned n = peer__homes(set, &s->key, homes);

	for (unsigned i = 0; i < n; i++) {
		struct peer *p = homes[i] == set->id ? NULL : peer__find(set, homes[i]);

		if (p && is_told_of(p))
			remember(p, s);
	}
}

static void take_part(struct peer_set *set)
{
	struct peer_announce *a = &set->announce;

	a->n = set->ground.stored(set->ground.cookie, a->part++, &a->v);
	a->at = 0;
}

/* Some keys of the part: choosing the homes of a key among a thousand members takes a microsecond. */
static void look_at_some(struct peer_set *set)
{
	struct peer_announce *a = &set->announce;

	for (int i = 0; i < KEYS_A_TURN && a->at < a->n; i++)
		tell_homes(set, &a->v[a->at++]);
	if (a->at == a->n)
		drop_part(a);
}

/* Its last ones first: the order does not matter, and nothing has to be moved. */
static void send_some(struct peer_set *set, struct peer *p, mono_us now)
{
	struct peermsg_hint_rec recs[PEERMSG_RECORDS];
	struct peer_unsaid *u = &p->unsaid;
	unsigned n = u->n < PEERMSG_RECORDS ? (unsigned)u->n : PEERMSG_RECORDS, went;

	for (unsigned i = 0; i < n; i++) {
		const struct peer_stored *s = &u->v[u->n - 1 - i];

		recs[i] = (struct peermsg_hint_rec){.op = PEERMSG_HOLDING, .key = s->key, .bytes = s->size};
	}
	went = peer__home_say(set, p, recs, n, now);
	p->score.announced += went;
	u->n -= went ? went : n; /* what cannot be sent at all is not tried for ever */
}

/* Whoever has a whole datagram's worth, in turn; at the end whoever has anything. NULL: nobody. */
static struct peer *next_in_turn(struct peer_set *set, size_t least)
{
	struct peer_announce *a = &set->announce;

	for (size_t i = 0; i < set->n; i++) {
		struct peer *p = set->v[a->turn++ % set->n];

		if (p->announcing && !is_told_of(p))
			peer__announce_drop(p); /* it has fallen silent: when it is back it is told anew */
		if (p->unsaid.n >= least && p->unsaid.n)
			return p;
	}
	return NULL;
}

static bool has_listeners(const struct peer_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (is_told_of(set->v[i]))
			return true;
	return false;
}

static bool has_more(const struct peer_set *set)
{
	const struct peer_announce *a = &set->announce;

	return a->at < a->n || (a->part < PEER_STORED_PARTS && has_listeners(set));
}

/* Of the walk that goes on; what only looks goes on with the next turn of the loop. */
static void walk_on(struct peer_set *set, mono_us now)
{
	struct peer_announce *a = &set->announce;
	bool more = has_more(set);
	struct peer *p = next_in_turn(set, more ? PEERMSG_RECORDS : 1);

	if (p) {
		send_some(set, p, now);
	} else if (!more) {
		end_walk(set, now);
	} else {
		a->step_at = now;
		if (a->at < a->n)
			look_at_some(set);
		else
			take_part(set);
	}
}

static void step(struct peer_set *set, mono_us now)
{
	set->announce.step_at = now + STEP_US;
	if (set->announce.is_walking)
		walk_on(set, now);
	else
		begin_walk(set);
}

void peer__announce_resume(struct peer_set *set, mono_us now)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->v[i]->untold)
			plan_walk(set, now);
}

/* Nobody keeps a directory, or what is here is not known yet. They stay untold till then. */
static void put_off(struct peer_set *set, mono_us now)
{
	set->announce.step_at = peer__has_homes(set) ? now + FIRST_US : MONO_NEVER;
}

void peer__announce_tick(struct peer_set *set, mono_us now)
{
	struct peer_announce *a = &set->announce;

	if (now >= a->again_at) {
		a->again_at = at_random(set, now + AGAIN_US, AGAIN_SPREAD_US);
		peer__announce_to_all(set, now);
	}
	if (now < a->step_at)
		return;
	if (a->is_walking || (peer__has_homes(set) && set->state != PEERMSG_STATE_LOADING))
		step(set, now);
	else
		put_off(set, now);
}

void peer__announce_fini(struct peer_set *set)
{
	drop_part(&set->announce);
}

mono_us peer__announce_due(const struct peer_set *set)
{
	const struct peer_announce *a = &set->announce;

	return a->step_at < a->again_at ? a->step_at : a->again_at;
}
