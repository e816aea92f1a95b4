/* parent_children: the nodes that have come to this parent, for the member list that it gives out.
 *
 * An edge that asks for the list (peer_door.h, /.pmc/v1/members) is put on it under the name of its certificate and the address it came
 * from, with the port it names; it stays for 60 s after it was last heard. Configured members stay for good. The list survives a
 * restart (a file in the state folder), so that a cluster does not forget itself when its parent is upgraded.
 *
 *     # pmcache members 1 <hash>
 *     edge1 edge 192.0.2.11:8083
 *     parent1 parent 192.0.2.1:8083
 *
 * The hash (16 hex digits) is the same as long as the lines are. The order is that of names.
 *
 * Shared by all loops; a lock of its own. Edges read the same text (parent_children_parse) and keep the last one as a file, too. */
#ifndef PARENT_PARENT_CHILDREN_H
#define PARENT_PARENT_CHILDREN_H

#include "node/net/addr.h"
#include "node/tls/nodecert.h"

struct parent_children;

struct child {
	char name[NODECERT_NAME_BYTES + 1];
	enum node_role role;
	struct addr addr;
};

/* `path` NULL: not kept. Blocks on the disk. */
struct parent_children *parent_children_new(const char *path, wall_ms now);
void parent_children_free(struct parent_children *); /* harmless on NULL */
/* Those that are configured, this node itself among them: they never expire. Copied. One without a port is
 * not told. */
void parent_children_fixed(struct parent_children *, const struct child *, size_t n);
void parent_children_heard(struct parent_children *, const struct child *, wall_ms now);
/* The text; expired ones are left out. */
void parent_children_format(struct parent_children *, struct buf *, wall_ms now);
/* Writes the file (a new one, renamed over the old) when the list has changed since, and the disk allows. Blocks on the disk; one at
 * a time. */
void parent_children_save(struct parent_children *, wall_ms now);

#define PARENT_CHILDREN_MOST 4096
/* Room for a whole text. */
#define PARENT_CHILDREN_BYTES (PARENT_CHILDREN_MOST * 128)

/* Up to `most` of the text, in its order; lines that are not understood are left out; -1: it is no such text. */
long parent_children_parse(struct span text, struct child *, size_t most);

/* The text as a file. Read: owned by the caller; NULL: there is none. Written: whoever reads it finds the old text or the new one; false: the
 * disk does not allow it, and the old one stays. Both block on the disk. */
char *parent_children_read(const char *path, size_t *n);
bool parent_children_write(const char *path, struct span text);

#endif
