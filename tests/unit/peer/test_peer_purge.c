#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "peer/peer_purge.h"

#define CLUSTER "ci"
#define KEEP 20
#define T0 ((wall_ms)1700000000000)
#define HOUR_MS ((uint64_t)3600 * 1000)

struct place {
	char folder[64], path[96];
	struct sign_key *key, *other_key;
	uint8_t public_key[SIGN_PUBLIC_BYTES];
	pthread_mutex_t lock; /* of what follows */
	unsigned done;        /* calls of remove */
	enum purgerec_kind kind;
	char value[100];
};

static uint32_t on_remove(void *cookie, const struct purgerec *r)
{
	struct place *p = cookie;

	pthread_mutex_lock(&p->lock); /* applied by several threads at once */
	p->done++;
	p->kind = r->kind;
	snprintf(p->value, sizeof(p->value), "%.*s", SPAN_ARG(r->value));
	pthread_mutex_unlock(&p->lock);
	return 3;
}

static struct peer_purge *open_at(struct place *p, const char *path, size_t keep)
{
	struct peer_purge_settings s = {
		.path = path, .cluster = CLUSTER, .keep = keep, .remove = on_remove, .cookie = p};
	char why[300];
	struct peer_purge *purge;

	memcpy(s.public_key, p->public_key, sizeof(s.public_key));
	purge = peer_purge_open(&s, why, sizeof(why));
	if (!purge)
		fail_msg("%s", why);
	return purge;
}

static struct peer_purge *open_log(struct place *p)
{
	return open_at(p, p->path, KEEP);
}

static struct sign_key *make_key(const struct place *p, const char *name)
{
	char path[96], public_path[96], why[300];
	struct sign_key *key;

	snprintf(path, sizeof(path), "%s/%s.key", p->folder, name);
	snprintf(public_path, sizeof(public_path), "%s/%s.pub", p->folder, name);
	if (sign_make(path, public_path, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	key = sign_open(path, why, sizeof(why));
	assert_non_null(key);
	unlink(path);
	unlink(public_path);
	return key;
}

static int setup(void **state)
{
	struct place *p = NEW(struct place);

	pthread_mutex_init(&p->lock, NULL);
	strcpy(p->folder, "/tmp/pmcache-purge-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof(p->path), "%s/purges", p->folder);
	p->key = make_key(p, "a");
	p->other_key = make_key(p, "b");
	sign_public(p->key, p->public_key);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char path[120];

	unlink(p->path);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "%s.%u", p->path, i);
		unlink(path);
	}
	assert_int_equal(0, rmdir(p->folder)); /* nothing else was left there */
	sign_free(p->key);
	sign_free(p->other_key);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return 0;
}

/* A record as somebody else of the cluster would have made it. */
struct record {
	char bytes[PURGEREC_MAX_BYTES];
	size_t n;
};

static struct span span_record(const struct record *r)
{
	return span_of(r->bytes, r->n);
}

static struct record make(const struct sign_key *key, const char *cluster, uint64_t serial, const char *host)
{
	struct purgerec r = {.serial = serial, .at = (int64_t)serial, .kind = PURGEREC_HOST, .value = span_str(host)};
	struct record out;
	char text[2048];
	struct buf to_sign = buf_over(text, sizeof(text)), b = buf_over(out.bytes, sizeof(out.bytes));

	purgerec_put_signed(&to_sign, span_str(cluster), &r);
	sign_bytes(key, buf_span(&to_sign), r.signature);
	purgerec_format(&b, &r);
	assert_false(b.full || to_sign.full);
	out.n = b.n;
	return out;
}

static struct record numbered(const struct place *p, uint64_t serial)
{
	char host[32];

	snprintf(host, sizeof(host), "h%llu.test", (unsigned long long)serial);
	return make(p->key, CLUSTER, serial, host);
}

static enum peer_purge_result apply(struct peer_purge *purge, const struct record *r)
{
	uint32_t removed;

	return peer_purge_apply(purge, span_record(r), &removed);
}

/* All of the log, in pages of `page` bytes; owned by the caller. */
static struct span whole_log(struct peer_purge *purge, uint64_t since, size_t page)
{
	size_t room = 1 << 20;
	struct buf all = buf_over(mem_alloc(room), room), b = buf_over(mem_alloc(page), page);
	bool more = true;

	while (more) {
		b.n = 0;
		assert_true(peer_purge_since(purge, since, &b, &more));
		assert_false(b.full);
		assert_true(b.n > 0 || !more);
		buf_put(&all, buf_span(&b));
		since = peer_purge_last(buf_span(&b));
	}
	free(b.p);
	assert_false(all.full);
	return buf_span(&all);
}

static unsigned count(struct span log)
{
	unsigned n = 0;

	while (log.n) {
		log = span_from(log, 2 + ((size_t)(uint8_t)log.p[0] << 8 | (uint8_t)log.p[1]));
		n++;
	}
	return n;
}

static void expect_same(struct peer_purge *a, struct peer_purge *b)
{
	struct span x = whole_log(a, 0, 4096), y = whole_log(b, 0, PEER_PURGE_PAGE_BYTES);

	assert_int_equal(x.n, y.n);
	assert_memory_equal(x.p, y.p, x.n);
	assert_int_equal(peer_purge_serial(a), peer_purge_serial(b));
	free((char *)(uintptr_t)x.p);
	free((char *)(uintptr_t)y.p);
}

static unsigned kept(struct peer_purge *purge)
{
	struct span all = whole_log(purge, 0, PEER_PURGE_PAGE_BYTES);
	unsigned n = count(all);

	free((char *)(uintptr_t)all.p);
	return n;
}

/* ---- one record ---- */

static void test_apply(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p);
	struct record r = make(p->key, CLUSTER, (uint64_t)T0, "registry.test");
	uint32_t removed;

	assert_int_equal(0, peer_purge_serial(purge));
	assert_int_equal(PEER_PURGE_DONE, peer_purge_apply(purge, span_record(&r), &removed));
	assert_int_equal(3, removed);
	assert_int_equal(1, p->done);
	assert_int_equal(PURGEREC_HOST, p->kind);
	assert_string_equal("registry.test", p->value);
	assert_int_equal(T0, peer_purge_serial(purge));
	assert_int_equal(PEER_PURGE_KNOWN, peer_purge_apply(purge, span_record(&r), &removed));
	assert_int_equal(0, removed);
	assert_int_equal(1, p->done);
	peer_purge_free(purge);
	/* known after a restart, and not done again */
	purge = open_log(p);
	assert_int_equal(T0, peer_purge_serial(purge));
	assert_int_equal(PEER_PURGE_KNOWN, apply(purge, &r));
	assert_int_equal(1, p->done);
	peer_purge_free(purge);
	peer_purge_free(NULL);
}

static void test_bad(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p);
	struct record good = numbered(p, 7), r;

	r = make(p->other_key, CLUSTER, 7, "h7.test");
	assert_int_equal(PEER_PURGE_BAD, apply(purge, &r));
	r = make(p->key, "another", 7, "h7.test");
	assert_int_equal(PEER_PURGE_BAD, apply(purge, &r));
	for (size_t i = 0; i < good.n; i++) {
		r = good;
		r.bytes[i] ^= 1;
		assert_int_equal(PEER_PURGE_BAD, apply(purge, &r));
		r = good;
		r.n = i;
		assert_int_equal(PEER_PURGE_BAD, apply(purge, &r));
	}
	assert_int_equal(0, p->done);
	assert_int_equal(0, peer_purge_serial(purge));
	assert_int_equal(PEER_PURGE_DONE, apply(purge, &good));
	peer_purge_free(purge);
}

static void test_make(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p);
	struct record r = {.n = 0};
	struct purgerec parsed;
	uint64_t last = 0;
	char value[PURGEREC_VALUE_BYTES + 2], small[20];
	struct buf b;

	for (int i = 0; i < 4; i++) {
		b = buf_over(r.bytes, sizeof(r.bytes));
		/* within one millisecond, then with the clock set back */
		assert_true(peer_purge_make(purge, p->key, PURGEREC_URL, SPAN("https://registry.test/x"),
					    i == 3 ? T0 - 5000 : T0, &b));
		r.n = b.n;
		assert_true(purgerec_parse(span_record(&r), &parsed));
		assert_true(parsed.serial > last);
		last = parsed.serial;
		if (i != 1) /* not even when it was not applied */
			assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
	}
	assert_int_equal(T0 + 3, last);
	b = buf_over(small, sizeof(small));
	assert_false(peer_purge_make(purge, p->key, PURGEREC_ALL, SPAN(""), T0, &b));
	memset(value, 'a', sizeof(value));
	b = buf_over(r.bytes, sizeof(r.bytes));
	assert_false(peer_purge_make(purge, p->key, PURGEREC_HOST, span_of(value, PURGEREC_VALUE_BYTES + 1), T0, &b));
	assert_false(peer_purge_make(purge, p->key, PURGEREC_ALL, SPAN("x"), T0, &b));
	assert_true(peer_purge_make(purge, p->key, PURGEREC_HOST, span_of(value, PURGEREC_VALUE_BYTES), T0, &b));
	peer_purge_free(purge);
}

/* ---- the log as it is sent ---- */

static void test_pages(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p);
	char page[400];
	struct buf b = buf_over(page, sizeof(page));
	struct record r;
	bool more;

	for (uint64_t i = 10; i < 20; i++) {
		r = numbered(p, i);
		assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
	}
	assert_true(peer_purge_since(purge, 12, &b, &more));
	assert_true(more);
	assert_true(count(buf_span(&b)) > 1);
	assert_int_equal(12 + count(buf_span(&b)), peer_purge_last(buf_span(&b)));
	b.n = 0;
	assert_true(peer_purge_since(purge, 17, &b, &more));
	assert_false(more);
	assert_int_equal(2, count(buf_span(&b)));
	b.n = 0;
	assert_true(peer_purge_since(purge, 19, &b, &more));
	assert_int_equal(0, b.n);
	assert_int_equal(0, peer_purge_last(buf_span(&b)));
	assert_true(peer_purge_since(purge, UINT64_MAX, &b, &more));
	assert_int_equal(0, b.n);
	peer_purge_free(purge);
}

/* Two nodes may make one with the same serial: a page does not end between them. */
static void test_same_serial(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p), *other;
	char path[120];
	struct record r = make(p->key, CLUSTER, 5, "a.test");
	struct span all;
	uint32_t removed;

	assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
	for (int i = 0; i < 3; i++) {
		char host[] = "b0.test";

		host[1] = (char)('0' + i);
		r = make(p->key, CLUSTER, 6, host);
		assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
		assert_int_equal(PEER_PURGE_KNOWN, apply(purge, &r));
	}
	r = make(p->key, CLUSTER, 7, "c.test");
	assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
	snprintf(path, sizeof(path), "%s.1", p->path);
	other = open_at(p, path, KEEP);
	for (size_t page = 3 * (r.n + 5); page < 6 * (r.n + 5); page += 7) {
		all = whole_log(purge, 0, page);
		assert_int_equal(5, count(all));
		peer_purge_take(other, all, &removed);
		free((char *)(uintptr_t)all.p);
	}
	expect_same(purge, other);
	peer_purge_free(purge);
	peer_purge_free(other);
}

static void test_take(void **state)
{
	struct place *p = *state;
	char path[120];
	struct peer_purge *purge = open_log(p), *other;
	struct record r;
	struct span all, torn;
	uint32_t removed;

	for (uint64_t i = 1; i <= 5; i++) {
		r = numbered(p, i);
		apply(purge, &r);
	}
	snprintf(path, sizeof(path), "%s.1", p->path);
	other = open_at(p, path, KEEP);
	all = whole_log(purge, 0, 4096);
	torn = span_upto(all, all.n - 1);
	assert_int_equal(-1, peer_purge_take(other, torn, &removed));
	assert_int_equal(4 * 3, removed);
	assert_int_equal(4, peer_purge_serial(other));
	assert_int_equal(1, peer_purge_take(other, all, &removed));
	assert_int_equal(3, removed);
	assert_int_equal(0, peer_purge_take(other, all, &removed));
	assert_int_equal(0, peer_purge_take(other, SPAN_NONE, &removed));
	assert_int_equal(-1, peer_purge_take(other, SPAN("\0\0"), &removed));
	assert_int_equal(-1, peer_purge_take(other, SPAN("\xff\xff"), &removed));
	expect_same(purge, other);
	peer_purge_free(purge);
	peer_purge_free(other);
	free((char *)(uintptr_t)all.p);
}

/* A datagram was lost, a later one came: the log of another heals it although the serial is the same. */
static void test_gap(void **state)
{
	struct place *p = *state;
	char path[120], page[4096];
	struct peer_purge *purge = open_log(p), *other;
	struct buf b = buf_over(page, sizeof(page));
	struct record lost = numbered(p, (uint64_t)T0), came = numbered(p, (uint64_t)T0 + 1000),
		      old = numbered(p, (uint64_t)T0 - 2 * HOUR_MS);
	uint32_t removed;
	bool more;

	snprintf(path, sizeof(path), "%s.1", p->path);
	other = open_at(p, path, KEEP);
	apply(purge, &old);
	apply(purge, &lost);
	apply(purge, &came);
	apply(other, &came);
	assert_true(peer_purge_recent(purge, peer_purge_serial(other), &b, &more));
	assert_int_equal(2, count(buf_span(&b))); /* the one of hours ago is not sent again and again */
	assert_int_equal(1, peer_purge_take(other, buf_span(&b), &removed));
	assert_int_equal(PEER_PURGE_KNOWN, apply(other, &lost));
	peer_purge_free(purge);
	peer_purge_free(other);
}

/* ---- what is let go ---- */

static void test_beginning(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p);
	char page[8192];
	struct buf b = buf_over(page, sizeof(page));
	struct record r, oldest = numbered(p, 1);
	bool more;

	for (uint64_t i = 1; i <= 3 * KEEP; i++) {
		r = numbered(p, i);
		assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
	}
	for (int again = 0; again < 2; again++) {
		assert_int_equal(KEEP, kept(purge));
		assert_true(peer_purge_since(purge, 2 * KEEP, &b, &more));
		assert_false(peer_purge_since(purge, 2 * KEEP - 1, &b, &more));
		assert_false(peer_purge_recent(purge, 1, &b, &more));
		b.n = 0;
		assert_true(peer_purge_recent(purge, 3 * KEEP, &b, &more)); /* no hour that the log has not got */
		assert_int_equal(KEEP, count(buf_span(&b)));
		b.n = 0;
		assert_true(peer_purge_since(purge, 0, &b, &more));
		b.n = 0;
		/* somebody has recorded one of long ago */
		assert_int_equal(PEER_PURGE_KNOWN, apply(purge, &oldest));
		assert_int_equal(3 * KEEP, p->done);
		peer_purge_free(purge);
		purge = open_log(p);
	}
	peer_purge_free(purge);
}

static void test_compaction(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p), *again;
	struct stat st;
	struct record r;

	for (uint64_t i = 1; i <= 500; i++) {
		r = numbered(p, i);
		assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
	}
	assert_int_equal(0, stat(p->path, &st));
	assert_true(st.st_size < (off_t)(2 * KEEP * (r.n + 20)));
	again = open_log(p);
	expect_same(purge, again);
	peer_purge_free(again);
	peer_purge_free(purge);
}

/* In any order, any number of times, with restarts in between: the same records in the end. */
static void test_any_order(void **state)
{
	struct place *p = *state;
	struct record all[3 * KEEP];
	struct peer_purge *first = NULL;
	struct rng rng;

	rng_seed(&rng, 11);
	for (unsigned i = 0; i < 3 * KEEP; i++) {
		char host[] = "x0.test";

		host[1] = (char)('0' + i % 3);
		all[i] = make(p->key, CLUSTER, 1 + i / 2, host); /* pairs with one serial */
	}
	for (unsigned round = 0; round < 6; round++) {
		char path[120];
		struct peer_purge *purge;
		unsigned missing = 3 * KEEP;
		bool given[3 * KEEP] = {false};

		snprintf(path, sizeof(path), "%s.%u", p->path, round);
		purge = open_at(p, path, KEEP);
		while (missing) {
			size_t i = (size_t)rng_below(&rng, 3 * KEEP);

			assert_int_not_equal(PEER_PURGE_BAD, apply(purge, &all[i]));
			missing -= !given[i];
			given[i] = true;
			if (rng_below(&rng, 40) == 0) {
				peer_purge_free(purge);
				purge = open_at(p, path, KEEP);
			}
		}
		if (!first) {
			first = purge;
			continue;
		}
		expect_same(first, purge);
		peer_purge_free(purge);
	}
	peer_purge_free(first);
}

/* ---- the file ---- */

static off_t file_bytes(const struct place *p)
{
	struct stat st;

	assert_int_equal(0, stat(p->path, &st));
	return st.st_size;
}

static void test_torn(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p);
	off_t empty = file_bytes(p), three, four;
	struct record r;

	for (uint64_t i = 1; i <= 3; i++) {
		r = numbered(p, i);
		apply(purge, &r);
	}
	three = file_bytes(p);
	r = numbered(p, 4);
	apply(purge, &r);
	four = file_bytes(p);
	peer_purge_free(purge);
	for (off_t at = four - 1; at >= three; at--) { /* each time the fourth is lost, and comes again */
		assert_int_equal(0, truncate(p->path, at));
		purge = open_log(p);
		assert_int_equal(3, peer_purge_serial(purge));
		assert_int_equal(three, file_bytes(p));
		assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
		peer_purge_free(purge);
		assert_int_equal(four, file_bytes(p));
	}
	/* blocks that were never written */
	assert_int_equal(0, truncate(p->path, three));
	assert_int_equal(0, truncate(p->path, four + 100));
	purge = open_log(p);
	assert_int_equal(3, peer_purge_serial(purge));
	peer_purge_free(purge);
	for (off_t at = 0; at < empty; at++) {
		assert_int_equal(0, truncate(p->path, 0));
		purge = open_log(p);
		peer_purge_free(purge);
		assert_int_equal(empty, file_bytes(p));
		assert_int_equal(0, truncate(p->path, at));
		purge = open_log(p);
		assert_int_equal(0, peer_purge_serial(purge));
		assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
		peer_purge_free(purge);
	}
}

static void test_rotten(void **state)
{
	struct place *p = *state;
	struct peer_purge *purge = open_log(p);
	struct record r;
	off_t two;
	int fd;

	for (uint64_t i = 1; i <= 2; i++) {
		r = numbered(p, i);
		apply(purge, &r);
	}
	two = file_bytes(p);
	r = numbered(p, 3);
	apply(purge, &r);
	peer_purge_free(purge);
	fd = open(p->path, O_WRONLY);
	assert_int_equal(1, pwrite(fd, "?", 1, two + 30));
	close(fd);
	purge = open_log(p);
	assert_int_equal(2, peer_purge_serial(purge));
	assert_int_equal(PEER_PURGE_DONE, apply(purge, &r));
	peer_purge_free(purge);
}

static void test_not_a_log(void **state)
{
	struct place *p = *state;
	struct peer_purge_settings s = {.path = p->path, .cluster = CLUSTER, .remove = on_remove, .cookie = p};
	char why[300];
	int fd = open(p->path, O_WRONLY | O_CREAT, 0600);

	assert_int_equal(40, write(fd, "this is something that somebody wants!!\n", 40));
	close(fd);
	assert_null(peer_purge_open(&s, why, sizeof(why)));
	assert_non_null(strstr(why, p->path));
	assert_int_equal(40, file_bytes(p));
	s.path = "/nowhere/at/all";
	assert_null(peer_purge_open(&s, why, sizeof(why)));
	assert_non_null(strstr(why, "/nowhere/at/all"));
}

/* ---- several threads ---- */

struct applier {
	struct peer_purge *purge;
	const struct record *records;
	unsigned n, step;
};

static void *apply_all(void *arg)
{
	struct applier *a = arg;

	for (unsigned i = 0; i < a->n; i++) {
		char page[4096];
		struct buf b = buf_over(page, sizeof(page));
		bool more;

		assert_int_not_equal(PEER_PURGE_BAD, apply(a->purge, &a->records[i * a->step % a->n]));
		peer_purge_since(a->purge, peer_purge_serial(a->purge) - 2, &b, &more);
	}
	return NULL;
}

static void test_threads(void **state)
{
	enum { N = 60 };
	struct place *p = *state;
	struct peer_purge *purge = open_log(p), *again;
	struct record records[N];
	struct applier a[3];
	pthread_t t[3];

	for (unsigned i = 0; i < N; i++)
		records[i] = numbered(p, 10 + i);
	for (unsigned i = 0; i < 3; i++) {
		a[i] = (struct applier){purge, records, N, (const unsigned[]){1, 7, 59}[i]};
		assert_int_equal(0, pthread_create(&t[i], NULL, apply_all, &a[i]));
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(KEEP, kept(purge));
	again = open_log(p);
	expect_same(purge, again);
	peer_purge_free(again);
	peer_purge_free(purge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_apply), T(test_bad),    T(test_make),      T(test_pages),      T(test_same_serial),
		T(test_take),  T(test_gap),    T(test_beginning), T(test_compaction), T(test_any_order),
		T(test_torn),  T(test_rotten), T(test_not_a_log), T(test_threads),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
