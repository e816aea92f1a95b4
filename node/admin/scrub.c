#include "node/admin/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define LOOK_MS (1 * DUR_SECOND) /* while one runs */
#define SOON_MS (1 * DUR_MINUTE) /* after a start there is other work */

enum state { NEVER, RUNNING, DONE, STOPPED };

struct scrub {
	unsigned magic;
	struct scrub_ground ground;
	char *path;
	dur_ms interval;
	uint64_t rate; /* in the background */
	enum state state;
	bool asked, stopping;
	uint64_t rate_now;
	mono_us began, ended;
	mono_us last; /* when the last whole one ended, as if the clock had run since */
	struct disk_scrub seen;
	struct timer timer; /* to look how far it is, or to begin the next one */
};

#define SCRUB_MAGIC 0x5c4bb1e0

/* ---- what is remembered ---- */

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return;
	futimens(fd, NULL);
	close(fd);
}

static void touch_and_free(void *arg)
{
	touch(arg);
	free(arg);
}

/* A date in the future is none. */
static mono_us last_by_file(const struct scrub *s)
{
	mono_us now = loop_now(s->ground.loop);
	struct stat st;
	wall_ms age;

	if (stat(s->path, &st) < 0) {
		touch(s->path);
		return now;
	}
	age = loop_wall(s->ground.loop) - ((wall_ms)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
	return age > 0 ? now - age * 1000 : now;
}

static void remember(struct scrub *s)
{
	char *path = span_dup(span_str(s->path));

	s->last = loop_now(s->ground.loop);
	if (work_start_later(s->ground.work, touch_and_free, NULL, NULL, path) < 0)
		free(path);
}

/* ---- the course of one ---- */

static void plan(struct scrub *s)
{
	mono_us due = mono_after(s->last, s->interval), soon = mono_after(loop_now(s->ground.loop), SOON_MS);

	if (s->state == RUNNING)
		timer_set_in(&s->timer, LOOK_MS);
	else if (s->interval)
		timer_set(&s->timer, due > soon ? due : soon);
	else
		timer_clear(&s->timer);
}

static bool start(struct scrub *s, bool asked, uint64_t rate)
{
	if (disk_scrub_start(s->ground.disk, rate) < 0)
		return false;
	s->state = RUNNING;
	s->asked = asked;
	s->stopping = false;
	s->rate_now = rate;
	s->began = loop_now(s->ground.loop);
	s->seen = (struct disk_scrub){0};
	plan(s);
	return true;
}

static void ended(struct scrub *s)
{
	s->state = s->stopping ? STOPPED : DONE;
	s->ended = loop_now(s->ground.loop);
	log_line(s->ground.log, s->seen.bad ? LOG_WARNING : LOG_NOTICE, "scrub",
		 "%s after %llu of %llu objects; %llu damaged ones are in quarantine", s->stopping ? "stopped" : "done",
		 (unsigned long long)s->seen.objects, (unsigned long long)s->seen.total,
		 (unsigned long long)s->seen.bad);
	if (s->state == DONE)
		remember(s);
	plan(s);
}

static void look(struct scrub *s)
{
	struct disk_scrub now;

	if (s->state != RUNNING)
		return;
	disk_scrub_look(s->ground.disk, &now);
	metric_add(s->ground.metrics, METRIC_SCRUBBED, now.objects - s->seen.objects);
	metric_add(s->ground.metrics, METRIC_SCRUB_DAMAGED, now.bad - s->seen.bad);
	s->seen = now;
	if (now.done)
		ended(s);
}

static void on_timer(void *arg)
{
	struct scrub *s = arg;

	CHECK(s, SCRUB_MAGIC);
	if (s->state == RUNNING)
		look(s);
	else
		start(s, false, s->rate);
	plan(s);
}

struct scrub *scrub_new(const struct scrub_ground *g)
{
	struct scrub *s = NEW(struct scrub);

	s->magic = SCRUB_MAGIC;
	s->ground = *g;
	s->ground.path = s->path = span_dup(span_str(g->path));
	s->last = last_by_file(s);
	timer_init(&s->timer, g->loop, on_timer, s);
	return s;
}

void scrub_free(struct scrub *s)
{
	if (!s)
		return;
	CHECK(s, SCRUB_MAGIC);
	timer_fini(&s->timer);
	free(s->path);
	s->magic = 0;
	free(s);
}

void scrub_set(struct scrub *s, dur_ms interval, uint64_t rate)
{
	CHECK(s, SCRUB_MAGIC);
	s->interval = interval;
	s->rate = rate;
	plan(s);
}

/* ---- orders ---- */

static void put(const struct scrub *s, struct buf *b)
{
	static const char *const words[] = {
		[NEVER] = "never", [RUNNING] = "running", [DONE] = "done", [STOPPED] = "stopped"};
	mono_us now = loop_now(s->ground.loop), due = mono_after(s->last, s->interval);
	mono_us took = s->state == NEVER ? 0 : (s->state == RUNNING ? now : s->ended) - s->began;

	buf_printf(b, "{\"state\":\"%s\",\"asked\":%s,\"objects\":", words[s->state], s->asked ? "true" : "false");
	buf_put_u64(b, s->seen.objects);
	buf_put_str(b, ",\"total\":");
	buf_put_u64(b, s->seen.total);
	buf_put_str(b, ",\"bytes\":");
	buf_put_u64(b, s->seen.bytes);
	buf_put_str(b, ",\"damaged\":");
	buf_put_u64(b, s->seen.bad);
	buf_put_str(b, ",\"rate\":");
	buf_put_u64(b, s->rate_now);
	buf_put_str(b, ",\"took_s\":");
	buf_put_i64(b, took / 1000000);
	buf_put_str(b, ",\"next_s\":");
	if (s->interval)
		buf_put_i64(b, due > now ? (due - now) / 1000000 : 0);
	else
		buf_put_str(b, "null");
	buf_put_str(b, "}\n");
}

static void stop_disk(void *arg)
{
	disk_scrub_stop(arg);
}

static bool order_start(struct scrub *s, struct span how, const char **why)
{
	struct span number = span_from(how, sizeof("start=") - 1);
	uint64_t rate = s->rate;

	*why = "start=BYTES wants a number of bytes a second";
	if (!span_eq(how, SPAN("start")) && span_to_u64(number, &rate) < 0)
		return false;
	*why = "a scrub runs already";
	return start(s, true, rate);
}

/* Its thread is at a read, perhaps: a worker waits for it. */
static bool order_stop(struct scrub *s, const char **why)
{
	*why = "no scrub runs";
	if (s->state != RUNNING)
		return false;
	s->stopping = true;
	*why = "the disk has too much to do";
	return work_start(s->ground.work, stop_disk, NULL, NULL, s->ground.disk) == 0;
}

bool scrub_order(struct scrub *s, struct span how, struct buf *json, const char **why)
{
	bool good = true;

	CHECK(s, SCRUB_MAGIC);
	look(s);
	if (span_starts(how, SPAN("start")))
		good = order_start(s, how, why);
	else if (span_eq(how, SPAN("stop")))
		good = order_stop(s, why);
	else if (!span_eq(how, SPAN("status"))) {
		*why = "scrub takes start, start=BYTES, status or stop";
		good = false;
	}
	look(s);
	if (good)
		put(s, json);
	return good;
}
