/* Through a parent: the one that the key belongs to, over a link that is kept. */
#include "node/base/check.h"
#include "node/fetch/flight_internal.h"
#include "parent/parent_link.h"

#define DIAL_MS (1 * DUR_SECOND)
#define TLS_MS (2 * DUR_SECOND)

static struct parent_set *parents_of(const struct flight *f)
{
	return f->fetcher->cluster->parents;
}

void via_parent_done(struct flight *f, enum parent_outcome outcome)
{
	if (!f->parent.asked)
		return;
	f->parent.asked = false;
	parent_set_ended(parents_of(f), &f->parent.pick, outcome, f->parent.ttfb_us, f->parent.load, f->parent.bytes,
			 loop_now(f->fetcher->loop));
}

/* ---- the exchange ---- */

static void on_head(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;
	struct parent_link_reply said;

	CHECK(f, FLIGHT_MAGIC);
	f->parent.ttfb_us = loop_now(f->fetcher->loop) - f->asked_at;
	parent_link_read(r, &said);
	f->parent.load = said.load;
	if (said.error && said.by_parent) {
		route_failed(f, said.error, f->peer);
		return;
	}
	if (said.error) { /* the origin's fault, told by the parent: as if we had met it ourselves */
		via_parent_done(f, PARENT_OK);
		flight__failed(f, said.error, f->peer);
		return;
	}
	f->parent.source = said.source;
	parent_set_said(parents_of(f), &f->parent.pick, said.source);
	reception_take(f, r);
}

/* A link that had died while idle says nothing about the parent. */
static bool may_retry(const struct flight *f)
{
	return !f->retried && exchange_link(f->exchange)->used > 1 && exchange_is_silent(f->exchange) &&
	       !f->upload_begun && http1_method_is_idempotent(f->request->method);
}

static void reach(struct flight *f, bool fresh);

static void on_failed(void *cookie, enum reason why)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	if (may_retry(f) && why != REASON_FIRST_BYTE_TIMEOUT) {
		f->retried = true;
		exchange_cancel(&f->exchange);
		reach(f, true);
		return;
	}
	route_failed(f, why, f->peer);
}

static const struct exchange_on exchange_on = {
	.informational = outgoing_on_informational,
	.head = on_head,
	.body = outgoing_on_body,
	.send = outgoing_on_send,
	.failed = on_failed,
};

/* ---- reaching it ---- */

static void on_dialled(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail)
{
	struct flight *f = cookie;
	struct link *link;

	(void)fault;
	CHECK(f, FLIGHT_MAGIC);
	f->node_dial = NULL;
	if (!s) {
		log_line(f->fetcher->log, LOG_NOTICE, "parent", "%s", detail);
		route_failed(f, REASON_CONNECT_FAILED, detail);
		return;
	}
	link = link_new(&s, f->origin.p);
	outgoing_start(f, &link, true, &exchange_on);
}

static void reach(struct flight *f, bool fresh)
{
	const struct parent_member *m = &f->parent.pick.member;
	struct nodelink_target target = {
		.node = span_str(m->name),
		.host = span_str(m->host),
		.port = m->port,
		.door = NODE_DOOR_PROXY,
		.parent = true,
		.connect_timeout = DIAL_MS,
		.tls_timeout = TLS_MS,
	};
	struct link *link;

	link = outgoing_reach(f, &target, fresh, on_dialled, &f->node_dial);
	if (link)
		outgoing_start(f, &link, true, &exchange_on);
}

bool via_parent_begin(struct flight *f)
{
	mono_us now = loop_now(f->fetcher->loop);

	if (f->parent.n_tried == FLIGHT_MOST_PARENTS)
		return false;
	if (!parent_set_pick(parents_of(f), &f->key, f->parent.tried, f->parent.n_tried, f->parent.n_tried > 0, now,
			     &f->parent.pick))
		return false;
	f->way = FLIGHT_PARENT;
	f->parent.asked = true;
	f->parent.tried[f->parent.n_tried++] = f->parent.pick.id;
	f->parent.load = -1;
	f->parent.ttfb_us = 0;
	f->parent.bytes = 0;
	f->retried = false;
	flight__set_peer(f, f->parent.pick.member.name);
	reach(f, false);
	return true;
}
