/* disk_journal: the index on the disk: records of 64 bytes, one after the other, each with its sum.
 *
 *     [header][the same again][record][record]...
 *
 * A sum is seeded with a number of the journal's own and the record's place, so that neither an older journal's blocks
 * nor a record in another place pass. What does not fit its sum is left out and said: the files know better. Batches
 * are appended; when most records are out of date, a new journal is written beside it and renamed.
 *
 * Synced to the disk: a new journal before it is renamed, and batches in which something was purged. Others wait for
 * the kernel: what is lost with the power is found again from the files. On the thread of the disk's keeper alone. */
#ifndef NODE_CACHE_DISK_JOURNAL_H
#define NODE_CACHE_DISK_JOURNAL_H

#include "node/cache/disk_ops.h"

/* ADD_SHARED: as ADD, of what may go to other nodes. Who does not know an op takes its object for gone, and finds it again by its file. */
enum disk_note_op { DISK_NOTE_ADD = 1, DISK_NOTE_GONE, DISK_NOTE_PURGED, DISK_NOTE_ADD_SHARED };

/* One record, as it is written. */
struct disk_note {
	uint32_t op; /* enum disk_note_op */
	uint32_t refs;
	uint64_t hash, key_rest, variant, serial, bytes;
	double weight; /* its key in the line of eviction */
	uint64_t sum;
};

/* Those that wait to be written. */
struct disk_notes {
	struct disk_note *v;
	size_t n, room;
	bool has_purge;
};

void disk_notes_put(struct disk_notes *, const struct disk_note *);
void disk_notes_fini(struct disk_notes *);

struct disk_journal {
	const struct disk_ops *ops;
	int folder, fd;   /* fd -1: a new one has to be written */
	uint64_t seed, n; /* records in it */
	bool damaged;     /* when it was read */
};

void disk_journal_init(struct disk_journal *, const struct disk_ops *, int folder);
void disk_journal_fini(struct disk_journal *);

typedef void disk_on_note_f(void *cookie, const struct disk_note *);

struct disk_loaded {
	uint64_t good, bad;
	bool missing; /* or it has no header */
};

/* Reads what is there. */
void disk_journal_load(struct disk_journal *, disk_on_note_f *, void *cookie, struct disk_loaded *);
/* Appends; 0 or -errno: then a new one has to be written. Clears the notes' count. */
int disk_journal_append(struct disk_journal *, struct disk_notes *);

/* Gives the next notes of a new journal into v (up to DISK_JOURNAL_PIECE), 0 at the end. */
#define DISK_JOURNAL_PIECE 4096
typedef size_t disk_next_notes_f(void *cookie, struct disk_note *v);
int disk_journal_rewrite(struct disk_journal *, disk_next_notes_f *, void *cookie);

static inline uint64_t disk_journal_bytes(const struct disk_journal *j)
{
	return (j->n + 2) * sizeof(struct disk_note);
}

#endif
