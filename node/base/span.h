/* span: bytes that somebody else owns, and a bounded builder for new ones.
 *
 * A `struct span` is always borrowed: it says where bytes are, never who frees them. It need not end in NUL and may
 * hold any byte. A `struct buf` writes into memory of a fixed size given by its user; what does not fit sets `full`
 * and is left out whole, so that the end of many puts can be checked once. */
#ifndef NODE_BASE_SPAN_H
#define NODE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

/* A span over a string literal. */
#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
/* For printf's "%.*s". */
#define SPAN_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct span span_of(const char *p, size_t n)
{
	return (struct span){p, n};
}

static inline struct span span_str(const char *s)
{
	return (struct span){s, s ? strlen(s) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline struct span span_from(struct span s, size_t at)
{
	return at >= s.n ? (struct span){s.p + s.n, 0} : (struct span){s.p + at, s.n - at};
}

static inline struct span span_upto(struct span s, size_t n)
{
	return (struct span){s.p, n < s.n ? n : s.n};
}

/* ASCII only; the locale has no say in a protocol. */
bool span_eq_icase(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_starts_icase(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_ends_icase(struct span s, struct span suffix);

/* Offset of the first c, or s.n. */
size_t span_find(struct span s, char c);

/* Without the spaces and tabs (OWS of RFC 9110 §5.6.3, nothing else) at both ends. */
struct span span_trim(struct span s);

/* Cuts the part before the first `sep` off *rest and returns it; *rest starts behind the separator. False when *rest
 * is exhausted: p == NULL. An empty string yields one empty part. */
bool span_cut(struct span *rest, char sep, struct span *part);

/* The whole span is 1 to 19 digits and nothing else; -1 otherwise. */
int span_to_u64(struct span s, uint64_t *out);

/* A NUL-ended copy on the heap (owned by the caller; free() it). Aborts when there is no memory. */
char *span_dup(struct span s);

struct buf {
	char *p;
	size_t n;   /* written */
	size_t cap; /* room in all */
	bool full;  /* something did not fit */
};

static inline struct buf buf_over(char *p, size_t cap)
{
	return (struct buf){p, 0, cap, false};
}

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){b->p, b->n};
}

void buf_put(struct buf *b, struct span s);
void buf_putc(struct buf *b, char c);
void buf_put_str(struct buf *b, const char *s);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_i64(struct buf *b, int64_t v);
/* Lower-case hex of n bytes. */
void buf_put_hex(struct buf *b, const void *bytes, size_t n);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *fmt, ...);

#endif
