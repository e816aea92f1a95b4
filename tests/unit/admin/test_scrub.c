/* The scrub as it is ordered and as it comes by itself, over a real folder, with a clock that passes when it is told. */
#include "tests/unit/cache/disk_ground.h"

#include <sys/time.h>

#include "node/admin/scrub.h"
#include "node/base/metric.h"

#define MB ((uint64_t)1024 * 1024)

struct scene {
	struct disk_ground t;
	struct loop *loop; /* by the same clock */
	struct metrics metrics;
	struct scrub *scrub;
	char path[96], said[SCRUB_JSON_BYTES];
};

static void open_scrub(struct scene *s)
{
	s->scrub = scrub_new(&(struct scrub_ground){
		.loop = s->loop,
		.disk = s->t.disk,
		.work = s->t.work,
		.metrics = &s->metrics,
		.path = s->path,
	});
}

/* One that can be damaged and five more. */
static struct scene *scene_new(void)
{
	struct scene *s = calloc(1, sizeof(*s));

	disk_ground_init(&s->t, 100 * MB);
	s->loop = loop_new(1, &s->t.clock.clock);
	snprintf(s->path, sizeof(s->path), "%s/scrubbed", s->t.path);
	assert_true(object_put(&s->t, &(struct object){.n = 1, .bytes = 300000}));
	return s;
}

static void scene_free(struct scene *s)
{
	scrub_free(s->scrub);
	work_free(&s->t.work);
	loop_free(s->loop);
	disk_ground_fini(&s->t);
	free(s);
}

static void pass(struct scene *s, dur_ms d)
{
	clock_fake_pass(&s->t.clock, d);
	ground_turn(s->loop);
}

static bool order(struct scene *s, const char *how)
{
	struct buf b = buf_over(s->said, sizeof(s->said) - 1);
	const char *why = NULL;
	bool good = scrub_order(s->scrub, span_str(how), &b, &why);

	s->said[b.n] = '\0';
	assert_true(good || why);
	return good;
}

static void assert_said(struct scene *s, const char *piece)
{
	order(s, "status");
	if (!strstr(s->said, piece))
		fail_msg("%s: %s", piece, s->said);
}

static void await_end(struct scene *s)
{
	struct disk *d = s->t.disk;

	disk__lock(d);
	while (!d->scrubbed.done)
		pthread_cond_wait(&d->quiet, &d->lock);
	disk__unlock(d);
}

static void damage(struct scene *s)
{
	char *path = disk_ground_only_file(&s->t), byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(1, pread(fd, &byte, 1, 100000));
	byte = (char)(byte ^ 1);
	assert_int_equal(1, pwrite(fd, &byte, 1, 100000));
	close(fd);
	free(path);
}

static void by_order(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	damage(s);
	for (unsigned i = 2; i < 7; i++)
		assert_true(object_put(&s->t, &(struct object){.n = i, .bytes = i * 1000}));
	open_scrub(s);
	assert_said(s, "\"state\":\"never\"");
	assert_said(s, "\"next_s\":null");
	assert_false(order(s, "stop"));
	assert_false(order(s, "now"));
	assert_false(order(s, "start=fast"));
	assert_true(order(s, "start=0"));
	await_end(s);
	assert_said(s, "\"state\":\"done\",\"asked\":true,\"objects\":6,\"total\":6");
	assert_said(s, "\"damaged\":1");
	assert_int_equal(6, s->metrics.v[METRIC_SCRUBBED]);
	assert_int_equal(1, s->metrics.v[METRIC_SCRUB_DAMAGED]);
	assert_int_equal(1, disk_counts(s->t.disk).quarantined);
	scene_free(s);
}

static void one_at_a_time_and_it_can_be_stopped(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	open_scrub(s);
	assert_true(order(s, "start=1"));
	assert_false(order(s, "start=0"));
	assert_said(s, "\"state\":\"running\"");
	assert_true(order(s, "stop"));
	await_end(s);
	assert_said(s, "\"state\":\"stopped\"");
	assert_true(order(s, "start=0"));
	await_end(s);
	assert_said(s, "\"state\":\"done\"");
	scene_free(s);
}

static void set_age(const struct scene *s, int64_t age_s)
{
	time_t at = (time_t)(s->t.clock.wall_now / 1000 - age_s);
	struct timeval both[2] = {{.tv_sec = at}, {.tv_sec = at}};

	close(open(s->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	assert_int_equal(0, utimes(s->path, both));
}

/* A week after the last whole one, which may have been another process's. */
static void in_the_background(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	set_age(s, 6 * 86400);
	open_scrub(s);
	scrub_set(s->scrub, 7 * DUR_DAY, 0);
	assert_said(s, "\"next_s\":86400");
	pass(s, DUR_DAY - 10 * DUR_SECOND);
	assert_said(s, "\"state\":\"never\"");
	pass(s, 11 * DUR_SECOND);
	await_end(s);
	pass(s, 2 * DUR_SECOND); /* it looks by itself */
	assert_said(s, "\"state\":\"done\",\"asked\":false,\"objects\":1");
	assert_said(s, "\"next_s\":604800");
	scrub_set(s->scrub, 0, 0);
	assert_said(s, "\"next_s\":null");
	scene_free(s);
}

/* Not in the first minute, when there is other work. */
static void what_is_overdue_waits_a_minute(void **state)
{
	struct scene *s = scene_new();

	(void)state;
	set_age(s, 60 * 86400);
	open_scrub(s);
	scrub_set(s->scrub, 7 * DUR_DAY, 0);
	assert_said(s, "\"next_s\":0");
	pass(s, 50 * DUR_SECOND);
	assert_said(s, "\"state\":\"never\"");
	pass(s, 11 * DUR_SECOND);
	await_end(s);
	assert_said(s, "\"state\":\"done\"");
	scene_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_order),
		cmocka_unit_test(one_at_a_time_and_it_can_be_stopped),
		cmocka_unit_test(in_the_background),
		cmocka_unit_test(what_is_overdue_waits_a_minute),
	};

	return cmocka_run_group_tests_name("scrub", tests, NULL, NULL);
}
