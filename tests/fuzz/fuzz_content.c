/* The first bytes of a body against every kind. */
#include "proto/pathclass.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	unsigned fits = 0;

	for (int kind = CONTENT_ANY; kind <= CONTENT_RPM; kind++)
		fits += pathclass_bytes_fit((enum content_kind)kind, in);
	CHECK_THAT(fits <= 3); /* ANY, TAR by its middle, and one by its first bytes */
	free((char *)in.p);
	return 0;
}
