#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/record/recent.h"

#define NOW INT64_C(1795441498122)

static const char dns[] = "dns-no-name", refused[] = "connect-refused";

struct world {
	struct recent *recent;
	char text[RECENT_MAX + 1];
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->recent = recent_new();
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	recent_free(w->recent);
	free(w);
	return 0;
}

static void note(struct world *w, const char *word, const char *url, wall_ms now)
{
	struct recent_event e = {.word = word,
				 .what = "it \"failed\"",
				 .status = 502,
				 .url = span_str(url),
				 .client = "192.0.2.1",
				 .now = now};

	recent_note(w->recent, &e);
}

static const char *text_of(struct world *w, bool urls)
{
	struct buf b = buf_over(w->text, RECENT_MAX);

	recent_put(w->recent, &b, urls);
	assert_false(b.full);
	w->text[b.n] = '\0';
	return w->text;
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

static void nothing_yet(void **state)
{
	assert_string_equal(text_of(*state, true), "{\"urls\":true,\"lines\":[]}\n");
	assert_string_equal(text_of(*state, false), "{\"urls\":false,\"lines\":[]}\n");
}

static void the_latest_comes_first_and_repetitions_are_counted(void **state)
{
	struct world *w = *state;

	note(w, dns, "http://a.test/", NOW);
	note(w, refused, "http://b.test/", NOW + 1);
	note(w, dns, "http://a.test/", NOW + 1000);
	assert_string_equal(
		text_of(w, true),
		"{\"urls\":true,\"lines\":["
		"{\"time\":\"2026-11-23T13:44:59.122Z\",\"count\":2,\"word\":\"dns-no-name\",\"what\":\"it \\\"failed\\\"\","
		"\"status\":502,\"url\":\"http://a.test/\",\"client\":\"192.0.2.1\"},"
		"{\"time\":\"2026-11-23T13:44:58.123Z\",\"count\":1,\"word\":\"connect-refused\",\"what\":\"it \\\"failed\\\"\","
		"\"status\":502,\"url\":\"http://b.test/\",\"client\":\"192.0.2.1\"}]}\n");
}

static void without_urls_a_word_is_one_line(void **state)
{
	struct world *w = *state;

	note(w, dns, "http://a.test/", NOW);
	note(w, dns, "http://b.test/", NOW);
	note(w, refused, "http://b.test/", NOW);
	note(w, dns, "http://b.test/", NOW + 5000);
	text_of(w, false);
	assert_int_equal(2, count(w->text, "\"word\""));
	assert_non_null(strstr(
		w->text, "\"lines\":[{\"time\":\"2026-11-23T13:45:03.122Z\",\"count\":3,\"word\":\"dns-no-name\""));
	assert_int_equal(2, count(w->text, "\"url\":null,\"client\":null}"));
	assert_null(strstr(w->text, ".test"));
	assert_null(strstr(w->text, "192.0.2.1"));
}

static void who_was_quiet_longest_makes_room(void **state)
{
	struct world *w = *state;
	char url[64];

	for (int i = 0; i < RECENT_LINES; i++) {
		snprintf(url, sizeof(url), "http://h%d.test/", i);
		note(w, dns, url, NOW + i);
	}
	note(w, dns, "http://h0.test/", NOW + 100);
	note(w, dns, "http://new.test/", NOW + 101);
	text_of(w, true);
	assert_int_equal(RECENT_LINES, count(w->text, "\"word\""));
	assert_non_null(strstr(w->text, "http://h0.test/"));
	assert_null(strstr(w->text, "http://h1.test/"));
	assert_non_null(strstr(w->text, "http://h2.test/"));
	assert_non_null(strstr(w->text, "http://new.test/"));
}

static void what_strangers_say_is_cut_escaped_and_fits(void **state)
{
	struct world *w = *state;
	char url[2 * RECENT_URL_BYTES], client[200];
	struct recent_event e = {.word = dns, .what = refused, .url = span_of(url, sizeof(url)), .client = client};

	memset(client, '"', sizeof(client) - 1);
	client[sizeof(client) - 1] = '\0';
	memset(url, '\x01', sizeof(url));
	for (int i = 0; i < RECENT_LINES; i++) {
		url[i] = 'a';
		recent_note(w->recent, &e);
	}
	text_of(w, true);
	assert_int_equal(RECENT_LINES, count(w->text, "\"word\""));
	assert_null(strchr(w->text, '\x01'));
	e.url = SPAN_NONE;
	e.client = NULL;
	recent_note(w->recent, &e);
	assert_non_null(strstr(text_of(w, true), "\"url\":\"\",\"client\":\"\"}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_yet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_latest_comes_first_and_repetitions_are_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_urls_a_word_is_one_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_was_quiet_longest_makes_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_strangers_say_is_cut_escaped_and_fits, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
