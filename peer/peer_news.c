#include "peer/peer_news.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"

struct peer_news {
	unsigned magic;
	atomic_bool wanted;
	pthread_mutex_t lock; /* guards the rest */
	size_t first, n;
	uint64_t lost;
	struct peer_news_item v[PEER_NEWS_ROOM];
};

#define PEER_NEWS_MAGIC 0x9ee54e35

struct peer_news *peer_news_new(void)
{
	struct peer_news *news = NEW(struct peer_news);

	news->magic = PEER_NEWS_MAGIC;
	pthread_mutex_init(&news->lock, NULL);
	return news;
}

void peer_news_free(struct peer_news *news)
{
	if (!news)
		return;
	CHECK(news, PEER_NEWS_MAGIC);
	pthread_mutex_destroy(&news->lock);
	news->magic = 0;
	free(news);
}

void peer_news_want(struct peer_news *news, bool wanted)
{
	CHECK(news, PEER_NEWS_MAGIC);
	atomic_store_explicit(&news->wanted, wanted, memory_order_relaxed);
}

bool peer_news_is_wanted(const struct peer_news *news)
{
	CHECK(news, PEER_NEWS_MAGIC);
	return atomic_load_explicit(&news->wanted, memory_order_relaxed);
}

void peer_news_put(struct peer_news *news, enum peer_news_kind kind, const uint8_t key[PEERMSG_KEY_BYTES])
{
	struct peer_news_item item = {.kind = kind};

	if (!peer_news_is_wanted(news))
		return;
	memcpy(item.key.b, key, sizeof(item.key.b));
	pthread_mutex_lock(&news->lock);
	if (news->n < PEER_NEWS_ROOM)
		news->v[(news->first + news->n++) % PEER_NEWS_ROOM] = item;
	else
		news->lost++;
	pthread_mutex_unlock(&news->lock);
}

size_t peer_news_take(struct peer_news *news, struct peer_news_item *out, size_t n)
{
	CHECK(news, PEER_NEWS_MAGIC);
	pthread_mutex_lock(&news->lock);
	if (n > news->n)
		n = news->n;
	for (size_t i = 0; i < n; i++)
		out[i] = news->v[(news->first + i) % PEER_NEWS_ROOM];
	news->first = (news->first + n) % PEER_NEWS_ROOM;
	news->n -= n;
	pthread_mutex_unlock(&news->lock);
	return n;
}

uint64_t peer_news_lost(struct peer_news *news)
{
	uint64_t lost;

	CHECK(news, PEER_NEWS_MAGIC);
	pthread_mutex_lock(&news->lock);
	lost = news->lost;
	pthread_mutex_unlock(&news->lock);
	return lost;
}
