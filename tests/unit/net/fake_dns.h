/* fake_dns: a name server on a UDP socket of the test's own loop. Each name has its lines of answer. */
#ifndef TESTS_UNIT_NET_FAKE_DNS_H
#define TESTS_UNIT_NET_FAKE_DNS_H

#include <arpa/inet.h>
#include <stdio.h>

#include "tests/unit/net/ground.h"

enum { FAKE_OK, FAKE_SERVFAIL = 2, FAKE_NXDOMAIN = 3, FAKE_SILENT = 99 };

struct fake_name {
	const char *name;
	const char *v4[4], *v6[4];
	uint32_t ttl;
	int code_v4, code_v6;
};

struct fake_dns {
	struct ground *ground;
	struct addr at;
	int fd;
	struct fdwatch *watch;
	const struct fake_name *names; /* ends with a name of NULL, whose codes are for all others */
	int asked_v4, asked_v6;
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

static inline void fake_dns_answer(struct fake_dns *f, uint8_t *q, size_t end, const struct addr *to, bool v6,
				   const struct fake_name *name)
{
	int code = v6 ? name->code_v6 : name->code_v4;
	uint8_t a[1024];
	size_t n = end + 4, count = 0;

	if (code == FAKE_SILENT)
		return;
	memcpy(a, q, n);
	a[2] = 0x81;
	a[3] = (uint8_t)(0x80 | code);
	for (int i = 0; i < 4; i++) {
		const char *ip = v6 ? name->v6[i] : name->v4[i];
		uint16_t length = v6 ? 16 : 4;
		uint32_t ttl = htonl(name->ttl);

		if (!ip || code)
			continue;
		memcpy(a + n, (uint8_t[]){0xc0, 12, 0, v6 ? 28 : 1, 0, 1}, 6);
		memcpy(a + n + 6, &ttl, 4);
		memcpy(a + n + 10, (uint8_t[]){0, (uint8_t)length}, 2);
		assert_int_equal(1, inet_pton(v6 ? AF_INET6 : AF_INET, ip, a + n + 12));
		n += 12 + length;
		count++;
	}
	memcpy(a + 6, (uint8_t[]){0, (uint8_t)count, 0, 0, 0, 0}, 6);
	sendto(f->fd, a, n, 0, &to->sa, to->len);
}

static inline void fake_dns_on_ready(void *cookie, unsigned events)
{
	struct fake_dns *f = cookie;
	struct addr from = {.len = sizeof(from.in6)};
	uint8_t q[512];
	ssize_t n = recvfrom(f->fd, q, sizeof(q), 0, &from.sa, &from.len);
	const struct fake_name *name = f->names;
	size_t end;
	bool v6;

	(void)events;
	if (n < 12)
		return;
	end = fake_dns_name(q, (size_t)n, f->last);
	v6 = q[end + 1] == 28;
	if (v6)
		f->asked_v6++;
	else
		f->asked_v4++;
	while (name->name && strcmp(name->name, f->last) != 0)
		name++;
	fake_dns_answer(f, q, end, &from, v6, name);
	if (f->on_question)
		f->on_question(f);
}

/* Returns what dns_set_servers_csv wants. */
static inline const char *fake_dns_init(struct fake_dns *f, struct ground *g, const struct fake_name *names,
					char at[ADDR_TEXT_BYTES])
{
	*f = (struct fake_dns){.ground = g, .names = names, .at = ground_addr("127.0.0.1", 0)};
	f->fd = ground_bind(SOCK_DGRAM, &f->at);
	f->watch = fdwatch_new(g->loop, f->fd, fake_dns_on_ready, f);
	fdwatch_want(f->watch, FD_READ);
	return addr_format(&f->at, at);
}

static inline void fake_dns_fini(struct fake_dns *f)
{
	fdwatch_free(f->watch);
	close(f->fd);
}

#endif
