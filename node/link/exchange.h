/* exchange: one HTTP/1.1 request out, one response in, over a link.
 *
 * The response head is told by on_head; from then on the body is pulled: exchange_pull gives what is there, on_body says when
 * there is more after it gave nothing. Who does not pull makes the origin wait. A request body is given by exchange_send, and on_send
 * says when there is room again.
 *
 * Callbacks never come from inside a call, and each is the last thing that the exchange does in its turn, so it may be
 * cancelled in any of them. After on_failed nothing else comes. Each wait has its own deadline. */
#ifndef NODE_LINK_EXCHANGE_H
#define NODE_LINK_EXCHANGE_H

#include "node/link/link.h"
#include "proto/http1_parse.h"

struct exchange;

struct exchange_ask {
	struct span head; /* the whole request head as it goes on the wire; copied */
	enum http1_method method;
	enum http1_body body; /* LENGTH: exchange_send must give exactly `length` bytes; CHUNKED: as many as it likes */
	uint64_t length;
	size_t max_head_bytes;
	dur_ms first_byte_timeout, read_timeout, write_timeout;
};

struct exchange_on {
	/* An interim response (1xx but 101). Borrowed. May be NULL. */
	void (*informational)(void *cookie, const struct http1_response *);
	/* The final head. Borrowed during the call. */
	void (*head)(void *cookie, const struct http1_response *);
	void (*body)(void *cookie); /* pull again */
	void (*send)(void *cookie); /* send again */
	void (*failed)(void *cookie, enum reason why);
};

/* Takes the link. `on` must live as long as the exchange. */
struct exchange *exchange_start(struct link **, const struct exchange_ask *, const struct exchange_on *on,
				void *cookie);

#define EXCHANGE_END ((ssize_t)0)
/* After on_head: bytes of the body, decoded, into `to`; EXCHANGE_END when it is complete; STREAM_AGAIN: on_body will come;
 * STREAM_FAILED: exchange_why. */
ssize_t exchange_pull(struct exchange *, char *to, size_t room);
enum reason exchange_why(const struct exchange *);
/* The fields behind a chunked body, once exchange_pull gave EXCHANGE_END; valid until the exchange ends. NULL: none. */
const struct hdrs *exchange_trailers(const struct exchange *);

/* How much of the request body was taken: all, or 0 (then on_send will come). */
size_t exchange_send(struct exchange *, struct span);
/* The request body is complete. */
void exchange_send_end(struct exchange *);

/* In `informational`: the other side has said that it takes longer. The final head may take so long from now on. */
void exchange_wait_on(struct exchange *, dur_ms);

/* Not one byte of an answer has come (with a link used before: it had probably died while idle, and an idempotent request may be
 * sent once more). */
bool exchange_is_silent(const struct exchange *);
const struct link *exchange_link(const struct exchange *);

/* The link, for the next exchange, or NULL (closed) when it cannot carry one: not complete, "close", bytes left over, or the
 * request body was not sent to its end. Clears *x. */
struct link *exchange_finish(struct exchange **x);
/* After a 101, or a 2xx to CONNECT: the link's stream is the caller's now. Bytes that came behind the head are copied to `rest`
 * (at most `room`; *n of them). Clears *x. */
struct stream *exchange_detach(struct exchange **x, char *rest, size_t room, size_t *n);
/* Ends it where it stands: the link is closed, visibly cut for the origin. Clears *x; NULL inside is harmless. */
void exchange_cancel(struct exchange **x);

#endif
