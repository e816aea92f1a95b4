/* A date: what is read and formatted again is the same time. */
#include "proto/httpdate.h"
#include "tests/fuzz/pieces.h"

#define LAST 253402300799000 /* 9999-12-31 23:59:59 */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const wall_ms nows[] = {0, -1, 1795438800000, INT64_MAX, INT64_MIN};
	struct span in = pieces_copy(bytes, n);
	char text[HTTPDATE_BYTES];
	wall_ms t, again;

	for (size_t i = 0; i < sizeof(nows) / sizeof(nows[0]); i++) {
		if (httpdate_parse(in, nows[i], &t) != 0) {
			CHECK_THAT(t == HTTPDATE_NONE);
			continue;
		}
		CHECK_THAT(t % 1000 == 0);
		httpdate_format(t, text);
		/* not so a two-digit year around a `now` beyond the calendar, nor a leap second at its end */
		if (in.n == HTTPDATE_BYTES && t <= LAST)
			CHECK_THAT(httpdate_parse(span_of(text, sizeof(text)), nows[i], &again) == 0 && again == t);
	}
	free((char *)in.p);
	return 0;
}
