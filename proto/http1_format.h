/* http1_format: heads of messages as pmcache sends them.
 *
 * Everything is written into a bounded `struct buf` (span.h); when it does not fit, b->full is set and nothing of it must
 * be sent. Callers have parsed what they pass on, so nothing here can split a line: names, values and targets that hold a
 * CR, LF or NUL are our own bug (CHECK_THAT). */
#ifndef PROTO_HTTP1_FORMAT_H
#define PROTO_HTTP1_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"
#include "proto/hdr.h"

void http1_format_request_line(struct buf *, struct span method, struct span target); /* … HTTP/1.1 */
void http1_format_status_line(struct buf *, int status, struct span phrase); /* phrase "" = the registered one */
void http1_format_field(struct buf *, struct span name, struct span value);
void http1_format_end(struct buf *); /* the empty line */

/* All fields of h that may be passed on (hdr_is_hop_by_hop and hdr_is_internal say which may not), in their order, except the
 * ids set in the bit mask `drop` (1ull << HDR_x). */
void http1_format_fields(struct buf *, const struct hdrs *h, uint64_t drop);

/* The registered phrase of a status ("Not Found"); "Unknown" for one that IANA does not have. */
struct span http1_phrase(int status);

#endif
