/* range: the fields Range and Content-Range (RFC 9110 §14), bytes only.
 *
 * One range is served; several in one request, another unit, or anything malformed are answered with the whole
 * representation, as §14.2 allows. */
#ifndef PROTO_RANGE_H
#define PROTO_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"

enum range_kind {
	RANGE_WHOLE,  /* no range that we serve: answer as if the field were not there */
	RANGE_CLOSED, /* first-last */
	RANGE_OPEN,   /* first- */
	RANGE_SUFFIX, /* the last n bytes */
};

struct range {
	enum range_kind kind;
	uint64_t first, last; /* SUFFIX: `last` is n */
};

/* Of the value of a Range field; SPAN_NONE gives RANGE_WHOLE. */
void range_parse(struct span value, struct range *out);

enum range_fit {
	RANGE_FITS,          /* *start and *n (at least 1) are within the length */
	RANGE_UNSATISFIABLE, /* answer 416 with range_format_unsatisfied */
};

/* Against a representation of `length` bytes. A RANGE_WHOLE is never given here: our own bug. */
enum range_fit range_resolve(const struct range *, uint64_t length, uint64_t *start, uint64_t *n);

struct content_range {
	bool unsatisfied; /* "bytes * /length": start and n are 0 */
	bool length_known;
	uint64_t start, n, length;
};

/* "bytes 0-9/100", "bytes 0-9/ *", "bytes * /100" (without the spaces). 0, or -1 when it is anything else or
 * contradicts itself. */
int range_parse_content(struct span value, struct content_range *out);
/* n at least 1. */
void range_format_content(struct buf *, uint64_t start, uint64_t n, uint64_t length);
void range_format_unsatisfied(struct buf *, uint64_t length);

#endif
