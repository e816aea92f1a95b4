/* file_entry: an entry over a file of the disk tier: whole, its body read from the file when it is sent (reader.h), published nowhere yet. */
#ifndef NODE_CACHE_FILE_ENTRY_H
#define NODE_CACHE_FILE_ENTRY_H

#include "node/cache/disk_file.h"
#include "node/cache/index.h"

/* Its head, for an entry that is to be filled. One reference. */
struct entry *file_entry_begin(struct index *, struct disk_file *);
/* Complete, with the file for its body. One reference. */
struct entry *file_entry(struct index *, struct disk_file *, struct loop *);

#endif
