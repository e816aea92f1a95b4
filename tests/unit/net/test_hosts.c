#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "node/net/hosts.h"

/* The addresses of a name, with spaces between. */
static const char *find(const struct hosts *h, const char *name, char out[400])
{
	struct addr v[8];
	struct buf b = buf_over(out, 399);
	size_t n = hosts_find(h, span_str(name), v, 8);

	for (size_t i = 0; i < n; i++) {
		char ip[ADDR_TEXT_BYTES];

		assert_int_equal(0, addr_port(&v[i]));
		buf_printf(&b, i ? " %s" : "%s", addr_format_ip(&v[i], ip));
	}
	out[b.n] = '\0';
	return out;
}

static void test_table(void **state)
{
	static const char text[] = "# comment\n"
				   "127.0.0.1\tlocalhost\n"
				   "192.0.2.1 registry.test Mirror.TEST. # 192.0.2.9 no.test\n"
				   "  2001:db8::1   registry.test\r\n"
				   "192.0.2.2 registry.test\n"
				   "not-an-address a.test\n"
				   "192.0.2.3\n"
				   "fe80::1%lo0 scoped.test\n"
				   "192.0.2.4 good.test b*d.test also-good.test\n"
				   "\n"
				   "#192.0.2.5 hidden.test\n"
				   "192.0.2.6 last.test";
	static const struct {
		const char *name, *addresses;
	} t[] = {
		{"localhost", "127.0.0.1"},
		{"registry.test", "192.0.2.1 2001:db8::1 192.0.2.2"},
		{"REGISTRY.test.", "192.0.2.1 2001:db8::1 192.0.2.2"},
		{"mirror.test", "192.0.2.1"},
		{"good.test", "192.0.2.4"},
		{"also-good.test", "192.0.2.4"},
		{"last.test", "192.0.2.6"},
		{"b*d.test", ""},
		{"a.test", ""},
		{"no.test", ""},
		{"hidden.test", ""},
		{"scoped.test", ""},
		{"registry", ""},
		{"registry.test.example", ""},
		{"", ""},
		{".", ""},
	};
	struct hosts *h = hosts_parse(span_str(text));
	char out[400];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(t[i].addresses, find(h, t[i].name, out));
	assert_int_equal(8, hosts_count(h));
	hosts_free(h);
}

static void test_room(void **state)
{
	struct hosts *h = hosts_parse(SPAN("192.0.2.1 a\n192.0.2.2 a\n192.0.2.3 a\n"));
	struct addr v[2];

	(void)state;
	assert_int_equal(2, hosts_find(h, SPAN("a"), v, 2));
	hosts_free(h);
}

static void test_nothing(void **state)
{
	struct hosts *h = hosts_parse(SPAN_NONE);
	struct addr v[1];
	char lengthy[1000];

	(void)state;
	memset(lengthy, 'a', sizeof(lengthy));
	assert_int_equal(0, hosts_count(h));
	assert_int_equal(0, hosts_find(h, SPAN("a"), v, 1));
	assert_int_equal(0, hosts_find(h, span_of(lengthy, sizeof(lengthy)), v, 1));
	assert_int_equal(0, hosts_find(NULL, SPAN("a"), v, 1));
	hosts_free(h);
	hosts_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
