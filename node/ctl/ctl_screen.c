#include "node/ctl/ctl_screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "node/base/mem.h"

#define ENTER "\033[?1049h\033[?25l\033[?7l" /* the other screen, no cursor, long lines are cut */
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define RESET "\033[0m"

struct ctl_screen {
	struct termios before;
	sigset_t mask;
	int signals;
};

static void put(const char *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

static void take_terminal(const struct ctl_screen *s)
{
	struct termios raw = s->before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	put(ENTER);
}

static void give_terminal_back(const struct ctl_screen *s)
{
	put(LEAVE);
	tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

struct ctl_screen *ctl_screen_open(void)
{
	static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
	const char *term = getenv("TERM");
	struct ctl_screen *s;
	sigset_t set;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !term || strcmp(term, "dumb") == 0)
		return NULL;
	s = NEW(struct ctl_screen);
	if (tcgetattr(STDIN_FILENO, &s->before) < 0) {
		free(s);
		return NULL;
	}
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_BLOCK, &set, &s->mask);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	take_terminal(s);
	return s;
}

void ctl_screen_close(struct ctl_screen **sp)
{
	struct ctl_screen *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	give_terminal_back(s);
	close(s->signals);
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
	free(s);
}

/* ---- drawing ---- */

/* Behind "\033[...m". */
static size_t skip_colour(struct span line, size_t at)
{
	at += 2;
	while (at < line.n && line.p[at] >= ' ' && line.p[at] < '@')
		at++;
	return at < line.n ? at + 1 : at;
}

size_t ctl_screen_fit(struct span line, size_t columns)
{
	size_t at = 0, used = 0;

	while (at < line.n) {
		if (line.p[at] == '\033' && at + 1 < line.n && line.p[at + 1] == '[') {
			at = skip_colour(line, at);
			continue;
		}
		if (((unsigned char)line.p[at] & 0xc0) != 0x80 && used++ == columns)
			break;
		at++;
	}
	return at;
}

void ctl_screen_draw(struct ctl_screen *s, struct span text)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct span line;
	unsigned row = 0;

	(void)s;
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	if (!size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	if (text.n && text.p[text.n - 1] == '\n')
		text.n--;
	fputs("\033[H", stdout);
	while (row < size.ws_row && span_cut(&text, '\n', &line)) {
		fprintf(stdout, "%s%.*s" RESET "\033[K", row ? "\r\n" : "",
			SPAN_ARG(span_upto(line, ctl_screen_fit(line, size.ws_col))));
		row++;
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* ---- waiting ---- */

/* As the shell wants it: stopped in the terminal that it knows, and on with ours when it goes on. */
static void stop(struct ctl_screen *s)
{
	give_terminal_back(s);
	kill(getpid(), SIGSTOP);
	take_terminal(s);
}

static bool take_signal(struct ctl_screen *s, enum ctl_screen_event *event)
{
	struct signalfd_siginfo about;

	if (read(s->signals, &about, sizeof(about)) != (ssize_t)sizeof(about))
		return false;
	*event = CTL_SCREEN_RESIZED;
	if (about.ssi_signo == SIGTSTP)
		stop(s);
	else if (about.ssi_signo != SIGWINCH)
		*event = CTL_SCREEN_END;
	return true;
}

enum ctl_screen_event ctl_screen_wait(struct ctl_screen *s, dur_ms wait, char *key)
{
	struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	enum ctl_screen_event event;

	if (poll(fds, 2, (int)wait) <= 0)
		return CTL_SCREEN_TIME;
	if (fds[0].revents && take_signal(s, &event))
		return event;
	if (fds[1].revents & (POLLHUP | POLLERR | POLLNVAL))
		return CTL_SCREEN_END; /* the terminal has gone */
	if (fds[1].revents && read(STDIN_FILENO, key, 1) == 1)
		return CTL_SCREEN_KEY;
	return CTL_SCREEN_TIME;
}
