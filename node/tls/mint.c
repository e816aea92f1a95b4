/* EC_KEY is deprecated in OpenSSL 3, but a leaf key made by the new calls makes X509_set_pubkey encode the key and decode it
 * again for every leaf (measured: 280 µs instead of 62); make_leaf_key is the only user. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "node/tls/mint.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/map.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/tls/certs.h"

#define MINT_MAGIC 0x3147c0de
#define LEAF_MAGIC 0x1eaf0001

#define EARLY DUR_DAY                                /* a leaf starts so long ago: clients' clocks are slow */
#define RENEW (7 * DUR_DAY)                          /* renewed when this is left, or a third of its life */
#define LIFE (MINT_LIFE_DAYS * DUR_DAY - DUR_SECOND) /* both ends count */
#define QUEUE_MAX 1024                               /* lines that wait for mint_flush */
#define FILE_MAX ((long long)256 << 20)              /* no file of ours is larger */

/* Newest first; embedded in leaves and memories. */
struct age {
	struct age *newer, *older;
};

struct ages {
	struct age *newest, *oldest;
};

/* Immutable once made but for refs and, under the mint's lock, node and age. */
struct leaf {
	unsigned magic;
	unsigned refs; /* atomic; the mint's table holds one */
	struct map_node node;
	struct age age;
	uint8_t context[MINT_CONTEXT_BYTES];
	uint8_t look[SHA256_BYTES]; /* of what was mimicked; zeros: nothing */
	struct ca *ca;              /* owner of the chain */
	X509 *cert;
	EVP_PKEY *pkey;
	wall_ms renew_at;
};

/* What is remembered of a host; only under the mint's lock. */
struct memory {
	struct map_node node;
	struct age age;
	struct origin_cert *origin;
	char host[];
};

struct line {
	struct line *next;
	size_t n;
	char text[];
};

/* Any thread. `lock` is held for pointer work only; `file_lock` is taken before it and only by workers. */
struct mint {
	unsigned magic;
	size_t max_leaves, max_origins;
	char *names_path; /* NULL: none */
	EVP_PKEY *pkey;
	uint64_t salt; /* strangers choose names; where these lie in our tables they must not */

	pthread_mutex_t lock;
	struct ca *ca;
	struct map leaves, memories;
	struct ages leaf_ages, memory_ages;
	struct line *first, **last;
	size_t n_lines;
	uint64_t minted, dropped;

	pthread_mutex_t file_lock;
	size_t file_lines; /* in the file now */
	bool torn;         /* the last write ended within a line */
};

#define OWNER(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))

static void ages_remove(struct ages *l, struct age *a)
{
	*(a->newer ? &a->newer->older : &l->newest) = a->older;
	*(a->older ? &a->older->newer : &l->oldest) = a->newer;
	*a = (struct age){NULL, NULL};
}

static void ages_add(struct ages *l, struct age *a)
{
	*a = (struct age){NULL, l->newest};
	*(l->newest ? &l->newest->newer : &l->oldest) = a;
	l->newest = a;
}

static void ages_touch(struct ages *l, struct age *a)
{
	ages_remove(l, a);
	ages_add(l, a);
}

/* --- Leaves. --- */

static EVP_PKEY *make_leaf_key(void)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *pkey = EVP_PKEY_new();

	CHECK_THAT(ec && pkey && EC_KEY_generate_key(ec) == 1 && EVP_PKEY_assign_EC_KEY(pkey, ec) == 1);
	return pkey;
}

struct leaf *leaf_ref(struct leaf *leaf)
{
	CHECK(leaf, LEAF_MAGIC);
	__atomic_fetch_add(&leaf->refs, 1, __ATOMIC_RELAXED);
	return leaf;
}

void leaf_unref(struct leaf **p)
{
	struct leaf *leaf = *p;

	*p = NULL;
	if (!leaf)
		return;
	CHECK(leaf, LEAF_MAGIC);
	if (__atomic_sub_fetch(&leaf->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	leaf->magic = 0;
	X509_free(leaf->cert);
	EVP_PKEY_free(leaf->pkey);
	ca_unref(&leaf->ca);
	free(leaf);
}

X509 *leaf_cert(const struct leaf *leaf)
{
	return leaf->cert;
}

STACK_OF(X509) * leaf_chain(const struct leaf *leaf)
{
	return ca_chain(leaf->ca);
}

EVP_PKEY *leaf_pkey(const struct leaf *leaf)
{
	return leaf->pkey;
}

const uint8_t *leaf_context(const struct leaf *leaf)
{
	return leaf->context;
}

static bool is_leaf(const struct map_node *node, const void *context)
{
	return memcmp(OWNER(node, const struct leaf, node)->context, context, MINT_CONTEXT_BYTES) == 0;
}

static uint64_t salted(const struct mint *m, struct span s)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 h;
	uint64_t hash;

	sha256_init(&h);
	sha256_add(&h, &m->salt, sizeof(m->salt));
	sha256_add(&h, s.p, s.n);
	sha256_end(&h, digest);
	memcpy(&hash, digest, sizeof(hash));
	return hash;
}

static uint64_t leaf_hash(const struct mint *m, const uint8_t context[MINT_CONTEXT_BYTES])
{
	return salted(m, span_of((const char *)context, MINT_CONTEXT_BYTES));
}

/* --- What goes into a leaf. --- */

/* What was asked for, checked, each name once. */
struct wanted {
	const struct ca *ca; /* whose leaf it is to be */
	char name[MINT_NAMES_MAX][NAMES_HOST_MAX + 1];
	size_t n;
	uint8_t context[MINT_CONTEXT_BYTES];
	uint8_t look[SHA256_BYTES];
};

static bool is_wanted(const struct wanted *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->name[i], name) == 0)
			return true;
	return false;
}

static bool check_names(struct wanted *w, const struct span *names, size_t n)
{
	char name[NAMES_HOST_MAX + 1];

	if (n == 0 || n > MINT_NAMES_MAX)
		return false;
	w->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (names_host(names[i], name) == NAME_BAD)
			return false;
		if (!is_wanted(w, name))
			memcpy(w->name[w->n++], name, sizeof(name));
	}
	return true;
}

static void put_context(struct wanted *w, const struct ca *ca)
{
	struct sha256 h;

	w->ca = ca;
	sha256_init(&h);
	sha256_add(&h, ca_fingerprint(ca), SHA256_BYTES);
	for (size_t i = 0; i < w->n; i++)
		sha256_add(&h, w->name[i], strlen(w->name[i]) + 1);
	sha256_end(&h, w->context);
}

static void put_look(struct wanted *w, const struct origin_cert *mimic)
{
	struct sha256 h;

	memset(w->look, 0, sizeof(w->look));
	if (!mimic)
		return;
	sha256_init(&h);
	sha256_add(&h, mimic->spki_sha256, sizeof(mimic->spki_sha256));
	sha256_add(&h, &mimic->not_before, sizeof(mimic->not_before));
	sha256_add(&h, &mimic->not_after, sizeof(mimic->not_after));
	sha256_add(&h, mimic->subject, mimic->subject_bytes);
	for (size_t i = 0; i < mimic->n_sans; i++)
		sha256_add(&h, mimic->sans[i], strlen(mimic->sans[i]) + 1);
	sha256_end(&h, w->look);
}

static wall_ms least(wall_ms a, wall_ms b)
{
	return a < b ? a : b;
}

static wall_ms most(wall_ms a, wall_ms b)
{
	return a > b ? a : b;
}

static wall_ms renewal(wall_ms from, wall_ms to)
{
	return to - least(RENEW, (to - from) / 3);
}

/* The origin's dates, unless clients would refuse so long a life or there is too little left of it. */
static void mimic_dates(const struct origin_cert *mimic, wall_ms now, wall_ms *from, wall_ms *to)
{
	wall_ms end = mimic->not_after, begin = mimic->not_before;

	if (begin > now || end <= now)
		return;
	if (end - begin > LIFE) {
		begin = most(begin, *from);
		end = least(end, begin + LIFE);
	}
	if (renewal(begin, end) <= now)
		return;
	*from = begin;
	*to = end;
}

static int check_permits(const struct ca *ca, const struct wanted *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (!ca_permits(ca, w->name[i]))
			return -1;
	return 0;
}

/* The origin's names that may be signed, behind them the wanted ones that they leave uncovered (all, without `mimic`). */
static size_t choose_sans(const struct ca *ca, const struct wanted *w, const struct origin_cert *mimic,
			  const char **sans)
{
	size_t n = 0, n_mimic;

	for (size_t i = 0; mimic && i < mimic->n_sans; i++)
		if (ca_permits(ca, mimic->sans[i]))
			sans[n++] = mimic->sans[i];
	n_mimic = n;
	for (size_t i = 0; i < w->n; i++) {
		bool covered = false;

		for (size_t j = 0; j < n_mimic && !covered; j++)
			covered = names_covers(sans[j], w->name[i]);
		if (!covered)
			sans[n++] = w->name[i];
	}
	return n;
}

static struct leaf *sign(const struct mint *m, struct ca *ca, const struct wanted *w, const struct origin_cert *mimic,
			 wall_ms now)
{
	const char *sans[NAMES_SANS_MAX + MINT_NAMES_MAX];
	wall_ms from = now - EARLY, to = from + LIFE;
	struct ca_ask ask = {.pkey = m->pkey, .sans = sans};
	struct leaf *leaf;
	X509 *cert;

	from = most(from, ca_not_before(ca));
	if (mimic)
		mimic_dates(mimic, now, &from, &to);
	to = least(to, ca_not_after(ca));
	ask.not_before = from;
	ask.not_after = to;
	ask.n_sans = choose_sans(ca, w, mimic, sans);
	ask.subject = mimic ? span_of((const char *)mimic->subject, mimic->subject_bytes) : SPAN_NONE;
	cert = ca_sign(ca, &ask);
	if (!cert)
		return NULL;
	leaf = NEW(struct leaf);
	leaf->magic = LEAF_MAGIC;
	leaf->refs = 1;
	leaf->ca = ca_ref(ca);
	leaf->cert = cert;
	leaf->pkey = m->pkey;
	CHECK_THAT(EVP_PKEY_up_ref(leaf->pkey) == 1);
	memcpy(leaf->context, w->context, sizeof(leaf->context));
	memcpy(leaf->look, w->look, sizeof(leaf->look));
	/* Where the CA ends so soon that another leaf would be no better, this one stays to its end. */
	leaf->renew_at = renewal(from, to) > now ? renewal(from, to) : to;
	return leaf;
}

/* --- The table. --- */

static bool is_good(const struct leaf *leaf, const struct wanted *w, wall_ms now)
{
	/* The fingerprint is in the context already; but the same CA may have got another chain. */
	return leaf->ca == w->ca && now < leaf->renew_at && memcmp(leaf->look, w->look, sizeof(leaf->look)) == 0;
}

/* With the lock. */
static struct leaf *find(struct mint *m, const struct wanted *w, uint64_t hash)
{
	struct map_node *node = map_find(&m->leaves, hash, is_leaf, w->context);

	return node ? OWNER(node, struct leaf, node) : NULL;
}

/* With the lock. The table's reference goes to the caller, who gives it up without the lock. */
static struct leaf *forget_leaf(struct mint *m, struct leaf *leaf)
{
	map_remove(&m->leaves, &leaf->node);
	ages_remove(&m->leaf_ages, &leaf->age);
	return leaf;
}

static struct leaf *lookup(struct mint *m, const struct wanted *w, uint64_t hash, wall_ms now)
{
	struct leaf *leaf;

	pthread_mutex_lock(&m->lock);
	leaf = find(m, w, hash);
	if (leaf && is_good(leaf, w, now)) {
		ages_touch(&m->leaf_ages, &leaf->age);
		leaf_ref(leaf);
	} else {
		leaf = NULL;
	}
	pthread_mutex_unlock(&m->lock);
	return leaf;
}

/* Takes the new leaf, returns a reference to the one that is now everybody's: another thread may have been quicker. */
static struct leaf *insert(struct mint *m, struct leaf *fresh, const struct wanted *w, uint64_t hash, wall_ms now)
{
	struct leaf *there, *out = NULL, *crowded = NULL, *kept;

	pthread_mutex_lock(&m->lock);
	m->minted++;
	there = find(m, w, hash);
	if (there && is_good(there, w, now)) {
		kept = leaf_ref(there);
		out = fresh;
	} else {
		if (there)
			out = forget_leaf(m, there);
		else if (m->leaves.n >= m->max_leaves)
			crowded = forget_leaf(m, OWNER(m->leaf_ages.oldest, struct leaf, age));
		map_insert(&m->leaves, &fresh->node, hash);
		ages_add(&m->leaf_ages, &fresh->age);
		kept = leaf_ref(fresh);
	}
	pthread_mutex_unlock(&m->lock);
	leaf_unref(&out);
	leaf_unref(&crowded);
	return kept;
}

static struct ca *current_ca(struct mint *m)
{
	struct ca *ca;

	pthread_mutex_lock(&m->lock);
	ca = ca_ref(m->ca);
	pthread_mutex_unlock(&m->lock);
	return ca;
}

static struct leaf *mint_new_leaf(struct mint *m, struct ca *ca, const struct wanted *w,
				  const struct origin_cert *mimic, uint64_t hash, wall_ms now, enum reason *why)
{
	struct leaf *leaf;

	*why = REASON_INTERNAL;
	if (now >= ca_not_after(ca))
		return NULL;
	if (check_permits(ca, w) < 0) {
		*why = REASON_DENIED_BUMP;
		return NULL;
	}
	leaf = sign(m, ca, w, mimic, now);
	if (!leaf)
		return NULL;
	*why = REASON_NONE;
	return insert(m, leaf, w, hash, now);
}

struct leaf *mint_leaf(struct mint *m, const struct span *names, size_t n, const struct origin_cert *mimic, wall_ms now,
		       enum reason *why)
{
	struct wanted w;
	struct leaf *leaf;
	struct ca *ca;
	uint64_t hash;

	CHECK(m, MINT_MAGIC);
	*why = REASON_NONE;
	if (!check_names(&w, names, n)) {
		*why = REASON_BAD_HOST;
		return NULL;
	}
	ca = current_ca(m);
	put_context(&w, ca);
	put_look(&w, mimic);
	hash = leaf_hash(m, w.context);
	leaf = lookup(m, &w, hash, now);
	if (!leaf)
		leaf = mint_new_leaf(m, ca, &w, mimic, hash, now, why);
	ca_unref(&ca);
	return leaf;
}

/* --- Birth and death. --- */

struct mint *mint_new(struct ca *ca, const struct mint_settings *s)
{
	struct mint *m = NEW(struct mint);

	m->magic = MINT_MAGIC;
	m->max_leaves = s->max_leaves ? s->max_leaves : MINT_LEAVES;
	m->max_origins = s->max_origins ? s->max_origins : MINT_ORIGINS;
	m->names_path = s->names_path ? span_dup(span_str(s->names_path)) : NULL;
	m->pkey = make_leaf_key();
	m->salt = rng_secret_u64();
	m->ca = ca_ref(ca);
	m->last = &m->first;
	CHECK_THAT(pthread_mutex_init(&m->lock, NULL) == 0 && pthread_mutex_init(&m->file_lock, NULL) == 0);
	return m;
}

static void free_lines(struct line *line)
{
	while (line) {
		struct line *next = line->next;

		free(line);
		line = next;
	}
}

/* With the lock, or at the end. */
static void forget_memory(struct mint *m, struct memory *memory)
{
	map_remove(&m->memories, &memory->node);
	ages_remove(&m->memory_ages, &memory->age);
	names_origin_unref(&memory->origin);
	free(memory);
}

void mint_free(struct mint *m)
{
	if (!m)
		return;
	CHECK(m, MINT_MAGIC);
	while (m->leaf_ages.oldest) {
		struct leaf *leaf = forget_leaf(m, OWNER(m->leaf_ages.oldest, struct leaf, age));

		leaf_unref(&leaf);
	}
	while (m->memory_ages.oldest)
		forget_memory(m, OWNER(m->memory_ages.oldest, struct memory, age));
	map_fini(&m->leaves);
	map_fini(&m->memories);
	free_lines(m->first);
	ca_unref(&m->ca);
	EVP_PKEY_free(m->pkey);
	pthread_mutex_destroy(&m->lock);
	pthread_mutex_destroy(&m->file_lock);
	free(m->names_path);
	m->magic = 0;
	free(m);
}

void mint_use_ca(struct mint *m, struct ca *ca)
{
	struct ca *former;

	CHECK(m, MINT_MAGIC);
	ca_ref(ca);
	pthread_mutex_lock(&m->lock);
	former = m->ca;
	m->ca = ca;
	pthread_mutex_unlock(&m->lock);
	ca_unref(&former);
}

bool mint_permits(struct mint *m, struct span host)
{
	char name[NAMES_HOST_MAX + 1];
	struct ca *ca;
	bool yes;

	CHECK(m, MINT_MAGIC);
	if (names_host(host, name) == NAME_BAD)
		return false;
	pthread_mutex_lock(&m->lock);
	ca = ca_ref(m->ca);
	pthread_mutex_unlock(&m->lock);
	yes = ca_permits(ca, name);
	ca_unref(&ca);
	return yes;
}

/* --- Memory of origins. --- */

static bool is_memory(const struct map_node *node, const void *host)
{
	return strcmp(OWNER(node, const struct memory, node)->host, host) == 0;
}

/* With the lock. */
static struct memory *find_memory(struct mint *m, const char *host, uint64_t hash)
{
	struct map_node *node = map_find(&m->memories, hash, is_memory, host);

	return node ? OWNER(node, struct memory, node) : NULL;
}

/* A host behind several machines may use several certificates; without this rule its leaf would change with each. */
static bool is_better(const struct origin_cert *now_seen, const struct origin_cert *known, wall_ms now)
{
	if (names_origin_same(now_seen, known))
		return false;
	return now_seen->not_after > known->not_after || known->not_after - RENEW <= now;
}

/* With the lock. True: it is news. */
static bool keep_memory(struct mint *m, const char *host, struct origin_cert *origin, wall_ms now)
{
	uint64_t hash = salted(m, span_str(host));
	struct memory *memory = find_memory(m, host, hash);
	size_t n = strlen(host) + 1;

	if (memory) {
		ages_touch(&m->memory_ages, &memory->age);
		if (!is_better(origin, memory->origin, now))
			return false;
		names_origin_unref(&memory->origin);
		memory->origin = names_origin_ref(origin);
		return true;
	}
	if (m->memories.n >= m->max_origins)
		forget_memory(m, OWNER(m->memory_ages.oldest, struct memory, age));
	memory = mem_zalloc(sizeof(*memory) + n);
	memory->origin = names_origin_ref(origin);
	memcpy(memory->host, host, n);
	map_insert(&m->memories, &memory->node, hash);
	ages_add(&m->memory_ages, &memory->age);
	return true;
}

static struct line *make_line(const char *host, const struct origin_cert *origin)
{
	char text[NAMES_LINE_MAX + 1];
	struct buf b = buf_over(text, sizeof(text));
	struct line *line;

	names_format(&b, host, origin);
	buf_putc(&b, '\n');
	if (b.full)
		return NULL;
	line = mem_alloc(sizeof(*line) + b.n);
	*line = (struct line){NULL, b.n};
	memcpy(line->text, b.p, b.n);
	return line;
}

/* With the lock. Takes the line. True: it is the first one that waits. */
static bool enqueue(struct mint *m, struct line *line)
{
	if (m->n_lines == QUEUE_MAX) {
		m->dropped++;
		free(line);
		return false;
	}
	*m->last = line;
	m->last = &line->next;
	return m->n_lines++ == 0;
}

bool mint_remember(struct mint *m, struct span host, struct origin_cert *origin, wall_ms now)
{
	char name[NAMES_HOST_MAX + 1];
	struct line *line = NULL;
	bool must_flush = false;

	CHECK(m, MINT_MAGIC);
	if (names_host(host, name) == NAME_BAD || origin->not_before >= origin->not_after)
		return false;
	pthread_mutex_lock(&m->lock);
	if (keep_memory(m, name, origin, now) && m->names_path)
		line = make_line(name, origin);
	if (line)
		must_flush = enqueue(m, line);
	pthread_mutex_unlock(&m->lock);
	return must_flush;
}

struct origin_cert *mint_recall(struct mint *m, struct span host, wall_ms now)
{
	char name[NAMES_HOST_MAX + 1];
	struct origin_cert *origin = NULL;
	struct memory *memory;
	uint64_t hash;

	CHECK(m, MINT_MAGIC);
	if (names_host(host, name) == NAME_BAD)
		return NULL;
	hash = salted(m, span_str(name));
	pthread_mutex_lock(&m->lock);
	memory = find_memory(m, name, hash);
	if (memory && now < memory->origin->not_after) {
		ages_touch(&m->memory_ages, &memory->age);
		origin = names_origin_ref(memory->origin);
	}
	pthread_mutex_unlock(&m->lock);
	return origin;
}

/* --- The file. Everything here runs on workers, under file_lock. --- */

/* All that is remembered, oldest first, so that reading it again gives the same order. */
static char *format_all(struct mint *m, size_t *n, size_t *lines)
{
	struct seen {
		struct origin_cert *origin;
		char *host;
	} * all;
	size_t count = 0, cap = 0;
	struct buf b;

	/* References under the lock, text without it: loops wait for this lock. */
	pthread_mutex_lock(&m->lock);
	all = mem_alloc((m->memories.n + 1) * sizeof(*all));
	for (struct age *a = m->memory_ages.oldest; a; a = a->newer) {
		struct memory *memory = OWNER(a, struct memory, age);

		all[count++] = (struct seen){names_origin_ref(memory->origin), span_dup(span_str(memory->host))};
	}
	pthread_mutex_unlock(&m->lock);
	/* Host, names, base64 of the subject, and room for dates, key and tabs. */
	for (size_t i = 0; i < count; i++)
		cap += strlen(all[i].host) + all[i].origin->sans_bytes + 2 * all[i].origin->subject_bytes + 256;
	b = buf_over(mem_alloc(cap + 1), cap);
	for (size_t i = 0; i < count; i++) {
		names_format(&b, all[i].host, all[i].origin);
		buf_putc(&b, '\n');
		names_origin_unref(&all[i].origin);
		free(all[i].host);
	}
	CHECK_THAT(!b.full);
	free(all);
	*n = b.n;
	*lines = count;
	return b.p;
}

static int rewrite(struct mint *m, char *why, size_t why_bytes)
{
	size_t n, lines;
	char *text = format_all(m, &n, &lines);
	int r = certs_write(m->names_path, text, n, 0600, true, why, why_bytes);

	if (r == 0) {
		m->file_lines = lines;
		m->torn = false;
	}
	free(text);
	return r;
}

static struct line *take_lines(struct mint *m, size_t *n)
{
	struct line *lines;

	pthread_mutex_lock(&m->lock);
	lines = m->first;
	*n = m->n_lines;
	m->first = NULL;
	m->last = &m->first;
	m->n_lines = 0;
	pthread_mutex_unlock(&m->lock);
	return lines;
}

/* One write: what a crash leaves is whole lines and at most one torn one, which mint_load skips. */
static int append(struct mint *m, const struct line *lines, char *why, size_t why_bytes)
{
	size_t bytes = 1;
	struct buf b;
	ssize_t put;
	int fd;

	for (const struct line *l = lines; l; l = l->next)
		bytes += l->n;
	fd = open(m->names_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		snprintf(why, why_bytes, "%s cannot be written: %s", m->names_path, strerror(errno));
		return -1;
	}
	b = buf_over(mem_alloc(bytes), bytes);
	if (m->torn)
		buf_putc(&b, '\n');
	for (const struct line *l = lines; l; l = l->next)
		buf_put(&b, span_of(l->text, l->n));
	put = write(fd, b.p, b.n);
	m->torn = put != (ssize_t)b.n;
	if (m->torn)
		snprintf(why, why_bytes, "%s cannot be written: %s", m->names_path,
			 put < 0 ? strerror(errno) : "no room left");
	free(b.p);
	close(fd);
	return m->torn ? -1 : 0;
}

int mint_flush(struct mint *m, char *why, size_t why_bytes)
{
	struct line *lines;
	size_t n;
	int r = 0;

	CHECK(m, MINT_MAGIC);
	why[0] = '\0';
	if (!m->names_path)
		return 0;
	pthread_mutex_lock(&m->file_lock);
	lines = take_lines(m, &n);
	if (m->file_lines + n > 2 * m->max_origins)
		r = rewrite(m, why, why_bytes);
	else if (lines && (r = append(m, lines, why, why_bytes)) == 0)
		m->file_lines += n;
	pthread_mutex_unlock(&m->file_lock);
	free_lines(lines);
	return r;
}

struct loading {
	size_t lines, skipped;
	wall_ms now;
};

static void load_line(struct mint *m, struct span text, struct loading *l)
{
	char host[NAMES_HOST_MAX + 1];
	struct origin_cert *origin = names_parse(text, host);

	l->lines++;
	if (!origin) {
		l->skipped++;
		return;
	}
	pthread_mutex_lock(&m->lock);
	if (origin->not_after > l->now)
		keep_memory(m, host, origin, l->now);
	pthread_mutex_unlock(&m->lock);
	names_origin_unref(&origin);
}

/* One line without its end, cut to the room there is; false at the end of the file. */
static bool read_line(FILE *f, char *text, size_t room, size_t *n, bool *whole)
{
	int c = getc_unlocked(f);

	*n = 0;
	*whole = true;
	if (c == EOF)
		return false;
	for (; c != '\n'; c = getc_unlocked(f)) {
		if (c == EOF || *n == room) {
			*whole = false; /* torn by a crash, or not ours */
			break;
		}
		text[(*n)++] = (char)c;
	}
	return true;
}

static void load_lines(struct mint *m, FILE *f, struct loading *l)
{
	char text[NAMES_LINE_MAX];
	bool whole, was_whole = true;
	size_t n;

	/* What is too long comes in several pieces, none of which is a line. */
	while (ftell(f) < FILE_MAX && read_line(f, text, sizeof(text), &n, &whole)) {
		if (whole && was_whole) {
			load_line(m, span_of(text, n), l);
		} else if (was_whole) {
			l->lines++;
			l->skipped++;
		}
		was_whole = whole;
	}
}

long mint_load(struct mint *m, wall_ms now, size_t *skipped, char *why, size_t why_bytes)
{
	struct loading l = {.now = now};
	size_t n;
	FILE *f;

	CHECK(m, MINT_MAGIC);
	*skipped = 0;
	why[0] = '\0';
	if (!m->names_path)
		return 0;
	f = fopen(m->names_path, "re");
	if (!f && errno == ENOENT)
		return 0;
	if (!f) {
		snprintf(why, why_bytes, "%s cannot be read: %s", m->names_path, strerror(errno));
		return -1;
	}
	pthread_mutex_lock(&m->file_lock);
	load_lines(m, f, &l);
	fclose(f);
	n = mint_counts(m).origins;
	*skipped = l.skipped;
	m->file_lines = l.lines;
	m->torn = l.skipped > 0;
	if (l.lines != n)
		rewrite(m, why, why_bytes);
	pthread_mutex_unlock(&m->file_lock);
	return (long)n;
}

struct mint_counts mint_counts(struct mint *m)
{
	struct mint_counts c;

	CHECK(m, MINT_MAGIC);
	pthread_mutex_lock(&m->lock);
	c = (struct mint_counts){m->leaves.n, m->memories.n, m->minted, m->dropped};
	pthread_mutex_unlock(&m->lock);
	return c;
}
