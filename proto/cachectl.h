/* cachectl: the directives of Cache-Control (RFC 9111 §5.2, RFC 5861, RFC 8246).
 *
 * Names in any case, values as token or quoted string, unknown directives skipped. A directive given twice, with
 * different values: the most restrictive one counts (the shortest life, the largest min-fresh), also over several
 * fields; so it does not matter who appended what. Seconds saturate at 2^31 (RFC 9111 §1.2.2). A lifetime (max-age,
 * s-maxage, stale-*) whose value is missing or no number is 0, as §4.2.1 advises; so is a max-age of a request; a
 * broken min-fresh or max-stale is not there. */
#ifndef PROTO_CACHECTL_H
#define PROTO_CACHECTL_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"
#include "proto/hdr.h"

#define CACHECTL_MAX_S 2147483648 /* saturated; also max-stale without a value: any staleness */
#define CACHECTL_NONE (-1)

enum cachectl_flag {
	CACHECTL_NO_CACHE = 1 << 0,        /* unqualified; in a request also by Pragma (§5.4) */
	CACHECTL_NO_CACHE_FIELDS = 1 << 1, /* no-cache="field, …" only */
	CACHECTL_NO_STORE = 1 << 2,
	CACHECTL_NO_TRANSFORM = 1 << 3,
	CACHECTL_ONLY_IF_CACHED = 1 << 4,
	CACHECTL_MUST_REVALIDATE = 1 << 5,
	CACHECTL_PROXY_REVALIDATE = 1 << 6,
	CACHECTL_MUST_UNDERSTAND = 1 << 7,
	CACHECTL_PRIVATE = 1 << 8,        /* unqualified */
	CACHECTL_PRIVATE_FIELDS = 1 << 9, /* private="field, …" only */
	CACHECTL_PUBLIC = 1 << 10,
	CACHECTL_IMMUTABLE = 1 << 11,
	CACHECTL_PRESENT = 1 << 12, /* there was a Cache-Control field */
};

struct cachectl {
	uint32_t flags;
	int64_t max_age, s_maxage, min_fresh, max_stale, stale_while_revalidate, stale_if_error; /* s; CACHECTL_NONE */
	/* The lists of the qualified forms, without the quotes, borrowed. Given twice, the directive counts as
	 * unqualified instead. */
	struct span no_cache_fields, private_fields;
};

static inline bool cachectl_has(const struct cachectl *cc, enum cachectl_flag flag)
{
	return (cc->flags & (uint32_t)flag) != 0;
}

/* No directives at all. */
void cachectl_init(struct cachectl *);
/* Adds the directives of one field value. */
void cachectl_add(struct cachectl *, struct span value);

/* All Cache-Control fields of a message. */
void cachectl_response(const struct hdrs *, struct cachectl *out);
/* The same, and without Cache-Control "Pragma: no-cache" counts as no-cache. */
void cachectl_request(const struct hdrs *, struct cachectl *out);

#endif
