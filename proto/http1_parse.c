/* A first line is judged byte by byte, so that what is not HTTP is refused at once; it is looked at again from its start
 * until it is whole, which its bounds keep cheap. A field line is judged when its LF is there, never before: so the result
 * does not depend on how the bytes were cut into pieces, and `scanned` can say how far LFs have been looked for.
 *
 * A head that comes in one piece (nearly all do) is parsed in one pass. One that comes in pieces is judged line by line,
 * without keeping anything, and parsed in one pass when its empty line is there. */
#include "proto/http1_parse.h"

#include "node/base/check.h"
#include "proto/chars.h"

#define MAX_METHOD_BYTES 64
#define MAX_TARGET_BYTES 8192
#define MAX_PHRASE_BYTES 1024
/* Connection is gone through for every field that is passed on; this keeps the product of both small. */
#define MAX_CONNECTION_BYTES 1024

static const struct span chunked = {"chunked", 7};

/* What the start of some bytes is. */
enum line {
	LINE_WHOLE,
	LINE_EMPTY,
	LINE_CUT, /* not all of it is there */
	LINE_BAD,
};

static enum line bad(enum reason what, enum reason *why)
{
	*why = what;
	return LINE_BAD;
}

/* ---- field lines ---- */

/* What is wrong when `at` holds a character that cannot stand there. */
static enum reason fault_at(const char *at, const char *end)
{
	if (*at == '\n')
		return REASON_BARE_CR_LF;
	if (*at == '\r' && end - at > 1 && at[1] != '\n')
		return REASON_BARE_CR_LF;
	return REASON_BAD_FIELD;
}

/* A faulty line that is not whole is not judged yet. */
static enum line bad_field(enum reason what, const char *at, const char *end, enum reason *why)
{
	if (!memchr(at, '\n', (size_t)(end - at)))
		return LINE_CUT;
	return bad(what, why);
}

static enum line nameless_line(const char *p, const char *end, const char **next, enum reason *why)
{
	if (*p == ' ' || *p == '\t')
		return bad_field(REASON_BAD_FOLD, p, end, why);
	if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
		*next = p + 2;
		return LINE_EMPTY;
	}
	return bad_field(fault_at(p, end), p, end, why);
}

/* The line at p. On LINE_WHOLE *f is filled (but for its id); *next is where the next line begins. */
static inline enum line field_line(const char *p, const char *end, struct hdr *f, const char **next, enum reason *why)
{
	const char *colon = chars_token_end(p, end), *value, *stop;

	if (colon == end)
		return LINE_CUT;
	if (colon == p)
		return nameless_line(p, end, next, why);
	if (*colon != ':')
		return bad_field(fault_at(colon, end), colon, end, why);
	value = colon + 1;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	stop = chars_text_end(value, end);
	if (stop == end)
		return LINE_CUT;
	if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
		return bad_field(fault_at(stop, end), stop, end, why);
	*next = stop + 2;
	while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	f->name = span_of(p, (size_t)(colon - p));
	f->value = span_of(value, (size_t)(stop - value));
	return LINE_WHOLE;
}

/* The lines from p on, up to the empty one; *next is behind it. */
static enum line judge_fields(const char *p, const char *end, const char **next, enum reason *why)
{
	enum line line;
	struct hdr f;

	while ((line = field_line(p, end, &f, next, why)) == LINE_WHOLE)
		p = *next;
	return line;
}

/* The same, into a table. That there are too many is said last, as judge_fields cannot know it. */
static enum line store_fields(const char *p, const char *end, struct hdrs *h, const char **next, enum reason *why)
{
	enum line line;

	h->n = 0;
	h->seen = 0;
	while (h->n < HDR_MAX_FIELDS) {
		struct hdr *f = &h->v[h->n];

		line = field_line(p, end, f, next, why);
		if (line != LINE_WHOLE)
			return line;
		f->id = hdr_id(f->name);
		h->seen |= 1ull << f->id;
		h->n++;
		p = *next;
	}
	line = judge_fields(p, end, next, why);
	if (line == LINE_EMPTY && *next != p + 2)
		return bad(REASON_TOO_MANY_FIELDS, why);
	return line;
}

static const char *line_start(const char *begin, const char *p)
{
	while (p > begin && p[-1] != '\n')
		p--;
	return p;
}

/* The fields that begin at `from`, of which an earlier call has seen *scanned bytes if that is not 0. */
static enum line parse_fields(struct span s, size_t from, size_t *scanned, struct hdrs *h, size_t *head_bytes,
			      enum reason *why)
{
	const char *end = s.p + s.n, *next = s.p;
	enum line line = LINE_EMPTY;

	if (*scanned) {
		const char *begin = s.p + *scanned;

		line = LINE_CUT;
		if (memchr(begin, '\n', (size_t)(end - begin)))
			line = judge_fields(line_start(s.p + from, begin), end, &next, why);
	}
	if (line == LINE_EMPTY)
		line = store_fields(s.p + from, end, h, &next, why);
	*scanned = line == LINE_CUT ? s.n : 0;
	if (line == LINE_EMPTY)
		*head_bytes = (size_t)(next - s.p);
	return line;
}

/* ---- what the fields say about the body and the link ---- */

static enum reason read_length(const struct hdrs *h, uint64_t *length)
{
	if (hdr_count(h, HDR_CONTENT_LENGTH) != 1 || span_to_u64(hdr_value(h, HDR_CONTENT_LENGTH), length) < 0)
		return REASON_BAD_LENGTH;
	return *length > INT64_MAX ? REASON_BAD_LENGTH : REASON_NONE; /* no signed number anywhere overflows by it */
}

static enum reason read_coding(const struct hdrs *h, int minor)
{
	if (minor < 1 || hdr_count(h, HDR_TRANSFER_ENCODING) != 1)
		return REASON_BAD_CODING;
	return span_eq_icase(hdr_value(h, HDR_TRANSFER_ENCODING), chunked) ? REASON_NONE : REASON_BAD_CODING;
}

/* *body is NONE when neither field is there. */
static enum reason read_framing(const struct hdrs *h, int minor, enum http1_body *body, uint64_t *length)
{
	bool has_length = hdr_has(h, HDR_CONTENT_LENGTH), has_coding = hdr_has(h, HDR_TRANSFER_ENCODING);

	*body = HTTP1_BODY_NONE;
	*length = 0;
	if (has_length && has_coding)
		return REASON_LENGTH_AND_CHUNKED;
	if (has_coding) {
		*body = HTTP1_BODY_CHUNKED;
		return read_coding(h, minor);
	}
	if (has_length) {
		*body = HTTP1_BODY_LENGTH;
		return read_length(h, length);
	}
	return REASON_NONE;
}

struct options {
	bool close, keep_alive, upgrade;
};

static void read_options(const struct hdrs *h, enum hdr_id id, struct options *o)
{
	struct hdr_list it = {0};

	while (hdr_next(h, id, &it)) {
		o->close |= span_eq_icase(it.member, SPAN("close"));
		o->keep_alive |= span_eq_icase(it.member, SPAN("keep-alive"));
		o->upgrade |= span_eq_icase(it.member, SPAN("upgrade"));
	}
}

static enum reason read_connection(const struct hdrs *h, struct options *o)
{
	size_t bytes = 0;

	if (!hdr_has(h, HDR_CONNECTION))
		return REASON_NONE;
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].id == HDR_CONNECTION)
			bytes += h->v[i].value.n;
	if (bytes > MAX_CONNECTION_BYTES)
		return REASON_BAD_FIELD;
	read_options(h, HDR_CONNECTION, o);
	return REASON_NONE;
}

static bool is_kept_alive(const struct options *o, int minor)
{
	return !o->close && (minor >= 1 || o->keep_alive);
}

/* ---- requests ---- */

/* The character behind the first word is not the SP that it should be. ASCII there is somebody's bad HTTP; control
 * characters and the like are another protocol (TLS, SOCKS, …). */
static enum reason fault_of_method(char c)
{
	if (c == '\n')
		return REASON_BARE_CR_LF;
	if (c == '\r' || (chars_is_text(c) && (unsigned char)c < 0x80))
		return REASON_BAD_REQUEST_LINE;
	return REASON_NOT_HTTP;
}

static enum line parse_method(const char *p, const char *end, struct span *method, const char **next, enum reason *why)
{
	const char *bound = end - p > MAX_METHOD_BYTES + 1 ? p + MAX_METHOD_BYTES + 1 : end;
	const char *stop = chars_token_end(p, bound);

	*method = span_of(p, (size_t)(stop - p));
	if (span_starts(*method, SPAN("SSH-"))) /* a token too, but its peer waits for an answer, not for a CRLF */
		return bad(REASON_NOT_HTTP, why);
	if (method->n > MAX_METHOD_BYTES)
		return bad(REASON_BAD_REQUEST_LINE, why);
	if (stop == end)
		return LINE_CUT;
	if (*stop != ' ' || !method->n)
		return bad(fault_of_method(*stop), why);
	*next = stop + 1;
	return LINE_WHOLE;
}

static enum line parse_target(const char *p, const char *end, struct span *target, const char **next, enum reason *why)
{
	const char *bound = end - p > MAX_TARGET_BYTES + 1 ? p + MAX_TARGET_BYTES + 1 : end;
	const char *stop = chars_target_end(p, bound);

	*target = span_of(p, (size_t)(stop - p));
	if (target->n > MAX_TARGET_BYTES)
		return bad(REASON_URL_TOO_LONG, why);
	if (stop == end)
		return LINE_CUT;
	if (*stop == '\n')
		return bad(REASON_BARE_CR_LF, why);
	if (*stop == '\r') {
		if (end - stop < 2)
			return LINE_CUT;
		/* a whole line without a version is HTTP/0.9 */
		return bad(stop[1] == '\n' ? REASON_BAD_REQUEST_LINE : REASON_BARE_CR_LF, why);
	}
	if (*stop != ' ' || !target->n)
		return bad(REASON_BAD_REQUEST_LINE, why);
	*next = stop + 1;
	return LINE_WHOLE;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum line parse_version(const char *p, const char *end, int *minor, const char **next, enum reason *why)
{
	static const char pattern[] = "HTTP/d.d\r\n", usual[] = "HTTP/1.1\r\n";
	const size_t n = sizeof(pattern) - 1;

	if ((size_t)(end - p) >= n && memcmp(p, usual, n) == 0) {
		*minor = 1;
		*next = p + n;
		return LINE_WHOLE;
	}
	for (size_t i = 0; i < n; i++) {
		if (p + i == end)
			return LINE_CUT;
		if (i >= 8 && p[i] != pattern[i] && (p[8] == '\r' || p[8] == '\n'))
			return bad(REASON_BARE_CR_LF, why);
		if (pattern[i] == 'd' ? !is_digit(p[i]) : p[i] != pattern[i])
			return bad(REASON_BAD_REQUEST_LINE, why);
		if (i == 7 && (p[5] != '1' || p[7] > '1'))
			return bad(REASON_BAD_VERSION, why);
	}
	*minor = p[7] - '0';
	*next = p + n;
	return LINE_WHOLE;
}

static enum line skip_empty_line(const char *p, const char *end, const char **next, enum reason *why)
{
	*next = p;
	if (p == end)
		return LINE_CUT;
	if (*p != '\r')
		return LINE_WHOLE;
	if (end - p < 2)
		return LINE_CUT;
	if (p[1] != '\n')
		return bad(REASON_BARE_CR_LF, why);
	*next = p + 2;
	return LINE_WHOLE;
}

/* *in_target: the line is cut within or behind its target. */
static enum line request_line(struct span s, struct http1_request *r, const char **next, bool *in_target,
			      enum reason *why)
{
	const char *end = s.p + s.n;
	enum line line = skip_empty_line(s.p, end, next, why);

	*in_target = false;
	if (line == LINE_WHOLE)
		line = parse_method(*next, end, &r->method_name, next, why);
	if (line != LINE_WHOLE)
		return line;
	*in_target = true;
	line = parse_target(*next, end, &r->target, next, why);
	if (line == LINE_WHOLE)
		line = parse_version(*next, end, &r->minor, next, why);
	return line;
}

/* Expect is a list, but only one expectation was ever defined (RFC 9110 §10.1.1); HTTP/1.0 does not have it. */
static enum reason read_expect(struct http1_request *r)
{
	struct hdr_list it = {0};

	r->expect_continue = false;
	while (hdr_next(&r->fields, HDR_EXPECT, &it)) {
		if (!span_eq_icase(it.member, SPAN("100-continue")))
			return REASON_BAD_EXPECT;
		r->expect_continue = r->minor >= 1;
	}
	return REASON_NONE;
}

static enum reason read_request_framing(struct http1_request *r)
{
	enum reason why = read_framing(&r->fields, r->minor, &r->body, &r->length);

	if (why || r->method != METHOD_CONNECT || r->body == HTTP1_BODY_NONE)
		return why;
	/* What follows CONNECT is the tunnel's (RFC 9110 §9.3.6); a body there is read so by one and so by another. */
	if (r->body == HTTP1_BODY_CHUNKED)
		return REASON_BAD_CODING;
	if (r->length)
		return REASON_BAD_LENGTH;
	r->body = HTTP1_BODY_NONE;
	return REASON_NONE;
}

static enum reason read_request_options(struct http1_request *r)
{
	struct options o = {false, false, false};
	enum reason why = read_connection(&r->fields, &o);

	if (why)
		return why;
	/* Upgrade from an HTTP/1.0 client must be ignored (RFC 9110 §7.8). */
	r->upgrade = o.upgrade && r->minor >= 1 && hdr_has(&r->fields, HDR_UPGRADE);
	if (!hdr_has(&r->fields, HDR_CONNECTION))
		read_options(&r->fields, HDR_PROXY_CONNECTION, &o);
	r->keep_alive = is_kept_alive(&o, r->minor);
	return REASON_NONE;
}

static enum reason read_request(struct http1_request *r)
{
	enum reason why;

	r->method = http1_method(r->method_name);
	why = read_request_framing(r);
	if (!why)
		why = read_request_options(r);
	if (!why)
		why = read_expect(r);
	return why;
}

static enum http1_parse finish(enum reason what, enum reason *why)
{
	if (!what)
		return HTTP1_DONE;
	*why = what;
	return HTTP1_BAD;
}

enum http1_parse http1_parse_request(struct span in, size_t *scanned, size_t max_bytes, struct http1_request *out,
				     enum reason *why)
{
	struct span s = span_upto(in, max_bytes);
	enum reason too_large = REASON_HEAD_TOO_LARGE;
	const char *next = s.p;
	bool in_target;
	enum line line;

	CHECK_THAT(*scanned <= s.n);
	if (!in.n)
		return HTTP1_MORE;
	line = request_line(s, out, &next, &in_target, why);
	if (line == LINE_WHOLE)
		line = parse_fields(s, (size_t)(next - s.p), scanned, &out->fields, &out->head_bytes, why);
	else if (in_target)
		too_large = REASON_URL_TOO_LONG;
	if (line == LINE_CUT)
		return in.n < max_bytes ? HTTP1_MORE : finish(too_large, why);
	return line == LINE_BAD ? HTTP1_BAD : finish(read_request(out), why);
}

/* ---- responses ---- */

/* The SP behind the status is part of the grammar even when no phrase follows, but many servers leave both out, and
 * nobody can read such a line in another way: accepted. */
static enum line parse_phrase(const char *p, const char *end, struct span *phrase, const char **next, enum reason *why)
{
	const char *bound = end - p > MAX_PHRASE_BYTES + 1 ? p + MAX_PHRASE_BYTES + 1 : end;
	const char *from = p < end && *p == ' ' ? p + 1 : p;
	const char *stop = from == p ? p : chars_text_end(from, bound);

	if (stop == end)
		return LINE_CUT;
	if (*stop != '\r')
		return bad(REASON_BAD_STATUS_LINE, why);
	if (end - stop < 2)
		return LINE_CUT;
	if (stop[1] != '\n')
		return bad(REASON_BAD_STATUS_LINE, why);
	*phrase = span_of(from, (size_t)(stop - from));
	*next = stop + 2;
	return LINE_WHOLE;
}

static enum line status_line(struct span s, struct http1_response *r, const char **next, enum reason *why)
{
	static const char lowest[] = "HTTP/1.0 100", highest[] = "HTTP/1.1 599";
	const size_t n = sizeof(lowest) - 1;

	for (size_t i = 0; i < n; i++) {
		if (i == s.n)
			return LINE_CUT;
		if (s.p[i] < lowest[i] || s.p[i] > highest[i])
			return bad(REASON_BAD_STATUS_LINE, why);
	}
	r->minor = s.p[7] - '0';
	r->status = (s.p[9] - '0') * 100 + (s.p[10] - '0') * 10 + (s.p[11] - '0');
	return parse_phrase(s.p + n, s.p + s.n, &r->phrase, next, why);
}

static bool is_tunnel(const struct http1_response *r, enum http1_method to)
{
	return to == METHOD_CONNECT && r->status >= 200 && r->status <= 299;
}

/* RFC 9112 §6.3, in its order. */
static enum reason read_response_framing(struct http1_response *r, enum http1_method to)
{
	bool informational = r->status < 200;
	enum reason why;

	r->body = HTTP1_BODY_NONE;
	r->length = 0;
	r->length_known = false;
	if (is_tunnel(r, to)) /* must not look at either field (RFC 9110 §9.3.6) */
		return REASON_NONE;
	why = read_framing(&r->fields, r->minor, &r->body, &r->length);
	if (why)
		return why;
	r->length_known = r->body == HTTP1_BODY_LENGTH;
	if (r->body == HTTP1_BODY_CHUNKED && (informational || r->status == 204))
		return REASON_BAD_CODING;
	if (informational || r->status == 204 || r->status == 304 || to == METHOD_HEAD)
		r->body = HTTP1_BODY_NONE;
	else if (r->body == HTTP1_BODY_NONE)
		r->body = HTTP1_BODY_CLOSE;
	return REASON_NONE;
}

static enum reason read_response(struct http1_response *r, enum http1_method to)
{
	struct options o = {false, false, false};
	enum reason why = read_response_framing(r, to);

	if (!why)
		why = read_connection(&r->fields, &o);
	r->keep_alive = is_kept_alive(&o, r->minor) && r->body != HTTP1_BODY_CLOSE;
	return why;
}

/* What is the client's fault in a request is the host's here, whatever it is exactly. */
static enum reason response_reason(enum reason what)
{
	switch (what) {
	case REASON_NONE:
	case REASON_BAD_STATUS_LINE:
		return what;
	case REASON_HEAD_TOO_LARGE:
	case REASON_TOO_MANY_FIELDS:
		return REASON_RESPONSE_HEAD_TOO_LARGE;
	default:
		return REASON_BAD_RESPONSE;
	}
}

enum http1_parse http1_parse_response(struct span in, size_t *scanned, size_t max_bytes, enum http1_method to,
				      struct http1_response *out, enum reason *why)
{
	struct span s = span_upto(in, max_bytes);
	enum reason what = REASON_NONE;
	const char *next = s.p;
	enum line line;

	CHECK_THAT(*scanned <= s.n);
	if (!in.n)
		return HTTP1_MORE;
	line = status_line(s, out, &next, &what);
	if (line == LINE_WHOLE)
		line = parse_fields(s, (size_t)(next - s.p), scanned, &out->fields, &out->head_bytes, &what);
	if (line == LINE_CUT) {
		if (in.n < max_bytes)
			return HTTP1_MORE;
		what = REASON_HEAD_TOO_LARGE;
	} else if (line != LINE_BAD) {
		what = read_response(out, to);
	}
	return finish(response_reason(what), why);
}

/* ---- trailers ---- */

/* A trailer that speaks of framing comes too late to be believed by anybody (RFC 9110 §6.5.1). */
static enum reason read_trailers(const struct hdrs *h)
{
	return hdr_has(h, HDR_CONTENT_LENGTH) || hdr_has(h, HDR_TRANSFER_ENCODING) ? REASON_BAD_FIELD : REASON_NONE;
}

enum http1_parse http1_parse_trailers(struct span in, size_t *scanned, size_t max_bytes, struct hdrs *out,
				      size_t *bytes, enum reason *why)
{
	struct span s = span_upto(in, max_bytes);
	enum line line;

	CHECK_THAT(*scanned <= s.n);
	if (!in.n)
		return HTTP1_MORE;
	line = parse_fields(s, 0, scanned, out, bytes, why);
	if (line == LINE_CUT)
		return in.n < max_bytes ? HTTP1_MORE : finish(REASON_HEAD_TOO_LARGE, why);
	return line == LINE_BAD ? HTTP1_BAD : finish(read_trailers(out), why);
}

/* ---- methods ---- */

static enum http1_method is_method(struct span name, const char *word, enum http1_method method)
{
	return memcmp(name.p, word, name.n) == 0 ? method : METHOD_OTHER;
}

enum http1_method http1_method(struct span name)
{
	switch (name.n) {
	case 3:
		return name.p[0] == 'G' ? is_method(name, "GET", METHOD_GET) : is_method(name, "PUT", METHOD_PUT);
	case 4:
		return name.p[0] == 'H' ? is_method(name, "HEAD", METHOD_HEAD) : is_method(name, "POST", METHOD_POST);
	case 5:
		if (name.p[0] == 'T')
			return is_method(name, "TRACE", METHOD_TRACE);
		return name.p[1] == 'A' ? is_method(name, "PATCH", METHOD_PATCH)
					: is_method(name, "PURGE", METHOD_PURGE);
	case 6:
		return is_method(name, "DELETE", METHOD_DELETE);
	case 7:
		return name.p[0] == 'C' ? is_method(name, "CONNECT", METHOD_CONNECT)
					: is_method(name, "OPTIONS", METHOD_OPTIONS);
	default:
		return METHOD_OTHER;
	}
}

bool http1_method_is_safe(enum http1_method m)
{
	return m == METHOD_GET || m == METHOD_HEAD || m == METHOD_OPTIONS || m == METHOD_TRACE;
}

bool http1_method_is_idempotent(enum http1_method m)
{
	return http1_method_is_safe(m) || m == METHOD_PUT || m == METHOD_DELETE;
}

bool http1_is_token(struct span s)
{
	return s.n && chars_token_end(s.p, s.p + s.n) == s.p + s.n;
}
