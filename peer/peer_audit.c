/* peer_audit: does the lookup miss what is there? A key that siblings were asked for in vain, and that a parent has just begun to send, is asked
 * once more of all members, whichever mode is in force, as an AUDIT that counts nowhere. Whoever has it whole now had it before: the
 * question, a hint or an answer was lost, came late, or the directory did not know it. A sibling that has stored it within these
 * milliseconds counts as well, so the ratio is a bound from above. */
#include "peer/peer_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define MOST_AT_A_TIME 16

struct peer_audit {
	struct peer_set *set;
	struct peer_pursuit *pursuit;
	LIST_ENTRY(peer_audit) link;
};

static void end(struct peer_audit *a, mono_us now)
{
	peer_ask_ended(&a->pursuit, false, 0, now);
	LIST_REMOVE(a, link);
	a->set->n_audits--;
	free(a);
}

static void on_answer(void *cookie, const struct peer_answer *answer)
{
	struct peer_audit *a = cookie;
	struct peer_set *set = a->set;
	bool found = false;

	for (unsigned i = 0; answer->verdict == PEER_SOURCES && i < answer->n; i++)
		found |= !answer->v[i].pending;
	set->audits.asked += answer->asked > 0;
	set->audits.found += found;
	end(a, 0);
}

void peer_set_audit(struct peer_set *set, const struct key *key, const struct key_variant *variant, mono_us now)
{
	struct peer_ask ask = {.key = *key, .variant = *variant, .audit = true, .everybody = true};
	struct peer_audit *a;

	CHECK(set, PEER_SET_MAGIC);
	if (set->n_audits == MOST_AT_A_TIME)
		return;
	a = NEW(struct peer_audit);
	a->set = set;
	LIST_INSERT_HEAD(&set->auditing, a, link);
	set->n_audits++;
	a->pursuit = peer_ask_start(set, &ask, on_answer, a, now);
}

struct peer_audits peer_set_audits(const struct peer_set *set)
{
	CHECK(set, PEER_SET_MAGIC);
	return set->audits;
}

void peer__audit_fini(struct peer_set *set)
{
	struct peer_audit *a, *next;

	for (a = LIST_FIRST(&set->auditing); a; a = next) {
		next = LIST_NEXT(a, link);
		end(a, 0);
	}
}
