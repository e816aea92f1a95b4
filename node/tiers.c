#include "node/node_internal.h"

#include <stdio.h>

#include "node/cache/disk_file.h"
#include "node/cache/store_mem.h"

#define DISK_WORKERS 2

/* ---- opening ---- */

static void on_removed(void *cookie, struct entry *e)
{
	struct node *n = cookie;

	n->store->ops->drop(n->store, e);
	if (n->news && peer_news_is_wanted(n->news) && entry_was_shareable(e))
		peer_news_put(n->news, PEER_NEWS_LEFT, e->key.b);
}

/* A thread of the disk's. */
static void on_gone_from_disk(void *cookie, struct disk_file *file)
{
	struct node *n = cookie;
	struct key key = disk_file_key(file);

	index_remove_file(n->index, &key, file);
}

/* Any thread, under the disk's lock. */
static void on_shared_by_disk(void *cookie, const uint8_t key[DISK_HALF_KEY_BYTES], bool came)
{
	peer_news_put(cookie, came ? PEER_NEWS_LANDED : PEER_NEWS_LEFT, key);
}

static const struct evict_policy *eviction(const struct policy *p)
{
	static const struct evict_policy *const by[] = {
		[POLICY_EVICT_GDSF] = &evict_gdsf,
		[POLICY_EVICT_LRU] = &evict_lru,
		[POLICY_EVICT_LFUDA] = &evict_lfuda,
		[POLICY_EVICT_SIEVE] = &evict_sieve,
	};

	return by[p->cache.memory_policy];
}

static void open_memory(struct node *n)
{
	n->news = n->conf->cluster.name ? peer_news_new() : NULL;
	n->index = index_new(on_removed, n);
	n->store = store_mem_new(n->conf->policy->cache.memory_size, eviction(n->conf->policy));
	store_mem_set_index(n->store, n->index);
}

static int open_orders(struct node *n, char *why, size_t why_bytes)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/orders", n->conf->state);
	n->orders = orders_open(path, n->log, why, why_bytes);
	return n->orders ? 0 : -1;
}

/* What can only be read is used as far as that goes (disk.h); a folder that cannot be made, or that a newer version has written, is for the
 * operator to see to. */
static int open_disk(struct node *n, char *why, size_t why_bytes)
{
	const struct policy_cache *cache = &n->conf->policy->cache;
	struct disk_settings settings = {
		.path = n->conf->disk_path,
		.size = cache->disk_size,
		.min_free_percent = cache->disk_min_free_percent,
		.max_object = cache->max_object,
		.log = n->log,
		.clock = &clock_system,
		.orders = n->orders,
	};

	if (!settings.path)
		return 0;
	n->work = work_new(DISK_WORKERS);
	settings.work = n->work;
	n->disk = disk_open(&settings, why, why_bytes);
	if (n->disk) {
		disk_tell_gone(n->disk, on_gone_from_disk, n);
		if (n->news)
			disk_tell_shared(n->disk, on_shared_by_disk, n->news);
		return 0;
	}
	work_free(&n->work);
	return -1;
}

int tiers_open(struct node *n, char *why, size_t why_bytes)
{
	open_memory(n);
	return open_orders(n, why, why_bytes) < 0 ? -1 : open_disk(n, why, why_bytes);
}

void tiers_open_scrub(struct node *n)
{
	char path[4200];
	struct scrub_ground ground = {
		.loop = n->lanes[0].loop,
		.disk = n->disk,
		.work = n->work,
		.log = n->log,
		.metrics = n->lanes[0].metrics,
		.path = path,
	};

	snprintf(path, sizeof(path), "%s/scrubbed", n->conf->state);
	n->scrub = n->disk ? scrub_new(&ground) : NULL;
	tiers_set_scrub(n, &n->conf->policy->cache);
}

/* ---- limits ---- */

void tiers_set_scrub(struct node *n, const struct policy_cache *cache)
{
	if (n->scrub)
		scrub_set(n->scrub, cache->disk_scrub_interval, cache->disk_scrub_rate);
}

void tiers_use(struct node *n, const struct policy *policy)
{
	store_mem_set_policy(n->store, eviction(policy));
	if (n->disk)
		disk_set_limits(n->disk, policy->cache.disk_size, policy->cache.disk_min_free_percent, 0);
	n->store->ops->set_size(n->store, policy->cache.memory_size);
}

/* ---- closing ---- */

/* Nothing waits for the disk any more, and nobody who would be told. */
static void close_disk(struct node *n)
{
	if (n->disk)
		disk_tell_gone(n->disk, NULL, NULL);
	index_free(n->index);
	disk_close(&n->disk);
	orders_free(n->orders);
}

void tiers_close(struct node *n)
{
	close_disk(n);
	n->store->ops->free(n->store);
	peer_news_free(n->news);
}
