/* mask: what may not be shown in any log, page or message.
 *
 * Hidden are: userinfo of URLs; query parameters whose names say that they sign or authorise (X-Amz-Signature, sig, token,
 * jwt, api_key ... in any case and also percent-encoded); header fields of that kind (Authorization, Cookie, Set-Cookie,
 * Proxy-Authorization, and by the ends of their names X-Auth-Token, Private-Token, X-Api-Key ...). A name counts by its end,
 * so that the next registry's My-Own-Token is hidden too: one word too many hidden costs nothing, one too few a secret.
 * URLs percent-encoded inside a parameter are not looked into. */
#ifndef NODE_RECORD_MASK_H
#define NODE_RECORD_MASK_H

#include <stdbool.h>

#include "node/base/span.h"

#define MASK_TEXT "***"
#define MASK_GROWTH 2 /* the output is at most this many times the input */

/* Is the value of a parameter or header field with this name a secret? */
bool mask_is_secret(struct span name);

/* Could mask_url change anything? False for most URLs, which then need no copy. */
static inline bool mask_url_may_change(struct span url)
{
	return memchr(url.p ? url.p : "", '@', url.n) || memchr(url.p ? url.p : "", '?', url.n) ||
	       memchr(url.p ? url.p : "", ';', url.n) || memchr(url.p ? url.p : "", '#', url.n);
}

/* A URL in any form (absolute, host:port, path): without userinfo; with secrets masked; without what follows the first '?'
 * unless `query` (the '?' itself stays, as in Squid's strip_query_terms). */
void mask_url(struct buf *, struct span url, bool query);

/* Text in which URLs may stand, such as the value of a Link field. */
void mask_text(struct buf *, struct span text);

#endif
