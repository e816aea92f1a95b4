#include "tests/unit/peer/puppets.h"

#define ALL 3

static struct puppets *begin(unsigned n, enum peer_lookup lookup)
{
	struct puppets *w = mem_alloc(sizeof(*w));

	puppets_init(w, n, lookup);
	return w;
}

static void end(struct puppets *w, struct peer_pursuit *p)
{
	peer_ask_ended(&p, false, 0, w->now);
	puppets_fini(w);
	free(w);
}

/* A key for which puppet 0 outranks this node, or the other way round. */
static unsigned key_ranked(struct puppets *w, bool puppet_first)
{
	for (unsigned k = 0;; k++)
		if (rendezvous_outranks(key_no(k).b, puppet_id(0), w->set->id) == puppet_first)
			return k;
}

static void nobody_to_ask(void **state)
{
	struct puppets *w = begin(0, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);

	(void)state;
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	assert_int_equal(w->answer.asked, 0);
	end(w, p);
}

static void all_say_no(void **state)
{
	struct puppets *w = begin(ALL, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);
	const struct puppet_said *q = said_to(w, 0, PEERMSG_QUERY);

	(void)state;
	assert_int_equal(q->m.query.n, 1);
	assert_int_equal(q->m.query.v[0].flags, PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING);
	assert_memory_equal(q->m.query.v[0].key.b, wire_no(1).b, PEERMSG_KEY_BYTES);
	w->now += 300;
	puppet_says_status(w, 0, PEERMSG_MISS);
	puppet_says_status(w, 1, PEERMSG_NOFETCH);
	assert_int_equal(w->answers, 0);
	puppet_says_status(w, 2, PEERMSG_DENIED);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	assert_int_equal(w->answer.asked, 3);
	assert_int_equal(w->answer.took, 300);
	assert_int_equal(score_of(w, 1)->said[PEERMSG_NOFETCH], 1);
	end(w, p);
}

static void the_first_hit_wins(void **state)
{
	struct puppets *w = begin(ALL, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);

	(void)state;
	puppet_answers(w, 1, (struct peermsg_reply_rec){.status = PEERMSG_HIT, .size = 77, .digest = {1, 2, 3}});
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_SOURCES);
	assert_int_equal(w->answer.n, 1);
	assert_int_equal(w->answer.v[0].node, puppet_id(1));
	assert_string_equal(w->answer.v[0].name, "puppet1.test");
	assert_int_equal(addr_port(&w->answer.v[0].addr), 1001);
	assert_int_equal(w->answer.v[0].size, 77);
	assert_int_equal(w->answer.v[0].digest[2], 3);
	assert_false(w->answer.v[0].pending);
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_HIT, .size = 77});
	assert_int_equal(w->answers, 1);
	end(w, p);
}

static void pending_waits_a_little_for_better(void **state)
{
	struct puppets *w = begin(ALL, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);

	(void)state;
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 2, .have = 5});
	puppet_answers(w, 1, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 1, .have = 9});
	assert_int_equal(w->answers, 0);
	puppets_tick(w, 999);
	assert_int_equal(w->answers, 0);
	puppets_tick(w, 1);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.n, 2);
	assert_int_equal(w->answer.v[0].node, puppet_id(1)); /* the smaller order */
	assert_int_equal(w->answer.v[0].order, 1);
	assert_true(w->answer.v[0].pending);
	peer_ask_ended(&p, false, 0, w->now);

	p = begin_ask(w, 2);
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 1});
	puppet_answers(w, 1, (struct peermsg_reply_rec){.status = PEERMSG_HIT, .size = 9});
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.v[0].node, puppet_id(1));
	assert_int_equal(w->answer.v[1].node, puppet_id(0));
	end(w, p);
}

static void silence_is_unknown_and_late_answers_teach(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	mono_us wait = peer_score_wait_us(score_of(w, 1));
	struct peer_pursuit *p;
	struct peer_score *s = score_of(w, 1);
	int64_t srtt;

	(void)state;
	wait = wait > peer_score_wait_us(score_of(w, 0)) ? wait : peer_score_wait_us(score_of(w, 0));
	p = begin_ask(w, 1);
	puppet_says_status(w, 0, PEERMSG_MISS);
	puppets_tick(w, wait - 1);
	assert_int_equal(w->answers, 0);
	puppets_tick(w, 1);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	assert_int_equal(s->timeouts, 1);
	assert_int_equal(s->late, 0);
	srtt = s->srtt_us;
	w->now += 500 * MS;
	puppet_says_status(w, 1, PEERMSG_HIT);
	assert_int_equal(w->answers, 1);
	assert_int_equal(s->late, 1);
	assert_true(s->srtt_us > srtt);
	assert_int_equal(s->said[PEERMSG_HIT], 0);
	assert_int_equal(s->keys_sent, s->timeouts);
	puppets_tick(w, 2500 * MS);
	puppet_says_status(w, 1, PEERMSG_HIT);
	assert_int_equal(s->late, 1); /* nobody remembers */
	assert_int_equal(s->dropped[PEER_DROP_UNASKED], 1);
	end(w, p);
}

static void only_who_was_asked_may_answer(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);
	struct peermsg m = {.env.type = PEERMSG_REPLY};

	(void)state;
	m.reply.n = 1;
	m.reply.v[0] = (struct peermsg_reply_rec){.status = PEERMSG_HIT, .size = 1};
	m.reply.qid = said_to(w, 0, PEERMSG_QUERY)->m.query.qid;
	puppet_says(w, 1, &m);
	m.reply.qid++;
	puppet_says(w, 0, &m);
	m.reply.qid--;
	m.reply.v[0].index = 1;
	puppet_says(w, 0, &m);
	assert_int_equal(w->answers, 0);
	assert_int_equal(score_of(w, 0)->dropped[PEER_DROP_UNASKED], 1);
	assert_int_equal(score_of(w, 1)->dropped[PEER_DROP_UNASKED], 1);
	m.reply.v[0].index = 0;
	puppet_says(w, 0, &m);
	assert_int_equal(w->answers, 1);
	end(w, p);
}

static void intended_leads_to_better_places_alone(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, key_ranked(w, true));

	(void)state;
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_INTENDED, .node = puppet_id(0)});
	assert_int_equal(w->answers, 0);
	puppet_says_status(w, 1, PEERMSG_MISS);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_SOURCES);
	assert_int_equal(w->answer.v[0].node, puppet_id(0));
	assert_int_equal(w->answer.v[0].order, 0);
	assert_true(w->answer.v[0].pending);
	peer_ask_ended(&p, false, 0, w->now);

	p = begin_ask(w, key_ranked(w, false));
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_INTENDED, .node = puppet_id(0)});
	puppet_says_status(w, 1, PEERMSG_MISS);
	assert_int_equal(w->answer.verdict, PEER_NOBODY); /* we outrank it */
	end(w, p);
}

static void who_asks_meanwhile(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	unsigned better = key_ranked(w, true), worse = key_ranked(w, false);
	struct peermsg_query_rec q = {.key = wire_no(better), .flags = PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING};
	struct peer_pursuit *p;
	struct peermsg_reply_rec r;
	uint64_t qids[2];

	(void)state;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_MISS); /* nobody asks yet */

	p = begin_ask(w, better);
	for (unsigned i = 0; i < 2; i++)
		qids[i] = said_to(w, i, PEERMSG_QUERY)->m.query.qid;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_MISS); /* it outranks us: we shall read from it */
	for (unsigned i = 0; i < 2; i++) {
		struct peermsg m = {.env.type = PEERMSG_REPLY};

		m.reply.qid = qids[i];
		m.reply.n = 1;
		puppet_says(w, i, &m);
	}
	assert_int_equal(w->answer.verdict, PEER_SOURCES);
	assert_int_equal(w->answer.v[0].node, puppet_id(0));
	peer_ask_ended(&p, false, 0, w->now);

	p = begin_ask(w, worse);
	q.key = wire_no(worse);
	r = ask_set(w, 0, q);
	assert_int_equal(r.status, PEERMSG_INTENDED);
	assert_int_equal(r.node, w->set->id);
	q.flags = PEERMSG_ACCEPT_PENDING;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_MISS); /* it would not fetch it */
	end(w, p);
}

/* Both have lost their source: the smaller order goes first, whatever the rank. */
static void orders_go_before_ranks(void **state)
{
	struct puppets *w = begin(1, PEER_LOOKUP_ALL);
	unsigned key = key_ranked(w, true);
	struct peermsg_query_rec q = {.key = wire_no(key),
				      .flags = PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING | PEERMSG_RESUME};
	struct peer_pursuit *p = begin_ask(w, key);
	struct peermsg_reply_rec r;

	(void)state;
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 2});
	peer_ask_streaming(p, 2, w->now);
	peer_ask_again(p, 100, NULL, 0, w->now);
	peer_set_tick(w->set, w->now);
	q.order = 4;
	r = ask_set(w, 0, q);
	assert_int_equal(r.status, PEERMSG_INTENDED);
	assert_int_equal(r.order, 3);
	q.order = 0;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_INTENDED);
	q.order = 3;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_MISS);
	q.order = 2;
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_MISS);
	end(w, p);
}

static void asking_again(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);
	uint32_t zero = puppet_id(0), one = puppet_id(1);

	(void)state;
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 2, .have = 50 << 20});
	puppets_tick(w, 1 * MS);
	peer_ask_streaming(p, 2, w->now);
	puppets_forget(w);
	peer_ask_again(p, 50 << 20, &zero, 1, w->now);
	peer_set_tick(w->set, w->now);
	assert_null(said_to(w, 0, PEERMSG_QUERY)); /* left out */
	assert_int_equal(said_to(w, 1, PEERMSG_QUERY)->m.query.v[0].order, 3);
	assert_true(said_to(w, 1, PEERMSG_QUERY)->m.query.v[0].flags & PEERMSG_RESUME);
	puppet_answers(w, 1, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 3, .have = 60 << 20});
	assert_int_equal(w->answer.verdict, PEER_NOBODY); /* not of our own order */

	peer_ask_again(p, 50 << 20, NULL, 0, w->now); /* is not counted */
	peer_set_tick(w->set, w->now);
	puppet_answers(w, 1, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 2, .have = 40 << 20});
	assert_int_equal(w->answer.verdict, PEER_NOBODY); /* far behind us; and so we are the first ourselves */

	w->answers = 0;
	peer_ask_again(p, 50 << 20, &one, 1, w->now);
	assert_int_equal(w->answers, 0);
	peer_set_tick(w->set, w->now);
	assert_int_equal(w->answers, 1);
	peer_ask_again(p, 50 << 20, &one, 1, w->now);
	puppets_forget(w);
	peer_set_tick(w->set, w->now);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->n_said, 0);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	end(w, p);
}

static void a_source_may_be_a_little_behind(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);

	(void)state;
	peer_ask_streaming(p, 2, w->now);
	peer_ask_again(p, 50 << 20, NULL, 0, w->now);
	peer_set_tick(w->set, w->now);
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 1, .have = 47 << 20});
	puppet_answers(w, 1, (struct peermsg_reply_rec){.status = PEERMSG_PENDING, .order = 2, .have = 50 << 20});
	assert_int_equal(w->answer.n, 2);
	assert_int_equal(w->answer.v[0].node, puppet_id(1));
	assert_int_equal(w->answer.v[1].node, puppet_id(0));
	end(w, p);
}

static void keys_of_one_turn_share_a_datagram(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p[100];
	unsigned keys = 0;

	(void)state;
	puppets_forget(w);
	for (unsigned i = 0; i < 100; i++) {
		struct peer_ask ask = {.key = key_no(i), .intent = true};

		p[i] = peer_ask_start(w->set, &ask, puppets_on_answer, w, w->now);
	}
	assert_int_equal(w->n_said, 0);
	peer_set_tick(w->set, w->now);
	for (size_t i = 0; i < w->n_said; i++) {
		assert_true(w->said[i].bytes <= PEERMSG_SEND_BYTES);
		keys += w->said[i].m.query.n;
	}
	assert_int_equal(keys, 200);
	assert_true(w->n_said <= 8);
	for (unsigned i = 1; i < 100; i++) /* from inside of a callback or not */
		peer_ask_ended(&p[i], false, 0, w->now);
	puppets_tick(w, 40 * MS);
	assert_int_equal(w->answers, 1);
	assert_int_equal(score_of(w, 0)->keys_sent, 100);
	assert_int_equal(score_of(w, 0)->timeouts, 100);
	end(w, p[0]);
}

static void no_answer_after_the_end(void **state)
{
	struct puppets *w = begin(1, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1), *q = NULL;

	(void)state;
	peer_ask_ended(&p, false, 0, w->now);
	assert_null(p);
	peer_ask_ended(&q, false, 0, w->now);
	puppet_says_status(w, 0, PEERMSG_HIT);
	puppets_tick(w, 100 * MS);
	assert_int_equal(w->answers, 0);
	assert_int_equal(score_of(w, 0)->said[PEERMSG_HIT], 1);

	p = begin_ask(w, 2); /* the flight fetches without waiting */
	peer_ask_fetching(p, w->now);
	puppets_tick(w, 100 * MS);
	assert_int_equal(w->answers, 0);
	end(w, p);
}

static void another_variant(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);
	struct key k = key_no(1);
	uint32_t order;

	(void)state;
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_VARY, .vary = "accept-encoding"});
	puppet_says_status(w, 1, PEERMSG_MISS);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	assert_string_equal(w->answer.vary, "accept-encoding");
	assert_true(peer_ask_order(w->set, &k, &order));
	assert_int_equal(order, 0); /* it is going to ask for the right one, not to fetch this one */
	end(w, p);
}

static void busy_is_better_than_nobody(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);

	(void)state;
	puppet_answers(w, 0, (struct peermsg_reply_rec){.status = PEERMSG_BUSY, .wait_ms = 50, .order = 1});
	puppet_says_status(w, 1, PEERMSG_MISS);
	assert_int_equal(w->answer.verdict, PEER_SOURCES);
	assert_int_equal(w->answer.v[0].node, puppet_id(0));
	peer_ask_ended(&p, false, 0, w->now);

	p = begin_ask(w, 2);
	puppet_says_status(w, 0, PEERMSG_BUSY); /* the reply was too long: says nothing of the key */
	puppet_says_status(w, 1, PEERMSG_MISS);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	end(w, p);
}

static void an_audit_counts_nowhere(void **state)
{
	struct puppets *w = begin(1, PEER_LOOKUP_ALL);
	struct peer_ask ask = {.key = key_no(1), .audit = true};
	struct key k = key_no(1);
	struct peer_pursuit *p = peer_ask_start(w->set, &ask, puppets_on_answer, w, w->now);
	uint32_t order;

	(void)state;
	peer_set_tick(w->set, w->now);
	assert_int_equal(said_to(w, 0, PEERMSG_QUERY)->m.query.v[0].flags & (PEERMSG_AUDIT | PEERMSG_INTENT),
			 PEERMSG_AUDIT);
	assert_false(peer_ask_order(w->set, &k, &order)); /* others see nothing of it */
	puppets_tick(w, 100 * MS);
	assert_int_equal(w->answers, 1);
	assert_int_equal(score_of(w, 0)->keys_sent + score_of(w, 0)->queries_sent + score_of(w, 0)->timeouts, 0);
	end(w, p);
}

static void an_error_is_a_no(void **state)
{
	struct puppets *w = begin(1, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);
	struct peermsg m = {.env.type = PEERMSG_ERR};

	(void)state;
	m.err.qid = said_to(w, 0, PEERMSG_QUERY)->m.query.qid;
	m.err.code = PEERMSG_ERR_RATE;
	puppet_says(w, 0, &m);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	assert_int_equal(score_of(w, 0)->errors, 1);
	end(w, p);
}

static void who_may_wait_at_the_door(void **state)
{
	struct puppets *w = begin(1, PEER_LOOKUP_ALL);
	unsigned key = key_ranked(w, true);
	struct key better = key_no(key), worse = key_no(key_ranked(w, false));
	struct peer_pursuit *p = begin_ask(w, key);

	(void)state;
	assert_false(peer_ask_may_wait(w->set, &worse, puppet_id(0), 0)); /* no pursuit */
	assert_false(peer_ask_may_wait(w->set, &better, puppet_id(0), 0));
	assert_false(peer_ask_may_wait(w->set, &better, puppet_id(0), 5));
	peer_ask_streaming(p, 2, w->now); /* order 3 */
	assert_true(peer_ask_may_wait(w->set, &better, puppet_id(0), 0));
	assert_true(peer_ask_may_wait(w->set, &better, puppet_id(0), 4));
	assert_false(peer_ask_may_wait(w->set, &better, puppet_id(0), 3));
	peer_ask_again(p, 0, NULL, 0, w->now); /* had 3, and nothing now */
	assert_true(peer_ask_may_wait(w->set, &better, puppet_id(0), 0));
	assert_true(peer_ask_may_wait(w->set, &better, puppet_id(0), 4));
	assert_false(peer_ask_may_wait(w->set, &better, puppet_id(0), 3)); /* it outranks us */
	peer_ask_ended(&p, false, 0, w->now);
	p = begin_ask(w, key_ranked(w, false));
	assert_true(peer_ask_may_wait(w->set, &worse, puppet_id(0), 0));
	end(w, p);
}

static void a_member_leaves(void **state)
{
	struct puppets *w = begin(2, PEER_LOOKUP_ALL);
	struct peer_pursuit *p = begin_ask(w, 1);
	struct peer_member one = puppet_member(0);

	(void)state;
	puppet_says_status(w, 0, PEERMSG_MISS);
	peer_set_members(w->set, &one, 1, w->now);
	assert_int_equal(w->answers, 0);
	peer_set_tick(w->set, w->now);
	assert_int_equal(w->answers, 1);
	end(w, p);
}

/* ---- homes ---- */

#define MANY 30

/* A key whose homes are two of the puppets. */
static unsigned key_elsewhere(struct puppets *w, unsigned homes[2])
{
	for (unsigned k = 0;; k++) {
		struct peermsg_key key = wire_no(k);
		uint32_t ids[2];

		assert_int_equal(peer__homes(w->set, &key, ids), 2);
		if (ids[0] == w->set->id || ids[1] == w->set->id)
			continue;
		for (unsigned i = 0; i < w->n; i++)
			for (unsigned h = 0; h < 2; h++)
				if (puppet_id(i) == ids[h])
					homes[h] = i;
		return k;
	}
}

static struct peermsg_reply_rec located(uint32_t node, uint32_t order)
{
	return (struct peermsg_reply_rec){
		.status = PEERMSG_LOCATED, .size = 9, .n_sources = 1, .sources = {{.node = node, .order = order}}};
}

static void the_first_home_decides(void **state)
{
	struct puppets *w = begin(MANY, PEER_LOOKUP_HOME);
	unsigned h[2], key = key_elsewhere(w, h),
		       other = (h[0] + 1) % MANY == h[1] ? (h[1] + 1) % MANY : (h[0] + 1) % MANY;
	struct peer_pursuit *p = begin_ask(w, key);

	(void)state;
	assert_int_equal(w->n_said, 2);
	assert_true(said_to(w, h[0], PEERMSG_QUERY)->m.query.v[0].flags & PEERMSG_HOME);
	puppet_answers(w, h[1], (struct peermsg_reply_rec){.status = PEERMSG_GRANT});
	assert_int_equal(w->answers, 0);
	puppet_answers(w, h[0], located(puppet_id(other), 1));
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_SOURCES);
	assert_int_equal(w->answer.v[0].node, puppet_id(other));
	peer_ask_ended(&p, false, 0, w->now);

	p = begin_ask(w, key);
	puppet_answers(w, h[1], located(puppet_id(other), 1));
	puppet_answers(w, h[0], (struct peermsg_reply_rec){.status = PEERMSG_GRANT});
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	puppets_forget(w);
	peer_ask_fetching(p, w->now);
	peer_set_tick(w->set, w->now);
	assert_int_equal(w->n_said, 0); /* they know */
	peer_ask_progress(p, 1000, w->now);
	puppets_tick(w, 499 * MS);
	peer_ask_progress(p, 2000, w->now);
	peer_set_tick(w->set, w->now);
	assert_null(said_to(w, h[0], PEERMSG_HINT));
	puppets_tick(w, 1 * MS);
	peer_ask_progress(p, 3000, w->now);
	peer_set_tick(w->set, w->now);
	assert_int_equal(said_to(w, h[0], PEERMSG_HINT)->m.hint.v[0].op, PEERMSG_PROGRESS);
	assert_int_equal(said_to(w, h[1], PEERMSG_HINT)->m.hint.v[0].bytes, 3000);
	peer_ask_progress(p, 3000 + (4 << 20), w->now);
	puppets_forget(w);
	peer_set_tick(w->set, w->now);
	assert_non_null(said_to(w, h[0], PEERMSG_HINT));
	puppets_forget(w);
	peer_ask_ended(&p, true, 5 << 20, w->now);
	peer_set_tick(w->set, w->now);
	assert_int_equal(said_to(w, h[0], PEERMSG_HINT)->m.hint.v[0].op, PEERMSG_STORED);
	end(w, p);
}

static void the_second_is_asked_again_and_used_when_the_first_is_silent(void **state)
{
	struct puppets *w = begin(MANY, PEER_LOOKUP_HOME);
	unsigned h[2], key = key_elsewhere(w, h), queries = 0;
	struct peer_pursuit *p = begin_ask(w, key);

	(void)state;
	puppet_answers(w, h[1], located(puppet_id(h[1]), 0));
	while (!w->answers)
		puppets_tick(w, 500);
	for (size_t i = 0; i < w->n_said; i++) {
		queries += w->said[i].m.env.type == PEERMSG_QUERY;
		assert_true(w->said[i].m.env.type != PEERMSG_QUERY || w->said[i].to == h[0] || i < 2);
	}
	assert_int_equal(queries, 3); /* one repeat, to the silent one */
	assert_int_equal(w->answer.verdict, PEER_SOURCES);
	assert_false(w->answer.v[0].pending);
	peer_ask_ended(&p, false, 0, w->now);

	p = begin_ask(w, key);
	puppet_says_status(w, h[0], PEERMSG_NOFETCH);
	assert_int_equal(w->answers, 0);
	puppet_answers(w, h[1], (struct peermsg_reply_rec){.status = PEERMSG_GRANT});
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	end(w, p);
}

/* Homes and intents do not mix. */
static void intended_is_no_answer_of_a_home(void **state)
{
	struct puppets *w = begin(MANY, PEER_LOOKUP_HOME);
	unsigned h[2], key = key_elsewhere(w, h);
	struct peer_pursuit *p = begin_ask(w, key);
	struct peermsg_query_rec q = {.key = wire_no(key),
				      .flags = PEERMSG_INTENT | PEERMSG_HOME | PEERMSG_ACCEPT_PENDING};

	(void)state;
	puppet_answers(w, h[0], (struct peermsg_reply_rec){.status = PEERMSG_INTENDED, .node = puppet_id(h[0])});
	puppet_says_status(w, h[1], PEERMSG_MISS);
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	peer_ask_again(p, 0, NULL, 0, w->now);
	assert_int_equal(ask_set(w, 0, q).status, PEERMSG_GRANT); /* asked as a home, it answers as one */
	end(w, p);
}

static void a_home_asks_itself(void **state)
{
	struct puppets *w = begin(MANY, PEER_LOOKUP_HOME);
	struct peer_pursuit *p;
	unsigned k;

	(void)state;
	for (k = 0;; k++) {
		struct peermsg_key key = wire_no(k);
		uint32_t ids[2];

		peer__homes(w->set, &key, ids);
		if (ids[0] == w->set->id)
			break;
	}
	p = begin_ask(w, k);
	assert_int_equal(w->answers, 1); /* nobody is asked: this node has granted it to itself */
	assert_int_equal(w->answer.verdict, PEER_NOBODY);
	assert_int_equal(w->n_said, 0);
	peer_ask_fetching(p, w->now);
	peer_set_tick(w->set, w->now);
	assert_int_equal(w->n_said, 1); /* the other home hears of it */
	assert_int_equal(w->said[0].m.hint.v[0].op, PEERMSG_PROGRESS);
	end(w, p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_to_ask),
		cmocka_unit_test(all_say_no),
		cmocka_unit_test(the_first_hit_wins),
		cmocka_unit_test(pending_waits_a_little_for_better),
		cmocka_unit_test(silence_is_unknown_and_late_answers_teach),
		cmocka_unit_test(only_who_was_asked_may_answer),
		cmocka_unit_test(intended_leads_to_better_places_alone),
		cmocka_unit_test(who_asks_meanwhile),
		cmocka_unit_test(orders_go_before_ranks),
		cmocka_unit_test(asking_again),
		cmocka_unit_test(a_source_may_be_a_little_behind),
		cmocka_unit_test(keys_of_one_turn_share_a_datagram),
		cmocka_unit_test(no_answer_after_the_end),
		cmocka_unit_test(another_variant),
		cmocka_unit_test(busy_is_better_than_nobody),
		cmocka_unit_test(an_audit_counts_nowhere),
		cmocka_unit_test(an_error_is_a_no),
		cmocka_unit_test(who_may_wait_at_the_door),
		cmocka_unit_test(a_member_leaves),
		cmocka_unit_test(the_first_home_decides),
		cmocka_unit_test(the_second_is_asked_again_and_used_when_the_first_is_silent),
		cmocka_unit_test(intended_is_no_answer_of_a_home),
		cmocka_unit_test(a_home_asks_itself),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
