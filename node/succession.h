/* succession: another process takes the node's place (successor.h), as the main thread goes through it. */
#ifndef NODE_SUCCESSION_H
#define NODE_SUCCESSION_H

struct node;

enum succession {
	SUCCESSION_NONE,   /* this process goes on serving as if nothing had been */
	SUCCESSION_DONE,   /* the other one serves */
	SUCCESSION_FAILED, /* state is given away, but the other one does not serve */
};

/* Starts argv and hands over to it, waiting a minute for each step. Blocks; tells the service manager meanwhile that this process lives. After
 * DONE and FAILED the node is to be drained. */
enum succession succession_run(struct node *, char *const argv[]);

#endif
