#include "peer/peer_streams.h"

#include <pthread.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/map.h"
#include "node/base/mem.h"

/* One object that is being sent. */
struct sent {
	struct map_node node;
	struct peermsg_key key;
	unsigned streams;
};

struct peer_streams {
	unsigned magic;
	unsigned most_of_one, most_in_all;
	pthread_mutex_t lock;
	struct map objects; /* under the lock, with the next */
	unsigned streams;
};

#define PEER_STREAMS_MAGIC 0x9ee57a35

static struct sent *sent_of(struct map_node *node)
{
	return (struct sent *)(void *)((char *)node - offsetof(struct sent, node));
}

static bool is_wanted(const struct map_node *node, const void *wanted)
{
	const struct sent *o = (const void *)((const char *)node - offsetof(struct sent, node));

	return memcmp(&o->key, wanted, sizeof(o->key)) == 0;
}

/* Keys are salted digests: their first bytes will do. */
static uint64_t hash_of(const struct peermsg_key *key)
{
	uint64_t h;

	memcpy(&h, key->b, sizeof(h));
	return h;
}

/* Under the lock. */
static struct sent *find(struct peer_streams *s, const struct peermsg_key *key)
{
	struct map_node *node = map_find(&s->objects, hash_of(key), is_wanted, key);

	return node ? sent_of(node) : NULL;
}

struct peer_streams *peer_streams_new(unsigned most_of_one, unsigned most_in_all)
{
	struct peer_streams *s = NEW(struct peer_streams);

	s->magic = PEER_STREAMS_MAGIC;
	s->most_of_one = most_of_one;
	s->most_in_all = most_in_all;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void peer_streams_free(struct peer_streams *s)
{
	if (!s)
		return;
	CHECK(s, PEER_STREAMS_MAGIC);
	CHECK_THAT(s->streams == 0);
	map_fini(&s->objects);
	pthread_mutex_destroy(&s->lock);
	s->magic = 0;
	free(s);
}

/* Under the lock. */
static bool is_full(const struct peer_streams *s, const struct sent *o)
{
	return s->streams >= s->most_in_all || (o ? o->streams : 0) >= s->most_of_one;
}

/* Under the lock. */
static struct sent *add(struct peer_streams *s, const struct peermsg_key *key)
{
	struct sent *o = NEW(struct sent);

	o->key = *key;
	map_insert(&s->objects, &o->node, hash_of(key));
	return o;
}

bool peer_streams_begin(struct peer_streams *s, const struct peermsg_key *key)
{
	struct sent *o;
	bool full;

	CHECK(s, PEER_STREAMS_MAGIC);
	pthread_mutex_lock(&s->lock);
	o = find(s, key);
	full = is_full(s, o);
	if (!full) {
		if (!o)
			o = add(s, key);
		o->streams++;
		s->streams++;
	}
	pthread_mutex_unlock(&s->lock);
	return !full;
}

void peer_streams_end(struct peer_streams *s, const struct peermsg_key *key)
{
	struct sent *o;

	CHECK(s, PEER_STREAMS_MAGIC);
	pthread_mutex_lock(&s->lock);
	o = find(s, key);
	CHECK_THAT(o != NULL);
	s->streams--;
	if (--o->streams == 0) {
		map_remove(&s->objects, &o->node);
		free(o);
	}
	pthread_mutex_unlock(&s->lock);
}

bool peer_streams_is_full(struct peer_streams *s, const struct peermsg_key *key)
{
	bool full;

	CHECK(s, PEER_STREAMS_MAGIC);
	pthread_mutex_lock(&s->lock);
	full = is_full(s, find(s, key));
	pthread_mutex_unlock(&s->lock);
	return full;
}

unsigned peer_streams_now(struct peer_streams *s)
{
	unsigned n;

	CHECK(s, PEER_STREAMS_MAGIC);
	pthread_mutex_lock(&s->lock);
	n = s->streams;
	pthread_mutex_unlock(&s->lock);
	return n;
}
