/* http1_parse: the head of an HTTP/1 message, strictly as RFC 9112 has it.
 *
 * Pure and incremental: the caller keeps the bytes that came so far in one piece and calls again when there are more;
 * `scanned` (0 at first; 0 again after HTTP1_DONE) saves looking at the same bytes twice. Spans in the result borrow from
 * those bytes. How the bytes were cut into pieces does not change the result.
 *
 * Strict on both sides, because what two servers read differently is what smuggles requests: no bare CR or LF, no
 * obs-fold, no white space before the colon or around the name, no NUL, VT, FF or other control character in a value, one
 * Content-Length of digits only (and below 2^63), never with Transfer-Encoding, "chunked" as the only transfer coding and
 * only in HTTP/1.1, no body with CONNECT, exactly one SP between the parts of the first line, a version spelled HTTP/1.0
 * or HTTP/1.1. One CRLF before a request line is skipped (RFC 9112 §2.2). Bytes of 0x80 and above may stand in values and
 * phrases; in a target they are left to url.h. Connection has room for 1 KiB of options (else BAD_FIELD).
 *
 * Bytes that cannot begin an HTTP message (a TLS record, SSH) are NOT_HTTP as soon as they are seen; other faults of a
 * request line at the first wrong byte, those of a field when its line is whole. */
#ifndef PROTO_HTTP1_PARSE_H
#define PROTO_HTTP1_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/reason.h"
#include "node/base/span.h"
#include "proto/hdr.h"

enum http1_parse {
	HTTP1_MORE, /* no whole head yet */
	HTTP1_DONE,
	HTTP1_BAD, /* *why says what is wrong; nothing of this link can be believed any more */
};

enum http1_method {
	METHOD_OTHER, /* any other token: passed on, never cached */
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_DELETE,
	METHOD_PATCH,
	METHOD_OPTIONS,
	METHOD_TRACE,
	METHOD_CONNECT,
	METHOD_PURGE,
};

enum http1_body {
	HTTP1_BODY_NONE,
	HTTP1_BODY_LENGTH,  /* `length` bytes; may be 0 */
	HTTP1_BODY_CHUNKED, /* see chunked.h */
	HTTP1_BODY_CLOSE,   /* responses only: until the end of the connection */
};

struct http1_request {
	struct span method_name;
	struct span target; /* as sent: absolute-form, origin-form, authority-form or "*" */
	enum http1_method method;
	int minor;       /* 0 or 1 */
	bool keep_alive; /* what version and Connection (or, from old clients, Proxy-Connection) ask for */
	bool expect_continue;
	bool upgrade; /* Upgrade is given and Connection names it */
	enum http1_body body;
	uint64_t length;
	size_t head_bytes; /* first line, fields, empty line, and a CRLF skipped in front */
	struct hdrs fields;
};

struct http1_response {
	int status; /* 100 to 599 */
	int minor;
	struct span phrase;
	bool keep_alive;
	enum http1_body body;
	uint64_t length;   /* for HTTP1_BODY_LENGTH; for an answer to HEAD, or a 304, what Content-Length said */
	bool length_known; /* a Content-Length was there, even if the answer has no body */
	size_t head_bytes;
	struct hdrs fields;
};

/* A head larger than max_bytes is HTTP1_BAD with HEAD_TOO_LARGE, found before more than that is kept; a target longer than
 * 8 KiB (or max_bytes) is URL_TOO_LONG. *why is set on HTTP1_BAD only. An Expect other than 100-continue is BAD_EXPECT; a
 * transfer coding other than exactly "chunked" is BAD_CODING. Host is not looked at here (url.h and serve/ do). */
enum http1_parse http1_parse_request(struct span in, size_t *scanned, size_t max_bytes, struct http1_request *out,
				     enum reason *why);

/* `to` is the method that is answered: it decides whether there is a body (RFC 9112 §6.3). Faults are BAD_STATUS_LINE,
 * BAD_RESPONSE or RESPONSE_HEAD_TOO_LARGE. A 101 and a 2xx to CONNECT have HTTP1_BODY_NONE. Transfer-Encoding in an
 * HTTP/1.0 answer is BAD_RESPONSE; so is Transfer-Encoding in a 1xx or 204. */
enum http1_parse http1_parse_response(struct span in, size_t *scanned, size_t max_bytes, enum http1_method to,
				      struct http1_response *out, enum reason *why);

/* The fields behind the last chunk (RFC 9112 §7.1.2): same rules, ends with the empty line. Content-Length and
 * Transfer-Encoding are BAD_FIELD here. *bytes includes the empty line. */
enum http1_parse http1_parse_trailers(struct span in, size_t *scanned, size_t max_bytes, struct hdrs *out,
				      size_t *bytes, enum reason *why);

enum http1_method http1_method(struct span name);   /* case matters (RFC 9110 §9.1) */
bool http1_method_is_safe(enum http1_method);       /* GET, HEAD, OPTIONS, TRACE */
bool http1_method_is_idempotent(enum http1_method); /* the safe ones, PUT, DELETE */

/* 1 to n characters of RFC 9110's tchar. */
bool http1_is_token(struct span);

#endif
