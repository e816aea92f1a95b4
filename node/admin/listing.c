#include "node/admin/listing.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "node/admin/control.h"
#include "node/admin/purge.h"
#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/cache/aim.h"
#include "node/cache/disk_file.h"
#include "node/cache/store_mem.h"

#define SLICE 256
#define FIRST_BYTES ((size_t)64 * 1024)
#define END_BYTES 4 /* "]}\n" */

/* Its loop's, but for the walk over the disk, which has `text` to itself until it is done. */
struct listing {
	unsigned magic;
	struct loop *loop;
	struct store *store;
	struct disk *disk;
	struct work *work;
	listing_on_done_f *on_done;
	void *cookie;
	struct deferred job, at_end;
	atomic_bool cancelled;
	_Atomic unsigned refs; /* its owner's; the walk's over the disk, and its end's, whose loop may go first */
	struct aim aim;
	char *value; /* the aim's */
	struct buf text;
	bool too_large;
	size_t at, n_met;
	struct entry *met[SLICE];
};

#define LISTING_MAGIC 0x11571196

static void listing_unref(struct listing *l, unsigned n)
{
	if (atomic_fetch_sub_explicit(&l->refs, n, memory_order_acq_rel) != n)
		return;
	free(l->text.p);
	free(l->value);
	l->magic = 0;
	free(l);
}

/* ---- what is found ---- */

static void make_room(struct listing *l, size_t n)
{
	size_t cap = l->text.cap;

	while (cap - l->text.n < n)
		cap *= 2;
	if (cap == l->text.cap)
		return;
	l->text.p = mem_realloc(l->text.p, cap);
	l->text.cap = cap;
}

static void note(struct listing *l, const struct head *head, const uint8_t *digest)
{
	struct span url = head_url(head);
	size_t room = JSON_GROWTH * url.n + 3 + END_BYTES;

	if (l->too_large || head->status != 200 || !aim_fits(&l->aim, head, digest))
		return;
	if (l->text.n + room > CONTROL_MOST_BYTES) {
		l->too_large = true;
		return;
	}
	make_room(l, room);
	if (l->text.p[l->text.n - 1] != '[')
		buf_putc(&l->text, ',');
	json_put_string(&l->text, url);
}

/* Its owner has forgotten it then. */
static void finish(struct listing *l)
{
	listing_on_done_f *on_done = l->on_done;

	buf_put_str(&l->text, "]}\n");
	CHECK_THAT(!l->text.full);
	if (l->too_large)
		on_done(l->cookie, SPAN_NONE, "there is too much of it: say less, a host or a prefix");
	else
		on_done(l->cookie, buf_span(&l->text), NULL);
}

/* ---- on the disk ---- */

static bool on_file(void *cookie, struct disk_file *file)
{
	struct listing *l = cookie;
	struct head *head;

	if (!disk_file_is_guarded(file)) {
		head = disk_file_head(file);
		note(l, head, disk_file_digest(file));
		head_unref(&head);
	}
	return !l->too_large && !atomic_load_explicit(&l->cancelled, memory_order_relaxed);
}

/* On a worker. */
static void walk_disk(void *arg)
{
	struct listing *l = arg;

	disk_each(l->disk, on_file, l);
	listing_unref(l, 1);
}

static void on_walked(void *arg)
{
	struct listing *l = arg;
	bool wanted = !l->cancelled;

	CHECK(l, LISTING_MAGIC);
	loop_defer_cancel(l->loop, &l->at_end);
	if (wanted)
		finish(l);
	listing_unref(l, wanted ? 2 : 1);
}

/* The walk's `done` does not come any more. */
static void on_loop_gone(void *arg)
{
	listing_unref(arg, 1);
}

static void go_on_with_disk(struct listing *l)
{
	if (!l->disk) {
		finish(l);
		listing_unref(l, 1);
		return;
	}
	atomic_fetch_add_explicit(&l->refs, 2, memory_order_relaxed);
	loop_at_end(l->loop, &l->at_end, on_loop_gone, l);
	if (work_start_later(l->work, walk_disk, l->loop, on_walked, l) == 0)
		return;
	loop_defer_cancel(l->loop, &l->at_end);
	l->on_done(l->cookie, SPAN_NONE, "the disk has too much to do: try again later");
	listing_unref(l, 3);
}

/* ---- in memory ---- */

static void on_each(void *cookie, struct entry *e, uint64_t bytes, uint64_t hits)
{
	struct listing *l = cookie;

	(void)bytes;
	(void)hits;
	l->met[l->n_met++] = entry_ref(e);
}

static void take(struct listing *l, struct entry **e)
{
	struct entry_view view;

	entry_look(*e, &view);
	if (view.phase == ENTRY_COMPLETE && view.head && view.stored && !view.guarded)
		note(l, view.head, head_digest(view.head));
	head_unref(&view.head);
	entry_unref(e);
}

static void on_slice(void *arg)
{
	struct listing *l = arg;
	bool more;

	CHECK(l, LISTING_MAGIC);
	l->n_met = 0;
	more = store_mem_walk(l->store, &l->at, SLICE, on_each, l);
	for (size_t i = 0; i < l->n_met; i++)
		take(l, &l->met[i]);
	if (more)
		loop_bulk(l->loop, &l->job, on_slice, l);
	else
		go_on_with_disk(l);
}

/* ---- start and end ---- */

struct listing *listing_start(const struct listing_ground *g, enum purgerec_kind kind, struct span value,
			      listing_on_done_f *on_done, void *cookie, const char **why)
{
	struct listing *l;
	struct buf b = buf_over(mem_alloc(PURGE_BYTES(value.n)), PURGE_BYTES(value.n));

	if (!purge_normalize(kind, value, &b, why)) {
		free(b.p);
		return NULL;
	}
	l = NEW(struct listing);
	l->magic = LISTING_MAGIC;
	l->refs = 1;
	l->loop = g->loop;
	l->store = g->store;
	l->disk = g->disk;
	l->work = g->work;
	l->on_done = on_done;
	l->cookie = cookie;
	l->value = b.p;
	aim_take(&l->aim, kind, buf_span(&b));
	l->text = buf_over(mem_alloc(FIRST_BYTES), FIRST_BYTES);
	buf_put_str(&l->text, "{\"urls\":[");
	loop_bulk(l->loop, &l->job, on_slice, l);
	return l;
}

void listing_cancel(struct listing **lp)
{
	struct listing *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	CHECK(l, LISTING_MAGIC);
	loop_defer_cancel(l->loop, &l->job);
	atomic_store_explicit(&l->cancelled, true, memory_order_relaxed);
	listing_unref(l, 1);
}
