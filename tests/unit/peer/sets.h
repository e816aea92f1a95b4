/* sets: peer_sets in one process, on a wire and a clock of the test; and one that speaks as any member, rightly or wrongly. */
#ifndef TESTS_UNIT_PEER_SETS_H
#define TESTS_UNIT_PEER_SETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "peer/peer_set.h"
#include "proto/rendezvous.h"

#define SETS_MOST 32
#define SETS_KEPT 4096 /* datagrams on their way, and recorded */
#define SETS_FLIGHT_US 300
#define SETS_PORT 10000
#define SETS_SECOND 1000000LL

struct sets_letter {
	mono_us at;
	unsigned from, to;
	size_t n;
	char bytes[PEERMSG_MAX_BYTES];
};

struct sets;

struct sets_node {
	struct sets *wire;
	unsigned i;
	struct peer_set *set; /* NULL: its process does not run */
	bool cut;             /* nothing comes or goes */
	uint64_t sent, asked_purges, behind;
	size_t longest;
};

struct sets {
	mono_us now;
	unsigned n;
	uint64_t boots;
	struct sets_node v[SETS_MOST];
	struct sets_letter *way; /* a ring */
	size_t first, n_way;
	struct sets_letter *kept; /* all that was sent, while `keeps` */
	size_t n_kept;
	bool keeps;
	unsigned loss_percent;
	struct rng rng;
};

static const struct peer_secret sets_secret = {.kid = 1, .b = "a secret of thirty-two bytes...."};

static inline void sets_name(unsigned i, char out[PEERMSG_NAME_BYTES + 1])
{
	snprintf(out, PEERMSG_NAME_BYTES + 1, "node-%03u.test", i);
}

static inline uint32_t sets_id(unsigned i)
{
	char name[PEERMSG_NAME_BYTES + 1];

	sets_name(i, name);
	return rendezvous_node_id(span_str(name));
}

static inline struct addr sets_addr(unsigned i)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(SPAN("127.0.0.1"), (uint16_t)(SETS_PORT + i), &a), 0);
	return a;
}

static inline struct peer_member sets_member(unsigned i)
{
	struct peer_member m = {.role = PEER_EDGE, .addr = sets_addr(i)};

	sets_name(i, m.name);
	return m;
}

static inline void sets_send(void *cookie, const struct addr *to, struct span datagram)
{
	struct sets_node *from = cookie;
	struct sets *w = from->wire;
	struct sets_letter *l;

	from->sent++;
	if (datagram.n > from->longest)
		from->longest = datagram.n;
	assert_true(w->n_way < SETS_KEPT);
	l = &w->way[(w->first + w->n_way++) % SETS_KEPT];
	*l = (struct sets_letter){.at = w->now + SETS_FLIGHT_US,
				  .from = from->i,
				  .to = (unsigned)(addr_port(to) - SETS_PORT),
				  .n = datagram.n};
	memcpy(l->bytes, datagram.p, datagram.n);
	if (w->keeps && w->n_kept < SETS_KEPT)
		w->kept[w->n_kept++] = *l;
}

static inline void sets_look(void *cookie, const struct peermsg_key *k, const struct key_variant *v,
			     struct peer_holding *out)
{
	(void)cookie;
	(void)k;
	(void)v;
	*out = (struct peer_holding){.here = PEER_HERE_NOT};
}

static inline bool sets_purge(void *cookie, struct span record, uint32_t *removed)
{
	struct sets_node *n = cookie;

	assert_true(record.n > 0);
	n->asked_purges++;
	*removed = 3;
	return true;
}

static inline void sets_behind(void *cookie, uint32_t node, uint64_t serial)
{
	struct sets_node *n = cookie;

	(void)node;
	assert_true(serial > 0);
	n->behind++;
}

static inline void sets_start(struct sets *w, unsigned i, unsigned members)
{
	struct peer_member m[SETS_MOST];
	struct sets_node *n = &w->v[i];
	struct peer_self self = {.role = PEER_EDGE, .tcp_port = 1, .boot = ++w->boots * 1000 + i, .seed = w->boots};
	struct peer_ground g = {
		.send = sets_send, .look = sets_look, .purge = sets_purge, .behind = sets_behind, .cookie = n};

	sets_name(i, self.name);
	*n = (struct sets_node){.wire = w, .i = i, .set = peer_set_new(&self, &g, w->now)};
	peer_set_secrets(n->set, &sets_secret, 1, 1);
	for (unsigned k = 0; k < members; k++)
		m[k] = sets_member(k);
	assert_int_equal(peer_set_members(n->set, m, members, w->now), 0);
}

static inline void sets_stop(struct sets *w, unsigned i)
{
	peer_set_free(w->v[i].set);
	w->v[i].set = NULL;
}

/* n sets that know each other. */
static inline void sets_init(struct sets *w, unsigned n)
{
	*w = (struct sets){.now = 5 * SETS_SECOND, .n = n};
	rng_seed(&w->rng, n);
	w->way = mem_alloc(SETS_KEPT * sizeof(*w->way));
	w->kept = mem_alloc(SETS_KEPT * sizeof(*w->kept));
	for (unsigned i = 0; i < n; i++)
		sets_start(w, i, n);
}

static inline void sets_fini(struct sets *w)
{
	for (unsigned i = 0; i < w->n; i++)
		sets_stop(w, i);
	free(w->way);
	free(w->kept);
}

static inline void sets_deliver(struct sets *w)
{
	struct sets_letter l = w->way[w->first];
	struct sets_node *to = l.to < w->n ? &w->v[l.to] : NULL;
	struct addr from = sets_addr(l.from);

	w->first = (w->first + 1) % SETS_KEPT;
	w->n_way--;
	if (w->loss_percent && rng_below(&w->rng, 100) < w->loss_percent)
		return;
	if (to && to->set && !to->cut && (l.from >= w->n || !w->v[l.from].cut))
		peer_set_receive(to->set, &from, span_of(l.bytes, l.n), w->now, w->now);
}

static inline void sets_run(struct sets *w, int64_t us)
{
	mono_us end = w->now + us;

	for (;;) {
		mono_us next = w->n_way ? w->way[w->first].at : MONO_NEVER;

		for (unsigned i = 0; i < w->n; i++)
			if (w->v[i].set && peer_set_due(w->v[i].set) < next)
				next = peer_set_due(w->v[i].set);
		if (next > end)
			break;
		if (next > w->now)
			w->now = next;
		while (w->n_way && w->way[w->first].at <= w->now)
			sets_deliver(w);
		for (unsigned i = 0; i < w->n; i++)
			if (w->v[i].set && peer_set_due(w->v[i].set) <= w->now)
				peer_set_tick(w->v[i].set, w->now);
	}
	w->now = end;
}

static inline struct peer_view sets_view(struct sets *w, unsigned of, unsigned peer)
{
	struct peer_view v;

	assert_true(peer_set_find(w->v[of].set, sets_id(peer), &v));
	return v;
}

#define assert_state(w, of, peer, wanted) assert_string_equal(peer_state_word(sets_view(w, of, peer).state), wanted)

/* Who speaks as member `i`, under a boot and from a number on. */
struct speaker {
	unsigned i;
	uint64_t boot, seq;
	struct peer_secret secret;
	uint32_t dst; /* 0: whom it is said to */
};

/* The datagram for node `to`, under the speaker's next number. */
static inline struct span speak(struct speaker *s, unsigned to, struct peermsg *m, char out[PEERMSG_MAX_BYTES])
{
	struct buf b = buf_over(out, PEERMSG_MAX_BYTES);

	m->env.version = PEERMSG_VERSION;
	m->env.kid = s->secret.kid;
	m->env.src = sets_id(s->i);
	m->env.dst = s->dst ? s->dst : sets_id(to);
	m->env.boot = s->boot;
	m->env.seq = ++s->seq;
	assert_true(peermsg_format(&b, m, s->secret.b) > 0);
	return buf_span(&b);
}

/* Says it to the node at once. */
static inline void tell(struct sets *w, struct speaker *s, unsigned to, struct peermsg *m)
{
	char bytes[PEERMSG_MAX_BYTES];
	struct addr from = sets_addr(s->i);

	peer_set_receive(w->v[to].set, &from, speak(s, to, m, bytes), w->now, w->now);
}

/* The last datagram that node `from` sent to `to`, parsed; false: none since `w->n_kept` was zeroed. */
static inline bool last_said(struct sets *w, unsigned from, unsigned to, struct peermsg *out)
{
	for (size_t i = w->n_kept; i-- > 0;)
		if (w->kept[i].from == from && w->kept[i].to == to)
			return peermsg_parse(span_of(w->kept[i].bytes, w->kept[i].n), out) == PEERMSG_OK;
	return false;
}

#endif
