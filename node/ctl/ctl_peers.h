/* ctl_peers: how the other nodes are, as tables, from the JSON of admin/peersjson.h (ctl_json_is_good). */
#ifndef NODE_CTL_CTL_PEERS_H
#define NODE_CTL_CTL_PEERS_H

#include <stdio.h>

#include "node/base/span.h"

/* What one node knows: the peers, its parents and, of a parent, its fellows; a line of totals. False when it is no such object. */
bool ctl_peers_print(FILE *, struct span json, bool colour);
/* The same with more columns than fit into a hundred characters. */
bool ctl_peers_print_wide(FILE *, struct span json, bool colour);
/* The array of all nodes' objects: who asks (rows) whom (columns): hit ratio and loss, which is the keys that did not arrive of those
 * sent, from the counters of both. False when it is no such array. */
bool ctl_peers_print_matrix(FILE *, struct span json, bool colour);

#endif
