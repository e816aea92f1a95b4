/* The input is a member list, or the fields of a message between an edge and its parent. What is read of a list gives a list that reads
 * the same; of fields, what is written of what was read reads the same, and a way that was passed is passed on by the next node, until it
 * is too long or comes back. */
#include "node/base/mem.h"
#include "parent/parent_children.h"
#include "parent/parent_link.h"
#include "tests/fuzz/pieces.h"

#define MOST_CHILDREN 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_list(struct span text)
{
	struct child v[MOST_CHILDREN], again[MOST_CHILDREN];
	long n = parent_children_parse(text, v, MOST_CHILDREN), m;
	struct parent_children *pc;
	struct buf b;

	if (n < 0)
		return;
	CHECK_THAT(n <= MOST_CHILDREN);
	pc = parent_children_new(NULL, 0);
	b = buf_over(mem_alloc(PARENT_CHILDREN_BYTES), PARENT_CHILDREN_BYTES);
	for (long i = 0; i < n; i++)
		parent_children_heard(pc, &v[i], 0);
	parent_children_format(pc, &b, 0);
	CHECK_THAT(!b.full);
	m = parent_children_parse(buf_span(&b), again, MOST_CHILDREN);
	CHECK_THAT(m <= n && (m > 0) == (n > 0));
	for (long i = 0; i < m; i++) {
		long last = -1; /* of one name the last counts */

		for (long j = 0; j < n; j++)
			if (strcmp(v[j].name, again[i].name) == 0)
				last = j;
		CHECK_THAT(last >= 0 && v[last].role == again[i].role && addr_same(&v[last].addr, &again[i].addr));
	}
	free(b.p);
	parent_children_free(pc);
}

/* A request that this node lets pass goes on to the next one with us on its way: to be refused there if it has become too long, or when it
 * comes back to us. */
static void check_way(const struct hdrs *fields)
{
	struct parent_link_ask ask = {.cluster = SPAN("lab"),
				      .self = SPAN("parent1"),
				      .came_with = fields,
				      .only = parent_link_is_only(fields),
				      .refresh = parent_link_is_refresh(fields),
				      .home = parent_link_home(fields)};
	char room[PARENT_LINK_FIELD_BYTES + 2];
	struct buf b = buf_over(room, PARENT_LINK_FIELD_BYTES);
	size_t scanned = 0, bytes;
	enum reason why;
	struct hdrs next;

	if (parent_link_check_hop(fields, ask.cluster, ask.self))
		return;
	parent_link_put(&b, &ask);
	CHECK_THAT(!b.full);
	b.cap += 2;
	buf_put_str(&b, "\r\n");
	CHECK_THAT(http1_parse_trailers(buf_span(&b), &scanned, b.n, &next, &bytes, &why) == HTTP1_DONE);
	CHECK_THAT(parent_link_check_hop(&next, ask.cluster, ask.self) == REASON_LOOP);
	CHECK_THAT(parent_link_is_only(&next) == ask.only && parent_link_is_refresh(&next) == ask.refresh &&
		   span_eq(parent_link_home(&next), ask.home));
	for (unsigned i = 0; i < next.n; i++)
		CHECK_THAT(hdr_is_internal(&next.v[i]));
}

static void check_reply(const struct hdrs *fields)
{
	struct http1_response r = {.status = 200, .fields = *fields}, next = {.status = 200};
	struct parent_link_reply first, second;
	char room[PARENT_LINK_FIELD_BYTES];
	struct buf b = buf_over(room, sizeof(room));
	size_t scanned = 0, bytes;
	enum reason why;

	parent_link_read(&r, &first);
	CHECK_THAT(first.load >= -1 && first.load <= 255 && (unsigned)first.error < REASON_COUNT);
	parent_link_put_reply(&b, first.source, first.load, first.error, first.has_digest ? first.digest : NULL);
	buf_put_str(&b, "\r\n");
	CHECK_THAT(!b.full);
	CHECK_THAT(http1_parse_trailers(buf_span(&b), &scanned, b.n, &next.fields, &bytes, &why) == HTTP1_DONE);
	parent_link_read(&next, &second);
	CHECK_THAT(first.source == second.source && first.load == second.load && first.error == second.error);
	CHECK_THAT(first.has_digest == second.has_digest &&
		   memcmp(first.digest, second.digest, sizeof(first.digest)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	size_t scanned = 0, used;
	struct hdrs fields;
	enum reason why;

	check_list(in);
	if (http1_parse_trailers(in, &scanned, in.n + 1, &fields, &used, &why) == HTTP1_DONE) {
		check_way(&fields);
		check_reply(&fields);
	}
	free((char *)in.p);
	return 0;
}
