#include "proto/http1_format.h"

#include "node/base/check.h"
#include "proto/chars.h"

static const struct span version = {"HTTP/1.1", 8};
static const struct span crlf = {"\r\n", 2};

/* Nothing in s ends a line for anybody. */
static bool is_one_line(struct span s)
{
	const char *p = s.p, *end;

	if (!s.n)
		return true;
	end = s.p + s.n;
	while ((p = chars_text_end(p, end)) < end) {
		if (*p == '\r' || *p == '\n' || *p == '\0')
			return false;
		p++;
	}
	return true;
}

/* The pieces, all or nothing. */
static void put_all(struct buf *b, const struct span *pieces, int n)
{
	size_t bytes = 0;

	for (int i = 0; i < n; i++)
		bytes += pieces[i].n;
	if (bytes > b->cap - b->n) {
		b->full = true;
		return;
	}
	for (int i = 0; i < n; i++)
		buf_put(b, pieces[i]);
}

void http1_format_request_line(struct buf *b, struct span method, struct span target)
{
	struct span pieces[] = {method, SPAN(" "), target, SPAN(" "), version, crlf};

	CHECK_THAT(is_one_line(method) && is_one_line(target));
	put_all(b, pieces, 6);
}

void http1_format_status_line(struct buf *b, int status, struct span phrase)
{
	char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
	struct span pieces[] = {
		version, SPAN(" "), span_of(digits, 3), SPAN(" "), phrase.n ? phrase : http1_phrase(status), crlf};

	CHECK_THAT(status >= 100 && status <= 599 && is_one_line(phrase));
	put_all(b, pieces, 6);
}

/* Fields are most of what is written: one look at the room, and one at the finished line instead of at its parts. */
void http1_format_field(struct buf *b, struct span name, struct span value)
{
	size_t bytes = name.n + 2 + value.n + 2;
	char *line = b->p + b->n, *at = line;

	CHECK_THAT(name.n);
	if (bytes > b->cap - b->n) {
		b->full = true;
		return;
	}
	memcpy(at, name.p, name.n);
	at += name.n;
	memcpy(at, ": ", 2);
	at += 2;
	if (value.n)
		memcpy(at, value.p, value.n);
	at += value.n;
	CHECK_THAT(is_one_line(span_of(line, (size_t)(at - line))));
	memcpy(at, "\r\n", 2);
	b->n += bytes;
}

void http1_format_end(struct buf *b)
{
	buf_put(b, crlf);
}

void http1_format_fields(struct buf *b, const struct hdrs *h, uint64_t drop)
{
	uint64_t hop_by_hop = hdr_hop_by_hop_ids(h);
	bool named = hop_by_hop >> HDR_OTHER & 1;

	drop |= hop_by_hop & ~(1ull << HDR_OTHER);
	for (unsigned i = 0; i < h->n; i++) {
		const struct hdr *f = &h->v[i];

		if (drop >> f->id & 1)
			continue;
		if (f->id == HDR_OTHER && (hdr_is_internal(f) || (named && hdr_is_hop_by_hop(h, f))))
			continue;
		http1_format_field(b, f->name, f->value);
	}
}

static const char *phrase_of(int status)
{
	switch (status) {
#define X(code, phrase)                                                                                                \
	case code:                                                                                                     \
		return phrase;
		X(100, "Continue")
		X(101, "Switching Protocols")
		X(102, "Processing")
		X(103, "Early Hints")
		X(200, "OK")
		X(201, "Created")
		X(202, "Accepted")
		X(203, "Non-Authoritative Information")
		X(204, "No Content")
		X(205, "Reset Content")
		X(206, "Partial Content")
		X(207, "Multi-Status")
		X(208, "Already Reported")
		X(226, "IM Used")
		X(300, "Multiple Choices")
		X(301, "Moved Permanently")
		X(302, "Found")
		X(303, "See Other")
		X(304, "Not Modified")
		X(305, "Use Proxy")
		X(307, "Temporary Redirect")
		X(308, "Permanent Redirect")
		X(400, "Bad Request")
		X(401, "Unauthorized")
		X(402, "Payment Required")
		X(403, "Forbidden")
		X(404, "Not Found")
		X(405, "Method Not Allowed")
		X(406, "Not Acceptable")
		X(407, "Proxy Authentication Required")
		X(408, "Request Timeout")
		X(409, "Conflict")
		X(410, "Gone")
		X(411, "Length Required")
		X(412, "Precondition Failed")
		X(413, "Content Too Large")
		X(414, "URI Too Long")
		X(415, "Unsupported Media Type")
		X(416, "Range Not Satisfiable")
		X(417, "Expectation Failed")
		X(421, "Misdirected Request")
		X(422, "Unprocessable Content")
		X(423, "Locked")
		X(424, "Failed Dependency")
		X(425, "Too Early")
		X(426, "Upgrade Required")
		X(428, "Precondition Required")
		X(429, "Too Many Requests")
		X(431, "Request Header Fields Too Large")
		X(451, "Unavailable For Legal Reasons")
		X(500, "Internal Server Error")
		X(501, "Not Implemented")
		X(502, "Bad Gateway")
		X(503, "Service Unavailable")
		X(504, "Gateway Timeout")
		X(505, "HTTP Version Not Supported")
		X(506, "Variant Also Negotiates")
		X(507, "Insufficient Storage")
		X(508, "Loop Detected")
		X(511, "Network Authentication Required")
#undef X
	default:
		return "Unknown";
	}
}

struct span http1_phrase(int status)
{
	return span_str(phrase_of(status));
}
