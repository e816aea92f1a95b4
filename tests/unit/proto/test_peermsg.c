#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/rng.h"
#include "proto/peermsg.h"
#include "proto/rendezvous.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define QID 0xfedcba9876543210u
#define NONCE 0x0123456789abcdefu
#define MEMBERS 0xaabbccddeeff0011u
#define SERIAL 1700000000000u

static const char vectors[] = "tests/vectors/";
static const char specification[] = "proto/PROTOCOL.md";

/* ---- files ---- */

static void find(const char *name, char *path, size_t path_bytes)
{
	const char *here = strstr(__FILE__, "tests/unit/");

	snprintf(path, path_bytes, "%.*s%s", here ? (int)(here - __FILE__) : 0, __FILE__, name);
}

static size_t read_file(const char *name, char *out, size_t cap)
{
	char path[1024];
	size_t n;
	FILE *f;

	find(name, path, sizeof(path));
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s is not there", path);
	n = fread(out, 1, cap, f);
	fclose(f);
	assert_true(n < cap);
	return n;
}

/* tests/vectors/NAME.hex; see make.py there */
static struct span read_vector(const char *name, char *out, size_t cap)
{
	char file[128], text[8192];
	size_t n, at, bytes = 0;
	unsigned v;

	snprintf(file, sizeof(file), "%s%s.hex", vectors, name);
	n = read_file(file, text, sizeof(text) - 1);
	text[n] = '\0';
	at = strcspn(text, "\n");
	for (const char *p = text + at; sscanf(p, " %2x", &v) == 1; p += strspn(p, " \n") + 2) {
		assert_true(bytes < cap);
		out[bytes++] = (char)v;
	}
	assert_true(bytes > 0);
	return span_of(out, bytes);
}

/* ---- what the vectors say ---- */

static void make_secret(uint8_t out[PEERMSG_SECRET_BYTES])
{
	for (unsigned i = 0; i < PEERMSG_SECRET_BYTES; i++)
		out[i] = (uint8_t)i;
}

static void make_key(struct peermsg_key *k, unsigned n)
{
	for (unsigned i = 0; i < PEERMSG_KEY_BYTES; i++)
		k->b[i] = (uint8_t)(n * 16 + i);
}

static void make_16(uint8_t out[16], unsigned from)
{
	for (unsigned i = 0; i < 16; i++)
		out[i] = (uint8_t)(from + i);
}

static void make_hello(struct peermsg *m)
{
	m->hello = (struct peermsg_hello){.nonce = NONCE,
					  .version_min = 1,
					  .version_max = 1,
					  .role = 1,
					  .caps = 5,
					  .tcp_port = 8083,
					  .name = "edge1",
					  .members_hash = MEMBERS,
					  .max_dgram = 1200,
					  .zone = 7};
}

static void make_hello_echo(struct peermsg *m)
{
	make_hello(m);
	m->hello.has_echo = true;
	make_16(m->hello.echo, 0xf0);
}

static void make_hello_back(struct peermsg *m)
{
	make_hello(m);
	m->hello.role = 2;
	strcpy(m->hello.name, "parent1");
}

static void add_asked(struct peermsg *m, unsigned key, uint8_t flags)
{
	m->query.v[m->query.n] = (struct peermsg_query_rec){.flags = flags};
	make_key(&m->query.v[m->query.n++].key, key);
}

static void make_query(struct peermsg *m)
{
	m->query.qid = QID;
	m->query.budget_ms = 20;
	add_asked(m, 1, PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING);
}

static void set_variant(struct peermsg_query_rec *r, unsigned key)
{
	r->has_variant = true;
	make_16(r->variant, key * 16);
}

static void make_query_variants(struct peermsg *m)
{
	m->query.qid = QID;
	m->query.budget_ms = 20;
	add_asked(m, 1, PEERMSG_INTENT);
	add_asked(m, 2, PEERMSG_RESUME);
	set_variant(&m->query.v[1], 9);
	add_asked(m, 3, PEERMSG_AUDIT);
}

static void make_query_resume(struct peermsg *m)
{
	m->query.qid = QID;
	m->query.budget_ms = 20;
	add_asked(m, 1, PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING | PEERMSG_RESUME);
	m->query.v[0].order = 2;
	m->query.v[0].not_there = rendezvous_node_id(SPAN("edge3"));
	add_asked(m, 2, PEERMSG_RESUME);
	set_variant(&m->query.v[1], 9);
	m->query.v[1].order = 2;
	add_asked(m, 3, PEERMSG_RESUME);
	set_variant(&m->query.v[2], 9);
	m->query.v[2].not_there = rendezvous_node_id(SPAN("edge3"));
}

static void make_reply_head(struct peermsg *m, unsigned n)
{
	m->reply.qid = QID;
	m->reply.load = 128;
	m->reply.took_us = 250;
	m->reply.purge_serial = SERIAL;
	m->reply.n = n;
	for (unsigned i = 0; i < n; i++)
		m->reply.v[i] = (struct peermsg_reply_rec){.index = (uint8_t)i, .status = (uint8_t)i};
}

#define DIGEST                                                                                                         \
	{                                                                                                              \
		0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14                                                         \
	}

static void make_reply(struct peermsg *m)
{
	make_reply_head(m, 1);
	m->reply.v[0] = (struct peermsg_reply_rec){
		.index = 1, .status = PEERMSG_HIT, .size = 1048576, .digest = DIGEST, .ttl_s = 86400, .age_s = 300};
}

static void make_reply_statuses(struct peermsg *m)
{
	struct peermsg_reply_rec *v = m->reply.v;
	uint32_t edge3 = rendezvous_node_id(SPAN("edge3")), edge4 = rendezvous_node_id(SPAN("edge4"));

	make_reply_head(m, PEERMSG_STATUSES + 1);
	v[1] = (struct peermsg_reply_rec){
		.index = 1, .status = PEERMSG_HIT, .size = 1048576, .digest = DIGEST, .ttl_s = 86400, .age_s = 300};
	v[2].size = 10485760;
	v[2].have = 65536;
	v[2].order = 1;
	v[4].reason = 2;
	v[5] = (struct peermsg_reply_rec){
		.index = 5, .status = PEERMSG_STALE, .size = 512, .digest = DIGEST, .ttl_s = -60, .age_s = 90000};
	v[6].wait_ms = 250;
	strcpy(v[7].vary, "accept,accept-encoding");
	v[8].size = 10485760;
	v[8].n_sources = 2;
	v[8].sources[0] = (struct peermsg_source){.node = edge3, .load = 10, .have = 10485760};
	v[8].sources[1] = (struct peermsg_source){.node = edge4, .load = 200, .have = 4096, .order = 2};
	v[9].wait_ms = 2000;
	v[9].order = 1;
	v[10].node = edge3;
	v[11] = (struct peermsg_reply_rec){.index = 11, .status = PEERMSG_INTENDED, .node = edge3, .order = 2};
}

static void make_hint(struct peermsg *m)
{
	m->hint.generation = 3;
	m->hint.n = PEERMSG_HOLDING;
	for (unsigned i = 0; i < m->hint.n; i++) {
		m->hint.v[i] = (struct peermsg_hint_rec){.op = (uint8_t)(i + 1)};
		make_key(&m->hint.v[i].key, i + 1);
	}
	m->hint.v[0].bytes = 1048576;
	m->hint.v[2].bytes = 4194304;
	m->hint.v[2].order = 2;
	m->hint.v[4].node = rendezvous_node_id(SPAN("edge3"));
	m->hint.v[5].bytes = 70000;
}

static void make_ping(struct peermsg *m)
{
	m->ping = (struct peermsg_ping){.nonce = NONCE,
					.t_us = 123456789,
					.load = 17,
					.objects = 200000,
					.state = PEERMSG_STATE_UP,
					.members_hash = MEMBERS,
					.mode = 1,
					.purge_serial = SERIAL};
}

static void make_invalidate(struct peermsg *m)
{
	m->invalidate.qid = QID;
	m->invalidate.serial = SERIAL;
	m->invalidate.n = read_vector("purge-url", (char *)m->invalidate.record, PEERMSG_PURGE_BYTES).n;
}

static void make_invalidated(struct peermsg *m)
{
	m->invalidated = (struct peermsg_invalidated){.qid = QID, .serial = SERIAL, .removed = 12};
}

static void make_bye(struct peermsg *m)
{
	m->bye = (struct peermsg_bye){.reason = 2, .back_in_s = 30};
}

static void make_err_version(struct peermsg *m)
{
	m->err = (struct peermsg_err){.code = PEERMSG_ERR_VERSION};
}

static void make_err_boot(struct peermsg *m)
{
	m->err = (struct peermsg_err){.qid = QID, .code = PEERMSG_ERR_BOOT, .has_challenge = true};
	make_16(m->err.challenge, 0xf0);
}

static void make_err_critical(struct peermsg *m)
{
	m->err = (struct peermsg_err){.qid = QID, .code = PEERMSG_ERR_CRITICAL};
}

static void make_err_rate(struct peermsg *m)
{
	m->err = (struct peermsg_err){.qid = QID, .code = PEERMSG_ERR_RATE};
}

static void make_extra(struct peermsg *m)
{
	m->query.qid = QID;
	m->query.budget_ms = 20;
	add_asked(m, 1, PEERMSG_INTENT);
	add_asked(m, 2, PEERMSG_RESUME);
	set_variant(&m->query.v[1], 9);
}

static void make_extra_reply(struct peermsg *m)
{
	make_reply_head(m, 3);
	m->reply.v[1] = (struct peermsg_reply_rec){
		.index = 1, .status = PEERMSG_HIT, .size = 1048576, .digest = DIGEST, .ttl_s = 86400, .age_s = 300};
	m->reply.v[2] = (struct peermsg_reply_rec){.index = 2,
						   .status = PEERMSG_LOCATED,
						   .size = 9,
						   .n_sources = 3,
						   .sources = {{1, 2, 3, 4}, {.node = 2}, {.node = 3}}};
}

static void make_missing(struct peermsg *m)
{
	make_reply_head(m, 4);
	m->reply.v[0].status = PEERMSG_HIT;
	m->reply.v[0].size = 1048576;
	m->reply.v[1].status = PEERMSG_PENDING;
	m->reply.v[2].status = PEERMSG_MISS;
	m->reply.v[3] = (struct peermsg_reply_rec){
		.index = 3, .status = PEERMSG_LOCATED, .size = 7, .n_sources = 1, .sources = {{.node = 5}}};
}

static void make_fields(struct peermsg *m)
{
	m->ping = (struct peermsg_ping){.nonce = NONCE};
}

static void make_status(struct peermsg *m)
{
	make_reply_head(m, 3);
	m->reply.v[1].status = PEERMSG_MISS;
	m->reply.v[2].status = PEERMSG_NOFETCH;
}

static void make_op(struct peermsg *m)
{
	m->hint.generation = 3;
	m->hint.n = 2;
	m->hint.v[0] = (struct peermsg_hint_rec){.op = PEERMSG_STORED, .bytes = 5};
	make_key(&m->hint.v[0].key, 1);
	m->hint.v[1] = (struct peermsg_hint_rec){.op = PEERMSG_FAILED};
	make_key(&m->hint.v[1].key, 4);
}

static const struct row {
	const char *name;
	uint8_t type;
	enum peermsg_parse verdict;
	void (*make)(struct peermsg *); /* OK: what it says */
	bool later;                     /* not as we write it */
} rows[] = {
	{"hello", PEERMSG_HELLO, PEERMSG_OK, make_hello, false},
	{"hello-echo", PEERMSG_HELLO, PEERMSG_OK, make_hello_echo, false},
	{"hello-back", PEERMSG_HELLO_BACK, PEERMSG_OK, make_hello_back, false},
	{"query", PEERMSG_QUERY, PEERMSG_OK, make_query, false},
	{"query-variants", PEERMSG_QUERY, PEERMSG_OK, make_query_variants, false},
	{"query-resume", PEERMSG_QUERY, PEERMSG_OK, make_query_resume, false},
	{"reply", PEERMSG_REPLY, PEERMSG_OK, make_reply, false},
	{"reply-statuses", PEERMSG_REPLY, PEERMSG_OK, make_reply_statuses, false},
	{"hint", PEERMSG_HINT, PEERMSG_OK, make_hint, false},
	{"ping", PEERMSG_PING, PEERMSG_OK, make_ping, false},
	{"pong", PEERMSG_PONG, PEERMSG_OK, make_ping, false},
	{"invalidate", PEERMSG_INVALIDATE, PEERMSG_OK, make_invalidate, false},
	{"invalidated", PEERMSG_INVALIDATED, PEERMSG_OK, make_invalidated, false},
	{"bye", PEERMSG_BYE, PEERMSG_OK, make_bye, false},
	{"err-version", PEERMSG_ERR, PEERMSG_OK, make_err_version, false},
	{"err-boot", PEERMSG_ERR, PEERMSG_OK, make_err_boot, false},
	{"err-critical", PEERMSG_ERR, PEERMSG_OK, make_err_critical, false},
	{"err-rate", PEERMSG_ERR, PEERMSG_OK, make_err_rate, false},
	{"later-key", PEERMSG_BYE, PEERMSG_OK, make_bye, true},
	{"later-critical", PEERMSG_QUERY, PEERMSG_CRITICAL, NULL, true},
	{"later-extra", PEERMSG_QUERY, PEERMSG_OK, make_extra, true},
	{"later-extra-reply", PEERMSG_REPLY, PEERMSG_OK, make_extra_reply, true},
	{"later-missing", PEERMSG_REPLY, PEERMSG_OK, make_missing, true},
	{"later-fields", PEERMSG_PING, PEERMSG_OK, make_fields, true},
	{"later-status", PEERMSG_REPLY, PEERMSG_OK, make_status, true},
	{"later-op", PEERMSG_HINT, PEERMSG_OK, make_op, true},
	{"later-wide", PEERMSG_QUERY, PEERMSG_OK, make_query, true},
	{"later-type", 9, PEERMSG_UNKNOWN, NULL, true},
	{"later-version", PEERMSG_QUERY, PEERMSG_UNKNOWN, NULL, true},
	{"bad-twice", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-array32", PEERMSG_QUERY, PEERMSG_BAD, NULL, true},
	{"bad-map32", PEERMSG_QUERY, PEERMSG_BAD, NULL, true},
	{"bad-str32", PEERMSG_HELLO, PEERMSG_BAD, NULL, true},
	{"bad-depth", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-behind", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-cut", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-ext", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-never", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-key", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-negative-key", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-body", PEERMSG_BYE, PEERMSG_BAD, NULL, true},
	{"bad-range", PEERMSG_HELLO, PEERMSG_BAD, NULL, true},
	{"bad-type", PEERMSG_QUERY, PEERMSG_BAD, NULL, true},
	{"bad-sign", PEERMSG_QUERY, PEERMSG_BAD, NULL, true},
	{"bad-bytes", PEERMSG_QUERY, PEERMSG_BAD, NULL, true},
	{"bad-name", PEERMSG_HELLO, PEERMSG_BAD, NULL, true},
	{"bad-name-long", PEERMSG_HELLO, PEERMSG_BAD, NULL, true},
	{"bad-vary", PEERMSG_REPLY, PEERMSG_BAD, NULL, true},
	{"bad-index", PEERMSG_REPLY, PEERMSG_BAD, NULL, true},
	{"bad-many", PEERMSG_REPLY, PEERMSG_BAD, NULL, true},
	{"bad-record", PEERMSG_QUERY, PEERMSG_BAD, NULL, true},
};

static void make_envelope(struct peermsg *m, uint8_t type)
{
	*m = (struct peermsg){
		.env = {.version = PEERMSG_VERSION, .type = type, .kid = 1, .boot = 0x1122334455667788u, .seq = 1}};
	m->env.src = rendezvous_node_id(SPAN("edge1"));
	m->env.dst = rendezvous_node_id(SPAN("edge2"));
}

static bool same_envelope(const struct peermsg_envelope *a, const struct peermsg_envelope *b)
{
	return a->version == b->version && a->type == b->type && a->kid == b->kid && a->src == b->src &&
	       a->dst == b->dst && a->boot == b->boot && a->seq == b->seq;
}

/* Two messages say the same when they are written the same. */
static void assert_same(const char *name, const struct peermsg *a, const struct peermsg *b)
{
	char mem_a[PEERMSG_MAX_BYTES], mem_b[PEERMSG_MAX_BYTES];
	struct buf buf_a = buf_over(mem_a, sizeof(mem_a)), buf_b = buf_over(mem_b, sizeof(mem_b));
	uint8_t secret[PEERMSG_SECRET_BYTES];

	make_secret(secret);
	assert_true(peermsg_format(&buf_a, a, secret) > 0);
	assert_true(peermsg_format(&buf_b, b, secret) > 0);
	if (!span_eq(buf_span(&buf_a), buf_span(&buf_b)))
		fail_msg("%s: not what it says", name);
}

static void golden_vectors_are_read(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];

	(void)state;
	make_secret(secret);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char mem[PEERMSG_MAX_BYTES];
		struct span v = read_vector(rows[i].name, mem, sizeof(mem));
		struct peermsg m, expected;
		struct peermsg_envelope e;
		enum peermsg_parse verdict;

		memset(&m, 0xa5, sizeof(m)); /* what was there before must not matter */
		assert_true(peermsg_envelope(v, &e) == PEERMSG_OK);
		assert_int_equal(e.type, rows[i].type);
		assert_true(peermsg_tag_fits(v, secret));
		verdict = peermsg_parse(v, &m);
		if (verdict != rows[i].verdict)
			fail_msg("%s: verdict %d", rows[i].name, (int)verdict);
		if (verdict == PEERMSG_BAD)
			continue;
		make_envelope(&expected, rows[i].type);
		if (strcmp(rows[i].name, "later-version") == 0)
			expected.env.version = 2;
		assert_true(same_envelope(&m.env, &expected.env));
		if (verdict == PEERMSG_CRITICAL)
			assert_true(m.err.qid == QID);
		if (!rows[i].make)
			continue;
		rows[i].make(&expected);
		assert_same(rows[i].name, &m, &expected);
	}
}

static void golden_vectors_are_written(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];

	(void)state;
	make_secret(secret);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char mem[PEERMSG_MAX_BYTES], out[PEERMSG_MAX_BYTES];
		struct buf b = buf_over(out, sizeof(out));
		struct peermsg m;

		if (rows[i].later)
			continue;
		make_envelope(&m, rows[i].type);
		rows[i].make(&m);
		assert_true(peermsg_format(&b, &m, secret) > 0);
		if (!span_eq(buf_span(&b), read_vector(rows[i].name, mem, sizeof(mem))))
			fail_msg("%s is written otherwise", rows[i].name);
	}
}

/* The structs behind the vectors, looked at field by field: assert_same would not see what is never written. */
static void fields_arrive(void **state)
{
	char mem[PEERMSG_MAX_BYTES];
	struct peermsg m;

	(void)state;
	assert_true(peermsg_parse(read_vector("hello-echo", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(m.hello.nonce == NONCE && m.hello.has_echo && m.hello.echo[15] == 0xff &&
		    m.hello.version_min == 1 && m.hello.version_max == 1 && m.hello.role == 1 && m.hello.caps == 5 &&
		    m.hello.tcp_port == 8083 && m.hello.members_hash == MEMBERS && m.hello.max_dgram == 1200 &&
		    m.hello.zone == 7);
	assert_string_equal(m.hello.name, "edge1");
	assert_true(peermsg_parse(read_vector("query-variants", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(m.query.qid == QID && m.query.budget_ms == 20 && m.query.hop == 0 && m.query.n == 3);
	assert_true(m.query.v[0].flags == PEERMSG_INTENT && !m.query.v[0].has_variant && m.query.v[1].has_variant);
	assert_true(m.query.v[1].key.b[0] == 0x20 && m.query.v[1].variant[0] == 0x90);
	assert_true(peermsg_parse(read_vector("query-resume", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(m.query.n == 3 && !m.query.v[0].has_variant && m.query.v[0].order == 2 && m.query.v[1].order == 2);
	assert_true(m.query.v[0].not_there == rendezvous_node_id(SPAN("edge3")) && m.query.v[1].not_there == 0);
	assert_true(m.query.v[2].has_variant && m.query.v[2].order == 0 &&
		    m.query.v[2].not_there == m.query.v[0].not_there);
	assert_true(peermsg_parse(read_vector("later-extra", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(!m.query.v[0].has_variant); /* all zero means none */
	assert_true(peermsg_parse(read_vector("reply-statuses", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(m.reply.n == PEERMSG_STATUSES + 1 && m.reply.load == 128 && m.reply.took_us == 250 &&
		    m.reply.purge_serial == SERIAL);
	assert_true(m.reply.v[1].size == 1048576 && m.reply.v[1].ttl_s == 86400 && m.reply.v[1].digest[7] == 0x14);
	assert_true(m.reply.v[2].have == 65536 && m.reply.v[2].order == 1 && m.reply.v[4].reason == 2);
	assert_true(m.reply.v[5].ttl_s == -60 && m.reply.v[5].age_s == 90000 && m.reply.v[6].wait_ms == 250);
	assert_string_equal(m.reply.v[7].vary, "accept,accept-encoding");
	assert_true(m.reply.v[8].n_sources == 2 && m.reply.v[8].sources[1].load == 200 &&
		    m.reply.v[8].sources[1].have == 4096 && m.reply.v[8].sources[1].order == 2);
	assert_true(m.reply.v[9].wait_ms == 2000 && m.reply.v[9].order == 1);
	assert_true(m.reply.v[10].node == rendezvous_node_id(SPAN("edge3")) && m.reply.v[10].order == 0);
	assert_true(m.reply.v[11].node == rendezvous_node_id(SPAN("edge3")) && m.reply.v[11].order == 2);
	assert_true(peermsg_parse(read_vector("hint", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(m.hint.generation == 3 && m.hint.v[2].bytes == 4194304 && m.hint.v[2].order == 2);
	assert_true(m.hint.v[4].node == rendezvous_node_id(SPAN("edge3")) && m.hint.v[5].bytes == 70000);
	assert_true(peermsg_parse(read_vector("ping", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(m.ping.nonce == NONCE && m.ping.t_us == 123456789 && m.ping.objects == 200000 && m.ping.mode == 1 &&
		    m.ping.state == PEERMSG_STATE_UP && m.ping.load == 17 && m.ping.purge_serial == SERIAL);
	assert_true(peermsg_parse(read_vector("err-boot", mem, sizeof(mem)), &m) == PEERMSG_OK);
	assert_true(m.err.qid == QID && m.err.code == PEERMSG_ERR_BOOT && m.err.has_challenge &&
		    m.err.challenge[0] == 0xf0);
}

/* ---- tag ---- */

static void one_flipped_bit_anywhere_does_not_fit(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];

	(void)state;
	make_secret(secret);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char mem[PEERMSG_MAX_BYTES];
		struct span v = read_vector(rows[i].name, mem, sizeof(mem));

		for (size_t bit = 0; bit < v.n * 8; bit++) {
			mem[bit / 8] = (char)(mem[bit / 8] ^ 1 << bit % 8);
			if (peermsg_tag_fits(v, secret))
				fail_msg("%s: bit %zu is not covered", rows[i].name, bit);
			mem[bit / 8] = (char)(mem[bit / 8] ^ 1 << bit % 8);
		}
		assert_true(peermsg_tag_fits(v, secret));
	}
}

static void another_secret_does_not_fit(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];
	char mem[PEERMSG_MAX_BYTES];
	struct span v = read_vector("query", mem, sizeof(mem));

	(void)state;
	make_secret(secret);
	for (unsigned bit = 0; bit < 8 * sizeof(secret); bit++) {
		secret[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(peermsg_tag_fits(v, secret));
		secret[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(peermsg_tag_fits(v, secret));
	for (size_t n = 0; n < v.n; n++)
		assert_false(peermsg_tag_fits(span_upto(v, n), secret));
}

/* ---- envelope ---- */

static void envelopes_that_are_none(void **state)
{
	static const size_t heads[] = {0, 1, 2, 3, 5, 10, 15, 24};
	char mem[PEERMSG_MAX_BYTES + 1];
	struct span v = read_vector("bye", mem, sizeof(mem));
	struct peermsg_envelope e;

	(void)state;
	for (size_t i = 0; i < COUNT(heads); i++) {
		char was = mem[heads[i]];

		mem[heads[i]] = (char)0xc0;
		assert_true(peermsg_envelope(v, &e) == PEERMSG_BAD);
		mem[heads[i]] = was;
	}
	for (size_t i = 17; i <= 18; i++) {
		mem[v.n - i]++;
		assert_true(peermsg_envelope(v, &e) == PEERMSG_BAD);
		mem[v.n - i]--;
	}
	assert_true(peermsg_envelope(v, &e) == PEERMSG_OK);
	for (size_t n = 0; n < PEERMSG_MIN_BYTES; n++)
		assert_true(peermsg_envelope(span_upto(v, n), &e) == PEERMSG_BAD);
	memmove(mem + PEERMSG_MAX_BYTES + 1 - 18, mem + v.n - 18, 18);
	assert_true(peermsg_envelope(span_of(mem, PEERMSG_MAX_BYTES + 1), &e) == PEERMSG_BAD);
	memmove(mem + PEERMSG_MAX_BYTES - 18, mem + PEERMSG_MAX_BYTES + 1 - 18, 18);
	assert_true(peermsg_envelope(span_of(mem, PEERMSG_MAX_BYTES), &e) == PEERMSG_OK);
	assert_true(peermsg_envelope(SPAN_NONE, &e) == PEERMSG_BAD);
}

/* ---- walker ---- */

static void walker(void **state)
{
	static const struct {
		const char *what;
		struct span body;
		bool good;
	} cases[] = {
		{"nothing", {"", 0}, false},
		{"nil", {"\xc0", 1}, true},
		{"two elements", {"\xc0\xc0", 2}, false},
		{"never used", {"\xc1", 1}, false},
		{"empty map", {"\x80", 1}, true},
		{"map", {"\x81\x01\x02", 3}, true},
		{"map without value", {"\x81\x01", 2}, false},
		{"map, str key", {"\x81\xa1k\x02", 4}, false},
		{"map, nil key", {"\x81\xc0\x02", 3}, false},
		{"map, array key", {"\x81\x90\x02", 3}, false},
		{"map, float key", {"\x81\xca\x00\x00\x00\x00\x02", 7}, false},
		{"map, u8 and i8 keys", {"\x82\xcc\x01\x02\xd0\x01\x02", 7}, true},
		{"map, negative key", {"\x81\xff\x02", 3}, true},
		{"map within map, str key", {"\x81\x01\x81\xa1k\x02", 6}, false},
		{"str",
		 {"\xa3"
		  "abc",
		  4},
		 true},
		{"str cut",
		 {"\xa3"
		  "ab",
		  3},
		 false},
		{"str8",
		 {"\xd9\x03"
		  "abc",
		  5},
		 true},
		{"str8 cut",
		 {"\xd9\x03"
		  "ab",
		  4},
		 false},
		{"str8 without length", {"\xd9", 1}, false},
		{"str16",
		 {"\xda\x00\x03"
		  "abc",
		  6},
		 true},
		{"str16 half a length", {"\xda\x00", 2}, false},
		{"str32",
		 {"\xdb\x00\x00\x00\x03"
		  "abc",
		  8},
		 true},
		{"str32 huge",
		 {"\xdb\xff\xff\xff\xff"
		  "abc",
		  8},
		 false},
		{"bin8", {"\xc4\x01x", 3}, true},
		{"bin16", {"\xc5\x00\x01x", 4}, true},
		{"bin32", {"\xc6\x00\x00\x00\x01x", 6}, true},
		{"bin32 huge", {"\xc6\xff\xff\xff\xffx", 6}, false},
		{"array16", {"\xdc\x00\x02\x01\x02", 5}, true},
		{"array16 cut", {"\xdc\x00\x02\x01", 4}, false},
		{"array32", {"\xdd\x00\x00\x00\x02\x01\x02", 7}, true},
		{"array32 huge", {"\xdd\xff\xff\xff\xff\x01", 6}, false},
		{"map16", {"\xde\x00\x01\x01\x02", 5}, true},
		{"map32", {"\xdf\x00\x00\x00\x01\x01\x02", 7}, true},
		{"map32 huge", {"\xdf\xff\xff\xff\xff\x01\x02", 7}, false},
		{"map32 that overflows 32 bits when doubled", {"\xdf\x80\x00\x00\x00", 5}, false},
		{"numbers",
		 {"\x9b\xcc\x01\xcd\x01\x02\xce\x01\x02\x03\x04\xcf\x01\x02\x03\x04\x05\x06\x07\x08\xd0\x01\xd1\x01\x02"
		  "\xd2\x01\x02\x03\x04\xd3\x01\x02\x03\x04\x05\x06\x07\x08\xca\x01\x02\x03\x04\xcb\x01\x02\x03\x04\x05"
		  "\x06\x07\x08\xc3",
		  54},
		 true},
		{"u64 cut", {"\xcf\x01\x02\x03\x04\x05\x06\x07", 8}, false},
		{"fixext", {"\xd4\x01\x02", 3}, false},
		{"fixext16",
		 {"\xd8\x01"
		  "0123456789abcdef",
		  18},
		 false},
		{"ext8", {"\xc7\x01\x01\x02", 4}, false},
		{"ext32", {"\xc9\x00\x00\x00\x01\x01\x02", 7}, false},
		{"five deep", {"\x91\x91\x91\x91\x91\x01", 6}, true},
		{"six deep", {"\x91\x91\x91\x91\x91\x91\x01", 7}, false},
		{"six deep, empty", {"\x91\x91\x91\x91\x91\x90", 6}, false},
		{"five deep, twice", {"\x92\x91\x91\x91\x91\x01\x91\x91\x91\x90", 10}, true},
	};
	char long_one[PEERMSG_MAX_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char copy[64];

		memcpy(copy, cases[i].body.p, cases[i].body.n);
		if (peermsg_walk(span_of(copy, cases[i].body.n)) != cases[i].good)
			fail_msg("%s", cases[i].what);
	}
	memset(long_one, 1, sizeof(long_one));
	memcpy(long_one, "\xdc\x05\x75", 3);
	assert_true(peermsg_walk(span_of(long_one, PEERMSG_MAX_BYTES)));
	memcpy(long_one, "\xdc\x05\x76", 3);
	assert_false(peermsg_walk(span_of(long_one, PEERMSG_MAX_BYTES + 1)));
}

/* ---- writing ---- */

static void records_that_do_not_fit_are_left_out(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];
	char mem[PEERMSG_MAX_BYTES];
	struct peermsg m, back;
	unsigned before = 0, steps = 0;

	(void)state;
	make_secret(secret);
	make_envelope(&m, PEERMSG_QUERY);
	m.query.qid = QID;
	for (unsigned i = 0; i < PEERMSG_RECORDS; i++)
		add_asked(&m, i, PEERMSG_INTENT);
	for (size_t cap = 0; cap <= PEERMSG_MAX_BYTES; cap++) {
		struct buf b = buf_over(mem, cap);
		unsigned n = peermsg_format(&b, &m, secret);

		assert_true(n >= before && n <= before + 1);
		steps += n > before;
		before = n;
		if (n == 0) {
			assert_true(b.n == 0);
			continue;
		}
		assert_true(b.n <= cap);
		assert_true(peermsg_parse(buf_span(&b), &back) == PEERMSG_OK);
		assert_int_equal(back.query.n, n);
		for (unsigned i = 0; i < n; i++)
			assert_memory_equal(&back.query.v[i].key, &m.query.v[i].key, sizeof(struct peermsg_key));
	}
	assert_true(before == steps && before == PEERMSG_RECORDS);
}

static void what_goes_into_a_datagram(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];
	char mem[4096];
	struct peermsg m;
	struct buf b = buf_over(mem, PEERMSG_SEND_BYTES);

	(void)state;
	make_secret(secret);
	make_envelope(&m, PEERMSG_QUERY);
	assert_int_equal(peermsg_format(&b, &m, secret), 0); /* no record to write */
	assert_int_equal(b.n, 0);
	for (unsigned i = 0; i < PEERMSG_RECORDS; i++) {
		add_asked(&m, i, PEERMSG_INTENT);
		set_variant(&m.query.v[i], 1);
	}
	assert_int_equal(peermsg_format(&b, &m, secret), 29); /* the figures in PROTOCOL.md */
	b = buf_over(mem, PEERMSG_SEND_BYTES);
	for (unsigned i = 0; i < PEERMSG_RECORDS; i++)
		m.query.v[i].has_variant = false;
	assert_int_equal(peermsg_format(&b, &m, secret), 56);
	make_envelope(&m, PEERMSG_REPLY);
	b = buf_over(mem, sizeof(mem));
	make_reply_head(&m, PEERMSG_RECORDS);
	for (unsigned i = 0; i < PEERMSG_RECORDS; i++) {
		m.reply.v[i].status = PEERMSG_VARY;
		memset(m.reply.v[i].vary, 'a', PEERMSG_VARY_BYTES);
	}
	assert_true(peermsg_format(&b, &m, secret) == 9 && b.n <= PEERMSG_MAX_BYTES);
	make_envelope(&m, PEERMSG_BYE);
	for (size_t cap = 0; cap < PEERMSG_MIN_BYTES + 4; cap++) {
		b = buf_over(mem, cap);
		assert_int_equal(peermsg_format(&b, &m, secret), 0);
		assert_int_equal(b.n, 0);
	}
	b = buf_over(mem, PEERMSG_MIN_BYTES + 4);
	assert_int_equal(peermsg_format(&b, &m, secret), 1);
	assert_int_equal(b.n, PEERMSG_MIN_BYTES + 4);
}

static void the_greatest_values_come_through(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];
	char mem[PEERMSG_MAX_BYTES];
	struct buf b = buf_over(mem, sizeof(mem));
	struct peermsg m, back;

	(void)state;
	make_secret(secret);
	make_envelope(&m, PEERMSG_REPLY);
	m.env = (struct peermsg_envelope){1, PEERMSG_REPLY, 255, UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX};
	m.reply = (struct peermsg_reply){
		.qid = UINT64_MAX, .load = 255, .took_us = UINT32_MAX, .purge_serial = UINT64_MAX, .n = 2};
	m.reply.v[0] = (struct peermsg_reply_rec){
		.index = 63, .status = PEERMSG_HIT, .size = UINT64_MAX, .ttl_s = INT32_MIN, .age_s = UINT32_MAX};
	m.reply.v[1] = (struct peermsg_reply_rec){.index = 63, .status = PEERMSG_HIT, .ttl_s = INT32_MAX};
	assert_int_equal(peermsg_format(&b, &m, secret), 2);
	assert_true(peermsg_parse(buf_span(&b), &back) == PEERMSG_OK);
	assert_true(same_envelope(&back.env, &m.env));
	assert_true(back.reply.qid == UINT64_MAX && back.reply.took_us == UINT32_MAX &&
		    back.reply.purge_serial == UINT64_MAX);
	assert_true(back.reply.v[0].ttl_s == INT32_MIN && back.reply.v[0].size == UINT64_MAX);
	assert_true(back.reply.v[0].age_s == UINT32_MAX && back.reply.v[1].ttl_s == INT32_MAX);
}

/* ---- no field takes more than it holds ---- */

/* A body of ours with another value behind one key. */
static enum peermsg_parse parse_with(uint8_t type, uint8_t key, struct span value)
{
	char mem[PEERMSG_MAX_BYTES];
	struct buf b = buf_over(mem, sizeof(mem));
	struct peermsg m, back;
	uint8_t secret[PEERMSG_SECRET_BYTES];

	make_secret(secret);
	make_envelope(&m, PEERMSG_BYE);
	assert_int_equal(peermsg_format(&b, &m, secret), 1);
	mem[2] = (char)type;
	b.n = 33;
	buf_putc(&b, (char)0x81);
	buf_putc(&b, (char)key);
	buf_put(&b, value);
	buf_put(&b, span_of("\xc4\x10"
			    "0123456789abcdef",
			    18));
	return peermsg_parse(buf_span(&b), &back);
}

static void numbers_out_of_range(void **state)
{
	static const struct {
		uint8_t type, key;
		unsigned bits;
	} fields[] = {
		{PEERMSG_HELLO, 1, 64},       {PEERMSG_HELLO, 4, 8},  {PEERMSG_HELLO, 5, 64},
		{PEERMSG_HELLO, 6, 16},       {PEERMSG_HELLO, 8, 64}, {PEERMSG_HELLO, 9, 16},
		{PEERMSG_HELLO, 10, 16},      {PEERMSG_QUERY, 1, 64}, {PEERMSG_QUERY, 3, 16},
		{PEERMSG_QUERY, 5, 8},        {PEERMSG_REPLY, 1, 64}, {PEERMSG_REPLY, 3, 8},
		{PEERMSG_REPLY, 4, 32},       {PEERMSG_REPLY, 6, 64}, {PEERMSG_HINT, 1, 32},
		{PEERMSG_PING, 1, 64},        {PEERMSG_PING, 2, 64},  {PEERMSG_PING, 3, 8},
		{PEERMSG_PING, 4, 32},        {PEERMSG_PONG, 6, 8},   {PEERMSG_PONG, 8, 64},
		{PEERMSG_PONG, 10, 8},        {PEERMSG_PONG, 11, 64}, {PEERMSG_INVALIDATE, 1, 64},
		{PEERMSG_BYE, 1, 8},          {PEERMSG_BYE, 2, 16},   {PEERMSG_ERR, 1, 64},
		{PEERMSG_INVALIDATED, 3, 32}, {PEERMSG_ERR, 2, 8},    {PEERMSG_INVALIDATE, 2, 64},
	};
	static const struct {
		unsigned bits;
		struct span value;
	} values[] = {
		{8, {"\xcc\xff", 2}},
		{16, {"\xcd\x01\x00", 3}},
		{16, {"\xcd\xff\xff", 3}},
		{32, {"\xce\x00\x01\x00\x00", 5}},
		{32, {"\xce\xff\xff\xff\xff", 5}},
		{64, {"\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 9}},
		{64, {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9}},
		{65, {"\xff", 1}},
		{65, {"\xc0", 1}},
		{65, {"\xc3", 1}},
		{65, {"\xca\x00\x00\x00\x00", 5}},
		{65,
		 {"\xa1"
		  "1",
		  2}},
		{65, {"\x91\x01", 2}},
		{65, {"\xc4\x01\x01", 3}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(fields); i++)
		for (size_t j = 0; j < COUNT(values); j++) {
			enum peermsg_parse verdict = parse_with(fields[i].type, fields[i].key, values[j].value);

			if (verdict != (values[j].bits <= fields[i].bits ? PEERMSG_OK : PEERMSG_BAD))
				fail_msg("type %d, key %d, value %zu: verdict %d", fields[i].type, fields[i].key, j,
					 (int)verdict);
		}
}

static void keys_and_what_they_mean(void **state)
{
	static const uint8_t with_qid[] = {PEERMSG_QUERY, PEERMSG_REPLY, PEERMSG_INVALIDATE, PEERMSG_INVALIDATED,
					   PEERMSG_ERR};

	(void)state;
	for (unsigned key = 12; key < 128; key++)
		for (size_t i = 0; i < COUNT(with_qid); i++)
			assert_true(parse_with(with_qid[i], (uint8_t)key, SPAN("\xa1x")) ==
				    (key < 64 ? PEERMSG_OK : PEERMSG_CRITICAL));
	assert_true(parse_with(PEERMSG_HELLO, 2,
			       SPAN("\xc4\x0f"
				    "0123456789abcde")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_HELLO, 3, SPAN("\x01")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_HELLO, 3, SPAN("\x93\x01\x02\x03")) == PEERMSG_OK);
	assert_true(parse_with(PEERMSG_HELLO, 3, SPAN("\x92\x01\xcd\x01\x00")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_HELLO, 7, SPAN("\xc4\x01x")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_HELLO, 7, SPAN("\xa1\x7f")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_HELLO, 7, SPAN("\xa1\x00")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_HELLO, 7, SPAN("\xa2\xc3\xa9")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_HELLO, 7, SPAN("\xa0")) == PEERMSG_OK);
	assert_true(parse_with(PEERMSG_REPLY, 2, SPAN("\x91\x93\x00\x07\xa0")) == PEERMSG_OK);
	assert_true(parse_with(PEERMSG_INVALIDATE, 3, SPAN("\xc4\x00")) == PEERMSG_OK);
	assert_true(parse_with(PEERMSG_INVALIDATE, 3, SPAN("\xa1x")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_ERR, 3, SPAN("\xc4\x00")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_QUERY, 2, SPAN("\x80")) == PEERMSG_BAD);
	assert_true(parse_with(PEERMSG_QUERY, 2, SPAN("\x90")) == PEERMSG_OK);
	for (unsigned type = 0; type < 128; type++) {
		bool known =
			type == 65 || type == 66 || type == 68 || type == 70 || (type >= 1 && type <= 8 && type != 5);

		assert_true(parse_with((uint8_t)type, 40, SPAN("\x01")) == (known ? PEERMSG_OK : PEERMSG_UNKNOWN));
	}
}

static void a_purge_that_is_too_long(void **state)
{
	char mem[PEERMSG_MAX_BYTES] = "\xc5\x04\x01";

	(void)state;
	assert_true(parse_with(PEERMSG_INVALIDATE, 3, span_of(mem, 3 + PEERMSG_PURGE_BYTES + 1)) == PEERMSG_BAD);
	memcpy(mem, "\xc5\x04\x00", 3);
	assert_true(parse_with(PEERMSG_INVALIDATE, 3, span_of(mem, 3 + PEERMSG_PURGE_BYTES)) == PEERMSG_OK);
}

/* ---- whatever comes, something is said ---- */

/* Damaged vectors, with seeds: no verdict but the four, and what is OK can be written and says the same again. */
static void damaged_vectors(void **state)
{
	uint8_t secret[PEERMSG_SECRET_BYTES];
	struct rng r;

	(void)state;
	make_secret(secret);
	rng_seed(&r, 20);
	for (unsigned round = 0; round < 40; round++)
		for (size_t i = 0; i < COUNT(rows); i++) {
			char mem[PEERMSG_MAX_BYTES], out[PEERMSG_MAX_BYTES];
			struct span v = read_vector(rows[i].name, mem, sizeof(mem));
			struct buf b = buf_over(out, sizeof(out));
			struct peermsg m;

			for (unsigned n = 0; n < 1 + round % 4; n++)
				mem[33 + rng_below(&r, v.n - 33 - 18)] = (char)rng_next(&r);
			if (peermsg_parse(v, &m) == PEERMSG_OK && peermsg_format(&b, &m, secret) > 0)
				assert_true(peermsg_parse(buf_span(&b), &m) == PEERMSG_OK);
		}
}

/* ---- the specification ---- */

static bool is_vector(const char *name, size_t n)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		if (strlen(rows[i].name) == n && memcmp(rows[i].name, name, n) == 0)
			return true;
	return false;
}

/* Each vector that PROTOCOL.md names is one of this test (or of test_purgerec.c), and each of this test stands there. */
static void the_specification_names_the_vectors(void **state)
{
	static char text[262144];
	size_t n = read_file(specification, text, sizeof(text) - 1), named = 0;

	(void)state;
	text[n] = '\0';
	for (const char *p = strstr(text, ".hex`"); p; p = strstr(p + 1, ".hex`")) {
		const char *begin = p;

		while (begin > text && begin[-1] != '`' && begin[-1] != '/')
			begin--;
		named++;
		if (strncmp(begin, "purge-", 6) != 0 && !is_vector(begin, (size_t)(p - begin)))
			fail_msg("%.*s is in no test", (int)(p - begin), begin);
	}
	assert_true(named >= COUNT(rows));
	for (size_t i = 0; i < COUNT(rows); i++) {
		char name[64];

		snprintf(name, sizeof(name), "`%s.hex`", rows[i].name);
		if (!strstr(text, name))
			fail_msg("%s is not in the specification", name);
	}
}

/* Hex blocks of PROTOCOL.md are the vectors whose name stands in the line before them. */
static void the_specification_shows_them_as_they_are(void **state)
{
	static char text[262144];
	size_t n = read_file(specification, text, sizeof(text) - 1), shown = 0;

	(void)state;
	text[n] = '\0';
	for (char *p = strstr(text, "```hex "); p; p = strstr(p + 1, "```hex ")) {
		char name[64], mem[PEERMSG_MAX_BYTES], body[PEERMSG_MAX_BYTES];
		size_t bytes = 0;
		unsigned v;
		const char *at;

		assert_int_equal(sscanf(p, "```hex %63s", name), 1);
		for (at = p + strcspn(p, "\n"); sscanf(at, " %2x", &v) == 1; at += strspn(at, " \n") + 2) {
			assert_true(bytes < sizeof(body));
			body[bytes++] = (char)v;
		}
		if (!span_eq(span_of(body, bytes), read_vector(name, mem, sizeof(mem))))
			fail_msg("%s stands in the specification with other bytes", name);
		shown++;
	}
	assert_true(shown >= 3);
}

static void words(void **state)
{
	(void)state;
	assert_string_equal(peermsg_status_word(PEERMSG_MISS), "MISS");
	assert_string_equal(peermsg_status_word(PEERMSG_LOCATED), "LOCATED");
	assert_string_equal(peermsg_status_word(PEERMSG_INTENDED), "INTENDED");
	assert_string_equal(peermsg_status_word(PEERMSG_STATUSES), "MISS");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_vectors_are_read),
		cmocka_unit_test(golden_vectors_are_written),
		cmocka_unit_test(fields_arrive),
		cmocka_unit_test(one_flipped_bit_anywhere_does_not_fit),
		cmocka_unit_test(another_secret_does_not_fit),
		cmocka_unit_test(envelopes_that_are_none),
		cmocka_unit_test(walker),
		cmocka_unit_test(records_that_do_not_fit_are_left_out),
		cmocka_unit_test(what_goes_into_a_datagram),
		cmocka_unit_test(the_greatest_values_come_through),
		cmocka_unit_test(numbers_out_of_range),
		cmocka_unit_test(keys_and_what_they_mean),
		cmocka_unit_test(a_purge_that_is_too_long),
		cmocka_unit_test(damaged_vectors),
		cmocka_unit_test(the_specification_names_the_vectors),
		cmocka_unit_test(the_specification_shows_them_as_they_are),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
