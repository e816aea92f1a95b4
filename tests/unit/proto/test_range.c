#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/range.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MAX 9999999999999999999ull /* 19 digits */

static void range_fields(void **state)
{
	static const struct {
		const char *value;
		enum range_kind kind;
		uint64_t first, last;
	} rows[] = {
		{"bytes=0-0", RANGE_CLOSED, 0, 0},
		{"bytes=0-499", RANGE_CLOSED, 0, 499},
		{"Bytes=5-9", RANGE_CLOSED, 5, 9},
		{"bytes= 5-9 ", RANGE_CLOSED, 5, 9},
		{"bytes=9-", RANGE_OPEN, 9, 0},
		{"bytes=-9", RANGE_SUFFIX, 0, 9},
		{"bytes=-0", RANGE_SUFFIX, 0, 0},
		{"bytes=0-9999999999999999999", RANGE_CLOSED, 0, MAX},
		{"bytes=0-99999999999999999999", RANGE_WHOLE, 0, 0},
		{"bytes=0-1,5-6", RANGE_WHOLE, 0, 0},
		{"bytes=9-5", RANGE_WHOLE, 0, 0},
		{"bytes=-", RANGE_WHOLE, 0, 0},
		{"bytes=", RANGE_WHOLE, 0, 0},
		{"bytes", RANGE_WHOLE, 0, 0},
		{"bytes=a-b", RANGE_WHOLE, 0, 0},
		{"bytes=1 - 2", RANGE_WHOLE, 0, 0},
		{"bytes=+1-2", RANGE_WHOLE, 0, 0},
		{"bytes=--2", RANGE_WHOLE, 0, 0},
		{"bytes=1-2-3", RANGE_WHOLE, 0, 0},
		{"bytes 1-2", RANGE_WHOLE, 0, 0},
		{"items=0-5", RANGE_WHOLE, 0, 0},
		{"", RANGE_WHOLE, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct range r;

		range_parse(span_str(rows[i].value), &r);
		if (r.kind != rows[i].kind)
			fail_msg("%s: kind %d", rows[i].value, (int)r.kind);
		if (r.kind == RANGE_CLOSED || r.kind == RANGE_OPEN)
			assert_true(r.first == rows[i].first);
		if (r.kind == RANGE_CLOSED || r.kind == RANGE_SUFFIX)
			assert_true(r.last == rows[i].last);
	}
	range_parse(SPAN_NONE, &(struct range){0});
}

static void against_a_length(void **state)
{
	static const struct {
		const char *value;
		uint64_t length;
		enum range_fit fit;
		uint64_t start, n;
	} rows[] = {
		{"bytes=0-0", 10, RANGE_FITS, 0, 1},
		{"bytes=0-9", 10, RANGE_FITS, 0, 10},
		{"bytes=0-10", 10, RANGE_FITS, 0, 10},
		{"bytes=9-9", 10, RANGE_FITS, 9, 1},
		{"bytes=3-5", 10, RANGE_FITS, 3, 3},
		{"bytes=10-12", 10, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=4-", 10, RANGE_FITS, 4, 6},
		{"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-4", 10, RANGE_FITS, 6, 4},
		{"bytes=-40", 10, RANGE_FITS, 0, 10},
		{"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-4", 0, RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=1-9999999999999999999", 10, RANGE_FITS, 1, 9},
		{"bytes=0-9999999999999999999", UINT64_MAX, RANGE_FITS, 0, MAX + 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct range r;
		uint64_t start = 0, n = 0;

		range_parse(span_str(rows[i].value), &r);
		if (range_resolve(&r, rows[i].length, &start, &n) != rows[i].fit)
			fail_msg("%s", rows[i].value);
		if (rows[i].fit != RANGE_FITS)
			continue;
		assert_true(start == rows[i].start);
		assert_true(n == rows[i].n);
	}
}

static void content_range_fields(void **state)
{
	static const struct {
		const char *value;
		int result;
		struct content_range range;
	} rows[] = {
		{"bytes 0-9/100", 0, {false, true, 0, 10, 100}},
		{"bytes 99-99/100", 0, {false, true, 99, 1, 100}},
		{"bytes 5-9/*", 0, {false, false, 5, 5, 0}},
		{"bytes */100", 0, {true, true, 0, 0, 100}},
		{"bytes */*", -1, {0}},
		{"bytes 0-100/100", -1, {0}},
		{"bytes 9-5/100", -1, {0}},
		{"bytes 0-9", -1, {0}},
		{"bytes 0-9/", -1, {0}},
		{"bytes -9/100", -1, {0}},
		{"bytes 0-/100", -1, {0}},
		{"bytes=0-9/100", -1, {0}},
		{"items 0-9/100", -1, {0}},
		{"bytes  0-9/100", -1, {0}},
		{"bytes 0-9/100/2", -1, {0}},
		{"", -1, {0}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct content_range r;

		if (range_parse_content(span_str(rows[i].value), &r) != rows[i].result)
			fail_msg("%s", rows[i].value);
		if (rows[i].result != 0)
			continue;
		assert_int_equal(r.unsatisfied, rows[i].range.unsatisfied);
		assert_int_equal(r.length_known, rows[i].range.length_known);
		assert_true(r.start == rows[i].range.start && r.n == rows[i].range.n &&
			    r.length == rows[i].range.length);
	}
}

static void formats(void **state)
{
	char mem[64];
	struct buf b = buf_over(mem, sizeof(mem));

	(void)state;
	range_format_content(&b, 5, 10, 100);
	assert_true(span_eq(buf_span(&b), SPAN("bytes 5-14/100")));
	b.n = 0;
	range_format_unsatisfied(&b, 100);
	assert_true(span_eq(buf_span(&b), SPAN("bytes */100")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_fields),
		cmocka_unit_test(against_a_length),
		cmocka_unit_test(content_range_fields),
		cmocka_unit_test(formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
