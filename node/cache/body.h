/* body: the bytes of a response, which may still be coming while others read them.
 *
 *     first                                   last
 *     [64 KiB] -> [64 KiB] -> [64 KiB] -> [ 64 KiB ]
 *     ^ start (0 unless trimmed)               ^ length: published
 *
 * One filler appends; any number of readers on any thread follow. Chunks never move: the filler stores bytes, then the length
 * (release); a reader loads the length (acquire) and may then read everything below it. Chunks are 64 KiB; the last of a body whose
 * length was known from the beginning has exactly the size that is needed, and one of unknown length grows from 4 KiB.
 *
 * A body that is not to be kept, or goes to a file, is trimmed behind its slowest reader (body_cut): then it is a window. */
#ifndef NODE_CACHE_BODY_H
#define NODE_CACHE_BODY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"

#define BODY_CHUNK_BYTES (64 * 1024)
#define BODY_FIRST_CHUNK_BYTES (4 * 1024)

struct chunk;

struct body {
	struct chunk *first, *last;
	_Atomic uint64_t length;
	uint64_t start; /* bytes trimmed: changed under the entry's lock, by the filler alone */
};

/* Where a reader stands. Zeroed: at the beginning. */
struct body_at {
	const struct chunk *chunk;
	uint32_t off; /* within it */
	uint64_t pos; /* within the body */
};

/* --- the filler --- */

/* Room behind the last byte: *room bytes at the result, to be filled and published. `expected` is the length of the whole body,
 * UINT64_MAX when unknown. What a new chunk costs is added to *charged (its bytes and its own header). NULL: no memory. */
char *body_room(struct body *, uint64_t expected, size_t *room, uint64_t *charged);
void body_publish(struct body *, size_t n);
/* Of one that has no chunks, as its bytes are elsewhere. */
void body_set_length(struct body *, uint64_t length);
/* Takes off the chunks that lie wholly before `pos`, for body_free_cut; *freed: what they were charged. Nobody reads them, nor begins to
 * read, meanwhile. */
struct chunk *body_cut(struct body *, uint64_t pos, uint64_t *freed);
void body_free_cut(struct chunk *);
/* Both in one, for who has no lock to hold; gives back what they were charged. */
uint64_t body_trim(struct body *, uint64_t pos);

/* --- readers --- */

static inline uint64_t body_length(const struct body *b)
{
	return atomic_load_explicit(&b->length, memory_order_acquire);
}

/* Up to `most` spans of published bytes from *at on (which does not move), at most `max_bytes` in all. Returns how many. */
int body_spans(const struct body *, struct body_at *at, struct span *v, int most, uint64_t max_bytes);
void body_advance(struct body_at *at, uint64_t n); /* within what body_spans gave */
/* Puts *at to a position below the published length. A walk over the chunks. Of a trimmed body: not before its start, and nobody trims it
 * meanwhile. */
void body_seek(const struct body *, struct body_at *at, uint64_t pos);

/* Both are complete: the same bytes? */
bool body_same(const struct body *, const struct body *);

/* --- the owner, when nobody reads any more --- */

void body_free(struct body *);
/* What the chunks cost. */
uint64_t body_charge(const struct body *);

#endif
