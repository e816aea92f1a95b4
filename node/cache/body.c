#include "node/cache/body.h"

#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"

struct chunk {
	struct chunk *_Atomic next;
	uint32_t size;
	uint32_t used; /* filler's thread */
	char bytes[];
};

/* malloc's header beside our own */
#define CHUNK_COST(size) ((uint64_t)(size) + sizeof(struct chunk) + 16)

static uint32_t next_size(const struct body *b, uint64_t length, uint64_t expected)
{
	uint64_t left = expected - length, size;

	if (expected != UINT64_MAX && left > 0)
		return left < BODY_CHUNK_BYTES ? (uint32_t)left : BODY_CHUNK_BYTES;
	size = b->last ? 2 * (uint64_t)b->last->size : BODY_FIRST_CHUNK_BYTES;
	return size < BODY_CHUNK_BYTES ? (uint32_t)size : BODY_CHUNK_BYTES;
}

char *body_room(struct body *b, uint64_t expected, size_t *room, uint64_t *charged)
{
	uint64_t length = atomic_load_explicit(&b->length, memory_order_relaxed);
	struct chunk *c = b->last;
	uint32_t size;

	if (c && c->used < c->size) {
		*room = c->size - c->used;
		return c->bytes + c->used;
	}
	size = next_size(b, length, expected);
	c = mem_try(sizeof(*c) + size);
	if (!c)
		return NULL;
	c->next = NULL;
	c->size = size;
	c->used = 0;
	if (b->last)
		atomic_store_explicit(&b->last->next, c, memory_order_release);
	else
		b->first = c; /* readers look at it only after the first body_publish */
	b->last = c;
	*charged += CHUNK_COST(size);
	*room = size;
	return c->bytes;
}

void body_publish(struct body *b, size_t n)
{
	uint64_t length = atomic_load_explicit(&b->length, memory_order_relaxed);

	if (n == 0)
		return;
	b->last->used += (uint32_t)n;
	atomic_store_explicit(&b->length, length + n, memory_order_release);
}

void body_set_length(struct body *b, uint64_t length)
{
	atomic_store_explicit(&b->length, length, memory_order_release);
}

static void free_list(struct chunk *c)
{
	struct chunk *next;

	for (; c; c = next) {
		next = atomic_load_explicit(&c->next, memory_order_relaxed);
		free(c);
	}
}

struct chunk *body_cut(struct body *b, uint64_t pos, uint64_t *freed)
{
	struct chunk *cut = b->first, *last = NULL;

	*freed = 0;
	/* A reader at the very end of a chunk still holds it, to find its successor: only what ends before pos may go. */
	while (b->first && b->first != b->last && b->start + b->first->size < pos) {
		last = b->first;
		b->first = atomic_load_explicit(&last->next, memory_order_relaxed);
		b->start += last->size;
		*freed += CHUNK_COST(last->size);
	}
	if (!last)
		return NULL;
	atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
	return cut;
}

void body_free_cut(struct chunk *cut)
{
	free_list(cut);
}

uint64_t body_trim(struct body *b, uint64_t pos)
{
	uint64_t freed;

	free_list(body_cut(b, pos, &freed));
	return freed;
}

static bool settle(const struct body *b, struct body_at *at)
{
	if (!at->chunk) {
		at->chunk = b->first;
		return at->chunk != NULL;
	}
	while (at->off == at->chunk->size) {
		const struct chunk *next = atomic_load_explicit(&at->chunk->next, memory_order_acquire);

		if (!next)
			return false;
		at->chunk = next;
		at->off = 0;
	}
	return true;
}

int body_spans(const struct body *b, struct body_at *at, struct span *v, int most, uint64_t max_bytes)
{
	uint64_t left = body_length(b) - at->pos;
	struct body_at here;
	int n = 0;

	if (left > max_bytes)
		left = max_bytes;
	if (left == 0 || !settle(b, at))
		return 0;
	here = *at;
	while (n < most && left > 0 && settle(b, &here)) {
		uint64_t piece = here.chunk->size - here.off;

		if (piece > left)
			piece = left;
		v[n++] = span_of(here.chunk->bytes + here.off, (size_t)piece);
		here.off += (uint32_t)piece;
		left -= piece;
	}
	return n;
}

void body_advance(struct body_at *at, uint64_t n)
{
	at->pos += n;
	while (n > 0) {
		uint64_t piece = at->chunk->size - at->off;

		if (piece == 0) {
			at->chunk = atomic_load_explicit(&at->chunk->next, memory_order_acquire);
			at->off = 0;
			CHECK_THAT(at->chunk != NULL);
			continue;
		}
		if (piece > n)
			piece = n;
		at->off += (uint32_t)piece;
		n -= piece;
	}
}

void body_seek(const struct body *b, struct body_at *at, uint64_t pos)
{
	CHECK_THAT(pos <= body_length(b) && pos >= b->start);
	*at = (struct body_at){.pos = b->start};
	if (pos == 0)
		return;
	at->chunk = b->first;
	body_advance(at, pos - b->start);
}

bool body_same(const struct body *a, const struct body *b)
{
	struct body_at at = {0}, bt = {0};
	struct span x, y;

	if (body_length(a) != body_length(b))
		return false;
	while (body_spans(a, &at, &x, 1, UINT64_MAX) && body_spans(b, &bt, &y, 1, UINT64_MAX)) {
		size_t n = x.n < y.n ? x.n : y.n;

		if (memcmp(x.p, y.p, n) != 0)
			return false;
		body_advance(&at, n);
		body_advance(&bt, n);
	}
	return true;
}

void body_free(struct body *b)
{
	free_list(b->first);
	b->first = b->last = NULL;
}

uint64_t body_charge(const struct body *b)
{
	uint64_t sum = 0;

	for (const struct chunk *c = b->first; c; c = atomic_load_explicit(&c->next, memory_order_relaxed))
		sum += CHUNK_COST(c->size);
	return sum;
}
