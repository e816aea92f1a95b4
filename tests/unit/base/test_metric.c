#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/metric.h"

static void names_are_unique_and_fit_prometheus(void **state)
{
	(void)state;
	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name((enum metric)i);

		assert_true(strlen(name) > 0);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
		assert_true(strlen(metric_help((enum metric)i)) > 0);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(name, metric_name((enum metric)k));
	}
}

static void names_belong_to_their_ids(void **state)
{
	(void)state;
	assert_string_equal(metric_name(METRIC_CONNECTIONS), "connections_total");
	assert_string_equal(metric_name(METRIC_LOG_DROPPED), "log_lines_dropped_total");
	assert_string_equal(metric_help(METRIC_REQUESTS), "requests answered");
}

static void gauges_go_down(void **state)
{
	struct metrics m = {0};

	(void)state;
	metric_add(&m, METRIC_CONNECTIONS_NOW, 5);
	metric_sub(&m, METRIC_CONNECTIONS_NOW, 2);
	assert_int_equal(metric_read(&m, METRIC_CONNECTIONS_NOW), 3);
	assert_int_equal(metric_read(&m, METRIC_CONNECTIONS), 0);
}

#define ADDS 100000

static void *add_many(void *cookie)
{
	for (int i = 0; i < ADDS; i++)
		metric_add(cookie, METRIC_REQUESTS, 1);
	return NULL;
}

static void others_read_while_the_owner_adds(void **state)
{
	struct metrics *m = metrics_new();
	uint64_t last = 0;
	pthread_t owner;

	(void)state;
	assert_int_equal(pthread_create(&owner, NULL, add_many, m), 0);
	while (last < ADDS) {
		uint64_t now = metric_read(m, METRIC_REQUESTS);

		assert_true(now >= last && now <= ADDS);
		last = now;
	}
	pthread_join(owner, NULL);
	assert_int_equal(metric_read(m, METRIC_REQUESTS), ADDS);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique_and_fit_prometheus),
		cmocka_unit_test(names_belong_to_their_ids),
		cmocka_unit_test(gauges_go_down),
		cmocka_unit_test(others_read_while_the_owner_adds),
	};

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
