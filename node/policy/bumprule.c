#include "node/policy/bumprule.h"

#include "node/policy/access.h"

enum bumprule_verdict bumprule_decide(const struct policy_bump *p, struct span host)
{
	if (access_host_listed(&p->splice, host))
		return BUMPRULE_SPLICE;
	if (p->only.n == 0 || access_host_listed(&p->only, host))
		return BUMPRULE_BUMP;
	return p->refuse_others ? BUMPRULE_REFUSE : BUMPRULE_SPLICE;
}
