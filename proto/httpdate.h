/* httpdate: the three date formats of HTTP (RFC 9110 §5.6.7), without libc's calendar or locale.
 *
 * Strict in form: exact lengths, English names in their exact case, GMT only, real days of real months, seconds up to
 * 60 (a leap second counts as the next second). The day of the week must be a name, but need not be the right one:
 * servers get it wrong, and nothing depends on it. Results are whole seconds. */
#ifndef PROTO_HTTPDATE_H
#define PROTO_HTTPDATE_H

#include "node/base/clock.h"
#include "node/base/span.h"

#define HTTPDATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* A time that is not there, wherever a wall_ms may be absent. */
#define HTTPDATE_NONE INT64_MIN

/* `now` resolves the two-digit year of RFC 850: what would be more than 50 years ahead is of the century before. 0, or
 * -1 when it is no date; *out is HTTPDATE_NONE then. */
int httpdate_parse(struct span, wall_ms now, wall_ms *out);

/* IMF-fixdate, without a NUL. Times before year 0 or after 9999 become the nearest that can be written. */
void httpdate_format(wall_ms, char out[HTTPDATE_BYTES]);

#endif
