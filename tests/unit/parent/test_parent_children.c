#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "parent/parent_children.h"

#define NOW ((wall_ms)1700000000000)

static struct child child_of(const char *name, enum node_role role, const char *addr)
{
	struct child c = {.role = role};

	snprintf(c.name, sizeof(c.name), "%s", name);
	assert_int_equal(addr_parse(span_str(addr), &c.addr), 0);
	return c;
}

static void hear(struct parent_children *pc, const char *name, const char *addr, wall_ms now)
{
	struct child c = child_of(name, NODE_EDGE, addr);

	parent_children_heard(pc, &c, now);
}

/* Room for a text. */
struct text {
	char room[4096];
};

/* Checks the first line; returns what follows. */
static const char *lines_of(struct parent_children *pc, wall_ms now, struct text *t)
{
	struct buf b = buf_over(t->room, sizeof(t->room) - 1);
	char *end;

	parent_children_format(pc, &b, now);
	assert_false(b.full);
	t->room[b.n] = '\0';
	assert_memory_equal(t->room, "# pmcache members 1 ", 20);
	end = strchr(t->room, '\n');
	assert_non_null(end);
	assert_int_equal(end - t->room, 20 + 16);
	return end + 1;
}

static void test_list(void **state)
{
	struct parent_children *pc = parent_children_new(NULL, NOW);
	struct child fixed[2] = {child_of("parent1", NODE_PARENT, "192.0.2.1:8083"),
				 child_of("edge5", NODE_EDGE, "[2001:db8::5]:8083")};
	struct child admin = child_of("root", NODE_ADMIN, "192.0.2.9:1"),
		     portless = child_of("x", NODE_EDGE, "192.0.2.9:1");
	struct text t;

	(void)state;
	assert_string_equal(lines_of(pc, NOW, &t), "");
	parent_children_fixed(pc, fixed, 2);
	hear(pc, "edge2", "192.0.2.12:8083", NOW);
	hear(pc, "edge1", "192.0.2.11:8083", NOW + 30000);
	hear(pc, "edge5", "192.0.2.66:6", NOW); /* what is configured counts */
	parent_children_heard(pc, &admin, NOW);
	addr_set_port(&portless.addr, 0);
	parent_children_heard(pc, &portless, NOW);
	assert_string_equal(lines_of(pc, NOW + 59999, &t),
			    "edge1 edge 192.0.2.11:8083\nedge2 edge 192.0.2.12:8083\n"
			    "edge5 edge [2001:db8::5]:8083\nparent1 parent 192.0.2.1:8083\n");
	assert_string_equal(
		lines_of(pc, NOW + 60000, &t),
		"edge1 edge 192.0.2.11:8083\nedge5 edge [2001:db8::5]:8083\nparent1 parent 192.0.2.1:8083\n");
	hear(pc, "edge2", "192.0.2.13:8084", NOW + 60000); /* it has moved */
	assert_non_null(strstr(lines_of(pc, NOW + 60000, &t), "edge2 edge 192.0.2.13:8084\n"));
	parent_children_fixed(pc, fixed, 1);
	assert_null(strstr(lines_of(pc, NOW + 60000, &t), "edge5"));
	assert_string_equal(lines_of(pc, NOW + 999999999, &t), "parent1 parent 192.0.2.1:8083\n");
	/* The clock has been set back by a day: who was heard then is not there for a day. */
	assert_string_equal(lines_of(pc, NOW - 86400000, &t), "parent1 parent 192.0.2.1:8083\n");
	parent_children_free(pc);
	parent_children_free(NULL);
}

static void test_hash(void **state)
{
	struct parent_children *a = parent_children_new(NULL, NOW), *b = parent_children_new(NULL, NOW);
	struct text one, two;

	(void)state;
	hear(a, "edge1", "192.0.2.1:1", NOW);
	hear(a, "edge2", "192.0.2.2:1", NOW);
	hear(b, "edge2", "192.0.2.2:1", NOW + 5);
	hear(b, "edge1", "192.0.2.1:1", NOW);
	lines_of(a, NOW, &one);
	lines_of(b, NOW, &two);
	assert_string_equal(one.room, two.room);
	hear(b, "edge1", "192.0.2.1:2", NOW);
	lines_of(b, NOW, &two);
	assert_memory_not_equal(one.room, two.room, 36);
	parent_children_free(a);
	parent_children_free(b);
}

static void test_most(void **state)
{
	struct parent_children *pc = parent_children_new(NULL, NOW);
	size_t cap = PARENT_CHILDREN_BYTES;
	struct buf b = buf_over(mem_alloc(cap), cap);
	struct child *v = mem_alloc((PARENT_CHILDREN_MOST + 1) * sizeof(*v));

	(void)state;
	for (unsigned i = 0; i <= PARENT_CHILDREN_MOST; i++) {
		char name[64];

		/* as long as they can be */
		snprintf(name, sizeof(name), "edge-%04u-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", i);
		hear(pc, name, "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535", NOW);
	}
	parent_children_format(pc, &b, NOW);
	assert_false(b.full);
	assert_int_equal(parent_children_parse(buf_span(&b), v, PARENT_CHILDREN_MOST + 1), PARENT_CHILDREN_MOST);
	assert_int_equal(parent_children_parse(buf_span(&b), v, 10), 10);
	hear(pc, "late", "192.0.2.1:1", NOW + 60000); /* the others are silent now */
	b.n = 0;
	parent_children_format(pc, &b, NOW + 60000);
	assert_int_equal(parent_children_parse(buf_span(&b), v, PARENT_CHILDREN_MOST), 1);
	assert_string_equal(v[0].name, "late");
	free(v);
	free(b.p);
	parent_children_free(pc);
}

static void test_parse(void **state)
{
	static const char text[] = "# pmcache members 1 0011223344556677\n"
				   "edge1 edge 192.0.2.11:8083\n"
				   "\n"
				   "# a remark\n"
				   "edge2 edge 192.0.2.12\n"
				   "edge3 edge 192.0.2.12:0\n"
				   "edge4 edge 192.0.2.12:80 more\n"
				   "edge5 cook 192.0.2.12:80\n"
				   "root admin 192.0.2.12:80\n"
				   "ed/ge edge 192.0.2.12:80\n"
				   " edge 192.0.2.12:80\n"
				   "edge6 edge host.test:80\n"
				   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa edge 192.0.2.12:80\n"
				   "parent1 parent [::1]:8083";
	struct child v[8];

	(void)state;
	assert_int_equal(parent_children_parse(SPAN(text), v, 8), 2);
	assert_string_equal(v[0].name, "edge1");
	assert_int_equal(v[0].role, NODE_EDGE);
	assert_int_equal(addr_port(&v[0].addr), 8083);
	assert_string_equal(v[1].name, "parent1");
	assert_int_equal(v[1].role, NODE_PARENT);
	assert_int_equal(parent_children_parse(SPAN("# pmcache members 1 00\n"), v, 8), 0);
	assert_int_equal(parent_children_parse(SPAN("# pmcache members 2 00\nedge1 edge 192.0.2.1:1\n"), v, 8), -1);
	assert_int_equal(parent_children_parse(SPAN("<html>"), v, 8), -1);
	assert_int_equal(parent_children_parse(SPAN_NONE, v, 8), -1);
}

static void test_file(void **state)
{
	char folder[] = "/tmp/pmcache-children-XXXXXX", path[64], other[80];
	struct parent_children *pc;
	struct stat before, after;
	struct text t;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/members", folder);
	snprintf(other, sizeof(other), "%s.new", path);
	pc = parent_children_new(path, NOW); /* not there yet */
	hear(pc, "edge1", "192.0.2.11:8083", NOW);
	parent_children_save(pc, NOW);
	assert_int_equal(stat(path, &before), 0);
	hear(pc, "edge1", "192.0.2.11:8083", NOW + 1000); /* nothing new: the file stays */
	parent_children_save(pc, NOW + 1000);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	hear(pc, "edge2", "192.0.2.12:8083", NOW + 1000);
	parent_children_save(pc, NOW + 1000);
	assert_int_not_equal(access(other, F_OK), 0);
	parent_children_free(pc);
	pc = parent_children_new(path, NOW + 3600000); /* the whole list, though an hour old */
	assert_string_equal(lines_of(pc, NOW + 3600000, &t),
			    "edge1 edge 192.0.2.11:8083\nedge2 edge 192.0.2.12:8083\n");
	assert_string_equal(lines_of(pc, NOW + 3660000, &t), "");
	parent_children_save(pc, NOW + 3660000);
	parent_children_free(pc);
	pc = parent_children_new(path, NOW);
	assert_string_equal(lines_of(pc, NOW, &t), "");
	parent_children_free(pc);
	unlink(path);
	rmdir(folder);
	pc = parent_children_new(path, NOW); /* no folder: the list lives on without */
	hear(pc, "edge1", "192.0.2.11:8083", NOW);
	parent_children_save(pc, NOW);
	assert_string_equal(lines_of(pc, NOW, &t), "edge1 edge 192.0.2.11:8083\n");
	parent_children_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),  cmocka_unit_test(test_hash), cmocka_unit_test(test_most),
		cmocka_unit_test(test_parse), cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
