/* Walking msgpack without allocating anything: depth, counts, exact end. */
#include "proto/peermsg_internal.h"

#define DEPTH 5 /* containers within each other: the body, a list, its record, and what a record may hold */

/* The first bytes of an element, taken apart. */
struct head {
	bool is_container, is_map, is_integer;
	uint64_t n; /* elements of a container (two per pair of a map), or bytes behind the head */
};

/* How an element goes on whose first byte is from c0 to df. */
struct form {
	enum { FORM_NONE, FORM_VALUE, FORM_INTEGER, FORM_BYTES, FORM_ARRAY, FORM_MAP } kind;
	uint8_t n; /* VALUE, INTEGER: bytes that follow; else so many bytes say how much follows */
};

/* By the lower 5 bits. Left out: c1, which is never used, and the ext types. */
static const struct form forms[32] = {
	[0x00] = {FORM_VALUE, 0},   [0x02] = {FORM_VALUE, 0},   [0x03] = {FORM_VALUE, 0},   /* nil, false, true */
	[0x04] = {FORM_BYTES, 1},   [0x05] = {FORM_BYTES, 2},   [0x06] = {FORM_BYTES, 4},   /* bin */
	[0x0a] = {FORM_VALUE, 4},   [0x0b] = {FORM_VALUE, 8},                               /* float */
	[0x0c] = {FORM_INTEGER, 1}, [0x0d] = {FORM_INTEGER, 2}, [0x0e] = {FORM_INTEGER, 4}, /* unsigned */
	[0x0f] = {FORM_INTEGER, 8}, [0x10] = {FORM_INTEGER, 1}, [0x11] = {FORM_INTEGER, 2}, /* signed from 10 */
	[0x12] = {FORM_INTEGER, 4}, [0x13] = {FORM_INTEGER, 8}, [0x19] = {FORM_BYTES, 1},   /* str from 19 */
	[0x1a] = {FORM_BYTES, 2},   [0x1b] = {FORM_BYTES, 4},   [0x1c] = {FORM_ARRAY, 2},
	[0x1d] = {FORM_ARRAY, 4},   [0x1e] = {FORM_MAP, 2},     [0x1f] = {FORM_MAP, 4},
};

/* Moves *at behind the head. False: cut off, or a form that we do not take. */
static bool read_head(const uint8_t *p, size_t n, size_t *at, struct head *out)
{
	uint8_t first = p[(*at)++];
	const struct form *f;

	*out = (struct head){0};
	if (first < 0x80 || first >= 0xe0) {
		out->is_integer = true;
	} else if (first < 0xa0) {
		out->is_container = true;
		out->is_map = first < 0x90;
		out->n = first & 0x0f;
	} else if (first < 0xc0) {
		out->n = first & 0x1f;
	} else {
		bool is_counted;

		f = &forms[first & 0x1f];
		is_counted = f->kind >= FORM_BYTES;
		if (f->kind == FORM_NONE || (is_counted && n - *at < f->n))
			return false;
		out->is_container = f->kind >= FORM_ARRAY;
		out->is_map = f->kind == FORM_MAP;
		out->is_integer = f->kind == FORM_INTEGER;
		out->n = is_counted ? big_endian(p + *at, f->n) : f->n;
		*at += is_counted ? f->n : 0;
	}
	if (out->is_map)
		out->n *= 2;
	return out->n <= n - *at; /* each element has a byte at least */
}

bool peermsg_walk(struct span body)
{
	return peermsg_walk_upto(body, PEERMSG_MAX_BYTES);
}

bool peermsg_walk_upto(struct span body, size_t most)
{
	const uint8_t *p = (const uint8_t *)body.p;
	struct {
		uint64_t left;
		bool is_map;
	} open[DEPTH + 1] = {{1, false}};
	unsigned depth = 0;
	size_t at = 0;

	if (body.n > most)
		return false;
	for (;;) {
		struct head h;
		bool is_key;

		while (open[depth].left == 0) {
			if (depth == 0)
				return at == body.n;
			depth--;
		}
		is_key = open[depth].is_map && open[depth].left % 2 == 0;
		open[depth].left--;
		if (at == body.n || !read_head(p, body.n, &at, &h) || (is_key && !h.is_integer))
			return false;
		if (!h.is_container) {
			at += h.n;
			continue;
		}
		if (depth == DEPTH)
			return false;
		depth++;
		open[depth].left = h.n;
		open[depth].is_map = h.is_map;
	}
}
