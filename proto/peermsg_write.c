/* Datagrams, written: structs field by field, as many records as there is room for, and the tag. */
#include <msgpack.h>

#include "node/base/check.h"
#include "proto/peermsg_internal.h"

/* ---- fields, written ---- */

static void put_fields(msgpack_packer *, const struct peermsg_fields *, size_t n, const void *from);

static void put_sources(msgpack_packer *pk, const struct peermsg_reply_rec *r)
{
	const struct peermsg_fields *fields = peermsg__source();

	CHECK_THAT(r->n_sources <= PEERMSG_SOURCES);
	msgpack_pack_array(pk, r->n_sources);
	for (unsigned i = 0; i < r->n_sources; i++) {
		msgpack_pack_array(pk, fields->n);
		put_fields(pk, fields, fields->n, &r->sources[i]);
	}
}

static void put_purge(msgpack_packer *pk, const struct peermsg_invalidate *i)
{
	CHECK_THAT(i->n <= PEERMSG_PURGE_BYTES);
	msgpack_pack_bin_with_body(pk, i->record, i->n);
}

static void put_field(msgpack_packer *pk, const struct peermsg_field *f, const void *from)
{
	static const char zeros[16];
	const uint8_t *p = (const uint8_t *)from + f->at;

	switch (f->how) {
	case HOW_U8:
		msgpack_pack_uint64(pk, *p);
		break;
	case HOW_U16:
		msgpack_pack_uint64(pk, *(const uint16_t *)(const void *)p);
		break;
	case HOW_U32:
	case HOW_TAIL32:
		msgpack_pack_uint64(pk, *(const uint32_t *)(const void *)p);
		break;
	case HOW_U64:
		msgpack_pack_uint64(pk, *(const uint64_t *)(const void *)p);
		break;
	case HOW_I32:
		msgpack_pack_int64(pk, *(const int32_t *)(const void *)p);
		break;
	case HOW_PAIR:
		msgpack_pack_array(pk, 2);
		msgpack_pack_uint64(pk, p[0]);
		msgpack_pack_uint64(pk, p[1]);
		break;
	case HOW_BYTES8:
		msgpack_pack_bin_with_body(pk, p, 8);
		break;
	case HOW_BYTES16:
		msgpack_pack_bin_with_body(pk, p, 16);
		break;
	case HOW_OPTION16:
		msgpack_pack_bin_with_body(pk, p + 1, 16);
		break;
	case HOW_VARIANT:
		msgpack_pack_bin_with_body(pk, *(const bool *)p ? (const char *)p + 1 : zeros, 16);
		break;
	case HOW_NAME:
		msgpack_pack_str_with_body(pk, p, strnlen((const char *)p, PEERMSG_NAME_BYTES));
		break;
	case HOW_VARY:
		msgpack_pack_str_with_body(pk, p, strnlen((const char *)p, PEERMSG_VARY_BYTES));
		break;
	case HOW_SOURCES:
		put_sources(pk, from);
		break;
	case HOW_PURGE:
		put_purge(pk, (const struct peermsg_invalidate *)(const void *)p);
		break;
	case HOW_RECORDS:
		break; /* put_records */
	}
}

/* Of a body: not what is optional and not there. */
static bool is_sent(const struct peermsg_field *f, const void *from)
{
	return f->how != HOW_OPTION16 || *((const bool *)from + f->at);
}

static size_t count_sent(const struct peermsg_fields *f, const void *from)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += is_sent(&f->v[i], from);
	return n;
}

static bool is_empty(const struct peermsg_field *f, const void *from)
{
	const uint8_t *p = (const uint8_t *)from + f->at;

	if (f->how == HOW_TAIL32)
		return *(const uint32_t *)(const void *)p == 0;
	return f->how == HOW_VARIANT && (!*(const bool *)p || is_zero(p + 1, 16));
}

/* Of a record, where the place tells what it is: up to the last one that is there. */
static size_t count_fields(const struct peermsg_fields *f, const void *from)
{
	size_t n = f->n;

	while (n > 0 && is_empty(&f->v[n - 1], from))
		n--;
	return n;
}

static void put_fields(msgpack_packer *pk, const struct peermsg_fields *f, size_t n, const void *from)
{
	for (size_t i = 0; i < n; i++)
		put_field(pk, &f->v[i], from);
}

static void put_record(msgpack_packer *pk, const struct peermsg *m, unsigned i)
{
	const struct peermsg_fields *f;
	const void *from;
	size_t n;

	if (m->env.type == PEERMSG_QUERY) {
		f = peermsg__query_rec();
		from = &m->query.v[i];
		n = count_fields(f, from);
		msgpack_pack_array(pk, n);
	} else if (m->env.type == PEERMSG_REPLY) {
		const struct peermsg_reply_rec *r = &m->reply.v[i];

		CHECK_THAT(r->status < PEERMSG_STATUSES);
		f = peermsg__reply_rec(r->status);
		from = r;
		n = count_fields(f, from);
		msgpack_pack_array(pk, 2 + n);
		msgpack_pack_uint64(pk, r->index);
		msgpack_pack_uint64(pk, r->status);
	} else {
		const struct peermsg_hint_rec *r = &m->hint.v[i];

		CHECK_THAT(r->op >= PEERMSG_STORED && r->op <= PEERMSG_HOLDING);
		f = peermsg__hint_rec(r->op);
		from = r;
		n = count_fields(f, from);
		msgpack_pack_array(pk, 1 + n);
		msgpack_pack_uint64(pk, r->op);
	}
	put_fields(pk, f, n, from);
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
static unsigned put_body(struct buf *b, const struct peermsg_kind *kind, const struct peermsg *m)
{
	msgpack_packer pk;
	unsigned n = 1;

	msgpack_packer_init(&pk, b, write_to_buf);
	msgpack_pack_map(&pk, count_sent(&kind->fields, m));
	for (size_t i = 0; i < kind->fields.n; i++) {
		const struct peermsg_field *f = &kind->fields.v[i];

		if (!is_sent(f, m))
			continue;
		msgpack_pack_uint64(&pk, f->key);
		if (f->how != HOW_RECORDS)
			put_field(&pk, f, m);
		else
			n = put_records(b, m, *(const unsigned *)(const void *)((const char *)m + f->at));
	}
	return b->full ? 0 : n;
}

unsigned peermsg_format(struct buf *b, const struct peermsg *m, const uint8_t secret[PEERMSG_SECRET_BYTES])
{
	const struct peermsg_kind *kind = peermsg__kind(m->env.type);
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
	peermsg__make_tag(buf_span(&out), secret, tag);
	buf_put(&out, span_of((const char *)tag, PEERMSG_TAG_BYTES));
	b->n = out.n;
	return n;
}
