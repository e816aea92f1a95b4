#include "node/cluster/overview.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cluster/matrix.h"

#define FRAME_BYTES 128

struct overview {
	struct loop *loop;
	struct matrix *asking; /* NULL: nobody is being asked */
	mono_us due;           /* nobody is asked before */
	mono_us found;         /* when `nodes` was */
	char *nodes;           /* an array; NULL: none yet */
	size_t n;
	bool too_much;
};

struct overview *overview_new(struct loop *loop)
{
	struct overview *o = NEW(struct overview);

	o->loop = loop;
	return o;
}

static void forget(struct overview *o)
{
	free(o->nodes);
	o->nodes = NULL;
	o->n = 0;
}

void overview_free(struct overview *o)
{
	if (!o)
		return;
	matrix_cancel(&o->asking);
	forget(o);
	free(o);
}

static void on_done(void *cookie, struct span json)
{
	struct overview *o = cookie;

	o->asking = NULL;
	forget(o);
	json = span_trim(json);
	o->too_much = json.n > OVERVIEW_MOST;
	if (o->too_much)
		return;
	o->nodes = mem_alloc(json.n);
	o->n = json.n;
	memcpy(o->nodes, json.p, json.n);
	o->found = loop_now(o->loop);
}

static void ask_if_due(struct overview *o, struct cluster *c)
{
	mono_us now = loop_now(o->loop);

	if (o->asking || now < o->due)
		return;
	o->due = mono_after(now, OVERVIEW_EVERY);
	o->asking = cluster_matrix(c, on_done, o);
}

static void put_age(const struct overview *o, struct buf *b)
{
	if (o->nodes)
		buf_put_u64(b, (uint64_t)(loop_now(o->loop) - o->found) / 1000 / DUR_SECOND);
	else
		buf_put_str(b, "null");
}

char *overview_json(struct overview *o, struct cluster *c, size_t *bytes)
{
	bool too_many = cluster_members(c) > OVERVIEW_NODES;
	struct buf b;

	if (too_many)
		forget(o);
	else
		ask_if_due(o, c);
	b = buf_over(mem_alloc(o->n + FRAME_BYTES), o->n + FRAME_BYTES);
	buf_put_str(&b, "{\"age_s\":");
	put_age(o, &b);
	buf_printf(&b, ",\"every_s\":%d,\"too_many\":%s,\"nodes\":", (int)(OVERVIEW_EVERY / DUR_SECOND),
		   too_many || o->too_much ? "true" : "false");
	buf_put(&b, o->nodes ? span_of(o->nodes, o->n) : SPAN("[]"));
	buf_put_str(&b, "}\n");
	CHECK_THAT(!b.full);
	*bytes = b.n;
	return b.p;
}
