/* clock: what time it is, as three types that must not be mixed.
 *
 * mono_us  monotonic, microseconds since some start: deadlines, ages while the process lives.
 * wall_ms  wall clock, milliseconds since 1970: Date headers, certificates, logs, ages across restarts.
 * dur_ms   a length of time in milliseconds: settings, timeouts.
 *
 * A `struct clock` is given to whoever needs the time, so that a test may bring its own and let hours pass at once. */
#ifndef NODE_BASE_CLOCK_H
#define NODE_BASE_CLOCK_H

#include <stdint.h>

typedef int64_t mono_us;
typedef int64_t wall_ms;
typedef int64_t dur_ms;

#define DUR_SECOND ((dur_ms)1000)
#define DUR_MINUTE (60 * DUR_SECOND)
#define DUR_HOUR (60 * DUR_MINUTE)
#define DUR_DAY (24 * DUR_HOUR)
#define MONO_NEVER INT64_MAX

struct clock {
	mono_us (*mono)(const struct clock *);
	wall_ms (*wall)(const struct clock *);
};

/* The machine's clock; CLOCK_MONOTONIC and CLOCK_REALTIME. */
extern const struct clock clock_system;

/* A clock that stands still until it is told to move. */
struct clock_fake {
	struct clock clock;       /* give &fake.clock to the code under test */
	_Atomic mono_us mono_now; /* other threads may look while a test moves it on */
	_Atomic wall_ms wall_now;
};

void clock_fake_init(struct clock_fake *, wall_ms start);
void clock_fake_pass(struct clock_fake *, dur_ms); /* both times move on */

static inline mono_us clock_mono(const struct clock *c)
{
	return c->mono(c);
}

static inline wall_ms clock_wall(const struct clock *c)
{
	return c->wall(c);
}

static inline mono_us mono_after(mono_us t, dur_ms d)
{
	return t + d * 1000;
}

#endif
