/* stream_loan: a stream that is lent to somebody who will close it, and comes back.
 *
 * For a connection on which another protocol is spoken for a while: who borrows gets a stream like any other, with its own handler; when it
 * is closed there, however, the one below is open still, wants nothing, and is its lender's again. */
#ifndef NODE_NET_STREAM_LOAN_H
#define NODE_NET_STREAM_LOAN_H

#include "node/net/stream.h"

struct stream_lent;

/* Embedded in the lender. `stream` is the lender's own to set at first. */
struct stream_loan {
	struct stream *stream;    /* NULL while it is lent */
	struct stream_lent *lent; /* not NULL then */
};

/* A stream over loan->stream, which has to be there. */
struct stream *stream_lend(struct stream_loan *);
/* Closes the stream; one that is lent is closed by its borrower, and does not come back. Harmless when it is over. */
void stream_loan_end(struct stream_loan *, enum stream_end);

#endif
