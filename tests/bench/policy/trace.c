#include "tests/bench/policy/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/checksum.h"
#include "node/base/mem.h"
#include "node/base/span.h"

/* Keys are told apart by 64 bits of XXH3: among ten million keys two are the same with a chance of one in 370 000. */
struct slot {
	uint64_t hash;
	uint32_t object; /* of its present size, + 1; 0: free */
};

struct reader {
	struct trace *t;
	struct slot *slots;
	size_t n_slots; /* a power of two */
	size_t requests_room, objects_room;
};

static struct slot *slot_of(struct slot *slots, size_t n, uint64_t hash)
{
	size_t at = hash & (n - 1);

	while (slots[at].object && slots[at].hash != hash)
		at = (at + 1) & (n - 1);
	return &slots[at];
}

static void grow_slots(struct reader *r)
{
	size_t n = r->n_slots ? 2 * r->n_slots : 1024;
	struct slot *slots = mem_zalloc(n * sizeof(*slots));

	for (size_t i = 0; i < r->n_slots; i++)
		if (r->slots[i].object)
			*slot_of(slots, n, r->slots[i].hash) = r->slots[i];
	free(r->slots);
	r->slots = slots;
	r->n_slots = n;
}

static uint32_t new_object(struct reader *r, uint32_t key, uint64_t size)
{
	struct trace *t = r->t;

	if (t->n_objects == r->objects_room) {
		r->objects_room = r->objects_room ? 2 * r->objects_room : 1024;
		t->objects = mem_realloc(t->objects, r->objects_room * sizeof(*t->objects));
	}
	t->objects[t->n_objects] = (struct trace_object){.size = size, .key = key};
	return t->n_objects++;
}

static uint32_t object_of(struct reader *r, struct span key, uint64_t size)
{
	uint64_t hash = checksum_of(key);
	struct trace *t = r->t;
	struct slot *slot;

	if (2 * (size_t)t->n_keys >= r->n_slots)
		grow_slots(r);
	slot = slot_of(r->slots, r->n_slots, hash);
	if (!slot->object)
		*slot = (struct slot){.hash = hash, .object = new_object(r, t->n_keys++, size) + 1};
	else if (t->objects[slot->object - 1].size != size)
		slot->object = new_object(r, t->objects[slot->object - 1].key, size) + 1;
	return slot->object - 1;
}

static void add_request(struct reader *r, uint32_t object)
{
	struct trace *t = r->t;

	if (t->n == r->requests_room) {
		r->requests_room = r->requests_room ? 2 * r->requests_room : 65536;
		t->requests = mem_realloc(t->requests, r->requests_room * sizeof(*t->requests));
	}
	t->requests[t->n++] = object;
	t->bytes += t->objects[object].size;
}

/* The next word of a line; empty at its end. */
static struct span word(const char **p, const char *end)
{
	const char *from;

	while (*p < end && (**p == ' ' || **p == '\t'))
		(*p)++;
	from = *p;
	while (*p < end && **p != ' ' && **p != '\t')
		(*p)++;
	return span_of(from, (size_t)(*p - from));
}

static bool number_of(struct span s, bool fraction, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
		if (v > (UINT64_MAX >> 10)) /* and so sums of many do not overflow either */
			return false;
		v = 10 * v + (uint64_t)(s.p[i] - '0');
	}
	if (i == 0)
		return false;
	if (fraction && i < s.n && s.p[i] == '.')
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			;
	*out = v;
	return i == s.n;
}

static int read_line(struct reader *r, const char *p, const char *end)
{
	struct span when = word(&p, end), key, size;
	uint64_t seconds, bytes;

	if (!when.n || when.p[0] == '#')
		return 0;
	key = word(&p, end);
	size = word(&p, end);
	if (!number_of(when, true, &seconds) || !number_of(size, false, &bytes) || word(&p, end).n)
		return -1;
	add_request(r, object_of(r, key, bytes));
	return 0;
}

static int read_all(struct reader *r, const char *text, size_t n, char why[TRACE_WHY_BYTES])
{
	const char *p = text, *end = text + n;

	for (size_t number = 1; p < end; number++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;

		if (read_line(r, p, stop) < 0) {
			snprintf(why, TRACE_WHY_BYTES, "line %zu: not of the form TIME KEY SIZE", number);
			return -1;
		}
		p = nl ? nl + 1 : end;
	}
	if (!r->t->n) {
		snprintf(why, TRACE_WHY_BYTES, "there is no request in it");
		return -1;
	}
	return 0;
}

static char *slurp(int fd, size_t *n)
{
	size_t room = 1 << 20;
	char *text = mem_alloc(room);
	ssize_t got;

	*n = 0;
	while ((got = read(fd, text + *n, room - *n)) > 0) {
		*n += (size_t)got;
		if (*n == room) {
			room *= 2;
			text = mem_realloc(text, room);
		}
	}
	if (got == 0)
		return text;
	free(text);
	return NULL;
}

int trace_read(struct trace *t, const char *path, char why[TRACE_WHY_BYTES])
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct reader r = {.t = t};
	char *text;
	size_t n;
	int rc;

	*t = (struct trace){0};
	text = fd < 0 ? NULL : slurp(fd, &n);
	if (!text)
		snprintf(why, TRACE_WHY_BYTES, "%s", strerror(errno));
	if (fd > STDIN_FILENO)
		close(fd);
	if (!text)
		return -1;
	rc = read_all(&r, text, n, why);
	free(text);
	free(r.slots);
	if (rc < 0)
		trace_fini(t);
	return rc;
}

void trace_fini(struct trace *t)
{
	free(t->requests);
	free(t->objects);
	*t = (struct trace){0};
}
