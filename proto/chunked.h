/* chunked: the chunked transfer coding (RFC 9112 §7.1), decoded and encoded in pieces.
 *
 * The decoder is fed whatever came and says how many of those bytes it has used and which of them are body. It holds no
 * body bytes itself. Chunk extensions are read over (at most 4 KiB in a whole body) and dropped; sizes are 1 to 15 hex
 * digits without sign or white space; lines end in CRLF only. */
#ifndef PROTO_CHUNKED_H
#define PROTO_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/reason.h"
#include "node/base/span.h"

struct chunked {
	int state;         /* chunked.c */
	int digits;        /* of the size line so far */
	uint64_t left;     /* of the current chunk */
	size_t line_bytes; /* of extensions, over all chunks */
};

enum chunked_result {
	CHUNKED_MORE,     /* all of `in` is used; feed more */
	CHUNKED_BODY,     /* *body is a piece of the body, borrowed from `in`; call again with the rest */
	CHUNKED_TRAILERS, /* the last chunk has been read; what follows is for http1_parse_trailers */
	CHUNKED_BAD,      /* *why = BAD_CHUNK */
};

/* A zeroed struct is a decoder at the start. *used is how much of `in` is done with. */
enum chunked_result chunked_decode(struct chunked *, struct span in, size_t *used, struct span *body, enum reason *why);

/* Writes the size line of a chunk of n bytes ("1a\r\n"); the chunk's bytes and "\r\n" follow. Returns its length. */
#define CHUNKED_LINE_BYTES 18
size_t chunked_line(char out[CHUNKED_LINE_BYTES], uint64_t n);

#endif
