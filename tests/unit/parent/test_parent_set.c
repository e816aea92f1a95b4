#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>

#include "node/base/allowance.h"
#include "node/base/hash.h"
#include "node/base/rng.h"
#include "parent/parent_set.h"

#define SECOND ((mono_us)1000 * 1000)
#define START (1000 * SECOND)

static struct key key_of(unsigned i)
{
	struct key k;

	sha256_of(span_of((const char *)&i, sizeof(i)), k.b);
	return k;
}

/* p0, p1, … */
static struct parent_set *set_of(unsigned n)
{
	struct parent_set *s = parent_set_new(7);
	struct parent_member m[8] = {0};

	for (unsigned i = 0; i < n; i++) {
		snprintf(m[i].name, sizeof(m[i].name), "p%u", i);
		snprintf(m[i].host, sizeof(m[i].host), "p%u.test", i);
		m[i].port = 8083;
	}
	parent_set_members(s, m, n);
	return s;
}

static unsigned number(const struct parent_pick *p)
{
	return (unsigned)(p->member.name[1] - '0');
}

static struct parent_pick pick(struct parent_set *s, unsigned key, mono_us now)
{
	struct parent_pick p;
	struct key k = key_of(key);

	assert_true(parent_set_pick(s, &k, NULL, 0, false, now, &p));
	return p;
}

static bool can_pick(struct parent_set *s, unsigned key, mono_us now)
{
	struct parent_pick p;
	struct key k = key_of(key);

	if (!parent_set_pick(s, &k, NULL, 0, false, now, &p))
		return false;
	parent_set_ended(s, &p, PARENT_CANCELLED, 0, -1, 0, now);
	return true;
}

static void end(struct parent_set *s, const struct parent_pick *p, enum parent_outcome o, mono_us now)
{
	parent_set_ended(s, p, o, 0, -1, 0, now);
}

/* Whose key it is when nothing is in hand. */
static unsigned owner(struct parent_set *s, unsigned key, mono_us now)
{
	struct parent_pick p = pick(s, key, now);

	end(s, &p, PARENT_CANCELLED, now);
	return number(&p);
}

/* A key of this parent's, with all of `s` in use. */
static unsigned key_for(struct parent_set *s, unsigned parent, mono_us now)
{
	for (unsigned k = 0;; k++)
		if (owner(s, k, now) == parent)
			return k;
}

static struct parent_view view(struct parent_set *s, unsigned parent, mono_us now)
{
	struct parent_view v[8];
	size_t n = parent_set_look(s, v, 8, now);

	assert_true(parent < n);
	return v[parent];
}

/* So many requests for a key, one after the other, with this outcome. */
static void run(struct parent_set *s, unsigned key, unsigned n, enum parent_outcome o, mono_us now)
{
	for (unsigned i = 0; i < n; i++) {
		struct parent_pick p = pick(s, key, now);

		end(s, &p, o, now);
	}
}

static void test_nobody(void **state)
{
	struct parent_set *s = set_of(0);

	(void)state;
	assert_false(can_pick(s, 1, START));
	assert_int_equal(parent_set_count(s), 0);
	assert_int_equal(parent_set_ttfb_us(s), 0);
	parent_set_free(s);
	parent_set_free(NULL);
}

static void test_distribution(void **state)
{
	static const struct {
		unsigned weights[3], shares[3]; /* percent */
	} rows[] = {
		{{0, 0, 0}, {33, 33, 33}},
		{{100, 100, 200}, {25, 25, 50}},
		{{50, 100, 50}, {25, 50, 25}},
	};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct parent_set *s = parent_set_new(1);
		struct parent_member m[3] = {{.name = "p0"}, {.name = "p1"}, {.name = "p2"}};
		unsigned found[3] = {0};

		for (unsigned i = 0; i < 3; i++)
			m[i].weight = rows[row].weights[i];
		parent_set_members(s, m, 3);
		for (unsigned k = 0; k < 10000; k++)
			found[owner(s, k, START)]++;
		for (unsigned i = 0; i < 3; i++)
			assert_in_range(found[i], rows[row].shares[i] * 100 - 200, rows[row].shares[i] * 100 + 200);
		parent_set_free(s);
	}
}

/* Who leaves gives up its own keys alone; who comes back has them again. */
static void test_members_change(void **state)
{
	struct parent_set *s = set_of(4);
	struct parent_member three[3] = {{.name = "p0"}, {.name = "p1"}, {.name = "p3"}};
	struct parent_member four[5] = {
		{.name = "p0"}, {.name = "p1"}, {.name = "p2"}, {.name = "p3"}, {.name = "p0", .port = 1}};
	unsigned before[500];
	struct parent_pick in_hand;

	(void)state;
	for (unsigned k = 0; k < 500; k++)
		before[k] = owner(s, k, START);
	in_hand = pick(s, key_for(s, 2, START), START);
	run(s, key_for(s, 0, START), 2, PARENT_FAILED, START);
	parent_set_members(s, three, 3);
	assert_int_equal(parent_set_count(s), 3);
	for (unsigned k = 0; k < 500; k++) {
		unsigned now = owner(s, k, START);

		assert_true(before[k] == 2 ? now != 2 : now == before[k]);
	}
	assert_int_equal(view(s, 0, START).failures, 2);
	end(s, &in_hand, PARENT_OK, START); /* it has gone meanwhile */
	parent_set_said(s, &in_hand, PARENT_SAID_HIT);
	parent_set_members(s, four, 5);
	assert_int_equal(parent_set_count(s), 4);
	assert_int_equal(view(s, 0, START).member.port, 0);
	for (unsigned k = 0; k < 500; k++)
		assert_int_equal(owner(s, k, START), before[k]);
	parent_set_free(s);
}

/* 3 parents, one key that all want: its parent gets its share and a quarter, the rest goes to the second, and to nobody else. */
static void test_bounded_load(void **state)
{
	struct parent_set *s = set_of(3);
	unsigned first = owner(s, 1, START), counts[3] = {0}, second = 3;
	struct parent_pick hands[300];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		hands[i] = pick(s, 1, START);
		counts[number(&hands[i])]++;
		assert_int_equal(hands[i].diverted, number(&hands[i]) != first);
		if (i < PARENT_FEW)
			assert_false(hands[i].diverted);
		if (hands[i].diverted) {
			assert_int_equal(hands[i].home[1] - '0', first);
			second = number(&hands[i]);
		} else {
			assert_string_equal(hands[i].home, "");
		}
	}
	assert_true(second < 3);
	assert_int_equal(counts[3 - first - second], 0);
	/* Both are full in the end: the rest stays at home. The second never has more than its share. */
	assert_in_range(counts[second], 300 * 5 / 12 - 2, 300 * 5 / 12 + 2);
	for (unsigned i = 0; i < 300; i++)
		end(s, &hands[i], PARENT_OK, START);
	assert_int_equal(owner(s, 1, START), first);
	parent_set_free(s);
}

static void test_says_that_it_is_full(void **state)
{
	struct parent_set *s = set_of(2);
	unsigned first = owner(s, 1, START);
	struct parent_pick p = pick(s, 1, START);

	(void)state;
	parent_set_ended(s, &p, PARENT_OK, 0, PARENT_LOAD_FULL - 1, 0, START);
	assert_int_equal(owner(s, 1, START), first);
	p = pick(s, 1, START);
	parent_set_ended(s, &p, PARENT_OK, 0, PARENT_LOAD_FULL, 0, START);
	assert_int_equal(view(s, first, START).load, PARENT_LOAD_FULL);
	p = pick(s, 1, START + SECOND);
	assert_true(p.diverted);
	assert_int_equal(number(&p), 1 - first);
	/* … and so is the other one: back home */
	parent_set_ended(s, &p, PARENT_OK, 0, 255, 0, START + SECOND);
	assert_int_equal(owner(s, 1, START + SECOND), first);
	/* It was said a while ago. */
	assert_int_equal(owner(s, 1, START + 2 * SECOND), first);
	parent_set_free(s);
}

/* What takes the only parent of a key out, and what does not. 12 requests each, given as letters. */
static void test_verdicts(void **state)
{
	static const struct {
		const char *outcomes; /* o OK, c CONNECT, f FAILED, s SLOW, x CANCELLED; '+': a second passes */
		bool down;
	} rows[] = {
		{"cc", false},
		{"ccc", true},
		{"ccocc", false},
		{"ccfcc", false}, /* it answered the connection */
		{"ccxc", true},   /* says nothing */
		{"fffffffff", false},
		{"ffffffffff", true},
		{"fofofofofof", true},
		{"ooooooooooooooo", false},
		{"ooofooofooof", false},
		{"ssssssssss", true},
		{"sssssssss", false},
		{"soososososososo", false},
		{"ffffff+++++++++++ffff", false}, /* not within 10 s */
		{"ffffff++++++++ffff", true},
		{"ooooooooooooffffffffffff", true},
		{"xxxxxxxxxxxxxxxx", false},
	};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct parent_set *s = set_of(3);
		unsigned key = key_for(s, 1, START);
		mono_us now = START;

		for (const char *c = rows[row].outcomes; *c; c++) {
			if (*c == '+') {
				now += SECOND;
				continue;
			}
			assert_int_equal(owner(s, key, now), 1);
			run(s, key, 1,
			    *c == 'o'   ? PARENT_OK
			    : *c == 'c' ? PARENT_CONNECT
			    : *c == 'f' ? PARENT_FAILED
			    : *c == 's' ? PARENT_SLOW
					: PARENT_CANCELLED,
			    now);
		}
		if ((view(s, 1, now).state == PARENT_DOWN) != rows[row].down)
			fail_msg("row %zu: %s", row, rows[row].outcomes);
		if (rows[row].down) { /* its keys are with others, who are not told that they are its */
			struct parent_pick p = pick(s, key, now);

			assert_int_not_equal(number(&p), 1);
			assert_false(p.diverted);
			end(s, &p, PARENT_OK, now);
		}
		parent_set_free(s);
	}
}

/* Out 2 s, 4 s, … 60 s, each give or take a fifth, and not always the same. */
static void test_cool_down_doubles(void **state)
{
	static const unsigned seconds[] = {2, 4, 8, 16, 32, 60, 60};
	struct parent_set *s = set_of(3);
	unsigned key = key_for(s, 0, START);
	mono_us now = START, first = 0, last = 0;
	bool differs = false;

	(void)state;
	run(s, key, 3, PARENT_CONNECT, now);
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		struct parent_view v = view(s, 0, now);
		mono_us cool = v.until - now;
		struct parent_pick p;

		assert_int_equal(v.state, PARENT_DOWN);
		assert_in_range(cool, seconds[i] * SECOND * 8 / 10, seconds[i] * SECOND * 12 / 10);
		differs |= cool != seconds[i] * SECOND;
		first = i ? first : cool;
		last = cool;
		assert_int_not_equal(owner(s, key, v.until - 1), 0);
		now = v.until;
		assert_int_equal(view(s, 0, now).state, PARENT_TRIAL);
		p = pick(s, key, now);
		assert_int_equal(number(&p), 0);
		assert_true(p.trial);
		end(s, &p, PARENT_CONNECT, now); /* one is enough */
	}
	assert_true(differs && last > first);
	parent_set_free(s);
}

static void test_trials_and_return(void **state)
{
	struct parent_set *s = set_of(3);
	unsigned keys[1000], n = 0, back = 0, last = 0;
	struct parent_pick p[4], late;
	mono_us now;

	(void)state;
	for (unsigned k = 0; n < 1000; k++)
		if (owner(s, k, START) == 0)
			keys[n++] = k;
	late = pick(s, keys[0], START); /* begun before the verdict, ends after it */
	run(s, keys[0], 3, PARENT_CONNECT, START);
	now = view(s, 0, START).until;
	for (unsigned i = 0; i < 4; i++)
		p[i] = pick(s, keys[i], now);
	assert_true(p[0].trial && number(&p[0]) == 0);
	assert_true(p[1].trial && number(&p[1]) == 0);
	assert_false(p[2].trial || number(&p[2]) == 0);
	end(s, &late, PARENT_CONNECT, now); /* does not count against the trial */
	assert_int_equal(view(s, 0, now).state, PARENT_TRIAL);
	end(s, &p[1], PARENT_CANCELLED, now); /* its place is free */
	p[1] = pick(s, keys[1], now);
	assert_true(p[1].trial);
	end(s, &p[1], PARENT_SLOW, now); /* half a failure */
	assert_int_equal(view(s, 0, now).state, PARENT_TRIAL);
	end(s, &p[0], PARENT_OK, now);
	end(s, &p[2], PARENT_OK, now);
	end(s, &p[3], PARENT_OK, now);
	/* Its keys come back within 30 s, and those that are back stay. */
	for (unsigned second = 0; second <= 30; second++) {
		back = 0;
		for (unsigned i = 0; i < 1000; i++)
			back += owner(s, keys[i], now + second * SECOND) == 0;
		assert_true(back >= last);
		assert_in_range(back + 60, 1000 * second / 30, 1000 * second / 30 + 120);
		assert_int_equal(view(s, 0, now + second * SECOND).state, second < 30 ? PARENT_TRIAL : PARENT_UP);
		last = back;
	}
	assert_int_equal(back, 1000);
	/* All is forgotten: out for 2 s again, not 4. */
	now += 30 * SECOND;
	run(s, keys[0], 3, PARENT_CONNECT, now);
	assert_true(view(s, 0, now).until - now <= 2400 * 1000);
	parent_set_free(s);
}

/* While it comes back, and nobody else is there, it has all keys. */
static void test_return_of_the_only_one(void **state)
{
	struct parent_set *s = set_of(1);
	struct parent_pick p;
	mono_us now;

	(void)state;
	run(s, 0, 3, PARENT_CONNECT, START);
	assert_false(can_pick(s, 0, START));
	now = view(s, 0, START).until;
	p = pick(s, 0, now);
	end(s, &p, PARENT_OK, now);
	for (unsigned k = 0; k < 100; k++)
		assert_int_equal(owner(s, k, now), 0);
	parent_set_free(s);
}

/* Fewer than half healthy: failed requests are forgiven, failed connections are not. */
static void test_panic(void **state)
{
	static const struct {
		unsigned n;
		const char *how; /* per parent: - healthy, f by requests, c by connections */
		bool asked[4];
	} rows[] = {
		{1, "f", {true}},
		{1, "c", {false}},
		{2, "f-", {false, true}}, /* half is enough */
		{2, "ff", {true, true}},
		{2, "fc", {true, false}},
		{2, "cc", {false, false}},
		{3, "ff-", {true, true, true}},
		{3, "f--", {false, true, true}},
		{3, "fc-", {true, false, true}},
		{4, "ff--", {false, false, true, true}},
		{4, "fcf-", {true, false, true, true}},
	};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct parent_set *s = set_of(rows[row].n);
		unsigned keys[4];
		bool any = false;

		for (unsigned i = 0; i < rows[row].n; i++)
			keys[i] = key_for(s, i, START);
		for (unsigned pass = 0; pass < 2; pass++) /* those by requests last: they would be asked again */
			for (unsigned i = 0; i < rows[row].n; i++)
				if (rows[row].how[i] == "cf"[pass])
					run(s, keys[i], pass ? 10 : 3, pass ? PARENT_FAILED : PARENT_CONNECT, START);
		for (unsigned i = 0; i < rows[row].n; i++) {
			assert_int_equal(view(s, i, START).state, rows[row].how[i] == '-' ? PARENT_UP : PARENT_DOWN);
			any |= rows[row].asked[i];
		}
		for (unsigned i = 0; i < rows[row].n; i++) {
			if (!any)
				assert_false(can_pick(s, keys[i], START));
			else if ((owner(s, keys[i], START) == i) != rows[row].asked[i])
				fail_msg("row %zu (%s), parent %u", row, rows[row].how, i);
		}
		parent_set_free(s);
	}
}

/* Asked in panic, and not even reached: now it is out for good reason. */
static void test_panic_and_no_connection(void **state)
{
	struct parent_set *s = set_of(1);

	(void)state;
	run(s, 0, 10, PARENT_FAILED, START);
	assert_int_equal(view(s, 0, START).state, PARENT_DOWN);
	run(s, 0, 3, PARENT_CONNECT, START);
	assert_false(can_pick(s, 0, START));
	parent_set_free(s);
}

static void test_vip(void **state)
{
	struct parent_set *s = set_of(2);
	struct parent_member m[2] = {{.name = "p0", .vip = true}, {.name = "p1"}};
	unsigned key = key_for(s, 0, START);

	(void)state;
	run(s, key, 3, PARENT_CONNECT, START);
	assert_int_equal(view(s, 0, START).state, PARENT_DOWN);
	parent_set_members(s, m, 2);
	assert_int_equal(view(s, 0, START).state, PARENT_UP);
	run(s, key, 20, PARENT_CONNECT, START);
	run(s, key, 20, PARENT_FAILED, START);
	assert_int_equal(owner(s, key, START), 0);
	assert_int_equal(view(s, 0, START).state, PARENT_UP);
	assert_int_equal(view(s, 0, START).connect_failures, 23);
	assert_int_equal(view(s, 0, START).failures, 20);
	parent_set_free(s);
}

static void test_second_tries(void **state)
{
	struct parent_set *s = set_of(3);
	struct key k = key_of(1);
	struct parent_pick first = pick(s, 1, START), second, third;
	unsigned tried[2] = {first.id, 0};

	(void)state;
	end(s, &first, PARENT_FAILED, START);
	assert_true(parent_set_pick(s, &k, tried, 1, true, START, &second));
	assert_int_not_equal(second.id, first.id);
	assert_false(second.diverted);
	tried[1] = second.id;
	assert_false(parent_set_pick(s, &k, tried, 2, true, START, &third));
	assert_false(parent_set_pick(s, &k, tried, 2, false, START, &third));
	end(s, &second, PARENT_OK, START);
	assert_int_equal(view(s, number(&second), START).retries, 1);
	parent_set_free(s);
}

/* 3 at least, 20 % of those in hand when there are many. */
static void test_retry_budget(void **state)
{
	static const struct {
		unsigned in_hand, allowed;
	} rows[] = {{0, 3}, {10, 3}, {100, 24}};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct parent_set *s = set_of(3);
		struct parent_pick hands[100], retries[40];
		struct key k = key_of(1);
		unsigned n = 0;

		for (unsigned i = 0; i < rows[row].in_hand; i++)
			hands[i] = pick(s, i, START);
		while (n < 40 && parent_set_pick(s, &k, NULL, 0, true, START, &retries[n]))
			n++;
		assert_int_equal(n, rows[row].allowed); /* they count among those in hand */
		assert_true(can_pick(s, 1, START));
		for (unsigned i = 0; i < n; i++)
			end(s, &retries[i], PARENT_OK, START);
		assert_true(parent_set_pick(s, &k, NULL, 0, true, START, &retries[0]));
		end(s, &retries[0], PARENT_OK, START);
		for (unsigned i = 0; i < rows[row].in_hand; i++)
			end(s, &hands[i], PARENT_OK, START);
		parent_set_free(s);
	}
}

/* ---- hedges ---- */

static bool hedge(struct parent_set *s, unsigned key, const struct parent_pick *late, struct parent_pick *out)
{
	struct key k = key_of(key);

	return parent_set_pick_hedge(s, &k, late, START, out);
}

/* To the next in rank: the one that a second try would go to. */
static void test_a_hedge_goes_to_the_second(void **state)
{
	struct parent_set *s = set_of(4);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct key k = key_of(i);
		struct parent_pick first = pick(s, i, START), second, beside;

		assert_true(parent_set_pick(s, &k, &first.id, 1, true, START, &second));
		end(s, &second, PARENT_OK, START);
		assert_true(hedge(s, i, &first, &beside));
		assert_int_equal(beside.id, second.id);
		assert_string_equal(beside.home, "");
		end(s, &beside, PARENT_OK, START);
		end(s, &first, PARENT_CANCELLED, START);
		assert_int_equal(view(s, number(&first), START).state, PARENT_UP);
	}
	parent_set_free(s);
}

static void test_hedges_are_counted(void **state)
{
	struct parent_set *s = set_of(2);
	struct parent_pick first = pick(s, 1, START), beside;
	struct parent_view late, other;

	(void)state;
	assert_true(hedge(s, 1, &first, &beside));
	end(s, &beside, PARENT_OK, START);
	end(s, &first, PARENT_CANCELLED, START);
	late = view(s, number(&first), START);
	other = view(s, number(&beside), START);
	assert_int_equal(late.hedged, 1);
	assert_int_equal(late.cancelled, 1);
	assert_int_equal(late.retries, 0);
	assert_int_equal(other.hedged, 0);
	assert_int_equal(other.cancelled, 0);
	assert_int_equal(other.retries, 1);
	parent_set_free(s);
}

/* A few at once, then one for every twenty requests. */
static void test_hedge_budget(void **state)
{
	struct parent_set *s = set_of(2);
	unsigned hedged = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct parent_pick first = pick(s, i, START), beside;

		if (hedge(s, i, &first, &beside)) {
			hedged++;
			end(s, &beside, PARENT_OK, START);
		}
		end(s, &first, PARENT_OK, START);
	}
	assert_in_range(hedged, 50, 50 + ALLOWANCE_MOST);
	parent_set_free(s);
}

/* They are second tries, too; and with one parent there is nobody to hedge with. */
static void test_no_hedge(void **state)
{
	struct parent_set *s = set_of(2), *one = set_of(1);
	struct parent_pick first = pick(s, 1, START), alone = pick(one, 1, START), tries[3], beside;
	struct key k = key_of(1);

	(void)state;
	assert_false(hedge(one, 1, &alone, &beside));
	for (unsigned i = 0; i < 3; i++)
		assert_true(parent_set_pick(s, &k, NULL, 0, true, START, &tries[i]));
	assert_false(hedge(s, 1, &first, &beside));
	end(s, &tries[0], PARENT_OK, START);
	assert_true(hedge(s, 1, &first, &beside));
	end(s, &beside, PARENT_OK, START);
	for (unsigned i = 1; i < 3; i++)
		end(s, &tries[i], PARENT_OK, START);
	end(s, &first, PARENT_OK, START);
	end(one, &alone, PARENT_OK, START);
	parent_set_free(s);
	parent_set_free(one);
}

/* Late is what is later than 95 % of that parent's, within bounds. */
static void test_when_it_is_late(void **state)
{
	static const struct {
		int64_t ttfb_ms;
		unsigned samples;
		dur_ms late;
	} rows[] = {{100, 0, 2000}, {100, 7, 2000}, {100, 64, 100}, {5, 64, 50}, {3000, 64, 2000}};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct parent_set *s = set_of(1);
		struct parent_pick p;

		for (unsigned i = 0; i < rows[row].samples; i++) {
			p = pick(s, 1, START);
			parent_set_ended(s, &p, PARENT_OK, rows[row].ttfb_ms * 1000, -1, 0, START);
		}
		p = pick(s, 1, START);
		assert_int_equal(p.hedge_after, rows[row].late);
		end(s, &p, PARENT_OK, START);
		parent_set_free(s);
	}
}

/* ---- only to know ---- */

enum { FIGURES = 5 };

static void sum_of_all(struct parent_set *s, mono_us now, uint64_t sum[FIGURES])
{
	struct parent_view v[8];
	size_t n = parent_set_look(s, v, 8, now);

	memset(sum, 0, FIGURES * sizeof(sum[0]));
	for (size_t i = 0; i < n; i++) {
		const uint64_t each[FIGURES] = {v[i].requests, v[i].retries, v[i].hedged, v[i].cancelled, v[i].in_hand};

		for (int k = 0; k < FIGURES; k++)
			sum[k] += each[k];
	}
}

/* The same one as would be asked, and nothing is counted. */
static void expect_would(struct parent_set *s, unsigned keys, mono_us now)
{
	uint64_t before[FIGURES], after[FIGURES];

	for (unsigned i = 0; i < keys; i++) {
		struct parent_member m;
		struct key k = key_of(i);
		struct parent_pick p;

		sum_of_all(s, now, before);
		for (int again = 0; again < 5; again++)
			assert_true(parent_set_would_pick(s, &k, now, &m));
		sum_of_all(s, now, after);
		assert_memory_equal(before, after, sizeof(before));
		p = pick(s, i, now);
		assert_string_equal(p.member.name, m.name);
		end(s, &p, PARENT_CANCELLED, now);
	}
}

static void test_whom_it_would_ask(void **state)
{
	struct parent_set *s = set_of(3);
	unsigned key = key_for(s, 1, START), diverted;
	struct parent_member m;
	struct parent_pick hands[20], p;
	struct key k = key_of(key);
	mono_us later = START + 3 * SECOND;

	(void)state;
	expect_would(s, 200, START);
	for (unsigned i = 0; i < 20; i++) /* full: its next goes to the second in rank */
		hands[i] = pick(s, key, START);
	p = pick(s, key, START);
	assert_true(p.diverted);
	diverted = number(&p);
	end(s, &p, PARENT_CANCELLED, START);
	assert_true(parent_set_would_pick(s, &k, START, &m));
	assert_int_equal(m.name[1] - '0', diverted);
	expect_would(s, 50, START);
	for (unsigned i = 0; i < 20; i++)
		end(s, &hands[i], PARENT_OK, START);

	run(s, key, 3, PARENT_CONNECT, START); /* out; and then asked on trial, of which there are two at a time */
	expect_would(s, 50, START);
	for (int i = 0; i < 10; i++)
		assert_true(parent_set_would_pick(s, &k, later, &m));
	assert_string_equal(m.name, "p1");
	p = pick(s, key, later);
	assert_true(p.trial);
	end(s, &p, PARENT_OK, later);
	expect_would(s, 50, later + SECOND); /* its keys come back */
	parent_set_free(s);

	s = set_of(0);
	assert_false(parent_set_would_pick(s, &k, START, &m));
	parent_set_free(s);
}

/* Who only asks earns no hedges. */
static void test_to_know_earns_no_hedge(void **state)
{
	struct parent_set *s = set_of(2);
	struct parent_pick first = pick(s, 1, START), beside;
	struct key k = key_of(1);
	struct parent_member m;

	(void)state;
	while (hedge(s, 1, &first, &beside))
		end(s, &beside, PARENT_OK, START);
	for (int i = 0; i < 1000; i++)
		assert_true(parent_set_would_pick(s, &k, START, &m));
	assert_false(hedge(s, 1, &first, &beside));
	end(s, &first, PARENT_OK, START);
	parent_set_free(s);
}

/* ---- by name ---- */

static void test_by_name(void **state)
{
	struct parent_set *s = set_of(2);
	struct parent_pick p;

	(void)state;
	assert_true(parent_set_pick_named(s, SPAN("p1"), START, &p));
	assert_string_equal(p.member.name, "p1");
	end(s, &p, PARENT_OK, START);
	assert_false(parent_set_pick_named(s, SPAN("p2"), START, &p));
	assert_false(parent_set_pick_named(s, SPAN(""), START, &p));
	for (int i = 0; i < 3; i++) {
		assert_true(parent_set_pick_named(s, SPAN("p1"), START, &p));
		end(s, &p, PARENT_CONNECT, START);
	}
	assert_false(parent_set_pick_named(s, SPAN("p1"), START, &p));
	assert_true(parent_set_pick_named(s, SPAN("p1"), START + 3 * SECOND, &p)); /* a trial */
	assert_true(p.trial);
	end(s, &p, PARENT_OK, START + 3 * SECOND);
	assert_true(parent_set_pick_named(s, SPAN("p1"), START + 3 * SECOND, &p));
	end(s, &p, PARENT_OK, START + 3 * SECOND);
	parent_set_free(s);
}

static void test_figures(void **state)
{
	struct parent_set *s = set_of(2);
	unsigned key = key_for(s, 1, START);
	struct parent_view v;

	(void)state;
	assert_int_equal(view(s, 1, START).load, -1);
	for (int i = 1; i <= 100; i++) {
		struct parent_pick p = pick(s, key, START);

		parent_set_said(s, &p,
				i % 4 == 0   ? PARENT_SAID_HIT
				: i % 4 == 1 ? PARENT_SAID_JOIN
				: i % 4 == 2 ? PARENT_SAID_MISS
					     : PARENT_SAID_PASS);
		parent_set_ended(s, &p, PARENT_OK, i * 1000, 40, 10, START);
	}
	v = view(s, 1, START);
	assert_string_equal(v.member.host, "p1.test");
	assert_int_equal(v.hits, 25);
	assert_int_equal(v.joins, 25);
	assert_int_equal(v.misses, 25);
	assert_int_equal(v.passes, 25);
	assert_int_equal(v.bytes_in, 1000);
	assert_int_equal(v.load, 40);
	assert_int_equal(v.in_hand, 0);
	assert_in_range(v.ttfb_p50_us, 66000, 70000); /* of 37 … 100 ms */
	assert_in_range(v.ttfb_p95_us, 95000, 98000);
	assert_in_range(parent_set_ttfb_us(s), 60000, 70000);
	assert_string_equal(parent_state_word(PARENT_UP), "up");
	assert_string_equal(parent_state_word(PARENT_TRIAL), "trial");
	parent_set_free(s);
}

/* ---- from several threads ---- */

#define THREADS 4
#define ROUNDS 3000

struct worker {
	struct parent_set *s;
	uint64_t seed;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct parent_pick hands[8];
	struct rng r;
	unsigned n = 0;
	mono_us now = START;

	rng_seed(&r, w->seed);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct key k = key_of((unsigned)rng_below(&r, 50));

		now += (mono_us)rng_below(&r, 20000);
		if (n < 8 && parent_set_pick(w->s, &k, NULL, 0, rng_below(&r, 5) == 0, now, &hands[n]))
			n++;
		if (n && rng_below(&r, 2)) {
			parent_set_said(w->s, &hands[n - 1], PARENT_SAID_MISS);
			parent_set_ended(w->s, &hands[--n], (enum parent_outcome)rng_below(&r, 5),
					 (int64_t)rng_below(&r, 100000), (int)rng_below(&r, 256), 1, now);
		}
		(void)parent_set_ttfb_us(w->s);
	}
	while (n)
		parent_set_ended(w->s, &hands[--n], PARENT_OK, 0, -1, 0, now);
	return NULL;
}

static void test_threads(void **state)
{
	struct parent_set *s = set_of(3);
	struct parent_member two[2] = {{.name = "p0"}, {.name = "p3"}},
			     three[3] = {{.name = "p0"}, {.name = "p1"}, {.name = "p2"}};
	struct worker w[THREADS];
	struct parent_view v[8];
	pthread_t t[THREADS];
	size_t n;

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){s, i};
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 200; i++) {
		parent_set_members(s, i % 2 ? two : three, i % 2 ? 2 : 3);
		parent_set_look(s, v, 8, START);
		assert_true(parent_set_count(s) >= 2);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	n = parent_set_look(s, v, 8, START);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(v[i].in_hand, 0);
	parent_set_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_distribution),
		cmocka_unit_test(test_members_change),
		cmocka_unit_test(test_bounded_load),
		cmocka_unit_test(test_says_that_it_is_full),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_cool_down_doubles),
		cmocka_unit_test(test_trials_and_return),
		cmocka_unit_test(test_return_of_the_only_one),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_panic_and_no_connection),
		cmocka_unit_test(test_vip),
		cmocka_unit_test(test_second_tries),
		cmocka_unit_test(test_retry_budget),
		cmocka_unit_test(test_a_hedge_goes_to_the_second),
		cmocka_unit_test(test_hedges_are_counted),
		cmocka_unit_test(test_hedge_budget),
		cmocka_unit_test(test_no_hedge),
		cmocka_unit_test(test_when_it_is_late),
		cmocka_unit_test(test_whom_it_would_ask),
		cmocka_unit_test(test_to_know_earns_no_hedge),
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
