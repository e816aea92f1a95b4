#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/url.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void assert_span(struct span s, const char *expected)
{
	if (!span_eq(s, span_str(expected)))
		fail_msg("\"%.*s\" instead of \"%s\"", SPAN_ARG(s), expected);
}

struct good {
	const char *target, *userinfo, *host, *path, *query /* NULL: none */;
	unsigned port;
	bool https, is_ip, is_ipv6;
};

static const struct good good[] = {
	{"http://a.test/", "", "a.test", "/", NULL, 80, false, false, false},
	{"http://a.test", "", "a.test", "/", NULL, 80, false, false, false},
	{"HTTPS://A.Test:8443/x?y=1", "", "A.Test", "/x", "y=1", 8443, true, false, false},
	{"https://a.test/?", "", "a.test", "/", "", 443, true, false, false},
	{"http://a.test:/x", "", "a.test", "/x", NULL, 80, false, false, false},
	{"http://a.test:00080/x", "", "a.test", "/x", NULL, 80, false, false, false},
	{"http://a.test./x", "", "a.test", "/x", NULL, 80, false, false, false},
	{"http://u:p@a.test/x", "u:p", "a.test", "/x", NULL, 80, false, false, false},
	{"http://evil.test@a.test@b.test/x", "evil.test@a.test", "b.test", "/x", NULL, 80, false, false, false},
	{"http://a.test/x@y.test", "", "a.test", "/x@y.test", NULL, 80, false, false, false},
	{"http://10.0.0.1:81/x", "", "10.0.0.1", "/x", NULL, 81, false, true, false},
	{"http://[::1]/x", "", "::1", "/x", NULL, 80, false, true, true},
	{"https://[2001:DB8::1]:8443/x", "", "2001:DB8::1", "/x", NULL, 8443, true, true, true},
	{"http://1password.test/", "", "1password.test", "/", NULL, 80, false, false, false},
	{"http://a.1b/", "", "a.1b", "/", NULL, 80, false, false, false},
	{"http://my_host/", "", "my_host", "/", NULL, 80, false, false, false},
	{"http://xn--bcher-kva.test/", "", "xn--bcher-kva.test", "/", NULL, 80, false, false, false},
	{"http://a.test/b\xc3\xbc?\xff", "", "a.test", "/b\xc3\xbc", "\xff", 80, false, false, false},
	{"http://a.test/x?y?z", "", "a.test", "/x", "y?z", 80, false, false, false},
	{"http://" L63 ".test/", "", L63 ".test", "/", NULL, 80, false, false, false},
};

static void absolute_form_is_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		const struct good *g = &good[i];
		struct url u;
		enum reason why;

		if (url_parse_absolute(span_str(g->target), &u, &why) != 0)
			fail_msg("%s: refused", g->target);
		assert_span(u.userinfo, g->userinfo);
		assert_span(u.host, g->host);
		assert_span(u.path, g->path);
		assert_true((u.query.p == NULL) == (g->query == NULL));
		assert_span(u.query, g->query ? g->query : "");
		assert_int_equal(u.path_query.n, u.path.n + (u.query.p ? u.query.n + 1 : 0));
		assert_int_equal(u.port, g->port);
		assert_int_equal(u.https, g->https);
		assert_int_equal(u.is_ip, g->is_ip);
		assert_int_equal(u.is_ipv6, g->is_ipv6);
	}
}

static const struct {
	const char *target;
	enum reason why;
} bad[] = {
	{"", REASON_BAD_URL},
	{"/x", REASON_BAD_URL},
	{"*", REASON_BAD_URL},
	{"http:/a.test/", REASON_BAD_URL},
	{"http:a.test", REASON_BAD_URL},
	{"://a.test/", REASON_BAD_URL},
	{"1tp://a.test/", REASON_BAD_URL},
	{"ftp://a.test/", REASON_BAD_SCHEME},
	{"ws://a.test/", REASON_BAD_SCHEME},
	{"wss://a.test/", REASON_BAD_SCHEME},
	{"cache_object://a.test/", REASON_BAD_URL},
	{"urn:isbn:1", REASON_BAD_SCHEME},
	{"http://", REASON_BAD_URL},
	{"http:///x", REASON_BAD_URL},
	{"http://:80/x", REASON_BAD_URL},
	{"http://a.test?x", REASON_BAD_URL},
	{"http://a.test#x", REASON_BAD_URL},
	{"http://a.test/#x", REASON_BAD_URL},
	{"http://a.test/x?y#z", REASON_BAD_URL},
	{"http://a.test/a b", REASON_BAD_URL},
	{"http://a.test/a\tb", REASON_BAD_URL},
	{"http://a.test/a\x7f", REASON_BAD_URL},
	{"http://a.test/a\x01", REASON_BAD_URL},
	{"http://a.test:0/", REASON_BAD_URL},
	{"http://a.test:65536/", REASON_BAD_URL},
	{"http://a.test:000080/", REASON_BAD_URL},
	{"http://a.test:80x/", REASON_BAD_URL},
	{"http://a.test:-1/", REASON_BAD_URL},
	{"http://a.test:80:80/", REASON_BAD_URL},
	{"http://a..test/", REASON_BAD_URL},
	{"http://.a.test/", REASON_BAD_URL},
	{"http://./", REASON_BAD_URL},
	{"http://a.test../", REASON_BAD_URL},
	{"http://a%2etest/", REASON_BAD_URL},
	{"http://a*b.test/", REASON_BAD_URL},
	{"http://b\xc3\xbc.test/", REASON_BAD_URL},
	{"http://a\\b.test/", REASON_BAD_URL},
	{"http://" L63 "a.test/", REASON_BAD_URL},
	{"http://" L63 "." L63 "." L63 "." L63 "/", REASON_BAD_URL},
	{"http://127.1/", REASON_BAD_URL},
	{"http://2130706433/", REASON_BAD_URL},
	{"http://0x7f.0.0.1/", REASON_BAD_URL},
	{"http://a.0x7f/", REASON_BAD_URL},
	{"http://127.0.0.01/", REASON_BAD_URL},
	{"http://256.0.0.1/", REASON_BAD_URL},
	{"http://1.2.3.4.5/", REASON_BAD_URL},
	{"http://1.2.3.4.../", REASON_BAD_URL},
	{"http://::1/", REASON_BAD_URL},
	{"http://[::1/", REASON_BAD_URL},
	{"http://[::1]x/", REASON_BAD_URL},
	{"http://[::1%25eth0]/", REASON_BAD_URL},
	{"http://[::g]/", REASON_BAD_URL},
	{"http://[]/", REASON_BAD_URL},
	{"http://[127.0.0.1]/", REASON_BAD_URL},
	{"http://[1:2:3:4:5:6:7:8:9:0:1:2:3:4:5:6:7:8:9:0:1:2:3:4]/", REASON_BAD_URL},
	{"http://u p@a.test/", REASON_BAD_URL},
	{"http://u@/", REASON_BAD_URL},
};

static void what_is_wrong_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct url u;
		enum reason why = REASON_NONE;

		if (url_parse_absolute(span_str(bad[i].target), &u, &why) == 0)
			fail_msg("%s: taken", bad[i].target);
		assert_int_equal(why, bad[i].why);
	}
}

static void a_nul_is_refused_everywhere(void **state)
{
	static const char text[] = "http://[::1]:80/x?y";
	struct url u;
	enum reason why;

	(void)state;
	assert_int_equal(url_parse_absolute(SPAN(text), &u, &why), 0);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char copy[sizeof(text)];

		memcpy(copy, text, sizeof(text));
		copy[i] = '\0';
		assert_int_equal(url_parse_absolute(span_of(copy, sizeof(text) - 1), &u, &why), -1);
	}
}

static void authority_form(void **state)
{
	static const struct {
		const char *text;
		unsigned default_port;
		int result;
		const char *host;
		unsigned port;
	} rows[] = {
		{"a.test:443", 0, 0, "a.test", 443},
		{"a.test.:443", 0, 0, "a.test", 443},
		{"[::1]:8443", 0, 0, "::1", 8443},
		{"10.0.0.1:443", 0, 0, "10.0.0.1", 443},
		{"a.test", 443, 0, "a.test", 443},
		{"a.test:", 443, 0, "a.test", 443},
		{"a.test", 0, -1, "", 0},
		{"a.test:", 0, -1, "", 0},
		{"u@a.test:443", 0, -1, "", 0},
		{"u:p@a.test:443", 0, -1, "", 0},
		{"a.test:443/", 0, -1, "", 0},
		{"http://a.test:443", 0, -1, "", 0},
		{"::1:443", 0, -1, "", 0},
		{"[::1]443", 0, -1, "", 0},
		{":443", 0, -1, "", 0},
		{" a.test:443", 0, -1, "", 0},
		{"a.test:443 ", 0, -1, "", 0},
		{"", 443, -1, "", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct url u;
		enum reason why = REASON_NONE;

		assert_int_equal(url_parse_authority(span_str(rows[i].text), (uint16_t)rows[i].default_port, &u, &why),
				 rows[i].result);
		if (rows[i].result != 0) {
			assert_int_equal(why, REASON_BAD_URL);
			continue;
		}
		assert_span(u.host, rows[i].host);
		assert_int_equal(u.port, rows[i].port);
		assert_int_equal(u.path_query.n, 0);
	}
}

static void a_bad_host_field_says_so(void **state)
{
	struct url u;
	enum reason why = REASON_NONE;

	(void)state;
	assert_int_equal(url_parse_host(SPAN("a.test"), true, &u, &why), 0);
	assert_int_equal(u.port, 443);
	assert_int_equal(url_parse_host(SPAN("a.test,b.test"), true, &u, &why), -1);
	assert_int_equal(why, REASON_BAD_HOST);
}

static void origin_form_takes_the_rest_from_the_tunnel(void **state)
{
	struct url at, u;
	enum reason why = REASON_NONE;

	(void)state;
	assert_int_equal(url_parse_authority(SPAN("[::1]:8443"), 0, &at, &why), 0);
	assert_int_equal(url_parse_origin(SPAN("/x?y"), true, &at, &u, &why), 0);
	assert_span(u.scheme, "https");
	assert_span(u.host, "::1");
	assert_span(u.path, "/x");
	assert_span(u.query, "y");
	assert_int_equal(u.port, 8443);
	assert_true(u.https && u.is_ip && u.is_ipv6);
	assert_int_equal(url_parse_origin(SPAN("x"), true, &at, &u, &why), -1);
	assert_int_equal(url_parse_origin(SPAN("*"), true, &at, &u, &why), -1);
	assert_int_equal(url_parse_origin(SPAN(""), true, &at, &u, &why), -1);
	assert_int_equal(why, REASON_BAD_URL);
}

static void host_fits_the_tunnel(void **state)
{
	static const struct {
		const char *at, *host;
		bool fits;
	} rows[] = {
		{"a.test:443", "a.test", true},
		{"a.test:443", "A.TEST", true},
		{"a.test:443", "a.test:443", true},
		{"a.test:443", "a.test.", true},
		{"a.test.:443", "a.test", true},
		{"a.test:443", "a.test.:443", true},
		{"a.test:443", "a.test:80", false},
		{"a.test:8443", "a.test:8443", true},
		{"a.test:8443", "a.test", false},
		{"a.test:443", "b.test", false},
		{"a.test:443", "a.test.b.test", false},
		{"a.test:443", "xa.test", false},
		{"a.test:443", "", false},
		{"a.test:443", "a.test, a.test", false},
		{"a.test:443", "u@a.test", false},
		{"[::1]:443", "[::1]", true},
		{"[::1]:443", "[0:0::0:1]:443", true},
		{"[::1]:443", "[::2]", false},
		{"[::1]:443", "::1", false},
		{"10.0.0.1:443", "10.0.0.1", true},
		{"10.0.0.1:443", "10.0.0.10", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct url at;
		enum reason why;

		assert_int_equal(url_parse_authority(span_str(rows[i].at), 0, &at, &why), 0);
		if (url_host_fits(span_str(rows[i].host), true, &at) != rows[i].fits)
			fail_msg("%s in a tunnel to %s", rows[i].host, rows[i].at);
	}
}

static void userinfo_becomes_user_and_password(void **state)
{
	static const struct {
		const char *userinfo, *user_pass;
	} rows[] = {
		{"me:secret", "me:secret"},
		{"me", "me:"},
		{"me:", "me:"},
		{":secret", ":secret"},
		{"a%40b.test:p%2Fw%3a%25", "a@b.test:p/w:%"},
		{"me:100%", "me:100%"},
		{"me:%4", "me:%4"},
		{"me:%zz%4g", "me:%zz%4g"},
		{"%c3%A9:%0d%0A", "\xc3\xa9:\r\n"}, /* in base64 it ends no line */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = span_str(rows[i].userinfo);
		char room[64];
		struct buf b = buf_over(room, in.n + 1);

		url_put_user_pass(&b, in);
		assert_false(b.full);
		assert_span(buf_span(&b), rows[i].user_pass);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absolute_form_is_taken_apart),
		cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(a_nul_is_refused_everywhere),
		cmocka_unit_test(authority_form),
		cmocka_unit_test(a_bad_host_field_says_so),
		cmocka_unit_test(origin_form_takes_the_rest_from_the_tunnel),
		cmocka_unit_test(host_fits_the_tunnel),
		cmocka_unit_test(userinfo_becomes_user_and_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
