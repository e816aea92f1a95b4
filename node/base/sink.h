/* sink: lines to a file, and nobody waits for the disk.
 *
 * sink_put copies a line into memory under a lock held for that copy alone; a thread of the sink's own writes them out in
 * batches. When the file cannot keep up, lines beyond 4 MiB are dropped and counted, and a line saying how many is written
 * as soon as there is room. Any thread may call sink_put and sink_reopen. */
#ifndef NODE_BASE_SINK_H
#define NODE_BASE_SINK_H

#include <stdint.h>

#include "node/base/span.h"

struct sink;

/* Appends to the file at `path` (made with mode 0640); NULL = standard error. NULL with errno when it cannot be opened. */
struct sink *sink_open(const char *path);
/* To a descriptor that stays its owner's (standard output); borrowed until sink_close. Cannot be rotated or reopened. */
struct sink *sink_open_fd(int fd);
/* The line is copied; a '\n' is added. */
void sink_put(struct sink *, struct span line);
/* On the sink's thread, once: 0, or the errno of what could not be renamed or opened; lines go on to the file that is open then. */
typedef void sink_reopened_f(void *cookie, int error);
/* Writes out what is there, rotates (`keep` > 0: file -> file.0 -> file.1 … , at most keep old ones; 0: none, somebody else has
 * moved the file) and opens the path anew. Asynchronous; ordered with the lines put. The function may be NULL. */
void sink_reopen(struct sink *, unsigned keep, sink_reopened_f *, void *cookie);
/* Waits until all that was put is written. Not from a loop's thread while it serves. */
void sink_drain(struct sink *);
uint64_t sink_dropped(const struct sink *);
/* Drains, stops the thread, frees, clears *s. NULL inside is harmless. */
void sink_close(struct sink **s);

#endif
