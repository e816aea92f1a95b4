/* The way to the origin: a pooled link or a new one, the request head, one retry when an idle link had died. */
#include "node/fetch/flight_internal.h"

#include "node/base/check.h"
#include "node/tls/mint.h"
#include "proto/http1_format.h"
#include "proto/httpdate.h"

#define BIT(id) (1ull << HDR_##id)
#define CONDITIONS                                                                                                     \
	(BIT(IF_MATCH) | BIT(IF_NONE_MATCH) | BIT(IF_MODIFIED_SINCE) | BIT(IF_UNMODIFIED_SINCE) | BIT(IF_RANGE) |      \
	 BIT(RANGE))
/* What clients say of the way they came is not to be trusted, and is nobody's business upstream. */
#define FROM_CLIENTS (BIT(HOST) | BIT(X_FORWARDED_FOR) | BIT(FORWARDED) | BIT(VIA))

static void dial(struct flight *f);

/* ---- the request head ---- */

/* A condition of our own: answers with what we have, if it is still good. */
static bool put_condition(struct buf *b, const struct head *stale)
{
	char date[HTTPDATE_BYTES];

	if (stale->etag.n)
		http1_format_field(b, SPAN("If-None-Match"), head_part(stale, stale->etag));
	if (stale->last_modified != HTTPDATE_NONE) {
		httpdate_format(stale->last_modified, date);
		http1_format_field(b, SPAN("If-Modified-Since"), span_of(date, sizeof(date)));
	}
	return stale->etag.n || stale->last_modified != HTTPDATE_NONE;
}

static void put_authorization(struct buf *b, const struct flight *f)
{
	if (!f->url.userinfo.n || hdr_has(&f->request->fields, HDR_AUTHORIZATION))
		return;
	buf_put_str(b, "Authorization: Basic ");
	base64_encode(f->url.userinfo, b);
	buf_put_str(b, "\r\n");
}

static void put_framing(struct buf *b, const struct http1_request *r)
{
	if (r->body == HTTP1_BODY_CHUNKED)
		buf_put_str(b, "Transfer-Encoding: chunked\r\n");
	if (r->body == HTTP1_BODY_LENGTH) {
		buf_put_str(b, "Content-Length: ");
		buf_put_u64(b, r->length);
		buf_put_str(b, "\r\n");
	}
}

static void put_upgrade(struct buf *b, const struct http1_request *r)
{
	if (!r->upgrade)
		return;
	buf_put_str(b, "Connection: Upgrade\r\n");
	http1_format_field(b, SPAN("Upgrade"), hdr_value(&r->fields, HDR_UPGRADE));
}

static void put_way(struct buf *b, const struct flight *f)
{
	const struct policy *p = f->policy;

	if (p->headers.via)
		buf_printf(b, "Via: 1.1 %s (pmcache)\r\n", p->node);
	if (p->headers.forwarded_for && f->client.n)
		http1_format_field(b, SPAN("X-Forwarded-For"), f->client);
}

static void format_request(struct flight *f, struct buf *b)
{
	const struct http1_request *r = f->request;

	http1_format_request_line(b, r->method_name, f->url.path_query);
	buf_put_str(b, "Host: ");
	url_put_authority(b, &f->url);
	buf_put_str(b, "\r\n");
	http1_format_fields(b, &r->fields, FROM_CLIENTS | BIT(CONTENT_LENGTH) | (f->whole ? CONDITIONS : 0));
	put_authorization(b, f);
	if (f->stale_head)
		f->conditional = put_condition(b, f->stale_head);
	put_framing(b, r);
	put_upgrade(b, r);
	put_way(b, f);
	http1_format_end(b);
}

/* ---- the exchange ---- */

static void on_informational(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;

	if (f->owner && f->owner->informational)
		f->owner->informational(f->cookie, r);
}

static void on_head(void *cookie, const struct http1_response *r)
{
	reception_take(cookie, r);
}

static void on_body(void *cookie)
{
	fill_go_on(cookie);
}

static void on_send(void *cookie)
{
	struct flight *f = cookie;

	if (f->owner && f->owner->send)
		f->owner->send(f->cookie);
}

static bool may_retry(const struct flight *f)
{
	return !f->retried && exchange_link(f->exchange)->used > 1 && exchange_is_silent(f->exchange) &&
	       !f->upload_begun && http1_method_is_idempotent(f->request->method);
}

static void on_failed(void *cookie, enum reason why)
{
	struct flight *f = cookie;
	enum entry_phase phase;

	CHECK(f, FLIGHT_MAGIC);
	if (may_retry(f) &&
	    (why == REASON_UPSTREAM_CLOSED || why == REASON_UPSTREAM_RESET || why == REASON_UPSTREAM_CUT)) {
		f->retried = true;
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_RETRIES, 1);
		exchange_cancel(&f->exchange);
		dial(f);
		return;
	}
	phase = f->entry->phase;
	flight__failed(f, why, phase == ENTRY_NEW ? f->peer : "in the middle of the body");
}

static const struct exchange_on exchange_on = {
	.informational = on_informational,
	.head = on_head,
	.body = on_body,
	.send = on_send,
	.failed = on_failed,
};

#define MOST_RESPONSE_HEAD ((size_t)64 * 1024)

static void start_exchange(struct flight *f, struct link *link)
{
	const struct policy_upstream *u = &f->policy->upstream;
	struct arena scratch = {0};
	size_t room = f->request->head_bytes + f->url.path_query.n + 2 * f->url.userinfo.n + 2048;
	struct buf b = buf_over(arena_alloc(&scratch, room), room);
	struct exchange_ask ask = {
		.method = f->request->method,
		.body = f->request->body,
		.length = f->request->length,
		.max_head_bytes = MOST_RESPONSE_HEAD,
		.first_byte_timeout = u->first_byte_timeout,
		.read_timeout = u->read_timeout,
		.write_timeout = u->read_timeout,
	};

	format_request(f, &b);
	CHECK_THAT(!b.full);
	ask.head = buf_span(&b);
	memcpy(f->peer, link->peer, sizeof(f->peer));
	metric_add(f->fetcher->metrics, METRIC_UPSTREAM_REQUESTS, 1);
	if (link->used)
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_LINKS_REUSED, 1);
	f->request_time = loop_wall(f->fetcher->loop);
	f->exchange = exchange_start(&link, &ask, &exchange_on, f);
	arena_free(&scratch);
	if (f->request->body == HTTP1_BODY_NONE)
		return;
	if (f->request->body == HTTP1_BODY_LENGTH && f->request->length == 0)
		return;
	if (f->owner && f->owner->send)
		f->owner->send(f->cookie);
}

/* ---- dialling ---- */

static void on_dialled(void *cookie, struct stream *s, const struct dial_report *report)
{
	struct flight *f = cookie;
	struct link *link;

	CHECK(f, FLIGHT_MAGIC);
	f->dial = NULL;
	if (report->addr.len)
		addr_format_ip(&report->addr, f->peer);
	if (!s) {
		flight__failed(f, report->why, report->detail);
		return;
	}
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

void upstream_begin(struct flight *f)
{
	struct dial_target target = target_of(f);
	char text[2 * URL_MAX_HOST + 64];
	struct buf b = buf_over(text, sizeof(text));
	struct link *link;

	dial_origin(&target, &b);
	CHECK_THAT(!b.full);
	f->origin = arena_copy(&f->arena, buf_span(&b));
	link = pool_take(f->fetcher->pool, f->origin.p);
	if (link)
		start_exchange(f, link);
	else
		dial(f);
}
