#include "tests/unit/peer/sets.h"

#include "peer/peer_ask.h"

static struct sets *begin(unsigned n)
{
	struct sets *w = NEW(struct sets);

	sets_init(w, n);
	return w;
}

static void end(struct sets *w)
{
	sets_fini(w);
	free(w);
}

/* Until b is in this state for a; fails after `most` seconds. Returns after how many microseconds. */
static int64_t wait_for(struct sets *w, unsigned a, unsigned b, enum peer_state state, int64_t most)
{
	mono_us start = w->now;

	while (sets_view(w, a, b).state != state) {
		if (w->now - start > most * SETS_SECOND)
			fail_msg("still %s", peer_state_word(sets_view(w, a, b).state));
		sets_run(w, 10000);
	}
	return w->now - start;
}

static void the_life_of_a_peer(void **state)
{
	struct sets *w = begin(2);

	(void)state;
	assert_state(w, 0, 1, "new");
	sets_run(w, 10000);
	assert_state(w, 0, 1, "up");
	assert_state(w, 1, 0, "up");
	assert_true(sets_view(w, 0, 1).boot != 0);
	sets_run(w, 300 * SETS_SECOND);
	assert_state(w, 0, 1, "up");
	assert_int_equal(sets_view(w, 0, 1).score->state_changes, 1);
	assert_in_range(sets_view(w, 0, 1).score->srtt_us, 2 * SETS_FLIGHT_US, 2 * SETS_FLIGHT_US + 50);

	w->v[1].cut = true;
	assert_in_range(wait_for(w, 0, 1, PEER_SUSPECT, 20), 3 * SETS_SECOND, 14 * SETS_SECOND + 10000);
	assert_in_range(wait_for(w, 0, 1, PEER_DEAD, 20), 10 * SETS_SECOND - 10000, 10 * SETS_SECOND + 10000);
	sets_run(w, 60 * SETS_SECOND);
	assert_state(w, 0, 1, "dead");
	assert_state(w, 1, 0, "dead");

	w->v[1].cut = false;
	assert_in_range(wait_for(w, 0, 1, PEER_PROBATION, 20), 0, 10 * SETS_SECOND + 10000);
	assert_in_range(wait_for(w, 0, 1, PEER_UP, 40), 30 * SETS_SECOND - 10000, 30 * SETS_SECOND + 10000);
	end(w);
}

/* When nobody has a reason to talk, one ping each ten seconds per pair is all there is. */
static void idle_peers_are_pinged_seldom(void **state)
{
	struct sets *w = begin(2);
	uint64_t before;

	(void)state;
	sets_run(w, SETS_SECOND);
	before = w->v[0].sent + w->v[1].sent;
	sets_run(w, 600 * SETS_SECOND);
	assert_in_range(w->v[0].sent + w->v[1].sent - before, 2 * 54, 2 * 90);
	end(w);
}

static void a_suspect_is_pinged_each_second_and_the_dead_seldom(void **state)
{
	struct sets *w = begin(2);
	uint64_t before;

	(void)state;
	sets_run(w, SETS_SECOND);
	w->v[1].cut = true;
	wait_for(w, 0, 1, PEER_SUSPECT, 20);
	before = w->v[0].sent;
	wait_for(w, 0, 1, PEER_DEAD, 20);
	assert_in_range(w->v[0].sent - before, 9, 11);
	before = w->v[0].sent;
	sets_run(w, 100 * SETS_SECOND);
	assert_in_range(w->v[0].sent - before, 10, 20);
	end(w);
}

static void on_nobody(void *cookie, const struct peer_answer *answer)
{
	assert_int_equal(answer->verdict, PEER_NOBODY);
	++*(unsigned *)cookie;
}

/* Asks about so many keys at once, and waits till all is said. */
static void ask_for(struct sets *w, unsigned keys)
{
	struct peer_pursuit *p[8];
	unsigned answers = 0;

	for (unsigned i = 0; i < keys; i++) {
		struct peer_ask ask = {.key.b = {(uint8_t)i}};

		p[i] = peer_ask_start(w->v[0].set, &ask, on_nobody, &answers, w->now);
		sets_run(w, 100);
	}
	sets_run(w, 40000);
	assert_int_equal(answers, keys);
	for (unsigned i = 0; i < keys; i++)
		peer_ask_ended(&p[i], false, 0, w->now);
}

/* Eight questions get no answer within some milliseconds: one hiccup, not a death. */
static void what_is_lost_together_counts_once(void **state)
{
	struct sets *w = begin(2);

	(void)state;
	sets_run(w, SETS_SECOND);
	w->v[1].cut = true;
	ask_for(w, 8);
	assert_int_equal(sets_view(w, 0, 1).score->timeouts, 8);
	assert_state(w, 0, 1, "up");
	w->v[1].cut = false;
	ask_for(w, 1);
	w->v[1].cut = true;
	for (int i = 0; i < 3; i++) {
		assert_state(w, 0, 1, "up");
		ask_for(w, 1);
		sets_run(w, 100000);
	}
	assert_state(w, 0, 1, "suspect");
	end(w);
}

static void who_says_bye_is_not_asked_until_it_is_back(void **state)
{
	struct sets *w = begin(2);

	(void)state;
	sets_run(w, SETS_SECOND);
	peer_set_bye(w->v[1].set, 5, w->now);
	sets_run(w, 1000);
	assert_state(w, 0, 1, "draining");
	sets_run(w, 30 * SETS_SECOND); /* it still answers pings: its process has not ended yet */
	assert_state(w, 0, 1, "draining");
	sets_stop(w, 1);
	sets_run(w, 30 * SETS_SECOND);
	assert_state(w, 0, 1, "draining");
	sets_start(w, 1, 2);
	sets_run(w, 2 * SETS_SECOND);
	assert_state(w, 0, 1, "up");
	assert_state(w, 1, 0, "up");
	end(w);
}

/* One of two is restarted at once: it is up all the time, with another boot. */
static void a_new_boot_proves_itself(void **state)
{
	struct sets *w = begin(2);
	uint64_t boot;

	(void)state;
	sets_run(w, 5 * SETS_SECOND);
	boot = sets_view(w, 0, 1).boot;
	sets_stop(w, 1);
	sets_start(w, 1, 2);
	sets_run(w, 1200 * 1000);
	assert_true(sets_view(w, 0, 1).boot != boot);
	assert_state(w, 0, 1, "up");
	assert_state(w, 1, 0, "up");
	assert_int_equal(sets_view(w, 0, 1).score->state_changes, 1);
	end(w);
}

/* Its cable is out: the others have not all died, it is us. */
static void who_is_cut_off_knows_it(void **state)
{
	for (unsigned n = 4; n <= 24; n += 10) {
		struct sets *w = begin(n);
		mono_us start;

		(void)state;
		sets_run(w, 30 * SETS_SECOND);
		w->v[0].cut = true;
		start = w->now;
		while (!peer_set_is_isolated(w->v[0].set)) {
			assert_true(w->now - start < 30 * SETS_SECOND);
			sets_run(w, 10000);
		}
		assert_int_equal(peer_set_count(w->v[0].set, PEER_DEAD), 0);
		for (unsigned i = 1; i < n; i++)
			assert_false(peer_set_is_isolated(w->v[i].set));
		sets_run(w, 300 * SETS_SECOND);
		assert_true(peer_set_is_isolated(w->v[0].set));
		assert_int_equal(peer_set_count(w->v[0].set, PEER_DEAD), 0); /* frozen */
		assert_state(w, 1, 0, "dead");

		w->v[0].cut = false;
		sets_run(w, 15 * SETS_SECOND);
		assert_false(peer_set_is_isolated(w->v[0].set));
		assert_int_equal(peer_set_count(w->v[0].set, PEER_UP), n - 1);
		assert_state(w, 1, 0, "probation");
		end(w);
	}
}

/* More than half of the others die at the same time. It looks like isolation, until one of the rest answers. */
static void the_death_of_most_is_told_from_isolation(void **state)
{
	struct sets *w = begin(9);

	(void)state;
	sets_run(w, 30 * SETS_SECOND);
	for (unsigned i = 3; i < 9; i++)
		w->v[i].cut = true;
	sets_run(w, 60 * SETS_SECOND);
	assert_false(peer_set_is_isolated(w->v[0].set));
	assert_state(w, 0, 1, "up");
	assert_state(w, 0, 2, "up");
	assert_int_equal(peer_set_count(w->v[0].set, PEER_DEAD), 6);
	end(w);
}

/* Half an hour of 5 % loss, each way: a suspect now and then, never a death, nobody cut off. */
static void loss_alone_kills_nobody(void **state)
{
	struct sets *w = begin(10);

	(void)state;
	sets_run(w, 5 * SETS_SECOND);
	w->loss_percent = 5;
	for (int second = 0; second < 1800; second++) {
		sets_run(w, SETS_SECOND);
		for (unsigned i = 0; i < 10; i++) {
			assert_int_equal(peer_set_count(w->v[i].set, PEER_DEAD), 0);
			assert_in_range(peer_set_count(w->v[i].set, PEER_UP), 8, 9);
			assert_false(peer_set_is_isolated(w->v[i].set));
		}
	}
	end(w);
}

static struct peer_member *members(unsigned n)
{
	struct peer_member *m = mem_alloc(n * sizeof(*m));

	for (unsigned i = 0; i < n; i++)
		m[i] = sets_member(i);
	return m;
}

/* One set, and a thousand others: answering, silent from the start, and then silent all at once. */
static void a_thousand_members_make_no_storm(void **state)
{
	const unsigned n = 1000;
	struct sets *w = begin(1);
	struct peer_member *m = members(n);
	uint64_t sent[200] = {0};

	(void)state;
	w->keeps = true;
	assert_int_equal(peer_set_members(w->v[0].set, m, n, w->now), 0);
	for (unsigned second = 0; second < 200; second++) {
		mono_us stop = w->now + SETS_SECOND;
		uint64_t before = w->v[0].sent;

		for (; w->now < stop; sets_run(w, 20000)) {
			for (size_t i = 0; i < w->n_kept && second >= 40 && second < 140; i++) {
				struct peermsg ask, answer = {0};
				unsigned who = w->kept[i].to;
				struct speaker s = {
					.i = who, .boot = 7, .seq = (uint64_t)w->now, .secret = sets_secret};

				assert_int_equal(peermsg_parse(span_of(w->kept[i].bytes, w->kept[i].n), &ask),
						 PEERMSG_OK);
				answer = ask;
				answer.env.type = ask.env.type | 64;
				if (ask.env.type == PEERMSG_HELLO)
					sets_name(who, answer.hello.name);
				else
					assert_int_equal(ask.env.type, PEERMSG_PING);
				tell(w, &s, 0, &answer);
			}
			w->n_kept = 0;
			assert_true(peer_set_due(w->v[0].set) > w->now);
		}
		sent[second] = w->v[0].sent - before;
		if (second == 39)
			assert_int_equal(peer_set_count(w->v[0].set, PEER_DEAD), n - 1);
		if (second == 139)
			assert_int_equal(peer_set_count(w->v[0].set, PEER_UP), n - 1);
	}
	for (unsigned second = 0; second < 200; second++) {
		/* at the start and when all fall silent at once: no more than one for each, and for some seconds only */
		uint64_t most = second < 15 || (second >= 140 && second < 150) ? 1000 : 250;

		if (sent[second] > most)
			fail_msg("%llu datagrams in second %u", (unsigned long long)sent[second], second);
	}
	assert_true(peer_set_is_isolated(w->v[0].set));
	free(m);
	end(w);
}

static void the_mode_follows_the_list(void **state)
{
	static const struct {
		unsigned edges; /* with this node */
		bool homes;
	} rows[] = {{3, false}, {16, false}, {17, false}, {19, false}, {20, true}, {40, true},
		    {19, true}, {17, true},  {16, false}, {18, false}, {20, true}, {2, false}};
	struct sets *w = begin(1);
	struct peer_member *m = members(60);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (unsigned k = 0; k < 60; k++)
			m[k].role = k < rows[i].edges ? PEER_EDGE : PEER_PARENT;
		peer_set_members(w->v[0].set, m, 60, w->now);
		if (peer_set_asks_homes(w->v[0].set) != rows[i].homes)
			fail_msg("row %zu", i);
	}
	free(m);
	end(w);
}

static void members_come_and_go(void **state)
{
	struct sets *w = begin(5);
	struct peer_member m[6];
	struct peer_view moved;
	uint64_t all = peer_set_members_hash(w->v[0].set), four;

	(void)state;
	assert_true(all == peer_set_members_hash(w->v[4].set)); /* the same list, seen by another member */
	sets_run(w, SETS_SECOND);
	for (unsigned i = 0; i < 4; i++)
		m[i] = sets_member(4 - i); /* not in order, and without node 0 itself */
	m[3].addr = sets_addr(77);
	m[4] = m[0]; /* twice */
	m[5] = sets_member(0);
	assert_int_equal(peer_set_members(w->v[0].set, m, 6, w->now), 1);
	assert_true(peer_set_members_hash(w->v[0].set) == all);
	assert_int_equal(peer_set_count(w->v[0].set, PEER_UP), 4); /* who stays keeps its state */
	moved = sets_view(w, 0, 1);
	assert_int_equal(addr_port(&moved.member.addr), SETS_PORT + 77);

	assert_int_equal(peer_set_members(w->v[0].set, m, 3, w->now), 0);
	four = peer_set_members_hash(w->v[0].set);
	assert_true(four != all);
	assert_false(peer_set_find(w->v[0].set, sets_id(1), &(struct peer_view){0}));
	sets_run(w, 60 * SETS_SECOND);
	assert_int_equal(peer_set_count(w->v[0].set, PEER_UP), 3);
	assert_true(peer_set_strangers(w->v[0].set)[PEER_DROP_NO_MEMBER] > 0); /* node 1 still knows us */
	peer_set_members(w->v[0].set, NULL, 0, w->now);
	assert_int_equal(peer_set_count(w->v[0].set, PEER_UP), 0);
	sets_run(w, SETS_SECOND);
	end(w);
}

static void note_order(void *cookie, const struct peer_view *v)
{
	char *last = cookie;

	assert_true(strcmp(last, v->member.name) < 0);
	snprintf(last, PEERMSG_NAME_BYTES + 1, "%s", v->member.name);
}

static void a_member_without_an_address_waits_for_one(void **state)
{
	struct sets *w = begin(2);
	struct peer_member m = sets_member(1);
	char last[PEERMSG_NAME_BYTES + 1] = "";

	(void)state;
	m.addr.len = 0;
	peer_set_members(w->v[0].set, &(struct peer_member){.name = "x", .role = PEER_EDGE}, 1, w->now);
	peer_set_members(w->v[0].set, &m, 1, w->now);
	sets_run(w, 60 * SETS_SECOND);
	assert_state(w, 0, 1, "new");
	m = sets_member(1);
	peer_set_members(w->v[0].set, &m, 1, w->now);
	sets_run(w, SETS_SECOND);
	assert_state(w, 0, 1, "up");
	peer_set_each(w->v[0].set, note_order, last);
	assert_string_equal(last, m.name);
	end(w);
}

static void failing_fetches_make_a_suspect(void **state)
{
	struct sets *w = begin(2);
	struct peer_set *set = w->v[0].set;
	uint32_t other = sets_id(1);
	mono_us start;

	(void)state;
	sets_run(w, SETS_SECOND);
	for (int i = 0; i < 2; i++) {
		assert_state(w, 0, 1, "up");
		peer_set_fetch_began(set, other);
		peer_set_fetch_ended(set, other, false, PEER_FALSE_DIAL, 0, 0, w->now);
	}
	assert_state(w, 0, 1, "suspect");
	sets_run(w, 500000);
	assert_state(w, 0, 1, "suspect"); /* it answers datagrams, but is not tried again yet */
	assert_in_range(wait_for(w, 0, 1, PEER_UP, 3), 400000, 1600000);
	start = w->now;
	for (int i = 0; i < 10; i++) { /* and again: longer each time, up to a minute */
		peer_set_fetch_began(set, other);
		peer_set_fetch_ended(set, other, false, PEER_FALSE_TLS, 0, 0, w->now);
		assert_state(w, 0, 1, "suspect");
		wait_for(w, 0, 1, PEER_UP, 62);
	}
	assert_in_range(w->now - start, (2 + 4 + 8 + 16 + 32 + 5 * 60) * SETS_SECOND,
			(2 + 4 + 8 + 16 + 32 + 5 * 60 + 12) * SETS_SECOND);
	peer_set_fetch_began(set, other);
	assert_int_equal(sets_view(w, 0, 1).score->streams_in, 1);
	peer_set_fetch_ended(set, other, true, 0, 1000, 700, w->now);
	assert_int_equal(sets_view(w, 0, 1).score->streams_in, 0);
	assert_int_equal(sets_view(w, 0, 1).score->fetched, 1);
	assert_int_equal(sets_view(w, 0, 1).score->bytes_in, 1000);
	assert_int_equal(sets_view(w, 0, 1).score->ttfb_us, 700);
	assert_int_equal(sets_view(w, 0, 1).score->false_hits[PEER_FALSE_TLS], 10);
	peer_set_fetch_began(set, other);
	peer_set_fetch_ended(set, other, false, PEER_FALSE_DIAL, 0, 0, w->now);
	assert_state(w, 0, 1, "up"); /* one failure is none */
	end(w);
}

static void blocked_datagrams_are_told_from_death(void **state)
{
	struct sets *w = begin(2);
	struct peer_set *set = w->v[0].set;
	uint32_t other = sets_id(1);

	(void)state;
	sets_run(w, SETS_SECOND);
	w->v[1].cut = true;
	wait_for(w, 0, 1, PEER_DEAD, 30);
	peer_set_fetch_began(set, other);
	peer_set_fetch_ended(set, other, true, 0, 10, 0, w->now);
	assert_state(w, 0, 1, "dead");
	assert_in_range(wait_for(w, 0, 1, PEER_UDP_BLOCKED, 60), 45 * SETS_SECOND, 50 * SETS_SECOND);
	w->v[1].cut = false;
	wait_for(w, 0, 1, PEER_UP, 11);

	w->v[1].cut = true;
	wait_for(w, 0, 1, PEER_DEAD, 30);
	sets_run(w, 60 * SETS_SECOND);
	peer_set_fetch_ended(set, other, true, 0, 10, 0, w->now);
	assert_state(w, 0, 1, "udp-blocked");
	for (int i = 0; i < 2; i++)
		peer_set_fetch_ended(set, other, false, PEER_FALSE_DIAL, 0, 0, w->now);
	assert_state(w, 0, 1, "dead");
	end(w);
}

static void purges_are_spread_and_missed_ones_noticed(void **state)
{
	struct sets *w = begin(3);

	(void)state;
	sets_run(w, SETS_SECOND);
	peer_set_spread(w->v[0].set, 9, SPAN("a record"), w->now);
	sets_run(w, SETS_SECOND);
	assert_int_equal(w->v[1].asked_purges, 1);
	assert_int_equal(w->v[2].asked_purges, 1);
	assert_int_equal(w->v[0].asked_purges, 0);
	peer_set_state(w->v[0].set, PEERMSG_STATE_UP, 20, 1234, 9);
	peer_set_state(w->v[1].set, PEERMSG_STATE_UP, 0, 0, 9);
	sets_run(w, 20 * SETS_SECOND); /* node 2 hears it with the next ping */
	assert_int_equal(w->v[0].behind + w->v[1].behind, 0);
	assert_in_range(w->v[2].behind, 1, 20);
	assert_int_equal(sets_view(w, 2, 0).objects, 1234);
	assert_int_equal(sets_view(w, 2, 0).load, 20);
	end(w);
}

static void words(void **state)
{
	(void)state;
	assert_string_equal(peer_state_word(PEER_UDP_BLOCKED), "udp-blocked");
	assert_string_equal(peer_state_word(PEER_STATES), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_life_of_a_peer),
		cmocka_unit_test(idle_peers_are_pinged_seldom),
		cmocka_unit_test(a_suspect_is_pinged_each_second_and_the_dead_seldom),
		cmocka_unit_test(what_is_lost_together_counts_once),
		cmocka_unit_test(who_says_bye_is_not_asked_until_it_is_back),
		cmocka_unit_test(a_new_boot_proves_itself),
		cmocka_unit_test(who_is_cut_off_knows_it),
		cmocka_unit_test(the_death_of_most_is_told_from_isolation),
		cmocka_unit_test(loss_alone_kills_nobody),
		cmocka_unit_test(a_thousand_members_make_no_storm),
		cmocka_unit_test(the_mode_follows_the_list),
		cmocka_unit_test(members_come_and_go),
		cmocka_unit_test(a_member_without_an_address_waits_for_one),
		cmocka_unit_test(failing_fetches_make_a_suspect),
		cmocka_unit_test(blocked_datagrams_are_told_from_death),
		cmocka_unit_test(purges_are_spread_and_missed_ones_noticed),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
