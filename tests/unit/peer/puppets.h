/* puppets: one peer_set, and members around it that say what the test has them say. */
#ifndef TESTS_UNIT_PEER_PUPPETS_H
#define TESTS_UNIT_PEER_PUPPETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/mem.h"
#include "peer/peer_internal.h"
#include "proto/rendezvous.h"

#define PUPPETS_MOST 40
#define PUPPETS_SAID 512
#define MS 1000LL

struct puppet_said {
	unsigned to;
	size_t bytes;
	struct peermsg m;
};

struct puppets {
	struct peer_set *set;
	mono_us now;
	unsigned n;
	uint64_t seq[PUPPETS_MOST];
	struct puppet_said *said; /* by the set, since puppets_forget */
	size_t n_said;
	struct peer_holding holding; /* what is here, under any key */
	struct peer_answer answer;
	unsigned answers;
	void *told; /* the test's */
};

static const struct peer_secret puppets_secret = {.kid = 1, .b = "a secret of thirty-two bytes...."};

static inline struct peer_member puppet_member(unsigned i)
{
	struct peer_member m = {.role = PEER_EDGE};

	snprintf(m.name, sizeof(m.name), "puppet%u.test", i);
	assert_int_equal(addr_parse_ip(SPAN("127.0.0.1"), (uint16_t)(1000 + i), &m.addr), 0);
	return m;
}

static inline uint32_t puppet_id(unsigned i)
{
	struct peer_member m = puppet_member(i);

	return rendezvous_node_id(span_str(m.name));
}

static inline void puppets_on_send(void *cookie, const struct addr *to, struct span datagram)
{
	struct puppets *w = cookie;
	struct puppet_said *s = &w->said[w->n_said++];

	assert_true(w->n_said < PUPPETS_SAID);
	s->to = addr_port(to) - 1000U;
	s->bytes = datagram.n;
	assert_int_equal(peermsg_parse(datagram, &s->m), PEERMSG_OK);
}

static inline void puppets_on_look(void *cookie, const struct peermsg_key *k, const struct key_variant *v,
				   struct peer_holding *out)
{
	struct puppets *w = cookie;

	(void)k;
	(void)v;
	*out = w->holding;
}

static inline bool puppets_on_purge(void *cookie, struct span record, uint32_t *removed)
{
	(void)cookie;
	(void)record;
	*removed = 0;
	return false;
}

static inline void puppets_on_answer(void *cookie, const struct peer_answer *a)
{
	struct puppets *w = cookie;

	w->answer = *a;
	w->answers++;
}

static inline void puppets_forget(struct puppets *w)
{
	w->n_said = 0;
}

static inline void puppets_tick(struct puppets *w, int64_t us)
{
	w->now += us;
	peer_set_tick(w->set, w->now);
}

/* Returns how many bytes it was. */
static inline size_t puppet_says(struct puppets *w, unsigned i, struct peermsg *m)
{
	struct addr from = puppet_member(i).addr;
	char bytes[PEERMSG_MAX_BYTES];
	struct buf b = buf_over(bytes, sizeof(bytes));

	m->env.version = PEERMSG_VERSION;
	m->env.kid = puppets_secret.kid;
	m->env.src = puppet_id(i);
	m->env.dst = w->set->id;
	m->env.boot = 1000 + i;
	m->env.seq = ++w->seq[i];
	assert_true(peermsg_format(&b, m, puppets_secret.b) > 0);
	peer_set_receive(w->set, &from, buf_span(&b), w->now, w->now);
	return b.n;
}

/* All say hello when they are asked to. */
static inline void puppets_init(struct puppets *w, unsigned n, enum peer_lookup lookup)
{
	struct peer_ground ground = {
		.send = puppets_on_send, .look = puppets_on_look, .purge = puppets_on_purge, .cookie = w};
	struct peer_self self = {.name = "self.test", .role = PEER_EDGE, .boot = 7, .seed = 7, .lookup = lookup};
	struct peer_member m[PUPPETS_MOST];

	*w = (struct puppets){.now = 5000 * MS, .n = n};
	w->said = mem_alloc(PUPPETS_SAID * sizeof(*w->said));
	w->set = peer_set_new(&self, &ground, w->now);
	peer_set_secrets(w->set, &puppets_secret, 1, 1);
	peer_set_state(w->set, PEERMSG_STATE_UP, 0, 0, 0);
	for (unsigned i = 0; i < n; i++)
		m[i] = puppet_member(i);
	peer_set_members(w->set, m, n, w->now);
	for (unsigned round = 0; round < 300 && peer_set_count(w->set, PEER_UP) < n; round++) {
		puppets_tick(w, 10 * MS);
		for (size_t i = 0; i < w->n_said; i++) {
			struct peermsg back = {.env.type = PEERMSG_HELLO_BACK};

			if (w->said[i].m.env.type != PEERMSG_HELLO)
				continue;
			back.hello.nonce = w->said[i].m.hello.nonce;
			back.hello.version_min = back.hello.version_max = PEERMSG_VERSION;
			memcpy(back.hello.name, puppet_member(w->said[i].to).name, sizeof(back.hello.name));
			w->now += 1 * MS;
			puppet_says(w, w->said[i].to, &back);
		}
		puppets_forget(w);
	}
	assert_int_equal(peer_set_count(w->set, PEER_UP), n);
}

static inline void puppets_fini(struct puppets *w)
{
	peer_set_free(w->set);
	free(w->said);
}

/* What the set has said last to one of them, of this type; NULL: nothing. */
static inline const struct puppet_said *said_to(struct puppets *w, unsigned i, enum peermsg_type type)
{
	for (size_t k = w->n_said; k-- > 0;)
		if (w->said[k].to == i && w->said[k].m.env.type == type)
			return &w->said[k];
	return NULL;
}

/* Answers the last question to puppet i, its first key. */
static inline void puppet_answers(struct puppets *w, unsigned i, struct peermsg_reply_rec rec)
{
	const struct puppet_said *q = said_to(w, i, PEERMSG_QUERY);
	struct peermsg m = {.env.type = PEERMSG_REPLY};

	assert_non_null(q);
	m.reply.qid = q->m.query.qid;
	m.reply.n = 1;
	m.reply.v[0] = rec;
	puppet_says(w, i, &m);
}

static inline void puppet_says_status(struct puppets *w, unsigned i, enum peermsg_status status)
{
	puppet_answers(w, i, (struct peermsg_reply_rec){.status = (uint8_t)status});
}

static inline struct key key_no(unsigned n)
{
	struct key k;

	for (unsigned i = 0; i < KEY_BYTES; i++)
		k.b[i] = (uint8_t)(n * 31 + i * 7 + (n >> 8));
	return k;
}

static inline struct peermsg_key wire_no(unsigned n)
{
	struct key k = key_no(n);
	struct peermsg_key w;

	memcpy(w.b, k.b, sizeof(w.b));
	return w;
}

/* Asks with intent, and sends. */
static inline struct peer_pursuit *begin_ask(struct puppets *w, unsigned key)
{
	struct peer_ask ask = {.key = key_no(key), .intent = true};
	struct peer_pursuit *p;

	puppets_forget(w);
	w->answers = 0;
	p = peer_ask_start(w->set, &ask, puppets_on_answer, w, w->now);
	assert_true(peer_set_due(w->set) <= w->now);
	peer_set_tick(w->set, w->now);
	return p;
}

/* A question of puppet i about a key; what the set says to it, or MISS when it says nothing. */
static inline struct peermsg_reply_rec ask_set(struct puppets *w, unsigned i, struct peermsg_query_rec rec)
{
	struct peermsg m = {.env.type = PEERMSG_QUERY};
	const struct puppet_said *s;

	puppets_forget(w);
	m.query.qid = w->seq[i] + 99;
	m.query.budget_ms = 30;
	m.query.n = 1;
	m.query.v[0] = rec;
	puppet_says(w, i, &m);
	s = said_to(w, i, PEERMSG_REPLY);
	assert_non_null(s);
	assert_true(s->m.reply.qid == m.query.qid);
	assert_int_equal(s->m.reply.n, 1);
	return s->m.reply.v[0];
}

static inline struct peer_score *score_of(struct puppets *w, unsigned i)
{
	return &peer__find(w->set, puppet_id(i))->score;
}

#endif
