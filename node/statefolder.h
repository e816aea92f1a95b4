/* statefolder: what a node keeps between two lives: its folder, its lock, its salt. */
#ifndef NODE_STATEFOLDER_H
#define NODE_STATEFOLDER_H

#include <stddef.h>
#include <stdint.h>

/* Makes the folder and those above it (0755: the CA certificate is for everybody; what is secret has 0600 of its own), and locks it, so that two processes never share one. The lock's fd (kept open while
 * the process lives), or -1 with a sentence in why. */
int statefolder_open(const char *path, char *why, size_t why_bytes);

#endif
