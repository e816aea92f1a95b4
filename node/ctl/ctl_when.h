/* ctl_when: points in time as people say them.
 *
 *     90s  15m  2h  3d  1w          so long ago
 *     21:30  21:30:15               today; if that is still to come, yesterday
 *     2026-11-23  2026-11-23T21:30  local time; a Z at the end: UTC
 *     @1795441498                   seconds since 1970 */
#ifndef NODE_CTL_CTL_WHEN_H
#define NODE_CTL_CTL_WHEN_H

#include "node/base/clock.h"
#include "node/base/span.h"

/* 0, or -1 for what is none of these. */
int ctl_when_parse(const char *text, wall_ms now, wall_ms *out);
/* The time as our JSON has it, "2026-11-23T13:00:00.123Z"; -1 for anything else. */
int ctl_when_parse_json(struct span, wall_ms *out);
/* For an option: says what is understood, and returns -1. */
int ctl_when_option(const char *option, const char *text, wall_ms *out);

#endif
