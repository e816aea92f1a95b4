/* The way to the origin: leave to ask it (hostmood.h), a pooled link or a new one, one retry when an idle link had died. */
#include "node/fetch/flight_internal.h"

#include "node/base/check.h"
#include "node/tls/mint.h"
#include "proto/httpdate.h"

static void dial(struct flight *f);

/* ---- what the host is known for ---- */

static void tell(struct flight *f, enum hostmood_change change)
{
	switch (change) {
	case HOSTMOOD_SAME:
		return;
	case HOSTMOOD_WORSE:
		log_line(
			f->fetcher->log, LOG_WARNING, "upstream",
			"%.*s:%u has failed %u times in a row: what is stored is served without asking it, but for a trial now and then",
			SPAN_ARG(f->url.host), f->url.port, HOSTMOOD_FAILURES);
		return;
	case HOSTMOOD_WELL:
		log_line(f->fetcher->log, LOG_NOTICE, "upstream", "%.*s:%u answers again", SPAN_ARG(f->url.host),
			 f->url.port);
		return;
	}
}

/* RFC 9110 §10.2.3: seconds, or a date. -1: not said. */
static dur_ms retry_after(const struct flight *f, const struct http1_response *r)
{
	struct span value = hdr_value(&r->fields, HDR_RETRY_AFTER);
	wall_ms now = loop_wall(f->fetcher->loop), at;
	uint64_t seconds;

	if (!value.n)
		return -1;
	if (span_to_u64(value, &seconds) == 0)
		return seconds < HOSTMOOD_RETRY_MOST / DUR_SECOND ? (dur_ms)seconds * DUR_SECOND : HOSTMOOD_RETRY_MOST;
	if (httpdate_parse(value, now, &at))
		return -1;
	return at > now ? at - now : 0;
}

void upstream_failed(struct flight *f, enum reason why)
{
	hosttally_failed(f->fetcher->hosts, &f->url);
	if (f->begun) /* it has answered */
		return;
	tell(f, hostmood_failed(f->fetcher->moods, f->origin, why, loop_now(f->fetcher->loop), &f->mood));
}

void upstream_end(struct flight *f)
{
	timer_clear(&f->mood_timer);
	hostmood_done(f->fetcher->moods, f->origin, &f->mood);
}

/* Not even a line of log: while a host is down there may be thousands. */
static void hold_back(struct flight *f, enum reason why)
{
	metric_add(f->fetcher->metrics, METRIC_UPSTREAM_HELD_BACK, 1);
	entry_set_detail(f->entry, span_str(reason_sentence(why)));
	flight__end(f, ENTRY_BROKEN, REASON_HELD_BACK);
}

/* ---- the exchange ---- */

static bool may_retry(const struct flight *f)
{
	return !f->retried && exchange_link(f->exchange)->used > 1 && exchange_is_silent(f->exchange) &&
	       !f->upload_begun && http1_method_is_idempotent(f->request->method);
}

static void on_failed(void *cookie, enum reason why)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	if (may_retry(f) &&
	    (why == REASON_UPSTREAM_CLOSED || why == REASON_UPSTREAM_RESET || why == REASON_UPSTREAM_CUT)) {
		f->retried = true;
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_RETRIES, 1);
		exchange_cancel(&f->exchange);
		dial(f);
		return;
	}
	route_failed(f, why, f->begun ? "in the middle of the body" : f->peer);
}

static void on_head(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	hosttally_heard(f->fetcher->hosts, &f->url, loop_now(f->fetcher->loop) - f->asked_at);
	tell(f, hostmood_answered(f->fetcher->moods, f->origin, r->status, retry_after(f, r),
				  loop_now(f->fetcher->loop), &f->mood));
	reception_take(f, r);
}

static const struct exchange_on exchange_on = {
	.informational = outgoing_on_informational,
	.head = on_head,
	.body = outgoing_on_body,
	.send = outgoing_on_send,
	.failed = on_failed,
};

static void start_exchange(struct flight *f, struct link *link)
{
	flight__set_peer(f, link->peer);
	f->asked_at = loop_now(f->fetcher->loop);
	metric_add(f->fetcher->metrics, METRIC_UPSTREAM_REQUESTS, 1);
	if (f->store)
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_FETCHES, 1);
	if (link->used)
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_LINKS_REUSED, 1);
	f->request_time = loop_wall(f->fetcher->loop);
	f->exchange = outgoing_start(f, &link, NULL, &exchange_on, f);
	outgoing_upload(f);
}

/* ---- dialling ---- */

static void on_dialled(void *cookie, struct stream *s, const struct dial_report *report)
{
	struct flight *f = cookie;
	char where[ADDR_TEXT_BYTES];
	struct link *link;

	CHECK(f, FLIGHT_MAGIC);
	f->dial = NULL;
	if (report->addr.len)
		flight__set_peer(f, addr_format_ip(&report->addr, where));
	if (!s) {
		route_failed(f, report->why, report->detail);
		return;
	}
	tell(f, hostmood_reached(f->fetcher->moods, f->origin, &f->mood));
	metric_add(f->fetcher->metrics, METRIC_UPSTREAM_LINKS, 1);
	if (report->resumed)
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_TLS_RESUMED, 1);
	if (report->cert && f->fetcher->mint)
		mint_remember(f->fetcher->mint, f->url.host, report->cert, loop_wall(f->fetcher->loop));
	link = link_new(&s, f->origin.p);
	start_exchange(f, link);
}

static struct dial_target target_of(const struct flight *f)
{
	return (struct dial_target){
		.host = f->dial_host,
		.port = f->url.port,
		.https = f->url.https,
		.tls_host = f->url.host,
	};
}

static void dial(struct flight *f)
{
	struct dial_target target = target_of(f);

	f->dial = dial_start(f->fetcher->dialer, &target, f->policy, on_dialled, f);
}

static void set_out(struct flight *f)
{
	struct link *link = pool_take(f->fetcher->pool, f->origin.p);

	if (link)
		start_exchange(f, link);
	else
		dial(f);
}

static void ask_leave(struct flight *f)
{
	bool waited = f->mood.waits;
	enum reason why = REASON_NONE;

	/* What broke off in the middle has somebody who waits for the rest, whatever else is stored. */
	switch (hostmood_ask(f->fetcher->moods, f->origin, f->spare && !f->begun, loop_now(f->fetcher->loop), &f->mood,
			     &why)) {
	case HOSTMOOD_GO:
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_DESPITE_PAUSE, f->mood.despite_pause);
		set_out(f);
		return;
	case HOSTMOOD_WAIT:
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_WAITS, !waited);
		timer_set_in(&f->mood_timer, HOSTMOOD_POLL);
		return;
	case HOSTMOOD_NO:
		if (f->spare && !f->begun)
			hold_back(f, why);
		else
			flight__failed(f, why, "a trial has just ended so");
		return;
	}
}

static void on_mood_timer(void *arg)
{
	struct flight *f = arg;

	CHECK(f, FLIGHT_MAGIC);
	ask_leave(f);
}

void upstream_init(struct flight *f)
{
	timer_init(&f->mood_timer, f->fetcher->loop, on_mood_timer, f);
}

void upstream_begin(struct flight *f)
{
	struct dial_target target = target_of(f);
	char text[2 * URL_MAX_HOST + 64];
	struct buf b = buf_over(text, sizeof(text));

	f->way = FLIGHT_DIRECT;
	dial_origin(&target, &b);
	CHECK_THAT(!b.full);
	f->origin = arena_copy(&f->arena, buf_span(&b));
	ask_leave(f);
}
