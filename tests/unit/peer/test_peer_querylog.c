/* peer_querylog: lines as Squid has them for ICP, and no more of them than allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer/peer_querylog.h"

#define SECOND ((mono_us)1000000)
#define WALL ((wall_ms)1700000000123)

struct desk {
	char path[64], text[1 << 20];
	struct index *index;
	struct peer_querylog log;
	struct peer_member asker;
};

static void on_removed(void *cookie, struct entry *e)
{
	(void)cookie;
	(void)e;
}

static struct desk *begin(enum accesslog_format format, unsigned a_second)
{
	struct desk *d = calloc(1, sizeof(*d));
	char why[200];
	int fd;

	assert_non_null(d);
	snprintf(d->path, sizeof(d->path), "/tmp/test-querylog-XXXXXX");
	fd = mkstemp(d->path);
	assert_true(fd >= 0);
	close(fd);
	d->index = index_new(on_removed, NULL);
	d->log = (struct peer_querylog){.index = d->index, .a_second = a_second};
	d->log.log = accesslog_open(&(struct accesslog_settings){.path = d->path, .format = format}, why, sizeof(why));
	assert_non_null(d->log.log);
	assert_int_equal(addr_parse_ip(SPAN("10.0.0.2"), 8083, &d->asker.addr), 0);
	snprintf(d->asker.name, sizeof(d->asker.name), "edge2");
	return d;
}

/* All that was written. */
static const char *finish(struct desk *d)
{
	FILE *f;

	accesslog_close(&d->log.log);
	f = fopen(d->path, "r");
	assert_non_null(f);
	d->text[fread(d->text, 1, sizeof(d->text) - 1, f)] = '\0';
	fclose(f);
	return d->text;
}

static void end(struct desk *d)
{
	unlink(d->path);
	index_free(d->index);
	free(d);
}

static struct peer_asked asked(const struct desk *d, enum peermsg_status said)
{
	return (struct peer_asked){.asker = &d->asker, .key = {{0xab, 0xcd}}, .said = said, .bytes = 94, .took = 1999};
}

static unsigned lines_of(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void every_answer_has_its_word(void **state)
{
	static const struct {
		enum peermsg_status said;
		const char *word;
	} rows[] = {
		{PEERMSG_MISS, "UDP_MISS"},         {PEERMSG_HIT, "UDP_HIT"},
		{PEERMSG_PENDING, "UDP_HIT"},       {PEERMSG_NOFETCH, "UDP_MISS_NOFETCH"},
		{PEERMSG_DENIED, "UDP_DENIED"},     {PEERMSG_STALE, "UDP_HIT"},
		{PEERMSG_BUSY, "UDP_MISS_NOFETCH"}, {PEERMSG_VARY, "UDP_MISS"},
		{PEERMSG_LOCATED, "UDP_MISS"},      {PEERMSG_GRANT, "UDP_MISS"},
		{PEERMSG_INTENDED, "UDP_MISS"},
	};

	(void)state;
	assert_int_equal(sizeof(rows) / sizeof(rows[0]), PEERMSG_STATUSES);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct desk *d = begin(ACCESSLOG_SQUID, 1);
		struct peer_asked a = asked(d, rows[i].said);
		char want[200];

		snprintf(want, sizeof(want),
			 "1700000000.123      1 10.0.0.2 %s/000 94 ICP_QUERY key:abcd0000000000000000000000000000 - "
			 "HIER_NONE/- -\n",
			 rows[i].word);
		peer_querylog_put(&d->log, &a, SECOND, WALL);
		assert_string_equal(finish(d), want);
		end(d);
	}
}

static void what_cannot_be_read_has_no_url(void **state)
{
	struct desk *d = begin(ACCESSLOG_SQUID, 1);
	struct peer_asked a = {.asker = &d->asker, .is_invalid = true};

	(void)state;
	peer_querylog_put(&d->log, &a, SECOND, WALL);
	assert_string_equal(finish(d),
			    "1700000000.123      0 10.0.0.2 UDP_INVALID/000 0 ICP_QUERY - - HIER_NONE/- -\n");
	end(d);
}

static void json(void **state)
{
	struct desk *d = begin(ACCESSLOG_JSON, 1);
	struct peer_asked a = asked(d, PEERMSG_LOCATED);
	const char *text;

	(void)state;
	peer_querylog_put(&d->log, &a, SECOND, WALL);
	text = finish(d);
	assert_non_null(strstr(text, "\"client\":\"10.0.0.2\",\"result\":\"UDP_MISS\",\"status\":0,\"bytes\":94,"));
	assert_non_null(strstr(text, "\"method\":\"ICP_QUERY\",\"url\":\"key:abcd0000000000000000000000000000\""));
	assert_non_null(strstr(text, "\"node\":\"edge2\",\"answer\":\"LOCATED\""));
	end(d);
}

/* Ten seconds' worth at once, then so many a second; each of the rest is counted. */
static void the_volume_is_bounded(void **state)
{
	struct desk *d = begin(ACCESSLOG_SQUID, 5);
	struct peer_asked a = asked(d, PEERMSG_MISS);

	(void)state;
	for (int i = 0; i < 1000; i++)
		peer_querylog_put(&d->log, &a, SECOND, WALL);
	assert_int_equal(d->log.left_out, 950);
	for (int i = 0; i < 1000; i++)
		peer_querylog_put(&d->log, &a, 3 * SECOND, WALL);
	assert_int_equal(d->log.left_out, 950 + 990);
	d->log.a_second = 0;
	peer_querylog_put(&d->log, &a, 100 * SECOND, WALL);
	assert_int_equal(d->log.left_out, 950 + 990);
	assert_int_equal(lines_of(finish(d)), 60);
	end(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_answer_has_its_word),
		cmocka_unit_test(what_cannot_be_read_has_no_url),
		cmocka_unit_test(json),
		cmocka_unit_test(the_volume_is_bounded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
