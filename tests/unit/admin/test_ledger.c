/* The ledger; one request a minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/admin/ledger_ground.h"

#define WEEK (7 * 24 * 60)

struct world {
	struct ledger_ground g;
	bool answered;
	wall_ms since;
	char text[LEDGER_MAX + 1];
};

static void each_minute(struct ledger_ground *g)
{
	metric_add(&g->a, METRIC_REQUESTS, 1);
	metric_set(&g->b, METRIC_CONNECTIONS_NOW, 7);
	g->counts.writes++;
	g->counts.used += 100;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	ledger_ground_start(&w->g, each_minute);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	ledger_ground_stop(&w->g);
	free(w);
	return 0;
}

static void do_ask(void *arg)
{
	struct world *w = arg;
	struct buf b = buf_over(w->text, LEDGER_MAX);

	w->answered = ledger_put(w->g.ledger, &b, w->since, "edge1");
	assert_false(b.full);
	w->text[b.n] = '\0';
}

static const char *ask(struct world *w, wall_ms since)
{
	w->since = since;
	lane_do(&w->g.lane, do_ask, w);
	return w->answered ? w->text : NULL;
}

static wall_ms ago(const struct world *w, int64_t ms)
{
	return clock_wall(&w->g.clock.clock) - ms;
}

static void expect(struct world *w, int64_t ago_ms, unsigned requests, const char *limit)
{
	const char *text = ask(w, ago(w, ago_ms));
	char part[100];

	assert_non_null(text);
	snprintf(part, sizeof(part), "\"requests_total\":%u,", requests);
	if (!strstr(text, part))
		fail_msg("%" PRId64 " ms ago: not %s in %s", ago_ms, part, text);
	snprintf(part, sizeof(part), "\"limited_by\":%s,\"span_s\":%u,", limit, requests * 60);
	if (!strstr(text, part))
		fail_msg("%" PRId64 " ms ago: not %s in %s", ago_ms, part, text);
}

static void before_the_first_minute(void **state)
{
	struct world *w = *state;

	expect(w, 0, 0, "null");
	expect(w, DUR_HOUR, 0, "\"start\"");
	assert_null(ask(w, ago(w, -1)));
	assert_non_null(strstr(ask(w, 0), "\"limited_by\":\"start\""));
}

static void after_some_minutes(void **state)
{
	struct world *w = *state;

	ledger_ground_minutes(&w->g, 20);
	expect(w, 0, 0, "null");
	expect(w, 1, 1, "null");
	expect(w, DUR_MINUTE, 1, "null");
	expect(w, 5 * DUR_MINUTE + 1, 6, "null");
	expect(w, 20 * DUR_MINUTE, 20, "null");
	expect(w, 20 * DUR_MINUTE + 1, 20, "\"start\"");
}

static void any_time_of_a_week(void **state)
{
	struct world *w = *state;
	const int all = WEEK + 24 * 60 + 7;

	ledger_ground_minutes(&w->g, all);
	for (int k = 0; k <= WEEK; k += k < 200 ? 1 : 97) {
		int quarter = (all - k) / LEDGER_QUARTER * LEDGER_QUARTER;

		expect(w, k * DUR_MINUTE, (unsigned)(k <= 60 ? k : all - quarter), "null");
	}
	expect(w, WEEK * DUR_MINUTE, WEEK + (all - WEEK) % LEDGER_QUARTER, "null");
	expect(w, (WEEK + 20) * DUR_MINUTE, WEEK + (all - WEEK) % LEDGER_QUARTER, "\"week\"");
}

static void a_clock_that_is_set(void **state)
{
	struct world *w = *state;

	ledger_ground_minutes(&w->g, 30);
	w->g.clock.wall_now += DUR_DAY;
	ledger_ground_minutes(&w->g, 10);
	expect(w, 15 * DUR_MINUTE, 15, "null");
	expect(w, DUR_DAY, 40, "\"start\"");
}

static void the_whole_text(void **state)
{
	struct world *w = *state;
	const char *text;

	ledger_ground_minutes(&w->g, 2);
	text = ask(w, ago(w, 90 * DUR_SECOND));
	assert_true(span_starts(span_str(text), SPAN("{\"node\":\"edge1\",\"version\":\"")));
	assert_non_null(strstr(text,
			       "\"time\":\"2026-11-23T13:46:58.122Z\",\"asked\":\"2026-11-23T13:45:28.122Z\","
			       "\"since\":\"2026-11-23T13:44:58.122Z\",\"limited_by\":null,\"span_s\":120,\"hits\":0,"
			       "\"hit_ratio\":null,\"byte_hit_ratio\":null,\"tally\":{"));
	assert_non_null(strstr(text, "},\"disk\":null,\"counters\":{\"connections_total\":0,"));
	assert_null(strstr(text, "\"connections\":")); /* a gauge has no span */
	w->g.has_disk = true;
	ledger_ground_minutes(&w->g, 1);
	text = ask(w, ago(w, DUR_MINUTE));
	assert_non_null(strstr(text, "\"disk\":{\"writes\":3,\"dropped_writes\":0,"));
}

static void the_longest_text_has_room(void **state)
{
	struct world *w = *state;

	w->g.has_disk = true;
	for (int m = 0; m < METRIC_COUNT; m++)
		metric_set(&w->g.a, (enum metric)m, UINT64_MAX);
	w->g.counts =
		(struct disk_counts){0, 0, 0, 0, 0, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull, false, false};
	assert_true(strlen(ask(w, 0)) + 6 * 255 < LEDGER_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(before_the_first_minute), T(after_some_minutes), T(any_time_of_a_week),
		T(a_clock_that_is_set),     T(the_whole_text),     T(the_longest_text_has_room),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
