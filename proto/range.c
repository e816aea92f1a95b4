#include "proto/range.h"

#include "node/base/check.h"

static bool cut_unit(struct span *s, char behind)
{
	if (!span_starts_icase(*s, SPAN("bytes")) || s->n < 6 || s->p[5] != behind)
		return false;
	*s = span_from(*s, 6);
	return true;
}

void range_parse(struct span value, struct range *out)
{
	struct span s = value, first, last;
	size_t dash;

	*out = (struct range){.kind = RANGE_WHOLE};
	if (!cut_unit(&s, '='))
		return;
	s = span_trim(s);
	dash = span_find(s, '-');
	if (dash == s.n)
		return;
	first = span_upto(s, dash);
	last = span_from(s, dash + 1);
	if (first.n && span_to_u64(first, &out->first) != 0)
		return;
	if (last.n && span_to_u64(last, &out->last) != 0)
		return;
	if (first.n && last.n && out->first <= out->last)
		out->kind = RANGE_CLOSED;
	else if (first.n && !last.n)
		out->kind = RANGE_OPEN;
	else if (!first.n && last.n)
		out->kind = RANGE_SUFFIX;
}

enum range_fit range_resolve(const struct range *r, uint64_t length, uint64_t *start, uint64_t *n)
{
	CHECK_THAT(r->kind != RANGE_WHOLE);
	if (r->kind == RANGE_SUFFIX) {
		*n = r->last < length ? r->last : length;
		*start = length - *n;
		return *n ? RANGE_FITS : RANGE_UNSATISFIABLE;
	}
	if (r->first >= length)
		return RANGE_UNSATISFIABLE;
	*start = r->first;
	*n = length - r->first;
	if (r->kind == RANGE_CLOSED && r->last - r->first < *n)
		*n = r->last - r->first + 1;
	return RANGE_FITS;
}

/* "0-9" against the length */
static int parse_positions(struct span s, struct content_range *out)
{
	size_t dash = span_find(s, '-');
	uint64_t last;

	if (dash == s.n || span_to_u64(span_upto(s, dash), &out->start) != 0 ||
	    span_to_u64(span_from(s, dash + 1), &last) != 0)
		return -1;
	if (last < out->start || (out->length_known && last >= out->length))
		return -1;
	out->n = last - out->start + 1;
	return 0;
}

int range_parse_content(struct span value, struct content_range *out)
{
	struct span s = value, positions, length;
	size_t slash;

	*out = (struct content_range){0};
	if (!cut_unit(&s, ' '))
		return -1;
	slash = span_find(s, '/');
	if (slash == s.n)
		return -1;
	positions = span_upto(s, slash);
	length = span_from(s, slash + 1);
	out->length_known = !span_eq(length, SPAN("*"));
	if (out->length_known && span_to_u64(length, &out->length) != 0)
		return -1;
	out->unsatisfied = span_eq(positions, SPAN("*"));
	if (out->unsatisfied)
		return out->length_known ? 0 : -1;
	return parse_positions(positions, out);
}

void range_format_content(struct buf *b, uint64_t start, uint64_t n, uint64_t length)
{
	CHECK_THAT(n > 0);
	buf_put(b, SPAN("bytes "));
	buf_put_u64(b, start);
	buf_putc(b, '-');
	buf_put_u64(b, start + n - 1);
	buf_putc(b, '/');
	buf_put_u64(b, length);
}

void range_format_unsatisfied(struct buf *b, uint64_t length)
{
	buf_put(b, SPAN("bytes */"));
	buf_put_u64(b, length);
}
