/* Purge records: what is read is written with the same bytes, and what is signed covers all but the signature. */
#include "proto/peermsg.h"
#include "proto/purgerec.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n), prefix = SPAN("pmcache purge 1\nc\n");
	char mem[PURGEREC_MAX_BYTES], signed_mem[PURGEREC_MAX_BYTES + 64];
	struct buf b = buf_over(mem, sizeof(mem)), s = buf_over(signed_mem, sizeof(signed_mem));
	struct purgerec r;

	if (purgerec_parse(in, &r)) {
		CHECK_THAT(peermsg_walk(in) && in.n <= PURGEREC_MAX_BYTES && purgerec_fits(r.kind, r.value));
		purgerec_format(&b, &r);
		CHECK_THAT(!b.full && span_eq(buf_span(&b), in));
		purgerec_put_signed(&s, SPAN("c"), &r);
		CHECK_THAT(span_starts(buf_span(&s), prefix));
		CHECK_THAT(
			span_eq(span_from(buf_span(&s), prefix.n), span_upto(in, in.n - 2 - PURGEREC_SIGNATURE_BYTES)));
	}
	free((char *)in.p);
	return 0;
}
