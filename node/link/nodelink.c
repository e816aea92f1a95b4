#include "node/link/nodelink.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/link/race.h"
#include "node/net/stream_plain.h"
#include "node/tls/stream_tls.h"

#define DETAIL_BYTES 400

/* ---- dialling ---- */

/* The steps, in order: race, handshake, names. */
struct nodelink_dial {
	unsigned magic;
	struct loop *loop;
	struct nodetls *tls;
	nodelink_on_done_f *on_done;
	void *cookie;
	char *node, *host;
	uint16_t port;
	enum node_door door;
	bool parent;
	dur_ms tls_timeout;
	struct addr addr; /* len 0: not known yet */

	struct race *race;
	struct stream *stream;
	struct timer deadline; /* of the handshake */
};

#define NODELINK_DIAL_MAGIC 0x40de11a1

static void dial_free(struct nodelink_dial *d)
{
	race_cancel(&d->race);
	stream_close(&d->stream, STREAM_CUT);
	timer_fini(&d->deadline);
	nodetls_unref(&d->tls);
	free(d->node);
	free(d->host);
	d->magic = 0;
	free(d);
}

/* "edge2 at 10.0.0.2:8083", or by the name in the configuration as long as no address is known. */
static void put_target(struct buf *b, const struct nodelink_dial *d)
{
	char at[ADDR_TEXT_BYTES];

	if (d->addr.len)
		buf_printf(b, "%.48s at %s", d->node, addr_format(&d->addr, at));
	else
		buf_printf(b, "%.48s at %.120s:%u", d->node, d->host, d->port);
}

/* The dial is gone before its owner hears of it, who may start another at once. `says` continues the sentence. */
static void fail(struct nodelink_dial *d, enum nodelink_fault fault, const char *says)
{
	nodelink_on_done_f *on_done = d->on_done;
	void *cookie = d->cookie;
	char text[DETAIL_BYTES];
	struct buf b = buf_over(text, sizeof(text) - 1);

	put_target(&b, d);
	buf_put(&b, span_upto(span_str(says), b.cap - b.n));
	text[b.n] = '\0';
	stream_close(&d->stream, STREAM_CLEAN); /* with the alert, so that the other side can say why, too */
	dial_free(d);
	on_done(cookie, NULL, fault, text);
}

static void succeed(struct nodelink_dial *d)
{
	nodelink_on_done_f *on_done = d->on_done;
	void *cookie = d->cookie;
	struct stream *s = d->stream;

	d->stream = NULL;
	stream_set_handler(s, NULL, NULL);
	stream_want(s, 0);
	dial_free(d);
	on_done(cookie, s, NODELINK_OK, "");
}

/* Whether the certificate is the one that was to be met; its cluster has been looked at in the handshake. */
static void check_name(struct nodelink_dial *d)
{
	struct node_name who;
	char says[DETAIL_BYTES];

	CHECK_THAT(stream_tls_node(d->stream, &who) == 0);
	if (strcmp(who.node, d->node) != 0) {
		snprintf(says, sizeof(says), " showed a certificate for %s", who.node);
		fail(d, NODELINK_WRONG_NODE, says);
		return;
	}
	if (d->parent && who.role != NODE_PARENT) {
		snprintf(says, sizeof(says), " showed a certificate for role %s, not parent",
			 nodecert_role_word(who.role));
		fail(d, NODELINK_WRONG_NODE, says);
		return;
	}
	succeed(d);
}

static void on_handshake(void *cookie, struct stream *s, enum reason why)
{
	struct nodelink_dial *d = cookie;
	const char *more = stream_tls_detail(s);
	char says[DETAIL_BYTES];

	CHECK(d, NODELINK_DIAL_MAGIC);
	timer_clear(&d->deadline);
	if (!why) {
		check_name(d);
		return;
	}
	if (stream_tls_no_door(s)) {
		snprintf(says, sizeof(says), " does not open pmc-%s/1", nodetls_door_word(d->door));
		fail(d, NODELINK_NO_DOOR, says);
		return;
	}
	snprintf(says, sizeof(says), ": %s", more[0] ? more : reason_sentence(why));
	fail(d, why == REASON_CERT_WRONG_NAME ? NODELINK_WRONG_NODE : NODELINK_TLS, says);
}

static void on_dial_deadline(void *arg)
{
	struct nodelink_dial *d = arg;

	CHECK(d, NODELINK_DIAL_MAGIC);
	fail(d, NODELINK_TLS, ": the TLS handshake did not end in time");
}

static void on_raced(void *cookie, int fd, const struct race_report *r)
{
	struct nodelink_dial *d = cookie;
	char says[DETAIL_BYTES];
	struct stream *below;

	CHECK(d, NODELINK_DIAL_MAGIC);
	d->race = NULL;
	d->addr = r->addr;
	if (fd < 0) {
		snprintf(says, sizeof(says), ": %s", r->detail[0] ? r->detail : reason_sentence(r->why));
		fail(d, NODELINK_DIAL, says);
		return;
	}
	if (d->tls_timeout > 0)
		timer_set_in(&d->deadline, d->tls_timeout);
	below = stream_plain_new(d->loop, fd, &r->addr);
	d->stream = stream_tls_connect_node(&below, d->tls, d->door, span_str(d->node), on_handshake, d);
}

struct nodelink_dial *nodelink_dial(struct loop *loop, struct dns *dns, struct nodetls *tls,
				    const struct nodelink_target *t, nodelink_on_done_f *on_done, void *cookie)
{
	struct nodelink_dial *d = NEW(struct nodelink_dial);

	d->magic = NODELINK_DIAL_MAGIC;
	d->loop = loop;
	d->tls = nodetls_ref(tls);
	d->on_done = on_done;
	d->cookie = cookie;
	d->node = span_dup(t->node);
	d->host = span_dup(t->host);
	d->port = t->port;
	d->door = t->door;
	d->parent = t->parent;
	d->tls_timeout = t->tls_timeout;
	timer_init(&d->deadline, loop, on_dial_deadline, d);
	d->race = race_start(loop, dns, t->host, t->port, t->connect_timeout, NULL, on_raced, d);
	return d;
}

void nodelink_cancel(struct nodelink_dial **dp)
{
	struct nodelink_dial *d = *dp;

	if (!d)
		return;
	CHECK(d, NODELINK_DIAL_MAGIC);
	*dp = NULL;
	dial_free(d);
}

void nodelink_origin(const struct nodelink_target *t, struct buf *out)
{
	buf_printf(out, "node:%s:", nodetls_door_word(t->door));
	buf_put(out, t->node);
}

/* ---- accepting ---- */

struct nodelink_accept {
	unsigned magic;
	struct stream *stream;
	struct timer deadline;
	nodelink_on_accepted_f *on_accepted;
	void *cookie;
	char peer[ADDR_TEXT_BYTES];
};

#define NODELINK_ACCEPT_MAGIC 0x40de11a2

static void accept_free(struct nodelink_accept *a)
{
	stream_close(&a->stream, STREAM_CUT);
	timer_fini(&a->deadline);
	a->magic = 0;
	free(a);
}

static void refuse(struct nodelink_accept *a, const char *says)
{
	nodelink_on_accepted_f *on_accepted = a->on_accepted;
	void *cookie = a->cookie;
	char text[DETAIL_BYTES];

	snprintf(text, sizeof(text), "%s: %s", a->peer, says);
	stream_close(&a->stream, STREAM_CLEAN); /* with the alert: the other side is to know why */
	accept_free(a);
	on_accepted(cookie, NULL, NULL, NODE_DOOR_PEER, text);
}

static void on_shaken(void *cookie, struct stream *s, enum reason why)
{
	struct nodelink_accept *a = cookie;
	nodelink_on_accepted_f *on_accepted = a->on_accepted;
	const char *more = stream_tls_detail(s);
	struct node_name who;
	void *owner = a->cookie;

	CHECK(a, NODELINK_ACCEPT_MAGIC);
	if (why) {
		refuse(a, more[0] ? more : reason_sentence(why));
		return;
	}
	CHECK_THAT(stream_tls_node(s, &who) == 0);
	a->stream = NULL;
	stream_set_handler(s, NULL, NULL);
	stream_want(s, 0);
	accept_free(a);
	on_accepted(owner, s, &who, stream_tls_door(s), "");
}

static void on_accept_deadline(void *arg)
{
	struct nodelink_accept *a = arg;

	CHECK(a, NODELINK_ACCEPT_MAGIC);
	refuse(a, "the TLS handshake did not end in time");
}

struct nodelink_accept *nodelink_accept(struct loop *loop, struct nodetls *tls, int fd, const struct addr *peer,
					bool proxy, nodelink_on_accepted_f *on_accepted, void *cookie)
{
	struct nodelink_accept *a = NEW(struct nodelink_accept);
	struct stream *below = stream_plain_new(loop, fd, peer);

	a->magic = NODELINK_ACCEPT_MAGIC;
	a->on_accepted = on_accepted;
	a->cookie = cookie;
	addr_format(peer, a->peer);
	timer_init(&a->deadline, loop, on_accept_deadline, a);
	timer_set_in(&a->deadline, NODELINK_ACCEPT_TIMEOUT);
	a->stream = stream_tls_accept_node(&below, tls, proxy, on_shaken, a);
	return a;
}

void nodelink_accept_cancel(struct nodelink_accept **ap)
{
	struct nodelink_accept *a = *ap;

	if (!a)
		return;
	CHECK(a, NODELINK_ACCEPT_MAGIC);
	*ap = NULL;
	accept_free(a);
}
