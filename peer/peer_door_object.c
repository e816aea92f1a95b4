/* One object to one visitor, straight from the entry's chunks or its file, also while it still comes.
 *
 *     asked ─> found? ─> place among the streams? ─> head known? ──> head ─> body ⇄ growth ─> end, digest
 *                                                       └ no: 102 each second
 *
 * What must not leave is never begun; what turns out so on the way is cut, which no reader takes for an end. */
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_search.h"
#include "peer/peer_door_internal.h"
#include "proto/chunked.h"
#include "proto/http1_format.h"
#include "proto/rendezvous.h"

#define SPANS_A_TURN 12
#define STALL_MS (20 * DUR_SECOND)
#define INTERIM_MS DUR_SECOND
#define MOST_INTERIM 30 /* who asks takes so many for a conversation, and not many more */
#define OWN_FIELDS_BYTES 512
#define RETRY_AFTER "Retry-After-Ms: 100\r\n"

static const struct span interim = SPAN("HTTP/1.1 102 Processing\r\n\r\n");

static struct loop *loop_of(const struct visitor *v)
{
	return v->door->settings.loop;
}

/* ---- the place among the streams ---- */

static struct peermsg_key short_key(const struct visitor *v)
{
	struct peermsg_key k;

	memcpy(k.b, v->object.asked.key.b, sizeof(k.b));
	return k;
}

static bool take_place(struct visitor *v)
{
	const struct peer_door_settings *s = &v->door->settings;
	struct peermsg_key k = short_key(v);

	if (!peer_streams_begin(s->streams, &k))
		return false;
	v->object.has_place = true;
	if (s->desk)
		peer_desk_serving(s->desk, v->node, true, 0);
	return true;
}

static void give_place_back(struct visitor *v)
{
	const struct peer_door_settings *s = &v->door->settings;
	struct peermsg_key k = short_key(v);

	v->object.has_place = false;
	peer_streams_end(s->streams, &k);
	if (s->desk)
		peer_desk_serving(s->desk, v->node, false, v->object.sent);
}

static void drop_text(struct door_object *o)
{
	if (o->text != o->line)
		free(o->text);
	o->text = NULL;
	o->text_at = o->text_n = 0;
}

void door__object_fini(struct visitor *v)
{
	struct door_object *o = &v->object;

	disk_search_end(&o->search);
	if (o->has_place)
		give_place_back(v);
	if (!o->entry)
		return;
	reader_end(&o->reader);
	entry_watch_stop(&o->watch);
	timer_fini(&o->again);
	drop_text(o);
	head_unref(&o->head);
	entry_unref(&o->entry);
}

/* ---- refusals ---- */

static void refuse(struct visitor *v, int status, enum peer_false why, const char *more)
{
	char extra[100];
	struct buf b = buf_over(extra, sizeof(extra));

	door__object_fini(v);
	buf_put_str(&b, "Pmc-Why: ");
	buf_put_str(&b, peer_false_word(why));
	buf_put_str(&b, "\r\n");
	buf_put_str(&b, more);
	door__answer(v, status, buf_span(&b), SPAN(""), SPAN(""));
}

static void refuse_gone(struct visitor *v)
{
	refuse(v, 404, PEER_FALSE_GONE, "");
}

/* ---- may it leave? ---- */

static bool is_for_good(const struct head *h)
{
	return h->status == 200 && h->terms.lifetime_s == FRESH_FOREVER_S;
}

/* Anonymous, immutable, kept; see entry_is_shareable. Once begun, it may have become too large to be kept: that is no matter. */
static bool may_begin(const struct entry_view *view)
{
	if (!view->stored || view->guarded || !view->head || !is_for_good(view->head))
		return false;
	return view->phase == ENTRY_COMPLETE || (view->phase == ENTRY_FILLING && view->shared);
}

/* Good for others once, perhaps, but not any more. */
static bool is_stale(const struct entry_view *view, mono_us now)
{
	const struct head *h = view->head;

	if (view->phase != ENTRY_COMPLETE || !view->stored || h->status != 200 || is_for_good(h))
		return false;
	return h->terms.no_cache || fresh_ttl_s(&h->terms, head_here(h, now)) <= 0;
}

/* The request's own variant, by the Vary of what is there. The request is still in `in`. */
static bool variant_fits(struct visitor *v, const struct entry_view *view)
{
	struct http1_request *r = &v->door->parsed;
	struct key_variant wanted;
	struct vary vary;
	size_t scanned = 0;
	enum reason why;

	CHECK_THAT(http1_parse_request(span_of(v->in, v->head_bytes), &scanned, sizeof(v->in), r, &why) == HTTP1_DONE);
	vary_parse(head_vary(view->head), &vary);
	key_variant(&wanted, &vary, &r->fields);
	return !vary.star && key_variant_same(&wanted, &view->variant);
}

/* ---- the head ---- */

static void put_number(struct buf *b, const char *name, uint64_t n)
{
	buf_put_str(b, name);
	buf_put_u64(b, n);
	buf_put_str(b, "\r\n");
}

static void put_digest(struct buf *b, const uint8_t *digest)
{
	buf_put_str(b, "Pmc-Digest: ");
	buf_put_hex(b, digest, HEAD_DIGEST_BYTES);
	buf_put_str(b, "\r\n");
}

static void put_own_fields(struct visitor *v, const struct entry_view *view, struct buf *b)
{
	struct door_object *o = &v->object;
	const struct head *h = view->head;
	const uint8_t *digest = o->complete ? head_digest(h) : NULL;
	int64_t age = fresh_age_s(&h->terms, head_here(h, loop_now(loop_of(v))));

	put_number(b, "Age: ", age > 0 ? (uint64_t)age : 0);
	if (o->complete)
		put_number(b, "Pmc-Length: ", body_length(&o->entry->body));
	else if (h->has_length)
		put_number(b, "Pmc-Length: ", h->length);
	put_number(b, "Pmc-From: ", o->asked.from);
	put_number(b, "Pmc-Order: ", o->complete ? 0 : view->order);
	if (digest)
		put_digest(b, digest);
	else if (!o->complete)
		buf_put_str(b, "Trailer: Pmc-Digest\r\n");
	o->told_digest = digest != NULL;
	buf_put_str(b, "Transfer-Encoding: chunked\r\n");
	if (!v->keep_alive || v->door->draining)
		buf_put_str(b, "Connection: close\r\n");
}

static void begin_body(struct visitor *v, const struct entry_view *view)
{
	struct door_object *o = &v->object;
	const struct head *h = view->head;
	size_t room = OWN_FIELDS_BYTES + h->n + h->phrase_n;
	struct buf b = buf_over(mem_alloc(room), room);

	o->head = head_ref(view->head);
	http1_format_status_line(&b, h->status, head_phrase(h));
	buf_put(&b, span_of(h->text, h->n));
	put_own_fields(v, view, &b);
	http1_format_end(&b);
	CHECK_THAT(!b.full);
	o->text = b.p;
	o->text_n = b.n;
}

/* The digest alone, of what is there whole. */
static void answer_attestation(struct visitor *v, const struct entry_view *view)
{
	const uint8_t *digest = view->phase == ENTRY_COMPLETE && may_begin(view) ? head_digest(view->head) : NULL;
	char extra[200];
	struct buf b = buf_over(extra, sizeof(extra));

	if (!digest || !span_eq(head_url(view->head), v->object.asked.store_id)) {
		refuse(v, 404, is_stale(view, loop_now(loop_of(v))) ? PEER_FALSE_STALE : PEER_FALSE_GONE, "");
		return;
	}
	put_digest(&b, digest);
	put_number(&b, "Pmc-Length: ", body_length(&v->object.entry->body));
	door__object_fini(v);
	door__answer(v, 200, buf_span(&b), SPAN(""), SPAN(""));
}

/* ---- the body ---- */

/* Opens a chunk of the coding over all that has been published; its size line goes with the bytes. */
static void open_frame(struct door_object *o)
{
	uint64_t ready;
	struct buf b;
	char line[CHUNKED_LINE_BYTES];

	if (o->text || o->frame_left || !reader_pass_to(&o->reader, o->asked.from))
		return;
	ready = body_length(&o->entry->body) - o->reader.at.pos;
	if (!ready)
		return;
	b = buf_over(o->line, sizeof(o->line));
	if (o->sent)
		buf_put_str(&b, "\r\n");
	buf_put(&b, span_of(line, chunked_line(line, ready)));
	o->text = o->line;
	o->text_n = b.n;
	o->frame_left = ready;
}

/* The end of the body; the digest as it is known now. False: the stream has failed. */
static bool push_end(struct visitor *v)
{
	struct door_object *o = &v->object;
	const uint8_t *digest = o->told_digest ? NULL : head_digest(o->head);
	char text[120];
	struct buf b = buf_over(text, sizeof(text));

	buf_put_str(&b, o->sent ? "\r\n0\r\n" : "0\r\n");
	if (digest)
		put_digest(&b, digest);
	buf_put_str(&b, "\r\n");
	return stream_push(v->stream, buf_span(&b));
}

static void took(struct door_object *o, size_t n)
{
	size_t of_text = o->text_n - o->text_at;

	if (of_text > n)
		of_text = n;
	o->text_at += of_text;
	if (o->text && o->text_at == o->text_n)
		drop_text(o);
	n -= of_text;
	reader_advance(&o->reader, n);
	o->frame_left -= n;
	o->sent += n;
}

enum step { STEP_WROTE, STEP_BLOCKED, STEP_FAILED, STEP_NOTHING, STEP_DISK };

static enum step write_once(struct visitor *v, size_t *bytes)
{
	struct door_object *o = &v->object;
	struct span s[SPANS_A_TURN];
	int n = 0, of_body = 0;
	ssize_t took_n;

	open_frame(o);
	if (o->text)
		s[n++] = span_of(o->text + o->text_at, o->text_n - o->text_at);
	if (o->frame_left)
		of_body = reader_spans(&o->reader, s + n, SPANS_A_TURN - n, o->frame_left);
	if (of_body < 0)
		return STEP_FAILED;
	n += of_body;
	if (n == 0)
		return reader_waits(&o->reader) ? STEP_DISK : STEP_NOTHING;
	took_n = stream_write(v->stream, s, n);
	if (took_n == STREAM_AGAIN)
		return STEP_BLOCKED;
	if (took_n == STREAM_FAILED)
		return STEP_FAILED;
	took(o, (size_t)took_n);
	*bytes += (size_t)took_n;
	return STEP_WROTE;
}

/* For something of our own: the visitor is not to blame. */
static void wait_quietly(struct visitor *v)
{
	timer_clear(&v->deadline);
	stream_want(v->stream, STREAM_READ); /* a reset shows itself to a reader only */
}

/* All that there is has been written: the end, or more is to come. */
static void at_the_end_of_what_is_there(struct visitor *v)
{
	struct door_object *o = &v->object;

	if (!o->complete) {
		wait_quietly(v);
		return;
	}
	if (o->reader.at.pos < o->asked.from || !push_end(v)) { /* it has become shorter than it was to be */
		door__end(v, STREAM_CUT);
		return;
	}
	door__object_fini(v);
	door__answered(v);
}

static void write_on(struct visitor *v)
{
	struct door_object *o = &v->object;
	enum step step;
	size_t bytes = 0;

	do
		step = write_once(v, &bytes);
	while (step == STEP_WROTE && bytes < STREAM_TURN_BYTES);
	if (step == STEP_FAILED) {
		door__end(v, STREAM_CUT);
		return;
	}
	reader_tell(&o->reader);
	if (step == STEP_NOTHING) {
		at_the_end_of_what_is_there(v);
		return;
	}
	if (step == STEP_DISK) {
		wait_quietly(v);
		return;
	}
	if (bytes || v->deadline.due == MONO_NEVER)
		timer_set_in(&v->deadline, STALL_MS);
	stream_want(v->stream, STREAM_WRITE); /* as a bulk job: others wait too */
}

/* ---- what has become of the entry ---- */

static void completed(struct visitor *v, const struct entry_view *view)
{
	struct door_object *o = &v->object;

	o->complete = true;
	entry_watch_stop(&o->watch);
	head_unref(&o->head);
	o->head = head_ref(view->head);
}

/* The body is on its way. False: it was cut. */
static bool look_again(struct visitor *v)
{
	struct door_object *o = &v->object;
	struct entry_view view;
	bool good;

	if (o->complete)
		return true;
	entry_look(o->entry, &view);
	good = view.phase == ENTRY_FILLING || view.phase == ENTRY_COMPLETE;
	if (view.phase == ENTRY_COMPLETE) {
		good = !view.guarded && is_for_good(view.head);
		if (good)
			completed(v, &view);
	}
	head_unref(&view.head);
	if (!good)
		door__end(v, STREAM_CUT);
	return good;
}

static bool send_interim(struct visitor *v)
{
	struct door_object *o = &v->object;

	if (o->interim == MOST_INTERIM || stream_blocked(v->stream))
		return true;
	o->interim++;
	timer_set_in(&o->again, INTERIM_MS);
	return stream_push(v->stream, interim);
}

static void await_head(struct visitor *v)
{
	struct door_object *o = &v->object;

	timer_clear(&v->deadline);
	stream_want(v->stream, STREAM_READ);
	if (o->interim == 0 && !send_interim(v))
		door__end(v, STREAM_CUT);
}

static void on_again(void *arg)
{
	struct visitor *v = arg;

	CHECK(v, VISITOR_MAGIC);
	if (!send_interim(v))
		door__end(v, STREAM_CUT);
}

static void on_disk_ready(void *cookie)
{
	struct visitor *v = cookie;

	CHECK(v, VISITOR_MAGIC);
	write_on(v);
}

/* The head is there: is it what was asked for, and may it leave? */
static void answer_with(struct visitor *v, const struct entry_view *view)
{
	struct door_object *o = &v->object;

	if (!may_begin(view)) {
		refuse(v, 404, is_stale(view, loop_now(loop_of(v))) ? PEER_FALSE_STALE : PEER_FALSE_GONE, "");
		return;
	}
	if (!span_eq(head_url(view->head), o->asked.store_id)) {
		refuse_gone(v);
		return;
	}
	if (!variant_fits(v, view)) {
		refuse(v, 412, PEER_FALSE_VARY, "");
		return;
	}
	o->complete = view->phase == ENTRY_COMPLETE;
	if (o->complete && o->asked.from > body_length(&o->entry->body)) {
		refuse_gone(v);
		return;
	}
	if (o->complete)
		entry_watch_stop(&o->watch);
	timer_clear(&o->again);
	reader_begin(&o->reader, &(struct reader_ask){
					 .entry = o->entry,
					 .file = view->file,
					 .watch = &o->watch,
					 .loop = loop_of(v),
					 .on_ready = on_disk_ready,
					 .cookie = v,
				 });
	begin_body(v, view);
	write_on(v);
}

/* So that no two nodes wait for each other (peer_ask.h): who reads along is further from the origin than we are; and while we do not know
 * our own place, only who ranks below us for this key, and has none either, may wait. */
static bool may_wait_here(const struct visitor *v, uint32_t order)
{
	const struct peer_link_request *asked = &v->object.asked;

	if (order)
		return !asked->order || order < asked->order;
	return !asked->order && rendezvous_outranks(asked->key.b, v->door->settings.self, v->node);
}

/* HEAD asks for the digest, which is known when all is there; GET can begin with the head. */
static bool is_to_be_awaited(const struct visitor *v, const struct entry_view *view)
{
	return view->phase == ENTRY_NEW || (v->head_only && view->phase == ENTRY_FILLING);
}

static void look(struct visitor *v)
{
	struct door_object *o = &v->object;
	struct entry_view view;

	entry_look(o->entry, &view);
	if (view.phase == ENTRY_FAILED || view.phase == ENTRY_MARK)
		refuse_gone(v);
	else if (!v->head_only && view.phase != ENTRY_COMPLETE && !may_wait_here(v, view.order))
		refuse(v, 409, PEER_FALSE_BUSY, "");
	else if (is_to_be_awaited(v, &view))
		await_head(v);
	else if (v->head_only)
		answer_attestation(v, &view);
	else
		answer_with(v, &view);
	head_unref(&view.head);
}

static void on_change(void *cookie)
{
	struct visitor *v = cookie;

	CHECK(v, VISITOR_MAGIC);
	if (!v->object.head)
		look(v);
	else if (look_again(v))
		write_on(v);
}

void door__object_go_on(struct visitor *v, unsigned events)
{
	if ((events & STREAM_READ) && !door__hear(v))
		return;
	if ((events & STREAM_WRITE) && v->object.head)
		write_on(v);
}

/* ---- the beginning ---- */

/* What is published for this request, else what it could wait for. *vary: something is there, for other requests. */
static struct entry *find(struct visitor *v, bool *vary)
{
	struct index *x = v->door->settings.index;
	struct index_ask ask = {.key = v->object.asked.key, .request = &v->door->parsed.fields};
	mono_us now = loop_now(loop_of(v));
	struct entry *e = index_lookup(x, &ask, now, vary);

	return e ? e : index_find_any(x, &ask, now);
}

static void begin(struct visitor *v, struct entry *e)
{
	struct door_object *o = &v->object;

	o->entry = e;
	timer_init(&o->again, loop_of(v), on_again, v);
	entry_watch_start(&o->watch, e, loop_of(v), 0, on_change,
			  v); /* before the look: nothing is missed in between */
	look(v);
}

static void refuse_absent(struct visitor *v)
{
	bool vary = v->object.other_variant;

	refuse(v, vary ? 412 : 404, vary ? PEER_FALSE_VARY : PEER_FALSE_GONE, "");
}

static void refuse_busy(struct visitor *v)
{
	refuse(v, 429, PEER_FALSE_BUSY, RETRY_AFTER);
}

void door__object_found(struct visitor *v, struct entry *e)
{
	CHECK(v, VISITOR_MAGIC);
	if (e)
		begin(v, e);
	else
		refuse_absent(v);
}

static void look_on_disk(struct visitor *v)
{
	struct entry *e;

	switch (door__disk_find(v, &e)) {
	case DOOR_FOUND:
		begin(v, e);
		return;
	case DOOR_NOT_FOUND:
		refuse_absent(v);
		return;
	case DOOR_SEARCHING:
		wait_quietly(v);
		return;
	case DOOR_BUSY:
		refuse_busy(v);
	}
}

void door__object(struct visitor *v, const struct peer_link_request *asked)
{
	struct door_object *o = &v->object;
	struct entry *e;

	*o = (struct door_object){.asked = *asked};
	v->visit = VISIT_OBJECT;
	e = find(v, &o->other_variant);
	if (!e && !door__disk_has(v)) {
		refuse_absent(v);
	} else if (!v->head_only && !take_place(v)) {
		entry_unref(&e);
		refuse_busy(v);
	} else if (e) {
		begin(v, e);
	} else {
		look_on_disk(v);
	}
}
