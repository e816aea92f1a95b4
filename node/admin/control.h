/* control: the Unix socket of pmcachectl, through which alone anything may be changed from outside.
 *
 * In the state folder, mode 0600: who may open it may do as the node's user. One request per connection, as control_words.h
 * has it. Lives on one loop. */
#ifndef NODE_ADMIN_CONTROL_H
#define NODE_ADMIN_CONTROL_H

#include "node/base/span.h"
#include "node/net/loop.h"
#include "node/net/stream.h"
#include "proto/purgerec.h"

struct control;

/* Somebody who waits for an answer. Given to an action, which answers exactly once, at once or later, on the same loop: also when it is
 * itself ended before it has found out, and also after the control is closed. Who asked may have left by then, which is told nobody; an
 * answer that has not come after CONTROL_PATIENCE is not waited for. */
struct control_reply;

#define CONTROL_PATIENCE (60 * DUR_SECOND)
#define CONTROL_MOST_BYTES ((size_t)32 * 1024 * 1024) /* of an answer */

/* Text goes as it is (JSON, say), with a line's end if it has none. More than CONTROL_MOST_BYTES is answered with an error. */
void control_answer(struct control_reply *, struct span text);
/* "error WHY"; a connection on which pieces were given is cut instead. */
void control_fail(struct control_reply *, const char *why);

/* An answer in pieces, which may be as large as it likes: each gets CONTROL_PATIENCE anew. control_answer ends it with the last one, which may be
 * empty. After LATER the same bytes are to be given again, a little later: what was taken before is not read yet. */
enum control_piece {
	CONTROL_PIECE_TAKEN,
	CONTROL_PIECE_LATER,
	CONTROL_PIECE_LEFT, /* there is nobody any more; control_answer or control_fail is still to come */
};

enum control_piece control_piece(struct control_reply *, struct span);

/* What the commands do; called on the loop's thread. An action that is NULL is answered with an error. */
struct control_actions {
	void (*stats)(void *cookie, struct buf *json);
	/* Into LEDGER_MAX. False: that time is still to come. */
	bool (*since)(void *cookie, wall_ms, struct buf *json);
	void (*objects)(void *cookie, struct buf *json); /* OBJECTS_JSON_MAX, URLs and all */
	/* Here, or on all nodes of the cluster. `value` is as the operator has said it, empty for PURGEREC_ALL. How many went here, or -1 with
	 * a sentence in why. */
	long (*purge)(void *cookie, enum purgerec_kind, struct span value, bool whole_cluster, const char **why);
	/* The deny-list as JSON; the caller frees the text. */
	struct span (*denied)(void *cookie);
	/* Into RECENT_MAX. */
	void (*recent)(void *cookie, struct buf *json);
	/* Into PEERSJSON_MOST. False: this node is in no cluster. */
	bool (*peers)(void *cookie, struct buf *json);
	void (*matrix)(void *cookie, struct control_reply *);
	/* `how`: on, off, config (as the configuration says) or show. What holds then, as JSON; false: none of these words. */
	bool (*offline)(void *cookie, struct span how, struct buf *json);
	void (*explain)(void *cookie, struct span url, struct control_reply *);
	void (*upgrade)(void *cookie, struct control_reply *);
	void (*reload)(void *cookie, struct control_reply *);
	void (*rotate)(void *cookie, struct control_reply *);
	/* JSON into SCRUB_JSON_BYTES. False with a sentence in *why. */
	bool (*scrub)(void *cookie, struct span how, struct buf *json, const char **why);
	void (*refresh)(void *cookie, struct span url, struct control_reply *);
	void (*list)(void *cookie, enum purgerec_kind, struct span value, struct control_reply *);
	/* Takes the stream, and all that is said on it from here on. */
	void (*import)(void *cookie, struct span url, struct stream **);
};

/* Makes the socket; one that a dead process left behind is replaced. NULL with a sentence in err. */
struct control *control_open(struct loop *, const char *path, const struct control_actions *, void *cookie, char *err,
			     size_t err_cap);
/* Removes the socket. Clears *c. */
void control_close(struct control **c);

#endif
