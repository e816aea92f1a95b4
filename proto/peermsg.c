#include "proto/peermsg_internal.h"

/* ---- envelope and tag ---- */

enum peermsg_parse peermsg_envelope(struct span datagram, struct peermsg_envelope *out)
{
	const uint8_t *p = (const uint8_t *)datagram.p, *tag;

	*out = (struct peermsg_envelope){0};
	if (datagram.n < PEERMSG_MIN_BYTES || datagram.n > PEERMSG_MAX_BYTES)
		return PEERMSG_BAD;
	tag = p + datagram.n - TAG_ELEMENT_BYTES;
	if (p[0] != HEAD_ARRAY9 || p[AT_VERSION] > 0x7f || p[AT_TYPE] > 0x7f || p[AT_KID] != HEAD_U8 ||
	    p[AT_SRC] != HEAD_U32 || p[AT_DST] != HEAD_U32 || p[AT_BOOT] != HEAD_U64 || p[AT_SEQ] != HEAD_U64 ||
	    tag[0] != HEAD_BIN8 || tag[1] != PEERMSG_TAG_BYTES)
		return PEERMSG_BAD;
	out->version = p[AT_VERSION];
	out->type = p[AT_TYPE];
	out->kid = p[AT_KID + 1];
	out->src = (uint32_t)big_endian(p + AT_SRC + 1, 4);
	out->dst = (uint32_t)big_endian(p + AT_DST + 1, 4);
	out->boot = big_endian(p + AT_BOOT + 1, 8);
	out->seq = big_endian(p + AT_SEQ + 1, 8);
	return PEERMSG_OK;
}

void peermsg__make_tag(struct span covered, const uint8_t secret[PEERMSG_SECRET_BYTES], uint8_t out[SHA256_BYTES])
{
	hmac_sha256(secret, PEERMSG_SECRET_BYTES, covered, out);
}

bool peermsg_tag_fits(struct span datagram, const uint8_t secret[PEERMSG_SECRET_BYTES])
{
	uint8_t tag[SHA256_BYTES];
	size_t covered;

	if (datagram.n < PEERMSG_MIN_BYTES || datagram.n > PEERMSG_MAX_BYTES)
		return false;
	covered = datagram.n - PEERMSG_TAG_BYTES;
	peermsg__make_tag(span_upto(datagram, covered), secret, tag);
	return hash_same(tag, datagram.p + covered, PEERMSG_TAG_BYTES);
}

/* ---- the fields of each message: one table for both directions ---- */

#define BODY(member) offsetof(struct peermsg, member)

static const struct peermsg_field hello_fields[] = {
	{1, HOW_U64, BODY(hello.nonce)},        {2, HOW_OPTION16, BODY(hello.has_echo)},
	{3, HOW_PAIR, BODY(hello.version_min)}, {4, HOW_U8, BODY(hello.role)},
	{5, HOW_U64, BODY(hello.caps)},         {6, HOW_U16, BODY(hello.tcp_port)},
	{7, HOW_NAME, BODY(hello.name)},        {8, HOW_U64, BODY(hello.members_hash)},
	{9, HOW_U16, BODY(hello.max_dgram)},    {10, HOW_U16, BODY(hello.zone)},
};
/* Lists of records come last, so that what does not fit can be left out. */
static const struct peermsg_field query_fields[] = {
	{1, HOW_U64, BODY(query.qid)},
	{3, HOW_U16, BODY(query.budget_ms)},
	{5, HOW_U8, BODY(query.hop)},
	{2, HOW_RECORDS, BODY(query.n)},
};
static const struct peermsg_field reply_fields[] = {
	{1, HOW_U64, BODY(reply.qid)},          {3, HOW_U8, BODY(reply.load)},   {4, HOW_U32, BODY(reply.took_us)},
	{6, HOW_U64, BODY(reply.purge_serial)}, {2, HOW_RECORDS, BODY(reply.n)},
};
static const struct peermsg_field hint_fields[] = {
	{1, HOW_U32, BODY(hint.generation)},
	{2, HOW_RECORDS, BODY(hint.n)},
};
static const struct peermsg_field ping_fields[] = {
	{1, HOW_U64, BODY(ping.nonce)},   {2, HOW_U64, BODY(ping.t_us)},          {3, HOW_U8, BODY(ping.load)},
	{4, HOW_U32, BODY(ping.objects)}, {6, HOW_U8, BODY(ping.state)},          {8, HOW_U64, BODY(ping.members_hash)},
	{10, HOW_U8, BODY(ping.mode)},    {11, HOW_U64, BODY(ping.purge_serial)},
};
static const struct peermsg_field invalidate_fields[] = {
	{1, HOW_U64, BODY(invalidate.qid)},
	{2, HOW_U64, BODY(invalidate.serial)},
	{3, HOW_PURGE, BODY(invalidate)},
};
static const struct peermsg_field invalidated_fields[] = {
	{1, HOW_U64, BODY(invalidated.qid)},
	{2, HOW_U64, BODY(invalidated.serial)},
	{3, HOW_U32, BODY(invalidated.removed)},
};
static const struct peermsg_field bye_fields[] = {
	{1, HOW_U8, BODY(bye.reason)},
	{2, HOW_U16, BODY(bye.back_in_s)},
};
static const struct peermsg_field err_fields[] = {
	{1, HOW_U64, BODY(err.qid)},
	{2, HOW_U8, BODY(err.code)},
	{3, HOW_OPTION16, BODY(err.has_challenge)},
};

_Static_assert(offsetof(struct peermsg_hello, echo) == offsetof(struct peermsg_hello, has_echo) + 1 &&
		       offsetof(struct peermsg_err, challenge) == offsetof(struct peermsg_err, has_challenge) + 1 &&
		       offsetof(struct peermsg_query_rec, variant) ==
			       offsetof(struct peermsg_query_rec, has_variant) + 1 &&
		       offsetof(struct peermsg_hello, version_max) == offsetof(struct peermsg_hello, version_min) + 1,
	       "OPTION16, VARIANT and PAIR find their second part behind the first");

static const struct peermsg_field query_rec[] = {
	{0, HOW_BYTES16, QUERY(key)},  {0, HOW_U8, QUERY(flags)},         {0, HOW_VARIANT, QUERY(has_variant)},
	{0, HOW_TAIL32, QUERY(order)}, {0, HOW_TAIL32, QUERY(not_there)},
};
static const struct peermsg_field source_fields[] = {
	{0, HOW_U32, SOURCE(node)},
	{0, HOW_U8, SOURCE(load)},
	{0, HOW_U64, SOURCE(have)},
	{0, HOW_U32, SOURCE(order)},
};

/* Of a reply, behind index and status. */
static const struct peermsg_field hit_rec[] = {
	{0, HOW_U64, REPLY(size)},
	{0, HOW_BYTES8, REPLY(digest)},
	{0, HOW_I32, REPLY(ttl_s)},
	{0, HOW_U32, REPLY(age_s)},
};
static const struct peermsg_field pending_rec[] = {
	{0, HOW_U64, REPLY(size)}, {0, HOW_U64, REPLY(have)}, {0, HOW_U32, REPLY(order)}};
static const struct peermsg_field denied_rec[] = {{0, HOW_U8, REPLY(reason)}};
static const struct peermsg_field busy_rec[] = {{0, HOW_U16, REPLY(wait_ms)}, {0, HOW_TAIL32, REPLY(order)}};
static const struct peermsg_field vary_rec[] = {{0, HOW_VARY, REPLY(vary)}};
static const struct peermsg_field located_rec[] = {{0, HOW_U64, REPLY(size)}, {0, HOW_SOURCES, 0}};
static const struct peermsg_field grant_rec[] = {{0, HOW_U16, REPLY(wait_ms)}, {0, HOW_U32, REPLY(order)}};
static const struct peermsg_field intended_rec[] = {{0, HOW_U32, REPLY(node)}, {0, HOW_TAIL32, REPLY(order)}};

static const struct peermsg_fields reply_recs[PEERMSG_STATUSES] = {
	[PEERMSG_HIT] = FIELDS(hit_rec),           [PEERMSG_PENDING] = FIELDS(pending_rec),
	[PEERMSG_DENIED] = FIELDS(denied_rec),     [PEERMSG_STALE] = FIELDS(hit_rec),
	[PEERMSG_BUSY] = FIELDS(busy_rec),         [PEERMSG_VARY] = FIELDS(vary_rec),
	[PEERMSG_LOCATED] = FIELDS(located_rec),   [PEERMSG_GRANT] = FIELDS(grant_rec),
	[PEERMSG_INTENDED] = FIELDS(intended_rec),
};

/* Of a hint, behind the operation. */
static const struct peermsg_field whole_rec[] = {{0, HOW_BYTES16, HINT(key)}, {0, HOW_U64, HINT(bytes)}};
static const struct peermsg_field key_rec[] = {{0, HOW_BYTES16, HINT(key)}};
static const struct peermsg_field progress_rec[] = {
	{0, HOW_BYTES16, HINT(key)}, {0, HOW_U64, HINT(bytes)}, {0, HOW_U32, HINT(order)}};
static const struct peermsg_field not_there_rec[] = {{0, HOW_BYTES16, HINT(key)}, {0, HOW_U32, HINT(node)}};

static const struct peermsg_fields hint_recs[PEERMSG_HOLDING + 1] = {
	[PEERMSG_STORED] = FIELDS(whole_rec),        [PEERMSG_EVICTED] = FIELDS(key_rec),
	[PEERMSG_PROGRESS] = FIELDS(progress_rec),   [PEERMSG_FAILED] = FIELDS(key_rec),
	[PEERMSG_NOT_THERE] = FIELDS(not_there_rec), [PEERMSG_HOLDING] = FIELDS(whole_rec),
};

#define WHOLE(member) sizeof(((struct peermsg *)NULL)->member)

static const struct peermsg_kind kinds[] = {
	[PEERMSG_HELLO] = {FIELDS(hello_fields), WHOLE(hello), false},
	[PEERMSG_QUERY] = {FIELDS(query_fields), offsetof(struct peermsg_query, v), true},
	[PEERMSG_HINT] = {FIELDS(hint_fields), offsetof(struct peermsg_hint, v), false},
	[PEERMSG_PING] = {FIELDS(ping_fields), WHOLE(ping), false},
	[PEERMSG_INVALIDATE] = {FIELDS(invalidate_fields), offsetof(struct peermsg_invalidate, record), true},
	[PEERMSG_BYE] = {FIELDS(bye_fields), WHOLE(bye), false},
	[PEERMSG_ERR] = {FIELDS(err_fields), WHOLE(err), true},
	[PEERMSG_HELLO_BACK] = {FIELDS(hello_fields), WHOLE(hello), false},
	[PEERMSG_REPLY] = {FIELDS(reply_fields), offsetof(struct peermsg_reply, v), true},
	[PEERMSG_PONG] = {FIELDS(ping_fields), WHOLE(ping), false},
	[PEERMSG_INVALIDATED] = {FIELDS(invalidated_fields), WHOLE(invalidated), true},
};

const struct peermsg_kind *peermsg__kind(uint8_t type)
{
	return type < sizeof(kinds) / sizeof(kinds[0]) && kinds[type].fields.n ? &kinds[type] : NULL;
}

const struct peermsg_fields *peermsg__query_rec(void)
{
	static const struct peermsg_fields fields = FIELDS(query_rec);

	return &fields;
}

const struct peermsg_fields *peermsg__reply_rec(uint8_t status)
{
	return &reply_recs[status];
}

const struct peermsg_fields *peermsg__hint_rec(uint8_t op)
{
	return &hint_recs[op];
}

const struct peermsg_fields *peermsg__source(void)
{
	static const struct peermsg_fields fields = FIELDS(source_fields);

	return &fields;
}

const char *peermsg_status_word(enum peermsg_status s)
{
	static const char *const words[PEERMSG_STATUSES] = {"MISS", "HIT",  "PENDING", "NOFETCH", "DENIED",  "STALE",
							    "BUSY", "VARY", "LOCATED", "GRANT",   "INTENDED"};

	return (unsigned)s < PEERMSG_STATUSES ? words[s] : "MISS";
}
