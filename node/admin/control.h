/* control: the Unix socket of pmcachectl, through which alone anything may be changed from outside.
 *
 * In the state folder, mode 0600: who may open it may do as the node's user. One request per connection, as control_words.h
 * has it. Lives on one loop. */
#ifndef NODE_ADMIN_CONTROL_H
#define NODE_ADMIN_CONTROL_H

#include "node/base/span.h"
#include "node/net/loop.h"

struct control;

/* What the commands do; called on the loop's thread. */
struct control_actions {
	void (*stats)(void *cookie, struct buf *json);
	/* All variants of a URL; how many, or -1 with a sentence in why. */
	long (*purge)(void *cookie, struct span url, const char **why);
};

/* Makes the socket; one that a dead process left behind is replaced. NULL with a sentence in err. */
struct control *control_open(struct loop *, const char *path, const struct control_actions *, void *cookie, char *err,
			     size_t err_cap);
/* Removes the socket. Clears *c. */
void control_close(struct control **c);

#endif
