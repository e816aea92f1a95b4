#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/http1_parse.h"

#define MAX_HEAD 65536
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What a parser said, and after how many bytes it said so. */
struct said {
	enum http1_parse result;
	enum reason why;
	size_t after;
	struct http1_request request;
	struct http1_response response;
	struct hdrs trailers;
	size_t head_bytes;
};

enum kind { REQUEST, RESPONSE, TRAILERS };

static void parse(enum kind kind, struct span in, size_t *scanned, size_t max, enum http1_method to, struct said *s)
{
	s->why = REASON_NONE;
	switch (kind) {
	case REQUEST:
		s->result = http1_parse_request(in, scanned, max, &s->request, &s->why);
		s->head_bytes = s->request.head_bytes;
		break;
	case RESPONSE:
		s->result = http1_parse_response(in, scanned, max, to, &s->response, &s->why);
		s->head_bytes = s->response.head_bytes;
		break;
	case TRAILERS:
		s->result = http1_parse_trailers(in, scanned, max, &s->trailers, &s->head_bytes, &s->why);
		break;
	}
	assert_int_equal(s->result == HTTP1_BAD, s->why != REASON_NONE);
}

/* Feeds more and more of `in`, `step` bytes at a time; each time from memory of exactly that size, so that reading beyond
 * it shows. What is said last is in *s; its spans have lost their bytes unless the whole was fed at once. */
static void feed(enum kind kind, struct span in, size_t step, size_t max, enum http1_method to, struct said *s)
{
	size_t scanned = 0, n = 0;

	do {
		char *p;

		n = in.n - n > step ? n + step : in.n;
		p = malloc(n ? n : 1);
		if (n)
			memcpy(p, in.p, n);
		parse(kind, span_of(p, n), &scanned, max, to, s);
		free(p);
	} while (s->result == HTTP1_MORE && n < in.n);
	s->after = n;
}

/* The whole at once, then in steps: the results must be the same. Large inputs get few and large steps. */
static void feed_all(enum kind kind, struct span in, size_t max, enum http1_method to, struct said *s)
{
	static struct said steps;
	size_t scanned = 0;

	parse(kind, in, &scanned, max, to, s);
	for (size_t step = 1 + in.n / 300; step < in.n && step < 2000; step += in.n < 300 ? 1 : step) {
		feed(kind, in, step, max, to, &steps);
		if (steps.result != s->result || steps.why != s->why)
			fail_msg("\"%.*s\" in steps of %zu: result %d, %s; at once: %d, %s", SPAN_ARG(in), step,
				 (int)steps.result, reason_word(steps.why), (int)s->result, reason_word(s->why));
		if (s->result == HTTP1_DONE)
			assert_int_equal(steps.head_bytes, s->head_bytes);
	}
}

static void assert_span(struct span s, const char *text)
{
	if (s.n != strlen(text) || memcmp(s.p, text, s.n) != 0)
		fail_msg("\"%.*s\" is not \"%s\"", SPAN_ARG(s), text);
}

static struct said said;

static void check(enum kind kind, struct span in, size_t max, enum http1_method to, enum reason why)
{
	feed_all(kind, in, max, to, &said);
	if (said.result != (why ? HTTP1_BAD : HTTP1_DONE) || said.why != why)
		fail_msg("\"%.*s\": result %d, %s instead of %s", SPAN_ARG(in), (int)said.result, reason_word(said.why),
			 reason_word(why));
}

static void check_request(struct span in, enum reason why)
{
	check(REQUEST, in, MAX_HEAD, METHOD_OTHER, why);
}

static void check_response(struct span in, enum http1_method to, enum reason why)
{
	check(RESPONSE, in, MAX_HEAD, to, why);
}

#define LINE "GET / HTTP/1.1\r\n"
#define OLD_LINE "GET / HTTP/1.0\r\n"

static void test_request(void **state)
{
	static const char text[] = "GET http://a.test/b?c HTTP/1.1\r\nHost: a.test\r\nX-Empty:\r\nX-Blank: \t \r\n"
				   "ACCEPT:\t*/* , a/b \t\r\nX-\xc3: no\r\n";
	static const char good[] = "GET http://a.test/b?c HTTP/1.1\r\nHost: a.test\r\nX-Empty:\r\nX-Blank: \t \r\n"
				   "ACCEPT:\t*/* ,\tcaf\xc3\xa9 \t\r\n\r\nnext";
	const struct http1_request *r = &said.request;

	(void)state;
	check_request(SPAN(text), REASON_BAD_FIELD);
	check_request(SPAN(good), REASON_NONE);
	assert_span(r->method_name, "GET");
	assert_span(r->target, "http://a.test/b?c");
	assert_int_equal(r->method, METHOD_GET);
	assert_int_equal(r->minor, 1);
	assert_int_equal(r->body, HTTP1_BODY_NONE);
	assert_int_equal(r->head_bytes, sizeof(good) - 1 - 4);
	assert_true(r->keep_alive);
	assert_false(r->expect_continue);
	assert_false(r->upgrade);
	assert_int_equal(r->fields.n, 4);
	assert_span(r->fields.v[0].name, "Host");
	assert_span(r->fields.v[0].value, "a.test");
	assert_int_equal(r->fields.v[0].id, HDR_HOST);
	assert_span(r->fields.v[1].value, "");
	assert_int_equal(r->fields.v[1].id, HDR_OTHER);
	assert_span(r->fields.v[2].value, "");
	assert_span(r->fields.v[3].name, "ACCEPT");
	assert_span(r->fields.v[3].value, "*/* ,\tcaf\xc3\xa9");
	assert_int_equal(r->fields.v[3].id, HDR_ACCEPT);
	assert_true(hdr_has(&r->fields, HDR_HOST));
	assert_false(hdr_has(&r->fields, HDR_AGE));
}

static void test_skipped_line(void **state)
{
	(void)state;
	check_request(SPAN("\r\n" LINE "\r\n"), REASON_NONE);
	assert_int_equal(said.request.head_bytes, 2 + 16 + 2);
	assert_span(said.request.method_name, "GET");
	check_request(SPAN("\r\n\r\n" LINE "\r\n"), REASON_BAD_REQUEST_LINE);
	check_request(SPAN("\n" LINE "\r\n"), REASON_BARE_CR_LF);
	check_request(SPAN("\r" LINE "\r\n"), REASON_BARE_CR_LF);
}

struct row {
	struct span in;
	enum reason why;
};

#define ROW(text, reason)                                                                                              \
	{                                                                                                              \
		{text, sizeof(text) - 1}, REASON_##reason                                                              \
	}

static void test_request_lines(void **state)
{
	static const struct row rows[] = {
		ROW("OPTIONS * HTTP/1.1\r\n\r\n", NONE),
		ROW("CONNECT a.test:443 HTTP/1.0\r\n\r\n", NONE),
		ROW("get / HTTP/1.1\r\n\r\n", NONE),
		ROW("M-SEARCH / HTTP/1.1\r\n\r\n", NONE),
		ROW("GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n", NONE),
		/* HTTP/0.9 */
		ROW("GET /\r\n", BAD_REQUEST_LINE),
		ROW("GET /\n", BARE_CR_LF),
		ROW("GET / \r\n", BAD_REQUEST_LINE),
		ROW("GET\r\n", BAD_REQUEST_LINE),
		/* space */
		ROW(" GET / HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET  / HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET /  HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / HTTP/1.1 \r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET\t/ HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET /\tHTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET /a b HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET /a\vb HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET\f/ HTTP/1.1\r\n\r\n", NOT_HTTP),
		ROW("GET /\fHTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET /\0 HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET /\x7f HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		/* version */
		ROW("GET / HTTP/0.9\r\n\r\n", BAD_VERSION),
		ROW("GET / HTTP/1.2\r\n\r\n", BAD_VERSION),
		ROW("GET / HTTP/2.0\r\n\r\n", BAD_VERSION),
		ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_VERSION),
		ROW("GET / HTTP/2\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / HTTP/1.10\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / HTTP/01.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / HTTP/1,1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / HTTP/1.\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / http/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / HTTPS/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET / ICAP/1.0\r\n\r\n", BAD_REQUEST_LINE),
		/* line ends */
		ROW("GET / HTTP/1.1\n\r\n", BARE_CR_LF),
		ROW("GET / HTTP/1.1\r\r\n\r\n", BARE_CR_LF),
		ROW("GET / HTTP/1.1\rHost: a.test\r\n\r\n", BARE_CR_LF),
		ROW("GET /\r HTTP/1.1\r\n\r\n", BARE_CR_LF),
		ROW("GET\n/ HTTP/1.1\r\n\r\n", BARE_CR_LF),
		/* other protocols, and no method */
		ROW("\x16\x03\x01\x02", NOT_HTTP),
		ROW("\x05\x01", NOT_HTTP),
		ROW("\0", NOT_HTTP),
		ROW("\x80", NOT_HTTP),
		ROW("\xff\xf4\xff\xfd", NOT_HTTP),
		ROW("SSH-", NOT_HTTP),
		ROW("SSH-2.0-client\r\n", NOT_HTTP),
		ROW("G\xc3\x89T / HTTP/1.1\r\n\r\n", NOT_HTTP),
		ROW("G{T / HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("GET: / HTTP/1.1\r\n\r\n", BAD_REQUEST_LINE),
		ROW("HTTP/1.1 200 OK\r\n\r\n", BAD_REQUEST_LINE),
		ROW("{\"a\": 1}", BAD_REQUEST_LINE),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_request(rows[i].in, rows[i].why);
}

/* What cannot become HTTP is refused at the first byte that shows it, without waiting for more. */
static void test_early(void **state)
{
	static const struct {
		const char *in;
		size_t after;
	} rows[] = {
		{"\x16\x03\x01\x02\x00", 1}, {"SSH-2.0-client\r\n", 4}, {"GE{T / HTTP/1.1\r\n", 3},
		{"GET / FTP/1.1\r\n", 7},    {"\r\n\x01", 3},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		feed(REQUEST, span_str(rows[i].in), 1, MAX_HEAD, METHOD_OTHER, &said);
		assert_int_equal(said.result, HTTP1_BAD);
		assert_int_equal(said.after, rows[i].after);
	}
	feed(RESPONSE, SPAN("SSH-2.0-server\r\n"), 1, MAX_HEAD, METHOD_GET, &said);
	assert_int_equal(said.result, HTTP1_BAD);
	assert_int_equal(said.after, 1);
	feed(REQUEST, SPAN(LINE "Host: a\nX: y\r\n\r\n"), 1, MAX_HEAD, METHOD_OTHER, &said);
	assert_int_equal(said.after, 16 + 8);
}

static void test_fields(void **state)
{
	static const struct row rows[] = {
		ROW(LINE "A: b\r\n\r\n", NONE),
		ROW(LINE "!#$%&'*+-.^_`|~09Az: b\r\n\r\n", NONE),
		ROW(LINE "A: \"\xff:\x80\"\t,;\r\n\r\n", NONE),
		/* around the name */
		ROW(LINE "A : b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A\t: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A B: b\r\n\r\n", BAD_FIELD),
		ROW(LINE ": b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A\r\n\r\n", BAD_FIELD),
		ROW(LINE "A(: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A\": b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A\xe9: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "\x80: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A\0: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "\0: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "\vA: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A\f: b\r\n\r\n", BAD_FIELD),
		ROW(LINE "GET /x HTTP/1.1\r\n\r\n", BAD_FIELD),
		/* folds */
		ROW(LINE " A: b\r\n\r\n", BAD_FOLD),
		ROW(LINE "\tA: b\r\n\r\n", BAD_FOLD),
		ROW(LINE "A: b\r\n c\r\n\r\n", BAD_FOLD),
		ROW(LINE "A: b\r\n\tc\r\n\r\n", BAD_FOLD),
		ROW(LINE "A: b\r\n \r\n\r\n", BAD_FOLD),
		ROW(LINE "A:\r\n b\r\n\r\n", BAD_FOLD),
		/* line ends */
		ROW(LINE "A: b\n\r\n", BARE_CR_LF),
		ROW(LINE "A: b\r\n\n", BARE_CR_LF),
		ROW(LINE "\n", BARE_CR_LF),
		ROW(LINE "\rA: b\r\n\r\n", BARE_CR_LF),
		ROW(LINE "\r\rA: b\r\n\r\n", BARE_CR_LF),
		ROW(LINE "A: b\rc\r\n\r\n", BARE_CR_LF),
		ROW(LINE "A: b\rC: d\r\n\r\n", BARE_CR_LF),
		ROW(LINE "A: b\r\r\n\r\n", BARE_CR_LF),
		ROW(LINE "A: b\nC: d\r\n\r\n", BARE_CR_LF),
		ROW(LINE "A\n: b\r\n\r\n", BARE_CR_LF),
		ROW(LINE "A\r: b\r\n\r\n", BARE_CR_LF),
		ROW(LINE "A:\n", BARE_CR_LF),
		ROW(LINE "A: \r \r\n\r\n", BARE_CR_LF),
		/* values */
		ROW(LINE "A: \0\r\n\r\n", BAD_FIELD),
		ROW(LINE "A: b\0c\r\n\r\n", BAD_FIELD),
		ROW(LINE "A: b\v\r\n\r\n", BAD_FIELD),
		ROW(LINE "A:\f b\r\n\r\n", BAD_FIELD),
		ROW(LINE "A: b\x7f\r\n\r\n", BAD_FIELD),
		ROW(LINE "A: b\x1b[m\r\n\r\n", BAD_FIELD),
		ROW(LINE "A: 0123456789abcdef0123456789abcdef\x01 0123456789abcdef\r\n\r\n", BAD_FIELD),
		/* the first fault counts */
		ROW(LINE "A : b\r\nC: d\n\r\n", BAD_FIELD),
		ROW(LINE "C: d\nA : b\r\n\r\n", BARE_CR_LF),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_request(rows[i].in, rows[i].why);
}

/* Every byte but these in a name, a value, a target and a method. */
static void test_every_byte(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		struct span byte = span_of((char[]){(char)c}, 1);
		bool is_control = c < 0x20 || c == 0x7f;
		char text[64];
		struct {
			const char *before, *behind;
			bool good;
		} places[] = {
			{LINE "x", ": y\r\n\r\n", http1_is_token(byte) || c == ':'},
			{LINE "x: y", "z\r\n\r\n", !is_control || c == '\t'},
			{"GET /", "x HTTP/1.1\r\n\r\n", !is_control && c != ' '},
			{"G", "T / HTTP/1.1\r\n\r\n", http1_is_token(byte)},
		};

		for (size_t i = 0; i < COUNT(places); i++) {
			struct buf b = buf_over(text, sizeof(text));

			buf_put_str(&b, places[i].before);
			buf_putc(&b, (char)c);
			buf_put_str(&b, places[i].behind);
			feed_all(REQUEST, buf_span(&b), MAX_HEAD, METHOD_OTHER, &said);
			if ((said.result == HTTP1_DONE) != places[i].good && !(c == ' ' && i == 2))
				fail_msg("byte %d at place %zu: result %d", c, i, (int)said.result);
			if (c == ' ' && i == 2)
				assert_int_equal(said.result, HTTP1_BAD);
		}
	}
}

static void test_request_bodies(void **state)
{
	static const struct {
		const char *line, *fields;
		enum reason why;
		enum http1_body body;
		uint64_t length;
	} rows[] = {
		{LINE, "Content-Length: 0\r\n", REASON_NONE, HTTP1_BODY_LENGTH, 0},
		{LINE, "content-length:42 \r\n", REASON_NONE, HTTP1_BODY_LENGTH, 42},
		{OLD_LINE, "Content-Length: 7\r\n", REASON_NONE, HTTP1_BODY_LENGTH, 7},
		{LINE, "Content-Length: 9223372036854775807\r\n", REASON_NONE, HTTP1_BODY_LENGTH, INT64_MAX},
		{LINE, "Transfer-Encoding: chunked\r\n", REASON_NONE, HTTP1_BODY_CHUNKED, 0},
		{LINE, "transfer-encoding:\tCHUNKED \r\n", REASON_NONE, HTTP1_BODY_CHUNKED, 0},
		/* lengths that another server may read otherwise */
		{LINE, "Content-Length: 9223372036854775808\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 18446744073709551616\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 99999999999999999999999999\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length:\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: +1\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: -1\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 0x1\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 1 0\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 1.0\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 1;\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: \"1\"\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 1, 1\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 1,\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 1\r\nContent-Length: 1\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: 1\r\ncontent-length: 2\r\n", REASON_BAD_LENGTH, 0, 0},
		{LINE, "Content-Length: \r\nContent-Length: 2\r\n", REASON_BAD_LENGTH, 0, 0},
		/* both */
		{LINE, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", REASON_LENGTH_AND_CHUNKED, 0, 0},
		{LINE, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", REASON_LENGTH_AND_CHUNKED, 0, 0},
		{LINE, "Transfer-Encoding: x\r\nContent-Length: x\r\n", REASON_LENGTH_AND_CHUNKED, 0, 0},
		{OLD_LINE, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", REASON_LENGTH_AND_CHUNKED, 0, 0},
		/* codings */
		{OLD_LINE, "Transfer-Encoding: chunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding:\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: identity\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: gzip\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: gzip, chunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunked, gzip\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunked, chunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: identity, chunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunked,\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: ,chunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: xchunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunkedx\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunke\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunked;a=b\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: \"chunked\"\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", REASON_BAD_CODING, 0, 0},
		{LINE, "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", REASON_BAD_CODING, 0, 0},
		{LINE,
		 "Transfer-Encoding: \x0b"
		 "chunked\r\n",
		 REASON_BAD_FIELD, 0, 0},
		/* a tunnel has no body */
		{"CONNECT a.test:443 HTTP/1.1\r\n", "Content-Length: 0\r\n", REASON_NONE, HTTP1_BODY_NONE, 0},
		{"CONNECT a.test:443 HTTP/1.1\r\n", "Content-Length: 1\r\n", REASON_BAD_LENGTH, 0, 0},
		{"CONNECT a.test:443 HTTP/1.1\r\n", "Transfer-Encoding: chunked\r\n", REASON_BAD_CODING, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[512];
		struct buf b = buf_over(text, sizeof(text));

		buf_put_str(&b, rows[i].line);
		buf_put_str(&b, rows[i].fields);
		buf_put_str(&b, "\r\n");
		check_request(buf_span(&b), rows[i].why);
		if (rows[i].why)
			continue;
		assert_int_equal(said.request.body, rows[i].body);
		assert_int_equal(said.request.length, rows[i].length);
	}
}

static void test_request_options(void **state)
{
	static const struct {
		const char *in;
		bool keep_alive, expect_continue, upgrade;
	} rows[] = {
		{LINE, true, false, false},
		{OLD_LINE, false, false, false},
		{LINE "Connection: close\r\n", false, false, false},
		{LINE "Connection: x, CLOSE\r\n", false, false, false},
		{LINE "Connection: x\r\nConnection: close\r\n", false, false, false},
		{LINE "Connection: keep-alive, close\r\n", false, false, false},
		{LINE "Connection: closed\r\n", true, false, false},
		{OLD_LINE "Connection: Keep-Alive\r\n", true, false, false},
		{OLD_LINE "Connection: keep-alive, close\r\n", false, false, false},
		{OLD_LINE "Proxy-Connection: Keep-Alive\r\n", true, false, false},
		{LINE "Proxy-Connection: close\r\n", false, false, false},
		{LINE "Proxy-Connection: close\r\nConnection: keep-alive\r\n", true, false, false},
		{OLD_LINE "Proxy-Connection: keep-alive\r\nConnection: close\r\n", false, false, false},
		{LINE "Expect: 100-Continue\r\n", true, true, false},
		{OLD_LINE "Expect: 100-continue\r\n", false, false, false},
		{LINE "Expect:\r\n", true, false, false},
		{LINE "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n", true, false, true},
		{LINE "Upgrade: websocket\r\n", true, false, false},
		{LINE "Connection: upgrade\r\n", true, false, false},
		{OLD_LINE "Upgrade: websocket\r\nConnection: upgrade\r\n", false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[256];
		struct buf b = buf_over(text, sizeof(text));

		buf_put_str(&b, rows[i].in);
		buf_put_str(&b, "\r\n");
		check_request(buf_span(&b), REASON_NONE);
		if (said.request.keep_alive != rows[i].keep_alive ||
		    said.request.expect_continue != rows[i].expect_continue || said.request.upgrade != rows[i].upgrade)
			fail_msg("row %zu", i);
	}
	check_request(SPAN(LINE "Expect: 200-ok\r\n\r\n"), REASON_BAD_EXPECT);
	check_request(SPAN(LINE "Expect: 100-continue, x\r\n\r\n"), REASON_BAD_EXPECT);
	check_request(SPAN(LINE "Expect: 100-continue=1\r\n\r\n"), REASON_BAD_EXPECT);
}

static void put_many(struct buf *b, char c, size_t n)
{
	while (n--)
		buf_putc(b, c);
}

static char big[80000];

static struct span with_target(size_t n)
{
	struct buf b = buf_over(big, sizeof(big));

	buf_put_str(&b, "GET ");
	put_many(&b, '/', n);
	buf_put_str(&b, " HTTP/1.1\r\n\r\n");
	return buf_span(&b);
}

static struct span with_fields(unsigned n, const char *behind)
{
	struct buf b = buf_over(big, sizeof(big));

	buf_put_str(&b, LINE);
	for (unsigned i = 0; i < n; i++)
		buf_put_str(&b, "a:\r\n");
	buf_put_str(&b, behind);
	return buf_span(&b);
}

static struct span with_value(const char *name, size_t n)
{
	struct buf b = buf_over(big, sizeof(big));

	buf_put_str(&b, LINE);
	buf_put_str(&b, name);
	buf_put_str(&b, ": ");
	put_many(&b, 'x', n);
	buf_put_str(&b, "\r\n\r\n");
	return buf_span(&b);
}

static void test_limits(void **state)
{
	static const char head[] = LINE "Host: a.test\r\n\r\n";
	const size_t n = sizeof(head) - 1;

	(void)state;
	check(REQUEST, SPAN(head), n, METHOD_OTHER, REASON_NONE);
	check(REQUEST, SPAN(LINE "Host: a.test\r\n\r\nmore"), n, METHOD_OTHER, REASON_NONE);
	check(REQUEST, SPAN(head), n - 1, METHOD_OTHER, REASON_HEAD_TOO_LARGE);
	check(REQUEST, SPAN(LINE "Host: a.test\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy"), n, METHOD_OTHER,
	      REASON_HEAD_TOO_LARGE);
	check(REQUEST, span_upto(SPAN(head), n - 1), n - 1, METHOD_OTHER, REASON_HEAD_TOO_LARGE);
	check(REQUEST, SPAN(head), 10, METHOD_OTHER, REASON_URL_TOO_LONG);
	check(REQUEST, SPAN(head), 3, METHOD_OTHER, REASON_HEAD_TOO_LARGE);
	feed_all(REQUEST, span_upto(SPAN(head), n - 1), n, METHOD_OTHER, &said);
	assert_int_equal(said.result, HTTP1_MORE);

	check_request(with_target(8192), REASON_NONE);
	check_request(with_target(8193), REASON_URL_TOO_LONG);
	check_request(span_upto(with_target(8193), 4 + 8193), REASON_URL_TOO_LONG);

	check_request(with_fields(128, "\r\n"), REASON_NONE);
	assert_int_equal(said.request.fields.n, 128);
	check_request(with_fields(129, "\r\n"), REASON_TOO_MANY_FIELDS);
	check_request(with_fields(2000, "\r\n"), REASON_TOO_MANY_FIELDS);
	check_request(with_fields(128, "a : b\r\n"), REASON_BAD_FIELD);
	check_request(with_fields(200, "a\n"), REASON_BARE_CR_LF);

	check_request(with_value("X", 60000), REASON_NONE);
	assert_int_equal(said.request.fields.v[0].value.n, 60000);
	check_request(with_value("X", 70000), REASON_HEAD_TOO_LARGE);
	check_request(with_value("Connection", 1024), REASON_NONE);
	check_request(with_value("Connection", 1025), REASON_BAD_FIELD);

	memset(big, 'M', 65);
	check_request(span_of(big, 65), REASON_BAD_REQUEST_LINE);
	feed_all(REQUEST, span_of(big, 64), MAX_HEAD, METHOD_OTHER, &said);
	assert_int_equal(said.result, HTTP1_MORE);
	feed_all(REQUEST, SPAN_NONE, MAX_HEAD, METHOD_OTHER, &said);
	assert_int_equal(said.result, HTTP1_MORE);
}

static void test_status_lines(void **state)
{
	static const struct row rows[] = {
		ROW("HTTP/1.1 200 OK\r\n\r\n", NONE),
		ROW("HTTP/1.0 200 OK\r\n\r\n", NONE),
		ROW("HTTP/1.1 200 \r\n\r\n", NONE),
		ROW("HTTP/1.1 200\r\n\r\n", NONE),
		ROW("HTTP/1.1 100 Continue\r\n\r\n", NONE),
		ROW("HTTP/1.1 599 x\r\n\r\n", NONE),
		ROW("HTTP/1.1 404 N\xc3\xa3o\tachei \r\n\r\n", NONE),
		ROW("HTTP/1.1 099 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 600 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 2000 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 20 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 2x0 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1  200 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1\t200 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200\tx\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200OK\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 -20 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.2 200 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/0.9 200 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/2 200\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/2.0 200 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("http/1.1 200 x\r\n\r\n", BAD_STATUS_LINE),
		ROW("ICY 200 OK\r\n\r\n", BAD_STATUS_LINE),
		ROW("<html>an answer of HTTP/0.9</html>", BAD_STATUS_LINE),
		ROW("\r\nHTTP/1.1 200 OK\r\n\r\n", BAD_STATUS_LINE),
		ROW(" HTTP/1.1 200 OK\r\n\r\n", BAD_STATUS_LINE),
		ROW("220 mail.test ESMTP\r\n", BAD_STATUS_LINE),
		ROW("\x15\x03\x03\x00\x02\x02\x28", BAD_STATUS_LINE),
		ROW("\xff", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200 OK\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200 O\rK\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200\r200\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200 O\0K\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200 O\vK\r\n\r\n", BAD_STATUS_LINE),
		ROW("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", BAD_RESPONSE),
		ROW("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", BAD_RESPONSE),
		ROW("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", BAD_RESPONSE),
		ROW("HTTP/1.1 200 OK\r\nA: b\n\r\n", BAD_RESPONSE),
		ROW("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", BAD_RESPONSE),
		ROW("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", BAD_RESPONSE),
		ROW("HTTP/1.1 200 OK\r\n\n", BAD_RESPONSE),
		ROW("HTTP/1.1 200 OK\r\njust a line\r\n\r\n", BAD_RESPONSE),
	};
	struct buf b = buf_over(big, sizeof(big));

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_response(rows[i].in, METHOD_GET, rows[i].why);
	check_response(SPAN("HTTP/1.0 404 Not  Here\r\nAge: 1\r\n\r\nbody"), METHOD_GET, REASON_NONE);
	assert_int_equal(said.response.status, 404);
	assert_int_equal(said.response.minor, 0);
	assert_span(said.response.phrase, "Not  Here");
	assert_int_equal(said.response.head_bytes, 24 + 8 + 2);
	assert_span(hdr_value(&said.response.fields, HDR_AGE), "1");
	check_response(SPAN("HTTP/1.1 200\r\n\r\n"), METHOD_GET, REASON_NONE);
	assert_span(said.response.phrase, "");

	buf_put_str(&b, "HTTP/1.1 200 ");
	put_many(&b, 'x', 1024);
	buf_put_str(&b, "\r\n\r\n");
	check_response(buf_span(&b), METHOD_GET, REASON_NONE);
	b.n -= 4;
	buf_put_str(&b, "x\r\n\r\n");
	check_response(buf_span(&b), METHOD_GET, REASON_BAD_STATUS_LINE);
	check(RESPONSE, SPAN("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), 24, METHOD_GET, REASON_RESPONSE_HEAD_TOO_LARGE);
}

static void test_response_bodies(void **state)
{
	static const struct {
		const char *in;
		enum http1_method to;
		bool bad;
		enum http1_body body;
		uint64_t length;
		bool length_known, keep_alive;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", METHOD_GET, false, HTTP1_BODY_LENGTH, 5, true, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", METHOD_GET, false, HTTP1_BODY_LENGTH, 0, true, true},
		{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", METHOD_GET, false, HTTP1_BODY_LENGTH, 5, true, false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n", METHOD_GET, false,
		 HTTP1_BODY_LENGTH, 5, true, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n", METHOD_GET, false, HTTP1_BODY_LENGTH,
		 5, true, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", METHOD_GET, false, HTTP1_BODY_CHUNKED, 0, false,
		 true},
		{"HTTP/1.1 200 OK\r\n", METHOD_GET, false, HTTP1_BODY_CLOSE, 0, false, false},
		{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", METHOD_GET, false, HTTP1_BODY_CLOSE, 0, false, false},
		/* no body */
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", METHOD_HEAD, false, HTTP1_BODY_NONE, 5, true, true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", METHOD_HEAD, false, HTTP1_BODY_NONE, 0, false,
		 true},
		{"HTTP/1.1 200 OK\r\n", METHOD_HEAD, false, HTTP1_BODY_NONE, 0, false, true},
		{"HTTP/1.1 304 x\r\nContent-Length: 5\r\n", METHOD_GET, false, HTTP1_BODY_NONE, 5, true, true},
		{"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n", METHOD_GET, false, HTTP1_BODY_NONE, 0, false,
		 true},
		{"HTTP/1.1 204 x\r\n", METHOD_GET, false, HTTP1_BODY_NONE, 0, false, true},
		{"HTTP/1.1 204 x\r\nContent-Length: 0\r\n", METHOD_GET, false, HTTP1_BODY_NONE, 0, true, true},
		{"HTTP/1.1 100 x\r\n", METHOD_POST, false, HTTP1_BODY_NONE, 0, false, true},
		{"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n", METHOD_GET, false, HTTP1_BODY_NONE, 0, false, true},
		{"HTTP/1.1 200 x\r\n", METHOD_CONNECT, false, HTTP1_BODY_NONE, 0, false, true},
		{"HTTP/1.1 200 x\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n", METHOD_CONNECT, false,
		 HTTP1_BODY_NONE, 0, false, true},
		{"HTTP/1.1 407 x\r\nContent-Length: 5\r\n", METHOD_CONNECT, false, HTTP1_BODY_LENGTH, 5, true, true},
		/* faults */
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", METHOD_GET, true, 0, 0,
		 false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", METHOD_HEAD, true, 0, 0,
		 false, false},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", METHOD_GET, true, 0,
		 0, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n", METHOD_GET, true, 0, 0, false, false},
		{"HTTP/1.1 304 x\r\nContent-Length: x\r\n", METHOD_GET, true, 0, 0, false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct http1_response *r = &said.response;
		char text[256];
		struct buf b = buf_over(text, sizeof(text));

		buf_put_str(&b, rows[i].in);
		buf_put_str(&b, "\r\n");
		check_response(buf_span(&b), rows[i].to, rows[i].bad ? REASON_BAD_RESPONSE : REASON_NONE);
		if (rows[i].bad)
			continue;
		if (r->body != rows[i].body || r->length != rows[i].length || r->length_known != rows[i].length_known ||
		    r->keep_alive != rows[i].keep_alive)
			fail_msg("row %zu: body %d, length %zu", i, (int)r->body, (size_t)r->length);
	}
}

static void test_trailers(void **state)
{
	static const struct row rows[] = {
		ROW("\r\n", NONE),
		ROW("A: b\r\nC:\r\n\r\nGET", NONE),
		ROW(" A: b\r\n\r\n", BAD_FOLD),
		ROW("A: b\r\n c\r\n\r\n", BAD_FOLD),
		ROW("A : b\r\n\r\n", BAD_FIELD),
		ROW("A: b\n\r\n", BARE_CR_LF),
		ROW("\n", BARE_CR_LF),
		ROW("\rA\n", BARE_CR_LF),
		ROW("A: \v\r\n\r\n", BAD_FIELD),
		ROW("Content-Length: 1\r\n\r\n", BAD_FIELD),
		ROW("transfer-encoding: chunked\r\n\r\n", BAD_FIELD),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check(TRAILERS, rows[i].in, MAX_HEAD, METHOD_OTHER, rows[i].why);
	check(TRAILERS, SPAN("A: b\r\nC:\r\n\r\nGET"), MAX_HEAD, METHOD_OTHER, REASON_NONE);
	assert_int_equal(said.head_bytes, 12);
	assert_int_equal(said.trailers.n, 2);
	check(TRAILERS, SPAN("\r\n"), MAX_HEAD, METHOD_OTHER, REASON_NONE);
	assert_int_equal(said.head_bytes, 2);
	assert_int_equal(said.trailers.n, 0);
	check(TRAILERS, SPAN("A: b\r\n\r\n"), 7, METHOD_OTHER, REASON_HEAD_TOO_LARGE);
}

/* Messages behind one another, as in a pipeline, with the same `scanned`. */
static void test_pipeline(void **state)
{
	static const char text[] = LINE "A: 1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\n\r\n" OLD_LINE "\r\n";
	struct span rest = SPAN(text);
	size_t scanned = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		static const enum http1_method methods[] = {METHOD_GET, METHOD_HEAD, METHOD_GET};

		for (size_t n = 1; n <= rest.n; n++) {
			parse(REQUEST, span_upto(rest, n), &scanned, MAX_HEAD, METHOD_OTHER, &said);
			if (said.result != HTTP1_MORE)
				break;
		}
		assert_int_equal(said.result, HTTP1_DONE);
		assert_int_equal(scanned, 0);
		assert_int_equal(said.request.method, methods[i]);
		rest = span_from(rest, said.request.head_bytes);
	}
	assert_int_equal(rest.n, 0);
}

static void test_methods(void **state)
{
	static const struct {
		const char *name;
		enum http1_method method;
		bool is_safe, is_idempotent;
	} rows[] = {
		{"GET", METHOD_GET, true, true},           {"HEAD", METHOD_HEAD, true, true},
		{"POST", METHOD_POST, false, false},       {"PUT", METHOD_PUT, false, true},
		{"DELETE", METHOD_DELETE, false, true},    {"PATCH", METHOD_PATCH, false, false},
		{"OPTIONS", METHOD_OPTIONS, true, true},   {"TRACE", METHOD_TRACE, true, true},
		{"CONNECT", METHOD_CONNECT, false, false}, {"PURGE", METHOD_PURGE, false, false},
		{"get", METHOD_OTHER, false, false},       {"", METHOD_OTHER, false, false},
		{"GETT", METHOD_OTHER, false, false},      {"PUSH", METHOD_OTHER, false, false},
		{"HEAP", METHOD_OTHER, false, false},      {"PROPFIND", METHOD_OTHER, false, false},
		{"PAGES", METHOD_OTHER, false, false},     {"DELETF", METHOD_OTHER, false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(http1_method(span_str(rows[i].name)), rows[i].method);
		assert_int_equal(http1_method_is_safe(rows[i].method), rows[i].is_safe);
		assert_int_equal(http1_method_is_idempotent(rows[i].method), rows[i].is_idempotent);
	}
	assert_true(http1_is_token(SPAN("a-B.9")));
	assert_false(http1_is_token(SPAN("")));
	assert_false(http1_is_token(SPAN("a b")));
	assert_false(http1_is_token(SPAN("a\xe9")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),         cmocka_unit_test(test_skipped_line),
		cmocka_unit_test(test_request_lines),   cmocka_unit_test(test_early),
		cmocka_unit_test(test_fields),          cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_request_bodies),  cmocka_unit_test(test_request_options),
		cmocka_unit_test(test_limits),          cmocka_unit_test(test_status_lines),
		cmocka_unit_test(test_response_bodies), cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_pipeline),        cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
