#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/storeid.h"

#define VECTORS "storeid_vectors.txt" /* beside this file */

static FILE *open_vectors(void)
{
	const char *slash = strrchr(__FILE__, '/');
	int dir_bytes = slash ? (int)(slash + 1 - __FILE__) : 0;
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%.*s" VECTORS, dir_bytes, __FILE__);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s cannot be read; tests run from the root of the project", path);
	return f;
}

static void format(const char *text, struct buf *b, struct storeid *id)
{
	struct url url;
	enum reason why;

	if (url_parse_absolute(span_str(text), &url, &why) != 0)
		fail_msg("%s: no URL", text);
	storeid_format(b, &url, id);
	if (b->full)
		fail_msg("%s: does not fit", text);
}

static void check_vector(const char *url, const char *expected)
{
	char mem[2048], again_mem[2048];
	struct buf b = buf_over(mem, sizeof(mem)), again = buf_over(again_mem, sizeof(again_mem));
	struct storeid id, id2;
	char *text;

	format(url, &b, &id);
	if (!span_eq(id.text, span_str(expected)))
		fail_msg("%s: %.*s instead of %s", url, SPAN_ARG(id.text), expected);
	assert_true(id.path.p[0] == '/');
	assert_true(span_eq(buf_span(&b), id.text));
	text = span_dup(id.text);
	format(text, &again, &id2);
	assert_true(span_eq(id.text, id2.text));
	free(text);
}

static void shared_vectors(void **state)
{
	FILE *f = open_vectors();
	char line[4096];
	unsigned n = 0;

	(void)state;
	while (fgets(line, sizeof(line), f)) {
		char *tab = strchr(line, '\t');

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		assert_non_null(tab);
		*tab = '\0';
		check_vector(line, tab + 1);
		n++;
	}
	fclose(f);
	assert_true(n > 50);
}

static void parts_are_given(void **state)
{
	char mem[256];
	struct buf b = buf_over(mem, sizeof(mem));
	struct storeid id;

	(void)state;
	format("https://A.test/%7Ex?y=1", &b, &id);
	assert_true(span_eq(id.path, SPAN("/~x")));
	assert_true(span_eq(id.query, SPAN("y=1")));
	assert_false(id.signature_dropped);
	format("https://A.test/x", &b, &id);
	assert_null(id.query.p);
	assert_true(span_eq(id.text, SPAN("https://a.test/x"))); /* written behind the first */
}

static void dropping_all_parameters_leaves_no_query(void **state)
{
	char mem[256];
	struct buf b = buf_over(mem, sizeof(mem));
	struct storeid id;

	(void)state;
	format("https://a.test/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef?jwt=secret", &b, &id);
	assert_true(id.signature_dropped);
	assert_null(id.query.p);
}

static void what_does_not_fit_says_so(void **state)
{
	char mem[STOREID_BYTES(8) - 1];
	struct buf b = buf_over(mem, sizeof(mem));
	struct storeid id;
	struct url url;
	enum reason why;

	(void)state;
	assert_int_equal(url_parse_absolute(SPAN("http://a.test/x"), &url, &why), 0);
	storeid_format(&b, &url, &id);
	assert_true(b.full);
	assert_int_equal(b.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_vectors),
		cmocka_unit_test(parts_are_given),
		cmocka_unit_test(dropping_all_parameters_leaves_no_query),
		cmocka_unit_test(what_does_not_fit_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
