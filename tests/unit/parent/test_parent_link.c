#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "parent/parent_link.h"

static void fill(struct hdrs *h, const char *const *pairs)
{
	h->n = 0;
	h->seen = 0;
	for (; pairs[0]; pairs += 2)
		assert_int_equal(hdr_add(h, span_str(pairs[0]), span_str(pairs[1])), 0);
}

static void assert_put(const struct parent_link_ask *ask, const char *text)
{
	char room[PARENT_LINK_FIELD_BYTES];
	struct buf b = buf_over(room, sizeof(room));

	parent_link_put(&b, ask);
	assert_false(b.full);
	assert_int_equal(b.n, strlen(text));
	assert_memory_equal(b.p, text, b.n);
}

static void test_request_fields(void **state)
{
	const struct span lab = SPAN("lab"), edge = SPAN("edge1"), parent = SPAN("parent1");
	struct hdrs none, one, bad;

	(void)state;
	fill(&none, (const char *const[]){"Host", "a.test", NULL});
	fill(&one, (const char *const[]){"Accept", "x", "pmc-hop", "lab 1 edge1", NULL});
	fill(&bad, (const char *const[]){"Pmc-Hop", "lab 2 edge1", NULL});
	assert_put(&(struct parent_link_ask){.cluster = lab, .self = edge}, "Pmc-Hop: lab 1 edge1\r\n");
	assert_put(&(struct parent_link_ask){.cluster = lab, .self = edge, .came_with = &none},
		   "Pmc-Hop: lab 1 edge1\r\n");
	assert_put(&(struct parent_link_ask){.cluster = lab, .self = parent, .came_with = &one},
		   "Pmc-Hop: lab 2 edge1 parent1\r\n");
	assert_put(&(struct parent_link_ask){.cluster = lab, .self = parent, .came_with = &bad},
		   "Pmc-Hop: lab 1 parent1\r\n");
	assert_put(&(struct parent_link_ask){.cluster = lab, .self = edge, .home = parent, .only = true},
		   "Pmc-Hop: lab 1 edge1\r\nPmc-Home: parent1\r\nPmc-Only: 1\r\n");
	assert_put(&(struct parent_link_ask){.cluster = lab, .self = edge, .refresh = true},
		   "Pmc-Hop: lab 1 edge1\r\nPmc-Refresh: 1\r\n");
}

#define LONG "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv" /* 48 */

/* The longest there can be fits. */
static void test_longest_request(void **state)
{
	char room[PARENT_LINK_FIELD_BYTES];
	struct buf b = buf_over(room, sizeof(room));
	struct hdrs h;

	(void)state;
	fill(&h, (const char *const[]){"Pmc-Hop", LONG " 3 " LONG " " LONG " " LONG, NULL});
	parent_link_put(
		&b,
		&(struct parent_link_ask){
			.cluster = SPAN(LONG), .self = SPAN(LONG), .came_with = &h, .home = SPAN(LONG), .only = true});
	assert_false(b.full);
	b.n = 10;
	b.cap = 10;
	parent_link_put(&b, &(struct parent_link_ask){.cluster = SPAN("lab"), .self = SPAN("edge1")});
	assert_true(b.full);
}

static void test_hops(void **state)
{
	static const struct {
		const char *value; /* NULL: no field */
		enum reason why;
	} rows[] = {
		{NULL, REASON_NONE},
		{"lab 1 edge1", REASON_NONE},
		{"lab 3 edge1 parent2 parent3", REASON_NONE},
		{"lab 1 parent1", REASON_LOOP},
		{"lab 2 edge1 parent1", REASON_LOOP},
		{"lab 2 parent1 edge1", REASON_LOOP},
		{"lab 1 parent11", REASON_NONE},
		{"lab 4 a b c d", REASON_LOOP},
		{"lab 3 a b c d", REASON_LOOP},
		{"other 1 edge1", REASON_LOOP},
		{"lab 2 edge1", REASON_LOOP},
		{"lab 1 edge1 edge2", REASON_LOOP},
		{"lab 0 edge1", REASON_LOOP},
		{"lab -1 edge1", REASON_LOOP},
		{"lab 99999999999999999999 edge1", REASON_LOOP},
		{"lab 1  edge1", REASON_LOOP},
		{"lab 1 edge1 ", REASON_LOOP},
		{"lab 1 ed/ge", REASON_LOOP},
		{"lab", REASON_LOOP},
		{"lab 1", REASON_LOOP},
		{"", REASON_LOOP},
		{"1 edge1", REASON_LOOP},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hdrs h;

		fill(&h, (const char *const[]){"X", "y", rows[i].value ? "PMC-Hop" : NULL, rows[i].value, NULL});
		if (parent_link_check_hop(&h, SPAN("lab"), SPAN("parent1")) != rows[i].why)
			fail_msg("\"%s\"", rows[i].value ? rows[i].value : "none");
	}
}

static void test_two_hops_are_none(void **state)
{
	struct hdrs h;

	(void)state;
	fill(&h, (const char *const[]){"Pmc-Hop", "lab 1 edge1", "pmc-hop", "lab 1 edge1", NULL});
	assert_int_equal(parent_link_check_hop(&h, SPAN("lab"), SPAN("parent1")), REASON_LOOP);
}

static void test_only_and_home(void **state)
{
	struct hdrs h;

	(void)state;
	fill(&h, (const char *const[]){"Pmc-Only", "1", "Pmc-Home", "parent2", NULL});
	assert_true(parent_link_is_only(&h));
	assert_true(span_eq(parent_link_home(&h), SPAN("parent2")));
	fill(&h, (const char *const[]){"Pmc-Only", "0", "Pmc-Home", "a b", NULL});
	assert_false(parent_link_is_only(&h));
	assert_int_equal(parent_link_home(&h).n, 0);
	assert_false(parent_link_is_refresh(&h));
	fill(&h, (const char *const[]){"pmc-refresh", "1", NULL});
	assert_true(parent_link_is_refresh(&h));
	fill(&h, (const char *const[]){NULL});
	assert_false(parent_link_is_only(&h));
	assert_int_equal(parent_link_home(&h).n, 0);
}

static void read_fields(const char *const *pairs, struct parent_link_reply *out)
{
	struct http1_response r = {.status = 200};

	fill(&r.fields, pairs);
	parent_link_read(&r, out);
}

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void test_reply(void **state)
{
	static const struct {
		const char *name, *value;
		struct parent_link_reply reply; /* but the digest itself */
	} rows[] = {
		{"X", "y", {.load = -1}},
		{"Pmc-Status", "HIT", {PARENT_SAID_HIT, .load = -1}},
		{"pmc-status", "JOIN", {PARENT_SAID_JOIN, .load = -1}},
		{"Pmc-Status", "MISS", {PARENT_SAID_MISS, .load = -1}},
		{"Pmc-Status", "PASS", {PARENT_SAID_PASS, .load = -1}},
		{"Pmc-Status", "hit", {.load = -1}},
		{"Pmc-Status", "", {.load = -1}},
		{"Pmc-Load", "0", {.load = 0}},
		{"Pmc-Load", "255", {.load = 255}},
		{"Pmc-Load", "256", {.load = -1}},
		{"Pmc-Load", "", {.load = -1}},
		{"Pmc-Load", "-1", {.load = -1}},
		{"Pmc-Error", "dns-no-name", {.load = -1, .error = REASON_DNS_NO_NAME}},
		{"Pmc-Error", "cert-expired", {.load = -1, .error = REASON_CERT_EXPIRED}},
		{"Pmc-Error", "bad-response", {.load = -1, .error = REASON_BAD_RESPONSE}},
		{"Pmc-Error", "denied-host", {.load = -1, .error = REASON_DENIED_HOST}},
		{"Pmc-Error", "only-if-cached", {.load = -1, .error = REASON_ONLY_IF_CACHED}},
		{"Pmc-Error", "too-busy", {.load = -1, .error = REASON_TOO_BUSY, .by_parent = true}},
		{"Pmc-Error", "shutting-down", {.load = -1, .error = REASON_SHUTTING_DOWN, .by_parent = true}},
		{"Pmc-Error", "loop", {.load = -1, .error = REASON_LOOP, .by_parent = true}},
		{"Pmc-Error", "internal", {.load = -1, .error = REASON_INTERNAL, .by_parent = true}},
		{"Pmc-Error", "brand-new", {.load = -1, .error = REASON_BAD_RESPONSE, .by_parent = true}},
		{"Pmc-Error", "none", {.load = -1, .error = REASON_BAD_RESPONSE, .by_parent = true}},
		{"Pmc-Digest", HEX, {.load = -1, .has_digest = true}},
		{"Pmc-Digest", HEX "0", {.load = -1}},
		{"Pmc-Digest", "0011", {.load = -1}},
		{"Pmc-Digest", "g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", {.load = -1}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct parent_link_reply got;

		read_fields((const char *const[]){"Via", "v", rows[i].name, rows[i].value, NULL}, &got);
		assert_int_equal(got.source, rows[i].reply.source);
		assert_int_equal(got.load, rows[i].reply.load);
		assert_int_equal(got.error, rows[i].reply.error);
		assert_int_equal(got.by_parent, rows[i].reply.by_parent);
		assert_int_equal(got.has_digest, rows[i].reply.has_digest);
	}
}

/* What is put is what is read. */
static void test_reply_there_and_back(void **state)
{
	uint8_t digest[32];
	char room[PARENT_LINK_FIELD_BYTES];
	struct buf b = buf_over(room, sizeof(room));
	struct http1_response r;
	struct parent_link_reply got;
	size_t scanned = 0;
	enum reason why;

	(void)state;
	for (unsigned i = 0; i < sizeof(digest); i++)
		digest[i] = (uint8_t)(i * 9);
	buf_put_str(&b, "HTTP/1.1 504 No\r\nContent-Length: 0\r\n");
	parent_link_put_reply(&b, PARENT_SAID_PASS, 300, REASON_READ_TIMEOUT, digest);
	buf_put_str(&b, "\r\n");
	assert_false(b.full);
	assert_int_equal(http1_parse_response(buf_span(&b), &scanned, b.n, METHOD_GET, &r, &why), HTTP1_DONE);
	parent_link_read(&r, &got);
	assert_int_equal(got.source, PARENT_SAID_PASS);
	assert_int_equal(got.load, 255);
	assert_int_equal(got.error, REASON_READ_TIMEOUT);
	assert_false(got.by_parent);
	assert_true(got.has_digest);
	assert_memory_equal(got.digest, digest, sizeof(digest));
	b.n = 0;
	parent_link_put_reply(&b, PARENT_SAID_NOTHING, -1, REASON_NONE, NULL);
	assert_int_equal(b.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_fields),
		cmocka_unit_test(test_longest_request),
		cmocka_unit_test(test_hops),
		cmocka_unit_test(test_two_hops_are_none),
		cmocka_unit_test(test_only_and_home),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_reply_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
