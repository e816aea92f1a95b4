/* Datagrams, the tag stripped (it is not looked at): the envelope, the walker, the whole. What is understood can be written, and reads
 * the same again; what msgpack-c sees has passed the walker. */
#include "proto/peermsg.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { BODY_AT = 33, TAG_BYTES = 18 };

static const uint8_t secret[PEERMSG_SECRET_BYTES] = {1};

static void check_numbers(const struct peermsg *m)
{
	switch (m->env.type) {
	case PEERMSG_HELLO:
	case PEERMSG_HELLO_BACK:
		CHECK_THAT(strnlen(m->hello.name, sizeof(m->hello.name)) <= PEERMSG_NAME_BYTES);
		break;
	case PEERMSG_QUERY:
		CHECK_THAT(m->query.n <= PEERMSG_RECORDS);
		break;
	case PEERMSG_REPLY:
		CHECK_THAT(m->reply.n <= PEERMSG_RECORDS);
		for (unsigned i = 0; i < m->reply.n; i++)
			CHECK_THAT(m->reply.v[i].status < PEERMSG_STATUSES && m->reply.v[i].index < PEERMSG_RECORDS &&
				   m->reply.v[i].n_sources <= PEERMSG_SOURCES &&
				   strnlen(m->reply.v[i].vary, sizeof(m->reply.v[i].vary)) <= PEERMSG_VARY_BYTES);
		break;
	case PEERMSG_HINT:
		CHECK_THAT(m->hint.n <= PEERMSG_RECORDS);
		for (unsigned i = 0; i < m->hint.n; i++)
			CHECK_THAT(m->hint.v[i].op >= PEERMSG_STORED && m->hint.v[i].op <= PEERMSG_HOLDING);
		break;
	case PEERMSG_INVALIDATE:
		CHECK_THAT(m->invalidate.n <= PEERMSG_PURGE_BYTES);
		break;
	default:
		break;
	}
}

static bool same_envelope(const struct peermsg_envelope *a, const struct peermsg_envelope *b)
{
	return a->version == b->version && a->type == b->type && a->kid == b->kid && a->src == b->src &&
	       a->dst == b->dst && a->boot == b->boot && a->seq == b->seq;
}

/* Written, read and written again it is the same. */
static void check_round_trip(const struct peermsg *m)
{
	char first[PEERMSG_MAX_BYTES], second[PEERMSG_MAX_BYTES];
	struct buf a = buf_over(first, sizeof(first)), b = buf_over(second, sizeof(second));
	struct peermsg *back = malloc(sizeof(*back));

	CHECK_THAT(back);
	if (peermsg_format(&a, m, secret) > 0) {
		CHECK_THAT(peermsg_tag_fits(buf_span(&a), secret));
		CHECK_THAT(peermsg_parse(buf_span(&a), back) == PEERMSG_OK);
		CHECK_THAT(same_envelope(&back->env, &m->env));
		CHECK_THAT(peermsg_format(&b, back, secret) > 0);
		CHECK_THAT(span_eq(buf_span(&a), buf_span(&b)));
	}
	free(back);
}

static void check_cut(struct span whole)
{
	char mem[PEERMSG_MAX_BYTES];
	struct buf b = buf_over(mem, whole.n);
	struct peermsg *m = malloc(sizeof(*m));

	CHECK_THAT(m);
	if (peermsg_parse(whole, m) == PEERMSG_OK)
		CHECK_THAT(peermsg_format(&b, m, secret) == 0 || b.n <= whole.n);
	free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct peermsg_envelope e;
	struct peermsg *m = malloc(sizeof(*m));
	enum peermsg_parse verdict;

	CHECK_THAT(m);
	memset(m, 0xa5, sizeof(*m));
	peermsg_walk(in);
	verdict = peermsg_parse(in, m);
	if (peermsg_envelope(in, &e) == PEERMSG_BAD)
		CHECK_THAT(verdict == PEERMSG_BAD && !peermsg_tag_fits(in, secret));
	if (verdict == PEERMSG_OK || verdict == PEERMSG_CRITICAL)
		CHECK_THAT(peermsg_walk(span_of(in.p + BODY_AT, in.n - BODY_AT - TAG_BYTES)));
	if (verdict == PEERMSG_OK) {
		check_numbers(m);
		check_round_trip(m);
		check_cut(in);
	}
	free(m);
	free((char *)in.p);
	return 0;
}
