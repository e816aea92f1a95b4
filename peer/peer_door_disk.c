#include <stdlib.h>

#include "node/base/mem.h"
#include "node/cache/disk.h"
#include "node/cache/file_entry.h"
#include "peer/peer_door_internal.h"

/* What a worker of the disk's finds its way back by: the visitor may leave before. */
struct door_search {
	struct visitor *visitor; /* NULL: it has left */
	struct loop *loop;
	struct deferred at_end;
};

static struct index_ask ask_of(const struct visitor *v)
{
	return (struct index_ask){.key = v->object.asked.key, .request = &v->door->parsed.fields};
}

bool door__disk_has(const struct visitor *v)
{
	struct disk *d = v->door->settings.disk;

	return d && disk_has(d, &v->object.asked.key);
}

static struct entry *entry_of(const struct visitor *v, struct disk_file *file)
{
	const struct peer_door_settings *s = &v->door->settings;

	disk_file_hit(file);
	return file_entry(s->index, file, s->loop);
}

static void on_found(void *cookie, struct disk_file *file)
{
	struct door_search *s = cookie;
	struct visitor *v = s->visitor;
	struct entry *e = v && file ? entry_of(v, file) : NULL;

	disk_file_unref(&file);
	loop_defer_cancel(s->loop, &s->at_end);
	free(s);
	if (!v)
		return;
	v->object.search = NULL;
	door__object_found(v, e);
}

static void on_loop_gone(void *arg)
{
	free(arg);
}

static enum door_found search(struct visitor *v)
{
	struct index_ask ask = ask_of(v);
	struct door_search *s = NEW(struct door_search);

	s->visitor = v;
	s->loop = v->door->settings.loop;
	if (disk_find_start(v->door->settings.disk, &ask, s->loop, on_found, s) < 0) {
		free(s);
		return DOOR_BUSY;
	}
	loop_at_end(s->loop, &s->at_end, on_loop_gone, s);
	v->object.search = s;
	return DOOR_SEARCHING;
}

enum door_found door__disk_find(struct visitor *v, struct entry **out)
{
	struct index_ask ask = ask_of(v);
	struct disk_file *file;

	*out = NULL;
	switch (disk_find_now(v->door->settings.disk, &ask, &file)) {
	case DISK_FILE:
		*out = entry_of(v, file);
		disk_file_unref(&file);
		return DOOR_FOUND;
	case DISK_COLD:
		return search(v);
	case DISK_NONE:
		break;
	}
	return DOOR_NOT_FOUND;
}

void door__search_end(struct visitor *v)
{
	if (v->object.search)
		v->object.search->visitor = NULL;
	v->object.search = NULL;
}
