/* scrub: reading all that is on the disk and checking its sums: when an operator asks for it, and in the background.
 *
 * What is damaged goes to quarantine (disk.h) and is counted. In the background one begins `interval` after the last whole one ended, which
 * a file in the state folder remembers by its date (or after the first start), at `rate`. One at a time. On the loop that made it; what may
 * wait for the disk is done by workers. */
#ifndef NODE_ADMIN_SCRUB_H
#define NODE_ADMIN_SCRUB_H

#include "node/base/log.h"
#include "node/base/metric.h"
#include "node/cache/disk.h"

struct scrub;

struct scrub_ground {
	struct loop *loop;
	struct disk *disk;
	struct work *work;
	struct log *log;
	struct metrics *metrics; /* of the loop */
	const char *path;        /* of the file that remembers; copied */
};

/* Reads the file's date: blocks on the disk for that. */
struct scrub *scrub_new(const struct scrub_ground *);
void scrub_free(struct scrub *); /* harmless on NULL; one that runs ends with the disk */

/* interval 0: only when it is asked for. rate: bytes a second; 0: as fast as it goes. Of one that runs the rate stays. */
void scrub_set(struct scrub *, dur_ms interval, uint64_t rate);

#define SCRUB_JSON_BYTES 512
/* start, start=BYTES (a second; 0: as fast as it goes), status, stop. Puts
 *
 *     {"state":"never|running|done|stopped","asked":true,"objects":12,"total":100,"bytes":4096,"damaged":0,"rate":8388608,
 *      "took_s":3,"next_s":604800}
 *
 * asked: by an operator, not in the background; next_s: until one begins in the background, null: none will. False with a
 * sentence in *why. */
bool scrub_order(struct scrub *, struct span how, struct buf *json, const char **why);

#endif
