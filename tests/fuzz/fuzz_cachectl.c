/* Cache-Control: values are within bounds, lists lie within the input, and adding the same once more changes no
 * number. */
#include "proto/cachectl.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_seconds(int64_t s)
{
	CHECK_THAT(s >= CACHECTL_NONE && s <= CACHECTL_MAX_S);
}

static void check_list(struct span list, struct span in, bool qualified)
{
	CHECK_THAT((list.n > 0) == qualified);
	CHECK_THAT(list.n == 0 || (list.p >= in.p && list.p + list.n <= in.p + in.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct cachectl cc, twice;

	cachectl_init(&cc);
	cachectl_add(&cc, in);
	check_seconds(cc.max_age);
	check_seconds(cc.s_maxage);
	check_seconds(cc.min_fresh);
	check_seconds(cc.max_stale);
	check_seconds(cc.stale_while_revalidate);
	check_seconds(cc.stale_if_error);
	check_list(cc.no_cache_fields, in, cachectl_has(&cc, CACHECTL_NO_CACHE_FIELDS));
	check_list(cc.private_fields, in, cachectl_has(&cc, CACHECTL_PRIVATE_FIELDS));
	CHECK_THAT(!cachectl_has(&cc, CACHECTL_PRIVATE) || !cachectl_has(&cc, CACHECTL_PRIVATE_FIELDS));
	twice = cc;
	cachectl_add(&twice, in);
	CHECK_THAT(twice.max_age == cc.max_age && twice.s_maxage == cc.s_maxage && twice.min_fresh == cc.min_fresh);
	CHECK_THAT(twice.max_stale == cc.max_stale && twice.stale_if_error == cc.stale_if_error);
	free((char *)in.p);
	return 0;
}
