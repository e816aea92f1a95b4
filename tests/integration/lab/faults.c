/* A disk and a clock that can be broken while a daemon runs (faults.py): put before libc, it looks at a shared page at each call of the kinds
 * that the tier on disk uses, and does what stands there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct faults {
	_Atomic int32_t write_errno, read_errno; /* 0: none */
	_Atomic int32_t writes_stuck, reads_stuck, cold;
	_Atomic int32_t writes_waiting, reads_waiting; /* how many are stuck */
	_Atomic int32_t reads_to_fail;                 /* so many, then none; 0: all */
	_Atomic int64_t wall_step_s;
};

static struct faults none;
static struct faults *now = &none;

__attribute__((constructor)) static void open_page(void)
{
	int fd = open(getenv("PMC_FAULTS"), O_RDWR | O_CLOEXEC);
	void *page = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED)
		abort();
	now = page;
	close(fd);
}

static void wait_while(_Atomic int32_t *stuck, _Atomic int32_t *waiting)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};

	if (!*stuck)
		return;
	++*waiting;
	while (*stuck)
		nanosleep(&pause, NULL);
	--*waiting;
}

static ssize_t fail(int err)
{
	errno = err;
	return -1;
}

static int32_t read_fault(void)
{
	int32_t err = now->read_errno;

	if (err && now->reads_to_fail && --now->reads_to_fail == 0)
		now->read_errno = 0;
	return err;
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t);

	if (!real)
		real = dlsym(RTLD_NEXT, "pwritev");
	wait_while(&now->writes_stuck, &now->writes_waiting);
	return now->write_errno ? fail(now->write_errno) : real(fd, v, n, at);
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	static ssize_t (*real)(int, void *, size_t, off_t);
	int32_t err;

	if (!real)
		real = dlsym(RTLD_NEXT, "pread");
	wait_while(&now->reads_stuck, &now->reads_waiting);
	err = read_fault();
	return err ? fail(err) : real(fd, to, n, at);
}

ssize_t preadv2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t, int);
	int32_t err;

	if (!real)
		real = dlsym(RTLD_NEXT, "preadv2");
	if (now->cold)
		return fail(EAGAIN);
	err = read_fault();
	return err ? fail(err) : real(fd, v, n, at, flags);
}

int clock_gettime(clockid_t id, struct timespec *out)
{
	static int (*real)(clockid_t, struct timespec *);
	int r;

	if (!real)
		real = dlsym(RTLD_NEXT, "clock_gettime");
	r = real(id, out);
	if (id == CLOCK_REALTIME)
		out->tv_sec += now->wall_step_s;
	return r;
}
