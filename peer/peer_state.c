/* peer_state: how the other nodes are: what a silence, an answer, a failed fetch makes of them, and when they are pinged. */
#include "peer/peer_internal.h"

#include "node/base/check.h"

#define SECOND_US 1000000
#define SUSPECT_AFTER 3     /* datagrams in a row */
#define APART_US 100000     /* those that are lost together are one loss */
#define TCP_SUSPECT_AFTER 2 /* failures in a row */
#define DEAD_AFTER_US (10 * SECOND_US)
#define FORGET_AFTER_US (60 * SECOND_US)
#define PROBATION_US (30 * SECOND_US)
#define PROBATION_FETCHES 2 /* at a time at first, and one more each second */
#define BLOCKED_AFTER_US (60 * SECOND_US)
#define PING_WAIT_US SECOND_US
#define IDLE_FROM_US (9 * SECOND_US) /* 10 s, give or take one */
#define IDLE_SPREAD_US (2 * SECOND_US)
#define ONE_SIDED_US (30 * SECOND_US) /* it speaks, but has not been asked for anything */
#define DEAD_FROM_US (5 * SECOND_US)
#define DEAD_SPREAD_US (5 * SECOND_US)
#define DOUBT_US (5 * SECOND_US)
#define ISOLATED_US (10 * SECOND_US)
#define ISOLATION_FROM 3  /* members */
#define SECOND_OPINIONS 4 /* out of so many that stand next to each other: */
#define OPINIONS_FROM 16
#define BACKOFF_FIRST 1000
#define BACKOFF_MOST 60000
#define DISTRUST_US (600LL * SECOND_US)
#define FALSE_IN_A_ROW 20
#define LOSS_LOOK_US SECOND_US
#define LOSS_TOO_MUCH 0.5
#define LOSS_KEYS 20
#define PARENTS_ONLY_US (30 * SECOND_US)

/* splitmix64: for jitter, and for numbers that need only be new. */
uint64_t peer__random(struct peer_set *set)
{
	uint64_t z = (set->random += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static int64_t jitter(struct peer_set *set, int64_t below)
{
	return (int64_t)(peer__random(set) % (uint64_t)below);
}

static mono_us earlier(mono_us a, mono_us b)
{
	return a < b ? a : b;
}

static mono_us later(mono_us a, mono_us b)
{
	return a > b ? a : b;
}

struct peer *peer__of_due(const struct heap_node *node)
{
	return (struct peer *)(void *)((char *)(uintptr_t)node - offsetof(struct peer, by_due));
}

bool peer__is_due_before(const struct heap_node *a, const struct heap_node *b)
{
	return peer__of_due(a)->due < peer__of_due(b)->due;
}

/* ---- what is due for a peer ---- */

/* Fetches from it go well while datagrams are not answered: since when it would be called blocked; MONO_NEVER: no. */
static mono_us blocked_at(const struct peer *p)
{
	bool may_be = p->state == PEER_NEW || p->state == PEER_SUSPECT || p->state == PEER_DEAD;

	if (!may_be || p->udp_silent_since == 0 || p->tcp_fine_at < p->udp_silent_since)
		return MONO_NEVER;
	return p->udp_silent_since + BLOCKED_AFTER_US;
}

/* When its state changes if nothing else happens; MONO_NEVER: never. */
static mono_us turns_at(const struct peer_set *set, const struct peer *p)
{
	switch (p->state) {
	case PEER_SUSPECT: /* by TCP alone it does not die */
		if (set->isolated_until || !p->udp_silent_since || p->unanswered < SUSPECT_AFTER)
			return MONO_NEVER;
		return later(p->since, p->udp_silent_since) + DEAD_AFTER_US;
	case PEER_DEAD:
		return p->forgotten ? MONO_NEVER : p->since + FORGET_AFTER_US;
	case PEER_PROBATION:
		return p->since + PROBATION_US;
	default:
		return MONO_NEVER;
	}
}

void peer__rearm(struct peer_set *set, struct peer *p)
{
	mono_us due = earlier(p->ping_at, p->ping_due);

	due = earlier(due, turns_at(set, p));
	due = earlier(due, blocked_at(p));
	if (due == p->due)
		return;
	p->due = due;
	heap_moved(&set->due, &p->by_due);
}

/* After some traffic: the next ping, should there be none from now on. */
static void ping_when_idle(struct peer_set *set, struct peer *p, mono_us now)
{
	int64_t idle = IDLE_FROM_US + jitter(set, IDLE_SPREAD_US);

	if (!p->hello_done)
		p->ping_at = p->ping_sent ? later(now, p->ping_sent + PING_WAIT_US) : now;
	else if (p->state == PEER_SUSPECT)
		p->ping_at = now + PING_WAIT_US;
	else
		p->ping_at = earlier(p->heard + idle, later(p->answered, p->since) + ONE_SIDED_US);
}

/* No earlier than a second after the last one. */
void peer__ping_soon(struct peer *p, mono_us now)
{
	if (p->ping_due == MONO_NEVER)
		p->ping_at = earlier(p->ping_at, p->ping_sent ? later(now, p->ping_sent + PING_WAIT_US) : now);
}

/* ---- states ---- */

void peer__trust_again(struct peer_set *set, struct peer *p)
{
	if (!p->is_doubted)
		return;
	TAILQ_REMOVE(&set->doubted, p, doubted);
	p->is_doubted = false;
	set->n_doubted--;
}

/* Has it been away, or never been here, so that it may not know what we hold? Who was only suspected has missed some HINTs at the most. */
static bool is_met(enum peer_state was, enum peer_state state)
{
	bool was_here = was == PEER_UP || was == PEER_PROBATION || was == PEER_SUSPECT;

	return !was_here && (state == PEER_UP || state == PEER_PROBATION);
}

void peer__become(struct peer_set *set, struct peer *p, enum peer_state state, mono_us now)
{
	if (p->state == state)
		return;
	peer__trust_again(set, p);
	if (is_met(p->state, state))
		peer__announce_to(set, p, now);
	p->state = state;
	p->since = now;
	p->forgotten = false;
	p->score.state_changes++;
}

static void rearm_all(struct peer_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		peer__rearm(set, set->v[i]);
}

static void isolate(struct peer_set *set, mono_us now)
{
	set->isolated_until = now + ISOLATED_US;
	set->isolated_heard = false;
	rearm_all(set);
}

/* Those that are still silent begin their ten seconds now. */
static void end_isolation(struct peer_set *set, mono_us now)
{
	set->isolated_until = 0;
	for (size_t i = 0; i < set->n; i++) {
		struct peer *p = set->v[i];

		peer__trust_again(set, p);
		if (p->state == PEER_SUSPECT)
			p->since = now;
	}
	rearm_all(set);
}

static void doubt(struct peer_set *set, struct peer *p, mono_us now)
{
	struct peer *oldest;

	TAILQ_INSERT_TAIL(&set->doubted, p, doubted);
	p->is_doubted = true;
	p->doubted_at = now;
	set->n_doubted++;
	while ((oldest = TAILQ_FIRST(&set->doubted)) != NULL && now - oldest->doubted_at > DOUBT_US)
		peer__trust_again(set, oldest);
	if (set->n >= ISOLATION_FROM && 2 * set->n_doubted > set->n)
		isolate(set, now);
}

/* One that was well has fallen silent: are others, too? In a quiet cluster it would take ten seconds to find out that it is us. Only a few
 * are pinged: who is really cut off will ask ever more, and who is not has done little harm. */
static void ask_for_second_opinions(struct peer_set *set, mono_us now)
{
	size_t first = peer__random(set) % set->n, look = set->n < OPINIONS_FROM ? set->n : OPINIONS_FROM;
	unsigned asked = 0;

	for (size_t i = 0; i < look && asked < SECOND_OPINIONS; i++) {
		struct peer *other = set->v[(first + i) % set->n];

		if (other->state != PEER_UP || other->ping_due != MONO_NEVER || now - other->heard < SECOND_US)
			continue;
		asked++;
		peer__ping_soon(other, now);
		peer__rearm(set, other);
	}
}

static void suspect(struct peer_set *set, struct peer *p, mono_us now)
{
	bool was_well = p->state == PEER_UP || p->state == PEER_PROBATION;

	peer__become(set, p, PEER_SUSPECT, now);
	peer__ping_soon(p, now);
	if (!was_well)
		return; /* never heard: says nothing about our own network */
	doubt(set, p, now);
	ask_for_second_opinions(set, now);
}

static bool is_well_when_heard(const struct peer *p, mono_us now)
{
	return p->state == PEER_NEW || p->state == PEER_UDP_BLOCKED ||
	       (p->state == PEER_SUSPECT && now >= p->tcp_retry_at);
}

void peer__heard(struct peer_set *set, struct peer *p, mono_us now)
{
	p->heard = p->answered = now;
	p->unanswered = 0;
	p->udp_silent_since = 0;
	p->ping_due = MONO_NEVER;
	if (set->isolated_until) {
		set->isolated_heard = true;
		set->isolated_until = earlier(set->isolated_until, now + SECOND_US);
	}
	if (p->state == PEER_DEAD)
		peer__become(set, p, PEER_PROBATION, now);
	else if (is_well_when_heard(p, now))
		peer__become(set, p, PEER_UP, now);
	ping_when_idle(set, p, now);
	peer__rearm(set, p);
}

/* It has said something of its own accord, under its proven boot. That is no proof that it hears us, but a reason to try. */
void peer__spoke(struct peer_set *set, struct peer *p, mono_us now)
{
	p->heard = now;
	if (p->state != PEER_UP && p->state != PEER_PROBATION)
		peer__ping_soon(p, now);
	else if (p->ping_due == MONO_NEVER)
		ping_when_idle(set, p, now);
	peer__rearm(set, p);
}

void peer__greet(struct peer_set *set, struct peer *p, mono_us now)
{
	p->hello_done = false;
	peer__ping_soon(p, now);
	peer__rearm(set, p);
}

void peer__rebooted(struct peer_set *set, struct peer *p, mono_us now)
{
	peer__home_forget(set, p->id);
	peer__announce_to(set, p, now);
	p->tcp_failures = 0;
	p->tcp_retry_at = 0;
	p->tcp_backoff = 0;
	p->false_row = 0;
	p->said_state = 0;
	p->purge_serial = 0;
	if (p->state == PEER_DRAINING)
		peer__become(set, p, PEER_UP, now);
}

static void look_at_loss(struct peer_set *set, mono_us now)
{
	size_t expected = 0, lossy = 0;

	if (set->loss_looked_at && now - set->loss_looked_at < LOSS_LOOK_US)
		return;
	set->loss_looked_at = now;
	for (size_t i = 0; i < set->n; i++) {
		const struct peer *p = set->v[i];

		if (p->member.role != PEER_EDGE || !peer__is_expected(p) || p->score.keys_sent < LOSS_KEYS)
			continue;
		expected++;
		lossy += p->score.loss > LOSS_TOO_MUCH;
	}
	if (expected >= ISOLATION_FROM && 2 * lossy > expected)
		set->parents_only_until = now + PARENTS_ONLY_US;
}

void peer__unanswered(struct peer_set *set, struct peer *p, mono_us now)
{
	if (set->isolated_until || (p->unanswered && now - p->unanswered_at < APART_US))
		return;
	p->unanswered++;
	p->unanswered_at = now;
	if (!p->udp_silent_since)
		p->udp_silent_since = now;
	if (p->unanswered >= SUSPECT_AFTER &&
	    (p->state == PEER_NEW || p->state == PEER_UP || p->state == PEER_PROBATION))
		suspect(set, p, now);
	look_at_loss(set, now);
	peer__rearm(set, p);
}

bool peer__is_expected(const struct peer *p)
{
	return p->state == PEER_UP || p->state == PEER_PROBATION;
}

static bool is_on_trial(const struct peer *p, mono_us now)
{
	int64_t seconds = (now - p->since) / SECOND_US;

	return p->state == PEER_PROBATION && p->score.streams_in >= PROBATION_FETCHES + seconds;
}

bool peer__is_asked(const struct peer_set *set, const struct peer *p, mono_us now)
{
	if (p->member.role != PEER_EDGE || p->member.addr.len == 0)
		return false;
	if (set->isolated_until || now < set->parents_only_until || now < p->tcp_retry_at)
		return false;
	if (p->said_state == PEERMSG_STATE_DRAINING || is_on_trial(p, now))
		return false;
	return peer__is_expected(p) || p->state == PEER_NEW || p->state == PEER_SUSPECT;
}

/* ---- pings ---- */

void peer__put_ping(const struct peer_set *set, struct peermsg_ping *m, uint64_t nonce, uint64_t t_us)
{
	*m = (struct peermsg_ping){.nonce = nonce,
				   .t_us = t_us,
				   .load = set->load,
				   .objects = set->objects,
				   .state = (uint8_t)set->state,
				   .members_hash = set->members_hash,
				   .mode = set->asks_homes ? 2 : 1,
				   .purge_serial = set->purge_serial};
}

void peer__put_hello(const struct peer_set *set, struct peermsg_hello *m, uint64_t nonce)
{
	*m = (struct peermsg_hello){.nonce = nonce,
				    .version_min = PEERMSG_VERSION,
				    .version_max = PEERMSG_VERSION,
				    .role = (uint8_t)set->self.role,
				    .tcp_port = set->self.tcp_port,
				    .members_hash = set->members_hash,
				    .max_dgram = (uint16_t)set->self.dgram_bytes,
				    .zone = set->self.zone};
	memcpy(m->name, set->self.name, sizeof(m->name));
}

/* A HELLO, and a PING once that has been answered. */
static void probe(struct peer_set *set, struct peer *p, mono_us now)
{
	uint64_t nonce = peer__random(set) | 1;
	struct peermsg m;

	if (p->hello_done) {
		m.env.type = PEERMSG_PING;
		peer__put_ping(set, &m.ping, nonce, (uint64_t)now);
	} else {
		m.env.type = PEERMSG_HELLO;
		peer__put_hello(set, &m.hello, nonce);
	}
	if (!peer__send(set, p, &m, now)) {
		p->ping_at = p->member.addr.len ? now + DEAD_FROM_US + jitter(set, DEAD_SPREAD_US) : MONO_NEVER;
		return;
	}
	p->ping_nonce = nonce;
	p->ping_sent = now;
	p->ping_due = now + PING_WAIT_US;
	p->ping_at = MONO_NEVER;
}

/* An answer to a challenge. It is asked for from outside, so it neither prolongs the wait for a ping that is out nor begins one: who
 * repeats old challenges must not keep a dead peer alive. */
void peer__echo(struct peer_set *set, struct peer *p, const uint8_t challenge[16], mono_us now)
{
	struct peermsg m = {.env.type = PEERMSG_HELLO};

	if (!p->ping_nonce) {
		p->ping_nonce = peer__random(set) | 1;
		p->ping_sent = now;
	}
	peer__put_hello(set, &m.hello, p->ping_nonce);
	m.hello.has_echo = true;
	memcpy(m.hello.echo, challenge, sizeof(m.hello.echo));
	peer__send(set, p, &m, now);
}

/* The second has passed: how long till the next one. */
static mono_us after_silence(struct peer_set *set, const struct peer *p, mono_us now)
{
	switch (p->state) {
	case PEER_DEAD:
	case PEER_DRAINING:
	case PEER_UDP_BLOCKED:
		return now - PING_WAIT_US + DEAD_FROM_US + jitter(set, DEAD_SPREAD_US);
	default: /* when we are cut off, all of them are silent: 100 a second will do */
		return set->isolated_until ? now + jitter(set, (int64_t)(set->n + 1) * SECOND_US / 50) : now;
	}
}

/* It has said that it goes: pinged from time to time, in case it comes back without a word. */
void peer__rest(struct peer_set *set, struct peer *p, mono_us now)
{
	p->ping_due = MONO_NEVER;
	p->ping_at = now + DEAD_FROM_US + jitter(set, DEAD_SPREAD_US);
	peer__rearm(set, p);
}

/* ---- time ---- */

void peer__isolation_tick(struct peer_set *set, mono_us now)
{
	if (!set->isolated_until || now < set->isolated_until)
		return;
	if (set->isolated_heard)
		end_isolation(set, now);
	else
		set->isolated_until = now + ISOLATED_US;
}

static void turn_state(struct peer_set *set, struct peer *p, mono_us now)
{
	if (now >= blocked_at(p))
		peer__become(set, p, PEER_UDP_BLOCKED, now);
	if (now < turns_at(set, p))
		return;
	if (p->state == PEER_SUSPECT) {
		peer__become(set, p, PEER_DEAD, now);
	} else if (p->state == PEER_PROBATION) {
		peer__become(set, p, PEER_UP, now);
	} else if (p->state == PEER_DEAD) {
		p->forgotten = true;
		peer__home_forget(set, p->id);
	}
}

void peer__attend(struct peer_set *set, struct peer *p, mono_us now)
{
	if (now >= p->ping_due) {
		p->ping_due = MONO_NEVER;
		peer__unanswered(set, p, now);
		p->ping_at = after_silence(set, p, now);
	}
	turn_state(set, p, now);
	if (now >= p->ping_at)
		probe(set, p, now);
	peer__rearm(set, p);
}

/* ---- fetches ---- */

static void tcp_failed(struct peer_set *set, struct peer *p, mono_us now)
{
	if (++p->tcp_failures < TCP_SUSPECT_AFTER)
		return;
	p->tcp_backoff = p->tcp_backoff ? 2 * p->tcp_backoff : BACKOFF_FIRST;
	if (p->tcp_backoff > BACKOFF_MOST)
		p->tcp_backoff = BACKOFF_MOST;
	p->tcp_retry_at = later(p->tcp_retry_at, mono_after(now, p->tcp_backoff));
	if (p->state == PEER_UDP_BLOCKED)
		peer__become(set, p, PEER_DEAD, now);
	else if (p->state == PEER_NEW || p->state == PEER_UP || p->state == PEER_PROBATION)
		suspect(set, p, now);
}

void peer__fetched(struct peer_set *set, struct peer *p, mono_us now)
{
	p->tcp_failures = 0;
	p->tcp_backoff = 0;
	p->tcp_retry_at = 0;
	p->false_row = 0;
	p->tcp_fine_at = now;
	if (p->state == PEER_SUSPECT && !p->udp_silent_since)
		peer__become(set, p, PEER_UP, now);
	turn_state(set, p, now);
	peer__rearm(set, p);
}

void peer__was_false(struct peer_set *set, struct peer *p, enum peer_false why, mono_us now)
{
	switch (why) {
	case PEER_FALSE_DIAL:
	case PEER_FALSE_TLS:
	case PEER_FALSE_SILENT:
	case PEER_FALSE_CUT:
	case PEER_FALSE_BAD:
		tcp_failed(set, p, now);
		break;
	case PEER_FALSE_DIGEST:
		p->tcp_retry_at = now + DISTRUST_US;
		break;
	default: /* TCP is well */
		p->tcp_failures = 0;
		break;
	}
	if (why != PEER_FALSE_BUSY && ++p->false_row >= FALSE_IN_A_ROW) {
		p->false_row = 0;
		p->tcp_retry_at = now + DISTRUST_US;
	}
	peer__rearm(set, p);
}
