#include "node/cluster/matrix.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "proto/peermsg.h"

#define AT_ONCE 8
#define LIMIT_MS (5 * DUR_SECOND)

struct asked {
	struct matrix *matrix;
	struct nodecall *call;
	char name[PEERMSG_NAME_BYTES + 1], host[ADDR_TEXT_BYTES];
	uint16_t port;
};

struct matrix {
	unsigned magic;
	struct matrix_ground ground;
	matrix_on_done_f *on_done;
	void *cookie;
	struct asked *v;
	size_t n, next, under_way;
	struct deferred job;
	char *text;
	size_t text_n, room;
};

#define MATRIX_MAGIC 0x3a741203

static void matrix_free(struct matrix *m)
{
	for (size_t i = 0; i < m->n; i++)
		nodecall_cancel(&m->v[i].call);
	loop_defer_cancel(m->ground.loop, &m->job);
	nodetls_unref(&m->ground.tls);
	free(m->v);
	free(m->text);
	m->magic = 0;
	free(m);
}

static void append(struct matrix *m, struct span s)
{
	if (m->room - m->text_n < s.n) {
		m->room = 2 * (m->room + s.n);
		m->text = mem_realloc(m->text, m->room);
	}
	memcpy(m->text + m->text_n, s.p, s.n);
	m->text_n += s.n;
}

/* It is gone before its owner hears of it. */
static void finish(struct matrix *m)
{
	matrix_on_done_f *on_done = m->on_done;
	void *cookie = m->cookie;
	char *text;
	size_t n;

	append(m, SPAN("]\n"));
	text = m->text;
	n = m->text_n;
	m->text = NULL;
	matrix_free(m);
	on_done(cookie, span_of(text, n));
	free(text);
}

static void go_on(void *arg);

static void put_error(struct matrix *m, const struct asked *a, struct span why)
{
	char room[JSON_GROWTH * (PEERMSG_NAME_BYTES + 256) + 64];
	struct buf b = buf_over(room, sizeof(room));

	buf_put_str(&b, ",\n{\"node\":");
	json_put_string(&b, span_str(a->name));
	buf_put_str(&b, ",\"error\":");
	json_put_string(&b, span_upto(why, 256));
	buf_putc(&b, '}');
	append(m, buf_span(&b));
}

static void on_answer(void *cookie, int status, struct span body, bool more)
{
	struct asked *a = cookie;
	struct matrix *m = a->matrix;
	char text[64];

	(void)more;
	CHECK(m, MATRIX_MAGIC);
	a->call = NULL;
	m->under_way--;
	if (status == 200) {
		append(m, SPAN(",\n"));
		append(m, span_trim(body));
	} else if (status) {
		snprintf(text, sizeof(text), "it answered %d", status);
		put_error(m, a, span_str(text));
	} else {
		put_error(m, a, body);
	}
	go_on(m);
}

static void ask(struct matrix *m, struct asked *a)
{
	struct nodecall_ask q = {
		.node = span_str(a->name),
		.host = span_str(a->host),
		.port = a->port,
		.path = SPAN("/.pmc/v1/peers"),
		.limit = LIMIT_MS,
	};

	m->under_way++;
	a->call = nodecall_start(m->ground.loop, m->ground.dns, m->ground.pool, m->ground.tls, &q, on_answer, a);
}

static void go_on(void *arg)
{
	struct matrix *m = arg;

	while (m->next < m->n && m->under_way < AT_ONCE)
		ask(m, &m->v[m->next++]);
	if (!m->under_way)
		finish(m);
}

static void note(void *cookie, const struct peer_view *view)
{
	struct matrix *m = cookie;
	struct asked *a = &m->v[m->n];

	if (m->n == PEER_MOST_MEMBERS || !view->member.addr.len)
		return;
	*a = (struct asked){.matrix = m, .port = addr_port(&view->member.addr)};
	snprintf(a->name, sizeof(a->name), "%s", view->member.name);
	addr_format_ip(&view->member.addr, a->host);
	m->n++;
}

struct matrix *matrix_start(const struct matrix_ground *ground, struct span own, matrix_on_done_f *on_done,
			    void *cookie)
{
	struct matrix *m = NEW(struct matrix);

	m->magic = MATRIX_MAGIC;
	m->ground = *ground;
	m->ground.tls = nodetls_ref(ground->tls);
	m->on_done = on_done;
	m->cookie = cookie;
	m->v = mem_zalloc(PEER_MOST_MEMBERS * sizeof(*m->v));
	peer_set_each(ground->set, note, m);
	append(m, SPAN("["));
	append(m, span_trim(own));
	loop_defer(ground->loop, &m->job, go_on, m);
	return m;
}

void matrix_cancel(struct matrix **mp)
{
	struct matrix *m = *mp;

	*mp = NULL;
	if (!m)
		return;
	CHECK(m, MATRIX_MAGIC);
	matrix_free(m);
}
