#include "node/admin/explain.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/cache/disk_file.h"
#include "node/cache/disk_search.h"
#include "node/policy/classrule.h"
#include "proto/pathclass.h"
#include "proto/storeid.h"
#include "proto/url.h"

#define JSON_BYTES(n) (JSON_GROWTH * (n) + 4096)

struct explain {
	unsigned magic;
	struct explain_ground ground;
	struct peer_errand errand;
	struct deferred job; /* when there is nobody to ask */
	struct disk_search *search;
	struct disk_file *file; /* what the disk has of it; NULL: nothing, or it was not looked for */
	explain_on_done_f *on_done;
	void *cookie;
	struct key key;
	struct path_facts path;
	char *store_id;
	size_t n;
};

#define EXPLAIN_MAGIC 0xe89fa110

/* What is here, in words. */
struct finding {
	const char *state, *would, *why;
	const char *on; /* NULL: nowhere */
	bool has_size, has_age, for_ever;
	uint64_t size;
	int64_t age_s, ttl_s;
};

static void explain_free(struct explain *e)
{
	peer_errand_end(&e->errand, false, 0);
	disk_search_end(&e->search);
	disk_file_unref(&e->file);
	loop_defer_cancel(e->ground.loop, &e->job);
	policy_unref(&e->ground.policy);
	free(e->store_id);
	e->magic = 0;
	free(e);
}

/* ---- what is here ---- */

static void judge_stored(const struct head *head, bool guarded, mono_us now, struct finding *f)
{
	struct cachectl nothing; /* that the request says */
	dur_ms here = head_here(head, now);
	enum fresh_why why = FRESH_WHY_NONE;
	enum fresh_verdict verdict;

	cachectl_init(&nothing);
	verdict = fresh_verdict(&head->terms, &nothing, here, &why);
	f->has_size = f->has_age = true;
	f->age_s = fresh_age_s(&head->terms, here);
	f->ttl_s = fresh_ttl_s(&head->terms, here);
	f->for_ever = f->ttl_s == FRESH_FOREVER_S;
	f->why = fresh_why_word(why);
	f->state = verdict == FRESH_SERVE ? "fresh" : "stale";
	f->would = verdict == FRESH_REVALIDATE ? "revalidate" : verdict == FRESH_SERVE ? "hit" : "stale-hit";
	if (guarded) { /* for credentials that the origin has accepted; who asks here has none */
		f->would = "revalidate";
		f->why = fresh_why_word(FRESH_WHY_AUTHORIZATION);
	}
}

static void judge_published(struct entry *entry, const struct entry_view *view, mono_us now, struct finding *f)
{
	judge_stored(view->head, view->guarded, now, f);
	f->size = body_length(&entry->body);
	f->on = "memory";
	if (view->file)
		f->on = "disk";
}

static void judge_file(struct disk_file *file, mono_us now, struct finding *f)
{
	struct head *head = disk_file_head(file);

	judge_stored(head, disk_file_is_guarded(file), now, f);
	f->size = disk_file_length(file);
	f->on = "disk";
	head_unref(&head);
}

static void judge(struct explain *e, struct finding *f)
{
	struct hdrs *plain = NEW(struct hdrs); /* a request without any field */
	struct index_ask ask = {.key = e->key, .request = plain};
	mono_us now = loop_now(e->ground.loop);
	struct entry *entry = index_find_any(e->ground.index, &ask, now);
	struct entry_view view;

	*f = (struct finding){.state = "absent", .would = "fetch", .why = "none"};
	if (entry) {
		entry_look(entry, &view);
		switch (view.phase) {
		case ENTRY_COMPLETE:
			judge_published(entry, &view, now, f);
			break;
		case ENTRY_MARK:
			*f = (struct finding){.state = "private", .would = "bypass", .why = "private"};
			break;
		case ENTRY_NEW:
		case ENTRY_FILLING:
			*f = (struct finding){.state = "pending", .would = "join", .why = "none"};
			break;
		case ENTRY_FAILED:
			break;
		}
		head_unref(&view.head);
	} else if (e->file) {
		judge_file(e->file, now, f);
	}
	if (e->path.class == PATH_PASS)
		*f = (struct finding){.state = "absent", .would = "bypass", .why = fresh_why_word(FRESH_WHY_PASS)};
	entry_unref(&entry);
	free(plain);
}

/* ---- as JSON ---- */

static void put_word(struct buf *b, const char *name, const char *word)
{
	buf_printf(b, "\"%s\":\"%s\"", name, word);
}

static void put_finding(struct buf *b, const struct finding *f)
{
	buf_put_str(b, "\"here\":{");
	put_word(b, "state", f->state);
	buf_putc(b, ',');
	put_word(b, "why", f->why);
	if (f->has_age) {
		buf_put_str(b, ",\"age_s\":");
		buf_put_i64(b, f->age_s);
		buf_put_str(b, ",\"ttl_s\":");
		if (f->for_ever)
			buf_put_str(b, "null");
		else
			buf_put_i64(b, f->ttl_s);
	}
	if (f->has_size) {
		buf_put_str(b, ",\"size\":");
		buf_put_u64(b, f->size);
	}
	if (f->on) {
		buf_putc(b, ',');
		put_word(b, "on", f->on);
	}
	buf_put_str(b, "},");
	put_word(b, "would", f->would);
}

static void put_siblings(struct buf *b, const struct peer_answer *a)
{
	buf_put_str(b, ",\"siblings\":[");
	for (unsigned i = 0; a && a->verdict == PEER_SOURCES && i < a->n; i++) {
		buf_put_str(b, i ? ",{\"node\":" : "{\"node\":");
		json_put_string(b, span_str(a->v[i].name));
		buf_putc(b, ',');
		put_word(b, "has", a->v[i].pending ? "growing" : "whole");
		buf_putc(b, '}');
	}
	buf_put_str(b, "],\"asked\":");
	buf_put_u64(b, a ? a->asked : 0);
}

static void put_parent(struct buf *b, const struct explain *e)
{
	struct parent_member parent;

	buf_put_str(b, ",\"parent\":");
	if (e->ground.parents && parent_set_would_pick(e->ground.parents, &e->key, loop_now(e->ground.loop), &parent))
		json_put_string(b, span_str(parent.name));
	else
		buf_put_str(b, "null");
}

/* It is gone before its owner hears of it. */
static void finish(struct explain *e, const struct peer_answer *answer)
{
	size_t room = JSON_BYTES(e->n);
	struct buf b = buf_over(mem_alloc(room), room);
	explain_on_done_f *on_done = e->on_done;
	void *cookie = e->cookie;
	struct finding f;

	judge(e, &f);
	buf_put_str(&b, "{\"url\":");
	json_put_string(&b, span_of(e->store_id, e->n));
	buf_put_str(&b, ",\"key\":\"");
	for (size_t i = 0; i < KEY_BYTES; i++)
		buf_printf(&b, "%02x", e->key.b[i]);
	buf_put_str(&b, "\",");
	put_word(&b, "class", pathclass_word(e->path.class));
	buf_putc(&b, ',');
	put_finding(&b, &f);
	put_siblings(&b, answer);
	put_parent(&b, e);
	buf_put_str(&b, "}\n");
	CHECK_THAT(!b.full);
	explain_free(e);
	on_done(cookie, buf_span(&b));
	free(b.p);
}

static void on_answer(void *cookie, const struct peer_answer *answer)
{
	struct explain *e = cookie;

	CHECK(e, EXPLAIN_MAGIC);
	finish(e, answer);
}

static void on_nobody(void *arg)
{
	finish(arg, NULL);
}

/* ---- first the disk, then the siblings ---- */

static void ask_siblings(struct explain *e)
{
	struct peer_ask ask = {.key = e->key, .audit = true};

	if (e->ground.desk && e->path.class == PATH_IMMUTABLE) /* nothing else is shared between siblings */
		peer_errand_start(&e->errand, e->ground.desk, e->ground.loop, &ask, on_answer, e);
	else
		loop_defer(e->ground.loop, &e->job, on_nobody, e);
}

static void on_file(void *cookie, struct disk_file *file)
{
	struct explain *e = cookie;

	CHECK(e, EXPLAIN_MAGIC);
	e->search = NULL;
	e->file = file;
	ask_siblings(e);
}

/* By a worker, whose answer comes later. False: there is nothing to wait for. */
static bool look_on_disk(struct explain *e)
{
	struct disk *d = e->ground.disk;
	struct hdrs *plain;
	struct index_ask ask;

	if (!d || !disk_has(d, &e->key))
		return false;
	plain = NEW(struct hdrs);
	ask = (struct index_ask){.key = e->key, .request = plain};
	e->search = disk_search_start(d, &ask, e->ground.loop, on_file, e);
	free(plain);
	return e->search != NULL;
}

/* ---- start ---- */

static int read_url(struct explain *e, struct span text, const char **why)
{
	size_t room = STOREID_BYTES(text.n);
	struct buf b = buf_over(mem_alloc(room), room);
	struct hdrs *plain;
	struct storeid id;
	enum reason reason;
	struct url url;

	e->store_id = b.p;
	if (url_parse_absolute(text, &url, &reason)) {
		*why = reason_sentence(reason);
		return -1;
	}
	storeid_format(&b, &url, &id);
	if (b.full) {
		*why = reason_sentence(REASON_URL_TOO_LONG);
		return -1;
	}
	plain = NEW(struct hdrs);
	e->n = id.text.n;
	pathclass_of(id.path, id.query, plain, &e->path);
	classrule_apply(&e->ground.policy->cache, url.host, id.path, &e->path);
	key_make(&e->key, e->ground.salt, id.text);
	free(plain);
	return 0;
}

struct explain *explain_start(const struct explain_ground *ground, struct span url, explain_on_done_f *on_done,
			      void *cookie, const char **why)
{
	struct explain *e = NEW(struct explain);

	e->magic = EXPLAIN_MAGIC;
	e->ground = *ground;
	e->ground.policy = policy_ref(ground->policy);
	e->on_done = on_done;
	e->cookie = cookie;
	if (read_url(e, url, why) < 0) {
		explain_free(e);
		return NULL;
	}
	if (!look_on_disk(e))
		ask_siblings(e);
	return e;
}

void explain_cancel(struct explain **ep)
{
	struct explain *e = *ep;

	*ep = NULL;
	if (!e)
		return;
	CHECK(e, EXPLAIN_MAGIC);
	explain_free(e);
}
