#include "node/ctl/ctl_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/base/span.h"
#include "node/ctl/ctl.h"

#define CANNOT_START 127

static void set_env(const char *const *env)
{
	for (; env && *env; env++) {
		const char *equals = strchr(*env, '=');

		if (equals) {
			char *name = span_dup(span_of(*env, (size_t)(equals - *env)));

			setenv(name, equals + 1, 1);
			free(name);
		} else {
			unsetenv(*env);
		}
	}
}

/* In the child. */
static void become(const struct ctl_trial *t, const sigset_t *mask)
{
	int in = open("/dev/null", O_RDONLY), out = open(t->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || chdir(t->folder) < 0)
		_exit(CANNOT_START);
	set_env(t->env);
	execvp(t->argv[0], (char *const *)(uintptr_t)t->argv);
	_exit(CANNOT_START);
}

static void start(struct ctl_trial *t, const sigset_t *mask)
{
	t->ran = true;
	t->pidfd = -1;
	t->pid = fork();
	if (t->pid == 0)
		become(t, mask);
	if (t->pid > 0) {
		setpgid(t->pid, t->pid); /* here, too: whichever comes first */
		t->pidfd = pidfd_open(t->pid, 0);
	}
	t->deadline = mono_after(clock_mono(&clock_system), t->patience);
}

static char *read_end(const char *path)
{
	char *text = mem_zalloc(CTL_TRIAL_SAID_BYTES + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return text;
	if (fstat(fd, &st) == 0 && st.st_size > CTL_TRIAL_SAID_BYTES)
		lseek(fd, st.st_size - CTL_TRIAL_SAID_BYTES, SEEK_SET);
	n = read(fd, text, CTL_TRIAL_SAID_BYTES);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

/* Its children end with it. */
static void end(struct ctl_trial *t)
{
	int status = 0;

	if (t->pid > 0) {
		kill(-t->pid, SIGKILL);
		while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (t->pid < 0)
		t->status = CANNOT_START;
	else
		t->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->pid = 0;
	t->said = read_end(t->out);
}

static bool has_ended(const struct ctl_trial *t)
{
	siginfo_t about = {0};

	return t->pid < 0 || (waitid(P_PID, (id_t)t->pid, &about, WEXITED | WNOHANG | WNOWAIT) == 0 && about.si_pid);
}

/* Until the next deadline, or until one has ended or a signal has come. */
static void wait_for_some(const struct ctl_trial *v, size_t n, int signals)
{
	struct pollfd *fds = mem_zalloc((n + 1) * sizeof(*fds));
	mono_us now = clock_mono(&clock_system), next = mono_after(now, DUR_MINUTE);
	size_t used = 0;

	fds[used++] = (struct pollfd){.fd = signals, .events = POLLIN};
	for (size_t i = 0; i < n; i++) {
		if (!v[i].ran || v[i].said)
			continue;
		fds[used++] = (struct pollfd){.fd = v[i].pidfd, .events = POLLIN};
		next = v[i].deadline < next ? v[i].deadline : next;
	}
	poll(fds, used, next > now ? (int)((next - now) / 1000) + 1 : 0);
	free(fds);
}

static size_t collect(struct ctl_trial *v, size_t n, bool all)
{
	mono_us now = clock_mono(&clock_system);
	size_t running = 0;

	for (size_t i = 0; i < n; i++) {
		if (!v[i].ran || v[i].said)
			continue;
		v[i].late = !has_ended(&v[i]) && now >= v[i].deadline;
		if (all || v[i].late || has_ended(&v[i]))
			end(&v[i]);
		else
			running++;
	}
	return running;
}

static int signal_that_came(int signals)
{
	struct signalfd_siginfo about;

	return read(signals, &about, sizeof(about)) == (ssize_t)sizeof(about) ? (int)about.ssi_signo : 0;
}

int ctl_trials_run(struct ctl_trial *v, size_t n, size_t at_once)
{
	size_t started = 0, running = 0;
	sigset_t set, before;
	int signals, came = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &before);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	while (!came && (started < n || running)) {
		for (; started < n && running < at_once; running++)
			start(&v[started++], &before);
		wait_for_some(v, n, signals);
		running = collect(v, n, false);
		came = signal_that_came(signals);
	}
	collect(v, n, true);
	close(signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return came;
}
