#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "peer/peer_link.h"

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define URL "https://registry.test/left-pad/-/left-pad-1.3.0.tgz"

static void parse_request(const char *text, struct http1_request *out)
{
	size_t scanned = 0;
	enum reason why;

	if (http1_parse_request(span_str(text), &scanned, 65536, out, &why) != HTTP1_DONE)
		fail_msg("not a request: %s", text);
}

static struct peer_link_ask ask_of(void)
{
	struct peer_link_ask ask = {.node = SPAN("edge2"), .store_id = SPAN(URL)};

	for (int i = 0; i < KEY_BYTES; i++)
		ask.key.b[i] = (uint8_t)i;
	return ask;
}

/* ---- requests ---- */

static void test_format(void **state)
{
	struct http1_request client;
	struct peer_link_ask ask = ask_of();
	char text[4096];
	struct buf b = buf_over(text, sizeof(text));

	(void)state;
	parse_request(
		"GET http://registry.test/x HTTP/1.1\r\nHost: registry.test\r\nAccept: a/b\r\nAuthorization: Basic x\r\n"
		"Cookie: a=b\r\nIf-None-Match: \"1\"\r\nIf-Range: \"1\"\r\nIf-Match: *\r\nIf-Modified-Since: x\r\n"
		"If-Unmodified-Since: x\r\nRange: bytes=1-\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n"
		"Proxy-Authorization: Basic y\r\nPmc-Url: http://evil.test/\r\npmc-from: 3\r\nX-Other: 2\r\n"
		"X-Forwarded-For: 192.0.2.1\r\nVia: 1.1 a\r\nAccept-Encoding: gzip\r\nExpect: 100-continue\r\n"
		"Content-Length: 0\r\n\r\n",
		&client);
	ask.request = &client;
	ask.from = 65536;
	ask.order = 3;
	peer_link_format(&b, &ask);
	assert_false(b.full);
	buf_putc(&b, '\0');
	assert_string_equal(
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nHost: edge2\r\nPmc-Url: " URL
		"\r\nPmc-Order: 3\r\nPmc-From: 65536\r\nAccept: a/b\r\nX-Other: 2\r\nAccept-Encoding: gzip\r\n"
		"\r\n",
		text);
	b = buf_over(text, sizeof(text));
	ask = ask_of();
	ask.head_only = true;
	peer_link_format(&b, &ask);
	buf_putc(&b, '\0');
	assert_string_equal("HEAD /.pmc/v1/object/" HEX " HTTP/1.1\r\nHost: edge2\r\nPmc-Url: " URL "\r\n\r\n", text);
	b = buf_over(text, 100);
	peer_link_format(&b, &ask);
	assert_true(b.full);
}

static void test_parse(void **state)
{
	struct peer_link_ask ask = ask_of();
	struct peer_link_request r;
	struct http1_request h;
	char text[4096];
	struct buf b = buf_over(text, sizeof(text));

	(void)state;
	ask.from = 9223372036854775807;
	ask.order = 4294967295;
	peer_link_format(&b, &ask);
	buf_putc(&b, '\0');
	parse_request(text, &h);
	assert_true(peer_link_parse(&h, &r));
	assert_true(key_same(&ask.key, &r.key));
	assert_true(span_eq(SPAN(URL), r.store_id));
	assert_int_equal(ask.from, r.from);
	assert_int_equal(ask.order, r.order);
}

static void test_parse_hostile(void **state)
{
	static const char *const bad[] = {
		"POST /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url:\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\nPmc-Url: " URL "\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\nPmc-From: -1\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\nPmc-From: 9223372036854775808\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\nPmc-From: 1\r\nPMC-FROM: 1\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\nPmc-Order: 4294967296\r\n\r\n",
		"GET /.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\nPmc-Order: 1x\r\n\r\n",
		"GET /.pmc/v1/object/" HEX "0 HTTP/1.1\r\nPmc-Url: " URL "\r\n\r\n",
		"GET /.pmc/v1/object/" HEX "?x HTTP/1.1\r\nPmc-Url: " URL "\r\n\r\n",
		"GET /.pmc/v1/object/00 HTTP/1.1\r\nPmc-Url: " URL "\r\n\r\n",
		"GET /.pmc/v1/object/000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F HTTP/1.1\r\n"
		"Pmc-Url: " URL "\r\n\r\n",
		"GET /.pmc/v1/object/g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f HTTP/1.1\r\n"
		"Pmc-Url: " URL "\r\n\r\n",
		"GET http://x.test/.pmc/v1/object/" HEX " HTTP/1.1\r\nPmc-Url: " URL "\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct peer_link_request r;
		struct http1_request h;

		parse_request(bad[i], &h);
		if (peer_link_parse(&h, &r))
			fail_msg("taken: %s", bad[i]);
	}
}

/* ---- answers ---- */

#define OK "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"

static enum peer_link_verdict read_answer(const char *text, const struct peer_link_ask *ask,
					  struct peer_link_reply *out)
{
	struct http1_response r;
	size_t scanned = 0;
	enum reason why;

	if (http1_parse_response(span_str(text), &scanned, 65536, ask->head_only ? METHOD_HEAD : METHOD_GET, &r,
				 &why) != HTTP1_DONE)
		fail_msg("not an answer: %s", text);
	return peer_link_read(&r, ask, out);
}

static void test_read(void **state)
{
	struct peer_link_ask ask = ask_of();
	struct peer_link_reply r;

	(void)state;
	assert_int_equal(PEER_LINK_OBJECT, read_answer(OK "\r\n", &ask, &r));
	assert_false(r.has_length || r.has_digest);
	assert_int_equal(0, r.order);
	ask.from = 10;
	ask.order = 3;
	assert_int_equal(PEER_LINK_OBJECT, read_answer(OK "Pmc-Length: 1048576\r\nPmc-From: 10\r\nPmc-Order: 2\r\n"
							  "Pmc-Digest: " HEX "\r\n\r\n",
						       &ask, &r));
	assert_true(r.has_length && r.has_digest);
	assert_int_equal(1048576, r.length);
	assert_int_equal(10, r.from);
	assert_int_equal(2, r.order);
	assert_int_equal(31, r.digest[31]);
	ask = ask_of();
	ask.head_only = true;
	assert_int_equal(PEER_LINK_OBJECT,
			 read_answer("HTTP/1.1 200 OK\r\nPmc-Digest: " HEX "\r\nPmc-Length: 7\r\n\r\n", &ask, &r));
	assert_int_equal(7, r.length);
	assert_int_equal(PEER_LINK_REFUSED, read_answer("HTTP/1.1 200 OK\r\nPmc-Length: 7\r\n\r\n", &ask, &r));
	assert_int_equal(PEER_FALSE_BAD, r.why);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *answer;
		enum peer_false why;
		uint32_t wait_ms;
	} t[] = {
		{"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", PEER_FALSE_GONE, 0},
		{"HTTP/1.1 404 No\r\nContent-Length: 0\r\nPmc-Why: stale\r\n\r\n", PEER_FALSE_STALE, 0},
		{"HTTP/1.1 404 No\r\nContent-Length: 0\r\nPmc-Why: digest\r\n\r\n", PEER_FALSE_GONE, 0},
		{"HTTP/1.1 404 No\r\nContent-Length: 0\r\nPmc-Why: stale\r\nPmc-Why: vary\r\n\r\n", PEER_FALSE_GONE, 0},
		{"HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n", PEER_FALSE_BUSY, 0},
		{"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n", PEER_FALSE_VARY, 0},
		{"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", PEER_FALSE_BUSY, 100},
		{"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After-Ms: 250\r\n\r\n", PEER_FALSE_BUSY, 250},
		{"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After-Ms: 9999999999\r\n\r\n", PEER_FALSE_BUSY, 60000},
		{"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After-Ms: soon\r\n\r\n", PEER_FALSE_BUSY, 100},
		{"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", PEER_FALSE_BAD, 0},
		{"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", PEER_FALSE_GONE, 0},
		{"HTTP/1.1 206 Part\r\nTransfer-Encoding: chunked\r\nPmc-From: 10\r\n\r\n", PEER_FALSE_BAD, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nPmc-From: 10\r\n\r\n", PEER_FALSE_BAD, 0},
		{"HTTP/1.1 200 OK\r\nPmc-From: 10\r\n\r\n", PEER_FALSE_BAD, 0}, /* until the end of the connection */
		{OK "\r\n", PEER_FALSE_BAD, 0},                                 /* not from where it was asked for */
		{OK "Pmc-From: 11\r\n\r\n", PEER_FALSE_BAD, 0},
		{OK "Pmc-From: 10\r\nPmc-From: 10\r\n\r\n", PEER_FALSE_BAD, 0},
		{OK "Pmc-From: 10\r\nPmc-Length: 9\r\n\r\n", PEER_FALSE_BAD, 0},
		{OK "Pmc-From: 10\r\nPmc-Length: 99999999999999999999\r\n\r\n", PEER_FALSE_BAD, 0},
		{OK "Pmc-From: 10\r\nPmc-Order: 3\r\n\r\n", PEER_FALSE_BAD, 0},
		{OK "Pmc-From: 10\r\nPmc-Digest: 12\r\n\r\n", PEER_FALSE_BAD, 0},
		{OK "Pmc-From: 10\r\nPmc-Digest: " HEX "\r\nPmc-Digest: " HEX "\r\n\r\n", PEER_FALSE_BAD, 0},
	};
	struct peer_link_ask ask = ask_of();

	(void)state;
	ask.from = 10;
	ask.order = 3;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct peer_link_reply r;

		if (read_answer(t[i].answer, &ask, &r) != PEER_LINK_REFUSED || r.why != t[i].why ||
		    r.wait_ms != t[i].wait_ms)
			fail_msg("%s: %s, %u ms", t[i].answer, peer_false_word(r.why), r.wait_ms);
	}
}

static void test_digest(void **state)
{
	struct hdrs h = {0};
	uint8_t digest[32];

	(void)state;
	assert_false(peer_link_digest(&h, digest));
	hdr_add(&h, SPAN("pmc-digest"), SPAN(HEX));
	assert_true(peer_link_digest(&h, digest));
	assert_int_equal(17, digest[17]);
	hdr_add(&h, SPAN("Pmc-Digest"), SPAN(HEX));
	assert_false(peer_link_digest(&h, digest));
	h = (struct hdrs){0};
	hdr_add(&h, SPAN("Pmc-Digest"), SPAN(HEX "0"));
	assert_false(peer_link_digest(&h, digest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format), cmocka_unit_test(test_parse),    cmocka_unit_test(test_parse_hostile),
		cmocka_unit_test(test_read),   cmocka_unit_test(test_refusals), cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
