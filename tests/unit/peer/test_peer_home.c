#include "tests/unit/peer/puppets.h"

#define SECOND 1000000LL

static struct puppets *begin(unsigned n)
{
	struct puppets *w = mem_alloc(sizeof(*w));

	puppets_init(w, n, PEER_LOOKUP_HOME);
	return w;
}

static void end(struct puppets *w)
{
	puppets_fini(w);
	free(w);
}

/* Puppet i asks the directory with intent; `order` it had, 0: none; `not_there`: puppet, -1: none. */
static struct peermsg_reply_rec asks(struct puppets *w, unsigned i, unsigned key, uint32_t order, int not_there)
{
	struct peermsg_query_rec q = {.key = wire_no(key),
				      .flags = PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING | PEERMSG_HOME,
				      .order = order,
				      .not_there = not_there < 0 ? 0 : puppet_id((unsigned)not_there)};
	struct peermsg_reply_rec r = {0};

	peer__home_answer(w->set, peer__find(w->set, puppet_id(i)), &q, w->now, &r);
	return r;
}

static void hints(struct puppets *w, unsigned i, enum peermsg_hint_op op, unsigned key, uint64_t bytes, uint32_t order,
		  uint32_t node)
{
	struct peermsg m = {.env.type = PEERMSG_HINT};

	m.hint.n = 1;
	m.hint.v[0] = (struct peermsg_hint_rec){
		.op = (uint8_t)op, .key = wire_no(key), .bytes = bytes, .order = order, .node = node};
	puppet_says(w, i, &m);
}

#define assert_located(r, first, wanted_order)                                                                         \
	do {                                                                                                           \
		struct peermsg_reply_rec r_ = (r);                                                                     \
		assert_int_equal(r_.status, PEERMSG_LOCATED);                                                          \
		assert_int_equal(r_.sources[0].node, puppet_id(first));                                                \
		assert_int_equal(r_.sources[0].order, wanted_order);                                                   \
	} while (0)

static void one_is_granted_the_others_are_led_there(void **state)
{
	struct puppets *w = begin(20);
	struct peermsg_reply_rec r = asks(w, 0, 1, 0, -1);

	(void)state;
	assert_int_equal(r.status, PEERMSG_GRANT);
	assert_int_equal(r.order, 1);
	assert_int_equal(r.wait_ms, 2000);
	assert_located(asks(w, 1, 1, 0, -1), 0, 1);
	assert_int_equal(asks(w, 0, 1, 0, -1).status, PEERMSG_GRANT); /* it had not heard it */
	assert_int_equal(asks(w, 2, 2, 0, -1).status, PEERMSG_GRANT); /* another key */
	hints(w, 0, PEERMSG_STORED, 1, 5000, 0, 0);
	r = asks(w, 1, 1, 0, -1);
	assert_located(r, 0, 0);
	assert_int_equal(r.size, 5000);
	end(w);
}

static void who_only_asks_gets_no_grant(void **state)
{
	struct puppets *w = begin(20);
	struct peermsg_query_rec q = {.key = wire_no(1), .flags = PEERMSG_HOME};
	struct peermsg_reply_rec r = {0};

	(void)state;
	peer__home_answer(w->set, peer__find(w->set, puppet_id(0)), &q, w->now, &r);
	assert_int_equal(r.status, PEERMSG_MISS);
	asks(w, 1, 1, 0, -1);
	peer__home_answer(w->set, peer__find(w->set, puppet_id(0)), &q, w->now, &r);
	assert_int_equal(r.status, PEERMSG_MISS); /* it does not want one that is still coming */
	end(w);
}

static void a_lease_ends(void **state)
{
	struct puppets *w = begin(20);

	(void)state;
	asks(w, 0, 1, 0, -1);
	w->now += 2 * SECOND - 1;
	assert_located(asks(w, 1, 1, 0, -1), 0, 1);
	hints(w, 0, PEERMSG_PROGRESS, 1, 100, 1, 0); /* renewed */
	w->now += 2 * SECOND - 1;
	assert_located(asks(w, 1, 1, 0, -1), 0, 1);
	w->now += 1;
	assert_int_equal(asks(w, 1, 1, 0, -1).status, PEERMSG_GRANT); /* one successor */
	assert_located(asks(w, 2, 1, 0, -1), 1, 1);

	hints(w, 1, PEERMSG_FAILED, 1, 0, 0, 0); /* at once */
	assert_int_equal(asks(w, 2, 1, 0, -1).status, PEERMSG_GRANT);
	assert_located(asks(w, 3, 1, 0, -1), 2, 1);
	assert_int_equal(asks(w, 3, 1, 0, 2).status, PEERMSG_GRANT); /* found it not there */
	assert_located(asks(w, 4, 1, 0, 2), 3, 1);                   /* the same complaint, later */
	end(w);
}

/* A grant of the second home, whose node was led elsewhere by the first: it is not the one that fetches. */
static void a_grant_that_was_not_needed(void **state)
{
	struct puppets *w = begin(20);

	(void)state;
	asks(w, 0, 1, 0, -1);
	hints(w, 0, PEERMSG_PROGRESS, 1, 100, 2, 0);
	assert_int_equal(asks(w, 1, 1, 2, -1).status, PEERMSG_GRANT); /* none is of a smaller order */
	assert_located(asks(w, 0, 1, 2, -1), 1, 1);
	end(w);
}

static void only_smaller_orders_are_named(void **state)
{
	struct puppets *w = begin(20);
	struct peermsg_reply_rec r;

	(void)state;
	hints(w, 0, PEERMSG_PROGRESS, 1, 500, 1, 0);
	hints(w, 1, PEERMSG_PROGRESS, 1, 400, 2, 0);
	hints(w, 2, PEERMSG_PROGRESS, 1, 300, 3, 0);
	r = asks(w, 3, 1, 3, -1);
	assert_located(r, 0, 1);
	assert_int_equal(r.n_sources, 2);
	r = asks(w, 3, 1, 2, -1);
	assert_int_equal(r.n_sources, 1);
	assert_int_equal(asks(w, 3, 1, 1, -1).status, PEERMSG_GRANT);
	end(w);
}

static void sources_take_turns(void **state)
{
	struct puppets *w = begin(20);

	(void)state;
	hints(w, 0, PEERMSG_PROGRESS, 1, 500, 1, 0);
	hints(w, 1, PEERMSG_PROGRESS, 1, 400, 2, 0);
	assert_located(asks(w, 5, 1, 0, -1), 0, 1);
	assert_located(asks(w, 6, 1, 0, -1), 0, 1);
	assert_located(asks(w, 7, 1, 0, -1), 1, 2);
	assert_located(asks(w, 8, 1, 0, -1), 1, 2);
	assert_located(asks(w, 9, 1, 0, -1), 0, 1);
	end(w);
}

static void what_is_forgotten(void **state)
{
	struct puppets *w = begin(20);

	(void)state;
	hints(w, 0, PEERMSG_STORED, 1, 500, 0, 0);
	hints(w, 1, PEERMSG_HOLDING, 1, 500, 0, 0);
	assert_int_equal(asks(w, 2, 1, 0, -1).n_sources, 2);
	w->now += 3600 * SECOND; /* does not age */
	assert_int_equal(asks(w, 2, 1, 0, -1).n_sources, 2);
	hints(w, 0, PEERMSG_EVICTED, 1, 0, 0, 0);
	assert_located(asks(w, 2, 1, 0, -1), 1, 0);
	hints(w, 3, PEERMSG_NOT_THERE, 1, 0, 0, puppet_id(1));
	assert_int_equal(asks(w, 2, 1, 0, -1).status, PEERMSG_GRANT);

	hints(w, 0, PEERMSG_STORED, 2, 500, 0, 0);
	peer__home_forget(w->set, puppet_id(0));
	assert_int_equal(asks(w, 2, 2, 0, -1).status, PEERMSG_GRANT);
	end(w);
}

/* More than the directory keeps: those with the whole stay, and the one that fetches. */
static void many_holders(void **state)
{
	struct puppets *w = begin(30);
	struct peermsg_reply_rec r;

	(void)state;
	asks(w, 0, 1, 0, -1);
	hints(w, 1, PEERMSG_STORED, 1, 900, 0, 0);
	for (unsigned i = 2; i < 30; i++) {
		w->now += MS;
		hints(w, i, PEERMSG_PROGRESS, 1, i, i, 0);
	}
	r = asks(w, 29, 1, 0, -1);
	assert_located(r, 1, 0);
	assert_int_equal(r.n_sources, PEERMSG_SOURCES);
	assert_int_equal(r.sources[1].node, puppet_id(0));
	assert_int_equal(r.sources[2].order, 24); /* of 24 to 29, who were heard last */
	end(w);
}

static void homes_are_the_best_two(void **state)
{
	struct puppets *w = begin(25);
	unsigned firsts[PUPPETS_MOST + 1] = {0};

	(void)state;
	for (unsigned k = 0; k < 500; k++) {
		struct peermsg_key key = wire_no(k);
		uint32_t ids[2];
		unsigned better_than_second = 0;

		assert_int_equal(peer__homes(w->set, &key, ids), 2);
		assert_true(rendezvous_outranks(key.b, ids[0], ids[1]));
		for (unsigned i = 0; i <= 25; i++) {
			uint32_t id = i == 25 ? w->set->id : puppet_id(i);

			better_than_second += rendezvous_outranks(key.b, id, ids[1]);
			firsts[i] += id == ids[0];
		}
		assert_int_equal(better_than_second, 1);
	}
	for (unsigned i = 0; i <= 25; i++)
		assert_in_range(firsts[i], 2, 60);
	end(w);
}

static void without_others_this_node_is_the_home(void **state)
{
	struct puppets *w = begin(0);
	struct peermsg_key key = wire_no(1);
	uint32_t ids[2];

	(void)state;
	assert_int_equal(peer__homes(w->set, &key, ids), 1);
	assert_int_equal(ids[0], w->set->id);
	end(w);
}

static void hints_are_sent_together(void **state)
{
	struct puppets *w = begin(22);
	unsigned told = 0;

	(void)state;
	puppets_forget(w);
	for (unsigned i = 0; i < 600; i++) {
		struct peermsg_key k = wire_no(i);

		peer_ask_note(w->set, &k, true, 1000, w->now);
	}
	assert_int_equal(w->n_said, 0);
	assert_true(peer_set_due(w->set) <= w->now);
	peer_set_tick(w->set, w->now);
	for (size_t i = 0; i < w->n_said; i++) {
		assert_int_equal(w->said[i].m.env.type, PEERMSG_HINT);
		assert_true(w->said[i].bytes <= PEERMSG_SEND_BYTES);
		told += w->said[i].m.hint.n;
	}
	for (unsigned i = 0; i < 600; i++) { /* those that this node is a home of itself were not sent */
		struct peermsg_key key = wire_no(i);
		uint32_t ids[2];

		peer__homes(w->set, &key, ids);
		told += ids[0] == w->set->id || ids[1] == w->set->id;
	}
	assert_int_equal(told, 1200);
	assert_true(w->n_said < 22 * 4);
	end(w);
}

static struct peermsg_hint_rec told_of(struct puppets *w, const struct peermsg_key *key)
{
	puppets_forget(w);
	peer_ask_note(w->set, key, false, 0, w->now);
	peer_set_tick(w->set, w->now);
	for (size_t i = 0; i < w->n_said; i++)
		if (w->said[i].m.env.type == PEERMSG_HINT)
			return w->said[i].m.hint.v[0];
	return (struct peermsg_hint_rec){0};
}

/* While it is sought again, its end says how it is: EVICTED would take the grant away. */
static void what_has_gone_is_told_unless_it_is_sought(void **state)
{
	struct puppets *w = begin(22);
	struct peermsg_key key = wire_no(1);
	struct peer_pursuit *p;
	struct peermsg_hint_rec h = told_of(w, &key);

	(void)state;
	assert_int_equal(h.op, PEERMSG_EVICTED);
	assert_memory_equal(h.key.b, key.b, sizeof(key.b));
	p = begin_ask(w, 1);
	assert_int_equal(told_of(w, &key).op, 0);
	peer_ask_fetching(p, w->now);
	assert_int_not_equal(told_of(w, &key).op, PEERMSG_EVICTED);
	peer_ask_ended(&p, true, 1000, w->now);
	peer_set_tick(w->set, w->now);
	assert_int_equal(told_of(w, &key).op, PEERMSG_EVICTED);
	end(w);
}

static void who_asks_all_tells_nobody(void **state)
{
	struct puppets *w = mem_alloc(sizeof(*w));
	struct peermsg_key k = wire_no(1);

	(void)state;
	puppets_init(w, 3, PEER_LOOKUP_ALL);
	assert_false(peer_set_tells_homes(w->set));
	puppets_forget(w);
	peer_ask_note(w->set, &k, true, 1000, w->now);
	peer_set_tick(w->set, w->now);
	assert_int_equal(w->n_said, 0);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_granted_the_others_are_led_there),
		cmocka_unit_test(who_only_asks_gets_no_grant),
		cmocka_unit_test(a_lease_ends),
		cmocka_unit_test(a_grant_that_was_not_needed),
		cmocka_unit_test(only_smaller_orders_are_named),
		cmocka_unit_test(sources_take_turns),
		cmocka_unit_test(what_is_forgotten),
		cmocka_unit_test(many_holders),
		cmocka_unit_test(homes_are_the_best_two),
		cmocka_unit_test(without_others_this_node_is_the_home),
		cmocka_unit_test(hints_are_sent_together),
		cmocka_unit_test(what_has_gone_is_told_unless_it_is_sought),
		cmocka_unit_test(who_asks_all_tells_nobody),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
