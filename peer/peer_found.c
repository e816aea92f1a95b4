/* What answers are worth: who was found, the best of them first, and when that is enough. */
#include "peer/peer_internal.h"

#define GRACE_US 1000 /* after the first PENDING, for something better */

/* ---- keeping the best ---- */

bool peer__is_left_out(const struct peer_pursuit *p, uint32_t node)
{
	for (unsigned i = 0; i < p->n_left_out; i++)
		if (p->left_out[i] == node)
			return true;
	return false;
}

static bool is_better(const struct peer_candidate *a, const struct peer_candidate *b)
{
	if (a->grade != b->grade)
		return a->grade < b->grade;
	if (a->source.order != b->source.order)
		return a->source.order < b->source.order;
	return a->coin < b->coin;
}

/* The best three are kept, each node once. */
static void keep(struct peer_pursuit *p, const struct peer_candidate *c)
{
	unsigned at = p->n_found;

	for (unsigned i = 0; i < p->n_found; i++) {
		if (p->found[i].source.node != c->source.node)
			continue;
		if (!is_better(c, &p->found[i]))
			return;
		at = i;
	}
	if (at == PEERMSG_SOURCES && !is_better(c, &p->found[--at]))
		return;
	if (at == p->n_found)
		p->n_found++;
	for (; at > 0 && is_better(c, &p->found[at - 1]); at--)
		p->found[at] = p->found[at - 1];
	p->found[at] = *c;
}

/* ---- what one node has ---- */

/* Fills in who it is; false: nobody that could be read from. */
static bool is_source(struct peer_pursuit *p, uint32_t node, struct peer_candidate *out)
{
	struct peer *peer = peer__find(p->set, node);

	*out = (struct peer_candidate){.coin = peer__random(p->set)};
	if (!peer || !peer->member.addr.len || peer__is_left_out(p, node))
		return false;
	out->source.node = node;
	memcpy(out->source.name, peer->member.name, sizeof(out->source.name));
	out->source.addr = peer->member.addr;
	out->source.ttfb_us = peer->score.ttfb_us;
	return true;
}

static bool found_whole(struct peer_pursuit *p, uint32_t node, uint64_t size, const uint8_t *digest)
{
	struct peer_candidate c;

	if (!is_source(p, node, &c))
		return false;
	c.grade = PEER_GRADE_WHOLE;
	c.source.size = size;
	if (digest)
		memcpy(c.source.digest, digest, sizeof(c.source.digest));
	keep(p, &c);
	return true;
}

static bool found_part(struct peer_pursuit *p, enum peer_grade grade, uint32_t node, uint32_t order, uint64_t size)
{
	struct peer_candidate c;

	if (!order || (p->former && order >= p->former) || !is_source(p, node, &c))
		return false;
	c.grade = grade;
	c.source.pending = true;
	c.source.order = order;
	c.source.size = size;
	keep(p, &c);
	return true;
}

static enum peer_grade grade_of(const struct peer_pursuit *p, uint64_t have)
{
	return have >= p->ask.have ? PEER_GRADE_PENDING : PEER_GRADE_BEHIND;
}

/* Has or gets it, but has readers enough for now: better than nobody. */
static bool found_busy(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r)
{
	struct peer_candidate c;

	if (r->wait_ms == 0)
		return false;
	if (r->order)
		return found_part(p, PEER_GRADE_BUSY, node, r->order, 0);
	if (!is_source(p, node, &c))
		return false;
	c.grade = PEER_GRADE_BUSY;
	keep(p, &c);
	return true;
}

static bool found_located(struct peer_pursuit *p, const struct peermsg_reply_rec *r)
{
	bool any = false;

	for (unsigned i = 0; i < r->n_sources; i++) {
		const struct peermsg_source *s = &r->sources[i];

		if (s->node == p->set->id)
			continue;
		any |= s->order ? found_part(p, grade_of(p, s->have), s->node, s->order, r->size)
				: found_whole(p, s->node, r->size, NULL);
	}
	return any;
}

/* ---- who only intends to have it ---- */

bool peer__found_intended(struct peer_pursuit *p, uint32_t node, uint32_t standing)
{
	struct peer_candidate c;
	unsigned at = p->n_intents;

	if (p->at_homes || !peer__goes_before(p->key.b, standing, node, p->former, p->set->id) ||
	    !is_source(p, node, &c))
		return false;
	for (unsigned i = 0; i < p->n_intents; i++)
		if (p->intents[i].node == node)
			return true;
	if (at == PEER_MOST_INTENTS)
		return true;
	for (p->n_intents++; at > 0; at--) {
		const struct peer_intent *before = &p->intents[at - 1];

		if (!peer__goes_before(p->key.b, standing, node, before->standing, before->node))
			break;
		p->intents[at] = *before;
	}
	p->intents[at] = (struct peer_intent){node, standing};
	return true;
}

/* Of those that ask at the same time the first fetches, and each other one reads from the one at half its own place: so each has two
 * readers, and nobody is turned away by the first. Who that one is, and the first, in case it is gone. */
void peer__choose_intended(struct peer_pursuit *p)
{
	const struct peer_intent *half = &p->intents[(p->n_intents + 1) / 2 - 1], *best = &p->intents[0];
	const struct peer_intent *both[] = {half, best};

	p->awaited = half->node;
	p->awaited_standing = half->standing;
	p->n_found = 0;
	for (unsigned i = 0; i < (half == best ? 1 : 2); i++) {
		struct peer_candidate *c = &p->found[p->n_found];

		if (!is_source(p, both[i]->node, c))
			continue;
		c->grade = PEER_GRADE_INTENDED;
		c->source.pending = true;
		p->n_found++;
	}
}

/* ---- answers ---- */

/* What one node said. True: it is something to go by. */
static bool take_record(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r)
{
	switch (r->status) {
	case PEERMSG_HIT:
		return found_whole(p, node, r->size, r->digest);
	case PEERMSG_PENDING:
		return r->have + PEER_TELL_BYTES >= p->ask.have &&
		       found_part(p, grade_of(p, r->have), node, r->order, r->size);
	case PEERMSG_LOCATED:
		return found_located(p, r);
	case PEERMSG_INTENDED:
		return peer__found_intended(p, r->node, r->order);
	case PEERMSG_GRANT:
		p->is_granted |= p->at_homes && p->ask.intent;
		return p->is_granted;
	case PEERMSG_BUSY:
		return found_busy(p, node, r);
	case PEERMSG_VARY:
		memcpy(p->vary, r->vary, sizeof(p->vary));
		return false;
	default:
		return false;
	}
}

/* Asking all: the first HIT, LOCATED; a PENDING after a little. */
static void weigh_one_of_all(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r, mono_us now)
{
	if (!take_record(p, node, r))
		return;
	if (r->status == PEERMSG_HIT || r->status == PEERMSG_LOCATED)
		p->is_ready = true;
	else if (r->status == PEERMSG_PENDING && p->grace_at == MONO_NEVER)
		p->grace_at = now + GRACE_US;
}

/* Asking homes: the first one's word is taken when it has come, the second's when the first is silent or knows nothing. A HIT is one. */
static void weigh_home(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r)
{
	bool had = p->n_found || p->is_granted, good;
	unsigned n_others = p->n_found;
	bool was_granted = p->is_granted;
	struct peer_candidate others[PEERMSG_SOURCES];

	memcpy(others, p->found, sizeof(others));
	p->n_found = 0;
	p->is_granted = false;
	good = take_record(p, node, r);
	if (!good || (node != p->first && had)) {
		memcpy(p->found, others, sizeof(others));
		p->n_found = n_others;
		p->is_granted = was_granted;
	}
	if (node == p->first)
		p->first_said = true;
	if ((good && r->status == PEERMSG_HIT) || ((good || had) && (!p->first || p->first_said)))
		p->is_ready = true;
}

void peer__weigh(struct peer_pursuit *p, uint32_t node, const struct peermsg_reply_rec *r, mono_us now)
{
	if (p->at_homes)
		weigh_home(p, node, r);
	else
		weigh_one_of_all(p, node, r, now);
}
