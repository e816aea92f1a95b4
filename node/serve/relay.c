#include "node/serve/relay.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define PIPE_BYTES (32 * 1024)
#define READS_A_TURN 8

/* One direction. */
struct pipe {
	struct stream *from, *to;
	char *bytes; /* read, not yet written: at .. n; only while there are some */
	size_t at, n;
	bool ended;      /* `from` has ended */
	bool end_passed; /* and `to` has been told */
	uint64_t passed;
};

struct relay {
	unsigned magic;
	struct loop *loop;
	struct stream *a, *b;
	struct pipe up, down; /* a → b, b → a */
	struct timer idle;
	dur_ms idle_ms;
	struct deferred job;
	relay_on_end_f *on_end;
	void *cookie;
};

#define RELAY_MAGIC 0x4e1a70b5

static void relay_free(struct relay *r)
{
	loop_defer_cancel(r->loop, &r->job);
	timer_fini(&r->idle);
	free(r->up.bytes);
	free(r->down.bytes);
	r->magic = 0;
	free(r);
}

static void end(struct relay *r, enum stream_end how)
{
	uint64_t down = r->down.passed, up = r->up.passed;
	relay_on_end_f *on_end = r->on_end;
	void *cookie = r->cookie;

	stream_close(&r->a, how);
	stream_close(&r->b, how);
	relay_free(r);
	on_end(cookie, down, up);
}

enum pass { PASS_ON, PASS_WAIT, PASS_FAILED };

static enum pass write_out(struct pipe *p)
{
	while (p->at < p->n) {
		struct span rest = span_of(p->bytes + p->at, p->n - p->at);
		ssize_t n = stream_write(p->to, &rest, 1);

		if (n == STREAM_FAILED)
			return PASS_FAILED;
		if (n == STREAM_AGAIN)
			return PASS_WAIT;
		p->at += (size_t)n;
		p->passed += (uint64_t)n;
	}
	p->at = p->n = 0;
	return PASS_ON;
}

static enum pass pass(struct pipe *p)
{
	for (int i = 0; i < READS_A_TURN; i++) {
		enum pass step = write_out(p);
		ssize_t n;

		if (step != PASS_ON)
			return step;
		if (p->ended) {
			if (!p->end_passed)
				stream_end_writing(p->to);
			p->end_passed = true;
			return PASS_WAIT;
		}
		if (!p->bytes)
			p->bytes = mem_alloc(PIPE_BYTES);
		n = stream_read(p->from, p->bytes, PIPE_BYTES);
		if (n == STREAM_FAILED)
			return PASS_FAILED;
		if (n == STREAM_AGAIN)
			break;
		p->ended = n == 0;
		p->n = (size_t)n;
	}
	if (p->at == p->n) { /* an idle tunnel holds no buffers */
		free(p->bytes);
		p->bytes = NULL;
	}
	return PASS_WAIT;
}

static unsigned wants(const struct pipe *reads, const struct pipe *writes)
{
	unsigned events = 0;

	if (!reads->ended && reads->at == reads->n)
		events |= STREAM_READ;
	if (writes->at < writes->n)
		events |= STREAM_WRITE;
	return events;
}

static void go(struct relay *r)
{
	uint64_t before = r->up.passed + r->down.passed;

	if (pass(&r->up) == PASS_FAILED || pass(&r->down) == PASS_FAILED) {
		end(r, STREAM_CUT);
		return;
	}
	if (r->up.end_passed && r->down.end_passed) {
		end(r, STREAM_CLEAN);
		return;
	}
	if (r->up.passed + r->down.passed != before)
		timer_set_in(&r->idle, r->idle_ms);
	stream_want(r->a, wants(&r->up, &r->down));
	stream_want(r->b, wants(&r->down, &r->up));
}

static void on_ready(void *cookie, unsigned events)
{
	struct relay *r = cookie;

	(void)events;
	CHECK(r, RELAY_MAGIC);
	go(r);
}

static void on_start(void *arg)
{
	go(arg);
}

static void on_idle(void *arg)
{
	end(arg, STREAM_CUT);
}

static void prime(struct pipe *p, struct span first)
{
	if (!first.n)
		return;
	p->bytes = mem_alloc(first.n > PIPE_BYTES ? first.n : PIPE_BYTES);
	memcpy(p->bytes, first.p, first.n);
	p->n = first.n;
}

struct relay *relay_start(struct stream **a, struct stream **b, struct span for_a, struct span for_b, dur_ms idle,
			  relay_on_end_f *on_end, void *cookie)
{
	struct relay *r = NEW(struct relay);

	r->magic = RELAY_MAGIC;
	r->loop = (*a)->loop;
	r->a = *a;
	r->b = *b;
	*a = *b = NULL;
	r->up = (struct pipe){.from = r->a, .to = r->b};
	r->down = (struct pipe){.from = r->b, .to = r->a};
	r->idle_ms = idle;
	r->on_end = on_end;
	r->cookie = cookie;
	prime(&r->up, for_b);
	prime(&r->down, for_a);
	timer_init(&r->idle, r->loop, on_idle, r);
	timer_set_in(&r->idle, idle);
	stream_set_handler(r->a, on_ready, r);
	stream_set_handler(r->b, on_ready, r);
	loop_defer(r->loop, &r->job, on_start, r);
	return r;
}

void relay_cancel(struct relay **rp)
{
	struct relay *r = *rp;

	if (!r)
		return;
	CHECK(r, RELAY_MAGIC);
	*rp = NULL;
	stream_close(&r->a, STREAM_CUT);
	stream_close(&r->b, STREAM_CUT);
	relay_free(r);
}
