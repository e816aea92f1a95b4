/* stream_plain: a stream that is a socket, and what it takes to end one well.
 *
 * What is pushed (stream_push) goes through the loop's one outbuf: up to 64 KiB of one stream are sent with one system call, at
 * the end of the handler at the latest or when another stream pushes. What the socket does not take is kept with the
 * stream. A clean close waits until that has gone, ends our side, and reads on for a short while until the peer ends its own:
 * closing at once with bytes unread would make the kernel reset the connection, and the peer could lose the end of an answer. */
#ifndef NODE_NET_STREAM_PLAIN_H
#define NODE_NET_STREAM_PLAIN_H

#include "node/net/stream.h"

/* Takes the fd (non-blocking, connected). `peer` is copied. */
struct stream *stream_plain_new(struct loop *, int fd, const struct addr *peer);

#endif
