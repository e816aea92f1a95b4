#include "proto/hello.h"

#include "proto/url.h"

#define RECORD_HEADER 5
#define RECORD_HANDSHAKE 22
#define RECORD_MAX 16384 /* of a plain record (RFC 8446 §5.1) */
#define MESSAGE_HEADER 4
#define CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define EXTENSION_VERSIONS 43
#define TLS13 0x0304

/* A place in the message, which lies in pieces behind the record headers. */
struct cursor {
	const uint8_t *p; /* next byte, in the record */
	size_t in_record; /* bytes of the record behind p */
	size_t left;      /* bytes of the part that is read: message, list, … */
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* Takes n bytes, copying them to `to` unless it is NULL. False when the part has not so many. */
static bool take(struct cursor *c, size_t n, uint8_t *to)
{
	if (n > c->left)
		return false;
	c->left -= n;
	while (n) {
		size_t piece;

		if (c->in_record == 0) { /* hello_scan has seen that the next record is there and not empty */
			c->in_record = get16(c->p + 3);
			c->p += RECORD_HEADER;
		}
		piece = n < c->in_record ? n : c->in_record;
		if (to) {
			memcpy(to, c->p, piece);
			to += piece;
		}
		c->p += piece;
		c->in_record -= piece;
		n -= piece;
	}
	return true;
}

/* A number of 1 to 3 bytes. */
static bool take_number(struct cursor *c, size_t bytes, size_t *out)
{
	uint8_t b[3];

	if (!take(c, bytes, b))
		return false;
	*out = 0;
	for (size_t i = 0; i < bytes; i++)
		*out = *out << 8 | b[i];
	return true;
}

/* A length of `bytes` bytes and so much behind it: *part reads that, c goes on behind it. */
static bool take_part(struct cursor *c, size_t bytes, struct cursor *part)
{
	size_t n;

	if (!take_number(c, bytes, &n) || n > c->left)
		return false;
	*part = *c;
	part->left = n;
	return take(c, n, NULL);
}

/* --- extensions --- */

/* The name that came, in `text`. An address is none (RFC 6066 §3), and is passed over. */
static bool set_name(struct hello *out, struct span text)
{
	struct url url;
	enum reason why;

	if (memchr(text.p, ':', text.n))
		return true;
	if (url_parse_authority(text, 443, &url, &why) != 0)
		return false;
	if (url.is_ip)
		return true;
	for (size_t i = 0; i < url.host.n; i++) {
		char c = url.host.p[i];

		out->name[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	out->name_bytes = url.host.n;
	return true;
}

static bool read_server_name(struct cursor *c, struct hello *out)
{
	uint8_t text[HELLO_MAX_NAME + 1]; /* there may be a dot at the end */
	struct cursor list, name;
	size_t type;

	if (!take_part(c, 2, &list) || c->left || list.left == 0)
		return false;
	while (list.left) {
		size_t n;

		if (!take_number(&list, 1, &type) || !take_part(&list, 2, &name) || name.left == 0)
			return false;
		n = name.left;
		if (type != 0) /* no other type was ever defined */
			continue;
		if (n > sizeof(text) || !take(&name, n, text) || out->name_bytes ||
		    !set_name(out, span_of((char *)text, n)))
			return false;
	}
	return true;
}

static bool read_protocol(struct cursor *name, struct hello *out)
{
	uint8_t text[255];
	size_t n = name->left;
	struct span protocol = {(char *)text, n};

	if (n == 0 || !take(name, n, text))
		return false;
	out->alpn_http11 = out->alpn_http11 || span_eq(protocol, SPAN("http/1.1"));
	out->alpn_h2 = out->alpn_h2 || span_eq(protocol, SPAN("h2"));
	return true;
}

static bool read_alpn(struct cursor *c, struct hello *out)
{
	struct cursor list, copy, name;

	if (!take_part(c, 2, &list) || c->left || list.left == 0)
		return false;
	copy = list;
	while (list.left)
		if (!take_part(&list, 1, &name) || !read_protocol(&name, out))
			return false;
	out->has_alpn = true;
	if (copy.left <= HELLO_MAX_ALPN) {
		out->alpn_bytes = copy.left;
		take(&copy, copy.left, out->alpn);
	}
	return true;
}

static bool read_versions(struct cursor *c, struct hello *out)
{
	struct cursor list;
	size_t version;

	if (!take_part(c, 1, &list) || c->left || list.left == 0)
		return false;
	while (list.left) {
		if (!take_number(&list, 2, &version))
			return false;
		out->tls13 = out->tls13 || version == TLS13;
	}
	return true;
}

static bool read_extensions(struct cursor *c, struct hello *out)
{
	unsigned seen = 0;

	while (c->left) {
		bool (*read)(struct cursor *, struct hello *) = NULL;
		struct cursor extension;
		size_t type;

		if (!take_number(c, 2, &type) || !take_part(c, 2, &extension))
			return false;
		if (type == EXTENSION_SERVER_NAME)
			read = read_server_name;
		else if (type == EXTENSION_ALPN)
			read = read_alpn;
		else if (type == EXTENSION_VERSIONS)
			read = read_versions;
		if (!read)
			continue;
		if (seen & 1u << (type % 32) || !read(&extension, out)) /* none may come twice */
			return false;
		seen |= 1u << (type % 32);
	}
	return true;
}

/* legacy_version, random, session id, cipher suites, compression methods, extensions. */
static bool read_message(struct cursor *c, struct hello *out)
{
	struct cursor part;
	size_t type, n;

	memset(out, 0, sizeof(*out));
	if (!take_number(c, 1, &type) || type != CLIENT_HELLO || !take_number(c, 3, &n) || n != c->left)
		return false;
	if (!take(c, 2 + 32, NULL) || !take_part(c, 1, &part) || part.left > 32)
		return false;
	if (!take_part(c, 2, &part) || part.left == 0 || part.left % 2 || !take_part(c, 1, &part) || part.left == 0)
		return false;
	if (c->left == 0)
		return true; /* TLS 1.2 may go without extensions */
	return take_part(c, 2, &part) && c->left == 0 && read_extensions(&part, out);
}

/* --- records --- */

/* The type and the length of the message as soon as the first four bytes of the first record are there. */
static enum hello_result scan_message_header(const uint8_t *p, size_t n, struct hello_scan *scan)
{
	if (n >= 1 && p[0] != CLIENT_HELLO)
		return HELLO_BAD;
	if (n < MESSAGE_HEADER)
		return HELLO_MORE;
	scan->want = MESSAGE_HEADER + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
	return scan->want > HELLO_MAX_BYTES ? HELLO_BAD : HELLO_MORE;
}

/* One record at scan->record_at: DONE when it is whole, and passed over. */
static enum hello_result scan_record(const uint8_t *in, size_t n, struct hello_scan *scan)
{
	const uint8_t *r = in + scan->record_at;
	size_t here = n - scan->record_at, body;

	if (here >= 1 && r[0] != RECORD_HANDSHAKE)
		return scan->record_at ? HELLO_BAD : HELLO_NOT_TLS;
	if (here >= 2 && r[1] != 3)
		return HELLO_BAD;
	if (here < RECORD_HEADER)
		return HELLO_MORE;
	body = get16(r + 3);
	if (body == 0 || body > RECORD_MAX || scan->record_at + RECORD_HEADER + body > HELLO_MAX_BYTES)
		return HELLO_BAD;
	/* a first record too short for the message header is legal, but nobody sends it */
	if (scan->record_at == 0 && body < MESSAGE_HEADER)
		return HELLO_BAD;
	if (scan->record_at == 0 && scan->want == 0 &&
	    scan_message_header(r + RECORD_HEADER, here - RECORD_HEADER, scan) == HELLO_BAD)
		return HELLO_BAD;
	if (here < RECORD_HEADER + body)
		return HELLO_MORE;
	scan->have += body;
	scan->record_at += RECORD_HEADER + body;
	return HELLO_DONE;
}

enum hello_result hello_parse(struct span in, struct hello_scan *scan, struct hello *out)
{
	const uint8_t *p = (const uint8_t *)in.p;
	struct cursor c;

	do {
		enum hello_result result = scan_record(p, in.n, scan);

		if (result != HELLO_DONE)
			return result;
	} while (scan->have < scan->want);
	if (scan->have != scan->want) /* nothing may follow before the answer */
		return HELLO_BAD;
	c = (struct cursor){p + RECORD_HEADER, get16(p + 3), scan->want};
	return read_message(&c, out) ? HELLO_DONE : HELLO_BAD;
}
