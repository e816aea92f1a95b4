#include "proto/peermsg.h"

#include <msgpack.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "proto/chars.h"

/* Where the fixed-width fields of the envelope are, each with its msgpack head before it but version and type. */
enum {
	AT_VERSION = 1,
	AT_TYPE = 2,
	AT_KID = 3,
	AT_SRC = 5,
	AT_DST = 10,
	AT_BOOT = 15,
	AT_SEQ = 24,
	AT_BODY = 33,
};

enum { HEAD_ARRAY9 = 0x99, HEAD_BIN8 = 0xc4, HEAD_U8 = 0xcc, HEAD_U32 = 0xce, HEAD_U64 = 0xcf };

#define TAG_ELEMENT_BYTES (2 + PEERMSG_TAG_BYTES)
#define FIRST_CRITICAL_KEY 64
#define DEPTH 5 /* containers within each other: the body, a list, its record, and what a record may hold */
#define ZONE_CHUNK_BYTES 4096

/* ---- the walker ---- */

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* The first bytes of an element, taken apart. */
struct head {
	bool is_container, is_map, is_integer;
	uint64_t n; /* elements of a container (two per pair of a map), or bytes behind the head */
};

/* How an element goes on whose first byte is from c0 to df. */
struct form {
	enum { FORM_NONE, FORM_VALUE, FORM_INTEGER, FORM_BYTES, FORM_ARRAY, FORM_MAP } kind;
	uint8_t n; /* VALUE, INTEGER: bytes that follow; else so many bytes say how much follows */
};

/* By the lower 5 bits. Left out: c1, which is never used, and the ext types. */
static const struct form forms[32] = {
	[0x00] = {FORM_VALUE, 0},   [0x02] = {FORM_VALUE, 0},   [0x03] = {FORM_VALUE, 0},   /* nil, false, true */
	[0x04] = {FORM_BYTES, 1},   [0x05] = {FORM_BYTES, 2},   [0x06] = {FORM_BYTES, 4},   /* bin */
	[0x0a] = {FORM_VALUE, 4},   [0x0b] = {FORM_VALUE, 8},                               /* float */
	[0x0c] = {FORM_INTEGER, 1}, [0x0d] = {FORM_INTEGER, 2}, [0x0e] = {FORM_INTEGER, 4}, /* unsigned */
	[0x0f] = {FORM_INTEGER, 8}, [0x10] = {FORM_INTEGER, 1}, [0x11] = {FORM_INTEGER, 2}, /* signed from 10 */
	[0x12] = {FORM_INTEGER, 4}, [0x13] = {FORM_INTEGER, 8}, [0x19] = {FORM_BYTES, 1},   /* str from 19 */
	[0x1a] = {FORM_BYTES, 2},   [0x1b] = {FORM_BYTES, 4},   [0x1c] = {FORM_ARRAY, 2},
	[0x1d] = {FORM_ARRAY, 4},   [0x1e] = {FORM_MAP, 2},     [0x1f] = {FORM_MAP, 4},
};

/* Moves *at behind the head. False: cut off, or a form that we do not take. */
static bool read_head(const uint8_t *p, size_t n, size_t *at, struct head *out)
{
	uint8_t first = p[(*at)++];
	const struct form *f;

	*out = (struct head){0};
	if (first < 0x80 || first >= 0xe0) {
		out->is_integer = true;
	} else if (first < 0xa0) {
		out->is_container = true;
		out->is_map = first < 0x90;
		out->n = first & 0x0f;
	} else if (first < 0xc0) {
		out->n = first & 0x1f;
	} else {
		bool is_counted;

		f = &forms[first & 0x1f];
		is_counted = f->kind >= FORM_BYTES;
		if (f->kind == FORM_NONE || (is_counted && n - *at < f->n))
			return false;
		out->is_container = f->kind >= FORM_ARRAY;
		out->is_map = f->kind == FORM_MAP;
		out->is_integer = f->kind == FORM_INTEGER;
		out->n = is_counted ? big_endian(p + *at, f->n) : f->n;
		*at += is_counted ? f->n : 0;
	}
	if (out->is_map)
		out->n *= 2;
	return out->n <= n - *at; /* each element has a byte at least */
}

bool peermsg_walk(struct span body)
{
	return peermsg_walk_upto(body, PEERMSG_MAX_BYTES);
}

bool peermsg_walk_upto(struct span body, size_t most)
{
	const uint8_t *p = (const uint8_t *)body.p;
	struct {
		uint64_t left;
		bool is_map;
	} open[DEPTH + 1] = {{1, false}};
	unsigned depth = 0;
	size_t at = 0;

	if (body.n > most)
		return false;
	for (;;) {
		struct head h;
		bool is_key;

		while (open[depth].left == 0) {
			if (depth == 0)
				return at == body.n;
			depth--;
		}
		is_key = open[depth].is_map && open[depth].left % 2 == 0;
		open[depth].left--;
		if (at == body.n || !read_head(p, body.n, &at, &h) || (is_key && !h.is_integer))
			return false;
		if (!h.is_container) {
			at += h.n;
			continue;
		}
		if (depth == DEPTH)
			return false;
		depth++;
		open[depth].left = h.n;
		open[depth].is_map = h.is_map;
	}
}

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

/* The tag covers its own head too: all bytes before it. */
static void make_tag(struct span covered, const uint8_t secret[PEERMSG_SECRET_BYTES], uint8_t out[SHA256_BYTES])
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
	make_tag(span_upto(datagram, covered), secret, tag);
	return hash_same(tag, datagram.p + covered, PEERMSG_TAG_BYTES);
}

/* ---- the fields of each message: one table for both directions ---- */

enum how {
	U8,
	U16,
	U32,
	U64,
	I32,
	PAIR,     /* two uint8_t, as an array */
	BYTES8,   /* uint8_t[8] */
	BYTES16,  /* uint8_t[16] */
	OPTION16, /* bool, uint8_t[16]: sent when true */
	VARIANT,  /* in records: bool, uint8_t[16]; all zero means false */
	TAIL32,   /* in records: uint32_t; as VARIANT, left out at the end when it is zero */
	NAME,
	VARY,
	SOURCES,
	PURGE,
	RECORDS,
};

struct field {
	uint8_t key; /* in the body; not used in records, where the place tells */
	enum how how;
	size_t at; /* in the struct of the message or record */
};

struct fields {
	const struct field *v;
	size_t n;
};

#define FIELDS(table)                                                                                                  \
	{                                                                                                              \
		(table), sizeof(table) / sizeof((table)[0])                                                            \
	}
#define BODY(member) offsetof(struct peermsg, member)

static const struct field hello_fields[] = {
	{1, U64, BODY(hello.nonce)}, {2, OPTION16, BODY(hello.has_echo)}, {3, PAIR, BODY(hello.version_min)},
	{4, U8, BODY(hello.role)},   {5, U64, BODY(hello.caps)},          {6, U16, BODY(hello.tcp_port)},
	{7, NAME, BODY(hello.name)}, {8, U64, BODY(hello.members_hash)},  {9, U16, BODY(hello.max_dgram)},
	{10, U16, BODY(hello.zone)},
};
/* Lists of records come last, so that what does not fit can be left out. */
static const struct field query_fields[] = {
	{1, U64, BODY(query.qid)},
	{3, U16, BODY(query.budget_ms)},
	{5, U8, BODY(query.hop)},
	{2, RECORDS, BODY(query.n)},
};
static const struct field reply_fields[] = {
	{1, U64, BODY(reply.qid)},          {3, U8, BODY(reply.load)},   {4, U32, BODY(reply.took_us)},
	{6, U64, BODY(reply.purge_serial)}, {2, RECORDS, BODY(reply.n)},
};
static const struct field hint_fields[] = {
	{1, U32, BODY(hint.generation)},
	{2, RECORDS, BODY(hint.n)},
};
static const struct field ping_fields[] = {
	{1, U64, BODY(ping.nonce)},   {2, U64, BODY(ping.t_us)},          {3, U8, BODY(ping.load)},
	{4, U32, BODY(ping.objects)}, {6, U8, BODY(ping.state)},          {8, U64, BODY(ping.members_hash)},
	{10, U8, BODY(ping.mode)},    {11, U64, BODY(ping.purge_serial)},
};
static const struct field invalidate_fields[] = {
	{1, U64, BODY(invalidate.qid)},
	{2, U64, BODY(invalidate.serial)},
	{3, PURGE, BODY(invalidate)},
};
static const struct field invalidated_fields[] = {
	{1, U64, BODY(invalidated.qid)},
	{2, U64, BODY(invalidated.serial)},
	{3, U32, BODY(invalidated.removed)},
};
static const struct field bye_fields[] = {
	{1, U8, BODY(bye.reason)},
	{2, U16, BODY(bye.back_in_s)},
};
static const struct field err_fields[] = {
	{1, U64, BODY(err.qid)},
	{2, U8, BODY(err.code)},
	{3, OPTION16, BODY(err.has_challenge)},
};

_Static_assert(offsetof(struct peermsg_hello, echo) == offsetof(struct peermsg_hello, has_echo) + 1 &&
		       offsetof(struct peermsg_err, challenge) == offsetof(struct peermsg_err, has_challenge) + 1 &&
		       offsetof(struct peermsg_query_rec, variant) ==
			       offsetof(struct peermsg_query_rec, has_variant) + 1 &&
		       offsetof(struct peermsg_hello, version_max) == offsetof(struct peermsg_hello, version_min) + 1,
	       "OPTION16, VARIANT and PAIR find their second part behind the first");

#define QUERY(member) offsetof(struct peermsg_query_rec, member)
#define REPLY(member) offsetof(struct peermsg_reply_rec, member)
#define HINT(member) offsetof(struct peermsg_hint_rec, member)
#define SOURCE(member) offsetof(struct peermsg_source, member)

static const struct field query_rec[] = {
	{0, BYTES16, QUERY(key)},  {0, U8, QUERY(flags)},         {0, VARIANT, QUERY(has_variant)},
	{0, TAIL32, QUERY(order)}, {0, TAIL32, QUERY(not_there)},
};
static const struct field source_fields[] = {
	{0, U32, SOURCE(node)},
	{0, U8, SOURCE(load)},
	{0, U64, SOURCE(have)},
	{0, U32, SOURCE(order)},
};

/* Of a reply, behind index and status. */
static const struct field hit_rec[] = {
	{0, U64, REPLY(size)},
	{0, BYTES8, REPLY(digest)},
	{0, I32, REPLY(ttl_s)},
	{0, U32, REPLY(age_s)},
};
static const struct field pending_rec[] = {{0, U64, REPLY(size)}, {0, U64, REPLY(have)}, {0, U32, REPLY(order)}};
static const struct field denied_rec[] = {{0, U8, REPLY(reason)}};
static const struct field busy_rec[] = {{0, U16, REPLY(wait_ms)}, {0, TAIL32, REPLY(order)}};
static const struct field vary_rec[] = {{0, VARY, REPLY(vary)}};
static const struct field located_rec[] = {{0, U64, REPLY(size)}, {0, SOURCES, 0}};
static const struct field grant_rec[] = {{0, U16, REPLY(wait_ms)}, {0, U32, REPLY(order)}};
static const struct field intended_rec[] = {{0, U32, REPLY(node)}, {0, TAIL32, REPLY(order)}};

static const struct fields reply_recs[PEERMSG_STATUSES] = {
	[PEERMSG_HIT] = FIELDS(hit_rec),           [PEERMSG_PENDING] = FIELDS(pending_rec),
	[PEERMSG_DENIED] = FIELDS(denied_rec),     [PEERMSG_STALE] = FIELDS(hit_rec),
	[PEERMSG_BUSY] = FIELDS(busy_rec),         [PEERMSG_VARY] = FIELDS(vary_rec),
	[PEERMSG_LOCATED] = FIELDS(located_rec),   [PEERMSG_GRANT] = FIELDS(grant_rec),
	[PEERMSG_INTENDED] = FIELDS(intended_rec),
};

/* Of a hint, behind the operation. */
static const struct field whole_rec[] = {{0, BYTES16, HINT(key)}, {0, U64, HINT(bytes)}};
static const struct field key_rec[] = {{0, BYTES16, HINT(key)}};
static const struct field progress_rec[] = {{0, BYTES16, HINT(key)}, {0, U64, HINT(bytes)}, {0, U32, HINT(order)}};
static const struct field not_there_rec[] = {{0, BYTES16, HINT(key)}, {0, U32, HINT(node)}};

static const struct fields hint_recs[PEERMSG_HOLDING + 1] = {
	[PEERMSG_STORED] = FIELDS(whole_rec),        [PEERMSG_EVICTED] = FIELDS(key_rec),
	[PEERMSG_PROGRESS] = FIELDS(progress_rec),   [PEERMSG_FAILED] = FIELDS(key_rec),
	[PEERMSG_NOT_THERE] = FIELDS(not_there_rec), [PEERMSG_HOLDING] = FIELDS(whole_rec),
};

struct kind {
	struct fields fields;
	size_t cleared; /* bytes of the body to be zeroed: all but the room for records, each of which is when it comes */
	bool has_qid;   /* as key 1 */
};

#define WHOLE(member) sizeof(((struct peermsg *)NULL)->member)

static const struct kind kinds[] = {
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

static const struct kind *kind_of(uint8_t type)
{
	return type < sizeof(kinds) / sizeof(kinds[0]) && kinds[type].fields.n ? &kinds[type] : NULL;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

/* ---- fields, read ---- */

static bool take_uint(const msgpack_object *o, uint64_t most, uint64_t *out)
{
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > most)
		return false;
	*out = o->via.u64;
	return true;
}

static bool take_i32(const msgpack_object *o, int32_t *out)
{
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER && o->via.i64 >= INT32_MIN)
		*out = (int32_t)o->via.i64;
	else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT32_MAX)
		*out = (int32_t)o->via.u64;
	else
		return false;
	return true;
}

/* Exactly n bytes. */
static bool take_bytes(const msgpack_object *o, void *out, size_t n)
{
	if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != n)
		return false;
	memcpy(out, o->via.bin.ptr, n);
	return true;
}

typedef bool is_char_f(char);

static bool is_name_char(char c)
{
	return c > 0x20 && c < 0x7f;
}

static bool is_vary_char(char c)
{
	return c == ',' || (chars_lower[(uint8_t)c] && (char)chars_lower[(uint8_t)c] == c);
}

/* Out has room for `most` and a NUL. */
static bool take_str(const msgpack_object *o, is_char_f *is_good, char *out, size_t most)
{
	if (o->type != MSGPACK_OBJECT_STR || o->via.str.size > most)
		return false;
	for (uint32_t i = 0; i < o->via.str.size; i++)
		if (!is_good(o->via.str.ptr[i]))
			return false;
	if (o->via.str.size) /* the pointer of an empty one is NULL */
		memcpy(out, o->via.str.ptr, o->via.str.size);
	out[o->via.str.size] = '\0';
	return true;
}

static bool take_purge(const msgpack_object *o, struct peermsg_invalidate *i)
{
	if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size > PEERMSG_PURGE_BYTES)
		return false;
	i->n = o->via.bin.size;
	if (i->n)
		memcpy(i->record, o->via.bin.ptr, i->n);
	return true;
}

static bool take_field(const struct field *, const msgpack_object *, void *out);

/* The elements of an array from the `from`th on; one that is missing stays zero, one too many is not looked at. */
static bool take_elements(const msgpack_object *o, uint32_t from, const struct fields *f, void *out)
{
	if (o->type != MSGPACK_OBJECT_ARRAY)
		return false;
	for (uint32_t i = 0; i < f->n && from + i < o->via.array.size; i++)
		if (!take_field(&f->v[i], &o->via.array.ptr[from + i], out))
			return false;
	return true;
}

/* The best come first; more than there is room for are those of a later version. */
static bool take_sources(const msgpack_object *o, struct peermsg_reply_rec *r)
{
	static const struct fields fields = FIELDS(source_fields);

	if (o->type != MSGPACK_OBJECT_ARRAY)
		return false;
	for (uint32_t i = 0; i < o->via.array.size; i++) {
		struct peermsg_source s = {0};

		if (!take_elements(&o->via.array.ptr[i], 0, &fields, &s))
			return false;
		if (r->n_sources < PEERMSG_SOURCES)
			r->sources[r->n_sources++] = s;
	}
	return true;
}

static bool take_pair(const msgpack_object *o, uint8_t *out)
{
	static const struct field two[] = {{0, U8, 0}, {0, U8, 1}};
	static const struct fields fields = FIELDS(two);

	return take_elements(o, 0, &fields, out);
}

static bool take_field(const struct field *f, const msgpack_object *o, void *out)
{
	uint8_t *p = (uint8_t *)out + f->at;
	uint64_t v;

	switch (f->how) {
	case U8:
		return take_uint(o, UINT8_MAX, &v) && (*p = (uint8_t)v, true);
	case U16:
		return take_uint(o, UINT16_MAX, &v) && (*(uint16_t *)(void *)p = (uint16_t)v, true);
	case U32:
	case TAIL32:
		return take_uint(o, UINT32_MAX, &v) && (*(uint32_t *)(void *)p = (uint32_t)v, true);
	case U64:
		return take_uint(o, UINT64_MAX, (uint64_t *)(void *)p);
	case I32:
		return take_i32(o, (int32_t *)(void *)p);
	case PAIR:
		return take_pair(o, p);
	case BYTES8:
		return take_bytes(o, p, 8);
	case BYTES16:
		return take_bytes(o, p, 16);
	case OPTION16:
		*(bool *)p = true;
		return take_bytes(o, p + 1, 16);
	case VARIANT:
		if (!take_bytes(o, p + 1, 16))
			return false;
		*(bool *)p = !is_zero(p + 1, 16);
		return true;
	case NAME:
		return take_str(o, is_name_char, (char *)p, PEERMSG_NAME_BYTES);
	case VARY:
		return take_str(o, is_vary_char, (char *)p, PEERMSG_VARY_BYTES);
	case SOURCES:
		return take_sources(o, out);
	case PURGE:
		return take_purge(o, (struct peermsg_invalidate *)(void *)p);
	case RECORDS:
		break; /* take_records */
	}
	return false;
}

static bool take_query_rec(const msgpack_object *o, struct peermsg_query_rec *r)
{
	static const struct fields fields = FIELDS(query_rec);

	*r = (struct peermsg_query_rec){0};
	return take_elements(o, 0, &fields, r);
}

static bool take_reply_rec(const msgpack_object *o, struct peermsg_reply_rec *r)
{
	static const struct field begin[] = {{0, U8, REPLY(index)}, {0, U8, REPLY(status)}};
	static const struct fields fields = FIELDS(begin);

	*r = (struct peermsg_reply_rec){0};
	if (!take_elements(o, 0, &fields, r) || r->index >= PEERMSG_RECORDS)
		return false;
	if (r->status >= PEERMSG_STATUSES)
		r->status = PEERMSG_MISS;
	return take_elements(o, 2, &reply_recs[r->status], r);
}

static bool take_hint_rec(const msgpack_object *o, struct peermsg_hint_rec *r)
{
	static const struct field begin[] = {{0, U8, HINT(op)}};
	static const struct fields fields = FIELDS(begin);

	*r = (struct peermsg_hint_rec){0};
	if (!take_elements(o, 0, &fields, r))
		return false;
	if (r->op > PEERMSG_HOLDING)
		r->op = 0;
	return take_elements(o, 1, &hint_recs[r->op], r);
}

static bool take_records(const msgpack_object *o, struct peermsg *m)
{
	uint32_t n = o->type == MSGPACK_OBJECT_ARRAY ? o->via.array.size : UINT32_MAX;

	if (n > PEERMSG_RECORDS)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const msgpack_object *record = &o->via.array.ptr[i];

		if (m->env.type == PEERMSG_QUERY) {
			if (!take_query_rec(record, &m->query.v[m->query.n++]))
				return false;
		} else if (m->env.type == PEERMSG_REPLY) {
			if (!take_reply_rec(record, &m->reply.v[m->reply.n++]))
				return false;
		} else {
			if (!take_hint_rec(record, &m->hint.v[m->hint.n]))
				return false;
			m->hint.n += m->hint.v[m->hint.n].op != 0; /* one of a later version is left out */
		}
	}
	return true;
}

/* ---- fields, written ---- */

static void put_fields(msgpack_packer *, const struct fields *, size_t n, const void *from);

static void put_sources(msgpack_packer *pk, const struct peermsg_reply_rec *r)
{
	static const struct fields fields = FIELDS(source_fields);

	CHECK_THAT(r->n_sources <= PEERMSG_SOURCES);
	msgpack_pack_array(pk, r->n_sources);
	for (unsigned i = 0; i < r->n_sources; i++) {
		msgpack_pack_array(pk, fields.n);
		put_fields(pk, &fields, fields.n, &r->sources[i]);
	}
}

static void put_purge(msgpack_packer *pk, const struct peermsg_invalidate *i)
{
	CHECK_THAT(i->n <= PEERMSG_PURGE_BYTES);
	msgpack_pack_bin_with_body(pk, i->record, i->n);
}

static void put_field(msgpack_packer *pk, const struct field *f, const void *from)
{
	static const char zeros[16];
	const uint8_t *p = (const uint8_t *)from + f->at;

	switch (f->how) {
	case U8:
		msgpack_pack_uint64(pk, *p);
		break;
	case U16:
		msgpack_pack_uint64(pk, *(const uint16_t *)(const void *)p);
		break;
	case U32:
	case TAIL32:
		msgpack_pack_uint64(pk, *(const uint32_t *)(const void *)p);
		break;
	case U64:
		msgpack_pack_uint64(pk, *(const uint64_t *)(const void *)p);
		break;
	case I32:
		msgpack_pack_int64(pk, *(const int32_t *)(const void *)p);
		break;
	case PAIR:
		msgpack_pack_array(pk, 2);
		msgpack_pack_uint64(pk, p[0]);
		msgpack_pack_uint64(pk, p[1]);
		break;
	case BYTES8:
		msgpack_pack_bin_with_body(pk, p, 8);
		break;
	case BYTES16:
		msgpack_pack_bin_with_body(pk, p, 16);
		break;
	case OPTION16:
		msgpack_pack_bin_with_body(pk, p + 1, 16);
		break;
	case VARIANT:
		msgpack_pack_bin_with_body(pk, *(const bool *)p ? (const char *)p + 1 : zeros, 16);
		break;
	case NAME:
		msgpack_pack_str_with_body(pk, p, strnlen((const char *)p, PEERMSG_NAME_BYTES));
		break;
	case VARY:
		msgpack_pack_str_with_body(pk, p, strnlen((const char *)p, PEERMSG_VARY_BYTES));
		break;
	case SOURCES:
		put_sources(pk, from);
		break;
	case PURGE:
		put_purge(pk, (const struct peermsg_invalidate *)(const void *)p);
		break;
	case RECORDS:
		break; /* put_records */
	}
}

/* Of a body: not what is optional and not there. */
static bool is_sent(const struct field *f, const void *from)
{
	return f->how != OPTION16 || *((const bool *)from + f->at);
}

static size_t count_sent(const struct fields *f, const void *from)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += is_sent(&f->v[i], from);
	return n;
}

static bool is_empty(const struct field *f, const void *from)
{
	const uint8_t *p = (const uint8_t *)from + f->at;

	if (f->how == TAIL32)
		return *(const uint32_t *)(const void *)p == 0;
	return f->how == VARIANT && (!*(const bool *)p || is_zero(p + 1, 16));
}

/* Of a record, where the place tells what it is: up to the last one that is there. */
static size_t count_fields(const struct fields *f, const void *from)
{
	size_t n = f->n;

	while (n > 0 && is_empty(&f->v[n - 1], from))
		n--;
	return n;
}

static void put_fields(msgpack_packer *pk, const struct fields *f, size_t n, const void *from)
{
	for (size_t i = 0; i < n; i++)
		put_field(pk, &f->v[i], from);
}

static void put_record(msgpack_packer *pk, const struct peermsg *m, unsigned i)
{
	static const struct fields asked = FIELDS(query_rec);
	const struct fields *f;
	const void *from;
	size_t n;

	if (m->env.type == PEERMSG_QUERY) {
		f = &asked;
		from = &m->query.v[i];
		n = count_fields(f, from);
		msgpack_pack_array(pk, n);
	} else if (m->env.type == PEERMSG_REPLY) {
		const struct peermsg_reply_rec *r = &m->reply.v[i];

		CHECK_THAT(r->status < PEERMSG_STATUSES);
		f = &reply_recs[r->status];
		from = r;
		n = count_fields(f, from);
		msgpack_pack_array(pk, 2 + n);
		msgpack_pack_uint64(pk, r->index);
		msgpack_pack_uint64(pk, r->status);
	} else {
		const struct peermsg_hint_rec *r = &m->hint.v[i];

		CHECK_THAT(r->op >= PEERMSG_STORED && r->op <= PEERMSG_HOLDING);
		f = &hint_recs[r->op];
		from = r;
		n = count_fields(f, from);
		msgpack_pack_array(pk, 1 + n);
		msgpack_pack_uint64(pk, r->op);
	}
	put_fields(pk, f, n, from);
}

/* ---- reading the whole ---- */

static enum peermsg_parse check_keys(const msgpack_object_map *map)
{
	enum peermsg_parse verdict = PEERMSG_OK;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < map->size; i++) {
		const msgpack_object *key = &map->ptr[i].key;

		if (key->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			return PEERMSG_BAD;
		if (key->via.u64 >= FIRST_CRITICAL_KEY) {
			verdict = PEERMSG_CRITICAL;
			continue;
		}
		if (seen >> key->via.u64 & 1)
			return PEERMSG_BAD;
		seen |= (uint64_t)1 << key->via.u64;
	}
	return verdict;
}

static uint64_t find_qid(const msgpack_object_map *map)
{
	uint64_t qid = 0;

	for (uint32_t i = 0; i < map->size; i++)
		if (map->ptr[i].key.via.u64 == 1 && !take_uint(&map->ptr[i].val, UINT64_MAX, &qid))
			return 0;
	return qid;
}

/* Keys that we do not know are those of later versions. */
static bool take_pair_of_body(const struct kind *kind, const msgpack_object_kv *pair, struct peermsg *m)
{
	for (size_t i = 0; i < kind->fields.n; i++) {
		const struct field *f = &kind->fields.v[i];

		if (f->key == pair->key.via.u64)
			return f->how == RECORDS ? take_records(&pair->val, m) : take_field(f, &pair->val, m);
	}
	return true;
}

static enum peermsg_parse read_body(const struct kind *kind, const msgpack_object *body, struct peermsg *out)
{
	const msgpack_object_map *map = &body->via.map;
	enum peermsg_parse verdict;

	if (body->type != MSGPACK_OBJECT_MAP)
		return PEERMSG_BAD;
	verdict = check_keys(map);
	if (verdict == PEERMSG_CRITICAL)
		out->err = (struct peermsg_err){.qid = kind->has_qid ? find_qid(map) : 0};
	if (verdict != PEERMSG_OK)
		return verdict;
	for (uint32_t i = 0; i < map->size; i++)
		if (!take_pair_of_body(kind, &map->ptr[i], out))
			return PEERMSG_BAD;
	return PEERMSG_OK;
}

enum peermsg_parse peermsg_parse(struct span datagram, struct peermsg *out)
{
	const struct kind *kind;
	enum peermsg_parse verdict = PEERMSG_BAD;
	struct span body;
	msgpack_zone zone;
	msgpack_object root;
	size_t end = 0;

	if (peermsg_envelope(datagram, &out->env) != PEERMSG_OK)
		return PEERMSG_BAD;
	kind = kind_of(out->env.type);
	if (out->env.version != PEERMSG_VERSION || !kind)
		return PEERMSG_UNKNOWN;
	memset(&out->hello, 0, kind->cleared); /* all bodies begin at the same place */
	body = span_of(datagram.p + AT_BODY, datagram.n - AT_BODY - TAG_ELEMENT_BYTES);
	if (!peermsg_walk(body) || !msgpack_zone_init(&zone, ZONE_CHUNK_BYTES))
		return PEERMSG_BAD;
	if (msgpack_unpack(body.p, body.n, &end, &zone, &root) == MSGPACK_UNPACK_SUCCESS)
		verdict = read_body(kind, &root, out);
	msgpack_zone_destroy(&zone);
	return verdict;
}

/* ---- writing the whole ---- */

static int write_to_buf(void *cookie, const char *p, size_t n)
{
	struct buf *b = cookie;

	buf_put(b, span_of(p, n));
	return b->full ? -1 : 0;
}

static void put_envelope(msgpack_packer *pk, const struct peermsg_envelope *e)
{
	msgpack_pack_array(pk, 9);
	msgpack_pack_uint8(pk, e->version);
	msgpack_pack_uint8(pk, e->type);
	msgpack_pack_fix_uint8(pk, e->kid);
	msgpack_pack_fix_uint32(pk, e->src);
	msgpack_pack_fix_uint32(pk, e->dst);
	msgpack_pack_fix_uint64(pk, e->boot);
	msgpack_pack_fix_uint64(pk, e->seq);
}

static size_t array_head_bytes(unsigned n)
{
	return n < 16 ? 1 : 3;
}

/* As many of `most` records as fit into b with the head of their list. */
static unsigned put_records(struct buf *b, const struct peermsg *m, unsigned most)
{
	char mem[PEERMSG_MAX_BYTES];
	struct buf records = buf_over(mem, sizeof(mem));
	size_t room = b->cap - b->n, fit = 0;
	msgpack_packer pk;
	unsigned n;

	CHECK_THAT(most <= PEERMSG_RECORDS);
	msgpack_packer_init(&pk, &records, write_to_buf);
	for (n = 0; n < most; n++) {
		put_record(&pk, m, n);
		if (records.full || records.n + array_head_bytes(n + 1) > room)
			break;
		fit = records.n;
	}
	if (n == 0)
		return 0;
	msgpack_packer_init(&pk, b, write_to_buf);
	msgpack_pack_array(&pk, n);
	buf_put(b, span_of(mem, fit));
	return n;
}

/* How many records were written; of a body without a list, 1. */
static unsigned put_body(struct buf *b, const struct kind *kind, const struct peermsg *m)
{
	msgpack_packer pk;
	unsigned n = 1;

	msgpack_packer_init(&pk, b, write_to_buf);
	msgpack_pack_map(&pk, count_sent(&kind->fields, m));
	for (size_t i = 0; i < kind->fields.n; i++) {
		const struct field *f = &kind->fields.v[i];

		if (!is_sent(f, m))
			continue;
		msgpack_pack_uint64(&pk, f->key);
		if (f->how != RECORDS)
			put_field(&pk, f, m);
		else
			n = put_records(b, m, *(const unsigned *)(const void *)((const char *)m + f->at));
	}
	return b->full ? 0 : n;
}

unsigned peermsg_format(struct buf *b, const struct peermsg *m, const uint8_t secret[PEERMSG_SECRET_BYTES])
{
	const struct kind *kind = kind_of(m->env.type);
	size_t cap = b->cap < PEERMSG_MAX_BYTES ? b->cap : PEERMSG_MAX_BYTES;
	uint8_t tag[SHA256_BYTES];
	struct buf out;
	msgpack_packer pk;
	unsigned n;

	CHECK_THAT(kind && b->n == 0 && m->env.version <= 0x7f);
	if (cap < PEERMSG_MIN_BYTES)
		return 0;
	out = buf_over(b->p, cap - TAG_ELEMENT_BYTES);
	msgpack_packer_init(&pk, &out, write_to_buf);
	put_envelope(&pk, &m->env);
	n = put_body(&out, kind, m);
	if (n == 0)
		return 0;
	out.cap = cap;
	buf_putc(&out, (char)HEAD_BIN8);
	buf_putc(&out, PEERMSG_TAG_BYTES);
	make_tag(buf_span(&out), secret, tag);
	buf_put(&out, span_of((const char *)tag, PEERMSG_TAG_BYTES));
	b->n = out.n;
	return n;
}

const char *peermsg_status_word(enum peermsg_status s)
{
	static const char *const words[PEERMSG_STATUSES] = {"MISS", "HIT",  "PENDING", "NOFETCH", "DENIED",  "STALE",
							    "BUSY", "VARY", "LOCATED", "GRANT",   "INTENDED"};

	return (unsigned)s < PEERMSG_STATUSES ? words[s] : "MISS";
}
