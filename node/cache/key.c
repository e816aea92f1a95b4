#include "node/cache/key.h"

#include "node/base/hash.h"

static void add_part(struct sha256 *h, struct span part)
{
	uint32_t n = (uint32_t)part.n;

	sha256_add(h, &n, sizeof(n));
	sha256_add(h, part.p, part.n);
}

void key_make(struct key *key, struct span salt, struct span store_id)
{
	struct sha256 h;

	sha256_init(&h);
	sha256_add(&h, "pmc1", 4);
	add_part(&h, salt);
	add_part(&h, SPAN("GET"));
	add_part(&h, store_id);
	sha256_end(&h, key->b);
}

void key_variant(struct key_variant *variant, const struct vary *vary, const struct hdrs *request)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 h;

	memset(variant, 0, sizeof(*variant));
	if (vary->star || vary->n == 0)
		return;
	sha256_init(&h);
	vary_hash(vary, request, &h);
	sha256_end(&h, digest);
	memcpy(variant->b, digest, sizeof(variant->b));
	variant->b[0] |= 1; /* never the one that stands for "does not vary" */
}

void key_credential(struct key_credential *out, const uint8_t secret[32], struct span authorization,
		    struct span userinfo)
{
	uint8_t digest[SHA256_BYTES];
	char text[512];
	struct buf b = buf_over(text, sizeof(text));
	struct sha256 h;

	memset(out, 0, sizeof(*out));
	if (!authorization.n && !userinfo.n)
		return;
	sha256_init(&h);
	add_part(&h, authorization);
	add_part(&h, userinfo);
	sha256_end(&h, digest);
	buf_put(&b, span_of((const char *)digest, sizeof(digest)));
	hmac_sha256(secret, 32, buf_span(&b), digest);
	memcpy(out->b, digest, sizeof(out->b));
	out->b[0] |= 1;
}
