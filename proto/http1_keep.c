#include "proto/http1_keep.h"

static const char *later(const char *end, struct span s)
{
	return s.p && s.p + s.n > end ? s.p + s.n : end;
}

static struct span moved(struct span s, const char *from, const char *to)
{
	return s.p ? span_of(to + (s.p - from), s.n) : s;
}

struct http1_request *http1_keep_request(struct arena *a, const struct http1_request *r)
{
	const char *from = r->method_name.p, *end = later(from, r->target);
	struct http1_request *copy;
	struct span bytes;
	size_t n;

	for (unsigned i = 0; i < r->fields.n; i++)
		end = later(later(end, r->fields.v[i].name), r->fields.v[i].value);
	bytes = arena_copy(a, span_of(from, (size_t)(end - from)));
	n = offsetof(struct http1_request, fields.v) + r->fields.n * sizeof(struct hdr);
	copy = arena_alloc(a, n);
	memcpy(copy, r, n);
	copy->method_name = moved(r->method_name, from, bytes.p);
	copy->target = moved(r->target, from, bytes.p);
	for (unsigned i = 0; i < r->fields.n; i++) {
		copy->fields.v[i].name = moved(r->fields.v[i].name, from, bytes.p);
		copy->fields.v[i].value = moved(r->fields.v[i].value, from, bytes.p);
	}
	return copy;
}

void http1_keep_url(struct arena *a, struct url *u)
{
	u->scheme = arena_copy(a, u->scheme);
	u->userinfo = arena_copy(a, u->userinfo);
	u->host = arena_copy(a, u->host);
	u->path_query = arena_copy(a, u->path_query);
	u->path = span_upto(u->path_query, u->path.n);
	u->query = u->query.p ? span_from(u->path_query, u->path.n + 1) : SPAN_NONE;
}
