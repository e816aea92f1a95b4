#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/rng.h"
#include "node/cache/body.h"

#define UNKNOWN UINT64_MAX

/* The byte that stands at a place. */
static char byte_at(uint64_t pos)
{
	return (char)(pos * 2654435761u >> 7 ^ pos);
}

/* Appends n bytes, at most `most` in a piece. */
static uint64_t append(struct body *b, uint64_t expected, uint64_t n, size_t most)
{
	uint64_t pos = body_length(b), end = pos + n, charged = 0;

	while (pos < end) {
		size_t room;
		char *p = body_room(b, expected, &room, &charged);

		assert_non_null(p);
		assert_true(room > 0);
		if (room > most)
			room = most;
		if (room > end - pos)
			room = (size_t)(end - pos);
		for (size_t i = 0; i < room; i++)
			p[i] = byte_at(pos + i);
		body_publish(b, room);
		pos += room;
	}
	return charged;
}

/* Reads up to n bytes from *at on, and says how many were right; less than were there when one was wrong. */
static uint64_t check_some(const struct body *b, struct body_at *at, int spans, uint64_t n)
{
	struct span v[16];
	int count = body_spans(b, at, v, spans, n);
	uint64_t done = 0;

	for (int i = 0; i < count; i++)
		for (size_t k = 0; k < v[i].n; k++)
			if (v[i].p[k] != byte_at(at->pos + done++))
				return UINT64_MAX;
	body_advance(at, done);
	return done;
}

static void check_all(const struct body *b, struct body_at at, uint64_t end, int spans, uint64_t most)
{
	while (at.pos < end) {
		uint64_t n = check_some(b, &at, spans, most);

		assert_true(n > 0 && n <= most);
	}
	assert_int_equal(at.pos, end);
	assert_int_equal(check_some(b, &at, spans, most), 0);
}

static void lengths_known_and_not(void **state)
{
	static const uint64_t lengths[] = {1,      4095,   4096,   4097,   65535,  65536,  65537,
					   131071, 131072, 131073, 200000, 262144, 1000001};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		for (int known = 0; known < 2; known++) {
			struct body b = {0};
			uint64_t charged = append(&b, known ? lengths[i] : UNKNOWN, lengths[i], 30011);

			assert_int_equal(body_length(&b), lengths[i]);
			assert_int_equal(body_charge(&b), charged);
			if (known) /* exactly what is needed, and a small header per chunk */
				assert_true(charged - lengths[i] <= 64 * (lengths[i] / BODY_CHUNK_BYTES + 1));
			check_all(&b, (struct body_at){0}, lengths[i], 1, 7777);
			check_all(&b, (struct body_at){0}, lengths[i], 16, UNKNOWN);
			body_free(&b);
			assert_int_equal(body_charge(&b), 0);
		}
	}
}

static void an_origin_that_sends_more_than_it_said_has_room(void **state)
{
	struct body b = {0};

	(void)state;
	append(&b, 10, 100000, 1000);
	check_all(&b, (struct body_at){0}, 100000, 16, UNKNOWN);
	body_free(&b);
}

static void room_that_was_not_used_is_given_again(void **state)
{
	struct body b = {0};
	uint64_t charged = 0;
	size_t room;
	char *first = body_room(&b, 100, &room, &charged), *again;

	(void)state;
	assert_int_equal(room, 100);
	again = body_room(&b, 100, &room, &charged);
	assert_ptr_equal(first, again);
	assert_int_equal(charged, body_charge(&b));
	body_free(&b);
}

static void seek_anywhere(void **state)
{
	struct body b = {0};
	const uint64_t n = 3 * BODY_CHUNK_BYTES + 17;

	(void)state;
	append(&b, n, n, 50000);
	for (uint64_t pos = 0; pos <= n;
	     pos += pos % BODY_CHUNK_BYTES < 3 || pos % BODY_CHUNK_BYTES > BODY_CHUNK_BYTES - 3 ? 1 : 911) {
		struct body_at at;

		body_seek(&b, &at, pos);
		assert_int_equal(at.pos, pos);
		check_all(&b, at, n, 3, 40000);
	}
	body_free(&b);
}

/* At each position that a reader may have, what it still needs stays. */
static void trimming_leaves_what_is_needed(void **state)
{
	struct body b = {0};
	struct body_at at = {0};
	struct rng rng;
	uint64_t charged = 0, freed = 0, n = 0;

	(void)state;
	rng_seed(&rng, 7);
	while (n < 3000000) {
		uint64_t more = 1 + rng_below(&rng, 150000);

		charged += append(&b, UNKNOWN, more, 65536);
		n += more;
		while (at.pos < n && rng_below(&rng, 10)) {
			assert_int_not_equal(check_some(&b, &at, 4, 1 + rng_below(&rng, 70000)), UNKNOWN);
			freed += body_trim(&b, at.pos);
			assert_int_equal(body_charge(&b), charged - freed);
			/* the chunk it stands in or behind, and one that is begun */
			assert_true(body_charge(&b) <= n - at.pos + 3 * (BODY_CHUNK_BYTES + 64));
		}
	}
	check_all(&b, at, n, 4, UNKNOWN);
	freed += body_trim(&b, n + 1);
	assert_int_equal(body_charge(&b), charged - freed);
	assert_true(body_charge(&b) <= BODY_CHUNK_BYTES + 64);
	body_free(&b);
}

/* ---- one filler, readers on threads ---- */

#define SHARED_BYTES ((uint64_t)4 * 1024 * 1024)
#define READERS 3

struct shared {
	struct body body;
	_Atomic uint64_t pos[READERS];
	bool trims;
};

struct reader {
	struct shared *shared;
	int id;
	bool ok;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	struct body_at at = {0};
	struct rng rng;

	rng_seed(&rng, (uint64_t)r->id + 1);
	while (at.pos < SHARED_BYTES) {
		uint64_t n =
			check_some(&r->shared->body, &at, 1 + (int)rng_below(&rng, 12), 1 + rng_below(&rng, 100000));

		if (n == UNKNOWN)
			return NULL;
		if (n == 0)
			sched_yield();
		atomic_store(&r->shared->pos[r->id], at.pos);
	}
	r->ok = true;
	return NULL;
}

static uint64_t slowest(struct shared *s)
{
	uint64_t min = UNKNOWN;

	for (int i = 0; i < READERS; i++)
		if (atomic_load(&s->pos[i]) < min)
			min = atomic_load(&s->pos[i]);
	return min;
}

static void fill_while_they_read(bool trims, uint64_t expected)
{
	struct shared s = {.trims = trims};
	struct reader readers[READERS];
	pthread_t threads[READERS];
	struct rng rng;

	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){.shared = &s, .id = i};
		pthread_create(&threads[i], NULL, read_all, &readers[i]);
	}
	rng_seed(&rng, 3);
	for (uint64_t n = 0; n < SHARED_BYTES;) {
		uint64_t more = 1 + rng_below(&rng, 40000);

		if (more > SHARED_BYTES - n)
			more = SHARED_BYTES - n;
		append(&s.body, expected, more, 16384);
		n += more;
		if (trims)
			body_trim(&s.body, slowest(&s));
	}
	for (int i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(readers[i].ok);
	}
	body_free(&s.body);
}

static void readers_follow_a_filler(void **state)
{
	(void)state;
	fill_while_they_read(false, SHARED_BYTES);
	fill_while_they_read(false, UNKNOWN);
}

static void readers_follow_in_a_window(void **state)
{
	(void)state;
	fill_while_they_read(true, UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_known_and_not),
		cmocka_unit_test(an_origin_that_sends_more_than_it_said_has_room),
		cmocka_unit_test(room_that_was_not_used_is_given_again),
		cmocka_unit_test(seek_anywhere),
		cmocka_unit_test(trimming_leaves_what_is_needed),
		cmocka_unit_test(readers_follow_a_filler),
		cmocka_unit_test(readers_follow_in_a_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
