/* inquiry: questions of an operator that take a while: `explain`, which may ask siblings, the matrix, which asks every node, refresh,
 * lists of what is stored, and import, which is answered on the connection that brings it.
 *
 * Each answers its control_reply exactly once, also when the node stops before. On the first loop's thread. */
#ifndef NODE_INQUIRY_H
#define NODE_INQUIRY_H

#include "node/admin/control.h"
#include "node/admin/explain.h"
#include "node/admin/listing.h"
#include "node/cluster/cluster.h"
#include "node/fetch/refresh.h"

struct inquiries;

struct inquiries *inquiries_new(void);
/* Fails those that are not answered yet. Harmless on NULL. */
void inquiries_free(struct inquiries *);

void inquiry_explain(struct inquiries *, const struct explain_ground *, struct span url, struct control_reply *);
void inquiry_refresh(struct inquiries *, const struct refresh_ground *, struct span url, struct control_reply *);
/* Takes the stream. */
void inquiry_import(struct inquiries *, const struct refresh_ground *, struct span url, struct stream **);
void inquiry_list(struct inquiries *, const struct listing_ground *, enum purgerec_kind, struct span value,
		  struct control_reply *);
void inquiry_matrix(struct inquiries *, struct cluster *, struct control_reply *);

#endif
