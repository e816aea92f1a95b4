/* A response head (to GET, HEAD and CONNECT) and the same bytes as trailers, whole and in pieces: both must say the same. */
#include "proto/http1_format.h"
#include "proto/http1_parse.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_sound(const struct http1_response *r, size_t n, enum http1_method to)
{
	const struct hdrs *h = &r->fields;
	bool is_tunnel = to == METHOD_CONNECT && r->status / 100 == 2;

	CHECK_THAT(r->head_bytes <= n && h->n <= HDR_MAX_FIELDS && r->status >= 100 && r->status <= 599);
	if (r->status < 200 || r->status == 204 || r->status == 304 || to == METHOD_HEAD || is_tunnel)
		CHECK_THAT(r->body == HTTP1_BODY_NONE);
	else
		CHECK_THAT(r->body != HTTP1_BODY_NONE);
	CHECK_THAT(r->body != HTTP1_BODY_CLOSE || !r->keep_alive);
	CHECK_THAT(r->body != HTTP1_BODY_LENGTH || r->length_known);
	CHECK_THAT(r->length <= INT64_MAX && (r->length_known || !r->length));
	CHECK_THAT(is_tunnel || hdr_count(h, HDR_CONTENT_LENGTH) + hdr_count(h, HDR_TRANSFER_ENCODING) <= 1);
	for (unsigned i = 0; i < h->n; i++)
		CHECK_THAT(http1_is_token(h->v[i].name) && hdr_id(h->v[i].name) == h->v[i].id);
}

static void check_again(const struct http1_response *r, enum http1_method to)
{
	size_t cap = r->head_bytes + 4 * HDR_MAX_FIELDS + 64, scanned = 0;
	struct buf b = buf_over(malloc(cap), cap);
	struct http1_response again;
	enum reason why;

	http1_format_status_line(&b, r->status, r->phrase);
	http1_format_fields(&b, &r->fields, 0);
	http1_format_end(&b);
	CHECK_THAT(!b.full);
	CHECK_THAT(http1_parse_response(buf_span(&b), &scanned, cap, to, &again, &why) == HTTP1_DONE);
	CHECK_THAT(again.status == r->status && again.length == r->length && again.length_known == r->length_known);
	free(b.p);
}

static void run_response(const uint8_t *bytes, size_t n, size_t max_bytes, enum http1_method to)
{
	struct span whole = pieces_copy(bytes, n);
	enum reason why = REASON_NONE, piece_why = REASON_NONE;
	struct http1_response r, piece_r;
	size_t scanned = 0, fed = 0;
	enum http1_parse result = http1_parse_response(whole, &scanned, max_bytes, to, &r, &why), piece_result;
	struct rng rng;

	CHECK_THAT((result == HTTP1_BAD) == (why != REASON_NONE));
	CHECK_THAT(why == REASON_NONE || why == REASON_BAD_STATUS_LINE || why == REASON_BAD_RESPONSE ||
		   why == REASON_RESPONSE_HEAD_TOO_LARGE);
	if (result == HTTP1_DONE) {
		check_sound(&r, n < max_bytes ? n : max_bytes, to);
		check_again(&r, to);
	}
	pieces_seed(&rng, bytes, n);
	scanned = 0;
	do {
		struct span part;

		fed += pieces_next(&rng, n - fed);
		part = pieces_copy(bytes, fed);
		piece_result = http1_parse_response(part, &scanned, max_bytes, to, &piece_r, &piece_why);
		free((char *)part.p);
	} while (piece_result == HTTP1_MORE && fed < n);
	CHECK_THAT(piece_result == result && piece_why == why);
	if (result == HTTP1_DONE) {
		CHECK_THAT(r.head_bytes == piece_r.head_bytes && r.status == piece_r.status && r.body == piece_r.body);
		CHECK_THAT(r.length == piece_r.length && r.keep_alive == piece_r.keep_alive);
		CHECK_THAT(r.fields.n == piece_r.fields.n && r.fields.seen == piece_r.fields.seen);
	}
	free((char *)whole.p);
}

static void run_trailers(const uint8_t *bytes, size_t n)
{
	struct span whole = pieces_copy(bytes, n);
	enum reason why = REASON_NONE, piece_why = REASON_NONE;
	struct hdrs h, piece_h;
	size_t scanned = 0, fed = 0, used = 0, piece_used = 0;
	enum http1_parse result = http1_parse_trailers(whole, &scanned, 65536, &h, &used, &why), piece_result;
	struct rng rng;

	CHECK_THAT(result != HTTP1_DONE || used <= n);
	pieces_seed(&rng, bytes, n);
	scanned = 0;
	do {
		struct span part;

		fed += pieces_next(&rng, n - fed);
		part = pieces_copy(bytes, fed);
		piece_result = http1_parse_trailers(part, &scanned, 65536, &piece_h, &piece_used, &piece_why);
		free((char *)part.p);
	} while (piece_result == HTTP1_MORE && fed < n);
	CHECK_THAT(piece_result == result && piece_why == why);
	CHECK_THAT(result != HTTP1_DONE || (used == piece_used && h.n == piece_h.n && h.seen == piece_h.seen));
	free((char *)whole.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const char *first_lf;

	if (!n)
		return 0;
	run_response(bytes, n, 65536, METHOD_GET);
	run_response(bytes, n, 65536, METHOD_HEAD);
	run_response(bytes, n, n / 2 + 1, METHOD_CONNECT);
	/* the fields of the same message, without its first line */
	first_lf = memchr(bytes, '\n', n);
	if (first_lf && first_lf < (const char *)bytes + n - 1)
		run_trailers((const uint8_t *)first_lf + 1, (size_t)((const char *)bytes + n - 1 - first_lf));
	return 0;
}
