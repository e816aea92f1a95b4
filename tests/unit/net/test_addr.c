#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/net/addr.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *out; /* NULL: refused */
	} t[] = {
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"[2001:DB8::1]:443", "[2001:db8::1]:443"},
		{"[::]:0", "[::]:0"},
		{"[::ffff:192.0.2.1]:80", "192.0.2.1:80"},
		{"0.0.0.0:65535", "0.0.0.0:65535"},
		{"192.0.2.1:65536", NULL},
		{"192.0.2.1", NULL},
		{"192.0.2.1:", NULL},
		{"192.0.2.1:+1", NULL},
		{"192.0.2:80", NULL},
		{"192.0.2.256:80", NULL},
		{"2001:db8::1:443", NULL},
		{"[2001:db8::1]", NULL},
		{"[2001:db8::1:443", NULL},
		{"[]:80", NULL},
		{"host.test:80", NULL},
		{":80", NULL},
		{":", NULL},
		{"", NULL},
		{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:80", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char out[ADDR_TEXT_BYTES];
		struct addr a;

		if (addr_parse(span_str(t[i].text), &a) < 0) {
			assert_null(t[i].out);
			continue;
		}
		if (!t[i].out)
			fail_msg("%s was taken", t[i].text);
		assert_string_equal(t[i].out, addr_format(&a, out));
	}
}

static void test_parse_ip(void **state)
{
	static const struct {
		const char *text, *out;
	} t[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"[192.0.2.1", NULL},
		{"1", NULL},
		{"0x7f.1", NULL},
		{"fe80::1%lo", NULL},
		{"", NULL},
		{"::1 ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char out[ADDR_TEXT_BYTES];
		struct addr a;

		assert_int_equal(t[i].out ? 0 : -1, addr_parse_ip(span_str(t[i].text), 8080, &a));
		if (!t[i].out)
			continue;
		assert_string_equal(t[i].out, addr_format_ip(&a, out));
		assert_int_equal(8080, addr_port(&a));
	}
}

static void test_same(void **state)
{
	struct addr a, b;

	(void)state;
	addr_parse(SPAN("192.0.2.1:80"), &a);
	addr_parse(SPAN("192.0.2.1:80"), &b);
	assert_true(addr_same(&a, &b));
	addr_set_port(&b, 81);
	assert_false(addr_same(&a, &b));
	addr_parse(SPAN("192.0.2.2:80"), &b);
	assert_false(addr_same(&a, &b));
	addr_parse(SPAN("[2001:db8::1]:80"), &b);
	assert_false(addr_same(&a, &b));
	addr_parse(SPAN("[2001:db8::1]:80"), &a);
	assert_true(addr_same(&a, &b));
	addr_parse(SPAN("[2001:db8::2]:80"), &a);
	assert_false(addr_same(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_ip),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
