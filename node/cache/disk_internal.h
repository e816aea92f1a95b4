/* disk_internal: what the files of the disk tier share. Nobody else includes it.
 *
 *     disk.c          opening and closing, faults, figures
 *     disk_serial.c   names of files, and the generation that their serials begin with
 *     disk_room.c     limits: what fits, what has to go for it
 *     disk_records.c  into the index and out of it; purging one key
 *     disk_find.c     looking, at once and by a worker; a walk for others
 *     disk_file.c     one object: loading, reading
 *     disk_writer.c   writing: by pieces, and whole entries
 *     disk_keeper.c   a thread: unlinks, the journal, quarantine, what is free on the file system
 *     disk_walk.c     a thread: strays after a start, purging by a predicate
 *     disk_scrub.c    a thread while it runs
 *
 * One lock. Fields marked [l] belong to it, [k] to the keeper's thread (and to disk_open before it runs), [c] never
 * change. */
#ifndef NODE_CACHE_DISK_INTERNAL_H
#define NODE_CACHE_DISK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "node/cache/disk.h"
#include "node/cache/disk_format.h"
#include "node/cache/disk_index.h"
#include "node/cache/disk_ops.h"

/* ---- one object, open ---- */

struct disk_file {
	unsigned magic;
	_Atomic unsigned refs; /* becomes 0 under the disk's lock only */
	struct map_node node;  /* [l] among those that are open, by serial */
	struct disk *disk;
	struct disk_rec *rec;            /* [l] NULL: not (or no longer) in the index */
	bool in_table;                   /* [l] */
	bool gone;                       /* [l] unlinked, or about to be: what it costs is free when it is closed */
	uint64_t charge;                 /* [l] of one that is gone and unlinked */
	_Atomic uint32_t hits;           /* not yet counted in rec */
	_Atomic uint64_t asked;          /* store.h: is_worth */
	STAILQ_ENTRY(disk_file) closing; /* also of those that are to be told of (they have a reference then) */
	struct disk_label label;         /* [c] */
	struct head *head;               /* [c] one reference */
	uint32_t head_bytes;             /* [c] */
	int fd;                          /* -1: nothing is written yet */
	_Atomic uint64_t length;         /* of the body: what may be read */
	_Atomic bool growing;
	pthread_mutex_t lock; /* of a growing one: guards length with the sums */
	uint64_t *sums;       /* of whole chunks */
	uint64_t tail_sum;    /* growing: of what is there of the last chunk */
	uint64_t sums_room;
	uint64_t only_sum; /* of one that was loaded and is not longer than a chunk: `sums` points here */
	uint8_t digest[HEAD_DIGEST_BYTES];
};

#define DISK_FILE_MAGIC 0xd15cf11e
#define DISK_SMALL_BYTES ((uint64_t)64 * 1024) /* files up to this are read whole, by one call */

/* Where an object is, copied from the index. */
struct disk_place {
	uint64_t hash, serial, bytes, variant;
};

static inline struct disk_place disk__place_of(const struct disk_rec *r)
{
	return (struct disk_place){r->node.hash, r->serial, r->bytes, r->variant};
}

enum disk_loading {
	DISK_LOADED,
	DISK_LOAD_COLD,
	DISK_LOAD_MISSING, /* there is no such file */
	DISK_LOAD_BAD,
	DISK_LOAD_NOT_NOW, /* no descriptors, no memory: says nothing about the file */
};

/* Opens it and checks head and end (of a small one, all: `small` has it then, unless NULL). Not in the table of open files yet.
 * `wait`: for the disk; else never. */
enum disk_loading disk__load(struct disk *, const struct disk_place *, bool wait, struct disk_file **out,
			     struct disk_small *small);
/* For the writer: nothing is in it yet. Takes one more reference to the head. */
struct disk_file *disk__file_new(struct disk *, const struct disk_label *, struct head *);
void disk__file_free(struct disk_file *);

/* ---- what is being written ---- */

struct disk_writing {
	unsigned magic;
	LIST_ENTRY(disk_writing) link; /* [l] */
	struct disk *disk;
	struct disk_file *file; /* one reference */
	uint64_t reserved;      /* [l] */
	uint64_t promised;      /* [l] what it is expected to need in the end; 0: unknown */
	uint64_t begun;         /* of the body: the disk has been told to write so much */
	bool purged;            /* [l] must not be published */
	bool created;           /* [l] its file is in tmp/ */
};

/* ---- what has to be unlinked ---- */

enum disk_trash_kind {
	DISK_TRASH_FILE,
	DISK_TRASH_TMP, /* in tmp/ */
	DISK_TRASH_BAD, /* into quarantine/ with it */
	DISK_TRASH_OLD, /* in quarantine/ */
};

struct disk_trash {
	STAILQ_ENTRY(disk_trash) link;
	uint64_t serial, charge;
	enum disk_trash_kind what;
};

STAILQ_HEAD(disk_trash_list, disk_trash);

/* A key that was purged: while the power may still bring back files of it, they must not be adopted. */
struct disk_tomb {
	struct disk_id id;
	uint64_t serial; /* of it and all before */
	mono_us since;
};

#define DISK_QUARANTINE_MOST 100

struct disk_quarantined {
	uint64_t serial, charge;
};

struct disk_walk;
struct disk_scrubber;

struct disk {
	unsigned magic;
	const struct disk_ops *ops; /* [c], as are the next ones */
	struct work *work;
	struct log *log;
	const struct clock *clock;
	struct orders *orders;
	int root, objects, tmp, quarantine; /* folders */
	pthread_mutex_t lock;
	pthread_cond_t wake;  /* the keeper */
	pthread_cond_t quiet; /* something has ended: a job, the walk, a round of the keeper */

	struct disk_index index;            /* [l] */
	struct map open;                    /* [l] struct disk_file by serial */
	LIST_HEAD(, disk_writing) writings; /* [l] */
	struct disk_trash_list trash;       /* [l] */
	unsigned unlinking;                 /* [l] under way */
	bool stuck;                         /* [l] unlinking has failed: again in the next round */
	STAILQ_HEAD(, disk_file) closing;   /* [l] */
	STAILQ_HEAD(, disk_file) going;     /* [l] of which on_gone is to be told; one reference each */
	disk_on_gone_f *on_gone;            /* [l] */
	void *on_gone_cookie;               /* [l] */
	unsigned telling;                   /* [l] threads in which on_gone runs */
	disk_on_shared_f *on_shared;        /* [l] */
	void *on_shared_cookie;             /* [l] */
	uint64_t generation;                /* [l] 0: nothing can be written yet */
	uint64_t first_serial, next_serial; /* [l] of this run */

	/* [l] limits and room */
	uint64_t size, min_free, max_object;
	unsigned min_free_percent;
	uint64_t reserved, promised;
	uint64_t trash_bytes, open_bytes; /* to be unlinked; unlinked, but open */
	uint64_t quarantine_bytes, journal_bytes, buffered;
	struct disk_room room; /* when it was looked at last, and since then: */
	uint64_t owed, freed;
	struct disk_quarantined quarantined[DISK_QUARANTINE_MOST]; /* the oldest first */
	unsigned n_quarantined;

	/* [l] faults */
	mono_us failing_until;
	bool failing;
	struct disk_counts counts; /* only those that are counted as they happen */

	/* [l] purges that the walk has to know of */
	bool walking;
	struct disk_tomb *tombs;
	size_t n_tombs, tombs_room;

	/* [k] */
	struct disk_journal journal;
	struct disk_notes batch;
	mono_us journal_retry;

	unsigned rounds_asked, rounds_done; /* [l] */
	bool ending;                        /* [l] */
	bool let_go;                        /* [l] the folder is another process's: no keeper, walk or scrub any more */
	unsigned jobs;                      /* [l] at the workers */
	pthread_t keeper;

	struct disk_walk *walk;
	struct disk_scrubber *scrubber; /* [l] */
	struct disk_scrub scrubbed;     /* [l] */
};

#define DISK_MAGIC 0xd15c0b1e
#define DISK_GENERATION_SHIFT 40 /* of a serial: the rest counts what is written in one run */

static inline void disk__lock(struct disk *d)
{
	pthread_mutex_lock(&d->lock);
}

static inline void disk__unlock(struct disk *d)
{
	pthread_mutex_unlock(&d->lock);
}

/* "3f/07/0000010000000fff" */
#define DISK_PATH_BYTES 23
#define DISK_NAME_BYTES 17
#define DISK_FANOUT 64
void disk__path(uint64_t serial, char out[DISK_PATH_BYTES]);
void disk__name(uint64_t serial, char out[DISK_NAME_BYTES]);
bool disk__parse_name(const char *name, uint64_t *serial);
/* Reads the file `format`, and from it, or from the names on the disk, which generation was the last. -1 with a sentence: the store is not for
 * us. */
int disk__check_format(struct disk *, const char *path, char *why, size_t why_bytes);

/* ---- all under the lock ---- */

/* Room for so many bytes more, by evicting a bounded number of others; false: there is none now. */
bool disk__reserve(struct disk *, struct disk_writing *, uint64_t bytes);
bool disk__fits(const struct disk *, uint64_t bytes);
uint64_t disk__must_stay_free(const struct disk *);
/* Up to so many; how many went. */
unsigned disk__evict(struct disk *, uint64_t bytes, unsigned most);
uint64_t disk__used(const struct disk *);
/* Out of the index, and its file (unless it is missing already) to where it belongs. */
void disk__remove(struct disk *, struct disk_rec *, enum disk_gone, bool missing, bool bad);
void disk__discard(struct disk *, uint64_t serial, uint64_t charge, enum disk_trash_kind);
/* Remembers that what is on the disk of this key, up to this serial, is purged. */
void disk__bury(struct disk *, const struct disk_id *, uint64_t serial);
struct disk_file *disk__find_open(const struct disk *, uint64_t serial);
bool disk__is_for_others(const struct disk_file *); /* may it go to other nodes? As entry_is_shareable has it */
/* From now on others find it open. */
void disk__put_in_table(struct disk *, struct disk_file *, struct disk_rec *);
/* Is this writing still wanted? Then it is in the index now, in the place of what it replaces, and its file open. */
bool disk__publish(struct disk *, struct disk_writing *, uint64_t bytes);
/* The same for a file that has been found. False: something newer is there, or it was purged. */
bool disk__adopt(struct disk *, const struct disk_file *, uint64_t bytes);
/* All records of a shard, copied to v (room for *n; grows). */
size_t disk__places(struct disk *, unsigned shard, struct disk_place **v, size_t *room);

/* ---- without it ---- */

void disk__job_begins(struct disk *);
void disk__job_ends(struct disk *);
/* An operator does not want it back (orders.h). */
bool disk__is_denied(const struct disk *, const struct disk_file *);
/* With a reference; waits for the disk. NULL: it is not there, or not good (and out of the index). */
struct disk_file *disk__open_place(struct disk *, const struct disk_place *);
/* The file is not what the index says. */
void disk__missing(struct disk *, const struct disk_place *);
void disk__bad(struct disk *, uint64_t hash, uint64_t serial, const char *why);
/* An error of writing: nothing more is begun for a while. */
void disk__write_failed(struct disk *, int err, const char *what);
void disk__write_went(struct disk *);
/* On a worker: unlinks what waits for it, as long as the limits ask for it. */
void disk__empty_trash(struct disk *);
/* All that waits for it, so that not even the power brings it back. Waits for the disk. */
void disk__empty_for_good(struct disk *);
/* Waits until the walk is over and the keeper has made a whole round: for tests, and disk_close. */
void disk__settle(struct disk *);

/* Is the folder another process's (disk_let_go)? */
bool disk__has_let_go(struct disk *);
/* Those that nobody reads any more: the keeper's work, while there is one. */
void disk__close_files(struct disk *);
void disk__keeper_start(struct disk *);
void disk__keeper_stop(struct disk *);
/* Is there a generation yet? If not, tries. 0 or -errno. */
int disk__begin_generation(struct disk *);

/* known: what the journal has, `n` of them; taken. */
void disk__walk_start(struct disk *, struct disk_place *known, size_t n);
void disk__walk_stop(struct disk *);

#endif
