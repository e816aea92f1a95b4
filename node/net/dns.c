#include "node/net/dns.h"

#include <ares.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/map.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/net/hosts.h"
#include "proto/url.h"

#define SETTLE_MS 50 /* RFC 8305 §3, Resolution Delay */
#define TTL_LEAST_S 1
#define TTL_MOST_S 3600
#define KEEP_NO_NAME (10 * DUR_SECOND)
#define KEEP_FAILURE (1 * DUR_SECOND)
#define MOST_KEPT 4096
#define MOST_ASKED 4096
#define LOOK_EVERY (1 * DUR_SECOND) /* at the files */
#define FILE_MOST_BYTES (16 * 1024 * 1024)
#define CLASS_IN 1
#define TYPE_SRV 33
/* Of c-ares: the wait for a server doubles with each round over them. */
#define FIRST_TRY_MS 2000
#define TRIES 3

/* What a name was found to be. Counted, so that it outlives its place in the cache until all who wait were told. */
struct answer {
	unsigned refs;
	enum reason why;
	size_t n;
	struct addr v[];
};

/* One of the two questions about a name. */
struct half {
	struct name *name;
	int family;
	bool asking;
	int status; /* ARES_SUCCESS with n > 0, or why there is none */
	mono_us good_until;
	size_t n;
	struct addr *v;
};

struct name {
	unsigned magic;
	struct map_node node;
	struct dns *dns;
	struct half half[2];   /* AAAA, A */
	struct answer *answer; /* NULL: none yet */
	mono_us good_until;
	bool round; /* from asking to the answer; one half may be asking for longer than that */
	TAILQ_HEAD(, dns_lookup) waiting;
	struct timer settle;
	bool kept; /* stands in the list of those that may be forgotten: answered, and nothing is being asked */
	TAILQ_ENTRY(name) by_age;
	char host[URL_MAX_HOST + 1];
};

#define NAME_MAGIC 0xd25a0001

struct dns_lookup {
	unsigned magic;
	struct dns *dns;
	struct name *name;     /* waits there; NULL: has its answer */
	struct answer *answer; /* to be told by `job` */
	TAILQ_ENTRY(dns_lookup) waiting;
	struct deferred job;
	struct timer deadline;
	dns_on_done_f *on_done;
	void *cookie;
};

#define DNS_LOOKUP_MAGIC 0xd25a0002

/* A question about SRV records. c-ares holds a pointer to it until it calls back, so it may outlive its look-up. */
struct srv_question {
	struct dns *dns;
	struct dns_srv_lookup *lookup; /* NULL: nobody waits any more */
	char name[URL_MAX_HOST + 1];
};

struct dns_srv_lookup {
	unsigned magic;
	struct dns *dns;
	struct srv_question *question; /* NULL: answered, `job` tells */
	enum reason why;
	size_t n;
	struct dns_srv *v;
	struct deferred job;
	struct timer deadline;
	dns_on_srv_f *on_done;
	void *cookie;
};

#define DNS_SRV_LOOKUP_MAGIC 0xd25a0004

/* A file that is read again when it has changed. */
struct watched {
	char *path;
	struct stat was;
};

/* A socket of c-ares's. */
struct wire {
	LIST_ENTRY(wire) entry;
	int fd;
	struct fdwatch *watch;
	struct dns *dns;
};

struct dns {
	unsigned magic;
	struct loop *loop;
	bool ending;
	ares_channel channel; /* NULL: could not be made */
	char *servers;        /* NULL: those of /etc/resolv.conf */
	struct timer timeout;
	LIST_HEAD(, wire) wires;
	struct watched own_file, system_file, resolv_file;
	struct hosts *own, *system;
	mono_us look_next;
	dur_ms deadline;
	uint64_t seed;
	struct map names;
	TAILQ_HEAD(, name) by_age; /* oldest first */
	size_t kept, asked, lookups;
};

#define DNS_MAGIC 0xd25a0003

/* ---- answers ---- */

static struct answer *answer_new(enum reason why, size_t room)
{
	struct answer *a = mem_zalloc(sizeof(*a) + room * sizeof(a->v[0]));

	a->refs = 1;
	a->why = why;
	return a;
}

static void answer_unref(struct answer *a)
{
	if (a && --a->refs == 0)
		free(a);
}

static void lookup_free(struct dns_lookup *l)
{
	if (l->name)
		TAILQ_REMOVE(&l->name->waiting, l, waiting);
	loop_defer_cancel(l->dns->loop, &l->job);
	timer_fini(&l->deadline);
	answer_unref(l->answer);
	l->dns->lookups--;
	l->magic = 0;
	free(l);
}

static void on_answer(void *arg)
{
	struct dns_lookup *l = arg;
	struct answer *a = l->answer;
	dns_on_done_f *on_done = l->on_done;
	void *cookie = l->cookie;

	CHECK(l, DNS_LOOKUP_MAGIC);
	l->answer = NULL;
	lookup_free(l);
	on_done(cookie, a->v, a->n, a->why);
	answer_unref(a);
}

static void on_deadline(void *arg)
{
	struct dns_lookup *l = arg;
	dns_on_done_f *on_done = l->on_done;
	void *cookie = l->cookie;

	CHECK(l, DNS_LOOKUP_MAGIC);
	lookup_free(l);
	on_done(cookie, NULL, 0, REASON_DNS_TIMEOUT);
}

/* Its turn comes: nothing here calls back from inside a start or from inside c-ares. */
static void lookup_answer(struct dns_lookup *l, struct answer *a)
{
	l->answer = a;
	a->refs++;
	if (l->name)
		TAILQ_REMOVE(&l->name->waiting, l, waiting);
	l->name = NULL;
	timer_clear(&l->deadline);
	loop_defer(l->dns->loop, &l->job, on_answer, l);
}

/* ---- names ---- */

static struct name *name_of(struct map_node *node)
{
	return (struct name *)(void *)((char *)node - offsetof(struct name, node));
}

static bool is_name(const struct map_node *node, const void *wanted)
{
	const struct name *name = (const void *)((const char *)node - offsetof(struct name, node));

	return strcmp(name->host, wanted) == 0;
}

static void name_free(struct name *name)
{
	struct dns *dns = name->dns;

	CHECK(name, NAME_MAGIC);
	CHECK_THAT(TAILQ_EMPTY(&name->waiting));
	map_remove(&dns->names, &name->node);
	if (name->kept) {
		TAILQ_REMOVE(&dns->by_age, name, by_age);
		dns->kept--;
	}
	timer_fini(&name->settle);
	for (int i = 0; i < 2; i++)
		free(name->half[i].v);
	answer_unref(name->answer);
	name->magic = 0;
	free(name);
}

static bool is_asking(const struct name *name)
{
	return name->half[0].asking || name->half[1].asking;
}

static void unkeep(struct name *name)
{
	if (!name->kept)
		return;
	TAILQ_REMOVE(&name->dns->by_age, name, by_age);
	name->dns->kept--;
	name->kept = false;
}

static void keep(struct name *name)
{
	struct dns *dns = name->dns;

	unkeep(name);
	if (dns->kept >= MOST_KEPT)
		name_free(TAILQ_FIRST(&dns->by_age));
	TAILQ_INSERT_TAIL(&dns->by_age, name, by_age);
	dns->kept++;
	name->kept = true;
}

/* Both halves have failed. Only if both say that there is nothing, there is nothing. */
static enum reason reason_of(const struct half half[2])
{
	bool timeout = half[0].status == ARES_ETIMEOUT || half[1].status == ARES_ETIMEOUT;

	for (int i = 0; i < 2; i++)
		if (half[i].status != ARES_ENOTFOUND && half[i].status != ARES_ENODATA &&
		    half[i].status != ARES_ETIMEOUT)
			return REASON_DNS_FAILED;
	return timeout ? REASON_DNS_TIMEOUT : REASON_DNS_NO_NAME;
}

/* Makes the answer of what both halves have by now, and gives it to all who wait. */
static void publish(struct name *name)
{
	struct answer *a = answer_new(REASON_NONE, name->half[0].n + name->half[1].n);
	struct dns_lookup *l;

	name->round = false;
	name->good_until = MONO_NEVER;
	for (int i = 0; i < 2; i++) {
		const struct half *h = &name->half[i];

		if (!h->n)
			continue;
		memcpy(a->v + a->n, h->v, h->n * sizeof(h->v[0]));
		a->n += h->n;
		if (h->good_until < name->good_until)
			name->good_until = h->good_until;
	}
	if (!a->n) {
		a->why = reason_of(name->half);
		name->good_until = mono_after(loop_now(name->dns->loop),
					      a->why == REASON_DNS_NO_NAME ? KEEP_NO_NAME : KEEP_FAILURE);
	}
	answer_unref(name->answer);
	name->answer = a;
	timer_clear(&name->settle);
	while ((l = TAILQ_FIRST(&name->waiting)) != NULL)
		lookup_answer(l, a);
}

static void on_settle(void *arg)
{
	struct name *name = arg;

	CHECK(name, NAME_MAGIC);
	publish(name);
}

/* ---- c-ares ---- */

static void on_timeout(void *arg);
static void on_wire(void *cookie, unsigned events);

/* After every call into c-ares that may have sent something. */
static void arm_timeout(struct dns *dns)
{
	struct timeval tv;

	if (dns->channel && ares_timeout(dns->channel, NULL, &tv))
		timer_set(&dns->timeout, loop_now(dns->loop) + (int64_t)tv.tv_sec * 1000000 + tv.tv_usec + 1);
	else
		timer_clear(&dns->timeout);
}

static void on_timeout(void *arg)
{
	struct dns *dns = arg;

	CHECK(dns, DNS_MAGIC);
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timeout(dns);
}

static void on_wire(void *cookie, unsigned events)
{
	struct wire *w = cookie; /* gone when c-ares closes the socket in here */
	struct dns *dns = w->dns;
	int fd = w->fd;

	CHECK(dns, DNS_MAGIC);
	ares_process_fd(dns->channel, events & FD_READ ? fd : ARES_SOCKET_BAD,
			events & FD_WRITE ? fd : ARES_SOCKET_BAD);
	arm_timeout(dns);
}

static struct wire *find_wire(struct dns *dns, int fd)
{
	struct wire *w;

	LIST_FOREACH(w, &dns->wires, entry)
	if (w->fd == fd)
		return w;
	return NULL;
}

/* c-ares opens a socket, wants something else of it, or (neither) is about to close it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = arg;
	struct wire *w = find_wire(dns, fd);

	if (!readable && !writable) {
		if (!w)
			return;
		LIST_REMOVE(w, entry);
		fdwatch_free(w->watch);
		free(w);
		return;
	}
	if (!w) {
		w = NEW(struct wire);
		w->fd = fd;
		w->dns = dns;
		w->watch = fdwatch_new(dns->loop, fd, on_wire, w);
		LIST_INSERT_HEAD(&dns->wires, w, entry);
	}
	fdwatch_want(w->watch, (readable ? FD_READ : 0u) | (writable ? FD_WRITE : 0u));
}

/* ares_library_init is left out: it does nothing but on Windows, and counts in a global. */
static ares_channel channel_new(struct dns *dns)
{
	char lookups[] = "b"; /* name servers only: the files are ours to read */
	struct ares_options o = {
		.flags = ARES_FLAG_NOALIASES,
		.timeout = FIRST_TRY_MS,
		.tries = TRIES,
		.lookups = lookups,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = dns,
	};
	int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	ares_channel channel;

	if (ares_init_options(&channel, &o, set) != ARES_SUCCESS)
		return NULL;
	if (dns->servers && ares_set_servers_ports_csv(channel, dns->servers) != ARES_SUCCESS) {
		ares_destroy(channel);
		return NULL;
	}
	return channel;
}

/* ---- asking ---- */

static void ask_half(struct half *h);

static int ttl_of(const struct ares_addrinfo *ai)
{
	int ttl = TTL_MOST_S;

	for (const struct ares_addrinfo_cname *c = ai->cnames; c; c = c->next)
		ttl = c->ttl < ttl ? c->ttl : ttl;
	for (const struct ares_addrinfo_node *a = ai->nodes; a; a = a->ai_next)
		ttl = a->ai_ttl < ttl ? a->ai_ttl : ttl;
	return ttl < TTL_LEAST_S ? TTL_LEAST_S : ttl;
}

static void take_addresses(struct half *h, const struct ares_addrinfo *ai)
{
	h->v = mem_alloc(DNS_MOST_ADDRESSES / 2 * sizeof(h->v[0]));
	for (const struct ares_addrinfo_node *a = ai->nodes; a && h->n < DNS_MOST_ADDRESSES / 2; a = a->ai_next) {
		struct addr *to = &h->v[h->n];

		if (a->ai_family != h->family || (size_t)a->ai_addrlen > sizeof(to->in6))
			continue;
		memset(to, 0, sizeof(*to));
		to->len = (socklen_t)a->ai_addrlen;
		memcpy(&to->sa, a->ai_addr, to->len);
		h->n++;
	}
	h->good_until = mono_after(loop_now(h->name->dns->loop), ttl_of(ai) * DUR_SECOND);
}

static void on_half(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
	struct half *h = arg;
	struct name *name = h->name;
	struct dns *dns = name->dns;

	(void)timeouts;
	CHECK(name, NAME_MAGIC);
	h->asking = false;
	if (dns->ending)
		return;
	if (status == ARES_EDESTRUCTION) { /* the servers have changed: the channel in use by now is another */
		ask_half(h);
		return;
	}
	h->status = status;
	if (status == ARES_SUCCESS) {
		take_addresses(h, ai);
		if (!h->n)
			h->status = ARES_ENODATA;
	}
	if (ai)
		ares_freeaddrinfo(ai);
	if (!is_asking(name)) {
		dns->asked--;
		publish(name);
		keep(name);
	} else if (h->n) {
		timer_set_in(&name->settle, SETTLE_MS);
	}
}

static void ask_half(struct half *h)
{
	struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT, .ai_family = h->family, .ai_socktype = SOCK_STREAM};
	struct dns *dns = h->name->dns;
	char host[URL_MAX_HOST + 2];
	size_t n = strlen(h->name->host);

	free(h->v);
	h->v = NULL;
	h->n = 0;
	h->status = ARES_ETIMEOUT;
	h->asking = true;
	memcpy(host, h->name->host, n + 1);
	if (memchr(host, '.', n))
		memcpy(host + n, ".", 2); /* absolute: the search list is for single labels */
	if (dns->channel)
		ares_getaddrinfo(dns->channel, host, NULL, &hints, on_half, h);
	else
		on_half(h, ARES_ECONNREFUSED, 0, NULL);
}

static void ask(struct name *name)
{
	/* A half may still be asking since an earlier round whose answer has expired. */
	bool ask_half_of[2] = {!name->half[0].asking, !name->half[1].asking};

	unkeep(name);
	name->round = true;
	if (!is_asking(name))
		name->dns->asked++;
	/* Both are marked first: an answer that comes at once must not pass for both. */
	for (int i = 0; i < 2; i++)
		name->half[i].asking = true;
	for (int i = 0; i < 2; i++)
		if (ask_half_of[i])
			ask_half(&name->half[i]);
	arm_timeout(name->dns);
}

static struct name *name_new(struct dns *dns, const char *host, uint64_t hash)
{
	struct name *name = NEW(struct name);

	name->magic = NAME_MAGIC;
	name->dns = dns;
	name->half[0] = (struct half){.name = name, .family = AF_INET6};
	name->half[1] = (struct half){.name = name, .family = AF_INET};
	TAILQ_INIT(&name->waiting);
	timer_init(&name->settle, dns->loop, on_settle, name);
	memcpy(name->host, host, strlen(host) + 1);
	map_insert(&dns->names, &name->node, hash);
	return name;
}

/* ---- the files ---- */

static char *slurp(int fd, size_t most, size_t *n)
{
	size_t room = 0;
	char *text = NULL;

	*n = 0;
	for (;;) {
		ssize_t got;

		if (*n == room) {
			room = room ? 2 * room : 16 * 1024;
			text = mem_realloc(text, room);
		}
		got = read(fd, text + *n, room - *n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got > 0 && *n + (size_t)got <= most) {
			*n += (size_t)got;
			continue;
		}
		if (got == 0)
			return text;
		if (got > 0)
			errno = EFBIG;
		free(text);
		return NULL;
	}
}

static struct hosts *read_hosts(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct hosts *h = NULL;
	char *text;
	size_t n;

	if (fd < 0)
		return NULL;
	text = slurp(fd, FILE_MOST_BYTES, &n);
	err = errno;
	close(fd);
	if (text)
		h = hosts_parse(span_of(text, n));
	free(text);
	errno = err;
	return h;
}

static bool has_changed(struct watched *w)
{
	struct stat now = {0};
	bool changed;

	if (!w->path || stat(w->path, &now) < 0)
		return false; /* not there: perhaps about to be replaced */
	changed = now.st_ino != w->was.st_ino || now.st_dev != w->was.st_dev || now.st_size != w->was.st_size ||
		  now.st_mtim.tv_sec != w->was.st_mtim.tv_sec || now.st_mtim.tv_nsec != w->was.st_mtim.tv_nsec;
	w->was = now;
	return changed;
}

static void use_hosts(struct hosts **place, struct hosts *h)
{
	if (!h)
		return;
	hosts_free(*place);
	*place = h;
}

/* Another channel; what the old one was asking is asked again there. */
static void use_channel(struct dns *dns, ares_channel channel)
{
	ares_channel old = dns->channel;

	dns->channel = channel;
	if (old)
		ares_destroy(old);
	arm_timeout(dns);
}

static void look_at_files(struct dns *dns)
{
	mono_us now = loop_now(dns->loop);
	ares_channel channel;

	if (now < dns->look_next)
		return;
	dns->look_next = mono_after(now, LOOK_EVERY);
	if (has_changed(&dns->own_file))
		use_hosts(&dns->own, read_hosts(dns->own_file.path));
	if (has_changed(&dns->system_file))
		use_hosts(&dns->system, read_hosts(dns->system_file.path));
	if (!dns->servers && (has_changed(&dns->resolv_file) || !dns->channel)) {
		channel = channel_new(dns);
		if (channel)
			use_channel(dns, channel);
	}
}

int dns_set_hosts_file(struct dns *dns, const char *path)
{
	struct hosts *h = path ? read_hosts(path) : hosts_parse(SPAN_NONE);
	char *copy;

	CHECK(dns, DNS_MAGIC);
	if (!h)
		return -1;
	use_hosts(&dns->own, h);
	copy = path ? span_dup(span_str(path)) : NULL;
	free(dns->own_file.path);
	dns->own_file = (struct watched){.path = copy};
	return 0;
}

/* ---- answers that need no server ---- */

static bool is_localhost(struct span host)
{
	return span_eq(host, SPAN("localhost")) || span_ends(host, SPAN(".localhost"));
}

static size_t loopback(struct addr v[2])
{
	addr_parse_ip(SPAN("::1"), 0, &v[0]);
	addr_parse_ip(SPAN("127.0.0.1"), 0, &v[1]);
	return 2;
}

static struct answer *answer_of(const struct addr *v, size_t n)
{
	struct answer *a = answer_new(REASON_NONE, n);

	for (int want_v6 = 1; want_v6 >= 0; want_v6--)
		for (size_t i = 0; i < n; i++)
			if ((v[i].sa.sa_family == AF_INET6) == want_v6)
				a->v[a->n++] = v[i];
	return a;
}

/* One reference, or NULL: ask. */
static struct answer *known_here(struct dns *dns, struct span host)
{
	struct addr v[DNS_MOST_ADDRESSES];
	size_t n;

	if (addr_parse_ip(host, 0, &v[0]) == 0)
		return answer_of(v, 1);
	if (!url_is_host(host))
		return answer_new(REASON_DNS_NO_NAME, 0);
	n = hosts_find(dns->own, host, v, DNS_MOST_ADDRESSES);
	if (!n && is_localhost(host))
		n = loopback(v);
	if (!n)
		n = hosts_find(dns->system, host, v, DNS_MOST_ADDRESSES);
	return n ? answer_of(v, n) : NULL;
}

/* Lower case, no dot at the end, NUL-ended. -1: no host name is that long. */
static int normal_form(struct span host, char out[URL_MAX_HOST + 1])
{
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n > URL_MAX_HOST)
		return -1;
	for (size_t i = 0; i < host.n; i++)
		out[i] = host.p[i] >= 'A' && host.p[i] <= 'Z' ? (char)(host.p[i] + ('a' - 'A')) : host.p[i];
	out[host.n] = '\0';
	return (int)host.n;
}

/* ---- look-ups ---- */

static void answer_and_forget(struct dns_lookup *l, struct answer *a)
{
	lookup_answer(l, a);
	answer_unref(a);
}

static void wait_for(struct dns_lookup *l, const char *host)
{
	struct dns *dns = l->dns;
	uint64_t hash = checksum_seeded(span_str(host), dns->seed);
	struct map_node *node = map_find(&dns->names, hash, is_name, host);
	struct name *name = node ? name_of(node) : NULL;

	if (name && name->answer && loop_now(dns->loop) < name->good_until) {
		lookup_answer(l, name->answer);
		return;
	}
	if (!(name && name->round) && dns->asked >= MOST_ASKED) {
		answer_and_forget(l, answer_new(REASON_TOO_BUSY, 0));
		return;
	}
	if (!name)
		name = name_new(dns, host, hash);
	l->name = name;
	TAILQ_INSERT_TAIL(&name->waiting, l, waiting);
	timer_set_in(&l->deadline, dns->deadline);
	if (!name->round)
		ask(name);
}

struct dns_lookup *dns_start(struct dns *dns, struct span host, dns_on_done_f *on_done, void *cookie)
{
	struct dns_lookup *l = NEW(struct dns_lookup);
	char name[URL_MAX_HOST + 1];
	struct answer *here;
	int n;

	CHECK(dns, DNS_MAGIC);
	l->magic = DNS_LOOKUP_MAGIC;
	l->dns = dns;
	l->on_done = on_done;
	l->cookie = cookie;
	timer_init(&l->deadline, dns->loop, on_deadline, l);
	dns->lookups++;
	look_at_files(dns);
	n = normal_form(host, name);
	here = n < 0 ? answer_new(REASON_DNS_NO_NAME, 0) : known_here(dns, span_of(name, (size_t)n));
	if (here)
		answer_and_forget(l, here);
	else
		wait_for(l, name);
	return l;
}

void dns_cancel(struct dns_lookup **lp)
{
	struct dns_lookup *l = *lp;

	if (!l)
		return;
	CHECK(l, DNS_LOOKUP_MAGIC);
	*lp = NULL;
	lookup_free(l);
}

/* ---- SRV records ---- */

static void srv_free(struct dns_srv_lookup *l)
{
	if (l->question)
		l->question->lookup = NULL;
	loop_defer_cancel(l->dns->loop, &l->job);
	timer_fini(&l->deadline);
	l->dns->lookups--;
	free(l->v);
	l->magic = 0;
	free(l);
}

static void on_srv_answer(void *arg)
{
	struct dns_srv_lookup *l = arg;
	struct dns_srv *v = l->v;
	size_t n = l->n;
	enum reason why = l->why;
	dns_on_srv_f *on_done = l->on_done;
	void *cookie = l->cookie;

	CHECK(l, DNS_SRV_LOOKUP_MAGIC);
	l->v = NULL;
	srv_free(l);
	on_done(cookie, v, n, why);
	free(v);
}

static void on_srv_deadline(void *arg)
{
	struct dns_srv_lookup *l = arg;
	dns_on_srv_f *on_done = l->on_done;
	void *cookie = l->cookie;

	CHECK(l, DNS_SRV_LOOKUP_MAGIC);
	srv_free(l);
	on_done(cookie, NULL, 0, REASON_DNS_TIMEOUT);
}

/* Its turn comes, as lookup_answer does it. */
static void srv_answer(struct dns_srv_lookup *l, enum reason why)
{
	l->why = why;
	timer_clear(&l->deadline);
	loop_defer(l->dns->loop, &l->job, on_srv_answer, l);
}

static int compare_srv(const void *a, const void *b)
{
	const struct dns_srv *x = a, *y = b;
	int by_name;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	by_name = strcmp(x->target, y->target);
	return by_name ? by_name : (x->port > y->port) - (x->port < y->port);
}

static void take_services(struct dns_srv_lookup *l, const struct ares_srv_reply *first)
{
	size_t room = 0;

	for (const struct ares_srv_reply *r = first; r && room < DNS_MOST_SRV; r = r->next)
		room++;
	l->v = mem_zalloc((room + 1) * sizeof(l->v[0]));
	for (const struct ares_srv_reply *r = first; r && l->n < room; r = r->next) {
		struct dns_srv *to = &l->v[l->n];
		char target[URL_MAX_HOST + 1];
		int n = normal_form(span_str(r->host), target);

		/* A target of "." says that there is no such service (RFC 2782). */
		if (n <= 0 || !r->port || !url_is_host(span_of(target, (size_t)n)))
			continue;
		memcpy(to->target, target, (size_t)n + 1);
		to->port = r->port;
		to->priority = r->priority;
		to->weight = r->weight;
		l->n++;
	}
	qsort(l->v, l->n, sizeof(l->v[0]), compare_srv);
}

static enum reason read_services(struct dns_srv_lookup *l, int status, const unsigned char *packet, int packet_bytes)
{
	struct ares_srv_reply *first = NULL;

	if (status == ARES_SUCCESS)
		status = ares_parse_srv_reply(packet, packet_bytes, &first);
	switch (status) {
	case ARES_SUCCESS:
		take_services(l, first);
		ares_free_data(first);
		return REASON_NONE;
	case ARES_ENODATA:
		return REASON_NONE;
	case ARES_ENOTFOUND:
		return REASON_DNS_NO_NAME;
	case ARES_ETIMEOUT:
		return REASON_DNS_TIMEOUT;
	default:
		return REASON_DNS_FAILED;
	}
}

static void ask_srv(struct srv_question *q);

static void on_srv(void *arg, int status, int timeouts, unsigned char *packet, int packet_bytes)
{
	struct srv_question *q = arg;
	struct dns_srv_lookup *l = q->lookup;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION && l && !q->dns->ending) { /* the servers have changed */
		ask_srv(q);
		return;
	}
	q->dns->asked--;
	if (l) {
		l->question = NULL;
		srv_answer(l, read_services(l, status, packet, packet_bytes));
	}
	free(q);
}

static void ask_srv(struct srv_question *q)
{
	if (q->dns->channel)
		ares_query(q->dns->channel, q->name, CLASS_IN, TYPE_SRV, on_srv, q);
	else
		on_srv(q, ARES_ECONNREFUSED, 0, NULL, 0);
}

struct dns_srv_lookup *dns_srv_start(struct dns *dns, struct span name, dns_on_srv_f *on_done, void *cookie)
{
	struct dns_srv_lookup *l = NEW(struct dns_srv_lookup);
	struct srv_question *q;
	char host[URL_MAX_HOST + 1];
	int n = normal_form(name, host);

	CHECK(dns, DNS_MAGIC);
	l->magic = DNS_SRV_LOOKUP_MAGIC;
	l->dns = dns;
	l->on_done = on_done;
	l->cookie = cookie;
	timer_init(&l->deadline, dns->loop, on_srv_deadline, l);
	dns->lookups++;
	look_at_files(dns);
	if (n <= 0 || !url_is_host(span_of(host, (size_t)n))) {
		srv_answer(l, REASON_DNS_NO_NAME);
		return l;
	}
	if (dns->asked >= MOST_ASKED) {
		srv_answer(l, REASON_TOO_BUSY);
		return l;
	}
	q = NEW(struct srv_question);
	q->dns = dns;
	q->lookup = l;
	memcpy(q->name, host, (size_t)n + 1);
	l->question = q;
	dns->asked++;
	timer_set_in(&l->deadline, dns->deadline);
	ask_srv(q);
	arm_timeout(dns);
	return l;
}

void dns_srv_cancel(struct dns_srv_lookup **lp)
{
	struct dns_srv_lookup *l = *lp;

	if (!l)
		return;
	CHECK(l, DNS_SRV_LOOKUP_MAGIC);
	*lp = NULL;
	srv_free(l);
}

/* ---- the whole ---- */

struct dns *dns_new(struct loop *loop)
{
	struct dns *dns = NEW(struct dns);

	dns->magic = DNS_MAGIC;
	dns->loop = loop;
	dns->deadline = DNS_DEADLINE;
	dns->seed = rng_secret_u64();
	LIST_INIT(&dns->wires);
	TAILQ_INIT(&dns->by_age);
	timer_init(&dns->timeout, loop, on_timeout, dns);
	dns->system_file.path = span_dup(SPAN("/etc/hosts"));
	dns->resolv_file.path = span_dup(SPAN("/etc/resolv.conf"));
	look_at_files(dns);
	return dns;
}

static void forget_names(struct dns *dns)
{
	struct name *name, *next;

	for (name = TAILQ_FIRST(&dns->by_age); name; name = next) {
		next = TAILQ_NEXT(name, by_age);
		name_free(name);
	}
}

int dns_set_servers_csv(struct dns *dns, const char *servers)
{
	char *was = dns->servers;
	ares_channel channel;

	CHECK(dns, DNS_MAGIC);
	dns->servers = span_dup(span_str(servers));
	channel = channel_new(dns);
	if (!channel) {
		free(dns->servers);
		dns->servers = was;
		return -1;
	}
	free(was);
	forget_names(dns);
	use_channel(dns, channel);
	return 0;
}

void dns_set_deadline(struct dns *dns, dur_ms limit)
{
	dns->deadline = limit;
}

void dns_free(struct dns *dns)
{
	struct map_node *node;

	if (!dns)
		return;
	CHECK(dns, DNS_MAGIC);
	CHECK_THAT(dns->lookups == 0);
	dns->ending = true;
	if (dns->channel)
		ares_destroy(dns->channel);
	while ((node = map_next(&dns->names, NULL)) != NULL)
		name_free(name_of(node));
	map_fini(&dns->names);
	timer_fini(&dns->timeout);
	hosts_free(dns->own);
	hosts_free(dns->system);
	free(dns->own_file.path);
	free(dns->system_file.path);
	free(dns->resolv_file.path);
	free(dns->servers);
	dns->magic = 0;
	free(dns);
}
