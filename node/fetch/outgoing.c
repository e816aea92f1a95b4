/* The request as it goes to a parent or an origin, and the exchange that carries it. */
#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/fetch/flight_internal.h"
#include "parent/parent_link.h"
#include "proto/http1_format.h"
#include "proto/httpdate.h"
#include "proto/validator.h"

#define BIT(id) (1ull << HDR_##id)
#define CONDITIONS                                                                                                     \
	(BIT(IF_MATCH) | BIT(IF_NONE_MATCH) | BIT(IF_MODIFIED_SINCE) | BIT(IF_UNMODIFIED_SINCE) | BIT(IF_RANGE) |      \
	 BIT(RANGE))
/* What clients say of the way they came is not to be trusted, and is nobody's business upstream. */
#define FROM_CLIENTS (BIT(HOST) | BIT(X_FORWARDED_FOR) | BIT(FORWARDED) | BIT(VIA))
#define MOST_RESPONSE_HEAD ((size_t)64 * 1024)
#define ONLY_SIGN_MS 300 /* who has it, or is fetching it, says so at once (102) */
#define DISCARD_MOST ((size_t)16 * 1024)

/* ---- the head ---- */

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

/* The rest of a body that broke off, if it is still the same one (RFC 9110 §13.1.5 wants a strong validator). */
static void put_rest(struct buf *b, struct flight *f)
{
	struct entry_view view;
	struct head *head = f->parked;
	struct etag etag;

	entry_look(f->entry, &view);
	if (!head)
		head = view.head;
	if (head && head->etag.n && !validator_etag(head_part(head, head->etag), &etag) && !etag.weak) {
		buf_printf(b, "Range: bytes=%llu-\r\n", (unsigned long long)fill_here(f));
		http1_format_field(b, SPAN("If-Range"), head_part(head, head->etag));
	}
	head_unref(&view.head);
}

static void put_authorization(struct buf *b, const struct flight *f)
{
	struct span userinfo = f->url.userinfo;
	struct buf plain;

	if (!userinfo.n || hdr_has(&f->request->fields, HDR_AUTHORIZATION))
		return;
	plain = buf_over(mem_alloc(userinfo.n + 1), userinfo.n + 1);
	url_put_user_pass(&plain, userinfo);
	buf_put_str(b, "Authorization: Basic ");
	base64_encode(buf_span(&plain), b);
	buf_put_str(b, "\r\n");
	free(plain.p);
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

/* To a parent in absolute-form, so that it is a request to a cache and not a tunnel. */
static void put_request_line(struct buf *b, const struct flight *f, bool to_parent)
{
	size_t room = f->url.host.n + f->url.path_query.n + 64;
	struct arena scratch = {0};
	struct buf target = buf_over(arena_alloc(&scratch, room), room);

	if (to_parent) {
		buf_put_str(&target, f->url.https ? "https://" : "http://");
		url_put_authority(&target, &f->url);
	}
	buf_put(&target, f->url.path_query);
	CHECK_THAT(!target.full);
	http1_format_request_line(b, f->request->method_name, buf_span(&target));
	arena_free(&scratch);
}

static void put_hops(struct buf *b, const struct flight *f, const struct upward *up)
{
	const struct fetch_cluster *c = f->fetcher->cluster;

	parent_link_put(b, &(struct parent_link_ask){
				   .cluster = span_str(c->name),
				   .self = span_str(c->node),
				   .came_with = f->from_child ? &f->request->fields : NULL,
				   .home = span_str(up->pick.home),
				   .only = up->only,
				   .refresh = f->afresh,
			   });
}

static void format_request(struct flight *f, const struct upward *up, struct buf *b)
{
	const struct http1_request *r = f->request;

	put_request_line(b, f, up != NULL);
	buf_put_str(b, "Host: ");
	url_put_authority(b, &f->url);
	buf_put_str(b, "\r\n");
	http1_format_fields(b, &r->fields, FROM_CLIENTS | BIT(CONTENT_LENGTH) | (f->whole ? CONDITIONS : 0));
	put_authorization(b, f);
	if (f->begun && !f->proof.wanted) /* what is not proven has to come whole, to be compared */
		put_rest(b, f);
	if (!f->begun && f->stale_head)
		f->conditional = put_condition(b, f->stale_head);
	put_framing(b, r);
	put_upgrade(b, r);
	put_way(b, f);
	if (up)
		put_hops(b, f, up);
	http1_format_end(b);
}

/* ---- the exchange ---- */

void outgoing_on_informational(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;

	if (f->owner && f->owner->informational)
		f->owner->informational(f->cookie, r);
}

void outgoing_on_body(void *cookie)
{
	fill_go_on(cookie);
}

void outgoing_on_send(void *cookie)
{
	struct flight *f = cookie;

	if (f->owner && f->owner->send)
		f->owner->send(f->cookie);
}

struct link *outgoing_reach(struct flight *f, const struct nodelink_target *target, bool fresh,
			    nodelink_on_done_f *on_done, void *cookie, struct nodelink_dial **dial, struct span *origin)
{
	const struct fetch_cluster *c = f->fetcher->cluster;
	char name[NODECERT_NAME_BYTES + 64];
	struct buf b = buf_over(name, sizeof(name));
	struct link *link;

	nodelink_origin(target, &b);
	CHECK_THAT(!b.full);
	*origin = arena_copy(&f->arena, buf_span(&b));
	link = fresh ? NULL : pool_take(f->fetcher->pool, origin->p);
	if (!link)
		*dial = nodelink_dial(f->fetcher->loop, c->dns, c->tls, target, on_done, cookie);
	return link;
}

struct exchange *outgoing_start(struct flight *f, struct link **link, const struct upward *up,
				const struct exchange_on *on, void *cookie)
{
	const struct policy_upstream *u = &f->policy->upstream;
	struct arena scratch = {0};
	size_t room = f->request->head_bytes + f->url.host.n + f->url.path_query.n + 2 * f->url.userinfo.n + 2048 +
		      PARENT_LINK_FIELD_BYTES + (f->begun ? MOST_RESPONSE_HEAD : 0);
	struct buf b = buf_over(arena_alloc(&scratch, room), room);
	struct exchange_ask ask = {
		.method = f->request->method,
		.body = f->request->body,
		.length = f->request->length,
		.max_head_bytes = MOST_RESPONSE_HEAD,
		.first_byte_timeout = up && up->only ? ONLY_SIGN_MS : u->first_byte_timeout,
		.read_timeout = u->read_timeout,
		.write_timeout = u->read_timeout,
	};
	struct exchange *x;

	format_request(f, up, &b);
	CHECK_THAT(!b.full);
	ask.head = buf_span(&b);
	x = exchange_start(link, &ask, on, cookie);
	arena_free(&scratch);
	return x;
}

void outgoing_upload(struct flight *f)
{
	if (f->request->body == HTTP1_BODY_NONE)
		return;
	if (f->request->body == HTTP1_BODY_LENGTH && f->request->length == 0)
		return;
	outgoing_on_send(f);
}

void outgoing_discard(struct flight *f, struct exchange **x)
{
	char unread[1024];
	size_t left = DISCARD_MOST;
	struct link *link;
	ssize_t n = STREAM_AGAIN;

	while (*x && left && (n = exchange_pull(*x, unread, sizeof(unread))) > 0)
		left -= (size_t)n < left ? (size_t)n : left;
	link = *x && n == EXCHANGE_END ? exchange_finish(x) : NULL;
	if (link)
		pool_give(f->fetcher->pool, &link);
	exchange_cancel(x);
}

void outgoing_start_with(struct flight *f, struct link **link, struct span head, dur_ms first_byte, dur_ms stall,
			 const struct exchange_on *on)
{
	struct exchange_ask ask = {
		.head = head,
		.method = METHOD_GET,
		.body = HTTP1_BODY_NONE,
		.max_head_bytes = MOST_RESPONSE_HEAD,
		.first_byte_timeout = first_byte,
		.read_timeout = stall,
		.write_timeout = stall,
	};

	f->request_time = loop_wall(f->fetcher->loop);
	f->asked_at = loop_now(f->fetcher->loop);
	f->exchange = exchange_start(link, &ask, on, f);
}
