#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/log.h"

#define START 1795438800123 /* 2026-11-23T13:00:00.123Z */

struct bench {
	FILE *file;
	struct sink *sink;
	struct clock_fake clock;
	struct log *log;
	char text[16384];
};

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->file = tmpfile();
	b->sink = sink_open_fd(fileno(b->file));
	clock_fake_init(&b->clock, START);
	b->log = log_new(b->sink, &b->clock.clock, LOG_INFO);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	log_free(b->log);
	sink_close(&b->sink);
	fclose(b->file);
	free(b);
	return 0;
}

static const char *written(struct bench *b)
{
	size_t n;

	sink_drain(b->sink);
	rewind(b->file);
	n = fread(b->text, 1, sizeof(b->text) - 1, b->file);
	b->text[n] = '\0';
	return b->text;
}

static void a_line(void **state)
{
	struct bench *b = *state;

	log_line(b->log, LOG_WARNING, "tls", "text %d", 7);
	clock_fake_pass(&b->clock, 877 + DUR_DAY);
	log_line(b->log, LOG_INFO, "main", "more");
	assert_string_equal(written(b), "2026-11-23T13:00:00.123Z warning tls: text 7\n"
					"2026-11-24T13:00:01.000Z info main: more\n");
}

static void levels(void **state)
{
	struct bench *b = *state;

	log_line(b->log, LOG_DEBUG, "x", "no");
	log_set_level(b->log, LOG_ERROR);
	log_line(b->log, LOG_WARNING, "x", "no");
	log_line(b->log, LOG_ERROR, "x", "yes");
	log_set_level(b->log, LOG_DEBUG);
	log_line(b->log, LOG_DEBUG, "x", "yes");
	assert_string_equal(written(b), "2026-11-23T13:00:00.123Z error x: yes\n"
					"2026-11-23T13:00:00.123Z debug x: yes\n");
}

static void no_log_is_silent(void **state)
{
	(void)state;
	log_line(NULL, LOG_ERROR, "x", "nobody hears %s", "this");
	log_free(NULL);
}

/* A stranger's bytes in a sentence make no second line and move no cursor; UTF-8 stays readable. */
static void control_characters_are_escaped(void **state)
{
	struct bench *b = *state;

	log_line(b->log, LOG_ERROR, "x", "%s", "a\nb\r\x1b[2J\x7f\t \xc2\x9b \xc3\xa4");
	assert_string_equal(written(b),
			    "2026-11-23T13:00:00.123Z error x: a\\x0ab\\x0d\\x1b[2J\\x7f\\x09 \\xc2\\x9b \xc3\xa4\n");
}

static void a_long_text_is_cut(void **state)
{
	struct bench *b = *state;
	char text[5000];
	const char *line;
	size_t n;

	memset(text, 1, sizeof(text) - 1); /* the longest that escaping makes */
	text[sizeof(text) - 1] = '\0';
	log_line(b->log, LOG_ERROR, "x", "%s", text);
	line = written(b);
	n = strlen(line);
	assert_string_equal(line + n - 4, "...\n");
	assert_int_equal(n, strlen("2026-11-23T13:00:00.123Z error x: ") + 4 * 2044 + 4);
}

static void names(void **state)
{
	enum log_level level;

	(void)state;
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse("loud", &level), -1);
	assert_int_equal(log_level_parse("", &level), -1);
	assert_int_equal(log_level_parse("Error", &level), -1);
}

static void *speak(void *cookie)
{
	for (int i = 0; i < 500; i++)
		log_line(cookie, i % 2 ? LOG_INFO : LOG_DEBUG, "x", "%d", i);
	return NULL;
}

static void any_thread(void **state)
{
	struct bench *b = *state;
	pthread_t t[2];

	log_set_level(b->log, LOG_ERROR);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, speak, b->log), 0);
	for (int i = 0; i < 100; i++)
		log_set_level(b->log, i % 2 ? LOG_ERROR : LOG_NOTICE);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_string_equal(written(b), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(levels, set_up, tear_down),
		cmocka_unit_test(no_log_is_silent),
		cmocka_unit_test_setup_teardown(control_characters_are_escaped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_text_is_cut, set_up, tear_down),
		cmocka_unit_test(names),
		cmocka_unit_test_setup_teardown(any_thread, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
