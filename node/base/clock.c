#include "node/base/clock.h"

#include <time.h>

static mono_us system_mono(const struct clock *c)
{
	struct timespec ts;

	(void)c;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (mono_us)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static wall_ms system_wall(const struct clock *c)
{
	struct timespec ts;

	(void)c;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (wall_ms)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const struct clock clock_system = {.mono = system_mono, .wall = system_wall};

static mono_us fake_mono(const struct clock *c)
{
	return ((const struct clock_fake *)c)->mono_now;
}

static wall_ms fake_wall(const struct clock *c)
{
	return ((const struct clock_fake *)c)->wall_now;
}

void clock_fake_init(struct clock_fake *f, wall_ms start)
{
	f->clock = (struct clock){.mono = fake_mono, .wall = fake_wall};
	f->mono_now = 1000000;
	f->wall_now = start;
}

void clock_fake_pass(struct clock_fake *f, dur_ms d)
{
	f->mono_now += d * 1000;
	f->wall_now += d;
}
