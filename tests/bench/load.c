/* load: the load generator of `make bench`.
 *
 * Opens a number of connections to an HTTPS server (--mode direct), through a bumping proxy (--mode connect: CONNECT, then TLS
 * inside) or to a plain proxy (--mode plain: absolute-form, no TLS), asks for a bounded number of bodies and checks each answer:
 * status 200, Content-Length, and every byte of the body against the pattern that belongs to --name. TLS is 1.3 with
 * AES-256-GCM and the library's default groups for every server, certificates are verified.
 *
 * One thread per --threads, each with an epoll of its own and its share of connections and requests. A run has two phases: the
 * connections are made and warmed (--warm requests on each), then the counted requests go out. With --sync the program says
 * READY between the two and waits for GO, and waits for END after its line of results with all connections still open, so that
 * the caller can read the server's CPU time and memory at both ends.
 *
 * %d in --host and --path becomes a number that grows with each request, from --start on (warm ones included); with --cycle N
 * the remainder of its division by N.
 * With --make FILE it writes the body for --name and --size instead, so that the pattern is known here only. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define READ_AHEAD 65536
#define ERRORS_MAX 50 /* after so many a run is over */
#define RAMP 64       /* connections of a thread that may be on their way up at once */
#define DRAIN_LEAD_NS 300000000ull

enum mode { MODE_DIRECT, MODE_CONNECT, MODE_PLAIN };
enum fresh { FRESH_NO, FRESH_FULL, FRESH_RESUMED };
enum state { CLOSED, CONNECTING, CONNECT_REPLY, HANDSHAKE, PARKED, HEAD, BODY };

struct options {
	enum mode mode;
	enum fresh fresh;
	struct sockaddr_in to;
	const char *host, *path, *ca, *name, *make;
	unsigned port;
	size_t size;
	unsigned connections, threads, warm;
	uint64_t requests, start, cycle, seconds;
	unsigned drain;
	const char *drain_path, *drain_name;
	size_t drain_size;
	bool sync;
};

/* What a group of connections asks for: the counted one, or the draining one beside it. */
struct target {
	const char *path;
	size_t size;
	uint8_t *body; /* expected bytes */
	atomic_ullong number;
};

struct worker;

struct conn {
	struct worker *worker;
	enum state state;
	int fd;
	SSL *ssl;
	SSL_SESSION *session; /* newest ticket of this slot, for FRESH_RESUMED */
	unsigned warm_left;
	bool busy; /* between begin() and done() */
	uint64_t number, began_ns;
	size_t head_len, body_len;
	char host[256];
	char head[HEAD_MAX];
};

struct run {
	struct options opt;
	SSL_CTX *tls;
	atomic_bool stop; /* ends draining */
	pthread_barrier_t gate;
	pthread_mutex_t error_lock;
	char error[512]; /* the first one */
};

/* Belongs to one thread; read by main between the gates. */
struct worker {
	struct run *run;
	struct target *target;
	pthread_t thread;
	int epoll;
	struct conn *conns;
	unsigned n_conns, n_parked, n_started;
	bool counted, drains;
	uint64_t left, done, deadline_ns;
	uint64_t bytes, head_bytes, errors, hits, resumed, handshakes;
	uint64_t *latency_ns;
	bool capped;
};

static void advance(struct conn *c);
static void begin(struct conn *c);

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("load: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static void *grab(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		die("no memory");
	return p;
}

/* The body that belongs to a name: xorshift64*, seeded by the FNV-1a hash of the name. */
static uint8_t *pattern(const char *name, size_t size)
{
	uint8_t *body = grab(size + 8, 1);
	uint64_t x = 0xcbf29ce484222325u;

	for (const char *p = name; *p; p++)
		x = (x ^ (uint8_t)*p) * 0x100000001b3u;
	for (size_t i = 0; i < size; i += 8) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		uint64_t v = x * 0x2545f4914f6cdd1du;
		memcpy(body + i, &v, 8);
	}
	return body;
}

static void make_file(const struct options *o)
{
	uint8_t *body = pattern(o->name, o->size);
	FILE *f = fopen(o->make, "wb");

	if (!f || fwrite(body, 1, o->size, f) != o->size || fclose(f))
		die("%s: %s", o->make, strerror(errno));
	free(body);
}

/* Copies fmt with each "%d" replaced by the number. -1 when it does not fit. */
static int expand(char *out, size_t cap, const char *fmt, uint64_t number)
{
	size_t n = 0;

	for (const char *p = fmt; *p; p++) {
		int w = 1;

		if (p[0] == '%' && p[1] == 'd') {
			w = snprintf(out + n, cap - n, "%llu", (unsigned long long)number);
			p++;
		} else if (n + 1 < cap) {
			out[n] = *p;
		}
		if (w < 0 || n + (size_t)w >= cap)
			return -1;
		n += (size_t)w;
	}
	out[n] = '\0';
	return (int)n;
}

/* ---- one connection ---- */

static void hang_up(struct conn *c)
{
	if (c->state == PARKED)
		c->worker->n_parked--;
	if (c->ssl) {
		if (SSL_is_init_finished(c->ssl))
			SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = CLOSED;
}

__attribute__((format(printf, 2, 3))) static void fail(struct conn *c, const char *fmt, ...)
{
	static const char *const names[] = {"closed", "connecting", "connect reply", "handshake",
					    "parked", "head",       "body"};
	struct worker *w = c->worker;
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&w->run->error_lock);
	if (!w->run->error[0])
		snprintf(w->run->error, sizeof w->run->error, "%s (number %llu, state %s)", text,
			 (unsigned long long)c->number, names[c->state]);
	pthread_mutex_unlock(&w->run->error_lock);
	w->errors++;
	hang_up(c);
	if (c->busy && w->counted)
		w->done++;
	c->busy = false;
	c->warm_left = 0;
}

static void fail_tls(struct conn *c, const char *what, int rc)
{
	int e = SSL_get_error(c->ssl, rc);
	unsigned long code = ERR_get_error();
	char text[160] = "closed";

	if (code)
		ERR_error_string_n(code, text, sizeof text);
	else if (e == SSL_ERROR_SYSCALL && errno)
		snprintf(text, sizeof text, "%s", strerror(errno));
	ERR_clear_error();
	fail(c, "%s: %s", what, text);
}

static void watch(struct conn *c, uint32_t events, int op)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	if (epoll_ctl(c->worker->epoll, op, c->fd, &ev))
		die("epoll_ctl: %s", strerror(errno));
}

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct conn *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->session);
	c->session = session;
	return 1;
}

static void dial(struct conn *c)
{
	const struct options *o = &c->worker->run->opt;
	int one = 1;

	if (expand(c->host, sizeof c->host, o->host, c->number) < 0)
		die("host too long");
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->state = CONNECTING;
	if (connect(c->fd, (const struct sockaddr *)&o->to, sizeof o->to) && errno != EINPROGRESS) {
		fail(c, "connect: %s", strerror(errno));
		return;
	}
	watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static bool put(struct conn *c, const char *bytes, size_t n)
{
	if (c->ssl) {
		int rc = SSL_write(c->ssl, bytes, (int)n);

		if (rc == (int)n)
			return true;
		fail_tls(c, "write", rc);
		return false;
	}
	if (send(c->fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n)
		return true;
	fail(c, "send: %s", strerror(errno));
	return false;
}

/* Bytes into buf: more than 0; 0: none yet; -1: the connection failed and is closed. */
static int get(struct conn *c, void *buf, size_t cap)
{
	if (c->ssl) {
		int rc = SSL_read(c->ssl, buf, (int)cap);

		if (rc > 0)
			return rc;
		if (SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ)
			return 0;
		fail_tls(c, "read", rc);
		return -1;
	}
	ssize_t n = recv(c->fd, buf, cap, 0);

	if (n > 0)
		return (int)n;
	if (n < 0 && errno == EAGAIN)
		return 0;
	fail(c, "recv: %s", n ? strerror(errno) : "closed");
	return -1;
}

static void send_request(struct conn *c)
{
	const struct options *o = &c->worker->run->opt;
	char path[1024], text[2048];

	if (expand(path, sizeof path, c->worker->target->path, c->number) < 0)
		die("path too long");
	int n = o->mode == MODE_PLAIN
			? snprintf(text, sizeof text, "GET http://%s:%u%s HTTP/1.1\r\n", c->host, o->port, path)
			: snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n", path);
	n += snprintf(text + n, sizeof text - (size_t)n, "Host: %s:%u\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n",
		      c->host, o->port);
	c->head_len = c->body_len = 0;
	c->state = HEAD;
	put(c, text, (size_t)n);
}

static void begin_tls(struct conn *c)
{
	struct run *run = c->worker->run;

	c->ssl = SSL_new(run->tls);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || !SSL_set1_host(c->ssl, c->host) ||
	    !SSL_set_tlsext_host_name(c->ssl, c->host))
		die("SSL_new failed");
	SSL_set_app_data(c->ssl, c);
	if (run->opt.fresh == FRESH_RESUMED && c->session)
		SSL_set_session(c->ssl, c->session);
	SSL_set_connect_state(c->ssl);
	c->state = HANDSHAKE;
}

static void park(struct conn *c)
{
	c->state = PARKED;
	c->worker->n_parked++;
}

/* Warming: the next connection that is still down begins. */
static void start_next(struct worker *w)
{
	if (w->counted || w->n_started == w->n_conns)
		return;
	struct conn *c = &w->conns[w->n_started++];
	c->warm_left = w->run->opt.warm;
	if (c->warm_left)
		begin(c);
	else if (w->run->opt.fresh == FRESH_NO)
		dial(c);
}

/* The connection can carry a request: send it, or wait for one. */
static void ready(struct conn *c)
{
	if (c->busy) {
		send_request(c);
		return;
	}
	park(c);
	start_next(c->worker);
}

static void on_connected(struct conn *c)
{
	const struct options *o = &c->worker->run->opt;
	int err = 0;
	socklen_t len = sizeof err;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		fail(c, "connect: %s", strerror(err));
		return;
	}
	watch(c, EPOLLIN, EPOLL_CTL_MOD);
	if (o->mode == MODE_PLAIN) {
		ready(c);
	} else if (o->mode == MODE_DIRECT) {
		begin_tls(c);
		advance(c);
	} else {
		char text[1024];
		int n = snprintf(text, sizeof text, "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n", c->host, o->port,
				 c->host, o->port);
		c->state = CONNECT_REPLY;
		c->head_len = 0;
		put(c, text, (size_t)n);
	}
}

static void on_connect_reply(struct conn *c)
{
	int n = get(c, c->head + c->head_len, HEAD_MAX - 1 - c->head_len);

	if (n <= 0)
		return;
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	if (!strstr(c->head, "\r\n\r\n")) {
		if (c->head_len == HEAD_MAX - 1)
			fail(c, "endless reply to CONNECT");
		return;
	}
	if (c->head_len < 12 || strncmp(c->head + 8, " 200", 4)) {
		fail(c, "CONNECT: %.40s", c->head);
		return;
	}
	begin_tls(c);
	advance(c);
}

static void on_handshake(struct conn *c)
{
	int rc = SSL_do_handshake(c->ssl);

	if (rc != 1) {
		int e = SSL_get_error(c->ssl, rc);

		if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
			fail_tls(c, "handshake", rc);
		return;
	}
	if (c->worker->counted) {
		c->worker->handshakes++;
		c->worker->resumed += (uint64_t)SSL_session_reused(c->ssl);
	}
	ready(c);
}

static const char *field(const char *head, const char *name)
{
	const char *p = strcasestr(head, name);

	return p ? p + strlen(name) : NULL;
}

/* Checks the head and keeps what of the body came with it. False: not whole yet, or failed. */
static bool on_head(struct conn *c)
{
	const struct target *t = c->worker->target;
	int n = get(c, c->head + c->head_len, HEAD_MAX - 1 - c->head_len);

	if (n <= 0)
		return false;
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
	if (!end) {
		if (c->head_len == HEAD_MAX - 1)
			fail(c, "endless head");
		return false;
	}
	end[2] = '\0';
	size_t head = (size_t)(end + 4 - c->head), body = c->head_len - head;
	if (strncmp(c->head, "HTTP/1.1 200", 12)) {
		fail(c, "%.40s", c->head);
		return false;
	}
	const char *length = field(c->head, "\r\nContent-Length:");
	if (!length || strtoull(length, NULL, 10) != t->size || body > t->size) {
		fail(c, "Content-Length is %.20s", length ? length : "missing");
		return false;
	}
	if (memcmp(c->head + head, t->body, body)) {
		fail(c, "wrong bytes at the start of the body");
		return false;
	}
	const char *hit = field(c->head, "\r\nX-Cache:");
	if (c->worker->counted) {
		c->worker->hits += hit && !strncmp(hit, " HIT", 4);
		c->worker->head_bytes += head;
	}
	c->body_len = body;
	c->state = BODY;
	return true;
}

/* True when the body is whole. */
static bool on_body(struct conn *c)
{
	const struct target *t = c->worker->target;
	uint8_t buf[65536];

	while (c->body_len < t->size) {
		size_t want = t->size - c->body_len;
		int n = get(c, buf, want < sizeof buf ? want : sizeof buf);

		if (n <= 0)
			return false;
		if (memcmp(buf, t->body + c->body_len, (size_t)n)) {
			fail(c, "wrong bytes after %zu of the body", c->body_len);
			return false;
		}
		c->body_len += (size_t)n;
	}
	return true;
}

static bool wants_request(struct conn *c)
{
	struct worker *w = c->worker;

	if (w->drains && w->counted)
		return !w->run->stop;
	if (w->counted)
		return w->left && w->left--;
	return c->warm_left && c->warm_left--;
}

/* Starts the next request of this connection when there is one to make. */
static void begin(struct conn *c)
{
	struct worker *w = c->worker;

	if (!wants_request(c))
		return;
	c->busy = true;
	c->number = w->target->number++;
	if (w->run->opt.cycle)
		c->number %= w->run->opt.cycle;
	c->began_ns = now_ns();
	if (c->state == PARKED) {
		w->n_parked--;
		send_request(c);
	} else {
		dial(c);
	}
}

static void done(struct conn *c)
{
	struct worker *w = c->worker;

	c->busy = false;
	if (w->counted) {
		if (!w->drains)
			w->latency_ns[w->done] = now_ns() - c->began_ns;
		w->done++;
		w->bytes += w->target->size;
	}
	park(c);
	if (w->run->opt.fresh != FRESH_NO)
		hang_up(c);
	begin(c);
	if (!c->busy)
		start_next(w);
}

static void advance(struct conn *c)
{
	switch (c->state) {
	case CONNECTING:
		on_connected(c);
		return;
	case CONNECT_REPLY:
		on_connect_reply(c);
		return;
	case HANDSHAKE:
		on_handshake(c);
		return;
	case HEAD:
		if (!on_head(c))
			return;
		/* fall through */
	case BODY:
		if (on_body(c))
			done(c);
		return;
	case PARKED: {
		char byte;

		if (get(c, &byte, 1) > 0)
			fail(c, "bytes after the answer");
		return;
	}
	case CLOSED:
		return;
	}
}

/* ---- a thread ---- */

static bool is_over(const struct worker *w)
{
	if (w->errors > ERRORS_MAX)
		return true;
	if (w->drains && w->counted)
		return w->run->stop;
	if (w->counted)
		return w->done >= w->run->opt.requests / w->run->opt.threads;
	if (w->errors)
		return true;
	for (unsigned i = 0; i < w->n_conns; i++)
		if (w->conns[i].busy || w->conns[i].warm_left)
			return false;
	return w->run->opt.fresh != FRESH_NO || w->n_parked == w->n_conns;
}

static void turn(struct worker *w)
{
	struct epoll_event ev[256];

	while (!is_over(w)) {
		int n = epoll_wait(w->epoll, ev, 256, 100);

		for (int i = 0; i < n; i++)
			advance(ev[i].data.ptr);
		if (w->counted && w->errors)
			for (unsigned i = 0; i < w->n_conns; i++)
				if (!w->conns[i].busy)
					begin(&w->conns[i]);
		if (now_ns() > w->deadline_ns) {
			w->capped = true;
			return;
		}
	}
}

static void gate(struct worker *w)
{
	pthread_barrier_wait(&w->run->gate);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct options *o = &w->run->opt;

	/* Those who drain are there to load the server: on a machine with few cores they must not delay whoever measures. */
	if (w->drains)
		setpriority(PRIO_PROCESS, 0, 5);
	w->deadline_ns = now_ns() + o->seconds * 1000000000u;
	for (unsigned i = 0; i < RAMP; i++)
		start_next(w);
	turn(w);
	gate(w); /* all are warm */
	gate(w); /* GO */
	w->counted = true;
	w->deadline_ns = now_ns() + o->seconds * 1000000000u;
	if (!w->drains && o->drain)
		nanosleep(&(struct timespec){.tv_nsec = DRAIN_LEAD_NS}, NULL);
	for (unsigned i = 0; i < w->n_conns; i++)
		begin(&w->conns[i]);
	turn(w);
	if (!w->drains)
		w->run->stop = true;
	gate(w); /* counted */
	gate(w); /* END */
	for (unsigned i = 0; i < w->n_conns; i++)
		hang_up(&w->conns[i]);
	return NULL;
}

static void worker_init(struct worker *w, struct run *run, struct target *target, unsigned n_conns, uint64_t requests)
{
	w->run = run;
	w->target = target;
	w->n_conns = n_conns;
	w->left = requests;
	w->drains = target->path == run->opt.drain_path;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		die("epoll_create1: %s", strerror(errno));
	w->conns = grab(n_conns, sizeof *w->conns);
	w->latency_ns = grab(requests, sizeof *w->latency_ns);
	for (unsigned i = 0; i < n_conns; i++) {
		w->conns[i].worker = w;
		w->conns[i].fd = -1;
	}
	if (pthread_create(&w->thread, NULL, work, w))
		die("pthread_create failed");
}

/* ---- the whole ---- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double percentile_us(const uint64_t *sorted, size_t n, double share)
{
	return n ? (double)sorted[(size_t)((double)(n - 1) * share)] / 1000 : 0;
}

static void report(const struct run *run, const struct worker *w, unsigned n, double seconds)
{
	struct worker sum = {0};
	uint64_t *all = grab(run->opt.requests, sizeof *all);
	uint64_t drained = 0;
	size_t count = 0;

	for (unsigned i = 0; i < n; i++) {
		sum.errors += w[i].errors;
		if (w[i].drains) {
			drained += w[i].bytes;
			continue;
		}
		sum.done += w[i].done;
		sum.bytes += w[i].bytes;
		sum.head_bytes += w[i].head_bytes;
		sum.hits += w[i].hits;
		sum.resumed += w[i].resumed;
		sum.handshakes += w[i].handshakes;
		sum.capped |= w[i].capped;
		/* A failed request leaves a hole of 0, which is not a latency. */
		for (size_t k = 0; k < w[i].done; k++)
			if (w[i].latency_ns[k])
				all[count++] = w[i].latency_ns[k];
	}
	qsort(all, count, sizeof *all, by_value);
	printf("{\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.3f, \"errors\": %llu, \"error\": \"",
	       (unsigned long long)sum.done, (unsigned long long)sum.bytes, seconds, (unsigned long long)sum.errors);
	for (const char *p = run->error; *p; p++)
		putchar(*p < ' ' || *p == '"' || *p == '\\' ? ' ' : *p);
	printf("\", \"hits\": %llu, \"handshakes\": %llu, \"resumed\": %llu, \"head\": %llu, \"drained\": %llu, \"capped\": %s, "
	       "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
	       (unsigned long long)sum.hits, (unsigned long long)sum.handshakes, (unsigned long long)sum.resumed,
	       (unsigned long long)(sum.done ? sum.head_bytes / sum.done : 0), (unsigned long long)drained,
	       sum.capped ? "true" : "false", percentile_us(all, count, 0.5), percentile_us(all, count, 0.9),
	       percentile_us(all, count, 0.99), percentile_us(all, count, 0.999), percentile_us(all, count, 1));
	fflush(stdout);
	free(all);
}

/* The caller's word, or the end of its pipe, which ends this program. */
static void await(const struct options *o, const char *word)
{
	char line[16];

	if (!o->sync)
		return;
	if (!fgets(line, sizeof line, stdin) || strncmp(line, word, strlen(word)))
		exit(0);
}

static SSL_CTX *make_tls(const struct options *o)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(tls, "TLS_AES_256_GCM_SHA384"))
		die("no TLS 1.3");
	if (!o->ca || SSL_CTX_load_verify_file(tls, o->ca) != 1)
		die("--ca: cannot read %s", o->ca ? o->ca : "(none given)");
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_read_ahead(tls, 1);
	SSL_CTX_set_default_read_buffer_len(tls, READ_AHEAD);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(tls, on_ticket);
	return tls;
}

static void raise_file_limit(void)
{
	struct rlimit r;

	if (!getrlimit(RLIMIT_NOFILE, &r)) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int drive(struct run *run)
{
	struct options *o = &run->opt;
	struct target asked = {.path = o->path, .size = o->size, .body = pattern(o->name, o->size), .number = o->start};
	struct target drained = {.path = o->drain_path, .size = o->drain_size, .number = o->start};
	unsigned n = o->threads + (o->drain ? 1 : 0);
	struct worker *w = grab(n, sizeof *w);

	run->tls = o->mode == MODE_PLAIN ? NULL : make_tls(o);
	pthread_mutex_init(&run->error_lock, NULL);
	pthread_barrier_init(&run->gate, NULL, n + 1);
	for (unsigned i = 0; i < o->threads; i++)
		worker_init(&w[i], run, &asked, o->connections / o->threads, o->requests / o->threads);
	if (o->drain) {
		drained.body = pattern(o->drain_name, o->drain_size);
		worker_init(&w[n - 1], run, &drained, o->drain, 0);
	}
	pthread_barrier_wait(&run->gate);
	if (run->error[0])
		fprintf(stderr, "load: while warming: %s\n", run->error);
	if (o->sync) {
		puts(run->error[0] ? "FAILED" : "READY");
		fflush(stdout);
	}
	await(o, "GO");
	uint64_t began = now_ns();
	pthread_barrier_wait(&run->gate);
	pthread_barrier_wait(&run->gate);
	report(run, w, n, (double)(now_ns() - began) / 1e9);
	await(o, "END");
	pthread_barrier_wait(&run->gate);
	for (unsigned i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
	return run->error[0] ? 1 : 0;
}

static void parse_to(struct options *o, const char *text)
{
	char host[64];
	unsigned port;

	if (sscanf(text, "%63[^:]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &o->to.sin_addr) != 1 ||
	    port > 65535)
		die("--to: ADDRESS:PORT wanted, not %s", text);
	o->to.sin_family = AF_INET;
	o->to.sin_port = htons((uint16_t)port);
}

static int one_of(const char *option, const char *word, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(word, words[i]))
			return i;
	die("--%s: what is %s?", option, word);
}

static void parse_options(struct options *o, int argc, char **argv)
{
	static const char *const modes[] = {"direct", "connect", "plain", NULL};
	static const char *const freshes[] = {"no", "full", "resumed", NULL};
	static const struct option table[] = {
		{"to", 1, NULL, 't'},         {"mode", 1, NULL, 'm'},       {"host", 1, NULL, 'h'},
		{"port", 1, NULL, 'p'},       {"path", 1, NULL, 'u'},       {"ca", 1, NULL, 'a'},
		{"size", 1, NULL, 's'},       {"name", 1, NULL, 'n'},       {"connections", 1, NULL, 'c'},
		{"requests", 1, NULL, 'r'},   {"threads", 1, NULL, 'T'},    {"fresh", 1, NULL, 'f'},
		{"warm", 1, NULL, 'w'},       {"start", 1, NULL, 'i'},      {"drain", 1, NULL, 'd'},
		{"drain-path", 1, NULL, 'D'}, {"drain-size", 1, NULL, 'S'}, {"drain-name", 1, NULL, 'N'},
		{"seconds", 1, NULL, 'x'},    {"make", 1, NULL, 'M'},       {"sync", 0, NULL, 'y'},
		{"cycle", 1, NULL, 'C'},      {NULL, 0, NULL, 0},
	};
	int ch;

	*o = (struct options){.mode = MODE_DIRECT,
			      .connections = 1,
			      .threads = 1,
			      .warm = 1,
			      .seconds = 30,
			      .host = "bench.test",
			      .port = 443,
			      .path = "/",
			      .name = ""};
	while ((ch = getopt_long(argc, argv, "", table, NULL)) != -1) {
		unsigned long long v = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (ch) {
		case 't':
			parse_to(o, optarg);
			break;
		case 'm':
			o->mode = (enum mode)one_of("mode", optarg, modes);
			break;
		case 'f':
			o->fresh = (enum fresh)one_of("fresh", optarg, freshes);
			break;
		case 'h':
			o->host = optarg;
			break;
		case 'u':
			o->path = optarg;
			break;
		case 'a':
			o->ca = optarg;
			break;
		case 'n':
			o->name = optarg;
			break;
		case 'D':
			o->drain_path = optarg;
			break;
		case 'N':
			o->drain_name = optarg;
			break;
		case 'M':
			o->make = optarg;
			break;
		case 'p':
			o->port = (unsigned)v;
			break;
		case 's':
			o->size = (size_t)v;
			break;
		case 'S':
			o->drain_size = (size_t)v;
			break;
		case 'c':
			o->connections = (unsigned)v;
			break;
		case 'T':
			o->threads = (unsigned)v;
			break;
		case 'w':
			o->warm = (unsigned)v;
			break;
		case 'd':
			o->drain = (unsigned)v;
			break;
		case 'r':
			o->requests = v;
			break;
		case 'i':
			o->start = v;
			break;
		case 'C':
			o->cycle = v;
			break;
		case 'x':
			o->seconds = v;
			break;
		case 'y':
			o->sync = true;
			break;
		default:
			exit(2);
		}
	}
	if (!o->threads || o->connections % o->threads || o->requests % o->threads)
		die("--connections and --requests must be multiples of --threads");
}

int main(int argc, char **argv)
{
	struct run *run = grab(1, sizeof *run);

	signal(SIGPIPE, SIG_IGN);
	parse_options(&run->opt, argc, argv);
	if (run->opt.make) {
		make_file(&run->opt);
		return 0;
	}
	if (!run->opt.to.sin_port)
		die("--to is missing");
	raise_file_limit();
	return drive(run);
}
