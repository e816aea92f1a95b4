/* to_disk: a body that is too large for memory goes to the disk tier while it comes.
 *
 *     exchange ─> window in memory ─> readers who keep up
 *                       │
 *                       └──> disk_writer ─> file ─> readers who do not, and whoever comes later
 *
 * The window is as large as the disk is behind, and as readers are whom it is not worth sending to the file yet; at FILL_WINDOW_BYTES the fill
 * waits. When the disk refuses (no room, an error, too much to be written already) or has stood still for too long, the rest of the body
 * goes by unstored, through the window, to those who read it. On the flight's loop. */
#ifndef NODE_FETCH_TO_DISK_H
#define NODE_FETCH_TO_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "node/cache/disk_writer.h"
#include "node/net/loop.h"

struct flight;

/* Embedded in the flight; zeroed: the body does not go to the disk. */
struct to_disk {
	bool wanted;                /* it is to, once its first bytes have shown what it is */
	struct disk_writer *writer; /* NULL: not yet, or not any more */
	struct disk_file *file;     /* one reference; what the writer has written */
	struct body_at at;          /* given to the writer so far */
	bool ending, told_end;      /* all of it is here; the writer knows */
	struct timer patience;      /* with a disk that stands still */
	uint8_t digest[HEAD_DIGEST_BYTES];
};

/* Could a body of this length (UINT64_MAX: unknown) be kept there? */
bool to_disk_may(const struct flight *, uint64_t length);
/* From here on it goes there, too. False: the tier has no room for it now. */
bool to_disk_begin(struct flight *);
/* Gives the writer what has come. */
void to_disk_feed(struct flight *);
/* How much may come now; frees what nobody needs any more. 0: to_disk.c goes on with the fill when there is room. */
uint64_t to_disk_window(struct flight *);
/* All is there and good. Ends in fill_settled. */
void to_disk_end(struct flight *, const uint8_t digest[HEAD_DIGEST_BYTES]);
/* In silence. Harmless when nothing goes there. */
void to_disk_cancel(struct flight *);

#endif
