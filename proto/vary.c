#include "proto/vary.h"

#include "node/base/check.h"
#include "proto/chars.h"
#include "proto/http1_parse.h"

/* --- names --- */

static inline uint8_t lower(char c)
{
	return chars_lower[(uint8_t)c];
}

static int compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return lower(a.p[i]) < lower(b.p[i]) ? -1 : 1;
	return (a.n > b.n) - (a.n < b.n);
}

static void set_star(struct vary *v)
{
	v->star = true;
	v->n = 0;
}

/* Keeps the names sorted and each once. */
static void add_name(struct vary *v, struct span name)
{
	unsigned at = 0;
	int order = 1;

	if (v->star)
		return;
	if (span_eq(name, SPAN("*")) || !http1_is_token(name)) {
		set_star(v);
		return;
	}
	while (at < v->n && (order = compare(name, v->v[at].name)) > 0)
		at++;
	if (at < v->n && order == 0)
		return;
	if (v->n == VARY_MAX_NAMES) {
		set_star(v);
		return;
	}
	memmove(&v->v[at + 1], &v->v[at], (v->n - at) * sizeof(v->v[0]));
	v->v[at].name = name;
	v->v[at].id = hdr_id(name);
	v->n++;
}

static size_t text_bytes(const struct vary *v)
{
	size_t n = 0;

	for (unsigned i = 0; i < v->n; i++)
		n += v->v[i].name.n + 1;
	return n;
}

void vary_read(const struct hdrs *response, struct vary *out)
{
	struct hdr_list it = {0};

	out->star = false;
	out->n = 0;
	while (hdr_next(response, HDR_VARY, &it))
		add_name(out, it.member);
	if (text_bytes(out) > VARY_TEXT_BYTES)
		set_star(out);
}

void vary_format(const struct vary *v, struct buf *b)
{
	if (v->star)
		buf_putc(b, '*');
	for (unsigned i = 0; i < v->n; i++) {
		if (i)
			buf_putc(b, ',');
		for (size_t k = 0; k < v->v[i].name.n; k++)
			buf_putc(b, (char)lower(v->v[i].name.p[k]));
	}
}

void vary_parse(struct span text, struct vary *out)
{
	struct span name;

	out->star = false;
	out->n = 0;
	if (text.n == 0)
		return;
	while (span_cut(&text, ',', &name))
		add_name(out, name);
}

/* --- values in normal form, written to whoever takes them --- */

struct out {
	struct buf *buf; /* one of these is set */
	struct sha256 *digest;
	char piece[64]; /* for the digest, so that it is not fed byte by byte */
	size_t n;
};

static void flush(struct out *o)
{
	if (o->digest && o->n)
		sha256_add(o->digest, o->piece, o->n);
	o->n = 0;
}

static void put_char(struct out *o, char c)
{
	if (o->buf) {
		buf_putc(o->buf, c);
		return;
	}
	if (o->n == sizeof(o->piece))
		flush(o);
	o->piece[o->n++] = c;
}

static void put(struct out *o, struct span s)
{
	if (o->buf) {
		buf_put(o->buf, s);
		return;
	}
	if (s.n > sizeof(o->piece) - o->n)
		flush(o);
	if (s.n > sizeof(o->piece)) {
		sha256_add(o->digest, s.p, s.n);
		return;
	}
	if (s.n)
		memcpy(o->piece + o->n, s.p, s.n);
	o->n += s.n;
}

/* A walk over the fields of one name, some of which the table of hdr.h does not have. */
static const struct hdr *next_field(const struct hdrs *h, struct span name, enum hdr_id id, unsigned *at)
{
	if (!hdr_has(h, id))
		return NULL;
	while (*at < h->n) {
		const struct hdr *f = &h->v[(*at)++];

		if (f->id == id && (id != HDR_OTHER || span_eq_icase(f->name, name)))
			return f;
	}
	return NULL;
}

/* Bits in the order in which they are written. */
static const struct {
	struct span name;
	unsigned bit;
} codings[] = {
#define X(name, bit)                                                                                                   \
	{                                                                                                              \
		{name, sizeof(name) - 1}, bit                                                                          \
	}
	X("br", 1), X("deflate", 2), X("gzip", 4), X("identity", 8), X("zstd", 16), X("x-gzip", 4),
#undef X
};

#define N_CODINGS (sizeof(codings) / sizeof(codings[0]))
#define IDENTITY 8u
#define ALL_CODINGS 31u
#define ANY 32u     /* "*" */
#define UNKNOWN 64u /* one that we do not know */

static unsigned coding_bit(struct span name)
{
	for (size_t i = 0; i < N_CODINGS; i++)
		if (span_eq_icase(name, codings[i].name))
			return codings[i].bit;
	return span_eq(name, SPAN("*")) ? ANY : UNKNOWN;
}

/* ";q=0", also "0.", "0.0" and so on (RFC 9110 §12.4.2) */
static bool is_refused(struct span parameters)
{
	struct span one;

	while (span_cut(&parameters, ';', &one)) {
		one = span_trim(one);
		if (!span_starts_icase(one, SPAN("q=0")))
			continue;
		for (size_t i = 3; i < one.n; i++)
			if (one.p[i] != '.' && one.p[i] != '0')
				return false;
		return true;
	}
	return false;
}

/* Which codings are acceptable; UNKNOWN among them when there are others. */
static unsigned accepted_codings(const struct hdrs *request)
{
	unsigned yes = 0, no = 0;
	struct hdr_list it = {0};

	while (hdr_next(request, HDR_ACCEPT_ENCODING, &it)) {
		size_t end = span_find(it.member, ';');
		unsigned bit = coding_bit(span_trim(span_upto(it.member, end)));

		if (!is_refused(span_from(it.member, end)))
			yes |= bit;
		else if (bit != UNKNOWN)
			no |= bit;
	}
	if (yes & ANY)
		yes |= ALL_CODINGS & ~no;
	if (!(no & (IDENTITY | ANY)))
		yes |= IDENTITY; /* acceptable unless refused (§12.5.3) */
	return yes;
}

static void put_codings(struct out *o, unsigned set)
{
	bool first = true;

	for (size_t i = 0; i < N_CODINGS; i++) {
		if (!(set & codings[i].bit))
			continue;
		if (!first)
			put_char(o, ',');
		put(o, codings[i].name);
		set &= ~codings[i].bit;
		first = false;
	}
	if (set & ANY)
		put(o, SPAN(",*"));
}

/* In lower case and without white space, but for quoted strings. */
static void put_squeezed(struct out *o, struct span s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '"')
			quoted = !quoted;
		if (quoted && c == '\\' && i + 1 < s.n) {
			put_char(o, c);
			put_char(o, s.p[++i]);
		} else if (quoted || (c != ' ' && c != '\t')) {
			put_char(o, !quoted && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
		}
	}
}

/* False when the request does not have the field. */
static bool put_value(struct out *o, const struct hdrs *request, struct span name, enum hdr_id id)
{
	bool squeeze = id == HDR_ACCEPT || id == HDR_ACCEPT_ENCODING, first = true;
	const struct hdr *f;
	unsigned at = 0;

	if (id == HDR_ACCEPT_ENCODING && hdr_has(request, id)) {
		unsigned set = accepted_codings(request);

		if (!(set & UNKNOWN)) {
			put_codings(o, set);
			return true;
		}
	}
	while ((f = next_field(request, name, id, &at)) != NULL) {
		if (!first)
			put_char(o, ',');
		if (squeeze)
			put_squeezed(o, f->value);
		else
			put(o, f->value);
		first = false;
	}
	return !first;
}

bool vary_value(const struct hdrs *request, struct span name, struct buf *b)
{
	struct out o = {.buf = b};

	return put_value(&o, request, name, hdr_id(name));
}

/* "name:value\n", or "name\n" for a field that is absent: names hold no ':', and values no line feed. */
void vary_hash(const struct vary *v, const struct hdrs *request, struct sha256 *h)
{
	struct out o = {.digest = h};

	CHECK_THAT(!v->star);
	for (unsigned i = 0; i < v->n; i++) {
		for (size_t k = 0; k < v->v[i].name.n; k++)
			put_char(&o, (char)lower(v->v[i].name.p[k]));
		if (next_field(request, v->v[i].name, v->v[i].id, &(unsigned){0})) {
			put_char(&o, ':');
			put_value(&o, request, v->v[i].name, v->v[i].id);
		}
		put_char(&o, '\n');
	}
	flush(&o);
}
