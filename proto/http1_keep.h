/* http1_keep: a parsed request, and its URL, that outlive the bytes they were parsed from. */
#ifndef PROTO_HTTP1_KEEP_H
#define PROTO_HTTP1_KEEP_H

#include "node/base/mem.h"
#include "proto/http1_parse.h"
#include "proto/url.h"

/* A copy in the arena, bytes and all. Its table of fields is cut to what is used: no field may be added to it. */
struct http1_request *http1_keep_request(struct arena *, const struct http1_request *);

/* The bytes of the URL move to the arena. */
void http1_keep_url(struct arena *, struct url *);

#endif
