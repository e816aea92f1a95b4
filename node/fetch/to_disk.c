#include "node/fetch/to_disk.h"

#include "node/base/check.h"
#include "node/cache/disk.h"
#include "node/fetch/flight_internal.h"

#define FILL_WINDOW_BYTES ((uint64_t)4 * 1024 * 1024)
#define PATIENCE_MS (3 * DUR_SECOND)

bool to_disk_may(const struct flight *f, uint64_t length)
{
	return f->fetcher->disk && f->store && (length == UINT64_MAX || length <= f->policy->cache.max_object);
}

void to_disk_cancel(struct flight *f)
{
	struct to_disk *t = &f->disk;

	t->wanted = t->ending = t->told_end = false;
	disk_writer_abort(&t->writer);
	disk_file_unref(&t->file);
	if (t->patience.loop)
		timer_fini(&t->patience);
	t->patience.loop = NULL;
}

/* ---- what the writer says ---- */

static void lost(struct flight *f)
{
	bool paused = f->paused;

	fill_unstore(f);
	if (paused)
		fill_go_on(f);
}

static void on_patience(void *arg)
{
	struct flight *f = arg;

	CHECK(f, FLIGHT_MAGIC);
	if (disk_file_length(f->disk.file) == f->disk.at.pos) /* it is not the disk that is waited for */
		return;
	log_line(f->fetcher->log, LOG_WARNING, "disk", "stands still: %.*s%.*s is not stored", SPAN_ARG(f->url.host),
		 SPAN_ARG(f->url.path));
	lost(f);
}

static void on_written(void *cookie, uint64_t length)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	(void)length;
	timer_clear(&f->disk.patience);
	to_disk_feed(f);
	if (f->paused)
		fill_go_on(f);
}

static void on_done(void *cookie, bool ok)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	f->disk.writer = NULL;
	if (f->disk.ending)
		fill_settled(f, ok);
	else
		lost(f);
}

/* ---- beginning ---- */

static void ask_of(const struct flight *f, const struct entry_view *view, struct disk_writer_ask *out)
{
	*out = (struct disk_writer_ask){
		.key = f->key,
		.variant = view->variant,
		.head = view->head,
		.expected = f->expected,
		.received_wall = loop_wall(f->fetcher->loop),
		.guarded = f->guarded,
		.loop = f->fetcher->loop,
	};
}

bool to_disk_begin(struct flight *f)
{
	static const struct disk_writer_on on = {.written = on_written, .done = on_done};
	struct to_disk *t = &f->disk;
	struct disk_writer_ask ask;
	struct entry_view view;

	CHECK_THAT(!t->writer && !t->file);
	t->wanted = false;
	entry_look(f->entry, &view);
	ask_of(f, &view, &ask);
	t->writer = disk_writer_begin(f->fetcher->disk, &ask, &on, f);
	head_unref(&view.head);
	if (!t->writer)
		return false;
	t->at = (struct body_at){0};
	t->file = disk_file_ref(disk_writer_file(t->writer));
	timer_init(&t->patience, f->fetcher->loop, on_patience, f);
	entry_set_file(f->entry, t->file);
	return true;
}

/* ---- on the way ---- */

void to_disk_feed(struct flight *f)
{
	struct to_disk *t = &f->disk;
	size_t took = 1;
	struct span v;

	while (t->writer && took && body_spans(&f->entry->body, &t->at, &v, 1, UINT64_MAX)) {
		took = disk_writer_put(t->writer, v);
		body_advance(&t->at, took);
	}
	if (t->writer && t->ending && t->at.pos == body_length(&f->entry->body) && !t->told_end) {
		t->told_end = true;
		disk_writer_end(t->writer, t->digest);
	}
}

uint64_t to_disk_window(struct flight *f)
{
	struct entry *e = f->entry;
	uint64_t freed = entry_trim(e, disk_file_length(f->disk.file)), held;

	if (freed > f->reserved)
		freed = f->reserved;
	f->fetcher->store->ops->release(f->fetcher->store, freed);
	f->reserved -= freed;
	held = body_length(&e->body) - e->body.start;
	if (held < FILL_WINDOW_BYTES) {
		timer_clear(&f->disk.patience);
		return FILL_WINDOW_BYTES - held;
	}
	to_disk_feed(f);
	if (f->disk.writer)
		disk_writer_flush(f->disk.writer);
	entry_await_room(e, f->fetcher->loop);
	if (f->disk.patience.due == MONO_NEVER)
		timer_set_in(&f->disk.patience, PATIENCE_MS);
	return 0;
}

void to_disk_end(struct flight *f, const uint8_t digest[HEAD_DIGEST_BYTES])
{
	struct to_disk *t = &f->disk;

	memcpy(t->digest, digest, sizeof(t->digest));
	t->ending = true;
	timer_clear(&t->patience);
	to_disk_feed(f);
}
