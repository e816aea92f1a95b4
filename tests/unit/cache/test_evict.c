#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/rng.h"
#include "node/cache/evict.h"

static const struct evict_policy *const all[] = {&evict_gdsf, &evict_lfuda, &evict_lru, &evict_sieve};

#define POLICIES (sizeof(all) / sizeof(all[0]))

struct object {
	struct evict_item item;
	uint32_t hits;
};

static struct object *object_of(struct evict_item *item)
{
	return (struct object *)(void *)((char *)item - offsetof(struct object, item));
}

/* As store_mem does it. */
static struct object *evict(struct evict_line *l)
{
	struct evict_item *item;

	while ((item = evict_first(l)) != NULL) {
		struct object *o = object_of(item);
		uint32_t hits = o->hits;

		o->hits = 0;
		if (!hits) {
			evict_out(l, item);
			return o;
		}
		evict_again(l, item, hits);
	}
	return NULL;
}

/* Plays "A" (comes), "a" (is asked for), "-" (somebody has to go), "~A" (leaves for another reason), and says who went: letters,
 * lower case. Sizes: A 1 byte, B 2, C 4 … */
static void play(const struct evict_policy *policy, const char *script, char *gone)
{
	struct object objects[26] = {0};
	struct evict_line l;

	evict_line_init(&l, policy);
	for (const char *p = script; *p; p++) {
		if (*p == '-') {
			*gone++ = (char)('a' + (evict(&l) - objects));
		} else if (*p == '~') {
			evict_remove(&l, &objects[*++p - 'A'].item);
		} else if (*p >= 'a' && *p <= 'z') {
			objects[*p - 'a'].hits++;
		} else if (*p >= 'A' && *p <= 'Z') {
			evict_insert(&l, &objects[*p - 'A'].item, (uint64_t)1 << (*p - 'A'));
		}
	}
	*gone = '\0';
	evict_line_fini(&l);
}

struct row {
	const struct evict_policy *policy;
	const char *script, *gone;
};

static void who_goes_first(void **state)
{
	static const struct row rows[] = {
		/* gdsf: large before small, unless it was asked for by so much more */
		{&evict_gdsf, "ABCD ----", "dcba"},
		{&evict_gdsf, "ABC cc ---", "bca"},   /* A: 1, B: 1/2, C: 3/4 */
		{&evict_gdsf, "ABC cccc ---", "bac"}, /* C: 5/4 */
		{&evict_gdsf, "B - A -", "ba"},
		{&evict_gdsf, "AB - C - D - E - F - -", "bcdefa"}, /* what passes by is larger */
		/* lfuda: seldom before often, whatever the size; equals in the order in which they came */
		{&evict_lfuda, "ABCD ----", "abcd"},
		{&evict_lfuda, "DCBA ----", "dcba"},
		{&evict_lfuda, "ABC aab ---", "cba"},
		{&evict_lfuda, "ABC abc aab ---", "cba"},
		/* A had 4 requests: the others pass by until the age has reached it */
		{&evict_lfuda, "AB aaa - C - D - E - F -", "bcdae"},
		/* lru by a count: asked for once or often is the same, and the turn is that of being looked at */
		{&evict_lru, "ABCD ----", "abcd"},
		{&evict_lru, "ABCD a ----", "bcda"},
		{&evict_lru, "ABCD aaab ----", "cdab"},
		{&evict_lru, "ABC a - D - E - -", "bcad"}, /* spared once */
		{&evict_lru, "ABC abc - - -", "abc"},      /* all were: as they came */
		{&evict_lru, "ABC ab - D - -", "cab"},     /* spared, they stand behind C but before D */
		/* sieve: spared in its place: the hand comes back to it before those that came behind it meanwhile */
		{&evict_sieve, "ABCD ----", "abcd"},
		{&evict_sieve, "ABCD a ----", "bcda"},
		{&evict_sieve, "ABC ab - D - -", "cab"},  /* C was the newest, so the hand begins again with A */
		{&evict_sieve, "ABCD ab - E - -", "cde"}, /* it goes on to D and E first */
		{&evict_lru, "ABCD ab - E - -", "cda"},
		{&evict_sieve, "ABC abc - - -", "abc"},
		{&evict_sieve, "ABCD ac - E ae - - -", "bdce"}, /* C, E, A are spared; C and E once */
		{&evict_sieve, "ABC a - ~A D - -", "bcd"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char gone[32];

		play(rows[i].policy, rows[i].script, gone);
		if (strcmp(gone, rows[i].gone) != 0)
			fail_msg("%s, %s: %s went, not %s", rows[i].policy->name, rows[i].script, gone, rows[i].gone);
	}
}

/* ---- SIEVE as its authors write it: a list, a hand, a bit ---- */

#define MOST 64

struct list {
	unsigned id[MOST]; /* the oldest first */
	unsigned char seen[MOST];
	unsigned n, hand;
};

static unsigned list_evict(struct list *s)
{
	unsigned id;

	while (s->seen[s->hand]) {
		s->seen[s->hand] = 0;
		s->hand = (s->hand + 1) % s->n;
	}
	id = s->id[s->hand];
	s->n--;
	memmove(s->id + s->hand, s->id + s->hand + 1, (s->n - s->hand) * sizeof(s->id[0]));
	memmove(s->seen + s->hand, s->seen + s->hand + 1, s->n - s->hand);
	if (s->hand == s->n) /* it was the newest; who comes now is seen last in the round that begins */
		s->hand = 0;
	return id;
}

static void sieve_is_sieve(void **state)
{
	struct object objects[500] = {0};
	struct list s = {0};
	struct evict_line l;
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	evict_line_init(&l, &evict_sieve);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned id = (unsigned)(rng_below(&rng, 500) * rng_below(&rng, 500) / 500); /* some more than others */
		struct object *o = &objects[id];

		if (evict_has(&o->item)) {
			o->hits++;
			for (unsigned k = 0; k < s.n; k++)
				if (s.id[k] == id)
					s.seen[k] = 1;
			continue;
		}
		if (s.n == MOST) {
			unsigned gone = list_evict(&s);

			assert_int_equal(evict(&l) - objects, gone);
		}
		s.id[s.n] = id;
		s.seen[s.n++] = 0;
		evict_insert(&l, &o->item, 1);
	}
	assert_true(l.evicted > 10000);
	assert_int_equal(evict_count(&l), MOST);
	evict_line_fini(&l);
}

/* ---- all of them ---- */

static void what_nobody_asks_for_goes_in_the_end(void **state)
{
	(void)state;
	for (size_t p = 0; p < POLICIES; p++) {
		struct object old = {.hits = 50}, others[200] = {0};
		struct evict_line l;
		unsigned i = 0;

		evict_line_init(&l, all[p]);
		evict_insert(&l, &old.item, 1000);
		evict_insert(&l, &others[i++].item, 1000);
		while (i < 200 && evict(&l) != &old)
			evict_insert(&l, &others[i++].item, 1000);
		if (evict_has(&old.item))
			fail_msg("%s keeps what was popular once", all[p]->name);
		evict_line_fini(&l);
	}
}

static void counters_stop_at_32_bits_and_stay_the_largest(void **state)
{
	struct object a = {0}, b = {0};
	struct evict_line l;
	double key;

	(void)state;
	evict_line_init(&l, &evict_lfuda);
	evict_insert(&l, &a.item, 1);
	evict_insert(&l, &b.item, 1);
	evict_again(&l, &a.item, UINT32_MAX - 2);
	evict_again(&l, &b.item, UINT32_MAX - 3);
	assert_int_equal(a.item.refs, UINT32_MAX - 1);
	key = a.item.key;
	evict_again(&l, &a.item, 10);
	evict_again(&l, &a.item, (uint64_t)1 << 40);
	assert_int_equal(a.item.refs, UINT32_MAX);
	assert_true(a.item.key > key);
	assert_ptr_equal(evict(&l), &b);
	evict_line_fini(&l);
}

static void the_age_comes_from_those_that_had_to_go(void **state)
{
	struct object a = {0}, b = {0};
	struct evict_line l;

	(void)state;
	evict_line_init(&l, &evict_lfuda);
	evict_insert(&l, &a.item, 1);
	evict_again(&l, &a.item, 6);
	evict_remove(&l, &a.item); /* purged */
	assert_true(l.age <= 0);
	assert_int_equal(l.evicted, 0);
	evict_insert(&l, &b.item, 1);
	evict_again(&l, &b.item, 6);
	assert_ptr_equal(evict(&l), &b);
	assert_true(l.age >= 7 && l.age <= 7);
	assert_int_equal(l.evicted, 1);
	assert_null(evict(&l));
	evict_line_fini(&l);
}

static void a_policy_is_found_by_name(void **state)
{
	(void)state;
	for (size_t p = 0; p < POLICIES; p++)
		assert_ptr_equal(evict_named(span_str(all[p]->name)), all[p]);
	assert_null(evict_named(SPAN("fifo")));
	assert_null(evict_named(SPAN("")));
}

/* What the new policy needs is there, whatever the old one was: refs, bytes, turns. */
static void another_policy_takes_over_what_is_there(void **state)
{
	static const struct {
		const struct evict_policy *to;
		const char *gone;
	} rows[] = {{&evict_gdsf, "cab"}, {&evict_lfuda, "bca"}, {&evict_lru, "bac"}, {&evict_sieve, "bac"}};

	(void)state;
	for (size_t from = 0; from < POLICIES; from++)
		for (size_t i = 0; i < POLICIES; i++) {
			struct object o[4] = {0}, *e;
			struct evict_line l;
			char gone[4] = "", *p = gone;

			evict_line_init(&l, all[from]);
			evict_insert(&l, &o[3].item, 1);
			evict_again(&l, &o[3].item, 3);
			assert_ptr_equal(evict(&l), &o[3]); /* so the line has an age */
			evict_insert(&l, &o[1].item, 1);
			evict_insert(&l, &o[0].item, 100);
			evict_insert(&l, &o[2].item, 10000);
			evict_again(&l, &o[0].item, 9);
			evict_again(&l, &o[2].item, 1);
			evict_set_policy(&l, rows[i].to);
			assert_int_equal(evict_count(&l), 3);
			while ((e = evict(&l)) != NULL)
				*p++ = (char)('a' + (e - o));
			if (all[from] != rows[i].to && strcmp(gone, rows[i].gone) != 0)
				fail_msg("%s to %s: %s, not %s", all[from]->name, rows[i].to->name, gone, rows[i].gone);
			evict_line_fini(&l);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_goes_first),
		cmocka_unit_test(sieve_is_sieve),
		cmocka_unit_test(what_nobody_asks_for_goes_in_the_end),
		cmocka_unit_test(counters_stop_at_32_bits_and_stay_the_largest),
		cmocka_unit_test(the_age_comes_from_those_that_had_to_go),
		cmocka_unit_test(a_policy_is_found_by_name),
		cmocka_unit_test(another_policy_takes_over_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
