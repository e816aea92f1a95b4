#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "node/base/json.h"

static void strings(void **state)
{
	static const struct {
		struct span in;
		const char *want;
	} rows[] = {
		{SPAN(""), "\"\""},
		{SPAN("plain text/9"), "\"plain text/9\""},
		{SPAN("a\"b\\c"), "\"a\\\"b\\\\c\""},
		{SPAN("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\""},
		{SPAN("\0\x01\x0b\x1f\x7f"), "\"\\u0000\\u0001\\u000b\\u001f\\u007f\""},
		{SPAN("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98"), "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98\""},
		{SPAN("\xc3"), "\"\\u00c3\""},                                  /* cut short */
		{SPAN("\xc3("), "\"\\u00c3(\""},                                /* no continuation */
		{SPAN("\xc0\xaf"), "\"\\u00c0\\u00af\""},                       /* overlong */
		{SPAN("\xe0\x80\xaf"), "\"\\u00e0\\u0080\\u00af\""},            /* overlong */
		{SPAN("\xed\xa0\x80"), "\"\\u00ed\\u00a0\\u0080\""},            /* surrogate */
		{SPAN("\xf4\x90\x80\x80"), "\"\\u00f4\\u0090\\u0080\\u0080\""}, /* above the last */
		{SPAN("\xf0\x8f\xbf\xbf"), "\"\\u00f0\\u008f\\u00bf\\u00bf\""},
		{SPAN("\xe2\x82"), "\"\\u00e2\\u0082\""},
		{SPAN("\xff\x80"), "\"\\u00ff\\u0080\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[128];
		struct buf b = buf_over(out, sizeof(out) - 1);

		json_put_string(&b, rows[i].in);
		assert_false(b.full);
		out[b.n] = '\0';
		assert_string_equal(out, rows[i].want);
		assert_true(b.n <= JSON_GROWTH * rows[i].in.n + 2);
	}
}

static void times(void **state)
{
	char out[64], want[64];

	(void)state;
	/* every 61 days and a bit from 1970 to 2200, against the library */
	for (wall_ms t = 0; t < (wall_ms)7258118400000; t += 61 * DUR_DAY + 12345678) {
		struct buf b = buf_over(out, sizeof(out) - 1);
		time_t s = (time_t)(t / 1000);
		struct tm tm;
		size_t n;

		json_put_time(&b, t);
		out[b.n] = '\0';
		gmtime_r(&s, &tm);
		n = strftime(want, sizeof(want), "\"%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(want + n, sizeof(want) - n, ".%03dZ\"", (int)(t % 1000));
		assert_string_equal(out, want);
	}
}

static void the_leap_day_and_before_1970(void **state)
{
	char out[128];
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	json_put_time(&b, (wall_ms)1709164800000);
	json_put_time(&b, (wall_ms)1709251200000);
	json_put_time(&b, -5);
	assert_true(span_eq(buf_span(&b), SPAN("\"2024-02-29T00:00:00.000Z\"\"2024-03-01T00:00:00.000Z\""
					       "\"1970-01-01T00:00:00.000Z\"")));
}

static void ratios(void **state)
{
	static const struct {
		uint64_t part, whole;
		const char *text;
	} rows[] = {
		{0, 0, "null"},
		{5, 0, "null"},
		{0, 3, "0.0000"},
		{1, 3, "0.3333"},
		{2, 3, "0.6667"},
		{3, 3, "1.0000"},
		{7, 2, "3.5000"},
		{1, 1000000, "0.0000"},
		{UINT64_MAX, UINT64_MAX, "1.0000"},
		{UINT64_MAX / 4, UINT64_MAX, "0.2500"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[64];
		struct buf b = buf_over(out, sizeof(out) - 1);

		json_put_ratio(&b, rows[i].part, rows[i].whole);
		out[b.n] = '\0';
		assert_string_equal(rows[i].text, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings),
		cmocka_unit_test(times),
		cmocka_unit_test(the_leap_day_and_before_1970),
		cmocka_unit_test(ratios),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
