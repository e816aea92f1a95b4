#include "node/cache/index.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/index_internal.h"

bool index__is_wanted(const struct map_node *node, const void *wanted)
{
	const struct entry *e = index__const_entry_of(node);
	const struct index_wanted *w = wanted;

	if (!key_same(&e->key, w->key))
		return false;
	if (w->variant && !key_variant_same(&e->variant, w->variant))
		return false;
	return !w->who || key_credential_same(&e->who, w->who);
}

unsigned index__shard_number(const uint8_t key[INDEX_PEEK_KEY_BYTES])
{
	return key[INDEX_PEEK_KEY_BYTES - 1] % INDEX_PARTS;
}

struct shard *index__shard_of(struct index *x, const struct key *key)
{
	return &x->shards[index__shard_number(key->b)];
}

pthread_mutex_t *shard_lock(struct shard *s)
{
	return &s->lock;
}

struct index *index_new(index_on_removed_f *on_removed, void *cookie)
{
	struct index *x = NEW(struct index);

	x->magic = INDEX_MAGIC;
	x->on_removed = on_removed;
	x->cookie = cookie;
	for (int i = 0; i < INDEX_PARTS; i++)
		pthread_mutex_init(&x->shards[i].lock, NULL);
	return x;
}

void index__removed(struct index *x, struct entry *e)
{
	x->on_removed(x->cookie, e);
	entry_unref(&e);
}

void index__take_out(struct shard *s, struct entry *e)
{
	map_remove(&s->published, &e->node);
	e->in_index = false;
}

void index_free(struct index *x)
{
	if (!x)
		return;
	CHECK(x, INDEX_MAGIC);
	for (int i = 0; i < INDEX_PARTS; i++) {
		struct shard *s = &x->shards[i];
		struct map_node *node;

		while ((node = map_next(&s->published, NULL)) != NULL) {
			struct entry *e = index__entry_of(node);

			index__take_out(s, e);
			index__removed(x, e);
		}
		map_fini(&s->published);
		map_fini(&s->pending);
		pthread_mutex_destroy(&s->lock);
	}
	x->magic = 0;
	free(x);
}

/* ---- Vary ---- */

static bool is_varying(const struct map_node *node, const void *wanted)
{
	const struct entry *e = index__const_entry_of(node);

	return index__is_wanted(node, wanted) && e->head && e->head->vary_n;
}

/* Under the lock: the head whose Vary decides for this key, with a reference; NULL when none varies (so far). What is published
 * decides before what is pending; of several pending ones some may not have a head yet. */
static struct head *varying_head(struct shard *s, const struct key *key)
{
	struct index_wanted any = {.key = key};
	struct map_node *node = map_find(&s->published, key_hash(key), index__is_wanted, &any);

	if (!node || !index__entry_of(node)->head)
		node = map_find(&s->pending, key_hash(key), is_varying, &any);
	if (!node || !index__entry_of(node)->head->vary_n)
		return NULL;
	return head_ref(index__entry_of(node)->head);
}

/* Which variant the request needs, by what is known now. Leaves with the lock held. */
static void lock_with_variant(struct shard *s, const struct index_ask *ask, struct key_variant *variant)
{
	struct head *head;
	struct vary vary;

	memset(variant, 0, sizeof(*variant));
	pthread_mutex_lock(&s->lock);
	head = varying_head(s, &ask->key);
	if (!head)
		return;
	pthread_mutex_unlock(&s->lock);
	vary_parse(head_vary(head), &vary);
	key_variant(variant, &vary, ask->request);
	head_unref(&head);
	pthread_mutex_lock(&s->lock);
}

/* ---- looking up and beginning ---- */

/* Under the lock. */
static struct entry *find_published(struct shard *s, const struct key *key, const struct key_variant *variant)
{
	struct index_wanted w = {.key = key, .variant = variant};
	struct map_node *node = map_find(&s->published, key_hash(key), index__is_wanted, &w);

	return node ? index__entry_of(node) : NULL;
}

struct entry *index_lookup(struct index *x, const struct index_ask *ask, mono_us now, bool *other_variant)
{
	static const struct key_variant plain;
	struct shard *s = index__shard_of(x, &ask->key);
	struct key_variant variant;
	struct entry *e;
	bool expired;

	CHECK(x, INDEX_MAGIC);
	lock_with_variant(s, ask, &variant);
	e = find_published(s, &ask->key, &variant);
	*other_variant = !e && !key_variant_same(&variant, &plain);
	expired = e && e->phase == ENTRY_MARK && e->mark_until <= now;
	if (expired)
		index__take_out(s, e);
	else if (e)
		entry_ref(e);
	pthread_mutex_unlock(&s->lock);
	if (expired) {
		index__removed(x, e);
		return NULL;
	}
	return e;
}

/* Under the lock: a pending entry that this one may wait for. */
static struct entry *find_joinable(struct shard *s, const struct index_ask *ask, const struct key_variant *variant)
{
	struct index_wanted w = {.key = &ask->key, .variant = variant, .who = &ask->who};
	struct map_node *node = map_find(&s->pending, key_hash(&ask->key), index__is_wanted, &w);

	return node && index__entry_of(node)->joinable ? index__entry_of(node) : NULL;
}

enum index_begin index_begin(struct index *x, const struct index_ask *ask, const struct entry *seen,
			     const struct head *seen_head, bool may_join, struct entry **out)
{
	struct shard *s = index__shard_of(x, &ask->key);
	struct key_variant variant;
	struct entry *e, *published;

	CHECK(x, INDEX_MAGIC);
	lock_with_variant(s, ask, &variant);
	published = find_published(s, &ask->key, &variant);
	if (published != seen || (published && published->head != seen_head)) {
		pthread_mutex_unlock(&s->lock);
		return INDEX_CHANGED;
	}
	e = may_join ? find_joinable(s, ask, &variant) : NULL;
	if (e) {
		*out = entry_ref(e);
		pthread_mutex_unlock(&s->lock);
		return INDEX_JOINED;
	}
	e = entry_new(s, &ask->key);
	e->variant = variant;
	e->who = ask->who;
	e->joinable = may_join;
	e->is_pending = true;
	map_insert(&s->pending, &e->node, key_hash(&ask->key));
	pthread_mutex_unlock(&s->lock);
	*out = e;
	return INDEX_BEGUN;
}

struct entry *index_entry(struct index *x, const struct key *key)
{
	return entry_new(index__shard_of(x, key), key);
}

struct entry *index_private(struct index *x)
{
	static const struct key none;

	return entry_new(&x->shards[0], &none);
}

struct entry *index_find_any(struct index *x, const struct index_ask *ask, mono_us now)
{
	struct shard *s = index__shard_of(x, &ask->key);
	struct key_variant variant;
	struct entry *e;
	bool other;

	e = index_lookup(x, ask, now, &other);
	if (e)
		return e;
	lock_with_variant(s, ask, &variant);
	e = find_joinable(s, ask, &variant);
	if (!e) /* it may have been published meanwhile */
		e = find_published(s, &ask->key, &variant);
	if (e)
		entry_ref(e);
	pthread_mutex_unlock(&s->lock);
	return e;
}

/* ---- the end of pending ---- */

void index__leave_pending(struct shard *s, struct entry *e)
{
	if (!e->is_pending)
		return;
	map_remove(&s->pending, &e->node);
	e->is_pending = false;
	e->joinable = false;
}

void index_withdraw(struct index *x, struct entry *e)
{
	struct shard *s = e->shard;

	(void)x;
	pthread_mutex_lock(&s->lock);
	index__leave_pending(s, e);
	pthread_mutex_unlock(&s->lock);
}

/* Under the lock: what a new entry puts out of date. One of the same variant; and when one varies and the other does not, the older
 * view of this URL as a whole. */
static struct entry *find_replaced(struct shard *s, const struct entry *e)
{
	static const struct key_variant none;
	struct index_wanted w = {.key = &e->key};
	struct map_node *node;

	if (!key_variant_same(&e->variant, &none)) {
		struct entry *plain = find_published(s, &e->key, &none);

		return plain ? plain : find_published(s, &e->key, &e->variant);
	}
	node = map_find(&s->published, key_hash(&e->key), index__is_wanted, &w);
	return node ? index__entry_of(node) : NULL;
}

/* Under the lock. */
static void put_in(struct shard *s, struct entry *e)
{
	index__leave_pending(s, e);
	map_insert(&s->published, &e->node, key_hash(&e->key));
	e->in_index = true;
	entry_ref(e);
}

bool index_publish(struct index *x, struct entry *e)
{
	return index_publish_for(x, e, e);
}

bool index_publish_for(struct index *x, struct entry *e, struct entry *pending)
{
	struct shard *s = e->shard;
	struct entry *old;
	bool purged;

	CHECK(e, ENTRY_MAGIC);
	CHECK_THAT(!pending || pending->shard == s);
	/* What it replaces goes first, one by one; it takes its place in the same step in which it stops being pending, so that
	 * nobody who looks finds neither. */
	do {
		pthread_mutex_lock(&s->lock);
		purged = pending && pending->purged;
		old = purged ? NULL : find_replaced(s, e);
		if (old)
			index__take_out(s, old);
		if (!old && pending)
			index__leave_pending(s, pending);
		if (!old && !purged)
			put_in(s, e);
		pthread_mutex_unlock(&s->lock);
		if (old)
			index__removed(x, old);
	} while (old);
	return !purged;
}

bool index_swap(struct index *x, struct entry *old, const struct head *head, struct entry *e)
{
	struct shard *s = old->shard;
	bool same;

	CHECK(e, ENTRY_MAGIC);
	CHECK_THAT(e->shard == s);
	pthread_mutex_lock(&s->lock);
	same = old->in_index && old->head == head;
	if (same) {
		index__take_out(s, old);
		put_in(s, e);
	}
	pthread_mutex_unlock(&s->lock);
	if (same)
		index__removed(x, old);
	return same;
}

struct entry *index_mark(struct index *x, const struct key *key, mono_us until)
{
	struct shard *s = index__shard_of(x, key);
	struct index_wanted any = {.key = key};
	struct entry *e = entry_new(s, key);
	bool taken;

	e->phase = ENTRY_MARK;
	e->mark_until = until;
	pthread_mutex_lock(&s->lock);
	taken = map_find(&s->published, key_hash(key), index__is_wanted, &any) != NULL;
	if (!taken)
		put_in(s, e);
	pthread_mutex_unlock(&s->lock);
	if (taken)
		entry_unref(&e);
	return e;
}

struct index_counts index_counts(struct index *x)
{
	struct index_counts c = {0};

	for (int i = 0; i < INDEX_PARTS; i++) {
		struct shard *s = &x->shards[i];

		pthread_mutex_lock(&s->lock);
		c.published += s->published.n;
		c.pending += s->pending.n;
		pthread_mutex_unlock(&s->lock);
	}
	return c;
}
