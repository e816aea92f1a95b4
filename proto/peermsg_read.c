/* Datagrams, read: what has been walked is unpacked, and goes into structs field by field. */
#include <msgpack.h>

#include "proto/chars.h"
#include "proto/peermsg_internal.h"

#define FIRST_CRITICAL_KEY 64
#define ZONE_CHUNK_BYTES 4096

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

static bool take_field(const struct peermsg_field *, const msgpack_object *, void *out);

/* The elements of an array from the `from`th on; one that is missing stays zero, one too many is not looked at. */
static bool take_elements(const msgpack_object *o, uint32_t from, const struct peermsg_fields *f, void *out)
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
	if (o->type != MSGPACK_OBJECT_ARRAY)
		return false;
	for (uint32_t i = 0; i < o->via.array.size; i++) {
		struct peermsg_source s = {0};

		if (!take_elements(&o->via.array.ptr[i], 0, peermsg__source(), &s))
			return false;
		if (r->n_sources < PEERMSG_SOURCES)
			r->sources[r->n_sources++] = s;
	}
	return true;
}

static bool take_pair(const msgpack_object *o, uint8_t *out)
{
	static const struct peermsg_field two[] = {{0, HOW_U8, 0}, {0, HOW_U8, 1}};
	static const struct peermsg_fields fields = FIELDS(two);

	return take_elements(o, 0, &fields, out);
}

static bool take_field(const struct peermsg_field *f, const msgpack_object *o, void *out)
{
	uint8_t *p = (uint8_t *)out + f->at;
	uint64_t v;

	switch (f->how) {
	case HOW_U8:
		return take_uint(o, UINT8_MAX, &v) && (*p = (uint8_t)v, true);
	case HOW_U16:
		return take_uint(o, UINT16_MAX, &v) && (*(uint16_t *)(void *)p = (uint16_t)v, true);
	case HOW_U32:
	case HOW_TAIL32:
		return take_uint(o, UINT32_MAX, &v) && (*(uint32_t *)(void *)p = (uint32_t)v, true);
	case HOW_U64:
		return take_uint(o, UINT64_MAX, (uint64_t *)(void *)p);
	case HOW_I32:
		return take_i32(o, (int32_t *)(void *)p);
	case HOW_PAIR:
		return take_pair(o, p);
	case HOW_BYTES8:
		return take_bytes(o, p, 8);
	case HOW_BYTES16:
		return take_bytes(o, p, 16);
	case HOW_OPTION16:
		*(bool *)p = true;
		return take_bytes(o, p + 1, 16);
	case HOW_VARIANT:
		if (!take_bytes(o, p + 1, 16))
			return false;
		*(bool *)p = !is_zero(p + 1, 16);
		return true;
	case HOW_NAME:
		return take_str(o, is_name_char, (char *)p, PEERMSG_NAME_BYTES);
	case HOW_VARY:
		return take_str(o, is_vary_char, (char *)p, PEERMSG_VARY_BYTES);
	case HOW_SOURCES:
		return take_sources(o, out);
	case HOW_PURGE:
		return take_purge(o, (struct peermsg_invalidate *)(void *)p);
	case HOW_RECORDS:
		break; /* take_records */
	}
	return false;
}

static bool take_query_rec(const msgpack_object *o, struct peermsg_query_rec *r)
{
	*r = (struct peermsg_query_rec){0};
	return take_elements(o, 0, peermsg__query_rec(), r);
}

static bool take_reply_rec(const msgpack_object *o, struct peermsg_reply_rec *r)
{
	static const struct peermsg_field begin[] = {{0, HOW_U8, REPLY(index)}, {0, HOW_U8, REPLY(status)}};
	static const struct peermsg_fields fields = FIELDS(begin);

	*r = (struct peermsg_reply_rec){0};
	if (!take_elements(o, 0, &fields, r) || r->index >= PEERMSG_RECORDS)
		return false;
	if (r->status >= PEERMSG_STATUSES)
		r->status = PEERMSG_MISS;
	return take_elements(o, 2, peermsg__reply_rec(r->status), r);
}

static bool take_hint_rec(const msgpack_object *o, struct peermsg_hint_rec *r)
{
	static const struct peermsg_field begin[] = {{0, HOW_U8, HINT(op)}};
	static const struct peermsg_fields fields = FIELDS(begin);

	*r = (struct peermsg_hint_rec){0};
	if (!take_elements(o, 0, &fields, r))
		return false;
	if (r->op > PEERMSG_HOLDING)
		r->op = 0;
	return take_elements(o, 1, peermsg__hint_rec(r->op), r);
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
static bool take_pair_of_body(const struct peermsg_kind *kind, const msgpack_object_kv *pair, struct peermsg *m)
{
	for (size_t i = 0; i < kind->fields.n; i++) {
		const struct peermsg_field *f = &kind->fields.v[i];

		if (f->key == pair->key.via.u64)
			return f->how == HOW_RECORDS ? take_records(&pair->val, m) : take_field(f, &pair->val, m);
	}
	return true;
}

static enum peermsg_parse read_body(const struct peermsg_kind *kind, const msgpack_object *body, struct peermsg *out)
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
	const struct peermsg_kind *kind;
	enum peermsg_parse verdict = PEERMSG_BAD;
	struct span body;
	msgpack_zone zone;
	msgpack_object root;
	size_t end = 0;

	if (peermsg_envelope(datagram, &out->env) != PEERMSG_OK)
		return PEERMSG_BAD;
	kind = peermsg__kind(out->env.type);
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
