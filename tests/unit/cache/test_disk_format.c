#include "tests/unit/cache/disk_ground.h"

static struct disk_label label_of(uint64_t serial)
{
	struct disk_label l = {.serial = serial, .key = object_key(1), .received_wall = 1700000000123, .guarded = true};

	memset(&l.variant, 7, sizeof(l.variant));
	return l;
}

static char *made_part(uint32_t *n)
{
	struct head *h = object_head(&(struct object){.n = 1, .bytes = 1000, .vary = "accept", .value = "x"});
	struct disk_label l = label_of(77);
	char *part;

	h->terms = (struct fresh_terms){1, 2, 3, 4, 5, true, true, true, FRESH_WHY_IMMUTABLE};
	h->etag = (struct head_part){3, 4};
	h->type = (struct head_part){5, 6};
	h->is_html = true;
	h->last_modified = 1600000000000;
	*n = disk_format_head_bytes(h);
	part = mem_alloc(*n);
	disk_format_put_head(h, &l, part, *n);
	head_unref(&h);
	return part;
}

static void a_head_is_read_as_it_was_written(void **state)
{
	struct disk_label l, was = label_of(77);
	struct head *h;
	uint32_t n;
	char *part = made_part(&n);

	(void)state;
	assert_int_equal(n % 64, 0);
	assert_int_equal(disk_format_look(span_of(part, n)), n);
	assert_true(disk_format_get_head(span_of(part, n), &l, &h));
	assert_int_equal(l.serial, 77);
	assert_true(key_same(&l.key, &was.key) && key_variant_same(&l.variant, &was.variant));
	assert_int_equal(l.received_wall, was.received_wall);
	assert_true(l.guarded && h->is_html && h->has_length && h->terms.no_cache && h->terms.must_revalidate &&
		    h->terms.is_mutable);
	assert_int_equal(h->terms.lifetime_s, 1);
	assert_int_equal(h->terms.age_s, 2);
	assert_int_equal(h->terms.counted_s, 3);
	assert_int_equal(h->terms.stale_while_revalidate_s, 4);
	assert_int_equal(h->terms.stale_if_error_s, 5);
	assert_int_equal(h->terms.source, FRESH_WHY_IMMUTABLE);
	assert_int_equal(h->etag.at, 3);
	assert_int_equal(h->type.n, 6);
	assert_int_equal(h->last_modified, 1600000000000);
	assert_true(span_eq(head_vary(h), SPAN("accept")));
	assert_true(span_eq(head_url(h), SPAN("http://a.test/1")));
	assert_true(span_eq(head_phrase(h), SPAN("OK")));
	head_unref(&h);
	free(part);
}

/* Each bit of each byte. */
static void no_flipped_bit_of_a_head_passes(void **state)
{
	struct disk_label l;
	struct head *h;
	uint32_t n;
	char *part = made_part(&n);

	(void)state;
	for (uint32_t bit = 0; bit < n * 8; bit++) {
		part[bit / 8] ^= (char)(1 << bit % 8);
		assert_false(disk_format_get_head(span_of(part, n), &l, &h));
		part[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (uint32_t shorter = 0; shorter < n; shorter += 64)
		assert_false(disk_format_get_head(span_of(part, shorter), &l, &h));
	free(part);
}

static void no_flipped_bit_of_an_end_passes(void **state)
{
	uint64_t sums[5] = {1, 2, 3, 4, 5}, got[5];
	struct disk_end end = {.length = 4 * DISK_CHUNK_BYTES + 1}, back;
	size_t n = disk_format_end_bytes(end.length);
	char *part = mem_alloc(n);

	(void)state;
	assert_int_equal(n, 5 * 8 + 64);
	memset(end.digest, 9, sizeof(end.digest));
	disk_format_put_end(&end, 5, sums, part);
	assert_true(disk_format_get_end(span_of(part, n), 5, &back, got));
	assert_int_equal(back.length, end.length);
	assert_memory_equal(back.digest, end.digest, 32);
	assert_memory_equal(got, sums, sizeof(sums));
	assert_false(disk_format_get_end(span_of(part, n), 6, &back, got)); /* another file's */
	for (size_t bit = 0; bit < n * 8; bit++) {
		part[bit / 8] ^= (char)(1 << bit % 8);
		assert_false(disk_format_get_end(span_of(part, n), 5, &back, got));
		part[bit / 8] ^= (char)(1 << bit % 8);
	}
	free(part);
}

static void lengths_fit_or_there_are_none(void **state)
{
	uint64_t length, last = UINT64_MAX;

	(void)state;
	for (uint64_t bytes = 0; bytes < 300000; bytes++) {
		if (!disk_format_length(bytes, 320, &length))
			continue;
		assert_int_equal(disk_format_file_bytes(320, length), bytes);
		assert_true(last == UINT64_MAX || length == last + 1);
		last = length;
	}
	assert_true(last > 200000);
	assert_false(disk_format_length(UINT64_MAX, 320, &length));
	assert_false(disk_format_length(0, 320, &length));
	assert_true(disk_format_length(disk_format_file_bytes(256, (uint64_t)1 << 45), 256, &length));
	assert_int_equal(length, (uint64_t)1 << 45);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_read_as_it_was_written),
		cmocka_unit_test(no_flipped_bit_of_a_head_passes),
		cmocka_unit_test(no_flipped_bit_of_an_end_passes),
		cmocka_unit_test(lengths_fit_or_there_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
