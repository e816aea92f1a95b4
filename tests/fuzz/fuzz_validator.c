/* The input is a line with an ETag, and a line with the value of a condition, which is tried in each field. */
#include "proto/httpdate.h"
#include "proto/validator.h"
#include "tests/fuzz/pieces.h"

#define NOW 1795438800000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_condition(const char *name, struct span value, const struct entity *e)
{
	struct hdrs request = {0};
	enum precond get, put;

	hdr_add(&request, span_str(name), value);
	get = validator_check(&request, METHOD_GET, e, NOW);
	put = validator_check(&request, METHOD_PUT, e, NOW);
	CHECK_THAT(put != PRECOND_NOT_MODIFIED);
	CHECK_THAT(get == put || get == PRECOND_NOT_MODIFIED);
	CHECK_THAT(validator_is_conditional(&request) || get == PRECOND_OK);
	validator_range_applies(&request, e, NOW);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const char *const names[] = {"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
					    "If-Range"};
	struct span in = pieces_copy(bytes, n), value = in, etag;
	struct entity e = {.last_modified = 784111777000, .date = 784111778000};

	span_cut(&value, '\n', &etag);
	if (validator_etag(etag, &e.etag) == 0) {
		CHECK_THAT(e.etag.opaque.n >= 2 && validator_same_weak(&e.etag, &e.etag));
		CHECK_THAT(validator_same_strong(&e.etag, &e.etag) == !e.etag.weak);
	} else {
		CHECK_THAT(e.etag.opaque.n == 0);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_condition(names[i], value, &e);
	free((char *)in.p);
	return 0;
}
