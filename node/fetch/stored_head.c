#include "node/fetch/stored_head.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "proto/http1_format.h"
#include "proto/httpdate.h"
#include "proto/vary.h"

#define BIT(id) (1ull << HDR_##id)
#define NOT_KEPT BIT(SET_COOKIE)
#define TOLD_ANEW (BIT(CONTENT_LENGTH) | BIT(AGE) | BIT(X_CACHE) | BIT(X_CACHE_LOOKUP))
/* Facts about the body that is kept; a 304 does not change them. */
#define OF_THE_BODY (BIT(CONTENT_ENCODING) | BIT(CONTENT_TYPE) | BIT(CONTENT_RANGE) | BIT(CONTENT_LENGTH) | BIT(VARY))

/* Where a head ends that 304s have added to. */
#define MOST_HEAD_BYTES ((size_t)160 * 1024)
#define DATE_LINE_BYTES (HTTPDATE_BYTES + 8)

/* ---- putting the text together ---- */

/* The spans that the parts of a head are made from. */
struct pieces {
	struct span fields, phrase, vary, url;
	bool digest_room;
};

static struct head *head_new(const struct pieces *p)
{
	size_t n = p->fields.n + p->phrase.n + p->vary.n + p->url.n;
	struct head *h = mem_zalloc(sizeof(*h) + n + (p->digest_room ? HEAD_DIGEST_BYTES : 0));
	struct buf b = buf_over(h->text, n);

	h->refs = 1;
	h->has_room = p->digest_room;
	buf_put(&b, p->fields);
	h->n = (uint32_t)b.n;
	h->phrase_n = (uint16_t)p->phrase.n;
	buf_put(&b, p->phrase);
	h->vary_n = (uint16_t)p->vary.n;
	buf_put(&b, p->vary);
	h->url_n = (uint16_t)p->url.n;
	buf_put(&b, p->url);
	CHECK_THAT(!b.full);
	return h;
}

/* The fields of a head, parsed again; they borrow from `copy`, which the caller frees. */
static char *parse_fields(const struct head *h, struct hdrs *out)
{
	char *copy = mem_alloc(h->n + 2);
	size_t scanned = 0, bytes;
	enum reason why;

	memcpy(copy, h->text, h->n);
	memcpy(copy + h->n, "\r\n", 2);
	CHECK_THAT(http1_parse_trailers(span_of(copy, h->n + 2), &scanned, h->n + 2, out, &bytes, &why) == HTTP1_DONE);
	return copy;
}

/* The value of the first field of this name, as http1_format_field has written it. */
static struct span value_in(struct span fields, struct span name)
{
	while (fields.n) {
		struct span line = span_upto(fields, span_find(fields, '\n'));

		if (line.n > name.n + 2 && line.p[name.n] == ':' && span_starts_icase(line, name))
			return span_upto(span_from(line, name.n + 2), line.n - name.n - 3);
		fields = span_from(fields, line.n + 1);
	}
	return SPAN_NONE;
}

static struct head_part part_of(const struct head *h, struct span s)
{
	return s.n ? (struct head_part){(uint32_t)(s.p - h->text), (uint32_t)s.n} : (struct head_part){0};
}

/* Where the fields that answers are checked against stand in the text. */
static void find_parts(struct head *h)
{
	struct span fields = span_of(h->text, h->n), type = value_in(fields, hdr_name(HDR_CONTENT_TYPE));
	struct span media = span_trim(span_upto(type, span_find(type, ';')));

	h->etag = part_of(h, value_in(fields, hdr_name(HDR_ETAG)));
	h->type = part_of(h, media);
	h->is_html = span_eq_icase(media, SPAN("text/html")) || span_eq_icase(media, SPAN("application/xhtml+xml"));
}

/* What formatting them takes at most, a Date that was not there included. */
static size_t text_bytes(const struct hdrs *fields)
{
	size_t n = DATE_LINE_BYTES;

	for (unsigned i = 0; i < fields->n; i++)
		n += fields->v[i].name.n + fields->v[i].value.n + 4;
	return n;
}

/* The time of receipt, where the origin gave none (RFC 9110 §6.6.1); unless the table is full, which has to be parsed again. */
static void put_date(struct buf *b, const struct hdrs *fields, wall_ms t)
{
	char date[HTTPDATE_BYTES];

	if (hdr_has(fields, HDR_DATE) || fields->n == HDR_MAX_FIELDS)
		return;
	httpdate_format(t, date);
	http1_format_field(b, SPAN("Date"), span_of(date, sizeof(date)));
}

/* ---- from a response ---- */

struct head *stored_head_make(const struct http1_response *r, const struct fresh_response *facts, struct span store_id,
			      bool stored, bool digest_room, mono_us received, wall_ms received_wall)
{
	size_t most = text_bytes(&r->fields);
	char *text = mem_alloc(most);
	struct buf b = buf_over(text, most);
	char vary_text[VARY_TEXT_BYTES];
	struct buf vary_buf = buf_over(vary_text, sizeof(vary_text));
	struct vary vary;
	struct head *h;

	http1_format_fields(&b, &r->fields, TOLD_ANEW | (stored ? NOT_KEPT : 0));
	put_date(&b, &r->fields, received_wall);
	CHECK_THAT(!b.full);
	vary_read(&r->fields, &vary);
	vary_format(&vary, &vary_buf);
	h = head_new(&(struct pieces){buf_span(&b), r->phrase, buf_span(&vary_buf), store_id, digest_room});
	free(text);
	h->status = (uint16_t)r->status;
	h->has_length = r->length_known;
	h->length = r->length;
	h->received = received;
	h->date = facts->date == HTTPDATE_NONE ? received_wall : facts->date;
	h->last_modified = facts->last_modified;
	fresh_terms(facts, &h->terms);
	find_parts(h);
	return h;
}

/* ---- from a stored head and a 304 ---- */

static void add_while_room(struct hdrs *out, const struct hdr *f, size_t *left)
{
	size_t bytes = f->name.n + f->value.n + 4;

	if (bytes > *left || hdr_add(out, f->name, f->value))
		return;
	*left -= bytes;
}

/* A 304 without a Date was made now, not when the old one was. */
static bool is_replaced(const struct hdrs *by, const struct hdr *f)
{
	if (f->id == HDR_OTHER)
		return hdr_find(by, f->name) != NULL;
	if (f->id == HDR_DATE)
		return true;
	return hdr_has(by, f->id) && !(OF_THE_BODY >> f->id & 1);
}

/* The 304's fields, then the old ones that it does not have, while there is room: else a head would grow with each 304 that brings
 * new names. */
static void merge(const struct hdrs *old, const struct hdrs *fresh, struct hdrs *out)
{
	size_t left = MOST_HEAD_BYTES - DATE_LINE_BYTES;

	for (unsigned i = 0; i < fresh->n; i++)
		if (!((OF_THE_BODY | NOT_KEPT) >> fresh->v[i].id & 1) && !hdr_is_hop_by_hop(fresh, &fresh->v[i]))
			add_while_room(out, &fresh->v[i], &left);
	for (unsigned i = 0; i < old->n; i++)
		if (!is_replaced(fresh, &old->v[i]))
			add_while_room(out, &old->v[i], &left);
}

static void copy_facts(struct head *to, const struct head *from)
{
	to->status = from->status;
	to->has_length = from->has_length;
	to->length = from->length;
	to->received = from->received;
	to->date = from->date;
	to->last_modified = from->last_modified;
	to->terms = from->terms;
	if (head_digest(from))
		head_set_digest(to, head_digest(from));
}

static struct pieces pieces_of(const struct head *h)
{
	return (struct pieces){span_of(h->text, h->n), head_phrase(h), head_vary(h), head_url(h), h->has_room};
}

struct head *stored_head_freshen(const struct head *old, const struct fresh_request *request,
				 const struct http1_response *not_modified, const struct path_facts *path,
				 wall_ms request_time, mono_us received, wall_ms received_wall,
				 enum fresh_store *allowed)
{
	struct hdrs *before = NEW(struct hdrs), *merged = NEW(struct hdrs);
	char *copy = parse_fields(old, before), *text;
	struct buf b;
	struct pieces pieces = pieces_of(old);
	struct fresh_response facts;
	enum fresh_why why;
	struct head *h;

	merge(before, &not_modified->fields, merged);
	fresh_read_response(old->status, merged, request_time, received_wall, path, &facts);
	facts.earned = old->terms.source == FRESH_WHY_IMMUTABLE;
	*allowed = fresh_may_store(request, &facts, &why);
	text = mem_alloc(text_bytes(merged));
	b = buf_over(text, text_bytes(merged));
	http1_format_fields(&b, merged, TOLD_ANEW | NOT_KEPT);
	put_date(&b, merged, received_wall);
	CHECK_THAT(!b.full);
	pieces.fields = buf_span(&b);
	h = head_new(&pieces);
	copy_facts(h, old);
	h->received = received;
	h->date = facts.date == HTTPDATE_NONE ? received_wall : facts.date;
	h->last_modified = facts.last_modified;
	fresh_terms(&facts, &h->terms);
	find_parts(h);
	free(copy);
	free(text);
	free(before);
	free(merged);
	return h;
}
