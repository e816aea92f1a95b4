/* A URL, its store-id and its class: the normal form is its own normal form, the bound on its length holds, and a class
 * is sound. The class is also taken of the raw path, as nothing stops a caller from asking for it. */
#include "proto/pathclass.h"
#include "proto/storeid.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_class(struct span path, struct span query)
{
	static const size_t sizes[] = {
		[PATH_DIGEST_NONE] = 0,    [PATH_DIGEST_MD5] = 16,    [PATH_DIGEST_SHA1] = 20,
		[PATH_DIGEST_SHA256] = 32, [PATH_DIGEST_SHA512] = 64, [PATH_DIGEST_BLAKE2B_256] = 32,
	};
	struct hdrs request = {0};
	struct path_facts f;

	hdr_add(&request, SPAN("User-Agent"), SPAN("npm/10.0.0"));
	pathclass_of(path, query, &request, &f);
	CHECK_THAT(f.digest_bytes == sizes[f.digest_kind]);
	CHECK_THAT((f.class == PATH_OTHER) == (f.ecosystem == ECOSYSTEM_NONE));
	CHECK_THAT((f.class == PATH_MUTABLE) == (f.ttl_s > 0));
	CHECK_THAT(f.class == PATH_IMMUTABLE || (!f.digest_bytes && !f.regenerated));
	CHECK_THAT(pathclass_word(f.class) && pathclass_ecosystem(f.ecosystem));
}

/* An allocation of exactly the promised size, so that the sanitizer sees a step beyond. */
static struct buf format(const struct url *u, struct storeid *id)
{
	size_t cap = STOREID_BYTES(u->host.n + u->path_query.n);
	struct buf b = buf_over(malloc(cap), cap);

	CHECK_THAT(b.p);
	storeid_format(&b, u, id);
	CHECK_THAT(!b.full && b.n <= cap && span_eq(buf_span(&b), id->text));
	CHECK_THAT(id->path.n > 0 && id->path.p[0] == '/');
	return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct storeid id, id2;
	struct url u, u2;
	struct buf b, b2;
	enum reason why;

	check_class(in, SPAN_NONE);
	if (url_parse_absolute(in, &u, &why) == 0) {
		b = format(&u, &id);
		check_class(u.path, u.query);
		check_class(id.path, id.query);
		CHECK_THAT(url_parse_absolute(id.text, &u2, &why) == 0 && u2.userinfo.n == 0);
		b2 = format(&u2, &id2);
		CHECK_THAT(span_eq(id.text, id2.text) && span_eq(id.path, id2.path) && span_eq(id.query, id2.query));
		free(b.p);
		free(b2.p);
	}
	free((char *)in.p);
	return 0;
}
