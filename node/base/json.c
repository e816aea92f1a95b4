#include "node/base/json.h"

#include <stdbool.h>

/* Length of the UTF-8 sequence (RFC 3629) at the start of s, 0 when there is none. */
static size_t utf8_len(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t n;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* not overlong */
	if (p[0] == 0xed)
		high = 0x9f; /* no surrogates */
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xf4)
		high = 0x8f; /* not above U+10FFFF */
	if (s.n < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct buf *b, unsigned char c)
{
	static const char short_form[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	char two[2] = {'\\', (char)c};

	if (c != '"' && c != '\\') {
		two[1] = c < sizeof(short_form) ? short_form[c] : '\0';
		if (!two[1]) {
			buf_put(b, SPAN("\\u00"));
			buf_put_hex(b, &c, 1);
			return;
		}
	}
	buf_put(b, span_of(two, 2));
}

void json_put_string(struct buf *b, struct span s)
{
	buf_putc(b, '"');
	while (s.n) {
		size_t n = 0;

		while (n < s.n && is_plain((unsigned char)s.p[n]))
			n++;
		if (!n)
			n = utf8_len(s);
		if (n) {
			buf_put(b, span_upto(s, n));
		} else {
			put_escaped(b, (unsigned char)s.p[0]);
			n = 1;
		}
		s = span_from(s, n);
	}
	buf_putc(b, '"');
}

static void put_digits(struct buf *b, uint64_t v, unsigned width)
{
	char digits[20];

	for (unsigned i = width; i-- > 0; v /= 10)
		digits[i] = (char)('0' + v % 10);
	buf_put(b, span_of(digits, width));
}

/* Days since 1970 to a date of the Gregorian calendar. Counted from 1 March of year 0, so that the leap day is the last of
 * its year and months have the regular lengths 31 30 31 30 31 | 31 30 31 30 31 | 31 28. gmtime_r would take a lock. */
static void put_date(struct buf *b, uint64_t days)
{
	uint64_t z = days + 719468, era = z / 146097, in_era = z % 146097;
	uint64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	uint64_t day = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t month = (5 * day + 2) / 153;

	put_digits(b, era * 400 + year_of_era + (month >= 10), 4);
	buf_putc(b, '-');
	put_digits(b, month < 10 ? month + 3 : month - 9, 2);
	buf_putc(b, '-');
	put_digits(b, day - (153 * month + 2) / 5 + 1, 2);
}

void json_put_time(struct buf *b, wall_ms t)
{
	uint64_t ms = t < 0 ? 0 : (uint64_t)t, s = ms / 1000;

	buf_putc(b, '"');
	put_date(b, s / 86400);
	buf_putc(b, 'T');
	put_digits(b, s / 3600 % 24, 2);
	buf_putc(b, ':');
	put_digits(b, s / 60 % 60, 2);
	buf_putc(b, ':');
	put_digits(b, s % 60, 2);
	buf_putc(b, '.');
	put_digits(b, ms % 1000, 3);
	buf_put(b, SPAN("Z\""));
}

void json_put_ratio(struct buf *b, uint64_t part, uint64_t whole)
{
	uint64_t v;

	if (!whole) {
		buf_put(b, SPAN("null"));
		return;
	}
	while (whole > UINT64_MAX / 20000) { /* so that part * 10000 stays below 2^64 */
		part /= 2;
		whole /= 2;
	}
	v = (part * 10000 + whole / 2) / whole;
	buf_printf(b, "%u.%04u", (unsigned)(v / 10000), (unsigned)(v % 10000));
}
