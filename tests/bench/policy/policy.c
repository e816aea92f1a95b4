/* policy: replays a trace under each policy at each size, and prints hit ratios. */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/base/span.h"
#include "tests/bench/policy/replay.h"

#define MOST_COLUMNS 8
#define MOST_ROWS 32
#define MOST_THREADS 16

static const char usage[] =
	"usage: policy [OPTION]... TRACE        (-: standard input)\n"
	"  --sizes P,P,...        percent of the working set, or bytes with a B behind (1,2,5,10,20,50)\n"
	"  --policies NAME,...    gdsf,lfuda,lru,sieve; NAME* is told of each hit at once\n"
	"  --overhead BYTES       what an object costs beside its body (700)\n"
	"  --max-object BYTES     larger ones are not stored\n"
	"  --warm PERCENT         of the requests, not counted (0)\n"
	"  --misses               a trace of what the first policy misses at the first size\n"
	"  --tsv                  one line for each policy and size\n";

struct column {
	const struct evict_policy *policy;
	bool at_once;
};

struct row {
	double percent;
	uint64_t size;
};

struct run {
	struct trace trace;
	struct column columns[MOST_COLUMNS];
	size_t n_columns;
	struct row rows[MOST_ROWS + 1]; /* the last: everything fits */
	size_t n_rows;
	uint64_t working_set, overhead, max_object;
	size_t warm;
	struct replay_result results[MOST_ROWS + 1][MOST_COLUMNS];
	_Atomic size_t next;
};

static _Noreturn void refuse(const char *what, const char *word)
{
	fprintf(stderr, "policy: %s: %s\n%s", word, what, usage);
	exit(2);
}

static uint64_t bytes_of(const char *word)
{
	char *end;
	unsigned long long v = strtoull(word, &end, 10);

	if (end == word || *end)
		refuse("not a number of bytes", word);
	return v;
}

static double percent_of(const char *word)
{
	char *end;
	double v = strtod(word, &end);

	if (end == word || *end || !(v >= 0 && v <= 100))
		refuse("not a percentage", word);
	return v;
}

static void read_policies(struct run *r, char *list)
{
	char *rest = NULL;

	r->n_columns = 0;
	for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		struct span name = span_str(word);
		struct column c = {.at_once = name.n && name.p[name.n - 1] == '*'};

		c.policy = evict_named(span_of(name.p, name.n - c.at_once));
		if (!c.policy || (c.at_once && c.policy->in_rounds) || r->n_columns == MOST_COLUMNS)
			refuse("no such policy, or too many", word);
		r->columns[r->n_columns++] = c;
	}
}

/* Bytes stand in `size`, percentages become bytes later. */
static void read_sizes(struct run *r, char *list)
{
	char *rest = NULL;

	r->n_rows = 0;
	for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		size_t n = strlen(word);
		struct row row = {0};

		if (r->n_rows == MOST_ROWS)
			refuse("too many sizes", word);
		if (word[n - 1] == 'B') {
			word[n - 1] = '\0';
			row.size = bytes_of(word);
		} else {
			row.percent = percent_of(word);
		}
		r->rows[r->n_rows++] = row;
	}
}

static void settle_sizes(struct run *r)
{
	r->working_set = replay_working_set(&r->trace, r->overhead);
	for (size_t i = 0; i < r->n_rows; i++) {
		struct row *row = &r->rows[i];

		if (row->size)
			row->percent = 100.0 * (double)row->size / (double)r->working_set;
		else
			row->size = (uint64_t)(row->percent / 100 * (double)r->working_set);
	}
	r->rows[r->n_rows++] = (struct row){.percent = 100, .size = UINT64_MAX};
}

static void run_one(struct run *r, size_t row, size_t column, FILE *misses)
{
	struct replay how = {
		.policy = r->columns[column].policy,
		.at_once = r->columns[column].at_once,
		.size = r->rows[row].size,
		.overhead = r->overhead,
		.max_object = r->max_object,
		.warm = r->warm,
		.misses = misses,
	};

	replay_run(&r->trace, &how, &r->results[row][column]);
}

static void *work(void *arg)
{
	struct run *r = arg;
	size_t i;

	while ((i = atomic_fetch_add(&r->next, 1)) < r->n_rows * r->n_columns)
		run_one(r, i / r->n_columns, i % r->n_columns, NULL);
	return NULL;
}

static void run_all(struct run *r)
{
	pthread_t threads[MOST_THREADS];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = cores < 1 ? 1 : cores > MOST_THREADS ? MOST_THREADS : (size_t)cores, begun = 0;

	while (begun < n && pthread_create(&threads[begun], NULL, work, r) == 0)
		begun++;
	if (!begun)
		work(r);
	for (size_t i = 0; i < begun; i++)
		pthread_join(threads[i], NULL);
}

static double ratio(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_table(const struct run *r, const char *title, bool by_bytes)
{
	printf("\n%-22s", title);
	for (size_t c = 0; c < r->n_columns; c++)
		printf(" %7s%s", r->columns[c].policy->name, r->columns[c].at_once ? "*" : " ");
	printf("\n");
	for (size_t i = 0; i < r->n_rows; i++) {
		if (r->rows[i].size == UINT64_MAX)
			printf("%-22s", "everything fits");
		else
			printf("%8.3g %% %8.0f MB ", r->rows[i].percent, (double)r->rows[i].size / 1e6);
		for (size_t c = 0; c < r->n_columns; c++) {
			const struct replay_result *x = &r->results[i][c];

			printf(" %7.2f ", by_bytes ? ratio(x->hit_bytes, x->bytes) : ratio(x->hits, x->requests));
		}
		printf("\n");
	}
}

static void print_tsv(const struct run *r)
{
	printf("percent\tsize\tpolicy\trequests\thits\tbytes\thit_bytes\tevicted\tlooked_at\tmost_used\n");
	for (size_t i = 0; i < r->n_rows; i++)
		for (size_t c = 0; c < r->n_columns; c++) {
			const struct replay_result *x = &r->results[i][c];
			uint64_t size = r->rows[i].size == UINT64_MAX ? r->working_set : r->rows[i].size;

			printf("%.6g\t%" PRIu64 "\t%s%s\t", r->rows[i].percent, size, r->columns[c].policy->name,
			       r->columns[c].at_once ? "*" : "");
			printf("%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
			       "\n",
			       x->requests, x->hits, x->bytes, x->hit_bytes, x->evicted, x->looked_at, x->most_used);
		}
}

static void print_tables(const struct run *r)
{
	printf("%zu requests for %.1f GB; %" PRIu32 " objects under %" PRIu32 " keys; working set %.1f GB\n",
	       r->trace.n, (double)r->trace.bytes / 1e9, r->trace.n_objects, r->trace.n_keys,
	       (double)r->working_set / 1e9);
	print_table(r, "object hit ratio, %", false);
	print_table(r, "byte hit ratio, %", true);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"sizes", 1, NULL, 's'},  {"policies", 1, NULL, 'p'},   {"overhead", 1, NULL, 'o'},
		{"warm", 1, NULL, 'w'},   {"max-object", 1, NULL, 'm'}, {"tsv", 0, NULL, 't'},
		{"misses", 0, NULL, 'M'}, {"help", 0, NULL, 'h'},       {NULL, 0, NULL, 0}};
	char sizes[] = "1,2,5,10,20,50", policies[] = "gdsf,lfuda,lru,sieve", why[TRACE_WHY_BYTES];
	struct run *r = NEW(struct run);
	bool tsv = false, misses = false;
	double warm = 0;
	int c;

	r->overhead = 700;
	r->max_object = UINT64_MAX;
	read_sizes(r, sizes);
	read_policies(r, policies);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			read_sizes(r, optarg);
			break;
		case 'p':
			read_policies(r, optarg);
			break;
		case 'o':
			r->overhead = bytes_of(optarg);
			break;
		case 'm':
			r->max_object = bytes_of(optarg);
			break;
		case 'w':
			warm = percent_of(optarg);
			break;
		case 'M':
			misses = true;
			break;
		case 't':
			tsv = true;
			break;
		default:
			fputs(usage, c == 'h' ? stdout : stderr);
			free(r);
			return c == 'h' ? 0 : 2;
		}
	}
	if (optind != argc - 1)
		refuse("exactly one trace is wanted", argc > optind ? argv[optind + 1] : "");
	if (trace_read(&r->trace, argv[optind], why) < 0) {
		fprintf(stderr, "policy: %s: %s\n", argv[optind], why);
		free(r);
		return 1;
	}
	r->warm = (size_t)(warm / 100 * (double)r->trace.n);
	settle_sizes(r);
	if (misses) {
		run_one(r, 0, 0, stdout);
	} else {
		run_all(r);
		if (tsv)
			print_tsv(r);
		else
			print_tables(r);
	}
	trace_fini(&r->trace);
	free(r);
	return 0;
}
