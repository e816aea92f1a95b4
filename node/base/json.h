/* json: strings, times and ratios as JSON has them (RFC 8259), into a bounded buffer.
 *
 * Valid UTF-8 stays as it is; control characters, quote and backslash are escaped; a byte that is no part of valid UTF-8
 * becomes \u00XX (its ISO 8859-1 meaning), so that the output is always valid whatever a stranger sent. */
#ifndef NODE_BASE_JSON_H
#define NODE_BASE_JSON_H

#include "node/base/clock.h"
#include "node/base/span.h"

#define JSON_GROWTH 6 /* a byte becomes at most this many; two more for the quotes */

void json_put_string(struct buf *, struct span); /* with its quotes */
/* "2026-11-23T13:00:00.123Z", with its quotes. Times before 1970 are written as 1970. */
void json_put_time(struct buf *, wall_ms);
/* part of whole with four digits, "0.1250"; null when there is no whole. */
void json_put_ratio(struct buf *, uint64_t part, uint64_t whole);

#endif
