/* A folder that goes over to another process while this one still reads. */
#include "tests/unit/cache/disk_ground.h"

#define MB ((size_t)1024 * 1024)

static void start_heir(struct disk_ground *heir, const struct disk_ground *old)
{
	disk_ground_init(heir, 10 * MB);
	disk_ground_stop(heir);
	heir->settings.path = old->path;
	disk_ground_start(heir);
	assert_string_equal(heir->why, "");
	assert_non_null(heir->disk);
}

static void on_purged(void *cookie, unsigned n)
{
	struct disk_ground *t = cookie;

	t->purged = n;
	loop_stop(t->g.loop);
}

static bool fits_all(void *cookie, const struct head *head, const uint8_t *digest)
{
	(void)cookie;
	(void)head;
	(void)digest;
	return true;
}

static void the_heir_has_all_and_what_is_open_is_read_on(void **state)
{
	struct object large = {.n = 1, .bytes = 3 * MB}, small = {.n = 2, .bytes = 1000};
	struct disk_ground t, heir;
	struct disk_file *open;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &large));
	assert_true(object_put(&t, &small));
	open = object_find(&t, &large);
	assert_non_null(open);
	disk_let_go(t.disk);
	start_heir(&heir, &t);
	assert_true(object_is_there(&heir, &large));
	assert_true(object_is_there(&heir, &small));
	assert_int_equal(file_is(open, &large), 1);
	disk_file_unref(&open);
	disk_ground_stop(&t);
	assert_true(object_is_there(&heir, &large));
	disk_ground_fini(&heir);
	disk_ground_fini(&t);
}

static void nothing_is_found_stored_or_removed_any_more(void **state)
{
	struct object there = {.n = 1, .bytes = 100000}, other = {.n = 2, .bytes = 1000};
	struct key key = object_key(there.n);
	struct disk_ground t, heir;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &there));
	disk_let_go(t.disk);
	start_heir(&heir, &t);
	assert_false(disk_has(t.disk, &key));
	assert_false(object_is_there(&t, &there));
	assert_false(object_put(&t, &other));
	assert_true(disk_counts(t.disk).read_only);
	assert_int_equal(disk_scrub_start(t.disk, 0), -1);
	t.purged = 77;
	disk_purge_if(t.disk, fits_all, t.g.loop, on_purged, &t);
	ground_run(&t.g);
	assert_int_equal(t.purged, 0);
	disk_purge(t.disk, &key);
	disk_ground_stop(&t);
	disk__settle(heir.disk);
	assert_true(object_is_there(&heir, &there));
	disk_ground_fini(&heir);
	disk_ground_fini(&t);
}

static void what_is_being_written_is_not_published(void **state)
{
	struct object o = {.n = 2, .bytes = 400000};
	struct disk_ground t, heir;
	struct putting p;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_non_null(object_begin(&t, &o, UINT64_MAX, &p));
	assert_true(disk_writer_put(p.w, span_of(p.body, 30000)) > 0);
	disk_writer_flush(p.w);
	p.given = 30000; /* the rest follows when these are written */
	disk_let_go(t.disk);
	start_heir(&heir, &t);
	t.left = 1;
	t.ok = true;
	ground_run(&t.g);
	assert_false(t.ok);
	free(p.body);
	disk_ground_stop(&t);
	disk__settle(heir.disk);
	assert_false(object_is_there(&heir, &o));
	assert_true(object_put(&heir, &o));
	disk_ground_fini(&heir);
	disk_ground_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_heir_has_all_and_what_is_open_is_read_on),
		cmocka_unit_test(nothing_is_found_stored_or_removed_any_more),
		cmocka_unit_test(what_is_being_written_is_not_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
