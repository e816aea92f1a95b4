/* A response head against a request head (behind it, in the same input): whatever the fields say, the decisions keep
 * the promises that the rest of the program is built on. */
#include "proto/fresh.h"
#include "tests/fuzz/pieces.h"

#define NOW 784111777000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_terms(const struct fresh_request *q, const struct fresh_response *r)
{
	static const dur_ms ages[] = {-1, 0, 999, 60000, 86400000, 1LL << 52};
	struct fresh_terms t;
	enum fresh_why why;

	fresh_terms(r, &t);
	CHECK_THAT(t.counted_s <= t.age_s && t.lifetime_s >= 0);
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		enum fresh_verdict verdict = fresh_verdict(&t, &q->cc, ages[i], &why);

		CHECK_THAT(fresh_age_s(&t, ages[i]) >= t.age_s);
		CHECK_THAT(verdict != FRESH_SERVE || fresh_ttl_s(&t, ages[i]) > 0);
		CHECK_THAT(verdict == FRESH_SERVE || verdict == FRESH_REVALIDATE || !t.must_revalidate);
		CHECK_THAT(!t.must_revalidate || t.lifetime_s == FRESH_FOREVER_S ||
			   !fresh_on_error(&t, &q->cc, ages[i]));
	}
}

static void check_store(const struct fresh_request *q, const struct fresh_response *r)
{
	enum fresh_why why;
	enum fresh_store store = fresh_may_store(q, r, &why);

	CHECK_THAT((store == FRESH_STORE_NO) == (why != FRESH_WHY_NONE));
	if (store == FRESH_STORE_NO)
		return;
	CHECK_THAT(q->method == METHOD_GET && r->class != PATH_PASS && !r->vary_star);
	CHECK_THAT(!(r->cc.flags & (CACHECTL_PRIVATE | CACHECTL_PRIVATE_FIELDS)));
	CHECK_THAT(!cachectl_has(&r->cc, CACHECTL_NO_STORE) || cachectl_has(&r->cc, CACHECTL_MUST_UNDERSTAND));
	CHECK_THAT((store == FRESH_STORE_SHARED) == !q->has_authorization);
	CHECK_THAT(!q->has_cookie || (r->class == PATH_IMMUTABLE && r->earned));
}

static void check_all(const struct http1_request *request, const struct http1_response *response)
{
	struct fresh_request q;
	struct fresh_response r;

	fresh_read_request(request, &q);
	for (int i = 0; i < 8; i++) {
		struct path_facts path = {.class = (enum pathclass)(i / 2), .ttl_s = i / 2 == PATH_MUTABLE ? 60 : 0};

		fresh_read_response(response->status, &response->fields, NOW - 5000, NOW, &path, &r);
		r.earned = i % 2;
		check_terms(&q, &r);
		check_store(&q, &r);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	static struct http1_response response;
	static struct http1_request request;
	size_t scanned = 0, scanned2 = 0;
	enum reason why;

	if (http1_parse_response(in, &scanned, 65536, METHOD_GET, &response, &why) == HTTP1_DONE &&
	    http1_parse_request(span_from(in, response.head_bytes), &scanned2, 65536, &request, &why) == HTTP1_DONE)
		check_all(&request, &response);
	free((char *)in.p);
	return 0;
}
