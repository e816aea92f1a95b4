#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/hello.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A message that is put together by hand. */
struct text {
	size_t n;
	uint8_t p[131072];
};

static void put(struct text *t, const void *bytes, size_t n)
{
	assert_true(t->n + n <= sizeof(t->p));
	memcpy(t->p + t->n, bytes, n);
	t->n += n;
}

static void put_number(struct text *t, size_t v, size_t bytes)
{
	for (size_t i = bytes; i--;)
		put(t, &(uint8_t){(uint8_t)(v >> 8 * i)}, 1);
}

static void put_string(struct text *t, const char *s, size_t length_bytes)
{
	put_number(t, strlen(s), length_bytes);
	put(t, s, strlen(s));
}

static void put_sni(struct text *t, const char *name)
{
	put_number(t, 0, 2);
	put_number(t, strlen(name) + 5, 2);
	put_number(t, strlen(name) + 3, 2);
	put_number(t, 0, 1);
	put_string(t, name, 2);
}

/* list: length byte, name, … */
static void put_alpn(struct text *t, const char *list)
{
	put_number(t, 16, 2);
	put_number(t, strlen(list) + 2, 2);
	put_string(t, list, 2);
}

static void put_versions(struct text *t)
{
	put_number(t, 43, 2);
	put_number(t, 5, 2);
	put(t, "\x04\x03\x04\x03\x03", 5);
}

static void put_padding(struct text *t, size_t n)
{
	put_number(t, 21, 2);
	put_number(t, n, 2);
	while (n--)
		put_number(t, 0, 1);
}

/* The handshake message around these extensions. */
static struct text *message(const struct text *extensions)
{
	struct text *m = calloc(1, sizeof(*m));
	static const uint8_t random[32];

	put_number(m, 1, 1);
	put_number(m, 2 + 32 + 1 + 32 + 4 + 2 + 2 + extensions->n, 3);
	put_number(m, 0x0303, 2);
	put(m, random, 32);
	put_number(m, 32, 1);
	put(m, random, 32);
	put(m, "\0\2\x13\x01\1\0", 6);
	put_number(m, extensions->n, 2);
	put(m, extensions->p, extensions->n);
	return m;
}

/* In records of `size` bytes. */
static struct text *records(const struct text *m, size_t size)
{
	struct text *r = calloc(1, sizeof(*r));

	for (size_t at = 0; at < m->n; at += size) {
		size_t n = m->n - at < size ? m->n - at : size;

		put(r, "\x16\x03\x01", 3);
		put_number(r, n, 2);
		put(r, m->p + at, n);
	}
	return r;
}

static enum hello_result parse_all(const struct text *t, struct hello *out)
{
	struct hello_scan scan = {0};

	return hello_parse(span_of((const char *)t->p, t->n), &scan, out);
}

/* A hello with these extensions, in one record. */
static enum hello_result parse_extensions(const struct text *extensions, struct hello *out)
{
	struct text *m = message(extensions), *r = records(m, 16384);
	enum hello_result result = parse_all(r, out);

	free(m);
	free(r);
	return result;
}

static void usual(struct text *e)
{
	e->n = 0;
	put_sni(e, "Registry.Example");
	put_alpn(e, "\2h2\10http/1.1");
	put_versions(e);
}

static void assert_usual(const struct hello *h)
{
	assert_true(span_eq(hello_name(h), SPAN("registry.example")));
	assert_true(h->has_alpn && h->alpn_h2 && h->alpn_http11 && h->tls13);
	assert_int_equal(h->alpn_bytes, 12);
	assert_memory_equal(h->alpn, "\2h2\10http/1.1", 12);
}

static void a_usual_hello(void **state)
{
	static struct text e;
	struct hello h;

	(void)state;
	usual(&e);
	assert_int_equal(parse_extensions(&e, &h), HELLO_DONE);
	assert_usual(&h);
}

static void in_records_of_any_size_and_byte_by_byte(void **state)
{
	static const size_t sizes[] = {4, 5, 17, 100, 16384};
	static struct text e;
	struct text *m;
	struct hello h;

	(void)state;
	usual(&e);
	m = message(&e);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct text *r = records(m, sizes[i]);
		struct hello_scan scan = {0};

		for (size_t n = 0; n < r->n; n++)
			assert_int_equal(hello_parse(span_of((const char *)r->p, n), &scan, &h), HELLO_MORE);
		assert_int_equal(hello_parse(span_of((const char *)r->p, r->n), &scan, &h), HELLO_DONE);
		assert_usual(&h);
		free(r);
	}
	free(m);
}

static void a_large_one_over_several_records(void **state)
{
	static struct text e;
	struct text *m, *r;
	struct hello h;

	(void)state;
	e.n = 0;
	put_padding(&e, 60000);
	put_sni(&e, "a.test");
	m = message(&e);
	r = records(m, 16384);
	assert_int_equal(parse_all(r, &h), HELLO_DONE);
	assert_true(span_eq(hello_name(&h), SPAN("a.test")));
	assert_false(h.has_alpn || h.tls13);
	free(r);
	r = records(m, 10); /* the records alone would be larger than 64 KiB */
	assert_int_equal(parse_all(r, &h), HELLO_BAD);
	free(r);
	free(m);
}

static void too_large_is_refused_at_once(void **state)
{
	static const char start[] = "\x16\x03\x01\x40\x00\x01\x01\x00\x00";
	struct hello_scan scan = {0};
	struct hello h;

	(void)state;
	assert_int_equal(hello_parse(span_of(start, 8), &scan, &h), HELLO_MORE);
	assert_int_equal(hello_parse(span_of(start, 9), &scan, &h), HELLO_BAD);
}

static void names(void **state)
{
	static const struct {
		const char *name;
		enum hello_result result;
		const char *expected;
	} rows[] = {
		{"a.test", HELLO_DONE, "a.test"},
		{"A.TEST.", HELLO_DONE, "a.test"},
		{"localhost", HELLO_DONE, "localhost"},
		{"127.0.0.1", HELLO_DONE, ""},
		{"::1", HELLO_DONE, ""},
		{"", HELLO_BAD, ""},
		{".", HELLO_BAD, ""},
		{"a..test", HELLO_BAD, ""},
		{"a b.test", HELLO_BAD, ""},
		{"a/b", HELLO_BAD, ""},
		{"*.test", HELLO_BAD, ""},
		{"b\xc3\xbc.test", HELLO_BAD, ""},
	};
	static struct text e;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hello h;

		e.n = 0;
		put_sni(&e, rows[i].name);
		if (parse_extensions(&e, &h) != rows[i].result)
			fail_msg("%s", rows[i].name);
		if (rows[i].result == HELLO_DONE && !span_eq(hello_name(&h), span_str(rows[i].expected)))
			fail_msg("%s", rows[i].name);
	}
}

static void a_name_with_a_nul_or_too_long_is_refused(void **state)
{
	static struct text e;
	char name[255];
	struct hello h;

	(void)state;
	e.n = 0;
	put_sni(&e, "a.test");
	e.p[e.n - 3] = 0;
	assert_int_equal(parse_extensions(&e, &h), HELLO_BAD);
	memset(name, 'a', sizeof(name));
	for (size_t i = 40; i < sizeof(name); i += 40)
		name[i] = '.';
	name[253] = '.';
	name[254] = '\0';
	e.n = 0;
	put_sni(&e, name);
	assert_int_equal(parse_extensions(&e, &h), HELLO_DONE);
	assert_int_equal(h.name_bytes, 253);
	name[253] = 'a';
	e.n = 0;
	put_sni(&e, name);
	assert_int_equal(parse_extensions(&e, &h), HELLO_BAD);
}

static void protocols(void **state)
{
	static const struct {
		const char *list;
		enum hello_result result;
		bool http11, h2;
	} rows[] = {
		{"\10http/1.1", HELLO_DONE, true, false},
		{"\2h2", HELLO_DONE, false, true},
		{"\10http/1.0\3foo", HELLO_DONE, false, false},
		{"", HELLO_BAD, false, false},
		{"\3h2", HELLO_BAD, false, false},
		{"\2h2\1", HELLO_BAD, false, false},
	};
	static struct text e;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hello h;

		e.n = 0;
		put_alpn(&e, rows[i].list);
		assert_int_equal(parse_extensions(&e, &h), rows[i].result);
		if (rows[i].result != HELLO_DONE)
			continue;
		assert_true(h.has_alpn);
		assert_int_equal(h.alpn_http11, rows[i].http11);
		assert_int_equal(h.alpn_h2, rows[i].h2);
	}
}

static void no_extension_may_come_twice(void **state)
{
	static struct text e;
	struct hello h;

	(void)state;
	e.n = 0;
	put_sni(&e, "a.test");
	put_padding(&e, 3);
	put_padding(&e, 3); /* we do not read this one, so we do not judge it */
	assert_int_equal(parse_extensions(&e, &h), HELLO_DONE);
	put_sni(&e, "b.test");
	assert_int_equal(parse_extensions(&e, &h), HELLO_BAD);
}

static void a_hello_may_have_no_extensions(void **state)
{
	static struct text e;
	struct text *m, *r;
	struct hello h;

	(void)state;
	e.n = 0;
	m = message(&e);
	m->n -= 2; /* the length of the extensions */
	m->p[3] = (uint8_t)(m->n - 4);
	r = records(m, 16384);
	assert_int_equal(parse_all(r, &h), HELLO_DONE);
	assert_int_equal(h.name_bytes, 0);
	assert_false(h.has_alpn);
	free(r);
	free(m);
}

static void what_is_not_tls(void **state)
{
	static const struct {
		struct span in;
		enum hello_result result;
	} rows[] = {
		{{"", 0}, HELLO_MORE},
		{{"GET / HTTP/1.1\r\n", 16}, HELLO_NOT_TLS},
		{{"CONNECT", 7}, HELLO_NOT_TLS},
		{{"\x80\x2e\x01\x03\x01", 5}, HELLO_NOT_TLS}, /* SSL 2 */
		{{"\x15\x03\x01\x00\x02\x01\x00", 7}, HELLO_NOT_TLS},
		{{"\x16", 1}, HELLO_MORE},
		{{"\x16\x02", 2}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x00", 5}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x03", 5}, HELLO_BAD},
		{{"\x16\x03\x01\x40\x01", 5}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x10\x02", 6}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x04\x01\x00\x01\x00\x15", 10}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x06\x01\x00\x00\x01\x00\x00", 11}, HELLO_BAD}, /* more than the message */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hello_scan scan = {0};
		struct hello h;

		if (hello_parse(rows[i].in, &scan, &h) != rows[i].result)
			fail_msg("row %zu", i);
	}
}

/* With any byte of it cut out of the message, lengths that no longer fit must be noticed, not believed. */
static void a_byte_less_anywhere_is_noticed(void **state)
{
	static struct text e, shorter;
	struct text *m;
	struct hello h;

	(void)state;
	usual(&e);
	m = message(&e);
	for (size_t i = 4; i < m->n; i++) {
		struct text *r;

		memcpy(&shorter, m, sizeof(shorter));
		memmove(shorter.p + i, shorter.p + i + 1, m->n - i - 1);
		shorter.n--;
		shorter.p[3]--;
		r = records(&shorter, 16384);
		assert_int_not_equal(parse_all(r, &h), HELLO_MORE);
		if (parse_all(r, &h) == HELLO_DONE)
			fail_msg("byte %zu", i);
		free(r);
	}
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_usual_hello),
		cmocka_unit_test(in_records_of_any_size_and_byte_by_byte),
		cmocka_unit_test(a_large_one_over_several_records),
		cmocka_unit_test(too_large_is_refused_at_once),
		cmocka_unit_test(names),
		cmocka_unit_test(a_name_with_a_nul_or_too_long_is_refused),
		cmocka_unit_test(protocols),
		cmocka_unit_test(no_extension_may_come_twice),
		cmocka_unit_test(a_hello_may_have_no_extensions),
		cmocka_unit_test(what_is_not_tls),
		cmocka_unit_test(a_byte_less_anywhere_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
