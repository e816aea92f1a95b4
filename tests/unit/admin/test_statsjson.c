#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/statsjson.h"

struct rows {
	struct metrics a, b;
	const struct metrics *v[2];
};

static const struct statsjson_gauges gauges = {
	.node = "edge\"1",
	.version = "1.2.3",
	.boot = 0x1234,
	.now = 1795441498122,
	.uptime = 12999,
	.loops = 2,
	.memory_used_bytes = 111,
	.memory_limit_bytes = 222,
	.objects = 3,
	.ca_not_after = 1709164800000,
};

static int set_up(void **state)
{
	struct rows *r = calloc(1, sizeof(*r));

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

static const char *text_of(struct rows *r, const struct statsjson_gauges *g, char out[STATSJSON_MAX + 1])
{
	struct buf b = buf_over(out, STATSJSON_MAX);

	statsjson_put(&b, r->v, 2, g);
	assert_false(b.full);
	out[b.n] = '\0';
	return out;
}

static void the_tier_on_disk(void **state)
{
	char out[STATSJSON_MAX + 1];
	const struct disk_counts counts = {
		.objects = 3,
		.used = 1,
		.size = 2,
		.free_on_disk = 4,
		.floor = 5,
		.evicted = 6,
		.quarantined = 7,
		.writes = 8,
		.write_failures = 9,
		.read_failures = 10,
		.dropped_writes = 12,
		.dropped_busy = 11,
		.read_only = true,
	};
	struct statsjson_gauges g = gauges;

	g.disk = &counts;
	text_of(*state, &g, out);
	assert_non_null(strstr(
		out, "\"disk\":{\"used_bytes\":1,\"limit_bytes\":2,\"objects\":3,\"free_bytes\":4,\"floor_bytes\":5,"
		     "\"loading\":0,\"read_only\":1,\"writes\":8,\"dropped_writes\":12,\"dropped_busy\":11,"
		     "\"write_errors\":9,\"read_errors\":10,\"evicted\":6,\"quarantined\":7},\"ca_not_after\""));
}

static void nothing_yet(void **state)
{
	char out[STATSJSON_MAX + 1],
		want[] =
			"{\"node\":\"edge\\\"1\",\"version\":\"1.2.3\",\"boot\":\"0000000000001234\",\"time\":\"2026-11-23T13:44:58.122Z\","
			"\"uptime_s\":12,\"loops\":2,\"memory\":{\"used_bytes\":111,\"limit_bytes\":222,"
			"\"objects\":3},\"disk\":null,\"ca_not_after\":\"2024-02-29T00:00:00.000Z\",\"hits\":0,"
			"\"hit_ratio\":null,\"byte_hit_ratio\":null,\"tally\":{\"eligible\":0,\"sources\":{\"local_hit\":0,";
	size_t n;

	text_of(*state, &gauges, out);
	n = strlen(out);
	assert_true(strncmp(out, want, strlen(want)) == 0);
	assert_string_equal(out + n - 3, "}}\n");
	for (int i = 0; i < METRIC_COUNT; i++) {
		char name[80];

		snprintf(name, sizeof(name), "\"%s\":0%s", metric_name((enum metric)i),
			 i + 1 < METRIC_COUNT ? "," : "}");
		assert_non_null(strstr(out, name));
	}
}

static void sums_and_ratios(void **state)
{
	struct rows *r = *state;
	char out[STATSJSON_MAX + 1];

	metric_add(&r->a, METRIC_HITS_MEMORY, 1);
	metric_add(&r->b, METRIC_HITS_MEMORY, 2);
	metric_add(&r->a, METRIC_HITS_JOINED, 3);
	metric_add(&r->b, METRIC_HITS_REVALIDATED, 4);
	metric_add(&r->b, METRIC_HITS_STALE, 5);
	metric_add(&r->a, METRIC_MISSES, 6);
	metric_add(&r->a, METRIC_BYPASSES, 1000);
	metric_add(&r->a, METRIC_BYTES_FROM_CACHE, 2);
	metric_add(&r->b, METRIC_UPSTREAM_BYTES, 1);
	text_of(r, &gauges, out);
	assert_non_null(strstr(out, "\"hits\":15,\"hit_ratio\":0.7143,\"byte_hit_ratio\":0.6667,"));
	assert_non_null(strstr(out, "\"hits_memory_total\":3,"));
}

/* Each eligible answer has one source, and the parts of all sources are the whole. */
static void where_answers_came_from(void **state)
{
	struct rows *r = *state;
	char out[STATSJSON_MAX + 1];

	metric_add(&r->a, METRIC_HITS_MEMORY, 4);
	metric_add(&r->b, METRIC_HITS_JOINED, 1);
	metric_add(&r->a, METRIC_HITS_SIBLING, 2);
	metric_add(&r->b, METRIC_STREAMS_SIBLING, 1);
	metric_add(&r->a, METRIC_HITS_PARENT, 1);
	metric_add(&r->a, METRIC_JOINS_PARENT, 1);
	metric_add(&r->a, METRIC_MISSES_PARENT, 3);
	metric_add(&r->a, METRIC_MISSES, 6);
	metric_add(&r->a, METRIC_HITS_REVALIDATED, 1);
	metric_add(&r->a, METRIC_BYPASSES, 7);
	metric_add(&r->a, METRIC_ERRORS, 8);
	metric_add(&r->a, METRIC_CHILD_REQUESTS, 9); /* counted where they reach a client */
	text_of(r, &gauges, out);
	assert_non_null(strstr(out, "\"tally\":{\"eligible\":20,"));
	assert_non_null(strstr(out, "\"sibling_stream\":1,\"parent_hit\":1,\"parent_join\":1,\"parent_miss\":3,"));
	assert_non_null(strstr(out, "\"local\":0.2500,\"sibling\":0.1500,\"parent\":0.1000,\"upstream\":0.5000,"));
}

/* A connection accepted in one loop and ended in another, as gauges see it. */
static void a_gauge_below_zero_in_one_row(void **state)
{
	struct rows *r = *state;

	metric_add(&r->a, METRIC_CONNECTIONS_NOW, 5);
	metric_sub(&r->b, METRIC_CONNECTIONS_NOW, 2);
	assert_int_equal(statsjson_sum(r->v, 2, METRIC_CONNECTIONS_NOW), 3);
	assert_int_equal(statsjson_sum(r->v, 0, METRIC_CONNECTIONS_NOW), 0);
}

static void the_largest_values_fit(void **state)
{
	struct statsjson_gauges g = gauges;
	struct rows *r = *state;
	char out[STATSJSON_MAX + 1], name[256];
	struct disk_counts most = {.objects = UINT64_MAX,
				   .used = UINT64_MAX,
				   .size = UINT64_MAX,
				   .free_on_disk = UINT64_MAX,
				   .floor = UINT64_MAX,
				   .evicted = UINT64_MAX,
				   .dropped_writes = UINT64_MAX};

	memset(name, 1, 255);
	name[255] = '\0';
	g.node = name;
	g.disk = &most;
	for (int i = 0; i < METRIC_COUNT; i++)
		metric_add(&r->a, (enum metric)i, UINT64_MAX);
	r->v[1] = &r->a;
	text_of(r, &g, out);
	for (int i = 0; i < METRIC_COUNT; i++)
		metric_add(&r->a, (enum metric)i, 1 + (1ull << 62) - metric_read(&r->a, (enum metric)i));
	r->v[1] = &r->b;
	metric_add(&r->a, METRIC_MISSES, (uint64_t)0 - metric_read(&r->a, METRIC_MISSES));
	text_of(r, &g, out);
	assert_non_null(strstr(out, "\"byte_hit_ratio\":0.5000"));
}

static void no_ca(void **state)
{
	struct statsjson_gauges g = gauges;
	char out[STATSJSON_MAX + 1];

	g.ca_not_after = 0;
	assert_non_null(strstr(text_of(*state, &g, out), "\"ca_not_after\":null,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_tier_on_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_yet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sums_and_ratios, set_up, tear_down),
		cmocka_unit_test_setup_teardown(where_answers_came_from, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_gauge_below_zero_in_one_row, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_values_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_ca, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("statsjson", tests, NULL, NULL);
}
