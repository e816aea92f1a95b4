#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/record/accesslog.h"

struct place {
	char dir[64], path[96], text[400000];
};

static int make_place(void **state)
{
	struct place *p = NEW(struct place);

	strcpy(p->dir, "/tmp/test_accesslog.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/access.log", p->dir);
	*state = p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static struct accesslog *open_log(struct place *p, enum accesslog_format format, bool headers, bool query)
{
	struct accesslog_settings set = {
		.path = p->path, .format = format, .keep = 2, .headers = headers, .query = query};
	char err[200];
	struct accesslog *a = accesslog_open(&set, err, sizeof(err));

	assert_non_null(a);
	return a;
}

static const char *slurp(struct place *p, const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(p->text, 1, sizeof(p->text) - 1, f);
	p->text[n] = '\0';
	fclose(f);
	return p->text;
}

static struct accesslog_line a_line(void)
{
	return (struct accesslog_line){
		.end = 1795441498122,
		.elapsed = 1,
		.client = "127.0.0.1",
		.result = ACCESSLOG_TCP_MISS,
		.status = 200,
		.bytes = 304,
		.method = SPAN("GET"),
		.url = SPAN("http://u:p@origin.test:8080/a?x=1&sig=2"),
		.hier = ACCESSLOG_HIER_DIRECT,
		.peer = SPAN("192.0.2.7"),
		.type = SPAN("text/plain"),
		.cache_status = SPAN("edge1; fwd=uri-miss; stored"),
		.request_id = 0xabc,
	};
}

static const char *one(struct place *p, const struct accesslog_line *l, enum accesslog_format format, bool headers,
		       bool query)
{
	struct accesslog *a = open_log(p, format, headers, query);

	accesslog_put(a, l);
	accesslog_close(&a);
	assert_null(a);
	return slurp(p, p->path);
}

/* The expected lines of this and the next two tests were written by Squid 5.7, masks apart. */
static void native(void **state)
{
	struct accesslog_line l = a_line();

	assert_string_equal(one(*state, &l, ACCESSLOG_SQUID, false, false),
			    "1795441498.122      1 127.0.0.1 TCP_MISS/200 304 GET http://origin.test:8080/a? - "
			    "HIER_DIRECT/192.0.2.7 text/plain\n");
}

static void native_empty_fields(void **state)
{
	struct accesslog_line l = {.end = 1795441500137,
				   .elapsed = 1234567,
				   .client = "::1",
				   .result = ACCESSLOG_TCP_MEM_HIT,
				   .aborted = true,
				   .hier = ACCESSLOG_HIER_NONE,
				   .method = SPAN("GET"),
				   .url = SPAN("http://origin.test/a%20b~{c}|d")};

	assert_string_equal(one(*state, &l, ACCESSLOG_SQUID, true, true),
			    "1795441500.137 1234567 ::1 TCP_MEM_HIT_ABORTED/000 0 GET http://origin.test/a%20b~{c}|d - "
			    "HIER_NONE/- - [] []\n");
}

static void native_headers(void **state)
{
	struct accesslog_line l = a_line();
	struct hdrs ask = {0}, say = {0};

	hdr_add(&ask, SPAN("User-Agent"), SPAN("curl/7.88.1"));
	hdr_add(&ask, SPAN("Accept"), SPAN("*/*"));
	hdr_add(&ask, SPAN("X-R"), SPAN("q[1] %7e \"x\""));
	hdr_add(&ask, SPAN("Authorization"), SPAN("Basic eDp5"));
	hdr_add(&ask, SPAN("X-Auth-Token"), SPAN("geheim"));
	hdr_add(&say, SPAN("X-Odd"), SPAN("a[b]%c\\d\"e\x7f;~"));
	hdr_add(&say, SPAN("Set-Cookie"), SPAN("a=b"));
	hdr_add(&say, SPAN("Location"), SPAN("https://u:p@b.test/c?Signature=x&d=e"));
	l.request = &ask;
	l.reply = &say;
	assert_string_equal(
		one(*state, &l, ACCESSLOG_SQUID, true, true),
		"1795441498.122      1 127.0.0.1 TCP_MISS/200 304 GET http://origin.test:8080/a?x=1&sig=*** - "
		"HIER_DIRECT/192.0.2.7 text/plain "
		"[User-Agent: curl/7.88.1\\r\\nAccept: */*\\r\\nX-R: q%5b1%5d %257e \"x\"\\r\\n"
		"Authorization: ***\\r\\nX-Auth-Token: ***\\r\\n] "
		"[HTTP/1.1 200 OK\\r\\nX-Odd: a%5bb%5d%25c\\\\d\"e%7f;~\\r\\nSet-Cookie: ***\\r\\n"
		"Location: https://b.test/c?Signature=***&d=e\\r\\n\\r\\n]\n");
}

/* Nothing a stranger sends makes a second line or another field. */
static void native_cannot_be_split(void **state)
{
	struct accesslog_line l = a_line();
	struct hdrs ask = {0};

	hdr_add(&ask, SPAN("A"), SPAN("b\r\nc\0]"));
	l.method = SPAN("G T");
	l.url = SPAN("http://o.test/a b\n\t\0\xc3\xa4\x7f");
	l.user = SPAN("a b");
	l.peer = SPAN("p q");
	l.type = SPAN("text/x y\r\n");
	l.request = &ask;
	assert_string_equal(
		one(*state, &l, ACCESSLOG_SQUID, true, true),
		"1795441498.122      1 127.0.0.1 TCP_MISS/200 304 G%20T http://o.test/a%20b%0A%09%00%C3%A4%7F a%20b "
		"HIER_DIRECT/p%20q text/x%20y%0D%0A [A: b\\r\\nc%00%5d\\r\\n] []\n");
}

static void json(void **state)
{
	struct accesslog_line l = a_line();

	assert_string_equal(
		one(*state, &l, ACCESSLOG_JSON, false, true),
		"{\"time\":\"2026-11-23T13:44:58.122Z\",\"elapsed_ms\":1,\"client\":\"127.0.0.1\","
		"\"result\":\"TCP_MISS\",\"status\":200,\"bytes\":304,\"method\":\"GET\","
		"\"url\":\"http://origin.test:8080/a?x=1&sig=***\",\"user\":null,\"hierarchy\":\"HIER_DIRECT\","
		"\"peer\":\"192.0.2.7\",\"type\":\"text/plain\","
		"\"cache_status\":\"edge1; fwd=uri-miss; stored\",\"digest\":null,\"id\":\"0000000000000abc\"}\n");
}

static void json_digest(void **state)
{
	struct accesslog_line l = a_line();
	uint8_t digest[32] = {0xab, [31] = 0x01};

	l.digest = digest;
	assert_non_null(
		strstr(one(*state, &l, ACCESSLOG_JSON, false, true),
		       ",\"digest\":\"ab00000000000000000000000000000000000000000000000000000000000001\",\"id\":"));
}

static void json_headers(void **state)
{
	struct accesslog_line l = a_line();
	struct hdrs ask = {0};
	const char *line;

	hdr_add(&ask, SPAN("Proxy-Authorization"), SPAN("Basic eDp5"));
	hdr_add(&ask, SPAN("X\"Y"), SPAN("\xff\n"));
	l.request = &ask;
	line = one(*state, &l, ACCESSLOG_JSON, true, true);
	assert_non_null(strstr(line,
			       ",\"request_headers\":[[\"Proxy-Authorization\",\"***\"],[\"X\\\"Y\",\"\\u00ff\\n\"]]"
			       ",\"reply_headers\":[]}\n"));
}

/* A line of any size is whole. */
static void huge(void **state)
{
	struct accesslog_line l = a_line();
	size_t n = 40000;
	char *bad = mem_alloc(n);
	const char *line;

	memset(bad, '\x01', n);
	memcpy(bad, "http://", 7);
	l.url = span_of(bad, n);
	line = one(*state, &l, ACCESSLOG_JSON, false, true);
	assert_true(strlen(line) > 6 * (n - 7));
	assert_string_equal(line + strlen(line) - 3, "\"}\n");
	free(bad);
}

static void masks_change_with_a_reload(void **state)
{
	struct place *p = *state;
	struct accesslog *a = open_log(p, ACCESSLOG_SQUID, false, false);
	struct accesslog_line l = a_line();
	const char *text;

	accesslog_put(a, &l);
	accesslog_set_masks(a, true, true);
	accesslog_put(a, &l);
	accesslog_close(&a);
	text = slurp(p, p->path);
	assert_non_null(strstr(text, "/a? - HIER_DIRECT/192.0.2.7 text/plain\n"));
	assert_non_null(strstr(text, "/a?x=1&sig=*** - HIER_DIRECT/192.0.2.7 text/plain [] []\n"));
}

static void rotation(void **state)
{
	struct place *p = *state;
	struct accesslog *a = open_log(p, ACCESSLOG_SQUID, false, false);
	struct accesslog_line l = a_line();
	char old[128];

	for (int i = 0; i < 4; i++) {
		l.bytes = (uint64_t)i;
		accesslog_put(a, &l);
		assert_true(accesslog_reopen(a, NULL, NULL));
	}
	assert_int_equal(accesslog_dropped(a), 0);
	accesslog_close(&a);
	assert_string_equal(slurp(p, p->path), "");
	snprintf(old, sizeof(old), "%s.0", p->path);
	assert_non_null(strstr(slurp(p, old), "/200 3 GET"));
	snprintf(old, sizeof(old), "%s.1", p->path);
	assert_non_null(strstr(slurp(p, old), "/200 2 GET"));
	snprintf(old, sizeof(old), "%s.2", p->path);
	assert_int_equal(access(old, F_OK), -1);
}

static void no_log_and_a_bad_path(void **state)
{
	struct accesslog_settings set = {.path = NULL};
	struct accesslog_line l = a_line();
	char err[200] = "";
	struct accesslog *a = accesslog_open(&set, err, sizeof(err));

	(void)state;
	assert_non_null(a);
	accesslog_put(a, &l);
	assert_false(accesslog_reopen(a, NULL, NULL));
	accesslog_close(&a);
	accesslog_close(&a);
	set.path = "/nonexistent/access.log";
	assert_null(accesslog_open(&set, err, sizeof(err)));
	assert_string_equal(err, "cannot write the access log /nonexistent/access.log: No such file or directory");
}

/* Runs with standard output in a file; gives back what was written there. */
static const char *echoed(struct place *p, const struct accesslog_line *l)
{
	struct accesslog_settings set = {.echo = true};
	int out = open(p->path, O_RDWR | O_CREAT, 0600), was;
	struct accesslog *a;
	char err[200];

	fflush(stdout);
	was = dup(STDOUT_FILENO);
	dup2(out, STDOUT_FILENO);
	a = accesslog_open(&set, err, sizeof(err));
	accesslog_put(a, l);
	accesslog_close(&a);
	dup2(was, STDOUT_FILENO);
	close(was);
	close(out);
	return slurp(p, p->path);
}

static void echo(void **state)
{
	struct accesslog_line l = a_line();

	setenv("TZ", "UTC", 1);
	tzset();
	l.bytes = 1234567;
	l.url = SPAN("https://u:p@o.test/\x1b[2J?sig=1");
	assert_string_equal(echoed(*state, &l),
			    "13:44:58 MISS       200   1.2 MB      1 ms  GET https://o.test/%1B[2J?\n");
}

#define THREADS 3
#define LINES 2000

static void *put_many(void *cookie)
{
	struct accesslog_line l = a_line();

	for (int i = 0; i < LINES; i++)
		accesslog_put(cookie, &l);
	return NULL;
}

static void many_threads(void **state)
{
	struct place *p = *state;
	struct accesslog *a = open_log(p, ACCESSLOG_SQUID, false, false);
	pthread_t t[THREADS];
	int lines = 0;
	FILE *f;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, put_many, a), 0);
	for (int i = 0; i < 100; i++)
		accesslog_set_masks(a, i % 2, i % 3);
	accesslog_set_masks(a, false, false);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	accesslog_close(&a);
	f = fopen(p->path, "r");
	for (int c; (c = getc(f)) != EOF;)
		lines += c == '\n';
	fclose(f);
	assert_int_equal(lines, THREADS * LINES);
}

/* A day's traffic in small: every result and hierarchy code once, hits, errors, a tunnel, an abort. */
static int write_sample(struct place *p)
{
	struct accesslog *a = open_log(p, ACCESSLOG_SQUID, false, true);
	int lines = 0;

	for (int r = 0; r < ACCESSLOG_RESULT_COUNT; r++) {
		for (int h = 0; h < ACCESSLOG_HIER_COUNT; h++, lines++) {
			struct accesslog_line l = a_line();

			l.end += lines * 1000;
			l.result = (enum accesslog_result)r;
			l.hier = (enum accesslog_hier)h;
			l.peer = h == ACCESSLOG_HIER_NONE ? SPAN_NONE : l.peer;
			l.aborted = lines % 7 == 0;
			if (r == ACCESSLOG_TCP_TUNNEL) {
				l.method = SPAN("CONNECT");
				l.url = SPAN("origin.test:443");
				l.type = SPAN_NONE;
			}
			accesslog_put(a, &l);
		}
	}
	accesslog_close(&a);
	return lines;
}

static bool has_program(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
	return system(command) == 0;
}

static const char *output_of(struct place *p, const char *command)
{
	FILE *f = popen(command, "r");
	size_t n;

	assert_non_null(f);
	n = fread(p->text, 1, sizeof(p->text) - 1, f);
	p->text[n] = '\0';
	assert_int_equal(pclose(f), 0);
	return p->text;
}

/* The first number behind a label in a report. */
static long number_after(const char *text, const char *label)
{
	const char *at = strstr(text, label);

	assert_non_null(at);
	at += strlen(label);
	return strtol(at + strcspn(at, "0123456789"), NULL, 10);
}

static void calamaris_reads_it(void **state)
{
	struct place *p = *state;
	int lines = write_sample(p);
	char command[200];

	if (!has_program("calamaris"))
		skip();
	snprintf(command, sizeof(command), "calamaris -a %s 2>&1", p->path);
	output_of(p, command);
	assert_int_equal(number_after(p->text, "lines parsed:"), lines);
	assert_int_equal(number_after(p->text, "invalid lines:"), 0);
	assert_int_equal(number_after(p->text, "Total amount:"), lines);
	assert_int_equal(number_after(p->text, "unique hosts/users:"), 1);
}

static void goaccess_reads_it(void **state)
{
	struct place *p = *state;
	int lines = write_sample(p);
	char command[400];

	if (!has_program("goaccess"))
		skip();
	snprintf(
		command, sizeof(command),
		"goaccess %s --no-global-config --log-format='%%x.%%^ %%~%%L %%h %%^/%%s %%b %%m %%U %%^' --datetime-format=%%s "
		"--date-format=%%s --time-format=%%s -o json --no-progress 2>&1 </dev/null",
		p->path);
	output_of(p, command);
	assert_int_equal(number_after(p->text, "\"valid_requests\":"), lines);
	assert_int_equal(number_after(p->text, "\"failed_requests\":"), 0);
	assert_int_equal(number_after(p->text, "\"bandwidth\":"), lines * 304);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(native, make_place, drop_place),
		cmocka_unit_test_setup_teardown(native_empty_fields, make_place, drop_place),
		cmocka_unit_test_setup_teardown(native_headers, make_place, drop_place),
		cmocka_unit_test_setup_teardown(native_cannot_be_split, make_place, drop_place),
		cmocka_unit_test_setup_teardown(json, make_place, drop_place),
		cmocka_unit_test_setup_teardown(json_digest, make_place, drop_place),
		cmocka_unit_test_setup_teardown(json_headers, make_place, drop_place),
		cmocka_unit_test_setup_teardown(huge, make_place, drop_place),
		cmocka_unit_test_setup_teardown(masks_change_with_a_reload, make_place, drop_place),
		cmocka_unit_test_setup_teardown(rotation, make_place, drop_place),
		cmocka_unit_test(no_log_and_a_bad_path),
		cmocka_unit_test_setup_teardown(echo, make_place, drop_place),
		cmocka_unit_test_setup_teardown(many_threads, make_place, drop_place),
		cmocka_unit_test_setup_teardown(calamaris_reads_it, make_place, drop_place),
		cmocka_unit_test_setup_teardown(goaccess_reads_it, make_place, drop_place),
	};

	return cmocka_run_group_tests_name("accesslog", tests, NULL, NULL);
}
