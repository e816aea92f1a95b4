#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/cache/index.h"
#include "node/deliver/deliver.h"
#include "node/fetch/stored_head.h"
#include "proto/chunked.h"

#define NOW ((wall_ms)1700000000000)
#define MOST_OUT ((size_t)1024 * 1024)

/* ---- a stream that takes as much as the test likes ---- */

struct fake {
	struct stream stream;
	char *out;
	size_t n;
	size_t take;      /* of each write, at the most */
	size_t stop_at;   /* one STREAM_AGAIN when so many bytes are out; 0: none */
	unsigned blocked; /* so many times "blocked" */
	bool fails;
};

static void put(struct fake *f, struct span s)
{
	assert_true(f->n + s.n <= MOST_OUT);
	memcpy(f->out + f->n, s.p, s.n);
	f->n += s.n;
}

static ssize_t fake_write(struct stream *s, const struct span *v, int n)
{
	struct fake *f = (struct fake *)s;
	size_t room = f->take, before = f->n;

	if (f->fails)
		return STREAM_FAILED;
	if (f->stop_at && f->n + room >= f->stop_at && f->n <= f->stop_at)
		room = f->stop_at - f->n;
	for (int i = 0; i < n && room > 0; i++) {
		struct span piece = span_upto(v[i], room);

		put(f, piece);
		room -= piece.n;
	}
	if (f->stop_at == f->n)
		f->stop_at = 0; /* once */
	return f->n > before ? (ssize_t)(f->n - before) : STREAM_AGAIN;
}

static bool fake_push(struct stream *s, struct span bytes)
{
	struct fake *f = (struct fake *)s;

	if (!f->fails)
		put(f, bytes);
	return !f->fails;
}

static bool fake_blocked(const struct stream *s)
{
	struct fake *f = (struct fake *)(uintptr_t)s;

	return f->blocked && f->blocked--;
}

static const struct stream_ops fake_ops = {
	.name = "fake", .write = fake_write, .push = fake_push, .blocked = fake_blocked};

/* ---- an entry ---- */

struct stage {
	struct index *index;
	struct entry *entry;
	struct head *head;
	struct fake fake;
	char *room;
	struct http1_request request;
	char *request_text;
};

static void on_removed(void *cookie, struct entry *e)
{
	(void)cookie;
	(void)e;
}

static char byte_at(uint64_t pos)
{
	return (char)('a' + (pos * 2654435761u >> 11) % 26);
}

static void grow(struct stage *s, uint64_t n)
{
	uint64_t charged = 0;

	while (n > 0) {
		uint64_t length = body_length(&s->entry->body);
		size_t room;
		char *p = body_room(&s->entry->body, UINT64_MAX, &room, &charged);

		if (room > n)
			room = (size_t)n;
		for (size_t i = 0; i < room; i++)
			p[i] = byte_at(length + i);
		body_publish(&s->entry->body, room);
		n -= room;
	}
}

static void open_stage(struct stage *s, const char *response, const char *request)
{
	struct http1_response *r = NEW(struct http1_response);
	struct path_facts path = {0};
	struct fresh_response facts;
	size_t scanned = 0;
	enum reason why;

	memset(s, 0, sizeof(*s));
	s->fake.stream = (struct stream){.magic = STREAM_MAGIC, .ops = &fake_ops};
	s->fake.out = mem_alloc(MOST_OUT);
	s->fake.take = SIZE_MAX / 2;
	s->room = mem_alloc(DELIVER_ROOM_BYTES);
	s->index = index_new(on_removed, NULL);
	s->entry = index_private(s->index);
	assert_int_equal(http1_parse_response(span_str(response), &scanned, 65536, METHOD_GET, r, &why), HTTP1_DONE);
	fresh_read_response(r->status, &r->fields, NOW, NOW, &path, &facts);
	s->head = stored_head_make(r, &facts, SPAN("http://a.test/x"), true, false, 0, NOW);
	free(r);
	s->request_text = span_dup(span_str(request));
	scanned = 0;
	assert_int_equal(http1_parse_request(span_str(s->request_text), &scanned, 65536, &s->request, &why),
			 HTTP1_DONE);
}

static void close_stage(struct stage *s)
{
	entry_unref(&s->entry);
	head_unref(&s->head);
	index_free(s->index);
	free(s->fake.out);
	free(s->room);
	free(s->request_text);
}

static void begin(struct stage *s, struct deliver *d, bool complete, bool stored)
{
	struct deliver_ask ask = {
		.stream = &s->fake.stream,
		.entry = s->entry,
		.head = s->head,
		.request = &s->request,
		.extra = SPAN("X-Test: yes\r\n"),
		.conditions = true,
		.keep_alive = s->request.keep_alive,
		.complete = complete,
		.stored = stored,
		.now = NOW,
	};

	deliver_begin(d, &ask, s->room);
}

/* ---- what came out ---- */

struct got {
	struct http1_response r;
	char body[700 * 1024];
	size_t n;
	bool whole; /* it ended as the head says */
};

static void read_chunked(struct got *g, struct span rest)
{
	struct chunked c = {0};
	struct span piece;
	size_t used;
	enum reason why;

	for (;;) {
		enum chunked_result step = chunked_decode(&c, rest, &used, &piece, &why);

		rest = span_from(rest, used);
		if (step == CHUNKED_BODY) {
			memcpy(g->body + g->n, piece.p, piece.n);
			g->n += piece.n;
			continue;
		}
		assert_int_not_equal(step, CHUNKED_BAD);
		g->whole = step == CHUNKED_TRAILERS && span_eq(rest, SPAN("\r\n"));
		return;
	}
}

static struct got *read_out(const struct stage *s)
{
	struct got *g = NEW(struct got);
	size_t scanned = 0;
	struct span rest;
	enum reason why;

	assert_int_equal(
		http1_parse_response(span_of(s->fake.out, s->fake.n), &scanned, 200000, s->request.method, &g->r, &why),
		HTTP1_DONE);
	rest = span_from(span_of(s->fake.out, s->fake.n), g->r.head_bytes);
	if (g->r.body == HTTP1_BODY_CHUNKED) {
		read_chunked(g, rest);
		return g;
	}
	memcpy(g->body, rest.p, rest.n);
	g->n = rest.n;
	g->whole = g->r.body == HTTP1_BODY_CLOSE || g->n == (g->r.body == HTTP1_BODY_LENGTH ? g->r.length : 0);
	return g;
}

static void check_bytes(const struct got *g, uint64_t from, uint64_t n)
{
	assert_true(g->whole);
	assert_int_equal(g->n, n);
	for (size_t i = 0; i < g->n; i++)
		assert_int_equal(g->body[i], byte_at(from + i));
}

/* Drives it to the end while the body grows by the pieces given (0: it is complete). */
static enum deliver_step drive(struct stage *s, struct deliver *d, uint64_t total, uint64_t piece)
{
	for (unsigned turn = 0; turn < 100000; turn++) {
		enum deliver_step step = deliver_go(d);
		uint64_t length = body_length(&s->entry->body);

		memset(s->room, '!', DELIVER_ROOM_BYTES); /* it was lent for one call */
		if (step == DELIVER_DONE || step == DELIVER_FAILED)
			return step;
		if (step == DELIVER_WRITE)
			continue;
		if (length < total)
			grow(s, piece < total - length ? piece : total - length);
		else
			deliver_completed(d);
	}
	fail_msg("it does not end");
	return DELIVER_FAILED;
}

#define WITH_LENGTH(n)                                                                                                 \
	"HTTP/1.1 200 OK\r\nContent-Length: " n                                                                        \
	"\r\nETag: \"e\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
#define WITHOUT "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nETag: \"e\"\r\n\r\n"
#define GET11(more) "GET /x HTTP/1.1\r\nHost: a.test\r\n" more "\r\n"
#define GET10 "GET /x HTTP/1.0\r\n\r\n"
#define HEAD11 "HEAD /x HTTP/1.1\r\nHost: a.test\r\n\r\n"

static void complete_bodies(void **state)
{
	static const struct {
		const char *response, *request;
		uint64_t n;
		bool keep_alive;
	} rows[] = {
		{WITH_LENGTH("0"), GET11(""), 0, true},
		{WITH_LENGTH("1"), GET11(""), 1, true},
		{WITH_LENGTH("300000"), GET11(""), 300000, true},
		{WITH_LENGTH("600000"), GET10, 600000, false},
		{WITHOUT, GET11(""), 70000, true}, /* complete: its length is known */
		{WITHOUT, GET10, 70000, false},
		{WITH_LENGTH("5"), "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 5, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct deliver d;
		struct stage s;
		struct got *g;

		open_stage(&s, rows[i].response, rows[i].request);
		grow(&s, rows[i].n);
		begin(&s, &d, true, true);
		assert_int_equal(drive(&s, &d, rows[i].n, 1), DELIVER_DONE);
		g = read_out(&s);
		check_bytes(g, 0, rows[i].n);
		assert_int_equal(g->r.body, HTTP1_BODY_LENGTH);
		assert_int_equal(g->r.keep_alive, rows[i].keep_alive);
		assert_int_equal(d.close_after, !rows[i].keep_alive);
		assert_int_equal(d.sent, s.fake.n);
		assert_int_equal(d.body_sent, rows[i].n);
		assert_true(span_eq(hdr_find(&g->r.fields, SPAN("X-Test"))->value, SPAN("yes")));
		free(g);
		deliver_end(&d);
		close_stage(&s);
	}
}

/* Each way to cut what is written, with bodies that grow by each size. */
static void growing_bodies_cut_anywhere(void **state)
{
	static const struct {
		const char *response, *request;
		enum http1_body framing;
	} rows[] = {
		{WITH_LENGTH("23"), GET11(""), HTTP1_BODY_LENGTH},
		{WITHOUT, GET11(""), HTTP1_BODY_CHUNKED},
		{WITHOUT, GET10, HTTP1_BODY_CLOSE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (size_t take = 1; take <= 40; take++) {
			for (uint64_t piece = 1; piece <= 23; piece += piece < 4 ? 1 : 6) {
				struct deliver d;
				struct stage s;
				struct got *g;

				open_stage(&s, rows[i].response, rows[i].request);
				s.fake.take = take;
				s.fake.blocked = (unsigned)(take % 3);
				begin(&s, &d, false, true);
				assert_int_equal(drive(&s, &d, 23, piece), DELIVER_DONE);
				g = read_out(&s);
				assert_int_equal(g->r.body, rows[i].framing);
				check_bytes(g, 0, 23);
				assert_int_equal(d.sent, s.fake.n);
				free(g);
				deliver_end(&d);
				close_stage(&s);
			}
		}
	}
}

static void one_stop_at_each_byte(void **state)
{
	size_t total = 0;

	(void)state;
	for (size_t stop = 0; stop == 0 || stop < total; stop++) {
		struct deliver d;
		struct stage s;
		struct got *g;

		open_stage(&s, WITHOUT, GET11(""));
		s.fake.stop_at = stop;
		grow(&s, 10);
		begin(&s, &d, false, true);
		assert_int_equal(drive(&s, &d, 31, 7), DELIVER_DONE);
		g = read_out(&s);
		check_bytes(g, 0, 31);
		total = s.fake.n;
		free(g);
		deliver_end(&d);
		close_stage(&s);
	}
	assert_true(total > 100);
}

static void large_bodies_in_random_pieces(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 5);
	for (unsigned i = 0; i < 30; i++) {
		uint64_t n = rng_below(&rng, 600000);
		struct deliver d;
		struct stage s;
		struct got *g;

		open_stage(&s, WITHOUT, i % 3 ? GET11("") : GET10);
		s.fake.take = 1000 + rng_below(&rng, 300000);
		begin(&s, &d, false, i % 2);
		assert_int_equal(drive(&s, &d, n, 1 + rng_below(&rng, 200000)), DELIVER_DONE);
		g = read_out(&s);
		check_bytes(g, 0, n);
		free(g);
		deliver_end(&d);
		close_stage(&s);
	}
}

static void a_turn_has_an_end(void **state)
{
	struct deliver d;
	struct stage s;

	(void)state;
	open_stage(&s, WITH_LENGTH("650000"), GET11(""));
	s.fake.take = 65536;
	grow(&s, 650000);
	begin(&s, &d, true, true);
	assert_int_equal(deliver_go(&d), DELIVER_WRITE);
	assert_in_range(s.fake.n, STREAM_TURN_BYTES, STREAM_TURN_BYTES + 70000);
	deliver_end(&d);
	close_stage(&s);
}

static void a_stream_that_fails(void **state)
{
	struct deliver d;
	struct stage s;

	(void)state;
	open_stage(&s, WITHOUT, GET11(""));
	grow(&s, 10);
	s.fake.fails = true;
	begin(&s, &d, false, true);
	assert_int_equal(deliver_go(&d), DELIVER_FAILED);
	deliver_end(&d);
	close_stage(&s);
	/* in the middle */
	open_stage(&s, WITHOUT, GET11(""));
	begin(&s, &d, false, true);
	assert_int_equal(deliver_go(&d), DELIVER_GROWTH);
	s.fake.fails = true;
	grow(&s, 10);
	assert_int_equal(deliver_go(&d), DELIVER_FAILED);
	deliver_end(&d);
	close_stage(&s);
}

/* ---- statuses ---- */

struct status_row {
	const char *response, *request;
	bool complete, stored;
	int status;
	int64_t length; /* Content-Length; -1: none */
	uint64_t from, n;
	const char *content_range;
};

#define RANGE(r) GET11("Range: bytes=" r "\r\n")
#define SAME_SINCE "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static const struct status_row status_rows[] = {
	/* HEAD */
	{WITH_LENGTH("100"), HEAD11, true, true, 200, 100, 0, 0, NULL},
	{WITH_LENGTH("100"), HEAD11, false, true, 200, 100, 0, 0, NULL},
	{WITHOUT, HEAD11, true, true, 200, 100, 0, 0, NULL},
	{WITHOUT, HEAD11, false, true, 200, -1, 0, 0, NULL},
	{"HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\n", HEAD11, true, true, 404, 100, 0, 0, NULL},
	{WITH_LENGTH("100"), "HEAD /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\n\r\n", true, true, 304, -1, 0, 0,
	 NULL},
	{WITH_LENGTH("100"), "HEAD /x HTTP/1.1\r\nHost: a\r\nIf-Match: \"f\"\r\n\r\n", true, true, 412, 0, 0, 0, NULL},
	{WITH_LENGTH("100"), "HEAD /x HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n", true, true, 200, 100, 0, 0,
	 NULL},
	/* conditions */
	{WITH_LENGTH("100"), GET11("If-None-Match: \"e\"\r\n"), true, true, 304, -1, 0, 0, NULL},
	{WITH_LENGTH("100"), GET11("If-None-Match: W/\"e\"\r\n"), true, true, 304, -1, 0, 0, NULL},
	{WITH_LENGTH("100"), GET11("If-None-Match: *\r\n"), false, true, 304, -1, 0, 0, NULL},
	{WITH_LENGTH("100"), GET11(SAME_SINCE), true, true, 304, -1, 0, 0, NULL},
	{WITH_LENGTH("100"), GET11("If-None-Match: \"f\"\r\n" SAME_SINCE), true, true, 200, 100, 0, 100, NULL},
	{WITH_LENGTH("100"), GET11("If-Match: \"f\"\r\n"), true, true, 412, 0, 0, 0, NULL},
	{WITH_LENGTH("100"), GET11("If-Match: \"e\"\r\n"), true, true, 200, 100, 0, 100, NULL},
	{"HTTP/1.1 404 No\r\nContent-Length: 100\r\nETag: \"e\"\r\n\r\n", GET11("If-None-Match: \"e\"\r\n"), true, true,
	 404, 100, 0, 100, NULL},
	/* ranges */
	{WITH_LENGTH("100"), RANGE("0-9"), true, true, 206, 10, 0, 10, "bytes 0-9/100"},
	{WITH_LENGTH("100"), RANGE("90-"), true, true, 206, 10, 90, 10, "bytes 90-99/100"},
	{WITH_LENGTH("100"), RANGE("-3"), true, true, 206, 3, 97, 3, "bytes 97-99/100"},
	{WITH_LENGTH("100"), RANGE("99-200"), true, true, 206, 1, 99, 1, "bytes 99-99/100"},
	{WITH_LENGTH("100"), RANGE("100-"), true, true, 416, 0, 0, 0, "bytes */100"},
	{WITH_LENGTH("100"), RANGE("40-49"), false, true, 206, 10, 40, 10, "bytes 40-49/100"}, /* still to come */
	{WITH_LENGTH("100"), RANGE("40-49"), false, false, 200, 100, 0, 100, NULL},            /* goes by in a window */
	{WITHOUT, RANGE("40-49"), false, true, 200, -1, 0, 100, NULL}, /* nobody knows the length */
	{WITHOUT, RANGE("40-49"), true, true, 206, 10, 40, 10, "bytes 40-49/100"},
	{WITH_LENGTH("100"), RANGE("x-"), true, true, 200, 100, 0, 100, NULL},
	{WITH_LENGTH("100"), GET11("Range: bytes=0-9\r\nIf-Range: \"e\"\r\n"), true, true, 206, 10, 0, 10,
	 "bytes 0-9/100"},
	{WITH_LENGTH("100"), GET11("Range: bytes=0-9\r\nIf-Range: \"f\"\r\n"), true, true, 200, 100, 0, 100, NULL},
	{WITH_LENGTH("100"), GET11("Range: bytes=0-9\r\nIf-None-Match: \"e\"\r\n"), true, true, 304, -1, 0, 0, NULL},
	{"HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\n", RANGE("0-9"), true, true, 404, 100, 0, 100, NULL},
	{WITH_LENGTH("100"), "GET /x HTTP/1.0\r\nRange: bytes=5-6\r\n\r\n", true, true, 206, 2, 5, 2, "bytes 5-6/100"},
};

static void check_status(const struct status_row *row)
{
	struct deliver d;
	struct stage s;
	struct got *g;

	open_stage(&s, row->response, row->request);
	if (row->complete)
		grow(&s, 100);
	s.fake.take = 7;
	begin(&s, &d, row->complete, row->stored);
	assert_int_equal(drive(&s, &d, 100, 9), DELIVER_DONE);
	g = read_out(&s);
	assert_int_equal(g->r.status, row->status);
	assert_int_equal(d.status, row->status);
	assert_int_equal(g->r.length_known ? (int64_t)g->r.length : -1, row->length);
	check_bytes(g, row->from, row->n);
	if (row->content_range)
		assert_true(span_eq(hdr_value(&g->r.fields, HDR_CONTENT_RANGE), span_str(row->content_range)));
	else
		assert_false(hdr_has(&g->r.fields, HDR_CONTENT_RANGE));
	assert_int_equal(g->r.keep_alive, s.request.keep_alive);
	free(g);
	deliver_end(&d);
	close_stage(&s);
}

static void statuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(status_rows) / sizeof(*status_rows); i++)
		check_status(&status_rows[i]);
}

/* An answer to HEAD that was passed on has a length and no body; so has a 304 to the client's own condition. */
static void passed_on_without_a_body(void **state)
{
	static const struct {
		const char *response, *request;
		int status;
		int64_t length;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 123\r\n\r\n", HEAD11, 200, 123},
		{"HTTP/1.1 200 OK\r\n\r\n", HEAD11, 200, -1},
		{"HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n", GET11("If-None-Match: \"e\"\r\n"), 304, -1},
		{"HTTP/1.1 204 No Content\r\n\r\n", GET11(""), 204, -1},
		{"HTTP/1.1 204 No Content\r\n\r\n", GET10, 204, -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct deliver d;
		struct stage s;
		struct got *g;

		open_stage(&s, rows[i].response, rows[i].request);
		begin(&s, &d, true, false);
		assert_int_equal(drive(&s, &d, 0, 1), DELIVER_DONE);
		g = read_out(&s);
		assert_int_equal(g->r.status, rows[i].status);
		assert_int_equal(g->r.length_known ? (int64_t)g->r.length : -1, rows[i].length);
		assert_int_equal(g->n, 0);
		assert_int_equal(d.close_after, !s.request.keep_alive);
		free(g);
		deliver_end(&d);
		close_stage(&s);
	}
}

/* While it waits for its beginning, a range does not hold up what has come before. */
static void a_range_ahead_moves_with_the_body(void **state)
{
	struct deliver d;
	struct stage s;
	struct got *g;

	(void)state;
	open_stage(&s, WITH_LENGTH("500000"), RANGE("400000-400009"));
	begin(&s, &d, false, true);
	for (uint64_t n = 0; n < 400000; n += 50000) {
		assert_int_equal(deliver_go(&d), DELIVER_GROWTH);
		assert_int_equal(d.reader.at.pos, n);
		body_trim(&s.entry->body, d.reader.at.pos);
		grow(&s, 50000);
	}
	assert_int_equal(drive(&s, &d, 500000, 9), DELIVER_DONE);
	g = read_out(&s);
	assert_int_equal(g->r.status, 206);
	check_bytes(g, 400000, 10);
	free(g);
	deliver_end(&d);
	close_stage(&s);
}

static void fields_that_are_told_anew(void **state)
{
	struct deliver d;
	struct stage s;
	struct got *g;

	(void)state;
	open_stage(
		&s,
		"HTTP/1.1 200 Very Fine\r\nContent-Length: 3\r\nAge: 5\r\nX-Cache: HIT from far\r\nConnection: X-Hop, close\r\n"
		"X-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 2\r\n\r\n",
		GET11(""));
	grow(&s, 3);
	begin(&s, &d, true, true);
	assert_int_equal(drive(&s, &d, 3, 1), DELIVER_DONE);
	g = read_out(&s);
	check_bytes(g, 0, 3);
	assert_true(span_eq(g->r.phrase, SPAN("Very Fine")));
	assert_int_equal(hdr_count(&g->r.fields, HDR_CONTENT_LENGTH), 1);
	assert_int_equal(hdr_count(&g->r.fields, HDR_DATE), 1);
	assert_false(hdr_has(&g->r.fields, HDR_AGE) || hdr_has(&g->r.fields, HDR_X_CACHE) ||
		     hdr_has(&g->r.fields, HDR_CONNECTION) || hdr_has(&g->r.fields, HDR_KEEP_ALIVE));
	assert_null(hdr_find(&g->r.fields, SPAN("X-Hop")));
	assert_non_null(hdr_find(&g->r.fields, SPAN("X-End")));
	free(g);
	deliver_end(&d);
	close_stage(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complete_bodies),
		cmocka_unit_test(growing_bodies_cut_anywhere),
		cmocka_unit_test(one_stop_at_each_byte),
		cmocka_unit_test(large_bodies_in_random_pieces),
		cmocka_unit_test(a_turn_has_an_end),
		cmocka_unit_test(a_stream_that_fails),
		cmocka_unit_test(statuses),
		cmocka_unit_test(passed_on_without_a_body),
		cmocka_unit_test(a_range_ahead_moves_with_the_body),
		cmocka_unit_test(fields_that_are_told_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
