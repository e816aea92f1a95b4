/* The last hour of a ledger. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/admin/history.h"
#include "tests/unit/admin/ledger_ground.h"

struct world {
	struct ledger_ground g;
	char text[HISTORY_MAX + 1];
};

/* A hit. */
static void each_minute(struct ledger_ground *g)
{
	metric_add(&g->a, METRIC_HITS_MEMORY, 1);
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

static void do_put(void *arg)
{
	struct world *w = arg;
	struct buf b = buf_over(w->text, HISTORY_MAX);

	history_put(&b, w->g.ledger);
	assert_false(b.full);
	w->text[b.n] = '\0';
}

static const char *shown(struct world *w)
{
	lane_do(&w->g.lane, do_put, w);
	return w->text;
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

/* Of the i-th row, 0: the first. */
static int64_t value(struct world *w, unsigned i, const char *column)
{
	const char *names = strstr(w->text, "[\"time\"") + 1, *row = strstr(w->text, "\"rows\":[") + 8;
	char quoted[40];

	snprintf(quoted, sizeof(quoted), "\"%s\"", column);
	while (i--)
		row = strchr(row, ']') + 2;
	row++;
	for (; strncmp(names, quoted, strlen(quoted)) != 0; names = strchr(names, ',') + 1) {
		assert_true(strchr(names, ',') < strchr(names, ']'));
		row = strchr(row, ',') + 1;
	}
	return strtoll(row, NULL, 10);
}

static unsigned n_rows(const struct world *w)
{
	return count(w->text, "[1795");
}

/* Besides the time. */
static unsigned n_columns(const struct world *w)
{
	return count(w->text, "\",\"");
}

static void it_begins_with_the_node_and_ends_now(void **state)
{
	struct world *w = *state;

	metric_add(&w->g.a, METRIC_HITS_MEMORY, 3);
	metric_add(&w->g.b, METRIC_HITS_MEMORY, 4);
	metric_add(&w->g.b, METRIC_UPSTREAM_BYTES, 9000);
	assert_true(span_starts(span_str(shown(w)), SPAN("{\"interval_s\":60,\"columns\":[\"time\",\"local_hit\",")));
	assert_true(span_ends(span_str(w->text), SPAN(",0,9000]]}\n")));
	assert_int_equal(2, n_rows(w));
	assert_int_equal(LEDGER_GROUND_START, value(w, 0, "time"));
	assert_int_equal(0, value(w, 0, "local_hit"));
	assert_int_equal(0, value(w, 0, "upstream_bytes"));
	assert_int_equal(LEDGER_GROUND_START, value(w, 1, "time"));
	assert_int_equal(7, value(w, 1, "local_hit"));
	assert_int_equal(9000, value(w, 1, "upstream_bytes"));
}

static void each_source_has_its_column(void **state)
{
	static const struct {
		const char *column;
		enum metric metric;
	} rows[] = {{"local_hit", METRIC_HITS_MEMORY},
		    {"direct", METRIC_MISSES},
		    {"tunnel", METRIC_TUNNELS},
		    {"client_bytes", METRIC_BYTES_TO_CLIENTS},
		    {"cache_bytes", METRIC_BYTES_FROM_CACHE},
		    {"sibling_bytes", METRIC_SIBLING_BYTES},
		    {"parent_bytes", METRIC_PARENT_BYTES},
		    {"upstream_bytes", METRIC_UPSTREAM_BYTES}};
	const unsigned n = sizeof(rows) / sizeof(rows[0]);
	struct world *w = *state;

	for (unsigned i = 0; i < n; i++)
		metric_add(&w->g.a, rows[i].metric, i + 1);
	shown(w);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(i + 1, value(w, 1, rows[i].column));
	assert_int_equal(2 * n_columns(w) - n,
			 count(w->text, ",0")); /* all of the first row, and the others of this one */
}

static void the_oldest_comes_first_and_goes_first(void **state)
{
	struct world *w = *state;

	ledger_ground_minutes(&w->g, LEDGER_MINUTES - 1);
	shown(w);
	assert_int_equal(LEDGER_MINUTES + 1, n_rows(w));
	for (unsigned i = 0; i < LEDGER_MINUTES; i++) {
		assert_int_equal(LEDGER_GROUND_START + i * DUR_MINUTE, value(w, i, "time"));
		assert_int_equal(i, value(w, i, "local_hit"));
	}
	ledger_ground_minutes(&w->g, 2);
	shown(w);
	assert_int_equal(LEDGER_MINUTES + 1, n_rows(w));
	assert_int_equal(LEDGER_GROUND_START + 2 * DUR_MINUTE, value(w, 0, "time"));
	assert_int_equal(2, value(w, 0, "local_hit"));
}

/* What lies between two rows is a minute, whatever somebody has done to the clock on the wall. */
static void a_clock_that_is_set(void **state)
{
	struct world *w = *state;

	ledger_ground_minutes(&w->g, 5);
	w->g.clock.wall_now += DUR_DAY;
	ledger_ground_minutes(&w->g, 5);
	shown(w);
	for (unsigned i = 0; i <= 10; i++)
		assert_int_equal(LEDGER_GROUND_START + DUR_DAY + i * DUR_MINUTE, value(w, i, "time"));
}

static void the_largest_values_fit(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < METRIC_COUNT; i++)
		metric_set(&w->g.b, (enum metric)i, i == METRIC_HITS_MEMORY ? UINT64_MAX - 1000 : UINT64_MAX);
	ledger_ground_minutes(&w->g, LEDGER_MINUTES + 3);
	shown(w);
	assert_int_equal(LEDGER_MINUTES + 1, n_rows(w));
	assert_int_equal((LEDGER_MINUTES + 1) * n_columns(w), count(w->text, ",1844674407370955"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(it_begins_with_the_node_and_ends_now),
		T(each_source_has_its_column),
		T(the_oldest_comes_first_and_goes_first),
		T(a_clock_that_is_set),
		T(the_largest_values_fit),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
