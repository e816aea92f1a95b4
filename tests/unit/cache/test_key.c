#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "node/cache/key.h"

static struct key key_of(const char *salt, const char *id)
{
	struct key k;

	key_make(&k, span_str(salt), span_str(id));
	return k;
}

static void keys_differ_by_salt_and_url_and_by_nothing_else(void **state)
{
	struct key a = key_of("salt", "http://a.test/b");
	struct key same = key_of("salt", "http://a.test/b");
	struct key url = key_of("salt", "http://a.test/c");
	struct key salt = key_of("tlas", "http://a.test/b");

	(void)state;
	assert_true(key_same(&a, &same));
	assert_int_equal(key_hash(&a), key_hash(&same));
	assert_false(key_same(&a, &url));
	assert_false(key_same(&a, &salt));
}

static void a_part_cannot_run_into_the_next(void **state)
{
	struct key a = key_of("s", "ab"), b = key_of("sa", "b");

	(void)state;
	assert_false(key_same(&a, &b));
}

static struct key_variant variant_of(const char *vary_text, const char *name, const char *value)
{
	struct hdrs h = {0};
	struct vary vary;
	struct key_variant v;

	vary_parse(span_str(vary_text), &vary);
	if (name)
		hdr_add(&h, span_str(name), span_str(value));
	key_variant(&v, &vary, &h);
	return v;
}

static void variants(void **state)
{
	static const struct key_variant none;
	struct key_variant plain = variant_of("", "Accept", "text/html"), star = variant_of("*", "Accept", "a");
	struct key_variant a = variant_of("accept", "Accept", "text/html"),
			   b = variant_of("accept", "Accept", "text/plain");
	struct key_variant spelled = variant_of("accept", "accept", "Text/HTML"),
			   absent = variant_of("accept", NULL, NULL);
	struct key_variant more = variant_of("accept,origin", "Accept", "text/html");

	(void)state;
	assert_true(key_variant_same(&plain, &none));
	assert_true(key_variant_same(&star, &none));
	assert_false(key_variant_same(&a, &none));
	assert_false(key_variant_same(&absent, &none));
	assert_false(key_variant_same(&a, &b));
	assert_false(key_variant_same(&a, &absent));
	assert_false(key_variant_same(&a, &more));
	assert_true(key_variant_same(&a, &spelled));
}

static struct key_credential who(uint8_t secret, const char *authorization, const char *userinfo)
{
	uint8_t s[32];
	struct key_credential c;

	memset(s, secret, sizeof(s));
	key_credential(&c, s, span_str(authorization), span_str(userinfo));
	return c;
}

static void credentials(void **state)
{
	struct key_credential nobody = who(1, "", ""), a = who(1, "Bearer a", ""), same = who(1, "Bearer a", "");
	struct key_credential b = who(1, "Bearer b", ""), other_secret = who(2, "Bearer a", "");
	struct key_credential userinfo = who(1, "", "Bearer a"), both = who(1, "Bearer a", "u:p");

	(void)state;
	assert_true(key_credential_is_nobody(&nobody));
	assert_false(key_credential_is_nobody(&a));
	assert_true(key_credential_same(&a, &same));
	assert_false(key_credential_same(&a, &b));
	assert_false(key_credential_same(&a, &other_secret));
	assert_false(key_credential_same(&a, &userinfo));
	assert_false(key_credential_same(&a, &both));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_differ_by_salt_and_url_and_by_nothing_else),
		cmocka_unit_test(a_part_cannot_run_into_the_next),
		cmocka_unit_test(variants),
		cmocka_unit_test(credentials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
