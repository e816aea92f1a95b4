#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/certmsg.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

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

static void valid(void **state)
{
	char mem[CERTMSG_MAX_BYTES], out[CERTMSG_MAX_BYTES];
	struct span v = read_vector("cert-valid", mem, sizeof(mem));
	struct buf b = buf_over(out, sizeof(out));
	struct certmsg m;

	(void)state;
	assert_true(certmsg_parse(v, &m));
	assert_int_equal(m.verdict, CERTMSG_VALID);
	assert_int_equal(m.n_sans, 3);
	assert_true(span_eq(m.sans[0], SPAN("packages.example")));
	assert_true(span_eq(m.sans[1], SPAN("*.packages.example")));
	assert_true(span_eq(m.sans[2], SPAN("192.0.2.7")));
	assert_int_equal(m.not_before, 1700000000);
	assert_int_equal(m.not_after, 1800000000);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(m.spki_sha256[i], i);
	assert_int_equal(m.alpn.n, 0);
	assert_int_equal(m.ttl_s, 3600);
	assert_int_equal(m.subject.n, 29);
	assert_true(span_ends(m.subject, SPAN("packages.example")));
	assert_int_equal(m.reason.n, 0);
	certmsg_format(&b, &m);
	assert_true(span_eq(buf_span(&b), v));
}

static void written_as_they_stand(void **state)
{
	static const char *const names[] = {"cert-least", "cert-invalid", "cert-unknown"};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		char mem[256], out[256];
		struct span v = read_vector(names[i], mem, sizeof(mem));
		struct buf b = buf_over(out, sizeof(out));
		struct certmsg m;

		assert_true(certmsg_parse(v, &m));
		certmsg_format(&b, &m);
		assert_true(span_eq(buf_span(&b), v));
	}
}

static void other_verdicts(void **state)
{
	char mem[256];
	struct certmsg m;

	(void)state;
	assert_true(certmsg_parse(read_vector("cert-invalid", mem, sizeof(mem)), &m));
	assert_int_equal(m.verdict, CERTMSG_INVALID);
	assert_true(span_eq(m.reason, SPAN("cert-expired")));
	assert_true(certmsg_parse(read_vector("cert-unknown", mem, sizeof(mem)), &m));
	assert_int_equal(m.verdict, CERTMSG_UNKNOWN);
	assert_int_equal(m.ttl_s, 30);
	assert_true(certmsg_parse(read_vector("cert-later", mem, sizeof(mem)), &m));
	assert_int_equal(m.verdict, CERTMSG_UNKNOWN);
}

static void malformed(void **state)
{
	static const char *const names[] = {"cert-critical", "cert-none", "cert-twice", "cert-name",
					    "cert-key",      "cert-deep", "cert-array"};
	char mem[512];
	struct certmsg m;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		if (certmsg_parse(read_vector(names[i], mem, sizeof(mem)), &m))
			fail_msg("%s was taken", names[i]);
	assert_false(certmsg_parse(SPAN(""), &m));
}

/* No beginning of a message is one, nor is one with a byte behind it. */
static void cut(void **state)
{
	char mem[512];
	struct span v = read_vector("cert-valid", mem, sizeof(mem) - 1);
	struct certmsg m;

	(void)state;
	for (size_t n = 0; n < v.n; n++)
		assert_false(certmsg_parse(span_upto(v, n), &m));
	mem[v.n] = 0;
	assert_false(certmsg_parse(span_of(v.p, v.n + 1), &m));
}

/* The largest of all fits; more does not, and says so. */
static void sizes(void **state)
{
	char name[CERTMSG_NAME_BYTES], subject[CERTMSG_SUBJECT_BYTES], out[CERTMSG_MAX_BYTES];
	struct certmsg m = {.n_sans = CERTMSG_SANS,
			    .not_after = INT64_MAX,
			    .not_before = INT64_MAX,
			    .ttl_s = UINT32_MAX},
		       back;
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	memset(name, 'a', sizeof(name));
	memset(subject, 0xff, sizeof(subject));
	m.subject = span_of(subject, sizeof(subject));
	for (unsigned i = 0; i < CERTMSG_SANS; i++)
		m.sans[i] = span_of(name, 4096 / CERTMSG_SANS);
	certmsg_format(&b, &m);
	assert_false(b.full);
	assert_true(certmsg_parse(buf_span(&b), &back));
	assert_int_equal(back.n_sans, CERTMSG_SANS);
	assert_true(span_eq(back.subject, m.subject));
	for (unsigned i = 0; i < CERTMSG_SANS; i++)
		m.sans[i] = span_of(name, sizeof(name));
	b = buf_over(out, sizeof(out));
	certmsg_format(&b, &m);
	assert_true(b.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid),
		cmocka_unit_test(written_as_they_stand),
		cmocka_unit_test(other_verdicts),
		cmocka_unit_test(malformed),
		cmocka_unit_test(cut),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
