#include "node/cache/disk_ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_MODE 0600
#define FOLDER_MODE 0700

static int or_errno(int result)
{
	return result < 0 ? -errno : result;
}

/* Reading leaves no trace in the inode; only the owner may ask for that. */
static int open_to_read(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOATIME);

	return fd < 0 && errno == EPERM ? openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : fd;
}

static int sys_open(const struct disk_ops *ops, int at, const char *name, enum disk_open how)
{
	(void)ops;
	switch (how) {
	case DISK_OPEN_FOLDER:
		return or_errno(openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	case DISK_OPEN_READ:
		return or_errno(open_to_read(at, name));
	case DISK_OPEN_NEW:
		return or_errno(openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE));
	case DISK_OPEN_APPEND:
		return or_errno(openat(at, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE));
	}
	return -EINVAL;
}

static int sys_open_now(const struct disk_ops *ops, int at, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOATIME,
		.resolve = RESOLVE_CACHED,
	};
	long fd = syscall(SYS_openat2, at, name, &how, sizeof(how));

	(void)ops;
	if (fd >= 0)
		return (int)fd;
	return errno == ENOENT || errno == EMFILE || errno == ENFILE ? -errno : -EAGAIN;
}

static void sys_close(const struct disk_ops *ops, int fd)
{
	(void)ops;
	close(fd);
}

static ssize_t sys_pread(const struct disk_ops *ops, int fd, void *to, size_t n, uint64_t at)
{
	ssize_t got;

	(void)ops;
	do
		got = pread(fd, to, n, (off_t)at);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static ssize_t sys_pread_now(const struct disk_ops *ops, int fd, void *to, size_t n, uint64_t at)
{
	struct iovec v = {.iov_base = to, .iov_len = n};
	ssize_t got = preadv2(fd, &v, 1, (off_t)at, RWF_NOWAIT);

	(void)ops;
	if (got >= 0)
		return got;
	return errno == EIO ? -EIO : -EAGAIN;
}

static ssize_t sys_pwritev(const struct disk_ops *ops, int fd, const struct iovec *v, int n, uint64_t at)
{
	ssize_t got;

	(void)ops;
	do
		got = pwritev(fd, v, n, (off_t)at);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static void sys_start_sync(const struct disk_ops *ops, int fd, uint64_t at, uint64_t n)
{
	(void)ops;
	sync_file_range(fd, (off_t)at, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

static int sys_sync(const struct disk_ops *ops, int fd)
{
	(void)ops;
	return or_errno(fdatasync(fd));
}

static int sys_sync_all(const struct disk_ops *ops, int fd)
{
	(void)ops;
	return or_errno(syncfs(fd));
}

static int sys_size(const struct disk_ops *ops, int at, const char *name, uint64_t *out)
{
	struct stat st;

	(void)ops;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*out = (uint64_t)st.st_size;
	return 0;
}

static int sys_rename(const struct disk_ops *ops, int from_at, const char *from, int to_at, const char *to)
{
	(void)ops;
	return or_errno(renameat(from_at, from, to_at, to));
}

static int sys_unlink(const struct disk_ops *ops, int at, const char *name)
{
	(void)ops;
	return or_errno(unlinkat(at, name, 0));
}

static int sys_mkdir(const struct disk_ops *ops, int at, const char *name)
{
	(void)ops;
	return mkdirat(at, name, FOLDER_MODE) < 0 && errno != EEXIST ? -errno : 0;
}

static int sys_list(const struct disk_ops *ops, int at, const char *name, disk_on_name_f *on_name, void *cookie)
{
	int fd = sys_open(ops, at, name, DISK_OPEN_FOLDER), err;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		err = errno;
		close(fd);
		return -err;
	}
	errno = 0;
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] != '.')
			on_name(cookie, e->d_name);
		errno = 0;
	}
	err = errno;
	closedir(dir);
	return -err;
}

static int sys_room(const struct disk_ops *ops, int fd, struct disk_room *out)
{
	struct statvfs st;

	(void)ops;
	if (fstatvfs(fd, &st) < 0)
		return -errno;
	*out = (struct disk_room){.total = st.f_blocks * st.f_frsize, .free = st.f_bavail * st.f_frsize};
	return 0;
}

const struct disk_ops disk_ops_system = {
	.open = sys_open,
	.open_now = sys_open_now,
	.close = sys_close,
	.pread = sys_pread,
	.pread_now = sys_pread_now,
	.pwritev = sys_pwritev,
	.start_sync = sys_start_sync,
	.sync = sys_sync,
	.sync_all = sys_sync_all,
	.size = sys_size,
	.rename = sys_rename,
	.unlink = sys_unlink,
	.mkdir = sys_mkdir,
	.list = sys_list,
	.room = sys_room,
};

int disk_ops_read(const struct disk_ops *ops, int fd, void *to, size_t n, uint64_t at)
{
	char *p = to;

	while (n) {
		ssize_t got = ops->pread(ops, fd, p, n, at);

		if (got < 0)
			return (int)got;
		if (got == 0)
			return -ENODATA;
		p += got;
		n -= (size_t)got;
		at += (uint64_t)got;
	}
	return 0;
}

int disk_ops_write(const struct disk_ops *ops, int fd, struct iovec *v, int n, uint64_t at)
{
	while (n) {
		ssize_t put = ops->pwritev(ops, fd, v, n, at);
		size_t left;

		if (put < 0)
			return (int)put;
		if (put == 0)
			return -EIO;
		at += (uint64_t)put;
		for (left = (size_t)put; n && left >= v->iov_len; n--, v++)
			left -= v->iov_len;
		if (n) {
			v->iov_base = (char *)v->iov_base + left;
			v->iov_len -= left;
		}
	}
	return 0;
}
