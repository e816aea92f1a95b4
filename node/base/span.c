#include "node/base/span.h"

#include <stdarg.h>
#include <stdio.h>

#include "node/base/mem.h"

static inline char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool span_eq_icase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq(span_upto(s, prefix.n), prefix);
}

bool span_starts_icase(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq_icase(span_upto(s, prefix.n), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq(span_from(s, s.n - suffix.n), suffix);
}

bool span_ends_icase(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq_icase(span_from(s, s.n - suffix.n), suffix);
}

size_t span_find(struct span s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

struct span span_trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool span_cut(struct span *rest, char sep, struct span *part)
{
	size_t at;

	if (!rest->p)
		return false;
	at = span_find(*rest, sep);
	*part = span_upto(*rest, at);
	*rest = at < rest->n ? span_from(*rest, at + 1) : SPAN_NONE;
	return true;
}

int span_to_u64(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n < 1 || s.n > 19)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*out = v;
	return 0;
}

char *span_dup(struct span s)
{
	char *p = mem_alloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

void buf_put(struct buf *b, struct span s)
{
	if (s.n > b->cap - b->n) {
		b->full = true;
		return;
	}
	if (s.n)
		memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
}

void buf_putc(struct buf *b, char c)
{
	buf_put(b, span_of(&c, 1));
}

void buf_put_str(struct buf *b, const char *s)
{
	buf_put(b, span_str(s));
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_put(b, span_of(digits + at, sizeof(digits) - at));
}

void buf_put_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_putc(b, '-');
	buf_put_u64(b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void buf_put_hex(struct buf *b, const void *bytes, size_t n)
{
	const unsigned char *in = bytes;

	if (2 * n > b->cap - b->n) {
		b->full = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		b->p[b->n++] = "0123456789abcdef"[in[i] >> 4];
		b->p[b->n++] = "0123456789abcdef"[in[i] & 15];
	}
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t room = b->cap - b->n;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(b->p + b->n, room, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room) { /* vsnprintf's NUL needs room too */
		b->full = true;
		return;
	}
	b->n += (size_t)n;
}
