#include "node/admin/listing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "node/admin/purge.h"
#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/cache/aim.h"
#include "node/cache/disk_file.h"

#define SLICE 256
#define FIRST_BYTES ((size_t)64 * 1024)
#define PIECES 8   /* to the room: what memory has comes in such */
#define SOON_MS 10 /* until who reads is asked again whether there is room */
#define END_BYTES 256

/* Its loop's, but for what the walk over the disk adds to. */
struct listing {
	unsigned magic;
	struct listing_ground ground;
	listing_on_piece_f *on_piece;
	listing_on_done_f *on_done;
	void *cookie;
	struct deferred job, at_end;
	struct timer tick;
	bool held;   /* the walk over memory waits until a piece is taken */
	bool walked; /* nothing is added any more */
	bool left;   /* who reads */
	bool cancelled;
	atomic_bool enough;    /* the walk over the disk may stop */
	_Atomic unsigned refs; /* its owner's; the walk's over the disk, and its end's, whose loop may go first */
	struct aim aim;
	char *value;     /* the aim's */
	struct buf next; /* what is given away, until it is taken */
	pthread_mutex_t lock;
	struct buf text; /* [lock] what was found since then */
	bool any;        /* [lock] something was */
	bool called;     /* [lock] the loop is, by the walk over the disk, since there is a piece */
	const char *cut; /* [lock] */
	/* of the walk over memory */
	unsigned part;
	struct entry **met;
	size_t n_met, at;
};

#define LISTING_MAGIC 0x11571196

static void listing_unref(struct listing *l, unsigned n)
{
	if (atomic_fetch_sub_explicit(&l->refs, n, memory_order_acq_rel) != n)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l->text.p);
	free(l->next.p);
	free(l->value);
	l->magic = 0;
	free(l);
}

/* The owner's is left. */
static void unref_but_last(struct listing *l, unsigned n)
{
	atomic_fetch_sub_explicit(&l->refs, n, memory_order_acq_rel);
}

static void forget_met(struct listing *l)
{
	while (l->at < l->n_met)
		entry_unref(&l->met[l->at++]);
	free(l->met);
	l->met = NULL;
	l->n_met = l->at = 0;
}

/* ---- what is found ---- */

/* Under the lock. */
static void make_room(struct buf *b, size_t n)
{
	size_t cap = b->cap;

	while (cap - b->n < n)
		cap *= 2;
	if (cap == b->cap)
		return;
	b->p = mem_realloc(b->p, cap);
	b->cap = cap;
}

/* Under the lock. */
static void put_url(struct listing *l, struct span url)
{
	size_t n = JSON_GROWTH * url.n + 3;

	if (l->cut)
		return;
	if (l->text.n + n > l->ground.room) {
		l->cut = "what was found has not been read for too long";
		atomic_store_explicit(&l->enough, true, memory_order_relaxed);
		return;
	}
	make_room(&l->text, n);
	if (l->any)
		buf_putc(&l->text, ',');
	json_put_string(&l->text, url);
	l->any = true;
}

/* Under the lock, or when nobody else adds to it. */
static bool is_piece(const struct listing *l)
{
	return l->text.n >= l->ground.room / PIECES;
}

/* True: there is enough for a piece now, and was not before. */
static bool note(struct listing *l, const struct head *head, const uint8_t *digest)
{
	bool call;

	if (head->status != 200 || !aim_fits(&l->aim, head, digest))
		return false;
	pthread_mutex_lock(&l->lock);
	put_url(l, head_url(head));
	call = is_piece(l) && !l->called;
	l->called |= call;
	pthread_mutex_unlock(&l->lock);
	return call;
}

/* ---- giving it away ---- */

/* The next piece is what was found, when the last one is gone. */
static void fetch_next(struct listing *l)
{
	struct buf empty = l->next;

	if (l->next.n)
		return;
	pthread_mutex_lock(&l->lock);
	l->next = l->text;
	l->text = empty;
	l->called = false;
	pthread_mutex_unlock(&l->lock);
}

static enum control_piece give(struct listing *l)
{
	enum control_piece how = CONTROL_PIECE_LEFT;

	fetch_next(l);
	if (!l->left)
		how = l->on_piece(l->cookie, l->next.n ? buf_span(&l->next) : SPAN("\n"));
	if (how == CONTROL_PIECE_TAKEN)
		l->next.n = 0;
	if (how == CONTROL_PIECE_LEFT) {
		l->left = true;
		atomic_store_explicit(&l->enough, true, memory_order_relaxed);
	}
	return how;
}

/* False: who reads is not ready for it. */
static bool offer(struct listing *l)
{
	bool ready = give(l) != CONTROL_PIECE_LATER;

	timer_set_in(&l->tick, ready ? LISTING_EVERY : SOON_MS);
	return ready;
}

static void end(struct listing *l)
{
	listing_on_done_f *on_done = l->on_done;
	void *cookie = l->cookie;

	timer_fini(&l->tick);
	forget_met(l);
	listing_unref(l, 1);
	on_done(cookie);
}

/* Nothing is added any more. */
static void give_rest(struct listing *l)
{
	enum control_piece how = l->left ? CONTROL_PIECE_LEFT : CONTROL_PIECE_TAKEN;

	while (how == CONTROL_PIECE_TAKEN && (l->next.n || l->text.n))
		how = give(l);
	if (how == CONTROL_PIECE_LATER)
		timer_set_in(&l->tick, SOON_MS);
	else
		end(l);
}

static void finish(struct listing *l)
{
	make_room(&l->text, END_BYTES);
	buf_put_str(&l->text, "],\"cut\":");
	if (l->cut)
		json_put_string(&l->text, span_str(l->cut));
	else
		buf_put_str(&l->text, "null");
	buf_put_str(&l->text, "}\n");
	CHECK_THAT(!l->text.full);
	l->walked = true;
	give_rest(l);
}

/* ---- on the disk ---- */

/* Before on_walked, as it was posted before. */
static void on_call(void *arg)
{
	struct listing *l = arg;

	CHECK(l, LISTING_MAGIC);
	if (!l->cancelled)
		offer(l);
}

static bool on_file(void *cookie, struct disk_file *file)
{
	struct listing *l = cookie;
	struct head *head;

	if (!disk_file_is_guarded(file)) {
		head = disk_file_head(file);
		if (note(l, head, disk_file_digest(file)))
			loop_post(l->ground.loop, on_call, l);
		head_unref(&head);
	}
	return !atomic_load_explicit(&l->enough, memory_order_relaxed);
}

/* On a worker. */
static void walk_disk(void *arg)
{
	struct listing *l = arg;

	disk_each(l->ground.disk, on_file, l);
	listing_unref(l, 1);
}

static void on_walked(void *arg)
{
	struct listing *l = arg;

	CHECK(l, LISTING_MAGIC);
	loop_defer_cancel(l->ground.loop, &l->at_end);
	if (l->cancelled) {
		listing_unref(l, 1);
		return;
	}
	unref_but_last(l, 1);
	finish(l);
}

/* The walk's `done` does not come any more. */
static void on_loop_gone(void *arg)
{
	listing_unref(arg, 1);
}

static void go_on_with_disk(struct listing *l)
{
	if (!l->ground.disk) {
		finish(l);
		return;
	}
	atomic_fetch_add_explicit(&l->refs, 2, memory_order_relaxed);
	loop_at_end(l->ground.loop, &l->at_end, on_loop_gone, l);
	if (work_start_later(l->ground.work, walk_disk, l->ground.loop, on_walked, l) == 0)
		return;
	loop_defer_cancel(l->ground.loop, &l->at_end);
	unref_but_last(l, 2);
	l->cut = "the disk has too much to do: try again later";
	finish(l);
}

/* ---- in memory ---- */

/* Under a shard's lock. */
static bool is_meant(void *cookie, const struct head *head, const uint8_t *digest)
{
	return aim_fits(cookie, head, digest);
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

/* Some of what is left of a part, or the next one. False: that was all. */
static bool walk_memory(struct listing *l)
{
	if (l->at < l->n_met) {
		for (int i = 0; i < SLICE && l->at < l->n_met && !is_piece(l); i++)
			take(l, &l->met[l->at++]);
		return true;
	}
	forget_met(l);
	if (l->part == INDEX_PARTS)
		return false;
	l->n_met = index_collect(l->ground.index, l->part++, is_meant, &l->aim, &l->met);
	return true;
}

static void on_slice(void *arg)
{
	struct listing *l = arg;

	CHECK(l, LISTING_MAGIC);
	l->held = is_piece(l) && !offer(l); /* so that the room is never too small for what memory has */
	if (l->held)
		return;
	if (l->left)
		end(l);
	else if (walk_memory(l))
		loop_bulk(l->ground.loop, &l->job, on_slice, l);
	else
		go_on_with_disk(l);
}

/* ---- start and end ---- */

static void on_tick(void *arg)
{
	struct listing *l = arg;

	CHECK(l, LISTING_MAGIC);
	if (l->walked) {
		give_rest(l);
		return;
	}
	if (!offer(l) || !l->held)
		return;
	l->held = false;
	loop_bulk(l->ground.loop, &l->job, on_slice, l);
}

struct listing *listing_start(const struct listing_ground *g, enum purgerec_kind kind, struct span value,
			      listing_on_piece_f *on_piece, listing_on_done_f *on_done, void *cookie, const char **why)
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
	l->ground = *g;
	l->on_piece = on_piece;
	l->on_done = on_done;
	l->cookie = cookie;
	l->value = b.p;
	aim_take(&l->aim, kind, buf_span(&b));
	pthread_mutex_init(&l->lock, NULL);
	l->text = buf_over(mem_alloc(FIRST_BYTES), FIRST_BYTES);
	l->next = buf_over(mem_alloc(FIRST_BYTES), FIRST_BYTES);
	buf_put_str(&l->text, "{\"urls\":[");
	timer_init(&l->tick, g->loop, on_tick, l);
	timer_set_in(&l->tick, LISTING_EVERY);
	loop_bulk(g->loop, &l->job, on_slice, l);
	return l;
}

void listing_cancel(struct listing **lp)
{
	struct listing *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	CHECK(l, LISTING_MAGIC);
	loop_defer_cancel(l->ground.loop, &l->job);
	timer_fini(&l->tick);
	forget_met(l);
	l->cancelled = true;
	atomic_store_explicit(&l->enough, true, memory_order_relaxed);
	listing_unref(l, 1);
}
