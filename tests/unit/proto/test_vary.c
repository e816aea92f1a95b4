#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/vary.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void text_of(const struct vary *v, char *out, size_t cap)
{
	struct buf b = buf_over(out, cap - 1);

	vary_format(v, &b);
	assert_false(b.full);
	out[b.n] = '\0';
}

static void names_are_sorted_and_unique(void **state)
{
	static const struct {
		const char *a, *b, *text;
	} rows[] = {
		{NULL, NULL, ""},
		{"", NULL, ""},
		{"Accept-Encoding", NULL, "accept-encoding"},
		{"Origin, ACCEPT-encoding,accept , accept-Encoding", NULL, "accept,accept-encoding,origin"},
		{"b, a", "A, c", "a,b,c"},
		{"*", NULL, "*"},
		{"a, *", NULL, "*"},
		{"a", "*", "*"},
		{"a b", NULL, "*"},
		{"\"a\"", NULL, "*"},
		{"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", NULL, "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"},
		{"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,p", NULL, "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"},
		{"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", NULL, "*"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hdrs h = {0};
		struct vary v, again;
		char text[VARY_TEXT_BYTES + 1], text2[VARY_TEXT_BYTES + 1];

		if (rows[i].a)
			hdr_add(&h, SPAN("Vary"), span_str(rows[i].a));
		if (rows[i].b)
			hdr_add(&h, SPAN("vary"), span_str(rows[i].b));
		vary_read(&h, &v);
		text_of(&v, text, sizeof(text));
		assert_string_equal(text, rows[i].text);
		assert_int_equal(v.star, strcmp(text, "*") == 0);
		vary_parse(span_str(text), &again);
		text_of(&again, text2, sizeof(text2));
		assert_string_equal(text2, text);
	}
}

static void names_that_are_too_long_together_are_a_star(void **state)
{
	char name[VARY_TEXT_BYTES];
	struct hdrs h = {0};
	struct vary v;

	(void)state;
	memset(name, 'a', sizeof(name));
	hdr_add(&h, SPAN("Vary"), span_of(name, sizeof(name)));
	vary_read(&h, &v);
	assert_true(v.star);
}

static void values_in_normal_form(void **state)
{
	static const struct {
		const char *name, *a, *b, *value; /* two fields; value NULL: absent */
	} rows[] = {
		{"Accept-Encoding", NULL, NULL, NULL},
		{"Accept-Encoding", "", NULL, "identity"},
		{"Accept-Encoding", "gzip", NULL, "gzip,identity"},
		{"Accept-Encoding", "gzip;q=1.0,deflate;q=0.6,identity;q=0.3", NULL, "deflate,gzip,identity"},
		{"Accept-Encoding", "identity , DEFLATE,  GZip ;q=0.1", NULL, "deflate,gzip,identity"},
		{"Accept-Encoding", "x-gzip", NULL, "gzip,identity"},
		{"Accept-Encoding", "gzip, x-gzip", NULL, "gzip,identity"},
		{"Accept-Encoding", "gzip;q=0", NULL, "identity"},
		{"Accept-Encoding", "gzip;q=0.000, br;q=0.001", NULL, "br,identity"},
		{"Accept-Encoding", "gzip, identity;q=0", NULL, "gzip"},
		{"Accept-Encoding", "gzip, *;q=0", NULL, "gzip"},
		{"Accept-Encoding", "*;q=0, identity", NULL, "identity"},
		{"Accept-Encoding", "*", NULL, "br,deflate,gzip,identity,zstd,*"},
		{"Accept-Encoding", "br;q=0, *", NULL, "deflate,gzip,identity,zstd,*"},
		{"Accept-Encoding", "zstd,gzip", "deflate", "deflate,gzip,identity,zstd"},
		{"Accept-Encoding", "gzip, Exi ; q=0.5", NULL, "gzip,exi;q=0.5"},
		{"Accept-Encoding", "gzip, exi;q=0", NULL, "gzip,identity"},
		{"Accept", "Text/HTML ; Q=1.0,  */*", NULL, "text/html;q=1.0,*/*"},
		{"Accept", "b, a", NULL, "b,a"},
		{"Accept", "a;x=\"B \\\" C\", D", NULL, "a;x=\"B \\\" C\",d"},
		{"Accept", "a", "b", "a,b"},
		{"User-Agent", "Some  Thing/1.0", NULL, "Some  Thing/1.0"},
		{"X-Own", "A", "b , c", "A,b , c"},
		{"x-own", "A", NULL, "A"},
		{"X-Own", NULL, NULL, NULL},
		{"X-Own", "", NULL, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hdrs h = {0};
		char mem[256];
		struct buf b = buf_over(mem, sizeof(mem));

		hdr_add(&h, SPAN("X-Other"), SPAN("other"));
		if (rows[i].a)
			hdr_add(&h, span_str(strcmp(rows[i].name, "x-own") ? rows[i].name : "X-Own"),
				span_str(rows[i].a));
		if (rows[i].b)
			hdr_add(&h, span_str(rows[i].name), span_str(rows[i].b));
		assert_int_equal(vary_value(&h, span_str(rows[i].name), &b), rows[i].value != NULL);
		if (!span_eq(buf_span(&b), span_str(rows[i].value)))
			fail_msg("row %zu: \"%.*s\" instead of \"%s\"", i, SPAN_ARG(buf_span(&b)), rows[i].value);
	}
}

static void hash_of(const char *names, const struct hdrs *request, uint8_t out[SHA256_BYTES])
{
	struct vary v;
	struct sha256 h;

	vary_parse(span_str(names), &v);
	sha256_init(&h);
	vary_hash(&v, request, &h);
	sha256_end(&h, out);
}

static bool same_variant(const char *names, const char *name, const char *a, const char *b)
{
	struct hdrs x = {0}, y = {0};
	uint8_t hx[SHA256_BYTES], hy[SHA256_BYTES];

	if (a)
		hdr_add(&x, span_str(name), span_str(a));
	if (b)
		hdr_add(&y, span_str(name), span_str(b));
	hash_of(names, &x, hx);
	hash_of(names, &y, hy);
	return memcmp(hx, hy, sizeof(hx)) == 0;
}

static void hashes_tell_variants_apart(void **state)
{
	(void)state;
	assert_true(same_variant("accept-encoding", "Accept-Encoding", "gzip, br", "br,gzip;q=0.5"));
	assert_false(same_variant("accept-encoding", "Accept-Encoding", "gzip", "br"));
	assert_false(same_variant("accept-encoding", "Accept-Encoding", "identity", NULL));
	assert_true(same_variant("accept", "Accept", "A/b", "a/b "));
	assert_false(same_variant("accept", "Accept", "a/b", "a/c"));
	assert_true(same_variant("accept", "User-Agent", "a", "b"));
	assert_false(same_variant("accept,user-agent", "User-Agent", "a", "b"));
	assert_false(same_variant("x-own", "X-Own", "", NULL));
	assert_false(same_variant("x-own", "X-Own", "a", "A"));
	assert_true(same_variant("", "X-Own", "a", "b"));
}

static void the_hash_is_of_this_text(void **state)
{
	static const char text[] = "accept:a/b,c\naccept-encoding:gzip,identity\nx-own\n";
	uint8_t expected[SHA256_BYTES], got[SHA256_BYTES];
	struct hdrs h = {0};

	(void)state;
	hdr_add(&h, SPAN("Accept"), SPAN("A/B, c"));
	hdr_add(&h, SPAN("Accept-Encoding"), SPAN("gzip"));
	sha256_of(SPAN(text), expected);
	hash_of("x-own,accept-encoding,accept", &h, got);
	assert_memory_equal(got, expected, sizeof(got));
}

static void long_values_are_hashed_whole(void **state)
{
	char a[1000], b[1000];

	(void)state;
	memset(a, 'x', sizeof(a));
	a[sizeof(a) - 1] = '\0';
	memcpy(b, a, sizeof(b));
	assert_true(same_variant("accept", "Accept", a, b));
	assert_true(same_variant("x-own", "X-Own", a, b));
	b[500] = 'y';
	assert_false(same_variant("accept", "Accept", a, b));
	assert_false(same_variant("x-own", "X-Own", a, b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_sorted_and_unique),
		cmocka_unit_test(names_that_are_too_long_together_are_a_star),
		cmocka_unit_test(values_in_normal_form),
		cmocka_unit_test(hashes_tell_variants_apart),
		cmocka_unit_test(the_hash_is_of_this_text),
		cmocka_unit_test(long_values_are_hashed_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
