#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/base/checksum.h"
#include "node/cache/disk_internal.h"

#define STORE_VERSION 1
#define FORMAT_NAME "format"
#define FORMAT_NEW_NAME "format.new"
#define FORMAT_BYTES 128

/* ---- names ---- */

static void put_hex(char *to, uint64_t v, int digits)
{
	for (int i = digits - 1; i >= 0; i--, v >>= 4)
		to[i] = "0123456789abcdef"[v & 15];
}

void disk__name(uint64_t serial, char out[DISK_NAME_BYTES])
{
	put_hex(out, serial, 16);
	out[16] = 0;
}

void disk__path(uint64_t serial, char out[DISK_PATH_BYTES])
{
	put_hex(out, serial % DISK_FANOUT, 2);
	put_hex(out + 3, serial / DISK_FANOUT % DISK_FANOUT, 2);
	out[2] = out[5] = '/';
	disk__name(serial, out + 6);
}

bool disk__parse_name(const char *name, uint64_t *serial)
{
	char again[DISK_NAME_BYTES];

	if (strlen(name) != 16)
		return false;
	*serial = strtoull(name, NULL, 16);
	disk__name(*serial, again);
	return strcmp(name, again) == 0;
}

/* ---- the store's own file ---- */

struct store_format {
	enum { FORMAT_OURS, FORMAT_NONE, FORMAT_DAMAGED, FORMAT_OLDER, FORMAT_NEWER } what;
	unsigned version;
	uint64_t generation;
};

static uint64_t format_check(unsigned version, uint64_t generation)
{
	uint64_t v[2] = {version, generation};

	return checksum_of(span_of((const char *)v, sizeof(v)));
}

static size_t format_text(uint64_t generation, char text[FORMAT_BYTES])
{
	return (size_t)snprintf(text, FORMAT_BYTES, "pmcache store %u\ngeneration %" PRIu64 "\ncheck %016" PRIx64 "\n",
				STORE_VERSION, generation, format_check(STORE_VERSION, generation));
}

static void read_format(const struct disk *d, struct store_format *out)
{
	char text[FORMAT_BYTES] = "";
	uint64_t check;
	ssize_t n;
	int fd = d->ops->open(d->ops, d->root, FORMAT_NAME, DISK_OPEN_READ);

	*out = (struct store_format){.what = fd == -ENOENT ? FORMAT_NONE : FORMAT_DAMAGED};
	if (fd < 0)
		return;
	n = d->ops->pread(d->ops, fd, text, sizeof(text) - 1, 0);
	d->ops->close(d->ops, fd);
	if (n <= 0 || sscanf(text, "pmcache store %u\n", &out->version) != 1)
		return;
	if (out->version != STORE_VERSION)
		out->what = out->version > STORE_VERSION ? FORMAT_NEWER : FORMAT_OLDER;
	else if (sscanf(text, "pmcache store %*u\ngeneration %" SCNu64 "\ncheck %16" SCNx64 "\n", &out->generation,
			&check) == 2 &&
		 check == format_check(out->version, out->generation))
		out->what = FORMAT_OURS;
}

static int write_format(struct disk *d, uint64_t generation)
{
	char text[FORMAT_BYTES];
	struct iovec v = {text, format_text(generation, text)};
	int fd, err;

	d->ops->unlink(d->ops, d->root, FORMAT_NEW_NAME);
	fd = d->ops->open(d->ops, d->root, FORMAT_NEW_NAME, DISK_OPEN_NEW);
	if (fd < 0)
		return fd;
	err = disk_ops_write(d->ops, fd, &v, 1, 0);
	if (!err)
		err = d->ops->sync(d->ops, fd);
	d->ops->close(d->ops, fd);
	if (!err)
		err = d->ops->rename(d->ops, d->root, FORMAT_NEW_NAME, d->root, FORMAT_NAME);
	return err ? err : d->ops->sync(d->ops, d->root);
}

/* ---- generations ---- */

/* The next generation is one that no file on the disk has: so no name is given twice, whatever was lost. Kept in
 * next_serial until then. */
int disk__begin_generation(struct disk *d)
{
	uint64_t generation = (d->next_serial >> DISK_GENERATION_SHIFT) + 1;
	int err = d->tmp < 0 ? -ENOENT : write_format(d, generation);

	if (err)
		return err;
	disk__lock(d);
	d->generation = generation;
	d->first_serial = d->next_serial = generation << DISK_GENERATION_SHIFT | 1;
	disk__unlock(d);
	return 0;
}

static void highest(void *cookie, const char *name)
{
	uint64_t *most = cookie, serial;

	if (disk__parse_name(name, &serial) && serial > *most)
		*most = serial;
}

/* Without a good `format` the names on the disk tell which generations there were. */
static uint64_t highest_serial(const struct disk *d)
{
	uint64_t most = 0;
	char path[DISK_PATH_BYTES];

	for (uint64_t i = 0; i < DISK_FANOUT * DISK_FANOUT; i++) {
		disk__path(i, path);
		path[5] = 0;
		d->ops->list(d->ops, d->objects, path, highest, &most);
	}
	return most;
}

int disk__check_format(struct disk *d, const char *path, char *why, size_t why_bytes)
{
	struct store_format format;

	read_format(d, &format);
	switch (format.what) {
	case FORMAT_NEWER:
		snprintf(why, why_bytes,
			 "%s: was written by a newer version (store format %u, this program knows %u): use that "
			 "version, or another folder, or empty it",
			 path, format.version, STORE_VERSION);
		return -1;
	case FORMAT_OLDER:
		log_line(d->log, LOG_WARNING, "disk", "the store has the old format %u: what cannot be read goes",
			 format.version);
		d->ops->unlink(d->ops, d->root, "journal");
		d->next_serial = highest_serial(d);
		return 0;
	case FORMAT_DAMAGED:
		log_line(d->log, LOG_WARNING, "disk", "the store's file `format` is damaged: it is made anew");
		d->next_serial = highest_serial(d);
		return 0;
	case FORMAT_NONE:
		d->next_serial = highest_serial(d);
		return 0;
	case FORMAT_OURS:
		d->next_serial = format.generation << DISK_GENERATION_SHIFT;
		return 0;
	}
	return -1;
}
