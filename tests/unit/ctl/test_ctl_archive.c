#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/ctl/ctl_archive.h"
#include "node/ctl/ctl_tar.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nAge: 40\r\nX-Cache: HIT\r\n\r\n"

static void headers_come_back(void **state)
{
	static const uint64_t sizes[] = {
		0, 1, 511, 512, ((uint64_t)1 << 33) - 1, (uint64_t)1 << 33, 1ull << 40, ((uint64_t)1 << 62) - 1};
	uint8_t block[CTL_TAR_BLOCK];
	struct ctl_tar_member m;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ctl_tar_write(block, "objects/1.head", sizes[i], 1764500000);
		assert_int_equal(ctl_tar_read(block, &m, &why), CTL_TAR_MEMBER);
		assert_string_equal(m.name, "objects/1.head");
		assert_true(m.bytes == sizes[i]);
	}
	assert_int_equal(ctl_tar_padding(0), 0);
	assert_int_equal(ctl_tar_padding(1), 511);
	assert_int_equal(ctl_tar_padding(512), 0);
	memset(block, 0, sizeof(block));
	assert_int_equal(ctl_tar_read(block, &m, &why), CTL_TAR_END);
}

/* As it has to be for what was changed in it. */
static void sum_anew(uint8_t *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (int i = 0; i < CTL_TAR_BLOCK; i++)
		sum += block[i];
	snprintf((char *)block + 148, 8, "%06o", sum);
}

static void bad_headers(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t n;
		const char *why;
	} rows[] = {
		{0, "/bjects", 7, "name"},
		{0, "../ects", 7, "name"},
		{0, "a\nb\0", 4, "name"},
		{0, "\0", 1, "name"},
		{0, "A", 1, "name"},
		{345, "x", 1, "name"},
		{156, "1", 1, "link"},
		{156, "2", 1, "link"},
		{156, "3", 1, "device"},
		{156, "4", 1, "device"},
		{156, "5", 1, "folder"},
		{156, "6", 1, "device"},
		{156, "S", 1, "sparse"},
		{156, "x", 1, "kind"},
		{156, "g", 1, "kind"},
		{156, "L", 1, "kind"},
		{257, "v7", 2, "ustar"},
		{124, "-1", 2, "number"},
		{124, "            ", 12, "number"},
		{124, "777777777777", 12, "number"},
		{124, "1 1", 3, "number"},
		{124, "\x80\x01", 2, "number"},
		{124, "\xff\xff\xff\xff", 4, "number"},
		{124, "\x80\0\0\0\x40\0\0\0\0\0\0\0", 12, "number"},
	};
	uint8_t block[CTL_TAR_BLOCK];
	struct ctl_tar_member m;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ctl_tar_write(block, "objects/1.head", 7, 0);
		memcpy(block + rows[i].at, rows[i].bytes, rows[i].n);
		sum_anew(block);
		why = NULL;
		assert_int_equal(ctl_tar_read(block, &m, &why), CTL_TAR_BAD);
		assert_non_null(strstr(why, rows[i].why));
		for (const char *p = m.name; *p; p++)
			assert_true(*p >= ' ' && *p <= '~');
	}
	ctl_tar_write(block, "objects/1.head", 7, 0);
	block[8] ^= 1;
	assert_int_equal(ctl_tar_read(block, &m, &why), CTL_TAR_BAD);
	assert_non_null(strstr(why, "sum"));
}

/* A file with two objects, one dropped between them. */
static int archive(void)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct http1_response *r = calloc(1, sizeof(*r));
	struct ctl_archive_writer w;
	size_t scanned = 0;
	enum reason why;

	assert_true(fd >= 0 && r);
	assert_int_equal(http1_parse_response(SPAN(HEAD), &scanned, 65536, METHOD_GET, r, &why), HTTP1_DONE);
	ctl_archive_begin(&w, fd);
	for (int i = 0; i < 3; i++) {
		assert_true(ctl_archive_head(&w, r, 1000));
		ctl_archive_body(&w, i == 1 ? SPAN("a long one that is not there afterwards") : SPAN("he"));
		ctl_archive_body(&w, SPAN("llo"));
		if (i == 1)
			ctl_archive_drop(&w);
		else
			ctl_archive_keep(&w, i ? "https://a.test/2" : "https://a.test/1");
	}
	r->status = 404;
	assert_false(ctl_archive_head(&w, r, 1000));
	assert_true(ctl_archive_end(&w));
	assert_true(w.n == 2 && w.bytes == 10 && w.at % CTL_TAR_BLOCK == 0);
	free(r);
	return fd;
}

static void what_was_written_is_read(void **state)
{
	char why[CTL_ARCHIVE_WHY_BYTES], room[CTL_ARCHIVE_HEAD_BYTES + 128], body[5];
	struct buf b = buf_over(room, sizeof(room));
	struct ctl_archive a;
	int fd = archive();

	(void)state;
	assert_true(ctl_archive_check(fd, &a, why));
	assert_true(a.n == 2 && a.bytes == 10);
	assert_string_equal(a.v[1].url, "https://a.test/2");
	assert_int_equal(pread(fd, body, sizeof(body), (off_t)a.v[1].body_at), 5);
	assert_memory_equal(body, "hello", 5);
	assert_true(ctl_archive_put_head(fd, &a.v[1], 1060, &b));
	assert_true(span_eq(buf_span(&b), SPAN("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
					       "Age: 100\r\n\r\n")));
	a.v[1].age = UINT64_MAX;
	assert_true(ctl_archive_put_head(fd, &a.v[1], UINT64_MAX, &b));
	assert_true(span_ends(buf_span(&b), SPAN("Age: 4294967295\r\n\r\n")));
	ctl_archive_free(&a);
	close(fd);
}

static void every_byte_counts(void **state)
{
	char why[CTL_ARCHIVE_WHY_BYTES];
	struct ctl_archive a;
	int fd = archive();
	off_t n = lseek(fd, 0, SEEK_END);

	(void)state;
	for (off_t at = 0; at < n; at += 7) {
		char was, now;
		bool good;

		assert_int_equal(pread(fd, &was, 1, at), 1);
		now = (char)(was ^ 4);
		assert_int_equal(pwrite(fd, &now, 1, at), 1);
		*why = '\0';
		good = ctl_archive_check(fd, &a, why);
		assert_true(good || *why);
		for (size_t i = 0; good && i < a.n; i++) /* padding, a time, a type, a URL; never what is kept */
			assert_true(a.v[i].body_bytes == 5);
		ctl_archive_free(&a);
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	while (n > 0) {
		n -= 256;
		assert_int_equal(ftruncate(fd, n), 0);
		assert_false(ctl_archive_check(fd, &a, why));
		assert_non_null(strstr(why, "cut short"));
		ctl_archive_free(&a);
	}
	close(fd);
}

static void manifests(void **state)
{
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define ONE "{\"url\":\"https://a.test/\",\"bytes\":0,\"sha256\":\"" ZEROS "\",\"head_sha256\":\"" ZEROS "\"}"
	static const struct {
		struct span text;
		const char *why;
	} rows[] = {
		{SPAN("{\"format\":1,\"objects\":[" ONE "]}"), NULL},
		{SPAN("{\"format\":2,\"objects\":[" ONE "]}"), "format 1"},
		{SPAN("{\"format\":1,\"objects\":[" ONE), "format 1"},
		{SPAN("{\"format\":1,\"objects\":[]}"), "not in manifest"},
		{SPAN("{\"format\":1}"), "not in manifest"},
		{SPAN("{\"format\":1,\"objects\":[" ONE "," ONE "]}"), "not in the archive"},
		{SPAN("{\"format\":1,\"objects\":[7]}"), "no URL"},
		{SPAN("{\"format\":1,\"objects\":[{\"url\":\"https://a.test/\"}]}"), "no digest"},
	};
	char why[CTL_ARCHIVE_WHY_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl_archive_item item = {0};
		bool good = ctl_archive_fits(rows[i].text, &item, 1, why);

		assert_int_equal(good, rows[i].why == NULL);
		if (rows[i].why)
			assert_non_null(strstr(why, rows[i].why));
		free(item.url);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_come_back),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(manifests),
	};

	return cmocka_run_group_tests_name("ctl_archive", tests, NULL, NULL);
}
