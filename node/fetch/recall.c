#include "node/fetch/recall.h"

#include <pthread.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/fetch/flight_internal.h"
#include "node/fetch/from_disk.h"
#include "proto/httpdate.h"

/* Being asked for again, asked for lately without a verdict, or recalled. */
struct note {
	struct map_node node;
	TAILQ_ENTRY(note) entry; /* the oldest first */
	struct key key;
	bool recalled;
	mono_us until; /* no recheck before */
};

struct recalls {
	unsigned magic;
	pthread_mutex_t lock;
	struct map map;
	TAILQ_HEAD(, note) line;
	mono_us next;                /* no recheck of anything before */
	_Atomic unsigned n_recalled; /* read without the lock */
};

#define RECALLS_MAGIC 0x4eca1150

struct recalls *recalls_new(void)
{
	struct recalls *all = NEW(struct recalls);

	all->magic = RECALLS_MAGIC;
	CHECK_THAT(pthread_mutex_init(&all->lock, NULL) == 0);
	TAILQ_INIT(&all->line);
	return all;
}

/* ---- notes ---- */

/* Keys are salted digests: nobody steers them. */
static uint64_t hash_of(const struct key *key)
{
	uint64_t h;

	memcpy(&h, key->b, sizeof(h));
	return h;
}

static struct note *note_of(const struct map_node *node)
{
	return (struct note *)(uintptr_t)((const char *)node - offsetof(struct note, node));
}

static bool is_wanted(const struct map_node *node, const void *wanted)
{
	const struct key *key = wanted;

	return memcmp(note_of(node)->key.b, key->b, sizeof(key->b)) == 0;
}

static struct note *find(struct recalls *all, const struct key *key)
{
	struct map_node *node = map_find(&all->map, hash_of(key), is_wanted, key);

	return node ? note_of(node) : NULL;
}

static void set_recalled(struct recalls *all, struct note *n, bool recalled)
{
	if (n->recalled == recalled)
		return;
	n->recalled = recalled;
	if (recalled)
		atomic_fetch_add(&all->n_recalled, 1);
	else
		atomic_fetch_sub(&all->n_recalled, 1);
}

static void forget(struct recalls *all, struct note *n)
{
	set_recalled(all, n, false);
	map_remove(&all->map, &n->node);
	TAILQ_REMOVE(&all->line, n, entry);
	free(n);
}

static struct note *find_or_add(struct recalls *all, const struct key *key)
{
	struct note *n = find(all, key);

	if (n)
		return n;
	if (all->map.n == RECALL_MOST)
		forget(all, TAILQ_FIRST(&all->line));
	n = NEW(struct note);
	n->key = *key;
	map_insert(&all->map, &n->node, hash_of(key));
	TAILQ_INSERT_TAIL(&all->line, n, entry);
	return n;
}

void recalls_free(struct recalls *all)
{
	struct note *n, *next;

	if (!all)
		return;
	CHECK(all, RECALLS_MAGIC);
	for (n = TAILQ_FIRST(&all->line); n; n = next) {
		next = TAILQ_NEXT(n, entry);
		forget(all, n);
	}
	map_fini(&all->map);
	pthread_mutex_destroy(&all->lock);
	all->magic = 0;
	free(all);
}

bool recall_is_marked(struct recalls *all, const struct key *key)
{
	struct note *n;
	bool yes;

	if (!all || atomic_load_explicit(&all->n_recalled, memory_order_relaxed) == 0)
		return false;
	CHECK_THAT(pthread_mutex_lock(&all->lock) == 0);
	n = find(all, key);
	yes = n && n->recalled;
	pthread_mutex_unlock(&all->lock);
	return yes;
}

/* ---- beginning ---- */

bool recall_is_due(const struct key *key, const struct head *head, const struct policy_cache *c, mono_us now)
{
	dur_ms here = head_here(head, now);

	if (c->recall == POLICY_RECALL_KEEP || here < c->recall_after)
		return false;
	return here >= c->recall_after + (dur_ms)(hash_of(key) % (uint64_t)(c->recall_after / 7 + 1));
}

static bool may_be_asked_for(const struct flight_ask *ask, const struct head *head)
{
	if (ask->request->method != METHOD_GET || ask->facts.has_authorization || ask->facts.has_cookie ||
	    !key_credential_is_nobody(&ask->who))
		return false;
	return head->etag.n > 0 || head->last_modified != HTTPDATE_NONE;
}

/* Notes that it is being asked for. */
static bool take_turn(struct recalls *all, const struct key *key, dur_ms after, mono_us now)
{
	struct note *n;
	bool mine;

	CHECK_THAT(pthread_mutex_lock(&all->lock) == 0);
	n = find(all, key);
	mine = now >= all->next && (!n || now >= n->until);
	if (mine) {
		find_or_add(all, key)->until = mono_after(now, after < RECALL_AGAIN ? after : RECALL_AGAIN);
		all->next = mono_after(now, RECALL_SPACING);
	}
	pthread_mutex_unlock(&all->lock);
	return mine;
}

void recall_hit(const struct fetcher *fetcher, struct flight_ask *ask, const struct head *head)
{
	struct recalls *all = fetcher->recalls;
	dur_ms after = ask->policy->cache.recall_after;
	mono_us now = loop_now(fetcher->loop);
	struct flight *f;

	if (!all || !may_be_asked_for(ask, head) || !take_turn(all, &ask->key, after, now))
		return;
	metric_add(fetcher->metrics, METRIC_RECALL_CHECKS, 1);
	ask->entry = index_private(fetcher->index);
	ask->whole = ask->spare = ask->recheck = true;
	f = flight_start(fetcher, ask);
	flight_leave(&f);
}

/* ---- the verdict ---- */

void recall_confirmed(struct flight *f)
{
	struct recalls *all = f->fetcher->recalls;
	struct note *n;

	CHECK_THAT(pthread_mutex_lock(&all->lock) == 0);
	n = find(all, &f->key);
	if (n)
		forget(all, n);
	pthread_mutex_unlock(&all->lock);
}

static bool has_told_another_digest(struct flight *f, const struct http1_response *r)
{
	const uint8_t *ours = head_digest(f->stale_head);
	bool another = false;

	if (!ours)
		return false;
	integrity_begin(&f->integrity, &f->path, f->request, r);
	for (unsigned i = 0; i < f->integrity.n; i++) {
		const struct integrity_promise *p = &f->integrity.v[i];

		if (p->kind == HASH_SHA256 && (p->source == INTEGRITY_DIGEST || p->source == INTEGRITY_X_CHECKSUM))
			another |= memcmp(p->digest, ours, SHA256_BYTES) != 0;
	}
	return another;
}

static bool has_another_length(const struct flight *f, const struct http1_response *r)
{
	return f->stale_head->has_length && r->length_known && r->length != f->stale_head->length;
}

static const char *fault_of(struct flight *f, const struct http1_response *r)
{
	if (r->status == 404 || r->status == 410)
		return "gone from its origin";
	if (r->status == 200 && (has_another_length(f, r) || has_told_another_digest(f, r)))
		return "another file at its origin now";
	return NULL;
}

/* It is there, by all that can be told without its body: like a recheck that has said so. */
static void put_off(struct flight *f)
{
	struct recalls *all = f->fetcher->recalls;

	CHECK_THAT(pthread_mutex_lock(&all->lock) == 0);
	find_or_add(all, &f->key)->until = mono_after(loop_now(f->fetcher->loop), f->policy->cache.recall_after);
	pthread_mutex_unlock(&all->lock);
}

static void mark(struct flight *f, const char *fault)
{
	struct recalls *all = f->fetcher->recalls;
	bool quarantine = f->policy->cache.recall == POLICY_RECALL_QUARANTINE, news;
	struct note *n;

	CHECK_THAT(pthread_mutex_lock(&all->lock) == 0);
	n = find_or_add(all, &f->key);
	news = !n->recalled;
	n->until = mono_after(loop_now(f->fetcher->loop), f->policy->cache.recall_after);
	if (quarantine)
		forget(all, n);
	else
		set_recalled(all, n, true);
	pthread_mutex_unlock(&all->lock);
	if (quarantine)
		from_disk_purge(f->fetcher, &f->key);
	if (!news)
		return;
	metric_add(f->fetcher->metrics, METRIC_RECALLED, 1);
	log_line(f->fetcher->log, LOG_WARNING, "recall", "%.*s%.*s is %s; %s (cache.recall)", SPAN_ARG(f->url.host),
		 SPAN_ARG(f->url.path), fault, quarantine ? "forgotten" : "served all the same");
}

void recall_judge(struct flight *f, const struct http1_response *r)
{
	const char *fault = fault_of(f, r);

	if (fault)
		mark(f, fault);
	else if (r->status == 200)
		put_off(f);
	flight__end(f, ENTRY_BROKEN, REASON_ABORTED);
}
