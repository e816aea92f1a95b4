/* queries: what a datagram of another node costs the cluster loop.
 *
 *     queries [--datagrams N] [--only WORD]
 *
 * A desk (peer/peer_desk.h) with its real socket, index and access log on a loop of its own; beside it a thread that speaks as 128 members and
 * as strangers, with sendmmsg, over loopback. Counted is the processor time of the loop's thread for each datagram that it took: receiving,
 * checking, looking, sealing, sending. So it is a figure of one core, whatever else the machine does. A second figure is of the same set
 * called in a loop without a socket.
 *
 *     answered   questions of members, of one key and of 38, in boots that are proven
 *     forged     a member's name, and a tag that is not the cluster's
 *     replayed   what a member has said before, byte for byte
 *     strange    from somebody who is no member
 *
 * Aims: 100 000 questions a second answered (10 us), 300 000 forged ones rejected (3.3 us). Ends with 1 when one of them is missed. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "peer/peer_desk.h"
#include "proto/rendezvous.h"
#include "tests/unit/lanes.h"

#define MEMBERS 128 /* so that none of them is over its rate */
#define BATCH 32
#define AHEAD 2048 /* datagrams made beforehand and sent at once: the loop always finds some, as when it is busy */
#define PATIENCE_MS 5000
#define SELF "desk.test"
#define AIM_ANSWERED_US 10.0
#define AIM_REJECTED_US (1e6 / 300000)

enum kind { ANSWERED_ONE, ANSWERED_MANY, FORGED, REPLAYED, STRANGE, KINDS };

static const struct {
	const char *what;
	unsigned keys;
	double aim_us; /* 0: none */
} kinds[KINDS] = {
	[ANSWERED_ONE] = {"answered, 1 key", 1, AIM_ANSWERED_US},
	[ANSWERED_MANY] = {"answered, 38 keys", 38, 0},
	[FORGED] = {"rejected, forged", 1, AIM_REJECTED_US},
	[REPLAYED] = {"rejected, replayed", 1, AIM_REJECTED_US},
	[STRANGE] = {"rejected, strange", 1, AIM_REJECTED_US},
};

static const struct peer_secret secret = {.kid = 1, .b = "a secret of thirty-two bytes...."};
static const struct peer_secret other_secret = {.kid = 1, .b = "another one of thirty-two bytes."};

struct letter {
	size_t n;
	char bytes[PEERMSG_MAX_BYTES];
};

struct bench {
	struct lane lane;
	struct index *index;
	struct peer_streams *streams;
	struct accesslog *accesslog;
	struct peer_desk *desk;
	struct addr at, ours; /* of the desk; of all members */
	int fd;               /* theirs */
	struct peer_member members[MEMBERS];
	uint32_t ids[MEMBERS];
	uint64_t seq[MEMBERS];
	uint64_t done; /* as the loop says: answered or dropped */
	uint64_t qid;
};

static void die(const char *what)
{
	fprintf(stderr, "queries: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- what is said ---- */

static void seal(struct bench *b, struct peermsg *m, unsigned member, const struct peer_secret *with,
		 struct letter *out)
{
	struct buf text = buf_over(out->bytes, sizeof(out->bytes));

	m->env.version = PEERMSG_VERSION;
	m->env.kid = with->kid;
	m->env.src = b->ids[member];
	m->env.dst = rendezvous_node_id(SPAN(SELF));
	m->env.boot = 1000 + member;
	m->env.seq = ++b->seq[member];
	if (!peermsg_format(&text, m, with->b))
		die("a message that cannot be written");
	out->n = text.n;
}

static void question(struct bench *b, unsigned keys, unsigned member, const struct peer_secret *with,
		     struct letter *out)
{
	struct peermsg m = {.env.type = PEERMSG_QUERY, .query = {.qid = ++b->qid, .budget_ms = 60000, .n = keys}};

	for (unsigned i = 0; i < keys; i++) {
		m.query.v[i].flags = PEERMSG_INTENT | PEERMSG_ACCEPT_PENDING;
		memcpy(m.query.v[i].key.b, &b->qid, sizeof(b->qid));
		m.query.v[i].key.b[15] = (uint8_t)(b->qid + i);
	}
	seal(b, &m, member, with, out);
}

static void make(struct bench *b, enum kind kind, unsigned i, struct letter *out)
{
	unsigned member = i % MEMBERS;

	if (kind == REPLAYED && out->n)
		return; /* the one before */
	question(b, kinds[kind].keys, member, kind == FORGED ? &other_secret : &secret, out);
	if (kind == STRANGE)
		out->bytes[6] = (char)(out->bytes[6] ^ 0x55); /* within src */
}

/* ---- on the loop ---- */

static void add_up(void *cookie, const struct peer_view *v)
{
	struct bench *b = cookie;

	b->done += v->score->queries_received;
	for (int i = 0; i < PEER_DROPS; i++)
		b->done += v->score->dropped[i];
}

static void count(void *arg)
{
	struct bench *b = arg;
	const uint64_t *strangers = peer_set_strangers(peer_desk_set(b->desk));

	b->done = 0;
	for (int i = 0; i < PEER_DROPS; i++)
		b->done += strangers[i];
	peer_set_each(peer_desk_set(b->desk), add_up, b);
}

static void count_ups(void *arg)
{
	struct bench *b = arg;

	b->done = peer_set_count(peer_desk_set(b->desk), PEER_UP);
}

static void open_desk(void *arg)
{
	struct bench *b = arg;
	char why[300];
	struct peer_desk_settings s = {
		.loop = b->lane.loop,
		.at = b->at,
		.self = {.name = SELF, .role = PEER_EDGE, .boot = 7, .seed = 7, .lookup = PEER_LOOKUP_ALL},
		.index = b->index,
		.streams = b->streams,
		.accesslog = b->accesslog,
		.log_queries = 100};

	b->desk = peer_desk_open(&s, why, sizeof(why));
	if (!b->desk)
		die(why);
	peer_set_secrets(peer_desk_set(b->desk), &secret, 1, secret.kid);
	peer_set_state(peer_desk_set(b->desk), PEERMSG_STATE_UP, 0, 0, 0);
	if (peer_set_members(peer_desk_set(b->desk), b->members, MEMBERS, loop_now(b->lane.loop)) != 0)
		die("two members of one id");
	peer_desk_stir(b->desk);
}

static void close_desk(void *arg)
{
	struct bench *b = arg;

	peer_desk_close(&b->desk, 0);
}

/* ---- over the socket ---- */

static void send_all(struct bench *b, struct letter *v, unsigned n)
{
	struct mmsghdr heads[BATCH];
	struct iovec iov[BATCH];
	unsigned sent = 0;

	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){v[i].bytes, v[i].n};
		heads[i].msg_hdr = (struct msghdr){
			.msg_name = &b->at.sa, .msg_namelen = b->at.len, .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	while (sent < n) {
		int done = sendmmsg(b->fd, heads + sent, n - sent, 0);

		if (done < 0 && errno != EINTR && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
			die("sendmmsg");
		sent += done > 0 ? (unsigned)done : 0;
	}
}

static unsigned member_of(const struct bench *b, uint32_t id)
{
	unsigned i = 0;

	while (i < MEMBERS && b->ids[i] != id)
		i++;
	return i;
}

/* HELLO and PING are answered, as members do; all else is only taken in. */
static void answer(struct bench *b, struct span datagram)
{
	struct peermsg m, back = {.env.type = PEERMSG_HELLO_BACK};
	struct letter letter;
	unsigned member;

	if (datagram.p[2] != PEERMSG_HELLO && datagram.p[2] != PEERMSG_PING)
		return;
	if (peermsg_parse(datagram, &m) != PEERMSG_OK || (member = member_of(b, m.env.dst)) == MEMBERS)
		return;
	if (m.env.type == PEERMSG_PING) {
		back.env.type = PEERMSG_PONG;
		back.ping = m.ping;
		back.ping.mode = 1;
	} else {
		back.hello = m.hello;
		memcpy(back.hello.name, b->members[member].name, sizeof(back.hello.name));
	}
	seal(b, &back, member, &secret, &letter);
	send_all(b, &letter, 1);
}

/* Takes what has come; waits for something when `must`. */
static void take_in(struct bench *b, bool must)
{
	struct pollfd p = {.fd = b->fd, .events = POLLIN};
	char bytes[PEERMSG_MAX_BYTES];
	ssize_t n;

	if (must && poll(&p, 1, 1) < 0 && errno != EINTR)
		die("poll");
	while ((n = recv(b->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 2)
		answer(b, span_of(bytes, (size_t)n));
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t done_so_far(struct bench *b)
{
	lane_do(&b->lane, count, b);
	return b->done;
}

static void meet(struct bench *b)
{
	uint64_t start = now_ms();

	do {
		take_in(b, true);
		lane_do(&b->lane, count_ups, b);
		if (now_ms() - start > 4 * PATIENCE_MS)
			die("the members have not been met");
	} while (b->done < MEMBERS);
}

static double cpu_us_of(const struct bench *b)
{
	struct timespec t;
	clockid_t clock;

	if (pthread_getcpuclockid(b->lane.thread, &clock) != 0 || clock_gettime(clock, &t) < 0)
		die("the loop's clock");
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Until what was sent has been dealt with; what the kernel had no room for is given up after a while. */
static void wait_for(struct bench *b, uint64_t sent, uint64_t base)
{
	uint64_t start = now_ms();

	while (done_so_far(b) - base < sent && now_ms() - start < PATIENCE_MS)
		take_in(b, true);
}

static double with_socket(struct bench *b, enum kind kind, unsigned datagrams)
{
	struct letter *letters = mem_zalloc(AHEAD * sizeof(*letters));
	uint64_t base = done_so_far(b), sent = 0, took;
	double began, cpu = 0;

	while (sent < datagrams) {
		for (unsigned i = 0; i < AHEAD; i++)
			make(b, kind, i, &letters[i]);
		began = cpu_us_of(b);
		for (unsigned i = 0; i < AHEAD; i += BATCH)
			send_all(b, letters + i, BATCH);
		sent += AHEAD;
		wait_for(b, sent, base);
		cpu += cpu_us_of(b) - began;
		take_in(b, false);
	}
	took = done_so_far(b) - base;
	free(letters);
	if (took < sent * 9 / 10)
		die("most datagrams did not arrive");
	return cpu / (double)took;
}

/* ---- without ---- */

struct bare {
	struct bench *bench;
	struct index *index;
	uint64_t sent;
};

static void bare_send(void *cookie, const struct addr *to, struct span datagram)
{
	struct bare *bare = cookie;

	(void)to;
	(void)datagram;
	bare->sent++;
}

static void bare_look(void *cookie, const struct peermsg_key *key, const struct key_variant *variant,
		      struct peer_holding *out)
{
	const struct bare *bare = cookie;
	struct index_peek peek;

	*out = (struct peer_holding){.here = PEER_HERE_NOT};
	index_peek(bare->index, key->b, variant, 0, &peek);
}

static double thread_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Each member answers the set's HELLO: the nonce of the last one is in its copy of the datagram, which the set gives to its ground. */
static void prove(struct bench *b, struct peer_set *set, struct peermsg *last, mono_us now)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		struct peermsg back = {.env.type = PEERMSG_HELLO_BACK, .hello = last[i].hello};
		struct letter letter;

		memcpy(back.hello.name, b->members[i].name, sizeof(back.hello.name));
		seal(b, &back, i, &secret, &letter);
		peer_set_receive(set, &b->ours, span_of(letter.bytes, letter.n), now, now);
	}
}

struct hellos {
	struct bench *bench;
	struct peermsg *last;
};

static void keep_hello(void *cookie, const struct addr *to, struct span datagram)
{
	struct hellos *h = cookie;
	struct peermsg m;
	unsigned member;

	(void)to;
	if (peermsg_parse(datagram, &m) == PEERMSG_OK && (member = member_of(h->bench, m.env.dst)) < MEMBERS)
		h->last[member] = m;
}

/* A set whose members are all met; what it sends and looks at goes through *ground's functions from then on. */
struct meeting {
	struct hellos hellos;
	struct bare bare;
	bool is_over;
};

static void meeting_send(void *cookie, const struct addr *to, struct span datagram)
{
	struct meeting *m = cookie;

	if (m->is_over)
		bare_send(&m->bare, to, datagram);
	else
		keep_hello(&m->hellos, to, datagram);
}

static void meeting_look(void *cookie, const struct peermsg_key *key, const struct key_variant *variant,
			 struct peer_holding *out)
{
	struct meeting *m = cookie;

	bare_look(&m->bare, key, variant, out);
}

static double without_socket(struct bench *b, enum kind kind, unsigned datagrams)
{
	struct peer_self self = {.name = SELF, .role = PEER_EDGE, .boot = 7, .seed = 7, .lookup = PEER_LOOKUP_ALL};
	struct meeting m = {.hellos = {b, mem_zalloc(MEMBERS * sizeof(struct peermsg))}, .bare = {b, b->index, 0}};
	struct peer_ground ground = {.send = meeting_send, .look = meeting_look, .cookie = &m};
	struct letter *letters = mem_zalloc(MEMBERS * sizeof(*letters));
	mono_us now = 1000000;
	struct peer_set *set = peer_set_new(&self, &ground, now);
	double cpu = 0, began;

	peer_set_secrets(set, &secret, 1, secret.kid);
	peer_set_members(set, b->members, MEMBERS, now);
	for (int i = 0; i < 1000; i++)
		peer_set_tick(set, now += 1000);
	prove(b, set, m.hellos.last, now);
	m.is_over = true;
	for (unsigned round = 0; round < datagrams / MEMBERS; round++) {
		now += 1000 * MEMBERS; /* nobody is over its rate */
		for (unsigned i = 0; i < MEMBERS; i++)
			make(b, kind, i, &letters[i]);
		began = thread_us();
		for (unsigned i = 0; i < MEMBERS; i++)
			peer_set_receive(set, &b->ours, span_of(letters[i].bytes, letters[i].n), now, now);
		cpu += thread_us() - began;
	}
	if (kinds[kind].aim_us == AIM_ANSWERED_US && m.bare.sent < datagrams / MEMBERS * MEMBERS)
		die("not all were answered");
	peer_set_free(set);
	free(letters);
	free(m.hellos.last);
	return cpu / (double)(datagrams / MEMBERS * MEMBERS);
}

/* ---- the whole ---- */

static void on_removed(void *cookie, struct entry *e)
{
	(void)cookie;
	(void)e;
}

static void open_all(struct bench *b)
{
	char why[300];
	struct addr any;
	int fd;

	addr_parse_ip(SPAN("127.0.0.1"), 0, &any);
	b->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	b->at = b->ours = any;
	if (b->fd < 0 || bind(b->fd, &any.sa, any.len) < 0 || getsockname(b->fd, &b->ours.sa, &b->ours.len) < 0)
		die("the members' socket");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &any.sa, any.len) < 0 || getsockname(fd, &b->at.sa, &b->at.len) < 0)
		die("a free port");
	close(fd); /* the desk opens it itself */
	for (unsigned i = 0; i < MEMBERS; i++) {
		b->members[i] = (struct peer_member){.role = PEER_EDGE, .addr = b->ours};
		snprintf(b->members[i].name, sizeof(b->members[i].name), "member%u.test", i);
		b->ids[i] = rendezvous_node_id(span_str(b->members[i].name));
	}
	b->index = index_new(on_removed, NULL);
	b->streams = peer_streams_new(2, 64);
	b->accesslog = accesslog_open(&(struct accesslog_settings){.path = "/dev/null"}, why, sizeof(why));
	if (!b->accesslog)
		die(why);
	lane_start(&b->lane, 0, &clock_system, 0, 1);
	lane_do(&b->lane, open_desk, b);
	meet(b);
}

static void close_all(struct bench *b)
{
	lane_do(&b->lane, close_desk, b);
	lane_stop(&b->lane);
	accesslog_close(&b->accesslog);
	index_free(b->index);
	peer_streams_free(b->streams);
	close(b->fd);
}

static bool row(struct bench *b, enum kind kind, unsigned datagrams)
{
	double with = with_socket(b, kind, datagrams), without = without_socket(b, kind, datagrams);
	bool missed = kinds[kind].aim_us > 0 && with > kinds[kind].aim_us;

	printf("%-20s %12.2f %12.2f %14.0f", kinds[kind].what, with, without, 1e6 / with);
	if (kinds[kind].aim_us > 0)
		printf(" %8.1f%s", kinds[kind].aim_us, missed ? " missed" : "");
	puts("");
	return !missed;
}

int main(int argc, char **argv)
{
	unsigned datagrams = 100000;
	const char *only = "";
	static struct bench b;
	bool met = true;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--datagrams") == 0)
			datagrams = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0)
			only = argv[i + 1];
	}
	if (datagrams < MEMBERS || argc % 2 == 0) {
		fprintf(stderr, "queries [--datagrams N] [--only WORD]: %u datagrams at least\n", MEMBERS);
		return 2;
	}
	open_all(&b);
	printf("%-20s %12s %12s %14s %8s\n", "", "us, socket", "us, without", "a second, core", "aim us");
	for (int k = 0; k < KINDS; k++)
		if (strstr(kinds[k].what, only))
			met &= row(&b, (enum kind)k, datagrams);
	close_all(&b);
	return !met;
}
