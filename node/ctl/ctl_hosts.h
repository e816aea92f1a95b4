/* ctl_hosts: the origin hosts that are asked for most, as a table, from "hosts" of the JSON of admin/statsjson.h (ctl_json_is_good). */
#ifndef NODE_CTL_CTL_HOSTS_H
#define NODE_CTL_CTL_HOSTS_H

#include <stdio.h>

#include "node/base/span.h"

#define CTL_HOSTS_SHOWN 5

/* now, before: of the same process, so many seconds apart; SPAN_NONE with 0 s: there is no earlier one, and nothing is said per second. Those
 * with the most requests in that time come first, then those with the most in all. Prints nothing when nobody has asked for anything. */
void ctl_hosts_print(FILE *, struct span now, struct span before, double seconds, bool colour);

#endif
