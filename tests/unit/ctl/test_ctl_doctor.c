#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/ctl/ctl_doctor.h"
#include "node/ctl/ctl_trial.h"

static const struct ctl_door doors[] = {
	{"127.0.0.1", "8081", true},
	{"[::1]", "8081", true},
	{"127.0.0.1", "8080", false},
	{"192.0.2.7", "8090", true},
};

static void a_proxys_url_is_judged_as_clients_read_it(void **state)
{
	static const struct {
		const char *value;
		enum ctl_verdict verdict;
		const char *word; /* in what is said */
	} rows[] = {
		{"http://127.0.0.1:8081", CTL_VERDICT_OK, "here"},
		{"http://127.0.0.1:8081/", CTL_VERDICT_OK, "here"},
		{"HTTP://localhost:8081", CTL_VERDICT_OK, "here"},
		{"http://[::1]:8081", CTL_VERDICT_OK, "here"},
		{"http://job7:secret@localhost:8081", CTL_VERDICT_OK, "here"},
		{"http://job@7@localhost:8081", CTL_VERDICT_OK, "here"},
		{"http://192.0.2.7:8090", CTL_VERDICT_OK, "here"},
		{"http://127.0.0.1:8080", CTL_VERDICT_WARN, "does not bump"},
		{"http://127.0.0.1:8082", CTL_VERDICT_WARN, "elsewhere"},
		{"http://192.0.2.7:8081", CTL_VERDICT_WARN, "elsewhere"},
		{"http://squid.test:3128", CTL_VERDICT_WARN, "elsewhere"},
		{"http://127.0.0.1:8081/proxy", CTL_VERDICT_WARN, "path"},
		{"", CTL_VERDICT_WARN, "empty"},
		{" ", CTL_VERDICT_WARN, "empty"},
		{".", CTL_VERDICT_FAIL, "named \".\""},
		{"127.0.0.1:8081", CTL_VERDICT_FAIL, "http://"},
		{"localhost", CTL_VERDICT_FAIL, "http://"},
		{"https://127.0.0.1:8081", CTL_VERDICT_FAIL, "https://"},
		{"socks5://127.0.0.1:8081", CTL_VERDICT_FAIL, "no http"},
		{"http://127.0.0.1", CTL_VERDICT_FAIL, "port"},
		{"http://", CTL_VERDICT_FAIL, "no URL"},
		{"http://a b:1", CTL_VERDICT_FAIL, "no URL"},
		{"http://127.0.0.1:99999", CTL_VERDICT_FAIL, "no URL"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl_judgement j = ctl_doctor_judge_proxy(rows[i].value, doors, sizeof(doors) / sizeof(doors[0]));

		if (j.verdict != rows[i].verdict || !strstr(j.what, rows[i].word))
			fail_msg("\"%s\" is said to be %d: %s", rows[i].value, j.verdict, j.what);
	}
}

static void a_list_that_leaves_nothing_to_the_proxy_is_found(void **state)
{
	static const char *const good[] = {
		"", "localhost,127.0.0.1,::1", "intern.test, .corp.test", "10.0.0.0/8", "build", "a b c"};
	static const char *const bad[] = {"*",  "localhost,*", ".com", "localhost, *.org",
					  "io", "0.0.0.0/0",   "::/0", "a invalid"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (ctl_doctor_judge_no_proxy(good[i]).verdict != CTL_VERDICT_OK)
			fail_msg("\"%s\" is not said to be good", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ctl_doctor_judge_no_proxy(bad[i]).verdict != CTL_VERDICT_FAIL)
			fail_msg("\"%s\" is not said to be bad", bad[i]);
}

static char *made(const char *text)
{
	char *path = strdup("/tmp/test_ctl_doctor.XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static void a_file_is_searched_for_our_ca_however_its_lines_are_cut(void **state)
{
	char ca[] = "QUJDREVGR0g=";
	struct ctl_doctor d = {.ca = ca}, unknown = {.ca = NULL};
	char *with = made(
		     "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\r\nQUJD\r\nREVGR0g=\r\n"),
	     *without = made("-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n");

	(void)state;
	assert_int_equal(ctl_doctor_judge_ca_file(&d, with).verdict, CTL_VERDICT_OK);
	assert_int_equal(ctl_doctor_judge_ca_file(&d, without).verdict, CTL_VERDICT_FAIL);
	assert_int_equal(ctl_doctor_judge_ca_file(&unknown, with).verdict, CTL_VERDICT_SKIP);
	unlink(with);
	assert_int_equal(ctl_doctor_judge_ca_file(&d, with).verdict, CTL_VERDICT_FAIL);
	unlink(without);
	free(with);
	free(without);
}

static void programs_run_with_deadlines_and_leave_nobody_behind(void **state)
{
	static const char *const ends[] = {"sh", "-c", "echo $A$B; echo err >&2; exit 3", NULL},
				 *const sleeps[] = {"sh", "-c", "echo first; sleep 1000 & echo $!; wait", NULL},
				 *const absent[] = {"no-such-program", NULL}, *const env[] = {"A=1", "B", NULL};
	char *out[3] = {made(""), made(""), made("")};
	struct ctl_trial t[3] = {
		{.argv = ends, .env = env, .folder = "/", .out = out[0], .patience = DUR_MINUTE},
		{.argv = sleeps, .folder = "/", .out = out[1], .patience = 300},
		{.argv = absent, .folder = "/", .out = out[2], .patience = DUR_MINUTE},
	};
	char proc[64];

	(void)state;
	setenv("B", "2", 1);
	assert_int_equal(ctl_trials_run(t, 3, 2), 0);
	assert_int_equal(t[0].status, 3);
	assert_string_equal(t[0].said, "1\nerr\n");
	assert_false(t[0].late);
	assert_true(t[1].late);
	assert_int_equal(strncmp(t[1].said, "first\n", 6), 0);
	snprintf(proc, sizeof(proc), "/proc/%ld/cwd", strtol(t[1].said + 6, NULL, 10));
	for (int i = 0; i < 1000 && access(proc, F_OK) == 0; i++)
		usleep(10000); /* until init has seen that it has ended */
	assert_int_not_equal(access(proc, F_OK), 0);
	assert_int_equal(t[2].status, 127);
	for (int i = 0; i < 3; i++) {
		unlink(out[i]);
		free(out[i]);
		free(t[i].said);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proxys_url_is_judged_as_clients_read_it),
		cmocka_unit_test(a_list_that_leaves_nothing_to_the_proxy_is_found),
		cmocka_unit_test(a_file_is_searched_for_our_ca_however_its_lines_are_cut),
		cmocka_unit_test(programs_run_with_deadlines_and_leave_nobody_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
