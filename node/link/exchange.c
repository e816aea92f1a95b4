#include "node/link/exchange.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "proto/chunked.h"

#define FIRST_READ_BYTES 4096
#define BODY_READ_BYTES (16 * 1024)
#define MAX_TRAILER_BYTES (16 * 1024)
#define MAX_INTERIM 32 /* more 1xx than that are no conversation */

enum receive { RECV_HEAD, RECV_BODY, RECV_TRAILERS, RECV_DONE, RECV_FAILED };

struct exchange {
	unsigned magic;
	struct link *link;
	const struct exchange_on *on;
	void *cookie;
	struct exchange_ask ask; /* head is gone after the start */
	struct timer deadline;   /* of the answer */
	enum reason deadline_why;
	struct timer send_deadline;
	struct deferred job; /* goes on reading, or tells of a failure */

	/* the request body */
	uint64_t send_left; /* LENGTH */
	bool sent;          /* all of the request has been given to the stream */
	bool want_send;

	/* the response */
	enum receive receive;
	enum reason why;
	char *in; /* read, not yet used: in_at .. in_n */
	size_t in_at, in_n, in_room, scanned;
	int interim;
	bool silent, keep_alive;
	enum http1_body body;
	uint64_t left; /* of a body of known length */
	struct chunked chunked;
	struct trailers *trailers; /* NULL: none, or not yet */
	bool want_body;
};

/* They borrow from the copy behind them. */
struct trailers {
	struct hdrs fields;
	char text[];
};

#define EXCHANGE_MAGIC 0xe8c4a4e0

static void on_ready(void *cookie, unsigned events);

static struct stream *stream_of(const struct exchange *x)
{
	return x->link->stream;
}

static struct span unread(const struct exchange *x)
{
	return span_of(x->in + x->in_at, x->in_n - x->in_at);
}

/* ---- waiting ---- */

static void await(struct exchange *x, dur_ms limit, enum reason why)
{
	x->deadline_why = why;
	if (limit > 0)
		timer_set_in(&x->deadline, limit);
	else
		timer_clear(&x->deadline);
}

static void update_want(struct exchange *x)
{
	unsigned events = 0;

	if (x->receive == RECV_HEAD || x->want_body)
		events |= STREAM_READ;
	if (x->want_send)
		events |= STREAM_WRITE;
	stream_want(stream_of(x), events);
}

static void fail(struct exchange *x, enum reason why)
{
	if (x->receive == RECV_FAILED)
		return;
	x->receive = RECV_FAILED;
	x->why = why;
	timer_clear(&x->deadline);
	timer_clear(&x->send_deadline);
}

static void tell_failed(struct exchange *x)
{
	x->want_body = x->want_send = false;
	update_want(x);
	x->on->failed(x->cookie, x->why); /* x may be gone now */
}

static void on_deadline(void *arg)
{
	struct exchange *x = arg;

	CHECK(x, EXCHANGE_MAGIC);
	fail(x, x->deadline_why);
	tell_failed(x);
}

static void on_send_deadline(void *arg)
{
	struct exchange *x = arg;

	CHECK(x, EXCHANGE_MAGIC);
	fail(x, REASON_WRITE_TIMEOUT);
	tell_failed(x);
}

/* ---- the start ---- */

static void on_job(void *arg)
{
	on_ready(arg, STREAM_READ);
}

struct exchange *exchange_start(struct link **link, const struct exchange_ask *ask, const struct exchange_on *on,
				void *cookie)
{
	struct exchange *x = NEW(struct exchange);
	struct stream *s = (*link)->stream;

	x->magic = EXCHANGE_MAGIC;
	x->link = *link;
	*link = NULL;
	x->link->used++;
	x->on = on;
	x->cookie = cookie;
	x->ask = *ask;
	x->silent = true;
	x->send_left = ask->body == HTTP1_BODY_LENGTH ? ask->length : 0;
	x->sent = ask->body == HTTP1_BODY_NONE || (ask->body == HTTP1_BODY_LENGTH && ask->length == 0);
	timer_init(&x->deadline, s->loop, on_deadline, x);
	timer_init(&x->send_deadline, s->loop, on_send_deadline, x);
	stream_set_handler(s, on_ready, x);
	if (!stream_push(s, ask->head)) {
		fail(x, stream_why(s));
		loop_defer(s->loop, &x->job, on_job, x);
		return x;
	}
	x->ask.head = SPAN_NONE;
	if (x->sent)
		await(x, ask->first_byte_timeout, REASON_FIRST_BYTE_TIMEOUT);
	update_want(x);
	return x;
}

/* ---- the request body ---- */

static bool push_chunk(struct stream *s, struct span bytes)
{
	char line[CHUNKED_LINE_BYTES];
	size_t n = chunked_line(line, bytes.n);

	return stream_push(s, span_of(line, n)) && stream_push(s, bytes) && stream_push(s, SPAN("\r\n"));
}

size_t exchange_send(struct exchange *x, struct span bytes)
{
	struct stream *s = stream_of(x);
	bool ok;

	CHECK(x, EXCHANGE_MAGIC);
	CHECK_THAT(!x->sent);
	if (!bytes.n)
		return 0;
	if (x->receive != RECV_FAILED && stream_blocked(s)) {
		x->want_send = true;
		if (x->ask.write_timeout > 0)
			timer_set_in(&x->send_deadline, x->ask.write_timeout);
		update_want(x);
		return 0;
	}
	if (x->ask.body == HTTP1_BODY_LENGTH) {
		CHECK_THAT(bytes.n <= x->send_left);
		x->send_left -= bytes.n;
	}
	if (x->receive == RECV_FAILED)
		return bytes.n; /* of no use any more; on_failed is on its way */
	ok = x->ask.body == HTTP1_BODY_LENGTH ? stream_push(s, bytes) : push_chunk(s, bytes);
	if (!ok && x->receive == RECV_HEAD) {
		/* The origin may have answered before it closed: what it said is worth more than that it did not listen. */
		x->want_send = false;
		loop_defer(s->loop, &x->job, on_job, x);
	}
	return bytes.n;
}

void exchange_send_end(struct exchange *x)
{
	CHECK(x, EXCHANGE_MAGIC);
	CHECK_THAT(!x->sent && x->send_left == 0);
	if (x->ask.body == HTTP1_BODY_CHUNKED)
		stream_push(stream_of(x), SPAN("0\r\n\r\n"));
	x->sent = true;
	if (x->receive == RECV_HEAD)
		await(x, x->ask.first_byte_timeout, REASON_FIRST_BYTE_TIMEOUT);
}

void exchange_wait_on(struct exchange *x, dur_ms limit)
{
	CHECK(x, EXCHANGE_MAGIC);
	x->interim = 0;
	await(x, limit, REASON_FIRST_BYTE_TIMEOUT);
}

/* ---- reading ---- */

/* A link that ends without a byte was closed, however that looks from below; but an origin that wanted a certificate has said so. */
static enum reason silent_end(const struct exchange *x, enum reason why)
{
	return x->receive == RECV_HEAD && x->silent && why != REASON_TLS_WANTS_CERT ? REASON_UPSTREAM_CLOSED : why;
}

/* Reads once into `in`. False: nothing came (AGAIN), the end (x->why untouched, *ended), or a failure. */
static bool read_more(struct exchange *x, size_t room_wanted, bool *ended)
{
	ssize_t n;

	*ended = false;
	if (x->in_at == x->in_n)
		x->in_at = x->in_n = 0;
	if (x->in_room - x->in_n < room_wanted && x->in_at) {
		memmove(x->in, x->in + x->in_at, x->in_n - x->in_at);
		x->in_n -= x->in_at;
		x->in_at = 0;
	}
	if (x->in_room - x->in_n < room_wanted) {
		x->in_room = x->in_n + room_wanted;
		x->in = mem_realloc(x->in, x->in_room);
	}
	n = stream_read(stream_of(x), x->in + x->in_n, x->in_room - x->in_n);
	if (n > 0) {
		x->in_n += (size_t)n;
		x->silent = false;
		return true;
	}
	if (n == 0)
		*ended = true;
	if (n == STREAM_FAILED)
		fail(x, silent_end(x, stream_why(stream_of(x))));
	return false;
}

static void drop_input(struct exchange *x)
{
	if (x->in_at < x->in_n)
		return;
	free(x->in);
	x->in = NULL;
	x->in_at = x->in_n = x->in_room = 0;
}

/* Sets up what follows the final head. */
static void begin_body(struct exchange *x, const struct http1_response *r)
{
	x->keep_alive = r->keep_alive && r->status >= 200;
	x->body = r->body;
	x->left = r->body == HTTP1_BODY_LENGTH ? r->length : 0;
	x->in_at += r->head_bytes;
	x->scanned = 0;
	x->receive =
		r->body == HTTP1_BODY_NONE || (r->body == HTTP1_BODY_LENGTH && r->length == 0) ? RECV_DONE : RECV_BODY;
	timer_clear(&x->deadline);
}

static void receive_interim(struct exchange *x, const struct http1_response *r)
{
	struct loop *loop = stream_of(x)->loop;

	x->in_at += r->head_bytes;
	x->scanned = 0;
	if (++x->interim > MAX_INTERIM) {
		fail(x, REASON_BAD_RESPONSE);
		tell_failed(x);
		return;
	}
	loop_defer(loop, &x->job, on_job, x); /* there may be more in `in` */
	if (x->on->informational)
		x->on->informational(x->cookie, r);
}

static void receive_head(struct exchange *x)
{
	struct http1_response r;
	enum reason why;
	bool ended;

	for (;;) {
		switch (http1_parse_response(unread(x), &x->scanned, x->ask.max_head_bytes, x->ask.method, &r, &why)) {
		case HTTP1_DONE:
			if (r.status < 200 && r.status != 101) {
				receive_interim(x, &r);
				return;
			}
			begin_body(x, &r);
			update_want(x);
			x->on->head(x->cookie, &r);
			return;
		case HTTP1_BAD:
			fail(x, why);
			tell_failed(x);
			return;
		case HTTP1_MORE:
			break;
		}
		if (read_more(x, FIRST_READ_BYTES, &ended))
			continue;
		if (ended)
			fail(x, x->silent ? REASON_UPSTREAM_CLOSED : REASON_UPSTREAM_CUT);
		if (x->receive == RECV_FAILED)
			tell_failed(x);
		else
			update_want(x);
		return;
	}
}

static void on_ready(void *cookie, unsigned events)
{
	struct exchange *x = cookie;

	CHECK(x, EXCHANGE_MAGIC);
	if (x->receive == RECV_FAILED) {
		tell_failed(x);
		return;
	}
	if ((events & STREAM_WRITE) && x->want_send) {
		x->want_send = false;
		timer_clear(&x->send_deadline);
		update_want(x);
		x->on->send(x->cookie);
		return;
	}
	if (!(events & STREAM_READ))
		return;
	if (x->receive == RECV_HEAD) {
		receive_head(x);
		return;
	}
	if (x->want_body) {
		x->want_body = false;
		update_want(x);
		timer_clear(&x->deadline);
		x->on->body(x->cookie);
	}
}

/* ---- pulling the body ---- */

static ssize_t pull_again(struct exchange *x)
{
	x->want_body = true;
	await(x, x->ask.read_timeout, REASON_READ_TIMEOUT);
	update_want(x);
	return STREAM_AGAIN;
}

static ssize_t pull_failed(struct exchange *x, enum reason why)
{
	fail(x, why);
	return STREAM_FAILED;
}

static size_t take_unread(struct exchange *x, char *to, size_t room)
{
	struct span in = span_upto(unread(x), room);

	memcpy(to, in.p, in.n);
	x->in_at += in.n;
	drop_input(x);
	return in.n;
}

static ssize_t pull_plain(struct exchange *x, char *to, size_t room)
{
	ssize_t n;

	if (x->body == HTTP1_BODY_LENGTH && room > x->left)
		room = (size_t)x->left;
	if (x->in_at < x->in_n) {
		n = (ssize_t)take_unread(x, to, room);
	} else {
		drop_input(x);
		n = stream_read(stream_of(x), to, room);
	}
	if (n == STREAM_AGAIN)
		return pull_again(x);
	if (n == STREAM_FAILED)
		return pull_failed(x, stream_why(stream_of(x)));
	if (n == 0) {
		if (x->body == HTTP1_BODY_LENGTH)
			return pull_failed(x, REASON_UPSTREAM_CUT);
		x->receive = RECV_DONE;
		return EXCHANGE_END;
	}
	if (x->body == HTTP1_BODY_LENGTH) {
		x->left -= (uint64_t)n;
		if (x->left == 0)
			x->receive = RECV_DONE;
	}
	return n;
}

/* Decodes what is in `in`; 0: needs more. */
static size_t decode_unread(struct exchange *x, char *to, size_t room)
{
	size_t got = 0, used;
	struct span body;
	enum reason why;

	while (got < room && x->in_at < x->in_n) {
		struct span in = unread(x);
		struct chunked before = x->chunked;

		switch (chunked_decode(&x->chunked, in, &used, &body, &why)) {
		case CHUNKED_BODY:
			if (body.n > room - got) { /* take what fits, and this piece again from there */
				size_t fits = room - got, skipped = (size_t)(body.p - in.p);

				x->chunked = before;
				chunked_decode(&x->chunked, span_upto(in, skipped + fits), &used, &body, &why);
			}
			memcpy(to + got, body.p, body.n);
			got += body.n;
			x->in_at += used;
			break;
		case CHUNKED_MORE:
			x->in_at += used;
			break;
		case CHUNKED_TRAILERS:
			x->in_at += used;
			x->receive = RECV_TRAILERS;
			x->scanned = 0;
			return got;
		case CHUNKED_BAD:
			fail(x, REASON_BAD_RESPONSE);
			return 0;
		}
	}
	return got;
}

/* What they were parsed from will be read over. */
static void keep_trailers(struct exchange *x, struct span text)
{
	struct trailers *t = mem_alloc(sizeof(*t) + text.n);
	size_t scanned = 0, bytes;
	enum reason why;

	memcpy(t->text, text.p, text.n);
	CHECK_THAT(http1_parse_trailers(span_of(t->text, text.n), &scanned, MAX_TRAILER_BYTES, &t->fields, &bytes,
					&why) == HTTP1_DONE);
	x->trailers = t;
}

static void pull_trailers(struct exchange *x)
{
	struct hdrs trailers;
	enum reason why;
	size_t bytes;

	switch (http1_parse_trailers(unread(x), &x->scanned, MAX_TRAILER_BYTES, &trailers, &bytes, &why)) {
	case HTTP1_DONE:
		if (trailers.n)
			keep_trailers(x, span_upto(unread(x), bytes));
		x->in_at += bytes;
		x->receive = RECV_DONE;
		break;
	case HTTP1_BAD:
		fail(x, REASON_BAD_RESPONSE);
		break;
	case HTTP1_MORE:
		break;
	}
}

static ssize_t pull_chunked(struct exchange *x, char *to, size_t room)
{
	bool ended;

	for (;;) {
		size_t got = x->receive == RECV_BODY ? decode_unread(x, to, room) : 0;

		if (x->receive == RECV_TRAILERS)
			pull_trailers(x);
		if (x->receive == RECV_FAILED)
			return STREAM_FAILED;
		if (got)
			return (ssize_t)got;
		if (x->receive == RECV_DONE)
			return EXCHANGE_END;
		if (read_more(x, BODY_READ_BYTES, &ended))
			continue;
		if (ended)
			return pull_failed(x, REASON_UPSTREAM_CUT);
		return x->receive == RECV_FAILED ? STREAM_FAILED : pull_again(x);
	}
}

ssize_t exchange_pull(struct exchange *x, char *to, size_t room)
{
	CHECK(x, EXCHANGE_MAGIC);
	CHECK_THAT(x->receive != RECV_HEAD && room > 0);
	if (x->receive == RECV_DONE)
		return EXCHANGE_END;
	if (x->receive == RECV_FAILED)
		return STREAM_FAILED;
	if (x->body == HTTP1_BODY_CHUNKED)
		return pull_chunked(x, to, room);
	return pull_plain(x, to, room);
}

enum reason exchange_why(const struct exchange *x)
{
	return x->why;
}

const struct hdrs *exchange_trailers(const struct exchange *x)
{
	CHECK(x, EXCHANGE_MAGIC);
	return x->trailers ? &x->trailers->fields : NULL;
}

bool exchange_is_silent(const struct exchange *x)
{
	return x->silent;
}

const struct link *exchange_link(const struct exchange *x)
{
	return x->link;
}

/* ---- the end ---- */

static void exchange_free(struct exchange **xp)
{
	struct exchange *x = *xp;

	*xp = NULL;
	loop_defer_cancel(x->deadline.loop, &x->job);
	timer_fini(&x->deadline);
	timer_fini(&x->send_deadline);
	free(x->trailers);
	free(x->in);
	x->magic = 0;
	free(x);
}

struct link *exchange_finish(struct exchange **xp)
{
	struct exchange *x = *xp;
	struct link *link = x->link;
	bool reusable = x->receive == RECV_DONE && x->keep_alive && x->sent && x->in_at == x->in_n &&
			x->body != HTTP1_BODY_CLOSE;

	CHECK(x, EXCHANGE_MAGIC);
	stream_set_handler(link->stream, NULL, NULL);
	if (!reusable)
		link_close(&link, x->sent ? STREAM_CLEAN : STREAM_CUT);
	exchange_free(xp);
	return link;
}

struct stream *exchange_detach(struct exchange **xp, char *rest, size_t room, size_t *n)
{
	struct exchange *x = *xp;
	struct link *link = x->link;
	struct stream *s = link->stream;

	CHECK(x, EXCHANGE_MAGIC);
	CHECK_THAT(x->in_n - x->in_at <= room);
	*n = x->in_n - x->in_at;
	if (*n)
		memcpy(rest, x->in + x->in_at, *n);
	link->stream = NULL;
	link_close(&link, STREAM_CLEAN);
	stream_set_handler(s, NULL, NULL);
	exchange_free(xp);
	return s;
}

void exchange_cancel(struct exchange **xp)
{
	struct exchange *x = *xp;

	if (!x)
		return;
	CHECK(x, EXCHANGE_MAGIC);
	link_close(&x->link, STREAM_CUT);
	exchange_free(xp);
}
