#include "peer/peer_link.h"

#include "node/base/check.h"
#include "proto/http1_format.h"

#define BIT(id) (1ull << HDR_##id)
#define CREDENTIALS (BIT(AUTHORIZATION) | BIT(COOKIE))
#define CONDITIONS                                                                                                     \
	(BIT(IF_MATCH) | BIT(IF_NONE_MATCH) | BIT(IF_MODIFIED_SINCE) | BIT(IF_UNMODIFIED_SINCE) | BIT(IF_RANGE) |      \
	 BIT(RANGE))
#define OF_ONE_HOP (BIT(HOST) | BIT(CONTENT_LENGTH) | BIT(EXPECT) | BIT(FORWARDED) | BIT(VIA) | BIT(X_FORWARDED_FOR))
#define WAIT_MS_DEFAULT 100
#define WAIT_MS_MOST 60000

static const struct span objects = SPAN(PEER_LINK_OBJECTS);

/* ---- fields ---- */

enum found { FOUND_NONE, FOUND_ONE, FOUND_SEVERAL };

static enum found find_field(const struct hdrs *h, struct span name, struct span *value)
{
	enum found found = FOUND_NONE;

	*value = SPAN_NONE;
	if (!hdr_has(h, HDR_OTHER))
		return FOUND_NONE;
	for (unsigned i = 0; i < h->n; i++) {
		if (h->v[i].id != HDR_OTHER || !span_eq_icase(h->v[i].name, name))
			continue;
		if (found)
			return FOUND_SEVERAL;
		found = FOUND_ONE;
		*value = h->v[i].value;
	}
	return found;
}

/* A number up to `most`; *out is 0 when the field is not there. False: malformed, or given twice. */
static bool read_number(const struct hdrs *h, struct span name, uint64_t most, uint64_t *out, bool *there)
{
	struct span value;
	enum found found = find_field(h, name, &value);

	*out = 0;
	*there = found == FOUND_ONE;
	if (found == FOUND_NONE)
		return true;
	return found == FOUND_ONE && span_to_u64(value, out) == 0 && *out <= most;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly 64 digits, lower case. */
static bool read_hex(struct span s, uint8_t out[32])
{
	if (s.n != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int high = hex_digit(s.p[2 * i]), low = hex_digit(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* ---- the request ---- */

static void put_number(struct buf *b, const char *name, uint64_t v)
{
	buf_put_str(b, name);
	buf_put_str(b, ": ");
	buf_put_u64(b, v);
	buf_put_str(b, "\r\n");
}

void peer_link_format(struct buf *b, const struct peer_link_ask *ask)
{
	char target[sizeof(PEER_LINK_OBJECTS) + 2 * (size_t)KEY_BYTES];
	struct buf t = buf_over(target, sizeof(target));

	buf_put(&t, objects);
	buf_put_hex(&t, ask->key.b, KEY_BYTES);
	http1_format_request_line(b, ask->head_only ? SPAN("HEAD") : SPAN("GET"), buf_span(&t));
	http1_format_field(b, SPAN("Host"), ask->node);
	http1_format_field(b, SPAN("Pmc-Url"), ask->store_id);
	if (ask->order)
		put_number(b, "Pmc-Order", ask->order);
	if (ask->from)
		put_number(b, "Pmc-From", ask->from);
	if (ask->request)
		http1_format_fields(b, &ask->request->fields, CREDENTIALS | CONDITIONS | OF_ONE_HOP);
	http1_format_end(b);
}

bool peer_link_parse(const struct http1_request *r, struct peer_link_request *out)
{
	uint64_t order;
	bool there;

	if (r->method != METHOD_GET && r->method != METHOD_HEAD)
		return false;
	if (!span_starts(r->target, objects) || !read_hex(span_from(r->target, objects.n), out->key.b))
		return false;
	if (find_field(&r->fields, SPAN("Pmc-Url"), &out->store_id) != FOUND_ONE || !out->store_id.n)
		return false;
	if (!read_number(&r->fields, SPAN("Pmc-From"), INT64_MAX, &out->from, &there) ||
	    !read_number(&r->fields, SPAN("Pmc-Order"), UINT32_MAX, &order, &there))
		return false;
	out->order = (uint32_t)order;
	return true;
}

/* ---- the answer ---- */

bool peer_link_digest(const struct hdrs *h, uint8_t out[32])
{
	struct span value;

	return find_field(h, SPAN("Pmc-Digest"), &value) == FOUND_ONE && read_hex(value, out);
}

/* What a holder may say of its own refusal; the rest of the reasons is the asker's own to find. */
static enum peer_false read_why(const struct hdrs *h, enum peer_false otherwise)
{
	static const enum peer_false said[] = {PEER_FALSE_GONE, PEER_FALSE_STALE, PEER_FALSE_VARY, PEER_FALSE_BUSY};
	struct span value;

	if (find_field(h, SPAN("Pmc-Why"), &value) != FOUND_ONE)
		return otherwise;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		if (span_eq(value, span_str(peer_false_word(said[i]))))
			return said[i];
	return otherwise;
}

static enum peer_link_verdict refused(struct peer_link_reply *out, enum peer_false why)
{
	*out = (struct peer_link_reply){.why = why};
	return PEER_LINK_REFUSED;
}

static enum peer_link_verdict read_busy(const struct http1_response *r, struct peer_link_reply *out)
{
	uint64_t ms;
	bool there;

	refused(out, read_why(&r->fields, PEER_FALSE_BUSY));
	if (!read_number(&r->fields, SPAN("Retry-After-Ms"), INT64_MAX, &ms, &there) || !there)
		ms = WAIT_MS_DEFAULT;
	out->wait_ms = (uint32_t)(ms < WAIT_MS_MOST ? ms : WAIT_MS_MOST);
	return PEER_LINK_REFUSED;
}

static bool fits(const struct peer_link_ask *ask, const struct peer_link_reply *r)
{
	if (ask->head_only)
		return r->has_digest;
	if (r->from != ask->from || (r->has_length && r->length < r->from))
		return false;
	return !ask->order || r->order < ask->order;
}

static enum peer_link_verdict read_object(const struct http1_response *r, const struct peer_link_ask *ask,
					  struct peer_link_reply *out)
{
	const struct hdrs *h = &r->fields;
	struct span digest;
	uint64_t order;
	bool there;

	/* Any other framing may end early without a sign. */
	if (r->body != (ask->head_only ? HTTP1_BODY_NONE : HTTP1_BODY_CHUNKED))
		return refused(out, PEER_FALSE_BAD);
	*out = (struct peer_link_reply){0};
	if (!read_number(h, SPAN("Pmc-From"), INT64_MAX, &out->from, &there) ||
	    !read_number(h, SPAN("Pmc-Order"), UINT32_MAX, &order, &there) ||
	    !read_number(h, SPAN("Pmc-Length"), INT64_MAX, &out->length, &out->has_length))
		return refused(out, PEER_FALSE_BAD);
	out->order = (uint32_t)order;
	if (find_field(h, SPAN("Pmc-Digest"), &digest) != FOUND_NONE) {
		if (!peer_link_digest(h, out->digest))
			return refused(out, PEER_FALSE_BAD);
		out->has_digest = true;
	}
	return fits(ask, out) ? PEER_LINK_OBJECT : refused(out, PEER_FALSE_BAD);
}

enum peer_link_verdict peer_link_read(const struct http1_response *r, const struct peer_link_ask *ask,
				      struct peer_link_reply *out)
{
	switch (r->status) {
	case 200:
		return read_object(r, ask, out);
	case 404:
		return refused(out, read_why(&r->fields, PEER_FALSE_GONE));
	case 409: /* one that would have to wait for us, perhaps */
		return refused(out, read_why(&r->fields, PEER_FALSE_BUSY));
	case 412:
		return refused(out, PEER_FALSE_VARY);
	case 429:
		return read_busy(r, out);
	case 503:
		return refused(out, read_why(&r->fields, PEER_FALSE_GONE));
	default:
		return refused(out, PEER_FALSE_BAD);
	}
}
