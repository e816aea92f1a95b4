/* A request head, whole and in pieces: both must say the same; and what is accepted must be what it seems, to others too:
 * formatted again and parsed again it must have the same fields. */
#include "proto/http1_format.h"
#include "proto/http1_parse.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_sound(const struct http1_request *r, size_t n)
{
	const struct hdrs *h = &r->fields;

	CHECK_THAT(r->head_bytes <= n && h->n <= HDR_MAX_FIELDS);
	CHECK_THAT(http1_is_token(r->method_name) && r->target.n > 0 && r->target.n <= 8192);
	CHECK_THAT(r->method == http1_method(r->method_name));
	CHECK_THAT(!(hdr_has(h, HDR_CONTENT_LENGTH) && hdr_has(h, HDR_TRANSFER_ENCODING)));
	CHECK_THAT(hdr_count(h, HDR_CONTENT_LENGTH) <= 1 && hdr_count(h, HDR_TRANSFER_ENCODING) <= 1);
	CHECK_THAT(r->body != HTTP1_BODY_CLOSE && r->length <= INT64_MAX);
	CHECK_THAT((r->body == HTTP1_BODY_CHUNKED) == hdr_has(h, HDR_TRANSFER_ENCODING));
	CHECK_THAT(r->body != HTTP1_BODY_CHUNKED || r->minor == 1);
	for (unsigned i = 0; i < h->n; i++)
		CHECK_THAT(http1_is_token(h->v[i].name) && hdr_id(h->v[i].name) == h->v[i].id);
}

static void check_again(const struct http1_request *r)
{
	size_t cap = r->head_bytes + 4 * HDR_MAX_FIELDS + 64, scanned = 0;
	struct buf b = buf_over(malloc(cap), cap);
	struct http1_request again;
	enum reason why;
	unsigned at = 0;

	http1_format_request_line(&b, r->method_name, r->target);
	http1_format_fields(&b, &r->fields, 0);
	http1_format_end(&b);
	CHECK_THAT(!b.full);
	CHECK_THAT(http1_parse_request(buf_span(&b), &scanned, cap, &again, &why) == HTTP1_DONE);
	CHECK_THAT(again.head_bytes == b.n && span_eq(again.target, r->target));
	for (unsigned i = 0; i < r->fields.n; i++) {
		const struct hdr *f = &r->fields.v[i];

		if (hdr_is_hop_by_hop(&r->fields, f))
			continue;
		CHECK_THAT(at < again.fields.n && span_eq(again.fields.v[at].name, f->name));
		CHECK_THAT(span_eq(again.fields.v[at].value, f->value));
		at++;
	}
	CHECK_THAT(at == again.fields.n);
	free(b.p);
}

static void check_same(const struct http1_request *a, const struct http1_request *b)
{
	CHECK_THAT(a->head_bytes == b->head_bytes && a->method == b->method && a->minor == b->minor);
	CHECK_THAT(a->body == b->body && a->length == b->length && a->keep_alive == b->keep_alive);
	CHECK_THAT(a->expect_continue == b->expect_continue && a->upgrade == b->upgrade);
	CHECK_THAT(span_eq(a->target, b->target) && a->fields.n == b->fields.n && a->fields.seen == b->fields.seen);
	for (unsigned i = 0; i < a->fields.n; i++) {
		CHECK_THAT(span_eq(a->fields.v[i].name, b->fields.v[i].name));
		CHECK_THAT(span_eq(a->fields.v[i].value, b->fields.v[i].value));
	}
}

static void run(const uint8_t *bytes, size_t n, size_t max_bytes)
{
	struct span whole = pieces_copy(bytes, n);
	enum reason why = REASON_NONE, piece_why = REASON_NONE;
	struct http1_request r, piece_r;
	size_t scanned = 0, fed = 0;
	enum http1_parse result = http1_parse_request(whole, &scanned, max_bytes, &r, &why), piece_result;
	struct rng rng;

	CHECK_THAT((result == HTTP1_BAD) == (why != REASON_NONE));
	CHECK_THAT(result != HTTP1_MORE || n < max_bytes);
	if (result == HTTP1_DONE) {
		check_sound(&r, n < max_bytes ? n : max_bytes);
		check_again(&r);
	}
	pieces_seed(&rng, bytes, n);
	scanned = 0;
	do {
		struct span part;

		fed += pieces_next(&rng, n - fed);
		part = pieces_copy(bytes, fed);
		piece_result = http1_parse_request(part, &scanned, max_bytes, &piece_r, &piece_why);
		if (piece_result == HTTP1_DONE && result == HTTP1_DONE)
			check_same(&r, &piece_r);
		free((char *)part.p);
	} while (piece_result == HTTP1_MORE && fed < n);
	CHECK_THAT(piece_result == result && piece_why == why);
	free((char *)whole.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	if (!n)
		return 0;
	run(bytes, n, 65536);
	run(bytes, n, n / 2 + 1);
	return 0;
}
