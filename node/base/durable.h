/* durable: files that outlive the power.
 *
 * A file is written beside its place, synced, and renamed; then the folder is synced, or the name may be gone again. All of it blocks on
 * the disk. */
#ifndef NODE_BASE_DURABLE_H
#define NODE_BASE_DURABLE_H

#include "node/base/span.h"

/* All of it, however many calls that takes. False with errno. */
bool durable_write(int fd, struct span);
/* The folder that this file is in. False with errno. */
bool durable_sync_folder(const char *path);

#endif
