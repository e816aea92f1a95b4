/* A million objects: what they cost in memory, and how long they take to load. */
#include <malloc.h>
#include <time.h>

#include "tests/unit/cache/disk_ground.h"

#define MANY 1000000u

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* Under a sanitizer mallinfo knows nothing, and times mean nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEASURED false
#else
#define MEASURED true
#endif
#else
#define MEASURED true
#endif

static void fill(struct disk_index *x)
{
	struct rng rng;

	rng_seed(&rng, 1);
	for (uint64_t i = 1; i <= MANY; i++) {
		struct disk_new what = {{rng_next(&rng), rng_next(&rng)}, 0, i, 10000 + i % 1000, i % 2 == 0};

		disk_index_add(x, &what);
	}
}

struct all {
	const struct disk_index *x;
	unsigned shard;
};

static size_t next(void *cookie, struct disk_note *v)
{
	struct all *a = cookie;
	size_t n = 0;

	for (; a->shard < DISK_SHARDS && n < DISK_JOURNAL_PIECE / 2; a->shard++) {
		const struct map *m = &a->x->shards[a->shard];

		for (struct map_node *node = map_next(m, NULL); node; node = map_next(m, node))
			disk_index_note((struct disk_rec *)(void *)((char *)node - offsetof(struct disk_rec, node)),
					&v[n++]);
	}
	return n;
}

static void apply(void *cookie, const struct disk_note *note)
{
	disk_index_apply(cookie, note);
}

static void a_million_objects(void **state)
{
	char path[] = "/tmp/pmc-index-XXXXXX";
	struct disk_index *x = NEW(struct disk_index);
	struct disk_journal j;
	struct disk_loaded loaded;
	struct all all = {.x = x};
	size_t before = in_use(), bytes;
	double begin, took;
	int folder;

	(void)state;
	assert_non_null(mkdtemp(path));
	folder = disk_ops_system.open(&disk_ops_system, AT_FDCWD, path, DISK_OPEN_FOLDER);
	disk_index_init(x);
	fill(x);
	disk_notes_fini(&x->notes); /* written and forgotten each second */
	bytes = in_use() - before;
	disk_journal_init(&j, &disk_ops_system, folder);
	begin = seconds();
	assert_int_equal(disk_journal_rewrite(&j, next, &all), 0);
	took = seconds() - begin;
	disk_index_fini(x);
	disk_journal_fini(&j);
	printf("a million objects: %.1f bytes of memory each; written in %.2f s", (double)bytes / MANY, took);
	if (MEASURED)
		assert_in_range(bytes / MANY, 100, 200);

	disk_index_init(x);
	disk_journal_init(&j, &disk_ops_system, folder);
	begin = seconds();
	disk_journal_load(&j, apply, x, &loaded);
	disk_index_loaded(x);
	took = seconds() - begin;
	printf(", loaded in %.2f s\n", took);
	assert_int_equal(loaded.good, MANY);
	assert_int_equal(loaded.bad, 0);
	assert_int_equal(x->n, MANY);
	if (MEASURED)
		assert_true(took < 3); /* a busy machine's; alone it is a fraction of a second */
	disk_index_fini(x);
	disk_journal_fini(&j);
	disk_ops_system.close(&disk_ops_system, folder);
	free(x);
	nftw(path, disk_ground_rm, 16, FTW_DEPTH | FTW_PHYS);
}

/* In the order of weights, then of age; hits are seen when it is about to go. */
static void the_least_wanted_goes_first(void **state)
{
	struct disk_index *x = NEW(struct disk_index);
	struct disk_rec *r[10];

	(void)state;
	disk_index_init(x);
	for (uint64_t i = 0; i < 10; i++)
		r[i] = disk_index_add(x, &(struct disk_new){{i << 32, i}, 0, i + 1, 100, false});
	assert_ptr_equal(disk_index_first(x), r[0]);
	r[0]->hits = 2;
	assert_ptr_equal(disk_index_first(x), r[1]);
	disk_index_remove(x, r[1], DISK_OUT);
	assert_ptr_equal(disk_index_first(x), r[2]);
	assert_int_equal(x->n, 9);
	assert_int_equal(x->charge, 9 * disk_index_charge(100));
	assert_ptr_equal(disk_index_find(x, (uint64_t)5 << 32, 6), r[5]);
	assert_null(disk_index_find(x, (uint64_t)5 << 32, 7));
	assert_null(disk_index_next(x, &(struct disk_id){(uint64_t)5 << 32, 4}, NULL));
	disk_index_fini(x);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_objects),
		cmocka_unit_test(the_least_wanted_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
