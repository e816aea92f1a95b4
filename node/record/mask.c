#include "node/record/mask.h"

#include <stdint.h>

#define NAME_BYTES 64 /* of a parameter's name, decoded; of a longer one the end is looked at */

/* Sets of bytes, a bit each. */
#define MARK 1      /* what put_masked looks at: before userinfo, before a parameter */
#define AUTHORITY 2 /* ends an authority */
#define NAME 4      /* ends a parameter's name */
#define VALUE 8     /* ends a parameter's value in a URL */
#define WORD 16     /* ends it in a text */

static const uint8_t sets[256] = {
	[':'] = MARK,
	['?'] = MARK | AUTHORITY | NAME,
	['#'] = MARK | AUTHORITY | NAME | VALUE | WORD,
	['&'] = MARK | NAME | VALUE | WORD,
	[';'] = MARK | NAME | VALUE | WORD,
	['='] = NAME,
	['/'] = AUTHORITY,
	['\\'] = AUTHORITY,
	[' '] = AUTHORITY | NAME | WORD,
	['\t'] = AUTHORITY | NAME | WORD,
	['"'] = AUTHORITY | NAME | WORD,
	['\''] = AUTHORITY | NAME | WORD,
	['<'] = AUTHORITY | NAME | WORD,
	['>'] = AUTHORITY | NAME | WORD,
	[','] = AUTHORITY | NAME | WORD,
};

bool mask_is_secret(struct span name)
{
	static const struct span ends[] = {
		SPAN("authorization"), SPAN("cookie"),  SPAN("cookie2"), SPAN("token"),      SPAN("signature"),
		SPAN("sig"),           SPAN("jwt"),     SPAN("hmac"),    SPAN("credential"), SPAN("secret"),
		SPAN("password"),      SPAN("passwd"),  SPAN("pwd"),     SPAN("api-key"),    SPAN("api_key"),
		SPAN("apikey"),        SPAN("auth"),    SPAN("hdnea"),   SPAN("hdnts"),      SPAN("otp"),
		SPAN("sessionid"),     SPAN("session"), SPAN("art-api"), SPAN("access_key"), SPAN("access-key"),
		SPAN("accesskey"),     SPAN("token__"), SPAN("ticket"),  SPAN("passphrase"),
	};

	if (span_eq_icase(name, SPAN("key")))
		return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (span_ends_icase(name, ends[i]))
			return true;
	return false;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last NAME_BYTES of the name, percent-decoded: what an origin would understand. */
static struct span decoded_name(struct span name, char out[NAME_BYTES])
{
	size_t n = 0;

	if (name.n > 3 * NAME_BYTES)
		name = span_from(name, name.n - 3 * NAME_BYTES);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (c == '%' && i + 2 < name.n && hex_value(name.p[i + 1]) >= 0 && hex_value(name.p[i + 2]) >= 0) {
			c = (char)(hex_value(name.p[i + 1]) * 16 + hex_value(name.p[i + 2]));
			i += 2;
		}
		if (n == NAME_BYTES)
			memmove(out, out + 1, --n);
		out[n++] = c;
	}
	return span_of(out, n);
}

/* Offset of the first byte of the set, or s.n. */
static inline size_t until(struct span s, uint8_t set)
{
	size_t n = 0;

	while (n < s.n && !(sets[(unsigned char)s.p[n]] & set))
		n++;
	return n;
}

/* Where the host begins in what follows "://": behind the last '@' before the path. */
static size_t userinfo_len(struct span s)
{
	size_t end = until(s, AUTHORITY), at = 0;

	for (size_t i = 0; i < end; i++)
		if (s.p[i] == '@')
			at = i + 1;
	return at;
}

/* At a separator: the length of "name=" behind it (spaces before the name included) when its value is to be hidden. */
static size_t secret_name_len(struct span s, uint8_t stops)
{
	size_t at = 0, n;
	char name[NAME_BYTES];

	while (at < s.n && s.p[at] == ' ')
		at++;
	n = until(span_from(s, at), NAME);
	if (at + n >= s.n || s.p[at + n] != '=' || !mask_is_secret(decoded_name(span_of(s.p + at, n), name)))
		return 0;
	n += at + 1;
	return until(span_from(s, n), stops) ? n : 0; /* nothing there to hide */
}

static void put_masked(struct buf *b, struct span s, uint8_t stops)
{
	while (s.n) {
		size_t n = until(s, MARK);

		buf_put(b, span_upto(s, n));
		s = span_from(s, n);
		if (span_starts(s, SPAN("://"))) {
			buf_put(b, SPAN("://"));
			s = span_from(s, 3);
			s = span_from(s, userinfo_len(s));
		} else if (s.n) {
			bool colon = s.p[0] == ':';

			buf_putc(b, s.p[0]);
			s = span_from(s, 1);
			n = colon ? 0 : secret_name_len(s, stops);
			if (!n)
				continue;
			buf_put(b, span_upto(s, n));
			buf_put(b, SPAN(MASK_TEXT));
			s = span_from(s, n);
			s = span_from(s, until(s, stops));
		}
	}
}

void mask_url(struct buf *b, struct span url, bool query)
{
	size_t query_at = span_find(url, '?'), fragment_at = span_find(url, '#');
	size_t end = query_at < fragment_at ? query_at : fragment_at;

	if (!query && end < url.n)
		url = span_upto(url, url.p[end] == '?' ? end + 1 : end);
	if (span_starts(url, SPAN("//"))) {
		buf_put(b, SPAN("//"));
		url = span_from(url, 2);
	}
	if (url.n && url.p[0] != '/') /* with a scheme there is no '@' before the first slash */
		url = span_from(url, userinfo_len(url));
	put_masked(b, url, VALUE);
}

void mask_text(struct buf *b, struct span text)
{
	put_masked(b, text, WORD);
}
