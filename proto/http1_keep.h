/* http1_keep: a parsed request that outlives the bytes it was parsed from. */
#ifndef PROTO_HTTP1_KEEP_H
#define PROTO_HTTP1_KEEP_H

#include "node/base/mem.h"
#include "proto/http1_parse.h"

/* A copy in the arena, bytes and all. Its table of fields is cut to what is used: no field may be added to it. */
struct http1_request *http1_keep_request(struct arena *, const struct http1_request *);

#endif
