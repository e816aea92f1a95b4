#include <stdio.h>

#include "node/link/exchange.h"
#include "node/net/stream_plain.h"
#include "tests/unit/net/ground.h"

struct place {
	struct ground g;
	struct link *link;
	struct exchange *x;
	int peer;

	/* what was told */
	char story[64]; /* a letter each: i(nformational) h(ead) b(ody) s(end) f(ailed) */
	size_t told;
	int status, interim;
	enum reason why;
	char body[1 << 16];
	size_t n;
	ssize_t last; /* of exchange_pull */
	size_t room;  /* of one pull */
	bool cancel;  /* in the next callback */
};

static void stop_on(struct place *p, char letter)
{
	if (p->told < sizeof(p->story) - 1)
		p->story[p->told++] = letter;
	if (p->cancel)
		exchange_cancel(&p->x);
	loop_stop(p->g.loop);
}

static void on_interim(void *cookie, const struct http1_response *r)
{
	struct place *p = cookie;

	p->interim = r->status;
	stop_on(p, 'i');
}

static void on_head(void *cookie, const struct http1_response *r)
{
	struct place *p = cookie;

	p->status = r->status;
	stop_on(p, 'h');
}

static void on_body(void *cookie)
{
	stop_on(cookie, 'b');
}

static void on_send(void *cookie)
{
	stop_on(cookie, 's');
}

static void on_failed(void *cookie, enum reason why)
{
	struct place *p = cookie;

	assert_int_equal(REASON_NONE, p->why);
	p->why = why;
	stop_on(p, 'f');
}

static const struct exchange_on on = {on_interim, on_head, on_body, on_send, on_failed};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct addr a = ground_addr("127.0.0.1", 80);
	struct stream *s;
	int fd[2];

	ground_init(&p->g);
	ground_pair(fd);
	p->peer = fd[1];
	p->room = sizeof(p->body);
	s = stream_plain_new(p->g.loop, fd[0], &a);
	p->link = link_new(&s, "http a");
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	exchange_cancel(&p->x);
	link_close(&p->link, STREAM_CUT);
	close(p->peer);
	ground_fini(&p->g);
	free(p);
	return 0;
}

static struct exchange_ask ask_of(enum http1_method method, enum http1_body body, uint64_t length)
{
	return (struct exchange_ask){
		.head = SPAN("HEAD\r\n\r\n"),
		.method = method,
		.body = body,
		.length = length,
		.max_head_bytes = 8192,
		.first_byte_timeout = 5000,
		.read_timeout = 5000,
		.write_timeout = 5000,
	};
}

static void start(struct place *p, struct exchange_ask ask)
{
	p->x = exchange_start(&p->link, &ask, &on, p);
	assert_null(p->link);
	assert_int_equal(0, p->told);
}

static void get(struct place *p)
{
	start(p, ask_of(METHOD_GET, HTTP1_BODY_NONE, 0));
}

static void say_n(struct place *p, const char *bytes, size_t n)
{
	assert_int_equal(n, send(p->peer, bytes, n, MSG_NOSIGNAL));
}

static void say(struct place *p, const char *text)
{
	say_n(p, text, strlen(text));
}

static void hang_up(struct place *p)
{
	shutdown(p->peer, SHUT_WR);
}

/* Pulls until the end or a failure. */
static void pull_all(struct place *p)
{
	while (p->n < sizeof(p->body)) {
		size_t room = sizeof(p->body) - p->n;

		p->last = exchange_pull(p->x, p->body + p->n, room < p->room ? room : p->room);
		if (p->last == STREAM_AGAIN)
			ground_run(&p->g);
		else if (p->last > 0)
			p->n += (size_t)p->last;
		else
			return;
		if (p->why)
			return;
	}
}

static void expect_body(struct place *p, const char *text)
{
	pull_all(p);
	assert_int_equal(EXCHANGE_END, p->last);
	assert_int_equal(strlen(text), p->n);
	assert_memory_equal(text, p->body, p->n);
}

static void finish(struct place *p, bool reusable)
{
	p->link = exchange_finish(&p->x);
	assert_null(p->x);
	assert_int_equal(reusable, p->link != NULL);
}

/* ---- whole answers ---- */

static const struct {
	const char *answer, *body;
	enum http1_method method;
	int status;
	bool closes; /* the origin, behind the answer */
	bool reusable;
} answers[] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", METHOD_GET, 200, false, true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", METHOD_GET, 200, false, true},
	{"HTTP/1.1 204 No\r\n\r\n", "", METHOD_GET, 204, false, true},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", METHOD_GET, 304, false, true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", METHOD_HEAD, 200, false, true},
	{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", METHOD_GET, 200, false,
	 false},
	{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", METHOD_GET, 200, false, false},
	{"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", METHOD_GET, 200, true, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 ", "hello", METHOD_GET, 200, false,
	 false}, /* left over */
	{"HTTP/1.1 204 No\r\n\r\nx", "", METHOD_GET, 204, false, false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
	 "hello world", METHOD_GET, 200, false, true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "hello",
	 METHOD_GET, 200, false, true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", METHOD_GET, 200, false, true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", "", METHOD_GET, 200, false, false},
};

static void one_answer(size_t i, size_t piece, size_t room)
{
	struct place *p;
	size_t n = strlen(answers[i].answer), at = 0;

	setup((void **)&p);
	p->room = room;
	start(p, ask_of(answers[i].method, HTTP1_BODY_NONE, 0));
	while (at < n) {
		size_t k = piece < n - at ? piece : n - at;

		say_n(p, answers[i].answer + at, k);
		at += k;
		if (piece < n)
			ground_run_for(&p->g, 0);
		if (p->told && piece < n) /* the rest at once: pulling waits by itself */
			piece = n;
	}
	if (answers[i].closes)
		hang_up(p);
	if (!p->told)
		ground_run(&p->g);
	assert_string_equal("h", p->story);
	assert_int_equal(answers[i].status, p->status);
	assert_false(exchange_is_silent(p->x));
	expect_body(p, answers[i].body);
	assert_int_equal(EXCHANGE_END, exchange_pull(p->x, p->body, 1));
	finish(p, answers[i].reusable);
	teardown((void **)&p);
}

static void test_answers(void **state)
{
	static const size_t pieces[] = {10000, 1, 7}, rooms[] = {1 << 16, 1, 3};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		for (size_t k = 0; k < 3; k++)
			for (size_t m = 0; m < 3; m++)
				one_answer(i, pieces[k], rooms[m]);
}

/* ---- trailers ---- */

static void one_trailer(const char *answer, const char *name, const char *value, size_t piece)
{
	struct place *p;
	size_t n = strlen(answer), half = piece < n ? n - piece : 0;
	const struct hdr *f;

	setup((void **)&p);
	get(p);
	say_n(p, answer, half ? half : n);
	ground_run(&p->g);
	p->room = 3; /* so that the end is not in sight yet when the first bytes are pulled */
	assert_int_equal(3, exchange_pull(p->x, p->body, p->room));
	assert_null(exchange_trailers(p->x));
	p->n = 3;
	if (half)
		say_n(p, answer + half, n - half);
	expect_body(p, "hello");
	if (name) {
		assert_non_null(exchange_trailers(p->x));
		f = hdr_find(exchange_trailers(p->x), span_str(name));
		assert_non_null(f);
		assert_true(span_eq(span_str(value), f->value));
	} else {
		assert_null(exchange_trailers(p->x));
	}
	finish(p, true);
	teardown((void **)&p);
}

static void test_trailers(void **state)
{
	static const size_t pieces[] = {10000, 1, 2, 9};
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", head, "X-Sum: 1\r\nX-Other:  two \r\n\r\n");
		one_trailer(text, "x-sum", "1", pieces[i]);
		one_trailer(text, "X-Other", "two", pieces[i]);
		snprintf(text, sizeof(text), "%s\r\n", head);
		one_trailer(text, NULL, NULL, pieces[i]);
	}
	one_trailer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", NULL, NULL, 10000);
}

/* ---- broken answers ---- */

static void test_broken_heads(void **state)
{
	static const struct {
		const char *answer;
		enum reason why;
		bool silent;
	} t[] = {
		{"", REASON_UPSTREAM_CLOSED, true},
		{"HTTP/1.1 200 OK\r\nA: ", REASON_UPSTREAM_CUT, false},
		{"SSH-2.0-hello\r\n", REASON_BAD_STATUS_LINE, false},
		{"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", REASON_BAD_RESPONSE, false},
		{"HTTP/1.1 200 OK\nA: b\n\n", REASON_BAD_STATUS_LINE, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct place *p;

		setup((void **)&p);
		get(p);
		say(p, t[i].answer);
		hang_up(p);
		ground_run(&p->g);
		assert_string_equal("f", p->story);
		if (p->why != t[i].why)
			fail_msg("%s: %s", t[i].answer, reason_word(p->why));
		assert_int_equal(t[i].silent, exchange_is_silent(p->x));
		teardown((void **)&p);
	}
}

static void test_head_too_large(void **state)
{
	struct place *p = *state;
	char line[1100];

	get(p);
	say(p, "HTTP/1.1 200 OK\r\n");
	memset(line, 'a', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	memcpy(line, "A: ", 3);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	for (int i = 0; i < 8; i++)
		say(p, line);
	ground_run(&p->g);
	assert_int_equal(REASON_RESPONSE_HEAD_TOO_LARGE, p->why);
}

static void test_broken_bodies(void **state)
{
	static const struct {
		const char *answer;
		enum reason why;
	} t[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", REASON_UPSTREAM_CUT},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", REASON_UPSTREAM_CUT},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", REASON_UPSTREAM_CUT},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: ", REASON_UPSTREAM_CUT},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n", REASON_BAD_RESPONSE},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
		 REASON_BAD_RESPONSE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct place *p;

		setup((void **)&p);
		get(p);
		say(p, t[i].answer);
		hang_up(p);
		ground_run(&p->g);
		assert_string_equal("h", p->story);
		pull_all(p);
		assert_int_equal(STREAM_FAILED, p->last);
		assert_int_equal(t[i].why, exchange_why(p->x));
		assert_int_equal(STREAM_FAILED, exchange_pull(p->x, p->body, 1));
		finish(p, false);
		teardown((void **)&p);
	}
}

/* ---- deadlines ---- */

static void test_first_byte_timeout(void **state)
{
	struct place *p = *state;
	struct exchange_ask ask = ask_of(METHOD_GET, HTTP1_BODY_NONE, 0);

	ask.first_byte_timeout = 30;
	start(p, ask);
	ground_run(&p->g);
	assert_int_equal(REASON_FIRST_BYTE_TIMEOUT, p->why);
	assert_true(exchange_is_silent(p->x));
}

static void test_read_timeout(void **state)
{
	struct place *p = *state;
	struct exchange_ask ask = ask_of(METHOD_GET, HTTP1_BODY_NONE, 0);

	ask.read_timeout = 30;
	start(p, ask);
	say(p, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello");
	ground_run(&p->g);
	ground_run_for(&p->g, 50); /* nobody pulls: that is not the origin's fault */
	assert_int_equal(REASON_NONE, p->why);
	pull_all(p);
	assert_int_equal(REASON_READ_TIMEOUT, p->why);
}

/* The origin stops reading: fails. It reads, and the client is slow: does not. */
static void send_until_blocked(struct place *p)
{
	static const char lots[256 * 1024];

	while (exchange_send(p->x, span_of(lots, sizeof(lots))))
		;
}

static void test_write_timeout(void **state)
{
	struct place *p = *state;
	struct exchange_ask ask = ask_of(METHOD_POST, HTTP1_BODY_CHUNKED, 0);

	ask.write_timeout = 30;
	start(p, ask);
	send_until_blocked(p);
	ground_run(&p->g);
	assert_string_equal("f", p->story);
	assert_int_equal(REASON_WRITE_TIMEOUT, p->why);
}

static void test_no_write_timeout_when_idle(void **state)
{
	struct place *p = *state;
	struct exchange_ask ask = ask_of(METHOD_POST, HTTP1_BODY_CHUNKED, 0);
	static char sink[1 << 20];

	ask.write_timeout = 60;
	start(p, ask);
	send_until_blocked(p);
	while (!p->told) {
		ground_run_for(&p->g, 0);
		while (recv(p->peer, sink, sizeof(sink), 0) > 0)
			;
	}
	assert_string_equal("s", p->story);
	ground_run_for(&p->g, 90);
	assert_string_equal("s", p->story);
}

/* ---- request bodies ---- */

static void expect_heard(struct place *p, const char *text)
{
	char heard[200];
	ssize_t n;

	ground_run_for(&p->g, 1);
	n = recv(p->peer, heard, sizeof(heard) - 1, 0);
	assert_true(n >= 0);
	heard[n] = '\0';
	assert_string_equal(text, heard);
}

static void test_send_length(void **state)
{
	struct place *p = *state;

	start(p, ask_of(METHOD_POST, HTTP1_BODY_LENGTH, 5));
	assert_int_equal(2, exchange_send(p->x, SPAN("he")));
	assert_int_equal(3, exchange_send(p->x, SPAN("llo")));
	exchange_send_end(p->x);
	expect_heard(p, "HEAD\r\n\r\nhello");
	say(p, "HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	ground_run(&p->g);
	expect_body(p, "");
	finish(p, true);
	assert_int_equal(1, p->link->used);
}

static void test_send_chunked(void **state)
{
	struct place *p = *state;

	start(p, ask_of(METHOD_POST, HTTP1_BODY_CHUNKED, 0));
	assert_int_equal(5, exchange_send(p->x, SPAN("hello")));
	exchange_send(p->x, SPAN_NONE); /* an empty piece is not the end */
	assert_int_equal(1, exchange_send(p->x, SPAN("!")));
	exchange_send_end(p->x);
	expect_heard(p, "HEAD\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
}

/* The answer comes before the request is whole: the link cannot be used again, and the origin sees the cut. */
static void test_early_answer(void **state)
{
	struct place *p = *state;

	start(p, ask_of(METHOD_POST, HTTP1_BODY_LENGTH, 5));
	exchange_send(p->x, SPAN("he"));
	say(p, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
	ground_run(&p->g);
	assert_int_equal(413, p->status);
	expect_body(p, "");
	finish(p, false);
}

/* … and hangs up: what it said is told, not that it did not listen. */
static void test_early_answer_and_reset(void **state)
{
	struct place *p = *state;

	start(p, ask_of(METHOD_POST, HTTP1_BODY_CHUNKED, 0));
	ground_run_for(&p->g, 0);
	say(p, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
	close(p->peer); /* with the head unread: a reset */
	p->peer = -1;
	for (int i = 0; i < 3; i++)
		exchange_send(p->x, SPAN("hello"));
	ground_run(&p->g);
	assert_int_equal(413, p->status); /* Linux still gives what came before a reset */
	expect_body(p, "");
	finish(p, false);
}

/* The link was dead before it began: told once, later, and the body is swallowed until then. */
static void test_dead_link(void **state)
{
	struct place *p = *state;
	struct linger hard = {1, 0};

	setsockopt(p->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(p->peer);
	p->peer = -1;
	start(p, ask_of(METHOD_POST, HTTP1_BODY_LENGTH, 5));
	assert_int_equal(5, exchange_send(p->x, SPAN("hello")));
	exchange_send_end(p->x);
	ground_run(&p->g);
	assert_string_equal("f", p->story);
	assert_true(exchange_is_silent(p->x));
}

static void test_send_after_failure(void **state)
{
	struct place *p = *state;

	start(p, ask_of(METHOD_POST, HTTP1_BODY_LENGTH, 5));
	say(p, "nonsense\r\n\r\n");
	ground_run(&p->g);
	assert_string_equal("f", p->story);
	assert_int_equal(5, exchange_send(p->x, SPAN("hello")));
	exchange_send_end(p->x);
	ground_run_for(&p->g, 5);
	assert_string_equal("f", p->story); /* after that nothing else comes */
}

/* ---- interim answers, upgrades ---- */

static void test_interim(void **state)
{
	struct place *p = *state;

	get(p);
	say(p,
	    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	while (p->told < 3)
		ground_run(&p->g);
	assert_string_equal("iih", p->story);
	assert_int_equal(103, p->interim);
	expect_body(p, "ok");
	finish(p, true);
}

static void test_too_many_interim(void **state)
{
	struct place *p = *state;

	get(p);
	for (int i = 0; i < 40; i++)
		say(p, "HTTP/1.1 102 Processing\r\n\r\n");
	while (!p->why)
		ground_run(&p->g);
	assert_int_equal(REASON_BAD_RESPONSE, p->why);
	assert_int_equal(33, p->told);
}

static void test_upgrade(void **state)
{
	struct place *p = *state;
	struct stream *s;
	char rest[64];
	size_t n;

	get(p);
	say(p, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nframe");
	ground_run(&p->g);
	assert_int_equal(101, p->status);
	s = exchange_detach(&p->x, rest, sizeof(rest), &n);
	assert_null(p->x);
	assert_int_equal(5, n);
	assert_memory_equal("frame", rest, 5);
	assert_true(stream_push(s, SPAN("back")));
	expect_heard(p, "HEAD\r\n\r\nback");
	stream_close(&s, STREAM_CUT);
}

/* ---- cancelling: in each callback, and outside ---- */

static void test_cancelled_in_callbacks(void **state)
{
	static const struct {
		const char *answer;
		bool hang_up;
		const char *story;
	} t[] = {
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false, "i"},
		{"HTTP/1.1 200 OK\r\n\r\n", false, "h"},
		{"nonsense\r\n\r\n", false, "f"},
		{"", true, "f"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct place *p;

		setup((void **)&p);
		p->cancel = true;
		get(p);
		say(p, t[i].answer);
		if (t[i].hang_up)
			hang_up(p);
		ground_run(&p->g);
		ground_run_for(&p->g, 2);
		assert_string_equal(t[i].story, p->story);
		assert_null(p->x);
		teardown((void **)&p);
	}
}

static void test_cancelled_in_body(void **state)
{
	struct place *p = *state;

	get(p);
	say(p, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
	ground_run(&p->g);
	assert_int_equal(STREAM_AGAIN, exchange_pull(p->x, p->body, 10));
	p->cancel = true;
	say(p, "h");
	ground_run(&p->g);
	assert_string_equal("hb", p->story);
	assert_null(p->x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_broken_heads),
		cmocka_unit_test(test_broken_bodies),
		cmocka_unit_test(test_cancelled_in_callbacks),
		T(test_head_too_large),
		T(test_first_byte_timeout),
		T(test_read_timeout),
		T(test_write_timeout),
		T(test_no_write_timeout_when_idle),
		T(test_send_length),
		T(test_send_chunked),
		T(test_early_answer),
		T(test_early_answer_and_reset),
		T(test_dead_link),
		T(test_send_after_failure),
		T(test_interim),
		T(test_too_many_interim),
		T(test_upgrade),
		T(test_cancelled_in_body),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
