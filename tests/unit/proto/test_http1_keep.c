/* http1_keep: what is kept does not look at the old bytes any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/http1_keep.h"

#define HEAD "\r\nGET /a/b?c=d HTTP/1.1\r\nHost: registry.test\r\nX-Empty:\r\nAccept: */*\r\n\r\n"

static void everything_moves(void **state)
{
	char bytes[] = HEAD;
	struct http1_request parsed, *kept;
	struct arena arena = {0};
	size_t scanned = 0;
	enum reason why;

	(void)state;
	assert_int_equal(http1_parse_request(span_of(bytes, sizeof(bytes) - 1), &scanned, 4096, &parsed, &why),
			 HTTP1_DONE);
	kept = http1_keep_request(&arena, &parsed);
	memset(bytes, 'x', sizeof(bytes));
	memset(&parsed, 0x55, sizeof(parsed));
	assert_true(span_eq(kept->method_name, SPAN("GET")));
	assert_true(span_eq(kept->target, SPAN("/a/b?c=d")));
	assert_int_equal(kept->fields.n, 3);
	assert_true(span_eq(hdr_value(&kept->fields, HDR_HOST), SPAN("registry.test")));
	assert_true(span_eq(hdr_value(&kept->fields, HDR_ACCEPT), SPAN("*/*")));
	assert_true(span_eq(kept->fields.v[1].name, SPAN("X-Empty")));
	assert_int_equal(kept->fields.v[1].value.n, 0);
	arena_free(&arena);
}

static void urls_move(void **state)
{
	static const struct {
		const char *text, *path, *query;
	} cases[] = {
		{"http://registry.test/a?b=c", "/a", "b=c"},
		{"https://user:word@registry.test:8443/", "/", NULL},
		{"http://[::1]:81/x?", "/x", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *bytes = span_dup(span_str(cases[i].text));
		struct arena arena = {0};
		enum reason why;
		struct url url;

		assert_int_equal(url_parse_absolute(span_str(bytes), &url, &why), 0);
		http1_keep_url(&arena, &url);
		memset(bytes, 'x', strlen(bytes));
		free(bytes);
		assert_true(span_eq(url.path, span_str(cases[i].path)));
		assert_int_equal(url.query.p != NULL, cases[i].query != NULL);
		if (cases[i].query)
			assert_true(span_eq(url.query, span_str(cases[i].query)));
		arena_free(&arena);
	}
}

static void authorities_are_put(void **state)
{
	static const struct {
		const char *url, *authority;
	} cases[] = {
		{"http://registry.test/", "registry.test"},
		{"http://registry.test:80/", "registry.test"},
		{"https://registry.test:80/", "registry.test:80"},
		{"https://[::1]/", "[::1]"},
		{"https://[::1]:8443/", "[::1]:8443"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[100];
		struct buf b = buf_over(text, sizeof(text));
		enum reason why;
		struct url url;

		assert_int_equal(url_parse_absolute(span_str(cases[i].url), &url, &why), 0);
		url_put_authority(&b, &url);
		assert_true(span_eq(buf_span(&b), span_str(cases[i].authority)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_moves),
		cmocka_unit_test(urls_move),
		cmocka_unit_test(authorities_are_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
