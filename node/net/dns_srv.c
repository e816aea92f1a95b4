#include <ares.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/dns_internal.h"

#define CLASS_IN 1
#define TYPE_SRV 33

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
		int n = dns__normal_form(span_str(r->host), target);

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
	int n = dns__normal_form(name, host);

	CHECK(dns, DNS_MAGIC);
	l->magic = DNS_SRV_LOOKUP_MAGIC;
	l->dns = dns;
	l->on_done = on_done;
	l->cookie = cookie;
	timer_init(&l->deadline, dns->loop, on_srv_deadline, l);
	dns->lookups++;
	dns__look_at_files(dns);
	if (n <= 0 || !url_is_host(span_of(host, (size_t)n))) {
		srv_answer(l, REASON_DNS_NO_NAME);
		return l;
	}
	if (dns->asked >= DNS_MOST_ASKED) {
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
	dns__arm_timeout(dns);
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
