#include "parent/parent_link.h"

#include "node/base/hash.h"
#include "node/tls/nodecert.h"
#include "proto/http1_format.h"

#define HOP SPAN("Pmc-Hop")
#define HOME SPAN("Pmc-Home")
#define ONLY SPAN("Pmc-Only")
#define REFRESH SPAN("Pmc-Refresh")
#define STATUS SPAN("Pmc-Status")
#define LOAD SPAN("Pmc-Load")
#define ERROR SPAN("Pmc-Error")
#define DIGEST SPAN("Pmc-Digest")

#define LOAD_MOST 255

/* ---- the way a request has come ---- */

struct hop {
	struct span cluster, nodes; /* nodes: their names, a space between each two */
	uint64_t n;
};

/* -1: it is not what a node writes. */
static int hop_parse(struct span value, struct hop *out)
{
	struct span rest = value, part;
	uint64_t found = 0;

	if (!span_cut(&rest, ' ', &out->cluster) || !nodecert_name_is_good(out->cluster))
		return -1;
	if (!span_cut(&rest, ' ', &part) || span_to_u64(part, &out->n))
		return -1;
	out->nodes = rest;
	while (found <= PARENT_LINK_MOST_HOPS && span_cut(&rest, ' ', &part)) {
		if (!nodecert_name_is_good(part))
			return -1;
		found++;
	}
	return found == out->n && found <= PARENT_LINK_MOST_HOPS ? 0 : -1;
}

static bool hop_has(const struct hop *h, struct span node)
{
	struct span rest = h->nodes, part;

	while (span_cut(&rest, ' ', &part))
		if (span_eq(part, node))
			return true;
	return false;
}

/* The one field of this name; two are as good as a malformed one. */
static const struct hdr *find_only(const struct hdrs *h, struct span name, bool *several)
{
	const struct hdr *found = NULL;

	*several = false;
	if (!hdr_has(h, HDR_OTHER))
		return NULL;
	for (unsigned i = 0; i < h->n; i++) {
		if (!hdr_is_internal(&h->v[i]) || !span_eq_icase(h->v[i].name, name))
			continue;
		*several = found != NULL;
		if (*several)
			return found;
		found = &h->v[i];
	}
	return found;
}

enum reason parent_link_check_hop(const struct hdrs *fields, struct span cluster, struct span self)
{
	bool several;
	const struct hdr *f = find_only(fields, HOP, &several);
	struct hop hop;

	if (!f)
		return REASON_NONE;
	if (several || hop_parse(f->value, &hop) || !span_eq(hop.cluster, cluster) || hop_has(&hop, self))
		return REASON_LOOP;
	return REASON_NONE;
}

/* ---- a request ---- */

static void put_hop(struct buf *b, const struct parent_link_ask *ask)
{
	const struct hdr *f = ask->came_with ? hdr_find(ask->came_with, HOP) : NULL;
	struct hop hop = {0};

	if (f && hop_parse(f->value, &hop))
		hop = (struct hop){0};
	buf_put_str(b, "Pmc-Hop: ");
	buf_put(b, ask->cluster);
	buf_putc(b, ' ');
	buf_put_u64(b, hop.n + 1);
	buf_putc(b, ' ');
	if (hop.n) {
		buf_put(b, hop.nodes);
		buf_putc(b, ' ');
	}
	buf_put(b, ask->self);
	buf_put_str(b, "\r\n");
}

void parent_link_put(struct buf *b, const struct parent_link_ask *ask)
{
	put_hop(b, ask);
	if (ask->home.n)
		http1_format_field(b, HOME, ask->home);
	if (ask->only)
		http1_format_field(b, ONLY, SPAN("1"));
	if (ask->refresh)
		http1_format_field(b, REFRESH, SPAN("1"));
}

bool parent_link_is_only(const struct hdrs *fields)
{
	const struct hdr *f = hdr_find(fields, ONLY);

	return f && span_eq(f->value, SPAN("1"));
}

bool parent_link_is_refresh(const struct hdrs *fields)
{
	const struct hdr *f = hdr_find(fields, REFRESH);

	return f && span_eq(f->value, SPAN("1"));
}

struct span parent_link_home(const struct hdrs *fields)
{
	const struct hdr *f = hdr_find(fields, HOME);

	return f && nodecert_name_is_good(f->value) ? f->value : SPAN_NONE;
}

/* ---- an answer ---- */

static const struct span source_words[] = {
	[PARENT_SAID_NOTHING] = {"", 0},  [PARENT_SAID_HIT] = {"HIT", 3},   [PARENT_SAID_JOIN] = {"JOIN", 4},
	[PARENT_SAID_MISS] = {"MISS", 4}, [PARENT_SAID_PASS] = {"PASS", 4},
};

static enum parent_source read_source(const struct hdrs *h)
{
	const struct hdr *f = hdr_find(h, STATUS);

	for (unsigned i = PARENT_SAID_HIT; f && i <= PARENT_SAID_PASS; i++)
		if (span_eq(f->value, source_words[i]))
			return (enum parent_source)i;
	return PARENT_SAID_NOTHING;
}

static int read_load(const struct hdrs *h)
{
	const struct hdr *f = hdr_find(h, LOAD);
	uint64_t load;

	return f && !span_to_u64(f->value, &load) && load <= LOAD_MOST ? (int)load : -1;
}

static bool is_parents_own(enum reason why)
{
	switch (why) {
	case REASON_LOOP:
	case REASON_TOO_BUSY:
	case REASON_SHUTTING_DOWN:
	case REASON_NO_MEMORY:
	case REASON_INTERNAL:
		return true;
	default:
		return false;
	}
}

static void read_error(const struct hdrs *h, struct parent_link_reply *out)
{
	const struct hdr *f = hdr_find(h, ERROR);

	if (!f)
		return;
	for (unsigned i = REASON_NONE + 1; i < REASON_COUNT; i++) {
		if (!span_eq(f->value, span_str(reason_word((enum reason)i))))
			continue;
		out->error = (enum reason)i;
		out->by_parent = is_parents_own(out->error);
		return;
	}
	out->error = REASON_BAD_RESPONSE;
	out->by_parent = true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(const struct hdrs *h, uint8_t out[SHA256_BYTES])
{
	const struct hdr *f = hdr_find(h, DIGEST);
	uint8_t digest[SHA256_BYTES];

	if (!f || f->value.n != 2 * sizeof(digest))
		return false;
	for (size_t i = 0; i < sizeof(digest); i++) {
		int high = hex_value(f->value.p[2 * i]), low = hex_value(f->value.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(out, digest, sizeof(digest));
	return true;
}

void parent_link_read(const struct http1_response *r, struct parent_link_reply *out)
{
	*out = (struct parent_link_reply){.source = read_source(&r->fields), .load = read_load(&r->fields)};
	read_error(&r->fields, out);
	out->has_digest = read_digest(&r->fields, out->digest);
}

void parent_link_put_reply(struct buf *b, enum parent_source source, int load, enum reason error, const uint8_t *digest)
{
	if (source != PARENT_SAID_NOTHING)
		http1_format_field(b, STATUS, source_words[source]);
	if (load >= 0) {
		buf_put_str(b, "Pmc-Load: ");
		buf_put_u64(b, (uint64_t)(load < LOAD_MOST ? load : LOAD_MOST));
		buf_put_str(b, "\r\n");
	}
	if (error)
		http1_format_field(b, ERROR, span_str(reason_word(error)));
	if (digest) {
		buf_put_str(b, "Pmc-Digest: ");
		buf_put_hex(b, digest, SHA256_BYTES);
		buf_put_str(b, "\r\n");
	}
}
