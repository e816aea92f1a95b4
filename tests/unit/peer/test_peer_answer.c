#include "tests/unit/peer/puppets.h"

#define ASKED (PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING)

static struct puppets *begin(void)
{
	struct puppets *w = mem_alloc(sizeof(*w));

	puppets_init(w, 3, PEER_LOOKUP_ALL);
	return w;
}

static void end(struct puppets *w)
{
	puppets_fini(w);
	free(w);
}

static void what_is_here(void **state)
{
	static const struct {
		struct peer_holding holding;
		enum peermsg_status status;
	} rows[] = {
		{{.here = PEER_HERE_NOT}, PEERMSG_MISS},
		{{.here = PEER_HERE_WHOLE, .size = 5, .digest = {9}, .age_s = 3, .ttl_s = -4}, PEERMSG_HIT},
		{{.here = PEER_HERE_GROWING, .size = 5, .have = 3}, PEERMSG_MISS}, /* of no known order */
		{{.here = PEER_HERE_BUSY, .size = 5}, PEERMSG_BUSY},
		{{.here = PEER_HERE_NOT, .other_variant = true, .vary = "accept"}, PEERMSG_VARY},
	};
	struct puppets *w = begin();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct peermsg_query_rec q = {.key = wire_no(1), .flags = ASKED};
		struct peermsg_reply_rec r;

		w->holding = rows[i].holding;
		r = ask_set(w, 0, q);
		assert_int_equal(r.status, rows[i].status);
		assert_string_equal(r.vary, rows[i].holding.vary);
		if (r.status != PEERMSG_HIT)
			continue;
		assert_int_equal(r.size, 5);
		assert_int_equal(r.digest[0], 9);
		assert_int_equal(r.age_s, 3);
		assert_int_equal(r.ttl_s, -4);
	}
	assert_int_equal(score_of(w, 0)->keys_received, 5);
	assert_int_equal(score_of(w, 0)->queries_received, 5);
	assert_int_equal(score_of(w, 0)->answered[PEERMSG_MISS], 2);
	end(w);
}

static void what_is_coming(void **state)
{
	struct puppets *w = begin();
	struct peermsg_query_rec q = {.key = wire_no(1), .flags = ASKED};
	struct peer_pursuit *p = begin_ask(w, 1);
	struct peermsg_reply_rec r;

	(void)state;
	peer_ask_streaming(p, 1, w->now);
	peer_ask_progress(p, 700, w->now);
	r = ask_set(w, 0, q);
	assert_int_equal(r.status, PEERMSG_PENDING);
	assert_int_equal(r.order, 2);
	assert_int_equal(r.have, 700);
	w->holding = (struct peer_holding){.here = PEER_HERE_GROWING, .size = 1000, .have = 800};
	r = ask_set(w, 0, q);
	assert_int_equal(r.size, 1000);
	assert_int_equal(r.have, 800);
	w->holding.here = PEER_HERE_BUSY;
	r = ask_set(w, 0, q);
	assert_int_equal(r.status, PEERMSG_BUSY);
	assert_int_equal(r.order, 2);
	assert_true(r.wait_ms > 0);
	q.flags = PEERMSG_INTENT;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_MISS);
	q.flags = ASKED;
	q.has_variant = true;
	q.variant[0] = 1;
	w->holding.here = PEER_HERE_NOT;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_MISS); /* another variant than the one that comes */
	peer_ask_ended(&p, true, 1000, w->now);
	end(w);
}

static void who_does_not_answer_for_now(void **state)
{
	static const enum peermsg_node_state states[] = {PEERMSG_STATE_LOADING, PEERMSG_STATE_DRAINING};
	struct puppets *w = begin();
	struct peermsg_query_rec q = {.key = wire_no(1), .flags = ASKED};

	(void)state;
	w->holding = (struct peer_holding){.here = PEER_HERE_WHOLE, .size = 5};
	for (size_t i = 0; i < 2; i++) {
		peer_set_state(w->set, states[i], 0, 0, 0);
		assert_int_equal(ask_set(w, 0, q).status, PEERMSG_NOFETCH);
	}
	peer_set_state(w->set, PEERMSG_STATE_DISK_FULL, 0, 0, 0);
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_HIT);
	end(w);
}

static void late_far_and_audited(void **state)
{
	struct puppets *w = begin();
	struct peermsg m = {.env.type = PEERMSG_QUERY};
	struct peer *p0 = peer__find(w->set, puppet_id(0));

	(void)state;
	m.query.n = 1;
	m.query.v[0].key = wire_no(1);
	m.query.budget_ms = 5;
	peer__on_query(w->set, p0, &m, w->now - 5001, w->now);
	assert_int_equal(w->n_said, 0);
	assert_int_equal(p0->score.dropped[PEER_DROP_EXPIRED], 1);
	peer__on_query(w->set, p0, &m, w->now - 5000, w->now);
	assert_int_equal(said_to(w, 0, PEERMSG_REPLY)->m.reply.took_us, 5000);
	m.query.hop = 1;
	peer__on_query(w->set, p0, &m, w->now, w->now);
	assert_int_equal(said_to(w, 0, PEERMSG_REPLY)->m.reply.v[0].status, PEERMSG_MISS);
	m.query.hop = 2;
	peer__on_query(w->set, p0, &m, w->now, w->now);
	assert_int_equal(said_to(w, 0, PEERMSG_REPLY)->m.reply.v[0].status, PEERMSG_DENIED);
	assert_int_equal(p0->score.queries_received, 3);
	m.query.hop = 0;
	m.query.v[0].flags = PEERMSG_AUDIT;
	peer__on_query(w->set, p0, &m, w->now, w->now);
	assert_int_equal(w->n_said, 4);
	assert_int_equal(p0->score.queries_received, 3);
	assert_int_equal(p0->score.keys_received, 3);
	end(w);
}

/* However many keys, and whatever is said of them: all are answered, and with no more than three times the bytes. */
static void no_amplification(void **state)
{
	static const unsigned counts[] = {1, 2, 5, 13, 38, 50};
	struct puppets *w = begin();
	struct peer_holding holdings[4] = {
		{.here = PEER_HERE_WHOLE, .size = UINT64_MAX, .age_s = UINT32_MAX, .ttl_s = INT32_MIN},
		{.here = PEER_HERE_NOT, .other_variant = true},
		{.here = PEER_HERE_BUSY},
		{.here = PEER_HERE_NOT},
	};

	(void)state;
	memset(holdings[1].vary, 'a', PEERMSG_VARY_BYTES);
	for (size_t k = 0; k < 4; k++)
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			struct peermsg m = {.env.type = PEERMSG_QUERY};
			size_t asked, said = 0;
			unsigned answered = 0;

			puppets_forget(w);
			w->holding = holdings[k];
			m.query.qid = 1;
			m.query.n = counts[c];
			for (unsigned i = 0; i < counts[c]; i++)
				m.query.v[i] = (struct peermsg_query_rec){.key = wire_no(i), .flags = 1};
			asked = puppet_says(w, 0, &m);
			for (size_t i = 0; i < w->n_said; i++) {
				said += w->said[i].bytes;
				answered += w->said[i].m.reply.n;
			}
			assert_int_equal(answered, counts[c]);
			assert_true(said <= 3 * asked);
			assert_int_equal(w->said[0].m.reply.v[0].index, 0);
		}
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_here),
		cmocka_unit_test(what_is_coming),
		cmocka_unit_test(who_does_not_answer_for_now),
		cmocka_unit_test(late_far_and_audited),
		cmocka_unit_test(no_amplification),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
