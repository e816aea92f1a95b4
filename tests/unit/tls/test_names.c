#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/tls/names.h"

static void test_host(void **state)
{
	static const struct {
		const char *in, *out;
		enum name_kind kind;
	} cases[] = {
		{"registry.test", "registry.test", NAME_DNS},
		{"Registry.TEST", "registry.test", NAME_DNS},
		{"registry.test.", "registry.test", NAME_DNS},
		{"localhost", "localhost", NAME_DNS},
		{"a_b.r3---sn.test", "a_b.r3---sn.test", NAME_DNS},
		{"xn--bcher-kva.test", "xn--bcher-kva.test", NAME_DNS},
		{"1.a", "1.a", NAME_DNS},
		{"127.0.0.1", "127.0.0.1", NAME_IP},
		{"::1", "::1", NAME_IP},
		{"[::1]", "::1", NAME_IP},
		{"[2001:DB8:0:0::0]", "2001:db8::", NAME_IP},
		{"::ffff:1.2.3.4", "::ffff:1.2.3.4", NAME_IP},
		{"", "", NAME_BAD},
		{".", "", NAME_BAD},
		{"a..test", "", NAME_BAD},
		{".a.test", "", NAME_BAD},
		{"a.test..", "", NAME_BAD},
		{"*.a.test", "", NAME_BAD},
		{"a b", "", NAME_BAD},
		{"a\tb", "", NAME_BAD},
		{"a,b", "", NAME_BAD},
		{"a/b", "", NAME_BAD},
		{"a:443", "", NAME_BAD},
		{"b\xc3\xbc"
		 "cher.test",
		 "", NAME_BAD},
		{"1.2.3", "", NAME_BAD},
		{"127.1", "", NAME_BAD},
		{"1.2.3.4.5", "", NAME_BAD},
		{"256.0.0.1", "", NAME_BAD},
		{"[127.0.0.1]", "", NAME_BAD},
		{"[::1", "", NAME_BAD},
		{"[]", "", NAME_BAD},
		{"[::1.]", "", NAME_BAD},
		{"fe80::1%eth0", "", NAME_BAD},
	};
	char out[NAMES_HOST_MAX + 1], text[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum name_kind kind = names_host(span_str(cases[i].in), out);

		if (kind != cases[i].kind || strcmp(out, cases[i].out) != 0)
			fail_msg("%s: %d %s", cases[i].in, kind, out);
	}
	assert_int_equal(names_host(span_of("a.test\0b", 8), out), NAME_BAD);
	assert_int_equal(names_host(SPAN_NONE, out), NAME_BAD);
	memset(text, 'a', sizeof(text));
	assert_int_equal(names_host(span_of(text, 63), out), NAME_DNS);
	assert_int_equal(names_host(span_of(text, 64), out), NAME_BAD);
	for (size_t i = 50; i < sizeof(text); i += 50)
		text[i] = '.';
	assert_int_equal(names_host(span_of(text, 253), out), NAME_DNS);
	assert_int_equal(strlen(out), 253);
	assert_int_equal(names_host(span_of(text, 254), out), NAME_BAD);
}

static void test_san(void **state)
{
	static const struct {
		const char *in, *out;
		enum name_kind kind;
	} cases[] = {
		{"*.Files.test", "*.files.test", NAME_DNS},
		{"a.test", "a.test", NAME_DNS},
		{"10.0.0.1", "10.0.0.1", NAME_IP},
		{"*.test", "", NAME_BAD},
		{"*", "", NAME_BAD},
		{"*.", "", NAME_BAD},
		{"f*.a.test", "", NAME_BAD},
		{"*.*.a.test", "", NAME_BAD},
		{"a.*.test", "", NAME_BAD},
		{"*.0.0.1", "", NAME_BAD},
		{"*.10.0.0.1", "", NAME_BAD},
	};
	char out[NAMES_HOST_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum name_kind kind = names_san(span_str(cases[i].in), out);

		if (kind != cases[i].kind || strcmp(out, cases[i].out) != 0)
			fail_msg("%s: %d %s", cases[i].in, kind, out);
	}
}

static void test_covers(void **state)
{
	(void)state;
	assert_true(names_covers("a.test", "a.test"));
	assert_false(names_covers("a.test", "b.a.test"));
	assert_true(names_covers("*.a.test", "b.a.test"));
	assert_false(names_covers("*.a.test", "a.test"));
	assert_false(names_covers("*.a.test", "c.b.a.test"));
	assert_false(names_covers("*.0.0.1", "127.0.0.1"));
	assert_true(names_covers("127.0.0.1", "127.0.0.1"));
}

static struct origin_cert *sample(void)
{
	struct origin_cert *oc = names_origin_new();

	oc->not_before = INT64_C(1700000000000);
	oc->not_after = INT64_C(1710000000000);
	for (size_t i = 0; i < sizeof(oc->spki_sha256); i++)
		oc->spki_sha256[i] = (uint8_t)(i * 7);
	return oc;
}

static void test_round_trip(void **state)
{
	static const char *const subjects[] = {NULL, "0",
					       "\x30\x03"
					       "abc",
					       "any bytes \xff\t\n"};
	char line[NAMES_LINE_MAX], again[NAMES_LINE_MAX], host[NAMES_HOST_MAX + 1];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct origin_cert *oc = sample(), *back;
		struct buf b = buf_over(line, sizeof(line)), c = buf_over(again, sizeof(again));

		for (size_t j = 0; j < i; j++)
			assert_true(names_origin_add_san(oc, span_str(j ? "*.Files.test" : "10.0.0.1")));
		if (subjects[i])
			assert_true(names_origin_set_subject(oc, subjects[i], strlen(subjects[i])));
		names_format(&b, "registry.test", oc);
		assert_false(b.full);
		assert_null(memchr(b.p, '\n', b.n));
		back = names_parse(buf_span(&b), host);
		assert_non_null(back);
		assert_string_equal(host, "registry.test");
		assert_true(names_origin_same(oc, back));
		names_format(&c, host, back);
		assert_true(span_eq(buf_span(&b), buf_span(&c)));
		names_origin_unref(&oc);
		names_origin_unref(&back);
		assert_null(oc);
	}
}

#define KEY "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"

static void test_bad_lines(void **state)
{
	static const char *const bad[] = {
		"",
		"a.test",
		"a.test\ta.test\t\t1\t2",
		"a.test\ta.test\t\t1\t2\t" KEY "\t",
		"A.test\ta.test\t\t1\t2\t" KEY,
		"*.a.test\ta.test\t\t1\t2\t" KEY,
		"\ta.test\t\t1\t2\t" KEY,
		"a.test\tA.test\t\t1\t2\t" KEY,
		"a.test\ta.test,\t\t1\t2\t" KEY,
		"a.test\ta b\t\t1\t2\t" KEY,
		"a.test\ta.test\t!\t1\t2\t" KEY,
		"a.test\ta.test\tAAA\t1\t2\t" KEY,
		"a.test\ta.test\t\t-1\t2\t" KEY,
		"a.test\ta.test\t\t01\t2\t" KEY,
		"a.test\ta.test\t\t1\t\t" KEY,
		"a.test\ta.test\t\t2\t2\t" KEY,
		"a.test\ta.test\t\t1\t253402300800\t" KEY,
		"a.test\ta.test\t\t1\t99999999999999999999\t" KEY,
		"a.test\ta.test\t\t1\t2\t" KEY "0",
		"a.test\ta.test\t\t1\t2\tG00102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f",
		"a.test\ta.test\t\t1\t2\t000102030405060708090A0b0c0d0e0f000102030405060708090a0b0c0d0e0f",
		"a.test\ta.test\t\t1\t2\t" KEY "\r",
	};
	char host[NAMES_HOST_MAX + 1], longer[NAMES_LINE_MAX + 1];
	struct origin_cert *oc;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		oc = names_parse(span_str(bad[i]), host);
		if (oc)
			fail_msg("taken: %s", bad[i]);
	}
	memset(longer, 'a', sizeof(longer));
	assert_null(names_parse(span_of(longer, sizeof(longer)), host));
	oc = names_parse(span_str("a.test\ta.test,*.b.test\tMAA=\t1\t2\t" KEY), host);
	assert_non_null(oc);
	assert_int_equal(oc->n_sans, 2);
	assert_int_equal(oc->subject_bytes, 2);
	assert_int_equal(oc->not_after, 2000);
	names_origin_unref(&oc);
}

/* The largest that is kept fits a line, and reads back. */
static void test_limits(void **state)
{
	struct origin_cert *many = sample(), *big = sample(), *back;
	char name[300], subject[NAMES_SUBJECT_BYTES + 1] = {0}, line[NAMES_LINE_MAX], host[NAMES_HOST_MAX + 1];
	struct buf b = buf_over(line, sizeof(line));
	size_t kept = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		names_origin_add_san(many, span_str(name));
		snprintf(name, sizeof(name), "%0*d.%0*d.%0*d.test", 60, i, 60, i, 60, i);
		kept += names_origin_add_san(big, span_str(name));
	}
	assert_int_equal(many->n_sans, NAMES_SANS_MAX);
	assert_int_equal(big->n_sans, kept);
	assert_true(big->sans_bytes <= NAMES_SANS_BYTES && kept > 10);
	assert_false(names_origin_set_subject(big, subject, sizeof(subject)));
	assert_true(names_origin_set_subject(big, subject, sizeof(subject) - 1));
	snprintf(name, sizeof(name), "%060d.%060d.%060d.%060d.test", 1, 1, 1, 1);
	names_format(&b, name, big);
	assert_false(b.full);
	back = names_parse(buf_span(&b), host);
	assert_non_null(back);
	assert_true(names_origin_same(back, big));
	b = buf_over(line, 40);
	names_format(&b, "a.test", big);
	assert_true(b.full);
	assert_int_equal(b.n, 0);
	names_origin_unref(&many);
	names_origin_unref(&big);
	names_origin_unref(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),       cmocka_unit_test(test_san),       cmocka_unit_test(test_covers),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
