/* peer_wire: what opens, what does not, and what a recording can do. Through peer_set_receive: by what is seen from outside. */
#include "tests/unit/peer/sets.h"

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

/* One set, node 0, whose member 1 is played by the test. */
static struct sets *begin_alone(struct speaker *s)
{
	struct sets *w = begin(1);
	struct peer_member m = sets_member(1);

	peer_set_members(w->v[0].set, &m, 1, w->now);
	*s = (struct speaker){.i = 1, .boot = 77, .secret = sets_secret};
	w->keeps = true;
	return w;
}

static struct peermsg ping(void)
{
	return (struct peermsg){.env.type = PEERMSG_PING, .ping = {.nonce = 5, .state = PEERMSG_STATE_UP}};
}

static struct peermsg purge(void)
{
	return (struct peermsg){.env.type = PEERMSG_INVALIDATE, .invalidate = {.qid = 6, .serial = 8, .n = 1}};
}

static uint64_t dropped(struct sets *w, enum peer_drop why)
{
	return sets_view(w, 0, 1).score->dropped[why];
}

/* Proves the speaker's boot to node 0 as a node does: by answering its HELLO. */
static void prove(struct sets *w, struct speaker *s)
{
	struct peermsg hello, back;

	sets_run(w, 2 * SETS_SECOND);
	assert_true(last_said(w, 0, s->i, &hello));
	back = hello;
	back.env.type = hello.env.type | 64;
	if (hello.env.type == PEERMSG_HELLO)
		sets_name(s->i, back.hello.name);
	tell(w, s, 0, &back);
	assert_true(sets_view(w, 0, s->i).boot == s->boot);
	w->n_kept = 0;
}

/* Does node 0 act upon a purge said under the speaker's next number? */
static bool purges(struct sets *w, struct speaker *s)
{
	struct peermsg m = purge();
	uint64_t before = w->v[0].asked_purges;

	tell(w, s, 0, &m);
	return w->v[0].asked_purges > before;
}

static bool answers_ping(struct sets *w, struct speaker *s)
{
	struct peermsg m = ping();
	uint64_t before = w->v[0].sent;

	tell(w, s, 0, &m);
	return w->v[0].sent > before;
}

static void what_does_not_open_is_counted_and_never_answered(void **state)
{
	struct speaker s;
	struct sets *w = begin_alone(&s);
	const uint64_t *strangers = peer_set_strangers(w->v[0].set);
	struct addr from = sets_addr(1);
	struct speaker other;
	char bytes[PEERMSG_MAX_BYTES];
	struct peermsg m = ping();
	struct span d;
	uint64_t sent;

	(void)state;
	sets_run(w, 10000);
	sent = w->v[0].sent;
	peer_set_receive(w->v[0].set, &from, SPAN("nonsense"), w->now, w->now);
	peer_set_receive(w->v[0].set, &from, SPAN_NONE, w->now, w->now);
	assert_int_equal(strangers[PEER_DROP_MALFORMED], 2);
	other = s;
	other.i = 9;
	tell(w, &other, 0, &m);
	assert_int_equal(strangers[PEER_DROP_NO_MEMBER], 1);
	other = s;
	other.dst = sets_id(3);
	tell(w, &other, 0, &m);
	assert_int_equal(dropped(w, PEER_DROP_WRONG_NODE), 1);
	other = s;
	other.secret.b[31] ^= 1;
	tell(w, &other, 0, &m);
	other = s;
	other.secret.kid = 2;
	tell(w, &other, 0, &m);
	assert_int_equal(dropped(w, PEER_DROP_AUTH), 2);
	other = s;
	other.boot = 0;
	tell(w, &other, 0, &m);
	other = s;
	other.seq = UINT64_MAX;
	tell(w, &other, 0, &m);
	assert_int_equal(dropped(w, PEER_DROP_MALFORMED), 2);
	d = speak(&s, 0, &m, bytes);
	for (size_t at = 33; at < d.n; at++) { /* the body and the tag */
		bytes[at] ^= 1;
		peer_set_receive(w->v[0].set, &from, d, w->now, w->now);
		bytes[at] ^= 1;
	}
	assert_int_equal(dropped(w, PEER_DROP_AUTH) + strangers[PEER_DROP_MALFORMED], 2 + 2 + d.n - 33);
	assert_true(dropped(w, PEER_DROP_AUTH) > 2 + PEERMSG_TAG_BYTES);
	assert_int_equal(w->v[0].sent, sent);
	assert_state(w, 0, 1, "new");
	end(w);
}

static void the_window_takes_each_number_once(void **state)
{
	static const struct {
		uint64_t seq;
		bool taken;
	} rows[] = {
		{2000, true},  {2000, false}, {1999, true}, {1999, false}, {1500, true},  {977, true},   {976, false},
		{2001, true},  {977, false},  {978, true},  {3025, true},  {2001, false}, {2002, true},  {3024, true},
		{3024, false}, {9000, true},  {7977, true}, {7976, false}, {8999, true},  {8999, false}, {9001, true},
		{10025, true}, {9001, false}, {9002, true}, {1, false},    {0, false},
	};
	struct speaker s;
	struct sets *w = begin_alone(&s);

	(void)state;
	prove(w, &s);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s.seq = rows[i].seq - 1;
		if (purges(w, &s) != rows[i].taken)
			fail_msg("row %zu", i);
		sets_run(w, SETS_SECOND / 10);
	}
	end(w);
}

static void what_changes_something_needs_a_proven_boot(void **state)
{
	static const enum peermsg_type types[] = {PEERMSG_HINT, PEERMSG_INVALIDATE, PEERMSG_BYE};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct speaker s;
		struct sets *w = begin_alone(&s);
		struct peermsg m = purge(), err, hello = {.env.type = PEERMSG_HELLO};

		m.env.type = (uint8_t)types[i];
		if (types[i] == PEERMSG_HINT)
			m.hint = (struct peermsg_hint){.n = 1, .v[0].op = PEERMSG_STORED};
		sets_run(w, 10000);
		w->n_kept = 0;
		tell(w, &s, 0, &m);
		assert_int_equal(w->v[0].asked_purges, 0);
		assert_state(w, 0, 1, "new");
		assert_true(last_said(w, 0, 1, &err));
		assert_int_equal(err.env.type, PEERMSG_ERR);
		assert_int_equal(err.err.code, PEERMSG_ERR_BOOT);
		assert_true(err.err.has_challenge);

		hello.hello = (struct peermsg_hello){.version_min = 1, .version_max = 1, .role = 1, .has_echo = true};
		sets_name(1, hello.hello.name);
		memcpy(hello.hello.echo, err.err.challenge, 16);
		hello.hello.echo[0] ^= 1;
		tell(w, &s, 0, &hello); /* not the echo */
		assert_state(w, 0, 1, "new");
		hello.hello.echo[0] ^= 1;
		tell(w, &s, 0, &hello);
		assert_state(w, 0, 1, "up");
		assert_true(purges(w, &s));

		s.boot++; /* the same echo proves nothing twice */
		tell(w, &s, 0, &hello);
		assert_false(purges(w, &s));
		end(w);
	}
}

static void a_challenge_does_not_keep(void **state)
{
	struct speaker s;
	struct sets *w = begin_alone(&s);
	struct peermsg err, hello = {.env.type = PEERMSG_HELLO};

	(void)state;
	sets_run(w, 10000);
	assert_false(purges(w, &s));
	assert_true(last_said(w, 0, 1, &err));
	sets_run(w, 11 * SETS_SECOND);
	hello.hello = (struct peermsg_hello){.version_min = 1, .version_max = 1, .role = 1, .has_echo = true};
	sets_name(1, hello.hello.name);
	memcpy(hello.hello.echo, err.err.challenge, 16);
	tell(w, &s, 0, &hello);
	assert_false(purges(w, &s));
	end(w);
}

/* Two nodes live through a purge, a bye and a restart; all that node 1 ever said is then said to node 0 again, at once and slowly. */
static void recordings_change_nothing(void **state)
{
	struct sets *w = begin(2);
	struct sets_letter *tape = mem_alloc(SETS_KEPT * sizeof(*tape));
	struct addr from = sets_addr(99);
	struct peer_view before;
	uint64_t sent, purges_before, changes;
	size_t n = 0;

	(void)state;
	w->keeps = true;
	sets_run(w, 30 * SETS_SECOND);
	peer_set_spread(w->v[1].set, 4, SPAN("record"), w->now);
	sets_run(w, SETS_SECOND);
	peer_set_bye(w->v[1].set, 1, w->now);
	sets_run(w, SETS_SECOND);
	assert_state(w, 0, 1, "draining");
	sets_stop(w, 1);
	sets_start(w, 1, 2);
	sets_run(w, 30 * SETS_SECOND);
	assert_state(w, 0, 1, "up");
	for (size_t i = 0; i < w->n_kept; i++)
		if (w->kept[i].from == 1)
			tape[n++] = w->kept[i];
	assert_true(n > 8);

	before = sets_view(w, 0, 1);
	changes = before.score->state_changes;
	purges_before = w->v[0].asked_purges;
	w->keeps = false;
	sent = w->v[0].sent;
	for (int round = 0; round < 50; round++)
		for (size_t i = 0; i < n; i++)
			peer_set_receive(w->v[0].set, &from, span_of(tape[i].bytes, tape[i].n), w->now, w->now);
	assert_true(w->v[0].sent - sent <= 20); /* the rate of a boot that is not proven */
	for (int round = 0; round < 100; round++) {
		for (size_t i = 0; i < n; i++) {
			peer_set_receive(w->v[0].set, &from, span_of(tape[i].bytes, tape[i].n), w->now, w->now);
			sets_run(w, 20000);
		}
	}
	assert_state(w, 0, 1, "up");
	assert_int_equal(sets_view(w, 0, 1).score->state_changes, changes);
	assert_true(sets_view(w, 0, 1).boot == before.boot);
	assert_int_equal(w->v[0].asked_purges, purges_before);
	peer_set_spread(w->v[1].set, 5, SPAN("record"), w->now); /* its window has not moved either */
	sets_run(w, SETS_SECOND);
	assert_int_equal(w->v[0].asked_purges, purges_before + 1);

	w->v[1].cut = true; /* nor do they keep a dead one alive */
	for (int second = 0; second < 60; second++) {
		for (size_t i = 0; i < n; i++)
			peer_set_receive(w->v[0].set, &from, span_of(tape[i].bytes, tape[i].n), w->now, w->now);
		sets_run(w, SETS_SECOND);
	}
	assert_state(w, 0, 1, "dead");
	free(tape);
	end(w);
}

/* An old challenge, repeated for ever, does not put off the end of a dead one. */
static void repeated_challenges_keep_nobody_alive(void **state)
{
	struct speaker s;
	struct sets *w = begin_alone(&s);
	struct speaker old = {.i = 1, .boot = 3, .secret = sets_secret};

	(void)state;
	prove(w, &s);
	assert_state(w, 0, 1, "up");
	for (int i = 0; i < 4000; i++) {
		struct peermsg err = {.env.type = PEERMSG_ERR,
				      .err = {.code = PEERMSG_ERR_BOOT, .has_challenge = true}};

		old.seq = 1;
		tell(w, &old, 0, &err);
		w->n_kept = 0;
		sets_run(w, 10000);
	}
	assert_state(w, 0, 1, "dead");
	end(w);
}

static void who_is_not_proven_is_answered_slowly(void **state)
{
	struct speaker s;
	struct sets *w = begin_alone(&s);
	unsigned answered = 0;

	(void)state;
	sets_run(w, 10000);
	for (int i = 0; i < 500; i++)
		answered += answers_ping(w, &s);
	assert_int_equal(answered, 20);
	sets_run(w, 500000);
	answered = 0;
	for (int i = 0; i < 500; i++)
		answered += answers_ping(w, &s);
	assert_in_range(answered, 9, 10);
	assert_int_equal(dropped(w, PEER_DROP_RATE), 1000 - 20 - answered);

	prove(w, &s);
	answered = 0;
	for (int i = 0; i < 500; i++) {
		answered += answers_ping(w, &s);
		if (i % 20 == 19)
			sets_run(w, 1000); /* the wire holds only so many */
	}
	assert_int_equal(answered, 500);
	end(w);
}

static void queries_have_a_rate(void **state)
{
	struct speaker s;
	struct sets *w = begin_alone(&s);
	struct peermsg m = {.env.type = PEERMSG_QUERY}, err;

	(void)state;
	prove(w, &s);
	m.query.n = 19;
	m.query.budget_ms = 20;
	for (int i = 0; i < 600; i++) {
		m.query.qid = (uint64_t)i + 1;
		w->n_kept = 0;
		tell(w, &s, 0, &m);
		if (i % 20 == 19)
			sets_run(w, 400);
	}
	/* 11400 keys: 10000 at once, and 60 in 12 ms */
	assert_in_range(dropped(w, PEER_DROP_RATE), 70, 73);
	assert_true(last_said(w, 0, 1, &err));
	assert_int_equal(err.env.type, PEERMSG_ERR);
	assert_int_equal(err.err.code, PEERMSG_ERR_RATE);
	assert_int_equal(err.err.qid, 600);
	end(w);
}

/* Add the new secret everywhere, let everybody use it, remove the old one: at any moment all understand each other. */
static void keys_change_without_a_gap(void **state)
{
	struct sets *w = begin(3);
	struct peer_secret both[2] = {sets_secret, {.kid = 9, .b = "another one of thirty-two bytes"}};

	(void)state;
	sets_run(w, 30 * SETS_SECOND);
	for (unsigned phase = 0; phase < 3; phase++) {
		for (unsigned i = 0; i < 3; i++) {
			if (phase == 0)
				peer_set_secrets(w->v[i].set, both, 2, 1);
			else if (phase == 1)
				peer_set_secrets(w->v[i].set, both, 2, 9);
			else
				peer_set_secrets(w->v[i].set, both + 1, 1, 9);
			sets_run(w, 25 * SETS_SECOND);
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = 0; k < 3; k++) {
			if (i == k)
				continue;
			assert_state(w, i, k, "up");
			assert_int_equal(sets_view(w, i, k).score->state_changes, 1);
			assert_int_equal(sets_view(w, i, k).score->dropped[PEER_DROP_AUTH], 0);
		}
	}
	peer_set_secrets(w->v[2].set, NULL, 0, 0); /* none at all: says and hears nothing */
	sets_run(w, 60 * SETS_SECOND);
	assert_state(w, 0, 2, "dead");
	assert_true(sets_view(w, 2, 0).score->dropped[PEER_DROP_AUTH] > 0);
	end(w);
}

/* Whatever comes, and from wherever: answers go to the member's own address, and are never more than three times as long. */
static void answers_neither_reflect_nor_amplify(void **state)
{
	static const enum peermsg_type types[] = {PEERMSG_HELLO, PEERMSG_PING,       PEERMSG_QUERY,
						  PEERMSG_HINT,  PEERMSG_INVALIDATE, PEERMSG_BYE};
	struct addr elsewhere = sets_addr(55);

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct speaker s;
		struct sets *w = begin_alone(&s);
		struct peermsg m = {.env.type = (uint8_t)types[i]};
		char bytes[PEERMSG_MAX_BYTES];
		size_t asked = 0, told = 0;
		struct span d;

		if (types[i] == PEERMSG_HELLO) {
			m.hello = (struct peermsg_hello){.version_min = 1, .version_max = 1, .role = 1};
			sets_name(1, m.hello.name);
		} else if (types[i] == PEERMSG_QUERY) {
			m.query = (struct peermsg_query){.qid = 1, .budget_ms = 20, .n = 1};
		} else if (types[i] == PEERMSG_HINT) {
			m.hint = (struct peermsg_hint){.n = 1, .v[0].op = PEERMSG_STORED};
		} else if (types[i] == PEERMSG_INVALIDATE) {
			m.invalidate = (struct peermsg_invalidate){.n = 1};
		}
		sets_run(w, 10000);
		w->n_kept = 0;
		for (int k = 0; k < 10; k++) {
			d = speak(&s, 0, &m, bytes);
			asked += d.n;
			peer_set_receive(w->v[0].set, &elsewhere, d, w->now, w->now);
		}
		assert_true(w->n_kept > 0);
		for (size_t k = 0; k < w->n_kept; k++) {
			assert_int_equal(w->kept[k].to, 1);
			told += w->kept[k].n;
		}
		if (told > 3 * asked)
			fail_msg("type %d: %zu bytes for %zu", types[i], told, asked);
		end(w);
	}
}

static void another_version_is_told_and_another_name_refused(void **state)
{
	struct speaker s;
	struct sets *w = begin_alone(&s);
	struct peermsg hello = {.env.type = PEERMSG_HELLO}, err;

	(void)state;
	sets_run(w, 10000);
	hello.hello = (struct peermsg_hello){.version_min = 2, .version_max = 4, .role = 1};
	sets_name(1, hello.hello.name);
	tell(w, &s, 0, &hello);
	assert_true(last_said(w, 0, 1, &err));
	assert_int_equal(err.env.type, PEERMSG_ERR);
	assert_int_equal(err.err.code, PEERMSG_ERR_VERSION);
	hello.hello.version_min = 1;
	sets_name(2, hello.hello.name);
	w->n_kept = 0;
	tell(w, &s, 0, &hello);
	assert_int_equal(w->n_kept, 0);
	assert_int_equal(dropped(w, PEER_DROP_NO_MEMBER), 1);
	end(w);
}

static void unasked_answers_are_nothing(void **state)
{
	static const enum peermsg_type types[] = {PEERMSG_HELLO_BACK, PEERMSG_PONG, PEERMSG_REPLY, PEERMSG_INVALIDATED};
	struct speaker s;
	struct sets *w = begin_alone(&s);

	(void)state;
	sets_run(w, 10000);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct peermsg m = {.env.type = (uint8_t)types[i]};
		uint64_t sent = w->v[0].sent;

		if (types[i] == PEERMSG_HELLO_BACK) {
			m.hello = (struct peermsg_hello){.nonce = 4, .version_min = 1, .version_max = 1, .role = 1};
			sets_name(1, m.hello.name);
		} else if (types[i] == PEERMSG_PONG) {
			m.ping.nonce = 4;
			m.ping.state = PEERMSG_STATE_UP;
		} else if (types[i] == PEERMSG_REPLY) {
			m.reply = (struct peermsg_reply){.qid = 4, .n = 1};
		}
		tell(w, &s, 0, &m);
		assert_int_equal(dropped(w, PEER_DROP_UNASKED), i + 1);
		assert_int_equal(w->v[0].sent, sent);
		assert_state(w, 0, 1, "new");
	}
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_open_is_counted_and_never_answered),
		cmocka_unit_test(the_window_takes_each_number_once),
		cmocka_unit_test(what_changes_something_needs_a_proven_boot),
		cmocka_unit_test(a_challenge_does_not_keep),
		cmocka_unit_test(recordings_change_nothing),
		cmocka_unit_test(repeated_challenges_keep_nobody_alive),
		cmocka_unit_test(who_is_not_proven_is_answered_slowly),
		cmocka_unit_test(queries_have_a_rate),
		cmocka_unit_test(keys_change_without_a_gap),
		cmocka_unit_test(answers_neither_reflect_nor_amplify),
		cmocka_unit_test(another_version_is_told_and_another_name_refused),
		cmocka_unit_test(unasked_answers_are_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
