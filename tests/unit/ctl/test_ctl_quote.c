#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/rng.h"
#include "node/ctl/ctl_quote.h"

/* What is written, on the heap; NULL when the format refuses. */
static char *quoted(enum ctl_quote how, const char *value)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	int failed = ctl_quote_put(f, how, value);

	fclose(f);
	if (!failed)
		return text;
	assert_int_equal(n, 0);
	free(text);
	return NULL;
}

static void formats(void **state)
{
	static const struct {
		enum ctl_quote how;
		const char *value, *want; /* NULL: refused */
	} rows[] = {
		{CTL_QUOTE_SH, "", "''"},
		{CTL_QUOTE_SH, "/a b/$c`d`\"e\\", "'/a b/$c`d`\"e\\'"},
		{CTL_QUOTE_SH, "it's", "'it'\\''s'"},
		{CTL_QUOTE_FISH, "it's \\n $x", "'it\\'s \\\\n $x'"},
		{CTL_QUOTE_JSON, "a\"\\\n\xc3\xa4", "\"a\\\"\\\\\\n\xc3\xa4\""},
		{CTL_QUOTE_GITHUB, "a b=c'\"", "a b=c'\""},
		{CTL_QUOTE_GITHUB, "a\nb", NULL},
		{CTL_QUOTE_DOCKERFILE, "a $b \"c\" \\", "\"a \\$b \\\"c\\\" \\\\\""},
		{CTL_QUOTE_DOCKERFILE, "a\nb", NULL},
		{CTL_QUOTE_PROPERTIES, " a\\b:c=d ", "\\ a\\\\b:c=d "},
		{CTL_QUOTE_PROPERTIES, "a\nb", NULL},
		{CTL_QUOTE_PROPERTIES, "\xc3\xa4", NULL},
		{CTL_QUOTE_SYSTEMD, "50% \"x\" \\", "50%% \\\"x\\\" \\\\"},
		{CTL_QUOTE_SYSTEMD, "a\nb", NULL},
		{CTL_QUOTE_APT, "/a b", "\"/a b\""},
		{CTL_QUOTE_APT, "/a\"b", NULL},
		{CTL_QUOTE_APT, "/a\nb", NULL},
		{CTL_QUOTE_LINE, "/a b", "/a b"},
		{CTL_QUOTE_LINE, " /a", NULL},
		{CTL_QUOTE_LINE, "/a ", NULL},
		{CTL_QUOTE_LINE, "/a\x7f", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *have = quoted(rows[i].how, rows[i].value);

		if (!rows[i].want)
			assert_null(have);
		else
			assert_string_equal(have, rows[i].want);
		free(have);
	}
}

/* Evaluates the quoted value in a shell as `env` is meant to be used. */
static void expect_round_trip(const char *shell, const char *value)
{
	char script[] = "/tmp/test_ctl_quote.XXXXXX", command[200], have[256];
	char *text = quoted(CTL_QUOTE_SH, value);
	int fd = mkstemp(script);
	FILE *f = fdopen(fd, "w");
	size_t n;

	fprintf(f, "X=%s\n", text);
	fclose(f);
	snprintf(command, sizeof(command), "%s -c 'eval \"$(cat %s)\"; printf %%s \"$X\"'", shell, script);
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(have, 1, sizeof(have) - 1, f);
	have[n] = '\0';
	assert_int_equal(pclose(f), 0);
	remove(script);
	free(text);
	assert_string_equal(have, value);
}

static void shells_read_it_back(void **state)
{
	static const char special[] = "'\"\\$`!*?[]{}()<>|&;#~ \t\nab\xc3\xa4=%^";
	static const char *const shells[] = {"dash", "bash"};
	struct rng rng;
	char value[40];

	(void)state;
	rng_seed(&rng, 20261123);
	for (int round = 0; round < 30; round++) {
		size_t n = (size_t)rng_below(&rng, sizeof(value) - 1);

		for (size_t i = 0; i < n; i++)
			value[i] = special[rng_below(&rng, sizeof(special) - 1)];
		value[n] = '\0';
		expect_round_trip(shells[round % 2], value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		cmocka_unit_test(shells_read_it_back),
	};

	return cmocka_run_group_tests_name("ctl_quote", tests, NULL, NULL);
}
