#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "node/record/mask.h"

struct row {
	const char *in, *want;
};

static void check(const struct row *r, bool text, bool query)
{
	char out[1024];
	struct buf b = buf_over(out, MASK_GROWTH * strlen(r->in));

	if (text)
		mask_text(&b, span_str(r->in));
	else
		mask_url(&b, span_str(r->in), query);
	assert_false(b.full);
	out[b.n] = '\0';
	assert_string_equal(out, r->want);
	if (!text && strcmp(r->in, r->want) != 0)
		assert_true(mask_url_may_change(span_str(r->in)));
}

static void urls_with_query(void **state)
{
	static const struct row rows[] = {
		{"http://a.test/b", "http://a.test/b"},
		{"http://a.test:80/b?x=1&y=2", "http://a.test:80/b?x=1&y=2"},
		{"a.test:443", "a.test:443"},
		{"", ""},
		{"/only/path?sig=1", "/only/path?sig=***"},
		{"error:invalid-request", "error:invalid-request"},
		/* userinfo */
		{"http://u:p@a.test/b", "http://a.test/b"},
		{"https://u@a.test", "https://a.test"},
		{"http://u:p@q@a.test/x@y", "http://a.test/x@y"},
		{"u:p@a.test:443", "a.test:443"},
		{"//u:p@a.test/b", "//a.test/b"},
		{"http://a.test/http://u:p@b.test/c", "http://a.test/http://b.test/c"},
		{"http://a.test/@scope/name", "http://a.test/@scope/name"},
		{"http://a.test?u:p@b", "http://a.test?u:p@b"},
		/* signatures */
		{"http://a.test/b?X-Amz-Signature=abc&X-Amz-Date=1",
		 "http://a.test/b?X-Amz-Signature=***&X-Amz-Date=1"},
		{"http://a.test/b?a=1&x-goog-signature=q", "http://a.test/b?a=1&x-goog-signature=***"},
		{"http://a.test/b?sp=r&sig=a%2Fb%3D&se=2", "http://a.test/b?sp=r&sig=***&se=2"},
		{"http://a.test/b?Expires=1&Signature=x,y", "http://a.test/b?Expires=1&Signature=***"},
		{"http://a.test/b?token=a&jwt=b;access_token=c", "http://a.test/b?token=***&jwt=***;access_token=***"},
		{"http://a.test/b?private_token=x", "http://a.test/b?private_token=***"},
		{"http://a.test/b?key=x&monkey=y", "http://a.test/b?key=***&monkey=y"},
		{"http://a.test/b?%73%69g=x", "http://a.test/b?%73%69g=***"},
		{"http://a.test/b?sig=", "http://a.test/b?sig="},
		{"http://a.test/b?sig", "http://a.test/b?sig"},
		{"http://a.test/b?sig=x=y", "http://a.test/b?sig=***"},
		{"http://a.test/b?c=d#access_token=x&e=f", "http://a.test/b?c=d#access_token=***&e=f"},
		{"http://a.test/b;jsessionid=77/c", "http://a.test/b;jsessionid=***"},
		{"http://a.test/b?config=1&q=token", "http://a.test/b?config=1&q=token"},
		{"http://a.test/b?%=1&%4=2&%zz=3&=4", "http://a.test/b?%=1&%4=2&%zz=3&=4"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i], false, true);
}

static void urls_without_query(void **state)
{
	static const struct row rows[] = {
		{"http://a.test/b", "http://a.test/b"},
		{"http://a.test/b?x=1", "http://a.test/b?"},
		{"http://u:p@a.test/b?sig=1#f", "http://a.test/b?"},
		{"http://a.test/b#f?x", "http://a.test/b"},
		{"http://a.test/b?", "http://a.test/b?"},
		{"?x", "?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i], false, false);
}

static void texts(void **state)
{
	static const struct row rows[] = {
		{"<https://u:p@a.test/p?page=2&private_token=abc>; rel=\"next\", <https://a.test/?sig=x>",
		 "<https://a.test/p?page=2&private_token=***>; rel=\"next\", <https://a.test/?sig=***>"},
		{"a=1; token=x; b=2", "a=1; token=***; b=2"},
		{"mail u@a.test", "mail u@a.test"},
		{"gzip;q=1.0,deflate;q=0.6", "gzip;q=1.0,deflate;q=0.6"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i], true, true);
}

static void secret_names(void **state)
{
	static const char *const secret[] = {"Authorization",
					     "proxy-authorization",
					     "Cookie",
					     "Set-Cookie",
					     "SET-COOKIE",
					     "X-Auth-Token",
					     "Private-Token",
					     "npm-otp",
					     "X-JFrog-Art-Api",
					     "X-Api-Key",
					     "X-Amz-Security-Token",
					     "key"};
	static const char *const open[] = {"Host",         "ETag", "Accept",  "pacote-integrity",
					   "Content-Type", "",     "X-Cache", "k"};

	(void)state;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		assert_true(mask_is_secret(span_str(secret[i])));
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		assert_false(mask_is_secret(span_str(open[i])));
}

/* A name longer than any buffer still counts by its end. */
static void a_long_name(void **state)
{
	char in[1200], out[2400];
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	memset(in, 'a', sizeof(in));
	in[0] = '?';
	memcpy(in + 1000, "token=hidden", 12);
	mask_url(&b, span_of(in, 1012), true);
	assert_int_equal(b.n, 1009);
	assert_memory_equal(out + 1006, "***", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_with_query), cmocka_unit_test(urls_without_query), cmocka_unit_test(texts),
		cmocka_unit_test(secret_names),    cmocka_unit_test(a_long_name),
	};

	return cmocka_run_group_tests_name("mask", tests, NULL, NULL);
}
