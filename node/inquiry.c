#include "node/inquiry.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "node/admin/control_words.h"
#include "node/base/mem.h"
#include "node/cluster/matrix.h"
#include "node/net/stream_loan.h"

struct inquiry {
	LIST_ENTRY(inquiry) entry;
	struct control_reply *reply; /* NULL: of an import */
	struct stream_loan loan;
	struct explain *explain;
	struct matrix *matrix;
	struct refresh *refresh;
	struct listing *listing;
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
		listing_cancel(&q->listing);
		if (q->reply)
			control_fail(q->reply, "the node stops");
		else
			stream_loan_end(&q->loan, STREAM_CUT);
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

/* ---- import ---- */

static void say(struct stream *s, struct span first, struct span rest)
{
	if (!s)
		return;
	stream_push(s, first);
	stream_push(s, rest);
}

static void on_brought(void *cookie, struct span json)
{
	struct inquiry *q = cookie;

	say(q->loan.stream, SPAN("ok\n"), json);
	stream_loan_end(&q->loan, STREAM_CLEAN);
	end(q);
}

void inquiry_import(struct inquiries *all, const struct refresh_ground *ground, struct span url, struct stream **s)
{
	struct inquiry *q = begin(all, NULL);
	char text[CONTROL_WORDS_ANSWER_MAX];
	struct buf b = buf_over(text, sizeof(text));
	const char *why;

	q->loan.stream = *s;
	*s = NULL;
	q->refresh = refresh_bring(ground, url, &q->loan, on_brought, q, &why);
	if (q->refresh)
		return;
	control_words_error(&b, span_str(why));
	say(q->loan.stream, buf_span(&b), SPAN_NONE);
	stream_loan_end(&q->loan, STREAM_CLEAN);
	end(q);
}

/* ---- lists ---- */

static enum control_piece on_listed_piece(void *cookie, struct span json)
{
	return control_piece(((struct inquiry *)cookie)->reply, json);
}

static void on_listed(void *cookie)
{
	struct inquiry *q = cookie;

	control_answer(q->reply, SPAN_NONE);
	end(q);
}

void inquiry_list(struct inquiries *all, const struct listing_ground *ground, enum purgerec_kind kind,
		  struct span value, struct control_reply *reply)
{
	struct inquiry *q = begin(all, reply);
	const char *why;

	q->listing = listing_start(ground, kind, value, on_listed_piece, on_listed, q, &why);
	if (q->listing)
		return;
	control_fail(reply, why);
	end(q);
}

void inquiry_matrix(struct inquiries *all, struct cluster *cluster, struct control_reply *reply)
{
	struct inquiry *q = begin(all, reply);

	q->matrix = cluster_matrix(cluster, on_answer, q);
}
