/* disk_ops: the system calls of the disk tier, as a table, so that tests can break them.
 *
 * All give a result of 0 or more, or -errno. Names are relative to a folder's descriptor. Any thread. */
#ifndef NODE_CACHE_DISK_OPS_H
#define NODE_CACHE_DISK_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct disk_ops;

enum disk_open {
	DISK_OPEN_FOLDER,
	DISK_OPEN_READ,
	DISK_OPEN_NEW,    /* to read and write; must not be there */
	DISK_OPEN_APPEND, /* to write at given places; made when it is not there */
};

struct disk_room {
	uint64_t total, free; /* bytes of the file system; free: for us */
};

typedef void disk_on_name_f(void *cookie, const char *name);

struct disk_ops {
	/* at: a folder's descriptor, or AT_FDCWD. */
	int (*open)(const struct disk_ops *, int at, const char *name, enum disk_open how);
	/* For reading, and only if that takes no disk: else -EAGAIN, also where the kernel cannot tell. */
	int (*open_now)(const struct disk_ops *, int at, const char *name);
	void (*close)(const struct disk_ops *, int fd);
	ssize_t (*pread)(const struct disk_ops *, int fd, void *to, size_t n, uint64_t at);
	/* What is in the page cache: may be less than is there; -EAGAIN: nothing, or the kernel cannot tell. */
	ssize_t (*pread_now)(const struct disk_ops *, int fd, void *to, size_t n, uint64_t at);
	ssize_t (*pwritev)(const struct disk_ops *, int fd, const struct iovec *v, int n, uint64_t at);
	/* Lets the disk begin with what has been written there, and does not wait for it. */
	void (*start_sync)(const struct disk_ops *, int fd, uint64_t at, uint64_t n);
	int (*sync)(const struct disk_ops *, int fd);     /* data of a file, names of a folder */
	int (*sync_all)(const struct disk_ops *, int fd); /* of the whole file system */
	/* Bytes of a file. */
	int (*size)(const struct disk_ops *, int at, const char *name, uint64_t *out);
	int (*rename)(const struct disk_ops *, int from_at, const char *from, int to_at, const char *to);
	int (*unlink)(const struct disk_ops *, int at, const char *name);
	int (*mkdir)(const struct disk_ops *, int at, const char *name); /* 0 also when it is there */
	/* Each name in the folder but those that begin with '.'. */
	int (*list)(const struct disk_ops *, int at, const char *name, disk_on_name_f *, void *cookie);
	int (*room)(const struct disk_ops *, int fd, struct disk_room *out);
};

extern const struct disk_ops disk_ops_system;

/* The whole of it, or an error: short reads and writes are continued. A file that ends before n is -ENODATA. Waits for
 * the disk. */
int disk_ops_read(const struct disk_ops *, int fd, void *to, size_t n, uint64_t at);
/* Changes v. */
int disk_ops_write(const struct disk_ops *, int fd, struct iovec *v, int n, uint64_t at);

#endif
