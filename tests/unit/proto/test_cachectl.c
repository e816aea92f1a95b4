#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/cachectl.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NO CACHECTL_NONE

static void assert_span(struct span s, const char *expected)
{
	if (!span_eq(s, span_str(expected)))
		fail_msg("\"%.*s\" instead of \"%s\"", SPAN_ARG(s), expected);
}

static void flags_are_read(void **state)
{
	static const struct {
		const char *value;
		uint32_t flags;
	} rows[] = {
		{"", 0},
		{"no-cache", CACHECTL_NO_CACHE},
		{"No-Cache, NO-STORE", CACHECTL_NO_CACHE | CACHECTL_NO_STORE},
		{" , ,no-transform,,", CACHECTL_NO_TRANSFORM},
		{"only-if-cached", CACHECTL_ONLY_IF_CACHED},
		{"must-revalidate,proxy-revalidate", CACHECTL_MUST_REVALIDATE | CACHECTL_PROXY_REVALIDATE},
		{"must-understand, no-store", CACHECTL_MUST_UNDERSTAND | CACHECTL_NO_STORE},
		{"public, immutable", CACHECTL_PUBLIC | CACHECTL_IMMUTABLE},
		{"private", CACHECTL_PRIVATE},
		{"private=\"set-cookie\"", CACHECTL_PRIVATE_FIELDS},
		{"private=\"set-cookie\", private", CACHECTL_PRIVATE},
		{"private, private=\"set-cookie\"", CACHECTL_PRIVATE},
		{"private=\"a\", private=\"b\"", CACHECTL_PRIVATE},
		{"private=\"\"", CACHECTL_PRIVATE},
		{"private=\"never closed", CACHECTL_PRIVATE},
		{"no-cache=\"a, no-store, b\"", CACHECTL_NO_CACHE_FIELDS},
		{"no-cache=a", CACHECTL_NO_CACHE_FIELDS},
		{"no-cache=\"a\\\", no-store\"", CACHECTL_NO_CACHE_FIELDS},
		{"no-store=1", CACHECTL_NO_STORE},
		{"no-store extra", CACHECTL_NO_STORE},
		{"no-storex, xno-store, no_store", 0},
		{"community=\"no-store\"", 0},
		{"=no-store", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cachectl cc;

		cachectl_init(&cc);
		cachectl_add(&cc, span_str(rows[i].value));
		if (cc.flags != (rows[i].flags | CACHECTL_PRESENT))
			fail_msg("%s: %x", rows[i].value, cc.flags);
	}
}

static void lists_of_fields_are_kept(void **state)
{
	struct cachectl cc;

	(void)state;
	cachectl_init(&cc);
	cachectl_add(&cc, SPAN("no-cache=\"set-cookie, x-a\" , private=x-b"));
	assert_span(cc.no_cache_fields, "set-cookie, x-a");
	assert_span(cc.private_fields, "x-b");
	cachectl_add(&cc, SPAN("no-cache"));
	assert_int_equal(cc.no_cache_fields.n, 0);
	assert_span(cc.private_fields, "x-b");
}

static void seconds_are_read(void **state)
{
	static const struct {
		const char *value;
		int64_t max_age, s_maxage, min_fresh, max_stale, swr, sie;
	} rows[] = {
		{"", NO, NO, NO, NO, NO, NO},
		{"max-age=60", 60, NO, NO, NO, NO, NO},
		{"MAX-AGE=\"60\"", 60, NO, NO, NO, NO, NO},
		{"max-age=0060", 60, NO, NO, NO, NO, NO},
		{"max-age=2147483647", 2147483647, NO, NO, NO, NO, NO},
		{"max-age=2147483648", CACHECTL_MAX_S, NO, NO, NO, NO, NO},
		{"max-age=99999999999999999999999999999999", CACHECTL_MAX_S, NO, NO, NO, NO, NO},
		{"max-age=60, max-age=30, max-age=90", 30, NO, NO, NO, NO, NO},
		{"max-age", 0, NO, NO, NO, NO, NO},
		{"max-age=", 0, NO, NO, NO, NO, NO},
		{"max-age=-1", 0, NO, NO, NO, NO, NO},
		{"max-age=+1", 0, NO, NO, NO, NO, NO},
		{"max-age=1.5", 0, NO, NO, NO, NO, NO},
		{"max-age=60s", 0, NO, NO, NO, NO, NO},
		{"max-age =60", 0, NO, NO, NO, NO, NO},
		{"max-age= 60", 60, NO, NO, NO, NO, NO},
		{"max-age=\"60\"x", 0, NO, NO, NO, NO, NO},
		{"max-age=\"60", 0, NO, NO, NO, NO, NO},
		{"max-age=60 , s-maxage=30", 60, 30, NO, NO, NO, NO},
		{"min-fresh=10, min-fresh=20, min-fresh=x", NO, NO, 20, NO, NO, NO},
		{"max-stale", NO, NO, NO, CACHECTL_MAX_S, NO, NO},
		{"max-stale=5", NO, NO, NO, 5, NO, NO},
		{"max-stale, max-stale=5", NO, NO, NO, 5, NO, NO},
		{"max-stale=x", NO, NO, NO, NO, NO, NO},
		{"stale-while-revalidate=7, stale-if-error=8", NO, NO, NO, NO, 7, 8},
		{"stale-if-error=x", NO, NO, NO, NO, NO, 0},
		{"x-max-age=60, max-agee=60", NO, NO, NO, NO, NO, NO},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cachectl cc;

		cachectl_init(&cc);
		cachectl_add(&cc, span_str(rows[i].value));
		if (cc.max_age != rows[i].max_age || cc.s_maxage != rows[i].s_maxage ||
		    cc.min_fresh != rows[i].min_fresh || cc.max_stale != rows[i].max_stale ||
		    cc.stale_while_revalidate != rows[i].swr || cc.stale_if_error != rows[i].sie)
			fail_msg("%s", rows[i].value);
	}
}

static void all_fields_of_a_message_count(void **state)
{
	struct hdrs h = {0};
	struct cachectl cc;

	(void)state;
	cachectl_response(&h, &cc);
	assert_int_equal(cc.flags, 0);
	assert_int_equal(cc.max_age, CACHECTL_NONE);
	hdr_add(&h, SPAN("cache-control"), SPAN("max-age=60"));
	hdr_add(&h, SPAN("Other"), SPAN("no-store"));
	hdr_add(&h, SPAN("Cache-Control"), SPAN("public, max-age=50"));
	cachectl_response(&h, &cc);
	assert_int_equal(cc.flags, CACHECTL_PRESENT | CACHECTL_PUBLIC);
	assert_int_equal(cc.max_age, 50);
}

static void pragma_stands_in_for_requests_only(void **state)
{
	struct hdrs h = {0};
	struct cachectl cc;

	(void)state;
	hdr_add(&h, SPAN("Pragma"), SPAN("x, No-Cache"));
	cachectl_request(&h, &cc);
	assert_true(cachectl_has(&cc, CACHECTL_NO_CACHE));
	cachectl_response(&h, &cc);
	assert_false(cachectl_has(&cc, CACHECTL_NO_CACHE));
	hdr_add(&h, SPAN("Cache-Control"), SPAN("max-age=5"));
	cachectl_request(&h, &cc);
	assert_false(cachectl_has(&cc, CACHECTL_NO_CACHE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_are_read),
		cmocka_unit_test(lists_of_fields_are_kept),
		cmocka_unit_test(seconds_are_read),
		cmocka_unit_test(all_fields_of_a_message_count),
		cmocka_unit_test(pragma_stands_in_for_requests_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
