#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/fetch/stored_head.h"
#include "proto/httpdate.h"

#define NOW ((wall_ms)784111777000) /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE_NOW "Sun, 06 Nov 1994 08:49:37 GMT"

static const struct path_facts no_path;

static struct http1_response *parse(struct span text)
{
	struct http1_response *r = NEW(struct http1_response);
	size_t scanned = 0;
	enum reason why;

	assert_int_equal(http1_parse_response(text, &scanned, (size_t)64 * 1024, METHOD_GET, r, &why), HTTP1_DONE);
	return r;
}

static struct head *made_at(struct span text, bool stored, const struct path_facts *path, bool earned, wall_ms now)
{
	struct http1_response *r = parse(text);
	struct fresh_response facts;
	struct head *h;

	fresh_read_response(r->status, &r->fields, now, now, path, &facts);
	facts.earned = earned;
	h = stored_head_make(r, &facts, SPAN("http://a.test/x"), stored, false, 5000, now);
	free(r);
	return h;
}

static struct head *made(const char *text, bool stored)
{
	return made_at(span_str(text), stored, &no_path, false, NOW);
}

static struct head *freshened_at(const struct head *old, struct span text, const struct path_facts *path, wall_ms now)
{
	struct http1_response *r = parse(text);
	struct fresh_request get = {.method = METHOD_GET};
	enum fresh_store allowed;
	struct head *h = stored_head_freshen(old, &get, r, path, now, 9000, now, &allowed);

	free(r);
	return h;
}

static bool has_line(const struct head *h, const char *line)
{
	char *text = span_dup(span_of(h->text, h->n));
	char *at = strstr(text, line);
	bool yes = at && (at == text || at[-1] == '\n') && strncmp(at + strlen(line), "\r\n", 2) == 0;

	free(text);
	return yes;
}

static void what_is_kept(void **state)
{
	struct head *h =
		made("HTTP/1.1 200 Very Fine\r\nDate: " DATE_NOW
		     "\r\nContent-Length: 12\r\nAge: 7\r\nX-Cache: HIT from far\r\n"
		     "X-Cache-Lookup: HIT from far:80\r\nContent-Type-Of: nothing\r\nETags: \"no\"\r\n"
		     "content-type: Text/HTML; charset=x\r\nETag: W/\"v1\"\r\n"
		     "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\r\nCache-Control: max-age=60\r\nSet-Cookie: a=b\r\n"
		     "Connection: X-Hop\r\nX-Hop: 1\r\nVary: Accept-Encoding\r\nVary: accept\r\nX-Own: 2\r\n\r\n",
		     true);

	(void)state;
	assert_int_equal(h->status, 200);
	assert_true(h->has_length);
	assert_int_equal(h->length, 12);
	assert_int_equal(h->received, 5000);
	assert_int_equal(h->date, NOW);
	assert_int_equal(h->last_modified, NOW - 86400000);
	assert_int_equal(h->terms.lifetime_s, 60);
	assert_int_equal(h->terms.age_s, 7);
	assert_true(h->is_html);
	assert_true(span_eq(head_phrase(h), SPAN("Very Fine")));
	assert_true(span_eq(head_part(h, h->etag), SPAN("W/\"v1\"")));
	assert_true(span_eq(head_part(h, h->type), SPAN("Text/HTML")));
	assert_true(span_eq(head_vary(h), SPAN("accept,accept-encoding")));
	assert_true(span_eq(head_url(h), SPAN("http://a.test/x")));
	assert_true(has_line(h, "Date: " DATE_NOW));
	assert_true(has_line(h, "X-Own: 2"));
	assert_true(has_line(h, "Vary: accept"));
	assert_false(has_line(h, "Content-Length: 12"));
	assert_false(has_line(h, "Age: 7"));
	assert_false(has_line(h, "X-Cache: HIT from far"));
	assert_false(has_line(h, "X-Cache-Lookup: HIT from far:80"));
	assert_false(has_line(h, "Set-Cookie: a=b"));
	assert_false(has_line(h, "Connection: X-Hop"));
	assert_false(has_line(h, "X-Hop: 1"));
	head_unref(&h);
	assert_null(h);
}

static void one_that_is_not_stored_keeps_its_cookies(void **state)
{
	struct head *h = made("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n\r\n", false);

	(void)state;
	assert_true(has_line(h, "Set-Cookie: a=b"));
	assert_true(has_line(h, "Date: " DATE_NOW)); /* was not given */
	assert_int_equal(h->date, NOW);
	assert_false(h->has_length);
	assert_false(h->is_html);
	assert_int_equal(h->etag.n, 0);
	assert_int_equal(h->last_modified, HTTPDATE_NONE);
	head_unref(&h);
}

static void references(void **state)
{
	struct head *h = made("HTTP/1.1 200 OK\r\n\r\n", true), *other = head_ref(h);

	(void)state;
	head_unref(&h);
	assert_int_equal(other->status, 200);
	head_unref(&other);
	head_unref(&other);
}

#define OLD                                                                                                            \
	"HTTP/1.1 200 OK\r\nDate: " DATE_NOW                                                                           \
	"\r\nContent-Length: 12\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n"                             \
	"Vary: accept\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\nX-A: old\r\nX-A: older\r\nX-B: old\r\n\r\n"

static void a_304_replaces_what_it_brings(void **state)
{
	struct head *old = made(OLD, true);
	struct head *h = freshened_at(
		old,
		SPAN("HTTP/1.1 304 Not Modified\r\nDate: Sun, 06 Nov 1994 09:49:37 GMT\r\nAge: 3\r\nETag: \"v2\"\r\n"
		     "Cache-Control: max-age=90\r\nX-A: new\r\nX-C: new\r\nContent-Length: 0\r\nVary: accept, cookie\r\n"
		     "Content-Type: text/html\r\nContent-Encoding: br\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
		     "Set-Cookie: a=b\r\n\r\n"),
		&no_path, NOW + 3600000);

	(void)state;
	assert_int_equal(h->status, 200);
	assert_true(h->has_length);
	assert_int_equal(h->length, 12);
	assert_int_equal(h->received, 9000);
	assert_int_equal(h->date, NOW + 3600000);
	assert_int_equal(h->terms.lifetime_s, 90);
	assert_int_equal(h->terms.age_s, 3);
	assert_true(span_eq(head_part(h, h->etag), SPAN("\"v2\"")));
	assert_true(span_eq(head_part(h, h->type), SPAN("text/plain")));
	assert_true(span_eq(head_vary(h), SPAN("accept")));
	assert_true(span_eq(head_phrase(h), SPAN("OK")));
	assert_true(span_eq(head_url(h), SPAN("http://a.test/x")));
	assert_true(has_line(h, "X-A: new") && has_line(h, "X-B: old") && has_line(h, "X-C: new"));
	assert_true(has_line(h, "Content-Encoding: gzip") && has_line(h, "Content-Type: text/plain") &&
		    has_line(h, "Vary: accept"));
	assert_false(has_line(h, "X-A: old") || has_line(h, "X-A: older") || has_line(h, "X-Hop: 1") ||
		     has_line(h, "Set-Cookie: a=b"));
	assert_false(has_line(h, "Age: 3") || has_line(h, "Content-Length: 0") || has_line(h, "ETag: \"v1\""));
	assert_true(has_line(old, "X-A: old")); /* heads are immutable */
	head_unref(&h);
	head_unref(&old);
}

/* It was made now (RFC 9110 §6.6.1): with the old Date it would be stale as soon as it is freshened. */
static void a_304_without_date_is_of_now(void **state)
{
	struct head *old = made(OLD, true);
	struct head *h = freshened_at(old, SPAN("HTTP/1.1 304 Not Modified\r\n\r\n"), &no_path, NOW + 3600000);

	(void)state;
	assert_int_equal(h->date, NOW + 3600000);
	assert_int_equal(h->terms.age_s, 0);
	assert_int_equal(h->terms.lifetime_s, 60);
	assert_true(has_line(h, "Date: Sun, 06 Nov 1994 09:49:37 GMT"));
	assert_false(has_line(h, "Date: " DATE_NOW));
	assert_true(has_line(h, "X-A: old") && has_line(h, "X-A: older"));
	head_unref(&h);
	head_unref(&old);
}

static void what_is_earned_stays_earned(void **state)
{
	struct path_facts path = {.class = PATH_IMMUTABLE};
	struct head *old = made_at(SPAN(OLD), true, &path, true, NOW), *h;

	(void)state;
	assert_int_equal(old->terms.lifetime_s, FRESH_FOREVER_S);
	h = freshened_at(old, SPAN("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=1\r\n\r\n"), &path, NOW);
	assert_int_equal(h->terms.lifetime_s, FRESH_FOREVER_S);
	head_unref(&h);
	head_unref(&old);
	old = made_at(SPAN(OLD), true, &path, false, NOW);
	h = freshened_at(old, SPAN("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=1\r\n\r\n"), &path, NOW);
	assert_int_equal(h->terms.lifetime_s, 1);
	head_unref(&h);
	head_unref(&old);
}

static void other_terms(void **state)
{
	struct head *old = made(OLD, true);
	struct fresh_terms terms = {.lifetime_s = 5, .source = FRESH_WHY_HEURISTIC};
	struct head *h = head_with_terms(old, &terms);

	(void)state;
	assert_int_equal(h->terms.lifetime_s, 5);
	assert_int_equal(old->terms.lifetime_s, 60);
	assert_true(span_eq(span_of(h->text, h->n), span_of(old->text, old->n)));
	assert_true(span_eq(head_part(h, h->etag), SPAN("\"v1\"")));
	assert_true(span_eq(head_part(h, h->type), SPAN("text/plain")));
	assert_true(span_eq(head_vary(h), SPAN("accept")));
	assert_int_equal(h->length, 12);
	assert_int_equal(h->received, 5000);
	head_unref(&h);
	head_unref(&old);
}

/* ---- the largest that the parser lets through ---- */

/* `fields` of them, with values of `bytes`; names differ by `salt`. */
static struct span long_head(char *text, size_t room, int status, unsigned fields, size_t bytes, unsigned salt)
{
	struct buf b = buf_over(text, room);

	buf_printf(&b, "HTTP/1.1 %d X\r\n", status);
	for (unsigned i = 0; i < fields; i++) {
		buf_printf(&b, "X-%u-%u:", salt, i); /* no space: it is longer when it is formatted */
		for (size_t k = 0; k < bytes; k++)
			buf_putc(&b, 'v');
		buf_put_str(&b, "\r\n");
	}
	buf_put_str(&b, "\r\n");
	assert_false(b.full);
	return buf_span(&b);
}

static void as_many_fields_as_there_may_be(void **state)
{
	char text[8192];
	struct head *h;

	(void)state;
	for (unsigned n = HDR_MAX_FIELDS - 2; n <= HDR_MAX_FIELDS; n++) {
		h = made_at(long_head(text, sizeof(text), 200, n, 4, 1), true, &no_path, false, NOW);
		assert_int_equal(h->date, NOW);
		assert_true(has_line(h, "X-1-0: vvvv"));
		head_unref(&h);
	}
}

static void a_head_does_not_grow_for_ever(void **state)
{
	size_t room = (size_t)64 * 1024;
	char *text = mem_alloc(room);
	struct head *h = made_at(long_head(text, room, 200, 60, 1000, 0), true, &no_path, false, NOW);

	(void)state;
	for (unsigned i = 1; i < 10; i++) {
		struct head *fresh = freshened_at(h, long_head(text, room, 304, 60, 1000, i), &no_path, NOW);

		assert_true(fresh->n <= 160 * 1024);
		head_unref(&h);
		h = fresh;
	}
	head_unref(&h);
	h = made_at(long_head(text, room, 200, HDR_MAX_FIELDS, 10, 0), true, &no_path, false, NOW);
	for (unsigned i = 1; i < 10; i++) {
		struct head *fresh =
			freshened_at(h, long_head(text, room, 304, HDR_MAX_FIELDS - i % 2, 10, i), &no_path, NOW);

		assert_int_equal(has_line(fresh, "X-5-0: vvvvvvvvvv"),
				 i == 5); /* the newest come first, then there is no room */
		head_unref(&h);
		h = fresh;
	}
	head_unref(&h);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept),
		cmocka_unit_test(one_that_is_not_stored_keeps_its_cookies),
		cmocka_unit_test(references),
		cmocka_unit_test(a_304_replaces_what_it_brings),
		cmocka_unit_test(a_304_without_date_is_of_now),
		cmocka_unit_test(what_is_earned_stays_earned),
		cmocka_unit_test(other_terms),
		cmocka_unit_test(as_many_fields_as_there_may_be),
		cmocka_unit_test(a_head_does_not_grow_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
