#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/base/span.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void assert_span(struct span got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

static void compares(void **state)
{
	static const struct {
		const char *a, *b;
		bool same, same_icase;
	} t[] = {
		{"", "", true, true},      {"a", "a", true, true},
		{"a", "A", false, true},   {"abc", "abd", false, false},
		{"a", "ab", false, false}, {"Content-LENGTH", "content-length", false, true},
		{"@", "`", false, false}, /* beside the letters, 32 apart as they are */
		{"[", "{", false, false},  {"\xc4", "\xe4", false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		assert_int_equal(span_eq(span_str(t[i].a), span_str(t[i].b)), t[i].same);
		assert_int_equal(span_eq_icase(span_str(t[i].a), span_str(t[i].b)), t[i].same_icase);
	}
	assert_true(span_eq(SPAN_NONE, SPAN("")));
	assert_false(span_eq(span_of("a\0b", 3), span_of("a\0c", 3)));
}

static void starts_and_ends(void **state)
{
	struct span s = SPAN("Package.TGZ");

	(void)state;
	assert_true(span_starts(s, SPAN("Pack")));
	assert_false(span_starts(s, SPAN("pack")));
	assert_true(span_starts_icase(s, SPAN("pACK")));
	assert_true(span_ends(s, SPAN(".TGZ")));
	assert_false(span_ends(s, SPAN(".tgz")));
	assert_true(span_ends_icase(s, SPAN(".tgz")));
	assert_true(span_starts(s, SPAN("")) && span_ends(s, SPAN("")));
	assert_true(span_starts(s, s) && span_ends(s, s));
	assert_false(span_starts(SPAN("Pack"), s) || span_ends(SPAN("TGZ"), s));
	assert_false(span_starts_icase(SPAN("Pack"), s) || span_ends_icase(SPAN("TGZ"), s));
}

static void parts(void **state)
{
	struct span s = SPAN("abcdef");

	(void)state;
	assert_span(span_from(s, 0), "abcdef");
	assert_span(span_from(s, 4), "ef");
	assert_span(span_from(s, 6), "");
	assert_span(span_from(s, SIZE_MAX), "");
	assert_span(span_upto(s, 0), "");
	assert_span(span_upto(s, 2), "ab");
	assert_span(span_upto(s, SIZE_MAX), "abcdef");
	assert_int_equal(span_find(s, 'a'), 0);
	assert_int_equal(span_find(s, 'f'), 5);
	assert_int_equal(span_find(s, 'g'), 6);
	assert_int_equal(span_find(SPAN_NONE, 'g'), 0);
}

static void trims_space_and_tab_only(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{"", ""},
		{" \t ", ""},
		{"a", "a"},
		{" \ta b\t ", "a b"},
		{"\va\f", "\va\f"},
		{"\r\na\r\n", "\r\na\r\n"},
		{"\xa0"
		 "a",
		 "\xa0"
		 "a"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++)
		assert_span(span_trim(span_str(t[i].in)), t[i].out);
	assert_int_equal(span_trim(span_of("\0 ", 2)).n, 1);
}

static void cuts(void **state)
{
	static const struct {
		const char *in;
		const char *parts[5];
	} t[] = {
		{"", {""}}, {"a", {"a"}}, {",", {"", ""}}, {"a,b", {"a", "b"}}, {"a,,b,", {"a", "", "b", ""}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct span rest = span_str(t[i].in), part;
		size_t n = 0;

		while (span_cut(&rest, ',', &part)) {
			assert_non_null(t[i].parts[n]);
			assert_span(part, t[i].parts[n++]);
		}
		assert_null(t[i].parts[n]);
		assert_null(rest.p);
	}
}

static void numbers(void **state)
{
	static const struct {
		const char *in;
		int result;
		uint64_t value;
	} t[] = {
		{"0", 0, 0},
		{"007", 0, 7},
		{"18446744073", 0, 18446744073u},
		{"9999999999999999999", 0, 9999999999999999999u},
		{"", -1, 0},
		{"10000000000000000000", -1, 0}, /* 20 digits: may overflow */
		{"00000000000000000001", -1, 0},
		{"-1", -1, 0},
		{"+1", -1, 0},
		{" 1", -1, 0},
		{"1 ", -1, 0},
		{"1a", -1, 0},
		{"0x1", -1, 0},
		{"1:", -1, 0},
		{"1/", -1, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		uint64_t v = 12345;

		assert_int_equal(span_to_u64(span_str(t[i].in), &v), t[i].result);
		assert_true(v == (t[i].result ? 12345 : t[i].value));
	}
	assert_int_equal(span_to_u64(span_of("1\0", 2), &(uint64_t){0}), -1);
}

static void dups(void **state)
{
	char *p = span_dup(span_of("abcdef", 3)), *empty = span_dup(SPAN_NONE);

	(void)state;
	assert_string_equal(p, "abc");
	assert_string_equal(empty, "");
	free(p);
	free(empty);
}

static void builds(void **state)
{
	char room[100];
	struct buf b = buf_over(room, sizeof(room));

	(void)state;
	buf_put(&b, SPAN("a"));
	buf_put(&b, SPAN_NONE);
	buf_putc(&b, ' ');
	buf_put_str(&b, "b ");
	buf_put_u64(&b, 0);
	buf_putc(&b, ' ');
	buf_put_u64(&b, UINT64_MAX);
	buf_putc(&b, ' ');
	buf_put_i64(&b, INT64_MIN);
	buf_putc(&b, ' ');
	buf_put_i64(&b, -7);
	buf_putc(&b, ' ');
	buf_put_hex(&b, "\x00\x7f\xff", 3);
	buf_printf(&b, " %d%s", 42, "!");
	assert_false(b.full);
	assert_span(buf_span(&b), "a b 0 18446744073709551615 -9223372036854775808 -7 007fff 42!");
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
	char room[9] = "????????";
	struct buf b = buf_over(room, 8);

	(void)state;
	buf_put(&b, SPAN("12345678"));
	assert_false(b.full);
	assert_span(buf_span(&b), "12345678");
	buf_put(&b, SPAN_NONE);
	assert_false(b.full);
	buf_putc(&b, 'x');
	assert_true(b.full);
	assert_int_equal(b.n, 8);
	assert_int_equal(room[8], '\0');

	b = buf_over(room, 8);
	buf_put(&b, SPAN("123456789"));
	assert_true(b.full && b.n == 0);
	b = buf_over(room, 8);
	buf_put_hex(&b, "12345", 5);
	assert_true(b.full && b.n == 0);
	b = buf_over(room, 8);
	buf_put_u64(&b, 123456789);
	assert_true(b.full && b.n == 0);
	b = buf_over(room, 8);
	buf_printf(&b, "%s", "1234567"); /* and a NUL */
	assert_false(b.full);
	assert_span(buf_span(&b), "1234567");
	b = buf_over(room, 8);
	buf_printf(&b, "%s", "12345678");
	assert_true(b.full && b.n == 0);
	assert_int_equal(room[8], '\0');
}

static void full_stays_full(void **state)
{
	char room[4];
	struct buf b = buf_over(room, sizeof(room));

	(void)state;
	buf_put(&b, SPAN("12345"));
	buf_put(&b, SPAN("ab"));
	assert_true(b.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares),
		cmocka_unit_test(starts_and_ends),
		cmocka_unit_test(parts),
		cmocka_unit_test(trims_space_and_tab_only),
		cmocka_unit_test(cuts),
		cmocka_unit_test(numbers),
		cmocka_unit_test(dups),
		cmocka_unit_test(builds),
		cmocka_unit_test(what_does_not_fit_is_left_out_whole),
		cmocka_unit_test(full_stays_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
