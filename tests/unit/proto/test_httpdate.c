#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/httpdate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 1795438800000 /* in 2026 */

static void the_three_forms_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} rows[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
		{"Sun Nov  6 08:49:37 1994", 784111777},
		{"Wed Nov 16 08:49:37 1994", 784975777},
		{"Mon, 06 Nov 1994 08:49:37 GMT", 784111777}, /* it was a Sunday */
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Wed, 31 Dec 1969 23:59:59 GMT", -1},
		{"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
		{"Tue, 29 Feb 2000 12:00:00 GMT", 951825600},
		{"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800}, /* leap second */
		{"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
		{"Tue, 19 Jan 2038 03:14:08 GMT", 2147483648},
		{"Thursday, 01-Jan-70 00:00:00 GMT", 3155760000}, /* 2070: not more than 50 years ahead */
		{"Friday, 01-Jan-77 00:00:00 GMT", 220924800},    /* 1977: 2077 would be */
		{"Saturday, 01-Jan-00 00:00:00 GMT", 946684800},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		wall_ms t;

		if (httpdate_parse(span_str(rows[i].text), NOW, &t) != 0)
			fail_msg("%s: refused", rows[i].text);
		if (t != rows[i].seconds * 1000)
			fail_msg("%s: %lld", rows[i].text, (long long)t);
	}
}

static void all_else_is_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"0",
		"-1",
		"now",
		"784111777",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT",
		"Xxx, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Xxx 1994 08:49:37 GMT",
		"Sun,  6 Nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 29 Feb 2023 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT",
		"Sun, 06 Nov 1994 08.49.37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT",
		"Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 UTC",
		"Sunday, 06-Nov-1994 08:49:37 GMT",
		"Someday, 06-Nov-94 08:49:37 GMT",
		"Sunday",
		"Sunday,",
		"Sunday, 06-Nov-xx 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994",
		"Sun Nov  0 08:49:37 1994",
		"Sun Nov 06 08:49:37 19945",
		"Sun Nov  6 08:49:37 94  ",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		wall_ms t = 5;

		if (httpdate_parse(span_str(rows[i]), NOW, &t) == 0)
			fail_msg("%s: taken", rows[i]);
		assert_true(t == HTTPDATE_NONE);
	}
}

static void formats_as_it_reads(void **state)
{
	char text[HTTPDATE_BYTES + 1] = "";

	(void)state;
	httpdate_format(784111777999, text);
	assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
	httpdate_format(-1, text);
	assert_string_equal(text, "Wed, 31 Dec 1969 23:59:59 GMT");
	httpdate_format(INT64_MAX, text);
	assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	httpdate_format(INT64_MIN, text);
	assert_string_equal(text, "Sat, 01 Jan 0000 00:00:00 GMT");
}

static void every_day_of_three_centuries_comes_back(void **state)
{
	(void)state;
	for (int64_t day = -70 * 365; day < 230 * 366; day++) {
		wall_ms t = day * 86400000 + (day & 65535) * 1000, back;
		char text[HTTPDATE_BYTES];

		httpdate_format(t, text);
		assert_int_equal(httpdate_parse(span_of(text, sizeof(text)), NOW, &back), 0);
		assert_true(back == t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_three_forms_are_read),
		cmocka_unit_test(all_else_is_refused),
		cmocka_unit_test(formats_as_it_reads),
		cmocka_unit_test(every_day_of_three_centuries_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
