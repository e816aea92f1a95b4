#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/httpdate.h"
#include "proto/validator.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 1795438800000
#define T0 "Sun, 06 Nov 1994 08:49:36 GMT"
#define T1 "Sun, 06 Nov 1994 08:49:37 GMT"
#define T2 "Sun, 06 Nov 1994 08:49:38 GMT"

static void etags(void **state)
{
	static const struct {
		const char *text;
		int result;
		bool weak;
	} rows[] = {
		{"\"a\"", 0, false},    {"\"\"", 0, false},      {"W/\"a\"", 0, true},   {"\"a,b\\\"", 0, false},
		{"\"\xff\"", 0, false}, {"\"W/a\"", 0, false},   {"a", -1, false},       {"\"a", -1, false},
		{"a\"", -1, false},     {"\"", -1, false},       {"w/\"a\"", -1, false}, {"W/a", -1, false},
		{"W/", -1, false},      {"\"a\"b\"", -1, false}, {"\"a b\"", -1, false}, {"\"a\", \"b\"", -1, false},
		{"*", -1, false},       {"", -1, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct etag e;

		if (validator_etag(span_str(rows[i].text), &e) != rows[i].result)
			fail_msg("%s", rows[i].text);
		assert_int_equal(e.weak, rows[i].weak);
		assert_int_equal(e.opaque.n == 0, rows[i].result != 0);
	}
}

static void comparison_of_rfc_9110_8_8_3_2(void **state)
{
	static const struct {
		const char *a, *b;
		bool strong, weak;
	} rows[] = {
		{"W/\"1\"", "W/\"1\"", false, true}, {"W/\"1\"", "W/\"2\"", false, false},
		{"W/\"1\"", "\"1\"", false, true},   {"\"1\"", "\"1\"", true, true},
		{"\"1\"", "\"2\"", false, false},    {"", "", false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct etag a, b;

		validator_etag(span_str(rows[i].a), &a);
		validator_etag(span_str(rows[i].b), &b);
		assert_int_equal(validator_same_strong(&a, &b), rows[i].strong);
		assert_int_equal(validator_same_weak(&a, &b), rows[i].weak);
	}
}

#define ETAG "If-None-Match"
#define MATCH "If-Match"
#define SINCE "If-Modified-Since"
#define UNSINCE "If-Unmodified-Since"

struct condition {
	const char *etag, *last_modified, *date; /* of the entity; NULL: none */
	const char *name, *value, *name2, *value2;
	enum http1_method method;
	enum precond result;
};

static void make_entity(const char *etag, const char *modified, const char *date, struct entity *out)
{
	struct hdrs h = {0};

	if (etag)
		hdr_add(&h, SPAN("ETag"), span_str(etag));
	if (modified)
		hdr_add(&h, SPAN("Last-Modified"), span_str(modified));
	if (date)
		hdr_add(&h, SPAN("Date"), span_str(date));
	validator_entity(&h, NOW, out);
}

static const struct condition conditions[] = {
	{"\"a\"", T1, T2, NULL, NULL, NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, ETAG, "\"a\"", NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, ETAG, "\"a\"", NULL, NULL, METHOD_HEAD, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, ETAG, "\"a\"", NULL, NULL, METHOD_PUT, PRECOND_FAILED},
	{"\"a\"", T1, T2, ETAG, "W/\"a\"", NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"W/\"a\"", T1, T2, ETAG, "\"a\"", NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, ETAG, "\"b\"", NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, ETAG, "\"b\" , ,W/\"c\",\"a\"", NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a,b\"", T1, T2, ETAG, "\"x\", \"a,b\"", NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"b\"", T1, T2, ETAG, "\"a,\"b\",c\"", NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, ETAG, "\"b\"", ETAG, "\"a\"", METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, ETAG, "a", NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, ETAG, "*", NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{NULL, NULL, NULL, ETAG, "*", NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{NULL, T1, T2, ETAG, "\"a\"", NULL, NULL, METHOD_GET, PRECOND_OK},
	/* If-None-Match silences If-Modified-Since */
	{"\"a\"", T1, T2, ETAG, "\"b\"", SINCE, T2, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, ETAG, "\"a\"", SINCE, T0, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, SINCE, T1, NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, SINCE, T2, NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, SINCE, T0, NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, SINCE, "yesterday", NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, SINCE, T2, NULL, NULL, METHOD_POST, PRECOND_OK},
	{NULL, NULL, T1, SINCE, T1, NULL, NULL, METHOD_GET, PRECOND_NOT_MODIFIED},
	{NULL, NULL, T1, SINCE, T0, NULL, NULL, METHOD_GET, PRECOND_OK},
	{NULL, NULL, NULL, SINCE, T2, NULL, NULL, METHOD_GET, PRECOND_OK},
	/* If-Match and If-Unmodified-Since come first */
	{"\"a\"", T1, T2, MATCH, "\"a\"", NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, MATCH, "\"b\"", NULL, NULL, METHOD_GET, PRECOND_FAILED},
	{"W/\"a\"", T1, T2, MATCH, "W/\"a\"", NULL, NULL, METHOD_GET, PRECOND_FAILED},
	{"\"a\"", T1, T2, MATCH, "*", NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, MATCH, "\"b\"", ETAG, "\"a\"", METHOD_GET, PRECOND_FAILED},
	{"\"a\"", T1, T2, MATCH, "\"a\"", ETAG, "\"a\"", METHOD_GET, PRECOND_NOT_MODIFIED},
	{"\"a\"", T1, T2, MATCH, "\"a\"", UNSINCE, T0, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, UNSINCE, T1, NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", T1, T2, UNSINCE, T0, NULL, NULL, METHOD_GET, PRECOND_FAILED},
	{"\"a\"", T1, T2, UNSINCE, "yesterday", NULL, NULL, METHOD_GET, PRECOND_OK},
	{"\"a\"", NULL, NULL, UNSINCE, T2, NULL, NULL, METHOD_GET, PRECOND_FAILED},
};

static void conditions_in_their_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(conditions); i++) {
		const struct condition *c = &conditions[i];
		struct hdrs request = {0};
		struct entity e;

		make_entity(c->etag, c->last_modified, c->date, &e);
		if (c->name)
			hdr_add(&request, span_str(c->name), span_str(c->value));
		if (c->name2)
			hdr_add(&request, span_str(c->name2), span_str(c->value2));
		assert_int_equal(validator_is_conditional(&request), c->name != NULL);
		if (validator_check(&request, c->method, &e, NOW) != c->result)
			fail_msg("row %zu: %s: %s", i, c->name ? c->name : "", c->value ? c->value : "");
	}
}

static void if_range(void **state)
{
	static const struct {
		const char *etag, *last_modified, *date, *value;
		bool applies;
	} rows[] = {
		{"\"a\"", T1, T2, NULL, true},         {NULL, NULL, NULL, NULL, true},
		{"\"a\"", T1, T2, "\"a\"", true},      {"\"a\"", T1, T2, "\"b\"", false},
		{"\"a\"", T1, T2, "W/\"a\"", false},   {"W/\"a\"", T1, T2, "\"a\"", false},
		{NULL, T1, T2, "\"a\"", false},        {"\"a\"", T1, T2, T1, true},
		{"\"a\"", T1, T2, T2, false},          {"\"a\"", T1, T2, T0, false},
		{"\"a\"", T1, T1, T1, false}, /* changed in the second of the answer: weak */
		{"\"a\"", T1, NULL, T1, false},        {"\"a\"", NULL, T2, T1, false},
		{"\"a\"", NULL, T2, "rubbish", false}, {"\"a\"", NULL, T2, "", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hdrs request = {0};
		struct entity e;

		make_entity(rows[i].etag, rows[i].last_modified, rows[i].date, &e);
		if (rows[i].value)
			hdr_add(&request, SPAN("If-Range"), span_str(rows[i].value));
		if (validator_range_applies(&request, &e, NOW) != rows[i].applies)
			fail_msg("row %zu", i);
	}
}

static void repeated_fields_are_no_validators(void **state)
{
	struct hdrs h = {0};
	struct entity e;

	(void)state;
	hdr_add(&h, SPAN("ETag"), SPAN("\"a\""));
	hdr_add(&h, SPAN("ETag"), SPAN("\"b\""));
	hdr_add(&h, SPAN("Last-Modified"), SPAN(T1));
	hdr_add(&h, SPAN("Last-Modified"), SPAN(T1));
	validator_entity(&h, NOW, &e);
	assert_int_equal(e.etag.opaque.n, 0);
	assert_true(e.last_modified == HTTPDATE_NONE && e.date == HTTPDATE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(etags),
		cmocka_unit_test(comparison_of_rfc_9110_8_8_3_2),
		cmocka_unit_test(conditions_in_their_order),
		cmocka_unit_test(if_range),
		cmocka_unit_test(repeated_fields_are_no_validators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
