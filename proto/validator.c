#include "proto/validator.h"

#include "proto/httpdate.h"

/* etagc (RFC 9110 §8.8.3): visible characters but '"', and bytes from 0x80 on. */
static bool is_etagc(char c)
{
	return (uint8_t)c > 0x20 && c != '"' && c != 0x7f;
}

/* How many bytes the entity tag at the front of s has; 0 when there is none. */
static size_t etag_at(struct span s, struct etag *out)
{
	size_t start, end;

	out->weak = s.n >= 2 && s.p[0] == 'W' && s.p[1] == '/';
	start = end = out->weak ? 2 : 0;
	if (start >= s.n || s.p[start] != '"')
		return 0;
	do
		end++;
	while (end < s.n && is_etagc(s.p[end]));
	if (end >= s.n || s.p[end] != '"')
		return 0;
	out->opaque = span_of(s.p + start, end + 1 - start);
	return end + 1;
}

int validator_etag(struct span value, struct etag *out)
{
	if (value.n > 0 && etag_at(value, out) == value.n)
		return 0;
	*out = (struct etag){0};
	return -1;
}

bool validator_same_weak(const struct etag *a, const struct etag *b)
{
	return a->opaque.n > 0 && span_eq(a->opaque, b->opaque);
}

bool validator_same_strong(const struct etag *a, const struct etag *b)
{
	return !a->weak && !b->weak && validator_same_weak(a, b);
}

/* A date from a field that is there once; HTTPDATE_NONE otherwise. */
static wall_ms date_of(const struct hdrs *h, enum hdr_id id, wall_ms now)
{
	wall_ms t = HTTPDATE_NONE;

	if (hdr_count(h, id) == 1)
		httpdate_parse(hdr_value(h, id), now, &t);
	return t;
}

void validator_entity(const struct hdrs *response, wall_ms now, struct entity *out)
{
	out->etag = (struct etag){0};
	if (hdr_count(response, HDR_ETAG) == 1)
		validator_etag(hdr_value(response, HDR_ETAG), &out->etag);
	out->last_modified = date_of(response, HDR_LAST_MODIFIED, now);
	out->date = date_of(response, HDR_DATE, now);
}

typedef bool same_f(const struct etag *, const struct etag *);

/* Does "*" or a member of the list fit? Tags may hold commas, so the list is walked tag by tag; what is none ends
 * it. */
static bool list_fits(struct span s, const struct etag *etag, same_f *same)
{
	s = span_trim(s);
	if (span_eq(s, SPAN("*")))
		return true;
	while (s.n) {
		struct etag member;
		size_t used = etag_at(s, &member);

		if (used && same(&member, etag))
			return true;
		if (!used && s.p[0] != ',')
			return false;
		s = span_trim(span_from(s, used ? used : 1));
	}
	return false;
}

static bool field_fits(const struct hdrs *request, enum hdr_id id, const struct etag *etag, same_f *same)
{
	for (unsigned i = 0; i < request->n; i++)
		if (request->v[i].id == id && list_fits(request->v[i].value, etag, same))
			return true;
	return false;
}

/* What stands in for the time of the last change (RFC 9111 §4.3.2). */
static wall_ms changed_at(const struct entity *e)
{
	return e->last_modified != HTTPDATE_NONE ? e->last_modified : e->date;
}

static bool is_changed_since(const struct entity *e, wall_ms t)
{
	return changed_at(e) == HTTPDATE_NONE || changed_at(e) > t;
}

static bool match_fails(const struct hdrs *request, const struct entity *e, wall_ms now)
{
	wall_ms since;

	if (hdr_has(request, HDR_IF_MATCH))
		return !field_fits(request, HDR_IF_MATCH, &e->etag, validator_same_strong);
	since = date_of(request, HDR_IF_UNMODIFIED_SINCE, now);
	return since != HTTPDATE_NONE && is_changed_since(e, since);
}

enum precond validator_check(const struct hdrs *request, enum http1_method method, const struct entity *e, wall_ms now)
{
	bool reads = method == METHOD_GET || method == METHOD_HEAD;
	wall_ms since;

	if (match_fails(request, e, now))
		return PRECOND_FAILED;
	if (hdr_has(request, HDR_IF_NONE_MATCH)) {
		if (!field_fits(request, HDR_IF_NONE_MATCH, &e->etag, validator_same_weak))
			return PRECOND_OK;
		return reads ? PRECOND_NOT_MODIFIED : PRECOND_FAILED;
	}
	since = date_of(request, HDR_IF_MODIFIED_SINCE, now);
	return reads && since != HTTPDATE_NONE && !is_changed_since(e, since) ? PRECOND_NOT_MODIFIED : PRECOND_OK;
}

/* §8.8.2.2: nothing can have changed it in the same second without being seen. */
static bool is_strong_date(const struct entity *e)
{
	return e->last_modified != HTTPDATE_NONE && e->date != HTTPDATE_NONE && e->date - e->last_modified >= 1000;
}

bool validator_range_applies(const struct hdrs *request, const struct entity *e, wall_ms now)
{
	struct etag etag;

	if (!hdr_has(request, HDR_IF_RANGE))
		return true;
	if (hdr_count(request, HDR_IF_RANGE) != 1)
		return false;
	if (validator_etag(hdr_value(request, HDR_IF_RANGE), &etag) == 0)
		return validator_same_strong(&etag, &e->etag);
	return is_strong_date(e) && date_of(request, HDR_IF_RANGE, now) == e->last_modified;
}

bool validator_is_conditional(const struct hdrs *request)
{
	return (request->seen & (1ull << HDR_IF_MATCH | 1ull << HDR_IF_NONE_MATCH | 1ull << HDR_IF_MODIFIED_SINCE |
				 1ull << HDR_IF_UNMODIFIED_SINCE)) != 0;
}
