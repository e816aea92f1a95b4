#include "node/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "node/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_BLOCK_BYTES 0 /* every piece its own malloc */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_BLOCK_BYTES 0
#endif
#endif
#ifndef ARENA_BLOCK_BYTES
#define ARENA_BLOCK_BYTES 2032 /* with malloc's own 16 bytes, half a page */
#endif

struct arena_block {
	struct arena_block *next;
	_Alignas(max_align_t) char bytes[];
};

static void *no_memory(size_t n)
{
	fprintf(stderr, "pmcache: out of memory (%zu bytes)\n", n);
	abort();
}

void *mem_alloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	return p ? p : no_memory(n);
}

void *mem_zalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	return p ? p : no_memory(n);
}

void *mem_realloc(void *p, size_t n)
{
	void *q = realloc(p, n ? n : 1);

	return q ? q : no_memory(n);
}

void *mem_try(size_t n)
{
	return malloc(n ? n : 1);
}

static void *arena_grow(struct arena *a, size_t n)
{
	size_t room = n > ARENA_BLOCK_BYTES ? n : ARENA_BLOCK_BYTES;
	struct arena_block *block = mem_alloc(sizeof(*block) + room);

	block->next = a->blocks;
	a->blocks = block;
	if (room - n > a->left) {
		a->at = block->bytes + n;
		a->left = room - n;
	}
	return block->bytes;
}

void *arena_alloc(struct arena *a, size_t n)
{
	const size_t align = _Alignof(max_align_t);
	void *p;

	CHECK_THAT(n < SIZE_MAX / 2);
	n = n ? (n + align - 1) / align * align : align; /* a piece of nothing has an address too */
	if (n > a->left)
		return arena_grow(a, n);
	p = a->at;
	a->at += n;
	a->left -= n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

struct span arena_copy(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return span_of(p, s.n);
}

void arena_free(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;

		free(a->blocks);
		a->blocks = next;
	}
	a->at = NULL;
	a->left = 0;
}
