/* chars: the classes of characters that HTTP/1 is made of (RFC 9110 §5.5, §5.6.2), and fast ways to the end of a run.
 *
 * Nothing here reads at or behind `end`. */
#ifndef PROTO_CHARS_H
#define PROTO_CHARS_H

#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* For a tchar (what names and methods are made of) its lower-case form, for any other character 0. */
extern const uint8_t chars_lower[256];

/* Part of a field value or reason phrase: HTAB, SP, VCHAR, obs-text. Any other control character is not, whatever
 * isspace() thinks of VT and FF. */
static inline int chars_is_text(char c)
{
	return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
}

/* Part of a request target, for all that framing cares: neither white space nor a control character. Which of the
 * others may stand in a URL is for url.h to say. */
static inline int chars_is_target(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f;
}

#ifdef __SSE2__
/* A bit for each of the 16 characters at p that is not text. */
static inline unsigned chars__not_text(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)p);
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
	__m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

static inline unsigned chars__not_target(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)p);
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x20)), v);
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, del));
}
#endif

/* The first character from p on that is not text; `end` when all are. */
static inline const char *chars_text_end(const char *p, const char *end)
{
#ifdef __SSE2__
	const char *last = end - p >= 16 ? end - 16 : NULL;

	for (; end - p >= 16; p += 16) {
		unsigned others = chars__not_text(p);

		if (others)
			return p + __builtin_ctz(others);
	}
	if (last) { /* once more, partly over what is known to be good, instead of up to 15 single steps */
		unsigned others = chars__not_text(last);

		return others ? last + __builtin_ctz(others) : end;
	}
#endif
	while (p < end && chars_is_text(*p))
		p++;
	return p;
}

/* The first character from p on that cannot be part of a target; `end` when all can. */
static inline const char *chars_target_end(const char *p, const char *end)
{
#ifdef __SSE2__
	const char *last = end - p >= 16 ? end - 16 : NULL;

	for (; end - p >= 16; p += 16) {
		unsigned others = chars__not_target(p);

		if (others)
			return p + __builtin_ctz(others);
	}
	if (last) { /* once more, partly over what is known to be good, instead of up to 15 single steps */
		unsigned others = chars__not_target(last);

		return others ? last + __builtin_ctz(others) : end;
	}
#endif
	while (p < end && chars_is_target(*p))
		p++;
	return p;
}

/* The first character from p on that is no tchar; `end` when all are. */
static inline const char *chars_token_end(const char *p, const char *end)
{
	while (p < end && chars_lower[(uint8_t)*p])
		p++;
	return p;
}

#endif
