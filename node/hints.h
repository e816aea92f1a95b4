/* hints: what a person who has just started a node wants to read: where it listens, and what to paste. */
#ifndef NODE_HINTS_H
#define NODE_HINTS_H

struct conf;

/* On standard output. */
void hints_print(const struct conf *, unsigned loops);

#endif
