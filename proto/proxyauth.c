#include "proto/proxyauth.h"

#include "node/base/hash.h"

#define GROUP 4 /* characters of base64, three bytes */

size_t proxyauth_user(struct span value, char out[PROXYAUTH_USER_BYTES])
{
	struct span rest;
	size_t n = 0;

	if (!span_starts_icase(value, SPAN("Basic ")))
		return 0;
	for (rest = span_trim(span_from(value, 6)); rest.n; rest = span_from(rest, GROUP)) {
		uint8_t three[3];
		long got = base64_decode(span_upto(rest, GROUP), three, sizeof(three));

		if (got <= 0)
			return 0;
		for (long i = 0; i < got; i++) {
			if (three[i] == ':')
				return n;
			if (n < PROXYAUTH_USER_BYTES)
				out[n++] = (char)three[i];
		}
		if (n == PROXYAUTH_USER_BYTES)
			return n;
	}
	return 0; /* no colon: no credentials */
}
