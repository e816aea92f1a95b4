#include "proto/cachectl.h"

#include "proto/chars.h"

/* How a directive's value is read, and what two of them make. */
enum shape {
	FLAG,     /* a value, should there be one, is nothing */
	FIELDS,   /* a flag, or a flag with a list of field names */
	SHORTEST, /* seconds; broken or missing = 0; the smaller of two */
	LONGEST,  /* seconds; broken = not there; the larger of two */
	STALE,    /* seconds; missing = any; broken = not there; the smaller of two */
};

struct directive {
	struct span name;
	enum shape shape;
	uint32_t flag; /* FLAG, FIELDS */
	size_t at;     /* FIELDS: of the list in struct cachectl; else of the seconds */
};

static const struct directive directives[] = {
#define NAME(literal)                                                                                                  \
	{                                                                                                              \
		literal, sizeof(literal) - 1                                                                           \
	}
	{NAME("max-age"), SHORTEST, 0, offsetof(struct cachectl, max_age)},
	{NAME("no-cache"), FIELDS, CACHECTL_NO_CACHE, offsetof(struct cachectl, no_cache_fields)},
	{NAME("public"), FLAG, CACHECTL_PUBLIC, 0},
	{NAME("immutable"), FLAG, CACHECTL_IMMUTABLE, 0},
	{NAME("no-store"), FLAG, CACHECTL_NO_STORE, 0},
	{NAME("private"), FIELDS, CACHECTL_PRIVATE, offsetof(struct cachectl, private_fields)},
	{NAME("must-revalidate"), FLAG, CACHECTL_MUST_REVALIDATE, 0},
	{NAME("s-maxage"), SHORTEST, 0, offsetof(struct cachectl, s_maxage)},
	{NAME("stale-while-revalidate"), SHORTEST, 0, offsetof(struct cachectl, stale_while_revalidate)},
	{NAME("stale-if-error"), SHORTEST, 0, offsetof(struct cachectl, stale_if_error)},
	{NAME("no-transform"), FLAG, CACHECTL_NO_TRANSFORM, 0},
	{NAME("proxy-revalidate"), FLAG, CACHECTL_PROXY_REVALIDATE, 0},
	{NAME("only-if-cached"), FLAG, CACHECTL_ONLY_IF_CACHED, 0},
	{NAME("max-stale"), STALE, 0, offsetof(struct cachectl, max_stale)},
	{NAME("min-fresh"), LONGEST, 0, offsetof(struct cachectl, min_fresh)},
	{NAME("must-understand"), FLAG, CACHECTL_MUST_UNDERSTAND, 0},
#undef NAME
};

#define N_DIRECTIVES (sizeof(directives) / sizeof(directives[0]))

_Static_assert(CACHECTL_NO_CACHE << 1 == CACHECTL_NO_CACHE_FIELDS, "the qualified form is the next bit");
_Static_assert(CACHECTL_PRIVATE << 1 == CACHECTL_PRIVATE_FIELDS, "the qualified form is the next bit");

void cachectl_init(struct cachectl *cc)
{
	*cc = (struct cachectl){
		.max_age = CACHECTL_NONE,
		.s_maxage = CACHECTL_NONE,
		.min_fresh = CACHECTL_NONE,
		.max_stale = CACHECTL_NONE,
		.stale_while_revalidate = CACHECTL_NONE,
		.stale_if_error = CACHECTL_NONE,
	};
}

static const struct directive *lookup(struct span name)
{
	for (size_t i = 0; i < N_DIRECTIVES; i++)
		if (directives[i].name.n == name.n && span_eq_icase(directives[i].name, name))
			return &directives[i];
	return NULL;
}

/* delta-seconds (RFC 9111 §1.2.2), saturated; CACHECTL_NONE when it is no number. */
static int64_t seconds(struct span s)
{
	int64_t v = 0;

	if (s.n == 0)
		return CACHECTL_NONE;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return CACHECTL_NONE;
		v = v * 10 + (s.p[i] - '0');
		if (v > CACHECTL_MAX_S)
			v = CACHECTL_MAX_S;
	}
	return v;
}

static void add_seconds(struct cachectl *cc, const struct directive *d, bool has_value, struct span value)
{
	int64_t *to = (int64_t *)((char *)cc + d->at), v = seconds(value);

	if (v < 0 && d->shape == SHORTEST)
		v = 0;
	if (!has_value && d->shape == STALE)
		v = CACHECTL_MAX_S;
	if (v < 0)
		return;
	if (*to < 0 || (d->shape == LONGEST ? v > *to : v < *to))
		*to = v;
}

static void add_fields(struct cachectl *cc, const struct directive *d, bool has_value, struct span value)
{
	struct span *to = (struct span *)((char *)cc + d->at);

	if (cc->flags & d->flag)
		return;
	if (has_value && value.n && !(cc->flags & d->flag << 1)) {
		cc->flags |= d->flag << 1;
		*to = value;
		return;
	}
	cc->flags = (cc->flags & ~(d->flag << 1)) | d->flag;
	*to = SPAN_NONE;
}

static void add_directive(struct cachectl *cc, struct span name, bool has_value, struct span value)
{
	const struct directive *d = lookup(name);

	if (!d)
		return;
	if (d->shape == FLAG)
		cc->flags |= d->flag;
	else if (d->shape == FIELDS)
		add_fields(cc, d, has_value, value);
	else
		add_seconds(cc, d, has_value, value);
}

/* Cuts a value, token or quoted string, off the front of *rest; what is behind it up to the comma makes it broken. */
static struct span cut_value(struct span *rest)
{
	struct span value, junk;
	size_t end = 1;

	if (rest->n && rest->p[0] == '"') {
		while (end < rest->n && rest->p[end] != '"')
			end += rest->p[end] == '\\' ? 2 : 1;
		if (end >= rest->n) {
			*rest = span_from(*rest, rest->n);
			return *rest;
		}
		value = span_of(rest->p + 1, end - 1);
		*rest = span_from(*rest, end + 1);
		junk = span_trim(span_upto(*rest, span_find(*rest, ',')));
		return junk.n ? junk : value;
	}
	end = span_find(*rest, ',');
	value = span_trim(span_upto(*rest, end));
	*rest = span_from(*rest, end);
	return value;
}

void cachectl_add(struct cachectl *cc, struct span value)
{
	struct span rest = value;

	cc->flags |= CACHECTL_PRESENT;
	while (rest.n) {
		const char *end;
		struct span name, argument = SPAN_NONE;
		bool has_value;

		rest = span_trim(rest);
		end = chars_token_end(rest.p, rest.p + rest.n);
		name = span_upto(rest, (size_t)(end - rest.p));
		rest = span_from(rest, name.n);
		has_value = rest.n && rest.p[0] == '=';
		if (has_value) {
			rest = span_from(rest, 1);
			argument = cut_value(&rest);
		}
		if (name.n)
			add_directive(cc, name, has_value, argument);
		rest = span_from(rest, span_find(rest, ','));
		rest = span_from(rest, 1);
	}
}

void cachectl_response(const struct hdrs *h, struct cachectl *out)
{
	cachectl_init(out);
	if (!hdr_has(h, HDR_CACHE_CONTROL))
		return;
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].id == HDR_CACHE_CONTROL)
			cachectl_add(out, h->v[i].value);
}

void cachectl_request(const struct hdrs *h, struct cachectl *out)
{
	struct hdr_list it = {0};

	cachectl_response(h, out);
	if (cachectl_has(out, CACHECTL_PRESENT))
		return;
	while (hdr_next(h, HDR_PRAGMA, &it))
		if (span_eq_icase(it.member, SPAN("no-cache")))
			out->flags |= CACHECTL_NO_CACHE;
}
