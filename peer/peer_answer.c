/* peer_answer: what others are told about a key: from the cache, from this node's own pursuit of it, from the directory. */
#include "peer/peer_internal.h"

#define BUSY_WAIT_MS 50
#define DENIED_HOPS 1 /* the reason: it has come too far */

/* A reply is at most three times what it answers, however the sizes of numbers fall: least for the question, most for the answer. */
#define AMPLIFY 3
#define QUERY_BYTES 60
#define QUERY_REC_BYTES 20
#define REPLY_BYTES 92
#define REPLY_REC_BYTES 6 /* of one that says no */
#define LONGEST_REC_BYTES (REPLY_REC_BYTES + PEERMSG_VARY_BYTES)

static size_t bytes_of(const struct peermsg_reply_rec *r)
{
	switch (r->status) {
	case PEERMSG_HIT:
	case PEERMSG_PENDING:
		return 36;
	case PEERMSG_VARY:
		return REPLY_REC_BYTES + strlen(r->vary);
	case PEERMSG_LOCATED:
		return 16 + 24 * (size_t)r->n_sources;
	case PEERMSG_GRANT:
	case PEERMSG_INTENDED:
		return 16;
	case PEERMSG_BUSY:
		return r->wait_ms ? 16 : REPLY_REC_BYTES;
	default:
		return REPLY_REC_BYTES;
	}
}

static void say_whole(const struct peer_holding *h, struct peermsg_reply_rec *out)
{
	out->status = PEERMSG_HIT;
	out->size = h->size;
	memcpy(out->digest, h->digest, sizeof(out->digest));
	out->age_s = h->age_s;
	out->ttl_s = h->ttl_s;
}

/* There, or coming, but with as many readers as it can have; order 0: there. */
static void say_busy(uint32_t order, struct peermsg_reply_rec *out)
{
	out->status = PEERMSG_BUSY;
	out->wait_ms = BUSY_WAIT_MS;
	out->order = order;
}

static void say_pursuit(struct peer_pursuit *p, uint32_t asker, const struct peer_holding *h,
			const struct peermsg_query_rec *q, struct peermsg_reply_rec *out)
{
	peer__pursuit_answer(p, asker, q, out);
	if (out->status != PEERMSG_PENDING)
		return;
	if (h->here == PEER_HERE_BUSY)
		say_busy(out->order, out);
	else if (h->here == PEER_HERE_GROWING && h->have > out->have)
		out->have = h->have;
	if (h->size)
		out->size = h->size;
}

static void answer_one(struct peer_set *set, struct peer *asker, const struct peermsg_query_rec *q, mono_us now,
		       struct peermsg_reply_rec *out)
{
	struct key_variant variant = {{0}};
	struct peer_holding h = {.here = PEER_HERE_NOT};
	struct peer_pursuit *p;

	if (q->has_variant)
		memcpy(variant.b, q->variant, sizeof(variant.b));
	set->ground.look(set->ground.cookie, &q->key, &variant, &h);
	p = peer__pursuit(set, &q->key, &variant);
	if (h.here == PEER_HERE_WHOLE)
		say_whole(&h, out);
	else if (q->flags & PEERMSG_HOME)
		peer__home_answer(set, asker, q, now, out);
	if (out->status == PEERMSG_MISS && p)
		say_pursuit(p, asker->id, &h, q, out);
	if (out->status != PEERMSG_MISS)
		return;
	if (h.here == PEER_HERE_BUSY && !p) {
		say_busy(0, out);
	} else if (h.other_variant) {
		out->status = PEERMSG_VARY;
		memcpy(out->vary, h.vary, sizeof(out->vary));
	}
}

static void answer_record(struct peer_set *set, struct peer *asker, const struct peermsg_query *q, unsigned i,
			  mono_us now, struct peermsg_reply_rec *out)
{
	*out = (struct peermsg_reply_rec){.index = (uint8_t)i, .status = PEERMSG_MISS};
	if (set->state == PEERMSG_STATE_LOADING || set->state == PEERMSG_STATE_DRAINING) {
		out->status = PEERMSG_NOFETCH;
	} else if (q->hop > 1) {
		out->status = PEERMSG_DENIED;
		out->reason = DENIED_HOPS;
	} else {
		answer_one(set, asker, &q->v[i], now, out);
	}
}

/* In as many datagrams as it takes, none of them quite full. */
static size_t reply_bytes(const struct peer_set *set, size_t recs)
{
	size_t room = set->self.dgram_bytes - REPLY_BYTES - LONGEST_REC_BYTES;

	return recs + (recs / room + 1) * REPLY_BYTES;
}

/* More than the question pays for is not said. */
static void limit(const struct peer_set *set, const struct peermsg_query *q, struct peermsg_reply_rec *v)
{
	size_t most = AMPLIFY * (QUERY_BYTES + QUERY_REC_BYTES * (size_t)q->n);
	size_t used = 0;

	for (unsigned i = 0; i < q->n; i++) {
		size_t others = REPLY_REC_BYTES * (size_t)(q->n - i - 1);

		if (reply_bytes(set, used + bytes_of(&v[i]) + others) > most && v[i].status != PEERMSG_MISS)
			v[i] = (struct peermsg_reply_rec){.index = v[i].index, .status = PEERMSG_BUSY};
		used += bytes_of(&v[i]);
	}
}

/* ---- what the log hears of it ---- */

static void tell_asked(struct peer_set *set, const struct peer *asker, const struct peermsg_query_rec *q,
		       enum peermsg_status said, size_t bytes, mono_us took)
{
	struct peer_asked a = {.asker = &asker->member, .key = q->key, .said = said, .bytes = bytes, .took = took};

	if (q->flags & PEERMSG_AUDIT)
		return;
	if (q->has_variant)
		memcpy(a.variant.b, q->variant, sizeof(a.variant.b));
	set->ground.asked(set->ground.cookie, &a);
}

/* The first n of what was said went out in one datagram of so many bytes; what cannot be shared out evenly is the first one's. */
static void tell_answered(struct peer_set *set, const struct peer *asker, const struct peermsg_query *q,
			  const struct peermsg_reply_rec *v, unsigned n, size_t bytes, mono_us took)
{
	if (!set->ground.asked)
		return;
	for (unsigned i = 0; i < n; i++)
		tell_asked(set, asker, &q->v[v[i].index], (enum peermsg_status)v[i].status,
			   bytes / n + (i == 0 ? bytes % n : 0), took);
}

void peer__note_invalid(struct peer_set *set, struct peer *asker)
{
	if (set->ground.asked)
		set->ground.asked(set->ground.cookie,
				  &(struct peer_asked){.asker = &asker->member, .is_invalid = true});
}

void peer__deny_query(struct peer_set *set, struct peer *asker, const struct peermsg *m, mono_us received, mono_us now)
{
	struct peermsg err = {.env.type = PEERMSG_ERR, .err = {.qid = m->query.qid, .code = PEERMSG_ERR_RATE}};
	struct peermsg_reply_rec v[PEERMSG_RECORDS];
	uint64_t before = set->sent_bytes;

	asker->score.dropped[PEER_DROP_RATE]++;
	peer__send(set, asker, &err, now);
	for (unsigned i = 0; i < m->query.n; i++)
		v[i] = (struct peermsg_reply_rec){.index = (uint8_t)i, .status = PEERMSG_DENIED};
	tell_answered(set, asker, &m->query, v, m->query.n, set->sent_bytes - before, now - received);
}

/* ---- the answer ---- */

/* An audit counts nowhere. */
static bool counts_nowhere(const struct peermsg_query *q)
{
	for (unsigned i = 0; i < q->n; i++)
		if (!(q->v[i].flags & PEERMSG_AUDIT))
			return false;
	return true;
}

void peer__on_query(struct peer_set *set, struct peer *asker, const struct peermsg *m, mono_us received, mono_us now)
{
	const struct peermsg_query *q = &m->query;
	struct peermsg_reply_rec v[PEERMSG_RECORDS];
	struct peermsg out; /* some kilobytes: only what is said is filled in */

	if (now - received > (mono_us)q->budget_ms * 1000) {
		asker->score.dropped[PEER_DROP_EXPIRED] += !counts_nowhere(q);
		return;
	}
	for (unsigned i = 0; i < q->n; i++)
		answer_record(set, asker, q, i, now, &v[i]);
	limit(set, q, v);
	for (unsigned i = 0; i < q->n; i++) {
		if (q->v[i].flags & PEERMSG_AUDIT)
			continue;
		asker->score.keys_received++;
		asker->score.answered[v[i].status]++;
	}
	asker->score.queries_received += !counts_nowhere(q);
	out.env = (struct peermsg_envelope){.type = PEERMSG_REPLY};
	out.reply.qid = q->qid;
	out.reply.load = set->load;
	out.reply.took_us = (uint32_t)(now - received);
	out.reply.purge_serial = set->purge_serial;
	for (unsigned from = 0, went; from < q->n;
	     from += went) { /* what one datagram does not hold goes with the next */
		uint64_t before = set->sent_bytes;

		out.reply.n = q->n - from;
		memcpy(out.reply.v, v + from, out.reply.n * sizeof(v[0]));
		went = peer__send(set, asker, &out, now);
		if (went == 0)
			return;
		tell_answered(set, asker, q, v + from, went, set->sent_bytes - before, now - received);
	}
}
