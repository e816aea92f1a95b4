#include "proto/storeid.h"

#include <arpa/inet.h>

#include "node/base/check.h"

/* unreserved (RFC 3986 §2.3), plus '+' for apt: decoded when percent-encoded. */
#define DECODE 1
#define HEX 2
#define ALNUM 4

static const uint8_t classes[256] = {
	['-'] = DECODE,
	['.'] = DECODE,
	['_'] = DECODE,
	['~'] = DECODE,
	['+'] = DECODE,
	['0' ... '9'] = DECODE | HEX | ALNUM,
	['a' ... 'f'] = DECODE | HEX | ALNUM,
	['g' ... 'z'] = DECODE | ALNUM,
	['A' ... 'F'] = DECODE | HEX | ALNUM,
	['G' ... 'Z'] = DECODE | ALNUM,
};

static inline bool is(char c, unsigned class)
{
	return (classes[(uint8_t)c] & class) != 0;
}

static inline unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static inline char upper_hex(char c)
{
	return c >= 'a' ? (char)(c - 'a' + 'A') : c;
}

static inline bool is_triplet(struct span s, size_t at)
{
	return s.n - at >= 3 && s.p[at] == '%' && is(s.p[at + 1], HEX) && is(s.p[at + 2], HEX);
}

static inline char triplet_char(const char *p)
{
	return (char)(hex_value(p[1]) << 4 | hex_value(p[2]));
}

/* The text that is written, in memory that is known to be large enough. */
struct pen {
	char *start, *at;
};

static void write_lower(struct pen *pen, struct span s)
{
	char *out = pen->at;

	for (size_t i = 0; i < s.n; i++)
		out[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
	pen->at += s.n;
}

static void write_span(struct pen *pen, struct span s)
{
	if (s.n)
		memcpy(pen->at, s.p, s.n);
	pen->at += s.n;
}

static void write_ipv6(struct pen *pen, struct span host)
{
	char in[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN];
	struct in6_addr address;

	CHECK_THAT(host.n < sizeof(in));
	memcpy(in, host.p, host.n);
	in[host.n] = '\0';
	CHECK_THAT(inet_pton(AF_INET6, in, &address) == 1 && inet_ntop(AF_INET6, &address, out, sizeof(out)));
	write_span(pen, SPAN("["));
	write_span(pen, span_str(out));
	write_span(pen, SPAN("]"));
}

static void write_port(struct pen *pen, unsigned port)
{
	char digits[5];
	size_t at = sizeof(digits);

	for (; port; port /= 10)
		digits[--at] = (char)('0' + port % 10);
	*pen->at++ = ':';
	write_span(pen, span_of(digits + at, sizeof(digits) - at));
}

static void write_origin(struct pen *pen, const struct url *url)
{
	write_span(pen, url->https ? SPAN("https://") : SPAN("http://"));
	if (url->is_ipv6)
		write_ipv6(pen, url->host);
	else
		write_lower(pen, url->host);
	if (url->port != url_default_port(url->https))
		write_port(pen, url->port);
}

static void write_triplet(struct pen *pen, const char *p)
{
	char c = triplet_char(p);

	if (is(c, DECODE)) {
		*pen->at++ = c;
		return;
	}
	*pen->at++ = '%';
	*pen->at++ = upper_hex(p[1]);
	*pen->at++ = upper_hex(p[2]);
}

/* False when a '%' begins no triplet: what was written is to be thrown away. */
static bool write_decoded(struct pen *pen, struct span s)
{
	while (s.n) {
		size_t plain = span_find(s, '%');

		write_span(pen, span_upto(s, plain));
		s = span_from(s, plain);
		if (!s.n)
			break;
		if (!is_triplet(s, 0))
			return false;
		write_triplet(pen, s.p);
		s = span_from(s, 3);
	}
	return true;
}

/* "@scope%2F" or "%40scope%2F" at the start of s: how long it is, and where in it the scope starts; 0 when there is
 * none. */
static size_t scope_at(struct span s, size_t *start)
{
	size_t end;

	*start = s.p[0] == '@' ? 1 : span_starts(s, SPAN("%40")) ? 3 : 0;
	end = *start;
	while (end < s.n && is(s.p[end], DECODE) && s.p[end] != '+')
		end++;
	return *start && end > *start && span_starts(span_from(s, end), SPAN("%2F")) ? end + 3 : 0;
}

/* Scoped npm names, in place. */
static void fold_scopes(struct pen *pen, char *path)
{
	const char *in = path, *end = pen->at;
	char *out = path;

	while (in < end) {
		size_t start, n = 0;

		if (out > path && out[-1] == '/')
			n = scope_at(span_of(in, (size_t)(end - in)), &start);
		if (n) {
			*out++ = '@';
			memmove(out, in + start, n - start - 3);
			out += n - start - 3;
			*out++ = '/';
			in += n;
		} else {
			*out++ = *in++;
		}
	}
	pen->at = out;
}

static bool has_dot_segment(struct span s)
{
	const char *end = s.p + s.n, *dot = s.p;

	while ((dot = memchr(dot, '.', (size_t)(end - dot))) != NULL) {
		if (dot > s.p && dot[-1] == '/')
			return true;
		dot++;
	}
	return false;
}

/* RFC 3986 §5.2.4 in place; the path starts with '/'. */
static void remove_dot_segments(struct pen *pen, char *path)
{
	const char *in = path, *end = pen->at;
	char *out = path;

	while (in < end) {
		const char *next = memchr(in + 1, '/', (size_t)(end - in - 1));
		struct span segment = span_of(in + 1, (size_t)((next ? next : end) - in - 1));
		bool up = span_eq(segment, SPAN("..")), dot = up || span_eq(segment, SPAN("."));

		if (up)
			while (out > path && *--out != '/')
				;
		if (!dot) {
			memmove(out, in, segment.n + 1);
			out += segment.n + 1;
		} else if (!next) {
			*out++ = '/';
		}
		in += segment.n + 1;
	}
	pen->at = out;
}

static void write_path(struct pen *pen, struct span s)
{
	char *path = pen->at;

	if (!memchr(s.p, '%', s.n)) {
		write_span(pen, s);
	} else if (write_decoded(pen, s)) {
		fold_scopes(pen, path);
	} else {
		pen->at = path;
		write_span(pen, s);
		return;
	}
	if (has_dot_segment(span_of(path, (size_t)(pen->at - path))))
		remove_dot_segments(pen, path);
}

/* Hex digits only, up to a '/'. */
static bool hex_segment(struct span s, size_t at, size_t digits)
{
	if (at > s.n || s.n - at <= digits || s.p[at + digits] != '/')
		return false;
	for (size_t i = 0; i < digits; i++)
		if (!is(s.p[at + i], HEX))
			return false;
	return true;
}

/* "/xx/xx/<60>/" with the first '/' at s[at]. */
static bool split_digest(struct span s, size_t at)
{
	return hex_segment(s, at + 1, 2) && hex_segment(s, at + 4, 2) && hex_segment(s, at + 7, 60);
}

static bool has_digest(struct span path)
{
	size_t run = 0; /* of letters and digits */
	bool hex = true;

	for (size_t i = 0; i <= path.n; i++) {
		if (i < path.n && is(path.p[i], ALNUM)) {
			hex = hex && is(path.p[i], HEX);
			run++;
			continue;
		}
		if (hex && (run == 64 || run == 96 || run == 128))
			return true;
		if (i < path.n && path.p[i] == '/' && split_digest(path, i))
			return true;
		run = 0;
		hex = true;
	}
	return false;
}

/* What signed storage puts into a query: bits that say which schemes are at work, and whose parameter one is. */
enum {
	AMZ = 1 << 0,
	GOOG = 1 << 1,
	SAS = 1 << 2,
	LEGACY = 1 << 3, /* Signature and Expires */
	JWT = 1 << 4,
	TOKEN = 1 << 5,
};

struct parameter {
	const char *name;
	unsigned scheme;
	unsigned proves; /* which half of the proof it gives: 1, 2, or 3 when it is the whole */
};

static const struct parameter parameters[] = {
	{"x-amz-signature", AMZ, 3},
	{"x-goog-signature", GOOG, 3},
	{"sig", SAS, 1},
	{"se", SAS, 2},
	{"sv", SAS, 0},
	{"ss", SAS, 0},
	{"sr", SAS, 0},
	{"srt", SAS, 0},
	{"sp", SAS, 0},
	{"st", SAS, 0},
	{"spr", SAS, 0},
	{"sip", SAS, 0},
	{"si", SAS, 0},
	{"skoid", SAS, 0},
	{"sktid", SAS, 0},
	{"skt", SAS, 0},
	{"ske", SAS, 0},
	{"sks", SAS, 0},
	{"skv", SAS, 0},
	{"signature", LEGACY, 1},
	{"expires", LEGACY, 2},
	{"awsaccesskeyid", LEGACY, 0},
	{"googleaccessid", LEGACY, 0},
	{"key-pair-id", LEGACY, 0},
	{"policy", LEGACY, 0},
	{"jwt", JWT, 3},
	{"token", TOKEN, 1},
	{"expires", TOKEN, 2},
};

#define N_PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static struct span parameter_name(struct span parameter)
{
	return span_upto(parameter, span_find(parameter, '='));
}

/* Which schemes the query holds a whole proof of. */
static unsigned signing_schemes(struct span query)
{
	struct span rest = query, one;
	unsigned halves[2] = {0, 0};

	while (span_cut(&rest, '&', &one)) {
		struct span name = parameter_name(one);

		for (size_t i = 0; i < N_PARAMETERS; i++) {
			if (!span_eq_icase(name, span_str(parameters[i].name)))
				continue;
			halves[0] |= parameters[i].proves & 1 ? parameters[i].scheme : 0;
			halves[1] |= parameters[i].proves & 2 ? parameters[i].scheme : 0;
		}
	}
	return halves[0] & halves[1];
}

static bool belongs_to(struct span name, unsigned schemes)
{
	if ((schemes & AMZ) && span_starts_icase(name, SPAN("x-amz-")))
		return true;
	if ((schemes & GOOG) && span_starts_icase(name, SPAN("x-goog-")))
		return true;
	for (size_t i = 0; i < N_PARAMETERS; i++)
		if ((parameters[i].scheme & schemes) && span_eq_icase(name, span_str(parameters[i].name)))
			return true;
	return false;
}

/* The query without the parameters of these schemes; nothing, not even '?', when none is left. */
static void write_unsigned_query(struct pen *pen, struct span query, unsigned schemes)
{
	struct span one;
	char mark = '?';

	while (span_cut(&query, '&', &one)) {
		if (belongs_to(parameter_name(one), schemes))
			continue;
		*pen->at++ = mark;
		write_span(pen, one);
		mark = '&';
	}
}

static void write_query(struct pen *pen, const struct url *url, struct span path, struct storeid *out)
{
	char *mark = pen->at;
	unsigned schemes = 0;

	out->query = SPAN_NONE;
	out->signature_dropped = false;
	if (!url->query.p)
		return;
	if (url->query.n && has_digest(path))
		schemes = signing_schemes(url->query);
	out->signature_dropped = schemes != 0;
	if (schemes)
		write_unsigned_query(pen, url->query, schemes);
	else {
		*pen->at++ = '?';
		write_span(pen, url->query);
	}
	if (pen->at > mark)
		out->query = span_of(mark + 1, (size_t)(pen->at - mark - 1));
}

void storeid_format(struct buf *b, const struct url *url, struct storeid *out)
{
	struct pen pen = {b->p + b->n, b->p + b->n};
	char *path;

	if (STOREID_BYTES(url->host.n + url->path_query.n) > b->cap - b->n) {
		b->full = true;
		return;
	}
	write_origin(&pen, url);
	path = pen.at;
	write_path(&pen, url->path);
	out->path = span_of(path, (size_t)(pen.at - path));
	write_query(&pen, url, out->path, out);
	out->text = span_of(pen.start, (size_t)(pen.at - pen.start));
	b->n += out->text.n;
}
