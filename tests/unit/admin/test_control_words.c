#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/control_words.h"

static void good_requests(void **state)
{
	static const struct {
		struct span line;
		enum control_verb verb;
		const char *arg;
	} rows[] = {
		{SPAN("stats\n"), CONTROL_STATS, NULL},
		{SPAN("since 1795441498122\n"), CONTROL_SINCE, "1795441498122"},
		{SPAN("peers\n"), CONTROL_PEERS, NULL},
		{SPAN("matrix\n"), CONTROL_MATRIX, NULL},
		{SPAN("explain https://a.test/b\n"), CONTROL_EXPLAIN, "https://a.test/b"},
		{SPAN("offline on\n"), CONTROL_OFFLINE, "on"},
		{SPAN("scrub start=0\n"), CONTROL_SCRUB, "start=0"},
		{SPAN("refresh https://a.test/b\n"), CONTROL_REFRESH, "https://a.test/b"},
		{SPAN("purge https://a.test/b?c=d%20e\n"), CONTROL_PURGE, "https://a.test/b?c=d%20e"},
		{SPAN("purge-prefix https://a.test/\n"), CONTROL_PURGE_PREFIX, "https://a.test/"},
		{SPAN("purge-host a.test\n"), CONTROL_PURGE_HOST, "a.test"},
		{SPAN("purge-all\n"), CONTROL_PURGE_ALL, NULL},
		{SPAN("cluster-purge https://a.test/b\n"), CONTROL_CLUSTER_PURGE, "https://a.test/b"},
		{SPAN("cluster-purge-prefix https://a.test/\n"), CONTROL_CLUSTER_PURGE_PREFIX, "https://a.test/"},
		{SPAN("cluster-purge-host a.test\n"), CONTROL_CLUSTER_PURGE_HOST, "a.test"},
		{SPAN("cluster-purge-all\n"), CONTROL_CLUSTER_PURGE_ALL, NULL},
		{SPAN("purge-class immutable\n"), CONTROL_PURGE_CLASS, "immutable"},
		{SPAN("purge-digest sha256:00\n"), CONTROL_PURGE_DIGEST, "sha256:00"},
		{SPAN("cluster-purge-class mutable\n"), CONTROL_CLUSTER_PURGE_CLASS, "mutable"},
		{SPAN("cluster-purge-digest sha256:00\n"), CONTROL_CLUSTER_PURGE_DIGEST, "sha256:00"},
		{SPAN("soft-purge https://a.test/b\n"), CONTROL_SOFT_PURGE, "https://a.test/b"},
		{SPAN("soft-purge-prefix https://a.test/\n"), CONTROL_SOFT_PURGE_PREFIX, "https://a.test/"},
		{SPAN("soft-purge-host a.test\n"), CONTROL_SOFT_PURGE_HOST, "a.test"},
		{SPAN("soft-purge-class negative\n"), CONTROL_SOFT_PURGE_CLASS, "negative"},
		{SPAN("soft-purge-digest sha256:00\n"), CONTROL_SOFT_PURGE_DIGEST, "sha256:00"},
		{SPAN("soft-purge-all\n"), CONTROL_SOFT_PURGE_ALL, NULL},
		{SPAN("cluster-soft-purge https://a.test/b\n"), CONTROL_CLUSTER_SOFT_PURGE, "https://a.test/b"},
		{SPAN("cluster-soft-purge-prefix https://a.test/\n"), CONTROL_CLUSTER_SOFT_PURGE_PREFIX,
		 "https://a.test/"},
		{SPAN("cluster-soft-purge-host a.test\n"), CONTROL_CLUSTER_SOFT_PURGE_HOST, "a.test"},
		{SPAN("cluster-soft-purge-class negative\n"), CONTROL_CLUSTER_SOFT_PURGE_CLASS, "negative"},
		{SPAN("cluster-soft-purge-digest sha256:00\n"), CONTROL_CLUSTER_SOFT_PURGE_DIGEST, "sha256:00"},
		{SPAN("cluster-soft-purge-all\n"), CONTROL_CLUSTER_SOFT_PURGE_ALL, NULL},
		{SPAN("deny sha256:00\n"), CONTROL_DENY, "sha256:00"},
		{SPAN("allow sha256:00\n"), CONTROL_ALLOW, "sha256:00"},
		{SPAN("cluster-deny sha256:00\n"), CONTROL_CLUSTER_DENY, "sha256:00"},
		{SPAN("cluster-allow sha256:00\n"), CONTROL_CLUSTER_ALLOW, "sha256:00"},
		{SPAN("denied\n"), CONTROL_DENIED, NULL},
		{SPAN("upgrade\n"), CONTROL_UPGRADE, NULL},
		{SPAN("reload\n"), CONTROL_RELOAD, NULL},
		{SPAN("rotate\n"), CONTROL_ROTATE, NULL},
		{SPAN("objects\n"), CONTROL_OBJECTS, NULL},
		{SPAN("recent\n"), CONTROL_RECENT, NULL},
		{SPAN("import https://a.test/b\n"), CONTROL_IMPORT, "https://a.test/b"},
		{SPAN("list-prefix https://a.test/\n"), CONTROL_LIST_PREFIX, "https://a.test/"},
		{SPAN("list-host a.test\n"), CONTROL_LIST_HOST, "a.test"},
		{SPAN("list-class immutable\n"), CONTROL_LIST_CLASS, "immutable"},
		{SPAN("list-all\n"), CONTROL_LIST_ALL, NULL},
	};

	(void)state;
	assert_int_equal(CONTROL_VERB_COUNT, sizeof(rows) / sizeof(rows[0]));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span line = rows[i].line;
		struct control_request r;
		const char *why = NULL;

		assert_int_equal(control_words_parse(line, &r, &why), CONTROL_WORDS_DONE);
		assert_int_equal(r.verb, rows[i].verb);
		if (rows[i].arg)
			assert_true(span_eq(r.arg, span_str(rows[i].arg)));
		else
			assert_null(r.arg.p);
		assert_null(why);
		assert_true(span_starts(line, span_str(control_words_verb(r.verb))));
	}
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
		{SPAN("peers edge1\n"), "no argument"},
		{SPAN("matrix \n"), "no argument"},
		{SPAN("explain\n"), "needs an argument"},
		{SPAN("explain a b\n"), "one word"},
		{SPAN("purge-prefix\n"), "needs an argument"},
		{SPAN("purge-host a b\n"), "one word"},
		{SPAN("purge-all everything\n"), "no argument"},
		{SPAN("cluster-purge\n"), "needs an argument"},
		{SPAN("cluster-purge-all x\n"), "no argument"},
		{SPAN("cluster-purge-everything\n"), "not known"},
		{SPAN("purge-\n"), "not known"},
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
