#include "node/link/nodecall.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/link/exchange.h"
#include "node/link/pool.h"
#include "proto/http1_format.h"

#define LIMIT_MS (10 * DUR_SECOND)
#define DIAL_MS (1 * DUR_SECOND)
#define TLS_MS (2 * DUR_SECOND)
#define HEAD_BYTES ((size_t)8 * 1024)
#define PIECE_BYTES ((size_t)16 * 1024)

struct nodecall {
	unsigned magic;
	struct loop *loop;
	struct pool *pool;
	struct nodelink_dial *dial;
	struct exchange *exchange;
	struct timer deadline;
	nodecall_on_done_f *on_done;
	void *cookie;
	char origin[128];
	struct buf head;
	int status;
	bool more;
	char *body;
	size_t n, room;
};

#define NODECALL_MAGIC 0x40dec411

static void call_free(struct nodecall *c)
{
	nodelink_cancel(&c->dial);
	exchange_cancel(&c->exchange);
	timer_fini(&c->deadline);
	free(c->head.p);
	free(c->body);
	c->magic = 0;
	free(c);
}

/* It is gone before its owner hears of it. */
static void finish(struct nodecall *c, int status, struct span body)
{
	nodecall_on_done_f *on_done = c->on_done;
	void *cookie = c->cookie;
	bool more = c->more;
	char *kept = c->body;

	c->body = NULL;
	call_free(c);
	on_done(cookie, status, body, more);
	free(kept);
}

static void fail(struct nodecall *c, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "%s", why);
	finish(c, 0, span_str(text));
}

static void on_deadline(void *arg)
{
	fail(arg, "no answer in time");
}

/* ---- the exchange ---- */

static void end_body(struct nodecall *c)
{
	struct link *link = exchange_finish(&c->exchange);

	if (link)
		pool_give(c->pool, &link);
	finish(c, c->status, span_of(c->body, c->n));
}

static void on_body(void *cookie)
{
	struct nodecall *c = cookie;

	CHECK(c, NODECALL_MAGIC);
	for (;;) {
		ssize_t n;

		if (c->room - c->n < PIECE_BYTES) {
			if (c->room >= NODECALL_MOST_BYTES) {
				fail(c, "its answer is too large");
				return;
			}
			c->room = c->room ? 2 * c->room : PIECE_BYTES;
			c->body = mem_realloc(c->body, c->room);
		}
		n = exchange_pull(c->exchange, c->body + c->n, c->room - c->n);
		if (n == STREAM_AGAIN)
			return;
		if (n == STREAM_FAILED) {
			fail(c, reason_sentence(exchange_why(c->exchange)));
			return;
		}
		if (n == EXCHANGE_END) {
			end_body(c);
			return;
		}
		c->n += (size_t)n;
	}
}

static void on_head(void *cookie, const struct http1_response *r)
{
	struct nodecall *c = cookie;

	CHECK(c, NODECALL_MAGIC);
	c->status = r->status;
	c->more = hdr_find(&r->fields, SPAN("Pmc-More")) != NULL;
	on_body(c);
}

static void on_send(void *cookie)
{
	(void)cookie; /* nothing is sent but the head */
}

static void on_failed(void *cookie, enum reason why)
{
	fail(cookie, reason_sentence(why));
}

static const struct exchange_on exchange_on = {.head = on_head, .body = on_body, .send = on_send, .failed = on_failed};

static void start(struct nodecall *c, struct link *link)
{
	struct exchange_ask ask = {
		.head = buf_span(&c->head),
		.method = METHOD_GET,
		.max_head_bytes = HEAD_BYTES,
	};

	c->exchange = exchange_start(&link, &ask, &exchange_on, c);
}

static void on_dialled(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail)
{
	struct nodecall *c = cookie;
	struct link *link;

	(void)fault;
	CHECK(c, NODECALL_MAGIC);
	c->dial = NULL;
	if (!s) {
		fail(c, detail);
		return;
	}
	link = link_new(&s, c->origin);
	start(c, link);
}

static void format_head(struct nodecall *c, const struct nodecall_ask *ask)
{
	size_t room = ask->path.n + ask->node.n + ask->fields.n + 128;

	c->head = buf_over(mem_alloc(room), room);
	http1_format_request_line(&c->head, SPAN("GET"), ask->path);
	http1_format_field(&c->head, SPAN("Host"), ask->node);
	buf_put(&c->head, ask->fields);
	http1_format_end(&c->head);
	CHECK_THAT(!c->head.full);
}

struct nodecall *nodecall_start(struct loop *loop, struct dns *dns, struct pool *pool, struct nodetls *tls,
				const struct nodecall_ask *ask, nodecall_on_done_f *on_done, void *cookie)
{
	struct nodecall *c = NEW(struct nodecall);
	struct buf b = buf_over(c->origin, sizeof(c->origin) - 1);
	struct nodelink_target target = {
		.node = ask->node,
		.host = ask->host,
		.port = ask->port,
		.door = NODE_DOOR_PEER,
		.parent = ask->parent,
		.connect_timeout = DIAL_MS,
		.tls_timeout = TLS_MS,
	};
	struct link *link;

	c->magic = NODECALL_MAGIC;
	c->loop = loop;
	c->pool = pool;
	c->on_done = on_done;
	c->cookie = cookie;
	format_head(c, ask);
	nodelink_origin(&target, &b);
	CHECK_THAT(!b.full);
	timer_init(&c->deadline, loop, on_deadline, c);
	timer_set_in(&c->deadline, ask->limit ? ask->limit : LIMIT_MS);
	link = pool_take(pool, c->origin);
	if (link)
		start(c, link);
	else
		c->dial = nodelink_dial(loop, dns, tls, &target, on_dialled, c);
	return c;
}

void nodecall_cancel(struct nodecall **cp)
{
	struct nodecall *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	CHECK(c, NODECALL_MAGIC);
	call_free(c);
}
