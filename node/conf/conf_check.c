/* What one row of the table cannot say: settings that do not go together, and files that must be there. */
#include "node/conf/conf_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define CREDENTIALS_MAX 1024

static const struct conf_seen *seen(const struct conf_checker *c, const char *key)
{
	const struct conf_row *row = conf__find(key);

	CHECK_THAT(row);
	return &c->seen[row - conf__rows];
}

unsigned conf__line_of(const struct conf_checker *c, const char *key)
{
	return seen(c, key)->line;
}

bool conf__is_bad(const struct conf_checker *c, const char *key)
{
	return seen(c, key)->bad;
}

/* Of two that clash, the line of the one that was given, the first if both were. */
static unsigned line_of_either(const struct conf_checker *c, const char *a, const char *b)
{
	return conf__line_of(c, a) ? conf__line_of(c, a) : conf__line_of(c, b);
}

static void must_not_exceed(struct conf_checker *c, const char *small, uint64_t small_is, const char *big,
			    uint64_t big_is)
{
	if (small_is > big_is && !conf__is_bad(c, small) && !conf__is_bad(c, big))
		conf__say(c->errors, line_of_either(c, small, big), small, "must not be more than %s", big);
}

static void check_cache(struct conf_checker *c)
{
	const struct policy_cache *p = &c->conf->policy->cache;

	must_not_exceed(c, "cache.memory.max_object", p->memory_max_object, "cache.memory.size", p->memory_size);
	must_not_exceed(c, "cache.quick_abort.min", p->quick_abort_min, "cache.quick_abort.max", p->quick_abort_max);
}

/* ---- listeners ---- */

struct door {
	const char *key;
	const struct conf_address *address;
};

static in_port_t port_of(const struct conf_address *a)
{
	struct sockaddr_in6 any; /* the port is at the same place in both families */

	memcpy(&any, &a->addr, sizeof(any));
	return any.sin6_port;
}

static bool is_on_all(const struct conf_address *a)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memcpy(&in, &a->addr, sizeof(in));
	memcpy(&in6, &a->addr, sizeof(in6));
	return a->addr.ss_family == AF_INET ? in.sin_addr.s_addr == INADDR_ANY
					    : IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
}

static bool clashes(const struct conf_address *a, const struct conf_address *b)
{
	if (a->addr.ss_family != b->addr.ss_family || port_of(a) != port_of(b) || port_of(a) == 0)
		return false;
	return is_on_all(a) || is_on_all(b) || memcmp(&a->addr, &b->addr, sizeof(a->addr)) == 0;
}

static size_t add_doors(struct door *doors, size_t n, const char *key, const struct conf_addresses *l)
{
	for (size_t i = 0; i < l->n; i++)
		doors[n++] = (struct door){key, &l->v[i]};
	return n;
}

static void check_clash(struct conf_checker *c, const struct door *a, const struct door *b)
{
	if (clashes(a->address, b->address))
		conf__say(c->errors, line_of_either(c, b->key, a->key), b->key, "%s is taken by %s of %s",
			  b->address->text, a->address->text, a->key);
}

static void check_listeners(struct conf_checker *c)
{
	const struct conf *conf = c->conf;
	size_t all = conf->listen.proxy.n + conf->listen.bump.n + conf->listen.admin.n + conf->listen.cluster.n, n = 0;
	struct door *doors;

	if (conf__is_bad(c, "listen.proxy") || conf__is_bad(c, "listen.bump") || conf__is_bad(c, "listen.admin") ||
	    conf__is_bad(c, "listen.cluster"))
		return;
	if (conf->listen.proxy.n + conf->listen.bump.n == 0 && conf->role == CONF_ROLE_EDGE)
		conf__say(c->errors, line_of_either(c, "listen.bump", "listen.proxy"), "listen",
			  "proxy and bump are both empty, so nobody could use this node");
	doors = mem_alloc((all ? all : 1) * sizeof(*doors));
	n = add_doors(doors, n, "listen.proxy", &conf->listen.proxy);
	n = add_doors(doors, n, "listen.bump", &conf->listen.bump);
	n = add_doors(doors, n, "listen.admin", &conf->listen.admin);
	n = add_doors(doors, n, "listen.cluster", &conf->listen.cluster);
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n && c->errors->count < CONF_MAX_ERRORS; j++)
			check_clash(c, &doors[i], &doors[j]);
	free(doors);
}

/* ---- files ---- */

/* Open for reading, after a look that it is a regular file: opening a device or a pipe may do harm or hang. -1: told. */
static int open_regular(struct conf_checker *c, const char *key, const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) < 0) {
		conf__say(c->errors, conf__line_of(c, key), key, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		conf__say(c->errors, conf__line_of(c, key), key, "%s: not a regular file", path);
		return -1;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		conf__say(c->errors, conf__line_of(c, key), key, "%s: %s", path, strerror(errno));
	return fd;
}

bool conf__check_readable(struct conf_checker *c, const char *key, const char *path)
{
	int fd = open_regular(c, key, path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

long conf__read_secret(struct conf_checker *c, const char *key, const char *path, char *bytes, size_t cap)
{
	struct stat st;
	int fd = open_regular(c, key, path);
	ssize_t got;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || (st.st_mode & 077)) {
		close(fd);
		conf__say(c->errors, conf__line_of(c, key), key, "%s: others than its owner can read it; chmod 600",
			  path);
		return -1;
	}
	got = read(fd, bytes, cap);
	if (got < 0)
		conf__say(c->errors, conf__line_of(c, key), key, "%s: %s", path, strerror(errno));
	close(fd);
	return (long)got;
}

/* What is wrong with "user:password" and an end of line behind it; NULL: nothing, and *n is without that end. */
static const char *credentials_fault(const char *text, size_t *n)
{
	struct span s = span_of(text, *n);

	if (s.n > CREDENTIALS_MAX)
		return "too long for user:password";
	if (s.n && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n && s.p[s.n - 1] == '\r')
		s.n--;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return "not one line of plain text";
	if (span_find(s, ':') == 0 || span_find(s, ':') == s.n)
		return "does not hold user:password";
	*n = s.n;
	return NULL;
}

static void read_credentials(struct conf_checker *c, const char *key, const char *path)
{
	struct policy_upstream *u = &c->conf->policy->upstream;
	char text[CREDENTIALS_MAX + 2];
	const char *fault;
	long got = conf__read_secret(c, key, path, text, sizeof(text));
	size_t n;

	if (got < 0)
		return;
	n = (size_t)got;
	fault = credentials_fault(text, &n);
	if (fault)
		conf__say(c->errors, conf__line_of(c, key), key, "%s: %s", path, fault);
	else
		u->proxy_credentials = span_dup(span_of(text, n));
	explicit_bzero(text, sizeof(text));
}

static void check_upstream(struct conf_checker *c)
{
	const struct policy_upstream *u = &c->conf->policy->upstream;
	const char *key = "upstream.proxy_credentials";

	if (c->with_files && u->ca_file)
		conf__check_readable(c, "upstream.ca_file", u->ca_file);
	if (c->with_files && u->hosts_file)
		conf__check_readable(c, "upstream.hosts_file", u->hosts_file);
	if (!u->proxy_credentials_file)
		return;
	if (c->with_files)
		read_credentials(c, key, u->proxy_credentials_file);
	if (!u->proxy_host && !conf__is_bad(c, "upstream.proxy"))
		conf__say(c->errors, conf__line_of(c, key), key, "has no meaning without upstream.proxy");
}

static void check_state(struct conf_checker *c)
{
	if (strlen(c->conf->control) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		conf__say(c->errors, line_of_either(c, "control", "state"), "control",
			  "%s is longer than a Unix socket's path may be (107 bytes)", c->conf->control);
	if (c->conf->ca.life % DUR_DAY)
		conf__say(c->errors, conf__line_of(c, "bump.ca.life"), "bump.ca.life", "must be whole days");
	if (strcmp(c->conf->ca.cert, c->conf->ca.key) == 0)
		conf__say(c->errors, line_of_either(c, "bump.ca.key", "bump.ca.cert"), "bump.ca.key",
			  "is the same file as bump.ca.cert");
}

void conf__check(struct conf_checker *c)
{
	check_listeners(c);
	check_state(c);
	check_upstream(c);
	check_cache(c);
	conf__check_cluster(c);
}
