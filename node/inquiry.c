#include "node/inquiry.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "node/base/mem.h"
#include "node/cluster/matrix.h"

struct inquiry {
	LIST_ENTRY(inquiry) entry;
	struct control_reply *reply;
	struct explain *explain;
	struct matrix *matrix;
	struct refresh *refresh;
};

struct inquiries {
	LIST_HEAD(, inquiry) list;
};

struct inquiries *inquiries_new(void)
{
	struct inquiries *all = NEW(struct inquiries);

	LIST_INIT(&all->list);
	return all;
}

void inquiries_free(struct inquiries *all)
{
	struct inquiry *q, *next;

	if (!all)
		return;
	for (q = LIST_FIRST(&all->list); q; q = next) {
		next = LIST_NEXT(q, entry);
		explain_cancel(&q->explain);
		matrix_cancel(&q->matrix);
		refresh_cancel(&q->refresh);
		control_fail(q->reply, "the node stops");
		free(q);
	}
	free(all);
}

static struct inquiry *begin(struct inquiries *all, struct control_reply *reply)
{
	struct inquiry *q = NEW(struct inquiry);

	q->reply = reply;
	LIST_INSERT_HEAD(&all->list, q, entry);
	return q;
}

static void end(struct inquiry *q)
{
	LIST_REMOVE(q, entry);
	free(q);
}

static void on_answer(void *cookie, struct span json)
{
	struct inquiry *q = cookie;

	control_answer(q->reply, json);
	end(q);
}

void inquiry_explain(struct inquiries *all, const struct explain_ground *ground, struct span url,
		     struct control_reply *reply)
{
	struct inquiry *q = begin(all, reply);
	const char *why;

	q->explain = explain_start(ground, url, on_answer, q, &why);
	if (q->explain)
		return;
	control_fail(reply, why);
	end(q);
}

void inquiry_refresh(struct inquiries *all, const struct refresh_ground *ground, struct span url,
		     struct control_reply *reply)
{
	struct inquiry *q = begin(all, reply);
	const char *why;

	q->refresh = refresh_start(ground, url, on_answer, q, &why);
	if (q->refresh)
		return;
	control_fail(reply, why);
	end(q);
}

void inquiry_matrix(struct inquiries *all, struct cluster *cluster, struct control_reply *reply)
{
	struct inquiry *q = begin(all, reply);

	q->matrix = cluster_matrix(cluster, on_answer, q);
}
