#include "node/fetch/flight.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/fetch/flight_internal.h"
#include "proto/http1_keep.h"

/* ---- life ---- */

static void flight_free(struct flight *f)
{
	CHECK_THAT(!f->dial && !f->exchange && !f->disk.file);
	if (f->sibling.pause.loop)
		timer_fini(&f->sibling.pause);
	loop_defer_cancel(f->fetcher->loop, &f->job);
	timer_fini(&f->mood_timer);
	timer_fini(&f->parent.pause);
	timer_fini(&f->late);
	entry_unref(&f->stale);
	head_unref(&f->stale_head);
	head_unref(&f->parked);
	entry_unref(&f->entry);
	integrity_fini(&f->integrity);
	policy_unref(&f->policy);
	arena_free(&f->arena);
	f->magic = 0;
	free(f);
}

/* The owner holds a pointer until flight_leave, a post about readers may be on its way, and workers may be reading for it. */
void flight__free_if_done(struct flight *f)
{
	if (f->ended && !f->owner && !f->post_pending && !f->disk_jobs)
		flight_free(f);
}

static void on_readers(void *arg)
{
	struct flight *f = arg;

	CHECK(f, FLIGHT_MAGIC);
	if (f->ended || f->settling) {
		f->post_pending = false;
		flight__free_if_done(f);
		return;
	}
	fill_readers_changed(f);
}

static void on_start(void *arg)
{
	struct flight *f = arg;

	CHECK(f, FLIGHT_MAGIC);
	route_begin(f);
}

struct flight *flight_start(const struct fetcher *fetcher, const struct flight_ask *ask)
{
	struct flight *f = NEW(struct flight);

	f->magic = FLIGHT_MAGIC;
	LIST_INSERT_HEAD(fetcher->flights, f, entry_of_all);
	f->fetcher = fetcher;
	upstream_init(f);
	via_parent_init(f);
	hedge_init(f);
	f->policy = policy_ref(ask->policy);
	f->request = http1_keep_request(&f->arena, ask->request);
	f->url = ask->url;
	http1_keep_url(&f->arena, &f->url);
	f->store_id = arena_copy(&f->arena, ask->store_id);
	f->dial_host = arena_copy(&f->arena, ask->dial_host.n ? ask->dial_host : ask->url.host);
	f->client = arena_copy(&f->arena, ask->client);
	f->path = ask->path;
	f->facts = ask->facts;
	f->who = ask->who;
	f->store = ask->store;
	f->whole = ask->whole;
	f->from_child = ask->from_child;
	f->here_only = ask->here_only;
	f->spare = ask->spare;
	f->recheck = ask->recheck;
	f->brought = ask->brought;
	f->afresh = ask->afresh;
	f->owner = ask->owner;
	f->cookie = ask->cookie;
	f->key = ask->key;
	f->entry = ask->entry;
	if (ask->stale) {
		struct entry_view view;

		entry_look(ask->stale, &view);
		f->stale_head = view.head;
		if (f->stale_head)
			f->stale = entry_ref(ask->stale);
	}
	entry_set_filler(f->entry, &(struct entry_filler){.loop = fetcher->loop, .on_readers = on_readers, .arg = f});
	loop_defer(fetcher->loop, &f->job, on_start, f);
	return f;
}

void flight__end(struct flight *f, enum entry_outcome outcome, enum reason why)
{
	const struct fetcher *c = f->fetcher;

	CHECK_THAT(!f->ended);
	if (f->settling) { /* the entry has had its end */
		fill_settled(f, false);
		return;
	}
	loop_defer_cancel(c->loop, &f->job);
	dial_cancel(&f->dial);
	exchange_cancel(&f->exchange);
	link_close(&f->brought, STREAM_CUT);
	to_disk_cancel(f);
	route_end(f, false);
	index_withdraw(c->index, f->entry);
	if (f->reserved) {
		c->store->ops->release(c->store, f->reserved);
		f->reserved = 0;
	}
	flight__close(f, entry_end(f->entry, outcome, why, c->loop));
}

void flight__close(struct flight *f, bool post_pending)
{
	f->ended = true;
	LIST_REMOVE(f, entry_of_all);
	f->post_pending = post_pending;
	flight__free_if_done(f);
}

void flight__failed(struct flight *f, enum reason why, const char *detail)
{
	metric_add(f->fetcher->metrics, METRIC_UPSTREAM_FAILURES, 1);
	log_line(f->fetcher->log, LOG_NOTICE, "upstream", "%.*s: %s%s%s", SPAN_ARG(f->url.host), reason_sentence(why),
		 detail && *detail ? ": " : "", detail && *detail ? detail : "");
	entry_set_detail(f->entry, detail ? span_str(detail) : SPAN_NONE);
	flight__end(f, ENTRY_BROKEN, why);
}

void flight_leave(struct flight **fp)
{
	struct flight *f = *fp;

	if (!f)
		return;
	CHECK(f, FLIGHT_MAGIC);
	*fp = NULL;
	f->owner = NULL;
	f->cookie = NULL;
	if (!f->ended && !f->upload_done && f->request->body != HTTP1_BODY_NONE) {
		/* Half a body must never look like a whole one: the link is cut (RFC 9112 §8). */
		flight__end(f, ENTRY_BROKEN, REASON_ABORTED);
		return;
	}
	flight__free_if_done(f);
}

size_t flight_send(struct flight *f, struct span bytes)
{
	CHECK(f, FLIGHT_MAGIC);
	if (f->ended)
		return bytes.n; /* nobody listens any more; the owner learns it from the entry */
	if (!f->exchange)
		return 0;
	f->upload_begun = true;
	return exchange_send(f->exchange, bytes);
}

void flight_send_end(struct flight *f)
{
	CHECK(f, FLIGHT_MAGIC);
	f->upload_done = true;
	if (!f->ended && f->exchange)
		exchange_send_end(f->exchange);
}

void flight_end_all(const struct fetcher *c)
{
	struct flight *f, *next;

	for (f = LIST_FIRST(c->flights); f; f = next) {
		next = LIST_NEXT(f, entry_of_all);
		flight__end(f, ENTRY_BROKEN, REASON_SHUTTING_DOWN);
	}
}

void flight__set_peer(struct flight *f, const char *name)
{
	struct buf b = buf_over(f->peer, sizeof(f->peer) - 1);

	buf_put(&b, span_upto(span_str(name), FLIGHT_PEER_BYTES));
	f->peer[b.n] = '\0';
}

void flight_tell(const struct flight *f, struct flight_told *out)
{
	*out = (struct flight_told){
		.way = f->way,
		.source = f->way == FLIGHT_PARENT ? f->up->source : PARENT_SAID_NOTHING,
		.growing = f->way == FLIGHT_SIBLING && f->sibling.growing,
	};
	memcpy(out->peer, f->peer, sizeof(out->peer));
}
