#include "node/cache/index.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define SHARDS INDEX_PARTS

struct shard {
	pthread_mutex_t lock;
	struct map published, pending;
	char apart[24]; /* two shards do not share a cache line */
};

struct index {
	unsigned magic;
	index_on_removed_f *on_removed;
	void *cookie;
	struct shard shards[SHARDS];
};

#define INDEX_MAGIC 0x17de8a55

/* What map_find is asked for. */
struct wanted {
	const struct key *key;
	const struct key_variant *variant; /* NULL: any */
	const struct key_credential *who;  /* pending only; NULL: any */
};

static struct entry *entry_of(struct map_node *node)
{
	return (struct entry *)(void *)((char *)node - offsetof(struct entry, node));
}

static bool is_wanted(const struct map_node *node, const void *wanted)
{
	const struct entry *e = (const void *)((const char *)node - offsetof(struct entry, node));
	const struct wanted *w = wanted;

	if (!key_same(&e->key, w->key))
		return false;
	if (w->variant && !key_variant_same(&e->variant, w->variant))
		return false;
	return !w->who || key_credential_same(&e->who, w->who);
}

/* From the half of a key that other nodes give; not from the bytes that the maps hash by. */
static unsigned shard_number(const uint8_t key[INDEX_PEEK_KEY_BYTES])
{
	return key[INDEX_PEEK_KEY_BYTES - 1] % SHARDS;
}

static struct shard *shard_of(struct index *x, const struct key *key)
{
	return &x->shards[shard_number(key->b)];
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
	for (int i = 0; i < SHARDS; i++)
		pthread_mutex_init(&x->shards[i].lock, NULL);
	return x;
}

static void removed(struct index *x, struct entry *e)
{
	x->on_removed(x->cookie, e);
	entry_unref(&e);
}

/* Under the lock; the index's reference passes to the caller. */
static void take_out(struct shard *s, struct entry *e)
{
	map_remove(&s->published, &e->node);
	e->in_index = false;
}

void index_free(struct index *x)
{
	if (!x)
		return;
	CHECK(x, INDEX_MAGIC);
	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &x->shards[i];
		struct map_node *node;

		while ((node = map_next(&s->published, NULL)) != NULL) {
			struct entry *e = entry_of(node);

			take_out(s, e);
			removed(x, e);
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
	const struct entry *e = (const void *)((const char *)node - offsetof(struct entry, node));

	return is_wanted(node, wanted) && e->head && e->head->vary_n;
}

/* Under the lock: the head whose Vary decides for this key, with a reference; NULL when none varies (so far). What is published
 * decides before what is pending; of several pending ones some may not have a head yet. */
static struct head *varying_head(struct shard *s, const struct key *key)
{
	struct wanted any = {.key = key};
	struct map_node *node = map_find(&s->published, key_hash(key), is_wanted, &any);

	if (!node || !entry_of(node)->head)
		node = map_find(&s->pending, key_hash(key), is_varying, &any);
	if (!node || !entry_of(node)->head->vary_n)
		return NULL;
	return head_ref(entry_of(node)->head);
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
	struct wanted w = {.key = key, .variant = variant};
	struct map_node *node = map_find(&s->published, key_hash(key), is_wanted, &w);

	return node ? entry_of(node) : NULL;
}

struct entry *index_lookup(struct index *x, const struct index_ask *ask, mono_us now, bool *other_variant)
{
	static const struct key_variant plain;
	struct shard *s = shard_of(x, &ask->key);
	struct key_variant variant;
	struct entry *e;
	bool expired;

	CHECK(x, INDEX_MAGIC);
	lock_with_variant(s, ask, &variant);
	e = find_published(s, &ask->key, &variant);
	*other_variant = !e && !key_variant_same(&variant, &plain);
	expired = e && e->phase == ENTRY_MARK && e->mark_until <= now;
	if (expired)
		take_out(s, e);
	else if (e)
		entry_ref(e);
	pthread_mutex_unlock(&s->lock);
	if (expired) {
		removed(x, e);
		return NULL;
	}
	return e;
}

/* Under the lock: a pending entry that this one may wait for. */
static struct entry *find_joinable(struct shard *s, const struct index_ask *ask, const struct key_variant *variant)
{
	struct wanted w = {.key = &ask->key, .variant = variant, .who = &ask->who};
	struct map_node *node = map_find(&s->pending, key_hash(&ask->key), is_wanted, &w);

	return node && entry_of(node)->joinable ? entry_of(node) : NULL;
}

enum index_begin index_begin(struct index *x, const struct index_ask *ask, const struct entry *seen,
			     const struct head *seen_head, bool may_join, struct entry **out)
{
	struct shard *s = shard_of(x, &ask->key);
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
	return entry_new(shard_of(x, key), key);
}

struct entry *index_private(struct index *x)
{
	static const struct key none;

	return entry_new(&x->shards[0], &none);
}

/* ---- for other nodes ---- */

struct half_key {
	const uint8_t *b;
	const struct key_variant *variant; /* NULL: any */
};

static bool is_half_wanted(const struct map_node *node, const void *wanted)
{
	const struct entry *e = (const void *)((const char *)node - offsetof(struct entry, node));
	const struct half_key *w = wanted;

	if (memcmp(e->key.b, w->b, INDEX_PEEK_KEY_BYTES) != 0)
		return false;
	return (!w->variant || key_variant_same(&e->variant, w->variant)) && entry_is_shareable(e);
}

/* Under the lock. */
static struct entry *find_half(const struct map *m, const uint8_t *key, const struct key_variant *variant)
{
	struct half_key w = {.b = key, .variant = variant};
	struct map_node *node;
	uint64_t hash;

	memcpy(&hash, key, sizeof(hash)); /* as key_hash */
	node = map_find(m, hash, is_half_wanted, &w);
	return node ? entry_of(node) : NULL;
}

static void peek_whole(const struct entry *e, mono_us now, struct index_peek *out)
{
	const uint8_t *digest = head_digest(e->head);
	dur_ms here = head_here(e->head, now);

	out->what = INDEX_PEEK_WHOLE;
	out->size = out->have = body_length(&e->body);
	out->age_s = fresh_age_s(&e->head->terms, here);
	out->ttl_s = fresh_ttl_s(&e->head->terms, here);
	out->has_digest = digest != NULL;
	if (digest)
		memcpy(out->digest, digest, HEAD_DIGEST_BYTES);
}

static void peek_growing(const struct entry *e, struct index_peek *out)
{
	out->what = INDEX_PEEK_GROWING;
	out->size = e->head->has_length ? e->head->length : 0;
	out->have = body_length(&e->body);
}

static void peek_vary(const struct entry *e, struct index_peek *out)
{
	struct buf b = buf_over(out->vary, sizeof(out->vary) - 1);

	out->other_variant = true;
	buf_put(&b, head_vary(e->head));
	out->vary[b.n] = '\0';
}

bool index_peek(struct index *x, const uint8_t key[INDEX_PEEK_KEY_BYTES], const struct key_variant *variant,
		mono_us now, struct index_peek *out)
{
	struct shard *s = &x->shards[shard_number(key)];
	const struct entry *whole, *growing, *other;

	CHECK(x, INDEX_MAGIC);
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&s->lock);
	whole = find_half(&s->published, key, variant);
	growing = whole ? NULL : find_half(&s->pending, key, variant);
	other = whole || growing ? NULL : find_half(&s->published, key, NULL);
	if (whole)
		peek_whole(whole, now, out);
	else if (growing)
		peek_growing(growing, out);
	else if (other)
		peek_vary(other, out);
	pthread_mutex_unlock(&s->lock);
	return out->what != INDEX_PEEK_NOT;
}

struct head *index_peek_head(struct index *x, const uint8_t key[INDEX_PEEK_KEY_BYTES],
			     const struct key_variant *variant)
{
	struct shard *s = &x->shards[shard_number(key)];
	const struct entry *e;
	struct head *h;

	CHECK(x, INDEX_MAGIC);
	pthread_mutex_lock(&s->lock);
	e = find_half(&s->published, key, variant);
	if (!e)
		e = find_half(&s->pending, key, variant);
	h = e ? head_ref(e->head) : NULL;
	pthread_mutex_unlock(&s->lock);
	return h;
}

static size_t shared_of(const struct shard *s, struct index_shared *v, size_t most)
{
	size_t n = 0;

	for (struct map_node *node = map_next(&s->published, NULL); node && n < most;
	     node = map_next(&s->published, node)) {
		const struct entry *e = entry_of(node);

		if (!entry_is_shareable(e))
			continue;
		memcpy(v[n].key, e->key.b, sizeof(v[n].key));
		v[n++].size = body_length(&e->body);
	}
	return n;
}

size_t index_shared(struct index *x, unsigned part, struct index_shared **out)
{
	struct shard *s = &x->shards[part];
	size_t n;

	CHECK(x, INDEX_MAGIC);
	CHECK_THAT(part < INDEX_PARTS);
	*out = NULL;
	pthread_mutex_lock(&s->lock);
	n = s->published.n;
	pthread_mutex_unlock(&s->lock);
	if (n == 0)
		return 0;
	*out = mem_alloc(n * sizeof(**out)); /* outside the lock: what comes meanwhile tells of itself */
	pthread_mutex_lock(&s->lock);
	n = shared_of(s, *out, n);
	pthread_mutex_unlock(&s->lock);
	return n;
}

struct entry *index_find_any(struct index *x, const struct index_ask *ask, mono_us now)
{
	struct shard *s = shard_of(x, &ask->key);
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

/* Under the lock. */
static void leave_pending(struct shard *s, struct entry *e)
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
	leave_pending(s, e);
	pthread_mutex_unlock(&s->lock);
}

/* Under the lock: what a new entry puts out of date. One of the same variant; and when one varies and the other does not, the older
 * view of this URL as a whole. */
static struct entry *find_replaced(struct shard *s, const struct entry *e)
{
	static const struct key_variant none;
	struct wanted w = {.key = &e->key};
	struct map_node *node;

	if (!key_variant_same(&e->variant, &none)) {
		struct entry *plain = find_published(s, &e->key, &none);

		return plain ? plain : find_published(s, &e->key, &e->variant);
	}
	node = map_find(&s->published, key_hash(&e->key), is_wanted, &w);
	return node ? entry_of(node) : NULL;
}

/* Under the lock. */
static void put_in(struct shard *s, struct entry *e)
{
	leave_pending(s, e);
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
			take_out(s, old);
		if (!old && pending)
			leave_pending(s, pending);
		if (!old && !purged)
			put_in(s, e);
		pthread_mutex_unlock(&s->lock);
		if (old)
			removed(x, old);
	} while (old);
	return !purged;
}

struct entry *index_mark(struct index *x, const struct key *key, mono_us until)
{
	struct shard *s = shard_of(x, key);
	struct wanted any = {.key = key};
	struct entry *e = entry_new(s, key);
	bool taken;

	e->phase = ENTRY_MARK;
	e->mark_until = until;
	pthread_mutex_lock(&s->lock);
	taken = map_find(&s->published, key_hash(key), is_wanted, &any) != NULL;
	if (!taken)
		put_in(s, e);
	pthread_mutex_unlock(&s->lock);
	if (taken)
		entry_unref(&e);
	return e;
}

bool index_remove(struct index *x, struct entry *e)
{
	struct shard *s = e->shard;
	bool was;

	pthread_mutex_lock(&s->lock);
	was = e->in_index;
	if (was)
		take_out(s, e);
	pthread_mutex_unlock(&s->lock);
	if (was)
		removed(x, e);
	return was;
}

struct key_and_file {
	const struct key *key;
	const struct disk_file *file;
};

static bool is_in_file(const struct map_node *node, const void *wanted)
{
	const struct entry *e = (const void *)((const char *)node - offsetof(struct entry, node));
	const struct key_and_file *w = wanted;

	return key_same(&e->key, w->key) && entry_file_locked(e) == w->file;
}

bool index_remove_file(struct index *x, const struct key *key, const struct disk_file *file)
{
	struct shard *s = shard_of(x, key);
	struct key_and_file w = {key, file};
	struct map_node *node;
	struct entry *e = NULL;

	pthread_mutex_lock(&s->lock);
	node = map_find(&s->published, key_hash(key), is_in_file, &w);
	if (node) {
		e = entry_of(node);
		take_out(s, e);
	}
	pthread_mutex_unlock(&s->lock);
	if (e)
		removed(x, e);
	return node != NULL;
}

unsigned index_purge(struct index *x, const struct key *key)
{
	struct shard *s = shard_of(x, key);
	struct wanted w = {.key = key};
	struct map_node *node;
	unsigned n = 0;

	for (;;) {
		struct entry *e = NULL;
		bool counts = false;

		pthread_mutex_lock(&s->lock);
		node = map_find(&s->published, key_hash(key), is_wanted, &w);
		if (node) {
			e = entry_of(node);
			counts = e->phase != ENTRY_MARK;
			take_out(s, e);
		} else {
			while ((node = map_find(&s->pending, key_hash(key), is_wanted, &w)) != NULL) {
				entry_of(node)->purged = true;
				leave_pending(s, entry_of(node));
			}
		}
		pthread_mutex_unlock(&s->lock);
		if (!e)
			return n;
		n += counts;
		removed(x, e);
	}
}

/* Under the lock. Only a complete one has its digest. */
static bool is_fit(const struct entry *e, index_fits_f *fits, void *cookie)
{
	return fits(cookie, e->head, e->is_pending ? NULL : head_digest(e->head));
}

/* Under the lock. */
static void purge_pending_if(struct shard *s, index_fits_f *fits, void *cookie)
{
	struct map_node *node = map_next(&s->pending, NULL), *next;

	for (; node; node = next) {
		struct entry *e = entry_of(node);

		next = map_next(&s->pending, node);
		if (e->head && !is_fit(e, fits, cookie))
			continue;
		e->purged = true;
		leave_pending(s, e);
	}
}

#define AT_ONCE 256

unsigned index_purge_if(struct index *x, index_fits_f *fits, index_on_fit_f *on_fit, void *cookie)
{
	unsigned purged = 0;

	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &x->shards[i];
		struct entry *out[AT_ONCE];
		size_t n;

		do {
			struct map_node *node, *next;

			n = 0;
			pthread_mutex_lock(&s->lock);
			for (node = map_next(&s->published, NULL); node && n < AT_ONCE; node = next) {
				struct entry *e = entry_of(node);

				next = map_next(&s->published, node);
				if (!e->head || !is_fit(e, fits, cookie))
					continue;
				take_out(s, e);
				out[n++] = e;
			}
			if (n < AT_ONCE)
				purge_pending_if(s, fits, cookie);
			pthread_mutex_unlock(&s->lock);
			for (size_t k = 0; k < n; k++) {
				if (on_fit)
					on_fit(cookie, out[k]);
				removed(x, out[k]);
			}
			purged += (unsigned)n;
		} while (n == AT_ONCE);
	}
	return purged;
}

/* One that a 304 freshens just then may be outdated all the same: it is asked about once more. */
static void outdate(struct entry *e)
{
	struct fresh_terms terms;
	struct entry_view view;

	entry_look(e, &view);
	terms = view.head->terms;
	fresh_outdate(&terms);
	entry_swap_head(e, head_with_terms(view.head, &terms));
	head_unref(&view.head);
}

/* Under the lock, into v of published.n. */
static size_t collect(struct shard *s, index_fits_f *fits, void *cookie, struct entry **v)
{
	size_t n = 0;

	for (struct map_node *node = map_next(&s->published, NULL); node; node = map_next(&s->published, node)) {
		struct entry *e = entry_of(node);

		if (e->head && is_fit(e, fits, cookie))
			v[n++] = entry_ref(e);
	}
	return n;
}

size_t index_collect(struct index *x, unsigned part, index_fits_f *fits, void *cookie, struct entry ***out)
{
	struct shard *s = &x->shards[part];
	size_t n;

	CHECK(x, INDEX_MAGIC);
	CHECK_THAT(part < INDEX_PARTS);
	pthread_mutex_lock(&s->lock);
	*out = mem_alloc((s->published.n + 1) * sizeof(struct entry *));
	n = collect(s, fits, cookie, *out);
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned index_outdate_if(struct index *x, index_fits_f *fits, void *cookie)
{
	unsigned outdated = 0;

	for (unsigned i = 0; i < INDEX_PARTS; i++) {
		struct entry **v;
		size_t n = index_collect(x, i, fits, cookie, &v);

		for (size_t k = 0; k < n; k++) {
			outdate(v[k]);
			entry_unref(&v[k]);
		}
		free(v);
		outdated += (unsigned)n;
	}
	return outdated;
}

struct index_counts index_counts(struct index *x)
{
	struct index_counts c = {0};

	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &x->shards[i];

		pthread_mutex_lock(&s->lock);
		c.published += s->published.n;
		c.pending += s->pending.n;
		pthread_mutex_unlock(&s->lock);
	}
	return c;
}
