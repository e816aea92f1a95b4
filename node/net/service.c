#include "node/net/service.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_PREFIX "pmcached@"

/* ---- telling ---- */

/* A path, or with '@' a name in the abstract space. False: nobody wants to be told. */
static bool manager_address(struct sockaddr_un *un, socklen_t *len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;

	if (n < 2 || n >= sizeof(un->sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(un->sun_path, path, n);
	if (path[0] == '@')
		un->sun_path[0] = '\0';
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return true;
}

/* With a descriptor (or -1). That nobody listens is no fault of ours: the process serves all the same. */
static void tell(const char *text, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct sockaddr_un un;
	struct iovec io = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_name = &un, .msg_iov = &io, .msg_iovlen = 1};
	int s;

	if (!manager_address(&un, &msg.msg_namelen))
		return;
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return;
	if (fd >= 0) {
		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	(void)sendmsg(s, &msg, MSG_NOSIGNAL);
	close(s);
}

void service_ready(const char *status)
{
	char text[512];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s\n", status);
	tell(text, -1);
}

void service_reloading(const struct clock *clock)
{
	char text[128];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", (int64_t)clock_mono(clock));
	tell(text, -1);
}

void service_stopping(const char *status)
{
	char text[512];

	snprintf(text, sizeof(text), "STOPPING=1\nSTATUS=%s\n", status);
	tell(text, -1);
}

void service_succeeded_by(pid_t pid)
{
	char text[64];

	snprintf(text, sizeof(text), "MAINPID=%d\n", (int)pid);
	tell(text, -1);
}

static bool number_in(const char *variable, uint64_t *n)
{
	const char *text = getenv(variable);

	return text && span_to_u64(span_str(text), n) == 0;
}

/* Such a variable may have been meant for a process that started this one. */
static bool is_for_us(const char *variable)
{
	uint64_t pid;

	return number_in(variable, &pid) && pid == (uint64_t)getpid();
}

dur_ms service_watchdog_interval(void)
{
	uint64_t us;

	if (!number_in("WATCHDOG_USEC", &us) || us > (uint64_t)DUR_DAY * 1000)
		return 0;
	if (getenv("WATCHDOG_PID") && !is_for_us("WATCHDOG_PID"))
		return 0;
	return us < 2000 ? (us > 0) : (dur_ms)(us / 2000);
}

void service_alive(void)
{
	tell("WATCHDOG=1\n", -1);
}

/* ---- sockets ---- */

/* Meant for a process that the one named has started. */
static bool is_inherited(void)
{
	uint64_t pid, predecessor;

	return number_in("LISTEN_PID", &pid) && number_in(SERVICE_PREDECESSOR, &predecessor) && pid == predecessor;
}

static int end_of_fds(void)
{
	uint64_t n;

	if ((!is_for_us("LISTEN_PID") && !is_inherited()) || !number_in("LISTEN_FDS", &n) || n > SERVICE_MOST_FDS)
		return SERVICE_FIRST_FD;
	return SERVICE_FIRST_FD + (int)n;
}

/* What the manager calls it; empty when it does not say. */
static struct span name_of(int fd)
{
	const char *names = getenv("LISTEN_FDNAMES");
	struct span rest = span_str(names ? names : ""), name = SPAN_NONE;

	for (int i = SERVICE_FIRST_FD; i <= fd; i++)
		if (!span_cut(&rest, ':', &name))
			return SPAN_NONE;
	return name;
}

/* A name must have no ':', which stands between names. */
struct span service_name(char room[SERVICE_NAME_BYTES], const struct addr *a, int loop)
{
	char where[ADDR_TEXT_BYTES];

	snprintf(room, SERVICE_NAME_BYTES, NAME_PREFIX "%s#%d", addr_format(a, where), loop);
	for (char *c = room; *c; c++)
		if (*c == ':')
			*c = '_';
	return span_str(room);
}

static bool is_kept_name(struct span name)
{
	return span_starts(name, SPAN(NAME_PREFIX));
}

static bool is_untaken(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

static bool listens_on(int fd, const struct addr *a)
{
	struct addr own = {.len = sizeof(own.in6)};
	socklen_t n = sizeof(int);
	int listening = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening &&
	       getsockname(fd, &own.sa, &own.len) == 0 && addr_same(&own, a);
}

bool service_has_socket(const struct addr *a)
{
	for (int fd = SERVICE_FIRST_FD, end = end_of_fds(); fd < end; fd++)
		if (listens_on(fd, a))
			return true;
	return false;
}

int service_take_socket(const struct addr *a, int loop)
{
	char room[SERVICE_NAME_BYTES];
	struct span mine = service_name(room, a, loop);

	for (int fd = SERVICE_FIRST_FD, end = end_of_fds(); fd < end; fd++) {
		struct span name = name_of(fd);

		if (!is_untaken(fd) || !listens_on(fd, a) || (is_kept_name(name) && !span_eq(name, mine)))
			continue;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		return fd;
	}
	return -1;
}

int service_share_socket(const struct addr *a)
{
	for (int fd = SERVICE_FIRST_FD, end = end_of_fds(); fd < end; fd++)
		if (!is_untaken(fd) && listens_on(fd, a))
			return fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return -1;
}

void service_keep_socket(int fd, const struct addr *a, int loop)
{
	char room[SERVICE_NAME_BYTES], text[SERVICE_NAME_BYTES + 32];
	struct span name = service_name(room, a, loop);

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%.*s\n", SPAN_ARG(name));
	tell(text, fd);
}

static void drop(int fd, struct span name)
{
	char text[512];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%.*s\n", SPAN_ARG(name));
	tell(text, -1);
	close(fd);
}

static bool listens_on_any(int fd, const struct addr *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (listens_on(fd, &a[i]))
			return true;
	return false;
}

void service_drop_others(const struct addr *wanted, size_t n)
{
	for (int fd = SERVICE_FIRST_FD, end = end_of_fds(); fd < end; fd++) {
		struct span name = name_of(fd);

		if (is_untaken(fd) && is_kept_name(name) && !listens_on_any(fd, wanted, n))
			drop(fd, name);
	}
}

unsigned service_drop_untaken(void)
{
	unsigned others = 0;

	for (int fd = SERVICE_FIRST_FD, end = end_of_fds(); fd < end; fd++) {
		struct span name = name_of(fd);

		if (!is_untaken(fd))
			continue;
		if (is_kept_name(name)) {
			drop(fd, name);
		} else {
			close(fd);
			others++;
		}
	}
	return others;
}
