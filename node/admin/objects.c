#include "node/admin/objects.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/cache/store_mem.h"
#include "node/record/mask.h"
#include "proto/url.h"

#define SLICE 256
#define REST 50 /* times as long as it has walked */
#define TYPE_BYTES 60
#define URL_TEXT_BYTES 4096

/* By what they are the first. */
enum order { LARGEST, HOTTEST, ORDERS };

struct object {
	struct key key;
	struct key_variant variant;
	struct head *head; /* one reference: of a head alone, the body may go */
	uint64_t by[ORDERS];
};

struct list {
	size_t n;
	struct object v[OBJECTS_LISTED]; /* the first first */
};

struct lists {
	struct list of[ORDERS];
	uint64_t objects;
};

/* Met in a slice, under the store's lock; looked at when that has been left. */
struct met {
	struct entry *entry;
	uint64_t by[ORDERS];
};

struct objects {
	unsigned magic;
	struct loop *loop;
	struct store *store;
	struct lists shown, made;
	wall_ms as_of;      /* of `shown`; 0: there was no walk yet */
	mono_us began, due; /* the walk under way; no other before */
	bool walking;
	size_t at;
	struct deferred job;
	size_t n_met;
	struct met met[SLICE];
};

#define OBJECTS_MAGIC 0x0b7ec750

static void lists_clear(struct lists *l)
{
	for (int o = 0; o < ORDERS; o++)
		for (size_t i = 0; i < l->of[o].n; i++)
			head_unref(&l->of[o].v[i].head);
	*l = (struct lists){0};
}

struct objects *objects_new(struct loop *loop, struct store *store)
{
	struct objects *x = NEW(struct objects);

	x->magic = OBJECTS_MAGIC;
	x->loop = loop;
	x->store = store;
	return x;
}

void objects_free(struct objects *x)
{
	if (!x)
		return;
	CHECK(x, OBJECTS_MAGIC);
	loop_defer_cancel(x->loop, &x->job);
	lists_clear(&x->shown);
	lists_clear(&x->made);
	x->magic = 0;
	free(x);
}

/* ---- the walk ---- */

static bool would_enter(const struct list *l, enum order o, uint64_t value)
{
	return value && (l->n < OBJECTS_LISTED || value > l->v[l->n - 1].by[o]);
}

static bool is_listed(const struct list *l, const struct object *what)
{
	for (size_t i = 0; i < l->n; i++)
		if (key_same(&l->v[i].key, &what->key) && key_variant_same(&l->v[i].variant, &what->variant))
			return true;
	return false;
}

static void enter(struct list *l, enum order o, const struct object *what)
{
	size_t i;

	if (!would_enter(l, o, what->by[o]) || is_listed(l, what)) /* who has moved in the line may be met twice */
		return;
	if (l->n == OBJECTS_LISTED)
		head_unref(&l->v[--l->n].head);
	for (i = l->n++; i > 0 && l->v[i - 1].by[o] < what->by[o]; i--)
		l->v[i] = l->v[i - 1];
	l->v[i] = *what;
	head_ref(what->head);
}

static void on_each(void *cookie, struct entry *e, uint64_t bytes, uint64_t hits)
{
	struct objects *x = cookie;
	struct met m = {.by = {[LARGEST] = bytes, [HOTTEST] = hits}};

	x->made.objects++;
	if (!would_enter(&x->made.of[LARGEST], LARGEST, bytes) && !would_enter(&x->made.of[HOTTEST], HOTTEST, hits))
		return;
	m.entry = entry_ref(e);
	x->met[x->n_met++] = m;
}

static void take(struct objects *x, struct met *m)
{
	struct object what = {.key = m->entry->key, .by = {[LARGEST] = m->by[LARGEST], [HOTTEST] = m->by[HOTTEST]}};
	struct entry_view view;

	entry_look(m->entry, &view);
	what.variant = view.variant;
	what.head = view.head;
	if (view.phase == ENTRY_COMPLETE && view.head)
		for (int o = 0; o < ORDERS; o++)
			enter(&x->made.of[o], (enum order)o, &what);
	if (view.head)
		head_unref(&view.head);
	entry_unref(&m->entry);
}

static void on_slice(void *arg)
{
	struct objects *x = arg;
	bool more;

	CHECK(x, OBJECTS_MAGIC);
	x->n_met = 0;
	more = store_mem_walk(x->store, &x->at, SLICE, on_each, x);
	for (size_t i = 0; i < x->n_met; i++)
		take(x, &x->met[i]);
	if (more) {
		loop_bulk(x->loop, &x->job, on_slice, x);
		return;
	}
	lists_clear(&x->shown);
	x->shown = x->made;
	x->made = (struct lists){0};
	x->as_of = loop_wall(x->loop);
	x->due = mono_after(loop_now(x->loop), OBJECTS_EVERY) + REST * (loop_now(x->loop) - x->began);
	x->walking = false;
}

static void begin_if_due(struct objects *x)
{
	if (x->walking || loop_now(x->loop) < x->due)
		return;
	x->walking = true;
	x->began = loop_now(x->loop);
	x->at = 0;
	loop_bulk(x->loop, &x->job, on_slice, x);
}

/* ---- what is shown ---- */

static struct span host_of(struct span store_id)
{
	struct span scheme, rest = store_id, none, host = SPAN_NONE;

	if (span_cut(&rest, '/', &scheme) && span_cut(&rest, '/', &none))
		span_cut(&rest, '/', &host);
	return span_upto(host, URL_MAX_HOST + 8);
}

static void put_url(struct buf *b, struct span store_id)
{
	char text[MASK_GROWTH * URL_TEXT_BYTES];
	struct buf url = buf_over(text, sizeof(text));

	mask_url(&url, span_upto(store_id, URL_TEXT_BYTES), false);
	json_put_string(b, span_upto(buf_span(&url), OBJECTS_URL_BYTES));
}

static void put_object(struct buf *b, const struct object *o, bool urls)
{
	struct span store_id = head_url(o->head), type = head_part(o->head, o->head->type);

	buf_put(b, SPAN("{\"host\":"));
	json_put_string(b, host_of(store_id));
	buf_put(b, SPAN(",\"url\":"));
	if (urls)
		put_url(b, store_id);
	else
		buf_put(b, SPAN("null"));
	buf_put(b, SPAN(",\"type\":"));
	json_put_string(b, span_upto(span_upto(type, span_find(type, ';')), TYPE_BYTES));
	buf_put(b, SPAN(",\"bytes\":"));
	buf_put_u64(b, o->by[LARGEST]);
	buf_put(b, SPAN(",\"hits\":"));
	buf_put_u64(b, o->by[HOTTEST]);
	buf_putc(b, '}');
}

static void put_list(struct buf *b, const char *name, const struct list *l, bool urls)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_putc(b, ',');
		put_object(b, &l->v[i], urls);
	}
	buf_putc(b, ']');
}

void objects_put(struct objects *x, struct buf *b, bool urls)
{
	CHECK(x, OBJECTS_MAGIC);
	begin_if_due(x);
	buf_printf(b, "{\"urls\":%s,\"as_of\":", urls ? "true" : "false");
	if (x->as_of)
		json_put_time(b, x->as_of);
	else
		buf_put(b, SPAN("null"));
	buf_put(b, SPAN(",\"objects\":"));
	buf_put_u64(b, x->shown.objects);
	put_list(b, "largest", &x->shown.of[LARGEST], urls);
	put_list(b, "hottest", &x->shown.of[HOTTEST], urls);
	buf_put(b, SPAN("}\n"));
}
