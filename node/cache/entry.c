#include "node/cache/entry.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_file.h"

/* Those of one loop who watch one entry. Guarded by the shard's lock, but for `job` and the walk in on_posted, which are of
 * the loop's own thread; only that thread adds or removes watches, so it may read the list without the lock. */
struct watchset {
	LIST_ENTRY(watchset) link;
	TAILQ_HEAD(, entry_watch) watches; /* those told in this round of walk() are at the end */
	unsigned round;
	struct entry *entry; /* one reference */
	struct loop *loop;
	unsigned refs; /* the watchers' list, a post on its way, a walk */
	bool listed, posted;
	struct deferred job;
};

struct watchers {
	LIST_HEAD(, watchset) sets;
	struct entry_filler filler;
	bool has_filler, filler_told, filler_waits;
	char *detail;           /* of a failure */
	struct disk_file *file; /* one reference; set once */
	unsigned n;             /* watches in all */
};

/* ---- heads ---- */

struct head *head_ref(struct head *h)
{
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return h;
}

void head_unref(struct head **hp)
{
	struct head *h = *hp;

	*hp = NULL;
	if (h && atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1)
		free(h);
}

void head_set_digest(struct head *h, const uint8_t digest[HEAD_DIGEST_BYTES])
{
	if (!h->has_room)
		return;
	memcpy(h->text + h->n + h->phrase_n + h->vary_n + h->url_n, digest, HEAD_DIGEST_BYTES);
	h->has_digest = true;
}

#define HEAD_BEHIND_COUNT offsetof(struct head, status) /* what comes before is the count of references */

struct head *head_with_terms(const struct head *old, const struct fresh_terms *terms)
{
	size_t text = (size_t)old->n + old->phrase_n + old->vary_n + old->url_n;
	size_t bytes = sizeof(*old) + text + (old->has_room ? HEAD_DIGEST_BYTES : 0);
	struct head *h = mem_alloc(bytes);

	/* All but the references, which others take and give back meanwhile. */
	memcpy((char *)h + HEAD_BEHIND_COUNT, (const char *)old + HEAD_BEHIND_COUNT, bytes - HEAD_BEHIND_COUNT);
	atomic_init(&h->refs, 1);
	h->terms = *terms;
	return h;
}

/* ---- life ---- */

struct entry *entry_new(struct shard *shard, const struct key *key)
{
	struct entry *e = NEW(struct entry);

	e->magic = ENTRY_MAGIC;
	e->refs = 1;
	e->shard = shard;
	e->key = *key;
	e->phase = ENTRY_NEW;
	return e;
}

struct entry *entry_ref(struct entry *e)
{
	CHECK(e, ENTRY_MAGIC);
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void entry_unref(struct entry **ep)
{
	struct entry *e = *ep;

	*ep = NULL;
	if (!e)
		return;
	CHECK(e, ENTRY_MAGIC);
	if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	CHECK_THAT(!e->in_index && !evict_has(&e->evict));
	head_unref(&e->head);
	body_free(&e->body);
	if (e->watchers) {
		free(e->watchers->detail);
		disk_file_unref(&e->watchers->file);
	}
	free(e->watchers);
	if (e->phase != ENTRY_MARK)
		free(e->passes);
	e->magic = 0;
	free(e);
}

static void lock(struct entry *e)
{
	pthread_mutex_lock(shard_lock(e->shard));
}

static void unlock(struct entry *e)
{
	pthread_mutex_unlock(shard_lock(e->shard));
}

bool entry_is_shareable(const struct entry *e)
{
	const struct head *h = e->head;

	if (!h || !e->stored || e->guarded || h->status != 200 || h->terms.lifetime_s != FRESH_FOREVER_S)
		return false;
	return e->phase == ENTRY_COMPLETE || (e->phase == ENTRY_FILLING && e->shared);
}

bool entry_was_shareable(struct entry *e)
{
	bool was;

	lock(e);
	was = entry_is_shareable(e);
	unlock(e);
	return was;
}

uint64_t entry_overhead(struct entry *e)
{
	const struct head *h;
	uint64_t n = sizeof(*e) + 16;

	lock(e);
	h = e->head;
	if (h)
		n += sizeof(*h) + 16 + h->n + h->phrase_n + h->vary_n + h->url_n +
		     (h->has_room ? HEAD_DIGEST_BYTES : 0);
	if (entry_file_locked(e))
		n += sizeof(*e->watchers) + 16;
	if (e->passes)
		n += ENTRY_MAX_PASSES * sizeof(*e->passes) + 16;
	unlock(e);
	return n;
}

/* ---- looking ---- */

void entry_look(struct entry *e, struct entry_view *out)
{
	CHECK(e, ENTRY_MAGIC);
	lock(e);
	*out = (struct entry_view){
		.phase = e->phase,
		.outcome = e->outcome,
		.why = e->why,
		.head = e->head ? head_ref(e->head) : NULL,
		.variant = e->variant,
		.stored = e->stored,
		.guarded = e->guarded,
		.order = e->is_pending ? e->order : 0,
		.file = entry_file_locked(e),
		.shared = e->shared && !e->begun_to_go,
	};
	unlock(e);
}

static struct entry_pass *find_pass(struct entry *e, const struct key_credential *c)
{
	for (unsigned i = 0; i < e->n_passes; i++)
		if (key_credential_same(&e->passes[i].credential, c))
			return &e->passes[i];
	return NULL;
}

bool entry_admits(struct entry *e, const struct key_credential *c, mono_us now)
{
	struct entry_pass *pass;
	bool yes;

	lock(e);
	pass = e->guarded ? find_pass(e, c) : NULL;
	yes = !e->guarded || (pass && pass->until > now);
	unlock(e);
	return yes;
}

void entry_guard(struct entry *e)
{
	lock(e);
	e->guarded = true;
	unlock(e);
}

void entry_admit(struct entry *e, const struct key_credential *c, mono_us until)
{
	struct entry_pass *pass;

	lock(e);
	if (key_credential_is_nobody(c)) {
		e->guarded = false;
	} else if (e->guarded) {
		pass = find_pass(e, c);
		if (!pass) {
			if (!e->passes)
				e->passes = mem_zalloc(ENTRY_MAX_PASSES * sizeof(*e->passes));
			if (e->n_passes < ENTRY_MAX_PASSES) {
				pass = &e->passes[e->n_passes++];
			} else {
				pass = &e->passes[0];
				for (unsigned i = 1; i < ENTRY_MAX_PASSES; i++)
					if (e->passes[i].until < pass->until)
						pass = &e->passes[i];
			}
		}
		*pass = (struct entry_pass){.credential = *c, .until = until};
	}
	unlock(e);
}

/* ---- watching ---- */

/* Under the lock. */
static struct watchers *watchers_of(struct entry *e)
{
	if (!e->watchers) {
		e->watchers = NEW(struct watchers);
		LIST_INIT(&e->watchers->sets);
	}
	return e->watchers;
}

/* Under the lock. */
static struct watchset *set_of(struct watchers *w, struct loop *loop)
{
	struct watchset *set;

	LIST_FOREACH(set, &w->sets, link)
	if (set->loop == loop)
		return set;
	return NULL;
}

/* Under the lock: a stored entry that nobody fills or watches needs none. */
static void drop_watchers(struct entry *e)
{
	if (e->watchers->n || e->watchers->has_filler || e->watchers->detail || e->watchers->file ||
	    !LIST_EMPTY(&e->watchers->sets))
		return;
	free(e->watchers);
	e->watchers = NULL;
}

static void set_unref(struct watchset *set)
{
	struct entry *e = set->entry;
	bool last;

	lock(e);
	last = --set->refs == 0;
	unlock(e);
	if (!last)
		return;
	free(set);
	entry_unref(&e);
}

void entry_watch_start(struct entry_watch *w, struct entry *e, struct loop *loop, uint64_t from,
		       entry_on_change_f *on_change, void *cookie)
{
	struct watchers *all;
	struct watchset *set;

	CHECK(e, ENTRY_MAGIC);
	CHECK_THAT(!w->entry);
	*w = (struct entry_watch){.entry = e, .loop = loop, .on_change = on_change, .cookie = cookie, .pos = from};
	lock(e);
	all = watchers_of(e);
	set = set_of(all, loop);
	if (!set) {
		set = NEW(struct watchset);
		set->entry = entry_ref(e);
		set->loop = loop;
		set->refs = 1;
		set->listed = true;
		TAILQ_INIT(&set->watches);
		LIST_INSERT_HEAD(&all->sets, set, link);
	}
	w->set = set;
	w->round = set->round;
	w->in_file = e->stored && all->file && e->body.start > from;
	TAILQ_INSERT_TAIL(&set->watches, w, link);
	all->n++;
	unlock(e);
}

/* Under the lock: tells the flight that its readers have changed. */
static void tell_filler(struct watchers *all)
{
	if (!all->has_filler || all->filler_told)
		return;
	all->filler_told = true;
	loop_post(all->filler.loop, all->filler.on_readers, all->filler.arg);
}

/* Under the lock: it can read on in the file, and has been waited for long enough. */
static bool is_left_behind(const struct entry *e, const struct entry_watch *w)
{
	const struct disk_file *file = e->watchers->file;

	return e->stored && file && !w->in_file && body_length(&e->body) - w->pos > ENTRY_LAG_BYTES &&
	       w->pos < disk_file_length(file);
}

struct disk_file *entry_watch_advance(struct entry_watch *w, uint64_t pos)
{
	struct entry *e = w->entry;
	struct disk_file *file = NULL;
	bool left;

	lock(e);
	w->pos = pos;
	if (e->phase == ENTRY_FILLING) {
		left = is_left_behind(e, w);
		w->in_file |= left;
		if (left)
			file = e->watchers->file;
		if (!e->stored || e->watchers->filler_waits)
			tell_filler(e->watchers);
	}
	unlock(e);
	return file;
}

bool entry_into_memory(struct entry *e, struct entry_watch *w, uint64_t pos, struct body_at *out)
{
	bool there;

	lock(e);
	there = e->body.first && pos >= e->body.start && pos < body_length(&e->body);
	if (there)
		body_seek(&e->body, out, pos);
	if (there && w && w->entry) {
		w->pos = pos;
		w->in_file = false;
	}
	unlock(e);
	return there;
}

void entry_watch_stop(struct entry_watch *w)
{
	struct entry *e = w->entry;
	struct watchset *set = w->set;
	bool empty;

	if (!e)
		return;
	CHECK(e, ENTRY_MAGIC);
	lock(e);
	TAILQ_REMOVE(&set->watches, w, link);
	e->watchers->n--;
	empty = TAILQ_EMPTY(&set->watches) && set->listed;
	if (empty) {
		LIST_REMOVE(set, link);
		set->listed = false;
	}
	if (e->watchers->n == 0 || (e->phase == ENTRY_FILLING && (!e->stored || e->watchers->filler_waits)))
		tell_filler(e->watchers);
	drop_watchers(e);
	unlock(e);
	w->entry = NULL;
	w->set = NULL;
	if (empty)
		set_unref(set);
}

/* Callbacks may stop any watch, or start new ones. So each is moved to the end of the list before it is called, and the walk ends
 * at the first one that has been told in this round. */
static void walk(struct watchset *set)
{
	struct entry *e = set->entry;
	unsigned round;

	lock(e);
	set->posted = false;
	round = ++set->round;
	unlock(e);
	for (;;) {
		struct entry_watch *w;

		lock(e);
		w = TAILQ_FIRST(&set->watches);
		if (w && w->round != round) {
			w->round = round;
			TAILQ_REMOVE(&set->watches, w, link);
			TAILQ_INSERT_TAIL(&set->watches, w, link);
		} else {
			w = NULL;
		}
		unlock(e);
		if (!w)
			return;
		w->on_change(w->cookie);
	}
}

static void on_posted(void *arg)
{
	struct watchset *set = arg;

	walk(set);
	set_unref(set);
}

/* Under the lock. */
static void wake(struct watchers *all, struct loop *self)
{
	struct watchset *set;

	LIST_FOREACH(set, &all->sets, link)
	{
		if (set->posted)
			continue;
		set->posted = true;
		set->refs++;
		if (set->loop == self)
			loop_defer(self, &set->job, on_posted, set);
		else
			loop_post(set->loop, on_posted, set);
	}
}

/* ---- the flight ---- */

void entry_set_filler(struct entry *e, const struct entry_filler *f)
{
	struct watchers *all;

	lock(e);
	all = watchers_of(e);
	all->filler = *f;
	all->has_filler = true;
	unlock(e);
}

void entry_set_head(struct entry *e, struct head *head, const struct entry_terms *t)
{
	lock(e);
	CHECK_THAT(e->phase == ENTRY_NEW && !e->head);
	e->head = head;
	e->stored = t->stored;
	e->guarded = t->guarded;
	e->shared = t->shared;
	e->joinable = t->joinable;
	e->variant = t->variant;
	e->phase = ENTRY_FILLING;
	unlock(e);
}

void entry_swap_head(struct entry *e, struct head *head)
{
	struct head *old;

	lock(e);
	old = e->head;
	e->head = head;
	unlock(e);
	head_unref(&old);
}

void entry_set_order(struct entry *e, uint32_t order)
{
	lock(e);
	if (e->is_pending)
		e->order = order;
	unlock(e);
}

void entry_set_detail(struct entry *e, struct span text)
{
	char *detail = text.n ? span_dup(span_upto(text, ENTRY_DETAIL_BYTES)) : NULL;

	lock(e);
	free(watchers_of(e)->detail);
	e->watchers->detail = detail;
	unlock(e);
}

void entry_detail(struct entry *e, char out[ENTRY_DETAIL_BYTES + 1])
{
	struct buf b = buf_over(out, ENTRY_DETAIL_BYTES);

	lock(e);
	if (e->watchers && e->watchers->detail)
		buf_put_str(&b, e->watchers->detail);
	unlock(e);
	out[b.n] = '\0';
}

void entry_grown(struct entry *e, struct loop *self)
{
	lock(e);
	if (e->watchers)
		wake(e->watchers, self);
	unlock(e);
}

bool entry_end(struct entry *e, enum entry_outcome outcome, enum reason why, struct loop *self)
{
	bool told = false;

	lock(e);
	e->phase = outcome == ENTRY_FILLED ? ENTRY_COMPLETE : ENTRY_FAILED;
	e->outcome = outcome & 0xf;
	e->why = (uint8_t)why;
	if (e->watchers) {
		told = e->watchers->filler_told;
		e->watchers->has_filler = e->watchers->filler_waits = false;
		wake(e->watchers, self);
		drop_watchers(e);
	}
	unlock(e);
	return told;
}

void entry_unstore(struct entry *e)
{
	lock(e);
	e->stored = false;
	e->joinable = false;
	unlock(e);
}

void entry_set_file(struct entry *e, struct disk_file *file)
{
	lock(e);
	CHECK_THAT(!watchers_of(e)->file);
	e->watchers->file = disk_file_ref(file);
	unlock(e);
}

struct disk_file *entry_file_locked(const struct entry *e)
{
	return e->watchers ? e->watchers->file : NULL;
}

struct disk_file *entry_file(struct entry *e)
{
	struct disk_file *file;

	lock(e);
	file = entry_file_locked(e);
	unlock(e);
	return file;
}

/* Under the lock: the place of the one furthest behind who needs the window. Of what is not stored that is everybody: who reads in what there is
 * of a file will come to its end. */
static uint64_t slowest_of(const struct entry *e)
{
	uint64_t slowest = UINT64_MAX;
	const struct watchset *set;
	const struct entry_watch *w;

	if (!e->watchers)
		return slowest;
	LIST_FOREACH(set, &e->watchers->sets, link)
	TAILQ_FOREACH(w, &set->watches, link)
	if (w->pos < slowest && !(w->in_file && e->stored))
		slowest = w->pos;
	return slowest;
}

uint64_t entry_trim(struct entry *e, uint64_t pos)
{
	struct chunk *cut;
	uint64_t slowest, freed;

	lock(e);
	slowest = slowest_of(e);
	cut = body_cut(&e->body, pos < slowest ? pos : slowest, &freed);
	unlock(e);
	body_free_cut(cut);
	return freed;
}

void entry_await_room(struct entry *e, struct loop *self)
{
	lock(e);
	if (e->watchers) {
		e->watchers->filler_waits = true;
		wake(e->watchers, self);
	}
	unlock(e);
}

struct entry_readers entry_readers(struct entry *e, bool told)
{
	struct entry_readers r = {0};

	lock(e);
	r.slowest = slowest_of(e);
	if (e->watchers) {
		if (told)
			e->watchers->filler_told = e->watchers->filler_waits = false;
		r.n = e->watchers->n;
	}
	if (!e->stored && r.slowest > 0)
		e->begun_to_go = true;
	unlock(e);
	return r;
}
