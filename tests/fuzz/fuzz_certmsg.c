/* What a parent says of a certificate: what is understood can be written, and reads the same again. */
#include "proto/certmsg.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool same(const struct certmsg *a, const struct certmsg *b)
{
	if (a->verdict != b->verdict || a->ttl_s != b->ttl_s)
		return false;
	if (a->verdict != CERTMSG_VALID)
		return span_eq(a->reason, b->reason);
	for (unsigned i = 0; i < a->n_sans; i++)
		if (i >= b->n_sans || !span_eq(a->sans[i], b->sans[i]))
			return false;
	return a->n_sans == b->n_sans && a->not_before == b->not_before && a->not_after == b->not_after &&
	       span_eq(a->alpn, b->alpn) && span_eq(a->subject, b->subject) &&
	       memcmp(a->spki_sha256, b->spki_sha256, sizeof(a->spki_sha256)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct certmsg *m = malloc(2 * sizeof(*m));
	char *room = malloc(CERTMSG_MAX_BYTES);
	struct buf b = buf_over(room, CERTMSG_MAX_BYTES);

	CHECK_THAT(m && room);
	if (certmsg_parse(span_of((const char *)bytes, n), m)) {
		CHECK_THAT(m->n_sans <= CERTMSG_SANS && m->subject.n <= CERTMSG_SUBJECT_BYTES);
		certmsg_format(&b, m);
		if (!b.full) { /* every name may come with a longer head than it needs, never with a shorter one */
			CHECK_THAT(certmsg_parse(buf_span(&b), m + 1));
			CHECK_THAT(same(m, m + 1));
		}
	}
	free(room);
	free(m);
	return 0;
}
