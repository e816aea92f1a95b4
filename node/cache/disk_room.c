#include "node/base/mem.h"
#include "node/cache/disk_internal.h"

#define EVICT_AT_ONCE 512 /* more in one go would hold the lock, and a loop, for too long */

static uint64_t settled(const struct disk *d)
{
	return d->index.charge + d->reserved + d->quarantine_bytes + d->journal_bytes;
}

uint64_t disk__used(const struct disk *d)
{
	return settled(d) + d->trash_bytes + d->open_bytes;
}

uint64_t disk__must_stay_free(const struct disk *d)
{
	uint64_t share = d->room.total / 100 * d->min_free_percent;

	return share > d->min_free ? share : d->min_free;
}

/* What is to be unlinked counts as free here: it goes before anything is written (disk__empty_trash). */
bool disk__fits(const struct disk *d, uint64_t bytes)
{
	uint64_t used = settled(d), have = d->room.free + d->freed + d->trash_bytes;

	return bytes <= d->size && used <= d->size - bytes && have >= disk__must_stay_free(d) + d->owed + bytes;
}

/* Those that are open count their hits without the lock. */
static struct disk_rec *least(struct disk *d)
{
	struct disk_rec *r;

	while ((r = disk_index_first(&d->index)) != NULL) {
		struct disk_file *f = d->open.n ? disk__find_open(d, r->serial) : NULL;
		uint32_t hits = f ? atomic_exchange_explicit(&f->hits, 0, memory_order_relaxed) : 0;

		if (!hits)
			return r;
		r->hits = hits; /* weighed anew */
	}
	return NULL;
}

unsigned disk__evict(struct disk *d, uint64_t bytes, unsigned most)
{
	struct disk_rec *r;
	unsigned n = 0;

	while (n < most && !disk__fits(d, bytes) && (r = least(d)) != NULL) {
		disk__remove(d, r, DISK_OUT, false, false);
		d->counts.evicted++;
		n++;
	}
	return n;
}

bool disk__reserve(struct disk *d, struct disk_writing *w, uint64_t bytes)
{
	disk__evict(d, bytes, EVICT_AT_ONCE);
	if (!disk__fits(d, bytes))
		return false;
	w->reserved += bytes;
	d->reserved += bytes;
	d->owed += bytes;
	return true;
}

void disk__discard(struct disk *d, uint64_t serial, uint64_t charge, enum disk_trash_kind what)
{
	struct disk_trash *t = NEW(struct disk_trash);

	t->serial = serial;
	t->charge = charge;
	t->what = what;
	STAILQ_INSERT_TAIL(&d->trash, t, link);
	d->trash_bytes += charge;
	pthread_cond_signal(&d->wake);
}
