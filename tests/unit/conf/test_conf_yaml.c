#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "node/base/mem.h"
#include "node/conf/conf_yaml.h"

static struct conf_yaml *parsed(const char *text)
{
	struct conf_yaml_error err = {0};
	struct conf_yaml *y = conf_yaml_parse(span_str(text), &err);

	if (!y)
		fail_msg("%u: %s", err.line, err.text);
	return y;
}

static void keeps_text_order_and_lines(void **state)
{
	struct conf_yaml *y = parsed("# comment\na: 4 MB\n\nb:\n  - \"x\"\n  - [on,\n     y]\nc: {d: ''}\na: 2\n"), *v;

	(void)state;
	assert_int_equal(y->kind, CONF_YAML_MAP);
	assert_int_equal(y->line, 2);
	v = y->first;
	assert_string_equal(v->key, "a");
	assert_string_equal(v->text, "4 MB");
	assert_true(v->plain);
	assert_int_equal(v->key_line, 2);
	v = v->next;
	assert_string_equal(v->key, "b");
	assert_int_equal(v->kind, CONF_YAML_LIST);
	assert_int_equal(v->key_line, 4);
	assert_string_equal(v->first->text, "x");
	assert_false(v->first->plain);
	assert_int_equal(v->first->line, 5);
	assert_string_equal(v->first->next->first->text, "on");
	assert_int_equal(v->first->next->first->next->line, 7);
	assert_null(v->first->next->next);
	v = v->next;
	assert_string_equal(v->first->key, "d");
	assert_string_equal(v->first->text, "");
	assert_false(conf_yaml_is_null(v->first));
	v = v->next;
	assert_string_equal(v->key, "a"); /* repeated keys are the reader's to judge */
	assert_int_equal(v->key_line, 9);
	assert_null(v->next);
	conf_yaml_free(y);
}

static void nothing_is_an_empty_map(void **state)
{
	static const char *const texts[] = {"", "\n", "# only a comment\n", "{}"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf_yaml *y = parsed(texts[i]);

		assert_int_equal(y->kind, CONF_YAML_MAP);
		assert_null(y->first);
		conf_yaml_free(y);
	}
}

static void knows_null(void **state)
{
	struct conf_yaml *y = parsed("[~, null, NULL, '~', x]"), *v = y->first;

	(void)state;
	assert_true(conf_yaml_is_null(v));
	assert_true(conf_yaml_is_null(v->next));
	assert_true(conf_yaml_is_null(v->next->next));
	assert_false(conf_yaml_is_null(v->next->next->next));
	assert_false(conf_yaml_is_null(v->next->next->next->next));
	conf_yaml_free(y);
}

static void refuses_with_the_line(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *says;
	} cases[] = {
		{"a: &x 1\n", 1, "anchors"},
		{"a: 1\nb: &x {c: d}\n", 2, "anchors"},
		{"a: &x [1]\n", 1, "anchors"},
		{"a: 1\nb: *x\n", 2, "aliases"},
		{"a: 1\nb: [*.x.test]\n", 2, "needs quotes"},
		{"a: *.x.test\n", 1, "needs quotes"},
		{"a: 1\nb:\n  <<: {c: 1}\n", 3, "merge"},
		{"a: !!int 1\n", 1, "tags"},
		{"a: ! x\n", 1, "tags"},
		{"a: 1\n---\nb: 1\n", 2, "second document"},
		{"a: 1\n? [b]\n: 1\n", 2, "key"},
		{"a:\n  b: 1\n\tc: 1\n", 3, "tab"},
		{"a: [1, 2\nb: 3\n", 2, ""},
		{"a: 1\n b: 2\n", 2, ""},
		{"a: 1\nb: \"\\0\"\n", 2, "NUL"},
		{"a: 1\nb: \xff\n", 2, "UTF-8"},
		{"a: \"never ended\n", 2, ""},
		{"[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]", 1, "deep"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_yaml_error err = {0};

		if (conf_yaml_parse(span_str(cases[i].text), &err))
			fail_msg("taken: %s", cases[i].text);
		if (err.line != cases[i].line || !strstr(err.text, cases[i].says) || !err.text[0])
			fail_msg("%s gave %u: %s", cases[i].text, err.line, err.text);
	}
}

static void bounds_size_and_count(void **state)
{
	char *text = mem_alloc(CONF_YAML_MAX_BYTES + 1);
	struct conf_yaml_error err;
	size_t n = 0;

	(void)state;
	memset(text, ' ', CONF_YAML_MAX_BYTES + 1);
	assert_null(conf_yaml_parse(span_of(text, CONF_YAML_MAX_BYTES + 1), &err));
	assert_non_null(strstr(err.text, "larger"));
	text[n++] = '[';
	for (size_t i = 0; i < CONF_YAML_MAX_NODES; i++) {
		text[n++] = '1';
		text[n++] = ',';
	}
	text[n++] = ']';
	assert_null(conf_yaml_parse(span_of(text, n), &err));
	assert_non_null(strstr(err.text, "too many"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_text_order_and_lines),
		cmocka_unit_test(nothing_is_an_empty_map),
		cmocka_unit_test(knows_null),
		cmocka_unit_test(refuses_with_the_line),
		cmocka_unit_test(bounds_size_and_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
