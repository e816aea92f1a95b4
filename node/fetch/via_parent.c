/* Through a parent: the one that the key belongs to, over a link that is kept. From a parent, to the fellow that a key belongs to. */
#include "node/base/check.h"
#include "node/base/rng.h"
#include "node/fetch/flight_internal.h"
#include "parent/parent_link.h"

#define DIAL_MS (1 * DUR_SECOND)
#define TLS_MS (2 * DUR_SECOND)
/* Who is asked only for what it has is not worth a long wait. */
#define ONLY_DIAL_MS 200
#define ONLY_TLS_MS 300
#define ONLY_STALL_MS (3 * DUR_SECOND) /* between its signs of life, while it waits itself */
#define PAUSE_LEAST_MS 25
#define PAUSE_MOST_MS 250

static struct parent_set *parents_of(const struct flight *f)
{
	return f->fetcher->cluster->parents;
}

/* ---- done with one ---- */

void upward_end(struct upward *u, enum parent_outcome outcome)
{
	if (!u->set)
		return;
	nodelink_cancel(&u->dial);
	exchange_cancel(&u->exchange);
	parent_set_ended(u->set, &u->pick, outcome, u->ttfb_us, u->load, u->bytes, loop_now(u->flight->fetcher->loop));
	u->set = NULL;
}

void via_parent_done(struct flight *f, enum parent_outcome outcome)
{
	upward_end(f->up, outcome);
}

void via_parent_end(struct flight *f)
{
	timer_clear(&f->parent.pause);
	hedge_drop(f);
	upward_end(f->up, PARENT_CANCELLED);
}

static bool is_beside(const struct upward *u)
{
	return u == u->flight->beside;
}

static struct exchange **exchange_of(struct upward *u)
{
	return is_beside(u) ? &u->exchange : &u->flight->exchange;
}

/* ---- the exchange ---- */

/* What was to be found is not there, or nobody is: one beside leaves the field, the way taken is followed by the next. */
static void no_good(struct upward *u, enum parent_outcome outcome, enum reason why, const char *detail)
{
	struct flight *f = u->flight;

	if (is_beside(u)) {
		upward_end(u, outcome);
		f->beside = NULL;
	} else {
		route_failed(f, why, detail);
	}
}

/* It answers for itself: that it has it not, or that it cannot. */
static void on_error(struct upward *u, const struct parent_link_reply *said)
{
	struct flight *f = u->flight;
	enum parent_outcome outcome = said->by_parent ? PARENT_FAILED : PARENT_OK;

	if (is_beside(u) || u->only) {
		outgoing_discard(f, exchange_of(u));
		upward_end(u, outcome);
		no_good(u, outcome, said->error, u->pick.member.name);
	} else if (said->by_parent) {
		route_failed(f, said->error, f->peer);
	} else { /* the origin's fault, told by the parent: as if we had met it ourselves */
		via_parent_done(f, PARENT_OK);
		flight__failed(f, said->error, f->peer);
	}
}

static void on_head(void *cookie, const struct http1_response *r)
{
	struct upward *u = cookie;
	struct flight *f = u->flight;
	struct parent_link_reply said;

	CHECK(f, FLIGHT_MAGIC);
	u->ttfb_us = loop_now(f->fetcher->loop) - u->asked_at;
	parent_link_read(r, &said);
	u->load = said.load;
	if (said.error) {
		on_error(u, &said);
		return;
	}
	if (is_beside(u))
		hedge_take_over(f);
	else
		hedge_drop(f);
	u->source = said.source;
	parent_set_said(u->set, &u->pick, said.source);
	if (f->sibling.errand.desk && !f->begun && r->status == 200)
		peer_desk_parent_served(f->fetcher->cluster->desk, &f->key, &f->sibling.variant);
	reception_take(f, r);
}

/* A link that had died while idle says nothing about the parent. */
static bool may_retry(struct upward *u)
{
	const struct flight *f = u->flight;
	const struct exchange *x = *exchange_of(u);

	return !u->retried && exchange_link(x)->used > 1 && exchange_is_silent(x) && !f->upload_begun &&
	       http1_method_is_idempotent(f->request->method);
}

static void reach(struct upward *u, bool fresh);

static void on_failed(void *cookie, enum reason why)
{
	struct upward *u = cookie;

	CHECK(u->flight, FLIGHT_MAGIC);
	if (may_retry(u) && why != REASON_FIRST_BYTE_TIMEOUT) {
		u->retried = true;
		exchange_cancel(exchange_of(u));
		reach(u, true);
		return;
	}
	no_good(u, PARENT_FAILED, why, u->pick.member.name);
}

/* A parent that waits for its own fetch says so to who may not make it fetch; what an origin says on the way is for the client. */
static void on_informational(void *cookie, const struct http1_response *r)
{
	struct upward *u = cookie;

	if (u->only)
		exchange_wait_on(*exchange_of(u), ONLY_STALL_MS);
	else if (!is_beside(u))
		outgoing_on_informational(u->flight, r);
}

static void on_body(void *cookie)
{
	struct upward *u = cookie;

	outgoing_on_body(u->flight);
}

static void on_send(void *cookie)
{
	struct upward *u = cookie;

	if (!is_beside(u)) /* which has no body to send */
		outgoing_on_send(u->flight);
}

static const struct exchange_on exchange_on = {
	.informational = on_informational,
	.head = on_head,
	.body = on_body,
	.send = on_send,
	.failed = on_failed,
};

static void start(struct upward *u, struct link *link)
{
	struct flight *f = u->flight;

	u->request_time = loop_wall(f->fetcher->loop);
	u->asked_at = loop_now(f->fetcher->loop);
	*exchange_of(u) = outgoing_start(f, &link, u, &exchange_on, u);
	if (is_beside(u))
		return;
	f->request_time = u->request_time;
	outgoing_upload(f);
}

/* ---- reaching it ---- */

static void on_dialled(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail)
{
	struct upward *u = cookie;
	struct flight *f = u->flight;
	struct link *link;

	(void)fault;
	CHECK(f, FLIGHT_MAGIC);
	u->dial = NULL;
	if (!s) {
		log_line(f->fetcher->log, LOG_NOTICE, "parent", "%s", detail);
		no_good(u, PARENT_CONNECT, REASON_CONNECT_FAILED, detail);
		return;
	}
	link = link_new(&s, u->origin.p);
	start(u, link);
}

static void reach(struct upward *u, bool fresh)
{
	const struct parent_member *m = &u->pick.member;
	struct nodelink_target target = {
		.node = span_str(m->name),
		.host = span_str(m->host),
		.port = m->port,
		.door = NODE_DOOR_PROXY,
		.parent = true,
		.connect_timeout = u->only ? ONLY_DIAL_MS : DIAL_MS,
		.tls_timeout = u->only ? ONLY_TLS_MS : TLS_MS,
	};
	struct link *link;

	link = outgoing_reach(u->flight, &target, fresh, on_dialled, u, &u->dial, &u->origin);
	if (link)
		start(u, link);
}

void upward_start(struct upward *u)
{
	u->retried = false;
	u->load = -1;
	u->ttfb_us = 0;
	u->bytes = 0;
	u->source = PARENT_SAID_NOTHING;
	reach(u, false);
}

/* ---- as the way taken ---- */

static void take(struct flight *f, struct parent_set *set, bool only)
{
	f->way = FLIGHT_PARENT;
	f->up->set = set;
	f->up->only = only;
	flight__set_peer(f, f->up->pick.member.name);
}

static void on_pause_over(void *arg)
{
	struct flight *f = arg;

	CHECK(f, FLIGHT_MAGIC);
	upward_start(f->up);
}

void via_parent_init(struct flight *f)
{
	f->up = &f->upwards[0];
	f->upwards[0].flight = f->upwards[1].flight = f;
	timer_init(&f->parent.pause, f->fetcher->loop, on_pause_over, f);
}

/* A second try comes after a moment, another one for each: those who lost one parent together do not meet at the next. */
bool via_parent_begin(struct flight *f)
{
	mono_us now = loop_now(f->fetcher->loop);
	bool again = f->parent.n_tried > 0;

	if (f->parent.n_tried == FLIGHT_MOST_PARENTS)
		return false;
	if (!parent_set_pick(parents_of(f), &f->key, f->parent.tried, f->parent.n_tried, again, now, &f->up->pick))
		return false;
	take(f, parents_of(f), false);
	f->parent.tried[f->parent.n_tried++] = f->up->pick.id;
	if (again) {
		timer_set_in(&f->parent.pause,
			     PAUSE_LEAST_MS +
				     (dur_ms)(rng_secret_u64() % (uint64_t)(PAUSE_MOST_MS - PAUSE_LEAST_MS + 1)));
		return true;
	}
	upward_start(f->up);
	hedge_expect(f, f->up->pick.hedge_after);
	return true;
}

/* Of what is not stored, and of what has begun, there is nothing to be found elsewhere. */
bool via_home_begin(struct flight *f)
{
	const struct fetch_cluster *c = f->fetcher->cluster;
	struct span home;

	if (!c || !c->is_parent || !f->from_child || !f->store || f->begun || f->asked_home || f->afresh)
		return false;
	f->asked_home = true;
	home = parent_link_home(&f->request->fields);
	if (!home.n || !parent_set_pick_named(c->fellows, home, loop_now(f->fetcher->loop), &f->up->pick))
		return false;
	take(f, c->fellows, true);
	upward_start(f->up);
	return true;
}
