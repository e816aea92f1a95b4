#include "parent/parent_set.h"

#include <pthread.h>
#include <stdlib.h>

#include "node/base/allowance.h"
#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "proto/rendezvous.h"

#define PARENT_SET_MAGIC 0x9a4e5e70

#define SECOND_US ((mono_us)1000 * 1000)
#define CONNECT_FAILURES 3
#define WINDOW_SECONDS 10
#define WINDOW_REQUESTS 10
#define COOL_FIRST_US (2 * SECOND_US)
#define COOL_MOST_US (60 * SECOND_US)
#define COOL_JITTER_PERCENT 20
#define TRIALS 2
#define RAMP_US (30 * SECOND_US)
#define SHARE_PERCENT 125
#define LOAD_HOLDS_US (2 * SECOND_US)
#define RETRY_PERCENT 20
#define RETRIES_ALWAYS 3
#define HEDGE_PERCENT 5
#define HEDGE_LEAST_MS 50
#define HEDGE_MOST_MS 2000
#define HEDGE_SAMPLES 8u /* fewer say nothing about what is late */
#define SAMPLES 64u
#define SAMPLES_A_SORT 8u

/* Failures in halves of a request. */
#define BAD_WHOLE 2u
#define BAD_HALF 1u

_Static_assert(PARENT_MOST <= RENDEZVOUS_MOST, "all are ranked");

struct samples {
	int64_t v[SAMPLES];
	unsigned n, at;
};

/* What happened in one second. */
struct second {
	int64_t stamp;
	unsigned requests, bad;
};

enum out { OUT_NOT, OUT_BY_CONNECT, OUT_BY_REQUESTS };

struct parent {
	unsigned id;
	uint32_t node;
	struct parent_member member;
	bool gone;
	/* health */
	unsigned era; /* changes with each verdict: what was begun before it says nothing about what is now */
	enum out out;
	mono_us until, cool; /* out: until when, and for how long that was */
	bool ramping;
	mono_us ramp_began;
	unsigned connects_in_a_row, trial_bad, trials_in_hand;
	struct second window[WINDOW_SECONDS];
	int load;
	mono_us load_told;
	/* figures */
	unsigned in_hand;
	struct samples ttfb;
	int64_t ttfb_p95;
	uint64_t requests, failures, connect_failures, retries, hedged, cancelled, bytes_in;
	uint64_t said[PARENT_SAID_PASS + 1];
};

struct parent_set {
	unsigned magic;
	pthread_mutex_t lock;
	struct rng rng;
	struct parent **v; /* also those that have gone, while they have requests in hand */
	size_t n;
	unsigned last_id;
	unsigned retries_in_hand;
	struct allowance hedges;
	struct samples ttfb;
	int64_t ttfb_median;
};

/* ---- times to first bytes ---- */

static void samples_add(struct samples *s, int64_t us)
{
	s->v[s->at] = us;
	s->at = (s->at + 1) % SAMPLES;
	if (s->n < SAMPLES)
		s->n++;
}

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t samples_quantile(const struct samples *s, unsigned percent)
{
	int64_t sorted[SAMPLES];

	if (!s->n)
		return 0;
	memcpy(sorted, s->v, s->n * sizeof(sorted[0]));
	qsort(sorted, s->n, sizeof(sorted[0]), compare_times);
	return sorted[(s->n - 1) * percent / 100];
}

/* Asked for with every miss: sorted now and then only. */
static bool is_time_to_sort(const struct samples *s)
{
	return s->n < SAMPLES_A_SORT || s->at % SAMPLES_A_SORT == 0;
}

static void note_ttfb(struct parent_set *s, struct parent *p, int64_t us)
{
	samples_add(&p->ttfb, us);
	samples_add(&s->ttfb, us);
	if (is_time_to_sort(&s->ttfb))
		s->ttfb_median = samples_quantile(&s->ttfb, 50);
	if (is_time_to_sort(&p->ttfb))
		p->ttfb_p95 = samples_quantile(&p->ttfb, 95);
}

static dur_ms late_after(const struct parent *p)
{
	dur_ms ms = p->ttfb_p95 / 1000;

	if (p->ttfb.n < HEDGE_SAMPLES || ms > HEDGE_MOST_MS)
		return HEDGE_MOST_MS;
	return ms > HEDGE_LEAST_MS ? ms : HEDGE_LEAST_MS;
}

/* ---- members ---- */

struct parent_set *parent_set_new(uint64_t seed)
{
	struct parent_set *s = NEW(struct parent_set);

	s->magic = PARENT_SET_MAGIC;
	pthread_mutex_init(&s->lock, NULL);
	rng_seed(&s->rng, seed);
	s->hedges = allowance_of(HEDGE_PERCENT);
	return s;
}

void parent_set_free(struct parent_set *s)
{
	if (!s)
		return;
	CHECK(s, PARENT_SET_MAGIC);
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	pthread_mutex_destroy(&s->lock);
	s->magic = 0;
	free(s);
}

static struct parent *find_named(const struct parent_set *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i]->member.name, name) == 0)
			return s->v[i];
	return NULL;
}

static struct parent *find(const struct parent_set *s, unsigned id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i]->id == id)
			return s->v[i];
	return NULL;
}

static struct parent *parent_add(struct parent_set *s, const struct parent_member *m)
{
	struct parent *p = NEW(struct parent);

	p->id = ++s->last_id;
	p->node = rendezvous_node_id(span_str(m->name));
	p->load = -1;
	s->v = mem_realloc(s->v, (s->n + 1) * sizeof(struct parent *));
	s->v[s->n++] = p;
	return p;
}

static void sweep(struct parent_set *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct parent *p = s->v[i];

		if (p->gone && !p->in_hand)
			free(p);
		else
			s->v[kept++] = p;
	}
	s->n = kept;
}

void parent_set_members(struct parent_set *s, const struct parent_member *v, size_t n)
{
	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n; i++)
		s->v[i]->gone = true;
	for (size_t i = 0; i < n && i < PARENT_MOST; i++) {
		struct parent *p = find_named(s, v[i].name);

		if (p && !p->gone)
			continue;
		if (!p)
			p = parent_add(s, &v[i]);
		p->gone = false;
		p->member = v[i];
		if (!p->member.weight)
			p->member.weight = 100;
		if (p->member.vip)
			p->out = OUT_NOT;
	}
	sweep(s);
	pthread_mutex_unlock(&s->lock);
}

size_t parent_set_count(struct parent_set *s)
{
	size_t n = 0;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n; i++)
		n += !s->v[i]->gone;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* ---- health ---- */

static bool is_down(const struct parent *p, mono_us now)
{
	return p->out && now < p->until;
}

static bool is_ramping(struct parent *p, mono_us now)
{
	if (p->ramping && now - p->ramp_began >= RAMP_US) {
		p->ramping = false;
		p->cool = 0; /* it has stood the whole of it: the next time counts as a first one */
	}
	return p->ramping;
}

static void forget_window(struct parent *p)
{
	memset(p->window, 0, sizeof(p->window));
	p->connects_in_a_row = p->trial_bad = 0;
}

static void take_out(struct parent_set *s, struct parent *p, enum out why, mono_us now)
{
	mono_us spread;

	if (p->member.vip)
		return;
	is_ramping(p, now);
	p->cool = p->cool ? 2 * p->cool : COOL_FIRST_US;
	if (p->cool > COOL_MOST_US)
		p->cool = COOL_MOST_US;
	spread = p->cool * COOL_JITTER_PERCENT / 100;
	p->out = why;
	p->until = now + p->cool - spread + (mono_us)rng_below(&s->rng, (uint64_t)(2 * spread + 1));
	p->ramping = false;
	p->era++;
	forget_window(p);
}

static void bring_back(struct parent *p, mono_us now)
{
	p->out = OUT_NOT;
	p->ramping = true;
	p->ramp_began = now;
	p->era++;
	forget_window(p);
}

static void count_in_window(struct parent *p, unsigned bad, mono_us now)
{
	int64_t stamp = now / SECOND_US;
	struct second *w = &p->window[stamp % WINDOW_SECONDS];

	if (w->stamp < stamp)
		*w = (struct second){.stamp = stamp};
	w->requests++;
	w->bad += bad;
}

static bool window_is_bad(const struct parent *p, mono_us now)
{
	int64_t oldest = now / SECOND_US - WINDOW_SECONDS + 1;
	unsigned requests = 0, bad = 0;

	for (unsigned i = 0; i < WINDOW_SECONDS; i++) {
		if (p->window[i].stamp < oldest)
			continue;
		requests += p->window[i].requests;
		bad += p->window[i].bad;
	}
	return requests >= WINDOW_REQUESTS && 2 * bad >= BAD_WHOLE * requests;
}

static void judge_in_use(struct parent_set *s, struct parent *p, enum parent_outcome o, mono_us now)
{
	if (o == PARENT_CONNECT) {
		if (++p->connects_in_a_row >= CONNECT_FAILURES)
			take_out(s, p, OUT_BY_CONNECT, now);
		return;
	}
	p->connects_in_a_row = 0;
	count_in_window(p, o == PARENT_FAILED ? BAD_WHOLE : o == PARENT_SLOW ? BAD_HALF : 0, now);
	if (o != PARENT_OK && window_is_bad(p, now))
		take_out(s, p, OUT_BY_REQUESTS, now);
}

static void judge_trial(struct parent_set *s, struct parent *p, enum parent_outcome o, mono_us now)
{
	if (o == PARENT_OK) {
		bring_back(p, now);
		return;
	}
	p->trial_bad += o == PARENT_SLOW ? BAD_HALF : BAD_WHOLE;
	if (p->trial_bad >= BAD_WHOLE)
		take_out(s, p, o == PARENT_CONNECT ? OUT_BY_CONNECT : OUT_BY_REQUESTS, now);
}

/* It is out, and was asked all the same (fewer than half are healthy): that it cannot even be reached is a verdict of the other kind. */
static void judge_in_panic(struct parent_set *s, struct parent *p, enum parent_outcome o, mono_us now)
{
	if (o != PARENT_CONNECT)
		p->connects_in_a_row = 0;
	else if (++p->connects_in_a_row >= CONNECT_FAILURES)
		take_out(s, p, OUT_BY_CONNECT, now);
}

static void judge(struct parent_set *s, struct parent *p, const struct parent_pick *pick, enum parent_outcome o,
		  mono_us now)
{
	if (o == PARENT_CANCELLED || pick->era != p->era)
		return;
	if (!p->out)
		judge_in_use(s, p, o, now);
	else if (pick->trial)
		judge_trial(s, p, o, now);
	else
		judge_in_panic(s, p, o, now);
}

/* ---- choosing ---- */

/* The members in rank for a key, and what the choice among them needs. */
struct ranking {
	struct parent *v[PARENT_MOST];
	size_t n;
	bool panic;
};

static void rank(const struct parent_set *s, const struct key *key, struct ranking *r)
{
	struct parent *members[PARENT_MOST];
	uint32_t nodes[PARENT_MOST];
	unsigned weights[PARENT_MOST];
	size_t order[PARENT_MOST], n = 0, healthy = 0;
	bool weighted = false;

	for (size_t i = 0; i < s->n && n < PARENT_MOST; i++) {
		struct parent *p = s->v[i];

		if (p->gone)
			continue;
		members[n] = p;
		nodes[n] = p->node;
		weights[n++] = p->member.weight;
		weighted |= p->member.weight != weights[0];
		healthy += !p->out;
	}
	r->n = rendezvous_rank(key->b, nodes, weighted ? weights : NULL, n, order, n);
	for (size_t i = 0; i < r->n; i++)
		r->v[i] = members[order[i]];
	r->panic = 2 * healthy < n;
}

static bool is_usable(const struct ranking *r, const struct parent *p, mono_us now)
{
	if (!p->out || (r->panic && p->out == OUT_BY_REQUESTS))
		return true;
	return !is_down(p, now) && p->trials_in_hand < TRIALS;
}

/* While it comes back, only for the keys below a line that rises: each key moves once. The hash's own bytes are left out. */
static bool has_this_key_back(struct parent *p, const struct key *key, mono_us now)
{
	uint32_t place;

	if (!is_ramping(p, now))
		return true;
	memcpy(&place, key->b + 16, sizeof(place));
	return (mono_us)(place >> 8) * RAMP_US < (now - p->ramp_began) * ((mono_us)1 << 24);
}

static bool is_among(unsigned id, const unsigned *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == id)
			return true;
	return false;
}

static bool says_full(const struct parent *p, mono_us now)
{
	return p->load >= PARENT_LOAD_FULL && now - p->load_told < LOAD_HOLDS_US;
}

/* Those that may have it, in rank. */
static size_t choose_from(const struct ranking *r, const struct key *key, const unsigned *tried, size_t n_tried,
			  mono_us now, struct parent *out[PARENT_MOST])
{
	struct parent *late[PARENT_MOST];
	size_t n = 0, n_late = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct parent *p = r->v[i];

		if (is_among(p->id, tried, n_tried) || !is_usable(r, p, now))
			continue;
		if (has_this_key_back(p, key, now))
			out[n++] = p;
		else
			late[n_late++] = p;
	}
	if (n)
		return n;
	for (size_t i = 0; i < n_late; i++) /* half back is better than nobody */
		out[i] = late[i];
	return n_late;
}

/* More than its share of all that is in hand, this one included. */
static bool has_too_many(struct parent *const *v, size_t n, const struct parent *p)
{
	uint64_t in_hand = 1, weights = 0;

	if (p->in_hand < PARENT_FEW)
		return false;
	for (size_t i = 0; i < n; i++) {
		in_hand += v[i]->in_hand;
		weights += v[i]->member.weight;
	}
	return (p->in_hand + 1) * 100 * weights > SHARE_PERCENT * in_hand * p->member.weight;
}

static bool may_retry(const struct parent_set *s)
{
	unsigned in_hand = 0, most;

	for (size_t i = 0; i < s->n; i++)
		in_hand += s->v[i]->in_hand;
	most = in_hand * RETRY_PERCENT / 100;
	return s->retries_in_hand < (most > RETRIES_ALWAYS ? most : RETRIES_ALWAYS);
}

static struct parent *choose(const struct parent_set *s, const struct key *key, const unsigned *tried, size_t n_tried,
			     mono_us now, const struct parent **home)
{
	struct parent *v[PARENT_MOST];
	struct ranking r;
	size_t n;

	rank(s, key, &r);
	n = choose_from(&r, key, tried, n_tried, now, v);
	*home = NULL;
	if (!n)
		return NULL;
	if (n > 1 && (says_full(v[0], now) || has_too_many(v, n, v[0])) &&
	    !(says_full(v[1], now) || has_too_many(v, n, v[1]))) {
		*home = v[0];
		return v[1];
	}
	return v[0];
}

static void begin(struct parent_set *s, struct parent *p, const struct parent *home, bool retry, mono_us now,
		  struct parent_pick *out)
{
	*out = (struct parent_pick){
		.id = p->id,
		.member = p->member,
		.trial = p->out && !is_down(p, now),
		.diverted = home != NULL,
		.hedge_after = late_after(p),
		.retry = retry,
		.era = p->era,
	};
	if (home)
		memcpy(out->home, home->member.name, sizeof(out->home));
	p->in_hand++;
	p->trials_in_hand += out->trial;
	p->requests++;
	if (retry) {
		p->retries++;
		s->retries_in_hand++;
	}
}

bool parent_set_pick(struct parent_set *s, const struct key *key, const unsigned *tried, size_t n_tried, bool retry,
		     mono_us now, struct parent_pick *out)
{
	const struct parent *home = NULL;
	struct parent *p = NULL;

	CHECK(s, PARENT_SET_MAGIC);
	if (n_tried >= PARENT_MOST_TRIES)
		return false;
	pthread_mutex_lock(&s->lock);
	if (!retry || may_retry(s))
		p = choose(s, key, tried, n_tried, now, &home);
	if (p) {
		begin(s, p, home, retry, now, out);
		allowance_earn(&s->hedges);
	}
	pthread_mutex_unlock(&s->lock);
	return p != NULL;
}

bool parent_set_would_pick(struct parent_set *s, const struct key *key, mono_us now, struct parent_member *out)
{
	const struct parent *home, *p;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	p = choose(s, key, NULL, 0, now, &home);
	if (p)
		*out = p->member;
	pthread_mutex_unlock(&s->lock);
	return p != NULL;
}

bool parent_set_pick_hedge(struct parent_set *s, const struct key *key, const struct parent_pick *late, mono_us now,
			   struct parent_pick *out)
{
	const struct parent *home;
	struct parent *p = NULL, *behind;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	behind = find(s, late->id);
	CHECK_THAT(behind != NULL); /* it has a request in hand */
	if (may_retry(s))
		p = choose(s, key, &late->id, 1, now, &home);
	if (p && !allowance_spend(&s->hedges))
		p = NULL;
	if (p) {
		begin(s, p, NULL, true, now, out);
		behind->hedged++;
	}
	pthread_mutex_unlock(&s->lock);
	return p != NULL;
}

bool parent_set_pick_named(struct parent_set *s, struct span name, mono_us now, struct parent_pick *out)
{
	struct ranking alone = {0};
	struct parent *p = NULL;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n && !p; i++)
		if (!s->v[i]->gone && span_eq(span_str(s->v[i]->member.name), name))
			p = s->v[i];
	if (p && !is_usable(&alone, p, now))
		p = NULL;
	if (p)
		begin(s, p, NULL, false, now, out);
	pthread_mutex_unlock(&s->lock);
	return p != NULL;
}

void parent_set_ended(struct parent_set *s, const struct parent_pick *pick, enum parent_outcome o, int64_t ttfb_us,
		      int load, uint64_t bytes, mono_us now)
{
	struct parent *p;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	p = find(s, pick->id);
	CHECK_THAT(p && p->in_hand);
	p->in_hand--;
	p->trials_in_hand -= pick->trial;
	s->retries_in_hand -= pick->retry;
	p->bytes_in += bytes;
	p->failures += o == PARENT_FAILED || o == PARENT_SLOW;
	p->connect_failures += o == PARENT_CONNECT;
	p->cancelled += o == PARENT_CANCELLED;
	if (ttfb_us > 0)
		note_ttfb(s, p, ttfb_us);
	if (load >= 0) {
		p->load = load;
		p->load_told = now;
	}
	judge(s, p, pick, o, now);
	if (p->gone)
		sweep(s);
	pthread_mutex_unlock(&s->lock);
}

void parent_set_said(struct parent_set *s, const struct parent_pick *pick, enum parent_source source)
{
	struct parent *p;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	p = find(s, pick->id);
	if (p) /* else it has gone meanwhile */
		p->said[source]++;
	pthread_mutex_unlock(&s->lock);
}

int64_t parent_set_ttfb_us(struct parent_set *s)
{
	int64_t us;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	us = s->ttfb_median;
	pthread_mutex_unlock(&s->lock);
	return us;
}

/* ---- figures ---- */

const char *parent_state_word(enum parent_state state)
{
	static const char *const words[] = {"up", "down", "trial"};

	CHECK_THAT((unsigned)state < sizeof(words) / sizeof(words[0]));
	return words[state];
}

static enum parent_state state_of(struct parent *p, mono_us now)
{
	if (is_down(p, now))
		return PARENT_DOWN;
	return p->out || is_ramping(p, now) ? PARENT_TRIAL : PARENT_UP;
}

static void look_at(struct parent *p, mono_us now, struct parent_view *out)
{
	*out = (struct parent_view){
		.member = p->member,
		.state = state_of(p, now),
		.until = p->until,
		.requests = p->requests,
		.failures = p->failures,
		.connect_failures = p->connect_failures,
		.retries = p->retries,
		.hedged = p->hedged,
		.cancelled = p->cancelled,
		.hits = p->said[PARENT_SAID_HIT],
		.joins = p->said[PARENT_SAID_JOIN],
		.misses = p->said[PARENT_SAID_MISS],
		.passes = p->said[PARENT_SAID_PASS],
		.bytes_in = p->bytes_in,
		.in_hand = p->in_hand,
		.load = p->load,
		.ttfb_p50_us = samples_quantile(&p->ttfb, 50),
		.ttfb_p95_us = samples_quantile(&p->ttfb, 95),
	};
}

static int compare_views(const void *a, const void *b)
{
	const struct parent_view *x = a, *y = b;

	return strcmp(x->member.name, y->member.name);
}

size_t parent_set_look(struct parent_set *s, struct parent_view *out, size_t most, mono_us now)
{
	size_t n = 0;

	CHECK(s, PARENT_SET_MAGIC);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n && n < most; i++)
		if (!s->v[i]->gone)
			look_at(s->v[i], now, &out[n++]);
	pthread_mutex_unlock(&s->lock);
	qsort(out, n, sizeof(*out), compare_views);
	return n;
}
