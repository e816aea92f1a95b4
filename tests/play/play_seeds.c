/* Plays that the dice make up: each seed is another cluster, another weather, other deaths, cuts and lies; what must hold, holds in all.
 *
 *     play_seeds                  as many as `make test` has time for (300; PMC_TEST_SCALE percent of them), as TAP
 *     play_seeds FROM COUNT       so many from this one on, and how many a minute
 *     play_seeds SEED             one, with what it was made of: a seed that has failed fails again, in the same way
 *
 * What must hold: every request of a node that lives ends, with the object; nobody waits for himself over others; nobody stores a wrong byte;
 * no private key is in a datagram. Without loss and faults an object is fetched exactly once; with a parent also with all of them. Else an
 * object costs no more fetches than nodes, plus one for each fault; how many on average, the table of play_loss says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/base/rng.h"
#include "tests/play/wire.h"

#define SEEDS 300
#define MOST_OBJECTS 8
#define PATIENCE (120 * WIRE_S)
#define REPLAYED_EACH 16 /* of so many seeds one is played twice */

enum fault {
	FAULT_PART,
	FAULT_CUT,
	FAULT_HEAL,
	FAULT_KILL,
	FAULT_FETCHER,
	FAULT_REBOOT,
	FAULT_FAIL,
	FAULT_LIE,
	FAULT_BELIEVE,
	FAULTS
};

static const char *const fault_words[FAULTS] = {
	[FAULT_PART] = "part",
	[FAULT_CUT] = "cut",
	[FAULT_HEAL] = "heal",
	[FAULT_KILL] = "kill and restart",
	[FAULT_FETCHER] = "kill the fetcher",
	[FAULT_REBOOT] = "reboot",
	[FAULT_FAIL] = "fail",
	[FAULT_LIE] = "lie",
	[FAULT_BELIEVE] = "believe in some only",
};

struct play {
	uint64_t seed;
	struct rng rng; /* of the script; the wire has its own */
	struct wire *wire;
	unsigned nodes, objects, faults, n_faults, kills;
	bool is_calm, has_parent, says;
	bool liar[64];
	bool forgave[MOST_OBJECTS][64]; /* the node had it, or wanted it, when its process died */
	char why[200];
};

struct outcome {
	uint64_t trace, datagrams;
	unsigned fetches, objects, wrong_found;
	bool ok;
};

static uint64_t dice(struct play *p, uint64_t below)
{
	return rng_below(&p->rng, below);
}

static unsigned any_node(struct play *p)
{
	return (unsigned)dice(p, p->nodes);
}

#define SAY(p, ...)                                                                                                    \
	do {                                                                                                           \
		if ((p)->says)                                                                                         \
			printf(__VA_ARGS__);                                                                           \
	} while (0)

/* ---- what it is made of ---- */

static void make_weather(struct play *p)
{
	static const double losses[] = {0, 0, 0.01, 0.05, 0.2};
	struct wire_weather *w = wire_weather(p->wire);

	w->delay_min = 20 + (mono_us)dice(p, 200);
	w->delay_max = w->delay_min + (mono_us)dice(p, 600); /* so they overtake each other */
	w->twice = dice(p, 3) ? 0 : 0.3;
	if (p->is_calm)
		return;
	w->loss = losses[dice(p, 5)];
	w->spikes = dice(p, 2) ? 0.01 : 0;
	if (!dice(p, 4))
		w->delay_max += 3000;
}

static void make_cluster(struct play *p)
{
	struct wire_settings s = {.seed = p->seed};

	p->nodes = dice(p, 5) ? 2 + (unsigned)dice(p, 15) : 20 + (unsigned)dice(p, 9);
	p->is_calm = !dice(p, 3);
	p->has_parent = !dice(p, 3);
	p->objects = 1 + (unsigned)dice(p, 4);
	p->faults = p->is_calm ? 0 : (unsigned)dice(p, 6);
	s.nodes = p->nodes;
	s.parent = p->has_parent;
	p->wire = wire_new(&s);
	make_weather(p);
	SAY(p, "# %u nodes%s, %u objects, %s, loss %.2f, twice %.1f, delay %lld to %lld us, %u faults\n", p->nodes,
	    p->has_parent ? " and a parent" : "", p->objects, p->is_calm ? "calm" : "not calm",
	    wire_weather(p->wire)->loss, wire_weather(p->wire)->twice, (long long)wire_weather(p->wire)->delay_min,
	    (long long)wire_weather(p->wire)->delay_max, p->faults);
}

/* The last one is private now and then; the others all want, at once or little by little. */
static void make_wishes(struct play *p)
{
	static const mono_us spacings[] = {1, WIRE_MS, 30 * WIRE_MS, 2 * WIRE_S};
	static const uint64_t sizes[] = {1000, 100000, 3000000, 12000000};

	for (unsigned o = 0; o < p->objects; o++) {
		bool is_private = o > 0 && o + 1 == p->objects && !dice(p, 2);
		uint64_t size = sizes[dice(p, 4)];
		mono_us spacing = spacings[dice(p, 4)], ttfb = (mono_us)(1 + dice(p, 80)) * WIRE_MS;

		if (is_private)
			wire_private(p->wire, size, 5000000, ttfb);
		else
			wire_object(p->wire, size, 5000000, ttfb);
		for (unsigned i = 0; i < p->nodes; i++)
			wire_want(p->wire, i, o, wire_now(p->wire) + (mono_us)dice(p, (uint64_t)spacing));
	}
}

/* ---- faults ---- */

static void die(struct play *p, unsigned node)
{
	for (unsigned o = 0; o < p->objects; o++)
		p->forgave[o][node] = true;
	p->kills++;
	wire_kill(p->wire, node);
	if (dice(p, 2))
		wire_pass(p->wire, (mono_us)dice(p, 3000) * WIRE_MS);
	wire_restart(p->wire, node);
}

static void strike(struct play *p)
{
	enum fault what = (enum fault)dice(p, FAULTS);
	unsigned a = any_node(p), b = any_node(p), o = (unsigned)dice(p, p->objects);
	int fetcher = wire_fetcher(p->wire, o);

	SAY(p, "# at %lld ms: %s (%u, %u, object %u)\n", (long long)(wire_now(p->wire) / WIRE_MS), fault_words[what], a,
	    b, o);
	switch (what) {
	case FAULT_PART:
		wire_part(p->wire, 1 + a % (p->nodes - 1));
		break;
	case FAULT_CUT:
		wire_cut(p->wire, a, b, true);
		break;
	case FAULT_HEAL:
		wire_heal(p->wire);
		break;
	case FAULT_KILL:
		die(p, a);
		break;
	case FAULT_FETCHER:
		die(p, fetcher >= 0 ? (unsigned)fetcher : a);
		break;
	case FAULT_REBOOT:
		for (unsigned i = 0; i < p->objects; i++)
			p->forgave[i][a] |= !wire_is_there(p->wire, a, i);
		wire_reboot(p->wire, a);
		break;
	case FAULT_FAIL:
		p->forgave[o][fetcher >= 0 ? (unsigned)fetcher : a] = true;
		wire_fail(p->wire, fetcher >= 0 ? (unsigned)fetcher : a, o);
		break;
	case FAULT_LIE:
		p->liar[a] = true;
		wire_lies(p->wire, a, true);
		break;
	case FAULT_BELIEVE: /* some ask all then, some homes, and not the same ones */
		for (unsigned i = 0; i < p->nodes; i++)
			if (dice(p, 2)) {
				unsigned first = (unsigned)dice(p, p->nodes - 1);

				wire_believe(p->wire, i, first, 1 + (unsigned)dice(p, p->nodes - first));
			}
		break;
	case FAULTS:
		break;
	}
	p->n_faults++;
}

/* ---- what must hold ---- */

static bool fails(struct play *p, const char *what, unsigned object, unsigned node, unsigned n)
{
	if (!p->why[0])
		snprintf(p->why, sizeof(p->why), "%s (object %u, node %u, %u)", what, object, node, n);
	return false;
}

static bool object_is_well(struct play *p, unsigned o, bool is_private)
{
	unsigned fetches = wire_fetches(p->wire, o), upstream = wire_upstream(p->wire, o);

	for (unsigned i = 0; i < p->nodes; i++) {
		if (!wire_is_there(p->wire, i, o) && !p->forgave[o][i])
			return fails(p, "a request ended without the object", o, i, 0);
		if (wire_is_wrong(p->wire, i, o))
			return fails(p, "a wrong byte was stored", o, i, 0);
	}
	if (is_private)
		return true;
	if (p->is_calm && fetches != 1)
		return fails(p, "fetched more than once, or never", o, 0, fetches);
	if (p->has_parent && upstream > 1)
		return fails(p, "the parent fetched more than once", o, 0, upstream);
	if (fetches > p->nodes + p->n_faults * p->nodes)
		return fails(p, "fetched far too often", o, 0, fetches);
	return true;
}

static bool all_is_well(struct play *p)
{
	const struct wire_figures *f = wire_figures(p->wire);

	for (unsigned o = 0; o < p->objects; o++) {
		if (!wire_finish(p->wire, o, PATIENCE))
			return fails(p, "a request did not end", o, 0, wire_wanting(p->wire, o));
		if (!object_is_well(p, o, wire_is_private(p->wire, o)))
			return false;
	}
	if (f->cycles)
		return fails(p, "nodes waited for each other", 0, 0, f->cycles);
	if (f->private_keys)
		return fails(p, "a private key was in a datagram", 0, 0, f->private_keys);
	return true;
}

/* ---- one play ---- */

static volatile sig_atomic_t playing_high, playing_low; /* for the last words of a CHECK */

static void on_abort(int signal_number)
{
	uint64_t seed = (uint64_t)(unsigned)playing_high << 31 | (unsigned)playing_low;
	char text[64] = "play_seeds: seed ", digits[20];
	size_t n = strlen(text), at = sizeof(digits);

	do
		digits[--at] = (char)('0' + seed % 10);
	while ((seed /= 10) > 0);
	memcpy(text + n, digits + at, sizeof(digits) - at);
	n += sizeof(digits) - at;
	text[n++] = '\n';
	(void)!write(STDERR_FILENO, text, n);
	signal(signal_number, SIG_DFL);
}

static struct outcome play(uint64_t seed, bool says)
{
	struct play *p = calloc(1, sizeof(*p));
	struct outcome out = {.ok = false};

	if (!p)
		abort();
	playing_high = (sig_atomic_t)(seed >> 31);
	playing_low = (sig_atomic_t)(seed & 0x7fffffff);
	p->seed = seed;
	p->says = says;
	rng_seed(&p->rng, seed ^ 0x5eed);
	make_cluster(p);
	make_wishes(p);
	for (unsigned i = 0; i < p->faults; i++) {
		wire_pass(p->wire, (mono_us)dice(p, 400) * WIRE_MS);
		strike(p);
	}
	if (p->faults && dice(p, 2))
		wire_heal(p->wire);
	out.ok = all_is_well(p);
	out.trace = wire_figures(p->wire)->trace;
	out.datagrams = wire_figures(p->wire)->datagrams;
	out.wrong_found = wire_figures(p->wire)->wrong_found;
	out.objects = p->objects;
	for (unsigned o = 0; o < p->objects; o++)
		out.fetches += wire_fetches(p->wire, o);
	SAY(p, "# %u fetches, %llu datagrams, %u wrong bodies found, trace %016llx\n", out.fetches,
	    (unsigned long long)out.datagrams, out.wrong_found, (unsigned long long)out.trace);
	if (!out.ok)
		printf("# seed %llu: %s; again: play_seeds %llu\n", (unsigned long long)seed, p->why,
		       (unsigned long long)seed);
	wire_free(p->wire);
	free(p);
	return out;
}

/* ---- many ---- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct sum {
	unsigned failed, differed, wrong_found;
	uint64_t datagrams;
};

static void play_many(uint64_t from, unsigned count, struct sum *s)
{
	for (unsigned i = 0; i < count; i++) {
		struct outcome a = play(from + i, false);

		s->failed += !a.ok;
		s->datagrams += a.datagrams;
		s->wrong_found += a.wrong_found;
		if (i % REPLAYED_EACH == 0 && play(from + i, false).trace != a.trace) {
			printf("# seed %llu is not the same when played again\n", (unsigned long long)(from + i));
			s->differed++;
		}
	}
}

static unsigned scaled(unsigned n)
{
	const char *percent = getenv("PMC_TEST_SCALE");
	unsigned scaled = percent ? n * (unsigned)strtoul(percent, NULL, 10) / 100 : n;

	return scaled ? scaled : 1;
}

static int as_tests(void)
{
	struct sum s = {0};

	play_many(1, scaled(SEEDS), &s);
	puts("1..3");
	printf("%s 1 - every_seed_holds\n", s.failed ? "not ok" : "ok");
	printf("%s 2 - a_seed_replays_exactly\n", s.differed ? "not ok" : "ok");
	printf("%s 3 - liars_were_met_and_found_out\n", s.wrong_found || scaled(SEEDS) < 50 ? "ok" : "not ok");
	printf("# %sok - tests\n", s.failed || s.differed ? "not " : "");
	return s.failed || s.differed;
}

int main(int argc, char **argv)
{
	uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
	struct sum s = {0};
	double began = seconds(), took;

	signal(SIGABRT, on_abort);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2)
		return as_tests();
	if (count == 1)
		return !play(from, true).ok;
	play_many(from, count, &s);
	took = seconds() - began;
	printf("%u seeds in %.1f s, %.0f a minute; %.1f million datagrams; %u failed, %u differed when played again\n",
	       count, took, count / took * 60, (double)s.datagrams / 1e6, s.failed, s.differed);
	return s.failed || s.differed;
}
