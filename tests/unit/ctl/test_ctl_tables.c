/* What peers, peers --matrix, explain and top print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/ctl/ctl_explain.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_hosts.h"
#include "node/ctl/ctl_peers.h"
#include "node/ctl/ctl_screen.h"
#include "node/ctl/ctl_table.h"

typedef bool print_f(FILE *, struct span, bool);

static void expect(print_f *print, const char *json, bool colour, const char *want)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_true(ctl_json_is_good(span_str(json)));
	assert_true(print(f, span_str(json), colour));
	fclose(f);
	if (strcmp(text, want) != 0)
		fail_msg("got:\n%s\nnot:\n%s", text, want);
	free(text);
}

static void numbers(void **state)
{
	static const struct {
		char *(*format)(uint64_t, char[CTL_NUMBER_BYTES]);
		uint64_t n;
		const char *text;
	} rows[] = {
		{ctl_format_bytes, 0, "0 B"},
		{ctl_format_bytes, 999, "999 B"},
		{ctl_format_bytes, 1000, "1.0 kB"},
		{ctl_format_bytes, 9949, "9.9 kB"},
		{ctl_format_bytes, 9950, "10 kB"},
		{ctl_format_bytes, 999499, "999 kB"},
		{ctl_format_bytes, 999500, "1.0 MB"},
		{ctl_format_bytes, 1500000000, "1.5 GB"},
		{ctl_format_bytes, UINT64_MAX, "18 EB"},
		{ctl_format_us, 40, "0.0 ms"},
		{ctl_format_us, 400, "0.4 ms"},
		{ctl_format_us, 12300, "12 ms"},
		{ctl_format_us, 1500000, "1.5 s"},
		{ctl_format_s, 0, "0 s"},
		{ctl_format_s, 119, "119 s"},
		{ctl_format_s, 120, "2 min"},
		{ctl_format_s, 7200, "2 h"},
		{ctl_format_s, 86400 * 365, "365 days"},
	};
	char text[CTL_NUMBER_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(rows[i].text, rows[i].format(rows[i].n, text));
	assert_string_equal("0 %", ctl_format_ratio(0, text));
	assert_string_equal("0.4 %", ctl_format_ratio(0.004, text));
	assert_string_equal("50 %", ctl_format_ratio(0.5, text));
	assert_string_equal("100 %", ctl_format_ratio(1, text));
}

static void a_table(void **state)
{
	struct ctl_table *t = ctl_table_new(3, 2);
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	for (int i = 0; i < 3; i++)
		ctl_table_put(t, CTL_BOLD, "%s", (const char *[]){"NAME", "N", "LAST"}[i]);
	for (int i = 0; i < 2; i++) {
		ctl_table_put(t, CTL_PLAIN, "%s", i ? "edge22" : "a");
		ctl_table_put(t, CTL_PLAIN, "%d", i ? 1 : 1000);
		ctl_table_put(t, CTL_RED, "x");
	}
	ctl_table_put(t, CTL_PLAIN, "half a row");
	ctl_table_print(t, f, false);
	fputc('\n', f);
	ctl_table_print(t, f, true);
	fclose(f);
	assert_string_equal("NAME       N  LAST\n"
			    "a       1000  x\n"
			    "edge22     1  x\n"
			    "\n"
			    "\033[1mNAME\033[0m       \033[1mN\033[0m  \033[1mLAST\033[0m\n"
			    "a       1000  \033[31mx\033[0m\n"
			    "edge22     1  \033[31mx\033[0m\n",
			    text);
	free(text);
	ctl_table_free(t);
	ctl_table_free(NULL);
}

#define EDGE2                                                                                                             \
	"{\"name\":\"edge2\",\"role\":\"edge\",\"address\":\"192.0.2.12:8083\",\"state\":\"up\","                         \
	"\"asked\":{\"queries\":90,\"keys\":100,\"hit\":40,\"pending\":10,\"timeouts\":0},"                               \
	"\"answered\":{\"queries\":5,\"keys\":6},\"fetches\":50,\"fetched\":48,"                                          \
	"\"hedged\":3,\"cancelled\":2,\"served\":7,\"load\":51,\"loss\":0.0200,\"ttfb_us\":{\"p50\":1500,\"p99\":30000}," \
	"\"false_hits\":{\"gone\":1,\"stale\":0,\"cut\":1},\"bytes_in\":1500000,\"bytes_out\":0,"                         \
	"\"rtt_us\":{\"p50\":400,\"p90\":900,\"p99\":12000},\"hit_ratio\":0.5000}"
#define EDGE3                                                                                                                                                              \
	"{\"name\":\"edge3\",\"role\":\"edge\",\"address\":null,\"state\":\"dead\","                                                                                       \
	"\"asked\":{\"queries\":0,\"keys\":0,\"hit\":0,\"pending\":0,\"timeouts\":0},\"answered\":{\"keys\":0},"                                                           \
	"\"fetched\":0,\"hedged\":0,\"cancelled\":0,\"served\":0,\"load\":0,\"false_hits\":{\"gone\":0},\"bytes_in\":0,\"bytes_out\":77,\"rtt_us\":{\"p50\":0,\"p99\":0}," \
	"\"hit_ratio\":null}"
#define PARENT1                                                                                                                                                                   \
	"{\"name\":\"parent1\",\"address\":\"parent1.test:8083\",\"state\":\"up\",\"requests\":10,\"hits\":5,"                                                                    \
	"\"retries\":4,\"hedged\":6,\"cancelled\":5,\"load\":null,\"failures\":1,\"connect_failures\":1,\"in_hand\":2,\"bytes_in\":99,\"ttfb_us\":{\"p50\":20000,\"p95\":30000}," \
	"\"hit_ratio\":0.5000}"

static void peers(void **state)
{
	(void)state;
	expect(ctl_peers_print,
	       "{\"node\":\"edge1\",\"cluster\":\"integration\",\"isolated\":false,\"parents\":[" PARENT1
	       "],\"peers\":[" EDGE2 "," EDGE3 "],\"cut\":false}",
	       false,
	       "NAME   ROLE  STATE  ADDRESS           RTT p50 / p99  ASKED  HIT%  FETCHED  FALSE      IN   OUT\n"
	       "edge2  edge  up     192.0.2.12:8083  0.4 ms / 12 ms    100  50 %       48      2  1.5 MB   0 B\n"
	       "edge3  edge  dead   -                             -      0     -        0      0     0 B  77 B\n"
	       "\n"
	       "PARENT   STATE  ADDRESS            TTFB p50 / p95  ASKED  HIT%  FAILED  IN HAND    IN\n"
	       "parent1  up     parent1.test:8083   20 ms / 30 ms     10  50 %       2        2  99 B\n"
	       "\n"
	       "edge1 in integration: 2 others, 1 up, 1 silent; 100 asked, 50 % hits, 48 fetched, 2 false, 1.5 MB in, 77 B out\n");
}

/* A parent's view, with all there is. */
static void peers_wide_and_fellows(void **state)
{
	static const char json[] =
		"{\"node\":\"parent2\",\"cluster\":\"integration\",\"isolated\":false,\"parents\":[],\"fellows\":[" PARENT1
		"],\"peers\":[" EDGE2 "," EDGE3 "],\"cut\":false}";

	(void)state;
	expect(ctl_peers_print_wide, json, false,
	       "NAME   ROLE  STATE  ADDRESS           RTT p50 / p99  ASKED  HIT%  FETCHED  FALSE      IN   OUT  UNANSWERED   LOSS  HEDGED  CANCELLED  SERVED  TTFB p50 / p99  LOAD\n"
	       "edge2  edge  up     192.0.2.12:8083  0.4 ms / 12 ms    100  50 %       48      2  1.5 MB   0 B           0  2.0 %       3          2       7  1.5 ms / 30 ms  20 %\n"
	       "edge3  edge  dead   -                             -      0     -        0      0     0 B  77 B           0      -       0          0       0               -   0 %\n"
	       "\n"
	       "FELLOW   STATE  ADDRESS            TTFB p50 / p95  ASKED  HIT%  FAILED  IN HAND    IN  RETRIED  HEDGED  CANCELLED  LOAD\n"
	       "parent1  up     parent1.test:8083   20 ms / 30 ms     10  50 %       2        2  99 B        4       6          5     -\n"
	       "\n"
	       "parent2 in integration: 2 others, 1 up, 1 silent; 100 asked, 50 % hits, 48 fetched, 2 false, 1.5 MB in, 77 B out\n");
	expect(ctl_peers_print, json, false,
	       "NAME   ROLE  STATE  ADDRESS           RTT p50 / p99  ASKED  HIT%  FETCHED  FALSE      IN   OUT\n"
	       "edge2  edge  up     192.0.2.12:8083  0.4 ms / 12 ms    100  50 %       48      2  1.5 MB   0 B\n"
	       "edge3  edge  dead   -                             -      0     -        0      0     0 B  77 B\n"
	       "\n"
	       "FELLOW   STATE  ADDRESS            TTFB p50 / p95  ASKED  HIT%  FAILED  IN HAND    IN\n"
	       "parent1  up     parent1.test:8083   20 ms / 30 ms     10  50 %       2        2  99 B\n"
	       "\n"
	       "parent2 in integration: 2 others, 1 up, 1 silent; 100 asked, 50 % hits, 48 fetched, 2 false, 1.5 MB in, 77 B out\n");
}

static void nobody_else(void **state)
{
	(void)state;
	expect(ctl_peers_print,
	       "{\"node\":\"edge1\",\"cluster\":\"c\",\"isolated\":true,\"parents\":[],\"peers\":[],\"cut\":true}",
	       false,
	       "\nedge1 in c: 0 others, 0 up, 0 silent; 0 asked, - hits, 0 fetched, 0 false, 0 B in, 0 B out\n"
	       "there are more peers, for which there was no room\n"
	       "this node seems to be cut off from the others; nobody is asked\n");
}

static void states_have_colours(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	assert_true(ctl_peers_print(
		f, SPAN("{\"node\":\"edge1\",\"cluster\":\"c\",\"parents\":[],\"peers\":[" EDGE2 "," EDGE3 "]}"),
		true));
	fclose(f);
	assert_non_null(strstr(text, "\033[32mup\033[0m"));
	assert_non_null(strstr(text, "\033[31mdead\033[0m"));
	free(text);
}

/* What another node calls itself does not reach the terminal as it is. */
static void no_escapes_from_others(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	assert_true(ctl_peers_print_matrix(
		f, SPAN("[{\"node\":\"a\\u001b[2Jb\",\"error\":\"\\u001b[31m\",\"peers\":[{\"name\":\"\\u001b\"}]}]"),
		false));
	fclose(f);
	assert_null(strchr(text, '\033'));
	free(text);
}

#define VIEW(name, ratio, sent, received)                                                                              \
	"{\"name\":\"" name "\",\"hit_ratio\":" ratio ",\"asked\":{\"keys\":" sent                                     \
	"},\"answered\":{\"keys\":" received "}}"

static void the_matrix(void **state)
{
	static const char json[] = "[{\"node\":\"edge1\",\"peers\":[" VIEW("edge2", "0.5000", "1000", "90") "," VIEW(
		"edge3", "0.2500", "10",
		"0") "]},"
		     "{\"node\":\"edge2\",\"peers\":[" VIEW("edge1", "0.1000", "100", "996") "," VIEW(
			     "edge3", "null", "0", "0") "]},"
							"{\"node\":\"edge3\",\"error\":\"timeout\"}]";

	(void)state;
	expect(ctl_peers_print_matrix, json, false,
	       "ASKS        edge1        edge2   edge3\n"
	       "edge1           .  50 % -0.4 %  25 % ?\n"
	       "edge2  10 % -10 %            .       -\n"
	       "\n"
	       "rows ask, columns are asked: hit ratio of what was answered, -loss on the way there (?: not known)\n"
	       "edge3 did not say: timeout\n");
}

static void explained(void **state)
{
	(void)state;
	expect(ctl_explain_print,
	       "{\"url\":\"https://registry.test/a.tgz\",\"key\":\"00ff\",\"class\":\"immutable\",\"here\":{\"state\":\"fresh\","
	       "\"why\":\"immutable\",\"age_s\":600,\"ttl_s\":null,\"size\":1500000},\"would\":\"hit\","
	       "\"siblings\":[{\"node\":\"edge2\",\"has\":\"whole\"},{\"node\":\"edge3\",\"has\":\"growing\"}],"
	       "\"asked\":5,\"parent\":\"parent1\"}",
	       false,
	       "https://registry.test/a.tgz\n"
	       "  would be  a hit: from the cache of this node\n"
	       "  here      fresh, 10 min old, good for ever, 1.5 MB: immutable\n"
	       "  class     immutable: what this URL names never changes\n"
	       "  siblings  edge2 has it\n"
	       "            edge3 is fetching it\n"
	       "  parent    parent1\n"
	       "  key       00ff\n");
	expect(ctl_explain_print,
	       "{\"url\":\"u\",\"key\":\"k\",\"class\":\"novel\",\"here\":{\"state\":\"absent\",\"why\":\"none\"},"
	       "\"would\":\"fetch\",\"siblings\":[],\"asked\":4,\"parent\":null}",
	       false,
	       "u\n"
	       "  would be  a miss: has to be fetched\n"
	       "  here      not here\n"
	       "  class     novel\n"
	       "  siblings  4 asked, nobody has it\n"
	       "  key       k\n");
	expect(ctl_explain_print,
	       "{\"url\":\"u\",\"key\":\"k\",\"class\":\"mutable\",\"here\":{\"state\":\"stale\",\"age_s\":400,\"ttl_s\":-100},"
	       "\"would\":\"revalidate\",\"siblings\":[],\"asked\":0}",
	       false,
	       "u\n"
	       "  would be  asked for whether it has changed, and sent from here if not\n"
	       "  here      stale, 6 min old, for 100 s\n"
	       "  class     mutable: may change, so it is fresh for a limited time\n"
	       "  siblings  nobody was asked\n"
	       "  key       k\n");
	expect(ctl_explain_print,
	       "{\"url\":\"u\",\"key\":\"k\",\"class\":\"mutable\",\"here\":{\"state\":\"fresh\",\"age_s\":4,\"ttl_s\":296},"
	       "\"would\":\"hit\",\"siblings\":[],\"asked\":0}",
	       false,
	       "u\n"
	       "  would be  a hit: from the cache of this node\n"
	       "  here      fresh, 4 s old, good for 4 min\n"
	       "  class     mutable: may change, so it is fresh for a limited time\n"
	       "  siblings  nobody was asked\n"
	       "  key       k\n");
}

static void something_else(void **state)
{
	static const char *const texts[] = {"{}", "[]", "1", "{\"peers\":[]}", "{\"url\":\"u\"}", "\"node\""};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		FILE *f = fopen("/dev/null", "w");

		assert_false(ctl_peers_print(f, span_str(texts[i]), false));
		assert_false(ctl_explain_print(f, span_str(texts[i]), false));
		assert_true(ctl_peers_print_matrix(f, span_str(texts[i]), false) == (texts[i][0] == '['));
		fclose(f);
	}
}

static void a_line_is_cut_to_the_columns_that_it_takes(void **state)
{
	static const struct {
		const char *line;
		size_t columns, bytes;
	} rows[] = {
		{"", 5, 0},
		{"abc", 5, 3},
		{"abc", 3, 3},
		{"abcd", 3, 3},
		{"abc", 0, 0},
		{"\033[32mabc\033[0mde", 4, 13},
		{"\033[1;32mab", 1, 8},
		{"\033[", 1, 2},
		{"\033[31", 1, 4},
		{"a\xc3\xa4z", 2, 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(ctl_screen_fit(span_str(rows[i].line), rows[i].columns), rows[i].bytes);
}

/* ---- hosts ---- */

#define HOST(name, requests, more)                                                                                     \
	"{\"host\":\"" name "\",\"requests\":" #requests ",\"hits\":1,\"sibling\":1," more "}"

static void expect_hosts(const char *now, const char *before, double seconds, const char *want)
{
	char *got = NULL;
	size_t n;
	FILE *f = open_memstream(&got, &n);

	ctl_hosts_print(f, span_str(now), before ? span_str(before) : SPAN_NONE, seconds, false);
	fclose(f);
	assert_string_equal(got, want);
	free(got);
}

static void hosts(void **state)
{
	static const char now[] = "{\"hosts\":[" HOST(
		"big.test", 90,
		"\"parent\":0,\"misses\":2,\"failures\":0,\"client_bytes\":1500,"
		"\"first_byte_us\":{\"p50\":6144,\"p90\":1}") "," HOST("busy.test:81", 30,
								       "\"parent\":1,\"misses\":0,\"failures\":2,\"client_bytes\":0,"
								       "\"first_byte_us\":null") "," HOST("new.test",
													  20,
													  "\"misses\":6") "]}";

	(void)state;
	expect_hosts(now, NULL, 0,
		     "\nHOST          REQUESTS  PER S   HIT%  FAILED  TO CLIENTS  TTFB p50\n"
		     "big.test            90      -   50 %       0      1.5 kB    6.1 ms\n"
		     "busy.test:81        30      -  100 %       2         0 B         -\n"
		     "new.test            20      -   25 %       0         0 B         -\n");
	/* The busiest of this time comes first; of one that was not on the list nobody knows since when it counts. */
	expect_hosts(
		now,
		"{\"hosts\":[" HOST("big.test", 88, "\"misses\":0") "," HOST("busy.test:81", 10, "\"misses\":0") "]}",
		2,
		"\nHOST          REQUESTS  PER S   HIT%  FAILED  TO CLIENTS  TTFB p50\n"
		"busy.test:81        30   10.0  100 %       2         0 B         -\n"
		"big.test            90    1.0   50 %       0      1.5 kB    6.1 ms\n"
		"new.test            20    0.0   25 %       0         0 B         -\n");
}

static void no_hosts(void **state)
{
	(void)state;
	expect_hosts("{}", NULL, 0, "");
	expect_hosts("{\"hosts\":[]}", NULL, 0, "");
	expect_hosts("[]", "[]", 1, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_cut_to_the_columns_that_it_takes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(a_table),
		cmocka_unit_test(peers),
		cmocka_unit_test(hosts),
		cmocka_unit_test(no_hosts),
		cmocka_unit_test(peers_wide_and_fellows),
		cmocka_unit_test(nobody_else),
		cmocka_unit_test(states_have_colours),
		cmocka_unit_test(no_escapes_from_others),
		cmocka_unit_test(the_matrix),
		cmocka_unit_test(explained),
		cmocka_unit_test(something_else),
	};

	return cmocka_run_group_tests_name("ctl_tables", tests, NULL, NULL);
}
