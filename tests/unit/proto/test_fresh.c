#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/fresh.h"
#include "proto/httpdate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define HOUR_AGO "Sun, 06 Nov 1994 07:49:37 GMT"
#define HOUR_AHEAD "Sun, 06 Nov 1994 09:49:37 GMT"
#define TEN_HOURS_AGO "Sat, 05 Nov 1994 22:49:37 GMT"
#define YEARS_AGO "Wed, 06 Nov 1991 08:49:37 GMT"
#define S(n) ((dur_ms)(n)*DUR_SECOND)
#define FOREVER FRESH_FOREVER_S

/* "Name: value\nName: value" */
static void fields_of(const char *text, struct hdrs *out)
{
	struct span rest = span_str(text), line, name;

	memset(out, 0, sizeof(*out));
	while (text && span_cut(&rest, '\n', &line) && line.n) {
		assert_true(span_cut(&line, ':', &name));
		assert_int_equal(hdr_add(out, name, span_trim(line)), 0);
	}
}

struct answer {
	int status;
	const char *fields;
	enum pathclass class;
	bool earned;
};

/* Facts of an answer that came just now, to a request that left just now. */
static void read_answer(const struct answer *a, struct hdrs *h, struct fresh_response *out)
{
	struct path_facts path = {.class = a->class, .ttl_s = a->class == PATH_MUTABLE ? PATH_MUTABLE_TTL_S : 0};

	fields_of(a->fields, h);
	fresh_read_response(a->status, h, NOW, NOW, &path, out);
	out->earned = a->earned;
}

static void read_question(const char *fields, struct fresh_request *out)
{
	struct http1_request request = {.method = METHOD_GET};

	fields_of(fields, &request.fields);
	fresh_read_request(&request, out);
}

static void terms_of(const struct answer *a, struct fresh_terms *out)
{
	struct hdrs h;
	struct fresh_response r;

	read_answer(a, &h, &r);
	fresh_terms(&r, out);
}

static const struct {
	struct answer answer;
	int64_t lifetime_s;
	const char *source;
} lifetimes[] = {
	{{200, "Date: " DATE "\nCache-Control: max-age=60, s-maxage=30\nExpires: " HOUR_AHEAD, PATH_OTHER, false},
	 30,
	 "explicit"},
	{{200, "Date: " DATE "\nCache-Control: max-age=60\nExpires: " HOUR_AHEAD, PATH_OTHER, false}, 60, "explicit"},
	{{200, "Date: " DATE "\nExpires: " HOUR_AHEAD, PATH_OTHER, false}, 3600, "explicit"},
	{{200, "Date: " HOUR_AGO "\nExpires: " HOUR_AHEAD, PATH_OTHER, false}, 7200, "explicit"},
	{{200, "Expires: " HOUR_AHEAD, PATH_OTHER, false}, 3600, "explicit"},
	{{200, "Date: " DATE "\nExpires: " HOUR_AGO, PATH_OTHER, false}, 0, "explicit"},
	{{200, "Date: " DATE "\nExpires: 0", PATH_OTHER, false}, 0, "explicit"},
	{{200, "Expires: " HOUR_AHEAD "\nExpires: " HOUR_AHEAD, PATH_OTHER, false}, 0, "explicit"},
	{{200, "Cache-Control: max-age=x\nLast-Modified: " YEARS_AGO, PATH_OTHER, false}, 0, "explicit"},
	{{500, "Cache-Control: max-age=60", PATH_OTHER, false}, 60, "explicit"},
	{{200, "Date: " DATE "\nLast-Modified: " TEN_HOURS_AGO, PATH_OTHER, false}, 3600, "heuristic"},
	{{404, "Date: " DATE "\nLast-Modified: " TEN_HOURS_AGO, PATH_OTHER, false}, 3600, "heuristic"},
	{{200, "Date: " DATE "\nLast-Modified: " YEARS_AGO, PATH_OTHER, false}, 86400, "heuristic"},
	{{200, "Date: " DATE "\nLast-Modified: " HOUR_AHEAD, PATH_OTHER, false}, 0, "no-lifetime"},
	{{302, "Date: " DATE "\nLast-Modified: " TEN_HOURS_AGO, PATH_OTHER, false}, 0, "no-lifetime"},
	{{302, "Date: " DATE "\nLast-Modified: " TEN_HOURS_AGO "\nCache-Control: public", PATH_OTHER, false},
	 3600,
	 "heuristic"},
	{{200, "Date: " DATE, PATH_OTHER, false}, 0, "no-lifetime"},
	{{200, "", PATH_MUTABLE, false}, PATH_MUTABLE_TTL_S, "class-ttl"},
	{{200, "Last-Modified: " YEARS_AGO, PATH_MUTABLE, false}, PATH_MUTABLE_TTL_S, "class-ttl"},
	{{200, "Cache-Control: max-age=5", PATH_MUTABLE, false}, 5, "explicit"},
	{{301, "", PATH_MUTABLE, false}, 0, "no-lifetime"},
	{{404, "", PATH_MUTABLE, false}, FRESH_NEGATIVE_S, "negative"},
	{{410, "", PATH_IMMUTABLE, false}, FRESH_NEGATIVE_S, "negative"},
	{{404, "", PATH_OTHER, false}, 0, "no-lifetime"},
	{{404, "Cache-Control: max-age=5", PATH_IMMUTABLE, false}, 5, "explicit"},
	{{200, "", PATH_IMMUTABLE, true}, FOREVER, "immutable"},
	{{200, "Cache-Control: no-cache, max-age=0", PATH_IMMUTABLE, true}, FOREVER, "immutable"},
	{{200, "Cache-Control: max-age=5", PATH_IMMUTABLE, false}, 5, "explicit"},
	{{302, "", PATH_IMMUTABLE, true}, 0, "no-lifetime"},
};

static void lifetimes_come_from_the_best_source(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lifetimes); i++) {
		struct fresh_terms t;

		terms_of(&lifetimes[i].answer, &t);
		if (t.lifetime_s != lifetimes[i].lifetime_s ||
		    strcmp(fresh_why_word(t.source), lifetimes[i].source) != 0)
			fail_msg("row %zu: %lld s, %s", i, (long long)t.lifetime_s, fresh_why_word(t.source));
	}
}

static void age_at_receipt(void **state)
{
	static const struct {
		const char *fields;
		dur_ms delay;
		int64_t age_s;
	} rows[] = {
		{"Date: " DATE, 0, 0},
		{"Date: " DATE "\nAge: 30", 0, 30},
		{"Date: " DATE "\nAge: 30", 5000, 35},
		{"Date: " HOUR_AGO "\nAge: 30", 5000, 3600},
		{"Date: " HOUR_AHEAD "\nAge: 30", 0, 30},
		{"Age: 30", 0, 30},
		{"Age: -30", 0, 0},
		{"Age: x", 0, 0},
		{"Age: 30, 40", 0, 30},
		{"Age: 9999999999999999999", 0, CACHECTL_MAX_S},
		{"", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct path_facts path = {.class = PATH_OTHER};
		struct fresh_response r;
		struct fresh_terms t;
		struct hdrs h;

		fields_of(rows[i].fields, &h);
		fresh_read_response(200, &h, NOW - rows[i].delay, NOW, &path, &r);
		fresh_terms(&r, &t);
		if (t.age_s != rows[i].age_s)
			fail_msg("row %zu: %lld", i, (long long)t.age_s);
		assert_true(fresh_age_s(&t, S(10)) == rows[i].age_s + 10);
	}
}

static const struct {
	struct answer answer;
	const char *request;
	dur_ms here;
	enum fresh_verdict verdict;
	const char *why;
} verdicts[] = {
#define MAX60                                                                                                          \
	{                                                                                                              \
		200, "Cache-Control: max-age=60", PATH_OTHER, false                                                    \
	}
	{MAX60, "", 0, FRESH_SERVE, "explicit"},
	{MAX60, "", S(59) + 999, FRESH_SERVE, "explicit"},
	{MAX60, "", S(60), FRESH_REVALIDATE, "expired"},
	{MAX60, "", -1, FRESH_REVALIDATE, "clock"},
	{{200, "Cache-Control: max-age=60\nAge: 60", PATH_OTHER, false}, "", 0, FRESH_REVALIDATE, "expired"},
	{{200, "Cache-Control: max-age=60\nAge: 59", PATH_OTHER, false}, "", 0, FRESH_SERVE, "explicit"},
	{{200, "ETag: \"a\"", PATH_OTHER, false}, "", 0, FRESH_REVALIDATE, "no-lifetime"},
	{{200, "Cache-Control: max-age=60, no-cache", PATH_OTHER, false}, "", 0, FRESH_REVALIDATE, "no-cache"},
	{{200, "Cache-Control: max-age=60, no-cache=\"x\"", PATH_OTHER, false}, "", 0, FRESH_REVALIDATE, "no-cache"},
	/* what requests say */
	{MAX60, "Cache-Control: no-cache", 0, FRESH_REVALIDATE, "request-no-cache"},
	{MAX60, "Pragma: no-cache", 0, FRESH_REVALIDATE, "request-no-cache"},
	{MAX60, "Cache-Control: no-store", 0, FRESH_SERVE, "explicit"},
	{MAX60, "Cache-Control: max-age=0", 0, FRESH_REVALIDATE, "request-max-age"},
	{MAX60, "Cache-Control: max-age=10", S(10), FRESH_SERVE, "explicit"},
	{MAX60, "Cache-Control: max-age=10", S(11), FRESH_REVALIDATE, "request-max-age"},
	{MAX60, "Cache-Control: min-fresh=50", S(10), FRESH_SERVE, "explicit"},
	{MAX60, "Cache-Control: min-fresh=51", S(10), FRESH_REVALIDATE, "request-min-fresh"},
	{MAX60, "Cache-Control: max-stale", S(99999), FRESH_SERVE_STALE, "max-stale"},
	{MAX60, "Cache-Control: max-stale=10", S(70), FRESH_SERVE_STALE, "max-stale"},
	{MAX60, "Cache-Control: max-stale=10", S(71), FRESH_REVALIDATE, "expired"},
	{{200, "Cache-Control: max-age=60, must-revalidate", PATH_OTHER, false},
	 "Cache-Control: max-stale",
	 S(61),
	 FRESH_REVALIDATE,
	 "expired"},
	{{200, "Cache-Control: max-age=60, proxy-revalidate", PATH_OTHER, false},
	 "Cache-Control: max-stale",
	 S(61),
	 FRESH_REVALIDATE,
	 "expired"},
	{{200, "Cache-Control: s-maxage=60", PATH_OTHER, false},
	 "Cache-Control: max-stale",
	 S(61),
	 FRESH_REVALIDATE,
	 "expired"},
/* RFC 5861 */
#define INDEX(fields)                                                                                                  \
	{                                                                                                              \
		200, fields, PATH_MUTABLE, false                                                                       \
	}
#define SWR                                                                                                            \
	{                                                                                                              \
		200, "Cache-Control: max-age=60, stale-while-revalidate=30", PATH_OTHER, false                         \
	}
	{SWR, "", S(60), FRESH_SERVE_AND_REVALIDATE, "stale-while-revalidate"},
	/* an index: for a minute, unless the answer says otherwise, or its life is shorter than that */
	{INDEX(""), "", S(59), FRESH_SERVE, "class-ttl"},
	{INDEX(""), "", S(60), FRESH_SERVE_AND_REVALIDATE, "stale-while-revalidate"},
	{INDEX(""), "", S(60 + FRESH_MUTABLE_WHILE_S) - 1, FRESH_SERVE_AND_REVALIDATE, "stale-while-revalidate"},
	{INDEX(""), "", S(60 + FRESH_MUTABLE_WHILE_S), FRESH_REVALIDATE, "expired"},
	{INDEX(""), "Cache-Control: max-age=0", S(61), FRESH_REVALIDATE, "request-max-age"},
	{INDEX(""), "Cache-Control: no-cache", S(61), FRESH_REVALIDATE, "request-no-cache"},
	{INDEX("Cache-Control: max-age=300"), "", S(301), FRESH_SERVE_AND_REVALIDATE, "stale-while-revalidate"},
	{INDEX("Cache-Control: max-age=59"), "", S(60), FRESH_REVALIDATE, "expired"},
	{INDEX("Cache-Control: max-age=0"), "", S(1), FRESH_REVALIDATE, "expired"},
	{INDEX("Cache-Control: max-age=300, stale-while-revalidate=0"), "", S(301), FRESH_REVALIDATE, "expired"},
	{INDEX("Cache-Control: max-age=300, must-revalidate"), "", S(301), FRESH_REVALIDATE, "expired"},
	{INDEX("Cache-Control: s-maxage=300"), "", S(301), FRESH_REVALIDATE, "expired"},
	{{404, "Cache-Control: max-age=300", PATH_MUTABLE, false}, "", S(301), FRESH_REVALIDATE, "expired"},
	{MAX60, "", S(61), FRESH_REVALIDATE, "expired"},
	{SWR, "", S(89), FRESH_SERVE_AND_REVALIDATE, "stale-while-revalidate"},
	{SWR, "", S(90), FRESH_REVALIDATE, "expired"},
	{SWR, "Cache-Control: max-age=60", S(61), FRESH_REVALIDATE, "request-max-age"},
	{{200, "Cache-Control: max-age=60, stale-while-revalidate=30, must-revalidate", PATH_OTHER, false},
	 "",
	 S(61),
	 FRESH_REVALIDATE,
	 "expired"},
/* classes */
#define ARTEFACT                                                                                                       \
	{                                                                                                              \
		200, "Cache-Control: max-age=0", PATH_IMMUTABLE, true                                                  \
	}
	{ARTEFACT, "", S(999999999), FRESH_SERVE, "immutable"},
	{ARTEFACT, "", -1, FRESH_SERVE, "immutable"},
	{ARTEFACT, "Cache-Control: no-cache, no-store\nPragma: no-cache", S(1), FRESH_SERVE, "immutable"},
	{ARTEFACT, "Cache-Control: max-age=0, min-fresh=60", S(1), FRESH_SERVE, "immutable"},
	{{200, "Cache-Control: max-age=0\nETag: \"a\"", PATH_IMMUTABLE, false}, "", 0, FRESH_REVALIDATE, "expired"},
	{{200, "", PATH_MUTABLE, false}, "", S(59), FRESH_SERVE, "class-ttl"},
	{{200, "", PATH_MUTABLE, false}, "", S(120), FRESH_REVALIDATE, "expired"},
	{{200, "", PATH_MUTABLE, false}, "Cache-Control: max-age=0", 0, FRESH_REVALIDATE, "request-max-age"},
	/* a CDN's Age beyond max-age: measured from receipt */
	{{200, "Cache-Control: max-age=60\nAge: 4000", PATH_MUTABLE, false}, "", S(59), FRESH_SERVE, "explicit"},
	{{200, "Cache-Control: max-age=60\nAge: 4000", PATH_MUTABLE, false}, "", S(120), FRESH_REVALIDATE, "expired"},
	{{200, "Date: " HOUR_AGO "\nCache-Control: max-age=60", PATH_MUTABLE, false},
	 "",
	 S(59),
	 FRESH_SERVE,
	 "explicit"},
	{{200, "Cache-Control: max-age=60\nAge: 50", PATH_MUTABLE, false}, "", S(70), FRESH_REVALIDATE, "expired"},
	{{200, "Cache-Control: max-age=60\nAge: 4000", PATH_OTHER, false}, "", 0, FRESH_REVALIDATE, "expired"},
	{{404, "", PATH_MUTABLE, false}, "", S(9), FRESH_SERVE, "negative"},
};

static void verdicts_are_those_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(verdicts); i++) {
		struct fresh_terms t;
		struct fresh_request q;
		enum fresh_why why;
		enum fresh_verdict verdict;

		terms_of(&verdicts[i].answer, &t);
		read_question(verdicts[i].request, &q);
		verdict = fresh_verdict(&t, &q.cc, verdicts[i].here, &why);
		if (verdict != verdicts[i].verdict || strcmp(fresh_why_word(why), verdicts[i].why) != 0)
			fail_msg("row %zu: %d, %s", i, (int)verdict, fresh_why_word(why));
	}
}

static void the_age_that_is_sent_stays_true(void **state)
{
	static const struct answer a = {200, "Cache-Control: max-age=60\nAge: 4000", PATH_MUTABLE, false};
	struct fresh_terms t;

	(void)state;
	terms_of(&a, &t);
	assert_true(fresh_age_s(&t, S(5)) == 4005);
	assert_true(fresh_ttl_s(&t, S(5)) == 55);
	assert_true(fresh_ttl_s(&t, S(65)) == -5);
	assert_true(fresh_age_s(&t, -1) == 4000);
}

/* Nearly two thousand years of age do not come round to a small one. */
static void what_is_ancient_stays_ancient(void **state)
{
	static const struct answer a = {200, "Date: Sat, 06 Nov 0094 08:49:37 GMT\nCache-Control: max-age=2147483648",
					PATH_OTHER, false};
	struct cachectl nothing;
	struct fresh_terms t;
	enum fresh_why why;

	(void)state;
	cachectl_init(&nothing);
	terms_of(&a, &t);
	assert_int_equal(t.age_s, UINT32_MAX);
	assert_true(fresh_ttl_s(&t, 0) == 2147483648 - (int64_t)UINT32_MAX);
	assert_int_equal(fresh_verdict(&t, &nothing, 0, &why), FRESH_REVALIDATE);
	assert_int_equal(fresh_seconds(-1), 0);
	assert_int_equal(fresh_seconds(2147483648), 2147483648);
}

static const struct {
	struct answer answer;
	const char *request;
	dur_ms here;
	bool allowed;
} on_errors[] = {
	{MAX60, "", S(59), true}, /* asked only because the request wanted it */
	{MAX60, "Cache-Control: max-age=0", S(59), true},
	{MAX60, "Cache-Control: no-cache", S(59), false},
	{MAX60, "", S(60), false},
	{MAX60, "Cache-Control: stale-if-error=30", S(80), true},
	{{200, "Cache-Control: max-age=60, stale-if-error=30", PATH_OTHER, false}, "", S(89), true},
	{{200, "Cache-Control: max-age=60, stale-if-error=30", PATH_OTHER, false}, "", S(90), false},
	{{200, "Cache-Control: max-age=60, stale-if-error=30, must-revalidate", PATH_OTHER, false}, "", S(61), false},
	{{200, "Cache-Control: s-maxage=60, stale-if-error=30", PATH_OTHER, false}, "", S(61), false},
	{{200, "Cache-Control: no-cache, stale-if-error=30", PATH_OTHER, false}, "", 0, false},
	{{200, "", PATH_MUTABLE, false}, "", S(60 + FRESH_MUTABLE_ERROR_S) - 1, true},
	{{200, "", PATH_MUTABLE, false}, "", S(60 + FRESH_MUTABLE_ERROR_S), false},
	{{200, "", PATH_MUTABLE, false}, "Cache-Control: no-cache", S(600), true},
	{{200, "", PATH_MUTABLE, false}, "Cache-Control: max-age=0", S(600), true},
	{{200, "", PATH_MUTABLE, false}, "", -1, false},
	{{200, "Cache-Control: must-revalidate", PATH_MUTABLE, false}, "", S(600), false},
	{{200, "Cache-Control: max-age=60, stale-if-error=0", PATH_MUTABLE, false}, "", S(60), false},
	{{404, "", PATH_MUTABLE, false}, "", S(600), false},
	{ARTEFACT, "Cache-Control: no-cache", S(99999), true},
};

static void stale_when_the_origin_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(on_errors); i++) {
		struct fresh_terms t;
		struct fresh_request q;

		terms_of(&on_errors[i].answer, &t);
		read_question(on_errors[i].request, &q);
		if (fresh_on_error(&t, &q.cc, on_errors[i].here) != on_errors[i].allowed)
			fail_msg("row %zu", i);
	}
}

#define AUTH "Authorization: Bearer x"
#define COOKIE "Cookie: a=b"

static const struct {
	struct answer answer;
	const char *request;
	enum fresh_store store;
	const char *why;
} stores[] = {
	{MAX60, "", FRESH_STORE_SHARED, "none"},
	{{200, "ETag: \"a\"", PATH_OTHER, false}, "", FRESH_STORE_SHARED, "none"},
	{{200, "", PATH_OTHER, false}, "", FRESH_STORE_NO, "no-freshness"},
	{{200, "Cache-Control: max-age=0", PATH_OTHER, false}, "", FRESH_STORE_NO, "no-freshness"},
	{{200, "Cache-Control: max-age=60, no-cache", PATH_OTHER, false}, "", FRESH_STORE_NO, "no-freshness"},
	{{200, "Cache-Control: no-cache\nETag: \"a\"", PATH_OTHER, false}, "", FRESH_STORE_SHARED, "none"},
	{{200, "Cache-Control: max-age=60\nAge: 60", PATH_OTHER, false}, "", FRESH_STORE_NO, "no-freshness"},
	{{200, "", PATH_MUTABLE, false}, "", FRESH_STORE_SHARED, "none"},
	{{200, "", PATH_IMMUTABLE, true}, "", FRESH_STORE_SHARED, "none"},
	{{200, "", PATH_IMMUTABLE, false}, "", FRESH_STORE_NO, "no-freshness"},
	{{200, "Cache-Control: max-age=60", PATH_PASS, false}, "", FRESH_STORE_NO, "pass"},
	/* status */
	{{206, "Cache-Control: max-age=60", PATH_OTHER, false}, "", FRESH_STORE_NO, "partial"},
	{{206, "Cache-Control: max-age=60", PATH_IMMUTABLE, true}, "", FRESH_STORE_NO, "partial"},
	{{500, "Cache-Control: max-age=60", PATH_OTHER, false}, "", FRESH_STORE_NO, "status"},
	{{503, "Cache-Control: max-age=60", PATH_IMMUTABLE, true}, "", FRESH_STORE_NO, "status"},
	{{304, "Cache-Control: max-age=60", PATH_OTHER, false}, "", FRESH_STORE_NO, "status"},
	{{401, "Cache-Control: max-age=60", PATH_OTHER, false}, "", FRESH_STORE_NO, "status"},
	{{302, "Cache-Control: max-age=60", PATH_OTHER, false}, "", FRESH_STORE_SHARED, "none"},
	{{302, "", PATH_IMMUTABLE, true}, "", FRESH_STORE_NO, "no-freshness"},
	{{404, "Cache-Control: max-age=60", PATH_OTHER, false}, "", FRESH_STORE_SHARED, "none"},
	{{404, "", PATH_MUTABLE, false}, "", FRESH_STORE_SHARED, "none"},
	/* what the answer forbids, it forbids for each class */
	{{200, "Cache-Control: max-age=60, no-store", PATH_OTHER, false}, "", FRESH_STORE_NO, "no-store"},
	{{200, "Cache-Control: no-store", PATH_IMMUTABLE, true}, "", FRESH_STORE_NO, "no-store"},
	{{200, "Cache-Control: max-age=60, no-store, must-understand", PATH_OTHER, false},
	 "",
	 FRESH_STORE_SHARED,
	 "none"},
	{{200, "Cache-Control: max-age=60, private", PATH_OTHER, false}, "", FRESH_STORE_NO, "private"},
	{{200, "Cache-Control: private=\"x\"", PATH_MUTABLE, false}, "", FRESH_STORE_NO, "private"},
	{{200, "Cache-Control: private", PATH_IMMUTABLE, true}, "", FRESH_STORE_NO, "private"},
	{{200, "Cache-Control: max-age=60\nVary: *", PATH_OTHER, false}, "", FRESH_STORE_NO, "vary"},
	{{200, "Cache-Control: max-age=60\nSet-Cookie: a=b", PATH_OTHER, false}, "", FRESH_STORE_NO, "set-cookie"},
	{{200, "Cache-Control: max-age=60, public\nSet-Cookie: a=b", PATH_OTHER, false},
	 "",
	 FRESH_STORE_SHARED,
	 "none"},
	{{200, "Set-Cookie: a=b", PATH_IMMUTABLE, true}, "", FRESH_STORE_SHARED, "none"},
	{{200, "Set-Cookie: a=b\nETag: \"a\"", PATH_IMMUTABLE, false}, "", FRESH_STORE_NO, "set-cookie"},
	/* what the request forbids */
	{MAX60, "Cache-Control: no-store", FRESH_STORE_NO, "request-no-store"},
	{MAX60, "Cache-Control: no-cache", FRESH_STORE_SHARED, "none"},
	{ARTEFACT, "Cache-Control: no-cache, no-store", FRESH_STORE_SHARED, "none"},
	{MAX60, COOKIE, FRESH_STORE_NO, "cookie"},
	{ARTEFACT, COOKIE, FRESH_STORE_SHARED, "none"},
	{{200, "ETag: \"a\"", PATH_IMMUTABLE, false}, COOKIE, FRESH_STORE_NO, "cookie"},
	/* credentials (RFC 9111 §3.5) */
	{MAX60, AUTH, FRESH_STORE_NO, "authorization"},
	{{200, "", PATH_MUTABLE, false}, AUTH, FRESH_STORE_NO, "authorization"},
	{{200, "Cache-Control: max-age=60, public", PATH_OTHER, false}, AUTH, FRESH_STORE_AUTH_RFC, "none"},
	{{200, "Cache-Control: s-maxage=60", PATH_OTHER, false}, AUTH, FRESH_STORE_AUTH_RFC, "none"},
	{{200, "Cache-Control: max-age=60, must-revalidate", PATH_OTHER, false}, AUTH, FRESH_STORE_AUTH_RFC, "none"},
	{{200, "Cache-Control: max-age=60, proxy-revalidate", PATH_OTHER, false},
	 AUTH,
	 FRESH_STORE_NO,
	 "authorization"},
	{{200, "Cache-Control: public, private", PATH_OTHER, false}, AUTH, FRESH_STORE_NO, "private"},
	{ARTEFACT, AUTH, FRESH_STORE_AUTH_CLASS, "none"},
	{{200, "Cache-Control: public", PATH_IMMUTABLE, true}, AUTH, FRESH_STORE_AUTH_RFC, "none"},
	{{404, "", PATH_IMMUTABLE, true}, AUTH, FRESH_STORE_NO, "authorization"},
};

static void what_may_be_stored(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(stores); i++) {
		struct fresh_response r;
		struct fresh_request q;
		struct hdrs h;
		enum fresh_why why;
		enum fresh_store store;

		read_answer(&stores[i].answer, &h, &r);
		read_question(stores[i].request, &q);
		store = fresh_may_store(&q, &r, &why);
		if (store != stores[i].store || strcmp(fresh_why_word(why), stores[i].why) != 0)
			fail_msg("row %zu: %d, %s", i, (int)store, fresh_why_word(why));
	}
}

static void only_answers_to_get_are_stored(void **state)
{
	static const struct answer a = {200, "Cache-Control: max-age=60, public", PATH_OTHER, false};
	static const enum http1_method others[] = {METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_OPTIONS, METHOD_OTHER};
	struct fresh_response r;
	struct fresh_request q;
	struct hdrs h;
	enum fresh_why why;

	(void)state;
	read_answer(&a, &h, &r);
	read_question("", &q);
	for (size_t i = 0; i < COUNT(others); i++) {
		q.method = others[i];
		assert_int_equal(fresh_may_store(&q, &r, &why), FRESH_STORE_NO);
		assert_int_equal(why, FRESH_WHY_METHOD);
	}
}

static void words_are_unique(void **state)
{
	(void)state;
	for (int i = 0; i < FRESH_WHY_COUNT; i++) {
		assert_true(strlen(fresh_why_sentence((enum fresh_why)i)) > 0);
		assert_int_equal(strspn(fresh_why_word((enum fresh_why)i), "abcdefghijklmnopqrstuvwxyz-"),
				 strlen(fresh_why_word((enum fresh_why)i)));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(fresh_why_word((enum fresh_why)i), fresh_why_word((enum fresh_why)k));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lifetimes_come_from_the_best_source),
		cmocka_unit_test(age_at_receipt),
		cmocka_unit_test(verdicts_are_those_of_the_table),
		cmocka_unit_test(the_age_that_is_sent_stays_true),
		cmocka_unit_test(what_is_ancient_stays_ancient),
		cmocka_unit_test(stale_when_the_origin_fails),
		cmocka_unit_test(what_may_be_stored),
		cmocka_unit_test(only_answers_to_get_are_stored),
		cmocka_unit_test(words_are_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
