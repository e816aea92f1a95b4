#include "node/base/hash.h"
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

/* ---- what is told of it ---- */

struct told {
	unsigned n, invalid;
	size_t bytes;
	struct peer_asked v[64];
};

static void on_asked(void *cookie, const struct peer_asked *a)
{
	struct told *t = ((struct puppets *)cookie)->told;

	assert_string_equal(a->asker->name, puppet_member(0).name);
	t->bytes += a->bytes;
	t->invalid += a->is_invalid;
	assert_true(t->n < 64);
	t->v[t->n++] = *a;
}

static size_t said_bytes(const struct puppets *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_said; i++)
		n += w->said[i].bytes;
	return n;
}

/* Each key with what was said to it, and all bytes of the answers; AUDITs are not told. */
static void each_key_is_told(void **state)
{
	struct puppets *w = begin();
	struct told told = {0};
	struct peermsg m = {.env.type = PEERMSG_QUERY, .query = {.qid = 7, .budget_ms = 100, .n = 38}};

	(void)state;
	w->told = &told;
	w->set->ground.asked = on_asked;
	w->holding = (struct peer_holding){.here = PEER_HERE_WHOLE, .size = 5, .digest = {9}};
	for (unsigned i = 0; i < m.query.n; i++)
		m.query.v[i] = (struct peermsg_query_rec){.key = wire_no(i), .flags = ASKED};
	puppets_forget(w);
	puppet_says(w, 0, &m);
	assert_int_equal(told.n, 38);
	assert_int_equal(told.bytes, said_bytes(w));
	for (unsigned i = 0; i < told.n; i++) {
		assert_int_equal(told.v[i].said,
				 i < w->said[0].m.reply.n ? w->said[0].m.reply.v[i].status : told.v[i].said);
		assert_memory_equal(told.v[i].key.b, wire_no(i).b, PEERMSG_KEY_BYTES);
	}
	m.query.n = 1;
	m.query.v[0].flags |= PEERMSG_AUDIT;
	puppet_says(w, 0, &m);
	assert_int_equal(told.n, 38);
	end(w);
}

/* Sealed as it should be, but its body is no map. */
static void puppet_babbles(struct puppets *w, unsigned i)
{
	struct addr from = puppet_member(i).addr;
	struct peermsg m = {.env = {PEERMSG_VERSION, PEERMSG_QUERY, 1, puppet_id(i), w->set->id, 1000 + i, ++w->seq[i]},
			    .query = {.qid = 7, .n = 1}};
	uint8_t tag[SHA256_BYTES];
	char bytes[PEERMSG_MAX_BYTES];
	struct buf b = buf_over(bytes, sizeof(bytes));

	assert_int_equal(peermsg_format(&b, &m, puppets_secret.b), 1);
	bytes[33] = (char)0xc1;
	hmac_sha256(puppets_secret.b, sizeof(puppets_secret.b), span_of(bytes, b.n - 16), tag);
	memcpy(bytes + b.n - 16, tag, 16);
	peer_set_receive(w->set, &from, buf_span(&b), w->now, w->now);
}

static void what_is_refused_is_told(void **state)
{
	struct puppets *w = begin();
	struct told told = {0};
	struct peermsg m = {.env.type = PEERMSG_QUERY, .query = {.qid = 7, .n = 38, .budget_ms = 100}};

	(void)state;
	for (unsigned i = 0; i < m.query.n; i++)
		m.query.v[i] = (struct peermsg_query_rec){.key = wire_no(i), .flags = ASKED};
	do {
		puppets_forget(w);
		puppet_says(w, 0, &m);
	} while (w->said[0].m.env.type != PEERMSG_ERR);
	w->told = &told;
	w->set->ground.asked = on_asked;
	puppets_forget(w);
	puppet_says(w, 0, &m);
	assert_int_equal(told.n, 38);
	assert_int_equal(told.v[37].said, PEERMSG_DENIED);
	assert_int_equal(told.bytes, said_bytes(w));
	puppets_forget(w);
	puppet_babbles(w, 0);
	assert_int_equal(told.invalid, 1);
	assert_int_equal(w->n_said, 0);
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
		cmocka_unit_test(each_key_is_told),
		cmocka_unit_test(what_is_refused_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
