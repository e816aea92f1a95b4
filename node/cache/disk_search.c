#include "node/cache/disk_search.h"

#include <stdlib.h>

#include "node/base/mem.h"
#include "node/cache/disk_file.h"

/* What the worker's answer finds its way back by: it goes with the answer, or with the loop. */
struct disk_search {
	disk_on_found_f *on_found; /* NULL: who asked has left */
	void *cookie;
	struct loop *loop;
	struct deferred at_end;
};

static void on_found(void *cookie, struct disk_file *file)
{
	struct disk_search *s = cookie;
	disk_on_found_f *tell = s->on_found;
	void *who = s->cookie;

	loop_defer_cancel(s->loop, &s->at_end);
	free(s);
	if (tell)
		tell(who, file);
	else
		disk_file_unref(&file);
}

static void on_loop_gone(void *arg)
{
	free(arg);
}

struct disk_search *disk_search_start(struct disk *d, const struct index_ask *ask, struct loop *loop,
				      disk_on_found_f *fn, void *cookie)
{
	struct disk_search *s = NEW(struct disk_search);

	s->on_found = fn;
	s->cookie = cookie;
	s->loop = loop;
	if (disk_find_start(d, ask, loop, on_found, s) < 0) {
		free(s);
		return NULL;
	}
	loop_at_end(loop, &s->at_end, on_loop_gone, s);
	return s;
}

void disk_search_end(struct disk_search **s)
{
	if (*s)
		(*s)->on_found = NULL;
	*s = NULL;
}
