/* ctl_logline: a line of the access log, in either format, taken apart again (accesslog.h has the formats). */
#ifndef NODE_CTL_CTL_LOGLINE_H
#define NODE_CTL_CTL_LOGLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/span.h"

#define CTL_LOGLINE_FIELD 4096 /* of a field of a JSON line; beyond, it is cut */

/* Printable ASCII, as the native format has it; from a JSON line what is none became '?'. Spans borrow from the line or from `room`; what
 * there is none of is empty. */
struct ctl_logline {
	wall_ms time;
	uint64_t elapsed_ms, bytes;
	int status;
	struct span client, result, method, url, user, hierarchy, peer, type;
	struct span digest, id; /* of JSON lines alone */
	char room[10][CTL_LOGLINE_FIELD];
};

/* A line without its end. False: it is none. */
bool ctl_logline_parse(struct span line, struct ctl_logline *out);

#endif
