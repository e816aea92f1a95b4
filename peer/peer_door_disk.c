#include "node/cache/disk_search.h"
#include "node/cache/file_entry.h"
#include "peer/peer_door_internal.h"

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
	struct visitor *v = cookie;
	struct entry *e = file ? entry_of(v, file) : NULL;

	disk_file_unref(&file);
	v->object.search = NULL;
	door__object_found(v, e);
}

static enum door_found search(struct visitor *v)
{
	const struct peer_door_settings *s = &v->door->settings;
	struct index_ask ask = ask_of(v);

	v->object.search = disk_search_start(s->disk, &ask, s->loop, on_found, v);
	return v->object.search ? DOOR_SEARCHING : DOOR_BUSY;
}

enum door_found door__disk_find(struct visitor *v, struct entry **out)
{
	struct index_ask ask = ask_of(v);
	struct disk_file *file;

	*out = NULL;
	switch (disk_find_now(v->door->settings.disk, &ask, &file, NULL)) {
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
