#include "tests/unit/cache/disk_ground.h"

#define MB ((size_t)1024 * 1024)

static void what_is_put_is_found_also_after_a_restart(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 10000, 65000, 65536, 65537, 131072, 300000, 5 * MB + 1};
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct object o = {.n = i, .bytes = sizes[i]};
			struct key key = object_key(i);

			if (round == 0)
				assert_true(object_put(&t, &o));
			assert_true(object_is_there(&t, &o));
			assert_true(disk_has(t.disk, &key));
		}
		disk__settle(t.disk);
		assert_int_equal(disk_counts(t.disk).objects, sizeof(sizes) / sizeof(sizes[0]));
		disk_ground_restart(&t);
	}
	assert_false(object_is_there(&t, &(struct object){.n = 77}));
	disk_ground_fini(&t);
}

static void a_head_comes_back_as_it_was(void **state)
{
	struct object o = {.n = 3, .bytes = 1000};
	struct disk_ground t;
	struct disk_file *f;
	struct head *h, *was = object_head(&o);
	uint8_t digest[32];
	char *body = object_body(&o), read[1000];
	size_t n;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &o));
	clock_fake_pass(&t.clock, 60 * DUR_SECOND);
	disk_ground_restart(&t);
	t.clock.mono_now = 5000000; /* another process: monotonic time begins anew */
	f = object_find(&t, &o);
	assert_non_null(f);
	h = disk_file_head(f);
	assert_int_equal(h->n, was->n);
	assert_memory_equal(h->text, was->text, was->n + was->phrase_n + was->vary_n + was->url_n);
	assert_int_equal(h->status, 200);
	assert_int_equal(h->terms.lifetime_s, 3600);
	assert_int_equal(h->terms.age_s, 7);
	assert_int_equal(h->date, was->date);
	assert_int_equal(h->length, 1000);
	assert_int_equal(head_here(h, t.clock.mono_now), 60000);
	sha256_of(span_of(body, 1000), digest);
	assert_memory_equal(head_digest(h), digest, 32);
	assert_memory_equal(disk_file_digest(f), digest, 32);
	assert_int_equal(disk_file_read(f, 0, read, sizeof(read), &n),
			 DISK_READ_SOME); /* room for all of it is enough */
	assert_int_equal(n, 1000);
	assert_memory_equal(read, body, 1000);
	free(body);
	head_unref(&h);
	head_unref(&was);
	disk_file_unref(&f);
	disk_ground_fini(&t);
}

static void a_clock_that_was_set_back_makes_stale(void **state)
{
	struct object o = {.n = 3, .bytes = 1000};
	struct disk_ground t;
	struct disk_file *f;
	struct head *h;
	enum fresh_why why;
	struct cachectl q = {0};

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &o));
	clock_fake_pass(&t.clock, -600 * DUR_SECOND);
	f = object_find(&t, &o);
	assert_non_null(f);
	disk_file_unref(&f);
	disk_ground_restart(&t);
	f = object_find(&t, &o);
	assert_non_null(f);
	h = disk_file_head(f);
	assert_true(head_here(h, t.clock.mono_now) < 0);
	assert_int_not_equal(fresh_verdict(&h->terms, &q, head_here(h, t.clock.mono_now), &why), FRESH_SERVE);
	head_unref(&h);
	disk_file_unref(&f);
	disk_ground_fini(&t);
}

static void variants_are_told_apart(void **state)
{
	struct object gzip = {.n = 1, .bytes = 500, .vary = "accept-encoding", .value = "gzip"};
	struct object br = {.n = 1, .bytes = 700, .vary = "accept-encoding", .value = "br"};
	struct object zstd = {.n = 1, .bytes = 700, .vary = "accept-encoding", .value = "zstd"};
	struct object plain = {.n = 1, .bytes = 800};
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &gzip));
	assert_true(object_put(&t, &br));
	for (int round = 0; round < 2; round++) {
		assert_true(object_is_there(&t, &gzip));
		assert_true(object_is_there(&t, &br));
		assert_false(object_is_there(&t, &zstd));
		disk_ground_restart(&t);
	}
	/* One that does not vary takes the place of all. */
	assert_true(object_put(&t, &plain));
	assert_true(object_is_there(&t, &plain));
	disk__settle(t.disk);
	assert_int_equal(disk_counts(t.disk).objects, 1);
	disk_ground_fini(&t);
}

static bool may_be_told(struct disk_ground *t, const struct object *o)
{
	struct key key = object_key(o->n);
	struct key_variant variant = object_variant(o);

	return disk_has_shared(t->disk, key.b, &variant);
}

static size_t all_that_may_be_told(struct disk_ground *t)
{
	struct disk_shared *v;
	size_t all = 0;

	for (unsigned part = 0; part < DISK_PARTS; part++) {
		size_t n = disk_shared(t->disk, part, &v);

		for (size_t i = 0; i < n; i++)
			assert_true(disk_has_shared(t->disk, v[i].key, &(struct key_variant){{0}}));
		free(v);
		all += n;
	}
	return all;
}

static void what_may_go_to_other_nodes_is_known_from_memory(void **state)
{
	struct object mortal = {.n = 1, .bytes = 500}, good = {.n = 2, .bytes = 500, .for_good = true};
	struct object other = {.n = 2, .vary = "accept-encoding", .value = "br"};
	struct object large = {.n = 3, .bytes = 300000, .for_good = true}, absent = {.n = 4};
	struct key key = object_key(large.n);
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &mortal));
	assert_true(object_put(&t, &good));
	assert_true(object_put(&t, &large));
	for (int round = 0; round < 2; round++) {
		assert_false(may_be_told(&t, &mortal));
		assert_true(may_be_told(&t, &good));
		assert_false(may_be_told(&t, &other));
		assert_true(may_be_told(&t, &large));
		assert_false(may_be_told(&t, &absent));
		assert_int_equal(2, all_that_may_be_told(&t));
		disk_ground_restart(&t);
	}
	disk_purge(t.disk, &key);
	assert_false(may_be_told(&t, &large));
	disk_let_go(t.disk);
	assert_false(may_be_told(&t, &good));
	assert_int_equal(0, all_that_may_be_told(&t));
	disk_ground_fini(&t);
}

struct heard {
	struct key key;
	unsigned came, gone, others;
};

static void on_shared(void *cookie, const uint8_t key[DISK_HALF_KEY_BYTES], bool came)
{
	struct heard *h = cookie;

	if (memcmp(key, h->key.b, DISK_HALF_KEY_BYTES) != 0)
		h->others++;
	else if (came)
		h->came++;
	else
		h->gone++;
}

static void what_other_nodes_may_have_is_told_of(void **state)
{
	struct object mortal = {.n = 1, .bytes = 500}, good = {.n = 2, .bytes = 500, .for_good = true};
	struct heard h = {.key = object_key(good.n)};
	struct disk_ground t;
	unsigned n = 0, stored = 0;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	disk_tell_shared(t.disk, on_shared, &h);
	assert_true(object_put(&t, &mortal));
	assert_true(object_put(&t, &good));
	assert_int_equal(h.came, 1);
	assert_int_equal(h.gone, 0);
	assert_true(object_put(&t, &good)); /* the old one goes, the new one comes */
	assert_int_equal(h.came, 2);
	assert_int_equal(h.gone, 1);
	assert_true(disk_has_shared(t.disk, h.key.b, NULL));
	disk_purge(t.disk, &h.key);
	assert_int_equal(h.gone, 2);
	assert_false(disk_has_shared(t.disk, h.key.b, NULL));
	assert_int_equal(h.others, 0);

	assert_true(object_put(&t, &good));
	while (disk_counts(t.disk).evicted < 50) { /* and with them the first */
		struct object large = {.n = 10 + n++, .bytes = 500000, .for_good = true};

		stored += object_put(&t, &large);
		assert_true(n < 1000);
	}
	assert_int_equal(h.came, 3);
	assert_int_equal(h.gone, 3);
	assert_int_equal(h.others, stored + disk_counts(t.disk).evicted - 2); /* but for the mortal one */

	disk_tell_shared(t.disk, NULL, NULL);
	assert_true(object_put(&t, &good));
	assert_int_equal(h.came, 3);
	disk_ground_fini(&t);
}

static void a_new_version_takes_the_place_of_the_old(void **state)
{
	struct object old = {.n = 1, .bytes = 200000}, new = {.n = 1, .bytes = 300000, .version = 2};
	struct disk_ground t;
	struct disk_file *reading;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &old));
	reading = object_find(&t, &old);
	assert_non_null(reading);
	assert_true(object_put(&t, &new));
	assert_true(object_is_there(&t, &new));
	assert_int_equal(file_is(reading, &old), 1); /* who has begun goes on */
	disk__settle(t.disk);
	assert_true(disk_counts(t.disk).used > 500000); /* and it still takes its room */
	disk_file_unref(&reading);
	disk__settle(t.disk);
	assert_true(disk_counts(t.disk).used < 400000);
	disk_ground_restart(&t);
	assert_true(object_is_there(&t, &new));
	assert_int_equal(disk_counts(t.disk).objects, 1);
	disk_ground_fini(&t);
}

static void purged_is_gone(void **state)
{
	struct object o = {.n = 1, .bytes = 20000};
	struct key key = object_key(1);
	struct putting p;
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &o));
	assert_int_equal(disk_purge(t.disk, &key), 1);
	assert_false(object_is_there(&t, &o));
	disk__settle(t.disk);
	assert_null(disk_ground_only_file(&t));
	/* What is being written is not published. */
	assert_non_null(object_begin(&t, &o, UINT64_MAX, &p));
	disk_purge(t.disk, &key);
	t.left = 1;
	loop_post(t.g.loop, on_putting_start, &p);
	ground_run(&t.g);
	assert_false(t.ok);
	free(p.body);
	assert_false(object_is_there(&t, &o));
	disk__settle(t.disk);
	assert_null(disk_ground_only_file(&t));
	disk_ground_restart(&t);
	assert_false(object_is_there(&t, &o));
	disk_ground_fini(&t);
}

static bool is_odd(void *cookie, const struct head *h, const uint8_t *digest)
{
	struct span url = head_url(h);

	(void)cookie;
	(void)digest;
	return url.p[url.n - 1] % 2 == 1;
}

static void on_purged(void *cookie, unsigned n)
{
	struct disk_ground *t = cookie;

	t->purged = n;
	loop_stop(t->g.loop);
}

static void purging_by_a_predicate_reads_heads(void **state)
{
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	for (unsigned i = 0; i < 100; i++)
		assert_true(object_put(&t, &(struct object){.n = i, .bytes = 100 + i}));
	disk_ground_restart(&t);
	disk_purge_if(t.disk, is_odd, t.g.loop, on_purged, &t);
	ground_run(&t.g);
	assert_int_equal(t.purged, 50);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(object_is_there(&t, &(struct object){.n = i, .bytes = 100 + i}), i % 2 == 0);
	disk_ground_fini(&t);
}

/* A loop that is freed before the answer: nobody is called, nothing leaks. */
static void a_purge_outlives_its_loop(void **state)
{
	struct disk_ground t;
	struct loop *loop;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	for (unsigned i = 0; i < 20; i++)
		assert_true(object_put(&t, &(struct object){.n = i, .bytes = 100 + i}));
	loop = loop_new(1, &clock_system);
	disk_purge_if(t.disk, is_odd, loop, on_purged, NULL);
	loop_free(loop);
	disk__settle(t.disk);
	disk_ground_fini(&t);
}

static bool count_one(void *cookie, struct disk_file *f)
{
	unsigned *n = cookie;

	assert_true(disk_file_length(f) >= 100);
	return ++*n < 7;
}

static void each_walks_until_it_is_told(void **state)
{
	struct disk_ground t;
	unsigned n = 0;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	for (unsigned i = 0; i < 20; i++)
		assert_true(object_put(&t, &(struct object){.n = i, .bytes = 100 + i}));
	disk_each(t.disk, count_one, &n);
	assert_int_equal(n, 7);
	disk_ground_fini(&t);
}

static void limits_are_honoured(void **state)
{
	struct disk_ground t;
	unsigned there = 0;

	(void)state;
	disk_ground_init(&t, 2 * MB);
	for (unsigned i = 0; i < 200; i++) {
		struct disk_file *hot;

		assert_true(object_put(&t, &(struct object){.n = i, .bytes = 50000}));
		assert_true(disk_counts(t.disk).used <= 2 * MB);
		/* LFUDA: who is asked for stays. */
		hot = object_find(&t, &(struct object){.n = 0, .bytes = 50000});
		assert_non_null(hot);
		disk_hit(t.disk, hot, 3);
		disk_file_unref(&hot);
	}
	disk__settle(t.disk);
	for (unsigned i = 0; i < 200; i++)
		there += object_is_there(&t, &(struct object){.n = i, .bytes = 50000});
	assert_in_range(there, 25, 40);
	assert_int_equal(disk_counts(t.disk).objects, there);
	/* What cannot fit is not begun. */
	assert_false(object_put(&t, &(struct object){.n = 1001, .bytes = 3 * MB}));
	/* A smaller size after a reload. */
	disk_set_limits(t.disk, MB, 0, 0);
	disk__settle(t.disk);
	assert_true(disk_counts(t.disk).used <= MB);
	disk_ground_fini(&t);
}

/* Its length was not known: it turns out too large while it is written. */
static void what_grows_too_large_fails(void **state)
{
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 2 * MB);
	assert_false(object_put(&t, &(struct object){.n = 2, .bytes = 3 * MB}));
	disk__settle(t.disk);
	assert_true(disk_counts(t.disk).used < 100000);
	assert_true(object_put(&t, &(struct object){.n = 2, .bytes = MB}));
	disk_ground_fini(&t);
}

static void min_free_is_honoured(void **state)
{
	struct disk_ground t;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	t.faulty.free_bytes = 10 * MB;
	disk_set_limits(t.disk, 100 * MB, 0, 9 * MB);
	disk__settle(t.disk);
	assert_true(object_put(&t, &(struct object){.n = 1, .bytes = 300000}));
	assert_false(object_put(&t, &(struct object){.n = 3, .bytes = 2 * MB}));
	t.faulty.free_bytes = 8 * MB;
	disk__settle(t.disk);
	disk__settle(t.disk);
	assert_int_equal(disk_counts(t.disk).objects, 0);
	disk_set_limits(t.disk, 100 * MB, 50, 0); /* of ten times what is free */
	assert_false(object_put(&t, &(struct object){.n = 3, .bytes = 1000}));
	disk_ground_fini(&t);
}

static void a_newer_version_is_refused(void **state)
{
	struct disk_ground t;
	char path[100];
	FILE *f;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &(struct object){.n = 1, .bytes = 10}));
	disk_ground_stop(&t);
	snprintf(path, sizeof(path), "%s/format", t.path);
	f = fopen(path, "w");
	fputs("pmcache store 2\nwho knows\n", f);
	fclose(f);
	disk_ground_start(&t);
	assert_null(t.disk);
	assert_non_null(strstr(t.why, "newer version"));
	work_free(&t.work);
	/* An older one: what can be read stays, what cannot goes; no name is given twice. */
	f = fopen(path, "w");
	fputs("pmcache store 0\n", f);
	fclose(f);
	disk_ground_start(&t);
	assert_non_null(t.disk);
	disk__settle(t.disk);
	assert_true(object_is_there(&t, &(struct object){.n = 1, .bytes = 10}));
	/* Garbage. */
	disk_ground_stop(&t);
	f = fopen(path, "w");
	fputs("\xff\x01 garbage", f);
	fclose(f);
	disk_ground_start(&t);
	assert_non_null(t.disk);
	assert_true(object_is_there(&t, &(struct object){.n = 1, .bytes = 10}));
	assert_true(object_put(&t, &(struct object){.n = 2, .bytes = 10}));
	assert_true(object_is_there(&t, &(struct object){.n = 1, .bytes = 10}));
	disk_ground_fini(&t);
}

static void a_scrub_finds_what_is_damaged(void **state)
{
	struct disk_ground t;
	struct disk_scrub s;
	char *path;

	(void)state;
	disk_ground_init(&t, 100 * MB);
	assert_true(object_put(&t, &(struct object){.n = 1, .bytes = 3 * MB}));
	path = disk_ground_only_file(&t);
	for (unsigned i = 2; i < 20; i++)
		assert_true(object_put(&t, &(struct object){.n = i, .bytes = i * 10000}));
	flip_byte(path, 2 * MB);
	free(path);
	assert_int_equal(disk_scrub_start(t.disk, 0), 0);
	disk__lock(t.disk);
	while (!t.disk->scrubbed.done)
		pthread_cond_wait(&t.disk->quiet, &t.disk->lock);
	disk__unlock(t.disk);
	disk_scrub_look(t.disk, &s);
	assert_int_equal(s.objects, 19);
	assert_int_equal(s.total, 19);
	assert_int_equal(s.bad, 1);
	assert_true(s.done);
	assert_false(object_is_there(&t, &(struct object){.n = 1, .bytes = 3 * MB}));
	assert_int_equal(disk_counts(t.disk).quarantined, 1);
	/* A slow one can be stopped, and only one runs. */
	assert_int_equal(disk_scrub_start(t.disk, 1), 0);
	assert_int_equal(disk_scrub_start(t.disk, 1), -1);
	disk_scrub_stop(t.disk);
	disk_ground_fini(&t);
}

/* Readers follow a file as it grows, by chunks and by parts of them. */
static void a_growing_file_can_be_read(void **state)
{
	struct object o = {.n = 2, .bytes = 400000};
	struct disk_ground t;
	struct disk_file *f;
	struct putting p;
	size_t n, room = 2 * DISK_CHUNK_BYTES;
	char *to = mem_alloc(room);
	uint8_t digest[32];

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_non_null(object_begin(&t, &o, UINT64_MAX, &p));
	f = disk_file_ref(disk_writer_file(p.w));
	assert_int_equal(disk_file_read_now(f, 0, to, room, &n), DISK_READ_SOME);
	assert_int_equal(n, 0);
	p.piece = 0; /* putting_more gives nothing by itself */
	t.left = 1;
	for (size_t at = 0; at < o.bytes; at += 30000) {
		size_t give = o.bytes - at < 30000 ? o.bytes - at : 30000;
		uint64_t from = at / DISK_CHUNK_BYTES * DISK_CHUNK_BYTES;

		assert_int_equal(disk_writer_put(p.w, span_of(p.body + at, give)), give);
		disk_writer_flush(p.w);
		p.given = o.bytes + 1;
		while (disk_file_length(f) < at + give) {
			loop_post(t.g.loop, ground_on_stop, t.g.loop);
			ground_run(&t.g);
		}
		assert_int_not_equal(disk_file_read(f, from, to, room, &n), DISK_READ_BAD);
		assert_int_equal(n, at + give - from);
		assert_memory_equal(to, p.body + from, n);
		assert_null(disk_file_digest(f));
	}
	sha256_of(span_of(p.body, o.bytes), digest);
	disk_writer_end(p.w, digest);
	ground_run(&t.g);
	assert_true(t.ok);
	assert_non_null(disk_file_digest(f));
	assert_int_equal(file_is(f, &o), 1);
	disk_file_unref(&f);
	assert_true(object_is_there(&t, &o));
	free(p.body);
	free(to);
	disk_ground_fini(&t);
}

static void an_aborted_write_leaves_nothing(void **state)
{
	struct object o = {.n = 2, .bytes = 400000};
	struct disk_ground t;
	struct putting p;
	char tmp[80];

	(void)state;
	disk_ground_init(&t, 10 * MB);
	for (int job = 0; job < 2; job++) {
		assert_non_null(object_begin(&t, &o, UINT64_MAX, &p));
		if (job) {
			disk_writer_put(p.w, span_of(p.body, 100000));
			disk_writer_flush(p.w);
		}
		disk_writer_abort(&p.w);
		assert_null(p.w);
		loop_post(t.g.loop, ground_on_stop, t.g.loop);
		ground_run(&t.g);
		free(p.body);
	}
	disk__settle(t.disk);
	loop_post(t.g.loop, ground_on_stop, t.g.loop);
	ground_run(&t.g);
	disk__settle(t.disk);
	assert_int_equal(disk_counts(t.disk).objects, 0);
	assert_int_equal(t.disk->reserved, 0);
	assert_int_equal(t.disk->promised, 0);
	assert_int_equal(t.disk->buffered, 0);
	snprintf(tmp, sizeof(tmp), "%s/tmp", t.path);
	assert_int_equal(rmdir(tmp), 0);
	disk_ground_fini(&t);
}

static void a_worker_finds_what_is_cold(void **state)
{
	struct object o = {.n = 2, .bytes = 400000},
		      gzip = {.n = 1, .bytes = 500, .vary = "accept-encoding", .value = "gzip"};
	struct disk_ground t;
	struct disk_file *f;
	struct hdrs *fields = NEW(struct hdrs);
	struct index_ask ask = object_ask(&o, fields);

	(void)state;
	disk_ground_init(&t, 10 * MB);
	assert_true(object_put(&t, &o));
	assert_true(object_put(&t, &gzip));
	disk_ground_restart(&t);
	t.faulty.cold = true;
	assert_int_equal(disk_find_now(t.disk, &ask, &f, NULL), DISK_COLD);
	assert_null(f);
	f = object_find_by_worker(&t, &o);
	assert_non_null(f);
	assert_int_equal(file_is(f, &o), 1);
	disk_file_unref(&f);
	f = object_find_by_worker(&t, &gzip);
	assert_non_null(f);
	disk_file_unref(&f);
	gzip.value = "br";
	assert_null(object_find_by_worker(&t, &gzip));
	free(fields);
	disk_ground_fini(&t);
}

static void hold(void *arg)
{
	pthread_mutex_t *gate = arg;

	pthread_mutex_lock(gate);
	pthread_mutex_unlock(gate);
}

static void a_full_queue_means_not_stored(void **state)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct object o = {.n = 2, .bytes = 4000};
	struct disk_ground t;
	struct putting p, begun;

	(void)state;
	disk_ground_init(&t, 10 * MB);
	pthread_mutex_lock(&gate);
	assert_non_null(object_begin(&t, &(struct object){.n = 4, .bytes = 5000}, UINT64_MAX, &begun));
	while (work_counts(t.work).waiting_later < WORK_MOST_WAITING / 2)
		assert_int_equal(work_start_later(t.work, hold, NULL, NULL, &gate), 0);
	assert_null(object_begin(&t, &o, UINT64_MAX, &p));
	free(p.body);
	assert_int_equal(disk_counts(t.disk).dropped_writes, 1);
	/* One that has begun may use the other half; then it fails, and is told so. */
	do { /* a worker that was not at work yet takes one away, and makes room */
		while (work_start_later(t.work, hold, NULL, NULL, &gate) == 0)
			;
	} while (work_counts(t.work).running < 2 || work_counts(t.work).waiting_later < WORK_MOST_WAITING);
	t.ok = true;
	t.left = 1;
	loop_post(t.g.loop, on_putting_start, &begun);
	ground_run(&t.g);
	assert_false(t.ok);
	free(begun.body);
	pthread_mutex_unlock(&gate);
	disk_ground_restart(&t);
	assert_true(object_put(&t, &o));
	disk_ground_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_found_also_after_a_restart),
		cmocka_unit_test(a_head_comes_back_as_it_was),
		cmocka_unit_test(a_clock_that_was_set_back_makes_stale),
		cmocka_unit_test(variants_are_told_apart),
		cmocka_unit_test(what_may_go_to_other_nodes_is_known_from_memory),
		cmocka_unit_test(what_other_nodes_may_have_is_told_of),
		cmocka_unit_test(a_new_version_takes_the_place_of_the_old),
		cmocka_unit_test(purged_is_gone),
		cmocka_unit_test(purging_by_a_predicate_reads_heads),
		cmocka_unit_test(a_purge_outlives_its_loop),
		cmocka_unit_test(each_walks_until_it_is_told),
		cmocka_unit_test(limits_are_honoured),
		cmocka_unit_test(what_grows_too_large_fails),
		cmocka_unit_test(min_free_is_honoured),
		cmocka_unit_test(a_newer_version_is_refused),
		cmocka_unit_test(a_scrub_finds_what_is_damaged),
		cmocka_unit_test(a_growing_file_can_be_read),
		cmocka_unit_test(an_aborted_write_leaves_nothing),
		cmocka_unit_test(a_worker_finds_what_is_cold),
		cmocka_unit_test(a_full_queue_means_not_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
