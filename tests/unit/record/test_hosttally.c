#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "node/record/hosttally.h"

struct world {
	struct hosttally *rows[2];
	char text[HOSTTALLY_JSON_MAX + 1];
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->rows[0] = hosttally_new();
	w->rows[1] = hosttally_new();
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	hosttally_free(w->rows[0]);
	hosttally_free(w->rows[1]);
	free(w);
	return 0;
}

static struct url at(const char *host)
{
	return (struct url){.host = span_str(host), .https = true, .port = 443};
}

static void answered(struct hosttally *h, const char *host, enum hosttally_how how)
{
	struct url url = at(host);
	struct hosttally_answer a = {.url = &url,
				     .class = PATH_IMMUTABLE,
				     .ecosystem = ECOSYSTEM_NPM,
				     .how = how,
				     .client_bytes = 100,
				     .cache_bytes = how == HOSTTALLY_HIT ? 60 : 0};

	hosttally_answered(h, &a);
}

static const char *text_of(struct world *w)
{
	struct buf b = buf_over(w->text, HOSTTALLY_JSON_MAX);

	hosttally_put_json(&b, w->rows, 2);
	assert_false(b.full);
	w->text[b.n] = '\0';
	return w->text;
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
		n++;
	return n;
}

#define NO_COUNTS                                                                                                      \
	"\"requests\":0,\"hits\":0,\"sibling\":0,\"parent\":0,\"misses\":0,\"bypasses\":0,\"failures\":0,"             \
	"\"client_bytes\":0,\"cache_bytes\":0,\"upstream_requests\":0,\"upstream_failures\":0,\"upstream_bytes\":0"

static void nothing_yet(void **state)
{
	assert_string_equal(text_of(*state), "\"hosts\":[],\"other_hosts\":{" NO_COUNTS "},\"classes\":[]");
}

static void the_rows_of_all_loops_are_one_sum(void **state)
{
	struct world *w = *state;
	struct url a = at("A.test");

	answered(w->rows[0], "a.test", HOSTTALLY_MISS);
	answered(w->rows[1], "a.test", HOSTTALLY_HIT);
	answered(w->rows[1], "A.TEST", HOSTTALLY_SIBLING);
	answered(w->rows[0], "b.test", HOSTTALLY_PARENT);
	answered(w->rows[0], "b.test", HOSTTALLY_BYPASS);
	answered(w->rows[0], "a.test", HOSTTALLY_FAILURE);
	hosttally_heard(w->rows[0], &a, 5000);
	hosttally_heard(w->rows[1], &a, 70000);
	hosttally_failed(w->rows[1], &a);
	hosttally_received(w->rows[0], &a, 1000);
	assert_string_equal(
		text_of(w),
		"\"hosts\":[{\"host\":\"a.test\",\"requests\":4,\"hits\":1,\"sibling\":1,\"parent\":0,\"misses\":1,"
		"\"bypasses\":0,\"failures\":1,\"client_bytes\":400,\"cache_bytes\":60,\"upstream_requests\":3,"
		"\"upstream_failures\":1,\"upstream_bytes\":1000,\"first_byte_us\":{\"p50\":6144,\"p90\":98304}},"
		"{\"host\":\"b.test\",\"requests\":2,\"hits\":0,\"sibling\":0,\"parent\":1,\"misses\":0,\"bypasses\":1,"
		"\"failures\":0,\"client_bytes\":200,\"cache_bytes\":0,\"upstream_requests\":0,\"upstream_failures\":0,"
		"\"upstream_bytes\":0,\"first_byte_us\":null}],\"other_hosts\":{" NO_COUNTS "},"
		"\"classes\":[{\"class\":\"immutable\",\"ecosystem\":\"npm\",\"requests\":6,\"hits\":1,\"sibling\":1,"
		"\"parent\":1,\"misses\":1,\"bypasses\":1,\"failures\":1,\"client_bytes\":600,\"cache_bytes\":60}]");
}

static void another_port_is_another_host(void **state)
{
	struct world *w = *state;
	struct url urls[] = {
		{.host = SPAN("a.test"), .https = true, .port = 443},
		{.host = SPAN("a.test"), .https = false, .port = 80},
		{.host = SPAN("a.test"), .https = true, .port = 8443},
		{.host = SPAN("::1"), .is_ip = true, .is_ipv6 = true, .port = 81},
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		hosttally_heard(w->rows[0], &urls[i], 1);
	text_of(w);
	assert_int_equal(count(w->text, "{\"host\":"), 3);
	assert_non_null(strstr(w->text, "\"host\":\"a.test\""));
	assert_non_null(strstr(w->text, "\"host\":\"a.test:8443\""));
	assert_non_null(strstr(w->text, "\"host\":\"[::1]:81\""));
}

/* Names that lead nowhere, and then as many as one likes that answer once: those in use stay, and the whole stays the whole. */
static void strangers_push_nobody_out(void **state)
{
	struct world *w = *state;
	char name[64];

	for (int i = 0; i < HOSTTALLY_SHOWN; i++) {
		snprintf(name, sizeof(name), "used%d.test", i);
		answered(w->rows[0], name, HOSTTALLY_MISS);
		answered(w->rows[0], name, HOSTTALLY_HIT);
	}
	for (int i = 0; i < 5000; i++) {
		struct url url = at(name);

		snprintf(name, sizeof(name), "nowhere%d.invalid", i);
		answered(w->rows[0], name, HOSTTALLY_FAILURE);
		url.host.n = strlen(name);
		hosttally_failed(w->rows[0], &url);
	}
	assert_null(strstr(text_of(w), "invalid"));
	assert_non_null(strstr(w->text, "\"other_hosts\":{\"requests\":5000,"));
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "x%d.hostile.test", i);
		answered(w->rows[0], name, HOSTTALLY_MISS);
	}
	assert_null(strstr(text_of(w), "hostile")); /* one request each: behind those that are shown */
	assert_int_equal(count(w->text, "\"host\":\"used"), HOSTTALLY_SHOWN);
	assert_non_null(strstr(w->text, "\"other_hosts\":{\"requests\":10000,"));
	assert_non_null(strstr(w->text, "\"ecosystem\":\"npm\",\"requests\":10128,"));
}

/* What was popular once makes room in the end. */
static void who_is_new_and_popular_is_seen(void **state)
{
	struct world *w = *state;
	char name[64];

	for (int i = 0; i < HOSTTALLY_MOST; i++) {
		snprintf(name, sizeof(name), "old%d.test", i);
		for (int k = 0; k < 1000; k++)
			answered(w->rows[0], name, HOSTTALLY_HIT);
	}
	for (int i = 0; i < 2000; i++)
		answered(w->rows[0], "new.test", HOSTTALLY_HIT);
	assert_non_null(strstr(text_of(w), "[{\"host\":\"new.test\",\"requests\":2000,"));
	for (int i = 0; i < 20 * 65536; i++) /* the old ones are worth nothing any more */
		answered(w->rows[0], "new.test", HOSTTALLY_HIT);
	for (int i = 0; i < HOSTTALLY_MOST; i++) {
		snprintf(name, sizeof(name), "newer%d.test", i);
		answered(w->rows[0], name, HOSTTALLY_HIT);
		answered(w->rows[0], name, HOSTTALLY_HIT);
	}
	assert_null(strstr(text_of(w), "\"old"));
}

static void the_longest_names_and_counts_fit(void **state)
{
	struct world *w = *state;
	char name[URL_MAX_HOST];

	memset(name, '\x01', sizeof(name));
	for (int i = 0; i < HOSTTALLY_MOST; i++) {
		struct url url = {.host = span_of(name, sizeof(name)), .is_ipv6 = true, .port = 65535};
		struct hosttally_answer a = {.url = &url, .client_bytes = UINT64_MAX, .cache_bytes = UINT64_MAX};

		name[i] = '"';
		hosttally_received(w->rows[i % 2], &url, UINT64_MAX);
		hosttally_heard(w->rows[i % 2], &url, INT64_MAX);
		for (int c = 0; c <= PATH_PASS; c++)
			for (int e = 0; e < ECOSYSTEM_COUNT; e++) {
				a.class = (enum pathclass)c;
				a.ecosystem = (enum ecosystem)e;
				hosttally_answered(w->rows[i % 2], &a);
			}
	}
	text_of(w);
	assert_int_equal(count(w->text, "{\"host\":"), HOSTTALLY_SHOWN);
	assert_int_equal(count(w->text, "{\"class\":"), (PATH_PASS + 1) * ECOSYSTEM_COUNT);
	assert_null(strchr(w->text, '\x01'));
}

static void nobody_counts(void **state)
{
	struct url url = at("a.test");
	struct hosttally_answer a = {.url = &url};

	(void)state;
	hosttally_answered(NULL, &a);
	hosttally_heard(NULL, &url, 1);
	hosttally_failed(NULL, &url);
	hosttally_received(NULL, &url, 1);
	hosttally_free(NULL);
}

/* ---- a loop counts, somebody reads ---- */

struct counter {
	struct world *w;
	atomic_bool done;
};

static void *count_on(void *arg)
{
	struct counter *c = arg;
	char name[32];

	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "h%d.test", i % (2 * HOSTTALLY_MOST));
		answered(c->w->rows[0], name, HOSTTALLY_HIT);
		answered(c->w->rows[0], "always.test", HOSTTALLY_HIT);
	}
	atomic_store(&c->done, true);
	return NULL;
}

static uint64_t sum_of_requests(const char *text)
{
	const char *end = strstr(text, "\"classes\""), mark[] = "\"requests\":";
	uint64_t sum = 0;

	for (const char *p = text; (p = strstr(p, mark)) != NULL && p < end; p++)
		sum += strtoull(p + sizeof(mark) - 1, NULL, 10);
	return sum;
}

static void who_reads_meanwhile_loses_nothing(void **state)
{
	struct counter c = {.w = *state};
	uint64_t before = 0, now;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, count_on, &c), 0);
	while (!atomic_load(&c.done)) {
		now = sum_of_requests(text_of(c.w));
		assert_true(now >= before);
		before = now;
	}
	pthread_join(thread, NULL);
	assert_int_equal(sum_of_requests(text_of(c.w)), 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_yet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_rows_of_all_loops_are_one_sum, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_port_is_another_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers_push_nobody_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_new_and_popular_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_longest_names_and_counts_fit, set_up, tear_down),
		cmocka_unit_test(nobody_counts),
		cmocka_unit_test_setup_teardown(who_reads_meanwhile_loses_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("hosttally", tests, NULL, NULL);
}
