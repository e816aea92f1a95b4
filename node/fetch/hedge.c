/* Two ways at once. A node that should have answered by now is not waited for alone: another is asked besides, and the first head
 * wins. The other is cancelled.
 *
 *     a sibling that has the whole    the parent, as if the sibling had failed already
 *     a parent                        the next in rank, only for what it has or is fetching: a hedge may find, never start, a fetch
 *
 * Never the origin: what a slow node costs is time, what a second fetch costs is what the cluster is for. Never for what has begun, nor with
 * a body to send. At most 5 % of what siblings are asked for, and of what parents are; beyond that things take their turns. */
#include "node/base/check.h"
#include "node/fetch/flight_internal.h"

static struct upward *spare_of(struct flight *f)
{
	return f->up == &f->upwards[0] ? &f->upwards[1] : &f->upwards[0];
}

static bool may_have_two(const struct flight *f)
{
	return !f->begun && !f->beside && f->store && !f->recheck && f->request->body == HTTP1_BODY_NONE;
}

/* ---- beginning ---- */

static bool pick_for_sibling(struct flight *f, struct upward *u)
{
	const struct fetch_cluster *c = f->fetcher->cluster;

	if (!parent_set_count(c->parents) || f->parent.n_tried == FLIGHT_MOST_PARENTS || !allowance_spend(c->hedges))
		return false;
	if (!parent_set_pick(c->parents, &f->key, f->parent.tried, f->parent.n_tried, f->parent.n_tried > 0,
			     loop_now(f->fetcher->loop), &u->pick))
		return false;
	f->parent.tried[f->parent.n_tried++] = u->pick.id;
	peer_desk_fetch_hedged(c->desk, f->sibling.answer.v[f->sibling.at].node);
	return true;
}

static bool pick_for_parent(struct flight *f, struct upward *u)
{
	if (f->up->only || !f->up->set)
		return false;
	return parent_set_pick_hedge(f->up->set, &f->key, &f->up->pick, loop_now(f->fetcher->loop), &u->pick);
}

static void on_late(void *arg)
{
	struct flight *f = arg;
	struct upward *u = spare_of(f);
	bool from_sibling = f->way == FLIGHT_SIBLING;

	CHECK(f, FLIGHT_MAGIC);
	if (!may_have_two(f) || !(from_sibling ? pick_for_sibling(f, u) : pick_for_parent(f, u)))
		return;
	u->set = f->fetcher->cluster->parents;
	u->only = !from_sibling;
	f->beside = u;
	upward_start(u);
}

void hedge_init(struct flight *f)
{
	timer_init(&f->late, f->fetcher->loop, on_late, f);
}

void hedge_expect(struct flight *f, dur_ms within)
{
	if (within && may_have_two(f))
		timer_set_in(&f->late, within);
	else
		timer_clear(&f->late);
}

/* ---- ending ---- */

void hedge_drop(struct flight *f)
{
	struct upward *u = f->beside;

	timer_clear(&f->late);
	if (!u)
		return;
	f->beside = NULL;
	upward_end(u, PARENT_CANCELLED);
}

/* That it was late is remembered, or what is late would be reckoned from those alone that were not. */
static void overtaken(struct upward *u)
{
	if (u->set && !u->ttfb_us && u->asked_at)
		u->ttfb_us = loop_now(u->flight->fetcher->loop) - u->asked_at;
	upward_end(u, PARENT_CANCELLED);
}

bool hedge_take_over(struct flight *f)
{
	struct upward *u = f->beside;

	timer_clear(&f->late);
	if (!u)
		return false;
	exchange_cancel(&f->exchange);
	if (f->way == FLIGHT_SIBLING) {
		nodelink_cancel(&f->node_dial);
		sibling_done(f, false);
		route_is_up(f);
	} else {
		overtaken(f->up);
	}
	f->beside = NULL;
	f->up = u;
	f->way = FLIGHT_PARENT;
	f->exchange = u->exchange;
	f->request_time = u->request_time;
	u->exchange = NULL;
	flight__set_peer(f, u->pick.member.name);
	return true;
}
