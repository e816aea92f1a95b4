#include "node/net/dns.h"

#include <ares.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/map.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/net/dns_internal.h"

#define SETTLE_MS 50 /* RFC 8305 §3, Resolution Delay */
#define TTL_LEAST_S 1
#define TTL_MOST_S 3600
#define KEEP_NO_NAME (10 * DUR_SECOND)
#define KEEP_FAILURE (1 * DUR_SECOND)
#define MOST_KEPT 4096

/* What a name was found to be. Counted, so that it outlives its place in the cache until all who wait were told. */
struct answer {
	unsigned refs;
	enum reason why;
	size_t n;
	struct addr v[];
};

/* One of the two questions about a name. */
struct half {
	struct dns_name *name;
	int family;
	bool asking;
	int status; /* ARES_SUCCESS with n > 0, or why there is none */
	mono_us good_until;
	size_t n;
	struct addr *v;
};

struct dns_name {
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
	TAILQ_ENTRY(dns_name) by_age;
	char host[URL_MAX_HOST + 1];
};

#define NAME_MAGIC 0xd25a0001

struct dns_lookup {
	unsigned magic;
	struct dns *dns;
	struct dns_name *name; /* waits there; NULL: has its answer */
	struct answer *answer; /* to be told by `job` */
	TAILQ_ENTRY(dns_lookup) waiting;
	struct deferred job;
	struct timer deadline;
	dns_on_done_f *on_done;
	void *cookie;
};

#define DNS_LOOKUP_MAGIC 0xd25a0002

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

static struct dns_name *name_of(struct map_node *node)
{
	return (struct dns_name *)(void *)((char *)node - offsetof(struct dns_name, node));
}

static bool is_name(const struct map_node *node, const void *wanted)
{
	const struct dns_name *name = (const void *)((const char *)node - offsetof(struct dns_name, node));

	return strcmp(name->host, wanted) == 0;
}

static void name_free(struct dns_name *name)
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

static bool is_asking(const struct dns_name *name)
{
	return name->half[0].asking || name->half[1].asking;
}

static void unkeep(struct dns_name *name)
{
	if (!name->kept)
		return;
	TAILQ_REMOVE(&name->dns->by_age, name, by_age);
	name->dns->kept--;
	name->kept = false;
}

static void keep(struct dns_name *name)
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
static void publish(struct dns_name *name)
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
	struct dns_name *name = arg;

	CHECK(name, NAME_MAGIC);
	publish(name);
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
	struct dns_name *name = h->name;
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

static void ask(struct dns_name *name)
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
	dns__arm_timeout(name->dns);
}

static struct dns_name *name_new(struct dns *dns, const char *host, uint64_t hash)
{
	struct dns_name *name = NEW(struct dns_name);

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

int dns__normal_form(struct span host, char out[URL_MAX_HOST + 1])
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
	struct dns_name *name = node ? name_of(node) : NULL;

	if (name && name->answer && loop_now(dns->loop) < name->good_until) {
		lookup_answer(l, name->answer);
		return;
	}
	if (!(name && name->round) && dns->asked >= DNS_MOST_ASKED) {
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
	dns__look_at_files(dns);
	n = dns__normal_form(host, name);
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

/* ---- the whole ---- */

struct dns *dns_new(struct loop *loop)
{
	struct dns *dns = NEW(struct dns);

	dns->magic = DNS_MAGIC;
	dns->loop = loop;
	dns->deadline = DNS_DEADLINE;
	dns->seed = rng_secret_u64();
	TAILQ_INIT(&dns->by_age);
	dns__channel_init(dns);
	dns__files_init(dns);
	dns__look_at_files(dns);
	return dns;
}

static void forget_names(struct dns *dns)
{
	struct dns_name *name, *next;

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
	channel = dns__channel_new(dns);
	if (!channel) {
		free(dns->servers);
		dns->servers = was;
		return -1;
	}
	free(was);
	forget_names(dns);
	dns__use_channel(dns, channel);
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
	dns__channel_fini(dns);
	while ((node = map_next(&dns->names, NULL)) != NULL)
		name_free(name_of(node));
	map_fini(&dns->names);
	dns__files_fini(dns);
	free(dns->servers);
	dns->magic = 0;
	free(dns);
}
