#include "node/cache/file_entry.h"

struct entry *file_entry_begin(struct index *x, struct disk_file *file)
{
	struct key key = disk_file_key(file);
	struct entry_terms terms = {
		.stored = true,
		.guarded = disk_file_is_guarded(file),
		.shared = true,
		.variant = disk_file_variant(file),
	};
	struct entry *e = index_entry(x, &key);

	entry_set_head(e, disk_file_head(file), &terms);
	return e;
}

struct entry *file_entry(struct index *x, struct disk_file *file, struct loop *loop)
{
	struct entry *e = file_entry_begin(x, file);

	entry_set_file(e, file);
	body_set_length(&e->body, disk_file_length(file));
	entry_end(e, ENTRY_FILLED, REASON_NONE, loop);
	return e;
}
