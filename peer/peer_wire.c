/* peer_wire: sealing and opening of datagrams: secrets, boots, sequence windows, challenges, rates.
 *
 * What a recording can do. Under a boot that is proven, its sequence number is known, or too old: dropped. Under a boot that is not (a
 * process before the present one, or one that has just begun) it is answered as far as an answer changes nothing here, 20 times a second,
 * to the address that the member has by configuration; what would change something is answered by a challenge. A boot is proven by an
 * answer to a random number that we have just made: an old process cannot give it, however much of its speech was recorded. */
#include "peer/peer_internal.h"

#include "node/base/check.h"
#include "node/base/hash.h"

#define KEYS_A_SECOND 5000
#define KEYS_AT_ONCE 10000
#define UNPROVEN_A_SECOND 20
#define UNPROVEN_AT_ONCE 20
#define CHALLENGE_US 10000000
#define RESPONSE_BIT 64

/* ---- sealing ---- */

static const struct peer_secret *secret_of(const struct peer_set *set, uint8_t kid)
{
	for (size_t i = 0; i < set->n_secrets; i++)
		if (set->secrets[i].kid == kid)
			return &set->secrets[i];
	return NULL;
}

unsigned peer__send(struct peer_set *set, struct peer *to, struct peermsg *m, mono_us now)
{
	const struct peer_secret *secret = secret_of(set, set->active);
	char bytes[PEERMSG_MAX_BYTES];
	struct buf b = buf_over(bytes, set->self.dgram_bytes);
	unsigned n;

	if (!secret || to->member.addr.len == 0)
		return 0;
	m->env.version = PEERMSG_VERSION;
	m->env.kid = secret->kid;
	m->env.src = set->id;
	m->env.dst = to->id;
	m->env.boot = set->self.boot;
	m->env.seq = set->seq + 1;
	n = peermsg_format(&b, m, secret->b);
	if (n == 0)
		return 0;
	set->seq++;
	set->sent_bytes += buf_span(&b).n;
	to->sent = now;
	set->ground.send(set->ground.cookie, &to->member.addr, buf_span(&b));
	return n;
}

/* ---- rates ---- */

static bool take(double *bucket, mono_us *at, double want, double a_second, double at_once, mono_us now)
{
	if (*at == 0)
		*bucket = at_once;
	else
		*bucket += (double)(now - *at) * a_second / 1e6;
	if (*bucket > at_once)
		*bucket = at_once;
	*at = now;
	if (*bucket < want)
		return false;
	*bucket -= want;
	return true;
}

bool peer__allows(struct peer *p, unsigned keys, mono_us now)
{
	return take(&p->window.bucket, &p->window.bucket_at, keys, KEYS_A_SECOND, KEYS_AT_ONCE, now);
}

static bool allows_unproven(struct peer *p, mono_us now)
{
	return take(&p->window.unproven, &p->window.unproven_at, 1, UNPROVEN_A_SECOND, UNPROVEN_AT_ONCE, now);
}

/* ---- the window ---- */

static uint64_t *word_of(struct peer_window *w, uint64_t seq)
{
	return &w->seen[seq % PEER_WINDOW_BITS / 64];
}

static uint64_t bit_of(uint64_t seq)
{
	return (uint64_t)1 << seq % 64;
}

static void advance(struct peer_window *w, uint64_t top)
{
	if (top - w->top >= PEER_WINDOW_BITS) {
		memset(w->seen, 0, sizeof(w->seen));
	} else {
		for (uint64_t seq = w->top + 1; seq < top; seq++)
			*word_of(w, seq) &= ~bit_of(seq);
	}
	w->top = top;
}

/* Once for each number, and not for those that are too old to say. */
static bool window_takes(struct peer_window *w, uint64_t seq)
{
	if (seq > w->top)
		advance(w, seq);
	else if (w->top - seq >= PEER_WINDOW_BITS || *word_of(w, seq) & bit_of(seq))
		return false;
	*word_of(w, seq) |= bit_of(seq);
	return true;
}

/* ---- boots ---- */

void peer__take_boot(struct peer_set *set, struct peer *p, const struct peermsg_envelope *env, mono_us now)
{
	struct peer_window *w = &p->window;
	bool changed = w->boot != 0 && w->boot != env->boot;

	if (w->proven && !changed)
		return;
	w->boot = env->boot;
	w->top = env->seq;
	memset(w->seen, 0xff, sizeof(w->seen)); /* what was said before the proof is over, whoever repeats it */
	w->proven = true;
	memset(w->challenge, 0, sizeof(w->challenge));
	if (changed)
		peer__rebooted(set, p, now);
}

static bool is_challenged(const struct peer_window *w, mono_us now)
{
	static const uint8_t none[sizeof(w->challenge)];

	return memcmp(w->challenge, none, sizeof(none)) != 0 && now - w->challenged_at <= CHALLENGE_US;
}

void peer__challenge(struct peer_set *set, struct peer *p, uint64_t qid, mono_us now)
{
	struct peer_window *w = &p->window;
	struct peermsg m = {.env.type = PEERMSG_ERR};

	if (!is_challenged(w, now)) {
		uint64_t halves[2] = {peer__random(set) | 1, peer__random(set)};

		memcpy(w->challenge, halves, sizeof(w->challenge));
		w->challenged_at = now;
	}
	m.err.qid = qid;
	m.err.code = PEERMSG_ERR_BOOT;
	m.err.has_challenge = true;
	memcpy(m.err.challenge, w->challenge, sizeof(m.err.challenge));
	peer__send(set, p, &m, now);
}

bool peer__prove(struct peer_set *set, struct peer *p, const struct peermsg *m, mono_us now)
{
	const struct peer_window *w = &p->window;

	if (!m->hello.has_echo || !is_challenged(w, now) ||
	    !hash_same(m->hello.echo, w->challenge, sizeof(w->challenge)))
		return false;
	peer__take_boot(set, p, &m->env, now);
	memset(p->window.challenge, 0, sizeof(p->window.challenge));
	return true;
}

/* ---- opening ---- */

static struct peer *drop(struct peer_set *set, struct peer *p, enum peer_drop why)
{
	(p ? p->score.dropped : set->strangers)[why]++;
	return NULL;
}

/* Answers are not counted against a rate: they are as many as we have asked for, or go unmatched. */
static bool is_request(const struct peermsg_envelope *env)
{
	return env->type < RESPONSE_BIT;
}

static bool is_fresh(struct peer_set *set, struct peer *p, const struct peermsg_envelope *env, bool proven,
		     enum peer_drop *why, mono_us now)
{
	if (proven) {
		/* The window before the rate: who repeats what p has said must not use up what p may say. */
		*why = PEER_DROP_REPLAY;
		if (!window_takes(&p->window, env->seq))
			return false;
		*why = PEER_DROP_RATE; /* queries are weighed by their keys, once these are known */
		return !is_request(env) || env->type == PEERMSG_QUERY || peer__allows(p, 1, now);
	}
	peer__greet(set, p, now);
	*why = PEER_DROP_RATE;
	return !is_request(env) || allows_unproven(p, now);
}

/* A field that must be understood is not. Never an answer to an answer. */
static void refuse_critical(struct peer_set *set, struct peer *p, const struct peermsg *m, mono_us now)
{
	struct peermsg err = {.env.type = PEERMSG_ERR};

	if (!is_request(&m->env) || m->env.type == PEERMSG_ERR)
		return;
	err.err.qid = m->err.qid;
	err.err.code = PEERMSG_ERR_CRITICAL;
	peer__send(set, p, &err, now);
}

struct peer *peer__open(struct peer_set *set, struct span datagram, mono_us now, struct peermsg *m, bool *proven)
{
	const struct peer_secret *secret;
	struct peermsg_envelope env;
	enum peer_drop why;
	struct peer *p;

	if (peermsg_envelope(datagram, &env) != PEERMSG_OK)
		return drop(set, NULL, PEER_DROP_MALFORMED);
	p = peer__find(set, env.src);
	if (env.dst != set->id)
		return drop(set, p, PEER_DROP_WRONG_NODE);
	if (!p)
		return drop(set, NULL, PEER_DROP_NO_MEMBER);
	secret = secret_of(set, env.kid);
	if (!secret || !peermsg_tag_fits(datagram, secret->b))
		return drop(set, p, PEER_DROP_AUTH);
	if (env.boot == 0 || env.seq == 0)
		return drop(set, p, PEER_DROP_MALFORMED);
	*proven = p->window.proven && p->window.boot == env.boot;
	if (!is_fresh(set, p, &env, *proven, &why, now))
		return drop(set, p, why);
	switch (peermsg_parse(datagram, m)) {
	case PEERMSG_OK:
		return p;
	case PEERMSG_UNKNOWN:
		return drop(set, p, PEER_DROP_UNKNOWN);
	case PEERMSG_CRITICAL:
		refuse_critical(set, p, m, now);
		return drop(set, p, PEER_DROP_UNKNOWN);
	case PEERMSG_BAD:
		if (env.type == PEERMSG_QUERY)
			peer__note_invalid(set, p);
		break;
	}
	return drop(set, p, PEER_DROP_MALFORMED);
}
