/* index: from keys to entries, for all loops.
 *
 * 64 shards with a lock each, held for pointer work alone. A shard has the published entries (COMPLETE, or MARK) and the pending
 * ones (NEW, FILLING), which others may join. Looking up and, if nothing is there, beginning is safe against two that come at
 * once: index_begin is told what the caller saw, and says CHANGED when that is no longer so.
 *
 * Vary: the names in the published (or pending) head tell which variant a request needs; until a first answer has named them,
 * a URL is one flight. */
#ifndef NODE_CACHE_INDEX_H
#define NODE_CACHE_INDEX_H

#include "node/cache/entry.h"

struct index;

/* Called, outside all locks, for each entry that leaves the index; the reference of the index is given up afterwards. */
typedef void index_on_removed_f(void *cookie, struct entry *);

struct index *index_new(index_on_removed_f *, void *cookie);
void index_free(struct index *); /* nobody uses it any more */

struct index_ask {
	struct key key;
	struct key_credential who;
	const struct hdrs *request; /* for Vary */
};

/* The published entry for this request, with a reference; NULL when there is none. An expired mark is none. *other_variant: there is
 * something for this URL, but not for requests like this one. */
struct entry *index_lookup(struct index *, const struct index_ask *, mono_us now, bool *other_variant);

/* What other nodes are told of a key, whose first half is all that they have given. */
struct index_peek {
	enum { INDEX_PEEK_NOT, INDEX_PEEK_WHOLE, INDEX_PEEK_GROWING } what;
	uint64_t size, have; /* size 0: unknown */
	bool has_digest;
	uint8_t digest[HEAD_DIGEST_BYTES]; /* of WHOLE */
	int64_t age_s, ttl_s;              /* of WHOLE */
	bool other_variant;                /* NOT, but there is one for requests with other fields, those in `vary` */
	char vary[VARY_TEXT_BYTES + 1];
};

#define INDEX_PEEK_KEY_BYTES 16

/* Only what may be shared with other nodes is here (entry_is_shareable). The variant NULL: any, rather one that is whole. True unless NOT. */
bool index_peek(struct index *, const uint8_t key[INDEX_PEEK_KEY_BYTES], const struct key_variant *, mono_us now,
		struct index_peek *out);

/* The head of what index_peek finds, with a reference; NULL: nothing, or no head yet. */
struct head *index_peek_head(struct index *, const uint8_t key[INDEX_PEEK_KEY_BYTES], const struct key_variant *);

struct index_shared {
	uint8_t key[INDEX_PEEK_KEY_BYTES];
	uint64_t size;
};

#define INDEX_PARTS 64

/* All that index_peek would call WHOLE in one of INDEX_PARTS parts; a key with several variants more than once. The caller frees *out; NULL when there are none. */
size_t index_shared(struct index *, unsigned part, struct index_shared **out);

/* The published entry for this request, else the pending one that it could join; with a reference; NULL: neither. */
struct entry *index_find_any(struct index *, const struct index_ask *, mono_us now);

enum index_begin {
	INDEX_BEGUN,  /* *out is a new pending entry; the caller begins a flight, and owns the flight's reference too */
	INDEX_JOINED, /* *out is somebody else's pending entry */
	INDEX_CHANGED, /* look up again: what is published is no longer what you saw */
};

/* `seen` and `seen_head`: what index_lookup gave (NULL: nothing). may_join false: never JOINED, and nobody joins the new one. *out
 * carries one reference. */
enum index_begin index_begin(struct index *, const struct index_ask *, const struct entry *seen,
			     const struct head *seen_head, bool may_join, struct entry **out);

/* An entry that is made ready aside, to be published by index_publish_for. One reference. */
struct entry *index_entry(struct index *, const struct key *);
/* Publishes it in place of the pending one, which stops being pending (NULL: there is none). False when that one was purged meanwhile: then
 * nothing is published. */
bool index_publish_for(struct index *, struct entry *, struct entry *pending);

/* The same in place of a published one, if that is still there, and still has this head (else false: something else has come, or nothing is
 * wanted any more). */
bool index_swap(struct index *, struct entry *old, const struct head *, struct entry *);

/* A private entry, not in the index at all: for what is neither looked up nor stored. One reference. */
struct entry *index_private(struct index *);

/* The pending entry is of no use to others any more: it failed, or is not shareable. */
void index_withdraw(struct index *, struct entry *);
/* The pending entry is complete: those who look up find it from now on, and what it replaces goes. False when it was purged while
 * it was filled; it is withdrawn then. */
bool index_publish(struct index *, struct entry *);
/* Remembers that answers for this URL cannot be shared. NULL, and nothing is done, when something is stored for it: that is
 * somebody's, and stays. One reference. */
struct entry *index_mark(struct index *, const struct key *, mono_us until);
/* False when it was not there. */
bool index_remove(struct index *, struct entry *);
/* The entry whose body is in this file, if it is published. */
bool index_remove_file(struct index *, const struct key *, const struct disk_file *);
/* All variants, also those still coming. How many published ones went. */
unsigned index_purge(struct index *, const struct key *);

/* Those whose head `fits`, called under a shard's lock: a comparison of bytes, no more. What is still coming and has no head yet is
 * not published either. How many published ones went. digest: of the body; NULL: not known (yet). */
typedef bool index_fits_f(void *cookie, const struct head *, const uint8_t *digest);
typedef void index_on_fit_f(void *cookie, const struct entry *);
/* on_fit: told of each that went, without a lock held; NULL: nobody is. */
unsigned index_purge_if(struct index *, index_fits_f *fits, index_on_fit_f *on_fit, void *cookie);
/* Those of one of INDEX_PARTS parts, with a reference each; the caller frees *out. What is there from the first part to the last is in one
 * of them. */
size_t index_collect(struct index *, unsigned part, index_fits_f *fits, void *cookie, struct entry ***out);
/* Those stay, but are stale from now on (fresh_outdate). How many; what is still coming is as new as can be. */
unsigned index_outdate_if(struct index *, index_fits_f *fits, void *cookie);

struct index_counts {
	uint64_t published, pending;
};

struct index_counts index_counts(struct index *);

#endif
