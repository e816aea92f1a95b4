/* generate: a trace as a cache before a fleet of CI hosts sees it. The same options give the same trace.
 *
 * There are packages, and projects that depend on them. A package is chosen with Zipf's probability; it has an index,
 * which changes with each release, and an archive for each version. A project has a lock file with the versions of its
 * dependencies; a build asks for all of them, in an order of its own, with the index before each where the project is
 * not locked. Builds come over the working day, those of busy projects more often, and each night all projects are built
 * within an hour. A release reaches locked projects when they update, about once a week. So popularity moves from
 * version to version, as lock files move, and what is asked for comes in runs.
 *
 * Beside that there is what is asked for once: somebody tries packages out, and in the night to Sunday a scanner goes
 * through thousands of them.
 *
 * Sizes are log-normal by kind (README.md). */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/heap.h"
#include "node/base/mem.h"
#include "node/base/rng.h"

#define DAY_MS (24 * 3600 * 1000ULL)
#define HOUR_MS (3600 * 1000ULL)
#define MOST_VERSIONS 64 /* older ones are not asked for */

struct package {
	uint64_t index_bytes;
	uint64_t bytes[MOST_VERSIONS];
	unsigned latest; /* of its versions, from 0 */
	double releases; /* a day */
};

struct dependency {
	unsigned package, version;
};

struct project {
	struct dependency *deps;
	unsigned n_deps;
	bool is_locked;
};

/* Somebody who asks for one thing after the other. */
struct build {
	struct heap_node node;
	uint64_t next_ms;
	uint64_t number; /* so that equals have an order */
	struct dependency *asks;
	unsigned n, at;
	bool with_index, index_done;
	unsigned pause_ms;
};

struct world {
	struct rng rng;
	struct package *packages;
	struct project *projects;
	double *popular, *busy, *flat; /* running sums of weights */
	struct heap builds;
	uint64_t n_builds;
	unsigned n_packages, n_projects, days, builds_a_day, scanned;
	double zipf;
};

/* ---- chance ---- */

static double uniform(struct world *w)
{
	return ((double)(rng_next(&w->rng) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(struct world *w)
{
	double r = sqrt(-2 * log(uniform(w)));

	return r * cos(6.283185307179586 * uniform(w));
}

static uint64_t log_normal(struct world *w, double median, double sigma, double most)
{
	double v = median * exp(sigma * normal(w));

	return (uint64_t)fmin(fmax(v, 200), most);
}

static double *zipf_sums(unsigned n, double exponent)
{
	double *sums = mem_alloc(n * sizeof(*sums)), sum = 0;

	for (unsigned i = 0; i < n; i++)
		sums[i] = sum += pow(i + 1, -exponent);
	return sums;
}

static unsigned choose(struct world *w, const double *sums, unsigned n)
{
	double x = uniform(w) * sums[n - 1];
	unsigned low = 0, high = n - 1;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (sums[middle] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- packages and projects ---- */

static void make_package(struct world *w, unsigned rank)
{
	static const struct {
		double up_to, median, sigma, most;
	} kinds[] = {
		{0.72, 16e3, 1.7, 50e6},   /* sources of a script: npm, gems, small crates */
		{0.95, 130e3, 1.7, 200e6}, /* wheels, jars, larger crates, .deb */
		{1.00, 5e6, 1.4, 1e9},     /* with binaries in them: tool chains, layers of images */
	};
	struct package *p = &w->packages[rank];
	double kind = uniform(w), median;
	unsigned k = 0;

	while (kind > kinds[k].up_to)
		k++;
	median = (double)log_normal(w, kinds[k].median, kinds[k].sigma, kinds[k].most);
	for (unsigned v = 0; v < MOST_VERSIONS; v++)
		p->bytes[v] = log_normal(w, median, 0.15, kinds[k].most);
	p->index_bytes = log_normal(w, 14e3, 1.5, 20e6);
	p->latest = (unsigned)rng_below(&w->rng, MOST_VERSIONS / 2);
	p->releases = 1.0 / 60 + 0.25 / (1 + rank / 200.0); /* what many use is worked on */
}

static unsigned older(struct world *w, unsigned latest)
{
	while (latest > 0 && uniform(w) < 0.4)
		latest--;
	return latest;
}

static void make_project(struct world *w, struct project *p, unsigned char *taken)
{
	unsigned most = w->n_packages / 4;
	uint64_t n = log_normal(w, 160, 0.9, 2000);

	p->n_deps = n > most ? most : (unsigned)n;
	p->deps = mem_alloc((p->n_deps + 1) * sizeof(*p->deps));
	p->is_locked = uniform(w) < 0.7;
	memset(taken, 0, w->n_packages);
	for (unsigned i = 0; i < p->n_deps; i++) {
		unsigned package = choose(w, w->popular, w->n_packages);

		while (taken[package])
			package = choose(w, w->popular, w->n_packages);
		taken[package] = 1;
		p->deps[i] = (struct dependency){package, older(w, w->packages[package].latest)};
	}
}

static void make_world(struct world *w)
{
	unsigned char *taken = mem_alloc(w->n_packages);

	w->packages = mem_zalloc(w->n_packages * sizeof(*w->packages));
	w->projects = mem_zalloc(w->n_projects * sizeof(*w->projects));
	w->popular = zipf_sums(w->n_packages, w->zipf);
	w->flat = zipf_sums(w->n_packages, 0.3);
	w->busy = zipf_sums(w->n_projects, 0.8);
	for (unsigned i = 0; i < w->n_packages; i++)
		make_package(w, i);
	for (unsigned i = 0; i < w->n_projects; i++)
		make_project(w, &w->projects[i], taken);
	free(taken);
}

/* ---- a night's changes ---- */

static void release(struct world *w)
{
	for (unsigned i = 0; i < w->n_packages; i++) {
		struct package *p = &w->packages[i];

		if (p->latest + 1 == MOST_VERSIONS || uniform(w) >= p->releases)
			continue;
		p->latest++;
		p->index_bytes += 200 + p->index_bytes / 50;
	}
}

static void update_projects(struct world *w)
{
	for (unsigned i = 0; i < w->n_projects; i++) {
		struct project *p = &w->projects[i];

		if (p->is_locked && uniform(w) >= 1.0 / 7)
			continue;
		for (unsigned k = 0; k < p->n_deps; k++)
			if (!p->is_locked || uniform(w) < 0.6)
				p->deps[k].version = w->packages[p->deps[k].package].latest;
	}
}

/* ---- builds ---- */

static bool sooner(const struct heap_node *x, const struct heap_node *y)
{
	const struct build *a = (const void *)x, *b = (const void *)y; /* the node comes first in a build */

	return a->next_ms < b->next_ms || (a->next_ms == b->next_ms && a->number < b->number);
}

static struct build *add_build(struct world *w, uint64_t at_ms, unsigned n)
{
	struct build *b = NEW(struct build);

	b->next_ms = at_ms;
	b->number = w->n_builds++;
	b->asks = mem_alloc((n + 1) * sizeof(*b->asks));
	b->n = n;
	b->pause_ms = 100;
	heap_insert(&w->builds, &b->node);
	return b;
}

static void shuffle(struct world *w, struct dependency *v, unsigned n)
{
	for (unsigned i = n; i > 1; i--) {
		unsigned k = (unsigned)rng_below(&w->rng, i);
		struct dependency d = v[k];

		v[k] = v[i - 1];
		v[i - 1] = d;
	}
}

static void add_project_build(struct world *w, const struct project *p, uint64_t at_ms)
{
	struct build *b = add_build(w, at_ms, p->n_deps);

	memcpy(b->asks, p->deps, p->n_deps * sizeof(*b->asks));
	shuffle(w, b->asks, b->n);
	b->with_index = !p->is_locked;
}

/* Who tries out, or scans: packages that nobody has to need, old versions too. */
static void add_curious(struct world *w, uint64_t at_ms, unsigned n, unsigned pause_ms)
{
	struct build *b = add_build(w, at_ms, n);

	for (unsigned i = 0; i < n; i++) {
		b->asks[i].package = choose(w, w->flat, w->n_packages);
		b->asks[i].version = older(w, w->packages[b->asks[i].package].latest);
	}
	b->with_index = true;
	b->pause_ms = pause_ms;
}

static void plan_day(struct world *w, unsigned day)
{
	uint64_t midnight = day * DAY_MS;
	bool weekend = day % 7 >= 5;
	unsigned n = weekend ? w->builds_a_day / 6 : w->builds_a_day;

	for (unsigned i = 0; i < w->n_projects; i++) /* the night */
		add_project_build(w, &w->projects[i], midnight + 2 * HOUR_MS + rng_below(&w->rng, HOUR_MS));
	for (unsigned i = 0; i < n; i++) { /* from seven to nineteen, most in the middle */
		uint64_t at =
			midnight + 7 * HOUR_MS + rng_below(&w->rng, 6 * HOUR_MS) + rng_below(&w->rng, 6 * HOUR_MS);

		add_project_build(w, &w->projects[choose(w, w->busy, w->n_projects)], at);
		if (i % 10 == 0)
			add_curious(w, at, 20, 2000);
	}
	if (day % 7 == 6)
		add_curious(w, midnight + 4 * HOUR_MS, w->scanned, 500);
}

static void ask(struct world *w, struct build *b)
{
	const struct dependency *d = &b->asks[b->at];
	const struct package *p = &w->packages[d->package];

	printf("%" PRIu64 ".%03u ", b->next_ms / 1000, (unsigned)(b->next_ms % 1000));
	if (b->with_index && !b->index_done) {
		printf("p%u/index %" PRIu64 "\n", d->package, p->index_bytes);
		b->index_done = true;
		return;
	}
	printf("p%u/%u %" PRIu64 "\n", d->package, d->version, p->bytes[d->version]);
	b->index_done = false;
	b->at++;
}

static void live_until(struct world *w, uint64_t end_ms)
{
	struct heap_node *node;

	while ((node = heap_min(&w->builds)) != NULL) {
		struct build *b = (struct build *)(void *)node;

		if (b->next_ms >= end_ms)
			return;
		if (b->at < b->n)
			ask(w, b);
		if (b->at < b->n) {
			b->next_ms += rng_below(&w->rng, 2 * b->pause_ms);
			heap_moved(&w->builds, node);
			continue;
		}
		heap_remove(&w->builds, node);
		free(b->asks);
		free(b);
	}
}

static void end_world(struct world *w)
{
	struct heap_node *node;

	while ((node = heap_min(&w->builds)) != NULL) {
		struct build *b = (struct build *)(void *)node;

		heap_remove(&w->builds, node);
		free(b->asks);
		free(b);
	}
	heap_fini(&w->builds);
	for (unsigned i = 0; i < w->n_projects; i++)
		free(w->projects[i].deps);
	free(w->projects);
	free(w->packages);
	free(w->popular);
	free(w->busy);
	free(w->flat);
}

/* ---- */

static const char usage[] = "usage: generate [OPTION]...     writes a trace to standard output\n"
			    "  --seed N       (1)\n"
			    "  --days N       beginning with a Monday (14)\n"
			    "  --packages N   (30000)\n"
			    "  --projects N   (400)\n"
			    "  --builds N     on a working day, beside those of the night (1000)\n"
			    "  --scan N       packages that the scanner goes through on Sunday (6000)\n"
			    "  --zipf X       exponent of the packages' popularity (0.9)\n";

static double number(const char *word, double least, double most)
{
	char *end;
	double v = strtod(word, &end);

	if (end == word || *end || !(v >= least && v <= most)) {
		fprintf(stderr, "generate: %s: not a number, or too small or large\n%s", word, usage);
		exit(2);
	}
	return v;
}

static unsigned whole(const char *word, double least)
{
	return (unsigned)number(word, least, 1e7);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", 1, NULL, 's'},     {"days", 1, NULL, 'd'},   {"packages", 1, NULL, 'p'},
		{"projects", 1, NULL, 'j'}, {"builds", 1, NULL, 'b'}, {"scan", 1, NULL, 'c'},
		{"zipf", 1, NULL, 'z'},     {"help", 0, NULL, 'h'},   {NULL, 0, NULL, 0}};
	struct world w = {
		.n_packages = 30000, .n_projects = 400, .days = 14, .builds_a_day = 1000, .scanned = 6000, .zipf = 0.9};
	unsigned seed = 1;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			seed = whole(optarg, 0);
			break;
		case 'd':
			w.days = whole(optarg, 1);
			break;
		case 'p':
			w.n_packages = whole(optarg, 100);
			break;
		case 'j':
			w.n_projects = whole(optarg, 1);
			break;
		case 'b':
			w.builds_a_day = whole(optarg, 0);
			break;
		case 'c':
			w.scanned = whole(optarg, 0);
			break;
		case 'z':
			w.zipf = number(optarg, 0, 3);
			break;
		default:
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	rng_seed(&w.rng, seed);
	heap_init(&w.builds, sooner);
	printf("# seed %u, %u days, %u packages, %u projects, %u builds a day, %u scanned, zipf %g\n", seed, w.days,
	       w.n_packages, w.n_projects, w.builds_a_day, w.scanned, w.zipf);
	make_world(&w);
	for (unsigned day = 0; day < w.days; day++) {
		plan_day(&w, day);
		live_until(&w, (day + 1) * DAY_MS);
		release(&w);
		update_projects(&w);
	}
	end_world(&w);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("generate");
		return 1;
	}
	return 0;
}
