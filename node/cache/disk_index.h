/* disk_index: what is on the disk, in memory: about 130 bytes an object.
 *
 * In shards, so that a walk holds the lock for one of them at a time, and growth never moves more than one. Eviction by
 * LFUDA. Every change is noted for the journal (disk_journal.h). Not thread-safe: the disk's lock. */
#ifndef NODE_CACHE_DISK_INDEX_H
#define NODE_CACHE_DISK_INDEX_H

#include "node/base/map.h"
#include "node/cache/disk_journal.h"
#include "node/cache/evict.h"
#include "node/cache/key.h"

#define DISK_SHARDS 1024

struct disk_rec {
	struct map_node node;    /* hash: the first 8 bytes of the key */
	struct evict_item evict; /* bytes: what it costs */
	uint64_t key_rest;       /* the next 8 bytes of the key */
	uint64_t variant;        /* the first 8 bytes of the variant */
	uint64_t serial, bytes;  /* of the file */
	uint32_t hits;           /* since it was last weighed */
	bool shared; /* may go to other nodes (disk_has_shared); false also where an older version has not noted it */
};

struct disk_index {
	struct map shards[DISK_SHARDS];
	struct evict_line line;
	uint64_t n, charge;   /* objects; what they cost */
	uint64_t last_serial; /* seen in the journal */
	struct disk_notes notes;
};

void disk_index_init(struct disk_index *);
void disk_index_fini(struct disk_index *);

/* What a file of so many bytes costs: whole blocks, and its inode. */
uint64_t disk_index_charge(uint64_t bytes);

/* The halves of a key that the index keeps. */
struct disk_id {
	uint64_t hash, rest;
};

struct disk_id disk_id(const struct key *);
struct disk_id disk_half_id(const uint8_t half[2 * sizeof(uint64_t)]);
uint64_t disk_id_variant(const struct key_variant *);

/* The records of a key, one after the other: after NULL the first. NULL: no more. */
struct disk_rec *disk_index_next(const struct disk_index *, const struct disk_id *, const struct disk_rec *after);
struct disk_rec *disk_index_find(const struct disk_index *, uint64_t hash, uint64_t serial);

struct disk_new {
	struct disk_id id;
	uint64_t variant, serial, bytes;
	bool shared;
};

struct disk_rec *disk_index_add(struct disk_index *, const struct disk_new *);

/* Frees the record. OUT: it is evicted, being the first of the line. */
enum disk_gone { DISK_GONE, DISK_OUT };
void disk_index_remove(struct disk_index *, struct disk_rec *, enum disk_gone);
/* Notes that nothing of this key up to this serial may come back, whatever is found on the disk. */
void disk_index_note_purge(struct disk_index *, const struct disk_id *, uint64_t serial);

/* The next to be evicted, weighed by its hits; NULL: nothing is here. */
struct disk_rec *disk_index_first(struct disk_index *);

/* What a record is in the journal. */
void disk_index_note(const struct disk_rec *, struct disk_note *);
/* From the journal, while it is loaded: nothing is noted for it again. */
void disk_index_apply(struct disk_index *, const struct disk_note *);
/* All is applied. */
void disk_index_loaded(struct disk_index *);

#endif
