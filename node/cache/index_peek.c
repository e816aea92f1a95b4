/* What other nodes may know of the index. */
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/index_internal.h"

struct half_key {
	const uint8_t *b;
	const struct key_variant *variant; /* NULL: any */
};

static bool is_half_wanted(const struct map_node *node, const void *wanted)
{
	const struct entry *e = index__const_entry_of(node);
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
	return node ? index__entry_of(node) : NULL;
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
	struct shard *s = &x->shards[index__shard_number(key)];
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
	struct shard *s = &x->shards[index__shard_number(key)];
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
		const struct entry *e = index__entry_of(node);

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
