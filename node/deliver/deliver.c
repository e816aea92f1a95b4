#include "node/deliver/deliver.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "proto/chunked.h"
#include "proto/http1_format.h"
#include "proto/range.h"
#include "proto/validator.h"

#define SPANS_A_TURN 12
#define FRAME_BYTES ((uint64_t)64 * 1024)

/* ---- what is to be sent ---- */

static struct entity entity_of(const struct head *h)
{
	struct entity e = {.last_modified = h->last_modified, .date = h->date};

	if (h->etag.n)
		validator_etag(head_part(h, h->etag), &e.etag);
	return e;
}

/* An answer to HEAD that was passed on is complete without a body: only its head tells a length. */
static bool has_whole_body(const struct deliver *d, const struct deliver_ask *ask)
{
	return d->complete && (ask->stored || ask->request->method != METHOD_HEAD);
}

static bool length_known(const struct deliver *d, const struct deliver_ask *ask)
{
	return d->head->has_length || has_whole_body(d, ask);
}

static uint64_t whole_length(const struct deliver *d, const struct deliver_ask *ask)
{
	return has_whole_body(d, ask) ? body_length(&d->entry->body) : d->head->length;
}

/* Range (RFC 9110 §14.2): only of a 200 to GET whose length is known and whose bytes are all to be had. */
static void apply_range(struct deliver *d, const struct deliver_ask *ask, const struct entity *entity,
			struct buf *content_range)
{
	struct range range;
	uint64_t start, n;

	if (ask->request->method != METHOD_GET || !ask->stored || !length_known(d, ask))
		return;
	range_parse(hdr_value(&ask->request->fields, HDR_RANGE), &range);
	if (range.kind == RANGE_WHOLE || !validator_range_applies(&ask->request->fields, entity, ask->now))
		return;
	if (range_resolve(&range, whole_length(d, ask), &start, &n) == RANGE_UNSATISFIABLE) {
		d->status = 416;
		d->has_body = false;
		range_format_unsatisfied(content_range, whole_length(d, ask));
		return;
	}
	d->status = 206;
	d->start = start;
	d->left = n;
	range_format_content(content_range, start, n, whole_length(d, ask));
}

static void apply_conditions(struct deliver *d, const struct deliver_ask *ask, struct buf *content_range)
{
	struct entity entity;

	if (!ask->conditions || d->head->status != 200)
		return;
	entity = entity_of(d->head);
	if (validator_is_conditional(&ask->request->fields)) {
		switch (validator_check(&ask->request->fields, ask->request->method, &entity, ask->now)) {
		case PRECOND_NOT_MODIFIED:
			d->status = 304;
			d->has_body = false;
			return;
		case PRECOND_FAILED:
			d->status = 412;
			d->has_body = false;
			return;
		case PRECOND_OK:
			break;
		}
	}
	if (hdr_has(&ask->request->fields, HDR_RANGE))
		apply_range(d, ask, &entity, content_range);
}

static bool status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* ---- the head ---- */

static void put_length(struct buf *b, uint64_t n)
{
	buf_put_str(b, "Content-Length: ");
	buf_put_u64(b, n);
	buf_put_str(b, "\r\n");
}

static void put_framing(struct deliver *d, const struct deliver_ask *ask, struct buf *b)
{
	if (!status_has_body(d->status))
		return;
	if (!d->has_body) {
		put_length(b, 0);
	} else if (d->left != UINT64_MAX) {
		put_length(b, d->left);
	} else if (ask->request->method == METHOD_HEAD) {
		return;
	} else if (ask->request->minor >= 1) {
		d->chunked = true;
		buf_put_str(b, "Transfer-Encoding: chunked\r\n");
	} else {
		d->close_after = true; /* HTTP/1.0: the end of the connection is the end of the body */
	}
}

static void put_head(struct deliver *d, const struct deliver_ask *ask, struct span content_range, struct buf *b)
{
	bool same = d->status == d->head->status;

	http1_format_status_line(b, d->status, same ? head_phrase(d->head) : SPAN(""));
	buf_put(b, span_of(d->head->text, d->head->n));
	if (content_range.n)
		http1_format_field(b, SPAN("Content-Range"), content_range);
	buf_put(b, ask->extra);
	put_framing(d, ask, b);
	if (!ask->keep_alive || d->close_after) {
		d->close_after = true;
		buf_put_str(b, "Connection: close\r\n");
	} else if (ask->request->minor == 0) {
		buf_put_str(b, "Connection: keep-alive\r\n");
	}
	http1_format_end(b);
}

void deliver_begin(struct deliver *d, const struct deliver_ask *ask, char *room)
{
	char range_text[80];
	struct buf content_range = buf_over(range_text, sizeof(range_text)), b = buf_over(room, DELIVER_ROOM_BYTES);

	*d = (struct deliver){
		.entry = entry_ref(ask->entry),
		.head = head_ref(ask->head),
		.stream = ask->stream,
		.status = ask->head->status,
		.complete = ask->complete,
		.has_body = status_has_body(ask->head->status),
		.left = UINT64_MAX,
	};
	reader_begin(&d->reader, &(struct reader_ask){
					 .entry = ask->entry,
					 .file = ask->file,
					 .watch = ask->watch,
					 .loop = ask->stream->loop,
					 .on_ready = ask->on_ready,
					 .cookie = ask->cookie,
				 });
	if (length_known(d, ask))
		d->left = whole_length(d, ask);
	apply_conditions(d, ask, &content_range);
	put_head(d, ask, buf_span(&content_range), &b);
	CHECK_THAT(!b.full);
	if (ask->request->method == METHOD_HEAD)
		d->has_body = false;
	if (!d->has_body)
		d->left = 0;
	d->head_text = room;
	d->in_room = true;
	d->head_n = b.n;
}

/* ---- writing ---- */

/* The spans of body that may go now, behind the first `used` ones; how many in all. -1: it is damaged. */
static int add_body(struct deliver *d, struct span *v, int used)
{
	uint64_t most = d->left;
	int n;

	if (d->chunked)
		most = d->frame_left;
	if (!most)
		return used;
	n = reader_spans(&d->reader, v + used, SPANS_A_TURN - used, most);
	return n < 0 ? -1 : used + n;
}

static void took(struct deliver *d, size_t n)
{
	size_t of_head = d->head_n - d->head_at;

	d->sent += n;
	if (of_head > n)
		of_head = n;
	d->head_at += of_head;
	n -= of_head;
	if (!n)
		return;
	reader_advance(&d->reader, n);
	d->body_sent += n;
	if (d->left != UINT64_MAX)
		d->left -= n;
	if (d->chunked)
		d->frame_left -= n;
}

static bool push(struct deliver *d, struct span s)
{
	d->sent += s.n;
	return stream_push(d->stream, s);
}

/* Opens the next chunk of the coding over what has been published so far. */
static void open_frame(struct deliver *d)
{
	uint64_t ready = body_length(&d->entry->body) - d->reader.at.pos;
	char line[CHUNKED_LINE_BYTES];

	if (ready > FRAME_BYTES)
		ready = FRAME_BYTES;
	if (!ready)
		return;
	push(d, span_of(line, chunked_line(line, ready)));
	d->frame_left = ready;
}

static bool body_is_out(const struct deliver *d)
{
	if (d->left == UINT64_MAX)
		return d->complete && d->reader.at.pos == body_length(&d->entry->body);
	return d->left == 0;
}

/* One write. *wrote: something was taken. */
static enum deliver_step write_once(struct deliver *d, bool *wrote)
{
	struct span v[SPANS_A_TURN];
	size_t offered = 0;
	int n = 0;
	ssize_t took_n;

	*wrote = false;
	if (d->head_at < d->head_n)
		v[n++] = span_of(d->head_text + d->head_at, d->head_n - d->head_at);
	/* The head of a chunked body goes alone: the size line must stand between. */
	if (d->has_body && reader_pass_to(&d->reader, d->start) && !(d->chunked && n))
		n = add_body(d, v, n);
	if (n < 0)
		return DELIVER_DAMAGED;
	if (reader_waits(&d->reader) && !d->sent) /* perhaps there is nothing good behind this head */
		return DELIVER_DISK;
	for (int i = 0; i < n; i++)
		offered += v[i].n;
	if (!offered)
		return reader_waits(&d->reader) ? DELIVER_DISK : DELIVER_GROWTH;
	took_n = stream_write(d->stream, v, n);
	if (took_n == STREAM_AGAIN)
		return DELIVER_WRITE;
	if (took_n == STREAM_FAILED)
		return DELIVER_FAILED;
	took(d, (size_t)took_n);
	*wrote = true;
	return DELIVER_DONE;
}

/* The room that the head was built in belongs to the caller: what has not gone is taken along. */
static void keep_head(struct deliver *d)
{
	size_t left = d->head_n - d->head_at;
	char *copy = left ? mem_alloc(left) : NULL;

	if (left)
		memcpy(copy, d->head_text + d->head_at, left);
	d->head_text = copy;
	d->head_at = 0;
	d->head_n = left;
	d->in_room = false;
}

static enum deliver_step go(struct deliver *d)
{
	uint64_t before = d->sent;

	for (;;) {
		enum deliver_step step;
		bool wrote;

		if (d->chunked && d->head_at == d->head_n && !d->frame_left && reader_pass_to(&d->reader, d->start)) {
			if (stream_blocked(d->stream))
				return DELIVER_WRITE;
			open_frame(d);
		}
		if (d->head_at == d->head_n && (!d->has_body || body_is_out(d))) {
			if (d->chunked && !push(d, SPAN("0\r\n\r\n")))
				return DELIVER_FAILED;
			return DELIVER_DONE;
		}
		step = write_once(d, &wrote);
		if (!wrote)
			return step;
		if (d->chunked && d->head_at == d->head_n && d->body_sent && !d->frame_left && !push(d, SPAN("\r\n")))
			return DELIVER_FAILED;
		if (d->head_at == d->head_n && (!d->has_body || (!d->chunked && body_is_out(d))))
			return DELIVER_DONE;
		if (d->sent - before >= STREAM_TURN_BYTES)
			return DELIVER_WRITE; /* enough for one turn: others wait too */
	}
}

enum deliver_step deliver_go(struct deliver *d)
{
	enum deliver_step step = go(d);

	if (d->in_room)
		keep_head(d);
	return step;
}

void deliver_tell(struct deliver *d)
{
	reader_tell(&d->reader);
}

void deliver_completed(struct deliver *d)
{
	d->complete = true;
}

void deliver_end(struct deliver *d)
{
	if (!d->in_room)
		free(d->head_text);
	d->head_text = NULL;
	reader_end(&d->reader);
	head_unref(&d->head);
	entry_unref(&d->entry);
}
