#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/cache/orders.h"

struct place {
	char dir[64], path[96];
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->dir, "/tmp/test_orders.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/orders", p->dir);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	unlink(p->path);
	rmdir(p->dir);
	free(p);
	return 0;
}

static struct orders *open_at(const struct place *p)
{
	char why[300] = "";
	struct orders *o = orders_open(p->path, NULL, why, sizeof(why));

	if (!o)
		fail_msg("%s", why);
	return o;
}

static const uint8_t *digest(unsigned n)
{
	static uint8_t d[PURGEREC_DIGEST_BYTES];

	memset(d, 0, sizeof(d));
	memcpy(d + 4, &n, sizeof(n));
	return d;
}

static void denials_outlive_the_process(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);

	assert_false(orders_denies(o, digest(1)));
	assert_false(orders_deny_something(o));
	assert_true(orders_deny(o, digest(1), 1000));
	assert_true(orders_deny(o, digest(2), 1000));
	assert_true(orders_allow(o, digest(2), 2000));
	assert_true(orders_denies(o, digest(1)));
	assert_false(orders_denies(o, digest(2)));
	orders_free(o);
	o = open_at(p);
	assert_true(orders_denies(o, digest(1)));
	assert_false(orders_denies(o, digest(2)));
	assert_false(orders_denies(o, digest(3)));
	assert_true(orders_allow(o, digest(1), 3000));
	assert_false(orders_deny_something(o));
	orders_free(o);
}

/* In whatever order they come: nodes of a cluster end up with the same. */
static void the_later_word_counts(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);

	orders_allow(o, digest(1), 2000);
	orders_deny(o, digest(1), 1000);
	assert_false(orders_denies(o, digest(1)));
	orders_deny(o, digest(1), 2000); /* at the same time: the denial */
	assert_true(orders_denies(o, digest(1)));
	orders_allow(o, digest(1), 2000);
	assert_true(orders_denies(o, digest(1)));
	orders_free(o);
}

static void a_torn_line_is_left_out(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);
	struct stat st;
	int fd;

	orders_deny(o, digest(1), 1000);
	orders_deny(o, digest(2), 1000);
	orders_free(o);
	assert_int_equal(0, stat(p->path, &st));
	assert_int_equal(0, truncate(p->path, st.st_size - 3));
	fd = open(p->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(1, write(fd, "\n", 1));
	assert_int_equal(18, write(fd, "deny sha256:12 9\nx", 18));
	close(fd);
	o = open_at(p);
	assert_true(orders_denies(o, digest(1)));
	orders_deny(o, digest(3), 1000);
	orders_free(o);
	o = open_at(p);
	assert_true(orders_denies(o, digest(1)) && orders_denies(o, digest(3)));
	orders_free(o);
}

static void the_list_has_an_end(void **state)
{
	struct place *p = *state;
	struct orders *o;
	FILE *f = fopen(p->path, "w");

	for (unsigned i = 0; i < ORDERS_MOST_DIGESTS - 1; i++)
		fprintf(f, "deny sha256:%064x %u\n", i, i + 1);
	fclose(f);
	o = open_at(p);
	assert_true(orders_allow(o, digest(7000001), 1000));
	assert_true(orders_deny(o, digest(7000002), 1000)); /* the permission makes room */
	assert_false(orders_deny(o, digest(7000003), 1000));
	assert_false(orders_denies(o, digest(7000003)));
	assert_true(orders_denies(o, digest(7000002)));
	orders_free(o);
}

/* What is out of date does not pile up in the file. */
static void the_file_is_written_anew(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);
	struct stat st;

	for (unsigned i = 0; i < 600; i++) {
		orders_deny(o, digest(1), 1000 + 2 * i);
		orders_allow(o, digest(1), 1001 + 2 * i);
	}
	assert_int_equal(0, stat(p->path, &st));
	assert_true(st.st_size < 600 * 90);
	orders_free(o);
	o = open_at(p);
	assert_false(orders_denies(o, digest(1)));
	orders_free(o);
}

static struct head *head_for(const char *url)
{
	size_t n = strlen(url);
	struct head *h = mem_zalloc(sizeof(*h) + n);

	h->refs = 1;
	h->status = 200;
	h->url_n = (uint16_t)n;
	memcpy(h->text, url, n);
	return h;
}

static bool is_stale(struct orders *o, const char *url, wall_ms received)
{
	struct head *h = head_for(url);
	bool yes = orders_outdated(o, h, received);

	head_unref(&h);
	return yes;
}

static void marks_outlive_the_process(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);

	orders_outdate(o, PURGEREC_HOST, SPAN("a.test"), 1000);
	orders_outdate(o, PURGEREC_PREFIX, SPAN("https://b.test/p"), 500);
	for (int round = 0; round < 2; round++) {
		assert_true(is_stale(o, "https://a.test/x", 1000));
		assert_false(is_stale(o, "https://a.test/x", 1001));
		assert_true(is_stale(o, "https://b.test/pq", 500));
		assert_false(is_stale(o, "https://b.test/q", 500));
		orders_free(o);
		o = open_at(p);
	}
	orders_free(o);
}

/* More is asked about than has to be, never less. */
static void too_many_marks_widen(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);
	char host[32];

	for (int i = 0; i < ORDERS_MOST_STALE + 10; i++) {
		snprintf(host, sizeof(host), "h%d.test", i);
		orders_outdate(o, PURGEREC_HOST, span_str(host), 1000 + i);
	}
	for (int i = 0; i < ORDERS_MOST_STALE + 10; i++) {
		snprintf(host, sizeof(host), "https://h%d.test/", i);
		assert_true(is_stale(o, host, 1000 + i));
	}
	assert_true(is_stale(o, "https://other.test/", 1000));
	assert_false(is_stale(o, "https://other.test/", 1000 + ORDERS_MOST_STALE));
	orders_free(o);
}

static void the_list_as_json(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);
	struct span json = orders_format(o);

	assert_true(span_eq(json, SPAN("{\"denied\":[],\"most\":10000}\n")));
	free((char *)(uintptr_t)json.p);
	orders_deny(o, digest(1), 2000);
	orders_deny(o, digest(2), 1000);
	orders_allow(o, digest(3), 1000);
	json = orders_format(o);
	assert_true(span_starts(json, SPAN("{\"denied\":[{\"digest\":\"sha256:0000000002")));
	assert_true(span_ends(json, SPAN(",\"at\":\"1970-01-01T00:00:02.000Z\"}],\"most\":10000}\n")));
	free((char *)(uintptr_t)json.p);
	orders_free(o);
}

static void suspects(void **state)
{
	struct place *p = *state;
	struct orders *o = open_at(p);
	struct key key = {{1}};

	orders_suspect(o, &key);
	assert_false(orders_suspects(o, &key)); /* of nothing, as long as nothing is denied */
	orders_deny(o, digest(1), 1000);
	assert_true(orders_suspects(o, &key));
	for (unsigned i = 0; i < ORDERS_SUSPECTS; i++) {
		struct key other = {{2}};

		memcpy(other.b + 4, &i, sizeof(i));
		orders_suspect(o, &other);
	}
	assert_false(orders_suspects(o, &key));
	orders_free(o);
}

static void without_orders(void **state)
{
	(void)state;
	assert_false(orders_denies(NULL, digest(1)));
	assert_false(orders_deny(NULL, digest(1), 1));
	assert_false(is_stale(NULL, "https://a.test/", 0));
	orders_outdate(NULL, PURGEREC_ALL, SPAN_NONE, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(denials_outlive_the_process),
		T(the_later_word_counts),
		T(a_torn_line_is_left_out),
		T(the_list_has_an_end),
		T(the_file_is_written_anew),
		T(marks_outlive_the_process),
		T(too_many_marks_widen),
		T(the_list_as_json),
		T(suspects),
		T(without_orders),
#undef T
	};

	return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
