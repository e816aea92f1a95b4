#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/history.h"

#define NOW INT64_C(1795441498122)

struct world {
	struct metrics a, b;
	const struct metrics *v[2];
	struct history history;
	char text[HISTORY_MAX + 1];
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->v[0] = &w->a;
	w->v[1] = &w->b;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static const char *text_of(struct world *w, wall_ms now)
{
	struct buf b = buf_over(w->text, HISTORY_MAX);
	struct history_row row;

	history_read(&row, w->v, 2, now);
	history_put(&b, &w->history, &row);
	assert_false(b.full);
	w->text[b.n] = '\0';
	return w->text;
}

static void keep(struct world *w, wall_ms now)
{
	struct history_row row;

	history_read(&row, w->v, 2, now);
	history_keep(&w->history, &row);
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

static void without_samples_only_now(void **state)
{
	struct world *w = *state;

	metric_add(&w->a, METRIC_HITS_MEMORY, 3);
	metric_add(&w->b, METRIC_HITS_MEMORY, 4);
	metric_add(&w->b, METRIC_UPSTREAM_BYTES, 9000);
	text_of(w, NOW);
	assert_true(span_starts(span_str(w->text), SPAN("{\"interval_s\":60,\"columns\":[\"time\",\"local_hit\",")));
	assert_non_null(strstr(w->text, ",\"direct\","));
	assert_non_null(strstr(w->text, "\"parent_bytes\",\"upstream_bytes\"],\"rows\":[[1795441498122,7,0,"));
	assert_true(span_ends(span_str(w->text), SPAN(",0,9000]]}\n")));
	assert_int_equal(2 + 2 * HISTORY_COLUMNS, count(w->text, ","));
}

static void each_source_has_its_column(void **state)
{
	struct world *w = *state;
	struct history_row row;

	metric_add(&w->a, METRIC_MISSES, 5);
	metric_add(&w->a, METRIC_TUNNELS, 6);
	metric_add(&w->a, METRIC_PARENT_BYTES, 7);
	history_read(&row, w->v, 2, NOW);
	assert_int_equal(row.time, NOW);
	assert_int_equal(row.v[HISTORY_DIRECT], 5);
	assert_int_equal(row.v[HISTORY_TUNNEL], 6);
	assert_int_equal(row.v[HISTORY_PARENT], 7);
	for (size_t i = 0; i < HISTORY_COLUMNS; i++)
		if (i != HISTORY_DIRECT && i != HISTORY_TUNNEL && i != HISTORY_PARENT)
			assert_int_equal(row.v[i], 0);
}

static void the_oldest_comes_first_and_goes_first(void **state)
{
	struct world *w = *state;
	char first[64];

	for (int i = 0; i < HISTORY_ROWS; i++) {
		keep(w, NOW + i * HISTORY_EVERY);
		metric_add(&w->a, METRIC_HITS_MEMORY, 1);
	}
	text_of(w, NOW + HISTORY_ROWS * HISTORY_EVERY);
	assert_int_equal(count(w->text, "[1795"), HISTORY_ROWS + 1);
	snprintf(first, sizeof(first), "\"rows\":[[%lld,0,", (long long)NOW);
	assert_non_null(strstr(w->text, first));
	snprintf(first, sizeof(first), "],[%lld,60,0,", (long long)(NOW + HISTORY_ROWS * HISTORY_EVERY)); /* now */
	assert_non_null(strstr(w->text, first));

	keep(w, NOW + HISTORY_ROWS * HISTORY_EVERY);
	text_of(w, NOW + (HISTORY_ROWS + 1) * HISTORY_EVERY);
	assert_int_equal(count(w->text, "[1795"), HISTORY_ROWS + 1);
	snprintf(first, sizeof(first), "\"rows\":[[%lld,1,", (long long)(NOW + HISTORY_EVERY));
	assert_non_null(strstr(w->text, first));
}

static void the_largest_values_fit(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < METRIC_COUNT; i++)
		metric_add(&w->a, (enum metric)i, UINT64_MAX);
	for (int i = 0; i < HISTORY_ROWS + 3; i++)
		keep(w, INT64_MAX);
	text_of(w, INT64_MAX);
	assert_int_equal(count(w->text, "18446744073709551615"), (HISTORY_ROWS + 1) * HISTORY_COLUMNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_samples_only_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_source_has_its_column, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_comes_first_and_goes_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_values_fit, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
