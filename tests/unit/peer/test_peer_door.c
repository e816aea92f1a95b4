#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include "node/base/hash.h"
#include "node/base/rng.h"
#include "node/fetch/stored_head.h"
#include "node/net/stream_plain.h"
#include "peer/peer_door.h"
#include "proto/rendezvous.h"
#include "peer/peer_link.h"
#include "peer/peer_purge.h"
#include "proto/chunked.h"
#include "tests/unit/net/ground.h"

#define URL "https://registry.test/left-pad.tgz"
#define OTHER_URL "https://registry.test/right-pad.tgz"
#define THIRD_URL "https://registry.test/third-pad.tgz"
#define MOST_BODY ((size_t)9 * 1024 * 1024)

struct place {
	struct ground g;
	struct index *index;
	struct peer_streams *streams;
	struct peer_door *door;

	/* pages */
	struct peer_door_reply *owed;
	bool later;
	char told[200];
};

static void on_removed(void *cookie, struct entry *e)
{
	(void)cookie;
	(void)e;
}

/* ---- pages of the node ---- */

static void tell(struct place *p, struct peer_door_reply *reply)
{
	assert_ptr_equal(p->g.loop, peer_door_loop(reply));
	if (p->later)
		p->owed = reply;
	else
		peer_door_answer(reply, 200, SPAN("text/plain"), span_str(p->told));
}

static void page_members(void *cookie, struct peer_door_reply *reply, const struct node_name *who,
			 const struct addr *from, struct span address)
{
	struct place *p = cookie;
	char ip[ADDR_TEXT_BYTES];

	snprintf(p->told, sizeof(p->told), "%s %s %.*s", who->node, addr_format_ip(from, ip), SPAN_ARG(address));
	tell(p, reply);
}

static void page_peers(void *cookie, struct peer_door_reply *reply)
{
	struct place *p = cookie;

	strcpy(p->told, "{}");
	tell(p, reply);
}

static void page_cert(void *cookie, struct peer_door_reply *reply, struct span host, uint16_t port, struct span sni)
{
	struct place *p = cookie;

	snprintf(p->told, sizeof(p->told), "%.*s %u %.*s", SPAN_ARG(host), port, SPAN_ARG(sni));
	tell(p, reply);
}

static const struct peer_door_pages pages = {page_members, page_peers, page_cert};

/* ---- the door ---- */

static void open_door(struct place *p, struct peer_purge *purge, const struct peer_door_pages *with)
{
	struct peer_door_settings s = {
		.loop = p->g.loop,
		.index = p->index,
		.streams = p->streams,
		.purge = purge,
		.pages = with,
		.cookie = p,
	};

	peer_door_free(p->door);
	p->door = peer_door_new(&s);
}

static int setup(void **state)
{
	struct place *p = NEW(struct place);

	ground_init(&p->g);
	p->index = index_new(on_removed, NULL);
	p->streams = peer_streams_new(2, 64);
	open_door(p, NULL, &pages);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	peer_door_free(p->door);
	assert_int_equal(0, peer_streams_now(p->streams));
	peer_streams_free(p->streams);
	index_free(p->index);
	ground_fini(&p->g);
	free(p);
	return 0;
}

/* ---- entries ---- */

static char byte_at(uint64_t pos)
{
	return (char)('a' + (pos * 2654435761u >> 11) % 26);
}

static void grow(struct entry *e, uint64_t n, struct loop *self)
{
	uint64_t charged = 0;

	while (n > 0) {
		uint64_t length = body_length(&e->body);
		size_t room;
		char *p = body_room(&e->body, UINT64_MAX, &room, &charged);

		if (room > n)
			room = (size_t)n;
		for (size_t i = 0; i < room; i++)
			p[i] = byte_at(length + i);
		body_publish(&e->body, room);
		n -= room;
	}
	entry_grown(e, self);
}

static void digest_of(uint64_t n, uint8_t out[SHA256_BYTES])
{
	struct hash *h = hash_new(HASH_SHA256);
	uint8_t digest[HASH_MAX_BYTES];
	char piece[4096];

	for (uint64_t at = 0; at < n; at += sizeof(piece)) {
		size_t k = n - at < sizeof(piece) ? (size_t)(n - at) : sizeof(piece);

		for (size_t i = 0; i < k; i++)
			piece[i] = byte_at(at + i);
		hash_add(h, piece, k);
	}
	hash_end(h, digest);
	hash_free(h);
	memcpy(out, digest, SHA256_BYTES);
}

struct kind {
	const char *answer; /* the origin's head */
	bool not_for_good, not_stored, not_shared, guarded;
	uint64_t declared;  /* Content-Length, if > 0 */
	const char *accept; /* of the request that brought it, when it varies */
};

#define PLAIN_ANSWER "HTTP/1.1 200 Fine\r\nContent-Type: application/x-tar\r\nETag: \"1\"\r\nPmc-Order: 9\r\n"
#define VARYING_ANSWER PLAIN_ANSWER "Vary: Accept\r\n"

static struct index_ask ask_for(const char *url, struct hdrs *fields)
{
	struct index_ask ask = {.request = fields};

	key_make(&ask.key, SPAN("salt"), span_str(url));
	return ask;
}

static struct key key_of(const char *url)
{
	struct hdrs none = {0};

	return ask_for(url, &none).key;
}

static void purge(struct place *p, const char *url)
{
	struct key key = key_of(url);

	index_purge(p->index, &key);
}

/* A request for it has come, and somebody has set out. */
static struct entry *begin(struct place *p, const char *url, const char *accept)
{
	struct hdrs fields = {0};
	struct index_ask ask = ask_for(url, &fields);
	struct entry *e;

	if (accept)
		hdr_add(&fields, SPAN("Accept"), span_str(accept));
	assert_int_equal(INDEX_BEGUN, index_begin(p->index, &ask, NULL, NULL, true, &e));
	entry_set_order(e, 1); /* from outside the cluster */
	return e;
}

static struct head *make_head(struct place *p, const char *url, const struct kind *k)
{
	struct http1_response *r = NEW(struct http1_response);
	struct path_facts path = {0};
	struct fresh_response facts;
	struct head *h;
	char text[1000];
	size_t scanned = 0;
	enum reason why;

	if (k->declared)
		snprintf(text, sizeof(text), "%sContent-Length: %llu\r\n\r\n", k->answer,
			 (unsigned long long)k->declared);
	else
		snprintf(text, sizeof(text), "%sTransfer-Encoding: chunked\r\n\r\n", k->answer);
	assert_int_equal(HTTP1_DONE, http1_parse_response(span_str(text), &scanned, 65536, METHOD_GET, r, &why));
	fresh_read_response(r->status, &r->fields, loop_wall(p->g.loop), loop_wall(p->g.loop), &path, &facts);
	h = stored_head_make(r, &facts, span_str(url), true, true, loop_now(p->g.loop), loop_wall(p->g.loop));
	if (!k->not_for_good)
		h->terms.lifetime_s = FRESH_FOREVER_S;
	free(r);
	return h;
}

static void set_head(struct place *p, struct entry *e, const char *url, const struct kind *k)
{
	struct entry_terms t = {
		.stored = !k->not_stored, .guarded = k->guarded, .shared = !k->not_shared, .joinable = !k->not_shared};
	struct head *h = make_head(p, url, k);
	struct hdrs fields = {0};
	struct vary vary;

	if (k->accept)
		hdr_add(&fields, SPAN("Accept"), span_str(k->accept));
	vary_parse(head_vary(h), &vary);
	key_variant(&t.variant, &vary, &fields);
	entry_set_head(e, h, &t);
	entry_grown(e, p->g.loop);
}

/* Ends it, published and with its digest; the caller's reference goes. */
static void complete(struct place *p, struct entry *e)
{
	uint8_t digest[SHA256_BYTES];

	digest_of(body_length(&e->body), digest);
	head_set_digest(e->head, digest);
	entry_end(e, ENTRY_FILLED, REASON_NONE, p->g.loop);
	index_publish(p->index, e);
	entry_unref(&e);
}

static void break_off(struct place *p, struct entry *e)
{
	entry_end(e, ENTRY_BROKEN, REASON_UPSTREAM_CUT, p->g.loop);
	index_withdraw(p->index, e);
	entry_unref(&e);
}

static const struct kind plain_kind = {.answer = PLAIN_ANSWER};

static void store(struct place *p, const char *url, const struct kind *k, uint64_t n)
{
	struct entry *e = begin(p, url, k->accept);

	set_head(p, e, url, k);
	grow(e, n, p->g.loop);
	complete(p, e);
}

/* ---- who asks ---- */

struct asker {
	int fd;
	char *in;
	size_t n, at; /* read; used by answers so far */
	bool ended, reset;
};

static const struct node_name edge2 = {"ci", NODE_EDGE, "edge2"};

static void come_as(struct place *p, struct asker *a, const struct node_name *who)
{
	struct addr from = ground_addr("192.0.2.7", 1234);
	struct stream *s;
	int fd[2], small = 16 * 1024;

	ground_pair(fd);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	*a = (struct asker){.fd = fd[1], .in = mem_alloc(2 * MOST_BODY)};
	s = stream_plain_new(p->g.loop, fd[0], &from);
	peer_door_take(p->door, &s, who);
	assert_null(s);
}

static void come(struct place *p, struct asker *a)
{
	come_as(p, a, &edge2);
}

static void leave(struct asker *a)
{
	close(a->fd);
	free(a->in);
}

static void say(struct asker *a, const char *text)
{
	assert_int_equal(strlen(text), send(a->fd, text, strlen(text), MSG_NOSIGNAL));
}

static void ask_with(struct asker *a, const struct peer_link_ask *ask, const char *fields)
{
	char text[4096];
	struct buf b = buf_over(text, sizeof(text) - 1);

	peer_link_format(&b, ask);
	assert_false(b.full);
	b.n -= 2; /* the empty line */
	buf_put_str(&b, fields);
	buf_put_str(&b, "\r\n");
	text[b.n] = '\0';
	say(a, text);
}

static struct peer_link_ask ask_of(const char *url)
{
	return (struct peer_link_ask){.node = SPAN("edge1"), .store_id = span_str(url), .key = key_of(url)};
}

static void ask(struct asker *a, const char *url)
{
	struct peer_link_ask w = ask_of(url);

	ask_with(a, &w, "");
}

/* A turn of the loop, then what has come, at most `most` bytes. */
static size_t hear_some(struct place *p, struct asker *a, size_t most)
{
	size_t before = a->n;

	ground_run_for(&p->g, 0);
	while (a->n - before < most && !a->ended && !a->reset) {
		ssize_t n = recv(a->fd, a->in + a->n, most - (a->n - before), 0);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n > 0)
			a->n += (size_t)n;
		else if (n == 0)
			a->ended = true;
		else
			a->reset = true;
	}
	assert_true(a->n < 2 * MOST_BODY);
	return a->n - before;
}

struct answer {
	struct http1_response r;
	struct hdrs trailers;
	char *body;
	size_t n;
	unsigned interim;
	bool has_head, whole;
};

static struct span unread(const struct asker *a)
{
	return span_of(a->in + a->at, a->n - a->at);
}

static void free_answer(struct answer *w)
{
	free(w->body);
	free(w);
}

/* What of an answer is there so far; uses the bytes up only when it is whole. */
static struct answer *read_answer(struct asker *a, enum http1_method method)
{
	struct answer *w = NEW(struct answer);
	struct span rest = unread(a), piece;
	struct chunked c = {0};
	size_t scanned = 0, used;
	enum reason why;

	w->body = mem_alloc(rest.n + 1);
	for (;;) {
		enum http1_parse done = http1_parse_response(rest, &scanned, 200000, method, &w->r, &why);

		assert_int_not_equal(HTTP1_BAD, done);
		if (done == HTTP1_MORE)
			return w;
		rest = span_from(rest, w->r.head_bytes);
		if (w->r.status >= 200)
			break;
		assert_int_equal(102, w->r.status);
		w->interim++;
	}
	w->has_head = true;
	if (w->r.body == HTTP1_BODY_NONE || w->r.body == HTTP1_BODY_LENGTH) {
		w->n = w->r.body == HTTP1_BODY_NONE ? 0 : (size_t)w->r.length;
		if (w->n > rest.n)
			return w;
		memcpy(w->body, rest.p, w->n);
		rest = span_from(rest, w->n);
		w->whole = true;
	}
	while (!w->whole) {
		enum chunked_result step = chunked_decode(&c, rest, &used, &piece, &why);

		assert_int_not_equal(CHUNKED_BAD, step);
		rest = span_from(rest, used);
		if (step == CHUNKED_MORE)
			return w;
		if (step == CHUNKED_BODY) {
			memcpy(w->body + w->n, piece.p, piece.n);
			w->n += piece.n;
			continue;
		}
		scanned = 0;
		if (http1_parse_trailers(rest, &scanned, 4096, &w->trailers, &used, &why) != HTTP1_DONE)
			return w;
		rest = span_from(rest, used);
		w->whole = true;
	}
	a->at = (size_t)(rest.p - a->in);
	return w;
}

/* Waits for the next answer, or for the connection's end before it. */
static struct answer *await_by(struct place *p, struct asker *a, enum http1_method method, size_t piece)
{
	mono_us limit = mono_after(loop_now(p->g.loop), GROUND_LIMIT_MS);
	struct answer *w = read_answer(a, method);

	while (!w->whole && !a->ended && !a->reset) {
		/* Parsed anew from its beginning: so only when there is a pause. */
		if (hear_some(p, a, piece) > 0 && !a->ended && !a->reset)
			continue;
		assert_true(loop_now(p->g.loop) < limit);
		free_answer(w);
		w = read_answer(a, method);
	}
	return w;
}

static struct answer *await(struct place *p, struct asker *a)
{
	return await_by(p, a, METHOD_GET, 1 << 20);
}

/* So much of the body has come, or the head if 0. */
static void await_bytes(struct place *p, struct asker *a, size_t n)
{
	mono_us limit = mono_after(loop_now(p->g.loop), GROUND_LIMIT_MS);

	for (;;) {
		struct answer *w = read_answer(a, METHOD_GET);
		bool there = w->has_head && w->n >= n;

		free_answer(w);
		if (there)
			return;
		hear_some(p, a, 1 << 20);
		assert_true(loop_now(p->g.loop) < limit && !a->ended && !a->reset);
	}
}

static void expect_body(const struct answer *w, uint64_t from, uint64_t to)
{
	assert_true(w->whole);
	assert_int_equal(200, w->r.status);
	assert_int_equal(to - from, w->n);
	for (size_t i = 0; i < w->n; i++)
		if (w->body[i] != byte_at(from + i))
			fail_msg("byte %zu is wrong", i);
}

static struct span field(const struct hdrs *h, const char *name)
{
	const struct hdr *f = hdr_find(h, span_str(name));

	return f ? f->value : SPAN_NONE;
}

static void expect_field(const struct hdrs *h, const char *name, const char *value)
{
	if (!span_eq(field(h, name), span_str(value)))
		fail_msg("%s: %.*s, not %s", name, SPAN_ARG(field(h, name)), value);
}

static void expect_digest(const struct hdrs *h, uint64_t n)
{
	uint8_t wanted[SHA256_BYTES], told[SHA256_BYTES];

	digest_of(n, wanted);
	assert_true(peer_link_digest(h, told));
	assert_memory_equal(wanted, told, SHA256_BYTES);
}

static void expect_refusal(struct place *p, struct asker *a, int status, const char *why)
{
	struct answer *w = await(p, a);

	assert_true(w->whole);
	assert_int_equal(status, w->r.status);
	expect_field(&w->r.fields, "Pmc-Why", why);
	free_answer(w);
}

static void expect_quiet(struct place *p, struct asker *a)
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(0, hear_some(p, a, 1 << 20));
	assert_false(a->ended || a->reset);
}

/* It has been told that it is being waited for. */
static void expect_interim(struct place *p, struct asker *a)
{
	mono_us limit = mono_after(loop_now(p->g.loop), GROUND_LIMIT_MS);

	for (;;) {
		struct answer *w = read_answer(a, METHOD_HEAD);
		bool told = w->interim > 0;

		assert_false(w->whole);
		free_answer(w);
		if (told)
			return;
		hear_some(p, a, 1 << 20);
		assert_true(loop_now(p->g.loop) < limit);
	}
}

/* ---- whole objects ---- */

static void test_whole(void **state)
{
	static const uint64_t sizes[] = {0, 1, 4095, 4096, 65536, 200000, 3000000};
	struct place *p = *state;
	struct peer_link_reply reply;
	struct asker a;

	come(p, &a);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char url[60], length[30];
		struct peer_link_ask w;
		struct answer *got;

		snprintf(url, sizeof(url), "https://registry.test/%zu", i);
		snprintf(length, sizeof(length), "%llu", (unsigned long long)sizes[i]);
		store(p, url, &plain_kind, sizes[i]);
		w = ask_of(url);
		ask_with(&a, &w, "");
		got = await(p, &a);
		expect_body(got, 0, sizes[i]);
		expect_digest(&got->r.fields, sizes[i]);
		expect_field(&got->r.fields, "Pmc-Length", length);
		expect_field(&got->r.fields, "Pmc-Order", "0");
		expect_field(&got->r.fields, "Age", "0");
		expect_field(&got->r.fields, "ETag", "\"1\"");
		assert_true(span_eq(got->r.phrase, SPAN("Fine")));
		assert_int_equal(0, got->trailers.n);
		assert_true(got->r.keep_alive);
		assert_int_equal(PEER_LINK_OBJECT, peer_link_read(&got->r, &w, &reply));
		assert_true(reply.has_length && reply.has_digest && reply.length == sizes[i]);
		free_answer(got);
	}
	assert_false(a.ended);
	leave(&a);
}

static void test_from(void **state)
{
	static const uint64_t from[] = {0, 1, 65535, 65536, 99999, 100000};
	struct place *p = *state;
	struct peer_link_ask w = ask_of(URL);
	struct asker a;

	store(p, URL, &plain_kind, 100000);
	come(p, &a);
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		struct answer *got;

		w.from = from[i];
		ask_with(&a, &w, "");
		got = await(p, &a);
		expect_body(got, from[i], 100000);
		expect_field(&got->r.fields, "Pmc-Length", "100000");
		expect_digest(&got->r.fields, 100000);
		free_answer(got);
	}
	w.from = 100001;
	ask_with(&a, &w, "");
	expect_refusal(p, &a, 404, "gone");
	leave(&a);
}

static void test_head(void **state)
{
	struct place *p = *state;
	struct peer_link_ask w = ask_of(URL);
	struct entry *e;
	struct answer *got;
	struct asker a;

	come(p, &a);
	w.head_only = true;
	store(p, URL, &plain_kind, 5000);
	ask_with(&a, &w, "");
	got = await_by(p, &a, METHOD_HEAD, 4096);
	assert_int_equal(200, got->r.status);
	expect_digest(&got->r.fields, 5000);
	expect_field(&got->r.fields, "Pmc-Length", "5000");
	free_answer(got);
	/* one that is still coming is waited for, from before its head to its end */
	e = begin(p, OTHER_URL, NULL);
	w = ask_of(OTHER_URL);
	w.head_only = true;
	ask_with(&a, &w, "");
	expect_interim(p, &a);
	set_head(p, e, OTHER_URL, &plain_kind);
	grow(e, 7000, p->g.loop);
	expect_quiet(p, &a);
	complete(p, e);
	got = await_by(p, &a, METHOD_HEAD, 4096);
	assert_int_equal(200, got->r.status);
	assert_true(got->interim >= 1);
	expect_digest(&got->r.fields, 7000);
	free_answer(got);
	/* and one that breaks off is gone */
	e = begin(p, THIRD_URL, NULL);
	w = ask_of(THIRD_URL);
	w.head_only = true;
	ask_with(&a, &w, "");
	expect_interim(p, &a);
	break_off(p, e);
	got = await_by(p, &a, METHOD_HEAD, 4096);
	assert_int_equal(404, got->r.status);
	free_answer(got);
	/* somebody else's URL under this key */
	w = ask_of(URL);
	w.head_only = true;
	w.store_id = SPAN(OTHER_URL);
	ask_with(&a, &w, "");
	got = await_by(p, &a, METHOD_HEAD, 4096);
	assert_int_equal(404, got->r.status);
	free_answer(got);
	expect_quiet(p, &a); /* and no body after any of them */
	leave(&a);
}

/* ---- what may not leave ---- */

static void test_not_for_others(void **state)
{
	static const struct {
		struct kind kind;
		const char *why;
	} t[] = {
		{{.answer = PLAIN_ANSWER "Cache-Control: max-age=1000\r\n", .not_for_good = true}, "gone"},
		{{.answer = PLAIN_ANSWER "Cache-Control: max-age=0\r\n", .not_for_good = true}, "stale"},
		{{.answer = PLAIN_ANSWER, .not_stored = true}, "gone"},
		{{.answer = PLAIN_ANSWER, .guarded = true}, "gone"},
		{{.answer = "HTTP/1.1 404 No\r\n"}, "gone"},
		{{.answer = "HTTP/1.1 203 So\r\n"}, "gone"},
	};
	struct place *p = *state;
	struct entry *mark;
	struct key key;
	struct asker a;

	come(p, &a);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char url[60];
		struct peer_link_ask w;
		struct entry *e;
		struct answer *got;

		snprintf(url, sizeof(url), "https://registry.test/%zu", i);
		store(p, url, &t[i].kind, 100);
		w = ask_of(url);
		ask_with(&a, &w, "");
		expect_refusal(p, &a, 404, t[i].why);
		w.head_only = true;
		ask_with(&a, &w, "");
		got = await_by(p, &a, METHOD_HEAD, 4096);
		assert_int_equal(404, got->r.status);
		free_answer(got);
		/* and while it is still coming */
		snprintf(url, sizeof(url), "https://registry.test/growing/%zu", i);
		e = begin(p, url, NULL);
		set_head(p, e, url, &t[i].kind);
		ask(&a, url);
		expect_refusal(p, &a, 404, "gone");
		break_off(p, e);
	}
	/* nothing, a mark, another URL's key */
	ask(&a, URL);
	expect_refusal(p, &a, 404, "gone");
	key = key_of(URL);
	mark = index_mark(p->index, &key, loop_now(p->g.loop) + 1000000000);
	ask(&a, URL);
	expect_refusal(p, &a, 404, "gone");
	entry_unref(&mark);
	store(p, OTHER_URL, &plain_kind, 100);
	{
		struct peer_link_ask w = ask_of(OTHER_URL);

		w.store_id = SPAN(URL);
		ask_with(&a, &w, "");
		expect_refusal(p, &a, 404, "gone");
	}
	assert_int_equal(0, peer_streams_now(p->streams));
	leave(&a);
}

static void test_vary(void **state)
{
	static const struct kind kind = {.answer = VARYING_ANSWER, .accept = "a/b"};
	struct place *p = *state;
	struct peer_link_ask w = ask_of(URL);
	struct entry *e;
	struct answer *got;
	struct asker a;

	come(p, &a);
	e = begin(p, URL, "a/b");
	for (int i = 0; i < 2; i++) { /* growing, then whole */
		if (i == 0) {
			set_head(p, e, URL, &kind);
			grow(e, 100, p->g.loop);
		} else {
			complete(p, e);
		}
		ask_with(&a, &w, "Accept: c/d\r\n");
		if (i == 0) { /* pending: it could not join */
			got = await(p, &a);
			assert_true(got->r.status == 404 || got->r.status == 412);
			free_answer(got);
		} else {
			expect_refusal(p, &a, 412, "vary");
		}
	}
	ask_with(&a, &w, "Accept: a/b\r\n");
	got = await(p, &a);
	expect_body(got, 0, 100);
	free_answer(got);
	/* known only when the head comes */
	e = begin(p, OTHER_URL, "a/b");
	w = ask_of(OTHER_URL);
	ask_with(&a, &w, "Accept: c/d\r\n");
	hear_some(p, &a, 1000);
	set_head(p, e, OTHER_URL, &kind);
	expect_refusal(p, &a, 412, "vary");
	break_off(p, e);
	leave(&a);
}

/* ---- growing ones ---- */

static void test_growing(void **state)
{
	struct place *p = *state;
	struct peer_link_ask w = ask_of(URL);
	struct peer_link_reply reply;
	struct entry *e = begin(p, URL, NULL);
	struct answer *got;
	struct asker a, late;

	entry_set_order(e, 1);
	set_head(p, e, URL, &(struct kind){.answer = PLAIN_ANSWER, .declared = 300000});
	come(p, &a);
	come(p, &late);
	w.order = 2;
	ask_with(&a, &w, "");
	await_bytes(p, &a, 0);
	got = read_answer(&a, METHOD_GET);
	expect_field(&got->r.fields, "Pmc-Order", "1");
	expect_field(&got->r.fields, "Pmc-Length", "300000");
	assert_null(field(&got->r.fields, "Pmc-Digest").p);
	assert_int_equal(PEER_LINK_OBJECT, peer_link_read(&got->r, &w, &reply));
	assert_int_equal(1, reply.order);
	free_answer(got);
	grow(e, 1, p->g.loop);
	await_bytes(p, &a, 1);
	expect_quiet(p, &a);
	w.from = 150000; /* further than it is here */
	ask_with(&late, &w, "");
	await_bytes(p, &late, 0);
	grow(e, 99999, p->g.loop);
	await_bytes(p, &a, 100000);
	expect_quiet(p, &late);
	grow(e, 100000, p->g.loop);
	await_bytes(p, &late, 50000);
	assert_int_equal(2, peer_streams_now(p->streams));
	grow(e, 100000, p->g.loop);
	complete(p, e);
	got = await(p, &a);
	expect_body(got, 0, 300000);
	expect_digest(&got->trailers, 300000);
	free_answer(got);
	got = await(p, &late);
	expect_body(got, 150000, 300000);
	expect_digest(&got->trailers, 300000);
	free_answer(got);
	assert_int_equal(0, peer_streams_now(p->streams));
	/* the next one on the same connection */
	w.from = w.order = 0;
	ask_with(&a, &w, "");
	got = await(p, &a);
	expect_body(got, 0, 300000);
	free_answer(got);
	leave(&a);
	leave(&late);
}

static void expect_cut(struct place *p, struct asker *a)
{
	struct answer *w = await(p, a);

	assert_false(w->whole);
	assert_true(a->reset); /* not even a clean end of the connection */
	free_answer(w);
	assert_int_equal(0, peer_streams_now(p->streams));
}

static void test_cut(void **state)
{
	struct place *p = *state;
	struct peer_link_ask w = ask_of(URL);
	struct entry *e;
	struct asker a;

	/* it breaks off */
	come(p, &a);
	e = begin(p, URL, NULL);
	set_head(p, e, URL, &plain_kind);
	grow(e, 5000, p->g.loop);
	ask(&a, URL);
	await_bytes(p, &a, 5000);
	break_off(p, e);
	expect_cut(p, &a);
	leave(&a);
	/* it turns out not to be immutable */
	come(p, &a);
	e = begin(p, URL, NULL);
	set_head(p, e, URL, &plain_kind);
	grow(e, 5000, p->g.loop);
	ask(&a, URL);
	await_bytes(p, &a, 5000);
	entry_swap_head(e, make_head(p, URL, &(struct kind){.answer = PLAIN_ANSWER, .not_for_good = true}));
	complete(p, e);
	expect_cut(p, &a);
	leave(&a);
	purge(p, URL);
	/* it ends before the place from which it was asked for */
	come(p, &a);
	e = begin(p, URL, NULL);
	set_head(p, e, URL, &plain_kind);
	w.from = 5001;
	ask_with(&a, &w, "");
	grow(e, 5000, p->g.loop);
	await_bytes(p, &a, 0);
	complete(p, e);
	expect_cut(p, &a);
	leave(&a);
}

/* What is too large to be kept still comes to its readers, through a window. */
static void on_readers(void *arg)
{
	(void)arg;
}

static void test_window(void **state)
{
	struct place *p = *state;
	struct entry *e = begin(p, URL, NULL);
	struct entry_filler filler = {.loop = p->g.loop, .on_readers = on_readers};
	uint64_t total = 3000000, at = 0, trimmed = 0;
	struct answer *got;
	struct asker a;

	entry_set_filler(e, &filler);
	set_head(p, e, URL, &plain_kind);
	come(p, &a);
	ask(&a, URL);
	await_bytes(p, &a, 0);
	entry_unstore(e);
	while (at < total) {
		struct entry_readers r = entry_readers(e, true);

		assert_int_equal(1, r.n);
		trimmed += body_trim(&e->body, r.slowest);
		if (at - r.slowest < 200000) {
			grow(e, 30000, p->g.loop);
			at += 30000;
		}
		hear_some(p, &a, 1 << 20);
	}
	assert_true(trimmed > 2000000);
	index_withdraw(p->index, e);
	entry_end(e, ENTRY_FILLED, REASON_NONE, p->g.loop);
	got = await(p, &a);
	expect_body(got, 0, total);
	free_answer(got);
	entry_unref(&e);
	leave(&a);
}

/* A filler on a loop and thread of its own, and readers that are much slower, or faster. */
struct filling {
	struct place *p;
	struct loop *loop;
	struct entry *entry;
	struct timer next;
	struct rng rng;
	uint64_t left;
};

static void on_next(void *arg)
{
	struct filling *f = arg;
	uint64_t n = rng_below(&f->rng, 100000) + 1;

	n = n < f->left ? n : f->left;
	grow(f->entry, n, f->loop);
	f->left -= n;
	if (f->left) {
		timer_set_in(&f->next, (dur_ms)rng_below(&f->rng, 2));
		return;
	}
	{
		uint8_t digest[SHA256_BYTES];

		digest_of(body_length(&f->entry->body), digest);
		head_set_digest(f->entry->head, digest);
		entry_end(f->entry, ENTRY_FILLED, REASON_NONE, f->loop);
		index_publish(f->p->index, f->entry);
	}
	loop_stop(f->loop);
}

static void *run_filling(void *arg)
{
	struct filling *f = arg;

	timer_init(&f->next, f->loop, on_next, f);
	timer_set_in(&f->next, 0);
	loop_run(f->loop);
	timer_fini(&f->next);
	return NULL;
}

static void one_slow_reader(struct place *p, uint64_t seed, uint64_t total, size_t piece)
{
	struct filling f = {.p = p, .loop = loop_new(1, &clock_system), .left = total};
	struct answer *got;
	struct asker a, b;
	pthread_t thread;

	rng_seed(&f.rng, seed);
	loop_delay_posts(f.loop, 500, seed);
	f.entry = begin(p, URL, NULL);
	come(p, &a);
	come(p, &b);
	ask(&a, URL); /* before there is a head */
	ask(&b, URL);
	hear_some(p, &a, 1000);
	set_head(p, f.entry, URL, &plain_kind);
	assert_int_equal(0, pthread_create(&thread, NULL, run_filling, &f));
	got = await_by(p, &a, METHOD_GET, piece);
	assert_int_equal(1, got->interim);
	expect_body(got, 0, total);
	expect_digest(got->trailers.n ? &got->trailers : &got->r.fields, total);
	free_answer(got);
	got = await(p, &b);
	expect_body(got, 0, total);
	free_answer(got);
	pthread_join(thread, NULL);
	entry_unref(&f.entry);
	loop_free(f.loop);
	purge(p, URL);
	leave(&a);
	leave(&b);
}

static void test_slow_reader(void **state)
{
	one_slow_reader(*state, 1, 400000, 3000);
	one_slow_reader(*state, 2, MOST_BODY - 1000, 200000);
	one_slow_reader(*state, 3, 1, 3000);
	one_slow_reader(*state, 4, 1000000, 1 << 20);
}

/* ---- ones whose head is awaited ---- */

static void test_awaited(void **state)
{
	static const struct kind mutable = {.answer = PLAIN_ANSWER, .not_for_good = true};
	static const struct kind guarded = {.answer = PLAIN_ANSWER, .guarded = true};
	static const struct kind alone = {.answer = PLAIN_ANSWER, .not_shared = true};
	static const struct kind *const bad[] = {&mutable, &guarded, &alone};
	struct place *p = *state;
	struct answer *got;
	struct entry *e;
	struct asker a;

	come(p, &a);
	/* it fails */
	e = begin(p, URL, NULL);
	ask(&a, URL);
	ground_run_for(&p->g, 1100);
	hear_some(p, &a, 1000);
	break_off(p, e);
	got = await(p, &a);
	assert_int_equal(404, got->r.status);
	assert_int_equal(2, got->interim); /* at once, and after a second */
	expect_field(&got->r.fields, "Pmc-Why", "gone");
	free_answer(got);
	/* it is not for others */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e = begin(p, URL, NULL);
		ask(&a, URL);
		hear_some(p, &a, 1000);
		set_head(p, e, URL, bad[i]);
		expect_refusal(p, &a, 404, "gone");
		break_off(p, e);
	}
	/* all is well */
	e = begin(p, URL, NULL);
	ask(&a, URL);
	hear_some(p, &a, 1000);
	set_head(p, e, URL, &plain_kind);
	grow(e, 3000, p->g.loop);
	complete(p, e);
	got = await(p, &a);
	expect_body(got, 0, 3000);
	free_answer(got);
	leave(&a);
}

static void test_order(void **state)
{
	struct place *p = *state;
	struct peer_link_ask w = ask_of(URL);
	struct entry *e = begin(p, URL, NULL);
	struct answer *got;
	struct asker a;

	come(p, &a);
	entry_set_order(e, 3);
	for (w.order = 1; w.order <= 3; w.order++) { /* no head yet */
		ask_with(&a, &w, "");
		expect_refusal(p, &a, 409, "busy");
	}
	set_head(p, e, URL, &plain_kind);
	w.order = 3;
	ask_with(&a, &w, "");
	expect_refusal(p, &a, 409, "busy");
	w.order = 4;
	ask_with(&a, &w, "");
	await_bytes(p, &a, 0);
	complete(p, e);
	got = await(p, &a);
	assert_int_equal(200, got->r.status);
	free_answer(got);
	w.order = 1; /* whole: there is nothing to wait for */
	ask_with(&a, &w, "");
	got = await(p, &a);
	expect_field(&got->r.fields, "Pmc-Order", "0");
	free_answer(got);
	/* known only after the asker has come */
	e = begin(p, OTHER_URL, NULL);
	w = ask_of(OTHER_URL);
	w.order = 2;
	ask_with(&a, &w, "");
	hear_some(p, &a, 1000);
	entry_set_order(e, 2);
	entry_grown(e, p->g.loop);
	expect_refusal(p, &a, 409, "busy");
	break_off(p, e);
	leave(&a);
}

/* As long as we do not know where our bytes will come from, only who ranks below us for this key may wait for us. */
static void test_order_not_known_yet(void **state)
{
	struct place *p = *state;
	unsigned waited = 0, refused = 0;
	struct asker a;
	char url[64];

	for (int i = 0; i < 16; i++) {
		struct peer_link_ask w;
		struct entry *e;

		snprintf(url, sizeof(url), "https://registry.test/%d.tgz", i);
		w = ask_of(url);
		w.store_id = span_str(url);
		e = begin(p, url, NULL);
		entry_set_order(e, 0);
		come(p, &a);
		ask_with(&a, &w, "");
		if (rendezvous_outranks(w.key.b, 0, rendezvous_node_id(span_str(edge2.node)))) {
			expect_interim(p, &a);
			waited++;
		} else {
			expect_refusal(p, &a, 409, "busy");
			refused++;
		}
		break_off(p, e);
		hear_some(p, &a, 1 << 20); /* who waited hears of it */
		leave(&a);
	}
	assert_true(waited > 0 && refused > 0);
}

/* ---- readers ---- */

static void test_too_many(void **state)
{
	struct place *p = *state;
	struct entry *e = begin(p, URL, NULL);
	struct asker a[3];
	struct answer *got;

	set_head(p, e, URL, &plain_kind);
	for (int i = 0; i < 3; i++)
		come(p, &a[i]);
	ask(&a[0], URL);
	ask(&a[1], URL);
	await_bytes(p, &a[0], 0);
	await_bytes(p, &a[1], 0);
	ask(&a[2], URL);
	got = await(p, &a[2]);
	assert_int_equal(429, got->r.status);
	expect_field(&got->r.fields, "Retry-After-Ms", "100");
	expect_field(&got->r.fields, "Pmc-Why", "busy");
	free_answer(got);
	leave(&a[0]); /* in the middle, while it waits for more */
	while (peer_streams_now(p->streams) > 1)
		ground_run_for(&p->g, 0);
	ask(&a[2], URL);
	await_bytes(p, &a[2], 0);
	grow(e, 2000000, p->g.loop);
	hear_some(p, &a[1], 5000);
	leave(&a[1]); /* in the middle, while it is written to */
	complete(p, e);
	got = await(p, &a[2]);
	expect_body(got, 0, 2000000);
	free_answer(got);
	while (peer_streams_now(p->streams) > 0)
		ground_run_for(&p->g, 0);
	leave(&a[2]);
}

static void test_leaves_before_head(void **state)
{
	struct place *p = *state;
	struct entry *e = begin(p, URL, NULL);
	struct asker a;

	come(p, &a);
	ask(&a, URL);
	hear_some(p, &a, 1000);
	assert_int_equal(1, peer_streams_now(p->streams));
	leave(&a);
	while (peer_streams_now(p->streams) > 0)
		ground_run_for(&p->g, 0);
	/* the door goes while somebody waits */
	come(p, &a);
	ask(&a, URL);
	hear_some(p, &a, 1000);
	assert_int_equal(1, peer_streams_now(p->streams));
	open_door(p, NULL, &pages);
	assert_int_equal(0, peer_streams_now(p->streams));
	break_off(p, e);
	leave(&a);
}

static void test_pipelined(void **state)
{
	enum { N = 150 };
	struct place *p = *state;
	struct rng rng;
	struct asker a;

	rng_seed(&rng, 5);
	store(p, URL, &plain_kind, 30000);
	store(p, OTHER_URL, &plain_kind, 100);
	come(p, &a);
	for (int round = 0; round < 2; round++) {
		unsigned asked = 0, answered = 0;
		uint64_t kinds = rng_next(&rng), again;

		again = kinds;
		while (answered < N) {
			struct answer *w;

			/* several at once, a few bytes of the next, and so on */
			while (asked < N && asked < answered + 20) {
				switch ((kinds = kinds * 6364136223846793005u + 1442695040888963407u) >> 62) {
				case 0:
					ask(&a, URL);
					break;
				case 1:
					ask(&a, OTHER_URL);
					break;
				case 2:
					say(&a, "GET /.pmc/v1/health HTTP/1.1\r\nHost: a\r\n\r\n");
					break;
				case 3:
					say(&a, "GET /.pmc/v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n");
					break;
				}
				asked++;
			}
			w = await_by(p, &a, METHOD_GET, round ? 700 : 1 << 20);
			assert_true(w->whole);
			switch ((again = again * 6364136223846793005u + 1442695040888963407u) >> 62) {
			case 0:
				expect_body(w, 0, 30000);
				break;
			case 1:
				expect_body(w, 0, 100);
				break;
			case 2:
				assert_int_equal(204, w->r.status);
				break;
			case 3:
				assert_int_equal(404, w->r.status);
				break;
			}
			free_answer(w);
			answered++;
			if (a.at == a.n)
				a.at = a.n = 0;
		}
	}
	leave(&a);
}

/* ---- hostile and odd requests ---- */

static void test_hostile(void **state)
{
#define KEY64 "0000000000000000000000000000000000000000000000000000000000000000"
#define HOST "Host: a\r\n"
	static const struct {
		const char *text;
		int status;
		bool stays;
	} t[] = {
		{"GET https://registry.test/x HTTP/1.1\r\nHost: registry.test\r\n\r\n", 403, false},
		{"HEAD http://registry.test/.pmc/v1/health HTTP/1.1\r\nHost: registry.test\r\n\r\n", 403, false},
		{"CONNECT registry.test:443 HTTP/1.1\r\nHost: registry.test:443\r\n\r\n", 405, false},
		{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 405, false},
		{"POST /.pmc/v1/health HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 405, false},
		{"GET /.pmc/v1/health HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 405, false},
		{"GET /.pmc/v1/health HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 405, false},
		{"GET /.pmc/v1/health HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 405, false},
		{"GET /.pmc/v1/object/" KEY64 " HTTP/1.1\r\n" HOST "Pmc-Url: " URL "\r\nContent-Length: 1\r\n\r\nx",
		 405, false},
		{"PURGE /.pmc/v1/object/" KEY64 " HTTP/1.1\r\n" HOST "\r\n", 405, false},
		{"HEAD /.pmc/v1/health HTTP/1.1\r\n" HOST "\r\n", 405, false},
		{"GET /.pmc/v1/health HTTP/1.0\r\n" HOST "\r\n", 505, false},
		{"GET /.pmc/v1/health HTTP/1.1\r\n\r\n", 400, false},
		{"GET /.pmc/v1/health HTTP/1.1\r\n" HOST HOST "\r\n", 400, false},
		{"GET /.pmc/v1/object/" KEY64 " HTTP/1.1\r\n" HOST "\r\n", 400, false},
		{"GET /.pmc/v1/object/xyz HTTP/1.1\r\n" HOST "Pmc-Url: " URL "\r\n\r\n", 400, false},
		{"GET /.pmc/v1/object/" KEY64 " HTTP/1.1\r\n" HOST "Pmc-Url: " URL "\r\nPmc-From: x\r\n\r\n", 400,
		 false},
		{"GET /.pmc/v1/health HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400, false},
		{"GET /.pmc/v1/health HTTP/1.1\nHost: a\n\n", 400, false},
		{"\x16\x03\x01\x02\x00\x01", 400, false},
		{"GET /.pmc/v1/health HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", 204, false},
		{"GET / HTTP/1.1\r\n" HOST "\r\n", 404, true},
		{"GET /.pmc/v1/ HTTP/1.1\r\n" HOST "\r\n", 404, true},
		{"GET /.pmc/v1/healthy HTTP/1.1\r\n" HOST "\r\n", 404, true},
		{"GET /.pmc/v1/health/../members HTTP/1.1\r\n" HOST "\r\n", 404, true},
		{"GET /.pmc/v1/cert HTTP/1.1\r\n" HOST "\r\n", 400, true},
		{"GET /.pmc/v1/cert?host=a.test&port=0 HTTP/1.1\r\n" HOST "\r\n", 400, true},
		{"GET /.pmc/v1/cert?host=a.test&port=65536 HTTP/1.1\r\n" HOST "\r\n", 400, true},
		{"GET /.pmc/v1/cert?host=a%2e&port=443 HTTP/1.1\r\n" HOST "\r\n", 400, true},
		{"GET /.pmc/v1/cert?host=&port=443 HTTP/1.1\r\n" HOST "\r\n", 400, true},
		{"GET /.pmc/v1/cert?host=a.test&port=443&sni=..x HTTP/1.1\r\n" HOST "\r\n", 400, true},
		{"GET /.pmc/v1/purges?since=0 HTTP/1.1\r\n" HOST "\r\n", 404, true}, /* no log here */
		{"GET /.pmc/v1/health? HTTP/1.1\r\n" HOST "\r\n", 204, true},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		enum http1_method method = span_starts(span_str(t[i].text), SPAN("HEAD")) ? METHOD_HEAD : METHOD_GET;
		struct answer *w;
		struct asker a;

		come(p, &a);
		say(&a, t[i].text);
		w = await_by(p, &a, method, 4096);
		if (!w->whole || w->r.status != t[i].status)
			fail_msg("%s: %d", t[i].text, w->r.status);
		assert_int_equal(t[i].stays, w->r.keep_alive);
		free_answer(w);
		if (t[i].stays) {
			say(&a, "GET /.pmc/v1/health HTTP/1.1\r\n" HOST "\r\n");
			w = await(p, &a);
			assert_int_equal(204, w->r.status);
			free_answer(w);
		} else {
			while (!a.ended && !a.reset)
				assert_int_equal(0, hear_some(p, &a, 4096));
			assert_true(a.ended);
		}
		leave(&a);
	}
}

static void test_large_head(void **state)
{
	struct place *p = *state;
	char line[1024];
	struct answer *w;
	struct asker a;

	come(p, &a);
	memset(line, 'x', sizeof(line));
	memcpy(line, "X-Line: ", 8);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	say(&a, "GET /.pmc/v1/health HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < 15; i++)
		say(&a, line);
	say(&a, "\r\n");
	w = await(p, &a);
	assert_int_equal(204, w->r.status);
	free_answer(w);
	say(&a, "GET /.pmc/v1/health HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < 17; i++)
		say(&a, line);
	w = await(p, &a);
	assert_int_equal(431, w->r.status);
	free_answer(w);
	leave(&a);
}

/* Much is said by one that waits: it is kept while there is room, and nothing turns in circles afterwards. */
static void test_chatter(void **state)
{
	struct place *p = *state;
	struct entry *e = begin(p, URL, NULL);
	char line[1025];
	struct answer *w;
	struct asker a;

	memset(line, '\r', sizeof(line));
	line[1024] = '\0';
	come(p, &a);
	ask(&a, URL);
	for (int i = 0; i < 30; i++) {
		send(a.fd, line, 1024, MSG_NOSIGNAL | MSG_DONTWAIT);
		hear_some(p, &a, 1000);
	}
	set_head(p, e, URL, &plain_kind);
	grow(e, 100, p->g.loop);
	complete(p, e);
	w = await(p, &a);
	expect_body(w, 0, 100);
	free_answer(w);
	leave(&a);
}

static void test_garbage(void **state)
{
	struct place *p = *state;
	struct rng rng;

	store(p, URL, &plain_kind, 5000);
	for (uint64_t seed = 0; seed < 150; seed++) {
		struct peer_link_ask w = ask_of(URL);
		char text[2048];
		struct buf b = buf_over(text, sizeof(text));
		struct asker a;
		size_t at = 0;

		rng_seed(&rng, seed);
		peer_link_format(&b, &w);
		for (uint64_t k = rng_below(&rng, 4); k > 0; k--)
			text[rng_below(&rng, b.n)] = (char)rng_next(&rng);
		come(p, &a);
		while (at < b.n && !a.ended && !a.reset) {
			size_t n = 1 + (size_t)rng_below(&rng, b.n - at);

			if (send(a.fd, text + at, n, MSG_NOSIGNAL) < 0)
				break;
			at += n;
			hear_some(p, &a, 1 << 20);
		}
		for (int i = 0; i < 3; i++)
			hear_some(p, &a, 1 << 20);
		leave(&a);
	}
	ground_run_for(&p->g, 5);
	assert_int_equal(0, peer_streams_now(p->streams));
}

/* ---- roles ---- */

static void test_roles(void **state)
{
	static const struct node_name parent1 = {"ci", NODE_PARENT, "parent1"}, admin = {"ci", NODE_ADMIN, "ada"};
	struct place *p = *state;
	struct answer *w;
	struct asker a;

	store(p, URL, &plain_kind, 10);
	come_as(p, &a, &parent1);
	ask(&a, URL);
	w = await(p, &a);
	expect_body(w, 0, 10);
	free_answer(w);
	leave(&a);
	come_as(p, &a, &admin);
	ask(&a, URL);
	w = await(p, &a);
	assert_int_equal(403, w->r.status);
	free_answer(w);
	say(&a, "GET /.pmc/v1/peers HTTP/1.1\r\nHost: a\r\n\r\n");
	w = await(p, &a);
	assert_int_equal(200, w->r.status);
	free_answer(w);
	leave(&a);
}

/* ---- pages ---- */

static void expect_text(struct place *p, struct asker *a, const char *text)
{
	struct answer *w = await(p, a);

	assert_true(w->whole);
	assert_int_equal(200, w->r.status);
	assert_int_equal(strlen(text), w->n);
	assert_memory_equal(text, w->body, w->n);
	free_answer(w);
}

static void test_pages(void **state)
{
	struct place *p = *state;
	struct answer *w;
	struct asker a, b;

	come(p, &a);
	say(&a, "GET /.pmc/v1/members HTTP/1.1\r\nHost: a\r\nPmc-Address: 192.0.2.9:7000\r\n\r\n"
		"GET /.pmc/v1/peers HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /.pmc/v1/cert?host=a.test&port=443&sni=b.test HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /.pmc/v1/cert?host=::1&port=8443 HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_text(p, &a, "edge2 192.0.2.7 192.0.2.9:7000");
	expect_text(p, &a, "{}");
	expect_text(p, &a, "a.test 443 b.test");
	expect_text(p, &a, "::1 8443 ");
	/* later; the next request waits */
	p->later = true;
	say(&a, "GET /.pmc/v1/peers HTTP/1.1\r\nHost: a\r\n\r\nGET /.pmc/v1/health HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!p->owed)
		hear_some(p, &a, 1000);
	expect_quiet(p, &a);
	peer_door_answer(p->owed, 200, SPAN("text/plain"), SPAN("now"));
	p->owed = NULL;
	expect_text(p, &a, "now");
	w = await(p, &a);
	assert_int_equal(204, w->r.status);
	free_answer(w);
	/* nobody is there any more */
	come(p, &b);
	say(&b, "GET /.pmc/v1/peers HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!p->owed)
		hear_some(p, &b, 1000);
	leave(&b);
	ground_run_for(&p->g, 5);
	peer_door_answer(p->owed, 200, SPAN("text/plain"), SPAN("now"));
	p->owed = NULL;
	/* nor is the door */
	say(&a, "GET /.pmc/v1/peers HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!p->owed)
		hear_some(p, &a, 1000);
	open_door(p, NULL, NULL);
	peer_door_answer(p->owed, 200, SPAN("text/plain"), SPAN("now"));
	leave(&a);
	/* and this one has no pages */
	come(p, &a);
	say(&a, "GET /.pmc/v1/members HTTP/1.1\r\nHost: a\r\n\r\nGET /.pmc/v1/peers HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /.pmc/v1/cert?host=a.test&port=443&sni= HTTP/1.1\r\nHost: a\r\n\r\n");
	for (int i = 0; i < 3; i++) {
		w = await(p, &a);
		assert_int_equal(404, w->r.status);
		free_answer(w);
	}
	leave(&a);
}

static uint32_t on_purge(void *cookie, const struct purgerec *r)
{
	(void)cookie;
	(void)r;
	return 0;
}

static void ask_purges(struct asker *a, const char *query)
{
	char text[200];

	snprintf(text, sizeof(text), "GET /.pmc/v1/purges%s HTTP/1.1\r\nHost: a\r\n\r\n", query);
	say(a, text);
}

static void test_purges(void **state)
{
	enum { N = 200, KEEP = 150 };
	struct place *p = *state;
	char folder[] = "/tmp/pmcache-door-XXXXXX", path[3][64], why[300], query[64];
	static const char *const bad[] = {"", "?since=", "?since=x", "?after=-1", "?since=99999999999999999999"};
	struct peer_purge_settings s = {.path = path[0], .cluster = "ci", .keep = KEEP, .remove = on_purge};
	struct peer_purge *log, *other;
	struct sign_key *key;
	char value[800];
	struct answer *w;
	struct asker a;
	uint64_t last = 0;
	uint32_t removed;
	unsigned got = 0, rounds = 0;
	bool more = true;

	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < 3; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%d", folder, i);
	assert_int_equal(0, sign_make(path[1], path[2], why, sizeof(why)));
	key = sign_open(path[1], why, sizeof(why));
	assert_non_null(key);
	sign_public(key, s.public_key);
	log = peer_purge_open(&s, why, sizeof(why));
	assert_non_null(log);
	unlink(path[1]);
	s.path = path[1];
	other = peer_purge_open(&s, why, sizeof(why));
	assert_non_null(other);
	memset(value, 'a', sizeof(value));
	for (int i = 0; i < N; i++) {
		char record[PURGEREC_MAX_BYTES];
		struct buf b = buf_over(record, sizeof(record));

		assert_true(peer_purge_make(log, key, PURGEREC_HOST, span_of(value, sizeof(value)),
					    i < 100 ? 1000 : 900000000, &b));
		assert_int_equal(PEER_PURGE_DONE, peer_purge_apply(log, buf_span(&b), &removed));
	}
	open_door(p, log, NULL);
	come(p, &a);
	ask_purges(&a, "?since=0");
	while (more) {
		w = await(p, &a);
		assert_int_equal(200, w->r.status);
		more = span_eq(field(&w->r.fields, "Pmc-More"), SPAN("1"));
		last = peer_purge_last(span_of(w->body, w->n));
		got += (unsigned)peer_purge_take(other, span_of(w->body, w->n), &removed);
		free_answer(w);
		rounds++;
		snprintf(query, sizeof(query), "?after=%llu", (unsigned long long)last);
		ask_purges(&a, query);
	}
	assert_int_equal(KEEP, got);
	assert_true(rounds > 1);
	assert_int_equal(peer_purge_serial(log), peer_purge_serial(other));
	w = await(p, &a);
	assert_int_equal(200, w->r.status);
	assert_int_equal(0, w->n);
	free_answer(w);
	snprintf(query, sizeof(query), "?since=%llu", (unsigned long long)last); /* the last hour again */
	ask_purges(&a, query);
	w = await(p, &a);
	assert_true(w->n > 50000);
	free_answer(w);
	ask_purges(&a, "?since=1000"); /* one that was kept no longer */
	w = await(p, &a);
	assert_int_equal(410, w->r.status);
	free_answer(w);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask_purges(&a, bad[i]);
		w = await(p, &a);
		assert_int_equal(400, w->r.status);
		free_answer(w);
	}
	leave(&a);
	open_door(p, NULL, NULL);
	peer_purge_free(log);
	peer_purge_free(other);
	sign_free(key);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
	assert_int_equal(0, rmdir(folder));
}

/* ---- stopping ---- */

static void test_drain(void **state)
{
	struct place *p = *state;
	struct entry *e = begin(p, URL, NULL);
	struct asker idle, busy, fresh;
	struct answer *w;

	come(p, &idle);
	come(p, &busy);
	come(p, &fresh);
	hear_some(p, &idle, 1000);
	set_head(p, e, URL, &plain_kind);
	ask(&busy, URL);
	await_bytes(p, &busy, 0);
	say(&fresh, "GET /.pmc/v1/he");
	hear_some(p, &fresh, 1000);
	peer_door_drain(p->door);
	while (!idle.ended)
		hear_some(p, &idle, 1000);
	say(&fresh, "alth HTTP/1.1\r\nHost: a\r\n\r\n");
	w = await(p, &fresh);
	assert_int_equal(503, w->r.status);
	assert_false(w->r.keep_alive);
	free_answer(w);
	grow(e, 1000, p->g.loop);
	complete(p, e);
	w = await(p, &busy);
	expect_body(w, 0, 1000);
	free_answer(w);
	while (!busy.ended)
		hear_some(p, &busy, 1000);
	leave(&idle);
	leave(&busy);
	leave(&fresh);
}

/* ---- deadlines and limits ---- */

struct turns {
	struct loop *loop;
	struct deferred job;
	int left;
};

static void on_turn(void *arg)
{
	struct turns *t = arg;

	if (t->left-- > 0)
		loop_bulk(t->loop, &t->job, on_turn, t);
	else
		loop_stop(t->loop);
}

static void on_kick(void *arg)
{
	(void)arg;
}

/* Timers are looked at when one is due by the machine's clock: so there is one. */
static void turn(struct loop *loop)
{
	struct turns t = {.loop = loop, .left = 30};
	struct timer kick;

	timer_init(&kick, loop, on_kick, NULL);
	timer_set(&kick, 1); /* long ago */
	loop_bulk(loop, &t.job, on_turn, &t);
	loop_run(loop);
	timer_fini(&kick);
}

static bool is_over(struct asker *a)
{
	char c[4096];
	ssize_t n;

	while ((n = recv(a->fd, c, sizeof(c), 0)) > 0)
		;
	return n == 0 || errno != EAGAIN;
}

/* From here on no time passes but what the test lets pass. The loop that was there before, for usual_time. */
static struct loop *stop_time(struct place *p, struct clock_fake *clock)
{
	struct loop *usual = p->g.loop;

	clock_fake_init(clock, 1700000000000);
	peer_door_free(p->door);
	p->door = NULL;
	p->g.loop = loop_new(0, &clock->clock);
	open_door(p, NULL, &pages);
	return usual;
}

static void usual_time(struct place *p, struct loop *usual)
{
	peer_door_free(p->door);
	p->door = NULL;
	turn(p->g.loop); /* who watched is told, and finds nobody */
	loop_free(p->g.loop);
	p->g.loop = usual;
}

static void test_deadlines(void **state)
{
	struct place *p = *state;
	struct clock_fake clock;
	struct loop *usual = stop_time(p, &clock);
	struct entry *e;
	struct asker idle, half, stalled, waiting;

	store(p, URL, &plain_kind, MOST_BODY - 1000);
	e = begin(p, OTHER_URL, NULL);
	come(p, &idle);
	come(p, &half);
	come(p, &stalled);
	come(p, &waiting);
	say(&idle, "GET /.pmc/v1/health HTTP/1.1\r\nHost: a\r\n\r\n");
	say(&half, "GET /.pmc/v1/he");
	ask(&stalled, URL);
	ask(&waiting, OTHER_URL);
	turn(p->g.loop);
	clock_fake_pass(&clock, 9 * DUR_SECOND);
	turn(p->g.loop);
	assert_false(is_over(&idle) || is_over(&half));
	clock_fake_pass(&clock, 2 * DUR_SECOND);
	turn(p->g.loop);
	assert_true(is_over(&half));
	assert_false(is_over(&idle));
	assert_int_equal(2, peer_streams_now(p->streams));
	clock_fake_pass(&clock, 10 * DUR_SECOND);
	turn(p->g.loop);
	assert_int_equal(1, peer_streams_now(p->streams)); /* the one that does not read is gone */
	assert_false(is_over(&idle));
	clock_fake_pass(&clock, 70 * DUR_SECOND);
	turn(p->g.loop);
	assert_true(is_over(&idle));
	assert_int_equal(1, peer_streams_now(p->streams)); /* who waits for us is not to blame */
	assert_false(is_over(&waiting));
	leave(&idle);
	leave(&half);
	leave(&stalled);
	leave(&waiting);
	break_off(p, e);
	usual_time(p, usual);
}

static void test_full(void **state)
{
	enum { N = 512 };
	struct place *p = *state;
	struct rlimit limit;
	struct clock_fake clock;
	struct loop *usual;
	struct asker *a, more;
	struct answer *w;

	assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < 2048)
		skip();
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &limit));
	usual = stop_time(p, &clock);
	a = mem_zalloc(N * sizeof(*a));
	for (int i = 0; i < N; i++) {
		come(p, &a[i]);
		a[i].in = mem_realloc(a[i].in, 16);
	}
	turn(p->g.loop);
	come(p, &more); /* the first one makes room */
	say(&more, "GET /.pmc/v1/health HTTP/1.1\r\nHost: a\r\n\r\n");
	w = await(p, &more);
	assert_int_equal(204, w->r.status);
	free_answer(w);
	assert_true(is_over(&a[0]));
	assert_false(is_over(&a[1]));
	for (int i = 0; i < N; i++)
		leave(&a[i]);
	leave(&more);
	free(a);
	usual_time(p, usual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_whole),       T(test_from),
		T(test_head),        T(test_not_for_others),
		T(test_vary),        T(test_growing),
		T(test_cut),         T(test_window),
		T(test_slow_reader), T(test_awaited),
		T(test_order),       T(test_order_not_known_yet),
		T(test_too_many),    T(test_leaves_before_head),
		T(test_pipelined),   T(test_hostile),
		T(test_large_head),  T(test_chatter),
		T(test_garbage),     T(test_roles),
		T(test_pages),       T(test_purges),
		T(test_drain),       T(test_deadlines),
		T(test_full),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
