/* fake_dns: a name server on a UDP socket of the test's own loop, and on a TCP socket for answers beyond 512 bytes. Each name has its
 * lines of answer. */
#ifndef TESTS_UNIT_NET_FAKE_DNS_H
#define TESTS_UNIT_NET_FAKE_DNS_H

#include <arpa/inet.h>
#include <stdio.h>

#include "tests/unit/net/ground.h"

enum { FAKE_OK, FAKE_SERVFAIL = 2, FAKE_NXDOMAIN = 3, FAKE_SILENT = 99 };

struct fake_srv {
	uint16_t priority, weight, port;
	const char *target; /* "" is the root */
};

struct fake_name {
	const char *name;
	const char *v4[4], *v6[4];
	uint32_t ttl;
	int code_v4, code_v6;
	struct fake_srv srv[6];
	size_t many_srv; /* more of them: n0.many.test:1000, n1.many.test:1001 ... */
	int code_srv;
};

struct fake_dns {
	struct ground *ground;
	struct addr at;
	int fd, listener, tcp; /* one TCP connection at a time; -1: none */
	struct fdwatch *watch, *listener_watch, *tcp_watch;
	const struct fake_name *names; /* ends with a name of NULL, whose codes are for all others */
	int asked_v4, asked_v6, asked_srv, asked_tcp;
	char last[256]; /* the name asked last */
	void (*on_question)(struct fake_dns *);
};

static inline size_t fake_dns_name(const uint8_t *q, size_t n, char *out)
{
	size_t i = 12, o = 0;

	while (i < n && q[i]) {
		if (o)
			out[o++] = '.';
		memcpy(out + o, q + i + 1, q[i]);
		o += q[i];
		i += q[i] + 1u;
	}
	out[o] = '\0';
	return i + 1;
}

#define FAKE_ANSWER_BYTES 65535

static inline size_t fake_dns_put_srv(uint8_t *to, const struct fake_srv *v)
{
	uint8_t *p = to + 12 + 6, *length;
	const char *label = v->target;

	memcpy(to, (uint8_t[]){0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60}, 10);
	memcpy(to + 12,
	       (uint8_t[]){(uint8_t)(v->priority >> 8), (uint8_t)v->priority, (uint8_t)(v->weight >> 8),
			   (uint8_t)v->weight, (uint8_t)(v->port >> 8), (uint8_t)v->port},
	       6);
	while (*label) {
		size_t n = strcspn(label, ".");

		length = p++;
		*length = (uint8_t)n;
		memcpy(p, label, n);
		p += n;
		label += n + (label[n] == '.');
	}
	*p++ = 0;
	to[10] = (uint8_t)((p - to - 12) >> 8);
	to[11] = (uint8_t)(p - to - 12);
	return (size_t)(p - to);
}

static inline size_t fake_dns_put_srvs(uint8_t *to, const struct fake_name *name, size_t *count)
{
	size_t n = 0;

	for (const struct fake_srv *v = name->srv; v < name->srv + 6 && v->target; v++, ++*count)
		n += fake_dns_put_srv(to + n, v);
	for (size_t i = 0; i < name->many_srv; i++, ++*count) {
		char target[40];
		struct fake_srv v = {.port = (uint16_t)(1000 + i), .target = target};

		snprintf(target, sizeof(target), "n%zu.many.test", i);
		n += fake_dns_put_srv(to + n, &v);
	}
	return n;
}

static inline size_t fake_dns_put_addresses(uint8_t *to, const struct fake_name *name, bool v6, size_t *count)
{
	size_t n = 0;

	for (int i = 0; i < 4; i++) {
		const char *ip = v6 ? name->v6[i] : name->v4[i];
		uint16_t length = v6 ? 16 : 4;
		uint32_t ttl = htonl(name->ttl);

		if (!ip)
			continue;
		memcpy(to + n, (uint8_t[]){0xc0, 12, 0, v6 ? 28 : 1, 0, 1}, 6);
		memcpy(to + n + 6, &ttl, 4);
		memcpy(to + n + 10, (uint8_t[]){0, (uint8_t)length}, 2);
		assert_int_equal(1, inet_pton(v6 ? AF_INET6 : AF_INET, ip, to + n + 12));
		n += 12 + length;
		++*count;
	}
	return n;
}

/* The answer to the question of n bytes; how long it is, 0 for none. */
static inline size_t fake_dns_answer(struct fake_dns *f, const uint8_t *q, size_t n, uint8_t *a)
{
	const struct fake_name *name = f->names;
	size_t end = fake_dns_name(q, n, f->last), count = 0;
	uint8_t type = q[end + 1];
	int code;

	*(type == 33 ? &f->asked_srv : type == 28 ? &f->asked_v6 : &f->asked_v4) += 1;
	while (name->name && strcmp(name->name, f->last) != 0)
		name++;
	code = type == 33 ? name->code_srv : type == 28 ? name->code_v6 : name->code_v4;
	if (code == FAKE_SILENT)
		return 0;
	n = end + 4;
	memcpy(a, q, n);
	if (!code && type == 33)
		n += fake_dns_put_srvs(a + n, name, &count);
	else if (!code)
		n += fake_dns_put_addresses(a + n, name, type == 28, &count);
	a[2] = 0x81;
	a[3] = (uint8_t)(0x80 | code);
	memcpy(a + 6, (uint8_t[]){(uint8_t)(count >> 8), (uint8_t)count, 0, 0, 0, 0}, 6);
	return n;
}

static inline void fake_dns_on_ready(void *cookie, unsigned events)
{
	struct fake_dns *f = cookie;
	struct addr from = {.len = sizeof(from.in6)};
	uint8_t q[512], a[FAKE_ANSWER_BYTES];
	ssize_t got = recvfrom(f->fd, q, sizeof(q), 0, &from.sa, &from.len);
	size_t n;

	(void)events;
	if (got < 12)
		return;
	n = fake_dns_answer(f, q, (size_t)got, a);
	if (n > 512) { /* RFC 1035 §4.1.1: truncated, to be asked again by TCP */
		char ignored[256];

		a[2] |= 0x02;
		memset(a + 6, 0, 2);
		n = fake_dns_name(q, (size_t)got, ignored) + 4;
	}
	if (n)
		sendto(f->fd, a, n, 0, &from.sa, from.len);
	if (f->on_question)
		f->on_question(f);
}

static inline void fake_dns_hang_up(struct fake_dns *f)
{
	if (f->tcp < 0)
		return;
	fdwatch_free(f->tcp_watch);
	close(f->tcp);
	f->tcp = -1;
}

/* One question, which comes with its length in one piece. */
static inline void fake_dns_on_tcp(void *cookie, unsigned events)
{
	struct fake_dns *f = cookie;
	uint8_t q[514], a[FAKE_ANSWER_BYTES + 2];
	ssize_t got = recv(f->tcp, q, sizeof(q), 0);
	size_t n;

	(void)events;
	if (got < 14) {
		fake_dns_hang_up(f);
		return;
	}
	f->asked_tcp++;
	n = fake_dns_answer(f, q + 2, (size_t)got - 2, a + 2);
	a[0] = (uint8_t)(n >> 8);
	a[1] = (uint8_t)n;
	assert_int_equal(n + 2, send(f->tcp, a, n + 2, MSG_NOSIGNAL));
}

static inline void fake_dns_on_accept(void *cookie, unsigned events)
{
	struct fake_dns *f = cookie;

	(void)events;
	fake_dns_hang_up(f);
	f->tcp = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(f->tcp >= 0);
	f->tcp_watch = fdwatch_new(f->ground->loop, f->tcp, fake_dns_on_tcp, f);
	fdwatch_want(f->tcp_watch, FD_READ);
}

/* Both on one port: the one that the kernel gives for UDP may be taken for TCP. */
static inline void fake_dns_bind(struct fake_dns *f)
{
	for (int tries = 0; tries < 20; tries++) {
		int on = 1;

		f->at = ground_addr("127.0.0.1", 0);
		f->fd = ground_bind(SOCK_DGRAM, &f->at);
		f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(f->listener, &f->at.sa, f->at.len) == 0 && listen(f->listener, 8) == 0)
			return;
		close(f->fd);
		close(f->listener);
	}
	fail_msg("no port is free for both");
}

/* Returns what dns_set_servers_csv wants. */
static inline const char *fake_dns_init(struct fake_dns *f, struct ground *g, const struct fake_name *names,
					char at[ADDR_TEXT_BYTES])
{
	*f = (struct fake_dns){.ground = g, .names = names, .tcp = -1};
	fake_dns_bind(f);
	f->watch = fdwatch_new(g->loop, f->fd, fake_dns_on_ready, f);
	fdwatch_want(f->watch, FD_READ);
	f->listener_watch = fdwatch_new(g->loop, f->listener, fake_dns_on_accept, f);
	fdwatch_want(f->listener_watch, FD_READ);
	return addr_format(&f->at, at);
}

static inline void fake_dns_fini(struct fake_dns *f)
{
	fake_dns_hang_up(f);
	fdwatch_free(f->watch);
	fdwatch_free(f->listener_watch);
	close(f->fd);
	close(f->listener);
}

#endif
