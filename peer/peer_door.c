#include "peer/peer_door.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "peer/peer_door_internal.h"
#include "peer/peer_purge.h"
#include "proto/http1_format.h"
#include "proto/rendezvous.h"
#include "proto/url.h"

#define MOST_VISITORS 512
#define HEAD_MS (10 * DUR_SECOND)
#define IDLE_MS (90 * DUR_SECOND) /* longer than a node keeps an idle link: so it is the one that closes */
#define SEND_MS (20 * DUR_SECOND)
#define ANSWER_HEAD_BYTES 512
#define PAGE_PREFIX "/.pmc/v1/"

#define TEXT SPAN("text/plain; charset=utf-8")

struct peer_door_reply {
	unsigned magic;
	struct loop *loop;
	struct visitor *visitor; /* NULL: it has left */
};

#define PEER_DOOR_REPLY_MAGIC 0x9ee5d03e

static void go_on(struct visitor *v);

/* ---- answers ---- */

static void on_job(void *arg)
{
	struct visitor *v = arg;

	CHECK(v, VISITOR_MAGIC);
	go_on(v);
}

void door__answered(struct visitor *v)
{
	struct loop *loop = v->door->settings.loop;

	v->visit = VISIT_ANSWERED;
	v->n -= v->head_bytes;
	memmove(v->in, v->in + v->head_bytes, v->n);
	v->head_bytes = v->scanned = 0;
	if (!v->keep_alive || v->door->draining) {
		door__end(v, STREAM_CLEAN);
		return;
	}
	stream_want(v->stream, 0);
	timer_set_in(&v->deadline, SEND_MS);
	loop_bulk(loop, &v->job, on_job, v); /* by then it shows whether the socket took the answer */
}

void door__answer(struct visitor *v, int status, struct span extra, struct span type, struct span body)
{
	char head[ANSWER_HEAD_BYTES];
	struct buf b = buf_over(head, sizeof(head));

	http1_format_status_line(&b, status, SPAN(""));
	if (status != 204) {
		if (body.n)
			http1_format_field(&b, SPAN("Content-Type"), type);
		buf_printf(&b, "Content-Length: %zu\r\n", body.n);
	}
	buf_put(&b, extra);
	if (!v->keep_alive || v->door->draining)
		buf_put_str(&b, "Connection: close\r\n");
	http1_format_end(&b);
	CHECK_THAT(!b.full);
	if (stream_push(v->stream, buf_span(&b)) && (v->head_only || stream_push(v->stream, body)))
		door__answered(v);
	else
		door__end(v, STREAM_CUT);
}

static void say(struct visitor *v, int status, const char *sentence)
{
	char text[200];
	struct buf b = buf_over(text, sizeof(text));

	buf_put_str(&b, sentence);
	buf_putc(&b, '\n');
	door__answer(v, status, SPAN(""), TEXT, buf_span(&b));
}

/* For what no node of ours sends: nothing that comes behind it is believed. */
static void refuse(struct visitor *v, int status, const char *sentence)
{
	log_line(v->door->settings.log, LOG_INFO, "peer", "refused a request of %s: %s", v->who.node, sentence);
	v->keep_alive = false;
	say(v, status, sentence);
}

struct loop *peer_door_loop(const struct peer_door_reply *reply)
{
	CHECK(reply, PEER_DOOR_REPLY_MAGIC);
	return reply->loop;
}

void peer_door_answer(struct peer_door_reply *reply, int status, struct span type, struct span body)
{
	struct visitor *v = reply->visitor;

	CHECK(reply, PEER_DOOR_REPLY_MAGIC);
	reply->magic = 0;
	free(reply);
	if (!v)
		return;
	CHECK(v, VISITOR_MAGIC);
	v->reply = NULL;
	door__answer(v, status, SPAN(""), type, body);
}

/* ---- pages ---- */

/* The value of one name in a query; SPAN_NONE when it is not there. Nothing is decoded: hosts and numbers need no escapes. */
static struct span query_value(struct span query, struct span name)
{
	struct span part;

	while (query.p && span_cut(&query, '&', &part)) {
		size_t at = span_find(part, '=');

		if (at < part.n && span_eq(span_upto(part, at), name))
			return span_from(part, at + 1);
	}
	return SPAN_NONE;
}

static struct peer_door_reply *owe(struct visitor *v)
{
	struct peer_door_reply *reply = NEW(struct peer_door_reply);

	reply->magic = PEER_DOOR_REPLY_MAGIC;
	reply->loop = v->door->settings.loop;
	reply->visitor = v;
	v->reply = reply;
	v->visit = VISIT_OWED;
	timer_clear(&v->deadline);
	stream_want(v->stream, STREAM_READ); /* to learn when it leaves */
	return reply;
}

static void say_missing(struct visitor *v)
{
	say(v, 404, "no such page");
}

static void page_members(struct visitor *v, struct span query)
{
	const struct peer_door_settings *s = &v->door->settings;
	const struct hdr *address = hdr_find(&v->door->parsed.fields, SPAN("Pmc-Address"));

	(void)query;
	if (s->pages && s->pages->members)
		s->pages->members(s->cookie, owe(v), &v->who, stream_peer(v->stream),
				  address ? address->value : SPAN_NONE);
	else
		say_missing(v);
}

static void page_peers(struct visitor *v, struct span query)
{
	const struct peer_door_settings *s = &v->door->settings;

	(void)query;
	if (s->pages && s->pages->peers)
		s->pages->peers(s->cookie, owe(v));
	else
		say_missing(v);
}

/* A host name or an address without brackets. */
static bool is_host(struct span s)
{
	struct addr a;

	return url_is_host(s) || (s.n && s.n < ADDR_TEXT_BYTES && addr_parse_ip(s, 0, &a) == 0);
}

static void page_cert(struct visitor *v, struct span query)
{
	const struct peer_door_settings *s = &v->door->settings;
	struct span host = query_value(query, SPAN("host")), sni = query_value(query, SPAN("sni"));
	uint64_t port;

	if (!s->pages || !s->pages->cert) {
		say_missing(v);
		return;
	}
	if (!is_host(host) || span_to_u64(query_value(query, SPAN("port")), &port) < 0 || port < 1 ||
	    port > UINT16_MAX || (sni.n && !url_is_host(sni))) {
		say(v, 400, "host, port and sni are needed");
		return;
	}
	s->pages->cert(s->cookie, owe(v), host, (uint16_t)port, sni);
}

static void page_purges(struct visitor *v, struct span query)
{
	struct peer_purge *p = v->door->settings.purge;
	struct span since = query_value(query, SPAN("since")), after = query_value(query, SPAN("after"));
	uint64_t serial;
	struct buf b;
	bool more, there;

	if (!p) {
		say_missing(v);
		return;
	}
	if (span_to_u64(since.p ? since : after, &serial) < 0) {
		say(v, 400, "since=N, or after=N for the next page, is needed");
		return;
	}
	b = buf_over(mem_alloc(PEER_PURGE_PAGE_BYTES), PEER_PURGE_PAGE_BYTES);
	there = since.p ? peer_purge_recent(p, serial, &b, &more) : peer_purge_since(p, serial, &b, &more);
	if (there)
		door__answer(v, 200, more ? SPAN("Pmc-More: 1\r\n") : SPAN(""), SPAN("application/octet-stream"),
			     buf_span(&b));
	else
		say(v, 410, "the log does not reach back so far: purge everything, and take all of it");
	free(b.p);
}

static void page_health(struct visitor *v, struct span query)
{
	(void)query;
	door__answer(v, 204, SPAN(""), SPAN(""), SPAN(""));
}

static const struct {
	struct span path;
	void (*page)(struct visitor *, struct span query);
} pages[] = {
	{SPAN(PAGE_PREFIX "members"), page_members}, {SPAN(PAGE_PREFIX "purges"), page_purges},
	{SPAN(PAGE_PREFIX "peers"), page_peers},     {SPAN(PAGE_PREFIX "cert"), page_cert},
	{SPAN(PAGE_PREFIX "health"), page_health},
};

static void show_page(struct visitor *v, struct span target)
{
	size_t mark = span_find(target, '?');
	struct span path = span_upto(target, mark), query = mark < target.n ? span_from(target, mark + 1) : SPAN_NONE;

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (!span_eq(path, pages[i].path))
			continue;
		pages[i].page(v, query);
		return;
	}
	say_missing(v);
}

static void show_object(struct visitor *v, const struct http1_request *r)
{
	struct peer_link_request asked;

	if (v->who.role != NODE_EDGE && v->who.role != NODE_PARENT)
		say(v, 403, "objects are for edges and parents");
	else if (!peer_link_parse(r, &asked))
		refuse(v, 400, "no key, no Pmc-Url, or a number that is none");
	else
		door__object(v, &asked);
}

/* ---- requests ---- */

static void take_request(struct visitor *v, const struct http1_request *r)
{
	struct peer_door *d = v->door;
	bool object = span_starts(r->target, SPAN(PEER_LINK_OBJECTS));

	v->head_bytes = r->head_bytes;
	v->keep_alive = r->keep_alive;
	v->head_only = r->method == METHOD_HEAD;
	TAILQ_REMOVE(&d->visitors, v, entry);
	TAILQ_INSERT_TAIL(&d->visitors, v, entry);
	if (r->method == METHOD_GET || r->method == METHOD_HEAD) {
		if (r->target.p[0] != '/') {
			refuse(v, 403, "this door forwards nothing");
			return;
		}
	}
	if (r->body != HTTP1_BODY_NONE || !(r->method == METHOD_GET || (r->method == METHOD_HEAD && object)))
		refuse(v, 405, "this door is for asking: GET, and HEAD for objects, without a body");
	else if (r->minor < 1)
		refuse(v, 505, "HTTP/1.1 is spoken here");
	else if (hdr_count(&r->fields, HDR_HOST) != 1)
		refuse(v, 400, "Host is missing, or given twice");
	else if (d->draining)
		door__answer(v, 503, SPAN("Pmc-Why: gone\r\n"), SPAN(""), SPAN(""));
	else if (object)
		show_object(v, r);
	else
		show_page(v, r->target);
}

/* True: an answer still waits for the visitor to take it. */
static bool is_sending(struct visitor *v)
{
	if (v->visit != VISIT_ANSWERED)
		return false;
	if (stream_blocked(v->stream)) {
		stream_want(v->stream, STREAM_WRITE);
		return true;
	}
	v->visit = VISIT_READING;
	timer_set_in(&v->deadline, v->n ? HEAD_MS : IDLE_MS);
	return false;
}

bool door__hear(struct visitor *v)
{
	ssize_t n;

	if (v->n ==
	    sizeof(v->in)) { /* it says much for one that is to listen; that it leaves shows when it is written to */
		stream_want(v->stream, 0);
		return true;
	}
	n = stream_read(v->stream, v->in + v->n, sizeof(v->in) - v->n);
	if (n == 0 || n == STREAM_FAILED) {
		door__end(v, v->visit == VISIT_READING && n == 0 ? STREAM_CLEAN : STREAM_CUT);
		return false;
	}
	if (n > 0)
		v->n += (size_t)n;
	return true;
}

/* False: nothing more came, or the visitor is gone. */
static bool read_more(struct visitor *v)
{
	size_t before = v->n;

	if (!door__hear(v))
		return false;
	if (v->n == before) {
		stream_want(v->stream, STREAM_READ);
		return false;
	}
	if (before == 0)
		timer_set_in(&v->deadline, HEAD_MS);
	return true;
}

static void go_on(struct visitor *v)
{
	struct http1_request *r = &v->door->parsed;
	enum reason why;

	if (is_sending(v))
		return;
	do {
		switch (http1_parse_request(span_of(v->in, v->n), &v->scanned, sizeof(v->in), r, &why)) {
		case HTTP1_DONE:
			take_request(v, r);
			return;
		case HTTP1_BAD:
			v->head_bytes = v->n;
			refuse(v, reason_status(why), reason_word(why));
			return;
		case HTTP1_MORE:
			break;
		}
	} while (read_more(v));
}

static void on_ready(void *cookie, unsigned events)
{
	struct visitor *v = cookie;

	CHECK(v, VISITOR_MAGIC);
	switch (v->visit) {
	case VISIT_READING:
	case VISIT_ANSWERED:
		go_on(v);
		return;
	case VISIT_OWED:
		door__hear(v);
		return;
	case VISIT_OBJECT:
		door__object_go_on(v, events);
		return;
	}
}

static void on_deadline(void *arg)
{
	struct visitor *v = arg;

	CHECK(v, VISITOR_MAGIC);
	if (v->visit == VISIT_READING && v->n == 0) {
		door__end(v, STREAM_CLEAN);
		return;
	}
	log_line(v->door->settings.log, LOG_INFO, "peer", "%s has stopped %s; its connection is closed", v->who.node,
		 v->visit == VISIT_READING ? "in the middle of a request" : "reading");
	door__end(v, STREAM_CUT);
}

/* ---- coming and going ---- */

void door__end(struct visitor *v, enum stream_end how)
{
	struct peer_door *d = v->door;

	door__object_fini(v);
	TAILQ_REMOVE(&d->visitors, v, entry);
	d->n_visitors--;
	if (v->reply)
		v->reply->visitor = NULL;
	loop_defer_cancel(d->settings.loop, &v->job);
	stream_close(&v->stream, how);
	timer_fini(&v->deadline);
	v->magic = 0;
	free(v);
}

/* The one that has been silent longest makes room, if there is one that wants nothing. */
static bool make_room(struct peer_door *d)
{
	struct visitor *v;

	if (d->n_visitors < MOST_VISITORS)
		return true;
	TAILQ_FOREACH(v, &d->visitors, entry)
	{
		if (v->visit != VISIT_READING)
			continue;
		door__end(v, STREAM_CUT);
		return true;
	}
	return false;
}

void peer_door_take(struct peer_door *d, struct stream **s, const struct node_name *who)
{
	struct visitor *v;

	CHECK(d, PEER_DOOR_MAGIC);
	if (!make_room(d)) {
		log_line(d->settings.log, LOG_WARNING, "peer", "%s is turned away: %d connections are busy", who->node,
			 MOST_VISITORS);
		stream_close(s, STREAM_CUT);
		return;
	}
	v = NEW(struct visitor);
	v->magic = VISITOR_MAGIC;
	v->door = d;
	v->stream = *s;
	*s = NULL;
	v->who = *who;
	v->node = rendezvous_node_id(span_str(who->node));
	TAILQ_INSERT_TAIL(&d->visitors, v, entry);
	d->n_visitors++;
	timer_init(&v->deadline, d->settings.loop, on_deadline, v);
	timer_set_in(&v->deadline, HEAD_MS);
	stream_set_handler(v->stream, on_ready, v);
	loop_defer(d->settings.loop, &v->job, on_job, v); /* it may have spoken already */
}

struct peer_door *peer_door_new(const struct peer_door_settings *s)
{
	struct peer_door *d = NEW(struct peer_door);

	d->magic = PEER_DOOR_MAGIC;
	d->settings = *s;
	TAILQ_INIT(&d->visitors);
	return d;
}

void peer_door_drain(struct peer_door *d)
{
	struct visitor *v, *next;

	CHECK(d, PEER_DOOR_MAGIC);
	d->draining = true;
	for (v = TAILQ_FIRST(&d->visitors); v; v = next) {
		next = TAILQ_NEXT(v, entry);
		if (v->visit == VISIT_READING && v->n == 0)
			door__end(v, STREAM_CLEAN);
	}
}

void peer_door_free(struct peer_door *d)
{
	struct visitor *v, *next;

	if (!d)
		return;
	CHECK(d, PEER_DOOR_MAGIC);
	for (v = TAILQ_FIRST(&d->visitors); v; v = next) {
		next = TAILQ_NEXT(v, entry);
		door__end(v, STREAM_CUT);
	}
	d->magic = 0;
	free(d);
}
