#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/hdr.h"

static void fill(struct hdrs *h, const char *const *pairs)
{
	h->n = 0;
	h->seen = 0;
	for (; pairs[0]; pairs += 2)
		assert_int_equal(hdr_add(h, span_str(pairs[0]), span_str(pairs[1])), 0);
}

static void assert_span(struct span s, const char *text)
{
	assert_int_equal(s.n, strlen(text));
	assert_memory_equal(s.p, text, s.n);
}

static void test_every_name_has_its_id(void **state)
{
	(void)state;
	for (int id = HDR_OTHER + 1; id < HDR_COUNT; id++) {
		struct span name = hdr_name((enum hdr_id)id);
		char upper[64], lower[64];

		assert_in_range(name.n, 1, 25);
		for (size_t i = 0; i < name.n; i++) {
			char c = name.p[i];

			upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
			lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
		assert_int_equal(hdr_id(name), id);
		assert_int_equal(hdr_id(span_of(upper, name.n)), id);
		assert_int_equal(hdr_id(span_of(lower, name.n)), id);
	}
}

/* One bit changed, one character less or more: never an id, save for the bit that makes another case of a letter. */
static void test_near_names_have_none(void **state)
{
	(void)state;
	for (int id = HDR_OTHER + 1; id < HDR_COUNT; id++) {
		struct span name = hdr_name((enum hdr_id)id);
		char near[64];

		for (size_t i = 0; i < name.n; i++) {
			for (int bit = 0; bit < 8; bit++) {
				bool is_letter = (name.p[i] | 0x20) >= 'a' && (name.p[i] | 0x20) <= 'z';

				memcpy(near, name.p, name.n);
				near[i] = (char)(near[i] ^ (1 << bit));
				if (bit == 5 && is_letter)
					assert_int_equal(hdr_id(span_of(near, name.n)), id);
				else
					assert_int_not_equal(hdr_id(span_of(near, name.n)), id);
			}
		}
		memcpy(near, name.p, name.n);
		near[name.n] = 's';
		assert_int_not_equal(hdr_id(span_of(near, name.n + 1)), id);
		assert_int_not_equal(hdr_id(span_of(near, name.n - 1)), id);
	}
	assert_int_equal(hdr_id(SPAN("")), HDR_OTHER);
	assert_int_equal(hdr_id(SPAN_NONE), HDR_OTHER);
	assert_int_equal(hdr_id(SPAN("Content-Length ")), HDR_OTHER);
	assert_int_equal(hdr_id(SPAN("Content_Length")), HDR_OTHER);
	assert_int_equal(hdr_id(SPAN("Content\rLength")), HDR_OTHER);
	assert_int_equal(hdr_id(SPAN("Content-MD\x15")), HDR_OTHER);
}

static void test_look_up(void **state)
{
	static const char *const pairs[] = {"vary",    "Accept", "X-Own", "1", "VARY", "Cookie",
					    "x-other", "2",      "Age",   "",  NULL};
	struct hdrs h;

	(void)state;
	fill(&h, pairs);
	assert_int_equal(h.n, 5);
	assert_true(hdr_has(&h, HDR_VARY));
	assert_false(hdr_has(&h, HDR_HOST));
	assert_int_equal(hdr_count(&h, HDR_VARY), 2);
	assert_int_equal(hdr_count(&h, HDR_HOST), 0);
	assert_ptr_equal(hdr_get(&h, HDR_VARY), &h.v[0]);
	assert_null(hdr_get(&h, HDR_HOST));
	assert_span(hdr_value(&h, HDR_VARY), "Accept");
	assert_null(hdr_value(&h, HDR_HOST).p);
	assert_non_null(hdr_value(&h, HDR_AGE).p);
	assert_ptr_equal(hdr_find(&h, SPAN("X-OTHER")), &h.v[3]);
	assert_ptr_equal(hdr_find(&h, SPAN("Vary")), &h.v[0]);
	assert_null(hdr_find(&h, SPAN("X-Third")));
	assert_null(hdr_find(&h, SPAN("Host")));
	assert_span(h.v[2].name, "VARY");
}

static void test_full_table(void **state)
{
	struct hdrs h;

	(void)state;
	h.n = 0;
	h.seen = 0;
	for (int i = 0; i < HDR_MAX_FIELDS; i++)
		assert_int_equal(hdr_add(&h, SPAN("A"), SPAN("b")), 0);
	assert_int_equal(hdr_add(&h, SPAN("Host"), SPAN("b")), -1);
	assert_int_equal(h.n, HDR_MAX_FIELDS);
	assert_false(hdr_has(&h, HDR_HOST));
}

/* Members joined by '|', of all Vary fields. */
static void assert_members(const char *const *pairs, const char *expected)
{
	struct hdr_list it = {0};
	struct hdrs h;
	char got[256];
	struct buf b = buf_over(got, sizeof(got));

	fill(&h, pairs);
	while (hdr_next(&h, HDR_VARY, &it)) {
		buf_put(&b, it.member);
		buf_putc(&b, '|');
	}
	assert_false(hdr_next(&h, HDR_VARY, &it));
	assert_span(buf_span(&b), expected);
}

static void test_lists(void **state)
{
	static const struct {
		const char *pairs[7], *expected;
	} rows[] = {
		{{"Vary", "a", NULL}, "a|"},
		{{"Vary", "a,b", "Host", "x", "vary", " c ,\td", NULL}, "a|b|c|d|"},
		{{"Vary", "", NULL}, ""},
		{{"Vary", ",, ,a,, ,", "Vary", "", "Vary", "b", NULL}, "a|b|"},
		{{"Vary", "a=\"x,y\", b", NULL}, "a=\"x,y\"|b|"},
		{{"Vary", "\"x\\\",y\",z", NULL}, "\"x\\\",y\"|z|"},
		{{"Vary", "a\\,b", NULL}, "a\\|b|"},
		{{"Vary", "\"open,a", "Vary", "b", NULL}, "\"open,a|b|"},
		{{"Vary", "\"open\\", NULL}, "\"open\\|"},
		{{"Host", "a", NULL}, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_members(rows[i].pairs, rows[i].expected);
}

static void test_hop_by_hop(void **state)
{
	static const char *const pairs[] = {"Connection",
					    "close, X-Hop, ETag, Host, content-length",
					    "Keep-Alive",
					    "1",
					    "Proxy-Connection",
					    "1",
					    "TE",
					    "1",
					    "Trailer",
					    "1",
					    "Transfer-Encoding",
					    "1",
					    "Upgrade",
					    "1",
					    "Proxy-Authenticate",
					    "1",
					    "Proxy-Authorization",
					    "1",
					    "Proxy-Authentication-Info",
					    "1",
					    "x-hop",
					    "1",
					    "ETag",
					    "1",
					    "Connection",
					    "x-second,authorization,Cache-Control",
					    "X-Second",
					    "1",
					    "Host",
					    "1",
					    "Content-Length",
					    "1",
					    "Authorization",
					    "1",
					    "Cache-Control",
					    "1",
					    "X-End",
					    "1",
					    "Via",
					    "1",
					    NULL};
	const unsigned first_end_to_end = 14;
	struct hdrs h;

	(void)state;
	fill(&h, pairs);
	assert_int_equal(h.n, 20);
	for (unsigned i = 0; i < h.n; i++)
		assert_int_equal(hdr_is_hop_by_hop(&h, &h.v[i]), i < first_end_to_end);
	assert_true(hdr_hop_by_hop_ids(&h) & 1ull << HDR_OTHER);
	assert_true(hdr_hop_by_hop_ids(&h) & 1ull << HDR_ETAG);
	assert_false(hdr_hop_by_hop_ids(&h) & 1ull << HDR_AUTHORIZATION);
	h.n = 0;
	h.seen = 0;
	assert_int_equal(hdr_add(&h, SPAN("X-Hop"), SPAN("1")), 0);
	assert_false(hdr_is_hop_by_hop(&h, &h.v[0]));
	assert_false(hdr_hop_by_hop_ids(&h) & 1ull << HDR_OTHER);
}

static void test_internal(void **state)
{
	static const struct {
		const char *name;
		bool internal;
	} rows[] = {
		{"Pmc-Hop", true},  {"pmc-hop", true}, {"PMC-", true},    {"pMc-x", true},
		{"Pmc", false},     {"P", false},      {"Pmcx-y", false}, {"Pragma", false},
		{"X-Pmc-a", false}, {"0mc-a", false},  {"Via", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hdr f = {span_str(rows[i].name), SPAN("1"), hdr_id(span_str(rows[i].name))};

		assert_int_equal(hdr_is_internal(&f), rows[i].internal);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_name_has_its_id),
		cmocka_unit_test(test_near_names_have_none),
		cmocka_unit_test(test_look_up),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_hop_by_hop),
		cmocka_unit_test(test_internal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
