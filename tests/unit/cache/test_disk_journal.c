/* The index on the disk: what is damaged is noticed, what is good is used, the rest is found from the files. */
#include "node/base/clock.h"
#include "tests/unit/cache/disk_ground.h"

#define MB ((size_t)1024 * 1024)
#define OBJECTS 60

static void fill(struct disk_ground *t)
{
	disk_ground_init(t, 100 * MB);
	for (unsigned i = 0; i < OBJECTS; i++)
		assert_true(object_put(t, &(struct object){.n = i, .bytes = 100 + 1000 * i}));
}

static void all_is_there(struct disk_ground *t)
{
	disk__settle(t->disk);
	assert_int_equal(disk_counts(t->disk).objects, OBJECTS);
	for (unsigned i = 0; i < OBJECTS; i++)
		assert_true(object_is_there(t, &(struct object){.n = i, .bytes = 100 + 1000 * i}));
}

static char *journal_of(const struct disk_ground *t)
{
	char *path = mem_alloc(100);

	snprintf(path, 100, "%s/journal", t->path);
	return path;
}

static void ignore(void *cookie, const struct disk_note *note)
{
	(void)cookie;
	(void)note;
}

static bool is_noticed(const struct disk_ground *t)
{
	int folder = disk_ops_system.open(&disk_ops_system, AT_FDCWD, t->path, DISK_OPEN_FOLDER);
	struct disk_loaded loaded;
	struct disk_journal j;
	bool damaged;

	disk_journal_init(&j, &disk_ops_system, folder);
	disk_journal_load(&j, ignore, NULL, &loaded);
	damaged = j.damaged;
	disk_journal_fini(&j);
	disk_ops_system.close(&disk_ops_system, folder);
	return damaged;
}

static void a_flipped_byte_in_the_journal(void **state)
{
	struct disk_ground t;
	struct stat st;
	char *path;

	(void)state;
	fill(&t);
	path = journal_of(&t);
	for (unsigned i = 0; i < 60; i++) {
		disk_ground_stop(&t);
		assert_int_equal(stat(path, &st), 0);
		flip_byte(path, i < 20 ? i * 6 : i * (uint64_t)(st.st_size - 1) / 60);
		assert_true(is_noticed(&t));
		disk_ground_start(&t);
		all_is_there(&t);
	}
	free(path);
	disk_ground_fini(&t);
}

static void a_journal_cut_lengthened_emptied_lost(void **state)
{
	struct disk_ground t;
	char *path, command[300];

	(void)state;
	fill(&t);
	path = journal_of(&t);
	for (unsigned i = 0; i < 9; i++) {
		struct stat st;

		disk_ground_stop(&t);
		assert_int_equal(stat(path, &st), 0);
		switch (i) {
		case 0:
			assert_int_equal(truncate(path, st.st_size - 1), 0);
			break;
		case 1:
			assert_int_equal(truncate(path, st.st_size / 2), 0);
			break;
		case 2:
			assert_int_equal(truncate(path, 100), 0);
			break;
		case 3:
			assert_int_equal(truncate(path, 0), 0);
			break;
		case 4:
			assert_int_equal(unlink(path), 0);
			break;
		case 5:
			assert_int_equal(truncate(path, st.st_size + 6400), 0); /* zeros */
			break;
		case 6:
			snprintf(command, sizeof(command), "head -c 100000 /dev/urandom > %s", path);
			assert_int_equal(system(command), 0);
			break;
		case 7:
			snprintf(command, sizeof(command), "head -c 100000 /dev/urandom >> %s", path);
			assert_int_equal(system(command), 0);
			break;
		default: /* the second half before the first: no record in another's place */
			snprintf(
				command, sizeof(command),
				"f=%s; (head -c 128 $f; tail -c 1280 $f; tail -c +129 $f | head -c -1280) > $f.2 && mv "
				"$f.2 $f",
				path);
			assert_int_equal(system(command), 0);
		}
		disk_ground_start(&t);
		assert_non_null(t.disk);
		all_is_there(&t);
	}
	free(path);
	disk_ground_fini(&t);
}

/* What was appended within the last second and is lost with a kill is found again; also when all of it is. */
static void purged_does_not_come_back(void **state)
{
	struct key key = object_key(7);
	struct disk_ground t;
	char command[300];

	(void)state;
	fill(&t);
	disk__settle(t.disk);
	/* The power goes after the purge was written down, and brings the file back. */
	snprintf(command, sizeof(command), "cp -a %s/objects %s/before", t.path, t.path);
	assert_int_equal(system(command), 0);
	assert_int_equal(disk_purge(t.disk, &key), 1);
	for (int round = 0; round < 2; round++) {
		disk_ground_stop(&t);
		snprintf(command, sizeof(command), "rm -r %s/objects; cp -a %s/before %s/objects", t.path, t.path,
			 t.path);
		assert_int_equal(system(command), 0);
		disk_ground_start(&t);
		disk__settle(t.disk);
		assert_int_equal(disk_counts(t.disk).objects, OBJECTS - 1);
		assert_false(object_is_there(&t, &(struct object){.n = 7, .bytes = 7100}));
	}
	disk_ground_fini(&t);
}

/* Hits and age survive a restart. */
static void popularity_survives(void **state)
{
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 3 * MB);
	for (unsigned i = 0; i < 40; i++)
		assert_true(object_put(&t, &(struct object){.n = i, .bytes = 50000}));
	for (unsigned i = 0; i < 5; i++) {
		struct disk_file *f = object_find(&t, &(struct object){.n = i, .bytes = 50000});

		disk_hit(t.disk, f, 5);
		disk_file_unref(&f);
	}
	disk_ground_restart(&t);
	for (unsigned i = 40; i < 90; i++)
		assert_true(object_put(&t, &(struct object){.n = i, .bytes = 50000}));
	for (unsigned i = 0; i < 5; i++)
		assert_true(object_is_there(&t, &(struct object){.n = i, .bytes = 50000}));
	assert_false(object_is_there(&t, &(struct object){.n = 6, .bytes = 50000}));
	disk_ground_fini(&t);
}

/* The journal does not grow for ever. */
static void the_journal_is_rewritten(void **state)
{
	struct disk_note note = {.op = DISK_NOTE_GONE};
	struct disk_ground t;
	struct stat st;
	char *path;

	(void)state;
	fill(&t);
	path = journal_of(&t);
	disk__lock(t.disk);
	for (unsigned i = 0; i < 20000; i++)
		disk_notes_put(&t.disk->index.notes, &note);
	disk__unlock(t.disk);
	disk__settle(t.disk);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, (OBJECTS + 2) * 64);
	free(path);
	disk_ground_restart(&t);
	all_is_there(&t);
	disk_ground_fini(&t);
}

static void the_index_cannot_be_written(void **state)
{
	struct disk_ground t;

	(void)state;
	fill(&t);
	disk__settle(t.disk);
	t.faulty.write_error = EIO;
	disk_purge(t.disk, &(struct key[]){object_key(7)}[0]);
	disk__settle(t.disk);
	assert_true(disk_counts(t.disk).read_only);
	t.faulty.write_error = 0;
	clock_fake_pass(&t.clock, 11 * DUR_SECOND);
	disk__settle(t.disk);
	assert_true(object_put(&t, &(struct object){.n = 7, .bytes = 7100}));
	disk_ground_restart(&t);
	all_is_there(&t);
	disk_ground_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flipped_byte_in_the_journal),
		cmocka_unit_test(a_journal_cut_lengthened_emptied_lost),
		cmocka_unit_test(purged_does_not_come_back),
		cmocka_unit_test(popularity_survives),
		cmocka_unit_test(the_journal_is_rewritten),
		cmocka_unit_test(the_index_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
