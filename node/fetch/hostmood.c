#include "node/fetch/hostmood.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/map.h"
#include "node/base/mem.h"
#include "node/base/rng.h"

struct mood {
	struct map_node node;
	TAILQ_ENTRY(mood) entry; /* the one that failed longest ago first */
	char *host;
	unsigned unreached, erring; /* in a row */
	enum reason why;            /* the last */
	mono_us last;               /* when it was */
	dur_ms pause;               /* 0: it was never held back */
	mono_us until;              /* no trial before */
	mono_us retry_at;
	uint64_t trial; /* under way; 0: none */
	unsigned ended; /* trials that have failed */
};

struct hostmoods {
	unsigned magic;
	pthread_mutex_t lock;
	struct map map;
	TAILQ_HEAD(, mood) line;
	uint64_t seed, trials;
	atomic_uint n;      /* of the map: read without the lock */
	atomic_int offline; /* enum hostmood_offline */
};

#define HOSTMOODS_MAGIC 0x405700d5

struct hostmoods *hostmoods_new(void)
{
	struct hostmoods *all = NEW(struct hostmoods);

	all->magic = HOSTMOODS_MAGIC;
	CHECK_THAT(pthread_mutex_init(&all->lock, NULL) == 0);
	TAILQ_INIT(&all->line);
	rng_secret(&all->seed, sizeof(all->seed));
	return all;
}

static void forget(struct hostmoods *all, struct mood *m)
{
	map_remove(&all->map, &m->node);
	TAILQ_REMOVE(&all->line, m, entry);
	atomic_fetch_sub(&all->n, 1);
	free(m->host);
	free(m);
}

void hostmoods_free(struct hostmoods *all)
{
	struct mood *m, *next;

	if (!all)
		return;
	CHECK(all, HOSTMOODS_MAGIC);
	for (m = TAILQ_FIRST(&all->line); m; m = next) {
		next = TAILQ_NEXT(m, entry);
		forget(all, m);
	}
	map_fini(&all->map);
	pthread_mutex_destroy(&all->lock);
	all->magic = 0;
	free(all);
}

/* ---- finding ---- */

static struct mood *mood_of(const struct map_node *node)
{
	return (struct mood *)(uintptr_t)((const char *)node - offsetof(struct mood, node));
}

static bool is_wanted(const struct map_node *node, const void *wanted)
{
	const struct span *host = wanted;

	return span_eq(span_str(mood_of(node)->host), *host);
}

/* True: the lock is held. */
static bool enter(struct hostmoods *all)
{
	if (!all)
		return false;
	CHECK(all, HOSTMOODS_MAGIC);
	CHECK_THAT(pthread_mutex_lock(&all->lock) == 0);
	return true;
}

static void leave(struct hostmoods *all)
{
	pthread_mutex_unlock(&all->lock);
}

static bool all_are_well(struct hostmoods *all)
{
	return !all || atomic_load_explicit(&all->n, memory_order_relaxed) == 0;
}

static struct mood *find(struct hostmoods *all, struct span host)
{
	struct map_node *node = map_find(&all->map, checksum_seeded(host, all->seed), is_wanted, &host);

	return node ? mood_of(node) : NULL;
}

static struct mood *find_or_add(struct hostmoods *all, struct span host)
{
	struct mood *m = find(all, host);

	if (m)
		return m;
	if (all->map.n == HOSTMOOD_HOSTS)
		forget(all, TAILQ_FIRST(&all->line));
	m = NEW(struct mood);
	m->host = span_dup(host);
	map_insert(&all->map, &m->node, checksum_seeded(host, all->seed));
	TAILQ_INSERT_TAIL(&all->line, m, entry);
	atomic_fetch_add(&all->n, 1);
	return m;
}

static bool is_held(const struct mood *m)
{
	return m->unreached >= HOSTMOOD_FAILURES || m->erring >= HOSTMOOD_FAILURES;
}

static bool is_past(const struct mood *m, mono_us now)
{
	return !m->trial && now >= mono_after(m->last, HOSTMOOD_FORGET) && now >= m->retry_at;
}

unsigned hostmoods_held(struct hostmoods *all, mono_us now)
{
	struct mood *m, *next;
	unsigned n = 0;

	if (all_are_well(all) || !enter(all))
		return 0;
	for (m = TAILQ_FIRST(&all->line); m; m = next) {
		next = TAILQ_NEXT(m, entry);
		if (is_past(m, now))
			forget(all, m);
		else
			n += is_held(m) || now < m->retry_at;
	}
	leave(all);
	return n;
}

/* ---- asking ---- */

static enum hostmood_word no(const struct mood *m, enum reason *why)
{
	*why = m->why;
	return HOSTMOOD_NO;
}

static enum hostmood_word go_on_trial(struct hostmoods *all, struct mood *m, struct hostmood_ticket *t)
{
	m->trial = t->trial = ++all->trials;
	return HOSTMOOD_GO;
}

static enum hostmood_word ask_with_spare(struct hostmoods *all, struct mood *m, mono_us now, struct hostmood_ticket *t,
					 enum reason *why)
{
	if (now < m->retry_at)
		return no(m, why);
	if (!is_held(m))
		return HOSTMOOD_GO;
	if (m->trial || now < m->until)
		return no(m, why);
	return go_on_trial(all, m, t);
}

static enum hostmood_word ask_without(struct hostmoods *all, struct mood *m, mono_us now, struct hostmood_ticket *t,
				      enum reason *why)
{
	t->despite_pause = now < m->retry_at;
	if (m->unreached < HOSTMOOD_FAILURES)
		return HOSTMOOD_GO;
	if (t->waits && t->ended != m->ended)
		return no(m, why);
	if (!m->trial)
		return go_on_trial(all, m, t);
	t->waits = true;
	t->ended = m->ended;
	return HOSTMOOD_WAIT;
}

enum hostmood_word hostmood_ask(struct hostmoods *all, struct span host, bool spare, mono_us now,
				struct hostmood_ticket *t, enum reason *why)
{
	enum hostmood_word word = HOSTMOOD_GO;
	struct mood *m;

	if (all_are_well(all) || !enter(all))
		return HOSTMOOD_GO;
	m = find(all, host);
	if (m && is_past(m, now)) {
		forget(all, m);
		m = NULL;
	}
	if (m)
		word = spare ? ask_with_spare(all, m, now, t, why) : ask_without(all, m, now, t, why);
	leave(all);
	return word;
}

/* ---- telling ---- */

static void end_trial(struct mood *m, struct hostmood_ticket *t)
{
	if (t->trial && m->trial == t->trial)
		m->trial = 0;
	t->trial = 0;
}

static bool is_unreached(enum reason why)
{
	switch (why) {
	case REASON_DNS_FAILED:
	case REASON_DNS_NO_NAME:
	case REASON_DNS_TIMEOUT:
	case REASON_CONNECT_REFUSED:
	case REASON_CONNECT_FAILED:
	case REASON_CONNECT_TIMEOUT:
	case REASON_PROXY_REFUSED:
	case REASON_TLS_FAILED:
	case REASON_TLS_TIMEOUT:
	case REASON_TLS_CLOSED:
	case REASON_TLS_OLD:
	case REASON_TLS_WANTS_CERT:
	case REASON_CERT_EXPIRED:
	case REASON_CERT_NOT_YET:
	case REASON_CERT_WRONG_NAME:
	case REASON_CERT_SELF_SIGNED:
	case REASON_CERT_UNKNOWN_CA:
	case REASON_CERT_WEAK:
	case REASON_CERT_BAD:
		return true;
	default:
		return false;
	}
}

static bool is_no_answer(enum reason why)
{
	return why == REASON_FIRST_BYTE_TIMEOUT || why == REASON_UPSTREAM_CLOSED || why == REASON_UPSTREAM_RESET;
}

bool hostmood_blames(enum reason why)
{
	return is_unreached(why) || is_no_answer(why);
}

static bool is_bad_status(int status)
{
	return status == 500 || status == 502 || status == 503 || status == 504 || status == 429;
}

/* The pause grows with each trial, not with each of many that failed at the same time. */
static void pause_longer(struct mood *m, mono_us now)
{
	if (!is_held(m) || now < m->until)
		return;
	m->pause = m->pause ? 2 * m->pause : HOSTMOOD_PAUSE;
	if (m->pause > HOSTMOOD_PAUSE_MOST)
		m->pause = HOSTMOOD_PAUSE_MOST;
	m->until = mono_after(now, m->pause);
}

static enum hostmood_change got_worse(struct hostmoods *all, struct mood *m, unsigned *count, enum reason why,
				      mono_us now)
{
	bool was_held = is_held(m);

	if (m->last && now >= mono_after(m->last, HOSTMOOD_FORGET)) { /* not in a row any more */
		m->unreached = m->erring = 0;
		m->pause = 0;
	}
	(*count)++;
	m->why = why;
	m->last = now;
	pause_longer(m, now);
	TAILQ_REMOVE(&all->line, m, entry);
	TAILQ_INSERT_TAIL(&all->line, m, entry);
	return is_held(m) && !was_held ? HOSTMOOD_WORSE : HOSTMOOD_SAME;
}

static enum hostmood_change got_better(struct hostmoods *all, struct mood *m, bool was_held)
{
	enum hostmood_change change = was_held && !is_held(m) ? HOSTMOOD_WELL : HOSTMOOD_SAME;

	if (!is_held(m)) {
		m->pause = 0;
		m->until = 0;
	}
	if (!m->unreached && !m->erring && !m->retry_at && !m->trial)
		forget(all, m);
	return change;
}

enum hostmood_change hostmood_reached(struct hostmoods *all, struct span host, struct hostmood_ticket *t)
{
	enum hostmood_change change = HOSTMOOD_SAME;
	struct mood *m;
	bool was_held;

	if (all_are_well(all) || !enter(all))
		return HOSTMOOD_SAME;
	m = find(all, host);
	if (m && m->unreached) {
		was_held = is_held(m);
		m->unreached = 0;
		end_trial(m, t);
		change = got_better(all, m, was_held);
	}
	leave(all);
	return change;
}

static void pause_as_told(struct mood *m, int status, dur_ms retry_after, mono_us now)
{
	mono_us at;

	if ((status != 429 && status != 503) || retry_after < 0)
		return;
	at = mono_after(now, retry_after < HOSTMOOD_RETRY_MOST ? retry_after : HOSTMOOD_RETRY_MOST);
	if (at > m->retry_at)
		m->retry_at = at;
}

enum hostmood_change hostmood_answered(struct hostmoods *all, struct span host, int status, dur_ms retry_after,
				       mono_us now, struct hostmood_ticket *t)
{
	enum hostmood_change change = HOSTMOOD_SAME;
	bool bad = is_bad_status(status), was_held;
	struct mood *m;

	if ((!bad && all_are_well(all)) || !enter(all))
		return HOSTMOOD_SAME;
	m = bad ? find_or_add(all, host) : find(all, host);
	if (m) {
		end_trial(m, t);
		if (now >= m->retry_at)
			m->retry_at = 0;
		was_held = is_held(m);
		m->unreached = 0;
		if (bad) {
			pause_as_told(m, status, retry_after, now);
			change = got_worse(all, m, &m->erring, REASON_HELD_BACK, now);
		} else {
			m->erring = 0;
			change = got_better(all, m, was_held);
		}
	}
	leave(all);
	return change;
}

enum hostmood_change hostmood_failed(struct hostmoods *all, struct span host, enum reason why, mono_us now,
				     struct hostmood_ticket *t)
{
	enum hostmood_change change;
	struct mood *m;

	if (!hostmood_blames(why)) {
		hostmood_done(all, host, t);
		return HOSTMOOD_SAME;
	}
	if (!enter(all))
		return HOSTMOOD_SAME;
	m = find_or_add(all, host);
	end_trial(m, t);
	if (is_unreached(why)) {
		m->ended++;
		change = got_worse(all, m, &m->unreached, why, now);
	} else {
		change = got_worse(all, m, &m->erring, why, now);
	}
	leave(all);
	return change;
}

void hostmood_done(struct hostmoods *all, struct span host, struct hostmood_ticket *t)
{
	struct mood *m;

	if (!t->trial || !enter(all))
		return;
	m = find(all, host);
	if (m)
		end_trial(m, t);
	t->trial = 0;
	leave(all);
}

/* ---- offline ---- */

void hostmoods_set_offline(struct hostmoods *all, enum hostmood_offline how)
{
	CHECK(all, HOSTMOODS_MAGIC);
	atomic_store(&all->offline, how);
}

bool hostmoods_are_offline(struct hostmoods *all, bool configured)
{
	int how = all ? atomic_load_explicit(&all->offline, memory_order_relaxed) : HOSTMOOD_AS_CONFIGURED;

	return how == HOSTMOOD_AS_CONFIGURED ? configured : how == HOSTMOOD_OFFLINE;
}
