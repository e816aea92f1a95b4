/* peermsg_internal: what reading and writing of datagrams share. Nobody else includes it.
 *
 *     peermsg.c         envelope, tag, and the fields of each message: one table for both directions
 *     peermsg_walk.c    whether bytes are whole msgpack, before anything is allocated
 *     peermsg_read.c    bytes to structs
 *     peermsg_write.c   structs to bytes */
#ifndef PROTO_PEERMSG_INTERNAL_H
#define PROTO_PEERMSG_INTERNAL_H

#include "node/base/hash.h"
#include "proto/peermsg.h"

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

/* ---- the fields of a message ---- */

enum peermsg_how {
	HOW_U8,
	HOW_U16,
	HOW_U32,
	HOW_U64,
	HOW_I32,
	HOW_PAIR,     /* two uint8_t, as an array */
	HOW_BYTES8,   /* uint8_t[8] */
	HOW_BYTES16,  /* uint8_t[16] */
	HOW_OPTION16, /* bool, uint8_t[16]: sent when true */
	HOW_VARIANT,  /* in records: bool, uint8_t[16]; all zero means false */
	HOW_TAIL32,   /* in records: uint32_t; as VARIANT, left out at the end when it is zero */
	HOW_NAME,
	HOW_VARY,
	HOW_SOURCES,
	HOW_PURGE,
	HOW_RECORDS,
};

struct peermsg_field {
	uint8_t key; /* in the body; not used in records, where the place tells */
	enum peermsg_how how;
	size_t at; /* in the struct of the message or record */
};

struct peermsg_fields {
	const struct peermsg_field *v;
	size_t n;
};

#define FIELDS(table)                                                                                                  \
	{                                                                                                              \
		(table), sizeof(table) / sizeof((table)[0])                                                            \
	}

#define QUERY(member) offsetof(struct peermsg_query_rec, member)
#define REPLY(member) offsetof(struct peermsg_reply_rec, member)
#define HINT(member) offsetof(struct peermsg_hint_rec, member)
#define SOURCE(member) offsetof(struct peermsg_source, member)

struct peermsg_kind {
	struct peermsg_fields fields;
	size_t cleared; /* bytes of the body to be zeroed: all but the room for records, each of which is when it comes */
	bool has_qid;   /* as key 1 */
};

/* NULL: there is no such type. */
const struct peermsg_kind *peermsg__kind(uint8_t type);
/* Of a record: of a question; of an answer of this status (below PEERMSG_STATUSES), behind index and status; of a hint of this operation (up to
 * PEERMSG_HOLDING), behind the operation; and of a source in an answer. */
const struct peermsg_fields *peermsg__query_rec(void);
const struct peermsg_fields *peermsg__reply_rec(uint8_t status);
const struct peermsg_fields *peermsg__hint_rec(uint8_t op);
const struct peermsg_fields *peermsg__source(void);

/* The tag covers its own head too: all bytes before it. */
void peermsg__make_tag(struct span covered, const uint8_t secret[PEERMSG_SECRET_BYTES], uint8_t out[SHA256_BYTES]);

static inline uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline bool is_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

#endif
