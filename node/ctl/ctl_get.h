/* ctl_get: one GET through the daemon's proxy port, as any client does: so it is served, joined, asked of siblings and parents, or fetched
 * and stored, by the same rules. Blocks. Any thread. */
#ifndef NODE_CTL_CTL_GET_H
#define NODE_CTL_CTL_GET_H

#include "node/base/span.h"
#include "proto/http1_parse.h"

struct ctl_get_ask {
	const char *host, *port; /* of the proxy; an IPv6 address may have its brackets */
	const char *url;
	const char *integrity; /* an SRI, for the daemon to check what it stores by it; empty: none */
	bool only_if_cached;   /* only what is here, and fresh */
};

struct ctl_got {
	int status; /* 0: no answer */
	uint64_t bytes;
	bool whole;      /* the body is not cut short */
	bool hit;        /* X-Cache says so */
	char fault[120]; /* why there is no whole answer with status 200; empty: there is one */
};

typedef void ctl_get_head_f(void *cookie, const struct http1_response *);
typedef void ctl_get_body_f(void *cookie, struct span piece);
/* head: before the first piece; NULL: not told. */
void ctl_get(const struct ctl_get_ask *, ctl_get_head_f *head, ctl_get_body_f *, void *cookie, struct ctl_got *);

#endif
