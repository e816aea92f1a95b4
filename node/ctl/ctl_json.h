/* ctl_json: reading the JSON that a daemon has sent. A value is the span of its text; nothing is copied or kept.
 *
 * First ctl_json_is_good, once for the whole; the others take values that come from such a text, or SPAN_NONE, which has nothing in it. */
#ifndef NODE_CTL_CTL_JSON_H
#define NODE_CTL_CTL_JSON_H

#include <stdio.h>

#include "node/base/span.h"

#define CTL_JSON_DEPTH 32

/* One value (RFC 8259), at most CTL_JSON_DEPTH deep, and nothing but white space around it. */
bool ctl_json_is_good(struct span text);

/* What a path leads to: "rtt_us.p50"; an empty one to the value itself. SPAN_NONE when there is no such thing. */
struct span ctl_json_get(struct span object, const char *path);
/* Steps through an array: *rest is the array at first. False at its end. */
bool ctl_json_next(struct span *rest, struct span *item);

/* Steps through an object, whatever its names: *rest is the object at first; *name is as it stands between its quotes. False at its end. */
bool ctl_json_member(struct span *rest, struct span *name, struct span *value);

/* Numbers: 0 when there is none. `ctl_json_has`: there, and not null. */
bool ctl_json_has(struct span object, const char *path);
uint64_t ctl_json_u64(struct span object, const char *path);
double ctl_json_number(struct span object, const char *path);
bool ctl_json_is_true(struct span object, const char *path);
/* A string without its quotes, cut to what fits, NUL-ended; a terminal may get it: what is not printable ASCII becomes '?'. Empty when
 * there is none. Returns out. */
char *ctl_json_text(struct span object, const char *path, char *out, size_t cap);
/* The same of a value that is the string itself. */
char *ctl_json_string(struct span value, char *out, size_t cap);

/* A JSON string of this text, on standard output. */
void ctl_json_print(const char *text);

#endif
