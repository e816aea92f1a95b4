/* request: one request, step by step.
 *
 *     recv        what is asked for, by whom, in which form
 *     access      may it be
 *     classify    normal form, class, key
 *     lookup      what is stored, and is it good
 *     begin       else join a flight, or begin one
 *     progress    the head has come: for us? then deliver
 *     finish      log, counters, next request
 *
 * A hit runs through all of them in one call. A request that has to wait keeps a copy of its head. Belongs to its client's
 * loop. */
#ifndef NODE_SERVE_REQUEST_H
#define NODE_SERVE_REQUEST_H

#include "node/serve/client.h"

/* Answers the request in client->server->parsed, whose head has been used (client_used) but whose bytes are still in the buffer.
 * Ends, now or later, with client_answered or client_close. */
void request_begin(struct client *);
/* The client's stream is ready. */
void request_ready(struct request *, unsigned events);
/* The client is gone, or the server stops. Frees it. */
void request_abort(struct request *);
/* The client did not read, or send its body, in time. */
void request_timed_out(struct request *);

/* An answer of our own to something that is no valid request; the connection is closed. */
void request_refuse(struct client *, enum reason);
void request_refuse_with(struct client *, enum reason, struct span detail);
/* The same when no head could be parsed: `parsed` is not looked at. */
void request_refuse_unparsed(struct client *, enum reason);

#endif
