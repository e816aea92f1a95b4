/* A ClientHello, whole and in pieces: both must say the same, and the name must be one. */
#include "proto/hello.h"
#include "proto/url.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static enum hello_result in_pieces(const uint8_t *bytes, size_t n, struct hello *out)
{
	struct hello_scan scan = {0};
	enum hello_result result;
	struct rng rng;
	size_t have = 0;

	pieces_seed(&rng, bytes, n);
	do {
		struct span part;

		have += pieces_next(&rng, n - have);
		part = pieces_copy(bytes, have);
		result = hello_parse(part, &scan, out);
		free((char *)part.p);
	} while (result == HELLO_MORE && have < n);
	return result;
}

static void check_hello(const struct hello *h)
{
	CHECK_THAT(h->name_bytes == 0 || url_is_host(hello_name(h)));
	CHECK_THAT(h->alpn_bytes <= HELLO_MAX_ALPN && (h->has_alpn || !h->alpn_bytes));
	for (size_t i = 0; i < h->name_bytes; i++)
		CHECK_THAT(h->name[i] < 'A' || h->name[i] > 'Z');
}

static void check_same(const struct hello *a, const struct hello *b)
{
	CHECK_THAT(span_eq(hello_name(a), hello_name(b)));
	CHECK_THAT(a->has_alpn == b->has_alpn && a->alpn_http11 == b->alpn_http11 && a->alpn_h2 == b->alpn_h2);
	CHECK_THAT(a->alpn_bytes == b->alpn_bytes && memcmp(a->alpn, b->alpn, a->alpn_bytes) == 0);
	CHECK_THAT(a->tls13 == b->tls13);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct hello_scan scan = {0};
	struct hello whole, pieced;
	enum hello_result result = hello_parse(in, &scan, &whole);

	CHECK_THAT(in_pieces(bytes, n, &pieced) == result);
	if (result == HELLO_DONE) {
		check_hello(&whole);
		check_same(&whole, &pieced);
	}
	free((char *)in.p);
	return 0;
}
