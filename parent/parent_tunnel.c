#include "parent/parent_tunnel.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/mem.h"
#include "node/link/exchange.h"
#include "node/link/nodelink.h"
#include "parent/parent_link.h"
#include "proto/http1_format.h"
#include "proto/url.h"

#define MOST_TRIED 2
#define DIAL_MS (1 * DUR_SECOND)
#define TLS_MS (2 * DUR_SECOND)
#define ANSWER_MS (30 * DUR_SECOND) /* the parent resolves and dials meanwhile */
#define HEAD_BYTES ((size_t)8 * 1024)

struct parent_tunnel {
	unsigned magic;
	struct loop *loop;
	struct dns *dns;
	struct nodetls *tls;
	struct parent_set *parents;
	parent_tunnel_on_done_f *on_done;
	void *cookie;
	struct key key;
	char *head; /* the CONNECT */
	size_t head_n;
	struct parent_pick pick;
	bool asked; /* pick is in use */
	unsigned tried[MOST_TRIED], n_tried;
	struct nodelink_dial *dial;
	struct exchange *exchange;
	struct deferred job;
};

#define PARENT_TUNNEL_MAGIC 0x9a4e7e41

static void ended(struct parent_tunnel *t, enum parent_outcome outcome)
{
	if (!t->asked)
		return;
	t->asked = false;
	parent_set_ended(t->parents, &t->pick, outcome, 0, -1, 0, loop_now(t->loop));
}

static void tunnel_free(struct parent_tunnel *t)
{
	nodelink_cancel(&t->dial);
	exchange_cancel(&t->exchange);
	ended(t, PARENT_CANCELLED);
	loop_defer_cancel(t->loop, &t->job);
	nodetls_unref(&t->tls);
	free(t->head);
	t->magic = 0;
	free(t);
}

/* It is gone before its owner hears of it. */
static void finish(struct parent_tunnel *t, struct stream *s, struct span first, enum reason why, const char *detail)
{
	parent_tunnel_on_done_f *on_done = t->on_done;
	void *cookie = t->cookie;
	char parent[PARENT_NAME_BYTES + 1], text[256];

	snprintf(parent, sizeof(parent), "%s", t->pick.member.name);
	snprintf(text, sizeof(text), "%s", detail);
	tunnel_free(t);
	on_done(cookie, s, first, why, text, parent);
}

static void ask_next(struct parent_tunnel *t, enum reason why, const char *detail);

/* ---- the answer ---- */

static void on_head(void *cookie, const struct http1_response *r)
{
	struct parent_tunnel *t = cookie;
	struct parent_link_reply said;
	char rest[PARENT_TUNNEL_FIRST_BYTES];
	struct stream *s;
	size_t n;

	CHECK(t, PARENT_TUNNEL_MAGIC);
	parent_link_read(r, &said);
	if (said.error && said.by_parent) {
		exchange_cancel(&t->exchange);
		ended(t, PARENT_FAILED);
		ask_next(t, said.error, t->pick.member.name);
		return;
	}
	ended(t, PARENT_OK);
	if (r->status / 100 != 2) {
		finish(t, NULL, SPAN_NONE, said.error ? said.error : REASON_PROXY_REFUSED, t->pick.member.name);
		return;
	}
	s = exchange_detach(&t->exchange, rest, sizeof(rest), &n);
	finish(t, s, span_of(rest, n), REASON_NONE, "");
}

static void on_failed(void *cookie, enum reason why)
{
	struct parent_tunnel *t = cookie;

	CHECK(t, PARENT_TUNNEL_MAGIC);
	exchange_cancel(&t->exchange);
	ended(t, PARENT_FAILED);
	ask_next(t, why, t->pick.member.name);
}

static void on_nothing(void *cookie)
{
	(void)cookie; /* no body is exchanged */
}

static const struct exchange_on exchange_on = {
	.head = on_head, .body = on_nothing, .send = on_nothing, .failed = on_failed};

/* ---- reaching a parent ---- */

static void on_dialled(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail)
{
	struct parent_tunnel *t = cookie;
	struct exchange_ask ask = {
		.method = METHOD_CONNECT,
		.max_head_bytes = HEAD_BYTES,
		.first_byte_timeout = ANSWER_MS,
		.read_timeout = ANSWER_MS,
		.write_timeout = ANSWER_MS,
	};
	struct link *link;

	(void)fault;
	CHECK(t, PARENT_TUNNEL_MAGIC);
	t->dial = NULL;
	if (!s) {
		ended(t, PARENT_CONNECT);
		ask_next(t, REASON_PARENT_DOWN, detail);
		return;
	}
	link = link_new(&s, "tunnel");
	ask.head = span_of(t->head, t->head_n);
	t->exchange = exchange_start(&link, &ask, &exchange_on, t);
}

static void reach(struct parent_tunnel *t)
{
	const struct parent_member *m = &t->pick.member;
	struct nodelink_target target = {
		.node = span_str(m->name),
		.host = span_str(m->host),
		.port = m->port,
		.door = NODE_DOOR_PROXY,
		.parent = true,
		.connect_timeout = DIAL_MS,
		.tls_timeout = TLS_MS,
	};

	t->dial = nodelink_dial(t->loop, t->dns, t->tls, &target, on_dialled, t);
}

static void ask_next(struct parent_tunnel *t, enum reason why, const char *detail)
{
	t->asked = t->n_tried < MOST_TRIED && parent_set_pick(t->parents, &t->key, t->tried, t->n_tried, t->n_tried > 0,
							      loop_now(t->loop), &t->pick);
	if (!t->asked) {
		finish(t, NULL, SPAN_NONE, why, detail);
		return;
	}
	t->tried[t->n_tried++] = t->pick.id;
	reach(t);
}

static void on_start(void *arg)
{
	ask_next(arg, REASON_PARENT_DOWN, "");
}

/* ---- start ---- */

static void format_head(struct parent_tunnel *t, const struct parent_tunnel_ask *ask)
{
	size_t room = 2 * (ask->host.n + 16) + PARENT_LINK_FIELD_BYTES + 128;
	char at[URL_MAX_HOST + 16];
	struct buf authority = buf_over(at, sizeof(at)), b = buf_over(mem_alloc(room), room);
	bool v6 = memchr(ask->host.p, ':', ask->host.n) != NULL;
	struct parent_link_ask hops = {.cluster = ask->cluster, .self = ask->self};

	buf_printf(&authority, v6 ? "[%.*s]:%u" : "%.*s:%u", SPAN_ARG(ask->host), ask->port);
	CHECK_THAT(!authority.full);
	sha256_of(buf_span(&authority), t->key.b);
	http1_format_request_line(&b, SPAN("CONNECT"), buf_span(&authority));
	http1_format_field(&b, SPAN("Host"), buf_span(&authority));
	parent_link_put(&b, &hops);
	http1_format_end(&b);
	CHECK_THAT(!b.full);
	t->head = b.p;
	t->head_n = b.n;
}

struct parent_tunnel *parent_tunnel_start(struct loop *loop, struct dns *dns, struct nodetls *tls,
					  struct parent_set *parents, const struct parent_tunnel_ask *ask,
					  parent_tunnel_on_done_f *on_done, void *cookie)
{
	struct parent_tunnel *t = NEW(struct parent_tunnel);

	t->magic = PARENT_TUNNEL_MAGIC;
	t->loop = loop;
	t->dns = dns;
	t->tls = nodetls_ref(tls);
	t->parents = parents;
	t->on_done = on_done;
	t->cookie = cookie;
	format_head(t, ask);
	loop_defer(loop, &t->job, on_start, t);
	return t;
}

void parent_tunnel_cancel(struct parent_tunnel **tp)
{
	struct parent_tunnel *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	CHECK(t, PARENT_TUNNEL_MAGIC);
	tunnel_free(t);
}
