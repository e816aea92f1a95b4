/* classrule: the operator's own classes (cache.classes), asked before the built-in ones.
 *
 * The first rule whose host and path both fit decides. Globs: '*' any run of characters, '/' included and none too; '?'
 * exactly one. Matching takes at most pattern times text steps. Pure; any thread. */
#ifndef NODE_POLICY_CLASSRULE_H
#define NODE_POLICY_CLASSRULE_H

#include <stdbool.h>

#include "node/base/span.h"
#include "node/policy/policy.h"
#include "proto/pathclass.h"

/* Host without port (case does not count), path without query. NULL: no rule fits. Borrowed from the policy. */
const struct policy_class_rule *classrule_find(const struct policy_cache *, struct span host, struct span path);

/* Overrides the built-in class in *facts by the first rule that fits. */
void classrule_apply(const struct policy_cache *, struct span host, struct span path, struct path_facts *);

bool classrule_glob(struct span pattern, struct span text, bool fold_case);

#endif
