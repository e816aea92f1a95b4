/* ctl_explain: what would become of a request, in words, from the daemon's JSON (ctl_json_is_good). */
#ifndef NODE_CTL_CTL_EXPLAIN_H
#define NODE_CTL_CTL_EXPLAIN_H

#include <stdio.h>

#include "node/base/span.h"

/* False when it is no such object. */
bool ctl_explain_print(FILE *, struct span json, bool colour);

#endif
