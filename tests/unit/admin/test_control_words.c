#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/control_words.h"

static void good_requests(void **state)
{
	struct control_request r;
	const char *why = NULL;

	(void)state;
	assert_int_equal(control_words_parse(SPAN("stats\n"), &r, &why), CONTROL_WORDS_DONE);
	assert_int_equal(r.verb, CONTROL_STATS);
	assert_null(r.arg.p);
	assert_int_equal(control_words_parse(SPAN("purge https://a.test/b?c=d%20e\n"), &r, &why), CONTROL_WORDS_DONE);
	assert_int_equal(r.verb, CONTROL_PURGE);
	assert_true(span_eq(r.arg, SPAN("https://a.test/b?c=d%20e")));
	assert_null(why);
}

static void every_piece_asks_for_more(void **state)
{
	struct span all = SPAN("purge https://a.test/b\n");
	struct control_request r;
	const char *why;

	(void)state;
	for (size_t n = 0; n < all.n; n++)
		assert_int_equal(control_words_parse(span_upto(all, n), &r, &why), CONTROL_WORDS_MORE);
}

static void bad_requests(void **state)
{
	static const struct {
		struct span line;
		const char *why;
	} rows[] = {
		{SPAN("\n"), "not known"},
		{SPAN(" stats\n"), "not known"},
		{SPAN("stat\n"), "not known"},
		{SPAN("statsx\n"), "not known"},
		{SPAN("STATS\n"), "not known"},
		{SPAN("stats\r\n"), "not known"},
		{SPAN("stats\0\n"), "not known"},
		{SPAN("GET / HTTP/1.1\r\n"), "not known"},
		{SPAN("stats \n"), "no argument"},
		{SPAN("stats now\n"), "no argument"},
		{SPAN("purge\n"), "needs an argument"},
		{SPAN("purge \n"), "one word"},
		{SPAN("purge  a\n"), "one word"},
		{SPAN("purge a b\n"), "one word"},
		{SPAN("purge a\r\n"), "one word"},
		{SPAN("purge a\0b\n"), "one word"},
		{SPAN("purge \xc3\xa4\n"), "one word"},
		{SPAN("stats\nstats\n"), "only one request"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct control_request r;
		const char *why = NULL;

		assert_int_equal(control_words_parse(rows[i].line, &r, &why), CONTROL_WORDS_BAD);
		assert_non_null(strstr(why, rows[i].why));
	}
}

static void the_longest_line(void **state)
{
	static char line[CONTROL_WORDS_LINE_MAX + 1];
	struct control_request r;
	const char *why;

	(void)state;
	memset(line, 'a', sizeof(line));
	memcpy(line, "purge ", 6);
	assert_int_equal(control_words_parse(span_of(line, CONTROL_WORDS_LINE_MAX - 1), &r, &why), CONTROL_WORDS_MORE);
	assert_int_equal(control_words_parse(span_of(line, CONTROL_WORDS_LINE_MAX), &r, &why), CONTROL_WORDS_BAD);
	line[CONTROL_WORDS_LINE_MAX] = '\n';
	assert_int_equal(control_words_parse(span_of(line, sizeof(line)), &r, &why), CONTROL_WORDS_BAD);
	line[CONTROL_WORDS_LINE_MAX - 1] = '\n';
	assert_int_equal(control_words_parse(span_of(line, CONTROL_WORDS_LINE_MAX), &r, &why), CONTROL_WORDS_DONE);
	assert_int_equal(r.arg.n, CONTROL_WORDS_LINE_MAX - 7);
}

static void verbs_have_words(void **state)
{
	(void)state;
	assert_string_equal(control_words_verb(CONTROL_STATS), "stats");
	assert_string_equal(control_words_verb(CONTROL_PURGE), "purge");
}

static void answers(void **state)
{
	char out[CONTROL_WORDS_ANSWER_MAX];
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	control_words_ok(&b);
	assert_true(span_eq(buf_span(&b), SPAN("ok\n")));
	b.n = 0;
	control_words_purged(&b, 18446744073709551615u);
	assert_true(span_eq(buf_span(&b), SPAN("ok\n{\"purged\":18446744073709551615}\n")));
	b.n = 0;
	control_words_error(&b, SPAN("a\nb\x7f\0c \xc3\xa4"));
	assert_true(span_eq(buf_span(&b), SPAN("error a?b??c \xc3\xa4\n")));
}

static void a_long_error_is_cut(void **state)
{
	char text[2000], out[CONTROL_WORDS_ANSWER_MAX];
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	memset(text, 'x', sizeof(text));
	control_words_error(&b, span_of(text, sizeof(text)));
	assert_false(b.full);
	assert_int_equal(b.n, 6 + 400 + 1);
	assert_int_equal(out[b.n - 1], '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests),       cmocka_unit_test(every_piece_asks_for_more),
		cmocka_unit_test(bad_requests),        cmocka_unit_test(the_longest_line),
		cmocka_unit_test(verbs_have_words),    cmocka_unit_test(answers),
		cmocka_unit_test(a_long_error_is_cut),
	};

	return cmocka_run_group_tests_name("control_words", tests, NULL, NULL);
}
