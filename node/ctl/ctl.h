/* ctl: what the commands of pmcachectl share: options, where things are, exit codes.
 *
 * One thread, short life: memory that lives as long as the process is not given back. Each command is a function in a file
 * of its own; it reads its options, calls ctl_load, does its work and returns an exit code. What is wrong is said on
 * standard error, once, with ctl_say; results go to standard output. */
#ifndef NODE_CTL_CTL_H
#define NODE_CTL_CTL_H

#include <stdbool.h>

/* Exit codes of pmcachectl; `exec` ends with the code of its command. */
#define CTL_OK 0
#define CTL_FAILED 1
#define CTL_USAGE 2
#define CTL_NO_DAEMON 3 /* nobody answers on the control socket */

struct conf;

struct ctl {
	const char *config;    /* -c; NULL: none */
	const char *state_opt; /* --state; NULL: as the configuration says */
	bool json;
	/* after ctl_load */
	struct conf *conf;
	const char *state, *control, *ca_cert, *ca_key; /* absolute paths */
};

/* The words behind the command; `at` is the next one. */
struct ctl_args {
	int n, at;
	char **v;
};

typedef int ctl_command_f(struct ctl *, struct ctl_args *);

ctl_command_f ctl_env, ctl_exec, ctl_stats, ctl_purge, ctl_ca, ctl_cluster, ctl_peers, ctl_explain, ctl_offline,
	ctl_upgrade, ctl_refresh, ctl_scrub, ctl_warm, ctl_export, ctl_import, ctl_reload, ctl_rotate;
ctl_command_f ctl_doctor, ctl_log, ctl_top;

/* The arguments of a command that takes one URL and the options that all take. CTL_OK, or CTL_USAGE after saying what is wrong. */
int ctl_read_url(struct ctl *, struct ctl_args *, const char *command, const char **url);

/* "pmcachectl: text" on standard error. */
__attribute__((format(printf, 1, 2))) void ctl_say(const char *fmt, ...);

/* Each looks at the next word and steps over it when it is the option named.
 * ctl_option: "--host edge1" or "--host=edge1"; -1 when the value is missing (said). 1 taken, 0 something else. */
bool ctl_flag(struct ctl_args *, const char *name);
int ctl_option(struct ctl_args *, const char *name, const char **value);
/* The options that every command knows: -c, --state, --json. 1, 0, -1 as above. */
int ctl_common_option(struct ctl *, struct ctl_args *);
/* What a command is about, a word that is no option, but may be "-". 1 taken, 0: an option, or *value is there already. */
int ctl_operand(struct ctl_args *, const char **value);

/* One step over the next words, into what the command wants to know: 1, 0, -1 as above. */
typedef int ctl_take_f(void *wish, struct ctl_args *);
/* All words of a command: the options that every command knows, and what `take` knows (NULL: nothing more). CTL_OK, or CTL_USAGE after
 * saying what is wrong. */
int ctl_read_words(struct ctl *, struct ctl_args *, const char *command, ctl_take_f *take, void *wish);
#define CTL_DAYS_MAX 36500
/* What --days said, NULL: the fallback; -1: no number from 1 to CTL_DAYS_MAX. */
int ctl_days(const char *text, int fallback);
/* Says that the next word is not understood; CTL_USAGE. */
int ctl_unknown(const char *command, const struct ctl_args *);

/* One word of printable ASCII, not empty: fits into a line of the control socket. */
bool ctl_is_word(const char *text);
/* Such a word that is a whole http or https URL. */
bool ctl_is_url(const char *text);

/* Reads the configuration and finds the paths. CTL_OK, or an exit code after saying why. */
int ctl_load(struct ctl *);

/* Flushes standard output; CTL_FAILED when what was printed did not get out. */
int ctl_finish(void);

/* A string made like printf does, on the heap. */
__attribute__((format(printf, 1, 2))) char *ctl_text(const char *fmt, ...);

#endif
