#include "node/admin/errands.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"

#define WHY_BYTES 400
/* Each key and each fault gets quotes and a comma. */
#define RELOADED_BYTES (JSON_GROWTH * (ERRANDS_FAULTS_BYTES + ERRANDS_WAITING_BYTES) + 256)

enum kind { RELOAD, ROTATE, UPGRADE };

struct errand {
	LIST_ENTRY(errand) entry;
	struct errands *all;
	enum kind kind;
	struct control_reply *reply; /* NULL: answered, and the log's thread has it still */
	uint64_t ticket;             /* of a reload: which */
	int error;                   /* of a rotation; the log's thread writes it, and then posts */
	const char *path;            /* of a rotation */
};

struct errands {
	unsigned magic;
	struct loop *loop;
	LIST_HEAD(, errand) list;
	_Atomic uint64_t tickets; /* how many have asked for a reload */
	uint64_t begun;           /* the main thread's: how many had, when it began */
};

#define ERRANDS_MAGIC 0xe44a4d51

struct errands *errands_new(struct loop *loop)
{
	struct errands *all = NEW(struct errands);

	all->magic = ERRANDS_MAGIC;
	all->loop = loop;
	LIST_INIT(&all->list);
	return all;
}

static void end(struct errand *e)
{
	LIST_REMOVE(e, entry);
	free(e);
}

void errands_free(struct errands *all)
{
	struct errand *e, *next;

	if (!all)
		return;
	CHECK(all, ERRANDS_MAGIC);
	errands_fail(all, "the node stops");
	for (e = LIST_FIRST(&all->list); e; e = next) {
		next = LIST_NEXT(e, entry);
		end(e);
	}
	all->magic = 0;
	free(all);
}

void errands_fail(struct errands *all, const char *why)
{
	struct errand *e, *next;

	CHECK(all, ERRANDS_MAGIC);
	for (e = LIST_FIRST(&all->list); e; e = next) {
		next = LIST_NEXT(e, entry);
		if (e->reply)
			control_fail(e->reply, why);
		e->reply = NULL;
		if (e->kind != ROTATE)
			end(e);
	}
}

static struct errand *begin(struct errands *all, enum kind kind, struct control_reply *reply)
{
	struct errand *e = NEW(struct errand);

	CHECK(all, ERRANDS_MAGIC);
	e->all = all;
	e->kind = kind;
	e->reply = reply;
	LIST_INSERT_HEAD(&all->list, e, entry);
	return e;
}

/* ---- reload ---- */

void errands_reload(struct errands *all, struct control_reply *reply)
{
	begin(all, RELOAD, reply)->ticket = atomic_fetch_add(&all->tickets, 1) + 1;
	kill(getpid(), SIGHUP); /* after the ticket: who takes the signal sees it */
}

void errands_reload_begins(struct errands *all)
{
	CHECK(all, ERRANDS_MAGIC);
	all->begun = atomic_load(&all->tickets);
}

struct reloaded {
	struct errands *all;
	uint64_t upto;
	size_t n;
	char json[];
};

static void on_reloaded(void *arg)
{
	struct reloaded *r = arg;
	struct errand *e, *next;

	for (e = LIST_FIRST(&r->all->list); e; e = next) {
		next = LIST_NEXT(e, entry);
		if (e->kind != RELOAD || e->ticket > r->upto)
			continue;
		control_answer(e->reply, span_of(r->json, r->n));
		end(e);
	}
	free(r);
}

/* The pieces of a text as an array of strings; empty ones are left out. */
static void put_pieces(struct buf *b, struct span text, struct span between)
{
	bool first = true;

	buf_putc(b, '[');
	while (text.n) {
		size_t n = 0;

		while (n < text.n && !span_starts(span_from(text, n), between))
			n++;
		if (n) {
			buf_put(b, first ? SPAN_NONE : SPAN(","));
			json_put_string(b, span_upto(text, n));
			first = false;
		}
		text = span_from(text, n + between.n < text.n ? n + between.n : text.n);
	}
	buf_putc(b, ']');
}

static void put_reloaded(struct buf *b, const struct errands_reloaded *result)
{
	buf_put(b, result->in_force ? SPAN("{\"in_force\":true,\"faults\":") : SPAN("{\"in_force\":false,\"faults\":"));
	/* What is said of one that is in force is a warning, and in the log. */
	put_pieces(b, result->in_force ? SPAN_NONE : span_str(result->faults), SPAN("\n"));
	buf_put(b, SPAN(",\"waits_for_restart\":"));
	put_pieces(b, span_str(result->waiting), SPAN(", "));
	buf_put(b, SPAN("}\n"));
}

void errands_reload_ended(struct errands *all, const struct errands_reloaded *result)
{
	struct reloaded *r = mem_alloc(sizeof(*r) + RELOADED_BYTES);
	struct buf b = buf_over(r->json, RELOADED_BYTES);

	CHECK(all, ERRANDS_MAGIC);
	put_reloaded(&b, result);
	CHECK_THAT(!b.full);
	r->all = all;
	r->upto = all->begun;
	r->n = b.n;
	loop_post(all->loop, on_reloaded, r);
}

/* ---- rotate ---- */

static void say_rotated(struct errand *e)
{
	char text[4096 * JSON_GROWTH + 64], why[WHY_BYTES];
	struct buf b = buf_over(text, sizeof(text));

	if (e->error) {
		snprintf(why, sizeof(why), "rotating %s: %s", e->path, strerror(e->error));
		control_fail(e->reply, why);
		return;
	}
	buf_put(&b, SPAN("{\"file\":"));
	json_put_string(&b, span_str(e->path));
	buf_put(&b, SPAN("}\n"));
	control_answer(e->reply, buf_span(&b));
}

static void on_rotated(void *arg)
{
	struct errand *e = arg;

	if (e->reply)
		say_rotated(e);
	end(e);
}

/* The log's thread. */
static void on_reopened(void *cookie, int error)
{
	struct errand *e = cookie;

	e->error = error;
	loop_post(e->all->loop, on_rotated, e);
}

void errands_rotate(struct errands *all, struct accesslog *log, const char *path, struct control_reply *reply)
{
	struct errand *e = begin(all, ROTATE, reply);

	e->path = path;
	if (accesslog_reopen(log, on_reopened, e))
		return;
	control_fail(reply, "this node writes no access log");
	end(e);
}

/* ---- upgrade ---- */

/* NULL: nobody waits for one. */
static struct errand *find_upgrade(struct errands *all)
{
	struct errand *e;

	CHECK(all, ERRANDS_MAGIC);
	LIST_FOREACH(e, &all->list, entry)
	if (e->kind == UPGRADE)
		return e;
	return NULL;
}

void errands_upgrade(struct errands *all, struct control_reply *reply)
{
	if (find_upgrade(all)) {
		control_fail(reply, "another upgrade is under way");
		return;
	}
	begin(all, UPGRADE, reply);
	kill(getpid(), SIGUSR2);
}

void errands_upgraded(struct errands *all)
{
	struct errand *e = find_upgrade(all);

	if (!e)
		return;
	control_answer(e->reply, SPAN("{}"));
	end(e);
}

struct failed {
	struct errands *all;
	char why[];
};

static void on_upgrade_failed(void *arg)
{
	struct failed *f = arg;
	struct errand *e = find_upgrade(f->all);

	if (e) {
		control_fail(e->reply, f->why);
		end(e);
	}
	free(f);
}

void errands_upgrade_failed(struct errands *all, const char *why)
{
	size_t n = strlen(why) + 1;
	struct failed *f = mem_alloc(sizeof(*f) + n);

	CHECK(all, ERRANDS_MAGIC);
	f->all = all;
	memcpy(f->why, why, n);
	loop_post(all->loop, on_upgrade_failed, f);
}
