/* The commands env, ca and exec as their users see them: arguments in, text, files and exit codes out. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_setup.h"
#include "node/ctl/ctl_trust.h"

#define NASTY "it's a \"dir\" $HOME `x` \\ \xc3\xa4\n2"

struct place {
	char dir[64], state[128], out[96], text[400000];
};

static int make_place(void **state)
{
	struct place *p = NEW(struct place);

	strcpy(p->dir, "/tmp/test_ctl_env.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	snprintf(p->state, sizeof(p->state), "%s/" NASTY, p->dir);
	snprintf(p->out, sizeof(p->out), "%s/out", p->dir);
	unsetenv("JAVA_TOOL_OPTIONS");
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

static void slurp(struct place *p)
{
	FILE *f = fopen(p->out, "r");
	size_t n = fread(p->text, 1, sizeof(p->text) - 1, f);

	p->text[n] = '\0';
	fclose(f);
}

/* Runs a command in a child, as user `uid` (0: as it is), its output in p->text; returns its exit code. Words end in NULL. */
static int run(struct place *p, uid_t uid, ctl_command_f *command, const char **words)
{
	int status, out = open(p->out, O_RDWR | O_CREAT | O_TRUNC, 0600);
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		struct ctl c = {.state_opt = p->state};
		struct ctl_args a = {.v = (char **)words};
		int nothing = open("/dev/null", O_WRONLY), code;

		while (words[a.n])
			a.n++;
		dup2(out, STDOUT_FILENO);
		dup2(nothing, STDERR_FILENO);
		code = uid && setuid(uid) != 0 ? 99 : command(&c, &a);
		fflush(stdout);
		_exit(code);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	close(out);
	slurp(p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(p, command, ...) run(p, 0, command, (const char *[]){__VA_ARGS__, NULL})

static void expect_in_shell(struct place *p, const char *shell)
{
	const char *argv[] = {
		shell,
		"-c",
		"eval \"$(cat \"$1\")\"; cmp -s \"$NODE_EXTRA_CA_CERTS\" \"$2/ca.crt\" && "
		"grep -q 'BEGIN CERTIFICATE' \"$SSL_CERT_FILE\" && test \"$SSL_CERT_FILE\" = \"$2/bundle.pem\" && "
		"test -s \"$2/truststore.p12\" && test \"$https_proxy\" = http://127.0.0.1:8081 && "
		"test \"$HTTP_PROXY\" = \"$https_proxy\" && test \"$no_proxy\" = localhost,127.0.0.1,::1",
		"sh",
		p->out,
		p->state,
		NULL};
	int status;
	pid_t child = fork();

	if (child == 0) {
		execvp(shell, (char **)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void shells_take_any_path(void **state)
{
	struct place *p = *state;

	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_OK);
	assert_int_equal(RUN(p, ctl_env, "--java", "--override"), CTL_OK);
	expect_in_shell(p, "dash");
	expect_in_shell(p, "bash");
	/* once gone, all is as before */
	assert_int_equal(RUN(p, ctl_env, "--unset"), CTL_OK);
	assert_non_null(strstr(p->text, "unset https_proxy\n"));
	assert_null(strstr(p->text, "export"));
}

static void without_a_ca(void **state)
{
	struct place *p = *state;

	assert_int_equal(RUN(p, ctl_env, "--java"), CTL_FAILED);
	assert_string_equal(p->text, "");
}

/* A path that a format cannot hold gives no half of an answer. */
static void all_or_nothing(void **state)
{
	struct place *p = *state;

	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_OK);
	assert_int_equal(RUN(p, ctl_env, "--format", "github"), CTL_FAILED);
	assert_string_equal(p->text, "");
	assert_int_equal(RUN(p, ctl_env, "--files"), CTL_FAILED);
	assert_string_equal(p->text, "");
	assert_int_equal(RUN(p, ctl_env, "--files=maven"), CTL_OK);
	assert_non_null(strstr(p->text, "<port>8081</port>"));
}

static void other_formats_and_names(void **state)
{
	struct place *p = *state;

	snprintf(p->state, sizeof(p->state), "%s/state", p->dir);
	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_OK);
	assert_int_equal(RUN(p, ctl_env, "--format=github", "--host", "cache.test:99", "--no-proxy", "a.test,.b.test"),
			 CTL_OK);
	assert_non_null(strstr(p->text, "https_proxy=http://cache.test:99\n"));
	assert_non_null(strstr(p->text, "NO_PROXY=localhost,127.0.0.1,::1,a.test,.b.test\n"));
	assert_int_equal(RUN(p, ctl_env, "--json", "--host=::1"), CTL_OK);
	assert_non_null(strstr(p->text, "\"https_proxy\":\"http://[::1]:8081\","));
	assert_string_equal(p->text + strlen(p->text) - 3, "\"}\n");
	assert_int_equal(RUN(p, ctl_env, "--format", "dockerfile"), CTL_OK);
	assert_non_null(strstr(p->text, "ENV https_proxy=\"http://127.0.0.1:8081\"\n"));
	assert_int_equal(RUN(p, ctl_env, "--format", "fish"), CTL_OK);
	assert_non_null(strstr(p->text, "set -gx https_proxy 'http://127.0.0.1:8081'\n"));
	assert_int_equal(RUN(p, ctl_env, "--format", "json", "--unset"), CTL_OK);
	assert_non_null(strstr(p->text, "\"https_proxy\":null,"));
	assert_int_equal(RUN(p, ctl_env, "--files=gradle", "--no-proxy", ".b.test"), CTL_OK);
	assert_non_null(strstr(p->text, "nonProxyHosts=localhost|127.*|[::1]|b.test|*.b.test\n"));
}

static void usage(void **state)
{
	struct place *p = *state;

	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_OK);
	assert_int_equal(RUN(p, ctl_env, "--formt"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_env, "--format"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_env, "--format", "csh"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_env, "--unset", "--format", "github"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_env, "--files=cpan"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_env, "--host", "a b"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_env, "--host", "a:0"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_env, "--no-proxy", "10.0.0.0/8"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_ca, "make"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_ca, "init", "--days", "0"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_ca, "export", "--format", "jks"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_exec, "--"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_purge, "ftp://a.test/"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_purge, "http://a.test/a b"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_purge, "http://a.test/", "http://b.test/"), CTL_USAGE);
	assert_int_equal(RUN(p, ctl_purge, "http://a.test/"), CTL_NO_DAEMON);
	assert_int_equal(RUN(p, ctl_stats, "--json"), CTL_NO_DAEMON);
}

static void exec_passes_words_and_code(void **state)
{
	struct place *p = *state;

	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_OK);
	assert_int_equal(RUN(p, ctl_exec, "--", "sh", "-c", "echo \"$https_proxy $1\"; exit 7", "sh", "--json"), 7);
	assert_string_equal(p->text, "http://127.0.0.1:8081 --json\n");
	assert_int_equal(RUN(p, ctl_exec, "--no-proxy=a.test", "sh", "-c", "echo $NO_PROXY"), 0);
	assert_string_equal(p->text, "localhost,127.0.0.1,::1,a.test\n");
	assert_int_equal(RUN(p, ctl_exec, "/nonexistent/program"), 127);
	assert_int_equal(RUN(p, ctl_exec, "/etc/passwd"), 126);
}

static void ca_is_shown_and_exported(void **state)
{
	struct place *p = *state;
	char out[200];
	struct stat st;

	assert_int_equal(RUN(p, ctl_ca, "show"), CTL_FAILED);
	assert_int_equal(RUN(p, ctl_ca, "init", "--name", "A \"test\"", "--days=100", "--permit-dns", "a.test"),
			 CTL_OK);
	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_FAILED);
	assert_int_equal(RUN(p, ctl_ca, "init", "--force", "--name", "B", "--permit-dns=a.test", "--permit-dns=b.test"),
			 CTL_OK);
	assert_int_equal(RUN(p, ctl_ca, "show", "--json"), CTL_OK);
	assert_non_null(strstr(p->text, "\"subject\":\"CN=B\",\"sha256\":\""));
	assert_non_null(strstr(p->text, "\"permit_dns\":\"a.test b.test\",\"root\":true}\n"));
	assert_int_equal(RUN(p, ctl_ca, "show"), CTL_OK);
	assert_non_null(strstr(p->text, "signs for   a.test b.test\n"));
	assert_int_equal(RUN(p, ctl_ca, "export"), CTL_OK);
	assert_true(strncmp(p->text, "-----BEGIN CERTIFICATE-----", 27) == 0);
	snprintf(out, sizeof(out), "%s/x.p12", p->dir);
	assert_int_equal(RUN(p, ctl_ca, "export", "--format", "p12", "--out", out), CTL_OK);
	assert_int_equal(stat(out, &st), 0);
	assert_true(st.st_size > 300);
	assert_int_equal(RUN(p, ctl_ca, "export", "--out", "/nonexistent/x"), CTL_FAILED);
}

static void make_trust(struct place *p, struct ctl_trust *t)
{
	char why[512], ca[160];

	snprintf(ca, sizeof(ca), "%s/ca.crt", p->state);
	assert_int_equal(ctl_trust_make(ca, p->state, t, why, sizeof(why)), 0);
}

static void drop_trust(struct ctl_trust *t)
{
	free(t->ca);
	free(t->bundle);
	free(t->store);
}

static void age(const char *path, time_t to)
{
	struct timespec times[2] = {{.tv_sec = to}, {.tv_sec = to}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct stat stat_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st;
}

static void files_are_made_once_and_anew_when_old(void **state)
{
	struct place *p = *state;
	struct ctl_trust t;
	struct stat bundle, store;

	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_OK);
	make_trust(p, &t);
	bundle = stat_of(t.bundle);
	store = stat_of(t.store);
	drop_trust(&t);
	make_trust(p, &t);
	assert_int_equal(stat_of(t.bundle).st_ino, bundle.st_ino);
	assert_int_equal(stat_of(t.store).st_ino, store.st_ino);
	age(t.bundle, 1000); /* older than the CA */
	age(t.store, 1000);
	drop_trust(&t);
	make_trust(p, &t);
	assert_true(stat_of(t.bundle).st_mtim.tv_sec > 1000);
	assert_true(stat_of(t.store).st_mtim.tv_sec > 1000);
	assert_int_equal(truncate(t.bundle, 0), 0);
	drop_trust(&t);
	make_trust(p, &t);
	assert_true(stat_of(t.bundle).st_size > 1000);
	drop_trust(&t);
}

/* Somebody who may read the state folder and not write there gets a private folder; one that others may write is refused. */
static void a_user_without_the_right_to_write(void **state)
{
	struct place *p = *state;
	char cache[100], command[300];

	if (geteuid() != 0)
		skip();
	snprintf(p->state, sizeof(p->state), "%s/state", p->dir);
	assert_int_equal(RUN(p, ctl_ca, "init"), CTL_OK);
	assert_int_equal(chmod(p->state, 0755), 0);
	snprintf(cache, sizeof(cache), "%s/cache", p->dir);
	assert_int_equal(mkdir(cache, 0755), 0);
	assert_int_equal(chown(cache, 65534, 65534), 0);
	setenv("XDG_CACHE_HOME", cache, 1);
	assert_int_equal(run(p, 65534, ctl_env, (const char *[]){"--json", NULL}), CTL_OK);
	snprintf(command, sizeof(command), "\"SSL_CERT_FILE\":\"%s/pmcache/", cache);
	assert_non_null(strstr(p->text, command));
	snprintf(command, sizeof(command), "\"NODE_EXTRA_CA_CERTS\":\"%s/ca.crt\"", p->state);
	assert_non_null(strstr(p->text, command));
	snprintf(command, sizeof(command), "%s/pmcache", cache);
	assert_int_equal(stat_of(command).st_mode & 0777, 0700);
	assert_int_equal(chmod(command, 0777), 0);
	assert_int_equal(run(p, 65534, ctl_env, (const char *[]){"--json", NULL}), CTL_FAILED);
	unsetenv("XDG_CACHE_HOME");
}

static void hosts_are_split(void **state)
{
	static const char *const rows[][3] = {
		{"a.test", "a.test", "80"},   {"a.test:99", "a.test", "99"}, {"192.0.2.1:1", "192.0.2.1", "1"},
		{"::1", "[::1]", "80"},       {"[::1]:99", "[::1]", "99"},   {"a.test:", "a.test", "80"},
		{"a.test:65536", NULL, NULL}, {"http://a.test", NULL, NULL}, {"", NULL, NULL},
		{"a.test:99/x", NULL, NULL},  {"a'b", NULL, NULL},           {"u@a.test", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *host = NULL, *port = NULL;

		assert_int_equal(ctl_setup_split(rows[i][0], "80", &host, &port), rows[i][1] ? 0 : -1);
		if (rows[i][1]) {
			assert_string_equal(host, rows[i][1]);
			assert_string_equal(port, rows[i][2]);
		}
		free(host);
		free(port);
	}
}

static void options(void **state)
{
	const char *words[] = {"--flag", "--host", "a", "--host=b", "--hostx", "-c", "f", "--host"};
	struct ctl_args a = {.n = 8, .v = (char **)words};
	const char *value = NULL;

	(void)state;
	assert_false(ctl_flag(&a, "--fla"));
	assert_true(ctl_flag(&a, "--flag"));
	assert_int_equal(ctl_option(&a, "--host", &value), 1);
	assert_string_equal(value, "a");
	assert_int_equal(ctl_option(&a, "--host", &value), 1);
	assert_string_equal(value, "b");
	assert_int_equal(ctl_option(&a, "--host", &value), 0);
	a.at++;
	assert_int_equal(ctl_option(&a, "-c", &value), 1);
	assert_string_equal(value, "f");
	assert_int_equal(ctl_option(&a, "--host", &value), -1);
	a.at = a.n;
	assert_int_equal(ctl_option(&a, "--host", &value), 0);
	assert_false(ctl_flag(&a, "--flag"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shells_take_any_path, make_place, drop_place),
		cmocka_unit_test_setup_teardown(without_a_ca, make_place, drop_place),
		cmocka_unit_test_setup_teardown(all_or_nothing, make_place, drop_place),
		cmocka_unit_test_setup_teardown(other_formats_and_names, make_place, drop_place),
		cmocka_unit_test_setup_teardown(usage, make_place, drop_place),
		cmocka_unit_test_setup_teardown(exec_passes_words_and_code, make_place, drop_place),
		cmocka_unit_test_setup_teardown(ca_is_shown_and_exported, make_place, drop_place),
		cmocka_unit_test_setup_teardown(files_are_made_once_and_anew_when_old, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_user_without_the_right_to_write, make_place, drop_place),
		cmocka_unit_test(hosts_are_split),
		cmocka_unit_test(options),
	};

	return cmocka_run_group_tests_name("ctl_env", tests, NULL, NULL);
}
