#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/hash.h"
#include "proto/proxyauth.h"

static struct span encoded(const char *pair, char *room, size_t cap)
{
	struct buf b = buf_over(room, cap);

	buf_put(&b, SPAN("Basic "));
	base64_encode(span_str(pair), &b);
	assert_false(b.full);
	return buf_span(&b);
}

static void the_name_is_what_stands_before_the_colon(void **state)
{
	static const struct {
		const char *pair, *name;
	} rows[] = {
		{"job7:", "job7"},
		{"job7:secret", "job7"},
		{"a:b:c", "a"},
		{"ab:", "ab"},
		{"abc:", "abc"},
		{":secret", ""},
		{"two words:x", "two words"},
		{"line\r\nend:x", "line\r\nend"},
		{"no colon", ""},
		{"", ""},
	};
	char room[128], out[PROXYAUTH_USER_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = proxyauth_user(encoded(rows[i].pair, room, sizeof(room)), out);

		assert_int_equal(n, strlen(rows[i].name));
		assert_memory_equal(out, rows[i].name, n);
	}
}

static void a_long_name_is_cut(void **state)
{
	char pair[301], room[512], out[PROXYAUTH_USER_BYTES];

	(void)state;
	memset(pair, 'n', 300);
	pair[300] = '\0';
	assert_int_equal(proxyauth_user(encoded(pair, room, sizeof(room)), out), PROXYAUTH_USER_BYTES);
	assert_int_equal(out[PROXYAUTH_USER_BYTES - 1], 'n');
}

static void what_is_not_basic_or_not_base64_has_none(void **state)
{
	static const char *const values[] = {"",          "Basic",          "Basic ",       "Bearer am9iOng=",
					     "Basic am9", "Basic am9i*zp4", "Basic am9iOn", "Basicam9iOng="};
	char out[PROXYAUTH_USER_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_int_equal(proxyauth_user(span_str(values[i]), out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_is_what_stands_before_the_colon),
		cmocka_unit_test(a_long_name_is_cut),
		cmocka_unit_test(what_is_not_basic_or_not_base64_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
