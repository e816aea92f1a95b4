#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/deliver/errpage.h"
#include "proto/http1_parse.h"

struct page {
	char text[8192];
	struct http1_response r;
	struct span body;
	int status;
};

static struct page *page_of(const struct errpage *e)
{
	struct page *p = NEW(struct page);
	struct buf b = buf_over(p->text, sizeof(p->text));
	size_t scanned = 0;
	enum reason why;

	p->status = errpage_format(&b, e);
	assert_false(b.full);
	assert_int_equal(http1_parse_response(buf_span(&b), &scanned, sizeof(p->text),
					      e->head_only ? METHOD_HEAD : METHOD_GET, &p->r, &why),
			 HTTP1_DONE);
	assert_int_equal(p->status, p->r.status);
	assert_true(p->r.length_known);
	p->body = span_from(buf_span(&b), p->r.head_bytes);
	return p;
}

static const struct errpage usual = {
	.why = REASON_CERT_EXPIRED,
	.url = {"https://a.test/b", 16},
	.detail = {"a.test: certificate has expired", 31},
	.node = {"edge1", 5},
	.request_id = 0x5f3a,
	.extra = {"X-Cache: MISS from edge1\r\n", 26},
};

static void what_failed_where_and_who_says_so(void **state)
{
	struct page *p = page_of(&usual);

	(void)state;
	assert_int_equal(p->status, 502);
	assert_true(span_eq(p->body, SPAN("pmcache: the certificate of the host has expired\nhttps://a.test/b\n"
					  "a.test: certificate has expired\nnode edge1, request 0000000000005f3a\n")));
	assert_int_equal(p->r.length, p->body.n);
	assert_true(p->r.keep_alive);
	assert_true(span_eq(hdr_find(&p->r.fields, SPAN("X-Pmcache-Error"))->value, SPAN("cert-expired")));
	assert_true(span_eq(hdr_value(&p->r.fields, HDR_CACHE_CONTROL), SPAN("no-store")));
	assert_true(span_eq(hdr_value(&p->r.fields, HDR_X_CACHE), SPAN("MISS from edge1")));
	free(p);
}

static void each_reason_makes_a_page(void **state)
{
	(void)state;
	for (int why = 0; why < REASON_COUNT; why++) {
		struct errpage e = usual;
		struct page *p;

		e.why = (enum reason)why;
		e.status = reason_status(e.why) ? 0 : 500;
		p = page_of(&e);
		assert_int_equal(p->status, e.status ? e.status : reason_status(e.why));
		free(p);
	}
}

static void head_and_connection(void **state)
{
	struct errpage e = usual;
	struct page *p;
	uint64_t length;

	(void)state;
	p = page_of(&e);
	length = p->r.length;
	free(p);
	e.head_only = true;
	e.close = true;
	p = page_of(&e);
	assert_int_equal(p->body.n, 0);
	assert_int_equal(p->r.length, length);
	assert_false(p->r.keep_alive);
	free(p);
	e = usual;
	e.http10 = true;
	p = page_of(&e);
	assert_true(span_eq(hdr_value(&p->r.fields, HDR_CONNECTION), SPAN("keep-alive")));
	free(p);
}

/* Bytes of strangers neither break lines nor grow without end. */
static void strangers_bytes(void **state)
{
	char dirt[3000];
	struct errpage e = usual;
	struct page *p;
	unsigned lines = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(dirt); i++)
		dirt[i] = (char)i;
	e.url = e.detail = span_of(dirt, sizeof(dirt));
	e.extra = SPAN_NONE;
	p = page_of(&e);
	for (size_t i = 0; i < p->body.n; i++) {
		lines += p->body.p[i] == '\n';
		assert_true(p->body.p[i] == '\n' || (p->body.p[i] >= ' ' && p->body.p[i] < 0x7f));
	}
	assert_int_equal(lines, 4);
	assert_true(p->body.n < 1500);
	free(p);
	e.url = e.detail = SPAN_NONE;
	p = page_of(&e);
	assert_true(span_eq(
		p->body,
		SPAN("pmcache: the certificate of the host has expired\nnode edge1, request 0000000000005f3a\n")));
	free(p);
}

static struct errpage lost(bool html)
{
	struct errpage e = usual;

	e.why = REASON_NOT_PROXY;
	e.url = SPAN("/<script>");
	e.page = SPAN("http://127.0.0.1:8082/");
	e.html = html;
	return e;
}

static void who_asks_for_a_page_is_led_to_it(void **state)
{
	struct errpage e = lost(false);
	struct page *p = page_of(&e);

	(void)state;
	assert_int_equal(p->status, 400);
	assert_non_null(memmem(p->body.p, p->body.n, "\nthis node's page: http://127.0.0.1:8082/\nnode edge1, ", 54));
	free(p);
}

static void browsers_get_a_link_and_nothing_that_they_said(void **state)
{
	struct errpage e = lost(true);
	struct page *p = page_of(&e);

	(void)state;
	assert_true(span_eq(hdr_value(&p->r.fields, HDR_CONTENT_TYPE), SPAN("text/html; charset=utf-8")));
	assert_true(span_starts(hdr_find(&p->r.fields, SPAN("Content-Security-Policy"))->value,
				SPAN("default-src 'none'")));
	assert_non_null(memmem(p->body.p, p->body.n, "<a href=\"http://127.0.0.1:8082/\">", 33));
	assert_null(memmem(p->body.p, p->body.n, "script", 6));
	free(p);
	e.page = SPAN_NONE;
	p = page_of(&e);
	assert_null(memmem(p->body.p, p->body.n, "href", 4));
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_failed_where_and_who_says_so),
		cmocka_unit_test(who_asks_for_a_page_is_led_to_it),
		cmocka_unit_test(browsers_get_a_link_and_nothing_that_they_said),
		cmocka_unit_test(each_reason_makes_a_page),
		cmocka_unit_test(head_and_connection),
		cmocka_unit_test(strangers_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
