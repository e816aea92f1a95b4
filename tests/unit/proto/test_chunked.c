#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/chunked.h"

struct decoded {
	char body[8192];
	size_t n, used;
	enum chunked_result end;
};

/* Feeds `in` in pieces of `step` bytes, each in memory of its own so that reading beyond it shows. */
static void decode(struct span in, size_t step, struct decoded *d)
{
	struct chunked c = {0};
	enum reason why = REASON_NONE;

	d->n = d->used = 0;
	d->end = CHUNKED_MORE;
	while (d->used < in.n && d->end == CHUNKED_MORE) {
		size_t piece = in.n - d->used < step ? in.n - d->used : step, at = 0;
		char *p = malloc(piece);

		memcpy(p, in.p + d->used, piece);
		do {
			struct span body;
			size_t used;

			d->end = chunked_decode(&c, span_of(p + at, piece - at), &used, &body, &why);
			assert_true(used <= piece - at);
			assert_true(d->end == CHUNKED_BODY ? body.n > 0 : body.n == 0);
			at += used;
			assert_true(d->n + body.n <= sizeof(d->body));
			if (body.n)
				memcpy(d->body + d->n, body.p, body.n);
			d->n += body.n;
		} while (d->end == CHUNKED_BODY);
		d->used += at;
		free(p);
	}
	assert_int_equal(why, d->end == CHUNKED_BAD ? REASON_BAD_CHUNK : REASON_NONE);
}

static const struct {
	const char *in;
	enum chunked_result end;
	const char *body;
	size_t left; /* bytes behind the last chunk */
} rows[] = {
	{"", CHUNKED_MORE, "", 0},
	{"0\r\n", CHUNKED_TRAILERS, "", 0},
	{"0\r\n\r\n", CHUNKED_TRAILERS, "", 2},
	{"000000000000000\r\n\r\n", CHUNKED_TRAILERS, "", 2},
	{"3\r\nabc\r\n0\r\n\r\nGET", CHUNKED_TRAILERS, "abc", 5},
	{"1\r\na\r\n2\r\nbc\r\n00\r\nX: y\r\n\r\n", CHUNKED_TRAILERS, "abc", 8},
	{"a\r\n0123456789\r\n0\r\n", CHUNKED_TRAILERS, "0123456789", 0},
	{"A\r\n0123456789\r\n0\r\n", CHUNKED_TRAILERS, "0123456789", 0},
	{"000000000000003\r\n\r\n0\r\n0\r\n", CHUNKED_TRAILERS, "\r\n0", 0},
	{"3;a=b\r\nabc\r\n0;x=\"y z\"\r\n", CHUNKED_TRAILERS, "abc", 0},
	{"3;\r\nabc\r\n0\r\n", CHUNKED_TRAILERS, "abc", 0},
	{"3; a = \t\xe9\r\nabc\r\n0\r\n", CHUNKED_TRAILERS, "abc", 0},
	{"5\r\nab", CHUNKED_MORE, "ab", 0},
	{"fffffffffffffff\r\nab", CHUNKED_MORE, "ab", 0},
	/* 16 digits, even if they are zeros */
	{"0000000000000003\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"10000000000000000\r\n", CHUNKED_BAD, "", 0},
	{"ffffffffffffffff\r\n", CHUNKED_BAD, "", 0},
	/* sizes that strtol and its like would read */
	{" 3\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3 \r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3\t\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3 ;a\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"+3\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"-3\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"-0\r\n", CHUNKED_BAD, "", 0},
	{"0x3\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3h\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3_0\r\n", CHUNKED_BAD, "", 0},
	{"\v3\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"g\r\n", CHUNKED_BAD, "", 0},
	{"\r\n", CHUNKED_BAD, "", 0},
	{"\n", CHUNKED_BAD, "", 0},
	{";a\r\n", CHUNKED_BAD, "", 0},
	{"3,3\r\nabc", CHUNKED_BAD, "", 0},
	/* line ends */
	{"3\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3\rabc\r\n", CHUNKED_BAD, "", 0},
	{"3\r\rabc\r\n", CHUNKED_BAD, "", 0},
	{"3;a\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3;a\rb\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3;\"\r\n\"\r\nabc\r\n", CHUNKED_BAD, "\"\r\n", 0},
	{"3;a\vb\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"3;a\x7f\r\nabc\r\n", CHUNKED_BAD, "", 0},
	{"0\n\n", CHUNKED_BAD, "", 0},
	{"3\r\nabc\n0\r\n", CHUNKED_BAD, "abc", 0},
	{"3\r\nabc0\r\n", CHUNKED_BAD, "abc", 0},
	{"3\r\nabcd\r\n0\r\n", CHUNKED_BAD, "abc", 0},
	{"3\r\nabc\r0\r\n", CHUNKED_BAD, "abc", 0},
	{"3\r\nabc\r\n\r\n0\r\n", CHUNKED_BAD, "abc", 0},
};

static void test_rows(void **state)
{
	struct decoded d;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct span in = span_str(rows[i].in);

		for (size_t step = 1; step <= in.n; step++) {
			decode(in, step, &d);
			if (d.end != rows[i].end || d.n != strlen(rows[i].body))
				fail_msg("row %zu in steps of %zu: end %d, %zu bytes of body", i, step, (int)d.end,
					 d.n);
			assert_memory_equal(d.body, rows[i].body, d.n);
			if (d.end == CHUNKED_TRAILERS)
				assert_int_equal(in.n - d.used, rows[i].left);
		}
	}
}

static void test_nul(void **state)
{
	struct decoded d;

	(void)state;
	decode(SPAN("3\0\r\nabc\r\n"), 100, &d);
	assert_int_equal(d.end, CHUNKED_BAD);
	decode(SPAN("3;a\0\r\nabc\r\n"), 100, &d);
	assert_int_equal(d.end, CHUNKED_BAD);
	decode(SPAN("3\r\n\0\0\0\r\n0\r\n"), 100, &d);
	assert_int_equal(d.end, CHUNKED_TRAILERS);
	assert_int_equal(d.n, 3);
}

static void test_end_stays(void **state)
{
	struct chunked c = {0};
	enum reason why = REASON_NONE;
	struct span body;
	size_t used;

	(void)state;
	assert_int_equal(chunked_decode(&c, SPAN("0\r\nab"), &used, &body, &why), CHUNKED_TRAILERS);
	assert_int_equal(used, 3);
	assert_int_equal(chunked_decode(&c, SPAN("ab"), &used, &body, &why), CHUNKED_TRAILERS);
	assert_int_equal(used, 0);
	c = (struct chunked){0};
	assert_int_equal(chunked_decode(&c, SPAN("x"), &used, &body, &why), CHUNKED_BAD);
	assert_int_equal(chunked_decode(&c, SPAN("0\r\n"), &used, &body, &why), CHUNKED_BAD);
	assert_int_equal(used, 0);
	assert_int_equal(why, REASON_BAD_CHUNK);
}

/* n bytes of extension on each of `chunks` chunks: 4096 in all is the most, wherever they are. */
static enum chunked_result extensions(size_t n, int chunks)
{
	static char in[16384];
	struct buf b = buf_over(in, sizeof(in));
	struct decoded d;

	for (int i = 0; i < chunks; i++) {
		buf_putc(&b, '1');
		for (size_t j = 0; j < n; j++)
			buf_putc(&b, j ? 'e' : ';');
		buf_put_str(&b, "\r\nx\r\n");
	}
	buf_put_str(&b, "0\r\n");
	assert_false(b.full);
	decode(buf_span(&b), b.n, &d);
	return d.end;
}

static void test_extensions_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(extensions(4096, 1), CHUNKED_TRAILERS);
	assert_int_equal(extensions(4097, 1), CHUNKED_BAD);
	assert_int_equal(extensions(2048, 2), CHUNKED_TRAILERS);
	assert_int_equal(extensions(2049, 2), CHUNKED_BAD);
	assert_int_equal(extensions(4, 1024), CHUNKED_TRAILERS);
	assert_int_equal(extensions(4, 1025), CHUNKED_BAD);
}

static void test_lines(void **state)
{
	static const struct {
		uint64_t n;
		const char *line;
	} lines[] = {
		{0, "0\r\n"},
		{1, "1\r\n"},
		{15, "f\r\n"},
		{16, "10\r\n"},
		{26, "1a\r\n"},
		{65536, "10000\r\n"},
		{0xabcdef0123, "abcdef0123\r\n"},
		{UINT64_MAX, "ffffffffffffffff\r\n"},
	};
	char out[CHUNKED_LINE_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		size_t n = chunked_line(out, lines[i].n);

		assert_int_equal(n, strlen(lines[i].line));
		assert_memory_equal(out, lines[i].line, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),      cmocka_unit_test(test_nul),
		cmocka_unit_test(test_end_stays), cmocka_unit_test(test_extensions_are_bounded),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
