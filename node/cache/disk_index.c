#include "node/cache/disk_index.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define BLOCK_BYTES 4096
#define INODE_BYTES 256

void disk_index_init(struct disk_index *x)
{
	*x = (struct disk_index){0};
	evict_line_init(&x->line, &evict_lfuda);
}

static struct disk_rec *rec_of(struct map_node *node)
{
	return (struct disk_rec *)(void *)((char *)node - offsetof(struct disk_rec, node));
}

static const struct disk_rec *const_rec_of(const struct map_node *node)
{
	return (const struct disk_rec *)(const void *)((const char *)node - offsetof(struct disk_rec, node));
}

/* A map finds its buckets by the lowest bits. */
static struct map *shard_of(const struct disk_index *x, uint64_t hash)
{
	return (struct map *)&x->shards[hash >> 54];
}

static void free_shard(struct map *shard)
{
	struct map_node *node = map_next(shard, NULL), *next;

	for (; node; node = next) {
		next = map_next(shard, node);
		free(rec_of(node));
	}
	map_fini(shard);
}

void disk_index_fini(struct disk_index *x)
{
	for (int i = 0; i < DISK_SHARDS; i++)
		free_shard(&x->shards[i]);
	evict_line_fini(&x->line);
	disk_notes_fini(&x->notes);
}

uint64_t disk_index_charge(uint64_t bytes)
{
	return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES + INODE_BYTES;
}

struct disk_id disk_half_id(const uint8_t half[2 * sizeof(uint64_t)])
{
	struct disk_id id;

	memcpy(&id.hash, half, sizeof(id.hash));
	memcpy(&id.rest, half + sizeof(id.hash), sizeof(id.rest));
	return id;
}

struct disk_id disk_id(const struct key *key)
{
	return disk_half_id(key->b);
}

uint64_t disk_id_variant(const struct key_variant *variant)
{
	uint64_t v;

	memcpy(&v, variant->b, sizeof(v));
	return v;
}

/* ---- finding ---- */

static bool has_rest(const struct map_node *node, const void *wanted)
{
	return const_rec_of(node)->key_rest == ((const struct disk_id *)wanted)->rest;
}

struct disk_rec *disk_index_next(const struct disk_index *x, const struct disk_id *id, const struct disk_rec *after)
{
	struct map_node *node;

	if (!after) {
		node = map_find(shard_of(x, id->hash), id->hash, has_rest, id);
		return node ? rec_of(node) : NULL;
	}
	for (node = after->node.next; node; node = node->next)
		if (node->hash == id->hash && has_rest(node, id))
			return rec_of(node);
	return NULL;
}

static bool has_serial(const struct map_node *node, const void *wanted)
{
	return const_rec_of(node)->serial == *(const uint64_t *)wanted;
}

struct disk_rec *disk_index_find(const struct disk_index *x, uint64_t hash, uint64_t serial)
{
	struct map_node *node = map_find(shard_of(x, hash), hash, has_serial, &serial);

	return node ? rec_of(node) : NULL;
}

/* ---- changing ---- */

static struct disk_rec *put_in(struct disk_index *x, const struct disk_new *what)
{
	struct disk_rec *r = NEW(struct disk_rec);

	r->key_rest = what->id.rest;
	r->variant = what->variant;
	r->serial = what->serial;
	r->bytes = what->bytes;
	r->shared = what->shared;
	map_insert(shard_of(x, what->id.hash), &r->node, what->id.hash);
	evict_insert(&x->line, &r->evict, disk_index_charge(what->bytes));
	x->n++;
	x->charge += r->evict.bytes;
	return r;
}

static void take_out(struct disk_index *x, struct disk_rec *r, bool evicted)
{
	map_remove(shard_of(x, r->node.hash), &r->node);
	if (evicted)
		evict_out(&x->line, &r->evict);
	else
		evict_remove(&x->line, &r->evict);
	x->n--;
	x->charge -= r->evict.bytes;
	free(r);
}

void disk_index_note(const struct disk_rec *r, struct disk_note *note)
{
	uint64_t refs = (uint64_t)r->evict.refs + r->hits;

	*note = (struct disk_note){
		.op = r->shared ? DISK_NOTE_ADD_SHARED : DISK_NOTE_ADD,
		.refs = refs < UINT32_MAX ? (uint32_t)refs : UINT32_MAX,
		.hash = r->node.hash,
		.key_rest = r->key_rest,
		.variant = r->variant,
		.serial = r->serial,
		.bytes = r->bytes,
		.weight = r->evict.key + r->hits,
	};
}

struct disk_rec *disk_index_add(struct disk_index *x, const struct disk_new *what)
{
	struct disk_rec *r = put_in(x, what);
	struct disk_note note;

	disk_index_note(r, &note);
	disk_notes_put(&x->notes, &note);
	return r;
}

void disk_index_remove(struct disk_index *x, struct disk_rec *r, enum disk_gone how)
{
	struct disk_note note;

	disk_index_note(r, &note);
	note.op = DISK_NOTE_GONE;
	disk_notes_put(&x->notes, &note);
	take_out(x, r, how == DISK_OUT);
}

void disk_index_note_purge(struct disk_index *x, const struct disk_id *id, uint64_t serial)
{
	struct disk_note note = {
		.op = DISK_NOTE_PURGED,
		.hash = id->hash,
		.key_rest = id->rest,
		.serial = serial,
	};

	disk_notes_put(&x->notes, &note);
}

static struct disk_rec *rec_of_item(struct evict_item *item)
{
	return (struct disk_rec *)(void *)((char *)item - offsetof(struct disk_rec, evict));
}

struct disk_rec *disk_index_first(struct disk_index *x)
{
	struct evict_item *item;

	while ((item = evict_first(&x->line)) != NULL) {
		struct disk_rec *r = rec_of_item(item);

		if (!r->hits)
			return r;
		evict_again(&x->line, item, r->hits);
		r->hits = 0;
	}
	return NULL;
}

/* ---- loading ---- */

/* Weight and turn as they should be, in one step: the weight as it was, and the older before the younger. */
static void apply_add(struct disk_index *x, const struct disk_note *n)
{
	struct disk_rec *r = disk_index_find(x, n->hash, n->serial);

	if (r)
		return;
	if (n->serial > x->last_serial)
		x->last_serial = n->serial;
	x->line.age = n->weight - 1;
	x->line.turns = n->serial - 1;
	r = put_in(x, &(struct disk_new){
			      {n->hash, n->key_rest}, n->variant, n->serial, n->bytes, n->op == DISK_NOTE_ADD_SHARED});
	r->evict.refs = n->refs;
}

static void apply_purge(struct disk_index *x, const struct disk_note *n)
{
	struct disk_id id = {n->hash, n->key_rest};
	struct disk_rec *r = disk_index_next(x, &id, NULL), *next;

	for (; r; r = next) {
		next = disk_index_next(x, &id, r);
		if (r->serial <= n->serial)
			take_out(x, r, false);
	}
}

void disk_index_apply(struct disk_index *x, const struct disk_note *n)
{
	struct disk_rec *r;

	switch (n->op) {
	case DISK_NOTE_ADD:
	case DISK_NOTE_ADD_SHARED:
		apply_add(x, n);
		return;
	case DISK_NOTE_PURGED:
		apply_purge(x, n);
		return;
	default:
		r = disk_index_find(x, n->hash, n->serial);
		if (r)
			take_out(x, r, false);
	}
}

void disk_index_loaded(struct disk_index *x)
{
	const struct evict_item *first = evict_first(&x->line);

	x->line.age = first ? first->key : 0;
	x->line.turns = x->last_serial;
}
