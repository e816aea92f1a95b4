#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/ctl/ctl_json.h"

static void good_and_bad(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"{}", true},
		{" [ ] \n", true},
		{"{\"a\":[1,-2.5e+3,true,false,null,\"x\\u00e4\\n\"]}", true},
		{"0", true},
		{"\"\"", true},
		{"", false},
		{" ", false},
		{"{", false},
		{"{}}", false},
		{"{} {}", false},
		{"[1,]", false},
		{"[,1]", false},
		{"[1 2]", false},
		{"{\"a\"}", false},
		{"{\"a\":}", false},
		{"{a:1}", false},
		{"{\"a\":1,}", false},
		{"01", false},
		{"1.", false},
		{"-", false},
		{"1e", false},
		{"+1", false},
		{"tru", false},
		{"truer", false},
		{"\"", false},
		{"\"\\\"", false},
		{"\"\\x\"", false},
		{"\"\\u12g4\"", false},
		{"\"\\u12", false},
		{"\"a\nb\"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (ctl_json_is_good(span_str(rows[i].text)) != rows[i].good)
			fail_msg("%s", rows[i].text);
}

static void members_of_an_object(void **state)
{
	struct span rest = SPAN(" {\"a.b/c\" : {\"x\":[1,{}]}, \"\":2 }"), name, value;

	(void)state;
	assert_true(ctl_json_member(&rest, &name, &value));
	assert_true(span_eq(name, SPAN("a.b/c")) && span_eq(value, SPAN("{\"x\":[1,{}]}")));
	assert_true(ctl_json_member(&rest, &name, &value));
	assert_true(span_eq(name, SPAN("")) && span_eq(value, SPAN("2")));
	assert_false(ctl_json_member(&rest, &name, &value));
	rest = SPAN("{}");
	assert_false(ctl_json_member(&rest, &name, &value));
	rest = SPAN("[1]");
	assert_false(ctl_json_member(&rest, &name, &value));
	rest = SPAN_NONE;
	assert_false(ctl_json_member(&rest, &name, &value));
}

static void depth_is_bounded(void **state)
{
	char text[200];

	(void)state;
	memset(text, '[', 100);
	memset(text + 100, ']', 100);
	assert_true(ctl_json_is_good(span_of(text + 100 - CTL_JSON_DEPTH, 2 * CTL_JSON_DEPTH)));
	assert_false(ctl_json_is_good(span_of(text + 99 - CTL_JSON_DEPTH, 2 * CTL_JSON_DEPTH + 2)));
	assert_false(ctl_json_is_good(span_of(text, 100)));
}

static void looking(void **state)
{
	struct span o = SPAN("{ \"a\" : {\"x\\\"}\": 9, \"b\":[ {\"n\":1} , {\"n\":22},{\"n\":333} ]}, \"t\":true,"
			     "\"f\":false,\"z\":null, \"big\":18446744073709551615,\"r\":0.2500,\"neg\":-3,"
			     "\"s\":\"a\\\"b\\\\c\\n\\u001b[0m\xc3\xa4!\",\"e\":\"\",\"empty\":[]}");
	struct span rest, item;
	char text[64], small[4];
	uint64_t sum = 0;

	(void)state;
	assert_true(ctl_json_is_good(o));
	rest = ctl_json_get(o, "a.b");
	while (ctl_json_next(&rest, &item))
		sum = sum * 1000 + ctl_json_u64(item, "n");
	assert_int_equal(1022333, sum);
	rest = ctl_json_get(o, "empty");
	assert_false(ctl_json_next(&rest, &item));
	rest = ctl_json_get(o, "nowhere");
	assert_false(ctl_json_next(&rest, &item));
	assert_null(ctl_json_get(o, "a.nowhere").p);
	assert_null(ctl_json_get(o, "t.x").p);
	assert_true(ctl_json_is_true(o, "t"));
	assert_false(ctl_json_is_true(o, "f"));
	assert_true(ctl_json_has(o, "f"));
	assert_false(ctl_json_has(o, "z"));
	assert_false(ctl_json_has(o, "nowhere"));
	assert_true(ctl_json_u64(o, "big") == UINT64_MAX);
	assert_true(ctl_json_u64(o, "neg") == 0);
	assert_true(ctl_json_number(o, "r") == 0.25);
	assert_true(ctl_json_number(o, "neg") == -3);
	assert_true(ctl_json_number(o, "s") == 0);
	assert_string_equal("a\"b\\c??[0m?!", ctl_json_text(o, "s", text, sizeof(text)));
	assert_string_equal("a\"b", ctl_json_text(o, "s", small, sizeof(small)));
	assert_string_equal("", ctl_json_text(o, "e", text, sizeof(text)));
	assert_string_equal("", ctl_json_text(o, "t", text, sizeof(text)));
	assert_string_equal("", ctl_json_text(o, "nowhere", text, sizeof(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_and_bad),
		cmocka_unit_test(members_of_an_object),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(looking),
	};

	return cmocka_run_group_tests_name("ctl_json", tests, NULL, NULL);
}
