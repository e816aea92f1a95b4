#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/peermsg.h"
#include "proto/purgerec.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FIRST 1700000000000
#define DIGEST "sha256:5b71b7aec138718794a5de7d9c203bc5871f184c36fdb8dbcacd86c737eeddd4"

/* tests/vectors/NAME.hex; see make.py there */
static struct span read_vector(const char *name, char *out, size_t cap)
{
	const char *here = strstr(__FILE__, "tests/unit/");
	char path[1024], line[256];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%.*stests/vectors/%s.hex", here ? (int)(here - __FILE__) : 0, __FILE__, name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s is not there", path);
	while (fgets(line, sizeof(line), f)) {
		unsigned v;

		for (const char *p = line; line[0] != '#' && sscanf(p, " %2x", &v) == 1; p += strspn(p, " ") + 2) {
			assert_true(n < cap);
			out[n++] = (char)v;
		}
	}
	fclose(f);
	assert_true(n > 0);
	return span_of(out, n);
}

static const struct {
	const char *name;
	uint64_t serial;
	int64_t at;
	enum purgerec_kind kind;
	const char *value;
} rows[] = {
	{"purge-url", FIRST, FIRST, PURGEREC_URL, "https://registry.test/left-pad/-/left-pad-1.3.0.tgz"},
	{"purge-prefix", FIRST + 1, FIRST, PURGEREC_PREFIX, "https://registry.test/left-pad/"},
	{"purge-host", FIRST + 2, FIRST + 500, PURGEREC_HOST, "registry.test"},
	{"purge-all", FIRST + 3, FIRST + 1000, PURGEREC_ALL, ""},
	{"purge-class", FIRST + 4, FIRST + 1000, PURGEREC_CLASS, "immutable"},
	{"purge-digest", FIRST + 5, FIRST + 1000, PURGEREC_DIGEST, DIGEST},
	{"purge-soft-host", FIRST + 6, FIRST + 1000, (enum purgerec_kind)(PURGEREC_HOST | PURGEREC_SOFT),
	 "registry.test"},
	{"purge-deny", FIRST + 7, FIRST + 1000, PURGEREC_DENY, DIGEST},
	{"purge-allow", FIRST + 8, FIRST + 2000, PURGEREC_ALLOW, DIGEST},
};

static void golden_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char mem[PURGEREC_MAX_BYTES], out[PURGEREC_MAX_BYTES];
		struct span v = read_vector(rows[i].name, mem, sizeof(mem));
		struct buf b = buf_over(out, sizeof(out));
		struct purgerec r;

		assert_true(purgerec_parse(v, &r));
		assert_true(r.serial == rows[i].serial && r.at == rows[i].at && r.kind == rows[i].kind);
		assert_true(span_eq(r.value, span_str(rows[i].value)));
		assert_memory_equal(r.signature, v.p + v.n - PURGEREC_SIGNATURE_BYTES, PURGEREC_SIGNATURE_BYTES);
		assert_true(peermsg_walk(v)); /* it is msgpack */
		purgerec_format(&b, &r);
		assert_true(!b.full && span_eq(buf_span(&b), v));
	}
}

static void what_is_signed(void **state)
{
	char mem[PURGEREC_MAX_BYTES], out[PURGEREC_MAX_BYTES], want[PURGEREC_MAX_BYTES];
	struct span v = read_vector("purge-url", mem, sizeof(mem));
	struct buf b = buf_over(out, sizeof(out)), w = buf_over(want, sizeof(want));
	struct purgerec r;

	(void)state;
	assert_true(purgerec_parse(v, &r));
	purgerec_put_signed(&b, SPAN("integration"), &r);
	buf_put_str(&w, "pmcache purge 1\nintegration\n");
	buf_put(&w, span_upto(v, v.n - PURGEREC_SIGNATURE_BYTES - 2));
	assert_true(span_eq(buf_span(&b), buf_span(&w)));
}

/* One encoding of each record: whatever byte is another, it is no record, or another one. */
static void no_two_encodings(void **state)
{
	char mem[PURGEREC_MAX_BYTES], out[PURGEREC_MAX_BYTES];
	struct span v = read_vector("purge-prefix", mem, sizeof(mem));
	struct purgerec r;

	(void)state;
	for (size_t i = 0; i < v.n; i++)
		for (unsigned other = 1; other < 256; other++) {
			struct buf b = buf_over(out, sizeof(out));

			mem[i] = (char)(mem[i] ^ (char)other);
			if (purgerec_parse(v, &r)) {
				purgerec_format(&b, &r);
				assert_true(span_eq(buf_span(&b), v));
			}
			mem[i] = (char)(mem[i] ^ (char)other);
		}
}

static void not_a_record(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t n;
	} damages[] = {
		{0, "\x95", 1},
		{0, "\x97", 1},
		{1, "\x02", 1},
		{2, "\xce", 1},
		{3, "\0\0\0\0\0\0\0\0", 8}, /* serial 0 */
		{11, "\xd3", 1},
		{12, "\x80", 1}, /* a time beyond what there is */
		{20, "\0", 1},
		{20, "\3", 1}, /* a host with slashes */
		{20, "\4", 1}, /* everything, with a value */
		{20, "\x22", 1},
		{21, "\xd9", 1},
		{22, "\1", 1},
		{23, "\x1e", 1},
		{23, "\x20", 1},
		{24, "H", 1},
		{24, "ftp:", 4},
		{32, "/", 1}, /* no host */
		{40, " ", 1},
		{40, "\x7f", 1},
		{40, "\xe9", 1},
		{55, "\xc5", 1},
		{56, "\x3f", 1},
	};
	char mem[PURGEREC_MAX_BYTES];
	struct span v = read_vector("purge-prefix", mem, sizeof(mem));
	struct purgerec r;

	(void)state;
	for (size_t i = 0; i < COUNT(damages); i++) {
		read_vector("purge-prefix", mem, sizeof(mem));
		memcpy(mem + damages[i].at, damages[i].bytes, damages[i].n);
		if (purgerec_parse(v, &r))
			fail_msg("damage %zu", i);
	}
	read_vector("purge-prefix", mem, sizeof(mem));
	for (size_t n = 0; n < v.n; n++)
		assert_false(purgerec_parse(span_upto(v, n), &r));
	mem[v.n] = 0;
	assert_false(purgerec_parse(span_of(mem, v.n + 1), &r));
	assert_true(purgerec_parse(v, &r));
	assert_false(purgerec_parse(SPAN_NONE, &r));
}

static void values_that_fit(void **state)
{
	static const struct {
		enum purgerec_kind kind;
		const char *value;
		bool fits;
	} cases[] = {
		{PURGEREC_URL, "https://registry.test/a?b=c", true},
		{PURGEREC_URL, "http://registry.test:8080/", true},
		{PURGEREC_URL, "https://registry.test", false},
		{PURGEREC_URL, "https:///a", false},
		{PURGEREC_URL, "/a", false},
		{PURGEREC_URL, "", false},
		{PURGEREC_URL, "https://registry.test/a b", false},
		{PURGEREC_PREFIX, "https://registry.test/", true},
		{PURGEREC_PREFIX, "https://registry.test/@scope/na", true},
		{PURGEREC_PREFIX, "https://regis", false}, /* would reach other hosts */
		{PURGEREC_PREFIX, "https://", false},
		{PURGEREC_PREFIX, "", false},
		{PURGEREC_HOST, "registry.test", true},
		{PURGEREC_HOST, "[::1]:8080", true},
		{PURGEREC_HOST, "registry.test/", false},
		{PURGEREC_HOST, "", false},
		{PURGEREC_ALL, "", true},
		{PURGEREC_ALL, "x", false},
		{(enum purgerec_kind)0, "", false},
		{(enum purgerec_kind)9, "", false},
		{PURGEREC_CLASS, "mutable", true},
		{PURGEREC_CLASS, "negative", true},
		{PURGEREC_CLASS, "registry.test", false},
		{PURGEREC_CLASS, "", false},
		{PURGEREC_DIGEST, DIGEST, true},
		{PURGEREC_DIGEST, DIGEST "0", false},
		{PURGEREC_DIGEST, "sha256:", false},
		{PURGEREC_DIGEST, "sha512:5b71b7aec138718794a5de7d9c203bc5871f184c36fdb8dbcacd86c737eeddd4", false},
		{PURGEREC_DIGEST, "sha256:5B71B7AEC138718794A5DE7D9C203BC5871F184C36FDB8DBCACD86C737EEDDD4",
		 false}, /* one spelling of each */
		{PURGEREC_DENY, DIGEST, true},
		{PURGEREC_DENY, "", false},
		{PURGEREC_ALLOW, DIGEST, true},
		{(enum purgerec_kind)(PURGEREC_ALL | PURGEREC_SOFT), "", true},
		{(enum purgerec_kind)(PURGEREC_DIGEST | PURGEREC_SOFT), DIGEST, true},
		{(enum purgerec_kind)(PURGEREC_DENY | PURGEREC_SOFT), DIGEST, false},
		{(enum purgerec_kind)PURGEREC_SOFT, "", false},
		{(enum purgerec_kind)(PURGEREC_ALL | 0x20), "", false},
	};
	char longest[PURGEREC_VALUE_BYTES + 2];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (purgerec_fits(cases[i].kind, span_str(cases[i].value)) != cases[i].fits)
			fail_msg("%d \"%s\"", (int)cases[i].kind, cases[i].value);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "http://a/", 9);
	assert_true(purgerec_fits(PURGEREC_URL, span_of(longest, PURGEREC_VALUE_BYTES)));
	assert_false(purgerec_fits(PURGEREC_URL, span_of(longest, PURGEREC_VALUE_BYTES + 1)));
}

/* The longest record has its place in a datagram, and what has none is left out whole. */
static void sizes(void **state)
{
	char value[PURGEREC_VALUE_BYTES], out[PURGEREC_MAX_BYTES];
	struct purgerec r = {.serial = UINT64_MAX,
			     .at = INT64_MAX,
			     .kind = PURGEREC_URL,
			     .value = {value, sizeof(value)}},
			back;
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	memset(value, 'a', sizeof(value));
	memcpy(value, "http://a/", 9);
	purgerec_format(&b, &r);
	assert_true(!b.full && b.n <= PEERMSG_PURGE_BYTES);
	assert_true(purgerec_parse(buf_span(&b), &back) && back.serial == UINT64_MAX && back.at == INT64_MAX);
	b = buf_over(out, 500);
	purgerec_format(&b, &r);
	assert_true(b.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_vectors), cmocka_unit_test(what_is_signed),  cmocka_unit_test(no_two_encodings),
		cmocka_unit_test(not_a_record),   cmocka_unit_test(values_that_fit), cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
