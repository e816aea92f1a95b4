/* pmcachectl: the command line beside the daemon. Options, a table of commands, no logic. */
#include "node/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "node/base/version.h"
#include "node/conf/conf.h"

static const struct {
	const char *name;
	ctl_command_f *run;
	const char *help;
} commands[] = {
	{"env", ctl_env,
	 "env [--format sh|fish|json|github|dockerfile] [--host NAME[:PORT]] [--no-proxy HOSTS] [--java] [--override]\n"
	 "      the variables that send package managers through the cache: eval \"$(pmcachectl env)\"\n"
	 "  env --unset [--format sh|fish|json]\n"
	 "      takes them back\n"
	 "  env --files[=maven|gradle|apt|wget|yarn|gem|docker]\n"
	 "      settings for tools that do not read variables, with the place where each belongs"},
	{"exec", ctl_exec,
	 "exec [options of env] [--] COMMAND [ARGUMENT...]\n"
	 "      runs a command with these variables"},
	{"stats", ctl_stats,
	 "stats [--since TIME]\n"
	 "      what the daemon has counted: since its start, or since a time: 15m, 2h, 3d, 21:30, 2026-11-23, 2026-11-23T21:30"},
	{"purge", ctl_purge,
	 "purge [--cluster] [--soft] URL\n"
	 "      forgets what is stored under this URL, in all its variants; with --cluster on all nodes. With --soft it only counts as\n"
	 "      stale: it is asked about before it is served again\n"
	 "  purge [--cluster] [--soft] --prefix URL | --host HOST | --class immutable|mutable|negative | --digest SHA256 | --all\n"
	 "      forgets all that begins so, all of a host, of a class, with a digest, everything\n"
	 "  purge [--cluster] --digest SHA256 --deny | --allow\n"
	 "      forgets it, and takes it from nobody any more; or takes it again\n"
	 "  purge --denied\n"
	 "      the digests that are denied"},
	{"peers", ctl_peers,
	 "peers [--wide] [--watch]\n"
	 "      the other nodes of the cluster as this one sees them; --wide: with all there is to see of each\n"
	 "  peers --matrix [--watch]\n"
	 "      how all nodes get on with each other"},
	{"explain", ctl_explain,
	 "explain URL\n"
	 "      would it be a hit here, if not, why, and which node has it"},
	{"refresh", ctl_refresh,
	 "refresh URL\n"
	 "      fetches it again from upstream, although what is stored is fresh, and says whether it has changed"},
	{"scrub", ctl_scrub,
	 "scrub [--rate SIZE] [--no-wait]\n"
	 "      reads all that is on the disk and checks it, at most so much a second (20MB; 0: as fast as it goes); waits for the end, and\n"
	 "      fails when something is damaged\n"
	 "  scrub --status | --stop\n"
	 "      how far it is; ends it"},
	{"warm", ctl_warm,
	 "warm LOCKFILE [--jobs N] [--host NAME[:PORT]]\n"
	 "      fetches through the cache what npm's package-lock.json names, and checks it against its integrity"},
	{"export", ctl_export,
	 "export --host HOST | --prefix URL | --class immutable|mutable | --all [--proxy NAME[:PORT]] FILE|-\n"
	 "      writes what is stored, fresh and for everybody into an archive, for a node that no network leads to"},
	{"import", ctl_import,
	 "import FILE|- [--dry-run]\n"
	 "      checks such an archive and has the daemon store what is in it, by the rules for what it fetches itself"},
	{"offline", ctl_offline,
	 "offline on|off|config\n"
	 "      answers from the cache only, whatever its age, and asks no origin; or asks again; or as cache.offline says. Holds\n"
	 "      until the daemon ends, also over a reload\n"
	 "  offline\n"
	 "      what holds now"},
	{"reload", ctl_reload,
	 "reload\n"
	 "      has the daemon read its configuration and its CA again, and says what came of it: in force, the faults with file and\n"
	 "      line, what waits for a restart"},
	{"rotate", ctl_rotate,
	 "rotate\n"
	 "      rotates the access log, or with log.access.keep: 0 opens it anew"},
	{"upgrade", ctl_upgrade,
	 "upgrade\n"
	 "      starts the daemon anew, for another version of the program: the new process takes over, and the old one finishes\n"
	 "      what it has begun"},
	{"top", ctl_top,
	 "top [--once]\n"
	 "      what the node does, live: hit ratio, where answers come from, hosts, peers, what goes wrong; q ends it"},
	{"log", ctl_log,
	 "log [--url TEXT] [--digest HEX] [--job NAME] [--client ADDRESS] [--since TIME] [--last N] [-f] [--file FILE]\n"
	 "      which client got what, and when: lines of the access log, also of rotated ones; -f goes on with what is added"},
	{"doctor", ctl_doctor,
	 "doctor [--client NAME]... [--upstream URL]... [--host NAME[:PORT]] [--strict]\n"
	 "      what keeps programs from being served by the cache, and what to do: daemon, CA, disk, cluster, variables, settings; then\n"
	 "      has each installed package manager fetch something through it"},
	{"ca", ctl_ca,
	 "ca init [--name TEXT] [--days N] [--permit-dns DOMAIN]... [--force]\n"
	 "      makes the CA that clients are to trust (the daemon does this by itself on its first start)\n"
	 "  ca show\n"
	 "  ca export [--format pem|der|p12] [--out FILE]"},
	{"cluster", ctl_cluster,
	 "cluster init NAME [--dir DIR] [--days N]\n"
	 "      makes a folder with the CA and the keys of a new cluster: NAME-cluster\n"
	 "  cluster issue NODE --role edge|parent|admin --address HOST:PORT [--days N] [--dir DIR]\n"
	 "      makes all that this node needs, below nodes/NODE in that folder\n"
	 "  cluster issue NODE --renew [--role ROLE] [--address HOST:PORT] [--days N] [--dir DIR]\n"
	 "      makes a new certificate and key for it\n"
	 "  cluster list [--dir DIR]\n"
	 "      the nodes, until when their certificates are good, the keys\n"
	 "  cluster rotate-key [--step add|switch|remove] [--dir DIR]\n"
	 "      changes the key of datagrams without a gap, step by step"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

#define USAGE "pmcachectl [-c FILE] [--state DIR] [--json] COMMAND\n"

static int help(void)
{
	puts(USAGE);
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %s\n", commands[i].help);
	puts("\n"
	     "  -c FILE      the daemon's configuration\n"
	     "  --state DIR  the daemon's state folder, if it is not the usual one\n"
	     "  --json       output for programs\n"
	     "  --help       this; behind a command: its part of it\n"
	     "  --version    which one this is\n"
	     "\n"
	     "Ends with 0: done, 1: failed, 2: not understood, 3: no daemon answers.");
	return ctl_finish();
}

static int help_on(const char *help_of_it)
{
	puts(USAGE);
	printf("  %s\n", help_of_it);
	return ctl_finish();
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Among the words behind a command. What follows "--", or the first word of `exec` that is no option, is another program's. */
static bool asks_for_help(const struct ctl_args *a, ctl_command_f *command)
{
	for (int i = a->at; i < a->n; i++) {
		if (is_help(a->v[i]))
			return true;
		if (strcmp(a->v[i], "--") == 0 || (command == ctl_exec && a->v[i][0] != '-'))
			return false;
	}
	return false;
}

static int run(struct ctl *c, struct ctl_args *a)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!ctl_flag(a, commands[i].name))
			continue;
		return asks_for_help(a, commands[i].run) ? help_on(commands[i].help) : commands[i].run(c, a);
	}
	return ctl_unknown("pmcachectl", a);
}

static int version(void)
{
	puts("pmcachectl " PMCACHE_VERSION);
	return ctl_finish();
}

int main(int argc, char **argv)
{
	struct ctl c = {0};
	struct ctl_args a = {.n = argc, .at = 1, .v = argv};

	while (a.at < a.n) {
		int taken;

		if (is_help(a.v[a.at]))
			return help();
		if (strcmp(a.v[a.at], "--version") == 0)
			return version();
		taken = ctl_common_option(&c, &a);
		if (taken < 0)
			return CTL_USAGE;
		if (!taken) {
			int code = run(&c, &a);

			conf_free(c.conf);
			return code;
		}
	}
	ctl_say("a command is missing; see pmcachectl --help");
	return CTL_USAGE;
}
