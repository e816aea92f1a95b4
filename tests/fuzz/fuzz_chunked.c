/* A chunked body, whole and in pieces: both must say the same and give the same body; and what was decoded must survive
 * being encoded and decoded again. */
#include "proto/chunked.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Feeds all of `in` that the decoder wants; appends the body to b. */
static enum chunked_result feed(struct chunked *c, struct span in, size_t *used, struct buf *b)
{
	enum chunked_result result;
	enum reason why = REASON_NONE;

	*used = 0;
	do {
		struct span body;
		size_t step;

		result = chunked_decode(c, span_from(in, *used), &step, &body, &why);
		CHECK_THAT(step <= in.n - *used && body.n <= step);
		CHECK_THAT((result == CHUNKED_BODY) == (body.n > 0));
		*used += step;
		buf_put(b, body);
	} while (result == CHUNKED_BODY);
	CHECK_THAT(result != CHUNKED_MORE || *used == in.n);
	CHECK_THAT((result == CHUNKED_BAD) == (why == REASON_BAD_CHUNK));
	return result;
}

static void check_again(struct span body)
{
	size_t cap = body.n + 64, used;
	struct buf coded = buf_over(malloc(cap), cap), out = buf_over(malloc(cap), cap);
	struct chunked c = {0};
	char line[CHUNKED_LINE_BYTES];

	if (body.n) {
		buf_put(&coded, span_of(line, chunked_line(line, body.n)));
		buf_put(&coded, body);
		buf_put(&coded, SPAN("\r\n"));
	}
	buf_put(&coded, span_of(line, chunked_line(line, 0)));
	CHECK_THAT(feed(&c, buf_span(&coded), &used, &out) == CHUNKED_TRAILERS);
	CHECK_THAT(used == coded.n && span_eq(buf_span(&out), body));
	free(coded.p);
	free(out.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span whole = pieces_copy(bytes, n);
	struct buf b = buf_over(malloc(n + 1), n), piece_b = buf_over(malloc(n + 1), n);
	struct chunked c = {0}, piece_c = {0};
	size_t used, fed = 0, piece_used = 0;
	enum chunked_result result = feed(&c, whole, &used, &b), piece_result = CHUNKED_MORE;
	struct rng rng;

	pieces_seed(&rng, bytes, n);
	while (piece_result == CHUNKED_MORE && fed < n) {
		size_t size = pieces_next(&rng, n - fed), step;
		struct span piece = pieces_copy(bytes + fed, size);

		piece_result = feed(&piece_c, piece, &step, &piece_b);
		piece_used += step;
		fed += size;
		free((char *)piece.p);
	}
	CHECK_THAT(piece_result == result && piece_used == used);
	CHECK_THAT(!b.full && span_eq(buf_span(&b), buf_span(&piece_b)));
	if (result == CHUNKED_TRAILERS)
		check_again(buf_span(&b));
	free((char *)whole.p);
	free(b.p);
	free(piece_b.p);
	return 0;
}
