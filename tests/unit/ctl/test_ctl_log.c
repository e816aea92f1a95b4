#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/ctl/ctl_logline.h"
#include "node/ctl/ctl_when.h"

#define NOW ((wall_ms)1795441498122) /* 2026-11-23T13:44:58.122Z */

static void times_are_read_as_people_say_them(void **state)
{
	static const struct {
		const char *text;
		wall_ms want;
	} rows[] = {
		{"0s", NOW},
		{"90s", NOW - 90 * DUR_SECOND},
		{"15m", NOW - 15 * DUR_MINUTE},
		{"2h", NOW - 2 * DUR_HOUR},
		{"3d", NOW - 3 * DUR_DAY},
		{"1w", NOW - 7 * DUR_DAY},
		{"13:30", 1795440600000},
		{"13:44:58", 1795441498000},
		{"13:45", 1795441500000 - DUR_DAY},
		{"2026-11-23", 1795392000000},
		{"2026-11-23T13:30", 1795440600000},
		{"2026-11-23 13:30:05", 1795440605000},
		{"2026-11-23T13:30:05Z", 1795440605000},
		{"2026-11-23T13:44:58.122Z", NOW},
		{"@1795441498", 1795441498000},
	};
	static const char *const bad[] = {"",
					  "h",
					  "2",
					  "2x",
					  "-2h",
					  "1.5h",
					  "24:00",
					  "12:60",
					  "1:30",
					  "2026-13-01",
					  "2026-1-1",
					  "2026-11-23T",
					  "yesterday",
					  "@",
					  "@x",
					  "2h ",
					  "999999h",
					  "1969-01-01",
					  "2026-11-23T13:30Zx"};
	wall_ms t;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (ctl_when_parse(rows[i].text, NOW, &t) != 0 || t != rows[i].want)
			fail_msg("\"%s\" is read as %lld", rows[i].text, (long long)t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ctl_when_parse(bad[i], NOW, &t) == 0)
			fail_msg("\"%s\" is read as %lld", bad[i], (long long)t);
	assert_int_equal(ctl_when_parse_json(SPAN("2026-11-23T13:44:58.122Z"), &t), 0);
	assert_true(t == NOW);
	assert_int_equal(ctl_when_parse_json(SPAN("2026-11-23T13:44:58Z"), &t), -1);
}

static void same(struct span s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	assert_memory_equal(s.p ? s.p : "", want, s.n);
}

static void both_formats_say_the_same(void **state)
{
	static const char *const lines[] = {
		"1795441498.122     12 192.0.2.1 TCP_MISS_ABORTED/200 304 GET http://o.test/a%20b?x=1 job7 HIER_DIRECT/192.0.2.7 text/plain",
		"1795441498.122     12 192.0.2.1 TCP_MISS_ABORTED/200 304 GET http://o.test/a%20b?x=1 job7 HIER_DIRECT/192.0.2.7 text/plain "
		"[A: b\\r\\n] [HTTP/1.1 200 OK\\r\\n]",
		"{\"time\":\"2026-11-23T13:44:58.122Z\",\"elapsed_ms\":12,\"client\":\"192.0.2.1\",\"result\":\"TCP_MISS_ABORTED\",\"status\":200,"
		"\"bytes\":304,\"method\":\"GET\",\"url\":\"http://o.test/a%20b?x=1\",\"user\":\"job7\",\"hierarchy\":\"HIER_DIRECT\","
		"\"peer\":\"192.0.2.7\",\"type\":\"text/plain\",\"cache_status\":null,\"digest\":null,\"id\":\"0000000000000abc\"}",
	};
	struct ctl_logline *l = NEW(struct ctl_logline);

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_true(ctl_logline_parse(span_str(lines[i]), l));
		assert_true(l->time == NOW);
		assert_int_equal(l->elapsed_ms, 12);
		assert_int_equal(l->status, 200);
		assert_int_equal(l->bytes, 304);
		same(l->client, "192.0.2.1");
		same(l->result, "TCP_MISS_ABORTED");
		same(l->method, "GET");
		same(l->url, "http://o.test/a%20b?x=1");
		same(l->user, "job7");
		same(l->hierarchy, "HIER_DIRECT");
		same(l->peer, "192.0.2.7");
		same(l->type, "text/plain");
		same(l->digest, "");
		same(l->id, i == 2 ? "0000000000000abc" : "");
	}
	free(l);
}

static void what_is_missing_is_empty_and_what_is_no_line_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"pmcached: 12 lines were lost",
		"1795441498.122 0 c TCP_HIT/200 1 GET u - HIER_NONE/-",
		"1795441498 0 c TCP_HIT/200 1 GET u - HIER_NONE/- -",
		"1795441498.122 x c TCP_HIT/200 1 GET u - HIER_NONE/- -",
		"1795441498.122 0 c TCP_HIT 1 GET u - HIER_NONE/- -",
		"1795441498.122 0 c TCP_HIT/2000 1 GET u - HIER_NONE/- -",
		"1795441498.122 0 c TCP_HIT/200 1 GET u\033[31m - HIER_NONE/- -",
		"99999999999999999999.122 0 c TCP_HIT/200 1 GET u - HIER_NONE/- -",
		"{}",
		"{\"time\":\"2026-11-23T13:44:58.122Z\"",
		"{\"time\":7}",
	};
	struct ctl_logline *l = NEW(struct ctl_logline);

	(void)state;
	assert_true(ctl_logline_parse(
		SPAN("1795441498.122      0 - NONE/400 0 NONE error:invalid-request - HIER_NONE/- -"), l));
	same(l->client, "");
	same(l->user, "");
	same(l->peer, "");
	same(l->type, "");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ctl_logline_parse(span_str(bad[i]), l))
			fail_msg("\"%s\" is taken for a line", bad[i]);
	/* what a terminal might obey does not come out of JSON either */
	assert_true(
		ctl_logline_parse(SPAN("{\"time\":\"2026-11-23T13:44:58.122Z\",\"url\":\"a\\u001b[31m\xc3\xa4\"}"), l));
	same(l->url, "a?[31m?");
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read_as_people_say_them),
		cmocka_unit_test(both_formats_say_the_same),
		cmocka_unit_test(what_is_missing_is_empty_and_what_is_no_line_is_refused),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
