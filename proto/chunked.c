#include "proto/chunked.h"

#include "proto/chars.h"

#define MAX_DIGITS 15 /* 2^60: nothing that adds to it can overflow */
#define MAX_EXTENSION_BYTES 4096

enum {
	SIZE,      /* the digits of a size line */
	EXTENSION, /* behind the first ';' */
	SIZE_LF,   /* its CR has been read */
	BODY,      /* `left` bytes are to come */
	BODY_CR,   /* the CRLF behind them */
	BODY_LF,
	TRAILERS,
	BAD,
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Behind the digits only CR or ';' may come: white space there is what Squid once read past and others did not. */
static int size_byte(struct chunked *c, char byte)
{
	int digit = hex_value(byte);

	if (digit >= 0) {
		if (++c->digits > MAX_DIGITS)
			return BAD;
		c->left = c->left << 4 | (uint64_t)digit;
		return SIZE;
	}
	if (!c->digits)
		return BAD;
	if (byte == ';') {
		c->line_bytes++;
		return c->line_bytes > MAX_EXTENSION_BYTES ? BAD : EXTENSION;
	}
	return byte == '\r' ? SIZE_LF : BAD;
}

static int extension_byte(struct chunked *c, char byte)
{
	if (byte == '\r')
		return SIZE_LF;
	if (!chars_is_text(byte) || ++c->line_bytes > MAX_EXTENSION_BYTES)
		return BAD;
	return EXTENSION;
}

static int size_end(const struct chunked *c, char byte)
{
	if (byte != '\n')
		return BAD;
	return c->left ? BODY : TRAILERS;
}

static int body_end(struct chunked *c, char byte)
{
	if (byte != '\n')
		return BAD;
	c->digits = 0;
	return SIZE;
}

/* One byte of what is not body: the state that it leads to. */
static int step(struct chunked *c, char byte)
{
	switch (c->state) {
	case SIZE:
		return size_byte(c, byte);
	case EXTENSION:
		return extension_byte(c, byte);
	case SIZE_LF:
		return size_end(c, byte);
	case BODY_CR:
		return byte == '\r' ? BODY_LF : BAD;
	case BODY_LF:
		return body_end(c, byte);
	default:
		return BAD;
	}
}

static struct span take_body(struct chunked *c, struct span in)
{
	struct span piece = in.n > c->left ? span_upto(in, (size_t)c->left) : in;

	c->left -= piece.n;
	if (!c->left)
		c->state = BODY_CR;
	return piece;
}

enum chunked_result chunked_decode(struct chunked *c, struct span in, size_t *used, struct span *body, enum reason *why)
{
	*used = 0;
	*body = SPAN_NONE;
	while (c->state != BAD) {
		if (c->state == TRAILERS)
			return CHUNKED_TRAILERS;
		if (*used == in.n)
			return CHUNKED_MORE;
		if (c->state == BODY) {
			*body = take_body(c, span_from(in, *used));
			*used += body->n;
			return CHUNKED_BODY;
		}
		c->state = step(c, in.p[(*used)++]);
	}
	*why = REASON_BAD_CHUNK;
	return CHUNKED_BAD;
}

size_t chunked_line(char out[CHUNKED_LINE_BYTES], uint64_t n)
{
	size_t digits = 1;

	while (digits < 16 && n >> (4 * digits))
		digits++;
	for (size_t i = 0; i < digits; i++)
		out[i] = "0123456789abcdef"[n >> (4 * (digits - 1 - i)) & 15];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}
