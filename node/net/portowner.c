#include "node/net/portowner.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TCP_LISTEN_STATE 0x0a
#define UDP_BOUND_STATE 0x07

/* The inode of the socket that is on the port in this state; 0 when there is none in this table. */
static unsigned long inode_on(const char *table, uint16_t port, unsigned wanted_state)
{
	FILE *f = fopen(table, "re");
	unsigned long inode = 0;
	char line[512];

	if (!f)
		return 0;
	while (!inode && fgets(line, sizeof(line), f)) {
		unsigned local_port, state;
		unsigned long found;

		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local_port,
			   &state, &found) == 3 &&
		    local_port == port && state == wanted_state)
			inode = found;
	}
	fclose(f);
	return inode;
}

static bool holds(const char *pid, const char *socket_name)
{
	char dir_name[300], link_name[600], target[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(dir_name, sizeof(dir_name), "/proc/%s/fd", pid);
	dir = opendir(dir_name);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		ssize_t n;

		snprintf(link_name, sizeof(link_name), "%s/%s", dir_name, entry->d_name);
		n = readlink(link_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		found = strcmp(target, socket_name) == 0;
	}
	closedir(dir);
	return found;
}

static void name_of(const char *pid, char *out, size_t cap)
{
	char path[300], comm[64] = "a program";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
	}
	snprintf(out, cap, "%s (pid %s)", comm, pid);
}

static bool find_holder(unsigned long inode, char *out, size_t cap)
{
	char socket_name[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir = opendir("/proc");

	if (!dir)
		return false;
	snprintf(socket_name, sizeof(socket_name), "socket:[%lu]", inode);
	while (!found && (entry = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		found = holds(entry->d_name, socket_name);
		if (found)
			name_of(entry->d_name, out, cap);
	}
	closedir(dir);
	return found;
}

static const char *usual_holder(uint16_t port)
{
	switch (port) {
	case 8080:
		return "another program, perhaps Jenkins, Tomcat or another web server, which like this port";
	case 8081:
		return "another program, perhaps Nexus Repository, whose default port this is";
	case 8082:
		return "another program, perhaps Artifactory, whose default port this is";
	default:
		return "another program";
	}
}

static void describe(unsigned long inode, uint16_t port, char *out, size_t cap)
{
	if (inode && find_holder(inode, out, cap))
		return;
	snprintf(out, cap, "%s", usual_holder(port));
}

void portowner_describe(uint16_t port, char *out, size_t cap)
{
	unsigned long inode = inode_on("/proc/net/tcp", port, TCP_LISTEN_STATE);

	if (!inode)
		inode = inode_on("/proc/net/tcp6", port, TCP_LISTEN_STATE);
	describe(inode, port, out, cap);
}

void portowner_describe_udp(uint16_t port, char *out, size_t cap)
{
	unsigned long inode = inode_on("/proc/net/udp", port, UDP_BOUND_STATE);

	if (!inode)
		inode = inode_on("/proc/net/udp6", port, UDP_BOUND_STATE);
	describe(inode, port, out, cap);
}
