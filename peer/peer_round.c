/* The datagrams of questions: what goes to one node in one QUERY, which answer belongs to which, what was not answered. A round is one
 * QUERY; it has a slot for each pursuit that it asks for. */
#include "peer/peer_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define LATE_US (2 * 1000 * 1000) /* so long an answer is known as late */

/* One QUERY datagram. Lives until no answer can come any more, also after its pursuits. */
struct peer_round {
	struct peer_due due;
	struct map_node by_qid;
	uint64_t qid;
	uint32_t node;
	mono_us sent;
	bool is_over, is_heard;
	unsigned n;
	struct peer_slot v[];
};

static bool is_qid(const struct map_node *node, const void *wanted)
{
	const struct peer_round *r = (const void *)((const char *)node - offsetof(struct peer_round, by_qid));
	const uint64_t *qid = wanted;

	return r->qid == *qid;
}

/* An answer counts only with the number of the question, and from the node that was asked. */
static struct peer_round *find_round(struct peer_set *set, uint64_t qid, const struct peer *from)
{
	struct map_node *node = map_find(&set->rounds, qid, is_qid, &qid);
	struct peer_round *r;

	if (!node)
		return NULL;
	r = (struct peer_round *)(void *)((char *)node - offsetof(struct peer_round, by_qid));
	return r->node == from->id ? r : NULL;
}

static void leave_slot(struct peer_slot *s)
{
	if (!s->pursuit)
		return;
	LIST_REMOVE(s, link);
	s->pursuit = NULL;
}

void peer__leave_slots(struct peer_pursuit *p)
{
	struct peer_slot *s, *next;

	for (s = LIST_FIRST(&p->slots); s; s = next) {
		next = LIST_NEXT(s, link);
		leave_slot(s);
	}
}

static void free_round(struct peer_set *set, struct peer_round *r)
{
	for (unsigned i = 0; i < r->n; i++)
		leave_slot(&r->v[i]);
	peer__clear_due(set, &r->due);
	map_remove(&set->rounds, &r->by_qid);
	free(r);
}

static struct peer_round *round_of(struct peer_due *d)
{
	return (struct peer_round *)(void *)((char *)d - offsetof(struct peer_round, due));
}

void peer__rounds_fini(struct peer_set *set)
{
	struct map_node *node, *next;

	for (node = map_next(&set->rounds, NULL); node; node = next) {
		next = map_next(&set->rounds, node);
		free_round(set, (struct peer_round *)(void *)((char *)node - offsetof(struct peer_round, by_qid)));
	}
	map_fini(&set->rounds);
}

/* ---- asking ---- */

/* Those of the batch that went out: their round. */
static void begin_round(struct peer_set *set, struct peer *peer, const struct peer_batch *b, unsigned from, unsigned n,
			uint64_t qid, mono_us until, mono_us now)
{
	struct peer_round *r = mem_zalloc(sizeof(*r) + n * sizeof(r->v[0]));
	unsigned counted = 0;

	r->due.is_round = true;
	r->qid = qid;
	r->node = peer->id;
	r->sent = now;
	r->n = n;
	for (unsigned i = 0; i < n; i++) {
		struct peer_pursuit *p = b->v[from + i];

		r->v[i] = (struct peer_slot){.pursuit = p,
					     .node = peer->id,
					     .is_expected = peer__is_expected(peer),
					     .is_audit = p->ask.audit};
		LIST_INSERT_HEAD(&p->slots, &r->v[i], link);
		p->asked++;
		counted += !p->ask.audit;
	}
	map_insert(&set->rounds, &r->by_qid, qid);
	peer__set_due(set, &r->due, until);
	peer->score.queries_sent += counted > 0;
	peer->score.keys_sent += counted;
}

void peer__send_batch(struct peer_set *set, struct peer *peer, const struct peer_batch *b, mono_us now)
{
	for (unsigned from = 0, went; from < b->n; from += went) {
		struct peermsg m = {.env = {.type = PEERMSG_QUERY}};
		mono_us wait = peer_score_wait_us(&peer->score);

		m.query.qid = peer__random(set);
		for (unsigned i = from; i < b->n; i++) {
			m.query.v[m.query.n++] = peer__query_rec(b->v[i]);
			if (b->v[i]->deadline - now > wait)
				wait = b->v[i]->deadline - now;
		}
		m.query.budget_ms = (uint16_t)((wait + 999) / 1000);
		went = peer__send(set, peer, &m, now);
		if (went == 0)
			return;
		CHECK_THAT(from + went <= b->n);
		begin_round(set, peer, b, from, went, m.query.qid, now + wait, now);
	}
}

/* ---- answers ---- */

/* One node needs not be waited for any more, by whichever of its datagrams. */
static void node_has_answered(struct peer_pursuit *p, uint32_t node)
{
	struct peer_slot *s, *next;
	bool expected = false;

	for (s = LIST_FIRST(&p->slots); s; s = next) {
		next = LIST_NEXT(s, link);
		if (s->node != node)
			continue;
		expected |= s->is_expected;
		leave_slot(s);
	}
	if (expected && p->waiting)
		p->waiting--;
}

static void on_record(struct peer_round *r, struct peer_slot *s, struct peer *peer, const struct peermsg_reply_rec *rec,
		      mono_us now)
{
	struct peer_pursuit *p = s->pursuit;

	s->is_answered = true;
	if (!s->is_audit) {
		if (r->is_over)
			peer->score.late++;
		else
			peer_score_answered(&peer->score, (enum peermsg_status)rec->status);
	}
	if (!p || p->phase != PEER_ASKING)
		return;
	node_has_answered(p, peer->id);
	peer__ask_heard(p, peer->id, rec, now);
}

void peer__on_reply(struct peer_set *set, struct peer *peer, const struct peermsg *m, mono_us received, mono_us now)
{
	const struct peermsg_reply *reply = &m->reply;
	struct peer_round *r = find_round(set, reply->qid, peer);

	if (!r) {
		peer->score.dropped[PEER_DROP_UNASKED]++;
		return;
	}
	peer__heard(set, peer, now);
	peer->load = reply->load;
	if (!r->is_heard) {
		mono_us rtt = received - r->sent - (mono_us)reply->took_us;

		r->is_heard = true;
		peer_score_rtt(&peer->score, rtt > 0 ? rtt : 0);
	}
	for (unsigned i = 0; i < reply->n; i++) {
		const struct peermsg_reply_rec *rec = &reply->v[i];

		if (rec->index < r->n && !r->v[rec->index].is_answered)
			on_record(r, &r->v[rec->index], peer, rec, now);
	}
}

/* It does not want to answer this datagram: no to all its keys. */
void peer__on_error(struct peer_set *set, struct peer *peer, const struct peermsg *m, mono_us now)
{
	struct peer_round *r = find_round(set, m->err.qid, peer);
	struct peermsg_reply_rec no = {.status = PEERMSG_MISS};

	if (!r)
		return;
	peer->score.errors++;
	for (unsigned i = 0; i < r->n; i++)
		if (!r->v[i].is_answered)
			on_record(r, &r->v[i], peer, &no, now);
}

/* ---- no answer ---- */

void peer__rounds_forget(struct peer_set *set, struct peer *peer, mono_us now)
{
	struct map_node *node, *next;

	for (node = map_next(&set->rounds, NULL); node; node = next) {
		struct peer_round *r =
			(struct peer_round *)(void *)((char *)node - offsetof(struct peer_round, by_qid));

		next = map_next(&set->rounds, node);
		if (r->node != peer->id)
			continue;
		for (unsigned i = 0; i < r->n; i++) {
			struct peer_pursuit *p = r->v[i].pursuit;

			if (!p || p->phase != PEER_ASKING)
				continue;
			node_has_answered(p, peer->id);
			peer__set_due(set, &p->due, now);
		}
		free_round(set, r);
	}
}

/* Its deadline is over: what has not been answered counts as lost. Later its late answers are of no interest either. */
void peer__round_due(struct peer_set *set, struct peer_due *due, mono_us now)
{
	struct peer_round *r = round_of(due);
	struct peer *peer = peer__find(set, r->node);
	bool silent = true;

	if (r->is_over || !peer) {
		free_round(set, r);
		return;
	}
	r->is_over = true;
	for (unsigned i = 0; i < r->n; i++) {
		if (r->v[i].is_answered)
			silent = false;
		else if (!r->v[i].is_audit)
			peer_score_timed_out(&peer->score);
	}
	peer__set_due(set, &r->due, r->sent + LATE_US);
	if (silent)
		peer__unanswered(set, peer, now);
}
