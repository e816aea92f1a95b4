/* Range and Content-Range: what is resolved lies within the length, and what is formatted is read back. */
#include "proto/range.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_resolved(const struct range *r, uint64_t length)
{
	uint64_t start, n;
	char mem[128];
	struct buf b = buf_over(mem, sizeof(mem));
	struct content_range c;

	if (range_resolve(r, length, &start, &n) != RANGE_FITS)
		return;
	CHECK_THAT(n > 0 && start < length && n <= length - start);
	range_format_content(&b, start, n, length);
	CHECK_THAT(range_parse_content(buf_span(&b), &c) == 0);
	CHECK_THAT(c.start == start && c.n == n && c.length == length && c.length_known && !c.unsatisfied);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint64_t lengths[] = {0, 1, 10, 1ull << 32, 999999999999999999ull};
	struct span in = pieces_copy(bytes, n);
	struct content_range c;
	struct range r;

	range_parse(in, &r);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]) && r.kind != RANGE_WHOLE; i++)
		check_resolved(&r, lengths[i]);
	if (range_parse_content(in, &c) == 0)
		CHECK_THAT(c.unsatisfied || (c.n > 0 && (!c.length_known || c.start + c.n <= c.length)));
	free((char *)in.p);
	return 0;
}
