#include "node/cache/aim.h"

#define FIRST_FAILURE 400

void aim_take(struct aim *a, enum purgerec_kind kind, struct span value)
{
	*a = (struct aim){.kind = purgerec_base(kind), .value = value};
	purgerec_digest(value, a->digest);
}

/* "https://host/…" and "https://host:8443/…" are of the host. */
static bool is_of_host(struct span store_id, struct span host)
{
	struct span rest = span_from(store_id, span_find(store_id, '/') + 2);

	if (!span_starts(rest, host))
		return false;
	rest = span_from(rest, host.n);
	return rest.n && (rest.p[0] == '/' || rest.p[0] == ':');
}

static bool is_of_class(const struct head *h, struct span class)
{
	if (h->status >= FIRST_FAILURE)
		return span_eq(class, SPAN("negative"));
	return span_eq(class, h->terms.source == FRESH_WHY_IMMUTABLE ? SPAN("immutable") : SPAN("mutable"));
}

bool aim_fits(const struct aim *a, const struct head *h, const uint8_t *digest)
{
	switch (a->kind) {
	case PURGEREC_URL:
		return span_eq(head_url(h), a->value);
	case PURGEREC_PREFIX:
		return span_starts(head_url(h), a->value);
	case PURGEREC_HOST:
		return is_of_host(head_url(h), a->value);
	case PURGEREC_ALL:
		return true;
	case PURGEREC_CLASS:
		return is_of_class(h, a->value);
	case PURGEREC_DIGEST:
	case PURGEREC_DENY:
		return !digest || memcmp(digest, a->digest, sizeof(a->digest)) == 0;
	case PURGEREC_ALLOW:
		break;
	}
	return false;
}
