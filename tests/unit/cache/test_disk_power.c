/* The power goes. A file system in memory keeps apart what was synced from what was only written; at the crash the
 * latter is dropped, torn by sectors, or kept, in any combination, and so are names. What is served from what remains
 * is right, byte by byte, or not served.
 *
 * 1000 seeds, times PMC_TEST_SCALE percent. */
#include "tests/unit/cache/disk_ground.h"

#define MB ((size_t)1024 * 1024)
#define SECTOR 512
#define MOST_NAMES 4096
#define MOST_FDS 4096
#define MOST_WRITES 256
#define KEYS 8

struct extent_of {
	size_t at, n;
};

/* A file or a folder. Lives as long as the file system. */
struct inode {
	bool folder;
	char *bytes, *durable;
	size_t n, durable_n;
	struct extent_of writes[MOST_WRITES]; /* since the last sync */
	unsigned n_writes;
	struct inode *next;
};

struct name {
	char path[64];
	struct inode *inode;
};

enum change_kind { LINK, RENAME, UNLINK };

struct change {
	enum change_kind kind;
	char path[64], to[64];
	struct inode *inode;
};

struct crashfs {
	struct disk_ops ops;
	pthread_mutex_t lock;
	struct inode *all;
	struct name now[MOST_NAMES], durable[MOST_NAMES];
	unsigned n_now, n_durable;
	struct change changes[MOST_NAMES]; /* of names, since they were synced */
	unsigned n_changes;
	struct {
		struct inode *inode;
		char path[64];
	} fds[MOST_FDS];
	uint64_t n_ops, crash_at; /* 0: never */
	struct crashfs *image;    /* what the crash leaves */
	struct rng rng;
};

static struct crashfs *fs_of(const struct disk_ops *ops)
{
	return (struct crashfs *)(void *)(uintptr_t)ops;
}

/* ---- names ---- */

static struct name *find_name(struct name *v, unsigned n, const char *path)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(v[i].path, path) == 0)
			return &v[i];
	return NULL;
}

static void set_name(struct name *v, unsigned *n, const char *path, struct inode *inode)
{
	struct name *there = find_name(v, *n, path);

	if (!there) {
		assert_true(*n < MOST_NAMES);
		there = &v[(*n)++];
		snprintf(there->path, sizeof(there->path), "%s", path);
	}
	there->inode = inode;
}

static void drop_name(struct name *v, unsigned *n, const char *path)
{
	struct name *there = find_name(v, *n, path);

	if (there)
		*there = v[--*n];
}

static void apply(struct name *v, unsigned *n, const struct change *c)
{
	if (c->kind == UNLINK || c->kind == RENAME)
		drop_name(v, n, c->path);
	if (c->kind != UNLINK)
		set_name(v, n, c->kind == RENAME ? c->to : c->path, c->inode);
}

static void change(struct crashfs *fs, enum change_kind kind, const char *path, const char *to, struct inode *inode)
{
	struct change *c = &fs->changes[fs->n_changes++];

	assert_true(fs->n_changes < MOST_NAMES);
	*c = (struct change){.kind = kind, .inode = inode};
	snprintf(c->path, sizeof(c->path), "%s", path);
	snprintf(c->to, sizeof(c->to), "%s", to);
	apply(fs->now, &fs->n_now, c);
}

static void full_path(const struct crashfs *fs, int at, const char *name, char out[64])
{
	if (at == AT_FDCWD)
		out[0] = 0;
	else if (strcmp(name, ".") == 0)
		snprintf(out, 64, "%s", fs->fds[at].path);
	else
		snprintf(out, 64, "%.30s/%.30s", fs->fds[at].path, name);
}

static bool is_in(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* ---- the crash ---- */

static struct inode *inode_new(struct crashfs *fs, bool folder)
{
	struct inode *i = NEW(struct inode);

	i->folder = folder;
	i->next = fs->all;
	fs->all = i;
	return i;
}

static void put_bytes(struct inode *i, size_t at, const char *p, size_t n)
{
	if (at + n > i->n) {
		i->bytes = mem_realloc(i->bytes, at + n);
		memset(i->bytes + i->n, 0, at + n - i->n);
		i->n = at + n;
	}
	memcpy(i->bytes + at, p, n);
}

static uint64_t percent(struct rng *rng)
{
	static const uint64_t of[] = {0, 60, 95, 100, 100};

	return of[rng_below(rng, 5)];
}

/* What was synced, and of the rest those sectors that chance has brought to the disk. */
static struct inode *survivor(struct crashfs *image, const struct inode *old, struct rng *rng)
{
	uint64_t keep = percent(rng);
	struct inode *i = inode_new(image, old->folder);

	if (old->durable_n)
		put_bytes(i, 0, old->durable, old->durable_n);
	for (unsigned w = 0; w < old->n_writes; w++)
		for (size_t at = old->writes[w].at; at < old->writes[w].at + old->writes[w].n; at += SECTOR) {
			size_t left = old->writes[w].at + old->writes[w].n - at;

			if (rng_below(rng, 100) < keep)
				put_bytes(i, at, old->bytes + at, left < SECTOR ? left : SECTOR);
		}
	if (old->n > i->n && rng_below(rng, 2)) /* the length came, the bytes did not */
		put_bytes(i, old->n - 1, "", 1);
	return i;
}

static struct crashfs *crashfs_new(uint64_t seed);

static void crash(struct crashfs *fs)
{
	uint64_t keep = percent(&fs->rng);
	struct crashfs *image = crashfs_new(rng_next(&fs->rng));

	for (unsigned i = 0; i < fs->n_changes; i++)
		if (rng_below(&fs->rng, 100) < keep)
			apply(fs->durable, &fs->n_durable, &fs->changes[i]);
	for (unsigned i = 0; i < fs->n_durable; i++) {
		char parent[64];

		snprintf(parent, sizeof(parent), "%s", fs->durable[i].path);
		*strrchr(parent, '/') = 0;
		if (parent[0] && !find_name(fs->durable, fs->n_durable, parent))
			continue; /* its folder has not come to the disk */
		set_name(image->now, &image->n_now, fs->durable[i].path,
			 survivor(image, fs->durable[i].inode, &fs->rng));
	}
	for (unsigned i = 0; i < image->n_now; i++) {
		struct inode *inode = image->now[i].inode;

		image->durable[i] = image->now[i];
		inode->durable = mem_alloc(inode->n + 1);
		if (inode->n)
			memcpy(inode->durable, inode->bytes, inode->n);
		inode->durable_n = inode->n;
	}
	image->n_durable = image->n_now;
	fs->image = image;
}

static void enter(struct crashfs *fs)
{
	pthread_mutex_lock(&fs->lock);
}

/* For calls that change something: the crash comes before one of them. */
static void enter_to_change(struct crashfs *fs)
{
	enter(fs);
	if (++fs->n_ops == fs->crash_at && !fs->image)
		crash(fs);
}

static int leave(struct crashfs *fs, int result)
{
	pthread_mutex_unlock(&fs->lock);
	return result;
}

/* ---- the calls ---- */

static int fs_open(const struct disk_ops *ops, int at, const char *name, enum disk_open how)
{
	struct crashfs *fs = fs_of(ops);
	struct inode *root = NULL;
	struct name *there;
	char path[64];
	int fd = 0;

	enter(fs);
	full_path(fs, at, name, path);
	there = find_name(fs->now, fs->n_now, path);
	if (!path[0])
		root = fs->all; /* any: it is a folder */
	if (!there && !root && (how == DISK_OPEN_READ || how == DISK_OPEN_FOLDER))
		return leave(fs, -ENOENT);
	if (there && how == DISK_OPEN_NEW)
		return leave(fs, -EEXIST);
	if (!there && !root) {
		struct inode *i = inode_new(fs, false);

		change(fs, LINK, path, "", i);
		there = find_name(fs->now, fs->n_now, path);
	}
	while (fs->fds[fd].inode)
		assert_true(++fd < MOST_FDS);
	fs->fds[fd].inode = there ? there->inode : root;
	snprintf(fs->fds[fd].path, sizeof(fs->fds[fd].path), "%s", path);
	return leave(fs, fd);
}

static int fs_open_now(const struct disk_ops *ops, int at, const char *name)
{
	return fs_open(ops, at, name, DISK_OPEN_READ);
}

static void fs_close(const struct disk_ops *ops, int fd)
{
	struct crashfs *fs = fs_of(ops);

	enter(fs);
	fs->fds[fd].inode = NULL;
	leave(fs, 0);
}

static ssize_t fs_pread(const struct disk_ops *ops, int fd, void *to, size_t n, uint64_t at)
{
	struct crashfs *fs = fs_of(ops);
	const struct inode *i;

	enter(fs);
	i = fs->fds[fd].inode;
	if (at >= i->n)
		return leave(fs, 0);
	if (n > i->n - at)
		n = i->n - (size_t)at;
	memcpy(to, i->bytes + at, n);
	return leave(fs, (int)n);
}

static ssize_t fs_pwritev(const struct disk_ops *ops, int fd, const struct iovec *v, int n, uint64_t at)
{
	struct crashfs *fs = fs_of(ops);
	struct inode *i;
	size_t done = 0;

	enter_to_change(fs);
	i = fs->fds[fd].inode;
	assert_true(i->n_writes < MOST_WRITES);
	for (int k = 0; k < n; k++) {
		put_bytes(i, (size_t)at + done, v[k].iov_base, v[k].iov_len);
		done += v[k].iov_len;
	}
	i->writes[i->n_writes++] = (struct extent_of){(size_t)at, done};
	return leave(fs, (int)done);
}

static void make_durable(struct inode *i)
{
	i->durable = mem_realloc(i->durable, i->n + 1);
	if (i->n)
		memcpy(i->durable, i->bytes, i->n);
	i->durable_n = i->n;
	i->n_writes = 0;
}

static int fs_sync(const struct disk_ops *ops, int fd)
{
	struct crashfs *fs = fs_of(ops);
	struct inode *i;
	unsigned left = 0;

	enter_to_change(fs);
	i = fs->fds[fd].inode;
	if (!i->folder) {
		make_durable(i);
		return leave(fs, 0);
	}
	for (unsigned k = 0; k < fs->n_changes; k++) {
		const struct change *c = &fs->changes[k];

		if (is_in(c->kind == RENAME ? c->to : c->path, fs->fds[fd].path))
			apply(fs->durable, &fs->n_durable, c);
		else
			fs->changes[left++] = *c;
	}
	fs->n_changes = left;
	return leave(fs, 0);
}

/* Nothing is promised by it. */
static void fs_start_sync(const struct disk_ops *ops, int fd, uint64_t at, uint64_t n)
{
	(void)ops;
	(void)fd;
	(void)at;
	(void)n;
}

static int fs_sync_all(const struct disk_ops *ops, int fd)
{
	struct crashfs *fs = fs_of(ops);

	(void)fd;
	enter_to_change(fs);
	for (unsigned k = 0; k < fs->n_changes; k++)
		apply(fs->durable, &fs->n_durable, &fs->changes[k]);
	fs->n_changes = 0;
	for (struct inode *i = fs->all; i; i = i->next)
		if (!i->folder && i->n_writes)
			make_durable(i);
	return leave(fs, 0);
}

static int fs_size(const struct disk_ops *ops, int at, const char *name, uint64_t *out)
{
	struct crashfs *fs = fs_of(ops);
	struct name *there;
	char path[64];

	enter(fs);
	full_path(fs, at, name, path);
	there = find_name(fs->now, fs->n_now, path);
	if (there)
		*out = there->inode->n;
	return leave(fs, there ? 0 : -ENOENT);
}

static int fs_rename(const struct disk_ops *ops, int from_at, const char *from, int to_at, const char *to)
{
	struct crashfs *fs = fs_of(ops);
	char path[64], to_path[64], parent[64];
	struct name *there;

	enter_to_change(fs);
	full_path(fs, from_at, from, path);
	full_path(fs, to_at, to, to_path);
	snprintf(parent, sizeof(parent), "%s", to_path);
	*strrchr(parent, '/') = 0;
	there = find_name(fs->now, fs->n_now, path);
	if (!there || (parent[0] && !find_name(fs->now, fs->n_now, parent)))
		return leave(fs, -ENOENT);
	change(fs, RENAME, path, to_path, there->inode);
	return leave(fs, 0);
}

static int fs_unlink(const struct disk_ops *ops, int at, const char *name)
{
	struct crashfs *fs = fs_of(ops);
	char path[64];
	bool there;

	enter_to_change(fs);
	full_path(fs, at, name, path);
	there = find_name(fs->now, fs->n_now, path) != NULL;
	if (there)
		change(fs, UNLINK, path, "", NULL);
	return leave(fs, there ? 0 : -ENOENT);
}

static int fs_mkdir(const struct disk_ops *ops, int at, const char *name)
{
	struct crashfs *fs = fs_of(ops);
	char path[64];

	enter_to_change(fs);
	full_path(fs, at, name, path);
	if (path[0] && !find_name(fs->now, fs->n_now, path))
		change(fs, LINK, path, "", inode_new(fs, true));
	return leave(fs, 0);
}

static int fs_list(const struct disk_ops *ops, int at, const char *name, disk_on_name_f *on_name, void *cookie)
{
	struct crashfs *fs = fs_of(ops);
	struct name *v;
	char path[64];
	unsigned n = 0;

	enter(fs);
	full_path(fs, at, name, path);
	if (!find_name(fs->now, fs->n_now, path))
		return leave(fs, -ENOENT);
	v = mem_alloc((fs->n_now + 1) * sizeof(*v));
	for (unsigned i = 0; i < fs->n_now; i++)
		if (is_in(fs->now[i].path, path))
			v[n++] = fs->now[i];
	leave(fs, 0);
	for (unsigned i = 0; i < n; i++)
		on_name(cookie, strrchr(v[i].path, '/') + 1);
	free(v);
	return 0;
}

static int fs_room(const struct disk_ops *ops, int fd, struct disk_room *out)
{
	(void)ops;
	(void)fd;
	*out = (struct disk_room){.total = 1000 * MB, .free = 900 * MB};
	return 0;
}

static struct crashfs *crashfs_new(uint64_t seed)
{
	struct crashfs *fs = NEW(struct crashfs);

	fs->ops = (struct disk_ops){fs_open,    fs_open_now,   fs_close, fs_pread,    fs_pread,
				    fs_pwritev, fs_start_sync, fs_sync,  fs_sync_all, fs_size,
				    fs_rename,  fs_unlink,     fs_mkdir, fs_list,     fs_room};
	pthread_mutex_init(&fs->lock, NULL);
	rng_seed(&fs->rng, seed);
	inode_new(fs, true);
	return fs;
}

static void crashfs_free(struct crashfs *fs)
{
	struct inode *i, *next;

	for (i = fs->all; i; i = next) {
		next = i->next;
		free(i->bytes);
		free(i->durable);
		free(i);
	}
	pthread_mutex_destroy(&fs->lock);
	free(fs);
}

/* ---- the play ---- */

struct book {
	unsigned seed;
	size_t bytes[KEYS];
	unsigned versions[KEYS]; /* written so far */
	unsigned gone[KEYS];     /* those up to this one were purged, and that was synced */
};

static unsigned version_of(struct disk_file *f)
{
	struct head *h = disk_file_head(f);
	char *text = span_dup(span_of(h->text, h->n)); /* with a NUL behind it */
	unsigned version;

	assert_int_equal(sscanf(strstr(text, "X-Version: "), "X-Version: %u", &version), 1);
	free(text);
	head_unref(&h);
	return version;
}

static unsigned check(struct disk_ground *t, const struct book *book)
{
	unsigned there = 0;

	for (unsigned n = 0; n < KEYS; n++) {
		struct object o = {.n = n, .bytes = book->bytes[n]};
		struct disk_file *f = object_find(t, &o);

		if (!f)
			continue;
		o.version = version_of(f);
		if (o.version > book->versions[n] || o.version <= book->gone[n] || file_is(f, &o) < 0)
			fail_msg("seed %u: object %u, version %u of %u, purged up to %u", book->seed, n, o.version,
				 book->versions[n], book->gone[n]);
		there++;
		disk_file_unref(&f);
	}
	return there;
}

static void live(struct disk_ground *t, struct book *book, struct rng *rng, const struct crashfs *fs)
{
	for (unsigned step = 0; step < 12; step++) {
		unsigned n = (unsigned)rng_below(rng, KEYS);
		struct key key = object_key(n);
		unsigned versions = book->versions[n];
		struct object o = {.n = n, .bytes = book->bytes[n], .version = versions + 1};

		switch (rng_below(rng, 6)) {
		case 0:
			disk_purge(t->disk, &key);
			disk__settle(t->disk);
			if (!fs->image)
				book->gone[n] = versions;
			break;
		case 1:
			disk__settle(t->disk);
			break;
		default:
			book->versions[n]++;
			object_put(t, &o);
		}
	}
}

static unsigned one(unsigned seed)
{
	struct disk_ground t;
	struct crashfs *fs = crashfs_new(seed), *image;
	struct book book = {.seed = seed};
	struct rng rng;
	unsigned there;

	rng_seed(&rng, seed);
	for (unsigned n = 0; n < KEYS; n++)
		book.bytes[n] = (size_t)rng_below(&rng, rng_below(&rng, 3) ? 3000 : 200000);
	memset(&t, 0, sizeof(t));
	ground_init(&t.g);
	clock_fake_init(&t.clock, 1700000000000);
	t.settings = (struct disk_settings){
		.path = "store",
		.size = rng_below(&rng, 2) ? MB / 2 : 50 * MB,
		.max_object = 50 * MB,
		.clock = &t.clock.clock,
		.ops = &fs->ops,
	};
	disk_ground_start(&t);
	assert_non_null(t.disk);
	fs->crash_at = fs->n_ops + 1 + rng_below(&rng, 80);
	live(&t, &book, &rng, fs);
	pthread_mutex_lock(&fs->lock);
	if (!fs->image)
		crash(fs);
	pthread_mutex_unlock(&fs->lock);
	disk_ground_stop(&t);

	image = fs->image;
	t.settings.ops = &image->ops;
	disk_ground_start(&t);
	assert_non_null(t.disk);
	there = check(&t, &book); /* at once */
	disk__settle(t.disk);
	check(&t, &book); /* and when strays have been found */
	live(&t, &book, &rng, image);
	check(&t, &book);
	disk_ground_restart(&t);
	check(&t, &book);
	disk_ground_stop(&t);
	ground_fini(&t.g);
	crashfs_free(image);
	crashfs_free(fs);
	return there;
}

static void never_a_wrong_byte(void **state)
{
	const char *scale = getenv("PMC_TEST_SCALE");
	unsigned seeds = scale ? 10 * (unsigned)atoi(scale) : 1000, there = 0;

	(void)state;
	for (unsigned seed = 1; seed <= seeds; seed++)
		there += one(seed);
	printf("%u seeds: %.1f of %d objects are there after the power has gone\n", seeds,
	       (double)there / (seeds ? seeds : 1), KEYS);
	assert_true(seeds < 100 || there > seeds / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_a_wrong_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
