/* The scrub: a thread while it runs. Reads every object from the disk, whoever has it open, and checks every sum. */
#include <stdlib.h>
#include <time.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"

#define PIECE_BYTES ((size_t)256 * 1024)

struct disk_scrubber {
	struct disk *disk;
	pthread_t thread;
	uint64_t rate; /* bytes a second; 0: as fast as it goes */
	struct timespec start;
	uint64_t bytes;
	bool stop; /* [l] */
	char *piece;
};

/* When so many bytes may have been read; true: it is over. */
static bool pace(struct disk_scrubber *s, uint64_t bytes)
{
	struct disk *d = s->disk;
	struct timespec until = s->start;
	bool stop;

	s->bytes += bytes;
	if (s->rate) {
		uint64_t ns = s->bytes % s->rate * 1000000000 / s->rate + (uint64_t)until.tv_nsec;

		until.tv_sec += (time_t)(s->bytes / s->rate + ns / 1000000000);
		until.tv_nsec = (long)(ns % 1000000000);
	}
	disk__lock(d);
	d->scrubbed.bytes += bytes;
	while (s->rate && !s->stop)
		if (pthread_cond_timedwait(&d->quiet, &d->lock, &until))
			break;
	stop = s->stop;
	disk__unlock(d);
	return stop;
}

static void count(struct disk *d, bool bad)
{
	disk__lock(d);
	d->scrubbed.objects++;
	d->scrubbed.bad += bad;
	disk__unlock(d);
}

/* True: go on. What is bad quarantines itself while it is read. */
static bool read_all(struct disk_scrubber *s, struct disk_file *f, bool is_checked, bool *bad)
{
	uint64_t pos = 0;
	size_t n = 1;

	if (is_checked)
		return !pace(s, f->length);
	while (n && !*bad) {
		*bad = disk_file_read(f, pos, s->piece, PIECE_BYTES, &n) == DISK_READ_BAD;
		pos += n;
		if (pace(s, n))
			return false;
	}
	return true;
}

static bool scrub_one(struct disk_scrubber *s, const struct disk_place *place)
{
	struct disk *d = s->disk;
	struct disk_small small = {0};
	bool bad = false, more = true;
	struct disk_file *f;

	switch (disk__load(d, place, true, &f, &small)) {
	case DISK_LOADED:
		more = read_all(s, f, small.bytes != NULL, &bad);
		free(small.bytes);
		disk_file_unref(&f);
		break;
	case DISK_LOAD_BAD:
		disk__bad(d, place->hash, place->serial, "its head or its end is damaged, or cannot be read");
		bad = true;
		break;
	case DISK_LOAD_MISSING:
		disk__missing(d, place);
		break;
	case DISK_LOAD_COLD:
	case DISK_LOAD_NOT_NOW:
		break;
	}
	count(d, bad);
	return more;
}

static void *scrub(void *arg)
{
	struct disk_scrubber *s = arg;
	struct disk *d = s->disk;
	struct disk_place *v = NULL;
	bool more = true;
	size_t room = 0;

	for (unsigned shard = 0; more && shard < DISK_SHARDS; shard++) {
		size_t n;

		disk__lock(d);
		n = disk__places(d, shard, &v, &room);
		more = !s->stop;
		disk__unlock(d);
		for (size_t i = 0; more && i < n; i++)
			more = scrub_one(s, &v[i]);
	}
	free(v);
	disk__lock(d);
	d->scrubbed.done = true;
	pthread_cond_broadcast(&d->quiet);
	disk__unlock(d);
	return NULL;
}

/* Its thread is at its end, or told to come there. */
static void scrubber_free(struct disk_scrubber *s)
{
	pthread_join(s->thread, NULL);
	free(s->piece);
	free(s);
}

/* The one that has run, if it is over; *busy when one runs. */
static struct disk_scrubber *take_over(struct disk *d, struct disk_scrubber *next, bool *busy)
{
	struct disk_scrubber *old = d->scrubber;

	*busy = d->let_go || (old && !d->scrubbed.done);
	if (*busy)
		return NULL;
	d->scrubber = next;
	d->scrubbed = (struct disk_scrub){.total = d->index.n};
	CHECK_THAT(pthread_create(&next->thread, NULL, scrub, next) == 0);
	return old;
}

int disk_scrub_start(struct disk *d, uint64_t bytes_a_second)
{
	struct disk_scrubber *s = NEW(struct disk_scrubber), *old;
	bool busy;

	CHECK(d, DISK_MAGIC);
	s->disk = d;
	s->rate = bytes_a_second;
	s->piece = mem_alloc(PIECE_BYTES);
	clock_gettime(CLOCK_MONOTONIC, &s->start);
	disk__lock(d);
	old = take_over(d, s, &busy);
	disk__unlock(d);
	if (old)
		scrubber_free(old);
	if (!busy)
		return 0;
	free(s->piece);
	free(s);
	return -1;
}

void disk_scrub_look(struct disk *d, struct disk_scrub *out)
{
	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	*out = d->scrubbed;
	disk__unlock(d);
}

void disk_scrub_stop(struct disk *d)
{
	struct disk_scrubber *s;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	s = d->scrubber;
	d->scrubber = NULL;
	if (s)
		s->stop = true;
	pthread_cond_broadcast(&d->quiet);
	disk__unlock(d);
	if (s)
		scrubber_free(s);
}
