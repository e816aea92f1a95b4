/* A certificate of an origin, as bytes: what we say of it must be within bounds and survive being written down. */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "node/base/check.h"
#include "node/tls/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char line[NAMES_LINE_MAX], host[NAMES_HOST_MAX + 1];
	struct buf b = buf_over(line, sizeof(line));
	const unsigned char *at = bytes;
	X509 *cert = d2i_X509(NULL, &at, (long)n);
	struct origin_cert *oc, *back;

	ERR_clear_error();
	if (!cert)
		return 0;
	oc = trust_describe(cert);
	CHECK_THAT(ERR_peek_error() == 0);
	CHECK_THAT(oc->n_sans <= NAMES_SANS_MAX && oc->sans_bytes <= NAMES_SANS_BYTES);
	names_format(&b, "a.test", oc);
	CHECK_THAT(!b.full);
	back = names_parse(buf_span(&b), host);
	CHECK_THAT(!back == (oc->not_before >= oc->not_after));
	if (back)
		CHECK_THAT(names_origin_same(oc, back) && strcmp(host, "a.test") == 0);
	names_origin_unref(&oc);
	names_origin_unref(&back);
	X509_free(cert);
	return 0;
}
