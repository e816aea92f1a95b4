#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/ctl/ctl_lock.h"

#define A "\"resolved\":\"https://registry.test/a/-/a-1.0.0.tgz\",\"integrity\":\"sha512-AA==\""
#define B "\"resolved\":\"https://registry.test/b/-/b-2.0.0.tgz\""

static void all_versions(void **state)
{
	static const struct {
		const char *text;
		int version;
		size_t left_out;
	} rows[] = {
		{"{\"lockfileVersion\":1,\"dependencies\":{\"a\":{" A ",\"dependencies\":{\"b\":{" B "}}},"
		 "\"g\":{\"version\":\"git+ssh://host.test/g.git#1\"}}}",
		 1, 1},
		{"{\"dependencies\":{\"b\":{" B "},\"a\":{" A "}}}", 1, 0},
		{"{\"lockfileVersion\":2,\"packages\":{\"\":{\"name\":\"x\"},\"node_modules/a\":{" A "},"
		 "\"node_modules/a/node_modules/b\":{" B "}},\"dependencies\":{\"c\":{}}}",
		 2, 0},
		{"{\"lockfileVersion\":3,\"packages\":{\"node_modules/b\":{" B "},\"node_modules/a\":{" A "},"
		 "\"node_modules/c/node_modules/a\":{" A "},\"node_modules/w\":{\"resolved\":\"w\",\"link\":true}}}",
		 3, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl_lock lock;
		const char *why = "";

		if (!ctl_lock_parse(span_str(rows[i].text), &lock, &why))
			fail_msg("%zu: %s", i, why);
		assert_int_equal(lock.version, rows[i].version);
		assert_int_equal(lock.n, 2);
		assert_string_equal(lock.v[0].url, "https://registry.test/a/-/a-1.0.0.tgz");
		assert_string_equal(lock.v[0].name, "a");
		assert_string_equal(lock.v[0].integrity, "sha512-AA==");
		assert_string_equal(lock.v[1].url, "https://registry.test/b/-/b-2.0.0.tgz");
		assert_string_equal(lock.v[1].name, "b");
		assert_string_equal(lock.v[1].integrity, "");
		assert_int_equal(lock.left_out, rows[i].left_out);
		ctl_lock_free(&lock);
	}
}

static void what_is_none(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "no JSON"},
		{"# yarn lockfile v1\n", "no JSON"},
		{"lockfileVersion: '9.0'\n", "no JSON"},
		{"{\"lockfileVersion\":4,\"packages\":{}}", "version"},
		{"{\"lockfileVersion\":\"3\",\"packages\":{}}", "version"},
		{"{\"lockfileVersion\":3}", "neither packages"},
		{"{\"lockfileVersion\":3,\"packages\":[]}", "neither packages"},
		{"{\"name\":\"x\"}", "neither packages"},
		{"[]", "neither packages"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl_lock lock;
		const char *why = "";

		assert_false(ctl_lock_parse(span_str(rows[i].text), &lock, &why));
		if (!strstr(why, rows[i].why))
			fail_msg("%s: %s", rows[i].text, why);
	}
}

static void integrity(void **state)
{
	uint8_t one[HASH_MAX_BYTES], two[HASH_MAX_BYTES];
	char text[600];
	struct buf b = buf_over(text, sizeof(text));
	struct hash *h = hash_new(HASH_SHA512);
	enum hash_kind kind;

	(void)state;
	hash_end(h, one);
	hash_free(h);
	memcpy(two, one, sizeof(two));
	two[5] ^= 1;
	buf_put_str(&b, "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= sha512-");
	base64_encode(span_of((char *)one, 64), &b);
	buf_put_str(&b, "?blob sha512-");
	base64_encode(span_of((char *)two, 64), &b);
	assert_true(ctl_lock_strongest(buf_span(&b), &kind));
	assert_int_equal(kind, HASH_SHA512);
	assert_true(ctl_lock_fits(buf_span(&b), kind, one) && ctl_lock_fits(buf_span(&b), kind, two)); /* any of them */
	one[0] ^= 1;
	assert_false(ctl_lock_fits(buf_span(&b), kind, one));
	assert_true(ctl_lock_strongest(SPAN("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="), &kind));
	assert_int_equal(kind, HASH_SHA1);
	assert_false(ctl_lock_strongest(SPAN(""), &kind));
	assert_false(ctl_lock_strongest(SPAN("sha512-AA== md5-AAAA"), &kind));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_versions),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(integrity),
	};

	return cmocka_run_group_tests_name("ctl_lock", tests, NULL, NULL);
}
