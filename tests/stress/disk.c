/* disk: kill -9 at random moments, while objects are written, read, replaced, purged and evicted.
 *
 * A child does that until it is killed; then the store is opened again. What is there has the bytes that its key and
 * version say, at once and when strays have been found; and where nothing had to be evicted, everything that the child
 * was told to be stored is there.
 *
 * 100 rounds, times PMC_TEST_SCALE percent. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/unit/cache/disk_ground.h"

#define MB ((uint64_t)1024 * 1024)
#define KEYS 120
#define AT_ONCE 6
#define MOST_LIFE_MS 120

/* Survives the child. */
struct shared {
	unsigned begun[KEYS]; /* versions */
	unsigned sure[KEYS];  /* the child was told that this one is stored; 0: none, or it is being changed */
};

static void begin(struct disk_ground *t, const char *path, uint64_t size)
{
	memset(t, 0, sizeof(*t));
	ground_init(&t->g);
	t->clock.clock = clock_system;
	snprintf(t->path, sizeof(t->path), "%s", path);
	t->settings = (struct disk_settings){
		.path = t->path,
		.size = size,
		.max_object = size,
		.clock = &clock_system,
	};
	disk_ground_start(t);
	assert_non_null(t->disk);
}

static void end(struct disk_ground *t)
{
	disk_ground_stop(t);
	ground_fini(&t->g);
}

static struct object object_of(unsigned n, unsigned version)
{
	static const size_t sizes[] = {0, 700, 10000, 65536, 90000, 400000};

	return (struct object){.n = n, .bytes = sizes[n % 6] + n, .version = version};
}

static unsigned version_of(struct disk_file *f)
{
	struct head *h = disk_file_head(f);
	char *fields = span_dup(span_of(h->text, h->n)), *field = strstr(fields, "X-Version: ");
	unsigned version = 0;

	assert_non_null(field);
	assert_int_equal(sscanf(field, "X-Version: %u", &version), 1);
	free(fields);
	head_unref(&h);
	return version;
}

/* 0: not there. Fails the test when something else than what its version says is served. */
static unsigned there(struct disk_ground *t, unsigned n)
{
	struct object o = object_of(n, 0);
	struct disk_file *f = object_find(t, &o);
	int is;

	if (!f)
		return 0;
	o.version = version_of(f);
	is = file_is(f, &o);
	assert_int_not_equal(is, -1);
	disk_hit(t->disk, f, 1);
	disk_file_unref(&f);
	return is == 1 ? o.version : 0;
}

struct several {
	struct putting v[AT_ONCE];
	unsigned keys[AT_ONCE], versions[AT_ONCE];
	unsigned n;
};

static void on_several(void *arg)
{
	struct several *s = arg;

	for (unsigned i = 0; i < s->n; i++)
		if (s->v[i].w)
			putting_more(&s->v[i]);
}

/* The test's `ok` is of the last alone, so each is looked up. */
static void put_several(struct disk_ground *t, struct rng *rng, struct shared *sh)
{
	struct several s = {0};

	for (; s.n < AT_ONCE; s.n++) {
		unsigned n = (unsigned)rng_below(rng, KEYS / AT_ONCE) * AT_ONCE + s.n;
		struct object o = object_of(n, sh->begun[n] + 1);

		s.keys[s.n] = n;
		s.versions[s.n] = ++sh->begun[n];
		sh->sure[n] = 0;
		if (object_begin(t, &o, o.bytes, &s.v[s.n]))
			t->left++;
	}
	if (t->left) {
		loop_post(t->g.loop, on_several, &s);
		ground_run(&t->g);
	}
	for (unsigned i = 0; i < s.n; i++) {
		free(s.v[i].body);
		if (there(t, s.keys[i]) == s.versions[i])
			sh->sure[s.keys[i]] = s.versions[i];
	}
}

static _Noreturn void live(const char *path, uint64_t size, uint64_t seed, struct shared *sh)
{
	struct disk_ground t;
	struct rng rng;

	rng_seed(&rng, seed);
	begin(&t, path, size);
	for (;;) {
		unsigned n = (unsigned)rng_below(&rng, KEYS);
		struct key key = object_key(n);

		switch (rng_below(&rng, 8)) {
		case 0:
			sh->sure[n] = 0;
			disk_purge(t.disk, &key);
			break;
		case 1:
		case 2:
			put_several(&t, &rng, sh);
			break;
		default:
			there(&t, n);
		}
	}
}

static void kill_child(pid_t child, struct rng *rng)
{
	struct timespec life = {.tv_nsec =
					(long)rng_below(rng, MOST_LIFE_MS) * 1000000 + (long)rng_below(rng, 1000000)};
	int status;

	nanosleep(&life, NULL);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it has not ended by itself */
}

static unsigned check(const char *path, uint64_t size, const struct shared *sh, bool all)
{
	struct disk_ground t;
	unsigned n_there = 0;

	begin(&t, path, size);
	for (unsigned n = 0; n < KEYS; n++)
		assert_true(there(&t, n) <= sh->begun[n]);
	disk__settle(t.disk);
	for (unsigned n = 0; n < KEYS; n++) {
		unsigned version = there(&t, n);

		assert_true(version <= sh->begun[n]);
		if (all && sh->sure[n] && version < sh->sure[n])
			fail_msg("object %u, version %u was stored, but there is %u", n, sh->sure[n], version);
		n_there += version > 0;
	}
	assert_int_equal(disk_counts(t.disk).quarantined, 0);
	assert_true(disk_counts(t.disk).used <= size);
	end(&t);
	return n_there;
}

static void killed_at_any_moment(void **state)
{
	const char *scale = getenv("PMC_TEST_SCALE");
	unsigned rounds = scale ? (unsigned)atoi(scale) : 100, n_there = 0;
	char path[] = "/tmp/pmc-stress-disk-XXXXXX";
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rng rng;

	(void)state;
	assert_ptr_not_equal(sh, MAP_FAILED);
	assert_non_null(mkdtemp(path));
	rng_seed(&rng, 7);
	for (unsigned round = 0; round < (rounds ? rounds : 1); round++) {
		bool narrow = round % 3 == 2; /* evicts */
		uint64_t size = narrow ? 3 * MB : 100 * MB;
		pid_t child;

		if (narrow)
			memset(sh->sure, 0, sizeof(sh->sure));
		fflush(stdout);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			live(path, size, round, sh);
		kill_child(child, &rng);
		n_there += check(path, size, sh, !narrow);
		if (narrow)
			memset(sh->sure, 0, sizeof(sh->sure));
	}
	printf("%u rounds: %.1f of %d objects on average, all as they were written\n", rounds,
	       (double)n_there / (rounds ? rounds : 1), KEYS);
	assert_true(n_there > rounds);
	nftw(path, disk_ground_rm, 16, FTW_DEPTH | FTW_PHYS);
	munmap(sh, sizeof(*sh));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
