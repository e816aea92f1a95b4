/* Proxy-Authorization: a name comes out only of what really begins with it, and nothing behind the colon. */
#include "node/base/hash.h"
#include "proto/proxyauth.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n), name;
	char out[PROXYAUTH_USER_BYTES], pair[PROXYAUTH_USER_BYTES + 8], again[256] = "Basic ",
									third[PROXYAUTH_USER_BYTES];
	struct buf p = buf_over(pair, sizeof(pair)), b = {.p = again, .n = 6, .cap = sizeof(again)};

	name = span_of(out, proxyauth_user(in, out));
	CHECK_THAT(name.n <= PROXYAUTH_USER_BYTES);
	CHECK_THAT(span_find(name, ':') == name.n);
	if (name.n) {
		buf_put(&p, name);
		buf_put(&p, SPAN(":secret"));
		base64_encode(buf_span(&p), &b);
		CHECK_THAT(!p.full && !b.full);
		CHECK_THAT(span_eq(span_of(third, proxyauth_user(buf_span(&b), third)), name));
	}
	free((char *)in.p);
	return 0;
}
