#include "node/tls/sessions.h"

#include <openssl/ssl.h>

#include "node/base/checksum.h"
#include "node/base/mem.h"

struct kept_session {
	struct map_node node;
	TAILQ_ENTRY(kept_session) entry;
	SSL_SESSION *session;
	size_t n;
	char name[];
};

void sessions_init(struct sessions *s)
{
	*s = (struct sessions){.by_name = {.n = 0}};
	TAILQ_INIT(&s->oldest);
}

static void drop(struct sessions *s, struct kept_session *k)
{
	map_remove(&s->by_name, &k->node);
	TAILQ_REMOVE(&s->oldest, k, entry);
	SSL_SESSION_free(k->session);
	free(k);
}

void sessions_clear(struct sessions *s)
{
	struct kept_session *next;

	for (struct kept_session *k = TAILQ_FIRST(&s->oldest); k; k = next) {
		next = TAILQ_NEXT(k, entry);
		drop(s, k);
	}
}

void sessions_fini(struct sessions *s)
{
	sessions_clear(s);
	map_fini(&s->by_name);
}

static bool is_name(const struct map_node *node, const void *wanted)
{
	const struct kept_session *k = (const void *)((const char *)node - offsetof(struct kept_session, node));

	return span_eq(span_of(k->name, k->n), *(const struct span *)wanted);
}

static struct kept_session *find(const struct sessions *s, struct span name)
{
	struct map_node *node = map_find(&s->by_name, checksum_of(name), is_name, &name);

	return node ? (struct kept_session *)(void *)((char *)node - offsetof(struct kept_session, node)) : NULL;
}

SSL_SESSION *sessions_find(const struct sessions *s, struct span name)
{
	struct kept_session *k = find(s, name);

	return k ? k->session : NULL;
}

void sessions_keep(struct sessions *s, struct span name, SSL_SESSION *session)
{
	struct kept_session *k = find(s, name);

	if (k)
		drop(s, k);
	if (s->by_name.n >= SESSIONS_MOST)
		drop(s, TAILQ_FIRST(&s->oldest));
	k = mem_alloc(sizeof(*k) + name.n);
	k->session = session;
	k->n = name.n;
	memcpy(k->name, name.p, name.n);
	map_insert(&s->by_name, &k->node, checksum_of(name));
	TAILQ_INSERT_TAIL(&s->oldest, k, entry);
}
