/* The body of a request, from the client's buffer to the flight, at the origin's pace. */
#include "node/base/check.h"
#include "node/serve/request_internal.h"
#include "proto/http1_format.h"

#define UPLOAD_BUFFER_BYTES ((size_t)64 * 1024)
#define MAX_TRAILER_BYTES ((size_t)16 * 1024)
#define PIECES_A_TURN 64

enum piece { PIECE_READY, PIECE_NONE, PIECE_END, PIECE_BAD };

/* The next decoded piece of what is in the buffer. Framing between pieces is used up on the way. */
static enum piece next_piece(struct request *r, enum reason *why)
{
	struct upload *u = &r->upload;
	struct client *c = r->client;
	struct hdrs trailers;
	size_t used;

	if (!u->in_trailers && r->head->body == HTTP1_BODY_LENGTH) {
		if (u->left == 0)
			return PIECE_END;
		u->piece = span_upto(client_unread(c), (size_t)(u->left < SIZE_MAX ? u->left : SIZE_MAX));
		u->piece_raw = u->piece.n;
		return u->piece.n ? PIECE_READY : PIECE_NONE;
	}
	while (!u->in_trailers) {
		if (!client_unread(c).n)
			return PIECE_NONE;
		switch (chunked_decode(&u->chunked, client_unread(c), &used, &u->piece, why)) {
		case CHUNKED_BODY:
			u->piece_raw = used;
			return PIECE_READY;
		case CHUNKED_MORE:
			client_used(c, used);
			break;
		case CHUNKED_TRAILERS:
			client_used(c, used);
			u->in_trailers = true;
			break;
		case CHUNKED_BAD:
			return PIECE_BAD;
		}
	}
	switch (http1_parse_trailers(client_unread(c), &u->scanned, MAX_TRAILER_BYTES, &trailers, &used, why)) {
	case HTTP1_DONE:
		client_used(c, used);
		return PIECE_END;
	case HTTP1_BAD:
		return PIECE_BAD;
	case HTTP1_MORE:
		break;
	}
	return PIECE_NONE;
}

static void end_upload(struct request *r)
{
	r->upload.done = true;
	client_expect_within(r->client, 0);
	client_want(r->client, STREAM_READ);
	flight_send_end(r->flight);
}

/* The body is no good: the origin must not take it for a whole one, so the link is cut; the client is told. */
static void spoil(struct request *r, enum reason why)
{
	answer_error(r, why, SPAN_NONE);
}

static bool give(struct request *r)
{
	struct upload *u = &r->upload;

	if (flight_send(r->flight, u->piece) != u->piece.n)
		return false;
	u->taken += u->piece.n;
	if (r->head->body == HTTP1_BODY_LENGTH)
		u->left -= u->piece.n;
	metric_add(r->server->metrics, METRIC_BYTES_FROM_CLIENTS, u->piece.n);
	client_used(r->client, u->piece_raw);
	u->piece = SPAN_NONE;
	return true;
}

static bool over_limit(const struct request *r)
{
	uint64_t limit = r->policy->limits.request_body;

	return limit && r->upload.taken + r->upload.piece.n > limit;
}

static void read_on(struct request *r)
{
	client_expect_within(r->client, r->policy->limits.stall_timeout);
	client_want(r->client, STREAM_READ | (r->delivering ? STREAM_WRITE : 0));
}

static void on_turn(void *arg)
{
	upload_go_on(arg);
}

void upload_go_on(struct request *r)
{
	struct upload *u = &r->upload;
	enum reason why = REASON_BAD_CHUNK;

	if (!u->active || u->done)
		return;
	for (int i = 0; i < PIECES_A_TURN; i++) {
		if (!u->piece.n) {
			switch (next_piece(r, &why)) {
			case PIECE_READY:
				break;
			case PIECE_END:
				end_upload(r);
				return;
			case PIECE_BAD:
				spoil(r, why);
				return;
			case PIECE_NONE:
				switch (client_read_more(r->client, UPLOAD_BUFFER_BYTES)) {
				case CLIENT_READ_SOME:
					continue;
				case CLIENT_READ_NOTHING:
					read_on(r);
					return;
				case CLIENT_READ_END:
				case CLIENT_READ_FAILED:
					client_close(r->client, STREAM_CUT);
					return;
				}
			}
		}
		if (over_limit(r)) {
			spoil(r, REASON_BODY_TOO_LARGE);
			return;
		}
		if (!give(r)) { /* `send` will come; until then the client waits */
			client_expect_within(r->client, 0);
			client_want(r->client, r->delivering ? STREAM_WRITE : 0);
			return;
		}
	}
	/* Others want their turn. What is in the buffer already is not announced by the stream. */
	loop_defer(r->server->loop, &r->job, on_turn, r);
}

void upload_begin(struct request *r)
{
	r->upload.active =
		r->head->body == HTTP1_BODY_CHUNKED || (r->head->body == HTTP1_BODY_LENGTH && r->head->length > 0);
	r->upload.left = r->head->length;
}

/* ---- what the flight tells its owner ---- */

static void on_informational(void *cookie, const struct http1_response *interim)
{
	struct request *r = cookie;
	char text[4096];
	struct buf b = buf_over(text, sizeof(text));

	CHECK(r, REQUEST_MAGIC);
	if (r->head->minor == 0 || r->delivering) /* HTTP/1.0 knows no interim responses (RFC 9110 §15.2) */
		return;
	http1_format_status_line(&b, interim->status, interim->phrase);
	http1_format_fields(&b, &interim->fields, 1ull << HDR_CONTENT_LENGTH);
	http1_format_end(&b);
	if (b.full)
		return;
	stream_push(r->client->stream, buf_span(&b));
}

static void on_send(void *cookie)
{
	struct request *r = cookie;

	CHECK(r, REQUEST_MAGIC);
	upload_go_on(r);
}

static void on_switched(void *cookie, struct stream *s, struct span first)
{
	struct request *r = cookie;
	struct client *c = r->client;

	CHECK(r, REQUEST_MAGIC);
	r->status = 101;
	r->result = ACCESSLOG_TCP_TUNNEL;
	r->own_bytes = first.n;
	answer_log(r, false);
	client_begin_relay(c, s, first);
	request__free(r);
}

const struct flight_owner upload_owner = {.informational = on_informational, .send = on_send, .switched = on_switched};
