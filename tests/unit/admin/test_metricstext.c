#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/metricstext.h"

struct rows {
	struct metrics a, b;
	const struct metrics *v[2];
	char text[METRICSTEXT_MAX + 1];
};

static const struct statsjson_gauges gauges = {
	.node = "edge1.hush",
	.version = "1.2.3",
	.began = 1795441498122,
	.loops = 2,
	.memory_used_bytes = 111,
	.memory_limit_bytes = 222,
	.objects = 3,
	.ca_not_after = 1709164800000,
};

static int set_up(void **state)
{
	struct rows *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);

	memset(r, 0, sizeof(*r));
	r->v[0] = &r->a;
	r->v[1] = &r->b;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static const char *text_of(struct rows *r, const struct statsjson_gauges *g)
{
	struct buf b = buf_over(r->text, METRICSTEXT_MAX);

	metricstext_put(&b, r->v, 2, g);
	assert_false(b.full);
	r->text[b.n] = '\0';
	return r->text;
}

/* The line is there, whole. */
static void assert_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *at = text; (at = strstr(at, line)) != NULL; at += n)
		if ((at == text || at[-1] == '\n') && at[n] == '\n')
			return;
	fail_msg("no line '%s' in:\n%s", line, text);
}

static void what_is_not_a_counter(void **state)
{
	const char *text = text_of(*state, &gauges);

	assert_line(text, "# TYPE pmcache_build_info gauge");
	assert_line(text, "pmcache_build_info{version=\"1.2.3\"} 1");
	assert_line(text, "# TYPE pmcache_start_time_seconds gauge");
	assert_line(text, "pmcache_start_time_seconds 1795441498.122");
	assert_line(text, "# TYPE pmcache_memory_store_bytes gauge");
	assert_line(text, "pmcache_memory_store_bytes 111");
	assert_line(text, "pmcache_memory_store_limit_bytes 222");
	assert_line(text, "pmcache_memory_store_objects 3");
	assert_line(text, "pmcache_ca_not_after_timestamp_seconds 1709164800.000");
	assert_null(strstr(text, "hush"));
}

static void every_counter_is_there_with_help_and_type(void **state)
{
	const char *text = text_of(*state, &gauges);

	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name((enum metric)i);
		bool total = span_ends(span_str(name), SPAN("_total"));
		char line[256];

		snprintf(line, sizeof(line), "# HELP pmcache_%s %s", name, metric_help((enum metric)i));
		assert_line(text, line);
		snprintf(line, sizeof(line), "# TYPE pmcache_%s %s", name, total ? "counter" : "gauge");
		assert_line(text, line);
		snprintf(line, sizeof(line), "pmcache_%s 0", name);
		assert_line(text, line);
	}
	assert_line(text, "# TYPE pmcache_connections gauge");
	assert_line(text, "# TYPE pmcache_connections_total counter");
}

/* HELP, TYPE, sample: in this order, of one name, each name once. */
static void each_name_stands_in_one_block(void **state)
{
	char *rest = (char *)(uintptr_t)text_of(*state, &gauges), *line;
	char name[128] = "", seen[METRICSTEXT_MAX] = " ";
	int at = 0;

	assert_true(rest[strlen(rest) - 1] == '\n');
	while ((line = strsep(&rest, "\n")) != NULL && *line) {
		char found[128], needle[140];

		if (at == 0) {
			assert_int_equal(1, sscanf(line, "# HELP %127s", name));
			snprintf(needle, sizeof(needle), " %s ", name);
			assert_null(strstr(seen, needle));
			strcat(strcat(seen, name), " ");
		} else if (at == 1) {
			assert_int_equal(1, sscanf(line, "# TYPE %127s", found));
			assert_string_equal(name, found);
		} else {
			assert_int_equal(1, sscanf(line, "%127[a-z0-9_]", found));
			assert_string_equal(name, found);
		}
		at = (at + 1) % 3;
	}
	assert_int_equal(0, at);
}

static void rows_are_summed(void **state)
{
	struct rows *r = *state;

	metric_add(&r->a, METRIC_REQUESTS, 40);
	metric_add(&r->b, METRIC_REQUESTS, 2);
	metric_add(&r->a, METRIC_CONNECTIONS_NOW, 5);
	metric_sub(&r->b, METRIC_CONNECTIONS_NOW, 2);
	text_of(r, &gauges);
	assert_line(r->text, "pmcache_requests_total 42");
	assert_line(r->text, "pmcache_connections 3");
}

/* Rows are read while their loops go on: what was added may be seen later than what was taken away. */
static void a_gauge_may_be_below_zero_for_a_moment(void **state)
{
	struct rows *r = *state;

	metric_sub(&r->b, METRIC_CONNECTIONS_NOW, 2);
	assert_line(text_of(r, &gauges), "pmcache_connections -2");
}

static void no_ca(void **state)
{
	struct statsjson_gauges g = gauges;

	g.ca_not_after = 0;
	assert_null(strstr(text_of(*state, &g), "ca_not_after"));
}

static void a_version_of_odd_characters_is_escaped(void **state)
{
	struct statsjson_gauges g = gauges;

	g.version = "a\"b\\c\nd";
	assert_line(text_of(*state, &g), "pmcache_build_info{version=\"a\\\"b\\\\c\\nd\"} 1");
}

static void the_largest_values_fit(void **state)
{
	struct statsjson_gauges g = gauges;
	struct rows *r = *state;
	char version[256];

	memset(version, '"', 255);
	version[255] = '\0';
	g.version = version;
	g.memory_used_bytes = g.memory_limit_bytes = g.objects = UINT64_MAX;
	g.began = g.ca_not_after = INT64_MAX;
	for (int i = 0; i < METRIC_COUNT; i++)
		metric_add(&r->a, (enum metric)i, UINT64_MAX);
	text_of(r, &g);
	assert_line(r->text, "pmcache_requests_total 18446744073709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_a_counter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_counter_is_there_with_help_and_type, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_name_stands_in_one_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rows_are_summed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_gauge_may_be_below_zero_for_a_moment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_ca, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_version_of_odd_characters_is_escaped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_values_fit, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("metricstext", tests, NULL, NULL);
}
