/* What can go wrong with a disk: nothing of it may stop the program, or make it serve a wrong byte. */
#include "tests/unit/cache/disk_ground.h"

#define MB ((size_t)1024 * 1024)

static void pause_is_over(struct disk_ground *t)
{
	clock_fake_pass(&t->clock, 11 * DUR_SECOND);
}

/* Each error at each call of a write: not stored, said, nothing left lying; and when it is over, all is as before. */
static void writes_that_fail(void **state)
{
	static const int errors[] = {ENOSPC, EIO, EROFS, EDQUOT};
	struct object there = {.n = 1, .bytes = 3000}, small = {.n = 2, .bytes = 3000},
		      large = {.n = 4, .bytes = 3 * MB};
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	assert_true(object_put(&t, &there));
	for (unsigned i = 0; i < 4 * 4; i++) {
		_Atomic int *where[] = {&t.faulty.write_error, &t.faulty.write_error, &t.faulty.open_error,
					&t.faulty.rename_error};
		uint64_t failures = disk_counts(t.disk).write_failures;

		t.faulty.write_after = i % 4 == 1 ? (int)MB : 0;
		*where[i % 4] = errors[i / 4];
		assert_false(object_put(&t, i % 4 == 1 ? &large : &small));
		assert_true(disk_counts(t.disk).write_failures > failures);
		assert_true(disk_counts(t.disk).read_only);
		assert_null(object_find(&t, &small));
		assert_true(object_is_there(&t, &there));
		/* For a while it is not even tried. */
		*where[i % 4] = 0;
		t.faulty.write_after = 0;
		assert_false(object_put(&t, &small));
		pause_is_over(&t);
		assert_true(object_put(&t, &large));
		assert_false(disk_counts(t.disk).read_only);
		disk_purge(t.disk, &(struct key[]){object_key(4)}[0]);
		disk__settle(t.disk);
		assert_int_equal(disk_counts(t.disk).objects, 1);
		assert_int_equal(t.disk->reserved + t.disk->promised + t.disk->buffered, 0);
	}
	assert_true(object_is_there(&t, &there));
	disk_ground_fini(&t);
}

static void short_writes_are_continued(void **state)
{
	struct object o = {.n = 2, .bytes = 300000};
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	t.faulty.short_writes = true;
	assert_true(object_put(&t, &o));
	assert_true(object_is_there(&t, &o));
	disk_ground_restart(&t);
	assert_true(object_is_there(&t, &o));
	disk_ground_fini(&t);
}

static void reads_that_fail(void **state)
{
	struct object small = {.n = 1, .bytes = 3000}, large = {.n = 2, .bytes = 3 * MB};
	struct disk_ground t;
	struct disk_file *f;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	assert_true(object_put(&t, &small));
	assert_true(object_put(&t, &large));
	disk_ground_restart(&t);
	f = object_find(&t, &large);
	assert_non_null(f);
	t.faulty.read_error = EIO;
	assert_null(object_find(&t, &small));
	assert_int_equal(file_is(f, &large), 0);
	disk_file_unref(&f);
	t.faulty.read_error = 0;
	assert_null(object_find(&t, &small));
	assert_null(object_find(&t, &large));
	assert_true(disk_counts(t.disk).read_failures >= 2);
	assert_int_equal(disk_counts(t.disk).quarantined, 2);
	disk__settle(t.disk);
	assert_null(disk_ground_only_file(&t));
	disk_ground_fini(&t);
}

static void files_that_vanish(void **state)
{
	struct disk_ground t;
	struct disk_file *open_one;
	char command[200];

	(void)state;
	disk_ground_init(&t, 100 * MB);
	for (unsigned i = 0; i < 20; i++)
		assert_true(object_put(&t, &(struct object){.n = i, .bytes = 100000}));
	open_one = object_find(&t, &(struct object){.n = 0, .bytes = 100000});
	snprintf(command, sizeof(command), "rm -r %s/objects/*", t.path);
	assert_int_equal(system(command), 0);
	for (unsigned i = 1; i < 10; i++)
		assert_null(object_find(&t, &(struct object){.n = i, .bytes = 100000}));
	assert_int_equal(file_is(open_one, &(struct object){.n = 0, .bytes = 100000}), 1);
	disk_file_unref(&open_one);
	assert_true(object_put(&t, &(struct object){.n = 1, .bytes = 100000}));
	assert_true(object_is_there(&t, &(struct object){.n = 1, .bytes = 100000}));
	/* After a restart those that nobody asked for are found out too. */
	disk_ground_restart(&t);
	disk__settle(t.disk);
	assert_int_equal(disk_counts(t.disk).objects, 1);
	disk_ground_fini(&t);
}

/* One byte, anywhere: never served, in quarantine, and not there afterwards. */
static void flipped_bytes(size_t bytes, unsigned times, uint64_t seed)
{
	struct object o = {.n = 2, .bytes = bytes};
	struct disk_ground t;
	struct rng rng;

	rng_seed(&rng, seed);
	disk_ground_init(&t, 100 * MB);
	for (unsigned i = 0; i < times; i++) {
		struct stat st;
		uint64_t at;
		char *path;

		assert_true(object_put(&t, &o));
		path = disk_ground_only_file(&t);
		assert_int_equal(stat(path, &st), 0);
		/* The head, the end, and anywhere. */
		at = rng_below(&rng, (uint64_t)st.st_size);
		if (i % 4 == 1)
			at = rng_below(&rng, st.st_size < 512 ? (uint64_t)st.st_size : 512);
		if (i % 4 == 2)
			at = (uint64_t)st.st_size - 1 - rng_below(&rng, 128);
		flip_byte(path, at);
		assert_false(object_is_there(&t, &o));
		assert_null(object_find(&t, &o));
		assert_int_equal(disk_counts(t.disk).quarantined, i + 1);
		disk__settle(t.disk);
		assert_int_not_equal(access(path, F_OK), 0);
		assert_int_equal(disk_counts(t.disk).objects, 0);
		free(path);
	}
	disk_ground_fini(&t);
}

static void a_flipped_byte_is_never_served(void **state)
{
	(void)state;
	flipped_bytes(0, 20, 1);
	flipped_bytes(1000, 250, 2);
	flipped_bytes(300000, 150, 3);
}

/* As the walk sees it after the index was lost. */
static void a_flipped_byte_is_not_taken_in(void **state)
{
	struct object o = {.n = 2, .bytes = 1000};
	struct disk_ground t;
	char journal[100];

	(void)state;
	disk_ground_init(&t, 100 * MB);
	snprintf(journal, sizeof(journal), "%s/journal", t.path);
	for (uint64_t at = 0; at < 1400; at += 97) {
		char *path;

		assert_true(object_put(&t, &o));
		path = disk_ground_only_file(&t);
		flip_byte(path, at);
		disk_ground_stop(&t);
		assert_int_equal(unlink(journal), 0);
		disk_ground_start(&t);
		disk__settle(t.disk);
		assert_int_equal(disk_counts(t.disk).objects, 0);
		assert_int_not_equal(access(path, F_OK), 0);
		free(path);
	}
	disk_ground_fini(&t);
}

/* Cut short, grown, empty, and another file's bytes in its place. */
static void other_damage(void **state)
{
	struct object o = {.n = 2, .bytes = 200000}, other = {.n = 4, .bytes = 200000};
	struct disk_ground t;
	char command[400];

	(void)state;
	disk_ground_init(&t, 100 * MB);
	for (unsigned i = 0; i < 5; i++) {
		char *path, *second;

		assert_true(object_put(&t, &o));
		path = disk_ground_only_file(&t);
		if (i == 0)
			assert_int_equal(truncate(path, 150000), 0);
		if (i == 1)
			assert_int_equal(truncate(path, 0), 0);
		if (i == 2)
			assert_int_equal(truncate(path, 100), 0);
		if (i >= 3) {
			disk_purge(t.disk, &(struct key[]){object_key(2)}[0]);
			disk__settle(t.disk);
			assert_true(object_put(&t, &other));
			second = disk_ground_only_file(&t);
			assert_true(object_put(&t, &o));
			free(path);
			snprintf(command, sizeof(command), "find %s/objects -type f ! -path %s", t.path, second);
			path = mem_zalloc(300);
			{
				FILE *f = popen(command, "r");

				assert_non_null(fgets(path, 300, f));
				path[strcspn(path, "\n")] = 0;
				pclose(f);
			}
			snprintf(command, sizeof(command), "cp %s %s", second, path);
			assert_int_equal(system(command), 0);
			free(second);
		}
		assert_false(object_is_there(&t, &o));
		assert_null(object_find(&t, &o));
		free(path);
		disk_purge(t.disk, &(struct key[]){object_key(4)}[0]);
		disk__settle(t.disk);
	}
	disk_ground_fini(&t);
}

static void quarantine_is_bounded(void **state)
{
	struct disk_ground t;
	char folder[100];
	unsigned n = 0;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	for (unsigned i = 0; i < 130; i++) {
		struct object o = {.n = i, .bytes = 1000};
		char *path;

		assert_true(object_put(&t, &o));
		path = disk_ground_only_file(&t);
		flip_byte(path, 300);
		free(path);
		assert_null(object_find(&t, &o));
		disk__settle(t.disk);
	}
	for (int round = 0; round < 2; round++) {
		FILE *f;

		snprintf(folder, sizeof(folder), "ls %s/quarantine | wc -l", t.path);
		f = popen(folder, "r");
		assert_int_equal(fscanf(f, "%u", &n), 1);
		pclose(f);
		assert_int_equal(n, 100);
		assert_int_equal(t.disk->quarantine_bytes, 100 * disk_index_charge(1500));
		disk_ground_restart(&t);
	}
	disk_ground_fini(&t);
}

/* A folder that cannot be written from the beginning: what is there is served. */
static void a_read_only_folder_serves(void **state)
{
	struct object o = {.n = 2, .bytes = 200000};
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	assert_true(object_put(&t, &o));
	disk_ground_stop(&t);
	t.faulty.open_error = t.faulty.rename_error = t.faulty.unlink_error = t.faulty.write_error = EROFS;
	disk_ground_start(&t);
	assert_non_null(t.disk);
	assert_true(disk_counts(t.disk).read_only);
	assert_true(object_is_there(&t, &o));
	assert_false(object_put(&t, &(struct object){.n = 4, .bytes = 10}));
	disk_purge(t.disk, &(struct key[]){object_key(2)}[0]);
	assert_false(object_is_there(&t, &o));
	/* It can be written after all. */
	t.faulty.open_error = t.faulty.rename_error = t.faulty.unlink_error = t.faulty.write_error = 0;
	pause_is_over(&t);
	disk__settle(t.disk);
	assert_true(object_put(&t, &(struct object){.n = 4, .bytes = 10}));
	disk_ground_restart(&t);
	disk__settle(t.disk);
	assert_int_equal(disk_counts(t.disk).objects, 1);
	disk_ground_fini(&t);
}

/* Files that cannot be unlinked still count, and go later. */
static void unlinking_that_fails(void **state)
{
	struct object o = {.n = 2, .bytes = 200000};
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	assert_true(object_put(&t, &o));
	t.faulty.unlink_error = EIO;
	disk_purge(t.disk, &(struct key[]){object_key(2)}[0]);
	disk__settle(t.disk);
	assert_true(disk_counts(t.disk).used > 200000);
	t.faulty.unlink_error = 0;
	disk__settle(t.disk);
	disk__settle(t.disk);
	assert_true(disk_counts(t.disk).used < 10000);
	assert_null(disk_ground_only_file(&t));
	disk_ground_fini(&t);
}

static void no_folder_is_said(void **state)
{
	struct disk_ground t;
	struct disk_settings s;
	char why[200];

	(void)state;
	disk_ground_init(&t, 100 * MB);
	s = t.settings;
	s.path = "/proc/nothing/here";
	assert_null(disk_open(&s, why, sizeof(why)));
	assert_non_null(strstr(why, "/proc/nothing/here"));
	disk_ground_fini(&t);
}

/* The index halves of two keys are the same: what is there is not for the other. */
static void a_collision_serves_nothing(void **state)
{
	struct object o = {.n = 2, .bytes = 2000};
	struct hdrs *fields = NEW(struct hdrs);
	struct index_ask ask = object_ask(&o, fields);
	struct disk_ground t;
	struct disk_file *f;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	assert_true(object_put(&t, &o));
	ask.key.b[20] ^= 1;
	assert_true(disk_has(t.disk, &ask.key));
	assert_int_equal(disk_find_now(t.disk, &ask, &f, NULL), DISK_NONE);
	assert_true(object_is_there(&t, &o));
	free(fields);
	disk_ground_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_that_fail),
		cmocka_unit_test(short_writes_are_continued),
		cmocka_unit_test(reads_that_fail),
		cmocka_unit_test(files_that_vanish),
		cmocka_unit_test(a_flipped_byte_is_never_served),
		cmocka_unit_test(a_flipped_byte_is_not_taken_in),
		cmocka_unit_test(other_damage),
		cmocka_unit_test(quarantine_is_bounded),
		cmocka_unit_test(a_read_only_folder_serves),
		cmocka_unit_test(unlinking_that_fails),
		cmocka_unit_test(no_folder_is_said),
		cmocka_unit_test(a_collision_serves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
