#include "peer/peer_score.h"

#include <stdlib.h>

#include "node/base/histogram.h"

#define WAIT_FLOOR_US 2000
#define WAIT_CAP_US 30000
#define WAIT_UNKNOWN_US 20000
#define LOSS_WEIGHT (1.0 / 32)

static const char *const false_words[PEER_FALSES] = {
#define X(id, word) [PEER_FALSE_##id] = word,
	PEER_FALSE_TABLE(X)
#undef X
};

static const char *const drop_words[PEER_DROPS] = {
#define X(id, word) [PEER_DROP_##id] = word,
	PEER_DROP_TABLE(X)
#undef X
};

const char *peer_false_word(enum peer_false f)
{
	return (unsigned)f < PEER_FALSES ? false_words[f] : "?";
}

const char *peer_drop_word(enum peer_drop d)
{
	return (unsigned)d < PEER_DROPS ? drop_words[d] : "?";
}

/* ---- the wait ---- */

void peer_score_rtt(struct peer_score *s, int64_t us)
{
	int64_t off;

	if (us < 1) /* a clock that stood still, or a peer that took off too much */
		us = 1;
	peer_histogram_add(&s->rtt, us);
	if (s->srtt_us == 0) {
		s->srtt_us = us;
		s->rttvar_us = us / 2;
		return;
	}
	off = llabs(s->srtt_us - us);
	s->rttvar_us += (off - s->rttvar_us) / 4;
	s->srtt_us += (us - s->srtt_us) / 8;
}

void peer_score_ttfb(struct peer_score *s, int64_t us)
{
	if (us < 1)
		us = 1;
	peer_histogram_add(&s->ttfb, us);
	s->ttfb_us = s->ttfb_us ? s->ttfb_us + (us - s->ttfb_us) / 8 : us;
}

int64_t peer_score_wait_us(const struct peer_score *s)
{
	int64_t wait = s->srtt_us + 4 * s->rttvar_us;

	if (s->srtt_us == 0)
		return WAIT_UNKNOWN_US;
	if (wait < WAIT_FLOOR_US)
		return WAIT_FLOOR_US;
	return wait < WAIT_CAP_US ? wait : WAIT_CAP_US;
}

void peer_score_answered(struct peer_score *s, enum peermsg_status status)
{
	if ((unsigned)status < PEERMSG_STATUSES)
		s->said[status]++;
	s->loss -= s->loss * LOSS_WEIGHT;
}

/* The variation takes the raise, so that it wears off with the next few answers; the round trip itself is only moved by round trips. What
 * is raised is the wait as it was, floor included: half of next to nothing would leave a fast peer at the floor for ever. */
void peer_score_timed_out(struct peer_score *s)
{
	int64_t wait = peer_score_wait_us(s) * 3 / 2;

	s->timeouts++;
	s->loss += (1 - s->loss) * LOSS_WEIGHT;
	if (wait > WAIT_CAP_US)
		wait = WAIT_CAP_US;
	if (s->srtt_us != 0 && wait > s->srtt_us + 4 * s->rttvar_us)
		s->rttvar_us = (wait - s->srtt_us + 3) / 4;
}

void peer_histogram_add(struct peer_histogram *h, int64_t us)
{
	h->v[histogram_bucket(us, PEER_SCORE_BUCKETS)]++;
}

int64_t peer_histogram_percentile(const struct peer_histogram *h, unsigned percent)
{
	return histogram_percentile(h->v, PEER_SCORE_BUCKETS, percent);
}
